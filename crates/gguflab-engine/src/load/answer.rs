//! One HTTP answer, taken in as it comes in pieces.

/// Longest line of a head or of an event.
const LONGEST: usize = 1 << 20;
/// Longest beginning of an answer without events that is kept.
const BEGINNING: usize = 80;
/// Longest beginning of a refusal that is kept.
const REFUSAL: usize = 4 << 10;

/// An answer on its way.
#[derive(Debug, Default)]
pub(super) struct Answer {
    /// What is not a whole line yet of the head, or of what stands around chunks.
    frame: Vec<u8>,
    /// What is not a whole line yet of the body; it may go on in the next chunk.
    line: Vec<u8>,
    place: Place,
    status: u16,
    chunked: bool,
    length: Option<u64>,
    /// What a refusal said.
    refusal: Vec<u8>,
    /// How an answer begins that has had no event yet.
    beginning: Vec<u8>,
    has_events: bool,
}

/// Where in the answer the next byte belongs.
#[derive(Debug, Default, Clone, Copy, PartialEq)]
enum Place {
    #[default]
    First,
    Head,
    /// So many bytes of the body are left in this chunk, or in all.
    Body(u64),
    /// The end of the line behind a chunk.
    Behind,
    Size,
    End,
}

impl Answer {
    /// Takes in the next piece, telling the data of each event in it.
    ///
    /// # Errors
    /// What is wrong with it, in words.
    pub(super) fn take(&mut self, mut bytes: &[u8], on_data: &mut dyn FnMut(&str)) -> Result<(), String> {
        while !bytes.is_empty() {
            match self.place {
                Place::End => return Ok(()),
                Place::Body(left) => {
                    let count = usize::try_from(left).unwrap_or(usize::MAX).min(bytes.len());
                    self.body(&bytes[..count], on_data)?;
                    bytes = &bytes[count..];
                    self.place = match (left - count as u64, self.chunked) {
                        (0, true) => Place::Behind,
                        (0, false) => Place::End,
                        (left, _) => Place::Body(left),
                    };
                }
                _ => match bytes.iter().position(|byte| *byte == b'\n') {
                    Some(end) => {
                        self.frame.extend_from_slice(&bytes[..end]);
                        bytes = &bytes[end + 1..];
                        let frame = String::from_utf8_lossy(&std::mem::take(&mut self.frame)).into_owned();
                        self.head(frame.trim_end())?;
                    }
                    None => {
                        self.frame.extend_from_slice(bytes);
                        return check_length(&self.frame);
                    }
                },
            }
        }
        Ok(())
    }

    /// Its status, once that is known.
    pub(super) fn status(&self) -> Option<u16> {
        (self.status > 0).then_some(self.status)
    }

    /// Whether it is complete as far as HTTP tells; one without a length ends with its connection.
    pub(super) fn has_ended(&self) -> bool {
        self.place == Place::End
    }

    /// Whether the end of the connection is the end of the answer.
    pub(super) fn ends_with_connection(&self) -> bool {
        !self.chunked && self.length.is_none() && matches!(self.place, Place::Body(_))
    }

    /// What the server said with a status that is none of success.
    pub(super) fn refusal(&self) -> String {
        String::from_utf8_lossy(&self.refusal).trim().to_string()
    }

    /// How an answer without any event begins; `None` where there were events, or nothing at all.
    pub(super) fn instead_of_events(&self) -> Option<String> {
        let text = String::from_utf8_lossy(&self.beginning);
        let text = text.split_whitespace().collect::<Vec<_>>().join(" ");
        (!self.has_events && !text.is_empty()).then_some(text)
    }

    fn head(&mut self, line: &str) -> Result<(), String> {
        match self.place {
            Place::First => {
                let status = line.strip_prefix("HTTP/1.").and_then(|rest| rest.split_whitespace().nth(1));
                let status = status.and_then(|status| status.parse().ok());
                let beginning: String = line.chars().take(80).collect();
                self.status = status.ok_or_else(|| format!("no HTTP: `{beginning}`"))?;
                self.place = Place::Head;
            }
            Place::Head if line.is_empty() => {
                self.place = match (self.chunked, self.length) {
                    (true, _) => Place::Size,
                    (false, Some(0)) => Place::End,
                    (false, Some(length)) => Place::Body(length),
                    (false, None) => Place::Body(u64::MAX),
                };
            }
            Place::Head => self.field(line),
            Place::Behind => self.place = Place::Size,
            _ => {
                // RFC 9112, section 7.1: a size, and after a semicolon what nobody needs.
                let size = line.split(';').next().unwrap_or_default().trim();
                let size = u64::from_str_radix(size, 16).map_err(|_| format!("no size of a chunk: `{size}`"));
                self.place = match size? {
                    0 => Place::End,
                    size => Place::Body(size),
                };
            }
        }
        Ok(())
    }

    fn field(&mut self, line: &str) {
        let Some((name, value)) = line.split_once(':') else { return };
        match name.trim().to_ascii_lowercase().as_str() {
            "content-length" => self.length = value.trim().parse().ok(),
            "transfer-encoding" => self.chunked = value.to_ascii_lowercase().contains("chunked"),
            _ => {}
        }
    }

    fn body(&mut self, bytes: &[u8], on_data: &mut dyn FnMut(&str)) -> Result<(), String> {
        if self.status != 200 {
            let room = REFUSAL.saturating_sub(self.refusal.len());
            self.refusal.extend_from_slice(&bytes[..room.min(bytes.len())]);
            return Ok(());
        }
        if !self.has_events && self.beginning.len() < BEGINNING {
            let room = BEGINNING - self.beginning.len();
            self.beginning.extend_from_slice(&bytes[..room.min(bytes.len())]);
        }
        let has_events = &mut self.has_events;
        let mut on_data = |data: &str| {
            *has_events = true;
            on_data(data);
        };
        let mut rest = bytes;
        while let Some(end) = rest.iter().position(|byte| *byte == b'\n') {
            if self.line.is_empty() {
                data(&rest[..end], &mut on_data);
            } else {
                self.line.extend_from_slice(&rest[..end]);
                data(&self.line, &mut on_data);
                self.line.clear();
            }
            rest = &rest[end + 1..];
        }
        self.line.extend_from_slice(rest);
        check_length(&self.line)
    }
}

fn check_length(line: &[u8]) -> Result<(), String> {
    if line.len() > LONGEST { Err(format!("a line of over {LONGEST} bytes")) } else { Ok(()) }
}

/// Tells the data of one line of a stream of events, if it has any.
fn data(line: &[u8], on_data: &mut dyn FnMut(&str)) {
    if let Some(data) = line.strip_prefix(b"data:") {
        on_data(String::from_utf8_lossy(data).trim());
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const CHUNKED: &str = "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n4;x=y\r\ndata\r\n6\r\n: a\n\nd\r\n7\r\nata: b\n\r\n0\r\n\r\n";

    fn taken(text: &str, piece: usize) -> (Answer, Vec<String>) {
        let (mut answer, mut told) = (Answer::default(), Vec::new());
        for bytes in text.as_bytes().chunks(piece) {
            answer.take(bytes, &mut |data| told.push(data.to_string())).unwrap();
        }
        (answer, told)
    }

    #[test]
    fn events_are_found_however_the_answer_is_cut() {
        let texts = [
            (CHUNKED, true),
            ("HTTP/1.1 200 OK\r\nContent-Length: 16\r\n\r\ndata: a\ndata: b\nmore that is not its own", true),
            ("HTTP/1.0 200 OK\r\n\r\ndata: a\r\n\r\n: ping\n\ndata: b\r\n\r\n", false),
        ];
        for (text, ended) in texts {
            for piece in 1..text.len() {
                let (answer, told) = taken(text, piece);
                assert_eq!(told, ["a", "b"], "pieces of {piece}: {text}");
                assert_eq!((answer.has_ended(), answer.ends_with_connection()), (ended, !ended), "{text}");
            }
        }
    }

    #[test]
    fn an_answer_without_events_tells_how_it_begins() {
        let page = "HTTP/1.1 200 OK\r\nContent-Length: 23\r\n\r\n<html>\n  <p>Welcome</p>";
        for piece in [1, 5, 100] {
            assert_eq!(taken(page, piece).0.instead_of_events().as_deref(), Some("<html> <p>Welcome</p>"));
        }
        assert_eq!(taken(CHUNKED, 9).0.instead_of_events(), None);
        assert_eq!(taken("HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n", 9).0.instead_of_events(), None);
    }

    #[test]
    fn refusals_keep_their_words_and_cut_answers_do_not_end() {
        let (answer, told) =
            taken("HTTP/1.1 503 Busy\r\nContent-Length: 22\r\n\r\n{\"error\": \"no slot\"}\n\n", 7);
        assert_eq!((answer.status(), told.len()), (Some(503), 0));
        assert_eq!((answer.refusal().as_str(), answer.has_ended()), ("{\"error\": \"no slot\"}", true));
        let (cut, _) = taken(&CHUNKED[..CHUNKED.len() - 6], 5);
        assert!(!cut.has_ended() && !cut.ends_with_connection());
    }

    #[test]
    fn what_is_no_http_is_said_to_be_none() {
        for text in ["220 mail ESMTP\r\n", "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n"] {
            assert!(Answer::default().take(text.as_bytes(), &mut |_| ()).is_err(), "{text}");
        }
        let endless = "x".repeat(LONGEST + 1);
        assert!(Answer::default().take(endless.as_bytes(), &mut |_| ()).is_err());
    }
}
