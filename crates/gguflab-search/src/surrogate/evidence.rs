//! How well a process explains what was measured, and the climb to the parameters that explain it best.
//!
//! Logarithm of the marginal likelihood and its gradient: Rasmussen & Williams 2006, eqs. 5.8 and 5.9; normal priors on
//! the logarithms of all parameters; resilient propagation (Riedmiller & Braun 1993), which needs neither step length
//! nor line search.

use super::coordinates::Axis;
use super::kernel::Kernel;
use nalgebra::{DMatrix, DVector, Dyn, linalg::Cholesky};

/// What was measured, standardised, and what is believed beforehand.
pub(crate) struct Evidence<'data> {
    pub(crate) axes: &'data [Axis],
    pub(crate) places: Vec<&'data [f64]>,
    pub(crate) values: DVector<f64>,
    /// Noise variance of each value relative to that of one measurement.
    pub(crate) spread: Vec<f64>,
    pub(crate) prior: Prior,
}

/// Normal distributions of the logarithms of the parameters: mean and standard deviation.
pub(crate) struct Prior(Vec<(f64, f64)>);

/// Medians and spreads: a knob's effect changes over half of its range; it matters a third of what it could; and
/// values scatter by one standard deviation in all.
const LENGTH: (f64, f64) = (-0.5, 0.7);
const SHARE: (f64, f64) = (-1.2, 1.0);
const SPREAD_OF_AMPLITUDE: f64 = 1.0;
const SPREAD_OF_NOISE: f64 = 0.8;

impl Prior {
    /// For so many coordinates and this standard deviation of a measurement, in standardised units.
    pub(crate) fn new(axes: usize, noise: f64) -> Prior {
        let mut prior = vec![LENGTH; axes];
        prior.extend(vec![SHARE; axes]);
        let largest = (1.0 + SHARE.0.exp()).powi(i32::try_from(axes).unwrap_or(i32::MAX)) - 1.0;
        prior.push((-largest.ln(), SPREAD_OF_AMPLITUDE));
        prior.push((2.0 * noise.ln(), 2.0 * SPREAD_OF_NOISE));
        Prior(prior)
    }

    /// The medians.
    pub(crate) fn start(&self) -> Vec<f64> {
        self.0.iter().map(|(mean, _)| *mean).collect()
    }
}

impl Evidence<'_> {
    /// The Cholesky factor of the covariance of all values.
    pub(crate) fn factor(&self, kernel: &Kernel, noise: f64) -> Option<Cholesky<f64, Dyn>> {
        let count = self.places.len();
        let mut matrix = DMatrix::zeros(count, count);
        for column in 0..count {
            for row in column..count {
                matrix[(row, column)] = kernel.between(self.places[row], self.places[column]);
            }
            matrix[(column, column)] += (noise * self.spread[column]).max(1e-6);
        }
        Cholesky::new(matrix)
    }

    /// Logarithm of evidence times prior, and its gradient; `None` where the covariance cannot be factored.
    fn at(&self, parameters: &[f64]) -> Option<(f64, Vec<f64>)> {
        let (count, last) = (self.places.len(), parameters.len() - 1);
        let kernel = Kernel::new(self.axes, parameters);
        let noise = parameters[last].exp();
        let factor = self.factor(&kernel, noise)?;
        let weights = factor.solve(&self.values);
        let determinant: f64 = factor.l_dirty().diagonal().iter().map(|entry| entry.ln()).sum();
        let mut value = -0.5 * self.values.dot(&weights) - determinant;
        let inverse = factor.inverse();
        let mut gradient = vec![0.0; parameters.len()];
        for column in 0..count {
            let pull = |row: usize| weights[row] * weights[column] - inverse[(row, column)];
            kernel.derive(self.places[column], self.places[column], 0.5 * pull(column), &mut gradient);
            for row in column + 1..count {
                kernel.derive(self.places[row], self.places[column], pull(row), &mut gradient);
            }
            gradient[last] += 0.5 * pull(column) * noise * self.spread[column];
        }
        for (index, (mean, deviation)) in self.prior.0.iter().enumerate() {
            let off = (parameters[index] - mean) / deviation;
            value -= 0.5 * off * off;
            gradient[index] -= off / deviation;
        }
        value.is_finite().then_some((value, gradient))
    }
}

/// First, least and largest step, in logarithms.
const STEP: (f64, f64, f64) = (0.25, 1e-3, 1.0);

/// So many steps up from some parameters; the best parameters that were met.
pub(crate) fn climb(evidence: &Evidence, start: Vec<f64>, steps: usize) -> Option<Vec<f64>> {
    let (mut at, mut best) = (start.clone(), start);
    let mut highest = f64::NEG_INFINITY;
    let mut stride = vec![STEP.0; at.len()];
    let mut before = vec![0.0; at.len()];
    for _ in 0..=steps {
        let Some((value, gradient)) = evidence.at(&at) else { break };
        if value > highest {
            highest = value;
            best.clone_from(&at);
        }
        for (index, slope) in gradient.iter().enumerate() {
            let turned = slope * before[index];
            let factor = if turned > 0.0 {
                1.2
            } else if turned < 0.0 {
                0.5
            } else {
                1.0
            };
            stride[index] = (stride[index] * factor).clamp(STEP.1, STEP.2);
            before[index] = if turned < 0.0 { 0.0 } else { *slope };
            if before[index] != 0.0 {
                at[index] += stride[index] * slope.signum();
            }
        }
    }
    highest.is_finite().then_some(best)
}
