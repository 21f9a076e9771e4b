//! What logarithmic axes have a place for, and what is said about the rest.

use super::{Axis, ChartKind, Point, Series};
use crate::document::Interval;

/// What has no place.
#[derive(Default)]
struct LeftOut {
    /// Values that are not above zero.
    values: usize,
    /// All values there are.
    of: usize,
    /// Intervals of shown values whose lower end is not above zero.
    intervals: usize,
}

/// Takes away what the logarithmic axes have no place for, and says what that is. Where nothing would be left, and in
/// charts that cannot be logarithmic, the axes become linear.
pub(super) fn fit(kind: &mut ChartKind) -> Option<String> {
    let mut left_out = LeftOut::default();
    match kind {
        ChartKind::Intervals { axis, rows, reference } => {
            axis.logarithmic &= rows.iter().any(|row| axis.shows(row.value));
            left_out.keep(rows, |row| axis.shows(row.value));
            left_out.intervals += rows.iter().filter(|row| opens(axis, row.interval)).count();
            left_out.of += usize::from(reference.is_some());
            left_out.values +=
                usize::from(reference.take_if(|reference| !axis.shows(reference.value)).is_some());
        }
        ChartKind::History { across, axis, series, marks } => {
            left_out.keep_points(across, axis, series);
            left_out.keep(marks, |mark| across.shows(mark.x));
        }
        ChartKind::Lines { across, axis, series } => left_out.keep_points(across, axis, series),
        ChartKind::Scatter { across, axis, series } => {
            left_out.keep_points(across, axis, series);
            left_out.intervals += points(series).filter(|point| opens(across, point.x_interval)).count();
        }
        ChartKind::Bars { axis, .. }
        | ChartKind::Histogram { axis, .. }
        | ChartKind::Heatmap { axis, .. }
        | ChartKind::Parallel { axis, .. } => axis.logarithmic = false,
    }
    left_out.remark()
}

impl LeftOut {
    fn keep_points(&mut self, across: &mut Axis, axis: &mut Axis, series: &mut [Series]) {
        if !points(series).any(|point| across.shows(point.x) && axis.shows(point.y)) {
            (across.logarithmic, axis.logarithmic) = (false, false);
        }
        for series in &mut *series {
            self.keep(&mut series.points, |point| across.shows(point.x) && axis.shows(point.y));
        }
        self.intervals += points(series).filter(|point| opens(axis, point.y_interval)).count();
    }

    fn keep<T>(&mut self, items: &mut Vec<T>, shown: impl Fn(&T) -> bool) {
        self.of += items.len();
        self.values += items.len();
        items.retain(shown);
        self.values -= items.len();
    }

    fn remark(&self) -> Option<String> {
        let values = (self.values > 0).then(|| format!("{} of {} values", self.values, self.of));
        let intervals = match self.intervals {
            0 => None,
            1 => Some("the lower end of 1 interval".to_string()),
            some => Some(format!("the lower ends of {some} intervals")),
        };
        let what: Vec<String> = values.into_iter().chain(intervals).collect();
        let what = (!what.is_empty()).then(|| what.join(" and "))?;
        Some(format!("Not on the logarithmic axis, because not above zero: {what}."))
    }
}

fn points(series: &[Series]) -> impl Iterator<Item = &Point> {
    series.iter().flat_map(|series| &series.points)
}

/// Whether the interval goes on below the lower edge of the axis.
fn opens(axis: &Axis, interval: Option<Interval>) -> bool {
    interval.is_some_and(|interval| !axis.shows(interval.low))
}
