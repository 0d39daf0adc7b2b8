"""Honest confidences are found honest, and others are not."""

import numpy as np
import pytest

from benchmarks.calibration import honesty

SURE = np.random.default_rng(1).uniform(0.3, 1, 2000)


@pytest.fixture
def rng() -> np.random.Generator:
    """Not that of its own draws."""
    return np.random.default_rng(2)


def test_honest_confidences_are_no_further_off_than_chance(rng):
    found = [honesty(SURE[:500], rng.random(500) < SURE[:500]) for _ in range(20)]
    assert np.mean([one["error"] for one in found]) == pytest.approx(found[0]["honest"], rel=0.2)
    assert 0.2 < np.mean([one["as_far"] for one in found]) < 0.8


def test_confidences_that_are_too_high_are_further_off(rng):
    found = honesty(SURE, rng.random(2000) < SURE - 0.1)
    assert found["error"] == pytest.approx(0.1, abs=0.03)
    assert found["as_far"] == 0
    assert found["confidence"] - found["accuracy"] == pytest.approx(0.1, abs=0.03)
    assert found["photos"] == 2000
