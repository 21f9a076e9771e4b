//! Several candidates judged on the same chunks, the losers dropped as soon as they have surely lost.
//!
//! After each chunk the candidate with the best mean leads. Each other one's differences to it, chunk by chunk, have a
//! confidence sequence; whoever is surely worse is dropped and need not be evaluated any further (racing; Maron & Moore
//! 1997, *The Racing Algorithm*, with differences on common chunks in place of single means). It is over when one is left,
//! or when nobody who is left differs from the leader by more than a margin.
//!
//! **What is promised**: the sequences of all pairs of candidates hold at once, at all looks, with probability 1 − error
//! (Bonferroni over the k(k − 1)/2 pairs). That is more than α/k for each candidate, and it has to be: who leads is decided
//! by the same chunks. So no verdict is wrong with more than that probability, the ones on the way included.
//!
//! What it says follows from the chunks that were pushed, and from nothing else: a run that was interrupted pushes them
//! again and goes on with the same decisions.

use crate::chunks::{Part, Ratio, Sums};
use crate::confidence_sequence::ConfidenceSequence;
use crate::estimate::{Estimate, Interval};
use crate::paired::{Verdict, judge, relative};
use gguflab_types::Direction;
use serde::{Deserialize, Serialize};

/// How a race is decided.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct Rules {
    /// The confidence sequence of a single pair's difference, before its error is shared by all pairs.
    pub sequence: ConfidenceSequence,
    /// Differences that do not matter.
    pub margin: Margin,
    /// Which values are better.
    pub direction: Direction,
    /// Chunks in all, when they come in a random order and the race is for this text alone.
    pub population: Option<usize>,
}

/// Differences that do not matter, and with them the scale on which means are compared.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Margin {
    /// In the unit of the value: means are compared by their difference. For −ln p, whose differences are logarithms of
    /// ratios of perplexities.
    Absolute(f64),
    /// As a share of the leader's mean: means are compared by the logarithm of their ratio. For divergences, which differ
    /// by orders of magnitude. Where a mean is 0 (the reference itself takes part) or below, the difference stands in.
    OfLeader(f64),
}

/// A race under way.
#[derive(Debug, Clone, PartialEq)]
pub struct Elimination {
    rules: Rules,
    sequence: ConfidenceSequence,
    means: Vec<Sums>,
    /// Row by row, for each candidate how it stands to all before it.
    pairs: Vec<Vec<Pair>>,
    standings: Vec<Standing>,
    chunks: usize,
}

/// How one candidate stands to another.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Beside {
    /// Its difference over their common chunks: relative (0.05 is 5 % more) with a relative margin, in the unit of the value
    /// otherwise; `None` without a common chunk.
    pub difference: Option<Estimate>,
    /// Whether the difference is a relative one.
    pub relative: bool,
    /// What that says, with the margin.
    pub verdict: Verdict,
}

/// Two candidates on their common chunks.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
struct Pair {
    difference: Sums,
    ratio: Sums,
}

/// Where a candidate stands.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Standing {
    /// Its mean over the chunks it was evaluated on.
    pub mean: Option<f64>,
    /// Whom it was held against last: the leader, itself when it leads.
    pub against: usize,
    /// Its difference to that one over their common chunks: relative (0.05 is 5 % more) with a relative margin, in the unit
    /// of the value otherwise; the interval holds at all looks.
    pub difference: Option<Estimate>,
    /// Whether the difference is a relative one.
    pub relative: bool,
    /// Against the leader: worse (then it is dropped), indistinguishable, or undecided. The leader itself is
    /// indistinguishable while somebody else is left, and better when nobody is.
    pub verdict: Verdict,
    /// After how many chunks it was dropped.
    pub dropped: Option<usize>,
}

impl Rules {
    /// For divergences: lower is better, 5 % error, and a twentieth of the leader's mean does not matter. They differ by
    /// three orders of magnitude between 8 and 2 bits for each weight, so no absolute margin suits all.
    pub const DEFAULT: Rules = Rules {
        sequence: ConfidenceSequence::DEFAULT,
        margin: Margin::OfLeader(0.05),
        direction: Direction::Lower,
        population: None,
    };
}

impl Elimination {
    /// A race of so many candidates, before the first chunk.
    #[must_use]
    pub fn new(candidates: usize, rules: Rules) -> Elimination {
        let pairs = candidates * candidates.saturating_sub(1) / 2;
        let alone = candidates == 1;
        let standing = |own| Standing {
            mean: None,
            against: own,
            difference: None,
            relative: false,
            verdict: if alone { Verdict::Better } else { Verdict::Undecided },
            dropped: None,
        };
        Elimination {
            rules,
            sequence: rules.sequence.shared_by(pairs),
            means: vec![Sums::default(); candidates],
            pairs: (0..candidates).map(|own| vec![Pair::default(); own]).collect(),
            standings: (0..candidates).map(standing).collect(),
            chunks: 0,
        }
    }

    /// Adds the next chunk, a part for each candidate; those of candidates that were dropped are ignored and may be `None`.
    /// A candidate that is still in the race and has no part (its logits were no numbers) loses the chunk for all of its
    /// pairs.
    pub fn push(&mut self, parts: &[Option<Part>]) {
        self.chunks += 1;
        let part = |own: usize| parts.get(own).copied().flatten().filter(|part| part.size > 0.0);
        let racing: Vec<(usize, Part)> =
            self.left().into_iter().filter_map(|own| Some((own, part(own)?))).collect();
        for (place, (own, part)) in racing.iter().enumerate() {
            self.means[*own].add(*part);
            for (other, theirs) in &racing[..place] {
                self.pairs[*own][*other].add(*part, *theirs);
            }
        }
        self.judge();
    }

    /// Where all candidates stand.
    #[must_use]
    pub fn standings(&self) -> &[Standing] {
        &self.standings
    }

    /// Those that are still in the race, by their place.
    #[must_use]
    pub fn left(&self) -> Vec<usize> {
        (0..self.standings.len()).filter(|own| self.standings[*own].dropped.is_none()).collect()
    }

    /// The one with the best mean of those that are left; `None` before the first chunk.
    #[must_use]
    pub fn leader(&self) -> Option<usize> {
        let of = |own: &usize| Some((*own, self.standings[*own].mean?));
        let better = |one: f64, other: f64| match self.rules.direction {
            Direction::Higher => other.total_cmp(&one),
            _ => one.total_cmp(&other),
        };
        let means = self.left().iter().filter_map(of).collect::<Vec<(usize, f64)>>();
        means.into_iter().min_by(|one, other| better(one.1, other.1)).map(|(own, _)| own)
    }

    /// Whether nothing is left to be decided: one is left, or nobody differs from the leader by more than the margin, or
    /// all chunks were seen.
    #[must_use]
    pub fn is_over(&self) -> bool {
        let open = |own: &usize| self.standings[*own].verdict == Verdict::Undecided;
        let ended = self.rules.population.is_some_and(|all| self.chunks >= all);
        ended || !self.left().iter().any(open)
    }

    /// Chunks pushed so far.
    #[must_use]
    pub fn chunks(&self) -> usize {
        self.chunks
    }

    fn judge(&mut self) {
        let left = self.left();
        for own in &left {
            self.standings[*own].mean = self.means[*own].ratio(None).map(|ratio| ratio.value);
        }
        let Some(leader) = self.leader() else { return };
        for own in left.iter().filter(|own| **own != leader) {
            let pair = &self.pairs[leader.max(*own)][leader.min(*own)];
            let mean = self.standings[leader].mean;
            let found = pair.beside(*own < leader, mean, &self.rules, |ratio| self.sequence.estimate(ratio));
            let standing = &mut self.standings[*own];
            standing.dropped = (found.verdict == Verdict::Worse).then_some(self.chunks);
            standing.against = leader;
            (standing.difference, standing.relative) = (found.difference, found.relative);
            standing.verdict = found.verdict;
        }
        self.crown(leader);
    }

    /// What the leader itself is called.
    fn crown(&mut self, leader: usize) {
        let rest: Vec<usize> = self.left().into_iter().filter(|own| *own != leader).collect();
        let known = |own: &usize| self.standings[*own].verdict == Verdict::Indistinguishable;
        let verdict = match (rest.is_empty(), rest.iter().all(known)) {
            (true, _) => Verdict::Better,
            (false, true) => Verdict::Indistinguishable,
            (false, false) => Verdict::Undecided,
        };
        let standing = &mut self.standings[leader];
        (standing.against, standing.difference, standing.verdict) = (leader, None, verdict);
    }
}

/// How one candidate stands to another after all chunks of both, which are parts of the same chunks in the same order.
/// `estimate` makes the interval: [`Ratio::estimate`] where the number of chunks was fixed beforehand.
#[must_use]
pub fn beside(own: &[Part], other: &[Part], rules: &Rules, estimate: impl Fn(&Ratio) -> Estimate) -> Beside {
    let (mut pair, mut mean) = (Pair::default(), Sums::default());
    for (own, other) in own.iter().zip(other).filter(|(own, other)| own.size > 0.0 && other.size > 0.0) {
        pair.add(*own, *other);
        mean.add(*other);
    }
    pair.beside(false, mean.ratio(None).map(|ratio| ratio.value), rules, estimate)
}

impl Pair {
    /// How the first stands to the second, or the other way round; `mean` is that of whom it is held against.
    fn beside(
        &self,
        swapped: bool,
        mean: Option<f64>,
        rules: &Rules,
        estimate: impl Fn(&Ratio) -> Estimate,
    ) -> Beside {
        let wanted = matches!(rules.margin, Margin::OfLeader(_));
        let logarithm = wanted.then(|| self.log_ratio(rules.population)).flatten();
        let is_relative = logarithm.is_some();
        let found = logarithm.or_else(|| self.difference.ratio(rules.population));
        let estimate = found.map(|ratio| estimate(&ratio));
        let estimate = estimate.map(|it| if swapped { negated(&it) } else { it });
        let difference = if is_relative { estimate.map(|it| relative(&it)) } else { estimate };
        let margin = match rules.margin {
            Margin::OfLeader(share) if !is_relative => share * mean.unwrap_or(0.0).abs(),
            Margin::Absolute(margin) | Margin::OfLeader(margin) => margin,
        };
        let verdict = difference.as_ref().map_or(Verdict::Undecided, |it| judge(it, margin, rules.direction));
        Beside { difference, relative: is_relative, verdict }
    }

    /// Adds a chunk, as heavy as the lighter of the two.
    fn add(&mut self, own: Part, other: Part) {
        let size = own.size.min(other.size);
        let (own, other) = (own.sum / own.size * size, other.sum / other.size * size);
        self.difference.add(Part { sum: own - other, size });
        self.ratio.add(Part { sum: own, size: other });
    }

    /// The logarithm of the ratio of both means, with the standard error of the first order (Cochran 1977, 6.4); `None`
    /// unless all chunks have values above 0.
    fn log_ratio(&self, population: Option<usize>) -> Option<Ratio> {
        let ratio = self.ratio.ratio(population)?;
        let whole = ratio.value > 0.0 && ratio.chunks == self.difference.ratio(population)?.chunks;
        let standard_error = ratio.standard_error.map(|error| error / ratio.value);
        whole.then(|| Ratio { value: ratio.value.ln(), standard_error, ..ratio })
    }
}

fn negated(estimate: &Estimate) -> Estimate {
    let interval = estimate.interval.map(|it| Interval { low: -it.high, high: -it.low, ..it });
    Estimate { value: -estimate.value, interval, ..estimate.clone() }
}
