//! Where searches are compared: simulated machines whose true speed is known.
//!
//!     search_arena machines                          # size, share that cannot run, share near the best, as JSON
//!     search_arena run MACHINE SEED SAMPLER RUNS [blind|deaf]   # our search: true loss after each run, as JSON
//!     search_arena serve MACHINE SEED                # runs trials of another program: settings in, value out
//!
//! A run is one repetition. `blind` withholds the forecast of memory, `deaf` the measured memory too. What is printed is JSON, an object on a line.

use gguflab_engine::engines::simulated::{forecast, true_seconds};
use gguflab_engine::{Control, Engine, EngineSpecification, Stop, open};
use gguflab_lab::objective;
use gguflab_search::space::{Forecaster, SpaceRequest};
use gguflab_search::tuning::{incumbent, next};
use gguflab_search::{Budget, Choice, Space, Step, TunePlan, Visit};
use gguflab_types::knob::Facts;
use gguflab_types::{
    Configuration, Deadlines, Ending, Event, Job, Outcome, Protocol, Purpose, Repetition, Request, Value,
    Workload, metric,
};
use serde_json::{Value as Json, json};
use std::collections::HashMap;
use std::error::Error;
use std::io::{BufRead, Write};

type Failure = Box<dyn Error>;

/// A machine with what is run and searched on it. Frozen: figures of one version are compared with those of another.
struct Machine {
    name: &'static str,
    preset: &'static str,
    request: Request,
    baseline: &'static [(&'static str, i64)],
    knobs: &'static [&'static str],
}

const MACHINES: &[Machine] = &[
    Machine {
        name: "small",
        preset: "laptop",
        request: Request { depth: 2048, ..Request::new(1024, 128) },
        baseline: &[],
        knobs: &[
            "threads=1..8",
            "threads-batch=1..8",
            "batch=64,128,256,512,1024,2048",
            "ubatch=16,32,64,128,256,512,1024",
            "flash-attention=auto,off",
            "repack=on,off",
        ],
    },
    Machine {
        name: "sockets",
        preset: "server",
        request: Request { depth: 0, ..Request::new(2048, 128) },
        baseline: &[],
        knobs: &[
            "threads=4..128:4",
            "threads-batch=4..128:4",
            "batch=64,128,256,512,1024,2048",
            "ubatch=16,32,64,128,256,512,1024",
            "flash-attention=auto,off",
            "repack=on,off",
            "numa=auto,distribute,isolate",
        ],
    },
    Machine {
        name: "gpu",
        preset: "card",
        request: Request { depth: 6000, ..Request::new(2048, 256) },
        baseline: &[("gpu-layers", 8)],
        knobs: &[
            "gpu-layers=0..33",
            "threads=1..12",
            "threads-batch=1..12",
            "batch=128,256,512,1024,2048",
            "ubatch=32,64,128,256,512,1024,2048",
            "flash-attention=auto,off",
            "kv-offload=on,off",
            "op-offload=on,off",
        ],
    },
    Machine {
        name: "moe",
        preset: "moe",
        request: Request { depth: 48_000, ..Request::new(2048, 256) },
        baseline: &[("gpu-layers", 8)],
        knobs: &[
            "gpu-layers=0..33",
            "cpu-moe-layers=0..32",
            "threads=2..32:2",
            "batch=256,512,1024,2048",
            "ubatch=64,128,256,512,1024,2048",
            "flash-attention=auto,off",
            "op-offload=on,off",
        ],
    },
];

fn main() -> Result<(), Failure> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let words: Vec<&str> = arguments.iter().map(String::as_str).collect();
    match words.as_slice() {
        ["machines"] => MACHINES.iter().try_for_each(describe),
        ["run", machine, seed, sampler, runs, rest @ ..] => {
            let hidden = (rest.contains(&"blind") || rest.contains(&"deaf"), rest.contains(&"deaf"));
            run(find(machine)?, seed.parse()?, sampler, runs.parse()?, hidden)
        }
        ["serve", machine, seed] => serve(find(machine)?, seed.parse()?),
        _ => Err(
            "usage: search_arena machines | run MACHINE SEED SAMPLER RUNS [blind|deaf] | serve MACHINE SEED"
                .into(),
        ),
    }
}

fn find(name: &str) -> Result<&'static Machine, Failure> {
    let names: Vec<&str> = MACHINES.iter().map(|machine| machine.name).collect();
    let found = MACHINES.iter().find(|machine| machine.name == name);
    found.ok_or_else(|| format!("no machine `{name}`: there are {}", names.join(", ")).into())
}

impl Machine {
    fn workload(&self) -> Workload {
        Workload::single(self.name, self.request)
    }

    fn space(&self) -> Result<Space, Failure> {
        let engine = self.engine(0)?;
        let scene = engine.scene().ok_or("the engine has no scene")?;
        let facts: Facts = scene.machine.facts(scene.layers, scene.experts, &self.workload());
        let baseline = self
            .baseline
            .iter()
            .fold(Configuration::new(), |made, (knob, value)| made.with(knob, Value::Integer(*value)));
        let only = self.knobs.iter().filter_map(|knob| Some(knob.split_once('=')?.0.to_string())).collect();
        let set = self.knobs.iter().map(ToString::to_string).collect();
        Ok(Space::requested(&facts, &baseline, &SpaceRequest { only, set, items: Vec::new() })?)
    }

    fn engine(&self, seed: u64) -> Result<Box<dyn Engine>, Failure> {
        let target = format!("{},seed={seed}", self.preset);
        let specification =
            EngineSpecification { kind: "simulated".into(), target: Some(target), ..Default::default() };
        Ok(open(&specification)?)
    }

    fn truth(&self, configuration: &Configuration) -> Option<f64> {
        true_seconds(self.preset, configuration, &self.workload())
    }

    /// Seconds of the best configuration of the whole lattice.
    fn best(&self, space: &Space) -> f64 {
        let size = space.size();
        let times = (0..size).filter_map(|number| self.truth(&space.point(number)?));
        times.fold(f64::INFINITY, f64::min)
    }
}

fn describe(machine: &Machine) -> Result<(), Failure> {
    let space = machine.space()?;
    let size = space.size();
    let mut distinct: HashMap<String, Option<f64>> = HashMap::new();
    for number in 0..size {
        if let Some(point) = space.point(number) {
            distinct.entry(point.key()).or_insert_with(|| machine.truth(&point));
        }
    }
    let best = distinct.values().flatten().copied().fold(f64::INFINITY, f64::min);
    let near = distinct.values().flatten().filter(|time| **time <= best * 1.02).count();
    let failing = distinct.values().filter(|time| time.is_none()).count();
    let share = |count: usize| count as f64 / distinct.len() as f64;
    let at = distinct.iter().find(|(_, time)| **time == Some(best)).map(|(key, _)| key);
    let baseline = machine.truth(space.baseline()).map(|time| time / best - 1.0);
    let knobs = space.dimensions().iter().map(|dimension| {
        let meant = space.meant(space.baseline(), &dimension.knob);
        json!({"name": dimension.knob, "ordered": dimension.ordered, "values": dimension.values, "meant": meant})
    });
    let row = json!({
        "knobs": knobs.collect::<Vec<Json>>(), "baseline": space.baseline(), "machine": machine.name, "size": size as f64, "distinct": distinct.len(), "cannot_run": share(failing),
        "within_2_percent": share(near), "best": best, "best_at": at, "loss_of_baseline": baseline,
    });
    print(&row)
}

fn run(
    machine: &Machine,
    seed: u64,
    sampler: &str,
    runs: u32,
    (blind, deaf): (bool, bool),
) -> Result<(), Failure> {
    let space = machine.space()?;
    // Looking at the whole lattice takes seconds; who has done it before says what came of it.
    let known = std::env::var("ARENA_BEST").ok().and_then(|text| text.parse().ok());
    let best: f64 = known.unwrap_or_else(|| machine.best(&space));
    let (preset, workload) = (machine.preset, machine.workload());
    let forecaster = Forecaster::new(move |configurations| {
        configurations.iter().map(|one| forecast(preset, one, &workload)).collect()
    });
    let plan = TunePlan {
        choice: Choice::parse(sampler)?,
        budget: Budget { runs, seconds: None },
        seed,
        ..TunePlan::new(space.with_forecaster((!blind).then_some(forecaster)))
    };
    let mut engine = machine.engine(seed)?;
    let (mut visits, mut rows, mut slowest): (Vec<Visit>, Vec<Json>, f64) = (Vec::new(), Vec::new(), 0.0);
    loop {
        let asked = std::time::Instant::now();
        let Step::Visit { configuration, purpose, round } = next(&plan, &visits, 0.0) else { break };
        slowest = slowest.max(asked.elapsed().as_secs_f64());
        let mut visit = visit(machine, engine.as_mut(), configuration);
        (visit.purpose, visit.round) = (purpose, round);
        visit.load = visit.load.filter(|_| !deaf);
        let failed = visit.failed();
        visits.push(visit);
        let chosen = incumbent(&plan, &visits);
        let loss = machine.truth(&chosen).map(|time| time / best - 1.0);
        rows.push(json!({"loss": loss, "failed": failed, "purpose": purpose.name(), "round": round,
            "settings": visits.last().map(|visit| visit.configuration.key())}));
    }
    print(
        &json!({"machine": machine.name, "seed": seed, "sampler": sampler, "slowest": slowest, "runs": rows}),
    )
}

/// One repetition of one configuration.
fn visit(machine: &Machine, engine: &mut dyn Engine, configuration: Configuration) -> Visit {
    let protocol = Protocol { repetitions: 1, warmup: 1, retries: 0, ..Protocol::default() };
    let job = Job {
        model: "none".into(),
        configuration: configuration.clone(),
        workload: machine.workload(),
        protocol,
        deadlines: Deadlines::default(),
        memory_limit: None,
    };
    let mut repetitions: Vec<Repetition> = Vec::new();
    let ending: Ending = engine.run(&job, &Stop::default(), &mut |event| {
        if let Event::Measured(repetition) = event {
            repetitions.push(*repetition);
        }
        Control::Continue
    });
    let time = objective::find("time").and_then(|time| time.value(&repetitions, &job.workload));
    let taken = repetitions.iter().find_map(|one| one.value(metric::DEVICE_MEMORY));
    let card: f64 = engine
        .scene()
        .map_or(0.0, |scene| scene.machine.devices.iter().map(|device| device.memory_total as f64).sum());
    Visit {
        configuration,
        purpose: Purpose::Search,
        round: 0,
        outcome: Some(ending.outcome),
        cause: ending.cause,
        value: time.filter(|_| ending.outcome == Outcome::Measured),
        load: taken.filter(|_| card > 0.0).map(|bytes| bytes / card),
        cost: time.unwrap_or(1.0),
        loading: 0.0,
        steps: std::collections::BTreeMap::new(),
        violation: None,
        objectives: Vec::new(),
        second: None,
    }
}

/// Runs what another program asks for: `{"settings": {…}}` in; `{"value": seconds or null, "truth": …}` out.
fn serve(machine: &Machine, seed: u64) -> Result<(), Failure> {
    let space = machine.space()?;
    let mut engine = machine.engine(seed)?;
    for line in std::io::stdin().lock().lines() {
        let asked: Json = serde_json::from_str(&line?)?;
        let settings: Configuration = serde_json::from_value(asked["settings"].clone())?;
        // As llama.cpp does: a ubatch above the batch is cut to it.
        let configuration = settings.canonical(space.facts());
        let truth = machine.truth(&configuration);
        let value = visit(machine, engine.as_mut(), configuration).value;
        let answer = json!({"value": value, "truth": truth});
        print(&answer)?;
    }
    Ok(())
}

fn print(row: &Json) -> Result<(), Failure> {
    let mut output = std::io::stdout().lock();
    writeln!(output, "{row}")?;
    Ok(output.flush()?)
}
