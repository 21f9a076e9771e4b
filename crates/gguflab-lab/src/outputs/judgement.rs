//! Whether outputs drifted.

use super::Unread;
use gguflab_stats::Divergence;
use gguflab_types::{Ending, Outcome};
use serde::{Deserialize, Serialize};

/// How many times the reference's own floor a mean divergence has to be to count. What else changed only the rounding of
/// SmolLM2-135M took it 1.0 to 1.1 times as far as other batches do on a processor, and up to 2.7 times on an H100 (flash attention
/// off, perplexity the same); K in q4_0 took it 10 times as far.
pub const MEAN_FACTOR: f64 = 4.0;
/// The same for the worst token, whose scatter is larger: 0.6 to 1.6 times on a processor, 3.7 times on an H100.
pub const MAXIMUM_FACTOR: f64 = 8.0;
/// Mean divergence in nats below which outputs count as the same whatever the floor is: by Pinsker's inequality (total
/// variation ≤ √(KL/2)) nobody who sees the next token tells the two apart with an advantage above 0.7 %.
pub const MEAN_BOUND: f64 = 1e-4;
/// The same bound for the worst single token: an advantage of at most 7 %.
pub const MAXIMUM_BOUND: f64 = 1e-2;

/// Whether the outputs of a candidate are those of the reference.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Drift {
    /// The verdict.
    pub verdict: DriftVerdict,
    /// Why, in one sentence without a full stop.
    pub reason: String,
    /// What it rests on; `None` when nothing could be compared.
    pub evidence: Option<Evidence>,
    /// How reading the candidate ended instead.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ended: Option<Ending>,
}

/// What can be said of outputs.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum DriftVerdict {
    /// Not further from the reference than rounding takes the reference from itself, or too little to matter.
    Same,
    /// Further than that, logits that are no numbers, other tokens, or none because reading them ended the engine.
    Drifted,
    /// It could not be compared.
    Unchecked,
}

impl DriftVerdict {
    /// Its name in reports.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            DriftVerdict::Same => "same",
            DriftVerdict::Drifted => "drifted",
            DriftVerdict::Unchecked => "unchecked",
        }
    }
}

/// What a verdict rests on.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct Evidence {
    /// Candidate against reference.
    pub divergence: Divergence,
    /// Reference against itself in batches of another size.
    pub floor: Divergence,
}

impl Drift {
    pub(crate) fn unchecked(reason: impl Into<String>) -> Drift {
        Drift { verdict: DriftVerdict::Unchecked, reason: reason.into(), evidence: None, ended: None }
    }

    /// What can be said of a candidate whose outputs could not be held against those of the reference.
    pub(crate) fn without_numbers(unread: &Unread) -> Drift {
        let verdict = match unread {
            Unread::Unavailable(_) => DriftVerdict::Unchecked,
            Unread::Ended(ending) if ending.outcome == Outcome::Cancelled => DriftVerdict::Unchecked,
            Unread::Ended(_) | Unread::Other(_) => DriftVerdict::Drifted,
        };
        let ended = if let Unread::Ended(ending) = unread { Some(ending.clone()) } else { None };
        Drift { verdict, ended, ..Drift::unchecked(unread.reason()) }
    }

    /// Drifted is what has logits that are no numbers where the reference has them all, and what is further away than
    /// both a multiple of the floor ([`MEAN_FACTOR`], [`MAXIMUM_FACTOR`]) and the absolute bound, in the mean or at its worst token.
    #[must_use]
    pub fn judge(evidence: Evidence) -> Drift {
        let (verdict, reason) = verdict(&evidence);
        Drift { verdict, reason, evidence: Some(evidence), ended: None }
    }
}

fn verdict(evidence: &Evidence) -> (DriftVerdict, String) {
    let Evidence { divergence, floor } = evidence;
    if divergence.broken_reference > 0 || floor.broken_candidate > 0 {
        let rows = divergence.broken_reference.max(floor.broken_candidate);
        let reason = format!("the reference itself has logits that are no numbers, in {rows} rows");
        return (DriftVerdict::Unchecked, reason);
    }
    if divergence.broken_candidate > 0 {
        let reason = format!("logits that are no numbers, in {} rows", divergence.broken_candidate);
        return (DriftVerdict::Drifted, reason);
    }
    let (Some(mean), Some(floor_mean)) = (divergence.mean(), floor.mean()) else {
        return (DriftVerdict::Unchecked, "there was nothing to compare".to_string());
    };
    let rows = [
        ("mean", mean, floor_mean, MEAN_FACTOR, MEAN_BOUND),
        ("largest", divergence.maximum, floor.maximum, MAXIMUM_FACTOR, MAXIMUM_BOUND),
    ];
    let beyond = rows.iter().find(|(_, found, floor, factor, bound)| *found > bound.max(factor * floor));
    match beyond {
        Some((name, found, floor, factor, bound)) => {
            let limit = match factor * floor > *bound {
                true => format!("{factor} times the {floor:.1e} of other batches"),
                false => format!("{bound:.0e}"),
            };
            (
                DriftVerdict::Drifted,
                format!("the {name} divergence of a token is {found:.1e} nats, above {limit}"),
            )
        }
        None if divergence.largest_difference == 0.0 => {
            let what = if divergence.hidden() > 0.0 {
                "the probabilities of the likeliest tokens"
            } else {
                "the logits"
            };
            (DriftVerdict::Same, format!("{what} are the same to the last bit{}", unseen(divergence)))
        }
        None => {
            let reason = format!(
                "mean divergence {mean:.1e} nats; other batches alone take the reference {floor_mean:.1e} away from \
                 itself{}",
                unseen(divergence)
            );
            (DriftVerdict::Same, reason)
        }
    }
}

/// What "the same" does not speak of, where only the likeliest tokens are known.
fn unseen(divergence: &Divergence) -> String {
    match divergence.hidden() {
        hidden if hidden > 0.0 => {
            format!(
                ", as far as the likeliest tokens tell ({:.1} % of probability lies beyond them)",
                100.0 * hidden
            )
        }
        _ => String::new(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Rows of two tokens whose logits are this far apart.
    fn apart(differences: &[f32]) -> Divergence {
        let mut sum = Divergence::default();
        for difference in differences {
            sum.add(&[0.0, 0.0], &[0.0, *difference]);
        }
        sum
    }

    #[test]
    fn the_verdict_follows_the_floor_and_the_bounds() {
        // KL of two even tokens at a difference d is about d²/8.
        for (divergence, floor, expected) in [
            (apart(&[0.0; 8]), apart(&[0.0; 8]), DriftVerdict::Same),
            // 3e-5: below the bound, though there is no floor at all.
            (apart(&[0.015; 8]), apart(&[0.0; 8]), DriftVerdict::Same),
            // 3e-4 on average.
            (apart(&[0.05; 8]), apart(&[0.0; 8]), DriftVerdict::Drifted),
            (apart(&[0.05; 8]), apart(&[0.04; 8]), DriftVerdict::Same),
            // 3.5 and 6 times the floor.
            (apart(&[0.075; 8]), apart(&[0.04; 8]), DriftVerdict::Same),
            (apart(&[0.098; 8]), apart(&[0.04; 8]), DriftVerdict::Drifted),
            // The worst token at 6 and 12 times that of the floor, the means alike.
            (apart(&[&[0.5], &[0.2; 400][..]].concat()), apart(&[0.2; 8]), DriftVerdict::Same),
            (apart(&[&[0.7], &[0.2; 400][..]].concat()), apart(&[0.2; 8]), DriftVerdict::Drifted),
            // One token at 2e-2, the mean of many below the bound.
            (apart(&[&[0.4], &[0.0; 400][..]].concat()), apart(&[0.0; 8]), DriftVerdict::Drifted),
            (apart(&[f32::NAN, 0.0]), apart(&[0.0; 8]), DriftVerdict::Drifted),
            (apart(&[0.0; 8]), apart(&[f32::NAN]), DriftVerdict::Unchecked),
            (Divergence::default(), apart(&[0.0; 8]), DriftVerdict::Unchecked),
        ] {
            let drift = Drift::judge(Evidence { divergence, floor });
            assert_eq!(drift.verdict, expected, "{drift:?}");
            assert!(!drift.reason.is_empty());
        }
    }

    #[test]
    fn it_survives_json() {
        let drift = Drift::judge(Evidence { divergence: apart(&[0.5]), floor: apart(&[0.0]) });
        let text = serde_json::to_string(&drift).unwrap();
        assert_eq!(serde_json::from_str::<Drift>(&text).unwrap(), drift);
        assert!(text.contains(r#""verdict":"drifted""#), "{text}");
    }

    #[test]
    fn a_candidate_that_cannot_be_read_has_drifted_and_an_engine_without_logits_has_not() {
        let ended = |outcome| Unread::Ended(Ending::new(outcome, "boom"));
        for (unread, verdict) in [
            (Unread::Unavailable("shows none".to_string()), DriftVerdict::Unchecked),
            (ended(Outcome::Cancelled), DriftVerdict::Unchecked),
            (ended(Outcome::Crashed), DriftVerdict::Drifted),
            (ended(Outcome::OutOfMemory), DriftVerdict::Drifted),
            (Unread::Other("other tokens".to_string()), DriftVerdict::Drifted),
        ] {
            let drift = Drift::without_numbers(&unread);
            assert_eq!(
                (drift.verdict, drift.reason.as_str(), drift.evidence),
                (verdict, unread.reason(), None)
            );
        }
    }
}
