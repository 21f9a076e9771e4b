//! What a program's answer says.

use gguflab_types::metric::{self, DeclaredMetric};
use gguflab_types::{Ending, Outcome, Sample, Workload};
use serde_json::{Map, Value};

/// Metrics that are of the whole trial, not of one request.
const WHOLE: &[&str] =
    &[metric::LOAD, metric::LOAD_COLD, metric::CONTEXT, metric::PEAK_MEMORY, metric::DEVICE_MEMORY];

/// What it measured.
#[derive(Debug, Default, PartialEq)]
pub(super) struct Figures {
    /// For each request of the workload its repetitions.
    pub(super) requests: Vec<Vec<Vec<Sample>>>,
    /// What is of the whole trial.
    pub(super) whole: Vec<Sample>,
}

/// What an answer gives.
#[derive(Debug, PartialEq)]
pub(super) enum Given {
    /// Measured values.
    Figures(Figures),
    /// A failure, with its cause.
    Ending(Ending),
}

/// Reads an answer: `metrics` for a workload of one request, `requests` with `metrics` each for several, or an
/// `outcome` with its `cause`.
///
/// # Errors
/// How the trial ends when the answer says nothing that can be used; it is never turned into a number.
pub(super) fn read(value: &Value, workload: &Workload, declared: &[DeclaredMetric]) -> Result<Given, Ending> {
    if let Some(ending) = failure(value)? {
        return Ok(Given::Ending(ending));
    }
    let count = workload.requests.len();
    let mut figures = Figures { requests: vec![Vec::new(); count], whole: Vec::new() };
    let parts: Vec<&Value> = match value.get("requests") {
        Some(Value::Array(parts)) if parts.len() == count => parts.iter().collect(),
        Some(Value::Array(parts)) => {
            return wrong(format!("it tells {} requests, and the workload has {count}", parts.len()));
        }
        Some(_) => return wrong("`requests` is no list".to_string()),
        None if count == 1 => vec![value],
        None => {
            return wrong(format!(
                "the workload has {count} requests: answer with `requests`, a list of one for each"
            ));
        }
    };
    for (request, part) in figures.requests.iter_mut().zip(&parts) {
        let Some(metrics) = part.get("metrics").and_then(Value::as_object) else {
            return wrong("`metrics` is missing or no object".to_string());
        };
        let (repetitions, whole) = of_request(metrics, declared)?;
        if repetitions.is_empty() {
            return wrong("it tells no metric of a request".to_string());
        }
        *request = repetitions;
        figures.whole.extend(whole);
    }
    if value.get("requests").is_some()
        && let Some(metrics) = value.get("metrics").and_then(Value::as_object)
    {
        figures.whole.extend(whole_only(metrics, declared)?);
    }
    Ok(Given::Figures(figures))
}

/// The failure that it tells, if it tells one.
fn failure(value: &Value) -> Result<Option<Ending>, Ending> {
    let text = |name: &str| value.get(name).and_then(Value::as_str);
    let name = match (value.get("outcome"), text("outcome")) {
        (None, _) => match value.get("error") {
            None => return Ok(None),
            Some(error) => {
                let cause = error.as_str().map_or_else(|| error.to_string(), str::to_string);
                return Ok(Some(Ending::new(Outcome::Crashed, cause)));
            }
        },
        (Some(_), Some(name)) => name,
        (Some(other), None) => return wrong(format!("`outcome` is {other} and not a word")),
    };
    let cause = text("cause").unwrap_or("the program told no cause");
    match Outcome::find(name) {
        Some(Outcome::Measured) => Ok(None),
        Some(outcome @ (Outcome::Rejected | Outcome::OutOfMemory | Outcome::Crashed | Outcome::TimedOut)) => {
            Ok(Some(Ending::new(outcome, cause)))
        }
        _ => wrong(format!(
            "there is no outcome `{name}` to be told: take measured, rejected, out_of_memory, crashed or timed_out"
        )),
    }
}

/// The repetitions of one request, and what is of the whole trial.
fn of_request(
    metrics: &Map<String, Value>,
    declared: &[DeclaredMetric],
) -> Result<(Vec<Vec<Sample>>, Vec<Sample>), Ending> {
    let (mut repetitions, mut whole) = (Vec::<Vec<Sample>>::new(), Vec::new());
    for (name, value) in metrics {
        known(name, declared)?;
        if WHOLE.contains(&name.as_str()) {
            whole.push(Sample::one(name, number(name, value)?));
            continue;
        }
        for (index, values) in series(name, value)?.into_iter().enumerate() {
            if repetitions.len() <= index {
                repetitions.push(Vec::new());
            }
            repetitions[index].push(Sample { metric: name.clone(), values });
        }
    }
    Ok((repetitions, whole))
}

fn whole_only(metrics: &Map<String, Value>, declared: &[DeclaredMetric]) -> Result<Vec<Sample>, Ending> {
    let of_trial = |(name, value): (&String, &Value)| {
        known(name, declared)?;
        match WHOLE.contains(&name.as_str()) {
            true => Ok(Sample::one(name, number(name, value)?)),
            false => wrong(format!("`{name}` is of a request: tell it in `requests`")),
        }
    };
    metrics.iter().map(of_trial).collect()
}

fn known(name: &str, declared: &[DeclaredMetric]) -> Result<(), Ending> {
    if metric::find(name).is_some() || declared.iter().any(|metric| metric.name == name) {
        return Ok(());
    }
    wrong(format!(
        "it tells `{name}`, which is no metric (`gguflab list metrics`): declare it in a space file"
    ))
}

/// The values of each repetition: a number is one repetition, a list of numbers is one value of each, and a list of
/// lists is several of each.
fn series(name: &str, value: &Value) -> Result<Vec<Vec<f64>>, Ending> {
    let several = |value: &Value| match value {
        Value::Array(values) if !values.is_empty() => {
            values.iter().map(|value| number(name, value)).collect()
        }
        Value::Array(_) => wrong(format!("`{name}` has an empty list")),
        value => Ok(vec![number(name, value)?]),
    };
    match value {
        Value::Array(values) if !values.is_empty() => values.iter().map(several).collect(),
        value => Ok(vec![several(value)?]),
    }
}

fn number(name: &str, value: &Value) -> Result<f64, Ending> {
    match value.as_f64().filter(|number| number.is_finite()) {
        Some(number) => Ok(number),
        None => wrong(format!("`{name}` is {value} and not a number")),
    }
}

fn wrong<T>(problem: String) -> Result<T, Ending> {
    Err(Ending::new(Outcome::Crashed, format!("the program's answer cannot be used: {problem}")))
}

#[cfg(test)]
mod tests {
    use super::*;
    use gguflab_types::{Direction, Request, Unit};
    use serde_json::json;

    fn workload(requests: usize) -> Workload {
        Workload { name: "w".into(), requests: vec![Request::new(8, 4); requests] }
    }

    fn declared() -> Vec<DeclaredMetric> {
        let (unit, direction) = (Unit::None, Direction::Higher);
        vec![DeclaredMetric { name: "score".into(), unit, direction, help: String::new() }]
    }

    fn figures(value: &Value, requests: usize) -> Figures {
        match read(value, &workload(requests), &declared()) {
            Ok(Given::Figures(figures)) => figures,
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn numbers_and_lists_become_repetitions() {
        let one = figures(&json!({"metrics": {"decode": 40.5, "peak-memory": 1e9}}), 1);
        assert_eq!(one.requests, [[[Sample::one("decode", 40.5)]]]);
        assert_eq!(one.whole, [Sample::one("peak-memory", 1e9)]);
        let several = figures(
            &json!({"outcome": "measured", "metrics": {"score": [1, 2], "inter-token": [[0.1, 0.2], [0.3]]}}),
            1,
        );
        let gaps = |values: &[f64]| Sample { metric: "inter-token".into(), values: values.to_vec() };
        assert_eq!(
            several.requests,
            [[
                vec![gaps(&[0.1, 0.2]), Sample::one("score", 1.0)],
                vec![gaps(&[0.3]), Sample::one("score", 2.0)]
            ]]
        );
        let mix = figures(
            &json!({"requests": [{"metrics": {"decode": 1}}, {"metrics": {"decode": 2}}], "metrics": {"load": 3}}),
            2,
        );
        assert_eq!((mix.requests.len(), mix.whole), (2, vec![Sample::one("load", 3.0)]));
    }

    #[test]
    fn failures_keep_their_outcome_and_cause() {
        for (value, outcome, cause) in [
            (json!({"outcome": "out_of_memory", "cause": "no room"}), Outcome::OutOfMemory, "no room"),
            (json!({"outcome": "rejected"}), Outcome::Rejected, "no cause"),
            (json!({"error": "KeyError: 'x'"}), Outcome::Crashed, "KeyError"),
        ] {
            assert_eq!(
                read(&value, &workload(1), &[]).map(|given| match given {
                    Given::Ending(ending) => (ending.outcome, ending.cause.contains(cause)),
                    Given::Figures(figures) => panic!("{figures:?}"),
                }),
                Ok((outcome, true)),
                "{value}"
            );
        }
    }

    #[test]
    fn what_cannot_be_used_is_never_a_number() {
        for (value, requests, reason) in [
            (json!({"metrics": {"decode": "fast"}}), 1, "`decode` is \"fast\" and not a number"),
            (json!({"metrics": {"decode": null}}), 1, "not a number"),
            (json!({"metrics": {"decode": []}}), 1, "an empty list"),
            (json!({"metrics": {"decode": [[]]}}), 1, "an empty list"),
            (json!({"metrics": {"speed": 1}}), 1, "declare it in a space file"),
            (json!({"metrics": {}}), 1, "no metric of a request"),
            (json!({"metrics": {"load": 1}}), 1, "no metric of a request"),
            (json!({"metrics": 5}), 1, "no object"),
            (json!({"metrics": {"decode": 1}}), 2, "the workload has 2 requests"),
            (json!({"requests": [{"metrics": {"decode": 1}}]}), 2, "tells 1 requests"),
            (json!({"requests": 5}), 2, "no list"),
            (
                json!({"requests": [{"metrics": {"decode": 1}}], "metrics": {"decode": 3}}),
                1,
                "is of a request",
            ),
            (json!({"outcome": "cancelled"}), 1, "no outcome `cancelled`"),
            (json!({"outcome": 7}), 1, "not a word"),
        ] {
            let ending = read(&value, &workload(requests), &declared()).unwrap_err();
            assert!(
                ending.outcome == Outcome::Crashed && ending.cause.contains(reason),
                "{value}: {ending:?}"
            );
        }
    }
}
