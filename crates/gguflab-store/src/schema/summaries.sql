SELECT
    s.study_name,
    g.subject,
    g.created,
    g.objectives,
    (
        SELECT json_group_array(direction)
        FROM (SELECT direction FROM study_directions WHERE study_id = s.study_id ORDER BY objective)
    ) AS directions,
    (
        SELECT value_json FROM study_system_attributes
        WHERE study_id = s.study_id AND "key" = 'study:metric_names'
    ) AS metrics,
    (SELECT count(*) FROM trials t WHERE t.study_id = s.study_id) AS trials,
    (SELECT count(*) FROM trials t WHERE t.study_id = s.study_id AND t.state = 'COMPLETE') AS complete,
    (SELECT count(*) FROM trials t WHERE t.study_id = s.study_id AND t.state = 'RUNNING') AS running,
    (SELECT count(*) FROM trials t WHERE t.study_id = s.study_id AND t.state = 'WAITING') AS waiting,
    (
        SELECT CASE d.direction WHEN 'MAXIMIZE' THEN max(v.value) ELSE min(v.value) END
        FROM trials t JOIN trial_values v ON v.trial_id = t.trial_id
        WHERE t.study_id = s.study_id AND t.state = 'COMPLETE' AND v.objective = 0
    ) AS best
FROM studies s
LEFT JOIN gguflab_studies g ON g.study_id = s.study_id
LEFT JOIN study_directions d ON d.study_id = s.study_id AND d.objective = 0
ORDER BY s.study_id;
