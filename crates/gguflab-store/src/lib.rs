//! Studies, trials and samples in SQLite, in Optuna's schema. The only crate that knows SQL.
