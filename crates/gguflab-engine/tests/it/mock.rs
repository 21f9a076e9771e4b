//! A server with known delays: it speaks as much of the OpenAI API as llama-server does, waits as it is told, and
//! stamps each of its own sends, so that what a client measures can be held against what was sent.
//!
//! Tests run it within themselves; `examples/mock_server.rs` runs it as a program.

use serde_json::{Value, json};
use std::io::{self, BufRead, BufReader, Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Condvar, Mutex};
use std::time::{Duration, Instant};

/// Stack of the thread of one connection: there may be hundreds.
const STACK: usize = 128 << 10;

/// How it behaves.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Manner {
    /// Least and most seconds until the first token.
    pub(crate) first: (f64, f64),
    /// Least and most seconds between tokens.
    pub(crate) gap: (f64, f64),
    /// What it does wrong; empty for nothing.
    pub(crate) fault: String,
    /// Which requests the fault concerns: every so many-th, 1 for all.
    pub(crate) every: u64,
    /// Requests that it works on at once, the others wait for it; 0 for as many as come.
    pub(crate) slots: usize,
    /// Whether it numbers its tokens as llama-server does, and has its tokenizer.
    pub(crate) is_llama_cpp: bool,
    /// The key that it wants, as llama-server does: not for its models and its health; empty for none.
    pub(crate) key: String,
}

/// What it sent for one request, in seconds since it was started.
#[derive(Debug, Clone, Default, PartialEq)]
pub(crate) struct Stamps {
    /// What it calls the request.
    pub(crate) id: String,
    /// When the whole request was there.
    pub(crate) received: f64,
    /// When each token was handed to the system.
    pub(crate) tokens: Vec<f64>,
    /// When the end was.
    pub(crate) end: f64,
}

/// A server that runs until its process ends.
#[derive(Clone)]
pub(crate) struct Mock {
    /// Where it listens.
    pub(crate) address: SocketAddr,
    state: Arc<State>,
}

struct State {
    manner: Manner,
    started: Instant,
    count: AtomicU64,
    stamps: Mutex<Vec<Stamps>>,
    /// Requests that it works on.
    busy: Mutex<usize>,
    freed: Condvar,
}

/// One of the requests that are worked on at once; the next one begins when this is dropped.
struct Slot<'a>(&'a State);

impl Drop for Slot<'_> {
    fn drop(&mut self) {
        if let Ok(mut busy) = self.0.busy.lock() {
            *busy -= 1;
        }
        self.0.freed.notify_one();
    }
}

impl Default for Manner {
    fn default() -> Manner {
        Manner {
            first: (0.004, 0.008),
            gap: (0.001, 0.003),
            fault: String::new(),
            every: 1,
            slots: 0,
            is_llama_cpp: true,
            key: String::new(),
        }
    }
}

impl Mock {
    /// Starts it on a port of its own.
    pub(crate) fn start(manner: Manner) -> io::Result<Mock> {
        let listener = TcpListener::bind("127.0.0.1:0")?;
        let address = listener.local_addr()?;
        let (count, stamps) = (AtomicU64::new(0), Mutex::new(Vec::new()));
        let (busy, freed) = (Mutex::new(0), Condvar::new());
        let state = Arc::new(State { manner, started: Instant::now(), count, stamps, busy, freed });
        let own = Arc::clone(&state);
        std::thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                let state = Arc::clone(&own);
                let thread = std::thread::Builder::new().stack_size(STACK);
                // A client that went away is no failure of the server.
                let _ = thread.spawn(move || state.answer(stream).unwrap_or_default());
            }
        });
        Ok(Mock { address, state })
    }

    /// What it sent so far, one entry for each request that it ended.
    pub(crate) fn stamps(&self) -> Vec<Stamps> {
        self.state.stamps.lock().map(|stamps| stamps.clone()).unwrap_or_default()
    }

    /// Requests for completions that came.
    pub(crate) fn asked(&self) -> u64 {
        self.state.count.load(Ordering::Relaxed)
    }
}

impl State {
    fn now(&self) -> f64 {
        self.started.elapsed().as_secs_f64()
    }

    fn answer(&self, mut stream: TcpStream) -> io::Result<()> {
        stream.set_nodelay(true)?;
        let Asked { path, key, body } = read_request(&stream)?;
        let asked: Value = serde_json::from_str(&body).unwrap_or_default();
        let own = self.manner.is_llama_cpp;
        let is_open = self.manner.key.is_empty() || key == format!("Bearer {}", self.manner.key);
        match path.as_str() {
            "/v1/models" => whole(&mut stream, 200, &json!({"data": [{"id": "mock"}]})),
            "/health" => whole(&mut stream, 200, &json!({"status": "ok"})),
            "/stamps" => whole(&mut stream, 200, &self.stamps_as_json()),
            _ if !is_open => whole(&mut stream, 401, &json!({"error": {"message": "Invalid API Key"}})),
            "/props" if own => {
                let context = json!({"n_ctx": 4096});
                let properties = json!({
                    "build_info": "mock-1", "model_path": "mock.gguf", "total_slots": 256,
                    "default_generation_settings": context,
                });
                whole(&mut stream, 200, &properties)
            }
            "/tokenize" if own => {
                let text = asked["content"].as_str().unwrap_or_default();
                let tokens: Vec<u32> = text.chars().map(u32::from).collect();
                whole(&mut stream, 200, &json!({ "tokens": tokens }))
            }
            path if path.ends_with("/completions") => self.complete(&mut stream, &asked),
            _ => whole(&mut stream, 404, &json!({"error": {"message": "no such path"}})),
        }
    }

    fn complete(&self, stream: &mut TcpStream, asked: &Value) -> io::Result<()> {
        let number = self.count.fetch_add(1, Ordering::Relaxed);
        let manner = &self.manner;
        let fault = if number.is_multiple_of(manner.every.max(1)) { manner.fault.as_str() } else { "" };
        match fault {
            "refuses" => return whole(stream, 503, &json!({"error": {"message": "no slot is free"}})),
            "closes at once" => return Ok(()),
            "speaks mail" => return stream.write_all(b"220 mail.example ESMTP\r\n"),
            _ => {}
        }
        let id = format!("cmpl-{number}");
        let mut stamps = Stamps { id, received: self.now(), ..Stamps::default() };
        let _slot = self.slot();
        let begun = self.now();
        let mut random = Random(number.wrapping_mul(0x2545_f491_4f6c_dd1d) ^ 1);
        stream.write_all(
            b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nConnection: close\r\n\
              Transfer-Encoding: chunked\r\n\r\n",
        )?;
        let mut due = begun + random.between(manner.first);
        let count = asked["max_tokens"].as_u64().unwrap_or(16);
        for token in 1..=count {
            self.sleep_until(due);
            let text = self.token(&stamps.id, token);
            let moment = self.now();
            chunk(stream, &text)?;
            stamps.tokens.push(moment);
            if token == 2 && self.misbehave(stream, fault, &text)? {
                return Ok(());
            }
            due += random.between(manner.gap);
        }
        stamps.end = self.now();
        let id = stamps.id.clone();
        // Kept before the end is sent: whoever has seen the end finds them.
        if let Ok(mut all) = self.stamps.lock() {
            all.push(stamps);
        }
        self.finish(stream, &id, prompt_tokens(asked), count)
    }

    /// Waits until one more request may be worked on.
    fn slot(&self) -> Option<Slot<'_>> {
        let most = if self.manner.slots == 0 { usize::MAX } else { self.manner.slots };
        let busy = self.busy.lock().ok()?;
        let mut busy = self.freed.wait_while(busy, |busy| *busy >= most).ok()?;
        *busy += 1;
        Some(Slot(self))
    }

    /// Does what it does wrong; gives whether the answer is at its end with that.
    fn misbehave(&self, stream: &mut TcpStream, fault: &str, text: &str) -> io::Result<bool> {
        match fault {
            "closes" => return Ok(true),
            "stalls" => std::thread::sleep(Duration::from_secs(600)),
            "garbage" => chunk(stream, "data: { no\n\n")?,
            "repeats" => chunk(stream, text)?,
            "errs" => chunk(stream, "data: {\"error\":{\"code\":500,\"message\":\"Compute error.\"}}\n\n")?,
            _ => return Ok(false),
        }
        Ok(false)
    }

    fn token(&self, id: &str, number: u64) -> String {
        let choices = json!([{"index": 0, "text": " x", "logprobs": null, "finish_reason": null}]);
        let mut event = json!({"id": id, "object": "text_completion", "model": "mock", "choices": choices});
        if self.manner.is_llama_cpp {
            event["timings"] = json!({"predicted_n": number, "predicted_ms": 1.5, "prompt_n": 7});
        }
        format!("data: {event}\n\n")
    }

    fn finish(&self, stream: &mut TcpStream, id: &str, prompt: usize, count: u64) -> io::Result<()> {
        let usage = json!({"prompt_tokens": prompt, "completion_tokens": count});
        let choices = json!([{"index": 0, "text": "", "finish_reason": "length"}]);
        let last = json!({"id": id, "object": "text_completion", "choices": choices, "usage": usage});
        chunk(stream, &format!("data: {last}\n\ndata: [DONE]\n\n"))?;
        stream.write_all(b"0\r\n\r\n")
    }

    fn sleep_until(&self, due: f64) {
        let left = due - self.now();
        if left > 0.0 {
            std::thread::sleep(Duration::from_secs_f64(left));
        }
    }

    fn stamps_as_json(&self) -> Value {
        let stamps = self.stamps.lock().map(|stamps| stamps.clone()).unwrap_or_default();
        let entry = |one: &Stamps| json!({"id": one.id, "received": one.received, "tokens": one.tokens, "end": one.end});
        stamps.iter().map(entry).collect()
    }
}

fn prompt_tokens(asked: &Value) -> usize {
    match &asked["prompt"] {
        Value::Array(tokens) => tokens.len(),
        Value::String(text) => text.split_whitespace().count(),
        _ => asked["messages"][0]["content"].as_str().map_or(0, |text| text.split_whitespace().count()),
    }
}

/// A request.
struct Asked {
    path: String,
    /// What it says of who asks.
    key: String,
    body: String,
}

fn read_request(stream: &TcpStream) -> io::Result<Asked> {
    let mut reader = BufReader::new(stream);
    let (mut first, mut length, mut key) = (String::new(), 0, String::new());
    reader.read_line(&mut first)?;
    loop {
        let mut line = String::new();
        if reader.read_line(&mut line)? == 0 || line.trim().is_empty() {
            break;
        }
        let Some((name, value)) = line.split_once(':') else { continue };
        match name.to_ascii_lowercase().as_str() {
            "content-length" => length = value.trim().parse().unwrap_or(0),
            "authorization" => key = value.trim().to_string(),
            _ => {}
        }
    }
    let mut body = vec![0; length];
    reader.read_exact(&mut body)?;
    let path = first.split_whitespace().nth(1).unwrap_or_default().to_string();
    Ok(Asked { path, key, body: String::from_utf8_lossy(&body).into_owned() })
}

fn whole(stream: &mut TcpStream, status: u16, value: &Value) -> io::Result<()> {
    let body = value.to_string();
    let head = format!("HTTP/1.1 {status} X\r\nConnection: close\r\nContent-Length: {}\r\n\r\n", body.len());
    stream.write_all((head + &body).as_bytes())
}

fn chunk(stream: &mut TcpStream, text: &str) -> io::Result<()> {
    stream.write_all(format!("{:x}\r\n{text}\r\n", text.len()).as_bytes())
}

/// Numbers that look random and are the same every time (splitmix64, Steele, Lea and Flood 2014).
struct Random(u64);

impl Random {
    fn between(&mut self, (least, most): (f64, f64)) -> f64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut bits = self.0;
        bits = (bits ^ (bits >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        bits = (bits ^ (bits >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        let share = ((bits ^ (bits >> 31)) >> 11) as f64 / (1u64 << 53) as f64;
        least + share * (most - least)
    }
}
