//! Two knobs against each other: the best of all that was measured there, and where trials failed.

use super::objective_axis;
use super::pictures::capital;
use crate::effects::Effects;
use crate::survey::{Pooled, Survey};
use gguflab_report::Chart;
use gguflab_report::chart::{Axis, CellMark, ChartKind};
use gguflab_stats::{Factor, importance};
use gguflab_types::{Outcome, Unit};

/// Cells with something in them that make a picture.
const LEAST_CELLS: usize = 4;

/// Two knobs and the groups that a picture shows.
struct Field<'a> {
    survey: &'a Survey,
    rows: usize,
    columns: usize,
    groups: Vec<&'a Pooled>,
}

/// GPU layers against batch, else the two most important knobs whose order means something; one for each value of
/// flash attention.
pub(in crate::documents) fn best(survey: &Survey, groups: &[Pooled], effects: &Effects) -> Vec<Chart> {
    let Some((rows, columns)) = best_knobs(survey, effects) else { return Vec::new() };
    let facet = survey.knob("flash-attention").filter(|knob| *knob != rows && *knob != columns);
    let levels = facet.map_or(1, |knob| survey.knobs[knob].values.len());
    let chart = |level: usize| {
        let here = groups.iter().filter(|group| facet.is_none_or(|knob| group.levels[knob] == level));
        let field = Field { survey, rows, columns, groups: here.collect() };
        let title = match facet {
            Some(knob) => format!(
                "Best {}, {}={}",
                survey.measure.name,
                survey.knobs[knob].name,
                survey.knobs[knob].label(level)
            ),
            None => format!("Best {}", survey.measure.name),
        };
        field.best_chart(title, groups.first())
    };
    (0..levels).filter_map(chart).collect()
}

fn best_knobs(survey: &Survey, effects: &Effects) -> Option<(usize, usize)> {
    let tried: Vec<usize> = effects.tried().map(|effect| effect.knob).collect();
    let named = |name: &str| survey.knob(name).filter(|knob| tried.contains(knob));
    if let (Some(rows), Some(columns)) = (named("gpu-layers"), named("batch")) {
        return Some((rows, columns));
    }
    let mut ordered = tried.iter().copied().filter(|knob| survey.knobs[*knob].ordered);
    Some((ordered.next()?, ordered.next()?))
}

/// Where trials failed, one picture for each way to fail: the share of the visits that ended so.
pub(in crate::documents) fn failures(survey: &Survey, groups: &[Pooled]) -> Vec<Chart> {
    let Some((rows, columns)) = failing_knobs(survey, groups) else { return Vec::new() };
    let mut outcomes: Vec<Outcome> = groups.iter().flat_map(|group| group.failures.iter().copied()).collect();
    outcomes.sort_unstable();
    outcomes.dedup();
    let field = Field { survey, rows, columns, groups: groups.iter().collect() };
    outcomes.into_iter().filter_map(|outcome| field.failure_chart(outcome)).collect()
}

/// The two knobs that tell best whether a configuration fails.
fn failing_knobs(survey: &Survey, groups: &[Pooled]) -> Option<(usize, usize)> {
    let failed = |group: &Pooled| !group.failures.is_empty();
    let count = groups.iter().filter(|group| failed(group)).count();
    if count < 2 || count == groups.len() {
        return None;
    }
    let factors: Vec<Factor> =
        survey.knobs.iter().map(|knob| Factor { levels: knob.values.len(), ordered: knob.ordered }).collect();
    let points: Vec<(Vec<usize>, f64)> =
        groups.iter().map(|group| (group.levels.clone(), f64::from(u8::from(failed(group))))).collect();
    let shares = importance(&factors, &points, 0)?.alone;
    let mut order: Vec<usize> = (0..shares.len()).collect();
    order.sort_by(|one, other| shares[*other].value.total_cmp(&shares[*one].value));
    Some((*order.first()?, *order.get(1)?))
}

impl Field<'_> {
    fn in_cell(&self, row: usize, column: usize) -> impl Iterator<Item = &Pooled> {
        let at =
            move |group: &&Pooled| group.levels[self.rows] == row && group.levels[self.columns] == column;
        self.groups.iter().copied().filter(at)
    }

    /// Levels of a knob at which something was tried.
    fn levels(&self, knob: usize) -> Vec<usize> {
        let tried = |level: &usize| self.groups.iter().any(|group| group.levels[knob] == *level);
        (0..self.survey.knobs[knob].values.len()).filter(tried).collect()
    }

    fn best_chart(&self, title: String, best: Option<&Pooled>) -> Option<Chart> {
        let value = |row: usize, column: usize| {
            let costs = self.in_cell(row, column).filter_map(|group| Some(group.cost.as_ref()?.value));
            costs.min_by(f64::total_cmp).map(|cost| self.survey.to_cost(cost))
        };
        let baseline = self.groups.iter().find(|group| group.baseline);
        let best = best.and_then(|best| self.groups.iter().find(|group| std::ptr::eq(**group, best)));
        let mut marks: Vec<(&str, &Pooled)> =
            baseline.map(|group| ("baseline", *group)).into_iter().collect();
        marks.extend(best.map(|group| ("best measured", *group)));
        let place = "the best of all configurations in a cell; empty: nothing was measured there";
        let caption = if baseline.is_some() {
            place.to_string()
        } else {
            format!("{place}; the baseline lies elsewhere")
        };
        self.chart(title, caption, objective_axis(self.survey), &marks, value)
    }

    fn failure_chart(&self, outcome: Outcome) -> Option<Chart> {
        let value = |row: usize, column: usize| {
            let (mut failed, mut all) = (0, 0);
            for group in self.in_cell(row, column) {
                failed += group.failures.iter().filter(|one| **one == outcome).count();
                all += group.visits();
            }
            (all > 0).then(|| failed as f64 / all as f64)
        };
        let baseline = self.groups.iter().find(|group| group.baseline);
        let marks: Vec<(&str, &Pooled)> = baseline.map(|group| ("baseline", *group)).into_iter().collect();
        let axis = Axis::new("share of the visits", Unit::Fraction);
        let caption = "empty: nothing was tried there".to_string();
        self.chart(format!("Where trials ended as {outcome}"), caption, axis, &marks, value)
    }

    fn chart(
        &self,
        title: String,
        caption: String,
        axis: Axis,
        marked: &[(&str, &Pooled)],
        value: impl Fn(usize, usize) -> Option<f64>,
    ) -> Option<Chart> {
        let (rows, columns) = (self.levels(self.rows), self.levels(self.columns));
        let values: Vec<Vec<Option<f64>>> =
            rows.iter().map(|row| columns.iter().map(|column| value(*row, *column)).collect()).collect();
        let filled = values.iter().flatten().flatten().count();
        if rows.len() < 2 || columns.len() < 2 || filled < LEAST_CELLS {
            return None;
        }
        let place = |levels: &[usize], group: &Pooled, knob: usize| {
            levels.iter().position(|level| *level == group.levels[knob])
        };
        let mark = |(label, group): &(&str, &Pooled)| {
            let (row, column) = (place(&rows, group, self.rows)?, place(&columns, group, self.columns)?);
            Some(CellMark { row, column, label: (*label).to_string() })
        };
        let marks = marked.iter().filter_map(mark).collect();
        let knob = |index: usize| &self.survey.knobs[index];
        let labels =
            |levels: &[usize], index: usize| levels.iter().map(|level| knob(index).label(*level)).collect();
        let kind = ChartKind::Heatmap {
            axis,
            row_name: knob(self.rows).name.clone(),
            rows: labels(&rows, self.rows),
            column_name: knob(self.columns).name.clone(),
            columns: labels(&columns, self.columns),
            values,
            marks,
        };
        Some(Chart::new(capital(&title), caption, kind))
    }
}
