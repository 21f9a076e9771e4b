//! The part of the description that depends on the machine: memory for each context.

use super::Row;
use gguflab_format::architecture::Memory;
use gguflab_format::{ModelFacts, TensorType};
use gguflab_plan::{Need, largest_context, need};
use gguflab_report::{Cell, Column, Document, Table, Tone, format};
use gguflab_types::machine::Device;
use gguflab_types::{Configuration, Machine, Unit, Value};

/// Contexts that are shown, up to the trained one.
const CONTEXTS: [u64; 8] = [1 << 10, 2 << 10, 4 << 10, 8 << 10, 16 << 10, 32 << 10, 128 << 10, 512 << 10];
/// The longest context shown when the header states no trained one.
const UNSTATED: u64 = 32 << 10;
/// Types of the cache that are shown.
const CACHES: [&str; 3] = ["f16", "q8_0", "q4_0"];
/// Architectures for which llama.cpp makes no cache (`llama_model::create_memory` of b11434).
const WITHOUT_CACHE: [&str; 14] = [
    "bert",
    "jina-bert-v2",
    "jina-bert-v3",
    "nomic-bert",
    "nomic-bert-moe",
    "neo-bert",
    "eurobert",
    "wavtokenizer-dec",
    "modern-bert",
    "gemma-embedding",
    "dream",
    "llada",
    "llada-moe",
    "rnd1",
];

/// Adds what the model needs, and what of it fits.
pub(super) fn describe(document: &mut Document, facts: &ModelFacts, machine: &Machine) {
    let usable = Some(machine.memory.usable()).filter(|bytes| *bytes > 0);
    document.heading(1, "Memory");
    match refusal(facts) {
        Some(reason) => {
            document.facts(basics(facts, machine, usable)).paragraph(reason);
            if usable.is_some_and(|usable| facts.tensor_bytes > usable) {
                too_large(document, facts.tensor_bytes, usable.unwrap_or(0));
            }
        }
        None => contexts(document, facts, machine, usable),
    }
}

fn contexts(document: &mut Document, facts: &ModelFacts, machine: &Machine, usable: Option<u64>) {
    let mut rows = basics(facts, machine, usable);
    rows.push(("largest context that fits".to_string(), largest(facts, usable)));
    for device in gpus(machine).filter(|device| device.memory_free > 0) {
        let label = format!("largest context that fits {} alone", device.name);
        rows.push((label, largest(facts, Some(device.memory_free))));
    }
    document.facts(rows);
    let smallest = need(facts, &Configuration::new(), 1, 1).map_or(0, |need| need.total());
    if let Some(usable) = usable.filter(|usable| smallest > *usable) {
        too_large(document, smallest, usable);
    }
    for table in tables(facts, usable) {
        document.table(table);
    }
    match facts.memory {
        Memory::Attention => {}
        Memory::Recurrent => {
            document.information(
                "this architecture keeps a state of fixed size in place of a cache; it is not counted here",
            );
        }
        Memory::Hybrid => {
            document.information("some layers keep a state of fixed size, which is not counted here");
        }
    }
}

/// Why there can be no table of contexts.
fn refusal(facts: &ModelFacts) -> Option<String> {
    if WITHOUT_CACHE.contains(&facts.architecture.as_str()) {
        return Some(format!(
            "llama.cpp keeps no KV cache for {}: its memory does not grow with the context.",
            facts.architecture
        ));
    }
    // Every layer has tensors; a crafted count would otherwise be summed up one by one.
    if let Some(layers) = facts.block_count.filter(|layers| *layers > facts.tensors) {
        return Some(format!(
            "The KV cache is not computed: the header states {layers} layers but only {} tensors.",
            facts.tensors
        ));
    }
    let known = need(facts, &Configuration::new(), 1, 1).is_some();
    (!known).then(|| {
        "The KV cache cannot be computed: the header lacks the number of layers, heads or their length."
            .to_string()
    })
}

fn basics(facts: &ModelFacts, machine: &Machine, usable: Option<u64>) -> Vec<(String, Cell)> {
    let usable = match usable {
        Some(bytes) => bytes_cell(bytes),
        None => Cell::missing("this machine's memory is not known"),
    };
    let rows: [Row; 2] =
        [("weights", bytes_cell(facts.tensor_bytes)), ("usable memory of this machine", usable)];
    let mut rows: Vec<(String, Cell)> =
        rows.into_iter().map(|(label, cell)| (label.to_string(), cell)).collect();
    for device in gpus(machine) {
        rows.push((format!("free memory of {}", device.name), bytes_cell(device.memory_free)));
    }
    rows
}

fn gpus(machine: &Machine) -> impl Iterator<Item = &Device> {
    machine.devices.iter().filter(|device| device.gpu && device.memory_total > 0)
}

fn bytes_cell(bytes: u64) -> Cell {
    Cell::number(bytes as f64, Unit::Bytes)
}

fn largest(facts: &ModelFacts, usable: Option<u64>) -> Cell {
    let Some(usable) = usable else { return Cell::missing("this machine's memory is not known") };
    match largest_context(facts, usable) {
        None => Cell::missing("the header states no trained context"),
        Some(0) => Cell::status("none", Tone::Bad),
        Some(tokens) => Cell::number(tokens as f64, Unit::Tokens),
    }
}

fn too_large(document: &mut Document, needed: u64, usable: u64) {
    let show = |bytes: u64| format::number(bytes as f64, Unit::Bytes);
    document.warning(format!(
        "the model needs {} even with the smallest context, but {} can be used: end other programs, take a \
         smaller quantisation or a smaller model; mapped from the file it may still run, but slowly",
        show(needed),
        show(usable)
    ));
}

/// The KV cache alone, and everything together.
fn tables(facts: &ModelFacts, usable: Option<u64>) -> [Table; 2] {
    let columns = || {
        let context = Column::with_unit("context", Unit::Tokens);
        let types = CACHES.into_iter().map(|name| Column::with_unit(name, Unit::Bytes));
        [context].into_iter().chain(types.map(|column| column.help("with a KV cache of this type")))
    };
    let fit = Column::new("fits").help("whether it fits the usable memory of this machine");
    let mut cache = Table::new("KV cache of one sequence, by its type", columns());
    let mut total = Table::new(
        "All that one sequence needs (weights, KV cache, compute buffers), by the type of the KV cache; an upper \
         estimate with default settings",
        columns().chain([fit]),
    );
    for tokens in contexts_up_to(facts.context_length) {
        let needs = CACHES.map(|cache| need_with(facts, cache, tokens));
        let context = || [Cell::number(tokens as f64, Unit::Tokens)].into_iter();
        cache.push(context().chain(needs.iter().map(|need| need_cell(need, |need| need.cache))));
        let totals = needs.iter().map(|need| need_cell(need, Need::total));
        total.push(context().chain(totals).chain([fits(&needs, usable)]));
    }
    [cache, total]
}

fn contexts_up_to(trained: Option<u64>) -> Vec<u64> {
    match trained.filter(|tokens| *tokens > 0) {
        Some(last) => CONTEXTS.into_iter().filter(|tokens| *tokens < last).chain([last]).collect(),
        None => CONTEXTS.into_iter().filter(|tokens| *tokens <= UNSTATED).collect(),
    }
}

/// What one sequence of this many tokens needs with this type of cache, or why that is not known.
fn need_with(facts: &ModelFacts, cache: &str, tokens: u64) -> Result<Need, String> {
    // llama.cpp wants a head to be whole blocks of a quantised type (`llama_init_from_model` of b11434).
    let block = TensorType::from_name(cache).map_or(1, |cache| cache.facts().block);
    let broken = |length: &u64| !length.is_multiple_of(block);
    if let Some(length) = [facts.key_length, facts.value_length].into_iter().flatten().find(broken) {
        return Err(format!("not with heads of {length}"));
    }
    let value = Value::Text(cache.to_string());
    let configuration = Configuration::new().with("cache-type-k", value.clone()).with("cache-type-v", value);
    need(facts, &configuration, tokens, 1).ok_or_else(|| "too large to count".to_string())
}

fn need_cell(need: &Result<Need, String>, part: fn(&Need) -> u64) -> Cell {
    match need {
        Ok(need) => bytes_cell(part(need)),
        Err(reason) => Cell::missing(reason.as_str()),
    }
}

fn fits(needs: &[Result<Need, String>; 3], usable: Option<u64>) -> Cell {
    let Some(usable) = usable else { return Cell::missing("") };
    let fitting: Vec<&str> = CACHES
        .into_iter()
        .zip(needs)
        .filter(|(_, need)| need.as_ref().is_ok_and(|need| need.total() <= usable))
        .map(|(name, _)| name)
        .collect();
    match fitting.as_slice() {
        [] => Cell::status("no", Tone::Bad),
        [first, ..] if *first == CACHES[0] => Cell::status("yes", Tone::Good),
        some => Cell::status(format!("with {}", some.join(" or ")), Tone::Neutral),
    }
}
