"""What training says while it works. A terminal, the live plots and the tests all read this one stream."""

import json
from dataclasses import asdict, dataclass, field
from typing import Annotated, Any, ClassVar

from annotated_types import Ge, Le

from flowers.files import require

# What is read again is held to these: where a page counts up to a number, a damaged one would stop it for everybody.
Epochs = Annotated[int, Ge(0), Le(100_000)]
Count = Annotated[int, Ge(0), Le(1_000_000_000)]
Positive = Annotated[int, Ge(1), Le(1_000_000_000)]
Share = Annotated[float, Ge(0), Le(1.0001)]  # 0..1, but for how sums are rounded
Seconds = Annotated[float, Ge(-1e10), Le(1e10)]  # what is left of a prediction may be less than none


@dataclass(frozen=True)
class Event:
    """Something that happened; ``to_dict`` is one line of a run's ``events.jsonl``."""

    kind: ClassVar[str]

    def to_dict(self) -> dict[str, Any]:
        """The event's values with its kind, ready for JSON."""
        return {"kind": self.kind, **asdict(self)}


@dataclass(frozen=True)
class Started(Event):
    """Training begins, or goes on after having been stopped or killed: steps from here on count anew."""

    kind: ClassVar[str] = "started"
    epoch: Epochs  # 0-based; 0 unless resumed
    step: Count  # steps of that epoch already done
    epochs: Epochs
    steps: Positive  # steps in an epoch
    train_photos: Count
    val_photos: Count
    classes: list[str]
    device: str
    precision: str
    machine: str  # one sentence: what was chosen for this machine, and why
    seconds: Seconds  # training time before this start, and what getting ready took
    # Older runs do not tell what follows.
    store: str = ""  # one sentence: where the decoded photos are kept
    left_out: list[str] = field(default_factory=list)  # a sentence for each file that could not be read
    predicted: list[Seconds] = field(default_factory=list)  # that each epoch should take, its validation included
    checking: Seconds = 0.0  # the validation's part of each of ``predicted``
    notes: list[str] = field(default_factory=list)  # a sentence each: how the photos were understood and divided


@dataclass(frozen=True)
class Step(Event):
    """One batch was learned. Loss and accuracy are this batch's, before its step."""

    kind: ClassVar[str] = "step"
    epoch: Epochs
    step: Count  # 1-based within the epoch
    loss: float
    accuracy: Share  # 0..1
    learning_rate: float
    seconds: Seconds  # training time so far, over all starts


@dataclass(frozen=True)
class Probing(Event):
    """The untouched network looks at the photos that the last layer is then fitted to, in one go."""

    kind: ClassVar[str] = "probing"
    epoch: Epochs
    done: Count  # photos
    total: Positive
    seconds: Seconds


@dataclass(frozen=True)
class Folded(Event):
    """The last layer has been fitted to all photos; by layers that were fitted to a part of them it was judged."""

    kind: ClassVar[str] = "folded"
    epoch: Epochs
    folds: Count
    photos: Count
    accuracy: Share  # 0..1, of answers to photos that the layer had not been fitted to
    penalty: float  # see last_layer.py
    curve: list[tuple[Count, Share]]  # (photos learned from, accuracy of the others), rising in photos
    seconds: Seconds


@dataclass(frozen=True)
class Validating(Event):
    """The photos held back are being looked at."""

    kind: ClassVar[str] = "validating"
    epoch: Epochs
    done: Count  # photos
    total: Positive
    seconds: Seconds


@dataclass(frozen=True)
class Prediction:
    """What the network says of one validation photo."""

    photo: str  # its path within the set
    label: Count
    predicted: Count
    confidence: Share  # 0..1, of the predicted class


@dataclass(frozen=True)
class Epoch(Event):
    """One pass over the training photos ended and was checked on the validation photos."""

    kind: ClassVar[str] = "epoch"
    epoch: Epochs  # 0-based
    learning_rate: float
    train_loss: float  # mean over the epoch's augmented photos
    train_accuracy: Share  # 0..1
    val_loss: float  # on clean photos
    val_accuracy: Share
    best: bool  # the best so far, and therefore saved
    seconds: Seconds
    confusion: list[list[Count]] = field(default_factory=list)  # validation photos: a row a label, a column an answer


@dataclass(frozen=True)
class Samples(Event):
    """The same few validation photos after every epoch, so that one can see the network learn."""

    kind: ClassVar[str] = "samples"
    epoch: Epochs
    predictions: list[Prediction]


@dataclass(frozen=True)
class Finished(Event):
    """Training ended: all epochs are done, the last ones brought nothing better, or somebody stopped it."""

    kind: ClassVar[str] = "finished"
    stopped: bool
    epochs_done: Epochs
    best_epoch: Epochs | None  # None when no epoch was finished
    best_val_accuracy: Share | None
    seconds: Seconds


KINDS = {event.kind: event for event in (Started, Step, Probing, Folded, Validating, Epoch, Samples, Finished)}


def read_event(line: bytes) -> dict[str, Any] | None:
    """What ``to_dict`` gave, from its line of ``events.jsonl``.

    None for what is no event: a line that a kill cut short, one that is damaged, or another version's.
    """
    try:
        told = json.loads(line)
        require(KINDS[told["kind"]], told, line)
    except (ValueError, TypeError, KeyError, RecursionError):
        return None
    return told


def fits(event: dict[str, Any], classes: int) -> bool:
    """Whether what an event tells can be of a run with so many classes."""
    match event["kind"]:
        case "started":
            return len(event["classes"]) > 0
        case "samples":
            return all(max(one["label"], one["predicted"]) < classes for one in event["predictions"])
        case "epoch":
            confusion = event.get("confusion", [])
            return not confusion or {len(confusion), *map(len, confusion)} == {classes}
    return True
