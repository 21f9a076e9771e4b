//! Requests at once against a server with known delays, and against one that does everything wrong.

use crate::mock::{Manner, Mock, Stamps};
use gguflab_engine::load::{
    Arrivals, Course, Endpoint, FailureKind, Level, Plan, Prompts, Source, Told, drive,
};
use gguflab_types::{Ending, Outcome, Protocol, Request};
use std::collections::BTreeMap;

fn plan(arrivals: Arrivals) -> Plan {
    Plan { arrivals, window: 0.5, most: None, patience: 5.0, seed: 1 }
}

/// Runs a load against a mock, as against any server that runs already.
fn run(manner: Manner, path: &str, plan: &Plan) -> (Mock, Level) {
    let mock = Mock::start(manner).unwrap();
    let endpoint = Endpoint::parse(&format!("http://{}{path}", mock.address)).unwrap();
    let told = endpoint.ask().unwrap();
    let source = Source::of_endpoint(&endpoint, &Protocol::default()).unwrap();
    let requests = [Request::new(20, 12)];
    let mut prompts = Prompts::new(&endpoint, Some(&told), &source, &requests, 1);
    let level = drive(plan, &mut prompts, &mut || Ok(())).unwrap();
    (mock, level)
}

fn measured(level: &Level) -> Vec<&Course> {
    level.courses.iter().filter(|course| course.measured).collect()
}

/// What the server sent, by its name for the request.
fn sent(mock: &Mock) -> BTreeMap<String, Stamps> {
    mock.stamps().into_iter().map(|stamps| (stamps.id.clone(), stamps)).collect()
}

#[test]
fn every_token_has_the_moment_at_which_it_was_sent() {
    let (mock, level) = run(Manner::default(), "", &plan(Arrivals::Clients(8)));
    let (sent, measured) = (sent(&mock), measured(&level));
    assert!(measured.len() > 16, "{}", measured.len());
    let mut late = Vec::new();
    for course in measured {
        assert_eq!((course.failure.as_ref(), course.moments.len(), course.produced), (None, 12, 12));
        assert_eq!(course.prompt, Some(20), "as the server counts them");
        let stamps = &sent[&course.id];
        // Both clocks are the same one; only their beginnings differ, and those by the same for each request.
        let begin = course.moments[0] - stamps.tokens[0];
        late.extend(course.moments.iter().zip(&stamps.tokens).map(|(seen, sent)| seen - sent - begin));
        assert!(
            course.due <= course.sent && course.sent < course.moments[0] && course.moments[11] <= course.end
        );
    }
    late.sort_by(f64::total_cmp);
    let middle = late[late.len() / 4]..late[3 * late.len() / 4];
    // Half of them, so that a busy machine cannot fail this: the exact figures are those of a benchmark.
    assert!(middle.start > -0.001 && middle.end < 0.001, "{middle:?}");
}

#[test]
fn the_first_requests_of_all_clients_are_not_measured() {
    let (mock, level) = run(Manner::default(), "", &plan(Arrivals::Clients(4)));
    assert!(level.courses.iter().filter(|course| !course.measured).count() >= 4);
    assert!(measured(&level).iter().all(|course| course.due >= level.from && course.due < level.to));
    assert!((level.to - level.from - 0.5).abs() < 0.1, "{} {}", level.from, level.to);
    assert!(level.client.share > 0.0 && level.client.share < 1.0 && level.client.longest > 0.0);
    assert!(mock.asked() >= level.courses.len() as u64);
    // A window that even a crowded machine does not fill: what ends it is the number of requests.
    let few = Plan { most: Some(5), window: 60.0, ..plan(Arrivals::Clients(4)) };
    assert_eq!(measured(&run(Manner::default(), "", &few).1).len(), 5);
}

#[test]
fn an_open_loop_does_not_wait_for_answers() {
    // 40 requests a second of at least 0.2 s each: one client alone could send five.
    let slow = Manner { first: (0.2, 0.2), ..Manner::default() };
    let (_, level) = run(slow, "", &plan(Arrivals::Rate(40.0)));
    let measured = measured(&level);
    assert!((8..40).contains(&measured.len()), "{}", measured.len());
    assert!(measured.iter().all(|course| course.failure.is_none() && course.end - course.due >= 0.2));
    let at_once = |moment: f64| measured.iter().filter(|one| one.due <= moment && one.end > moment).count();
    assert!(measured.iter().any(|course| at_once(course.due) > 2), "they overlap");
}

#[test]
fn servers_that_do_not_number_their_tokens_are_counted_by_events() {
    let plain = Manner { is_llama_cpp: false, ..Manner::default() };
    for path in ["/v1/completions", "/v1/chat/completions"] {
        let (_, level) = run(plain.clone(), path, &plan(Arrivals::Clients(2)));
        let measured = measured(&level);
        assert!(!measured.is_empty());
        for course in measured {
            assert_eq!((course.moments.len(), course.produced, course.failure.as_ref()), (12, 12, None));
            assert!(course.prompt.is_some_and(|tokens| tokens > 2), "{course:?}");
        }
    }
}

#[test]
fn what_a_server_does_wrong_is_counted_and_never_measured() {
    for (fault, kind) in [
        ("refuses", FailureKind::Refused),
        ("closes at once", FailureKind::ClosedEarly),
        ("speaks mail", FailureKind::Malformed),
        ("closes", FailureKind::ClosedEarly),
        ("stalls", FailureKind::TimedOut),
        ("garbage", FailureKind::Malformed),
        ("repeats", FailureKind::Duplicate),
        ("errs", FailureKind::Refused),
    ] {
        let manner = Manner { fault: fault.to_string(), every: 3, ..Manner::default() };
        let patient = Plan { patience: 0.4, ..plan(Arrivals::Clients(3)) };
        let (_, level) = run(manner, "", &patient);
        let failures: Vec<FailureKind> =
            measured(&level).iter().filter_map(|one| Some(one.failure.as_ref()?.kind)).collect();
        assert!(!failures.is_empty() && failures.iter().all(|found| *found == kind), "{fault}: {failures:?}");
        let fine = measured(&level).iter().filter(|one| one.failure.is_none()).count();
        assert!(fine > 0 && level.cut.is_none(), "{fault}: {:?}", level.cut);
    }
}

#[test]
fn a_server_that_only_refuses_is_given_up() {
    let manner = Manner { fault: "refuses".to_string(), ..Manner::default() };
    let (mock, level) = run(manner, "", &plan(Arrivals::Clients(16)));
    assert!(
        level.cut.as_ref().is_some_and(|cause| cause.contains("status 503: no slot is free")),
        "{level:?}"
    );
    assert!(mock.asked() < 100, "it is not hammered: {}", mock.asked());
}

#[test]
fn a_server_that_answers_nobody_is_given_up_after_one_request_s_time() {
    let manner = Manner { fault: "stalls".to_string(), ..Manner::default() };
    let patient = Plan { patience: 0.3, ..plan(Arrivals::Clients(1)) };
    let (mock, level) = run(manner, "", &patient);
    assert!(level.cut.as_ref().is_some_and(|cause| cause.contains("within the 0.3 s")), "{level:?}");
    assert!(mock.asked() <= 2, "{}", mock.asked());
}

#[test]
fn one_that_is_not_there_is_named_and_the_stop_is_heeded() {
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    drop(listener);
    let endpoint = Endpoint::parse(&format!("http://{address}")).unwrap();
    let error = endpoint.ask().unwrap_err().to_string();
    assert!(error.contains(&address.to_string()) && error.contains("is it running?"), "{error}");
    let source = Source::Text("some words".into());
    let requests = [Request::new(4, 2)];
    let mut prompts = Prompts::new(&endpoint, Some(&Told::default()), &source, &requests, 1);
    let level = drive(&plan(Arrivals::Clients(2)), &mut prompts, &mut || Ok(())).unwrap();
    let kinds: Vec<_> = level.courses.iter().filter_map(|one| Some(one.failure.as_ref()?.kind)).collect();
    assert!(kinds.len() > 2 && kinds.len() == level.courses.len(), "{level:?}");
    assert!(kinds.iter().all(|kind| *kind == FailureKind::NoConnection), "{kinds:?}");
    let mock = Mock::start(Manner { first: (30.0, 30.0), ..Manner::default() }).unwrap();
    let endpoint = Endpoint::local(mock.address);
    let mut prompts = Prompts::new(&endpoint, None, &source, &requests, 1);
    let stopped = drive(&plan(Arrivals::Clients(2)), &mut prompts, &mut || {
        if mock.asked() < 2 { Ok(()) } else { Err(Ending::new(Outcome::Cancelled, "stopped by the user")) }
    });
    assert_eq!(stopped.unwrap_err().outcome, Outcome::Cancelled);
}
