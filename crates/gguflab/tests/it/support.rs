//! The program in a folder of its own: nothing of the user is read or written.

use gguflab_format::{TinyArchitecture, TinyModel, write_tiny};
use gguflab_lab::Store;
use gguflab_types::Trial;
use std::io::Read;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::mpsc::channel;
use std::time::Duration;

/// Longest time that any run here may take; past it the program hangs, which is a failure.
const DEADLINE: Duration = Duration::from_secs(180);

/// A folder with what a test needs; `{}` in a command line stands for it.
pub(crate) struct Place {
    folder: tempfile::TempDir,
}

/// How a run ended.
#[derive(Debug)]
pub(crate) struct Ended {
    pub(crate) status: ExitStatus,
    pub(crate) output: String,
    pub(crate) talk: String,
}

impl Place {
    pub(crate) fn new() -> Place {
        Place { folder: tempfile::tempdir().unwrap() }
    }

    /// A place with the small model `tiny.gguf`.
    pub(crate) fn with_model() -> Place {
        let place = Place::new();
        place.write_model("tiny.gguf", TinyArchitecture::Llama);
        place
    }

    pub(crate) fn write_model(&self, name: &str, architecture: TinyArchitecture) {
        let model = TinyModel { vocabulary: 512, ..TinyModel::new(architecture) };
        write_tiny(&self.path(name), &model).unwrap();
    }

    /// A model with other weights than `tiny.gguf`, of the same tokenizer.
    pub(crate) fn write_other(&self, name: &str) {
        let model = TinyModel { vocabulary: 512, seed: 7, ..TinyModel::new(TinyArchitecture::Llama) };
        write_tiny(&self.path(name), &model).unwrap();
    }

    pub(crate) fn folder(&self) -> &Path {
        self.folder.path()
    }

    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    pub(crate) fn write(&self, name: &str, content: impl AsRef<[u8]>) {
        std::fs::write(self.path(name), content).unwrap();
    }

    pub(crate) fn read(&self, name: &str) -> String {
        std::fs::read_to_string(self.path(name)).unwrap()
    }

    /// Writes a program. Another process writes it: one that this process still had open for writing while a
    /// test beside this one starts a child could not be executed.
    #[cfg(unix)]
    pub(crate) fn write_program(&self, name: &str, text: &str) {
        self.write(&format!("{name}.text"), text);
        let copy = "cp \"$0.text\" \"$0\" && chmod +x \"$0\"";
        let copied = Command::new("sh").args(["-c", copy]).arg(self.path(name)).status().unwrap();
        assert!(copied.success());
    }

    /// The program with the words of a line as its arguments.
    pub(crate) fn command(&self, line: &str) -> Command {
        let folder = self.folder().display().to_string();
        let words: Vec<String> = line.split_whitespace().map(|word| word.replace("{}", &folder)).collect();
        self.with_arguments(&words)
    }

    pub(crate) fn with_arguments(&self, words: &[impl AsRef<std::ffi::OsStr>]) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_gguflab"));
        for name in [
            "GGUFLAB_ENGINE",
            "GGUFLAB_STORE",
            "GGUFLAB_CACHE",
            "NO_COLOR",
            "CLICOLOR_FORCE",
            "OLLAMA_MODELS",
        ] {
            command.env_remove(name);
        }
        for name in ["HOME", "XDG_DATA_HOME", "XDG_CACHE_HOME", "XDG_CONFIG_HOME", "APPDATA", "LOCALAPPDATA"]
        {
            command.env(name, self.path("home"));
        }
        command.env("GGUFLAB_WORKER", worker()).env("COLUMNS", "200").stdin(Stdio::null());
        command.current_dir(self.folder()).args(words);
        command
    }

    pub(crate) fn run(&self, line: &str) -> Ended {
        finish(self.command(line).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap())
    }

    /// Runs with words that may have spaces in them.
    pub(crate) fn run_words(&self, words: &[impl AsRef<std::ffi::OsStr>]) -> Ended {
        let mut command = self.with_arguments(words);
        finish(command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap())
    }

    /// Runs and expects an exit code and, on one of the two streams, some words.
    pub(crate) fn check(&self, line: &str, code: i32, words: &str) -> Ended {
        let ended = self.run(line);
        assert_eq!(ended.status.code(), Some(code), "gguflab {line}\n{ended}");
        assert!(ended.has(words), "gguflab {line}\nshould say `{words}`\n{ended}");
        ended
    }

    /// The trials of a study in a store of this place.
    pub(crate) fn trials(&self, store: &str, study: &str) -> Vec<Trial> {
        let mut store = Store::open_read_only(self.path(store)).unwrap();
        let Some(study) = store.find_study(study).unwrap() else { return Vec::new() };
        let trials = store.trials(study.id).unwrap().to_vec();
        store.close().unwrap();
        trials
    }
}

impl Ended {
    /// Whether some words were said; the `{}` of a line break at the end of a screen line does not matter.
    pub(crate) fn has(&self, words: &str) -> bool {
        let flat = |text: &str| text.split_whitespace().collect::<Vec<_>>().join(" ");
        let words = flat(words);
        flat(&self.output).contains(&words) || flat(&self.talk).contains(&words)
    }

    pub(crate) fn json(&self) -> serde_json::Value {
        serde_json::from_str(&self.output).unwrap_or_else(|error| panic!("{error}\n{self}"))
    }
}

impl std::fmt::Display for Ended {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let beginning = |text: &str| text.chars().take(4000).collect::<String>();
        let (output, talk) = (beginning(&self.output), beginning(&self.talk));
        write!(formatter, "{}\n--- output\n{output}\n--- talk\n{talk}", self.status)
    }
}

/// Waits for a run; a panic in it fails the test whatever else was expected.
pub(crate) fn finish(mut child: Child) -> Ended {
    let (sender, receiver) = channel();
    let mut readers = 0;
    let pipes: [(usize, Option<Box<dyn Read + Send>>); 2] = [
        (0, child.stdout.take().map(|pipe| Box::new(pipe) as Box<dyn Read + Send>)),
        (1, child.stderr.take().map(|pipe| Box::new(pipe) as Box<dyn Read + Send>)),
    ];
    for (index, pipe) in pipes {
        let Some(mut pipe) = pipe else { continue };
        let sender = sender.clone();
        readers += 1;
        std::thread::spawn(move || {
            let mut bytes = Vec::new();
            let read = pipe.read_to_end(&mut bytes);
            // Nobody listens any more when the test has failed already.
            let _ = sender.send((index, read.map(|_| String::from_utf8_lossy(&bytes).into_owned())));
        });
    }
    let mut texts = [String::new(), String::new()];
    for _ in 0..readers {
        match receiver.recv_timeout(DEADLINE) {
            Ok((index, text)) => texts[index] = text.unwrap(),
            Err(_) => {
                child.kill().unwrap();
                panic!("no end after {DEADLINE:?}");
            }
        }
    }
    let status = child.wait().unwrap();
    let [output, talk] = texts;
    assert!(!talk.contains("panicked at"), "{talk}");
    Ended { status, output, talk }
}

/// The worker: what `cargo xtask test` names, or the one that was built beside the program.
pub(crate) fn worker() -> PathBuf {
    if let Some(path) = std::env::var_os("GGUFLAB_WORKER") {
        return PathBuf::from(path);
    }
    let name = format!("gguflab-worker{}", std::env::consts::EXE_SUFFIX);
    let path = Path::new(env!("CARGO_BIN_EXE_gguflab")).with_file_name(name);
    assert!(
        path.is_file(),
        "{} is missing: build it with `cargo build --release -p gguflab-worker`, or run `cargo xtask test`",
        path.display()
    );
    path
}

/// The file or folder that an environment variable names; without it a test cannot run: said so, and under CI a failure.
#[cfg(unix)]
pub(crate) fn given(variable: &str) -> Option<PathBuf> {
    let path = std::env::var_os(variable).map(PathBuf::from).filter(|path| path.exists());
    if path.is_none() {
        let required = std::env::var("CI").is_ok_and(|value| value == "true");
        assert!(!required, "{variable} has to name what is there in CI: run `cargo xtask test`");
        eprintln!("not run: {variable} names nothing (`cargo xtask test` sets it)");
    }
    path
}

/// Numbers that look random and are the same every time (splitmix64, Steele, Lea and Flood 2014).
#[cfg(unix)]
pub(crate) struct Random(pub(crate) u64);

#[cfg(unix)]
impl Random {
    /// From 0 to below 1.
    pub(crate) fn next(&mut self) -> f64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut bits = self.0;
        bits = (bits ^ (bits >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        bits = (bits ^ (bits >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        ((bits ^ (bits >> 31)) >> 11) as f64 / (1u64 << 53) as f64
    }
}
