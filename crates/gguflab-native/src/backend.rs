//! llama.cpp as a whole: start, build, features, devices.

use gguflab_types::machine::Device;
use llama_cpp_sys_2 as sys;
use std::ffi::{CStr, CString, c_char};
use std::sync::OnceLock;
use std::sync::atomic::{AtomicBool, Ordering};

/// The llama.cpp that is linked in; the crate's version is pinned in the workspace manifest, and a test holds
/// the two together.
pub const ENGINE: &str = "llama.cpp b11434 (llama-cpp-sys-2 0.1.161)";

static STARTED: AtomicBool = AtomicBool::new(false);

/// llama.cpp, started. There is one in a process.
#[derive(Debug)]
pub struct Backend(());

impl Backend {
    /// Starts llama.cpp; `None` when it was started before. `numa` is `distribute`, `isolate`, `numactl` or
    /// nothing.
    #[must_use]
    pub fn start(numa: Option<&str>) -> Option<Backend> {
        if STARTED.swap(true, Ordering::SeqCst) {
            return None;
        }
        // SAFETY: called once, before any other call into llama.cpp.
        unsafe { sys::llama_backend_init() };
        let strategy = match numa {
            Some("distribute") => sys::GGML_NUMA_STRATEGY_DISTRIBUTE,
            Some("isolate") => sys::GGML_NUMA_STRATEGY_ISOLATE,
            Some("numactl") => sys::GGML_NUMA_STRATEGY_NUMACTL,
            _ => return Some(Backend(())),
        };
        // SAFETY: after llama_backend_init, before any thread of llama.cpp.
        unsafe { sys::llama_numa_init(strategy) };
        Some(Backend(()))
    }

    /// The build: llama.cpp, ggml's version and commit.
    #[must_use]
    pub fn build(&self) -> String {
        // SAFETY: both return static texts.
        let (version, commit) = unsafe { (text(sys::ggml_version()), text(sys::ggml_commit())) };
        let commit = if commit == "unknown" { String::new() } else { format!(" ({commit})") };
        format!("{ENGINE}, ggml {version}{commit}")
    }

    /// Instruction sets and libraries that the engine was built with and uses, such as `AVX512`.
    #[must_use]
    pub fn features(&self) -> Vec<String> {
        // SAFETY: returns a text that is valid until the next call; copied at once.
        parse_features(&unsafe { text(sys::llama_print_system_info()) })
    }

    /// Backends that are registered, such as `CPU` and `RPC`.
    #[must_use]
    pub fn backends(&self) -> Vec<String> {
        // SAFETY: indices below the count are valid; names are static.
        unsafe {
            (0..sys::ggml_backend_reg_count())
                .map(|index| text(sys::ggml_backend_reg_name(sys::ggml_backend_reg_get(index))))
                .collect()
        }
    }

    /// The devices besides the CPU.
    #[must_use]
    pub fn devices(&self) -> Vec<Device> {
        every_device().filter_map(|handle| describe(handle, cpu_type())).collect()
    }
}

fn cpu_type() -> sys::ggml_backend_dev_type {
    sys::GGML_BACKEND_DEVICE_TYPE_CPU
}

pub(crate) fn every_device() -> impl Iterator<Item = sys::ggml_backend_dev_t> {
    // SAFETY: plain enumeration; handles stay valid for the life of the process.
    (0..unsafe { sys::ggml_backend_dev_count() }).map(|index| unsafe { sys::ggml_backend_dev_get(index) })
}

/// Whether the engine has a GPU, used or not.
#[must_use]
pub fn has_gpu() -> bool {
    static FOUND: OnceLock<bool> = OnceLock::new();
    *FOUND.get_or_init(|| {
        let gpus = [sys::GGML_BACKEND_DEVICE_TYPE_GPU, sys::GGML_BACKEND_DEVICE_TYPE_IGPU];
        // SAFETY: handles come from the enumeration.
        every_device().any(|handle| gpus.contains(&unsafe { sys::ggml_backend_dev_type(handle) }))
    })
}

fn describe(handle: sys::ggml_backend_dev_t, skip: sys::ggml_backend_dev_type) -> Option<Device> {
    // SAFETY: the handle comes from the enumeration above; the out-pointers are valid.
    unsafe {
        let kind = sys::ggml_backend_dev_type(handle);
        if kind == skip {
            return None;
        }
        let (mut free, mut total) = (0usize, 0usize);
        sys::ggml_backend_dev_memory(handle, &raw mut free, &raw mut total);
        Some(Device {
            name: text(sys::ggml_backend_dev_name(handle)),
            description: text(sys::ggml_backend_dev_description(handle)),
            memory_total: total as u64,
            memory_free: free as u64,
            driver: None,
            gpu: kind == sys::GGML_BACKEND_DEVICE_TYPE_GPU || kind == sys::GGML_BACKEND_DEVICE_TYPE_IGPU,
        })
    }
}

/// The buffer type of this name: that of a device (`CPU`, `CUDA0`, `RPC0`).
pub(crate) fn buffer_type(name: &str) -> Option<sys::ggml_backend_buffer_type_t> {
    every_device().find_map(|handle| {
        // SAFETY: the handle comes from the enumeration; names are static.
        unsafe {
            let buffer = sys::ggml_backend_dev_buffer_type(handle);
            let known = [text(sys::ggml_backend_buft_name(buffer)), text(sys::ggml_backend_dev_name(handle))];
            known.iter().any(|known| known.eq_ignore_ascii_case(name)).then_some(buffer)
        }
    })
}

/// The name of the device that computes what lies in this buffer. Memory of the host is the processor's, whoever gave it: with
/// a GPU the processor's results lie in memory that the GPU can read too.
///
/// # Safety
/// `buffer` is alive.
pub(crate) unsafe fn computes_in(buffer: sys::ggml_backend_buffer_t) -> String {
    // SAFETY: by the contract of this function; kinds of memory and devices live as long as the process.
    unsafe {
        let memory = sys::ggml_backend_buffer_get_type(buffer);
        let device = match sys::ggml_backend_buft_is_host(memory) {
            true => sys::ggml_backend_dev_by_type(cpu_type()),
            false => sys::ggml_backend_buft_get_device(memory),
        };
        match device.is_null() {
            true => text(sys::ggml_backend_buft_name(memory)),
            false => text(sys::ggml_backend_dev_name(device)),
        }
    }
}

/// A copy of a static or short-lived C text.
///
/// # Safety
/// `pointer` is NULL or points to a NUL-terminated text.
pub(crate) unsafe fn text(pointer: *const c_char) -> String {
    if pointer.is_null() {
        return String::new();
    }
    // SAFETY: by the contract of this function.
    unsafe { CStr::from_ptr(pointer) }.to_string_lossy().into_owned()
}

/// A C text, cut at the first NUL.
pub(crate) fn c_text(text: &str) -> CString {
    let cut = text.split('\0').next().unwrap_or_default();
    CString::new(cut).unwrap_or_default()
}

/// Features that are on, from `CPU : AVX2 = 1 | AVX512 = 1 | OPENMP = 1 | … |`.
fn parse_features(information: &str) -> Vec<String> {
    let parts = information.split(['|', ':']);
    let on = parts.filter_map(|part| part.split_once('=').filter(|(_, value)| value.trim() != "0"));
    on.map(|(name, value)| match value.trim() {
        "1" => name.trim().to_string(),
        number => format!("{}={number}", name.trim()),
    })
    .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn features_that_are_on_are_named() {
        let text = "CPU : SSE3 = 1 | AVX2 = 1 | AVX512 = 0 | LLAMAFILE = 1 | OPENMP = 1 | REPACK = 1 | ";
        assert_eq!(parse_features(text), ["SSE3", "AVX2", "LLAMAFILE", "OPENMP", "REPACK"]);
    }

    #[test]
    fn the_name_of_the_engine_is_that_of_the_pinned_crate() {
        let manifest = include_str!("../../../Cargo.toml");
        let version = ENGINE.split("llama-cpp-sys-2 ").nth(1).unwrap().trim_end_matches(')');
        assert!(manifest.contains(&format!("llama-cpp-sys-2 = {{ version = \"={version}\"")), "{version}");
    }
}
