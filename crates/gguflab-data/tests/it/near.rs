//! What is said about a name that is nowhere.

use gguflab_data::{DataError, find_model};

use crate::Home;

#[test]
fn near_names_are_suggested() {
    let home = Home::with(&[
        "here/smollm2-135m.gguf",
        "here/notes.txt",
        "here/models/phi-2-00001-of-00002.gguf",
        "here/models/phi-2-00002-of-00002.gguf",
        "lmstudio/qwen/Qwen2.5-0.5B-GGUF/q-Q4_K_M.gguf",
    ]);
    for (name, expected) in [
        ("smolm2-135m.gguf", vec!["smollm2-135m.gguf"]),
        ("smollm2", vec!["smollm2-135m.gguf"]),
        ("models/phi-3.gguf", vec![]),
        ("models/phi-2.gguf", vec!["models/phi-2-00001-of-00002.gguf"]),
        ("qwen/Qwen2.5-0.5B", vec!["lmstudio:qwen/Qwen2.5-0.5B-GGUF/q-Q4_K_M.gguf"]),
        ("something-else.gguf", vec![]),
    ] {
        match find_model(name, &home.places) {
            Err(DataError::NotFound { near, .. }) => assert_eq!(near, expected, "{name}"),
            other => panic!("{name}: {other:?}"),
        }
    }
}

#[test]
fn the_places_are_named() {
    let home = Home::with(&["lmstudio/a/b/c.gguf"]);
    assert_eq!(
        home.find("missing.gguf"),
        "no model `missing.gguf` on this machine\nlooked for:\n  the file or folder ~/here/missing.gguf\n  \
         Ollama's models in ~/ollama (not there)\n  LM Studio's models in ~/lmstudio"
    );
    assert_eq!(
        home.find("ollama:missing"),
        "no model `ollama:missing` on this machine\nlooked for:\n  Ollama's models in ~/ollama (not there)"
    );
}

#[test]
fn long_lists_are_cut() {
    let home = Home::new();
    for index in 10..40 {
        home.write(&format!("here/many/m{index}.gguf"), b"GGUF");
    }
    let error = home.find("many");
    assert!(error.ends_with("\n  m29.gguf\n  and 10 more"), "{error}");
}
