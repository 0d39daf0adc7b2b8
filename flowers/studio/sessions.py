"""What Gradio keeps for a page or a program's call: by itself much, and for as long as the server runs."""

import collections
import contextlib
import copy
import datetime
import time
from collections.abc import Iterator
from typing import Any

import gradio as gr
from gradio.state_holder import SessionState

from flowers.studio.limits import Shares, Who

NOBODY = Who("", "")
KEPT_SECONDS = 3600  # after its last call, of a page that has been closed: somebody may come back to it
ASKED_SECONDS = 300  # in which somebody asks for the answer to a call
MANY = 3  # as many calls may wait to be asked for their answer
MAX_NAME = 64  # characters that a page may call its session by: it chooses about a dozen
TIDY_AT = 20  # sessions that have been added since the last look


def keep_little() -> None:
    """Have sessions keep what events need.

    By itself (6.31) each keeps another copy of the page, with whatever was told last, for links to a page's state: that
    takes a fifth of a second, in which nobody is answered, and half a megabyte. Those links are closed.
    """
    SessionState.__init__ = _begin
    SessionState.__setitem__ = _set
    SessionState._update_config = SessionState._update_value_in_config = lambda *_: None


def _begin(self: SessionState, blocks: gr.Blocks) -> None:
    self.blocks_config = copy.copy(blocks.default_config)
    self.config_values, self.state_data, self._state_ttl = {}, {}, {}
    self.is_closed, self.STATE_TTL_WHEN_CLOSED = False, KEPT_SECONDS


def _set(self: SessionState, key: int, value: Any) -> None:
    block = self.blocks_config.blocks.get(key)
    if isinstance(block, gr.State):
        self._state_ttl[key] = block.time_to_live, datetime.datetime.now()
        self.state_data[key] = value
    else:
        self.blocks_config.blocks[key] = value


class Sessions:
    """Those of a page that Gradio serves; for the thread of its event loop.

    Args:
        each, total: how many without an open page are kept, a visitor's and all.
    """

    def __init__(self, page: gr.Blocks, each: int, total: int) -> None:
        self.page = page
        self.each, self.total = each, total
        self._open: collections.Counter[str] = collections.Counter()
        self._whose: dict[str, Who] = {}
        self._left = 0

    @contextlib.contextmanager
    def watched(self, name: str | None, asking: Who) -> Iterator[None]:
        """While somebody's page or program stays connected to hear of a session."""
        name = self._of_event(name)
        if name is None or len(name) > MAX_NAME:
            yield
            return
        self.belongs(name, asking)
        self._open[name] += 1
        try:
            yield
        finally:
            self._open[name] -= 1
            if not self._open[name]:
                del self._open[name]
            self.tidy()

    def _of_event(self, name: str | None) -> str | None:
        """The session that an event belongs to, where it is an event's name: programs ask by that."""
        pending = self.page._queue.pending_event_ids_session
        return next((session for session, events in pending.items() if name in events), name)

    def belongs(self, name: str, asking: Who) -> None:
        """Know whose a session is: it counts among theirs."""
        self._whose[name] = asking

    def tidy(self) -> None:
        """Forget sessions that nobody comes back to, once there are more than at the last look."""
        if self._known() >= self._left + TIDY_AT:
            self.forget_old()

    def forget_old(self) -> None:
        """Forget what has been closed for long, and of what was closed lately, where it is too much, the oldest."""
        held, kept = self._held(), Shares(self.each, self.total)
        waited_for = Shares(MANY * self.each, MANY * self.total)  # by programs that have not asked for their answer yet
        pending = self.page._queue.pending_event_ids_session
        used = self.page.state_holder.time_last_used
        busy = {event.session_hash for event in list(self.page._queue.event_ids_to_events.values())}
        for name in reversed(list(held)):  # the latest used comes last there
            if name in self._open or name in busy:
                continue
            age, whose = time.time() - used[name].timestamp() if name in used else 0.0, self._whose.get(name, NOBODY)
            if pending.get(name) and age < ASKED_SECONDS and waited_for.take(whose):
                continue
            if age > KEPT_SECONDS or not kept.take(whose):
                self._forget(name)
        for name in self._whose.keys() - held.keys() - self._open.keys() - busy:
            self._forget(name)
        self._left = self._known()

    def _known(self) -> int:
        return max(len(self._held()), len(self._whose))

    def _held(self) -> dict:
        return self.page.state_holder.session_data

    def _forget(self, name: str) -> None:
        queue = self.page._queue
        for kept in (
            self._held(), self.page.state_holder.time_last_used, queue.pending_event_ids_session,
            queue.pending_messages_per_session, self._whose,
        ):  # fmt: skip
            kept.pop(name, None)
