//! What operations cost in a run that is not stopped after each of them.

use gguflab_stats::median;
use gguflab_types::operation::{Operation, Roof, Stage, Work};
use std::collections::BTreeMap;

/// Share of a run below which a difference is one of rounding.
const NO_TIME: f64 = 1e-9;

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
    /// What the devices can do at best.
    pub roofs: &'a [Roof],
}

/// The cost of a group of operations.
#[derive(Debug, Clone, PartialEq)]
pub struct Cost {
    /// Seconds in a run.
    pub seconds: f64,
    /// Executions in a run.
    pub count: u32,
    /// Bytes of weights that are read.
    pub weight_bytes: f64,
    /// Bytes of everything else.
    pub other_bytes: f64,
    /// The least time that its device needs; `None` where the device's roof is not known.
    pub least: Option<Least>,
}

/// The least seconds that a device needs (Williams, Waterman & Patterson 2009).
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub struct Least {
    /// To read the weights. Everything else is mostly in a cache still, so its bytes do not count.
    pub reading: f64,
    /// To multiply and add.
    pub computing: f64,
}

impl<'a> Costs<'a> {
    /// Takes from each stop the same time, so much that what is left adds up to the run without stops: a stop costs a
    /// start and an end of all threads, whatever runs between them. Where the stopped operations take less than the plain
    /// run nothing is taken, and the rest lies outside of them. `None` without runs.
    #[must_use]
    pub fn of(stage: &'a Stage, roofs: &'a [Roof]) -> Option<Costs<'a>> {
        let (plain, stopped) = (median(&stage.plain)?, median(&stage.stopped)?);
        let medians: Vec<(&Operation, f64)> =
            stage.operations.iter().map(|one| (one, median(&one.seconds).unwrap_or(0.0))).collect();
        let stop = stop_time(&medians, plain);
        let less =
            |(one, seconds): (&'a Operation, f64)| (one, (seconds - f64::from(one.count) * stop).max(0.0));
        let operations: Vec<(&Operation, f64)> = medians.into_iter().map(less).collect();
        let inside: f64 = operations.iter().map(|(_, seconds)| seconds).sum();
        // What is left over by rounding is no time.
        let outside = Some(plain - inside).filter(|left| *left > NO_TIME * plain).unwrap_or(0.0);
        Some(Costs { plain, stopped, stop, outside, operations, roofs })
    }

    /// The costs of groups, the dearest first.
    #[must_use]
    pub fn by<K: Ord>(&self, key: impl Fn(&Operation) -> K) -> Vec<(K, Cost)> {
        let mut groups: BTreeMap<K, Cost> = BTreeMap::new();
        for (one, seconds) in &self.operations {
            let cost = groups.entry(key(one)).or_insert(Cost::NOTHING);
            cost.seconds += seconds;
            cost.count += one.count;
            cost.weight_bytes += one.weight_bytes;
            cost.other_bytes += one.other_bytes;
            cost.least = cost.least.zip(Least::of(one, self.roofs)).map(|(known, more)| known.and(more));
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
    const NOTHING: Cost = Cost {
        seconds: 0.0,
        count: 0,
        weight_bytes: 0.0,
        other_bytes: 0.0,
        least: Some(Least { reading: 0.0, computing: 0.0 }),
    };

    /// The least time that the device needs, as a share of the time that it took; `None` where no time was seen, where
    /// nothing counts that it does, or where the roof is not known.
    #[must_use]
    pub fn share_of_roof(&self) -> Option<f64> {
        let share = self.least?.seconds() / self.seconds;
        (share.is_finite() && share > 0.0).then_some(share)
    }
}

impl Least {
    /// That of one operation, by the roof of its device.
    fn of(operation: &Operation, roofs: &[Roof]) -> Option<Least> {
        let roof = roofs.iter().find(|roof| roof.device == operation.device);
        let seconds =
            |amount: f64, rate: Option<f64>| if amount > 0.0 { Some(amount / rate?) } else { Some(0.0) };
        let reading = seconds(operation.weight_bytes, roof.and_then(|roof| roof.rate(&Work::Reading)))?;
        let products = roof.and_then(|roof| match operation.is_product() {
            true => roof.rate(&Work::Products(operation.operand.clone())),
            // Attention multiplies in types that its operands do not show.
            false => roof.fastest_products(),
        });
        Some(Least { reading, computing: seconds(operation.arithmetic, products)? })
    }

    fn and(self, more: Least) -> Least {
        Least { reading: self.reading + more.reading, computing: self.computing + more.computing }
    }

    /// What takes longer hides the other.
    #[must_use]
    pub fn seconds(self) -> f64 {
        self.reading.max(self.computing)
    }

    /// Whether reading weights takes longer than arithmetic.
    #[must_use]
    pub fn is_bound_by_memory(self) -> bool {
        self.reading >= self.computing
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use gguflab_types::operation::Limit;

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
        let costs = Costs::of(&stage, &[]).unwrap();
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
        let costs = Costs::of(&stage, &[]).unwrap();
        assert_eq!((costs.stop, costs.outside), (0.0, 5.0));
        assert_eq!(Costs::of(&Stage::default(), &[]), None);
    }

    /// A device that reads 10 bytes a second; its products with weights of `q4_K` do 100 operations, with `f16` 50.
    fn roof() -> Roof {
        let limit = |work, rate| Limit { work, rate };
        let products = |weights: &str| Work::Products(weights.to_string());
        let limits = vec![
            limit(Work::Reading, Ok(10.0)),
            limit(products("q4_K"), Ok(100.0)),
            limit(products("f16"), Ok(50.0)),
            limit(products("q6_K"), Err("it cannot".to_string())),
        ];
        Roof { device: "CPU".to_string(), threads: Some(1), limits }
    }

    fn least(
        operator: &str,
        operand: &str,
        device: &str,
        weight_bytes: f64,
        arithmetic: f64,
    ) -> Option<Least> {
        let operation = Operation {
            operator: operator.to_string(),
            operand: operand.to_string(),
            device: device.to_string(),
            weight_bytes,
            arithmetic,
            ..Operation::default()
        };
        Least::of(&operation, &[roof()])
    }

    #[test]
    fn the_least_time_is_that_of_the_device_and_of_the_type() {
        let known = |reading, computing| Some(Least { reading, computing });
        assert_eq!(least("MUL_MAT", "q4_K", "CPU", 20.0, 300.0), known(2.0, 3.0));
        assert_eq!(least("MUL_MAT_ID", "f16", "CPU", 20.0, 300.0), known(2.0, 6.0));
        assert_eq!(
            least("FLASH_ATTN_EXT", "f32", "CPU", 0.0, 300.0),
            known(0.0, 3.0),
            "the fastest products"
        );
        assert_eq!(least("GET_ROWS", "q6_K", "CPU", 20.0, 0.0), known(2.0, 0.0));
        // Never a guess.
        assert_eq!(least("MUL_MAT", "q6_K", "CPU", 20.0, 300.0), None);
        assert_eq!(least("MUL_MAT", "q4_K", "CUDA0", 20.0, 300.0), None);
        // What does nothing that counts needs no roof.
        assert_eq!(least("ADD", "f32", "CUDA0", 0.0, 0.0), known(0.0, 0.0));
    }

    #[test]
    fn a_group_is_held_by_bytes_or_by_arithmetic() {
        let cost = |seconds, least| Cost { seconds, least, ..Cost::NOTHING };
        let reading = Least { reading: 2.0, computing: 1.0 };
        assert_eq!(cost(4.0, Some(reading)).share_of_roof(), Some(0.5));
        assert!(reading.is_bound_by_memory());
        let both = reading.and(Least { reading: 0.0, computing: 2.0 });
        assert_eq!((cost(4.0, Some(both)).share_of_roof(), both.is_bound_by_memory()), (Some(0.75), false));
        assert_eq!(cost(0.0, Some(both)).share_of_roof(), None);
        assert_eq!(cost(4.0, None).share_of_roof(), None);
        assert_eq!(cost(4.0, Some(Least::default())).share_of_roof(), None);
    }
}
