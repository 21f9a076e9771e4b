//! Reports, pictures and files of studies, and of what other programs wrote.

use crate::support::Place;

const TUNE: &str = "tune --engine simulated=gpu --study s --store {}/s.db --budget-runs 30";

#[test]
fn a_tune_writes_everything_that_is_asked_for() {
    let place = Place::new();
    let line = format!("{TUNE} --explain --pictures {{}}/p --export-dir {{}}/e --report {{}}/r.html");
    let ended = place.check(&line, 0, "What each knob did, in words");
    assert!(ended.has("`gpu-layers`") && ended.has("95 % interval"), "{ended}");
    let page = place.read("r.html");
    for words in
        ["What to try next", "Ranking", "Every trial", "How much each knob matters", "All knobs at once"]
    {
        assert!(page.contains(words), "{words}");
    }
    let pictures = names(&place, "p");
    assert!(pictures.len() >= 5, "{pictures:?}");
    for name in pictures.iter().filter(|name| name.ends_with(".svg")) {
        assert!(place.read(&format!("p/{name}")).starts_with("<svg "), "{name}");
    }
    assert!(cfg!(feature = "png") || ended.talk.contains("--features png"), "{ended}");
    place.check("report s --store {}/s.db --explain", 0, "in words");
    let plain = place.check("report s --store {}/s.db", 0, "What to try next");
    assert!(!plain.output.contains("in words"), "only when asked for");
}

fn names(place: &Place, folder: &str) -> Vec<String> {
    let mut names: Vec<String> = std::fs::read_dir(place.path(folder))
        .unwrap()
        .map(|entry| entry.unwrap().file_name().to_string_lossy().into_owned())
        .collect();
    names.sort();
    names
}

#[test]
fn files_of_llama_bench_tuner_are_written_and_read() {
    let place = Place::new();
    place.check(&format!("{TUNE} -q"), 0, "default");
    place.check("export s --store {}/s.db --export-dir {}/e", 0, "exported");
    let summary = names(&place, "e").into_iter().find(|name| name.starts_with("summary_")).unwrap();
    let text = place.read(&format!("e/{summary}"));
    let mut lines = text.lines();
    assert_eq!(lines.next(), Some("ok,ngl,b,ub,fa,decode_tps,prefill_tps,csv,stderr,start,end,elapsed_sec"));
    let trials = place.trials("s.db", "s").len();
    assert_eq!(lines.count(), trials);
    let fields: Vec<&str> = text.lines().nth(1).unwrap().split(',').collect();
    assert_eq!((fields[0], fields[2], fields[3]), ("True", "2048", "512"));
    let rates = place.read(&format!("e/{}", fields[7]));
    assert!(rates.starts_with("n_prompt,n_gen,n_depth,avg_ts,stddev_ts,samples\r\n"), "{rates}");
    assert!(place.read(&format!("e/{}", fields[8])).contains("simulated: loaded"), "the engine's log");
    let head = "number,value,state,ngl,batch,fa,prefill_tps,csv,stderr";
    for name in ["optuna_trials.csv", "optuna_ranking_decode.csv"] {
        assert_eq!(place.read(&format!("e/{name}")).lines().next(), Some(head), "{name}");
    }
    let ranked = place.read("e/ranking_decode.csv");
    let best: f64 = ranked.lines().nth(1).unwrap().split(',').nth(5).unwrap().parse().unwrap();
    let noted: serde_json::Value = serde_json::from_str(&place.read("e/optuna_best.json")).unwrap();
    assert_eq!(noted["value"].as_f64(), Some(best));
    assert!(place.read("e/best_per_ngl.csv").starts_with("ngl,ok,b,ub,fa,decode_tps"));

    place.check(&format!("report --from {{}}/e/{summary}"), 0, "summary of a grid");
    let shown = place.check("report --from {}/e/optuna_trials.csv --explain", 0, "trials of Optuna");
    assert!(shown.has("in words") && !shown.has("notes a best of"), "{shown}");
    place.check("report --from {}/e/optuna_trials.csv --export-dir {}/again", 0, "trials of Optuna");
    for name in ["optuna_ranking_decode.csv", "optuna_best_per_ngl.csv"] {
        assert_eq!(place.read(&format!("again/{name}")), place.read(&format!("e/{name}")), "{name}");
    }
    assert_eq!(place.read("again/optuna_best_copy.json"), place.read("e/optuna_best.json"));
    place.write("e/optuna_best.json", "{\"value\": 1}");
    place.check("report --from {}/e/optuna_trials.csv", 0, "notes a best of 1 tok/s");
}

#[test]
fn a_small_grid_is_drawn() {
    let place = Place::new();
    let mut text = "ngl,b,fa,decode_tps,ok\n".to_string();
    for layers in [12, 16, 20, 24] {
        for batch in [8, 12, 16] {
            for attention in [0, 1] {
                let failed = layers == 24 && attention == 1;
                let rate = if failed { 0.0 } else { 11.0 - 0.3 * (f64::from(layers) - 14.0).abs() };
                text.push_str(&format!("{layers},{batch},{attention},{rate},{}\n", u8::from(!failed)));
            }
        }
    }
    place.write("summary_x.csv", text);
    let page = "report --from {}/summary_x.csv --output {}/x.html --pictures {}/p";
    place.check(page, 0, "");
    let page = place.read("x.html");
    for words in [
        "Best decode, flash-attention=off",
        "Best decode, flash-attention=on",
        "Where trials ended as crashed",
        "The best for each value of gpu-layers",
        "each row is",
    ] {
        assert!(page.contains(words) != (words == "each row is"), "{words}");
    }
    // The default combination of llama-bench-tuner is the baseline, marked once in each picture that shows it.
    for name in names(&place, "p").iter().filter(|name| name.ends_with(".svg")) {
        let marks = place.read(&format!("p/{name}")).matches(">baseline</text>").count();
        assert!(marks <= 1, "{name}: {marks}");
    }
}

#[test]
fn bad_files_and_arguments_are_refused_with_their_place() {
    let place = Place::new();
    place.write("bad.csv", "ngl,b,fa,decode_tps\n12,8,0,quick\n");
    place.check("report --from {}/bad.csv", 3, "bad.csv, line 2, column 4: `quick` is not a rate");
    place.write("optuna_trials.csv", "number,value,ngl,batch,fa\n0,9.5,12,8,0\n");
    place.write("optuna_best.json", "{\n \"value\": nine\n}");
    place.check("report --from {}/optuna_trials.csv", 3, "optuna_best.json, line 2, column");
    place.check("report --from {}/none.csv", 3, "none.csv");
    place.check("report", 2, "required");
    place.check("report s --from {}/bad.csv", 2, "cannot be used with");
    place.check("report --from {}/bad.csv --take-away {}/x", 2, "cannot be used with");
}
