//! The figures of benchmarks and the page that they go to.

use crate::command;
use anyhow::{Context, Result};
use gguflab_stats::{Estimate, Interval};
use std::io::Write;
use std::time::{SystemTime, UNIX_EPOCH};

/// One measured number.
#[derive(Debug, Clone)]
pub(super) struct Figure {
    /// What was measured, in words.
    pub(super) name: String,
    /// Its value, in `unit`.
    pub(super) value: f64,
    /// Its 95 % interval, in `unit`, where there is one.
    pub(super) interval: Option<(f64, f64)>,
    /// The unit in which it is shown.
    pub(super) unit: &'static str,
    /// What the project promises.
    pub(super) limit: Limit,
}

/// What a figure may be.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) enum Limit {
    /// Nothing is promised.
    Free,
    /// The value is at most this.
    AtMost(f64),
    /// The value is at least this.
    AtLeast(f64),
    /// The whole interval lies between minus this and this.
    Within(f64),
}

impl Figure {
    /// A number that is shown and not judged.
    pub(super) fn new(name: impl Into<String>, value: f64, unit: &'static str) -> Figure {
        Figure { name: name.into(), value, interval: None, unit, limit: Limit::Free }
    }

    /// An estimate of a relative difference, in percent.
    pub(super) fn percent(name: impl Into<String>, estimate: &Estimate) -> Figure {
        let ends = |interval: &Interval| (100.0 * interval.low, 100.0 * interval.high);
        let interval = estimate.interval.as_ref().map(ends);
        Figure { interval, ..Figure::new(name, 100.0 * estimate.value, "%") }
    }

    /// The same with a limit.
    pub(super) fn limited(self, limit: Limit) -> Figure {
        Figure { limit, ..self }
    }

    fn holds(&self) -> bool {
        match self.limit {
            Limit::Free => true,
            Limit::AtMost(most) => self.value <= most,
            Limit::AtLeast(least) => self.value >= least,
            Limit::Within(most) => self.interval.is_some_and(|(low, high)| low >= -most && high <= most),
        }
    }
}

/// The beginning of a section of the page: date, machine and the head of the table.
pub(super) fn heading() -> String {
    let (date, machine) = (today(), machine());
    format!("\n## {date}, {machine}\n\n| benchmark | figure | value | promised |\n|---|---|---|---|\n")
}

/// One row of the table.
pub(super) fn row(benchmark: &str, figure: &Figure) -> String {
    let unit = figure.unit;
    let interval = figure.interval.map(|(low, high)| format!(" [{low:.3}, {high:.3}]")).unwrap_or_default();
    let promised = match figure.limit {
        Limit::Free => "–".to_owned(),
        Limit::AtMost(most) => format!("at most {most} {unit}"),
        Limit::AtLeast(least) => format!("at least {least} {unit}"),
        Limit::Within(most) => format!("interval within ±{most} {unit}"),
    };
    let broken = if figure.holds() { "" } else { " (**not held**)" };
    format!("| {benchmark} | {} | {:.3} {unit}{interval} | {promised}{broken} |\n", figure.name, figure.value)
}

/// Appends a section to the page.
pub(super) fn append(text: &str) -> Result<()> {
    let path = command::root().join("BENCHMARKS.md");
    let file = std::fs::OpenOptions::new().create(true).append(true).open(&path);
    let mut file = file.with_context(|| format!("could not open {}", path.display()))?;
    file.write_all(text.as_bytes()).with_context(|| format!("could not write {}", path.display()))
}

/// The CPU and its cores, as far as the system tells.
fn machine() -> String {
    let information = std::fs::read_to_string("/proc/cpuinfo").unwrap_or_default();
    let model = information.lines().find_map(|line| line.strip_prefix("model name"));
    let model = model.map_or(std::env::consts::ARCH, |value| value.trim_start_matches([' ', '\t', ':']));
    let cores = std::thread::available_parallelism().map_or(1, usize::from);
    format!("{model}, {cores} threads, {}", std::env::consts::OS)
}

fn today() -> String {
    let seconds = SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_secs());
    let (year, month, day) = date_of_day(seconds / 86_400);
    format!("{year}-{month:02}-{day:02}")
}

/// The Gregorian date of a day since 1970-01-01, counted in 400-year eras that begin on 1 March
/// (Howard Hinnant, "chrono-Compatible Low-Level Date Algorithms", `civil_from_days`).
fn date_of_day(day: u64) -> (u64, u64, u64) {
    let shifted = day + 719_468;
    let (era, of_era) = (shifted / 146_097, shifted % 146_097);
    let year = (of_era - of_era / 1_460 + of_era / 36_524 - of_era / 146_096) / 365;
    let of_year = of_era - (365 * year + year / 4 - year / 100);
    let march_month = (5 * of_year + 2) / 153;
    let day = of_year - (153 * march_month + 2) / 5 + 1;
    let month = if march_month < 10 { march_month + 3 } else { march_month - 9 };
    (era * 400 + year + u64::from(month <= 2), month, day)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn dates_are_those_of_the_calendar() {
        let cases =
            [(0, (1970, 1, 1)), (11_016, (2000, 2, 29)), (19_358, (2023, 1, 1)), (20_778, (2026, 11, 21))];
        for (day, expected) in cases {
            assert_eq!(date_of_day(day), expected);
        }
    }

    #[test]
    fn figures_say_when_a_promise_is_not_held() {
        let time = |value| Figure::new("time", value, "ms").limited(Limit::AtMost(10.0));
        assert_eq!(row("header", &time(9.5)), "| header | time | 9.500 ms | at most 10 ms |\n");
        assert!(row("header", &time(12.5)).contains("at most 10 ms (**not held**)"));
        assert!(row("header", &time(f64::NAN)).contains("(**not held**)"));
    }

    #[test]
    fn an_interval_has_to_lie_within_the_limit_as_a_whole() {
        let ratio = |low, high| {
            let interval = Some(Interval { low, high, confidence: 0.95 });
            let estimate = Estimate { interval, ..Estimate::bare(0.001, 20, "test") };
            Figure::percent("ratio", &estimate).limited(Limit::Within(1.0))
        };
        assert!(ratio(-0.009, 0.009).holds() && !ratio(-0.011, 0.009).holds() && !ratio(0.0, 0.02).holds());
        assert!(
            row("parity", &ratio(-0.009, 0.009)).contains("0.100 % [-0.900, 0.900] | interval within ±1 %")
        );
        let bare = Figure::percent("ratio", &Estimate::bare(0.0, 1, "test")).limited(Limit::Within(1.0));
        assert!(!bare.holds(), "without an interval nothing is shown");
    }
}
