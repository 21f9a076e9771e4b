//! What tools call a knob that do not take llama.cpp's flags: one table.

use gguflab_types::Value;

/// A knob in the words of other tools.
pub(super) struct Words {
    /// Name of the knob.
    pub(super) knob: &'static str,
    /// The parameter of an Ollama Modelfile, with how its value is written (`api/types.go`, `Runner`).
    pub(super) ollama: Option<Word>,
    /// The arguments of `llama_cpp.Llama` (0.3.x).
    pub(super) python: Option<Word>,
}

/// How a tool writes a value: `name value` pairs; `None` when it has no word for this value.
pub(super) type Word = fn(&Value) -> Option<Vec<(&'static str, String)>>;

const NONE: Words = Words { knob: "", ollama: None, python: None };

/// Every knob that one of the tools has a word for.
pub(super) const WORDS: &[Words] = &[
    Words {
        knob: "threads",
        ollama: Some(|value| plain("num_thread", value)),
        python: Some(|value| plain("n_threads", value)),
    },
    Words { knob: "threads-batch", python: Some(|value| plain("n_threads_batch", value)), ..NONE },
    Words { knob: "batch", python: Some(|value| plain("n_batch", value)), ..NONE },
    Words {
        knob: "ubatch",
        // Ollama's batch is llama.cpp's physical one; the logical one follows from it.
        ollama: Some(|value| plain("num_batch", value)),
        python: Some(|value| plain("n_ubatch", value)),
    },
    Words { knob: "flash-attention", python: Some(|value| word("flash_attn", value, SWITCH)), ..NONE },
    Words { knob: "cache-type-k", python: Some(|value| word("type_k", value, TYPES)), ..NONE },
    Words { knob: "cache-type-v", python: Some(|value| word("type_v", value, TYPES)), ..NONE },
    Words { knob: "kv-offload", python: Some(|value| word("offload_kqv", value, SWITCH)), ..NONE },
    Words { knob: "op-offload", python: Some(|value| word("op_offload", value, SWITCH)), ..NONE },
    Words {
        knob: "load-mode",
        ollama: Some(|value| word("use_mmap", value, &[("none", "false"), ("mmap", "true")])),
        python: Some(load_mode),
    },
    Words {
        knob: "gpu-layers",
        ollama: Some(|value| plain("num_gpu", value)),
        python: Some(|value| plain("n_gpu_layers", value)),
    },
    Words {
        knob: "split-mode",
        python: Some(|value| word("split_mode", value, &[("none", "0"), ("layer", "1"), ("row", "2")])),
        ..NONE
    },
    Words {
        knob: "main-gpu",
        ollama: Some(|value| plain("main_gpu", value)),
        python: Some(|value| plain("main_gpu", value)),
    },
    Words { knob: "tensor-split", python: Some(tensor_split), ..NONE },
    Words {
        knob: "numa",
        python: Some(|value| word("numa", value, &[("distribute", "1"), ("isolate", "2"), ("numactl", "3")])),
        ..NONE
    },
];

const SWITCH: &[(&str, &str)] = &[("on", "true"), ("off", "false")];
/// Numbers of `enum ggml_type`.
const TYPES: &[(&str, &str)] = &[
    ("f32", "0"),
    ("f16", "1"),
    ("bf16", "30"),
    ("q8_0", "8"),
    ("q4_0", "2"),
    ("q4_1", "3"),
    ("iq4_nl", "20"),
    ("q5_0", "6"),
    ("q5_1", "7"),
];

/// The words of a knob.
pub(super) fn find(knob: &str) -> Option<&'static Words> {
    WORDS.iter().find(|words| words.knob == knob)
}

fn plain(name: &'static str, value: &Value) -> Option<Vec<(&'static str, String)>> {
    value.as_number().map(|_| vec![(name, value.to_string())])
}

fn word(name: &'static str, value: &Value, known: &[(&str, &str)]) -> Option<Vec<(&'static str, String)>> {
    let given = value.to_string();
    let (_, written) = known.iter().find(|(ours, _)| *ours == given)?;
    Some(vec![(name, (*written).to_string())])
}

fn load_mode(value: &Value) -> Option<Vec<(&'static str, String)>> {
    let (mapped, locked) = match value.to_string().as_str() {
        "none" => ("false", "false"),
        "mmap" => ("true", "false"),
        "mlock" => ("false", "true"),
        "mmap+mlock" => ("true", "true"),
        _ => return None,
    };
    Some(vec![("use_mmap", mapped.to_string()), ("use_mlock", locked.to_string())])
}

/// Shares such as `3/1` or `3,1` as a list.
fn tensor_split(value: &Value) -> Option<Vec<(&'static str, String)>> {
    let text = value.to_string();
    let shares: Option<Vec<String>> = text
        .split(['/', ','])
        .map(|share| share.trim().parse::<f64>().ok().filter(|share| share.is_finite()))
        .map(|share| share.map(|share| share.to_string()))
        .collect();
    shares.map(|shares| vec![("tensor_split", format!("[{}]", shares.join(", ")))])
}
