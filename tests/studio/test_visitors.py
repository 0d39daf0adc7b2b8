"""Visitors and their cookie."""

import asyncio

import gradio as gr
import pytest
from gradio.context import LocalContext
from hypothesis import example, given
from hypothesis import strategies as st
from starlette.requests import HTTPConnection

from flowers.studio.language import COOKIE as LANGUAGE
from flowers.studio.language import chosen
from flowers.studio.visitors import COOKIE, Remember, address_of, path_of, visitor


def answer(path: str = "/", cookie: str = "", scheme: str = "http") -> dict[bytes, bytes]:
    """The headers of a page's answer."""

    async def page(scope, receive, send):
        await send({"type": "http.response.start", "status": 200, "headers": []})

    sent = []

    async def send(message):
        sent.append(message)

    scope = {"type": "http", "path": path, "scheme": scheme, "headers": [(b"cookie", cookie.encode("latin-1"))]}
    asyncio.run(Remember(page)(scope, None, send))
    return dict(sent[0]["headers"])


def test_every_browser_gets_another_cookie_once():
    first, second = answer()[b"set-cookie"], answer()[b"set-cookie"]
    assert first != second and b"HttpOnly" in first and b"Secure" not in first
    assert answer(cookie=first.decode().split(";")[0]) == {}
    assert answer("/config") == {}


OTHERS = st.text(st.characters(min_codepoint=32, max_codepoint=255, exclude_characters=";\x7f"), max_size=30)


@given(OTHERS, OTHERS)
@example('consent={"a":1}', "")
@example("a b=[é", '"')
def test_whatever_cookies_other_programs_keep_on_this_host_a_visitor_is_known(before, after):
    ours = answer()[b"set-cookie"].decode().split(";")[0]
    assert answer(cookie=f"{before}; {ours}; {after}") == {}
    assert chosen({"cookie": f"{before}; {LANGUAGE}=zh-CN; {after}", "accept-language": "en"}) == "zh-CN"


def test_over_https_it_is_kept_within_a_frame():
    assert b"SameSite=None; Secure; Partitioned" in answer(scheme="https")[b"set-cookie"]


@pytest.fixture
def asking():
    def as_(**fields):
        LocalContext.request.set(gr.Request(headers={}, client=None, query_params={}, **fields))
        return visitor()

    yield as_
    LocalContext.request.set(None)


def test_a_visitors_name_is_of_the_cookie_and_does_not_tell_it(asking):
    name = asking(cookies={COOKIE: "secret"}, session_hash="1")
    assert name == asking(cookies={COOKIE: "secret"}, session_hash="2") != asking(cookies={COOKIE: "other"})
    assert "secret" not in name and len(name) == 32


def test_without_a_cookie_the_session_counts(asking):
    assert asking(cookies={}, session_hash="1") != asking(cookies={}, session_hash="2")
    assert asking(cookies={}, session_hash=None) == "nobody"


def test_outside_events_it_is_nobody():
    assert visitor() == "nobody"


def comes_from(client: str, *forwarded: str) -> str:
    headers = [(b"x-forwarded-for", line.encode()) for line in forwarded]
    return address_of(HTTPConnection({"type": "http", "client": (client, 1), "headers": headers}))


@pytest.fixture
def proxies(monkeypatch):
    """Set how many there are, or that it is a Space."""
    monkeypatch.delenv("SPACE_ID", raising=False)
    monkeypatch.delenv("FLOWERS_BEHIND_PROXY", raising=False)
    return monkeypatch.setenv


def test_an_address_is_that_of_whoever_speaks_to_us(proxies):
    assert comes_from("192.168.1.5", "8.8.8.8") == "192.168.1.5", "anybody can send that header"
    assert comes_from("2001:db8:1:2:3:4:5:6") == comes_from("2001:db8:1:9::1") == "2001:db8:1::/48"
    assert comes_from("::ffff:91.1.2.3") == "91.1.2.3"
    assert comes_from("testclient") == "testclient"


@pytest.mark.parametrize(
    ("count", "forwarded", "address"),
    [
        ("1", ["1.1.1.1, 8.8.8.8"], "8.8.8.8"), ("1", ["1.1.1.1", "8.8.8.8"], "8.8.8.8"),
        ("1", ["1.1.1.1, 91.1.2.3:5123"], "91.1.2.3"), ("1", ["1.1.1.1, [2001:db8:1::7]:80"], "2001:db8:1::/48"),
        ("1", ["8.8.8.8, 192.168.1.20"], "192.168.1.20"), ("2", ["1.1.1.1, 8.8.8.8, 10.0.0.3"], "8.8.8.8"),
        ("2", ["8.8.8.8"], "8.8.8.8"), ("1", ["8.8.8.8, nonsense"], "10.0.0.7"), ("1", [], "10.0.0.7"),
        ("many", ["8.8.8.8"], "10.0.0.7"), ("0", ["8.8.8.8"], "10.0.0.7"),
    ],
)  # fmt: skip
def test_behind_proxies_it_is_what_the_first_of_them_says(proxies, count, forwarded, address):
    proxies("FLOWERS_BEHIND_PROXY", count)
    assert comes_from("10.0.0.7", *forwarded) == address


def test_on_a_space_it_is_the_last_public_one(proxies):
    proxies("SPACE_ID", "somebody/flowers")
    assert comes_from("10.0.0.7", "1.1.1.1, 8.8.8.8, 10.0.0.3") == "8.8.8.8", "the first is the visitor's own word"
    assert comes_from("10.0.0.7", "nonsense") == comes_from("10.0.0.7") == "10.0.0.7"


@pytest.mark.parametrize(
    ("root", "path", "within"),
    [
        ("", "/gradio_api/upload", "/gradio_api/upload"),
        ("/studio", "/studio/gradio_api/upload", "/gradio_api/upload"),
        ("/studio/", "/studio", "/"), ("/studio", "/studio/", "/"), ("/studio", "/studios/x", "/studios/x"),
        ("/studio", "/gradio_api/upload", "/gradio_api/upload"),
    ],
)  # fmt: skip
def test_a_path_is_told_without_the_one_before_it(root, path, within):
    assert path_of({"path": path, "root_path": root}) == within
