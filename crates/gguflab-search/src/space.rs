//! The lattice of configurations that a search may choose from.

mod forecaster;
mod presets;
mod values;

pub use forecaster::Forecaster;
pub use presets::{PRESETS, Preset, preset};

use crate::error::SearchError;
use crate::order::Permutation;
use gguflab_types::knob::{Facts, Forbidden, Memory};
use gguflab_types::{Configuration, Forecast, Value};
use std::cmp::Reverse;
use std::collections::HashSet;
use std::sync::OnceLock;

/// One knob and the values that a search may give it.
#[derive(Debug, Clone, PartialEq)]
pub struct Dimension {
    /// Name of the knob.
    pub knob: String,
    /// Its values, at least one, in order where the order means anything.
    pub values: Vec<Value>,
    /// Whether the order means anything (numbers) or not (words).
    pub ordered: bool,
}

/// What the user wants searched, beyond or instead of the table's own candidates.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct SpaceRequest {
    /// Search only these knobs (and those in `set`); empty: all that have candidates.
    pub only: Vec<String>,
    /// `NAME=VALUES` lists that replace or add a dimension: `threads=1..8`, `threads=14..32:2`, `batch=128,512`,
    /// `flash-attention=auto,off`. A single value fixes the knob. Values of a knob that takes free text are
    /// separated by `;`.
    pub set: Vec<String>,
    /// Knobs and their values from elsewhere (a file, a preset); `set` takes their place where it names the knob.
    pub items: Vec<(String, Items)>,
}

/// The values of a knob before they are read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Items {
    /// As behind `NAME=` on the command line.
    Text(String),
    /// One by one, each a value or a range.
    List(Vec<String>),
}

/// A finite lattice of configurations, with the rules that make some of its points equal and some impossible.
///
/// Points are always handed out in canonical form ([`Configuration::canonical`]), so that each thing that can be
/// run has one name. Nothing is laid out in memory unless the lattice is small.
#[derive(Debug, Clone)]
pub struct Space {
    dimensions: Vec<Dimension>,
    facts: Facts,
    baseline: Configuration,
    listed: OnceLock<Vec<Configuration>>,
    forecaster: Option<Forecaster>,
}

/// Lattices up to this size are laid out once.
const LARGEST_LISTED: u128 = 1 << 16;
/// So many points are looked at in a huge lattice before it counts as free of contradictions.
const LOOKED_AT: u128 = 10_000;

/// Knobs by the effect that they usually have, strongest first; what is not in it comes last, in the table's order.
const BY_EFFECT: &[&str] = &[
    "gpu-layers",
    "cpu-moe-layers",
    "threads",
    "ubatch",
    "flash-attention",
    "threads-batch",
    "batch",
    "repack",
    "split-mode",
    "kv-offload",
    "op-offload",
    "numa",
];

impl SpaceRequest {
    /// This request with what it leaves out taken from another: knobs that only the other names are searched too.
    #[must_use]
    pub fn over(mut self, other: SpaceRequest) -> SpaceRequest {
        for (name, items) in other.items {
            if self.items.iter().all(|(known, _)| *known != name) {
                self.items.push((name, items));
            }
        }
        let more = other.only.into_iter().filter(|name| !self.only.contains(name)).collect::<Vec<_>>();
        self.only.extend(more);
        self.set.extend(other.set);
        self
    }

    /// The dimensions that are asked for.
    fn dimensions(&self, facts: &Facts) -> Result<Vec<Dimension>, SearchError> {
        let set: Result<Vec<_>, _> = self.set.iter().map(|text| values::parse(text, facts)).collect();
        let listed: Result<Vec<_>, _> = self
            .items
            .iter()
            .map(|(name, items)| match items {
                Items::Text(text) => values::parse(&format!("{name}={text}"), facts),
                Items::List(list) => values::listed(name, list, facts),
            })
            .collect();
        let (set, mut given) = (distinct_knobs(set?)?, distinct_knobs(listed?)?);
        given.retain(|dimension| set.iter().all(|other| other.knob != dimension.knob));
        given.extend(set);
        Ok(given)
    }
}

fn distinct_knobs(dimensions: Vec<Dimension>) -> Result<Vec<Dimension>, SearchError> {
    let mut seen = HashSet::new();
    match dimensions.iter().find(|dimension| !seen.insert(dimension.knob.as_str())) {
        Some(repeated) => Err(SearchError::Repeated(repeated.knob.clone())),
        None => Ok(dimensions),
    }
}

impl Space {
    /// Every knob that means anything on this machine with the table's candidates, around llama.cpp's defaults.
    #[must_use]
    pub fn standard(facts: &Facts) -> Space {
        let usable = facts.knobs().into_iter().filter(|knob| knob.condition.holds(facts));
        let dimensions = usable.map(|knob| Dimension {
            knob: knob.name.to_string(),
            values: knob.candidates(facts),
            ordered: knob.ordered,
        });
        Space::from_dimensions(
            facts,
            Configuration::new(),
            dimensions.filter(|dimension| dimension.values.len() > 1).collect(),
        )
    }

    /// A space as the user asks for it, around a baseline.
    ///
    /// # Errors
    /// Unknown knobs, values out of domain, lists that cannot be read, knobs that mean nothing here, and spaces that
    /// are empty or in which no configuration is allowed.
    pub fn requested(
        facts: &Facts,
        baseline: &Configuration,
        request: &SpaceRequest,
    ) -> Result<Space, SearchError> {
        let baseline = baseline.checked(facts).map_err(SearchError::Setting)?;
        let given = request.dimensions(facts)?;
        let mut dimensions = Space::standard(facts).dimensions;
        if !request.only.is_empty() {
            for name in &request.only {
                let known = values::find(name, facts)?;
                if !given.iter().chain(&dimensions).any(|dimension| dimension.knob == known.name) {
                    return Err(SearchError::NoValues(name.clone()));
                }
            }
            dimensions.retain(|dimension| request.only.contains(&dimension.knob));
        }
        dimensions.retain(|old| given.iter().all(|dimension| dimension.knob != old.knob));
        dimensions.extend(given);
        let space = Space::from_dimensions(facts, baseline, dimensions);
        space.check()?;
        Ok(space)
    }

    /// A space of given dimensions; their order becomes that of the expected effect.
    #[must_use]
    pub fn from_dimensions(facts: &Facts, baseline: Configuration, mut dimensions: Vec<Dimension>) -> Space {
        let place = |name: &str| BY_EFFECT.iter().position(|known| *known == name).unwrap_or(usize::MAX);
        dimensions.retain(|dimension| !dimension.values.is_empty());
        dimensions.sort_by_key(|dimension| place(&dimension.knob));
        let baseline = baseline.canonical(facts);
        let facts = facts.clone();
        Space { dimensions, facts, baseline, listed: OnceLock::new(), forecaster: None }
    }

    /// The same space with something that foretells what its configurations need.
    #[must_use]
    pub fn with_forecaster(mut self, forecaster: Option<Forecaster>) -> Space {
        self.forecaster = forecaster;
        self
    }

    /// What configurations are foretold to need and take; `None` where nobody can tell.
    #[must_use]
    pub fn forecasts(&self, configurations: &[Configuration]) -> Vec<Option<Forecast>> {
        let mut forecasts =
            self.forecaster.as_ref().map_or_else(Vec::new, |one| one.foretell(configurations));
        forecasts.resize(configurations.len(), None);
        forecasts
    }

    /// The dimensions, strongest expected effect first.
    #[must_use]
    pub fn dimensions(&self) -> &[Dimension] {
        &self.dimensions
    }

    /// Machine, model and workload.
    #[must_use]
    pub fn facts(&self) -> &Facts {
        &self.facts
    }

    /// The configuration to beat; it need not lie in the lattice.
    #[must_use]
    pub fn baseline(&self) -> &Configuration {
        &self.baseline
    }

    /// Points of the lattice, equal and impossible ones included; `u128::MAX` when there are more.
    #[must_use]
    pub fn size(&self) -> u128 {
        self.dimensions.iter().fold(1, |size, dimension| size.saturating_mul(dimension.values.len() as u128))
    }

    /// Distinct possible configurations; `None` when the lattice is too large to count them.
    #[must_use]
    pub fn count(&self) -> Option<usize> {
        self.listed().map(<[Configuration]>::len)
    }

    /// A point of the lattice by its number below [`Space::size`], in canonical form; `None` for a point that is not
    /// allowed.
    #[must_use]
    pub fn point(&self, number: u128) -> Option<Configuration> {
        self.allowed(&self.raw(number)).ok()
    }

    /// Every distinct possible configuration once, lazily, in the order of the lattice.
    pub fn points(&self) -> impl Iterator<Item = Configuration> + '_ {
        self.distinct(0..self.size())
    }

    /// Every distinct possible configuration once, lazily, in a random order that belongs to the seed.
    pub fn shuffled(&self, seed: u64) -> Box<dyn Iterator<Item = Configuration> + '_> {
        if let Some(listed) = self.listed() {
            let mut order: Vec<usize> = (0..listed.len()).collect();
            crate::order::shuffle(&mut order, seed);
            return Box::new(order.into_iter().map(|index| listed[index].clone()));
        }
        let size = self.size();
        let order = Permutation::new(size, seed);
        Box::new(self.distinct((0..size).map(move |place| order.at(place))))
    }

    /// The point of the lattice that is nearest to the baseline: where a screen starts. The baseline itself unless
    /// the user has taken its values out of the lattice.
    #[must_use]
    pub fn start(&self) -> Option<Configuration> {
        let moved = self.dimensions.iter().fold(self.baseline.clone(), |made, dimension| {
            if dimension.values.contains(self.baseline.get(&dimension.knob)) {
                return made;
            }
            let (line, place) = self.line(&self.baseline, dimension);
            made.with(&dimension.knob, self.written(dimension, line[place]))
        });
        self.allowed(&moved).ok().or_else(|| self.shuffled(0).next())
    }

    /// This configuration with one dimension at another value, in canonical form; `None` when that is not allowed.
    #[must_use]
    pub fn moved(
        &self,
        configuration: &Configuration,
        dimension: &Dimension,
        index: usize,
    ) -> Option<Configuration> {
        if index >= dimension.values.len() {
            return None;
        }
        self.allowed(&configuration.clone().with(&dimension.knob, self.written(dimension, index))).ok()
    }

    /// The values of a dimension as a line to walk along, by their indices, and the place of a configuration on it.
    ///
    /// A value that is left to the engine stands where the value that it comes to stands; where that cannot be told
    /// (GPU layers: as many as fit) it stands at the end. Words stand as listed.
    #[must_use]
    pub fn line(&self, configuration: &Configuration, dimension: &Dimension) -> (Vec<usize>, usize) {
        let values = &dimension.values;
        let meant = self.meant(configuration, &dimension.knob);
        let exact = |line: &[usize], value: &Value| line.iter().position(|index| values[*index] == *value);
        let (automatic, mut line): (Vec<usize>, Vec<usize>) =
            (0..values.len()).partition(|index| values[*index] == Value::Auto && dimension.ordered);
        if meant == Value::Auto || line.is_empty() {
            line.extend(automatic);
        }
        let distance = |place: &usize| match (values[line[*place]].as_number(), meant.as_number()) {
            (Some(one), Some(other)) => (one - other).abs(),
            _ => f64::INFINITY,
        };
        let nearest = || (0..line.len()).min_by(|one, other| distance(one).total_cmp(&distance(other)));
        let set = configuration.get(&dimension.knob);
        let place = exact(&line, set).or_else(|| exact(&line, &meant)).or_else(nearest).unwrap_or(0);
        (line, place)
    }

    /// Configurations one or two steps away along one ordered dimension, or at any other value of an unordered one.
    #[must_use]
    pub fn neighbours(&self, configuration: &Configuration) -> Vec<Configuration> {
        let mut found: Vec<Configuration> = Vec::new();
        for dimension in &self.dimensions {
            let (line, at) = self.line(configuration, dimension);
            let near = |place: &usize| *place != at && (!dimension.ordered || place.abs_diff(at) <= 2);
            for place in (0..line.len()).filter(near) {
                let moved = self.moved(configuration, dimension, line[place]);
                found.extend(moved.filter(|moved| moved != configuration && !found.contains(moved)));
            }
        }
        found
    }

    /// What a knob that is not set comes to ([`Configuration::meant`]).
    #[must_use]
    pub fn meant(&self, configuration: &Configuration, name: &str) -> Value {
        configuration.meant(name, &self.facts)
    }

    fn check(&self) -> Result<(), SearchError> {
        let mut refused = None;
        let complete = self.size() <= LOOKED_AT;
        let order = Permutation::new(self.size(), 0);
        let mut distinct: Vec<Configuration> = Vec::new();
        for place in 0..self.size().min(LOOKED_AT) {
            match self.allowed(&self.raw(order.at(place))) {
                Ok(point) if !distinct.contains(&point) => distinct.push(point),
                Ok(_) => {}
                Err(reason) => refused = refused.or(Some(reason)),
            }
            if distinct.len() > 1 {
                return Ok(());
            }
        }
        match (distinct.first(), refused) {
            (None, Some(reason)) if complete => Err(SearchError::Contradictory(reason)),
            (Some(only), _) if complete && *only == self.baseline => Err(SearchError::Empty),
            _ => Ok(()),
        }
    }

    /// The one place where a point is judged: the rules of the table, and the canonical form.
    fn allowed(&self, point: &Configuration) -> Result<Configuration, String> {
        point.checked(&self.facts)
    }

    /// The settings of a point, before any rule.
    fn raw(&self, mut number: u128) -> Configuration {
        let mut made = self.baseline.clone();
        for dimension in &self.dimensions {
            let radix = dimension.values.len() as u128;
            made = made.with(&dimension.knob, self.written(dimension, (number % radix) as usize));
            number /= radix;
        }
        made
    }

    /// A value as it is set: the default is left unset, so that (as in llama.cpp) it follows a smaller batch.
    fn written(&self, dimension: &Dimension, index: usize) -> Value {
        let value = dimension.values[index].clone();
        let default = self.facts.knob(&dimension.knob).map(|knob| knob.default(&self.facts));
        if default.as_ref() == Some(&value) { Value::Auto } else { value }
    }

    fn listed(&self) -> Option<&[Configuration]> {
        let small = self.size() <= LARGEST_LISTED;
        small.then(|| self.listed.get_or_init(|| self.distinct(0..self.size()).collect()).as_slice())
    }

    fn distinct<'space>(
        &'space self,
        numbers: impl Iterator<Item = u128> + 'space,
    ) -> impl Iterator<Item = Configuration> + 'space {
        let mut seen = HashSet::new();
        numbers.filter_map(|number| self.point(number)).filter(move |point| seen.insert(point.key()))
    }
}

impl Space {
    /// Whether a configuration needs at least as much memory as one that ran out of it: at least as many GPU layers,
    /// as large batches, as few expert layers on the CPU, and the same everywhere else (monotone closure).
    #[must_use]
    pub fn needs_at_least(&self, configuration: &Configuration, exhausted: &Configuration) -> bool {
        self.dimensions.iter().map(|dimension| dimension.knob.as_str()).all(|name| {
            let (here, there) = (self.meant(configuration, name), self.meant(exhausted, name));
            let compare = |low: &Value, high: &Value| match (low.as_number(), high.as_number()) {
                (Some(low), Some(high)) => low <= high,
                _ => low == high,
            };
            match self.facts.knob(name).and_then(|knob| knob.memory) {
                Some(Memory::Same) => true,
                // Without any layer on the GPU it was the host that ran out, and layers would leave it.
                Some(Memory::Grows) if name == "gpu-layers" && there == Value::Integer(0) => here == there,
                Some(Memory::Grows) => compare(&there, &here),
                Some(Memory::Shrinks) => compare(&here, &there),
                None => here == there,
            }
        })
    }

    /// The rules that forbid something, each with the number of configurations that it takes out of the lattice; of
    /// several rules the first counts. `None` when the lattice is too large to count.
    #[must_use]
    pub fn forbidden(&self) -> Vec<(&Forbidden, Option<u64>)> {
        let rules = &self.facts.forbidden;
        let free = Facts { forbidden: [].into(), ..self.facts.clone() };
        let mut counts = vec![0_u64; rules.len()];
        let mut seen = HashSet::new();
        let small = !rules.is_empty() && self.size() <= LARGEST_LISTED;
        for number in 0..if small { self.size() } else { 0 } {
            let Ok(point) = self.raw(number).checked(&free) else { continue };
            let first = rules.iter().position(|rule| rule.forbids(&point, &free));
            if let Some(count) =
                first.filter(|_| seen.insert(point.key())).and_then(|rule| counts.get_mut(rule))
            {
                *count += 1;
            }
        }
        rules.iter().zip(counts).map(|(rule, count)| (rule, small.then_some(count))).collect()
    }

    /// Knobs that are searched, with the number of their values, largest first: for a line of explanation.
    #[must_use]
    pub fn extents(&self) -> Vec<(&str, usize)> {
        let mut extents: Vec<(&str, usize)> = self
            .dimensions
            .iter()
            .map(|dimension| (dimension.knob.as_str(), dimension.values.len()))
            .collect();
        extents.sort_by_key(|(_, count)| Reverse(*count));
        extents
    }
}
