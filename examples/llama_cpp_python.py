"""Measures llama-cpp-python (pip install llama-cpp-python) for gguflab: see docs/guides/command-engine.md."""
import json, sys, time
from llama_cpp import Llama

NAMES = {"threads": "n_threads", "threads-batch": "n_threads_batch", "batch": "n_batch", "ubatch": "n_ubatch"}

def measure(trial):
    settings, (request, *others) = trial["settings"], trial["workload"]["requests"]
    if others or request["depth"] or request["concurrency"] > 1 or not request["prompt"] or request["generate"] < 2:
        return {"outcome": "rejected", "cause": "this example runs one prompt with an answer, one at a time"}
    arguments = {NAMES[name]: value for name, value in settings.items() if name in NAMES}
    model = Llama(sys.argv[1], n_ctx=request["prompt"] + request["generate"] + 8, verbose=False,
                  flash_attn=settings.get("flash-attention") == "on", **arguments)
    tokens = [100 + number % 1000 for number in range(request["prompt"])]
    prefill, decode = [], []
    for repetition in range(trial["warmup"] + trial["repetitions"]):
        model.reset()
        times = [time.perf_counter()]
        for _ in zip(range(request["generate"]), model.generate(tokens, temp=0.0)):
            times.append(time.perf_counter())
        if repetition >= trial["warmup"]:
            prefill.append(len(tokens) / (times[1] - times[0]))
            decode.append((len(times) - 2) / (times[-1] - times[1]))
    return {"trial": trial["trial"], "metrics": {"prefill": prefill, "decode": decode}}

for line in sys.stdin:
    trial = json.loads(line)
    print(json.dumps({"estimates": None} if "estimate" in trial else measure(trial)), flush=True)
