//! The languages that a model's card names.

/// The `language` of the front matter of a card, the block between two lines `---` at its beginning: one word, a list
/// in brackets, or a list of lines with dashes.
///
/// # Errors
/// What is missing or cannot be understood.
pub fn languages_of_card(card: &str) -> Result<Vec<String>, String> {
    let card = card.trim_start_matches('\u{feff}');
    let mut lines = card.lines();
    if lines.next().map(str::trim_end) != Some("---") {
        return Err("it has no front matter: its first line is not `---`".to_owned());
    }
    let front: Vec<&str> = lines.by_ref().take_while(|line| line.trim_end() != "---").collect();
    let key = front.iter().position(|line| line.split(':').next() == Some("language"));
    let key = key.ok_or("its front matter has no `language`")?;
    let value = front[key].split_once(':').map_or("", |(_, value)| value.trim());
    let items: Vec<&str> = match value.strip_prefix('[') {
        Some(list) => list.trim_end_matches(']').split(',').collect(),
        None if value.is_empty() => dashed(&front[key + 1..]),
        None => vec![value],
    };
    let languages: Vec<String> = items.into_iter().map(word).filter(|word| !word.is_empty()).collect();
    if languages.is_empty() { Err("its `language` names none".to_owned()) } else { Ok(languages) }
}

fn dashed<'a>(lines: &[&'a str]) -> Vec<&'a str> {
    lines.iter().map_while(|line| line.trim_start().strip_prefix('-')).collect()
}

/// Without quotation marks and what follows a `#`.
fn word(item: &str) -> String {
    let item = item.split(" #").next().unwrap_or(item).trim();
    item.trim_matches(|mark| mark == '"' || mark == '\'').to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn languages_stand_in_the_front_matter() {
        for (card, expected) in [
            ("---\nlanguage: en\n---\n# Card", vec!["en"]),
            (
                "---\nlicense: mit\nlanguage:\n- en\n- \"no\" # Norwegian\n  - pt-br\ntags:\n- x\n---\n",
                vec!["en", "no", "pt-br"],
            ),
            ("\u{feff}---\r\nlanguage: [en, 'fr',de]\r\n---\r\n", vec!["en", "fr", "de"]),
        ] {
            assert_eq!(languages_of_card(card).expect(card), expected, "{card}");
        }
        for (card, reason) in [
            ("# Card", "no front matter"),
            ("---\nlicense: mit\n---\nlanguage: en", "no `language`"),
            ("---\nlanguage:\n---\n", "names none"),
            ("", "no front matter"),
        ] {
            assert!(languages_of_card(card).expect_err(card).contains(reason), "{card}");
        }
    }
}
