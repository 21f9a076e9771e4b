//! Programs that behave, or misbehave, as engines by command might.

use crate::scripts::write_named;
use gguflab_engine::EngineSpecification;

/// Answers trials with figures that follow from the settings. What it does wrong stands in `FAULT`; it notes each start
/// and each trial beside itself.
const PROGRAM: &str = r#"
import json, os, subprocess, sys, time

FAULT = "NO FAULT"
folder = os.path.dirname(os.path.abspath(__file__))

def note(name, text):
    with open(os.path.join(folder, name), "a") as file:
        file.write(f"{text}\n")

note("starts", f"{os.getpid()} {os.environ.get('MARK', '-')}")
print("warming up, no JSON", flush=True)
print(json.dumps({"hello": {"protocol": 2 if FAULT == "another version" else 1, "name": "test"}}), flush=True)

def measure(trial, request):
    count = trial["repetitions"]
    threads = trial["settings"].get("threads", 2)
    time.sleep(0.01)
    rates = {"prefill": [100.0 * threads + index for index in range(count)] if request["prompt"] else None,
             "decode": [10.0 * threads + index for index in range(count)] if request["generate"] else None,
             "score": [float(index) for index in range(count)]}
    return {"metrics": {name: values for name, values in rates.items() if values}}

for line in sys.stdin:
    asked = json.loads(line)
    if "estimate" in asked:
        if FAULT == "no estimates":
            print(json.dumps({"estimates": None}), flush=True)
            continue
        if FAULT == "dies":
            sys.exit("unknown request")
        estimates = [{"memory": 1e9 * one.get("threads", 1), "capacity": 4e9, "seconds": 0.5} for one in asked["estimate"]]
        estimates = [None if one.get("threads") == 3 else estimate for one, estimate in zip(asked["estimate"], estimates)]
        print(json.dumps({"estimates": estimates}), flush=True)
        continue
    note("trials", line.strip())
    print("on standard error", file=sys.stderr, flush=True)
    settings = asked["settings"]
    if settings.get("cache-type-v") == "q8_0" and settings.get("flash-attention") == "off":
        print(json.dumps({"outcome": "rejected", "cause": "no such cache"}), flush=True)
        continue
    if FAULT == "hangs" or any(request["prompt"] > 128 for request in asked["workload"]["requests"]):
        note("starts", f"{subprocess.Popen(['sleep', '600']).pid} -")
        time.sleep(600)
    if FAULT == "dies":
        print("out of luck", file=sys.stderr, flush=True)
        os.abort()
    if FAULT == "memory":
        sys.exit("torch.OutOfMemoryError: CUDA out of memory")
    if FAULT == "leaves":
        sys.exit(0)
    if FAULT == "garbage":
        print(json.dumps({"metrics": {"decode": "fast"}}), flush=True)
        continue
    if FAULT == "says":
        print(json.dumps({"outcome": "out_of_memory", "cause": "no room for 9 GiB"}), flush=True)
        continue
    print(json.dumps({"trial": asked["trial"] - 1, "metrics": {"decode": 1e9}}), flush=True)
    requests = [measure(asked, request) for request in asked["workload"]["requests"]]
    print(json.dumps({"trial": asked["trial"], "requests": requests, "metrics": {"load": 0.25}}), flush=True)
    if FAULT == "one at a time":
        sys.exit(0)
"#;

/// The engine of such a program in a folder; an empty fault is none.
pub(crate) fn specification(folder: &tempfile::TempDir, fault: &str) -> EngineSpecification {
    let path = write_named(folder, "program.py", &PROGRAM.replace("NO FAULT", fault));
    let worker = std::env::var_os("GGUFLAB_WORKER").map(Into::into).unwrap_or_default();
    EngineSpecification::parse(&format!("command=python3 '{}'", path.display()), worker).unwrap()
}
