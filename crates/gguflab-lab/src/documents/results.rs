//! What two result files say together.

use super::compare::verdict_cell;
use super::words::{range, signed};
use super::{change_cell, estimate_cell};
use crate::results::{Judged, Pair};
use gguflab_report::{Cell, Column, Document, Table};
use gguflab_stats::Verdict;

/// The document: the verdict of the first test, everything in both files, and what cannot be told from them.
#[must_use]
pub fn document(judged: &Judged, margin: f64) -> Document {
    let [reference, candidate] = &judged.files;
    let mut document = Document::new(format!("{candidate} beside {reference}"));
    if let Some(first) = judged.pairs.first() {
        document.paragraph(in_words(first, judged, margin));
    }
    let mut remarks = judged.remarks.iter();
    if let Some(first) = remarks.next() {
        document.warning(first);
    }
    document.table(table(judged));
    if let Some(table) = percentiles(judged) {
        document.heading(1, "Percentiles");
        document.table(table);
    }
    let others: Vec<&String> = remarks.chain(&judged.alone).collect();
    if !others.is_empty() {
        document.heading(1, "What these files cannot support");
        others.into_iter().for_each(|remark| {
            document.information(remark);
        });
    }
    if !judged.differences.is_empty() {
        document.heading(1, "What differs");
        document.table(differences(judged));
    }
    document
}

fn in_words(pair: &Pair, judged: &Judged, margin: f64) -> String {
    let [reference, candidate] = &judged.files;
    let what = format!("{} {}", pair.label, pair.metric);
    let change = signed(pair.difference.value);
    let interval = pair.difference.interval.map_or("no interval".to_string(), range);
    let claim = match pair.verdict {
        Verdict::Better => format!("{candidate} is better than {reference}"),
        Verdict::Worse => format!("{candidate} is worse than {reference}"),
        Verdict::Indistinguishable => format!("The files do not differ by more than {}", signed(margin)),
        Verdict::Undecided => return format!("Undecided: {what} {change} ({interval})."),
    };
    format!("{claim}, if nothing else changed in between: {what} {change} ({interval}).")
}

fn table(judged: &Judged) -> Table {
    let [reference, candidate] = &judged.files;
    let columns = [
        Column::new("test"),
        Column::new("metric"),
        Column::new(reference),
        Column::new(candidate),
        Column::new("values").help("how many values each file has, reference first; a visit of bench is one"),
        Column::new("difference").help("95 % interval by Welch: the scatter within the files only"),
        Column::new("verdict").help("holds if nothing but the candidate changed in between"),
    ];
    let mut table = Table::new("", columns);
    for pair in &judged.pairs {
        let count = |count: Option<usize>| count.map_or("?".to_string(), |count| count.to_string());
        table.push([
            Cell::text(&pair.label),
            Cell::text(pair.metric),
            Cell::number(pair.levels[0], pair.unit),
            Cell::number(pair.levels[1], pair.unit),
            Cell::text(format!("{}, {}", count(pair.counts[0]), count(pair.counts[1]))),
            change_cell(&pair.difference),
            verdict_cell(pair.verdict),
        ]);
    }
    table
}

/// Percentiles of times: from values with intervals where there are enough, else as the file states them.
fn percentiles(judged: &Judged) -> Option<Table> {
    let [reference, candidate] = &judged.files;
    let columns =
        [Column::new("test"), Column::new("percentile"), Column::new(reference), Column::new(candidate)];
    let mut table = Table::new("", columns);
    for pair in &judged.pairs {
        let mut shares: Vec<f64> = pair.percentiles.iter().flatten().map(|found| found.probability).collect();
        shares.extend(pair.stated.iter().flatten().map(|(share, _)| *share));
        shares.sort_by(f64::total_cmp);
        shares.dedup();
        for share in shares {
            let name = format!("{} p{}", pair.metric, (share * 100.0).round());
            let cells = [cell(pair, 0, share), cell(pair, 1, share)];
            table.push([Cell::text(&pair.label), Cell::text(name)].into_iter().chain(cells));
        }
    }
    (!table.rows.is_empty()).then_some(table)
}

fn cell(pair: &Pair, side: usize, share: f64) -> Cell {
    if let Some(found) = pair.percentiles[side].iter().find(|found| found.probability == share) {
        let missing = || format!("{} values of {} needed", found.effective.floor(), found.needed);
        return found
            .estimate
            .as_ref()
            .map_or_else(|| Cell::missing(missing()), |found| estimate_cell(found, pair.unit));
    }
    match pair.stated[side].iter().find(|(stated, _)| *stated == share) {
        Some((_, value)) => Cell::number(*value, pair.unit),
        None => Cell::missing("not kept"),
    }
}

fn differences(judged: &Judged) -> Table {
    let [reference, candidate] = &judged.files;
    let mut table = Table::new("", [Column::new(""), Column::new(reference), Column::new(candidate)]);
    for (name, one, other) in &judged.differences {
        table.push([Cell::text(name), Cell::code(one), Cell::code(other)]);
    }
    table
}
