//! A command line of llama.cpp, taken over as a configuration.

use gguflab_types::knob::{Facts, Flag};
use gguflab_types::{Configuration, Knob, Value};
use std::collections::VecDeque;

/// What a command line says.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Pasted {
    /// Its settings, as they are written; what may be set is checked where the machine is known.
    pub configuration: Configuration,
    /// Flags that cannot matter for speed, with their values.
    pub ignored: Vec<String>,
    /// Flags that may matter and are no knob, with their values.
    pub left_out: Vec<String>,
}

/// Flags without a knob that cannot matter for speed, or that the workload stands for, and whether a value follows.
const WITHOUT_EFFECT: &[(&str, bool)] = &[
    ("-m", true),
    ("--model", true),
    ("-mu", true),
    ("--model-url", true),
    ("-hf", true),
    ("-hfr", true),
    ("--hf-repo", true),
    ("-hff", true),
    ("--hf-file", true),
    ("-hft", true),
    ("--hf-token", true),
    ("-a", true),
    ("--alias", true),
    ("--host", true),
    ("--port", true),
    ("--path", true),
    ("--api-key", true),
    ("--api-key-file", true),
    ("--api-prefix", true),
    ("--ssl-key-file", true),
    ("--ssl-cert-file", true),
    ("-to", true),
    ("--timeout", true),
    ("--chat-template", true),
    ("--chat-template-file", true),
    ("--chat-template-kwargs", true),
    ("--jinja", false),
    ("--no-jinja", false),
    ("--reasoning-format", true),
    ("--reasoning-budget", true),
    ("-s", true),
    ("--seed", true),
    ("--temp", true),
    ("--temperature", true),
    ("--top-k", true),
    ("--top-p", true),
    ("--min-p", true),
    ("--repeat-penalty", true),
    ("--presence-penalty", true),
    ("--frequency-penalty", true),
    ("--ui", false),
    ("--no-ui", false),
    ("--webui", false),
    ("--no-webui", false),
    ("--metrics", false),
    ("--slots", false),
    ("--no-slots", false),
    ("--props", false),
    ("--offline", false),
    ("-v", false),
    ("--verbose", false),
    ("-lv", true),
    ("--verbosity", true),
    ("--log-file", true),
    ("--log-disable", false),
    ("--log-colors", true),
    ("--log-prefix", false),
    ("--log-timestamps", false),
    ("-co", false),
    ("--color", false),
    ("-o", true),
    ("--output", true),
    ("-r", true),
    ("--repetitions", true),
    ("--progress", false),
    ("--warmup", false),
    ("--no-warmup", false),
];

/// Flags of older versions, and short ways of saying what a knob says: flag, knob, value.
const OTHER_WAYS: &[(&str, &str, &str)] = &[
    ("--mlock", "load-mode", "mlock"),
    ("--no-mmap", "load-mode", "none"),
    ("--mmap", "load-mode", "mmap"),
    ("-dio", "load-mode", "dio"),
    ("--direct-io", "load-mode", "dio"),
    ("-cmoe", "cpu-moe-layers", "all"),
    ("--cpu-moe", "cpu-moe-layers", "all"),
];

/// Whether a text is a command line and not a setting: several words, of which one begins with a dash.
#[must_use]
pub fn is_command_line(text: &str) -> bool {
    let words: Vec<&str> = text.split_whitespace().collect();
    words.len() > 1 && words.iter().any(|word| word.starts_with('-'))
}

/// Reads a command line of llama-server, llama-cli or llama-bench, with variables of the environment in front.
///
/// # Errors
/// A quote without an end, a flag without its value, a value that a knob cannot have, no program.
pub fn read(text: &str, facts: &Facts) -> Result<Pasted, String> {
    let mut words: VecDeque<String> = split(text)?.into();
    let mut pasted = Pasted::default();
    let program = loop {
        let Some(word) = words.pop_front() else {
            return Err("there is no program in it: begin with llama-server or llama-bench".to_string());
        };
        let name = word.rsplit(['/', '\\']).next().unwrap_or_default().trim_end_matches(".exe").to_string();
        match word.split_once('=') {
            _ if name.starts_with("llama") || name == "server" || name == "main" => break name,
            Some((variable, value)) if facts.knob(&format!("env:{variable}")).is_some() => {
                let knob = format!("env:{variable}");
                pasted.configuration = pasted.configuration.with(&knob, Value::Text(value.to_string()));
            }
            _ => pasted.left_out.push(word),
        }
    };
    let reader = Reader { facts, bench: program == "llama-bench" };
    while let Some(word) = words.pop_front() {
        reader.take(&word, &mut words, &mut pasted)?;
    }
    pasted.configuration = with_small_ubatch(pasted.configuration);
    Ok(pasted)
}

/// llama.cpp cuts the physical batch to the logical one.
fn with_small_ubatch(configuration: Configuration) -> Configuration {
    match (configuration.integer("batch"), configuration.integer("ubatch")) {
        (Some(batch), Some(ubatch)) if ubatch > batch => configuration.with("ubatch", Value::Integer(batch)),
        _ => configuration,
    }
}

struct Reader<'a> {
    facts: &'a Facts,
    bench: bool,
}

impl Reader<'_> {
    fn take(&self, word: &str, rest: &mut VecDeque<String>, pasted: &mut Pasted) -> Result<(), String> {
        let (flag, attached) = match word.split_once('=') {
            Some((flag, value)) if flag.starts_with("--") => (flag, Some(value.to_string())),
            _ => (word, None),
        };
        if let Some((knob, meaning)) = self.knob(flag) {
            let value = match meaning {
                Meaning::Value => value_of(flag, attached, rest, &knob)?,
                Meaning::Fixed(value) => value,
                Meaning::OneZero(one) => switch(flag, attached, rest, one)?,
            };
            let value = self.usual(&knob, &value);
            let value = knob.check(&value).map_err(|problem| format!("{flag}: {problem}"))?;
            if knob.condition.holds(self.facts) {
                let made = std::mem::take(&mut pasted.configuration);
                pasted.configuration = made.with(knob.name, value);
            } else if value != Value::Auto {
                pasted.left_out.push(format!(
                    "{word} (for {} {value} one needs {})",
                    knob.name,
                    knob.condition.need()
                ));
            }
            return Ok(());
        }
        let known = WITHOUT_EFFECT.iter().find(|(name, _)| *name == flag);
        let takes_value = known.map(|(_, takes_value)| *takes_value);
        let value = attached.or_else(|| match takes_value {
            Some(false) => None,
            _ => rest.pop_front_if(|next| takes_value == Some(true) || !is_flag(next)),
        });
        let said = value.map_or_else(|| flag.to_string(), |value| format!("{flag} {value}"));
        let place = if known.is_some() { &mut pasted.ignored } else { &mut pasted.left_out };
        place.push(said);
        Ok(())
    }

    /// The knob of a flag, and what the flag says of it.
    fn knob(&self, flag: &str) -> Option<(Knob<'static>, Meaning)> {
        let other = OTHER_WAYS.iter().find(|(name, ..)| *name == flag);
        if let Some((_, knob, value)) = other {
            let value = if *value == "all" { self.facts.layers.to_string() } else { (*value).to_string() };
            return Some((*self.facts.table_knob(knob)?, Meaning::Fixed(value)));
        }
        gguflab_types::KNOBS.iter().filter(|knob| self.facts.table_knob(knob.name).is_some()).find_map(
            |knob| {
                let meaning = if self.bench { bench_meaning(knob, flag) } else { server_meaning(knob, flag) };
                Some((*knob, meaning?))
            },
        )
    }

    /// Values that llama.cpp knows and a knob says otherwise.
    fn usual(&self, knob: &Knob<'_>, value: &str) -> Value {
        let all = i64::from(self.facts.layers) + 1;
        match (knob.name, Value::parse(value)) {
            ("gpu-layers", Value::Text(word)) if word == "all" => Value::Integer(all),
            ("gpu-layers", Value::Integer(-2)) => Value::Integer(all),
            ("gpu-layers", Value::Integer(layers)) if self.facts.layers > 0 && layers > all => {
                Value::Integer(all)
            }
            ("threads" | "threads-batch", Value::Integer(0)) => Value::Auto,
            ("flash-attention", Value::Integer(on @ (0 | 1))) => {
                Value::Text(if on == 1 { "on" } else { "off" }.to_string())
            }
            ("tensor-overrides", Value::Text(list)) => Value::Text(list.replace(';', ",")),
            (_, Value::Integer(-1)) => Value::Auto,
            (_, value) => value,
        }
    }
}

/// What a flag says.
enum Meaning {
    /// The value that follows it.
    Value,
    /// This value.
    Fixed(String),
    /// On when the number that follows it is this one, else off.
    OneZero(i64),
}

fn server_meaning(knob: &Knob<'_>, flag: &str) -> Option<Meaning> {
    let alias = knob.aliases.contains(&flag);
    let fixed = |on: bool| Some(Meaning::Fixed(if on { "on" } else { "off" }.to_string()));
    match knob.server_flag {
        Flag::Value(name) if name == flag || alias => Some(Meaning::Value),
        Flag::Pair(on, _) if on == flag || alias => fixed(true),
        Flag::Pair(_, off) if off == flag || knob.off_aliases.contains(&flag) => fixed(false),
        _ => None,
    }
}

fn bench_meaning(knob: &Knob<'_>, flag: &str) -> Option<Meaning> {
    let named = |name: &str| name == flag || knob.bench_aliases.contains(&flag);
    match knob.bench_flag {
        Flag::Value(name) if named(name) => Some(Meaning::Value),
        Flag::OneZero(name) if named(name) => Some(Meaning::OneZero(1)),
        Flag::ZeroOne(name) if named(name) => Some(Meaning::OneZero(0)),
        _ => None,
    }
}

fn value_of(
    flag: &str,
    attached: Option<String>,
    rest: &mut VecDeque<String>,
    knob: &Knob<'_>,
) -> Result<String, String> {
    if let Some(value) = attached {
        return Ok(value);
    }
    // Older versions have `-fa` without a value.
    let attention = knob.name == "flash-attention";
    let words = ["on", "off", "auto", "0", "1"];
    if attention && !rest.front().is_some_and(|next| words.contains(&next.as_str())) {
        return Ok("on".to_string());
    }
    rest.pop_front().ok_or_else(|| format!("{flag} has no value behind it"))
}

fn switch(
    flag: &str,
    attached: Option<String>,
    rest: &mut VecDeque<String>,
    one: i64,
) -> Result<String, String> {
    let value =
        attached.or_else(|| rest.pop_front()).ok_or_else(|| format!("{flag} has no value behind it"))?;
    match value.parse::<i64>() {
        Ok(number @ (0 | 1)) => Ok(if number == one { "on" } else { "off" }.to_string()),
        _ => Err(format!("{flag} {value}: it takes 0 or 1 (of several values, take one)")),
    }
}

/// A word that begins a flag: negative numbers do not.
fn is_flag(word: &str) -> bool {
    word.starts_with('-') && word.parse::<f64>().is_err()
}

/// The words of a POSIX shell, as far as people paste them: quotes, backslashes, lines that go on.
///
/// # Errors
/// A quote without an end.
pub fn split(text: &str) -> Result<Vec<String>, String> {
    let mut words = Vec::new();
    let (mut word, mut inside) = (String::new(), false);
    let mut signs = text.chars();
    while let Some(sign) = signs.next() {
        match sign {
            '\\' => match signs.next() {
                None | Some('\n') => {}
                Some('\r') => signs = skip_line_end(signs),
                Some(next) => {
                    word.push(next);
                    inside = true;
                }
            },
            '\'' | '"' => {
                inside = true;
                loop {
                    match signs.next() {
                        None => return Err(format!("the quote {sign} has no end")),
                        Some(end) if end == sign => break,
                        Some('\\') if sign == '"' => word.extend(signs.next()),
                        Some(other) => word.push(other),
                    }
                }
            }
            _ if sign.is_whitespace() => {
                if std::mem::take(&mut inside) {
                    words.push(std::mem::take(&mut word));
                }
            }
            _ => {
                word.push(sign);
                inside = true;
            }
        }
    }
    if inside {
        words.push(word);
    }
    Ok(words)
}

fn skip_line_end(mut signs: std::str::Chars<'_>) -> std::str::Chars<'_> {
    if signs.as_str().starts_with('\n') {
        signs.next();
    }
    signs
}

#[cfg(test)]
mod tests {
    use super::*;

    fn facts() -> Facts {
        Facts {
            physical_cores: 8,
            logical_cores: 16,
            gpus: 2,
            numa_nodes: 2,
            layers: 32,
            experts: 8,
            serves: true,
            concurrency: 4,
            ..Facts::default()
        }
    }

    #[test]
    fn command_lines_become_configurations() {
        for (line, key) in [
            ("llama-server -m x.gguf -ngl 20 -b 512 -fa on", "batch=512 flash-attention=on gpu-layers=20"),
            (
                "./build/bin/llama-server --n-gpu-layers 99 --threads 4 -tb 8",
                "gpu-layers=33 threads=4 threads-batch=8",
            ),
            ("llama-server -ngl all --no-kv-offload -nr", "gpu-layers=33 kv-offload=off repack=off"),
            ("llama-server -nkvo -fa --mlock", "flash-attention=on kv-offload=off load-mode=mlock"),
            ("llama-server -ngl -1 -t -1 -fa auto", "default"),
            ("llama-server -b 64 -ub 512", "batch=64 ubatch=64"),
            ("llama-server \\\n  -ctk q8_0 \\\n  -ctv 'q8_0'", "cache-type-k=q8_0 cache-type-v=q8_0"),
            (
                "llama-server -ot 'blk\\.1.*=CPU,ffn=CPU' --cpu-moe",
                "cpu-moe-layers=32 tensor-overrides=blk\\.1.*=CPU,ffn=CPU",
            ),
            ("GGML_X=1 llama-server --batch-size=256", "batch=256 env:GGML_X=1"),
            (
                "llama-bench -m x -nkvo 1 -nopo 0 --repack 0 -fa 1 -n 64",
                "flash-attention=on kv-offload=off op-offload=on repack=off",
            ),
            ("llama-bench -ot a=CPU;b=CPU --n-gpu-layers 3", "gpu-layers=3 tensor-overrides=a=CPU,b=CPU"),
            ("C:\\llama\\llama-server.exe -t 2", "threads=2"),
        ] {
            let line = line.replace("C:\\llama\\", "C:\\\\llama\\\\");
            assert!(is_command_line(&line), "{line}");
            assert_eq!(read(&line, &facts()).unwrap().configuration.key(), key, "{line}");
        }
        assert!(!is_command_line("threads=4") && !is_command_line("tensor-overrides=a b=CPU"));
    }

    #[test]
    fn what_is_not_carried_over_is_named() {
        const SLOTS: &str = "-np (for parallel 4 one needs a server: take --engine llama-server=PATH)";
        let line = "nice -n 5 llama-server -m 'my model.gguf' --host 0.0.0.0 --port 80 -c 8192 --jinja -np 4 \
                    --prio 2 --swa-full --temp 0.7 --poll -1 -t 3";
        let pasted = read(line, &Facts { serves: false, ..facts() }).unwrap();
        assert_eq!(pasted.configuration.key(), "threads=3");
        assert_eq!(
            pasted.ignored,
            ["-m my model.gguf", "--host 0.0.0.0", "--port 80", "--jinja", "--temp 0.7"]
        );
        let left_out = ["nice", "-n", "5", "-c 8192", SLOTS, "--prio 2", "--swa-full", "--poll -1"];
        assert_eq!(pasted.left_out, left_out);
    }

    #[test]
    fn what_means_nothing_here_is_left_out_with_what_it_needs() {
        let pasted = read("llama-server -ngl 99 -t 3", &Facts { layers: 30, ..Facts::default() }).unwrap();
        assert_eq!(pasted.configuration.key(), "threads=3");
        assert_eq!(pasted.left_out, ["-ngl (for gpu-layers 31 one needs a GPU that the engine can use)"]);
    }

    #[test]
    fn what_cannot_be_read_is_refused() {
        for (line, problem) in [
            ("llama-server -t", "-t has no value"),
            ("llama-server -t many", "-t: knob threads cannot be `many`"),
            ("llama-server -ctk q3", "knob cache-type-k"),
            ("llama-server -m 'x", "quote ' has no end"),
            ("sudo -u x", "no program in it"),
            ("llama-bench -nkvo 0,1", "it takes 0 or 1"),
        ] {
            let refused = read(line, &facts()).unwrap_err();
            assert!(refused.contains(problem), "{line}: {refused}");
        }
    }

    #[test]
    fn every_flag_of_every_knob_is_read_back() {
        for knob in gguflab_types::KNOBS {
            for flag in [knob.server_flag, knob.bench_flag] {
                let bench = flag == knob.bench_flag && flag != knob.server_flag;
                let program = if bench { "llama-bench" } else { "llama-server" };
                for value in knob.candidates(&facts()).into_iter().filter(|value| *value != Value::Auto) {
                    let words = flag.arguments(&value);
                    if words.is_empty() {
                        continue;
                    }
                    let line = format!("{program} {}", words.join(" "));
                    let read = read(&line, &facts()).unwrap().configuration;
                    assert_eq!(*read.get(knob.name), value, "{line}");
                }
            }
        }
    }
}
