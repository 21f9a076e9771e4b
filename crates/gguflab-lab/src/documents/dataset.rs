//! What is said of datasets.

use gguflab_data::dataset::Dataset;
use gguflab_data::dataset::overlap::{Overlap, OverlapOptions, Place};
use gguflab_data::dataset::sample::{LanguageSample, Sample};
use gguflab_data::dataset::slice::Slice;
use gguflab_data::dataset::survey::{Survey, cut};
use gguflab_report::{Cell, Column, Document, Table};
use gguflab_types::Unit;

use super::Detail;
use crate::dataset::WrittenSample;

/// Pairs that a document lists.
const PAIRS: usize = 1000;
/// Pairs and passages that are listed where there is little room.
const FEW: usize = 10;
/// Files that a document lists.
const FILES: usize = 50;

/// What a dataset holds.
#[must_use]
pub fn survey(dataset: &Dataset, survey: &Survey) -> Document {
    let mut document = Document::new(format!("Dataset {}", dataset.request().name));
    let bytes = |bytes: u64| Cell::number(bytes as f64, Unit::Bytes);
    document.facts([
        ("records", Cell::count(survey.records)),
        ("text", Cell::text(text_field(dataset))),
        ("bytes of text", bytes(survey.bytes)),
        ("characters", Cell::count(survey.characters)),
        ("words", Cell::count(survey.words)),
        ("longest", survey.longest.map_or(Cell::missing(""), |it| bytes(it.bytes))),
        ("row of the longest", survey.longest.map_or(Cell::missing(""), |it| Cell::count(it.row))),
        ("shortest", survey.shortest.map_or(Cell::missing(""), |it| bytes(it.bytes))),
        ("row of the shortest", survey.shortest.map_or(Cell::missing(""), |it| Cell::count(it.row))),
        ("empty", Cell::count(survey.empty)),
        ("without a text", Cell::count(survey.without_text)),
        ("same as an earlier one", Cell::count(survey.duplicates)),
    ]);
    if !survey.all_compared {
        document
            .warning("There are too many different texts to remember: there may be more that are the same.");
    }
    document.table(files(dataset)).table(fields(survey));
    if !survey.languages.is_empty() {
        document.table(languages(survey));
    }
    let mut first = Table::new("The first texts", [Column::new("row"), Column::new("text")]);
    for (row, text) in &survey.first {
        first.push([Cell::count(*row), Cell::text(text.clone())]);
    }
    document.table(first);
    document
}

fn text_field(dataset: &Dataset) -> String {
    let field = dataset.field();
    format!("{} ({})", field.path, field.why.in_words())
}

fn files(dataset: &Dataset) -> Table {
    let columns = [Column::new("file"), Column::new("format"), Column::with_unit("size", Unit::Bytes)];
    let all = dataset.files();
    let caption = if all.len() > FILES {
        format!("The first {FILES} of {} files", all.len())
    } else {
        "Files".to_owned()
    };
    let mut table = Table::new(caption, columns);
    for file in all.iter().take(FILES) {
        let size = Cell::number(file.bytes as f64, Unit::Bytes);
        table.push([Cell::code(file.name.clone()), Cell::text(file.format()), size]);
    }
    table
}

fn fields(survey: &Survey) -> Table {
    let mut table =
        Table::new("Fields", [Column::new("field"), Column::new("holds"), Column::new("records")]);
    for field in &survey.fields {
        for (kind, count) in &field.kinds {
            table.push([Cell::code(field.name.clone()), Cell::text(*kind), Cell::count(*count)]);
        }
    }
    table
}

fn languages(survey: &Survey) -> Table {
    let columns = [Column::new("language"), Column::new("records"), Column::with_unit("text", Unit::Bytes)];
    let mut table = Table::new("Languages", columns);
    for (language, count) in &survey.languages {
        let bytes = Cell::number(count.bytes as f64, Unit::Bytes);
        table.push([Cell::text(language.clone()), Cell::count(count.records), bytes]);
    }
    if survey.without_language > 0 {
        table.push([Cell::missing("none"), Cell::count(survey.without_language), Cell::missing("")]);
    }
    table
}

/// What became of rows that were to be written.
#[must_use]
pub fn slice(dataset: &Dataset, slice: &Slice, target: &str) -> Document {
    let mut document = Document::new(format!("Rows of {}", dataset.request().name));
    document.facts([
        ("written to", Cell::code(target)),
        ("text", Cell::text(text_field(dataset))),
        ("rows read", Cell::count(slice.rows)),
        ("rows written", Cell::count(slice.written)),
        ("left out: empty", Cell::count(slice.empty)),
        ("left out: without a text", Cell::count(slice.without_text)),
        ("size", Cell::number(slice.bytes as f64, Unit::Bytes)),
    ]);
    document
}

/// What a sample is made of.
#[must_use]
pub fn sample(written: &WrittenSample, datasets: &[Dataset], target: &str, tokens_by: &str) -> Document {
    let sample = &written.sample;
    let mut document = Document::new("A sample");
    let taken = sample.languages.values().map(|language| language.taken).sum();
    document.facts([
        ("written to", Cell::code(target)),
        ("manifest", Cell::code(written.manifest.display().to_string())),
        ("records taken now", Cell::count(taken)),
        ("records taken before", Cell::count(written.before)),
        ("chunks", Cell::count(sample.chunks)),
        ("records cut because they are longer than a chunk", Cell::count(sample.cut)),
        ("size", Cell::number(written.bytes as f64, Unit::Bytes)),
        ("tokens counted by", Cell::text(tokens_by)),
    ]);
    document.table(taken_of(sample));
    let mut table = Table::new("Left out", [Column::new("reason"), Column::new("records")]);
    for (reason, count) in &sample.left_out {
        table.push([Cell::text(reason.in_words()), Cell::count(*count)]);
    }
    if !table.rows.is_empty() {
        document.table(table);
    }
    let mut sources = Table::new("Where the texts are", [Column::new("dataset"), Column::new("text")]);
    for dataset in datasets {
        sources.push([Cell::code(dataset.request().name.clone()), Cell::text(text_field(dataset))]);
    }
    document.table(sources);
    for (name, language) in sample.languages.iter().filter(|(_, language)| language.taken == 0) {
        document.warning(format!(
            "No record of {}: {} could have been taken.",
            shown(name),
            language.available
        ));
    }
    document
}

fn taken_of(sample: &Sample) -> Table {
    let columns = [
        Column::new("language"),
        Column::new("could be taken"),
        Column::new("taken"),
        Column::with_unit("text", Unit::Bytes),
        Column::with_unit("tokens", Unit::Tokens),
    ];
    let mut table = Table::new("Taken", columns);
    for (name, LanguageSample { available, taken, bytes, tokens }) in &sample.languages {
        table.push([
            Cell::text(shown(name)),
            Cell::count(*available),
            Cell::count(*taken),
            Cell::number(*bytes as f64, Unit::Bytes),
            Cell::number(*tokens as f64, Unit::Tokens),
        ]);
    }
    table
}

fn shown(language: &str) -> &str {
    if language.is_empty() { "(none)" } else { language }
}

/// What of an evaluation is in a training set.
#[must_use]
pub fn overlap(
    found: &Overlap,
    evaluation: &[Dataset],
    training: &[Dataset],
    options: &OverlapOptions,
    detail: Detail,
) -> Document {
    let most = if detail == Detail::Summary { FEW } else { PAIRS };
    let mut document = Document::new("Overlap of evaluation and training set");
    let records = found.evaluation.records - found.evaluation.without_words;
    let share = |count: u64, of: u64| match of {
        0 => Cell::missing("there are none"),
        of => Cell::number(count as f64 / of as f64, Unit::Fraction),
    };
    let words = options.words;
    document.facts([
        (format!("records with {words} words in a row of the training set"), Cell::count(found.touched)),
        ("share of records".to_owned(), share(found.touched, records)),
        (format!("share of all runs of {words} words"), share(found.matched_grams, found.grams)),
        ("records nearly the same as one of the training set".to_owned(), Cell::count(found.near_duplicates)),
        (
            format!("pairs with a Jaccard similarity of at least {}", options.similarity),
            Cell::count(found.all_pairs),
        ),
    ]);
    document.paragraph(format!(
        "Words are letters and digits without regard to case. All runs of {words} words are compared by 64 bits of their \
         hashes; similarities are those of the sets of runs, counted and not estimated."
    ));
    document.table(contained(found, records, words));
    if found.common_grams > 0 {
        document.warning(format!(
            "{} runs of words stand in so many records of the evaluation that only the first of these were paired by them.",
            found.common_grams
        ));
    }
    if !found.pairs.is_empty() {
        document.table(pairs(found, evaluation, training, most));
    }
    if !found.passages.is_empty() {
        document.table(passages(found, evaluation, training, most));
    }
    document.table(sides(found)).table(texts(evaluation, training));
    document
}

fn sides(found: &Overlap) -> Table {
    let columns = [
        Column::new("side"),
        Column::new("records"),
        Column::new("without words"),
        Column::new("compared as a whole").help("they have fewer words than a run"),
        Column::with_unit("text", Unit::Bytes),
    ];
    let mut table = Table::new("What was compared", columns);
    for (name, count) in [("evaluation", &found.evaluation), ("training", &found.training)] {
        table.push([
            Cell::text(name),
            Cell::count(count.records),
            Cell::count(count.without_words),
            Cell::count(count.short),
            Cell::number(count.bytes as f64, Unit::Bytes),
        ]);
    }
    table
}

fn texts(evaluation: &[Dataset], training: &[Dataset]) -> Table {
    let mut table =
        Table::new("Where the texts are", [Column::new("side"), Column::new("dataset"), Column::new("text")]);
    for (side, datasets) in [("evaluation", evaluation), ("training", training)] {
        for dataset in datasets {
            let name = Cell::code(dataset.request().name.clone());
            table.push([Cell::text(side), name, Cell::text(text_field(dataset))]);
        }
    }
    table
}

fn contained(found: &Overlap, records: u64, words: usize) -> Table {
    let columns = [
        Column::with_unit(format!("runs of {words} words in the training set, at least"), Unit::Fraction),
        Column::new("records"),
        Column::with_unit("share", Unit::Fraction),
    ];
    let mut table = Table::new("How much of a record is in the training set", columns);
    for (share, count) in &found.contained {
        let of_all = match records {
            0 => Cell::missing("there are none"),
            _ => Cell::number(*count as f64 / records as f64, Unit::Fraction),
        };
        table.push([Cell::number(f64::from(*share) / 100.0, Unit::Fraction), Cell::count(*count), of_all]);
    }
    table
}

fn pairs(found: &Overlap, evaluation: &[Dataset], training: &[Dataset], most: usize) -> Table {
    let shown = found.pairs.len().min(most) as u64;
    let caption = match shown < found.all_pairs {
        true => format!("The {shown} most similar of {} pairs", found.all_pairs),
        false => "Pairs that are nearly the same".to_owned(),
    };
    let columns = [
        Column::new("evaluation").help("its row"),
        Column::new("training").help("its row"),
        Column::new("similarity").help("Jaccard: runs of words that both have over those that either has"),
        Column::new("runs that both have"),
        Column::new("runs that either has"),
    ];
    let mut table = Table::new(caption, columns);
    for pair in found.pairs.iter().take(most) {
        table.push([
            place(pair.evaluation, evaluation),
            place(pair.training, training),
            Cell::Number { value: pair.similarity(), unit: Unit::None, digits: Some(4) },
            Cell::count(pair.shared),
            Cell::count(pair.all),
        ]);
    }
    table
}

fn passages(found: &Overlap, evaluation: &[Dataset], training: &[Dataset], most: usize) -> Table {
    let columns =
        [Column::new("words"), Column::new("evaluation"), Column::new("training"), Column::new("text")];
    let mut table = Table::new("The longest passages that the training set has too", columns);
    for passage in found.passages.iter().take(most) {
        table.push([
            Cell::count(passage.words),
            place(passage.evaluation, evaluation),
            place(passage.training, training),
            Cell::text(cut(&passage.text)),
        ]);
    }
    table
}

/// A row, with the last part of its dataset's name where there are several.
fn place(place: Place, datasets: &[Dataset]) -> Cell {
    if datasets.len() < 2 {
        return Cell::count(place.row);
    }
    let name = datasets.get(place.source).map_or("", |dataset| dataset.request().name.as_str());
    Cell::code(format!("{}:{}", name.rsplit('/').next().unwrap_or(name), place.row))
}
