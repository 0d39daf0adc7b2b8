"""Live answers: their words, and a small measurement."""

import json

import pytest

from benchmarks import live
from benchmarks.common import circumstances


def test_what_live_visitors_met_is_told():
    row = {
        "live": 5, "others": 15, "failed": ["Oh: no"], "a second": 5.25, "least": 4.5, "median": 0.06, "19 in 20": 0.21,
        "answers": 700, "waits": 1.234, "others answered": 40,
    }  # fmt: skip
    page = live.text({**circumstances(), "seconds": 30.0, "rows": [row]})
    assert "| 5 | 15 | 5.2 | 4.5 | 60 | 210 | 1.23 | 1 |" in page
    assert "- Oh: no" in page


@pytest.mark.thorough
def test_live_visitors_are_answered_by_turns_and_nobody_fails(tmp_path):
    live.main(["--seconds", "5", "--settle", "2", "--out", str(tmp_path)])
    rows = json.loads((tmp_path / "results.json").read_text())["rows"]
    assert [(row["live"], row["others"]) for row in rows] == list(map(tuple, live.ROWS))
    assert not any(row["failed"] for row in rows)
    assert rows[0]["answers"]
    assert all(row["a second"] - row["least"] <= 3 / 5 for row in rows)  # of five seconds: turn by turn
