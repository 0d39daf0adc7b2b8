"""The classroom: its words. The lesson itself takes minutes."""

from dataclasses import asdict

from benchmarks.classroom import Visit, text
from benchmarks.common import circumstances


def test_what_the_class_met_is_told():
    visits = [
        Visit(0, seconds=20.0, answer="rose", place=1, wait=0.0, ticks=[0.1, 0.2]),
        Visit(1, seconds=310.0, answer="tulip", place=2, wait=12.0, ticks=[0.5]),
        Visit(2, refused="Too many."),
        Visit(3, browser=True, seconds=30.0, answer="daisy"),
    ]
    facts = {"preset": "fast", "settings": ["epochs=1"], "memory": 2_500_000_000, "tracebacks": 0}
    page = text({**circumstances(), **facts, "visits": [asdict(visit) for visit in visits]})
    for line in (
        "| refused | 1 |", "| with an answer within 300 seconds | 2 |", "| median seconds to the answer | 30 |",
        "| memory at most, GB | 2.5 |", "| 2 | 2 | 12 | 310 |", "| 3 | – | – | Too many. |",
        "| 4 (browser) | – | – | 30 |", "by preset `fast`, epochs=1, and",
    ):  # fmt: skip
        assert line in page
