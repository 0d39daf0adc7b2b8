"""Two processes that train as one team, without a launcher: forked from a process that has torch loaded already.

What ``torchrun`` would do for them is done here: it tells each who it is, and holds the store in which they meet.
"""

import atexit
import contextlib
import dataclasses
import multiprocessing
import os
import signal
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from tests.tiny import tiny_resnet18

DEADLINE = 90  # seconds
SIZE, RESIZE = 64, 72  # pixels
Moment = tuple[str, int | None, int | None]  # an event's kind, epoch and step

_context = multiprocessing.get_context("forkserver")
_context.set_forkserver_preload(
    [
        "torch", "accelerate", "flowers.cli", "flowers.training.train", "tests.pair",
        # What optimizers and Accelerate load when they are first used.
        "torch._dynamo", "torch.distributed.fsdp", "torch.distributed.algorithms.join",
    ]
)  # fmt: skip


def smooth_network():
    """The tiny network without kinks and lots, for pictures of 64 pixels.

    Where a unit is about to switch, which on painted flowers whole areas are at once, the last bit of a sum decides;
    and two orders of summing drift apart by per cents in a few steps, in one process as in two. And of a dropout each
    process draws its own.
    """
    plain = tiny_resnet18()

    def build(classes):
        from torch import nn

        net = plain.build(classes)
        for name, part in list(net.named_modules()):
            if isinstance(part, nn.ReLU):
                net.set_submodule(name, nn.Tanh())
            elif isinstance(part, nn.Conv2d):
                # Behind norms that are frozen at the start weights as torch draws them would let the features fade.
                nn.init.normal_(part.weight, std=1.84 / part.weight[0].numel() ** 0.5)
        # Features about zero: far from it, and nearly alike, they would let the fitted last layer rest on little.
        net.layer4[0].relu = nn.Identity()
        net.dropout = nn.Identity()
        return net

    return dataclasses.replace(plain, size=SIZE, resize=RESIZE, build=build)


def use_smooth_network() -> None:
    """In this process, for good: ResNet18 is the smooth network, and how fast it is here is measured in no time."""
    from flowers.models.backbones import BACKBONES
    from flowers.training import machine

    BACKBONES["resnet18"], machine.SIDE = smooth_network(), 32


def at_moment(moment: Moment, do: Callable[[Callable[[], bool]], None]) -> None:
    """In this process: call ``do(stop)`` when training is about to tell this event, before anybody hears of it."""
    from flowers.training import train as module

    train = module.train

    def watched(*arguments: Any, stop: Callable[[], bool], **options: Any):
        for event in train(*arguments, stop=stop, **options):
            if (event.kind, getattr(event, "epoch", None), getattr(event, "step", None)) == moment:
                do(stop)
            yield event

    module.train = watched


def hold_main_at(moment: Moment, mark: str) -> None:
    """In the main process: leave a file at this moment, and wait there until somebody asks for a stop, or kills it."""
    if os.environ.get("RANK") != "0":
        return

    def hold(stop: Callable[[], bool]) -> None:
        Path(mark).touch()
        while not stop():
            time.sleep(0.01)

    at_moment(moment, hold)


@dataclasses.dataclass(frozen=True)
class Blow:
    """A signal that hits one of the two at a moment of the training."""

    rank: int
    moment: Moment
    number: signal.Signals


class Pair:
    """Two processes at the same task, each with what it says in files of its own; ``with`` leaves none behind."""

    def __init__(self, folder: Path, task: Callable[..., Any], *arguments: Any, **environment: str) -> None:
        """``task(*arguments)`` is imported by its name, so it must be a function of a module.

        ``environment`` comes on top of this process's own.
        """
        from torch.distributed import TCPStore

        # Its port is the system's choice: one that was looked for beforehand could be another's by now.
        self._store = TCPStore("127.0.0.1", 0, is_master=True, wait_for_workers=False)
        meeting = {
            "MASTER_ADDR": "127.0.0.1", "MASTER_PORT": str(self._store.port), "TORCHELASTIC_USE_AGENT_STORE": "True",
            "TORCHELASTIC_RESTART_COUNT": "0", "WORLD_SIZE": "2", "LOCAL_WORLD_SIZE": "2", "OMP_NUM_THREADS": "1",
        }  # fmt: skip
        self._logs = [(folder / f"out-{rank}.txt", folder / f"err-{rank}.txt") for rank in (0, 1)]
        self.processes = []
        for rank, logs in enumerate(self._logs):
            for log in logs:
                log.touch()
            here = {**os.environ, **meeting, "RANK": str(rank), "LOCAL_RANK": str(rank), **environment}
            process = _context.Process(target=_take_part, args=(here, *logs, task, *arguments), daemon=True)
            process.start()
            self.processes.append(process)

    def __enter__(self) -> "Pair":
        return self

    def __exit__(self, *_: object) -> None:
        for process in self.processes:
            process.kill()
            process.join()

    def end(self) -> list[int]:
        """Wait for both; how they ended, minus the signal's number where one ended them."""
        for process in self.processes:
            process.join(DEADLINE)
        assert not any(process.is_alive() for process in self.processes), f"They have not ended: {self.said()}"
        return [process.exitcode for process in self.processes]

    def said(self) -> list[tuple[str, str]]:
        """The standard output and error of each."""
        return [(out.read_text(), err.read_text()) for out, err in self._logs]


def run_flowers(arguments: list[str], *blows: Blow) -> None:
    """``python -m flowers`` with these arguments and the smooth network."""
    from flowers.cli import main

    use_smooth_network()
    for blow in blows:
        if os.environ["RANK"] == str(blow.rank):
            at_moment(blow.moment, lambda _, number=blow.number: signal.raise_signal(number))
    sys.exit(main(arguments))


def _take_part(environment: dict[str, str], out: Path, err: Path, task: Callable[..., Any], *arguments: Any) -> None:
    os.environ.clear()
    os.environ.update(environment)
    for number, file in ((1, out), (2, err)):
        os.dup2(os.open(file, os.O_WRONLY | os.O_APPEND), number)
    # The process it was forked from had the outputs of a test that may be over.
    sys.stdout, sys.stderr = (open(number, "w", buffering=1, closefd=False) for number in (1, 2))  # noqa: SIM115 - until its end
    import torch

    torch.set_num_threads(1)
    try:
        task(*arguments)
    finally:
        with contextlib.suppress(Exception):
            atexit._run_exitfuncs()  # as any process does at its end, but not one of multiprocessing's
