//! Instruction sets: what the processor has beside what the engine was built with.

use super::Told;
use gguflab_report::{Cell, Column, Document, Table};
use gguflab_types::machine::Cpu;

/// One instruction set under its two names.
struct Row {
    /// The name shown.
    name: &'static str,
    /// What a processor must all have, as `Cpu::instruction_sets` names it, letters and digits only.
    processor: &'static [&'static str],
    /// llama.cpp's name; empty where it does not report the set.
    engine: &'static str,
    /// Whether an engine without it is markedly slower on a processor that has it.
    important: bool,
}

/// Every instruction set that is shown, with llama.cpp's name for it (`ggml_backend_cpu_get_features` of b11434).
/// Its AVX512 stands for the parts that compilers turn on together.
const ROWS: &[Row] = &[
    row("SSE4.2", &["sse42"], "", false),
    row("AVX", &["avx"], "AVX", false),
    row("AVX2", &["avx2"], "AVX2", true),
    row("FMA", &["fma"], "FMA", true),
    row("F16C", &["f16c"], "F16C", true),
    row("BMI2", &["bmi2"], "BMI2", false),
    row("AVX-VNNI", &["avxvnni"], "AVX_VNNI", true),
    row("AVX-512 (F, BW, VL)", &["avx512f", "avx512bw", "avx512vl"], "AVX512", true),
    row("AVX-512 VBMI", &["avx512vbmi"], "AVX512_VBMI", false),
    row("AVX-512 VNNI", &["avx512vnni"], "AVX512_VNNI", true),
    row("AVX-512 BF16", &["avx512bf16"], "AVX512_BF16", true),
    row("AMX INT8", &["amxtile", "amxint8"], "AMX_INT8", true),
    row("AMX BF16", &["amxtile", "amxbf16"], "", false),
    row("NEON", &["neon"], "NEON", true),
    row("dot product", &["dotprod"], "DOTPROD", true),
    row("FP16 arithmetic", &["fp16"], "FP16_VA", true),
    row("BF16", &["bf16"], "", false),
    row("INT8 matrix product", &["i8mm"], "MATMUL_INT8", true),
    row("SVE", &["sve"], "SVE", true),
    row("SVE2", &["sve2"], "", false),
    row("SME", &["sme"], "SME", false),
];

/// Instruction sets that llama.cpp reports and `Cpu::instruction_sets` does not.
const ENGINE_ONLY: [&str; 8] = ["SSE3", "SSSE3", "ARM_FMA", "SME2", "RISCV_V", "VSX", "VXE", "WASM_SIMD"];

const fn row(
    name: &'static str,
    processor: &'static [&'static str],
    engine: &'static str,
    important: bool,
) -> Row {
    Row { name, processor, engine, important }
}

/// Whether llama.cpp has an instruction set of this name.
pub(super) fn is_engine_name(name: &str) -> bool {
    ENGINE_ONLY.contains(&name) || ROWS.iter().any(|row| row.engine == name)
}

/// Adds the table, and a warning where the two do not go together.
pub(super) fn describe(document: &mut Document, cpu: &Cpu, told: Option<&Told>) {
    let known: Vec<(&Row, Option<bool>, Option<bool>)> =
        ROWS.iter().map(|row| (row, row.processor_has(cpu), row.engine_has(told))).collect();
    let rows: Vec<_> = known.iter().filter(|row| row.1 == Some(true) || row.2 == Some(true)).collect();
    if rows.is_empty() {
        return;
    }
    let columns = [
        Column::new("instruction set"),
        Column::new("this processor has it"),
        Column::new("engine built with it").help("and uses it, where the processor has it"),
    ];
    let mut table = Table::new("Instruction sets that llama.cpp can use", columns);
    for (row, processor, engine) in &rows {
        table.push([Cell::text(row.name), processor_cell(*processor), engine_cell(*engine, row, told)]);
    }
    document.table(table);
    let own = told.is_some_and(|told| told.own);
    let names = |wanted: fn(&Row, Option<bool>, Option<bool>) -> bool| -> Vec<&str> {
        known.iter().filter(|row| wanted(row.0, row.1, row.2)).map(|row| row.0.name).collect()
    };
    warn_of_slow(
        document,
        &names(|row, cpu, engine| row.important && (cpu, engine) == (Some(true), Some(false))),
        own,
    );
    warn_of_crash(document, &names(|_, cpu, engine| (cpu, engine) == (Some(false), Some(true))), own);
}

impl Row {
    /// None where the system does not tell instruction sets.
    fn processor_has(&self, cpu: &Cpu) -> Option<bool> {
        let has = |wanted: &&str| cpu.instruction_sets.iter().any(|name| bare(name) == **wanted);
        (!cpu.instruction_sets.is_empty()).then(|| self.processor.iter().all(has))
    }

    /// None where the engine does not tell.
    fn engine_has(&self, told: Option<&Told>) -> Option<bool> {
        let told = told.filter(|told| told.features.iter().any(|name| is_engine_name(name)))?;
        (!self.engine.is_empty()).then(|| told.has(self.engine))
    }
}

/// Letters and digits in lower case: systems write `avx512_vnni`, `avx512vnni` and `sse4.2`, `sse4_2`.
fn bare(name: &str) -> String {
    name.chars().filter(char::is_ascii_alphanumeric).map(|letter| letter.to_ascii_lowercase()).collect()
}

fn processor_cell(has: Option<bool>) -> Cell {
    has.map_or(Cell::missing("the system does not tell"), Cell::flag)
}

fn engine_cell(has: Option<bool>, row: &Row, told: Option<&Told>) -> Cell {
    match (has, told) {
        (Some(has), _) => Cell::flag(has),
        (None, None) => Cell::missing(""),
        (None, Some(_)) if row.engine.is_empty() => Cell::missing("not reported by llama.cpp"),
        (None, Some(_)) => Cell::missing("not told by this engine"),
    }
}

fn warn_of_slow(document: &mut Document, names: &[&str], own: bool) {
    if names.is_empty() {
        return;
    }
    let advice = if own {
        "build it on this machine, in the project's folder, whose cargo settings say target-cpu=native (a RUSTFLAGS \
         in the environment overrides them): `cargo build --release -p gguflab-worker`"
    } else {
        "use a build made for this machine (cmake -DGGML_NATIVE=ON)"
    };
    document.warning(format!(
        "the processor has {} but the engine was not built with it and is slower than it could be: {advice}",
        names.join(", ")
    ));
}

fn warn_of_crash(document: &mut Document, names: &[&str], own: bool) {
    if names.is_empty() {
        return;
    }
    let advice = if own {
        "build it anew on this machine with `cargo build --release -p gguflab-worker`"
    } else {
        "use a build made for this machine"
    };
    document.warning(format!(
        "the engine was built with {}, which this processor does not have, and may crash with an illegal \
         instruction: {advice}",
        names.join(", ")
    ));
}
