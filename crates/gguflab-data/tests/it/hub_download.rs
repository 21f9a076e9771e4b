//! Downloads, from a hub on this machine.

use std::fs;
use std::path::PathBuf;
use std::time::Duration;

use gguflab_data::{DownloadProgress, Token, find_model, find_model_with};
use sha2::{Digest, Sha256};

use crate::Home;
use crate::hub_server::{Behaviour, COMMIT, REPOSITORY, Server};

const ONE: &str = "tiny-Q4_0.gguf";

/// A file of some size that begins as GGUF does and has no repeating part.
fn contents(seed: u64) -> Vec<u8> {
    let mut bytes = b"GGUF".to_vec();
    (0..4000u64).for_each(|index| bytes.extend(Sha256::digest((index + seed * 4000).to_le_bytes())));
    bytes
}

fn hub(files: &[&str]) -> (Home, Server) {
    let files = files.iter().zip(1..).map(|(name, seed)| ((*name).to_owned(), contents(seed))).collect();
    let server = Server::start(Behaviour::with(files));
    let mut home = Home::new();
    home.places.hub.endpoint = server.endpoint();
    (home, server)
}

fn name(wanted: &str) -> String {
    let colon = if wanted.is_empty() { "" } else { ":" };
    format!("hf:{REPOSITORY}{colon}{wanted}")
}

/// Where the file with these contents is in the cache, or its part while it is downloaded.
fn blob(home: &Home, contents: &[u8], ending: &str) -> PathBuf {
    let hex: String = Sha256::digest(contents).iter().map(|byte| format!("{byte:02x}")).collect();
    home.path("hub/models--jane--tiny-GGUF/blobs").join(format!("{hex}{ending}"))
}

fn snapshot(file: &str) -> String {
    format!("hub/models--jane--tiny-GGUF/snapshots/{COMMIT}/{file}")
}

/// Finds the model, expects these contents and gives the progress that was reported.
fn fetch(home: &Home, wanted: &str, expected: &[u8]) -> Vec<DownloadProgress> {
    let mut steps = Vec::new();
    let found = find_model_with(&name(wanted), &home.places, &mut |step| steps.push(step.clone()));
    let found = found.map_err(|error| error.to_string()).expect("a model");
    assert!(fs::read(&found.path).expect("a file") == expected, "the contents of {}", found.path.display());
    steps
}

#[test]
fn the_only_model_is_downloaded_once() {
    let (home, server) = hub(&["README.md", ONE, "mmproj-tiny.gguf"]);
    let steps = fetch(&home, "", &contents(2));
    let last = steps.last().expect("progress");
    assert_eq!((last.file.as_str(), last.part, last.parts, last.done_bytes), (ONE, 1, 1, last.total_bytes));
    assert!(steps.is_sorted_by_key(|step| step.done_bytes), "{steps:?}");
    assert_eq!(home.list(), [format!("hf:{REPOSITORY}:{ONE} {}", contents(2).len())]);

    server.requests();
    home.check(&[(&name(""), &format!("hub {}", snapshot(ONE)))]);
    let ranges: Vec<Option<String>> = server.requests().into_iter().map(|request| request.range).collect();
    assert_eq!(ranges, [None, Some("bytes=0-0".to_owned())], "the list and the file's facts, not the file");

    home.check(&[(&name(ONE), &format!("hub cache {}", snapshot(ONE)))]);
    assert_eq!(server.requests(), [], "a file named in full and cached needs no hub");
}

#[test]
fn a_file_is_chosen_by_name_or_quantisation() {
    let (home, server) = hub(&["t-Q4_K_M.gguf", "t-Q4_K_S.gguf", "sub/t-Q8_0.gguf"]);
    let (first, third) = (snapshot("t-Q4_K_M.gguf"), snapshot("sub/t-Q8_0.gguf"));
    home.check(&[
        (&name(""), "error: several models; say which:\n  t-Q4_K_M.gguf\n  t-Q4_K_S.gguf\n  sub/t-Q8_0.gguf"),
        (&name("q4_k"), "error: several models; say which:\n  t-Q4_K_M.gguf\n  t-Q4_K_S.gguf"),
        (&name("Q6_K"), "error: has no model `Q6_K`; it has:"),
        (&name("other.gguf"), "error: has no model `other.gguf`; it has:"),
        (&name("Q4_K_M"), &format!("hub {first}")),
        (&name("sub/t-Q8_0.gguf"), &format!("hub {third}")),
    ]);
    drop(server);
    home.check(&[(&name("Q8"), &format!("hub cache {third}")), (&name("Q6_K"), "error: cannot be reached")]);
}

#[test]
fn all_parts_of_a_split_model_come() {
    let (home, server) = hub(&["Q4/t-00001-of-00002.gguf", "Q4/t-00002-of-00002.gguf"]);
    let steps = fetch(&home, "Q4", &contents(1));
    assert!(fs::read(home.path(&snapshot("Q4/t-00002-of-00002.gguf"))).expect("part 2") == contents(2));
    let last = steps.last().expect("progress");
    assert_eq!((last.part, last.parts), (2, 2));

    server.behaviour().files.remove(1);
    let other = Home { places: home.places.clone(), ..Home::new() };
    other.check(&[(&name("Q4"), "error: lacks its part Q4/t-00002-of-00002.gguf")]);
}

#[test]
fn a_broken_download_goes_on_where_it_stopped() {
    let (home, server) = hub(&[ONE]);
    let whole = contents(1);
    server.behaviour().breaks = Some((50_000, 2));
    let steps = fetch(&home, "", &whole);
    assert!(steps.is_sorted_by_key(|step| step.done_bytes), "{steps:?}");
    let ranges: Vec<String> = server.requests().into_iter().filter_map(|request| request.range).collect();
    let body_ranges: Vec<&str> =
        ranges.iter().map(String::as_str).filter(|range| *range != "bytes=0-0").collect();
    assert_eq!(body_ranges, ["bytes=0-", "bytes=50000-", "bytes=100000-"]);
}

#[test]
fn what_an_earlier_run_left_is_used() {
    let whole = contents(1);
    for (left, first_range) in [
        (whole[..70_000].to_vec(), "bytes=70000-".to_owned()),
        (whole.clone(), format!("bytes={}-", whole.len() - 1)),
        ([whole.as_slice(), b"too long"].concat(), "bytes=0-".to_owned()),
    ] {
        let (home, server) = hub(&[ONE]);
        fs::create_dir_all(home.path("hub/models--jane--tiny-GGUF/blobs")).expect("folders");
        fs::write(blob(&home, &whole, ".part"), left).expect("a file");
        fetch(&home, "", &whole);
        let last = server.requests().pop().expect("requests");
        assert_eq!(last.range, Some(first_range));
    }
}

#[test]
fn a_damaged_download_is_removed() {
    let whole = contents(1);
    for whole_files in [false, true] {
        let (home, server) = hub(&[ONE]);
        fs::create_dir_all(home.path("hub/models--jane--tiny-GGUF/blobs")).expect("folders");
        let reason = if whole_files { "bytes instead of 128004" } else { "its SHA-256 differs" };
        fs::write(blob(&home, &whole, ".part"), vec![7; 1000]).expect("a file");
        server.behaviour().whole_files = whole_files;
        home.check(&[(&name(""), &format!("error: the download of {ONE} is damaged ("))]);
        fs::write(blob(&home, &whole, ".part"), vec![7; 1000]).expect("a file");
        home.check(&[(&name(""), &format!("error: {reason}"))]);
        server.behaviour().whole_files = false;
        fetch(&home, "", &whole);
    }
}

#[test]
fn a_token_is_sent_only_where_it_is_needed_and_never_shown() {
    let (mut home, server) = hub(&[ONE]);
    let mut find = |token: &str, expected: &str| {
        home.places.hub.token = Token::new(token);
        home.check(&[(&name(""), expected)]);
        let error = home.find(&name(""));
        assert!(token.is_empty() || !error.contains(token), "{error}");
    };
    server.behaviour().token = Some("hf_right".to_owned());
    find("", "error: (HTTP status 401): set HF_TOKEN to a token of yours");
    find("hf_wrong", "error: (HTTP status 401): the token in HF_TOKEN is not valid");
    find("hf_right", &format!("hub {}", snapshot(ONE)));

    server.requests();
    server.behaviour().token = None;
    find("hf_right", &format!("hub {}", snapshot(ONE)));
    let sent = server.requests().into_iter().any(|request| request.authorization.is_some());
    assert!(!sent, "an open model needs no token");
}

#[test]
fn a_redirected_file_is_fetched_from_where_it_is() {
    let (home, server) = hub(&[ONE]);
    server.behaviour().redirect = Some(true);
    fetch(&home, "", &contents(1));
    assert!(server.requests().iter().any(|request| request.path == format!("/stored/{ONE}")));
}

#[test]
fn what_the_hub_does_wrong_is_said() {
    type Change = fn(&mut Behaviour);
    let cases: [(Change, &str); 9] = [
        (|hub| hub.status = Some(404), "has no `hf:jane/tiny-GGUF`"),
        (|hub| hub.status = Some(403), "refuses `hf:jane/tiny-GGUF` (HTTP status 403)"),
        (|hub| hub.status = Some(429), "too many requests"),
        (|hub| hub.status = Some(503), "cannot be reached for `hf:jane/tiny-GGUF`: HTTP status 503"),
        (|hub| hub.listing = Some("no JSON".to_owned()), "with something unusable"),
        (
            |hub| {
                hub.listing =
                    Some(r#"{"sha":"x","siblings":[{"rfilename":"../../../evil.gguf"}]}"#.to_owned())
            },
            "has no .gguf file",
        ),
        (|hub| hub.etag = Some("../../evil".to_owned()), "cannot be a file's name"),
        (|hub| hub.redirect = Some(false), "could not make sense of it"),
        (|hub| hub.files[0].1.clear(), "with something unusable"),
    ];
    for (change, expected) in cases {
        let (home, server) = hub(&[ONE]);
        change(&mut server.behaviour());
        home.check(&[(&name(""), &format!("error: {expected}"))]);
    }
}

#[test]
fn a_silent_or_always_breaking_hub_ends_in_an_error() {
    let (mut home, server) = hub(&[ONE]);
    home.places.hub.patience = Duration::from_millis(100);
    server.behaviour().silent = true;
    home.check(&[(&name(""), "error: it sent nothing for 0.1 s")]);

    let (mut home, server) = hub(&[ONE]);
    home.places.hub.patience = Duration::from_secs(30);
    server.behaviour().breaks = Some((0, usize::MAX));
    home.check(&[(&name(""), "error: cannot be reached")]);
    let tries =
        server.requests().iter().filter(|request| request.range.as_deref() == Some("bytes=0-")).count();
    assert_eq!(tries, 4);
}

#[test]
fn an_address_with_a_password_is_shown_without_it() {
    let mut home = Home::new();
    home.places.hub.endpoint = "http://jane:secret@127.0.0.1:1".to_owned();
    let error = find_model(&name(""), &home.places).expect_err("nothing listens there").to_string();
    assert!(error.contains("http://127.0.0.1:1 cannot be reached") && !error.contains("secret"), "{error}");
}
