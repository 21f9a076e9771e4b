//! Every format of the sample document.

use crate::sample;
use gguflab_report::render::{self, csv, html, json, markdown, svg, terminal};
use gguflab_report::{Block, Cell, Column, Document, FORMATS, Style, Table, text};
use gguflab_types::Unit;
use std::collections::BTreeSet;

#[test]
fn formats_have_distinct_names_and_extensions_and_render_the_sample() {
    let names: BTreeSet<_> = FORMATS.iter().map(|format| format.name).collect();
    let extensions: BTreeSet<_> = FORMATS.iter().map(|format| format.extension).collect();
    assert_eq!((names.len(), extensions.len()), (FORMATS.len(), FORMATS.len()));
    for format in FORMATS {
        let shown = (format.render)(&sample::document(), &Style::default());
        assert!(shown.ends_with('\n') && shown.contains("decode"), "{}", format.name);
        assert_eq!(render::find(format.name).map(|found| found.extension), Some(format.extension));
        let upper = format.extension.to_uppercase();
        assert_eq!(render::find_extension(&upper).map(|found| found.name), Some(format.name));
        // The same document gives the same text, however much was drawn before.
        assert_eq!(shown, (format.render)(&sample::document(), &Style::default()));
    }
}

#[test]
fn terminal_text() {
    let wide = terminal::render(&sample::document(), &Style { width: 110, color: false });
    insta::assert_snapshot!("terminal_wide", wide);
    let narrow = terminal::render(&sample::document(), &Style { width: 60, color: false });
    insta::assert_snapshot!("terminal_narrow", narrow);
}

#[test]
fn terminal_lines_fit_except_code() {
    for columns in [1, 24, 40, 60, 80, 100, 200] {
        let mut document = sample::document();
        document.blocks.retain(|block| !matches!(block, Block::Code { .. }));
        let shown = terminal::render(&document, &Style { width: columns, color: false });
        for line in shown.lines().filter(|_| columns >= 60) {
            assert!(text::width(line) <= columns, "{columns}: {line}");
        }
    }
}

#[test]
fn colour_adds_nothing_but_colour() {
    let document = sample::document();
    let plain = terminal::render(&document, &Style { width: 100, color: false });
    let colored = terminal::render(&document, &Style { width: 100, color: true });
    assert!(!plain.contains('\u{1b}') && colored.contains("\u{1b}[32m"));
    let mut stripped = String::new();
    for part in colored.split('\u{1b}') {
        let code = part.starts_with('[').then(|| part.find('m').map(|end| end + 1)).flatten();
        stripped.push_str(&part[code.unwrap_or(0)..]);
    }
    let trimmed = |text: &str| text.lines().map(str::trim_end).collect::<Vec<_>>().join("\n");
    assert_eq!(trimmed(&stripped), trimmed(&plain));
}

#[test]
fn markdown_text() {
    insta::assert_snapshot!("markdown", markdown::render(&sample::document()));
}

#[test]
fn csv_text_reads_back() {
    let table = sample::table();
    let shown = csv::render(&sample::document());
    assert_eq!(shown, csv::table(&table));
    let rows = parse_csv(&shown);
    assert_eq!(
        rows[0].join(";"),
        "configuration;decode [tok/s];decode low [tok/s];decode high [tok/s];change;change low;change high;\
         first token [s];first token low [s];first token high [s];memory [B];trials;verdict"
    );
    assert_eq!(
        rows[1].join(";"),
        "threads=2, \"batch\"=512;116.1234;114.8;117.5;0.147;0.131;0.162;0.0078;;;221596623;12345;better"
    );
    assert_eq!(rows[2][10], "");
    assert_eq!(rows.len(), 3);
}

#[test]
fn csv_sections_facts_and_charts() {
    let mut table = Table::new("say \"hi\"\nthere", [Column::new("a"), Column::new(" b")]);
    table.push([Cell::text("1,5"), Cell::number(1.5, Unit::Seconds)]);
    table.push([Cell::text("x"), Cell::number(2.0, Unit::Bytes)]);
    let mut two = Document::new("");
    two.table(table.clone()).table(table);
    let rows = parse_csv(&csv::render(&two));
    let section =
        [vec!["say \"hi\"\nthere"], vec!["a", " b", " b unit"], vec!["1,5", "1.5", "s"], vec!["x", "2", "B"]];
    let expected: Vec<Vec<&str>> =
        section.iter().cloned().chain([vec![""]]).chain(section.iter().cloned()).collect();
    assert_eq!(rows, expected);

    let mut document = sample::document();
    document.blocks.retain(|block| !matches!(block, Block::Table(_)));
    let facts = parse_csv(&csv::render(&document));
    assert_eq!(facts[2], ["size", "98304512", "", "", "B"]);
    document.blocks.retain(|block| !matches!(block, Block::Facts { .. }));
    let charts = parse_csv(&csv::render(&document));
    assert_eq!(charts[0], ["Decode"]);
    let heads = ["batch", "64 [tok/s]", "512 [tok/s]", "marked"];
    let rows = [heads, ["64", "435", "", ""], ["512", "487", "684", "baseline at 64"]];
    assert_eq!(charts[charts.len() - 3..], rows);
}

/// RFC 4180, by the letter.
fn parse_csv(text: &str) -> Vec<Vec<String>> {
    let (mut rows, mut row, mut field) = (Vec::new(), Vec::new(), String::new());
    let mut characters = text.chars().peekable();
    let mut quoted = false;
    while let Some(character) = characters.next() {
        match character {
            '"' if quoted && characters.peek() == Some(&'"') => {
                characters.next();
                field.push('"');
            }
            '"' => quoted = !quoted,
            ',' if !quoted => row.push(std::mem::take(&mut field)),
            '\r' if !quoted => {
                assert_eq!(characters.next(), Some('\n'));
                row.push(std::mem::take(&mut field));
                rows.push(std::mem::take(&mut row));
            }
            other => field.push(other),
        }
    }
    assert!(!quoted && field.is_empty() && row.is_empty(), "the last line must end");
    rows
}

#[test]
fn json_reads_back() {
    let document = sample::document();
    let text = json::render(&document);
    assert_eq!(json::read(&text).unwrap(), document);
    assert!(text.starts_with("{\n  \"format\": \"gguflab-document\",\n  \"version\": 2,\n"));
    let mut odd = Document::new("odd");
    odd.facts([("x", Cell::number(f64::NAN, Unit::None))]);
    odd.facts([("y", Cell::estimate(1.0, Some((f64::NEG_INFINITY, 2.0)), Unit::None))]);
    let mut expected = Document::new("odd");
    expected.facts([("x", Cell::missing("not a finite number"))]);
    expected.facts([("y", Cell::estimate(1.0, None, Unit::None))]);
    assert_eq!(json::read(&json::render(&odd)).unwrap(), expected);
}

#[test]
fn json_of_another_kind_is_refused_with_a_reason() {
    let text = json::render(&sample::document());
    for (text, expected) in [
        (
            text.replace("\"version\": 2", "\"version\": 3"),
            "has version 3, this program reads up to version 2",
        ),
        (text.replace("gguflab-document", "other"), "the file says that its format is \"other\""),
        (text.replace("\"title\"", "\"titel\""), "unknown field `titel`"),
        (text[..text.len() / 2].to_string(), "the text is not a gguflab document"),
        (String::new(), "the text is not a gguflab document"),
    ] {
        let message = json::read(&text).unwrap_err().to_string();
        assert!(message.contains(expected), "{message}");
    }
}

#[test]
fn html_page_without_charts() {
    let mut document = sample::document();
    document.blocks.retain(|block| !matches!(block, Block::Chart(_)));
    let page = html::render(&document);
    let start = page.find("<main>").unwrap();
    let end = page.find("</main>").unwrap();
    insta::assert_snapshot!("html_main", &page[start..end]);
}

#[test]
fn html_is_self_contained_and_well_formed() {
    let page = html::render(&sample::document());
    let start = page.find("<main>").unwrap();
    let end = page.find("</main>").unwrap() + "</main>".len();
    let main = roxmltree::Document::parse(&page[start..end]).unwrap();
    let identifiers: Vec<_> = main.descendants().filter_map(|node| node.attribute("id")).collect();
    let distinct: BTreeSet<_> = identifiers.iter().collect();
    assert_eq!(distinct.len(), identifiers.len(), "identifiers repeat: {identifiers:?}");
    for node in main.descendants().filter(|node| node.has_tag_name("th")) {
        assert!(matches!(node.attribute("scope"), Some("col" | "row")));
    }
    let foreign = page.replace("http://www.w3.org/2000/svg", "");
    assert!(!foreign.contains("http:") && !foreign.contains("https:") && !foreign.contains("@import"));
    assert_eq!(page.matches("<svg").count(), 2 * sample::charts().len());
}

#[test]
fn what_is_folded_is_in_every_format() {
    let mut inside = Document::new("");
    inside.table(sample::table()).code("sh", "llama-server <model>", "").chart(sample::charts().remove(0));
    let mut document = Document::new("folded");
    document.fold("for <few>", inside).fold("nothing", Document::new(""));
    assert_eq!(document.blocks.len(), 1, "an empty fold is none");
    for format in FORMATS.iter().filter(|format| format.name != "svg") {
        let text = (format.render)(&document, &Style::default());
        assert!(
            text.contains("12345") || text.contains("12,345") || text.contains("12\u{202f}345"),
            "{text}"
        );
    }
    let page = html::render(&document);
    assert!(page.contains("<details class=\"fold\"><summary>for &lt;few&gt;</summary>"), "{page}");
    assert!(page.matches("<svg").count() == 2 && svg::render(&document).contains("<circle"));
    assert!(markdown::render(&document).contains("<details><summary>for &lt;few&gt;</summary>\n\n"));
    assert_eq!(json::read(&json::render(&document)).unwrap(), document);
}
