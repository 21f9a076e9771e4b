//! Every configuration once. The order is random, so that drift of the machine does not look like an effect of the
//! knob that happens to change slowest, and so that a grid that is cut short is a fair sample.

use crate::sampler::{Proposal, Sampler};
use crate::space::Space;
use crate::visit::Visit;
use gguflab_types::Purpose;

/// Every configuration once, in an order that belongs to the seed.
pub(crate) struct Grid {
    /// Chooses the order.
    pub(crate) seed: u64,
}

impl Sampler for Grid {
    fn propose(&self, space: &Space, visits: &[Visit]) -> Proposal {
        super::first_unvisited(space, visits, self.seed, Purpose::Grid)
    }
}
