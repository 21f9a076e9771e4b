//! Visits counted by what they were for. Cancelled ones do not count: they are done again. Those that another program
//! ran or asked for are beside the budget.

use super::TunePlan;
use crate::visit::Visit;
use gguflab_types::Purpose;

/// The visits so far.
pub(super) struct Ledger {
    pub(super) baseline: Repeats,
    /// Visits of the search, running ones included.
    pub(super) searched: usize,
    /// Those that have ended.
    pub(super) searched_ended: usize,
    /// Visits of the race, running ones included.
    pub(super) race: usize,
    /// Those that have ended.
    pub(super) race_ended: usize,
    /// Whether any visit runs.
    pub(super) running: bool,
    costs: Vec<f64>,
}

/// Visits of the baseline before the race.
#[derive(Default)]
pub(super) struct Repeats {
    pub(super) begun: usize,
    pub(super) running: usize,
    pub(super) measured: usize,
}

/// Failures of the baseline after which it is not tried again before others have run.
const MOST_FAILURES: usize = 2;

impl Repeats {
    pub(super) fn ended(&self) -> usize {
        self.begun - self.running
    }

    /// Whether the baseline needs no more visits.
    pub(super) fn enough(&self, plan: &TunePlan) -> bool {
        let hopeless = self.measured == 0 && self.ended() >= MOST_FAILURES;
        self.begun >= plan.baseline_runs() || hopeless
    }
}

impl Ledger {
    pub(super) fn new(visits: &[Visit]) -> Ledger {
        let mut ledger = Ledger {
            baseline: Repeats::default(),
            searched: 0,
            searched_ended: 0,
            race: 0,
            race_ended: 0,
            running: false,
            costs: Vec::new(),
        };
        visits.iter().filter(|visit| !visit.cancelled()).for_each(|visit| ledger.count(visit));
        ledger
    }

    /// Median seconds of a visit that was measured; `None` before the first. A first visit that a busy machine
    /// held up says little of the others.
    pub(super) fn typical_cost(&self) -> Option<f64> {
        gguflab_stats::median(&self.costs).filter(|cost| *cost > 0.0)
    }

    /// Visits of any kind.
    pub(super) fn begun(&self) -> usize {
        self.baseline.begun + self.searched + self.race
    }

    fn count(&mut self, visit: &Visit) {
        let (running, ended) = (usize::from(visit.running()), usize::from(!visit.running()));
        self.running |= visit.running() && visit.purpose != Purpose::Foreign;
        if visit.measured().is_some() && visit.purpose != Purpose::Foreign {
            self.costs.push(visit.cost);
        }
        match visit.purpose {
            Purpose::Baseline => {
                self.baseline.begun += 1;
                self.baseline.running += running;
                self.baseline.measured += usize::from(visit.measured().is_some());
            }
            Purpose::Race => {
                self.race += 1;
                self.race_ended += ended;
            }
            Purpose::Grid | Purpose::Screen | Purpose::Search | Purpose::Bench => {
                self.searched += 1;
                self.searched_ended += ended;
            }
            Purpose::Enqueued | Purpose::Foreign | Purpose::Compare => {}
        }
    }
}
