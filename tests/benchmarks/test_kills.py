"""Kills: their words, and a few of them. All of them take an hour."""

import json

import pytest

from benchmarks import kills
from benchmarks.common import circumstances


def test_what_was_lost_is_told():
    facts = {
        "kills": {"studio": 3, "trainer": 2, "both": 1}, "filed": 7, "taken": 9, "runs": 4, "exported": 1, "answers": 2,
        "lost": ["visitor 1: v1n3"], "unreadable": [], "stuck": ["a run"], "halves": [], "wrong": [], "tracebacks": 0,
    }  # fmt: skip
    page = kills.text({**circumstances(), **facts})
    for line in (
        "| kills | 6 |",
        "| lost | 1 |",
        "- visitor 1: v1n3",
        "| that stand in line for ever | 1 |",
        "- a run",
    ):
        assert line in page


@pytest.mark.thorough
def test_nothing_is_lost_that_was_acknowledged(tmp_path, monkeypatch):
    monkeypatch.setenv("FLOWERS_RUNS", str(tmp_path / "runs"))
    status = kills.main(["--kills", "3", "--out", str(tmp_path)])
    met = json.loads((tmp_path / "results.json").read_text())
    assert status == 0, met
    assert sum(met["kills"].values()) == 3 and met["taken"] > 0 and met["wrong"] == []
