//! Numbers as people read them: the one place where base units are scaled and digits are chosen.
//!
//! The scale is chosen once for a whole column or axis, so that its numbers can be compared by eye. Estimates
//! show as many digits as their interval supports: two significant digits of its half-width, the rule of the
//! Guide to the Expression of Uncertainty in Measurement (JCGM 100:2008, 7.2.6).

use crate::document::{Cell, Column, Interval, Table, Tone};
use gguflab_types::Unit;

/// How numbers of one base unit are shown: `value / divisor`, then `symbol`.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Scale {
    /// What a value in base units is divided by.
    pub divisor: f64,
    /// The symbol behind the scaled number, empty for none.
    pub symbol: &'static str,
}

/// How one column is shown.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct ColumnFormat {
    /// The scale that all numbers share; `None` where the cells differ in unit and each says its own.
    pub scale: Option<Scale>,
    /// Decimals of its estimates: those that suit most of their intervals.
    pub decimals: Option<usize>,
    /// Whether the column holds numbers, which stand at its right edge.
    pub numeric: bool,
}

impl ColumnFormat {
    /// For a cell on its own: it says its unit, and nothing is known of others.
    pub const LONE: ColumnFormat = ColumnFormat { scale: None, decimals: None, numeric: false };
}

const MICRO: &str = "µs";
const SECONDS: &[Scale] = &[
    scale(1e-9, "ns"),
    scale(1e-6, MICRO),
    scale(1e-3, "ms"),
    scale(1.0, "s"),
    scale(60.0, "min"),
    scale(3600.0, "h"),
];
/// Where the unit before gives way: two minutes read better as 120 s, two hours as 120 min.
const SECONDS_FROM: &[f64] = &[0.0, 1e-6, 1e-3, 1.0, 180.0, 10_800.0];
const BYTES: &[Scale] = &[
    scale(1.0, "B"),
    scale(1024.0, "KiB"),
    scale(1_048_576.0, "MiB"),
    scale(1_073_741_824.0, "GiB"),
    scale(1_099_511_627_776.0, "TiB"),
];
const BYTES_FROM: &[f64] = &[0.0, 1024.0, 1_048_576.0, 1_073_741_824.0, 1_099_511_627_776.0];
const HERTZ: &[Scale] = &[scale(1.0, "Hz"), scale(1e3, "kHz"), scale(1e6, "MHz"), scale(1e9, "GHz")];
const HERTZ_FROM: &[f64] = &[0.0, 1e3, 1e6, 1e9];

const fn scale(divisor: f64, symbol: &'static str) -> Scale {
    Scale { divisor, symbol }
}

/// The scale that suits these values in base units: the one that suits their median size.
#[must_use]
pub fn scale_for(unit: Unit, values: impl IntoIterator<Item = f64>) -> Scale {
    let size = median_size(values);
    match unit {
        Unit::Seconds => pick(SECONDS, SECONDS_FROM, size),
        Unit::Bytes => pick(BYTES, BYTES_FROM, size),
        Unit::Hertz => pick(HERTZ, HERTZ_FROM, size),
        Unit::Fraction => scale(0.01, "%"),
        other => scale(1.0, other.symbol()),
    }
}

fn median_size(values: impl IntoIterator<Item = f64>) -> Option<f64> {
    let mut sizes: Vec<f64> =
        values.into_iter().map(f64::abs).filter(|size| size.is_finite() && *size > 0.0).collect();
    sizes.sort_by(f64::total_cmp);
    sizes.get(sizes.len().checked_sub(1)? / 2).copied()
}

fn pick(scales: &[Scale], from: &[f64], size: Option<f64>) -> Scale {
    let base = scale(1.0, scales.iter().find(|scale| scale.divisor == 1.0).map_or("", |scale| scale.symbol));
    let Some(size) = size else { return base };
    scales.iter().zip(from).rev().find(|(_, from)| size >= **from).map_or(base, |(scale, _)| *scale)
}

impl Scale {
    /// The value in this scale.
    #[must_use]
    pub fn apply(self, value: f64) -> f64 {
        value / self.divisor
    }

    /// `text` with the symbol behind it.
    #[must_use]
    pub fn with_symbol(self, text: &str) -> String {
        if self.symbol.is_empty() { text.to_string() } else { format!("{text} {}", self.symbol) }
    }
}

/// A number in base units with its symbol: `1.53 GiB`, `12.4 ms`, `97.3 %`.
#[must_use]
pub fn number(value: f64, unit: Unit) -> String {
    let scale = scale_for(unit, [value]);
    scale.with_symbol(&scaled_number(value, unit, None, scale))
}

/// An estimate in base units with its interval and symbol: `116.1 tok/s [114.8, 117.5]`.
#[must_use]
pub fn estimate(value: f64, interval: Option<Interval>, unit: Unit) -> String {
    let scale = scale_for(unit, [value]);
    let shown = scale.with_symbol(&scaled_point(value, interval, scale, None));
    format!("{shown}{}", scaled_interval(interval, scale, None, false))
}

/// A count with thousands set apart from five digits on: `9999`, `134,515,008`.
#[must_use]
pub fn count(value: u64) -> String {
    let digits = value.to_string();
    if digits.len() < 5 {
        return digits;
    }
    let mut grouped = String::with_capacity(digits.len() * 4 / 3);
    for (position, digit) in digits.chars().enumerate() {
        if position > 0 && (digits.len() - position).is_multiple_of(3) {
            grouped.push(',');
        }
        grouped.push(digit);
    }
    grouped
}

/// A number for machines: every digit that is needed to read the same number back, in the base unit.
#[must_use]
pub fn machine(value: f64) -> String {
    if value.is_finite() { format!("{value}") } else { String::new() }
}

/// How a column of `table` is shown: one scale where all of its numbers have one unit.
#[must_use]
pub fn column_format(table: &Table, column: usize) -> ColumnFormat {
    let declared = table.columns.get(column).and_then(|column| column.unit);
    let quantities: Vec<(f64, Unit)> = table.column_cells(column).filter_map(Cell::quantity).collect();
    let unit = declared.or(quantities.first().map(|(_, unit)| *unit));
    let same = quantities.iter().all(|(_, other)| Some(*other) == unit);
    let scale = unit.filter(|_| same).map(|unit| scale_for(unit, quantities.iter().map(|(value, _)| *value)));
    let words = table
        .column_cells(column)
        .any(|cell| matches!(cell, Cell::Text { .. } | Cell::Code { .. } | Cell::Status { .. }));
    let numbers = table
        .column_cells(column)
        .any(|cell| cell.quantity().is_some() || matches!(cell, Cell::Count { .. }));
    let decimals = scale.and_then(|scale| common_decimals(table, column, scale));
    ColumnFormat { scale, decimals, numeric: numbers && !words }
}

/// The median of what the cells' intervals ask for.
fn common_decimals(table: &Table, column: usize, scale: Scale) -> Option<usize> {
    let intervals = table.column_cells(column).filter_map(Cell::interval);
    let mut wanted: Vec<usize> =
        intervals.filter_map(|interval| interval_decimals(interval, scale)).collect();
    wanted.sort_unstable();
    wanted.get(wanted.len().checked_sub(1)? / 2).copied()
}

/// The title of a column with the unit of its numbers: `decode [tok/s]`.
#[must_use]
pub fn column_title(column: &Column, format: ColumnFormat) -> String {
    titled(&column.name, format.scale.map_or("", |scale| scale.symbol))
}

/// `name [symbol]`, or the name alone where there is no symbol.
#[must_use]
pub fn titled(name: &str, symbol: &str) -> String {
    match (name.is_empty(), symbol.is_empty()) {
        (_, true) => name.to_string(),
        (true, false) => symbol.to_string(),
        (false, false) => format!("{name} [{symbol}]"),
    }
}

/// A cell as a person reads it; the unit is left out where the column's title says it.
#[must_use]
pub fn cell(cell: &Cell, format: ColumnFormat) -> String {
    let (point, interval) = cell_parts(cell, format);
    format!("{point}{interval}")
}

/// A cell on its own, with its unit.
#[must_use]
pub fn lone_cell(value: &Cell) -> String {
    cell(value, ColumnFormat::LONE)
}

/// A cell in two parts: the value, and its interval with a space before it (empty where there is none).
#[must_use]
pub fn cell_parts(cell: &Cell, format: ColumnFormat) -> (String, String) {
    match cell {
        Cell::Text { text } | Cell::Code { text } => (text.clone(), String::new()),
        Cell::Count { value } => (count(*value), String::new()),
        Cell::Flag { value } => (if *value { "yes" } else { "no" }.to_string(), String::new()),
        Cell::Status { text, tone } => (format!("{} {text}", sign(*tone)), String::new()),
        Cell::Missing { reason } if reason.is_empty() => ("–".to_string(), String::new()),
        Cell::Missing { reason } => (format!("– ({reason})"), String::new()),
        Cell::Number { value, unit, digits } => {
            let scale = format.scale.unwrap_or_else(|| scale_for(*unit, [*value]));
            (with_unit(scaled_number(*value, *unit, *digits, scale), format, scale), String::new())
        }
        Cell::Estimate { value, interval, unit } | Cell::Change { value, interval, unit } => {
            let scale = format.scale.unwrap_or_else(|| scale_for(*unit, [*value]));
            let with_sign = matches!(cell, Cell::Change { .. });
            let point = scaled_point(*value, *interval, scale, format.decimals);
            let point = if with_sign { signed(point) } else { point };
            let interval = scaled_interval(*interval, scale, format.decimals, with_sign);
            (with_unit(point, format, scale), interval)
        }
    }
}

fn with_unit(text: String, format: ColumnFormat, scale: Scale) -> String {
    if format.scale.is_some() { text } else { scale.with_symbol(&text) }
}

/// The sign that says a tone without colour.
#[must_use]
pub fn sign(tone: Tone) -> &'static str {
    match tone {
        Tone::Good => "✓",
        Tone::Bad => "✗",
        Tone::Neutral => "○",
    }
}

/// A number in `scale`, without the symbol: whole tokens and counts as they are, else `digits` significant
/// digits (three unless told).
#[must_use]
pub fn scaled_number(value: f64, unit: Unit, digits: Option<u8>, scale: Scale) -> String {
    let whole = matches!(unit, Unit::Tokens | Unit::Count) || (unit == Unit::Bytes && scale.divisor == 1.0);
    if whole && digits.is_none() && value.fract() == 0.0 && value.abs() < 1e15 {
        let sign = if value < 0.0 { "-" } else { "" };
        return format!("{sign}{}", count(value.abs() as u64));
    }
    significant(scale.apply(value), digits.unwrap_or(3))
}

fn scaled_point(value: f64, interval: Option<Interval>, scale: Scale, common: Option<usize>) -> String {
    match interval {
        Some(interval) => interval_number(value, interval, scale, common),
        None => significant(scale.apply(value), 3),
    }
}

fn scaled_interval(
    interval: Option<Interval>,
    scale: Scale,
    common: Option<usize>,
    with_sign: bool,
) -> String {
    let Some(interval) = interval else { return " (no interval)".to_string() };
    let show = |value: f64| {
        let text = interval_number(value, interval, scale, common);
        if with_sign { signed(text) } else { text }
    };
    format!(" [{}, {}]", show(interval.low), show(interval.high))
}

/// A number with the decimals of its column, or its own where the column's would hide its interval.
fn interval_number(value: f64, interval: Interval, scale: Scale, common: Option<usize>) -> String {
    match (interval_decimals(interval, scale), common) {
        (Some(own), Some(common)) if own <= common + 1 => fixed(scale.apply(value), common),
        (Some(own), _) => fixed(scale.apply(value), own),
        (None, _) => significant(scale.apply(value), 4),
    }
}

/// Decimals that show two significant digits of the half-width; `None` for an interval without width.
fn interval_decimals(interval: Interval, scale: Scale) -> Option<usize> {
    let half = scale.apply(interval.high - interval.low) / 2.0;
    (half.is_finite() && half > 0.0).then(|| (1 - exponent(half, 2)).clamp(0, 6) as usize)
}

fn signed(text: String) -> String {
    let zero = text.chars().all(|character| matches!(character, '0' | '.'));
    if text.starts_with('-') || text == "–" || zero { text } else { format!("+{text}") }
}

/// `value` with this many significant digits; digits before the point are never turned into zeros.
#[must_use]
pub fn significant(value: f64, digits: u8) -> String {
    if !value.is_finite() {
        return "–".to_string();
    }
    if value == 0.0 {
        return "0".to_string();
    }
    let digits = i32::from(digits.max(1));
    let exponent = exponent(value, digits);
    if !(-7..15).contains(&exponent) {
        return format!("{value:.*e}", (digits - 1) as usize);
    }
    fixed(value, (digits - 1 - exponent).clamp(0, 12) as usize)
}

/// The power of ten of the first digit after rounding to `digits` significant digits: 9.996 counts as 10.0.
fn exponent(value: f64, digits: i32) -> i32 {
    let first = value.abs().log10().floor() as i32;
    let step = 10f64.powi(first + 1 - digits);
    let rounded = (value.abs() / step).round() * step;
    if rounded >= 10f64.powi(first + 1) * (1.0 - 1e-12) { first + 1 } else { first }
}

fn fixed(value: f64, decimals: usize) -> String {
    if !value.is_finite() {
        return "–".to_string();
    }
    let text = format!("{value:.decimals$}");
    match text.strip_prefix('-') {
        Some(rest) if rest.chars().all(|character| matches!(character, '0' | '.')) => rest.to_string(),
        _ => text,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_scaled_for_people() {
        for (value, unit, expected) in [
            (3.2e-8, Unit::Seconds, "32.0 ns"),
            (0.000_35, Unit::Seconds, "350 µs"),
            (0.012_4, Unit::Seconds, "12.4 ms"),
            (1.5, Unit::Seconds, "1.50 s"),
            (120.0, Unit::Seconds, "120 s"),
            (600.0, Unit::Seconds, "10.0 min"),
            (7200.0, Unit::Seconds, "120 min"),
            (14_400.0, Unit::Seconds, "4.00 h"),
            (0.0, Unit::Seconds, "0 s"),
            (512.0, Unit::Bytes, "512 B"),
            (1536.0, Unit::Bytes, "1.50 KiB"),
            (91_734_720.0, Unit::Bytes, "87.5 MiB"),
            (1.7e9, Unit::Bytes, "1.58 GiB"),
            (1234.5, Unit::TokensPerSecond, "1234 tok/s"),
            (9.996, Unit::TokensPerSecond, "10.0 tok/s"),
            (116.12, Unit::TokensPerSecond, "116 tok/s"),
            (0.973_4, Unit::Fraction, "97.3 %"),
            (3.2e9, Unit::Hertz, "3.20 GHz"),
            (134_515_008.0, Unit::Count, "134,515,008"),
            (-20_000.0, Unit::Count, "-20,000"),
            (4.834, Unit::BitsPerWeight, "4.83 bit/weight"),
            (1e-12, Unit::None, "1.00e-12"),
            (f64::NAN, Unit::Seconds, "– s"),
        ] {
            assert_eq!(number(value, unit), expected, "{value} {unit:?}");
        }
    }

    #[test]
    fn digits_of_an_estimate_follow_its_interval() {
        for (value, low, high, unit, expected) in [
            (116.1234, 114.8, 117.5, Unit::TokensPerSecond, "116.1 tok/s [114.8, 117.5]"),
            (116.1234, 66.0, 166.0, Unit::TokensPerSecond, "116 tok/s [66, 166]"),
            (116.1234, 116.12, 116.13, Unit::TokensPerSecond, "116.1234 tok/s [116.1200, 116.1300]"),
            (0.0124, 0.0121, 0.0129, Unit::Seconds, "12.40 ms [12.10, 12.90]"),
            (0.1, -0.0001, 0.2, Unit::Fraction, "10 % [0, 20]"),
            (5.0, 5.0, 5.0, Unit::TokensPerSecond, "5.000 tok/s [5.000, 5.000]"),
        ] {
            assert_eq!(estimate(value, Some(Interval { low, high }), unit), expected);
        }
        assert_eq!(estimate(116.1, None, Unit::TokensPerSecond), "116 tok/s (no interval)");
    }

    #[test]
    fn changes_carry_their_sign() {
        for (value, interval, expected) in [
            (0.0315, Some((0.021, 0.042)), "+3.1 % [+2.1, +4.2]"),
            (-0.5, Some((-0.6, -0.4)), "-50 % [-60, -40]"),
            (0.0, Some((-0.01, 0.01)), "0.0 % [-1.0, +1.0]"),
            (0.25, None, "+25.0 % (no interval)"),
        ] {
            assert_eq!(lone_cell(&Cell::change(value, interval, Unit::Fraction)), expected);
        }
    }

    #[test]
    fn a_column_has_one_scale_unless_its_units_differ() {
        let mut table = Table::new("", [Column::new("time"), Column::new("mixed")]);
        for (seconds, other) in [
            (0.0008, Cell::number(2048.0, Unit::Bytes)),
            (0.012, Cell::number(0.5, Unit::Seconds)),
            (1.5, Cell::missing("not measured")),
        ] {
            table.push([Cell::number(seconds, Unit::Seconds), other]);
        }
        let shown = |column: usize| -> Vec<String> {
            let format = column_format(&table, column);
            std::iter::once(column_title(&table.columns[column], format))
                .chain(table.column_cells(column).map(|value| cell(value, format)))
                .collect()
        };
        assert_eq!(shown(0), ["time [ms]", "0.800", "12.0", "1500"]);
        assert_eq!(shown(1), ["mixed", "2.00 KiB", "500 ms", "– (not measured)"]);
    }

    #[test]
    fn machine_numbers_read_back_exactly() {
        for value in [0.1 + 0.2, 1e-300, 123_456_789.123_456_79, -0.0] {
            assert_eq!(machine(value).parse::<f64>().map(f64::to_bits), Ok(value.to_bits()));
        }
        assert_eq!(machine(f64::INFINITY), "");
    }
}
