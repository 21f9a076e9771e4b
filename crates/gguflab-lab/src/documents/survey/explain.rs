//! What each knob did, in words.

use crate::documents::words::{count, list, natural, range, signed};
use crate::effects::{Effects, KnobEffect, LevelEffect};
use crate::survey::Survey;
use gguflab_report::Document;
use gguflab_stats::{Estimate, Verdict, judge};
use gguflab_types::Direction;

/// Why the model gives nothing.
pub(super) fn no_interval() -> &'static str {
    "cannot be told from other knobs"
}

/// One paragraph for each knob. `margin` is the relative difference that does not matter.
pub(in crate::documents) fn add(survey: &Survey, effects: &Effects, margin: f64, document: &mut Document) {
    document.heading(1, "What each knob did, in words");
    if effects.knobs.is_empty() {
        document.paragraph("Nothing was measured, so nothing can be said.");
        return;
    }
    document.paragraph(
        "Differences are between configurations that differ in nothing else; `by the model` means that a value was \
         never changed alone, and the difference is that of an additive model of all visits. Brackets hold 95 % \
         intervals, each for itself: among twenty of them one misleads. What was tried again because it looked good \
         looks a little better than it is; which configuration is best is for the race to say, not for this.",
    );
    for effect in &effects.knobs {
        document.paragraph(paragraph(survey, effect, margin));
    }
}

fn paragraph(survey: &Survey, effect: &KnobEffect, margin: f64) -> String {
    let knob = &survey.knobs[effect.knob];
    let reference = knob.label(effect.reference);
    let untried: Vec<String> = (0..knob.values.len())
        .filter(|level| *level != effect.reference && !effect.levels.iter().any(|one| one.level == *level))
        .map(|level| knob.label(level))
        .collect();
    if effect.levels.is_empty() {
        return format!(
            "`{}` was never tried at another value than {reference}: nothing is known of {}.",
            knob.name,
            list(&untried)
        );
    }
    let mut sentences = vec![importance(&knob.name, effect)];
    sentences.extend(differences(survey, effect, margin));
    sentences.extend(failures(survey, effect));
    if !untried.is_empty() {
        sentences.push(format!("Never tried: {}.", list(&untried)));
    }
    sentences.join(" ")
}

fn importance(name: &str, effect: &KnobEffect) -> String {
    match effect.share {
        Some(share) => format!(
            "`{name}` alone explains {:.0} % of the variation over the space ({:.0} to {:.0} % in four of five trees).",
            share.value * 100.0,
            share.low * 100.0,
            share.high * 100.0
        ),
        None => format!("`{name}`: too little was measured to say how much of the variation it explains."),
    }
}

/// Values that made a difference first, then those that made none, then those that are undecided.
fn differences(survey: &Survey, effect: &KnobEffect, margin: f64) -> Vec<String> {
    let knob = &survey.knobs[effect.knob];
    let reference = knob.label(effect.reference);
    let (mut shown, mut equal, mut undecided, mut unknown) = (vec![], vec![], vec![], vec![]);
    for level in &effect.levels {
        let label = knob.label(level.level);
        let Some(difference) = level.difference() else {
            if level.visits.1 < level.visits.0 {
                unknown.push(label);
            }
            continue;
        };
        let words = format!("{label} {}", said(level, difference, survey.measure.direction));
        match judge(difference, margin, Direction::Lower) {
            Verdict::Better | Verdict::Worse => shown.push(words),
            Verdict::Indistinguishable => equal.push(words),
            Verdict::Undecided => undecided.push(words),
        }
    }
    let name = &survey.measure.name;
    let mut sentences = Vec::new();
    let mut say = |start: String, parts: &[String]| {
        if !parts.is_empty() {
            sentences.push(format!("{start}: {}.", parts.join("; ")));
        }
    };
    say(format!("Instead of {reference} it changed {name}"), &shown);
    say(format!("No difference that matters from {reference}"), &equal);
    say(format!("No difference from {reference} was shown"), &undecided);
    say(
        "Nothing can be said of these, which were cut short or only tried together with other changes"
            .to_string(),
        &unknown,
    );
    sentences
}

fn said(level: &LevelEffect, difference: &Estimate, direction: Direction) -> String {
    let amount = format!("by {}", bracketed(&natural(difference, direction)));
    let Some(alone) = &level.alone else { return format!("{amount} by the model") };
    match alone.varies {
        Some((least, most)) => {
            let ends = [least, most].map(|end| natural(&Estimate::bare(end, 1, ""), direction).value);
            let (low, high) = (ends[0].min(ends[1]), ends[0].max(ends[1]));
            let pairs = count(alone.surroundings, "pair");
            format!(
                "{amount} on average, but from {} to {} with other settings ({pairs})",
                signed(low),
                signed(high)
            )
        }
        None if alone.surroundings > 1 => format!("{amount} in {}", count(alone.surroundings, "pair")),
        None => amount,
    }
}

fn bracketed(difference: &Estimate) -> String {
    let interval = difference.interval.map(|interval| format!(" [{}]", range(interval)));
    format!("{}{}", signed(difference.value), interval.unwrap_or_else(|| " (no interval)".to_string()))
}

fn failures(survey: &Survey, effect: &KnobEffect) -> Option<String> {
    let knob = &survey.knobs[effect.knob];
    let failed: Vec<String> = effect
        .levels
        .iter()
        .filter(|level| level.visits.1 > 0)
        .map(|level| {
            format!("{} ({} of {})", knob.label(level.level), level.visits.1, count(level.visits.0, "visit"))
        })
        .collect();
    (!failed.is_empty()).then(|| format!("Visits failed at {}.", list(&failed)))
}
