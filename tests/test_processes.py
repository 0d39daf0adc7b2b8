"""Processes of our own: how they are started, and who goes first."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from flowers import processes
from flowers.paths import PROJECT
from flowers.processes import module

GROUP = Path("/proc/self/autogroup")


def said_by(asked: str, **options) -> list[str]:
    return subprocess.run(
        [sys.executable, "-c", asked], capture_output=True, text=True, check=True, cwd=PROJECT, **options
    ).stdout.splitlines()


def test_a_module_runs_from_any_folder_and_stays_there(tmp_path, monkeypatch):
    theirs = tmp_path / "theirs"
    theirs.mkdir()
    (theirs / "where.py").write_text("import os, sys, flowers; print(os.getcwd(), sys.argv[1:], flowers.__file__)")
    monkeypatch.setenv("PYTHONPATH", str(theirs))
    monkeypatch.chdir(tmp_path)
    done = subprocess.run(**module("where", "a", Path("b")), capture_output=True, text=True, check=True)
    assert done.stdout.strip() == f"{tmp_path} ['a', 'b'] {PROJECT / 'flowers' / '__init__.py'}"


@pytest.mark.skipif(not hasattr(os, "nice"), reason="there is no niceness here")
@pytest.mark.parametrize("to_all", [True, False])
def test_who_gives_way_is_nice_and_to_all_with_a_session_of_its_own(to_all):
    niceness, own = said_by(
        f"from flowers.processes import give_way; give_way(7, to_all={to_all})\n"
        "import os; print(os.nice(0), os.getsid(0) == os.getpid())"
    )[0].split()
    assert int(niceness) == min(19, os.nice(0) + 7)
    assert own == str(to_all)


@pytest.mark.skipif(not GROUP.exists(), reason="processes are not grouped by session here")
@pytest.mark.parametrize("to_all", [True, False])
def test_only_who_gives_way_to_all_has_a_nice_session(to_all):
    said = said_by(f"from flowers.processes import give_way; give_way(7, {to_all=}); print(open('{GROUP}').read())")[0]
    assert said.endswith("nice 7") if to_all else said == GROUP.read_text().strip()


@pytest.mark.skipif(not hasattr(os, "setsid"), reason="there are no sessions here")
def test_who_leads_a_session_already_gives_way_all_the_same():
    said = said_by(
        "from flowers.processes import give_way; give_way(7, to_all=True); print('on')", start_new_session=True
    )
    assert said == ["on"]


def test_a_session_is_made_nice_as_soon_as_linux_lets(monkeypatch):
    written, answers = [], iter([BlockingIOError, BlockingIOError, None])

    def write(_path, text):
        if refused := next(answers):
            raise refused
        written.append(text)

    monkeypatch.setattr(processes.Path, "write_text", write)
    processes._make_session_nice(7)
    assert written == ["7"]
