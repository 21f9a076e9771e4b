//! Splits Rust source into code and comments, so that a word in a string or in a comment is not taken for code.

/// A source text in two views of the same shape: every other character is a space, line ends stay.
pub struct Views {
    /// Without comments and without the contents of strings and character literals.
    pub code: String,
    /// Comments only.
    pub comments: String,
}

/// Splits a source text.
pub fn split(text: &str) -> Views {
    let characters: Vec<char> = text.chars().collect();
    let mut views = Views { code: String::new(), comments: String::new() };
    let mut at = 0;
    while at < characters.len() {
        let (kind, length) =
            next_piece(&characters[at..], at.checked_sub(1).map(|before| characters[before]));
        for character in &characters[at..at + length] {
            views.push(*character, kind);
        }
        at += length;
    }
    views
}

#[derive(Clone, Copy, PartialEq)]
enum Kind {
    Code,
    Comment,
    Literal,
}

impl Views {
    fn push(&mut self, character: char, kind: Kind) {
        let or_space = |keep: bool| if keep || character == '\n' { character } else { ' ' };
        self.code.push(or_space(kind == Kind::Code));
        self.comments.push(or_space(kind == Kind::Comment));
    }
}

/// The kind and length (in characters, at least 1) of what stands at the beginning of `rest`.
fn next_piece(rest: &[char], before: Option<char>) -> (Kind, usize) {
    match rest {
        ['/', '/', ..] => (Kind::Comment, until(rest, |_, character| character == '\n')),
        ['/', '*', ..] => (Kind::Comment, block_comment(rest)),
        ['"', ..] => (Kind::Literal, string(rest)),
        ['\'', '\\', _, ..] => (Kind::Literal, 3 + until(&rest[3..], |_, character| character == '\'') + 1),
        ['\'', _, '\'', ..] => (Kind::Literal, 3),
        ['r', ..] if !before.is_some_and(is_word_but_prefix) => raw_string(rest),
        _ => (Kind::Code, 1),
    }
}

/// A raw string may follow the prefixes `b` and `c`, but no other letter of a word.
fn is_word_but_prefix(character: char) -> bool {
    (character.is_alphanumeric() || character == '_') && !matches!(character, 'b' | 'c')
}

fn until(rest: &[char], end: impl Fn(usize, char) -> bool) -> usize {
    rest.iter().enumerate().position(|(at, character)| end(at, *character)).unwrap_or(rest.len())
}

fn block_comment(rest: &[char]) -> usize {
    let (mut depth, mut at) = (0, 0);
    while at < rest.len() {
        match rest[at..] {
            ['/', '*', ..] => (depth, at) = (depth + 1, at + 2),
            ['*', '/', ..] => (depth, at) = (depth - 1, at + 2),
            _ => at += 1,
        }
        if depth == 0 {
            break;
        }
    }
    at
}

fn string(rest: &[char]) -> usize {
    let mut at = 1;
    while at < rest.len() {
        match rest[at] {
            '\\' => at += 2,
            '"' => return at + 1,
            _ => at += 1,
        }
    }
    rest.len()
}

fn raw_string(rest: &[char]) -> (Kind, usize) {
    let hashes = until(&rest[1..], |_, character| character != '#');
    if rest.get(1 + hashes) != Some(&'"') {
        return (Kind::Code, 1);
    }
    let start = hashes + 2;
    let closes =
        |at: usize| rest[at..].iter().take(hashes).filter(|character| **character == '#').count() == hashes;
    let end = (start..rest.len()).find(|at| rest[*at] == '"' && closes(at + 1));
    (Kind::Literal, end.map_or(rest.len(), |end| end + 1 + hashes))
}

/// Whether `text` holds `word` as a whole word.
pub fn has_word(text: &str, word: &str) -> bool {
    let is_part = |character: char| character.is_alphanumeric() || character == '_';
    text.match_indices(word).any(|(at, _)| {
        let before = text[..at].chars().next_back();
        let after = text[at + word.len()..].chars().next();
        !before.is_some_and(is_part) && !after.is_some_and(is_part)
    })
}

#[test]
fn code_and_comments_are_told_apart() {
    let cases = [
        ("let a = 1; // word", "let a = 1;", "// word"),
        ("a /* x /* y */ z */ b", "a                   b", "/* x /* y */ z */"),
        ("let s = \"un\\\"safe // no\"; b", "let s =                 ; b", ""),
        ("r#\"a \" b\"# + c", "           + c", ""),
        ("br\"x\" c", "b     c", ""),
        ("r#match + x", "r#match + x", ""),
        ("'a' 'static '\\n' b", "    'static      b", ""),
        ("'\\u{41}' b", "         b", ""),
        ("for r in rows {}", "for r in rows {}", ""),
    ];
    for (text, code, comments) in cases {
        let views = split(text);
        assert_eq!((views.code.trim_end(), views.comments.trim()), (code, comments), "{text}");
        assert_eq!(views.code.chars().count(), text.chars().count(), "{text}");
    }
}

#[test]
fn words_are_whole() {
    assert!(has_word("x = unit;", "unit") && has_word("unit", "unit"));
    assert!(!has_word("units", "unit") && !has_word("my_unit", "unit"));
}
