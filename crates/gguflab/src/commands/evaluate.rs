//! `gguflab evaluate`.

use crate::cli::{CardArguments, DatasetArguments, Evaluate, TextArguments};
use crate::exit::{FAILED, STOPPED};
use crate::printer::{Printer, check_targets, write_document};
use crate::{places, settings};
use anyhow::Result;
use gguflab_lab::evaluate::{
    EvaluateRequest, Evaluated, Progress, Reason, Rule, Side, Text, Told, evaluate as score,
};
use gguflab_lab::{EngineSpecification, LogitStore, Parts, Stop, dataset, documents, pasted};
use gguflab_types::evaluation::{WindowRule, Windowing};
use gguflab_types::event::Level;
use gguflab_types::{Deadlines, Request, Workload};
use std::ops::Range;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

pub(crate) fn evaluate(arguments: &Evaluate, printer: &Printer) -> Result<ExitCode> {
    check_targets(arguments.report.as_deref(), arguments.comparison.as_deref())?;
    check_comparison(arguments)?;
    let request = request(arguments, printer)?;
    if let (Some(_), Some(side)) = (&arguments.comparison, request.bounded()) {
        return settings::refuse(format!(
            "--comparison: of {} only a lower bound is known, for which the file has no place",
            side.identity.name
        ));
    }
    let stop = super::stop_on_interrupt()?;
    let mut told = 0;
    let found = score(&request, &stop, &mut |event| tell(event, &mut told, printer))?;
    let document = documents::evaluate::document(&found);
    printer.document(&document)?;
    if let Some(path) = &arguments.report {
        write_document(&document, path)?;
    }
    if let Some(path) = &arguments.comparison {
        write_comparison(&found, path)?;
    }
    Ok(match &found.reason {
        Reason::All | Reason::Decided => ExitCode::SUCCESS,
        Reason::Stopped => ExitCode::from(STOPPED),
        Reason::Failed(ending) => {
            printer.error(&format!("a window ended as {}: {}", ending.outcome, ending.cause));
            ExitCode::from(FAILED)
        }
    })
}

/// Said before the work: one file holds one candidate, and not every build writes it.
fn check_comparison(arguments: &Evaluate) -> Result<()> {
    match &arguments.comparison {
        Some(_) if !cfg!(feature = "hdf5") => settings::refuse(
            "--comparison: this build writes no HDF5; build with \
             `cargo build --release -p gguflab -p gguflab-worker --features gguflab/hdf5,gguflab-worker/hdf5`"
                .to_string(),
        ),
        Some(_) if arguments.candidates.len() > 1 => {
            settings::refuse("--comparison: the file has room for one candidate".to_string())
        }
        _ => Ok(()),
    }
}

#[cfg(feature = "hdf5")]
fn write_comparison(found: &Evaluated, path: &Path) -> Result<()> {
    Ok(gguflab_lab::evaluate::comparison(found, 0).write(path)?)
}

#[cfg(not(feature = "hdf5"))]
fn write_comparison(_: &Evaluated, _: &Path) -> Result<()> {
    Ok(())
}

/// Says now and then how far it is, and what the engine says to whoever wants to hear it.
pub(super) fn tell(event: Told<'_>, told: &mut usize, printer: &Printer) {
    /// Parts of the way after which it is said.
    const PARTS: usize = 10;
    let progress = match event {
        Told::Progress(progress) => progress,
        Told::Waiting => {
            printer.say("another gguflab measures on this machine: waiting for it");
            return;
        }
        Told::Line(level, text) => {
            if printer.verbosity() > 1 || level >= Level::Error {
                printer.say(&format!("  engine: {text}"));
            }
            return;
        }
    };
    let part = progress.done * PARTS / progress.all.max(1);
    if progress.done == 0 || part > *told {
        *told = part;
        let Progress { done, all, candidates } = progress;
        let racing = if candidates > 1 { format!(", {candidates} candidates in it") } else { String::new() };
        printer.say(&format!("{done} of {all} windows scored{racing}"));
    }
}

fn request(arguments: &Evaluate, printer: &Printer) -> Result<EvaluateRequest> {
    let engine = settings::engine(&arguments.engine)?;
    let side = |text: &String| side(text, &arguments.text, &engine, printer);
    let reference = arguments.reference.as_ref().map(side).transpose()?;
    let mut candidates: Vec<Side> = arguments.candidates.iter().map(side).collect::<Result<_>>()?;
    tell_apart(&mut candidates, &arguments.candidates);
    let stored = reference.iter().chain(&candidates).find_map(|side| side.windowing.clone());
    let texts = texts(&arguments.text, printer)?;
    if texts.is_empty() && reference.as_ref().is_none_or(|side| side.windowing.is_none()) {
        return settings::refuse(
            "--text FILE says what is scored; only a recorded reference needs none".to_string(),
        );
    }
    Ok(EvaluateRequest {
        windowing: windowing(&arguments.text, stored.as_ref())?,
        chunks: arguments.text.chunks.as_deref().map(range).transpose()?,
        reference,
        candidates,
        texts,
        engine,
        cache: places::cache(),
        rule: ending(arguments)?,
        seed: arguments.seed,
        deadlines: settings::deadlines(&arguments.limits),
        journals: arguments.journals.clone().or_else(places::evaluations),
        anew: arguments.anew,
    })
}

/// The perplexity of a text by a model that is measured.
pub(super) fn beside_bench(
    model: &str,
    data: &CardArguments,
    engine: &EngineSpecification,
    settings: &[String],
    stop: &Stop,
    printer: &Printer,
) -> Result<Evaluated> {
    let text = TextArguments {
        text: data.data.iter().cloned().collect(),
        split: data.split.clone(),
        field: data.field.clone(),
        set: settings.to_vec(),
        ..TextArguments::default()
    };
    let request = EvaluateRequest {
        reference: None,
        candidates: vec![side(model, &text, engine, printer)?],
        texts: texts(&text, printer)?,
        windowing: windowing(&text, None)?,
        engine: engine.clone(),
        cache: places::cache(),
        chunks: None,
        rule: Rule::All,
        seed: 42,
        deadlines: Deadlines::default(),
        journals: places::evaluations(),
        anew: false,
    };
    let mut told = 0;
    Ok(score(&request, stop, &mut |event| tell(event, &mut told, printer))?)
}

/// Files of the same name in several folders are called as they were written.
fn tell_apart(sides: &mut [Side], written: &[String]) {
    let names: Vec<String> = sides.iter().map(|side| side.identity.name.clone()).collect();
    for (side, written) in sides.iter_mut().zip(written) {
        if names.iter().filter(|name| **name == side.identity.name).count() > 1 {
            side.identity.name.clone_from(written);
        }
    }
}

/// When it ends.
fn ending(arguments: &Evaluate) -> Result<Rule> {
    match (&arguments.width, arguments.decide) {
        (Some(width), _) => Ok(Rule::Width(share("--width", width)?)),
        (None, true) => Ok(Rule::Decide(share("--margin", &arguments.margin)?)),
        (None, false) => Ok(Rule::All),
    }
}

/// `5%` or `0.05`.
fn share(option: &str, text: &str) -> Result<f64> {
    let (number, factor) = text.strip_suffix('%').map_or((text, 1.0), |number| (number, 0.01));
    match number.trim().parse::<f64>() {
        Ok(number) if number > 0.0 && number * factor < 1.0 => Ok(number * factor),
        _ => settings::refuse(format!("{option} {text}: take a share above 0 and below 1, such as 5%")),
    }
}

/// The texts by their names: plain files as they are, datasets as files that are made of them.
pub(super) fn texts(arguments: &TextArguments, printer: &Printer) -> Result<Vec<Text>> {
    let mut named: Vec<Text> = arguments.text.iter().map(|text| labelled(text)).collect::<Result<_>>()?;
    tell_texts_apart(&mut named);
    let several = named.len() > 1;
    let mut all = Vec::new();
    for text in named {
        if is_plain(&text.path, arguments) {
            all.push(text);
        } else {
            all.extend(of_dataset(&text, several, arguments, printer)?);
        }
    }
    Ok(all)
}

/// Files of the same name in several folders are called by their paths; a name that was given stays.
fn tell_texts_apart(texts: &mut [Text]) {
    let labels: Vec<String> = texts.iter().map(|text| text.label.clone()).collect();
    for text in texts.iter_mut().filter(|text| text.label == stem(&text.path)) {
        if labels.iter().filter(|label| **label == text.label).count() > 1 {
            text.label = text.path.display().to_string();
        }
    }
}

fn stem(path: &Path) -> String {
    path.file_stem().unwrap_or_default().to_string_lossy().into_owned()
}

/// Whether a text is read as it is.
fn is_plain(path: &Path, arguments: &TextArguments) -> bool {
    let parts = [&arguments.split, &arguments.field, &arguments.language_field];
    parts.iter().all(|part| part.is_none())
        && !path.is_dir()
        && !path.to_string_lossy().starts_with("hf:")
        && dataset::is_plain_text(&path.to_string_lossy())
}

fn of_dataset(
    named: &Text,
    several: bool,
    arguments: &TextArguments,
    printer: &Printer,
) -> Result<Vec<Text>> {
    let part = DatasetArguments {
        split: arguments.split.clone(),
        field: arguments.field.clone(),
        language_field: arguments.language_field.clone(),
        by: None,
    };
    let request = super::dataset::request(&named.path.to_string_lossy(), &part)?;
    let dataset = super::dataset::open(&request, printer)?;
    let field = dataset.field();
    printer.say(&format!("{}: the text is `{}`, {}", named.label, field.path, field.why.in_words()));
    let Some(cache) = places::cache() else {
        return settings::refuse(
            "a dataset becomes a text in the cache: name a folder with GGUFLAB_CACHE".to_string(),
        );
    };
    let texts = dataset::write_texts(&dataset, &cache.join("texts"))?;
    let alone = texts.len() == 1;
    // A name that was given counts where there are no languages, and before them where there are several datasets.
    let label = |text: &Text| match (alone, several) {
        (true, _) => named.label.clone(),
        (false, true) => format!("{} {}", named.label, text.label),
        (false, false) => text.label.clone(),
    };
    Ok(texts.into_iter().map(|text| Text { label: label(&text), ..text }).collect())
}

/// What was asked for, and where nothing was what a store was recorded with.
pub(super) fn windowing(arguments: &TextArguments, stored: Option<&Windowing>) -> Result<Windowing> {
    let default = Windowing { rule: WindowRule::LlamaPerplexity, context: 512 };
    let known = stored.unwrap_or(&default);
    let asked = Windowing {
        rule: arguments.protocol.as_deref().map(rule).transpose()?.unwrap_or(known.rule),
        context: arguments.context.unwrap_or(known.context),
    };
    match stored {
        Some(stored) if *stored != asked => {
            let (rule, context) = (stored.rule.name(), stored.context);
            settings::refuse(format!(
                "the store was recorded with --protocol {rule} --context {context}: leave both out, or record it anew"
            ))
        }
        _ => Ok(asked),
    }
}

fn rule(name: &str) -> Result<WindowRule> {
    let found = WindowRule::ALL.into_iter().find(|rule| rule.name() == name);
    found.map_or_else(
        || {
            let names = WindowRule::ALL.map(WindowRule::name).join(" and ");
            settings::refuse(format!("--protocol {name}: there are {names}"))
        },
        Ok,
    )
}

/// `MODEL KNOB=VALUE …`, or a store.
pub(super) fn side(
    text: &str,
    arguments: &TextArguments,
    engine: &EngineSpecification,
    printer: &Printer,
) -> Result<Side> {
    if LogitStore::is_one(Path::new(text)) {
        return Ok(Side::of_store(Path::new(text))?);
    }
    // A path with blanks in it needs no quotes of its own.
    let words = match Path::new(text).exists() {
        true => vec![text.to_string()],
        false => pasted::split(text).or_else(|problem| settings::refuse(format!("`{text}`: {problem}")))?,
    };
    let Some((model, further)) = words.split_first() else {
        return settings::refuse("a side needs a model".to_string());
    };
    let pairs: Vec<String> = arguments.set.iter().chain(further).cloned().collect();
    let workload = Workload::single("evaluate", Request::all_logits(arguments.context.unwrap_or(512).max(1)));
    let (path, cache) = (settings::find_model(model)?, places::cache());
    let parts = Parts { model: Some(&path), engine, workload: &workload, cache: cache.as_deref() };
    let side = Side::of_model(&parts, further, &settings::configuration(&pairs)?)?;
    if let Ok(side) = &side
        && printer.verbosity() > 0
    {
        printer.say(&format!("{}: {}", side.identity.file, side.identity.fingerprint));
    }
    side.or_else(|reason| settings::refuse(format!("{text}: {reason}")))
}

/// `FILE` or `NAME=FILE`.
fn labelled(text: &str) -> Result<Text> {
    let path = Path::new(text);
    Ok(match text.split_once('=') {
        Some((label, file)) if !path.exists() => Text { label: label.to_string(), path: PathBuf::from(file) },
        _ => Text { label: stem(path), path: path.to_path_buf() },
    })
}

/// `A..B`.
pub(super) fn range(text: &str) -> Result<Range<u32>> {
    let ends = text.split_once("..").and_then(|(from, to)| Some((from.parse().ok()?, to.parse().ok()?)));
    match ends {
        Some((from, to)) if from < to => Ok(from..to),
        _ => settings::refuse(format!("--chunks {text}: write A..B with A below B, such as 0..16")),
    }
}
