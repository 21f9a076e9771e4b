//! Tests of the data crate, one binary.

mod dataset;
#[cfg(feature = "hub")]
mod dataset_hub;
#[cfg(feature = "hdf5")]
mod hdf5_logits;
mod hub_cache;
#[cfg(feature = "hub")]
mod hub_download;
#[cfg(feature = "hub")]
mod hub_server;
mod llama_logits;
mod lm_studio;
mod near;
mod ollama;
mod overlap;
mod paths;
mod places;
mod real_corpora;
mod sample;
mod sketches;
mod stores;

use std::fs;
use std::path::{Path, PathBuf};
use std::time::Duration;

use gguflab_data::{HubPlace, Places, find_model, local_models};
use tempfile::TempDir;

/// A home in a folder of its own: what other programs keep there, and where the user is.
struct Home {
    folder: TempDir,
    places: Places,
}

impl Home {
    fn new() -> Home {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let at = |name: &str| folder.path().join(name);
        let hub = HubPlace {
            cache: Some(at("hub")),
            // Nothing listens on port 1 of this machine.
            endpoint: "http://127.0.0.1:1".to_owned(),
            token: None,
            patience: Duration::from_secs(60),
        };
        let places =
            Places { current: at("here"), ollama: vec![at("ollama")], lm_studio: vec![at("lmstudio")], hub };
        fs::create_dir(&places.current).expect("a new folder");
        Home { folder, places }
    }

    /// A home with these files, each beginning as GGUF does.
    fn with(files: &[&str]) -> Home {
        let home = Home::new();
        files.iter().for_each(|file| home.write(file, b"GGUF and more"));
        home
    }

    fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    fn write(&self, name: &str, contents: &[u8]) {
        let path = self.path(name);
        fs::create_dir_all(path.parent().expect("a parent")).expect("folders");
        fs::write(path, contents).expect("a file");
    }

    /// `ORIGIN PATH` of the model found, with the home folder taken off, or the error, the home folder as `~`.
    fn find(&self, name: &str) -> String {
        match find_model(name, &self.places) {
            Ok(found) => format!("{} {}", found.origin, self.relative(&found.path)),
            Err(error) => error.to_string().replace(&self.folder.path().display().to_string(), "~"),
        }
    }

    /// `NAME BYTES` of each model of the other programs. Each is found by its name.
    fn list(&self) -> Vec<String> {
        let models = local_models(&self.places);
        for model in &models {
            let found = find_model(&model.name, &self.places).expect("what is listed is found");
            assert_eq!(
                (found.path, found.origin, found.name.as_str()),
                (model.path.clone(), model.origin, model.name.as_str())
            );
        }
        models.iter().map(|model| format!("{} {}", model.name, model.bytes)).collect()
    }

    fn relative(&self, path: &Path) -> String {
        path.strip_prefix(self.folder.path()).unwrap_or(path).display().to_string()
    }

    fn check(&self, cases: &[(&str, &str)]) {
        for (name, expected) in cases {
            let got = self.find(name);
            match expected.strip_prefix("error: ") {
                Some(part) => {
                    assert!(got.contains(part), "{name}: expected an error with {part:?}, got {got:?}")
                }
                None => assert_eq!(&got, expected, "{name}"),
            }
        }
    }
}
