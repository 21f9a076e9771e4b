//! Files that say what is searched: TOML of our own, and the JSON of llama-bench-tuner.
//!
//! ```toml
//! version = 1
//!
//! [knobs]
//! threads = "half,physical"
//! batch = [128, 512, "1024..4096:1024"]
//!
//! [[rule]]
//! forbid = "gpu-layers >= 32 and flash-attention = on and batch >= 8"
//! why = "the driver crashes"
//! when = "wsl"
//!
//! [[knob]]                      # only for an engine that is run by command
//! name = "slots"
//! kind = "integer"
//! least = 1
//! most = 8
//! ```

use gguflab_search::SpaceRequest;
use gguflab_search::space::Items;
use gguflab_types::knob::Forbidden;
use gguflab_types::metric::DeclaredMetric;
use gguflab_types::{Declared, DeclaredKnob, Facts};
use serde::Deserialize;
use std::collections::BTreeMap;
use std::ops::Range;
use toml::Spanned;

/// Version of the TOML format.
pub const VERSION: u32 = 1;

/// The rule of WSL: with many layers on the GPU and batches beyond a handful the driver there is known to fail
/// (llama-bench-tuner's own experience). Layers left to llama.cpp are as many as fit, so they are not meant.
pub const WSL_RULE: (&str, &str) = (
    "gpu-layers >= 32 and (flash-attention = on and batch >= 8 or flash-attention = off and batch >= 12)",
    "not safe in WSL; --allow-wsl-unsafe runs it all the same",
);

/// What a file says.
#[derive(Debug, Clone, Default)]
pub struct SpaceFile {
    /// What is searched.
    pub request: SpaceRequest,
    /// Whether its knobs take the place of those on the command line (JSON), or give way to them (TOML).
    pub overrides: bool,
    /// The knobs that the engine has.
    pub declared: Option<Declared>,
    /// The metrics that the engine tells besides those of the table.
    pub metrics: Vec<DeclaredMetric>,
    rules: Vec<Rule>,
    name: String,
}

#[derive(Debug, Clone)]
struct Rule {
    rule: Forbidden,
    line: usize,
    only_in_wsl: bool,
}

/// A file that cannot be used; says the file, the line and what stands there.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{file}:{line}: {problem}")]
pub struct SpaceFileError {
    /// The file.
    pub file: String,
    /// The line, from 1.
    pub line: usize,
    /// What is wrong, and with which key.
    pub problem: String,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Written {
    version: Spanned<u32>,
    #[serde(default)]
    knobs: BTreeMap<String, Spanned<toml::Value>>,
    #[serde(default)]
    rule: Vec<WrittenRule>,
    #[serde(default)]
    knob: Vec<Spanned<DeclaredKnob>>,
    #[serde(default)]
    metric: Vec<Spanned<DeclaredMetric>>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct WrittenRule {
    forbid: Spanned<String>,
    #[serde(default)]
    why: String,
    when: Option<Spanned<String>>,
}

/// The file of llama-bench-tuner; a list that is missing leaves the command line's.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Tuner {
    ngl: Option<Vec<i64>>,
    batch: Option<Vec<i64>>,
    flash_attn: Option<Vec<i64>>,
}

/// Reads the text of a file: JSON when it begins with a brace, else TOML. `name` is the file's, for errors.
///
/// # Errors
/// [`SpaceFileError`] says where and what.
pub fn read(name: &str, text: &str) -> Result<SpaceFile, SpaceFileError> {
    let source = Source { name, text };
    match text.trim_start().starts_with('{') {
        true => source.json(),
        false => source.toml(),
    }
}

struct Source<'a> {
    name: &'a str,
    text: &'a str,
}

impl Source<'_> {
    fn fault(&self, line: usize, problem: String) -> SpaceFileError {
        SpaceFileError { file: self.name.to_string(), line, problem }
    }

    fn line(&self, span: &Range<usize>) -> usize {
        let before = self.text.as_bytes().get(..span.start).unwrap_or_default();
        before.iter().filter(|byte| **byte == b'\n').count() + 1
    }

    fn json(&self) -> Result<SpaceFile, SpaceFileError> {
        let tuner: Tuner = serde_json::from_str(self.text).map_err(|error| {
            let problem =
                format!("{error}; llama-bench-tuner's keys are ngl, batch and flash_attn, each a list");
            self.fault(error.line().max(1), problem)
        })?;
        let mut request = SpaceRequest::default();
        let texts = |list: Vec<i64>| list.iter().map(ToString::to_string).collect::<Vec<String>>();
        let attention = tuner.flash_attn.map(|list| {
            let words = list.into_iter().map(|one| match one {
                0 => Ok("off".to_string()),
                1 => Ok("on".to_string()),
                other => Err(self.fault(1, format!("flash_attn: {other} is neither 0 nor 1"))),
            });
            words.collect::<Result<Vec<String>, SpaceFileError>>()
        });
        let lists = [
            ("ngl", "gpu-layers", tuner.ngl.map(texts)),
            ("batch", "batch", tuner.batch.map(texts)),
            ("flash_attn", "flash-attention", attention.transpose()?),
        ];
        for (key, knob, list) in lists {
            let Some(list) = list else { continue };
            if list.is_empty() {
                return Err(self.fault(1, format!("{key} is an empty list: give it values, or leave it out")));
            }
            request.only.push(knob.to_string());
            request.items.push((knob.to_string(), Items::List(list)));
        }
        Ok(SpaceFile { request, overrides: true, name: self.name.to_string(), ..SpaceFile::default() })
    }

    fn toml(&self) -> Result<SpaceFile, SpaceFileError> {
        let written: Written = toml::from_str(self.text).map_err(|error| {
            let line = error.span().map_or(1, |span| self.line(&span));
            let there = self.text.lines().nth(line - 1).unwrap_or_default().trim();
            let there: String = there.chars().take(60).collect();
            let place = if there.is_empty() { String::new() } else { format!("`{there}`: ") };
            self.fault(line, format!("{place}{}", error.message().trim()))
        })?;
        if *written.version.get_ref() != VERSION {
            let given = written.version.get_ref();
            let line = self.line(&written.version.span());
            return Err(
                self.fault(line, format!("version = {given}, and this program reads version {VERSION}"))
            );
        }
        let mut request = SpaceRequest::default();
        for (knob, value) in &written.knobs {
            let line = self.line(&value.span());
            let items =
                items(value.get_ref()).map_err(|problem| self.fault(line, format!("{knob}: {problem}")))?;
            request.only.push(knob.clone());
            request.items.push((knob.clone(), items));
        }
        let rules = written.rule.iter().map(|rule| self.rule(rule)).collect::<Result<_, _>>()?;
        let metrics = self.metrics(&written.metric)?;
        let declared = self.declared(&written.knob)?;
        Ok(SpaceFile { request, overrides: false, declared, metrics, rules, name: self.name.to_string() })
    }

    fn rule(&self, written: &WrittenRule) -> Result<Rule, SpaceFileError> {
        let line = self.line(&written.forbid.span());
        let rule = Forbidden::parse(written.forbid.get_ref(), &written.why)
            .map_err(|fault| self.fault(line, format!("forbid: {fault}")))?;
        let only_in_wsl = match written.when.as_ref().map(|when| (when.get_ref().as_str(), when.span())) {
            None => false,
            Some(("wsl", _)) => true,
            Some((other, span)) => {
                let problem = format!("when = \"{other}\": only \"wsl\" is known; leave it out for always");
                return Err(self.fault(self.line(&span), problem));
            }
        };
        Ok(Rule { rule, line, only_in_wsl })
    }

    fn metrics(&self, metrics: &[Spanned<DeclaredMetric>]) -> Result<Vec<DeclaredMetric>, SpaceFileError> {
        let plain: Vec<DeclaredMetric> = metrics.iter().map(|metric| metric.get_ref().clone()).collect();
        for count in 1..=plain.len() {
            if let Err(problem) = DeclaredMetric::check_all(&plain[..count]) {
                return Err(self.fault(self.line(&metrics[count - 1].span()), problem));
            }
        }
        Ok(plain)
    }

    fn declared(&self, knobs: &[Spanned<DeclaredKnob>]) -> Result<Option<Declared>, SpaceFileError> {
        let plain: Vec<DeclaredKnob> = knobs.iter().map(|knob| knob.get_ref().clone()).collect();
        match Declared::try_from(plain) {
            Ok(_) if knobs.is_empty() => Ok(None),
            Ok(declared) => Ok(Some(declared)),
            Err(problem) => {
                let named = |knob: &&Spanned<DeclaredKnob>| {
                    problem.starts_with(&format!("knob `{}`", knob.get_ref().name))
                };
                // Of two with one name the second is the one too many.
                let line = knobs.iter().rfind(named).map_or(1, |knob| self.line(&knob.span()));
                Err(self.fault(line, problem))
            }
        }
    }
}

fn items(value: &toml::Value) -> Result<Items, String> {
    let single = |value: &toml::Value| match value {
        toml::Value::String(text) => Ok(text.clone()),
        toml::Value::Integer(whole) => Ok(whole.to_string()),
        toml::Value::Float(number) if number.is_finite() => Ok(number.to_string()),
        toml::Value::Boolean(on) => Ok(if *on { "on" } else { "off" }.to_string()),
        other => Err(format!("a value is a {}: write a number, a word, true or false", other.type_str())),
    };
    match value {
        toml::Value::String(text) => Ok(Items::Text(text.clone())),
        toml::Value::Array(list) if list.is_empty() => {
            Err("the list is empty: give it values, or leave it out".to_string())
        }
        toml::Value::Array(list) => Ok(Items::List(list.iter().map(single).collect::<Result<_, _>>()?)),
        other => Ok(Items::List(vec![single(other)?])),
    }
}

impl SpaceFile {
    /// The rules that hold here, checked against the knobs that there are.
    ///
    /// # Errors
    /// Where a rule names what is not there.
    pub fn rules(&self, facts: &Facts, in_wsl: bool) -> Result<Vec<Forbidden>, SpaceFileError> {
        let mut held = Vec::new();
        for Rule { rule, line, only_in_wsl } in &self.rules {
            rule.check(facts).map_err(|fault| SpaceFileError {
                file: self.name.clone(),
                line: *line,
                problem: format!("forbid: {fault}"),
            })?;
            if in_wsl || !only_in_wsl {
                held.push(rule.clone());
            }
        }
        Ok(held)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const FILE: &str = r#"
version = 1

[knobs]
threads = "1..4"
batch = [128, "512..1024:512", "auto"]
repack = true

[[rule]]
forbid = "threads > 2 and batch >= 512"
why = "hot"

[[rule]]
forbid = "batch = 128"
when = "wsl"
"#;

    #[test]
    fn a_space_of_toml() {
        let file = read("space.toml", FILE).unwrap();
        assert_eq!(file.request.only, ["batch", "repack", "threads"]);
        let list = |items: &[&str]| Items::List(items.iter().map(ToString::to_string).collect());
        assert_eq!(
            file.request.items,
            [
                ("batch".to_string(), list(&["128", "512..1024:512", "auto"])),
                ("repack".to_string(), list(&["on"])),
                ("threads".to_string(), Items::Text("1..4".into())),
            ]
        );
        assert!(!file.overrides && file.declared.is_none());
        let facts = Facts::default();
        let texts = |in_wsl| {
            let rules = file.rules(&facts, in_wsl).unwrap();
            rules.iter().map(|rule| rule.text().to_string()).collect::<Vec<_>>()
        };
        assert_eq!(texts(false), ["threads > 2 and batch >= 512"]);
        assert_eq!(texts(true).len(), 2);
    }

    #[test]
    fn a_space_of_the_predecessor() {
        let file = read("s.json", r#" {"ngl": [12, 14], "flash_attn": [0, 1]}"#).unwrap();
        assert!(file.overrides);
        assert_eq!(file.request.only, ["gpu-layers", "flash-attention"]);
        let words = Items::List(vec!["off".into(), "on".into()]);
        assert_eq!(file.request.items[1], ("flash-attention".to_string(), words));
    }

    #[test]
    fn an_engines_own_knobs() {
        let text = "version = 1\n[[knob]]\nname = \"slots\"\nkind = \"integer\"\nleast = 1\nmost = 4\n\
                    [[knob]]\nname = \"fast\"\nkind = \"switch\"\ndefault = \"on\"\n[[metric]]\nname = \"wins\"\n\
                    direction = \"higher\"\n";
        let file = read("space.toml", text).unwrap();
        assert_eq!(file.declared.unwrap().iter().count(), 2);
        assert_eq!(file.metrics.iter().map(|metric| metric.name.as_str()).collect::<Vec<_>>(), ["wins"]);
    }

    #[test]
    fn faults_name_file_line_and_key() {
        for (text, place, problem) in [
            ("", "f:1", "missing field `version`"),
            ("version = 2", "f:1", "this program reads version 1"),
            ("version = 1\nspeed = 3", "f:2", "unknown field `speed`"),
            ("version = 1\n[knobs]\nthreads = []", "f:3", "threads: the list is empty"),
            ("version = 1\n[knobs]\nthreads = {a = 1}", "f:3", "threads: a value is a table"),
            ("version = 1\n[knobs]\nthreads = [1, [2]]", "f:3", "threads: a value is a array"),
            ("version = 1\n[knobs]\nthreads = 1\nthreads = 2", "f:4", "duplicate key"),
            ("version = 1\n[[rule]]\nwhy = \"x\"", "f:2", "missing field `forbid`"),
            ("version = 1\n[[rule]]\nforbid = \"threads >\"", "f:3", "forbid: column 10: a value is missing"),
            (
                "version = 1\n[[rule]]\nforbid = \"threads > 1\"\nwhen = \"mac\"",
                "f:4",
                "only \"wsl\" is known",
            ),
            ("version = 1\n[[knob]]\nname = \"a\"\nkind = \"colour\"", "f:4", "unknown variant `colour`"),
            ("version = 1\n\n[[knob]]\nname = \"a\"\nkind = \"word\"", "f:3", "knob `a` has no words"),
            (
                "version = 1\n[[knob]]\nname = \"a\"\nkind = \"integer\"\nleast = \"x\"",
                "f:5",
                "`least = \"x\"`",
            ),
            (
                "version = 1\n[[metric]]\nname = \"decode\"\ndirection = \"higher\"",
                "f:2",
                "metric `decode` is known already",
            ),
            ("version = 1\n[knobs\n", "f:2", "`[knobs`"),
            ("{\"ngl\": [1],\n \"speed\": [2]}", "f:2", "unknown field `speed`"),
            ("{\"ngl\": []}", "f:1", "ngl is an empty list"),
            ("{\"ngl\": 3}", "f:1", "expected a sequence"),
            ("{\"flash_attn\": [2]}", "f:1", "neither 0 nor 1"),
        ] {
            let refused = read("f", text).unwrap_err().to_string();
            assert!(
                refused.starts_with(&format!("{place}: ")) && refused.contains(problem),
                "{text}: {refused}"
            );
        }
        let file = read("f", "version = 1\n[[rule]]\nforbid = \"treads > 1\"").unwrap();
        let refused = file.rules(&Facts::default(), false).unwrap_err().to_string();
        assert_eq!(refused, "f:3: forbid: column 1: unknown knob `treads`: did you mean `threads`?");
    }

    #[test]
    fn the_rule_of_wsl_is_the_predecessors() {
        let facts = Facts { gpus: 1, layers: 40, ..Facts::default() };
        let rule = Forbidden::parse(WSL_RULE.0, WSL_RULE.1).unwrap();
        assert_eq!(rule.check(&facts), Ok(()));
        let unsafe_there = |layers: i64, attention: &str, batch: i64| {
            let made = gguflab_types::Configuration::new()
                .with("gpu-layers", gguflab_types::Value::Integer(layers))
                .with("flash-attention", gguflab_types::Value::Text(attention.into()))
                .with("batch", gguflab_types::Value::Integer(batch));
            rule.forbids(&made, &facts)
        };
        for layers in [31, 32, 33] {
            for batch in [6, 7, 8, 11, 12, 16] {
                assert_eq!(unsafe_there(layers, "on", batch), layers >= 32 && batch >= 8);
                assert_eq!(unsafe_there(layers, "off", batch), layers >= 32 && batch >= 12);
            }
        }
    }
}
