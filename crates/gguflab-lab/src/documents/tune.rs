//! What a tune found.

mod anomalies;
mod next;
mod race;

use super::study::trial_table;
use super::words::{in_words, natural, percent};
use super::{objectives, quality, subject, survey};
use crate::commands::{self, TakeAway};
use crate::effects::Effects;
use crate::study::OpenStudy;
use crate::survey::Survey;
use gguflab_report::{Cell, Document};
use gguflab_search::Conclusion;
use gguflab_search::race::RaceResult;
use gguflab_stats::Verdict;
use gguflab_types::{Configuration, Outcome, Purpose, Trial, Unit};
use std::path::Path;

/// How much of a study a document tells.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Detail {
    /// What came of it, and the race.
    Summary,
    /// Every trial too.
    Full,
}

/// The document of a study: the verdict first, then how it came about. `model` is where the model lies now, for
/// the command lines; with `explain` it says of each knob in words what it did.
#[must_use]
pub fn document(
    study: &OpenStudy,
    trials: &[Trial],
    conclusion: Option<&Conclusion>,
    model: &Path,
    detail: Detail,
    explain: bool,
) -> Document {
    let mut document = Document::new(format!("Tuning {}", study.study.subject.model.name));
    let qualities = study.qualities(trials);
    let winner = verdict(study, conclusion, &mut document);
    if let Some(winner) = &winner {
        take_away(study, winner, model, detail, &mut document);
        quality::of_winner(study, winner, &qualities, &mut document);
    }
    if let Some(Conclusion::Raced(race)) = conclusion {
        document.heading(1, "Race");
        document.paragraph(race::race_in_words(race, study));
        document.table(race::race_table(race, study));
        document.chart(race::race_chart(race));
    }
    anomalies::add(study, trials, &mut document);
    objectives::front(study, trials, &qualities, winner.as_ref(), &mut document);
    objectives::requirements(study, trials, &qualities, &mut document);
    quality::add(study, trials, &qualities, conclusion, &mut document);
    let tried = Survey::of(study, trials);
    let effects = Effects::of(&tried);
    if explain {
        survey::explain::add(&tried, &effects, study.settings.margin, &mut document);
    }
    next::add(study, &tried, &effects, conclusion, &mut document);
    if detail == Detail::Full {
        survey::add(&tried, &effects, &mut document);
    }
    survey::failures::add(&tried, &tried.pooled(), &mut document);
    objectives::cut(study, trials, &mut document);
    document.heading(1, "Search");
    document.facts(search_facts(study, trials));
    super::rules::describe(&mut document, &study.plan.space);
    document.heading(1, "Subject");
    document.facts(subject::facts(&study.study.subject));
    if detail == Detail::Full {
        let mut all = Document::new("");
        all.table(trial_table(study, trials));
        document.fold(format!("All {} trials", trials.len()), all);
    }
    document
}

/// Says what came of it; gives the configuration to use.
fn verdict(
    study: &OpenStudy,
    conclusion: Option<&Conclusion>,
    document: &mut Document,
) -> Option<Configuration> {
    match conclusion {
        None => {
            document.warning("the search is not over: go on with `gguflab tune … --resume`");
            None
        }
        Some(Conclusion::Raced(race)) => {
            document.paragraph(verdict_in_words(race, study));
            if let Some(words) = tie_in_words(race, study) {
                document.paragraph(words);
            }
            Some(race.winner.clone())
        }
        Some(Conclusion::Unraced { winner, reason }) => {
            document.paragraph(format!("Use `{winner}`. There was no race: {reason}."));
            Some(winner.clone())
        }
        Some(Conclusion::AllMiss { nearest, miss, count, visits }) => {
            document.warning(format!(
                "nothing can be recommended: {count} of {visits} trials ran and miss what is required"
            ));
            document.paragraph(format!(
                "The nearest is `{nearest}`: it {miss}. Loosen that requirement, widen the space with --knob, or take a \
                 shorter workload."
            ));
            None
        }
        Some(Conclusion::AllFailed { outcome, cause, count, visits }) => {
            document.warning(format!(
                "nothing ran: {count} of {visits} trials ended as {outcome}, because: {cause}"
            ));
            document.paragraph(remedy(*outcome));
            None
        }
    }
}

fn remedy(outcome: Outcome) -> &'static str {
    match outcome {
        Outcome::OutOfMemory => {
            "Take a shorter workload (--depth, --prompt), a smaller model or fewer gpu-layers."
        }
        Outcome::TimedOut => "Give more time with --timeout-per-trial, or take a shorter workload.",
        Outcome::Rejected => "Look at the settings: the engine refuses them for this model.",
        _ => "Look at the engine's log with `gguflab study show STUDY 0 --log`.",
    }
}

/// The difference in words that do not depend on the direction of the objective: always in terms of time.
fn verdict_in_words(race: &RaceResult, study: &OpenStudy) -> String {
    let objective = study.objective;
    let baseline = if study.settings.baseline.is_default() { "llama.cpp's defaults" } else { "the baseline" };
    let (leader, difference) = match (&race.leader, &race.difference) {
        (Some(leader), Some(difference)) => (leader, difference),
        (Some(leader), None) if race.verdict == Verdict::Better => {
            let missing = !study.requirements.is_empty();
            let why = if missing { "do not run or miss what is required" } else { "do not run" };
            return format!("Use `{leader}`: {baseline} {why}, and it was the best of those that do.");
        }
        _ => return format!("Keep {baseline}: no other configuration lasted to the end of the race."),
    };
    let amount = in_words(&natural(difference, objective.direction), "too few rounds");
    let broken = race.tie_break.is_some();
    let tie = if broken { format!(" with {baseline}") } else { format!(": keep {baseline}") };
    match race.verdict {
        Verdict::Better if broken => {
            format!("`{leader}` is better than {baseline}: {} {amount}.", objective.name)
        }
        Verdict::Better => format!("Use `{leader}`: {} against {baseline} {amount}.", objective.name),
        Verdict::Indistinguishable => format!(
            "A tie{tie}. The best other configuration, `{leader}`, differs in {} by {amount}, which is \
             within the margin of {}.",
            objective.name,
            percent(study.settings.margin)
        ),
        Verdict::Undecided => format!(
            "A tie so far{tie}. The best other configuration, `{leader}`, differs in {} by {amount}; \
             the budget ended before they could be told apart.",
            objective.name
        ),
        Verdict::Worse => format!(
            "Keep {baseline}: the best other configuration, `{leader}`, is worse ({} {amount}).",
            objective.name
        ),
    }
}

/// How a second objective decided where the first did not, or that it did not either.
fn tie_in_words(race: &RaceResult, study: &OpenStudy) -> Option<String> {
    let second = study.tie_break?;
    let (winner, name) = (&race.winner, second.name);
    if let Some(tie) = &race.tie_break {
        let amount = in_words(&natural(&tie.difference, second.direction), "too few rounds");
        return Some(format!(
            "The tie is broken by {name}: use `{winner}`, whose {name} differs from that of `{}` by {amount}.",
            tie.over
        ));
    }
    (race.tie() || !race.tied.is_empty())
        .then(|| format!("{name} was to break a tie, and no difference in it was shown either."))
}

/// The command lines that reproduce the winner.
fn take_away(
    study: &OpenStudy,
    winner: &Configuration,
    model: &Path,
    detail: Detail,
    document: &mut Document,
) {
    let spelled_out = winner.spelled_out(study.plan.space.facts());
    commands::add_commands(document, &taken(study, &spelled_out, model), detail == Detail::Full);
    if let Some(note) = engine_note(study) {
        document.information(note);
    }
}

fn taken<'a>(study: &'a OpenStudy, configuration: &'a Configuration, model: &'a Path) -> TakeAway<'a> {
    let (workload, engine) = (&study.settings.workload, &study.study.subject.engine);
    TakeAway { model, configuration, workload, engine }
}

/// The configuration to use: the winner, or the baseline where nothing is better; `None` before the search is over
/// and where nothing ran.
#[must_use]
pub fn winner(conclusion: Option<&Conclusion>) -> Option<&Configuration> {
    match conclusion? {
        Conclusion::Raced(race) => Some(&race.winner),
        Conclusion::Unraced { winner, .. } => Some(winner),
        Conclusion::AllMiss { .. } | Conclusion::AllFailed { .. } => None,
    }
}

/// A file for each tool that reproduces the winner: name and text. `None` where there is no winner.
#[must_use]
pub fn take_away_files(
    study: &OpenStudy,
    conclusion: Option<&Conclusion>,
    model: &Path,
) -> Option<Vec<(&'static str, String)>> {
    let spelled_out = winner(conclusion)?.spelled_out(study.plan.space.facts());
    Some(commands::files(&taken(study, &spelled_out, model)))
}

/// What the command lines do not carry of how it was measured.
fn engine_note(study: &OpenStudy) -> Option<String> {
    let engine = &study.study.subject.engine;
    let plain = engine.environment.is_empty() && engine.wrapper.is_empty() && engine.library_paths.is_empty();
    let default = gguflab_types::Protocol::default();
    let protocol = &study.settings.protocol;
    let usual = protocol.prompt == default.prompt && protocol.text.is_empty();
    (engine.kind != "embedded" || !plain || !usual).then(|| {
        "the command lines carry the settings only: engine, environment, wrapper and prompts are as shown under Subject"
            .to_string()
    })
}

fn objectives_in_words(study: &OpenStudy) -> String {
    let names: Vec<&str> = study.objectives.iter().map(|objective| objective.name).collect();
    match names.len() {
        1 => study.objective.help.to_string(),
        _ => format!("{}; raced: {}", names.join(", "), study.objective.help),
    }
}

fn search_facts(study: &OpenStudy, trials: &[Trial]) -> Vec<(String, Cell)> {
    let settings = &study.settings;
    let requests: Vec<String> = settings.workload.requests.iter().map(|request| request.label()).collect();
    let count = |purpose: Purpose| trials.iter().filter(|trial| trial.purpose == purpose).count() as u64;
    vec![
        ("workload".to_string(), Cell::text(format!("{}: {}", settings.workload.name, requests.join(", ")))),
        ("objective".to_string(), Cell::text(objectives_in_words(study))),
        ("pruner".to_string(), Cell::text(&settings.pruner)),
        ("configurations".to_string(), Cell::text(study.plan.space.size().to_string())),
        ("sampler".to_string(), Cell::text(study.plan.sampler().name)),
        ("trials".to_string(), Cell::count(trials.len() as u64)),
        ("of the baseline".to_string(), Cell::count(count(Purpose::Baseline))),
        ("of the race".to_string(), Cell::count(count(Purpose::Race))),
        ("enqueued by name".to_string(), Cell::count(count(Purpose::Enqueued))),
        ("of other programs".to_string(), Cell::count(count(Purpose::Foreign))),
        ("time in trials".to_string(), Cell::number(OpenStudy::elapsed(trials), Unit::Seconds)),
        ("seed".to_string(), Cell::count(settings.seed)),
    ]
}
