"""Runs a command several times: measure.py COUNT PROGRAM [ARGUMENT...].

Prints one line a run: seconds of wall time and of CPU time (user + system; `nan` where the system does not tell).
Written in Python because safe Rust has no way to ask for the CPU time of an ended child.
"""

import subprocess
import sys
import time

try:
    import resource
except ImportError:  # Windows
    resource = None


def children_cpu():
    if resource is None:
        return float("nan")
    usage = resource.getrusage(resource.RUSAGE_CHILDREN)
    return usage.ru_utime + usage.ru_stime


count, command = int(sys.argv[1]), sys.argv[2:]
for _ in range(count):
    cpu, wall = children_cpu(), time.perf_counter()
    quiet = {"stdin": subprocess.DEVNULL, "stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL}
    status = subprocess.run(command, **quiet).returncode
    wall, cpu = time.perf_counter() - wall, children_cpu() - cpu
    if status != 0:
        sys.exit(f"{command[0]} ended with {status}")
    print(f"{wall:.6f} {cpu:.6f}")
