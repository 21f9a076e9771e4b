//! Two sides measured in turn, in blocks A B B A or B A A B, until somebody has seen enough.
//!
//! What changes slowly (warmth, other work, clocks) then meets both sides alike, and within a block a steady drift
//! cancels exactly. Each block begins with fresh processes: where a process's memory happens to lie makes a difference
//! that stays as long as the process does, and only several processes average it away.

use crate::bench::{BenchRequest, BenchWatcher, Place, Record, visit};
use crate::laboratory::Laboratory;
use gguflab_engine::Stop;
use gguflab_search::order::scramble;
use gguflab_types::{Ending, Outcome, Protocol, Purpose, Trial};
use serde::{Deserialize, Serialize};
use std::time::Instant;

/// Visits of each side in a block.
pub const VISITS_PER_BLOCK: usize = 2;
/// Most blocks: the boundary of more would take seconds to find.
pub const MOST_BLOCKS: usize = gguflab_stats::sequential::MOST_BLOCKS;
/// Loading may take this much of the time of a block's visits; where it takes more, processes are kept.
const LOADING_SHARE: f64 = 0.5;

/// One of the two sides.
pub struct Side {
    /// What it is called.
    pub name: String,
    /// What is measured.
    pub laboratory: Laboratory,
    /// With which configuration and how.
    pub request: BenchRequest,
}

/// How long it may go on.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Limits {
    /// Most blocks.
    pub blocks: usize,
    /// Wall seconds, without those of waiting for other measurements, after which no further block is begun.
    pub seconds: Option<f64>,
    /// Seed of the order within blocks.
    pub seed: u64,
}

/// Why it ended.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Reason {
    /// Enough was seen.
    Decided,
    /// As many blocks were measured as were allowed.
    Blocks,
    /// The time was over.
    Time,
    /// The user stopped it.
    Stopped,
    /// A visit of the side with this number, from 0, could not be measured.
    Failed(usize, Ending),
}

/// What was measured. The first side is the reference.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Interleaved {
    /// Each side's record; a trial's number is its place in the whole, its round is its block, and round 0 is the visit
    /// that warms the side up and does not count.
    pub sides: [Record; 2],
    /// Why it ended.
    pub reason: Reason,
    /// Whether each block had fresh processes.
    pub fresh: bool,
}

/// Measures both sides until `enough` says so (it is asked after each block) or the limits end it.
pub fn interleave(
    sides: &mut [Side; 2],
    limits: &Limits,
    stop: &Stop,
    watcher: &mut dyn BenchWatcher,
    enough: &mut dyn FnMut(&[Record; 2]) -> bool,
) -> Interleaved {
    let records = sides.each_ref().map(|side| Record::of(&side.laboratory, &side.request));
    let mut run =
        Run { sides, records, stop, watcher, fresh: false, last: None, started: Instant::now(), waited: 0.0 };
    let reason = run.all(limits, enough);
    Interleaved { sides: run.records, reason, fresh: run.fresh }
}

struct Run<'a> {
    sides: &'a mut [Side; 2],
    records: [Record; 2],
    stop: &'a Stop,
    watcher: &'a mut dyn BenchWatcher,
    fresh: bool,
    /// The side that was visited last.
    last: Option<usize>,
    started: Instant,
    /// Seconds of waiting for others to end their measurements.
    waited: f64,
}

impl Run<'_> {
    fn all(&mut self, limits: &Limits, enough: &mut dyn FnMut(&[Record; 2]) -> bool) -> Reason {
        if let Err(reason) = self.block(0, &[0, 1]) {
            return reason;
        }
        // With a GPU a side gives its process up for the other one in any case.
        let has_gpu = self.sides.iter().any(|side| side.laboratory.facts.gpus > 0);
        self.fresh = has_gpu || self.records.iter().all(|record| record.trials.iter().all(loads_fast));
        for block in 1..=limits.blocks {
            let is_over = |seconds| self.started.elapsed().as_secs_f64() - self.waited >= seconds;
            if limits.seconds.is_some_and(is_over) || block > planned(limits, &self.records) {
                return Reason::Time;
            }
            if let Err(reason) = self.block(block, &order(limits.seed, block)) {
                return reason;
            }
            if enough(&self.records) {
                return Reason::Decided;
            }
        }
        Reason::Blocks
    }

    /// The visits of a block, in the turn of this process on this machine. A block that is not complete is left out by
    /// those who read the records.
    fn block(&mut self, block: usize, order: &[usize]) -> Result<(), Reason> {
        let (stop, watcher, asked) = (self.stop, &mut *self.watcher, Instant::now());
        let turn = self.sides[0].laboratory.take_turn(stop, &mut || watcher.waiting());
        let Some(_turn) = turn else { return Err(Reason::Stopped) };
        self.waited += asked.elapsed().as_secs_f64();
        for (place, side) in order.iter().copied().enumerate() {
            let first = !order[..place].contains(&side);
            let trial = self.visit(block, side, first && self.fresh);
            let ending = trial.ending.clone().unwrap_or_else(|| Ending::new(Outcome::Crashed, ""));
            self.records[side].trials.push(trial);
            match ending.outcome {
                Outcome::Measured => {}
                Outcome::Cancelled => return Err(Reason::Stopped),
                _ => return Err(Reason::Failed(side, ending)),
            }
        }
        Ok(())
    }

    fn visit(&mut self, block: usize, side: usize, fresh: bool) -> Trial {
        let whole = |number: usize| u32::try_from(number).unwrap_or(u32::MAX);
        let number = whole(self.records.iter().map(|record| record.trials.len()).sum());
        if let Some(other) = self.last.replace(side).filter(|last| *last != side) {
            // A GPU need not have room for both.
            self.sides[other].laboratory.release();
        }
        let Side { laboratory, request, .. } = &mut self.sides[side];
        let protocol = Protocol { fresh, ..request.protocol.clone() };
        let request = BenchRequest { protocol, ..request.clone() };
        let place = Place { number, round: whole(block), purpose: Purpose::Compare };
        self.watcher.visit(number, 0);
        visit(laboratory, &request, place, self.stop, self.watcher)
    }
}

/// Blocks that will be looked at: as many as are allowed or, under a limit of time, as will be begun before it is over if all
/// visits of a side take as long as its warm-up and those of the first block do in the median: a moment in which something else kept
/// the machine busy says nothing of the blocks to come. Known before the first look, and the same for both sides, so that looks
/// keep their promise.
pub(crate) fn planned(limits: &Limits, sides: &[Record; 2]) -> usize {
    let of = |record: &Record| -> Vec<f64> {
        let visits = record.trials.iter().filter(|trial| trial.round <= 1);
        visits.filter_map(|trial| trial.duration).collect()
    };
    let durations = sides.each_ref().map(of);
    let is_begun = sides.iter().any(|record| record.trials.iter().any(|trial| trial.round == 1));
    let visits = durations.each_ref().map(|side| gguflab_stats::median(side).unwrap_or(0.0));
    let block = if is_begun { VISITS_PER_BLOCK as f64 * visits.iter().sum::<f64>() } else { 0.0 };
    blocks_within(limits, durations.iter().flatten().sum(), block)
}

/// The same by the seconds until the end of the first block and by those of a block, 0 while there was none.
fn blocks_within(limits: &Limits, begun: f64, block: f64) -> usize {
    match limits.seconds {
        Some(seconds) if block > 0.0 => {
            let more = ((seconds - begun) / block).max(0.0) as usize;
            limits.blocks.min(more.saturating_add(2))
        }
        _ => limits.blocks,
    }
}

/// Whether a fresh process for each block costs little beside what is measured in it.
fn loads_fast(trial: &Trial) -> bool {
    let loading: f64 = trial.repetitions.iter().map(gguflab_types::Repetition::loading).sum();
    let duration = trial.duration.unwrap_or(0.0);
    loading <= LOADING_SHARE * VISITS_PER_BLOCK as f64 * (duration - loading)
}

/// The order of a block: which side begins is drawn.
fn order(seed: u64, block: usize) -> [usize; 2 * VISITS_PER_BLOCK] {
    match scramble(seed ^ scramble(block as u64)) % 2 {
        0 => [0, 1, 1, 0],
        _ => [1, 0, 0, 1],
    }
}

/// Whether a visit was there to warm up, and does not count.
pub(crate) fn warms_up(trial: &Trial) -> bool {
    trial.purpose == Purpose::Compare && trial.round == 0
}

/// The complete blocks: for each, the visits of the reference and those of the candidate, in the order in which they
/// were measured.
#[must_use]
pub fn blocks(sides: &[Record; 2]) -> Vec<[Vec<&Trial>; 2]> {
    let last = sides.iter().flat_map(|side| &side.trials).map(|trial| trial.round).max().unwrap_or(0);
    let of = |round: u32| {
        sides.each_ref().map(|side| {
            side.trials.iter().filter(|trial| trial.round == round && trial.is_measured()).collect::<Vec<_>>()
        })
    };
    let all = (1..=last).map(of);
    all.filter(|block| block.iter().all(|visits| visits.len() == VISITS_PER_BLOCK)).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_side_begins_about_half_of_the_blocks() {
        let begins = (0..1000).filter(|block| order(7, *block)[0] == 0).count();
        assert!((440..560).contains(&begins), "{begins}");
        for block in 0..20 {
            let order = order(3, block);
            assert_eq!((order[0], order[1]), (order[3], order[2]));
            assert_ne!(order[0], order[1]);
        }
    }

    #[test]
    fn a_limit_of_time_leaves_as_many_blocks_as_begin_within_it() {
        let planned = |seconds, block| blocks_within(&Limits { blocks: 16, seconds, seed: 0 }, 30.0, block);
        assert_eq!((planned(None, 20.0), planned(Some(1e6), 20.0), planned(Some(9.0), 0.0)), (16, 16, 16));
        assert_eq!(
            (planned(Some(150.0), 20.0), planned(Some(31.0), 20.0), planned(Some(1.0), 20.0)),
            (8, 2, 2)
        );
    }
}
