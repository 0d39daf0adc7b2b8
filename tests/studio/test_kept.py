"""Results are kept for their visitor alone, as many and as long as was said."""

import threading

import pytest
from hypothesis import given
from hypothesis import strategies as st

from flowers.studio import kept
from flowers.studio.kept import Kept


@pytest.fixture
def clock(monkeypatch):
    now = [100.0]
    monkeypatch.setattr(kept.time, "monotonic", lambda: now[0])
    return now


def test_a_visitor_finds_only_their_own():
    store = Kept(most=10, most_each=3, seconds=60)
    mine, theirs = store.put("me", "my result"), store.put("you", "your result")
    assert store.get("me", mine) == "my result"
    assert store.get("me", theirs) is None and store.get("you", mine) is None
    assert (store.latest("me"), store.latest("you"), store.latest("nobody")) == (mine, theirs, None)


@pytest.mark.parametrize("key", [None, "", "0" * 32, 3, ["a"]])
def test_no_key_is_no_result(key):
    store = Kept(most=10, most_each=3, seconds=60)
    store.put("me", "my result")
    assert store.get("me", key) is None


@given(st.lists(st.integers(0, 4), max_size=60))
def test_never_more_than_was_said(owners):
    store = Kept(most=6, most_each=2, seconds=60)
    keys = [(str(owner), store.put(str(owner), n)) for n, owner in enumerate(owners)]
    held = [owner for owner, key in keys if store.get(owner, key) is not None]
    assert len(held) <= 6 and all(held.count(owner) <= 2 for owner in held)
    for owner in set(owners):  # the newest of the last visitor is always there
        assert owner != owners[-1] or store.get(*keys[-1]) == len(owners) - 1


def test_what_is_looked_at_stays_and_the_rest_goes(clock):
    store = Kept(most=10, most_each=3, seconds=60)
    one, other = store.put("me", 1), store.put("me", 2)
    clock[0] += 50
    assert store.get("me", one) == 1
    clock[0] += 50
    assert (store.get("me", one), store.get("me", other)) == (1, None)
    clock[0] += 61
    assert store.latest("me") is None


def test_many_at_once():
    store = Kept(most=50, most_each=5, seconds=60)
    lost = []

    def visit(owner: str) -> None:
        for n in range(200):
            if store.get(owner, store.put(owner, n)) not in (n, None):
                lost.append(owner)

    threads = [threading.Thread(target=visit, args=[str(n)]) for n in range(8)]
    [thread.start() for thread in threads]
    [thread.join() for thread in threads]
    assert lost == []
