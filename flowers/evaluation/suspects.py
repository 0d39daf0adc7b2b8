"""Which labels are probably wrong, by confident learning: Northcutt, Jiang and Chuang 2021, arXiv 1911.00068.

A network is seldom as sure of roses as of daisies, so each class gets a threshold of its own: the mean confidence in
it over the photos that carry its label. A photo that passes the threshold of another class than its own is confidently
counted as one of that class. Checked against cleanlab in the tests.
"""

import numpy as np

from flowers.data.dataset import PhotoDataset
from flowers.data.doctor import Suspect


def find_suspects(dataset: PhotoDataset, confidences: np.ndarray) -> tuple[Suspect, ...]:
    """The photos that look more like another class than their own, the most suspicious first.

    ``confidences``: float (photos, classes), of a network that was not told the photo's label; rows sum to 1.
    """
    labels = np.array([photo.label for photo in dataset.photos])
    likeliest, confident = confidences.argmax(1), confidently_wrong(labels, confidences)
    return tuple(
        Suspect(
            photo=dataset.photos[i].path,
            label=dataset.classes[labels[i]],
            suggestion=dataset.classes[likeliest[i]],
            confidence=float(confidences[i, likeliest[i]]),
            confidence_in_label=float(confidences[i, labels[i]]),
            confident=bool(confident[i]),
        )
        for i in np.argsort(margins(labels, confidences), kind="stable")
        if likeliest[i] != labels[i]
    )


def confidently_wrong(labels: np.ndarray, confidences: np.ndarray) -> np.ndarray:
    """bool (N,): the photos counted as another class, the likeliest of those whose thresholds they pass.

    Where the label itself is the likeliest class of all, there is no complaint.
    """
    of_label = confidences[np.arange(len(labels)), labels]
    counts = np.bincount(labels, minlength=confidences.shape[1])
    sums = np.bincount(labels, weights=of_label, minlength=confidences.shape[1])
    thresholds = np.where(counts > 0, sums / np.maximum(counts, 1), np.inf)
    passes = confidences >= thresholds - 1e-6  # where all photos of a class are alike they are at its mean, rounded
    counted_as = np.where(passes, confidences, -1.0).argmax(1)
    return passes.any(1) & (counted_as != labels) & (confidences.argmax(1) != labels)


def margins(labels: np.ndarray, confidences: np.ndarray) -> np.ndarray:
    """Confidence in the label less that in the best other class, float (N,), -1..1: the lower, the more suspicious."""
    others = confidences.astype(np.float64)
    rows = np.arange(len(labels))
    of_label = others[rows, labels]
    others[rows, labels] = -np.inf
    return of_label - others.max(1)
