//! What to try next, in words, from what was measured.

use crate::documents::words::{count, in_words, list, natural};
use crate::effects::{Effects, KnobEffect};
use crate::study::OpenStudy;
use crate::survey::{Pooled, Survey};
use gguflab_report::{Cell, Column, Document, Table};
use gguflab_search::Conclusion;
use gguflab_search::race::RaceResult;
use gguflab_stats::{Estimate, Verdict, judge};
use gguflab_types::{Direction, Outcome, Value};

/// Neighbours and knobs that are named, at most.
const NAMED: usize = 4;
/// Knobs whose own candidates reach from end to end.
const SPANNED: [&str; 5] = ["threads", "threads-batch", "gpu-layers", "cpu-moe-layers", "parallel"];
/// More rounds than this are not worth proposing.
const MOST_VISITS: f64 = 400.0;

/// A proposal and what it rests on.
struct Proposal {
    what: String,
    why: String,
}

/// The proposals, those that may gain most first; nothing where there are none.
pub(super) fn add(
    study: &OpenStudy,
    survey: &Survey,
    effects: &Effects,
    conclusion: Option<&Conclusion>,
    document: &mut Document,
) {
    let groups = survey.pooled();
    let mut proposals = Vec::new();
    if let Some(Conclusion::Raced(race)) = conclusion {
        proposals.extend(more_rounds(study, race, survey.runs.len()));
    }
    if let Some(best) = best(&groups, conclusion) {
        proposals.extend(edges(survey, effects, best));
        proposals.extend(neighbours(study, &groups, best));
    }
    proposals.extend(undecided(survey, effects, study.settings.margin));
    proposals.extend(memory(&groups));
    if proposals.is_empty() {
        return;
    }
    document.heading(1, "What to try next");
    let mut table = Table::new("", [Column::new("what"), Column::new("why")]);
    for Proposal { what, why } in proposals {
        table.push([Cell::text(what), Cell::text(why)]);
    }
    document.table(table);
}

/// The winner, or the best that was measured while there is none.
fn best<'a>(groups: &'a [Pooled], conclusion: Option<&Conclusion>) -> Option<&'a Pooled> {
    let winner = super::winner(conclusion);
    let found = winner.and_then(|winner| groups.iter().find(|group| group.configuration == *winner));
    found.or(groups.first()).filter(|group| group.cost.is_some())
}

/// How many more visits would decide a race that ended undecided, if the difference is what it looks like.
fn more_rounds(study: &OpenStudy, race: &RaceResult, visits: usize) -> Option<Proposal> {
    let (leader, difference) = (race.leader.as_ref()?, race.difference.as_ref()?);
    let interval = difference.interval.filter(|_| race.verdict == Verdict::Undecided)?;
    // The half width shrinks with the root of the number of rounds, until it excludes either zero or all that matters.
    let towards = difference.value.abs().max(study.settings.margin - difference.value.abs());
    let factor = (interval.half_width() / towards).powi(2);
    let more = (f64::from(race.rounds.max(1)) * (factor - 1.0)).max(1.0).ceil() * 2.0;
    let amount = in_words(&natural(difference, study.objective.direction), "too few rounds");
    if !more.is_finite() || more > MOST_VISITS {
        return None;
    }
    Some(Proposal {
        what: format!("go on with --budget-runs {}", visits + more as usize),
        why: format!(
            "`{leader}` against the baseline is undecided: {} {amount}; about {} would decide it if the difference is \
             what it looks like",
            study.objective.name,
            count(more as usize, "more visit")
        ),
    })
}

/// Knobs whose best value is the largest that was there to choose, where there are larger ones.
fn edges(survey: &Survey, effects: &Effects, best: &Pooled) -> Option<Proposal> {
    let at_edge = |effect: &&KnobEffect| {
        let knob = &survey.knobs[effect.knob];
        let numbers: Vec<usize> =
            (0..knob.values.len()).filter(|level| knob.number(*level).is_some()).collect();
        let level = best.levels[effect.knob];
        !SPANNED.contains(&knob.name.as_str())
            && numbers.len() > 1
            && numbers.last() == Some(&level)
            && level != effect.reference
    };
    let matters = |effect: &&KnobEffect| {
        let moved = effect.levels.iter().find(|level| level.level == best.levels[effect.knob]);
        let difference = moved.and_then(|level| level.difference()).and_then(|one| one.interval);
        difference.is_some_and(|interval| interval.high < 0.0)
    };
    let named: Vec<String> = effects
        .tried()
        .filter(at_edge)
        .filter(matters)
        .map(|effect| {
            let knob = &survey.knobs[effect.knob];
            format!("{}={}", knob.name, knob.label(best.levels[effect.knob]))
        })
        .collect();
    (!named.is_empty()).then(|| Proposal {
        what: "try larger values with --knob".to_string(),
        why: format!("the best has {}, the largest of the values that were searched", list(&named)),
    })
}

/// Configurations one step beside the best that nobody has visited.
fn neighbours(study: &OpenStudy, groups: &[Pooled], best: &Pooled) -> Option<Proposal> {
    let tried = |wanted: &_| groups.iter().any(|group| group.configuration == *wanted);
    let near = study.plan.space.neighbours(&best.configuration);
    let untried: Vec<String> =
        near.iter().filter(|near| !tried(near)).map(|near| step(&best.configuration, near)).collect();
    let rest = untried.len().saturating_sub(NAMED);
    let mut named: Vec<String> = untried.into_iter().take(NAMED).collect();
    if named.is_empty() {
        return None;
    }
    if rest > 0 {
        named.push(format!("{rest} more"));
    }
    Some(Proposal {
        what: "search on with a larger --budget-runs, or name the values with --knob".to_string(),
        why: format!("beside the best, `{}`, these were never tried: {}", best.configuration, list(&named)),
    })
}

/// What has to be set to come from one configuration to another.
fn step(from: &gguflab_types::Configuration, to: &gguflab_types::Configuration) -> String {
    let names = from.settings().chain(to.settings()).map(|(name, _)| name);
    let mut changed: Vec<&str> = names.filter(|name| from.get(name) != to.get(name)).collect();
    changed.sort_unstable();
    changed.dedup();
    let written = |name: &&str| match to.get(name) {
        Value::Auto => format!("without {name}"),
        value => format!("{name}={value}"),
    };
    changed.iter().map(written).collect::<Vec<_>>().join(" ")
}

/// Knobs whose values might matter, or might not: their intervals say neither.
fn undecided(survey: &Survey, effects: &Effects, margin: f64) -> Option<Proposal> {
    let open = |difference: &Estimate| judge(difference, margin, Direction::Lower) == Verdict::Undecided;
    let hopeful = |difference: &Estimate| difference.interval.is_none_or(|interval| interval.low < -margin);
    let named: Vec<String> = effects
        .tried()
        .filter(|effect| {
            let all: Vec<&Estimate> = effect.levels.iter().filter_map(|level| level.difference()).collect();
            !all.is_empty() && all.iter().all(|one| open(one)) && all.iter().any(|one| hopeful(one))
        })
        .map(|effect| survey.knobs[effect.knob].name.clone())
        .collect();
    (!named.is_empty()).then(|| Proposal {
        what: format!("--only {} with more --repetitions", named.join(",")),
        why: format!("no difference was shown for any value of {}, and none was ruled out", list(&named)),
    })
}

/// A way out where memory is what limits.
fn memory(groups: &[Pooled]) -> Option<Proposal> {
    let exhausted = groups.iter().filter(|group| group.failures.contains(&Outcome::OutOfMemory)).count();
    (exhausted * 4 >= groups.len().max(1)).then(|| Proposal {
        what: "--knob cache-type-k=f16,q8_0 --knob cache-type-v=f16,q8_0".to_string(),
        why: format!(
            "{} of {} ran out of memory; a smaller cache leaves room, but changes what the model says",
            exhausted,
            count(groups.len(), "configuration")
        ),
    })
}
