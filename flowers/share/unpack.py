"""A checkpoint's zip, as ``bundle.py`` writes it, brought back: read as a stranger's file, for it may be one.

Only files of known names are taken out of it, only tensors (safetensors) and JSON are read, and nothing in it is run.
What comes of it is a run's folder like any other, without a training: so it is listed, private, answered with, gone on
from and deleted as runs are.
"""

import re
import shutil
import stat
import tempfile
import zipfile
from collections.abc import Mapping
from pathlib import Path, PurePosixPath

from flowers.data.classes import clean_name
from flowers.errors import CheckpointError, DecodeError, FlowersError, ShareError
from flowers.files import whole_folder
from flowers.models.backbones import BACKBONES
from flowers.models.calibration import TENSORS, read_calibration
from flowers.models.checkpoint import CARD, WEIGHTS, Checkpoint, read_checkpoint
from flowers.recipe import Recipe
from flowers.training.run import IMPORTED, Run

MAX_ENTRIES = 1000  # files in the zip, those that are left there included
MAX_FILE, MAX_ALL = 600_000_000, 1_200_000_000  # bytes, unpacked: the largest network has 350 MB
# Of JSON: a thousand classes with all that is known of them have a hundredth of that. Of what tells familiar photos:
# fifty thousand photos have 64 MB.
MOST = {".json": 20_000_000, TENSORS: 150_000_000}
MAX_SIDE = 1024  # pixels: no network here is made for more than 384, and one answer is asked for
MAX_CLASSES, MAX_CLASS = 1000, 200  # classes, characters of a name: those of photo sets
# The card that somebody may have written is left there: one is made from what the checkpoint says.
TAKEN = re.compile(
    rf"{re.escape(CARD)}|{re.escape(TENSORS)}|{re.escape(WEIGHTS)}|{re.escape(WEIGHTS)}\.index\.json"
    r"|model-\d{5}-of-\d{5}\.safetensors"
)
PICKLES = (".pt", ".pth", ".pkl", ".pickle", ".bin", ".ckpt", ".joblib", ".npy", ".npz")
OTHERS = {  # by what a zip holds: what it is
    (".h5", ".keras", ".tflite", ".pb", "weights.bin", "model.json"): "a model of another program",
    PICKLES: "a model as a pickle, which could run anything here",
    ("index.html",): "a page to take along, which answers in a browser",
    (".jpg", ".jpeg", ".png", ".webp", ".heic"): "photos",
}


def bring_in(file: str | Path, visitor: str = "") -> Run:
    """A run that holds the checkpoint in a zip, as good as one that was trained here; ``visitor`` alone has it listed.

    Raises ShareError where the zip holds none that can be used, or the disk takes nothing, with the reason in one
    sentence. Nothing is left behind then.
    """
    with tempfile.TemporaryDirectory(prefix="flowers-import-") as scratch:
        folder = Path(scratch) / "checkpoint"
        folder.mkdir()
        checkpoint = unpack(file, folder)
        run = Run.create(None, _recipe(checkpoint), None, IMPORTED, visitor, private=bool(visitor))
        try:
            with whole_folder(run.folder / "best") as new:
                for path in folder.iterdir():
                    shutil.move(path, new / path.name)
            run.set_status("done", "It was brought here, and not trained here.")
        except BaseException as error:
            shutil.rmtree(run.folder, ignore_errors=True)
            if isinstance(error, OSError):
                reason = error.strerror or error
                raise ShareError(f"{Path(file).name} could not be kept ({reason}): free some disk space.") from error
            raise
        return run


def unpack(file: str | Path, folder: Path) -> Checkpoint:
    """Fill an empty ``folder`` with the checkpoint in a zip, and look at all of it. Raises as ``bring_in``."""
    name = Path(file).name
    try:
        with zipfile.ZipFile(file) as archive:
            entries = _entries(archive, name)
            _take_out(archive, entries.pop(CARD), folder / CARD, name)
            checkpoint = _checked(folder, entries, name)  # before anything large is unpacked
            for called, entry in entries.items():
                _take_out(archive, entry, folder / called, name)
    except (zipfile.BadZipFile, zipfile.LargeZipFile, EOFError, NotImplementedError, RuntimeError, ValueError) as error:
        raise ShareError(f"{name} is no zip, or is damaged: download it again.") from error
    except OSError as error:
        raise ShareError(f"{name} could not be unpacked ({error.strerror or error}): free some disk space.") from error
    _answers(checkpoint, name)
    return checkpoint


def _entries(archive: zipfile.ZipFile, name: str) -> Mapping[str, zipfile.ZipInfo]:
    """The files that belong to the checkpoint, by their names. Raises ShareError."""
    listed = [entry for entry in archive.infolist() if not entry.is_dir()]
    if len(listed) > MAX_ENTRIES:
        raise ShareError(f"{name} holds {len(listed):,} files, and no checkpoint has more than {MAX_ENTRIES:,}.")
    cards = [PurePosixPath(entry.filename) for entry in listed if PurePosixPath(entry.filename).name == CARD]
    if not cards:
        raise ShareError(_what_else([entry.filename for entry in listed], name))
    if len(cards) > 1:
        raise ShareError(f"{name} holds {len(cards)} checkpoints: bring them here one by one.")
    home = cards[0].parent
    inside = [entry for entry in listed if PurePosixPath(entry.filename).parent == home]
    for entry in inside:
        if PurePosixPath(entry.filename).suffix.lower() in PICKLES:
            raise ShareError(f"{name} holds {OTHERS[PICKLES]}: take safetensors instead.")
    taken = [entry for entry in inside if TAKEN.fullmatch(PurePosixPath(entry.filename).name)]
    if len({entry.filename for entry in taken}) < len(taken):
        raise ShareError(f"{name} holds a file twice: export the checkpoint again.")
    if any(entry.flag_bits & 0x1 for entry in taken):
        raise ShareError(f"{name} is encrypted: unpack it, and pack it again without a password.")
    if any(stat.S_ISLNK(entry.external_attr >> 16) for entry in taken):
        raise ShareError(f"{name} holds a link in place of a file: export the checkpoint again.")
    if any(entry.file_size > _most(entry) for entry in taken) or sum(entry.file_size for entry in taken) > MAX_ALL:
        raise ShareError(f"{name} is larger than any checkpoint, unpacked: {MAX_ALL / 10**9:g} GB may be.")
    return {PurePosixPath(entry.filename).name: entry for entry in taken}


def _most(entry: zipfile.ZipInfo) -> int:
    """How many bytes a file may have, unpacked."""
    path = PurePosixPath(entry.filename)
    return MOST.get(path.name) or MOST.get(path.suffix) or MAX_FILE


def _what_else(names: list[str], name: str) -> str:
    last = [PurePosixPath(path).name.lower() for path in names]
    for kinds, what in OTHERS.items():
        if any(path.endswith(kinds) for path in last):
            return f"{name} holds {what}: choose a zip that flowers exported as a checkpoint."
    return f"{name} holds no checkpoint, for it has no {CARD}: choose a zip that flowers exported."


def _take_out(archive: zipfile.ZipFile, entry: zipfile.ZipInfo, target: Path, name: str) -> None:
    """Write one file, of which no more comes than the zip has told: a bomb says that it is small."""
    with archive.open(entry) as source, open(target, "wb") as file:
        had = 0
        while part := source.read(1 << 20):
            had += len(part)
            if had > entry.file_size:
                raise ShareError(f"{name} is larger than it says, unpacked: export the checkpoint again.")
            file.write(part)


def _checked(folder: Path, others: Mapping[str, zipfile.ZipInfo], name: str) -> Checkpoint:
    """What the card says, as far as it can be true, and is of a size with the other files. Raises ShareError."""
    try:
        checkpoint = read_checkpoint(folder)
    except CheckpointError as error:
        raise ShareError(_without_place(error, folder, name)) from error
    if len(checkpoint.classes) > MAX_CLASSES:
        raise ShareError(f"{name} has {len(checkpoint.classes):,} classes, and {MAX_CLASSES:,} are the most here.")
    for called in checkpoint.classes:
        if called != clean_name(called) or len(called) > MAX_CLASS:
            raise ShareError(f"{name} has a class of a name that none may have here: rename it, and export it again.")
    if not re.fullmatch(r"[-:TZ0-9.+ ]{0,40}", checkpoint.created):
        raise ShareError(f"{name} says that it was made at no time that there is: export the checkpoint again.")
    sides = [checkpoint.preprocessing.get(side) for side in ("size", "resize")]  # what is no number is found out later
    if any(isinstance(side, (int, float)) and side > MAX_SIDE for side in sides):
        raise ShareError(f"{name} wants pictures of more than {MAX_SIDE} pixels: export the checkpoint again.")
    largest = 4 * BACKBONES[checkpoint.backbone].parameters + 16 * 4 * 4096 * len(checkpoint.classes) + 10**7
    if sum(entry.file_size for called, entry in others.items() if called != TENSORS) > largest:
        raise ShareError(f"{name} holds more weights than {checkpoint.backbone} has: export the checkpoint again.")
    return checkpoint


def _answers(checkpoint: Checkpoint, name: str) -> None:
    """Load it all, and have it answer once. Raises ShareError for weights that do not fit, or are no numbers."""
    import numpy as np
    import torch
    from PIL import Image

    from flowers.classifier import Classifier
    from flowers.models.checkpoint import load_weights

    try:
        read_calibration(checkpoint)
    except CheckpointError as error:
        raise ShareError(f"{name} holds a calibration that does not fit it: export the checkpoint again.") from error
    try:
        if not all(bool(torch.isfinite(one).all()) for one in load_weights(checkpoint.folder).values()):
            raise ShareError(f"{name} holds weights that are no numbers: train it again.")
        classifier = Classifier(checkpoint, engine="eager")
        answer = classifier.classify(Image.new("RGB", (256, 256), "gray"))
    except ShareError:
        raise
    except (CheckpointError, DecodeError) as error:
        raise ShareError(_without_place(error, checkpoint.folder, name)) from error
    except Exception as error:  # of settings that no network can be prepared by
        raise ShareError(f"{name} holds settings that cannot be: export the checkpoint again.") from error
    if not np.isfinite(list(answer.confidences.values())).all():
        raise ShareError(f"{name} answers with what are no numbers: train it again.")


def _without_place(error: FlowersError, folder: Path, name: str) -> str:
    """What the error says, of the zip in place of the folder that it was unpacked to."""
    return str(error).replace(str(folder), name).replace(f"checkpoint {folder.name}", f"checkpoint in {name}")


def _recipe(checkpoint: Checkpoint) -> Recipe:
    """What it was trained by, as far as that can be: a stranger's card may say anything."""
    try:
        return Recipe.from_dict({**checkpoint.recipe, "backbone": checkpoint.backbone})
    except FlowersError:
        return Recipe(backbone=checkpoint.backbone)
