//! How fast a configuration is: a small model of processors, memory and a graphics card.
//!
//! The shapes follow what is known of llama.cpp: generation is bound by memory (bytes of weights that a token
//! needs, divided by bandwidth) and prompt processing by arithmetic (roofline: Williams, Waterman and Patterson
//! 2009); cores scale with a small loss, threads beyond the processors collapse because llama.cpp's threads spin
//! while they wait; larger physical batches use the arithmetic better until they leave the caches; attention
//! costs grow with the depth. The constants are made up.

use super::preset::{Graphics, Preset, Temper};
use gguflab_types::{Configuration, Ending, Logits, Outcome, Request, Value};

/// What one request costs under a configuration, without noise.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Rates {
    /// Seconds of the prompt, all sequences together.
    pub(super) prompt_seconds: f64,
    /// Seconds of one generated token (of each sequence at once).
    pub(super) step_seconds: f64,
    /// Processors that are busy.
    pub(super) processors: f64,
    /// Whether threads are busy all the time: only then their share tells something.
    pub(super) processor_only: bool,
    /// Bytes on the host.
    pub(super) host_memory: f64,
    /// Bytes on the graphics card.
    pub(super) device_memory: f64,
    /// What goes wrong while it is measured.
    pub(super) fault: Option<Fault>,
}

/// What goes wrong in the middle.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Fault {
    /// The process dies with this cause.
    Crash(String),
    /// It stops answering.
    Hang,
}

/// The knobs, resolved.
struct Settings {
    threads: f64,
    threads_batch: f64,
    batch: f64,
    ubatch: f64,
    flash_attention: bool,
    cache_share: f64,
    cache_offload: bool,
    operation_offload: bool,
    repack: bool,
    numa: Numa,
}

/// How threads are placed on several sockets.
#[derive(Clone, Copy, PartialEq)]
enum Numa {
    /// As the system likes.
    Unset,
    /// Evenly over all nodes.
    Distribute,
    /// On the first node only.
    Isolate,
}

/// Where the weights are: shares of the bytes that a token needs, and bytes in all on the card.
struct Placement {
    /// Share of the active weights on the graphics card.
    active_on_card: f64,
    /// Share of the layers on the graphics card.
    layers_on_card: f64,
    /// Bytes of weights on the graphics card.
    bytes_on_card: f64,
}

/// Share of a model with experts that is experts.
const EXPERT_SHARE: f64 = 0.92;
/// Tokens of depth at which attention costs as much as all else.
const ATTENTION_DEPTH: f64 = 12_000.0;
/// Tokens that these models know.
const VOCABULARY: f64 = 32_000.0;
/// What the logits of every token add to the arithmetic of a prompt.
const LOGITS_SHARE: f64 = 0.15;
/// Bytes of the program itself.
const PROGRAM: f64 = 60e6;

impl Rates {
    /// Seconds of the whole request.
    pub(super) fn request_seconds(&self, request: &Request) -> f64 {
        let first_step = u32::from(request.prompt == 0);
        let steps = (request.generate + first_step).saturating_sub(1);
        self.prompt_seconds + self.step_seconds * f64::from(steps)
    }

    /// Threads that should be busy all the time; 0 when that cannot be said.
    pub(super) fn busy_threads(&self) -> u32 {
        if self.processor_only { self.processors as u32 } else { 0 }
    }
}

/// The rates of one request; `context` is the number of tokens in the cache of the whole workload.
///
/// # Errors
/// How it ends when nothing can be run at all.
pub(super) fn rates(
    preset: &Preset,
    configuration: &Configuration,
    request: &Request,
    context: u64,
) -> Result<Rates, Ending> {
    if preset.temper == Temper::Flat {
        return Ok(flat(preset, request, context));
    }
    let settings = settings(preset, configuration);
    refuse(preset, configuration, &settings)?;
    let cache = context as f64 * preset.cache_bytes * settings.cache_share;
    let placement = place(preset, configuration, &settings, cache);
    let device_memory = device_memory(preset, &settings, &placement, cache);
    fits(preset, &settings, device_memory)?;
    let logits = logits_bytes(request, settings.batch);
    let host_memory = PROGRAM
        + preset.model_bytes
        + cache * (1.0 - placement.layers_on_card)
        + 1e5 * settings.ubatch
        + logits;
    if host_memory > preset.memory as f64 {
        return Err(out_of_memory("host", host_memory, preset.memory as f64));
    }
    let used = settings.threads.max(settings.threads_batch).min(f64::from(preset.logical));
    Ok(Rates {
        prompt_seconds: prompt_seconds(preset, &settings, &placement, request),
        step_seconds: step_seconds(preset, &settings, &placement, request),
        processors: if placement.layers_on_card >= 1.0 { 1.0 } else { used },
        processor_only: preset.graphics.is_none() && settings.threads == settings.threads_batch,
        host_memory,
        device_memory,
        fault: fault(preset, configuration, &settings),
    })
}

/// The share of the card's memory that a configuration needs; `None` without a card.
pub(super) fn card_share(preset: &Preset, configuration: &Configuration, context: u64) -> Option<f64> {
    let graphics = preset.graphics.as_ref()?;
    let settings = settings(preset, configuration);
    let cache = context as f64 * preset.cache_bytes * settings.cache_share;
    let placement = place(preset, configuration, &settings, cache);
    Some(device_memory(preset, &settings, &placement, cache) / graphics.memory)
}

/// Bytes of the logits of every token that one call hands back.
fn logits_bytes(request: &Request, batch: f64) -> f64 {
    let tokens = f64::from(request.prompt) * f64::from(request.concurrency.max(1));
    if request.logits == Logits::All { tokens.min(batch) * VOCABULARY * 4.0 } else { 0.0 }
}

fn flat(preset: &Preset, request: &Request, context: u64) -> Rates {
    let sequences = f64::from(request.concurrency.max(1));
    Rates {
        prompt_seconds: f64::from(request.prompt) * sequences / 200.0,
        step_seconds: 0.03,
        processors: f64::from(preset.cores),
        processor_only: true,
        host_memory: PROGRAM + preset.model_bytes + context as f64 * preset.cache_bytes,
        device_memory: 0.0,
        fault: None,
    }
}

fn settings(preset: &Preset, configuration: &Configuration) -> Settings {
    let number = |knob: &str| configuration.integer(knob).map(|value| value as f64);
    let off = |knob: &str| *configuration.get(knob) == Value::Switch(false);
    let threads = number("threads").unwrap_or(f64::from(preset.cores));
    let batch = number("batch").unwrap_or(2048.0);
    let ubatch = match configuration.get("ubatch") {
        Value::BatchRatio(ratio) => (batch / ratio).round_ties_even().max(1.0),
        _ => number("ubatch").unwrap_or(512.0),
    };
    // 8.5, 5.5 and 4.5 bits instead of 16, for K and V each.
    let share = |knob: &str| match configuration.get(knob).to_string().as_str() {
        "f32" => 2.0,
        "q8_0" => 8.5 / 16.0,
        "q5_0" | "q5_1" => 5.5 / 16.0,
        "q4_0" | "q4_1" | "iq4_nl" => 4.5 / 16.0,
        _ => 1.0,
    };
    Settings {
        threads,
        threads_batch: number("threads-batch").unwrap_or(threads),
        batch,
        ubatch: ubatch.min(batch),
        flash_attention: !configuration.is_word("flash-attention", &["off"]),
        cache_share: (share("cache-type-k") + share("cache-type-v")) / 2.0,
        cache_offload: !off("kv-offload"),
        operation_offload: !off("op-offload"),
        repack: !off("repack"),
        numa: match configuration.get("numa").to_string().as_str() {
            "distribute" => Numa::Distribute,
            "isolate" => Numa::Isolate,
            _ => Numa::Unset,
        },
    }
}

/// Speed of the arithmetic and of the memory, as shares of what the cores and channels of all sockets can do.
/// Unplaced threads read most of the weights over the link between sockets; on one node its own half is there.
fn sockets(preset: &Preset, settings: &Settings, threads: f64) -> (f64, f64) {
    if preset.sockets < 2 {
        return (1.0, 1.0);
    }
    let one_node = f64::from(preset.cores) / f64::from(preset.sockets);
    let alone = threads <= one_node;
    match settings.numa {
        Numa::Unset if alone => (0.95, 0.40),
        Numa::Unset => (0.80, 0.62),
        Numa::Distribute => (0.93, 0.9),
        // More threads than the node has cores share them.
        Numa::Isolate => ((one_node / threads).min(1.0), 0.5),
    }
}

/// Settings that are refused before anything runs.
fn refuse(preset: &Preset, configuration: &Configuration, settings: &Settings) -> Result<(), Ending> {
    let quantised = !matches!(configuration.get("cache-type-v"), Value::Auto)
        && !configuration.is_word("cache-type-v", &["f32", "f16", "bf16"]);
    if quantised && !settings.flash_attention {
        return Err(Ending::new(Outcome::Rejected, "quantized V cache requires flash attention"));
    }
    if preset.temper == Temper::Hostile && configuration.is_word("load-mode", &["mlock", "mmap+mlock"]) {
        return Err(Ending::new(Outcome::Rejected, "memory cannot be locked on this machine"));
    }
    if preset.temper == Temper::Hostile && settings.ubatch >= 1024.0 {
        return Err(out_of_memory("host", settings.ubatch * 20e6, preset.memory as f64));
    }
    Ok(())
}

fn fault(preset: &Preset, configuration: &Configuration, settings: &Settings) -> Option<Fault> {
    if preset.temper != Temper::Hostile {
        return None;
    }
    if settings.threads > f64::from(preset.cores) && !settings.flash_attention {
        return Some(Fault::Crash("killed by signal 11 (invalid memory access)".to_string()));
    }
    if settings.threads_batch == 1.0 && configuration.integer("threads-batch").is_some() {
        return Some(Fault::Crash("GGML_ASSERT: the simulated worker gave up".to_string()));
    }
    (settings.batch >= 4096.0).then_some(Fault::Hang)
}

fn out_of_memory(place: &str, needed: f64, there: f64) -> Ending {
    let cause = format!("{place}: {:.1} GB needed, {:.1} GB there", needed / 1e9, there / 1e9);
    Ending::new(Outcome::OutOfMemory, cause)
}

fn fits(preset: &Preset, settings: &Settings, device_memory: f64) -> Result<(), Ending> {
    match &preset.graphics {
        Some(graphics) if device_memory > graphics.memory && settings.batch > 0.0 => {
            Err(out_of_memory("SIM0", device_memory, graphics.memory))
        }
        _ => Ok(()),
    }
}

/// Layers are counted from the last one (the output being one more), experts stay on the host from the first
/// layer on, as llama.cpp does. Without a wish, as many layers as fit.
fn place(preset: &Preset, configuration: &Configuration, settings: &Settings, cache: f64) -> Placement {
    let (Some(graphics), all) = (&preset.graphics, preset.layers + 1) else {
        return Placement { active_on_card: 0.0, layers_on_card: 0.0, bytes_on_card: 0.0 };
    };
    let experts_on_host =
        configuration.integer("cpu-moe-layers").and_then(|layers| u32::try_from(layers).ok()).unwrap_or(0);
    let of = |layers: u32| placement(preset, layers.min(all), experts_on_host);
    match configuration.integer("gpu-layers") {
        Some(layers) => of(u32::try_from(layers).unwrap_or(u32::MAX)),
        None => {
            let fits = |layers: &u32| device_memory(preset, settings, &of(*layers), cache) <= graphics.memory;
            of((0..=all).rev().find(fits).unwrap_or(0))
        }
    }
}

fn placement(preset: &Preset, layers: u32, experts_on_host: u32) -> Placement {
    let all = f64::from(preset.layers + 1);
    let share = f64::from(layers) / all;
    if preset.experts == 0 {
        let bytes_on_card = preset.model_bytes * share;
        return Placement { active_on_card: share, layers_on_card: share, bytes_on_card };
    }
    let first = preset.layers.saturating_sub(layers).max(experts_on_host);
    let expert_share = f64::from(preset.layers.saturating_sub(first)) / f64::from(preset.layers);
    let bytes = preset.model_bytes * (EXPERT_SHARE * expert_share + (1.0 - EXPERT_SHARE) * share);
    // Of the active bytes about half are shared by all tokens, half are chosen experts.
    let active_on_card = 0.5 * share + 0.5 * expert_share.min(share.max(expert_share));
    Placement { active_on_card, layers_on_card: share, bytes_on_card: bytes }
}

fn device_memory(preset: &Preset, settings: &Settings, placement: &Placement, cache: f64) -> f64 {
    if preset.graphics.is_none() || (placement.layers_on_card == 0.0 && !settings.operation_offload) {
        return 0.0;
    }
    let cache = if settings.cache_offload { cache * placement.layers_on_card } else { 0.0 };
    placement.bytes_on_card + cache + 1e8 + 3e5 * settings.ubatch
}

/// How many cores' worth of work so many threads do.
fn speed_of_threads(threads: f64, preset: &Preset, hyperthreads: f64) -> f64 {
    let (cores, logical) = (f64::from(preset.cores), f64::from(preset.logical));
    let scaled = |threads: f64| threads / (1.0 + 0.03 * (threads - 1.0));
    let within = threads.min(cores);
    let beyond = ((threads.min(logical) - cores) / (logical - cores).max(1.0)).max(0.0);
    let crowd = (logical / threads.max(logical)).powi(2);
    scaled(within) * (1.0 + hyperthreads * beyond) * crowd
}

fn attention(settings: &Settings, depth: f64, on_card: bool) -> f64 {
    let flash = match (settings.flash_attention, on_card) {
        (false, _) => 1.0,
        (true, true) => 0.35,
        (true, false) => 0.8,
    };
    1.0 + depth / ATTENTION_DEPTH * flash
}

fn prompt_seconds(preset: &Preset, settings: &Settings, placement: &Placement, request: &Request) -> f64 {
    let tokens = f64::from(request.prompt) * f64::from(request.concurrency.max(1));
    if tokens == 0.0 {
        return 0.0;
    }
    let ubatch = settings.ubatch.min(tokens);
    let depth = f64::from(request.depth) + f64::from(request.prompt) / 2.0;
    let efficiency = |half: f64, large: f64| ubatch / (ubatch + half) / (1.0 + (ubatch / large).powi(2));
    let repack = if settings.repack { 1.0 } else { 0.75 };
    let cores = speed_of_threads(settings.threads_batch, preset, 0.12);
    let (arithmetic, _) = sockets(preset, settings, settings.threads_batch);
    let cores = cores * arithmetic;
    let on_host = 1.0 / (preset.core_speed * cores * repack * efficiency(16.0, 3000.0));
    let on_host = on_host * attention(settings, depth, false);
    let mut seconds = tokens * on_host * (1.0 - placement.active_on_card);
    if let Some(graphics) = &preset.graphics {
        let on_card = 1.0 / (graphics.speed * efficiency(96.0, 16_000.0));
        let on_card = on_card * attention(settings, depth, settings.cache_offload);
        seconds = seconds.min(lent(preset, graphics, settings, placement, tokens, on_card));
        seconds += tokens * on_card * placement.active_on_card;
    }
    let pieces = (tokens / settings.batch).ceil();
    if request.logits == Logits::All {
        // They are computed, and then written out once by the arithmetic and once into the answer.
        seconds += seconds * LOGITS_SHARE + 2.0 * tokens * VOCABULARY * 4.0 / preset.bandwidth;
    }
    seconds + 5e-4 * pieces
}

/// Weights on the host that the card computes with: they cross the link once for each physical batch.
fn lent(
    preset: &Preset,
    graphics: &Graphics,
    settings: &Settings,
    placement: &Placement,
    tokens: f64,
    on_card: f64,
) -> f64 {
    if !settings.operation_offload || settings.ubatch.min(tokens) < 32.0 {
        return f64::INFINITY;
    }
    let crossings = (tokens / settings.ubatch).ceil();
    let bytes = preset.model_bytes - placement.bytes_on_card;
    crossings * bytes / graphics.link + tokens * on_card * (1.0 - placement.active_on_card)
}

fn step_seconds(preset: &Preset, settings: &Settings, placement: &Placement, request: &Request) -> f64 {
    let sequences = f64::from(request.concurrency.max(1));
    // More sequences call more experts.
    let active = 1.0 - (1.0 - preset.active).powf(sequences);
    let bytes = preset.model_bytes * if preset.active < 1.0 { active } else { 1.0 };
    let repack = if settings.repack { 1.0 } else { 1.02 };
    let (share_of_cores, share_of_memory) = sockets(preset, settings, settings.threads);
    let cores = speed_of_threads(settings.threads, preset, -0.08) * share_of_cores;
    let bandwidth = preset.bandwidth * share_of_memory;
    let saturation = 1.0 - (-cores / (0.45 * f64::from(preset.cores))).exp();
    let memory = bytes / (bandwidth * saturation * repack);
    let arithmetic = sequences / (preset.core_speed * cores * 0.5);
    // A smooth maximum: both limits are felt where they meet.
    let on_host = (memory.powi(4) + arithmetic.powi(4)).powf(0.25);
    let depth = f64::from(request.depth) + f64::from(request.prompt) + f64::from(request.generate) / 2.0;
    let flash = if settings.flash_attention { 0.8 } else { 1.0 };
    let cache = depth * sequences * preset.cache_bytes * settings.cache_share * flash;
    let (share, layers) = (placement.active_on_card, placement.layers_on_card);
    let host_bandwidth = bandwidth * saturation;
    let mut seconds = on_host * (1.0 - share) + cache * (1.0 - layers) / host_bandwidth;
    if let Some(graphics) = &preset.graphics {
        let on_card = bytes / graphics.bandwidth + sequences * 2e-5;
        let cache_bandwidth = if settings.cache_offload { graphics.bandwidth } else { host_bandwidth };
        seconds += on_card * share + cache * layers / cache_bandwidth;
        // Activations cross between card and host for every token when both take part.
        let mixed = share > 0.0 && share < 1.0;
        seconds += if mixed || !settings.cache_offload { 1.5e-3 } else { 0.0 };
    }
    seconds + 1e-4
}

#[cfg(test)]
mod tests {
    use super::super::preset;
    use super::*;
    use gguflab_types::knob::find;

    fn configuration(text: &str) -> Configuration {
        text.split_whitespace().fold(Configuration::new(), |made, part| {
            let (name, value) = part.split_once('=').unwrap();
            made.with(name, find(name).unwrap().check(&Value::parse(value)).unwrap())
        })
    }

    fn cost(preset: &str, settings: &str, request: Request) -> f64 {
        let made =
            rates(preset::find(preset).unwrap(), &configuration(settings), &request, request.context());
        made.unwrap().request_seconds(&request)
    }

    /// Each row: the second configuration is slower than the first.
    #[test]
    fn knobs_do_what_they_are_known_to_do() {
        let (prompt, generate) = (Request::new(512, 0), Request::new(0, 64));
        let deep = Request { depth: 16_384, ..generate };
        for (preset, request, fast, slow) in [
            ("laptop", generate, "threads=4", "threads=1"),
            ("laptop", generate, "threads=4", "threads=8"),
            ("laptop", generate, "threads=8", "threads=16"),
            ("laptop", prompt, "threads-batch=8", "threads-batch=4"),
            ("laptop", prompt, "ubatch=256", "ubatch=32"),
            ("laptop", prompt, "repack=on", "repack=off"),
            ("laptop", deep, "flash-attention=on", "flash-attention=off"),
            ("gpu", generate, "gpu-layers=33", "gpu-layers=16"),
            ("gpu", generate, "gpu-layers=16", "gpu-layers=0"),
            ("gpu", prompt, "gpu-layers=0", "gpu-layers=0 op-offload=off"),
            ("gpu", deep, "gpu-layers=16 kv-offload=on", "gpu-layers=16 kv-offload=off"),
            ("moe", generate, "gpu-layers=33 cpu-moe-layers=24", "gpu-layers=12"),
        ] {
            let (first, second) = (cost(preset, fast, request), cost(preset, slow, request));
            assert!(first < second, "{preset}: {fast} {first} < {slow} {second}");
        }
    }

    #[test]
    fn all_logits_cost_time_and_memory() {
        let (all, last) = (Request::all_logits(2048), Request::new(2048, 0));
        assert!(cost("laptop", "threads=4", all) > cost("laptop", "threads=4", last));
        let host = |settings: &str, request: &Request| {
            let preset = preset::find("laptop").unwrap();
            rates(preset, &configuration(settings), request, 2048).unwrap().host_memory
        };
        assert_eq!(host("batch=2048", &all) - host("batch=2048", &last), 2048.0 * VOCABULARY * 4.0);
        assert_eq!(host("batch=512", &all) - host("batch=512", &last), 512.0 * VOCABULARY * 4.0);
    }

    #[test]
    fn several_sequences_at_once_are_cheaper_than_one_after_another() {
        let one = Request::new(0, 64);
        let four = Request { concurrency: 4, ..one };
        let (single, together) = (cost("laptop", "threads=4", one), cost("laptop", "threads=4", four));
        assert!(together < 4.0 * single && together > single, "{single} {together}");
    }

    #[test]
    fn nothing_matters_on_the_flat_machine() {
        let request = Request::new(512, 64);
        let default = cost("flat", "threads=4", request);
        for settings in ["threads=1", "ubatch=32 batch=128", "flash-attention=off", "repack=off"] {
            assert_eq!(cost("flat", settings, request), default, "{settings}");
        }
    }

    #[test]
    fn failures_have_their_regions() {
        let request = Request::new(512, 64);
        for (preset, settings, outcome) in [
            ("gpu", "gpu-layers=33 ubatch=2048", Outcome::OutOfMemory),
            ("moe", "gpu-layers=33", Outcome::OutOfMemory),
            ("hostile", "ubatch=1024", Outcome::OutOfMemory),
            ("hostile", "load-mode=mlock", Outcome::Rejected),
            ("laptop", "cache-type-v=q8_0 flash-attention=off", Outcome::Rejected),
        ] {
            let preset = preset::find(preset).unwrap();
            let made = rates(preset, &configuration(settings), &request, 1024).unwrap_err();
            assert_eq!(made.outcome, outcome, "{settings}");
            assert!(!made.cause.is_empty());
        }
        let hostile = preset::find("hostile").unwrap();
        let fault = |settings: &str| rates(hostile, &configuration(settings), &request, 1024).unwrap().fault;
        assert_eq!(fault("batch=4096"), Some(Fault::Hang));
        assert!(matches!(fault("threads=8 flash-attention=off"), Some(Fault::Crash(_))));
        assert!(matches!(fault("threads-batch=1"), Some(Fault::Crash(_))));
        assert_eq!(fault("threads=8"), None);
    }

    #[test]
    fn without_a_wish_as_many_layers_as_fit_go_to_the_card() {
        for preset in ["gpu", "moe"] {
            let preset = preset::find(preset).unwrap();
            let request = Request::new(512, 64);
            let made = rates(preset, &Configuration::new(), &request, 4096).unwrap();
            let card = preset.graphics.as_ref().unwrap().memory;
            assert!(made.device_memory <= card && made.device_memory > 0.8 * card, "{made:?}");
        }
    }
}
