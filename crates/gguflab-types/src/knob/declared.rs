//! Knobs that are known only at run time: those that an engine declares, and environment variables.

use super::{Condition, Domain, ENVIRONMENT, Facts, Flag, KNOBS, Knob, Memory, Scope, find};
use crate::configuration::Configuration;
use crate::value::Value;
use serde::{Deserialize, Serialize};
use std::collections::BTreeSet;
use std::sync::Arc;

/// A range of so many whole numbers is tried in full unless the values to try are listed.
const SMALL_RANGE: i64 = 16;
/// So many evenly spaced numbers of a longer range are tried.
const SPREAD: i64 = 9;
/// Numbers of a range with a step, at most.
const MOST_STEPS: f64 = 100_000.0;

/// What kind of values a declared knob takes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Kind {
    /// Whole numbers.
    Integer,
    /// Real numbers.
    Number,
    /// On and off.
    Switch,
    /// One of the words in `values`.
    Word,
    /// Any text.
    Text,
}

/// A knob as a space file or an engine declares it.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct DeclaredKnob {
    /// Its name: lower-case letters, digits, `-`, `_` and `.`.
    pub name: String,
    /// What it takes; none: the knob of this name in [`KNOBS`], as it stands there.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub kind: Option<Kind>,
    /// The least number.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub least: Option<f64>,
    /// The greatest number.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub most: Option<f64>,
    /// The distance of the numbers that are tried from `least` to `most`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub step: Option<f64>,
    /// The words; for other kinds the values that a search tries unless told otherwise.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub values: Vec<Value>,
    /// What the engine takes when it is not set; none: that cannot be told from outside.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub default: Option<Value>,
    /// Whether the order of the values means anything; none: it does for numbers.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ordered: Option<bool>,
    /// How the need for memory changes with it; none: nobody knows.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub memory: Option<Memory>,
    /// `OTHER=VALUE,VALUE`: it means something only when another knob has one of these values.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub only_if: Option<String>,
    /// Whether other values than the default change what the model says.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub lossy: bool,
    /// One line of help.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub help: String,
}

/// The knobs of an engine that has its own: checked, in the order of declaration. Clones are cheap.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(try_from = "Vec<DeclaredKnob>", into = "Vec<DeclaredKnob>")]
pub struct Declared(Arc<[DeclaredKnob]>);

impl TryFrom<Vec<DeclaredKnob>> for Declared {
    type Error = String;

    /// Checks them all.
    ///
    /// # Errors
    /// A fragment that names the knob and says what is wrong with it.
    fn try_from(mut knobs: Vec<DeclaredKnob>) -> Result<Declared, String> {
        let mut names = BTreeSet::new();
        for knob in &mut knobs {
            knob.check().map_err(|problem| format!("knob `{}` {problem}", knob.name))?;
            if !names.insert(knob.name.clone()) {
                return Err(format!("knob `{}` is declared twice", knob.name));
            }
        }
        let declared = Declared(knobs.into());
        match declared.0.iter().find_map(|knob| declared.wrong_condition(knob)) {
            Some(problem) => Err(problem),
            None => Ok(declared),
        }
    }
}

impl From<Declared> for Vec<DeclaredKnob> {
    fn from(declared: Declared) -> Vec<DeclaredKnob> {
        declared.0.to_vec()
    }
}

impl Declared {
    /// The knobs, in the order of declaration.
    pub fn iter(&self) -> impl Iterator<Item = &DeclaredKnob> {
        self.0.iter()
    }

    fn find(&self, name: &str) -> Option<&DeclaredKnob> {
        self.0.iter().find(|knob| knob.name == name)
    }

    fn wrong_condition(&self, knob: &DeclaredKnob) -> Option<String> {
        let condition = knob.only_if.as_deref()?;
        let wrong =
            |problem: String| Some(format!("knob `{}`: only-if = \"{condition}\": {problem}", knob.name));
        let Some((name, values)) = condition.split_once('=') else {
            return wrong("write OTHER=VALUE or OTHER=VALUE,VALUE".to_string());
        };
        let Some(other) = self.find(name.trim()).filter(|other| other.name != knob.name) else {
            return wrong(format!("`{}` is no other knob that is declared", name.trim()));
        };
        let other = other.view()?;
        values.split(',').find_map(|value| other.check(&Value::parse(value)).err()).and_then(wrong)
    }
}

impl DeclaredKnob {
    /// Checks it and puts its values into their canonical form.
    fn check(&mut self) -> Result<(), String> {
        let plain = |sign: char| sign.is_ascii_lowercase() || sign.is_ascii_digit() || "-_.".contains(sign);
        if self.name.is_empty() || !self.name.chars().all(plain) {
            return Err("has no good name: take lower-case letters, digits, `-`, `_` and `.`".to_string());
        }
        if self.kind.is_none() {
            return match (find(&self.name), *self == DeclaredKnob::of_table(&self.name)) {
                (None, _) => Err("needs a kind: integer, number, switch, word or text".to_string()),
                (Some(_), false) => {
                    Err("without a kind is the knob of the table: its name is all there is to say"
                        .to_string())
                }
                (Some(_), true) => Ok(()),
            };
        }
        self.check_range()?;
        self.read_words();
        let Some(view) = self.view() else { return Ok(()) };
        let mut values = Vec::new();
        for value in &self.values {
            values.push(match (view.domain, value) {
                // They are the domain: only that they are words has to be seen to.
                (Domain::Choice(_), value) => Value::Text(value.to_string()),
                _ => view.check(value).map_err(|problem| format!("has wrong values: {problem}"))?,
            });
        }
        let distinct: BTreeSet<String> = values.iter().map(Value::to_string).collect();
        if distinct.len() != values.len() {
            return Err("has a value twice".to_string());
        }
        let default = self.default.as_ref().map(|default| view.check(default)).transpose();
        let default = default.map_err(|problem| format!("has a wrong default: {problem}"))?;
        if matches!(view.domain, Domain::Choice(_)) && values.contains(&Value::Text("auto".into())) {
            return Err("has the word `auto`, which means that the knob is not set".to_string());
        }
        (self.values, self.default) = (values, default);
        Ok(())
    }

    /// Numbers and switches may be written in quotes, as on the command line.
    fn read_words(&mut self) {
        if matches!(self.kind, Some(Kind::Word | Kind::Text)) {
            return;
        }
        for value in self.values.iter_mut().chain(&mut self.default) {
            if let Value::Text(text) = value {
                *value = Value::parse(text);
            }
        }
    }

    fn check_range(&self) -> Result<(), String> {
        let numeric = matches!(self.kind, Some(Kind::Integer | Kind::Number));
        let bounds = [self.least, self.most, self.step];
        if !numeric && bounds.iter().any(Option::is_some) {
            return Err("takes no numbers: least, most and step say nothing".to_string());
        }
        if bounds.iter().flatten().any(|bound| !bound.is_finite() || bound.abs() > 9e15) {
            return Err("has a least, most or step that is no usable number".to_string());
        }
        let fraction = |bound: &f64| bound.fract() != 0.0;
        if self.kind == Some(Kind::Integer) && bounds.iter().flatten().any(fraction) {
            return Err("takes whole numbers: least, most and step have to be whole".to_string());
        }
        let (least, most) = (self.least.unwrap_or(f64::NEG_INFINITY), self.most.unwrap_or(f64::INFINITY));
        if least > most {
            return Err(format!("has a range that runs down from {least} to {most}"));
        }
        match self.step {
            Some(step) if step <= 0.0 => Err(format!("has the step {step}: it must be above 0")),
            Some(_) if !(most - least).is_finite() => {
                Err("has a step but not both least and most".to_string())
            }
            Some(step) if (most - least) / step > MOST_STEPS => {
                Err(format!("has a range of more than {MOST_STEPS} steps"))
            }
            _ if self.kind == Some(Kind::Word) && self.values.is_empty() => {
                Err("has no words: list them in values".to_string())
            }
            _ => Ok(()),
        }
    }

    /// A declaration that takes a knob over from the table.
    #[must_use]
    pub fn of_table(name: &str) -> DeclaredKnob {
        DeclaredKnob { name: name.to_string(), ..DeclaredKnob::default() }
    }

    /// It as every knob is seen; `None` only for a knob of the table that does not exist.
    fn view(&self) -> Option<Knob<'_>> {
        let Some(kind) = self.kind else { return find(&self.name).copied() };
        let whole = |bound: Option<f64>, none: i64| bound.map_or(none, |bound| bound as i64);
        let domain = match kind {
            Kind::Integer => Domain::Integer(whole(self.least, i64::MIN), whole(self.most, i64::MAX)),
            Kind::Number => {
                Domain::Number(self.least.unwrap_or(f64::NEG_INFINITY), self.most.unwrap_or(f64::INFINITY))
            }
            Kind::Switch => Domain::Switch,
            Kind::Word => Domain::Choice(&self.values),
            Kind::Text => Domain::Text("any text"),
        };
        Some(Knob {
            domain,
            lossy: self.lossy,
            memory: self.memory,
            only_if: self.only_if.as_deref(),
            ordered: self.ordered.unwrap_or(matches!(kind, Kind::Integer | Kind::Number)),
            help: &self.help,
            declared: Some(self),
            ..unknown(&self.name)
        })
    }

    pub(super) fn candidates(&self) -> Vec<Value> {
        if !self.values.is_empty() {
            return self.values.clone();
        }
        match (self.kind, self.least, self.most) {
            (Some(Kind::Switch), ..) => vec![Value::Switch(true), Value::Switch(false)],
            (Some(Kind::Integer), Some(least), Some(most)) => {
                whole_numbers(least as i64, most as i64, self.step.map(|step| step as i64))
            }
            (Some(Kind::Number), Some(least), Some(most)) if least < most => {
                let step = self.step.unwrap_or((most - least) / (SPREAD - 1) as f64);
                let count = ((most - least) / step + 1e-9).floor() as i64;
                (0..=count).map(|index| Value::Number(tidy(least + index as f64 * step))).collect()
            }
            _ => Vec::new(),
        }
    }
}

/// Nine digits are enough for a person's step, and hide that 0.1 has no end in binary.
fn tidy(number: f64) -> f64 {
    format!("{number:.9}").parse().unwrap_or(number)
}

fn whole_numbers(least: i64, most: i64, step: Option<i64>) -> Vec<Value> {
    let last = most - least;
    let mut numbers: Vec<i64> = match step {
        Some(step) => (0..=last / step).map(|index| least + index * step).collect(),
        None if last < SMALL_RANGE => (least..=most).collect(),
        None => (0..SPREAD)
            .map(|index| least + (last as f64 * index as f64 / (SPREAD - 1) as f64).round() as i64)
            .collect(),
    };
    numbers.dedup();
    numbers.into_iter().map(Value::Integer).collect()
}

/// What is known of a knob that no table describes.
fn unknown(name: &str) -> Knob<'_> {
    Knob {
        name,
        domain: Domain::Switch,
        scope: Scope::Process,
        condition: Condition::Always,
        only_if: None,
        lossy: false,
        memory: None,
        server_flag: Flag::None,
        bench_flag: Flag::None,
        aliases: &[],
        off_aliases: &[],
        bench_aliases: &[],
        default: |_| Value::Auto,
        candidates: |_| Vec::new(),
        ordered: false,
        help: "",
        declared: None,
    }
}

/// The environment variable that a knob of this name sets; `None` for other knobs.
#[must_use]
pub fn variable(name: &str) -> Option<&str> {
    let variable = name.strip_prefix(ENVIRONMENT)?;
    let letter = |sign: char| sign.is_ascii_alphanumeric() || sign == '_';
    let begins_well = !variable.starts_with(|sign: char| sign.is_ascii_digit());
    (!variable.is_empty() && begins_well && variable.chars().all(letter)).then_some(variable)
}

impl Facts {
    /// The knob of this name: one that the engine declares, or else of the table; `env:NAME` is an environment
    /// variable of the engine's process.
    #[must_use]
    pub fn knob<'a>(&'a self, name: &'a str) -> Option<Knob<'a>> {
        if variable(name).is_some() {
            return Some(Knob {
                domain: Domain::Text("any text"),
                help: "an environment variable of the engine",
                ..unknown(name)
            });
        }
        match &self.declared {
            Some(declared) => declared.find(name)?.view(),
            None => find(name).copied(),
        }
    }

    /// The knob of the table of this name, unless the engine has other knobs or another knob of this name.
    #[must_use]
    pub fn table_knob(&self, name: &str) -> Option<&'static Knob<'static>> {
        match &self.declared {
            Some(declared) => {
                find(name).filter(|_| declared.find(name).is_some_and(|knob| knob.kind.is_none()))
            }
            None => find(name),
        }
    }

    /// Every knob that the engine has, environment variables aside.
    #[must_use]
    pub fn knobs(&self) -> Vec<Knob<'_>> {
        match &self.declared {
            Some(declared) => declared.iter().filter_map(DeclaredKnob::view).collect(),
            None => KNOBS.to_vec(),
        }
    }
}

impl Knob<'_> {
    /// Whether it means anything here: what it needs of the machine, and of other knobs.
    #[must_use]
    pub fn applies(&self, configuration: &Configuration, facts: &Facts) -> bool {
        let other = self.only_if.and_then(|condition| condition.split_once('='));
        self.condition.holds(facts)
            && other.is_none_or(|(name, values)| {
                let meant = configuration.meant(name.trim(), facts).to_string();
                values.split(',').any(|value| Value::parse(value).to_string() == meant)
            })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn declare(json: &str) -> Result<Facts, String> {
        let declared: Declared = serde_json::from_str(json).map_err(|error| error.to_string())?;
        Ok(Facts { declared: Some(declared), ..Facts::default() })
    }

    const ENGINE: &str = r#"[
        {"name": "slots", "kind": "integer", "least": 1, "most": 4, "default": 1, "memory": "grows"},
        {"name": "fill", "kind": "number", "least": 0.1, "most": 0.3, "step": 0.1},
        {"name": "mode", "kind": "word", "values": ["fast", "exact", "on"], "default": "exact"},
        {"name": "exactness", "kind": "integer", "least": 0, "most": 100, "only-if": "mode=exact,on"},
        {"name": "graph", "kind": "switch", "default": true},
        {"name": "extra", "kind": "text"},
        {"name": "threads"}
    ]"#;

    #[test]
    fn an_engine_with_its_own_knobs_has_only_those() {
        let facts = declare(ENGINE).unwrap();
        let tried = |name: &str| {
            let candidates = facts.knob(name).unwrap().candidates(&facts);
            candidates.iter().map(Value::to_string).collect::<Vec<_>>().join(" ")
        };
        assert_eq!(tried("slots"), "1 2 3 4");
        assert_eq!(tried("fill"), "0.1 0.2 0.3");
        assert_eq!(tried("mode"), "fast exact on");
        assert_eq!(tried("exactness"), "0 13 25 38 50 63 75 88 100");
        assert_eq!(tried("graph"), "on off");
        assert_eq!(tried("extra"), "");
        assert!(facts.knob("batch").is_none() && facts.table_knob("batch").is_none());
        assert!(facts.table_knob("threads").is_some() && facts.table_knob("slots").is_none());
        assert_eq!(facts.knobs().len(), 7);
        assert_eq!(facts.knob("slots").unwrap().memory, Some(Memory::Grows));
        let text = serde_json::to_string(&facts.declared).unwrap();
        assert_eq!(declare(&text).unwrap(), facts);
    }

    #[test]
    fn settings_of_declared_knobs_are_checked_and_made_canonical() {
        let facts = declare(ENGINE).unwrap();
        let checked = |text: &str| {
            let pairs = text.split_whitespace().map(|pair| pair.split_once('=').unwrap());
            let made =
                pairs.fold(Configuration::new(), |made, (name, value)| made.with(name, Value::parse(value)));
            made.checked(&facts).map(|made| made.key())
        };
        for (written, key) in [
            ("slots=1 mode=exact graph=on", "default"),
            ("slots=2 fill=1 mode=on", "fill must be refused"),
            ("fill=0.3 mode=on graph=0", "fill=0.3 graph=off mode=on"),
            ("exactness=5", "exactness=5"),
            ("exactness=5 mode=fast", "mode=fast"),
            ("env:OMP_NUM_THREADS=4 extra=7", "env:OMP_NUM_THREADS=4 extra=7"),
        ] {
            match checked(written) {
                Ok(made) => assert_eq!(made, key, "{written}"),
                Err(reason) => assert!(key.contains("refused"), "{written}: {reason}"),
            }
        }
        for (written, reason) in [
            ("slot=1", "did you mean `slots`?"),
            ("batch=1", "the knobs are slots, fill, mode"),
            ("slots=5", "a whole number from 1 to 4"),
            ("slots=0.5", "a whole number"),
            ("fill=0.5", "a number from 0.1 to 0.3"),
            ("mode=slow", "one of fast, exact, on"),
            ("slots=batch/2", "a whole number"),
            ("env:9=1", "unknown knob"),
        ] {
            let refused = checked(written).unwrap_err();
            assert!(refused.contains(reason), "{written}: {refused}");
        }
    }

    #[test]
    fn wrong_declarations_name_the_knob_and_the_fault() {
        for (json, reason) in [
            (r#"[{"name": "A b", "kind": "switch"}]"#, "no good name"),
            (r#"[{"name": "slots"}]"#, "needs a kind"),
            (r#"[{"name": "threads", "help": "mine"}]"#, "knob of the table"),
            (r#"[{"name": "a", "kind": "word"}]"#, "no words"),
            (r#"[{"name": "a", "kind": "word", "values": ["auto", "x"]}]"#, "the word `auto`"),
            (r#"[{"name": "a", "kind": "word", "values": ["x", "x"]}]"#, "a value twice"),
            (r#"[{"name": "a", "kind": "word", "values": ["x"], "default": "y"}]"#, "wrong default"),
            (r#"[{"name": "a", "kind": "integer", "least": 2, "most": 1}]"#, "runs down"),
            (r#"[{"name": "a", "kind": "integer", "least": 0.5}]"#, "whole"),
            (r#"[{"name": "a", "kind": "number", "least": 0, "step": 1}]"#, "not both"),
            (r#"[{"name": "a", "kind": "number", "least": 0, "most": 1, "step": 0}]"#, "above 0"),
            (r#"[{"name": "a", "kind": "number", "least": 0, "most": 1e9, "step": 1}]"#, "more than 100000"),
            (r#"[{"name": "a", "kind": "integer", "most": 4, "values": [8]}]"#, "wrong values"),
            (r#"[{"name": "a", "kind": "switch", "most": 4}]"#, "takes no numbers"),
            (r#"[{"name": "a", "kind": "switch", "only-if": "b=1"}]"#, "no other knob"),
            (r#"[{"name": "a", "kind": "switch", "only-if": "a"}]"#, "write OTHER=VALUE"),
            (r#"[{"name": "a", "kind": "switch"}, {"name": "a", "kind": "switch"}]"#, "twice"),
            (r#"[{"name": "a", "kind": "switch", "colour": 1}]"#, "unknown field `colour`"),
            (
                r#"[{"name": "a", "kind": "switch"}, {"name": "b", "kind": "text", "only-if": "a=maybe"}]"#,
                "on, off or auto",
            ),
        ] {
            let refused = declare(json).unwrap_err();
            assert!(refused.contains(reason), "{json}: {refused}");
        }
    }
}
