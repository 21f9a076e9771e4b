//! What settings change of what the model says, beside what is required of it.

use super::words::{count, list};
use super::{estimate_cell, objectives, row};
use crate::quality::{Qualities, Quality, QualitySettings, Said, in_window};
use crate::requirement::{Requirement, Standing};
use crate::study::OpenStudy;
use gguflab_report::chart::{Axis, ChartKind, Reference};
use gguflab_report::document::Tone;
use gguflab_report::{Cell, Chart, Column, Document, Table};
use gguflab_search::Conclusion;
use gguflab_types::{Configuration, Repetition, Trial, Unit};

/// What the winner changes, or that nobody looked.
pub(super) fn of_winner(
    study: &OpenStudy,
    winner: &Configuration,
    qualities: &Qualities,
    document: &mut Document,
) {
    let lossy = objectives::is_lossy(study, winner);
    match study.said(winner, qualities) {
        None if lossy => {
            document.warning(
                "the winner has settings that change what the model says; its quality was not checked: require it with \
                 --require 'divergence<0.05' --data FILE",
            );
        }
        Some(said) if said.windows() > 0 => {
            let found = study.requirements.iter().filter_map(|one| one.found(said));
            document.paragraph(format!(
                "What it changes of what the model says: {}.",
                found.collect::<Vec<String>>().join("; ")
            ));
        }
        _ => {}
    }
}

/// What was required of quality, by what it was judged, and what was found.
pub(super) fn add(
    study: &OpenStudy,
    trials: &[Trial],
    qualities: &Qualities,
    conclusion: Option<&Conclusion>,
    document: &mut Document,
) {
    let Some(settings) = &study.settings.quality else { return };
    let required: Vec<&Requirement> =
        study.requirements.iter().filter(|one| one.quality().is_some()).collect();
    let texts: Vec<String> = required.iter().map(|one| format!("`{}`", one.text)).collect();
    document.heading(1, "Quality");
    let known: Vec<(&Configuration, &Said)> =
        qualities.iter().filter(|(_, said)| said.is_itself() || said.windows() > 0).collect();
    // What somebody asked for by name may lie outside of what is searched.
    if !study.may_lose() && known.iter().all(|(_, said)| said.windows() == 0) {
        document.paragraph(format!(
            "No knob that was searched changes what the model says: {} held for everything that was tried, and nothing \
             was scored.",
            list(&texts)
        ));
        return;
    }
    document.paragraph(in_words(study, settings, &known, OpenStudy::elapsed(trials)));
    document.table(found(study, &required, &known, conclusion));
    for requirement in required {
        if let Some(chart) = chart(requirement, &known) {
            document.chart(chart);
        }
    }
    document.facts(protocol(study, settings));
}

fn in_words(
    study: &OpenStudy,
    settings: &QualitySettings,
    known: &[(&Configuration, &Said)],
    elapsed: f64,
) -> String {
    let windows: usize = known.iter().map(|(_, said)| said.windows()).sum();
    let seconds: f64 = known.iter().map(|(_, said)| said.seconds()).sum();
    let scored = known.iter().filter(|(_, said)| said.windows() > 0).count();
    let time = |seconds| gguflab_report::format::number(seconds, Unit::Seconds);
    let reference = match &settings.reference {
        Some(side) if side.settings.is_empty() => format!("`{}`", side.file),
        Some(side) => format!("`{} {}`", side.file, side.settings),
        None => format!("the baseline's `{}`", study.changing_values(&study.settings.baseline)),
    };
    format!(
        "{} of values of the knobs that change what the model says {} scored against {reference}, each once: {} in {} of the \
         {} in trials. Intervals hold at every look and for all that is searched together, for texts like this one; scoring \
         ended as soon as they lay on one side of what is required.",
        count(scored, "combination"),
        if scored == 1 { "was" } else { "were" },
        count(windows, "window"),
        time(seconds),
        time(elapsed)
    )
}

/// What was found of each set of values.
fn found(
    study: &OpenStudy,
    required: &[&Requirement],
    known: &[(&Configuration, &Said)],
    conclusion: Option<&Conclusion>,
) -> Table {
    let figures = study.required_qualities();
    let columns = [Column::new("settings"), Column::new("windows")].into_iter();
    let measured =
        figures.iter().map(|quality| Column::with_unit(quality.name, quality.unit).help(quality.help));
    let judged = required.iter().map(|one| Column::new(&one.text));
    let columns = columns.chain(measured).chain(judged).chain([Column::new("who has them")]);
    let mut table = Table::new("What settings change of what the model says", columns);
    for (values, said) in known {
        let windows = match said.is_itself() {
            true => Cell::missing("the reference"),
            false => Cell::text(format!("{} of {}", said.windows(), said.all())),
        };
        let cells = [Cell::code(values.to_string()), windows].into_iter();
        let measured = figures.iter().map(|quality| cell(quality, Some(said)));
        let judged = required.iter().filter_map(|one| Some(standing(one.standing(one.quality()?, said))));
        table.push(cells.chain(measured).chain(judged).chain([role(study, values, conclusion)]));
    }
    table
}

/// A figure as a cell.
pub(super) fn cell(quality: &Quality, said: Option<&Said>) -> Cell {
    let Some(said) = said.filter(|said| said.is_itself() || said.windows() > 0) else {
        return Cell::missing("not scored");
    };
    match said.estimate(quality) {
        Some(estimate) if said.is_itself() => Cell::number(estimate.value, quality.unit),
        Some(estimate) => estimate_cell(&estimate, quality.unit),
        None => Cell::missing("no position has a number"),
    }
}

fn standing(standing: Standing) -> Cell {
    match standing {
        Standing::Held => Cell::status("held", Tone::Good),
        Standing::Missed => Cell::status("missed", Tone::Bad),
        Standing::Open => Cell::status("open", Tone::Neutral),
    }
}

/// Who of those that matter has these values.
fn role(study: &OpenStudy, values: &Configuration, conclusion: Option<&Conclusion>) -> Cell {
    let has = |configuration: &Configuration| study.changing_values(configuration) == *values;
    let raced = match conclusion {
        Some(Conclusion::Raced(race)) => &race.standings[..],
        _ => &[],
    };
    let finalists = raced.iter().filter(|one| !one.baseline && has(&one.configuration)).count();
    let mut roles = Vec::new();
    if super::tune::winner(conclusion).is_some_and(has) {
        roles.push("the winner".to_string());
    }
    if has(&study.settings.baseline) {
        roles.push("the baseline".to_string());
    }
    if finalists > 0 {
        roles.push(count(finalists, "finalist"));
    }
    Cell::text(list(&roles))
}

/// The intervals beside the bound; nothing where there is none.
fn chart(requirement: &Requirement, known: &[(&Configuration, &Said)]) -> Option<Chart> {
    let quality = requirement.quality()?;
    let estimates = known.iter().filter(|(_, said)| !said.is_itself());
    let rows = estimates.filter_map(|(values, said)| {
        let estimate = said.estimate(quality).filter(|one| one.interval.is_some())?;
        Some(row(values.to_string(), &estimate))
    });
    let rows: Vec<_> = rows.collect();
    (!rows.is_empty()).then(|| {
        let axis = Axis::new(quality.name, quality.unit);
        let axis = if quality.unit == Unit::Nats { axis.logarithmic() } else { axis };
        let reference = Some(Reference { label: "required".to_string(), value: requirement.bound() });
        Chart::new(
            format!("{} by settings", quality.name),
            format!("{}; the line is `{}`", quality.help, requirement.text),
            ChartKind::Intervals { axis, rows, reference },
        )
    })
}

/// By what the figures were found: numbers of other texts and windows cannot be compared.
fn protocol(study: &OpenStudy, settings: &QualitySettings) -> Vec<(String, Cell)> {
    let texts = settings.texts.iter().map(|text| {
        let hash: String = text.sha256.chars().take(16).collect();
        let bytes = gguflab_report::format::number(text.bytes as f64, Unit::Bytes);
        ("text".to_string(), Cell::text(format!("{}, {bytes}, sha256 {hash}", text.label)))
    });
    let windowing = &settings.windowing;
    let rest = [
        ("rule", Cell::text(windowing.rule.name())),
        ("window", Cell::number(f64::from(windowing.context), Unit::Tokens)),
        ("order of windows", Cell::text(format!("random, seed {}", study.settings.seed))),
    ];
    texts.chain(rest.into_iter().map(|(name, cell)| (name.to_string(), cell))).collect()
}

/// The windows that a trial scored.
pub(super) fn windows(windows: &[&Repetition]) -> Table {
    let figures = crate::quality::QUALITIES;
    let columns = [Column::new("window")].into_iter();
    let measured =
        figures.iter().map(|quality| Column::with_unit(quality.name, quality.unit).help(quality.help));
    let columns = columns.chain(measured).chain([Column::with_unit("duration", Unit::Seconds)]);
    let mut table = Table::new("Windows that were scored", columns);
    for window in windows {
        let measured = figures.iter().map(|quality| {
            in_window(quality, window)
                .map_or(Cell::missing("no number"), |value| Cell::number(value, quality.unit))
        });
        let number = [Cell::count(u64::from(window.index))].into_iter();
        table.push(number.chain(measured).chain([Cell::number(window.duration, Unit::Seconds)]));
    }
    table
}
