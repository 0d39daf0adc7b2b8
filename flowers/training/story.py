"""What a run's events amount to: the curves, where it is, how long it will take. The page and the API read this."""

import functools
import math
from dataclasses import asdict, dataclass, field
from typing import Any

from flowers.training.run import Run

MIN_PART_DONE = 0.02  # of the run, before its own pace says more than the prediction
PLACES = ("started", "step", "probing", "validating", "epoch")
MAX_STEP_POINTS = 240  # a browser's line plot slows past about a thousand points


@dataclass(frozen=True)
class Point:
    """One point of a curve; ``x`` counts epochs, with the part of the epoch as fraction."""

    x: float
    y: float
    series: str


@dataclass(frozen=True)
class Look:
    """What an epoch's end came to on the photos held back."""

    epoch: int  # 0-based
    accuracy: float  # 0..1
    samples: list[dict[str, Any]]  # predictions of the same few photos in every epoch
    confusion: list[list[int]]  # counts: a row a label, a column an answer


@dataclass(frozen=True)
class Story:
    """A run so far."""

    epochs: int = 0
    steps: int = 0  # in an epoch
    epoch: int = 0  # 0-based, the one at work
    step: int = 0  # steps of it done
    probing: tuple[int, int] | None = None  # photos done and in all, while the last layer's features are computed
    validating: tuple[int, int] | None = None  # the same, while it validates
    learning_rate: float | None = None
    best_epoch: int | None = None
    best_val_accuracy: float | None = None  # 0..1
    seconds: float = 0.0  # of training so far
    predicted_seconds: float | None = None  # of the whole run, told when it last started
    seconds_left: float | None = None  # None until it can be told
    machine: str = ""
    notes: list[str] = field(default_factory=list)  # how the photos were understood and divided
    photos: int = 0  # in all, those held back included
    finished: bool = False
    loss: list[Point] = field(default_factory=list)
    accuracy: list[Point] = field(default_factory=list)
    samples: list[dict[str, Any]] = field(default_factory=list)  # the last epoch's
    confusion: list[list[int]] = field(default_factory=list)  # the last epoch's, empty in runs of before it was told
    classes: list[str] = field(default_factory=list)
    folds: int = 0  # by which the last layer was judged; 0 where photos are held back for that
    curve: list[tuple[int, float]] = field(default_factory=list)  # (photos learned from, accuracy), of those folds
    judged_by_folds: int = 0  # photos
    judged: int = 0  # photos that the best accuracy is of
    held_back: int = 0  # photos that every epoch but the first by folds is judged by
    past: list[Look] = field(default_factory=list)  # one for each epoch that was checked

    @property
    def progress(self) -> float:
        """The part of all steps that is done, 0..1."""
        if self.finished or not self.epochs:
            return float(self.finished)
        return min(1.0, (self.epoch + self.step / self.steps) / self.epochs)

    @property
    def best_by_folds(self) -> bool:
        """Whether the best accuracy is that which folds told."""
        return self.folds > 0 and self.best_epoch == 0

    @property
    def all_by_folds(self) -> bool:
        """Whether folds alone judge it: no photo is held back for good."""
        return self.folds > 0 and self.epochs == 1

    @property
    def ending(self) -> str:
        """What a finished run came to, without a full stop."""
        if self.all_by_folds:
            return f"The last layer has learned from all {self.photos} photos"
        if self.epoch >= self.epochs or self.best_epoch is None:
            return f"All {self.epochs} epochs are done"
        idle = self.epoch - 1 - self.best_epoch
        return f"Stopped early at epoch {self.epoch} of {self.epochs}: no improvement for {idle} epochs"

    def to_dict(self) -> dict[str, Any]:
        """The values by name, ready for JSON; of what was seen of the photos only the last epoch's."""
        values = {**asdict(self), "progress": self.progress}
        del values["past"]
        return values


def read_story(run: Run) -> Story:
    """The story of a run, read again only when its events have grown."""
    path = run.folder / "events.jsonl"
    try:
        status = path.stat()
    except OSError:
        return Story()
    return _read_story(run, status.st_size, status.st_mtime_ns)


@functools.lru_cache(maxsize=16)
def _read_story(run: Run, _size: int, _time: int) -> Story:
    return tell(run.events())


def tell(events: list[dict[str, Any]]) -> Story:
    """The story that a list of events, as ``Run.events`` returns it, tells."""
    starts = [event for event in events if event["kind"] == "started"]
    if not starts:
        return Story()
    start, last = starts[-1], events[-1]
    finished = last["kind"] == "finished" and not last["stopped"]
    steps = [event for event in events if event["kind"] == "step"]
    epochs = [event for event in events if event["kind"] == "epoch"]
    samples = [event for event in events if event["kind"] == "samples"]
    photos = start["train_photos"] + start["val_photos"]
    # Folds of the training part alone chose the penalty; what judges then are the photos that the set holds back.
    judges = (event for event in reversed(events) if event["kind"] == "folded" and event["photos"] == photos)
    folded = next(judges, None)
    best = next((event for event in reversed(epochs) if event["best"]), None)
    epoch, step = _position(events, start)
    return Story(
        epochs=start["epochs"],
        steps=start["steps"],
        epoch=epoch,
        step=step,
        probing=(last["done"], last["total"]) if last["kind"] == "probing" else None,
        validating=(last["done"], last["total"]) if last["kind"] == "validating" else None,
        learning_rate=(steps or epochs or [{"learning_rate": None}])[-1]["learning_rate"],
        best_epoch=best and best["epoch"],
        best_val_accuracy=best and best["val_accuracy"],
        seconds=last.get("seconds", epochs[-1]["seconds"] if epochs else start["seconds"]),
        predicted_seconds=sum(start["predicted"]) if start.get("predicted") else None,
        seconds_left=0.0 if finished else seconds_left(start, _last_with_place(events)),
        machine=start["machine"],
        notes=start.get("notes", []),
        photos=photos,
        finished=finished,
        loss=_drawable(
            _step_points(steps, start["steps"])
            + [Point(e["epoch"] + 1, e["train_loss"], "training") for e in epochs]
            + [Point(e["epoch"] + 1, e["val_loss"], "validation") for e in epochs]
        ),
        accuracy=[Point(e["epoch"] + 1, e["train_accuracy"], "training") for e in epochs]
        + [Point(e["epoch"] + 1, e["val_accuracy"], "validation") for e in epochs],
        samples=samples[-1]["predictions"] if samples else [],
        confusion=epochs[-1].get("confusion", []) if epochs else [],
        classes=start["classes"],
        folds=folded["folds"] if folded else 0,
        curve=[(photos, accuracy) for photos, accuracy in folded["curve"]] if folded else [],
        judged_by_folds=folded["photos"] if folded else 0,
        judged=folded["photos"] if folded and not (best and best["epoch"]) else start["val_photos"],
        held_back=start["val_photos"],
        past=_looks(epochs, samples),
    )


def _drawable(points: list[Point]) -> list[Point]:
    """Those that are numbers: half precision may say that a loss is infinite."""
    return [point for point in points if math.isfinite(point.y)]


def _looks(epochs: list[dict[str, Any]], samples: list[dict[str, Any]]) -> list[Look]:
    seen = {event["epoch"]: event["predictions"] for event in samples}
    return [Look(e["epoch"], e["val_accuracy"], seen.get(e["epoch"], []), e.get("confusion", [])) for e in epochs]


def _last_with_place(events: list[dict[str, Any]]) -> dict[str, Any]:
    """The last event that says where the run is."""
    return next(event for event in reversed(events) if event["kind"] in PLACES)


def _position(events: list[dict[str, Any]], start: dict[str, Any]) -> tuple[int, int]:
    """(epoch at work, steps of it done)."""
    epoch, learned, _ = _done(_last_with_place(events), start)
    return epoch, round(start["steps"] * learned)


def seconds_left(start: dict[str, Any], event: dict[str, Any]) -> float | None:
    """How long a run that began, or went on, with the event ``start`` still takes when it tells ``event``.

    What was predicted for the rest, times how far off the prediction has been since that start. None where it cannot
    be told.
    """
    predicted, checking = start.get("predicted") or [1.0] * start["epochs"], start.get("checking", 0.0)

    def work(epoch: int, learned: float, checked: float) -> float:
        learning = predicted[epoch] - checking if epoch < len(predicted) else 0.0
        return sum(predicted[:epoch]) + learning * learned + checking * checked

    now = work(*_done(event, start))
    done = now - work(*_done(start, start))
    spent = event.get("seconds", start["seconds"]) - start["seconds"]
    if done <= MIN_PART_DONE * sum(predicted):  # the first steps are slow
        return sum(predicted) - now if start.get("predicted") else None
    return spent / done * max(0.0, sum(predicted) - now)


def _done(event: dict[str, Any], start: dict[str, Any]) -> tuple[int, float, float]:
    """(epochs, part of the next one's learning, part of its validation) done when the event was told."""
    match event["kind"]:
        case "step" | "started":
            return event["epoch"], event["step"] / start["steps"], 0.0
        case "probing":
            return event["epoch"], event["done"] / event["total"], 0.0
        case "validating":
            return event["epoch"], 1.0, event["done"] / event["total"]
    return event["epoch"] + 1, 0.0, 0.0  # "epoch"


def _step_points(steps: list[dict[str, Any]], steps_an_epoch: int) -> list[Point]:
    """Single batches' losses, averaged in equal groups so that at most MAX_STEP_POINTS remain."""
    group = -(-len(steps) // MAX_STEP_POINTS) or 1
    points = []
    for start in range(0, len(steps), group):
        part = steps[start : start + group]
        x = part[-1]["epoch"] + part[-1]["step"] / steps_an_epoch
        points.append(Point(x, sum(event["loss"] for event in part) / len(part), "batches"))
    return points
