//! What is refused before anything is loaded.

use super::{EvaluateError, EvaluateRequest, Rule, Side, sides};
use gguflab_types::evaluation::Source;
use gguflab_types::knob::Scope;
use gguflab_types::{Configuration, KNOBS, ModelIdentity};
use std::collections::{BTreeMap, BTreeSet};

pub(super) fn check(request: &EvaluateRequest) -> Result<(), EvaluateError> {
    let refusal = tokenizers(request)
        .or_else(|| bounds(request))
        .or_else(|| process(request))
        .or_else(|| labels(request));
    refusal.map_or(Ok(()), |reason| Err(EvaluateError::Refused(reason)))
}

/// The same of what the trials of a tune are held against: `model` is theirs.
pub(crate) fn check_reference(reference: &Side, model: &ModelIdentity) -> Result<(), EvaluateError> {
    let (name, own) = (&reference.identity.name, &reference.identity.tokenizer);
    let refusal = match &reference.source {
        Source::Store { .. } if !own.is_empty() && *own != model.tokenizer => {
            Some(another_tokenizer(name, &model.file))
        }
        Source::Store { .. } => None,
        Source::Model { configuration, .. } => {
            let (set, usual) = (of_process(configuration), of_process(&Configuration::new()));
            set.keys().find(|knob| set.get(*knob) != usual.get(*knob)).map(|knob| {
                format!(
                    "{knob} of {name} holds for the process that runs it, which is that of the trials: leave it out, or \
                     record the reference (gguflab logits record) and name the store"
                )
            })
        }
    };
    refusal.map_or(Ok(()), |reason| Err(EvaluateError::Refused(reason)))
}

fn another_tokenizer(store: &str, other: &str) -> String {
    format!(
        "{store} was recorded with another tokenizer than that of {other}: record the reference of this model's family"
    )
}

/// Models are compared token by token where they are loaded; a store only says the hash of its tokenizer, if that.
fn tokenizers(request: &EvaluateRequest) -> Option<String> {
    let known = || sides(request).filter(|side| !side.identity.tokenizer.is_empty());
    let stores = known().filter(|side| matches!(side.source, Source::Store { .. }));
    for store in stores {
        if let Some(other) = known().find(|side| side.identity.tokenizer != store.identity.tokenizer) {
            return Some(another_tokenizer(&store.identity.name, &other.identity.name));
        }
    }
    None
}

/// A lower bound is on one side of the truth: that it is small says nothing, and neither does a narrow interval of it.
fn bounds(request: &EvaluateRequest) -> Option<String> {
    let side = request.bounded().filter(|_| request.rule != Rule::All)?;
    Some(format!(
        "{} and its reference are both sketches, which tell only what the divergence is at least: that decides nothing; \
         give the model of one of them, or a store of whole rows",
        side.identity.name
    ))
}

/// All models run in one process: what is set for a process cannot differ between them.
fn process(request: &EvaluateRequest) -> Option<String> {
    let mut models = sides(request).filter_map(|side| match &side.source {
        Source::Model { configuration, .. } => Some((&side.identity.name, of_process(configuration))),
        Source::Store { .. } => None,
    });
    let (first, set) = models.next()?;
    models.find_map(|(name, own)| {
        let names: BTreeSet<&String> = set.keys().chain(own.keys()).collect();
        let knob = names.into_iter().find(|knob| set.get(*knob) != own.get(*knob))?;
        let value = |of: &BTreeMap<String, String>| of.get(knob).map_or("unset", String::as_str).to_string();
        Some(format!(
            "{knob} is {} for {first} and {} for {name}, and holds for the process that runs them all: give it to all with \
             --set, or record one of them (gguflab logits record) and compare with the store",
            value(&set),
            value(&own)
        ))
    })
}

/// The settings of a side that are made when its process starts.
fn of_process(configuration: &Configuration) -> BTreeMap<String, String> {
    let knobs = KNOBS.iter().filter(|knob| knob.scope == Scope::Process);
    let set = knobs.map(|knob| (knob.name.to_string(), configuration.get(knob.name).to_string()));
    let variables = configuration.environment().map(|(name, value)| (format!("env:{name}"), value));
    set.chain(variables).collect()
}

/// Two texts of one name could not be told apart in any table.
fn labels(request: &EvaluateRequest) -> Option<String> {
    let mut known = BTreeSet::new();
    let twice = request.texts.iter().find(|text| !known.insert(&text.label))?;
    Some(format!("two texts are called {}: give them names of their own, --text NAME=FILE", twice.label))
}
