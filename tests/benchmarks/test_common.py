"""What stands beside every number."""

import sys

import pytest

from benchmarks.common import PROJECT, circumstances


@pytest.mark.parametrize(
    ("given", "told"),
    [
        ("accuracy.py fast --runs /here/runs --seeds 0 --out /there", "accuracy.py fast --seeds 0"),
        ("race.py --runs 3 --cap-minutes 4 fast --out /there", "race.py --runs 3 --cap-minutes 4 fast"),
        ("accuracy.py", "accuracy.py"),
    ],
)
def test_the_command_is_told_without_this_machines_folders(monkeypatch, given, told):
    program, *rest = given.split()
    monkeypatch.setattr(sys, "argv", [str(PROJECT / "benchmarks" / program), *rest])
    assert circumstances()["command"] == f"python benchmarks/{told}"
