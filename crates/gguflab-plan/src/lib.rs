//! Memory models: what a configuration needs, and what fits. Pure: header and settings in, bytes out.
//!
//! Exact placement of tensors and allocation of types come beside [`memory`].

pub mod device;
pub mod memory;

pub use device::LayerBytes;
pub use memory::{CacheType, Need, cache_bytes, largest_context, need};
