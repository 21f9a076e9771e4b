//! `gguflab tune`.

use super::report::Written;
use crate::cli::Tune;
use crate::exit::{FAILED, STOPPED};
use crate::printer::{Printer, check_targets, write_document};
use crate::{places, settings, space};
use anyhow::Result;
use gguflab_lab::documents::Detail;
use gguflab_lab::space_file::SpaceFile;
use gguflab_lab::study::check_request;
use gguflab_lab::tune::{Found, TuneWatcher, Tuned, preview, tune as search};
use gguflab_lab::{Budget, Objective, StudyError};
use gguflab_lab::{Conclusion, Laboratory, Stage, Store, TuneRequest};
use gguflab_report::{Cell, Column, Document, Table};
use gguflab_types::event::Level;
use gguflab_types::workload;
use gguflab_types::{Configuration, Ending, Outcome, Protocol, Purpose, Unit};
use indicatif::{ProgressBar, ProgressStyle};
use std::process::ExitCode;
use std::time::Duration;

pub(crate) fn tune(arguments: &Tune, printer: &Printer) -> Result<ExitCode> {
    check_targets(arguments.report.as_deref(), None)?;
    let chosen = settings::workload(&super::quality::workload(arguments), Some("chat"))?;
    let (mut engine, variables) = settings::searched_engine(&arguments.engine)?;
    let file = space::read(arguments.space.as_deref(), &mut engine)?;
    let mut laboratory = super::laboratory(arguments.model.as_deref(), &engine, &chosen, printer)?;
    let mut request = request(arguments, file, variables, &mut laboratory, printer)?;
    request.quality =
        super::quality::request(arguments, &engine, &laboratory, &request.requirements, printer)?;
    if arguments.dry_run {
        return dry_run(&laboratory, &request, printer);
    }
    let path = match &arguments.store.store {
        Some(path) => path.clone(),
        None => places::default_store()?,
    };
    // What cannot be tuned leaves no file behind. A file that is there may say what is to be tuned.
    if !path.exists() {
        check_request(&laboratory, &request)?;
    }
    if request.resume && !path.exists() {
        return Err(StudyError::Missing { name: request.study, file: path.display().to_string() }.into());
    }
    let stop = super::stop_on_interrupt()?;
    if let Some(quality) = &request.quality {
        quality.check(&mut laboratory, &request.baseline, request.deadlines, &stop)?;
    }
    let mut store = Store::open(&path)?;
    printer.say(&format!("study `{}` in {}", request.study, path.display()));
    let mut watcher = Watcher::new(printer, request.raced());
    let tuned = search(&mut laboratory, &mut store, &request, &stop, &mut watcher);
    watcher.bar.finish_and_clear();
    // Closing writes everything into the one file that people copy; what is exported is read before.
    let ended = tuned.map_err(anyhow::Error::from).and_then(|tuned| {
        let model = settings::whole_path(laboratory.model());
        let written = Written {
            study: &tuned.study,
            trials: &tuned.trials,
            conclusion: tuned.conclusion.as_ref(),
            model: &model,
            explain: arguments.files.explain,
        };
        // Printed first: the result is seen even when a file cannot be written.
        printer.document(&written.document(printer.detail()))?;
        if let Some(path) = &arguments.report {
            write_document(&written.document(Detail::Full), path)?;
            printer.say(&format!("report: {}", path.display()));
        }
        written.files(&arguments.files, &mut store, printer)?;
        Ok(tuned)
    });
    let closed = store.close();
    let tuned = ended?;
    closed?;
    Ok(code(&tuned, printer))
}

fn code(tuned: &Tuned, printer: &Printer) -> ExitCode {
    match &tuned.conclusion {
        None => {
            printer.say("stopped; go on with the same command and --resume");
            ExitCode::from(STOPPED)
        }
        Some(Conclusion::AllMiss { nearest, miss, .. }) => {
            printer.error(&format!("nothing keeps to what is required; the nearest, `{nearest}`, {miss}"));
            ExitCode::from(FAILED)
        }
        Some(Conclusion::AllFailed { outcome, cause, .. }) => {
            printer.error(&format!("every trial failed, most as {outcome}: {cause}"));
            ExitCode::from(FAILED)
        }
        Some(_) => ExitCode::SUCCESS,
    }
}

fn request(
    arguments: &Tune,
    file: SpaceFile,
    variables: Vec<settings::Variable>,
    laboratory: &mut Laboratory,
    printer: &Printer,
) -> Result<TuneRequest> {
    let usual = if laboratory.workload().name == workload::LOGITS { "prefill" } else { "time" };
    let named = arguments.objective.as_deref().unwrap_or(usual);
    let objectives = settings::objectives(named, &laboratory.metrics)?;
    let searched = space::space(arguments, file, variables, laboratory)?;
    let baseline = space::baseline(arguments, laboratory, printer)?;
    if !(arguments.margin.is_finite() && (0.0..1.0).contains(&arguments.margin)) {
        return settings::refuse(format!("--margin {}: write a fraction from 0 to 1", arguments.margin));
    }
    Ok(TuneRequest {
        study: arguments.study.clone().unwrap_or_else(|| study_name(laboratory, &objectives)),
        space: searched,
        baseline,
        objective_given: arguments.objective.is_some(),
        tie_break: settings::tie_break(arguments.tie_break.as_deref(), &objectives, &laboratory.metrics)?,
        requirements: settings::requirements("--require", &arguments.require, &laboratory.metrics)?,
        quality: None,
        pruner: settings::pruner(&arguments.pruner, &objectives)?,
        objectives,
        sampler: arguments.sampler.clone(),
        budget: Budget { runs: arguments.budget_runs, seconds: arguments.budget_time },
        margin: arguments.margin,
        seed: arguments.workload.seed,
        // A noisy visit is worth one more try; beyond that, further visits tell more.
        protocol: Protocol { retries: 1, ..settings::protocol(&arguments.workload, arguments.repetitions)? },
        deadlines: settings::deadlines(&arguments.limits),
        resume: arguments.resume,
        recheck: arguments.recheck,
    })
}

/// A name that is the same for the same job, and needs no quotes in a shell.
fn study_name(laboratory: &Laboratory, objectives: &[&Objective]) -> String {
    let objectives: Vec<&str> = objectives.iter().map(|objective| objective.name).collect();
    let subject = &laboratory.subject;
    let fingerprint: String =
        subject.model.fingerprint.rsplit(':').next().unwrap_or_default().chars().take(8).collect();
    let model = subject.model.file.trim_end_matches(".gguf");
    let model = if model.is_empty() { &subject.model.name } else { model };
    let (engine, workload) = (&subject.engine.kind, &laboratory.workload().name);
    format!("{model}-{fingerprint}-{engine}-{workload}-{}", objectives.join("+"))
        .replace(char::is_whitespace, "-")
}

fn dry_run(laboratory: &Laboratory, request: &TuneRequest, printer: &Printer) -> Result<ExitCode> {
    let planned = preview(laboratory, request, &|_| laboratory.expected_seconds())?;
    let mut document = Document::new(format!("What tuning {} would run", laboratory.subject.model.name));
    let total: f64 = planned.iter().map(|visit| visit.seconds).sum();
    document.facts([
        ("trials", Cell::count(planned.len() as u64)),
        ("estimated time", Cell::number(total, Unit::Seconds)),
    ]);
    document.information(
        "the time is a rough guess from the size of the model; the screen goes on from what it finds faster",
    );
    gguflab_lab::documents::rules::describe(&mut document, &check_request(laboratory, request)?.1);
    let columns = [
        Column::new("trial"),
        Column::new("purpose"),
        Column::new("configuration"),
        Column::with_unit("estimated time", Unit::Seconds),
    ];
    let mut table = Table::new("", columns);
    for (number, visit) in planned.iter().enumerate() {
        let configuration = visit.configuration.as_ref();
        table.push([
            Cell::count(number as u64),
            Cell::text(visit.purpose.name()),
            configuration.map_or(Cell::missing("a finalist"), |made| Cell::code(made.to_string())),
            Cell::number(visit.seconds, Unit::Seconds),
        ]);
    }
    document.table(table);
    printer.document(&document)?;
    Ok(ExitCode::SUCCESS)
}

struct Watcher<'a> {
    printer: &'a Printer,
    objective: &'static Objective,
    bar: ProgressBar,
    running: String,
    best: Option<f64>,
}

impl<'a> Watcher<'a> {
    fn new(printer: &'a Printer, objective: &'static Objective) -> Watcher<'a> {
        let bar = if printer.draws_progress() { ProgressBar::new(0) } else { ProgressBar::hidden() };
        if let Ok(style) = ProgressStyle::with_template("{spinner} {prefix} {pos}/{len} {msg} [{elapsed}]") {
            bar.set_style(style);
        }
        if printer.draws_progress() {
            bar.enable_steady_tick(Duration::from_millis(200));
        }
        Watcher { printer, objective, bar, running: String::new(), best: None }
    }

    /// Says a line without tearing the bar.
    fn say(&self, text: &str) {
        self.bar.suspend(|| self.printer.say(text));
    }

    fn note_best(&mut self, value: f64) -> &'static str {
        let cost = self.objective.to_cost(value);
        let best = self.best.is_none_or(|best| cost < best);
        if best {
            self.best = Some(cost);
        }
        if best { " *" } else { "" }
    }
}

impl TuneWatcher for Watcher<'_> {
    fn opened(&mut self, study: &gguflab_lab::OpenStudy) {
        self.objective = study.objective;
    }

    fn warning(&mut self, text: &str) {
        self.bar.suspend(|| self.printer.warn(text));
    }

    fn started(&mut self, number: u32, purpose: Purpose, configuration: &Configuration, stage: &Stage) {
        self.running = format!("{number:>3} {:<8} {configuration}", purpose.name());
        self.bar.set_length(stage.expected as u64);
        self.bar.set_position(stage.done as u64);
        self.bar.set_prefix(stage.name);
        self.bar.set_message(configuration.to_string());
    }

    fn scored(&mut self, done: usize, all: usize) {
        self.bar.set_message(format!("scoring: {done} of {all} windows at most"));
    }

    fn judged(&mut self, words: &str) {
        self.say(&format!("  {words}"));
    }

    fn line(&mut self, level: Level, text: &str) {
        if self.printer.verbosity() > 1 || level >= Level::Error {
            self.say(&format!("  engine: {text}"));
        }
    }

    fn finished(&mut self, _number: u32, ending: &Ending, found: &Found, seconds: f64) {
        let result = match (ending.outcome, found.value) {
            (Outcome::Measured, Some(value)) => {
                let mark = match &found.violation {
                    Some(violation) => format!(", {}", violation.words),
                    None => self.note_best(value).to_string(),
                };
                format!("{}{mark}", gguflab_report::format::number(value, self.objective.unit))
            }
            (outcome, _) => format!("{outcome}: {}", ending.cause),
        };
        self.say(&format!("{}: {result} ({seconds:.1} s)", self.running));
    }
}
