"""Whose event is answered next."""

import itertools
import re
from types import SimpleNamespace

import pytest
from hypothesis import given
from hypothesis import strategies as st
from starlette.requests import HTTPConnection

from flowers.studio.limits import Limits, Who
from flowers.studio.turns import _not_too_many_of_one, in_turn
from flowers.studio.visitors import who
from tests.studio.serving import served
from tests.waiting import wait_until


class Event:
    """As Gradio's, as far as turns look at it."""

    def __init__(self, visitor: str, address: str, time: float) -> None:
        headers = [(b"cookie", f"flowers_visitor={visitor}".encode())]
        self.request = HTTPConnection({"type": "http", "headers": headers, "client": (address, 1)})
        self.enqueue_time = time
        self.name = f"{visitor}{time}"


def names(events) -> list[str]:
    return [event.name for event in events]


def test_visitors_are_answered_one_after_the_other():
    greedy = [Event("g", "10.0.0.1", time) for time in range(5)]
    others = [Event("a", "10.0.0.2", 6), Event("b", "10.0.0.3", 7), Event("a", "10.0.0.2", 8)]
    assert names(in_turn([*greedy, *others], [], 9)) == ["g0", "a6", "b7", "g1", "a8", "g2", "g3", "g4"]
    assert names(in_turn([*greedy, *others], [greedy[0]], 9)) == ["a6", "b7", "g0", "a8", "g1", "g2", "g3", "g4"]


def test_who_has_waited_for_long_is_not_always_behind_those_who_come():
    mine, at_work = Event("a", "10.0.0.1", 0), Event("a", "10.0.0.1", -1)
    others = [Event("b", f"10.0.1.{number}", number) for number in range(1, 25)]
    assert names(in_turn([mine, *others[:3]], [at_work], 3))[-1] == "a0"
    assert names(in_turn([mine, *others[15:]], [at_work], 25))[0] == "a0"


def test_more_cookies_from_one_place_get_nothing_more():
    greedy = [Event(f"g{number}-", "10.0.0.1", number) for number in range(5)]
    others = [Event("a", "10.0.0.2", 6), Event("a", "10.0.0.2", 7)]
    assert names(in_turn([*greedy, *others], [], 8))[:4] == ["g0-0", "a6", "g1-1", "a7"]


def test_behind_one_address_a_class_shares_what_it_gets():
    greedy = [Event("g", "10.0.0.1", time) for time in range(3)]
    pupil = Event("p", "10.0.0.1", 5)
    assert names(in_turn([*greedy, pupil], [], 6)) == ["g0", "p5", "g1", "g2"]


def test_whose_turn_it_was_last_comes_after_who_had_none():
    events = [Event("g", "10.0.0.1", 0), Event("h", "10.0.0.1", 1), Event("a", "10.0.0.2", 2)]
    had = {who(events[0].request): 1, "10.0.0.1": 1}
    assert names(in_turn(events, [], 3, had)) == ["a2", "h1", "g0"]


@given(st.lists(st.tuples(st.sampled_from("abc"), st.sampled_from(["10.0.0.1", "10.0.0.2"])), max_size=30), st.data())
def test_whoever_comes_none_is_lost_and_each_keeps_the_order(asked, data):
    events = [Event(visitor, address, time) for time, (visitor, address) in enumerate(asked)]
    at_work = [one for one in events if data.draw(st.booleans())]
    turned = in_turn(data.draw(st.permutations([one for one in events if one not in at_work])), at_work, 30)
    assert {id(one) for one in turned} | {id(one) for one in at_work} == {id(one) for one in events}
    for one, other in itertools.combinations(turned, 2):
        if who(one.request) == who(other.request):
            assert one.enqueue_time < other.enqueue_time


def test_one_visitor_fills_no_line_and_the_others_come_in_between():
    with served(Limits(waiting=4, all_waiting=20)) as serving, serving.browser("greedy") as greedy:
        asked = [serving.join(greedy, f"g{number}") for number in range(8)]
        assert [answer.status_code for answer in asked].count(200) in (4, 5)  # one is at work, or will be
        refused = [answer.json()["detail"] for answer in asked if answer.status_code != 200]
        assert set(refused) == {"You have 4 requests in line: wait until some are answered."}
        with serving.browser("honest") as honest:
            assert serving.join(honest, "h").status_code == 200
            line = serving.page._queue.event_queue_per_concurrency_id
            wait_until(lambda: any(event.session_hash == "h" for queue in line.values() for event in queue.queue))
            serving.go_on.set()
            assert "process_completed" in serving.heard(honest, "h")
    assert serving.done.index("h") <= 2


@pytest.mark.parametrize(
    "asked",
    [{"fn_index": 999}, {"fn_index": -1}, {"fn_index": None}, {"fn_index": 0, "session_hash": "x" * 10_000_000}],
)
def test_an_event_that_is_none_of_the_page_is_refused(asked):
    with served() as serving, serving.browser() as browser:
        answer = browser.post("queue/join", json={"session_hash": "s", "data": [], **asked})
        assert answer.status_code in (400, 413)
        assert re.fullmatch(r"[A-Z][^\n]*\.", answer.json()["detail"])
        assert serving.page.state_holder.session_data.keys() <= {"s"}


def test_who_has_half_of_the_places_leaves_the_others_to_others():
    with served(Limits(waiting=9, all_waiting=99)) as serving, serving.browser("greedy") as greedy:
        honest = serving.browser("honest", headers={"x-forwarded-for": "198.51.100.7"})
        for number in range(6):
            assert serving.join(greedy, f"g{number}", "double").status_code == 200
        wait_until(lambda: serving.begun)
        with honest:
            assert serving.join(honest, "h", "double").status_code == 200
            wait_until(lambda: "h" in serving.begun)
        assert serving.begun == ["g0", "h"]


@pytest.mark.parametrize(
    ("limit", "at_work", "in_line", "let_in"),
    [
        (4, "", "aaa", "aaa"), (4, "a", "aa", "aa"), (4, "aa", "aa", ""), (4, "aa", "aab", "b"),
        (4, "a", "aabcd", "bcd"), (4, "abcd", "aef", "ef"), (2, "a", "abc", "bc"), (1, "", "aa", "aa"),
        (None, "aaa", "a", "a"),
    ],
)  # fmt: skip
def test_those_who_want_a_line_share_its_places(limit, at_work, in_line, let_in):
    """Letters are addresses. Who is let in here still comes one after the other."""
    working, waiting = ([SimpleNamespace(asking=Who(name, name)) for name in names] for names in (at_work, in_line))
    line = SimpleNamespace(queue=waiting, concurrency_limit=limit)
    assert "".join(event.asking.address for event in _not_too_many_of_one(line, working)) == let_in
