//! Findings about a model: what is damaged, what llama.cpp will refuse, and what will surprise.

use std::collections::{BTreeMap, BTreeSet, HashSet};

use crate::facts::{ModelFacts, ModelKind};
use crate::header::{Header, TensorInfo, align};
use crate::limits;
use crate::metadata::{Array, Value};
use crate::model::{Model, ModelFile};
use crate::number::Endian;
use crate::split::{self, SplitName};
use crate::types::TensorType;

/// Something to know about a model.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Finding {
    /// How bad it is.
    pub severity: Severity,
    /// What it is.
    pub code: FindingCode,
    /// What was found, where, and what to do, as a sentence fragment in lower case.
    pub message: String,
}

/// How bad a finding is; errors are the largest.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Severity {
    /// Good to know.
    Note,
    /// The model runs, but not as its owner may expect.
    Warning,
    /// llama.cpp refuses the model, crashes, or computes nonsense.
    Error,
}

/// What a finding is about; the name is stable, for machines.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum FindingCode {
    /// Tensor data reach beyond the end of the file.
    TruncatedData,
    /// The file is longer than its tensors.
    TrailingBytes,
    /// A tensor does not start at a multiple of the alignment.
    MisalignedTensor,
    /// Tensors share bytes.
    OverlappingTensors,
    /// Tensors are not packed one after the other in file order.
    UnpackedTensors,
    /// Two tensors have one name.
    DuplicateTensor,
    /// Two metadata pairs have one key.
    DuplicateKey,
    /// A tensor name is longer than llama.cpp accepts.
    LongTensorName,
    /// Metadata hold an array of arrays.
    NestedArray,
    /// Numbers are stored most significant byte first.
    BigEndian,
    /// The name says "part of a split model" but the metadata do not.
    SplitNameOnly,
    /// Weights of 64 bits.
    DoubleWeights,
    /// Columns that K- and IQ-quantisation cannot use.
    FallbackColumns,
    /// `general.architecture` is missing.
    MissingArchitecture,
    /// Layers without any tensor.
    MissingLayers,
    /// No tokenizer.
    MissingTokenizer,
    /// A byte-pair tokenizer without merges.
    MissingMerges,
    /// No chat template.
    MissingChatTemplate,
    /// The embedding has another number of rows than the vocabulary has tokens.
    VocabularyMismatch,
}

/// Columns that every K- and IQ-quantised type needs a multiple of (ggml's `QK_K`).
const SUPER_BLOCK: u64 = 256;

/// Everything worth saying about a model, errors first. An empty list means that nothing is wrong as far as
/// the headers and the file lengths tell.
#[must_use]
pub fn check(model: &Model) -> Vec<Finding> {
    let mut findings = Vec::new();
    for file in model.files() {
        check_file(file, &mut findings);
    }
    let facts = ModelFacts::read(model);
    check_names(model, &mut findings);
    check_types(model, &facts, &mut findings);
    check_layers(model, &facts, &mut findings);
    check_tokenizer(model, &facts, &mut findings);
    findings.sort_by_key(|finding| std::cmp::Reverse(finding.severity));
    findings
}

impl FindingCode {
    /// The stable name, as in `truncated-data`.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            FindingCode::TruncatedData => "truncated-data",
            FindingCode::TrailingBytes => "trailing-bytes",
            FindingCode::MisalignedTensor => "misaligned-tensor",
            FindingCode::OverlappingTensors => "overlapping-tensors",
            FindingCode::UnpackedTensors => "unpacked-tensors",
            FindingCode::DuplicateTensor => "duplicate-tensor",
            FindingCode::DuplicateKey => "duplicate-key",
            FindingCode::LongTensorName => "long-tensor-name",
            FindingCode::NestedArray => "nested-array",
            FindingCode::BigEndian => "big-endian",
            FindingCode::SplitNameOnly => "split-name-only",
            FindingCode::DoubleWeights => "double-weights",
            FindingCode::FallbackColumns => "fallback-columns",
            FindingCode::MissingArchitecture => "missing-architecture",
            FindingCode::MissingLayers => "missing-layers",
            FindingCode::MissingTokenizer => "missing-tokenizer",
            FindingCode::MissingMerges => "missing-merges",
            FindingCode::MissingChatTemplate => "missing-chat-template",
            FindingCode::VocabularyMismatch => "vocabulary-mismatch",
        }
    }
}

impl Severity {
    /// The word shown to people.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Severity::Note => "note",
            Severity::Warning => "warning",
            Severity::Error => "error",
        }
    }
}

/// Whether llama.cpp's quantiser changes the type of a tensor: a weight of two or three dimensions that is no
/// norm, router, convolution or position table (the main rules of `tensor_allows_quantization` in llama.cpp's
/// `src/llama-quant.cpp`; the short lists for single architectures are left out).
#[must_use]
pub fn is_quantisable(tensor: &TensorInfo) -> bool {
    const KEPT: [&str; 7] =
        ["_norm.weight", "ffn_gate_inp", "conv1d", "shortconv", "position_embd", "token_types", "attn_rel_b"];
    let name = tensor.name.as_str();
    tensor.dimensions.significant() >= 2
        && name.ends_with("weight")
        && !KEPT.iter().any(|kept| name.contains(kept))
}

fn check_file(file: &ModelFile, findings: &mut Vec<Finding>) {
    check_length(file, findings);
    check_places(file, findings);
    check_keys(&file.header, findings);
    if file.header.endian == Endian::Big {
        let message = "the file is big-endian: llama.cpp loads it on big-endian machines only; \
                       convert it with gguf_convert_endian.py for others";
        add(findings, Severity::Warning, FindingCode::BigEndian, message);
    }
    let named = file.path.file_name().and_then(|name| name.to_str()).and_then(SplitName::parse);
    if named.is_some_and(|name| name.count > 1) && file.header.metadata.get(split::COUNT_KEY).is_none() {
        let message = "the file is named as a part of a split model but says nothing of other parts; \
                       if it was cut with a general tool, join the pieces in order";
        add(findings, Severity::Warning, FindingCode::SplitNameOnly, message);
    }
}

fn check_length(file: &ModelFile, findings: &mut Vec<Finding>) {
    let header = &file.header;
    let needed = header.needed_bytes();
    if needed > file.bytes {
        let cut: Vec<&TensorInfo> = header
            .tensors
            .iter()
            .filter(|tensor| header.data_offset.saturating_add(tensor.end()) > file.bytes)
            .collect();
        let first = cut.iter().min_by_key(|tensor| tensor.offset).map_or("", |tensor| tensor.name.as_str());
        let message = format!(
            "{} is cut off: {} bytes are missing, from tensor '{first}' on ({} of {} tensors); \
             download or copy it again",
            file.path.display(),
            needed - file.bytes,
            cut.len(),
            header.tensors.len(),
        );
        add(findings, Severity::Error, FindingCode::TruncatedData, message);
        return;
    }
    // Padding after the last tensor is usual, and absent in some files.
    let padded = align(needed, header.alignment).unwrap_or(u64::MAX);
    if !header.tensors.is_empty() && file.bytes > padded {
        let message = format!("{} bytes follow the last tensor; they are not used", file.bytes - padded);
        add(findings, Severity::Note, FindingCode::TrailingBytes, message);
    }
}

/// llama.cpp (`ggml/src/gguf.cpp`) wants each tensor right after the one before, padded to the alignment.
fn check_places(file: &ModelFile, findings: &mut Vec<Finding>) {
    const AGAIN: &str = "llama.cpp refuses the file; convert or download it again";
    let header = &file.header;
    let misaligned = header.tensors.iter().find(|tensor| !tensor.offset.is_multiple_of(header.alignment));
    if let Some(tensor) = misaligned {
        let (offset, alignment) = (tensor.offset, header.alignment);
        let message =
            format!("tensor '{}' starts at {offset}, no multiple of {alignment}; {AGAIN}", tensor.name);
        add(findings, Severity::Error, FindingCode::MisalignedTensor, message);
    }
    let mut sorted: Vec<&TensorInfo> = header.tensors.iter().filter(|tensor| tensor.bytes > 0).collect();
    sorted.sort_by_key(|tensor| tensor.offset);
    if let Some([before, after]) = sorted.array_windows().find(|[before, after]| before.end() > after.offset)
    {
        let message = format!("tensors '{}' and '{}' overlap; {AGAIN}", before.name, after.name);
        add(findings, Severity::Error, FindingCode::OverlappingTensors, message);
        return;
    }
    let mut expected = Some(0);
    for tensor in &header.tensors {
        if misaligned.is_none() && expected != Some(tensor.offset) {
            let place = tensor.offset;
            let message =
                format!("tensor '{}' at {place} does not follow the one before it; {AGAIN}", tensor.name);
            add(findings, Severity::Error, FindingCode::UnpackedTensors, message);
            return;
        }
        expected = align(tensor.end(), header.alignment);
    }
}

fn check_keys(header: &Header, findings: &mut Vec<Finding>) {
    let mut seen = HashSet::new();
    let twice = header.metadata.pairs().map(|(key, _)| key).filter(|key| !seen.insert(*key));
    if let Some((key, more)) = first_of(twice) {
        let message =
            format!("metadata key '{key}'{more} occurs twice; llama.cpp refuses the file, convert it again");
        add(findings, Severity::Error, FindingCode::DuplicateKey, message);
    }
    let nested = header.metadata.pairs().filter(|(_, value)| matches!(value, Value::Array(Array::Array(_))));
    if let Some((key, more)) = first_of(nested.map(|(key, _)| key)) {
        let message = format!("metadata key '{key}'{more} is an array of arrays; llama.cpp refuses the file");
        add(findings, Severity::Error, FindingCode::NestedArray, message);
    }
}

fn check_names(model: &Model, findings: &mut Vec<Finding>) {
    let names = || model.tensor_ranges().map(|range| range.tensor.name.as_str());
    let mut seen = HashSet::new();
    if let Some((name, more)) = first_of(names().filter(|name| !seen.insert(*name))) {
        let message =
            format!("tensor '{name}'{more} occurs twice; llama.cpp refuses the file, convert it again");
        add(findings, Severity::Error, FindingCode::DuplicateTensor, message);
    }
    let limit = limits::LOADABLE_TENSOR_NAME_BYTES;
    if let Some((name, more)) = first_of(names().filter(|name| name.len() > limit)) {
        let length = name.len();
        let message =
            format!("tensor name '{name}'{more} has {length} bytes, llama.cpp takes {limit}; rename it");
        add(findings, Severity::Error, FindingCode::LongTensorName, message);
    }
}

/// The first of several names, and how many more there are: one finding for all, so that a crafted file with
/// a million faults gives a short list.
fn first_of<'a>(mut names: impl Iterator<Item = &'a str>) -> Option<(&'a str, String)> {
    let first = names.next()?;
    let rest = names.count();
    Some((first, if rest == 0 { String::new() } else { format!(" (and {rest} more)") }))
}

fn check_types(model: &Model, facts: &ModelFacts, findings: &mut Vec<Finding>) {
    let doubles: Vec<_> =
        model.tensor_ranges().filter(|range| range.tensor.tensor_type == TensorType::F64).collect();
    if let Some(first) = doubles.first() {
        let message = format!(
            "{} tensors have 64-bit weights (first '{}'): llama.cpp loads them and then crashes; \
             convert them to F32",
            doubles.len(),
            first.tensor.name,
        );
        add(findings, Severity::Error, FindingCode::DoubleWeights, message);
    }
    if !matches!(facts.kind, ModelKind::ImportanceMatrix | ModelKind::Adapter) {
        check_columns(model, facts, findings);
    }
}

fn check_columns(model: &Model, facts: &ModelFacts, findings: &mut Vec<Finding>) {
    let mut columns = BTreeSet::new();
    let (mut tensors, mut all, mut parameters) = (0_u64, 0_u64, 0_u64);
    for range in model.tensor_ranges().filter(|range| is_quantisable(range.tensor)) {
        all += 1;
        let count = range.tensor.dimensions.columns();
        if !count.is_multiple_of(SUPER_BLOCK) {
            tensors += 1;
            parameters = parameters.saturating_add(range.tensor.elements());
            columns.insert(count);
        }
    }
    let Some(narrowest) = columns.iter().find(|count| !count.is_multiple_of(32)).or(columns.first()) else {
        return;
    };
    let listed: Vec<String> = columns.iter().take(4).map(u64::to_string).collect();
    let message = format!(
        "{tensors} of {all} weight tensors ({:.0} % of the parameters) have {}{} columns, no multiple of \
         {SUPER_BLOCK}: K- and IQ-quantising falls back to larger types there (Q4_K becomes {}); \
         compare files by their real size; Q4_0, Q5_0, Q8_0 and IQ4_NL need multiples of 32 only",
        100.0 * parameters as f64 / facts.parameters.max(1) as f64,
        listed.join(", "),
        if columns.len() > listed.len() { " and other" } else { "" },
        TensorType::Q4_K.for_columns(*narrowest),
    );
    add(findings, Severity::Warning, FindingCode::FallbackColumns, message);
}

fn check_layers(model: &Model, facts: &ModelFacts, findings: &mut Vec<Finding>) {
    if facts.kind == ModelKind::ImportanceMatrix {
        return;
    }
    if facts.architecture.is_empty() {
        let message =
            "general.architecture is missing: llama.cpp cannot tell what model it is; convert it again";
        add(findings, Severity::Error, FindingCode::MissingArchitecture, message);
    }
    let runs_alone = matches!(facts.kind, ModelKind::Decoder | ModelKind::Embedding | ModelKind::Reranker);
    let Some(stated) = facts.block_count.filter(|_| runs_alone) else {
        return;
    };
    let held: BTreeSet<u64> =
        model.tensor_ranges().filter_map(|range| layer_of(&range.tensor.name)).collect();
    let held = held.range(..stated).count() as u64;
    if held < stated {
        let message =
            format!("only {held} of {stated} layers have tensors; get all parts of the model again");
        add(findings, Severity::Error, FindingCode::MissingLayers, message);
    }
}

/// The layer in a name such as `blk.12.attn_q.weight`.
fn layer_of(name: &str) -> Option<u64> {
    name.strip_prefix("blk.")?.split('.').next()?.parse().ok()
}

fn check_tokenizer(model: &Model, facts: &ModelFacts, findings: &mut Vec<Finding>) {
    if !matches!(facts.kind, ModelKind::Decoder | ModelKind::Embedding | ModelKind::Reranker) {
        return;
    }
    let metadata = model.metadata();
    let tokens = metadata.array("tokenizer.ggml.tokens").map_or(0, Array::len) as u64;
    match facts.tokenizer.as_deref() {
        None | Some("none" | "no_vocab") => {
            let message = "there is no tokenizer: only token numbers can be given; \
                           convert the model with its tokenizer";
            add(findings, Severity::Error, FindingCode::MissingTokenizer, message);
            return;
        }
        Some("gpt2") if metadata.array("tokenizer.ggml.merges").is_none_or(Array::is_empty) => {
            let message =
                "the byte-pair tokenizer has no merges: llama.cpp refuses it; convert the model again";
            add(findings, Severity::Error, FindingCode::MissingMerges, message);
        }
        Some(_) => {}
    }
    if facts.kind == ModelKind::Decoder && !facts.chat_template {
        let message = "there is no chat template: probably a base model, which continues text; \
                       for chat give a template (llama-server --chat-template)";
        add(findings, Severity::Note, FindingCode::MissingChatTemplate, message);
    }
    let rows: BTreeMap<&str, u64> = model
        .tensor_ranges()
        .filter(|range| matches!(range.tensor.name.as_str(), "token_embd.weight" | "output.weight"))
        .filter_map(|range| Some((range.tensor.name.as_str(), *range.tensor.dimensions.sizes().get(1)?)))
        .collect();
    if let Some((name, rows)) = rows.into_iter().find(|(_, rows)| *rows != tokens) {
        let message =
            format!("'{name}' has {rows} rows but the tokenizer {tokens} tokens; convert the model again");
        add(findings, Severity::Error, FindingCode::VocabularyMismatch, message);
    }
}

fn add(findings: &mut Vec<Finding>, severity: Severity, code: FindingCode, message: impl Into<String>) {
    findings.push(Finding { severity, code, message: message.into() });
}
