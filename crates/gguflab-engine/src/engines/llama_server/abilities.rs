//! What a version of llama-server can be told, by its own `--help`.

use gguflab_types::knob::{self, Flag};
use gguflab_types::{Configuration, Job, Value};
use std::collections::BTreeSet;

/// What the flags of the table were called in older versions.
const OLDER: &[(&str, &str)] = &[
    ("--spec-draft-model", "--model-draft"),
    ("--spec-draft-n-max", "--draft-max"),
    ("--spec-draft-n-min", "--draft-min"),
];
/// Flags of ours that say nothing of the configuration, passed where they are known: prompts are not kept in host
/// memory, which would cost time between two requests.
const ALWAYS: &[[&str; 2]] = &[["--cache-ram", "0"]];

/// Flags that it knows.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Abilities {
    flags: BTreeSet<String>,
    /// `--flash-attn` takes on and off; in older versions it stands alone for on.
    attention_in_words: bool,
}

impl Abilities {
    /// From the help; `None` when this is no llama-server.
    pub(super) fn read(help: &str) -> Option<Abilities> {
        let mut flags = BTreeSet::new();
        for line in help.lines().map(str::trim_start).filter(|line| line.starts_with('-')) {
            // `-t,    --threads N    number of …`: flags stand in front, values and remarks behind.
            let words = line.split(|character: char| character.is_whitespace() || character == ',');
            let words = words.filter(|word| !word.is_empty());
            flags.extend(words.take_while(|word| word.starts_with('-')).map(str::to_string));
        }
        let all = ["--model", "--ctx-size", "--host", "--port", "--parallel"];
        let attention = help.lines().find(|line| line.contains("--flash-attn")).unwrap_or_default();
        let attention_in_words = attention.contains("on|off");
        all.iter().all(|flag| flags.contains(*flag)).then_some(Abilities { flags, attention_in_words })
    }

    /// Whether it knows a flag.
    pub(super) fn knows(&self, flag: &str) -> bool {
        self.flags.contains(flag)
    }

    /// The arguments that a job needs, without address and name.
    ///
    /// # Errors
    /// What cannot be asked of this version, in words.
    pub(super) fn arguments(&self, job: &Job) -> Result<Vec<String>, String> {
        let slots = slots(job);
        let context = job.workload.slot_tokens().saturating_mul(u64::from(slots));
        let mut arguments = vec!["--model".to_string(), job.model.display().to_string()];
        let mut add = |flag: &str, value: String| arguments.extend([flag.to_string(), value]);
        add("--ctx-size", context.to_string());
        add("--parallel", slots.to_string());
        for [flag, value] in ALWAYS.iter().filter(|[flag, _]| self.knows(flag)) {
            add(flag, (*value).to_string());
        }
        for (name, value) in job.configuration.settings().filter(|(name, _)| *name != "parallel") {
            arguments.extend(self.setting(name, value, &job.configuration)?);
        }
        Ok(arguments)
    }

    fn setting(&self, name: &str, value: &Value, all: &Configuration) -> Result<Vec<String>, String> {
        if knob::variable(name).is_some() {
            return Ok(Vec::new());
        }
        let knob = knob::find(name).ok_or_else(|| format!("unknown knob {name}"))?;
        match (name, value) {
            (_, Value::Auto) => Ok(Vec::new()),
            ("load-mode", value) if !self.knows("--load-mode") => self.older_load_mode(value),
            ("speculation", value) if !self.knows("--spec-type") => older_speculation(value),
            ("flash-attention", value) if !self.attention_in_words => {
                let on = value.to_string() != "off";
                Ok(if on { vec!["--flash-attn".to_string()] } else { Vec::new() })
            }
            ("ubatch", Value::BatchRatio(ratio)) => {
                let batch = all.integer("batch").unwrap_or(2048) as f64;
                self.flag(
                    name,
                    knob.server_flag,
                    &Value::Integer((batch / ratio).round_ties_even().max(1.0) as i64),
                )
            }
            (_, value) => self.flag(name, knob.server_flag, value),
        }
    }

    fn flag(&self, name: &str, flag: Flag, value: &Value) -> Result<Vec<String>, String> {
        let missing =
            |flag: &str| format!("this llama-server has no {flag}, which {name} needs: use a newer build");
        match flag {
            Flag::None => {
                Err(format!("llama-server has no flag for {name}: take it out of the configuration"))
            }
            Flag::Value(flag) | Flag::OneZero(flag) | Flag::ZeroOne(flag) if !self.knows(flag) => {
                let older = OLDER.iter().find(|(new, old)| *new == flag && self.knows(old));
                let (_, older) = older.ok_or_else(|| missing(flag))?;
                Ok(vec![(*older).to_string(), value.to_string()])
            }
            Flag::Pair(present, absent) => {
                let on = !matches!(value, Value::Switch(false));
                match (on, self.knows(if on { present } else { absent })) {
                    (_, true) => Ok(flag.arguments(value)),
                    // Versions that know only the negative do the positive by themselves.
                    (true, false) if self.knows(absent) => Ok(Vec::new()),
                    (..) => Err(missing(if on { present } else { absent })),
                }
            }
            flag => Ok(flag.arguments(value)),
        }
    }

    /// `--no-mmap` and `--mlock` of versions before `--load-mode`.
    fn older_load_mode(&self, value: &Value) -> Result<Vec<String>, String> {
        let flags: &[&str] = match value.to_string().as_str() {
            "none" => &["--no-mmap"],
            "mmap" => &[],
            "mmap+mlock" => &["--mlock"],
            "mlock" => &["--no-mmap", "--mlock"],
            other => return Err(format!("this llama-server cannot load with `{other}`: it is too old")),
        };
        Ok(flags.iter().map(|flag| (*flag).to_string()).collect())
    }
}

/// Slots that the server is started with.
pub(super) fn slots(job: &Job) -> u32 {
    let set = job.configuration.integer("parallel").and_then(|count| u32::try_from(count).ok());
    set.unwrap_or_else(|| job.workload.concurrency()).max(1)
}

/// Before `--spec-type` a draft model was used as soon as it was there, and there was nothing else.
fn older_speculation(value: &Value) -> Result<Vec<String>, String> {
    match value.to_string().as_str() {
        "draft-simple" => Ok(Vec::new()),
        other => Err(format!(
            "this llama-server has no --spec-type, which speculation={other} needs: use a newer build"
        )),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use gguflab_types::{Deadlines, KNOBS, Protocol, Request, Workload};

    const NEW: &str = include_str!("../../../tests/recorded/b11434-server-help.txt");
    const OLD: &str = "-m,    --model FNAME   model path\n-c,    --ctx-size N   size\n-fa,   --flash-attn   enable\n\
        --host HOST   ip\n--port PORT   port\n-np,   --parallel N   slots\n-md,   --model-draft FNAME   draft\n\
        --no-mmap   no\n--mlock  lock\n-nkvo, --no-kv-offload   off\n-t,    --threads N   threads\n";

    fn arguments(help: &str, settings: &[(&str, &str)]) -> Result<String, String> {
        let set = |made: Configuration, (name, text): &(&str, &str)| {
            let value = Value::parse(text);
            let value = knob::find(name).map_or(value.clone(), |knob| knob.check(&value).unwrap());
            made.with(name, value)
        };
        let request = Request { concurrency: 2, ..Request::new(200, 50) };
        let job = Job {
            model: "m.gguf".into(),
            configuration: settings.iter().fold(Configuration::new(), set),
            workload: Workload::single("test", request),
            protocol: Protocol::default(),
            deadlines: Deadlines::default(),
            memory_limit: None,
        };
        Abilities::read(help).unwrap().arguments(&job).map(|arguments| arguments.join(" "))
    }

    #[test]
    fn every_knob_with_a_flag_is_known_to_the_newest_version() {
        let abilities = Abilities::read(NEW).unwrap();
        for knob in KNOBS.iter().filter(|knob| knob.server_flag != Flag::None) {
            for on in [true, false] {
                let made = abilities.flag(knob.name, knob.server_flag, &Value::Switch(on));
                assert!(made.is_ok(), "{}: {made:?}", knob.name);
            }
        }
    }

    #[test]
    fn workload_and_settings_become_arguments() {
        let settings = [("threads", "4"), ("flash-attention", "off"), ("kv-offload", "off")];
        assert_eq!(
            arguments(NEW, &settings).unwrap(),
            "--model m.gguf --ctx-size 512 --parallel 2 --cache-ram 0 --flash-attn off --no-kv-offload --threads 4"
        );
        let settings = [
            ("parallel", "1"),
            ("speculation", "draft-simple"),
            ("draft-model", "d.gguf"),
            ("draft-max", "8"),
        ];
        assert_eq!(
            arguments(NEW, &settings).unwrap(),
            "--model m.gguf --ctx-size 256 --parallel 1 --cache-ram 0 --spec-draft-n-max 8 --spec-draft-model d.gguf \
             --spec-type draft-simple"
        );
        let settings = [
            ("flash-attention", "on"),
            ("kv-offload", "on"),
            ("load-mode", "mlock"),
            ("draft-model", "d.gguf"),
        ];
        assert_eq!(
            arguments(OLD, &settings).unwrap(),
            "--model m.gguf --ctx-size 512 --parallel 2 --model-draft d.gguf --flash-attn --no-mmap --mlock"
        );
    }

    #[test]
    fn what_cannot_be_asked_is_refused_with_its_reason() {
        for (settings, reason) in [
            ([("ubatch", "64")], "no --ubatch-size, which ubatch needs"),
            ([("op-offload", "off")], "no --no-op-offload"),
            ([("load-mode", "dio")], "`dio`"),
            ([("speculation", "ngram-mod")], "no --spec-type"),
        ] {
            let refused = arguments(OLD, &settings).unwrap_err();
            assert!(refused.contains(reason), "{refused}");
        }
    }

    #[test]
    fn other_programs_are_no_llama_server() {
        for help in ["", "usage: ls [OPTION]...\n  -p   append /\n", "-m, --model FNAME\n--port PORT\n"] {
            assert_eq!(Abilities::read(help), None, "{help}");
        }
    }
}
