//! The race: who is really faster than the baseline.

use crate::documents;
use crate::documents::change_cell;
use crate::study::OpenStudy;
use gguflab_report::chart::{Axis, ChartKind, Reference};
use gguflab_report::document::Tone;
use gguflab_report::{Cell, Chart, Column, Table};
use gguflab_search::race::{DropReason, Finish, RaceResult, Standing};
use gguflab_types::{Direction, Outcome, Unit};

pub(super) fn race_in_words(race: &RaceResult, study: &OpenStudy) -> String {
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

pub(super) fn race_table(race: &RaceResult, study: &OpenStudy) -> Table {
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
        Some(DropReason::Failed(Outcome::Measured)) => ("misses what is required", Tone::Bad),
        Some(DropReason::Failed(_)) => ("failed", Tone::Bad),
        Some(DropReason::ClearlyWorse) => ("clearly worse", Tone::Bad),
        Some(DropReason::Halved) => ("out at halving", Tone::Neutral),
        None if standing.baseline => ("baseline", Tone::Neutral),
        None if race.tied.contains(&standing.configuration) => ("tied", Tone::Neutral),
        None => ("finished", Tone::Neutral),
    };
    Cell::status(text, tone)
}

pub(super) fn race_chart(race: &RaceResult) -> Chart {
    let rows = race.standings.iter().filter_map(|standing| {
        let difference = standing.difference.as_ref()?;
        Some(documents::row(standing.configuration.to_string(), difference))
    });
    Chart {
        title: "Difference in time to the baseline".to_string(),
        caption: "left of the line is faster; bars are 95 % intervals".to_string(),
        kind: ChartKind::Intervals {
            axis: Axis::new("difference", Unit::Fraction),
            rows: rows.collect(),
            reference: Some(Reference { label: "baseline".to_string(), value: 0.0 }),
        },
    }
}
