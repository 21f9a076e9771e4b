//! `cargo xtask peer`: builds llama.cpp's own tools from the same sources as the engine, as test tools only.
//!
//! They stand in the cache, outside of the tree, in a folder named by llama.cpp's build, the compiler, the flags
//! and the CPU: the build is native, so a cache that moved to another machine is not used there by mistake.

use crate::setup::{self, BuildEnvironment};
use crate::{cache, command, fetch};
use anyhow::{Result, bail};
use std::path::{Path, PathBuf};
use std::time::Instant;

/// What the crate's build script adds to every compilation of the engine. Without it the same sources are laid out
/// otherwise, and prompts take 1.2 to 1.7 % less processor time.
const COMPILER_FLAGS: &str = "-ffunction-sections -fdata-sections -fPIC";

/// Release and native as in the engine's own build; static, so that a tool is one file.
const FLAGS: &[&str] = &[
    "-DCMAKE_BUILD_TYPE=Release",
    "-DBUILD_SHARED_LIBS=OFF",
    "-DGGML_NATIVE=ON",
    "-DGGML_RPC=ON",
    "-DGGML_CCACHE=OFF",
    "-DLLAMA_BUILD_SERVER=ON",
    "-DLLAMA_BUILD_UI=OFF",
    "-DLLAMA_BUILD_APP=OFF",
    "-DLLAMA_BUILD_TESTS=OFF",
    "-DLLAMA_BUILD_EXAMPLES=OFF",
    "-DLLAMA_BUILD_MTMD=OFF",
    "-DLLAMA_OPENSSL=OFF",
];

/// The tools that may be asked for.
const TARGETS: &[&str] = &[
    "llama-bench",
    "llama-perplexity",
    "llama-quantize",
    "llama-imatrix",
    "llama-gguf-split",
    "llama-server",
    "ggml-rpc-server",
];

/// `cargo xtask peer [TARGET…]`: prints the folder of the programs.
pub fn verb(arguments: &[String]) -> Result<()> {
    let mut targets: Vec<&str> = arguments.iter().map(String::as_str).collect();
    if let Some(unknown) = targets.iter().find(|target| !TARGETS.contains(target)) {
        bail!("`{unknown}` is none of llama.cpp's tools that are built here: {}", TARGETS.join(", "));
    }
    if targets.is_empty() {
        targets.push("llama-bench");
    }
    println!("{}", build(&setup::prepare()?, &targets)?.display());
    Ok(())
}

/// Builds the tools (at once if they are built already) and hands back the folder in which they stand.
pub fn build(environment: &BuildEnvironment, targets: &[&str]) -> Result<PathBuf> {
    build_with(environment, targets, &[])
}

/// The same with further flags of cmake, in a folder of its own.
pub fn build_with(environment: &BuildEnvironment, targets: &[&str], further: &[&str]) -> Result<PathBuf> {
    let sources = fetch::llama_cpp()?;
    let _lock = cache::lock("peer")?;
    let flags = flags(further);
    let about = about(environment, &flags);
    let folder =
        cache::folder()?.join(format!("peer-{}-{}", fetch::LLAMA_CPP_BUILD, cache::key_of(&about, 12)));
    let build = folder.join("build");
    configure(environment, &sources, &folder, &flags, &about)?;
    let start = Instant::now();
    if targets.iter().any(|target| !program(&build, target).is_file()) {
        eprintln!("peer: building {} in {} (minutes)", targets.join(", "), folder.display());
    }
    let mut cmake = environment.command(&environment.cmake);
    cmake.arg("--build").arg(&build).args(["--config", "Release", "--target"]).args(targets);
    if std::env::var_os("CMAKE_BUILD_PARALLEL_LEVEL").is_none() {
        let cores = std::thread::available_parallelism().map_or(1, usize::from);
        cmake.args(["--parallel", &cores.to_string()]);
    }
    command::run_logged(&mut cmake, &folder.join("build.log"))?;
    eprintln!("peer: {} ready after {:.0} s", targets.join(", "), start.elapsed().as_secs_f64());
    let first = targets.first().map_or_else(|| build.clone(), |target| program(&build, target));
    Ok(first.parent().unwrap_or(&build).to_owned())
}

/// The program of a target: Visual Studio puts it one folder deeper.
pub fn program(build: &Path, target: &str) -> PathBuf {
    let name = command::executable(target);
    let deeper = build.join("bin").join("Release").join(&name);
    if deeper.is_file() { deeper } else { build.join("bin").join(name) }
}

fn configure(
    environment: &BuildEnvironment,
    sources: &Path,
    folder: &Path,
    flags: &[String],
    about: &str,
) -> Result<()> {
    let build = folder.join("build");
    if build.join("configured").is_file() {
        return Ok(());
    }
    std::fs::create_dir_all(&build)?;
    std::fs::write(folder.join("about.txt"), about)?;
    let mut cmake = environment.command(&environment.cmake);
    if environment.has_ninja {
        cmake.args(["-G", "Ninja"]);
    }
    cmake.arg("-S").arg(sources).arg("-B").arg(&build).args(flags);
    command::run_logged(&mut cmake, &folder.join("configure.log"))?;
    // Written last: an interrupted configuration is done again.
    Ok(std::fs::write(build.join("configured"), "")?)
}

/// The fixed flags, the build number, which the tools print and the source package does not know, the compiler's, and further
/// ones, which win over those before them.
fn flags(further: &[&str]) -> Vec<String> {
    let number = fetch::LLAMA_CPP_BUILD.trim_start_matches('b');
    let fixed = FLAGS.iter().map(|flag| (*flag).to_owned());
    // They are those of gcc and clang; Visual Studio's compiler has its own.
    let compiler = ["C", "CXX"].map(|language| format!("-DCMAKE_{language}_FLAGS={COMPILER_FLAGS}"));
    let compiler = compiler.into_iter().filter(|_| cfg!(unix));
    let further = further.iter().map(|flag| (*flag).to_owned());
    fixed.chain([format!("-DLLAMA_BUILD_NUMBER={number}")]).chain(compiler).chain(further).collect()
}

/// All that the programs depend on; its sum names the folder.
fn about(environment: &BuildEnvironment, flags: &[String]) -> String {
    let generator = if environment.has_ninja { "ninja" } else { "default" };
    let flags = flags.join(" ");
    let (build, compiler) = (fetch::LLAMA_CPP_BUILD, &environment.compiler);
    format!("llama.cpp {build}\ncompiler {compiler}\ngenerator {generator}\nflags {flags}\ncpu {}\n", cpu())
}

/// What distinguishes CPUs for a native build: the instruction sets where the system tells, else the architecture.
fn cpu() -> String {
    let information = std::fs::read_to_string("/proc/cpuinfo").unwrap_or_default();
    let features = information.lines().find(|line| line.starts_with("flags") || line.starts_with("Features"));
    features.unwrap_or(std::env::consts::ARCH).to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn environment(compiler: &str, has_ninja: bool) -> BuildEnvironment {
        BuildEnvironment { variables: vec![], cmake: "cmake".into(), has_ninja, compiler: compiler.into() }
    }

    #[test]
    fn another_compiler_generator_or_flag_is_another_folder() {
        let cases = [("g++ 12", true), ("g++ 13", true), ("g++ 12", false)];
        let texts = cases.map(|(compiler, ninja)| about(&environment(compiler, ninja), &flags(&[])));
        assert!(texts[0] != texts[1] && texts[0] != texts[2], "{texts:?}");
        assert_ne!(texts[0], about(&environment("g++ 12", true), &flags(&["-DGGML_NATIVE=OFF"])));
        assert!(texts[0].contains("-DGGML_NATIVE=ON") && texts[0].contains("llama.cpp b"), "{}", texts[0]);
    }

    #[test]
    fn unknown_tools_are_refused_by_name() {
        let error = verb(&["llama-fly".to_owned()]).expect_err("unknown").to_string();
        assert!(error.contains("llama-fly") && error.contains("llama-bench"), "{error}");
    }
}
