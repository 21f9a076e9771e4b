//! Where more load brings longer waits rather than more work.
//!
//! The knee is the load with the most **power**: throughput over mean time of a request (Kleinrock 1979, "Power and
//! deterministic rules of thumb for probabilistic problems in computer communications"; Jain, Ramakrishnan and Chiu 1987,
//! DEC-TR-506, call its place the knee). Below it a server has room, above it queues grow faster than the work that is
//! done. It is found among the loads that were tried, and only so finely.

use super::figures::Figures;
use gguflab_stats::{Estimate, Interval};
use gguflab_types::metric;

/// What the loads show.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Knee {
    /// At one of the loads.
    At {
        /// The place of the load with the most power.
        place: usize,
        /// The places of those whose interval of power overlaps with its own: they are not told apart from it.
        rivals: Vec<usize>,
    },
    /// The largest load has the most power: the knee, if there is one, lies beyond.
    Beyond,
    /// The smallest load has the most power: the knee lies there or below.
    Below,
    /// Fewer than three loads have figures.
    Unknown,
}

/// Tokens per second over the mean time of a request; its interval takes both parts at their worst, which is wider than
/// needed. `None` where nothing ended well.
#[must_use]
pub fn power(figures: &Figures) -> Option<Estimate> {
    let tokens = figures.tokens.as_ref()?;
    let time = figures.times_of(metric::REQUEST)?.mean.as_ref().filter(|time| time.value > 0.0)?;
    let interval = tokens.interval.zip(time.interval).map(|(tokens, time)| Interval {
        low: tokens.low / time.high,
        high: tokens.high / time.low.max(f64::MIN_POSITIVE),
        ..tokens
    });
    let method = "throughput over mean time of a request";
    Some(Estimate { value: tokens.value / time.value, interval, count: time.count, method })
}

/// The knee among loads that grow.
#[must_use]
pub fn knee(loads: &[Figures]) -> Knee {
    find(&loads.iter().map(power).collect::<Vec<_>>())
}

fn find(powers: &[Option<Estimate>]) -> Knee {
    let known: Vec<(usize, &Estimate)> =
        powers.iter().enumerate().filter_map(|(place, power)| Some((place, power.as_ref()?))).collect();
    let most = known.iter().max_by(|one, other| one.1.value.total_cmp(&other.1.value));
    let Some((place, most)) = most.filter(|_| known.len() >= 3) else { return Knee::Unknown };
    if known.last().is_some_and(|(last, _)| last == place) {
        return Knee::Beyond;
    }
    if known.first().is_some_and(|(first, _)| first == place) {
        return Knee::Below;
    }
    let overlaps = |other: &Estimate| match (most.interval, other.interval) {
        (Some(most), Some(other)) => other.high >= most.low,
        _ => true,
    };
    let rivals = known.iter().filter(|(other, power)| other != place && overlaps(power));
    Knee::At { place: *place, rivals: rivals.map(|(place, _)| *place).collect() }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn powers(values: &[f64], half: f64) -> Vec<Option<Estimate>> {
        let one = |value: f64| {
            let interval = Some(Interval { low: value - half, high: value + half, confidence: 0.95 });
            (value > 0.0).then(|| Estimate { interval, ..Estimate::bare(value, 9, "test") })
        };
        values.iter().map(|value| one(*value)).collect()
    }

    #[test]
    fn the_knee_has_the_most_power_and_lies_between_loads() {
        assert_eq!(find(&powers(&[1.0, 3.0, 2.0], 0.1)), Knee::At { place: 1, rivals: vec![] });
        assert_eq!(find(&powers(&[1.0, 3.0, 2.9, 2.0], 0.1)), Knee::At { place: 1, rivals: vec![2] });
        assert_eq!(find(&powers(&[1.0, 2.0, 3.0], 0.1)), Knee::Beyond);
        assert_eq!(find(&powers(&[3.0, 2.0, 1.0], 0.1)), Knee::Below);
        assert_eq!(
            find(&powers(&[1.0, 3.0, 0.0], 0.1)),
            Knee::Unknown,
            "a load without figures tells nothing"
        );
        assert_eq!(find(&[]), Knee::Unknown);
    }

    /// A closed loop of one station that serves up to four at once: throughput grows with the clients up to there,
    /// time from there on (Denning and Buzen 1978), and the knee is where both lines meet.
    #[test]
    fn the_knee_of_a_simple_server_is_where_its_asymptotes_meet() {
        let power = |clients: f64| (clients.min(4.0) / 0.5) / (0.5 * (clients / 4.0).max(1.0));
        let loads: Vec<f64> = [1.0, 2.0, 4.0, 8.0, 16.0].map(power).to_vec();
        assert_eq!(find(&powers(&loads, 0.01)), Knee::At { place: 2, rivals: vec![] });
    }
}
