//! What a configuration is foretold to need, before it is run.

use serde::{Deserialize, Serialize};

/// A forecast for one configuration; it may be wrong, and what is measured corrects it.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct Forecast {
    /// Share of the memory that is needed: need over capacity, of the scarcest place (a device, or the host).
    pub load: f64,
    /// Wall seconds of one visit, if that is foretold.
    pub seconds: Option<f64>,
}
