//! Datasets of the hub, from a hub on this machine.

use gguflab_data::Token;
use gguflab_data::dataset::{DatasetRequest, Split};

use crate::Home;
use crate::dataset::{named, parquet};
use crate::hub_server::{Behaviour, REPOSITORY, Server};

fn hub() -> (Home, Server) {
    let part = |texts: &[Option<&str>]| parquet(texts, parquet::basic::Compression::SNAPPY);
    let files = vec![
        ("README.md".to_owned(), b"---\nlicense: mit\n---".to_vec()),
        ("data/train-00000-of-00002.parquet".to_owned(), part(&[Some("a"), Some("b")])),
        ("data/train-00001-of-00002.parquet".to_owned(), part(&[Some("c")])),
        ("data/test-00000-of-00001.parquet".to_owned(), part(&[Some("t")])),
        ("extra/more.jsonl".to_owned(), b"{\"text\":\"m\"}".to_vec()),
    ];
    let server = Server::start(Behaviour::with(files));
    let mut home = Home::new();
    home.places.hub.endpoint = server.endpoint();
    (home, server)
}

fn of(wanted: &str, split: &str) -> DatasetRequest {
    let split = (!split.is_empty()).then(|| Split::parse(split).expect(split));
    DatasetRequest { split, ..named(&format!("hf:datasets/{REPOSITORY}{wanted}")) }
}

#[test]
fn only_the_files_of_the_split_are_downloaded() {
    let (home, server) = hub();
    assert_eq!(home.texts(&of("", "train[1:3]")), "b|c");
    let fetched: Vec<String> = server.requests().into_iter().map(|request| request.path).collect();
    assert!(fetched.iter().all(|path| path.contains("/revision/") || path.contains("train-")), "{fetched:?}");
    assert_eq!(home.texts(&of("", "test")), "t");
    assert_eq!(home.texts(&of(":extra", "")), "m");
    assert_eq!(home.texts(&of(":data/test-00000-of-00001.parquet", "")), "t");
    let missing = home.texts(&of("", "validation"));
    assert!(missing.contains("has no split `validation`") && !missing.contains("README"), "{missing}");
}

#[test]
fn a_file_in_the_cache_that_is_named_in_full_needs_no_hub() {
    let (home, server) = hub();
    home.texts(&of("", "test"));
    drop(server);
    assert_eq!(home.texts(&of(":data/test-00000-of-00001.parquet", "")), "t");
    let error = home.texts(&of("", "test"));
    assert!(error.contains("cannot be reached for `hf:datasets/jane/tiny-GGUF`"), "{error}");
}

#[test]
fn what_the_hub_refuses_is_said_with_advice() {
    let (mut home, server) = hub();
    server.behaviour().token = Some("hf_right".to_owned());
    let refused = home.texts(&of("", "test"));
    assert!(refused.contains("(HTTP status 401): set HF_TOKEN"), "{refused}");
    home.places.hub.token = Token::new("hf_wrong");
    let refused = home.texts(&of("", "test"));
    assert!(refused.contains("accept the terms on its page") && !refused.contains("hf_wrong"), "{refused}");
    home.places.hub.token = Token::new("hf_right");
    assert_eq!(home.texts(&of("", "test")), "t");
    for (status, expected) in [
        (429, "too many requests (HTTP status 429); wait a while"),
        (404, "has no `hf:datasets/"),
        (503, "cannot be reached"),
    ] {
        server.behaviour().status = Some(status);
        let error = home.texts(&of("", "train"));
        assert!(error.contains(expected), "{status}: {error}");
    }
}

#[test]
fn names_that_can_be_none_are_refused() {
    let home = Home::new();
    for name in ["hf:datasets/one", "hf:datasets/../x", "hf:datasets/a/b:../../x", "hf:jane/tiny-GGUF"] {
        let error = home.texts(&named(name));
        assert!(error.contains("on the hub it is hf:datasets/OWNER/NAME"), "{name}: {error}");
    }
}
