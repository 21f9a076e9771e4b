//! The difference between the arms: logarithms = block + slope · place + arm + covariates + noise.

use super::{Arm, Block, Run};
use crate::least_squares::Fit;
use crate::location::mean;
use crate::special::f_exceeds;

/// Blocks for each covariate that is taken into account.
const BLOCKS_FOR_COVARIATE: usize = 4;
/// The level of the test that a covariate is related to the values, shared by all that are on offer.
const RELATED: f64 = 0.05;
/// The share by which it has to lower the error of prediction.
const LEAST_GAIN: f64 = 0.1;
/// A covariate that differs between the arms with less than this probability by chance belongs to the arm.
const BY_CHANCE: f64 = 0.01;
/// The level of the test that blocks differ by more than their runs do.
const UNEVEN: f64 = 0.05;

/// Column of the arm.
const ARM: usize = 0;
/// Column of the place within the block.
const PLACE: usize = 1;

/// What the model says.
pub(super) struct Found {
    /// Candidate less reference, a difference of logarithms.
    pub(super) effect: f64,
    /// Its standard error.
    pub(super) error: Option<f64>,
    /// Degrees of freedom of the error.
    pub(super) freedom: usize,
    /// Variance of one run.
    pub(super) variance: Option<f64>,
    pub(super) slope: Option<f64>,
    pub(super) covariates: Vec<usize>,
    pub(super) uneven: bool,
    pub(super) blocks: usize,
    pub(super) runs: usize,
}

impl Found {
    pub(super) fn method(&self) -> &'static str {
        match (self.uneven, self.covariates.is_empty()) {
            (true, _) => "least squares within blocks, repeated t interval of the blocks' differences",
            (false, true) => "least squares within blocks, repeated t interval",
            (false, false) => "least squares within blocks and on machine state, repeated t interval",
        }
    }
}

/// One run with what it is explained by, its block's means taken out.
struct Row {
    value: f64,
    candidate: bool,
    /// Arm, place, covariates.
    columns: Vec<f64>,
}

/// The rows of one block.
type Rows = Vec<Row>;

/// Fits the first `most` usable blocks; `None` when there is none.
pub(super) fn fit(blocks: &[Block], most: usize) -> Option<Found> {
    let usable: Vec<Vec<(usize, &Run)>> = blocks.iter().filter_map(usable).take(most).collect();
    let available = available(&usable);
    let rows: Vec<Rows> = usable.iter().map(|runs| rows(runs, &available)).collect();
    let chosen = choose(&rows, available.len());
    let fit = least_squares(&rows, &chosen, None);
    let effect = fit.coefficient(ARM)?;
    let mut found = Found {
        effect,
        error: fit.error(ARM),
        freedom: fit.residual.map_or(0, |residual| residual.freedom),
        variance: fit.residual.map(|residual| residual.variance),
        slope: fit.coefficient(PLACE),
        covariates: chosen.iter().map(|&index| available[index]).collect(),
        uneven: false,
        blocks: rows.len(),
        runs: fit.count,
    };
    pay_for_choice(&mut found, &rows, &chosen);
    listen_to_blocks(&mut found, &fit, &rows, &chosen);
    Some(found)
}

/// The usable runs with their places, if both arms have one.
fn usable(block: &Block) -> Option<Vec<(usize, &Run)>> {
    let usable = |run: &&Run| run.value.is_finite() && run.value > 0.0;
    let runs: Vec<(usize, &Run)> = block.runs.iter().enumerate().filter(|(_, run)| usable(run)).collect();
    let has = |arm: Arm| runs.iter().any(|(_, run)| run.arm == arm);
    (has(Arm::Candidate) && has(Arm::Reference)).then_some(runs)
}

/// The covariates that every run has.
fn available(blocks: &[Vec<(usize, &Run)>]) -> Vec<usize> {
    let runs = || blocks.iter().flatten().map(|(_, run)| *run);
    let count = runs().map(|run| run.covariates.len()).min().unwrap_or(0);
    (0..count).filter(|&index| runs().all(|run| run.covariates[index].is_finite())).collect()
}

fn rows(runs: &[(usize, &Run)], covariates: &[usize]) -> Rows {
    let columns = |place: usize, run: &Run| -> Vec<f64> {
        let arm = if run.arm == Arm::Candidate { 0.5 } else { -0.5 };
        [arm, place as f64].into_iter().chain(covariates.iter().map(|&index| run.covariates[index])).collect()
    };
    let mut rows: Rows = runs
        .iter()
        .map(|(place, run)| Row {
            value: run.value.ln(),
            candidate: run.arm == Arm::Candidate,
            columns: columns(*place, run),
        })
        .collect();
    centre(&mut rows);
    rows
}

/// Takes the block's means out, which is the same as a level of its own for each block (Frisch & Waugh 1933).
fn centre(rows: &mut Rows) {
    let middle = |values: Vec<f64>| mean(&values).unwrap_or(0.0);
    let value = middle(rows.iter().map(|row| row.value).collect());
    rows.iter_mut().for_each(|row| row.value -= value);
    for column in 0..rows.first().map_or(0, |row| row.columns.len()) {
        let value = middle(rows.iter().map(|row| row.columns[column]).collect());
        rows.iter_mut().for_each(|row| row.columns[column] -= value);
    }
}

/// The columns of a model with these covariates.
fn pick(row: &Row, covariates: &[usize]) -> Vec<f64> {
    let own = [row.columns[ARM], row.columns[PLACE]];
    own.into_iter().chain(covariates.iter().map(|&index| row.columns[2 + index])).collect()
}

/// Fits all blocks but the one that is left out.
fn least_squares(blocks: &[Rows], covariates: &[usize], left_out: Option<usize>) -> Fit {
    let kept = || blocks.iter().enumerate().filter(|(index, _)| Some(*index) != left_out);
    let design: Vec<Vec<f64>> = kept().flat_map(|(_, rows)| rows).map(|row| pick(row, covariates)).collect();
    let values: Vec<f64> = kept().flat_map(|(_, rows)| rows).map(|row| row.value).collect();
    Fit::new(&design, &values, kept().count())
}

/// Sum of squares of predicting each block from the others (Stone 1974).
fn held_out(blocks: &[Rows], covariates: &[usize]) -> f64 {
    let squares = |index: usize| -> f64 {
        let fit = least_squares(blocks, covariates, Some(index));
        blocks[index].iter().map(|row| (row.value - fit.expected(&pick(row, covariates))).powi(2)).sum()
    };
    (0..blocks.len()).map(squares).sum()
}

/// The covariates that are surely related to the values and help to predict blocks that were left out, added one by
/// one, the surest first.
fn choose(blocks: &[Rows], count: usize) -> Vec<usize> {
    let mut chosen: Vec<usize> = Vec::new();
    let mut left: Vec<usize> = (0..count).filter(|&index| !belongs_to_arm(blocks, index)).collect();
    while chosen.len() < blocks.len() / BLOCKS_FOR_COVARIATE {
        let with = |index: usize| [chosen.as_slice(), &[index]].concat();
        let chance =
            |index: usize| least_squares(blocks, &with(index), None).chance(PLACE + 1 + chosen.len());
        let chances = left.iter().filter_map(|&index| Some((index, chance(index)?)));
        let surest = chances.min_by(|one, other| one.1.total_cmp(&other.1));
        let Some((index, _)) = surest.filter(|(_, chance)| *chance < RELATED / count as f64) else { break };
        if held_out(blocks, &with(index)) >= (1.0 - LEAST_GAIN) * held_out(blocks, &chosen) {
            break;
        }
        chosen.push(index);
        left.retain(|&other| other != index);
    }
    chosen
}

/// Whether a covariate differs between the arms, or does not vary at all.
fn belongs_to_arm(blocks: &[Rows], index: usize) -> bool {
    let rows = || blocks.iter().flatten();
    let design: Vec<Vec<f64>> = rows().map(|row| pick(row, &[])).collect();
    let values: Vec<f64> = rows().map(|row| row.columns[2 + index]).collect();
    let fit = Fit::new(&design, &values, blocks.len());
    fit.chance(ARM).is_none_or(|chance| chance < BY_CHANCE)
}

/// Covariates that were chosen by the data explain these data too well, so that the variance is taken from the blocks
/// that were left out (Efron 1986 on the optimism of the apparent error).
fn pay_for_choice(found: &mut Found, blocks: &[Rows], chosen: &[usize]) {
    let (false, Some(error), Some(variance)) = (chosen.is_empty(), found.error, found.variance) else {
        return;
    };
    let honest = held_out(blocks, chosen) / (found.runs - found.blocks) as f64;
    if honest > variance {
        found.error = Some(error * (honest / variance).sqrt());
        found.variance = Some(honest);
    }
}

/// Takes the variance from the differences of the blocks where these scatter by more than the runs within them say.
fn listen_to_blocks(found: &mut Found, fit: &Fit, blocks: &[Rows], chosen: &[usize]) {
    let (Some(residual), Some(between)) = (fit.residual, found.blocks.checked_sub(1)) else { return };
    let Some(within) = residual.freedom.checked_sub(between).filter(|&within| within > 0 && between > 0)
    else {
        return;
    };
    let squares: f64 = blocks.iter().map(|rows| disagreement(rows, fit, chosen)).sum();
    let rest = (residual.variance * residual.freedom as f64 - squares).max(0.0);
    let (own, others) = (squares / between as f64, rest / within as f64);
    if f_exceeds(own / others, between as f64, within as f64) < UNEVEN {
        found.error = fit.error(ARM).map(|error| error * (own / residual.variance).sqrt());
        found.freedom = between;
        found.uneven = true;
    }
}

/// Squares of what a block's own difference leaves to be explained: the arms' residual means, weighted by their runs.
fn disagreement(rows: &Rows, fit: &Fit, chosen: &[usize]) -> f64 {
    let of = |candidate: bool| -> Vec<f64> {
        let own = rows.iter().filter(|row| row.candidate == candidate);
        own.map(|row| row.value - fit.expected(&pick(row, chosen))).collect()
    };
    let (candidate, reference) = (of(true), of(false));
    let (ours, theirs) = (candidate.len() as f64, reference.len() as f64);
    let difference = mean(&candidate).unwrap_or(0.0) - mean(&reference).unwrap_or(0.0);
    difference * difference * ours * theirs / (ours + theirs)
}
