"""Waiting for what another thread or process does."""

import time
from collections.abc import Callable
from typing import Any

DEADLINE = 120  # seconds: it only ends a test that has failed


def wait_until(condition: Callable[[], Any], said: Callable[[], Any] = lambda: None) -> Any:
    """What ``condition()`` gives, once that is true. Where it never is, the test fails with what ``said()`` gives."""
    end = time.monotonic() + DEADLINE
    while not (answer := condition()):
        assert time.monotonic() < end, said()
        time.sleep(0.005)
    return answer
