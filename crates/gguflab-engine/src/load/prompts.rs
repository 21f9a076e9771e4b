//! What each request of a load asks for.

use super::Service;
use super::endpoint::{Endpoint, Prompt, Told};
use crate::engine::EngineError;
use gguflab_types::prompt::Tokens;
use gguflab_types::{Protocol, Request};
use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;

/// Characters for one token where nobody can count: what English text has in most vocabularies.
const CHARACTERS_PER_TOKEN: usize = 4;

/// Where prompts come from.
#[derive(Debug, Clone, PartialEq)]
pub enum Source {
    /// Tokens, as many as are asked for.
    Tokens(Tokens),
    /// Text, of about as many tokens as are asked for: the server has no tokenizer that could be asked.
    Text(String),
    /// Prompts of the user's own, each as long as it is.
    Own(Vec<String>),
}

/// The requests of loads, one after the other.
pub struct Prompts<'a> {
    endpoint: &'a Endpoint,
    told: Told,
    source: &'a Source,
    requests: &'a [Request],
    generator: ChaCha8Rng,
    count: u32,
    /// In which order prompts of the user's own come.
    order: Vec<usize>,
}

/// One request as it is sent.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Wish {
    /// The whole request, head included.
    pub(super) text: String,
    /// Tokens of its prompt, where they are known beforehand.
    pub(super) prompt: Option<u64>,
    /// Which of the user's own prompts it has.
    pub(super) own: Option<u32>,
    /// Tokens to generate.
    pub(super) generate: u32,
}

impl Source {
    /// What a server that was started here takes.
    #[must_use]
    pub fn of_service(service: &Service) -> Source {
        Source::Tokens(service.tokens.clone())
    }

    /// What a server that runs already takes: token numbers where it has a tokenizer and takes them, else text.
    ///
    /// # Errors
    /// When the protocol's prompts cannot be had from this server.
    pub fn of_endpoint(endpoint: &Endpoint, protocol: &Protocol) -> Result<Source, EngineError> {
        let unusable = |problem: String| EngineError::Unusable {
            program: format!("the server at {}", endpoint.host),
            problem,
        };
        let Some(text) = Tokens::text_of(protocol) else {
            let problem = "does not tell the size of its vocabulary: take text as prompt".to_string();
            return Err(unusable(problem));
        };
        let tokens = match endpoint.style {
            super::Style::Completion => endpoint.tokenize(text, false),
            super::Style::Chat => None,
        };
        let Some(tokens) = tokens else { return Ok(Source::Text(text.to_string())) };
        let (plain, special) = (endpoint.tokenize("a", false), endpoint.tokenize("a", true));
        let start = special.zip(plain).filter(|(special, plain)| special.len() > plain.len());
        let start = start.and_then(|(special, _)| special.first().copied());
        Tokens::new(protocol, tokens, start, 0).map(Source::Tokens).map_err(unusable)
    }
}

impl<'a> Prompts<'a> {
    /// Requests of a workload: which kind comes next follows its weight and the seed. `told` is what the server tells
    /// of itself; `None` for one that was started here.
    #[must_use]
    pub fn new(
        endpoint: &'a Endpoint,
        told: Option<&Told>,
        source: &'a Source,
        requests: &'a [Request],
        seed: u64,
    ) -> Prompts<'a> {
        let told = told.cloned().unwrap_or_else(Told::own);
        let generator = ChaCha8Rng::seed_from_u64(seed);
        Prompts { endpoint, told, source, requests, generator, count: 0, order: Vec::new() }
    }

    /// Where they are sent.
    pub(super) fn endpoint(&self) -> &Endpoint {
        self.endpoint
    }

    /// The next request: no two of them have the same prompt as long as the text lasts.
    pub(super) fn next(&mut self) -> Wish {
        let request = self.draw();
        let number = self.count;
        self.count = self.count.wrapping_add(1);
        let (prompt, known, own) = match self.source {
            Source::Tokens(tokens) => {
                let length = request.prompt.max(1);
                let tokens = (0..u64::from(length)).map(|position| tokens.at(number, position)).collect();
                (Prompt::Tokens(tokens), Some(u64::from(length)), None)
            }
            Source::Text(text) => (Prompt::Text(passage(text, number, request.prompt)), None, None),
            Source::Own(prompts) => {
                let place = self.draw_own(prompts.len());
                let text = prompts.get(place).cloned().unwrap_or_default();
                (Prompt::Text(text), None, u32::try_from(place).ok())
            }
        };
        let text = self.endpoint.request(&self.told, &prompt, request.generate);
        Wish { text, prompt: known, own, generate: request.generate }
    }

    fn draw(&mut self) -> Request {
        let total: f64 = self.requests.iter().map(|request| request.weight).sum();
        let mut left = self.generator.random::<f64>() * total;
        for request in self.requests {
            left -= request.weight;
            if left < 0.0 {
                return *request;
            }
        }
        self.requests.last().copied().unwrap_or(Request::new(1, 1))
    }

    /// Each of them once in a random order, then all of them again in another one (Fisher and Yates).
    fn draw_own(&mut self, count: usize) -> usize {
        if self.order.is_empty() {
            self.order = (0..count).collect();
            for last in (1..self.order.len()).rev() {
                let other = self.generator.random_range(0..=last);
                self.order.swap(last, other);
            }
        }
        self.order.pop().unwrap_or_default()
    }
}

/// About so many tokens of a text, from another place for each request; it starts over when it ends.
fn passage(text: &str, number: u32, tokens: u32) -> String {
    let words: Vec<&str> = text.split_inclusive(' ').collect();
    let wanted = tokens.max(1) as usize * CHARACTERS_PER_TOKEN;
    let start = number as usize * 131;
    let mut passage = String::with_capacity(wanted + 16);
    for word in words.iter().cycle().skip(start % words.len().max(1)) {
        passage.push_str(word);
        if passage.len() >= wanted {
            break;
        }
    }
    passage
}

#[cfg(test)]
mod tests {
    use super::*;

    fn endpoint() -> Endpoint {
        Endpoint::local("127.0.0.1:1".parse().unwrap())
    }

    fn wishes(source: &Source, requests: &[Request], count: usize) -> Vec<Wish> {
        let endpoint = endpoint();
        let mut prompts = Prompts::new(&endpoint, None, source, requests, 1);
        (0..count).map(|_| prompts.next()).collect()
    }

    #[test]
    fn prompts_of_tokens_have_their_length_and_differ() {
        let tokens = Tokens::new(&Protocol::default(), (2..1000).collect(), Some(1), 0).unwrap();
        let made = wishes(&Source::Tokens(tokens), &[Request::new(5, 3)], 3);
        assert!(made[0].text.contains(r#""prompt":[1,3,4,5,6]"#), "{}", made[0].text);
        assert_eq!((made[0].prompt, made[0].generate), (Some(5), 3));
        assert!(made[0].text != made[1].text && made[1].text != made[2].text);
    }

    #[test]
    fn a_mix_follows_its_weights() {
        let requests = [Request { weight: 3.0, ..Request::new(5, 1) }, Request::new(5, 2)];
        let made = wishes(&Source::Text("one two three".into()), &requests, 400);
        let first = made.iter().filter(|wish| wish.generate == 1).count();
        assert!((260..340).contains(&first), "{first} of 400");
        assert_eq!(made, wishes(&Source::Text("one two three".into()), &requests, 400), "the seed decides");
    }

    #[test]
    fn own_prompts_come_once_before_any_comes_again() {
        let own: Vec<String> = ["a", "b", "c"].map(String::from).to_vec();
        let made = wishes(&Source::Own(own), &[Request::new(1, 1)], 6);
        let mut places: Vec<Option<u32>> = made[..3].iter().map(|wish| wish.own).collect();
        places.sort_unstable();
        assert_eq!(places, [Some(0), Some(1), Some(2)]);
        for round in made.chunks(3) {
            let mut seen: Vec<&str> =
                round.iter().map(|wish| wish.text.split(r#""prompt":"#).nth(1).unwrap()).collect();
            seen.sort_unstable();
            seen.dedup();
            assert_eq!(seen.len(), 3);
        }
        assert!(passage("one two three ", 7, 10).len() >= 40);
    }
}
