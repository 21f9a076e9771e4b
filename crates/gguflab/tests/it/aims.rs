//! `--require`, several objectives and `--tie-break`.

use crate::support::{Ended, Place};
use gguflab_types::{Purpose, Trial, metric};

/// Peak memory of process and card, as `memory` has it.
fn memory(trial: &Trial) -> Option<f64> {
    let value = |name: &str| trial.repetitions.iter().find_map(|one| one.value(name));
    Some(value(metric::PEAK_MEMORY)? + value(metric::DEVICE_MEMORY).unwrap_or(0.0))
}

fn table(ended: &Ended, title: &str) -> Vec<serde_json::Value> {
    let document = ended.json();
    let blocks = document["document"]["blocks"].as_array().unwrap();
    let found = blocks.iter().find(|block| block["block"] == "table" && block["caption"] == title);
    found.unwrap_or_else(|| panic!("no table {title}\n{ended}"))["rows"].as_array().unwrap().clone()
}

#[test]
fn what_misses_a_requirement_is_kept_and_marked_and_cannot_win() {
    let place = Place::new();
    let tune = "tune --engine simulated=gpu --store {}/s.db --sampler model";
    place.check(&format!("{tune} --study free -q"), 0, "");
    let free = place.trials("s.db", "free");
    let bound = memory(&free[0]).unwrap() * 0.93;
    let require = format!("{tune} --study s --require memory<{bound:.0} --require first-token<10min");
    let ended = place.check(&format!("{require} --json"), 0, "requires memory<");
    let trials = place.trials("s.db", "s");
    let misses = |trial: &&Trial| memory(trial).is_some_and(|bytes| bytes > bound);
    let missed = trials.iter().filter(misses).count();
    assert!(missed > 0 && missed < trials.len(), "{missed} of {}", trials.len());
    let (raced, seen): (Vec<&Trial>, Vec<&Trial>) =
        trials.iter().partition(|trial| trial.purpose == Purpose::Race);
    let known =
        |one: &&Trial| seen.iter().any(|trial| misses(trial) && trial.configuration == one.configuration);
    assert!(!raced.is_empty() && !raced.iter().any(known), "what was seen to miss is no finalist");
    assert_eq!(table(&ended, "Missed").len(), missed);
    place.check("study show s --store {}/s.db", 0, "requires memory<");
    place.check("report s --store {}/s.db --output {}/r.html", 0, "");
    // The requirement is part of the study.
    place.check(&format!("{tune} --study s --require memory<{bound:.0} --resume"), 1, "requirements");
    place.check(&format!("{require} --resume"), 0, "Required");
}

#[test]
fn where_nothing_keeps_to_it_the_nearest_is_named() {
    let place = Place::new();
    let tune =
        "tune --engine simulated=laptop --store {}/s.db --study s --budget-runs 12 --require decode>=100000";
    let ended = place.check(tune, 1, "nothing keeps to what is required; the nearest");
    assert!(ended.has("requires decode>=100000, and has") && ended.has("Loosen that requirement"), "{ended}");
    let tune = "tune --engine simulated=laptop --store {}/t.db --study s --budget-runs 12 --require device-memory<1GB";
    place.check(tune, 1, "device-memory was not measured");
}

#[test]
fn what_cannot_be_read_is_refused_with_what_can() {
    let place = Place::new();
    for (words, said) in [
        ("--require speed>20", "nothing called `speed` is measured; there are time, decode"),
        ("--require memory<12s", "KiB, MiB, GiB"),
        ("--require memory", "the operators are <, <=, > and >="),
        ("--objective decode,decode", "`decode` is there twice"),
        ("--objective decode,speed", "no objective `speed`: there are time, decode"),
        ("--tie-break time", "that is the objective itself"),
        ("--tie-break speed", "no objective `speed`"),
        ("--objective decode,prefill --pruner median", "take auto or none"),
    ] {
        place.check(&format!("tune --engine simulated {words} --store {{}}/s.db"), 2, said);
    }
    assert!(!place.path("s.db").exists());
}

#[test]
fn several_objectives_give_a_front_with_the_workloads_winner_marked() {
    let place = Place::new();
    let tune =
        "tune --engine simulated=gpu --store {}/s.db --study s --objective decode,prefill,memory --json";
    let ended = place.check(tune, 0, "no other one is better in decode, prefill and memory");
    let front = table(&ended, "Front");
    assert!(front.len() >= 2, "{} on the front", front.len());
    let said = serde_json::to_string(&front).unwrap();
    assert!(said.contains("winner"), "{said}");
    assert!(ended.has("raced: expected time of a request"), "{ended}");
    place.check("report s --store {}/s.db --output {}/r.html", 0, "");
    assert!(place.read("r.html").contains("Front: prefill against decode"));
    place.check("list objectives", 0, "peak memory of the process and of all devices together");
    place.check(&tune.replace(",memory", ""), 1, "objectives");
}

#[test]
fn lossy_settings_are_tried_only_when_asked_for_and_said_not_to_be_checked() {
    let place = Place::new();
    let tune = "tune --engine simulated=gpu --store {}/s.db --objective decode,memory --budget-runs 20";
    let plain = place.check(&format!("{tune} --study plain"), 0, "Front");
    assert!(!plain.has("quality was not checked"), "{plain}");
    let asked = format!("{tune} --study asked --only cache-type-k --knob cache-type-k=f16,q8_0");
    place.check(&asked, 0, "quality was not checked");
}

#[test]
fn a_tie_is_broken_or_said_not_to_be() {
    let place = Place::new();
    let tune = "tune --engine simulated=flat --store {}/s.db --study s --tie-break decode";
    place.check(tune, 0, "decode was to break a tie, and no difference in it was shown either");
}
