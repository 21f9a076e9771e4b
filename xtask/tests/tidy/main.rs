//! The house rules, as tests: what ARCHITECTURE.md promises about the source is checked here.
//! Each rule is a function from the sources to a list of problems, with a test that it holds for the
//! repository and a test that it can fail.

mod documents;
mod functions;
mod lexer;
mod manifests;
mod sources;

use std::path::{Path, PathBuf};

/// A file of the repository.
pub struct Source {
    /// Path from the root of the repository, with forward slashes.
    pub path: String,
    /// Its text.
    pub text: String,
}

impl Source {
    /// A sample for the tests of a rule.
    pub fn sample(path: &str, text: &str) -> Source {
        Source { path: path.to_owned(), text: text.to_owned() }
    }
}

/// Fails with all problems of a rule at once.
#[track_caller]
pub fn assert_none(problems: &[String]) {
    assert!(problems.is_empty(), "{} problem(s):\n  {}", problems.len(), problems.join("\n  "));
}

/// The Rust files of the repository.
pub fn rust_files() -> Vec<Source> {
    files().into_iter().filter(|source| source.path.ends_with(".rs")).collect()
}

/// All text files of the repository: no build outputs, nothing hidden but the settings that are part of it.
pub fn files() -> Vec<Source> {
    let mut found = Vec::new();
    collect(&root(), &root(), &mut found);
    found.sort_by(|left, right| left.path.cmp(&right.path));
    assert!(found.len() > 20, "only {} files were found: is the walk broken?", found.len());
    found
}

/// The root of the repository.
pub fn root() -> PathBuf {
    let own = Path::new(env!("CARGO_MANIFEST_DIR"));
    own.parent().map_or_else(|| own.to_owned(), Path::to_owned)
}

fn collect(root: &Path, folder: &Path, found: &mut Vec<Source>) {
    for entry in std::fs::read_dir(folder).expect("the repository is readable").flatten() {
        let (path, name) = (entry.path(), entry.file_name().to_string_lossy().into_owned());
        let hidden = name.starts_with('.') && !matches!(name.as_str(), ".ci" | ".cargo" | ".config");
        let is_built = matches!(name.as_str(), "target" | "corpus" | "artifacts");
        if path.is_symlink() || hidden {
            continue;
        }
        if path.is_dir() && !is_built {
            collect(root, &path, found);
        } else if let Ok(text) = std::fs::read_to_string(&path) {
            let relative =
                path.strip_prefix(root).expect("below the root").to_string_lossy().replace('\\', "/");
            found.push(Source { path: relative, text });
        }
    }
}
