"""Two checkpoints on the same photos: who gets which right, and what follows."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from flowers.errors import UsageError
from flowers.evaluation.compare import compare
from flowers.evaluation.evaluate import Evaluation, Outcome

CLASSES = ("rose", "tulip", "daisy")
ANSWERS = st.lists(st.tuples(*[st.integers(0, 2)] * 3), min_size=1, max_size=40)


def made_up(answers: list[tuple[int, int]], classes=CLASSES, **changes) -> Evaluation:
    """Of (truth, answer), by their places in CLASSES, by a network that has its classes in another order."""
    where = [classes.index(name) for name in CLASSES]
    outcomes = tuple(Outcome(f"{a}/{i}.jpg", where[a], where[b], 0.75, 0.25) for i, (a, b) in enumerate(answers))
    shares = np.full((len(outcomes), 3), 1 / 3, dtype=np.float32)
    known = Evaluation(
        "a", "set", Path("/set"), "d1", True, True, (), "val", 0, tuple(classes), outcomes, shares
    )  # fmt: skip
    return replace(known, **changes)


@given(ANSWERS, st.permutations(CLASSES))
def test_every_photo_is_counted_once_whatever_the_order_of_the_classes(cases, order):
    first = made_up([(truth, one) for truth, one, _ in cases])
    second = made_up([(truth, other) for truth, _, other in cases], tuple(order))
    found = compare(first, second)
    assert sorted(found.both + found.only_first + found.only_second + found.neither) == list(range(len(cases)))
    for place, (truth, one, other) in enumerate(cases):
        group = {(True, True): found.both, (True, False): found.only_first, (False, True): found.only_second}
        assert place in group.get((one == truth, other == truth), found.neither)
    assert found.gain == pytest.approx(second.accuracy - first.accuracy)
    assert sum(row[1] for row in found.per_class) == len(cases)
    assert sum(row[3] - row[2] for row in found.per_class) == len(found.only_second) - len(found.only_first)


def test_chance_is_told_from_more_than_chance():
    def differing(one: int, other: int) -> float:
        first = [(0, 0)] * one + [(0, 1)] * other
        second = [(0, 1)] * one + [(0, 0)] * other
        return compare(made_up(first), made_up(second)).p_value

    assert differing(30, 22) == pytest.approx(0.332, abs=0.001)
    assert differing(30, 5) < 0.001
    assert differing(3, 3) == 1


def test_other_photos_cannot_be_compared():
    mine = made_up([(0, 0), (1, 1)])
    for other in (
        made_up([(0, 0)]),
        made_up([(0, 0), (1, 1)], digest="d2"),
        made_up([(0, 0), (2, 1)]),
    ):
        with pytest.raises(UsageError, match="different photos"):
            compare(mine, other)
