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

/// What the processor can do at best, measured in the worker with as many threads as the engine uses.
#[derive(Debug, Clone, Copy, Default, PartialEq, Serialize, Deserialize)]
pub struct Roof {
    /// Threads.
    pub threads: u32,
    /// Bytes that can be read from memory in a second.
    pub bandwidth: f64,
    /// Single-precision multiplications and additions in a second.
    pub arithmetic: f64,
}

/// All that is told of the operations of one request.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct Anatomy {
    /// Prompt and generation, those that the request has.
    pub stages: Vec<Stage>,
    /// What could be.
    pub roof: Roof,
}
