//! Downloads a model or dataset from the hub into its cache, with the client `hf-hub`.
//!
//! Added to what the client does: checked names (the hub's answers become paths), a broken download goes on where
//! it stopped, sizes and SHA-256 are compared, and the token is sent only where the hub refuses without it
//! (the client also sends it to the host that the hub redirects to).

use std::fs::{self, OpenOptions};
use std::path::{Path, PathBuf};
use std::thread;
use std::time::Duration;

use hf_hub::api::sync::{Api, ApiBuilder, ApiError, ApiRepo};
use hf_hub::{Cache, CacheRepo, Repo};

use super::exchange::{Problem, Reporter, Step, exchange};
use super::{ChooseFiles, HubKind, HubName, is_file_name, is_plain};
use crate::choose::choose;
use crate::dataset::files::format_of;
use crate::dataset::{DataFile, DatasetError};
use crate::error::DataError;
use crate::find::{DownloadProgress, FoundModel, Origin};
use crate::folder::part_names;
use crate::places::HubPlace;
use crate::sums;

/// Tries in a row that bring no byte before a download ends.
const FRUITLESS_TRIES: u32 = 4;
/// Tries of one file in all.
const TRIES: u32 = 100;
/// Pause after the first fruitless try; it doubles with each.
const PAUSE: Duration = Duration::from_millis(250);

/// What the hub says about a file.
#[derive(Debug, Clone)]
struct FileFacts {
    commit: String,
    etag: String,
    bytes: u64,
}

/// A repository that is asked.
struct Session<'a> {
    name: &'a HubName,
    hub: &'a HubPlace,
    cache: Cache,
    with_token: bool,
}

/// Downloads all files of the model that `name` chooses and gives its first.
pub(super) fn download(
    name: &HubName,
    hub: &HubPlace,
    progress: &mut dyn FnMut(&DownloadProgress),
) -> Result<FoundModel, DataError> {
    let mut session = Session::new(name, hub)?;
    let files = session.files()?;
    let place = format!("hf:{}", name.repository);
    let first = choose(&files, name.wanted.as_deref(), &place)?;
    let parts = part_names(&first);
    if let Some(missing) = parts.iter().find(|part| !files.contains(part)) {
        return Err(DataError::MissingPart { place, missing: missing.clone() });
    }
    let path = session.fetch_all(&parts, progress)?.swap_remove(0);
    Ok(FoundModel { path, origin: Origin::Hub, name: format!("{place}:{first}") })
}

/// Downloads the files of the dataset `name` that `pick` picks among those that are data.
pub(super) fn download_dataset(
    name: &HubName,
    hub: &HubPlace,
    pick: &ChooseFiles<'_>,
    progress: &mut dyn FnMut(&DownloadProgress),
) -> Result<Vec<DataFile>, DatasetError> {
    let mut session = Session::new(name, hub)?;
    let is_wanted = |file: &String| match name.wanted.as_deref() {
        None => format_of(file).is_some(),
        Some(wanted) => {
            file == wanted
                || file.strip_prefix(wanted).is_some_and(|rest| rest.starts_with('/'))
                    && format_of(file).is_some()
        }
    };
    let mut files: Vec<String> = session.files()?.into_iter().filter(is_wanted).collect();
    files.sort();
    let chosen: Vec<String> =
        pick(&files)?.into_iter().filter_map(|index| files.get(index).cloned()).collect();
    let paths = session.fetch_all(&chosen, progress)?;
    let with_size = |(name, path): (String, PathBuf)| {
        let bytes = length(&path).unwrap_or(0);
        DataFile { name, path, bytes }
    };
    Ok(chosen.into_iter().zip(paths).map(with_size).collect())
}

impl<'a> Session<'a> {
    fn new(name: &'a HubName, hub: &'a HubPlace) -> Result<Session<'a>, DataError> {
        let no_cache = "there is no home folder for the cache; set HF_HOME to a folder for it";
        let cache = hub.cache.clone().map(Cache::new);
        let missing = DataError::BadName { name: format!("hf:{}", name.text), reason: no_cache.to_owned() };
        Ok(Session { name, hub, cache: cache.ok_or(missing)?, with_token: false })
    }

    /// The repository's files whose names are safe.
    fn files(&mut self) -> Result<Vec<String>, DataError> {
        let info = self.ask(&mut |_| {}, |_, repository, _: Reporter<_>| repository.info());
        let info = info.map_err(|problem| self.error(problem))?;
        let names = info.siblings.into_iter().map(|sibling| sibling.rfilename);
        Ok(names.filter(|name| is_file_name(name)).collect())
    }

    /// All of these files.
    fn fetch_all(
        &mut self,
        files: &[String],
        progress: &mut dyn FnMut(&DownloadProgress),
    ) -> Result<Vec<PathBuf>, DataError> {
        let mut paths = Vec::new();
        for (index, file) in files.iter().enumerate() {
            let (file, part, parts) = (file.clone(), index + 1, files.len());
            let mut state = DownloadProgress { file, part, parts, done_bytes: 0, total_bytes: 0 };
            paths.push(self.fetch(&mut state, progress)?);
        }
        Ok(paths)
    }

    /// One file, from the cache if the hub's present version is there, and checked if it had to be downloaded.
    fn fetch(
        &mut self,
        state: &mut DownloadProgress,
        progress: &mut dyn FnMut(&DownloadProgress),
    ) -> Result<PathBuf, DataError> {
        let facts = self.facts(&state.file)?;
        state.total_bytes = facts.bytes;
        let cache = self.cached();
        let pointer = cache.pointer_path(&facts.commit).join(&state.file);
        if length(&pointer) != Some(facts.bytes) {
            self.transfer(&facts, state, progress)?;
            check(&pointer, &facts, &state.file)?;
        } else if let Err(cause) = cache.create_ref(&facts.commit) {
            return Err(DataError::System { action: "write the cache's reference to", path: pointer, cause });
        }
        state.done_bytes = facts.bytes;
        progress(state);
        Ok(pointer)
    }

    fn facts(&mut self, file: &str) -> Result<FileFacts, DataError> {
        let wanted = file.to_owned();
        let facts = self.ask(&mut |_| {}, move |api, repository, _: Reporter<_>| {
            let found = api.metadata(&repository.url(&wanted))?;
            let (commit, etag) = (found.commit_hash().to_owned(), found.etag().to_owned());
            Ok(FileFacts { commit, etag, bytes: found.size() as u64 })
        });
        let facts = facts.map_err(|problem| self.error(problem))?;
        // They become file names in the cache.
        if is_plain(&facts.commit) && is_plain(&facts.etag) {
            return Ok(facts);
        }
        Err(self.unusable(format!("commit or etag of {file} cannot be a file's name")))
    }

    /// Downloads until the file is whole, going on after each break; fruitless tries are few and spaced out.
    fn transfer(
        &mut self,
        facts: &FileFacts,
        state: &mut DownloadProgress,
        progress: &mut dyn FnMut(&DownloadProgress),
    ) -> Result<(), DataError> {
        let part = self.cached().blob_path(&facts.etag).with_extension("part");
        let mut fruitless = 0;
        for _ in 0..TRIES {
            prepare_part(&part, facts.bytes)?;
            let before = length(&part).unwrap_or(0);
            let Err(problem) = self.transfer_once(state, progress) else { return Ok(()) };
            fruitless = if length(&part).unwrap_or(0) > before { 0 } else { fruitless + 1 };
            let again = matches!(problem, Problem::Network(_) | Problem::Status(500..));
            if !again || fruitless == FRUITLESS_TRIES {
                return Err(self.error(problem));
            }
            if fruitless > 0 {
                thread::sleep((PAUSE * 2u32.pow(fruitless - 1)).min(self.hub.patience));
            }
        }
        Err(self.unreachable(format!("the connection broke {TRIES} times")))
    }

    fn transfer_once(
        &mut self,
        state: &mut DownloadProgress,
        progress: &mut dyn FnMut(&DownloadProgress),
    ) -> Result<(), Problem> {
        let file = state.file.clone();
        let mut on_step = |step: Step| {
            match step {
                // Not shown: what is here already is reported next.
                Step::Begin => state.done_bytes = 0,
                Step::Bytes(bytes) => {
                    state.done_bytes += bytes;
                    progress(state);
                }
            }
        };
        self.ask(&mut on_step, move |_, repository, reporter| {
            repository.download_with_progress(&file, reporter).map(drop)
        })
    }

    /// Asks without the token and, if the hub then refuses and there is one, from then on with it.
    fn ask<T: Send + 'static>(
        &mut self,
        on_step: &mut dyn FnMut(Step),
        work: impl Fn(Api, ApiRepo, Reporter<T>) -> Result<T, ApiError> + Clone + Send + 'static,
    ) -> Result<T, Problem> {
        loop {
            let api = self.api().map_err(|cause| Problem::Answer(cause.to_string()))?;
            let (work, repository) = (work.clone(), self.repository());
            let run = move |reporter| work(api.clone(), api.repo(repository), reporter);
            match exchange(self.hub.patience, run, on_step) {
                Ok(value) => return Ok(value),
                Err(Problem::Status(401 | 403 | 404)) if !self.with_token && self.hub.token.is_some() => {
                    self.with_token = true;
                }
                Err(problem) => return Err(problem),
            }
        }
    }

    fn api(&self) -> Result<Api, ApiError> {
        let token = self.hub.token.as_ref().filter(|_| self.with_token);
        ApiBuilder::from_cache(self.cache.clone())
            .with_endpoint(self.hub.endpoint.clone())
            .with_token(token.map(|token| token.secret().to_owned()))
            .with_progress(false)
            .build()
    }

    fn cached(&self) -> CacheRepo {
        self.cache.repo(self.repository())
    }

    fn repository(&self) -> Repo {
        let name = self.name.repository.clone();
        match self.name.kind {
            HubKind::Model => Repo::model(name),
            HubKind::Dataset => Repo::dataset(name),
        }
    }

    fn error(&self, problem: Problem) -> DataError {
        let (endpoint, name) = (self.endpoint(), self.name.text.clone());
        match problem {
            Problem::Status(status @ (401 | 403)) => {
                let advice = refusal(self.with_token);
                DataError::HubRefused { endpoint, name, status, advice }
            }
            Problem::Status(404) => DataError::HubNotFound { endpoint, name },
            Problem::Status(429) => {
                self.unusable("too many requests (HTTP status 429); wait a while".to_owned())
            }
            Problem::Status(status @ 500..) => self.unreachable(format!("HTTP status {status}")),
            Problem::Status(status) => self.unusable(format!("HTTP status {status}")),
            Problem::Network(reason) | Problem::Silent(reason) => self.unreachable(reason),
            Problem::Answer(reason) => self.unusable(reason),
        }
    }

    fn unreachable(&self, reason: String) -> DataError {
        let (endpoint, name) = (self.endpoint(), self.name.text.clone());
        DataError::HubUnreachable { endpoint, name, reason: self.without_secrets(&reason) }
    }

    fn unusable(&self, reason: String) -> DataError {
        let (endpoint, name) = (self.endpoint(), self.name.text.clone());
        DataError::HubAnswer { endpoint, name, reason: self.without_secrets(&reason) }
    }

    /// The hub's address without a user name and password in it.
    fn endpoint(&self) -> String {
        let whole = &self.hub.endpoint;
        let Some((scheme, rest)) = whole.split_once("://") else { return whole.clone() };
        format!("{scheme}://{}", rest.rsplit_once('@').map_or(rest, |(_, host)| host))
    }

    /// The client's texts may name addresses; no secret may get into an error through them.
    fn without_secrets(&self, text: &str) -> String {
        let text = text.replace(&self.hub.endpoint, &self.endpoint());
        let Some(token) = &self.hub.token else { return text };
        text.replace(token.secret(), "(token)")
    }
}

fn refusal(with_token: bool) -> &'static str {
    if with_token {
        return "the token in HF_TOKEN is not valid or may not read it; accept the terms on its page, \
                or make a new token";
    }
    "set HF_TOKEN to a token of yours (and accept the terms on its page if it has some), \
     and check owner and repository"
}

fn length(path: &Path) -> Option<u64> {
    fs::metadata(path).ok().map(|facts| facts.len())
}

/// Makes what an earlier download left usable: the client asks for the bytes after it, so at least one has to be
/// missing, and it refuses one that is too long.
fn prepare_part(part: &Path, bytes: u64) -> Result<(), DataError> {
    let Some(present) = length(part) else { return Ok(()) };
    let keep = if present > bytes { 0 } else { bytes.saturating_sub(1) };
    if present <= keep {
        return Ok(());
    }
    let cut = OpenOptions::new().write(true).open(part).and_then(|file| file.set_len(keep));
    cut.map_err(|cause| DataError::System { action: "shorten", path: part.to_owned(), cause })
}

/// Compares a downloaded file with what the hub announced, and removes it if it differs. The etag of a large file
/// is its SHA-256.
fn check(pointer: &Path, facts: &FileFacts, file: &str) -> Result<(), DataError> {
    let present = length(pointer).unwrap_or(0);
    let mut reason = None;
    if present != facts.bytes {
        reason = Some(format!("{present} bytes instead of {}", facts.bytes));
    } else if facts.etag.len() == 64 && !sum_of(pointer)?.eq_ignore_ascii_case(&facts.etag) {
        reason = Some("its SHA-256 differs".to_owned());
    }
    let Some(reason) = reason else { return Ok(()) };
    if let Ok(blob) = fs::canonicalize(pointer) {
        let _ = fs::remove_file(blob);
    }
    let _ = fs::remove_file(pointer);
    Err(DataError::HubDamaged { file: file.to_owned(), reason })
}

fn sum_of(path: &Path) -> Result<String, DataError> {
    sums::of_file(path).map_err(|cause| DataError::System { action: "read", path: path.to_owned(), cause })
}
