//! The table of knobs.

use super::{Condition, Domain, Facts, Flag, Knob, Memory, Scope};
use crate::value::Value;

/// Types that a KV cache may have; everything but f32, f16 and bf16 is quantised.
const CACHE_TYPES: &[&str] = &["f32", "f16", "bf16", "q8_0", "q4_0", "q4_1", "iq4_nl", "q5_0", "q5_1"];
/// Ways of guessing tokens ahead, as `--spec-type` of llama-server takes them.
const SPECULATIONS: &[&str] = &[
    "draft-simple",
    "draft-eagle3",
    "draft-mtp",
    "draft-dflash",
    "draft-dspark",
    "ngram-simple",
    "ngram-map-k",
    "ngram-map-k4v",
    "ngram-mod",
    "ngram-cache",
];
const ANY: i64 = i32::MAX as i64;

/// What most rows share.
const BASE: Knob = Knob {
    name: "",
    domain: Domain::Switch,
    scope: Scope::Context,
    condition: Condition::Always,
    only_if: None,
    lossy: false,
    memory: None,
    server_flag: Flag::None,
    bench_flag: Flag::None,
    aliases: &[],
    off_aliases: &[],
    bench_aliases: &[],
    default: |_| Value::Auto,
    candidates: |_| Vec::new(),
    ordered: false,
    help: "",
    declared: None,
};

/// Every knob.
pub const KNOBS: &[Knob] = &[
    Knob {
        name: "threads",
        domain: Domain::Integer(1, 1024),
        memory: Some(Memory::Same),
        server_flag: Flag::Value("--threads"),
        bench_flag: Flag::Value("-t"),
        aliases: &["-t"],
        bench_aliases: &["--threads"],
        default: |facts| whole(facts.physical_cores),
        candidates: thread_counts,
        ordered: true,
        help: "threads for generation",
        ..BASE
    },
    Knob {
        name: "threads-batch",
        domain: Domain::Integer(1, 1024),
        memory: Some(Memory::Same),
        server_flag: Flag::Value("--threads-batch"),
        aliases: &["-tb"],
        // llama.cpp uses the number of threads for generation when this one is not set.
        candidates: |facts| with_auto(thread_counts(facts)),
        ordered: true,
        help: "threads for prompt processing (llama-bench has one number for both)",
        ..BASE
    },
    Knob {
        name: "batch",
        domain: Domain::Integer(1, ANY),
        memory: Some(Memory::Grows),
        server_flag: Flag::Value("--batch-size"),
        bench_flag: Flag::Value("-b"),
        aliases: &["-b"],
        bench_aliases: &["--batch-size"],
        default: |_| Value::Integer(2048),
        candidates: |facts| batch_sizes(facts, &[128, 512, 1024, 2048, 4096], 2048),
        ordered: true,
        help: "tokens handed to the engine at once (logical batch)",
        ..BASE
    },
    Knob {
        name: "ubatch",
        domain: Domain::Integer(1, ANY),
        memory: Some(Memory::Grows),
        server_flag: Flag::Value("--ubatch-size"),
        bench_flag: Flag::Value("-ub"),
        aliases: &["-ub"],
        bench_aliases: &["--ubatch-size"],
        default: |_| Value::Integer(512),
        candidates: |facts| batch_sizes(facts, &[32, 64, 128, 256, 512, 1024, 2048], 512),
        ordered: true,
        help: "tokens computed at once (physical batch), or batch/N",
        ..BASE
    },
    Knob {
        name: "flash-attention",
        domain: Domain::Word(&["on", "off"]),
        server_flag: Flag::Value("--flash-attn"),
        bench_flag: Flag::Value("-fa"),
        aliases: &["-fa"],
        bench_aliases: &["--flash-attn"],
        // Where it can be used, `auto` is `on`; only `off` is another configuration.
        candidates: |_| vec![Value::Auto, word("off")],
        help: "flash attention",
        ..BASE
    },
    Knob {
        name: "cache-type-k",
        domain: Domain::Word(CACHE_TYPES),
        lossy: true,
        server_flag: Flag::Value("--cache-type-k"),
        bench_flag: Flag::Value("-ctk"),
        aliases: &["-ctk"],
        bench_aliases: &["--cache-type-k"],
        default: |_| word("f16"),
        help: "type of the K cache",
        ..BASE
    },
    Knob {
        name: "cache-type-v",
        domain: Domain::Word(CACHE_TYPES),
        lossy: true,
        server_flag: Flag::Value("--cache-type-v"),
        bench_flag: Flag::Value("-ctv"),
        aliases: &["-ctv"],
        bench_aliases: &["--cache-type-v"],
        default: |_| word("f16"),
        help: "type of the V cache (quantised: needs flash attention)",
        ..BASE
    },
    Knob {
        name: "rope-scaling",
        domain: Domain::Word(&["none", "linear", "yarn"]),
        lossy: true,
        memory: Some(Memory::Same),
        server_flag: Flag::Value("--rope-scaling"),
        help: "how positions beyond those of the training are scaled; unset: as the model says",
        ..BASE
    },
    Knob {
        name: "rope-freq-base",
        domain: Domain::Number(1.0, 1e12),
        lossy: true,
        memory: Some(Memory::Same),
        server_flag: Flag::Value("--rope-freq-base"),
        ordered: true,
        help: "base frequency of rotary positions; unset: as the model says",
        ..BASE
    },
    Knob {
        name: "rope-freq-scale",
        domain: Domain::Number(1e-6, 1e3),
        lossy: true,
        memory: Some(Memory::Same),
        server_flag: Flag::Value("--rope-freq-scale"),
        ordered: true,
        help: "factor on rotary positions, 0.5 for twice the context; unset: as the model says",
        ..BASE
    },
    Knob {
        name: "kv-offload",
        condition: Condition::Gpu,
        server_flag: Flag::Pair("--kv-offload", "--no-kv-offload"),
        bench_flag: Flag::ZeroOne("-nkvo"),
        aliases: &["-kvo"],
        off_aliases: &["-nkvo"],
        bench_aliases: &["--no-kv-offload"],
        default: |_| Value::Switch(true),
        candidates: |_| switch(),
        help: "keep the KV cache on the GPU",
        ..BASE
    },
    Knob {
        name: "op-offload",
        condition: Condition::Gpu,
        server_flag: Flag::Pair("--op-offload", "--no-op-offload"),
        bench_flag: Flag::ZeroOne("-nopo"),
        bench_aliases: &["--no-op-offload"],
        default: |_| Value::Switch(true),
        candidates: |_| switch(),
        help: "let the GPU compute with weights that lie in host memory",
        ..BASE
    },
    Knob {
        name: "load-mode",
        domain: Domain::Word(&["none", "mmap", "mlock", "mmap+mlock", "dio"]),
        scope: Scope::Model,
        server_flag: Flag::Value("--load-mode"),
        bench_flag: Flag::Value("-lm"),
        aliases: &["-lm"],
        bench_aliases: &["--load-mode"],
        help: "how the file is read: none, mmap, mlock, mmap+mlock, dio (direct I/O)",
        ..BASE
    },
    Knob {
        name: "repack",
        scope: Scope::Model,
        server_flag: Flag::Pair("--repack", "--no-repack"),
        bench_flag: Flag::OneZero("--repack"),
        off_aliases: &["-nr"],
        default: |_| Value::Switch(true),
        candidates: |_| switch(),
        help: "rearrange weights at load for faster CPU kernels, where a type has them",
        ..BASE
    },
    Knob {
        name: "gpu-layers",
        domain: Domain::Integer(0, ANY),
        scope: Scope::Model,
        condition: Condition::Gpu,
        memory: Some(Memory::Grows),
        server_flag: Flag::Value("--gpu-layers"),
        bench_flag: Flag::Value("-ngl"),
        aliases: &["-ngl", "--n-gpu-layers"],
        bench_aliases: &["--n-gpu-layers"],
        candidates: layer_counts,
        ordered: true,
        help: "layers on the GPU, counted from the end; the output counts as one",
        ..BASE
    },
    Knob {
        name: "split-mode",
        domain: Domain::Word(&["none", "layer", "row", "tensor"]),
        scope: Scope::Model,
        condition: Condition::SeveralGpus,
        server_flag: Flag::Value("--split-mode"),
        bench_flag: Flag::Value("-sm"),
        aliases: &["-sm"],
        bench_aliases: &["--split-mode"],
        default: |_| word("layer"),
        candidates: |_| vec![word("layer"), word("row"), word("none")],
        help: "how several GPUs share the model",
        ..BASE
    },
    Knob {
        name: "main-gpu",
        domain: Domain::Integer(0, 255),
        scope: Scope::Model,
        condition: Condition::SeveralGpus,
        server_flag: Flag::Value("--main-gpu"),
        bench_flag: Flag::Value("-mg"),
        aliases: &["-mg"],
        bench_aliases: &["--main-gpu"],
        default: |_| Value::Integer(0),
        help: "the GPU that does the work with split mode none, or the small tensors with row",
        ..BASE
    },
    Knob {
        name: "tensor-split",
        domain: Domain::Text("shares of the GPUs such as 3/1"),
        scope: Scope::Model,
        condition: Condition::SeveralGpus,
        server_flag: Flag::Value("--tensor-split"),
        bench_flag: Flag::Value("-ts"),
        aliases: &["-ts"],
        bench_aliases: &["--tensor-split"],
        help: "the share of the model that each GPU takes",
        ..BASE
    },
    Knob {
        name: "cpu-moe-layers",
        domain: Domain::Integer(0, 4096),
        scope: Scope::Model,
        condition: Condition::GpuAndExperts,
        memory: Some(Memory::Shrinks),
        server_flag: Flag::Value("--n-cpu-moe"),
        bench_flag: Flag::Value("-ncmoe"),
        aliases: &["-ncmoe"],
        bench_aliases: &["--n-cpu-moe"],
        default: |_| Value::Integer(0),
        candidates: |facts| quarters(facts.layers),
        ordered: true,
        help: "layers, from the first on, whose experts stay on the CPU",
        ..BASE
    },
    Knob {
        name: "tensor-overrides",
        domain: Domain::Text("PATTERN=BUFFER pairs such as `ffn_.*_exps=CPU`, separated by commas"),
        scope: Scope::Model,
        server_flag: Flag::Value("--override-tensor"),
        bench_flag: Flag::Value("-ot"),
        aliases: &["-ot"],
        bench_aliases: &["--override-tensor"],
        help: "where tensors whose names match a pattern are kept",
        ..BASE
    },
    Knob {
        name: "numa",
        domain: Domain::Word(&["distribute", "isolate", "numactl"]),
        scope: Scope::Process,
        condition: Condition::SeveralNodes,
        memory: Some(Memory::Same),
        server_flag: Flag::Value("--numa"),
        bench_flag: Flag::Value("--numa"),
        candidates: |_| vec![Value::Auto, word("distribute"), word("isolate")],
        help: "placement of threads on NUMA nodes",
        ..BASE
    },
    Knob {
        name: "parallel",
        domain: Domain::Integer(1, 1024),
        scope: Scope::Process,
        condition: Condition::Server,
        server_flag: Flag::Value("--parallel"),
        aliases: &["-np"],
        default: |facts| whole(facts.concurrency),
        // More slots than requests at once would only take memory.
        candidates: |facts| halvings(facts.concurrency),
        ordered: true,
        help: "slots of a server: requests beyond them wait",
        ..BASE
    },
    Knob {
        name: "kv-unified",
        scope: Scope::Process,
        condition: Condition::Server,
        server_flag: Flag::Pair("--kv-unified", "--no-kv-unified"),
        aliases: &["-kvu"],
        off_aliases: &["-no-kvu"],
        default: |_| Value::Switch(false),
        candidates: of_several,
        help: "one cache for all slots of a server instead of one for each",
        ..BASE
    },
    Knob {
        name: "continuous-batching",
        scope: Scope::Process,
        condition: Condition::Server,
        server_flag: Flag::Pair("--cont-batching", "--no-cont-batching"),
        aliases: &["-cb"],
        off_aliases: &["-nocb"],
        default: |_| Value::Switch(true),
        candidates: of_several,
        help: "let a request join a server's batch while others are generated",
        ..BASE
    },
    Knob {
        name: "speculation",
        domain: Domain::Word(SPECULATIONS),
        scope: Scope::Process,
        condition: Condition::Server,
        server_flag: Flag::Value("--spec-type"),
        help: "how a server guesses tokens ahead; draft-simple needs draft-model",
        ..BASE
    },
    Knob {
        name: "draft-model",
        domain: Domain::Text("the path of a small GGUF model with the same vocabulary"),
        scope: Scope::Process,
        condition: Condition::Server,
        server_flag: Flag::Value("--spec-draft-model"),
        aliases: &["-md", "--model-draft"],
        help: "the model that guesses tokens ahead",
        ..BASE
    },
    Knob {
        name: "draft-max",
        domain: Domain::Integer(0, 1024),
        scope: Scope::Process,
        condition: Condition::Server,
        server_flag: Flag::Value("--spec-draft-n-max"),
        aliases: &["--draft", "--draft-n", "--draft-max"],
        ordered: true,
        help: "most tokens that a draft model guesses at once",
        ..BASE
    },
    Knob {
        name: "draft-min",
        domain: Domain::Integer(0, 1024),
        scope: Scope::Process,
        condition: Condition::Server,
        server_flag: Flag::Value("--spec-draft-n-min"),
        aliases: &["--draft-min", "--draft-n-min"],
        ordered: true,
        help: "fewest guessed tokens that are worth a check",
        ..BASE
    },
];

fn whole(number: u32) -> Value {
    Value::Integer(i64::from(number))
}

fn word(text: &str) -> Value {
    Value::Text(text.to_string())
}

fn switch() -> Vec<Value> {
    vec![Value::Switch(true), Value::Switch(false)]
}

fn with_auto(values: Vec<Value>) -> Vec<Value> {
    if values.len() < 2 {
        return Vec::new();
    }
    std::iter::once(Value::Auto).chain(values).collect()
}

/// One core, a quarter, half, three quarters of the physical cores, all of them, and all logical ones.
fn thread_counts(facts: &Facts) -> Vec<Value> {
    let physical = facts.physical_cores.max(1);
    let mut counts: Vec<u32> =
        [1, physical / 4, physical / 2, physical * 3 / 4, physical.saturating_sub(1), physical]
            .into_iter()
            .chain([facts.logical_cores])
            .filter(|&count| count >= 1)
            .collect();
    counts.sort_unstable();
    counts.dedup();
    counts.into_iter().map(whole).collect()
}

/// Sizes that differ for this workload: those below the prompt, and llama.cpp's default for the rest, since
/// every size that holds the whole prompt does the same.
fn batch_sizes(facts: &Facts, sizes: &[i64], default: i64) -> Vec<Value> {
    let prompt = i64::from(facts.prompt_tokens);
    let largest = sizes.iter().copied().find(|&size| size >= prompt);
    let keep = |size: i64| size < prompt || size == default || (Some(size) == largest && default < prompt);
    let kept: Vec<Value> = sizes.iter().copied().filter(|&size| keep(size)).map(Value::Integer).collect();
    if kept.len() < 2 { Vec::new() } else { kept }
}

/// All (which is what `auto` does), none, a quarter, half and three quarters of the layers and the output.
fn layer_counts(facts: &Facts) -> Vec<Value> {
    let mut counts = quarters(facts.layers + 1);
    counts.pop();
    counts.insert(0, Value::Auto);
    counts
}

/// The number itself, half of it, a quarter, down to one; nothing when there is only one.
fn halvings(of: u32) -> Vec<Value> {
    let mut counts: Vec<u32> =
        std::iter::successors(Some(of), |count| (*count > 1).then(|| count / 2)).collect();
    counts.reverse();
    if counts.len() < 2 { Vec::new() } else { counts.into_iter().map(whole).collect() }
}

/// On and off where several requests run at once.
fn of_several(facts: &Facts) -> Vec<Value> {
    if facts.concurrency > 1 { switch() } else { Vec::new() }
}

fn quarters(of: u32) -> Vec<Value> {
    let mut counts: Vec<u32> = (0..=4).map(|quarter| of * quarter / 4).collect();
    counts.dedup();
    counts.into_iter().map(whole).collect()
}
