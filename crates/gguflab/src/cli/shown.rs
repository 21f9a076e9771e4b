//! The command lines that the README and the guides show can be given like that.

use super::Arguments;
use clap::Parser;
use gguflab_lab::pasted::split;
use std::path::{Path, PathBuf};

/// The README and all guides.
fn pages() -> Vec<PathBuf> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../..");
    let guides = std::fs::read_dir(root.join("docs/guides")).unwrap();
    let guides = guides.map(|entry| entry.unwrap().path());
    guides
        .filter(|path| path.extension().is_some_and(|ending| ending == "md"))
        .chain([root.join("README.md")])
        .collect()
}

/// The indented and fenced lines of a page that call the program, each with what is continued on the next ones.
fn commands(page: &str) -> Vec<String> {
    let (mut is_fenced, mut is_open) = (false, false);
    let mut found: Vec<String> = Vec::new();
    for line in page.lines() {
        if line.trim_start().starts_with("```") {
            is_fenced = !is_fenced;
            continue;
        }
        if !is_fenced && !line.starts_with("    ") {
            continue;
        }
        let text = line.trim().trim_start_matches("- ").trim_start_matches("run: ");
        let (part, goes_on) = text.strip_suffix('\\').map_or((text, false), |part| (part, true));
        let is_call =
            part.split(' ').next().is_some_and(|word| word == "gguflab" || word.ends_with("/gguflab"));
        match found.last_mut() {
            Some(last) if is_open => last.push_str(&format!(" {part}")),
            _ if is_call => found.push(part.to_string()),
            _ => continue,
        }
        is_open = goes_on;
    }
    found
}

/// The words as a shell hands them over, up to a comment or to what the shell does with the output.
fn words(line: &str) -> Vec<String> {
    let call = line.split(" #").next().unwrap_or_default();
    let is_own = |word: &String| !word.starts_with(['|', '>', ';', '&']) && !word.starts_with("2>");
    split(call).unwrap().into_iter().take_while(is_own).collect()
}

#[test]
fn every_command_line_of_the_guides_can_be_given() {
    for path in pages() {
        let page = std::fs::read_to_string(&path).unwrap();
        let lines = commands(&page);
        let mentioned = page.lines().filter(|line| line.starts_with("    gguflab ")).count();
        assert!(lines.len() >= mentioned, "{}", path.display());
        for line in lines {
            let parsed = Arguments::try_parse_from(words(&line));
            assert!(parsed.is_ok(), "{}: {line}\n{}", path.display(), parsed.unwrap_err());
        }
    }
}

#[test]
fn command_lines_are_read_as_a_shell_reads_them() {
    let page = "text\n\n    gguflab tune 'a b' \\\n        --x \"c d\"  # why\n    other\n\n```yaml\n  - run: |\n      bin/gguflab list >> f\n```\n";
    let read: Vec<Vec<String>> = commands(page).iter().map(|line| words(line)).collect();
    assert_eq!(read, [vec!["gguflab", "tune", "a b", "--x", "c d"], vec!["bin/gguflab", "list"]]);
    let wrong = words("gguflab gate check release --model model.gguf");
    assert!(Arguments::try_parse_from(wrong).is_err(), "the model of a check is no option");
}
