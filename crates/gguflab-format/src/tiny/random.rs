//! A small seeded generator of normal numbers. Own code, so that the files never change with a dependency.

/// SplitMix64 (Steele, Lea, Flood 2014) feeding the Box-Muller transform (1958).
pub(super) struct Normal {
    state: u64,
    spare: Option<f64>,
}

impl Normal {
    pub(super) fn new(seed: u64) -> Normal {
        Normal { state: seed, spare: None }
    }

    /// The next number of N(0, 1).
    pub(super) fn next(&mut self) -> f64 {
        if let Some(spare) = self.spare.take() {
            return spare;
        }
        // 1 - u lies in (0, 1], so the logarithm is finite.
        let radius = (-2.0 * (1.0 - self.uniform()).ln()).sqrt();
        let (sine, cosine) = (std::f64::consts::TAU * self.uniform()).sin_cos();
        self.spare = Some(radius * sine);
        radius * cosine
    }

    /// The next number of [0, 1), from 53 bits.
    fn uniform(&mut self) -> f64 {
        (self.bits() >> 11) as f64 / (1_u64 << 53) as f64
    }

    fn bits(&mut self) -> u64 {
        self.state = self.state.wrapping_add(0x9e37_79b9_7f4a_7c15);
        mix(self.state)
    }
}

/// Seed of one tensor: each has its own, so that a tensor does not change when others come or go before it.
pub(super) fn tensor_seed(seed: u64, index: u64) -> u64 {
    mix(mix(seed).wrapping_add(index))
}

fn mix(state: u64) -> u64 {
    let once = (state ^ (state >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    let twice = (once ^ (once >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    twice ^ (twice >> 31)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn splitmix_gives_its_published_numbers() {
        // The first outputs for seed 1234567, as in the reference implementation's published test values.
        let mut normal = Normal::new(1_234_567);
        assert_eq!([normal.bits(), normal.bits()], [6_457_827_717_110_365_317, 3_203_168_211_198_807_973]);
    }

    #[test]
    fn numbers_are_standard_normal() {
        let mut normal = Normal::new(7);
        let count = 100_000;
        let numbers: Vec<f64> = (0..count).map(|_| normal.next()).collect();
        let mean = numbers.iter().sum::<f64>() / f64::from(count);
        let variance = numbers.iter().map(|number| (number - mean).powi(2)).sum::<f64>() / f64::from(count);
        let beyond = numbers.iter().filter(|number| number.abs() > 1.96).count() as f64 / f64::from(count);
        // Four standard errors each.
        assert!(mean.abs() < 0.013, "{mean}");
        assert!((variance - 1.0).abs() < 0.018, "{variance}");
        assert!((beyond - 0.05).abs() < 0.003, "{beyond}");
    }
}
