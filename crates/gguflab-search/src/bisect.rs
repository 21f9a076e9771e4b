//! Which build made the difference? Probabilistic bisection with answers that may be wrong.
//!
//! Each answer shifts belief between the builds by how reliable it is (Horstein 1963), the next question halves what is
//! believed, and it ends when one build is believed enough (Waeber, Frazier & Henderson 2013). A plain bisection would be led
//! astray by a single wrong answer, and would find a culprit where nothing ever changed.

use serde::{Deserialize, Serialize};

/// What is believed before any answer of there being no difference between the ends: somebody says that there is one, and
/// nobody has looked. So the bad end is the first to be asked.
const NO_CHANGE: f64 = 0.5;
/// Where it ends without a culprit, only this share of the doubt may be left: half of the belief in no change was there
/// for nothing, and one wrong answer of the bad end would otherwise end a search that has something to find.
const DOUBT: f64 = 0.2;
/// No answer is beyond doubt.
const MOST_RELIABLE: f64 = 0.999;

/// What a build was heard to be.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct Answer {
    /// Its number; 0 is the good end.
    pub build: usize,
    /// Whether it was found to be bad.
    pub is_bad: bool,
    /// Probability that this is right, from 0.5 (says nothing) to 1.
    pub reliability: f64,
}

/// Builds from the good end, number 0, to the bad end, the last one.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Builds {
    /// How many, both ends among them.
    pub count: usize,
    /// Those that cannot be asked, because they do not run for example.
    pub skipped: Vec<usize>,
}

/// What to do next.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub enum Next {
    /// Ask this build.
    Ask(usize),
    /// Nothing: it is decided.
    Decided(Decision),
}

/// What a search has come to.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub enum Decision {
    /// The first bad build is one of these (several where those between cannot be asked).
    Found {
        /// The first of them.
        first: usize,
        /// The last of them.
        last: usize,
        /// The probability that this is right.
        confidence: f64,
    },
    /// The bad end is not bad.
    NoChange {
        /// The probability that this is right.
        confidence: f64,
    },
}

/// How probable it is that the first bad build is one of these.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct Suspect {
    /// The first of them.
    pub first: usize,
    /// The last of them: the one that can be asked.
    pub last: usize,
    /// Its probability.
    pub probability: f64,
}

/// What is believed after some answers.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Belief {
    /// Builds, or groups of builds that cannot be told apart, in their order.
    pub suspects: Vec<Suspect>,
    /// The probability that there is no difference between the ends.
    pub no_change: f64,
}

/// The next question, or the end. The answers may be in any order and ask a build several times.
///
/// # Errors
/// A sentence that says why there is nothing to ask.
pub fn next(builds: &Builds, answers: &[Answer], confidence: f64) -> Result<Next, String> {
    let belief = belief(builds, answers)?;
    if belief.no_change >= 1.0 - DOUBT * (1.0 - confidence) {
        return Ok(Next::Decided(Decision::NoChange { confidence: belief.no_change }));
    }
    let strongest = belief.suspects.iter().max_by(|one, other| one.probability.total_cmp(&other.probability));
    match strongest {
        Some(Suspect { first, last, probability }) if *probability >= confidence => {
            Ok(Next::Decided(Decision::Found { first: *first, last: *last, confidence: *probability }))
        }
        _ => Ok(Next::Ask(median(&belief))),
    }
}

/// What is believed after these answers.
///
/// # Errors
/// As [`next`].
pub fn belief(builds: &Builds, answers: &[Answer]) -> Result<Belief, String> {
    let last = builds.count.saturating_sub(1);
    if last == 0 {
        return Err("a good and a bad build are the least that can be searched".to_string());
    }
    if builds.skipped.contains(&last) {
        return Err("the bad end cannot be measured, so nobody knows that it is bad".to_string());
    }
    let mut suspects: Vec<Suspect> = Vec::new();
    let mut first = 1;
    for build in (1..=last).filter(|build| !builds.skipped.contains(build)) {
        let share = (build + 1 - first) as f64 / last as f64;
        suspects.push(Suspect { first, last: build, probability: ((1.0 - NO_CHANGE) * share).ln() });
        first = build + 1;
    }
    // Logarithms until here: many answers make small numbers.
    let mut no_change = NO_CHANGE.ln();
    for answer in answers {
        let reliability = answer.reliability.clamp(0.5, MOST_RELIABLE);
        let weight =
            |is_bad: bool| if is_bad == answer.is_bad { reliability.ln() } else { (1.0 - reliability).ln() };
        for suspect in &mut suspects {
            suspect.probability += weight(suspect.last <= answer.build);
        }
        no_change += weight(false);
    }
    let largest = suspects.iter().map(|suspect| suspect.probability).fold(no_change, f64::max);
    let all = suspects.iter().map(|suspect| (suspect.probability - largest).exp()).sum::<f64>()
        + (no_change - largest).exp();
    for suspect in &mut suspects {
        suspect.probability = (suspect.probability - largest).exp() / all;
    }
    Ok(Belief { suspects, no_change: (no_change - largest).exp() / all })
}

/// The build whose being bad is most like a throw of a coin: its answer tells most.
fn median(belief: &Belief) -> usize {
    let mut best = (0, f64::INFINITY);
    let mut is_bad = 0.0;
    for suspect in &belief.suspects {
        is_bad += suspect.probability;
        let distance = (is_bad - 0.5f64).abs();
        if distance < best.1 {
            best = (suspect.last, distance);
        }
    }
    best.0
}

#[cfg(test)]
mod tests {
    use super::*;

    fn answer(build: usize, is_bad: bool) -> Answer {
        Answer { build, is_bad, reliability: 0.975 }
    }

    fn builds(count: usize, skipped: &[usize]) -> Builds {
        Builds { count, skipped: skipped.to_vec() }
    }

    #[test]
    fn the_bad_end_is_asked_first_and_then_the_middle() {
        let eight = builds(9, &[]);
        assert_eq!(next(&eight, &[], 0.95), Ok(Next::Ask(8)));
        assert_eq!(next(&eight, &[answer(8, true)], 0.95), Ok(Next::Ask(4)));
        assert_eq!(next(&eight, &[answer(8, true), answer(4, false)], 0.95), Ok(Next::Ask(6)));
    }

    #[test]
    fn an_end_that_is_twice_not_bad_ends_it() {
        let nine = builds(9, &[]);
        assert_eq!(next(&nine, &[answer(8, false)], 0.95), Ok(Next::Ask(8)));
        let found = next(&nine, &[answer(8, false); 2], 0.95);
        assert!(
            matches!(found, Ok(Next::Decided(Decision::NoChange { confidence })) if confidence > 0.999),
            "{found:?}"
        );
    }

    #[test]
    fn builds_that_cannot_be_asked_share_the_blame() {
        let some = builds(5, &[1, 2]);
        let belief = belief(&some, &[]).unwrap();
        let found: Vec<_> =
            belief.suspects.iter().map(|one| (one.first, one.last, one.probability)).collect();
        assert_eq!(found.len(), 2);
        assert_eq!((found[0].0, found[0].1, found[1].0, found[1].1), (1, 3, 4, 4));
        assert!((found[0].2 - 0.375).abs() < 1e-9);
        let told = [answer(4, true), answer(3, true), answer(3, true)];
        let Ok(Next::Decided(Decision::Found { first, last, confidence })) = next(&some, &told, 0.95) else {
            panic!()
        };
        assert_eq!((first, last), (1, 3));
        assert!(confidence > 0.95);
    }

    #[test]
    fn what_cannot_be_searched_is_said() {
        assert!(next(&builds(1, &[]), &[], 0.95).is_err());
        assert!(next(&builds(0, &[]), &[], 0.95).is_err());
        assert!(next(&builds(3, &[2]), &[], 0.95).is_err());
        let two = next(&builds(2, &[]), &[answer(1, true)], 0.95);
        assert!(matches!(two, Ok(Next::Decided(Decision::Found { .. }))), "{two:?}");
    }

    #[test]
    fn many_answers_do_not_underflow_and_worthless_ones_change_nothing() {
        let many: Vec<Answer> = (0..5000).map(|turn| answer(3 + turn % 2, turn % 2 == 1)).collect();
        let found = belief(&builds(9, &[]), &many).unwrap();
        let all = found.no_change + found.suspects.iter().map(|one| one.probability).sum::<f64>();
        assert!((all - 1.0).abs() < 1e-9 && found.suspects[3].probability > 0.999, "{found:?}");
        let nothing = Answer { reliability: 0.5, ..answer(4, true) };
        let (before, after) =
            (belief(&builds(9, &[]), &[]).unwrap(), belief(&builds(9, &[]), &[nothing]).unwrap());
        assert!((before.no_change - after.no_change).abs() < 1e-12);
    }
}
