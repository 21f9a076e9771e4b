"""Enqueues trials if asked to, then takes what waits until nothing does: FILE STUDY COUNT."""
import sys

import optuna

optuna.logging.set_verbosity(optuna.logging.ERROR)
study = optuna.load_study(study_name=sys.argv[2], storage="sqlite:///" + sys.argv[1])
for threads in range(int(sys.argv[3])):
    study.enqueue_trial({"threads": [1, 2, 4][threads % 3], "note": threads})
print("ready", flush=True)
sys.stdin.readline()
while (trial_id := study._pop_waiting_trial_id()) is not None:
    trial = optuna.Trial(study, trial_id)
    study.tell(trial, 1.0)
    print(trial.number, flush=True)
