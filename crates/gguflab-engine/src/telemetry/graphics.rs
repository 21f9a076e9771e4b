//! Energy that NVIDIA GPUs have taken and what slows them down, by NVIDIA's management library where the driver brings one.
//!
//! Source: NVML API Reference, `nvmlDeviceGetTotalEnergyConsumption`: millijoules since the driver was loaded, on Volta and
//! newer; `nvmlDeviceGetCurrentClocksEventReasons`: why clocks are lower than they might be.

use nvml_wrapper::Nvml;
use nvml_wrapper::bitmasks::device::ThrottleReasons;
use nvml_wrapper::enums::device::UsedGpuMemory;

/// Shorter spans tell nothing: the counter moves about ten times a second (Yang, Adamek & Armour 2023). Reading it takes 3 to 15 ms
/// on an H100.
pub(super) const SHORTEST: f64 = 0.5;

/// What makes a GPU slower than it was before. Its limit of power is not among them: under load many work at theirs all the time.
const SLOWING: [(ThrottleReasons, &str); 3] = [
    (ThrottleReasons::HW_THERMAL_SLOWDOWN, "heat"),
    (ThrottleReasons::SW_THERMAL_SLOWDOWN, "heat"),
    (ThrottleReasons::HW_POWER_BRAKE_SLOWDOWN, "power supply"),
];

/// A process that computes on a GPU.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Tenant {
    /// Number of the GPU, from 0.
    pub(crate) gpu: u32,
    pub(crate) process: u32,
    /// Bytes of its memory there; `None` where the driver does not tell.
    pub(crate) bytes: Option<u64>,
}

/// Where GPUs are asked.
#[derive(Debug, Default)]
pub(super) struct Graphics {
    library: Option<Nvml>,
}

impl Graphics {
    /// Looks for the library where the system looks for libraries. A driver that sleeps may take a second to wake up; the look at
    /// the machine before anything is measured (`machine::preflight`) waits for it.
    pub(super) fn find() -> Graphics {
        Graphics { library: Nvml::init().ok() }
    }

    /// Millijoules that each GPU of the machine has taken, whoever uses it; `None` unless all of them tell, because a sum over
    /// some would pass for that over all.
    pub(super) fn energy(&self) -> Option<Vec<u64>> {
        let library = self.library.as_ref()?;
        let gpus = 0..library.device_count().ok()?;
        every(gpus.map(|index| library.device_by_index(index)?.total_energy_consumption()))
    }

    /// Bytes of memory that a process has on all GPUs; `None` when it is not seen on any.
    pub(super) fn memory_of(&self, process: u32) -> Option<u64> {
        let own = self.tenants().into_iter().filter(|one| one.process == process);
        own.filter_map(|one| one.bytes).reduce(u64::saturating_add)
    }

    /// The processes that compute on GPUs.
    pub(super) fn tenants(&self) -> Vec<Tenant> {
        let Some(library) = &self.library else { return Vec::new() };
        let of = |gpu| library.device_by_index(gpu)?.running_compute_processes();
        let all = 0..library.device_count().unwrap_or(0);
        all.flat_map(|gpu| {
            let processes = of(gpu).unwrap_or_default().into_iter();
            processes.map(move |one| Tenant {
                gpu,
                process: one.pid,
                bytes: match one.used_gpu_memory {
                    UsedGpuMemory::Used(bytes) => Some(bytes),
                    UsedGpuMemory::Unavailable => None,
                },
            })
        })
        .collect()
    }

    /// What slows GPUs down at this moment, in words. Such states last for seconds, so a look at the end of a repetition sees them.
    pub(super) fn slowed(&self) -> Option<String> {
        let library = self.library.as_ref()?;
        let reasons = (0..library.device_count().ok()?).map(|index| {
            let gpu = library.device_by_index(index);
            gpu.and_then(|gpu| gpu.current_throttle_reasons()).unwrap_or(ThrottleReasons::NONE)
        });
        in_words(reasons)
    }
}

fn in_words(reasons: impl Iterator<Item = ThrottleReasons>) -> Option<String> {
    let slowing = |reasons: ThrottleReasons| SLOWING.iter().find(|(reason, _)| reasons.intersects(*reason));
    let gpus = reasons.enumerate().filter_map(|(index, reasons)| Some((index, slowing(reasons)?.1)));
    let words: Vec<String> = gpus.map(|(index, why)| format!("{why} of GPU {index}")).collect();
    (!words.is_empty()).then(|| words.join(", "))
}

fn every<E>(counts: impl Iterator<Item = Result<u64, E>>) -> Option<Vec<u64>> {
    let counts: Vec<u64> = counts.collect::<Result<_, E>>().ok()?;
    (!counts.is_empty()).then_some(counts)
}

/// Joules of all GPUs between two readings, so many seconds apart. `None` where that is too short, where GPUs came or went,
/// and where a counter began anew because its driver was loaded again.
pub(super) fn joules(before: &[u64], after: &[u64], wall: f64) -> Option<f64> {
    if before.len() != after.len() || wall < SHORTEST {
        return None;
    }
    let spent = before.iter().zip(after).map(|(before, after)| after.checked_sub(*before));
    Some(spent.sum::<Option<u64>>()? as f64 / 1e3)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn energy_is_that_of_all_gpus_or_of_none() {
        assert_eq!(every::<()>([Ok(5), Ok(7)].into_iter()), Some(vec![5, 7]));
        assert_eq!(every([Ok(5), Err("not supported")].into_iter()), None);
        assert_eq!(every::<()>(std::iter::empty()), None);
    }

    #[test]
    fn joules_come_from_differences_that_mean_something() {
        assert_eq!(joules(&[1_000, 50], &[251_000, 150], 2.0), Some(250.1));
        assert_eq!(joules(&[7], &[7], 2.0), Some(0.0));
        assert_eq!(joules(&[9_000, 50], &[10, 150], 2.0), None, "the driver was loaded again");
        assert_eq!(joules(&[1, 2], &[3], 2.0), None, "a GPU is gone");
        assert_eq!(joules(&[0], &[100], 0.1), None, "too short");
    }

    #[test]
    fn heat_slows_down_and_a_limit_of_power_does_not() {
        let capped = ThrottleReasons::SW_POWER_CAP | ThrottleReasons::GPU_IDLE;
        assert_eq!(in_words([capped, ThrottleReasons::NONE].into_iter()), None);
        let hot = capped | ThrottleReasons::HW_SLOWDOWN | ThrottleReasons::HW_THERMAL_SLOWDOWN;
        let words = in_words([capped, hot, ThrottleReasons::HW_POWER_BRAKE_SLOWDOWN].into_iter());
        assert_eq!(words.as_deref(), Some("heat of GPU 1, power supply of GPU 2"));
    }

    #[test]
    fn where_there_is_no_library_nothing_is_told() {
        let nothing = Graphics::default();
        assert_eq!((nothing.energy(), nothing.slowed(), nothing.memory_of(1)), (None, None, None));
        assert_eq!(nothing.tenants(), []);
        let library = Nvml::builder().lib_path("libno-such-thing.so.1".as_ref()).init().ok();
        assert!(library.is_none());
        // On a machine with a driver this finds counters that only grow.
        let found = Graphics::find();
        if let (Some(before), Some(after)) = (found.energy(), found.energy()) {
            assert!(before.iter().zip(&after).all(|(before, after)| before <= after), "{before:?} {after:?}");
        }
    }
}
