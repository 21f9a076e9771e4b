//! Finds the build that made the difference: each question is a comparison of a build with the good end, measured in turn.
//!
//! The search itself is pure ([`gguflab_search::bisect`]); here is what asks it and answers. [`Oracle`] is whoever answers,
//! so that the whole can be tried without measuring anything.

pub mod builds;
mod document;
mod measured;

pub use document::document;
pub use gguflab_search::bisect::Decision;
pub use measured::{EngineOf, Measured, MeasuredRequest};

use crate::outputs::Drift;
use gguflab_search::bisect::{Answer, Belief, Builds, Next, belief, next};
use gguflab_stats::Estimate;
use gguflab_types::Ending;

/// How reliable a decided comparison is: the boundary of `Design::GATE` errs in at most 2.5 % of cases on either side.
const OF_COMPARISONS: f64 = 0.975;
/// How reliable logits are: they are computed, not timed.
const OF_OUTPUTS: f64 = 0.999;
/// Difference that the ends need to have at least, where no threshold is given.
pub const LEAST_DIFFERENCE: f64 = 0.02;
/// Comparisons of one build that end undecided until it counts as one that cannot be asked.
const PATIENCE: usize = 2;

/// What was heard of a build.
#[derive(Debug, Clone)]
pub struct Heard {
    /// Its number; 0 is the good end.
    pub build: usize,
    /// What it is.
    pub finding: Finding,
    /// Its difference from the good end, where one was measured.
    pub difference: Option<Estimate>,
    /// Whether its outputs are those of the good end, where that was looked at.
    pub drift: Option<Drift>,
}

/// What a build is, beside the good end.
#[derive(Debug, Clone, PartialEq)]
pub enum Finding {
    /// Not worse by the threshold.
    Good,
    /// Worse by more than the threshold.
    Slower,
    /// Its outputs are others.
    Drifted,
    /// The budget of the comparison ended before it was decided.
    Undecided,
    /// It cannot be measured.
    Unusable(Ending),
}

/// By what builds are told apart; the bad end decides it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Criterion {
    /// By their speed.
    Speed,
    /// By what they say, since the bad end is no slower.
    Outputs,
}

/// Who answers.
pub trait Oracle {
    /// Compares a build with the good end. `threshold` is the relative difference from which on it counts as worse.
    /// `criterion` is what is searched for, once the bad end has been heard.
    ///
    /// # Errors
    /// An ending that ends the whole search: the user's stop, or a good end that cannot be measured.
    fn hear(&mut self, build: usize, threshold: f64, criterion: Option<Criterion>) -> Result<Heard, Ending>;
}

/// Until when it is searched.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct BisectRequest {
    /// Relative difference from which on a build counts as worse; `None`: half of the difference between the ends.
    pub threshold: Option<f64>,
    /// How sure is sure enough.
    pub confidence: f64,
    /// Most questions.
    pub questions: usize,
}

/// A search that has ended.
#[derive(Debug)]
pub struct Bisected {
    /// The names of the builds, from the good end to the bad end.
    pub names: Vec<String>,
    /// What was heard, in the order of the questions.
    pub heard: Vec<Heard>,
    /// By what builds were told apart.
    pub criterion: Criterion,
    /// The threshold of the last question.
    pub threshold: f64,
    /// What is believed now.
    pub belief: Belief,
    /// How it ended.
    pub conclusion: Conclusion,
    /// How sure was sure enough.
    pub confidence: f64,
}

/// How a search ended.
#[derive(Debug, Clone, PartialEq)]
pub enum Conclusion {
    /// Sure enough.
    Decided(Decision),
    /// It ended before.
    Open(String),
    /// It was stopped, or the good end can no longer be measured.
    Ended(Ending),
}

/// Searches until it is sure enough, or the questions are used up.
///
/// # Errors
/// The ending of the first [`Oracle::hear`], and `Rejected` when there is nothing to search.
pub fn bisect(
    names: &[String],
    request: &BisectRequest,
    oracle: &mut dyn Oracle,
    say: &mut dyn FnMut(&Heard),
) -> Result<Bisected, Ending> {
    let mut search = Search {
        builds: Builds { count: names.len(), skipped: Vec::new() },
        heard: Vec::new(),
        criterion: None,
        threshold: request.threshold.unwrap_or(LEAST_DIFFERENCE),
    };
    let conclusion = loop {
        match next(&search.builds, &search.answers(), request.confidence) {
            Ok(Next::Decided(decision)) => break Conclusion::Decided(decision),
            Ok(Next::Ask(_)) if search.heard.len() >= request.questions => {
                break Conclusion::Open(format!("{} questions were not enough", request.questions));
            }
            Ok(Next::Ask(build)) => {
                match oracle.hear(build, search.threshold, search.criterion) {
                    Ok(heard) => {
                        say(&heard);
                        search.take(heard, request.threshold);
                    }
                    Err(ending) if search.heard.is_empty() => return Err(ending),
                    // What was heard took long to hear.
                    Err(ending) => break Conclusion::Ended(ending),
                }
            }
            Err(problem) if search.heard.is_empty() => return Err(refused(problem)),
            Err(problem) => break Conclusion::Open(search.without_an_end().unwrap_or(problem)),
        }
    };
    // With a bad end that cannot be asked nothing is believed of anybody.
    let nothing = || Belief { suspects: Vec::new(), no_change: 1.0 };
    Ok(Bisected {
        names: names.to_vec(),
        belief: belief(&search.builds, &search.answers()).unwrap_or_else(|_| nothing()),
        criterion: search.criterion.unwrap_or(Criterion::Speed),
        threshold: search.threshold,
        heard: search.heard,
        conclusion,
        confidence: request.confidence,
    })
}

fn refused(problem: String) -> Ending {
    Ending::new(gguflab_types::Outcome::Rejected, problem)
}

struct Search {
    builds: Builds,
    heard: Vec<Heard>,
    criterion: Option<Criterion>,
    threshold: f64,
}

impl Search {
    /// Takes over what was heard. The bad end settles what is searched for, and how large a difference is.
    fn take(&mut self, heard: Heard, fixed: Option<f64>) {
        let build = heard.build;
        let is_end = build + 1 == self.builds.count;
        if self.criterion.is_none() && is_end {
            self.criterion = match heard.finding {
                Finding::Slower => Some(Criterion::Speed),
                Finding::Drifted => Some(Criterion::Outputs),
                _ => None,
            };
            if let (Some(Criterion::Speed), None, Some(difference)) =
                (self.criterion, fixed, &heard.difference)
            {
                self.threshold = (difference.value.abs() / 2.0).max(LEAST_DIFFERENCE);
            }
        }
        let useless = matches!(heard.finding, Finding::Unusable(_));
        self.heard.push(heard);
        let of_it = self.heard.iter().filter(|one| one.build == build);
        let undecided = of_it.filter(|one| one.finding == Finding::Undecided).count();
        if (useless || undecided >= PATIENCE) && !self.builds.skipped.contains(&build) {
            self.builds.skipped.push(build);
        }
    }

    /// Why the bad end counts for nothing, where it runs.
    fn without_an_end(&self) -> Option<String> {
        let end = self.heard.iter().filter(|one| one.build + 1 == self.builds.count);
        let undecided = end.filter(|one| one.finding == Finding::Undecided).count();
        (undecided >= PATIENCE).then(|| {
            "the comparisons with the bad end ended undecided: give them more time (--budget-time), a larger --threshold, \
             or a quieter machine"
                .to_string()
        })
    }

    fn answers(&self) -> Vec<Answer> {
        let answer = |one: &Heard| {
            let (is_bad, reliability) = match one.finding {
                Finding::Good if self.criterion == Some(Criterion::Outputs) => (false, OF_OUTPUTS),
                Finding::Good => (false, OF_COMPARISONS),
                Finding::Slower => (true, OF_COMPARISONS),
                Finding::Drifted => (true, OF_OUTPUTS),
                Finding::Undecided | Finding::Unusable(_) => return None,
            };
            Some(Answer { build: one.build, is_bad, reliability })
        };
        self.heard.iter().filter_map(answer).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use gguflab_types::Outcome;

    /// Builds with their difference from the first one; some do not run, some say something else.
    struct Told {
        differences: Vec<f64>,
        broken: Vec<usize>,
        drifted_from: usize,
        /// Questions after which the user has enough.
        patience: usize,
        asked: Vec<usize>,
        thresholds: Vec<f64>,
    }

    impl Oracle for Told {
        fn hear(
            &mut self,
            build: usize,
            threshold: f64,
            criterion: Option<Criterion>,
        ) -> Result<Heard, Ending> {
            if self.asked.len() == self.patience {
                return Err(Ending::new(Outcome::Cancelled, "stopped by the user"));
            }
            self.asked.push(build);
            self.thresholds.push(threshold);
            let value = self.differences[build];
            let finding = if self.broken.contains(&build) {
                Finding::Unusable(Ending::new(Outcome::Crashed, "boom"))
            } else if value.is_nan() {
                Finding::Undecided
            } else if criterion != Some(Criterion::Outputs) && value < -threshold {
                Finding::Slower
            } else if criterion != Some(Criterion::Speed) && build >= self.drifted_from {
                Finding::Drifted
            } else {
                Finding::Good
            };
            let difference = Some(Estimate { value, interval: None, method: "told", count: 1 });
            Ok(Heard { build, finding, difference, drift: None })
        }
    }

    fn told(differences: &[f64]) -> Told {
        Told {
            differences: differences.to_vec(),
            broken: Vec::new(),
            drifted_from: usize::MAX,
            patience: usize::MAX,
            asked: Vec::new(),
            thresholds: Vec::new(),
        }
    }

    fn search(oracle: &mut Told) -> Bisected {
        let names: Vec<String> = (0..oracle.differences.len()).map(|number| format!("b{number}")).collect();
        let request = BisectRequest { threshold: None, confidence: 0.95, questions: 40 };
        bisect(&names, &request, oracle, &mut |_| {}).unwrap()
    }

    #[test]
    fn the_build_that_became_slower_is_found() {
        let mut oracle = told(&[0.0, 0.01, -0.01, 0.0, -0.10, -0.11, -0.10, -0.12]);
        let found = search(&mut oracle);
        let Conclusion::Decided(Decision::Found { first, last, confidence }) = found.conclusion else {
            panic!("{found:?}")
        };
        assert_eq!((first, last, found.criterion), (4, 4, Criterion::Speed));
        assert!(confidence >= 0.95);
        assert_eq!(oracle.asked[0], 7, "the bad end first");
        assert_eq!(oracle.thresholds[..2], [LEAST_DIFFERENCE, 0.06], "then half of the difference");
    }

    #[test]
    fn ends_that_are_alike_end_it() {
        let found = search(&mut told(&[0.0, -0.1, 0.0, 0.0]));
        assert!(matches!(found.conclusion, Conclusion::Decided(Decision::NoChange { .. })), "{found:?}");
    }

    #[test]
    fn outputs_are_searched_for_where_the_bad_end_is_no_slower() {
        let mut oracle = Told { drifted_from: 2, ..told(&[0.0, 0.0, 0.1, 0.1, 0.1]) };
        let found = search(&mut oracle);
        assert_eq!(found.criterion, Criterion::Outputs);
        assert!(
            matches!(found.conclusion, Conclusion::Decided(Decision::Found { first: 2, last: 2, .. })),
            "{found:?}"
        );
    }

    #[test]
    fn builds_that_cannot_be_asked_are_left_out() {
        let mut oracle = Told { broken: vec![2, 3], ..told(&[0.0, 0.0, -0.1, -0.1, -0.1, f64::NAN, -0.1]) };
        let found = search(&mut oracle);
        assert!(
            matches!(found.conclusion, Conclusion::Decided(Decision::Found { first: 2, last: 4, .. })),
            "{found:?}"
        );
        let undecided = search(&mut told(&[0.0, 0.0, f64::NAN]));
        assert!(
            matches!(&undecided.conclusion, Conclusion::Open(reason) if reason.contains("ended undecided")),
            "{undecided:?}"
        );
    }

    #[test]
    fn what_was_heard_before_the_user_had_enough_is_kept() {
        let slower = [0.0, 0.0, 0.0, 0.0, -0.1, -0.1, -0.1];
        let found = search(&mut Told { patience: 2, ..told(&slower) });
        assert!(
            matches!(&found.conclusion, Conclusion::Ended(ending) if ending.outcome == Outcome::Cancelled),
            "{found:?}"
        );
        assert_eq!((found.heard.len(), found.names.len()), (2, 7));
        let request = BisectRequest { threshold: None, confidence: 0.95, questions: 40 };
        let mut none = Told { patience: 0, ..told(&slower) };
        let ending = bisect(&found.names, &request, &mut none, &mut |_| {}).unwrap_err();
        assert_eq!(ending.outcome, Outcome::Cancelled, "nothing was heard");
    }

    #[test]
    fn one_build_is_nothing_to_search() {
        let request = BisectRequest { threshold: None, confidence: 0.95, questions: 40 };
        let refused = bisect(&["a".to_string()], &request, &mut told(&[0.0]), &mut |_| {}).unwrap_err();
        assert!(refused.cause.contains("a good and a bad build"), "{refused:?}");
    }
}
