"""What a checkpoint gets right, class by class. Checked against scikit-learn in the tests."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np


@dataclass(frozen=True)
class ClassMetrics:
    """How one class fares. A share whose denominator is zero is 0."""

    name: str
    photos: int  # that truly are of the class
    precision: float  # of the photos called so, the share that is
    recall: float  # of the photos that are, the share called so
    f1: float  # harmonic mean of the two


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


def _share(part: float, whole: float) -> float:
    return float(part / whole) if whole else 0.0
