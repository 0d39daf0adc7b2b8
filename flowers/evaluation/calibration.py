"""Teach a checkpoint how sure it may be, and which photos are none of its classes.

The temperature (Guo et al. 2017, arXiv 1706.04599) is fitted to the photos held back. What is none of the classes has
no near neighbour among the photos learned from (Sun et al. 2022, arXiv 2204.06507), or speaks for no class as strongly
as they do (Liu et al. 2020, arXiv 2010.03759): both count, each measured by how much it varies among the photos held
back, and the limit is where nineteen in twenty of these are taken for known. benchmarks/novelty.md compares other ways,
and the constants POWER and ENERGY_SHARE were chosen by it.
"""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from flowers.data.dataset import PhotoDataset
from flowers.data.preprocess import Preprocessing
from flowers.errors import CheckpointError, DataError, UsageError
from flowers.evaluation.metrics import brier_score, expected_calibration_error, negative_log_likelihood
from flowers.inference import Network, open_network, preparation
from flowers.models.calibration import (
    UNFAMILIAR,
    Calibration,
    Neighbours,
    directions,
    energy,
    in_bytes,
    mark,
    write_calibration,
)
from flowers.models.checkpoint import Checkpoint
from flowers.models.out_of_fold import OutOfFold, read_out_of_fold

BATCH = 16
LEAST = 20  # photos held back: fewer tell nothing
HELD_BACK = 2000  # photos held back that are looked at, at most
LEARNED = 1000  # and of those learned from
BANK_BYTES = 1_300_000  # of features kept, a byte a number: 1,015 photos of an EfficientNet-Lite's 1,280
POWER = 0.25  # of features that are compared, where most are zero and none is negative: see kNN's roots in novelty.md
ENERGY_SHARE = 0.5  # how much the energy counts beside the nearest neighbour
FEW = 10  # photos that get an answer: of fewer, their usual energy is chance
PER_CLASS = 2  # photos learned from: with fewer of each class, what is none of them cannot be told
QUANTILES = 101
ROUNDING = 1e-6  # of float32, relative
FOLDS = 5
TEMPERATURES = (0.1, 10.0)  # where every photo is answered rightly, 0 would fit best


@dataclass(frozen=True)
class Seen:
    """What a network makes of some photos."""

    scores: np.ndarray  # float32 (N, classes)
    features: np.ndarray  # float32 (N, F)
    labels: np.ndarray  # int64 (N,)
    # float32 (N,), to their nearest neighbour among photos learned from, where that is not to be asked for: see
    # ``calibrate_by_folds``.
    similarity: np.ndarray | None = None

    @property
    def right(self) -> np.ndarray:
        """Which photos it names rightly, bool (N,)."""
        return self.scores.argmax(1) == self.labels

    def part(self, which: np.ndarray) -> "Seen":
        """Some of the photos, by numbers or bool (N,)."""
        similarity = None if self.similarity is None else self.similarity[which]
        return Seen(self.scores[which], self.features[which], self.labels[which], similarity)


def calibrate(
    checkpoint: Checkpoint,
    dataset: PhotoDataset,
    *,
    learned: int = LEARNED,
    held_back: int = HELD_BACK,
    workers: int = 4,
    progress: Callable[[int, int], None] | None = None,
) -> Calibration:
    """Fit a saved checkpoint's calibration and write it into its folder.

    Of a checkpoint that was judged by folds, by these, and no photo is looked at. Else the split is the one the
    checkpoint was trained with. At most ``learned`` of the photos it learned from and ``held_back`` of the others are
    looked at, evenly from all classes: it costs what answering them costs. ``progress`` gets (photos looked at, in
    all).

    Raises CheckpointError when the photos are not of the checkpoint's classes, or it does not answer in numbers,
    UsageError when they are not those it was trained on, DataError when fewer than LEAST are held back, DecodeError
    when one has become unreadable; the checkpoint is then as it was.
    """
    from flowers.recipe import Recipe

    _check_photos(checkpoint, dataset)
    if folded := read_out_of_fold(checkpoint.folder):
        calibration = calibrate_by_folds(folded)
        write_calibration(checkpoint, calibration)
        return calibration
    if checkpoint.folds:
        raise UsageError(
            f"{checkpoint.name} learned from all of its photos, and was calibrated by folds when it was trained: it "
            "stays as it is."
        )
    recipe = Recipe.from_dict(checkpoint.recipe)
    split = dataset.split(recipe.split_seed, recipe.val_fraction)
    if len(split.val) < LEAST:
        raise DataError(
            f"Only {len(split.val)} photos are held back, and {checkpoint.name} cannot be calibrated with fewer than "
            f"{LEAST}: it is left as it is."
        )
    preprocessing = preparation(checkpoint)
    network = open_network(checkpoint, preprocessing)
    size = _feature_count(network, preprocessing)
    parts = [
        spread(dataset, split.val, held_back),
        spread(dataset, split.train, min(learned, BANK_BYTES // size)),
    ]
    relabel = [checkpoint.classes.index(name) for name in dataset.classes]
    val, train = look(network, preprocessing, dataset, parts, relabel, workers, progress)
    for seen in (val, train):
        check_numbers(seen.scores, checkpoint)
        check_numbers(seen.features, checkpoint)
    marks = frozenset(mark(dataset.photos[index].sha256) for index in parts[0])
    calibration = replace(fit(val, train.features), fitted_by=marks)
    write_calibration(checkpoint, calibration)
    return calibration


def calibrate_by_folds(folded: OutOfFold) -> Calibration:
    """The calibration of a checkpoint that learned from all photos, where each is asked as if it were new.

    It is as like those learned from as it is like the photos of other folds. The temperature stays 1: the
    last layer has its own, see training/last_layer.py.
    """
    features, folds = folded.features.astype(np.float32), folded.folds[folded.featured]
    kept = evenly(len(features), BANK_BYTES // features.shape[1])
    bank = fit_bank(features[kept])
    similarity = np.empty(len(features), np.float32)
    for fold in np.unique(folds):
        others = replace(bank, bank=bank.bank[folds[kept] != fold])
        similarity[folds == fold] = others.similarity(features[folds == fold])
    seen = Seen(folded.scores[folded.featured], features, folded.labels[folded.featured], similarity)
    enough = len(features) >= PER_CLASS * folded.scores.shape[1]
    neighbours = _scaled(bank, seen) if enough else None
    everyone = Seen(folded.scores, features, folded.labels)
    facts = {"folds": len(np.unique(folds)), **_measure_confidence(everyone, Calibration().confidences(folded.scores))}
    facts |= _measure_known(seen, neighbours) if neighbours else {}
    return Calibration(1.0, neighbours, facts)


def fit(val: Seen, learned: np.ndarray) -> Calibration:
    """The calibration that follows from the photos held back and the features of photos learned from, (M, F).

    Where those are fewer than PER_CLASS for each class, what is none of the classes cannot be told.

    Its ``facts`` tell how good it is on photos that did not fit it: each fifth of those held back is measured with what
    the other four fit.
    """
    enough = len(learned) >= PER_CLASS * val.scores.shape[1]
    neighbours = fit_neighbours(learned, val) if enough else None
    return Calibration(fit_temperature(val.scores, val.labels), neighbours, _measure(val, neighbours))


# The temperature


def fit_temperature(scores: np.ndarray, labels: np.ndarray) -> float:
    """The temperature with the least negative log-likelihood, within TEMPERATURES; ``scores`` (N, classes).

    The likelihood is concave in the inverse temperature, so its slope is followed by halving.
    """
    scores = scores.astype(np.float64) - scores.max(1, keepdims=True)
    own = scores[np.arange(len(labels)), labels]
    low, high = (1 / bound for bound in reversed(TEMPERATURES))
    for _ in range(50):
        middle = (low * high) ** 0.5
        shares = np.exp(middle * scores)
        expected = (shares * scores).sum(1) / shares.sum(1)
        low, high = (middle, high) if expected.mean() < own.mean() else (low, middle)
    return 1 / low


def cross_fitted(scores: np.ndarray, labels: np.ndarray) -> np.ndarray:
    """Class probabilities, float32 (N, classes), of each photo by a temperature that the other folds fit."""
    probabilities = np.empty_like(scores)
    for held, others in folds(labels):
        temperature = fit_temperature(scores[others], labels[others])
        probabilities[held] = Calibration(temperature).confidences(scores[held])
    return probabilities


def folds(labels: np.ndarray) -> Iterator[tuple[np.ndarray, np.ndarray]]:
    """FOLDS times (a fold, all others) as bool (N,): each class in equal parts, no chance involved."""
    fold = np.empty(len(labels), np.int64)
    fold[np.argsort(labels, kind="stable")] = np.arange(len(labels)) % FOLDS
    for number in range(FOLDS):
        yield fold == number, fold != number


# What is known


def fit_neighbours(learned: np.ndarray, held_back: Seen) -> Neighbours:
    """What familiarity is told by: a bank of features learned from, (M, F); the rest is fitted to photos held back."""
    return _scaled(fit_bank(learned), held_back)


def fit_bank(learned: np.ndarray) -> Neighbours:
    """The bank of features learned from, (M, F), alone. It is the nearest neighbour that counts."""
    # Where a photo has few features of many, as in an EfficientNet-Lite, a weak one tells that something is there, if
    # little of it. Where it has a little of all, as in a ResNet, that tells nothing; and about zero it is noise, which
    # a root would make louder.
    power = POWER if learned.min() >= 0 and np.median(learned) == 0 else 1.0
    bank = directions(in_bytes(directions(learned, power)).astype(np.float32))  # as it is kept
    return Neighbours(bank, 1, np.zeros(0), power=power)


def _scaled(neighbours: Neighbours, held_back: Seen) -> Neighbours:
    """The same bank with the weight and the scale that photos held back give it."""
    measured = replace(neighbours, usual_energy=usual_energy(held_back.scores))
    similarity = held_back.similarity
    similarity = measured.similarity(held_back.features) if similarity is None else similarity
    strength = measured.strength(held_back.scores)
    # As in a sum of standard scores; what those subtract, and their common factor, would move no quantile. Where all
    # energies are the same but for rounding, they tell nothing.
    told = strength.std() > ROUNDING * np.abs(energy(held_back.scores)).max()
    weighed = replace(measured, energy_weight=ENERGY_SHARE * float(similarity.std() / strength.std()) if told else 0.0)
    likeness = weighed.likeness(held_back.features, held_back.scores, similarity)
    return replace(weighed, scale=np.quantile(likeness, np.linspace(0, 1, QUANTILES)))


def usual_energy(scores: np.ndarray) -> np.ndarray:
    """The mean energy, float32 (classes,), of class scores (N, classes) by the answer they give.

    Of answers that fewer than FEW get, the mean of all.
    """
    energies, answers = energy(scores), scores.argmax(1)
    by_answer = [energies[answers == answer] for answer in range(scores.shape[1])]
    return np.array([(mine if len(mine) >= FEW else energies).mean() for mine in by_answer], dtype=np.float32)


def _measure(val: Seen, neighbours: Neighbours | None) -> dict[str, Any]:
    return {
        **_measure_confidence(val, cross_fitted(val.scores, val.labels)),
        **(_measure_known(val, neighbours) if neighbours else {}),
    }


def _measure_confidence(val: Seen, calibrated: np.ndarray) -> dict[str, Any]:
    def quality(probabilities: np.ndarray) -> dict[str, float]:
        return {
            "expected_calibration_error": expected_calibration_error(probabilities.max(1), val.right),
            "negative_log_likelihood": negative_log_likelihood(probabilities, val.labels),
            "brier_score": brier_score(probabilities, val.labels),
        }

    return {
        "photos_held_back": len(val.labels),
        "uncalibrated": quality(Calibration().confidences(val.scores)),
        "calibrated": quality(calibrated),
        "honest_calibration_error": honest_error(calibrated.max(1)),
        "accuracy": float(val.right.mean()),
    }


def _measure_known(val: Seen, neighbours: Neighbours) -> dict[str, Any]:
    known = np.empty(len(val.labels), bool)
    for held, others in folds(val.labels):
        mine, theirs = val.part(held), val.part(others)
        fitted = _scaled(neighbours, theirs)
        known[held] = fitted.familiarity(mine.features, mine.scores, mine.similarity) >= UNFAMILIAR
    return {
        "photos_learned_from": len(neighbours.bank),
        "known": float(known.mean()),
        "accuracy_of_known": float(val.right[known].mean()),
    }


def honest_error(confidences: np.ndarray, draws: int = 200) -> float:
    """The expected calibration error that answers of these confidences, (N,), show on average if each is right exactly
    as often as it says. It is not 0, since bins of few photos vary by chance: no network can be told to do better.
    """
    return float(honest_errors(confidences, draws).mean())


def honest_errors(confidences: np.ndarray, draws: int) -> np.ndarray:
    """The expected calibration errors, float64 (draws,), of as many draws of such answers."""
    worlds = np.random.default_rng(0).random((draws, len(confidences))) < confidences
    return np.array([expected_calibration_error(confidences, right) for right in worlds])


# Looking


def look(
    network: Network,
    preprocessing: Preprocessing,
    dataset: PhotoDataset,
    parts: Sequence[Sequence[int]],
    relabel: Sequence[int],
    workers: int = 4,
    progress: Callable[[int, int], None] | None = None,
) -> list[Seen]:
    """What the network makes of each part of the photos; ``relabel`` gives its class number for each of the set's."""
    from flowers.data.loader import PhotoLoader, batches_of

    loader = PhotoLoader(dataset, preprocessing, workers)
    done, total = 0, sum(map(len, parts))
    seen = []
    try:
        for indices in parts:
            rows = []
            for pixels, labels in loader.clean(batches_of(indices, BATCH, least=1)):
                rows.append((*network.look(pixels.numpy()), np.array(relabel)[labels.numpy()]))
                done += len(pixels)
                if progress:
                    progress(done, total)
            seen.append(Seen(*(np.concatenate(column) for column in zip(*rows, strict=True))))
    finally:
        loader.close()
    return seen


def spread(dataset: PhotoDataset, indices: Sequence[int], most: int) -> list[int]:
    """At most ``most`` of these photos, each class in its share, evenly spaced: no chance involved."""
    by_class = sorted(indices, key=lambda index: dataset.photos[index].label)
    return [by_class[place] for place in evenly(len(by_class), most)]


def evenly(count: int, most: int) -> np.ndarray:
    """At most ``most`` of ``count`` places, int64, evenly spaced."""
    return np.linspace(0, count - 1, min(most, count)).round().astype(int)


def report_text(checkpoint: Checkpoint, calibration: Calibration) -> str:
    """What calibrating came to, for a terminal."""
    facts = calibration.facts
    before, after = (facts[name] for name in ("uncalibrated", "calibrated"))
    lines = [
        f"{checkpoint.name}: temperature {calibration.temperature:.3f}, fitted to {facts['photos_held_back']} photos",
        "",
        f"{'on photos that did not fit it':<30}  as it was  calibrated",
    ]
    for name, title in (
        ("expected_calibration_error", "expected calibration error"),
        ("negative_log_likelihood", "negative log-likelihood"),
        ("brier_score", "Brier score"),
    ):
        shown = "{:>9.2%}  {:>10.2%}" if name == "expected_calibration_error" else "{:>9.4f}  {:>10.4f}"
        lines.append(f"{title:<30}  {shown.format(before[name], after[name])}")
    lines += [
        "",
        f"Perfectly honest confidences would show an error of {facts['honest_calibration_error']:.2%} on these.",
        f"It takes {facts['known']:.1%} of them for known and names {facts['accuracy_of_known']:.2%} of those rightly; "
        f"{facts['accuracy']:.2%} of all."
        if calibration.neighbours
        else "It has learned from too few photos of each class to tell what is none of them.",
    ]
    return "\n".join(lines)


def check_numbers(values: np.ndarray, checkpoint: Checkpoint) -> None:
    """Raises CheckpointError for answers that damaged weights, or training that went astray, give."""
    if not np.isfinite(values).all():
        raise CheckpointError(
            f"The checkpoint {checkpoint.name} answers with what are no numbers: its weights are damaged, or its "
            "training went astray; train it again, at a lower learning rate, or choose another."
        )


def _check_photos(checkpoint: Checkpoint, dataset: PhotoDataset) -> None:
    if set(dataset.classes) != set(checkpoint.classes):
        raise CheckpointError(
            f"The checkpoint {checkpoint.name} tells {', '.join(checkpoint.classes)} apart, and these photos show "
            f"{', '.join(dataset.classes)}: calibrate it with photos of its own classes."
        )
    if dataset.digest != checkpoint.photos.get("digest"):  # or nobody knows which of them it has learned from
        raise UsageError(
            f"{dataset.root.name} is not what {checkpoint.name} was trained on: give those very photos by --data."
        )


def _feature_count(network: Network, preprocessing: Preprocessing) -> int:
    blank = np.zeros((1, 3, preprocessing.size, preprocessing.size), np.uint8)
    return network.look(blank)[1].shape[1]
