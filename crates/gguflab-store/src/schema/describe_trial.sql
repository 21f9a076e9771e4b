-- What belongs to a trial that was just begun, in one round trip to the database's thread. Parameters are named $N
-- because sqlx counts ?N wrongly where several statements share them.
-- $1 trial, $2 configuration, $3 purpose, $4 round, $5 worker, $6 start,
-- $7 parameters as JSON [[name, number, distribution], ...], $8 attributes as JSON [[name, text], ...].
-- A trial that another program enqueued may have some of this already, and keeps it.
INSERT INTO gguflab_trials (trial_id, configuration, purpose, round, worker, started)
VALUES ($1, $2, $3, $4, $5, $6);
INSERT INTO trial_params (trial_id, param_name, param_value, distribution_json)
SELECT $1, json_extract(value, '$[0]'), json_extract(value, '$[1]'), json_extract(value, '$[2]')
FROM json_each($7) WHERE true ON CONFLICT DO NOTHING;
INSERT INTO trial_user_attributes (trial_id, "key", value_json)
SELECT $1, json_extract(value, '$[0]'), json_quote(json_extract(value, '$[1]'))
FROM json_each($8) WHERE true ON CONFLICT DO NOTHING;
INSERT INTO trial_heartbeats (trial_id, heartbeat)
VALUES ($1, strftime('%Y-%m-%d %H:%M:%f000', 'now')) ON CONFLICT DO NOTHING;
