//! How well models predict a text, and how far they are from their reference.

mod pictures;
mod protocol;
mod tables;
mod worst;

use super::words::count;
use crate::evaluate::{Evaluated, Reason, Rule, SideIdentity, Values, sequence, slices};
use gguflab_report::Document;
use gguflab_stats::{CONFIDENCE, ClusterMean, Estimate, Percentiles, Ratio};

/// Percentiles that the composite metric is made of.
const COMPOSED: [f64; 4] = [0.5, 0.9, 0.95, 0.99];
/// Seed of the bootstrap of windows.
const SEED: u64 = 42;

/// A side with all that it said.
pub(super) struct Side {
    pub(super) name: String,
    made_of: Option<&'static str>,
    nll_made_of: Option<&'static str>,
    pub(super) bytes: u64,
    /// Chunks in the importance matrix that it was made with, where its file says so.
    pub(super) importance_chunks: Option<u64>,
    pub(super) values: Values,
    /// The percentiles of its divergence that the composite metric is made of.
    pub(super) percentiles: Option<Percentiles>,
}

impl Side {
    /// Its name where there is no column that says what its figures are made of.
    pub(super) fn label(&self) -> String {
        match self.made_of {
            Some(made_of) => format!("{} ({made_of})", self.name),
            None => self.name.clone(),
        }
    }

    /// What its divergence is made of, where that is not whole rows.
    pub(super) fn made_of(&self) -> Option<&'static str> {
        self.made_of
    }

    /// The same of its perplexity.
    pub(super) fn nll_made_of(&self) -> Option<&'static str> {
        self.nll_made_of
    }
}

/// All that the parts of the document are made from.
pub(super) struct Found<'a> {
    pub(super) evaluated: &'a Evaluated,
    pub(super) reference: Option<Side>,
    pub(super) candidates: Vec<Side>,
}

impl Found<'_> {
    fn new(evaluated: &Evaluated) -> Found<'_> {
        let head = &evaluated.head;
        let other = |own: &SideIdentity| head.reference.as_ref().filter(|side| !std::ptr::eq(*side, own));
        let side = |identity: &SideIdentity, values: Values| Side {
            name: identity.name.clone(),
            made_of: identity.made_of(other(identity)),
            nll_made_of: identity.nll_made_of(other(identity)),
            bytes: identity.bytes,
            importance_chunks: identity.importance_chunks,
            percentiles: percentiles(&values, &COMPOSED),
            values,
        };
        let candidates = head.candidates.iter().enumerate();
        Found {
            evaluated,
            reference: head.reference.as_ref().map(|identity| side(identity, evaluated.reference())),
            candidates: candidates.map(|(index, one)| side(one, evaluated.candidate(index))).collect(),
        }
    }

    /// Whether there are bounds.
    pub(super) fn sketched(&self) -> bool {
        self.candidates.iter().any(|side| side.values.is_sketched())
    }

    /// A mean with its interval: one that holds whenever it ends, where what was seen decided when it did.
    pub(super) fn estimate(&self, mean: ClusterMean) -> Estimate {
        self.ratio(&mean.ratio())
    }

    /// The same of any ratio over windows.
    pub(super) fn ratio(&self, ratio: &Ratio) -> Estimate {
        match self.evaluated.rule {
            Rule::All => ratio.estimate(CONFIDENCE),
            Rule::Width(_) | Rule::Decide(_) => sequence(self.candidates.len()).estimate(ratio),
        }
    }
}

/// The document of an evaluation.
#[must_use]
pub fn document(evaluated: &Evaluated) -> Document {
    let found = Found::new(evaluated);
    let mut document = Document::new(title(evaluated));
    for warning in &evaluated.warnings {
        document.warning(warning);
    }
    add_broken(&found, &mut document);
    if evaluated.scored.is_empty() {
        document.paragraph("No window was scored.");
        return document;
    }
    document.paragraph(how(evaluated));
    tables::add(&found, &mut document);
    pictures::add(&found, &mut document);
    worst::add(&found, &mut document);
    protocol::add(&found, &mut document);
    document
}

/// Only how well the text is predicted, to stand in another document.
#[must_use]
pub fn perplexities(evaluated: &Evaluated) -> Document {
    let found = Found::new(evaluated);
    let mut document = Document::new(title(evaluated));
    document.heading(1, "Perplexity");
    add_broken(&found, &mut document);
    document.paragraph(how(evaluated));
    document.table(tables::perplexities(&found));
    document
}

fn title(evaluated: &Evaluated) -> String {
    let names: Vec<String> =
        evaluated.head.candidates.iter().map(|candidate| candidate.name.clone()).collect();
    match &evaluated.head.reference {
        Some(reference) => format!("{} beside {}", super::words::list(&names), reference.name),
        None => format!("Perplexity of {}", super::words::list(&names)),
    }
}

/// A logit that is no number is a mistake of the engine or of the model, and never a small number.
fn add_broken(found: &Found<'_>, document: &mut Document) {
    for side in found.reference.iter().chain(&found.candidates) {
        let broken = side.values.broken();
        if broken > 0 {
            document.warning(format!(
                "{}: the logits of {} are no finite numbers; they are in no figure",
                side.name,
                count(broken, "position")
            ));
        }
    }
}

fn how(evaluated: &Evaluated) -> String {
    let scored = evaluated.scored.len();
    let resumed = match evaluated.resumed {
        0 => String::new(),
        number => format!(", {number} of them by an earlier run"),
    };
    let all = evaluated.population;
    let ended = match &evaluated.reason {
        Reason::All => String::new(),
        Reason::Decided => " It ended because that was enough.".to_string(),
        Reason::Stopped => " It was stopped; the same command goes on from here.".to_string(),
        Reason::Failed(ending) => {
            format!(" It ended because a window could not be scored: {}: {}.", ending.outcome, ending.cause)
        }
    };
    format!("{} of {all} scored{resumed}, in random order.{ended}", count(scored, "window"))
}

/// The mean of a vector for each window.
fn mean(values: &[Vec<f64>]) -> Option<ClusterMean> {
    ClusterMean::of(&slices(values), None)
}

/// Percentiles of the divergence.
fn percentiles(values: &Values, probabilities: &[f64]) -> Option<Percentiles> {
    Percentiles::of(&slices(&values.divergence), probabilities, None, CONFIDENCE, SEED)
}

/// Windows by their numbers, each with the mean of its values that are numbers.
fn window_means(chunks: &[u32], values: &[Vec<f64>]) -> Vec<(u32, f64)> {
    let mean = |(chunk, values): (&u32, &Vec<f64>)| Some((*chunk, ClusterMean::of(&[values], None)?.mean));
    chunks.iter().zip(values).filter_map(mean).collect()
}
