use super::*;
use gguflab_types::knob::{self, KNOBS};
use gguflab_types::{Request, Value, workload};
use std::collections::BTreeSet;

/// What a tool writes for an engine that is built in.
fn written(tool: &str, model: &Path, configuration: &Configuration, workload: &Workload) -> CommandLines {
    let engine = EngineIdentity { kind: "embedded".into(), ..EngineIdentity::default() };
    let tool = TOOLS.iter().find(|row| row.name == tool).unwrap();
    (tool.write)(&TakeAway { model, configuration, workload, engine: &engine })
}

fn llama_server(model: &Path, configuration: &Configuration, workload: &Workload) -> String {
    written("llama-server", model, configuration, workload).lines.remove(0)
}

fn llama_bench(model: &Path, configuration: &Configuration, workload: &Workload) -> CommandLines {
    written("llama-bench", model, configuration, workload)
}

fn gguflab_bench(model: &Path, configuration: &Configuration, workload: &Workload) -> CommandLines {
    written("gguflab", model, configuration, workload)
}

fn configuration(settings: &[(&str, &str)]) -> Configuration {
    settings.iter().fold(Configuration::new(), |configuration, (knob, text)| {
        let value = Value::parse(text);
        let checked = knob::find(knob).map_or(Ok(value.clone()), |knob| knob.check(&value));
        configuration.with(knob, checked.unwrap())
    })
}

fn own(request: Request) -> Workload {
    Workload::single("own", request)
}

fn named(name: &str) -> Workload {
    workload::find(name).unwrap()
}

#[test]
fn llama_server_gets_room_for_every_sequence_and_the_flags_of_the_table() {
    let tuned =
        configuration(&[("threads", "4"), ("ubatch", "128"), ("flash-attention", "off"), ("repack", "off")]);
    let cases = [
        (Configuration::new(), named("chat"), "--ctx-size 768 --parallel 1"),
        (Configuration::new(), named("batch"), "--ctx-size 2048 --parallel 4"),
        (Configuration::new(), own(Request::new(256, 1)), "--ctx-size 512 --parallel 1"),
        (
            Configuration::new(),
            own(Request { concurrency: 0, ..Request::new(0, 0) }),
            "--ctx-size 256 --parallel 1",
        ),
        (
            tuned,
            named("chat"),
            "--ctx-size 768 --parallel 1 --threads 4 --ubatch-size 128 --flash-attn off --no-repack",
        ),
        (
            configuration(&[("tensor-overrides", "ffn_.*_exps=CPU,output=CPU"), ("kv-offload", "on")]),
            own(Request::new(1, 1)),
            "--ctx-size 256 --parallel 1 --kv-offload --override-tensor 'ffn_.*_exps=CPU,output=CPU'",
        ),
    ];
    for (configuration, workload, expected) in cases {
        let line = llama_server(Path::new("model.gguf"), &configuration, &workload);
        assert_eq!(line, format!("llama-server --model model.gguf {expected}"));
    }
}

#[test]
fn every_request_of_a_mix_counts_for_the_room() {
    let requests = vec![
        Request { prompt: 3000, ..Request::new(3000, 100) },
        Request { concurrency: 4, ..Request::new(200, 20) },
    ];
    let mix = Workload { name: "mix".into(), requests };
    let line = llama_server(Path::new("m"), &Configuration::new(), &mix);
    assert!(line.ends_with("--ctx-size 13312 --parallel 4"), "{line}");
    assert_eq!(llama_bench(Path::new("m"), &Configuration::new(), &mix).lines.len(), 2);
}

#[test]
fn llama_bench_measures_each_request_and_says_what_it_leaves_out() {
    let bench = |configuration: &Configuration, workload: &Workload| {
        llama_bench(Path::new("model.gguf"), configuration, workload)
    };
    let plain = bench(&Configuration::new(), &own(Request::new(512, 0)));
    assert_eq!(plain.lines, ["llama-bench -m model.gguf -p 512 -n 0 -d 0 -r 5"]);
    assert_eq!(plain.notes, Vec::<String>::new());
    let settings = configuration(&[
        ("threads", "2"),
        ("threads-batch", "4"),
        ("op-offload", "off"),
        ("tensor-split", "3,1"),
        ("tensor-overrides", "a=CPU,b=CPU"),
    ]);
    let tuned = bench(&settings, &named("batch"));
    assert_eq!(
        tuned.lines,
        ["llama-bench -m model.gguf -p 256 -n 64 -d 0 -r 5 -t 2 -nopo 1 -ts 3/1 -ot 'a=CPU;b=CPU'"]
    );
    let expected = ["threads-batch=4", "the 4 at once", "generation follows the prompt"];
    assert_eq!(tuned.notes.len(), expected.len(), "{:?}", tuned.notes);
    for (note, part) in tuned.notes.iter().zip(expected) {
        assert!(note.contains(part), "{note}");
    }
    let comma = llama_bench(Path::new("a,b.gguf"), &Configuration::new(), &own(Request::new(1, 0)));
    assert!(comma.notes[0].contains("comma"), "{:?}", comma.notes);
}

#[test]
fn gguflab_names_the_workload_or_spells_it_out() {
    let settings = configuration(&[("threads", "4"), ("ubatch", "batch/4")]);
    let lines = |workload: &Workload| gguflab_bench(Path::new("model.gguf"), &settings, workload).lines;
    let set = "--set threads=4 --set ubatch=batch/4";
    assert_eq!(lines(&named("chat")), [format!("gguflab bench model.gguf --workload chat {set}")]);
    let spelled = "gguflab bench model.gguf --prompt 7 --generate 9 --depth 0 --concurrency 1";
    assert_eq!(lines(&own(Request::new(7, 9))), [format!("{spelled} {set}")]);
    // A workload of the user's own that takes a known name must not turn into the known one.
    let impostor = Workload { name: "chat".into(), ..own(Request::new(7, 9)) };
    assert_eq!(lines(&impostor), [format!("{spelled} {set}")]);
}

#[test]
fn a_ratio_of_the_batch_becomes_a_number() {
    let ubatch = |settings: &[(&str, &str)]| {
        let line = llama_server(Path::new("m"), &configuration(settings), &own(Request::new(1, 1)));
        line.split(" --ubatch-size ").nth(1).map(str::to_string)
    };
    assert_eq!(ubatch(&[("ubatch", "batch/8")]), Some("256".into()));
    assert_eq!(ubatch(&[("batch", "100"), ("ubatch", "batch/8")]), Some("12".into()));
    // 2048 / 4 is llama.cpp's default of 512.
    assert_eq!(ubatch(&[("ubatch", "batch/4")]), None);
}

#[test]
fn every_setting_reaches_every_tool_that_has_a_flag_for_it() {
    for knob in KNOBS {
        let value = match knob.domain {
            knob::Domain::Integer(low, _) => Value::Integer(low + 1),
            knob::Domain::Switch => Value::Switch(false),
            knob::Domain::Word(words) => Value::Text(words[0].to_string()),
            knob::Domain::Choice(_) => continue,
            knob::Domain::Number(low, _) => Value::Number(low + 0.5),
            knob::Domain::Text(_) => Value::Text("x".into()),
        };
        let set = Configuration::new().with(knob.name, value.clone());
        let bare = Configuration::new();
        for tool in TOOLS {
            let workload = workload_of(tool);
            let (with, without) = (
                written(tool.name, Path::new("m"), &set, &workload),
                written(tool.name, Path::new("m"), &bare, &workload),
            );
            let said = with.lines != without.lines || with.notes.iter().any(|note| note.contains(knob.name));
            assert!(said, "{} loses {}={value}", tool.name, knob.name);
        }
    }
    let names: BTreeSet<_> = TOOLS.iter().map(|tool| tool.name).collect();
    assert_eq!(names.len(), TOOLS.len());
}

const AWKWARD: [&str; 9] = [
    "plain-1.0_x.gguf",
    "with space.gguf",
    "it's \"quoted\".gguf",
    "$HOME `id` \\ !.gguf",
    "a;b|c&d>e<f(g)*?[h]{i}~#.gguf",
    "two\nlines",
    "größe-模型.gguf",
    "",
    "''",
];

#[test]
fn words_without_special_characters_stay_as_they_are() {
    assert_eq!(quoted("models/a-1.5_b.gguf"), "models/a-1.5_b.gguf");
    assert_eq!(quoted("a b"), "'a b'");
    assert_eq!(quoted("it's"), r"'it'\''s'");
    assert_eq!(quoted(""), "''");
}

#[cfg(unix)]
#[test]
fn a_shell_reads_every_word_back() {
    for text in AWKWARD {
        let script = format!("printf '%s' {}", quoted(text));
        let output = std::process::Command::new("sh").args(["-c", &script]).output().unwrap();
        assert_eq!(String::from_utf8(output.stdout).unwrap(), text, "{script}");
    }
    let line = llama_server(Path::new("it's $1"), &Configuration::new(), &named("chat"));
    let script =
        format!("llama-server() {{ printf '<%s>' \"$@\"; }}\n{line}").replace("llama-server", "server");
    let output = std::process::Command::new("sh").args(["-c", &script]).output().unwrap();
    assert_eq!(
        String::from_utf8(output.stdout).unwrap(),
        "<--model><it's $1><--ctx-size><768><--parallel><1>"
    );
}

#[test]
fn paths_that_look_like_flags_or_cannot_be_written_are_taken_care_of() {
    let line = llama_server(Path::new("-m.gguf"), &Configuration::new(), &named("chat"));
    assert!(line.starts_with("llama-server --model ./-m.gguf "), "{line}");
    #[cfg(unix)]
    {
        use std::os::unix::ffi::OsStrExt;
        let path = Path::new(std::ffi::OsStr::from_bytes(b"\xff.gguf"));
        for tool in TOOLS {
            let notes = written(tool.name, path, &Configuration::new(), &workload_of(tool)).notes;
            assert!(notes[0].contains("not UTF-8"), "{notes:?}");
        }
    }
}

/// A workload that a tool is for.
fn workload_of(tool: &Tool) -> Workload {
    let logits = ["llama-perplexity", "llama-imatrix"].contains(&tool.name);
    named(if logits { workload::LOGITS } else { "chat" })
}

#[test]
fn a_document_gets_the_lines_of_every_tool() {
    let (model, workload) = (Path::new("m.gguf"), named("chat"));
    let (set, engine) = (configuration(&[("threads-batch", "3")]), EngineIdentity::default());
    let taken = TakeAway { model, configuration: &set, workload: &workload, engine: &engine };
    let mut document = Document::new("");
    add_commands(&mut document, &taken, true);
    let shown = serde_json::to_string(&document).unwrap();
    for tool in TOOLS.iter().filter(|tool| workload_of(tool).name != workload::LOGITS) {
        assert!(shown.contains(&format!("\"caption\":\"{}: ", tool.name)), "{} in {shown}", tool.name);
    }
    assert!(shown.contains("llama-bench has no flag for threads-batch=3"), "{shown}");
    let folded =
        document.blocks.iter().filter(|block| matches!(block, gguflab_report::Block::Fold { .. })).count();
    assert_eq!((folded, document.flat().len() > document.blocks.len()), (1, true));
    let mut short = Document::new("");
    add_commands(&mut short, &taken, false);
    let shown =
        short.flat().iter().filter(|block| matches!(block, gguflab_report::Block::Code { .. })).count();
    let usual = TOOLS.iter().filter(|tool| workload_of(tool).name != workload::LOGITS);
    assert_eq!(shown, usual.clone().filter(|tool| tool.first).count());
    let files = files(&taken);
    let names: BTreeSet<_> = files.iter().map(|(name, _)| *name).collect();
    assert_eq!(names.len(), usual.count(), "each tool has a file of its own");
    assert!(files[0].1.starts_with("#!/bin/sh\n# "), "{}", files[0].1);
    assert!(files.iter().any(|(_, text)| text.contains("# llama-bench has no flag for threads-batch=3")));
}

#[test]
fn files_of_other_tools_say_what_llama_server_is_told() {
    let tuned = configuration(&[
        ("threads", "4"),
        ("ubatch", "128"),
        ("flash-attention", "off"),
        ("repack", "off"),
        ("gpu-layers", "20"),
        ("cache-type-k", "q8_0"),
        ("cpu-moe-layers", "7"),
        ("load-mode", "mmap"),
    ]);
    let shown = |tool: &str, workload: &str| {
        written(tool, Path::new("/models/Tiny Model.gguf"), &tuned, &named(workload)).lines.join("\n")
    };
    assert_eq!(
        shown("models-preset", "batch"),
        "version = 1\n\n[Tiny-Model]\nmodel = /models/Tiny Model.gguf\nctx-size = 2048\nparallel = 4\n\
         threads = 4\nubatch-size = 128\nflash-attn = off\ncache-type-k = q8_0\nload-mode = mmap\n\
         no-repack = true\ngpu-layers = 20\nn-cpu-moe = 7"
    );
    assert_eq!(
        shown("llama-swap", "chat"),
        "models:\n  \"Tiny-Model\":\n    cmd: \"llama-server --port ${PORT} --model '/models/Tiny Model.gguf' \
         --ctx-size 768 --parallel 1 --threads 4 --ubatch-size 128 --flash-attn off --cache-type-k q8_0 \
         --load-mode mmap --no-repack --gpu-layers 20 --n-cpu-moe 7\""
    );
    assert_eq!(
        shown("ollama", "chat"),
        "FROM \"/models/Tiny Model.gguf\"\nPARAMETER num_ctx 768\nPARAMETER num_gpu 20\nPARAMETER use_mmap true\n\
         PARAMETER num_thread 4\nPARAMETER num_batch 128"
    );
    let notes = written("ollama", Path::new("m"), &tuned, &named("batch")).notes.join("\n");
    for words in ["OLLAMA_FLASH_ATTENTION=0", "OLLAMA_NUM_PARALLEL=4", "cpu-moe-layers=7, repack=off"] {
        assert!(notes.contains(words), "{words} in {notes}");
    }
    assert_eq!(
        shown("llama-cpp-python", "chat"),
        "model_path: \"/models/Tiny Model.gguf\"\nn_ctx: 768\ntype_k: 8\nflash_attn: false\nn_gpu_layers: 20\n\
         use_mmap: true\nuse_mlock: false\nn_threads: 4\nn_ubatch: 128\nn_batch: 2048\nn_threads_batch: 4"
    );
}

#[test]
fn a_path_that_a_file_cannot_say_is_told() {
    for (tool, path) in [
        ("models-preset", "a;b.gguf"),
        ("models-preset", "two\nlines"),
        ("ollama", "a\"b"),
        ("llama-swap", "${x}"),
    ] {
        let notes = written(tool, Path::new(path), &Configuration::new(), &named("chat")).notes;
        assert_eq!(notes.len(), 1, "{tool} {path}: {notes:?}");
    }
    let awkward =
        written("llama-swap", Path::new("it's \"so\"\t.gguf"), &Configuration::new(), &named("chat"));
    let command = awkward.lines[2].strip_prefix("    cmd: ").unwrap();
    let command: String = serde_json::from_str(command).unwrap();
    assert!(command.contains(r#"--model 'it'\''s "so""#), "{command}");
}

#[test]
fn environment_variables_that_are_knobs_are_set() {
    let set = Configuration::new()
        .with("env:OMP_WAIT_POLICY", Value::Text("it's active".into()))
        .with("threads", Value::Integer(2));
    let shown = |tool: &str| written(tool, Path::new("m.gguf"), &set, &named("chat"));
    for tool in ["llama-server", "llama-bench"] {
        let lines = shown(tool);
        assert!(lines.lines[0].starts_with(r"OMP_WAIT_POLICY='it'\''s active' llama-"), "{lines:?}");
        assert!(!lines.notes.iter().any(|note| note.contains("OMP")), "{lines:?}");
    }
    assert!(shown("gguflab").lines[0].ends_with(r"--env 'OMP_WAIT_POLICY=it'\''s active' --set threads=2"));
    assert_eq!(shown("llama-swap").lines[3..], ["    env:", "      - \"OMP_WAIT_POLICY=it's active\""]);
    assert!(shown("profile").lines.join("\n").contains("[environment]\nOMP_WAIT_POLICY = \"it's active\""));
    for tool in ["models-preset", "ollama", "llama-cpp-python"] {
        assert!(shown(tool).notes.iter().any(|note| note.contains("OMP_WAIT_POLICY")), "{tool}");
    }
}

#[test]
fn tools_for_all_logits_get_batches_within_one_context() {
    let line = |tool: &str, settings: &[(&str, &str)], context: u32| {
        let workload = own(Request::all_logits(context));
        written(tool, Path::new("m.gguf"), &configuration(settings), &workload).lines.join("\n")
    };
    let set = [("batch", "128"), ("ubatch", "48")];
    assert_eq!(
        line("llama-perplexity", &set, 512),
        "llama-perplexity --model m.gguf --file TEXT.txt --ctx-size 512 --batch-size 128 --ubatch-size 48"
    );
    let imatrix = line("llama-imatrix", &set, 512);
    assert!(imatrix.contains("--file TEXT.txt --output-file imatrix.gguf --ctx-size 512"), "{imatrix}");
    assert_eq!(
        line("gguflab", &set, 300),
        "gguflab bench m.gguf --workload logits --context 300 --set batch=128 --set ubatch=48"
    );
    assert_eq!(line("llama-server", &set, 512) + &line("llama-bench", &set, 512), "");
    // llama.cpp's default of 2048 would be several contexts at once.
    assert!(line("llama-perplexity", &[], 300).ends_with("--ctx-size 300 --batch-size 300"));
}
