"""The scores that novelty.py compares, each fitted to what a network learned from; higher for what is known."""

from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import partial

import numpy as np

from flowers.evaluation.calibration import BANK_BYTES, ENERGY_SHARE, LEARNED, Seen, fit_neighbours
from flowers.models.calibration import Calibration, Neighbours, directions
from flowers.models.calibration import energy as log_sum_exp


@dataclass(frozen=True)
class Learned:
    """What there is to fit a score to: photos learned from, photos held back, and the last layer."""

    seen: Seen
    held_back: Seen
    weight: np.ndarray  # float32 (classes, F)
    bias: np.ndarray  # float32 (classes,)


Score = Callable[[Seen], np.ndarray]  # float (N,)


def maximum_softmax(learned: Learned) -> Score:
    """The confidence itself (Hendrycks and Gimpel 2017, arXiv 1610.02136)."""
    return lambda photos: Calibration().confidences(photos.scores).max(1)


def energy(learned: Learned) -> Score:
    """The logarithm of the summed exponentials of the class scores (Liu et al. 2020, arXiv 2010.03759)."""
    return lambda photos: log_sum_exp(photos.scores)


def nearest(number: int, power: float = 1.0) -> Callable[[Learned], Score]:
    """Cosine to the so-manieth nearest of all photos learned from (Sun et al. 2022, arXiv 2204.06507), of the features
    to that power.
    """

    def fitted(learned: Learned) -> Score:
        neighbours = Neighbours(directions(learned.seen.features, power), number, np.zeros(0), power=power)
        return lambda photos: neighbours.similarity(photos.features)

    return fitted


def added(learned: Learned) -> Score:
    """Cosine to the nearest plus energy, each divided by its deviation over the photos held back."""
    parts = [score(learned) for score in (nearest(1), energy)]
    deviations = [part(learned.held_back).std() for part in parts]
    return lambda photos: sum(part(photos) / deviation for part, deviation in zip(parts, deviations, strict=True))


def roots(learned: Learned) -> Score:
    """Cosine to the nearest, of the features' fourth roots where most are zero and none is negative."""
    neighbours = fit_neighbours(learned.seen.features, learned.held_back)
    return lambda photos: neighbours.similarity(photos.features)


def weighed(learned: Learned, share: float = ENERGY_SHARE) -> Score:
    """The same plus the energy beside what is usual for the answer, which varies ``share`` times as much."""
    neighbours = fit_neighbours(learned.seen.features, learned.held_back)
    neighbours = replace(neighbours, energy_weight=neighbours.energy_weight * share / ENERGY_SHARE)
    return lambda photos: neighbours.likeness(photos.features, photos.scores)


def shipped(learned: Learned) -> Score:
    """What ``calibrate`` puts into a checkpoint: the same with a bank of about a megabyte."""
    order = np.argsort(learned.seen.labels, kind="stable")
    most = min(LEARNED, BANK_BYTES // learned.seen.features.shape[1], len(order))
    few = learned.seen.part(order[np.linspace(0, len(order) - 1, most).round().astype(int)])
    return weighed(replace(learned, seen=few))


def vim(learned: Learned) -> Score:
    """Energy less what of the features lies outside their principal space (Wang et al. 2022, arXiv 2203.10807)."""
    origin = -np.linalg.pinv(learned.weight) @ learned.bias
    features = learned.seen.features - origin
    size = features.shape[1]
    principal = 1000 if size >= 2048 else 512 if size >= 768 else size // 2  # as its authors have it
    _, axes = np.linalg.eigh(features.T @ features / len(features))  # ascending
    outside = axes[:, : size - principal]
    scale = learned.seen.scores.max(1).mean() / np.linalg.norm(features @ outside, axis=1).mean()
    return lambda photos: (
        log_sum_exp(photos.scores) - scale * np.linalg.norm((photos.features - origin) @ outside, axis=1)
    )


def mahalanobis(learned: Learned) -> Score:
    """Distance to the nearest class's mean, all classes of one covariance (Lee et al. 2018, arXiv 1807.03888)."""
    means, inverse = gaussians(learned.seen.features, learned.seen.labels)
    return lambda photos: -distances(photos.features, means, inverse).min(1)


def relative_mahalanobis(learned: Learned) -> Score:
    """The same less the distance to the mean of all (Ren et al. 2021, arXiv 2106.09022)."""
    means, inverse = gaussians(learned.seen.features, learned.seen.labels)
    mean, spread_out = gaussians(learned.seen.features, np.zeros_like(learned.seen.labels))
    return lambda photos: (
        distances(photos.features, mean, spread_out)[:, 0] - distances(photos.features, means, inverse).min(1)
    )


def gaussians(features: np.ndarray, labels: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Means by class, (classes, F), and the inverse of the covariance about them, (F, F)."""
    means = np.stack([features[labels == label].mean(0) for label in np.unique(labels)])
    about = features - means[np.searchsorted(np.unique(labels), labels)]
    return means, np.linalg.pinv(about.T @ about / len(features), hermitian=True)


def distances(features: np.ndarray, means: np.ndarray, inverse: np.ndarray) -> np.ndarray:
    """Squared Mahalanobis distances, (N, classes)."""
    apart = features[:, None] - means
    return np.einsum("ncf,fg,ncg->nc", apart, inverse, apart, optimize=True)


SCORES: dict[str, tuple[str, Callable[[Learned], Score]]] = {
    "softmax": ("maximum softmax", maximum_softmax),
    "energy": ("energy", energy),
    "knn1": ("kNN, nearest", nearest(1)),
    "knn10": ("kNN, 10th", nearest(10)),
    "knn50": ("kNN, 50th", nearest(50)),
    "square": ("kNN, nearest, square roots", nearest(1, 0.5)),
    "roots": ("kNN, nearest, fourth roots", roots),
    "added": ("kNN, nearest + energy", added),
    "quarter": ("kNN, nearest, fourth roots + ¼ energy by answer", partial(weighed, share=0.25)),
    "weighed": ("kNN, nearest, fourth roots + ½ energy by answer", weighed),
    "whole": ("kNN, nearest, fourth roots + energy by answer", partial(weighed, share=1)),
    "vim": ("ViM", vim),
    "mahalanobis": ("Mahalanobis", mahalanobis),
    "relative": ("relative Mahalanobis", relative_mahalanobis),
    "shipped": ("**shipped**", shipped),
}
