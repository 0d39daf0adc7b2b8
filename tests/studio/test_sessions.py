"""What is kept of pages that were closed and of calls that have ended."""

import threading

import pytest

from flowers.studio.limits import Limits
from tests.studio.serving import served
from tests.waiting import wait_until

FEW = Limits(sessions=3, all_sessions=10)


@pytest.fixture
def serving():
    with served(FEW) as serving:
        serving.go_on.set()
        yield serving


def held(serving) -> set[str]:
    return set(serving.page.state_holder.session_data)


def call(serving, cookie: str, session: str) -> None:
    with serving.browser(cookie) as browser:
        assert serving.join(browser, session).status_code == 200
        serving.heard(browser, session)


def test_of_calls_that_have_ended_little_is_kept_and_the_latest(serving):
    for number in range(12):
        call(serving, "program", f"call{number}")
    wait_until(lambda: serving.forget_old() == {"call9", "call10", "call11"})
    queue = serving.page._queue
    assert set(queue.pending_event_ids_session) <= held(serving)
    assert set(queue.pending_messages_per_session) <= held(serving)
    assert set(serving.sessions._whose) <= held(serving)


def test_whoever_throws_the_cookie_away_is_counted_by_address(serving):
    for number in range(20):
        call(serving, f"cookie{number}", f"call{number}")
    wait_until(lambda: serving.forget_old() == {f"call{number}" for number in range(17, 20)})


def test_it_happens_by_itself(serving):
    for number in range(40):
        call(serving, "program", f"call{number}")
    assert len(held(serving)) < 30


def test_a_page_that_is_open_is_kept_whatever_others_do(serving):
    call(serving, "honest", "page")
    with serving.browser("honest") as honest, honest.stream("GET", "heartbeat/page") as beating:
        beats = beating.iter_text()  # whose end would end the request
        assert next(beats)
        for number in range(15):
            call(serving, f"cookie{number}", f"call{number}")
        assert "page" in serving.forget_old()
    wait_until(lambda: "page" not in serving.forget_old())


def test_a_page_whose_event_is_still_in_line_is_kept(serving):
    serving.go_on.clear()
    with serving.browser("honest") as honest, serving.browser("other") as other:
        assert serving.join(honest, "waits").status_code == 200
        for number in range(5):
            serving.join(other, f"call{number}")
        assert "waits" in serving.forget_old()
        serving.go_on.set()
        assert "waits" in serving.heard(honest, "waits")


def test_a_page_that_was_closed_long_ago_is_forgotten(serving, monkeypatch):
    call(serving, "somebody", "page")
    monkeypatch.setattr("flowers.studio.sessions.KEPT_SECONDS", -1)
    wait_until(lambda: serving.forget_old() == set())


def test_direct_calls_with_names_of_their_own_are_counted_too(serving):
    serving.page.api_open = True
    with serving.browser() as browser:
        threads = []
        for number in range(30):
            thread = threading.Thread(target=browser.post, args=["run/quick"],
                                      kwargs={"json": {"data": ["w"], "session_hash": f"s{number}"}})  # fmt: skip
            threads.append(thread)
            thread.start()
        for thread in threads:
            thread.join()
    assert len(serving.forget_old()) <= FEW.sessions
