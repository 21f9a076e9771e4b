//! A configuration with its workload and engine in a file: what `gguflab bench --profile` measures.

use crate::commands::TakeAway;
use gguflab_types::knob::{self, ENVIRONMENT};
use gguflab_types::{Configuration, Request, Value, Workload, workload};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::path::PathBuf;

/// Version of [`Profile`]; raised when an older program would misread it.
pub const PROFILE_VERSION: u32 = 1;

/// The file, strictly: a key that is not known is an error.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct Profile {
    /// [`PROFILE_VERSION`].
    pub version: u32,
    /// Where the model lies; `None` for an engine that needs none.
    pub model: Option<PathBuf>,
    /// The engine as `--engine` takes it; `None` for the one that is built in.
    pub engine: Option<String>,
    /// Command in front of the engine.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub wrapper: Vec<String>,
    /// Folders to add to the engine's search path of libraries.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub library_paths: Vec<PathBuf>,
    /// Environment variables for the engine.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub environment: BTreeMap<String, String>,
    /// The knobs.
    #[serde(default)]
    pub settings: Configuration,
    /// What is run: the name of a workload, or requests of its own.
    pub workload: Option<ProfileWorkload>,
}

/// What is run.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ProfileWorkload {
    /// Its name; without requests, that of a named workload.
    pub name: String,
    /// Its requests.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub requests: Vec<Request>,
}

/// Why a profile cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum ProfileError {
    /// The file cannot be read.
    #[error("cannot read profile {file}: {source}")]
    Read {
        /// The file.
        file: String,
        /// What the system says.
        source: std::io::Error,
    },
    /// The file says something that is not understood.
    #[error("profile {file}, line {line}: {problem}")]
    Content {
        /// The file.
        file: String,
        /// The line, from 1.
        line: usize,
        /// What is wrong, with the key.
        problem: String,
    },
}

impl Profile {
    /// What reproduces a configuration.
    #[must_use]
    pub fn of(taken: &TakeAway<'_>) -> Profile {
        let named = workload::find(&taken.workload.name).as_ref() == Some(taken.workload);
        let engine = taken.engine;
        let engine_name = match engine.kind.as_str() {
            "embedded" => Some("embedded".to_string()),
            // Its build text is what it was asked to be.
            "simulated" => engine
                .build
                .strip_prefix("simulated ")
                .map(|text| format!("simulated={}", text.replace(' ', ","))),
            _ => None,
        };
        let (mut environment, mut settings) = (engine.environment.clone(), taken.configuration.clone());
        for (knob, value) in taken.configuration.settings() {
            if let Some(name) = knob.strip_prefix(ENVIRONMENT) {
                environment.insert(name.to_string(), value.to_string());
                settings = settings.with(knob, Value::Auto);
            }
        }
        Profile {
            version: PROFILE_VERSION,
            model: (engine.kind != "simulated").then(|| taken.model.to_path_buf()),
            engine: engine_name,
            wrapper: engine.wrapper.clone(),
            library_paths: engine.library_paths.iter().map(PathBuf::from).collect(),
            environment,
            settings,
            workload: Some(ProfileWorkload {
                name: taken.workload.name.clone(),
                requests: if named { Vec::new() } else { taken.workload.requests.clone() },
            }),
        }
    }

    /// The text of the file; empty only where a path is not UTF-8.
    #[must_use]
    pub fn to_toml(&self) -> String {
        let lossy = |path: &PathBuf| PathBuf::from(path.to_string_lossy().into_owned());
        let writable = Profile {
            model: self.model.as_ref().map(lossy),
            library_paths: self.library_paths.iter().map(lossy).collect(),
            ..self.clone()
        };
        toml::to_string(&writable).unwrap_or_default()
    }

    /// Reads a file.
    ///
    /// # Errors
    /// [`ProfileError`] names the file and, where it says something wrong, line and key.
    pub fn read(path: &std::path::Path) -> Result<Profile, ProfileError> {
        let file = path.display().to_string();
        let text = std::fs::read_to_string(path)
            .map_err(|source| ProfileError::Read { file: file.clone(), source })?;
        Profile::parse(&text).map_err(|(line, problem)| ProfileError::Content { file, line, problem })
    }

    /// Reads the text of a file, or says in which line what is wrong.
    fn parse(text: &str) -> Result<Profile, (usize, String)> {
        let profile: Profile = toml::from_str(text).map_err(|error| {
            let at = error.span().map_or(0, |span| span.start);
            (line_of(text, at), in_words(text, at, error.message()))
        })?;
        if profile.version != PROFILE_VERSION {
            let problem =
                format!("version {}: this program reads version {PROFILE_VERSION}", profile.version);
            return Err((line_with(text, "version"), problem));
        }
        // An engine by command has knobs of its own, which are known only when it is asked.
        let own = profile.engine.as_deref().is_some_and(|engine| engine.starts_with("command"));
        for (name, value) in profile.settings.settings() {
            let checked = match knob::find(name) {
                Some(knob) => knob.check(value).map(|_| ()),
                None if own || knob::variable(name).is_some() => Ok(()),
                None => Err(format!("unknown knob `{name}`")),
            };
            if let Err(problem) = checked {
                return Err((line_with(text, name), problem));
            }
        }
        if let Err(problem) = profile.workload() {
            return Err((line_with(text, "name"), problem));
        }
        Ok(profile)
    }

    /// The workload that it names or spells out; `None` when it says nothing of one.
    ///
    /// # Errors
    /// It names a workload that there is not.
    pub fn workload(&self) -> Result<Option<Workload>, String> {
        let Some(asked) = &self.workload else { return Ok(None) };
        if !asked.requests.is_empty() {
            return Ok(Some(Workload { name: asked.name.clone(), requests: asked.requests.clone() }));
        }
        let unknown = || format!("name: no workload `{}` (see `gguflab list workloads`)", asked.name);
        workload::find(&asked.name).map(Some).ok_or_else(unknown)
    }
}

/// The message with the key whose value stands at this place, unless it names it already.
fn in_words(text: &str, at: usize, message: &str) -> String {
    let before = text.get(..at).unwrap_or_default();
    let line = before.rsplit('\n').next().unwrap_or_default();
    let key = line.rsplit_once('=').and_then(|(keys, _)| keys.trim_end().rsplit([' ', ',', '{', '.']).next());
    let message = message.replace('\n', " ");
    match key.filter(|key| !key.is_empty() && !message.contains(*key)) {
        Some(key) => format!("{key}: {message}"),
        None => message,
    }
}

/// The line, from 1, in which a byte of a text stands.
#[must_use]
pub fn line_of(text: &str, at: usize) -> usize {
    text[..at.min(text.len())].matches('\n').count() + 1
}

/// The line that sets a key.
fn line_with(text: &str, key: &str) -> usize {
    let sets = |line: &str| line.trim_start().trim_start_matches('"').starts_with(key);
    text.lines().position(sets).map_or(1, |line| line + 1)
}

#[cfg(test)]
mod tests {
    use super::*;
    use gguflab_types::EngineIdentity;
    use std::path::Path;

    #[test]
    fn what_is_written_reads_back() {
        let own = Workload {
            name: "own".into(),
            requests: vec![Request { depth: 3, weight: 0.25, ..Request::new(7, 9) }],
        };
        let chat = workload::find("chat").unwrap();
        let configuration = Configuration::new()
            .with("threads", Value::Integer(4))
            .with("flash-attention", Value::Text("off".into()))
            .with("repack", Value::Switch(false))
            .with("tensor-overrides", Value::Text("a\"b\\c=CPU".into()));
        for (kind, build, engine) in [
            ("embedded", "b11434", Some("embedded")),
            ("simulated", "simulated gpu seed=1 noise=0", Some("simulated=gpu,seed=1,noise=0")),
            ("llama-bench", "b1", None),
        ] {
            let engine_identity = EngineIdentity {
                kind: kind.into(),
                build: build.into(),
                environment: [("A B".to_string(), "x=y".to_string())].into(),
                wrapper: vec!["numactl".into(), "-m 0".into()],
                ..EngineIdentity::default()
            };
            for workload in [&own, &chat] {
                let profile = Profile::of(&TakeAway {
                    model: Path::new("a b/it's.gguf"),
                    configuration: &configuration,
                    workload,
                    engine: &engine_identity,
                });
                assert_eq!(profile.engine.as_deref(), engine);
                let read = Profile::parse(&profile.to_toml()).unwrap();
                assert_eq!(read, profile, "{}", profile.to_toml());
                assert_eq!(read.workload().unwrap().as_ref(), Some(workload));
            }
        }
    }

    #[test]
    fn errors_name_line_and_key() {
        for (text, line, words) in [
            ("version = 1\nmodell = \"x\"\n", 2, "modell"),
            ("version = 1\nmodel = 3\n", 2, "model"),
            ("version = 2\n", 1, "version 2"),
            ("model = \"x\"\n", 1, "version"),
            ("version = 1\n\n[settings]\nthreads = 0\n", 4, "threads"),
            ("version = 1\n[settings]\nthreds = 4\n", 3, "threds"),
            ("version = 1\n[workload]\nname = \"chatt\"\n", 3, "chatt"),
            ("version = 1\n[workload]\nname = \"x\"\nrequests = [{prompt = -1}]\n", 4, "prompt"),
            ("version = 1\n[environment]\nABC = 1\n", 3, "ABC: "),
            ("version = 1\nthis is no toml\n", 2, "expected"),
            ("version = 1\n[settings]\nthreads = [1]\n", 3, "threads"),
        ] {
            let (at, problem) = Profile::parse(text).unwrap_err();
            assert!(at == line && problem.contains(words), "{text}: line {at}: {problem}");
        }
    }
}
