//! A synthetic machine: seconds of a request as a function of the configuration, with noise and drift.

use gguflab_search::tuning::next;
use gguflab_search::{Conclusion, Space, Step, TunePlan, Visit};
use gguflab_types::knob::Facts;
use gguflab_types::{Configuration, Outcome, Purpose};
use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;

/// Eight cores with two threads each, no GPU: 6 knobs, 2,240 points.
pub(crate) fn facts() -> Facts {
    Facts { physical_cores: 8, logical_cores: 16, layers: 32, ..Facts::default() }
}

/// A small machine with a GPU.
pub(crate) fn gpu_facts() -> Facts {
    Facts { gpus: 1, prompt_tokens: 4096, context: 5000, experts: 8, ..facts() }
}

/// How the measured time strays from the true one.
#[derive(Clone, Copy)]
pub(crate) struct Noise {
    /// Standard deviation from visit to visit, as a fraction.
    pub(crate) white: f64,
    /// Standard deviation of the slow drift (autoregressive, 0.9 from visit to visit).
    pub(crate) drift: f64,
    /// Slowing down over 40 visits, as a fraction.
    pub(crate) ramp: f64,
    /// Share of visits that are 4 to 20 % too slow.
    pub(crate) outliers: f64,
}

/// The noise of most tests.
pub(crate) const NOISE: Noise = Noise { white: 0.012, drift: 0.01, ramp: 0.0, outliers: 0.0 };

/// A generator for a seed.
pub(crate) fn generator(seed: u64) -> ChaCha8Rng {
    ChaCha8Rng::seed_from_u64(seed)
}

/// A standard normal number (Box & Muller 1958).
pub(crate) fn normal(generator: &mut ChaCha8Rng) -> f64 {
    let radius: f64 = 1.0 - generator.random::<f64>();
    let angle: f64 = generator.random();
    (-2.0 * radius.ln()).sqrt() * (std::f64::consts::TAU * angle).cos()
}

/// A clock of noise: each visit takes the next disturbance.
pub(crate) struct Disturbance {
    noise: Noise,
    generator: ChaCha8Rng,
    drift: f64,
    visits: u32,
}

impl Disturbance {
    pub(crate) fn new(noise: Noise, seed: u64) -> Disturbance {
        let mut generator = generator(seed ^ 0xd157);
        let drift = noise.drift * normal(&mut generator);
        Disturbance { noise, generator, drift, visits: 0 }
    }

    /// The measured time where the true one is given.
    pub(crate) fn apply(&mut self, truth: f64) -> f64 {
        let fresh = self.noise.drift * (1.0_f64 - 0.81).sqrt();
        self.drift = 0.9 * self.drift + fresh * normal(&mut self.generator);
        let ramp = self.noise.ramp * f64::from(self.visits) / 40.0;
        let white = self.noise.white * normal(&mut self.generator);
        let (hit, size): (f64, f64) = (self.generator.random(), self.generator.random());
        let outlier = if hit < self.noise.outliers { 0.04 + 0.16 * size } else { 0.0 };
        self.visits += 1;
        truth * (self.drift + ramp + white + outlier).exp()
    }
}

/// Seconds of a request on a CPU: decode limited by memory bandwidth, prefill by compute, with a machine of its own
/// for each seed (where threads begin to hurt, the best ubatch, what flash attention and repacking do).
pub(crate) struct CpuSurface {
    bandwidth: f64,
    busy: f64,
    hyperthreads: f64,
    best_ubatch: f64,
    curvature: f64,
    attention_off: f64,
    repack_off: f64,
    small_batch: f64,
}

impl CpuSurface {
    pub(crate) fn new(seed: u64) -> CpuSurface {
        let mut generator = generator(seed ^ 0x0005_face);
        let mut between = |low: f64, high: f64| low + (high - low) * generator.random::<f64>();
        CpuSurface {
            bandwidth: between(2.0, 9.0),
            busy: between(0.0, 0.25),
            hyperthreads: between(-0.15, 0.2),
            best_ubatch: between(5.0, 9.5),
            curvature: between(0.005, 0.03),
            attention_off: between(-0.06, 0.1),
            repack_off: between(-0.04, 0.3),
            small_batch: between(-0.03, 0.05),
        }
    }

    /// True seconds.
    pub(crate) fn seconds(&self, space: &Space, configuration: &Configuration) -> f64 {
        let number = |name: &str| space.meant(configuration, name).as_number().unwrap_or(1.0);
        let off = |name: &str| matches!(space.meant(configuration, name).to_string().as_str(), "off");
        let cores = f64::from(space.facts().physical_cores);
        let threads = number("threads");
        // Another program takes part of one core: a team that fills the machine waits for its slowest member.
        let crowded = |threads: f64| if threads >= cores { 1.0 + self.busy } else { 1.0 };
        let decode = (1.0 / threads + 1.0 / self.bandwidth)
            * crowded(threads)
            * if threads > cores { 1.3 } else { 1.0 };
        let batch_threads = number("threads-batch");
        let real =
            batch_threads.min(cores) * if batch_threads > cores { 1.0 + self.hyperthreads } else { 1.0 };
        let ubatch = (number("ubatch").log2() - self.best_ubatch).powi(2) * self.curvature;
        let batch = if number("batch") < 512.0 { self.small_batch } else { 0.0 };
        let prefill = 3.0 / real * crowded(batch_threads).sqrt() * (1.0 + ubatch + batch);
        let attention = if off("flash-attention") { self.attention_off } else { 0.0 };
        let repack = if off("repack") { self.repack_off } else { 0.0 };
        (decode + prefill * (1.0 + repack)) * (1.0 + attention)
    }

    /// The least true seconds of any configuration.
    pub(crate) fn best(&self, space: &Space) -> f64 {
        space.points().map(|point| self.seconds(space, &point)).fold(f64::INFINITY, f64::min)
    }
}

/// What a visit comes to on a machine: how it ends and the objective.
pub(crate) type Answer = (Outcome, Option<f64>);

/// A visit with an answer.
pub(crate) fn visit(configuration: &Configuration, purpose: Purpose, round: u32, answer: Answer) -> Visit {
    Visit {
        configuration: configuration.clone(),
        purpose,
        round,
        outcome: Some(answer.0),
        cause: if answer.0 == Outcome::Measured { String::new() } else { format!("because of {}", answer.0) },
        value: answer.1,
        load: None,
        cost: answer.1.unwrap_or(0.5),
        loading: 0.0,
        steps: std::collections::BTreeMap::new(),
        violation: None,
        objectives: Vec::new(),
        second: None,
    }
}

/// Runs a whole search, one visit at a time.
pub(crate) fn run(
    plan: &TunePlan,
    mut answer: impl FnMut(&Configuration) -> Answer,
) -> (Conclusion, Vec<Visit>) {
    let mut visits: Vec<Visit> = Vec::new();
    let mut elapsed = 0.0;
    loop {
        match next(plan, &visits, elapsed) {
            Step::Visit { configuration, purpose, round } => {
                let found = answer(&configuration);
                let made = visit(&configuration, purpose, round, found);
                elapsed += made.cost;
                visits.push(made);
            }
            Step::Wait => panic!("nothing runs, so there is nothing to wait for"),
            Step::Done(conclusion) => return (conclusion, visits),
        }
        assert!(visits.len() <= plan.budget.runs as usize, "more runs than the budget");
    }
}

/// The configuration that a search recommends.
pub(crate) fn winner(conclusion: &Conclusion) -> &Configuration {
    match conclusion {
        Conclusion::Raced(result) => &result.winner,
        Conclusion::Unraced { winner, .. } => winner,
        Conclusion::AllMiss { .. } | Conclusion::AllFailed { .. } => panic!("nothing can win"),
    }
}
