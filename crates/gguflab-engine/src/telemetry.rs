//! The machine's state while something is measured, and what that says about the measurement.
//!
//! A [`Watch`] reads counters before and after a repetition; what a system does not tell is `None` (on other
//! systems than Linux, everything). Starting and finishing a watch together cost well under a millisecond
//! (`cargo test -p gguflab-engine` holds it to that), because sensors are looked for once and read sparsely.

mod graphics;
mod noise;
mod process;
mod sensors;

use crate::machine::files::Files;
use gguflab_types::machine::MachineState;
use graphics::Graphics;
pub(crate) use graphics::Tenant;
use sensors::Sensors;
use std::sync::OnceLock;

pub use noise::{noisy, noisy_on};
pub use process::{Usage, ended_children, group_usage, kernel_kills, process_usage};

/// Counts from a moment on.
#[derive(Debug, Clone)]
pub struct Watch {
    process: Option<u32>,
    /// Whether GPUs are watched too.
    gpus: bool,
    before: Counters,
    /// The processors' ticks when the prompt was done, and the engine's processor seconds until then.
    lap: Option<(Ticks, f64)>,
}

/// Counters that only grow.
#[derive(Debug, Clone, Default, PartialEq)]
struct Counters {
    /// Microseconds in which some task waited for a processor.
    pressure: Option<u64>,
    /// Ticks of all processors.
    processors: Option<Ticks>,
    /// Times the processors slowed themselves down because of heat.
    heat: Option<u64>,
    /// Periods and seconds in which the group's quota stopped it.
    quota: Option<(u64, f64)>,
    /// Processor seconds of the watched process.
    process: Option<f64>,
    /// Microjoules of each package.
    energy: Option<Vec<u64>>,
    /// Millijoules of each GPU; read apart, because that takes milliseconds.
    gpu_energy: Option<Vec<u64>>,
}

/// Processor time by kind, in ticks, over all processors.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
struct Ticks {
    busy: u64,
    idle: u64,
    steal: u64,
}

/// Fewer ticks tell no share.
const LEAST_TICKS: u64 = 10;
/// Shorter spans than this hold too few ticks (100 a second) for shares to mean anything.
const SHORTEST_FOR_SHARES: f64 = 0.1;

impl Watch {
    /// Starts to watch the machine, and one process on it if one is named.
    #[must_use]
    pub fn start(process: Option<u32>) -> Watch {
        Watch { process, gpus: false, before: counters(&Files::system(), sensors(), process), lap: None }
    }

    /// The same with the GPUs, of what will take about so many seconds: their counters are slow to read and tell nothing of short
    /// spans, so for those they are left alone. What is watched may be running already, and is not to be held up.
    #[must_use]
    pub fn with_gpus(process: Option<u32>, seconds: f64) -> Watch {
        let mut watch = Watch { gpus: true, ..Watch::start(process) };
        watch.before.gpu_energy = if seconds < graphics::SHORTEST { None } else { gpus().energy() };
        watch
    }

    /// The prompt is done, for which the engine used so many processor seconds: from here on tokens are generated.
    pub fn lap(&mut self, cpu_time: f64) {
        let ticks = Files::system().text("proc/stat").and_then(|text| ticks(&text));
        self.lap = ticks.map(|ticks| (ticks, cpu_time));
    }

    /// The state since the start: `wall` is the seconds of the repetition by a monotonic clock, `cpu_time` the
    /// processor seconds (user + system) that the engine used meanwhile; `None` takes those of the watched
    /// process.
    #[must_use]
    pub fn finish(&self, cpu_time: Option<f64>, wall: f64) -> MachineState {
        let files = Files::system();
        let after = counters(&files, sensors(), self.process);
        let own = match (self.before.process, after.process) {
            (Some(before), Some(after)) => Some(after - before),
            _ => None,
        };
        let cpu_time = cpu_time.or(own);
        let mut state = between(&self.before, &after, cpu_time, wall);
        [state.foreign_prompt, state.foreign_generation] = self.parts(&after, cpu_time);
        let heat_of_gpus = if self.gpus { gpus().slowed() } else { None };
        let slowed = [state.throttled.take(), heat_of_gpus].into_iter().flatten();
        state.throttled = slowed.reduce(|one, other| format!("{one}, {other}"));
        state.load = files.text("proc/loadavg").and_then(|text| text.split_whitespace().next()?.parse().ok());
        state.clock = sensors().clock(&files);
        state.temperature = sensors().temperature(&files);
        state.energy = match (&self.before.energy, &after.energy) {
            (Some(before), Some(after)) => sensors().joules(before, after, wall),
            _ => None,
        };
        let before = self.before.gpu_energy.as_ref().filter(|_| wall >= graphics::SHORTEST);
        state.gpu_energy = before.and_then(|before| graphics::joules(before, &gpus().energy()?, wall));
        state.memory_available = files
            .text("proc/meminfo")
            .map(|text| crate::machine::memory_of(&text).available)
            .filter(|&available| available > 0);
        state
    }
}

impl Watch {
    /// Shares of other work while the prompt was processed and while tokens were generated.
    fn parts(&self, after: &Counters, cpu_time: Option<f64>) -> [Option<f64>; 2] {
        let (Some((lap, until)), Some(before), Some(after)) =
            (self.lap, self.before.processors, after.processors)
        else {
            return [None, None];
        };
        let part = |from: Ticks, to: Ticks, cpu_time: Option<f64>| {
            let spent = to.since(from).filter(|spent| spent.all() >= LEAST_TICKS)?;
            Some(spent.foreign(cpu_time?))
        };
        [part(before, lap, Some(until)), part(lap, after, cpu_time.map(|all| all - until))]
    }
}

/// Processors that are online in the whole machine: what shares of processor time refer to. At least 1.
#[must_use]
pub fn processors() -> u32 {
    static PROCESSORS: OnceLock<u32> = OnceLock::new();
    *PROCESSORS.get_or_init(|| {
        let online = Files::system().text("sys/devices/system/cpu/online");
        let listed = online.map_or(0, |list| crate::machine::files::number_list(&list).len());
        let available = std::thread::available_parallelism().map_or(1, |count| count.get());
        u32::try_from(if listed > 0 { listed } else { available }).unwrap_or(1)
    })
}

/// Bytes of memory that a process has on NVIDIA GPUs. `None` where the driver tells of no such process: one that uses no GPU, and
/// one in a container, which has another number there.
#[must_use]
pub fn device_memory(process: u32) -> Option<u64> {
    gpus().memory_of(process)
}

/// Processes that compute on this machine's GPUs, were not started by this one and are no workers of another one. Those whose
/// number is not seen here, as in most containers, are left out.
pub(crate) fn strangers() -> Vec<Tenant> {
    let files = Files::system();
    let is_worker = |one: &Tenant| {
        let name = files.text(&format!("proc/{}/comm", one.process));
        name.is_some_and(|name| name.starts_with("gguflab"))
    };
    let is_strange = |one: &Tenant| process::is_own(&files, one.process) == Some(false) && !is_worker(one);
    gpus().tenants().into_iter().filter(is_strange).collect()
}

fn sensors() -> &'static Sensors {
    static SENSORS: OnceLock<Sensors> = OnceLock::new();
    SENSORS.get_or_init(|| Sensors::find(&Files::system()))
}

fn gpus() -> &'static Graphics {
    static GPUS: OnceLock<Graphics> = OnceLock::new();
    GPUS.get_or_init(Graphics::find)
}

fn counters(files: &Files, sensors: &Sensors, process: Option<u32>) -> Counters {
    Counters {
        pressure: files.text("proc/pressure/cpu").and_then(|text| waiting(&text)),
        processors: files.text("proc/stat").and_then(|text| ticks(&text)),
        heat: sensors.throttle_events(files),
        quota: crate::machine::quota_stops(files),
        process: process.and_then(process_usage).map(|usage| usage.cpu_time),
        energy: sensors.energy(files),
        gpu_energy: None,
    }
}

fn between(before: &Counters, after: &Counters, cpu_time: Option<f64>, wall: f64) -> MachineState {
    let wall = if wall.is_finite() && wall > 0.0 { wall } else { return MachineState::default() };
    let long_enough = wall >= SHORTEST_FOR_SHARES;
    let spent = match (before.processors, after.processors) {
        (Some(before), Some(after)) if long_enough => after.since(before),
        _ => None,
    };
    MachineState {
        pressure: match (before.pressure, after.pressure) {
            (Some(before), Some(after)) if long_enough => {
                Some((after.saturating_sub(before) as f64 / 1e6 / wall).min(1.0))
            }
            _ => None,
        },
        steal: spent.map(|spent| spent.share(spent.steal as f64)),
        foreign: spent.zip(cpu_time).map(|(spent, engine)| spent.foreign(engine)),
        cpu_per_wall: cpu_time.map(|seconds| seconds / wall),
        throttled: throttled(before, after),
        ..MachineState::default()
    }
}

/// What slowed the processors down in between, in words.
fn throttled(before: &Counters, after: &Counters) -> Option<String> {
    let mut reasons = Vec::new();
    if let (Some(before), Some(after)) = (before.heat, after.heat)
        && after > before
    {
        reasons.push(format!("heat: {} times", after - before));
    }
    if let (Some(before), Some(after)) = (before.quota, after.quota)
        && after.0 > before.0
    {
        reasons.push(format!(
            "processor quota of the container: {} times, {:.2} s",
            after.0 - before.0,
            (after.1 - before.1).max(0.0)
        ));
    }
    (!reasons.is_empty()).then(|| reasons.join(", "))
}

impl Ticks {
    /// The ticks since another reading; `None` when no time has passed.
    fn since(self, before: Ticks) -> Option<Ticks> {
        let passed = Ticks {
            busy: self.busy.saturating_sub(before.busy),
            idle: self.idle.saturating_sub(before.idle),
            steal: self.steal.saturating_sub(before.steal),
        };
        (passed.all() > 0).then_some(passed)
    }

    fn all(self) -> u64 {
        self.busy + self.idle + self.steal
    }

    /// The share of so many ticks; there are some.
    fn share(self, part: f64) -> f64 {
        (part / self.all() as f64).clamp(0.0, 1.0)
    }

    /// The share that others had than an engine which used so many processor seconds.
    fn foreign(self, cpu_time: f64) -> f64 {
        self.share(self.busy as f64 - cpu_time * ticks_per_second())
    }
}

/// First line of `/proc/stat`: user, nice, system, idle, iowait, irq, softirq, steal (guest time is part of user).
/// Source: `proc_stat(5)`.
fn ticks(text: &str) -> Option<Ticks> {
    let line = text.lines().find_map(|line| line.strip_prefix("cpu "))?;
    let numbers: Vec<u64> = line.split_whitespace().map_while(|number| number.parse().ok()).collect();
    let number = |index: usize| numbers.get(index).copied().unwrap_or(0);
    (numbers.len() >= 4).then(|| Ticks {
        busy: number(0) + number(1) + number(2) + number(5) + number(6),
        idle: number(3) + number(4),
        steal: number(7),
    })
}

/// `some … total=` of `/proc/pressure/cpu`, in microseconds. Source: the kernel's `accounting/psi.rst`.
fn waiting(text: &str) -> Option<u64> {
    let line = text.lines().find(|line| line.starts_with("some "))?;
    line.split_whitespace().find_map(|part| part.strip_prefix("total=")?.parse().ok())
}

fn ticks_per_second() -> f64 {
    #[cfg(unix)]
    return rustix::param::clock_ticks_per_second() as f64;
    #[cfg(not(unix))]
    return 100.0;
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Instant;

    fn counters(pressure: u64, busy: u64, idle: u64, steal: u64) -> Counters {
        Counters {
            pressure: Some(pressure),
            processors: Some(Ticks { busy, idle, steal }),
            ..Counters::default()
        }
    }

    #[test]
    fn counters_are_read() {
        let text = "cpu  100 5 20 900 30 1 2 7 50 0\ncpu0 50 2 10 450 15 0 1 3 25 0\nintr 5\n";
        assert_eq!(ticks(text), Some(Ticks { busy: 128, idle: 930, steal: 7 }));
        for bad in ["", "cpu  1 2\n", "cpux 1 2 3 4\n", "cpu a b c d\n"] {
            assert_eq!(ticks(bad), None, "{bad}");
        }
        let text = "some avg10=0.14 avg60=0.33 avg300=0.37 total=10580558\nfull avg10=0.00 total=3\n";
        assert_eq!(waiting(text), Some(10_580_558));
        assert_eq!(waiting("full total=3"), None);
    }

    #[test]
    fn shares_come_from_differences() {
        let hundred = ticks_per_second() / 100.0; // ticks of 10 ms
        let scaled = |ticks: u64| (ticks as f64 * hundred) as u64;
        let before = counters(1_000_000, 0, 0, 0);
        // Two processors for two seconds: the engine used 2 s, others 0.4 s, the hypervisor took 0.2 s.
        let after = counters(1_500_000, scaled(240), scaled(140), scaled(20));
        let state = between(&before, &after, Some(2.0), 2.0);
        assert_eq!(state.pressure, Some(0.25));
        assert_eq!(state.steal, Some(0.05));
        assert!((state.foreign.unwrap() - 0.1).abs() < 1e-9, "{state:?}");
        assert_eq!(state.cpu_per_wall, Some(1.0));
        let unknown = between(&before, &after, None, 2.0);
        assert_eq!((unknown.foreign, unknown.cpu_per_wall), (None, None));
    }

    #[test]
    fn prompt_and_generation_have_shares_of_their_own() {
        let hundred = ticks_per_second() / 100.0; // ticks of 10 ms
        let at = |busy: f64, idle: f64| Ticks {
            busy: (busy * hundred) as u64,
            idle: (idle * hundred) as u64,
            steal: 0,
        };
        let counters = |ticks| Counters { processors: Some(ticks), ..Counters::default() };
        // Two processors. A second in which the engine uses one and others a half, then one in which others use none.
        let watch = Watch {
            process: None,
            gpus: false,
            before: counters(at(0.0, 0.0)),
            lap: Some((at(150.0, 50.0), 1.0)),
        };
        let parts = watch.parts(&counters(at(350.0, 50.0)), Some(3.0));
        assert!((parts[0].unwrap() - 0.25).abs() < 1e-9 && parts[1].unwrap().abs() < 1e-9, "{parts:?}");
        let unknown = Watch { lap: None, ..watch.clone() };
        assert_eq!(unknown.parts(&counters(at(350.0, 50.0)), Some(3.0)), [None, None]);
        let short = Watch { lap: Some((at(1.0, 1.0), 0.01)), ..watch };
        assert_eq!(short.parts(&counters(at(350.0, 50.0)), Some(3.0))[0], None);
    }

    #[test]
    fn spans_that_are_too_short_or_no_spans_tell_no_shares() {
        let (before, after) = (counters(0, 0, 0, 0), counters(10, 1, 1, 0));
        assert_eq!(between(&before, &after, Some(0.01), 0.02).foreign, None);
        assert_eq!(between(&before, &after, None, 0.0), MachineState::default());
        assert_eq!(between(&before, &after, None, f64::NAN), MachineState::default());
        assert_eq!(between(&before, &before, Some(1.0), 1.0).steal, None);
        assert_eq!(between(&Counters::default(), &after, None, 1.0), MachineState::default());
    }

    #[test]
    fn slowing_down_is_told_in_words() {
        let before = Counters { heat: Some(2), quota: Some((5, 1.0)), ..Counters::default() };
        let after = Counters { heat: Some(5), quota: Some((9, 1.5)), ..Counters::default() };
        let words = between(&before, &after, None, 1.0).throttled.unwrap();
        assert_eq!(words, "heat: 3 times, processor quota of the container: 4 times, 0.50 s");
        assert_eq!(between(&after, &after, None, 1.0).throttled, None);
    }

    #[test]
    fn watching_this_process_sees_its_own_work() {
        let watch = Watch::start(Some(std::process::id()));
        let started = Instant::now();
        let mut sum = 0_u64;
        while started.elapsed().as_secs_f64() < 0.25 {
            sum = std::hint::black_box(sum.wrapping_mul(31).wrapping_add(7));
        }
        let state = watch.finish(None, started.elapsed().as_secs_f64());
        if cfg!(target_os = "linux") {
            assert!(state.cpu_per_wall.unwrap() > 0.0, "{state:?}");
            assert!(state.load.is_some() && state.memory_available.unwrap() > 0, "{state:?}");
            assert!(state.foreign.is_none_or(|share| (0.0..=1.0).contains(&share)), "{state:?}");
        } else {
            assert_eq!(state, MachineState::default());
        }
    }

    #[test]
    fn watching_is_cheap() {
        let mut best = f64::INFINITY;
        for _ in 0..50 {
            let started = Instant::now();
            // As for repetitions that are too short for what is slow to read.
            let _ = Watch::with_gpus(Some(std::process::id()), 0.1).finish(Some(0.0), 0.1);
            best = best.min(started.elapsed().as_secs_f64());
        }
        // The best of fifty is not disturbed by whatever else the machine does.
        assert!(best < 1e-3, "{best} s");
    }
}
