//! Two figures at once: the configurations that nothing beats in both (Pareto 1896).

use super::pictures::capital;
use crate::survey::{Measure, Pooled, Survey};
use gguflab_report::Chart;
use gguflab_report::chart::{Axis, ChartKind, Point, Series, Shape};
use gguflab_types::{Direction, metric};

/// The two figures that are drawn where both were measured.
const FIGURES: (&str, &str) = (metric::PREFILL, metric::DECODE);
/// Figures that differ less than this everywhere are noise.
const LEAST_SPREAD: f64 = 1.03;

/// Prefill against decode with the front; `None` where there is nothing to choose between.
pub(in crate::documents) fn front(survey: &Survey, groups: &[Pooled]) -> Option<Chart> {
    let (across, up) = (figure(survey, FIGURES.0)?, figure(survey, FIGURES.1)?);
    let places: Vec<(usize, f64, f64)> = groups
        .iter()
        .enumerate()
        .filter_map(|(index, group)| Some((index, across.of(survey, group)?, up.of(survey, group)?)))
        .collect();
    let values: Vec<(f64, f64)> = places.iter().map(|(_, x, y)| (*x, *y)).collect();
    let on_front = undominated(&values, across.measure.direction, up.measure.direction);
    if on_front.len() < 2
        || !spreads(values.iter().map(|value| value.0))
        || !spreads(values.iter().map(|value| value.1))
    {
        return None;
    }
    let point = |place: usize| {
        let (index, x, y) = places[place];
        Point::new(x, y).label(groups[index].configuration.to_string())
    };
    let group = |place: usize| &groups[places[place].0];
    let mut line: Vec<usize> = on_front.clone();
    line.sort_by(|one, other| places[*one].1.total_cmp(&places[*other].1));
    let rest = (0..places.len()).filter(|place| !on_front.contains(place) && !group(*place).baseline);
    let baseline = (0..places.len()).filter(|place| group(*place).baseline);
    let best = (0..places.len()).filter(|place| places[*place].0 == 0 && !group(*place).baseline);
    let series =
        |name: &str, shape: Shape, points: Vec<Point>| Series { name: name.to_string(), shape, points };
    let all = [
        series("beaten in both", Shape::Points, rest.map(point).collect()),
        series("front", Shape::Line, line.into_iter().map(point).collect()),
        series("baseline", Shape::Points, baseline.map(point).collect()),
        series(&format!("best {}", survey.measure.name), Shape::Points, best.map(point).collect()),
    ];
    let kind = ChartKind::Scatter {
        across: Axis::new(&across.measure.name, across.measure.unit),
        axis: Axis::new(&up.measure.name, up.measure.unit),
        series: all.into_iter().filter(|series| !series.points.is_empty()).collect(),
    };
    let title = format!("{} against {}", capital(&up.measure.name), across.measure.name);
    let caption = "no configuration beats those on the front in both; each point is the middle of all visits, so that \
                   what lies close to the front may belong to it";
    Some(Chart::new(title, caption, kind))
}

/// A figure and where it stands: the objective itself, or one of the others.
struct Figure<'a> {
    measure: &'a Measure,
    place: Option<usize>,
}

fn figure<'a>(survey: &'a Survey, name: &str) -> Option<Figure<'a>> {
    if survey.measure.name == name {
        return Some(Figure { measure: &survey.measure, place: None });
    }
    let place = survey.also.iter().position(|measure| measure.name == name)?;
    Some(Figure { measure: &survey.also[place], place: Some(place) })
}

impl Figure<'_> {
    fn of(&self, survey: &Survey, group: &Pooled) -> Option<f64> {
        match self.place {
            None => group.typical().map(|cost| survey.to_cost(cost)),
            Some(place) => group.also.get(place).copied().flatten(),
        }
    }
}

/// The places of the pairs that no other one beats in one figure without losing in the other.
fn undominated(pairs: &[(f64, f64)], across: Direction, up: Direction) -> Vec<usize> {
    let cost = |value: f64, direction: Direction| if direction == Direction::Higher { -value } else { value };
    let costs: Vec<(f64, f64)> = pairs.iter().map(|(x, y)| (cost(*x, across), cost(*y, up))).collect();
    let beats = |one: &(f64, f64), other: &(f64, f64)| one.0 <= other.0 && one.1 <= other.1 && one != other;
    (0..costs.len()).filter(|place| !costs.iter().any(|other| beats(other, &costs[*place]))).collect()
}

fn spreads(values: impl Iterator<Item = f64>) -> bool {
    let (least, most) =
        values.fold((f64::INFINITY, 0.0_f64), |(least, most), value| (least.min(value), most.max(value)));
    most > least * LEAST_SPREAD
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_front_holds_what_nothing_beats_in_both() {
        let pairs = [(1.0, 9.0), (2.0, 8.0), (2.0, 7.0), (3.0, 8.0), (0.5, 9.0), (4.0, 1.0), (4.0, 1.0)];
        assert_eq!(undominated(&pairs, Direction::Higher, Direction::Higher), [0, 3, 5, 6]);
        assert_eq!(undominated(&pairs, Direction::Lower, Direction::Higher), [4]);
        assert_eq!(undominated(&[], Direction::Lower, Direction::Lower), Vec::<usize>::new());
    }
}
