use super::*;
use gguflab_report::{Block, NoteKind, Style, render};

fn machine() -> Machine {
    let sets =
        ["sse4.2", "avx", "avx2", "fma", "f16c", "bmi2", "avx512f", "avx512bw", "avx512vl", "avx512_vnni"];
    Machine {
        system: "Example Linux 1".into(),
        kernel: "6.1".into(),
        cpu: Cpu {
            model: "Example CPU".into(),
            architecture: "x86_64".into(),
            physical_cores: 4,
            logical_cores: 8,
            quota: Some(2.5),
            sockets: 1,
            numa_nodes: 1,
            caches: vec![48 << 10, 2 << 20, 32 << 20],
            instruction_sets: sets.map(String::from).to_vec(),
            highest_clock: Some(3.5e9),
            governor: Some("performance".into()),
        },
        memory: Memory { total: 16 << 30, available: 12 << 30, limit: Some(8 << 30), swap: 0 },
        devices: Vec::new(),
    }
}

fn engine(kind: &str, names: &[&str]) -> EngineIdentity {
    EngineIdentity {
        kind: kind.into(),
        build: "llama.cpp b1".into(),
        backends: names.iter().map(|name| (*name).to_string()).collect(),
        ..EngineIdentity::default()
    }
}

const FULL: &[&str] = &[
    "CPU",
    "RPC",
    "SSE3",
    "SSSE3",
    "AVX",
    "AVX2",
    "F16C",
    "FMA",
    "BMI2",
    "AVX512",
    "AVX512_VNNI",
    "LLAMAFILE",
    "OPENMP",
    "REPACK",
];

fn card(name: &str, description: &str, memory: u64) -> Device {
    Device {
        name: name.into(),
        description: description.into(),
        memory_total: memory,
        memory_free: memory / 2,
        driver: None,
        gpu: true,
    }
}

fn warnings(document: &Document) -> Vec<String> {
    let text = |block: &Block| match block {
        Block::Note { kind: NoteKind::Warning, text } => Some(text.clone()),
        _ => None,
    };
    document.blocks.iter().filter_map(text).collect()
}

fn fact(document: &Document, wanted: &str) -> Cell {
    let facts = document.blocks.iter().filter_map(|block| match block {
        Block::Facts { facts } => Some(facts),
        _ => None,
    });
    let found = facts.flatten().find(|fact| fact.label == wanted);
    found.map(|fact| fact.value.clone()).unwrap_or_else(|| panic!("no fact {wanted}"))
}

fn check_warnings(document: &Document, expected: &[&str]) {
    let found = warnings(document);
    assert_eq!(found.len(), expected.len(), "{found:?}");
    for (found, expected) in found.iter().zip(expected) {
        assert!(found.contains(expected), "{found} lacks {expected}");
    }
}

#[test]
fn a_well_built_engine_gives_no_warning_and_numbers_keep_their_units() {
    let identity = engine("embedded", FULL);
    let document = devices(&machine(), Some((&identity, &[])), &[]);
    check_warnings(&document, &[]);
    for (label, expected) in [
        ("usable by an engine", Cell::number((8_u64 << 30) as f64, Unit::Bytes)),
        ("level 3 cache", Cell::number((32 << 20) as f64, Unit::Bytes)),
        ("highest clock", Cell::number(3.5e9, Unit::Hertz)),
        ("processor time allowed", Cell::number(2.5, Unit::Count)),
        ("logical processors", Cell::count(8)),
        ("swap", Cell::number(0.0, Unit::Bytes)),
        ("backends", Cell::text("CPU, RPC")),
        ("libraries and other features", Cell::text("LLAMAFILE, OPENMP, REPACK")),
    ] {
        assert_eq!(fact(&document, label), expected, "{label}");
    }
    let table = document.tables().next().unwrap();
    let rows: Vec<_> =
        table.rows.iter().map(|row| (row[0].clone(), row[1].clone(), row[2].clone())).collect();
    let yes = || Cell::flag(true);
    assert!(rows.contains(&(Cell::text("AVX-512 (F, BW, VL)"), yes(), yes())), "{rows:?}");
    assert!(rows.contains(&(Cell::text("AVX-512 VNNI"), yes(), yes())), "{rows:?}");
    assert!(
        rows.contains(&(Cell::text("SSE4.2"), yes(), Cell::missing("not reported by llama.cpp"))),
        "{rows:?}"
    );
    assert!(!rows.iter().any(|row| row.0 == Cell::text("NEON")), "{rows:?}");
}

#[test]
fn sets_that_go_unused_or_are_not_there_are_warned_of() {
    let without = |left_out: &[&str]| -> Vec<&str> {
        FULL.iter().copied().filter(|name| !left_out.contains(name)).collect()
    };
    let show = |kind: &str, names: &[&str]| devices(&machine(), Some((&engine(kind, names), &[])), &[]);
    let slow = show("embedded", &without(&["AVX512", "AVX512_VNNI"]));
    check_warnings(&slow, &["AVX-512 (F, BW, VL), AVX-512 VNNI but the engine was not built"]);
    assert!(warnings(&slow)[0].contains("cargo build --release -p gguflab-worker"));
    let foreign = show("llama-bench", &without(&["AVX2"]));
    check_warnings(&foreign, &["AVX2 but"]);
    assert!(!warnings(&foreign)[0].contains("cargo"));
    // BMI2 makes no difference worth a warning.
    check_warnings(&show("embedded", &without(&["BMI2"])), &[]);
    let crash = show("embedded", &[FULL, &["AVX512_BF16"]].concat());
    check_warnings(&crash, &["built with AVX-512 BF16, which this processor does not have"]);
}

#[test]
fn an_engine_or_a_system_that_tells_nothing_is_not_suspected() {
    let silent = engine("llama-bench", &["CPU"]);
    let document = devices(&machine(), Some((&silent, &[])), &[]);
    check_warnings(&document, &[]);
    let avx2 =
        document.tables().next().unwrap().rows.iter().find(|row| row[0] == Cell::text("AVX2")).unwrap();
    assert_eq!(avx2[2], Cell::missing("not told by this engine"));
    let mut unknown = machine();
    unknown.cpu.instruction_sets.clear();
    let document = devices(&unknown, Some((&engine("embedded", FULL), &[])), &[]);
    check_warnings(&document, &[]);
    let document = devices(&Machine::default(), None, &["the worker is missing".into()]);
    check_warnings(&document, &["the worker is missing"]);
    assert_eq!(document.tables().count(), 0);
    assert_eq!(fact(&document, "total"), Cell::missing("not known"));
}

#[test]
fn cards_that_the_engine_cannot_use_say_which_build_could() {
    let nvidia = || Device { driver: Some("550".into()), ..card("nvidia0", "NVIDIA Example 9", 24 << 30) };
    let amd = || card("amd0", "AMD GPU 0x744c", 16 << 30);
    let other = || card("card7", "Some Arc", 8 << 30);
    let cuda = || card("CUDA0", "NVIDIA Example 9", (24 << 30) - (300 << 20));
    let cases: [(&[Device], &[Device], &[&str]); 6] = [
        (&[nvidia()], &[cuda()], &[]),
        (
            &[nvidia()],
            &[],
            &[
                "nvidia0 (NVIDIA Example 9): build it with `cargo build --release -p gguflab-worker --features cuda` (or vulkan)",
            ],
        ),
        (&[nvidia(), amd(), other()], &[cuda()], &["--features rocm` (or vulkan)", "--features vulkan`"]),
        (&[nvidia(), nvidia()], &[cuda()], &["nvidia0"]),
        // Known by its memory, and by its vendor alone.
        (&[amd()], &[card("ROCm0", "Radeon Pro", 16 << 30)], &[]),
        (&[amd()], &[card("Vulkan0", "AMD Radeon Graphics (RADV)", 64 << 30)], &[]),
    ];
    for (cards, usable, expected) in cases {
        let machine = Machine { devices: cards.to_vec(), ..machine() };
        let document = devices(&machine, Some((&engine("embedded", FULL), usable)), &[]);
        check_warnings(&document, expected);
    }
    let machine = Machine { devices: vec![nvidia()], ..machine() };
    let document = devices(&machine, Some((&engine("embedded", FULL), &[cuda()])), &[]);
    let table = document.tables().nth(1).unwrap();
    assert_eq!(table.rows.len(), 1);
    assert_eq!(table.rows[0][0], Cell::code("CUDA0"));
    assert_eq!(table.rows[0][4], Cell::text("550"));
    assert_eq!(table.rows[0][6], Cell::flag(true));
    let unasked = devices(&machine, None, &[]);
    check_warnings(&unasked, &[]);
    assert_eq!(unasked.tables().nth(1).unwrap().rows[0][6], Cell::missing(""));
}

#[test]
fn an_accelerator_is_no_card() {
    let blas = Device { gpu: false, ..card("BLAS", "OpenBLAS", 0) };
    let machine = Machine { devices: vec![card("nvidia0", "NVIDIA Example 9", 1 << 30)], ..machine() };
    let document = devices(&machine, Some((&engine("embedded", FULL), &[blas])), &[]);
    check_warnings(&document, &["nvidia0"]);
    assert_eq!(document.tables().nth(1).unwrap().rows[0][5], Cell::flag(false));
}

#[test]
fn backends_are_told_from_features() {
    let cases: [(&[&str], &[&str]); 4] = [
        (FULL, &["CPU", "RPC"]),
        (&["CUDA", "CPU", "ARCHS=890", "USE_GRAPHS", "AVX2"], &["CUDA", "CPU"]),
        (&["CPU", "NEON", "SVE_CNT=16"], &["CPU"]),
        (&[], &[]),
    ];
    for (names, expected) in cases {
        let told = Told::read(&engine("embedded", names));
        assert_eq!(told.backends, expected);
        assert_eq!(told.backends.len() + told.features.len(), names.len());
    }
}

#[test]
fn missing_rpc_and_metal_are_said() {
    let plain: Vec<&str> = FULL.iter().copied().filter(|name| *name != "RPC").collect();
    let document = devices(&machine(), Some((&engine("embedded", &plain), &[])), &[]);
    assert!((render::find("terminal").unwrap().render)(&document, &Style::default()).contains("GGML_RPC=ON"));
    let mac = Machine {
        system: "macOS 14".into(),
        cpu: Cpu { architecture: "aarch64".into(), ..machine().cpu },
        ..Machine::default()
    };
    check_warnings(&devices(&mac, Some((&engine("embedded", FULL), &[])), &[]), &["--features metal"]);
    let metal = [&["MTL"], FULL].concat();
    check_warnings(&devices(&mac, Some((&engine("embedded", &metal), &[])), &[]), &[]);
}
