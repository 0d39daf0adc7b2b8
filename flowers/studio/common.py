"""What every tab needs: uploads as raw files, the choices of checkpoints and photo sets, errors as sentences."""

import base64
import collections
import functools
import html
import io
import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import gradio as gr
from PIL import Image

from flowers.classifier import Classifier
from flowers.data.album import Album
from flowers.data.sources import KNOWN, available
from flowers.errors import FlowersError, UsageError
from flowers.models.checkpoint import Checkpoint, bundled_checkpoints, find_checkpoint
from flowers.paths import albums_dir
from flowers.studio.language import say, sentence
from flowers.studio.visitors import visitor
from flowers.training.run import IMPORTED, Run, is_private_name, list_runs

MAX_UPLOAD = 500_000_000  # bytes of a zip of photos; a single photo has its own, smaller limit in decode.py
CHECKED_ON = "flowers5-everyday"  # all of it is held back
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


# Checkpoints


def checkpoint_choices(chosen: str | None = None) -> list[tuple[str, str]]:
    """(what is shown, value) of the bundled checkpoints and of every run that has one, newest first.

    What is ``chosen`` is among them also where lists do not show it: it was opened by its link.
    """
    bundled = [(say("checkpoint.bundled", name=name), name) for name in bundled_checkpoints()]
    return [*bundled, *run_choices([run for run in _listed(chosen) if run.has_checkpoint()])]


def run_choices(runs: Sequence[Run]) -> list[tuple[str, str]]:
    """(what is shown, value) of runs: their titles, told apart where several are called alike."""
    seen: collections.Counter[str] = collections.Counter()
    choices = []
    for run in runs:
        seen[title := run.title] += 1
        choices.append((title if seen[title] == 1 else f"{title} ({seen[title]})", run.name))
    return choices


def title_of(name: str) -> str:
    """What people call a checkpoint, by one of the values of ``checkpoint_choices``."""
    run = find_run(name)
    return run.title if run else name


def _listed(chosen: str | None) -> list[Run]:
    listed, run = visible_runs(), find_run(chosen)
    return listed if run is None or run in listed else [*listed, run]


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
    run = find_run(name) if name not in bundled_checkpoints() else None
    if name not in bundled_checkpoints() and not (run and run.has_checkpoint()):
        raise UsageError(f"There is no checkpoint called {name!r} any more: choose another.")
    return find_checkpoint(run.folder if run else name)


@functools.lru_cache(maxsize=KEPT_CLASSIFIERS)
def _load(folder: Path, _version: str) -> Classifier:
    return Classifier.load(folder)


def refreshed(choices: list[tuple[str, str]], chosen: str | None, otherwise: str | None) -> dict:
    """An update of a dropdown's choices. What is chosen stays chosen; if it is there no more, ``otherwise`` is."""
    gone = chosen not in [value for _, value in choices]
    return gr.update(choices=choices, value=otherwise) if gone else gr.update(choices=choices)


def refresh_checkpoints(chosen: str | None) -> dict:
    """``refreshed`` for a dropdown of checkpoints."""
    return refreshed(checkpoint_choices(chosen), chosen, default_checkpoint())


def refresh_choices(checkpoint: str | None, source: str | None) -> tuple[dict, dict]:
    """``refreshed`` for a dropdown of checkpoints and one of photo sets."""
    return refresh_checkpoints(checkpoint), refreshed(source_choices(), source, default_choice())


def warm_up() -> None:
    """Answer a blank photo, so that the first visitor does not wait for imports, weights and kernels.

    Then find out, if that is not known yet, what answers fastest here: visitors are answered meanwhile.
    """
    if default_checkpoint():
        classifier = load_classifier(None)
        classifier.classify(Image.new("RGB", (256, 256)))
        classifier.choose_engine()


# Runs


def visible_runs() -> list[Run]:
    """The runs that a visitor finds in lists, the one worked on last first: all but others' on their own photos.

    Whoever has a run's name, and so a link to it, may open it all the same: ``find_run``. Who goes on with such a run
    finds what comes of it, and the photos' owner does not.
    """
    me = visitor()
    return [run for run in list_runs() if (private := _private_to(run.folder)) is None or private == me]


def find_run(name: object) -> Run | None:
    """A run of the runs folder by its name, whoever asks; a visitor must not name other folders of the server."""
    return next((run for run in list_runs() if run.name == name), None)


@functools.lru_cache(maxsize=1000)
def _private_to(folder: Path) -> str | None:
    """In whose list alone a run on somebody's own photos is. That never changes, and a page asks every second."""
    try:
        run = Run(folder)
        if run.preset == IMPORTED:
            return run.visitor or None
        source = Path(run.source).resolve() if run.source and run.source not in KNOWN else None
        return run.visitor or source.name if source and source.parent == albums_dir() else None
    except (FlowersError, ValueError, OSError):  # a damaged run: its name alone says whether it is somebody's
        return "" if is_private_name(folder.name) else None


# Photo sets

ALBUM = "album"  # the choice that stands for the visitor's own photos, whoever that is
MY_PHOTOS = "my photos"  # what an evaluation calls them, in its report too: their folder has no name


def my_album() -> Album:
    """The visitor's own photos, which may be none yet. Call in the event's own thread."""
    return Album(albums_dir() / visitor())


def source_choices() -> list[tuple[str, str]]:
    """(what is shown, value) of the photo sets that a visitor may train on and evaluate with."""
    choices = []
    if classes := my_album().classes:
        photos = photos_in_words(sum(map(len, classes.values())))
        choices.append((f"{say('photos.mine')} ({photos}, {classes_in_words(len(classes))})", ALBUM))
    if own_folder():
        choices.append((f"{Path(own_folder()).name} (FLOWERS_DATA)", "FLOWERS_DATA"))
    for name, known in KNOWN.items():
        where = "" if available(name) else f", {say('photos.away')}"
        choices.append((f"{say(f'set.{name}.title')} ({photos_in_words(known.count)}{where})", name))
    return choices


def training_choices(sources: list[tuple[str, str]] | None = None) -> list[tuple[str, str]]:
    """Those of ``source_choices``, or of ``sources``, that hold photos to learn from, and not only to check on."""
    return [(title, value) for title, value in sources or source_choices() if value != CHECKED_ON]


def photos_in_words(count: int) -> str:
    """Such as "1 photo", "2,848 photos"."""
    return say("photos.one_photo") if count == 1 else say("photos.photos", count=f"{count:,}")


def classes_in_words(count: int) -> str:
    """Such as "5 classes"."""
    return say("photos.one_class") if count == 1 else say("photos.classes", count=count)


def default_choice() -> str:
    """The photo set chosen at first: one that needs no download."""
    if own_folder():
        return "FLOWERS_DATA"
    return "flowers5" if available("flowers5") else "garden"


def source_of(choice: str | None) -> str:
    """The photo set behind a choice, as ``open_dataset`` takes it. Raises UsageError for anything not offered."""
    if choice == ALBUM and my_album().classes:
        return str(my_album().folder)
    if choice == "FLOWERS_DATA" and own_folder():
        return str(Path(own_folder()).resolve())
    if isinstance(choice, str) and choice in KNOWN:
        return choice
    raise UsageError("That photo set is not here any more: choose another, or add photos to My photos.")


def choice_of(source: str | None) -> str | None:
    """The choice that stands for a run's photo set; None where it is offered to the visitor no more, or never was."""
    choices = [value for _, value in source_choices()]
    return next((value for value in choices if source is not None and source_of(value) == source), None)


def own_folder() -> str | None:
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
    """A card that holds one sentence; ``kind`` is ``empty`` (nothing here yet) or ``problem``, maybe the engine's."""
    role = ' role="alert"' if kind == "problem" else ""
    return f'<div class="card {kind}"{role}><p>{escape(sentence(text))}</p></div>'


def data_url(image: Image.Image) -> str:
    """A picture as the ``src`` of an ``<img>``: it arrives together with the text around it."""
    file = io.BytesIO()
    image.save(file, "JPEG", quality=88)
    return f"data:image/jpeg;base64,{base64.b64encode(file.getvalue()).decode()}"
