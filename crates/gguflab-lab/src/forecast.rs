//! What configurations will need, before they are run: as the engine foretells it, else from the model's header and the
//! memory of the GPUs.

use crate::laboratory::Laboratory;
use gguflab_search::space::Forecaster;
use gguflab_types::{Forecast, Machine};

impl Laboratory {
    /// Foretells what configurations need of a machine; `None` where nobody can tell. Without a GPU nothing fails for want of memory
    /// that [`Laboratory::refusal`] would not refuse.
    #[must_use]
    pub fn forecaster(&self, machine: &Machine) -> Option<Forecaster> {
        if let Some(estimator) = self.estimator() {
            return Some(Forecaster::new(move |configurations| estimator.estimate(configurations)));
        }
        let capacity = machine.device_memory();
        let (facts, layers) = (self.model_facts.clone()?, self.layers.clone()?);
        let (tokens, sequences) =
            (self.workload().longest_sequence(), u64::from(self.workload().concurrency()));
        (capacity > 0.0).then(|| {
            Forecaster::new(move |configurations| {
                let load = |configuration| {
                    let need = layers.need(&facts, configuration, tokens, sequences)?;
                    Some(Forecast { load: need as f64 / capacity, seconds: None })
                };
                configurations.iter().map(load).collect()
            })
        })
    }
}
