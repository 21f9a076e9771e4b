//! Which repetitions cannot be trusted.

use crate::location::{finite, median};
use gguflab_types::MachineState;

/// Share of the wall time in which tasks waited for a processor, above which a repetition is noisy. An idle
/// machine shows below 0.02; at 0.2 a thread that all others wait for has been held up for a fifth of the time.
pub const MOST_PRESSURE: f64 = 0.2;
/// Processors that other programs may use meanwhile.
pub const MOST_FOREIGN: f64 = 0.25;
/// Share of all processor time that the hypervisor may take.
pub const MOST_STEAL: f64 = 0.02;
/// Processor seconds for each second and thread, below which the threads were kept from running: the engine's
/// threads spin while they wait for each other, so undisturbed ones use nearly all of their time.
pub const LEAST_USE: f64 = 0.7;
/// Robust deviations from the median beyond which a value is an outlier (Iglewicz & Hoaglin 1993, section 3.2).
pub const MOST_DEVIATIONS: f64 = 3.5;
/// Values from which on outliers are looked for; with fewer, the spread itself is too uncertain.
pub const LEAST_VALUES: usize = 5;

/// Why a repetition is not trusted, from the state of the machine meanwhile; `None` when nothing speaks against it.
///
/// `threads` are the engine's busy threads on the CPU; 0 when that is not known or a GPU does the work, then
/// their use is not judged. `processors` are those that this process may use. With more threads than
/// processors the engine holds itself up, so neither pressure nor use says anything about others.
#[must_use]
pub fn noisy(state: &MachineState, threads: u32, processors: u32) -> Option<String> {
    let processors = f64::from(processors.max(1));
    let fits = f64::from(threads) <= processors;
    let percent = |share: f64| (share * 100.0).round();
    if let Some(why) = &state.throttled {
        return Some(format!("the processor was throttled: {why}"));
    }
    if let Some(pressure) = state.pressure.filter(|pressure| fits && *pressure > MOST_PRESSURE) {
        return Some(format!("tasks waited for a processor for {} % of the time", percent(pressure)));
    }
    if let Some(foreign) = state.foreign.map(|share| share * processors).filter(|used| *used > MOST_FOREIGN) {
        return Some(format!("other programs used {foreign:.1} processors"));
    }
    if let Some(steal) = state.steal.filter(|steal| *steal > MOST_STEAL) {
        return Some(format!("the hypervisor took {} % of the processor time", percent(steal)));
    }
    let used = state.cpu_per_wall.filter(|used| fits && *used < LEAST_USE * f64::from(threads))?;
    Some(format!("the engine's {threads} threads got only {used:.1} processors"))
}

/// Which values lie too far from the others: more than 3.5 robust deviations from the median (modified z-score,
/// Iglewicz & Hoaglin 1993). None below five values, nor when more than half of the values are equal.
#[must_use]
pub fn outliers(values: &[f64]) -> Vec<bool> {
    let usable = finite(values).len() >= LEAST_VALUES;
    let (Some(centre), Some(spread)) = (median(values), robust_spread(values)) else {
        return vec![false; values.len()];
    };
    let far = |value: &f64| value.is_finite() && (value - centre).abs() > MOST_DEVIATIONS * spread;
    values.iter().map(|value| usable && spread > 0.0 && far(value)).collect()
}

/// Median absolute deviation from the median, times 1.4826, so that it estimates the standard deviation of normal
/// errors (Rousseeuw & Croux 1993). `None` without values.
#[must_use]
pub fn robust_spread(values: &[f64]) -> Option<f64> {
    let centre = median(values)?;
    let deviations: Vec<f64> = finite(values).iter().map(|value| (value - centre).abs()).collect();
    median(&deviations).map(|deviation| 1.4826 * deviation)
}
