"""The verdict on memory."""

import random

import pytest

from benchmarks.memory import verdict


def watched(seconds: int, an_hour: float, noise: float = 1e6) -> list[tuple[float, int]]:
    """A process of 500 MB that grows by so many bytes an hour, after a start at which it takes more and more."""
    rng = random.Random(0)
    warm_up = [(second, second * 10**6) for second in range(seconds // 4)]
    return warm_up + [
        (second, int(500e6 + an_hour * second / 3600 + rng.gauss(0, noise))) for second in range(seconds // 4, seconds)
    ]


def test_warm_up_does_not_count() -> None:
    assert verdict(watched(600, 0))["verdict"] == "flat"


@pytest.mark.parametrize("leak", [100e6, 1e9])
def test_a_leak_is_found_and_measured(leak: float) -> None:
    found = verdict(watched(600, leak))
    assert found["verdict"] == "grows"
    assert found["slope"] == pytest.approx(leak, abs=3 * found["error"])


def test_a_short_look_at_a_noisy_process_tells_nothing() -> None:
    assert verdict(watched(40, 0, noise=20e6))["verdict"] == "too short to tell"
