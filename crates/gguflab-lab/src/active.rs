//! What was asked for against what is active, as the engine's own log tells it.

use gguflab_types::Configuration;
use serde::{Deserialize, Serialize};

/// What the engine's log says of the settings that it takes as wishes.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Active {
    /// Whether flash attention is used; `None` where the log does not say.
    pub flash_attention: Option<bool>,
    /// Layers on GPUs, and layers that could be there (the output counts as one).
    pub gpu_layers: Option<(u32, u32)>,
    /// Parts of the graph that run on one device each, for prompts and for generation.
    pub splits: Option<(u32, u32)>,
}

impl Active {
    /// Takes a line of the engine's log over. Later lines go first: a context is made after the one before.
    pub fn take(&mut self, line: &str) {
        if let Some(active) = flash_attention(line) {
            self.flash_attention = active;
        }
        self.gpu_layers = offloaded(line).or(self.gpu_layers);
        self.splits = splits(line).or(self.splits);
    }

    /// The same on a machine with so many GPUs: without any, some builds say that layers were offloaded all the same.
    #[must_use]
    pub fn with_gpus(self, gpus: u32) -> Active {
        Active { gpu_layers: self.gpu_layers.filter(|_| gpus > 0), ..self }
    }

    /// What is active, in words; `None` where the log said nothing.
    #[must_use]
    pub fn in_words(&self) -> Option<String> {
        let attention =
            self.flash_attention.map(|on| format!("flash attention {}", if on { "on" } else { "off" }));
        let layers = self.gpu_layers.map(|(placed, most)| format!("{placed} of {most} layers on GPUs"));
        let splits = self.splits.map(|(prompt, generation)| match prompt == generation {
            true => format!("{prompt} graph splits"),
            false => format!("{prompt} graph splits for prompts and {generation} for generation"),
        });
        let parts: Vec<String> = [attention, layers, splits].into_iter().flatten().collect();
        (!parts.is_empty()).then(|| format!("Active by the engine's own log: {}", parts.join(", ")))
    }

    /// What was asked for and is not so, as warnings.
    #[must_use]
    pub fn complaints(&self, asked: &Configuration) -> Vec<String> {
        [self.attention_complaint(asked), self.layers_complaint(asked)].into_iter().flatten().collect()
    }

    fn attention_complaint(&self, asked: &Configuration) -> Option<String> {
        let active = self.flash_attention?;
        let wanted =
            match (asked.is_word("flash-attention", &["on"]), asked.is_word("flash-attention", &["off"])) {
                (true, _) => true,
                (_, true) => false,
                _ => return None,
            };
        let word = |on: bool| if on { "on" } else { "off" };
        (wanted != active).then(|| {
            format!(
                "flash attention was asked to be {} and is {}: the figures are those without what was asked for",
                word(wanted),
                word(active)
            )
        })
    }

    fn layers_complaint(&self, asked: &Configuration) -> Option<String> {
        let (placed, most) = self.gpu_layers?;
        let wanted = u32::try_from(asked.integer("gpu-layers")?).ok()?.min(most);
        (wanted != placed).then(|| {
            format!("{wanted} of {most} layers were asked to be on GPUs and {placed} are: look at -vv for the reason")
        })
    }
}

/// `Some(None)` where a context leaves it open until later.
fn flash_attention(line: &str) -> Option<Option<bool>> {
    if line.contains("Flash Attention") || line.contains("flash_attn is not compatible") {
        let (off, on) = (["disabled", "forcing off"], ["enabled"]);
        let says = |words: &[&str]| words.iter().any(|word| line.contains(word));
        return if says(&off) {
            Some(Some(false))
        } else if says(&on) {
            Some(Some(true))
        } else {
            None
        };
    }
    let (_, rest) = line.split_once("flash_attn")?;
    match rest.trim_start().strip_prefix('=')?.trim() {
        "enabled" | "1" => Some(Some(true)),
        "disabled" | "0" => Some(Some(false)),
        "auto" | "-1" => Some(None),
        _ => None,
    }
}

/// `offloaded 12/31 layers to GPU`.
fn offloaded(line: &str) -> Option<(u32, u32)> {
    let (_, rest) = line.split_once("offloaded ")?;
    let (placed, most) = rest.split_once(" layers to GPU")?.0.split_once('/')?;
    Some((placed.trim().parse().ok()?, most.trim().parse().ok()?))
}

/// `splits = 3 / 2,` or `graph splits = 2`; one number holds for both.
fn splits(line: &str) -> Option<(u32, u32)> {
    let (_, rest) = line.split_once("splits = ")?;
    let value = rest.split(['(', ',']).next()?;
    let (prompt, generation) = value.split_once('/').unwrap_or((value, value));
    Some((prompt.trim().parse().ok()?, generation.trim().parse().ok()?))
}

#[cfg(test)]
mod tests {
    use super::*;
    use gguflab_types::Value;

    fn active(lines: &[&str]) -> Active {
        lines.iter().fold(Active::default(), |mut active, line| {
            active.take(line);
            active
        })
    }

    /// Lines of a log, and what they say: flash attention, layers on GPUs, splits.
    type Said = (&'static [&'static str], Option<bool>, Option<(u32, u32)>, Option<(u32, u32)>);

    const LOGS: &[Said] = &[
        (
            &[
                "load_tensors: offloaded 0/31 layers to GPU",
                "llama_context: flash_attn            = auto",
                "resolve_fused_ops: Flash Attention enabled",
                "sched_reserve: graph: nodes = 967, splits = 1, input objects = 6, input tensors = 6",
            ],
            Some(true),
            Some((0, 31)),
            Some((1, 1)),
        ),
        (
            &[
                "llama_context: flash_attn            = auto",
                "resolve_fused_ops: Flash Attention not supported, set to disabled",
                "sched_reserve: graph (pp bs=512, tg bs=1): nodes = 9 / 9, splits = 3 / 2, input objects = 6",
            ],
            Some(false),
            None,
            Some((3, 2)),
        ),
        (
            &["flash_attn    = 0", "llama_context: graph splits = 2", "load: offloaded 12/25 layers to GPU"],
            Some(false),
            Some((12, 25)),
            Some((2, 2)),
        ),
        (
            &["Flash Attention was auto, set to enabled", "graph splits = 32 (with bs=512), 3 (with bs=1)"],
            Some(true),
            None,
            Some((32, 32)),
        ),
        (
            &["flash_attn is not compatible with Grok - forcing off", "llama_context: flash_attn = disabled"],
            Some(false),
            None,
            None,
        ),
        (
            &["quantized V cache requires flash_attn to be enabled", "offloaded x/y layers to GPU"],
            None,
            None,
            None,
        ),
    ];

    #[test]
    fn logs_of_several_versions_are_understood() {
        for (lines, attention, layers, splits) in LOGS {
            let found = active(lines);
            let said = (found.flash_attention, found.gpu_layers, found.splits);
            assert_eq!(said, (*attention, *layers, *splits), "{lines:?}");
        }
        assert_eq!(active(&["a line"]).in_words(), None);
        let some = active(&["flash_attn = enabled", "splits = 3 / 2, "]).in_words().unwrap();
        assert!(
            some.ends_with("flash attention on, 3 graph splits for prompts and 2 for generation"),
            "{some}"
        );
    }

    #[test]
    fn what_is_not_as_asked_is_said() {
        let asked = |name: &str, value: Value| Configuration::new().with(name, value);
        let attention = |word: &str| asked("flash-attention", Value::Text(word.to_string()));
        let found = active(&["flash_attn = disabled", "offloaded 12/25 layers to GPU"]);
        for (configuration, words) in [
            (attention("on"), Some("asked to be on and is off")),
            (attention("off"), None),
            (Configuration::new(), None),
            (asked("gpu-layers", Value::Integer(20)), Some("20 of 25 layers were asked")),
            (asked("gpu-layers", Value::Integer(12)), None),
            (asked("gpu-layers", Value::Integer(99)), Some("25 of 25 layers were asked")),
        ] {
            let complaints = found.complaints(&configuration);
            match words {
                Some(words) => {
                    assert!(complaints.len() == 1 && complaints[0].contains(words), "{complaints:?}")
                }
                None => assert!(complaints.is_empty(), "{configuration}: {complaints:?}"),
            }
        }
        let all = active(&["offloaded 25/25 layers to GPU"]);
        assert!(all.complaints(&asked("gpu-layers", Value::Integer(99))).is_empty());
    }
}
