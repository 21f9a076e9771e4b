//! Several treatments measured in rounds: one estimate of the noise from all of them.
//!
//! A race visits each contender a handful of times. The spread of one contender's few pairs says little about the
//! noise (Student's factor is 4.3 for three pairs, 12.7 for two); the residuals of all contenders together say much
//! more. This is the analysis of a randomised block design: ln(value) = round + contender + noise (Montgomery,
//! *Design and Analysis of Experiments*, 4.1), with cells missing where a contender dropped out.

use crate::estimate::{Estimate, Interval};
use crate::location::{mean, variance};
use crate::special::{f_exceeds, student_quantile};
use std::collections::BTreeMap;

/// One value of one treatment in one block.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Cell {
    /// The block (round).
    pub block: usize,
    /// The treatment (contender).
    pub treatment: usize,
    /// The value, on the scale on which the effects add up: usually a logarithm.
    pub value: f64,
}

/// What blocks and treatments leave unexplained.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Residual {
    /// Variance of one cell.
    pub variance: f64,
    /// Degrees of freedom that the variance rests on, at least 1.
    pub freedom: usize,
}

/// Variance of a single cell about the additive model, by least squares; `None` when the cells leave no degree of
/// freedom. Cells that are not finite are left out; each treatment may appear once in a block.
#[must_use]
pub fn residual(cells: &[Cell]) -> Option<Residual> {
    let cells: Vec<Cell> = cells.iter().copied().filter(|cell| cell.value.is_finite()).collect();
    let blocks = levels(&cells, |cell| cell.block);
    let treatments = levels(&cells, |cell| cell.treatment);
    let parameters = (blocks.len() + treatments.len()).saturating_sub(components(&cells));
    let freedom = cells.len().checked_sub(parameters).filter(|&freedom| freedom > 0)?;
    let block_of: Vec<usize> = cells.iter().map(|cell| blocks[&cell.block]).collect();
    let treatment_of: Vec<usize> = cells.iter().map(|cell| treatments[&cell.treatment]).collect();
    let mut left: Vec<f64> = cells.iter().map(|cell| cell.value).collect();
    // Sweeping out the means of rows and columns in turn converges to the least-squares residuals
    // (alternating projections, von Neumann 1949).
    for _ in 0..500 {
        let moved =
            sweep(&mut left, &block_of, blocks.len()) + sweep(&mut left, &treatment_of, treatments.len());
        if moved < 1e-14 {
            break;
        }
    }
    let squares: f64 = left.iter().map(|rest| rest * rest).sum();
    Some(Residual { variance: squares / freedom as f64, freedom })
}

/// Mean difference of a treatment to a reference over the blocks that have both, with Student's t interval from the
/// pooled residual variance `noise` (that of [`residual`] for the same cells); `family` treatments are judged together (Bonferroni; Dunn 1961), so that the interval
/// holds with `confidence` for all of them at once.
///
/// When the treatment's own differences vary significantly more (F test at 5 %) than the pooled variance says, their
/// own t interval is used. `None` without a shared block.
#[must_use]
pub fn pooled_difference(
    cells: &[Cell],
    noise: Option<Residual>,
    (treatment, reference): (usize, usize),
    confidence: f64,
    family: usize,
) -> Option<Estimate> {
    let differences = shared(cells, treatment, reference);
    let value = mean(&differences)?;
    let count = differences.len();
    let Some(pooled) = noise else {
        return Some(Estimate::bare(value, count, "mean paired difference"));
    };
    let own = variance(&differences).filter(|own| {
        let freedom = (count - 1) as f64;
        f_exceeds(own / (2.0 * pooled.variance), freedom, pooled.freedom as f64) < 0.05
    });
    let (spread, freedom, method) = match own {
        Some(own) => (own, count - 1, "mean paired difference, own t interval"),
        None => (2.0 * pooled.variance, pooled.freedom, "mean paired difference, pooled t interval"),
    };
    let error = (1.0 - confidence) / family.max(1) as f64;
    let half = student_quantile(1.0 - error / 2.0, freedom as f64) * (spread / count as f64).sqrt();
    let interval = half.is_finite().then_some(Interval { low: value - half, high: value + half, confidence });
    Some(Estimate { value, interval, count, method })
}

/// Differences between two treatments in the blocks that have both, in the order of the blocks.
fn shared(cells: &[Cell], treatment: usize, reference: usize) -> Vec<f64> {
    let of = |wanted: usize| -> BTreeMap<usize, f64> {
        let usable = cells.iter().filter(|cell| cell.treatment == wanted && cell.value.is_finite());
        usable.map(|cell| (cell.block, cell.value)).collect()
    };
    let references = of(reference);
    of(treatment).iter().filter_map(|(block, value)| Some(value - references.get(block)?)).collect()
}

fn levels(cells: &[Cell], pick: impl Fn(&Cell) -> usize) -> BTreeMap<usize, usize> {
    let mut found: BTreeMap<usize, usize> = cells.iter().map(|cell| (pick(cell), 0)).collect();
    found.values_mut().enumerate().for_each(|(index, slot)| *slot = index);
    found
}

/// Takes the mean of each group out; gives the largest mean that was taken.
fn sweep(values: &mut [f64], group_of: &[usize], groups: usize) -> f64 {
    let mut sums = vec![(0.0, 0.0); groups];
    for (value, &group) in values.iter().zip(group_of) {
        sums[group].0 += value;
        sums[group].1 += 1.0;
    }
    for (value, &group) in values.iter_mut().zip(group_of) {
        *value -= sums[group].0 / sums[group].1;
    }
    sums.iter().map(|(sum, count)| (sum / count).abs()).fold(0.0, f64::max)
}

/// Groups of blocks that no shared treatment links: each of them has a level of its own.
fn components(cells: &[Cell]) -> usize {
    let mut groups: Vec<(Vec<usize>, Vec<usize>)> = Vec::new();
    for cell in cells {
        let (linked, apart): (Vec<_>, Vec<_>) = groups.into_iter().partition(|(blocks, treatments)| {
            blocks.contains(&cell.block) || treatments.contains(&cell.treatment)
        });
        let mut merged = (vec![cell.block], vec![cell.treatment]);
        for (blocks, treatments) in linked {
            merged.0.extend(blocks);
            merged.1.extend(treatments);
        }
        groups = apart;
        groups.push(merged);
    }
    groups.len()
}
