"""Goes on with a study by a TPE sampler, in the distributions that it has: FILE STUDY TRIALS."""
import sys

import optuna

optuna.logging.set_verbosity(optuna.logging.ERROR)
sampler = optuna.samplers.TPESampler(seed=1)
study = optuna.load_study(study_name=sys.argv[2], storage="sqlite:///" + sys.argv[1], sampler=sampler)
distributions = {}
for trial in study.trials:
    distributions.update(trial.distributions)
for index in range(int(sys.argv[3])):
    trial = study.ask(distributions)
    study.tell(trial, [4.0 + index] * len(study.directions))
    print(trial.number, flush=True)
