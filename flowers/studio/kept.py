"""What visitors come back to: results of long work, in memory, for a while, each for the visitor who asked for it."""

import secrets
import threading
import time
from collections import OrderedDict
from typing import Generic, TypeVar

Result = TypeVar("Result")


class Kept(Generic[Result]):
    """Results by random keys. May be used from several threads at once.

    Args:
        most: results in all; beyond that the ones not looked at for longest go first.
        most_each: of one visitor.
        seconds: how long one is kept after it was last looked at.
    """

    def __init__(self, most: int, most_each: int, seconds: float) -> None:
        self.most, self.most_each, self.seconds = most, most_each, seconds
        self._items: OrderedDict[str, tuple[str, float, Result]] = OrderedDict()  # the latest last
        self._lock = threading.Lock()

    def put(self, owner: str, result: Result) -> str:
        """Keep a result for a visitor; its key, which says nothing."""
        key = secrets.token_hex(16)
        with self._lock:
            self._items[key] = (owner, time.monotonic(), result)
            self._drop_old()
            theirs = [other for other, item in self._items.items() if item[0] == owner]
            for other in theirs[: -self.most_each]:
                del self._items[other]
            while len(self._items) > self.most:
                self._items.popitem(last=False)
        return key

    def get(self, owner: str, key: str | None) -> Result | None:
        """The result of a key; None if there is none (any more), or it is another visitor's."""
        with self._lock:
            self._drop_old()
            found = self._items.get(key) if isinstance(key, str) else None
            if found is None or found[0] != owner:
                return None
            self._items[key] = (owner, time.monotonic(), found[2])
            self._items.move_to_end(key)
            return found[2]

    def latest(self, owner: str) -> str | None:
        """The key of the result that a visitor last looked at."""
        with self._lock:
            self._drop_old()
            return next((key for key, item in reversed(self._items.items()) if item[0] == owner), None)

    def _drop_old(self) -> None:
        before = time.monotonic() - self.seconds
        for key in [key for key, item in self._items.items() if item[1] < before]:
            del self._items[key]
