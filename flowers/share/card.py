"""The model card: what a checkpoint is, what it learned from, how good it is, and what nobody knows about it.

A README.md in the checkpoint's folder is its card, as somebody has written it; otherwise one is made from what the
checkpoint says about itself. Either way it begins with the front matter that the Hugging Face Hub reads.
"""

import contextlib
import json
import re
import shlex
from collections.abc import Iterable
from pathlib import PurePosixPath, PureWindowsPath

from typing_extensions import TypedDict  # pydantic takes typing's own from Python 3.12 on

from flowers.data.sources import KNOWN
from flowers.errors import FlowersError
from flowers.evaluation.metrics import accuracy_interval
from flowers.files import check
from flowers.inference import preparation
from flowers.models.backbones import BACKBONES
from flowers.models.calibration import UNFAMILIAR
from flowers.models.checkpoint import Checkpoint, damaged
from flowers.recipe import KNOBS, Recipe
from flowers.training.events import Count, Share
from flowers.training.run import Run

README = "README.md"
NAMED = 12  # classes that a sentence lists
ROWS = 100  # classes that the table lists
ESSENTIAL = (
    "backbone", "init", "frozen", "epochs", "batch_size", "optimizer", "learning_rate", "schedule", "label_smoothing",
    "seed", "split_seed", "val_fraction",
)  # fmt: skip


class _Metrics(TypedDict, total=False):
    val_accuracy: Share
    val_photos: Count
    chosen_by: str
    average_of: list[str]


class _Photos(TypedDict, total=False):
    counts: dict[str, Count]
    digest: str


class _Quality(TypedDict):
    expected_calibration_error: Share
    negative_log_likelihood: float
    brier_score: float


class _Facts(TypedDict, total=False):
    photos_held_back: Count
    accuracy: Share
    accuracy_of_known: Share
    honest_calibration_error: Share
    uncalibrated: _Quality
    calibrated: _Quality


class _Calibration(TypedDict, total=False):
    temperature: float
    facts: _Facts


class _Told(TypedDict):
    """What a checkpoint says, of that which is retold here. Anyone may have written it, and much may be missing."""

    recipe: dict[str, str | int | float | bool | None]
    metrics: _Metrics
    photos: _Photos
    calibration: _Calibration


def model_card(checkpoint: Checkpoint) -> str:
    """The checkpoint's card, Markdown with YAML front matter. Raises CheckpointError where it says what none can."""
    if checkpoint.folder and (checkpoint.folder / README).is_file():
        return (checkpoint.folder / README).read_text(encoding="utf-8", errors="replace")
    try:
        check(_Told, json.dumps({name: getattr(checkpoint, name) for name in _Told.__annotations__}).encode())
    except (ValueError, RecursionError) as error:
        raise damaged(checkpoint.name) from error
    parts = [
        _what(checkpoint), _seen(checkpoint), _start(checkpoint), _recipe(checkpoint), _good(checkpoint),
        _sure(checkpoint), _none(checkpoint), _limits(checkpoint), _use(checkpoint), _licence(),
    ]  # fmt: skip
    return f"---\n{_front_matter(checkpoint)}\n---\n\n# {plain(checkpoint.name)}\n\n" + "\n\n".join(parts) + "\n"


def body(card: str) -> str:
    """A card without its front matter."""
    return re.sub(r"\A---\n.*?^---\n", "", card, flags=re.DOTALL | re.MULTILINE).strip()


def plain(text: object) -> str:
    """Text that means nothing to Markdown: class names and file names are strangers' words."""
    return re.sub(r"([\\`*_{}\[\]<>()#+!|~$&:-])", r"\\\1", " ".join(str(text).split()))


def last_part(path: str) -> str:
    """What a path is called, without where it lies: the run's name for its best checkpoint."""
    parts = (PureWindowsPath(path) if "\\" in path else PurePosixPath(path)).parts
    if len(parts) > 1 and parts[-1] in ("best", "last"):
        parts = parts[:-1]
    return parts[-1] if parts else path


def listed(names: Iterable[str]) -> str:
    """``rose, tulip and daisy``; of very many the first, and how many more."""
    names = list(names)
    if len(names) > NAMED:
        return f"{', '.join(names[:NAMED])} and {len(names) - NAMED} more"
    return " and ".join(filter(None, [", ".join(names[:-1]), names[-1]]))


def _front_matter(checkpoint: Checkpoint) -> str:
    from huggingface_hub import EvalResult, ModelCardData

    measured, count, _ = _accuracy(checkpoint)
    name, title = _photo_set(checkpoint)
    results = [] if measured is None else [
        EvalResult(
            task_type="image-classification", dataset_type=name, dataset_name=title, dataset_split="validation",
            metric_type="accuracy", metric_name=f"accuracy{f', n = {count}' if count else ''}",
            metric_value=round(measured, 4),
        )
    ]  # fmt: skip
    data = ModelCardData(
        library_name="pytorch",
        pipeline_tag="image-classification",
        tags=["image-classification", checkpoint.backbone.replace("_", "-")],
        model_name=checkpoint.name if results else None,
        eval_results=results or None,
    )
    return data.to_yaml()


def _photo_set(checkpoint: Checkpoint) -> tuple[str, str]:
    """(id, title) of the photos held back. Only a known set has a name that says anything to strangers."""
    source = _known_source(checkpoint)
    return (source, KNOWN[source].title) if source else ("custom", "the photos held back while it was trained")


def _known_source(checkpoint: Checkpoint) -> str | None:
    """The photo set that a run's checkpoint learned from, where it is one that everybody can have."""
    if checkpoint.folder is None or checkpoint.folder.name != "best":
        return None
    with contextlib.suppress(FlowersError):  # no run's, or a damaged one
        source = Run(checkpoint.folder.parent).source
        return source if source in KNOWN else None
    return None


def _accuracy(checkpoint: Checkpoint) -> tuple[float | None, int | None, str]:
    """(accuracy on photos held back 0..1, how many there were, what is to be said of them)."""
    metrics, facts = checkpoint.metrics, checkpoint.calibration.get("facts", {})
    if checkpoint.accuracy is not None:
        note = "The epoch that was kept is the one that did best on these very photos, so this flatters it a little."
        if "chosen_by" in metrics:
            note = f"It was chosen by {metrics['chosen_by']}."
        return checkpoint.accuracy, metrics.get("val_photos"), note
    if "accuracy" in facts:
        return float(facts["accuracy"]), facts.get("photos_held_back"), "It was measured when it was calibrated."
    return None, None, ""


def _what(checkpoint: Checkpoint) -> str:
    network = BACKBONES[checkpoint.backbone]
    size = preparation(checkpoint).size
    made = f", made on {checkpoint.created[:10]}" if checkpoint.created else ""
    article = "An" if network.title.startswith("E") else "A"
    return (
        f"{article} {network.title} ({network.parameters / 1e6:.1f} million weights, pictures of {size} × {size} "
        f"pixels) that tells {listed(map(plain, checkpoint.classes))} apart{made}. It was trained with *flowers*, a "
        "studio in which anyone can teach a network."
    )


def _seen(checkpoint: Checkpoint) -> str:
    counts = checkpoint.photos.get("counts", {})
    if not counts:
        return "**What it saw.** Not recorded."
    rows = "".join(f"| {plain(name)} | {count:,} |\n" for name, count in list(counts.items())[:ROWS])
    more = f"\n… and {len(counts) - ROWS} classes more.\n" if len(counts) > ROWS else ""
    held = checkpoint.metrics.get("val_photos")  # checkpoints of before it was recorded do not say
    part = "" if held is None else f", of which {held:,} were held back to check on"
    digest = checkpoint.photos.get("digest")
    mark = f" The set's digest is `{digest}`." if digest else ""
    known = _known_source(checkpoint)
    which = f" of `{known}`" if known else ""
    return (
        f"**What it saw.** {sum(counts.values()):,} photos{which}{part}. No photo is part of this checkpoint.{mark}\n\n"
        f"| class | photos |\n| --- | --: |\n{rows}{more}"
    ).rstrip()


def _start(checkpoint: Checkpoint) -> str:
    network = BACKBONES[checkpoint.backbone]
    init = checkpoint.recipe.get("init")
    begun = {
        None: "Not recorded.",
        "imagenet": f"From a {network.title} that had learned ImageNet's thousand classes.",
        "scratch": "From random weights.",
    }.get(init, f"From the weights of another checkpoint, `{last_part(str(init))}`.")
    if parts := checkpoint.metrics.get("average_of"):
        begun += f" Its weights are the average of those of {listed(plain(name) for name in parts)}."
    return f"**Where it started.** {begun}"


def _recipe(checkpoint: Checkpoint) -> str:
    values = {name: checkpoint.recipe[name] for name in KNOBS if name in checkpoint.recipe}
    if not values:
        return "**How it was trained.** Not recorded."
    values["init"] = last_part(str(values.get("init", "")))
    rows = "".join(f"| {KNOBS[name].title} | {plain(values[name])} |\n" for name in ESSENTIAL if name in values)
    standard = Recipe().to_dict()
    changed = [f"--set {shlex.quote(f'{name}={value}')}" for name, value in values.items() if value != standard[name]]
    command = " \\\n  ".join(["python -m flowers train --preset report --data PHOTOS", *changed])
    return (
        f"**How it was trained.**\n\n| | |\n| --- | --- |\n{rows}\nAll of it, as a command (`PHOTOS` stands for the "
        f"photo set):\n\n```sh\n{command}\n```"
    )


def _good(checkpoint: Checkpoint) -> str:
    measured, count, note = _accuracy(checkpoint)
    if measured is None:
        return "**How good it is.** Nobody has measured it, or it was not recorded: measure it before you trust it."
    if not count:
        return (
            f"**How good it is.** {measured:.2%} right on photos held back; how many these were is not recorded. {note}"
        )
    low, high = accuracy_interval(measured * count, count)
    one = "" if "average_of" in checkpoint.metrics else "; one training, so nothing is known of the spread over seeds"
    return (
        f"**How good it is.** {measured:.2%} right on the {count:,} photos held back (95 % interval {low:.1%} to "
        f"{high:.1%}{one}). {note} On photos of another kind "
        "expect less."
    )


def _sure(checkpoint: Checkpoint) -> str:
    section = checkpoint.calibration
    facts = section.get("facts", {})
    if not section:
        return "**How sure it is.** It is not calibrated: its confidences are the network's own, and usually too high."
    temperature = section.get("temperature", 1.0)
    told = (
        f"**How sure it is.** Its scores are divided by a temperature of {temperature:.3f}, fitted to "
        f"{facts.get('photos_held_back', 'an unknown number of')} photos held back."
    )
    if not {"uncalibrated", "calibrated", "honest_calibration_error"} <= facts.keys():
        return told
    rows = "".join(
        f"| {title} | {shown.format(facts['uncalibrated'][name])} | {shown.format(facts['calibrated'][name])} |\n"
        for name, title, shown in (
            ("expected_calibration_error", "expected calibration error", "{:.2%}"),
            ("negative_log_likelihood", "negative log-likelihood", "{:.4f}"),
            ("brier_score", "Brier score", "{:.4f}"),
        )
    )
    return (
        f"{told} Each fifth of them measured with a temperature that the other four fit:\n\n"
        f"| | as it was | calibrated |\n| --- | --: | --: |\n{rows}\n"
        f"Perfectly honest confidences would show an error of {facts['honest_calibration_error']:.2%} on so few photos."
    )


def _none(checkpoint: Checkpoint) -> str:
    facts = checkpoint.calibration.get("facts", {})
    if not checkpoint.calibration.get("familiar"):
        return (
            "**What it does not know.** It cannot tell what is none of its classes: whatever it is shown, it gives one "
            "of them."
        )
    told = (
        "**What it does not know.** A photo unlike those it learned from is *probably none of its classes*; "
        f"{UNFAMILIAR:.0%} of the photos held back are mistaken for that."
    )
    if {"accuracy", "accuracy_of_known"} <= facts.keys():
        told += (
            f" Of those it takes for known it names {facts['accuracy_of_known']:.2%} rightly, of all "
            f"{facts['accuracy']:.2%}."
        )
    return told + " How many pictures of other things it notices has not been measured for this checkpoint."


def _limits(checkpoint: Checkpoint) -> str:
    return (
        "**What it cannot see.**\n\n"
        f"- It knows {len(checkpoint.classes)} answers. Some pictures of something else still get one of them.\n"
        "- It has seen only what its photos show: other places, seasons, cameras and kinds may be beyond it.\n"
        "- It looks at the square in the middle of a photo.\n"
        "- Whether the labels it learned from are right, nobody has checked for this card.\n"
        "- Do not decide by it whether a plant may be eaten or touched."
    )


def _use(checkpoint: Checkpoint) -> str:
    return (
        "**How to use it.** With *flowers*, from this folder:\n\n```sh\n"
        "python -m flowers classify --checkpoint . photo.jpg\n"
        "python -m flowers export . --to onnx network.onnx\n```\n\n"
        "The weights are safetensors under the network's own names (timm's for EfficientNet-Lite, else torchvision's). "
        "Class names and preprocessing are in `checkpoint.json`."
    )


def _licence() -> str:
    return (
        "**Licence.** Not chosen yet: whoever trained it decides, within what photos and starting weights allow. "
        "Add `license:` to the top of this card."
    )
