"""How many threads this process may use at once."""

import contextlib
import math
import os
from pathlib import Path


def available_threads() -> int:
    """CPU threads that may run at once: what OMP_NUM_THREADS wishes, or as many as there are cores."""
    with contextlib.suppress(KeyError, ValueError):
        return max(1, int(os.environ["OMP_NUM_THREADS"]))
    return available_cores()


def available_cores() -> int:
    """Cores that this process may use at once: a container's share, not its host's."""
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    with contextlib.suppress(OSError, ValueError):  # no such file outside Linux; "max" is no number
        quota, period = map(int, Path("/sys/fs/cgroup/cpu.max").read_text().split())
        cores = min(cores, math.ceil(quota / period))
    return max(1, cores)
