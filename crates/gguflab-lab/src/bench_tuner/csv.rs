//! Comma-separated values (RFC 4180), read with the place of every field.

/// A line of fields.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Record {
    /// The line of the file on which it begins, from 1.
    pub line: usize,
    /// The fields.
    pub fields: Vec<String>,
}

/// The records of a text; empty lines are left out. Line ends are those of any system.
///
/// # Errors
/// Line and field of a quote that is not closed, or of one in the middle of a field.
pub fn records(text: &str) -> Result<Vec<Record>, (usize, usize, String)> {
    let text = text.strip_prefix('\u{feff}').unwrap_or(text);
    let mut reader = Reader { record: Record { line: 1, fields: Vec::new() }, field: String::new(), line: 1 };
    let mut found = Vec::new();
    let mut letters = text.chars().peekable();
    // Whether the field is quoted: not, is open, or was closed.
    let (mut open, mut closed) = (false, false);
    while let Some(letter) = letters.next() {
        match letter {
            '"' if open && letters.peek() == Some(&'"') => {
                letters.next();
                reader.field.push('"');
            }
            '"' if open => (open, closed) = (false, true),
            '\n' if open => {
                reader.line += 1;
                reader.field.push('\n');
            }
            other if open => reader.field.push(other),
            '"' if reader.field.is_empty() && !closed => open = true,
            '"' => {
                return Err(reader.place("a quote in the middle of a field: double it, and quote the field"));
            }
            ',' => {
                closed = false;
                reader.end_field();
            }
            '\r' if letters.peek() == Some(&'\n') => {}
            '\n' | '\r' => {
                closed = false;
                found.extend(reader.end_record());
            }
            _ if closed => return Err(reader.place("text behind the closing quote")),
            other => reader.field.push(other),
        }
    }
    if open {
        return Err(reader.place("a quote that is not closed"));
    }
    found.extend(reader.end_record());
    Ok(found)
}

struct Reader {
    record: Record,
    field: String,
    line: usize,
}

impl Reader {
    fn place(&self, problem: &str) -> (usize, usize, String) {
        (self.line, self.record.fields.len() + 1, problem.to_string())
    }

    fn end_field(&mut self) {
        self.record.fields.push(std::mem::take(&mut self.field));
    }

    fn end_record(&mut self) -> Option<Record> {
        self.end_field();
        self.line += 1;
        let ended = std::mem::replace(&mut self.record, Record { line: self.line, fields: Vec::new() });
        let empty = ended.fields.len() == 1 && ended.fields[0].trim().is_empty();
        (!empty).then_some(ended)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn fields_and_lines_are_told() {
        let read = records("\u{feff}a,b\r\n\r\n1,\"x, \"\"y\"\"\nz\"\n,\"\"\n3").unwrap();
        let shown: Vec<(usize, Vec<&str>)> =
            read.iter().map(|one| (one.line, one.fields.iter().map(String::as_str).collect())).collect();
        let expected =
            [(1, vec!["a", "b"]), (3, vec!["1", "x, \"y\"\nz"]), (5, vec!["", ""]), (6, vec!["3"])];
        assert_eq!(shown, expected);
        for (text, place) in [("a\n1,\"2", (2, 2)), ("a,b\"c", (1, 2)), ("a\n\"x\"y", (2, 1))] {
            let (line, column, problem) = records(text).unwrap_err();
            assert_eq!((line, column), place, "{text}: {problem}");
        }
        assert_eq!(records("").unwrap(), []);
    }
}
