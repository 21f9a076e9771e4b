//! What llama-bench-tuner wrote, as a survey.

use super::TableError;
use super::csv::{Record, records};
use crate::survey::{Measure, Run, Survey, Turned};
use gguflab_types::{Configuration, Direction, Outcome, Purpose, Unit, Value, metric};
use std::collections::BTreeSet;
use std::path::Path;

/// What a file holds.
#[derive(Debug, Clone, PartialEq)]
pub struct Imported {
    /// Its runs.
    pub survey: Survey,
    /// What kind of file it is, in words.
    pub kind: &'static str,
    /// Remarks that the reader should know of.
    pub remarks: Vec<String>,
    /// Names of its columns.
    pub columns: Vec<String>,
    /// Its rows as they are written, in the order of the survey's runs.
    pub rows: Vec<Vec<String>>,
    /// What `optuna_best.json` beside it says.
    pub best: Option<String>,
}

/// How a column is called in our words.
struct Shape {
    kind: &'static str,
    decode: &'static str,
    batch: &'static str,
    purpose: Purpose,
}

const GRID: Shape =
    Shape { kind: "summary of a grid", decode: "decode_tps", batch: "b", purpose: Purpose::Grid };
const OPTUNA: Shape =
    Shape { kind: "trials of Optuna", decode: "value", batch: "batch", purpose: Purpose::Search };

/// The configuration that llama-bench-tuner's pictures mark as the default.
const BASELINE: (i64, i64, bool) = (16, 8, false);
/// Longest file that is read.
const LONGEST: u64 = 256 << 20;

/// Reads `summary_*.csv`, or `optuna_trials.csv` with the `optuna_best.json` beside it, if there is one.
///
/// # Errors
/// [`TableError`] names file, line and column.
pub fn read(path: &Path) -> Result<Imported, TableError> {
    let text = text_of(path)?;
    let file = path.display().to_string();
    let mut imported = parse(&text).map_err(|(line, column, problem)| TableError::Content {
        file,
        line,
        column,
        problem,
    })?;
    let best = path.with_file_name("optuna_best.json");
    if imported.kind == OPTUNA.kind && best.is_file() {
        let text = text_of(&best)?;
        let file = best.display().to_string();
        let remark = compare_best(&imported.survey, &text)
            .map_err(|(line, column, problem)| TableError::Content { file, line, column, problem })?;
        imported.remarks.extend(remark);
        imported.best = Some(text);
    }
    Ok(imported)
}

fn text_of(path: &Path) -> Result<String, TableError> {
    let failed = |source| TableError::Read { file: path.display().to_string(), source };
    let length = std::fs::metadata(path).map_err(failed)?.len();
    if length > LONGEST {
        let problem = format!("{length} bytes: at most {LONGEST} are read");
        return Err(TableError::Content { file: path.display().to_string(), line: 1, column: 1, problem });
    }
    let bytes = std::fs::read(path).map_err(failed)?;
    String::from_utf8(bytes).map_err(|error| {
        let sound = &error.as_bytes()[..error.utf8_error().valid_up_to()];
        let line = 1 + sound.iter().filter(|byte| **byte == b'\n').count();
        let problem = "bytes that are not UTF-8".to_string();
        TableError::Content { file: path.display().to_string(), line, column: 1, problem }
    })
}

type Place = (usize, usize, String);

fn parse(text: &str) -> Result<Imported, Place> {
    let records = records(text)?;
    let Some((head, rows)) = records.split_first() else {
        return Err((1, 1, "the file is empty".to_string()));
    };
    let columns = Columns::find(head)?;
    let mut runs = Vec::new();
    for (index, row) in rows.iter().enumerate() {
        runs.push(columns.run(row, index)?);
    }
    if runs.is_empty() {
        return Err((head.line + 1, 1, "there is no row under the header".to_string()));
    }
    let survey = survey(runs);
    let shape = columns.shape;
    Ok(Imported {
        survey,
        kind: shape.kind,
        remarks: Vec::new(),
        columns: head.fields.iter().map(|name| name.trim().to_string()).collect(),
        rows: rows.iter().map(|row| row.fields.clone()).collect(),
        best: None,
    })
}

/// Where the columns stand.
struct Columns {
    shape: &'static Shape,
    count: usize,
    number: Option<usize>,
    layers: usize,
    batch: usize,
    ubatch: Option<usize>,
    attention: Option<usize>,
    decode: usize,
    prefill: Option<usize>,
    ok: Option<usize>,
    state: Option<usize>,
}

impl Columns {
    fn find(head: &Record) -> Result<Columns, Place> {
        let at = |name: &str| head.fields.iter().position(|field| field.trim() == name);
        let shape = if at(OPTUNA.decode).is_some() { &OPTUNA } else { &GRID };
        let needed = |name: &str| {
            let problem = format!(
                "no column `{name}`: a summary has ngl, b, fa and decode_tps, trials of Optuna have number, value, ngl, \
                 batch and fa"
            );
            at(name).ok_or((head.line, 1, problem))
        };
        Ok(Columns {
            shape,
            count: head.fields.len(),
            number: at("number"),
            layers: needed("ngl")?,
            batch: needed(shape.batch)?,
            ubatch: at("ub"),
            attention: at("fa"),
            decode: needed(shape.decode)?,
            prefill: at("prefill_tps"),
            ok: at("ok"),
            state: at("state"),
        })
    }

    fn run(&self, row: &Record, index: usize) -> Result<Run, Place> {
        if row.fields.len() != self.count {
            let problem = format!("{} fields, and the header has {}", row.fields.len(), self.count);
            return Err((row.line, row.fields.len().min(self.count) + 1, problem));
        }
        let layers = match whole(row, self.layers)? {
            Value::Integer(-1) => Value::Auto,
            number => number,
        };
        let mut configuration =
            Configuration::new().with("gpu-layers", layers).with("batch", whole(row, self.batch)?);
        if let Some(column) = self.ubatch {
            configuration = configuration.with("ubatch", whole(row, column)?);
        }
        if let Some(column) = self.attention {
            configuration = configuration.with("flash-attention", switch(row, column)?);
        }
        let number = match self.number.map(|column| whole(row, column)).transpose()? {
            Some(Value::Integer(number)) => u32::try_from(number).unwrap_or(index as u32),
            _ => index as u32,
        };
        let value = self.value(row)?;
        let outcome = if value.is_some() { Outcome::Measured } else { Outcome::Crashed };
        let cause = if value.is_some() { "" } else { "no decode rate; the file does not say why" };
        Ok(Run {
            number,
            configuration,
            levels: Vec::new(),
            purpose: self.shape.purpose,
            outcome: Some(outcome),
            cause: cause.to_string(),
            value,
            also: vec![self.prefill.map(|column| rate(row, column)).transpose()?.flatten()],
        })
    }

    /// A rate above 0 of a run that is not said to have failed: llama-bench-tuner wrote 0 for failures.
    fn value(&self, row: &Record) -> Result<Option<f64>, Place> {
        let said = |column: Option<usize>| column.map(|column| row.fields[column].trim().to_lowercase());
        let failed = said(self.ok).is_some_and(|ok| matches!(ok.as_str(), "0" | "false"))
            || said(self.state).is_some_and(|state| state != "complete" && !state.is_empty());
        Ok(rate(row, self.decode)?.filter(|_| !failed))
    }
}

/// A rate above 0; none for an empty field and for 0.
fn rate(row: &Record, column: usize) -> Result<Option<f64>, Place> {
    let text = row.fields[column].trim();
    if text.is_empty() || text.eq_ignore_ascii_case("nan") {
        return Ok(None);
    }
    let rate = text.parse::<f64>().ok().filter(|rate| rate.is_finite() && *rate >= 0.0);
    let rate = rate.ok_or_else(|| problem(row, column, "a rate in tokens per second"))?;
    Ok(Some(rate).filter(|rate| *rate > 0.0))
}

fn problem(row: &Record, column: usize, wanted: &str) -> Place {
    (row.line, column + 1, format!("`{}` is not {wanted}", row.fields[column].escape_debug()))
}

/// A whole number, which pandas may have written with a decimal point; empty for what was not set.
fn whole(row: &Record, column: usize) -> Result<Value, Place> {
    let text = row.fields[column].trim();
    if text.is_empty() {
        return Ok(Value::Auto);
    }
    let number = text.parse::<f64>().ok().filter(|number| number.fract() == 0.0 && number.abs() < 1e15);
    number.map(|number| Value::Integer(number as i64)).ok_or_else(|| problem(row, column, "a whole number"))
}

fn switch(row: &Record, column: usize) -> Result<Value, Place> {
    match row.fields[column].trim() {
        "" => Ok(Value::Auto),
        "0" | "0.0" | "off" | "False" | "false" => Ok(Value::Text("off".to_string())),
        "1" | "1.0" | "on" | "True" | "true" => Ok(Value::Text("on".to_string())),
        _ => Err(problem(row, column, "0 or 1")),
    }
}

/// The knobs are those of the table, with the values that occur.
fn survey(mut runs: Vec<Run>) -> Survey {
    let names = ["gpu-layers", "batch", "ubatch", "flash-attention"];
    let mut knobs: Vec<Turned> = names.iter().map(|name| turned(name, &runs)).collect();
    knobs.retain(|knob| knob.values.len() > 1 || knob.name != "ubatch");
    for run in &mut runs {
        let level = |knob: &Turned| {
            let value = run.configuration.get(&knob.name);
            knob.values.iter().position(|known| known == value).unwrap_or(0)
        };
        run.levels = knobs.iter().map(level).collect();
    }
    let (layers, batch, attention) = BASELINE;
    let is_baseline = |run: &&Run| {
        run.configuration.integer("gpu-layers") == Some(layers)
            && run.configuration.integer("batch") == Some(batch)
            && run.configuration.is_word("flash-attention", &[if attention { "on" } else { "off" }])
    };
    let baseline = runs.iter().find(is_baseline).map(|run| run.configuration.clone());
    let measure = |name: &str| Measure {
        name: name.to_string(),
        unit: Unit::TokensPerSecond,
        direction: Direction::Higher,
    };
    Survey { measure: measure(metric::DECODE), also: vec![measure(metric::PREFILL)], knobs, runs, baseline }
}

fn turned(name: &str, runs: &[Run]) -> Turned {
    let values = || runs.iter().map(|run| run.configuration.get(name));
    let numbers: BTreeSet<i64> = values().filter_map(Value::as_integer).collect();
    let mut all: Vec<Value> = numbers.into_iter().map(Value::Integer).collect();
    let words: BTreeSet<String> =
        values().filter(|value| value.as_integer().is_none()).map(Value::to_string).collect();
    all.extend(words.into_iter().map(|word| if word == "auto" { Value::Auto } else { Value::Text(word) }));
    Turned { name: name.to_string(), values: all, ordered: name != "flash-attention" }
}

/// Whether the best that was noted down is the best of the trials.
fn compare_best(survey: &Survey, text: &str) -> Result<Option<String>, Place> {
    let best: serde_json::Value =
        serde_json::from_str(text).map_err(|error| (error.line(), error.column(), error.to_string()))?;
    let Some(noted) = best.get("value").and_then(serde_json::Value::as_f64) else {
        return Err((1, 1, "no number `value`".to_string()));
    };
    let most = survey.runs.iter().filter_map(|run| run.value).fold(0.0, f64::max);
    let close = (noted - most).abs() <= 1e-6 * most.abs().max(1.0);
    Ok((!close).then(|| {
        format!("optuna_best.json notes a best of {noted} tok/s, and the best of the trials has {most} tok/s")
    }))
}

#[cfg(test)]
mod tests {
    use super::*;

    const SUMMARY: &str = "ok,ngl,b,ub,fa,decode_tps,prefill_tps,csv,stderr,start,end,elapsed_sec\r\n\
        True,16,8,4,0,9.49,28.5,raw/a.csv,,2025-09-01T10:00:00+00:00,2025-09-01T10:01:00+00:00,60.125\r\n\
        False,28,8,4,1,0.0,0.0,raw/b.csv,b.stderr.txt,,,1.5\r\n\
        True,14,12,6,1,10.4,28.9,raw/c.csv,,,,58\r\n";

    #[test]
    fn a_summary_and_its_shorter_relatives() {
        let imported = parse(SUMMARY).unwrap();
        let values: Vec<Option<f64>> = imported.survey.runs.iter().map(|run| run.value).collect();
        assert_eq!(values, [Some(9.49), None, Some(10.4)]);
        let shown: Vec<String> =
            imported.survey.runs.iter().map(|run| run.configuration.to_string()).collect();
        assert_eq!(shown[2], "batch=12 flash-attention=on gpu-layers=14 ubatch=6");
        assert_eq!(imported.survey.baseline.unwrap().integer("gpu-layers"), Some(16));
        let short = parse("ngl,b,fa,decode_tps,ok\n12,8,0,6.66,1\n28,8,1,0.0,0\n12,16,1,4.95,1\n").unwrap();
        assert_eq!(short.survey.runs.iter().filter(|run| run.value.is_some()).count(), 2);
        assert_eq!((short.survey.baseline, short.kind), (None, GRID.kind));
    }

    #[test]
    fn trials_of_optuna() {
        let text = "number,value,state,ngl,batch,fa,prefill_tps,csv,stderr\n\
                    0,8.22,COMPLETE,20,6,1,27.1,raw/x.csv,\n3,0.0,COMPLETE,32,14,1,,,e.txt\n4,9.0,FAIL,14.0,10.0,0.0,,,\n";
        let imported = parse(text).unwrap();
        let runs = &imported.survey.runs;
        assert_eq!(
            runs.iter().map(|run| (run.number, run.value)).collect::<Vec<_>>(),
            [(0, Some(8.22)), (3, None), (4, None)]
        );
        assert_eq!(runs[2].configuration.integer("batch"), Some(10));
        assert_eq!(compare_best(&imported.survey, "{\"value\": 8.22}").unwrap(), None);
        assert!(compare_best(&imported.survey, "{\"value\": 9}").unwrap().is_some());
        assert_eq!(compare_best(&imported.survey, "{\n\"value\": }").unwrap_err().0, 2);
    }

    #[test]
    fn bad_files_are_told_by_line_and_column() {
        for (text, line, column, words) in [
            ("", 1, 1, "empty"),
            ("ngl,b\n1,2\n", 1, 1, "no column `decode_tps`"),
            ("number,value\n1,2\n", 1, 1, "no column `ngl`"),
            ("ngl,b,fa,decode_tps\n", 2, 1, "no row"),
            ("ngl,b,fa,decode_tps\n1,2,0,3\n1,2,0\n", 3, 4, "3 fields"),
            ("ngl,b,fa,decode_tps\n\n1,x,0,3\n", 3, 2, "`x` is not a whole number"),
            ("ngl,b,fa,decode_tps\n1,2,0,fast\n", 2, 4, "`fast` is not a rate"),
            ("ngl,b,fa,decode_tps\n1,2,7,3\n", 2, 3, "0 or 1"),
            ("ngl,b,fa,decode_tps\n1.5,2,0,3\n", 2, 1, "`1.5` is not a whole number"),
            ("ngl,b,fa,decode_tps\n1,2,0,-3\n", 2, 4, "rate"),
            ("ngl,b,fa,decode_tps\n1,2,0,\"3\n", 3, 4, "quote"),
        ] {
            let (at_line, at_column, problem) = parse(text).unwrap_err();
            assert!(
                (at_line, at_column) == (line, column) && problem.contains(words),
                "{text:?}: {at_line}:{at_column} {problem}"
            );
        }
    }
}
