//! Effects of many knobs that were changed together: ordinary least squares on levels.
//!
//! value = base + Σ effect of each knob's level + noise, each effect against the level of the reference (Montgomery,
//! *Design and Analysis of Experiments*, 10.3). An effect that the data cannot tell from others is not given.

use crate::blocks::Residual;
use crate::estimate::Estimate;
use crate::least_squares::Fit;

/// One value at one level of every knob.
#[derive(Debug, Clone, PartialEq)]
pub struct Observation {
    /// The level of each knob, from 0.
    pub levels: Vec<usize>,
    /// The value, on the scale on which the effects add up: usually a logarithm.
    pub value: f64,
}

/// What the model says.
#[derive(Debug, Clone, PartialEq)]
pub struct Additive {
    /// For each knob the effect of each of its levels against the reference's; `None` for the reference's own level
    /// and for what cannot be told.
    pub effects: Vec<Vec<Option<Estimate>>>,
    /// What the model leaves unexplained: noise, and how settings act together.
    pub residual: Option<Residual>,
}

/// Fits the model; `counts` is the number of levels of each knob, `reference` the level of each that effects are
/// compared with. Observations with a value that is not finite or with levels that do not exist are left out.
#[must_use]
pub fn additive(
    counts: &[usize],
    reference: &[usize],
    observations: &[Observation],
    confidence: f64,
) -> Additive {
    let usable = |one: &&Observation| {
        one.value.is_finite()
            && one.levels.len() == counts.len()
            && one.levels.iter().zip(counts).all(|(level, count)| level < count)
    };
    let rows: Vec<&Observation> = observations.iter().filter(usable).collect();
    let terms = terms(counts, reference, &rows);
    let design: Vec<Vec<f64>> = rows.iter().map(|row| design_row(&terms, &row.levels)).collect();
    let fit = Fit::new(&design, &rows.iter().map(|row| row.value).collect::<Vec<f64>>(), 0);
    let mut effects: Vec<Vec<Option<Estimate>>> = counts.iter().map(|count| vec![None; *count]).collect();
    for (index, (knob, level)) in terms.iter().enumerate() {
        effects[*knob][*level] = effect(&fit, index + 1, confidence);
    }
    Additive { effects, residual: fit.residual }
}

/// The levels that occur, besides the reference's: one column each.
fn terms(counts: &[usize], reference: &[usize], rows: &[&Observation]) -> Vec<(usize, usize)> {
    let occurs = |knob: usize, level: usize| rows.iter().any(|row| row.levels[knob] == level);
    let levels =
        counts.iter().enumerate().flat_map(|(knob, count)| (0..*count).map(move |level| (knob, level)));
    levels.filter(|(knob, level)| reference.get(*knob) != Some(level) && occurs(*knob, *level)).collect()
}

fn design_row(terms: &[(usize, usize)], levels: &[usize]) -> Vec<f64> {
    let dummies = terms.iter().map(|(knob, level)| f64::from(u8::from(levels[*knob] == *level)));
    std::iter::once(1.0).chain(dummies).collect()
}

fn effect(fit: &Fit, column: usize, confidence: f64) -> Option<Estimate> {
    let value = fit.coefficient(column)?;
    let interval = fit.interval(column, confidence);
    Some(Estimate { value, interval, count: fit.count, method: "additive model, t interval" })
}
