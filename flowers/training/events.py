"""What training says while it works. A terminal, the live plots and the tests all read this one stream."""

from dataclasses import asdict, dataclass, field
from typing import Any, ClassVar


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
    epoch: int  # 0-based; 0 unless resumed
    step: int  # steps of that epoch already done
    epochs: int
    steps: int  # steps in an epoch
    train_photos: int
    val_photos: int
    classes: list[str]
    device: str
    precision: str
    machine: str  # one sentence: what was chosen for this machine, and why
    store: str  # one sentence: where the decoded photos are kept
    left_out: list[str]  # a sentence for each file that could not be read
    predicted: list[float]  # seconds that each epoch should take, its validation included
    seconds: float  # training time before this start, and what getting ready took
    checking: float = 0.0  # the validation's part of each of ``predicted``
    notes: list[str] = field(default_factory=list)  # a sentence each: how the photos were understood and divided


@dataclass(frozen=True)
class Step(Event):
    """One batch was learned. Loss and accuracy are this batch's, before its step."""

    kind: ClassVar[str] = "step"
    epoch: int
    step: int  # 1-based within the epoch
    loss: float
    accuracy: float  # 0..1
    learning_rate: float
    seconds: float  # training time so far, over all starts


@dataclass(frozen=True)
class Probing(Event):
    """The untouched network looks at the photos that the last layer is then fitted to, in one go."""

    kind: ClassVar[str] = "probing"
    epoch: int
    done: int  # photos
    total: int
    seconds: float


@dataclass(frozen=True)
class Folded(Event):
    """The last layer has been fitted to all photos; by layers that were fitted to a part of them it was judged."""

    kind: ClassVar[str] = "folded"
    epoch: int
    folds: int
    photos: int
    accuracy: float  # 0..1, of answers to photos that the layer had not been fitted to
    penalty: float  # see last_layer.py
    curve: list[tuple[int, float]]  # (photos learned from, accuracy of the others), rising in photos
    seconds: float


@dataclass(frozen=True)
class Validating(Event):
    """The photos held back are being looked at."""

    kind: ClassVar[str] = "validating"
    epoch: int
    done: int  # photos
    total: int
    seconds: float


@dataclass(frozen=True)
class Prediction:
    """What the network says of one validation photo."""

    photo: str  # its path within the set
    label: int
    predicted: int
    confidence: float  # 0..1, of the predicted class


@dataclass(frozen=True)
class Epoch(Event):
    """One pass over the training photos ended and was checked on the validation photos."""

    kind: ClassVar[str] = "epoch"
    epoch: int  # 0-based
    learning_rate: float
    train_loss: float  # mean over the epoch's augmented photos
    train_accuracy: float  # 0..1
    val_loss: float  # on clean photos
    val_accuracy: float
    best: bool  # the best so far, and therefore saved
    seconds: float
    confusion: list[list[int]] = field(default_factory=list)  # validation photos: a row a label, a column an answer


@dataclass(frozen=True)
class Samples(Event):
    """The same few validation photos after every epoch, so that one can see the network learn."""

    kind: ClassVar[str] = "samples"
    epoch: int
    predictions: list[Prediction]


@dataclass(frozen=True)
class Finished(Event):
    """Training ended: all epochs are done, the last ones brought nothing better, or somebody stopped it."""

    kind: ClassVar[str] = "finished"
    stopped: bool
    epochs_done: int
    best_epoch: int | None  # None when no epoch was finished
    best_val_accuracy: float | None
    seconds: float
