"""Each score finds what is far from everything learned, and is what its paper says."""

from dataclasses import replace

import numpy as np
import pytest
from scipy.special import logsumexp, softmax
from sklearn.covariance import EmpiricalCovariance
from sklearn.metrics import pairwise_distances

from benchmarks.novelty import (
    FAR_PHOTOS,
    FAR_RENDERED,
    blank,
    blurred,
    compare,
    joined,
    left_out,
    noise,
    text,
    text_of,
    without,
)
from benchmarks.novelty_scores import (
    SCORES,
    Learned,
    added,
    energy,
    mahalanobis,
    maximum_softmax,
    nearest,
    relative_mahalanobis,
    roots,
    shipped,
    vim,
    weighed,
)
from flowers.evaluation.calibration import ENERGY_SHARE, POWER, Seen

RNG = np.random.default_rng(0)
WEIGHT, BIAS = np.eye(4, 16, dtype=np.float32), np.float32([0.1, -0.1, 0.2, 0])


def seen(features: np.ndarray, labels: np.ndarray | None = None) -> Seen:
    features = features.astype(np.float32)
    labels = np.zeros(len(features), np.int64) if labels is None else labels
    return Seen(features @ WEIGHT.T + BIAS, features, labels)


def flowers(count: int) -> Seen:
    """Four classes along four axes, spread a little along all sixteen."""
    labels = np.arange(count) % 4
    return seen(6 * np.eye(4, 16)[labels] + RNG.normal(0, 0.5, (count, 16)), labels)


KNOWN = flowers(400)
LEARNED = Learned(flowers(800), KNOWN, WEIGHT, BIAS)
FAR = seen(4 * np.eye(4, 16, 9)[np.arange(200) % 4] + RNG.normal(0, 0.5, (200, 16)))


@pytest.mark.parametrize("name", SCORES)
def test_each_score_tells_a_far_cluster_from_what_is_known(name):
    score = SCORES[name][1](LEARNED)
    assert score(KNOWN).shape == (400,)
    measured = compare(score, KNOWN, dict.fromkeys((*FAR_PHOTOS, *FAR_RENDERED), FAR))
    assert measured["auroc"]["far"] > 0.95
    assert measured["noticed"]["animals"] > 0.7


def test_the_scores_from_class_scores_alone():
    np.testing.assert_allclose(maximum_softmax(LEARNED)(KNOWN), softmax(KNOWN.scores, axis=1).max(1), rtol=1e-5)
    np.testing.assert_allclose(energy(LEARNED)(KNOWN), logsumexp(KNOWN.scores, axis=1), rtol=1e-5)


def test_the_nearest_are_nearest_by_cosine():
    apart = np.sort(pairwise_distances(KNOWN.features, LEARNED.seen.features, metric="cosine"), axis=1)
    for number in (1, 10):
        np.testing.assert_allclose(nearest(number)(LEARNED)(KNOWN), 1 - apart[:, number - 1], atol=2e-3)


def test_the_sum_is_that_of_the_standard_scores_of_its_parts():
    parts = [score(LEARNED) for score in (nearest(1), energy)]
    standard = sum((part(FAR) - part(KNOWN).mean()) / part(KNOWN).std() for part in parts)
    found = added(LEARNED)(FAR)
    np.testing.assert_allclose(np.corrcoef(found, standard)[0, 1], 1, atol=1e-4)
    whole = weighed(LEARNED)(FAR)
    np.testing.assert_allclose(shipped(LEARNED)(FAR), whole, atol=1e-3)  # a bank that takes in all 800


def test_powers_and_shares_of_the_energy_count_as_they_say():
    """Where most features are zero, as roots are taken only there."""
    behind = [replace(one, features=np.maximum(one.features - 0.5, 0)) for one in (LEARNED.seen, KNOWN, FAR)]
    learned = replace(LEARNED, seen=behind[0], held_back=behind[1])
    apart = pairwise_distances(np.sqrt(behind[2].features), np.sqrt(behind[0].features), metric="cosine").min(1)
    np.testing.assert_allclose(nearest(1, 0.5)(learned)(behind[2]), 1 - apart, atol=2e-3)
    np.testing.assert_allclose(roots(learned)(behind[2]), nearest(1, POWER)(learned)(behind[2]), atol=5e-3)
    none, half, whole = (weighed(learned, share)(behind[2]) for share in (0, ENERGY_SHARE, 2 * ENERGY_SHARE))
    np.testing.assert_allclose(none, roots(learned)(behind[2]), atol=1e-5)
    np.testing.assert_allclose(whole - none, 2 * (half - none), atol=1e-4)
    assert np.abs(half - none).min() > 0


def test_mahalanobis_is_sklearns():
    train = LEARNED.seen
    means = np.stack([train.features[train.labels == label].mean(0) for label in range(4)])
    shared = EmpiricalCovariance(assume_centered=True).fit(train.features - means[train.labels])
    by_class = np.stack([shared.mahalanobis(KNOWN.features - mean) for mean in means], axis=1)
    np.testing.assert_allclose(mahalanobis(LEARNED)(KNOWN), -by_class.min(1), rtol=1e-2)
    everything = EmpiricalCovariance().fit(train.features).mahalanobis(KNOWN.features)
    np.testing.assert_allclose(relative_mahalanobis(LEARNED)(KNOWN), everything - by_class.min(1), rtol=1e-2, atol=0.05)


def test_vim_punishes_only_what_lies_outside_the_principal_space():
    flat = flowers(600)
    flat.features[:, 8:] = 0  # as many directions as it keeps
    about = seen(flat.features + 0.1 * RNG.normal(size=flat.features.shape), flat.labels)
    learned = Learned(about, KNOWN, WEIGHT, BIAS)
    score = vim(learned)
    inside, outside = flat.features[:50], flat.features[:50].copy()
    outside[:, 12] += 1
    # Not quite nothing inside: the space is estimated from photos, and a little askew.
    assert (energy(learned)(seen(inside)) - score(seen(inside)) < 2).all()
    assert (energy(learned)(seen(outside)) - score(seen(outside)) > 10).all()


def test_the_rendered_pictures_are_pictures_and_unlike_each_other():
    for draw in (text, noise, blank):
        first, second = draw(np.random.default_rng(1)), draw(np.random.default_rng(2))
        assert (first.mode, first.size) == ("RGB", (256, 256))
        assert first.tobytes() != second.tobytes()
        assert first.tobytes() == draw(np.random.default_rng(1)).tobytes()
    sharp, soft = np.asarray(text(RNG), float), np.asarray(blurred(text(RNG)), float)
    assert np.abs(np.diff(soft, axis=0)).mean() < 0.05 * np.abs(np.diff(sharp, axis=0)).mean()


def test_what_is_left_out_is_told_from_what_is_held_back():
    areas = left_out([("daisy", LEARNED, FAR), ("rose", LEARNED, KNOWN)])
    assert areas.keys() == SCORES.keys()
    assert areas["shipped"]["daisy"] > 0.95
    assert areas["shipped"]["rose"] == pytest.approx(0.5)
    assert joined([KNOWN, FAR]).scores.tolist() == [*KNOWN.scores.tolist(), *FAR.scores.tolist()]


def test_a_set_without_a_class_keeps_its_photos_and_what_is_held_back(garden_set):
    held_back = frozenset(range(0, len(garden_set), 3))
    whole = replace(garden_set, held_back=held_back)
    four = without(whole, 2)
    assert four.classes == ("daisy", "dandelion", "sunflower", "tulip")
    assert {photo.path for photo in four.photos} == {
        photo.path for photo in whole.photos if not photo.path.startswith("rose/")
    }
    assert all(photo.path.startswith(f"{four.classes[photo.label]}/") for photo in four.photos)
    kept = {whole.photos[index].path for index in held_back if whole.photos[index].label != 2}
    assert {four.photos[index].path for index in four.split().val} == kept


def test_the_tables_hold_the_numbers():
    kinds = (*FAR_PHOTOS, *FAR_RENDERED, "plants")
    scores = {name: compare(SCORES[name][1](LEARNED), KNOWN, dict.fromkeys(kinds, FAR)) for name in SCORES}
    facts = {
        "date": "2026-01-31", "command": "python benchmarks/novelty.py", "versions": {"python": "3.11"},
        "machine": {"bfloat16_units": False, "cpu": "abacus", "cores": 2, "memory": 2**30, "system": "Linux"},
    }  # fmt: skip
    results = {
        **facts, "checkpoint": "c", "network": "A network", "weights": "some weights", "scores": scores,
        "photos": {"known": 400, "learned_from": 800} | dict.fromkeys(kinds, 200),
        "photos_left_out": 300, "left_out": {name: {"daisy": 0.8, "rose": 0.9} for name in SCORES},
        "fine_tuning": [], "left_out_of_fine_tuning": {},
    }  # fmt: skip
    told = text_of(results)
    assert "left out of fine-tuning" not in told
    tuned = {"fine_tuning": ["fast", "epochs=3"], "left_out_of_fine_tuning": {name: {"daisy": 0.7} for name in SCORES}}
    assert "preset `fast` with epochs=3 trains" in text_of({**results, **tuned})
    assert "| 70.0% | 70.0% |" in text_of({**results, **tuned})
    assert f"{scores['vim']['auroc']['far']:.1%}" in told
    assert "| 80.0% | 90.0% | 85.0% |" in told
    assert "200 animals" in told
