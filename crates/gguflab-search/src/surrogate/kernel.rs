//! How alike two places are.
//!
//! The covariance of the effects of all knobs and of all their combinations: a · (Π (1 + bⱼ mⱼ) − 1) with a Matérn
//! function of order 5/2 for each coordinate (ANOVA kernel: Stitson et al. 1999; additive Gaussian processes: Duvenaud,
//! Nickisch & Rasmussen 2011; Matérn: Rasmussen & Williams 2006, eq. 4.17). A small bⱼ makes a knob's effect small and
//! its combinations smaller still: knobs of llama.cpp mostly multiply, so that their logarithms add.

use super::coordinates::Axis;

/// What the likeness depends on besides the places, each as its logarithm in the order of [`Kernel::parameters`].
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Kernel {
    axes: Vec<Axis>,
    /// Distance over which likeness is lost, for each coordinate.
    lengths: Vec<f64>,
    /// How much each coordinate matters.
    shares: Vec<f64>,
    /// Variance of everything together, as a factor.
    amplitude: f64,
}

impl Kernel {
    /// A kernel from the logarithms of its parameters: lengths, shares, amplitude.
    pub(crate) fn new(axes: &[Axis], parameters: &[f64]) -> Kernel {
        let (lengths, rest) = parameters.split_at(axes.len());
        let exponentials = |logs: &[f64]| logs.iter().map(|log| log.exp()).collect();
        Kernel {
            axes: axes.to_vec(),
            lengths: exponentials(lengths),
            shares: exponentials(&rest[..axes.len()]),
            amplitude: rest[axes.len()].exp(),
        }
    }

    /// How many parameters a kernel over so many coordinates has.
    pub(crate) fn parameters(axes: usize) -> usize {
        2 * axes + 1
    }

    /// The covariance of two places.
    pub(crate) fn between(&self, one: &[f64], other: &[f64]) -> f64 {
        let mut product = 1.0;
        for (index, axis) in self.axes.iter().enumerate() {
            let distance = axis.distance(one[index], other[index]);
            let likeness = if distance == 0.0 { 1.0 } else { matern(distance / self.lengths[index]).0 };
            product *= 1.0 + self.shares[index] * likeness;
        }
        self.amplitude * (product - 1.0)
    }

    /// The variance at any place.
    pub(crate) fn variance(&self) -> f64 {
        self.amplitude * (self.shares.iter().map(|share| 1.0 + share).product::<f64>() - 1.0)
    }

    /// The covariance of two places, adding `weight` times its derivatives by the logarithms of the parameters to
    /// `gradient`.
    pub(crate) fn derive(&self, one: &[f64], other: &[f64], weight: f64, gradient: &mut [f64]) {
        let count = self.axes.len();
        let mut factors = [(1.0, 0.0); MOST_AXES];
        let mut product = self.amplitude;
        for (index, axis) in self.axes.iter().enumerate().take(MOST_AXES) {
            let distance = axis.distance(one[index], other[index]);
            let made = if distance == 0.0 { (1.0, 0.0) } else { matern(distance / self.lengths[index]) };
            factors[index] = made;
            product *= 1.0 + self.shares[index] * made.0;
        }
        for (index, (likeness, slope)) in factors.iter().enumerate().take(count) {
            let share = self.shares[index];
            let rest = weight * product / (1.0 + share * likeness) * share;
            gradient[index] += rest * slope;
            gradient[count + index] += rest * likeness;
        }
        gradient[2 * count] += weight * (product - self.amplitude);
    }
}

/// The most coordinates a model can have; further ones are not looked at by the fit.
pub(crate) const MOST_AXES: usize = 48;

/// The Matérn function of order 5/2 at a distance in lengths, and its derivative by the logarithm of the length.
fn matern(distance: f64) -> (f64, f64) {
    let scaled = 5.0_f64.sqrt() * distance;
    let decay = (-scaled).exp();
    let square = scaled * scaled / 3.0;
    ((1.0 + scaled + square) * decay, square * (1.0 + scaled) * decay)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn derivatives_are_those_of_the_covariance() {
        let axes = [Axis::Ordered, Axis::Unordered, Axis::Ordered];
        let parameters = [-0.7, 0.1, 0.3, -1.0, 0.2, -0.4, -1.5];
        let (one, other) = ([0.1, 0.0, 0.9], [0.5, 1.0, 0.3]);
        let at = |parameters: &[f64]| Kernel::new(&axes, parameters).between(&one, &other);
        let mut gradient = [0.0; 7];
        Kernel::new(&axes, &parameters).derive(&one, &other, 2.0, &mut gradient);
        for index in 0..parameters.len() {
            let mut moved = parameters;
            moved[index] += 1e-6;
            let slope = 2.0 * (at(&moved) - at(&parameters)) / 1e-6;
            assert!((gradient[index] - slope).abs() < 1e-5, "{index}: {} {slope}", gradient[index]);
        }
    }

    #[test]
    fn a_place_is_most_like_itself() {
        let kernel = Kernel::new(&[Axis::Ordered, Axis::Ordered], &[-0.7, -0.7, -1.0, -1.0, 0.0]);
        let own = kernel.between(&[0.2, 0.4], &[0.2, 0.4]);
        assert!((own - kernel.variance()).abs() < 1e-12);
        assert!(kernel.between(&[0.2, 0.4], &[0.2, 0.9]) < own);
    }
}
