"""Memory that nothing needs any more goes back to the system."""

import ctypes
import sys
import threading
import time
from collections.abc import Callable

SECONDS = 10.0  # between two looks, of two thousandths of a second each where there is nothing to give back


def give_back_freed() -> None:
    """Have this process give back, every few seconds, what it has freed.

    By itself the C library keeps it: after many large photos, a gigabyte that other programs could use. Elsewhere than
    on Linux with glibc nothing happens.
    """
    if sys.platform == "linux" and hasattr(libc := ctypes.CDLL(None), "malloc_trim"):
        threading.Thread(target=_every_few_seconds, args=[libc.malloc_trim], daemon=True, name="memory").start()


def _every_few_seconds(trim: Callable[[int], int]) -> None:
    while True:
        time.sleep(SECONDS)
        trim(0)
