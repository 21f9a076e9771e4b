//! `profile`: where the time of the real worker goes.

use crate::support::Place;
use gguflab_report::{Block, Document};

const SMALL: &str = "profile tiny.gguf --set threads=1 --prompt 16 --generate 4 -r 2 --json";

/// The cells of a column of every table of this caption, as they are shown.
fn column(document: &Document, caption: &str, name: &str) -> Vec<String> {
    let tables = document.tables().filter(|table| table.caption == caption);
    tables
        .flat_map(|table| {
            let place = table.columns.iter().position(|column| column.name == name).unwrap();
            table.rows.iter().map(move |row| format!("{:?}", row[place]))
        })
        .collect()
}

#[test]
fn an_engine_shows_its_operators_parts_and_layers() {
    let place = Place::with_model();
    let ended = place.check(SMALL, 0, "Profile of");
    let document: Document = serde_json::from_value(ended.json()["document"].clone()).unwrap();
    let headings = document.flat();
    let headings = headings.iter().filter(|block| matches!(block, Block::Heading { level: 1, .. }));
    assert_eq!(headings.count(), 2, "prompt and generation");
    let operators = column(&document, "Operators", "operator").join(" ");
    for name in ["MUL_MAT f32", "ROPE f32", "RMS_NORM f32"] {
        assert!(operators.contains(name), "{name} in {operators}");
    }
    let parts = column(&document, "Parts of the model", "part").join(" ");
    for name in ["ffn_down", "attn_q", "output"] {
        assert!(parts.contains(name), "{name} in {parts}");
    }
    // Two layers and their shares: together no more than the run.
    assert_eq!(document.charts().count(), 2);
    let shares = document.tables().filter(|table| table.caption == "Operators").map(|table| {
        let place = table.columns.iter().position(|column| column.name == "share").unwrap();
        table.column_cells(place).filter_map(|cell| cell.quantity()).map(|(share, _)| share).sum::<f64>()
    });
    for sum in shares {
        assert!(sum > 0.0 && sum < 1.001, "{sum}");
    }
    assert!(column(&document, "Configurations", "flash attention")[0].contains("true"), "auto turns it on");
    let works = column(&document, "Roofs", "what it does").join(" ");
    for work in ["reads weights", "multiplies f32"] {
        assert!(works.contains(work), "{work} in {works}");
    }
    let rates = column(&document, "Roofs", "per second").join(" ");
    assert!(!rates.contains("Missing"), "{rates}");
    let shares = column(&document, "Operators", "of the roof").join(" ");
    assert!(!shares.contains("not all of its roof"), "{shares}");
}

#[test]
fn an_engine_lays_two_configurations_side_by_side() {
    let place = Place::with_model();
    let ended = place.check(&format!("{SMALL} --against flash-attention=off"), 0, "change");
    let document: Document = serde_json::from_value(ended.json()["document"].clone()).unwrap();
    assert_eq!(column(&document, "Configurations", "settings").len(), 2);
    assert!(ended.output.contains("it does not run there"), "FLASH_ATTN_EXT is gone: {ended}");
}

#[test]
fn what_cannot_be_profiled_is_refused() {
    let place = Place::with_model();
    place.check(&format!("{SMALL} --against threads=1"), 2, "nothing can differ");
    place.check("profile tiny.gguf --against threads", 2, "KNOB=VALUE");
    place.check("profile tiny.gguf --workload short-long", 2, "a profile is of one");
    place.check("profile tiny.gguf -r 0", 2, "measure nothing");
    place.check("profile tiny.gguf --engine simulated", 1, "simulated shows no operations");
}
