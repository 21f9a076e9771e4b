//! Reads fixed tokens and writes their logits to a file: big data goes past the channel.

use crate::channel::Output;
use crate::measure::{self, Session, Wanted};
use gguflab_native::context::BatchToken;
use gguflab_native::{Model, NativeError};
use gguflab_types::event::Phase;
use gguflab_types::message::Message;
use gguflab_types::outputs::{Head, Reading, RowForm};
use gguflab_types::{Request, Workload};
use std::fs::File;
use std::io::{BufWriter, Write};
use std::path::Path;

/// The workload with the room that a reading needs.
pub(crate) fn workload(reading: &Reading) -> Workload {
    Workload::single("read", Request::all_logits(reading.length))
}

/// Reads, and writes what was asked for. The file is the caller's own scratch; [`Message::Done`] says that it is whole.
pub(crate) fn write<'model>(
    model: &'model Model,
    session: &mut Option<Session<'model>>,
    wanted: Wanted,
    reading: &Reading,
    path: &Path,
    output: &Output,
    request: u64,
) -> Result<(), NativeError> {
    measure::check(model, &wanted.workload)?;
    output.send(&Message::Phase { request, phase: Phase::Context });
    measure::prepare(model, session, &wanted)?;
    let Some(session) = session.as_mut() else { return Ok(()) };
    let cannot = |error: std::io::Error| {
        NativeError::Rejected(format!("cannot write the logits to {}: {error}", path.display()))
    };
    let mut file = BufWriter::new(File::create(path).map_err(cannot)?);
    let head = Head { form: RowForm::Logits, width: model.vocabulary_size(), rows: reading.rows() };
    file.write_all(&head.to_bytes()).map_err(cannot)?;
    for passage in 0..reading.passages {
        output.send(&Message::Phase { request, phase: Phase::Measure });
        session.read(reading, passage, &mut |token, logits| {
            file.write_all(&token.to_le_bytes()).map_err(cannot)?;
            logits.iter().try_for_each(|logit| file.write_all(&logit.to_le_bytes())).map_err(cannot)
        })?;
    }
    file.flush().map_err(cannot)
}

/// What takes a token and the logits of what follows it.
type Take<'a> = &'a mut dyn FnMut(i32, &[f32]) -> Result<(), NativeError>;

impl Session<'_> {
    /// Reads one passage into an empty cache; hands on each kept token with the logits of what follows it.
    fn read(&mut self, reading: &Reading, passage: u32, take: Take<'_>) -> Result<(), NativeError> {
        self.context.forget_all();
        let prompt = reading.length.saturating_sub(reading.steps);
        let room = u32::try_from(self.context.batch()).unwrap_or(u32::MAX).max(1);
        let mut from = 0;
        while from < reading.length {
            let to = if from < prompt { prompt.min(from.saturating_add(room)) } else { from + 1 };
            let batch: Vec<BatchToken> = (from..to)
                .map(|position| BatchToken {
                    token: self.tokens.at(passage, u64::from(position)),
                    position: i32::try_from(position).unwrap_or(i32::MAX),
                    sequence: 0,
                    output: reading.positions.contains(&position),
                })
                .collect();
            self.context.decode(&batch)?;
            for (index, read) in batch.iter().enumerate().filter(|(_, read)| read.output) {
                take(read.token, self.context.logits(index)?)?;
            }
            from = to;
        }
        Ok(())
    }
}
