//! Lists of values as a person writes them.

use super::Dimension;
use crate::error::SearchError;
use gguflab_types::knob::{self, Domain, Facts};
use gguflab_types::{Configuration, Knob, Value};
use std::collections::HashSet;

/// More values than anybody can mean.
const MOST_VALUES: i64 = 100_000;

/// Reads `NAME=VALUES`.
pub(super) fn parse(text: &str, facts: &Facts) -> Result<Dimension, SearchError> {
    let wrong = |reason: String| SearchError::Values { text: text.to_string(), reason };
    let (name, list) = text.split_once('=').ok_or_else(|| wrong("there is no `=`".into()))?;
    let knob = find(name.trim())?;
    let separator = if matches!(knob.domain, Domain::Text(_)) { ';' } else { ',' };
    let mut values: Vec<Value> = Vec::new();
    let mut listed = HashSet::new();
    for item in list.split(separator).map(str::trim) {
        if item.is_empty() {
            return Err(wrong("a value is missing".into()));
        }
        for value in expand(knob, item).map_err(wrong)? {
            let value = knob.check(&value).map_err(SearchError::Setting)?;
            if listed.insert(value.to_string()) {
                values.push(value);
            }
        }
    }
    if values.iter().any(|value| *value != Value::Auto) && !knob.condition.holds(facts) {
        return Err(SearchError::Setting(format!("knob {} needs {}", knob.name, knob.condition.need())));
    }
    if knob.ordered {
        values.sort_by(|one, other| rank(one).total_cmp(&rank(other)));
    }
    Ok(Dimension { knob: knob.name.to_string(), values, ordered: knob.ordered })
}

/// The knob of this name, or an error that names the closest one.
pub(super) fn find(name: &str) -> Result<&'static Knob, SearchError> {
    let refused = || {
        // The configuration knows how to name the knob that was meant.
        let tried = Configuration::new().with(name, Value::Integer(1)).checked(&Facts::default());
        SearchError::Setting(tried.err().unwrap_or_else(|| format!("unknown knob `{name}`")))
    };
    knob::find(name).ok_or_else(refused)
}

/// One item of a list: a value, or a range `a..b` or `a..b:step` with both ends.
fn expand(knob: &Knob, item: &str) -> Result<Vec<Value>, String> {
    let numeric = matches!(knob.domain, Domain::Integer(..));
    let Some((low, rest)) = item.split_once("..").filter(|_| numeric) else {
        return Ok(vec![Value::parse(item)]);
    };
    let (high, step) = rest.split_once(':').unwrap_or((rest, "1"));
    let whole = |text: &str| {
        text.trim().parse::<i64>().map_err(|_| format!("`{}` is not a whole number", text.trim()))
    };
    let (low, high, step) = (whole(low)?, whole(high.trim_start_matches('='))?, whole(step)?);
    if step < 1 {
        return Err(format!("the step is {step}, it must be at least 1"));
    }
    if low > high {
        return Err(format!("the range runs down from {low} to {high}"));
    }
    let count = high.saturating_sub(low) / step;
    if count >= MOST_VALUES {
        return Err(format!("the range has {} values, more than {MOST_VALUES}", count.saturating_add(1)));
    }
    Ok((0..=count).map(|index| Value::Integer(low + index * step)).collect())
}

/// Auto first, then numbers, then ratios of the batch from small to large ubatches.
fn rank(value: &Value) -> f64 {
    match value {
        Value::Auto => f64::NEG_INFINITY,
        Value::BatchRatio(ratio) => f64::MAX / 2.0 - ratio,
        value => value.as_number().unwrap_or(f64::INFINITY),
    }
}
