//! References and what the engine's own quantiser makes of them: on models all of whose rows are whole blocks of every
//! type, of two architectures.

use crate::evaluate::{cells, document, number, text};
use crate::logits::{Peer, assert_as_printed};
use crate::support::{Place, Random, given};
use gguflab_format::{Contents, Metadata, Model, TensorPlan, TensorType, TinyArchitecture, TinyModel};
use half::f16;
use std::io::Write;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use std::process::Command;

/// From the least to the most that is lost.
pub(crate) const LADDER: [&str; 3] = ["Q8_0", "Q4_K_M", "Q2_K"];

/// What the engine's quantiser makes of rows that are whole blocks of 256; its fallbacks are none of these.
const K_QUANTS: [TensorType; 5] =
    [TensorType::Q2_K, TensorType::Q3_K, TensorType::Q4_K, TensorType::Q5_K, TensorType::Q6_K];

/// Writes a model anew with other metadata, and tensors of the types and bytes that are asked for.
pub(crate) fn rewrite(
    [source, target]: [&Path; 2],
    change: impl FnOnce(&mut Metadata),
    kind: impl Fn(TensorType) -> TensorType,
    mut write: impl FnMut(TensorType, &[u8], &mut dyn Write) -> std::io::Result<()>,
) {
    let model = Model::open(source).unwrap();
    let plan = |tensor: &gguflab_format::TensorInfo| TensorPlan {
        name: tensor.name.clone(),
        dimensions: tensor.dimensions,
        tensor_type: kind(tensor.tensor_type),
    };
    let mut metadata = model.metadata().clone();
    change(&mut metadata);
    let tensors = model.tensor_ranges().map(|range| plan(range.tensor)).collect();
    let mut ranges = model.tensor_ranges();
    gguflab_format::write_file(target, &Contents::new(metadata, tensors), |_, writer| {
        let range = ranges.next().unwrap();
        let mut bytes = vec![0; usize::try_from(range.bytes).unwrap()];
        std::fs::File::open(range.path)?.read_exact_at(&mut bytes, range.offset)?;
        write(range.tensor.tensor_type, &bytes, writer)
    })
    .unwrap();
}

/// Writes a model's matrices with 16 bits, each number moved at random within the step that it was rounded by. Without it a
/// model that was quantised once lies on a grid, and what is made of it anew looks better than it is.
pub(crate) fn write_dithered(source: &Path, target: &Path) {
    let mut random = Random(42);
    let kind = |tensor_type| match tensor_type {
        TensorType::F32 => TensorType::F32,
        _ => TensorType::F16,
    };
    let change = |metadata: &mut Metadata| metadata.set("general.file_type", 1_u32);
    rewrite([source, target], change, kind, |tensor_type, bytes, writer| {
        write_numbers(tensor_type, bytes, &mut random, writer)
    });
}

/// The numbers of a tensor (`block_q4_1` and `block_q8_0` in ggml-common.h), dithered.
fn write_numbers(
    tensor_type: TensorType,
    bytes: &[u8],
    random: &mut Random,
    writer: &mut dyn Write,
) -> std::io::Result<()> {
    let scale = |bytes: &[u8]| f16::from_le_bytes([bytes[0], bytes[1]]).to_f32();
    let mut dithered = |step: f32, number: f32| {
        let moved = number + step * (random.next() - 0.5) as f32;
        f16::from_f32(moved).to_le_bytes()
    };
    match tensor_type {
        TensorType::F32 => writer.write_all(bytes),
        TensorType::Q8_0 => bytes.chunks_exact(34).try_for_each(|block| {
            let step = scale(block);
            let numbers = block[2..].iter().map(|byte| dithered(step, f32::from(byte.cast_signed()) * step));
            writer.write_all(&numbers.flatten().collect::<Vec<u8>>())
        }),
        TensorType::Q4_1 => bytes.chunks_exact(20).try_for_each(|block| {
            let (step, lowest) = (scale(block), scale(&block[2..]));
            let quants = &block[4..];
            let levels = quants.iter().map(|byte| byte & 15).chain(quants.iter().map(|byte| byte >> 4));
            let numbers = levels.map(|level| dithered(step, f32::from(level) * step + lowest));
            writer.write_all(&numbers.flatten().collect::<Vec<u8>>())
        }),
        other => panic!("{} is no source here", other.name()),
    }
}

/// What the engine's own quantiser makes of a model: the file, named by the type, beside it.
pub(crate) fn quantised(program: &Path, source: &Path, name: &str) -> PathBuf {
    let target = source.with_file_name(format!("{name}.gguf"));
    let made = Command::new(program).arg(source).arg(&target).args([name, "2"]).output().unwrap();
    let said = String::from_utf8_lossy(&made.stdout) + String::from_utf8_lossy(&made.stderr);
    assert!(made.status.success(), "{said}");
    target
}

/// Every matrix has a type that was asked for; keys and values of eight experts get more bits by the quantiser's rules.
fn assert_nothing_fell_back(path: &Path, name: &str) {
    let asked: &[TensorType] = if name == "Q8_0" { &[TensorType::Q8_0] } else { &K_QUANTS };
    let model = Model::open(path).unwrap();
    let matrices = model
        .tensor_ranges()
        .map(|range| range.tensor)
        .filter(|tensor| tensor.dimensions.significant() > 1 && !tensor.name.contains("ffn_gate_inp"));
    for tensor in matrices {
        assert_eq!(tensor.dimensions.columns() % 256, 0, "{}", tensor.name);
        let raised = tensor.tensor_type == TensorType::Q8_0
            && ["attn_k.", "attn_v."].iter().any(|part| tensor.name.contains(part));
        assert!(
            asked.contains(&tensor.tensor_type) || raised,
            "{name}: {} is {}",
            tensor.name,
            tensor.tensor_type.name()
        );
    }
}

/// A dithered reference of 16 bits, `F16.gguf`, and its ladder.
fn place(program: &Path, architecture: TinyArchitecture) -> Place {
    let place = Place::new();
    place.write("text.txt", text());
    let model = TinyModel { weights: TensorType::Q8_0, ..TinyModel::new(architecture) };
    gguflab_format::write_tiny(&place.path("source.gguf"), &model).unwrap();
    let reference = place.path("F16.gguf");
    write_dithered(&place.path("source.gguf"), &reference);
    for name in LADDER {
        assert_nothing_fell_back(&quantised(program, &reference, name), name);
    }
    place
}

fn divergences(place: &Place, reference: &str) -> Vec<f64> {
    let line = format!(
        "evaluate Q8_0.gguf Q4_K_M.gguf Q2_K.gguf F16.gguf --reference {reference} --text text.txt --context 256 \
         --protocol every-position --set threads=1 --json -q"
    );
    let found = document(&place.check(&line, 0, "windows"));
    cells(&found, "Distance", "KL divergence").into_iter().map(number).collect()
}

#[test]
fn the_engine_ranks_its_own_quantisations_of_two_architectures() {
    let Some(program) = given("GGUFLAB_LLAMA_QUANTIZE") else { return };
    for architecture in [TinyArchitecture::Llama, TinyArchitecture::Qwen3Moe] {
        let place = place(&program, architecture);
        let exact = divergences(&place, "F16.gguf");
        assert!(exact[0] > 0.0 && exact[0] < exact[1] && exact[1] < exact[2], "{architecture:?}: {exact:?}");
        assert_eq!(exact[3], 0.0, "{architecture:?}: a reference is not far from itself");
        let record = "logits record F16.gguf --text text.txt --context 256 --protocol every-position";
        place.check(&format!("{record} --set threads=1 -o ref.parquet"), 0, "is whole");
        let sketched = divergences(&place, "ref.parquet");
        for (name, (sketched, exact)) in LADDER.iter().zip(sketched.iter().zip(&exact)) {
            assert!((sketched / exact - 1.0).abs() < 0.01, "{architecture:?} {name}: {sketched}, {exact}");
        }
        assert!(sketched[3].abs() < 1e-6, "{sketched:?}");
    }
}

#[test]
fn the_real_llama_perplexity_says_the_same_of_a_mixture_of_experts() {
    let (Some(program), Some(quantise)) =
        (given("GGUFLAB_LLAMA_PERPLEXITY"), given("GGUFLAB_LLAMA_QUANTIZE"))
    else {
        return;
    };
    let place = place(&quantise, TinyArchitecture::Qwen3Moe);
    let peer = Peer { program, threads: "2" };
    let base = ["-m", "F16.gguf", "-f", "text.txt", "--chunks", "8", "--kl-divergence-base", "its.kld"];
    peer.run(&place, &base);
    for name in LADDER {
        let model = format!("{name}.gguf");
        let its = peer.run(&place, &["-m", &model, "--kl-divergence-base", "its.kld", "--kl-divergence"]);
        let line = format!("evaluate {model} --reference its.kld --set threads=2 --json -q");
        assert_as_printed(&document(&place.check(&line, 0, "PPL(base)")), &its);
    }
}
