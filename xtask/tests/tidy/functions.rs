//! Rules of size: how long files and functions may be.

use super::lexer::split;
use super::{Source, assert_none, rust_files};

/// The most lines that a file may have.
const LONGEST_FILE: usize = 600;
/// The most lines that a function may have, from `fn` to its closing brace.
const LONGEST_FUNCTION: usize = 60;
/// The most lines that 90 % of the functions may have.
const LONGEST_OF_MOST: usize = 40;

#[test]
fn files_are_short() {
    assert_none(&long_files(&rust_files()));
}

#[test]
fn functions_are_short() {
    assert_none(&long_functions(&rust_files()));
}

fn long_files(files: &[Source]) -> Vec<String> {
    let lines = files.iter().map(|file| (&file.path, file.text.lines().count()));
    lines
        .filter(|(_, lines)| *lines > LONGEST_FILE)
        .map(|(path, lines)| {
            format!("{path} has {lines} lines, at most {LONGEST_FILE} are allowed: split it")
        })
        .collect()
}

fn long_functions(files: &[Source]) -> Vec<String> {
    let found =
        files.iter().flat_map(|file| functions(&file.text).into_iter().map(move |it| (&file.path, it)));
    let found: Vec<(&String, Function)> = found.collect();
    let mut lengths: Vec<usize> = found.iter().map(|(_, function)| function.lines).collect();
    lengths.sort_unstable();
    let quantile =
        |percent: usize| lengths.get((lengths.len() * percent / 100).min(lengths.len().max(1) - 1));
    let (median, most) = (quantile(50).copied().unwrap_or(0), quantile(90).copied().unwrap_or(0));
    let long = found.iter().filter(|(_, function)| function.lines > LONGEST_FUNCTION);
    let mut problems: Vec<String> = long.map(|(path, function)| describe(path, function)).collect();
    if most > LONGEST_OF_MOST {
        problems.push(format!(
            "90 % of the functions have up to {most} lines, at most {LONGEST_OF_MOST} are allowed"
        ));
    }
    if !problems.is_empty() {
        problems
            .push(format!("(of {} functions: median {median} lines, 90 % quantile {most})", lengths.len()));
    }
    problems
}

fn describe(path: &str, function: &Function) -> String {
    let Function { name, line, lines } = function;
    format!("{path}:{line}: `{name}` has {lines} lines, at most {LONGEST_FUNCTION} are allowed: split it")
}

/// A function with a body.
#[derive(Debug, PartialEq)]
struct Function {
    name: String,
    /// Line of its `fn`, from 1.
    line: usize,
    lines: usize,
}

/// Finds functions by their braces; functions inside functions are found too.
fn functions(text: &str) -> Vec<Function> {
    let code = split(text).code;
    let starts = code.match_indices("fn ").filter(|(at, _)| {
        let before = code[..*at].chars().next_back();
        !before.is_some_and(|character| character.is_alphanumeric() || character == '_')
    });
    starts.filter_map(|(at, _)| function_at(&code, at)).collect()
}

fn function_at(code: &str, start: usize) -> Option<Function> {
    let rest = &code[start + 3..];
    let is_name = |character: char| character.is_alphanumeric() || character == '_';
    let name: String = rest.chars().take_while(|character| is_name(*character)).collect();
    let open = body_start(rest)?;
    let end = open + body_length(&rest[open..])?;
    if name.is_empty() {
        return None;
    }
    let line = code[..start].matches('\n').count() + 1;
    Some(Function { name, line, lines: rest[..end].matches('\n').count() + 1 })
}

/// The byte at which the body opens; `None` for a declaration that ends in a semicolon.
fn body_start(signature: &str) -> Option<usize> {
    let mut depth = 0;
    for (at, character) in signature.char_indices() {
        match character {
            '(' | '[' => depth += 1,
            ')' | ']' => depth -= 1,
            '{' if depth == 0 => return Some(at),
            ';' if depth == 0 => return None,
            _ => {}
        }
    }
    None
}

fn body_length(body: &str) -> Option<usize> {
    let mut depth = 0;
    for (at, character) in body.char_indices() {
        match character {
            '{' => depth += 1,
            '}' => depth -= 1,
            _ => {}
        }
        if depth == 0 {
            return Some(at + 1);
        }
    }
    None
}

#[test]
fn functions_are_found_and_measured() {
    let text = "fn one() { }\n\npub fn two(x: [u8; 2]) -> usize {\n    let s = \"}\"; // }\n    x.len()\n}\n\
        trait T { fn no_body(&self); }\ntype P = fn(u8) -> u8;\n";
    let expected = [("one", 1, 1), ("two", 3, 4)].map(|(name, line, lines)| Function {
        name: name.to_owned(),
        line,
        lines,
    });
    assert_eq!(functions(text), expected);
}

#[test]
fn long_files_and_functions_are_reported() {
    let lines = |count: usize| "    call();\n".repeat(count);
    let file = Source::sample("a.rs", &format!("fn long() {{\n{}}}\n", lines(LONGEST_FILE)));
    assert_eq!(long_files(std::slice::from_ref(&file)).len(), 1);
    let problems = long_functions(&[file]);
    assert!(problems[0].contains("a.rs:1: `long` has 602 lines"), "{problems:?}");
    assert!(problems.last().is_some_and(|it| it.contains("median 602")), "{problems:?}");
    let fine = Source::sample("b.rs", &format!("fn fine() {{\n{}}}\n", lines(38)));
    assert_none(&long_functions(&[fine]));
    let many = Source::sample("c.rs", &format!("fn middling() {{\n{}}}\n", lines(45)));
    assert!(long_functions(&[many])[0].contains("90 %"));
}
