//! What is foretold of configurations before they are run.

use gguflab_types::{Configuration, Forecast};
use std::sync::Arc;

/// Foretells for some configurations what they need and take, before they are run.
#[derive(Clone)]
pub struct Forecaster(Arc<Foretell>);

type Foretell = dyn Fn(&[Configuration]) -> Vec<Option<Forecast>> + Send + Sync;

impl Forecaster {
    /// A forecaster from a function that gives one forecast, or none, for each configuration; the same for the same
    /// configuration.
    pub fn new(
        foretell: impl Fn(&[Configuration]) -> Vec<Option<Forecast>> + Send + Sync + 'static,
    ) -> Forecaster {
        Forecaster(Arc::new(foretell))
    }

    /// One forecast, or none, for each configuration.
    pub(super) fn foretell(&self, configurations: &[Configuration]) -> Vec<Option<Forecast>> {
        (self.0)(configurations)
    }
}

impl std::fmt::Debug for Forecaster {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.write_str("Forecaster")
    }
}
