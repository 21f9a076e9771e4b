//! Studies and trials as they are stored.

use super::{quality, subject};
use crate::objective;
use crate::quality::{Qualities, is_window};
use crate::study::OpenStudy;
use gguflab_report::document::Tone;
use gguflab_report::{Cell, Column, Document, Table};
use gguflab_store::StudySummary;
use gguflab_types::{Direction, Outcome, Purpose, Repetition, Trial, Unit, metric};

/// The studies of a file.
#[must_use]
pub fn list(file: &str, studies: &[StudySummary]) -> Document {
    let mut document = Document::new(format!("Studies in {file}"));
    let names = ["study", "model", "engine", "objective", "trials", "measured", "running", "waiting", "best"];
    let columns = names.map(Column::new).into_iter();
    let mut table = Table::new("", columns);
    for study in studies {
        let subject = study.subject.as_ref();
        table.push([
            Cell::text(&study.name),
            subject
                .map_or(Cell::missing("made by another program"), |subject| Cell::text(&subject.model.name)),
            subject.map_or(Cell::missing(""), |subject| Cell::text(&subject.engine.kind)),
            Cell::text(objectives(study)),
            Cell::count(u64::from(study.trials)),
            Cell::count(u64::from(study.complete)),
            Cell::count(u64::from(study.running)),
            Cell::count(u64::from(study.waiting)),
            study.best.map_or(Cell::missing("none yet"), |best| Cell::number(best, unit(study))),
        ]);
    }
    document.table(table);
    document
}

/// The objectives by name with the better direction; those of another program need not have names.
fn objectives(study: &StudySummary) -> String {
    let one = |objective: &gguflab_store::Objective| {
        let arrow = match objective.direction {
            Direction::Higher => "↑",
            Direction::Lower => "↓",
            Direction::Neutral => "?",
        };
        format!("{} {arrow}", objective.metric).trim().to_string()
    };
    study.objectives.iter().map(one).collect::<Vec<_>>().join(", ")
}

/// The unit of the best value: of the first objective, if it is one of ours.
fn unit(study: &StudySummary) -> Unit {
    let known = study.objectives.first().filter(|_| study.subject.is_some());
    known.and_then(|objective| objective::find(&objective.metric)).map_or(Unit::None, |known| known.unit)
}

/// The trials of a study, one row each: what `export` writes.
#[must_use]
pub fn trials(study: &OpenStudy, trials: &[Trial]) -> Document {
    let mut document = Document::new(format!("Trials of {}", study.study.name));
    document.table(trial_table(study, trials));
    document
}

pub(super) fn trial_table(study: &OpenStudy, trials: &[Trial]) -> Table {
    let objective = study.objective;
    let fixed = ["trial", "purpose", "round", "outcome"].map(Column::new).into_iter();
    let knobs = study.study.space.iter().map(|(knob, _)| Column::new(knob));
    let measured = [
        Column::with_unit(objective.name, objective.unit),
        Column::with_unit("prefill", Unit::TokensPerSecond),
        Column::with_unit("first token", Unit::Seconds),
        Column::with_unit("decode", Unit::TokensPerSecond),
        Column::with_unit("peak memory", Unit::Bytes),
        Column::with_unit("duration", Unit::Seconds),
        Column::new("cause"),
    ];
    let required = study.required_qualities();
    let qualities = study.qualities(trials);
    let changed = required.iter().map(|quality| Column::with_unit(quality.name, quality.unit));
    let mut table = Table::new("Trials", fixed.chain(knobs).chain(measured).chain(changed));
    for trial in trials {
        let mut row = trial_row(study, trial, &qualities);
        let said = study.said(&trial.configuration, &qualities);
        row.extend(required.iter().map(|required| quality::cell(required, said)));
        table.push(row);
    }
    table
}

fn trial_row(study: &OpenStudy, trial: &Trial, qualities: &Qualities) -> Vec<Cell> {
    let number =
        |value: Option<f64>, unit: Unit| value.map_or(Cell::missing(""), |value| Cell::number(value, unit));
    let knobs =
        study.study.space.iter().map(|(knob, _)| Cell::text(trial.configuration.get(knob).to_string()));
    let mut row = vec![
        Cell::count(u64::from(trial.number)),
        Cell::text(trial.purpose.name()),
        Cell::count(u64::from(trial.round)),
        outcome_cell(trial),
    ];
    row.extend(knobs);
    row.push(number(study.value(trial), study.objective.unit));
    row.push(number(typical(trial, metric::PREFILL), Unit::TokensPerSecond));
    row.push(number(typical(trial, metric::FIRST_TOKEN), Unit::Seconds));
    row.push(number(typical(trial, metric::DECODE), Unit::TokensPerSecond));
    row.push(number(typical(trial, metric::PEAK_MEMORY), Unit::Bytes));
    row.push(number(trial.duration, Unit::Seconds));
    row.push(Cell::text(cause(study, trial, qualities)));
    row
}

/// The median over a trial's repetitions.
fn typical(trial: &Trial, name: &str) -> Option<f64> {
    let values: Vec<f64> = trial.repetitions.iter().filter_map(|one| one.value(name)).collect();
    gguflab_stats::median(&values)
}

/// Why a trial ended as it did, or how it misses what is required.
fn cause(study: &OpenStudy, trial: &Trial, qualities: &Qualities) -> String {
    let ended = || trial.ending.as_ref().map(|ending| ending.cause.clone()).unwrap_or_default();
    study.violation(trial, qualities).map_or_else(ended, |violation| violation.words)
}

pub(super) fn outcome_cell(trial: &Trial) -> Cell {
    match &trial.ending {
        None => Cell::status("running", Tone::Neutral),
        Some(ending) => {
            let tone = match ending.outcome {
                Outcome::Measured => Tone::Good,
                Outcome::Pruned | Outcome::Cancelled => Tone::Neutral,
                _ => Tone::Bad,
            };
            Cell::status(ending.outcome.to_string(), tone)
        }
    }
}

/// One trial with all that is known of it, what is known of its quality, and its log if asked for.
#[must_use]
pub fn trial(study: &OpenStudy, trial: &Trial, qualities: &Qualities, log: Option<&str>) -> Document {
    let mut document = Document::new(format!("Trial {} of {}", trial.number, study.study.name));
    document.facts(subject::facts(&study.study.subject));
    let cause = cause(study, trial, qualities);
    document.facts([
        ("settings", Cell::code(trial.configuration.to_string())),
        ("purpose", Cell::text(trial.purpose.name())),
        ("outcome", outcome_cell(trial)),
        ("cause", Cell::text(cause)),
    ]);
    if trial.purpose == Purpose::Foreign {
        let told = study.value(trial).map(|value| Cell::number(value, study.objective.unit));
        document.facts([(study.objective.name, told.unwrap_or(Cell::missing("not told")))]);
        document.information("another program ran it and told its value; there are no samples");
    }
    if let Some(said) = study.said(&trial.configuration, qualities) {
        let found =
            study.requirements.iter().filter_map(|one| Some(("quality", Cell::text(one.found(said)?))));
        document.facts(found);
    }
    let (windows, repetitions): (Vec<&Repetition>, Vec<&Repetition>) =
        trial.repetitions.iter().partition(|one| is_window(one));
    if !repetitions.is_empty() {
        document.table(repetition_table(&repetitions));
    }
    if !windows.is_empty() {
        document.table(quality::windows(&windows));
    }
    if let Some(log) = log {
        document.code("", log, "the engine's log");
    }
    document
}

fn repetition_table(repetitions: &[&Repetition]) -> Table {
    let columns = [
        Column::new("request"),
        Column::new("repetition"),
        Column::new("metric"),
        Column::new("value"),
        Column::new("values"),
        Column::new("noisy"),
    ];
    let mut table = Table::new("Samples", columns);
    for one in repetitions {
        for sample in &one.samples {
            let unit = metric::find(&sample.metric).map_or(Unit::None, |known| known.unit);
            let value = gguflab_stats::median(&sample.values);
            table.push([
                one.request.map_or(Cell::missing(""), |request| Cell::count(u64::from(request))),
                Cell::count(u64::from(one.index)),
                Cell::text(&sample.metric),
                value.map_or(Cell::missing(""), |value| Cell::number(value, unit)),
                Cell::count(sample.values.len() as u64),
                one.noisy.as_ref().map_or(Cell::missing(""), Cell::text),
            ]);
        }
    }
    table
}
