//! How likely a boundary is crossed, by numerical integration.
//!
//! The sum of k independent standard normal block statistics is a random walk. Its density over the region in which
//! the sequence goes on follows from that of the look before (Armitage, McPherson & Rowe 1969; Jennison & Turnbull,
//! *Group Sequential Methods*, 2000, chapter 19). Gauss–Legendre nodes, no further apart than a third of a step's
//! standard deviation where they are densest, give ten digits.

use super::Design;
use crate::special::{normal_cumulative, normal_density};
use std::f64::consts::PI;

/// Beyond this many standard deviations a step is not followed: 1e-17 of all steps.
const FAR: f64 = 8.5;

/// The boundary at each look: C·(k/most)^(shape − 1/2), crossed with probability `error` in all.
pub(super) fn critical(design: &Design) -> Vec<f64> {
    let shape = |constant: f64| -> Vec<f64> {
        let share = |blocks: usize| blocks as f64 / design.most as f64;
        (design.first..=design.most).map(|blocks| constant * share(blocks).powf(design.shape - 0.5)).collect()
    };
    let error = |constant: f64| -> f64 {
        crossings(design, &shape(constant), 0.0).iter().map(|(up, down)| up + down).sum()
    };
    let (mut low, mut high) = (0.0, 1.0);
    while error(high) > design.error && high < 64.0 {
        (low, high) = (high, 2.0 * high);
    }
    while high - low > 1e-9 {
        let middle = f64::midpoint(low, high);
        if error(middle) > design.error { low = middle } else { high = middle }
    }
    shape(high)
}

/// For each look the probability of crossing first there, above and below, with blocks of mean `shift` and variance 1.
pub(super) fn crossings(design: &Design, critical: &[f64], shift: f64) -> Vec<(f64, f64)> {
    let mut found = Vec::with_capacity(critical.len());
    // Where the walk stands, and how much probability: at first all of it in 0.
    let mut walk = vec![(0.0, 1.0)];
    let mut step = design.first as f64;
    for (look, critical) in critical.iter().enumerate() {
        let edge = critical * ((design.first + look) as f64).sqrt();
        let (mean, spread) = (shift * step, step.sqrt());
        let beyond = |distance: f64| normal_cumulative(-distance / spread);
        let sum = |tail: &dyn Fn(f64) -> f64| walk.iter().map(|(at, mass)| mass * tail(*at)).sum::<f64>();
        let up = sum(&|at| beyond(edge - at - mean));
        let down = sum(&|at| beyond(edge + at + mean));
        found.push((up, down));
        walk = onwards(&walk, edge, mean, spread);
        step = 1.0;
    }
    found
}

/// One step of the walk within the region in which it goes on.
fn onwards(walk: &[(f64, f64)], edge: f64, mean: f64, spread: f64) -> Vec<(f64, f64)> {
    let count = ((6.0 * edge).ceil() as usize).max(32);
    let density = |to: f64| -> f64 {
        let from = walk.iter().map(|(at, mass)| ((to - at - mean) / spread, mass));
        let near = from.filter(|(distance, _)| distance.abs() < FAR);
        near.map(|(distance, mass)| mass * normal_density(distance) / spread).sum()
    };
    let nodes = legendre(count).into_iter().map(|(node, weight)| (edge * node, edge * weight));
    nodes.map(|(to, weight)| (to, weight * density(to))).collect()
}

/// Nodes and weights of Gauss–Legendre integration over [−1, 1]: the roots of the Legendre polynomial by Newton's
/// method from Abramowitz & Stegun 22.16.6, weights by 25.4.29.
fn legendre(count: usize) -> Vec<(f64, f64)> {
    let degree = count as f64;
    let root = |index: usize| {
        let mut x = (PI * (index as f64 + 0.75) / (degree + 0.5)).cos();
        let mut slope = 1.0;
        for _ in 0..50 {
            let (value, before) = polynomial(count, x);
            slope = degree * (x * value - before) / (x * x - 1.0);
            let step = value / slope;
            x -= step;
            if step.abs() < 1e-15 {
                break;
            }
        }
        (x, 2.0 / ((1.0 - x * x) * slope * slope))
    };
    (0..count).map(root).collect()
}

/// The Legendre polynomials of a degree and of the one below (A&S 22.7.10).
fn polynomial(degree: usize, x: f64) -> (f64, f64) {
    let (mut value, mut before) = (1.0, 0.0);
    for step in 1..=degree {
        let n = step as f64;
        (value, before) = (((2.0 * n - 1.0) * x * value - (n - 1.0) * before) / n, value);
    }
    (value, before)
}
