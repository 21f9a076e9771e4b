//! Means by how much text stands before a token: a model that forgets, or a cache that rounds, shows at depth.

use crate::chunks::ClusterMean;
use serde::Serialize;

/// The tokens at some depths.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub struct Depth {
    /// The first position within the window, counted from 0.
    pub from: u32,
    /// The position after the last.
    pub to: u32,
    /// Mean over the tokens there, with the chunk as the unit.
    pub mean: ClusterMean,
}

/// Means of the values at positions between neighbouring `edges`, in order, of chunks whose values begin at position
/// `first`. A position without a value holds a number that is not finite. Depths without any value are left out.
#[must_use]
pub fn by_depth(chunks: &[&[f64]], first: u32, edges: &[u32], population: Option<usize>) -> Vec<Depth> {
    let depth = |ends: &[u32]| {
        let (from, to) = (ends[0], ends[1]);
        let cut = |chunk: &&'_ [f64]| -> Vec<f64> {
            let place = |position: u32| (position.saturating_sub(first) as usize).min(chunk.len());
            chunk.get(place(from)..place(to)).unwrap_or_default().to_vec()
        };
        let parts: Vec<Vec<f64>> = chunks.iter().map(cut).collect();
        let parts: Vec<&[f64]> = parts.iter().map(Vec::as_slice).collect();
        Some(Depth { from, to, mean: ClusterMean::of(&parts, population)? })
    };
    edges.windows(2).filter_map(depth).collect()
}

/// Edges of depths that double: 0, `least`, 2·`least` and so on, the last one being `end`.
#[must_use]
pub fn doubling(least: u32, end: u32) -> Vec<u32> {
    let doubled = std::iter::successors(Some(least.max(1)), |edge| edge.checked_mul(2));
    std::iter::once(0).chain(doubled.take_while(|edge| *edge < end)).chain([end]).collect()
}
