"""What a checkpoint gets right, class by class, and what its confidences are worth.

Checked against scikit-learn and scipy in the tests. ``confidences`` are those of the answers given, (N,) in 0..1;
``right``, (N,), says which of these answers are right; ``probabilities``, (N, classes), are those of all classes.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike

BINS = 15  # of confidence, as in Guo et al. 2017
NORMAL_95 = 1.959963984540054  # 95 % of a normal distribution lie within so many standard deviations of its mean


@dataclass(frozen=True)
class ClassMetrics:
    """How one class fares. A share whose denominator is zero is 0."""

    name: str
    photos: int  # that truly are of the class
    precision: float  # of the photos called so, the share that is
    recall: float  # of the photos that are, the share called so
    f1: float  # harmonic mean of the two


@dataclass(frozen=True)
class Bin:
    """The answers whose confidence lies in (low, high]; in the first bin also a confidence of 0."""

    low: float
    high: float
    photos: int
    confidence: float  # mean, 0..1; 0 where there are no photos
    accuracy: float  # share of right answers, 0..1; 0 where there are no photos


@dataclass(frozen=True)
class RejectionCurve:
    """How good the answers are when only the surest are given, from the fewest to all of them.

    Answers of one confidence are given or withheld together, since no threshold tells them apart.
    """

    answered: np.ndarray  # float64 (points,), rising to 1: the share of photos answered
    accuracy: np.ndarray  # float64 (points,), 0..1: of those
    threshold: np.ndarray  # float64 (points,), falling: the least confidence among them

    @property
    def area(self) -> float:
        """Mean accuracy over all shares answered, 0..1: one minus the area under Geifman and El-Yaniv's
        risk-coverage curve (2017). 0 when there are no answers."""
        return float((np.diff(self.answered, prepend=0) * self.accuracy).sum())

    def at(self, share: float) -> tuple[float, float, float]:
        """(answered, accuracy, threshold) at the first point that answers at least ``share`` of the photos.

        There must be answers.
        """
        point = min(int(np.searchsorted(self.answered, share - 1e-9)), len(self.answered) - 1)
        return float(self.answered[point]), float(self.accuracy[point]), float(self.threshold[point])

    def when(self, confidence: float) -> tuple[float, float]:
        """(answered, accuracy) when only answers of at least ``confidence``, 0..1, are given; (0, 0) when none is."""
        given = int(np.searchsorted(-self.threshold, -confidence, side="right"))
        return (float(self.answered[given - 1]), float(self.accuracy[given - 1])) if given else (0.0, 0.0)


def confusion_matrix(labels: Sequence[int], predicted: Sequence[int], classes: int) -> np.ndarray:
    """int64 (classes, classes): row is the true class, column the predicted one."""
    matrix = np.zeros((classes, classes), dtype=np.int64)
    np.add.at(matrix, (np.asarray(labels, dtype=np.int64), np.asarray(predicted, dtype=np.int64)), 1)
    return matrix


def accuracy(confusion: np.ndarray) -> float:
    """The share of photos on the diagonal, 0..1; 0 when there are none."""
    return _share(np.trace(confusion), confusion.sum())


def class_metrics(confusion: np.ndarray, classes: Sequence[str]) -> list[ClassMetrics]:
    """Precision, recall and F1 of every class, in the order of ``classes``."""
    rows = []
    for i, name in enumerate(classes):
        right, is_so, called_so = confusion[i, i], confusion[i].sum(), confusion[:, i].sum()
        rows.append(
            ClassMetrics(
                name=name,
                photos=int(is_so),
                precision=_share(right, called_so),
                recall=_share(right, is_so),
                f1=_share(2 * right, is_so + called_so),
            )
        )
    return rows


def standard_error(share: float, n: int) -> float:
    """Standard error of a share measured on ``n`` photos (binomial), 0..0.5."""
    return float(np.sqrt(share * (1 - share) / n)) if n else 0.0


def accuracy_interval(right: float, total: int) -> tuple[float, float]:
    """The 95 % confidence interval of a share of ``right`` among ``total`` photos (Wilson 1927), within 0..1.

    Unlike a standard error it stays meaningful near 0 and 1 and for few photos. Of no photos: 0 to 1.
    """
    if not total:
        return 0.0, 1.0
    share, squared = right / total, NORMAL_95**2
    middle = (share + squared / (2 * total)) / (1 + squared / total)
    half = NORMAL_95 / (1 + squared / total) * np.sqrt(share * (1 - share) / total + squared / (4 * total**2))
    # The share itself lies inside; rounding must not say otherwise.
    return float(max(0.0, min(middle - half, share))), float(min(1.0, max(middle + half, share)))


def reliability(confidences: ArrayLike, right: ArrayLike, bins: int = BINS) -> list[Bin]:
    """The answers by confidence, in ``bins`` bins of equal width over 0..1: what a reliability diagram shows."""
    confidences, right = np.asarray(confidences, dtype=np.float64), np.asarray(right, dtype=np.float64)
    edges = np.linspace(0, 1, bins + 1)
    place = np.searchsorted(edges[1:-1], confidences)
    photos = np.bincount(place, minlength=bins)
    sums = (np.bincount(place, weights=values, minlength=bins) for values in (confidences, right))
    rows = zip(edges[:-1], edges[1:], photos, *sums, strict=True)
    return [Bin(float(low), float(high), int(n), _share(sure, n), _share(hit, n)) for low, high, n, sure, hit in rows]


def expected_calibration_error(confidences: ArrayLike, right: ArrayLike, bins: int = BINS) -> float:
    """Mean distance of confidence and accuracy, bin by bin, weighted by photos, 0..1 (Guo et al. 2017, equation 5).

    It grows with fewer photos and more bins even for honest confidences, because each bin's accuracy then varies more.
    """
    rows = reliability(confidences, right, bins)
    return _share(sum(row.photos * abs(row.confidence - row.accuracy) for row in rows), sum(row.photos for row in rows))


def negative_log_likelihood(probabilities: ArrayLike, labels: ArrayLike) -> float:
    """Mean of -ln(probability of the true class), 0 or more; a sure mistake costs most.

    A probability below the smallest float32, 0 among them, counts as that: 87.3 for one photo at most.
    """
    probabilities, labels = np.asarray(probabilities, dtype=np.float64), np.asarray(labels, dtype=np.int64)
    if not len(labels):
        return 0.0
    true = probabilities[np.arange(len(labels)), labels]
    return float(-np.log(np.clip(true, np.finfo(np.float32).tiny, 1)).mean())


def brier_score(probabilities: ArrayLike, labels: ArrayLike) -> float:
    """Mean squared distance of the probabilities from the truth, 0..2 (Brier 1950).

    The multi-class definition: for one photo the sum over the classes of (probability - truth)², where the truth is 1
    for the true class and 0 for the others.
    """
    probabilities, labels = np.asarray(probabilities, dtype=np.float64), np.asarray(labels, dtype=np.int64)
    if not len(labels):
        return 0.0
    truth = np.eye(probabilities.shape[1])[labels]
    return float(((probabilities - truth) ** 2).sum(1).mean())


def rejection_curve(confidences: ArrayLike, right: ArrayLike) -> RejectionCurve:
    """The accuracy of the answered part against the part answered, the surest answers first."""
    confidences, right = np.asarray(confidences, dtype=np.float64), np.asarray(right, dtype=np.float64)
    order = np.argsort(-confidences, kind="stable")
    confidences, given = confidences[order], np.arange(1, len(order) + 1)
    accuracies = np.cumsum(right[order]) / given
    last = np.append(confidences[1:] != confidences[:-1], True)[: len(order)]  # of each confidence
    return RejectionCurve(given[last] / max(1, len(order)), accuracies[last], confidences[last])


def mcnemar(only_first: int, only_second: int) -> float:
    """The p-value, 0..1, of McNemar's exact test (1947): how often photos on which two networks differ would be shared
    out at least so unevenly if each of these were as likely to go to one as to the other.

    Args:
        only_first: photos that only the first network answers rightly.
        only_second: photos that only the second does.
    """
    differ = only_first + only_second
    ways, tail = 1, 0  # of choosing so many among those that differ, and their sum; exact, however large
    for fewer in range(min(only_first, only_second) + 1):
        tail += ways
        ways = ways * (differ - fewer) // (fewer + 1)
    return min(1.0, 2 * tail / 2**differ)


def _share(part: float, whole: float) -> float:
    return float(part / whole) if whole else 0.0
