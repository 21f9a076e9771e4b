//! What lies off its neighbours' trend is run again, and confirmed or withdrawn.

use crate::support::{Ended, Place, finish};
use gguflab_types::Purpose;

/// Faster with each thread; slow with four of them, always or once.
const PROGRAM: &str = r#"
import json, os, sys
for line in sys.stdin:
    trial = json.loads(line)
    if "estimate" in trial:
        print(json.dumps({"estimates": None}), flush=True)
        continue
    threads = trial["settings"].get("threads", 6)
    rate = 100.0 + 10.0 * threads
    if threads == 4:
        once = "ONCE" == "yes"
        if not (once and os.path.exists("seen")):
            rate = 60.0
        open("seen", "w").close()
    values = [rate for index in range(trial["repetitions"])]
    print(json.dumps({"metrics": {"decode": values, "prefill": values}}), flush=True)
"#;

fn tune(place: &Place, once: bool, more: &[&str]) -> Ended {
    place.write("program.py", PROGRAM.replace("ONCE", if once { "yes" } else { "no" }));
    let command = format!("command=python3 {}", place.path("program.py").display());
    let store = place.path("s.db").display().to_string();
    let words = ["tune", "--engine", &command, "--study", "s", "--store", &store, "--sampler", "grid"];
    let space = ["--prompt", "8", "--generate", "4", "--knob", "threads=1..6", "--only", "threads"];
    let words: Vec<&str> = words.into_iter().chain(space).chain(more.iter().copied()).collect();
    let mut command = place.with_arguments(&words);
    command.stdout(std::process::Stdio::piped()).stderr(std::process::Stdio::piped());
    finish(command.spawn().unwrap())
}

#[test]
fn what_is_slow_every_time_is_confirmed() {
    let place = Place::new();
    let told = tune(&place, false, &[]);
    assert!(told.output.contains("Off the trend") && told.output.contains("not looked into"), "{told}");
    let ended = tune(&place, false, &["--resume", "--recheck"]);
    assert!(ended.output.contains("✗ confirmed"), "{ended}");
    let trials = place.trials("s.db", "s");
    let again: Vec<_> = trials.iter().filter(|trial| trial.purpose == Purpose::Compare).collect();
    assert_eq!(again.len(), 12, "four rounds of three");
    for round in 0..4 {
        let mut threads: Vec<Option<i64>> = again
            .iter()
            .filter(|trial| trial.round == round)
            .map(|trial| trial.configuration.integer("threads"))
            .collect();
        threads.sort_unstable();
        assert_eq!(threads, [Some(3), Some(4), Some(5)]);
    }
}

#[test]
fn what_was_slow_once_is_withdrawn() {
    let place = Place::new();
    let ended = tune(&place, true, &["--recheck"]);
    assert!(ended.output.contains("✓ withdrawn"), "{ended}");
    let nothing = tune(&place, true, &["--resume", "--recheck"]);
    assert!(nothing.output.contains("✓ withdrawn"), "a second time it finds the same\n{nothing}");
    assert_eq!(
        place.trials("s.db", "s").iter().filter(|trial| trial.purpose == Purpose::Compare).count(),
        12
    );
}
