//! The memory of the `gguflab` process itself during a tune; its worker is another process, as large as its model.

use super::figure::{Figure, Limit};
use super::process::{self, Watched};
use super::{Request, store};
use crate::{fetch, test};
use anyhow::{Result, bail};

/// Budget of the long tune, whose race may end before all of it is spent: 300 trials and more are wanted.
const LONG_BUDGET: u32 = 400;
/// The most that the parent may hold, in megabytes.
const MOST: f64 = 60.0;

/// A long tune on the simulated engine and a short one on the demo model.
pub(super) fn run(request: &Request) -> Result<Vec<Figure>> {
    test::build_programs(&request.environment)?;
    let simulated = process::tune("parent-simulated", &store::simulated_tune(LONG_BUDGET))?;
    let model = fetch::model(&request.environment)?;
    let line = "--only ubatch,flash-attention --budget-runs 16 --prompt 64 --generate 16 --depth 0";
    let real = process::tune("parent-real", &[vec![model.path.into()], process::words(line)].concat())?;
    let all = [figures("simulated engine", &simulated)?, figures("worker with the demo model", &real)?];
    Ok(all.concat())
}

fn figures(engine: &str, (watched, trials): &(Watched, usize)) -> Result<Vec<Figure>> {
    if !(watched.peak_memory.is_finite() && watched.own_cpu.is_finite()) {
        bail!("this system does not tell the peak memory of a running process; the benchmark needs Linux");
    }
    let cpu = 1e3 * watched.own_cpu / (*trials).max(1) as f64;
    Ok(vec![
        Figure::new(format!("{engine}, {trials} trials: peak memory"), watched.peak_memory / 1e6, "MB")
            .limited(Limit::AtMost(MOST)),
        Figure::new(format!("{engine}, {trials} trials: the parent's CPU time for each"), cpu, "ms"),
    ])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn memory_is_in_megabytes_and_time_is_that_of_one_trial() {
        let watched = Watched { wall: 1.0, own_cpu: 0.6, peak_memory: 5e7 };
        let found = figures("engine", &(watched, 300)).expect("figures");
        assert_eq!((found[0].value, found[0].limit), (50.0, Limit::AtMost(60.0)));
        assert!((found[1].value - 2.0).abs() < 1e-12);
        let silent = Watched { wall: 1.0, own_cpu: 0.6, peak_memory: f64::NAN };
        assert!(figures("engine", &(silent, 300)).is_err());
    }
}
