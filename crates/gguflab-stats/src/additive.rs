//! Effects of many knobs that were changed together: ordinary least squares on levels.
//!
//! value = base + Σ effect of each knob's level + noise, each effect against the level of the reference (Montgomery,
//! *Design and Analysis of Experiments*, 10.3). An effect that the data cannot tell from others is not given.

use crate::blocks::Residual;
use crate::estimate::{Estimate, Interval};
use crate::special::student_quantile;

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

/// Columns that are this small after all others were taken out count as none.
const TINY: f64 = 1e-8;

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
    let fit = Fit::new(&design, &rows.iter().map(|row| row.value).collect::<Vec<f64>>());
    let mut effects: Vec<Vec<Option<Estimate>>> = counts.iter().map(|count| vec![None; *count]).collect();
    for (index, (knob, level)) in terms.iter().enumerate() {
        effects[*knob][*level] = fit.effect(index + 1, confidence);
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

struct Fit {
    coefficients: Vec<f64>,
    /// A generalised inverse of X'X; rows of columns that depend on others are zero.
    inverse: Vec<Vec<f64>>,
    estimable: Vec<bool>,
    residual: Option<Residual>,
    count: usize,
}

impl Fit {
    fn new(design: &[Vec<f64>], values: &[f64]) -> Fit {
        let columns = design.first().map_or(0, Vec::len);
        let product = |one: usize, other: usize| design.iter().map(|row| row[one] * row[other]).sum::<f64>();
        let normal: Vec<Vec<f64>> =
            (0..columns).map(|one| (0..columns).map(|other| product(one, other)).collect()).collect();
        let (inverse, rank) = generalised_inverse(&normal);
        let moments: Vec<f64> = (0..columns)
            .map(|column| design.iter().zip(values).map(|(row, value)| row[column] * value).sum())
            .collect();
        let coefficients: Vec<f64> = inverse.iter().map(|row| dot(row, &moments)).collect();
        let squares: f64 =
            design.iter().zip(values).map(|(row, value)| (value - dot(row, &coefficients)).powi(2)).sum();
        let freedom = values.len().saturating_sub(rank);
        let residual = (freedom > 0).then(|| Residual { variance: squares / freedom as f64, freedom });
        Fit { estimable: estimable(&inverse, &normal), coefficients, inverse, residual, count: values.len() }
    }

    fn effect(&self, column: usize, confidence: f64) -> Option<Estimate> {
        let value = *self.coefficients.get(column)?;
        if !self.estimable[column] || !value.is_finite() {
            return None;
        }
        let interval = self.residual.and_then(|residual| {
            let error = (residual.variance * self.inverse[column][column]).max(0.0).sqrt();
            let half = student_quantile(0.5 + confidence / 2.0, residual.freedom as f64) * error;
            half.is_finite().then_some(Interval { low: value - half, high: value + half, confidence })
        });
        Some(Estimate { value, interval, count: self.count, method: "additive model, t interval" })
    }
}

/// Inverse of the part of a symmetric matrix whose columns do not depend on those before (Gauss and Jordan), with
/// zeros elsewhere, and its rank.
fn generalised_inverse(matrix: &[Vec<f64>]) -> (Vec<Vec<f64>>, usize) {
    let size = matrix.len();
    let mut left: Vec<Vec<f64>> = matrix.to_vec();
    let mut right: Vec<Vec<f64>> =
        (0..size).map(|row| (0..size).map(|column| f64::from(u8::from(row == column))).collect()).collect();
    let mut kept = vec![false; size];
    for pivot in 0..size {
        if left[pivot][pivot] <= TINY * matrix[pivot][pivot].max(TINY) {
            continue;
        }
        kept[pivot] = true;
        let scale = 1.0 / left[pivot][pivot];
        scale_row(&mut left[pivot], scale);
        scale_row(&mut right[pivot], scale);
        for row in (0..size).filter(|row| *row != pivot) {
            let factor = left[row][pivot];
            let (from_left, from_right) = (left[pivot].clone(), right[pivot].clone());
            subtract(&mut left[row], &from_left, factor);
            subtract(&mut right[row], &from_right, factor);
        }
    }
    for (row, values) in right.iter_mut().enumerate() {
        let dropped = values.iter_mut().zip(&kept).filter(|(_, column)| !kept[row] || !**column);
        dropped.for_each(|(value, _)| *value = 0.0);
    }
    (right, kept.into_iter().filter(|kept| *kept).count())
}

/// A coefficient is one of the data's own when G·X'X leaves it as it is (Searle, *Linear Models*, 5.4).
fn estimable(inverse: &[Vec<f64>], normal: &[Vec<f64>]) -> Vec<bool> {
    let size = normal.len();
    let entry = |row: usize, column: usize| {
        (0..size).map(|middle| inverse[row][middle] * normal[middle][column]).sum::<f64>()
    };
    let wanted = |row: usize, column: usize| f64::from(u8::from(row == column));
    (0..size)
        .map(|row| (0..size).all(|column| (entry(row, column) - wanted(row, column)).abs() < 1e-6))
        .collect()
}

fn dot(one: &[f64], other: &[f64]) -> f64 {
    one.iter().zip(other).map(|(one, other)| one * other).sum()
}

fn scale_row(row: &mut [f64], factor: f64) {
    row.iter_mut().for_each(|value| *value *= factor);
}

fn subtract(row: &mut [f64], other: &[f64], factor: f64) {
    row.iter_mut().zip(other).for_each(|(value, other)| *value -= factor * other);
}
