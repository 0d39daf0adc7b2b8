"""The metrics, against scikit-learn's and scipy's on any labels and answers."""

import warnings

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.stats import binomtest
from sklearn import metrics as oracle
from sklearn.calibration import calibration_curve

from flowers.evaluation.metrics import (
    Bin,
    accuracy,
    accuracy_interval,
    brier_score,
    class_metrics,
    confusion_matrix,
    expected_calibration_error,
    mcnemar,
    negative_log_likelihood,
    rejection_curve,
    reliability,
    standard_error,
)


@st.composite
def answers(draw) -> tuple[list[int], list[int], int]:
    """(labels, answers, number of classes); classes may be absent from either side, or from both."""
    classes = draw(st.integers(1, 8))
    pairs = draw(st.lists(st.tuples(*[st.integers(0, classes - 1)] * 2), min_size=1, max_size=60))
    return [label for label, _ in pairs], [answer for _, answer in pairs], classes


@given(answers())
def test_they_are_scikit_learns(case):
    labels, predicted, classes = case
    confusion = confusion_matrix(labels, predicted, classes)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # scikit-learn warns of absent classes
        assert (confusion == oracle.confusion_matrix(labels, predicted, labels=range(classes))).all()
        expected = oracle.precision_recall_fscore_support(labels, predicted, labels=range(classes), zero_division=0)
    assert accuracy(confusion) == pytest.approx(oracle.accuracy_score(labels, predicted))
    rows = class_metrics(confusion, [f"class {i}" for i in range(classes)])
    found = [[row.precision for row in rows], [row.recall for row in rows], [row.f1 for row in rows]]
    assert np.allclose(found, expected[:3])
    assert [row.photos for row in rows] == expected[3].tolist()
    assert [row.name for row in rows] == [f"class {i}" for i in range(classes)]


def test_nothing_measured_is_nothing_right():
    confusion = confusion_matrix([], [], 3)
    assert confusion.tolist() == [[0] * 3] * 3
    assert accuracy(confusion) == 0
    for row in class_metrics(confusion, "abc"):
        assert (row.precision, row.recall, row.f1, row.photos) == (0, 0, 0, 0)
    assert standard_error(0, 0) == 0


@given(st.floats(0, 1), st.integers(1, 100_000))
def test_the_standard_error_is_that_of_a_mean_of_ones_and_zeros(share, n):
    right = round(share * n)
    outcomes = np.repeat([1.0, 0.0], [right, n - right])
    assert standard_error(right / n, n) == pytest.approx(outcomes.std() / np.sqrt(n), abs=1e-9)


@given(st.integers(0, 500), st.integers(1, 500))
def test_the_interval_is_wilsons_and_holds_the_share(right, total):
    right = min(right, total)
    low, high = accuracy_interval(right, total)
    expected = binomtest(right, total).proportion_ci(0.95, method="wilson")
    assert (low, high) == pytest.approx((expected.low, expected.high), abs=1e-9)
    assert 0 <= low <= right / total <= high <= 1
    assert low < high


def test_the_interval_holds_the_true_share_about_95_times_in_100():
    rng = np.random.default_rng(0)
    for share in (0.5, 0.9, 0.97):
        intervals = [accuracy_interval(right, 570) for right in rng.binomial(570, share, 2000)]
        assert np.mean([low <= share <= high for low, high in intervals]) == pytest.approx(0.95, abs=0.02)


def test_more_photos_narrow_the_interval_and_none_say_nothing():
    widths = [np.ptp(accuracy_interval(0.9 * total, total)) for total in (10, 100, 1000, 10_000)]
    assert widths == sorted(widths, reverse=True)
    assert accuracy_interval(0, 0) == (0, 1)


@st.composite
def probabilities(draw) -> tuple[np.ndarray, np.ndarray]:
    """(probabilities, labels) of a few photos, from nearly even to nearly sure."""
    classes, photos = draw(st.integers(2, 7)), draw(st.integers(1, 60))
    rng = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
    scores = rng.normal(size=(photos, classes)) * draw(st.sampled_from([0.01, 1, 4]))
    shares = np.exp(scores)
    return shares / shares.sum(1, keepdims=True), rng.integers(0, classes, photos)


@given(probabilities())
def test_likelihood_and_brier_score_are_scikit_learns(case):
    shares, labels = case
    every = list(range(shares.shape[1]))
    assert negative_log_likelihood(shares, labels) == pytest.approx(oracle.log_loss(labels, shares, labels=every))
    expected = oracle.brier_score_loss(labels, shares, labels=every, scale_by_half=False)
    assert brier_score(shares, labels) == pytest.approx(expected)


@given(probabilities(), st.integers(1, 30))
def test_reliability_is_scikit_learns_and_the_calibration_error_follows_from_it(case, count):
    shares, labels = case
    confidences, right = shares.max(1), shares.argmax(1) == labels
    bins = reliability(confidences, right, count)
    held = [row for row in bins if row.photos]
    expected_right, expected_sure = calibration_curve(right, confidences, n_bins=count)
    assert [row.accuracy for row in held] == pytest.approx(expected_right.tolist())
    assert [row.confidence for row in held] == pytest.approx(expected_sure.tolist())
    assert sum(row.photos for row in bins) == len(labels)
    assert all(row.low < row.confidence <= row.high + 1e-9 for row in held)
    weights = np.array([row.photos for row in held]) / len(labels)
    error = expected_calibration_error(confidences, right, count)
    assert error == pytest.approx((weights * np.abs(expected_right - expected_sure)).sum())
    # Merging bins lets their distances cancel: the one large bin's is a lower bound.
    assert abs(confidences.mean() - right.mean()) - 1e-9 <= error <= 1


def test_bins_are_closed_on_the_right_as_guos_are():
    confidences = [0.0, 0.1, 0.5, 0.50001, 1.0]
    assert [row.photos for row in reliability(confidences, [1] * 5, 2)] == [3, 2]
    first = reliability([0.2, 0.3], [1, 0], 2)[0]
    assert (first.low, first.high, first.photos) == (0, 0.5, 2)
    assert (first.confidence, first.accuracy) == pytest.approx((0.25, 0.5))
    assert reliability([0.2], [1], 2)[1] == Bin(0.5, 1.0, 0, 0.0, 0.0)


def test_honest_confidences_have_a_small_error_and_boasting_ones_a_large():
    rng = np.random.default_rng(0)
    confidences = rng.uniform(0.2, 1, 50_000)
    honest = rng.uniform(size=50_000) < confidences
    assert expected_calibration_error(confidences, honest) < 0.01
    boasting = rng.uniform(size=50_000) < confidences - 0.15
    assert expected_calibration_error(confidences, boasting) == pytest.approx(0.15, abs=0.01)
    assert expected_calibration_error([1.0, 1.0], [False, False]) == 1
    assert expected_calibration_error([1.0, 1.0], [True, True]) == 0


def test_a_sure_mistake_is_dear_but_not_infinitely():
    sure = np.array([[1.0, 0.0]])
    assert (negative_log_likelihood(sure, [0]), brier_score(sure, [0])) == (0, 0)
    assert negative_log_likelihood(sure, [1]) == pytest.approx(87.3, abs=0.1)
    assert brier_score(sure, [1]) == 2
    even = np.full((4, 5), 0.2, dtype=np.float32)
    assert negative_log_likelihood(even, [0, 1, 2, 3]) == pytest.approx(np.log(5), abs=1e-6)
    assert brier_score(even, [0, 1, 2, 3]) == pytest.approx(0.8)


@given(st.lists(st.tuples(st.sampled_from([0.2, 0.4, 0.5, 0.9, 1.0]), st.booleans()), min_size=1, max_size=40))
def test_each_point_of_the_rejection_curve_is_what_its_threshold_gives(answers):
    confidences, right = map(np.array, zip(*answers, strict=True))
    curve = rejection_curve(confidences, right)
    assert curve.threshold.tolist() == sorted(set(confidences), reverse=True)
    for answered, share, threshold in zip(curve.answered, curve.accuracy, curve.threshold, strict=True):
        given_ = confidences >= threshold
        assert (answered, share) == pytest.approx((given_.mean(), right[given_].mean()))
    assert curve.answered[-1] == 1
    assert curve.accuracy[-1] == pytest.approx(right.mean())
    assert 0 <= curve.area <= 1


def test_the_rejection_curves_area_rewards_doubt_where_it_is_due():
    right = np.array([True] * 90 + [False] * 10)
    knowing, ignorant = np.linspace(1, 0.2, 100), np.linspace(0.2, 1, 100)
    shares = np.arange(1, 101)
    by_hand = np.mean(np.cumsum(right) / shares)
    assert rejection_curve(knowing, right).area == pytest.approx(by_hand)
    assert rejection_curve(knowing, right).area > 0.99 > 0.9 > rejection_curve(ignorant, right).area
    alike = rejection_curve(np.full(100, 0.7), right)
    assert (len(alike.answered), alike.area) == (1, pytest.approx(0.9))


def test_the_curve_can_be_asked_for_a_share():
    curve = rejection_curve([0.9, 0.8, 0.8, 0.3], [True, False, True, False])
    assert curve.at(0.1) == pytest.approx((0.25, 1, 0.9))
    assert curve.at(0.25) == pytest.approx((0.25, 1, 0.9))
    assert curve.at(0.5) == pytest.approx((0.75, 2 / 3, 0.8))  # two of one confidence go together
    assert curve.at(1) == pytest.approx((1, 0.5, 0.3))


def test_no_answers_have_no_error():
    nothing = np.zeros((0, 3))
    assert (negative_log_likelihood(nothing, []), brier_score(nothing, [])) == (0, 0)
    assert expected_calibration_error([], []) == 0
    assert rejection_curve([], []).area == 0


@given(st.integers(0, 400), st.integers(0, 400))
def test_mcnemar_is_scipys_exact_binomial_test(first, second):
    expected = binomtest(first, first + second, 0.5).pvalue if first + second else 1.0
    assert mcnemar(first, second) == pytest.approx(expected, rel=1e-9)
    assert mcnemar(first, second) == mcnemar(second, first)


def test_mcnemar_of_very_many_photos_is_still_a_number():
    assert mcnemar(10_000, 10_000) == 1
    assert 0 <= mcnemar(0, 10_000) < 1e-300


@given(st.lists(st.tuples(st.integers(0, 20).map(lambda n: n / 20), st.booleans()), min_size=1, max_size=60))
def test_a_threshold_answers_those_at_least_so_sure(cases):
    confidences, right = zip(*cases, strict=True)
    curve = rejection_curve(confidences, right)
    for level in (0.0, 0.25, 0.5, 0.55, 1.0):
        given = [hit for sure, hit in cases if sure >= level]
        expected = (len(given) / len(cases), sum(given) / len(given)) if given else (0, 0)
        assert curve.when(level) == pytest.approx(expected)
