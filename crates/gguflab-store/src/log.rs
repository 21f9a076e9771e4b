//! The engine's output of each trial, bounded: its beginning and its end are kept.

use crate::error::StoreError;
use crate::session::{Session, column};
use crate::store::Store;
use crate::study::StudyId;
use crate::trial::TrialHandle;

/// Bytes kept of the beginning, and of the end.
const HALF: i64 = 512 * 1024;
/// Bytes of one piece: what is dropped is dropped piece by piece.
const PIECE: usize = 64 * 1024;

impl Store {
    /// Adds text to the log of a running trial. Of a long log the first and the last 512 KiB are kept.
    ///
    /// # Errors
    /// The trial has ended, or the file cannot be written.
    pub fn append_log(&mut self, trial: &TrialHandle, text: &str) -> Result<(), StoreError> {
        self.session.transaction(|session| {
            let query = "SELECT 1 FROM trials WHERE trial_id = ?1 AND state = 'RUNNING'";
            if session.row(sqlx::query(query).bind(trial.id))?.is_none() {
                return Err(StoreError::NotRunning { path: session.path.clone(), number: trial.number() });
            }
            let mut end = end_of_log(session, trial.id)?;
            for piece in pieces(text) {
                end = append(session, trial.id, end, piece)?;
            }
            drop_middle(session, trial.id, end)
        })
    }

    /// The log of the trial of this number, with a line where its middle was left out; `None` when there is none.
    ///
    /// # Errors
    /// The file cannot be read.
    pub fn log(&mut self, study: StudyId, number: u32) -> Result<Option<String>, StoreError> {
        let query = "SELECT l.first_byte, l.bytes, l.text FROM gguflab_logs l \
                     JOIN trials t ON t.trial_id = l.trial_id \
                     WHERE t.study_id = ?1 AND t.number = ?2 ORDER BY l.first_byte";
        let rows = self.session.rows(sqlx::query(query).bind(study.0).bind(number))?;
        let mut log = String::new();
        let mut end: i64 = 0;
        for row in &rows {
            let first: i64 = column(&self.session, row, "first_byte")?;
            let bytes: i64 = column(&self.session, row, "bytes")?;
            if first > end {
                log.push_str(&format!("\n[{} bytes of the log were not kept]\n", first - end));
            }
            log.push_str(column(&self.session, row, "text")?);
            end = first.saturating_add(bytes);
        }
        Ok((!rows.is_empty()).then_some(log))
    }
}

fn end_of_log(session: &mut Session, trial: i64) -> Result<i64, StoreError> {
    let query = "SELECT first_byte + bytes AS finish FROM gguflab_logs WHERE trial_id = ?1 \
                 ORDER BY first_byte DESC LIMIT 1";
    let row = session.row(sqlx::query(query).bind(trial))?;
    row.map_or(Ok(0), |row| column(session, &row, "finish"))
}

fn append(session: &mut Session, trial: i64, first: i64, piece: &str) -> Result<i64, StoreError> {
    let bytes = i64::try_from(piece.len()).unwrap_or(i64::MAX);
    let query = "INSERT INTO gguflab_logs (trial_id, first_byte, bytes, text) VALUES (?1, ?2, ?3, ?4)";
    session.run(sqlx::query(query).bind(trial).bind(first).bind(bytes).bind(piece))?;
    Ok(first.saturating_add(bytes))
}

fn drop_middle(session: &mut Session, trial: i64, end: i64) -> Result<(), StoreError> {
    let query = "DELETE FROM gguflab_logs WHERE trial_id = ?1 AND first_byte >= ?2 AND first_byte < ?3 \
                 AND first_byte + bytes <= ?3";
    if end <= 2 * HALF {
        return Ok(());
    }
    session.run(sqlx::query(query).bind(trial).bind(HALF).bind(end - HALF)).map(|_| ())
}

/// Text in pieces of at most [`PIECE`] bytes, cut between characters.
fn pieces(text: &str) -> impl Iterator<Item = &str> {
    let mut rest = text;
    std::iter::from_fn(move || {
        let (piece, left) = rest.split_at(rest.floor_char_boundary(PIECE));
        rest = left;
        (!piece.is_empty()).then_some(piece)
    })
}
