//! What other programs call our knobs, and how they write values: studies that Optuna began, files of predecessors.

use super::{Domain, Knob, find};
use crate::value::Value;

/// Other names of knobs. Names that differ from ours only by `_` for `-` need no entry.
const ALIASES: &[(&str, &str)] = &[
    ("b", "batch"),
    ("batch-size", "batch"),
    ("n-batch", "batch"),
    ("ctk", "cache-type-k"),
    ("type-k", "cache-type-k"),
    ("ctv", "cache-type-v"),
    ("type-v", "cache-type-v"),
    ("fa", "flash-attention"),
    ("flash-attn", "flash-attention"),
    ("lm", "load-mode"),
    ("mg", "main-gpu"),
    ("n-gpu-layers", "gpu-layers"),
    ("ngl", "gpu-layers"),
    ("n-cpu-moe", "cpu-moe-layers"),
    ("ncmoe", "cpu-moe-layers"),
    ("n-threads", "threads"),
    ("t", "threads"),
    ("n-threads-batch", "threads-batch"),
    ("tb", "threads-batch"),
    ("ot", "tensor-overrides"),
    ("override-tensor", "tensor-overrides"),
    ("sm", "split-mode"),
    ("ts", "tensor-split"),
    ("n-ubatch", "ubatch"),
    ("ub", "ubatch"),
    ("ubatch-size", "ubatch"),
];

/// What we call a knob that another program calls so: our own name, the same with `_` for `-`, or an alias; a name that
/// means nothing here stays as it is.
#[must_use]
pub fn our_name(name: &str) -> &str {
    let plain = name.trim_start_matches('-').replace('_', "-");
    let meant = |alias: &&(&str, &str)| alias.0 == plain;
    let alias = || ALIASES.iter().find(meant).and_then(|alias| find(alias.1));
    find(name).or_else(|| find(&plain)).or_else(alias).map_or(name, |knob| knob.name)
}

/// A value as another program writes it, in our form: 0 and 1 for off and on, −1 for the engine's own choice, whole
/// numbers with a decimal point, numbers and words as text.
///
/// # Errors
/// As [`Knob::check`].
pub fn read(knob: &Knob, value: &Value) -> Result<Value, String> {
    let written = match value {
        Value::Text(text) => Value::parse(text),
        // Exact for every float of this size that is whole.
        Value::Number(number) if number.fract() == 0.0 && number.abs() < 1e15 => {
            Value::Integer(*number as i64)
        }
        other => other.clone(),
    };
    let meant = match (&written, knob.domain) {
        (Value::Integer(-1), Domain::Integer(low, _)) if low >= 0 => Value::Auto,
        (Value::Integer(whole @ (0 | 1)), Domain::Word(words)) if words.contains(&"off") => {
            Value::Switch(*whole == 1)
        }
        _ => written,
    };
    knob.check(&meant)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn aliases_name_knobs_once_and_hide_none() {
        for (at, (alias, name)) in ALIASES.iter().enumerate() {
            assert!(find(name).is_some(), "{name}");
            assert!(find(alias).is_none(), "{alias} is a knob of its own");
            assert!(ALIASES[..at].iter().all(|earlier| earlier.0 != *alias), "{alias} is there twice");
        }
        for (name, knob) in [
            ("ngl", "gpu-layers"),
            ("n_gpu_layers", "gpu-layers"),
            ("flash_attn", "flash-attention"),
            ("fa", "flash-attention"),
            ("ub", "ubatch"),
            ("threads", "threads"),
            ("cache_type_k", "cache-type-k"),
        ] {
            assert_eq!(our_name(name), knob, "{name}");
        }
        assert_eq!(our_name("learning_rate"), "learning_rate");
    }

    #[test]
    fn values_of_others_become_ours() {
        for (knob, written, ours) in [
            ("flash-attention", Value::Integer(1), "on"),
            ("flash-attention", Value::Text("0".into()), "off"),
            ("flash-attention", Value::Switch(true), "on"),
            ("flash-attention", Value::Text("auto".into()), "auto"),
            ("gpu-layers", Value::Integer(-1), "auto"),
            ("threads", Value::Number(4.0), "4"),
            ("threads", Value::Text("4".into()), "4"),
            ("kv-offload", Value::Integer(0), "off"),
            ("cache-type-k", Value::Text("q8_0".into()), "q8_0"),
        ] {
            let read = read(find(knob).unwrap(), &written).map(|value| value.to_string());
            assert_eq!(read.as_deref(), Ok(ours), "{knob} {written:?}");
        }
        let refused = read(find("threads").unwrap(), &Value::Number(2.5)).unwrap_err();
        assert!(refused.contains("knob threads cannot be `2.5`"), "{refused}");
    }
}
