//! What the user will run: one table of named workloads, or a request of the user's own.

use serde::{Deserialize, Serialize};

/// One kind of request: tokens already in the cache, a prompt, tokens to generate, and how many run at once.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Request {
    /// Prompt tokens. 0: generation only, from a single token.
    pub prompt: u32,
    /// Tokens already in the cache of each sequence before the prompt.
    pub depth: u32,
    /// Tokens to generate for each sequence. 0: prompt only.
    pub generate: u32,
    /// Sequences that run at the same time.
    pub concurrency: u32,
    /// Its share among the requests of the workload; shares are normalised.
    pub weight: f64,
    /// Which logits of the prompt are computed.
    #[serde(default, skip_serializing_if = "Logits::is_last")]
    pub logits: Logits,
}

/// Which logits of a prompt are computed.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Logits {
    /// Those of the last token, from which generation goes on.
    #[default]
    Last,
    /// Those of every token, as perplexity, imatrix and KL divergence need them.
    All,
}

impl Logits {
    fn is_last(&self) -> bool {
        *self == Logits::Last
    }
}

impl Request {
    /// A single request without depth.
    #[must_use]
    pub const fn new(prompt: u32, generate: u32) -> Request {
        Request { prompt, depth: 0, generate, concurrency: 1, weight: 1.0, logits: Logits::Last }
    }

    /// All logits of a text of so many tokens.
    #[must_use]
    pub const fn all_logits(tokens: u32) -> Request {
        Request { logits: Logits::All, ..Request::new(tokens, 0) }
    }

    /// Tokens that one sequence needs in the cache.
    #[must_use]
    pub fn tokens_per_sequence(&self) -> u64 {
        // A run without a prompt starts from one token that is not counted as generated.
        u64::from(self.depth) + u64::from(self.prompt) + u64::from(self.generate)
    }

    /// Tokens that the whole request needs in the cache.
    #[must_use]
    pub fn context(&self) -> u64 {
        self.tokens_per_sequence() * u64::from(self.concurrency.max(1))
    }

    /// A short label such as `pp512+tg128@d2048×4`, or `logits512`.
    #[must_use]
    pub fn label(&self) -> String {
        let mut parts = Vec::new();
        if self.prompt > 0 {
            let kind = if self.logits == Logits::All { "logits" } else { "pp" };
            parts.push(format!("{kind}{}", self.prompt));
        }
        if self.generate > 0 {
            parts.push(format!("tg{}", self.generate));
        }
        let mut label = parts.join("+");
        if self.depth > 0 {
            label.push_str(&format!("@d{}", self.depth));
        }
        if self.concurrency > 1 {
            label.push_str(&format!("×{}", self.concurrency));
        }
        label
    }
}

/// One run of one request of a workload.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Turn {
    /// Which request, from 0.
    pub request: usize,
    /// Whether it is measured; else it warms up.
    pub measured: bool,
}

/// A mix of requests. It sets the context that is needed; it is not searched.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Workload {
    /// Its name.
    pub name: String,
    /// The requests in it, at least one.
    pub requests: Vec<Request>,
}

impl Workload {
    /// A workload of one request.
    pub fn single(name: impl Into<String>, request: Request) -> Workload {
        Workload { name: name.into(), requests: vec![request] }
    }

    /// One request at several depths, from the smallest to the largest: a curve over the context.
    #[must_use]
    pub fn curve(request: Request, depths: &[u32]) -> Workload {
        let mut depths = depths.to_vec();
        depths.sort_unstable();
        depths.dedup();
        let requests: Vec<Request> = depths.iter().map(|&depth| Request { depth, ..request }).collect();
        let list: Vec<String> = depths.iter().map(ToString::to_string).collect();
        let name = format!("{} at depth {}", Request { depth: 0, ..request }.label(), list.join(", "));
        Workload { name, requests }
    }

    /// Whether it is one request at growing depths. Then each depth is measured on top of the last one, and the first is
    /// measured once more at the end, which shows what changed meanwhile besides the depth.
    #[must_use]
    pub fn is_curve(&self) -> bool {
        let grows = |pair: &[Request]| {
            pair[0].depth < pair[1].depth && pair[1] == Request { depth: pair[1].depth, ..pair[0] }
        };
        self.requests.len() > 1 && self.requests.windows(2).all(grows)
    }

    /// The order of its runs, by request: those that are not measured, and those that are. Requests take turns, so that
    /// what changes meanwhile meets all of them; those of a curve do not, so that nothing of its depth is computed twice.
    #[must_use]
    pub fn order(&self, warmup: u32, repetitions: u32) -> Vec<Turn> {
        let requests = 0..self.requests.len();
        let turns = |request: usize, count: u32, measured: bool| {
            std::iter::repeat_n(Turn { request, measured }, count as usize)
        };
        if self.is_curve() {
            let each = |request| turns(request, warmup, false).chain(turns(request, repetitions, true));
            return requests.flat_map(each).chain(turns(0, repetitions.min(1), true)).collect();
        }
        let rounds = |count: u32, measured: bool| {
            let requests = requests.clone();
            (0..count).flat_map(move |_| requests.clone().map(move |request| Turn { request, measured }))
        };
        rounds(warmup, false).chain(rounds(repetitions, true)).collect()
    }

    /// The largest cache any of its requests needs, in tokens.
    #[must_use]
    pub fn context(&self) -> u64 {
        self.requests.iter().map(Request::context).max().unwrap_or(0)
    }

    /// Tokens of the longest sequence of any of its requests.
    #[must_use]
    pub fn longest_sequence(&self) -> u64 {
        self.requests.iter().map(Request::tokens_per_sequence).max().unwrap_or(0)
    }

    /// Tokens that a slot of llama-server needs for any of its requests, rounded up as llama.cpp rounds the cache of a
    /// sequence (`llama_context` of b11434). A server starts from at least one token, and has room for one behind a
    /// prompt.
    #[must_use]
    pub fn slot_tokens(&self) -> u64 {
        const PADDING: u64 = 256;
        let needed = |one: &Request| {
            u64::from(one.depth) + u64::from(one.prompt.max(1)) + u64::from(one.generate.max(1))
        };
        self.requests.iter().map(needed).max().unwrap_or(1).next_multiple_of(PADDING)
    }

    /// The most prompt tokens that any of its requests hands over at once (prompt × concurrency).
    #[must_use]
    pub fn prompt_tokens(&self) -> u32 {
        self.requests.iter().map(|one| one.prompt.saturating_mul(one.concurrency.max(1))).max().unwrap_or(0)
    }

    /// The most logits that one call of the engine hands back with a logical batch of so many tokens; 0 where only
    /// those of the last token are computed.
    #[must_use]
    pub fn logits_at_once(&self, batch: u64) -> u64 {
        let all = self.requests.iter().filter(|request| request.logits == Logits::All);
        all.map(|one| u64::from(one.prompt) * u64::from(one.concurrency.max(1))).max().unwrap_or(0).min(batch)
    }

    /// The most sequences at once.
    #[must_use]
    pub fn concurrency(&self) -> u32 {
        self.requests.iter().map(|request| request.concurrency.max(1)).max().unwrap_or(1)
    }
}

/// One row of the table of named workloads; several rows of one name make a mix.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct WorkloadRow {
    /// The workload's name.
    pub name: &'static str,
    /// One of its requests.
    pub request: Request,
    /// One line of help.
    pub help: &'static str,
}

/// The workload of tools that need the logits of every token.
pub const LOGITS: &str = "logits";

/// The named workloads.
pub const WORKLOADS: &[WorkloadRow] = &[
    WorkloadRow {
        name: "chat",
        request: Request { depth: 512, ..Request::new(128, 128) },
        help: "one user; a short question into a running conversation",
    },
    WorkloadRow {
        name: "long-prompt",
        request: Request::new(2048, 64),
        help: "a long document, a short answer",
    },
    WorkloadRow {
        name: "batch",
        request: Request { concurrency: 4, ..Request::new(256, 64) },
        help: "four requests at a time",
    },
    WorkloadRow {
        name: "short-long",
        request: Request::new(32, 64),
        help: "the same text short and long, to tell what a longer prompt costs: the short one",
    },
    WorkloadRow {
        name: "short-long",
        request: Request::new(640, 64),
        help: "the long one, twenty times as long",
    },
    WorkloadRow {
        name: LOGITS,
        request: Request::all_logits(512),
        help: "the logits of every token of a text, as perplexity, imatrix and KL divergence need them (--context N)",
    },
];

/// The named workload, or `None`.
#[must_use]
pub fn find(name: &str) -> Option<Workload> {
    let requests: Vec<Request> =
        WORKLOADS.iter().filter(|row| row.name == name).map(|row| row.request).collect();
    (!requests.is_empty()).then(|| Workload { name: name.to_string(), requests })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_curve_goes_deeper_and_deeper_and_ends_where_it_began() {
        let curve = Workload::curve(Request::new(64, 8), &[2048, 0, 512, 512]);
        assert_eq!(curve.name, "pp64+tg8 at depth 0, 512, 2048");
        assert!(curve.is_curve() && !find("chat").unwrap().is_curve());
        let order: Vec<(usize, bool)> =
            curve.order(1, 2).iter().map(|turn| (turn.request, turn.measured)).collect();
        let each = |request| [(request, false), (request, true), (request, true)];
        assert_eq!(order, [each(0).to_vec(), each(1).to_vec(), each(2).to_vec(), vec![(0, true)]].concat());
        assert!(curve.order(0, 0).is_empty());
        let mut mix = curve;
        mix.requests[1].generate = 9;
        assert!(!mix.is_curve());
        let order: Vec<usize> = mix.order(1, 1).iter().map(|turn| turn.request).collect();
        assert_eq!(order, [0, 1, 2, 0, 1, 2], "requests that differ take turns");
    }

    #[test]
    fn named_workloads_can_be_found_and_say_what_context_they_need() {
        let batch = find("batch").unwrap();
        assert_eq!((batch.context(), batch.concurrency()), (4 * 320, 4));
        let slot = |prompt, generate| Workload::single("one", Request::new(prompt, generate)).slot_tokens();
        assert_eq!((slot(500, 12), slot(512, 0), slot(0, 256), slot(256, 257)), (512, 768, 512, 768));
        assert_eq!(find("no-such-workload"), None);
        assert_eq!(find("chat").unwrap().requests[0].label(), "pp128+tg128@d512");
        let logits = find(LOGITS).unwrap();
        assert_eq!(logits.requests[0].label(), "logits512");
        assert_eq!((logits.logits_at_once(2048), logits.logits_at_once(128)), (512, 128));
        assert_eq!(batch.logits_at_once(2048), 0);
    }
}
