//! Which window is scored next, for which candidates, and when it is enough: a pure function of what was scored, so
//! that a resumed run decides as the run before it did.

use gguflab_data::sums;
use gguflab_stats::elimination::{Margin, Rules, Standing};
use gguflab_stats::{ConfidenceSequence, Elimination, Goal, Part, Ratio, parts};
use gguflab_types::evaluation::{TokenScores, WindowScores};

/// The share of the best one's divergence or perplexity below which differences do not matter, unless another is asked for.
const MARGIN: f64 = 0.05;

/// When an evaluation ends.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Rule {
    /// When every window was scored.
    All,
    /// When the mean of each candidate is known to this share of itself.
    Width(f64),
    /// When it is decided which candidate is best; differences below this share of the best one's mean divergence, or of its
    /// perplexity, do not matter.
    /// Candidates that have surely lost are not run any further.
    Decide(f64),
}

/// What candidates are judged by.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Judged {
    /// Their divergence from the reference.
    Divergence,
    /// −ln p of the text.
    Nll,
}

/// What is scored next.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Active {
    /// The window.
    pub chunk: u32,
    /// The candidates that are still in it.
    pub candidates: Vec<u32>,
}

/// The walk through the windows.
pub(super) struct Walk {
    chunks: Vec<u32>,
    candidates: usize,
    rule: Rule,
    judged: Judged,
    race: Elimination,
    /// What each window added to each candidate's mean.
    parts: Vec<Vec<Part>>,
    /// Windows that were taken in.
    seen: usize,
}

impl Walk {
    pub(super) fn new(chunks: Vec<u32>, seed: u64, candidates: usize, rule: Rule, judged: Judged) -> Walk {
        let chunks = shuffled(chunks, seed);
        let race = Elimination::new(candidates, rules(rule, judged));
        Walk { chunks, candidates, rule, judged, race, parts: vec![Vec::new(); candidates], seen: 0 }
    }

    /// The next window; `None` when it is enough. `scored` only ever grows.
    pub(super) fn next(&mut self, scored: &[WindowScores]) -> Option<Active> {
        for window in scored.get(self.seen..).unwrap_or_default() {
            self.take_in(window);
        }
        self.seen = scored.len();
        let enough = match self.rule {
            Rule::All => false,
            Rule::Width(share) => self.seen > 0 && self.all_known(share),
            Rule::Decide(_) => self.seen > 0 && self.race.is_over(),
        };
        let chunk = *self.chunks.get(self.seen).filter(|_| !enough)?;
        let left = match self.rule {
            Rule::Decide(_) => self.race.left(),
            Rule::All | Rule::Width(_) => (0..self.candidates).collect(),
        };
        Some(Active {
            chunk,
            candidates: left.into_iter().filter_map(|one| u32::try_from(one).ok()).collect(),
        })
    }

    /// Where the candidates stand, if they raced.
    pub(super) fn standings(&self) -> Vec<Standing> {
        match self.rule {
            Rule::Decide(_) => self.race.standings().to_vec(),
            Rule::All | Rule::Width(_) => Vec::new(),
        }
    }

    fn take_in(&mut self, window: &WindowScores) {
        let part = |candidate: usize| {
            let scores = window.candidates.get(&u32::try_from(candidate).ok()?)?;
            Some(part(scores, self.judged)).filter(|part| part.size > 0.0)
        };
        let found: Vec<Option<Part>> = (0..self.candidates).map(part).collect();
        for (all, part) in self.parts.iter_mut().zip(&found) {
            all.extend(part);
        }
        self.race.push(&found);
    }

    fn all_known(&self, share: f64) -> bool {
        let sequence = sequence(self.candidates);
        self.parts.iter().all(|parts| {
            let ratio = Ratio::of(parts, None);
            ratio.is_some_and(|ratio| Goal::RelativeHalfWidth(share).is_reached(&sequence.estimate(&ratio)))
        })
    }
}

/// How candidates are compared: divergences by their ratio, −ln p by its difference, which is the ratio of perplexities.
pub(crate) fn rules(rule: Rule, judged: Judged) -> Rules {
    let share = match rule {
        Rule::Decide(share) => share,
        Rule::All | Rule::Width(_) => MARGIN,
    };
    let margin = match judged {
        Judged::Divergence => Margin::OfLeader(share),
        Judged::Nll => Margin::Absolute(share.ln_1p()),
    };
    Rules { margin, ..Rules::DEFAULT }
}

/// The intervals of so many candidates that hold together, at all looks.
pub(crate) fn sequence(candidates: usize) -> ConfidenceSequence {
    ConfidenceSequence::DEFAULT.shared_by(candidates.max(1))
}

fn part(scores: &TokenScores, judged: Judged) -> Part {
    let values = match judged {
        Judged::Divergence => &scores.divergence,
        Judged::Nll => &scores.nll,
    };
    parts(&[&gguflab_stats::values(values)]).pop().unwrap_or(Part { sum: 0.0, size: 0.0 })
}

/// A random order: by the hash of seed and number, which is the same on every machine.
pub(crate) fn shuffled(mut chunks: Vec<u32>, seed: u64) -> Vec<u32> {
    chunks.sort_by_cached_key(|chunk| {
        sums::of_bytes(&[&seed.to_le_bytes()[..], &chunk.to_le_bytes()].concat())
    });
    chunks
}

#[cfg(test)]
mod tests {
    use super::*;
    use gguflab_stats::Verdict;

    #[test]
    fn the_order_depends_on_the_seed_alone_and_loses_no_window() {
        let order = |seed| {
            let mut walk = Walk::new((3..40).collect(), seed, 1, Rule::All, Judged::Nll);
            let mut scored: Vec<WindowScores> = Vec::new();
            while let Some(active) = walk.next(&scored) {
                assert_eq!(active.candidates, [0]);
                scored.push(WindowScores { chunk: active.chunk, ..WindowScores::default() });
            }
            scored.iter().map(|scored| scored.chunk).collect::<Vec<u32>>()
        };
        let (first, second) = (order(1), order(2));
        assert_eq!(first, order(1));
        assert_ne!(first, second);
        let mut sorted = first.clone();
        sorted.sort_unstable();
        assert_eq!(sorted, (3..40).collect::<Vec<u32>>());
        assert_ne!(first, sorted);
    }

    /// Windows in which candidate 1 is twice as far as candidate 0, and 2 as far as 0 but for what cancels.
    fn window(chunk: u32, candidates: &[u32]) -> WindowScores {
        let base = 0.1 + 0.05 * f64::from(chunk * 7919 % 13) / 13.0;
        let scores = |candidate: u32| {
            let wobble = 1.0 + (f64::from(chunk * 31 % 7) - 3.0) / 30.0;
            let value = [base, 2.0 * base, wobble * base][candidate as usize];
            TokenScores { divergence: vec![Some(value); 8], ..TokenScores::default() }
        };
        let candidates = candidates.iter().map(|candidate| (*candidate, scores(*candidate))).collect();
        WindowScores { chunk, candidates, ..WindowScores::default() }
    }

    fn walk(rule: Rule) -> (Vec<WindowScores>, Vec<Standing>) {
        let mut walk = Walk::new((0..400).collect(), 1, 3, rule, Judged::Divergence);
        let mut scored: Vec<WindowScores> = Vec::new();
        while let Some(active) = walk.next(&scored) {
            scored.push(window(active.chunk, &active.candidates));
        }
        (scored, walk.standings())
    }

    #[test]
    fn a_race_drops_the_loser_and_ends_with_a_tie() {
        let (scored, standings) = walk(Rule::Decide(0.05));
        assert!(scored.len() < 100, "{}", scored.len());
        let verdicts: Vec<Verdict> = standings.iter().map(|standing| standing.verdict).collect();
        assert_eq!(verdicts, [Verdict::Indistinguishable, Verdict::Worse, Verdict::Indistinguishable]);
        assert_eq!(scored.last().unwrap().candidates.len(), 2, "the loser is not run any further");
    }

    #[test]
    fn it_ends_when_all_are_known_well_enough() {
        let (wide, none) = walk(Rule::Width(0.2));
        let (narrow, _) = walk(Rule::Width(0.05));
        assert!(none.is_empty());
        assert!(wide.len() < narrow.len() && narrow.len() < 400, "{} {}", wide.len(), narrow.len());
    }
}
