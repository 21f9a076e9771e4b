-- What belongs to a trial that has just ended.
-- $1 trial, $2 outcome, $3 cause, $4 duration, $5 attributes as JSON [[name, text], ...].
UPDATE gguflab_trials SET outcome = $2, cause = $3, duration = $4 WHERE trial_id = $1;
INSERT INTO trial_user_attributes (trial_id, "key", value_json)
SELECT $1, json_extract(value, '$[0]'), json_quote(json_extract(value, '$[1]'))
FROM json_each($5) WHERE true ON CONFLICT DO NOTHING;
