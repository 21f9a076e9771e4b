"""Runs a command and watches its own process, not its children: watch.py PROGRAM [ARGUMENT...].

Prints four numbers: seconds of wall time; CPU seconds of the program's own process; CPU seconds of it with all its
children; peak resident bytes of its own process. The kernel keeps the peak, so looking every 10 ms misses only what
happens in the last 10 ms. Works where there is /proc (Linux); elsewhere a number that is not told is `nan`.
"""

import subprocess
import sys
import time

try:
    import resource
except ImportError:  # Windows
    resource = None


def cpu_of(process):
    try:
        return time.clock_gettime((~process << 3) | 2)  # Linux, `CPUCLOCK_SCHED`
    except (AttributeError, OSError):
        return None


def peak_of(process):
    try:
        with open(f"/proc/{process}/status") as status:
            for line in status:
                if line.startswith("VmHWM:"):
                    return int(line.split()[1]) * 1024
    except OSError:
        pass
    return None


def children_cpu():
    if resource is None:
        return float("nan")
    usage = resource.getrusage(resource.RUSAGE_CHILDREN)
    return usage.ru_utime + usage.ru_stime


start = time.perf_counter()
own, peak = float("nan"), float("nan")
with subprocess.Popen(sys.argv[1:], stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL) as program:
    while True:
        if sys.platform == "linux":
            own, peak = cpu_of(program.pid) or own, peak_of(program.pid) or peak
        if program.poll() is not None:
            break
        time.sleep(0.01)
wall = time.perf_counter() - start
if program.returncode != 0:
    sys.exit(f"{sys.argv[1]} ended with {program.returncode}")
print(f"{wall:.6f} {own:.6f} {children_cpu():.6f} {peak:.0f}")
