//! Graphics cards: those the engine can use, and those that are there without being of use to it.

use super::{Told, bytes_cell, unknown, words};
use gguflab_report::{Cell, Column, Document, Table};
use gguflab_types::machine::Device;
use gguflab_types::{EngineIdentity, Machine, Unit};

/// A beginning of a card's name or a word in its description, both in lower case; the cargo feature of the worker
/// that makes such cards usable; and another one that does for most of them.
type Vendor = (&'static str, &'static str, Option<&'static str>);

/// The vendors with a feature of their own.
const FEATURES: &[Vendor] = &[
    ("nvidia", "cuda", Some("vulkan")),
    ("amd", "rocm", Some("vulkan")),
    ("radeon", "rocm", Some("vulkan")),
    ("apple", "metal", None),
];
/// For cards of all other vendors.
const OTHER: (&str, Option<&str>) = ("vulkan", None);
/// How much two statements about the memory of one card may differ: drivers keep a part for themselves.
const MEMORY_TOLERANCE: f64 = 0.06;

/// Adds the table of cards, and what to do about those the engine cannot use.
pub(super) fn describe(
    document: &mut Document,
    machine: &Machine,
    engine: Option<(&EngineIdentity, &[Device])>,
) {
    document.heading(1, "Graphics cards and other devices");
    let usable = engine.map_or(&[][..], |(_, devices)| devices);
    let joined = join(&machine.devices, usable);
    if joined.is_empty() {
        document.paragraph("None was found.");
    } else {
        document.table(table(&joined, engine.is_some()));
    }
    let Some((identity, _)) = engine else { return };
    let own = Told::read(identity).own;
    for (device, _) in joined.iter().filter(|(_, usable)| !usable) {
        document.warning(advice(device, own));
    }
    if own && wants_metal(machine, identity) {
        document.warning(
            "this engine cannot use the graphics of this Mac: build it with \
             `cargo build --release -p gguflab-worker --features metal`",
        );
    }
}

/// The engine's devices, each with the driver that the system tells, and then the cards that are left over; each
/// with whether the engine can use it.
fn join(cards: &[Device], usable: &[Device]) -> Vec<(Device, bool)> {
    let mut left: Vec<&Device> = cards.iter().collect();
    let mut joined = Vec::new();
    for device in usable {
        let mut device = device.clone();
        if let Some(place) = place(&left, &device) {
            let card = left.remove(place);
            device.driver = device.driver.or_else(|| card.driver.clone());
        }
        joined.push((device, true));
    }
    joined.extend(left.into_iter().map(|card| (card.clone(), false)));
    joined
}

/// Which card a device is. The engine and the system share no number for it, so the most telling likeness
/// counts: name, then memory, then vendor (integrated graphics state any amount of memory).
fn place(cards: &[&Device], device: &Device) -> Option<usize> {
    let likenesses: [fn(&Device, &Device) -> bool; 3] = [same_name, same_memory, same_vendor];
    let find = |like: &fn(&Device, &Device) -> bool| cards.iter().position(|card| like(device, card));
    likenesses.iter().filter(|_| device.gpu).find_map(find)
}

fn same_vendor(device: &Device, card: &Device) -> bool {
    vendor(device).is_some_and(|row| vendor(card).is_some_and(|other| row.1 == other.1))
}

fn same_name(device: &Device, card: &Device) -> bool {
    let (one, other) = (device.description.to_lowercase(), card.description.to_lowercase());
    !one.is_empty() && !other.is_empty() && (one.contains(&other) || other.contains(&one))
}

fn same_memory(device: &Device, card: &Device) -> bool {
    let (one, other) = (device.memory_total as f64, card.memory_total as f64);
    one > 0.0 && other > 0.0 && (one - other).abs() <= MEMORY_TOLERANCE * one.max(other)
}

fn table(devices: &[(Device, bool)], asked: bool) -> Table {
    let columns = [
        Column::new("device"),
        Column::new("what it is"),
        Column::with_unit("memory", Unit::Bytes),
        Column::with_unit("free", Unit::Bytes),
        Column::new("driver"),
        Column::new("graphics").help("no: an accelerator for the processor"),
        Column::new("engine can use it"),
    ];
    let mut table = Table::new("", columns);
    for (device, usable) in devices {
        let free = match device.memory_total {
            0 => unknown(),
            _ => Cell::number(device.memory_free as f64, Unit::Bytes),
        };
        table.push([
            Cell::code(device.name.as_str()),
            words(&device.description),
            bytes_cell(device.memory_total),
            free,
            words(device.driver.as_deref().unwrap_or_default()),
            Cell::flag(device.gpu),
            if asked { Cell::flag(*usable) } else { Cell::missing("") },
        ]);
    }
    table
}

fn advice(card: &Device, own: bool) -> String {
    let (feature, other) = vendor(card).map_or(OTHER, |(_, feature, other)| (*feature, *other));
    let or = other.map(|other| format!(" (or {other})")).unwrap_or_default();
    let start = format!("this engine cannot use {} ({})", card.name, card.description);
    if own {
        format!("{start}: build it with `cargo build --release -p gguflab-worker --features {feature}`{or}")
    } else {
        format!("{start}: use a build of llama.cpp with {feature}{or}")
    }
}

fn vendor(card: &Device) -> Option<&'static Vendor> {
    let (name, text) = (card.name.to_lowercase(), card.description.to_lowercase());
    FEATURES.iter().find(|(vendor, _, _)| name.starts_with(vendor) || text.contains(vendor))
}

/// A Mac lists its graphics through the engine only, so the backend tells.
fn wants_metal(machine: &Machine, identity: &EngineIdentity) -> bool {
    let has = identity.backends.iter().any(|name| name.starts_with("MTL") || name.starts_with("Metal"));
    machine.system.starts_with("macOS") && machine.cpu.architecture == "aarch64" && !has
}
