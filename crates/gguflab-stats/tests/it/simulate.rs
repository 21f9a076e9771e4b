//! Seeded random series.

use gguflab_stats::simulation;
use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;

/// A generator for one simulation.
pub(crate) fn generator(seed: u64) -> ChaCha8Rng {
    ChaCha8Rng::seed_from_u64(seed)
}

/// A standard normal number.
pub(crate) fn normal(generator: &mut ChaCha8Rng) -> f64 {
    simulation::normal(&mut || generator.random())
}

/// Independent standard normal numbers.
pub(crate) fn normals(generator: &mut ChaCha8Rng, count: usize) -> Vec<f64> {
    (0..count).map(|_| normal(generator)).collect()
}

/// A stationary autoregressive series of order 1 with standard normal margins.
pub(crate) fn autoregressive(generator: &mut ChaCha8Rng, count: usize, carried: f64) -> Vec<f64> {
    let fresh = (1.0 - carried * carried).sqrt();
    let mut value = normal(generator);
    (0..count)
        .map(|_| {
            let now = value;
            value = carried * value + fresh * normal(generator);
            now
        })
        .collect()
}

/// Share of the simulations in which the interval covers the true value.
pub(crate) fn coverage(runs: u64, mut covers: impl FnMut(&mut ChaCha8Rng) -> bool) -> f64 {
    let covered = (0..runs).filter(|run| covers(&mut generator(0x5eed ^ run))).count();
    covered as f64 / runs as f64
}
