"""Trainings that are there in a tenth of a second: forks of a process that has loaded what a training needs.

``python -m flowers.training.warm`` is that process. It reads a line of JSON for each training that is to
begin, forks, and answers with the id of the new process. Its input ends with the studio, and so does it; what it has
forked goes on.

It is not multiprocessing's fork server: that one lives for as long as any of its children, imports the program that
asked (the whole page) into each of them, and has the studio wait for them, or end them, when it ends.
"""

import contextlib
import gc
import importlib
import json
import os
import runpy
import signal
import subprocess
import sys
import threading
from pathlib import Path
from typing import Any

from flowers.errors import FlowersError
from flowers.processes import module

MODULES = (  # what a run imports on its way
    "flowers.cli", "flowers.data.archive", "flowers.data.manifest", "flowers.data.sources",
    "flowers.evaluation.calibration", "flowers.inference", "flowers.training.story", "flowers.training.train",
    "accelerate", "huggingface_hub.serialization", "multiprocessing.synchronize", "numpy.ctypeslib", "numpy.ma",
    "pydantic", "torch._dynamo", "tqdm",
)  # fmt: skip
NETWORKS = ("resnet18", "efficientnet_lite0")  # one of each library: that is imported when a network is built


def is_possible() -> bool:
    """Whether trainings are forked here. Windows cannot, and Apple's libraries do not work in a fork."""
    return sys.platform == "linux"


def prepare() -> None:
    """Have a process ready that trainings are forked from: it is started now, and is some seconds in coming.

    Does nothing where it is there already, or where forks are not possible.
    """
    if is_possible() and _asking.acquire(blocking=False):  # who asks already has seen to it
        try:
            with contextlib.suppress(OSError):  # a training tries once more, and can do without
                _ensure_running()
        finally:
            _asking.release()


def launch(command: dict[str, Any], output: Path) -> None:
    """Begin ``command``, as ``processes.module`` describes it, in a process and session of its own.

    What it prints is added to the file ``output``. Returns once the process is there, and where it cannot be forked,
    once it has ended. Raises OSError where it cannot be started at all.
    """
    if is_possible():
        with contextlib.suppress(OSError, ValueError):
            _fork(command, output)
            return
    with open(output, "ab") as said:
        # Ctrl-C in the studio's terminal is for the studio.
        subprocess.Popen(**command, stdout=said, stderr=said, start_new_session=True).wait()


# In the studio

_asking = threading.Lock()
_servers: list[subprocess.Popen] = []  # the present one, if any


def _ensure_running() -> subprocess.Popen:
    if _servers and _servers[0].poll() is None:
        return _servers[0]
    _servers.clear()
    command = module("flowers.training.warm") | {"stdin": subprocess.PIPE}
    _servers.append(subprocess.Popen(**command, stdout=subprocess.PIPE, start_new_session=True))
    return _servers[0]


def _fork(command: dict[str, Any], output: Path) -> None:
    """Raises OSError or ValueError when the process that is to fork is gone, or cannot."""
    _, _, name, *arguments = command["args"]
    request = {"name": name, "arguments": arguments, "environment": command["env"]}
    request |= {"folder": os.getcwd(), "output": str(output.absolute())}
    with _asking:
        server = _ensure_running()
        server.stdin.write(json.dumps(request).encode() + b"\n")
        server.stdin.flush()
        int(server.stdout.readline())  # nothing where it has ended


# In the process that forks


def main() -> None:
    """Load everything, then fork for every line that comes in."""
    answers = os.dup(1)
    os.dup2(2, 1)  # what a library may print is no answer
    threads = _load()
    signal.signal(signal.SIGCHLD, signal.SIG_IGN)  # nobody waits for them: none stays behind as a zombie
    while line := sys.stdin.buffer.readline():
        if not (process := os.fork()):
            os.close(answers)
            _become(threads=threads, **json.loads(line))
            return  # as any other process ends
        os.write(answers, b"%d\n" % process)


def _load() -> int:
    """Import what a training needs; returns how many threads torch would use.

    On one thread: the pool that OpenMP makes for more would not be there in a fork, which would wait for it for ever.
    """
    from flowers.training.process import HUGE_PAGES

    os.environ.setdefault(HUGE_PAGES, "1")
    import torch

    from flowers.models.backbones import backbone

    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    for name in MODULES:
        importlib.import_module(name)
    for name in NETWORKS:
        with contextlib.suppress(FlowersError):  # its package is not installed
            backbone(name).build(2)
    gc.collect()
    gc.freeze()  # a search for garbage would write into all objects, and no page of them would be shared any more
    return threads


def _become(
    threads: int, name: str, arguments: list[str], environment: dict[str, str], folder: str, output: str
) -> None:
    """Do in this fork what ``python -m name arguments`` does."""
    import torch

    signal.signal(signal.SIGCHLD, signal.SIG_DFL)
    os.setsid()
    os.chdir(folder)
    os.environ.clear()
    os.environ.update(environment)
    said, nothing = os.open(output, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o666), os.open(os.devnull, os.O_RDONLY)
    for number, file in enumerate((nothing, said, said)):
        os.dup2(file, number)
    torch.set_num_threads(threads)
    sys.argv[1:] = arguments
    runpy.run_module(name, run_name="__main__", alter_sys=True)


if __name__ == "__main__":
    main()
