//! What a study knows of quality, by the knobs that change what the model says.

use super::OpenStudy;
use crate::quality::{Qualities, Quality, Said, is_window};
use crate::requirement::{Requirement, is_decided};
use gguflab_stats::ConfidenceSequence;
use gguflab_types::{Configuration, Purpose, Trial};

impl OpenStudy {
    /// The names of the knobs that change what the model says.
    pub(crate) fn changing(&self) -> Vec<String> {
        let knobs = self.plan.space.facts().knobs();
        knobs.into_iter().filter(|knob| knob.lossy).map(|knob| knob.name.to_string()).collect()
    }

    /// What those knobs come to in a configuration.
    #[must_use]
    pub fn changing_values(&self, configuration: &Configuration) -> Configuration {
        let values = self.changing().into_iter();
        values.fold(Configuration::new(), |made, knob| {
            let value = self.plan.space.meant(configuration, &knob);
            made.with(&knob, value)
        })
    }

    /// Whether quality is required of a study in which something could miss it: a searched knob changes what the model
    /// says, or the reference is another one than the baseline.
    #[must_use]
    pub fn may_lose(&self) -> bool {
        let Some(quality) = &self.settings.quality else { return false };
        let changing = self.changing();
        quality.reference.is_some()
            || self.study.space.iter().any(|(knob, values)| changing.contains(knob) && values.len() > 1)
    }

    /// What is known of quality; nothing where none is required.
    #[must_use]
    pub fn qualities(&self, trials: &[Trial]) -> Qualities {
        let mut all = Qualities::default();
        if self.settings.quality.is_none() {
            return all;
        }
        for trial in trials.iter().filter(|trial| trial.purpose != Purpose::Foreign) {
            let values = self.changing_values(&trial.configuration);
            let said = all.said(&values, || self.nothing_said(&values));
            trial.repetitions.iter().filter(|one| is_window(one)).for_each(|window| said.add(window));
        }
        all
    }

    /// What is known of the quality of a configuration, which may be nothing.
    pub(crate) fn known(&self, configuration: &Configuration, trials: &[Trial]) -> Said {
        let qualities = self.qualities(trials);
        let known = self.said(configuration, &qualities).cloned();
        known.unwrap_or_else(|| self.nothing_said(&self.changing_values(configuration)))
    }

    /// The figures of quality that are required, each once.
    pub(crate) fn required_qualities(&self) -> Vec<&'static Quality> {
        let mut all: Vec<&'static Quality> = Vec::new();
        for quality in self.requirements.iter().filter_map(Requirement::quality) {
            if !all.iter().any(|known| known.name == quality.name) {
                all.push(quality);
            }
        }
        all
    }

    /// What is known before anything is scored.
    fn nothing_said(&self, values: &Configuration) -> Said {
        let own = self.settings.quality.as_ref().is_some_and(|quality| quality.reference.is_some());
        let itself = !own && *values == self.changing_values(&self.settings.baseline);
        Said::new(itself, self.sequence())
    }

    /// Whether scoring more tells nothing that is asked.
    pub(crate) fn is_judged(&self, said: &Said) -> bool {
        said.is_itself() || said.is_exhausted() || is_decided(&self.requirements, said)
    }

    /// Intervals that hold together for all values that are searched and all that is required of them (Bonferroni).
    fn sequence(&self) -> ConfidenceSequence {
        let changing = self.changing();
        let searched = self.study.space.iter().filter(|(knob, _)| changing.contains(knob));
        let values = searched.map(|(_, values)| values.len().max(1)).fold(1, usize::saturating_mul);
        let required = self.requirements.iter().filter(|one| one.quality().is_some()).count();
        ConfidenceSequence::DEFAULT.shared_by(values.saturating_mul(required))
    }
}
