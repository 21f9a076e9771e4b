"""Measures llama-cpp-python (pip install llama-cpp-python) for gguflab: see docs/guides/command-engine.md.

gguflab tune --engine command='python3 examples/llama_cpp_python.py model.gguf' --space examples/llama_cpp_python.toml
"""
import json, sys, time
from llama_cpp import Llama

for line in sys.stdin:
    trial = json.loads(line)
    if "estimate" in trial:
        print(json.dumps({"estimates": None}), flush=True)
        continue
    settings, request = trial["settings"], trial["workload"]["requests"][0]
    tokens = [100 + number % 1000 for number in range(request["prompt"])]
    names = {"threads": "n_threads", "batch": "n_batch", "ubatch": "n_ubatch"}
    arguments = {names[name]: value for name, value in settings.items() if name in names}
    model = Llama(sys.argv[1], n_ctx=request["prompt"] + request["generate"] + 8, verbose=False,
                  flash_attn=settings.get("flash-attention") == "on", **arguments)
    prefill, decode = [], []
    for repetition in range(trial["warmup"] + trial["repetitions"]):
        model.reset()
        times = [time.perf_counter()]
        for _ in zip(range(request["generate"]), model.generate(tokens, temp=0.0)):
            times.append(time.perf_counter())
        if repetition >= trial["warmup"]:
            prefill.append(len(tokens) / (times[1] - times[0]))
            decode.append((len(times) - 2) / (times[-1] - times[1]))
    print(json.dumps({"trial": trial["trial"], "metrics": {"prefill": prefill, "decode": decode}}), flush=True)
