//! A server under load, as people run it.

use crate::support::{Place, finish};
use gguflab_lab::load::{Arrivals, FailureKind, LoadRecord};
use std::process::Stdio;

#[path = "../../../gguflab-engine/tests/it/mock.rs"]
#[allow(dead_code)] // Each user of the mock server takes a part of it.
mod mock;

use mock::{Manner, Mock};

fn record(place: &Place) -> LoadRecord {
    serde_json::from_str(&place.read("r.json")).unwrap()
}

#[test]
fn a_server_that_runs_already_is_measured_under_each_load() {
    let (place, mock) = (Place::new(), Mock::start(Manner::default()).unwrap());
    let line = format!(
        "bench --endpoint http://{} --concurrency 4,1 --rate 40 --prompt 20 --generate 12 --window 0.6s \
         --slo first-token<500ms --slo inter-token<1us --record {{}}/r.json --report {{}}/r.html --json",
        mock.address
    );
    let ended = place.check(&line, 0, "first-token");
    assert!(place.read("r.html").contains("Throughput against load"));
    let record = record(&place);
    assert_eq!(
        (record.subject.engine.kind.as_str(), record.subject.engine.build.as_str()),
        ("endpoint", "mock-1")
    );
    let loads: Vec<Arrivals> = record.levels.iter().map(|level| level.arrivals).collect();
    assert_eq!(loads, [Arrivals::Clients(4), Arrivals::Clients(1), Arrivals::Rate(40.0)]);
    for level in &record.levels {
        let measured: Vec<_> = level.courses.iter().filter(|course| course.measured).collect();
        assert!(measured.len() > 5, "{:?}", level.arrivals);
        assert!(measured.iter().all(|course| course.moments.len() == 12 && course.failure.is_none()));
    }
    let tables = ended.json().to_string();
    for words in ["Within limits", "4 clients", "40 requests/s", "good requests/s"] {
        assert!(tables.contains(words), "{words}: {tables}");
    }
}

/// A server that works on four requests at once: up to there more clients get more done, beyond they wait for each other.
#[test]
fn the_knee_lies_where_a_server_is_full() {
    let manner = Manner { slots: 4, first: (0.03, 0.03), gap: (0.002, 0.002), ..Manner::default() };
    let (place, mock) = (Place::new(), Mock::start(manner).unwrap());
    let line = format!(
        "bench --endpoint http://{} --concurrency 1,2,4,8,16 --prompt 20 --generate 6 --window 1s --report {{}}/r.html",
        mock.address
    );
    place.check(&line, 0, "The knee lies at 4 clients");
    assert!(place.read("r.html").matches(">knee: 4 clients<").count() >= 3, "it is marked in each picture");
    let line = format!(
        "bench --endpoint http://{} --concurrency 1,2,4 --prompt 20 --generate 6 --window 0.5s",
        mock.address
    );
    place.check(&line, 0, "No knee was reached");
}

#[test]
fn a_server_that_wants_a_key_gets_it_from_the_environment() {
    let manner = Manner { key: "sk-right".to_string(), ..Manner::default() };
    let (place, mock) = (Place::new(), Mock::start(manner).unwrap());
    let line = format!(
        "bench --endpoint http://{} --prompt 20 --generate 4 --window 60s --requests 3 --record {{}}/r.json",
        mock.address
    );
    let with = |more: &str, key: &str| {
        let mut command = place.command(&format!("{line} {more}"));
        command.env("GGUFLAB_TEST_KEY", key).stdout(Stdio::piped()).stderr(Stdio::piped());
        finish(command.spawn().unwrap())
    };
    for (more, key, code, words) in [
        ("", "", 4, "wants a key: put it into an environment variable"),
        ("--api-key-env GGUFLAB_TEST_KEY", "sk-wrong", 4, "wants another key"),
        ("--api-key-env GGUFLAB_TEST_KEY", "two words", 2, "what the variable holds cannot be a key"),
        ("--api-key-env GGUFLAB_NO_SUCH_KEY", "", 2, "there is no such environment variable"),
    ] {
        let ended = with(more, key);
        assert!(ended.status.code() == Some(code) && ended.has(words), "{more}: {words}\n{ended}");
    }
    assert_eq!(mock.asked(), 0, "nothing was sent");
    let ended = with("--api-key-env GGUFLAB_TEST_KEY", "sk-right\n");
    assert!(ended.status.success(), "{ended}");
    assert!(!place.read("r.json").contains("sk-right"), "the key is not kept");
    assert!(record(&place).levels[0].courses.iter().all(|course| course.failure.is_none()));
}

const PROMPTS: &str = "{\"question\":\"one\"}\n{\"question\":\"one two\"}\n{\"question\":\" \"}\n\
    {\"question\":\"one two three\"}\n{\"question\":\"one two three four\"}\n";

#[test]
fn prompts_come_from_a_dataset_each_as_often_as_the_others() {
    let (place, mock) = (Place::new(), Mock::start(Manner::default()).unwrap());
    // The mock server counts a token for each character, and has room for 4096.
    let long = format!("{PROMPTS}{{\"question\":\"{}\"}}\n", "x".repeat(4095));
    place.write("p.jsonl", long);
    let line = format!(
        "bench --endpoint http://{} --prompts-from p.jsonl --concurrency 2,1 --generate 6 --window 60s --requests 21 \
         --record {{}}/r.json --json",
        mock.address
    );
    let ended = place.check(&line, 0, "different prompts");
    let record = record(&place);
    let origin = record.prompts.unwrap();
    assert_eq!((origin.dataset.as_str(), origin.field.as_str()), ("p.jsonl", "question"));
    assert_eq!((origin.records, origin.empty, origin.too_long, origin.prompts), (6, 1, 1, 4));
    assert_eq!((origin.distinct, origin.limit), (4, Some(4090)));
    let mut times = [0; 4];
    for course in record.levels.iter().flat_map(|level| &level.courses) {
        let own = course.own.unwrap() as usize;
        times[own] += 1;
        assert_eq!(
            course.prompt,
            Some(own as u64 + 1),
            "the server counts the words of the prompt that it got"
        );
    }
    let (least, most) = (times.iter().min().unwrap(), times.iter().max().unwrap());
    assert!(*least > 8 && most - least <= 3, "{times:?}");
    let document = ended.json().to_string();
    for words in [
        "4 texts of p.jsonl at `question`",
        "1 without a text and 1 longer than 4090 tokens",
        "read each anew",
    ] {
        assert!(document.contains(words), "{words}: {document}");
    }
}

#[test]
fn a_server_that_may_keep_prompts_is_said_to_when_they_come_again() {
    let plain = Manner { is_llama_cpp: false, ..Manner::default() };
    let (place, mock) = (Place::new(), Mock::start(plain).unwrap());
    place.write("p.txt", "one\ntwo words\n");
    let line = |more: &str| {
        format!(
            "bench --endpoint http://{} --prompts-from p.txt --by line --generate 4 --window 60s --requests 6 {more}",
            mock.address
        )
    };
    place.check(&line(""), 0, "a server that keeps prompts");
    place.check(&line("--longest-prompt 5"), 2, "has no tokenizer that could count");
}

#[test]
fn datasets_that_cannot_be_prompts_are_refused_by_name() {
    let (place, mock) = (Place::new(), Mock::start(Manner::default()).unwrap());
    place.write("p.jsonl", PROMPTS);
    place.write("empty.jsonl", "");
    place.write("blank.jsonl", "{\"text\":\" \"}\n");
    place.write("latin.txt", b"caf\xe9 au lait\n");
    place.write("cut.jsonl", "{\"text\":\"a\"}\n{\"text\":\n");
    for (arguments, code, words) in [
        ("--prompts-from missing.jsonl", 3, "missing.jsonl"),
        ("--prompts-from empty.jsonl", 3, "empty.jsonl: it has no records"),
        ("--prompts-from blank.jsonl", 3, "none of its 1 records can be a prompt"),
        ("--prompts-from latin.txt", 3, "not UTF-8; convert the file, for example with `iconv"),
        ("--prompts-from cut.jsonl", 3, "cut.jsonl: line 2"),
        ("--prompts-from p.jsonl --field nothing", 3, "no text at `nothing`"),
        ("--prompts-from p.jsonl --split [9:]", 3, "p.jsonl"),
        ("--prompts-from p.jsonl --longest-prompt 2", 3, "4 longer than 2 tokens"),
        ("--prompts-from p.jsonl --prompt 5", 2, "cannot be used with"),
        ("--prompts-from p.jsonl --data p.jsonl", 2, "cannot be used with"),
        ("--longest-prompt 5", 2, "--prompts-from"),
        ("--split train", 2, "--prompts-from"),
        ("--data p.jsonl", 2, "prompts come from --prompts-from NAME"),
    ] {
        let line = format!("bench --endpoint http://{} --requests 2 --generate 2 {arguments}", mock.address);
        place.check(&line, code, words);
    }
    assert_eq!(mock.asked(), 0, "nothing was sent");
}

#[test]
fn failures_are_counted_by_kind_and_alone_they_are_no_success() {
    for (every, code, words) in [(3, 0, "closed early"), (1, 1, "failed one after the other")] {
        let manner = Manner { fault: "closes".to_string(), every, ..Manner::default() };
        let (place, mock) = (Place::new(), Mock::start(manner).unwrap());
        let line = format!(
            "bench --endpoint http://{} --concurrency 8,16 --prompt 20 --generate 6 --window 0.5s --record {{}}/r.json",
            mock.address
        );
        place.check(&line, code, words);
        let level = &record(&place).levels[0];
        let failed = level.courses.iter().filter_map(|course| course.failure.as_ref());
        assert!(failed.clone().count() > 0 && failed.clone().all(|one| one.kind == FailureKind::ClosedEarly));
    }
}

#[test]
fn what_cannot_be_asked_for_is_refused_by_name() {
    let place = Place::with_model();
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let gone = listener.local_addr().unwrap();
    drop(listener);
    for (line, code, words) in [
        (format!("bench --endpoint http://{gone}"), 4, "is it running?"),
        ("bench --endpoint https://127.0.0.1".to_string(), 2, "only http is spoken here"),
        ("bench --endpoint 127.0.0.1:1".to_string(), 2, "write http://HOST:PORT"),
        ("bench --endpoint http://127.0.0.1:1 tiny.gguf".to_string(), 2, "cannot be used with"),
        ("bench tiny.gguf --concurrency 1,0".to_string(), 2, "--concurrency 0: take 1 to 900"),
        ("bench tiny.gguf --rate 0".to_string(), 2, "--rate 0: take a number above 0"),
        ("bench tiny.gguf --rate 1 --depth 5".to_string(), 2, "take one without depth"),
        ("bench tiny.gguf --rate 1 --generate 0".to_string(), 2, "needs a prompt and tokens to generate"),
        (
            "bench tiny.gguf --slo memory<1GB".to_string(),
            2,
            "--slo memory<1GB: a single request has first-token",
        ),
        ("bench tiny.gguf --slo first-token".to_string(), 2, "--slo: requirement `first-token`"),
        ("bench tiny.gguf --rate 1 --latency".to_string(), 2, "--latency goes with a bench without load"),
        ("bench tiny.gguf --requests 0".to_string(), 2, "--requests 0 measures nothing"),
        ("bench tiny.gguf --concurrency 1,2".to_string(), 1, "this engine is no server"),
        ("tune tiny.gguf --concurrency 1,2".to_string(), 2, "several values of --concurrency are loads"),
    ] {
        place.check(&line, code, words);
    }
}

#[cfg(unix)]
#[test]
fn the_real_llama_server_has_room_for_the_prompts_of_a_dataset() {
    use crate::support::given;
    let (Some(program), Some(model)) = (given("GGUFLAB_LLAMA_SERVER"), given("GGUFLAB_TEST_MODEL")) else {
        return;
    };
    let place = Place::new();
    let long = "many words ".repeat(300);
    place.write("p.jsonl", format!("{PROMPTS}{{\"question\":\"{long}\"}}\n"));
    let line = format!(
        "bench {} --engine llama-server={} --concurrency 2 --prompts-from p.jsonl --longest-prompt 100 --generate 4 \
         --set threads=1 --window 60s --requests 9 --record {{}}/r.json",
        model.display(),
        program.display()
    );
    place.check(&line, 0, "longer than 100 tokens");
    let record = record(&place);
    let origin = record.prompts.unwrap();
    assert_eq!((origin.prompts, origin.too_long, origin.limit), (4, 1, Some(100)));
    for course in record.levels.iter().flat_map(|level| &level.courses) {
        assert_eq!((course.failure.as_ref(), course.produced), (None, 4), "{course:?}");
        assert!(course.prompt.is_some_and(|tokens| (1..=100).contains(&tokens)), "{course:?}");
    }
}

#[cfg(unix)]
#[test]
fn the_real_llama_server_is_started_and_measured_under_load() {
    use crate::support::given;
    let (Some(program), Some(model)) = (given("GGUFLAB_LLAMA_SERVER"), given("GGUFLAB_TEST_MODEL")) else {
        return;
    };
    let place = Place::new();
    let line = format!(
        "bench {} --engine llama-server={} --concurrency 1,2 --prompt 16 --generate 8 --set threads=1 \
         --window 1s --slo request<60s --record {{}}/r.json",
        model.display(),
        program.display()
    );
    place.check(&line, 0, "Throughput");
    let record = record(&place);
    assert!(record.peak_memory.is_some_and(|bytes| bytes > 1e6) || !cfg!(target_os = "linux"));
    for level in &record.levels {
        let measured: Vec<_> = level.courses.iter().filter(|course| course.measured).collect();
        assert!(!measured.is_empty());
        for course in measured {
            assert_eq!(
                (course.moments.len(), course.produced, course.prompt),
                (8, 8, Some(16)),
                "{course:?}"
            );
        }
    }
}
