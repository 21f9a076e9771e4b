//! What a file of llama-bench-tuner holds.

use super::survey;
use crate::bench_tuner::Imported;
use crate::effects::Effects;
use gguflab_report::format;
use gguflab_report::{Cell, Document};

/// The relative difference that does not matter, where nobody said another.
const MARGIN: f64 = 0.01;

/// The document of a file: the best of it first. With `explain` it says of each knob in words what it did.
#[must_use]
pub fn document(file: &str, imported: &Imported, explain: bool) -> Document {
    let tried = &imported.survey;
    let groups = tried.pooled();
    let mut document = Document::new(format!("What {file} holds"));
    match groups.first().and_then(|best| Some((best, best.typical()?))) {
        Some((best, cost)) => {
            let value = format::number(tried.to_cost(cost), tried.measure.unit);
            document.paragraph(format!(
                "The best is `{}` with {} {value}.",
                best.configuration, tried.measure.name
            ));
        }
        None => {
            document.warning("no row has a rate: nothing was measured");
        }
    }
    document.warning(
        "The file does not say which model, program and machine were measured, and what was run once has no interval: \
         a single row can be far off.",
    );
    for remark in &imported.remarks {
        document.warning(remark);
    }
    let failed = tried.runs.iter().filter(|run| run.value.is_none()).count();
    document.facts([
        ("kind of file", Cell::text(imported.kind)),
        ("rows", Cell::count(tried.runs.len() as u64)),
        ("failed", Cell::count(failed as u64)),
        ("configurations", Cell::count(groups.len() as u64)),
    ]);
    let effects = Effects::of(tried);
    if explain {
        survey::explain::add(tried, &effects, MARGIN, &mut document);
    }
    survey::add(tried, &effects, &mut document);
    survey::failures::add(tried, &groups, &mut document);
    document
}
