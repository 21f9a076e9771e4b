-- Trials of the attached file that this study has already: the same process began them at the same moment, or, of
-- other programs, all that is known of them is the same. $1 the study there, $2 the study here.
WITH
there AS (
    SELECT t.trial_id,
        COALESCE(
            'own ' || g.worker || ' ' || printf('%.17g', g.started) || ' ' || g.configuration,
            'other ' || COALESCE(t.datetime_start, '') || ' ' || COALESCE(t.datetime_complete, '') || ' ' || (
                SELECT COALESCE(group_concat(param_name || '=' || printf('%.17g', param_value)), '')
                FROM (SELECT * FROM source.trial_params WHERE trial_id = t.trial_id ORDER BY param_name)
            ) || ' ' || (
                SELECT COALESCE(group_concat(COALESCE(printf('%.17g', value), value_type)), '')
                FROM (SELECT * FROM source.trial_values WHERE trial_id = t.trial_id ORDER BY objective)
            )
        ) AS identity
    FROM source.trials t LEFT JOIN source.gguflab_trials g ON g.trial_id = t.trial_id
    WHERE t.study_id = $1
),
here AS (
    SELECT
        COALESCE(
            'own ' || g.worker || ' ' || printf('%.17g', g.started) || ' ' || g.configuration,
            'other ' || COALESCE(t.datetime_start, '') || ' ' || COALESCE(t.datetime_complete, '') || ' ' || (
                SELECT COALESCE(group_concat(param_name || '=' || printf('%.17g', param_value)), '')
                FROM (SELECT * FROM main.trial_params WHERE trial_id = t.trial_id ORDER BY param_name)
            ) || ' ' || (
                SELECT COALESCE(group_concat(COALESCE(printf('%.17g', value), value_type)), '')
                FROM (SELECT * FROM main.trial_values WHERE trial_id = t.trial_id ORDER BY objective)
            )
        ) AS identity
    FROM main.trials t LEFT JOIN main.gguflab_trials g ON g.trial_id = t.trial_id
    WHERE t.study_id = $2
)
INSERT INTO temp.doubles (old) SELECT trial_id FROM there WHERE identity IN (SELECT identity FROM here);
