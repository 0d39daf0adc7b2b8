"""A checkpoint on a photo set: every answer, and what follows from them."""

from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from flowers.data.dataset import PhotoDataset
from flowers.errors import CheckpointError
from flowers.evaluation.metrics import ClassMetrics, accuracy, class_metrics, confusion_matrix, standard_error

if TYPE_CHECKING:
    from flowers.classifier import Classifier

BATCH = 32
SPLITS = ("val", "train", "all")


@dataclass(frozen=True)
class Outcome:
    """One answer and the truth."""

    photo: str  # its path within the set; as "path", Gradio's client would try to fetch it
    label: int
    predicted: int
    confidence: float  # of the predicted class, 0..1
    confidence_in_label: float  # of the true class, 0..1

    @property
    def wrong(self) -> bool:
        """Whether the answer is not the truth."""
        return self.predicted != self.label


@dataclass(frozen=True)
class Evaluation:
    """A checkpoint's answers on one part of a photo set."""

    checkpoint: str
    source: str  # what people call the photo set
    root: Path  # its folder on this machine, for those who want to show photos: never part of ``to_dict``
    same_set: bool  # whether it is, photo for photo, the set that the checkpoint was trained on
    unreadable: int  # files of the set that were left out
    split: str  # val, train or all
    views: int  # 0: clean photos; n: n augmented views of each
    classes: tuple[str, ...]
    outcomes: tuple[Outcome, ...]

    @property
    def confusion(self) -> np.ndarray:
        """int64 (classes, classes): row is the true class, column the predicted one."""
        return confusion_matrix(
            [item.label for item in self.outcomes], [item.predicted for item in self.outcomes], len(self.classes)
        )

    @property
    def accuracy(self) -> float:
        """The share answered rightly, 0..1."""
        return accuracy(self.confusion)

    @property
    def per_class(self) -> list[ClassMetrics]:
        """Precision, recall and F1 by class."""
        return class_metrics(self.confusion, self.classes)

    def worst(self, count: int = 24) -> list[Outcome]:
        """The wrong answers given with most confidence, worst first."""
        return sorted((item for item in self.outcomes if item.wrong), key=lambda item: -item.confidence)[:count]

    def to_dict(self) -> dict[str, Any]:
        """The numbers and the worst mistakes, ready for JSON."""
        return {
            "checkpoint": self.checkpoint,
            "source": self.source,
            "trained_on_this_set": self.same_set,
            "unreadable": self.unreadable,
            "split": self.split,
            "augmented_views": self.views,
            "photos": len(self.outcomes),
            "accuracy": self.accuracy,
            "standard_error": standard_error(self.accuracy, len(self.outcomes) // max(1, self.views)),
            "classes": list(self.classes),
            "per_class": [asdict(row) for row in self.per_class],
            "confusion": self.confusion.tolist(),
            "worst": [asdict(item) for item in self.worst()],
        }


def evaluate(
    classifier: "Classifier",
    dataset: PhotoDataset,
    split: str = "val",
    *,
    source: str | None = None,
    views: int = 0,
    workers: int = 4,
    progress: Callable[[int, int], None] | None = None,
) -> Evaluation:
    """Answer every photo of a split and compare. The split is the one the checkpoint was trained with.

    ``views`` > 0 scores that many augmented views of each photo instead of the clean one: the way the report's own
    code did it. ``source`` is what the answer calls the photo set (its folder's name); ``progress`` gets (answers
    given, answers in all).

    Raises CheckpointError when the checkpoint does not know one of the photo set's classes, DataError when the set
    is too small for that split, DecodeError when a photo has become unreadable.
    """
    from flowers.data.loader import PhotoLoader, batches_of
    from flowers.recipe import Recipe

    relabel = _relabel(classifier, dataset)
    recipe = Recipe.from_dict(classifier.checkpoint.recipe)
    indices = _indices(dataset, split, recipe)
    batches = batches_of(indices, BATCH, least=1)
    loader = PhotoLoader(dataset, classifier.preprocessing, workers)

    def pictures() -> Iterator:
        if not views:
            yield from loader.clean(batches)
        if views > 1:  # or each photo is needed only once
            loader.prepare(indices)
        for view in range(views):
            yield from loader.augmented(batches, recipe, epoch=recipe.epochs + view)

    outcomes: list[Outcome] = []
    total = len(indices) * max(1, views)
    try:
        for pixels, _ in pictures():
            for confidences in classifier.confidences(pixels).numpy():
                photo = dataset.photos[indices[len(outcomes) % len(indices)]]
                predicted, label = int(confidences.argmax()), relabel[photo.label]
                outcomes.append(
                    Outcome(photo.path, label, predicted, float(confidences[predicted]), float(confidences[label]))
                )
            if progress:
                progress(len(outcomes), total)
    finally:
        loader.close()
    return Evaluation(
        checkpoint=classifier.checkpoint.name,
        source=source or dataset.root.name,
        root=dataset.root,
        same_set=classifier.checkpoint.photos.get("digest") == dataset.digest,
        unreadable=len(dataset.unreadable),
        split=split,
        views=views,
        classes=classifier.classes,
        outcomes=tuple(outcomes),
    )


def report_text(result: Evaluation) -> str:
    """The evaluation as a table for a terminal."""
    width = max(len("class"), *(len(name) for name in result.classes))
    what = f"{result.views} augmented views each" if result.views else "clean"
    photos = len(result.outcomes) // max(1, result.views)
    lines = [
        f"{result.checkpoint} on {photos} photos ({result.split}, {what})",
        f"accuracy {result.accuracy:.2%} ± {standard_error(result.accuracy, photos):.2%} (one standard error)",
        "",
        f"{'class':<{width}}  photos  precision  recall      f1",
    ]
    for row in result.per_class:
        lines.append(f"{row.name:<{width}}  {row.photos:>6}  {row.precision:>9.2%}  {row.recall:>6.2%}  {row.f1:>6.2%}")
    lines += ["", "rows: truth, columns: answers"]
    cell = max(6, *(len(name) for name in result.classes)) + 1
    lines.append(" " * width + "".join(f"{name:>{cell}}" for name in result.classes))
    for name, row in zip(result.classes, result.confusion, strict=True):
        lines.append(f"{name:<{width}}" + "".join(f"{count:>{cell}}" for count in row))
    return "\n".join(lines)


def _relabel(classifier: "Classifier", dataset: PhotoDataset) -> list[int]:
    """The checkpoint's class index for each of the dataset's; a set may lack classes, but not have others."""
    unknown = [name for name in dataset.classes if name not in classifier.classes]
    if unknown:
        raise CheckpointError(
            f"The checkpoint {classifier.checkpoint.name} does not know the class {unknown[0]}: it knows "
            f"{', '.join(classifier.classes)}; choose photos of these classes, or another checkpoint."
        )
    return [classifier.classes.index(name) for name in dataset.classes]


def _indices(dataset: PhotoDataset, split: str, recipe) -> tuple[int, ...]:
    if split == "all":
        return tuple(range(len(dataset)))
    parts = dataset.split(recipe.split_seed, recipe.val_fraction)
    return parts.val if split == "val" else parts.train
