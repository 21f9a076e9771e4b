use super::*;
use std::collections::BTreeSet;

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
        let workload = own(Request::new(1, 0));
        for tool in TOOLS {
            let (with, without) = (
                (tool.write)(Path::new("m"), &set, &workload),
                (tool.write)(Path::new("m"), &bare, &workload),
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
            let notes = (tool.write)(path, &Configuration::new(), &named("chat")).notes;
            assert!(notes[0].contains("not UTF-8"), "{notes:?}");
        }
    }
}

#[test]
fn a_document_gets_the_lines_of_every_tool() {
    let mut document = Document::new("");
    add_commands(
        &mut document,
        Path::new("m.gguf"),
        &configuration(&[("threads-batch", "3")]),
        &named("chat"),
    );
    let shown = serde_json::to_string(&document).unwrap();
    for tool in TOOLS {
        let first = &(tool.write)(Path::new("m.gguf"), &Configuration::new(), &named("chat")).lines[0];
        let program = first.split(' ').next().unwrap();
        assert!(shown.contains(&format!("\"text\":\"{program} ")), "{program} in {shown}");
    }
    assert!(shown.contains("llama-bench has no flag for threads-batch=3"), "{shown}");
}
