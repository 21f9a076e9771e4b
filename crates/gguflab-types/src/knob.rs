//! Everything that can be turned: one table.
//!
//! Command-line help, configuration keys, search space, stored columns, documentation and the emitted
//! `llama-server` and `llama-bench` command lines all read [`KNOBS`]. Flag names and defaults are those of
//! llama.cpp b11434 (`common/arg.cpp`, `tools/llama-bench`). Engines that are not llama.cpp declare their own
//! knobs, and environment variables are knobs too: [`Facts::knob`] finds them all.

pub mod alias;
mod declared;
mod forbidden;
mod rules;
mod table;

pub use declared::{Declared, DeclaredKnob, Kind, variable};
pub use forbidden::{Forbidden, ForbiddenList, RuleFault};
pub use rules::{RULES, Rule};
pub use table::KNOBS;

use crate::value::Value;
use serde::{Deserialize, Serialize};

/// What stands before the name of an environment variable that is a knob, as in `env:OMP_NUM_THREADS`.
pub const ENVIRONMENT: &str = "env:";

/// What the candidates and defaults of knobs depend on: the machine, the model and the workload.
#[derive(Debug, Clone, PartialEq)]
pub struct Facts {
    /// Physical cores, at least 1.
    pub physical_cores: u32,
    /// Logical processors, at least 1.
    pub logical_cores: u32,
    /// NUMA nodes, at least 1.
    pub numa_nodes: u32,
    /// GPUs that the engine can use.
    pub gpus: u32,
    /// Layers of the model (blocks), without the output layer.
    pub layers: u32,
    /// Experts of the model; 0 when it is dense.
    pub experts: u32,
    /// The most prompt tokens that are handed over at once (prompt × concurrency).
    pub prompt_tokens: u32,
    /// Tokens that the cache must hold.
    pub context: u64,
    /// The most requests that run at once, at least 1.
    pub concurrency: u32,
    /// Whether the engine is a server, which has knobs of its own.
    pub serves: bool,
    /// The knobs of an engine that declares its own; `None`: those of the table.
    pub declared: Option<Declared>,
    /// Combinations that are never run.
    pub forbidden: ForbiddenList,
}

impl Default for Facts {
    /// One core, no GPU, an unknown dense model, llama.cpp's default batch.
    fn default() -> Facts {
        Facts {
            physical_cores: 1,
            logical_cores: 1,
            numa_nodes: 1,
            gpus: 0,
            layers: 0,
            experts: 0,
            prompt_tokens: 512,
            context: 512,
            concurrency: 1,
            serves: false,
            declared: None,
            forbidden: ForbiddenList::default(),
        }
    }
}

/// What a value may be.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Domain<'a> {
    /// Whole numbers from the first to the second, both included.
    Integer(i64, i64),
    /// Real numbers from the first to the second, both included.
    Number(f64, f64),
    /// On or off.
    Switch,
    /// One of these words.
    Word(&'a [&'a str]),
    /// One of these words, declared at run time.
    Choice(&'a [Value]),
    /// Free text with this shape, shown in help.
    Text(&'a str),
}

/// How the need for memory changes with a knob.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Memory {
    /// More of it needs more.
    Grows,
    /// More of it needs less.
    Shrinks,
    /// It makes no difference worth the name.
    Same,
}

/// What has to be made anew when the knob changes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Scope {
    /// Only the context: milliseconds.
    Context,
    /// The model is loaded again.
    Model,
    /// The engine's process is started again.
    Process,
}

/// When a knob means anything at all.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Condition {
    /// Always.
    Always,
    /// Only with a GPU.
    Gpu,
    /// Only with two or more GPUs.
    SeveralGpus,
    /// Only with a GPU and a model with experts.
    GpuAndExperts,
    /// Only with two or more NUMA nodes.
    SeveralNodes,
    /// Only with an engine that is a server.
    Server,
}

impl Condition {
    /// Whether it holds.
    #[must_use]
    pub fn holds(self, facts: &Facts) -> bool {
        match self {
            Condition::Always => true,
            Condition::Gpu => facts.gpus > 0,
            Condition::SeveralGpus => facts.gpus > 1,
            Condition::GpuAndExperts => facts.gpus > 0 && facts.experts > 0,
            Condition::SeveralNodes => facts.numa_nodes > 1,
            Condition::Server => facts.serves,
        }
    }

    /// What is missing when it does not hold.
    #[must_use]
    pub fn need(self) -> &'static str {
        match self {
            Condition::Always => "nothing",
            Condition::Gpu => "a GPU that the engine can use",
            Condition::SeveralGpus => "two or more GPUs",
            Condition::GpuAndExperts => "a GPU and a model with experts",
            Condition::SeveralNodes => "two or more NUMA nodes",
            Condition::Server => "a server: take --engine llama-server=PATH",
        }
    }
}

/// How a setting is written on a command line.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Flag {
    /// The tool has no such flag.
    None,
    /// `flag value`; switches as `on` and `off`.
    Value(&'static str),
    /// `flag 1` for on and `flag 0` for off.
    OneZero(&'static str),
    /// `flag 0` for on and `flag 1` for off: the flag names the opposite.
    ZeroOne(&'static str),
    /// The first flag alone for on, the second alone for off.
    Pair(&'static str, &'static str),
}

/// Something that can be turned.
#[derive(Debug, Clone, Copy)]
pub struct Knob<'a> {
    /// Its name: on the command line, in files, in the store.
    pub name: &'a str,
    /// What a value may be.
    pub domain: Domain<'a>,
    /// What has to be made anew when it changes.
    pub scope: Scope,
    /// When it means anything.
    pub condition: Condition,
    /// `OTHER=VALUE,VALUE`: the values of another knob with which it means anything.
    pub only_if: Option<&'a str>,
    /// Whether other values than the default change what the model says.
    pub lossy: bool,
    /// How the need for memory (of the device, where it has one) changes with it; `None`: nobody knows.
    pub memory: Option<Memory>,
    /// How `llama-server` (and most llama.cpp tools) take it.
    pub server_flag: Flag,
    /// How `llama-bench` takes it.
    pub bench_flag: Flag,
    /// Other names of the server's flag.
    pub aliases: &'static [&'static str],
    /// Other names of the server's flag that turns it off.
    pub off_aliases: &'static [&'static str],
    /// Other names of llama-bench's flag.
    pub bench_aliases: &'static [&'static str],
    default: fn(&Facts) -> Value,
    candidates: fn(&Facts) -> Vec<Value>,
    /// Whether the order of the values means anything (numbers) or not (words).
    pub ordered: bool,
    /// One line of help.
    pub help: &'a str,
    /// Where it was declared at run time, what was declared.
    declared: Option<&'a DeclaredKnob>,
}

/// The knob of the table of this name. What an engine knows besides or instead is found by [`Facts::knob`].
#[must_use]
pub fn find(name: &str) -> Option<&'static Knob<'static>> {
    KNOBS.iter().find(|knob| knob.name == name)
}

impl Knob<'_> {
    /// What the engine does when it is not set, [`Value::Auto`] when that cannot be told from outside.
    #[must_use]
    pub fn default(&self, facts: &Facts) -> Value {
        match self.declared {
            Some(declared) => declared.default.clone().unwrap_or(Value::Auto),
            None => (self.default)(facts),
        }
    }

    /// The values that a search tries unless told otherwise, in order; empty: not searched.
    #[must_use]
    pub fn candidates(&self, facts: &Facts) -> Vec<Value> {
        match self.declared {
            Some(declared) => declared.candidates(),
            None => (self.candidates)(facts),
        }
    }

    /// Checks that a value is in the domain; gives the value in its canonical form (`on` for a word knob that
    /// was given as a switch), or says what is allowed.
    ///
    /// # Errors
    /// A lower-case fragment that names the knob, the value and the domain.
    pub fn check(&self, value: &Value) -> Result<Value, String> {
        if *value == Value::Auto {
            return Ok(Value::Auto);
        }
        let accepted = match (self.domain, value) {
            (Domain::Integer(low, high), Value::Integer(whole)) => (low..=high).contains(whole),
            (Domain::Integer(..), Value::BatchRatio(_)) => self.name == "ubatch" && self.declared.is_none(),
            (Domain::Number(low, high), value) => match value.as_number() {
                Some(number) if (low..=high).contains(&number) => return Ok(Value::Number(number)),
                _ => false,
            },
            (Domain::Switch, Value::Switch(_)) => true,
            (Domain::Switch, Value::Integer(whole)) if matches!(whole, 0 | 1) => {
                return Ok(Value::Switch(*whole == 1));
            }
            (Domain::Word(words), _) => {
                let word = value.to_string();
                if words.contains(&word.as_str()) {
                    return Ok(Value::Text(word));
                }
                false
            }
            (Domain::Choice(words), _) => {
                let word = value.to_string();
                match words.iter().find(|known| known.to_string() == word) {
                    Some(_) => return Ok(Value::Text(word)),
                    None => false,
                }
            }
            (Domain::Text(_), _) => return Ok(Value::Text(value.to_string())),
            _ => false,
        };
        if accepted {
            return Ok(value.clone());
        }
        Err(format!("knob {} cannot be `{value}`: it takes {}", self.name, self.domain_in_words()))
    }

    /// The domain as a phrase for help and errors.
    #[must_use]
    pub fn domain_in_words(&self) -> String {
        match self.domain {
            Domain::Integer(i64::MIN, i64::MAX) => "a whole number, or auto".to_string(),
            Domain::Integer(i64::MIN, high) => format!("a whole number up to {high}, or auto"),
            Domain::Integer(low, high) if high == i64::MAX || high == i64::from(i32::MAX) => {
                format!("a whole number from {low} up, or auto")
            }
            Domain::Integer(low, high) => format!("a whole number from {low} to {high}, or auto"),
            Domain::Number(low, high) => match (low.is_finite(), high.is_finite()) {
                (true, true) => format!("a number from {low} to {high}, or auto"),
                (true, false) => format!("a number from {low} up, or auto"),
                (false, true) => format!("a number up to {high}, or auto"),
                (false, false) => "a number, or auto".to_string(),
            },
            Domain::Switch => "on, off or auto".to_string(),
            Domain::Word(words) => format!("one of {}, or auto", words.join(", ")),
            Domain::Choice(words) => {
                let words: Vec<String> = words.iter().map(Value::to_string).collect();
                format!("one of {}, or auto", words.join(", "))
            }
            Domain::Text(shape) => format!("{shape}, or auto"),
        }
    }
}

impl Flag {
    /// The arguments for this value; empty for [`Value::Auto`] and where the tool has no such flag.
    #[must_use]
    pub fn arguments(self, value: &Value) -> Vec<String> {
        let on = !matches!(value, Value::Switch(false));
        match (self, value) {
            (_, Value::Auto) | (Flag::None, _) => Vec::new(),
            (Flag::Value(flag), _) => vec![flag.to_string(), value.to_string()],
            (Flag::OneZero(flag), _) => vec![flag.to_string(), u8::from(on).to_string()],
            (Flag::ZeroOne(flag), _) => vec![flag.to_string(), u8::from(!on).to_string()],
            (Flag::Pair(present, absent), _) => vec![if on { present } else { absent }.to_string()],
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::BTreeSet;

    fn machines() -> Vec<Facts> {
        let small = Facts { physical_cores: 2, logical_cores: 2, layers: 30, ..Facts::default() };
        let large = Facts {
            physical_cores: 64,
            logical_cores: 128,
            numa_nodes: 2,
            gpus: 2,
            layers: 61,
            experts: 256,
            prompt_tokens: 8192,
            context: 9000,
            concurrency: 8,
            serves: true,
            declared: None,
            forbidden: ForbiddenList::default(),
        };
        vec![Facts::default(), small, large]
    }

    #[test]
    fn names_and_flags_are_unique() {
        for pick in [|knob: &Knob| knob.server_flag, |knob: &Knob| knob.bench_flag] {
            let flags: Vec<_> = KNOBS.iter().map(pick).filter(|flag| *flag != Flag::None).collect();
            let distinct: BTreeSet<_> = flags.iter().map(|flag| format!("{flag:?}")).collect();
            assert_eq!(distinct.len(), flags.len());
        }
        let names: BTreeSet<_> = KNOBS.iter().map(|knob| knob.name).collect();
        assert_eq!(names.len(), KNOBS.len());
    }

    #[test]
    fn defaults_and_candidates_lie_in_their_own_domains() {
        for facts in machines() {
            for knob in KNOBS {
                let default = knob.default(&facts);
                assert_eq!(knob.check(&default), Ok(default.clone()), "default of {}", knob.name);
                let candidates = knob.candidates(&facts);
                let distinct: BTreeSet<_> = candidates.iter().map(Value::to_string).collect();
                assert_eq!(distinct.len(), candidates.len(), "repeated candidates of {}", knob.name);
                for value in candidates {
                    assert_eq!(knob.check(&value), Ok(value.clone()), "candidate of {}", knob.name);
                }
            }
        }
    }

    #[test]
    fn lossy_knobs_are_not_searched_unless_asked_for() {
        for facts in machines() {
            assert!(KNOBS.iter().filter(|knob| knob.lossy).all(|knob| knob.candidates(&facts).is_empty()));
        }
    }

    #[test]
    fn values_out_of_domain_are_named_with_what_is_allowed() {
        let check = |name: &str, text: &str| find(name).unwrap().check(&Value::parse(text)).unwrap_err();
        assert_eq!(
            check("threads", "0"),
            "knob threads cannot be `0`: it takes a whole number from 1 to 1024, or auto"
        );
        assert!(check("cache-type-k", "q3").contains("q8_0"));
        assert!(check("kv-offload", "maybe").contains("on, off or auto"));
        assert!(find("ubatch").unwrap().check(&Value::BatchRatio(4.0)).is_ok());
        assert!(find("batch").unwrap().check(&Value::BatchRatio(4.0)).is_err());
    }

    #[test]
    fn flags_are_written_as_the_tools_take_them() {
        let arguments = |name: &str, value: Value| {
            let knob = find(name).unwrap();
            (knob.server_flag.arguments(&value).join(" "), knob.bench_flag.arguments(&value).join(" "))
        };
        assert_eq!(arguments("threads", Value::Integer(4)), ("--threads 4".into(), "-t 4".into()));
        assert_eq!(
            arguments("kv-offload", Value::Switch(false)),
            ("--no-kv-offload".into(), "-nkvo 1".into())
        );
        assert_eq!(
            arguments("flash-attention", Value::Text("on".into())),
            ("--flash-attn on".into(), "-fa on".into())
        );
        assert_eq!(arguments("threads", Value::Auto), (String::new(), String::new()));
    }
}
