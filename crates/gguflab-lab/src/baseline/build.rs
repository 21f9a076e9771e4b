//! Whether a copy of a program is the build that it was.

use std::io;
use std::path::Path;

/// What a program runs besides itself: a copy of it alone would fail elsewhere, or run whatever was built since at the
/// place where the copied one was. `None` when it is all of the build.
///
/// # Errors
/// What the system says when it cannot be read.
pub fn needs(program: &Path) -> io::Result<Option<String>> {
    Ok(needed(&std::fs::read(program)?))
}

fn needed(content: &[u8]) -> Option<String> {
    if content.starts_with(b"#!") {
        return Some("what the script starts".to_string());
    }
    // Every system's programs name the libraries that they load as strings with a zero behind them.
    let strings = content.split(|byte| *byte == 0).filter(|bytes| bytes.len() < 256);
    let names = strings.filter_map(|bytes| std::str::from_utf8(bytes).ok());
    names.filter_map(|path| path.rsplit('/').next()).find(|name| is_library(name)).map(str::to_string)
}

/// Whether this is the file name of a library of llama.cpp. What every build says for its plugins is only the beginning
/// of one (`libggml-`).
fn is_library(name: &str) -> bool {
    let stem = name.strip_prefix("lib").unwrap_or(name);
    let is_ours = ["ggml", "llama", "mtmd"].iter().any(|ours| stem.starts_with(ours));
    let is_file = [".so", ".dylib", ".dll"].iter().any(|ending| name.ends_with(ending));
    is_ours && (is_file || name.contains(".so.")) && name.bytes().all(|byte| byte.is_ascii_graphic())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn libraries_and_scripts_are_seen() {
        for (content, expected) in [
            ("\x7fELF\0libc.so.6\0libllama.so\0", Some("libllama.so")),
            ("\x7fELF\0libggml-base.so.0\0", Some("libggml-base.so.0")),
            ("\0@rpath/libggml.0.dylib\0", Some("libggml.0.dylib")),
            ("MZ\0KERNEL32.dll\0ggml-cpu.dll\0", Some("ggml-cpu.dll")),
            ("#!/bin/sh\nexec llama-bench", Some("what the script starts")),
            ("\x7fELF\0libc.so.6\0libggml-\0.so\0", None),
            ("\0looks for libggml.so where\0a path of llama.cpp/x.so\0", None),
        ] {
            assert_eq!(needed(content.as_bytes()).as_deref(), expected, "{content:?}");
        }
    }
}
