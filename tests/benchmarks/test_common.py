"""What stands beside every number."""

import sys

from benchmarks.common import PROJECT, circumstances


def test_the_command_is_told_without_this_machines_folders(monkeypatch):
    program = str(PROJECT / "benchmarks" / "accuracy.py")
    monkeypatch.setattr(sys, "argv", [program, "fast", "--runs", "/here/runs", "--seeds", "0", "--out", "/there"])
    assert circumstances()["command"] == "python benchmarks/accuracy.py fast --seeds 0"
