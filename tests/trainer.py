"""What the browser's tests start in place of ``python -m flowers resume RUN --background``.

Nothing, while the file that FLOWERS_SCRIPTED names is there: the test itself tells the run's story (tests/scripted.py).
Else a real training, but of small pictures, and on a machine that is measured in no time.
"""

import dataclasses
import os
import runpy
from pathlib import Path

SIDE = 64  # pixels


def shrink_networks() -> None:
    from flowers.models.backbones import BACKBONES
    from flowers.training import machine

    machine.SIDE = SIDE // 2  # of the pictures of trial steps
    for name, chosen in BACKBONES.items():
        BACKBONES[name] = dataclasses.replace(chosen, size=SIDE, resize=72)


if __name__ == "__main__" and not Path(os.environ["FLOWERS_SCRIPTED"]).exists():
    shrink_networks()
    runpy.run_module("flowers", run_name="__main__", alter_sys=True)
