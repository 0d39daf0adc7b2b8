"""What every tab needs: uploads as raw files, the choices of checkpoints and photo sets, errors as sentences."""

import base64
import contextlib
import functools
import html
import io
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import gradio as gr
from PIL import Image

from flowers.classifier import Classifier
from flowers.data.sources import KNOWN, available, drop_unused_zips, drop_zip, zips_dir
from flowers.errors import FlowersError, UsageError
from flowers.models.checkpoint import Checkpoint, bundled_checkpoints, find_checkpoint
from flowers.paths import runs_dir
from flowers.studio.language import say
from flowers.training.run import list_runs

MAX_UPLOAD = "500mb"  # a zip of photos; a single photo has its own, smaller limit in decode.py
COMPUTE = "compute"  # the queue of everything that keeps a core busy
KEPT_CLASSIFIERS = 3  # about 45 MB each of a ResNet18, twice as much once it has told a reason


class PhotoInput(gr.Image):
    """An image input that hands over the path of the raw file.

    Gradio's own preprocessing opens the photo before our code runs: a damaged one then ends in a bare "Error", a
    transparent one turns black, and HEIC is refused. decode.py reads the file instead. (Where somebody has imported
    Gradio before flowers.studio, it writes a .pyi file beside this module: git ignores it.)
    """

    is_template = True  # in the browser it is a plain Image

    def preprocess(self, payload: Any) -> str | None:
        return payload.path if payload else None


def in_words(function: Callable) -> Callable:
    """``function`` with its FlowersErrors shown on the page as a message, without a traceback in the server's log."""

    @functools.wraps(function)
    def wrapped(*args: Any, **kwargs: Any) -> Any:
        try:
            return function(*args, **kwargs)
        except FlowersError as error:
            raise gr.Error(str(error), title=say("error.title"), print_exception=False) from error

    return wrapped


# Checkpoints


def checkpoint_choices() -> list[tuple[str, str]]:
    """(what is shown, value) of the bundled checkpoints and of every run that has one, newest first."""
    bundled = [(f"{name} (bundled)", name) for name in bundled_checkpoints()]
    runs = [(f"{run.name} (my run)", run.name) for run in list_runs() if run.has_checkpoint()]
    return [*bundled, *runs]


def default_checkpoint() -> str | None:
    """The bundled checkpoint that answers unless another is chosen."""
    return next(iter(bundled_checkpoints()), None)


def load_classifier(name: str | None) -> Classifier:
    """The classifier of one of ``checkpoint_choices``; a few are kept in memory. Raises UsageError, CheckpointError."""
    checkpoint = offered_checkpoint(name)
    return _load(checkpoint.folder, f"{checkpoint.created} {checkpoint.calibration.get('made')}")


def offered_checkpoint(name: str | None) -> Checkpoint:
    """One of ``checkpoint_choices``, by its value. Raises UsageError, CheckpointError.

    The page may only name what it was offered: a visitor must not read folders of the server by their paths.
    """
    name = name or default_checkpoint()
    if name not in [value for _, value in checkpoint_choices()]:
        raise UsageError(f"There is no checkpoint called {name!r} any more: choose another.")
    folder = runs_dir() / name if (runs_dir() / name).is_dir() and name not in bundled_checkpoints() else name
    return find_checkpoint(folder)


@functools.lru_cache(maxsize=KEPT_CLASSIFIERS)
def _load(folder: Path, _version: str) -> Classifier:
    return Classifier.load(folder)


def refresh_checkpoints() -> dict:
    """An update for a dropdown of checkpoints; what is chosen stays chosen."""
    return gr.update(choices=checkpoint_choices())


def refresh_choices() -> tuple[dict, dict]:
    """Updates for a dropdown of checkpoints and one of photo sets."""
    return refresh_checkpoints(), gr.update(choices=source_choices())


def warm_up() -> None:
    """Answer a blank photo, so that the first visitor does not wait for imports, weights and kernels.

    Then find out, if that is not known yet, what answers fastest here: visitors are answered meanwhile.
    """
    if default_checkpoint():
        classifier = load_classifier(None)
        classifier.classify(Image.new("RGB", (256, 256)))
        classifier.choose_engine()


# Photo sets


def source_choices() -> list[tuple[str, str]]:
    """(what is shown, value) of the photo sets that a visitor may train on and evaluate with."""
    choices = []
    if _own_folder():
        choices.append((f"{Path(_own_folder()).name} (FLOWERS_DATA)", "FLOWERS_DATA"))
    for name, known in KNOWN.items():
        where = "" if available(name) else ", will be downloaded"
        choices.append((f"{known.title} ({known.count:,} photos{where})", name))
    return choices + [(f"{Path(folder).name} (zip)", folder) for folder in _uploads_trained_on()]


def default_choice() -> str:
    """The photo set chosen at first: one that needs no download."""
    if _own_folder():
        return "FLOWERS_DATA"
    return "flowers5" if available("flowers5") else "garden"


def source_of(choice: str | None) -> str:
    """The photo set behind a choice, as ``open_dataset`` takes it. Raises UsageError for anything not offered."""
    if choice == "FLOWERS_DATA" and _own_folder():
        return str(Path(_own_folder()).resolve())
    if isinstance(choice, str) and choice in KNOWN:
        return choice
    if _is_upload(choice):
        return choice
    raise UsageError("That photo set is not here any more: choose another, or upload the zip again.")


def drop_upload(folder: Path) -> None:
    """Remove an uploaded set that is of no use, unless a run has learnt from it."""
    if str(folder) not in _uploads_trained_on():
        drop_zip(folder)


def drop_old_uploads() -> None:
    """Remove the uploaded sets of more than a day ago that no run has learnt from."""
    drop_unused_zips(keep=_uploads_trained_on())


def _uploads_trained_on() -> list[str]:
    """Uploaded sets that a run has learnt from, so that its checkpoint can be evaluated on them."""
    folders = {}
    for run in list_runs():
        with contextlib.suppress(FlowersError):  # a damaged run
            if _is_upload(run.source):
                folders[run.source] = None
    return list(folders)


def _is_upload(choice: Any) -> bool:
    """Whether ``choice`` is the folder of a zip that a visitor uploaded, and nothing else on the server."""
    if not isinstance(choice, str):
        return False
    try:
        return Path(choice).resolve().parent.parent == zips_dir() and Path(choice).is_dir()
    except (OSError, ValueError, RuntimeError):  # no path at all: too long, with a null, or links in a circle
        return False


def _own_folder() -> str | None:
    """FLOWERS_DATA, where it is something else than the report's photos."""
    folder = os.environ.get("FLOWERS_DATA")
    if not folder or not Path(folder).exists() or _is_flowers5(folder):
        return None
    return folder


@functools.cache
def _is_flowers5(folder: str) -> bool:
    from flowers.data.sources import resolve

    return available("flowers5") and resolve("flowers5") == Path(folder).resolve()


# HTML


def escape(text: object) -> str:
    """Text that is safe inside HTML, also inside a quoted attribute: class and file names are strangers' words."""
    return html.escape(str(text), quote=True)


def note(text: str, kind: str = "empty") -> str:
    """A card that holds one sentence; ``kind`` is ``empty`` (nothing here yet) or ``problem``."""
    role = ' role="alert"' if kind == "problem" else ""
    return f'<div class="card {kind}"{role}><p>{escape(text)}</p></div>'


def data_url(image: Image.Image) -> str:
    """A picture as the ``src`` of an ``<img>``: it arrives together with the text around it."""
    file = io.BytesIO()
    image.save(file, "JPEG", quality=88)
    return f"data:image/jpeg;base64,{base64.b64encode(file.getvalue()).decode()}"
