//! Where a candidate is furthest from its reference: the windows and the tokens, with their text.

use super::{Found, Side, window_means};
use gguflab_report::{Cell, Column, Document, Table};
use gguflab_types::Unit;
use gguflab_types::evaluation::WindowScores;

/// Windows and tokens that are shown of each candidate.
const SHOWN: usize = 5;
/// Tokens before the worst one that are shown.
const BEFORE: usize = 12;
/// Characters of a window that are shown.
const BEGINNING: usize = 60;

pub(super) fn add(found: &Found<'_>, document: &mut Document) {
    if found.reference.is_none() {
        return;
    }
    let mut inside = Document::new("Where it is worst");
    for side in &found.candidates {
        // Of what is only bounded nothing is the worst.
        if side.values.has_divergence() {
            inside.table(windows(found, side));
            inside.table(tokens(found, side));
        }
    }
    document.fold("Worst windows and tokens", inside);
}

fn scored<'a>(found: &'a Found<'_>, chunk: u32) -> Option<&'a WindowScores> {
    found.evaluated.scored.iter().find(|scored| scored.chunk == chunk)
}

fn windows(found: &Found<'_>, side: &Side) -> Table {
    let mut order = window_means(&side.values.chunks, &side.values.divergence);
    order.sort_by(|one, other| other.1.total_cmp(&one.1));
    let columns = [
        Column::new("window"),
        Column::with_unit("KL divergence", Unit::Nats),
        Column::new("its text begins"),
    ];
    let mut table = Table::new(format!("Worst windows of {}", side.label()), columns);
    for (chunk, value) in order.into_iter().take(SHOWN) {
        let text: String = scored(found, chunk).map(|scored| scored.pieces.concat()).unwrap_or_default();
        table.push([
            Cell::count(u64::from(chunk)),
            Cell::number(value, Unit::Nats),
            Cell::text(one_line(&text.chars().take(BEGINNING).collect::<String>())),
        ]);
    }
    table
}

fn tokens(found: &Found<'_>, side: &Side) -> Table {
    let mut order: Vec<(u32, usize, f64)> = Vec::new();
    for (chunk, values) in side.values.chunks.iter().zip(&side.values.divergence) {
        order.extend(values.iter().enumerate().map(|(place, value)| (*chunk, place, *value)));
    }
    order.retain(|(_, _, value)| value.is_finite());
    order.sort_by(|one, other| other.2.total_cmp(&one.2));
    let columns = [
        Column::new("window"),
        Column::new("position"),
        Column::with_unit("KL divergence", Unit::Nats),
        Column::new("after"),
        Column::new("came"),
    ];
    let mut table = Table::new(format!("Worst tokens of {}", side.label()), columns);
    for (chunk, place, value) in order.into_iter().take(SHOWN) {
        let Some(scored) = scored(found, chunk) else { continue };
        let position = scored.first as usize + place;
        let from = (position + 1).saturating_sub(BEFORE);
        let before = scored.pieces.get(from..=position).unwrap_or_default().concat();
        let came = scored.pieces.get(position + 1).cloned().unwrap_or_default();
        table.push([
            Cell::count(u64::from(chunk)),
            Cell::count(position as u64),
            Cell::number(value, Unit::Nats),
            Cell::text(one_line(&before)),
            Cell::text(one_line(&came)),
        ]);
    }
    table
}

/// Ends of lines and tabs as signs that can be seen.
fn one_line(text: &str) -> String {
    text.replace('\n', "⏎").replace('\t', "⇥").replace('\r', "␍")
}
