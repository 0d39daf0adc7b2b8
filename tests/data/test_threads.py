"""Work ahead: in order, bounded, and with its errors."""

import threading
from concurrent.futures import ThreadPoolExecutor

import pytest
from hypothesis import given
from hypothesis import strategies as st

from flowers.data.threads import ahead


@pytest.fixture
def pool():
    with ThreadPoolExecutor(3) as pool:
        yield pool


@given(st.lists(st.integers(), max_size=30), st.integers(0, 40), st.integers(1, 4))
def test_results_come_in_order(items, count, threads):
    with ThreadPoolExecutor(threads) as pool:
        assert list(ahead(pool, str, items, count)) == [str(item) for item in items]


@pytest.mark.parametrize("count", [0, 1, 5])
def test_items_are_taken_only_so_far_ahead(pool, count):
    taken = []
    results = ahead(pool, str, (taken.append(n) or n for n in range(100)), count)
    for asked in range(1, 20):
        next(results)
        assert len(taken) == asked + count


def test_an_error_is_raised_in_its_turn(pool):
    results = ahead(pool, lambda n: 1 // n, [2, 1, 0, 3], 3)
    assert [next(results), next(results)] == [0, 1]
    with pytest.raises(ZeroDivisionError):
        next(results)


def test_what_has_not_begun_is_dropped_when_nobody_wants_it():
    begun, go = [], threading.Event()
    with ThreadPoolExecutor(1) as pool:
        results = ahead(pool, lambda n: begun.append(n) or (n and go.wait(30)), range(10), 5)
        next(results)
        results.close()
        go.set()
    assert len(begun) <= 2
