//! What a device can do at best, measured through the engine's own products on it: bytes that are read from its memory and
//! multiplications and additions in a second. So it is the same for a processor and for any kind of GPU.

use crate::backend::{every_device, text};
use crate::{NativeError, log};
use llama_cpp_sys_2 as sys;
use std::ffi::c_void;
use std::ptr::{NonNull, null, null_mut};
use std::time::Instant;

/// Least rounds; the best one counts, as in STREAM (McCalpin 1995): whatever else happens only makes a round slower.
const ROUNDS: usize = 3;
/// Seconds in which rounds go on.
const SPAN: f64 = 0.1;
/// Seconds of a round: products that take less are run again and again in it. Short, so that some rounds are undisturbed on
/// a machine that does other things too.
const ROUND: f64 = 0.002;
/// Most runs of a round.
const MOST_RUNS: f64 = 1000.0;

/// Bytes that are read for each thread of a processor: more than its share of any cache.
const BYTES_OF_THREAD: usize = 128 << 20;
/// Bytes that are read at most, and by devices other than processors.
const MOST_BYTES: usize = 1 << 30;
/// Fewer could lie in a cache, and would tell its speed for that of memory.
const LEAST_BYTES: usize = 64 << 20;
/// Numbers in a row of what is read.
const WIDTH: i64 = 4096;
/// Any byte that makes a number of ordinary size when it is repeated.
const FILLING: u8 = 0x33;

/// Rows, columns and depth of the smallest product, and of the largest.
const SIDES: std::ops::RangeInclusive<i64> = 512..=8192;
/// Seconds of one product from which on a larger one is no faster.
const LONG_ENOUGH: f64 = 0.002;
/// Bytes of a product for each of its places, with what a backend takes besides to convert its operands.
const BYTES_OF_PLACE: i64 = 16;
/// Share of the free memory that is taken at most: a backend that runs out of it ends the process.
const SHARE_OF_FREE: usize = 4;

/// A device that is measured.
#[derive(Debug)]
pub struct Probe {
    device: sys::ggml_backend_dev_t,
    backend: NonNull<sys::ggml_backend>,
    threads: u32,
}

impl Probe {
    /// Opens the device of this name (`CPU`, `CUDA0`); processors use so many threads.
    ///
    /// # Errors
    /// There is no such device, or it cannot be opened.
    pub fn open(device: &str, threads: u32) -> Result<Probe, NativeError> {
        // SAFETY: handles come from the enumeration; names are static.
        let found =
            every_device().find(|handle| unsafe { text(sys::ggml_backend_dev_name(*handle)) } == device);
        let found =
            found.ok_or_else(|| NativeError::Rejected(format!("the engine has no device `{device}`")))?;
        log::clear_errors();
        // SAFETY: the handle comes from the enumeration; no parameters are allowed.
        let backend = unsafe { sys::ggml_backend_dev_init(found, null()) };
        let backend = NonNull::new(backend)
            .ok_or_else(|| NativeError::from_log("the device cannot be opened", &log::errors()))?;
        let probe = Probe { device: found, backend, threads: threads.max(1) };
        probe.set_threads();
        Ok(probe)
    }

    /// Whether it is a processor, which threads are measured with.
    #[must_use]
    pub fn is_processor(&self) -> bool {
        // SAFETY: the handle is valid for the life of the process.
        unsafe { sys::ggml_backend_dev_type(self.device) == sys::GGML_BACKEND_DEVICE_TYPE_CPU }
    }

    /// Bytes of weights that a product with one vector reads in a second, from an array larger than caches.
    ///
    /// # Errors
    /// Too little memory is free, or the device does not do it.
    pub fn bandwidth(&self) -> Result<f64, NativeError> {
        let wanted = match self.is_processor() {
            true => BYTES_OF_THREAD.saturating_mul(self.threads as usize).min(MOST_BYTES),
            false => MOST_BYTES,
        };
        let bytes = wanted.min(self.spare_memory());
        if bytes < LEAST_BYTES {
            let free = self.spare_memory() * SHARE_OF_FREE;
            return Err(NativeError::Rejected(format!("too little memory is free: {free} bytes")));
        }
        let rows = i64::try_from(bytes / (WIDTH as usize * size_of::<f32>())).unwrap_or(1);
        let shape = Shape { width: WIDTH, rows, columns: 1 };
        let product = Product::new(self, self.own_memory(), sys::GGML_TYPE_F32, shape)?;
        // SAFETY: the buffer of tensors that are alive.
        unsafe { sys::ggml_backend_buffer_clear(product.weights.buffer, FILLING) };
        product.fill(product.vectors);
        let seconds = product.best(product.warm_up()?)?;
        Ok((WIDTH * rows) as f64 * size_of::<f32>() as f64 / seconds)
    }

    /// Multiplications and additions in a second, in products of large matrices with weights of this type (`q4_K`). Where
    /// the engine keeps weights in several ways the fastest one counts.
    ///
    /// # Errors
    /// The type is unknown, the device does no products with it, or memory is short.
    pub fn products(&self, weights: &str) -> Result<f64, NativeError> {
        let kind = (0..sys::GGML_TYPE_COUNT)
            // SAFETY: every number below the count has a static name.
            .find(|kind| unsafe { text(sys::ggml_type_name(*kind)) } == weights)
            .ok_or_else(|| NativeError::Rejected(format!("the engine has no type `{weights}`")))?;
        let plain = self.rate(self.own_memory(), kind);
        let others = self.further_memories().into_iter().filter_map(|memory| self.rate(memory, kind).ok());
        others.fold(plain, |best, rate| Ok(best.map_or(rate, |best| best.max(rate))))
    }

    /// Products grow until one takes long enough to keep the whole device busy.
    fn rate(
        &self,
        memory: sys::ggml_backend_buffer_type_t,
        kind: sys::ggml_type,
    ) -> Result<f64, NativeError> {
        let mut side = *SIDES.start();
        loop {
            let shape = Shape { width: side, rows: side, columns: side };
            let product = Product::new(self, memory, kind, shape)?;
            product.fill(product.matrix);
            product.fill(product.vectors);
            let once = product.warm_up()?;
            let next = side * 2;
            let fits =
                usize::try_from(next * next * BYTES_OF_PLACE).is_ok_and(|most| most <= self.spare_memory());
            if once >= LONG_ENOUGH || !fits || !SIDES.contains(&next) {
                return Ok(2.0 * (side as f64).powi(3) / product.best(once)?);
            }
            side = next;
        }
    }

    fn own_memory(&self) -> sys::ggml_backend_buffer_type_t {
        // SAFETY: the handle is valid for the life of the process.
        unsafe { sys::ggml_backend_dev_buffer_type(self.device) }
    }

    /// Memories in which weights are laid out anew for faster products; the engine prefers them where it can.
    fn further_memories(&self) -> Vec<sys::ggml_backend_buffer_type_t> {
        // SAFETY: a function of this name has this type (ggml-backend.h); it gives NULL or a list that ends with NULL and
        // lives as long as the process.
        unsafe {
            let registry = sys::ggml_backend_dev_backend_reg(self.device);
            let name = c"ggml_backend_dev_get_extra_bufts".as_ptr();
            let function = sys::ggml_backend_reg_get_proc_address(registry, name);
            let function =
                std::mem::transmute::<*mut c_void, sys::ggml_backend_dev_get_extra_bufts_t>(function);
            let list = function.map_or(null_mut(), |function| function(self.device));
            if list.is_null() {
                return Vec::new();
            }
            (0..).map(|place| *list.add(place)).take_while(|memory| !memory.is_null()).collect()
        }
    }

    fn set_threads(&self) {
        let threads = i32::try_from(self.threads).unwrap_or(i32::MAX);
        // SAFETY: a function of this name has this type (ggml-backend.h); the backend is alive.
        unsafe {
            let registry = sys::ggml_backend_dev_backend_reg(self.device);
            let function =
                sys::ggml_backend_reg_get_proc_address(registry, c"ggml_backend_set_n_threads".as_ptr());
            let function = std::mem::transmute::<*mut c_void, sys::ggml_backend_set_n_threads_t>(function);
            if let Some(function) = function {
                function(self.backend.as_ptr(), threads);
            }
        }
    }

    /// Bytes that may be taken.
    fn spare_memory(&self) -> usize {
        let (mut free, mut total) = (0usize, 0usize);
        // SAFETY: the handle is valid, and so are the out-pointers.
        unsafe { sys::ggml_backend_dev_memory(self.device, &raw mut free, &raw mut total) };
        free / SHARE_OF_FREE
    }
}

impl Drop for Probe {
    fn drop(&mut self) {
        // SAFETY: made by ggml_backend_dev_init, freed once.
        unsafe { sys::ggml_backend_free(self.backend.as_ptr()) };
    }
}

/// Weights of so many rows with so many numbers each, by so many columns.
#[derive(Clone, Copy)]
struct Shape {
    width: i64,
    rows: i64,
    columns: i64,
}

/// Descriptions of tensors and the memory that they lie in.
struct Tensors {
    context: NonNull<sys::ggml_context>,
    buffer: sys::ggml_backend_buffer_t,
}

impl Tensors {
    /// Room for descriptions of a few tensors and of a graph.
    fn new() -> Result<Tensors, NativeError> {
        // SAFETY: the parameters are valid; without memory of its own it holds descriptions only.
        let context = unsafe {
            let mem_size = 4 * sys::ggml_tensor_overhead() + sys::ggml_graph_overhead();
            sys::ggml_init(sys::ggml_init_params { mem_size, mem_buffer: null_mut(), no_alloc: true })
        };
        let none = || NativeError::OutOfMemory("descriptions of tensors cannot be had".to_string());
        let context = NonNull::new(context).ok_or_else(none)?;
        Ok(Tensors { context, buffer: null_mut() })
    }

    fn matrix(&self, kind: sys::ggml_type, width: i64, rows: i64) -> *mut sys::ggml_tensor {
        // SAFETY: the context is alive and has room for it.
        unsafe { sys::ggml_new_tensor_2d(self.context.as_ptr(), kind, width, rows) }
    }

    /// Gives all of them memory of this kind.
    fn allocate(&mut self, memory: sys::ggml_backend_buffer_type_t) -> Result<(), NativeError> {
        log::clear_errors();
        // SAFETY: the context is alive, its tensors have no memory yet, and the kind of memory is a device's.
        self.buffer = unsafe { sys::ggml_backend_alloc_ctx_tensors_from_buft(self.context.as_ptr(), memory) };
        match self.buffer.is_null() {
            true => Err(NativeError::from_log("memory cannot be had", &log::errors())),
            false => Ok(()),
        }
    }
}

impl Drop for Tensors {
    fn drop(&mut self) {
        // SAFETY: both are owned by this, and freeing NULL does nothing.
        unsafe {
            sys::ggml_backend_buffer_free(self.buffer);
            sys::ggml_free(self.context.as_ptr());
        }
    }
}

/// A product that is ready to be run.
struct Product<'a> {
    probe: &'a Probe,
    weights: Tensors,
    /// Keeps the other operand, the result and the graph.
    _others: Tensors,
    matrix: *mut sys::ggml_tensor,
    vectors: *mut sys::ggml_tensor,
    graph: *mut sys::ggml_cgraph,
}

impl<'a> Product<'a> {
    fn new(
        probe: &'a Probe,
        memory: sys::ggml_backend_buffer_type_t,
        kind: sys::ggml_type,
        shape: Shape,
    ) -> Result<Product<'a>, NativeError> {
        let (mut weights, mut others) = (Tensors::new()?, Tensors::new()?);
        let matrix = weights.matrix(kind, shape.width, shape.rows);
        let vectors = others.matrix(sys::GGML_TYPE_F32, shape.width, shape.columns);
        let context = others.context.as_ptr();
        // SAFETY: both operands are alive and have rows of the same width; the context has room for result and graph.
        let (result, graph) = unsafe {
            let result = sys::ggml_mul_mat(context, matrix, vectors);
            let graph = sys::ggml_new_graph(context);
            sys::ggml_build_forward_expand(graph, result);
            (result, graph)
        };
        weights.allocate(memory)?;
        others.allocate(probe.own_memory())?;
        // SAFETY: the buffer was just made; device and result are alive.
        let is_supported = unsafe {
            sys::ggml_backend_buffer_set_usage(weights.buffer, sys::GGML_BACKEND_BUFFER_USAGE_WEIGHTS);
            sys::ggml_backend_dev_supports_op(probe.device, result)
        };
        match is_supported {
            true => Ok(Product { probe, weights, _others: others, matrix, vectors, graph }),
            false => Err(NativeError::Rejected("the device does no such products".to_string())),
        }
    }

    /// Fills an operand with numbers of ordinary size that differ: equal ones take less power than those of a model.
    fn fill(&self, tensor: *mut sys::ggml_tensor) {
        // SAFETY: the tensor is alive.
        let bytes = unsafe { sys::ggml_nbytes(tensor) };
        let data = ordinary_numbers(bytes);
        // SAFETY: the tensor has memory, and as many bytes are there as it takes.
        unsafe { sys::ggml_backend_tensor_set(tensor, data.as_ptr().cast(), 0, bytes) };
    }

    /// Runs it a few times; gives the least seconds, the first time aside, in which a backend makes itself ready.
    fn warm_up(&self) -> Result<f64, NativeError> {
        self.seconds(1)?;
        (0..ROUNDS).map(|_| self.seconds(1)).try_fold(f64::INFINITY, |least, seconds| Ok(least.min(seconds?)))
    }

    /// Seconds of one run in the best of some rounds; `once` is about what it takes.
    fn best(&self, once: f64) -> Result<f64, NativeError> {
        let runs = (ROUND / once).ceil().clamp(1.0, MOST_RUNS) as usize;
        let (started, mut rounds, mut best) = (Instant::now(), 0, f64::INFINITY);
        while rounds < ROUNDS || started.elapsed().as_secs_f64() < SPAN {
            best = best.min(self.seconds(runs)? / runs as f64);
            rounds += 1;
        }
        Ok(best.max(f64::MIN_POSITIVE))
    }

    fn seconds(&self, runs: usize) -> Result<f64, NativeError> {
        let backend = self.probe.backend.as_ptr();
        let started = Instant::now();
        for _ in 0..runs {
            // SAFETY: backend, graph and the tensors of the graph are alive, and all of them have memory.
            let status = unsafe { sys::ggml_backend_graph_compute_async(backend, self.graph) };
            if status != sys::GGML_STATUS_SUCCESS {
                // SAFETY: as above; what was begun must not outlive its memory.
                unsafe { sys::ggml_backend_synchronize(backend) };
                return Err(NativeError::Rejected(format!("the product failed with status {status}")));
            }
        }
        // SAFETY: as above.
        unsafe { sys::ggml_backend_synchronize(backend) };
        Ok(started.elapsed().as_secs_f64())
    }
}

/// Bytes from 0x30 to 0x3f: wherever a type has its exponents and scales, they make numbers that are neither so small nor so
/// large that a processor slows down over them, nor none at all.
fn ordinary_numbers(bytes: usize) -> Vec<u8> {
    const BLOCK: usize = 1 << 20;
    let mut state = 0x9e37_79b9_7f4a_7c15_u64;
    let block: Vec<u8> = (0..BLOCK.min(bytes))
        .map(|_| {
            // Marsaglia's xorshift (2003).
            state ^= state << 13;
            state ^= state >> 7;
            state ^= state << 17;
            0x30 | (state >> 60) as u8
        })
        .collect();
    let mut data = block.repeat(bytes.div_ceil(BLOCK.min(bytes).max(1)));
    data.truncate(bytes);
    data
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_processor_of_a_real_engine_has_a_roof() {
        let probe = Probe::open("CPU", 1).unwrap();
        assert!(probe.is_processor());
        // Far below the slowest machine that can run this, and above the fastest.
        let is_likely = |rate: f64| rate > 1e8 && rate < 1e15;
        let bandwidth = probe.bandwidth().unwrap();
        assert!(is_likely(bandwidth), "{bandwidth}");
        for weights in ["f32", "f16", "q8_0", "q4_K", "iq2_xxs", "mxfp4"] {
            let rate = probe.products(weights).unwrap();
            assert!(is_likely(rate), "{weights}: {rate}");
        }
    }

    #[test]
    fn what_cannot_be_measured_is_said() {
        let missing = Probe::open("CUDA7", 1).unwrap_err();
        assert_eq!(missing, NativeError::Rejected("the engine has no device `CUDA7`".to_string()));
        let unknown = Probe::open("CPU", 1).unwrap().products("q9").unwrap_err();
        assert_eq!(unknown, NativeError::Rejected("the engine has no type `q9`".to_string()));
    }

    #[test]
    fn fillings_are_ordinary_numbers() {
        let data = ordinary_numbers((1 << 20) + 8);
        assert_eq!(data.len(), (1 << 20) + 8);
        assert_eq!(data[..8], data[1 << 20..]);
        let numbers =
            data.chunks_exact(4).map(|four| f32::from_le_bytes([four[0], four[1], four[2], four[3]]));
        assert!(numbers.clone().all(|number| (1e-10..1.0).contains(&number)));
        assert!(numbers.map(f32::to_bits).collect::<std::collections::HashSet<u32>>().len() > 1000);
        assert!(ordinary_numbers(0).is_empty());
    }
}
