//! Times the reading of a large header, and shows the facts of a model if a path is given.
//!
//! `cargo run --release -p gguflab-format --example header_time [MODEL.gguf]`
//!
//! Without a path the header is made up: 1,200 tensors, 128,000 tokens, 280,000 merges.

use std::error::Error;
use std::fs::File;
use std::io::{Write, stdout};
use std::path::{Path, PathBuf};
use std::time::Instant;

use gguflab_format::metadata::{Array, Metadata, StringArray};
use gguflab_format::{
    Contents, Dimensions, Header, Model, ModelFacts, TensorPlan, TensorType, check, write::write_to,
};

const ROUNDS: usize = 51;

fn main() -> Result<(), Box<dyn Error>> {
    let mut out = stdout().lock();
    let given = std::env::args_os().nth(1).map(PathBuf::from);
    if let Some(path) = &given {
        show(&mut out, path)?;
    }
    let bytes = match &given {
        Some(path) => std::fs::read(path)?,
        None => large_header()?,
    };
    let header = Header::parse(&bytes)?;
    writeln!(out, "header: {} tensors, {} bytes before the data", header.tensors.len(), header.data_offset)?;
    writeln!(out, "from memory: median {:.2} ms", median(|| drop(Header::parse(&bytes))))?;
    let copy = std::env::temp_dir().join(format!("gguflab-header-{}.gguf", std::process::id()));
    std::fs::write(&copy, &bytes[..bytes.len().min(header.data_offset as usize)])?;
    let read = || {
        if let Ok(file) = File::open(&copy) {
            drop(Header::read(file, None));
        }
    };
    writeln!(out, "from a file: median {:.2} ms", median(read))?;
    std::fs::remove_file(&copy)?;
    Ok(())
}

fn show(out: &mut impl Write, path: &Path) -> Result<(), Box<dyn Error>> {
    let model = Model::open(path)?;
    writeln!(out, "{:#?}", ModelFacts::read(&model))?;
    for finding in check(&model) {
        writeln!(out, "{}: {}: {}", finding.severity.name(), finding.code.name(), finding.message)?;
    }
    Ok(())
}

/// Median time of a few dozen calls, in milliseconds.
fn median(call: impl Fn()) -> f64 {
    let mut times: Vec<f64> = (0..ROUNDS)
        .map(|_| {
            let start = Instant::now();
            call();
            start.elapsed().as_secs_f64() * 1e3
        })
        .collect();
    times.sort_by(f64::total_cmp);
    times[ROUNDS / 2]
}

fn large_header() -> Result<Vec<u8>, Box<dyn Error>> {
    let mut metadata = Metadata::new();
    metadata.set("general.architecture", "llama");
    metadata.set("tokenizer.ggml.tokens", words(128_000, "token")?);
    metadata.set("tokenizer.ggml.token_type", Array::I32(vec![1; 128_000]));
    metadata.set("tokenizer.ggml.merges", words(280_000, "to ken")?);
    let dimensions = Dimensions::new(&[32, 1]).ok_or("a shape of two dimensions")?;
    let tensors = (0..1_200)
        .map(|index| TensorPlan {
            name: format!("blk.{}.part_{}.weight", index / 10, index % 10),
            dimensions,
            tensor_type: TensorType::Q4_0,
        })
        .collect();
    let mut bytes = Vec::new();
    write_to(&mut bytes, &Contents::new(metadata, tensors), |tensor, writer| {
        writer.write_all(&vec![0; tensor.bytes as usize])
    })?;
    Ok(bytes)
}

fn words(count: usize, stem: &str) -> Result<StringArray, Box<dyn Error>> {
    let mut words = StringArray::new();
    for index in 0..count {
        if !words.push(format!("{stem}{index}").as_bytes()) {
            return Err("the words are too long together".into());
        }
    }
    Ok(words)
}
