//! `gguflab dataset show`, `slice`, `sample` and `overlap`.

use crate::cli::{
    DatasetArguments, DatasetCommand, DatasetOverlap, DatasetSample, DatasetShow, DatasetSlice, DatasetVerb,
    EngineArguments,
};
use crate::exit::FileError;
use crate::printer::{Printer, check_targets, write_document};
use crate::settings;
use anyhow::Result;
use gguflab_lab::Places;
use gguflab_lab::dataset::{
    self, Amount, CountTokens, Dataset, DatasetError, DatasetRequest, EngineCounter, FieldPath,
    OverlapOptions, SampleFile, SampleRequest, SliceOptions, Split, TokenEstimate,
};
use gguflab_lab::documents::{self, Detail};
use gguflab_types::{Request, Workload};
use std::path::Path;
use std::process::ExitCode;

/// Records of each language where nothing is said.
const SAMPLES: u64 = 200;

pub(crate) fn dataset(command: &DatasetCommand, printer: &Printer) -> Result<ExitCode> {
    match &command.verb {
        DatasetVerb::Show(arguments) => show(arguments, printer)?,
        DatasetVerb::Slice(arguments) => slice(arguments, printer)?,
        DatasetVerb::Sample(arguments) => sample(arguments, printer)?,
        DatasetVerb::Overlap(arguments) => overlap(arguments, printer)?,
    }
    Ok(ExitCode::SUCCESS)
}

fn show(arguments: &DatasetShow, printer: &Printer) -> Result<()> {
    let dataset = open(&request(&arguments.name, &arguments.dataset)?, printer)?;
    let survey = dataset::survey(&dataset, arguments.first)?;
    printer.document(&documents::dataset::survey(&dataset, &survey))
}

fn slice(arguments: &DatasetSlice, printer: &Printer) -> Result<()> {
    check_targets(None, Some(&arguments.output))?;
    let dataset = open(&request(&arguments.name, &arguments.dataset)?, printer)?;
    let dataset = match &arguments.rows {
        Some(rows) => dataset.with_rows(Split::rows(rows)?.range(u64::MAX)),
        None => dataset,
    };
    let options = SliceOptions { strip: arguments.strip };
    let slice = dataset::write_slice(&dataset, options, &arguments.output)?;
    printer.document(&documents::dataset::slice(&dataset, &slice, &arguments.output.display().to_string()))
}

fn sample(arguments: &DatasetSample, printer: &Printer) -> Result<()> {
    check_targets(None, Some(&arguments.output))?;
    let mut counter = counter(arguments, printer)?;
    let languages = match &arguments.model_card {
        Some(card) => languages(card)?,
        None => arguments.languages.clone(),
    };
    let common = request("", &arguments.dataset)?;
    let mut datasets = Vec::new();
    for name in &arguments.names {
        for request in dataset::requests(name, &common, &languages)? {
            datasets.push(open(&request, printer)?);
        }
    }
    let amount = arguments.tokens.map(Amount::Tokens);
    let records = arguments.more.or(arguments.samples).unwrap_or(SAMPLES);
    let request = SampleRequest {
        languages,
        amount: amount.unwrap_or(Amount::Records(records)),
        skip: arguments.skip,
        chunk: arguments.chunk_size,
        seed: arguments.seed,
    };
    let file = SampleFile {
        path: arguments.output.clone(),
        tags: arguments.tags,
        more: arguments.more.is_some(),
        overwrite: arguments.overwrite,
    };
    let written = dataset::write_sample(&datasets, &request, &file, counter.as_mut())?;
    let target = arguments.output.display().to_string();
    printer.document(&documents::dataset::sample(&written, &datasets, &target, &counter.name()))
}

/// What counts tokens.
fn counter(arguments: &DatasetSample, printer: &Printer) -> Result<Box<dyn CountTokens>> {
    if let Some(model) = &arguments.model {
        let workload = Workload::single("tokens", Request::new(1, 0));
        let engine = settings::engine(&EngineArguments::default())?;
        let laboratory = super::laboratory(Some(model), &engine, &workload, printer)?;
        return Ok(Box::new(EngineCounter::new(laboratory, super::stop_on_interrupt()?)));
    }
    let bytes = arguments.bytes_per_token;
    if !(bytes.is_finite() && bytes > 0.0) {
        return settings::refuse(format!("--bytes-per-token {bytes}: take a number above 0"));
    }
    Ok(Box::new(TokenEstimate { bytes }))
}

fn languages(card: &Path) -> Result<Vec<String>> {
    let text = std::fs::read_to_string(card).map_err(|source| FileError {
        what: "read",
        path: card.to_path_buf(),
        source,
    })?;
    dataset::languages_of_card(&text)
        .or_else(|reason| settings::refuse(format!("{}: {reason}; give --languages", card.display())))
}

fn overlap(arguments: &DatasetOverlap, printer: &Printer) -> Result<()> {
    check_targets(arguments.report.as_deref(), None)?;
    let side = |name: &str, split: &Option<String>| {
        let (split, field, by) = (split.clone(), arguments.field.clone(), arguments.by);
        let all = DatasetArguments { split, field, language_field: None, by };
        open(&request(name, &all)?, printer)
    };
    let evaluation = [side(&arguments.evaluation, &arguments.evaluation_split)?];
    let training = arguments.training.iter().map(|name| side(name, &arguments.training_split));
    let training: Vec<Dataset> = training.collect::<Result<_>>()?;
    let (words, similarity) = (arguments.words, arguments.similarity);
    let options = OverlapOptions { words, similarity, ..OverlapOptions::default() };
    let found = dataset::overlap(&evaluation, &training, &options)?;
    let document = |detail| documents::dataset::overlap(&found, &evaluation, &training, &options, detail);
    printer.document(&document(printer.detail()))?;
    arguments.report.as_deref().map_or(Ok(()), |path| write_document(&document(Detail::Full), path))
}

/// A dataset as the arguments name it.
pub(super) fn request(name: &str, arguments: &DatasetArguments) -> Result<DatasetRequest, DatasetError> {
    let field = |path: &Option<String>| path.as_deref().map(FieldPath::parse).transpose();
    Ok(DatasetRequest {
        name: name.to_owned(),
        split: arguments.split.as_deref().map(Split::parse).transpose()?,
        field: field(&arguments.field)?,
        language_field: field(&arguments.language_field)?,
        language: None,
        unit: arguments.by,
    })
}

/// Finds a dataset, and says of each file that has to be downloaded when it is there.
pub(super) fn open(request: &DatasetRequest, printer: &Printer) -> Result<Dataset> {
    let mut last = String::new();
    let dataset = Dataset::open(request, &Places::system(), &mut |step| {
        if step.done_bytes == step.total_bytes && step.file != last {
            last.clone_from(&step.file);
            printer.say(&format!("{} is here ({} of {})", step.file, step.part, step.parts));
        }
    })?;
    Ok(dataset)
}
