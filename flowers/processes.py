"""Work that is done in a process of its own, and who goes first."""

import contextlib
import os
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

from flowers.paths import PROJECT


def module(name: str, *arguments: object) -> dict[str, Any]:
    """What ``subprocess.Popen`` or ``run`` needs to start one of the project's modules, as ``python -m`` would.

    The process stays in the present folder, so that relative paths (FLOWERS_RUNS, a starting checkpoint) mean the same.
    """
    paths = os.pathsep.join(filter(None, [str(PROJECT), os.environ.get("PYTHONPATH")]))
    return {
        "args": [sys.executable, "-m", name, *map(str, arguments)],
        "env": {**os.environ, "PYTHONPATH": paths},
        "stdin": subprocess.DEVNULL,
    }


def give_way(niceness: int, *, to_all: bool = False) -> None:
    """Let other programs go first: a process that works in the background calls this at its start.

    Where Linux groups processes by session (sched_autogroup), niceness counts among those of one session alone, and all
    sessions share alike; the browser, and a training, are in others than the studio. ``to_all`` makes a nice session of
    this process, unless it leads one or a group already. That suits work that nobody waits for: it gets little where
    much else is going on.
    """
    if not hasattr(os, "nice"):
        return
    os.nice(niceness)
    if to_all:
        with contextlib.suppress(OSError):  # it leads a group already, there are no such groups, or it may not
            os.setsid()
            _make_session_nice(niceness)


def _make_session_nice(niceness: int) -> None:
    for _ in range(20):
        try:
            Path("/proc/self/autogroup").write_text(str(niceness))
            return
        except BlockingIOError:  # Linux lets ordinary users do this ten times a second, all together
            time.sleep(0.1)
