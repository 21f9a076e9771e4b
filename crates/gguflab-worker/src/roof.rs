//! What the processor can do at best: bytes read from memory and multiply-adds in a second.

use gguflab_types::operation::Roof;
use std::hint::black_box;
use std::time::Instant;

/// Bytes that each thread reads: more than its share of any cache.
const BYTES: usize = 128 << 20;
/// Rounds; the best one counts, as in STREAM (McCalpin 1995).
const ROUNDS: usize = 5;
/// Steps of multiply-adds in a round of each thread.
const STEPS: usize = 1 << 19;
/// Numbers that a thread multiplies at once, in one array: enough independent chains to hide the latency of an operation,
/// and few enough to stay in registers. (As an array of arrays the compiler leaves them in memory.)
const CHAINS: usize = 128;

/// Measures both with so many threads.
pub(crate) fn measure(threads: u32) -> Roof {
    let threads = threads.max(1);
    let data: Vec<Vec<u64>> = (0..threads).map(|_| vec![1; BYTES / size_of::<u64>()]).collect();
    let read = best(|| {
        std::thread::scope(|scope| {
            for part in &data {
                scope.spawn(|| black_box(sum(black_box(part))));
            }
        });
    });
    let computed = best(|| {
        std::thread::scope(|scope| {
            for _ in 0..threads {
                scope.spawn(|| black_box(multiply_add(black_box(0.999))));
            }
        });
    });
    let operations = (2 * STEPS * CHAINS) as f64;
    Roof {
        threads,
        bandwidth: f64::from(threads) * BYTES as f64 / read,
        arithmetic: f64::from(threads) * operations / computed,
    }
}

/// Seconds of the fastest round.
fn best(mut round: impl FnMut()) -> f64 {
    let seconds = (0..ROUNDS).map(|_| {
        let started = Instant::now();
        round();
        started.elapsed().as_secs_f64()
    });
    seconds.fold(f64::INFINITY, f64::min).max(f64::MIN_POSITIVE)
}

fn sum(data: &[u64]) -> u64 {
    let mut sums = [0u64; 32];
    for block in data.chunks_exact(32) {
        for (sum, value) in sums.iter_mut().zip(block) {
            *sum = sum.wrapping_add(*value);
        }
    }
    sums.iter().fold(0, |all, sum| all.wrapping_add(*sum))
}

fn multiply_add(factor: f32) -> f32 {
    let mut chains = [1.0f32; CHAINS];
    for _ in 0..STEPS {
        for value in &mut chains {
            *value = fused(*value, factor, 0.001);
        }
    }
    chains.iter().sum()
}

/// One instruction where the processor that this is built for has one; elsewhere a call of a function would be slower
/// than two instructions.
fn fused(value: f32, factor: f32, summand: f32) -> f32 {
    if cfg!(any(target_feature = "fma", target_arch = "aarch64")) {
        value.mul_add(factor, summand)
    } else {
        value * factor + summand
    }
}

#[cfg(test)]
mod tests {
    #[test]
    fn a_roof_is_made_of_numbers() {
        let roof = super::measure(1);
        // Far below the slowest machine that can run this.
        assert!(roof.bandwidth > 1e7 && roof.arithmetic > 1e7, "{roof:?}");
        assert!(roof.bandwidth.is_finite() && roof.arithmetic.is_finite());
    }
}
