//! Where models are looked for.

use std::ffi::OsString;
use std::fmt;
use std::fs;
use std::io::ErrorKind;
use std::path::{Path, PathBuf};
use std::time::Duration;

use serde::Deserialize;

use crate::folder::read_bounded;
use crate::limits;

/// The roots under which models are looked for.
#[derive(Debug, Clone)]
pub struct Places {
    /// The folder that relative paths start from.
    pub current: PathBuf,
    /// Ollama's stores: each a folder with `manifests` or `manifests-v2` and `blobs`.
    pub ollama: Vec<PathBuf>,
    /// LM Studio's models: each a folder with `PUBLISHER/REPO/FILE.gguf` in it.
    pub lm_studio: Vec<PathBuf>,
    /// The hub and its cache.
    pub hub: HubPlace,
}

/// The hub and its cache on this machine.
#[derive(Debug, Clone)]
pub struct HubPlace {
    /// The cache: a folder with `models--OWNER--REPO` in it. None when there is no home folder.
    pub cache: Option<PathBuf>,
    /// Address of the hub, as in `https://huggingface.co`.
    pub endpoint: String,
    /// The user's token. It is sent only where the hub refuses without one.
    pub token: Option<Token>,
    /// How long the hub may send nothing before it counts as unreachable.
    pub patience: Duration,
}

/// A secret that is never shown.
#[derive(Clone, PartialEq, Eq)]
pub struct Token(String);

impl Token {
    /// A token without the blanks around it; None if it is empty or has characters that no token has.
    #[must_use]
    pub fn new(text: &str) -> Option<Token> {
        let text = text.trim();
        let valid = !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_graphic());
        valid.then(|| Token(text.to_owned()))
    }

    /// The secret itself, to be sent and nothing else.
    #[cfg(feature = "hub")]
    pub(crate) fn secret(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for Token {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("Token(hidden)")
    }
}

/// Where the hub is unless the environment says otherwise.
const HUB: &str = "https://huggingface.co";

/// Stores of an Ollama that runs as a service of the system (its Linux installer; distributions' packages).
const SERVICE_STORES: [&str; 3] =
    ["/usr/share/ollama/.ollama/models", "/var/lib/ollama/.ollama/models", "/var/lib/ollama"];

impl Places {
    /// The places of this machine and user, from the environment and the programs' own settings.
    #[must_use]
    pub fn system() -> Places {
        let home = etcetera::home_dir().ok();
        let current = std::env::current_dir().unwrap_or_else(|_| PathBuf::from("."));
        let mut places = Places::from_environment(home.as_deref(), current, &|name| std::env::var_os(name));
        let services = SERVICE_STORES.iter().map(PathBuf::from);
        places.ollama.extend(services.filter(|store| store.join("blobs").exists()));
        deduplicate(&mut places.ollama);
        places
    }

    /// The places of a user with this home folder and these environment variables: `OLLAMA_MODELS`,
    /// `HF_HUB_CACHE`, `HF_HOME`, `XDG_CACHE_HOME`, `HF_ENDPOINT` and `HF_TOKEN`, as Ollama and the hub's own
    /// tools read them. LM Studio's folder comes from its pointer and settings files in the home folder.
    #[must_use]
    pub fn from_environment(
        home: Option<&Path>,
        current: PathBuf,
        variable: &dyn Fn(&str) -> Option<OsString>,
    ) -> Places {
        let set = |name: &str| variable(name).filter(|value| !value.is_empty());
        let text = |name: &str| set(name).and_then(|value| value.into_string().ok());
        let ollama =
            set("OLLAMA_MODELS").map(PathBuf::from).or_else(|| Some(home?.join(".ollama").join("models")));
        let hub = HubPlace {
            cache: hub_cache(home, &set),
            endpoint: text("HF_ENDPOINT").unwrap_or_else(|| HUB.to_owned()).trim_end_matches('/').to_owned(),
            token: text("HF_TOKEN").as_deref().and_then(Token::new),
            patience: Duration::from_secs(60),
        };
        let lm_studio = home.map(lm_studio_folders).unwrap_or_default();
        Places { current, ollama: ollama.into_iter().collect(), lm_studio, hub }
    }
}

fn hub_cache(home: Option<&Path>, set: &dyn Fn(&str) -> Option<OsString>) -> Option<PathBuf> {
    if let Some(cache) = set("HF_HUB_CACHE") {
        return Some(cache.into());
    }
    let own = set("HF_HOME").map(PathBuf::from);
    let shared = || set("XDG_CACHE_HOME").map(PathBuf::from).or_else(|| Some(home?.join(".cache")));
    own.or_else(|| Some(shared()?.join("huggingface"))).map(|folder| folder.join("hub"))
}

/// LM Studio's models: in its home (which `.lmstudio-home-pointer` may name; older versions used `.cache`), or
/// where the settings in that home say.
fn lm_studio_folders(home: &Path) -> Vec<PathBuf> {
    let pointer = read_bounded(&home.join(".lmstudio-home-pointer"), limits::MANIFEST_BYTES).ok();
    let pointed = pointer.and_then(|bytes| Some(PathBuf::from(String::from_utf8(bytes).ok()?.trim())));
    let homes = pointed
        .filter(|folder| folder.is_absolute())
        .into_iter()
        .chain([home.join(".lmstudio"), home.join(".cache").join("lm-studio")]);
    let mut folders: Vec<PathBuf> =
        homes.flat_map(|home| downloads_folder(&home).into_iter().chain([home.join("models")])).collect();
    deduplicate(&mut folders);
    folders
}

/// The part of LM Studio's `settings.json` that says where models are.
#[derive(Deserialize)]
struct LmStudioSettings {
    #[serde(rename = "downloadsFolder")]
    downloads_folder: Option<PathBuf>,
}

fn downloads_folder(lm_studio_home: &Path) -> Option<PathBuf> {
    let bytes = read_bounded(&lm_studio_home.join("settings.json"), limits::MANIFEST_BYTES).ok()?;
    let settings: LmStudioSettings = serde_json::from_slice(&bytes).ok()?;
    settings.downloads_folder.filter(|folder| folder.is_absolute())
}

/// Keeps the first of equal paths.
fn deduplicate(paths: &mut Vec<PathBuf>) {
    let mut kept: Vec<PathBuf> = Vec::new();
    for path in paths.drain(..) {
        if !kept.contains(&path) {
            kept.push(path);
        }
    }
    *paths = kept;
}

/// A place for the list of places where was looked, with why it gave nothing if the system knows.
pub(crate) fn describe(what: &str, root: &Path) -> String {
    let why = match fs::read_dir(root) {
        Ok(_) => String::new(),
        Err(cause) if cause.kind() == ErrorKind::NotFound => " (not there)".to_owned(),
        Err(cause) => format!(" (cannot be read: {cause})"),
    };
    format!("{what} {}{why}", root.display())
}
