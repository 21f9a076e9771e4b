//! What is searched, from the command line: files, presets, variables, rules, pasted command lines.

use crate::support::{Ended, Place, finish};
use std::process::Stdio;

const TUNE: &str = "tune --engine simulated=gpu --dry-run --format csv";

/// Runs a line in which single quotes hold words together.
fn run(place: &Place, line: &str, wsl: bool) -> Ended {
    let folder = place.folder().display().to_string();
    let mut words: Vec<String> = Vec::new();
    for (index, part) in line.split('\'').enumerate() {
        match index % 2 {
            0 => words.extend(part.split_whitespace().map(|word| word.replace("{}", &folder))),
            _ => words.push(part.to_string()),
        }
    }
    let mut command = place.with_arguments(&words);
    command.env_remove("WSL_DISTRO_NAME");
    if wsl {
        command.env("WSL_DISTRO_NAME", "Debian");
    }
    finish(command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap())
}

fn check(place: &Place, line: &str, code: i32, words: &str) -> Ended {
    let ended = run(place, line, false);
    assert_eq!(ended.status.code(), Some(code), "gguflab {line}\n{ended}");
    assert!(ended.has(words), "gguflab {line}\nshould say `{words}`\n{ended}");
    ended
}

#[test]
fn spaces_come_from_files_presets_and_variables() {
    let place = Place::new();
    place.write("space.toml", "version = 1\n[knobs]\nthreads = \"1..2\"\nbatch = [128, 512]\n");
    place.write("tuner.json", r#"{"ngl": [12, 14, 16], "batch": [8, 12], "flash_attn": [0, 1]}"#);
    for (arguments, expected, absent) in [
        ("--space {}/space.toml", "batch=128 threads=2", "gpu-layers"),
        ("--space {}/space.toml --knob threads=3,5", "threads=5", "threads=2"),
        ("--space {}/space.toml --only batch", "batch=128", "threads"),
        ("--space {}/tuner.json --knob batch=512", "batch=12", "batch=512"),
        ("--preset gpu", "gpu-layers=", "numa"),
        ("--only threads --knob threads=half", "threads=", "batch"),
        ("--only threads --env GGML_X=1,2", "env:GGML_X=2", "batch"),
    ] {
        let said = check(&place, &format!("{TUNE} {arguments}"), 0, expected);
        assert!(!said.has(absent), "{arguments}: {said}");
    }
}

#[test]
fn wrong_spaces_are_refused_with_their_place() {
    let place = Place::new();
    place.write("space.toml", "version = 1\n[knobs]\nthreads = \"8..1\"\n");
    place.write("key.toml", "version = 1\nthreads = 1\n");
    place.write("rule.toml", "version = 1\n[[rule]]\nforbid = \"thread > 1\"\n");
    place.write(
        "all.toml",
        "version = 1\n[knobs]\nbatch = [128, 512]\n[[rule]]\nforbid = \"batch != 2048\"\n",
    );
    place.write("own.toml", "version = 1\n[[knob]]\nname = \"slots\"\nkind = \"switch\"\n");
    for (arguments, code, reason) in [
        ("--space {}/none.toml", 3, "cannot read"),
        ("--space {}/space.toml", 2, "the range runs down from 8 to 1"),
        ("--space {}/key.toml", 3, "key.toml:2: `threads = 1`: unknown field `threads`"),
        ("--space {}/rule.toml", 3, "rule.toml:3: forbid: column 1: unknown knob `thread`"),
        ("--space {}/all.toml", 2, "no configuration of this space is allowed: forbidden by the rule"),
        ("--space {}/own.toml", 2, "for an engine that is run by command"),
        ("--preset tpu", 2, "there are cpu, gpu, moe, wsl"),
        ("--preset moe", 2, "preset moe needs a GPU and a model with experts"),
        ("--env A=1 --env A=1,2", 2, "fixed and searched"),
        ("--baseline 'llama-server -t'", 2, "-t has no value"),
        ("--baseline 'llama-server -t 2' --baseline 'llama-server -t 3'", 2, "one command line is enough"),
    ] {
        check(&place, &format!("{TUNE} {arguments}"), code, reason);
    }
    check(&place, "bench --engine simulated --env A=1,2", 2, "only tune searches");
}

#[test]
fn rules_are_kept_and_said() {
    let place = Place::new();
    place.write(
        "space.toml",
        "version = 1\n[knobs]\ngpu-layers = [8, 16]\nbatch = [128, 512, 2048]\n[[rule]]\n\
         forbid = \"gpu-layers >= 16 and batch < 2048\"\nwhy = \"it is too hot\"\n",
    );
    let line =
        "tune --engine simulated=gpu --budget-runs 12 --store {}/s.db --study rules --space {}/space.toml";
    let said = check(&place, line, 0, "leaves out 2 configurations: it is too hot");
    assert!(!said.has("batch=128 gpu-layers=16"), "{said}");
    // The rules are part of the study: another set of them is another search.
    place.write("space.toml", "version = 1\n[knobs]\ngpu-layers = [8, 16]\nbatch = [128, 512, 2048]\n");
    check(&place, line, 1, "begun with other settings (forbidden)");
}

#[test]
fn the_rule_of_wsl_holds_there_only() {
    let place = Place::new();
    let line = format!("{TUNE} --knob gpu-layers=16,32 --only gpu-layers");
    assert!(check(&place, &line, 0, "gpu-layers=16").has("gpu-layers=32"));
    let there = run(&place, &line, true);
    assert!(there.has("gpu-layers=16") && !there.has("gpu-layers=32"), "{there}");
    let forced = run(&place, &format!("{line} --allow-wsl-unsafe"), true);
    assert!(forced.has("gpu-layers=32"), "{forced}");
}

#[test]
fn a_pasted_command_line_is_the_baseline() {
    let place = Place::new();
    let line = format!(
        "{TUNE} --only threads --baseline 'GGML_X=1 llama-server -m m.gguf -ngl 20 -b 512 --host h --prio 2 -fa on' \
         --baseline threads=3"
    );
    let said = check(&place, &line, 0, "batch=512 env:GGML_X=1 flash-attention=on gpu-layers=20 threads=3");
    assert!(said.has("makes no difference: -m m.gguf, --host h"), "{said}");
    assert!(said.has("no knob here: --prio 2"), "{said}");
}

#[test]
fn a_billion_points_cost_no_more_than_a_few() {
    let place = Place::new();
    let line = "tune --engine simulated=gpu --budget-runs 12 --store {}/s.db --knob gpu-layers=0..999 \
                --knob batch=1..1000 --knob ubatch=1..1000 --only gpu-layers,batch,ubatch";
    let started = std::time::Instant::now();
    check(&place, line, 0, "Tuning");
    assert!(started.elapsed().as_secs() < 30, "{:?}", started.elapsed());
}

#[cfg(unix)]
#[test]
fn variables_reach_the_real_worker_and_restart_it() {
    let place = Place::with_model();
    place.write_program("wrap", "#!/bin/sh\necho \"$GGUFLAB_TEST_VARIABLE\" >> \"$0.seen\"\nexec \"$@\"\n");
    let line = "tune tiny.gguf --budget-runs 8 --prompt 16 --generate 4 --store {}/s.db --wrapper {}/wrap \
                --only threads --knob threads=1 --env GGUFLAB_TEST_VARIABLE=a,b";
    check(&place, line, 0, "env:GGUFLAB_TEST_VARIABLE");
    let seen = place.read("wrap.seen");
    assert!(["a", "b", ""].iter().all(|value| seen.lines().any(|line| line == *value)), "{seen}");
}

#[test]
fn batches_for_all_logits() {
    let place = Place::new();
    let line =
        "tune --engine simulated=laptop --workload logits --context 600 --budget-runs 30 --store {}/s.db";
    let ended = check(&place, line, 0, "llama-perplexity");
    assert!(ended.has("--ctx-size 600") && ended.has("llama-imatrix"), "{ended}");
    let conform =
        "tune --engine simulated=laptop --workload logits --context 600 --conform-to-imatrix --dry-run";
    let ended = check(&place, conform, 0, "batch=600");
    assert!(!ended.has("threads="), "{ended}");
    check(&place, &format!("{conform} --baseline batch=1024"), 2, "context by context");
    // llama.cpp takes a physical batch that does not divide the logical one, and so does this.
    let odd = "tune --engine simulated=laptop --workload logits --knob batch=500 --knob ubatch=300 --dry-run";
    check(&place, odd, 0, "batch=500 ubatch=300");
    for (line, code, reason) in [
        ("bench --engine simulated --workload logits --context 0", 2, "--context 0 is no text"),
        ("bench --engine simulated --context 9", 2, "--context goes with --workload logits"),
        ("tune --engine simulated --conform-to-imatrix --dry-run", 2, "goes with --workload logits"),
    ] {
        check(&place, line, code, reason);
    }
}

#[test]
fn all_logits_through_the_real_worker() {
    let place = Place::with_model();
    let line = "tune tiny.gguf --workload logits --context 64 --knob batch=16,64 --knob ubatch=16,32 --budget-runs 16 \
                --store {}/s.db --study bub --baseline threads=1";
    check(&place, line, 0, "llama-perplexity");
    let bench = "bench tiny.gguf --workload logits --context 40 --visits 1 -r 1 --set threads=1 --set batch=7 --set ubatch=3";
    check(&place, bench, 0, "prefill");
}

/// Faster with fewer slots; more than four do not fit; a draft length is told only with a draft.
const PROGRAM: &str = r#"
import json, sys
for line in sys.stdin:
    trial = json.loads(line)
    if "estimate" in trial:
        print(json.dumps({"estimates": None}), flush=True)
        continue
    settings = trial["settings"]
    assert "threads" not in settings, settings
    assert "draft-length" not in settings or settings["draft"] is True, settings
    slots = settings.get("slots", 1)
    if slots > 4:
        print(json.dumps({"outcome": "out_of_memory", "cause": "no room"}), flush=True)
        continue
    rate = 100.0 / slots
    values = [rate] * trial["repetitions"]
    print(json.dumps({"metrics": {"decode": values, "prefill": values, "wins": values}}), flush=True)
"#;

#[test]
fn an_engine_by_command_has_the_knobs_that_its_space_declares() {
    let place = Place::new();
    place.write("program.py", PROGRAM);
    place.write(
        "space.toml",
        "version = 1\n[[knob]]\nname = \"slots\"\nkind = \"integer\"\nleast = 1\nmost = 8\ndefault = 2\n\
         memory = \"grows\"\n[[knob]]\nname = \"draft\"\nkind = \"switch\"\ndefault = false\n[[knob]]\n\
         name = \"draft-length\"\nkind = \"integer\"\nvalues = [4, 8]\nonly-if = \"draft=on\"\n\
         [[rule]]\nforbid = \"draft = on and slots = 3\"\n[[metric]]\nname = \"wins\"\ndirection = \"higher\"\n",
    );
    let engine = "--engine 'command=python3 program.py' --space {}/space.toml --prompt 8 --generate 4";
    let tune = format!("tune {engine} --store {{}}/s.db --study own --budget-runs 40");
    let ended = check(&place, &tune, 0, "slots=1");
    assert!(ended.has("leaves out 2 configurations"), "{ended}");
    let trials = place.trials("s.db", "own");
    let full =
        trials.iter().filter(|trial| trial.configuration.integer("slots").is_some_and(|slots| slots > 4));
    // What needs at least as much as what ran out of memory is not run again.
    assert!(full.count() < 4, "{ended}");
    check(&place, "report own --store {}/s.db", 0, "slots=1");
    check(&place, &format!("bench {engine} --visits 1 --set slots=3 --set draft-length=4"), 0, "wins");
    check(&place, &format!("bench {engine} --set slot=3"), 2, "did you mean `slots`?");
    check(&place, &format!("bench {engine} --set threads=3"), 2, "the knobs are slots, draft, draft-length");
}
