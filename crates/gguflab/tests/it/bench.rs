//! `bench` and the small verbs: results on standard output, talk on standard error, files as asked for.

use crate::support::{Ended, Place, finish};
use gguflab_format::TinyArchitecture;
use gguflab_lab::bench::Record;
use gguflab_types::{Outcome, metric};
use std::process::Stdio;

/// A bench of the real worker that takes a moment.
const SMALL: &str = "bench tiny.gguf --set threads=1 --prompt 16 --generate 8 --visits 2 -r 2";

#[test]
fn a_result_in_every_format_and_the_record() {
    let place = Place::with_model();
    let reports = ["html", "md", "csv", "json", "txt"];
    let ended =
        place.check(&format!("{SMALL} --record {{}}/record.json --report {{}}/report.html"), 0, "decode");
    assert!(ended.talk.contains("visit 1 of 2") && !ended.output.contains("visit 1 of"), "{ended}");
    let record: Record = serde_json::from_str(&place.read("record.json")).unwrap();
    assert_eq!((record.format.as_str(), record.version, record.trials.len()), ("gguflab-record", 1, 2));
    for trial in &record.trials {
        assert_eq!(trial.ending.as_ref().unwrap().outcome, Outcome::Measured);
        let of_request: Vec<_> = trial.repetitions.iter().filter(|one| one.request == Some(0)).collect();
        assert!(of_request.len() >= 2, "{trial:?}");
        for one in of_request {
            assert_eq!(one.values(metric::INTER_TOKEN).len(), 7);
            assert!(one.value(metric::PREFILL).is_some_and(|rate| rate > 0.0));
        }
        assert!(trial.repetitions.iter().any(|one| one.value(metric::LOAD).is_some()), "each visit loads");
    }
    let html = place.read("report.html");
    assert!(html.trim_start().to_lowercase().starts_with("<!doctype html") && html.contains("</html>"));
    for ending in &reports[1..] {
        let line = format!("bench --engine simulated --report {{}}/report.{ending} -q");
        assert_eq!(place.check(&line, 0, "decode").talk, "", "-q prints no talk");
        assert!(place.read(&format!("report.{ending}")).contains("decode"), "{ending}");
    }
    serde_json::from_str::<serde_json::Value>(&place.read("report.json")).unwrap();
}

#[test]
fn standard_output_holds_the_result_in_the_format_that_is_asked_for() {
    let place = Place::new();
    let bench = "bench --engine simulated --visits 2 -r 1";
    let json = place.check(&format!("{bench} --json"), 0, "decode").json();
    assert_eq!(json["format"], "gguflab-document");
    let csv = place.check(&format!("{bench} --format csv"), 0, "decode").output;
    assert!(csv.contains("request,metric,estimate"), "{csv}");
    let markdown = place.check(&format!("{bench} --format markdown"), 0, "decode").output;
    assert!(markdown.starts_with("# ") && markdown.contains("| decode |"), "{markdown}");
    let html = place.check(&format!("{bench} --format html"), 0, "decode").output;
    assert!(html.contains("<table") && html.contains("</html>"));
}

#[test]
fn models_with_experts_and_requests_side_by_side() {
    let place = Place::new();
    for (name, architecture, concurrency) in
        [("mixtral.gguf", TinyArchitecture::Mixtral, 3), ("qwen.gguf", TinyArchitecture::Qwen3Moe, 1)]
    {
        place.write_model(name, architecture);
        let line = format!(
            "bench {name} --set threads=1 --prompt 8 --generate 4 --visits 1 -r 1 --concurrency {concurrency} -q \
             --record {{}}/r.json"
        );
        place.check(&line, 0, "decode");
        let record: Record = serde_json::from_str(&place.read("r.json")).unwrap();
        let produced = record.trials[0]
            .repetitions
            .iter()
            .filter_map(|one| one.value(metric::TOKENS_PRODUCED))
            .next_back();
        assert_eq!(produced, Some(f64::from(4 * concurrency)), "{name}");
    }
}

#[test]
fn a_cold_load_is_measured_or_said_to_be_impossible() {
    let place = Place::with_model();
    let ended = place.check(&format!("{SMALL} --cold"), 0, "decode");
    assert!(
        ended.has("load-cold") || ended.has("a cold load was asked for and could not be measured"),
        "{ended}"
    );
}

#[test]
fn own_text_depth_and_random_tokens() {
    let place = Place::with_model();
    place.write("prompt.txt", "A short text of one's own, which is repeated until it is long enough.\n");
    for extra in ["--text prompt.txt", "--random-tokens", "--depth 32", "--prompt 0", "--generate 0"] {
        let base = "bench tiny.gguf --set threads=1 --visits 1 -r 1 -q --format csv";
        let sizes = match extra {
            "--prompt 0" => "--generate 4",
            "--generate 0" => "--prompt 8",
            _ => "--prompt 8 --generate 4",
        };
        let ended = place.check(&format!("{base} {sizes} {extra}"), 0, "request");
        assert_eq!(ended.output.contains(",decode,"), extra != "--generate 0", "{extra}: {ended}");
        assert_eq!(ended.output.contains(",prefill,"), extra != "--prompt 0", "{extra}: {ended}");
    }
}

#[test]
fn time_limits_are_kept() {
    let place = Place::new();
    let slow = "bench --engine simulated=laptop,speed=0.001 --visits 1 -r 1 -q --timeout-per-trial 500s";
    place.check(slow, 1, "timed out");
    let place = Place::with_model();
    // A workload of many minutes, so that the limit strikes while it runs.
    let long =
        "bench tiny.gguf --set threads=1 --prompt 4 --generate 500000 --visits 1 -r 1 --timeout-per-trial 1s";
    place.check(long, 1, "a visit ended as timed out");
}

#[test]
fn colour_only_where_it_is_wanted() {
    let place = Place::new();
    let escapes = |variables: &[&str], line: &str| {
        let mut command = place.command(line);
        command.envs(variables.iter().map(|name| (*name, "1"))).stdout(Stdio::piped()).stderr(Stdio::piped());
        let Ended { output, talk, .. } = finish(command.spawn().unwrap());
        output.contains('\u{1b}') || talk.contains('\u{1b}')
    };
    assert!(escapes(&["CLICOLOR_FORCE"], "--help"));
    assert!(!escapes(&["CLICOLOR_FORCE", "NO_COLOR"], "--help"));
    for line in ["list knobs", "bench --engine simulated --visits 1", "--help"] {
        assert!(!escapes(&[], line), "{line} to a pipe");
        assert!(!escapes(&["NO_COLOR"], line), "{line} with NO_COLOR");
    }
}

#[test]
fn a_reader_that_has_gone_is_no_error() {
    let place = Place::new();
    for line in ["list knobs", "completions bash", "bench --engine simulated --visits 1 -q"] {
        let (reader, writer) = std::io::pipe().unwrap();
        drop(reader);
        let child = place.command(line).stdout(writer).stderr(Stdio::piped()).spawn().unwrap();
        let ended = finish(child);
        assert!(ended.status.success() && ended.talk.is_empty(), "{line}: {ended}");
    }
    // As in `gguflab tune … 2>&1 | head -1`: the work goes on when nobody listens.
    for (line, code) in [
        ("tune --engine simulated --study s --store {}/s.db --budget-runs 8", 0),
        ("bench --engine simulated --set threads=0", 2),
    ] {
        let (reader, writer) = std::io::pipe().unwrap();
        drop(reader);
        let other = writer.try_clone().unwrap();
        let ended = finish(place.command(line).stdout(writer).stderr(other).spawn().unwrap());
        assert_eq!(ended.status.code(), Some(code), "{line}");
    }
    assert!(place.trials("s.db", "s").len() > 4, "it went on to the end");
}

#[test]
fn lists_completions_and_versions() {
    let place = Place::new();
    for (what, row) in [
        ("knobs", "cpu-moe-layers"),
        ("metrics", "first-token"),
        ("workloads", "long-prompt"),
        ("engines", "llama-bench=PATH"),
        ("objectives", "decode"),
        ("samplers", "screen"),
    ] {
        place.check(&format!("list {what}"), 0, row);
        assert!(place.check(&format!("list {what} --json"), 0, row).json()["document"].is_object());
    }
    for shell in ["bash", "zsh", "fish", "powershell"] {
        place.check(&format!("completions {shell}"), 0, "timeout-per-trial");
    }
    place.check("--version", 0, env!("CARGO_PKG_VERSION"));
    place.check("tune --help", 0, "--budget-runs");
}

#[test]
fn inspect_and_devices_tell_what_there_is() {
    let place = Place::with_model();
    let ended = place.check("inspect tiny.gguf --json", 0, "tiny-llama");
    assert!(ended.json()["document"]["blocks"].as_array().is_some_and(|blocks| blocks.len() > 3), "{ended}");
    place.check("devices", 0, "llama.cpp");
    place.check("devices -q --json", 0, "CPU");
}

#[test]
fn a_curve_goes_over_the_context_in_one_pass_and_ends_where_it_began() {
    let place = Place::with_model();
    let line = "bench tiny.gguf --set threads=1 --prompt 8 --generate 6 --depths 32,0,64 --visits 2 -r 2 --latency \
        --retries 0 --record {}/r.json --report {}/r.html";
    let ended = place.check(line, 0, "Long against short");
    for words in ["Over the context", "generation speed", "Times of single tokens", "was measured again"] {
        assert!(ended.has(words), "{words}\n{ended}");
    }
    let record: Record = serde_json::from_str(&place.read("r.json")).unwrap();
    assert!(record.workload.is_curve());
    for trial in &record.trials {
        let order: Vec<u32> = trial.repetitions.iter().filter_map(|one| one.request).collect();
        assert_eq!(order, [0, 0, 1, 1, 2, 2, 0]);
    }
    assert!(place.read("r.html").contains("Generation against depth"));
    place.check("bench tiny.gguf --depths 0,8 --depth 8", 2, "cannot be used with");
}
