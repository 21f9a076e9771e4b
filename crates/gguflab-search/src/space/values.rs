//! Lists of values as a person writes them.

use super::Dimension;
use crate::error::SearchError;
use gguflab_types::knob::{Domain, Facts};
use gguflab_types::{Configuration, Knob, Value};
use std::collections::HashSet;

/// More values than anybody can mean.
const MOST_VALUES: i64 = 100_000;

/// Reads `NAME=VALUES`.
pub(super) fn parse(text: &str, facts: &Facts) -> Result<Dimension, SearchError> {
    let wrong = |reason: &str| SearchError::Values { text: text.to_string(), reason: reason.to_string() };
    let (name, list) = text.split_once('=').ok_or_else(|| wrong("there is no `=`"))?;
    let knob = find(name.trim(), facts)?;
    let separator = if matches!(knob.domain, Domain::Text(_)) { ';' } else { ',' };
    dimension(&knob, list.split(separator), text, facts)
}

/// Reads a list of values and ranges.
pub(super) fn listed(name: &str, items: &[String], facts: &Facts) -> Result<Dimension, SearchError> {
    let text = format!("{name}={}", items.join(","));
    dimension(&find(name, facts)?, items.iter().map(String::as_str), &text, facts)
}

fn dimension<'a>(
    knob: &Knob<'_>,
    items: impl Iterator<Item = &'a str>,
    text: &str,
    facts: &Facts,
) -> Result<Dimension, SearchError> {
    let wrong = |reason: String| SearchError::Values { text: text.to_string(), reason };
    let mut values: Vec<Value> = Vec::new();
    let mut listed = HashSet::new();
    for item in items.map(str::trim) {
        if item.is_empty() {
            return Err(wrong("a value is missing".into()));
        }
        for value in expand(knob, item, facts).map_err(wrong)? {
            let value = knob.check(&value).map_err(SearchError::Setting)?;
            if listed.insert(value.to_string()) {
                values.push(value);
            }
        }
    }
    if values.is_empty() {
        return Err(wrong("a value is missing".into()));
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
pub(super) fn find<'a>(name: &'a str, facts: &'a Facts) -> Result<Knob<'a>, SearchError> {
    let refused = || {
        // The configuration knows how to name the knob that was meant.
        let tried = Configuration::new().with(name, Value::Integer(1)).checked(facts);
        SearchError::Setting(tried.err().unwrap_or_else(|| format!("unknown knob `{name}`")))
    };
    facts.knob(name).ok_or_else(refused)
}

/// One item of a list: a value, or a range `a..b` or `a..b:step` with both ends.
fn expand(knob: &Knob<'_>, item: &str, facts: &Facts) -> Result<Vec<Value>, String> {
    match (knob.domain, item.split_once("..")) {
        (Domain::Integer(..), Some((low, rest))) => whole_range(low, rest),
        (Domain::Number(..), Some((low, rest))) => real_range(low, rest),
        (Domain::Integer(..), None) => Ok(vec![measure(knob, item, facts)?]),
        _ => Ok(vec![Value::parse(item)]),
    }
}

/// A whole number as a person measures it: a share of the cores or of the layers, or the number itself.
fn measure(knob: &Knob<'_>, item: &str, facts: &Facts) -> Result<Value, String> {
    let cores = match item {
        "physical" => Some(facts.physical_cores),
        "logical" => Some(facts.logical_cores),
        "half" => Some(facts.physical_cores / 2),
        _ => None,
    };
    match (cores, item.strip_suffix('%')) {
        (Some(cores), _) if knob.name.contains("threads") => Ok(Value::Integer(i64::from(cores.max(1)))),
        (Some(_), _) => Err(format!("`{item}` is a number of cores, which {} is not", knob.name)),
        (None, Some(percent)) => layers(knob, percent, facts),
        (None, None) => Ok(Value::parse(item)),
    }
}

/// A percentage of what there is: the layers, and for those on the GPU the output as one more.
fn layers(knob: &Knob<'_>, percent: &str, facts: &Facts) -> Result<Value, String> {
    let whole = match knob.name {
        "gpu-layers" => facts.layers + 1,
        "cpu-moe-layers" => facts.layers,
        name => return Err(format!("`{percent}%` is a share of the layers, which {name} does not count")),
    };
    if facts.layers == 0 {
        return Err(format!("`{percent}%` of the layers: the model does not say how many it has"));
    }
    match percent.trim().parse::<f64>() {
        Ok(share) if (0.0..=100.0).contains(&share) => {
            Ok(Value::Integer((share / 100.0 * f64::from(whole)).round() as i64))
        }
        _ => Err(format!("`{percent}%` is no percentage from 0% to 100%")),
    }
}

fn whole_range(low: &str, rest: &str) -> Result<Vec<Value>, String> {
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

fn real_range(low: &str, rest: &str) -> Result<Vec<Value>, String> {
    let Some((high, step)) = rest.split_once(':') else {
        return Err("a range of real numbers needs a step, as in 0.1..0.9:0.1".to_string());
    };
    let number = |text: &str| match text.trim().parse::<f64>() {
        Ok(number) if number.is_finite() => Ok(number),
        _ => Err(format!("`{}` is not a number", text.trim())),
    };
    let (low, high, step) = (number(low)?, number(high.trim_start_matches('='))?, number(step)?);
    if step <= 0.0 {
        return Err(format!("the step is {step}, it must be above 0"));
    }
    if low > high {
        return Err(format!("the range runs down from {low} to {high}"));
    }
    // The last step may miss the end by the error of binary fractions.
    let count = ((high - low) / step + 1e-9).floor();
    if count >= MOST_VALUES as f64 {
        return Err(format!("the range has {} values, more than {MOST_VALUES}", count + 1.0));
    }
    // Nine digits are enough for a person's step, and hide that 0.1 has no end in binary.
    let at = |index: i64| format!("{:.9}", low + index as f64 * step);
    Ok((0..=count as i64).map(|index| Value::Number(at(index).parse().unwrap_or(low))).collect())
}

/// Auto first, then numbers, then ratios of the batch from small to large ubatches.
fn rank(value: &Value) -> f64 {
    match value {
        Value::Auto => f64::NEG_INFINITY,
        Value::BatchRatio(ratio) => f64::MAX / 2.0 - ratio,
        value => value.as_number().unwrap_or(f64::INFINITY),
    }
}
