//! A Gaussian process over visits: what a configuration's objective is, and how sure that is.
//!
//! The likelihood is Student's: one visit in twenty is disturbed and says too much. It is fitted as a normal one whose
//! noise is larger at points that their neighbours do not foresee (weights (ν+1)/(ν+z²) of the standardised
//! leave-one-out residuals z: Lange, Little & Taylor 1989; Rasmussen & Williams 2006, section 5.4.2).

use super::coordinates::Axis;
use super::evidence::{Evidence, Prior, climb};
use super::kernel::Kernel;
use nalgebra::{DMatrix, DVector, Dyn, linalg::Cholesky};

/// One place at which something was measured.
#[derive(Debug, Clone)]
pub(crate) struct Datum {
    /// Where.
    pub(crate) place: Vec<f64>,
    /// The measured value, the mean of repeated ones.
    pub(crate) value: f64,
    /// Measurements behind it.
    pub(crate) count: f64,
}

/// What is known of a place.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) struct Belief {
    /// The expected value.
    pub(crate) mean: f64,
    /// Its standard deviation, without the noise of a measurement.
    pub(crate) deviation: f64,
}

/// A fitted process.
pub(crate) struct Gaussian {
    kernel: Kernel,
    places: Vec<Vec<f64>>,
    factor: Cholesky<f64, Dyn>,
    weights: DVector<f64>,
    centre: f64,
    scale: f64,
    /// Values that the fit expects at its own places.
    pub(crate) fitted: Vec<f64>,
}

/// Degrees of freedom of the noise.
const FREEDOM: f64 = 4.0;
/// Steps up the evidence between two looks at the weights.
const STEPS: [usize; 3] = [14, 8, 6];
/// Least variance of standardised values that counts as noise, so that matrices stay invertible.
const LEAST_NOISE: f64 = 1e-6;

impl Gaussian {
    /// Fits a process; `None` with fewer than two points, or when the numbers allow nothing. `noise` is the expected
    /// standard deviation of one measurement, in the unit of the values.
    pub(crate) fn fit(axes: &[Axis], data: &[Datum], noise: f64) -> Option<Gaussian> {
        if data.len() < 2 || axes.is_empty() {
            return None;
        }
        let (centre, scale) = frame(data);
        let values: Vec<f64> = data.iter().map(|datum| (datum.value - centre) / scale).collect();
        let mut evidence = Evidence {
            axes,
            places: data.iter().map(|datum| datum.place.as_slice()).collect(),
            values: DVector::from_vec(values),
            spread: data.iter().map(|datum| 1.0 / datum.count).collect(),
            prior: Prior::new(axes.len(), (noise / scale).max(1e-3)),
        };
        let mut parameters = evidence.prior.start();
        for (look, steps) in STEPS.iter().enumerate() {
            parameters = climb(&evidence, parameters, *steps)?;
            if look + 1 < STEPS.len() {
                let spread = reweigh(&evidence, &parameters, data)?;
                evidence.spread = spread;
            }
        }
        Gaussian::settle(&evidence, &parameters, centre, scale)
    }

    fn settle(evidence: &Evidence, parameters: &[f64], centre: f64, scale: f64) -> Option<Gaussian> {
        let kernel = Kernel::new(evidence.axes, parameters);
        let noise = parameters[Kernel::parameters(evidence.axes.len())].exp();
        let factor = evidence.factor(&kernel, noise)?;
        let weights = factor.solve(&evidence.values);
        let own = |index: usize| {
            let left = (noise * evidence.spread[index]).max(LEAST_NOISE) * weights[index];
            centre + scale * (evidence.values[index] - left)
        };
        Some(Gaussian {
            fitted: (0..evidence.places.len()).map(own).collect(),
            places: evidence.places.iter().map(|place| place.to_vec()).collect(),
            kernel,
            factor,
            weights,
            centre,
            scale,
        })
    }

    /// What is known of some places.
    pub(crate) fn beliefs(&self, places: &[Vec<f64>]) -> Vec<Belief> {
        if places.is_empty() {
            return Vec::new();
        }
        let mut across = DMatrix::from_fn(self.places.len(), places.len(), |row, column| {
            self.kernel.between(&self.places[row], &places[column])
        });
        let means = across.tr_mul(&self.weights);
        // Never fails: the factor has no zero on its diagonal.
        self.factor.l_dirty().solve_lower_triangular_mut(&mut across);
        let variance = self.kernel.variance();
        let belief = |column: usize| {
            let known = across.column(column).norm_squared();
            Belief {
                mean: self.centre + self.scale * means[column],
                deviation: self.scale * (variance - known).max(1e-10).sqrt(),
            }
        };
        (0..places.len()).map(belief).collect()
    }
}

/// Mean and standard deviation of the values.
fn frame(data: &[Datum]) -> (f64, f64) {
    let count = data.len() as f64;
    let mean = data.iter().map(|datum| datum.value).sum::<f64>() / count;
    let square = data.iter().map(|datum| (datum.value - mean).powi(2)).sum::<f64>() / count;
    (mean, square.sqrt().max(1e-9))
}

/// Noise variances relative to the common one, larger where a point surprises.
fn reweigh(evidence: &Evidence, parameters: &[f64], data: &[Datum]) -> Option<Vec<f64>> {
    let kernel = Kernel::new(evidence.axes, parameters);
    let noise = parameters[Kernel::parameters(evidence.axes.len())].exp();
    let factor = evidence.factor(&kernel, noise)?;
    let weights = factor.solve(&evidence.values);
    let inverse = factor.inverse();
    let spread = |index: usize| {
        // Leave-one-out residual over its deviation (Rasmussen & Williams 2006, eq. 5.12).
        let surprise = weights[index].powi(2) / inverse[(index, index)];
        let weight = ((FREEDOM + 1.0) / (FREEDOM + surprise)).min(1.0);
        1.0 / (weight * data[index].count)
    };
    Some((0..data.len()).map(spread).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn wave(place: &[f64]) -> f64 {
        2.0 * (place[0] - 0.3).powi(2) + 0.4 * place[1] + 0.2 * place[0] * place[1]
    }

    fn data(outlier: f64) -> Vec<Datum> {
        let places = (0..30).map(|index| {
            let (one, other) = (f64::from(index % 6) / 5.0, f64::from(index / 6) / 4.0);
            vec![one, other]
        });
        let datum = |(index, place): (usize, Vec<f64>)| {
            let noise = 0.01 * f64::from(u8::from(index % 2 == 0)) - 0.005;
            let value = wave(&place) + noise + if index == 13 { outlier } else { 0.0 };
            Datum { place, value, count: 1.0 }
        };
        places.enumerate().map(datum).collect()
    }

    #[test]
    fn it_foretells_what_it_has_not_seen() {
        let axes = [Axis::Ordered, Axis::Ordered];
        for (outlier, most) in [(0.0, 0.02), (0.5, 0.06)] {
            let process = Gaussian::fit(&axes, &data(outlier), 0.01).unwrap();
            let unseen = [vec![0.1, 0.6], vec![0.5, 0.5], vec![0.9, 0.1]];
            for (place, belief) in unseen.iter().zip(process.beliefs(&unseen)) {
                let error = (belief.mean - wave(place)).abs();
                assert!(error < most, "{place:?} with {outlier}: {belief:?}, {}", wave(place));
                assert!(error < 4.0 * belief.deviation + 0.01, "{belief:?}");
            }
        }
    }

    #[test]
    fn nothing_comes_of_nothing() {
        assert!(Gaussian::fit(&[Axis::Ordered], &[], 0.01).is_none());
        let same = Datum { place: vec![0.5], value: 1.0, count: 1.0 };
        let process = Gaussian::fit(&[Axis::Ordered], &[same.clone(), same], 0.01).unwrap();
        let belief = process.beliefs(&[vec![0.2]])[0];
        assert!(belief.mean.is_finite() && belief.deviation.is_finite());
    }
}
