//! Two result files held against each other.

use super::{Results, ResultsError, Series};
use crate::laboratory::each_once;
use crate::results::llama_bench::TOGETHER;
use gguflab_stats::{CONFIDENCE, Estimate, Percentile, Summary, Verdict, drift, percentile, welch};
use gguflab_types::{Direction, Unit, metric};
use std::collections::{BTreeMap, BTreeSet};

/// One metric of one test in both files.
#[derive(Debug, Clone, PartialEq)]
pub struct Pair {
    /// What was run, with the settings that tell it from others.
    pub label: String,
    /// The metric.
    pub metric: &'static str,
    /// Its unit.
    pub unit: Unit,
    /// The geometric mean of each file, reference first (of the logarithms' normal limit where only moments are there).
    pub levels: [f64; 2],
    /// Values behind them; `None` where it was not kept.
    pub counts: [Option<usize>; 2],
    /// Relative difference of the candidate to the reference, with the interval that their scatter gives.
    pub difference: Estimate,
    /// What follows from it, if nothing but the candidate changed in between.
    pub verdict: Verdict,
    /// p50, p95 and p99 of each file, reference first, where there are values.
    pub percentiles: [Vec<Percentile>; 2],
    /// Percentiles that the files state without values.
    pub stated: [Vec<(f64, f64)>; 2],
}

/// What two files say together.
#[derive(Debug, Clone, PartialEq)]
pub struct Judged {
    /// The files, reference first.
    pub files: [String; 2],
    /// What is in both, in the order of the reference: the first one is the headline.
    pub pairs: Vec<Pair>,
    /// What is in one of them only.
    pub alone: Vec<String>,
    /// In what the files differ: name, reference, candidate.
    pub differences: Vec<(String, String, String)>,
    /// What must be known before the numbers are believed, the most serious first.
    pub remarks: Vec<String>,
}

/// Shares of the percentiles.
const SHARES: [f64; 3] = [0.5, 0.95, 0.99];
/// What is said of a run and differs between any two: it tells nothing apart.
const INCIDENTAL: [&str; 1] = ["test_time"];
/// A drift within a file that is worth a remark.
const DRIFT: f64 = 0.03;

/// Judges the candidate against the reference, with a margin (0.01: 1 %) within which differences do not matter.
///
/// # Errors
/// [`ResultsError::Apart`] when they share no test.
pub fn judge(reference: &Results, candidate: &Results, margin: f64) -> Result<Judged, ResultsError> {
    let told = varying(reference).union(&varying(candidate)).cloned().collect::<BTreeSet<String>>();
    let (ours, theirs) = (grouped(candidate, &told), grouped(reference, &told));
    let pairs = pairs(&theirs, &ours, margin);
    if pairs.is_empty() {
        let names = |groups: &Groups| {
            let names: BTreeSet<String> = groups.keys().map(Key::words).collect();
            names.into_iter().take(6).collect::<Vec<_>>().join(", ")
        };
        return Err(ResultsError::Apart {
            candidate: candidate.file.clone(),
            reference: reference.file.clone(),
            problem: format!("the one has {}; the other {}", names(&ours), names(&theirs)),
        });
    }
    let only = |one: &Groups, other: &Groups, file: &str| -> Vec<String> {
        let alone = one.keys().filter(|key| !other.contains_key(*key));
        alone.map(|key| format!("{} only in {file}", key.words())).collect()
    };
    let alone = [only(&theirs, &ours, &reference.file), only(&ours, &theirs, &candidate.file)].concat();
    let differences = differences(reference, candidate, &told);
    let remarks = remarks(reference, candidate, &pairs);
    let files = [reference.file.clone(), candidate.file.clone()];
    Ok(Judged { files, pairs, alone, differences, remarks })
}

impl Judged {
    /// Leaves what is in both of these metrics, in their order.
    ///
    /// # Errors
    /// The names that are not in both, and those that are; then nothing is left out.
    pub fn keep(&mut self, metrics: &[String]) -> Result<(), [Vec<String>; 2]> {
        let shared = each_once(self.pairs.iter().map(|pair| pair.metric.to_string()));
        let missing: Vec<String> = metrics.iter().filter(|name| !shared.contains(name)).cloned().collect();
        if !missing.is_empty() {
            return Err([missing, shared]);
        }
        let place = |pair: &Pair| metrics.iter().position(|name| name == pair.metric);
        self.pairs.retain(|pair| place(pair).is_some());
        self.pairs.sort_by_key(place);
        Ok(())
    }
}

/// A test, a metric and the settings that tell it from others.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
struct Key {
    label: String,
    metric: &'static str,
    settings: Vec<(String, String)>,
}

impl Key {
    fn label(&self) -> String {
        let settings = self.settings.iter().map(|(name, value)| format!("{name}={value}"));
        [self.label.clone()].into_iter().chain(settings).collect::<Vec<_>>().join(" ")
    }

    fn words(&self) -> String {
        format!("{} {}", self.label(), self.metric)
    }
}

/// What differs between the tests of one file.
fn varying(results: &Results) -> BTreeSet<String> {
    let mut seen: BTreeMap<&String, BTreeSet<&String>> = BTreeMap::new();
    for (name, value) in results.series.iter().flat_map(|series| &series.about) {
        seen.entry(name).or_default().insert(value);
    }
    let several =
        seen.into_iter().filter(|(name, values)| values.len() > 1 && !INCIDENTAL.contains(&name.as_str()));
    several.map(|(name, _)| name.clone()).collect()
}

/// Series by what tells them apart, with the place of each in its file.
type Groups = BTreeMap<Key, (usize, Series)>;

/// The series of a file; the same test again adds its values.
fn grouped(results: &Results, told: &BTreeSet<String>) -> Groups {
    let mut groups = Groups::new();
    for (place, series) in results.series.iter().enumerate() {
        let settings = told.iter().filter_map(|name| Some((name.clone(), series.about.get(name)?.clone())));
        let key = Key { label: series.label.clone(), metric: series.metric, settings: settings.collect() };
        match groups.get_mut(&key) {
            Some((_, group)) => {
                group.values.extend(&series.values);
                group.single.extend(series.single.iter().cloned());
            }
            None => {
                groups.insert(key, (place, series.clone()));
            }
        }
    }
    groups
}

/// What is in both, in the order of the reference file.
fn pairs(reference: &Groups, candidate: &Groups, margin: f64) -> Vec<Pair> {
    let both = reference.iter().filter_map(|(key, (place, theirs))| {
        let (_, ours) = candidate.get(key)?;
        Some((*place, pair(key, theirs, ours, margin)?))
    });
    let mut both: Vec<(usize, Pair)> = both.collect();
    both.sort_by_key(|(place, _)| *place);
    both.into_iter().map(|(_, pair)| pair).collect()
}

fn pair(key: &Key, reference: &Series, candidate: &Series, margin: f64) -> Option<Pair> {
    let (theirs, ours) = (reference.summary()?, candidate.summary()?);
    let difference = welch(&ours, &theirs, CONFIDENCE);
    let (unit, direction) = match key.metric {
        TOGETHER => (Unit::TokensPerSecond, Direction::Higher),
        name => metric::find(name).map(|metric| (metric.unit, metric.direction))?,
    };
    let both = [reference, candidate];
    Some(Pair {
        label: key.label(),
        metric: key.metric,
        unit,
        levels: [theirs, ours].map(|summary: Summary| summary.mean.exp()),
        counts: both.map(count),
        verdict: gguflab_stats::judge(&difference, margin, direction),
        difference,
        percentiles: both.map(percentiles),
        stated: both.map(|series| series.percentiles.clone()),
    })
}

fn count(series: &Series) -> Option<usize> {
    match series.values.len() {
        0 => series.moments.and_then(|moments| moments.count),
        count => Some(count),
    }
}

/// Percentiles of times; of rates over whole runs nobody asks for them.
fn percentiles(series: &Series) -> Vec<Percentile> {
    let is_time = metric::find(series.metric).is_some_and(|metric| metric.unit == Unit::Seconds);
    if !is_time || series.values.is_empty() {
        return Vec::new();
    }
    let values: Vec<&[f64]> = match series.single.is_empty() {
        true => vec![&series.values],
        false => series.single.iter().map(Vec::as_slice).collect(),
    };
    SHARES.iter().map(|share| percentile(&values, *share, CONFIDENCE)).collect()
}

/// In what the files differ as wholes.
fn differences(
    reference: &Results,
    candidate: &Results,
    told: &BTreeSet<String>,
) -> Vec<(String, String, String)> {
    let facts = |results: &Results| -> BTreeMap<String, String> {
        let first = results.series.first().map(|series| series.about.clone()).unwrap_or_default();
        let kept = first
            .into_iter()
            .filter(|(name, _)| !told.contains(name) && !INCIDENTAL.contains(&name.as_str()));
        [("written by".to_string(), results.kind.to_string())].into_iter().chain(kept).collect()
    };
    let (theirs, ours) = (facts(reference), facts(candidate));
    let names: BTreeSet<&String> = theirs.keys().chain(ours.keys()).collect();
    let text = |facts: &BTreeMap<String, String>, name: &String| {
        facts.get(name).cloned().unwrap_or_else(|| "not said".to_string())
    };
    let rows = names.into_iter().map(|name| (name.clone(), text(&theirs, name), text(&ours, name)));
    rows.filter(|(_, one, other)| one != other).collect()
}

fn remarks(reference: &Results, candidate: &Results, pairs: &[Pair]) -> Vec<String> {
    let mut remarks = vec![
        "The files were measured one after the other: what the machine did in between cannot be told from a difference. \
         The intervals say how values scatter within each file, and no more."
            .to_string(),
    ];
    if pairs.iter().all(|pair| pair.difference.interval.is_none()) {
        remarks.push("Nothing has an interval: nothing can be decided from these files.".to_string());
    }
    for results in [reference, candidate] {
        remarks.extend(results.remarks.iter().map(|remark| format!("{}: {remark}.", results.file)));
        remarks.extend(results.series.iter().filter_map(|series| drifting(results, series)));
    }
    let limits: BTreeSet<&str> = reference.limits.iter().chain(&candidate.limits).copied().collect();
    remarks.extend(limits.into_iter().map(str::to_string));
    remarks
}

/// A series that surely drifts.
fn drifting(results: &Results, series: &Series) -> Option<String> {
    let found = drift(&series.values, 0.99)?;
    let interval = found.interval?;
    let sure = !interval.contains(0.0) && found.value.abs() > DRIFT;
    sure.then(|| {
        format!(
            "{}: {} of {} drifts by {:+.0} % from its first to its last value.",
            results.file,
            series.metric,
            series.label,
            100.0 * found.value
        )
    })
}
