//! One side of a comparison, as it is written: words that say in what it differs from the other side.

use crate::cli::{EngineArguments, WorkloadArguments};
use crate::settings::refuse;
use anyhow::Result;
use gguflab_lab::{ENGINES, pasted};

/// What both sides share, and each side may say otherwise.
#[derive(Debug, Clone)]
pub(crate) struct Shared {
    pub(crate) model: Option<String>,
    pub(crate) engine: EngineArguments,
    pub(crate) workload: WorkloadArguments,
    /// `KNOB=VALUE`.
    pub(crate) settings: Vec<String>,
}

/// What a side consists of, put into what both share.
///
/// Words are separated by blanks (quotes keep some together): `engine=SPEC` or the name of an engine, `model=NAME`,
/// `workload=NAME`, `prompt=N`, `generate=N`, `depth=N`, `concurrency=N`, any `KNOB=VALUE`; a word without `=` is a model.
pub(crate) fn parse(text: &str, shared: &Shared) -> Result<Shared> {
    let words = pasted::split(text).or_else(|problem| refuse(format!("`{text}`: {problem}")))?;
    if words.is_empty() {
        return refuse(
            "a side needs a word: a model, engine=…, KNOB=VALUE, workload=… or prompt=…".to_string(),
        );
    }
    let mut side = shared.clone();
    for word in &words {
        take(word, text, &mut side)?;
    }
    Ok(side)
}

fn take(word: &str, text: &str, side: &mut Shared) -> Result<()> {
    let (name, value) = word.split_once('=').map_or((word, None), |(name, value)| (name, Some(value)));
    let is_engine = ENGINES.iter().any(|row| row.name == name);
    match (name, value) {
        _ if is_engine => side.engine.engine = Some(word.to_string()),
        ("engine", Some(value)) => side.engine.engine = Some(value.to_string()),
        ("model", Some(value)) => side.model = Some(value.to_string()),
        ("workload", Some(value)) => {
            // The rest of the workload is what this name means.
            let WorkloadArguments { random_tokens, text, seed, .. } = side.workload.clone();
            let workload = Some(value.to_string());
            side.workload =
                WorkloadArguments { workload, random_tokens, text, seed, ..WorkloadArguments::default() };
        }
        ("prompt" | "generate" | "depth" | "concurrency", Some(value)) => {
            let Ok(number) = value.parse() else {
                return refuse(format!("`{text}`: {name} is a whole number, not `{value}`"));
            };
            match name {
                "prompt" => side.workload.prompt = Some(number),
                "generate" => side.workload.generate = Some(number),
                "depth" => side.workload.depth = Some(number),
                _ => side.workload.concurrency = vec![number],
            }
            side.workload.workload = None;
        }
        (_, Some(_)) => side.settings.push(word.to_string()),
        (_, None) => side.model = Some(word.to_string()),
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shared() -> Shared {
        Shared {
            model: Some("m.gguf".into()),
            engine: EngineArguments::default(),
            workload: WorkloadArguments { workload: Some("chat".into()), ..WorkloadArguments::default() },
            settings: vec!["threads=2".into()],
        }
    }

    #[test]
    fn words_say_what_differs() {
        let side = parse("worker=/w 'my model.gguf' threads=4 depth=2048", &shared()).unwrap();
        assert_eq!(side.engine.engine.as_deref(), Some("worker=/w"));
        assert_eq!(side.model.as_deref(), Some("my model.gguf"));
        assert_eq!(side.settings, ["threads=2", "threads=4"]);
        assert_eq!((side.workload.depth, side.workload.workload), (Some(2048), None));
        let named = parse("embedded workload=batch", &side_of_depth()).unwrap();
        assert_eq!(named.workload.workload.as_deref(), Some("batch"));
        assert_eq!((named.workload.depth, named.model.as_deref()), (None, Some("m.gguf")));
    }

    fn side_of_depth() -> Shared {
        parse("depth=1", &shared()).unwrap()
    }

    #[test]
    fn words_that_say_nothing_are_refused() {
        for text in ["", "  ", "prompt=many", "'open"] {
            assert!(parse(text, &shared()).is_err(), "{text}");
        }
    }
}
