//! Installs what the build needs: by apt, or from Python packages into the cache; or says which command would.

use crate::tools::{Need, Tools, check_cmake, check_libclang};
use crate::{cache, command};
use anyhow::{Context, Result};
use std::path::{Path, PathBuf};
use std::process::Command;

/// The Python packages that bring the tools without root. Pinned: the set-up of today is that of tomorrow.
const PACKAGES: [&str; 3] = ["cmake==4.4.4", "ninja==1.13.2", "libclang==18.1.1"];

/// Installs Debian packages, if the system has apt and we may use it. Failing is no error: another route follows.
pub fn with_apt(missing: &[Need]) -> bool {
    let Some(apt) = command::find("apt-get") else { return false };
    let Some(prefix) = root_prefix() else { return false };
    let mut packages: Vec<&str> = missing.iter().map(|need| need.debian_package()).collect();
    if !packages.contains(&"ninja-build") {
        packages.push("ninja-build");
    }
    eprintln!("set-up: apt-get install {}", packages.join(" "));
    let mut update = apt_command(&prefix, &apt, &["update", "-qq"]);
    let mut install = apt_command(&prefix, &apt, &["install", "-y", "-qq", "--no-install-recommends"]);
    // One broken package source makes the update fail, and may well not matter for these packages.
    if let Err(error) = command::capture(&mut update) {
        eprintln!("set-up: {error:#}");
    }
    let done = command::capture(install.args(&packages));
    if let Err(error) = &done {
        eprintln!("set-up: apt could not install them: {error:#}");
    }
    done.is_ok()
}

/// What stands before a command that needs root: nothing for root, `sudo -n` where it works, else `None`.
fn root_prefix() -> Option<Vec<String>> {
    if command::capture(Command::new("id").arg("-u")).ok()? == "0" {
        return Some(Vec::new());
    }
    let works = command::succeeds(Command::new("sudo").args(["-n", "true"]));
    works.then(|| vec!["sudo".to_owned(), "-n".to_owned()])
}

fn apt_command(prefix: &[String], apt: &Path, arguments: &[&str]) -> Command {
    let apt = apt.to_string_lossy().into_owned();
    let variable = "DEBIAN_FRONTEND=noninteractive".to_owned();
    // `env`, because sudo drops variables.
    let mut words = prefix.iter().cloned().chain(["env".to_owned(), variable, apt]);
    let mut command = Command::new(words.next().unwrap_or_default());
    command.args(words).args(arguments);
    command
}

/// Installs cmake, ninja and libclang from Python packages into the cache (once), and finds them there.
pub fn with_pip() -> Result<Tools> {
    let folder = cache::folder()?.join(format!("build-tools-{}", cache::key_of(&PACKAGES.join(" "), 8)));
    let _lock = cache::lock("build-tools")?;
    if !folder.is_dir() {
        eprintln!("set-up: pip install {} (into {})", PACKAGES.join(" "), folder.display());
        cache::make_beside(&folder, "", |work| {
            let mut pip = pip()?;
            pip.args(["install", "--quiet", "--no-deps", "--only-binary=:all:", "--target"]).arg(work);
            command::run(pip.args(PACKAGES))
        })?;
    }
    Ok(in_packages(&folder))
}

fn in_packages(folder: &Path) -> Tools {
    let programs = folder.join("cmake").join("data").join("bin");
    let ninja = folder.join("bin").join(command::executable("ninja"));
    Tools {
        compiler: None,
        cmake: check_cmake(programs.join(command::executable("cmake")), true),
        libclang: check_libclang(folder.join("clang").join("native")),
        ninja: Some(ninja).filter(|path| path.is_file()),
        make: None,
    }
}

/// Python's pip, ready for its arguments.
pub fn pip() -> Result<Command> {
    let mut command = python()?;
    command.args(["-m", "pip", "--disable-pip-version-check", "--no-input"]);
    command.env("PIP_ROOT_USER_ACTION", "ignore");
    Ok(command)
}

/// A Python 3 that has pip, ready for its arguments.
pub fn python() -> Result<Command> {
    let has_pip = |name: &&str| command::succeeds(Command::new(name).args(["-m", "pip", "--version"]));
    let name = ["python3", "python", "py"].into_iter().find(has_pip);
    name.map(Command::new)
        .context("no Python 3 with pip was found: install it (on Debian: apt-get install python3-pip)")
}

/// The command that a person should run on this system.
pub fn advice() -> String {
    let release = std::fs::read_to_string("/etc/os-release").unwrap_or_default();
    advice_for(std::env::consts::OS, &release)
}

/// Systems by the words of their `/etc/os-release` (ID, ID_LIKE) and the command that installs everything.
const ADVICE: &[(&[&str], &str)] = &[
    (
        &["debian", "ubuntu"],
        "sudo apt-get install --no-install-recommends g++ cmake ninja-build libclang-dev",
    ),
    (&["fedora", "rhel", "centos"], "sudo dnf install gcc-c++ cmake ninja-build clang-devel"),
    (&["arch", "archlinux"], "sudo pacman -S --needed gcc cmake ninja clang"),
    (&["suse", "opensuse"], "sudo zypper install gcc-c++ cmake ninja clang-devel"),
    (&["alpine"], "sudo apk add g++ cmake ninja clang-dev"),
];
const ADVICE_MACOS: &str = "xcode-select --install; brew install cmake ninja llvm";
const ADVICE_WINDOWS: &str = "winget install Microsoft.VisualStudio.2022.BuildTools \
    --override \"--passive --add Microsoft.VisualStudio.Workload.VCTools\"\n    \
    winget install Kitware.CMake\n    winget install Ninja-build.Ninja\n    winget install LLVM.LLVM";

fn advice_for(system: &str, release: &str) -> String {
    let words = identities(release);
    let linux =
        ADVICE.iter().find(|(names, _)| names.iter().any(|name| words.iter().any(|word| word == name)));
    let line = match system {
        "macos" => ADVICE_MACOS,
        "windows" => ADVICE_WINDOWS,
        _ => linux.map_or(
            "install a C++ compiler, cmake, ninja and libclang by your system's package manager",
            |it| it.1,
        ),
    };
    format!("    {line}")
}

/// The words of ID and ID_LIKE, in that order: a derived system is served by its own line first.
fn identities(release: &str) -> Vec<String> {
    let value = |key: &str| release.lines().find_map(|line| line.strip_prefix(key)).unwrap_or_default();
    let both = format!("{} {}", value("ID="), value("ID_LIKE="));
    both.replace('"', " ").split_whitespace().map(str::to_owned).collect()
}

/// Downloads one package file by pip into a folder and hands back its path. pip's own text is shown when it fails.
pub fn download(requirement: &str, folder: &Path) -> Result<PathBuf> {
    let mut pip = pip()?;
    pip.args(["download", "--quiet", "--no-deps", "--dest"]).arg(folder).arg(requirement);
    command::capture(&mut pip)
        .with_context(|| format!("could not download the Python package {requirement}"))?;
    only_file(folder).with_context(|| format!("pip left no file for {requirement}"))
}

/// Downloads a package by npm into a folder; gives its file.
pub fn pack(package: &str, folder: &Path) -> Result<PathBuf> {
    std::fs::create_dir_all(folder).with_context(|| format!("could not make {}", folder.display()))?;
    let program = command::find("npm").context("npm was not found: install Node.js")?;
    let mut npm = Command::new(program);
    // Who has npm need not have its registry: that is then known within a minute.
    npm.args(["pack", package, "--silent", "--fetch-retries=0", "--fetch-timeout=60000"]);
    npm.arg("--pack-destination").arg(folder);
    command::capture(&mut npm).with_context(|| format!("could not download the package {package}"))?;
    only_file(folder).with_context(|| format!("npm left no file for {package}"))
}

/// The file that a package client left in an empty folder.
fn only_file(folder: &Path) -> Result<PathBuf> {
    let entries =
        std::fs::read_dir(folder).with_context(|| format!("could not list {}", folder.display()))?;
    let mut files = entries.flatten().map(|entry| entry.path()).filter(|path| path.is_file());
    files.next().with_context(|| format!("there is no file in {}", folder.display()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_advice_fits_the_system() {
        let cases = [
            ("linux", "ID=debian\n", "apt-get install"),
            ("linux", "NAME=x\nID=linuxmint\nID_LIKE=\"ubuntu debian\"\n", "apt-get install"),
            ("linux", "ID=\"rocky\"\nID_LIKE=\"rhel centos fedora\"\n", "dnf install"),
            ("linux", "ID=arch\n", "pacman -S"),
            ("linux", "ID=\"opensuse-leap\"\nID_LIKE=\"suse opensuse\"\n", "zypper install"),
            ("linux", "ID=unheard-of\n", "package manager"),
            ("macos", "", "brew install"),
            ("windows", "", "winget install LLVM.LLVM"),
        ];
        for (system, release, expected) in cases {
            let advice = advice_for(system, release);
            assert!(advice.contains(expected), "{system} {release}: {advice}");
        }
    }

    #[test]
    fn apt_runs_without_questions_also_under_sudo() {
        let prefix = ["sudo".to_owned(), "-n".to_owned()];
        let command = apt_command(&prefix, Path::new("apt-get"), &["update"]);
        let words: Vec<_> = command.get_args().map(|word| word.to_string_lossy().into_owned()).collect();
        assert_eq!(command.get_program(), "sudo");
        assert_eq!(words, ["-n", "env", "DEBIAN_FRONTEND=noninteractive", "apt-get", "update"]);
        assert_eq!(apt_command(&[], Path::new("apt-get"), &[]).get_program(), "env");
    }

    #[test]
    fn an_empty_folder_holds_no_tools() {
        let tools = in_packages(Path::new("no-such-folder"));
        assert!(tools.cmake.is_none() && tools.libclang.is_none() && tools.ninja.is_none());
    }
}
