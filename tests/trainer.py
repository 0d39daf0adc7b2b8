"""What the browser's studio starts in place of its processes: ``python -m tests.trainer scripted|real MODULE ...``.

``scripted``: nothing of a training, for the test itself tells the run's story (tests/scripted.py); a forecast and a
learning-rate finder make their numbers up. ``real``: the real work, but on small pictures, on a machine that is
measured in no time, and where it begins from scratch, with a tiny network (tests/tiny.py), which the studio cannot ask.

While the file that FLOWERS_HELD names is there, a training and the learning-rate finder wait at a step, and the
forecast before it begins, so that a test can look at them on their way.
"""

import dataclasses
import json
import math
import os
import runpy
import sys
import time
from collections.abc import Callable
from pathlib import Path

from flowers import processes

SIDE = 64  # pixels
HELD_AT = 4  # the step
SEARCH = 100  # steps of the finder
FORECAST = "flowers.training.forecast"


def wait(in_vain: Callable[[], bool] = lambda: False) -> None:
    held = Path(os.environ["FLOWERS_HELD"])
    while held.exists() and not in_vain():
        time.sleep(0.02)


def begins_from_scratch() -> bool:
    from flowers.training.run import Run

    return "resume" in sys.argv and Run(Path(sys.argv[sys.argv.index("resume") + 1])).recipe.init == "scratch"


def shrink_networks() -> None:
    from flowers.models.backbones import BACKBONES
    from flowers.training import machine
    from tests.tiny import tiny_resnet18

    machine.SIDE, machine.TRIAL_PHOTOS, machine.TIMED_PHOTOS, machine.LAPS = SIDE // 2, 2, 2, 1  # of trial steps
    for name, chosen in BACKBONES.items():
        BACKBONES[name] = dataclasses.replace(chosen, size=SIDE, resize=72)
    if begins_from_scratch():
        BACKBONES["resnet18"] = tiny_resnet18()


def hold() -> None:
    """Have a training, unless it is asked to stop, and the finder wait once they have told their step HELD_AT."""
    from flowers import files
    from flowers.training.run import Run

    append, write_json = Run.append, files.write_json

    def append_and_wait(run, event) -> None:
        append(run, event)
        if event.kind == "step" and event.step == HELD_AT:
            wait(run.stop_requested)

    def write_and_wait(path, value) -> None:
        write_json(path, value)
        if "rates" in value and len(value["rates"]) == HELD_AT:
            wait()

    Run.append, files.write_json = append_and_wait, write_and_wait


def pretend_to_measure(file: Path, recipes: dict[str, dict]) -> None:
    from flowers.files import write_json

    write_json(file, dict.fromkeys(recipes, (0.1, 0.1)))


def pretend_to_search(file: Path) -> None:
    """Losses that fall until a rate of 0.01 and rise from there, as the finder writes them."""
    from flowers.files import write_json

    rates = [10 ** (-7 + 8 * step / (SEARCH - 1)) for step in range(SEARCH)]
    losses = [1 + abs(math.log10(rate) + 2) / 5 for rate in rates]
    write_json(file, {"steps": SEARCH, "rates": rates[:HELD_AT], "losses": losses[:HELD_AT]})
    wait()
    write_json(file, {"steps": SEARCH, "rates": rates, "losses": losses, "suggested": 0.0012})


if __name__ == "__main__":
    processes.give_way = lambda *_, **__: None  # a test waits: on a busy machine what gives way would starve
    scripted = sys.argv.pop(1) == "scripted"
    module = sys.argv.pop(1)
    if module == FORECAST:
        wait()
    if not scripted:
        shrink_networks()
        hold()
        runpy.run_module(module, run_name="__main__", alter_sys=True)
    elif module == FORECAST:
        pretend_to_measure(Path(sys.argv[1]), json.loads(sys.argv[2]))
    elif "find-lr" in sys.argv:
        pretend_to_search(Path(sys.argv[sys.argv.index("--json") + 1]))
