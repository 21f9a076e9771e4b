//! Points in a plane, as signs in a grid of characters.

use super::{SIGNS, cell_of, range};
use crate::chart::{Axis, Point, Series, Shape};
use crate::format::{self, Scale};
use crate::text::{clean, pad_left, truncate, width};

const HEIGHT: usize = 14;
const MOST_COLUMNS: usize = 72;

/// A grid with the values of both axes at its edges and the key of the series below.
pub(super) fn plane(across: &Axis, axis: &Axis, series: &[Series], total: usize) -> Vec<String> {
    let points = || series.iter().flat_map(|series| &series.points);
    let (Some((left, right)), Some((low, high))) =
        (range(points().map(|point| point.x)), range(points().map(|point| point.y)))
    else {
        return Vec::new();
    };
    let x_scale = format::scale_for(across.unit, points().map(|point| point.x));
    let y_scale = format::scale_for(axis.unit, points().map(|point| point.y));
    let middle = axis.value(f64::midpoint(axis.place(low), axis.place(high)));
    let labels = [high, middle, low].map(|value| scaled(value, axis, y_scale));
    let margin = labels.iter().map(|label| width(label)).max().unwrap_or(0);
    let columns = total.saturating_sub(margin + 3).clamp(8, MOST_COLUMNS);
    let mut grid = vec![vec![' '; columns]; HEIGHT];
    let place = |point: &Point| {
        let row = cell_of(axis.place(point.y), axis.place(low), axis.place(high), HEIGHT);
        let column = cell_of(across.place(point.x), across.place(left), across.place(right), columns);
        (column, HEIGHT - 1 - row)
    };
    for (index, series) in series.iter().enumerate() {
        if series.shape != Shape::Points {
            series.points.windows(2).for_each(|pair| join(&mut grid, place(&pair[0]), place(&pair[1])));
        }
        for point in &series.points {
            let (column, row) = place(point);
            grid[row][column] = SIGNS[index % SIGNS.len()];
        }
    }
    let mut lines = vec![axis.titled(y_scale)];
    for (row, cells) in grid.iter().enumerate() {
        let label = match row {
            0 => labels[0].as_str(),
            _ if row == HEIGHT / 2 => labels[1].as_str(),
            _ if row == HEIGHT - 1 => labels[2].as_str(),
            _ => "",
        };
        let cells: String = cells.iter().collect();
        lines.push(format!("{} │{}", pad_left(label, margin), cells.trim_end()));
    }
    lines.push(format!("{} └{}", " ".repeat(margin), "─".repeat(columns)));
    let (from, to) = (scaled(left, across, x_scale), scaled(right, across, x_scale));
    let gap = columns.saturating_sub(width(&from) + width(&to)).max(1);
    lines.push(format!("{}{from}{}{to}", " ".repeat(margin + 2), " ".repeat(gap)));
    let name = across.titled(x_scale);
    lines.push(format!("{}{}", " ".repeat(margin + 2), pad_left(&name, (columns + width(&name)) / 2)));
    lines.extend(series.iter().enumerate().filter(|_| series.len() > 1).map(|(index, series)| {
        truncate(&format!("{} {}", SIGNS[index % SIGNS.len()], clean(&series.name)), total)
    }));
    lines
}

/// Dots on the straight way between two cells, where nothing else stands.
fn join(grid: &mut [Vec<char>], from: (usize, usize), to: (usize, usize)) {
    let steps = from.0.abs_diff(to.0);
    for step in 1..steps {
        let share = step as f64 / steps as f64;
        let between =
            |from: usize, to: usize| (from as f64 + (to as f64 - from as f64) * share).round() as usize;
        let cell = &mut grid[between(from.1, to.1)][between(from.0, to.0)];
        if *cell == ' ' {
            *cell = '·';
        }
    }
}

fn scaled(value: f64, axis: &Axis, scale: Scale) -> String {
    format::scaled_number(value, axis.unit, None, scale)
}
