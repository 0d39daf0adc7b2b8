"""The learning-rate finder: what it suggests from curves whose answer is known, and that it leaves all as it was."""

import math
import random

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from flowers.errors import UsageError
from flowers.models.backbones import BACKBONES
from flowers.models.checkpoint import load_weights
from flowers.recipe import Recipe
from flowers.training import lr_finder as module
from flowers.training.learner import Learner
from flowers.training.lr_finder import HIGHEST, LOWEST, Search, find_learning_rate, longest_fall
from tests.conftest import TINY
from tests.tiny import tiny_resnet18

RATES = tuple(np.geomspace(LOWEST, HIGHEST, 100))


def curve(noise: float = 0.0) -> Search:
    """Flat up to 1e-4, then down to a valley at 0.1, then off: steepest at about 3e-3."""
    rng = random.Random(0)
    losses = []
    for rate in RATES:
        place = math.log10(rate)
        fall = 1 / (1 + math.exp(-3 * (place + 2.5)))
        losses.append(2 - 1.5 * fall + max(0.0, place + 1) ** 2 + noise * rng.uniform(-1, 1))
    return Search(RATES, tuple(losses), True)


@given(st.lists(st.integers(0, 20), min_size=1, max_size=9))
def test_the_longest_fall_is_one_and_there_is_no_longer(losses):
    """Against all falls there are, tried one by one."""

    def longest(start: int) -> int:
        return 1 + max((longest(i) for i in range(start + 1, len(losses)) if losses[i] < losses[start]), default=0)

    def reaches(first: int, last: int) -> int:
        """The most steps of a fall from one to the other, by brute force."""
        if first == last:
            return 1
        between = [i for i in range(first + 1, last + 1) if losses[i] < losses[first]]
        return max((1 + reaches(i, last) for i in between if losses[i] >= losses[last] or i == last), default=-100)

    first, last = longest_fall(losses)
    assert 0 <= first <= last < len(losses)
    assert reaches(first, last) == max(map(longest, range(len(losses))))


@pytest.mark.parametrize("noise", [0.0, 0.01])
def test_both_suggestions_lie_on_the_slope(noise):
    search = curve(noise)
    assert 1e-5 < search.valley < 0.1
    assert 1e-4 < search.steepest < 0.05
    assert curve().steepest == pytest.approx(10**-2.5, rel=0.3)


def test_a_loss_that_only_rises_has_a_suggestion_too():
    search = Search(RATES, tuple(float(n) for n in range(100)), True)
    assert LOWEST <= search.valley <= HIGHEST
    assert LOWEST <= search.steepest <= HIGHEST


@pytest.mark.usefixtures("tiny_network")
def test_rates_rise_evenly_from_the_lowest_and_end_where_the_loss_runs_off(garden_set):
    told = []
    search = find_learning_rate(TINY, garden_set, steps=25, progress=lambda *now: told.append(now))
    assert search.rates[0] == LOWEST
    assert np.diff(np.log(search.rates)) == pytest.approx(math.log(HIGHEST / LOWEST) / 24)
    assert len(search.losses) == len(search.rates)
    assert search.ran_off == (len(search.rates) < 25)
    assert told[-1] == (len(search.rates) + search.ran_off, 25)
    assert search.losses[0] == pytest.approx(math.log(5), rel=0.5), "of a network that knows nothing"


@pytest.mark.usefixtures("tiny_network")
def test_it_stops_when_the_loss_runs_off(garden_set, monkeypatch):
    losses = iter([*[2.0] * 15, 200.0, *[1.0] * 50])
    monkeypatch.setattr(Learner, "learn", lambda self, photos, targets, rate, count: (next(losses) * count, 0))
    search = find_learning_rate(TINY, garden_set, steps=50)
    assert (len(search.rates), search.ran_off) == (15, True)


@pytest.mark.usefixtures("tiny_network")
def test_a_loss_that_is_no_number_ends_it_and_too_soon_is_told(garden_set, monkeypatch):
    monkeypatch.setattr(Learner, "learn", lambda self, photos, targets, rate, count: (math.nan, 0))
    with pytest.raises(module.FlowersError, match=r"The loss ran off at once.*\.$"):
        find_learning_rate(TINY, garden_set, steps=50)


@pytest.mark.usefixtures("tiny_network")
def test_the_same_search_finds_the_same_and_leaves_the_starting_weights_alone(garden_set, taught, monkeypatch):
    before = load_weights(taught)
    monkeypatch.setitem(BACKBONES, "resnet18", tiny_resnet18(64))  # so that there are smaller pictures
    recipe = TINY.replace(init=str(taught), probe="on", frozen=3, first_size=32, mixup=0.2, ema=0.1)
    first, again = (find_learning_rate(recipe, garden_set, steps=25) for _ in range(2))
    assert first == again
    after = load_weights(taught)
    assert all((after[name] == tensor).all() for name, tensor in before.items())


def test_it_works_alone(garden_set, monkeypatch):
    monkeypatch.setenv("WORLD_SIZE", "2")
    with pytest.raises(UsageError, match="works alone"):
        find_learning_rate(Recipe(), garden_set)
