//! `cargo xtask setup`: makes sure that llama.cpp can be built here, and hands back the environment to build it in.
//!
//! A fresh machine has Rust, a C linker and Python 3 with pip. What else is needed is looked for first; what is
//! missing is installed by apt where that is allowed, else from Python packages into the cache (no root needed),
//! else the exact command for the system at hand is printed. `GGUFLAB_SETUP=pip` takes the Python packages even
//! where the system has the tools, so that this route can be tried anywhere; `none` installs nothing.

use crate::{command, install, tools};
use anyhow::{Result, bail};
use std::ffi::OsString;
use std::path::PathBuf;
use std::process::Command;
use tools::{Need, Tools};

/// `cargo xtask setup`.
pub fn verb(_arguments: &[String]) -> Result<()> {
    prepare().map(|_| ())
}

/// What a build of llama.cpp needs to be told. All calls of cargo and cmake in xtask go through this.
pub struct BuildEnvironment {
    /// Variables set for the build; empty when the system's own tools suffice, so that a plain `cargo build`
    /// and one by xtask are the same build.
    pub variables: Vec<(String, OsString)>,
    /// The cmake program.
    pub cmake: PathBuf,
    /// Whether ninja is there.
    pub has_ninja: bool,
    /// First line of the C++ compiler's version.
    pub compiler: String,
}

impl BuildEnvironment {
    /// A program run in this environment, in the folder of the workspace.
    pub fn command(&self, program: impl Into<PathBuf>) -> Command {
        let mut command = Command::new(program.into());
        command.current_dir(command::root());
        // What `cargo run` told xtask about itself is not for the builds below it.
        for (name, _) in std::env::vars_os() {
            let text = name.to_string_lossy();
            if text.starts_with("CARGO_PKG_") || text.starts_with("CARGO_MANIFEST_") {
                command.env_remove(&name);
            }
        }
        command.envs(self.variables.iter().map(|(name, value)| (name, value)));
        command
    }

    /// Cargo in this environment.
    pub fn cargo(&self) -> Command {
        self.command(std::env::var_os("CARGO").map_or_else(|| PathBuf::from("cargo"), PathBuf::from))
    }
}

/// Finds or installs what the build needs; one line says what was found.
pub fn prepare() -> Result<BuildEnvironment> {
    let route = Route::from_environment()?;
    let mut found = if route == Route::Pip { Tools::compiler_only() } else { Tools::on_system() };
    if route == Route::Auto && !found.missing().is_empty() && install::with_apt(&found.missing()) {
        found = Tools::on_system();
    }
    if route != Route::None && found.missing().iter().any(|need| *need != Need::Compiler) {
        match install::with_pip() {
            Ok(packages) => found = found.replaced_by(packages),
            Err(error) => eprintln!("set-up: the Python packages could not be used: {error:#}"),
        }
    }
    finish(&found)
}

fn finish(found: &Tools) -> Result<BuildEnvironment> {
    let missing = found.missing();
    let (Some(compiler), Some(cmake), true) = (&found.compiler, &found.cmake, missing.is_empty()) else {
        let names = missing.iter().map(|need| need.name()).collect::<Vec<_>>().join(", ");
        bail!(
            "the build needs {names}, which could not be found or installed; run\n\n{}\n",
            install::advice()
        );
    };
    eprintln!("set-up: {}", found.summary());
    Ok(BuildEnvironment {
        variables: found.variables(),
        cmake: cmake.program.clone(),
        has_ninja: found.ninja.is_some(),
        compiler: compiler.clone(),
    })
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Route {
    Auto,
    Pip,
    None,
}

impl Route {
    fn from_environment() -> Result<Route> {
        Route::parse(&std::env::var("GGUFLAB_SETUP").unwrap_or_default())
    }

    fn parse(text: &str) -> Result<Route> {
        match text {
            "" | "auto" => Ok(Route::Auto),
            "pip" => Ok(Route::Pip),
            "none" => Ok(Route::None),
            other => bail!("GGUFLAB_SETUP is `{other}`, but must be `auto`, `pip` or `none`"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn routes_are_read_and_others_refused() {
        assert_eq!(Route::parse("").expect("default"), Route::Auto);
        assert_eq!(Route::parse("pip").expect("pip"), Route::Pip);
        assert!(Route::parse("conda").expect_err("unknown").to_string().contains("`conda`"));
    }

    #[test]
    fn what_is_missing_is_named_with_a_command() {
        let nothing = Tools { compiler: None, cmake: None, libclang: None, ninja: None, make: None };
        let Err(error) = finish(&nothing) else { panic!("nothing is there, so set-up must fail") };
        let text = error.to_string();
        for name in ["a C++ compiler", "cmake", "libclang"] {
            assert!(text.contains(name), "{text}");
        }
        assert!(text.contains("install"), "{text}");
    }
}
