//! Models that Ollama has pulled.
//!
//! Two layouts (Ollama's `manifest/paths.go`, 0.40): `manifests-v2/HOST/NAMESPACE/NAME/TAG`, where the public
//! registry is `ollama.com` and a colon in HOST is `%3A`, and the older `manifests/HOST/…`, where it is
//! `registry.ollama.ai`. A manifest lists layers; the layer of type `application/vnd.ollama.image.model` is the
//! file `blobs/sha256-HEX`. A manifest of version 2 may instead list one manifest per runner, kept as blobs.

use std::fs::{self, File};
use std::io::Read;
use std::path::{Path, PathBuf};

use serde::Deserialize;

use crate::error::DataError;
use crate::find::{FoundModel, Origin};
use crate::folder::{read_bounded, walk};
use crate::limits;
use crate::places::Places;

/// The folders of manifests in a store, the one that Ollama believes first.
const LAYOUTS: [&str; 2] = ["manifests-v2", "manifests"];
/// The names of the public registry.
const PUBLIC_HOSTS: [&str; 2] = ["ollama.com", "registry.ollama.ai"];
/// The namespace of the public registry's own models.
const LIBRARY: &str = "library";
/// Type of the layer that is the model.
const MODEL_LAYER: &str = "application/vnd.ollama.image.model";

/// A model's name in Ollama, in full.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct OllamaName {
    host: String,
    namespace: String,
    name: String,
    tag: String,
}

/// A model that a store lists.
#[derive(Debug, Clone)]
pub(crate) struct Listed {
    /// Its name.
    pub(crate) name: OllamaName,
    store: PathBuf,
    manifest: PathBuf,
}

/// The model `name` in the first store that lists it.
pub(crate) fn find(name: &str, places: &Places) -> Result<Option<FoundModel>, DataError> {
    let Some(wanted) = OllamaName::parse(name) else {
        let reason = "in Ollama it is NAME, NAME:TAG, NAMESPACE/NAME:TAG or HOST/NAMESPACE/NAME:TAG";
        return Err(DataError::BadName { name: name.to_owned(), reason: reason.to_owned() });
    };
    for store in &places.ollama {
        let direct = wanted.manifest_in(store).map(|manifest| Listed {
            name: wanted.clone(),
            store: store.clone(),
            manifest,
        });
        let listed = direct.or_else(|| list(store).into_iter().find(|listed| listed.name.is(&wanted)));
        if let Some(listed) = listed {
            let path = listed.file()?;
            let name = format!("ollama:{}", listed.name.display());
            return Ok(Some(FoundModel { path, origin: Origin::Ollama, name }));
        }
    }
    Ok(None)
}

/// Whether `name` could be a model's name in Ollama.
pub(crate) fn is_name(name: &str) -> bool {
    OllamaName::parse(name).is_some()
}

/// Every model that a store lists, whether or not its file is there.
pub(crate) fn list(store: &Path) -> Vec<Listed> {
    let mut all: Vec<Listed> = Vec::new();
    for layout in LAYOUTS {
        for file in walk(&store.join(layout), limits::WALK_DEPTH, |_| true).files {
            let Some(name) = OllamaName::from_path(&file.name) else { continue };
            if !name.is_shadow() && !all.iter().any(|listed| listed.name.is(&name)) {
                all.push(Listed { name, store: store.to_owned(), manifest: file.path });
            }
        }
    }
    all
}

impl OllamaName {
    fn parse(text: &str) -> Option<OllamaName> {
        let (path, tag) = match text.rsplit_once(':') {
            Some((path, tag)) if !tag.contains('/') => (path, tag),
            _ => (text, "latest"),
        };
        let parts: Vec<&str> = path.split('/').collect();
        let (host, namespace, name) = match parts.as_slice() {
            [name] => (PUBLIC_HOSTS[0], LIBRARY, *name),
            [namespace, name] => (PUBLIC_HOSTS[0], *namespace, *name),
            [host, namespace, name] => (*host, *namespace, *name),
            _ => return None,
        };
        let valid = is_part(&host.replacen(':', "", 1)) && [namespace, name, tag].into_iter().all(is_part);
        valid.then(|| OllamaName::of(host, namespace, name, tag))
    }

    fn of(host: &str, namespace: &str, name: &str, tag: &str) -> OllamaName {
        let public = PUBLIC_HOSTS.iter().any(|known| known.eq_ignore_ascii_case(host));
        let host = if public { PUBLIC_HOSTS[0] } else { host };
        let (namespace, name, tag) = (namespace.to_owned(), name.to_owned(), tag.to_owned());
        OllamaName { host: host.to_owned(), namespace, name, tag }
    }

    /// From a manifest's path below `manifests` or `manifests-v2`.
    fn from_path(path: &str) -> Option<OllamaName> {
        let parts: Vec<&str> = path.split('/').collect();
        let [host, namespace, name, tag] = parts.as_slice() else { return None };
        let host = host.replace("%3A", ":").replace("%3a", ":");
        Some(OllamaName::of(&host, namespace, name, tag))
    }

    fn manifest_in(&self, store: &Path) -> Option<PathBuf> {
        let encoded = self.host.replace(':', "%3A");
        let mut hosts = vec![(LAYOUTS[0], encoded.as_str()), (LAYOUTS[1], self.host.as_str())];
        if self.host == PUBLIC_HOSTS[0] {
            hosts.push((LAYOUTS[1], PUBLIC_HOSTS[1]));
        }
        let paths = hosts.into_iter().map(|(layout, host)| {
            store.join(layout).join(host).join(&self.namespace).join(&self.name).join(&self.tag)
        });
        paths.into_iter().find(|path| path.is_file())
    }

    /// Ollama's names do not distinguish upper and lower case.
    fn is(&self, other: &OllamaName) -> bool {
        let parts =
            |name: &OllamaName| format!("{}/{}/{}:{}", name.host, name.namespace, name.name, name.tag);
        parts(self).eq_ignore_ascii_case(&parts(other))
    }

    /// Ollama 0.40 keeps `llamacpp:DIGEST` in the old layout so that one can go back; it is no model of the user.
    fn is_shadow(&self) -> bool {
        self.host == PUBLIC_HOSTS[0] && self.namespace == LIBRARY && self.name == "llamacpp"
    }

    /// The shortest form, as `ollama list` shows it.
    pub(crate) fn display(&self) -> String {
        let OllamaName { host, namespace, name, tag } = self;
        match (host == PUBLIC_HOSTS[0], namespace == LIBRARY) {
            (true, true) => format!("{name}:{tag}"),
            (true, false) => format!("{namespace}/{name}:{tag}"),
            (false, _) => format!("{host}/{namespace}/{name}:{tag}"),
        }
    }
}

/// Whether `text` can be one part of a name, and so one folder or file: none that leads out of the store.
fn is_part(text: &str) -> bool {
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || b"-_.".contains(&byte);
    !text.is_empty() && text.len() <= 255 && !text.starts_with('.') && text.bytes().all(plain)
}

/// The part of a manifest that matters here; a child of a list looks the same.
#[derive(Debug, Deserialize)]
struct Manifest {
    #[serde(default)]
    digest: Option<String>,
    #[serde(default)]
    runner: Option<String>,
    #[serde(default)]
    layers: Option<Vec<Layer>>,
    #[serde(default)]
    manifests: Option<Vec<Manifest>>,
}

#[derive(Debug, Deserialize)]
struct Layer {
    #[serde(rename = "mediaType")]
    media_type: String,
    digest: String,
    #[serde(default)]
    size: Option<u64>,
}

impl Listed {
    /// The model's file, which is there, complete and begins as GGUF does.
    pub(crate) fn file(&self) -> Result<PathBuf, DataError> {
        let layers = self.layers()?;
        let models: Vec<&Layer> =
            layers.iter().filter(|layer| layer.media_type.split(';').next() == Some(MODEL_LAYER)).collect();
        let [model] = models.as_slice() else { return Err(self.wrong_layers(models.len())) };
        let blob = self.blob(&model.digest)?;
        match blob_problem(&blob, model.size) {
            None => Ok(blob),
            Some(reason) => Err(DataError::Blob { name: self.name.display(), blob, reason }),
        }
    }

    fn layers(&self) -> Result<Vec<Layer>, DataError> {
        let manifest = read_manifest(&self.manifest)?;
        let own = manifest.layers.unwrap_or_default();
        let mut children = manifest.manifests.unwrap_or_default();
        if !own.is_empty() || children.is_empty() {
            return Ok(own);
        }
        // The build for llama.cpp first, then those of Ollama's own engine, which keep the original GGUF.
        children.retain(|child| child.runner.as_deref() != Some("mlx"));
        children.sort_by_key(|child| match child.runner.as_deref() {
            Some("llamacpp") => 0,
            Some("ggml") => 1,
            _ => 2,
        });
        let missing = self.wrong("lists only builds for other engines than llama.cpp; pull another tag");
        self.child_layers(children.into_iter().next().ok_or(missing)?)
    }

    fn child_layers(&self, child: Manifest) -> Result<Vec<Layer>, DataError> {
        if let Some(layers) = child.layers {
            return Ok(layers);
        }
        let digest = child.digest.ok_or_else(|| self.wrong("lists a build without its digest"))?;
        Ok(read_manifest(&self.blob(&digest)?)?.layers.unwrap_or_default())
    }

    /// The path of a blob. Only a SHA-256 is let through, so that a manifest cannot lead out of the store.
    fn blob(&self, digest: &str) -> Result<PathBuf, DataError> {
        let hex = digest.strip_prefix("sha256:").or_else(|| digest.strip_prefix("sha256-"));
        let valid = |hex: &&str| hex.len() == 64 && hex.bytes().all(|byte| byte.is_ascii_hexdigit());
        let hex =
            hex.filter(valid).ok_or_else(|| self.wrong("names a file by something else than a SHA-256"))?;
        Ok(self.store.join("blobs").join(format!("sha256-{hex}")))
    }

    fn wrong_layers(&self, models: usize) -> DataError {
        if models == 0 {
            return self.wrong("names no GGUF file; a cloud or safetensors model cannot be run by llama.cpp");
        }
        self.wrong(
            "names several model files, whose names Ollama does not keep; give the original split files",
        )
    }

    fn wrong(&self, reason: &str) -> DataError {
        let reason = format!("{reason} (model `{}`)", self.name.display());
        DataError::Manifest { path: self.manifest.clone(), reason }
    }
}

fn read_manifest(path: &Path) -> Result<Manifest, DataError> {
    let bytes = read_bounded(path, limits::MANIFEST_BYTES)?;
    serde_json::from_slice(&bytes).map_err(|cause| DataError::Manifest {
        path: path.to_owned(),
        reason: format!("it cannot be understood ({cause}); pull the model again"),
    })
}

/// What is wrong with a blob that should be a GGUF file of `bytes` bytes.
fn blob_problem(blob: &Path, bytes: Option<u64>) -> Option<String> {
    let length = match fs::metadata(blob) {
        Ok(facts) => facts.len(),
        Err(cause) => return Some(format!("cannot be found ({cause}); pull the model again")),
    };
    if let Some(bytes) = bytes.filter(|bytes| *bytes != length) {
        return Some(format!("has {length} bytes instead of {bytes}; pull the model again"));
    }
    let mut start = Vec::new();
    match File::open(blob).and_then(|file| file.take(9).read_to_end(&mut start)) {
        Ok(_) if start.starts_with(b"GGUF") => None,
        Ok(_) => Some(format!("is {}, not GGUF; llama.cpp cannot load it", format_of(&start))),
        Err(cause) => {
            Some(format!("cannot be read ({cause}); Ollama's service may own it: allow yourself to read it"))
        }
    }
}

/// What a file is, by its first nine bytes.
fn format_of(start: &[u8]) -> &'static str {
    match start {
        [b'P', b'K', 3, 4, ..] => "a PyTorch archive",
        [_, _, _, _, _, _, _, _, b'{'] => "a safetensors file",
        [b't', b'j', b'g', b'g', ..] | [b'l', b'm', b'g', b'g', ..] | [b'f', b'm', b'g', b'g', ..] => {
            "an old GGML file"
        }
        [] => "empty",
        _ => "of another format",
    }
}
