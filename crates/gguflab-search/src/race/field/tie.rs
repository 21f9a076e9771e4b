//! A tie that a second objective decides.

use super::{BASELINE, Race, Tally};
use crate::race::{DropReason, Dropped, TieBreak};
use gguflab_stats::{CONFIDENCE, Cell, Verdict, residual};
use std::collections::BTreeMap;

impl Race<'_> {
    /// The one to use, and how a tie with the given winner was broken, if it was: by a contender that is tied with it,
    /// and shown to be better in the second objective, by intervals that hold for all such contenders at once.
    pub(super) fn break_tie(
        &self,
        tally: &Tally,
        winner: usize,
        verdict: Verdict,
        order: &[usize],
        dropped: &BTreeMap<usize, Dropped>,
    ) -> (usize, Option<TieBreak>) {
        if !self.settings.tie_break || verdict == Verdict::Worse {
            return (winner, None);
        }
        let clearly_worse = |number: &usize| {
            matches!(
                dropped.get(number),
                Some(Dropped { reason: DropReason::ClearlyWorse | DropReason::Failed(_), .. })
            )
        };
        let others = order.iter().copied().filter(|number| *number != winner && !clearly_worse(number));
        let tied: Vec<usize> = others.filter(|number| self.is_tied(tally, *number, winner)).collect();
        let second = self.second_tally();
        let shown = tied.iter().filter_map(|&number| {
            let difference = self.difference(&second, number, winner, CONFIDENCE, tied.len())?;
            (self.judge(&difference) == Verdict::Better).then_some((number, difference))
        });
        match shown.min_by(|one, other| one.1.value.total_cmp(&other.1.value)) {
            Some((number, difference)) => {
                (number, Some(TieBreak { over: self.configuration(winner).clone(), difference }))
            }
            None => (winner, None),
        }
    }

    /// Whether a contender is as good as the winner, as far as the race can tell, and does not look worse; against a
    /// winner that has beaten the baseline it must have beaten it too.
    fn is_tied(&self, tally: &Tally, number: usize, winner: usize) -> bool {
        let family = self.family();
        let against = |reference| self.difference(tally, number, reference, CONFIDENCE, family);
        let Some(difference) = against(winner) else { return false };
        let as_good = match self.judge(&difference) {
            Verdict::Indistinguishable => true,
            Verdict::Undecided => difference.value <= self.settings.margin,
            Verdict::Better | Verdict::Worse => false,
        };
        let beats = || against(BASELINE).is_some_and(|found| self.judge(&found) == Verdict::Better);
        as_good && (winner == BASELINE || !self.settings.baseline_runs || beats())
    }

    /// The second objective of all rounds.
    fn second_tally(&self) -> Tally {
        let measured = self.table.iter().filter(|(_, visit)| visit.measured().is_some());
        let cells = measured.filter_map(|((round, number), visit)| {
            let value = visit.second.filter(|value| value.is_finite() && *value > 0.0)?.ln();
            Some(Cell { block: *round as usize, treatment: *number, value })
        });
        let cells: Vec<Cell> = cells.collect();
        Tally { noise: residual(&cells), cells }
    }
}
