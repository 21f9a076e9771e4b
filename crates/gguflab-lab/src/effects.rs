//! What each knob did, from all that was tried.

use crate::survey::{Pooled, Survey, Turned, noise};
use gguflab_stats::blocks::Residual;
use gguflab_stats::{
    CONFIDENCE, Change, Estimate, Factor, Importance, Observation, Share, additive, group_change, importance,
    relative,
};
use gguflab_types::Value;

/// What each knob did, the most important first.
#[derive(Debug, Clone, PartialEq)]
pub struct Effects {
    /// The knobs, by their share of the variance.
    pub knobs: Vec<KnobEffect>,
    /// The share of the variance that lies in knobs that act together; `None` where too little was tried.
    pub together: Option<f64>,
}

/// What one knob did.
#[derive(Debug, Clone, PartialEq)]
pub struct KnobEffect {
    /// Which knob of the survey.
    pub knob: usize,
    /// The level that the others are compared with: the baseline's, else that of the best configuration.
    pub reference: usize,
    /// The other levels that were tried.
    pub levels: Vec<LevelEffect>,
    /// Its share of the variance of the objective over the space; `None` where too little was tried.
    pub share: Option<Share>,
}

/// What one level did, against the reference's.
#[derive(Debug, Clone, PartialEq)]
pub struct LevelEffect {
    /// The level.
    pub level: usize,
    /// The relative difference in cost (−0.05: 5 % less) between configurations that differ in nothing else.
    pub alone: Option<Change>,
    /// The same by an additive model of all knobs, where it was never changed alone.
    pub modelled: Option<Estimate>,
    /// Visits at this level, and how many of them failed.
    pub visits: (usize, usize),
}

impl LevelEffect {
    /// The best that is known of its difference.
    #[must_use]
    pub fn difference(&self) -> Option<&Estimate> {
        self.alone.as_ref().map(|change| &change.difference).or(self.modelled.as_ref())
    }
}

impl Effects {
    /// What each knob did.
    #[must_use]
    pub fn of(survey: &Survey) -> Effects {
        let groups = survey.pooled();
        let shares = shares(survey, &groups);
        let reference = groups.iter().find(|group| group.baseline && group.cost.is_some());
        let Some(reference) = reference.or(groups.first().filter(|group| group.cost.is_some())) else {
            return Effects { knobs: Vec::new(), together: None };
        };
        let modelled = model(survey, &groups, &reference.levels);
        let mut knobs: Vec<KnobEffect> = (0..survey.knobs.len())
            .map(|knob| KnobEffect {
                knob,
                reference: reference.levels[knob],
                levels: Levels::new(survey, &groups, knob, reference.levels[knob]).effects(&modelled[knob]),
                share: shares.as_ref().map(|shares| shares.alone[knob]),
            })
            .collect();
        let share = |effect: &KnobEffect| effect.share.map_or(0.0, |share| share.value);
        knobs.sort_by(|one, other| share(other).total_cmp(&share(one)));
        Effects { knobs, together: shares.map(|shares| shares.together) }
    }

    /// The knobs of the survey that were tried at two levels or more, the most important first.
    pub fn tried(&self) -> impl Iterator<Item = &KnobEffect> {
        self.knobs.iter().filter(|effect| !effect.levels.is_empty())
    }
}

/// Each configuration is one point, however often it was visited.
fn shares(survey: &Survey, groups: &[Pooled]) -> Option<Importance> {
    let factor = |knob: &Turned| Factor { levels: knob.values.len(), ordered: knob.ordered };
    let factors: Vec<Factor> = survey.knobs.iter().map(factor).collect();
    let points: Vec<(Vec<usize>, f64)> = groups
        .iter()
        .filter_map(|group| Some((group.levels.clone(), group.cost.as_ref()?.value.ln())))
        .collect();
    importance(&factors, &points, 0)
}

fn model(survey: &Survey, groups: &[Pooled], reference: &[usize]) -> Vec<Vec<Option<Estimate>>> {
    let counts: Vec<usize> = survey.knobs.iter().map(|knob| knob.values.len()).collect();
    let observations: Vec<Observation> = groups
        .iter()
        .flat_map(|group| {
            group.costs.iter().map(|&value| Observation { levels: group.levels.clone(), value })
        })
        .collect();
    additive(&counts, reference, &observations, CONFIDENCE).effects
}

/// The levels of one knob.
struct Levels<'a> {
    groups: &'a [Pooled],
    knob: usize,
    count: usize,
    reference: usize,
    noise: Option<Residual>,
    /// What is set besides the knob, for each group; and what the other knobs come to.
    rests: Vec<(String, Vec<usize>)>,
}

impl<'a> Levels<'a> {
    fn new(survey: &Survey, groups: &'a [Pooled], knob: usize, reference: usize) -> Levels<'a> {
        let turned = &survey.knobs[knob];
        let rest = |group: &Pooled| {
            let set = group.configuration.clone().with(&turned.name, Value::Auto).key();
            let mut levels = group.levels.clone();
            levels.remove(knob);
            (set, levels)
        };
        Levels {
            groups,
            knob,
            count: turned.values.len(),
            reference,
            noise: noise(groups),
            rests: groups.iter().map(rest).collect(),
        }
    }

    fn effects(&self, modelled: &[Option<Estimate>]) -> Vec<LevelEffect> {
        let others = (0..self.count).filter(|level| *level != self.reference);
        others.map(|level| self.effect(level, modelled)).filter(|effect| effect.visits.0 > 0).collect()
    }

    fn effect(&self, level: usize, modelled: &[Option<Estimate>]) -> LevelEffect {
        let here = || self.at(level).map(|(_, group)| group);
        let failed: usize = here().map(|group| group.failures.len()).sum();
        LevelEffect {
            level,
            alone: self.alone(level),
            modelled: modelled[level].as_ref().map(relative),
            visits: (here().map(Pooled::visits).sum(), failed),
        }
    }

    fn at(&self, level: usize) -> impl Iterator<Item = (&(String, Vec<usize>), &'a Pooled)> {
        self.rests.iter().zip(self.groups).filter(move |(_, group)| group.levels[self.knob] == level)
    }

    /// The difference between configurations that differ in this knob only, as it was set or in what it comes to.
    fn alone(&self, level: usize) -> Option<Change> {
        let pairs: Vec<(&[f64], &[f64])> = self
            .at(self.reference)
            .flat_map(|(rest, from)| {
                let same = self.at(level).filter(move |(other, _)| other.0 == rest.0 || other.1 == rest.1);
                same.map(move |(_, to)| (&from.costs[..], &to.costs[..]))
            })
            .collect();
        let mut change = group_change(&pairs, self.noise, CONFIDENCE)?;
        change.difference = relative(&change.difference);
        change.varies = change.varies.map(|(least, most)| (least.exp_m1(), most.exp_m1()));
        Some(change)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::survey::{Measure, Run};
    use gguflab_types::{Configuration, Direction, Outcome, Purpose, Unit};

    /// Visits of settings (threads, batch) with a rate; `None` is a failure. 4 threads and a batch of 512 are the
    /// baseline.
    fn survey(visits: &[(i64, i64, Option<f64>)]) -> Survey {
        let knob = |name: &str, numbers: &[i64]| Turned {
            name: name.to_string(),
            values: numbers.iter().map(|number| Value::Integer(*number)).collect(),
            ordered: true,
        };
        let knobs = vec![knob("threads", &[1, 2, 4, 8]), knob("batch", &[128, 512])];
        let configuration = |threads: i64, batch: i64| {
            Configuration::new().with("threads", Value::Integer(threads)).with("batch", Value::Integer(batch))
        };
        let level = |knob: &Turned, number: i64| {
            knob.values.iter().position(|value| *value == Value::Integer(number)).unwrap()
        };
        let run = |(number, (threads, batch, value)): (usize, &(i64, i64, Option<f64>))| Run {
            number: number as u32,
            configuration: configuration(*threads, *batch),
            levels: vec![level(&knobs[0], *threads), level(&knobs[1], *batch)],
            purpose: Purpose::Search,
            outcome: Some(if value.is_some() { Outcome::Measured } else { Outcome::OutOfMemory }),
            cause: String::new(),
            value: *value,
            also: Vec::new(),
        };
        let measure =
            Measure { name: "decode".into(), unit: Unit::TokensPerSecond, direction: Direction::Higher };
        let runs = visits.iter().enumerate().map(run).collect();
        Survey { measure, also: Vec::new(), knobs, runs, baseline: Some(configuration(4, 512)) }
    }

    #[test]
    fn what_is_changed_alone_is_told_from_what_is_not() {
        let survey = survey(&[
            (4, 512, Some(10.0)),
            (4, 512, Some(10.1)),
            (2, 512, Some(5.0)),
            (2, 128, Some(4.5)),
            (1, 128, Some(2.0)),
            (4, 128, None),
        ]);
        let effects = Effects::of(&survey);
        assert_eq!(
            survey.knobs[effects.knobs[0].knob].name, "threads",
            "the most important knob comes first"
        );
        let of = |knob: &str, level: usize| {
            let effect = effects.knobs.iter().find(|one| survey.knobs[one.knob].name == knob).unwrap();
            effect.levels.iter().find(|one| one.level == level).unwrap().clone()
        };
        // Half the rate is twice the time.
        let two = of("threads", 1);
        assert!((two.alone.as_ref().unwrap().difference.value - 1.01).abs() < 0.01, "{two:?}");
        assert!(two.difference().unwrap().interval.is_some_and(|interval| interval.low > 0.0));
        let one = of("threads", 0);
        assert!(
            one.alone.is_none() && one.modelled.as_ref().is_some_and(|effect| effect.value > 3.0),
            "{one:?}"
        );
        // Its only pair is beside two threads; with four it failed.
        let small = of("batch", 0);
        assert!((small.alone.as_ref().unwrap().difference.value - 0.111).abs() < 0.001, "{small:?}");
        assert_eq!(small.visits, (3, 1));
        assert_eq!(effects.tried().count(), 2);
    }

    #[test]
    fn nothing_is_said_where_nothing_was_measured() {
        for visits in [&[][..], &[(4, 512, None), (2, 512, None)], &[(4, 512, Some(1.0))]] {
            let effects = Effects::of(&survey(visits));
            let said = effects.tried().flat_map(|effect| &effect.levels).filter_map(LevelEffect::difference);
            assert_eq!(said.count(), 0, "{visits:?}");
        }
    }
}
