//! What a check against a baseline came to.

use super::compare::{differences, how_in_words};
use super::{change_cell, estimate_cell, subject};
use crate::baseline::Accepted;
use crate::compare::{blocks_of, estimate, sequence};
use crate::gate::threshold::{Bound, Threshold};
use crate::gate::{Against, Check, Finding, stored_difference};
use crate::interleave::{Limits, blocks};
use gguflab_report::calendar::instant;
use gguflab_report::document::Tone;
use gguflab_report::format::number;
use gguflab_report::text::escape;
use gguflab_report::{Cell, Column, Document, Table};
use gguflab_stats::Estimate;
use gguflab_stats::sequential::{Design, Gate};
use gguflab_types::Unit;

/// The document of a check.
#[must_use]
pub fn document(
    name: &str,
    accepted: &Accepted,
    check: &Check,
    thresholds: &[Threshold],
    limits: &Limits,
    warnings: &[String],
) -> Document {
    let mut document = Document::new(format!("Check against baseline {name}"));
    document.paragraph(in_words(name, accepted, check));
    for warning in warnings.iter().chain(&check.remarks) {
        document.warning(warning);
    }
    document.table(table(check, thresholds, limits));
    if check.against == Against::Build {
        document.paragraph(how_in_words(&check.interleaved));
        drifted(accepted, check, thresholds, &mut document);
    }
    document.heading(1, "What differs");
    let names = ["baseline".to_string(), "checked".to_string()];
    document.table(differences(&names, &check.interleaved.sides));
    document.heading(1, "Subject");
    document.facts(subject::facts(&check.interleaved.sides[1].subject));
    document
}

fn in_words(name: &str, accepted: &Accepted, check: &Check) -> String {
    let number = accepted.number;
    let of = format!("baseline {name} (number {number}, accepted {})", instant(accepted.baseline.accepted));
    match check.verdict {
        Gate::Pass => format!("Pass: every threshold of {of} is kept."),
        Gate::Fail => format!("Fail: not all thresholds of {of} are kept."),
        Gate::Inconclusive => format!(
            "Inconclusive: it cannot be told whether all thresholds of {of} are kept. {}",
            advice(check.against)
        ),
    }
}

fn advice(against: Against) -> &'static str {
    match against {
        Against::Build => {
            "More visits would tell: raise --budget-time and --budget-runs, or measure on a quieter machine."
        }
        Against::Stored => {
            "Against stored samples there are as many visits as were accepted, whatever the budget: run the accepted build \
             in turn (gate accept --keep-build, or --reference-engine), or accept anew with more --visits."
        }
    }
}

fn table(check: &Check, thresholds: &[Threshold], limits: &Limits) -> Table {
    let columns = [
        Column::new("threshold"),
        Column::new("baseline"),
        Column::new("checked"),
        Column::new("difference").help("with an interval that holds for all looks together"),
        Column::new("verdict"),
    ];
    let mut table = Table::new("", columns);
    for (threshold, finding) in thresholds.iter().zip(&check.findings) {
        let unit = threshold.quantity.unit;
        let side = |side: usize| {
            let found = estimate(&threshold.quantity, &check.interleaved.sides[side]);
            found.map_or(Cell::missing("not measured"), |estimate| estimate_cell(&estimate, unit))
        };
        let difference = difference(check, threshold, limits);
        let difference = difference.map_or(Cell::missing("none"), |difference| change_cell(&difference));
        table.push([Cell::code(&threshold.text), side(0), side(1), difference, verdict_cell(finding)]);
    }
    // What is no threshold: the outputs, and whether it runs at all.
    for finding in check.findings.iter().skip(thresholds.len()) {
        let nothing = || Cell::missing("no number");
        table.push([Cell::text(&finding.threshold), nothing(), nothing(), nothing(), verdict_cell(finding)]);
    }
    table
}

/// The difference to the baseline; `limits` are those under which it was measured in turn.
pub(super) fn difference(check: &Check, threshold: &Threshold, limits: &Limits) -> Option<Estimate> {
    let sides = &check.interleaved.sides;
    match check.against {
        Against::Stored => stored_difference(threshold, sides),
        Against::Build => {
            let look = sequence(Design::GATE, limits, sides)?.look(&blocks_of(&threshold.quantity, sides))?;
            Some(look.difference)
        }
    }
}

fn verdict_cell(finding: &Finding) -> Cell {
    let word = word(finding.verdict);
    let text = match finding.remark.as_str() {
        "" => word.to_string(),
        remark => format!("{word}: {remark}"),
    };
    Cell::status(text, tone(finding.verdict))
}

/// The word for a verdict.
#[must_use]
pub fn word(verdict: Gate) -> &'static str {
    match verdict {
        Gate::Pass => "pass",
        Gate::Fail => "fail",
        Gate::Inconclusive => "inconclusive",
    }
}

pub(super) fn tone(verdict: Gate) -> Tone {
    match verdict {
        Gate::Pass => Tone::Good,
        Gate::Fail => Tone::Bad,
        Gate::Inconclusive => Tone::Neutral,
    }
}

/// How the accepted build measures now beside what it measured when it was accepted: that is the machine's own change.
fn drifted(accepted: &Accepted, check: &Check, thresholds: &[Threshold], document: &mut Document) {
    if blocks(&check.interleaved.sides).is_empty() {
        return;
    }
    let then_and_now = [accepted.baseline.record.clone(), check.interleaved.sides[0].clone()];
    let relative = thresholds.iter().filter(|one| matches!(one.bound, Bound::Relative(_)));
    let told: Vec<String> = relative
        .filter_map(|one| {
            let change = stored_difference(one, &then_and_now)?;
            let share = number(change.value, Unit::Fraction);
            Some(format!("{} {}{share}", one.quantity.text, if change.value >= 0.0 { "+" } else { "" }))
        })
        .collect();
    if !told.is_empty() {
        document.paragraph(format!(
            "The accepted build itself measures otherwise today than when it was accepted: {}. That is the machine's, \
             and counts for neither side.",
            told.join(", ")
        ));
    }
}

/// A check as a JUnit report: one test case for each threshold; what is inconclusive is an error there, since it is
/// neither kept nor broken.
#[must_use]
pub fn junit(name: &str, check: &Check) -> String {
    let count = |verdict| check.findings.iter().filter(|one| one.verdict == verdict).count();
    let (failures, errors) = (count(Gate::Fail), count(Gate::Inconclusive));
    let suite = escape(&format!("gguflab gate {name}"));
    let counts = format!("tests=\"{}\" failures=\"{failures}\" errors=\"{errors}\"", check.findings.len());
    let mut text = format!("<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n<testsuites {counts}>\n");
    text.push_str(&format!("  <testsuite name=\"{suite}\" {counts}>\n"));
    for finding in &check.findings {
        let case = escape(&finding.threshold);
        let message = escape(&finding.remark);
        let element = match finding.verdict {
            Gate::Pass => String::new(),
            Gate::Fail => format!("<failure message=\"not kept {message}\"/>"),
            Gate::Inconclusive => format!("<error message=\"inconclusive {message}\"/>"),
        };
        text.push_str(&format!("    <testcase classname=\"{suite}\" name=\"{case}\">{element}</testcase>\n"));
    }
    text.push_str("  </testsuite>\n</testsuites>\n");
    text
}
