//! Writes one of the project's own small models, which stand in for real ones where none can be fetched:
//! `cargo run --release -p gguflab-format --example write_tiny_model -- PATH [ARCHITECTURE]`.
//! Without an architecture (llama, mixtral, olmoe, qwen2moe, qwen3moe) it is the demo model.

use std::error::Error;
use std::io::Write;
use std::path::PathBuf;

use gguflab_format::tiny::TINY_ARCHITECTURES;
use gguflab_format::{TinyModel, write_tiny};

fn main() -> Result<(), Box<dyn Error>> {
    let mut arguments = std::env::args_os().skip(1);
    let path =
        arguments.next().map(PathBuf::from).ok_or("say where: write_tiny_model PATH [ARCHITECTURE]")?;
    let model = match arguments.next() {
        None => TinyModel::demo(),
        Some(word) => {
            let known = TINY_ARCHITECTURES.into_iter().find(|architecture| *word == *architecture.word());
            TinyModel::new(known.ok_or("the architecture is llama, mixtral, olmoe, qwen2moe or qwen3moe")?)
        }
    };
    write_tiny(&path, &model)?;
    writeln!(std::io::stdout().lock(), "{}", path.display())?;
    Ok(())
}
