//! Rules of what may depend on what.

use super::{Source, assert_none, files};
use std::collections::BTreeSet;
use toml::Table;

/// Which crates of the workspace a crate may use: the arrows of ARCHITECTURE.md.
/// Tests may use more, but never llama.cpp.
const LAYERS: &[(&str, &[&str])] = &[
    ("gguflab", &["lab", "report", "store", "types"]),
    ("gguflab-lab", &["data", "engine", "format", "plan", "report", "search", "stats", "store", "types"]),
    ("gguflab-report", &["stats", "types"]),
    ("gguflab-store", &["types"]),
    ("gguflab-engine", &["format", "types"]),
    ("gguflab-worker", &["data", "format", "native", "stats", "train", "types"]),
    ("gguflab-train", &["format", "native", "stats", "types"]),
    ("gguflab-data", &["format", "types"]),
    ("gguflab-search", &["stats", "types"]),
    ("gguflab-plan", &["format", "stats", "types"]),
    ("gguflab-stats", &["types"]),
    ("gguflab-format", &[]),
    ("gguflab-native", &["types"]),
    ("gguflab-types", &[]),
    ("xtask", &["stats", "types"]),
];

/// Heavy dependencies and the one crate that may have each.
const OWNED: &[(&str, &str)] = &[("sqlx", "gguflab-store"), ("llama-cpp-sys-2", "gguflab-native")];

/// The most crates that the default build may name (dependencies of tests aside).
const MOST_DIRECT: usize = 40;
/// The most entries of Cargo.lock, features that are off included. Half of them come with sqlx, bindgen and proptest.
const MOST_LOCKED: usize = 346;

#[test]
fn crates_use_only_what_lies_below_them() {
    assert_none(&wrong_arrows(&manifests()));
}

#[test]
fn heavy_dependencies_have_one_owner() {
    assert_none(&stray_dependencies(&manifests()));
}

#[test]
fn dependencies_stay_within_the_budget() {
    let lock = files()
        .into_iter()
        .find(|file| file.path == "Cargo.lock")
        .expect("Cargo.lock is part of the repository");
    assert_none(&over_budget(&manifests(), &lock.text, MOST_DIRECT, MOST_LOCKED));
}

fn manifests() -> Vec<Source> {
    let is_member = |path: &str| path == "xtask/Cargo.toml" || path.starts_with("crates/");
    let found =
        files().into_iter().filter(|file| file.path.ends_with("/Cargo.toml") && is_member(&file.path));
    let found: Vec<Source> = found.collect();
    assert!(found.len() > 10, "only {} manifests were found", found.len());
    found
}

fn wrong_arrows(manifests: &[Source]) -> Vec<String> {
    let mut problems = Vec::new();
    for manifest in manifests {
        let (name, table) = parse(manifest);
        let Some((_, allowed)) = LAYERS.iter().find(|(layer, _)| *layer == name) else {
            problems.push(format!("{name} is not in the table of layers: say what it may use"));
            continue;
        };
        let is_allowed = |short: &str| allowed.contains(&short);
        for used in uses(&table, &["dependencies", "build-dependencies"]) {
            if used.strip_prefix("gguflab-").is_some_and(|short| !is_allowed(short)) || used == "gguflab" {
                problems.push(format!("{name} must not depend on {used}"));
            }
        }
        if uses(&table, &["dev-dependencies"]).contains("gguflab-native") && !is_allowed("native") {
            problems.push(format!("{name} must not link llama.cpp, not even in its tests"));
        }
    }
    problems
}

fn stray_dependencies(manifests: &[Source]) -> Vec<String> {
    let mut problems = Vec::new();
    for manifest in manifests {
        let (name, table) = parse(manifest);
        let all = uses(&table, &["dependencies", "build-dependencies", "dev-dependencies"]);
        for (dependency, owner) in OWNED.iter().filter(|(dependency, _)| all.contains(*dependency)) {
            if name != *owner {
                problems.push(format!("{name} must not depend on {dependency}: {owner} owns it"));
            }
        }
    }
    problems
}

fn over_budget(manifests: &[Source], lock: &str, most_direct: usize, most_locked: usize) -> Vec<String> {
    let kinds = ["dependencies", "build-dependencies"];
    let all = manifests.iter().flat_map(|manifest| uses(&parse(manifest).1, &kinds));
    let direct: BTreeSet<String> = all.filter(|name| !name.starts_with("gguflab")).collect();
    let locked = lock.lines().filter(|line| *line == "[[package]]").count();
    let mut problems = Vec::new();
    if direct.len() > most_direct {
        problems.push(format!("{} direct dependencies, at most {most_direct}: {direct:?}", direct.len()));
    }
    if locked > most_locked {
        problems.push(format!("Cargo.lock has {locked} entries, at most {most_locked}"));
    }
    problems
}

fn parse(manifest: &Source) -> (String, Table) {
    let table: Table =
        manifest.text.parse().map_err(|error| (&manifest.path, error)).expect("a manifest is TOML");
    let name = table.get("package").and_then(|package| package.get("name")).and_then(toml::Value::as_str);
    (name.unwrap_or(&manifest.path).to_owned(), table)
}

/// The crates named in some kinds of dependency tables, those of single targets included.
fn uses(table: &Table, kinds: &[&str]) -> BTreeSet<String> {
    let targets =
        table.get("target").and_then(toml::Value::as_table).into_iter().flat_map(|targets| targets.values());
    let places = targets.filter_map(toml::Value::as_table).chain([table]);
    let tables = places.flat_map(|place| kinds.iter().filter_map(|kind| place.get(*kind)?.as_table()));
    tables.flat_map(|dependencies| dependencies.iter().map(|(key, value)| real_name(key, value))).collect()
}

fn real_name(key: &str, value: &toml::Value) -> String {
    value.get("package").and_then(toml::Value::as_str).unwrap_or(key).to_owned()
}

fn sample(name: &str, rest: &str) -> Source {
    Source::sample("crates/x/Cargo.toml", &format!("[package]\nname = \"{name}\"\n{rest}\n"))
}

#[test]
fn wrong_arrows_are_reported() {
    let cases = [
        ("gguflab-report", "[dependencies]\ngguflab-store.workspace = true", true),
        ("gguflab-report", "[target.'cfg(unix)'.dependencies]\ngguflab-store.workspace = true", true),
        ("gguflab-report", "[dependencies]\nx = { package = \"gguflab-store\", path = \"..\" }", true),
        ("gguflab-report", "[dependencies]\ngguflab-stats.workspace = true", false),
        ("gguflab-report", "[dev-dependencies]\ngguflab-format.workspace = true", false),
        ("gguflab-engine", "[dev-dependencies]\ngguflab-native.workspace = true", true),
        ("gguflab-lab", "[dependencies]\ngguflab-native.workspace = true", true),
        ("gguflab-lab", "[dependencies]\ngguflab = { path = \"..\" }", true),
        ("gguflab-extra", "", true),
    ];
    for (name, rest, expected) in cases {
        let problems = wrong_arrows(&[sample(name, rest)]);
        assert_eq!(!problems.is_empty(), expected, "{name} {rest}: {problems:?}");
    }
}

#[test]
fn stray_and_superfluous_dependencies_are_reported() {
    let two = "[dependencies]\nsqlx.workspace = true\nserde = \"1\"";
    assert_eq!(stray_dependencies(&[sample("gguflab-lab", two)]).len(), 1);
    assert_none(&stray_dependencies(&[sample("gguflab-store", two)]));
    let lock = "[[package]]\nname = \"a\"\n\n[[package]]\nname = \"b\"\n";
    assert_none(&over_budget(&[sample("a", two)], lock, 2, 2));
    assert_eq!(over_budget(&[sample("a", two)], lock, 1, 1).len(), 2);
}
