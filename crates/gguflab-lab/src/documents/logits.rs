//! What a store of logits holds.

use crate::evaluate::{EvaluateError, RecordRequest, Recorded, SideIdentity};
use gguflab_data::logits::LogitStore;
use gguflab_report::{Cell, Document};
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

/// The document of a store that is there.
///
/// # Errors
/// When it cannot be read or used.
pub fn shown(path: &Path) -> Result<Document, EvaluateError> {
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
