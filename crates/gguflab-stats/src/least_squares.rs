//! Ordinary least squares with columns that may depend on each other.

use crate::blocks::Residual;
use crate::estimate::Interval;
use crate::special::{student_cumulative, student_quantile};

/// Columns that are this small after all others were taken out count as none.
const TINY: f64 = 1e-8;

/// A fitted linear model.
pub(crate) struct Fit {
    coefficients: Vec<f64>,
    /// A generalised inverse of X'X; rows of columns that depend on others are zero.
    inverse: Vec<Vec<f64>>,
    estimable: Vec<bool>,
    /// What the model leaves unexplained.
    pub(crate) residual: Option<Residual>,
    /// Rows.
    pub(crate) count: usize,
}

impl Fit {
    /// Fits rows to values; `spent` parameters were taken out of both before (such as the means of groups).
    pub(crate) fn new(design: &[Vec<f64>], values: &[f64], spent: usize) -> Fit {
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
        let freedom = values.len().saturating_sub(rank + spent);
        let residual = (freedom > 0).then(|| Residual { variance: squares / freedom as f64, freedom });
        Fit { estimable: estimable(&inverse, &normal), coefficients, inverse, residual, count: values.len() }
    }

    /// A coefficient; `None` for one that the data cannot tell from others.
    pub(crate) fn coefficient(&self, column: usize) -> Option<f64> {
        self.coefficients.get(column).copied().filter(|value| self.estimable[column] && value.is_finite())
    }

    /// Standard error of a coefficient.
    pub(crate) fn error(&self, column: usize) -> Option<f64> {
        self.residual.map(|residual| (residual.variance * self.inverse[column][column]).max(0.0).sqrt())
    }

    /// Student's t interval of a coefficient.
    pub(crate) fn interval(&self, column: usize, confidence: f64) -> Option<Interval> {
        let value = self.coefficient(column)?;
        let freedom = self.residual?.freedom as f64;
        let half = student_quantile(0.5 + confidence / 2.0, freedom) * self.error(column)?;
        half.is_finite().then_some(Interval { low: value - half, high: value + half, confidence })
    }

    /// The probability of a coefficient at least this far from 0 where there is none (Student's t test).
    pub(crate) fn chance(&self, column: usize) -> Option<f64> {
        let ratio = (self.coefficient(column)? / self.error(column)?).abs();
        let chance = 2.0 * student_cumulative(-ratio, self.residual?.freedom as f64);
        chance.is_finite().then_some(chance)
    }

    /// What the model expects of a row; coefficients that cannot be told count as 0.
    pub(crate) fn expected(&self, row: &[f64]) -> f64 {
        dot(row, &self.coefficients)
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
