"""Runs a command and watches it with all its children: watch_all.py PROGRAM [ARGUMENT...].

Prints three numbers: seconds of wall time; CPU seconds of all of its processes that were waited for; and the most memory
that they held together, in bytes, each page of several processes counted once (PSS), as seen twice a second. Linux only.
"""

import os
import resource
import subprocess
import sys
import time


def children_of(process):
    found = [process]
    try:
        for task in os.listdir(f"/proc/{process}/task"):
            with open(f"/proc/{process}/task/{task}/children") as children:
                for child in children.read().split():
                    found.extend(children_of(int(child)))
    except OSError:
        pass
    return found


def memory_of(process):
    try:
        with open(f"/proc/{process}/smaps_rollup") as rollup:
            for line in rollup:
                if line.startswith("Pss:"):
                    return int(line.split()[1]) * 1024
    except OSError:
        pass
    return 0


start, peak = time.perf_counter(), 0
with subprocess.Popen(sys.argv[1:], stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE) as program:
    os.set_blocking(program.stderr.fileno(), False)
    said = b""
    while program.poll() is None:
        peak = max(peak, sum(memory_of(process) for process in children_of(program.pid)))
        said = (said + (program.stderr.read() or b""))[-4000:]
        try:
            program.wait(0.5)
        except subprocess.TimeoutExpired:
            pass
wall = time.perf_counter() - start
if program.returncode != 0:
    sys.exit(f"{sys.argv[1]} ended with {program.returncode}: {said.decode(errors='replace')}")
usage = resource.getrusage(resource.RUSAGE_CHILDREN)
print(f"{wall:.6f} {usage.ru_utime + usage.ru_stime:.6f} {peak}")
