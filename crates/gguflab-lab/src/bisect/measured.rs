//! Answers by measuring.

use super::{Criterion, Finding, Heard, Oracle};
use crate::bench::{BenchRequest, BenchWatcher};
use crate::compare::{blocks_of, is_untold, sequence};
use crate::interleave::{Limits, Reason, Side, interleave};
use crate::laboratory::{Laboratory, Parts};
use crate::outputs::{Drift, DriftVerdict, Reference, Unread};
use crate::quantity::Quantity;
use gguflab_engine::{EngineSpecification, Stop};
use gguflab_stats::sequential::{Design, Gate, Look};
use gguflab_types::{Configuration, Deadlines, Ending, Outcome, Protocol, Workload};
use std::path::{Path, PathBuf};

/// What is measured of each build.
#[derive(Debug, Clone)]
pub struct MeasuredRequest {
    /// Path of the model.
    pub model: PathBuf,
    /// What is run.
    pub workload: Workload,
    /// The settings of all builds.
    pub configuration: Configuration,
    /// How it is measured.
    pub protocol: Protocol,
    /// How long things may take.
    pub deadlines: Deadlines,
    /// What is compared.
    pub quantity: Quantity,
    /// How long one comparison may go on.
    pub limits: Limits,
    /// Whether outputs are looked at too.
    pub outputs: bool,
    /// Folder for remembered hashes and for logits.
    pub cache: Option<PathBuf>,
}

/// Gives the engine of a build, or says why there is none.
pub type EngineOf<'a> = &'a mut dyn FnMut(usize) -> Result<EngineSpecification, Ending>;

/// Compares builds with the good end by measuring both in turn.
pub struct Measured<'a> {
    /// What is measured.
    pub request: MeasuredRequest,
    /// The engine of each build.
    pub engine_of: EngineOf<'a>,
    /// Ends it early.
    pub stop: &'a Stop,
    /// Told of what happens.
    pub watcher: &'a mut dyn BenchWatcher,
    /// Logits of the good end, once they were asked for.
    pub known: Option<Result<Reference, Unread>>,
}

impl Oracle for Measured<'_> {
    fn hear(&mut self, build: usize, threshold: f64, criterion: Option<Criterion>) -> Result<Heard, Ending> {
        let good = self.side(0).map_err(|ending| of_the_good_end(&ending))?;
        let heard = |finding, difference, drift| Ok(Heard { build, finding, difference, drift });
        let bad = match self.side(build) {
            Ok(side) => side,
            Err(ending) => return heard(Finding::Unusable(ending), None, None),
        };
        let mut sides = [good, bad];
        let drift = self.request.outputs.then(|| self.drift(&mut sides));
        if self.stop.is_set() {
            return Err(Ending::new(Outcome::Cancelled, "stopped by the user"));
        }
        if let Some(ending) = drift.as_ref().and_then(|drift| drift.ended.clone()) {
            return heard(Finding::Unusable(ending), None, drift);
        }
        let drifted = drift.as_ref().map(|drift| drift.verdict);
        if criterion == Some(Criterion::Outputs) {
            let finding = match drifted {
                Some(DriftVerdict::Same) => Finding::Good,
                Some(DriftVerdict::Drifted) => Finding::Drifted,
                _ => Finding::Undecided,
            };
            return heard(finding, None, drift);
        }
        let (look, reason) = self.measure(&mut sides, threshold);
        let difference = look.as_ref().map(|look| look.difference.clone());
        let finding = match reason {
            Reason::Stopped => return Err(Ending::new(Outcome::Cancelled, "stopped by the user")),
            Reason::Failed(0, ending) => return Err(of_the_good_end(&ending)),
            Reason::Failed(_, ending) => Finding::Unusable(ending),
            _ => match look.and_then(|look| look.gate(threshold, self.request.quantity.direction)) {
                Some(Gate::Fail) => Finding::Slower,
                // The search is for speed, once it was seen that the bad end is slower.
                Some(Gate::Pass) if drifted == Some(DriftVerdict::Drifted) && criterion.is_none() => {
                    Finding::Drifted
                }
                Some(Gate::Pass) => Finding::Good,
                _ => Finding::Undecided,
            },
        };
        heard(finding, difference, drift)
    }
}

fn of_the_good_end(ending: &Ending) -> Ending {
    Ending::new(ending.outcome, format!("the good end cannot be measured: {}", ending.cause))
}

fn untold(quantity: &Quantity) -> Ending {
    let what = &quantity.text;
    Ending::new(Outcome::Rejected, format!("no {what} is told of it; take another --metric, such as decode"))
}

impl Measured<'_> {
    fn side(&mut self, build: usize) -> Result<Side, Ending> {
        let engine = (self.engine_of)(build)?;
        let request = &self.request;
        let parts = Parts {
            model: Some(&request.model),
            engine: &engine,
            workload: &request.workload,
            cache: request.cache.as_deref(),
        };
        let unusable = |reason: String| Ending::new(Outcome::Rejected, reason);
        let laboratory = Laboratory::prepare(&parts).map_err(|error| unusable(error.to_string()))?;
        let configuration = request.configuration.checked(&laboratory.facts).map_err(unusable)?;
        let bench = BenchRequest {
            configuration,
            visits: 0,
            protocol: request.protocol.clone(),
            deadlines: request.deadlines,
        };
        let name = engine.target.unwrap_or(engine.kind);
        Ok(Side { name, laboratory, request: bench })
    }

    fn drift(&mut self, sides: &mut [Side; 2]) -> Drift {
        let [good, build] = sides;
        let temporary = std::env::temp_dir();
        let folder: &Path = self.request.cache.as_deref().unwrap_or(&temporary);
        let known = self.known.get_or_insert_with(|| {
            Reference::read(&mut good.laboratory, &good.request.configuration, folder, self.stop)
        });
        match known {
            Ok(reference) => reference.check(&mut build.laboratory, &build.request.configuration, self.stop),
            Err(unread) => Drift::unchecked(unread.reason()),
        }
    }

    /// Measures both until it is decided whether the second is worse by more than the threshold.
    fn measure(&mut self, sides: &mut [Side; 2], threshold: f64) -> (Option<Look>, Reason) {
        let (quantity, limits) = (&self.request.quantity, &self.request.limits);
        let look = |records: &_| sequence(Design::GATE, limits, records)?.look(&blocks_of(quantity, records));
        let mut enough = |records: &_| {
            let decided = look(records).and_then(|look| look.gate(threshold, quantity.direction));
            decided.is_some_and(|gate| gate != Gate::Inconclusive) || is_untold(quantity, records)
        };
        let interleaved = interleave(sides, limits, self.stop, self.watcher, &mut enough);
        match is_untold(quantity, &interleaved.sides) {
            true => (None, Reason::Failed(0, untold(quantity))),
            false => (look(&interleaved.sides), interleaved.reason),
        }
    }
}
