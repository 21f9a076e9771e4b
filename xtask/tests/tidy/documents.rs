//! Rules of the documents.

use super::{Source, assert_none, files};

/// The two commands that a new user needs.
const COMMANDS: [&str; 2] = ["cargo xtask demo", "cargo xtask test"];
const DESIGN: &str = "docs/design/";

#[test]
fn the_readme_shows_both_commands() {
    assert_none(&missing_commands(&files()));
}

#[test]
fn every_design_page_can_be_found() {
    assert_none(&unlinked_pages(&files()));
}

fn missing_commands(files: &[Source]) -> Vec<String> {
    let Some(readme) = files.iter().find(|file| file.path == "README.md") else {
        return vec!["README.md is missing".to_owned()];
    };
    let missing = COMMANDS.into_iter().filter(|command| !readme.text.contains(command));
    missing.map(|command| format!("README.md does not show `{command}`")).collect()
}

/// Pages of `docs/design/` that its index, if there is one, does not link.
fn unlinked_pages(files: &[Source]) -> Vec<String> {
    let Some(index) = files.iter().find(|file| file.path == format!("{DESIGN}README.md")) else {
        return Vec::new();
    };
    let pages = files.iter().filter_map(|file| file.path.strip_prefix(DESIGN));
    let pages = pages.filter(|name| name.ends_with(".md") && *name != "README.md");
    let unlinked = pages.filter(|name| !index.text.contains(&format!("({name})")));
    unlinked.map(|name| format!("{DESIGN}README.md does not link ({name})")).collect()
}

#[test]
fn gaps_are_reported() {
    let readme = |text: &str| vec![Source::sample("README.md", text)];
    assert_eq!(missing_commands(&[]).len(), 1);
    assert_eq!(missing_commands(&readme("run `cargo xtask demo`")).len(), 1);
    assert_none(&missing_commands(&readme("`cargo xtask demo` and `cargo xtask test`")));
    let page = || Source::sample("docs/design/stores.md", "# Stores");
    let index = |text: &str| Source::sample("docs/design/README.md", text);
    assert_eq!(unlinked_pages(&[page(), index("nothing")]).len(), 1);
    assert_none(&unlinked_pages(&[page(), index("[stores](stores.md)")]));
    assert_none(&unlinked_pages(&[page()]));
}
