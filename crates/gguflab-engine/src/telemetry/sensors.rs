//! Clocks, temperatures and throttle counters: where they are is found once, because some are slow to list.

use crate::machine::files::{Files, number_list};

/// Drivers whose temperature is that of a processor.
const PROCESSOR_DRIVERS: &[&str] = &["coretemp", "k10temp", "zenpower", "cpu_thermal", "cpu-thermal"];
/// Kinds of thermal zones that are those of a processor.
const PROCESSOR_ZONES: &[&str] = &["x86_pkg_temp", "cpu", "soc", "TCPU", "acpitz"];
/// Processors whose clock is read, spread evenly: reading one may interrupt it.
const CLOCKS: usize = 8;
/// Machines with more processors are not asked through `/proc/cpuinfo`, which visits every one of them.
const SMALL: usize = 16;

/// No package takes more than this.
const MOST_WATTS: f64 = 1000.0;

/// Paths of what can be read.
#[derive(Debug, Default)]
pub(super) struct Sensors {
    clocks: Vec<String>,
    clock_in_information: bool,
    temperatures: Vec<String>,
    throttle_counters: Vec<String>,
    /// Counters of energy, each with the value at which it begins anew, in microjoules.
    energy_counters: Vec<(String, u64)>,
}

impl Sensors {
    /// Looks for them.
    pub(super) fn find(files: &Files) -> Sensors {
        let online = files.text("sys/devices/system/cpu/online");
        let processors = online.map(|list| number_list(&list)).unwrap_or_default();
        let clocks = spread(&processors, CLOCKS)
            .map(|cpu| format!("sys/devices/system/cpu/cpu{cpu}/cpufreq/scaling_cur_freq"))
            .filter(|path| files.has(path))
            .collect::<Vec<_>>();
        let counters = spread(&processors, CLOCKS).flat_map(|cpu| {
            let folder = format!("sys/devices/system/cpu/cpu{cpu}/thermal_throttle");
            [format!("{folder}/core_throttle_count"), format!("{folder}/package_throttle_count")]
        });
        Sensors {
            clock_in_information: clocks.is_empty() && processors.len() <= SMALL,
            clocks,
            temperatures: temperatures(files),
            throttle_counters: counters.filter(|path| files.has(path)).collect(),
            energy_counters: energy_counters(files),
        }
    }

    /// Microjoules that each package has taken; `None` unless all of them can be read (often only root may).
    pub(super) fn energy(&self, files: &Files) -> Option<Vec<u64>> {
        let counts = self.energy_counters.iter().map(|(path, _)| files.number::<u64>(path));
        counts.collect::<Option<Vec<u64>>>().filter(|counts| !counts.is_empty())
    }

    /// Joules between two readings. `None` when a counter may have begun anew more than once in so many seconds.
    pub(super) fn joules(&self, before: &[u64], after: &[u64], wall: f64) -> Option<f64> {
        let spent =
            self.energy_counters.iter().zip(before.iter().zip(after)).map(|((_, range), (before, after))| {
                let unsure = wall * MOST_WATTS * 1e6 > *range as f64;
                (!unsure).then(|| if after >= before { after - before } else { range - before + after })
            });
        Some(spent.collect::<Option<Vec<u64>>>()?.into_iter().sum::<u64>() as f64 / 1e6)
    }

    /// Mean clock in hertz.
    pub(super) fn clock(&self, files: &Files) -> Option<f64> {
        let kilohertz =
            self.clocks.iter().filter_map(|path| files.number::<f64>(path)).map(|clock| clock * 1e3);
        mean(kilohertz).or_else(|| {
            let text = self.clock_in_information.then(|| files.text("proc/cpuinfo")).flatten()?;
            mean(megahertz(&text).map(|clock| clock * 1e6))
        })
    }

    /// Highest temperature in degrees Celsius.
    pub(super) fn temperature(&self, files: &Files) -> Option<f64> {
        let values = self.temperatures.iter().filter_map(|path| files.number::<f64>(path));
        // In thousandths of a degree; sensors that are off give 0 or absurd values.
        values.map(|value| value / 1e3).filter(|value| (1.0..200.0).contains(value)).reduce(f64::max)
    }

    /// Times that processors slowed themselves down because of heat.
    pub(super) fn throttle_events(&self, files: &Files) -> Option<u64> {
        let counts = self.throttle_counters.iter().filter_map(|path| files.number::<u64>(path));
        counts.reduce(u64::saturating_add)
    }
}

/// The packages' counters of RAPL (kernel documentation, power/powercap). Zones within a package count for it already.
fn energy_counters(files: &Files) -> Vec<(String, u64)> {
    let package = |zone: &String| {
        let folder = format!("sys/class/powercap/{zone}");
        let name = files.text(&format!("{folder}/name"))?;
        let range = files.number::<u64>(&format!("{folder}/max_energy_range_uj"))?;
        name.trim().starts_with("package").then(|| (format!("{folder}/energy_uj"), range))
    };
    files.names("sys/class/powercap").iter().filter_map(package).collect()
}

/// At most `count` of the items, evenly spread.
fn spread(items: &[u32], count: usize) -> impl Iterator<Item = u32> {
    items.iter().copied().step_by(items.len().div_ceil(count).max(1))
}

fn mean(values: impl Iterator<Item = f64>) -> Option<f64> {
    let (count, sum) = values.fold((0_u32, 0.0), |(count, sum), value| (count + 1, sum + value));
    (count > 0).then(|| sum / f64::from(count))
}

fn megahertz(information: &str) -> impl Iterator<Item = f64> {
    information.lines().filter_map(|line| {
        let (name, value) = line.split_once(':')?;
        (name.trim() == "cpu MHz").then(|| value.trim().parse().ok()).flatten()
    })
}

/// The processors' own sensors; thermal zones only where there are none.
fn temperatures(files: &Files) -> Vec<String> {
    let mut paths = Vec::new();
    for monitor in files.names("sys/class/hwmon") {
        let folder = format!("sys/class/hwmon/{monitor}");
        let name = files.text(&format!("{folder}/name")).unwrap_or_default();
        if PROCESSOR_DRIVERS.contains(&name.as_str()) {
            let names = files.names(&folder).into_iter();
            // The first is the package's; one for each core would cost a read each.
            paths.extend(names.filter(|name| name == "temp1_input").map(|name| format!("{folder}/{name}")));
        }
    }
    if paths.is_empty() {
        for zone in files.names("sys/class/thermal") {
            let folder = format!("sys/class/thermal/{zone}");
            let kind = files.text(&format!("{folder}/type")).unwrap_or_default();
            if PROCESSOR_ZONES.iter().any(|known| kind.starts_with(known)) {
                paths.push(format!("{folder}/temp"));
            }
        }
    }
    paths.truncate(CLOCKS);
    paths
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::machine::files::lay_out;

    #[test]
    fn energy_is_that_of_all_packages_and_counters_begin_anew() {
        let zone = |name: &str, energy: &str, number: &str| {
            [("name", name), ("energy_uj", energy), ("max_energy_range_uj", "262143328850")].map(
                |(file, text)| (format!("sys/class/powercap/intel-rapl:{number}/{file}"), text.to_string()),
            )
        };
        let zones = [
            zone("package-0\n", "2000000\n", "0"),
            zone("core\n", "9000000\n", "0:0"),
            zone("package-1", "5000000", "1"),
        ];
        let files: Vec<(String, String)> = zones.into_iter().flatten().collect();
        let files: Vec<(&str, &str)> =
            files.iter().map(|(path, text)| (path.as_str(), text.as_str())).collect();
        let folder = lay_out(&files);
        let files = Files::under(folder.path());
        let sensors = Sensors::find(&files);
        assert_eq!(sensors.energy(&files), Some(vec![2_000_000, 5_000_000]));
        assert_eq!(sensors.joules(&[1_000_000, 4_500_000], &[2_000_000, 5_000_000], 1.0), Some(1.5));
        assert_eq!(sensors.joules(&[262_143_328_850, 0], &[1_000_000, 0], 1.0), Some(1.0));
        assert_eq!(sensors.joules(&[0, 0], &[1, 1], 600.0), None, "they may have begun anew twice");
        assert_eq!(Sensors::default().energy(&files), None);
    }

    #[test]
    fn a_desktop_has_clocks_temperatures_and_counters() {
        let folder = lay_out(&[
            ("sys/devices/system/cpu/online", "0-1\n"),
            ("sys/devices/system/cpu/cpu0/cpufreq/scaling_cur_freq", "3000000\n"),
            ("sys/devices/system/cpu/cpu1/cpufreq/scaling_cur_freq", "2000000\n"),
            ("sys/devices/system/cpu/cpu0/thermal_throttle/core_throttle_count", "4\n"),
            ("sys/devices/system/cpu/cpu0/thermal_throttle/package_throttle_count", "3\n"),
            ("sys/class/hwmon/hwmon0/name", "nvme\n"),
            ("sys/class/hwmon/hwmon0/temp1_input", "99000\n"),
            ("sys/class/hwmon/hwmon1/name", "coretemp\n"),
            ("sys/class/hwmon/hwmon1/temp1_input", "61000\n"),
            ("sys/class/thermal/thermal_zone0/type", "acpitz\n"),
            ("sys/class/thermal/thermal_zone0/temp", "27800\n"),
        ]);
        let files = Files::under(folder.path());
        let sensors = Sensors::find(&files);
        assert_eq!(sensors.clock(&files), Some(2.5e9));
        assert_eq!(sensors.temperature(&files), Some(61.0));
        assert_eq!(sensors.throttle_events(&files), Some(7));
    }

    #[test]
    fn a_virtual_machine_has_at_most_a_clock_in_its_information() {
        let folder = lay_out(&[
            ("sys/devices/system/cpu/online", "0-1\n"),
            ("proc/cpuinfo", "processor : 0\ncpu MHz\t\t: 2596.0\n\nprocessor : 1\ncpu MHz\t\t: 2600.0\n"),
        ]);
        let files = Files::under(folder.path());
        let sensors = Sensors::find(&files);
        assert_eq!(sensors.clock(&files), Some(2.598e9));
        assert_eq!((sensors.temperature(&files), sensors.throttle_events(&files)), (None, None));
    }

    #[test]
    fn large_machines_are_asked_sparsely() {
        let many: Vec<u32> = (0..128).collect();
        assert_eq!(spread(&many, 8).collect::<Vec<_>>(), [0, 16, 32, 48, 64, 80, 96, 112]);
        assert!(spread(&many[..13], 8).count() <= 8);
        assert_eq!(spread(&[], 8).count(), 0);
    }
}
