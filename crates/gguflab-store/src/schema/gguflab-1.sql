-- gguflab's own tables, version 1: what Optuna has no place for. Times are seconds since 1970 (UTC).
CREATE TABLE gguflab_meta (
    "key" TEXT NOT NULL PRIMARY KEY,
    value TEXT NOT NULL
);
CREATE TABLE gguflab_studies (
    study_id INTEGER NOT NULL PRIMARY KEY REFERENCES studies (study_id),
    subject TEXT NOT NULL,
    space TEXT NOT NULL,
    objectives TEXT NOT NULL,
    settings TEXT NOT NULL,
    created REAL NOT NULL
);
CREATE TABLE gguflab_trials (
    trial_id INTEGER NOT NULL PRIMARY KEY REFERENCES trials (trial_id),
    configuration TEXT NOT NULL,
    purpose TEXT NOT NULL,
    round INTEGER NOT NULL,
    worker TEXT NOT NULL,
    started REAL NOT NULL,
    outcome TEXT,
    cause TEXT,
    duration REAL
);
CREATE TABLE gguflab_repetitions (
    repetition_id INTEGER NOT NULL PRIMARY KEY,
    trial_id INTEGER NOT NULL REFERENCES trials (trial_id),
    ordinal INTEGER NOT NULL,
    request INTEGER,
    repetition INTEGER NOT NULL,
    started REAL,
    duration REAL,
    noisy TEXT,
    samples BLOB NOT NULL,
    state TEXT NOT NULL,
    UNIQUE (trial_id, ordinal)
);
-- A log in pieces; first_byte counts every byte that was ever appended, so that a gap tells what was dropped.
CREATE TABLE gguflab_logs (
    log_id INTEGER NOT NULL PRIMARY KEY,
    trial_id INTEGER NOT NULL REFERENCES trials (trial_id),
    first_byte INTEGER NOT NULL,
    bytes INTEGER NOT NULL,
    text TEXT NOT NULL,
    UNIQUE (trial_id, first_byte)
);
-- Optuna deletes studies without knowing these tables, and SQLite gives freed ids away again: without the
-- triggers a later trial would inherit the samples of a deleted one.
CREATE TRIGGER gguflab_trial_deleted AFTER DELETE ON trials BEGIN
    DELETE FROM gguflab_logs WHERE trial_id = OLD.trial_id;
    DELETE FROM gguflab_repetitions WHERE trial_id = OLD.trial_id;
    DELETE FROM gguflab_trials WHERE trial_id = OLD.trial_id;
END;
CREATE TRIGGER gguflab_study_deleted AFTER DELETE ON studies BEGIN
    DELETE FROM gguflab_studies WHERE study_id = OLD.study_id;
END;
