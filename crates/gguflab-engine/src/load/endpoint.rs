//! A server that runs already: where it is, who it says that it is, and what it is asked for.

use super::chunk::error_words;
use crate::engine::EngineError;
use crate::http::{self, Answer, Host, Key};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use std::io::{self, ErrorKind};
use std::net::{SocketAddr, ToSocketAddrs};
use std::time::Duration;

/// How long a short question may take.
const QUESTION: Duration = Duration::from_secs(10);
/// How long the tokenizer may take for a text.
const TOKENIZE: Duration = Duration::from_secs(60);
/// Where completions are asked for unless the address says it.
const COMPLETIONS: &str = "/v1/completions";
const CHAT: &str = "/chat/completions";
/// What servers answer without the right key (RFC 9110, sections 15.5.2 and 15.5.4).
const UNAUTHORIZED: u16 = 401;
const FORBIDDEN: u16 = 403;
const WANTS_KEY: &str = "wants a key: put it into an environment variable and name that with --api-key-env";
const WANTS_ANOTHER: &str = "wants another key than the one that it was given";

/// Where completions are asked for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Endpoint {
    /// Where the server listens.
    pub address: SocketAddr,
    /// Its name and port, as the address names them.
    pub host: String,
    /// The path of completions.
    pub path: String,
    /// In which words it is asked.
    pub style: Style,
    /// The key that it wants.
    pub key: Option<Key>,
}

/// In which words completions are asked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Style {
    /// A prompt.
    Completion,
    /// Messages.
    Chat,
}

/// What a server tells of itself; nothing where it tells nothing.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Told {
    /// The model's name, by which it is asked for.
    pub model: String,
    /// The model's file, without folder.
    pub file: String,
    /// The model's tensor types.
    pub quantisation: String,
    /// Bytes of the model.
    pub bytes: u64,
    /// Parameters of the model.
    pub parameters: u64,
    /// Version of the server.
    pub build: String,
    /// Requests that it works on at once.
    pub slots: Option<u64>,
    /// Tokens that each of them may have.
    pub context: Option<u64>,
    /// Whether it is llama.cpp's server, which takes more than the API asks for.
    pub is_llama_cpp: bool,
}

/// What is sent as prompt.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum Prompt {
    Tokens(Vec<i32>),
    Text(String),
}

impl Endpoint {
    /// llama-server on this machine.
    #[must_use]
    pub fn local(address: SocketAddr) -> Endpoint {
        Endpoint {
            address,
            host: address.to_string(),
            path: COMPLETIONS.to_string(),
            style: Style::Completion,
            key: None,
        }
    }

    /// Reads `http://HOST:PORT`, with `/v1` or the whole path of completions behind it.
    ///
    /// # Errors
    /// [`EngineError::Address`] says what is wrong with it.
    pub fn parse(url: &str) -> Result<Endpoint, EngineError> {
        let refuse = |problem: String| EngineError::Address { url: url.to_string(), problem };
        let rest = match url.split_once("://") {
            Some(("http", rest)) => rest,
            Some((scheme, _)) => {
                return Err(refuse(format!(
                    "is {scheme}, and only http is spoken here: encryption would be measured too"
                )));
            }
            None => return Err(refuse("is no address: write http://HOST:PORT".to_string())),
        };
        let (host, path) = rest.find('/').map_or((rest, ""), |place| rest.split_at(place));
        let with_port = if has_port(host) { host.to_string() } else { format!("{host}:80") };
        let addresses = with_port.to_socket_addrs();
        let address = addresses.map_err(|error| refuse(format!("names no host that can be found: {error}")));
        let address = address?.next().ok_or_else(|| refuse("names no host that can be found".to_string()))?;
        let path = match path.trim_end_matches('/') {
            "" | "/v1" => COMPLETIONS.to_string(),
            path if path.ends_with("/completions") => path.to_string(),
            path => format!("{path}/completions"),
        };
        let style = if path.ends_with(CHAT) { Style::Chat } else { Style::Completion };
        Ok(Endpoint { address, host: host.to_string(), path, style, key: None })
    }

    /// Asks the server who it is.
    ///
    /// # Errors
    /// When it cannot be reached or wants another key. One that answers and tells nothing is believed to be what it is asked for.
    pub fn ask(&self) -> Result<Told, EngineError> {
        let refuse = |problem: String| EngineError::Unusable {
            program: format!("the server at {}", self.host),
            problem,
        };
        let models =
            self.question("/v1/models", None, QUESTION).map_err(|error| refuse(unreachable_words(&error)))?;
        let properties = self.question("/props", None, QUESTION).ok();
        // llama-server shows its models to everybody; of other servers 403 may only mean that they have no such page.
        let is_locked = properties.as_ref().is_some_and(|answer| answer.status == UNAUTHORIZED);
        if is_locked || [UNAUTHORIZED, FORBIDDEN].contains(&models.status) {
            return Err(refuse(if self.key.is_some() { WANTS_ANOTHER } else { WANTS_KEY }.to_string()));
        }
        let properties = properties.map_or(Value::Null, |answer| content(&answer));
        Ok(Told::read(&content(&models), &properties))
    }

    /// The tokens of a text; `None` where the server has no tokenizer to ask.
    #[must_use]
    pub fn tokenize(&self, text: &str, special: bool) -> Option<Vec<i32>> {
        let question = json!({ "content": text, "add_special": special }).to_string();
        let answer = self.question("/tokenize", Some(&question), TOKENIZE).ok()?;
        let tokens = content(&answer).get("tokens")?.as_array()?.clone();
        tokens.iter().map(|token| i32::try_from(token.as_i64()?).ok()).collect()
    }

    /// Tokens that a request has besides those of its text: a start token, and in a chat the words of the template.
    /// `None` where the server has no tokenizer to ask.
    #[must_use]
    pub fn overhead(&self) -> Option<u64> {
        let plain = self.tokenize("a", false)?.len();
        let whole = match self.style {
            Style::Completion => self.tokenize("a", true)?,
            Style::Chat => {
                let question = json!({ "messages": [{ "role": "user", "content": "a" }] }).to_string();
                let asked = self.question("/apply-template", Some(&question), QUESTION);
                self.tokenize(content(&asked.ok()?).get("prompt")?.as_str()?, true)?
            }
        };
        Some(whole.len().saturating_sub(plain) as u64)
    }

    fn question(&self, path: &str, body: Option<&str>, limit: Duration) -> io::Result<Answer> {
        http::ask(self.address, &self.named(), path, body, limit)
    }

    fn named(&self) -> Host<'_> {
        Host { name: &self.host, key: self.key.as_ref() }
    }

    /// The whole request for one completion.
    pub(super) fn request(&self, told: &Told, prompt: &Prompt, generate: u32) -> String {
        let mut body = json!({
            "model": told.model,
            "max_tokens": generate,
            "stream": true,
            "stream_options": { "include_usage": true },
            "temperature": 0.0,
        });
        let prompt = match prompt {
            Prompt::Tokens(tokens) => json!(tokens),
            Prompt::Text(text) => json!(text),
        };
        match self.style {
            Style::Completion => body["prompt"] = prompt,
            Style::Chat => body["messages"] = json!([{ "role": "user", "content": prompt }]),
        }
        if told.is_llama_cpp {
            // Every request does all of its own work, to the full length, and its tokens are numbered.
            body["cache_prompt"] = json!(false);
            body["ignore_eos"] = json!(true);
            body["timings_per_token"] = json!(true);
        }
        http::request(&self.named(), &self.path, Some(&body.to_string()))
    }
}

/// Why a server cannot be asked, and what to do.
fn unreachable_words(error: &io::Error) -> String {
    match error.kind() {
        ErrorKind::WouldBlock | ErrorKind::TimedOut => {
            let seconds = QUESTION.as_secs();
            format!(
                "does not answer within {seconds} s: is it still loading, or is this another program's port?"
            )
        }
        ErrorKind::InvalidData | ErrorKind::UnexpectedEof | ErrorKind::ConnectionReset => {
            format!("does not answer in HTTP ({error}): is this another program's port?")
        }
        _ => format!("cannot be reached: {error}; is it running?"),
    }
}

/// Whether a host names its port; the colons of an IPv6 address in brackets are none.
fn has_port(host: &str) -> bool {
    host.rsplit_once(':')
        .is_some_and(|(_, port)| !port.is_empty() && port.bytes().all(|byte| byte.is_ascii_digit()))
}

fn content(answer: &Answer) -> Value {
    if answer.status == 200 { serde_json::from_str(&answer.body).unwrap_or_default() } else { Value::Null }
}

impl Told {
    /// From `/v1/models` and llama.cpp's `/props`.
    fn read(models: &Value, properties: &Value) -> Told {
        let model = models.pointer("/data/0").unwrap_or(&Value::Null);
        let words = |value: Option<&Value>| value.and_then(Value::as_str).unwrap_or_default().to_string();
        let number = |value: Option<&Value>| value.and_then(Value::as_u64);
        let path = words(properties.get("model_path"));
        Told {
            model: words(model.get("id")),
            file: path.rsplit(['/', '\\']).next().unwrap_or_default().to_string(),
            quantisation: words(properties.get("model_ftype")),
            bytes: number(model.pointer("/meta/size")).unwrap_or(0),
            parameters: number(model.pointer("/meta/n_params")).unwrap_or(0),
            build: words(properties.get("build_info")),
            slots: number(properties.get("total_slots")),
            context: number(properties.pointer("/default_generation_settings/n_ctx")),
            is_llama_cpp: properties.get("build_info").is_some(),
        }
    }

    /// llama-server that was started here.
    pub(super) fn own() -> Told {
        Told { is_llama_cpp: true, ..Told::default() }
    }
}

/// What a refusal says: the message of an error in JSON, or its beginning as it is.
pub(super) fn refusal_words(status: u16, text: &str) -> String {
    let value: Value = serde_json::from_str(text).unwrap_or_default();
    match value.get("error") {
        Some(error) => format!("status {status}: {}", error_words(error)),
        None => {
            let text = text.split_whitespace().collect::<Vec<_>>().join(" ");
            format!("status {status}: {}", text.chars().take(120).collect::<String>())
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_are_read_with_and_without_a_path() {
        for (url, host, path, style) in [
            ("http://127.0.0.1:8080", "127.0.0.1:8080", "/v1/completions", Style::Completion),
            ("http://127.0.0.1:8080/v1/", "127.0.0.1:8080", "/v1/completions", Style::Completion),
            ("http://127.0.0.1/api/v1/completions", "127.0.0.1", "/api/v1/completions", Style::Completion),
            ("http://[::1]:9/v1/chat/completions", "[::1]:9", "/v1/chat/completions", Style::Chat),
        ] {
            let endpoint = Endpoint::parse(url).unwrap();
            assert_eq!((endpoint.host.as_str(), endpoint.path.as_str()), (host, path), "{url}");
            assert_eq!(endpoint.style, style);
        }
        assert_eq!(Endpoint::parse("http://127.0.0.1").unwrap().address.port(), 80);
        for (url, words) in
            [("https://127.0.0.1", "only http"), ("127.0.0.1:80", "write http://"), ("http://", "no host")]
        {
            let error = Endpoint::parse(url).unwrap_err().to_string();
            assert!(error.contains(words), "{error}");
        }
    }

    #[test]
    fn servers_tell_who_they_are() {
        let models = json!({"data": [{"id": "m", "meta": {"size": 100, "n_params": 200}}]});
        let properties = json!({
            "build_info": "b7", "model_path": "models/m.gguf", "total_slots": 4, "model_ftype": "Q4_1",
            "default_generation_settings": {"n_ctx": 512},
        });
        let told = Told::read(&models, &properties);
        assert_eq!((told.model.as_str(), told.file.as_str(), told.build.as_str()), ("m", "m.gguf", "b7"));
        assert_eq!((told.slots, told.context, told.is_llama_cpp), (Some(4), Some(512), true));
        assert_eq!(Told::read(&Value::Null, &Value::Null), Told::default());
    }

    #[test]
    fn only_llama_cpp_is_asked_for_more_than_the_api_has() {
        let endpoint = Endpoint::parse("http://127.0.0.1:1/v1/chat/completions").unwrap();
        let text = endpoint.request(&Told::default(), &Prompt::Text("Hello".into()), 5);
        let body: Value = serde_json::from_str(text.split("\r\n\r\n").nth(1).unwrap()).unwrap();
        assert_eq!(body["messages"][0]["content"], "Hello");
        assert!(body.get("ignore_eos").is_none() && body["max_tokens"] == 5);
        let local = Endpoint::local("127.0.0.1:1".parse().unwrap());
        let text = local.request(&Told::own(), &Prompt::Tokens(vec![1, 2]), 5);
        assert!(text.starts_with("POST /v1/completions HTTP/1.1\r\nHost: 127.0.0.1:1\r\n"), "{text}");
        assert!(text.contains(r#""prompt":[1,2]"#) && text.contains(r#""ignore_eos":true"#), "{text}");
    }

    #[test]
    fn refusals_are_short() {
        assert_eq!(refusal_words(503, r#"{"error":{"message":"busy"}}"#), "status 503: busy");
        assert_eq!(refusal_words(404, "<html>\n  <p>No"), "status 404: <html> <p>No");
    }
}
