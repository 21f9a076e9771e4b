//! What operations cost in a run that is not stopped after each of them.

use gguflab_stats::median;
use gguflab_types::operation::{Operation, Roof, Stage};
use std::collections::BTreeMap;

/// What the operations of a stage cost.
#[derive(Debug, Clone, PartialEq)]
pub struct Costs<'a> {
    /// Median seconds of a run without stops.
    pub plain: f64,
    /// Median seconds of a run with stops.
    pub stopped: f64,
    /// Seconds that were taken off each stop.
    pub stop: f64,
    /// Seconds of a run outside of all operations: building the graph, handing over logits.
    pub outside: f64,
    /// Each kind of operation with its seconds in a run.
    pub operations: Vec<(&'a Operation, f64)>,
}

/// The cost of a group of operations.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Cost {
    /// Seconds in a run.
    pub seconds: f64,
    /// Executions in a run.
    pub count: u32,
    /// Bytes of weights that are read.
    pub weight_bytes: f64,
    /// Bytes of everything else.
    pub other_bytes: f64,
    /// Multiplications and additions.
    pub arithmetic: f64,
}

impl<'a> Costs<'a> {
    /// Takes from each stop the same time, so much that what is left adds up to the run without stops: a stop costs a
    /// start and an end of all threads, whatever runs between them. Where the stopped operations take less than the plain
    /// run nothing is taken, and the rest lies outside of them. `None` without runs.
    #[must_use]
    pub fn of(stage: &'a Stage) -> Option<Costs<'a>> {
        let (plain, stopped) = (median(&stage.plain)?, median(&stage.stopped)?);
        let medians: Vec<(&Operation, f64)> =
            stage.operations.iter().map(|one| (one, median(&one.seconds).unwrap_or(0.0))).collect();
        let stop = stop_time(&medians, plain);
        let less =
            |(one, seconds): (&'a Operation, f64)| (one, (seconds - f64::from(one.count) * stop).max(0.0));
        let operations: Vec<(&Operation, f64)> = medians.into_iter().map(less).collect();
        let inside: f64 = operations.iter().map(|(_, seconds)| seconds).sum();
        Some(Costs { plain, stopped, stop, outside: (plain - inside).max(0.0), operations })
    }

    /// The costs of groups, the dearest first.
    #[must_use]
    pub fn by<K: Ord>(&self, key: impl Fn(&Operation) -> K) -> Vec<(K, Cost)> {
        let mut groups: BTreeMap<K, Cost> = BTreeMap::new();
        for (one, seconds) in &self.operations {
            let cost = groups.entry(key(one)).or_default();
            cost.seconds += seconds;
            cost.count += one.count;
            cost.weight_bytes += one.weight_bytes;
            cost.other_bytes += one.other_bytes;
            cost.arithmetic += one.arithmetic;
        }
        let mut groups: Vec<(K, Cost)> = groups.into_iter().collect();
        groups.sort_by(|left, right| right.1.seconds.total_cmp(&left.1.seconds));
        groups
    }
}

/// The time of a stop, by halving: what is left falls as it grows.
fn stop_time(medians: &[(&Operation, f64)], plain: f64) -> f64 {
    let left = |stop: f64| -> f64 {
        medians.iter().map(|(one, seconds)| (seconds - f64::from(one.count) * stop).max(0.0)).sum()
    };
    if left(0.0) <= plain {
        return 0.0;
    }
    let (mut low, mut high) = (0.0, left(0.0));
    for _ in 0..100 {
        let middle = (low + high) / 2.0;
        if left(middle) > plain { low = middle } else { high = middle }
    }
    high
}

impl Cost {
    /// The least time that a processor with this roof needs (Williams, Waterman & Patterson 2009), as a share of the
    /// time that it took; `None` where nothing of it is known. Of bytes only those of weights count: everything else is
    /// mostly in a cache still.
    #[must_use]
    pub fn share_of_roof(&self, roof: &Roof) -> Option<f64> {
        let (moving, computing) = self.least_seconds(roof);
        let share = moving.max(computing) / self.seconds;
        (share.is_finite() && share > 0.0).then_some(share)
    }

    /// Whether reading weights is what the roof holds against it, rather than arithmetic.
    #[must_use]
    pub fn is_bound_by_memory(&self, roof: &Roof) -> bool {
        let (moving, computing) = self.least_seconds(roof);
        moving >= computing
    }

    fn least_seconds(&self, roof: &Roof) -> (f64, f64) {
        (self.weight_bytes / roof.bandwidth, self.arithmetic / roof.arithmetic)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn operation(part: &str, count: u32, seconds: f64) -> Operation {
        Operation { part: part.to_string(), count, seconds: vec![seconds; 3], ..Operation::default() }
    }

    #[test]
    fn each_stop_is_taken_off_so_that_the_rest_adds_up() {
        // 10 stops of 1 s each on top of 30 s and 5 s of work; a stop that finds nothing to do is cut at 0.
        let stage = Stage {
            plain: vec![35.0; 3],
            stopped: vec![50.0; 3],
            operations: vec![operation("large", 6, 36.0), operation("small", 4, 9.0)],
            ..Stage::default()
        };
        let costs = Costs::of(&stage).unwrap();
        let seconds: Vec<f64> = costs.operations.iter().map(|(_, seconds)| *seconds).collect();
        assert!((costs.stop - 1.0).abs() < 1e-9 && costs.outside.abs() < 1e-9, "{costs:?}");
        assert!((seconds[0] - 30.0).abs() < 1e-9 && (seconds[1] - 5.0).abs() < 1e-9, "{seconds:?}");
    }

    #[test]
    fn nothing_is_taken_off_where_stops_cost_nothing() {
        let stage = Stage {
            plain: vec![35.0],
            stopped: vec![36.0],
            operations: vec![operation("a", 1, 30.0)],
            ..Stage::default()
        };
        let costs = Costs::of(&stage).unwrap();
        assert_eq!((costs.stop, costs.outside), (0.0, 5.0));
        assert_eq!(Costs::of(&Stage::default()), None);
    }

    #[test]
    fn a_roof_is_of_bytes_or_of_arithmetic() {
        let roof = Roof { threads: 1, bandwidth: 10.0, arithmetic: 100.0 };
        let moving = Cost { seconds: 4.0, weight_bytes: 20.0, other_bytes: 5.0, arithmetic: 1.0, count: 1 };
        assert_eq!((moving.share_of_roof(&roof), moving.is_bound_by_memory(&roof)), (Some(0.5), true));
        let computing = Cost { arithmetic: 300.0, ..moving.clone() };
        assert_eq!(
            (computing.share_of_roof(&roof), computing.is_bound_by_memory(&roof)),
            (Some(0.75), false)
        );
        assert_eq!(Cost { seconds: 0.0, ..moving.clone() }.share_of_roof(&roof), None);
        assert_eq!(moving.share_of_roof(&Roof::default()), None);
    }
}
