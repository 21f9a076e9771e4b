//! `cargo xtask platforms`: type-checks the project for the systems that it is not tested on.
//!
//! Checking needs no machine of that kind, only Rust's standard library for it (`rustup target add TARGET`); a
//! target without it is left out, and that is said. Crates that link llama.cpp need its C++ build and are never
//! checked here. Crates above SQLite need a C compiler for the target: on Linux that is
//! `x86_64-w64-mingw32-gcc` for Windows, or whatever `CC_…` names (such as `zig cc -target …`).

use crate::command;
use crate::setup::BuildEnvironment;
use anyhow::{Result, bail};
use std::path::Path;
use std::process::Command;

/// Systems that the project has its own code for.
const TARGETS: &[&str] = &["x86_64-pc-windows-msvc", "x86_64-pc-windows-gnu", "aarch64-apple-darwin"];

/// Crates that need nothing but Rust.
const PLAIN: &[&str] = &[
    "gguflab-types",
    "gguflab-format",
    "gguflab-stats",
    "gguflab-search",
    "gguflab-plan",
    "gguflab-data",
    "gguflab-engine",
    "gguflab-report",
    "xtask",
];

/// Crates above SQLite, which is C.
const WITH_C: &[&str] = &["gguflab-store", "gguflab-lab", "gguflab"];

/// Crates that link llama.cpp.
const WITH_LLAMA_CPP: &[&str] = &["gguflab-native", "gguflab-worker"];

/// `cargo xtask platforms [TARGET…]`.
pub fn verb(arguments: &[String]) -> Result<()> {
    let chosen = choose(arguments)?;
    // No set-up: nothing of llama.cpp is built.
    let environment = BuildEnvironment {
        variables: vec![],
        cmake: "cmake".into(),
        has_ninja: false,
        compiler: String::new(),
    };
    let mut report = Vec::new();
    for target in chosen {
        report.extend(check(&environment, target)?);
    }
    report.push(format!("never checked here: {} (llama.cpp is C++)", WITH_LLAMA_CPP.join(", ")));
    report.iter().for_each(|line| println!("{line}"));
    Ok(())
}

fn choose(arguments: &[String]) -> Result<Vec<&'static str>> {
    let find = |name: &String| match TARGETS.iter().find(|target| *target == name) {
        Some(target) => Ok(*target),
        None => bail!("`{name}` is none of the targets {}", TARGETS.join(", ")),
    };
    if arguments.is_empty() { Ok(TARGETS.to_vec()) } else { arguments.iter().map(find).collect() }
}

/// Checks what can be checked for one target and tells what was not.
fn check(environment: &BuildEnvironment, target: &str) -> Result<Vec<String>> {
    if !has_standard_library(target) {
        return Ok(vec![format!("{target}: not checked; first run `rustup target add {target}`")]);
    }
    eprintln!("platforms: {target}");
    cargo_check(environment, target, PLAIN)?;
    let mut report = vec![format!("{target}: fine: {}", PLAIN.join(", "))];
    if has_c_compiler(target) {
        cargo_check(environment, target, WITH_C)?;
        report.push(format!("{target}: fine: {}", WITH_C.join(", ")));
    } else {
        let (names, variable) = (WITH_C.join(", "), c_compiler_variable(target));
        report.push(format!("{target}: not checked: {names}; name a C compiler for it in {variable}"));
    }
    Ok(report)
}

fn cargo_check(environment: &BuildEnvironment, target: &str, crates: &[&str]) -> Result<()> {
    let mut cargo = environment.cargo();
    cargo.args(["check", "--quiet", "--target", target]).args(crates.iter().flat_map(|name| ["-p", name]));
    // The workspace builds for the CPU at hand, which another system's target does not know.
    cargo.env("RUSTFLAGS", "-C target-cpu=generic");
    // Other flags: in the folder of the normal builds they would drive out what is built there.
    command::run(cargo.env("CARGO_TARGET_DIR", command::release_folder().with_file_name("platforms")))
}

fn has_standard_library(target: &str) -> bool {
    let printed =
        command::capture(Command::new("rustc").args(["--print", "target-libdir", "--target", target]));
    printed.is_ok_and(|folder| Path::new(&folder).is_dir())
}

fn has_c_compiler(target: &str) -> bool {
    let system =
        target.contains(std::env::consts::OS) || (target.contains("darwin") && cfg!(target_os = "macos"));
    system
        || std::env::var_os(c_compiler_variable(target)).is_some()
        || (target.ends_with("windows-gnu") && command::find("x86_64-w64-mingw32-gcc").is_some())
}

/// The variable in which the crate `cc` looks for the C compiler of a target.
fn c_compiler_variable(target: &str) -> String {
    format!("CC_{}", target.replace('-', "_"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::BTreeSet;

    #[test]
    fn every_crate_is_checked_or_named() {
        let folder = command::root().join("crates");
        let folders = std::fs::read_dir(folder).expect("crates").flatten();
        let mut expected: BTreeSet<String> =
            folders.map(|entry| entry.file_name().to_string_lossy().into_owned()).collect();
        expected.insert("xtask".to_owned());
        let named: BTreeSet<String> =
            [PLAIN, WITH_C, WITH_LLAMA_CPP].concat().into_iter().map(str::to_owned).collect();
        assert_eq!(named, expected);
    }

    #[test]
    fn unknown_targets_are_refused_by_name() {
        let error = choose(&["sparc-sun-solaris".to_owned()]).expect_err("unknown").to_string();
        assert!(error.contains("sparc-sun-solaris") && error.contains(TARGETS[0]), "{error}");
        assert_eq!(choose(&[]).expect("all").len(), TARGETS.len());
    }

    #[test]
    fn the_hosts_own_library_is_found_and_an_invented_one_is_not() {
        assert!(!has_standard_library("sparc-sun-solaris-invented"));
        assert_eq!(c_compiler_variable("x86_64-pc-windows-gnu"), "CC_x86_64_pc_windows_gnu");
    }
}
