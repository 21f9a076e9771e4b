//! How much of the variation each knob explains: functional ANOVA over a forest of regression trees.
//!
//! The share of a knob is the variance of its marginal prediction (the mean over all settings of the other knobs,
//! each equally likely) over the variance of the prediction (Hutter, Hoos & Leyton-Brown 2014, *An Efficient Approach
//! for Assessing Hyperparameter Importance*, equations 5 to 8). A tree divides the space into boxes, so both are
//! exact sums over its leaves (algorithm 2). The trees are those of Geurts, Ernst & Wehenkel (2006), *Extremely
//! Randomized Trees*, but for the best of the splits: each sees all points, since a search may have tried a value only
//! once, and they differ by the knobs that each split may choose from and by where between two values it cuts.

use crate::location::mean;
use crate::random::Random;

/// A knob.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Factor {
    /// How many values it has.
    pub levels: usize,
    /// Whether their order means anything.
    pub ordered: bool,
}

/// A share of the variance.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Share {
    /// The middle of the trees, from 0 to 1.
    pub value: f64,
    /// The share that nine tenths of the trees exceed.
    pub low: f64,
    /// The share that a tenth of the trees exceeds.
    pub high: f64,
}

/// What the forest says.
#[derive(Debug, Clone, PartialEq)]
pub struct Importance {
    /// The share of each knob alone.
    pub alone: Vec<Share>,
    /// What is left: knobs that act together.
    pub together: f64,
}

const TREES: usize = 64;
/// Knobs that a split may choose from, as a share of all.
const TRIED: f64 = 5.0 / 6.0;

/// The shares of all knobs from points, each a level of every knob with a value; a configuration that was measured
/// several times should be one point. `None` when there are fewer than four points or nothing varies.
#[must_use]
pub fn importance(factors: &[Factor], points: &[(Vec<usize>, f64)], seed: u64) -> Option<Importance> {
    let fits = |levels: &[usize]| {
        levels.len() == factors.len()
            && levels.iter().zip(factors).all(|(level, factor)| *level < factor.levels)
    };
    let points: Vec<&(Vec<usize>, f64)> =
        points.iter().filter(|(levels, value)| value.is_finite() && fits(levels)).collect();
    if points.len() < 4 || factors.is_empty() {
        return None;
    }
    let mut random = Random(seed);
    let shares: Vec<Vec<f64>> =
        (0..TREES).filter_map(|_| tree_shares(factors, &points, &mut random)).collect();
    let alone: Option<Vec<Share>> =
        (0..factors.len()).map(|knob| summary(shares.iter().map(|tree| tree[knob]).collect())).collect();
    let alone = alone?;
    let together = (1.0 - alone.iter().map(|share| share.value).sum::<f64>()).max(0.0);
    Some(Importance { alone, together })
}

fn summary(mut shares: Vec<f64>) -> Option<Share> {
    shares.sort_unstable_by(f64::total_cmp);
    let last = shares.len().checked_sub(1)?;
    let at = |share: f64| shares[(last as f64 * share).round() as usize];
    Some(Share { value: at(0.5), low: at(0.1), high: at(0.9) })
}

/// One leaf: which levels of each knob lead to it, and its value.
struct Leaf {
    allowed: Vec<Vec<bool>>,
    value: f64,
}

/// The shares by one tree; `None` when its prediction is the same everywhere.
fn tree_shares(factors: &[Factor], points: &[&(Vec<usize>, f64)], random: &mut Random) -> Option<Vec<f64>> {
    let everywhere = factors.iter().map(|factor| vec![true; factor.levels]).collect();
    let mut leaves = Vec::new();
    grow(factors, points.to_vec(), everywhere, random, &mut leaves);
    let portion =
        |levels: &[bool]| levels.iter().filter(|level| **level).count() as f64 / levels.len() as f64;
    let portions: Vec<Vec<f64>> =
        leaves.iter().map(|leaf| leaf.allowed.iter().map(|levels| portion(levels)).collect()).collect();
    let volumes: Vec<f64> = portions.iter().map(|portions| portions.iter().product()).collect();
    let weighed = || leaves.iter().zip(&volumes);
    let centre: f64 = weighed().map(|(leaf, volume)| leaf.value * volume).sum();
    let variance: f64 = weighed().map(|(leaf, volume)| (leaf.value - centre).powi(2) * volume).sum();
    if variance <= f64::EPSILON * centre.abs().max(1e-12) {
        return None;
    }
    let share = |knob: usize| {
        let marginal = |level: usize| -> f64 {
            let through = weighed().zip(&portions).filter(|((leaf, _), _)| leaf.allowed[knob][level]);
            through.map(|((leaf, volume), portions)| leaf.value * volume / portions[knob]).sum()
        };
        let levels = factors[knob].levels;
        (0..levels).map(|level| (marginal(level) - centre).powi(2)).sum::<f64>() / levels as f64 / variance
    };
    Some((0..factors.len()).map(share).collect())
}

/// Splits until nothing is gained.
fn grow(
    factors: &[Factor],
    points: Vec<&(Vec<usize>, f64)>,
    allowed: Vec<Vec<bool>>,
    random: &mut Random,
    leaves: &mut Vec<Leaf>,
) {
    let Some((knob, goes_left)) = best_split(factors, &points, &allowed, random) else {
        let value = mean(&points.iter().map(|point| point.1).collect::<Vec<f64>>()).unwrap_or(0.0);
        leaves.push(Leaf { allowed, value });
        return;
    };
    let (left, right): (Vec<_>, Vec<_>) = points.into_iter().partition(|point| goes_left[point.0[knob]]);
    for (side, points) in [(true, left), (false, right)] {
        let mut inside = allowed.clone();
        inside[knob].iter_mut().zip(&goes_left).for_each(|(inside, left)| *inside &= *left == side);
        grow(factors, points, inside, random, leaves);
    }
}

/// The split that leaves the least squares, among some of the knobs: the knob, and which levels go left.
fn best_split(
    factors: &[Factor],
    points: &[&(Vec<usize>, f64)],
    allowed: &[Vec<bool>],
    random: &mut Random,
) -> Option<(usize, Vec<bool>)> {
    let tried = ((factors.len() as f64 * TRIED).round() as usize).max(1);
    let mut order: Vec<usize> = (0..factors.len()).collect();
    random.shuffle(&mut order);
    let mut best: Option<(f64, usize, Vec<bool>)> = None;
    let mut offered = 0;
    for knob in order {
        let Some((squares, goes_left)) = split_of(factors[knob], knob, points, &allowed[knob], random) else {
            continue;
        };
        if best.as_ref().is_none_or(|(least, ..)| squares < *least) {
            best = Some((squares, knob, goes_left));
        }
        offered += 1;
        if offered == tried {
            break;
        }
    }
    let whole = squares(&points.iter().map(|point| point.1).collect::<Vec<f64>>());
    best.filter(|(least, ..)| *least < whole * (1.0 - 1e-9)).map(|(_, knob, left)| (knob, left))
}

/// The best split of one knob: levels in their order, or by their mean value where the order means nothing (which
/// holds the best of all divisions; Breiman et al. 1984, 4.5). Levels that no point has go to either side at random.
fn split_of(
    factor: Factor,
    knob: usize,
    points: &[&(Vec<usize>, f64)],
    allowed: &[bool],
    random: &mut Random,
) -> Option<(f64, Vec<bool>)> {
    let values = |level: usize| -> Vec<f64> {
        points.iter().filter(|point| point.0[knob] == level).map(|point| point.1).collect()
    };
    let mut present: Vec<(usize, Vec<f64>)> = (0..factor.levels)
        .filter(|level| allowed[*level])
        .map(|level| (level, values(level)))
        .filter(|(_, values)| !values.is_empty())
        .collect();
    if !factor.ordered {
        let middle = |values: &[f64]| mean(values).unwrap_or(0.0);
        present.sort_by(|one, other| middle(&one.1).total_cmp(&middle(&other.1)));
    }
    let mut best: Option<(f64, usize)> = None;
    for cut in 1..present.len() {
        let side = |part: &[(usize, Vec<f64>)]| -> Vec<f64> {
            part.iter().flat_map(|(_, values)| values.iter().copied()).collect()
        };
        let (left, right) = (side(&present[..cut]), side(&present[cut..]));
        let left_over = squares(&left) + squares(&right);
        if best.is_none_or(|(least, _)| left_over < least) {
            best = Some((left_over, cut));
        }
    }
    let (left_over, cut) = best?;
    let goes_left = if factor.ordered {
        let (from, to) = (present[cut - 1].0, present[cut].0);
        let border = from + random.below(to - from);
        (0..factor.levels).map(|level| level <= border).collect()
    } else {
        let known = |level: usize| present.iter().position(|(known, _)| *known == level);
        (0..factor.levels)
            .map(|level| known(level).map_or_else(|| random.below(2) == 0, |place| place < cut))
            .collect()
    };
    Some((left_over, goes_left))
}

/// Sum of squared distances to the mean.
fn squares(values: &[f64]) -> f64 {
    let Some(centre) = mean(values) else { return 0.0 };
    values.iter().map(|value| (value - centre).powi(2)).sum()
}
