"""The metrics, against scikit-learn's on any labels and answers."""

import warnings

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from sklearn import metrics as oracle

from flowers.evaluation.metrics import accuracy, class_metrics, confusion_matrix, standard_error


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
