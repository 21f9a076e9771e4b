"""Optuna on a simulated machine: the true loss of its best configuration after each run, as JSON.

usage: optuna_arena.py ARENA DESCRIPTION SEED tpe|random RUNS

ARENA is the project's example `search_arena`, DESCRIPTION a line of its `machines`. The baseline is enqueued first. A
failed run is told as twice the worst value so far, which serves TPE better than the state FAIL, that it ignores.
"""

import json
import subprocess
import sys
import time

import optuna

arena, description, seed, name, runs = sys.argv[1], json.loads(sys.argv[2]), int(sys.argv[3]), sys.argv[4], int(sys.argv[5])
optuna.logging.set_verbosity(optuna.logging.ERROR)
server = subprocess.Popen(
    [arena, "serve", description["machine"], str(seed)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
)


def ask_for(trial):
    settings = dict(description["baseline"])
    for knob in description["knobs"]:
        values = knob["values"]
        if knob["ordered"]:
            index = trial.suggest_int(knob["name"], 0, len(values) - 1)
        else:
            index = trial.suggest_categorical(knob["name"], list(range(len(values))))
        settings[knob["name"]] = values[index]
    return {key: value for key, value in settings.items() if value != "auto"}


def nearest(knob):
    """The place of the baseline's value, or of what stands for it."""
    value, values = description["baseline"].get(knob["name"], knob["meant"]), knob["values"]
    return values.index(value) if value in values else 0


samplers = {"tpe": optuna.samplers.TPESampler, "random": optuna.samplers.RandomSampler}
study = optuna.create_study(sampler=samplers[name](seed=seed))
study.enqueue_trial({knob["name"]: nearest(knob) for knob in description["knobs"]})
best, worst, loss, losses, failed, slowest = None, 1.0, None, [], 0, 0.0
for _ in range(runs):
    began = time.monotonic()
    trial = study.ask()
    settings = ask_for(trial)
    slowest = max(slowest, time.monotonic() - began)
    server.stdin.write(json.dumps({"settings": settings}) + "\n")
    server.stdin.flush()
    answer = json.loads(server.stdout.readline())
    value = answer["value"]
    if value is None:
        failed += 1
    else:
        worst = max(worst, value)
        if best is None or value < best:
            best, loss = value, answer["truth"] / description["best"] - 1.0
    study.tell(trial, 2.0 * worst if value is None else value)
    losses.append(loss)
server.stdin.close()
server.wait()
print(json.dumps({"losses": losses, "failed": failed, "slowest": slowest}))
