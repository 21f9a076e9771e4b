//! Programs that behave, or misbehave, as llama-server might.

use crate::scripts::write_named;
use std::path::PathBuf;

/// A small llama-server: it tells its flags, loads, tokenizes, keeps a cache for each slot and streams tokens. What it
/// does wrong stands in `FAULT`; it notes each start beside itself.
const SERVER: &str = r#"#!/usr/bin/env python3
import json, os, sys, time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

FAULT = "NO FAULT"
FLAGS = ["--model", "--ctx-size", "--host", "--port", "--parallel", "--alias", "--threads", "--ubatch-size",
         "--cache-type-v", "--flash-attn", "--cache-ram", "--spec-type", "--spec-draft-model"]
arguments = sys.argv[1:]
if "--help" in arguments:
    print("----- common params -----")
    for flag in FLAGS + ["--version", "--list-devices"]:
        print(f"{flag} VALUE    [on|off] of something")
    sys.exit()
if "--version" in arguments:
    print("version: 7 (abc)\nbuilt with python for tests", file=sys.stderr)
    sys.exit()
if "--list-devices" in arguments:
    print("Available devices:\n  Example0: An example (1024 MiB, 512 MiB free)")
    sys.exit()
for flag in arguments[::2]:
    if flag not in FLAGS:
        sys.exit(f"error: invalid argument: {flag}")
options = dict(zip(arguments[::2], arguments[1::2]))
folder = os.path.dirname(os.path.abspath(__file__))
with open(os.path.join(folder, "starts"), "a") as file:
    file.write(f"{os.getpid()} {options['--port']} {options['--parallel']} {options['--ctx-size']}\n")
starts = len(open(os.path.join(folder, "starts")).readlines())
print("main: loading model", file=sys.stderr, flush=True)
if FAULT == "taken" or (FAULT == "taken once" and starts == 1):
    sys.exit(f"start: couldn't bind HTTP server socket, hostname: 127.0.0.1, port: {options['--port']}")
if FAULT == "memory":
    print("ggml_backend_cuda_buffer_type_alloc_buffer: cudaMalloc failed: out of memory", file=sys.stderr)
    sys.exit("main: exiting due to model loading error")
if options.get("--cache-type-v") == "q8_0" and options.get("--flash-attn") == "off":
    print("llama_init_from_model: quantized V cache requires flash_attn to be enabled", file=sys.stderr)
    sys.exit("main: exiting due to model loading error")
caches, loading = {}, 3

class Handler(BaseHTTPRequestHandler):
    def log_message(self, *_):
        pass

    def answer(self, status, value):
        body = json.dumps(value).encode()
        self.send_response(status)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def do_GET(self):
        global loading
        if self.path == "/health":
            loading -= 1
            if loading > 0 or FAULT == "never ready":
                return self.answer(503, {"error": {"code": 503, "message": "Loading model"}})
            return self.answer(200, {"status": "ok"})
        stranger = FAULT == "stranger" or (FAULT == "stranger once" and starts == 1)
        self.answer(200, {"data": [{"id": "another" if stranger else options["--alias"]}]})

    def do_POST(self):
        asked = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        if self.path == "/tokenize":
            tokens = [ord(character) for character in asked["content"]]
            return self.answer(200, {"tokens": [1] * asked["add_special"] + tokens})
        if FAULT == "refuses":
            return self.answer(400, {"error": {"code": 400, "message": "prompt is too long"}})
        if FAULT == "hangs":
            time.sleep(600)
        prompt, slot = asked["prompt"], asked.get("id_slot")
        held = caches.get(slot, []) if asked["cache_prompt"] and FAULT != "forgets" else []
        common = 0
        while common < min(len(held), len(prompt) - 1) and held[common] == prompt[common]:
            common += 1
        caches[slot] = list(prompt)
        self.send_response(200)
        self.end_headers()
        count = max(asked["n_predict"], 1)
        for number in range(count):
            time.sleep(0.002)
            if number == 2 and FAULT == "dies":
                print("ggml.c:123: GGML_ASSERT(tensor) failed", file=sys.stderr, flush=True)
                os.abort()
            if number == 2 and FAULT == "closes":
                return
            if number == 2 and FAULT == "error":
                return self.event({"error": {"code": 500, "message": "Compute error."}})
            if number == 2 and FAULT == "garbage":
                return self.wfile.write(b"data: { no\n\n")
            self.event({"content": "x", "tokens": [7], "stop": False})
        timings = {"prompt_n": len(prompt) - common, "predicted_n": count}
        self.event({"content": "", "tokens": [], "stop": True, "tokens_predicted": count, "timings": timings})

    def event(self, value):
        self.wfile.write(b"data: " + json.dumps(value).encode() + b"\n\n")
        self.wfile.flush()

class Server(ThreadingHTTPServer):
    request_queue_size = 64
    daemon_threads = True

Server((options["--host"], int(options["--port"])), Handler).serve_forever()
"#;

/// Writes such a server into a folder; an empty fault is none.
pub(crate) fn write(folder: &tempfile::TempDir, fault: &str) -> PathBuf {
    write_named(folder, "llama-server", &SERVER.replace("NO FAULT", fault))
}
