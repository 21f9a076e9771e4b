//! Times the operations of a graph one by one. ggml's scheduler asks before each operation whether it is to be seen, runs
//! it (with those before it that are not), waits for it and tells that it is done.

use crate::backend::{computes_in, text};
use llama_cpp_sys_2 as sys;
use std::ffi::c_void;
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Instant;

/// One operation that ran.
#[derive(Debug, Clone, PartialEq)]
pub struct Observed {
    /// Name of its result, such as `Qcur-3`.
    pub name: String,
    /// Name of the weights that it reads, such as `blk.3.attn_q.weight`.
    pub weight: Option<String>,
    /// The operator, such as `MUL_MAT`.
    pub operator: String,
    /// Type of the weights, or of the first operand.
    pub operand: String,
    /// Name of the device that computes it.
    pub device: String,
    /// Seconds from its start to its end.
    pub seconds: f64,
    /// Bytes of weights that it reads.
    pub weight_bytes: f64,
    /// Bytes of everything else that it reads or writes.
    pub other_bytes: f64,
    /// Multiplications and additions, of matrix products and attention.
    pub arithmetic: f64,
}

static ON: AtomicBool = AtomicBool::new(false);
static SEEN: Mutex<Seen> = Mutex::new(Seen { begun: None, operations: Vec::new() });

struct Seen {
    begun: Option<Instant>,
    operations: Vec<Observed>,
}

/// From now on contexts that are made to be observed stop after every operation.
pub fn start() {
    if let Ok(mut seen) = SEEN.lock() {
        *seen = Seen { begun: None, operations: Vec::new() };
    }
    ON.store(true, Ordering::SeqCst);
}

/// They no longer do; gives what ran since [`start`].
#[must_use]
pub fn finish() -> Vec<Observed> {
    ON.store(false, Ordering::SeqCst);
    SEEN.lock().map(|mut seen| std::mem::take(&mut seen.operations)).unwrap_or_default()
}

/// The scheduler's callback.
pub(crate) extern "C" fn on_operation(tensor: *mut sys::ggml_tensor, ask: bool, _: *mut c_void) -> bool {
    if !ON.load(Ordering::Relaxed) {
        // Not to be seen; and when it is told all the same, the graph goes on.
        return !ask;
    }
    let now = Instant::now();
    let Ok(mut seen) = SEEN.lock() else { return !ask };
    // SAFETY: the scheduler hands over a node of the graph that it runs, which lives during the call.
    let Some(tensor) = (unsafe { tensor.as_ref() }) else { return !ask };
    if ask {
        let works = does_work(tensor);
        // Set anew each time: before the first operation on a device there may have been copies to it.
        if works {
            seen.begun = Some(now);
        }
        return works;
    }
    let begun = seen.begun.take().unwrap_or(now);
    let seconds = now.duration_since(begun).as_secs_f64();
    seen.operations.push(describe(tensor, seconds));
    true
}

/// What only gives memory another shape costs nothing; it is run along with the next operation.
fn does_work(tensor: &sys::ggml_tensor) -> bool {
    let idle = [
        sys::GGML_OP_NONE,
        sys::GGML_OP_RESHAPE,
        sys::GGML_OP_VIEW,
        sys::GGML_OP_PERMUTE,
        sys::GGML_OP_TRANSPOSE,
    ];
    !idle.contains(&tensor.op)
}

fn describe(tensor: &sys::ggml_tensor, seconds: f64) -> Observed {
    let sources: Vec<&sys::ggml_tensor> = tensor
        .src
        .iter()
        // SAFETY: the sources of a node live as long as the graph; empty places are NULL.
        .filter_map(|source| unsafe { source.as_ref() })
        .collect();
    let weights = || sources.iter().filter(|source| is_weight(source));
    let weight = weights().next();
    let operand = weight.or(sources.first()).map_or(tensor.type_, |source| source.type_);
    let others = sources.iter().filter(|source| !is_weight(source)).map(|source| bytes(source)).sum::<f64>();
    // SAFETY: the tensor is alive; names of types and operators are static.
    let (operator, operand) =
        unsafe { (text(sys::ggml_op_desc(tensor)), text(sys::ggml_type_name(operand))) };
    Observed {
        name: name(tensor),
        weight: weight.map(|weight| {
            let name = name(weight);
            copied_weight(&name).map(str::to_string).unwrap_or(name)
        }),
        operator,
        operand,
        device: device(tensor),
        seconds,
        weight_bytes: weights().map(|weight| bytes(weight) * share(tensor, weight)).sum(),
        other_bytes: others + bytes(tensor),
        arithmetic: arithmetic(tensor, &sources),
    }
}

fn name(tensor: &sys::ggml_tensor) -> String {
    // SAFETY: the tensor is alive, and its name ends within it.
    unsafe { text(sys::ggml_get_name(tensor)) }
}

fn bytes(tensor: &sys::ggml_tensor) -> f64 {
    // SAFETY: the tensor is alive.
    (unsafe { sys::ggml_nbytes(tensor) }) as f64
}

/// The buffer of a tensor, or of what it is a view of.
fn buffer(tensor: &sys::ggml_tensor) -> sys::ggml_backend_buffer_t {
    // SAFETY: a view's source lives as long as the view.
    match unsafe { tensor.view_src.as_ref() } {
        Some(source) if tensor.buffer.is_null() => source.buffer,
        _ => tensor.buffer,
    }
}

fn is_weight(tensor: &sys::ggml_tensor) -> bool {
    let buffer = buffer(tensor);
    // SAFETY: a buffer of a tensor that is alive.
    let lies_there = !buffer.is_null()
        && unsafe { sys::ggml_backend_buffer_get_usage(buffer) } == sys::GGML_BACKEND_BUFFER_USAGE_WEIGHTS;
    lies_there || copied_weight(&name(tensor)).is_some()
}

/// The weights that this is a copy of, made for a device that they do not lie on: the scheduler calls it
/// `CUDA0#blk.3.ffn_up.weight#0` (ggml-backend.cpp, `ggml_backend_sched_split_graph`).
fn copied_weight(name: &str) -> Option<&str> {
    let (_, rest) = name.split_once('#')?;
    let (weight, _) = rest.rsplit_once('#')?;
    weight.ends_with(".weight").then_some(weight)
}

fn device(tensor: &sys::ggml_tensor) -> String {
    let buffer = buffer(tensor);
    if buffer.is_null() {
        return String::new();
    }
    // SAFETY: a buffer of a tensor that is alive.
    unsafe { computes_in(buffer) }
}

/// The share of a weight that an operation reads: rows that are looked up, experts that are used.
fn share(tensor: &sys::ggml_tensor, weight: &sys::ggml_tensor) -> f64 {
    let (all, used) = match tensor.op {
        sys::GGML_OP_GET_ROWS => (weight.ne[1], tensor.ne[1] * tensor.ne[2]),
        sys::GGML_OP_MUL_MAT_ID => (weight.ne[2], tensor.ne[1] * tensor.ne[2]),
        _ => return 1.0,
    };
    (used as f64 / all.max(1) as f64).min(1.0)
}

fn arithmetic(tensor: &sys::ggml_tensor, sources: &[&sys::ggml_tensor]) -> f64 {
    let elements = |tensor: &sys::ggml_tensor| tensor.ne.iter().map(|length| *length as f64).product::<f64>();
    match (tensor.op, sources) {
        (sys::GGML_OP_MUL_MAT | sys::GGML_OP_MUL_MAT_ID, [first, ..]) => {
            2.0 * elements(tensor) * first.ne[0] as f64
        }
        // Scores and the weighted sum of values, over all places of the cache.
        (sys::GGML_OP_FLASH_ATTN_EXT, [queries, keys, ..]) => 4.0 * elements(queries) * keys.ne[1] as f64,
        _ => 0.0,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn copies_of_weights_are_known_by_their_names() {
        assert_eq!(copied_weight("CUDA0#blk.3.ffn_up.weight#0"), Some("blk.3.ffn_up.weight"));
        for other in ["blk.3.ffn_up.weight", "CUDA0#inp_embd#0", "CUDA0#", "#", ""] {
            assert_eq!(copied_weight(other), None, "{other}");
        }
    }
}
