//! From values to the numbers that kuva draws.
//!
//! Kuva knows logarithmic axes, but takes everything below 1e-10 for one value and marks every decade, however many
//! there are. So it gets other numbers with the same picture: the least value has one digit before the point, and
//! one decade of kuva's may stand for several of the axis.

use super::frame::{padded, padded_from_zero};
use crate::chart::Axis;
use crate::document::Interval;
use crate::format::{self, Scale};
use crate::render::text_chart::range;
use kuva::render::layout::TickFormat;
use kuva::render::render_utils::generate_ticks_log;
use std::sync::Arc;

/// Decades that have room for a label each.
const MOST_DECADES: f64 = 10.0;

/// An axis with its scale and its ends.
#[derive(Clone, Copy)]
pub(super) struct Ruler {
    /// The unit that is shown.
    pub(super) scale: Scale,
    /// Where the axis begins and ends: numbers in the shown unit, or kuva's decades.
    places: (f64, f64),
    decades: Option<Decades>,
}

/// How a logarithmic axis is handed to kuva.
#[derive(Clone, Copy)]
struct Decades {
    /// The decimal logarithm of what kuva takes for 1.
    zero: f64,
    /// How many decades kuva takes for one.
    step: f64,
}

impl Ruler {
    /// An axis from the least to the greatest of these values that have a place on it; `None` for none.
    pub(super) fn over(axis: &Axis, scale: Scale, values: impl IntoIterator<Item = f64>) -> Option<Ruler> {
        let (low, high) = range(values.into_iter().filter(|value| axis.shows(*value)))?;
        if !axis.logarithmic {
            return Some(Ruler { scale, places: (scale.apply(low), scale.apply(high)), decades: None });
        }
        let [low, high] = [low, high].map(|end| end.log10() - scale.divisor.log10());
        let step = ((high - low) / MOST_DECADES).ceil().max(1.0);
        let zero = (low / step).floor() * step;
        let places = ((low - zero) / step, (high - zero) / step);
        Some(Ruler { scale, places, decades: Some(Decades { zero, step }) })
    }

    /// The same axis with a margin of this share of it at both ends; with two ticks at least where it is logarithmic.
    pub(super) fn padded(mut self, share: f64) -> Ruler {
        if self.decades.is_none() {
            self.places = padded(self.places, share);
            return self;
        }
        let (low, high) = self.places;
        let margin = (high - low) * share;
        self.places = (low - margin, high + margin);
        while self.ticks().len() < 2 {
            self.places = (self.places.0 - 0.05, self.places.1 + 0.05);
        }
        self
    }

    /// As [`Ruler::padded`], but a linear axis of values that are not negative does not go below zero.
    pub(super) fn padded_from_zero(mut self, share: f64) -> Ruler {
        if self.decades.is_some() {
            return self.padded(share);
        }
        self.places = padded_from_zero(self.places, share);
        self
    }

    /// The same axis with a strip of this share of it below its lower end, and the middle of that strip.
    pub(super) fn with_strip(mut self, share: f64) -> (Ruler, f64) {
        let (low, high) = self.places;
        let strip = (high - low) * share;
        self.places.0 = low - strip;
        (self, self.drawn(low - strip / 2.0))
    }

    /// What kuva draws for a value in the base unit; what has no place on the axis lies below its lower end.
    pub(super) fn at(&self, value: f64) -> f64 {
        match self.decades {
            None => self.scale.apply(value),
            Some(_) if value <= 0.0 => self.drawn(self.places.0 - 1.0),
            Some(Decades { zero, step }) => {
                self.drawn((value.log10() - self.scale.divisor.log10() - zero) / step)
            }
        }
    }

    /// How far the interval reaches below and above the value, in kuva's numbers.
    pub(super) fn error(&self, value: f64, interval: Option<Interval>) -> (f64, f64) {
        interval.map_or((0.0, 0.0), |interval| {
            let [low, value, high] = [interval.low, value, interval.high].map(|place| self.at(place));
            ((value - low).max(0.0), (high - value).max(0.0))
        })
    }

    /// Where the axis begins and ends, in kuva's numbers.
    pub(super) fn ends(&self) -> (f64, f64) {
        (self.drawn(self.places.0), self.drawn(self.places.1))
    }

    /// Labels of a logarithmic axis: the first digit of the values is all that its ticks have.
    pub(super) fn tick_format(&self) -> Option<TickFormat> {
        let Decades { zero, step } = self.decades?;
        let label = move |drawn: f64| format::significant(10f64.powf(drawn.log10() * step + zero), 1);
        Some(TickFormat::Custom(Arc::new(label)))
    }

    /// The ticks of a logarithmic axis, in kuva's numbers.
    fn ticks(&self) -> Vec<f64> {
        let (low, high) = self.ends();
        generate_ticks_log(low, high)
    }

    fn drawn(&self, place: f64) -> f64 {
        if self.decades.is_some() { 10f64.powf(place) } else { place }
    }
}
