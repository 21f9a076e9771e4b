//! Split models: names, siblings, missing and mixed parts.

use std::path::{Path, PathBuf};

use gguflab_format::metadata::Metadata;
use gguflab_format::{Contents, Model, ModelFacts, SplitName, TensorType, write_file};

use crate::plan;

/// Writes the three parts of a model with four tensors and gives their paths.
fn write_parts(folder: &Path, change: impl Fn(u32, &mut Contents)) -> Vec<PathBuf> {
    let name = SplitName { prefix: "big-model".to_owned(), number: 1, count: 3 };
    let tensors = [vec!["token_embd.weight"], vec!["a.weight", "b.weight"], vec!["c.weight"]];
    (0..3_u32)
        .map(|index| {
            let mut metadata = Metadata::new();
            if index == 0 {
                metadata.set("general.architecture", "llama");
            }
            metadata.set("split.no", index as u16);
            metadata.set("split.count", 3_u16);
            metadata.set("split.tensors.count", 4_i32);
            let plans =
                tensors[index as usize].iter().map(|name| plan(name, &[8, 2], TensorType::F32)).collect();
            let mut contents = Contents::new(metadata, plans);
            change(index, &mut contents);
            let path = folder.join(name.part(index + 1));
            write_file(&path, &contents, |tensor, writer| writer.write_all(&vec![0; tensor.bytes as usize]))
                .expect("written");
            path
        })
        .collect()
}

#[test]
fn any_part_opens_the_whole_model() {
    let folder = tempfile::tempdir().expect("a folder");
    let paths = write_parts(folder.path(), |_, _| {});
    for path in &paths {
        let model = Model::open(path).expect("all parts");
        let files: Vec<&Path> = model.files().map(|file| file.path.as_path()).collect();
        assert_eq!(files, paths);
        assert_eq!(model.first().path, paths[0]);
        let found: Vec<(usize, &str)> =
            model.tensor_ranges().map(|range| (range.file, range.tensor.name.as_str())).collect();
        assert_eq!(found, [(0, "token_embd.weight"), (1, "a.weight"), (1, "b.weight"), (2, "c.weight")]);
        let facts = ModelFacts::read(&model);
        assert_eq!((facts.files, facts.parameters, facts.architecture.as_str()), (3, 64, "llama"));
        let lengths: u64 = paths.iter().map(|path| path.metadata().expect("there").len()).sum();
        assert_eq!(facts.file_bytes, lengths);
    }
}

#[test]
fn missing_parts_are_named() {
    let folder = tempfile::tempdir().expect("a folder");
    let paths = write_parts(folder.path(), |_, _| {});
    std::fs::remove_file(&paths[1]).expect("removed");
    let message = Model::open(&paths[2]).expect_err("a part is missing").to_string();
    assert!(
        message.contains("big-model-00002-of-00003.gguf") && message.contains("all 3 parts"),
        "{message}"
    );
    assert!(!message.contains("00001-of"), "{message}");
}

#[test]
fn parts_that_do_not_belong_together_are_refused() {
    type Change = fn(u32, &mut Contents);
    let cases: [(Change, &str); 4] = [
        (
            |index, contents| {
                contents.metadata.set("split.no", if index == 1 { 0_u16 } else { index as u16 })
            },
            "split.no is 0 but must be 1",
        ),
        (
            |index, contents| {
                if index == 2 {
                    contents.metadata.set("split.count", 4_u16)
                }
            },
            "split.count is 4 but must be 3",
        ),
        (
            |index, contents| {
                if index == 2 {
                    contents.metadata.remove("split.no")
                }
            },
            "split.no is missing",
        ),
        (|_, contents| contents.metadata.set("split.tensors.count", 5_i32), "hold 4 tensors"),
    ];
    for (change, part) in cases {
        let folder = tempfile::tempdir().expect("a folder");
        let paths = write_parts(folder.path(), change);
        let message = Model::open(&paths[0]).expect_err(part).to_string();
        assert!(message.contains(part), "{message}");
        assert!(message.contains("big-model-0000"), "{message}");
    }
}

#[test]
fn a_renamed_part_says_what_its_name_must_be() {
    let folder = tempfile::tempdir().expect("a folder");
    let paths = write_parts(folder.path(), |_, _| {});
    let renamed = folder.path().join("renamed.gguf");
    std::fs::rename(&paths[0], &renamed).expect("renamed");
    let message = Model::open(&renamed).expect_err("no name of a part").to_string();
    assert!(message.contains("-00001-of-00003.gguf"), "{message}");
}

#[test]
fn names_of_parts() {
    for (name, expected) in [
        ("model-00002-of-00006.gguf", Some(("model", 2, 6))),
        ("Qwen3-8B-Q4_K_M-00001-of-00001.gguf", Some(("Qwen3-8B-Q4_K_M", 1, 1))),
        ("a-00001-of-00002-00001-of-00003.gguf", Some(("a-00001-of-00002", 1, 3))),
        ("-00001-of-00002.gguf", Some(("", 1, 2))),
        ("model-00007-of-00006.gguf", None),
        ("model-00000-of-00006.gguf", None),
        ("model-2-of-6.gguf", None),
        ("model-000002-of-00006.gguf", None),
        ("model-00001-of-99999.gguf", None),
        ("model-+0001-of-00006.gguf", None),
        ("model-00001-of-00006", None),
        ("model.gguf", None),
        ("", None),
    ] {
        let found = SplitName::parse(name);
        let found = found.as_ref().map(|split| (split.prefix.as_str(), split.number, split.count));
        assert_eq!(found, expected, "{name}");
    }
}
