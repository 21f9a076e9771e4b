//! How often gates and comparisons err, and how many runs they take, by simulation of series whose truth is known.
//!
//! Beside ours stand the rule of the performance scripts that came before, one run against the last accepted one, and
//! Welch's interval over runs that were made one arm after the other.

use super::Request;
use super::figure::{Figure, Limit};
use anyhow::{Context, Result};
use gguflab_stats::simulation::Scenario;
use gguflab_stats::{Design, Gate, Look, Sequence, Summary, Verdict, welch};
use gguflab_types::Direction;
use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;

/// The relative drop that a gate lets pass.
const THRESHOLD: f64 = 0.1;
/// The difference that does not matter to a comparison.
const MARGIN: f64 = 0.01;
/// The drop at which the one-run rule fails.
const ONE_RUN: f64 = 0.12;
/// Confidence of the two-sided Welch interval: that of inference-doctor's gate.
const WELCH: f64 = 0.9;

/// What one series ended with, and its runs of each arm.
type End<T> = (T, usize);

/// Everything, with a hundred simulations for each pair.
pub(super) fn run(request: &Request) -> Result<Vec<Figure>> {
    let count = 100 * request.pairs as u64;
    let mut figures = Vec::new();
    for rule in rules()? {
        figures.extend(rule.figures(count));
    }
    figures.extend(comparisons(count)?);
    figures.extend(surroundings(count)?);
    Ok(figures)
}

/// What a rule says of one simulated series.
type Decide = dyn Fn(&Scenario, &mut ChaCha8Rng) -> End<Gate>;

/// A rule that passes or fails.
struct Rule {
    name: String,
    /// Ours: what is promised of it applies.
    promised: bool,
    decide: Box<Decide>,
}

fn rules() -> Result<Vec<Rule>> {
    let gate = Sequence::new(Design::GATE).context("the gate's design")?;
    let ours = Rule {
        name: "sequential gate".to_owned(),
        promised: true,
        decide: Box::new(move |scenario, generator| {
            sequential(&gate, Design::GATE, scenario, generator, (pass_or_fail, Gate::Inconclusive))
        }),
    };
    let one_run = Rule { name: "one-run rule".to_owned(), promised: false, decide: Box::new(one_run) };
    let in_order = [5, 10].into_iter().map(|runs| Rule {
        name: format!("Welch in order, {runs} runs each"),
        promised: false,
        decide: Box::new(move |scenario, generator| in_order(scenario, generator, runs)),
    });
    Ok([ours, one_run].into_iter().chain(in_order).collect())
}

impl Rule {
    fn figures(&self, count: u64) -> Vec<Figure> {
        let all = |difference: f64| {
            let scenario = Scenario { difference, ..Scenario::PROMISED };
            simulate(count, |generator| (self.decide)(&scenario, generator))
        };
        let (same, threshold, worse) = (all(0.0), all(-THRESHOLD), all(-0.15));
        let limited =
            |figure: Figure, limit: Limit| if self.promised { figure.limited(limit) } else { figure };
        let rate = |what: &str, ends: &[End<Gate>], gate: Gate| {
            Figure::new(format!("{}: {what}", self.name), share(ends, &[gate]), "%")
        };
        let runs = Figure::new(
            format!("{}: 15 % drop, median runs of each arm", self.name),
            median_runs(&worse),
            "",
        );
        vec![
            limited(rate("no difference, pass", &same, Gate::Pass), Limit::AtLeast(95.0)),
            rate("no difference, fail", &same, Gate::Fail),
            limited(rate("10 % drop, fail", &threshold, Gate::Fail), Limit::AtMost(2.5)),
            rate("10 % drop, pass", &threshold, Gate::Pass),
            limited(rate("15 % drop, fail", &worse, Gate::Fail), Limit::AtLeast(95.0)),
            limited(runs, Limit::AtMost(12.0)),
        ]
    }
}

/// The comparison on equal arms and on a drop of 5 %, without and with covariates.
fn comparisons(count: u64) -> Result<Vec<Figure>> {
    let sequence = Sequence::new(Design::COMPARISON).context("the comparison's design")?;
    let all = |scenario: Scenario| {
        simulate(count, |generator| {
            sequential(&sequence, Design::COMPARISON, &scenario, generator, (verdict, Verdict::Undecided))
        })
    };
    let mut figures = Vec::new();
    for (explained, most) in [(0.0, 14.0), (0.5, 10.0)] {
        let name = if explained > 0.0 { "comparison with covariates" } else { "comparison" };
        let scenario = Scenario { explained, ..Scenario::PROMISED };
        let (same, worse) = (all(scenario), all(Scenario { difference: -0.05, ..scenario }));
        let claimed = share(&same, &[Verdict::Better, Verdict::Worse]);
        let rate = |what: &str, value: f64| Figure::new(format!("{name}: {what}"), value, "%");
        let runs = Figure::new(format!("{name}: 5 % drop, median runs of each arm"), median_runs(&worse), "");
        figures.extend([
            rate("no difference, better or worse", claimed).limited(Limit::AtMost(2.5)),
            rate("5 % drop, worse", share(&worse, &[Verdict::Worse])).limited(Limit::AtLeast(90.0)),
            runs.limited(Limit::AtMost(most)),
        ]);
    }
    Ok(figures)
}

/// The errors of gate and comparison on series other than the promised one.
fn surroundings(count: u64) -> Result<Vec<Figure>> {
    let promised = Scenario::PROMISED;
    let series = [
        ("no drift, independent runs", Scenario { drift: 0.0, autocorrelation: 0.0, ..promised }),
        ("correlation 0.8", Scenario { autocorrelation: 0.8, ..promised }),
        ("correlation -0.3", Scenario { autocorrelation: -0.3, ..promised }),
        ("drift within the first 16 runs", Scenario { course: 16, ..promised }),
        ("every tenth run 30 % slower", Scenario { outliers: 0.1, ..promised }),
        ("3 covariates that explain nothing", Scenario { useless: 3, autocorrelation: 0.0, ..promised }),
        ("1 that explains half, 3 nothing", Scenario { explained: 0.5, useless: 3, ..promised }),
    ];
    let gate = Sequence::new(Design::GATE).context("the gate's design")?;
    let comparison = Sequence::new(Design::COMPARISON).context("the comparison's design")?;
    let mut figures = Vec::new();
    for (name, scenario) in series {
        let threshold = Scenario { difference: -THRESHOLD, ..scenario };
        let ends = simulate(count, |generator| {
            sequential(&gate, Design::GATE, &threshold, generator, (pass_or_fail, Gate::Inconclusive))
        });
        let fails = share(&ends, &[Gate::Fail]);
        let ends = simulate(count, |generator| {
            sequential(&comparison, Design::COMPARISON, &scenario, generator, (verdict, Verdict::Undecided))
        });
        let claimed = share(&ends, &[Verdict::Better, Verdict::Worse]);
        figures.push(Figure::new(format!("{name}: gate, 10 % drop, fail"), fails, "%"));
        figures.push(Figure::new(
            format!("{name}: comparison, no difference, better or worse"),
            claimed,
            "%",
        ));
    }
    Ok(figures)
}

fn pass_or_fail(look: &Look) -> Option<Gate> {
    look.gate(THRESHOLD, Direction::Higher)
}

fn verdict(look: &Look) -> Option<Verdict> {
    look.verdict(MARGIN, Direction::Higher)
}

/// Looks after every block until it is decided; `otherwise` when it never is.
fn sequential<T>(
    sequence: &Sequence,
    design: Design,
    scenario: &Scenario,
    generator: &mut ChaCha8Rng,
    (decide, otherwise): (fn(&Look) -> Option<T>, T),
) -> End<T> {
    let blocks = scenario.blocks(design.most, &mut || generator.random());
    let ends = (design.first..=design.most)
        .find_map(|count| Some((decide(&sequence.look(&blocks[..count])?)?, 2 * count)));
    ends.unwrap_or((otherwise, 2 * design.most))
}

/// The candidate's last run against the reference's first one, the drift in between.
fn one_run(scenario: &Scenario, generator: &mut ChaCha8Rng) -> End<Gate> {
    let (candidate, reference) = Scenario { course: 2, ..*scenario }.in_order(1, &mut || generator.random());
    let drop = 1.0 - candidate[0] / reference[0];
    (if drop > ONE_RUN { Gate::Fail } else { Gate::Pass }, 1)
}

/// All runs of the reference, then all of the candidate.
fn in_order(scenario: &Scenario, generator: &mut ChaCha8Rng, runs: usize) -> End<Gate> {
    let scenario = Scenario { course: 2 * runs, ..*scenario };
    let (candidate, reference) = scenario.in_order(runs, &mut || generator.random());
    let summaries = Summary::of(&candidate).zip(Summary::of(&reference));
    let interval = summaries.and_then(|(ours, theirs)| welch(&ours, &theirs, WELCH).interval);
    let gate = match interval {
        Some(interval) if interval.low > -THRESHOLD => Gate::Pass,
        Some(interval) if interval.high < -THRESHOLD => Gate::Fail,
        _ => Gate::Inconclusive,
    };
    (gate, runs)
}

fn simulate<T>(count: u64, mut one: impl FnMut(&mut ChaCha8Rng) -> T) -> Vec<T> {
    (0..count).map(|seed| one(&mut ChaCha8Rng::seed_from_u64(seed))).collect()
}

/// Percent of the series that ended in one of these ways.
fn share<T: PartialEq>(ends: &[End<T>], wanted: &[T]) -> f64 {
    100.0 * ends.iter().filter(|(end, _)| wanted.contains(end)).count() as f64 / ends.len().max(1) as f64
}

fn median_runs<T>(ends: &[End<T>]) -> f64 {
    let runs: Vec<f64> = ends.iter().map(|(_, runs)| *runs as f64).collect();
    gguflab_stats::median(&runs).unwrap_or(f64::INFINITY)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_one_run_rule_takes_drift_for_a_drop() {
        let drifting = Scenario::PROMISED;
        let still = Scenario { drift: 0.0, ..drifting };
        let fails = |scenario: Scenario| {
            share(&simulate(400, |generator| one_run(&scenario, generator)), &[Gate::Fail])
        };
        assert!(fails(drifting) > 20.0 && fails(still) < 5.0, "{} {}", fails(drifting), fails(still));
    }

    #[test]
    fn shares_and_medians_are_counted() {
        let ends = [(Gate::Pass, 4), (Gate::Fail, 6), (Gate::Pass, 8), (Gate::Inconclusive, 32)];
        assert_eq!((share(&ends, &[Gate::Pass]), median_runs(&ends)), (50.0, 7.0));
    }

    #[test]
    fn ours_keeps_its_promises_on_a_few_series() {
        let figures = rules().expect("rules")[0].figures(200);
        assert_eq!(figures.len(), 6);
        assert!(
            figures[0].value >= 95.0 && figures[2].value <= 6.0 && figures[5].value <= 12.0,
            "{figures:?}"
        );
    }
}
