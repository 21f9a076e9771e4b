"""Runs a command and stamps each line of its output: stamp.py PROGRAM [ARGUMENT...].

Prints one line for each line of its output and error output: the CPU seconds (user + system) of the program's own
process so far, a blank, and the line; at last `total` and the CPU seconds of the program with all its children.
The clock of another process is a thing of Linux; elsewhere the stamps are `nan`.
"""

import subprocess
import sys
import time

try:
    import resource
except ImportError:  # Windows
    resource = None


def clock_of(process):
    """The number of the kernel's CPU clock of a process (Linux, `CPUCLOCK_SCHED`; see clock_getcpuclockid(3))."""
    return (~process << 3) | 2


def now(clock):
    try:
        return time.clock_gettime(clock)
    except (AttributeError, OSError):
        return float("nan")


def children_cpu():
    if resource is None:
        return float("nan")
    usage = resource.getrusage(resource.RUSAGE_CHILDREN)
    return usage.ru_utime + usage.ru_stime


# Both streams through one pipe, so that their lines keep their order.
streams = {"stdin": subprocess.DEVNULL, "stdout": subprocess.PIPE, "stderr": subprocess.STDOUT}
with subprocess.Popen(sys.argv[1:], **streams) as program:
    clock = clock_of(program.pid) if sys.platform == "linux" else -1
    stamped = [(now(clock), line) for line in program.stdout]
for seconds, line in stamped:
    print(f"{seconds:.6f} {line.decode(errors='replace').rstrip()}")
print(f"total {children_cpu():.6f}")
if program.returncode != 0:
    words = b"".join(line for _, line in stamped[-20:]).decode(errors="replace")
    sys.exit(f"{sys.argv[1]} ended with {program.returncode}: {words}")
