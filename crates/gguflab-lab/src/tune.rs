//! Finds a better configuration for a machine and a workload, and proves it.

use crate::anomaly;
use crate::laboratory::Laboratory;
use crate::quality::{Said, Scoring};
use crate::requirement::violation;
use crate::run::{Recorder, is_complete, run, without_samples};
use crate::study::{OpenStudy, StudyError, TuneRequest, open_study};
use gguflab_engine::Stop;
use gguflab_search::tuning::{PlannedVisit, dry_run, next, stage};
use gguflab_search::{Conclusion, Part, Progress, Pruner, Stage, Step, Violation};
use gguflab_store::{NewTrial, Store, StoreError, TrialHandle};
use gguflab_types::event::{Level, Phase};
use gguflab_types::{Configuration, Ending, Outcome, Purpose, Repetition, Trial};
use std::time::{Duration, Instant};

/// Seconds without a sign of life after which a trial of another machine's worker counts as dead.
const GRACE: f64 = 60.0;
/// How often a running trial says that it lives.
const HEARTBEAT: Duration = Duration::from_secs(5);
/// How long to wait for another worker before asking again.
const PATIENCE: Duration = Duration::from_millis(200);

/// What happens while a study is tuned.
pub trait TuneWatcher {
    /// The study is open: what it makes better may be what Optuna says there.
    fn opened(&mut self, _study: &OpenStudy) {}
    /// Something the user should know.
    fn warning(&mut self, _text: &str) {}
    /// A trial begins.
    fn started(&mut self, _number: u32, _purpose: Purpose, _configuration: &Configuration, _stage: &Stage) {}
    /// A phase of it begins.
    fn phase(&mut self, _phase: Phase) {}
    /// The engine said something.
    fn line(&mut self, _level: Level, _text: &str) {}
    /// So many windows of the text that quality is judged by are scored, of so many.
    fn scored(&mut self, _done: usize, _all: usize) {}
    /// What came of it, in words.
    fn judged(&mut self, _words: &str) {}
    /// It ended.
    fn finished(&mut self, _number: u32, _ending: &Ending, _found: &Found, _seconds: f64) {}
}

/// What a trial that has ended comes to; all of it only where it was measured.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Found {
    /// The raced objective in its own unit.
    pub value: Option<f64>,
    /// All objectives in their own units, where all of them were measured.
    pub values: Option<Vec<f64>>,
    /// By how much it misses each requirement (0 and below: it does not), where there are some and all were measured.
    pub misses: Option<Vec<f64>>,
    /// How it misses what is required.
    pub violation: Option<Violation>,
}

impl Found {
    fn of(study: &OpenStudy, ending: &Ending, repetitions: &[Repetition], said: &Said) -> Found {
        if ending.outcome != Outcome::Measured {
            return Found::default();
        }
        let workload = &study.settings.workload;
        let shown = study.shown(repetitions, Some(said));
        let misses = study.requirements.iter().map(|one| one.miss(shown));
        Found {
            value: study.objective.value(repetitions, workload),
            values: study.values_of(repetitions),
            misses: misses.collect::<Option<Vec<f64>>>().filter(|misses| !misses.is_empty()),
            violation: violation(&study.requirements, shown),
        }
    }
}

/// How a tune came out.
#[derive(Debug)]
pub struct Tuned {
    /// The study.
    pub study: OpenStudy,
    /// All its trials.
    pub trials: Vec<Trial>,
    /// The conclusion; `None` when the user stopped it before.
    pub conclusion: Option<Conclusion>,
}

/// Tunes until the search is over or the user stops it. Joins the study when it exists: each trial is handed out
/// once, whoever asks.
///
/// # Errors
/// [`StudyError`]: another subject or other settings, or a store that does not work. What was measured is kept.
pub fn tune(
    laboratory: &mut Laboratory,
    store: &mut Store,
    request: &TuneRequest,
    stop: &Stop,
    watcher: &mut dyn TuneWatcher,
) -> Result<Tuned, StudyError> {
    let (study, warnings) = open_study(store, laboratory, request)?;
    study.keep_budget(store)?;
    watcher.opened(&study);
    for warning in laboratory.warnings.iter().chain(&laboratory.memory_warning()).chain(&warnings) {
        watcher.warning(warning);
    }
    if study.settings.quality.is_some() && !study.may_lose() {
        watcher.warning("no knob that is searched changes what the model says: what is required of it holds for all that is searched");
    }
    let mut conclusion = None;
    while !stop.is_set() {
        for number in store.fail_stale_trials(study.study.id, GRACE)? {
            watcher.warning(&format!(
                "trial {number} was left behind by a process that ended; it counts as cancelled"
            ));
        }
        let mut wait = || watcher.warning("another gguflab measures on this machine: waiting for it");
        let Some(turn) = laboratory.take_turn(stop, &mut wait) else { break };
        if let Some((handle, new, stage)) = take_waiting(store, &study, watcher)? {
            watcher.started(handle.number(), new.purpose, &new.configuration, &stage);
            let pruner = Pruner::new(request.pruner, &study.visits(store.trials(study.study.id)?));
            one_trial(laboratory, store, &study, request, &handle, &new, pruner, stop, watcher)?;
            continue;
        }
        match hand_out(store, &study, request)? {
            Handed::Trial(handle, new, stage, pruner) => {
                watcher.started(handle.number(), new.purpose, &new.configuration, &stage);
                one_trial(laboratory, store, &study, request, &handle, &new, pruner, stop, watcher)?;
            }
            Handed::Wait => {
                drop(turn);
                std::thread::sleep(PATIENCE);
            }
            Handed::Over(done) => match again(store, &study, request)? {
                Some((handle, new, stage)) => {
                    watcher.started(handle.number(), new.purpose, &new.configuration, &stage);
                    let pruner = Pruner::new(request.pruner, &[]);
                    one_trial(laboratory, store, &study, request, &handle, &new, pruner, stop, watcher)?;
                }
                None => {
                    conclusion = Some(*done);
                    break;
                }
            },
        }
    }
    let trials = store.trials(study.study.id)?.to_vec();
    Ok(Tuned { study, trials, conclusion })
}

/// What a search would run, without running it. `seconds` is what one visit is expected to take.
///
/// # Errors
/// [`StudyError::Search`] when the space cannot be searched.
pub fn preview(
    laboratory: &Laboratory,
    request: &TuneRequest,
    seconds: &dyn Fn(&Configuration) -> f64,
) -> Result<Vec<PlannedVisit>, StudyError> {
    let mut store = Store::memory()?;
    let begun = TuneRequest { resume: false, ..request.clone() };
    let (study, _) = open_study(&mut store, laboratory, &begun)?;
    Ok(dry_run(&study.plan, seconds))
}

/// What a stored study says so far; `None` when its search is not over.
#[must_use]
pub fn conclusion(study: &OpenStudy, trials: &[Trial]) -> Option<Conclusion> {
    match next(&study.plan, &study.visits(trials), OpenStudy::elapsed(trials)) {
        Step::Done(conclusion) => Some(conclusion),
        Step::Visit { .. } | Step::Wait => None,
    }
}

enum Handed {
    Trial(TrialHandle, NewTrial, Stage, Pruner),
    Wait,
    Over(Box<Conclusion>),
}

/// Takes the first trial that waits in the study's queue: what somebody asked for by name goes before the search.
fn take_waiting(
    store: &mut Store,
    study: &OpenStudy,
    watcher: &mut dyn TuneWatcher,
) -> Result<Option<(TrialHandle, NewTrial, Stage)>, StoreError> {
    let claimed = store.claim_waiting(study.study.id, &mut |fixed| study.asked(fixed))?;
    for (number, reason) in &claimed.refused {
        watcher.warning(&format!("trial {number} was enqueued and cannot be run: {reason}"));
    }
    let Some((handle, new)) = claimed.trial else { return Ok(None) };
    let stage = stage(&study.plan, &study.visits(store.trials(study.study.id)?));
    Ok(Some((handle, new, stage)))
}

/// Asks the search for the next visit and begins it, in one transaction of the store.
fn hand_out(store: &mut Store, study: &OpenStudy, request: &TuneRequest) -> Result<Handed, StoreError> {
    let mut answer = Handed::Wait;
    let mut begun = None;
    let handle = store.begin_trial(study.study.id, &mut |trials| {
        let visits = study.visits(trials);
        match next(&study.plan, &visits, OpenStudy::elapsed(trials)) {
            Step::Visit { configuration, purpose, round } => {
                let new = study.new_trial(configuration, purpose, round);
                let pruner = Pruner::new(request.pruner, &visits);
                begun = Some((new.clone(), stage(&study.plan, &visits), pruner));
                Some(new)
            }
            Step::Wait => None,
            Step::Done(conclusion) => {
                answer = Handed::Over(Box::new(conclusion));
                None
            }
        }
    })?;
    Ok(match (handle, begun) {
        (Some(handle), Some((new, stage, pruner))) => Handed::Trial(handle, new, stage, pruner),
        _ => answer,
    })
}

/// Begins the next visit that looks into what lies off its neighbours' trend, if that was asked for.
fn again(
    store: &mut Store,
    study: &OpenStudy,
    request: &TuneRequest,
) -> Result<Option<(TrialHandle, NewTrial, Stage)>, StoreError> {
    let mut begun = None;
    let handle = store.begin_trial(study.study.id, &mut |trials| {
        let (configuration, round) = anomaly::next(study, trials).filter(|_| request.recheck)?;
        let new = study.new_trial(configuration, Purpose::Compare, round);
        begun = Some((new.clone(), stage(&study.plan, &study.visits(trials))));
        Some(new)
    })?;
    Ok(handle.zip(begun).map(|(handle, (new, stage))| (handle, new, stage)))
}

#[expect(
    clippy::too_many_arguments,
    reason = "each of them is another thing; a struct would only rename them"
)]
fn one_trial(
    laboratory: &mut Laboratory,
    store: &mut Store,
    study: &OpenStudy,
    request: &TuneRequest,
    handle: &TrialHandle,
    new: &NewTrial,
    pruner: Pruner,
    stop: &Stop,
    watcher: &mut dyn TuneWatcher,
) -> Result<(), StudyError> {
    let job = laboratory.job(&new.configuration, &study.settings.protocol, request.deadlines);
    let mut said = study.known(&new.configuration, store.trials(study.study.id)?);
    let mut keeper = Keeper {
        store,
        handle,
        watcher,
        judge: Judge::new(study, pruner, new.purpose),
        repetitions: Vec::new(),
        log: String::new(),
        beaten: Instant::now(),
        problem: None,
    };
    let (mut ending, mut seconds) = run(laboratory, &job, stop, &mut keeper);
    if ending.outcome == Outcome::Measured && !is_complete(&keeper.repetitions, job.workload.requests.len()) {
        ending = without_samples();
    }
    if let (Outcome::Measured, Some(quality)) = (ending.outcome, &request.quality) {
        let scoring = Scoring { study, request: quality, deadlines: request.deadlines, stop };
        let began = Instant::now();
        ending =
            score(&scoring, laboratory, &new.configuration, &mut said, &mut keeper).err().unwrap_or(ending);
        seconds += began.elapsed().as_secs_f64();
    }
    let Keeper { repetitions, log, problem, .. } = keeper;
    if let Some(problem) = problem {
        return Err(problem.into());
    }
    store.append_log(handle, &log)?;
    let found = Found::of(study, &ending, &repetitions, &said);
    if let Some(misses) = &found.misses {
        store.set_constraints(handle, misses)?;
    }
    store.finish_trial(handle, &ending, found.values.as_deref(), seconds)?;
    watcher.finished(handle.number(), &ending, &found, seconds);
    Ok(())
}

/// Scores what is not known yet of what the settings of a trial change, and says what came of it.
fn score(
    scoring: &Scoring<'_>,
    laboratory: &mut Laboratory,
    configuration: &Configuration,
    said: &mut Said,
    keeper: &mut Keeper<'_>,
) -> Result<(), Ending> {
    let before = said.windows();
    scoring.score(laboratory, configuration, said, keeper)?;
    if said.windows() > before {
        let found = scoring.study.requirements.iter().filter_map(|one| one.found(said));
        found.for_each(|words| keeper.watcher.judged(&words));
    }
    Ok(())
}

/// Follows a trial for its pruner.
struct Judge<'a> {
    study: &'a OpenStudy,
    pruner: Pruner,
    purpose: Purpose,
    phase: Phase,
    /// Seconds until the context was made.
    loaded: f64,
    parts: Vec<Part>,
    /// The objective over the repetitions so far, in its own unit.
    value: Option<f64>,
    /// Repetitions that were not disturbed, and all of them.
    step: u32,
    seen: u32,
}

impl<'a> Judge<'a> {
    fn new(study: &'a OpenStudy, pruner: Pruner, purpose: Purpose) -> Judge<'a> {
        let (phase, parts) = (Phase::Start, Vec::new());
        Judge { study, pruner, purpose, phase, loaded: 0.0, parts, value: None, step: 0, seen: 0 }
    }

    fn measured(&mut self, repetitions: &[Repetition]) {
        let (objective, workload) = (&self.study.objective, &self.study.settings.workload);
        self.seen += 1;
        let quiet = |one: &&Repetition| one.request.is_some() && one.noisy.is_none();
        self.step = u32::try_from(repetitions.iter().filter(quiet).count()).unwrap_or(u32::MAX);
        // With several objectives, what is worse in one may be better in another: only time can cut it.
        if self.study.objectives.len() == 1 {
            self.parts = objective.parts(repetitions, workload);
            self.value = objective.value(repetitions, workload);
        }
    }

    fn reason(&mut self, elapsed: f64) -> Option<String> {
        if matches!(self.phase, Phase::Start | Phase::Load | Phase::Context) && self.seen == 0 {
            self.loaded = elapsed;
        }
        let settings = &self.study.settings;
        let requests = u32::try_from(settings.workload.requests.len()).unwrap_or(u32::MAX);
        let steps = settings.protocol.repetitions.saturating_mul(requests);
        // A last repetition that was disturbed and is not measured again ends the trial all the same.
        if self.seen >= steps {
            return None;
        }
        self.pruner.judge(&Progress {
            purpose: self.purpose,
            parts: &self.parts,
            value: self.value.map(|value| self.study.objective.to_cost(value)),
            step: self.step,
            steps,
            seconds: elapsed - self.loaded,
        })
    }
}

/// Stores what a trial gives, as it comes.
struct Keeper<'a> {
    store: &'a mut Store,
    handle: &'a TrialHandle,
    watcher: &'a mut dyn TuneWatcher,
    judge: Judge<'a>,
    repetitions: Vec<Repetition>,
    log: String,
    beaten: Instant,
    problem: Option<StoreError>,
}

impl Recorder for Keeper<'_> {
    fn repetition(&mut self, repetition: &Repetition) {
        if let Err(problem) = self.store.append_repetition(self.handle, repetition) {
            self.problem.get_or_insert(problem);
        }
        self.repetitions.push(repetition.clone());
        if repetition.request.is_some() {
            self.judge.measured(&self.repetitions);
            self.keep_step();
        }
        self.beat();
    }

    fn alive(&mut self) {
        self.beat();
    }

    fn scored(&mut self, done: usize, all: usize) {
        self.watcher.scored(done, all);
    }

    fn line(&mut self, level: Level, text: &str) {
        self.log.push_str(text);
        self.log.push('\n');
        self.watcher.line(level, text);
        self.beat();
    }

    fn phase(&mut self, phase: Phase) {
        self.judge.phase = phase;
        self.watcher.phase(phase);
        self.beat();
    }

    fn objection(&mut self, elapsed: f64) -> Option<Ending> {
        let problem = self.problem.as_ref();
        let lost = problem.map(|problem| Ending::new(Outcome::Cancelled, problem.to_string()));
        lost.or_else(|| self.judge.reason(elapsed).map(|reason| Ending::new(Outcome::Pruned, reason)))
    }
}

impl Keeper<'_> {
    fn keep_step(&mut self) {
        let Some(value) = self.judge.value else { return };
        if let Err(problem) = self.store.append_intermediate(self.handle, self.judge.step, value) {
            self.problem.get_or_insert(problem);
        }
    }

    fn beat(&mut self) {
        if self.beaten.elapsed() < HEARTBEAT {
            return;
        }
        self.beaten = Instant::now();
        if let Err(problem) = self.store.heartbeat(self.handle) {
            self.problem.get_or_insert(problem);
        }
    }
}
