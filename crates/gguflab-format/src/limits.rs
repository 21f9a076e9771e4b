//! Named limits on every count and length that a GGUF file states about itself.
//!
//! A header is believed only within these limits, so that a crafted or damaged file can neither overflow the
//! stack nor make the reader allocate more than the bytes that are really there justify. Each limit is far
//! above what real models use (noted beside it, as seen in models of 2026).

/// Metadata pairs in one file. Real models have 20 to 80.
pub const METADATA_PAIRS: u64 = 65_536;

/// Bytes in a metadata key. The format's own rule (`docs/gguf.md` of ggml: at most 2^16 - 1).
pub const KEY_BYTES: u64 = 65_535;

/// Bytes in one string value. The longest real ones are chat templates of about 100 kB.
pub const STRING_BYTES: u64 = 64 << 20;

/// Elements in one metadata array. The largest real ones are merges, about half a million.
pub const ARRAY_ELEMENTS: u64 = 1 << 26;

/// Bytes of all strings of one array. The largest real ones are about 10 MB.
pub const ARRAY_BYTES: u64 = 512 << 20;

/// Depth of arrays inside arrays. Real models have none (llama.cpp refuses them); reading is recursive, so
/// without a limit a file could overflow the stack.
pub const ARRAY_DEPTH: u32 = 4;

/// Arrays inside one array, see [`ARRAY_DEPTH`].
pub const ARRAYS_IN_ARRAY: u64 = 65_536;

/// Tensors in one file. Mixture models with one tensor per expert have about 50,000.
pub const TENSORS: u64 = 1 << 20;

/// Bytes in a tensor name that is read. llama.cpp loads at most [`LOADABLE_TENSOR_NAME_BYTES`].
pub const TENSOR_NAME_BYTES: u64 = 4_096;

/// Bytes in a tensor name that llama.cpp loads (`GGML_MAX_NAME` is 64, with the closing zero).
pub const LOADABLE_TENSOR_NAME_BYTES: usize = 63;

/// Dimensions of a tensor (`GGML_MAX_DIMS`).
pub const DIMENSIONS: u32 = 4;

/// Elements in a tensor: ggml counts them in a signed 64-bit number.
pub const TENSOR_ELEMENTS: u64 = i64::MAX as u64;

/// Bytes of alignment of the data section; a power of two. Real models use 32.
pub const ALIGNMENT: u64 = 1 << 20;

/// Bytes of a whole header. The largest real ones are about 20 MB.
pub const HEADER_BYTES: u64 = 1 << 30;

/// Parts of a split model (`split.count` is a 16-bit number).
pub const SPLIT_PARTS: u32 = 65_535;
