//! A context: the working memory of a loaded model, and decoding in it.

use crate::model::Model;
use crate::{NativeError, log, observe};
use gguflab_types::{Configuration, Value};
use llama_cpp_sys_2 as sys;
use std::ffi::c_void;
use std::marker::PhantomData;
use std::ptr::NonNull;
use std::sync::atomic::{AtomicBool, Ordering};

/// Set to make the current decode return early (CPU backend only).
static ABORT: AtomicBool = AtomicBool::new(false);

/// Asks the current decode to return early, or takes that back.
pub fn set_abort(on: bool) {
    ABORT.store(on, Ordering::Relaxed);
}

/// How a context is made.
#[derive(Debug, Clone, PartialEq)]
pub struct ContextSettings {
    /// Tokens that each sequence's cache holds.
    pub tokens_per_sequence: u32,
    /// Sequences.
    pub sequences: u32,
    /// Threads for generation.
    pub threads: i32,
    /// Threads for prompts.
    pub threads_batch: i32,
    /// Logical batch; `None`: llama.cpp's default.
    pub batch: Option<u32>,
    /// Physical batch; `None`: llama.cpp's default.
    pub ubatch: Option<u32>,
    /// Flash attention; `None`: where it can be used.
    pub flash_attention: Option<bool>,
    /// Types of the K and the V cache, `None`: f16.
    pub cache_types: [Option<String>; 2],
    /// KV cache on the GPU; `None`: llama.cpp's default.
    pub kv_offload: Option<bool>,
    /// Operations on weights in host memory by the GPU; `None`: llama.cpp's default.
    pub op_offload: Option<bool>,
    /// How rotary positions are scaled (`none`, `linear`, `yarn`); `None`: as the model says.
    pub rope_scaling: Option<String>,
    /// Base frequency of rotary positions; `None`: as the model says.
    pub rope_freq_base: Option<f64>,
    /// Factor on rotary positions; `None`: as the model says.
    pub rope_freq_scale: Option<f64>,
    /// Whether its operations can be observed ([`crate::observe`]); that may cost a little even while nobody does.
    pub observed: bool,
}

impl ContextSettings {
    /// The settings of the knobs whose scope is the context. `threads` is what `auto` stands for.
    #[must_use]
    pub fn from_configuration(configuration: &Configuration, threads: u32) -> ContextSettings {
        let size = |name: &str| configuration.integer(name).and_then(|whole| u32::try_from(whole).ok());
        let count = |name: &str| size(name).and_then(|whole| i32::try_from(whole).ok());
        let switch = |name: &str| match configuration.get(name) {
            Value::Switch(on) => Some(*on),
            _ => None,
        };
        let word = |name: &str| match configuration.get(name) {
            Value::Text(text) => Some(text.clone()),
            _ => None,
        };
        let generation = count("threads").unwrap_or_else(|| i32::try_from(threads).unwrap_or(1));
        ContextSettings {
            tokens_per_sequence: 512,
            sequences: 1,
            threads: generation,
            threads_batch: count("threads-batch").unwrap_or(generation),
            batch: size("batch"),
            ubatch: size("ubatch"),
            flash_attention: word("flash-attention").map(|word| word == "on"),
            cache_types: [word("cache-type-k"), word("cache-type-v")],
            kv_offload: switch("kv-offload"),
            op_offload: switch("op-offload"),
            rope_scaling: word("rope-scaling"),
            rope_freq_base: configuration.get("rope-freq-base").as_number(),
            rope_freq_scale: configuration.get("rope-freq-scale").as_number(),
            observed: false,
        }
    }

    /// Whether the other settings differ in threads alone, which can be changed without a new context.
    #[must_use]
    pub fn differs_in_threads_only(&self, other: &ContextSettings) -> bool {
        let same =
            ContextSettings { threads: self.threads, threads_batch: self.threads_batch, ..other.clone() };
        *self == same
    }
}

/// One token of a batch.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct BatchToken {
    /// The token.
    pub token: i32,
    /// Its position in its sequence.
    pub position: i32,
    /// Its sequence.
    pub sequence: i32,
    /// Whether logits are wanted.
    pub output: bool,
}

/// A context of a model.
#[derive(Debug)]
pub struct Context<'model> {
    pointer: NonNull<sys::llama_context>,
    vocabulary: u32,
    batch: u32,
    /// Rows of logits that the last batch left.
    rows: usize,
    model: PhantomData<&'model Model>,
}

impl<'model> Context<'model> {
    /// Makes a context.
    ///
    /// # Errors
    /// [`NativeError`] with llama.cpp's own reason: settings that do not go together, too little memory.
    pub fn new(model: &'model Model, settings: &ContextSettings) -> Result<Context<'model>, NativeError> {
        let parameters = parameters(settings)?;
        log::clear_errors();
        // SAFETY: the model is alive, and outlives the context by the lifetime of the return value.
        let pointer = unsafe { sys::llama_init_from_model(model.as_ptr(), parameters) };
        let pointer = NonNull::new(pointer)
            .ok_or_else(|| NativeError::from_log("the context cannot be made", &log::errors()))?;
        // SAFETY: the context is alive.
        let batch = unsafe { sys::llama_n_batch(pointer.as_ptr()) };
        Ok(Context { pointer, vocabulary: model.vocabulary_size(), batch, rows: 0, model: PhantomData })
    }

    /// Tokens that one call of [`Context::decode`] may take.
    #[must_use]
    pub fn batch(&self) -> usize {
        self.batch as usize
    }

    /// Changes the threads.
    pub fn set_threads(&mut self, threads: i32, threads_batch: i32) {
        // SAFETY: the context is alive.
        unsafe { sys::llama_set_n_threads(self.pointer.as_ptr(), threads, threads_batch) };
    }

    /// Decodes a batch and waits until it is done.
    ///
    /// # Errors
    /// [`NativeError`]: too many tokens or a token that is not in the vocabulary (llama.cpp would abort or
    /// misbehave), no room in the cache, aborted.
    pub fn decode(&mut self, tokens: &[BatchToken]) -> Result<(), NativeError> {
        self.check(tokens)?;
        // The callback is looked at by the CPU backend only, and between the nodes of a graph.
        if ABORT.load(Ordering::Relaxed) {
            return Err(NativeError::Aborted);
        }
        let mut arrays = BatchArrays::new(tokens);
        self.rows = 0;
        log::clear_errors();
        let decoding = log::Decoding::begin();
        // SAFETY: the arrays live through the call and have the length that the batch states; the context is alive.
        let code = unsafe {
            let code = sys::llama_decode(self.pointer.as_ptr(), arrays.batch());
            sys::llama_synchronize(self.pointer.as_ptr());
            code
        };
        drop(decoding);
        match code {
            0 => {
                self.rows = tokens.iter().filter(|token| token.output).count();
                Ok(())
            }
            1 => Err(NativeError::Rejected(
                "no room in the cache for the batch: the context is too small".to_string(),
            )),
            2 => Err(NativeError::Aborted),
            other => Err(NativeError::from_log(&format!("decode failed with code {other}"), &log::errors())),
        }
    }

    /// The logits of what follows a token of the last batch, one for each token of the vocabulary. `index` is the place
    /// of the token in that batch.
    ///
    /// # Errors
    /// [`NativeError::Rejected`] when no logits were asked for there.
    pub fn logits(&mut self, index: usize) -> Result<&[f32], NativeError> {
        let place = i32::try_from(index).unwrap_or(i32::MAX);
        // SAFETY: the context is alive; a place without logits gives NULL.
        let row = unsafe { sys::llama_get_logits_ith(self.pointer.as_ptr(), place) };
        if row.is_null() {
            return Err(NativeError::Rejected(format!("no logits for place {index} of the batch")));
        }
        // SAFETY: a row has as many values as the vocabulary has tokens, and stays until the next call that needs the
        // context exclusively.
        Ok(unsafe { std::slice::from_raw_parts(row, self.vocabulary as usize) })
    }

    /// All rows of logits that the last batch left, one after the other in the order of its tokens; empty when none were
    /// asked for.
    ///
    /// # Errors
    /// [`NativeError::Rejected`] when the context keeps none.
    pub fn all_logits(&mut self) -> Result<&[f32], NativeError> {
        if self.rows == 0 {
            return Ok(&[]);
        }
        // SAFETY: the context is alive; one that keeps no logits gives NULL.
        let start = unsafe { sys::llama_get_logits(self.pointer.as_ptr()) };
        if start.is_null() {
            return Err(NativeError::Rejected("the context keeps no logits".to_string()));
        }
        // SAFETY: the rows of the last batch lie one after the other in the order of its tokens, as many as asked for
        // logits, each with as many values as the vocabulary has tokens; they stay until the next call that needs the
        // context exclusively.
        Ok(unsafe { std::slice::from_raw_parts(start, self.rows * self.vocabulary as usize) })
    }

    fn check(&self, tokens: &[BatchToken]) -> Result<(), NativeError> {
        if tokens.is_empty() || tokens.len() > self.batch() {
            let text = format!("{} tokens in a batch of {}", tokens.len(), self.batch());
            return Err(NativeError::Rejected(text));
        }
        let known =
            |token: &BatchToken| u32::try_from(token.token).is_ok_and(|token| token < self.vocabulary);
        match tokens.iter().find(|token| !known(token)) {
            Some(token) => {
                Err(NativeError::Rejected(format!("token {} is not in the vocabulary", token.token)))
            }
            None => Ok(()),
        }
    }

    /// The oldest position of a sequence that every kind of memory still holds; −1 when it is empty.
    #[must_use]
    pub fn oldest(&self, sequence: i32) -> i32 {
        // SAFETY: the context is alive; its memory belongs to it.
        unsafe { sys::llama_memory_seq_pos_min(sys::llama_get_memory(self.pointer.as_ptr()), sequence) }
    }

    /// Forgets everything from this position on in a sequence; `false` when the kind of memory cannot do that.
    pub fn forget_from(&mut self, sequence: i32, position: i32) -> bool {
        // SAFETY: the context is alive; its memory belongs to it.
        unsafe {
            sys::llama_memory_seq_rm(sys::llama_get_memory(self.pointer.as_ptr()), sequence, position, -1)
        }
    }

    /// Forgets everything.
    pub fn forget_all(&mut self) {
        // SAFETY: as above. The data need not be cleared: cells without a position are masked.
        unsafe { sys::llama_memory_clear(sys::llama_get_memory(self.pointer.as_ptr()), false) };
    }
}

impl Drop for Context<'_> {
    fn drop(&mut self) {
        // SAFETY: made by llama_init_from_model, freed once.
        unsafe { sys::llama_free(self.pointer.as_ptr()) };
    }
}

extern "C" fn on_abort_check(_: *mut c_void) -> bool {
    ABORT.load(Ordering::Relaxed)
}

fn parameters(settings: &ContextSettings) -> Result<sys::llama_context_params, NativeError> {
    let size = settings.tokens_per_sequence.checked_mul(settings.sequences.max(1));
    let size =
        size.ok_or_else(|| NativeError::Rejected("a context of over 4,294,967,295 tokens".to_string()))?;
    // SAFETY: returns a plain struct.
    let mut parameters = unsafe { sys::llama_context_default_params() };
    parameters.n_ctx = size;
    parameters.n_seq_max = settings.sequences.max(1);
    parameters.n_threads = settings.threads;
    parameters.n_threads_batch = settings.threads_batch;
    parameters.n_batch = settings.batch.unwrap_or(parameters.n_batch);
    parameters.n_ubatch = settings.ubatch.unwrap_or(parameters.n_ubatch);
    parameters.flash_attn_type = match settings.flash_attention {
        None => sys::LLAMA_FLASH_ATTN_TYPE_AUTO,
        Some(true) => sys::LLAMA_FLASH_ATTN_TYPE_ENABLED,
        Some(false) => sys::LLAMA_FLASH_ATTN_TYPE_DISABLED,
    };
    let [k, v] = &settings.cache_types;
    parameters.type_k = cache_type(k.as_deref(), parameters.type_k)?;
    parameters.type_v = cache_type(v.as_deref(), parameters.type_v)?;
    parameters.offload_kqv = settings.kv_offload.unwrap_or(parameters.offload_kqv);
    parameters.op_offload = settings.op_offload.unwrap_or(parameters.op_offload);
    parameters.rope_scaling_type =
        rope_scaling(settings.rope_scaling.as_deref(), parameters.rope_scaling_type)?;
    // llama.cpp takes 0 for what the model says.
    parameters.rope_freq_base = settings.rope_freq_base.map_or(parameters.rope_freq_base, |base| base as f32);
    parameters.rope_freq_scale =
        settings.rope_freq_scale.map_or(parameters.rope_freq_scale, |scale| scale as f32);
    parameters.swa_full = false;
    parameters.abort_callback = Some(on_abort_check);
    if settings.observed {
        parameters.cb_eval = Some(observe::on_operation);
    }
    Ok(parameters)
}

fn rope_scaling(
    name: Option<&str>,
    default: sys::llama_rope_scaling_type,
) -> Result<sys::llama_rope_scaling_type, NativeError> {
    Ok(match name {
        None => default,
        Some("none") => sys::LLAMA_ROPE_SCALING_TYPE_NONE,
        Some("linear") => sys::LLAMA_ROPE_SCALING_TYPE_LINEAR,
        Some("yarn") => sys::LLAMA_ROPE_SCALING_TYPE_YARN,
        Some(other) => return Err(NativeError::Rejected(format!("no RoPE scaling `{other}`"))),
    })
}

fn cache_type(name: Option<&str>, default: sys::ggml_type) -> Result<sys::ggml_type, NativeError> {
    Ok(match name {
        None => default,
        Some("f32") => sys::GGML_TYPE_F32,
        Some("f16") => sys::GGML_TYPE_F16,
        Some("bf16") => sys::GGML_TYPE_BF16,
        Some("q8_0") => sys::GGML_TYPE_Q8_0,
        Some("q4_0") => sys::GGML_TYPE_Q4_0,
        Some("q4_1") => sys::GGML_TYPE_Q4_1,
        Some("iq4_nl") => sys::GGML_TYPE_IQ4_NL,
        Some("q5_0") => sys::GGML_TYPE_Q5_0,
        Some("q5_1") => sys::GGML_TYPE_Q5_1,
        Some(other) => return Err(NativeError::Rejected(format!("no cache type `{other}`"))),
    })
}

/// A batch as llama.cpp takes it: parallel arrays.
struct BatchArrays {
    tokens: Vec<i32>,
    positions: Vec<i32>,
    counts: Vec<i32>,
    _sequences: Vec<i32>,
    sequence_pointers: Vec<*mut i32>,
    outputs: Vec<i8>,
}

impl BatchArrays {
    fn new(tokens: &[BatchToken]) -> BatchArrays {
        let mut sequences: Vec<i32> = tokens.iter().map(|token| token.sequence).collect();
        let start = sequences.as_mut_ptr();
        BatchArrays {
            tokens: tokens.iter().map(|token| token.token).collect(),
            positions: tokens.iter().map(|token| token.position).collect(),
            counts: vec![1; tokens.len()],
            // SAFETY: each offset lies within the vector, which is moved but never resized afterwards.
            sequence_pointers: (0..tokens.len()).map(|index| unsafe { start.add(index) }).collect(),
            _sequences: sequences,
            outputs: tokens.iter().map(|token| i8::from(token.output)).collect(),
        }
    }

    fn batch(&mut self) -> sys::llama_batch {
        sys::llama_batch {
            n_tokens: i32::try_from(self.tokens.len()).unwrap_or(i32::MAX),
            token: self.tokens.as_mut_ptr(),
            embd: std::ptr::null_mut(),
            pos: self.positions.as_mut_ptr(),
            n_seq_id: self.counts.as_mut_ptr(),
            seq_id: self.sequence_pointers.as_mut_ptr(),
            logits: self.outputs.as_mut_ptr(),
        }
    }
}
