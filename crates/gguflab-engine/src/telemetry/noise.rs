//! When a repetition is not to be trusted.

use gguflab_types::machine::MachineState;

/// Processors' worth of other work that disturbs when no processor is left for it.
const FOREIGN_CORES: f64 = 0.25;
/// Share of the engine's threads that other work may come to before shared caches, memory and clocks count.
const FOREIGN_PER_THREAD: f64 = 0.25;
/// Share of time in which some task waited for a processor.
const PRESSURE: f64 = 0.25;
/// Other work, in processors, without which pressure is the engine's own doing (more threads than processors).
const FOREIGN_BEHIND_PRESSURE: f64 = 0.1;
/// Share of processor time that the hypervisor took.
const STEAL: f64 = 0.05;
/// Least processor seconds for each second and thread of an engine that keeps its threads busy.
const BUSY: f64 = 0.8;

/// Why a repetition is noisy, or `None`. `threads` is how many threads the engine keeps busy all the time (as
/// llama.cpp's spinning threads do on a CPU); 0 when that cannot be said, as with a GPU or a foreign engine.
#[must_use]
pub fn noisy(state: &MachineState, threads: u32) -> Option<String> {
    noisy_on(state, threads, super::processors())
}

/// The same for a machine of this many processors. The thresholds are choices, made so that what they let pass
/// moves a rate by a few per cent at most; two OpenMP threads that wait for each other lose far more than their
/// share when one of them is held up (measured: half the speed and less at 50 % foreign load).
#[must_use]
pub fn noisy_on(state: &MachineState, threads: u32, processors: u32) -> Option<String> {
    let (threads, processors) = (f64::from(threads), f64::from(processors.max(1)));
    let foreign = state.foreign.map(|share| share * processors);
    if let Some(reason) = &state.throttled {
        return Some(format!("slowed down ({reason})"));
    }
    if let Some(steal) = state.steal.filter(|&steal| steal > STEAL) {
        return Some(format!("the hypervisor took {:.0} % of the processor time", 100.0 * steal));
    }
    if let Some(cores) = foreign
        && disturbs(cores, threads, processors)
    {
        return Some(format!("other programs used {cores:.1} processors"));
    }
    let behind = foreign.is_none_or(|cores| cores > FOREIGN_BEHIND_PRESSURE);
    if let Some(pressure) = state.pressure.filter(|&pressure| pressure > PRESSURE && behind) {
        return Some(format!("tasks waited for a processor {:.0} % of the time", 100.0 * pressure));
    }
    let expected = threads.min(processors);
    let used = state.cpu_per_wall.filter(|&used| threads > 0.0 && used < BUSY * expected)?;
    Some(format!("the engine got {used:.1} processors for {expected:.0} threads"))
}

fn disturbs(cores: f64, threads: f64, processors: f64) -> bool {
    let crowded = threads + cores > processors;
    (crowded && cores > FOREIGN_CORES) || (threads > 0.0 && cores > FOREIGN_PER_THREAD * threads.max(1.0))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn state() -> MachineState {
        MachineState {
            pressure: Some(0.02),
            steal: Some(0.0),
            foreign: Some(0.01),
            cpu_per_wall: Some(1.98),
            ..MachineState::default()
        }
    }

    fn check(state: &MachineState, threads: u32, processors: u32, expected: Option<&str>) {
        let found = noisy_on(state, threads, processors);
        match expected {
            None => assert_eq!(found, None, "{state:?}"),
            Some(words) => {
                let found = found.unwrap_or_else(|| panic!("not noisy: {state:?}"));
                assert!(found.contains(words), "{found}");
            }
        }
    }

    #[test]
    fn quiet_and_unknown_states_are_trusted() {
        check(&state(), 2, 2, None);
        check(&MachineState::default(), 2, 2, None);
        check(&MachineState::default(), 0, 0, None);
    }

    #[test]
    fn other_work_disturbs_where_it_takes_what_the_engine_needs() {
        let foreign = |share: f64| MachineState { foreign: Some(share), ..state() };
        check(&foreign(0.2), 2, 2, Some("other programs used 0.4 processors"));
        check(&foreign(0.2), 1, 2, Some("other programs"));
        check(&MachineState { cpu_per_wall: Some(8.0), ..foreign(0.02) }, 8, 64, None);
        check(&MachineState { cpu_per_wall: Some(8.0), ..foreign(0.05) }, 8, 64, Some("3.2 processors"));
    }

    #[test]
    fn pressure_of_the_engines_own_making_is_no_noise() {
        let waiting = MachineState { pressure: Some(0.9), ..state() };
        check(&waiting, 4, 2, None);
        check(&MachineState { foreign: Some(0.08), ..waiting.clone() }, 4, 2, Some("waited"));
        check(&MachineState { foreign: None, ..waiting }, 4, 2, Some("waited for a processor 90 %"));
    }

    #[test]
    fn steal_throttling_and_starved_threads_are_noise() {
        check(&MachineState { steal: Some(0.06), ..state() }, 2, 2, Some("hypervisor took 6 %"));
        check(&MachineState { throttled: Some("heat: 3 times".into()), ..state() }, 2, 2, Some("heat"));
        check(
            &MachineState { cpu_per_wall: Some(1.5), ..state() },
            2,
            2,
            Some("1.5 processors for 2 threads"),
        );
        check(&MachineState { cpu_per_wall: Some(1.5), ..state() }, 0, 2, None);
    }
}
