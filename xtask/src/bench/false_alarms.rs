//! Checks of the real model against itself while another process keeps one core busy half of the time: none may fail,
//! and most should pass.

use super::figure::{Figure, Limit};
use super::{Request, process};
use crate::{command, fetch, test};
use anyhow::{Context, Result, bail};
use std::process::{Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

/// Checks that have to pass, as a share.
const PASSES: f64 = 0.8;
/// Minutes that a check may take.
const MOST: f64 = 3.0;
/// The other process works for so long, and rests as long.
const HALF_TURN: Duration = Duration::from_millis(250);

/// As many checks as pairs are asked for.
pub(super) fn run(request: &Request) -> Result<Vec<Figure>> {
    let model = fetch::model(&request.environment)?;
    if !model.is_real {
        bail!("the checks are made on the real demo model, which could not be fetched");
    }
    test::build_programs(&request.environment)?;
    let folder = command::release_folder().with_file_name("bench").join("baselines");
    if folder.is_dir() {
        std::fs::remove_dir_all(&folder).with_context(|| format!("could not remove {}", folder.display()))?;
    }
    let baselines = folder.display().to_string();
    let neighbour = Neighbour::start();
    let accept =
        ["gate", "accept", "same", "--keep-build", "--visits", "4", "--quiet", "--baselines", &baselines];
    let accepted =
        gguflab(&accept).arg(&model.path).args(["--prompt", "128", "--generate", "64"]).status()?;
    if !accepted.success() {
        bail!("the baseline could not be accepted: {accepted}");
    }
    let (mut endings, mut minutes) = (Vec::new(), Vec::new());
    for number in 1..=request.pairs {
        let start = Instant::now();
        let check = ["gate", "check", "same", "--quiet", "--budget-time", "140s", "--baselines", &baselines];
        let code = gguflab(&check).status()?.code().context("a check was killed")?;
        eprintln!("bench: check {number} of {} ended with {code} after {:?}", request.pairs, start.elapsed());
        endings.push(code);
        minutes.push(start.elapsed().as_secs_f64() / 60.0);
    }
    drop(neighbour);
    figures(&endings, &minutes)
}

fn figures(endings: &[i32], minutes: &[f64]) -> Result<Vec<Figure>> {
    let count = |code: i32| endings.iter().filter(|ending| **ending == code).count() as f64;
    let other = endings.iter().find(|code| ![0, 1, 6].contains(code));
    if let Some(code) = other {
        bail!("a check ended with {code}");
    }
    let all = endings.len() as f64;
    let short = all - count(0);
    Ok(vec![
        Figure::new(format!("checks that failed, of {all}"), count(1), "").limited(Limit::AtMost(0.0)),
        Figure::new("checks that did not pass", short, "")
            .limited(Limit::AtMost((all * (1.0 - PASSES)).round())),
        Figure::new("a check, median", process::median(minutes)?, "min"),
        Figure::new("a check, longest", minutes.iter().copied().fold(0.0, f64::max), "min")
            .limited(Limit::AtMost(MOST)),
    ])
}

fn gguflab(arguments: &[&str]) -> Command {
    let mut command = Command::new(process::gguflab());
    command.args(arguments).stdout(Stdio::null());
    command
}

/// A thread that keeps one core busy half of the time, until it is dropped.
struct Neighbour {
    ended: Arc<AtomicBool>,
    thread: Option<std::thread::JoinHandle<()>>,
}

impl Neighbour {
    fn start() -> Neighbour {
        let ended = Arc::new(AtomicBool::new(false));
        let flag = Arc::clone(&ended);
        let thread = std::thread::spawn(move || {
            while !flag.load(Ordering::Relaxed) {
                let start = Instant::now();
                while start.elapsed() < HALF_TURN {
                    std::hint::spin_loop();
                }
                std::thread::sleep(HALF_TURN);
            }
        });
        Neighbour { ended, thread: Some(thread) }
    }
}

impl Drop for Neighbour {
    fn drop(&mut self) {
        self.ended.store(true, Ordering::Relaxed);
        if let Some(thread) = self.thread.take() {
            // A thread that only spins has nothing to tell.
            let _ = thread.join();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn endings_are_counted_and_others_are_errors() {
        let found = figures(&[0, 0, 6, 0, 1], &[1.0, 2.0, 3.0, 1.0, 1.0]).expect("figures");
        let values: Vec<f64> = found.iter().map(|figure| figure.value).collect();
        assert_eq!(values, [1.0, 2.0, 1.0, 3.0]);
        assert!(figures(&[0, 3], &[1.0, 1.0]).is_err());
    }
}
