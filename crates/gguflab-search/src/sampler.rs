//! Who proposes the next configuration: one trait, one table.

use crate::samplers::{grid::Grid, model::Model, random::Random, screen::Screen, tpe::Tpe};
use crate::space::Space;
use crate::visit::Visit;
use gguflab_types::{Configuration, Outcome, Purpose};

/// Proposes configurations, from the stored visits alone.
///
/// The same space, seed and visits give the same proposal; a configuration that was visited or is being visited is
/// not proposed again (cancelled visits do not count), nor one that the space does not allow.
pub trait Sampler {
    /// The next configuration to visit.
    fn propose(&self, space: &Space, visits: &[Visit]) -> Proposal;
}

/// What a sampler wants.
#[derive(Debug, Clone, PartialEq)]
pub enum Proposal {
    /// Visit this configuration.
    Visit(Configuration, Purpose, u32),
    /// Nothing before a running visit has ended.
    Wait,
    /// Nothing more to gain or to try.
    Exhausted,
}

/// One kind of sampler.
#[derive(Clone, Copy)]
pub struct SamplerRow {
    /// Its name on the command line and in files.
    pub name: &'static str,
    /// One line of help.
    pub help: &'static str,
    /// The purpose of its visits.
    pub purpose: Purpose,
    /// Makes one from a seed.
    pub make: fn(u64) -> Box<dyn Sampler>,
}

/// Every sampler.
pub const SAMPLERS: &[SamplerRow] = &[
    SamplerRow {
        name: "grid",
        help: "every configuration once, in random order",
        purpose: Purpose::Grid,
        make: |seed| Box::new(Grid { seed }),
    },
    SamplerRow {
        name: "screen",
        help: "one knob after the other from the default, following what is faster",
        purpose: Purpose::Screen,
        make: |_| Box::new(Screen),
    },
    SamplerRow {
        name: "random",
        help: "configurations drawn at random, none twice",
        purpose: Purpose::Search,
        make: |seed| Box::new(Random { seed }),
    },
    SamplerRow {
        name: "model",
        help: "what a Gaussian process of the visits so far expects most of",
        purpose: Purpose::Search,
        make: |seed| Box::new(Model { seed }),
    },
    SamplerRow {
        name: "tpe",
        help: "tree-structured Parzen estimator, as Optuna's default sampler",
        purpose: Purpose::Search,
        make: |seed| Box::new(Tpe { seed }),
    },
];

/// The sampler of this name.
#[must_use]
pub fn find(name: &str) -> Option<&'static SamplerRow> {
    SAMPLERS.iter().find(|row| row.name == name)
}

impl std::fmt::Debug for SamplerRow {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.write_str(self.name)
    }
}

/// A visit that ran out of memory where this configuration needs at least as much: not worth trying.
#[must_use]
pub fn hopeless<'visits>(
    space: &Space,
    visits: &'visits [Visit],
    configuration: &Configuration,
) -> Option<&'visits Visit> {
    let exhausted = visits.iter().filter(|visit| visit.outcome == Some(Outcome::OutOfMemory));
    exhausted.into_iter().find(|visit| space.needs_at_least(configuration, &visit.configuration))
}
