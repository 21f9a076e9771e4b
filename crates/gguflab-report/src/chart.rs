//! Pictures of numbers: what is drawn, in base units; how it looks is the renderers' business.
//!
//! Every chart can also be read as a table ([`Chart::table`]), for those who cannot see it or want the numbers.

mod data;
mod logarithmic;

use crate::document::Interval;
use crate::format::{self, Scale};
use crate::text::clean;
use gguflab_types::Unit;
use serde::{Deserialize, Serialize};

/// A picture of numbers.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Chart {
    /// What it shows.
    pub title: String,
    /// What to see in it and how it was made, empty for none.
    pub caption: String,
    /// The numbers and the kind of picture.
    pub kind: ChartKind,
}

/// The kinds of chart.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(tag = "chart", rename_all = "kebab-case")]
pub enum ChartKind {
    /// Configurations one below another, each with its estimate and interval (a forest plot).
    Intervals {
        /// What is measured.
        axis: Axis,
        /// The configurations from top to bottom.
        rows: Vec<Row>,
        /// A value to compare with, drawn across all rows.
        reference: Option<Reference>,
    },
    /// Configurations one below another, each with a bar from zero.
    Bars {
        /// What is measured.
        axis: Axis,
        /// The configurations from top to bottom.
        rows: Vec<Row>,
    },
    /// Values in the order of the trials.
    History {
        /// The trial numbers' axis.
        across: Axis,
        /// What is measured.
        axis: Axis,
        /// The values.
        series: Vec<Series>,
        /// Trials without a value: failures, pruned trials.
        marks: Vec<Mark>,
    },
    /// How often values fall where.
    Histogram {
        /// What is measured.
        axis: Axis,
        /// The raw values of each series.
        series: Vec<Values>,
    },
    /// Curves.
    Lines {
        /// The horizontal axis.
        across: Axis,
        /// The vertical axis.
        axis: Axis,
        /// The curves.
        series: Vec<Series>,
    },
    /// Points in a plane.
    Scatter {
        /// The horizontal axis.
        across: Axis,
        /// The vertical axis.
        axis: Axis,
        /// The groups of points.
        series: Vec<Series>,
    },
    /// A value for each pair of a row and a column.
    Heatmap {
        /// What is measured.
        axis: Axis,
        /// What the rows are, such as a knob's name.
        row_name: String,
        /// The rows' labels from top to bottom.
        rows: Vec<String>,
        /// What the columns are.
        column_name: String,
        /// The columns' labels from left to right.
        columns: Vec<String>,
        /// For each row one value for each column; `None` where nothing was measured.
        values: Vec<Vec<Option<f64>>>,
        /// Cells that are pointed out.
        #[serde(default)]
        marks: Vec<CellMark>,
    },
    /// Lines through one value on each of several upright axes, one line for each configuration.
    Parallel {
        /// What is measured: the colour of the lines.
        axis: Axis,
        /// The upright axes from left to right, the most important first.
        axes: Vec<ParallelAxis>,
        /// The configurations from the best to the worst.
        lines: Vec<ParallelLine>,
    },
}

/// A cell of a heat map that is pointed out.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct CellMark {
    /// Its row, from 0.
    pub row: usize,
    /// Its column, from 0.
    pub column: usize,
    /// What it is, such as `baseline`.
    pub label: String,
}

/// One of several upright axes.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ParallelAxis {
    /// What it shows, such as a knob's name.
    pub label: String,
    /// Its values from the bottom to the top.
    pub ticks: Vec<String>,
}

/// A configuration as a line through its values.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ParallelLine {
    /// Its name, in full.
    pub label: String,
    /// For each axis which of its values, from 0.
    pub places: Vec<usize>,
    /// What was measured, in base units.
    pub value: f64,
    /// What it is, such as `baseline`; empty for no mark.
    pub mark: String,
}

/// What an axis shows.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Axis {
    /// The quantity, such as `decode`.
    pub label: String,
    /// The base unit of the values.
    pub unit: Unit,
    /// Whether equal distances are equal ratios instead of equal differences: for quantities that span decades.
    /// Intervals, histories, curves and points are drawn so; bars and histograms stand on zero, which such an axis
    /// does not have, so they and the charts that show values as colours stay linear. Values that are not above zero
    /// are left out of the picture, which says so; where no other value exists, the axis is linear.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub logarithmic: bool,
}

/// A configuration in a chart of intervals or bars.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Row {
    /// Its name, in full; the picture shortens it where it must.
    pub label: String,
    /// Its value in base units.
    pub value: f64,
    /// The interval around it, where there is one.
    pub interval: Option<Interval>,
    /// Rows of one group share colour and marker; empty for no group.
    pub group: String,
}

/// A value that the rows are compared with.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Reference {
    /// What it is, such as `baseline`.
    pub label: String,
    /// The value in base units.
    pub value: f64,
}

/// Named points.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Series {
    /// Its name in the legend.
    pub name: String,
    /// How its points are drawn.
    pub shape: Shape,
    /// The points; curves go through them in this order.
    pub points: Vec<Point>,
}

/// How the points of a series are drawn.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Shape {
    /// Markers only.
    Points,
    /// Markers joined by straight lines, with a band where the points have intervals.
    Line,
    /// A staircase without markers, such as the best value so far.
    Steps,
}

/// One point.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Point {
    /// The horizontal place in base units.
    pub x: f64,
    /// The vertical place in base units.
    pub y: f64,
    /// The interval of `x`, where there is one (drawn in scatter charts only).
    pub x_interval: Option<Interval>,
    /// The interval of `y`, where there is one.
    pub y_interval: Option<Interval>,
    /// What the point is, empty for none.
    pub label: String,
}

/// A trial without a value.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Mark {
    /// The trial's number.
    pub x: f64,
    /// How it ended, such as `out of memory`; marks of one kind share a marker.
    pub kind: String,
    /// More about it, empty for none.
    pub label: String,
}

/// Raw values with a name.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Values {
    /// Their name in the legend.
    pub name: String,
    /// The values in base units.
    pub values: Vec<f64>,
}

impl Chart {
    /// A chart.
    #[must_use]
    pub fn new(title: impl Into<String>, caption: impl Into<String>, kind: ChartKind) -> Chart {
        Chart { title: title.into(), caption: caption.into(), kind }
    }
}

impl Axis {
    /// A linear axis for values in this base unit.
    #[must_use]
    pub fn new(label: impl Into<String>, unit: Unit) -> Axis {
        Axis { label: label.into(), unit, logarithmic: false }
    }

    /// The same axis, logarithmic.
    #[must_use]
    pub fn logarithmic(mut self) -> Axis {
        self.logarithmic = true;
        self
    }

    /// Whether the value has a place on this axis.
    pub(crate) fn shows(&self, value: f64) -> bool {
        !self.logarithmic || value > 0.0
    }

    /// Where the value lies, so that equal distances look equal; minus infinity for what a logarithmic axis has no
    /// place for, which is below everything.
    pub(crate) fn place(&self, value: f64) -> f64 {
        match self.logarithmic {
            true if value > 0.0 => value.log10(),
            true => f64::NEG_INFINITY,
            false => value,
        }
    }

    /// The value that lies in this place.
    pub(crate) fn value(&self, place: f64) -> f64 {
        if self.logarithmic { 10f64.powf(place) } else { place }
    }

    /// Its name with the shown unit, and that it is logarithmic where it is.
    pub(crate) fn titled(&self, scale: Scale) -> String {
        let name = format::titled(&clean(&self.label), scale.symbol);
        match (self.logarithmic, name.is_empty()) {
            (true, true) => "logarithmic".to_string(),
            (true, false) => format!("{name}, logarithmic"),
            (false, _) => name,
        }
    }
}

impl Row {
    /// A row without a group.
    #[must_use]
    pub fn new(label: impl Into<String>, value: f64, interval: Option<(f64, f64)>) -> Row {
        Row { label: label.into(), value, interval: interval.map(Interval::from), group: String::new() }
    }

    /// The same row in a group.
    #[must_use]
    pub fn group(mut self, group: impl Into<String>) -> Row {
        self.group = group.into();
        self
    }
}

impl Series {
    /// A series through points without intervals.
    #[must_use]
    pub fn new(
        name: impl Into<String>,
        shape: Shape,
        points: impl IntoIterator<Item = (f64, f64)>,
    ) -> Series {
        let points = points.into_iter().map(|(x, y)| Point { x, y, ..Point::default() }).collect();
        Series { name: name.into(), shape, points }
    }
}

impl Point {
    /// A point without intervals.
    #[must_use]
    pub fn new(x: f64, y: f64) -> Point {
        Point { x, y, ..Point::default() }
    }

    /// The same point with the interval of its vertical place.
    #[must_use]
    pub fn y_interval(mut self, low: f64, high: f64) -> Point {
        self.y_interval = Some(Interval { low, high });
        self
    }

    /// The same point with the interval of its horizontal place.
    #[must_use]
    pub fn x_interval(mut self, low: f64, high: f64) -> Point {
        self.x_interval = Some(Interval { low, high });
        self
    }

    /// The same point with a name.
    #[must_use]
    pub fn label(mut self, label: impl Into<String>) -> Point {
        self.label = label.into();
        self
    }
}
