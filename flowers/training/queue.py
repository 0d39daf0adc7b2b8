"""Whose turn it is. A machine trains one run at a time, for two would both crawl: the others stand in line.

Whoever waits is a process of its own, as light as Python is: it holds its run's lock, has put a ticket into the run's
folder, and polls. First come, first served. The turn is a lock of the operating system, so that it passes on however
the process that has it ends; a ticket counts only while its run reads as queued, so that nobody waits for the dead.
"""

import contextlib
import time
from collections.abc import Callable, Iterator

from filelock import FileLock, Timeout

from flowers.errors import UsageError
from flowers.paths import cache_dir, runs_dir
from flowers.training.run import Run, is_held

MAX_WAITING_OF_ONE = 3  # so that nobody fills the line; the one at work does not count
MAX_WAITING = 20  # each is a process of about 60 MB
POLL_SECONDS = 0.5
TELL_SECONDS = 5  # between two signs of life of a process that waits


def waiting() -> list[Run]:
    """The runs that stand in line, whose turn is next first."""
    line = []
    for path in runs_dir().glob("*/ticket"):
        run = Run(path.parent)
        with contextlib.suppress(OSError, ValueError):  # it has just been called, or was never written whole
            if run.status().state == "queued":
                line.append((int(path.read_text()), run.name, run))
    return [run for _, _, run in sorted(line, key=lambda entry: entry[:2])]


def place(run: Run) -> int:
    """Where in line a waiting run stands: 2 when one is to end before it."""
    line = waiting()
    return line.index(run) + 1 + is_taken() if run in line else 1


def check_room(visitor: str = "") -> None:
    """Raises UsageError when the line is too long for one more, or holds enough of this visitor's runs.

    Those of programs, which are nobody's, count as one visitor's.
    """
    if sum(run.visitor == visitor for run in waiting()) >= MAX_WAITING_OF_ONE:
        raise UsageError(f"{MAX_WAITING_OF_ONE} of your runs are in line already: wait until one has begun.")
    if (length := len(waiting())) >= MAX_WAITING:
        raise UsageError(f"{length} runs are in line already: wait until one has ended, and start again.")


def join(run: Run) -> None:
    """Put a queued run at the end of the line."""
    (run.folder / "ticket").write_text(str(time.time_ns()))
    run.set_status("queued", place=place(run))


@contextlib.contextmanager
def turn(run: Run, stopping: Callable[[], bool]) -> Iterator[None]:
    """Wait until it is the run's turn, and keep it until the block ends; its status tells the place meanwhile.

    Raises KeyboardInterrupt when ``stopping()`` says so.
    """
    lock, told, when = _lock(), None, 0.0
    try:
        while not ((now := place(run)) == 1 and _acquire(lock)):
            if stopping():
                raise KeyboardInterrupt
            if now != told or time.monotonic() - when > TELL_SECONDS:
                told, when = now, time.monotonic()
                run.set_status("queued", place=now)
            time.sleep(POLL_SECONDS)
        (run.folder / "ticket").unlink(missing_ok=True)
        yield
    finally:
        (run.folder / "ticket").unlink(missing_ok=True)
        lock.release()


@contextlib.contextmanager
def at_once() -> Iterator[None]:
    """For who does not stand in line, such as the command line: whoever does waits for the end of the block, too."""
    lock = _lock()
    _acquire(lock)
    try:
        yield
    finally:
        lock.release()


def _lock() -> FileLock:
    return FileLock(cache_dir() / "training.lock", thread_local=False)  # a generator may be closed by another thread


def _acquire(lock: FileLock) -> bool:
    with contextlib.suppress(Timeout):
        lock.acquire(timeout=0.1, poll_interval=0.02)  # a reader shares it for an instant
    return lock.is_locked


def is_taken() -> bool:
    """Whether a run is at work on this machine."""
    return is_held(cache_dir() / "training.lock")
