//! Rules of what may stand in a source file.

use super::lexer::{has_word, split};
use super::{Source, assert_none, files, rust_files};

#[test]
fn only_the_native_crate_has_code_that_the_compiler_cannot_check() {
    assert_none(&unchecked_code(&rust_files()));
}

#[test]
fn only_programs_print_and_exit() {
    assert_none(&printing(&rust_files()));
}

#[test]
fn nothing_is_left_undone() {
    assert_none(&undone(&rust_files()));
}

#[test]
fn every_crate_says_what_it_is_for() {
    assert_none(&silent_roots(&rust_files()));
}

#[test]
fn no_path_of_a_machine_is_written_down() {
    assert_none(&machine_paths(&files()));
}

/// The one word that nobody else may use, in code (a comment may speak of it).
const UNCHECKED: &str = "unsafe";

fn unchecked_code(files: &[Source]) -> Vec<String> {
    let mut problems = Vec::new();
    for file in files.iter().filter(|file| !file.path.starts_with("crates/gguflab-native/")) {
        let code = split(&file.text).code;
        if has_word(&code, UNCHECKED)
            || code.contains("allow(unsafe_code")
            || code.contains("expect(unsafe_code")
        {
            problems.push(format!("{} uses `{UNCHECKED}`: only gguflab-native may", file.path));
        }
    }
    problems
}

const PRINTS: [&str; 6] = ["println!", "eprintln!", "print!", "eprint!", "dbg!", "process::exit"];

fn may_print(path: &str) -> bool {
    let programs = ["crates/gguflab/src/", "xtask/", "fuzz/"];
    let is_program =
        programs.iter().any(|start| path.starts_with(start)) || path == "crates/gguflab-worker/src/main.rs";
    is_program || path.contains("/examples/") || path.contains("/tests/") || path.ends_with("/build.rs")
}

fn printing(files: &[Source]) -> Vec<String> {
    let mut problems = Vec::new();
    for file in files.iter().filter(|file| !may_print(&file.path)) {
        let code = split(before_tests(&file.text)).code;
        // `println!` ends in `print!`-like letters, so whole words are asked for.
        for call in PRINTS.into_iter().filter(|call| has_call(&code, call)) {
            problems.push(format!("{} has `{call}`: only the programs print and exit", file.path));
        }
    }
    problems
}

fn has_call(code: &str, call: &str) -> bool {
    code.match_indices(call).any(|(at, _)| {
        let before = code[..at].chars().next_back();
        !before.is_some_and(|character| character.is_alphanumeric() || character == '_')
    })
}

/// The part of a file before its unit tests, in which printing is allowed.
fn before_tests(text: &str) -> &str {
    text.split("#[cfg(test)]\nmod ").next().unwrap_or(text)
}

fn undone(files: &[Source]) -> Vec<String> {
    let mut problems = Vec::new();
    for file in files {
        let views = split(&file.text);
        let in_code =
            ["todo!", "unimplemented!", "#[ignore"].into_iter().filter(|word| views.code.contains(word));
        let in_comments = ["TODO", "FIXME", "XXX"].into_iter().filter(|word| has_word(&views.comments, word));
        for word in in_code.chain(in_comments) {
            problems.push(format!("{} has `{word}`: finish it, or file an issue", file.path));
        }
    }
    problems
}

fn silent_roots(files: &[Source]) -> Vec<String> {
    let is_root = |path: &str| path.ends_with("/src/lib.rs") || path.ends_with("/src/main.rs");
    let silent = files.iter().filter(|file| is_root(&file.path) && !file.text.starts_with("//!"));
    silent.map(|file| format!("{} must begin with `//!` and what it is for", file.path)).collect()
}

/// Folders of particular machines, written in pieces so that this file keeps its own rule.
const MACHINE_FOLDERS: [&str; 4] =
    [concat!("/ho", "me/"), concat!("/ro", "ot/"), concat!("/wo", "rk/"), concat!("/Us", "ers/")];

fn machine_paths(files: &[Source]) -> Vec<String> {
    let mut problems = Vec::new();
    for file in files {
        for (number, line) in file.text.lines().enumerate() {
            for folder in MACHINE_FOLDERS.into_iter().filter(|folder| names_folder(line, folder)) {
                problems.push(format!("{}:{}: a path of some machine: {folder}…", file.path, number + 1));
            }
        }
    }
    problems
}

/// Whether the line names something in a folder of the root; `some/work/dir` does not.
fn names_folder(line: &str, folder: &str) -> bool {
    line.match_indices(folder).any(|(at, _)| {
        let before = line[..at].chars().next_back();
        let after = line[at + folder.len()..].chars().next();
        let is_part = |character: char| character.is_alphanumeric() || "._-$}{~".contains(character);
        !before.is_some_and(is_part) && after.is_some_and(is_part)
    })
}

#[test]
fn each_rule_can_fail() {
    type Rule = fn(&[Source]) -> Vec<String>;
    let home = format!("cd {}me\n", MACHINE_FOLDERS[0]);
    let cases: [(Rule, &str, &str, bool); 17] = [
        (unchecked_code, "crates/gguflab-lab/src/lib.rs", "unsafe { x() }", true),
        (unchecked_code, "crates/gguflab-lab/src/lib.rs", "#![allow(unsafe_code)]", true),
        (
            unchecked_code,
            "crates/gguflab-lab/src/lib.rs",
            "// unsafe is elsewhere\nlet a = \"unsafe\";",
            false,
        ),
        (unchecked_code, "crates/gguflab-native/src/lib.rs", "unsafe { x() }", false),
        (printing, "crates/gguflab-lab/src/lib.rs", "fn f() { println!(\"x\") }", true),
        (printing, "crates/gguflab-worker/src/job.rs", "std::process::exit(1)", true),
        (printing, "crates/gguflab-worker/src/main.rs", "std::process::exit(1)", false),
        (
            printing,
            "crates/gguflab-lab/src/lib.rs",
            "#[cfg(test)]\nmod tests { fn f() { println!() } }",
            false,
        ),
        (undone, "a.rs", "fn f() { todo!() }", true),
        (undone, "a.rs", "// FIXME later", true),
        (undone, "a.rs", "#[test]\n#[ignore]\nfn f() {}", true),
        (undone, "a.rs", "let a = \"TODO\";", false),
        (silent_roots, "crates/gguflab-lab/src/lib.rs", "pub mod a;", true),
        (silent_roots, "crates/gguflab-lab/src/lib.rs", "//! What it is.", false),
        (machine_paths, "a.sh", &home, true),
        (machine_paths, "a.md", "see https://host/home/page", false),
        (machine_paths, "a.sh", "$base/work/dir", false),
    ];
    for (rule, path, text, expected) in cases {
        let problems = rule(&[Source::sample(path, text)]);
        assert_eq!(!problems.is_empty(), expected, "{path}: {text}: {problems:?}");
    }
}
