//! Models in the hub's cache, while the hub is out of reach or the feature `hub` is not built in.

use crate::Home;

const COMMIT: &str = "0123456789abcdef0123456789abcdef01234567";

fn home() -> Home {
    let of = |repository: &str, file: &str| format!("hub/models--{repository}/snapshots/{COMMIT}/{file}");
    let home = Home::with(&[
        &of("jane--one", "one-Q4_0.gguf"),
        &of("jane--two", "two-Q4_0.gguf"),
        &of("jane--two", "two-Q8_0.gguf"),
        &of("jane--split", "Q4/s-00001-of-00002.gguf"),
        &of("jane--split", "Q4/s-00002-of-00002.gguf"),
        &of("jane--broken", "b-00001-of-00002.gguf"),
        &of("jane--astray", "a.gguf"),
    ]);
    for repository in ["one", "two", "split", "broken"] {
        home.write(&format!("hub/models--jane--{repository}/refs/main"), COMMIT.as_bytes());
    }
    home.write("hub/models--jane--astray/refs/main", b"../../../here");
    home
}

#[test]
fn a_cached_model_needs_no_hub() {
    let home = home();
    let unreachable =
        if cfg!(feature = "hub") { "error: cannot be reached" } else { "error: --features hub" };
    let path = |repository: &str, file: &str| {
        format!("hub cache hub/models--jane--{repository}/snapshots/{COMMIT}/{file}")
    };
    home.check(&[
        ("hf:jane/one", &path("one", "one-Q4_0.gguf")),
        ("hf:jane/one:one-Q4_0.gguf", &path("one", "one-Q4_0.gguf")),
        ("hf:jane/two:Q8_0", &path("two", "two-Q8_0.gguf")),
        ("hf:jane/split:Q4/s-00001-of-00002.gguf", &path("split", "Q4/s-00001-of-00002.gguf")),
        ("hf:jane/split", &path("split", "Q4/s-00001-of-00002.gguf")),
        ("hf:jane/two", unreachable),
        ("hf:jane/two:Q6_K", unreachable),
        ("hf:jane/broken", unreachable),
        ("hf:jane/astray", unreachable),
        ("hf:jane/none", unreachable),
        ("hf:jane", "error: on the hub it is hf:OWNER/REPO"),
        ("hf:jane/../x", "error: on the hub it is hf:OWNER/REPO"),
        ("hf:jane/one:../../x.gguf", "error: on the hub it is hf:OWNER/REPO"),
        ("hf:jane/one:", "error: on the hub it is hf:OWNER/REPO"),
        ("hf:jane/one?x", "error: on the hub it is hf:OWNER/REPO"),
    ]);
}

#[test]
fn complete_cached_models_are_listed() {
    assert_eq!(
        home().list(),
        [
            "hf:jane/one:one-Q4_0.gguf 13",
            "hf:jane/split:Q4/s-00001-of-00002.gguf 26",
            "hf:jane/two:two-Q4_0.gguf 13",
            "hf:jane/two:two-Q8_0.gguf 13",
        ]
    );
}
