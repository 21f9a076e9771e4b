//! Looks for what the build of llama.cpp needs: a C++ compiler, cmake, libclang (for bindgen), make or ninja.

use crate::command;
use std::ffi::OsString;
use std::path::{Path, PathBuf};
use std::process::Command;

/// What was found; `None` is missing.
pub struct Tools {
    /// First line of the C++ compiler's version.
    pub compiler: Option<String>,
    /// A cmake that is new enough.
    pub cmake: Option<Cmake>,
    /// Where libclang is.
    pub libclang: Option<Libclang>,
    /// The ninja program.
    pub ninja: Option<PathBuf>,
    /// The make program.
    pub make: Option<PathBuf>,
}

/// A cmake program.
pub struct Cmake {
    /// Its path.
    pub program: PathBuf,
    /// Its version, major and minor.
    pub version: (u32, u32),
    /// Whether it has to be put on `PATH` for others to find it.
    pub add_to_path: bool,
}

/// A libclang.
pub struct Libclang {
    /// The folder of the library.
    pub folder: PathBuf,
    /// Whether bindgen has to be told of the folder, because it is none of those that it searches.
    pub tell: bool,
    /// Whether the compiler's own headers (`stdbool.h`, …) have to be lent to it, because it brings none.
    pub lend_headers: bool,
}

/// Something that the build needs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Need {
    /// A C++ compiler.
    Compiler,
    /// CMake of at least `LEAST_CMAKE`.
    Cmake,
    /// The library libclang.
    Libclang,
    /// Ninja or make.
    BuildProgram,
}

/// What llama.cpp's build asks for (its `cmake_minimum_required`).
pub const LEAST_CMAKE: (u32, u32) = (3, 14);

impl Need {
    /// Its name in a message.
    pub fn name(self) -> &'static str {
        match self {
            Need::Compiler => "a C++ compiler",
            Need::Cmake => "cmake (3.14 or newer)",
            Need::Libclang => "libclang",
            Need::BuildProgram => "ninja or make",
        }
    }

    /// The package of Debian and Ubuntu that brings it.
    pub fn debian_package(self) -> &'static str {
        match self {
            Need::Compiler => "g++",
            Need::Cmake => "cmake",
            Need::Libclang => "libclang-dev",
            Need::BuildProgram => "ninja-build",
        }
    }
}

impl Tools {
    /// Looks everywhere that the build itself would look.
    pub fn on_system() -> Tools {
        Tools {
            cmake: find_cmake(),
            libclang: find_libclang(),
            make: command::find("make"),
            ..Tools::ninja_only()
        }
    }

    /// Looks for the compiler only, which no Python package brings.
    pub fn compiler_only() -> Tools {
        Tools { compiler: find_compiler(), cmake: None, libclang: None, ninja: None, make: None }
    }

    fn ninja_only() -> Tools {
        Tools { ninja: command::find("ninja"), ..Tools::compiler_only() }
    }

    /// The tools of `packages` instead of ours, with our compiler and make.
    pub fn replaced_by(self, packages: Tools) -> Tools {
        Tools { compiler: self.compiler, make: self.make, ..packages }
    }

    /// What is not there.
    pub fn missing(&self) -> Vec<Need> {
        let has_build_program = self.ninja.is_some() || self.make.is_some() || cfg!(windows);
        let needs = [
            (Need::Compiler, self.compiler.is_some()),
            (Need::Cmake, self.cmake.is_some()),
            (Need::Libclang, self.libclang.is_some()),
            (Need::BuildProgram, has_build_program),
        ];
        needs.into_iter().filter(|(_, found)| !found).map(|(need, _)| need).collect()
    }

    /// One line that says what is used.
    pub fn summary(&self) -> String {
        let cmake = self.cmake.as_ref().map(|cmake| format!("cmake {}.{}", cmake.version.0, cmake.version.1));
        let libclang =
            self.libclang.as_ref().map(|libclang| format!("libclang in {}", libclang.folder.display()));
        let ninja = self.ninja.as_ref().map(|_| "ninja".to_owned());
        let parts = [self.compiler.clone(), cmake, libclang, ninja];
        parts.into_iter().flatten().collect::<Vec<_>>().join("; ")
    }

    /// The variables that the build has to be given so that it finds these tools.
    pub fn variables(&self) -> Vec<(String, OsString)> {
        let mut variables = Vec::new();
        if let Some(path) = self.search_path() {
            variables.push(("PATH".to_owned(), path));
        }
        // The cmake crate takes make unless it is told otherwise.
        if self.make.is_none() && self.ninja.is_some() && std::env::var_os("CMAKE_GENERATOR").is_none() {
            variables.push(("CMAKE_GENERATOR".to_owned(), "Ninja".into()));
        }
        if let Some(libclang) = &self.libclang {
            variables.extend(libclang.variables());
        }
        variables
    }

    fn search_path(&self) -> Option<OsString> {
        let cmake = self.cmake.as_ref().filter(|cmake| cmake.add_to_path)?;
        let programs = [Some(&cmake.program), self.ninja.as_ref()];
        let folders =
            programs.into_iter().flatten().filter_map(|program| program.parent().map(Path::to_owned));
        let before = std::env::var_os("PATH").unwrap_or_default();
        std::env::join_paths(folders.chain(std::env::split_paths(&before))).ok()
    }
}

impl Libclang {
    fn variables(&self) -> Vec<(String, OsString)> {
        let mut variables = Vec::new();
        if self.tell {
            variables.push(("LIBCLANG_PATH".to_owned(), self.folder.clone().into_os_string()));
        }
        if let Some(headers) = compiler_headers().filter(|_| self.lend_headers) {
            let own = std::env::var("BINDGEN_EXTRA_CLANG_ARGS").unwrap_or_default();
            let arguments = format!("{own} -I{headers}").trim().to_owned();
            variables.push(("BINDGEN_EXTRA_CLANG_ARGS".to_owned(), arguments.into()));
        }
        variables
    }
}

/// The folder of the C compiler's own headers, as gcc and clang print it.
fn compiler_headers() -> Option<String> {
    let compilers = ["cc", "gcc", "clang"].into_iter().filter_map(command::find);
    let ask = |program: PathBuf| command::capture(Command::new(program).arg("-print-file-name=include")).ok();
    compilers.filter_map(ask).find(|folder| Path::new(folder).is_dir())
}

fn find_compiler() -> Option<String> {
    if let Some(own) = std::env::var_os("CXX") {
        return command::version(Path::new(&own));
    }
    if cfg!(windows) {
        // Rust's linker on Windows is that of the Visual Studio build tools, which bring the compiler.
        return Some("Visual Studio build tools".to_owned());
    }
    ["c++", "g++", "clang++"]
        .into_iter()
        .filter_map(command::find)
        .find_map(|program| command::version(&program))
}

fn find_cmake() -> Option<Cmake> {
    let own = std::env::var_os("CMAKE").map(PathBuf::from);
    let program = own.or_else(|| command::find("cmake"))?;
    check_cmake(program, false)
}

/// A cmake at a path, if it runs and is new enough.
pub fn check_cmake(program: PathBuf, add_to_path: bool) -> Option<Cmake> {
    let version = parse_version(&command::version(&program)?)?;
    (version >= LEAST_CMAKE).then_some(Cmake { program, version, add_to_path })
}

/// Major and minor of a line such as `cmake version 3.25.1`.
fn parse_version(line: &str) -> Option<(u32, u32)> {
    let number =
        line.split_whitespace().find(|word| word.starts_with(|letter: char| letter.is_ascii_digit()))?;
    let mut parts = number.split('.').map(|part| part.parse().ok());
    Some((parts.next()??, parts.next()??))
}

fn find_libclang() -> Option<Libclang> {
    if let Some(own) = std::env::var_os("LIBCLANG_PATH") {
        let own = PathBuf::from(own);
        let folder = if own.is_file() { own.parent()?.to_owned() } else { own };
        return holds_libclang(&folder).then(|| found_in(folder, false));
    }
    let searched = searched_by_bindgen().into_iter().find(|folder| holds_libclang(folder));
    let other = || known_elsewhere().into_iter().find(|folder| holds_libclang(folder));
    searched.map(|folder| found_in(folder, false)).or_else(|| other().map(|folder| found_in(folder, true)))
}

fn found_in(folder: PathBuf, tell: bool) -> Libclang {
    let lend_headers = !cfg!(windows) && !brings_headers(&folder);
    Libclang { folder, tell, lend_headers }
}

/// A libclang in a folder that bindgen does not search.
pub fn check_libclang(folder: PathBuf) -> Option<Libclang> {
    holds_libclang(&folder).then(|| found_in(folder, true))
}

fn holds_libclang(folder: &Path) -> bool {
    let entries = std::fs::read_dir(folder).into_iter().flatten().flatten();
    entries.into_iter().any(|entry| is_libclang(&entry.file_name().to_string_lossy()))
}

/// The names under which bindgen (its crate clang-sys) accepts the library.
fn is_libclang(name: &str) -> bool {
    let versioned =
        name.strip_prefix("libclang-").is_some_and(|rest| rest.starts_with(|c: char| c.is_ascii_digit()));
    matches!(name, "libclang.so" | "libclang.dylib" | "libclang.dll")
        || name.starts_with("libclang.so.")
        || (versioned && name.contains(".so"))
}

/// Clang's own headers stand in `clang/VERSION/include` beside the library, or in the system's `lib/clang`.
fn brings_headers(library_folder: &Path) -> bool {
    let mut roots = vec![library_folder.join("clang")];
    for folder in ["/usr/lib/clang", "/usr/lib64/clang"] {
        roots.push(PathBuf::from(folder));
    }
    roots
        .extend(folders_in(Path::new("/usr/lib")).into_iter().map(|folder| folder.join("lib").join("clang")));
    let versions = roots.iter().flat_map(|root| folders_in(root));
    versions.into_iter().any(|version| version.join("include").join("stdbool.h").is_file())
}

/// The folders that clang-sys searches by itself on Linux: `/usr/lib*`, `/usr/local/lib*`, two levels deep.
fn searched_by_bindgen() -> Vec<PathBuf> {
    let bases = ["/usr/lib", "/usr/lib64", "/usr/lib32", "/usr/local/lib", "/usr/local/lib64"];
    let mut folders = Vec::new();
    for base in bases.into_iter().map(PathBuf::from) {
        let first = folders_in(&base);
        let second: Vec<PathBuf> = first.iter().flat_map(|folder| folders_in(folder)).collect();
        folders.push(base);
        folders.extend(first);
        folders.extend(second);
    }
    folders
}

/// Other folders where libclang usually is: Homebrew, Xcode, the Windows installer.
fn known_elsewhere() -> Vec<PathBuf> {
    let fixed = [
        "/opt/homebrew/opt/llvm/lib",
        "/usr/local/opt/llvm/lib",
        "/Library/Developer/CommandLineTools/usr/lib",
        "/Applications/Xcode.app/Contents/Developer/Toolchains/XcodeDefault.xctoolchain/usr/lib",
        "C:\\Program Files\\LLVM\\bin",
    ];
    let by_llvm =
        command::find("llvm-config").and_then(|it| command::capture(Command::new(it).arg("--libdir")).ok());
    by_llvm.into_iter().map(PathBuf::from).chain(fixed.into_iter().map(PathBuf::from)).collect()
}

fn folders_in(folder: &Path) -> Vec<PathBuf> {
    let entries = std::fs::read_dir(folder).into_iter().flatten().flatten();
    let mut folders: Vec<PathBuf> = entries.map(|entry| entry.path()).filter(|path| path.is_dir()).collect();
    folders.sort();
    folders
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn versions_are_read_from_what_programs_print() {
        assert_eq!(parse_version("cmake version 3.25.1"), Some((3, 25)));
        assert_eq!(parse_version("cmake version 4.4.4-rc1"), Some((4, 4)));
        assert_eq!(parse_version("no digits here"), None);
        assert_eq!(parse_version("version 4"), None);
    }

    #[test]
    fn libclang_is_known_by_its_names() {
        for name in ["libclang.so", "libclang.so.1", "libclang-14.so.1", "libclang-14.0.6.so", "libclang.dll"]
        {
            assert!(is_libclang(name), "{name}");
        }
        for name in ["libclang-cpp.so.14", "libclangAST.a", "clang", "libclang.a"] {
            assert!(!is_libclang(name), "{name}");
        }
    }

    #[test]
    fn a_build_program_is_either_ninja_or_make() {
        let mut tools =
            Tools { compiler: Some("c++".into()), cmake: None, libclang: None, ninja: None, make: None };
        assert_eq!(tools.missing().contains(&Need::BuildProgram), !cfg!(windows));
        tools.make = Some("make".into());
        assert_eq!(tools.missing(), [Need::Cmake, Need::Libclang]);
        assert!(tools.variables().is_empty(), "the system's own tools need no variables");
    }

    #[test]
    fn private_tools_are_put_before_the_others() {
        let cmake = Cmake { program: "private/bin/cmake".into(), version: (4, 4), add_to_path: true };
        let libclang = Libclang { folder: "private/native".into(), tell: true, lend_headers: false };
        let tools = Tools {
            compiler: Some("c++".into()),
            cmake: Some(cmake),
            libclang: Some(libclang),
            ninja: Some("ninja/ninja".into()),
            make: Some("make".into()),
        };
        let variables = tools.variables();
        let path = variables.iter().find(|(name, _)| name == "PATH").expect("PATH is set");
        let folders: Vec<PathBuf> = std::env::split_paths(&path.1).take(2).collect();
        assert_eq!(folders, [PathBuf::from("private/bin"), PathBuf::from("ninja")]);
        assert!(variables.contains(&("LIBCLANG_PATH".to_owned(), "private/native".into())));
    }
}
