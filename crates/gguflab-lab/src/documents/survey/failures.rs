//! What failed, where and why.

use super::{charts, heatmaps};
use crate::survey::{Pooled, Run, Survey};
use gguflab_report::document::Tone;
use gguflab_report::{Cell, Column, Document, Table};
use gguflab_types::Outcome;

/// Rows that are shown before the rest is folded away.
const FIRST: usize = 5;

/// The failures with their causes, and where they lie; nothing where all went well.
pub(in crate::documents) fn add(survey: &Survey, groups: &[Pooled], document: &mut Document) {
    let runs: Vec<&Run> = survey.runs.iter().filter(|run| failed(run)).collect();
    if runs.is_empty() {
        return;
    }
    document.heading(1, "Failures");
    charts(heatmaps::failures(survey, groups), document);
    document.table(table(&runs[..runs.len().min(FIRST)]));
    if runs.len() > FIRST {
        let mut all = Document::new("");
        all.table(table(&runs));
        document.fold(format!("All {} failures", runs.len()), all);
    }
}

fn failed(run: &Run) -> bool {
    run.outcome.is_some_and(|outcome| !matches!(outcome, Outcome::Measured | Outcome::Pruned))
}

fn table(runs: &[&Run]) -> Table {
    let columns = ["trial", "configuration", "outcome", "cause"].map(Column::new);
    let mut table = Table::new("Failures", columns);
    for run in runs {
        let outcome = run.outcome.map_or(String::new(), |outcome| outcome.to_string());
        let tone = if run.outcome == Some(Outcome::Cancelled) { Tone::Neutral } else { Tone::Bad };
        table.push([
            Cell::count(u64::from(run.number)),
            Cell::code(run.configuration.to_string()),
            Cell::status(outcome, tone),
            Cell::text(&run.cause),
        ]);
    }
    table
}
