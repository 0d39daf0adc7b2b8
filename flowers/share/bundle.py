"""A checkpoint as it leaves this machine: its own files, its model card, and nothing of the machine's."""

import json
import os
import re
import shutil
import zipfile
from pathlib import Path
from typing import Any

from flowers.errors import CheckpointError
from flowers.files import write_json
from flowers.models.calibration import calibration_files, read_calibration
from flowers.models.checkpoint import CARD, Checkpoint, read_checkpoint, weight_files
from flowers.share.card import README, last_part, model_card

TOLD = ("recipe", "metrics", "photos", "calibration")  # sections in which a path may have been written down


def write_folder(checkpoint: Checkpoint, folder: Path) -> None:
    """Fill an empty ``folder`` with what belongs to a saved checkpoint, ready for strangers.

    Raises CheckpointError when it is damaged, or replaced meanwhile as a run's best may be; OSError.
    """
    read_calibration(checkpoint)  # what is damaged is not handed on
    try:
        for name in [*weight_files(checkpoint.folder), *calibration_files(checkpoint)]:
            shutil.copyfile(checkpoint.folder / name, folder / name)
        card = json.loads((checkpoint.folder / CARD).read_text())
        write_json(folder / CARD, {name: _private(value) if name in TOLD else value for name, value in card.items()})
    except (FileNotFoundError, ValueError, AttributeError, RecursionError) as error:
        raise CheckpointError(
            f"The checkpoint {checkpoint.name} is damaged or incomplete: fetch or train it again."
        ) from error
    (folder / README).write_text(model_card(checkpoint), encoding="utf-8")
    if read_checkpoint(checkpoint.folder).created != checkpoint.created:
        raise CheckpointError(f"The checkpoint {checkpoint.name} has just been replaced by a newer one: try again.")


def write_zip(checkpoint: Checkpoint, file: Path) -> None:
    """Write a saved checkpoint to ``file``, whole: a zip of one folder, which can be used as it is once unpacked.

    Raises as ``write_folder``.
    """
    import tempfile

    name = file_name(checkpoint)
    file = Path(file)
    with tempfile.TemporaryDirectory(dir=file.parent, prefix=f".{file.name}.", suffix=".tmp") as scratch:
        folder, made = Path(scratch) / name, Path(scratch) / "made.zip"
        folder.mkdir()
        write_folder(checkpoint, folder)
        with zipfile.ZipFile(made, "w", zipfile.ZIP_STORED) as archive:  # weights do not get smaller
            for path in sorted(folder.iterdir()):
                archive.write(path, f"{name}/{path.name}")
        os.replace(made, file)


def file_name(checkpoint: Checkpoint) -> str:
    """The checkpoint's name, fit for a file and for the Hub."""
    return re.sub(r"[^A-Za-z0-9._-]+", "-", checkpoint.name).strip("-.")[:90] or "checkpoint"


def _private(value: Any) -> Any:
    """``value`` with the last part of every path in it instead of the whole: a run may begin from a local folder."""
    if isinstance(value, dict):
        return {name: _private(item) for name, item in value.items()}
    if isinstance(value, list):
        return [_private(item) for item in value]
    if isinstance(value, str) and ("/" in value or "\\" in value):
        return last_part(value)
    return value
