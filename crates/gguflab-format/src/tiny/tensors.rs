//! The tensors of a tiny model: their shapes, and what they are filled with.

use std::io::{self, Write};

use super::quantise::encode;
use super::random::Normal;
use super::{TinyArchitecture, TinyModel};
use crate::error::FormatError;
use crate::header::{Dimensions, TensorInfo};
use crate::number::Endian;
use crate::types::TensorType;
use crate::write::TensorPlan;

/// Numbers made and written at once; a multiple of every block used.
const CHUNK: u64 = 8192;

/// Every tensor of the model in file order.
pub(super) fn plans(model: &TinyModel) -> Result<Vec<TensorPlan>, FormatError> {
    let (width, vocabulary) = (model.embedding.into(), model.vocabulary.into());
    let mut shapes = vec![
        ("token_embd.weight".to_owned(), vec![width, vocabulary]),
        ("output_norm.weight".to_owned(), vec![width]),
        ("output.weight".to_owned(), vec![width, vocabulary]),
    ];
    for layer in 0..model.layers {
        let parts = attention(model).into_iter().chain(feed_forward(model));
        shapes.extend(parts.map(|(name, sizes)| (format!("blk.{layer}.{name}"), sizes)));
    }
    shapes.into_iter().map(|(name, sizes)| plan(model, name, &sizes)).collect()
}

/// Writes the data of one tensor.
pub(super) fn write_data(
    tensor: &TensorInfo,
    seed: u64,
    endian: Endian,
    writer: &mut dyn Write,
) -> io::Result<()> {
    let filling = filling(&tensor.name, tensor.dimensions.columns());
    let mut normal = Normal::new(seed);
    let mut left = tensor.elements();
    let mut bytes = Vec::new();
    while left > 0 {
        let count = left.min(CHUNK);
        let numbers: Vec<f32> = (0..count).map(|_| filling.number(&mut normal)).collect();
        bytes.clear();
        encode(&numbers, tensor.tensor_type, endian, &mut bytes);
        writer.write_all(&bytes)?;
        left -= count;
    }
    Ok(())
}

type Shape = (&'static str, Vec<u64>);

fn attention(model: &TinyModel) -> Vec<Shape> {
    let width = u64::from(model.embedding);
    let head = u64::from(model.head_length());
    let narrow = head * u64::from(model.key_value_heads);
    let mut shapes = vec![
        ("attn_norm.weight", vec![width]),
        ("attn_q.weight", vec![width, width]),
        ("attn_k.weight", vec![width, narrow]),
        ("attn_v.weight", vec![width, narrow]),
        ("attn_output.weight", vec![width, width]),
    ];
    match model.architecture {
        TinyArchitecture::Llama | TinyArchitecture::Mixtral => {}
        TinyArchitecture::Olmoe => {
            shapes.extend([("attn_q_norm.weight", vec![width]), ("attn_k_norm.weight", vec![narrow])]);
        }
        TinyArchitecture::Qwen3Moe => {
            shapes.extend([("attn_q_norm.weight", vec![head]), ("attn_k_norm.weight", vec![head])]);
        }
        TinyArchitecture::Qwen2Moe => shapes.extend([
            ("attn_q.bias", vec![width]),
            ("attn_k.bias", vec![narrow]),
            ("attn_v.bias", vec![narrow]),
        ]),
    }
    shapes.push(("ffn_norm.weight", vec![width]));
    shapes
}

fn feed_forward(model: &TinyModel) -> Vec<Shape> {
    let (width, inner) = (u64::from(model.embedding), u64::from(model.feed_forward));
    if !model.architecture.has_experts() {
        return vec![
            ("ffn_gate.weight", vec![width, inner]),
            ("ffn_up.weight", vec![width, inner]),
            ("ffn_down.weight", vec![inner, width]),
        ];
    }
    let (expert, experts) = (u64::from(model.expert_feed_forward), u64::from(model.experts));
    let mut shapes = vec![
        ("ffn_gate_inp.weight", vec![width, experts]),
        ("ffn_gate_exps.weight", vec![width, expert, experts]),
        ("ffn_up_exps.weight", vec![width, expert, experts]),
        ("ffn_down_exps.weight", vec![expert, width, experts]),
    ];
    if model.architecture == TinyArchitecture::Qwen2Moe {
        shapes.extend([
            ("ffn_gate_inp_shexp.weight", vec![width]),
            ("ffn_gate_shexp.weight", vec![width, inner]),
            ("ffn_up_shexp.weight", vec![width, inner]),
            ("ffn_down_shexp.weight", vec![inner, width]),
        ]);
    }
    shapes
}

fn plan(model: &TinyModel, name: String, sizes: &[u64]) -> Result<TensorPlan, FormatError> {
    let dimensions = Dimensions::new(sizes)
        .ok_or_else(|| FormatError::invalid(format!("tensor '{name}'"), "has more than four dimensions"))?;
    // llama.cpp wants routers and everything of one dimension in F32.
    let matrix = sizes.len() >= 2 && !name.contains("ffn_gate_inp");
    let tensor_type = if matrix { model.weights } else { TensorType::F32 };
    Ok(TensorPlan { name, dimensions, tensor_type })
}

enum Filling {
    Constant(f32),
    /// N(0, 1) times this.
    Normal(f64),
}

impl Filling {
    fn number(&self, normal: &mut Normal) -> f32 {
        match self {
            Filling::Constant(number) => *number,
            Filling::Normal(scale) => (normal.next() * scale) as f32,
        }
    }
}

/// Weights are scaled by the inputs so that activations keep their size from layer to layer.
fn filling(name: &str, inputs: u64) -> Filling {
    if name.ends_with("_norm.weight") {
        Filling::Constant(1.0)
    } else if name.ends_with(".bias") {
        Filling::Constant(0.0)
    } else if name == "token_embd.weight" {
        Filling::Normal(0.5)
    } else {
        Filling::Normal(1.0 / (inputs as f64).sqrt())
    }
}
