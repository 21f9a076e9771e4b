//! Dates and times, in UTC.

/// `2026-11-25 16:30 UTC`.
#[must_use]
pub fn instant(seconds: f64) -> String {
    let [year, month, day, hour, minute, _] = calendar(seconds);
    format!("{year:04}-{month:02}-{day:02} {hour:02}:{minute:02} UTC")
}

/// Seconds since 1970 as a date of the Gregorian calendar and a time: year, month, day, hour, minute, second (Fliegel &
/// Van Flandern 1968). Times before 1970 and no numbers give 1970.
#[must_use]
pub fn calendar(seconds: f64) -> [i64; 6] {
    let whole = seconds.clamp(0.0, 2.5e11).floor() as i64;
    let (days, rest) = (whole.div_euclid(86_400), whole.rem_euclid(86_400));
    // The Julian day of 1970-01-01 is 2440588.
    let mut left = days + 2_440_588 + 68_569;
    let century = 4 * left / 146_097;
    left -= (146_097 * century + 3) / 4;
    let year = 4000 * (left + 1) / 1_461_001;
    left = left - 1461 * year / 4 + 31;
    let month = 80 * left / 2447;
    let day = left - 2447 * month / 80;
    let late = month / 11;
    [100 * (century - 49) + year + late, month + 2 - 12 * late, day, rest / 3600, rest / 60 % 60, rest % 60]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn instants_are_dates_and_times() {
        assert_eq!(instant(951_782_400.9), "2000-02-29 00:00 UTC");
        assert_eq!(instant(1_756_720_861.0), "2025-09-01 10:01 UTC");
        assert_eq!(instant(f64::NAN), "1970-01-01 00:00 UTC");
    }
}
