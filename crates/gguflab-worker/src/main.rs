//! The child process that links llama.cpp: loads models, decodes, measures.
//!
//! Commands come in on standard input and messages go out on what was standard output, one JSON object on a
//! line (`gguflab_types::message`). It is started by the `gguflab` program, not by people.

// Its version and usage are all that this program ever prints.
#![expect(clippy::print_stdout, clippy::print_stderr)]

mod channel;
mod contain;
mod evaluation;
mod measure;
mod operations;
mod outputs;
mod prompt;
mod roof;
mod serve;
mod supervise;

use gguflab_types::message::{Hello, PROTOCOL_VERSION};
use std::process::ExitCode;

const HELP: &str = "gguflab-worker: does the work of gguflab in a process of its own. Started by gguflab.

  gguflab-worker [--numa STRATEGY] [--address-space BYTES]   take commands on standard input
  gguflab-worker supervise [--pipe] -- PROGRAM ARGUMENTS     run a program that ends when standard input closes
  gguflab-worker --version
";

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let words: Vec<&str> = arguments.iter().map(String::as_str).collect();
    match words.as_slice() {
        ["supervise", "--", program, rest @ ..] => supervise::run(program, rest, false),
        ["supervise", "--pipe", "--", program, rest @ ..] => supervise::run(program, rest, true),
        ["--version"] => {
            println!("gguflab-worker {} ({})", env!("CARGO_PKG_VERSION"), gguflab_native::ENGINE);
            ExitCode::SUCCESS
        }
        ["--help" | "-h"] => {
            print!("{HELP}");
            ExitCode::SUCCESS
        }
        options => match Options::read(options) {
            Some(options) => work(&options),
            None => {
                eprint!("unknown arguments: {}\n\n{HELP}", words.join(" "));
                ExitCode::from(2)
            }
        },
    }
}

/// What the worker is started with.
#[derive(Default)]
struct Options {
    numa: Option<String>,
    address_space: Option<u64>,
}

impl Options {
    fn read(mut words: &[&str]) -> Option<Options> {
        let mut options = Options::default();
        loop {
            match words {
                [] => return Some(options),
                ["--numa", strategy, rest @ ..] => {
                    options.numa = Some((*strategy).to_string());
                    words = rest;
                }
                ["--address-space", bytes, rest @ ..] => {
                    options.address_space = Some(bytes.parse().ok()?);
                    words = rest;
                }
                _ => return None,
            }
        }
    }
}

fn work(options: &Options) -> ExitCode {
    contain::this_process(options.address_space);
    let output = channel::take_over_output();
    let commands = channel::read_commands();
    channel::capture_log(&output);
    let Some(backend) = gguflab_native::Backend::start(options.numa.as_deref()) else {
        return ExitCode::FAILURE;
    };
    output.send(&gguflab_types::message::Message::Hello(Hello {
        protocol: PROTOCOL_VERSION,
        version: env!("CARGO_PKG_VERSION").to_string(),
        process: std::process::id(),
        engine: backend.build(),
        features: backend.features(),
        backends: backend.backends(),
    }));
    channel::beat(&output);
    serve::serve(&backend, &commands, &output);
    ExitCode::SUCCESS
}
