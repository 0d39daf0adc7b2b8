"""The evaluation report: a folder with one page for people, and the same numbers for programs.

    index.html      all there is to say; it needs no other file, no script and no network
    results.json    the numbers, every answer, what the checkpoint is and which files were left out
    confusion.svg, reliability.svg, rejection.svg   the page's figures, for other documents

File names, class names and all else that a photo set or a checkpoint says of itself are strangers' words: jinja2
escapes them, and the page forbids the browser scripts and requests.
"""

import base64
import io
import math
import os
import shlex
import time
from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

from jinja2 import Environment, FileSystemLoader, StrictUndefined
from markupsafe import Markup
from PIL import Image

from flowers import __version__
from flowers.errors import FlowersError, UsageError
from flowers.evaluation.evaluate import Evaluation, Outcome
from flowers.evaluation.figures import (
    SHOWN,
    confusion_figure,
    confusion_summary,
    figure_svg,
    rejection_figure,
    rejection_summary,
    reliability_figure,
    reliability_summary,
)
from flowers.evaluation.metrics import BINS
from flowers.files import recover_folder, whole_folder, write_json
from flowers.models.backbones import BACKBONES
from flowers.models.calibration import Calibration
from flowers.models.checkpoint import Checkpoint
from flowers.reason import overlay
from flowers.recipe import KNOBS, PRESETS, Recipe

if TYPE_CHECKING:
    from flowers.classifier import Classifier

PAGE, NUMBERS = "index.html", "results.json"
FIGURES = ("confusion", "reliability", "rejection")
FILES = {PAGE, NUMBERS, *(f"{name}.svg" for name in FIGURES)}
MARK = '<meta name="generator" content="flowers evaluation report">'  # by which an earlier report is known
TEMPLATE = "report.html"
LISTED = 100  # unreadable files, and classes, that the page names one by one
SIDE = 224  # pixels at most of a photo on the page: 24 of them, twice, make about 1 MB


def check_report_folder(folder: Path) -> None:
    """Raise UsageError unless ``write_report`` may write to ``folder``: to be made, empty, or an earlier report."""
    folder = Path(os.path.abspath(folder))
    recover_folder(folder)
    if os.path.lexists(folder) and not os.path.isdir(folder):
        raise UsageError(f"{folder} is a file, and a report needs a folder: choose another name.")
    try:
        held = set(os.listdir(folder))
    except (FileNotFoundError, NotADirectoryError):  # the latter where a part of its path is a file: told below
        held = set()
    except OSError as error:
        raise UsageError(f"{folder} cannot be used ({error.strerror}): choose another folder.") from error
    if held and not (held <= FILES and _is_report(folder / PAGE)):
        raise UsageError(
            f"The folder {folder} holds other things than an earlier report: choose a new or an empty folder."
        )
    around = next(parent for parent in folder.parents if os.path.lexists(parent))
    if not around.is_dir() or not os.access(around, os.W_OK | os.X_OK):
        raise UsageError(f"No folder can be made in {around}: choose another place for the report.")


def write_report(folder: Path, result: Evaluation, classifier: "Classifier", command: str | None = None) -> None:
    """Write the report to ``folder``, whole; an earlier report there is replaced.

    ``classifier`` is the one that answered; ``command`` is what was typed for it, by default what one would type.

    Raises UsageError as ``check_report_folder``, DecodeError when a photo to be shown has become unreadable,
    CheckpointError as ``Classifier.explain``, FlowersError when the disk is full or read-only; what was in the folder
    is then still there.
    """
    folder = Path(os.path.abspath(folder))
    check_report_folder(folder)
    date, command = _now(), command or _command(result)
    figures = _figures(result)
    page = _page(result, classifier, figures, date, command)
    try:
        with whole_folder(folder) as new:
            (new / PAGE).write_text(page, encoding="utf-8")
            write_json(new / NUMBERS, _numbers(result, classifier.checkpoint, date, command))
            for name, svg in figures.items():
                (new / f"{name}.svg").write_text(_standing_alone(svg), encoding="utf-8")
    except OSError as error:
        raise FlowersError(
            f"The report could not be written to {folder} ({error.strerror or error}): free some disk space or choose "
            "another folder; what was there before is untouched."
        ) from error


def report_page(result: Evaluation, classifier: "Classifier", command: str | None = None) -> str:
    """The report's page alone, as one HTML document. Arguments and errors as ``write_report``'s."""
    return _page(result, classifier, _figures(result), _now(), command or _command(result))


def _is_report(page: Path) -> bool:
    try:
        with open(page, encoding="utf-8", errors="replace") as file:
            return MARK in file.read(2000)
    except OSError:
        return False


def _now() -> str:
    return time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime())


def _command(result: Evaluation) -> str:
    augmented = ["--augmented", str(result.views)] if result.views else []
    asked = [result.checkpoint, "--data", result.source, "--split", result.split, *augmented]
    return shlex.join(["python", "-m", "flowers", "evaluate", *asked])


def _numbers(result: Evaluation, checkpoint: Checkpoint, date: str, command: str) -> dict[str, Any]:
    """The contents of ``results.json``."""
    card = asdict(checkpoint)
    card.pop("folder")  # of this machine
    return {
        **result.to_dict(),
        "date": date,
        "command": command,
        "flowers": __version__,
        "checkpoint_card": card,
        "left_out": [asdict(item) for item in result.unreadable],
        "answers": [asdict(item) for item in result.outcomes],
    }


def _figures(result: Evaluation) -> dict[str, str]:
    """The page's figures as ``<svg>`` elements, by the names in ``FIGURES``."""
    confusion, bins, curve = result.confusion, result.reliability, result.rejection
    drawn = (
        (confusion_figure(confusion, result.classes), confusion_summary(confusion, result.classes)),
        (reliability_figure(bins), reliability_summary(bins, result.calibration_error)),
        (rejection_figure(curve), rejection_summary(curve)),
    )
    return {name: figure_svg(figure, summary) for name, (figure, summary) in zip(FIGURES, drawn, strict=True)}


def _standing_alone(svg: str) -> str:
    """A page's figure for a file of its own, which has to bring the colours and the font itself."""
    return svg.replace("<svg ", '<svg style="color: #1f2a1e; background: #fff; font-family: sans-serif" ', 1)


# The page


def _page(result: Evaluation, classifier: "Classifier", figures: Mapping[str, str], date: str, command: str) -> str:
    present = [row for row in result.per_class if row.photos]
    return _environment().get_template(TEMPLATE).render(
        mark=Markup(MARK),
        result=result,
        figures={name: Markup(svg) for name, svg in figures.items()},
        answered=result.confusion.sum(0).tolist(),
        mistakes=[_mistake(result, classifier, item) for item in result.worst()],
        wrong=sum(item.wrong for item in result.outcomes),
        mean_f1=sum(row.f1 for row in present) / len(present),
        guessing={"likelihood": math.log(len(result.classes)), "brier": 1 - 1 / len(result.classes)},
        checkpoint=_checkpoint_facts(classifier, result),
        recipe=_recipe(classifier.checkpoint),
        date=_date(date),
        command=command,
        version=__version__,
        bins=BINS,
        most_classes=SHOWN,
        listed=LISTED,
    )  # fmt: skip


def _environment() -> Environment:
    environment = Environment(
        loader=FileSystemLoader(Path(__file__).parent),
        autoescape=True,
        undefined=StrictUndefined,
        finalize=_printable,
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
    )
    environment.filters["share"] = lambda value: f"{value:.1%}"
    return environment


def _printable(value: Any) -> Any:
    """Text without what no page can show or what would turn it round: a file name may be any bytes."""
    if not isinstance(value, str) or isinstance(value, Markup):
        return value
    return "".join(character if character.isprintable() else "\N{REPLACEMENT CHARACTER}" for character in value)


def _mistake(result: Evaluation, classifier: "Classifier", item: Outcome) -> dict[str, Any]:
    """A wrong answer and its pictures: the square of the photo that the network saw, plain and with its evidence."""
    truth, answer = result.classes[item.label], result.classes[item.predicted]
    reason = classifier.explain(result.root / item.photo, answer)
    evidence = overlay(reason.frame, reason.heat, reason.strongest)
    pictures = [
        {"source": _data_uri(reason.frame), "text": f"A photo of {truth}, taken for {answer}"},
        {"source": _data_uri(evidence), "text": f"Where in it the network found evidence for {answer}"},
    ]
    return {"outcome": item, "truth": truth, "answer": answer, "pictures": pictures, "exact": reason.exact}


def _data_uri(image: Image.Image) -> str:
    small = image.copy()
    small.thumbnail((SIDE, SIDE))
    buffer = io.BytesIO()
    small.save(buffer, "JPEG", quality=85)
    return f"data:image/jpeg;base64,{base64.b64encode(buffer.getvalue()).decode()}"


def _checkpoint_facts(classifier: "Classifier", result: Evaluation) -> dict[str, str]:
    """What the checkpoint says of itself, in the order of the page; what it does not say is left out."""
    checkpoint = classifier.checkpoint
    backbone = BACKBONES[checkpoint.backbone]
    names = checkpoint.classes
    more = f" and {len(names) - LISTED} more" if len(names) > LISTED else ""
    facts = {
        "Name": checkpoint.name,
        "Network": f"{backbone.title} ({checkpoint.backbone}), {backbone.parameters / 1e6:.1f} million parameters",
        "Classes": f"{len(names)}: {', '.join(names[:LISTED])}{more}",
        "What it does to a photo": _pairs(checkpoint.preprocessing),
        "Photo set it was trained with": _counts(checkpoint.photos.get("counts")),
        "Digest of that set": str(checkpoint.photos.get("digest", "")),
        "Calibration": _calibration(classifier.calibration, result),
        "Saved": _date(checkpoint.created),
        "Measured while it was trained": _pairs(checkpoint.metrics),
    }
    return {name: value for name, value in facts.items() if value}


def _calibration(calibration: Calibration, result: Evaluation) -> str:
    if not calibration.facts:
        return "none: the confidences are the network's own"
    judged = (
        "augmented views of these are judged here by that very temperature, which flatters the calibration a little"
        if result.views
        else "where these are asked, each is judged here by a temperature that it did not help to fit"
    )
    return f"temperature {calibration.temperature:.3f}, fitted to the photos held back; {judged}"


def _recipe(checkpoint: Checkpoint) -> dict[str, Any] | None:
    """The preset nearest to the checkpoint's recipe, and (title, value, the preset's value) of all that differs.

    A checkpoint does not say which preset it began from. None where it does not say its recipe either.
    """
    if not checkpoint.recipe:
        return None
    recipe = Recipe.from_dict(checkpoint.recipe).to_dict()

    def changes(name: str) -> list[tuple[str, str, str]]:
        base = PRESETS[name].to_dict()
        return [(KNOBS[k].title, _value(v), _value(base[k])) for k, v in recipe.items() if v != base[k]]

    nearest = min(PRESETS, key=lambda name: len(changes(name)))
    return {"preset": nearest, "changes": changes(nearest)}


def _counts(counts: Any) -> str:
    """Photos by class in words; nothing where a checkpoint, which anyone may have written, says something else."""
    if not counts or not isinstance(counts, Mapping) or not all(isinstance(n, int) for n in counts.values()):
        return ""
    more = f" and {len(counts) - LISTED} more" if len(counts) > LISTED else ""
    named = ", ".join(f"{name} {count:,}" for name, count in list(counts.items())[:LISTED])
    return f"{sum(counts.values()):,} photos: {named}{more}"


def _pairs(values: Mapping[str, Any]) -> str:
    """``{"val_accuracy": 0.925, "epoch": 11}`` as ``val accuracy 0.925, epoch 11``."""
    return ", ".join(f"{str(name).replace('_', ' ')} {_value(value)}" for name, value in values.items())


def _value(value: Any) -> str:
    if isinstance(value, Mapping):
        return f"({_pairs(value)})"
    if isinstance(value, list | tuple):
        return " / ".join(map(_value, value))
    return f"{value:.4g}" if isinstance(value, float) else str(value)


def _date(text: str) -> str:
    """``2026-11-23T06:53:03Z`` as ``2026-11-23 06:53 UTC``; anything else as it is."""
    try:
        return time.strftime("%Y-%m-%d %H:%M UTC", time.strptime(text, "%Y-%m-%dT%H:%M:%SZ"))
    except ValueError:
        return text
