//! One value for every knob.

use crate::knob::{self, Facts, Flag, KNOBS, Knob, RULES, Scope};
use crate::value::{Value, round_half_even};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::fmt;

/// Settings by knob name. A knob that is not in it is [`Value::Auto`]: the engine's default.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Configuration {
    settings: BTreeMap<String, Value>,
}

const AUTO: &Value = &Value::Auto;

impl Configuration {
    /// The engine's defaults.
    #[must_use]
    pub fn new() -> Configuration {
        Configuration::default()
    }

    /// The value of a knob, [`Value::Auto`] when it is not set.
    #[must_use]
    pub fn get(&self, knob: &str) -> &Value {
        self.settings.get(knob).unwrap_or(AUTO)
    }

    /// The whole number that a knob is set to, if any.
    #[must_use]
    pub fn integer(&self, knob: &str) -> Option<i64> {
        self.get(knob).as_integer()
    }

    /// Whether a knob is set to one of these words.
    #[must_use]
    pub fn is_word(&self, knob: &str, words: &[&str]) -> bool {
        matches!(self.get(knob), Value::Text(text) if words.contains(&text.as_str()))
    }

    /// This configuration with one setting changed; [`Value::Auto`] takes the setting out.
    #[must_use]
    pub fn with(mut self, knob: &str, value: Value) -> Configuration {
        if value == Value::Auto {
            self.settings.remove(knob);
        } else {
            self.settings.insert(knob.to_string(), value);
        }
        self
    }

    /// The settings, by name of the knob.
    pub fn settings(&self) -> impl Iterator<Item = (&str, &Value)> {
        self.settings.iter().map(|(name, value)| (name.as_str(), value))
    }

    /// Whether nothing is set: the engine's defaults.
    #[must_use]
    pub fn is_default(&self) -> bool {
        self.settings.is_empty()
    }

    /// Checks every setting against the table and the rules over several knobs, and gives the canonical form.
    ///
    /// # Errors
    /// A fragment that names the knob and says what is allowed.
    pub fn checked(&self, facts: &Facts) -> Result<Configuration, String> {
        let mut checked = Configuration::new();
        for (name, value) in self.settings() {
            let knob = facts.knob(name).ok_or_else(|| unknown_knob(name, facts))?;
            let value = knob.check(value)?;
            if value != Value::Auto && !knob.condition.holds(facts) {
                return Err(format!("knob {name} needs {}", knob.condition.need()));
            }
            checked = checked.with(name, value);
        }
        let resolved = checked.resolve_ratio(facts);
        let of_table = resolved.of_table(facts);
        match RULES.iter().find(|rule| !(rule.holds)(&of_table, facts)) {
            Some(rule) => Err(format!("{} (in `{self}`)", rule.statement)),
            None => resolved.canonical(facts).unless_forbidden(facts),
        }
    }

    /// The form in which two configurations that do the same are equal: ratios resolved, ubatch cut to batch,
    /// settings that equal the default or mean nothing on this machine taken out.
    #[must_use]
    pub fn canonical(&self, facts: &Facts) -> Configuration {
        let mut canonical = self.resolve_ratio(facts).cut_ubatch(facts);
        canonical.settings.retain(|name, value| match facts.knob(name) {
            Some(knob) => {
                knob.condition.holds(facts) && *value != Value::Auto && *value != knob.default(facts)
            }
            None => true,
        });
        canonical.without_idle(facts).follow_threads(facts).without_idle_drafts(facts)
    }

    /// What a knob comes to: its value, or when it is not set what the engine takes, which for two knobs of
    /// llama.cpp follows another one.
    #[must_use]
    pub fn meant(&self, name: &str, facts: &Facts) -> Value {
        let set = self.get(name);
        if *set != Value::Auto {
            return set.clone();
        }
        let default = facts.knob(name).map_or(Value::Auto, |knob| knob.default(facts));
        match facts.table_knob(name).map(|knob| knob.name) {
            Some("threads-batch") => self.meant("threads", facts),
            Some("ubatch") => match (default.as_integer(), self.meant("batch", facts).as_integer()) {
                (Some(ubatch), Some(batch)) => Value::Integer(ubatch.min(batch)),
                _ => default,
            },
            _ => default,
        }
    }

    /// The environment variables that knobs set: name and value.
    pub fn environment(&self) -> impl Iterator<Item = (String, String)> {
        self.settings()
            .filter_map(|(name, value)| Some((knob::variable(name)?.to_string(), value.to_string())))
    }

    /// The same with the number of threads written out: llama.cpp's own choice differs between its tools, on
    /// processors with several kinds of cores, and where only some processors may be used.
    #[must_use]
    pub fn spelled_out(&self, facts: &Facts) -> Configuration {
        let default = facts.table_knob("threads").map(|knob| knob.default(facts));
        match (self.get("threads"), default) {
            (Value::Auto, Some(threads)) => self.clone().with("threads", threads),
            _ => self.clone(),
        }
    }

    /// What has to be made anew to go from this configuration to another: the whole process for a knob that is not
    /// of the table.
    #[must_use]
    pub fn scope_of_change(&self, other: &Configuration) -> Option<Scope> {
        let names = self.settings.keys().chain(other.settings.keys());
        let changed = names.filter(|name| self.get(name) != other.get(name));
        changed.map(|name| knob::find(name).map_or(Scope::Process, |knob| knob.scope)).max()
    }

    /// The settings as arguments of a tool; `pick` chooses the tool's flag.
    pub fn arguments(&self, pick: impl Fn(&Knob) -> Flag) -> Vec<String> {
        KNOBS.iter().flat_map(|knob| pick(knob).arguments(self.get(knob.name))).collect()
    }

    /// A stable text that is equal for equal configurations, such as `threads=4 ubatch=128`; `default` for none.
    #[must_use]
    pub fn key(&self) -> String {
        self.to_string()
    }

    fn unless_forbidden(self, facts: &Facts) -> Result<Configuration, String> {
        match facts.forbidden.iter().find(|rule| rule.forbids(&self, facts)) {
            Some(rule) if rule.why().is_empty() => {
                Err(format!("forbidden by the rule `{}` (in `{self}`)", rule.text()))
            }
            Some(rule) => {
                Err(format!("forbidden by the rule `{}`: {} (in `{self}`)", rule.text(), rule.why()))
            }
            None => Ok(self),
        }
    }

    /// The settings of knobs that the table describes; its rules are about them only.
    fn of_table(&self, facts: &Facts) -> Configuration {
        let mut kept = self.clone();
        kept.settings.retain(|name, _| facts.table_knob(name).is_some());
        kept
    }

    /// Takes settings out that mean nothing with the others, until all that are left do.
    fn without_idle(mut self, facts: &Facts) -> Configuration {
        let idle = |made: &Configuration| {
            let knobs = made.settings().filter_map(|(name, _)| facts.knob(name));
            let mut idle = knobs.filter(|knob| !knob.applies(made, facts)).map(|knob| knob.name.to_string());
            idle.next()
        };
        while let Some(name) = idle(&self) {
            self.settings.remove(&name);
        }
        self
    }

    fn resolve_ratio(&self, facts: &Facts) -> Configuration {
        let Value::BatchRatio(ratio) = *self.get("ubatch") else { return self.clone() };
        let default = facts.table_knob("batch").and_then(|knob| knob.default(facts).as_integer());
        let batch = self.integer("batch").or(default).unwrap_or(1);
        // S1.1c of the predecessor: max(1, round half to even (batch / ratio)).
        let ubatch = round_half_even(batch as f64 / ratio).max(1.0);
        self.clone().with("ubatch", Value::Integer(ubatch as i64))
    }

    /// llama.cpp computes with the smaller of batch and ubatch.
    fn cut_ubatch(self, facts: &Facts) -> Configuration {
        let Some(batch) = facts.table_knob("batch").and_then(|_| self.integer("batch")) else { return self };
        let default = facts.table_knob("ubatch").and_then(|knob| knob.default(facts).as_integer());
        let (Some(default), ubatch) = (default, self.integer("ubatch")) else { return self };
        match ubatch {
            // An unset ubatch is cut too, so above a small batch every value is the same as none.
            Some(ubatch) if ubatch >= batch && default >= batch => self.with("ubatch", Value::Auto),
            Some(ubatch) if ubatch > batch => self.with("ubatch", Value::Integer(batch)),
            _ => self,
        }
    }

    /// The lengths of drafts mean nothing where nothing drafts.
    fn without_idle_drafts(self, facts: &Facts) -> Configuration {
        if facts.table_knob("speculation").is_none() {
            return self;
        }
        match self.get("speculation").starts_with("draft-") {
            true => self,
            false => self.with("draft-max", Value::Auto).with("draft-min", Value::Auto),
        }
    }

    /// `threads-batch` follows `threads` when it is not set, so an equal value says nothing.
    fn follow_threads(self, facts: &Facts) -> Configuration {
        let (Some(knob), Some(_)) = (facts.table_knob("threads"), facts.table_knob("threads-batch")) else {
            return self;
        };
        let threads = match self.get("threads") {
            Value::Auto => knob.default(facts),
            set => set.clone(),
        };
        if threads == *self.get("threads-batch") {
            return self.with("threads-batch", Value::Auto);
        }
        self
    }
}

fn unknown_knob(name: &str, facts: &Facts) -> String {
    let knobs = facts.knobs();
    let names: Vec<&str> = knobs.iter().map(|knob| knob.name).collect();
    let close =
        names.iter().min_by_key(|known| distance(known, name)).filter(|known| distance(known, name) <= 3);
    match close {
        Some(known) => format!("unknown knob `{name}`: did you mean `{known}`?"),
        None => format!("unknown knob `{name}`: the knobs are {}", names.join(", ")),
    }
}

/// Edit distance (Levenshtein), for suggestions.
fn distance(left: &str, right: &str) -> usize {
    let right: Vec<char> = right.chars().collect();
    let mut row: Vec<usize> = (0..=right.len()).collect();
    for (index, one) in left.chars().enumerate() {
        let mut diagonal = row[0];
        row[0] = index + 1;
        for (column, other) in right.iter().enumerate() {
            let substituted = diagonal + usize::from(one != *other);
            diagonal = row[column + 1];
            row[column + 1] = substituted.min(row[column] + 1).min(diagonal + 1);
        }
    }
    row[right.len()]
}

impl fmt::Display for Configuration {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.settings.is_empty() {
            return formatter.write_str("default");
        }
        let parts: Vec<String> = self.settings().map(|(name, value)| format!("{name}={value}")).collect();
        formatter.write_str(&parts.join(" "))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn configuration(text: &str) -> Configuration {
        text.split_whitespace().fold(Configuration::new(), |made, part| {
            let (name, value) = part.split_once('=').unwrap();
            made.with(name, Value::parse(value))
        })
    }

    fn facts() -> Facts {
        Facts { physical_cores: 4, logical_cores: 8, ..Facts::default() }
    }

    #[test]
    fn configurations_that_do_the_same_have_one_key() {
        for (written, key) in [
            ("threads=4", "default"),
            ("threads=4 threads-batch=4", "default"),
            ("threads=2 threads-batch=2", "threads=2"),
            ("batch=2048 ubatch=512", "default"),
            ("batch=128 ubatch=512", "batch=128"),
            ("batch=128", "batch=128"),
            ("batch=1024 ubatch=1024", "batch=1024 ubatch=1024"),
            ("batch=1024 ubatch=2048", "batch=1024 ubatch=1024"),
            ("batch=4096 ubatch=batch/1", "batch=4096 ubatch=4096"),
            ("batch=1024 ubatch=batch/4", "batch=1024 ubatch=256"),
            ("ubatch=batch/4", "default"),
            ("gpu-layers=10", "default"),
            ("flash-attention=auto", "default"),
        ] {
            assert_eq!(configuration(written).canonical(&facts()).key(), key, "{written}");
        }
    }

    #[test]
    fn the_predecessors_ratios_round_half_to_even() {
        for (batch, ratio, ubatch) in [(6, 4, 2), (10, 4, 2), (14, 4, 4), (5, 2, 2), (3, 2, 2), (1, 4, 1)] {
            let made = configuration(&format!("batch={batch} ubatch=batch/{ratio}")).resolve_ratio(&facts());
            assert_eq!(made.integer("ubatch"), Some(ubatch), "{batch}/{ratio}");
        }
    }

    #[test]
    fn what_may_not_be_is_refused_with_a_reason() {
        for (written, reason) in [
            ("threds=4", "did you mean `threads`?"),
            ("zzzzzzzz=4", "the knobs are"),
            ("batch=128 ubatch=256", "ubatch may not be larger than batch"),
            ("cache-type-v=q8_0 flash-attention=off", "quantised V cache needs flash attention"),
            ("gpu-layers=10", "needs a GPU"),
            ("threads=0", "whole number from 1"),
        ] {
            let refused = configuration(written).checked(&facts()).unwrap_err();
            assert!(refused.contains(reason), "{written}: {refused}");
        }
        let fine = configuration("cache-type-v=q8_0 flash-attention=on threads=8").checked(&facts()).unwrap();
        assert_eq!(fine.key(), "cache-type-v=q8_0 flash-attention=on threads=8");
    }

    #[test]
    fn json_is_a_plain_object() {
        let made = configuration("threads=8 cache-type-k=q8_0 kv-offload=off");
        let text = serde_json::to_string(&made).unwrap();
        assert_eq!(text, r#"{"cache-type-k":"q8_0","kv-offload":false,"threads":8}"#);
        assert_eq!(serde_json::from_str::<Configuration>(&text).unwrap(), made);
    }
}
