//! Studies that the real Optuna began, gone on with here and there; and what is done with studies as a whole.

use crate::support::{Place, given};
use gguflab_types::{Outcome, Purpose};
use std::process::Command;

/// What every script begins with; FILE and the study's name are its arguments.
const HEAD: &str = r#"
import sys
import optuna
optuna.logging.set_verbosity(optuna.logging.ERROR)
storage, name = "sqlite:///" + sys.argv[1], sys.argv[2]

def make(direction="maximize", metric="decode_tps"):
    study = optuna.create_study(study_name=name, storage=storage, direction=direction)
    if metric:
        study.set_metric_names([metric])
    return study

def objective(trial):
    threads = trial.suggest_int("n_threads", 1, 8)
    trial.suggest_categorical("fa", [0, 1])
    trial.suggest_int("ub", 32, 512, log=True)
    return 2.0 + threads
"#;

const BEGIN: &str = r#"
study = make()
study.optimize(objective, n_trials=6)
study.enqueue_trial({"n_threads": 2, "fa": 1, "ub": 64})
study.enqueue_trial({"n_threads": 99})
"#;

const GO_ON: &str = r#"
study = optuna.load_study(study_name=name, storage=storage)
study.optimize(objective, n_trials=3)
for trial in study.trials[6:]:
    assert set(trial.params) <= {"n_threads", "fa", "ub"}, trial.params
    assert trial.distributions.get("n_threads", None) in (None, study.trials[0].distributions["n_threads"])
whole = [trial for trial in study.trials if trial.state.name == "COMPLETE" and {"n_threads", "ub"} <= set(trial.params)]
print(len(whole))
"#;

impl Place {
    fn python(&self, interpreter: &std::path::Path, script: &str, study: &str) -> String {
        let mut command = Command::new(interpreter);
        command.args(["-W", "ignore", "-c", &format!("{HEAD}{script}")]).arg(self.path("o.db")).arg(study);
        let ended = command.output().unwrap();
        assert!(ended.status.success(), "{script}\n{}", String::from_utf8_lossy(&ended.stderr));
        String::from_utf8(ended.stdout).unwrap().trim().to_string()
    }
}

const TUNE: &str = "tune --engine simulated=laptop --workload long-prompt --store {}/o.db -q";

#[test]
fn a_study_that_real_optuna_began_is_gone_on_with_here_and_there() {
    let Some(interpreter) = given("GGUFLAB_PYTHON") else { return };
    let place = Place::new();
    place.python(&interpreter, BEGIN, "theirs");
    let line = format!("{} --study theirs --budget-runs 14", TUNE.trim_end_matches(" -q"));
    let ended = place.check(&line, 0, "llama-server");
    assert!(ended.has("trial 7 was enqueued and cannot be run: threads=99"), "{ended}");
    assert!(ended.has("`n_threads` takes whole numbers from 1 to 8"), "{ended}");
    let count = |place: &Place, purpose: Purpose| {
        place.trials("o.db", "theirs").iter().filter(|trial| trial.purpose == purpose).count()
    };
    assert_eq!((count(&place, Purpose::Foreign), count(&place, Purpose::Enqueued)), (6, 2));
    let trials = place.trials("o.db", "theirs");
    let ours = trials.len() - 8;
    assert!((6..=14).contains(&ours) && count(&place, Purpose::Race) > 0, "{ours} of our own");
    let asked = trials.iter().filter(|trial| trial.purpose == Purpose::Enqueued);
    let outcomes: Vec<_> = asked.map(|trial| trial.ending.as_ref().map(|ending| ending.outcome)).collect();
    assert_eq!(outcomes, [Some(Outcome::Measured), Some(Outcome::Rejected)]);
    assert_eq!(trials[6].configuration.key(), "flash-attention=on threads=2 ubatch=64");

    let whole: usize = place.python(&interpreter, GO_ON, "theirs").parse().unwrap();
    assert_eq!(whole, 6 + 1 + ours + 3, "what unset numbers come to is a parameter too");
    place.check(&format!("{TUNE} --study theirs --budget-runs 18 --resume"), 0, "llama-server");
    assert_eq!(count(&place, Purpose::Foreign), 9);
    place.check("study show theirs --store {}/o.db", 0, "foreign");
    place.check("study show theirs 0 --store {}/o.db", 0, "another program ran it");
    place.check("report theirs --store {}/o.db", 0, "of other programs");
    let list = place.check("study list --store {}/o.db", 0, "decode ↑");
    assert!(list.has("tok/s"), "{list}");
    place.check(
        &format!("{TUNE} --study theirs --objective time"),
        1,
        "was begun with other settings (objective)",
    );
}

#[test]
fn what_real_optuna_began_and_we_cannot_go_on_with_is_refused_by_name() {
    let Some(interpreter) = given("GGUFLAB_PYTHON") else { return };
    let cases = [
        (
            "make().optimize(lambda trial: trial.suggest_int('layers', 1, 4), n_trials=2)",
            "",
            "parameter `layers` is no knob",
        ),
        (
            "make().optimize(lambda trial: trial.suggest_float('threads', 1, 8), n_trials=2)",
            "",
            "parameter `threads` takes numbers from 1 to 8: knob threads cannot be",
        ),
        (
            "make(metric=None).optimize(objective, n_trials=2)",
            "",
            "say with --objective which of decode, prefill",
        ),
        ("make(metric='score').optimize(objective, n_trials=2)", "", "objective is called `score`"),
        (
            "make('minimize').optimize(objective, n_trials=2)",
            "",
            "is minimised, which does not go with decode",
        ),
        (
            "make(metric=None).optimize(objective, n_trials=2)",
            "--objective time",
            "is maximised, which does not go with time",
        ),
        (
            "make().optimize(objective, n_trials=2)",
            "--baseline threads=12",
            "--baseline threads=12: its parameter `n_threads`",
        ),
        (
            "make().optimize(objective, n_trials=2)",
            "--knob threads=4..12",
            "--knob threads=9: its parameter `n_threads`",
        ),
        (
            "optuna.create_study(study_name=name, storage=storage, directions=['maximize', 'minimize'])",
            "",
            "it has 2 objectives",
        ),
    ];
    let place = Place::new();
    for (number, (script, arguments, words)) in cases.into_iter().enumerate() {
        let study = format!("case{number}");
        place.python(&interpreter, script, &study);
        place.check(&format!("{TUNE} --study {study} {arguments}"), 1, words);
        place.check(&format!("study show {study} --store {{}}/o.db"), 5, "made by another program");
    }
    let narrowed = "--objective decode --knob threads=2,4 --only threads,ubatch --budget-runs 8";
    place.check(&format!("{TUNE} --study case2 {narrowed}"), 0, "llama-server");
    let trials = place.trials("o.db", "case2");
    assert!(trials.iter().all(|trial| trial.purpose == Purpose::Foreign
        || matches!(trial.configuration.integer("threads"), None | Some(2 | 4))));
}

#[test]
fn a_study_of_real_optuna_without_parameters_takes_ours() {
    let Some(interpreter) = given("GGUFLAB_PYTHON") else { return };
    let place = Place::new();
    place.python(&interpreter, "make().enqueue_trial({'threads': 2, 'flash_attn': 0})", "fresh");
    place.check(&format!("{TUNE} --study fresh --budget-runs 6"), 0, "llama-server");
    let trials = place.trials("o.db", "fresh");
    assert_eq!(
        (trials[0].purpose, trials[0].configuration.key().as_str()),
        (Purpose::Enqueued, "flash-attention=off threads=2")
    );
    place.python(
        &interpreter,
        "study = optuna.load_study(study_name=name, storage=storage)\n\
         study.tell(study.ask(study.trials[-1].distributions), 1.0)",
        "fresh",
    );
    assert_eq!(place.trials("o.db", "fresh").len(), trials.len() + 1);
}

#[test]
fn studies_are_copied_merged_written_renamed_and_deleted() {
    let place = Place::new();
    let tune = |store: &str, more: &str| {
        format!("tune --engine simulated=laptop --study s --store {{}}/{store} --budget-runs 8 -q {more}")
    };
    place.check(&tune("a.db", ""), 0, "default");
    place.check(&tune("b.db", "--seed 7"), 0, "default");
    place.check(&tune("c.db", "--workload batch"), 0, "default");
    let (one, two) = (place.trials("a.db", "s").len(), place.trials("b.db", "s").len());
    place.check("study copy s --as t --store {}/a.db", 0, "is now `t`");
    place.check("study copy s --as t --store {}/a.db", 5, "already exists");
    place.check("study copy s --to {}/new.db --store {}/a.db", 0, "");
    assert_eq!(place.trials("new.db", "s"), place.trials("a.db", "s"));
    place.check("study copy nobody --to {}/none.db --store {}/a.db", 5, "no study `nobody`");
    assert!(!place.path("none.db").exists());

    place.check(
        "study merge s {}/a.db {}/b.db --as all --store {}/all.db",
        0,
        &format!("{two} trials added"),
    );
    place.check(
        "study merge s {}/b.db {}/a.db --as all --store {}/all.db",
        0,
        &format!("{one} were there already"),
    );
    assert_eq!(place.trials("all.db", "all").len(), one + two);
    place.check("report all --store {}/all.db", 0, "llama-server");
    let refused =
        place.check("study merge s {}/c.db --as all --store {}/all.db", 1, "do not measure the same");
    assert!(refused.has("workload"), "{refused}");

    place.check("study export s -o {}/s.csv --store {}/a.db", 0, "");
    assert!(place.read("s.csv").starts_with("trial,purpose,round,outcome"));
    place.check("study export s -o {}/plain.db --store {}/a.db", 0, "plain.db");
    place.check("study list --store {}/plain.db", 5, "open it once for writing");

    place.check("study rename t u --store {}/a.db", 0, "");
    place.check("study delete u --store {}/a.db", 2, "--yes");
    place.check("study delete u --yes --store {}/a.db", 0, "");
    place.check("study delete u --yes --store {}/a.db", 5, "no study `u`");
    place.check("study list --store {}/a.db", 0, "time ↓");
    assert_eq!(place.trials("a.db", "s").len(), one);
}

const AIMS: &str = r#"
study = optuna.load_study(study_name=name, storage=storage)
measured = [trial for trial in study.trials if trial.state.name == "COMPLETE"]
feasible = [trial for trial in measured if all(miss <= 0 for miss in trial.system_attrs["constraints"])]
assert 0 < len(feasible) < len(measured), (len(feasible), len(measured))
best = study.best_trials
assert best and all(trial in feasible and len(trial.values) == 2 for trial in best)
print(study.metric_names, [direction.name for direction in study.directions])
"#;

#[test]
fn real_optuna_reads_a_front_and_what_misses_a_requirement() {
    let Some(interpreter) = given("GGUFLAB_PYTHON") else { return };
    let place = Place::new();
    let tune = "tune --engine simulated=gpu --store {}/o.db -q --study ours --objective decode,memory --require memory<9GiB";
    place.check(tune, 0, "Front");
    let said = place.python(&interpreter, AIMS, "ours");
    assert_eq!(said, "['decode', 'memory'] ['MAXIMIZE', 'MINIMIZE']");
}
