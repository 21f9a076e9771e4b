//! Places from the environment.

use std::ffi::OsString;
use std::path::PathBuf;

use gguflab_data::{Places, Token};

use crate::Home;

/// The places of a user with this home and these variables.
fn places(home: Option<&Home>, variables: &[(&str, &str)]) -> Places {
    let variable = |name: &str| {
        let found = variables.iter().find(|(known, _)| *known == name);
        found.map(|(_, value)| OsString::from(value))
    };
    Places::from_environment(home.map(|home| home.folder.path()), PathBuf::from("here"), &variable)
}

#[test]
fn folders_follow_the_environment() {
    let home = Home::new();
    for (variables, ollama, cache) in [
        (vec![], home.path(".ollama/models"), home.path(".cache/huggingface/hub")),
        (vec![("OLLAMA_MODELS", "/o"), ("HF_HOME", "/h")], "/o".into(), "/h/hub".into()),
        (vec![("XDG_CACHE_HOME", "/x")], home.path(".ollama/models"), "/x/huggingface/hub".into()),
        (vec![("HF_HUB_CACHE", "/c"), ("HF_HOME", "/h")], home.path(".ollama/models"), "/c".into()),
        (
            vec![("OLLAMA_MODELS", ""), ("HF_HOME", "")],
            home.path(".ollama/models"),
            home.path(".cache/huggingface/hub"),
        ),
    ] {
        let places = places(Some(&home), &variables);
        assert_eq!((places.ollama, places.hub.cache), (vec![ollama], Some(cache)), "{variables:?}");
    }
    let nowhere = places(None, &[]);
    assert_eq!((nowhere.ollama, nowhere.lm_studio, nowhere.hub.cache), (vec![], vec![], None));
}

#[test]
fn lm_studio_says_itself_where_its_models_are() {
    let home = Home::new();
    let defaults = [home.path(".lmstudio/models"), home.path(".cache/lm-studio/models")];
    assert_eq!(places(Some(&home), &[]).lm_studio, defaults);

    home.write(".lmstudio/settings.json", br#"{"downloadsFolder": "/big/models", "other": [1]}"#);
    home.write(".cache/lm-studio/settings.json", b"not json");
    let expected = [&[PathBuf::from("/big/models")], defaults.as_slice()].concat();
    assert_eq!(places(Some(&home), &[]).lm_studio, expected);

    home.write(".lmstudio-home-pointer", b"/moved\n");
    let expected = [&[PathBuf::from("/moved/models")], expected.as_slice()].concat();
    assert_eq!(places(Some(&home), &[]).lm_studio, expected);
}

#[test]
fn the_hub_follows_the_environment_and_its_token_is_never_shown() {
    let home = Home::new();
    let default = places(Some(&home), &[]).hub;
    assert_eq!((default.endpoint.as_str(), default.token), ("https://huggingface.co", None));

    let set = places(Some(&home), &[("HF_ENDPOINT", "http://mirror/"), ("HF_TOKEN", " hf_secret\n")]);
    assert_eq!((set.hub.endpoint.as_str(), &set.hub.token), ("http://mirror", &Token::new("hf_secret")));
    assert!(!format!("{set:?}").contains("secret"), "{set:?}");
    for bad in ["", " ", "two words", "new\nline", "schlüssel"] {
        assert_eq!(Token::new(bad), None, "{bad:?}");
    }
}
