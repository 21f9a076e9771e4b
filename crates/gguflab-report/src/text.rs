//! Text that came from elsewhere (model names, paths, error messages), made safe and cut to fit.

use unicode_width::{UnicodeWidthChar, UnicodeWidthStr};

/// One line of harmless text: white space becomes a space, other control characters become visible pictures
/// (`␛` for escape), and the marks that reorder text (Unicode TR 9 overrides and isolates) are left out.
///
/// A terminal would otherwise obey an escape sequence in a file name, and XML 1.0 forbids most of these
/// characters altogether.
#[must_use]
pub fn clean(text: &str) -> String {
    text.chars().filter_map(clean_character).collect()
}

/// As [`clean`], but line ends stay: for code and engine output.
#[must_use]
pub fn clean_lines(text: &str) -> String {
    text.lines().map(clean).collect::<Vec<_>>().join("\n")
}

fn clean_character(character: char) -> Option<char> {
    match character {
        '\n' | '\r' | '\t' => Some(' '),
        '\u{0}'..='\u{1f}' => char::from_u32(0x2400 + u32::from(character)),
        '\u{7f}' => Some('␡'),
        '\u{80}'..='\u{9f}' | '\u{fffe}' | '\u{ffff}' => Some('\u{fffd}'),
        '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}' | '\u{200e}' | '\u{200f}' => None,
        other => Some(other),
    }
}

/// Columns that `text` takes in a terminal.
#[must_use]
pub fn width(text: &str) -> usize {
    UnicodeWidthStr::width(text)
}

/// `text` in at most `limit` columns, with `…` at the end where something was cut.
#[must_use]
pub fn truncate(text: &str, limit: usize) -> String {
    if width(text) <= limit {
        return text.to_string();
    }
    let mut kept = take_columns(text, limit.saturating_sub(1)).trim_end().to_string();
    if limit > 0 {
        kept.push('…');
    }
    kept
}

/// `text` in lines of at most `limit` columns, broken at spaces, words longer than a line broken anywhere.
///
/// There is always at least one line.
#[must_use]
pub fn wrap(text: &str, limit: usize) -> Vec<String> {
    let limit = limit.max(1);
    let mut lines = vec![String::new()];
    for word in text.split(' ').filter(|word| !word.is_empty()) {
        push_word(&mut lines, word, limit);
    }
    lines
}

/// As [`wrap`], but never more than `most` lines; the last one ends with `…` where something was cut.
#[must_use]
pub fn wrap_at_most(text: &str, limit: usize, most: usize) -> Vec<String> {
    let mut lines = wrap(text, limit);
    let most = most.max(1);
    if lines.len() > most {
        let rest = lines.split_off(most - 1).join(" ");
        lines.push(truncate(&rest, limit));
    }
    lines
}

fn push_word(lines: &mut Vec<String>, word: &str, limit: usize) {
    let mut rest = word;
    loop {
        let used = lines.last().map_or(0, |line| width(line));
        let gap = usize::from(used > 0);
        if used + gap + width(rest) <= limit {
            if let Some(line) = lines.last_mut() {
                line.push_str(if gap == 1 { " " } else { "" });
                line.push_str(rest);
            }
            return;
        }
        if used > 0 {
            lines.push(String::new());
            continue;
        }
        let head = take_columns(rest, limit);
        // A character wider than the whole line still has to go somewhere.
        let head =
            if head.is_empty() { &rest[..rest.chars().next().map_or(0, char::len_utf8)] } else { head };
        if let Some(line) = lines.last_mut() {
            line.push_str(head);
        }
        rest = &rest[head.len()..];
        if rest.is_empty() {
            return;
        }
        lines.push(String::new());
    }
}

fn take_columns(text: &str, limit: usize) -> &str {
    let mut used = 0;
    for (position, character) in text.char_indices() {
        used += character.width().unwrap_or(0);
        if used > limit {
            return &text[..position];
        }
    }
    text
}

/// `text` padded with spaces on the right to `columns`.
#[must_use]
pub fn pad_right(text: &str, columns: usize) -> String {
    format!("{text}{}", " ".repeat(columns.saturating_sub(width(text))))
}

/// `text` padded with spaces on the left to `columns`.
#[must_use]
pub fn pad_left(text: &str, columns: usize) -> String {
    format!("{}{text}", " ".repeat(columns.saturating_sub(width(text))))
}

/// `text` with the five characters that mean something in HTML and XML written as entities, after [`clean`].
#[must_use]
pub fn escape(text: &str) -> String {
    escape_raw(&clean(text))
}

/// As [`escape`], but line ends stay.
#[must_use]
pub fn escape_lines(text: &str) -> String {
    escape_raw(&clean_lines(text))
}

fn escape_raw(text: &str) -> String {
    let mut escaped = String::with_capacity(text.len());
    for character in text.chars() {
        match character {
            '&' => escaped.push_str("&amp;"),
            '<' => escaped.push_str("&lt;"),
            '>' => escaped.push_str("&gt;"),
            '"' => escaped.push_str("&quot;"),
            '\'' => escaped.push_str("&#39;"),
            other => escaped.push(other),
        }
    }
    escaped
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hostile_characters_become_harmless() {
        for (text, expected) in [
            ("a\u{1b}[31mred", "a␛[31mred"),
            ("two\nlines\tand", "two lines and"),
            ("\u{0}\u{7f}\u{9b}", "␀␡\u{fffd}"),
            ("abc\u{202e}fdp.exe", "abcfdp.exe"),
            ("größe 模型", "größe 模型"),
        ] {
            assert_eq!(clean(text), expected);
        }
        assert_eq!(clean_lines("a\r\nb\u{7}"), "a\nb␇");
        assert_eq!(escape("<b a='1'>\"&"), "&lt;b a=&#39;1&#39;&gt;&quot;&amp;");
    }

    #[test]
    fn text_fits_its_columns() {
        for (text, limit, expected) in [
            ("threads", 7, "threads"),
            ("threads", 6, "threa…"),
            ("模型模型", 5, "模型…"),
            ("模型模型", 4, "模…"),
            ("threads", 1, "…"),
            ("threads", 0, ""),
        ] {
            assert_eq!(truncate(text, limit), expected, "{text} in {limit}");
            assert!(width(&truncate(text, limit)) <= limit);
        }
    }

    #[test]
    fn lines_break_at_spaces_and_long_words_anywhere() {
        let check = |text: &str, limit: usize, expected: &[&str]| assert_eq!(wrap(text, limit), expected);
        check("threads=4 batch=512 ubatch=128", 20, &["threads=4 batch=512", "ubatch=128"]);
        check("abcdefghij kl", 4, &["abcd", "efgh", "ij", "kl"]);
        check("模型", 1, &["模", "型"]);
        check("", 5, &[""]);
        assert_eq!(wrap_at_most("one two three four", 5, 2), ["one", "two…"]);
        assert_eq!(wrap_at_most("one two", 5, 2), ["one", "two"]);
    }
}
