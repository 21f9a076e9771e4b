//! A hub on this machine: as much of its protocol as the client uses, and its ways to go wrong.

use std::io::{BufRead, BufReader, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::{Arc, Mutex, MutexGuard};
use std::thread;

use sha2::{Digest, Sha256};

/// The commit that the hub is at.
pub(crate) const COMMIT: &str = "0123456789abcdef0123456789abcdef01234567";
/// The repository that the hub has, as a model and as a dataset.
pub(crate) const REPOSITORY: &str = "jane/tiny-GGUF";

/// What the hub does; tests change it while it runs.
#[derive(Default)]
pub(crate) struct Behaviour {
    /// File names and contents.
    pub(crate) files: Vec<(String, Vec<u8>)>,
    /// Requests without this token are refused.
    pub(crate) token: Option<String>,
    /// The status of every answer.
    pub(crate) status: Option<u16>,
    /// Bodies of files end after so many bytes, so many times.
    pub(crate) breaks: Option<(usize, usize)>,
    /// Ranges are not understood, once a file's probe is over.
    pub(crate) whole_files: bool,
    /// The etag, in place of the SHA-256.
    pub(crate) etag: Option<String>,
    /// The list of files, in place of the true one.
    pub(crate) listing: Option<String>,
    /// Files are redirected: to the same server, or nowhere.
    pub(crate) redirect: Option<bool>,
    /// Connections are taken and not answered.
    pub(crate) silent: bool,
    held: Vec<TcpStream>,
    stopped: bool,
}

impl Behaviour {
    /// A hub with these files that does all right.
    pub(crate) fn with(files: Vec<(String, Vec<u8>)>) -> Behaviour {
        Behaviour { files, ..Behaviour::default() }
    }
}

/// A request that came in.
#[derive(Debug, Clone, Default, PartialEq)]
pub(crate) struct Request {
    pub(crate) path: String,
    pub(crate) range: Option<String>,
    pub(crate) authorization: Option<String>,
}

/// The running hub; it ends when dropped.
pub(crate) struct Server {
    address: SocketAddr,
    behaviour: Arc<Mutex<Behaviour>>,
    requests: Arc<Mutex<Vec<Request>>>,
}

impl Server {
    pub(crate) fn start(behaviour: Behaviour) -> Server {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a free port");
        let address = listener.local_addr().expect("an address");
        let server = Server { address, behaviour: Arc::new(Mutex::new(behaviour)), requests: Arc::default() };
        let (behaviour, requests) = (server.behaviour.clone(), server.requests.clone());
        thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                let mut behaviour = behaviour.lock().expect("not poisoned");
                if behaviour.stopped {
                    break;
                }
                let Some(request) = read_request(&stream) else { continue };
                requests.lock().expect("not poisoned").push(request.clone());
                if behaviour.silent {
                    behaviour.held.push(stream);
                    continue;
                }
                let answer = answer(&mut behaviour, &request, address);
                // A client that goes away early is part of the tests.
                let _ = (&stream).write_all(&answer);
            }
        });
        server
    }

    pub(crate) fn endpoint(&self) -> String {
        format!("http://{}", self.address)
    }

    pub(crate) fn behaviour(&self) -> MutexGuard<'_, Behaviour> {
        self.behaviour.lock().expect("not poisoned")
    }

    /// The requests since the last call.
    pub(crate) fn requests(&self) -> Vec<Request> {
        std::mem::take(&mut *self.requests.lock().expect("not poisoned"))
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        if let Ok(mut behaviour) = self.behaviour.lock() {
            behaviour.stopped = true;
        }
        let _ = TcpStream::connect(self.address);
    }
}

fn read_request(stream: &TcpStream) -> Option<Request> {
    let mut lines = BufReader::new(stream).lines();
    let path = lines.next()?.ok()?.split(' ').nth(1)?.to_owned();
    let mut request = Request { path, ..Request::default() };
    for line in lines.map_while(Result::ok).take_while(|line| !line.is_empty()) {
        match line.split_once(": ").map(|(name, value)| (name.to_ascii_lowercase(), value.to_owned())) {
            Some((name, value)) if name == "range" => request.range = Some(value),
            Some((name, value)) if name == "authorization" => request.authorization = Some(value),
            _ => {}
        }
    }
    Some(request)
}

fn answer(behaviour: &mut Behaviour, request: &Request, address: SocketAddr) -> Vec<u8> {
    let wanted = behaviour.token.as_ref().map(|token| format!("Bearer {token}"));
    if let Some(status) = behaviour.status {
        return message(status, "", b"");
    }
    if wanted.is_some() && wanted != request.authorization {
        return message(401, "", b"Invalid credentials");
    }
    let listed = ["models", "datasets"].map(|kind| format!("/api/{kind}/{REPOSITORY}/revision/main"));
    if listed.contains(&request.path) {
        return message(200, "Content-Type: application/json\r\n", listing(behaviour).as_bytes());
    }
    let path = request.path.strip_prefix("/datasets").unwrap_or(&request.path);
    let resolve = format!("/{REPOSITORY}/resolve/main/");
    let (name, stored) = match (path.strip_prefix(&resolve), request.path.strip_prefix("/stored/")) {
        (Some(name), _) => (name, false),
        (_, Some(name)) => (name, true),
        _ => return message(404, "", b"Repository not found"),
    };
    let found = behaviour.files.iter().find(|(known, _)| known == name);
    let Some((_, contents)) = found.cloned() else { return message(404, "", b"Entry not found") };
    let location = match behaviour.redirect.filter(|_| !stored) {
        Some(true) => Some(format!("Location: http://{address}/stored/{name}\r\n")),
        Some(false) => Some(String::new()),
        None => None,
    };
    file(behaviour, request, &contents, location)
}

fn listing(behaviour: &Behaviour) -> String {
    let siblings: Vec<String> =
        behaviour.files.iter().map(|(name, _)| format!(r#"{{"rfilename":"{name}"}}"#)).collect();
    let true_one = format!(r#"{{"sha":"{COMMIT}","siblings":[{}]}}"#, siblings.join(","));
    behaviour.listing.clone().unwrap_or(true_one)
}

fn file(behaviour: &mut Behaviour, request: &Request, contents: &[u8], location: Option<String>) -> Vec<u8> {
    let sha: String = Sha256::digest(contents).iter().map(|byte| format!("{byte:02x}")).collect();
    let etag = behaviour.etag.clone().unwrap_or(sha);
    let facts = format!("ETag: \"{etag}\"\r\nX-Repo-Commit: {COMMIT}\r\n");
    if let Some(location) = location {
        return message(302, &format!("X-Linked-{facts}ETag: \"other\"\r\n{location}"), b"");
    }
    let is_probe = request.range.as_deref() == Some("bytes=0-0");
    let range = request.range.as_deref().and_then(|range| range.strip_prefix("bytes=")?.split_once('-'));
    let start: usize = range.and_then(|(start, _)| start.parse().ok()).unwrap_or(0);
    if start >= contents.len() {
        return message(416, "", b"");
    }
    let (status, body) = match (is_probe, behaviour.whole_files) {
        (true, _) => (206, &contents[..1]),
        (false, true) => (200, contents),
        (false, false) => (206, &contents[start..]),
    };
    let span = format!("Content-Range: bytes {start}-{}/{}\r\n", start + body.len() - 1, contents.len());
    let mut whole = message(status, &(facts + &span), body);
    if let Some((bytes, times)) = behaviour.breaks.filter(|_| !is_probe) {
        whole.truncate(whole.len() - body.len() + bytes.min(body.len()));
        behaviour.breaks = (times > 1).then(|| (bytes, times - 1));
    }
    whole
}

fn message(status: u16, headers: &str, body: &[u8]) -> Vec<u8> {
    let head = format!(
        "HTTP/1.1 {status} Answer\r\nContent-Length: {}\r\nConnection: close\r\n{headers}\r\n",
        body.len()
    );
    [head.as_bytes(), body].concat()
}
