//! The search in pictures: trial after trial, value by value, knob by knob.

use super::{objective_axis, own_value};
use crate::documents;
use crate::effects::Effects;
use crate::survey::{Pooled, Run, Survey};
use gguflab_report::Chart;
use gguflab_report::chart::{Axis, ChartKind, Mark, ParallelAxis, ParallelLine, Point, Series, Shape};
use gguflab_types::{Outcome, Purpose, Unit};

/// Lines of a picture of parallel axes: more hide each other.
const MOST_LINES: usize = 60;
/// Its axes.
const MOST_AXES: usize = 8;

/// Every visit in the order in which it was run, and the best so far.
pub(in crate::documents) fn history(survey: &Survey) -> Chart {
    let baseline = |run: &Run| survey.baseline.as_ref() == Some(&run.configuration);
    let points = |wanted: &dyn Fn(&Run) -> bool| -> Vec<Point> {
        let runs = survey.runs.iter().filter(|run| wanted(run));
        runs.filter_map(|run| {
            Some(Point::new(f64::from(run.number), run.value?).label(run.configuration.to_string()))
        })
        .collect()
    };
    let race = |run: &Run| run.purpose == Purpose::Race;
    let kinds: [(&str, Vec<Point>); 3] = [
        ("baseline", points(&|run| baseline(run))),
        ("search", points(&|run| !baseline(run) && !race(run))),
        ("race", points(&|run| !baseline(run) && race(run))),
    ];
    let mut series: Vec<Series> = kinds
        .into_iter()
        .filter(|(_, points)| !points.is_empty())
        .map(|(name, points)| Series { name: name.to_string(), shape: Shape::Points, points })
        .collect();
    series.push(Series::new("best so far", Shape::Steps, best_so_far(survey)));
    let kind = ChartKind::History {
        across: Axis::new("trial", Unit::Count),
        axis: objective_axis(survey),
        series,
        marks: marks(survey),
    };
    Chart::new(
        "Every trial",
        "in the order in which they were run; the best so far is that of single visits",
        kind,
    )
}

fn best_so_far(survey: &Survey) -> Vec<(f64, f64)> {
    let mut steps: Vec<(f64, f64)> = Vec::new();
    let mut best = f64::INFINITY;
    for run in &survey.runs {
        let Some(value) = run.value else { continue };
        if survey.to_cost(value) < best {
            best = survey.to_cost(value);
            steps.push((f64::from(run.number), value));
        }
    }
    let end = survey.runs.last().map(|run| f64::from(run.number));
    steps.extend(end.zip(steps.last().map(|step| step.1)).filter(|end| steps.last() != Some(end)));
    steps
}

fn marks(survey: &Survey) -> Vec<Mark> {
    let mark = |run: &Run| {
        let outcome = run.outcome.filter(|one| run.value.is_none() || *one != Outcome::Measured)?;
        Some(Mark { x: f64::from(run.number), kind: outcome.to_string(), label: run.cause.clone() })
    };
    survey.runs.iter().filter_map(mark).collect()
}

/// The objective over the most important knob whose values are numbers.
pub(in crate::documents) fn scatter(survey: &Survey, groups: &[Pooled], effects: &Effects) -> Option<Chart> {
    let numbers = |knob: usize| {
        let place = |group: &Pooled| survey.knobs[knob].number(group.levels[knob]);
        let mut seen: Vec<f64> =
            groups.iter().filter(|group| group.cost.is_some()).filter_map(place).collect();
        seen.sort_by(f64::total_cmp);
        seen.dedup();
        seen.len()
    };
    let knob = effects.tried().map(|effect| effect.knob).find(|knob| numbers(*knob) >= 3)?;
    let turned = &survey.knobs[knob];
    let measured = || groups.iter().filter(|group| group.cost.is_some());
    let point = |group: &Pooled| {
        let (x, cost) = (turned.number(group.levels[knob])?, survey.in_own_unit(group.cost.as_ref()?));
        Some(documents::point(x, &cost).label(group.configuration.to_string()))
    };
    let best = measured().next();
    let is_best = |group: &Pooled| best.is_some_and(|best| std::ptr::eq(best, group));
    let series = |name: &str, wanted: &dyn Fn(&Pooled) -> bool| Series {
        name: name.to_string(),
        shape: Shape::Points,
        points: measured().filter(|group| wanted(group)).filter_map(point).collect(),
    };
    let all = [
        series("configuration", &|group| !group.baseline && !is_best(group)),
        series("baseline", &|group| group.baseline),
        series("best measured", &|group| is_best(group) && !group.baseline),
    ];
    let left_out = measured().filter(|group| turned.number(group.levels[knob]).is_none()).count();
    let caption = match left_out {
        0 => "each point is a configuration, all its visits together".to_string(),
        count => format!(
            "each point is a configuration, all its visits together; {count} without a number for {} are left out",
            turned.name
        ),
    };
    let kind = ChartKind::Scatter {
        across: Axis::new(&turned.name, Unit::Count),
        axis: objective_axis(survey),
        series: all.into_iter().filter(|series| !series.points.is_empty()).collect(),
    };
    Some(Chart::new(format!("{} over {}", capital(&survey.measure.name), turned.name), caption, kind))
}

/// Each configuration as a line through its values of all knobs.
pub(in crate::documents) fn parallel(survey: &Survey, groups: &[Pooled], effects: &Effects) -> Option<Chart> {
    let knobs: Vec<usize> = effects.tried().map(|effect| effect.knob).take(MOST_AXES).collect();
    let measured = groups.iter().filter(|group| group.cost.is_some()).count();
    if knobs.len() < 2 || measured < 4 {
        return None;
    }
    let axes = knobs.iter().map(|knob| ParallelAxis {
        label: survey.knobs[*knob].name.clone(),
        ticks: (0..survey.knobs[*knob].values.len()).map(|level| survey.knobs[*knob].label(level)).collect(),
    });
    let shown = groups.iter().enumerate().filter(|(place, group)| *place < MOST_LINES || group.baseline);
    let line = |(place, group): (usize, &Pooled)| {
        let mark = match (group.baseline, place) {
            (true, _) => "baseline",
            (false, 0) => "best measured",
            _ => "",
        };
        Some(ParallelLine {
            label: group.configuration.to_string(),
            places: knobs.iter().map(|knob| group.levels[*knob]).collect(),
            value: own_value(survey, group)?,
            mark: mark.to_string(),
        })
    };
    let lines: Vec<ParallelLine> = shown.filter_map(line).collect();
    let which = if measured > MOST_LINES { format!("the best {MOST_LINES}, ") } else { String::new() };
    let caption = format!(
        "a line is a configuration ({which}the most important knob on the left); light is a high value of {}",
        survey.measure.name
    );
    let kind = ChartKind::Parallel { axis: objective_axis(survey), axes: axes.collect(), lines };
    Some(Chart::new("All knobs at once", caption, kind))
}

pub(super) fn capital(text: &str) -> String {
    let mut letters = text.chars();
    letters.next().map_or(String::new(), |first| first.to_uppercase().chain(letters).collect())
}
