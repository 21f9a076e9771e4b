//! Tests of the format crate, one binary.

mod exercise;
mod findings;
mod hostile;
mod kinds;
mod parts;
mod round_trip;
mod tiny_models;
mod type_table;

use std::path::PathBuf;

use gguflab_format::{Contents, Dimensions, FormatError, Header, Model, ModelFile, TensorPlan, TensorType};

/// The bytes of a file with these contents; tensor data are a running count.
fn bytes_of(contents: &Contents) -> Vec<u8> {
    let mut bytes = Vec::new();
    gguflab_format::write::write_to(&mut bytes, contents, |tensor, writer| {
        let data: Vec<u8> = (0..tensor.bytes).map(|index| index as u8).collect();
        writer.write_all(&data)
    })
    .expect("valid contents");
    bytes
}

fn plan(name: &str, sizes: &[u64], tensor_type: TensorType) -> TensorPlan {
    let dimensions = Dimensions::new(sizes).expect("at most four");
    TensorPlan { name: name.to_owned(), dimensions, tensor_type }
}

/// A model of one file that exists in memory only.
fn in_memory(header: Header, bytes: u64) -> Model {
    Model::from(ModelFile { path: PathBuf::from("memory.gguf"), bytes, header })
}

fn parse_model(bytes: &[u8]) -> Result<Model, FormatError> {
    Ok(in_memory(Header::parse(bytes)?, bytes.len() as u64))
}
