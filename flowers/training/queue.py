"""Whose turn it is. A machine trains one run at a time, for two would both crawl: the others stand in line.

Whoever waits has put a ticket into the run's folder, and polls. First come, first served. The first in line are
processes, each of which holds its run's lock; the others have none yet, and the studio that they were asked of waits
for them. The turn is a lock of the operating system, so that it passes on however the process that has it ends; a
ticket counts only while its run is active, so that nobody waits for the dead.

So that nobody waits an hour for five seconds' work, a run that has had the turn for long makes way between two steps
while short ones wait: it goes to the end of the line, behind them. Short ones that come later wait until it has had the
turn for about as long as it was without. No other long one begins meanwhile: half a training is of no use to anybody,
and takes memory.
"""

import contextlib
import itertools
import time
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass, replace
from pathlib import Path

from filelock import FileLock, Timeout

from flowers.errors import FlowersError, UsageError
from flowers.files import parse, write_json
from flowers.paths import cache_dir, runs_dir
from flowers.training.run import Run, Status, is_held

MAX_WAITING_OF_ONE = 3  # so that nobody fills the line; the one at work does not count
MAX_WAITING = 60  # a class, and another
NEAR = 3  # the last place with a process, which is a fork of 20 MB, or where there are none, 60 MB; one is at work
SHORT_SECONDS = 60  # what a short run takes at most, and the longest that it waits for a long one to make way again
POLL_SECONDS = 0.25
FARTHEST = 8  # who stands there, or farther back, looks at the line only every so many polls
TELL_SECONDS = 5  # between two signs of life of a process that waits
LOOK_SECONDS = 1.0  # between two looks of the one at work at who waits, and of who waits for those without a process
ROW = "row.lock"

Tell = Callable[[int, float | None], None]  # gets a place in line, and the seconds until the turn where they are known


@dataclass(frozen=True)
class Ticket:
    """What the others know of a run, from when it is asked for until its turn is over."""

    asked: int  # when that was, or when it made way last: nanoseconds since 1970
    seconds: float | None = None  # that all of it should take; None where nobody knows
    begun: bool = False  # whether it has had the turn
    until: float | None = None  # when the one whose turn it is shall make way, seconds since 1970; None in line

    @property
    def short(self) -> bool:
        """Whether long ones make way for it: not for what has had the turn and took longer than it said."""
        return self.seconds is not None and self.seconds <= SHORT_SECONDS and not self.has_made_way

    @property
    def has_made_way(self) -> bool:
        """Whether it has begun, and waits to go on."""
        return self.begun and self.until is None


@dataclass(frozen=True)
class Standing:
    """A run in line, or at work after it."""

    run: Run
    ticket: Ticket
    status: Status

    @property
    def order(self) -> tuple[int, str]:
        """Who came first comes first."""
        return self.ticket.asked, self.run.name

    @property
    def rest(self) -> float | None:
        """The seconds that it still needs the turn for, where they are known."""
        return self.status.seconds if self.ticket.until and self.status.seconds is not None else self.ticket.seconds


def waiting() -> list[Run]:
    """The runs that have yet to begin, in the order in which they were asked for."""
    return [standing.run for standing in _line() if not standing.ticket.begun]


def outlook(run: Run) -> tuple[int, float | None]:
    """Where in line a waiting run stands, and the seconds until its turn, where they can be told.

    The second place is that of who comes when one has ended, or made way.
    """
    line, untold = _line(), is_held(_untold())
    mine = next((standing for standing in line if standing.run == run), None)
    if mine is None:
        return 1, None
    before = _before(mine, line)
    at_work = [standing for standing in line if standing.ticket.until is not None]
    return len(before) + 1 + len(at_work) + untold, None if untold else _total(mine, [*at_work, *before])


def check_room(visitor: str = "") -> None:
    """Raises UsageError when the line is too long for one more, or holds enough of this visitor's runs.

    Those of programs, which are nobody's, count as one visitor's.
    """
    line = waiting()
    if sum(_is_of(run, visitor) for run in line) >= MAX_WAITING_OF_ONE:
        raise UsageError(f"{MAX_WAITING_OF_ONE} of your runs are in line already: wait until one has begun.")
    if len(line) >= MAX_WAITING:
        raise UsageError(f"{len(line)} runs are in line already: wait until one has ended, and start again.")


def _is_of(run: Run, visitor: str) -> bool:
    try:
        return run.visitor == visitor
    except FlowersError:  # it is damaged, and so nobody's
        return not visitor


def join(run: Run, seconds: float | None = None) -> None:
    """Put a queued run, which should take so many ``seconds``, at the end of the line."""
    _write(run, Ticket(time.time_ns(), seconds))
    now, until_then = outlook(run)
    run.set_status("queued", place=now, seconds=until_then)


def come_near(run: Run) -> bool:
    """Wait for a run in line that has no process yet, until it is to have one; its status tells the place meanwhile.

    Whether that came before the wish to stop, the run's removal, and somebody's training it out of turn.
    """
    ticket = run.folder / "ticket"

    def tell(place: int, seconds: float | None) -> None:
        with contextlib.suppress(OSError):  # a full disk: the next time, perhaps
            run.set_status("queued", place=place, seconds=seconds)

    def is_over() -> bool:
        return run.stop_requested() or run.is_locked() or not ticket.exists()

    if _stand(run, is_over, lambda place: place <= NEAR, tell, LOOK_SECONDS):
        return True
    if run.is_locked():
        ticket.unlink(missing_ok=True)
    elif ticket.exists():
        leave(run)
    return False


def leave(run: Run) -> None:
    """Have a run that has no process leave the line."""
    run.set_status("stopped")
    (run.folder / "ticket").unlink(missing_ok=True)


def abandoned() -> list[Run]:
    """The runs in line that nobody waits for: the studio that they were asked of ended before they had a process."""
    tickets = {Run(path.parent): _read(Run(path.parent)) for path in runs_dir().glob("*/ticket")}
    found = [run for run, ticket in tickets.items() if ticket and run.is_queued() and not _is_waited_for(run)]
    return sorted(found, key=lambda run: tickets[run].asked)


def _is_waited_for(run: Run) -> bool:
    return run.is_locked() or is_held(run.folder / ROW)


@contextlib.contextmanager
def waited_for(run: Run) -> Iterator[None]:
    """While somebody waits for a run that has no process: it is not abandoned."""
    lock = FileLock(run.folder / ROW, thread_local=False)
    _acquire(lock)
    try:
        yield
    finally:
        lock.release()
        (run.folder / ROW).unlink(missing_ok=True)


@contextlib.contextmanager
def turn(run: Run, stopping: Callable[[], bool]) -> Iterator["Turn"]:
    """Wait until it is the run's turn, and keep it until the block ends; its status tells the place meanwhile.

    Raises KeyboardInterrupt when ``stopping()`` says so.
    """
    taken = Turn(run, stopping)
    try:
        taken.begin()
        yield taken
    finally:
        taken.end()


@contextlib.contextmanager
def at_once() -> Iterator["Kept"]:
    """For who does not stand in line, such as the command line: whoever does waits for the end of the block, too."""
    lock, untold = _lock(), FileLock(_untold(), thread_local=False)
    if _acquire(lock):
        _acquire(untold)
    try:
        yield Kept()
    finally:
        untold.release()
        lock.release()


class Kept:
    """A turn that is kept until its end."""

    def expect(self, seconds: float) -> None:
        """The run has found out how long it will take."""

    def make_way(self, tell: Tell, left: float | None = None) -> None:
        """Let others go first, where that is fair. Returns when it is the run's turn again, or the run is to stop.

        ``tell`` gets its place in line meanwhile. ``left`` are the seconds that the run still needs: what is nearly
        done goes on to its end, or on a slow day all would have begun and none be done.
        """


class Turn(Kept):
    """The turn of a run that stood in line for it, and that makes way for short ones."""

    def __init__(self, run: Run, stopping: Callable[[], bool]) -> None:
        self.run = run
        self.stopping = stopping
        self._lock = _lock()
        self._ticket = _read(run) or Ticket(time.time_ns())
        self._looked = 0.0

    def begin(self) -> None:
        """Wait for it. Raises KeyboardInterrupt when the run is to stop."""
        if not self._wait(lambda place, seconds: self.run.set_status("queued", place=place, seconds=seconds)):
            raise KeyboardInterrupt
        self._keep_for(SHORT_SECONDS if self._ticket.short else 0)

    def expect(self, seconds: float) -> None:
        self._ticket = replace(self._ticket, seconds=seconds)
        if self._ticket.short:
            self._keep_for(SHORT_SECONDS)

    def make_way(self, tell: Tell, left: float | None = None) -> None:
        nearly_done = left is not None and left <= SHORT_SECONDS
        if nearly_done or time.time() < self._ticket.until or not self._is_wanted():
            return
        began = time.monotonic()
        self._put(replace(self._ticket, asked=time.time_ns(), until=None))
        self._lock.release()
        self._wait(tell)
        self._keep_for(min(SHORT_SECONDS, time.monotonic() - began))

    def end(self) -> None:
        """Let the next one begin, also where this one never did."""
        (self.run.folder / "ticket").unlink(missing_ok=True)
        self._lock.release()

    def _is_wanted(self) -> bool:
        """Whether short runs wait whose processes are there."""
        if time.monotonic() - self._looked < LOOK_SECONDS:
            return False
        self._looked = time.monotonic()
        return any(standing.ticket.short and standing.run.is_locked() for standing in _queued(_line()))

    def _wait(self, tell: Tell) -> bool:
        """Whether the turn came before the wish to stop."""
        return _stand(self.run, self.stopping, lambda place: place == 1 and self._take(), tell, POLL_SECONDS)

    def _take(self) -> bool:
        """Have the turn if it is still this run's: who had it may have gone to the line's end since the last look."""
        if _acquire(self._lock):
            line = _line()
            if not any(_before(standing, line) for standing in line if standing.run == self.run):
                return True
            self._lock.release()
        return False

    def _keep_for(self, seconds: float) -> None:
        self._put(replace(self._ticket, begun=True, until=time.time() + seconds))

    def _put(self, ticket: Ticket) -> None:
        self._ticket = ticket
        _write(self.run, ticket)


def _stand(
    run: Run, stopping: Callable[[], bool], has_come: Callable[[int], bool], tell: Tell, seconds_a_poll: float
) -> bool:
    """Stand in line until ``has_come``, which gets the place; whether that was before the wish to stop."""
    told, when, look = None, 0.0, 0
    for poll in itertools.count():
        if stopping():
            return False
        if poll >= look:
            now, seconds = outlook(run)
            if has_come(now):
                return True
            look = poll + min(now, FARTHEST)
            if now != told or time.monotonic() - when > TELL_SECONDS:
                told, when = now, time.monotonic()
                tell(now, seconds)
        time.sleep(seconds_a_poll)
    raise AssertionError("it waits until it returns")


def is_taken() -> bool:
    """Whether a run is at work on this machine."""
    return is_held(cache_dir() / "training.lock")


def _line() -> list[Standing]:
    """All who stand in line or have the turn after it, in the order in which they came."""
    found = []
    for path in runs_dir().glob("*/ticket"):
        run = Run(path.parent)
        if (ticket := _read(run)) and (status := run.status()).active:
            found.append(Standing(run, ticket, status))
    return sorted(found, key=lambda standing: standing.order)


def _queued(line: list[Standing]) -> list[Standing]:
    return [standing for standing in line if standing.ticket.until is None]


def _before(mine: Standing, line: list[Standing]) -> list[Standing]:
    """Those in line whose turn comes before mine, if nobody else comes."""
    under_way = any(standing.ticket.begun and not standing.ticket.short for standing in line)

    def is_kept(ticket: Ticket) -> bool:
        """Whether it is a long one that only begins when the one under way has ended."""
        return under_way and not ticket.begun and not ticket.short

    def comes_first(other: Standing) -> bool:
        if is_kept(other.ticket) != is_kept(mine.ticket):
            return is_kept(mine.ticket)
        return other.order < mine.order

    return [other for other in _queued(line) if other.run != mine.run and comes_first(other)]


def _total(mine: Standing, before: list[Standing]) -> float | None:
    """The seconds that those before take: a long one lets a short one, or who has made way for some, in between."""
    if mine.ticket.short or mine.ticket.begun:
        return sum(other.rest if other.ticket.short else _share(other) for other in before)
    parts = [other.rest for other in before]
    return None if None in parts else sum(parts)


def _share(long: Standing) -> float:
    """The seconds, at most, for which a long one keeps the turn until it makes way."""
    share = SHORT_SECONDS if long.ticket.begun else 0.0
    if long.ticket.until is not None:
        share = max(0.0, long.ticket.until - time.time())
    return share if long.rest is None else min(share, long.rest)


def _read(run: Run) -> Ticket | None:
    """The run's ticket; None where it has been called, or where there never was a whole one."""
    try:
        return parse(Ticket, (run.folder / "ticket").read_bytes())
    except (OSError, ValueError):
        return None


def _write(run: Run, ticket: Ticket) -> None:
    write_json(run.folder / "ticket", asdict(ticket))


def _lock() -> FileLock:
    return FileLock(cache_dir() / "training.lock", thread_local=False)  # a generator may be closed by another thread


def _untold() -> Path:
    """What is locked, besides, by who has the turn without a ticket.

    The first lock alone would not tell it from the first in line, who for an instant has the turn and still the ticket
    of who waits.
    """
    return cache_dir() / "training-untold.lock"


def _acquire(lock: FileLock) -> bool:
    with contextlib.suppress(Timeout):
        lock.acquire(timeout=0.1, poll_interval=0.02)  # a reader shares it for an instant
    return lock.is_locked
