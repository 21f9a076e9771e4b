//! What the tests of engines share.

use gguflab_engine::{Control, Engine, Stop};
use gguflab_types::{Configuration, Deadlines, Ending, Event, Job, Protocol, Repetition, Request, Workload};
use std::time::{Duration, Instant};

/// A job of one request, measured twice.
pub(crate) fn job(request: Request) -> Job {
    Job {
        model: "m.gguf".into(),
        configuration: Configuration::new(),
        workload: Workload::single("test", request),
        protocol: Protocol { repetitions: 2, retries: 0, ..Protocol::default() },
        deadlines: Deadlines::default(),
        memory_limit: None,
    }
}

/// Runs a job and hands back its ending, what was measured and the log.
pub(crate) fn run(engine: &mut dyn Engine, job: &Job) -> (Ending, Vec<Repetition>, String) {
    let (mut repetitions, mut log) = (Vec::new(), String::new());
    let mut sink = |event| {
        match event {
            Event::Measured(repetition) => repetitions.push(*repetition),
            Event::Log(_, line) => log.push_str(&format!("{line}\n")),
            _ => {}
        }
        Control::Continue
    };
    let ending = engine.run(job, &Stop::default(), &mut sink);
    (ending, repetitions, log)
}

/// Whether a process is alive. One that was killed may still be listed until its new parent has taken note of it: that
/// is a zombie, or gone.
pub(crate) fn is_alive(number: u32) -> bool {
    let number = number.to_string();
    let state = std::process::Command::new("ps").args(["-o", "stat=", "-p", &number]).output().unwrap();
    let state = String::from_utf8_lossy(&state.stdout).trim().to_string();
    !state.is_empty() && !state.starts_with('Z')
}

/// Whether a process ends now: a signal takes effect when the system next looks at the process, which a crowded machine
/// puts off.
pub(crate) fn ends(number: u32) -> bool {
    let deadline = Instant::now() + Duration::from_secs(5);
    while is_alive(number) {
        if Instant::now() > deadline {
            return false;
        }
        std::thread::sleep(Duration::from_millis(10));
    }
    true
}
