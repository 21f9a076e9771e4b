//! What a model file holds and needs: facts, tensor types, memory for each context, findings.
//!
//! Only headers are read. Nothing that is GGUF is refused: an adapter, a projector or a bare vocabulary is
//! described as what it is.

mod memory;

use gguflab_format::facts::Experts;
use gguflab_format::{
    Endian, Finding, FormatError, LayerValue, Model, ModelFacts, ModelKind, Severity, check,
};
use gguflab_report::{Cell, Column, Document, Table, text};
use gguflab_types::{Machine, Unit};
use std::path::Path;

/// Columns of a name that are shown; a file can state one of any length.
const LONGEST_NAME: usize = 120;

/// Why a file could not be inspected at all.
#[derive(Debug, thiserror::Error)]
pub enum InspectError {
    /// It cannot be read, or it is no GGUF; the message names the file and says what to do.
    #[error(transparent)]
    Format(#[from] FormatError),
}

/// Describes the model at `path` (one file, or any part of several) and what it needs on this machine.
///
/// # Errors
/// When the header cannot be read. Everything else that is wrong becomes a warning in the document.
pub fn inspect(path: &Path, machine: &Machine) -> Result<Document, InspectError> {
    Ok(describe(&Model::open(path)?, machine))
}

/// As [`inspect`], of a model that is open already.
#[must_use]
pub fn describe(model: &Model, machine: &Machine) -> Document {
    let facts = ModelFacts::read(model);
    let mut document = Document::new(title(model, &facts));
    document.facts(identity(model, &facts));
    if let Some(purpose) = purpose(facts.kind) {
        document.paragraph(purpose);
    }
    for finding in check(model) {
        add_finding(&mut document, &finding);
    }
    let shape = shape(&facts);
    if !shape.is_empty() {
        document.heading(1, "Shape").facts(shape);
    }
    if !facts.types.is_empty() {
        document.heading(1, "Tensor types").table(tensor_types(&facts));
    }
    if runs(facts.kind) {
        memory::describe(&mut document, &facts, machine);
    }
    document
}

type Row = (&'static str, Cell);

fn title(model: &Model, facts: &ModelFacts) -> String {
    let file = model.first().path.file_name().unwrap_or_default().to_string_lossy();
    match &facts.name {
        Some(name) => format!("{} ({file})", text::truncate(name, LONGEST_NAME)),
        None => file.into_owned(),
    }
}

fn identity(model: &Model, facts: &ModelFacts) -> Vec<Row> {
    let mut rows = vec![
        ("name", words(facts.name.as_deref())),
        ("kind", Cell::text(facts.kind.name())),
        ("architecture", words(Some(facts.architecture.as_str()).filter(|name| !name.is_empty()))),
        ("parameters", Cell::count(facts.parameters)),
    ];
    if facts.experts.is_some() {
        rows.push(("active parameters", Cell::count(facts.active_parameters)));
    }
    if facts.parameters > 0 {
        let bits = Cell::Number { value: facts.bits_per_weight, unit: Unit::BitsPerWeight, digits: Some(4) };
        rows.extend([("bits per weight", bits), ("file type", Cell::text(facts.file_type.as_str()))]);
    }
    rows.extend([
        ("size", Cell::number(facts.file_bytes as f64, Unit::Bytes)),
        ("files", Cell::count(facts.files)),
        ("format", Cell::text(format!("GGUF {}, {}", facts.version, byte_order(facts.endian)))),
    ]);
    if let Some(chunks) = facts.importance_chunks {
        rows.push(("importance matrix chunks", Cell::count(chunks)));
    }
    if facts.kind == ModelKind::Adapter {
        rows.extend(adapter(model));
    }
    rows
}

/// What llama.cpp's `convert_lora_to_gguf.py` writes.
fn adapter(model: &Model) -> Vec<Row> {
    let metadata = model.metadata();
    let mut rows = vec![("adapter type", words(metadata.text("adapter.type").as_deref()))];
    if let Some(alpha) = metadata.float("adapter.lora.alpha") {
        rows.push(("adapter alpha", Cell::number(alpha, Unit::None)));
    }
    rows
}

fn byte_order(endian: Endian) -> &'static str {
    match endian {
        Endian::Little => "little-endian",
        Endian::Big => "big-endian",
    }
}

/// What a file that is no ordinary language model is for; flags of llama.cpp b11434.
fn purpose(kind: ModelKind) -> Option<&'static str> {
    match kind {
        ModelKind::Decoder => None,
        ModelKind::EncoderDecoder => {
            Some("It reads a whole text and then writes one (translation, summary).")
        }
        ModelKind::Embedding => Some(
            "It turns a text into a vector and generates nothing. llama-server serves it with --embeddings.",
        ),
        ModelKind::Reranker => Some(
            "It scores how well a text answers a question and generates nothing. llama-server serves it \
             with --reranking.",
        ),
        ModelKind::Diffusion => Some(
            "It writes a text by removing noise, many tokens at a time. llama-server cannot run it; \
             llama.cpp's llama-diffusion-cli can.",
        ),
        ModelKind::Draft => Some(
            "It guesses the next tokens for another model and does not run alone. Inspect that model, and give \
             this one to llama-server beside it with --model-draft.",
        ),
        ModelKind::Speech => {
            Some("It makes sound for a text-to-speech model and does not run alone. Inspect that model.")
        }
        ModelKind::Projector => Some(
            "It turns images or sound into embeddings of a language model and does not run alone. Inspect that \
             model, and give this file to llama-server beside it with --mmproj.",
        ),
        ModelKind::Adapter => Some(
            "It changes another model and does not run alone. Inspect that model, and give this file to \
             llama-server beside it with --lora.",
        ),
        ModelKind::ImportanceMatrix => {
            Some("It holds statistics of activations, no model. llama-quantize takes it with --imatrix.")
        }
        ModelKind::VocabularyOnly => Some(
            "It holds a tokenizer and no weights, so nothing can be generated. Get the whole model to run it.",
        ),
    }
}

/// Whether memory for a context means anything.
fn runs(kind: ModelKind) -> bool {
    use ModelKind::{Decoder, Diffusion, Draft, Embedding, EncoderDecoder, Reranker};
    matches!(kind, Decoder | Diffusion | Draft | Embedding | EncoderDecoder | Reranker)
}

fn add_finding(document: &mut Document, finding: &Finding) {
    let Finding { severity, code, message } = finding;
    let code = code.name();
    match severity {
        Severity::Note => document.information(format!("{message} ({code})")),
        Severity::Warning => document.warning(format!("{message} ({code})")),
        // What the loader refuses must not read like a matter of taste.
        Severity::Error => document.warning(format!("unusable as it is: {message} ({code})")),
    };
}

fn shape(facts: &ModelFacts) -> Vec<Row> {
    let number = |label, value: Option<u64>| value.map(|value| (label, Cell::count(value)));
    let layered = |label, value: &Option<LayerValue>| value.as_ref().map(|value| (label, layer_cell(value)));
    let mut rows: Vec<Row> = [
        number("layers", facts.block_count),
        number("embedding", facts.embedding_length),
        layered("feed forward", &facts.feed_forward_length),
        layered("heads", &facts.heads),
        layered("key/value heads", &facts.key_value_heads),
        number("key length", facts.key_length),
        number("value length", facts.value_length),
        number("latent rank", facts.latent_rank),
    ]
    .into_iter()
    .flatten()
    .collect();
    rows.extend(facts.experts.map(expert_rows).unwrap_or_default());
    rows.extend(window_rows(facts));
    if let Some(tokens) = facts.context_length {
        rows.push(("trained context", Cell::number(tokens as f64, Unit::Tokens)));
    }
    rows.extend(tokenizer_rows(facts));
    rows
}

fn expert_rows(experts: Experts) -> Vec<Row> {
    let mut rows = vec![
        ("experts", Cell::count(experts.count)),
        ("experts used for a token", Cell::count(experts.used)),
    ];
    if experts.shared > 0 {
        rows.push(("shared experts", Cell::count(experts.shared)));
    }
    if let Some(width) = experts.feed_forward_length {
        rows.push(("expert feed forward", Cell::count(width)));
    }
    rows
}

fn window_rows(facts: &ModelFacts) -> Vec<Row> {
    let Some(window) = &facts.sliding_window else { return Vec::new() };
    // A layer has tensors, so a header that states more layers is not believed (it would cost time).
    let layers = facts.block_count.unwrap_or(0).min(facts.tensors);
    let sliding = (0..layers).filter(|layer| window.slides(*layer)).count() as u64;
    vec![
        ("sliding window", Cell::number(window.tokens as f64, Unit::Tokens)),
        ("layers with a sliding window", Cell::count(sliding)),
    ]
}

fn tokenizer_rows(facts: &ModelFacts) -> Vec<Row> {
    let mut rows = Vec::new();
    if let Some(tokens) = facts.vocabulary {
        rows.push(("vocabulary", Cell::number(tokens as f64, Unit::Tokens)));
    }
    let Some(tokenizer) = facts.tokenizer.as_deref() else { return rows };
    let tokenizer = match facts.pre_tokenizer.as_deref() {
        Some(pre) => format!("{tokenizer} ({pre})"),
        None => tokenizer.to_string(),
    };
    rows.extend([("tokenizer", words(Some(&tokenizer))), ("chat template", Cell::flag(facts.chat_template))]);
    rows
}

fn tensor_types(facts: &ModelFacts) -> Table {
    let columns = [
        Column::new("type"),
        Column::new("tensors"),
        Column::new("parameters"),
        Column::with_unit("size", Unit::Bytes),
        Column::with_unit("share", Unit::Fraction).help("of the bytes of all tensors"),
    ];
    let mut table = Table::new("", columns);
    for total in &facts.types {
        table.push([
            Cell::code(total.tensor_type.name()),
            Cell::count(total.tensors),
            Cell::count(total.parameters),
            Cell::number(total.bytes as f64, Unit::Bytes),
            Cell::number(total.bytes as f64 / facts.tensor_bytes.max(1) as f64, Unit::Fraction),
        ]);
    }
    table
}

fn words(text: Option<&str>) -> Cell {
    match text {
        Some(text) => Cell::text(text::truncate(text, LONGEST_NAME)),
        None => Cell::missing("not in the file"),
    }
}

fn layer_cell(value: &LayerValue) -> Cell {
    let (low, high) = match value {
        LayerValue::Same(value) => (*value, *value),
        LayerValue::Each(values) => (values.iter().copied().min().unwrap_or(0), value.largest()),
    };
    if low == high { Cell::count(low) } else { Cell::text(format!("{low} to {high}, by layer")) }
}

#[cfg(test)]
mod tests;
