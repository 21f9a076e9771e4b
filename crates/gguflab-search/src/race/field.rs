//! The state of a race, replayed from its visits round by round.

mod tie;

use super::{DropReason, Dropped, Finish, RaceResult, RaceSettings, RaceStep, Rival, Standing};
use crate::order::{scramble, shuffle};
use crate::visit::Visit;
use gguflab_stats::{
    CONFIDENCE, Cell, Estimate, Residual, Verdict, judge, median, pooled_difference, relative, residual,
};
use gguflab_types::{Configuration, Direction, Purpose};
use std::cmp::Reverse;
use std::collections::BTreeMap;

/// The baseline's number; the contenders follow from 1.
const BASELINE: usize = 0;
/// Rounds before a race may be settled.
const LEAST_ROUNDS: u32 = 3;
/// Rounds before anybody is dropped for being slow.
const LEAST_TO_JUDGE: u32 = 2;
/// Confidence that stops a race before its budget ends.
const EARLY: f64 = 0.999;

pub(super) struct Race<'race> {
    settings: &'race RaceSettings,
    /// The first visit that counts, by round and number.
    table: BTreeMap<(u32, usize), &'race Visit>,
}

/// What was measured in some rounds, and the noise of it.
struct Tally {
    /// Logarithms of the values.
    cells: Vec<Cell>,
    noise: Option<Residual>,
}

/// Who is still in it.
pub(super) struct Field {
    dropped: BTreeMap<usize, Dropped>,
}

impl<'race> Race<'race> {
    pub(super) fn new(visits: &'race [Visit], settings: &'race RaceSettings) -> Race<'race> {
        let mut table = BTreeMap::new();
        for visit in visits.iter().filter(|visit| visit.purpose == Purpose::Race && !visit.cancelled()) {
            let same = |one: &Configuration| *one == visit.configuration;
            let contender = settings.contenders.iter().position(same).map(|index| index + 1);
            if let Some(number) = contender.or(same(&settings.baseline).then_some(BASELINE)) {
                table.entry((visit.round, number)).or_insert(visit);
            }
        }
        Race { settings, table }
    }

    pub(super) fn start(&self) -> Field {
        Field { dropped: BTreeMap::new() }
    }

    /// The best contender still in it after the rounds that are complete, or the baseline where that is better.
    pub(super) fn leader(&self) -> Option<Configuration> {
        let mut field = self.start();
        let mut rounds = 0;
        while self.complete(rounds, &field) {
            self.settle(rounds, &mut field);
            rounds += 1;
        }
        let best = self.ranked(rounds.max(1), &field).first().copied()?;
        let cells = self.cells(rounds.max(1));
        let median_of = |number| {
            let values: Vec<f64> =
                cells.iter().filter(|cell| cell.treatment == number).map(|cell| cell.value).collect();
            median(&values)
        };
        let baseline = median_of(BASELINE).filter(|_| self.settings.baseline_runs);
        let better = median_of(best)?;
        Some(
            self.configuration(if baseline.is_some_and(|bar| bar < better) { BASELINE } else { best })
                .clone(),
        )
    }

    /// Whether everybody who is still in it has run in a round.
    fn complete(&self, round: u32, field: &Field) -> bool {
        let ended = |number: &usize| self.table.get(&(round, *number)).is_some_and(|visit| !visit.running());
        let active = field.active(self.settings);
        !active.is_empty() && active.iter().all(ended)
    }

    /// Who runs in a round, in the order of the round. A round that the budget cannot pay in full keeps the baseline
    /// and the best.
    pub(super) fn members(&self, round: u32, field: &Field) -> Vec<usize> {
        let budget = self.settings.visits.min(self.settings.affordable);
        let mut left = budget.saturating_sub(self.table.len());
        let mut members: Vec<usize> = self.settings.baseline_runs.then_some(BASELINE).into_iter().collect();
        members.extend(self.ranked(round, field));
        members.retain(|number| {
            let visited = self.table.contains_key(&(round, *number));
            let paid = visited || left > 0;
            left -= usize::from(!visited && paid);
            paid
        });
        members.sort_unstable();
        shuffle(&mut members, scramble(self.settings.seed ^ scramble(u64::from(round))));
        members
    }

    /// The visit that a round still lacks, or that it has to be waited for.
    pub(super) fn missing(&self, round: u32, members: &[usize]) -> Option<RaceStep> {
        let lacking = members.iter().find(|number| !self.table.contains_key(&(round, **number)));
        if let Some(number) = lacking {
            return Some(RaceStep::Visit(self.configuration(*number).clone(), round));
        }
        let running = members.iter().any(|number| self.table[&(round, *number)].running());
        running.then_some(RaceStep::Wait)
    }

    /// Drops who failed, who is clearly worse, and at a halving the worse half.
    pub(super) fn settle(&self, round: u32, field: &mut Field) {
        for number in field.active(self.settings) {
            let visit = self.table.get(&(round, number));
            if let Some(outcome) = visit.filter(|visit| visit.failed()).and_then(|visit| visit.outcome) {
                field.drop(number, round, DropReason::Failed(outcome));
            }
        }
        if round + 1 < LEAST_TO_JUDGE {
            return;
        }
        let tally = self.tally(round + 1);
        let leader = self.ranked(round + 1, field).first().copied();
        for number in field.active(self.settings) {
            let worse = |reference: usize| {
                reference != number
                    && self
                        .difference(&tally, number, reference, CONFIDENCE, self.family())
                        .is_some_and(|difference| low(&difference) > 0.0)
            };
            if worse(BASELINE) || leader.is_some_and(worse) {
                field.drop(number, round, DropReason::ClearlyWorse);
            }
        }
        let ranked = self.ranked(round + 1, field);
        for number in ranked.into_iter().skip(self.places(round + 1)) {
            field.drop(number, round, DropReason::Halved);
        }
    }

    /// Whether the race is over after a round, before its budget is.
    pub(super) fn finished(&self, round: u32, field: &Field) -> Option<Finish> {
        let ranked = self.ranked(round + 1, field);
        let Some(&leader) = ranked.first() else { return Some(Finish::NoneLeft) };
        if round + 1 < LEAST_ROUNDS {
            return None;
        }
        let tally = self.tally(round + 1);
        let verdict = |reference, confidence, family| {
            let difference = self.difference(&tally, leader, reference, confidence, family);
            difference.map_or(Verdict::Undecided, |found| self.judge(&found))
        };
        let beaten = verdict(BASELINE, EARLY, self.family()) == Verdict::Better;
        let equal = verdict(BASELINE, CONFIDENCE, self.family()) == Verdict::Indistinguishable;
        let second = ranked.get(1).map(|&second| verdict(second, CONFIDENCE, 1));
        let alone = matches!(second, None | Some(Verdict::Better | Verdict::Indistinguishable));
        (alone && (beaten || equal || !self.settings.baseline_runs)).then_some(Finish::Settled)
    }

    /// The result; or waiting for it, while a visit runs.
    pub(super) fn decide(&self, field: &Field, finish: Finish) -> RaceStep {
        if self.table.values().any(|visit| visit.running()) {
            return RaceStep::Wait;
        }
        let rounds = self.table.keys().map(|(round, _)| round + 1).max().unwrap_or(0);
        let tally = self.tally(rounds);
        let order = self.order(rounds, field);
        let leader = order.iter().copied().find(|number| self.raced(*number, field));
        let difference =
            leader.and_then(|leader| self.difference(&tally, leader, BASELINE, CONFIDENCE, self.family()));
        let verdict = match &difference {
            // A configuration that runs is better than one that does not.
            _ if !self.settings.baseline_runs && leader.is_some() => Verdict::Better,
            Some(difference) => self.judge(difference),
            None => Verdict::Undecided,
        };
        let winner = leader.filter(|_| verdict == Verdict::Better).unwrap_or(BASELINE);
        let rivals = leader.map_or_else(Vec::new, |leader| self.rivals(&tally, leader, &order, field));
        let (winner, tie_break) = self.break_tie(&tally, winner, verdict, &order, &field.dropped);
        RaceStep::Decided(Box::new(RaceResult {
            winner: self.configuration(winner).clone(),
            leader: leader.map(|leader| self.configuration(leader).clone()),
            verdict,
            difference,
            tie_break,
            tied: rivals
                .iter()
                .filter(|rival| rival.verdict != Verdict::Better)
                .map(|rival| rival.configuration.clone())
                .collect(),
            second: rivals.into_iter().next(),
            standings: self.standings(&tally, &order, field),
            rounds,
            visits: self.table.len(),
            finish,
        }))
    }

    /// Contenders that were not told apart or halved away before, compared with the leader, best first.
    fn rivals(&self, tally: &Tally, leader: usize, order: &[usize], field: &Field) -> Vec<Rival> {
        let others = order.iter().copied().filter(|number| *number != leader && self.raced(*number, field));
        let compared = others.filter_map(|number| {
            let difference = self.difference(tally, leader, number, CONFIDENCE, 1)?;
            let verdict = self.judge(&difference);
            Some(Rival { configuration: self.configuration(number).clone(), difference, verdict })
        });
        compared.collect()
    }

    fn standings(&self, tally: &Tally, order: &[usize], field: &Field) -> Vec<Standing> {
        let mut standings: Vec<Standing> = order
            .iter()
            .copied()
            .chain([BASELINE])
            .map(|number| {
                let logs = tally.cells.iter().filter(|cell| cell.treatment == number);
                let values: Vec<f64> = logs.map(|cell| cell.value.exp()).collect();
                let versus = || self.difference(tally, number, BASELINE, CONFIDENCE, self.family());
                Standing {
                    configuration: self.configuration(number).clone(),
                    baseline: number == BASELINE,
                    rounds: values.len(),
                    value: median(&values),
                    difference: if number == BASELINE { None } else { versus() },
                    dropped: field.dropped.get(&number).copied(),
                }
            })
            .collect();
        // The baseline stands before the first contender that is not faster than it.
        let slower =
            |standing: &Standing| standing.difference.as_ref().is_none_or(|found| found.value >= 0.0);
        let place = standings.iter().position(slower).unwrap_or(0);
        if let Some(baseline) = standings.pop() {
            standings.insert(place.min(standings.len()), baseline);
        }
        standings
    }

    /// Relative difference between two numbers over their shared rounds.
    fn difference(
        &self,
        tally: &Tally,
        number: usize,
        reference: usize,
        confidence: f64,
        family: usize,
    ) -> Option<Estimate> {
        pooled_difference(&tally.cells, tally.noise, (number, reference), confidence, family)
            .map(|found| relative(&found))
    }

    fn tally(&self, rounds: u32) -> Tally {
        let cells = self.cells(rounds);
        Tally { noise: residual(&cells), cells }
    }

    fn judge(&self, difference: &Estimate) -> Verdict {
        judge(difference, self.settings.margin, Direction::Lower)
    }

    /// Logarithms of the measured values of the first `rounds` rounds.
    fn cells(&self, rounds: u32) -> Vec<Cell> {
        let counted = self.table.iter().filter(|((round, _), _)| *round < rounds);
        let cells = counted.filter_map(|((round, number), visit)| {
            Some(Cell { block: *round as usize, treatment: *number, value: visit.measured()?.ln() })
        });
        cells.collect()
    }

    /// Contenders still in it, best first by the paired median over the first `rounds` rounds.
    fn ranked(&self, rounds: u32, field: &Field) -> Vec<usize> {
        self.sorted(rounds, field.active(self.settings))
    }

    /// All contenders: those still in it, then those that dropped out, the latest first.
    fn order(&self, rounds: u32, field: &Field) -> Vec<usize> {
        let mut order = self.sorted(rounds, (1..=self.settings.contenders.len()).collect());
        order.sort_by_key(|number| {
            Reverse(field.dropped.get(number).map_or(u32::MAX, |dropped| dropped.round))
        });
        order
    }

    fn sorted(&self, rounds: u32, mut numbers: Vec<usize>) -> Vec<usize> {
        let cells = self.cells(rounds);
        let levels = self.levels(&cells, &numbers);
        let paired = |number: &usize| {
            let own = cells.iter().filter(|cell| cell.treatment == *number);
            let above: Vec<f64> =
                own.filter_map(|cell| Some(cell.value - levels.get(&cell.block)?)).collect();
            median(&above).unwrap_or(f64::INFINITY)
        };
        numbers.sort_by(|one, other| paired(one).total_cmp(&paired(other)));
        numbers
    }

    /// What a round is measured against: the baseline, or where that failed the mean of those compared.
    fn levels(&self, cells: &[Cell], numbers: &[usize]) -> BTreeMap<usize, f64> {
        let mut sums: BTreeMap<usize, (f64, f64)> = BTreeMap::new();
        for cell in cells.iter().filter(|cell| numbers.contains(&cell.treatment)) {
            let sum = sums.entry(cell.block).or_default();
            *sum = (sum.0 + cell.value, sum.1 + 1.0);
        }
        let mut levels: BTreeMap<usize, f64> =
            sums.into_iter().map(|(block, (sum, count))| (block, sum / count)).collect();
        levels.extend(
            cells.iter().filter(|cell| cell.treatment == BASELINE).map(|cell| (cell.block, cell.value)),
        );
        levels
    }

    /// How many contenders go on after so many rounds: half of them after each rung, the rungs as long as the budget
    /// allows.
    fn places(&self, rounds: u32) -> usize {
        let mut rungs = vec![self.settings.contenders.len()];
        while let Some(&last) = rungs.last().filter(|last| **last > 1) {
            rungs.push(last.div_ceil(2));
        }
        let round_of_each: usize = rungs.iter().map(|places| places + 1).sum();
        let length = (self.settings.visits / round_of_each.max(1)).max(LEAST_TO_JUDGE as usize);
        let rung = (rounds as usize / length).min(rungs.len() - 1);
        rungs[rung].max(1)
    }

    fn family(&self) -> usize {
        self.settings.contenders.len()
    }

    fn raced(&self, number: usize, field: &Field) -> bool {
        let gone = matches!(field.dropped.get(&number), Some(Dropped { reason: DropReason::Failed(_), .. }));
        !gone && self.table.iter().any(|((_, one), visit)| *one == number && visit.measured().is_some())
    }

    fn configuration(&self, number: usize) -> &Configuration {
        match number.checked_sub(1) {
            Some(index) => &self.settings.contenders[index],
            None => &self.settings.baseline,
        }
    }
}

impl Field {
    fn active(&self, settings: &RaceSettings) -> Vec<usize> {
        (1..=settings.contenders.len()).filter(|number| !self.dropped.contains_key(number)).collect()
    }

    fn drop(&mut self, number: usize, round: u32, reason: DropReason) {
        self.dropped.entry(number).or_insert(Dropped { round, reason });
    }
}

fn low(difference: &Estimate) -> f64 {
    difference.interval.map_or(f64::NEG_INFINITY, |interval| interval.low)
}
