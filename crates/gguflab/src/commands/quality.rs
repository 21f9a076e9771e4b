//! What a tune requires of quality: by which text it is judged, and against what.

use crate::cli::{TextArguments, Tune, WorkloadArguments};
use crate::printer::Printer;
use crate::settings;
use anyhow::Result;
use gguflab_lab::evaluate::Side;
use gguflab_lab::quality::{self, QualityRequest};
use gguflab_lab::{EngineSpecification, Laboratory, Requirement};
use gguflab_types::workload::LOGITS;

/// What is asked for; `None` where nothing is required of quality.
pub(super) fn request(
    arguments: &Tune,
    engine: &EngineSpecification,
    laboratory: &Laboratory,
    requirements: &[Requirement],
    printer: &Printer,
) -> Result<Option<QualityRequest>> {
    let Some(required) = requirements.iter().find(|one| one.quality().is_some()) else {
        return match idle(arguments) {
            None => Ok(None),
            Some(option) => settings::refuse(format!(
                "{option} says by what quality is judged, and none is required: add --require 'divergence<0.05', or leave \
                 {option} out"
            )),
        };
    };
    let text = text(arguments);
    let side = |name: &String| super::evaluate::side(name, &text, engine, printer);
    let reference: Option<Side> = arguments.quality.reference.as_ref().map(side).transpose()?;
    let stored = reference.as_ref().and_then(|side| side.windowing.as_ref());
    if text.text.is_empty() && stored.is_none() {
        return settings::refuse(format!(
            "--require {}: it is judged by a text: name one with --data FILE (or with --text FILE, which prompts are then \
             made of too)",
            required.text
        ));
    }
    let texts = super::evaluate::texts(&text, printer)?;
    let windowing = super::evaluate::windowing(&text, stored)?;
    let chunks = text.chunks.as_deref().map(super::evaluate::range).transpose()?;
    Ok(Some(QualityRequest::new(laboratory, texts, windowing, chunks, reference.as_ref())?))
}

/// The workload's arguments: the length of windows is not for it where quality is asked for.
pub(super) fn workload(arguments: &Tune) -> WorkloadArguments {
    let own = arguments.workload.clone();
    match is_asked_for(arguments) && !reads_texts(arguments) {
        true => WorkloadArguments { context: None, ..own },
        false => own,
    }
}

/// Whether quality is asked for, as far as options and the names of figures tell it.
fn is_asked_for(arguments: &Tune) -> bool {
    let figure = |text: &String| text.split(['<', '>']).next().map(str::trim).and_then(quality::find);
    own(arguments).is_some() || arguments.require.iter().any(|text| figure(text).is_some())
}

/// Whether the workload has a length of texts of its own.
fn reads_texts(arguments: &Tune) -> bool {
    arguments.workload.workload.as_deref() == Some(LOGITS)
}

/// An option that says something of quality.
fn idle(arguments: &Tune) -> Option<&'static str> {
    let context = arguments.workload.context.filter(|_| !reads_texts(arguments));
    own(arguments).or(context.map(|_| "--context"))
}

/// An option that is about quality alone.
fn own(arguments: &Tune) -> Option<&'static str> {
    let own = &arguments.quality;
    let said = [
        ("--data", !own.data.is_empty()),
        ("--protocol", own.protocol.is_some()),
        ("--chunks", own.chunks.is_some()),
        ("--reference", own.reference.is_some()),
    ];
    said.into_iter().find(|(_, is_said)| *is_said).map(|(option, _)| option)
}

/// The text as `evaluate` takes it: what --data names, or else the text of the prompts.
fn text(arguments: &Tune) -> TextArguments {
    let own = &arguments.quality;
    let prompts = arguments.workload.text.iter().map(|path| path.to_string_lossy().into_owned());
    let text = if own.data.is_empty() { prompts.collect() } else { own.data.clone() };
    TextArguments {
        text,
        split: own.split.clone(),
        field: own.field.clone(),
        language_field: None,
        protocol: own.protocol.clone(),
        context: arguments.workload.context,
        chunks: own.chunks.clone(),
        set: Vec::new(),
    }
}
