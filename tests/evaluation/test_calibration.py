"""Fitted on photos held back, measured on photos that did not fit it, and nothing happens to a checkpoint otherwise."""

import json
import shutil
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image
from scipy.optimize import minimize_scalar
from scipy.special import log_softmax, softmax

from flowers.classifier import Classifier
from flowers.data.dataset import scan
from flowers.errors import CheckpointError, DataError, UsageError
from flowers.evaluation.calibration import (
    ENERGY_SHARE,
    FOLDS,
    LEAST,
    POWER,
    TEMPERATURES,
    Seen,
    calibrate,
    cross_fitted,
    fit,
    fit_neighbours,
    fit_temperature,
    folds,
    honest_error,
    report_text,
    spread,
    usual_energy,
)
from flowers.evaluation.evaluate import evaluate
from flowers.evaluation.metrics import expected_calibration_error
from flowers.models.calibration import TENSORS, UNFAMILIAR, Calibration, Neighbours, energy, read_calibration
from flowers.models.checkpoint import CARD, load_weights, read_checkpoint, save_checkpoint
from tests.evaluation.wild import CLASSES, save_wild_checkpoint

RNG = np.random.default_rng(0)

pytestmark = pytest.mark.usefixtures("tiny_networks")


def honest(count: int, classes: int = 5) -> tuple[np.ndarray, np.ndarray]:
    """Scores whose softmax is exactly how often each class is the true one."""
    scores = RNG.normal(0, 2, (count, classes)).astype(np.float32)
    shares = softmax(scores, axis=1)
    return scores, np.array([RNG.choice(classes, p=row / row.sum()) for row in shares.astype(np.float64)])


# The temperature


@pytest.mark.parametrize("distortion", [0.3, 1.0, 2.5])
def test_a_known_distortion_is_found(distortion):
    scores, labels = honest(8000)
    assert fit_temperature(distortion * scores, labels) == pytest.approx(distortion, rel=0.05)


def test_it_is_the_one_of_the_least_negative_log_likelihood():
    scores, labels = honest(300)
    scores *= 1.7

    def loss(logarithm: float) -> float:
        return -log_softmax(scores / np.exp(logarithm), axis=1)[np.arange(len(labels)), labels].mean()

    best = minimize_scalar(loss, bounds=np.log(TEMPERATURES), method="bounded", options={"xatol": 1e-6})
    assert fit_temperature(scores, labels) == pytest.approx(np.exp(best.x), rel=1e-3)


@given(flipped=st.booleans(), count=st.integers(1, 5))
def test_photos_that_are_all_right_or_all_wrong_keep_it_within_bounds(flipped, count):
    scores = np.tile(np.float32([9, 0, 0]), (count, 1))
    assert fit_temperature(scores, np.full(count, int(flipped))) == pytest.approx(TEMPERATURES[int(flipped)], rel=1e-6)


def test_the_folds_share_every_class_out_and_cover_all_photos_once():
    labels = RNG.permutation(np.repeat(np.arange(5), [20, 25, 30, 10, 15]))
    held = np.array([fold for fold, _ in folds(labels)])
    assert (held.sum(0) == 1).all()
    for fold, others in folds(labels):
        assert (fold ^ others).all()
        assert all(abs((labels[fold] == c).sum() - (labels == c).sum() / FOLDS) <= 1 for c in range(5))


def test_no_photo_is_measured_with_a_temperature_that_it_fitted():
    scores, labels = honest(200)
    before = cross_fitted(scores, labels)
    photo = int(np.flatnonzero(next(folds(labels))[0])[0])
    changed = labels.copy()
    changed[photo] = (labels[photo] + 1) % 5
    same_fold = next(fold for fold, _ in folds(changed) if fold[photo])
    fitted = fit_temperature(scores[~same_fold], changed[~same_fold])
    np.testing.assert_allclose(
        cross_fitted(scores, changed)[photo], Calibration(fitted).confidences(scores[photo : photo + 1])[0]
    )
    np.testing.assert_array_equal(before.argmax(1), scores.argmax(1))


# What is known


def clusters(count: int, centres: np.ndarray) -> np.ndarray:
    """Photos' features about class centres, (count, F): behind a ReLU, and most of them zero."""
    noise = RNG.normal(-0.3, 0.3, (count, centres.shape[1]))
    return np.maximum(centres[np.arange(count) % len(centres)] + noise, 0).astype("f4")


CENTRES = np.repeat(3 * np.eye(5, 16), 4, axis=1)  # four features a class
FAR = np.repeat(3 * np.eye(5, 16, 8), 4, axis=1)  # of classes that no photo learned from shows


def answered(features: np.ndarray) -> Seen:
    """What a network whose score of a class is the first of its features makes of photos; labels as ``clusters``'."""
    return Seen(features[:, :20:4].copy(), features, np.arange(len(features)) % 5)


def familiarity(neighbours: Neighbours, seen: Seen) -> np.ndarray:
    return neighbours.familiarity(seen.features, seen.scores)


def test_nineteen_in_twenty_of_the_photos_held_back_are_known_and_far_ones_are_not():
    neighbours = fit_neighbours(clusters(400, CENTRES), held := answered(clusters(400, CENTRES)))
    known = familiarity(neighbours, held) >= UNFAMILIAR
    assert known.mean() == pytest.approx(1 - UNFAMILIAR, abs=0.01)
    fresh = familiarity(neighbours, answered(clusters(400, CENTRES))) >= UNFAMILIAR
    assert fresh.mean() == pytest.approx(1 - UNFAMILIAR, abs=0.05)
    far = answered(clusters(100, FAR))
    assert (familiarity(neighbours, far) == 0).all()


def test_the_parts_count_as_they_should_whatever_the_scale_of_the_scores():
    learned, held = clusters(400, CENTRES), answered(clusters(400, CENTRES))
    neighbours = fit_neighbours(learned, held)
    parts = [neighbours.similarity(held.features), neighbours.energy_weight * neighbours.strength(held.scores)]
    assert np.std(parts[1]) == pytest.approx(ENERGY_SHARE * np.std(parts[0]), rel=1e-3)
    standard = sum(
        share * (part - part.mean()) / part.std() for share, part in zip((1, ENERGY_SHARE), parts, strict=True)
    )
    order = np.argsort(standard)
    assert (np.diff(familiarity(neighbours, held)[order]) > -1e-4).all()
    louder = replace(held, scores=held.scores + 40)  # every energy 40 higher: nothing that tells photos apart
    raised = fit_neighbours(learned, louder)
    np.testing.assert_allclose(familiarity(raised, louder), familiarity(neighbours, held), atol=1e-3)


@pytest.mark.parametrize(
    ("least", "added", "power"),
    [(0, 0, POWER), (-1e-3, 0, 1), (0, 1e-3, 1)],
    ids=["few features of many", "some negative", "a little of all"],
)
def test_roots_are_taken_only_where_most_features_are_zero_and_none_is_negative(least, added, power):
    learned = clusters(400, CENTRES) + np.float32(added)
    learned[0, 0] = least
    assert fit_neighbours(learned, answered(clusters(400, CENTRES))).power == power


def test_every_answer_has_its_own_usual_energy():
    scores = np.zeros((60, 4), np.float32)
    scores[:30, 0], scores[30:55, 1], scores[55:, 2] = 9, 5, 1  # the third of five photos, the fourth of none
    loud, quiet, few, none = usual_energy(scores)
    assert loud == pytest.approx(np.log(np.exp(9) + 3), abs=1e-4)
    assert quiet == pytest.approx(np.log(np.exp(5) + 3), abs=1e-4)
    assert few == none == pytest.approx(energy(scores).mean(), abs=1e-4)


def test_a_class_whose_own_photos_speak_weakly_is_known_as_often():
    held = answered(clusters(400, CENTRES))
    quiet = replace(held, scores=held.scores * np.where(held.labels == 3, 0.6, 1).astype("f4")[:, None])
    known = familiarity(fit_neighbours(clusters(400, CENTRES), quiet), quiet) >= UNFAMILIAR
    assert known[quiet.labels == 3].mean() > 0.85


@pytest.mark.parametrize("rounding", [0, 1e-7])
def test_energies_that_are_all_the_same_tell_nothing(rounding):
    held = answered(clusters(100, CENTRES))
    scores = np.tile(np.float32([9, 0, 0, 0, 0]), (100, 1)) * (1 + rounding * RNG.choice([-1, 1], (100, 1)))
    neighbours = fit_neighbours(held.features, replace(held, scores=scores.astype(np.float32)))
    assert neighbours.energy_weight == 0
    assert np.isfinite(neighbours.scale).all()


def test_photos_held_back_that_are_all_the_same_are_known():
    one = answered(np.tile(clusters(1, CENTRES), (30, 1)))
    neighbours = fit_neighbours(clusters(100, CENTRES), one)
    assert neighbours.energy_weight == 0
    assert (familiarity(neighbours, one) >= UNFAMILIAR).all()
    assert (familiarity(neighbours, answered(clusters(50, FAR))) == 0).all()


def test_the_facts_are_measured_on_photos_that_did_not_fit():
    scores, labels = honest(1000)
    features = clusters(1000, CENTRES)
    facts = fit(Seen(3 * scores, features, labels), clusters(300, CENTRES)).facts
    assert (facts["photos_held_back"], facts["photos_learned_from"]) == (1000, 300)
    for name in ("expected_calibration_error", "negative_log_likelihood", "brier_score"):
        assert facts["calibrated"][name] < facts["uncalibrated"][name]  # three times too sure
    loss = -np.log(cross_fitted(3 * scores, labels)[np.arange(1000), labels]).mean()
    assert facts["calibrated"]["negative_log_likelihood"] == pytest.approx(loss, rel=1e-3)
    assert facts["accuracy"] == pytest.approx((scores.argmax(1) == labels).mean())
    assert facts["known"] == pytest.approx(1 - UNFAMILIAR, abs=0.02)
    json.dumps(facts)


def test_even_honest_confidences_show_an_error_and_less_of_it_on_more_photos():
    confidences = RNG.uniform(0.3, 1, 4000)
    few, many = honest_error(confidences[:200]), honest_error(confidences)
    assert many < few / 2
    right = RNG.random(4000) < confidences
    assert many == pytest.approx(expected_calibration_error(confidences, right), abs=0.01)
    assert honest_error(np.ones(50)) == 0


# A checkpoint


@pytest.fixture(scope="module")
def photos(garden, tmp_path_factory):
    """The garden three times, turned so that its pictures are not taken for copies: 25 are held back."""
    root = tmp_path_factory.mktemp("sets") / "thrice"
    shutil.copytree(garden, root)
    for path in sorted(root.rglob("*.jpg")):
        for angle in (100, 200):
            Image.open(path).rotate(angle).save(path.with_name(f"{angle}-{path.name}"))
    return root


@pytest.fixture(scope="module")
def template(photos, tmp_path_factory):
    """Of a network that is right more often than by chance: to one that is not, the highest temperature fits best."""
    folder = tmp_path_factory.mktemp("checkpoints") / "wild"
    save_wild_checkpoint(folder, scan(photos), seed=10)
    return folder


@pytest.fixture
def checkpoint(template, tmp_path):
    return read_checkpoint(shutil.copytree(template, tmp_path / "wild"))


def test_calibrating_changes_confidences_but_no_answer_and_says_what_is_known(checkpoint, photos):
    dataset, before, seen = scan(photos), Classifier.load(checkpoint.folder), []
    calibration = calibrate(checkpoint, dataset, progress=lambda done, total: seen.append((done, total)))
    after = Classifier.load(checkpoint.folder)
    assert (
        seen[-1][0] == seen[-1][1] == calibration.facts["photos_held_back"] + calibration.facts["photos_learned_from"]
    )
    assert after.calibration.temperature == pytest.approx(calibration.temperature, abs=1e-4)
    paths = [dataset.path(index) for index in dataset.split().val]
    known = []
    for old, new in zip(before.classify_many(paths), after.classify_many(paths), strict=True):
        assert (old.known, old.familiarity) == (True, None)
        assert new.label == old.label
        assert new.known == (new.familiarity >= UNFAMILIAR)
        known.append(new.known)
    assert np.mean(known) == pytest.approx(1 - UNFAMILIAR, abs=1 / len(known) + 1e-9)
    assert (checkpoint.folder / TENSORS).stat().st_size < 1_000_000
    text = report_text(checkpoint, calibration)
    assert f"temperature {calibration.temperature:.3f}" in text


def test_an_evaluation_judges_each_photo_by_a_temperature_that_others_fitted(checkpoint, photos, tmp_path):
    dataset = scan(photos)
    before = evaluate(Classifier.load(checkpoint.folder), dataset)
    facts = calibrate(checkpoint, dataset).facts
    after = evaluate(Classifier.load(checkpoint.folder), dataset)
    assert before.likelihood == pytest.approx(facts["uncalibrated"]["negative_log_likelihood"], abs=1e-3)
    assert after.likelihood == pytest.approx(facts["calibrated"]["negative_log_likelihood"], abs=1e-3)
    assert after.calibration_error == pytest.approx(facts["calibrated"]["expected_calibration_error"], abs=1e-3)
    assert [item.predicted for item in after.outcomes] == [item.predicted for item in before.outcomes]
    answers = Classifier.load(checkpoint.folder).classify_many(dataset.path(index) for index in dataset.split().val)
    assert [item.confidence for item in after.outcomes] == pytest.approx([a.confidence for a in answers], abs=1e-4)
    assert after.worth() == "These photos were held back while it was trained."
    # The same photos, come in another set, did not help to fit what they are judged by either.
    other = shutil.copytree(photos, tmp_path / "other")
    removed = dataset.path(dataset.split().train[0]).relative_to(dataset.root)
    (other / removed).unlink()
    elsewhere = evaluate(Classifier.load(checkpoint.folder), scan(other))
    assert not elsewhere.same_set
    assert elsewhere.held_back
    np.testing.assert_allclose(elsewhere.probabilities, after.probabilities, atol=1e-6)
    # Of photos that fitted nothing, what the answers say is honest as it is.
    train = evaluate(Classifier.load(checkpoint.folder), dataset, "train")
    assert train.probabilities.max(1).tolist() == [item.confidence for item in train.outcomes]


def test_the_same_photos_give_the_same_calibration(checkpoint, photos):
    dataset = scan(photos)
    first, second = (calibrate(checkpoint, dataset) for _ in range(2))
    assert first.temperature == second.temperature
    np.testing.assert_array_equal(first.neighbours.bank, second.neighbours.bank)


def test_a_set_whose_classes_come_in_another_order_is_understood(photos, tmp_path):
    dataset = scan(photos)
    turned = save_wild_checkpoint(tmp_path / "turned", dataset, CLASSES[::-1])
    plain = save_wild_checkpoint(tmp_path / "plain", dataset)
    facts = [calibrate(classifier.checkpoint, dataset).facts for classifier in (turned, plain)]
    assert facts[0]["photos_held_back"] == facts[1]["photos_held_back"]
    val = dataset.split().val
    answers = turned.classify_many([dataset.path(index) for index in val])
    right = [answer.label == dataset.photos[i].path.split("/")[0] for answer, i in zip(answers, val, strict=True)]
    assert facts[0]["accuracy"] == pytest.approx(np.mean(right))


def test_at_most_so_many_photos_are_looked_at_every_class_in_its_share(photos):
    dataset = scan(photos)
    indices = range(0, len(dataset), 2)
    picked = spread(dataset, indices, 10)
    assert len(set(picked)) == 10
    assert set(picked) <= set(indices)
    counts = np.bincount([dataset.photos[index].label for index in picked])
    assert counts.tolist() == [2] * 5
    assert sorted(spread(dataset, indices, 1000)) == list(indices)


def assert_refused_and_untouched(checkpoint, dataset, kind, said):
    before = {path.name: path.read_bytes() for path in checkpoint.folder.iterdir()}
    with pytest.raises(kind, match=said) as caught:
        calibrate(checkpoint, dataset)
    assert len(str(caught.value).splitlines()) == 1
    assert {path.name: path.read_bytes() for path in checkpoint.folder.iterdir()} == before


def test_photos_of_other_classes_are_refused(checkpoint, photos, tmp_path):
    shutil.copytree(photos, tmp_path / "set")
    (tmp_path / "set" / "rose").rename(tmp_path / "set" / "orchid")
    said = r"^The checkpoint wild tells daisy, .* apart, and these photos show daisy, dandelion, orchid, .*\.$"
    assert_refused_and_untouched(checkpoint, scan(tmp_path / "set"), CheckpointError, said)


def test_photos_that_lack_a_class_are_refused(checkpoint, photos, tmp_path):
    shutil.copytree(photos, tmp_path / "set")
    shutil.rmtree(tmp_path / "set" / "rose")
    assert_refused_and_untouched(checkpoint, scan(tmp_path / "set"), CheckpointError, "of its own classes")


def test_too_few_photos_are_refused(garden_set, tmp_path):
    assert len(garden_set.split().val) < LEAST
    checkpoint = save_wild_checkpoint(tmp_path / "wild", garden_set).checkpoint
    said = rf"^Only 10 photos are held back, and wild cannot be calibrated with fewer than {LEAST}: .*\.$"
    assert_refused_and_untouched(checkpoint, garden_set, DataError, said)


def test_photos_it_may_have_learned_from_unseen_are_refused(checkpoint, garden_set):
    said = r"^garden is not what wild was trained on: .*\.$"
    assert_refused_and_untouched(checkpoint, garden_set, UsageError, said)


def test_a_checkpoint_that_answers_with_no_numbers_is_refused(photos, tmp_path):
    dataset = scan(photos)
    classifier = save_wild_checkpoint(tmp_path / "wild", dataset)
    weights = load_weights(classifier.checkpoint.folder)
    weights["fc.bias"][0] = float("nan")
    save_checkpoint(classifier.checkpoint.folder, weights, classifier.checkpoint)
    checkpoint = read_checkpoint(classifier.checkpoint.folder)
    assert_refused_and_untouched(checkpoint, dataset, CheckpointError, r"what are no numbers: .*\.$")


def test_a_best_that_was_replaced_meanwhile_keeps_its_own_calibration(checkpoint, photos):
    stale = replace(checkpoint, created="2020-01-01T00:00:00Z")
    assert_refused_and_untouched(stale, scan(photos), CheckpointError, r"replaced by a newer one: .*\.$")


def test_of_too_few_photos_for_each_class_nobody_tells_what_is_none_of_them():
    scores, labels = 3 * np.eye(5)[np.arange(60) % 5], np.arange(60) % 5
    features = np.random.default_rng(0).normal(size=(60, 16)).astype(np.float32)
    calibration = fit(Seen(scores.astype(np.float32), features, labels), features[:9])
    assert calibration.neighbours is None
    assert calibration.familiarity(features, scores) is None
    assert fit(Seen(scores.astype(np.float32), features, labels), features[:10]).neighbours is not None


def test_a_damaged_calibration_is_made_again(checkpoint, photos):
    card = json.loads((checkpoint.folder / CARD).read_text())
    (checkpoint.folder / CARD).write_text(json.dumps({**card, "calibration": {"temperature": "hot"}}))
    damaged = read_checkpoint(checkpoint.folder)
    with pytest.raises(CheckpointError, match="damaged"):
        Classifier.load(checkpoint.folder)
    calibrate(damaged, scan(photos))
    assert read_calibration(read_checkpoint(checkpoint.folder)).neighbours is not None
