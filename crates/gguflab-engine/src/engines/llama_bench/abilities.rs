//! What a version of llama-bench can be asked, by its own `--help`.

use gguflab_types::knob::{Flag, find, variable};
use gguflab_types::{Configuration, Job, Knob, Logits, Request, Value};
use std::collections::BTreeSet;

/// Flags and formats that it knows.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Abilities {
    flags: BTreeSet<String>,
    format: &'static str,
    /// `-fa` takes on and off; older versions take 1 and 0.
    attention_in_words: bool,
}

impl Abilities {
    /// From the help; `None` when this is no llama-bench.
    pub(super) fn read(help: &str) -> Option<Abilities> {
        let mut flags = BTreeSet::new();
        for line in help.lines().map(str::trim_start).filter(|line| line.starts_with('-')) {
            // `-p, --n-prompt <n>   (default: 512)`: flags stand in front, values and remarks behind.
            let words = line.split_whitespace().map(|word| word.trim_end_matches(','));
            flags.extend(words.take_while(|word| word.starts_with('-')).map(str::to_string));
        }
        let both = ["-p", "-n", "-m", "-r", "-o"].iter().all(|flag| flags.contains(*flag));
        let line =
            |flag: &str| help.lines().find(|line| line.trim_start().starts_with(flag)).unwrap_or_default();
        let formats = line("-o,");
        let format = ["jsonl", "json", "csv"].into_iter().find(|format| formats.contains(format))?;
        // `<0|1>` in older versions, `<on|off|auto>` in newer ones.
        let attention_in_words = !line("-fa").contains("<0|1>");
        both.then_some(Abilities { flags, format, attention_in_words })
    }

    /// Whether it knows a flag.
    pub(super) fn knows(&self, flag: &str) -> bool {
        self.flags.contains(flag)
    }

    /// The arguments for one request.
    ///
    /// # Errors
    /// What cannot be asked of this version, in words.
    pub(super) fn arguments(&self, job: &Job, request: &Request) -> Result<Vec<String>, String> {
        if request.concurrency > 1 {
            return Err(format!("llama-bench runs one sequence, not {} at once", request.concurrency));
        }
        if request.logits == Logits::All {
            return Err("llama-bench computes the logits of the last token only: take the embedded engine"
                .to_string());
        }
        if request.prompt == 0 && request.generate == 0 {
            return Err("the request has neither prompt nor tokens to generate".to_string());
        }
        let mut arguments: Vec<String> = vec!["-m".to_string(), job.model.display().to_string()];
        let mut add = |flag: &str, value: String| arguments.extend([flag.to_string(), value]);
        add("-o", self.format.to_string());
        add("-r", job.protocol.repetitions.max(1).to_string());
        add("-p", request.prompt.to_string());
        add("-n", request.generate.to_string());
        if request.depth > 0 {
            self.need("-d", "a depth")?;
            add("-d", request.depth.to_string());
        }
        if job.protocol.warmup == 0 && self.knows("--no-warmup") {
            arguments.push("--no-warmup".to_string());
        }
        for (name, value) in job.configuration.settings() {
            arguments.extend(self.setting(name, value, &job.configuration)?);
        }
        Ok(arguments)
    }

    fn setting(&self, name: &str, value: &Value, all: &Configuration) -> Result<Vec<String>, String> {
        if variable(name).is_some() {
            return Ok(Vec::new());
        }
        let knob = find(name).ok_or_else(|| format!("unknown knob {name}"))?;
        match (name, value) {
            (_, Value::Auto) => Ok(Vec::new()),
            ("load-mode", value) if !self.knows("-lm") => self.older_load_mode(value),
            ("ubatch", Value::BatchRatio(ratio)) => {
                let batch = all.integer("batch").unwrap_or(2048) as f64;
                self.flag(knob, &Value::Integer((batch / ratio).round_ties_even().max(1.0) as i64))
            }
            ("flash-attention", Value::Text(word)) if !self.attention_in_words => {
                self.flag(knob, &Value::Integer(i64::from(word == "on")))
            }
            // A comma separates whole configurations here, a semicolon the overrides of one.
            ("tensor-overrides", value) => self.flag(knob, &Value::Text(value.to_string().replace(',', ";"))),
            ("tensor-split", value) => self.flag(knob, &Value::Text(value.to_string().replace(',', "/"))),
            (_, value) => self.flag(knob, value),
        }
    }

    fn flag(&self, knob: &Knob, value: &Value) -> Result<Vec<String>, String> {
        let flag = match knob.bench_flag {
            Flag::None => {
                return Err(format!(
                    "llama-bench has no flag for {}: take it out of the configuration, or use another engine",
                    knob.name
                ));
            }
            Flag::Value(flag) | Flag::OneZero(flag) | Flag::ZeroOne(flag) | Flag::Pair(flag, _) => flag,
        };
        self.need(flag, knob.name)?;
        Ok(knob.bench_flag.arguments(value))
    }

    /// Before `-lm` there were `-mmp 0|1` and, for a while, `-dio 0|1`.
    fn older_load_mode(&self, value: &Value) -> Result<Vec<String>, String> {
        let (flag, setting) = match value.to_string().as_str() {
            "none" => ("-mmp", "0"),
            "mmap" => ("-mmp", "1"),
            "dio" => ("-dio", "1"),
            other => return Err(format!("this llama-bench cannot load with `{other}`: it is too old")),
        };
        self.need(flag, "load-mode")?;
        Ok(vec![flag.to_string(), setting.to_string()])
    }

    fn need(&self, flag: &str, what: &str) -> Result<(), String> {
        match self.knows(flag) {
            true => Ok(()),
            false => Err(format!("this llama-bench has no {flag}, which {what} needs: use a newer build")),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use gguflab_types::{Deadlines, KNOBS, Protocol, Workload};

    const NEW: &str = include_str!("../../../tests/recorded/b11434-help.txt");
    const OLD: &str = include_str!("../../../tests/recorded/early-2024-help.txt");

    fn job(settings: &[(&str, Value)]) -> Job {
        let set = |made: Configuration, (name, value): &(&str, Value)| made.with(name, value.clone());
        Job {
            model: "m.gguf".into(),
            configuration: settings.iter().fold(Configuration::new(), set),
            workload: Workload::single("test", Request::new(64, 16)),
            protocol: Protocol { repetitions: 2, ..Protocol::default() },
            deadlines: Deadlines::default(),
            memory_limit: None,
        }
    }

    fn arguments(help: &str, settings: &[(&str, Value)], request: Request) -> Result<String, String> {
        Abilities::read(help)
            .unwrap()
            .arguments(&job(settings), &request)
            .map(|arguments| arguments.join(" "))
    }

    fn text(word: &str) -> Value {
        Value::Text(word.to_string())
    }

    #[test]
    fn every_knob_with_a_flag_is_known_to_the_newest_version() {
        let abilities = Abilities::read(NEW).unwrap();
        for knob in KNOBS.iter().filter(|knob| knob.bench_flag != Flag::None) {
            let made = abilities.flag(knob, &Value::Switch(true));
            assert!(made.is_ok(), "{}: {made:?}", knob.name);
        }
        assert_eq!(abilities.format, "jsonl");
    }

    #[test]
    fn requests_and_settings_become_arguments() {
        let deep = Request { depth: 512, ..Request::new(64, 16) };
        let settings = [("threads", Value::Integer(4)), ("flash-attention", text("off"))];
        assert_eq!(
            arguments(NEW, &settings, deep).unwrap(),
            "-m m.gguf -o jsonl -r 2 -p 64 -n 16 -d 512 -fa off -t 4"
        );
        let settings = [("flash-attention", text("on")), ("load-mode", text("none"))];
        assert_eq!(
            arguments(OLD, &settings, Request::new(64, 0)).unwrap(),
            "-m m.gguf -o json -r 2 -p 64 -n 0 -fa 1 -mmp 0"
        );
        let settings = [("tensor-overrides", text("a=CPU,b=CPU"))];
        assert!(arguments(NEW, &settings, Request::new(1, 0)).unwrap().ends_with("-ot a=CPU;b=CPU"));
    }

    #[test]
    fn what_cannot_be_asked_is_refused_with_its_reason() {
        let plain = Request::new(64, 16);
        for (help, settings, request, reason) in [
            (NEW, vec![("threads-batch", Value::Integer(4))], plain, "no flag for threads-batch"),
            (NEW, vec![], Request { concurrency: 4, ..plain }, "one sequence, not 4"),
            (NEW, vec![], Request::new(0, 0), "neither prompt nor tokens"),
            (NEW, vec![], Request::all_logits(64), "llama-bench computes the logits of the last token only"),
            (OLD, vec![], Request { depth: 9, ..plain }, "no -d, which a depth needs"),
            (OLD, vec![("load-mode", text("mlock"))], plain, "`mlock`"),
            (OLD, vec![("load-mode", text("dio"))], plain, "no -dio"),
            (OLD, vec![("op-offload", Value::Switch(false))], plain, "no -nopo"),
        ] {
            let refused = arguments(help, &settings, request).unwrap_err();
            assert!(refused.contains(reason), "{refused}");
        }
    }

    #[test]
    fn other_programs_are_no_llama_bench() {
        for help in ["", "usage: ls [OPTION]...\n  -p   append /\n", "-p -n -m -r -o"] {
            assert_eq!(Abilities::read(help), None, "{help}");
        }
    }
}
