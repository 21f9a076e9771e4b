//! As much of HTTP/1.1 as talking to a llama-server takes.
//!
//! A client library would do more, but not this: an answer that is being read has to be given up at once when the
//! user stops, a deadline passes or the server dies, and the moment at which each piece arrives is what is measured.

use std::io::{self, BufRead, BufReader, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::time::{Duration, Instant};

/// Longest answer that is taken over.
const LARGEST: u64 = 64 << 20;
/// Longest line of an answer's head.
const LONGEST_LINE: u64 = 64 << 10;

/// A whole answer.
#[derive(Debug)]
pub(crate) struct Answer {
    pub(crate) status: u16,
    pub(crate) body: String,
}

/// Who is asked.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Host<'a> {
    /// The server's name.
    pub(crate) name: &'a str,
    /// The key that it wants.
    pub(crate) key: Option<&'a Key>,
}

/// A server's key. It is sent, and never shown or kept.
#[derive(Clone, PartialEq, Eq)]
pub struct Key(String);

impl Key {
    /// `None` for what no key can be: nothing, or what a line of a request cannot hold (RFC 9110, section 5.5).
    #[must_use]
    pub fn new(text: &str) -> Option<Key> {
        let is_sound = !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_graphic());
        is_sound.then(|| Key(text.to_string()))
    }
}

impl std::fmt::Debug for Key {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.write_str("Key(…)")
    }
}

/// What a server on this machine is called in a request.
const HERE: &str = "localhost";

/// A short question to a server on this machine, answered within a time.
///
/// # Errors
/// What the system says, or that this is no HTTP.
pub(crate) fn exchange(
    address: SocketAddr,
    path: &str,
    body: Option<&str>,
    limit: Duration,
) -> io::Result<Answer> {
    ask(address, &Host { name: HERE, key: None }, path, body, limit)
}

/// A short question to a server by its name, answered within a time.
///
/// # Errors
/// What the system says, or that this is no HTTP.
pub(crate) fn ask(
    address: SocketAddr,
    host: &Host<'_>,
    path: &str,
    body: Option<&str>,
    limit: Duration,
) -> io::Result<Answer> {
    let mut stream = TcpStream::connect_timeout(&address, limit)?;
    stream.set_read_timeout(Some(limit))?;
    stream.set_write_timeout(Some(limit))?;
    stream.set_nodelay(true)?;
    stream.write_all(request(host, path, body).as_bytes())?;
    let (status, mut reader) = receive(stream)?;
    Ok(Answer { status, body: whole(&mut *reader)? })
}

/// Sends a request to a server on this machine.
///
/// # Errors
/// What the system says.
pub(crate) fn send(stream: &mut TcpStream, path: &str, body: Option<&str>) -> io::Result<()> {
    stream.set_nodelay(true)?;
    stream.write_all(request(&Host { name: HERE, key: None }, path, body).as_bytes())
}

/// A whole request on a connection of its own: `POST` when there is a body, else `GET`.
pub(crate) fn request(host: &Host<'_>, path: &str, body: Option<&str>) -> String {
    let method = if body.is_some() { "POST" } else { "GET" };
    let body = body.unwrap_or_default();
    let key = host.key.map(|Key(key)| format!("Authorization: Bearer {key}\r\n")).unwrap_or_default();
    format!(
        "{method} {path} HTTP/1.1\r\nHost: {}\r\n{key}Connection: close\r\nContent-Type: application/json\r\n\
         Content-Length: {}\r\n\r\n{body}",
        host.name,
        body.len()
    )
}

/// Reads a stream of server-sent events to its end, telling each event's data with the moment at which it was there.
/// Gives the whole answer when the server refused.
///
/// # Errors
/// When the connection breaks, or this is no HTTP.
pub(crate) fn events(
    stream: TcpStream,
    on_data: &mut dyn FnMut(Instant, &str),
) -> io::Result<Option<Answer>> {
    let (status, mut reader) = receive(stream)?;
    if status != 200 {
        return Ok(Some(Answer { status, body: whole(&mut *reader)? }));
    }
    let mut line = Vec::new();
    loop {
        line.clear();
        if reader.by_ref().take(LARGEST).read_until(b'\n', &mut line)? == 0 {
            return Ok(None);
        }
        let now = Instant::now();
        let text = String::from_utf8_lossy(&line);
        if let Some(data) = text.trim_end().strip_prefix("data:") {
            on_data(now, data.trim_start());
        }
    }
}

fn whole(reader: &mut dyn BufRead) -> io::Result<String> {
    let mut bytes = Vec::new();
    reader.take(LARGEST).read_to_end(&mut bytes)?;
    Ok(String::from_utf8_lossy(&bytes).into_owned())
}

/// Status and body of an answer.
fn receive(stream: TcpStream) -> io::Result<(u16, Box<dyn BufRead + Send>)> {
    let mut reader = BufReader::new(stream);
    let first = head_line(&mut reader)?;
    let status = first.strip_prefix("HTTP/1.").and_then(|rest| rest.split_whitespace().nth(1)?.parse().ok());
    let status = status
        .ok_or_else(|| broken(&format!("no HTTP: `{}`", first.chars().take(80).collect::<String>())))?;
    let (mut length, mut chunked) = (None, false);
    loop {
        let line = head_line(&mut reader)?;
        if line.is_empty() {
            break;
        }
        let Some((name, value)) = line.split_once(':') else { continue };
        match name.trim().to_ascii_lowercase().as_str() {
            "content-length" => length = value.trim().parse::<u64>().ok(),
            "transfer-encoding" => chunked = value.to_ascii_lowercase().contains("chunked"),
            _ => {}
        }
    }
    let body: Box<dyn BufRead + Send> = match (chunked, length) {
        (true, _) => Box::new(BufReader::new(Chunked { reader, left: 0, ended: false })),
        (false, Some(length)) => Box::new(reader.take(length)),
        (false, None) => Box::new(reader),
    };
    Ok((status, body))
}

fn head_line(reader: &mut impl BufRead) -> io::Result<String> {
    let mut line = Vec::new();
    reader.take(LONGEST_LINE).read_until(b'\n', &mut line)?;
    if line.last() != Some(&b'\n') {
        return Err(io::Error::from(io::ErrorKind::UnexpectedEof));
    }
    Ok(String::from_utf8_lossy(&line).trim_end().to_string())
}

fn broken(text: &str) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, text)
}

/// A body that comes in chunks (RFC 9112, section 7.1): one that stops without its last chunk is an error.
struct Chunked<R> {
    reader: R,
    left: u64,
    ended: bool,
}

impl<R: BufRead> Read for Chunked<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        if self.left == 0 && !self.ended {
            self.next_chunk()?;
        }
        if self.ended {
            return Ok(0);
        }
        let wanted = usize::try_from(self.left).unwrap_or(usize::MAX).min(buffer.len());
        let count = self.reader.read(&mut buffer[..wanted])?;
        if count == 0 {
            return Err(io::Error::from(io::ErrorKind::UnexpectedEof));
        }
        self.left -= count as u64;
        if self.left == 0 {
            head_line(&mut self.reader)?;
        }
        Ok(count)
    }
}

impl<R: BufRead> Chunked<R> {
    fn next_chunk(&mut self) -> io::Result<()> {
        let line = head_line(&mut self.reader)?;
        let size = line.split(';').next().unwrap_or_default().trim();
        self.left =
            u64::from_str_radix(size, 16).map_err(|_| broken(&format!("no size of a chunk: `{size}`")))?;
        self.ended = self.left == 0;
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::net::TcpListener;

    /// What is made of an answer that a server gives to whatever it is asked.
    fn answered(answer: &'static str) -> (io::Result<Option<Answer>>, Vec<String>) {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        let server = std::thread::spawn(move || {
            let (mut stream, _) = listener.accept().unwrap();
            let mut line = String::new();
            let mut reader = BufReader::new(stream.try_clone().unwrap());
            while line != "\r\n" {
                line.clear();
                reader.read_line(&mut line).unwrap();
            }
            stream.write_all(answer.as_bytes()).unwrap();
        });
        let mut stream = TcpStream::connect(address).unwrap();
        send(&mut stream, "/x", None).unwrap();
        let mut told = Vec::new();
        let end = events(stream, &mut |_, data| told.push(data.to_string()));
        server.join().unwrap();
        (end, told)
    }

    #[test]
    fn keys_are_sent_and_not_shown() {
        let key = Key::new("sk-1").unwrap();
        let text = request(&Host { name: "h", key: Some(&key) }, "/x", None);
        assert!(text.contains("\r\nAuthorization: Bearer sk-1\r\n"), "{text}");
        assert!(!request(&Host { name: "h", key: None }, "/x", None).contains("Authorization"));
        assert!(!format!("{key:?}").contains("sk"));
        assert_eq!((Key::new(""), Key::new("a\r\nHost: b"), Key::new("ä")), (None, None, None));
    }

    #[test]
    fn events_are_read_whatever_their_framing() {
        for answer in [
            "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n8\r\ndata: a\n\r\n2\r\n:\n\r\n8\r\ndata: b\n\r\n0\r\n\r\n",
            "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n4;x=y\r\ndata\r\n6\r\n: a\n\nd\r\n7\r\nata: b\n\r\n0\r\n\r\n",
            "HTTP/1.1 200 OK\r\nContent-Length: 16\r\n\r\ndata: a\ndata: b\nmore that does not belong to it",
            "HTTP/1.0 200 OK\r\n\r\ndata: a\n\ndata: b\n\n",
        ] {
            let (end, told) = answered(answer);
            assert!(matches!(end, Ok(None)), "{answer}: {end:?}");
            assert_eq!(told, ["a", "b"], "{answer}");
        }
    }

    #[test]
    fn refusals_are_whole_answers_and_breaks_are_errors() {
        let (end, _) = answered("HTTP/1.1 400 Bad Request\r\nContent-Length: 4\r\n\r\noops");
        let answer = end.unwrap().unwrap();
        assert_eq!((answer.status, answer.body.as_str()), (400, "oops"));
        for answer in [
            "",
            "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n8\r\ndata: a\n\r\n",
            "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n8\r\ndata",
            "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\ndata: a\n",
            "220 mail.example ESMTP\r\n",
        ] {
            assert!(answered(answer).0.is_err(), "{answer}");
        }
    }
}
