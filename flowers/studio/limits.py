"""How much of the server one visitor may take, one address, and all together.

A cookie costs nothing, so whoever throws it away is counted by address as well. Behind one address may be a class, so
that it may take a quarter of everything.
"""

import collections
import dataclasses
import os
import re
from collections.abc import Hashable
from dataclasses import dataclass

from flowers.errors import UsageError

PREFIX = "FLOWERS_MAX_"


@dataclass(frozen=True)
class Limits:
    """What a visitor may have, and after ``all_`` what all may have together; docs/server.md tells them."""

    waiting: int = 40  # events in line
    all_waiting: int = 400
    calls: int = 6  # requests that are worked on at once; more wait
    all_calls: int = 32  # Gradio has 40 threads, for these and for all events
    open: int = 100  # requests that are open at once, those that wait included
    all_open: int = 2000
    upload_mb: int = 2000  # uploaded in an hour
    all_upload_mb: int = 20_000
    sessions: int = 20  # pages that have been closed, and calls that have ended, whose state is still there
    all_sessions: int = 300  # about 0.5 MB each

    def pair(self, name: str) -> tuple[int, int]:
        """A visitor's and everybody's of one kind, such as "waiting"."""
        return getattr(self, name), getattr(self, f"all_{name}")


def limits() -> Limits:
    """The limits with what the environment says, such as ``FLOWERS_MAX_WAITING``.

    Raises UsageError for what is no whole number above 0.
    """
    chosen = {}
    for field in dataclasses.fields(Limits):
        name = PREFIX + field.name.upper()
        if told := os.environ.get(name, "").strip():
            if not (re.fullmatch("[0-9]{1,12}", told) and int(told)):
                raise UsageError(f"The limit {name} is {told!r}: set it to a whole number above 0.")
            chosen[field.name] = int(told)
    return Limits(**chosen)


@dataclass(frozen=True)
class Who:
    """Somebody who takes: a browser, or a program without cookies, and where it calls from."""

    visitor: Hashable
    address: str


class Shares:
    """Who has how much of one thing. For one thread, such as an event loop's."""

    def __init__(self, each: int, total: int) -> None:
        self.each, self.total = min(each, total), total
        self._taken: collections.Counter[Hashable] = collections.Counter()
        self._sum = 0

    @property
    def of_address(self) -> int:
        """What an address may have: a quarter of everything, and never less than a visitor."""
        return max(self.each, self.total // 4)

    def taken(self, key: Hashable) -> int:
        """What somebody has, or by an address, all who call from there."""
        return self._taken.get(key, 0)  # a Counter's own way would keep every key that is asked for

    def has_room(self, who: Who, amount: int = 1) -> bool:
        """Whether so much more may be taken."""
        return (
            self.taken(who) + amount <= self.each
            and self.taken(who.address) + amount <= self.of_address
            and self._sum + amount <= self.total
        )

    def take(self, who: Who, amount: int = 1) -> bool:
        """Take so much, where there is room; whether there was."""
        if not self.has_room(who, amount):
            return False
        self._add(who, amount)
        return True

    def give_back(self, who: Who, amount: int = 1) -> None:
        """Give back what was taken."""
        self._add(who, -amount)

    def _add(self, who: Who, amount: int) -> None:
        self._sum += amount
        for key in (who, who.address):
            self._taken[key] += amount
            if not self._taken[key]:
                del self._taken[key]  # or each who ever came would stay
