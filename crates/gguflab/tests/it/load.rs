//! A server under load, as people run it.

use crate::support::Place;
use gguflab_lab::load::{Arrivals, FailureKind, LoadRecord};

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
