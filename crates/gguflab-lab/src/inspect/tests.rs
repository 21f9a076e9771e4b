use super::*;
use gguflab_format::{
    Contents, Dimensions, Metadata, TensorPlan, TensorType, TinyArchitecture, TinyModel, write_file,
    write_tiny,
};
use gguflab_report::{Block, Cell, NoteKind, Style, Tone, render};
use gguflab_types::machine::{Device, Memory};
use std::path::PathBuf;

fn machine(available: u64) -> Machine {
    Machine { memory: Memory { total: 64 << 30, available, limit: None, swap: 0 }, ..Machine::default() }
}

fn roomy() -> Machine {
    machine(64 << 30)
}

fn tiny(model: &TinyModel, machine: &Machine) -> Document {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("tiny.gguf");
    write_tiny(&path, model).unwrap();
    inspect(&path, machine).unwrap()
}

fn crafted(pairs: &[(&str, &str)], numbers: &[(&str, u64)], tensors: &[&str]) -> Document {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("crafted.gguf");
    let mut metadata = Metadata::new();
    for (key, text) in pairs {
        metadata.set(*key, *text);
    }
    for (key, number) in numbers {
        metadata.set(*key, *number);
    }
    let tensors = tensors
        .iter()
        .map(|name| TensorPlan {
            name: (*name).to_string(),
            dimensions: Dimensions::new(&[32, 2]).unwrap(),
            tensor_type: TensorType::F32,
        })
        .collect();
    write_file(&path, &Contents::new(metadata, tensors), |tensor, writer| {
        writer.write_all(&vec![0; usize::try_from(tensor.bytes).unwrap()])
    })
    .unwrap();
    inspect(&path, &roomy()).unwrap()
}

fn fact<'a>(document: &'a Document, wanted: &str) -> Option<&'a Cell> {
    let facts = document.blocks.iter().filter_map(|block| match block {
        Block::Facts { facts } => Some(facts),
        _ => None,
    });
    facts.flatten().find(|fact| fact.label == wanted).map(|fact| &fact.value)
}

fn notes<'document>(document: &'document Document, wanted: NoteKind) -> Vec<&'document str> {
    let text = |block: &'document Block| match block {
        Block::Note { kind, text } if *kind == wanted => Some(text.as_str()),
        _ => None,
    };
    document.blocks.iter().filter_map(text).collect()
}

fn terminal(document: &Document) -> String {
    (render::find("terminal").unwrap().render)(document, &Style::default())
}

fn bytes(bytes: u64) -> Cell {
    Cell::number(bytes as f64, Unit::Bytes)
}

fn tokens(count: u64) -> Cell {
    Cell::number(count as f64, Unit::Tokens)
}

#[test]
fn a_dense_model_is_described_with_numbers_and_units() {
    let document = tiny(&TinyModel::new(TinyArchitecture::Llama), &roomy());
    assert_eq!(document.title, "tiny-llama (tiny.gguf)");
    for (label, expected) in [
        ("architecture", Cell::text("llama")),
        ("kind", Cell::text("decoder")),
        ("layers", Cell::count(2)),
        ("embedding", Cell::count(256)),
        ("feed forward", Cell::count(512)),
        ("heads", Cell::count(4)),
        ("key/value heads", Cell::count(2)),
        ("vocabulary", tokens(2048)),
        ("trained context", tokens(4096)),
        ("chat template", Cell::flag(true)),
        ("files", Cell::count(1)),
        ("file type", Cell::text("F32")),
        ("format", Cell::text("GGUF 3, little-endian")),
        ("largest context that fits", tokens(4096)),
        ("usable memory of this machine", bytes(64 << 30)),
    ] {
        assert_eq!(fact(&document, label), Some(&expected), "{label}");
    }
    assert_eq!(fact(&document, "active parameters"), None);
    assert_eq!(notes(&document, NoteKind::Warning), Vec::<&str>::new());
}

#[test]
fn a_mixture_says_how_much_of_it_works_for_a_token() {
    let document = tiny(&TinyModel::new(TinyArchitecture::Qwen2Moe), &roomy());
    let count = |label: &str| match fact(&document, label) {
        Some(Cell::Count { value }) => *value,
        other => panic!("{label}: {other:?}"),
    };
    assert!(count("active parameters") < count("parameters"));
    assert_eq!(
        (count("experts"), count("experts used for a token"), count("expert feed forward")),
        (8, 2, 256)
    );
}

#[test]
fn the_shares_of_the_tensor_types_add_up() {
    let model = TinyModel { weights: TensorType::Q8_0, ..TinyModel::new(TinyArchitecture::Llama) };
    let document = tiny(&model, &roomy());
    let table = document.tables().next().unwrap();
    assert_eq!(table.cell(0, 0), &Cell::code("Q8_0"));
    let column = |column| table.column_cells(column).map(|cell| cell.quantity().unwrap().0).sum::<f64>();
    assert!((column(4) - 1.0).abs() < 1e-12);
    assert_eq!(fact(&document, "weights"), Some(&Cell::number(column(3), Unit::Bytes)));
}

#[test]
fn the_cache_is_shown_for_each_context_and_type() {
    let document = tiny(&TinyModel::new(TinyArchitecture::Llama), &roomy());
    let table = document.tables().nth(1).unwrap();
    let contexts: Vec<_> = table.column_cells(0).cloned().collect();
    assert_eq!(contexts, [1024, 2048, 4096].map(tokens));
    // 2 layers, 2 key/value heads of 64, keys and values: 512 elements for a token.
    assert_eq!(table.cell(0, 1), &bytes(1024 * 512 * 2));
    assert_eq!(table.cell(2, 2), &bytes(4096 * 512 * 34 / 32));
    assert_eq!(table.cell(2, 3), &bytes(4096 * 512 * 18 / 32));
    let totals = document.tables().nth(2).unwrap();
    assert_eq!(totals.column_cells(0).cloned().collect::<Vec<_>>(), contexts);
    let (cache, total) = (table.cell(0, 1).quantity().unwrap().0, totals.cell(0, 1).quantity().unwrap().0);
    let weights = fact(&document, "weights").unwrap().quantity().unwrap().0;
    assert!(total > weights + cache);
    assert!(totals.column_cells(4).all(|cell| *cell == Cell::status("yes", Tone::Good)));
}

#[test]
fn what_fits_depends_on_the_memory_of_the_machine() {
    let model = TinyModel { context: 32768, ..TinyModel::new(TinyArchitecture::Llama) };
    let column = |document: &Document| -> Vec<Cell> {
        document.tables().nth(2).unwrap().column_cells(4).cloned().collect()
    };
    let all = tiny(&model, &roomy());
    let total = |row, column| all.tables().nth(2).unwrap().cell(row, column).quantity().unwrap().0 as u64;
    let enough_for_q8 = total(5, 2);
    let document = tiny(&model, &machine(enough_for_q8));
    assert_eq!(column(&document).last(), Some(&Cell::status("with q8_0 or q4_0", Tone::Neutral)));
    let document = tiny(&model, &machine(total(1, 1)));
    let fitting: Vec<bool> =
        column(&document).iter().map(|cell| *cell == Cell::status("yes", Tone::Good)).collect();
    assert_eq!(fitting, [true, true, false, false, false, false]);
    assert_eq!(fact(&document, "largest context that fits"), Some(&tokens(2048)));
    let document = tiny(&model, &machine(1 << 20));
    assert!(column(&document).iter().all(|cell| *cell == Cell::status("no", Tone::Bad)));
    assert_eq!(fact(&document, "largest context that fits"), Some(&Cell::status("none", Tone::Bad)));
    assert!(notes(&document, NoteKind::Warning)[0].contains("1.00 MiB can be used"));
    let document = tiny(&model, &Machine::default());
    assert_eq!(column(&document)[0], Cell::missing(""));
}

#[test]
fn the_memory_of_cards_is_shown_beside() {
    let card = Device {
        name: "CUDA0".into(),
        memory_total: 24 << 30,
        memory_free: 20 << 30,
        gpu: true,
        ..Device::default()
    };
    let document =
        tiny(&TinyModel::new(TinyArchitecture::Llama), &Machine { devices: vec![card], ..roomy() });
    assert_eq!(fact(&document, "free memory of CUDA0"), Some(&bytes(20 << 30)));
    assert!(fact(&document, "largest context that fits CUDA0 alone").is_some());
}

#[test]
fn heads_that_are_no_whole_blocks_take_no_quantised_cache() {
    let model = TinyModel { heads: 16, key_value_heads: 2, ..TinyModel::new(TinyArchitecture::Llama) };
    let document = tiny(&model, &roomy());
    let table = document.tables().nth(1).unwrap();
    assert_eq!(table.cell(0, 2), &Cell::missing("not with heads of 16"));
    assert!(table.cell(0, 1).quantity().is_some());
}

#[test]
fn what_is_no_language_model_is_described_as_what_it_is() {
    let tensor = ["blk.0.attn_q.weight.lora_a"];
    let adapter = [("general.type", "adapter"), ("general.architecture", "llama"), ("adapter.type", "lora")];
    let document = crafted(&adapter, &[], &tensor);
    assert_eq!(fact(&document, "kind"), Some(&Cell::text("adapter (LoRA)")));
    assert_eq!(fact(&document, "adapter type"), Some(&Cell::text("lora")));
    assert!(terminal(&document).contains("--lora"));
    let vocabulary = [("general.architecture", "llama"), ("tokenizer.ggml.model", "gpt2")];
    type Pairs<'a> = &'a [(&'a str, &'a str)];
    let cases: [(Pairs<'_>, &[&str], &str); 4] = [
        (&vocabulary, &[], "holds a tokenizer and no weights"),
        (&[("general.architecture", "clip")], &tensor, "--mmproj"),
        (&[("general.type", "imatrix")], &tensor, "--imatrix"),
        (&[("general.architecture", "eagle3")], &tensor, "--model-draft"),
    ];
    for (pairs, tensors, expected) in cases {
        let shown = terminal(&crafted(pairs, &[], tensors));
        assert!(shown.split_whitespace().collect::<Vec<_>>().join(" ").contains(expected), "{shown}");
    }
}

#[test]
fn models_without_a_cache_say_so() {
    let shown = terminal(&crafted(&[("general.architecture", "bert")], &[], &["token_embd.weight"]));
    assert!(shown.contains("keeps no KV cache for bert"), "{shown}");
    assert!(shown.contains("--embeddings"), "{shown}");
    let mamba = [("mamba.block_count", 1), ("mamba.embedding_length", 32), ("mamba.context_length", 2048)];
    let shown = terminal(&crafted(&[("general.architecture", "mamba")], &mamba, &["blk.0.ssm_in.weight"]));
    assert!(shown.contains("state of fixed size in place of a cache"), "{shown}");
}

#[test]
fn hostile_numbers_cost_no_time_and_end_in_words() {
    let huge = [
        ("llama.block_count", u64::MAX),
        ("llama.context_length", u64::MAX),
        ("llama.embedding_length", u64::MAX),
        ("llama.attention.head_count", 1),
        ("gemma2.attention.sliding_window", 4),
    ];
    let document = crafted(&[("general.architecture", "llama")], &huge, &["token_embd.weight"]);
    assert!(terminal(&document).contains("18446744073709551615 layers"));
    let gemma: Vec<_> = huge.iter().map(|(key, value)| (key.replace("llama", "gemma2"), *value)).collect();
    let gemma: Vec<_> = gemma.iter().map(|(key, value)| (key.as_str(), *value)).collect();
    crafted(&[("general.architecture", "gemma2")], &gemma, &["token_embd.weight"]);
    let one =
        [("llama.block_count", 1), ("llama.context_length", u64::MAX), ("llama.attention.head_count", 1)];
    let length = [("llama.attention.key_length", 32), ("llama.attention.value_length", 32)];
    let document =
        crafted(&[("general.architecture", "llama")], &[&one[..], &length].concat(), &["token_embd.weight"]);
    let table = document.tables().nth(1).unwrap();
    assert_eq!(table.cell(8, 1), &Cell::missing("too large to count"));
}

#[test]
fn long_and_unprintable_names_are_tamed() {
    let name = format!("\u{1b}[31m{}", "x".repeat(100_000));
    let document = crafted(&[("general.architecture", "llama"), ("general.name", &name)], &[], &["a"]);
    let shown = terminal(&document);
    assert!(shown.len() < 10_000 && !shown.contains('\u{1b}'));
}

#[test]
fn findings_become_warnings_that_say_what_to_do() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("cut.gguf");
    write_tiny(&path, &TinyModel::new(TinyArchitecture::Llama)).unwrap();
    let file = std::fs::OpenOptions::new().write(true).open(&path).unwrap();
    file.set_len(file.metadata().unwrap().len() - 1000).unwrap();
    let document = inspect(&path, &roomy()).unwrap();
    let found = notes(&document, NoteKind::Warning);
    assert!(found[0].starts_with("unusable as it is: "), "{found:?}");
    assert!(found[0].contains("download or copy it again (truncated-data)"), "{found:?}");
    let narrow = TinyModel { embedding: 64, feed_forward: 96, ..TinyModel::new(TinyArchitecture::Llama) };
    let document = tiny(&narrow, &roomy());
    assert!(notes(&document, NoteKind::Warning)[0].contains("(fallback-columns)"));
}

#[test]
fn files_that_cannot_be_read_are_named() {
    let folder = tempfile::tempdir().unwrap();
    let missing = folder.path().join("missing.gguf");
    let text = folder.path().join("text.gguf");
    std::fs::write(&text, "not a model").unwrap();
    for path in [missing, text, PathBuf::from(folder.path())] {
        let error = inspect(&path, &roomy()).unwrap_err().to_string();
        assert!(error.contains(&path.display().to_string()), "{error}");
    }
}

#[test]
fn machines_read_base_units() {
    let document = tiny(&TinyModel::new(TinyArchitecture::Llama), &roomy());
    let csv = (render::find("csv").unwrap().render)(&document, &Style::default());
    assert!(csv.contains(&(1024 * 512 * 2).to_string()), "{csv}");
    assert!(!csv.contains("MiB"), "{csv}");
    let json = (render::find("json").unwrap().render)(&document, &Style::default());
    let value: serde_json::Value = serde_json::from_str(&json).unwrap();
    assert!(value.to_string().contains("\"unit\":\"bytes\""), "{json}");
}
