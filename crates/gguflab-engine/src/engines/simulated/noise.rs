//! What makes two repetitions differ: white noise, drift, outliers, warming up, heat.
//!
//! All of it comes from the seed, the number of the trial and the configuration; nothing from a clock.

use super::parameters::Parameters;
use gguflab_types::Configuration;
use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;

/// Standard deviation of a repetition, as a share.
const WHITE: f64 = 0.012;
/// Standard deviation of one step of the drift, and how much of the drift stays from trial to trial (an
/// autoregressive process of order 1; its own standard deviation is then 0.7 %).
const DRIFT_STEP: f64 = 0.003;
const DRIFT_KEPT: f64 = 0.9;
/// Share of the repetitions that are outliers; every second one shows in the machine's state.
const OUTLIERS: f64 = 0.05;
/// Speed that an outlier loses, as a share.
const OUTLIER_LOSS: std::ops::Range<f64> = 0.04..0.20;
/// Time that the first repetition after a load takes longer, as a share, and what is left of it in the next.
const COLD: f64 = 0.06;
const COLD_KEPT: f64 = 0.1;
/// Virtual seconds after which most of the loss to heat is there.
const HEATING: f64 = 120.0;
/// Standard deviation of a gap between tokens, and its correlation with the gap before.
const GAP: f64 = 0.03;
const GAP_KEPT: f64 = 0.4;

pub(super) struct Noise {
    seed: u64,
    strength: f64,
    thermal: f64,
    /// One step for each trial, so that the drift depends on the number of trials only.
    drifting: ChaCha8Rng,
    drift: f64,
    generator: ChaCha8Rng,
    cold: f64,
}

/// What befalls one repetition.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Disturbance {
    /// Factor on its times.
    pub(super) factor: f64,
    /// Processors that other programs use meanwhile.
    pub(super) foreign_processors: f64,
    /// Clock as a share of the highest.
    pub(super) clock: f64,
}

impl Noise {
    pub(super) fn new(parameters: &Parameters) -> Noise {
        Noise {
            seed: parameters.seed,
            strength: parameters.noise,
            thermal: parameters.thermal,
            drifting: ChaCha8Rng::seed_from_u64(parameters.seed),
            drift: 0.0,
            generator: ChaCha8Rng::seed_from_u64(parameters.seed),
            cold: 0.0,
        }
    }

    pub(super) fn start_trial(&mut self, number: u64, configuration: &Configuration) {
        self.drift = DRIFT_KEPT * self.drift + DRIFT_STEP * normal(&mut self.drifting);
        self.generator = ChaCha8Rng::seed_from_u64(self.seed ^ hash(&configuration.key()));
        self.generator.set_stream(number + 1);
    }

    /// The model was loaded: what follows is slower at first.
    pub(super) fn warm_up(&mut self) {
        self.cold = COLD;
    }

    pub(super) fn next_repetition(&mut self, clock: f64) -> Disturbance {
        let white = WHITE * normal(&mut self.generator);
        let outlier: f64 = self.generator.random();
        let loss = self.generator.random_range(OUTLIER_LOSS);
        let loss = if self.strength > 0.0 && outlier < OUTLIERS { loss } else { 0.0 };
        let seen = outlier < OUTLIERS / 2.0 && loss > 0.0;
        let heat = 1.0 - self.thermal * (1.0 - (-clock / HEATING).exp());
        let random = 1.0 + self.strength * (white + self.drift + self.cold);
        self.cold *= COLD_KEPT;
        // However strong the noise, time never runs backwards.
        let factor = random.max(0.05) / (1.0 - loss) / heat;
        Disturbance { factor, foreign_processors: if seen { 1.0 + 5.0 * loss } else { 0.0 }, clock: heat }
    }

    /// A factor close to 1, for what is not measured closely.
    pub(super) fn small_factor(&mut self) -> f64 {
        (1.0 + self.strength * WHITE * normal(&mut self.generator)).max(0.05)
    }

    /// Gaps between tokens around their mean.
    pub(super) fn gaps(&mut self, count: usize, mean: f64) -> Vec<f64> {
        let mut deviation = 0.0;
        let fresh = (1.0 - GAP_KEPT * GAP_KEPT).sqrt();
        let gap = |_| {
            deviation = GAP_KEPT * deviation + fresh * normal(&mut self.generator);
            mean * (1.0 + self.strength * GAP * deviation).max(0.05)
        };
        (0..count).map(gap).collect()
    }
}

/// A standard normal number (Box and Muller 1958).
fn normal(generator: &mut ChaCha8Rng) -> f64 {
    let (radius, angle): (f64, f64) = (generator.random(), generator.random());
    (-2.0 * (1.0 - radius).ln()).sqrt() * (std::f64::consts::TAU * angle).cos()
}

/// FNV-1a (Fowler, Noll and Vo), 64 bits: the same on every machine and in every version.
fn hash(text: &str) -> u64 {
    text.bytes()
        .fold(0xcbf2_9ce4_8422_2325, |hash, byte| (hash ^ u64::from(byte)).wrapping_mul(0x100_0000_01b3))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn factors(target: &str, trials: u64) -> Vec<f64> {
        let mut noise = Noise::new(&Parameters::parse(target).unwrap());
        let mut factors = Vec::new();
        for number in 0..trials {
            noise.start_trial(number, &Configuration::new());
            factors.extend((0..5).map(|_| noise.next_repetition(0.0).factor));
        }
        factors
    }

    #[test]
    fn the_noise_has_the_size_that_it_says() {
        let factors = factors("laptop", 2000);
        let count = factors.len() as f64;
        let mean = factors.iter().sum::<f64>() / count;
        // 5 % outliers that lose 12 % on average: 0.7 % on the mean.
        assert!((mean - 1.007).abs() < 0.003, "{mean}");
        let outliers = factors.iter().filter(|factor| **factor > 1.055).count() as f64 / count;
        assert!((0.03..0.06).contains(&outliers), "{outliers}");
        let middle: Vec<f64> = factors.into_iter().filter(|factor| (factor - 1.0).abs() < 0.04).collect();
        let centre = middle.iter().sum::<f64>() / middle.len() as f64;
        let variance = middle.iter().map(|value| (value - centre).powi(2)).sum::<f64>() / middle.len() as f64;
        assert!((0.011..0.016).contains(&variance.sqrt()), "{}", variance.sqrt());
    }

    #[test]
    fn no_noise_is_none_and_heat_takes_its_share() {
        assert!(factors("laptop,noise=0", 20).iter().all(|&factor| factor == 1.0));
        let mut noise = Noise::new(&Parameters::parse("laptop,noise=0,thermal=0.2").unwrap());
        assert!((noise.next_repetition(1e6).factor - 1.25).abs() < 1e-9);
    }

    #[test]
    fn gaps_keep_their_mean_and_follow_each_other() {
        let mut noise = Noise::new(&Parameters::parse("laptop").unwrap());
        let gaps = noise.gaps(20_000, 0.02);
        let mean = gaps.iter().sum::<f64>() / gaps.len() as f64;
        assert!((mean / 0.02 - 1.0).abs() < 2e-3, "{mean}");
        let pairs = gaps.windows(2).map(|pair| (pair[0] - mean) * (pair[1] - mean)).sum::<f64>();
        let squares = gaps.iter().map(|gap| (gap - mean).powi(2)).sum::<f64>();
        assert!((pairs / squares - GAP_KEPT).abs() < 0.05, "{}", pairs / squares);
    }
}
