"""What passes the door, and what does not."""

import asyncio
import re
import shutil
import socket
from collections import namedtuple

import httpx
import pytest
from hypothesis import given
from hypothesis import strategies as st

from flowers.studio import door
from flowers.studio.door import Hosts, Turns
from flowers.studio.limits import Limits, Shares, Who
from flowers.studio.visitors import LIVE
from tests.studio.serving import served
from tests.waiting import wait_until


@pytest.fixture(scope="module")
def serving():
    with served() as serving:
        yield serving


# Names


@pytest.mark.parametrize(
    ("host", "passes"),
    [
        ("localhost", True), ("LOCALHOST:1", True), ("127.0.0.1", True), ("192.168.1.5:7860", True),
        ("[::1]:7860", True),
        ("evil.example", False), ("localhost.evil.example", False), ("127.0.0.1.evil.example", False), ("", False),
        ("evil.example:7860", False), ("[", False), ("a b", False),
    ],
)  # fmt: skip
def test_only_a_name_that_it_is_served_under_leads_to_the_studio(serving, host, passes):
    with serving.browser() as browser:
        answer = browser.get(serving.url, headers={"host": host})
    assert answer.status_code == (200 if passes else 421)
    if host == "evil.example":
        assert answer.json()["detail"] == (
            "This studio is not served as evil.example: start it with FLOWERS_HOSTS=evil.example."
        )


@pytest.mark.parametrize(
    "origin", ["https://evil.example", "null", "http://127.0.0.1.evil.example", "http://[", "http://127.0.0.1:9"]
)
@pytest.mark.parametrize(("method", "path"), [("POST", "upload"), ("POST", "queue/join"), ("GET", "info")])
def test_a_page_of_another_site_reaches_nothing(serving, origin, method, path):
    with serving.browser() as browser:
        answer = browser.request(method, path, headers={"origin": origin})
        assert answer.status_code == 403
        assert "page of another site" in answer.text
        assert browser.get("info", headers={"origin": serving.url.rstrip("/")}).status_code == 200


@pytest.fixture
def environment(monkeypatch):
    for name in ("FLOWERS_HOSTS", "SPACE_HOST", "SPACE_ID", "GRADIO_ROOT_PATH", "GRADIO_SERVER_NAME"):
        monkeypatch.delenv(name, raising=False)
    return monkeypatch


def asks(host: str, origin: str | None = None) -> httpx.Request:
    headers = {"host": host} | ({"origin": origin} if origin else {})
    return namedtuple("Asked", "headers")(headers)


def test_more_names_are_told_by_the_environment(environment):
    with pytest.raises(door.Refused):
        Hosts.of(None).check(asks("school.example"))
    environment.setenv("FLOWERS_HOSTS", "school.example, *.lab.example")
    for host in ("school.example", "a.lab.example:80", "SCHOOL.example."):
        Hosts.of(None).check(asks(host, f"https://{host}"))
    environment.setenv("FLOWERS_HOSTS", "*")
    Hosts.of(None).check(asks("whatever", "https://else"))
    environment.delenv("FLOWERS_HOSTS")
    environment.setenv("GRADIO_ROOT_PATH", "https://school.example/studio")
    Hosts.of(None).check(asks("127.0.0.1:7860", "https://school.example"))
    Hosts.of("my-server").check(asks("my-server:7860", "http://my-server:7860"))
    with pytest.raises(door.Refused):
        Hosts.of(None).check(asks("localhost:7860", "http://localhost:9999"))
    Hosts.of(None, share=True).check(asks("abc.gradio.live", "https://abc.gradio.live"))


def test_a_space_keeps_working(environment):
    environment.setenv("SPACE_ID", "somebody/flowers")
    environment.setenv("SPACE_HOST", "somebody-flowers.hf.space,flowers.example")
    hosts = Hosts.of(None)
    hosts.check(asks("10.1.2.3:7860"))
    hosts.check(asks("proxy.internal", "https://somebody-flowers.hf.space"))
    hosts.check(asks("flowers.example", "https://flowers.example"))
    assert hosts.without_strangers([(b"x-forwarded-host", b"somebody-flowers.hf.space")])
    with pytest.raises(door.Refused):
        hosts.check(asks("somebody-flowers.hf.space", "https://evil.example"))


# What there is not


@pytest.mark.parametrize(
    ("method", "path"),
    [
        ("POST", "gradio_api/process_recording"), 
        ("POST", "gradio_api/vibe-edit"),
        ("POST", "gradio_api/stream/x"), ("GET", "gradio_api/proxy=http://localhost/"), ("GET", "monitoring"),
        ("GET", "gradio_api/file=http://localhost/"), ("GET", "gradio_api/runs"), ("GET", "gradio_api/deep_link"),
    ],
)  # fmt: skip
def test_what_the_page_does_not_use_is_closed(serving, method, path):
    with serving.browser() as browser:
        answer = browser.request(method, serving.url + path)
    assert answer.status_code == 404
    assert answer.json()["detail"] == "There is nothing here."


@given(st.binary(max_size=200), st.sampled_from(["queue/join", "run/slow", "call/slow", "cancel", "reset", "upload"]))
def test_whatever_is_posted_the_answer_is_short_and_the_server_goes_on(serving, body, path):
    with serving.browser() as browser:
        answer = browser.post(path, content=body, headers={"content-type": "application/json"})
        assert 400 <= answer.status_code < 500 and len(answer.content) < 5000
        assert b"Traceback" not in answer.content
        assert browser.get(f"{serving.url}config").status_code == 200


# How much


def test_what_is_told_has_a_size(serving):
    with serving.browser() as browser:
        pieces = (b"x" * 100_000 for _ in range(100))  # whose sum is told by nobody
        for content in (b"x" * (door.MAX_TOLD + 1), pieces):
            answer = browser.post("queue/join", content=content, headers={"content-type": "application/json"})
            assert answer.status_code == 413
            assert answer.json()["detail"] == "This request is larger than 8 MB: send photos as uploads."


def upload(browser: httpx.Client, size: int, **options) -> httpx.Response:
    return browser.post("upload", files={"files": ("a.jpg", b"x" * size)}, **options)


@pytest.fixture
def narrow():
    with served(Limits(upload_mb=1, all_upload_mb=4)) as serving:
        yield serving


def test_in_an_hour_a_visitor_uploads_a_share(narrow):
    with narrow.browser("greedy") as greedy, narrow.browser("honest") as honest:
        assert upload(greedy, 600_000).status_code == 200
        answer = upload(greedy, 600_000)
        assert answer.status_code == 429
        assert answer.text == "So much has been uploaded in the last hour that this is too much: try again later."
        assert upload(honest, 300_000).status_code == 200
        assert upload(honest, 900_000).status_code == 429, "one address has a quarter of it all"


def test_an_upload_has_a_size(narrow):
    with narrow.browser() as browser:
        answer = browser.post("upload", content=iter([b"x"]))
        assert answer.status_code == 411
        assert answer.text == "The size of this upload was not told: choose the file again."
        both = {"content-length": "1", "transfer-encoding": "chunked"}
        assert browser.post("upload", content=iter([b"x"]), headers=both).status_code == 400, "HTTP does not know that"


def test_what_was_told_and_never_came_counts_nothing(narrow):
    """Who breaks off, or only pretends, has uploaded what came."""
    place = httpx.URL(narrow.url)
    with socket.create_connection((place.host, place.port)) as caller:
        caller.sendall(b"POST /gradio_api/upload HTTP/1.1\r\nHost: localhost\r\nContent-Length: 999999\r\n"
                       b"Content-Type: multipart/form-data; boundary=x\r\n\r\n--x\r\n")  # fmt: skip
        wait_until(lambda: narrow.door.arriving)
    wait_until(lambda: not narrow.door.arriving)
    assert narrow.door.uploaded.taken("127.0.0.1") < 1000


def test_who_tells_it_slowly_keeps_nobody_waiting(monkeypatch):
    monkeypatch.setattr(door, "IDLE_SECONDS", 0.5)
    with served(Limits(calls=1, all_calls=1)) as serving, serving.browser() as browser:
        place = httpx.URL(serving.url)
        with socket.create_connection((place.host, place.port)) as slow:
            slow.sendall(b"POST /gradio_api/queue/join HTTP/1.1\r\nHost: localhost\r\nContent-Length: 100\r\n\r\n{")
            wait_until(lambda: serving.door.held.taken("127.0.0.1"))
            assert browser.post("queue/join", json={}).is_client_error, "answered meanwhile"
            assert b" 408 " in slow.makefile("rb").readline()
        wait_until(lambda: not serving.door.held.taken("127.0.0.1"))


@pytest.mark.parametrize("path", ["login", "", "config", "gradio_api/info", "anything"])
def test_only_what_is_read_may_be_posted(serving, path):
    """Gradio takes a form of any size at /login."""
    with serving.browser() as browser:
        answer = browser.post(serving.url + path, files={"files": ("a", b"x" * 1000)})
    assert answer.status_code == 404


def test_no_page_is_told_a_name_that_the_studio_does_not_have(serving):
    headers = {"x-forwarded-host": "evil.example", "x-gradio-server": "http://evil.example/"}
    with serving.browser(headers=headers) as browser:
        for path in ("config", "gradio_api/info", ""):
            assert "evil.example" not in browser.get(serving.url + path).text


def test_under_a_path_the_limits_hold_as_well():
    with served(Limits(upload_mb=1, all_upload_mb=4), path="/studio") as serving, serving.browser() as browser:
        assert browser.get(f"{serving.url}studio/monitoring").status_code == 404
        for prefix in ("studio/", "", "studio/studio/"):
            answer = browser.post(f"{serving.url}{prefix}gradio_api/upload", files={"files": ("a", b"x" * 2_000_000)})
            assert answer.status_code in (404, 429)
        answer = browser.post(f"{serving.url}studio/gradio_api/upload", files={"files": ("a", b"x")})
        assert answer.status_code == 200


def test_uploads_leave_room_on_the_disk(narrow, monkeypatch):
    usage = shutil.disk_usage("/")
    monkeypatch.setattr(door.shutil, "disk_usage", lambda _: usage._replace(free=door.MIN_FREE + 1000))
    with narrow.browser() as browser:
        answer = upload(browser, 100_000)
    assert answer.status_code == 507
    assert answer.text == "The server's disk is nearly full: tell whoever runs this studio."


def test_a_visitor_has_not_too_many_requests_open():
    with (
        served(Limits(open=2, all_open=20)) as serving,
        serving.browser("greedy") as greedy,
        serving.browser("honest") as honest,
        greedy.stream("GET", "heartbeat/a") as one,
        greedy.stream("GET", "heartbeat/b") as two,
    ):
        beats = [one.iter_text(), two.iter_text()]  # whose end would end the requests
        assert all(next(beat) for beat in beats)
        answer = greedy.get("info")
        assert answer.status_code == 429
        assert answer.json()["detail"] == "You have too many requests open: wait until some are answered."
        assert honest.get("info").status_code == 200


def test_whoever_asks_too_much_at_once_waits_and_the_others_do_not():
    async def ask() -> list[str]:
        turns, served, last = Turns(Shares(1, 10)), [], asyncio.Event()

        async def one(who: Who, name: str) -> None:
            async with turns.turn(who):
                served.append(name)
                await last.wait()

        greedy, honest = Who("greedy", "here"), Who("honest", "here")
        asked = [asyncio.create_task(one(greedy, f"g{number}")) for number in range(3)]
        asked.append(asyncio.create_task(one(honest, "h")))
        await asyncio.sleep(0)
        await asyncio.sleep(0)
        first = list(served)
        asked[1].cancel()
        last.set()
        await asyncio.gather(*asked, return_exceptions=True)
        return [first, served, turns.shares._taken]

    first, served_, left = asyncio.run(ask())
    assert first == ["g0", "h"]
    assert served_ == ["g0", "h", "g2"]
    assert left == {}


def test_of_a_visitors_frames_one_waits_and_visitors_take_turns():
    """Who sends sixty a second gets no more answers than another."""

    async def look() -> tuple[list[str], list[int]]:
        answered, go_on = [], asyncio.Semaphore(0)

        async def slow(scope, receive, send) -> None:
            await go_on.acquire()
            answered.append(dict(scope["headers"])[b"x-frame"].decode())
            await send({"type": "http.response.start", "status": 200, "headers": []})
            await send({"type": "http.response.body", "body": b""})

        guarded = door.Door(slow, Hosts(["studio"]), Limits(), None)
        async with httpx.AsyncClient(transport=httpx.ASGITransport(guarded), base_url="http://studio") as browser:

            def send(visitor: str, name: str) -> asyncio.Task:
                headers = {"cookie": f"flowers_visitor={visitor}", "x-frame": name}
                return asyncio.create_task(browser.post(LIVE, headers=headers, content=b"frame"))

            async def rest() -> None:
                for _ in range(50):
                    await asyncio.sleep(0)

            asked = []
            for visitor, name in (("greedy", "g1"), ("greedy", "g2"), ("honest", "h1"), ("greedy", "g3")):
                asked.append(send(visitor, name))
                await rest()
            go_on.release()
            await rest()
            asked.append(send("greedy", "g4"))  # its second is at work now
            await rest()
            for _ in range(9):
                go_on.release()
            return answered, [(await one).status_code for one in asked]

    answered, statuses = asyncio.run(look())
    assert answered == ["g1", "g2", "h1", "g4"]
    assert statuses == [200, 200, 200, 429, 200]


def test_refusals_are_in_the_visitors_language(serving):
    with serving.browser(headers={"accept-language": "zh"}) as browser:
        for answer in (browser.post("process_recording"), browser.get("info", headers={"host": "evil.example"})):
            assert re.search("[\u4e00-\u9fff]", answer.json()["detail"])
