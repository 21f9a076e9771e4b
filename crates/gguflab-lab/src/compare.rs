//! Two sides side by side: which is better, by how much, and how sure is that?

use crate::bench::{BenchWatcher, Record};
use crate::interleave::{self, Interleaved, Limits, Reason, Side, interleave};
use crate::objective::{OBJECTIVES, of_request};
use crate::outputs::{Drift, Reference};
use crate::quantity::{Quantity, Stage};
use gguflab_engine::Stop;
use gguflab_stats::sequential::{Arm, Block, Design, Look, Run, Sequence};
use gguflab_stats::{Estimate, Verdict, positive_location};
use gguflab_types::{MachineState, Trial, Workload};

/// Blocks that are measured even when the first quantity is decided before: the others are of interest too.
const LEAST_BLOCKS: usize = 3;

/// What is compared, and until when.
#[derive(Debug, Clone)]
pub struct CompareRequest {
    /// What is compared; the first one decides when it ends.
    pub quantities: Vec<Quantity>,
    /// Relative difference that does not matter.
    pub margin: f64,
    /// How long it may go on.
    pub limits: Limits,
    /// Whether the outputs are held against each other too.
    pub outputs: bool,
}

/// One quantity of both sides.
#[derive(Debug, Clone)]
pub struct Judged {
    /// What was judged.
    pub quantity: Quantity,
    /// What each side has of it; `None` where it was not measured.
    pub sides: [Option<Estimate>; 2],
    /// The difference; `None` without a complete block.
    pub look: Option<Look>,
    /// Whether the second side is better.
    pub verdict: Verdict,
}

/// A comparison that has ended.
#[derive(Debug, Clone)]
pub struct Compared {
    /// What was measured.
    pub interleaved: Interleaved,
    /// The names of the sides.
    pub names: [String; 2],
    /// What it says of each quantity, in the order of the request.
    pub judged: Vec<Judged>,
    /// The margin.
    pub margin: f64,
    /// Whether both say the same; `None` where that was not asked for or the models differ.
    pub drift: Option<Drift>,
}

/// The quantities that are compared when none is named: every objective that both workloads have.
#[must_use]
pub fn usual_quantities(workloads: [&Workload; 2]) -> Vec<Quantity> {
    let common = OBJECTIVES.iter().filter(|one| workloads.iter().all(|workload| one.applies_to(workload)));
    common.map(Quantity::of).collect()
}

/// Measures both sides in turn until the first quantity is decided or the limits end it.
pub fn compare(
    sides: &mut [Side; 2],
    request: &CompareRequest,
    stop: &Stop,
    watcher: &mut dyn BenchWatcher,
) -> Compared {
    let names = sides.each_ref().map(|side| side.name.clone());
    let design = Design::COMPARISON;
    let mut enough = |records: &[Record; 2]| {
        if interleave::blocks(records).len() < LEAST_BLOCKS {
            return false;
        }
        let sequence = sequence(design, &request.limits, records);
        request.quantities.first().is_some_and(|first| {
            judge(first, records, &sequence, request.margin).verdict != Verdict::Undecided
                || is_untold(first, records)
        })
    };
    let mut interleaved = interleave(sides, &request.limits, stop, watcher, &mut enough);
    let sequence = sequence(design, &request.limits, &interleaved.sides);
    let judge = |quantity| judge(quantity, &interleaved.sides, &sequence, request.margin);
    let judged = request.quantities.iter().map(judge).collect();
    let drift = if request.outputs { drift(sides, &mut interleaved, stop) } else { None };
    Compared { judged, names, margin: request.margin, interleaved, drift }
}

/// Holds the outputs of the second side against those of the first; `None` when the models differ, or when something
/// could not be measured or the user stopped it, which is then why everything ended.
pub(crate) fn drift(sides: &mut [Side; 2], interleaved: &mut Interleaved, stop: &Stop) -> Option<Drift> {
    let [one, other] = sides;
    let fingerprint = |side: &Side| side.laboratory.subject.model.fingerprint.clone();
    let cut = matches!(interleaved.reason, Reason::Failed(..) | Reason::Stopped);
    if cut || stop.is_set() || fingerprint(one) != fingerprint(other) {
        return None;
    }
    let folder = std::env::temp_dir();
    // Of what was measured last both may still hold memory of a GPU.
    other.laboratory.release();
    let known = Reference::read(&mut one.laboratory, &one.request.configuration, &folder, stop);
    let drift = match known {
        Err(unread) => Drift::unchecked(unread.reason()),
        Ok(known) => known.check(&mut other.laboratory, &other.request.configuration, stop),
    };
    if stop.is_set() {
        interleaved.reason = Reason::Stopped;
        return None;
    }
    Some(drift)
}

/// What a side measured against itself shows.
#[derive(Debug, Clone)]
pub struct Calibration {
    /// What was measured.
    pub interleaved: Interleaved,
    /// Each usual quantity with what was seen of its difference, which is none.
    pub looks: Vec<(Quantity, Option<Look>)>,
}

/// Measures a side against itself, as long as the limits allow.
pub fn calibrate(
    sides: &mut [Side; 2],
    limits: &Limits,
    stop: &Stop,
    watcher: &mut dyn BenchWatcher,
) -> Calibration {
    let quantities = usual_quantities(sides.each_ref().map(|side| side.laboratory.workload()));
    let interleaved = interleave(sides, limits, stop, watcher, &mut |_| false);
    let sequence = sequence(Design::COMPARISON, limits, &interleaved.sides);
    let look = |quantity: &Quantity| sequence.as_ref()?.look(&blocks_of(quantity, &interleaved.sides));
    let looks = quantities.into_iter().map(|quantity| (quantity.clone(), look(&quantity))).collect();
    Calibration { interleaved, looks }
}

/// The smallest relative difference that a comparison of so many visits of each side sees in nine of ten cases, where
/// visits scatter by `deviation` (a logarithm).
#[must_use]
pub fn visible(deviation: f64, visits: usize) -> Option<f64> {
    let sequence = Sequence::new(Design::COMPARISON.with_most(visits / interleave::VISITS_PER_BLOCK))?;
    Some(sequence.visible(deviation, 0.9).exp_m1())
}

/// The boundary of a design for as many blocks as the limits allow: error that is kept for looks which never come makes the
/// intervals of the others wider.
pub(crate) fn sequence(design: Design, limits: &Limits, sides: &[Record; 2]) -> Option<Sequence> {
    let most = interleave::planned(limits, sides);
    Sequence::new(design.with_most(most.clamp(design.first, interleave::MOST_BLOCKS)))
}

fn judge(quantity: &Quantity, sides: &[Record; 2], sequence: &Option<Sequence>, margin: f64) -> Judged {
    let look = sequence.as_ref().and_then(|sequence| sequence.look(&blocks_of(quantity, sides)));
    let verdict = look.as_ref().and_then(|look| look.verdict(margin, quantity.direction));
    Judged {
        quantity: quantity.clone(),
        sides: sides.each_ref().map(|record| estimate(quantity, record)),
        look,
        verdict: verdict.unwrap_or(Verdict::Undecided),
    }
}

/// The values of the visits that count, in the order of time.
pub(crate) fn values(quantity: &Quantity, record: &Record) -> Vec<f64> {
    let counted = record.trials.iter().filter(|trial| trial.is_measured() && !interleave::warms_up(trial));
    counted.filter_map(|trial| quantity.value(&trial.repetitions, &record.workload)).collect()
}

/// Whether complete blocks were measured without a value of this quantity on some side: its engine does not tell it.
pub(crate) fn is_untold(quantity: &Quantity, sides: &[Record; 2]) -> bool {
    !interleave::blocks(sides).is_empty() && sides.iter().any(|record| values(quantity, record).is_empty())
}

/// What one side has of a quantity, from its visits.
pub(crate) fn estimate(quantity: &Quantity, record: &Record) -> Option<Estimate> {
    positive_location(&values(quantity, record))
}

/// The complete blocks as the statistics take them. A visit without a value keeps its place.
pub(crate) fn blocks_of(quantity: &Quantity, sides: &[Record; 2]) -> Vec<Block> {
    let complete = interleave::blocks(sides);
    let known = known_states(quantity, &complete);
    let arms = [Arm::Reference, Arm::Candidate];
    let block = |visits: &[Vec<&Trial>; 2]| {
        let sides = visits.iter().zip(sides).zip(arms);
        let runs =
            sides.flat_map(|((trials, record), arm)| trials.iter().map(move |trial| (*trial, record, arm)));
        let mut runs: Vec<(&Trial, &Record, Arm)> = runs.collect();
        runs.sort_by_key(|(trial, ..)| trial.number);
        let run = |(trial, record, arm): (&Trial, &Record, Arm)| Run {
            arm,
            value: quantity.value(&trial.repetitions, &record.workload).unwrap_or(f64::NAN),
            covariates: known.iter().map(|pick| state_of(trial, *pick).unwrap_or(0.0)).collect(),
        };
        Block { runs: runs.into_iter().map(run).collect() }
    };
    complete.iter().map(block).collect()
}

/// One figure of the machine's state.
type State = fn(&MachineState) -> Option<f64>;

/// What may explain a part of the noise, that every visit has: what others did, while that was done which is judged. What the
/// engine itself uses belongs to what is judged.
fn known_states(quantity: &Quantity, blocks: &[[Vec<&Trial>; 2]]) -> Vec<State> {
    let foreign: State = match quantity.stage() {
        Some(Stage::Prompt) => |state| state.foreign_prompt.or(state.foreign),
        Some(Stage::Generation) => |state| state.foreign_generation.or(state.foreign),
        None => |state| state.foreign,
    };
    let states: [State; 3] = [foreign, |state| state.steal, |state| state.clock];
    let trials = || blocks.iter().flatten().flatten();
    states.into_iter().filter(|pick| trials().all(|trial| state_of(trial, *pick).is_some())).collect()
}

/// The mean over the repetitions of a visit that are trusted.
fn state_of(trial: &Trial, pick: State) -> Option<f64> {
    let requests =
        trial.repetitions.iter().filter_map(|one| one.request).max().map_or(0, |last| last as usize + 1);
    let trusted = (0..requests).flat_map(|request| of_request(&trial.repetitions, request));
    let values: Vec<f64> = trusted.map(|one| pick(&one.state)).collect::<Option<_>>()?;
    gguflab_stats::mean(&values)
}
