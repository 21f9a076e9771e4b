//! What two knobs together may not be.

use super::Facts;
use crate::configuration::Configuration;
use crate::value::Value;

/// A condition over several knobs.
#[derive(Clone, Copy)]
pub struct Rule {
    /// What must hold, in words.
    pub statement: &'static str,
    /// Whether it holds.
    pub holds: fn(&Configuration, &Facts) -> bool,
}

/// Every rule over several knobs.
pub const RULES: &[Rule] = &[
    Rule { statement: "ubatch may not be larger than batch", holds: ubatch_within_batch },
    Rule {
        statement: "a quantised V cache needs flash attention: leave flash-attention auto or on",
        holds: quantised_v_has_flash_attention,
    },
    Rule {
        statement: "main-gpu has an effect only with split-mode none or row",
        holds: |configuration, _| {
            matches!(configuration.get("main-gpu"), Value::Auto | Value::Integer(0))
                || configuration.is_word("split-mode", &["none", "row"])
        },
    },
    Rule {
        statement: "tensor-split has no effect with split-mode none",
        holds: |configuration, _| {
            *configuration.get("tensor-split") == Value::Auto
                || !configuration.is_word("split-mode", &["none"])
        },
    },
    Rule {
        statement: "a draft model is used only with a speculation that drafts: set speculation=draft-simple",
        holds: |configuration, _| {
            *configuration.get("draft-model") == Value::Auto
                || configuration.get("speculation").starts_with("draft-")
        },
    },
    Rule {
        statement: "speculation=draft-simple needs a draft-model",
        holds: |configuration, _| {
            *configuration.get("draft-model") != Value::Auto
                || !configuration.is_word("speculation", &["draft-simple"])
        },
    },
];

fn ubatch_within_batch(configuration: &Configuration, facts: &Facts) -> bool {
    let size = |name: &str| {
        let set = configuration.get(name);
        let default = facts.table_knob(name).map(|knob| knob.default(facts));
        set.as_integer().or_else(|| default.and_then(|value| value.as_integer()))
    };
    // An unset ubatch follows a small batch (llama.cpp takes the smaller of both), so only a set one can break it.
    match (configuration.get("ubatch"), size("ubatch"), size("batch")) {
        (Value::Integer(_), Some(ubatch), Some(batch)) => ubatch <= batch,
        _ => true,
    }
}

fn quantised_v_has_flash_attention(configuration: &Configuration, _: &Facts) -> bool {
    let plain = matches!(configuration.get("cache-type-v"), Value::Auto)
        || configuration.is_word("cache-type-v", &["f32", "f16", "bf16"]);
    plain || !configuration.is_word("flash-attention", &["off"])
}
