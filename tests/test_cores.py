"""How many threads may run, and who goes first."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from flowers.cores import available_threads
from flowers.paths import PROJECT


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


@pytest.mark.skipif(not hasattr(os, "nice"), reason="there is no niceness here")
@pytest.mark.parametrize("own", [True, False], ids=["a session of its own", "the session of others"])
def test_who_gives_way_does_so_with_its_whole_session_if_that_is_its_own(own):
    asked = "from flowers.cores import give_way; give_way(7); import os; print(os.nice(0)); {}"
    group = Path("/proc/self/autogroup")
    asked = asked.format(f"print(open('{group}').read())" if group.exists() else "print()")
    done = subprocess.run(
        [sys.executable, "-c", asked], capture_output=True, text=True, check=True, start_new_session=own, cwd=PROJECT
    )
    niceness, session = done.stdout.splitlines()[:2]
    assert int(niceness) == min(19, os.nice(0) + 7)
    if group.exists():
        assert session.endswith("nice 7" if own else group.read_text().split()[-1])
