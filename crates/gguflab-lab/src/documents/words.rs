//! Differences in words.

use gguflab_stats::{Estimate, Interval};
use gguflab_types::Direction;

/// A relative difference of costs as one of the objective itself: 20 % less time per token is 25 % more tokens per
/// second.
pub(super) fn natural(difference: &Estimate, direction: Direction) -> Estimate {
    if direction != Direction::Higher {
        return difference.clone();
    }
    let invert = |cost: f64| 1.0 / (1.0 + cost) - 1.0;
    let mut natural = difference.map(invert);
    if let Some(interval) = &mut natural.interval {
        std::mem::swap(&mut interval.low, &mut interval.high);
    }
    natural
}

/// `+4.2 % (95 % interval +3.1 % to +5.3 %)`, or what is missing for an interval.
pub(super) fn in_words(difference: &Estimate, missing: &str) -> String {
    match difference.interval {
        Some(interval) => format!("{} (95 % interval {})", signed(difference.value), range(interval)),
        None => format!("{} (no interval: {missing})", signed(difference.value)),
    }
}

/// `+3.1 % to +5.3 %`.
pub(super) fn range(interval: Interval) -> String {
    format!("{} to {}", signed(interval.low), signed(interval.high))
}

/// A fraction as per cent with its sign; large ones without a decimal.
pub(super) fn signed(fraction: f64) -> String {
    let percent = fraction * 100.0;
    let text = if percent.abs() < 100.0 { format!("{percent:+.1} %") } else { format!("{percent:+.0} %") };
    text.replace('-', "−")
}

pub(super) fn percent(fraction: f64) -> String {
    format!("{} %", fraction * 100.0)
}

/// `a`, `a and b`, `a, b and c`.
pub(super) fn list(parts: &[String]) -> String {
    match parts {
        [] => String::new(),
        [only] => only.clone(),
        [first @ .., last] => format!("{} and {last}", first.join(", ")),
    }
}

/// `1 visit`, `3 visits`.
pub(super) fn count(number: usize, thing: &str) -> String {
    if number == 1 { format!("1 {thing}") } else { format!("{number} {thing}s") }
}
