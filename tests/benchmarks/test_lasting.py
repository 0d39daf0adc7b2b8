"""Hours of use: how growth is told. The hours themselves are hours."""

from benchmarks import lasting
from benchmarks.common import circumstances


def looks(*memory: float, life: int = 0) -> list[dict[str, float]]:
    others = {"memory": 2e9, "threads": 9, "open files": 12, "temporary": 1e6, "albums": 1e6, "life": life}
    return [{**others, "own memory": value, "minutes": minute} for minute, value in enumerate(memory)]


def test_growth_is_of_the_last_quarter_beside_the_second():
    assert lasting.growth(looks(1, 1, 2, 2, 2, 2, 3, 3)) == [1.5]
    assert lasting.growth(looks(5, 5, 1, 1, 1, 1, 1, 1) + looks(1, 1, 1, 1, life=1)) == [1.0, 1.0]


def test_what_was_held_is_told_and_drawn(tmp_path):
    held = [one for life in range(lasting.LIVES) for one in looks(*[1e9] * 8, life=life)]
    facts = {"minutes": 120.0, "looks": held, "deeds": {"file": 5}, "problems": ["Oh: no"], "tracebacks": 0}
    page = lasting.text({**circumstances(), **facts})
    for line in ("| times that somebody did: file | 5 |", "| deeds that failed | 1 |", "- Oh: no", "| threads | 9 |"):
        assert line in page
    lasting.draw(held, tmp_path / "lasting.png")
    assert (tmp_path / "lasting.png").stat().st_size > 5000
