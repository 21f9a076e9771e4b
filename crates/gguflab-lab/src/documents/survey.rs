//! What a survey shows, whether it comes from a study or from a file: ranking, pictures, knobs, failures.

pub(super) mod explain;
pub(super) mod failures;
pub(super) mod front;
pub(super) mod heatmaps;
pub(super) mod knobs;
pub(super) mod pictures;
pub(super) mod ranking;

use crate::effects::Effects;
use crate::survey::{Pooled, Survey};
use gguflab_report::chart::Axis;
use gguflab_report::{Chart, Document};

/// Everything that a survey shows, the most important first.
pub(super) fn add(survey: &Survey, effects: &Effects, document: &mut Document) {
    let groups = survey.pooled();
    if !groups.iter().any(|group| group.cost.is_some()) {
        return;
    }
    document.heading(1, "What each knob did");
    knobs::add(survey, effects, document);
    document.heading(1, "What was tried");
    ranking::add(survey, &groups, effects, document);
    charts(heatmaps::best(survey, &groups, effects), document);
    charts([pictures::history(survey)], document);
    charts(pictures::scatter(survey, &groups, effects), document);
    charts(front::front(survey, &groups), document);
    charts(pictures::parallel(survey, &groups, effects), document);
}

fn charts(charts: impl IntoIterator<Item = Chart>, document: &mut Document) {
    for chart in charts {
        document.chart(chart);
    }
}

/// The axis of what was made better.
fn objective_axis(survey: &Survey) -> Axis {
    Axis::new(&survey.measure.name, survey.measure.unit)
}

/// A configuration in its own unit.
fn own_value(survey: &Survey, group: &Pooled) -> Option<f64> {
    group.cost.as_ref().map(|cost| survey.to_cost(cost.value))
}
