//! Spaces by name: one table.

use super::{Items, SpaceRequest};
use crate::error::SearchError;
use gguflab_types::knob::{Condition, Facts};

/// A space by name.
#[derive(Debug, Clone, Copy)]
pub struct Preset {
    /// Its name.
    pub name: &'static str,
    /// Without what it means nothing.
    pub needs: Condition,
    /// Knobs and their values as `--knob` takes them; without values those of the table. A knob that means nothing
    /// on the machine is left out.
    pub knobs: &'static [(&'static str, &'static str)],
    /// One line of help.
    pub help: &'static str,
}

/// Every preset.
pub const PRESETS: &[Preset] = &[
    Preset {
        name: "cpu",
        needs: Condition::Always,
        knobs: &[
            ("threads", ""),
            ("threads-batch", ""),
            ("batch", ""),
            ("ubatch", ""),
            ("flash-attention", ""),
            ("repack", ""),
            ("numa", ""),
        ],
        help: "processor only: threads, batches, attention, repacking, NUMA",
    },
    Preset {
        name: "gpu",
        needs: Condition::Gpu,
        knobs: &[
            ("gpu-layers", "auto,0%,25%,50%,60%,70%,80%,90%"),
            ("threads", "half,physical"),
            ("batch", ""),
            ("ubatch", ""),
            ("flash-attention", ""),
            ("kv-offload", ""),
            ("op-offload", ""),
            ("split-mode", ""),
        ],
        help: "a dense model on a GPU: layers on it in fine steps, batches, where cache and operations lie",
    },
    Preset {
        name: "moe",
        needs: Condition::GpuAndExperts,
        knobs: &[
            ("cpu-moe-layers", "0%,25%,50%,60%,70%,80%,90%,100%"),
            ("threads", "half,physical"),
            ("batch", ""),
            ("ubatch", ""),
            ("flash-attention", ""),
            ("op-offload", ""),
        ],
        help: "a model with experts on a GPU: how many layers keep their experts on the CPU",
    },
    Preset {
        name: "wsl",
        needs: Condition::Gpu,
        knobs: &[
            ("gpu-layers", "auto,0%,20%,30%,40%,50%,60%,70%,80%,90%"),
            ("batch", "4,16,64,256,512,2048"),
            ("ubatch", "batch/1,batch/2"),
            ("flash-attention", "on,off"),
            ("load-mode", "none,mmap"),
        ],
        help: "a GPU in WSL, where a full card spills into slow shared memory: layers, small batches, how the file is read",
    },
];

/// The space of this name on this machine.
///
/// # Errors
/// An unknown name, or a preset that means nothing here.
pub fn preset(name: &str, facts: &Facts) -> Result<SpaceRequest, SearchError> {
    let row = PRESETS.iter().find(|row| row.name == name).ok_or_else(|| {
        let known: Vec<&str> = PRESETS.iter().map(|row| row.name).collect();
        SearchError::Setting(format!("no preset `{name}`: there are {}", known.join(", ")))
    })?;
    if !row.needs.holds(facts) {
        return Err(SearchError::Setting(format!("preset {name} needs {}", row.needs.need())));
    }
    let usable = row.knobs.iter().filter(|(knob, values)| {
        facts.knob(knob).is_some_and(|known| {
            known.condition.holds(facts) && (!values.is_empty() || known.candidates(facts).len() > 1)
        })
    });
    let mut request = SpaceRequest::default();
    for (knob, values) in usable {
        request.only.push((*knob).to_string());
        if !values.is_empty() {
            request.items.push(((*knob).to_string(), Items::Text((*values).to_string())));
        }
    }
    Ok(request)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Space;
    use gguflab_types::Configuration;

    #[test]
    fn every_preset_is_a_space_where_it_means_something_and_refused_elsewhere() {
        let small = Facts {
            physical_cores: 4,
            logical_cores: 8,
            layers: 30,
            prompt_tokens: 2048,
            ..Facts::default()
        };
        let large = Facts { gpus: 2, experts: 8, numa_nodes: 2, ..small.clone() };
        for row in PRESETS {
            for facts in [&small, &large] {
                match preset(row.name, facts) {
                    Ok(request) => {
                        let space = Space::requested(facts, &Configuration::new(), &request).unwrap();
                        let searched: Vec<&str> = space.extents().iter().map(|(name, _)| *name).collect();
                        assert_eq!(searched.len(), request.only.len(), "{searched:?}");
                        assert!(searched.iter().all(|name| row.knobs.iter().any(|(knob, _)| knob == name)));
                    }
                    Err(refused) => {
                        assert!(!row.needs.holds(facts), "{refused}");
                        assert!(refused.to_string().contains(row.needs.need()), "{refused}");
                    }
                }
            }
            assert!(preset(row.name, &large).is_ok(), "{}", row.name);
        }
        assert!(preset("tpu", &small).unwrap_err().to_string().contains("cpu, gpu, moe, wsl"));
    }
}
