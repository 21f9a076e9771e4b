//! Base units. Numbers are kept in them everywhere; scaling happens only when shown.

use serde::{Deserialize, Serialize};

/// The base unit of a number.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Unit {
    /// Seconds.
    Seconds,
    /// Bytes.
    Bytes,
    /// Tokens per second.
    TokensPerSecond,
    /// Tokens.
    Tokens,
    /// A plain count.
    Count,
    /// A fraction of one; shown as per cent.
    Fraction,
    /// Hertz.
    Hertz,
    /// Degrees Celsius.
    Celsius,
    /// Joules.
    Joules,
    /// Bits per weight.
    BitsPerWeight,
    /// Natural units of information.
    Nats,
    /// Bits per byte of text.
    BitsPerByte,
    /// No unit.
    None,
}

impl Unit {
    /// The symbol written behind an unscaled number, empty where there is none.
    #[must_use]
    pub fn symbol(self) -> &'static str {
        match self {
            Unit::Seconds => "s",
            Unit::Bytes => "B",
            Unit::TokensPerSecond => "tok/s",
            Unit::Tokens => "tok",
            Unit::Hertz => "Hz",
            Unit::Celsius => "°C",
            Unit::Joules => "J",
            Unit::BitsPerWeight => "bit/weight",
            Unit::Nats => "nat",
            Unit::BitsPerByte => "bit/B",
            Unit::Count | Unit::Fraction | Unit::None => "",
        }
    }
}
