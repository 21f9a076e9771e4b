//! `gguflab logits`.

use super::evaluate::{range, side, tell, texts, windowing};
use crate::cli::{Logits, LogitsVerb, Record, ShowLogits};
use crate::exit::of_ending;
use crate::printer::{Printer, check_targets};
use crate::{places, settings};
use anyhow::Result;
use gguflab_lab::documents;
use gguflab_lab::evaluate::{RecordRequest, record as keep};
use gguflab_types::Outcome;
use gguflab_types::evaluation::StoreForm;
use std::process::ExitCode;

pub(crate) fn logits(arguments: &Logits, printer: &Printer) -> Result<ExitCode> {
    match &arguments.verb {
        LogitsVerb::Record(arguments) => record(arguments, printer),
        LogitsVerb::Show(arguments) => show(arguments, printer),
    }
}

fn record(arguments: &Record, printer: &Printer) -> Result<ExitCode> {
    check_targets(None, Some(&arguments.output))?;
    let engine = settings::engine(&arguments.engine)?;
    let texts = texts(&arguments.text, printer)?;
    if texts.is_empty() {
        return settings::refuse("--text FILE says what is recorded".to_string());
    }
    let request = RecordRequest {
        reference: side(&arguments.model, &arguments.text, &engine, printer)?,
        texts,
        windowing: windowing(&arguments.text, None)?,
        chunks: arguments.text.chunks.as_deref().map(range).transpose()?,
        path: settings::absolute(&arguments.output)?,
        form: form(arguments)?,
        seed: arguments.seed,
        engine,
        deadlines: settings::deadlines(&arguments.limits),
        cache: places::cache(),
    };
    let stop = super::stop_on_interrupt()?;
    let mut told = 0;
    let recorded = keep(&request, &stop, &mut |event| tell(event, &mut told, printer))?;
    printer.document(&documents::logits::recorded(&request, &recorded))?;
    Ok(match &recorded.ending {
        None => ExitCode::SUCCESS,
        Some(ending) => {
            if ending.outcome != Outcome::Cancelled {
                printer.error(&format!("a window ended as {}: {}", ending.outcome, ending.cause));
            }
            ExitCode::from(of_ending(ending))
        }
    })
}

fn form(arguments: &Record) -> Result<StoreForm> {
    match (arguments.form.as_str(), arguments.head) {
        ("sketch", 0) => settings::refuse("--head 0 keeps no likeliest token: take 1 or more".to_string()),
        ("sketch", _) if arguments.tail < 2 => {
            let text =
                format!("--tail {}: take 2 or more, or nothing is known of what is not kept", arguments.tail);
            settings::refuse(text)
        }
        ("sketch", head) => Ok(StoreForm::Sketch { head, tail: arguments.tail }),
        ("llama", _) => Ok(StoreForm::Llama),
        ("hdf5", _) => Ok(StoreForm::Hdf5 { half: false }),
        ("hdf5-half", _) => Ok(StoreForm::Hdf5 { half: true }),
        (other, _) => {
            settings::refuse(format!("--form {other}: there are sketch, llama, hdf5 and hdf5-half"))
        }
    }
}

fn show(arguments: &ShowLogits, printer: &Printer) -> Result<ExitCode> {
    printer.document(&documents::logits::shown(&arguments.file)?)?;
    Ok(ExitCode::SUCCESS)
}
