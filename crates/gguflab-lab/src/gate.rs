//! The gate: has something become slower than what was accepted?

pub mod threshold;

use crate::baseline::{Accepted, Baseline};
use crate::bench::{BenchRequest, BenchWatcher, Record, bench, now};
use crate::compare::{blocks_of, drift, is_untold, sequence, values};
use crate::interleave::{Interleaved, Limits, Reason, Side, blocks, interleave};
use crate::laboratory::{Laboratory, LaboratoryError};
use crate::outputs::DriftVerdict;
use gguflab_engine::Stop;
use gguflab_stats::sequential::{Block, Design, Gate, Sequence};
use gguflab_stats::unpaired::{Summary, welch};
use gguflab_stats::{CONFIDENCE, Estimate, Interval, mean_interval};
use gguflab_types::{Direction, Outcome, Protocol, Subject};
use serde::{Deserialize, Serialize};
use std::path::PathBuf;
use threshold::{Bound, Threshold, ThresholdError};

/// Version of [`Check`]; raised when older programs would misread it.
pub const CHECK_VERSION: u32 = 1;
/// What a check says that it is.
pub const CHECK_FORMAT: &str = "gguflab-check";

/// What the check of the outputs is called among the findings.
const OUTPUTS: &str = "outputs";
/// What is found to be broken when what is checked does not run to its end.
const RUNS: &str = "runs";

/// Why nothing can be checked.
#[derive(Debug, thiserror::Error)]
pub enum GateError {
    /// The name is none.
    #[error(
        "`{0}` is no name of a baseline: take letters, digits, `-`, `_`, `.` and `+`, a letter or digit first"
    )]
    Name(String),
    /// There is no baseline of this name.
    #[error("no baseline `{name}` in {folder}: {known}", folder = folder.display(), known = in_words(known))]
    Missing {
        /// The name.
        name: String,
        /// The folder of baselines.
        folder: PathBuf,
        /// The names that there are.
        known: Vec<String>,
    },
    /// There is one already.
    #[error(
        "baseline `{name}` was accepted already, as number {number}: give --again to accept a new one (the others stay)"
    )]
    Taken {
        /// The name.
        name: String,
        /// The number of the one that counts.
        number: u32,
    },
    /// A file of ours cannot be used.
    #[error("{path} cannot be used: {problem}", path = path.display())]
    File {
        /// The file.
        path: PathBuf,
        /// What is wrong and what to do.
        problem: String,
    },
    /// A file cannot be written.
    #[error("cannot write {path}: {source}", path = path.display())]
    Write {
        /// The file.
        path: PathBuf,
        /// What the system says.
        source: std::io::Error,
    },
    /// A threshold is none.
    #[error(transparent)]
    Threshold(#[from] ThresholdError),
    /// The baseline is of something else.
    #[error(
        "baseline `{name}` is of something else: {differences}; accept a baseline for this model under a name of its own"
    )]
    OtherModel {
        /// The baseline's name.
        name: String,
        /// What differs, in words.
        differences: String,
    },
    /// What was measured cannot be accepted.
    #[error("nothing is accepted: a visit ended as {0}")]
    NotMeasured(String),
    /// The reference that was named is not what was accepted.
    #[error("the reference is not the accepted build: {accepted} was accepted, and {program} is {found}")]
    OtherBuild {
        /// The build that was accepted.
        accepted: String,
        /// The program that was named or kept.
        program: String,
        /// What it is.
        found: String,
    },
    /// A side cannot be prepared.
    #[error(transparent)]
    Laboratory(#[from] LaboratoryError),
}

fn in_words(known: &[String]) -> String {
    match known {
        [] => "nothing was accepted there; begin with `gguflab gate accept`".to_string(),
        names => format!("there are {}", names.join(", ")),
    }
}

/// What one threshold came to.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Finding {
    /// The threshold as it was written.
    pub threshold: String,
    /// What it says.
    pub verdict: Gate,
    /// Why, in a few words, where the numbers do not say it.
    pub remark: String,
}

/// How the baseline's side of a check was had.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Against {
    /// The accepted build ran in turn with the one that was checked.
    Build,
    /// Only its stored samples were there.
    Stored,
}

/// A check that has ended: raw samples of both sides, and what was said of them.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Check {
    /// Always `gguflab-check`.
    pub format: String,
    /// [`CHECK_VERSION`].
    pub version: u32,
    /// When it ended, in seconds since 1970 (UTC).
    pub checked: f64,
    /// The number of the baseline that counted.
    pub baseline: u32,
    /// What the baseline's side was.
    pub against: Against,
    /// Both sides, the baseline first. Against stored samples, the first one is what was accepted.
    pub interleaved: Interleaved,
    /// Each threshold, the outputs where they were checked, and that it does not run where it does not.
    pub findings: Vec<Finding>,
    /// What it comes to.
    pub verdict: Gate,
    /// What weakens it.
    pub remarks: Vec<String>,
}

/// What is checked, and until when.
#[derive(Debug, Clone)]
pub struct CheckRequest {
    /// What has to be kept to.
    pub thresholds: Vec<Threshold>,
    /// How long it may go on.
    pub limits: Limits,
    /// Whether the outputs are held against those of the accepted build too.
    pub outputs: bool,
}

/// The thresholds with the workload that they are judged on.
///
/// # Errors
/// [`ThresholdError`] names the one that is none, or that does not go with the workload.
pub fn thresholds(texts: &[String], laboratory: &Laboratory) -> Result<Vec<Threshold>, ThresholdError> {
    let read = |text: &String| {
        let threshold = Threshold::parse(text, &laboratory.metrics)?;
        threshold.check(laboratory.workload())?;
        Ok(threshold)
    };
    texts.iter().map(read).collect()
}

/// The usual thresholds, as far as the workload has what they judge.
#[must_use]
pub fn usual_thresholds(laboratory: &Laboratory) -> Vec<String> {
    let usual = threshold::PRESETS.iter().filter(|row| row.name == threshold::USUAL);
    let texts = usual.map(|row| row.threshold.to_string());
    texts.filter(|text| thresholds(std::slice::from_ref(text), laboratory).is_ok()).collect()
}

/// The protocol with what the thresholds need: those of loading load anew in each visit.
#[must_use]
pub fn protocol_for(thresholds: &[Threshold], protocol: Protocol) -> Protocol {
    Protocol {
        reload: protocol.reload || thresholds.iter().any(|one| one.quantity.needs_loading()),
        cold: protocol.cold || thresholds.iter().any(|one| one.quantity.needs_cold_load()),
        ..protocol
    }
}

/// How a subject differs from the baseline's in what a check cannot be made across: model and tokenizer.
///
/// # Errors
/// [`GateError::OtherModel`] says what differs.
pub fn check_model(name: &str, accepted: &Subject, subject: &Subject) -> Result<(), GateError> {
    let of_model = ["model fingerprint", "tokenizer"];
    let differences = accepted.differences(subject);
    let told: Vec<String> = differences
        .iter()
        .filter(|one| of_model.contains(&one.what))
        .map(|one| format!("{} was {} and is {}", one.what, one.first, one.second))
        .collect();
    let (was, is) = (&accepted.model.file, &subject.model.file);
    match told.as_slice() {
        [] => Ok(()),
        told => {
            let differences = format!("{was} was accepted, and this is {is} ({})", told.join(", "));
            Err(GateError::OtherModel { name: name.to_string(), differences })
        }
    }
}

/// How this machine differs from the baseline's, in words; empty when samples of both can be compared.
#[must_use]
pub fn other_machine(accepted: &Subject, subject: &Subject) -> Vec<String> {
    let here = Subject { machine: subject.machine.clone(), ..accepted.clone() };
    let differences = accepted.differences(&here).into_iter().filter(|one| one.essential);
    differences.map(|one| format!("{}: {} then, {} now", one.what, one.first, one.second)).collect()
}

/// Checks in turn with the accepted build: the first side is that one.
pub fn check_in_turn(
    sides: &mut [Side; 2],
    number: u32,
    request: &CheckRequest,
    stop: &Stop,
    watcher: &mut dyn BenchWatcher,
) -> Check {
    let mut enough = |records: &[Record; 2]| {
        let boundaries = Boundaries::of(request, records);
        let is_over = |one: &Threshold| {
            in_turn(one, records, &boundaries).verdict != Gate::Inconclusive
                || is_untold(&one.quantity, records)
        };
        request.thresholds.iter().all(is_over)
    };
    let mut interleaved = interleave(sides, &request.limits, stop, watcher, &mut enough);
    let boundaries = Boundaries::of(request, &interleaved.sides);
    let judge = |one| in_turn(one, &interleaved.sides, &boundaries);
    let mut findings: Vec<Finding> = request.thresholds.iter().map(judge).collect();
    let mut remarks = Vec::new();
    let drift = if request.outputs { drift(sides, &mut interleaved, stop) } else { None };
    match drift.map(|drift| (drift.verdict, drift.reason)) {
        Some((DriftVerdict::Unchecked, reason)) => {
            remarks.push(format!("outputs were not checked: {reason}"))
        }
        // A build that is faster and says something else has not won.
        Some((verdict, remark)) => {
            let verdict = if verdict == DriftVerdict::Same { Gate::Pass } else { Gate::Fail };
            findings.push(Finding { threshold: OUTPUTS.to_string(), verdict, remark });
        }
        None => {}
    }
    finish(number, Against::Build, interleaved, findings, remarks)
}

/// Checks against the stored samples: as many visits as there are of the baseline.
pub fn check_stored(
    side: &mut Side,
    accepted: &Accepted,
    request: &CheckRequest,
    stop: &Stop,
    watcher: &mut dyn BenchWatcher,
) -> Check {
    let baseline = &accepted.baseline;
    let visits = baseline.record.trials.len().max(2);
    let (record, reason) = measure(side, visits, stop, watcher);
    let others = other_machine(&baseline.record.subject, &record.subject);
    let mut remarks = vec![
        "only stored samples of the baseline were there: what changed on this machine since then (warmth, system, other \
         work) counts as a change of what is checked. Keep the accepted build (gate accept --keep-build, or \
         --reference-engine) and both run in turn"
            .to_string(),
    ];
    if request.outputs {
        remarks.push("outputs were not checked: only the accepted build can say what it says".to_string());
    }
    if !others.is_empty() {
        remarks.push(format!(
            "the baseline was measured on another machine, so nothing can be told ({})",
            others.join("; ")
        ));
    }
    let records = [baseline.record.clone(), record];
    let judge = |one| stored(one, &records, others.is_empty(), request.thresholds.len());
    let findings = request.thresholds.iter().map(judge).collect();
    let interleaved = Interleaved { sides: records, reason, fresh: true };
    finish(accepted.number, Against::Stored, interleaved, findings, remarks)
}

/// Visits of one side alone, measured as those of the baseline were.
fn measure(side: &mut Side, visits: usize, stop: &Stop, watcher: &mut dyn BenchWatcher) -> (Record, Reason) {
    let visits = u32::try_from(visits).unwrap_or(u32::MAX);
    let request = BenchRequest { visits, ..side.request.clone() };
    let record = bench(&mut side.laboratory, &request, stop, watcher);
    let last = record.trials.last().and_then(|trial| trial.ending.clone());
    let reason = match last.filter(|ending| ending.outcome != Outcome::Measured) {
        Some(ending) if ending.outcome != Outcome::Cancelled => Reason::Failed(1, ending),
        None if record.trials.len() == visits as usize => Reason::Decided,
        _ => Reason::Stopped,
    };
    (record, reason)
}

fn finish(
    baseline: u32,
    against: Against,
    interleaved: Interleaved,
    mut findings: Vec<Finding>,
    remarks: Vec<String>,
) -> Check {
    let verdict = match &interleaved.reason {
        // A build that does not run is a regression, whatever was measured before.
        Reason::Failed(1, ending) => {
            let (threshold, remark) = (RUNS.to_string(), ending.cause.clone());
            findings.push(Finding { threshold, verdict: Gate::Fail, remark });
            Gate::Fail
        }
        Reason::Failed(..) | Reason::Stopped => Gate::Inconclusive,
        _ => all_together(&findings),
    };
    Check {
        format: CHECK_FORMAT.to_string(),
        version: CHECK_VERSION,
        checked: now(),
        baseline,
        against,
        interleaved,
        findings,
        verdict,
        remarks,
    }
}

fn all_together(findings: &[Finding]) -> Gate {
    let any = |verdict| findings.iter().any(|finding| finding.verdict == verdict);
    match () {
        () if any(Gate::Fail) => Gate::Fail,
        () if findings.is_empty() || any(Gate::Inconclusive) => Gate::Inconclusive,
        () => Gate::Pass,
    }
}

/// What differences are held against. A check passes only when every threshold is kept, so each may be held at the whole error
/// (Berger 1982, an intersection–union test); it fails when any is broken, so for that all of them share it.
struct Boundaries {
    kept: Option<Sequence>,
    broken: Option<Sequence>,
}

impl Boundaries {
    fn of(request: &CheckRequest, sides: &[Record; 2]) -> Boundaries {
        let shared = Design::GATE.shared_by(request.thresholds.len());
        let [kept, broken] = [Design::GATE, shared].map(|design| sequence(design, &request.limits, sides));
        Boundaries { kept, broken }
    }

    fn judge(&self, blocks: &[Block], share: f64, direction: Direction) -> (Gate, &'static str) {
        let judged = |sequence: &Option<Sequence>| {
            sequence
                .as_ref()?
                .look(blocks)
                .map(|look| look.gate(share, direction).unwrap_or(Gate::Inconclusive))
        };
        match (judged(&self.kept), judged(&self.broken)) {
            (None, _) => (Gate::Inconclusive, "no complete block was measured"),
            (Some(kept), broken) => together(kept, broken.unwrap_or(Gate::Inconclusive)),
        }
    }

    /// The confidences of what is held alone after so many blocks, for being kept and for being broken.
    fn confidences(&self, blocks: usize) -> [Option<f64>; 2] {
        let level = |sequence: &Option<Sequence>| Some(1.0 - sequence.as_ref()?.level(blocks)?);
        [level(&self.kept), level(&self.broken)]
    }
}

/// What a threshold comes to that was held at the whole error for being kept, and at its share for being broken.
fn together(kept: Gate, broken: Gate) -> (Gate, &'static str) {
    match (kept, broken) {
        (Gate::Fail, Gate::Fail) => (Gate::Fail, ""),
        (Gate::Fail, _) => {
            (Gate::Inconclusive, "broken for sure if it stood alone; with so many thresholds not yet")
        }
        (other, _) => (other, ""),
    }
}

fn in_turn(threshold: &Threshold, sides: &[Record; 2], boundaries: &Boundaries) -> Finding {
    let Bound::Relative(share) = threshold.bound else {
        return in_itself(threshold, &sides[1], boundaries.confidences(blocks(sides).len()));
    };
    let blocks = blocks_of(&threshold.quantity, sides);
    let (verdict, remark) = boundaries.judge(&blocks, share, threshold.direction());
    let remark = if is_untold(&threshold.quantity, sides) { "not measured" } else { remark };
    Finding { threshold: threshold.text.clone(), verdict, remark: remark.to_string() }
}

fn stored(threshold: &Threshold, sides: &[Record; 2], same_machine: bool, thresholds: usize) -> Finding {
    let confidences = [CONFIDENCE, 1.0 - (1.0 - CONFIDENCE) / thresholds.max(1) as f64];
    let Bound::Relative(share) = threshold.bound else {
        return in_itself(threshold, &sides[1], confidences.map(Some));
    };
    let judged = confidences.map(|confidence| {
        let difference = difference_at(confidence, threshold, sides).filter(|_| same_machine);
        difference.map(|one| gguflab_stats::sequential::gate(&one, share, threshold.direction()))
    });
    let [kept, broken] = judged.map(|gate| gate.unwrap_or(Gate::Inconclusive));
    let (verdict, remark) = together(kept, broken);
    let remark = match (judged[0], same_machine) {
        (_, false) => "measured on another machine",
        (None, _) => "not measured on both sides",
        _ => remark,
    };
    Finding { threshold: threshold.text.clone(), verdict, remark: remark.to_string() }
}

/// The relative difference of a check to stored samples: nothing is paired, so nothing cancels.
pub(crate) fn stored_difference(threshold: &Threshold, sides: &[Record; 2]) -> Option<Estimate> {
    difference_at(CONFIDENCE, threshold, sides)
}

fn difference_at(confidence: f64, threshold: &Threshold, sides: &[Record; 2]) -> Option<Estimate> {
    let [reference, candidate] =
        sides.each_ref().map(|record| Summary::of(&values(&threshold.quantity, record)));
    Some(welch(&candidate?, &reference?, confidence))
}

/// A bound that has nothing to do with the baseline, at the confidences for being kept and for being broken; without them it
/// is too early to tell.
fn in_itself(threshold: &Threshold, record: &Record, confidences: [Option<f64>; 2]) -> Finding {
    let logarithms: Vec<f64> = values(&threshold.quantity, record).iter().map(|value| value.ln()).collect();
    let judged = confidences.map(|confidence| {
        let found = mean_interval(&logarithms, confidence?)?.map(f64::exp);
        Some(within(threshold.bound, found.interval?))
    });
    let [kept, broken] = judged.map(|gate| gate.unwrap_or(Gate::Inconclusive));
    let (verdict, remark) = together(kept, broken);
    let remark = if logarithms.is_empty() { "not measured" } else { remark };
    Finding { threshold: threshold.text.clone(), verdict, remark: remark.to_string() }
}

fn within(bound: Bound, interval: Interval) -> Gate {
    match bound {
        Bound::AtMost(bound) if interval.high < bound => Gate::Pass,
        Bound::AtMost(bound) if interval.low > bound => Gate::Fail,
        Bound::AtLeast(bound) if interval.low > bound => Gate::Pass,
        Bound::AtLeast(bound) if interval.high < bound => Gate::Fail,
        _ => Gate::Inconclusive,
    }
}

/// What can be accepted as a baseline: a record whose visits were all measured.
///
/// # Errors
/// [`GateError::NotMeasured`] says how a visit ended.
pub fn acceptable(record: &Record) -> Result<(), GateError> {
    let bad = record.trials.iter().find(|trial| !trial.is_measured());
    match bad.and_then(|trial| trial.ending.as_ref()) {
        Some(ending) => Err(GateError::NotMeasured(format!("{}: {}", ending.outcome, ending.cause))),
        None if record.trials.is_empty() => Err(GateError::NotMeasured("none: it was stopped".to_string())),
        None => Ok(()),
    }
}

/// Whether what stands ready as the reference is the build that was accepted.
///
/// # Errors
/// [`GateError::OtherBuild`] names both.
pub fn check_build(baseline: &Baseline, laboratory: &Laboratory, program: &str) -> Result<(), GateError> {
    let (accepted, found) = (&baseline.record.subject.engine.build, &laboratory.subject.engine.build);
    if accepted == found {
        return Ok(());
    }
    let (accepted, found, program) = (accepted.clone(), found.clone(), program.to_string());
    Err(GateError::OtherBuild { accepted, program, found })
}

#[cfg(test)]
mod tests {
    use super::*;
    use gguflab_stats::sequential::{Arm, Run};

    /// Four blocks in which the candidate is slower by this share, and runs scatter by some per cent.
    fn slower(share: f64) -> Vec<Block> {
        let scatter = [1.02, 0.99, 1.00, 0.98, 1.01, 1.02, 0.99, 1.0];
        let arms = [Arm::Reference, Arm::Candidate, Arm::Candidate, Arm::Reference];
        let run = |(place, arm): (usize, Arm)| {
            let level = if arm == Arm::Candidate { 1.0 - share } else { 1.0 };
            Run { arm, value: level * scatter[place % scatter.len()], covariates: Vec::new() }
        };
        (0..4)
            .map(|block| Block { runs: (0..4).map(|place| run((4 * block + place, arms[place]))).collect() })
            .collect()
    }

    #[test]
    fn thresholds_share_the_error_of_a_fail_and_not_that_of_a_pass() {
        let boundaries = |thresholds| {
            let [kept, broken] = [Design::GATE, Design::GATE.shared_by(thresholds)]
                .map(|design| Sequence::new(design.with_most(8)));
            Boundaries { kept, broken }
        };
        let judge = |thresholds, share| boundaries(thresholds).judge(&slower(share), 0.1, Direction::Higher);
        for share in [0.0, 0.02, 0.1, 0.13, 0.3] {
            let (alone, among) = (judge(1, share).0, judge(6, share).0);
            assert_eq!(alone == Gate::Pass, among == Gate::Pass, "{share}");
            assert!(among != Gate::Fail || alone == Gate::Fail, "{share}");
        }
        assert_eq!(
            (judge(6, 0.0).0, judge(6, 0.1).0, judge(6, 0.3).0),
            (Gate::Pass, Gate::Inconclusive, Gate::Fail)
        );
        let between =
            (100..200).map(|part| f64::from(part) / 1000.0).find(|share| judge(1, *share).0 == Gate::Fail);
        let (verdict, remark) = judge(6, between.unwrap());
        assert_eq!(verdict, Gate::Inconclusive);
        assert!(remark.contains("if it stood alone"), "{remark}");
        assert_eq!(judge(6, 0.3).1, "");
        assert_eq!(
            boundaries(2).judge(&[], 0.1, Direction::Higher),
            (Gate::Inconclusive, "no complete block was measured")
        );
    }
}
