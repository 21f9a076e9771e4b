//! Several objectives, what is required, and what was cut: what a report says beside verdict and race.

use super::words::{count, list};
use crate::objective::Objective;
use crate::quality::Qualities;
use crate::study::OpenStudy;
use gguflab_report::chart::{Axis, ChartKind, Point, Series, Shape};
use gguflab_report::document::Tone;
use gguflab_report::{Cell, Chart, Column, Document, Table};
use gguflab_stats::{median, pareto};
use gguflab_types::{Configuration, Outcome, Trial, Unit};

/// A configuration with the median of each objective over its visits, in their own units.
struct Tried {
    configuration: Configuration,
    values: Vec<f64>,
}

/// The front of several objectives: the configurations that nothing beats in all of them.
pub(super) fn front(
    study: &OpenStudy,
    trials: &[Trial],
    qualities: &Qualities,
    winner: Option<&Configuration>,
    document: &mut Document,
) {
    if study.objectives.len() < 2 {
        return;
    }
    let tried = tried(study, trials, qualities);
    let costs: Vec<Vec<f64>> = tried.iter().map(|one| costs(&study.objectives, &one.values)).collect();
    let mut places = pareto::front(&costs);
    if places.is_empty() {
        return;
    }
    places.sort_by(|one, other| costs[*one][0].total_cmp(&costs[*other][0]));
    document.heading(1, "Front");
    let names: Vec<String> = study.objectives.iter().map(|one| one.name.to_string()).collect();
    document.paragraph(format!(
        "{} of {} that ran: no other one is better in {} without being worse in one of them. The winner is chosen by \
         the time of the workload; each value is the median of all visits, so that what lies close to the front may \
         belong to it.",
        count(places.len(), "configuration"),
        tried.len(),
        list(&names),
    ));
    let on_front: Vec<&Tried> = places.iter().map(|place| &tried[*place]).collect();
    document.table(front_table(study, &tried, &on_front, winner));
    let unchecked = study.settings.quality.is_none();
    if unchecked && on_front.iter().any(|one| is_lossy(study, &one.configuration)) {
        document.warning(
            "some of the front have settings that change what the model says; their quality was not checked",
        );
    }
    document.chart(front_chart(study, &tried, &on_front, winner));
}

/// Whether it sets a knob that changes what the model says.
pub(super) fn is_lossy(study: &OpenStudy, configuration: &Configuration) -> bool {
    let facts = study.plan.space.facts();
    configuration.settings().filter_map(|(name, _)| facts.knob(name)).any(|knob| knob.lossy)
}

/// What was measured and may win, by configuration.
fn tried(study: &OpenStudy, trials: &[Trial], qualities: &Qualities) -> Vec<Tried> {
    let mut groups: Vec<(&Configuration, Vec<Vec<f64>>)> = Vec::new();
    for trial in trials.iter().filter(|trial| study.violation(trial, qualities).is_none()) {
        let Some(values) = study.values(trial) else { continue };
        match groups.iter_mut().find(|(configuration, _)| **configuration == trial.configuration) {
            Some((_, all)) => all.push(values),
            None => groups.push((&trial.configuration, vec![values])),
        }
    }
    let middle = |all: &[Vec<f64>], place: usize| {
        median(&all.iter().map(|values| values[place]).collect::<Vec<f64>>()).unwrap_or(f64::NAN)
    };
    let of = |(configuration, all): (&Configuration, Vec<Vec<f64>>)| Tried {
        configuration: configuration.clone(),
        values: (0..study.objectives.len()).map(|place| middle(&all, place)).collect(),
    };
    groups.into_iter().map(of).collect()
}

fn costs(objectives: &[&Objective], values: &[f64]) -> Vec<f64> {
    objectives.iter().zip(values).map(|(objective, value)| objective.to_cost(*value)).collect()
}

/// The front, and below it winner and baseline where they are not on it: the race may prefer in time what another one beats
/// in the medians.
fn front_table(
    study: &OpenStudy,
    tried: &[Tried],
    front: &[&Tried],
    winner: Option<&Configuration>,
) -> Table {
    let is_on_front = |one: &Tried| front.iter().any(|other| other.configuration == one.configuration);
    let named =
        |one: &&Tried| Some(&one.configuration) == winner || one.configuration == study.settings.baseline;
    let beside = tried.iter().filter(named).filter(|one| !is_on_front(one));
    let figures = study.objectives.iter().map(|one| Column::with_unit(one.name, one.unit));
    let columns = [Column::new("configuration")].into_iter().chain(figures).chain([Column::new("")]);
    let mut table = Table::new("Front", columns);
    for tried in front.iter().copied().chain(beside) {
        let beaten = if is_on_front(tried) { "" } else { ", beaten" };
        let mark = match &tried.configuration {
            one if Some(one) == winner => Cell::status(format!("winner{beaten}"), Tone::Good),
            one if *one == study.settings.baseline => {
                Cell::status(format!("baseline{beaten}"), Tone::Neutral)
            }
            _ => Cell::text(""),
        };
        let values = study.objectives.iter().zip(&tried.values);
        let figures = values.map(|(objective, value)| Cell::number(*value, objective.unit));
        let name = Cell::code(tried.configuration.to_string());
        table.push([name].into_iter().chain(figures).chain([mark]));
    }
    table
}

/// The first two objectives; what is beaten in all is drawn too.
fn front_chart(
    study: &OpenStudy,
    tried: &[Tried],
    front: &[&Tried],
    winner: Option<&Configuration>,
) -> Chart {
    let point = |one: &Tried| Point::new(one.values[0], one.values[1]).label(one.configuration.to_string());
    let is_on_front = |one: &Tried| front.iter().any(|other| other.configuration == one.configuration);
    let beaten = tried.iter().filter(|one| !is_on_front(one)).map(point);
    // In two figures the front is a line; in more it is no line in any two of them.
    let shape = if study.objectives.len() == 2 { Shape::Line } else { Shape::Points };
    let mut line: Vec<Point> = front.iter().map(|one| point(one)).collect();
    line.sort_by(|one, other| one.x.total_cmp(&other.x));
    let marked = |wanted: Option<&Configuration>| -> Vec<Point> {
        tried.iter().filter(|one| Some(&one.configuration) == wanted).map(point).collect()
    };
    let series = |name: &str, shape, points| Series { name: name.to_string(), shape, points };
    let baseline = Some(&study.settings.baseline);
    let all = [
        series("beaten", Shape::Points, beaten.collect()),
        series("front", shape, line),
        series("baseline", Shape::Points, if winner == baseline { Vec::new() } else { marked(baseline) }),
        series("winner", Shape::Points, marked(winner)),
    ];
    let (across, up) = (study.objectives[0], study.objectives[1]);
    Chart::new(
        format!("Front: {} against {}", up.name, across.name),
        if study.objectives.len() == 2 {
            "no configuration beats those on the front in both".to_string()
        } else {
            "the first two objectives; the table has the others".to_string()
        },
        ChartKind::Scatter {
            across: Axis::new(across.name, across.unit),
            axis: Axis::new(up.name, up.unit),
            series: all.into_iter().filter(|series| !series.points.is_empty()).collect(),
        },
    )
}

/// What is required, and which trials miss it.
pub(super) fn requirements(
    study: &OpenStudy,
    trials: &[Trial],
    qualities: &Qualities,
    document: &mut Document,
) {
    if study.requirements.is_empty() {
        return;
    }
    let missed: Vec<(&Trial, String)> =
        trials.iter().filter_map(|trial| Some((trial, study.violation(trial, qualities)?.words))).collect();
    let measured = trials.iter().filter(|trial| is(trial, Outcome::Measured)).count();
    let texts: Vec<String> = study.requirements.iter().map(|one| format!("`{}`", one.text)).collect();
    document.heading(1, "Required");
    document.paragraph(format!(
        "What misses {} cannot win: {} of {} did.",
        list(&texts),
        missed.len(),
        count(measured, "measured trial")
    ));
    if !missed.is_empty() {
        let mut table = Table::new("Missed", ["trial", "configuration", "why"].map(Column::new));
        for (trial, words) in missed {
            let configuration = Cell::code(trial.configuration.to_string());
            table.push([Cell::count(u64::from(trial.number)), configuration, Cell::text(words)]);
        }
        document.table(table);
    }
}

/// The trials that a pruner cut, and why.
pub(super) fn cut(study: &OpenStudy, trials: &[Trial], document: &mut Document) {
    let pruned: Vec<&Trial> = trials.iter().filter(|trial| is(trial, Outcome::Pruned)).collect();
    if pruned.is_empty() {
        return;
    }
    document.heading(1, "Cut short");
    document.paragraph(format!(
        "{} ended before all repetitions, pruned by `{}` because they could not win.",
        count(pruned.len(), "trial"),
        study.settings.pruner
    ));
    let columns = [
        Column::new("trial"),
        Column::new("configuration"),
        Column::with_unit("duration", Unit::Seconds),
        Column::new("why"),
    ];
    let mut table = Table::new("Pruned", columns);
    for trial in pruned {
        table.push([
            Cell::count(u64::from(trial.number)),
            Cell::code(trial.configuration.to_string()),
            trial.duration.map_or(Cell::missing(""), |seconds| Cell::number(seconds, Unit::Seconds)),
            Cell::text(trial.ending.as_ref().map_or("", |ending| &ending.cause)),
        ]);
    }
    document.table(table);
}

fn is(trial: &Trial, outcome: Outcome) -> bool {
    trial.ending.as_ref().is_some_and(|ending| ending.outcome == outcome)
}
