"""A checkpoint on a photo set: every answer, and what follows from them."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from flowers.data.dataset import PhotoDataset, Unreadable
from flowers.errors import CheckpointError
from flowers.evaluation.calibration import FOLDS, check_numbers, cross_fitted
from flowers.evaluation.metrics import (
    Bin,
    ClassMetrics,
    RejectionCurve,
    accuracy,
    accuracy_interval,
    brier_score,
    class_metrics,
    confusion_matrix,
    expected_calibration_error,
    negative_log_likelihood,
    rejection_curve,
    reliability,
    standard_error,
)
from flowers.models.calibration import mark
from flowers.models.out_of_fold import marks_of, read_out_of_fold

if TYPE_CHECKING:
    from flowers.classifier import Classifier
    from flowers.models.checkpoint import Checkpoint

BATCH = 32
SPLITS = ("val", "train", "all")
ANSWERED = (1.0, 0.95, 0.9, 0.8, 0.7, 0.5)  # shares of the photos at which the rejection curve is told in numbers
TINY = np.finfo(np.float32).tiny
NAMED = 10  # classes that a sentence lists


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
    digest: str  # what exactly these photos under these labels are called, whatever the folder's name
    same_set: bool  # whether it is, photo for photo, the set that the checkpoint was trained on
    held_back: bool  # whether all of these photos are known to have been held back while it was trained
    unreadable: tuple[Unreadable, ...]  # files of the set that were left out
    split: str  # val, train or all
    views: int  # 0: clean photos; n: n augmented views of each
    classes: tuple[str, ...]
    outcomes: tuple[Outcome, ...]
    # float32 (outcomes, classes). Of clean photos that the checkpoint was calibrated with, by a temperature that they
    # did not help to fit, as an honest measure of calibration needs them.
    probabilities: np.ndarray = field(repr=False, compare=False)
    by_folds: bool = False  # whether each was answered by a last layer that was fitted to the photos of other folds

    @property
    def photos(self) -> int:
        """How many photos were asked about, however many views there were of each."""
        return len(self.outcomes) // max(1, self.views)

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

    @property
    def absent(self) -> list[str]:
        """The classes of which there is no photo: nothing is said of them."""
        return [row.name for row in self.per_class if not row.photos]

    @property
    def interval(self) -> tuple[float, float]:
        """The 95 % confidence interval of the accuracy. Several views of a photo count as one: they err together."""
        return accuracy_interval(self.accuracy * self.photos, self.photos)

    @property
    def mean_confidence(self) -> float:
        """How sure the answers are on average, 0..1."""
        return float(self.probabilities.max(1).mean())

    @property
    def calibration_error(self) -> float:
        """The expected calibration error, 0..1."""
        return expected_calibration_error(*self._sure_and_right)

    @property
    def likelihood(self) -> float:
        """The negative log-likelihood of the true classes, 0 or more."""
        return negative_log_likelihood(self.probabilities, [item.label for item in self.outcomes])

    @property
    def brier(self) -> float:
        """The Brier score, 0..2."""
        return brier_score(self.probabilities, [item.label for item in self.outcomes])

    @property
    def reliability(self) -> list[Bin]:
        """Accuracy by confidence."""
        return reliability(*self._sure_and_right)

    @property
    def rejection(self) -> RejectionCurve:
        """Accuracy when only the surest answers are given."""
        return rejection_curve(*self._sure_and_right)

    @property
    def rejection_points(self) -> list[dict[str, float]]:
        """That curve at ``ANSWERED``: the share answered, the accuracy of that part, the least confidence in it."""
        curve = self.rejection
        return [dict(zip(("answered", "accuracy", "confidence"), curve.at(share), strict=True)) for share in ANSWERED]

    @property
    def _sure_and_right(self) -> tuple[list[float], list[bool]]:
        return self.probabilities.max(1).tolist(), [not item.wrong for item in self.outcomes]

    def worst(self, count: int = 24) -> list[Outcome]:
        """The wrong answers given with most confidence, worst first; each photo once."""
        wrong: dict[str, Outcome] = {}
        for item in sorted((item for item in self.outcomes if item.wrong), key=lambda item: -item.confidence):
            wrong.setdefault(item.photo, item)
        return list(wrong.values())[:count]

    def worth(self) -> str:
        """How much the numbers say about photos to come, in a sentence or two."""
        if self.by_folds:
            return "Each photo was answered by a last layer that had not learned from it."
        if self.held_back:
            return "These photos were held back while it was trained."
        if not self.same_set:
            return "This is another photo set than the one it was trained on, unless the two share photos."
        these = "these very photos" if self.split == "train" else "most of these photos"
        return f"It has learnt from {these}: expect less of it on new ones."

    def to_dict(self) -> dict[str, Any]:
        """The numbers and the worst mistakes, ready for JSON."""
        return {
            "checkpoint": self.checkpoint,
            "source": self.source,
            "digest": self.digest,
            "trained_on_this_set": self.same_set,
            "unreadable": len(self.unreadable),
            "split": self.split,
            "augmented_views": self.views,
            "photos": len(self.outcomes),
            "accuracy": self.accuracy,
            "accuracy_interval_95": list(self.interval),
            "standard_error": standard_error(self.accuracy, self.photos),
            "expected_calibration_error": self.calibration_error,
            "negative_log_likelihood": self.likelihood,
            "brier_score": self.brier,
            "classes": list(self.classes),
            "per_class": [asdict(row) for row in self.per_class],
            "confusion": self.confusion.tolist(),
            "reliability": [asdict(row) for row in self.reliability],
            "rejection": {"area": self.rejection.area, "points": self.rejection_points},
            "worst": [asdict(item) for item in self.worst()],
        }


def evaluate(
    classifier: "Classifier",
    dataset: PhotoDataset,
    split: str = "val",
    *,
    source: str | None = None,
    split_of: "Checkpoint | None" = None,
    views: int = 0,
    workers: int = 4,
    progress: Callable[[int, int], None] | None = None,
) -> Evaluation:
    """Answer every photo of a split and compare. The split is the one that ``split_of`` was trained with, by default
    the classifier's own checkpoint.

    ``views`` > 0 scores that many augmented views of each photo instead of the clean one: the way the report's own
    code did it. ``source`` is what the answer calls the photo set (its folder's name); ``progress`` gets (answers
    given, answers in all).

    Raises CheckpointError when the checkpoint does not know one of the photo set's classes or does not answer in
    numbers, DataError when the set is too small for that split, DecodeError when a photo has become unreadable.
    """
    from flowers.data.loader import PhotoLoader, batches_of
    from flowers.recipe import Recipe

    relabel = _relabel(classifier, dataset)
    recipe = Recipe.from_dict(classifier.checkpoint.recipe)
    indices = _indices(dataset, split, split_of or classifier.checkpoint)
    batches = batches_of(indices, BATCH, least=1)
    same_set = classifier.checkpoint.photos.get("digest") == dataset.digest
    folded = read_out_of_fold(classifier.checkpoint.folder) if same_set and split == "val" and not views else None
    loader = PhotoLoader(dataset, classifier.preprocessing, workers)

    def pictures() -> Iterator:
        if not views:
            yield from loader.clean(batches)
        if views > 1:  # or each photo is needed only once
            loader.prepare(indices)
        for view in range(views):
            yield from loader.augmented(batches, recipe, epoch=recipe.epochs + view)

    def answers() -> Iterator[np.ndarray]:
        if folded:
            marks = marks_of([dataset.photos[index].sha256 for index in indices])
            yield classifier.calibration.confidences(folded.scores_of(marks))
        else:
            yield from (classifier.confidences(pixels).numpy() for pixels, _ in pictures())

    outcomes: list[Outcome] = []
    probabilities: list[np.ndarray] = []
    total = len(indices) * max(1, views)
    try:
        for batch in answers():
            probabilities.append(batch)
            check_numbers(batch, classifier.checkpoint)
            for confidences in batch:
                photo = dataset.photos[indices[len(outcomes) % len(indices)]]
                predicted, label = int(confidences.argmax()), relabel[photo.label]
                outcomes.append(
                    Outcome(photo.path, label, predicted, float(confidences[predicted]), float(confidences[label]))
                )
            if progress:
                progress(len(outcomes), total)
    finally:
        loader.close()
    judged = np.concatenate(probabilities)
    fitted = np.array([mark(dataset.photos[index].sha256) in classifier.calibration.fitted_by for index in indices])
    if not views and fitted.sum() >= FOLDS:
        labels = np.array([item.label for item in outcomes])[fitted]
        judged[fitted] = cross_fitted(np.log(np.maximum(judged[fitted], TINY)), labels)
    by_folds, learned_from_all = folded is not None, classifier.checkpoint.folds > 0
    held_out = same_set and split == "val" and _is_part(indices, dataset, classifier.checkpoint)
    return Evaluation(
        checkpoint=classifier.checkpoint.name,
        source=source or dataset.root.name,
        root=dataset.root,
        digest=dataset.digest,
        same_set=same_set,
        held_back=by_folds or (not learned_from_all and (bool(fitted.all()) or held_out)),
        by_folds=by_folds,
        unreadable=dataset.unreadable,
        split=split,
        views=views,
        classes=classifier.classes,
        outcomes=tuple(outcomes),
        probabilities=judged,
    )


def report_text(result: Evaluation) -> str:
    """The evaluation as a table for a terminal."""
    width = max(len("class"), *(len(name) for name in result.classes))
    what = f"{result.views} augmented views each" if result.views else "clean"
    low, high = result.interval
    error = standard_error(result.accuracy, result.photos)
    lines = [
        f"{result.checkpoint} on {result.photos} photos ({result.split}, {what})",
        f"accuracy {result.accuracy:.2%} ± {error:.2%} (one standard error), 95% interval {low:.2%} to {high:.2%}",
        f"calibration: expected error {result.calibration_error:.2%}, negative log-likelihood {result.likelihood:.4f}, "
        f"Brier score {result.brier:.4f}",
        "",
        f"{'class':<{width}}  photos  precision  recall      f1",
    ]
    for row in result.per_class:
        if not row.photos:
            lines.append(f"{row.name:<{width}}  {0:>6}  {'–':>9}  {'–':>6}  {'–':>6}")
            continue
        lines.append(f"{row.name:<{width}}  {row.photos:>6}  {row.precision:>9.2%}  {row.recall:>6.2%}  {row.f1:>6.2%}")
    if result.absent:
        lines += [
            "",
            f"There are no photos here of {_listed(result.absent)}: nothing is said of how well it knows them.",
        ]
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
        which = f"class {unknown[0]}" if len(unknown) == 1 else f"classes {_listed(unknown)}"
        raise CheckpointError(
            f"The checkpoint {classifier.checkpoint.name} does not know the {which}: it knows "
            f"{_listed(classifier.classes)}; choose photos of these classes, or another checkpoint."
        )
    return [classifier.classes.index(name) for name in dataset.classes]


def _listed(names: Sequence[str]) -> str:
    more = f" and {len(names) - NAMED} more" if len(names) > NAMED else ""
    return ", ".join(names[:NAMED]) + more


def _is_part(indices: Sequence[int], dataset: PhotoDataset, checkpoint: "Checkpoint") -> bool:
    """Whether all of these photos are among those that were held back while it was trained."""
    return set(indices) <= set(_indices(dataset, "val", checkpoint))


def _indices(dataset: PhotoDataset, split: str, checkpoint: "Checkpoint") -> tuple[int, ...]:
    from flowers.recipe import Recipe

    if split == "all" or checkpoint.folds:
        return tuple(range(len(dataset)))
    recipe = Recipe.from_dict(checkpoint.recipe)
    parts = dataset.split(recipe.split_seed, recipe.val_fraction)
    return parts.val if split == "val" else parts.train
