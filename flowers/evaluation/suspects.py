"""Which labels are probably wrong, by confident learning: Northcutt, Jiang and Chuang 2021, arXiv 1911.00068.

A network is seldom as sure of roses as of daisies, so each class gets a threshold of its own: the mean confidence in
it over the photos that carry its label. A photo that passes the threshold of another class than its own is counted as
one of that class. Checked against cleanlab in the tests.
"""

import numpy as np

from flowers.data.dataset import PhotoDataset
from flowers.data.doctor import Suspect


def find_suspects(dataset: PhotoDataset, confidences: np.ndarray) -> tuple[Suspect, ...]:
    """The photos whose label is probably wrong, the most suspicious first.

    ``confidences``: float (photos, classes), of a network that was not told the photo's label; rows sum to 1.
    """
    labels = np.array([photo.label for photo in dataset.photos])
    suggestions = confident_suggestions(labels, confidences)
    order = np.argsort(margins(labels, confidences), kind="stable")
    return tuple(
        Suspect(
            photo=dataset.photos[i].path,
            label=dataset.classes[labels[i]],
            suggestion=dataset.classes[suggestions[i]],
            confidence=float(confidences[i, suggestions[i]]),
            confidence_in_label=float(confidences[i, labels[i]]),
        )
        for i in order
        if suggestions[i] != labels[i]
    )


def confident_suggestions(labels: np.ndarray, confidences: np.ndarray) -> np.ndarray:
    """For each photo the class that it is confidently counted as, int64 (N,): its own label where there is no other.

    Of several classes whose threshold it passes, the most likely. Where the label itself is the most likely class of
    all, there is no complaint.
    """
    of_label = confidences[np.arange(len(labels)), labels]
    counts = np.bincount(labels, minlength=confidences.shape[1])
    sums = np.bincount(labels, weights=of_label, minlength=confidences.shape[1])
    thresholds = np.where(counts > 0, sums / np.maximum(counts, 1), np.inf)
    confident = confidences >= thresholds - 1e-6  # where all photos of a class are alike they are at its mean, rounded
    best = np.where(confident, confidences, -1.0).argmax(1)
    content = ~confident.any(1) | (confidences.argmax(1) == labels)
    return np.where(content, labels, best)


def margins(labels: np.ndarray, confidences: np.ndarray) -> np.ndarray:
    """Confidence in the label less that in the best other class, float (N,), -1..1: the lower, the more suspicious."""
    others = confidences.astype(np.float64)
    rows = np.arange(len(labels))
    of_label = others[rows, labels]
    others[rows, labels] = -np.inf
    return of_label - others.max(1)
