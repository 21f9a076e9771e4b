//! `compare`, `gate` and `history`: verdicts, files and exit codes.

use crate::support::{Ended, Place};
use gguflab_lab::interleave::{Interleaved, Reason};
use gguflab_types::Purpose;

const SIDES: &str = "--engine simulated=noise=1 --seed 5";

fn verdict_of(ended: &Ended, quantity: &str) -> String {
    let line = ended.output.lines().find(|line| line.starts_with(&format!("│ {quantity} ")));
    let line = line.unwrap_or_else(|| panic!("{quantity} is not there\n{ended}"));
    line.rsplit('│').nth(1).unwrap_or_default().trim().to_string()
}

#[test]
fn a_comparison_says_which_side_is_better() {
    let place = Place::new();
    let worse =
        place.check(&format!("compare threads=4 threads=2 {SIDES}"), 0, "threads=2 is worse than threads=4");
    assert!(
        verdict_of(&worse, "time").ends_with("worse")
            && verdict_of(&worse, "memory").ends_with("indistinguishable")
    );
    let better = place.check(&format!("compare threads=2 threads=4 {SIDES}"), 0, "threads=4 is better");
    assert!(verdict_of(&better, "time").ends_with("better"));
    let same = place.check(
        &format!("compare threads=4 threads=4 {SIDES} --margin 0.05"),
        0,
        "do not differ by more",
    );
    assert!(same.output.contains("A again") || same.output.contains("B beside A"), "{same}");
    place.check(&format!("compare threads=4 threads=4 {SIDES} --margin 0.0001"), 0, "Undecided");
}

#[test]
fn both_sides_are_measured_in_turn_and_kept() {
    let place = Place::new();
    let line = format!("compare threads=4 threads=2 {SIDES} --record {{}}/both.json --report {{}}/both.html");
    place.check(&line, 0, "worse");
    let kept: Interleaved = serde_json::from_str(&place.read("both.json")).unwrap();
    assert_eq!(kept.reason, Reason::Decided);
    let mut trials: Vec<_> = kept
        .sides
        .iter()
        .enumerate()
        .flat_map(|(side, record)| record.trials.iter().map(move |trial| (trial, side)))
        .collect();
    trials.sort_by_key(|(trial, _)| trial.number);
    assert!(trials.iter().enumerate().all(|(place, (trial, _))| trial.number as usize == place));
    assert!(trials.iter().all(|(trial, _)| trial.purpose == Purpose::Compare));
    for block in trials[2..].chunks(4) {
        let order: Vec<usize> = block.iter().map(|(_, side)| *side).collect();
        assert!(order == [0, 1, 1, 0] || order == [1, 0, 0, 1], "{order:?}");
    }
    assert!(place.read("both.html").contains("<svg"));
}

#[test]
fn two_models_two_workers_and_two_workloads_are_sides() {
    let place = Place::with_model();
    std::fs::copy(place.path("tiny.gguf"), place.path("other.gguf")).unwrap();
    let small = "--prompt 32 --generate 8 --set threads=1 --budget-runs 4";
    let models = place.check(&format!("compare tiny.gguf other.gguf {small} --metric decode"), 0, "outputs");
    assert!(models.output.contains("same") && models.output.contains("other.gguf"), "{models}");
    let flags = format!("compare ubatch=16 ubatch=32 --model tiny.gguf {small}");
    place.check(&flags, 0, "ubatch=32");
    let depths = place.check(
        &format!("compare depth=0 depth=64 --model tiny.gguf {small} --no-outputs"),
        0,
        "workload",
    );
    assert!(depths.output.contains("pp32+tg8@d64"), "{depths}");
}

#[test]
fn sides_that_are_none_are_refused_by_name() {
    let place = Place::with_model();
    for (line, code, words) in [
        ("compare a=1 a=2 --engine simulated", 2, "a"),
        ("compare threads=4 threads=2 --engine simulated --metric speed", 2, "`speed`"),
        ("compare threads=4 threads=2 --engine simulated --metric decode@long", 2, "decode@long"),
        ("compare threads=4 threads=2 --engine simulated --margin 2", 2, "--margin 2"),
        ("compare threads=4 threads=2 --engine simulated --budget-runs 3", 2, "--budget-runs 3"),
        ("compare threads=4 threads=2 --engine simulated --budget-runs 402", 2, "400 are the most"),
        ("compare tiny.gguf nothing.gguf", 3, "nothing.gguf"),
        ("compare prompt=x prompt=2 --engine simulated", 2, "prompt"),
        ("compare threads=2 threads=1", 2, "model"),
    ] {
        place.check(line, code, words);
    }
}

/// A place with an accepted baseline of the simulated engine.
fn accepted() -> Place {
    let place = Place::new();
    place.check(&gate("accept mine --engine simulated=noise=1 --visits 6"), 0, "accepted as number 1");
    place
}

fn gate(rest: &str) -> String {
    format!("gate {rest} --baselines {{}}/accepted")
}

#[test]
fn a_gate_passes_fails_and_cannot_tell() {
    let place = accepted();
    let before = place.read("accepted/mine/baseline-0001.json");
    let check = |rest: &str| gate(&format!("check mine --reference-engine simulated=noise=1 {rest}"));
    place.check(&check("--engine simulated=noise=1,seed=7"), 0, "Pass");
    let slower = "--engine simulated=noise=1,speed=0.7 --junit {}/junit.xml --report {}/report.md";
    place.check(&check(slower), 1, "Fail");
    assert!(
        place.read("junit.xml").contains("<failure") && place.read("junit.xml").contains("decode&lt;10%")
    );
    assert!(place.read("report.md").contains("✗ fail"));
    place.check(&check("--engine simulated=noise=9,seed=3,speed=0.905 --budget-runs 4"), 6, "Inconclusive");
    place.check(&check("--engine simulated=noise=1,speed=2 --threshold decode>1000000"), 1, "Fail");
    place.check(&check("--engine simulated=noise=1,speed=2 --threshold decode>1"), 0, "Pass");
    assert_eq!(before, place.read("accepted/mine/baseline-0001.json"), "a check writes over nothing");
    let history = place.check("history mine --baselines {}/accepted", 0, "the accepted build, in turn");
    for verdict in ["pass", "fail", "inconclusive"] {
        assert!(history.output.contains(verdict), "{history}");
    }
    place.check("history --baselines {}/accepted --output {}/history.html", 0, "");
    assert!(place.read("history.html").contains("<svg"));
}

#[test]
fn stored_samples_are_weaker_and_that_is_said() {
    let place = accepted();
    let check = |rest: &str| gate(&format!("check mine --stored {rest}"));
    place.check(&check("--engine simulated=noise=1"), 0, "only stored samples of the baseline were there");
    place.check(&check("--engine simulated=noise=1,speed=0.5"), 1, "Fail");
    let untold =
        place.check(&check("--engine simulated=noise=9,seed=3,speed=1.03"), 6, "whatever the budget");
    assert!(untold.has("outputs were not checked") && !untold.has("raise --budget"), "{untold}");
    let lean = place.check(&check("--engine simulated=noise=1 --no-outputs"), 0, "Pass");
    assert!(!lean.has("outputs were not checked"), "{lean}");
}

#[test]
fn what_the_baseline_was_measured_with_runs_in_turn_unless_it_is_what_is_checked() {
    let place = accepted();
    let other = place.check(&gate("check mine --engine simulated=noise=1,speed=0.7"), 1, "Fail");
    assert!(!other.has("only stored samples"), "{other}");
    place.check(&gate("check mine --engine simulated=noise=1"), 0, "only stored samples");
}

#[test]
fn a_check_that_cannot_be_kept_says_its_verdict_all_the_same() {
    let place = accepted();
    place.write("accepted/mine/checks", "no folder");
    let line = "check mine --engine simulated=noise=1,speed=0.7 --junit {}/junit.xml --report {}/report.md";
    place.check(&gate(line), 1, "will not be in the history");
    assert!(place.read("junit.xml").contains("<failure") && place.read("report.md").contains("✗ fail"));
}

#[test]
fn of_two_who_accept_first_one_does() {
    let place = Place::new();
    let accept = || place.run(&gate("accept mine --engine simulated=noise=1 --visits 2"));
    let mut codes = std::thread::scope(|scope| {
        let both = [scope.spawn(accept), scope.spawn(accept)];
        both.map(|one| one.join().unwrap().status.code())
    });
    codes.sort();
    assert_eq!(codes, [Some(0), Some(2)]);
    assert!(!place.path("accepted/mine/baseline-0002.json").exists());
}

#[test]
fn what_was_accepted_stays() {
    let place = accepted();
    let again = gate("accept mine --engine simulated=noise=1 --visits 2");
    place.check(&again, 2, "--again");
    place.check(&format!("{again} --again"), 0, "accepted as number 2");
    assert!(place.path("accepted/mine/baseline-0001.json").exists());
    place.check(&gate("check mine --engine simulated=noise=1 --stored"), 0, "number 2");
}

#[test]
fn baselines_that_do_not_fit_are_refused_by_name() {
    let place = accepted();
    place.check(&gate("check other --engine simulated"), 2, "there are mine");
    let other = place.check(&gate("check mine --engine simulated=server"), 3, "something else");
    assert!(other.talk.contains("was accepted, and this is"), "{other}");
    place.check(&gate("accept ../mine --engine simulated"), 2, "`../mine`");
    place.check(&gate("accept new --engine simulated --threshold decode"), 2, "decode<10%");
    place.check(&gate("accept new --engine simulated --preset quick"), 2, "perf-methodology");
    place.check(&gate("accept new --engine simulated --keep-build"), 2, "--keep-build");
    place.check(&gate("accept new --engine simulated --threshold decode<12"), 2, "decode<SHARE%");
    let untold = "accept new --engine simulated --visits 2 --threshold time<9% --threshold package-energy<9%";
    place.check(&gate(untold), 2, "`package-energy<9%`: the engine does not tell it");
    assert!(!place.path("accepted/new").exists(), "nothing is accepted");
    place.check(
        &gate("check mine --engine simulated --reference-engine simulated=speed=3"),
        4,
        "not the accepted build",
    );
    let path = "accepted/mine/baseline-0001.json";
    let text = place.read(path);
    place.write(path, &text[..text.len() / 2]);
    place.check(&gate("check mine --engine simulated"), 3, "cut or no JSON");
    place.write(path, text.replacen("\"version\": 1", "\"version\": 99", 1));
    place.check(&gate("check mine --engine simulated"), 3, "version 99");
    place.check("history mine --baselines {}/accepted", 3, "version 99");
    place.write(path, &text);
    place.check(&gate("check mine --engine simulated=noise=1 --stored"), 0, "Pass");
    place.write("accepted/mine/checks/99999999999999-1.json", "{");
    let history =
        place.check("history mine --baselines {}/accepted", 3, "99999999999999-1.json cannot be used");
    assert!(history.output.contains("stored samples"), "what can be read is shown: {history}");
}

#[test]
fn a_calibration_says_what_can_be_seen() {
    let place = Place::new();
    let ended =
        place.check("gate calibrate --engine simulated=noise=4 --budget-runs 20", 0, "seen with 40 visits");
    assert!(ended.output.contains("time"), "{ended}");
}

#[cfg(unix)]
#[test]
fn a_kept_build_runs_in_turn_with_the_new_one() {
    let place = Place::with_model();
    let small = "--prompt 32 --generate 8 --set threads=1 --visits 3 --threshold time<900%";
    place.check(&gate(&format!("accept real tiny.gguf --keep-build {small}")), 0, "accepted");
    // As it comes out of a store of files.
    let kept = place.path("accepted/real/build-0001-gguflab-worker");
    std::fs::set_permissions(&kept, std::os::unix::fs::PermissionsExt::from_mode(0o644)).unwrap();
    let checked = place.check(&gate("check real --budget-runs 4"), 0, "Pass");
    assert!(
        checked.output.contains("outputs") && !checked.output.contains("only stored samples"),
        "{checked}"
    );
    std::fs::remove_file(kept).unwrap();
    let stored = place.check(&gate("check real"), 0, "only stored samples");
    assert!(stored.has("build-0001-gguflab-worker is gone"), "{stored}");
    place.write_model("tiny.gguf", gguflab_format::TinyArchitecture::Qwen3Moe);
    place.check(&gate("check real"), 3, "fingerprint");
}

#[cfg(unix)]
#[test]
fn a_program_that_is_not_all_of_the_build_is_not_kept() {
    let place = Place::with_model();
    place.write_program("llama-bench", "#!/bin/sh\nexec /build/llama-bench \"$@\"\n");
    let line = "accept real tiny.gguf --keep-build --engine llama-bench={}/llama-bench";
    let refused = place.check(&gate(line), 2, "also needs what the script starts");
    assert!(refused.has("--reference-engine"), "{refused}");
    assert!(!place.path("accepted").exists(), "nothing was measured");
}

#[test]
fn the_files_of_mia4_are_written() {
    let place = Place::new();
    let json = |name: &str| -> serde_json::Value { serde_json::from_str(&place.read(name)).unwrap() };
    place.check("bench --engine simulated --visits 2 --export-dir {}/files -q", 0, "decode");
    let baseline = json("files/perf_cpu_baseline.json");
    assert!(
        baseline["tokens_per_s"].as_f64().is_some_and(|rate| rate > 0.0) && baseline["fake"] == true,
        "{baseline}"
    );
    place.check(
        "compare threads=4 threads=2 --engine simulated --workload short-long --export-dir {}/files",
        0,
        "worse",
    );
    let models = json("files/compare_models.json");
    assert!(
        models["results"][0]["long_tps"].as_f64() > models["results"][1]["long_tps"].as_f64(),
        "{models}"
    );
    place.check(&gate("accept p --preset perf-methodology --engine simulated --visits 4"), 0, "accepted");
    let check = "check p --engine simulated=speed=0.6 --reference-engine simulated --export-dir {}/files";
    place.check(&gate(check), 1, "Fail");
    let probe = json("files/perf_probe.json");
    assert_eq!(
        (&probe["regression_flag"], probe["results"].as_array().map(Vec::len)),
        (&true.into(), Some(2)),
        "{probe}"
    );
    let kinds: Vec<&str> =
        probe["regressions"].as_array().unwrap().iter().filter_map(|one| one["type"].as_str()).collect();
    assert!(kinds.contains(&"regression_tps") && kinds.contains(&"regression_p95"), "{kinds:?}");
    place.check("tune --engine simulated --knob threads=2,4 --knob batch=128,256 --store {}/s.db --export-dir {}/files -q", 0, "threads");
    let tuned = json("files/tune_results.json");
    let rates: Vec<f64> = tuned.as_array().unwrap().iter().map(|row| row["tps"].as_f64().unwrap()).collect();
    assert!(rates.len() > 4 && rates.is_sorted_by(|one, other| one >= other), "{rates:?}");
    assert_eq!(json("files/perf_long_context.json")["runs"].as_array().map(Vec::len), Some(rates.len()));
}

/// A test of llama-bench with these rates.
fn llama_bench_line(rates: &[f64]) -> String {
    let mean = rates.iter().sum::<f64>() / rates.len() as f64;
    format!(
        "{{\"n_prompt\": 0, \"n_gen\": 64, \"n_depth\": 0, \"avg_ts\": {mean}, \"samples_ts\": {rates:?}}}\n"
    )
}

#[test]
fn result_files_are_compared_without_measuring() {
    let place = Place::new();
    place.write("old.jsonl", llama_bench_line(&[50.0, 50.5, 50.2, 49.9]));
    place.write("new.jsonl", llama_bench_line(&[45.0, 45.5, 45.2, 44.9]));
    place.check("bench --engine simulated --record {}/ours.json --prompt 0 --generate 64", 0, "decode");
    let worse = place.check("compare {}/old.jsonl {}/new.jsonl --report {}/both.md", 0, "is worse than");
    assert!(worse.has("one after the other") && place.read("both.md").contains("tg64"), "{worse}");
    place.check("compare {}/old.jsonl {}/ours.json --metric decode", 0, "beside");
    place.write("cut.jsonl", &llama_bench_line(&[1.0])[..40]);
    place.write("other.txt", "hello");
    for (line, code, words) in [
        ("compare {}/old.jsonl {}/cut.jsonl", 3, "cut off"),
        ("compare {}/old.jsonl {}/other.txt", 3, "no result file that is known"),
        ("compare {}/old.jsonl threads=4", 2, "give two of them"),
        ("compare {}/old.jsonl {}/new.jsonl --record {}/x.json", 2, "nothing is measured"),
        (
            "compare {}/old.jsonl {}/new.jsonl --metric decode,memory",
            2,
            "--metric memory: the files share no such metric, but decode",
        ),
    ] {
        place.check(line, code, words);
    }
}
