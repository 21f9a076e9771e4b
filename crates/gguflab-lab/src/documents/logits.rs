//! What a store of logits holds.

use crate::evaluate::{EvaluateError, RecordRequest, Recorded, SideIdentity};
use gguflab_data::logits::LogitStore;
#[cfg(feature = "hdf5")]
use gguflab_data::logits::hdf5::{ComparisonFile, Divergences};
use gguflab_report::{Cell, Document};
#[cfg(feature = "hdf5")]
use gguflab_report::{Column, Table};
use gguflab_types::Unit;
use std::path::Path;

/// The document of a recording.
#[must_use]
pub fn recorded(request: &RecordRequest, recorded: &Recorded) -> Document {
    let path = request.path.display().to_string();
    let mut document = Document::new(format!("Logits of {}", request.reference.identity.name));
    for warning in &request.reference.warnings {
        document.warning(warning);
    }
    let all = recorded.windows + recorded.resumed;
    match &recorded.ending {
        None => document
            .paragraph(format!("{path} is whole: evaluate MODEL --reference {path} compares with it.")),
        Some(ending) => document.paragraph(format!(
            "Not whole yet: {}: {}. The same command goes on from here.",
            ending.outcome, ending.cause
        )),
    };
    let mut facts = vec![
        ("windows", Cell::count(all as u64)),
        ("of these by an earlier run", Cell::count(recorded.resumed as u64)),
        ("protocol", Cell::text(request.windowing.rule.name())),
        ("window", Cell::number(f64::from(request.windowing.context), Unit::Tokens)),
    ];
    if recorded.bytes > 0 {
        facts.push(("size", Cell::number(recorded.bytes as f64, Unit::Bytes)));
    }
    if recorded.bytes > 0 && recorded.resumed == 0 && recorded.positions > 0 {
        let each = recorded.bytes as f64 / recorded.positions as f64;
        facts.push(("for each scored token", Cell::number(each, Unit::Bytes)));
    }
    document.facts(facts);
    document
}

/// The document of a store that is there, or of a result file of llama-gguf-optimize.
///
/// # Errors
/// When it cannot be read or used.
pub fn shown(path: &Path) -> Result<Document, EvaluateError> {
    #[cfg(feature = "hdf5")]
    if ComparisonFile::is_one(path) {
        return Ok(comparison(path, &ComparisonFile::read(path)?));
    }
    let store = LogitStore::open(path)?;
    let identity = SideIdentity::of_store(path, &store)?;
    let mut document = Document::new(format!("Logits in {}", identity.file));
    let head = store.head();
    let chunks = head.chunks();
    let unknown = || Cell::missing("the file does not say");
    let said = |text: Option<&String>| text.map_or_else(unknown, Cell::code);
    let positions: usize = chunks.clone().map(|chunk| head.scored_rows(chunk)).sum();
    document.facts([
        ("model", head.model.as_ref().map_or_else(unknown, |model| Cell::text(&model.name))),
        ("fingerprint", said(head.model.as_ref().map(|model| &model.fingerprint))),
        ("tokenizer", said(head.tokenizer.as_ref())),
        ("text", said(head.text.as_ref())),
        ("engine", head.engine.as_ref().map_or_else(unknown, Cell::text)),
        ("protocol", Cell::text(head.windowing.rule.name())),
        ("window", Cell::number(f64::from(head.windowing.context), Unit::Tokens)),
        ("windows", Cell::text(format!("{} to {} of {}", chunks.start, chunks.end, head.text_chunks))),
        ("scored positions", Cell::count(positions as u64)),
        ("vocabulary", Cell::count(u64::from(head.vocabulary))),
        ("keeps", Cell::text(&identity.quantisation)),
        ("size", Cell::number(identity.bytes as f64, Unit::Bytes)),
    ]);
    Ok(document)
}

/// What is said of the divergences of a window, or of all.
#[cfg(feature = "hdf5")]
type Said = (&'static str, fn(&Divergences) -> f64);

#[cfg(feature = "hdf5")]
const SAID: [Said; 11] = [
    ("mean", |said| said.average),
    ("standard deviation", |said| said.std_dev),
    ("smallest", |said| said.minimum),
    ("1 %", |said| said.percentile_1),
    ("5 %", |said| said.percentile_5),
    ("10 %", |said| said.percentile_10),
    ("median", |said| said.median),
    ("90 %", |said| said.percentile_90),
    ("95 %", |said| said.percentile_95),
    ("99 %", |said| said.percentile_99),
    ("largest", |said| said.maximum),
];

/// The document of a result file: as it stands there, nothing computed anew.
#[cfg(feature = "hdf5")]
fn comparison(path: &Path, file: &ComparisonFile) -> Document {
    let name = path.file_name().unwrap_or_default().to_string_lossy();
    let mut document = Document::new(format!("Divergences in {name}"));
    document.information("Positions are taken for independent ones in such a file, which they are not.");
    match &file.totals {
        Some(totals) => document.facts([
            ("positions", Cell::count(totals.values)),
            ("sum", Cell::number(totals.sum, Unit::Nats)),
            ("sum of squares", Cell::number(totals.sum_of_squares, Unit::None)),
            ("smallest", Cell::number(totals.minimum, Unit::Nats)),
            ("largest", Cell::number(totals.maximum, Unit::Nats)),
        ]),
        None => document
            .paragraph("The comparison did not come to its end: there is nothing of all windows together."),
    };
    let columns = [Column::new("window")].into_iter();
    let columns = columns.chain(SAID.map(|(name, _)| Column::with_unit(name, Unit::Nats)));
    let mut table = Table::new("KL divergence by window", columns);
    let mut push = |first: Cell, said: &Divergences| {
        let cells = SAID.map(|(_, of)| Cell::number(of(said), Unit::Nats));
        table.push([first].into_iter().chain(cells));
    };
    if let Some(overall) = file.totals.as_ref().and_then(|totals| totals.overall.as_ref()) {
        push(Cell::text("all"), overall);
    }
    for chunk in &file.chunks {
        push(Cell::count(u64::from(chunk.chunk)), &chunk.divergences);
    }
    document.table(table);
    document
}
