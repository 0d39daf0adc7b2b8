"""How many threads may run."""

import os

import pytest

from flowers.cores import available_threads


def test_a_wish_is_heeded(monkeypatch):
    monkeypatch.setenv("OMP_NUM_THREADS", "3")
    assert available_threads() == 3


@pytest.mark.parametrize("nonsense", ["", "many", "0", "-2"])
def test_nonsense_still_leaves_a_thread(monkeypatch, nonsense):
    monkeypatch.setenv("OMP_NUM_THREADS", nonsense)
    assert 1 <= available_threads() <= os.cpu_count()


def test_without_a_wish_no_more_than_there_are(monkeypatch):
    monkeypatch.delenv("OMP_NUM_THREADS", raising=False)
    assert 1 <= available_threads() <= os.cpu_count()
