//! Part of a dataset: `train`, `train[:1024]`, `test[10%:20%]`, `[-100:]`.

use std::fmt;
use std::ops::Range;

use super::error::DatasetError;

/// A split by name, and which of its rows; both may be left open.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Split {
    /// The split's name, as in `train`.
    pub name: Option<String>,
    /// From this row on; `None` from the first.
    pub from: Option<Bound>,
    /// Up to but without this row; `None` through the last.
    pub to: Option<Bound>,
}

/// One end of a range of rows.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Bound {
    /// A row; a negative one counts from the end.
    Row(i64),
    /// A share of all rows, in per cent; a negative one counts from the end. Rounded to the nearest row.
    Percent(i64),
}

impl Split {
    /// Takes the text apart.
    ///
    /// # Errors
    /// [`DatasetError::Request`] for anything else.
    pub fn parse(text: &str) -> Result<Split, DatasetError> {
        let wrong = || {
            DatasetError::Request(format!(
                "`{text}` is no split: it is a name, rows in brackets or both, such as train, train[:1024], \
                 test[10%:20%] or [-100:]"
            ))
        };
        let (name, rows) = match text.split_once('[') {
            Some((name, rest)) => (name, Some(rest.strip_suffix(']').ok_or_else(wrong)?)),
            None => (text, None),
        };
        let is_name = |byte: u8| byte.is_ascii_alphanumeric() || b"_-.".contains(&byte);
        if !name.bytes().all(is_name) || text.is_empty() {
            return Err(wrong());
        }
        let name = Some(name.to_owned()).filter(|name| !name.is_empty());
        let Some(rows) = rows else { return Ok(Split { name, from: None, to: None }) };
        let (from, to) = rows.split_once(':').ok_or_else(wrong)?;
        let bound = |text: &str| Bound::parse(text.trim()).ok_or_else(wrong);
        Ok(Split { name, from: bound(from)?, to: bound(to)? })
    }

    /// Parses `A..B`: rows from A up to but without B; either may be left out.
    ///
    /// # Errors
    /// [`DatasetError::Request`] for anything else.
    pub fn rows(text: &str) -> Result<Split, DatasetError> {
        let bound = |text: &str| match text.trim() {
            "" => Some(None),
            number => number.parse::<u32>().ok().map(|row| Some(Bound::Row(i64::from(row)))),
        };
        let ends = text.split_once("..").and_then(|(from, to)| Some((bound(from)?, bound(to)?)));
        let how =
            "they are A..B, from row A (the first is 0) up to but without row B, such as 100900..101000";
        let (from, to) = ends.ok_or_else(|| DatasetError::Request(format!("`{text}` are no rows: {how}")))?;
        Ok(Split { name: None, from, to })
    }

    /// Whether the rows are known only when all have been counted.
    #[must_use]
    pub fn needs_total(&self) -> bool {
        [self.from, self.to].into_iter().flatten().any(|bound| !matches!(bound, Bound::Row(0..)))
    }

    /// The rows of a split of `total` rows; empty where the ends cross.
    #[must_use]
    pub fn range(&self, total: u64) -> Range<u64> {
        let from = self.from.map_or(0, |bound| bound.row(total));
        let to = self.to.map_or(total, |bound| bound.row(total));
        from..to.max(from)
    }
}

impl Bound {
    /// `Some(None)` for an end that is left open.
    fn parse(text: &str) -> Option<Option<Bound>> {
        if text.is_empty() {
            return Some(None);
        }
        let number = |digits: &str| digits.replace('_', "").parse::<i64>().ok();
        match text.strip_suffix('%') {
            Some(digits) => number(digits).filter(|share| (-100..=100).contains(share)).map(Bound::Percent),
            None => number(text).map(Bound::Row),
        }
        .map(Some)
    }

    fn row(self, total: u64) -> u64 {
        let rows = match self {
            Bound::Row(row) => i128::from(row),
            // Half a row is rounded up, away from the start.
            Bound::Percent(share) => (i128::from(share) * i128::from(total) * 2 + 100).div_euclid(200),
        };
        let from_start = if rows < 0 { i128::from(total) + rows } else { rows };
        u64::try_from(from_start.clamp(0, i128::from(total))).unwrap_or(total)
    }
}

impl fmt::Display for Bound {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Bound::Row(row) => write!(formatter, "{row}"),
            Bound::Percent(share) => write!(formatter, "{share}%"),
        }
    }
}

impl fmt::Display for Split {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(self.name.as_deref().unwrap_or_default())?;
        if self.from.is_none() && self.to.is_none() {
            return Ok(());
        }
        let end = |bound: Option<Bound>| bound.map(|bound| bound.to_string()).unwrap_or_default();
        write!(formatter, "[{}:{}]", end(self.from), end(self.to))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rows_follow_the_hubs_notation() {
        let cases = [
            ("train", Some("train"), 0..1000),
            ("train[:1024]", Some("train"), 0..1000),
            ("train[:24]", Some("train"), 0..24),
            ("train[100:200]", Some("train"), 100..200),
            ("train[10%:20%]", Some("train"), 100..200),
            ("validation[-100:]", Some("validation"), 900..1000),
            ("test[:-10%]", Some("test"), 0..900),
            ("[5:5]", None, 5..5),
            ("[200:100]", None, 200..200),
            ("[2_0:]", None, 20..1000),
        ];
        for (text, name, rows) in cases {
            let split = Split::parse(text).expect(text);
            assert_eq!((split.name.as_deref(), split.range(1000)), (name, rows), "{text}");
        }
        assert_eq!(Split::parse("[33%:]").expect("a third").range(10), 3..10);
        assert_eq!(Split::parse("[:15%]").expect("half a row").range(10), 0..2);
        assert_eq!(Split::parse("train[10%:]").expect("it").to_string(), "train[10%:]");
    }

    #[test]
    fn only_open_or_plain_rows_need_no_count() {
        for (text, expected) in
            [("train", false), ("train[5:9]", false), ("train[-5:]", true), ("[:1%]", true)]
        {
            assert_eq!(Split::parse(text).expect(text).needs_total(), expected, "{text}");
        }
    }

    #[test]
    fn anything_else_is_refused() {
        for text in [
            "",
            "train[",
            "train[5]",
            "train[a:b]",
            "train[:101%]",
            "[:-9223372036854775808%]",
            "tr ain",
            "train[:1]+test",
            "../x",
        ] {
            let error = Split::parse(text).expect_err(text).to_string();
            assert!(error.contains(&format!("`{text}` is no split")), "{error}");
        }
        assert_eq!(Split::rows("100900..101000").expect("rows").range(u64::MAX), 100_900..101_000);
        assert_eq!(Split::rows("..5").expect("rows").range(3), 0..3);
        for text in ["5", "5..x", "-5..", "5:6", ""] {
            assert!(Split::rows(text).is_err(), "{text}");
        }
    }
}
