-- ?1 study, ?2 the highest trial id that is known, ?3 JSON list of known trials that may have changed.
WITH wanted (trial_id) AS (
    SELECT trial_id FROM trials WHERE study_id = ?1 AND trial_id > ?2
    UNION ALL
    SELECT value FROM json_each(?3)
)
SELECT
    t.trial_id,
    t.number,
    t.state,
    g.trial_id IS NOT NULL AS own,
    g.configuration,
    g.purpose,
    g.round,
    g.outcome,
    g.cause,
    COALESCE(g.started, (julianday(t.datetime_start) - 2440587.5) * 86400.0, 0.0) AS started,
    COALESCE(g.duration, (julianday(t.datetime_complete) - julianday(t.datetime_start)) * 86400.0) AS duration
FROM wanted
JOIN trials t ON t.trial_id = wanted.trial_id AND t.study_id = ?1
LEFT JOIN gguflab_trials g ON g.trial_id = t.trial_id;
