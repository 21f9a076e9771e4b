//! The cache: fetched models, sources and tools, outside of the source tree, named by what they are.
//! A file stands under its name only when it is whole: it is made beside and renamed.

use anyhow::{Context, Result, bail};
use sha2::{Digest, Sha256};
use std::ffi::OsString;
use std::fs::{self, File};
use std::io::Read;
use std::path::{Path, PathBuf};

/// The cache folder (made if missing): `GGUFLAB_CACHE`, else where the platform keeps caches.
pub fn folder() -> Result<PathBuf> {
    let folder = choose_folder(std::env::consts::OS, |name| std::env::var_os(name))
        .context("no place for the cache is known: set GGUFLAB_CACHE to a folder")?;
    fs::create_dir_all(&folder).with_context(|| {
        format!("could not make the cache folder {}: set GGUFLAB_CACHE", folder.display())
    })?;
    Ok(folder)
}

fn choose_folder(system: &str, variable: impl Fn(&str) -> Option<OsString>) -> Option<PathBuf> {
    let set = |name: &str| variable(name).filter(|value| !value.is_empty()).map(PathBuf::from);
    if let Some(folder) = set("GGUFLAB_CACHE") {
        return Some(folder);
    }
    let base = match system {
        "windows" => set("LOCALAPPDATA"),
        "macos" => set("HOME").map(|home| home.join("Library").join("Caches")),
        _ => set("XDG_CACHE_HOME").or_else(|| set("HOME").map(|home| home.join(".cache"))),
    };
    base.map(|folder| folder.join("gguflab"))
}

/// Makes `target` by letting `make` fill an empty folder beside it, from which `take` (a path inside) is renamed.
/// With `take` empty the folder itself becomes the target.
pub fn make_beside(target: &Path, take: &str, make: impl FnOnce(&Path) -> Result<()>) -> Result<()> {
    let name = target.file_name().unwrap_or_default().to_string_lossy();
    let work = target.with_file_name(format!(".{name}.{}", std::process::id()));
    remove(&work)?;
    fs::create_dir_all(&work).with_context(|| format!("could not make {}", work.display()))?;
    let made = make(&work).and_then(|()| {
        let source = if take.is_empty() { work.clone() } else { work.join(take) };
        fs::rename(&source, target).with_context(|| format!("could not move {} into place", target.display()))
    });
    remove(&work)?;
    made
}

fn remove(folder: &Path) -> Result<()> {
    match fs::remove_dir_all(folder) {
        Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
            Err(error).with_context(|| format!("could not remove {}", folder.display()))
        }
        _ => Ok(()),
    }
}

/// Holds the named lock until dropped, so that two runs do not fetch or build the same thing at once.
pub fn lock(name: &str) -> Result<File> {
    let path = folder()?.join(format!("{name}.lock"));
    let file = File::create(&path).with_context(|| format!("could not make {}", path.display()))?;
    if file.try_lock().is_err() {
        eprintln!("waiting for another `cargo xtask` that holds {}", path.display());
        file.lock().with_context(|| format!("could not lock {}", path.display()))?;
    }
    Ok(file)
}

/// Checks a file's sha256 sum; the error names the file and both sums.
pub fn check_sum(file: &Path, expected: &str) -> Result<()> {
    let found = sha256_of_file(file)?;
    if found != expected {
        bail!(
            "{} has sha256 {found}, but {expected} was expected: remove it and fetch again",
            file.display()
        );
    }
    Ok(())
}

fn sha256_of_file(path: &Path) -> Result<String> {
    let mut file = File::open(path).with_context(|| format!("could not open {}", path.display()))?;
    let mut hasher = Sha256::new();
    let mut buffer = vec![0_u8; 1 << 20];
    loop {
        let count = file.read(&mut buffer).with_context(|| format!("could not read {}", path.display()))?;
        if count == 0 {
            return Ok(hexadecimal(&hasher.finalize()));
        }
        hasher.update(&buffer[..count]);
    }
}

/// The sha256 sum of a text, as a key of at most `digits` hexadecimal digits.
pub fn key_of(text: &str, digits: usize) -> String {
    hexadecimal(&Sha256::digest(text)).chars().take(digits).collect()
}

fn hexadecimal(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn chosen(system: &str, variables: &[(&str, &str)]) -> Option<String> {
        let look_up =
            |name: &str| variables.iter().find(|(key, _)| *key == name).map(|(_, value)| value.into());
        choose_folder(system, look_up).map(|path| path.to_string_lossy().replace('\\', "/"))
    }

    #[test]
    fn the_cache_follows_the_platform() {
        type Variables<'a> = &'a [(&'a str, &'a str)];
        let cases: [(&str, Variables, Option<&str>); 7] = [
            ("linux", &[("HOME", "h")], Some("h/.cache/gguflab")),
            ("linux", &[("HOME", "h"), ("XDG_CACHE_HOME", "x")], Some("x/gguflab")),
            ("linux", &[("HOME", "h"), ("XDG_CACHE_HOME", "")], Some("h/.cache/gguflab")),
            ("macos", &[("HOME", "h"), ("XDG_CACHE_HOME", "x")], Some("h/Library/Caches/gguflab")),
            ("windows", &[("LOCALAPPDATA", "l")], Some("l/gguflab")),
            ("linux", &[("GGUFLAB_CACHE", "own"), ("HOME", "h")], Some("own")),
            ("linux", &[], None),
        ];
        for (system, variables, expected) in cases {
            assert_eq!(chosen(system, variables).as_deref(), expected, "{system} {variables:?}");
        }
    }

    #[test]
    fn sums_are_those_of_the_standard() {
        // FIPS 180-2, appendix B.1.
        let expected = "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad";
        assert_eq!(key_of("abc", 64), expected);
        assert_eq!(key_of("abc", 8), "ba7816bf");
    }

    #[test]
    fn a_target_appears_only_when_it_is_whole() {
        let base = std::env::temp_dir().join(format!("gguflab-xtask-cache-{}", std::process::id()));
        fs::create_dir_all(&base).expect("temporary folder");
        let target = base.join("data.bin");
        let failed = make_beside(&target, "inner", |work| {
            fs::write(work.join("inner"), "half")?;
            bail!("the line broke")
        });
        assert!(failed.is_err() && !target.exists());
        make_beside(&target, "inner", |work| Ok(fs::write(work.join("inner"), "abc")?)).expect("made");
        assert!(check_sum(&target, &key_of("abc", 64)).is_ok());
        let wrong = check_sum(&target, &key_of("abd", 64)).expect_err("wrong sum").to_string();
        assert!(wrong.contains("data.bin") && wrong.contains("fetch again"), "{wrong}");
        assert_eq!(fs::read_dir(&base).expect("folder").count(), 1, "nothing is left beside");
        fs::remove_dir_all(&base).expect("clean");
    }
}
