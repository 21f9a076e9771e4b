//! Trials whose process died.

use crate::error::StoreError;
use crate::session::{Session, column};
use crate::store::Store;
use crate::study::StudyId;
use crate::trial::finish;
use crate::worker::{Fate, fate};
use gguflab_types::{Ending, Outcome};
use sqlx::sqlite::SqliteRow;

const CAUSE: &str = "the process that ran it ended";

impl Store {
    /// Ends the running trials whose process died: `cancelled`, with the repetitions that they have. Gives their
    /// numbers.
    ///
    /// Where a process ran on this machine since its last start, its life or death is known and `grace` does not
    /// matter. Elsewhere (another container, another system than Linux) it is taken for dead when its last
    /// heartbeat is older than `grace` seconds. Trials that another program began are left to that program.
    ///
    /// # Errors
    /// The file cannot be read or written.
    pub fn fail_stale_trials(&mut self, study: StudyId, grace: f64) -> Result<Vec<u32>, StoreError> {
        self.session.transaction(|session| {
            let query = "SELECT t.trial_id, t.number, g.worker, \
                         (julianday('now') - julianday(h.heartbeat)) * 86400.0 AS age, \
                         max(0.0, (julianday(h.heartbeat) - 2440587.5) * 86400.0 - g.started) AS lived \
                         FROM trials t JOIN gguflab_trials g ON g.trial_id = t.trial_id \
                         LEFT JOIN trial_heartbeats h ON h.trial_id = t.trial_id \
                         WHERE t.study_id = ?1 AND t.state = 'RUNNING' ORDER BY t.trial_id";
            let mut ended = Vec::new();
            for row in &session.rows(sqlx::query(query).bind(study.0))? {
                if is_stale(session, row, grace)? {
                    let trial: i64 = column(session, row, "trial_id")?;
                    let lived: Option<f64> = column(session, row, "lived")?;
                    finish(session, trial, &Ending::new(Outcome::Cancelled, CAUSE), None, lived)?;
                    ended.push(column(session, row, "number")?);
                }
            }
            Ok(ended)
        })
    }
}

fn is_stale(session: &Session, row: &SqliteRow, grace: f64) -> Result<bool, StoreError> {
    let worker: &str = column(session, row, "worker")?;
    let age: Option<f64> = column(session, row, "age")?;
    Ok(match fate(worker) {
        Fate::Alive => false,
        Fate::Dead => true,
        Fate::Unknown => age.is_some_and(|age| age > grace),
    })
}
