//! Models by path and by folder.

use std::fs;

use gguflab_data::{DataError, find_model};

use crate::Home;

#[test]
fn a_path_a_folder_or_a_part_names_a_model() {
    let home = Home::with(&[
        "here/m.gguf",
        "here/no-ending",
        "here/one/only.GGUF",
        "here/one/mmproj-only.gguf",
        "here/one/.hidden.gguf",
        "here/one/old/older.gguf",
        "here/two/a-Q4_0.gguf",
        "here/two/b-Q8_0.gguf",
        "here/deep/x/y/below.gguf",
        "here/too/w/x/y/z/below.gguf",
        "here/split/s-00001-of-00002.gguf",
        "here/split/s-00002-of-00002.gguf",
        "here/broken/s-00002-of-00002.gguf",
        "here/empty/readme.txt",
    ]);
    let absolute = home.path("here/m.gguf").display().to_string();
    home.check(&[
        ("m.gguf", "file here/m.gguf"),
        (&absolute, "file here/m.gguf"),
        ("./two/../m.gguf", "file here/./two/../m.gguf"),
        ("no-ending", "file here/no-ending"),
        ("one", "folder here/one/only.GGUF"),
        ("one/", "folder here/one/only.GGUF"),
        ("one:older", "folder here/one/old/older.gguf"),
        ("two", "error: several models; say which:\n  a-Q4_0.gguf\n  b-Q8_0.gguf"),
        ("two:q8_0", "folder here/two/b-Q8_0.gguf"),
        ("two:Q5_0", "error: has no model `Q5_0`; it has:\n  a-Q4_0.gguf\n  b-Q8_0.gguf"),
        ("deep", "folder here/deep/x/y/below.gguf"),
        ("too", "error: ~/here/too has no .gguf file"),
        ("empty", "error: ~/here/empty has no .gguf file"),
        ("split", "folder here/split/s-00001-of-00002.gguf"),
        ("split/s-00002-of-00002.gguf", "file here/split/s-00001-of-00002.gguf"),
        ("split/s-00001-of-00002.gguf", "file here/split/s-00001-of-00002.gguf"),
        ("broken", "error: ~/here/broken: the split model lacks its part s-00001-of-00002.gguf"),
        ("broken/s-00002-of-00002.gguf", "error: lacks its part s-00001-of-00002.gguf"),
        ("", "error: it is empty"),
        (" ", "error: it is empty"),
        ("a\0b", "error: no model"),
    ]);
}

#[test]
fn a_folder_with_too_many_entries_is_refused() {
    let home = Home::with(&["here/many/z.gguf"]);
    for index in 0..gguflab_data::limits::WALK_ENTRIES {
        fs::write(home.path("here/many").join(index.to_string()), "").expect("a file");
    }
    home.check(&[("many", "error: ~/here/many has more than 10000 entries; name the file itself")]);
}

#[cfg(unix)]
#[test]
fn a_circle_of_links_ends() {
    let home = Home::with(&["here/circle/m.gguf"]);
    std::os::unix::fs::symlink(home.path("here/circle"), home.path("here/circle/again")).expect("a link");
    home.check(&[("circle", "folder here/circle/m.gguf")]);
}

#[test]
fn a_path_below_a_file_is_not_found() {
    let home = Home::with(&["here/m.gguf"]);
    let error = find_model("m.gguf/x.gguf", &home.places).expect_err("a file has nothing below it");
    assert!(matches!(error, DataError::NotFound { .. }), "{error}");
}
