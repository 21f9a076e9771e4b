//! What a study's trials say: to the search, to reports, and to other programs.

use super::OpenStudy;
use crate::quality::{Qualities, Said, is_window};
use crate::requirement::{self, Shown};
use gguflab_search::{Violation, Visit};
use gguflab_store::NewTrial;
use gguflab_types::{Configuration, Outcome, Purpose, Repetition, Trial, metric};

impl OpenStudy {
    /// What the search sees of the trials.
    #[must_use]
    pub fn visits(&self, trials: &[Trial]) -> Vec<Visit> {
        let qualities = self.qualities(trials);
        trials.iter().filter_map(|trial| self.visit(trial, &qualities)).collect()
    }

    /// A trial of another program counts once it has ended, if its configuration can be run here.
    fn visit(&self, trial: &Trial, qualities: &Qualities) -> Option<Visit> {
        let mut visit = Visit { load: self.load(trial), ..Visit::of(trial, self.cost(trial)) };
        let steps = trial.intermediates.iter();
        // Scoring is no part of what a trial is cut for.
        let windows = trial.repetitions.iter().filter(|one| is_window(one));
        visit.loading += windows.map(|window| window.duration).sum::<f64>();
        visit.steps = steps.map(|(step, value)| (*step, self.objective.to_cost(*value))).collect();
        visit.violation = self.violation(trial, qualities);
        visit.objectives = self.costs(trial);
        visit.second = self.second(trial);
        if trial.purpose == Purpose::Foreign {
            trial.ending.as_ref()?;
            visit.configuration = visit.configuration.checked(self.plan.space.facts()).ok()?;
        }
        Some(visit)
    }

    /// The objective of a trial in its own unit, from its samples or as another program told it; `None` when it was not
    /// measured.
    #[must_use]
    pub fn value(&self, trial: &Trial) -> Option<f64> {
        let measured = trial.is_measured();
        let value = match trial.purpose {
            Purpose::Foreign => trial.told.get(self.told_place()?).copied(),
            _ => self.objective.value(&trial.repetitions, &self.settings.workload),
        };
        value.filter(|_| measured)
    }

    /// Where the raced objective stands among those that another program tells.
    fn told_place(&self) -> Option<usize> {
        self.objectives.iter().position(|objective| objective.name == self.objective.name)
    }

    /// All objectives of a measured trial in their own units; `None` when one of them was not measured.
    #[must_use]
    pub fn values(&self, trial: &Trial) -> Option<Vec<f64>> {
        let measured = trial.is_measured();
        let values = match trial.purpose {
            Purpose::Foreign => Some(trial.told.clone()).filter(|told| told.len() == self.objectives.len()),
            _ => self.values_of(&trial.repetitions),
        };
        values.filter(|_| measured)
    }

    /// All objectives of some repetitions, in their own units.
    pub(crate) fn values_of(&self, repetitions: &[Repetition]) -> Option<Vec<f64>> {
        self.objectives.iter().map(|one| one.value(repetitions, &self.settings.workload)).collect()
    }

    /// How a measured trial misses what is required, if it does, given what is known of quality. Another program tells no
    /// samples to look at.
    #[must_use]
    pub fn violation(&self, trial: &Trial, qualities: &Qualities) -> Option<Violation> {
        let looked_at = trial.is_measured() && trial.purpose != Purpose::Foreign;
        let missed = || {
            let said = self.said(&trial.configuration, qualities);
            requirement::violation(&self.requirements, self.shown(&trial.repetitions, said))
        };
        looked_at.then(missed).flatten()
    }

    /// What is known of the quality of a configuration, where it is looked at.
    #[must_use]
    pub fn said<'a>(&self, configuration: &Configuration, qualities: &'a Qualities) -> Option<&'a Said> {
        self.settings.quality.as_ref()?;
        qualities.of(&self.changing_values(configuration))
    }

    pub(crate) fn shown<'a>(&'a self, repetitions: &'a [Repetition], said: Option<&'a Said>) -> Shown<'a> {
        Shown { repetitions, workload: &self.settings.workload, said }
    }

    /// What breaks a tie, as a cost.
    fn second(&self, trial: &Trial) -> Option<f64> {
        let second = self.tie_break?;
        second.value(&trial.repetitions, &self.settings.workload).map(|value| second.to_cost(value))
    }

    /// The costs of several objectives; nothing where there is one.
    fn costs(&self, trial: &Trial) -> Vec<f64> {
        let values = self.values(trial).filter(|values| values.len() > 1).unwrap_or_default();
        self.objectives.iter().zip(values).map(|(objective, value)| objective.to_cost(value)).collect()
    }

    /// Share of the memory of all GPUs that a trial took.
    fn load(&self, trial: &Trial) -> Option<f64> {
        let capacity = self.study.subject.machine.device_memory();
        let taken = trial.repetitions.iter().find_map(|one| one.value(metric::DEVICE_MEMORY))?;
        (capacity > 0.0).then(|| taken / capacity)
    }

    /// The objective of a trial as a cost, as far as it came when it was pruned.
    fn cost(&self, trial: &Trial) -> Option<f64> {
        let pruned = trial.ending.as_ref().is_some_and(|ending| ending.outcome == Outcome::Pruned);
        let partial = || self.objective.value(&trial.repetitions, &self.settings.workload);
        let value = self.value(trial).or_else(|| partial().filter(|_| pruned));
        value.map(|value| self.objective.to_cost(value))
    }

    /// The trial of settings that somebody enqueued, on top of the baseline; or why it cannot be run.
    pub(crate) fn asked(&self, fixed: &Configuration) -> Result<NewTrial, String> {
        let asked = fixed
            .settings()
            .fold(self.settings.baseline.clone(), |made, (name, value)| made.with(name, value.clone()));
        let configuration = asked.checked(self.plan.space.facts())?;
        Ok(self.new_trial(configuration, Purpose::Enqueued, 0))
    }

    /// A trial with what its unset knobs come to.
    pub(crate) fn new_trial(&self, configuration: Configuration, purpose: Purpose, round: u32) -> NewTrial {
        let knobs = self.study.space.iter().map(|(name, _)| name);
        let meant = knobs.fold(Configuration::new(), |made, name| {
            made.with(name, self.plan.space.meant(&configuration, name))
        });
        NewTrial { configuration, purpose, round, meant }
    }

    /// Seconds that our trials took, all workers together; what the time budget counts.
    #[must_use]
    pub fn elapsed(trials: &[Trial]) -> f64 {
        let ours = trials.iter().filter(|trial| trial.purpose != Purpose::Foreign);
        ours.filter_map(|trial| trial.duration).sum()
    }
}
