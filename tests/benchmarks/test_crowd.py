"""The crowd: its words. The run itself takes minutes and a Chromium."""

from benchmarks.common import circumstances
from benchmarks.crowd import text


def test_what_the_crowd_met_is_told():
    facts = {
        "browsers": 3,
        "minutes": 0.5,
        "source": "garden",
        "problems": ["x"],
        "tracebacks": 2,
        "training": "running",
    }
    page = text({**circumstances(), **facts, "waits": [0.1 * n for n in range(1, 21)]})
    assert "| median | 1.05 |" in page
    assert "| 19 in 20 within | 1.90 |" in page
    assert "| longest | 2.00 |" in page
    assert "20 answers, 1 that did not come" in page
