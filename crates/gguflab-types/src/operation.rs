//! Where time goes: the operations of a model's graph, timed one by one.

use serde::{Deserialize, Serialize};

/// What one kind of operation cost in the runs of a [`Stage`]. Operations are of one kind when all but their numbers is
/// equal.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct Operation {
    /// The layer; `None` for what stands before, behind or between them.
    pub layer: Option<u32>,
    /// Its part in the model: the name of the weights without layer (`ffn_down`), else of the result (`kq`); empty
    /// where neither has one.
    pub part: String,
    /// The operator, such as `MUL_MAT`.
    pub operator: String,
    /// Type of the weights, such as `Q4_K`, or of the first operand where there are none.
    pub operand: String,
    /// The device that holds the result.
    pub device: String,
    /// How often it ran in one run.
    pub count: u32,
    /// Bytes of weights that one run reads. Of experts and embeddings only the rows that are used, as if each token used
    /// other experts.
    pub weight_bytes: f64,
    /// Bytes of everything else that one run reads or writes.
    pub other_bytes: f64,
    /// Multiplications and additions of matrix products and attention in one run; 0 for other operators.
    pub arithmetic: f64,
    /// Seconds in each of the runs that stopped after every operation, all its executions together.
    pub seconds: Vec<f64>,
}

impl Operation {
    /// Whether it multiplies matrices with weights, or with what stands in their place.
    #[must_use]
    pub fn is_product(&self) -> bool {
        matches!(self.operator.as_str(), "MUL_MAT" | "MUL_MAT_ID")
    }
}

/// A part of a request that was run again and again, in turn without stops and with a stop after every operation.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct Stage {
    /// Tokens of the prompt, or tokens generated.
    pub tokens: u32,
    /// Whether they were generated one at a time.
    pub generation: bool,
    /// Wall seconds of each run without stops.
    pub plain: Vec<f64>,
    /// Wall seconds of each run with stops.
    pub stopped: Vec<f64>,
    /// The operations, in the order in which they first ran.
    pub operations: Vec<Operation>,
}

/// Something that a device does as fast as it can.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Work {
    /// Reads bytes of weights from its memory.
    Reading,
    /// Multiplies and adds, in products of large matrices with weights of this type.
    Products(String),
}

/// How fast a device does something at best.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Limit {
    /// What it does.
    pub work: Work,
    /// Bytes, or multiplications and additions, in a second; else why it could not be measured.
    pub rate: Result<f64, String>,
}

/// What a device can do at best, measured in the worker through the engine itself.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct Roof {
    /// The device, as in [`Operation::device`].
    pub device: String,
    /// Threads that it was measured with, as many as the engine uses; `None` where the device is no processor.
    pub threads: Option<u32>,
    /// Reading, and products with each type of weights that it multiplied.
    pub limits: Vec<Limit>,
}

impl Roof {
    /// How fast it does this; `None` where that was not measured.
    #[must_use]
    pub fn rate(&self, work: &Work) -> Option<f64> {
        let limit = self.limits.iter().find(|limit| limit.work == *work)?;
        limit.rate.as_ref().ok().copied()
    }

    /// Multiplications and additions in a second of its fastest products; `None` where none were measured.
    #[must_use]
    pub fn fastest_products(&self) -> Option<f64> {
        let products = self.limits.iter().filter(|limit| matches!(limit.work, Work::Products(_)));
        products.filter_map(|limit| limit.rate.as_ref().ok().copied()).reduce(f64::max)
    }
}

/// All that is told of the operations of one request.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct Anatomy {
    /// Prompt and generation, those that the request has.
    pub stages: Vec<Stage>,
    /// What each of the devices could do.
    pub roofs: Vec<Roof>,
}
