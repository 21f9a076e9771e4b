//! Interleaved runs and evaluated texts whose truth is known, for measuring how often rules err.

use crate::sequential::{Arm, Block, Run};
use std::f64::consts::TAU;

/// What a series of runs is like.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Scenario {
    /// True relative difference of the candidate to the reference: −0.1 is 10 % less.
    pub difference: f64,
    /// Standard deviation of one run, relative (a logarithm).
    pub noise: f64,
    /// Relative slow-down over the whole series: drift · (1 − e^(−3t)) with t from 0 to 1.
    pub drift: f64,
    /// Runs, of both arms together, over which the drift runs its course.
    pub course: usize,
    /// Correlation of the noise of neighbouring runs (autoregressive, order 1).
    pub autocorrelation: f64,
    /// Share of the runs that something else slows down by 30 %.
    pub outliers: f64,
    /// Share of the noise's variance that the first covariate explains; 0: there is none.
    pub explained: f64,
    /// Further covariates that explain nothing.
    pub useless: usize,
}

impl Scenario {
    /// The series that the project's promises are made for: 4 % noise, 12 % drift, correlated as measured.
    pub const PROMISED: Scenario = Scenario {
        difference: 0.0,
        noise: 0.04,
        drift: 0.12,
        course: 64,
        autocorrelation: 0.3,
        outliers: 0.0,
        explained: 0.0,
        useless: 0,
    };

    /// `count` blocks, each A B B A or B A A B by chance; `uniform` gives independent numbers from 0 to 1.
    pub fn blocks(&self, count: usize, uniform: &mut dyn FnMut() -> f64) -> Vec<Block> {
        let mut state = (normal(uniform), normal(uniform));
        let orders: Vec<bool> = (0..count).map(|_| uniform() < 0.5).collect();
        let mut runs = Vec::with_capacity(4 * count);
        for number in 0..4 * count {
            let candidate = [true, false, false, true][number % 4] == orders[number / 4];
            runs.push(self.run(number, candidate, &mut state, uniform));
        }
        runs.chunks(4).map(|runs| Block { runs: runs.to_vec() }).collect()
    }

    /// The same runs one arm after the other, the reference first: (candidate, reference), `count` of each.
    pub fn in_order(&self, count: usize, uniform: &mut dyn FnMut() -> f64) -> (Vec<f64>, Vec<f64>) {
        let mut state = (normal(uniform), normal(uniform));
        let mut values: Vec<f64> = (0..2 * count)
            .map(|number| self.run(number, number >= count, &mut state, uniform).value)
            .collect();
        let candidate = values.split_off(count);
        (candidate, values)
    }

    /// One run; `state` is the noise that covariates see and that which they do not.
    fn run(
        &self,
        number: usize,
        candidate: bool,
        state: &mut (f64, f64),
        uniform: &mut dyn FnMut() -> f64,
    ) -> Run {
        let carried = self.autocorrelation;
        let fresh = (1.0 - carried * carried).sqrt();
        state.0 = carried * state.0 + fresh * normal(uniform);
        state.1 = carried * state.1 + fresh * normal(uniform);
        let noise = self.noise * (self.explained.sqrt() * state.0 + (1.0 - self.explained).sqrt() * state.1);
        let time = number as f64 / self.course.saturating_sub(1).max(1) as f64;
        let level = 100.0 * (1.0 - self.drift * (1.0 - (-3.0 * time).exp()));
        let effect = if candidate { 1.0 + self.difference } else { 1.0 };
        let struck = uniform() < self.outliers;
        let effect = if struck { 0.7 * effect } else { effect };
        let seen = (self.explained > 0.0).then_some(state.0);
        let covariates = seen.into_iter().chain((0..self.useless).map(|_| normal(uniform))).collect();
        let arm = if candidate { Arm::Candidate } else { Arm::Reference };
        Run { arm, value: level * effect * noise.exp(), covariates }
    }
}

/// What the values of a text's tokens are like: log-normal, with a level for each chunk and a memory within it.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Text {
    /// Scored tokens of each chunk.
    pub tokens: usize,
    /// The median of the values.
    pub median: f64,
    /// Standard deviation of their logarithms.
    pub deviation: f64,
    /// Share of the logarithms' variance that lies between chunks.
    pub between: f64,
    /// Share of it that fades from token to token.
    pub slow: f64,
    /// What a token keeps of that (autoregressive, order 1).
    pub carried: f64,
}

impl Text {
    /// KL divergences of a 4-bit quantisation as they were measured on SmolLM2 and a book: design effect 3.7 to 8.3, an
    /// autocorrelation of 0.2 at lag 1 and 0.06 at lag 16, and by llama.cpp's own tables a standard deviation of three
    /// times the mean.
    pub const MEASURED: Text =
        Text { tokens: 255, median: 0.01, deviation: 1.5, between: 0.03, slow: 0.45, carried: 0.93 };

    /// The values of so many chunks; `uniform` gives independent numbers from 0 to 1.
    pub fn chunks(&self, count: usize, uniform: &mut dyn FnMut() -> f64) -> Vec<Vec<f64>> {
        (0..count).map(|_| self.chunk(uniform)).collect()
    }

    fn chunk(&self, uniform: &mut dyn FnMut() -> f64) -> Vec<f64> {
        let level = self.between.sqrt() * normal(uniform);
        let fresh = (1.0 - self.carried * self.carried).sqrt();
        let rest = (1.0 - self.between - self.slow).max(0.0).sqrt();
        let mut state = normal(uniform);
        let token = |_| {
            state = self.carried * state + fresh * normal(uniform);
            let logarithm = level + self.slow.sqrt() * state + rest * normal(uniform);
            self.median * (self.deviation * logarithm).exp()
        };
        (0..self.tokens).map(token).collect()
    }
}

/// A standard normal number from two uniform ones (Box & Muller 1958).
pub fn normal(uniform: &mut dyn FnMut() -> f64) -> f64 {
    let radius = 1.0 - uniform();
    (-2.0 * radius.ln()).sqrt() * (TAU * uniform()).cos()
}
