"""Prints a study as Optuna sees it, as JSON."""
import json
import sys

import optuna

study = optuna.load_study(study_name=sys.argv[2], storage="sqlite:///" + sys.argv[1])
trials = [
    {
        "number": trial.number,
        "state": trial.state.name,
        "values": None if trial.values is None else [repr(value) for value in trial.values],
        "params": trial.params,
        "intermediate": {str(step): repr(value) for step, value in trial.intermediate_values.items()},
        "attributes": trial.user_attrs,
        "distributions": {name: repr(one) for name, one in trial.distributions.items()},
    }
    for trial in study.trials
]
directions = [direction.name for direction in study.directions]
print(json.dumps({"metrics": study.metric_names, "directions": directions, "trials": trials}))
