"""``python app.py`` as the browser's tests start it: with other processes, and on a machine whose pace is known."""

import os
from pathlib import Path
from typing import Any

from flowers.files import write_json
from flowers.processes import module
from flowers.recipe import PRESETS
from flowers.studio import presets, train
from flowers.studio.app import main
from flowers.training import process, warm

SECONDS_A_PHOTO = 0.1


def other_module(name: str, *arguments: object) -> dict[str, Any]:
    """As ``flowers.processes.module``, but of what tests/trainer.py does instead; this very moment decides how."""
    scripted = Path(os.environ["FLOWERS_SCRIPTED"]).exists()
    return module("tests.trainer", "scripted" if scripted else "real", name, *arguments)


if __name__ == "__main__":
    process.module = train.module = presets.module = other_module
    warm.is_possible = lambda: False  # most trainings here are none, and not worth loading torch for
    presets._file().parent.mkdir(parents=True, exist_ok=True)
    write_json(presets._file(), dict.fromkeys(PRESETS, (SECONDS_A_PHOTO,) * 2))
    main()
