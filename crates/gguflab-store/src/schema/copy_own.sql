-- What our own tables have of the trials in `moved`. $1 the purpose that race visits get.
INSERT INTO main.gguflab_trials
    (trial_id, configuration, purpose, round, worker, started, outcome, cause, duration)
SELECT m.new, g.configuration, CASE g.purpose WHEN 'race' THEN $1 ELSE g.purpose END, g.round, g.worker, g.started,
    COALESCE(g.outcome, 'cancelled'), COALESCE(g.cause, 'it was running when the study was copied'), g.duration
FROM source.gguflab_trials g JOIN temp.moved m ON m.old = g.trial_id;
INSERT INTO main.gguflab_repetitions
    (trial_id, ordinal, request, repetition, started, duration, noisy, samples, state)
SELECT m.new, r.ordinal, r.request, r.repetition, r.started, r.duration, r.noisy, r.samples, r.state
FROM source.gguflab_repetitions r JOIN temp.moved m ON m.old = r.trial_id ORDER BY r.repetition_id;
INSERT INTO main.gguflab_logs (trial_id, first_byte, bytes, text)
SELECT m.new, l.first_byte, l.bytes, l.text
FROM source.gguflab_logs l JOIN temp.moved m ON m.old = l.trial_id ORDER BY l.log_id;
