//! A model that is loaded.

use crate::backend::{Backend, buffer_type, c_text, text};
use crate::{NativeError, log};
use gguflab_types::Configuration;
use gguflab_types::Value;
use llama_cpp_sys_2 as sys;
use std::ffi::CString;
use std::path::Path;
use std::ptr::NonNull;

/// Bytes of one token's text that are reserved when tokenising; llama.cpp says when it needs more.
const TOKENS_PER_BYTE: usize = 1;

/// How a model is loaded.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct ModelSettings {
    /// Layers on GPUs; `None`: llama.cpp's default (all).
    pub gpu_layers: Option<i32>,
    /// `none`, `layer`, `row` or `tensor`.
    pub split_mode: Option<String>,
    /// The GPU for split mode `none` and for small tensors.
    pub main_gpu: Option<i32>,
    /// Shares of the GPUs.
    pub tensor_split: Vec<f32>,
    /// `none`, `mmap`, `mlock`, `mmap+mlock` or `dio`.
    pub load_mode: Option<String>,
    /// Whether weights are rearranged for faster CPU kernels.
    pub repack: Option<bool>,
    /// Pattern (regular expression) and name of the buffer type, first match wins.
    pub overrides: Vec<(String, String)>,
}

impl ModelSettings {
    /// The settings of the knobs whose scope is the model.
    ///
    /// # Errors
    /// [`NativeError::Rejected`] names a setting that cannot be read.
    pub fn from_configuration(configuration: &Configuration) -> Result<ModelSettings, NativeError> {
        let word = |name: &str| match configuration.get(name) {
            Value::Text(text) => Some(text.clone()),
            _ => None,
        };
        let number = |name: &str| configuration.integer(name).and_then(|whole| i32::try_from(whole).ok());
        let moe = (0..configuration.integer("cpu-moe-layers").unwrap_or(0)).map(expert_pattern);
        let mut overrides = overrides(&word("tensor-overrides").unwrap_or_default())?;
        overrides.extend(moe.map(|pattern| (pattern, "CPU".to_string())));
        Ok(ModelSettings {
            gpu_layers: number("gpu-layers"),
            split_mode: word("split-mode"),
            main_gpu: number("main-gpu"),
            tensor_split: shares(&word("tensor-split").unwrap_or_default())?,
            load_mode: word("load-mode"),
            repack: match configuration.get("repack") {
                Value::Switch(on) => Some(*on),
                _ => None,
            },
            overrides,
        })
    }
}

/// The experts of one layer; the pattern is that of llama.cpp's `--n-cpu-moe` (ggml-org/llama.cpp#15077).
fn expert_pattern(layer: i64) -> String {
    format!("blk\\.{layer}\\.ffn_(up|down|gate|gate_up)_(ch|)exps")
}

fn overrides(text: &str) -> Result<Vec<(String, String)>, NativeError> {
    let parts = text.split([',', ';']).filter(|part| !part.trim().is_empty());
    parts
        .map(|part| match part.rsplit_once('=') {
            Some((pattern, buffer)) if buffer_type(buffer.trim()).is_some() => {
                Ok((pattern.to_string(), buffer.trim().to_string()))
            }
            Some((_, buffer)) => Err(NativeError::Rejected(format!("no device has a buffer `{buffer}`"))),
            None => Err(NativeError::Rejected(format!("tensor override `{part}` lacks `=BUFFER`"))),
        })
        .collect()
}

fn shares(text: &str) -> Result<Vec<f32>, NativeError> {
    let parts = text.split(['/', ',']).filter(|part| !part.trim().is_empty());
    let limit = most_devices();
    let read: Result<Vec<f32>, NativeError> = parts
        .map(|part| {
            let share = part.trim().parse::<f32>().ok().filter(|share| share.is_finite() && *share >= 0.0);
            share.ok_or_else(|| NativeError::Rejected(format!("`{part}` is not a share of a GPU")))
        })
        .collect();
    match read {
        Ok(shares) if shares.len() > limit => {
            Err(NativeError::Rejected(format!("{} shares for at most {limit} devices", shares.len())))
        }
        other => other,
    }
}

fn most_devices() -> usize {
    // SAFETY: a constant of the build.
    unsafe { sys::llama_max_devices() }
}

/// A loaded model.
#[derive(Debug)]
pub struct Model {
    pointer: NonNull<sys::llama_model>,
}

impl Model {
    /// Loads a model.
    ///
    /// # Errors
    /// [`NativeError`] with llama.cpp's own reason: file missing, damaged, of an unknown architecture, too large.
    pub fn load(_: &Backend, path: &Path, settings: &ModelSettings) -> Result<Model, NativeError> {
        let path_text = c_text(&path.to_string_lossy());
        let buffers = OverrideBuffers::new(settings);
        let mut split = settings.tensor_split.clone();
        if !split.is_empty() {
            split.resize(most_devices(), 0.0);
        }
        let mut parameters = parameters(settings)?;
        if !split.is_empty() {
            parameters.tensor_split = split.as_ptr();
        }
        if settings.overrides.is_empty() {
            parameters.tensor_buft_overrides = std::ptr::null();
        } else {
            parameters.tensor_buft_overrides = buffers.entries.as_ptr();
        }
        log::clear_errors();
        // SAFETY: path, split and overrides outlive the call; llama.cpp copies what it keeps.
        let pointer = unsafe { sys::llama_model_load_from_file(path_text.as_ptr(), parameters) };
        let what = format!("cannot load {}", path.display());
        NonNull::new(pointer)
            .map(|pointer| Model { pointer })
            .ok_or_else(|| NativeError::from_log(&what, &log::errors()))
    }

    pub(crate) fn as_ptr(&self) -> *mut sys::llama_model {
        self.pointer.as_ptr()
    }

    fn vocabulary(&self) -> *const sys::llama_vocab {
        // SAFETY: the model is alive; its vocabulary lives as long.
        unsafe { sys::llama_model_get_vocab(self.as_ptr()) }
    }

    /// Tokens in the vocabulary.
    #[must_use]
    pub fn vocabulary_size(&self) -> u32 {
        // SAFETY: the vocabulary lives as long as the model.
        u32::try_from(unsafe { sys::llama_vocab_n_tokens(self.vocabulary()) }).unwrap_or(0)
    }

    /// Tokens that layers with a sliding window see; 0 without such layers.
    #[must_use]
    pub fn sliding_window(&self) -> u32 {
        // SAFETY: the model is alive.
        u32::try_from(unsafe { sys::llama_model_n_swa(self.as_ptr()) }).unwrap_or(0)
    }

    /// Whether it can generate: it has a decoder.
    #[must_use]
    pub fn has_decoder(&self) -> bool {
        // SAFETY: the model is alive.
        unsafe { sys::llama_model_has_decoder(self.as_ptr()) }
    }

    /// Whether it needs an encoder pass first.
    #[must_use]
    pub fn has_encoder(&self) -> bool {
        // SAFETY: the model is alive.
        unsafe { sys::llama_model_has_encoder(self.as_ptr()) }
    }

    /// The token that starts a text, if the model adds one.
    #[must_use]
    pub fn start_token(&self) -> Option<i32> {
        // SAFETY: the vocabulary lives as long as the model.
        unsafe {
            let token = sys::llama_vocab_bos(self.vocabulary());
            (sys::llama_vocab_get_add_bos(self.vocabulary()) && token >= 0).then_some(token)
        }
    }

    /// The bytes that a token stands for in a text; empty for one that stands for none, such as a start token.
    #[must_use]
    pub fn piece(&self, token: i32) -> Vec<u8> {
        let mut bytes = vec![0u8; 32];
        for _ in 0..2 {
            let room = i32::try_from(bytes.len()).unwrap_or(i32::MAX);
            // SAFETY: the vocabulary lives as long as the model; the buffer has the room that is stated. A token that is not
            // in the vocabulary would make llama.cpp throw, so it is not asked.
            let count = match u32::try_from(token).is_ok_and(|token| token < self.vocabulary_size()) {
                true => unsafe {
                    sys::llama_token_to_piece(
                        self.vocabulary(),
                        token,
                        bytes.as_mut_ptr().cast(),
                        room,
                        0,
                        false,
                    )
                },
                false => 0,
            };
            match usize::try_from(count) {
                Ok(count) => {
                    bytes.truncate(count);
                    return bytes;
                }
                Err(_) => bytes.resize(count.unsigned_abs() as usize, 0),
            }
        }
        Vec::new()
    }

    /// How a token is written in the vocabulary.
    fn entry(&self, token: i32) -> String {
        // SAFETY: the vocabulary lives as long as the model; callers ask for tokens of it only.
        unsafe { text(sys::llama_vocab_get_text(self.vocabulary(), token)) }
    }

    /// The first way in which the vocabulary of another model differs from this one's, in words; `None` when they are
    /// the same.
    #[must_use]
    pub fn vocabulary_difference(&self, other: &Model) -> Option<String> {
        let (mine, theirs) = (self.vocabulary_size(), other.vocabulary_size());
        if mine != theirs {
            return Some(format!("{mine} tokens against {theirs}"));
        }
        let (start, other_start) = (self.start_token(), other.start_token());
        if start != other_start {
            return Some(format!("start token {start:?} against {other_start:?}"));
        }
        let differs = |token: &i32| self.entry(*token) != other.entry(*token);
        let token = (0..i32::try_from(mine).unwrap_or(i32::MAX)).find(differs)?;
        Some(format!("token {token} is `{}` against `{}`", self.entry(token), other.entry(token)))
    }

    /// The tokens of a text, without start and end tokens.
    ///
    /// # Errors
    /// [`NativeError::Rejected`] when the model has no tokenizer that can do it.
    pub fn tokenize(&self, words: &str) -> Result<Vec<i32>, NativeError> {
        let length =
            i32::try_from(words.len()).map_err(|_| NativeError::Rejected("text over 2 GiB".to_string()))?;
        let mut tokens = vec![0i32; words.len() * TOKENS_PER_BYTE + 8];
        let refused = || NativeError::Rejected("the tokenizer refused the text".to_string());
        for _ in 0..2 {
            let room = i32::try_from(tokens.len()).map_err(|_| refused())?;
            // SAFETY: text and tokens are valid for the lengths that are passed.
            let count = unsafe {
                let (start, tokens) = (words.as_ptr().cast(), tokens.as_mut_ptr());
                sys::llama_tokenize(self.vocabulary(), start, length, tokens, room, false, false)
            };
            match usize::try_from(count) {
                Ok(count) => {
                    tokens.truncate(count);
                    return Ok(tokens);
                }
                // A negative count is the room that is needed; i32::MIN is an overflow.
                Err(_) => tokens.resize(
                    count.checked_neg().and_then(|n| usize::try_from(n).ok()).ok_or_else(refused)?,
                    0,
                ),
            }
        }
        Err(refused())
    }
}

impl Drop for Model {
    fn drop(&mut self) {
        // SAFETY: made by llama_model_load_from_file and freed once; contexts borrow the model, so none is left.
        unsafe { sys::llama_model_free(self.as_ptr()) };
    }
}

fn parameters(settings: &ModelSettings) -> Result<sys::llama_model_params, NativeError> {
    // SAFETY: returns a plain struct.
    let mut parameters = unsafe { sys::llama_model_default_params() };
    if let Some(layers) = settings.gpu_layers {
        parameters.n_gpu_layers = layers;
    }
    if let Some(gpu) = settings.main_gpu {
        parameters.main_gpu = gpu;
    }
    if let Some(repack) = settings.repack {
        parameters.use_extra_bufts = repack;
    }
    if let Some(mode) = &settings.split_mode {
        parameters.split_mode = match mode.as_str() {
            "none" => sys::LLAMA_SPLIT_MODE_NONE,
            "layer" => sys::LLAMA_SPLIT_MODE_LAYER,
            "row" => sys::LLAMA_SPLIT_MODE_ROW,
            "tensor" => sys::LLAMA_SPLIT_MODE_TENSOR,
            other => return Err(NativeError::Rejected(format!("no split mode `{other}`"))),
        };
    }
    if let Some(mode) = &settings.load_mode {
        parameters.load_mode = match mode.as_str() {
            "none" => sys::LLAMA_LOAD_MODE_NONE,
            "mmap" => sys::LLAMA_LOAD_MODE_MMAP,
            "mlock" => sys::LLAMA_LOAD_MODE_MLOCK,
            "mmap+mlock" => sys::LLAMA_LOAD_MODE_MMAP_MLOCK,
            "dio" => sys::LLAMA_LOAD_MODE_DIRECT_IO,
            other => return Err(NativeError::Rejected(format!("no load mode `{other}`"))),
        };
    }
    Ok(parameters)
}

/// Tensor overrides as llama.cpp takes them: an array that ends with a NULL pattern.
struct OverrideBuffers {
    _patterns: Vec<CString>,
    entries: Vec<sys::llama_model_tensor_buft_override>,
}

impl OverrideBuffers {
    fn new(settings: &ModelSettings) -> OverrideBuffers {
        let patterns: Vec<CString> = settings.overrides.iter().map(|(pattern, _)| c_text(pattern)).collect();
        let buffers = settings.overrides.iter().map(|(_, buffer)| buffer_type(buffer));
        let mut entries: Vec<_> = patterns
            .iter()
            .zip(buffers)
            .filter_map(|(pattern, buffer)| {
                Some(sys::llama_model_tensor_buft_override { pattern: pattern.as_ptr(), buft: buffer? })
            })
            .collect();
        let end =
            sys::llama_model_tensor_buft_override { pattern: std::ptr::null(), buft: std::ptr::null_mut() };
        entries.push(end);
        OverrideBuffers { _patterns: patterns, entries }
    }
}
