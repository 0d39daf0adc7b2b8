"""Whose event is answered next. Gradio answers them as they come: whoever sends two hundred is answered first."""

import collections
import itertools
import time
from collections.abc import Callable, Hashable, Mapping, Sequence
from types import MappingProxyType
from typing import Any

import gradio as gr
from gradio.queueing import Event, EventQueue, Queue
from starlette.requests import Request

from flowers.studio.language import chosen as language_of
from flowers.studio.language import translated
from flowers.studio.limits import Limits, Shares, Who
from flowers.studio.sessions import MAX_NAME, Sessions
from flowers.studio.visitors import who

GAIN_SECONDS = 10.0  # of waiting, for one place
REMEMBERED = 2000  # visitors and addresses


def take_turns(page: gr.Blocks, limits: Limits, sessions: Sessions) -> None:
    """Have the page's line hold as much as ``limits`` say, and visitors be answered in turn.

    Among addresses, and among the visitors of each, who has had least comes first: twice as many cookies from one place
    get nothing more. A page's own events stay in their order.
    """
    queue, push, get_events = page._queue, page._queue.push, page._queue.get_events
    had: dict[Hashable, int] = {}  # whose turn it was last: visitors and addresses, the latest last
    turns = itertools.count(1)
    queue.max_size = None  # counted here
    queue.compute_analytics_summary = lambda records: {}  # of the last ten thousand, at every event that fails

    async def push_in_turn(body: Any, request: Request, username: str | None) -> tuple[bool, str, str]:
        asking = who(request)
        if refusal := _why_not(page, body, asking, limits):
            return False, translated(refusal, language_of(request.headers)), "error"
        done, name, state = await push(body, request, username)
        if done:
            sessions.belongs(body.session_hash, asking)
            event = queue.event_ids_to_events.get(name)
            if event and event in (line := queue.event_queue_per_concurrency_id[event.concurrency_id].queue):
                sort(event.concurrency_id)
                queue.broadcast_estimations(event.concurrency_id, line.index(event))  # to all from there on
        return done, name, state

    def get_events_in_turn() -> Any:
        lines, whole = queue.event_queue_per_concurrency_id, {}
        for name, line in lines.items():
            sort(name)
            whole[name], line.queue = line.queue, _not_too_many_of_one(line, _at_work(queue, name))
        found = get_events()
        chosen = found[0] if found else []
        for name, line in lines.items():
            line.queue = [event for event in whole[name] if event not in chosen]
        for event in chosen:
            remember(asking_of(event))
        return found

    def remember(asking: Who) -> None:
        for key in (asking, asking.address):
            had.pop(key, None)
            had[key] = next(turns)
        while len(had) > REMEMBERED:
            had.pop(next(iter(had)))

    def sort(name: str) -> None:
        line = queue.event_queue_per_concurrency_id[name]
        if len(line.queue) > 1:
            line.queue[:] = in_turn(line.queue, _at_work(queue, name), time.monotonic(), had)

    queue.push, queue.get_events = push_in_turn, get_events_in_turn


def _why_not(page: gr.Blocks, body: Any, asking: Who, limits: Limits) -> str:
    """Why an event may not stand in line; empty where it may."""
    event = page.fns.get(body.fn_index)
    if event is None or event.fn is None or len(body.session_hash or "") > MAX_NAME:
        return "This page is of another version of the studio: reload it."
    in_line = Shares(*limits.pair("waiting"))
    for line in page._queue.event_queue_per_concurrency_id.values():
        for other in line.queue:
            in_line.take(asking_of(other))
    if in_line.has_room(asking):
        return ""
    if in_line.taken(asking) >= in_line.each:
        return f"You have {in_line.each} requests in line: wait until some are answered."
    return "Too many requests are in line: wait a moment, and try again."


def in_turn(
    waiting: Sequence[Event], at_work: Sequence[Event], now: float, had: Mapping[Hashable, int] = MappingProxyType({})
) -> list[Event]:
    """The events in the order in which they are to be answered, while ``at_work`` are.

    Of those who have had as much, whoever had a turn longest ago comes first: ``had`` numbers the last turns, of
    visitors and of addresses. The first of each address gains a place with every so many seconds that it has waited:
    new ones do not come before it for ever.
    """

    def address(event: Event) -> str:
        return asking_of(event).address

    came = sorted(waiting, key=lambda event: event.enqueue_time)
    of_visitor = _places(came, at_work, asking_of)
    inside = sorted(came, key=lambda event: (of_visitor[event], had.get(asking_of(event), 0)))
    of_address = _places(inside, at_work, address)
    for first in {address(event): event for event in reversed(inside)}.values():
        of_address[first] -= int((now - first.enqueue_time) / GAIN_SECONDS)
    return sorted(inside, key=lambda event: (of_address[event], had.get(address(event), 0), event.enqueue_time))


def asking_of(event: Event) -> Who:
    """Who asked for an event: found out once, for the line is looked at twenty times a second."""
    if not hasattr(event, "asking"):
        event.asking = who(event.request)
    return event.asking


def _places(events: Sequence[Event], at_work: Sequence[Event], key: Callable[[Event], Hashable]) -> dict[Event, int]:
    """How many of the same ``key`` come before each event."""
    before, places = collections.Counter(map(key, at_work)), {}
    for event in events:
        places[event] = before[key(event)]
        before[key(event)] += 1
    return places


def _not_too_many_of_one(line: EventQueue, at_work: Sequence[Event]) -> list[Event]:
    """The events of a line without those of an address that has its share of the places, which is never more than half.

    All addresses that want places have the same share, or one visitor's slow photos would keep everybody waiting.
    """
    having = collections.Counter(asking_of(event).address for event in at_work)
    wanting = {asking_of(event).address for event in line.queue} | having.keys()
    limit = line.concurrency_limit or 0
    most = max(limit // max(2, len(wanting)), min(1, limit // 2))
    return [event for event in line.queue if having[asking_of(event).address] < most] if most else line.queue


def _at_work(queue: Queue, line: str) -> list[Event]:
    return [event for job in queue.active_jobs if job for event in job if event.concurrency_id == line]
