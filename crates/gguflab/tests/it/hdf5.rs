//! llama-gguf-optimize's files through the command line; needs the cargo feature `hdf5` in program and worker.

use crate::evaluate::{cells, divergence, document, number, place_with_text};
use gguflab_format::TinyModel;
use gguflab_report::Cell;

const TEXT: &str = "--text text.txt --context 64 --chunks 0..6 --set threads=1";

#[test]
fn an_engine_is_compared_with_logits_in_hdf5() {
    let place = place_with_text();
    for (form, most, made_of) in [("hdf5", 0.0, None), ("hdf5-half", 1e-4, Some("16 bits"))] {
        place.check(&format!("logits record tiny.gguf {TEXT} --form {form} -o {form}.h5"), 0, "is whole");
        place.check(&format!("logits show {form}.h5"), 0, "stored: whole rows");
        let line = format!("evaluate tiny.gguf --reference {form}.h5 {TEXT} --json -q");
        let ended = place.check(&line, 0, "6 windows");
        assert!(divergence(&ended).abs() <= most, "{form}: {ended}");
        let found = document(&ended);
        let table = found.tables().find(|table| table.caption.starts_with("Distance")).unwrap();
        let marks = table.columns.iter().any(|column| column.name == "made of");
        assert_eq!(marks.then_some("16 bits"), made_of);
    }
}

#[test]
fn an_engine_writes_a_result_file_in_hdf5_that_is_shown_again() {
    let place = place_with_text();
    let other =
        TinyModel { vocabulary: 512, seed: 7, ..TinyModel::new(gguflab_format::TinyArchitecture::Llama) };
    gguflab_format::write_tiny(&place.path("other.gguf"), &other).unwrap();
    let line = format!("evaluate tiny.gguf --reference other.gguf {TEXT} --comparison result.h5 --json -q");
    let ended = place.check(&line, 0, "6 windows");
    let shown = document(&place.check("logits show result.h5 --json", 0, "Divergences in result.h5"));
    let windows = cells(&shown, "KL divergence by window", "window");
    assert_eq!(windows.len(), 7, "{windows:?}");
    assert!(matches!(windows[0], Cell::Text { text } if text == "all"), "{windows:?}");
    let means: Vec<f64> = cells(&shown, "KL divergence by window", "mean").into_iter().map(number).collect();
    assert!((means[0] - divergence(&ended)).abs() < 1e-12, "{means:?}");
    let median = number(cells(&document(&ended), "Distance", "median")[0]);
    assert!((number(cells(&shown, "KL divergence by window", "median")[0]) - median).abs() < 1e-12);
    place.write("damaged.h5", &std::fs::read(place.path("result.h5")).unwrap()[..600]);
    place.check("logits show damaged.h5", 3, "damaged.h5");
    place.check("evaluate tiny.gguf --reference result.h5", 3, "result.h5");
}
