//! What a tune found.

use super::study::trial_table;
use super::{change_cell, subject};
use crate::commands;
use crate::study::OpenStudy;
use gguflab_report::chart::{Axis, ChartKind, Mark, Point, Reference, Row, Series, Shape};
use gguflab_report::document::Tone;
use gguflab_report::{Cell, Chart, Column, Document, Table};
use gguflab_search::race::{DropReason, Finish, RaceResult, Standing};
use gguflab_search::{Conclusion, Visit};
use gguflab_stats::{Estimate, Verdict, median};
use gguflab_types::{Configuration, Direction, Outcome, Purpose, Trial, Unit};
use std::collections::BTreeMap;
use std::path::Path;

/// How much of a study a document tells.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Detail {
    /// What came of it, and the race.
    Summary,
    /// Every trial too.
    Full,
}

/// The document of a study: the verdict first, then how it came about. `model` is where the model lies now, for
/// the command lines.
#[must_use]
pub fn document(
    study: &OpenStudy,
    trials: &[Trial],
    conclusion: Option<&Conclusion>,
    model: &Path,
    detail: Detail,
) -> Document {
    let mut document = Document::new(format!("Tuning {}", study.study.subject.model.name));
    let winner = verdict(study, conclusion, &mut document);
    if let Some(winner) = &winner {
        take_away(study, winner, model, &mut document);
    }
    if let Some(Conclusion::Raced(race)) = conclusion {
        document.heading(1, "Race");
        document.paragraph(race_in_words(race, study));
        document.table(race_table(race, study));
        document.chart(race_chart(race));
    }
    document.heading(1, "Search");
    document.facts(search_facts(study, trials));
    if detail == Detail::Full {
        document.table(effects(study, trials));
        document.chart(history(study, trials));
    }
    failures(trials, &mut document);
    document.heading(1, "Subject");
    document.facts(subject::facts(&study.study.subject));
    if detail == Detail::Full {
        document.heading(1, "All trials");
        document.table(trial_table(study, trials));
    }
    document
}

/// Says what came of it; gives the configuration to use.
fn verdict(
    study: &OpenStudy,
    conclusion: Option<&Conclusion>,
    document: &mut Document,
) -> Option<Configuration> {
    match conclusion {
        None => {
            document.warning("the search is not over: go on with `gguflab tune … --resume`");
            None
        }
        Some(Conclusion::Raced(race)) => {
            document.paragraph(verdict_in_words(race, study));
            Some(race.winner.clone())
        }
        Some(Conclusion::Unraced { winner, reason }) => {
            document.paragraph(format!("Use `{winner}`. There was no race: {reason}."));
            Some(winner.clone())
        }
        Some(Conclusion::AllFailed { outcome, cause, count, visits }) => {
            document.warning(format!(
                "nothing ran: {count} of {visits} trials ended as {outcome}, because: {cause}"
            ));
            document.paragraph(remedy(*outcome));
            None
        }
    }
}

fn remedy(outcome: Outcome) -> &'static str {
    match outcome {
        Outcome::OutOfMemory => {
            "Take a shorter workload (--depth, --prompt), a smaller model or fewer gpu-layers."
        }
        Outcome::TimedOut => "Give more time with --timeout-per-trial, or take a shorter workload.",
        Outcome::Rejected => "Look at the settings: the engine refuses them for this model.",
        _ => "Look at the engine's log with `gguflab study show STUDY 0 --log`.",
    }
}

/// The difference in words that do not depend on the direction of the objective: always in terms of time.
fn verdict_in_words(race: &RaceResult, study: &OpenStudy) -> String {
    let objective = study.objective;
    let baseline = if study.settings.baseline.is_default() { "llama.cpp's defaults" } else { "the baseline" };
    let (leader, difference) = match (&race.leader, &race.difference) {
        (Some(leader), Some(difference)) => (leader, difference),
        (Some(leader), None) if race.verdict == Verdict::Better => {
            return format!("Use `{leader}`: {baseline} do not run, and it was the best of those that do.");
        }
        _ => return format!("Keep {baseline}: no other configuration lasted to the end of the race."),
    };
    let amount = in_words(&natural(difference, objective.direction));
    match race.verdict {
        Verdict::Better => format!("Use `{leader}`: {} against {baseline} {amount}.", objective.name),
        Verdict::Indistinguishable => format!(
            "A tie: keep {baseline}. The best other configuration, `{leader}`, differs in {} by {amount}, which is \
             within the margin of {}.",
            objective.name,
            percent(study.settings.margin)
        ),
        Verdict::Undecided => format!(
            "A tie so far: keep {baseline}. The best other configuration, `{leader}`, differs in {} by {amount}; \
             the budget ended before they could be told apart.",
            objective.name
        ),
        Verdict::Worse => format!(
            "Keep {baseline}: the best other configuration, `{leader}`, is worse ({} {amount}).",
            objective.name
        ),
    }
}

/// A relative difference of costs as one of the objective itself: 20 % less time per token is 25 % more tokens per
/// second.
fn natural(difference: &Estimate, direction: Direction) -> Estimate {
    if direction != Direction::Higher {
        return difference.clone();
    }
    let invert = |cost: f64| 1.0 / (1.0 + cost) - 1.0;
    let mut natural = difference.map(invert);
    if let Some(interval) = &mut natural.interval {
        std::mem::swap(&mut interval.low, &mut interval.high);
    }
    natural
}

fn in_words(difference: &Estimate) -> String {
    match difference.interval {
        Some(interval) => format!(
            "{} (95 % interval {} to {})",
            signed(difference.value),
            signed(interval.low),
            signed(interval.high)
        ),
        None => format!("{} (no interval: too few rounds)", signed(difference.value)),
    }
}

fn signed(fraction: f64) -> String {
    format!("{:+.1} %", fraction * 100.0).replace('-', "−")
}

fn percent(fraction: f64) -> String {
    format!("{} %", fraction * 100.0)
}

/// The command lines that reproduce the winner.
fn take_away(study: &OpenStudy, winner: &Configuration, model: &Path, document: &mut Document) {
    let spelled_out = winner.spelled_out(study.plan.space.facts());
    commands::add_commands(document, model, &spelled_out, &study.settings.workload);
    if let Some(note) = engine_note(study) {
        document.information(note);
    }
    let facts = study.plan.space.facts();
    let lossy = winner.settings().filter_map(|(name, _)| facts.knob(name)).any(|knob| knob.lossy);
    if lossy {
        document
            .warning("the winner has settings that change what the model says; its quality was not checked");
    }
}

/// What the command lines do not carry of how it was measured.
fn engine_note(study: &OpenStudy) -> Option<String> {
    let engine = &study.study.subject.engine;
    let plain = engine.environment.is_empty() && engine.wrapper.is_empty() && engine.library_paths.is_empty();
    let default = gguflab_types::Protocol::default();
    let protocol = &study.settings.protocol;
    let usual = protocol.prompt == default.prompt && protocol.text.is_empty();
    (engine.kind != "embedded" || !plain || !usual).then(|| {
        "the command lines carry the settings only: engine, environment, wrapper and prompts are as shown under Subject"
            .to_string()
    })
}

fn race_in_words(race: &RaceResult, study: &OpenStudy) -> String {
    let finish = match race.finish {
        Finish::Settled => "It ended because everything was decided.",
        Finish::NoneLeft => "It ended because no contender was left.",
        Finish::BudgetEnded => "It ended with the budget.",
    };
    let tied = match race.tied.len() {
        0 => String::new(),
        1 => " One contender could not be told apart from the best one.".to_string(),
        count => format!(" {count} contenders could not be told apart from the best one."),
    };
    format!(
        "{} visits in {} interleaved rounds, the baseline in every round; differences are paired within rounds, \
         below 0 is less {}. {finish}{tied}",
        race.visits,
        race.rounds,
        if study.objective.direction == Direction::Higher { "time per token" } else { "time" }
    )
}

fn race_table(race: &RaceResult, study: &OpenStudy) -> Table {
    let columns = [
        Column::new("configuration"),
        Column::with_unit(study.objective.name, study.objective.unit),
        Column::new("difference in time to the baseline").help("paired, with its 95 % interval"),
        Column::new("rounds"),
        Column::new("outcome"),
    ];
    let mut table = Table::new("Standings", columns);
    for standing in &race.standings {
        let value = standing.value.map(|value| study.objective.to_cost(value));
        table.push([
            Cell::code(standing.configuration.to_string()),
            value.map_or(Cell::missing("none"), |value| Cell::number(value, study.objective.unit)),
            standing.difference.as_ref().map_or_else(|| no_difference(standing), change_cell),
            Cell::count(standing.rounds as u64),
            standing_cell(standing, race),
        ]);
    }
    table
}

fn no_difference(standing: &Standing) -> Cell {
    Cell::missing(if standing.baseline { "the baseline" } else { "no round with the baseline" })
}

fn standing_cell(standing: &Standing, race: &RaceResult) -> Cell {
    let reason = standing.dropped.map(|dropped| dropped.reason);
    let (text, tone) = match reason {
        _ if standing.configuration == race.winner => ("winner", Tone::Good),
        Some(DropReason::Failed(_)) => ("failed", Tone::Bad),
        Some(DropReason::ClearlyWorse) => ("clearly worse", Tone::Bad),
        Some(DropReason::Halved) => ("out at halving", Tone::Neutral),
        None if standing.baseline => ("baseline", Tone::Neutral),
        None if race.tied.contains(&standing.configuration) => ("tied", Tone::Neutral),
        None => ("finished", Tone::Neutral),
    };
    Cell::status(text, tone)
}

fn race_chart(race: &RaceResult) -> Chart {
    let rows = race.standings.iter().filter_map(|standing| {
        let difference = standing.difference.as_ref()?;
        let interval = difference.interval.map(|interval| (interval.low, interval.high));
        Some(Row::new(standing.configuration.to_string(), difference.value, interval))
    });
    Chart {
        title: "Difference in time to the baseline".to_string(),
        caption: "left of the line is faster; bars are 95 % intervals".to_string(),
        kind: ChartKind::Intervals {
            axis: Axis { label: "difference".to_string(), unit: Unit::Fraction },
            rows: rows.collect(),
            reference: Some(Reference { label: "baseline".to_string(), value: 0.0 }),
        },
    }
}

fn search_facts(study: &OpenStudy, trials: &[Trial]) -> Vec<(String, Cell)> {
    let settings = &study.settings;
    let requests: Vec<String> = settings.workload.requests.iter().map(|request| request.label()).collect();
    let count = |purpose: Purpose| trials.iter().filter(|trial| trial.purpose == purpose).count() as u64;
    vec![
        ("workload".to_string(), Cell::text(format!("{}: {}", settings.workload.name, requests.join(", ")))),
        ("objective".to_string(), Cell::text(study.objective.help)),
        ("configurations".to_string(), Cell::text(study.plan.space.size().to_string())),
        ("sampler".to_string(), Cell::text(study.plan.sampler().name)),
        ("trials".to_string(), Cell::count(trials.len() as u64)),
        ("of the baseline".to_string(), Cell::count(count(Purpose::Baseline))),
        ("of the race".to_string(), Cell::count(count(Purpose::Race))),
        ("time in trials".to_string(), Cell::number(OpenStudy::elapsed(trials), Unit::Seconds)),
        ("seed".to_string(), Cell::count(settings.seed)),
    ]
}

/// What each value of a knob did while all else was as in the baseline, or in the best point of the screen.
fn effects(study: &OpenStudy, trials: &[Trial]) -> Table {
    let visits = study.visits(trials);
    let searched: Vec<&Visit> = visits.iter().filter(|visit| visit.exploratory()).collect();
    let baseline = baseline_cost(&visits);
    let columns = [
        Column::new("configuration"),
        Column::with_unit(study.objective.name, study.objective.unit),
        Column::new("time against the baseline").help("single visits: no interval; the race decides"),
        Column::new("outcome"),
    ];
    let mut table = Table::new("What was tried", columns);
    for visit in searched {
        let cost = visit.measured();
        let value = cost.map(|cost| Cell::number(study.objective.to_cost(cost), study.objective.unit));
        let change =
            cost.zip(baseline).map(|(cost, base)| Cell::change(cost / base - 1.0, None, Unit::Fraction));
        let tone = if cost.is_some() { Tone::Neutral } else { Tone::Bad };
        table.push([
            Cell::code(visit.configuration.to_string()),
            value.unwrap_or_else(|| Cell::missing("none")),
            change.unwrap_or_else(|| Cell::missing("none")),
            Cell::status(visit.outcome.map_or("running".to_string(), |outcome| outcome.to_string()), tone),
        ]);
    }
    table
}

fn baseline_cost(visits: &[Visit]) -> Option<f64> {
    let of_baseline = visits.iter().filter(|visit| visit.purpose == Purpose::Baseline);
    median(&of_baseline.filter_map(Visit::measured).collect::<Vec<f64>>())
}

fn history(study: &OpenStudy, trials: &[Trial]) -> Chart {
    let mut series: BTreeMap<Purpose, Vec<Point>> = BTreeMap::new();
    let mut marks = Vec::new();
    for trial in trials {
        let number = f64::from(trial.number);
        let measured = trial.ending.as_ref().filter(|ending| ending.outcome == Outcome::Measured);
        match (measured.and_then(|_| study.value(trial)), &trial.ending) {
            (Some(value), _) => series.entry(trial.purpose).or_default().push(Point {
                x: number,
                y: value,
                ..Point::default()
            }),
            (None, Some(ending)) => {
                marks.push(Mark { x: number, kind: ending.outcome.to_string(), label: ending.cause.clone() })
            }
            (None, None) => {}
        }
    }
    let series = series.into_iter().map(|(purpose, points)| Series {
        name: purpose.name().to_string(),
        shape: Shape::Points,
        points,
    });
    Chart {
        title: "Every trial".to_string(),
        caption: "in the order in which they were run".to_string(),
        kind: ChartKind::History {
            across: Axis { label: "trial".to_string(), unit: Unit::Count },
            axis: Axis { label: study.objective.name.to_string(), unit: study.objective.unit },
            series: series.collect(),
            marks,
        },
    }
}

fn failures(trials: &[Trial], document: &mut Document) {
    let failed = |trial: &&Trial| {
        trial
            .ending
            .as_ref()
            .is_some_and(|ending| !matches!(ending.outcome, Outcome::Measured | Outcome::Pruned))
    };
    if !trials.iter().any(|trial| failed(&trial)) {
        return;
    }
    let columns = ["trial", "configuration", "outcome", "cause"].map(Column::new);
    let mut table = Table::new("Failures", columns);
    for trial in trials.iter().filter(failed) {
        let cause = trial.ending.as_ref().map_or("", |ending| &ending.cause);
        table.push([
            Cell::count(u64::from(trial.number)),
            Cell::code(trial.configuration.to_string()),
            super::study::outcome_cell(trial),
            Cell::text(cause),
        ]);
    }
    document.table(table);
}
