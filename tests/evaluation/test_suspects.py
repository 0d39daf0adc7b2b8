"""Wrong labels stand out, as cleanlab also says."""

import random
from pathlib import Path

import numpy as np
import pytest
import torch
from cleanlab.filter import find_label_issues
from cleanlab.rank import get_label_quality_scores
from hypothesis import given
from hypothesis import strategies as st
from torch import nn

from flowers.data.dataset import Photo, PhotoDataset
from flowers.evaluation.suspects import confidently_wrong, find_suspects, margins
from flowers.training import folds

CLASSES = ("daisy", "rose", "tulip")


def planted(seed: int, wrong: int = 9, per_class: int = 60, spread: float = 1.0) -> tuple[torch.Tensor, ...]:
    """Clouds of points, the true class of each, and the labels, some of which are wrong."""
    rng = torch.Generator().manual_seed(seed)
    truth = torch.arange(len(CLASSES)).repeat_interleave(per_class)
    centres = 3 * torch.eye(len(CLASSES), 8)
    points = centres[truth] + spread * torch.randn(len(truth), 8, generator=rng)
    labels = truth.clone()
    chosen = torch.randperm(len(truth), generator=rng)[:wrong]
    labels[chosen] = (labels[chosen] + torch.randint(1, len(CLASSES), (wrong,), generator=rng)) % len(CLASSES)
    return points, truth, labels


def photo_set(labels: torch.Tensor) -> PhotoDataset:
    """One photo for each label, all of them different."""
    rng = random.Random(0)
    photos = [
        Photo(f"{CLASSES[label]}/{n}.jpg", label, f"{n}", f"{rng.getrandbits(128):032x}")
        for n, label in enumerate(labels.tolist())
    ]
    return PhotoDataset(Path("nowhere"), CLASSES, tuple(photos))


def opinion(points: torch.Tensor, labels: torch.Tensor) -> np.ndarray:
    return folds.predict(points, labels, folds.folds(photo_set(labels)), len(CLASSES))


@pytest.mark.parametrize("seed", range(3))
def test_planted_wrong_labels_come_first_with_the_right_suggestion(seed):
    points, truth, labels = planted(seed, spread=0.7)
    dataset = photo_set(labels)
    suspects = find_suspects(dataset, opinion(points, labels))
    wrong = {photo.path for photo, right in zip(dataset.photos, truth == labels, strict=True) if not right}
    first = suspects[: len(wrong)]
    assert {suspect.photo for suspect in first} == wrong
    assert sum(suspect.confident for suspect in first) > 0.6 * len(wrong)
    for suspect in first:
        number = int(suspect.photo.split("/")[1].removesuffix(".jpg"))
        assert suspect.label == CLASSES[labels[number]] == suspect.photo.split("/")[0]
        assert suspect.suggestion == CLASSES[truth[number]]
        assert suspect.confidence > 0.5 > suspect.confidence_in_label
    gaps = [suspect.confidence_in_label - suspect.confidence for suspect in suspects]
    assert gaps == sorted(gaps)


def test_one_who_has_learnt_the_labels_by_heart_suspects_none_of_them():
    """Why predictions must be out of fold."""
    points, _, labels = planted(0, per_class=10)
    features = torch.cat([points, 50 * torch.eye(len(labels))], 1)  # each photo can be told by a feature of its own
    head = nn.Linear(features.shape[1], len(CLASSES))
    folds.probe.fit(head, features, labels, 0.0)
    by_heart = head(features).softmax(1).detach().numpy()
    assert find_suspects(photo_set(labels), by_heart) == ()
    assert find_suspects(photo_set(labels), opinion(features, labels)) != ()


def test_the_numbers_of_a_worked_example():
    """Thresholds: 0.6 for class 0, (0.9 + 0.7 + 0.2) / 3 = 0.6 for class 1."""
    confidences = np.array([[0.6, 0.4], [0.1, 0.9], [0.3, 0.7], [0.8, 0.2]])
    labels = np.array([0, 1, 1, 1])
    assert confidently_wrong(labels, confidences).tolist() == [False, False, False, True]
    assert margins(labels, confidences) == pytest.approx([0.2, 0.8, 0.4, -0.6])
    confidences[3] = [0.59, 0.41]  # likelier to be of class 0, but less so than those that are
    assert not confidently_wrong(labels, confidences).any()


# cleanlab as the oracle


@pytest.mark.parametrize("seed", range(4))
def test_cleanlab_finds_the_same_in_the_same_order(seed):
    points, _, labels = planted(seed, wrong=15, spread=1.5)
    confidences = opinion(points, labels)
    expected = find_label_issues(
        labels.numpy(), confidences, filter_by="confident_learning", return_indices_ranked_by="normalized_margin"
    )
    suspects = [suspect for suspect in find_suspects(photo_set(labels), confidences) if suspect.confident]
    assert len(expected) >= 8
    assert [suspect.photo for suspect in suspects] == [f"{CLASSES[labels[i]]}/{i}.jpg" for i in expected]


@given(st.integers(2, 5), st.integers(0, 2**32 - 1), st.floats(0.1, 5))
def test_cleanlab_agrees_on_whatever_confidences(classes, seed, concentration):
    """But for photos whose likeliest class misses its threshold while two others pass theirs.

    Of such a photo the paper takes the likeliest of the classes that pass, cleanlab the likeliest of all.
    """
    rng = np.random.default_rng(seed)
    labels = np.concatenate([np.arange(classes), rng.integers(0, classes, 30)])
    confidences = rng.dirichlet(np.full(classes, concentration), len(labels))
    thresholds = np.array([confidences[labels == k, k].mean() for k in range(classes)])
    confident = confidences >= thresholds - 1e-6
    likeliest = confidences.argmax(1)
    odd = (confident.sum(1) > 1) & ~confident[np.arange(len(labels)), likeliest]
    ours = confidently_wrong(labels, confidences)
    theirs = find_label_issues(labels, confidences, filter_by="confident_learning")
    assert (ours == theirs)[~odd].all()
    # cleanlab's score is the margin moved from -1..1 to 0..1.
    quality = get_label_quality_scores(labels, confidences, method="normalized_margin")
    np.testing.assert_allclose((margins(labels, confidences) + 1) / 2, quality, atol=1e-12)


def test_nothing_is_confidently_of_a_class_that_no_photo_carries():
    confidences = np.array([[0.3, 0.0, 0.7], [0.0, 0.3, 0.7]])
    assert not confidently_wrong(np.array([0, 1]), confidences).any()
