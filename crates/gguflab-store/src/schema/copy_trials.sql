-- Trials of an attached file `source`, each with all that belongs to it; what is copied is copied byte for byte.
-- $1 the study there, $2 the study here, $3 finished trials only (0 or 1), $4 the purpose that race visits get.
-- A trial that runs there is cancelled here: whoever runs it does not know the copy.
INSERT INTO temp.moved (old, new, number)
SELECT t.trial_id,
    (SELECT COALESCE(max(trial_id), 0) FROM main.trials) + row_number() OVER (ORDER BY t.trial_id),
    (SELECT count(*) FROM main.trials WHERE study_id = $2) + row_number() OVER (ORDER BY t.trial_id) - 1
FROM source.trials t
WHERE t.study_id = $1 AND ($3 = 0 OR t.state IN ('COMPLETE', 'PRUNED', 'FAIL'))
    AND t.trial_id NOT IN (SELECT old FROM temp.doubles);
INSERT INTO main.trials (trial_id, number, study_id, state, datetime_start, datetime_complete)
SELECT m.new, m.number, $2, CASE t.state WHEN 'RUNNING' THEN 'FAIL' ELSE t.state END, t.datetime_start,
    CASE t.state WHEN 'RUNNING' THEN strftime('%Y-%m-%d %H:%M:%f000', 'now') ELSE t.datetime_complete END
FROM source.trials t JOIN temp.moved m ON m.old = t.trial_id ORDER BY m.new;
INSERT INTO main.trial_user_attributes (trial_id, "key", value_json)
SELECT m.new, a."key",
    CASE WHEN a."key" = 'purpose' AND a.value_json = '"race"' THEN json_quote($4) ELSE a.value_json END
FROM source.trial_user_attributes a JOIN temp.moved m ON m.old = a.trial_id
ORDER BY a.trial_user_attribute_id;
INSERT INTO main.trial_system_attributes (trial_id, "key", value_json)
SELECT m.new, a."key", a.value_json FROM source.trial_system_attributes a JOIN temp.moved m ON m.old = a.trial_id
ORDER BY a.trial_system_attribute_id;
INSERT INTO main.trial_params (trial_id, param_name, param_value, distribution_json)
SELECT m.new, p.param_name, p.param_value, p.distribution_json
FROM source.trial_params p JOIN temp.moved m ON m.old = p.trial_id ORDER BY p.param_id;
INSERT INTO main.trial_values (trial_id, objective, value, value_type)
SELECT m.new, v.objective, v.value, v.value_type
FROM source.trial_values v JOIN temp.moved m ON m.old = v.trial_id ORDER BY v.trial_value_id;
INSERT INTO main.trial_intermediate_values (trial_id, step, intermediate_value, intermediate_value_type)
SELECT m.new, i.step, i.intermediate_value, i.intermediate_value_type
FROM source.trial_intermediate_values i JOIN temp.moved m ON m.old = i.trial_id
ORDER BY i.trial_intermediate_value_id;
INSERT INTO main.trial_heartbeats (trial_id, heartbeat)
SELECT m.new, h.heartbeat FROM source.trial_heartbeats h JOIN temp.moved m ON m.old = h.trial_id;
