//! `--pruner`: trials that cannot win are cut, and nothing else is.

use crate::support::Place;
#[cfg(unix)]
use crate::support::given;
use gguflab_types::{Outcome, Purpose, Trial};

fn pruned(trials: &[Trial]) -> Vec<&Trial> {
    let cut = |trial: &&Trial| trial.ending.as_ref().is_some_and(|one| one.outcome == Outcome::Pruned);
    trials.iter().filter(cut).collect()
}

fn searching(trials: &[Trial]) -> f64 {
    let searching = trials.iter().filter(|trial| !matches!(trial.purpose, Purpose::Baseline | Purpose::Race));
    searching.filter_map(|trial| trial.duration).sum()
}

#[test]
fn what_cannot_win_is_cut_and_saves_time() {
    let place = Place::new();
    let tune =
        "tune --engine simulated=server --store {}/s.db --repetitions 5 --workload chat --sampler random";
    place.check(&format!("{tune} --study whole --pruner none -q"), 0, "");
    let shown = place.check(&format!("{tune} --study cut --report {{}}/r.json"), 0, "pruned: ");
    assert!(shown.has("against") || shown.has("tie"), "{shown}");
    let (whole, cut) = (place.trials("s.db", "whole"), place.trials("s.db", "cut"));
    assert!(pruned(&whole).is_empty());
    let ended = pruned(&cut);
    assert!(ended.len() >= 3, "{} of {} trials", ended.len(), cut.len());
    for trial in &ended {
        assert_eq!(trial.purpose, Purpose::Search);
        let cause = &trial.ending.as_ref().unwrap().cause;
        assert!(cause.contains("best"), "{cause}");
        let last = trial.intermediates.keys().max().copied().unwrap_or(0);
        assert!(last < 5, "it was complete");
    }
    let saved = searching(&cut) / searching(&whole);
    println!(
        "{} of {} trials cut; searching took {:.0} % of the time",
        ended.len(),
        cut.len(),
        saved * 100.0
    );
    assert!(saved < 0.8, "{saved}");
    let first = &cut[0];
    assert_eq!(first.intermediates.len(), 5, "each repetition is kept on the way");
    place.check("report cut --store {}/s.db --format markdown", 0, "pruned");
    place.check("study show cut --store {}/s.db", 0, "pruned");
}

#[test]
fn pruners_are_listed_and_may_change_within_a_study() {
    let place = Place::new();
    place.check("list pruners", 0, "successive-halving");
    place.check(
        "tune --engine simulated --pruner sometimes --store {}/s.db",
        2,
        "median, successive-halving",
    );
    let tune = "tune --engine simulated=server --study s --store {}/s.db --repetitions 3";
    for (pruner, runs) in [("none", 6), ("median", 12), ("successive-halving", 20), ("auto", 30)] {
        place.check(&format!("{tune} --pruner {pruner} --budget-runs {runs} -q"), 0, "");
    }
    let trials = place.trials("s.db", "s");
    assert!(pruned(&trials).iter().all(|trial| !matches!(trial.purpose, Purpose::Baseline | Purpose::Race)));
}

#[cfg(unix)]
#[test]
fn a_slow_real_configuration_is_cut_by_its_time() {
    let Some(model) = given("GGUFLAB_TEST_MODEL") else { return };
    let place = Place::new();
    let words = format!(
        "tune {} --study s --store {{}}/s.db --knob threads=1,96 --only threads --baseline threads=1 --prompt 32 \
         --generate 16 --repetitions 3 --budget-runs 8 --sampler grid",
        model.display()
    );
    place.check(&words, 0, "pruned: ");
    let trials = place.trials("s.db", "s");
    let cut = pruned(&trials);
    assert!(!cut.is_empty() && cut.iter().all(|trial| trial.configuration.integer("threads") == Some(96)));
    let took = |trial: &Trial| trial.duration.unwrap();
    let usual = trials.iter().filter(|one| one.purpose == Purpose::Baseline).map(took).fold(0.0, f64::max);
    assert!(cut.iter().all(|trial| took(trial) < 5.0 * usual + 3.0), "{:?} and {usual}", took(cut[0]));
}
