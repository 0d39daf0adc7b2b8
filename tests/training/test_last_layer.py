"""The last layer by folds: the regression that scikit-learn fits, and answers that no photo had a part in."""

import numpy as np
import pytest
import torch
from sklearn.linear_model import LogisticRegression

from flowers.training import last_layer
from flowers.training.last_layer import PENALTIES, Views, choose_penalty, first_of_each, fit_by_folds, fit_temperature

CLASSES = 3


def views_of(photos: int, features: int, apart: float = 1.0, seed: int = 0) -> tuple[torch.Tensor, torch.Tensor]:
    """Two views each of photos whose classes lie ``apart``, in features that are neither centred nor of one scale."""
    rng = np.random.default_rng(seed)
    labels = np.arange(photos) % CLASSES
    middles = apart * rng.normal(size=(CLASSES, features))
    views = 3 + 2 * (middles[labels][:, None] + rng.normal(size=(photos, 2, features)))
    return torch.tensor(views, dtype=torch.float32), torch.tensor(labels)


def parts_of(photos: int, folds: int = 4) -> list[list[int]]:
    """Each fold has as many of each class."""
    return [[i for i in range(photos) if i // CLASSES % folds == fold] for fold in range(folds)]


def probabilities(scores: torch.Tensor) -> np.ndarray:
    return scores.softmax(1).numpy()


@pytest.mark.parametrize("features", [5, 200])  # fewer and more than there are rows
@pytest.mark.parametrize("balanced", [False, True])
def test_it_is_the_regression_of_scikit_learn(features, balanced):
    views, labels = views_of(40, features)
    seen = Views(views, labels, CLASSES, balanced)
    [layer] = seen.fit([range(40)], penalty=0.3)
    rows = ((views - seen.middle) / seen.scale).flatten(0, 1).numpy()
    weights = "balanced" if balanced else None
    known = LogisticRegression(C=1 / 0.3, tol=1e-8, max_iter=10_000, class_weight=weights)
    known.fit(rows, labels.repeat_interleave(2).numpy())
    mean = ((views.mean(1) - seen.middle) / seen.scale).numpy()
    assert probabilities(layer.scores(views)) == pytest.approx(known.predict_proba(mean), abs=2e-3)


def test_parts_fitted_at_once_are_as_those_fitted_alone(monkeypatch):
    views, labels = views_of(24, 30)
    seen, parts = Views(views, labels, CLASSES), [range(12), range(6, 24), range(24)]
    together = seen.fit(parts, 0.1)
    monkeypatch.setattr(last_layer, "SCORES_AT_ONCE", 1)
    for one, other in zip(together, seen.fit(parts, 0.1), strict=True):
        assert one.scores(views).numpy() == pytest.approx(other.scores(views).numpy(), abs=1e-2)


def test_a_photo_is_answered_by_a_layer_that_its_label_had_no_part_in():
    views, labels = views_of(20, 50)
    before = fit_by_folds(Views(views, labels, CLASSES, balanced=False), parts_of(20))
    wrong = labels.clone()
    wrong[4] = (labels[4] + 1) % CLASSES
    after = fit_by_folds(Views(views, wrong, CLASSES, balanced=False), parts_of(20))
    same, other = ((folded.scores * folded.temperature)[[4, 0]].numpy() for folded in (before, after))
    assert same[0] == pytest.approx(other[0], abs=1e-3)
    assert same[1] != pytest.approx(other[1], abs=1e-3)  # which is in another fold
    assert before.layer.scores(views)[4] != pytest.approx(after.layer.scores(views)[4], abs=1e-3)


def test_the_curve_counts_what_a_fold_learns_from_and_ends_at_the_accuracy_that_is_told():
    views, labels = views_of(60, 20, apart=0.4)
    folded = fit_by_folds(Views(views, labels, CLASSES), parts_of(60))
    assert [photos for photos, _ in folded.curve] == [9, 18, 27, 36, 45]
    assert folded.curve[-1][1] == pytest.approx(float((folded.scores.argmax(1) == labels).float().mean()))


def test_a_small_class_counts_as_much_as_a_large_one():
    labels = torch.tensor([0] * 30 + [1] * 3 + [2] * 12)
    weights = Views(torch.rand(45, 2, 4), labels, CLASSES).weights
    assert [float(weights[labels == label].sum()) for label in range(CLASSES)] == pytest.approx([15] * CLASSES)


def test_features_that_say_little_are_held_down_and_those_that_say_all_are_not():
    noisy = choose_penalty(Views(*views_of(120, 300, apart=0.05), CLASSES), parts_of(120))
    clear = choose_penalty(Views(*views_of(300, 6, apart=1.2), CLASSES), parts_of(300))
    assert noisy == max(PENALTIES)
    assert clear < noisy


def test_a_handful_of_photos_says_nothing_about_penalties():
    assert choose_penalty(Views(*views_of(12, 300, apart=0.05), CLASSES), parts_of(12)) == PENALTIES[0]


def test_the_temperature_of_many_photos_is_theirs_and_of_few_the_usual_one():
    rng = np.random.default_rng(1)
    scores = torch.tensor(rng.normal(size=(5000, CLASSES)), dtype=torch.float32) * 2
    labels = torch.multinomial(scores.softmax(1), 1, generator=torch.Generator().manual_seed(0))[:, 0]
    assert fit_temperature(4 * scores, labels) == pytest.approx(4, rel=0.1)
    assert fit_temperature(4 * scores[:1], labels[:1]) == pytest.approx(last_layer.USUAL, rel=0.25)


def test_a_share_has_some_of_each_class_in_their_order():
    labels = torch.tensor([0, 1, 0, 0, 1, 2, 0])
    assert first_of_each(labels, [6, 3, 1, 0, 4, 5], 0.67) == [6, 3, 1, 5]
    assert first_of_each(labels, [6, 3, 1, 0, 4, 5], 1.0) == [6, 3, 1, 0, 4, 5]


def test_identical_photos_are_learned_without_a_word():
    folded = fit_by_folds(Views(torch.ones(12, 2, 8), torch.arange(12) % CLASSES, CLASSES), parts_of(12))
    assert torch.isfinite(folded.scores).all()
    assert probabilities(folded.layer.scores(torch.ones(1, 2, 8))) == pytest.approx(1 / CLASSES, abs=1e-3)
