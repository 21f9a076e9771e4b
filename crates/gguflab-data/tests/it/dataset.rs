//! Datasets of every format, and what is said of those that cannot be read.

use std::io::Write;
use std::sync::Arc;

use flate2::Compression;
use flate2::write::GzEncoder;
use gguflab_data::dataset::slice::{SliceOptions, slice};
use gguflab_data::dataset::survey::survey;
use gguflab_data::dataset::{Dataset, DatasetError, DatasetRequest, FieldPath, Split, Unit};
use parquet::basic::Compression as ParquetCompression;
use parquet::data_type::{ByteArray, ByteArrayType, Int64Type};
use parquet::file::properties::WriterProperties;
use parquet::file::writer::SerializedFileWriter;
use parquet::schema::parser::parse_message_type;

use crate::Home;

impl Home {
    /// A home with these files.
    pub(crate) fn of(files: &[(&str, &[u8])]) -> Home {
        let home = Home::new();
        files.iter().for_each(|(name, contents)| home.write(&format!("here/{name}"), contents));
        home
    }

    pub(crate) fn open(&self, request: &DatasetRequest) -> Result<Dataset, DatasetError> {
        Dataset::open(request, &self.places, &mut |_| {})
    }

    /// The texts of a dataset with `|` between them, `-` for none, or the error with the home folder as `~`.
    pub(crate) fn texts(&self, request: &DatasetRequest) -> String {
        let read = |dataset: Dataset| dataset.records().collect::<Result<Vec<_>, _>>();
        match self.open(request).and_then(read) {
            Ok(records) => {
                let texts = records.into_iter().map(|record| record.text.unwrap_or_else(|| "-".to_owned()));
                texts.collect::<Vec<_>>().join("|")
            }
            Err(error) => error.to_string().replace(&self.path("here").display().to_string(), "~"),
        }
    }
}

pub(crate) fn named(name: &str) -> DatasetRequest {
    DatasetRequest { name: name.to_owned(), ..DatasetRequest::default() }
}

fn gz(bytes: &[u8]) -> Vec<u8> {
    let mut encoder = GzEncoder::new(Vec::new(), Compression::default());
    encoder.write_all(bytes).expect("written");
    encoder.finish().expect("finished")
}

/// A Parquet file with the columns `n` and `content`, rows in groups of three.
pub(crate) fn parquet(texts: &[Option<&str>], compression: ParquetCompression) -> Vec<u8> {
    let schema = "message rows { required int64 n; optional binary content (utf8); }";
    let schema = Arc::new(parse_message_type(schema).expect("a schema"));
    let properties = Arc::new(WriterProperties::builder().set_compression(compression).build());
    let mut bytes = Vec::new();
    let mut writer = SerializedFileWriter::new(&mut bytes, schema, properties).expect("a writer");
    for (group, texts) in texts.chunks(3).enumerate() {
        let mut columns = writer.next_row_group().expect("a group");
        let mut column = columns.next_column().expect("n").expect("n");
        let numbers: Vec<i64> = (0..texts.len()).map(|row| (group * 3 + row) as i64).collect();
        column.typed::<Int64Type>().write_batch(&numbers, None, None).expect("numbers");
        column.close().expect("closed");
        let mut column = columns.next_column().expect("content").expect("content");
        let present: Vec<ByteArray> = texts.iter().flatten().map(|text| ByteArray::from(*text)).collect();
        let levels: Vec<i16> = texts.iter().map(|text| i16::from(text.is_some())).collect();
        column.typed::<ByteArrayType>().write_batch(&present, Some(&levels), None).expect("texts");
        column.close().expect("closed");
        columns.close().expect("closed");
    }
    writer.close().expect("closed");
    bytes
}

#[test]
fn every_format_is_read() {
    let cases: [(&str, Vec<u8>, &str); 17] = [
        ("a.txt", b"one\ntwo\n\n\n \nthree\n".to_vec(), "one\ntwo|three"),
        ("a.txt.gz", gz(b"one\n\ntwo"), "one|two"),
        ("mark.txt", b"\xef\xbb\xbfone".to_vec(), "one"),
        ("windows.txt", b"one\r\ntwo\r\n\r\nthree".to_vec(), "one\r\ntwo|three"),
        ("code.rs", b"fn main() {}\n\nfn more() {}\n".to_vec(), "fn main() {}\n\nfn more() {}\n"),
        ("a.jsonl", b"{\"text\":\"one\"}\n\n{\"text\":\"t\\u00fco\",\"x\":1}\n".to_vec(), "one|t\u{fc}o"),
        ("b.jsonl", b"\"one\"\n{\"text\":null}\n{\"x\":1}".to_vec(), "one|-|-"),
        ("a.ndjson.gz", gz(b"{\"content\":\"one\"}"), "one"),
        ("list.json", br#" [ {"text":"a]\"}"}, {"text":"b","c":[1,{"d":2}]} ,"c"] "#.to_vec(), "a]\"}|b|c"),
        ("object.json", br#"{"t1":{"extract":"a"},"t2":{"extract":"b"}}"#.to_vec(), "t1|t2"),
        ("data.json", br#"{"version":"1","n":12,"data":[{"text":"a"},{"text":"b"}]}"#.to_vec(), "a|b"),
        ("lines.json", b"{\"text\":\"a\"}\n{\"text\":\"b\"}".to_vec(), "a|b"),
        ("one.json", b"{\"text\":\"a\"}".to_vec(), "a"),
        ("a.csv", b"id,my_content\n1,\"a, \"\"b\"\"\nc\"\n2,d\n".to_vec(), "a, \"b\"\nc|d"),
        ("a.tsv", b"name\ttext\nx\ta,b\n".to_vec(), "a,b"),
        (
            "a.parquet",
            parquet(&[Some("a"), None, Some("c"), Some("d")], ParquetCompression::SNAPPY),
            "a|-|c|d",
        ),
        ("b.parquet", parquet(&[Some("a")], ParquetCompression::ZSTD(Default::default())), "a"),
    ];
    for (name, contents, expected) in cases {
        let home = Home::of(&[(name, &contents)]);
        assert_eq!(home.texts(&named(name)), expected, "{name}");
    }
}

#[test]
fn a_text_is_cut_as_asked_for() {
    let home = Home::of(&[("a.txt", b"one\ntwo\n\nthree")]);
    for (unit, expected) in [
        (Unit::Line, "one|two||three"),
        (Unit::Paragraph, "one\ntwo|three"),
        (Unit::File, "one\ntwo\n\nthree"),
    ] {
        assert_eq!(home.texts(&DatasetRequest { unit: Some(unit), ..named("a.txt") }), expected, "{unit:?}");
    }
}

#[test]
fn what_cannot_be_read_is_said_with_its_place() {
    let broken = {
        let mut bytes = parquet(&[Some("a"); 9], ParquetCompression::SNAPPY);
        bytes[8..40].fill(0xff);
        bytes
    };
    let cases: [(&str, &[u8], &str); 18] = [
        ("latin.txt", b"first\n\ncaf\xe9 noir", "~/latin.txt: byte 10 is 0xe9, not UTF-8; convert"),
        ("latin.jsonl", b"{\"text\":\"a\"}\n{\"text\":\"\xe9\"}", "~/latin.jsonl: byte 22 is 0xe9"),
        ("latin.csv", b"a,b\n1,\xe9\n", "~/latin.csv: byte 6 is 0xe9"),
        ("wide.txt", b"\xff\xfea\x00", "byte 0 is 0xff, the mark of UTF-16LE"),
        ("cut.txt", b"abc\xc3", "byte 3 is 0xc3"),
        (
            "bad.jsonl",
            b"{\"text\":\"a\"}\n{\"text\":",
            "~/bad.jsonl: line 2, column 8: not a record in JSON: EOF",
        ),
        ("number.jsonl", b"12", "line 1, column 2: not a record in JSON: invalid type: integer `12`"),
        ("cut.json", br#"[{"text":"a"},{"te"#, "byte 18: it ends in the middle; it is cut off"),
        ("more.json", br#"[{"text":"a"}] x"#, "something follows its end"),
        ("number.json", b"12", "it holds neither a list nor an object of records"),
        ("short.csv", b"a,b\n1\n", "~/short.csv: line 2: not a row of the table"),
        ("not.parquet", b"PAR1 and more", "footer: no usable Parquet"),
        ("broken.parquet", &broken, "no usable Parquet"),
        (
            "numbers.jsonl",
            b"{\"a\":1}",
            "no field of its first record is a text; its fields are:\n  a (number)",
        ),
        ("empty.txt", b"", "empty.txt: it has no records"),
        ("blank.txt", b" \n \n", "blank.txt: it has no records"),
        ("empty.json", b"{\"a\":1,\n\"b\":2}", "it has no records"),
        ("broken.jsonl.gz", b"\x1f\x8b\x08\x00 and so on", "cannot read ~/broken.jsonl.gz"),
    ];
    for (name, contents, expected) in cases {
        let got = Home::of(&[(name, contents)]).texts(&named(name));
        assert!(got.contains(expected), "{name}: expected {expected:?}, got {got:?}");
    }
    let home = Home::new();
    assert!(home.texts(&named("nothing.jsonl")).contains("cannot open ~/nothing.jsonl"));
}

#[test]
fn a_record_without_end_is_refused() {
    let mut endless = vec![b'x'; 65 << 20];
    for (name, beginning) in
        [("a.txt", &b""[..]), ("a.jsonl", b"{\"text\":\""), ("a.json", b"[\""), ("a.csv", b"t\n\"")]
    {
        endless[..beginning.len()].copy_from_slice(beginning);
        let got = Home::of(&[(name, &endless)]).texts(&named(name));
        let is_said =
            got.contains("is longer than 67108864 bytes") || got.contains("too long; is a quotation mark");
        assert!(is_said, "{name}: {got}");
    }
}

#[test]
fn splits_and_rows_are_chosen() {
    let line = |text: &str| format!("{{\"text\":\"{text}\"}}\n");
    let lines = |texts: std::ops::Range<u32>| texts.map(|text| line(&text.to_string())).collect::<String>();
    let (train, test) = (lines(0..10), lines(10..12));
    let second = lines(20..22);
    let home = Home::of(&[
        ("d/train-00000-of-00002.jsonl", train.as_bytes()),
        ("d/train-00001-of-00002.jsonl", second.as_bytes()),
        ("d/test.jsonl", test.as_bytes()),
        ("d/README.md", b"not data"),
    ]);
    for (split, expected) in [
        ("train[:3]", "0|1|2"),
        ("train[9:11]", "9|20"),
        ("train[-2:]", "20|21"),
        ("train[50%:75%]", "6|7|8"),
        ("test", "10|11"),
        ("[:1]", "10"),
        (
            "validation",
            "d has no split `validation`; its files are:\n  test.jsonl\n  train-00000-of-00002.jsonl",
        ),
        ("test[5:]", ""),
        ("test[-2:-2]", "d: no row lies in `test[-2:-2]`"),
    ] {
        let split = Some(Split::parse(split).expect(split));
        let got = home.texts(&DatasetRequest { split: split.clone(), ..named("d") });
        let matches = if expected.contains("split") { got.starts_with(expected) } else { got == expected };
        assert!(matches, "{split:?}: {got}");
    }
}

#[test]
fn fields_and_languages_are_found_by_path() {
    let lines = br#"{"messages":[{"role":"user","content":"hi"}],"meta":{"lang":"en"}}
{"messages":[],"meta":{"lang":"fr"}}
{"messages":[{"content":"ho"}]}"#;
    let home = Home::of(&[("chat.jsonl", lines)]);
    let path = |text: &str| Some(FieldPath::parse(text).expect(text));
    let request = DatasetRequest {
        field: path("messages.0.content"),
        language_field: path("meta.lang"),
        language: Some("xx".to_owned()),
        ..named("chat.jsonl")
    };
    assert_eq!(home.texts(&request), "hi|-|ho");
    let dataset = home.open(&request).expect("a dataset");
    let languages: Vec<_> = dataset.records().map(|record| record.expect("a record").language).collect();
    assert_eq!(languages, [Some("en".to_owned()), Some("fr".to_owned()), Some("xx".to_owned())]);
    let wrong = home.texts(&DatasetRequest { field: path("messages"), ..named("chat.jsonl") });
    assert!(wrong.contains("no text at `messages`: it is a list of record"), "{wrong}");
}

#[test]
fn a_folder_of_code_is_a_record_for_each_file() {
    let home =
        Home::of(&[("p/a.py", b"import b\n\nx = 1\n"), ("p/sub/b.rs", b"fn b() {}"), ("p/.git/x", b"\xff")]);
    assert_eq!(home.texts(&named("p")), "import b\n\nx = 1\n|fn b() {}");
}

#[test]
fn a_survey_counts_what_there_is() {
    let lines = br#"{"text":"one two","lang":"en","n":1}
{"text":"un deux trois","lang":"fr","n":2}
{"text":"one two","lang":"en","n":"x"}
{"text":"  ","lang":"en"}
{"lang":"en"}
{"text":"\u00e9"}"#;
    let home = Home::of(&[("a.jsonl", lines)]);
    let request = DatasetRequest {
        language_field: Some(FieldPath::parse("lang").expect("a path")),
        ..named("a.jsonl")
    };
    let found = survey(&home.open(&request).expect("a dataset"), 2).expect("a survey");
    assert_eq!((found.records, found.without_text, found.empty, found.duplicates), (6, 1, 1, 1));
    assert_eq!((found.bytes, found.characters, found.words), (7 + 13 + 7 + 2 + 2, 7 + 13 + 7 + 2 + 1, 8));
    assert_eq!(found.languages.len(), 2);
    assert_eq!(
        (found.languages["en"].records, found.languages["fr"].bytes, found.without_language),
        (3, 13, 1)
    );
    assert_eq!(found.longest.map(|extreme| (extreme.row, extreme.bytes)), Some((1, 13)));
    assert_eq!(found.shortest.map(|extreme| (extreme.row, extreme.bytes)), Some((5, 2)));
    assert_eq!(found.first, [(0, "one two".to_owned()), (1, "un deux trois".to_owned())]);
    let n = found.fields.iter().find(|field| field.name == "n").expect("the field n");
    assert_eq!(
        n.kinds.iter().map(|(kind, count)| (*kind, *count)).collect::<Vec<_>>(),
        [("number", 2), ("text", 1)]
    );
}

#[test]
fn a_slice_holds_the_rows_and_counts_the_others() {
    let home = Home::of(&[(
        "a.jsonl",
        b"{\"text\":\" a \"}\n{\"text\":\" \"}\n{\"text\":\"b\\nc\"}\n{\"x\":1}\n{\"text\":\"d\"}",
    )]);
    let dataset = home.open(&named("a.jsonl")).expect("a dataset").with_rows(0..4);
    for (strip, expected) in [(false, " a \nb\nc\n"), (true, "a\nb\nc\n")] {
        let mut text = Vec::new();
        let done = slice(&dataset, SliceOptions { strip }, &mut text).expect("a slice");
        assert_eq!(String::from_utf8(text).expect("text"), expected);
        assert_eq!((done.rows, done.written, done.empty, done.without_text), (4, 2, 1, 1));
        assert_eq!(done.bytes, expected.len() as u64);
    }
}

#[test]
fn no_damage_brings_a_reader_down() {
    let texts = [Some("one"), None, Some("three")];
    let samples: [(&str, Vec<u8>); 7] = [
        ("a.txt", b"\xef\xbb\xbfone\n\ntwo".to_vec()),
        ("a.jsonl", b"{\"text\":\"a\\u00e9\"}\n\"b\"".to_vec()),
        ("list.json", br#"[{"text":"a\"]","b":[{}]},"c",{"text":null}]"#.to_vec()),
        ("object.json", br#"{"t":{"text":"a"},"n":1,"l":[{"text":"b"}]}"#.to_vec()),
        ("a.csv", b"text,b\n\"a\"\"b\",c\nd,e\n".to_vec()),
        ("a.jsonl.gz", gz(b"{\"text\":\"a\"}")),
        ("a.parquet", parquet(&texts, ParquetCompression::SNAPPY)),
    ];
    for (name, whole) in samples {
        let home = Home::new();
        let read = |bytes: &[u8]| {
            home.write(&format!("here/{name}"), bytes);
            home.texts(&named(name))
        };
        (0..whole.len()).for_each(|end| drop(read(&whole[..end])));
        for at in 0..whole.len() {
            let mut damaged = whole.clone();
            damaged[at] ^= 0xff;
            read(&damaged);
        }
        assert!(!read(&whole).contains('~'), "{name}: {}", read(&whole));
    }
}
