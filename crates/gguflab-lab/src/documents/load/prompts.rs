//! What is said of the prompts of a load that come from a dataset.

use super::name;
use crate::documents::words::{count, list};
use crate::load::figures::Figures;
use crate::load::{LoadRecord, Origin};
use gguflab_report::{Cell, Column, Document, Table};
use gguflab_stats::quantile::sample_quantile;
use gguflab_types::Unit;
use std::collections::HashMap;

/// Which data, how much of it, and what was left out.
pub(super) fn in_words(origin: &Origin) -> String {
    let part = origin.split.as_ref().map_or(String::new(), |split| format!(" {split}"));
    let texts = count(usize::try_from(origin.prompts).unwrap_or(usize::MAX), "text");
    let left_out = [
        (origin.empty, "without a text".to_string()),
        (origin.too_long, format!("longer than {} tokens", origin.limit.unwrap_or(0))),
    ];
    let left_out: Vec<String> = left_out
        .iter()
        .filter(|(number, _)| *number > 0)
        .map(|(number, why)| format!("{number} {why}"))
        .collect();
    let left_out = match left_out.as_slice() {
        [] => String::new(),
        parts => format!("; of {} records were left out: {}", origin.records, list(parts)),
    };
    format!(
        "{texts} of {}{part} at `{}`, {} different, in a random order by the seed, each of them once before any comes \
         again{left_out}",
        origin.dataset, origin.field, origin.distinct
    )
}

/// How long the prompts were that were sent.
pub(super) fn table(all: &[Figures]) -> Table {
    let columns = [
        Column::new("load"),
        Column::new("different prompts").help("of the dataset, of all requests of the window"),
        Column::new("counted").help("prompts whose tokens the server told"),
        Column::with_unit("shortest", Unit::Tokens),
        Column::with_unit("p50", Unit::Tokens),
        Column::with_unit("p95", Unit::Tokens),
        Column::with_unit("longest", Unit::Tokens),
    ];
    let mut table = Table::new("Prompts, as the server counts them", columns);
    for figures in all {
        let length = |probability: f64| {
            sample_quantile(&figures.prompts, probability)
                .map_or(Cell::missing("the server does not tell"), |tokens| {
                    Cell::number(tokens, Unit::Tokens)
                })
        };
        let head = [
            Cell::text(name(figures.arrivals)),
            Cell::count(figures.own as u64),
            Cell::count(figures.prompts.len() as u64),
        ];
        table.push(head.into_iter().chain([0.0, 0.5, 0.95, 1.0].map(length)));
    }
    table
}

/// Says where prompts came again to a server that may have kept them.
pub(super) fn remark(record: &LoadRecord, document: &mut Document) {
    let reads_again = record.endpoint.as_ref().is_none_or(|(_, told)| told.is_llama_cpp);
    let mut times: HashMap<u32, u32> = HashMap::new();
    let own = record.levels.iter().flat_map(|level| &level.courses).filter_map(|course| course.own);
    own.for_each(|own| *times.entry(own).or_default() += 1);
    let most = times.values().copied().max().unwrap_or(0);
    if most < 2 {
        return;
    }
    document.information(match reads_again {
        true => format!("A prompt came up to {most} times; the server was told to read each anew (cache_prompt off)."),
        false => format!(
            "A prompt came up to {most} times: a server that keeps prompts (a prefix cache) need not have read it again, and \
             its first tokens came sooner for that. More prompts or a shorter window avoid it."
        ),
    });
}
