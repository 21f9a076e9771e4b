//! The samplers, one file each.

pub(crate) mod grid;
pub(crate) mod model;
pub(crate) mod opening;
pub(crate) mod random;
pub(crate) mod screen;
pub(crate) mod tpe;

use crate::sampler::{Proposal, hopeless};
use crate::space::Space;
use crate::visit::{Seen, Visit};
use gguflab_types::Purpose;

/// The first configuration in a random order that was not visited and has hope.
fn first_unvisited(space: &Space, visits: &[Visit], seed: u64, purpose: Purpose) -> Proposal {
    let seen = Seen::new(visits);
    let fresh =
        |point: &gguflab_types::Configuration| !seen.has(point) && hopeless(space, visits, point).is_none();
    match space.shuffled(seed).find(fresh) {
        Some(point) => Proposal::Visit(point, purpose, 0),
        // A running visit may yet be cancelled, and is then to be done again.
        None if visits.iter().any(|visit| visit.exploratory() && visit.running()) => Proposal::Wait,
        None => Proposal::Exhausted,
    }
}
