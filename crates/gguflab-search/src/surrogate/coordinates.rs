//! Where a configuration lies: one number for each knob.
//!
//! A knob with an order runs from 0 to 1 in equal steps over its values, whatever they are: batch sizes that double
//! are as far apart as threads that count up. A value between two of them lies between their places. The words of
//! other knobs are numbered, and two words are simply different. A value that is left to the engine lies where the value that it comes to
//! lies; where that cannot be told it is a word of its own beside the order.

use crate::space::{Dimension, Space};
use gguflab_types::{Configuration, Value};

/// How two places of one coordinate are compared.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Axis {
    /// By their distance.
    Ordered,
    /// Equal or not.
    Unordered,
}

impl Axis {
    /// The distance of two places, from 0 to 1.
    pub(crate) fn distance(self, one: f64, other: f64) -> f64 {
        match self {
            Axis::Ordered => (one - other).abs(),
            Axis::Unordered => f64::from(u8::from(one != other)),
        }
    }
}

/// Turns configurations of a space into places.
pub(crate) struct Coordinates<'space> {
    space: &'space Space,
    rulers: Vec<Ruler<'space>>,
}

/// The values of one dimension and their places.
struct Ruler<'space> {
    dimension: &'space Dimension,
    /// Numbers in order with their places, for knobs with an order.
    numbers: Vec<(f64, f64)>,
    /// Whether the engine chooses a value that nobody outside can tell.
    hidden: bool,
}

impl<'space> Coordinates<'space> {
    /// The coordinates of a space.
    pub(crate) fn new(space: &'space Space) -> Coordinates<'space> {
        let rulers = space.dimensions().iter().map(|dimension| Ruler::new(space, dimension)).collect();
        Coordinates { space, rulers }
    }

    /// How the places of each coordinate are compared.
    pub(crate) fn axes(&self) -> Vec<Axis> {
        let axes = |ruler: &Ruler| {
            let first = if ruler.dimension.ordered { Axis::Ordered } else { Axis::Unordered };
            [Some(first), ruler.hidden.then_some(Axis::Unordered)].into_iter().flatten()
        };
        self.rulers.iter().flat_map(axes).collect()
    }

    /// The place of a configuration, one number for each axis.
    pub(crate) fn place(&self, configuration: &Configuration) -> Vec<f64> {
        let mut place = Vec::with_capacity(self.rulers.len() + 1);
        for ruler in &self.rulers {
            let meant = self.space.meant(configuration, &ruler.dimension.knob);
            place.push(ruler.at(&meant));
            if ruler.hidden {
                place.push(f64::from(u8::from(meant == Value::Auto)));
            }
        }
        place
    }
}

impl<'space> Ruler<'space> {
    fn new(space: &Space, dimension: &'space Dimension) -> Ruler<'space> {
        let mut numbers: Vec<f64> = dimension.values.iter().filter_map(Value::as_number).collect();
        numbers.sort_by(f64::total_cmp);
        numbers.dedup();
        let last = numbers.len().saturating_sub(1).max(1) as f64;
        let numbers = numbers.into_iter().enumerate().map(|(index, number)| (number, index as f64 / last));
        let automatic = Configuration::new();
        let hidden = dimension.ordered
            && dimension.values.contains(&Value::Auto)
            && space.meant(&automatic, &dimension.knob) == Value::Auto;
        Ruler { dimension, numbers: numbers.collect(), hidden }
    }

    fn at(&self, value: &Value) -> f64 {
        if self.dimension.ordered {
            // What the engine chooses itself is usually the most that it can.
            return value.as_number().map_or(1.0, |number| self.between(number));
        }
        let place = self.dimension.values.iter().position(|listed| listed == value);
        place.map_or(-1.0, |place| place as f64)
    }

    /// The place of a number, between those of its neighbours.
    fn between(&self, number: f64) -> f64 {
        let above = self.numbers.partition_point(|(listed, _)| *listed < number);
        match (above.checked_sub(1).map(|below| self.numbers[below]), self.numbers.get(above)) {
            (_, Some(&(listed, place))) if listed == number => place,
            (Some((low, from)), Some(&(high, to))) => from + (to - from) * (number - low) / (high - low),
            (Some((_, place)), None) | (None, Some(&(_, place))) => place,
            (None, None) => 0.0,
        }
    }
}
