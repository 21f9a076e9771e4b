//! Random search without replacement: the yardstick for every other sampler.

use crate::sampler::{Proposal, Sampler};
use crate::space::Space;
use crate::visit::Visit;
use gguflab_types::Purpose;

/// Configurations drawn at random, none twice.
pub(crate) struct Random {
    /// Chooses the draws.
    pub(crate) seed: u64,
}

impl Sampler for Random {
    fn propose(&self, space: &Space, visits: &[Visit]) -> Proposal {
        // Another order than the grid's of the same seed, so that the two differ as samples.
        super::first_unvisited(space, visits, !self.seed, Purpose::Search)
    }
}
