//! Parallel axes in characters: on each axis, where the best configurations lie.

use super::{SHADES, cell_of};
use crate::chart::{ParallelAxis, ParallelLine};
use crate::text::{clean, pad_right, width, wrap};

/// A line for each axis: its values, each with a shade for how many of the best quarter of the lines have it. The
/// lines come best first.
pub(super) fn parallel(axes: &[ParallelAxis], lines: &[ParallelLine], total: usize) -> Vec<String> {
    if lines.is_empty() {
        return Vec::new();
    }
    let best = &lines[..lines.len().div_ceil(4)];
    let names: Vec<String> = axes.iter().map(|axis| clean(&axis.label)).collect();
    let margin = names.iter().map(|name| width(name)).max().unwrap_or(0);
    let mut shown = Vec::new();
    for (index, (axis, name)) in axes.iter().zip(&names).enumerate() {
        let count = |level: usize| best.iter().filter(|line| line.places.get(index) == Some(&level)).count();
        let value = |(level, tick): (usize, &String)| {
            let shade = match count(level) {
                0 => '·',
                some => SHADES[1 + cell_of(some as f64, 0.0, best.len() as f64, SHADES.len() - 1)],
            };
            format!("{}\u{a0}{shade}", clean(tick).replace(' ', "\u{a0}"))
        };
        let values: Vec<String> = axis.ticks.iter().enumerate().map(value).collect();
        for (number, line) in
            wrap(&values.join("  "), total.saturating_sub(margin + 2)).into_iter().enumerate()
        {
            let head = if number == 0 { name.as_str() } else { "" };
            shown.push(format!("{}  {}", pad_right(head, margin), line.replace('\u{a0}', " ")));
        }
    }
    shown.push(format!("· none to █ all of the best {} of {}", best.len(), lines.len()));
    shown
}
