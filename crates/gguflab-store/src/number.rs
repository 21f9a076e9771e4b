//! Numbers as Optuna keeps them: what is not finite is a type without a number.

/// The number and its type.
pub(crate) fn written(value: f64) -> (Option<f64>, &'static str) {
    match value {
        f64::INFINITY => (None, "INF_POS"),
        f64::NEG_INFINITY => (None, "INF_NEG"),
        value if value.is_nan() => (None, "NAN"),
        finite => (Some(finite), "FINITE"),
    }
}

/// The value of a number and its type; `None` for what Optuna does not write.
pub(crate) fn read(number: Option<f64>, kind: &str) -> Option<f64> {
    match (number, kind) {
        (Some(finite), "FINITE") => Some(finite),
        (None, "INF_POS") => Some(f64::INFINITY),
        (None, "INF_NEG") => Some(f64::NEG_INFINITY),
        (None, "NAN") => Some(f64::NAN),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_number_comes_back() {
        for value in [0.0, -1.5, f64::MAX, f64::INFINITY, f64::NEG_INFINITY, f64::NAN] {
            let (number, kind) = written(value);
            assert_eq!(read(number, kind).map(f64::to_bits), Some(value.to_bits()), "{value}");
        }
        assert_eq!(read(None, "FINITE"), None);
        assert_eq!(read(Some(1.0), "HUGE"), None);
    }
}
