//! `cargo xtask bench`: measures the program itself. Each benchmark is one entry of a table and one function.

use crate::setup::{self, BuildEnvironment};
use crate::{command, install, test};
use anyhow::{Context, Result, bail};
use std::io::Write;
use std::time::{SystemTime, UNIX_EPOCH};

/// One measured number.
pub struct Figure {
    /// What was measured, in words.
    pub name: String,
    /// Its value, in `unit`.
    pub value: f64,
    /// The unit in which it is shown.
    pub unit: &'static str,
    /// The most that it may be, where the project promises something.
    pub limit: Option<f64>,
}

/// One entry of the table of benchmarks.
struct Benchmark {
    name: &'static str,
    help: &'static str,
    run: fn(&BuildEnvironment) -> Result<Vec<Figure>>,
}

const BENCHMARKS: &[Benchmark] = &[
    Benchmark { name: "help-time", help: "gguflab --help, median of 20 runs", run: help_time },
    Benchmark { name: "header", help: "reading the header of a large GGUF file", run: header },
];

/// `cargo xtask bench [list|all|NAME…] [--record]`.
pub fn verb(arguments: &[String]) -> Result<()> {
    let record = arguments.iter().any(|argument| argument == "--record");
    let names: Vec<&str> = arguments.iter().map(String::as_str).filter(|name| *name != "--record").collect();
    if names == ["list"] || names.is_empty() {
        BENCHMARKS.iter().for_each(|benchmark| println!("{:<16} {}", benchmark.name, benchmark.help));
        return Ok(());
    }
    let chosen = choose(&names)?;
    let environment = setup::prepare()?;
    let mut text = heading();
    for benchmark in chosen {
        eprintln!("bench: {}", benchmark.name);
        let figures =
            (benchmark.run)(&environment).with_context(|| format!("benchmark {}", benchmark.name))?;
        figures.iter().for_each(|figure| text.push_str(&row(benchmark.name, figure)));
    }
    println!("{text}");
    if record { append(&text) } else { Ok(()) }
}

fn choose(names: &[&str]) -> Result<Vec<&'static Benchmark>> {
    if names == ["all"] {
        return Ok(BENCHMARKS.iter().collect());
    }
    let find = |name: &&str| match BENCHMARKS.iter().find(|benchmark| benchmark.name == *name) {
        Some(benchmark) => Ok(benchmark),
        None => bail!("there is no benchmark `{name}`: see `cargo xtask bench list`"),
    };
    names.iter().map(find).collect()
}

fn help_time(environment: &BuildEnvironment) -> Result<Vec<Figure>> {
    test::build_programs(environment)?;
    let program = command::release_folder().join(command::executable("gguflab"));
    let mut python = install::python()?;
    python.args(["-c", include_str!("../python/measure.py"), "20"]).arg(program).arg("--help");
    let (wall, cpu) = medians_of_runs(&command::capture(&mut python)?)?;
    let milliseconds = |name: &str, seconds: f64, limit| Figure {
        name: name.to_owned(),
        value: seconds * 1e3,
        unit: "ms",
        limit,
    };
    Ok(vec![milliseconds("wall time", wall, Some(10.0)), milliseconds("CPU time", cpu, None)])
}

/// Medians of the two columns that `measure.py` prints, in seconds.
fn medians_of_runs(text: &str) -> Result<(f64, f64)> {
    let (mut walls, mut cpus) = (Vec::new(), Vec::new());
    for line in text.lines() {
        let (wall, cpu) = line.split_once(' ').with_context(|| format!("not two numbers: `{line}`"))?;
        walls.push(wall.parse::<f64>().with_context(|| format!("not a number: `{wall}`"))?);
        cpus.push(cpu.parse::<f64>().with_context(|| format!("not a number: `{cpu}`"))?);
    }
    Ok((median(&mut walls)?, median(&mut cpus)?))
}

/// The middle value, or the mean of the two middle ones.
pub fn median(values: &mut [f64]) -> Result<f64> {
    if values.is_empty() {
        bail!("no runs were measured");
    }
    values.sort_by(f64::total_cmp);
    let half = values.len() / 2;
    Ok(if values.len() % 2 == 1 { values[half] } else { (values[half - 1] + values[half]) / 2.0 })
}

/// The format crate's own example measures; a figure is a line `NAME: median NUMBER ms`.
fn header(environment: &BuildEnvironment) -> Result<Vec<Figure>> {
    let mut cargo = environment.cargo();
    cargo.args(["run", "--quiet", "--release", "-p", "gguflab-format", "--example", "header_time"]);
    let text = command::capture(&mut cargo)?;
    let figures: Vec<Figure> = text.lines().filter_map(header_figure).collect();
    if figures.is_empty() {
        bail!("the example printed no line `NAME: median NUMBER ms`, but:\n{text}");
    }
    Ok(figures)
}

fn header_figure(line: &str) -> Option<Figure> {
    let (name, value) = line.strip_suffix(" ms")?.split_once(": median ")?;
    Some(Figure { name: name.to_owned(), value: value.parse().ok()?, unit: "ms", limit: Some(10.0) })
}

fn heading() -> String {
    let (date, machine) = (today(), machine());
    format!("\n## {date}, {machine}\n\n| benchmark | figure | value | at most |\n|---|---|---|---|\n")
}

fn row(benchmark: &str, figure: &Figure) -> String {
    let limit = match figure.limit {
        Some(limit) if figure.value > limit => format!("{limit} {} (**exceeded**)", figure.unit),
        Some(limit) => format!("{limit} {}", figure.unit),
        None => "–".to_owned(),
    };
    format!("| {benchmark} | {} | {:.3} {} | {limit} |\n", figure.name, figure.value, figure.unit)
}

fn append(text: &str) -> Result<()> {
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
    fn medians_of_both_columns() {
        let (wall, cpu) = medians_of_runs("0.003 0.1\n0.001 0.3\n0.002 0.2\n0.004 0.4").expect("numbers");
        assert!((wall - 0.0025).abs() < 1e-12 && (cpu - 0.25).abs() < 1e-12);
        assert!(medians_of_runs("").is_err() && medians_of_runs("0.1 fast").is_err());
    }

    #[test]
    fn figures_say_when_a_limit_is_exceeded() {
        let figure = header_figure("from a file: median 12.50 ms").expect("figure");
        assert!(row("header", &figure).contains("12.500 ms | 10 ms (**exceeded**)"));
        assert!(header_figure("header: 1200 tensors, 9 bytes").is_none());
    }

    #[test]
    fn benchmarks_are_chosen_by_name() {
        assert_eq!(choose(&["all"]).expect("all").len(), BENCHMARKS.len());
        let Err(error) = choose(&["no-such"]) else { panic!("not a benchmark") };
        assert!(error.to_string().contains("`no-such`"), "{error}");
    }
}
