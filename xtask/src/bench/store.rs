//! How long storing 1,000 trials takes: the store alone, and a whole tune on the simulated engine around it.

use super::figure::{Figure, Limit};
use super::{Request, process};
use crate::{command, test};
use anyhow::{Context, Result};
use std::ffi::OsString;

/// Trials of both measurements.
const TRIALS: u32 = 1000;
/// The most seconds that storing them may take.
const MOST: f64 = 2.0;

/// The store's own example writes and reads; the tune searches and races as well, so its time is shown beside.
pub(super) fn run(request: &Request) -> Result<Vec<Figure>> {
    let mut cargo = request.environment.cargo();
    cargo.args(["run", "--quiet", "--release", "-p", "gguflab-store", "--example", "thousand_trials"]);
    let text = command::capture(&mut cargo)?;
    let written = seconds(&text, "stored 1000 trials in ")?;
    let read = seconds(&text, "opened and read 1000 trials in ")?;
    test::build_programs(&request.environment)?;
    let (watched, trials) = process::tune("store-simulated", &simulated_tune(TRIALS))?;
    Ok(vec![
        Figure::new("1,000 trials stored", written, "s").limited(Limit::AtMost(MOST)),
        Figure::new("1,000 trials read", read, "s"),
        Figure::new(format!("tune of {trials} simulated trials"), watched.wall, "s"),
    ])
}

/// Arguments of a tune on the simulated engine that needs as many trials as it is given: a space of more
/// configurations than trials, and no difference that is too small to matter.
pub(super) fn simulated_tune(trials: u32) -> Vec<OsString> {
    process::words(&format!(
        "--engine simulated --sampler grid --margin 0 --budget-runs {trials} --knob threads=1..16 \
         --knob batch=32,64,128,256,512,1024,2048 --knob ubatch=32,64,128,256,512"
    ))
}

/// The number of seconds behind some words in the example's output.
fn seconds(text: &str, words: &str) -> Result<f64> {
    let number = text.lines().find_map(|line| line.strip_prefix(words)?.strip_suffix(" s")?.parse().ok());
    number.with_context(|| format!("the example printed no line `{words}… s`, but:\n{text}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn seconds_stand_behind_their_words() {
        let text = "stored 1000 trials in 0.412 s\nopened and read 1000 trials in 0.031 s\nfile: 9 bytes";
        assert_eq!(seconds(text, "stored 1000 trials in ").expect("written"), 0.412);
        assert_eq!(seconds(text, "opened and read 1000 trials in ").expect("read"), 0.031);
        assert!(seconds(text, "burnt 1000 trials in ").is_err());
    }
}
