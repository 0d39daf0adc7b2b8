"""Tests that speak as a visitor does: inside an event, where texts are in a language and a browser has a name."""

from collections.abc import Iterator
from contextlib import contextmanager
from types import SimpleNamespace

from gradio.context import LocalContext
from starlette.requests import HTTPConnection


@contextmanager
def visit(name: str = "somebody", language: str = "en", address: str = "10.0.0.1") -> Iterator[None]:
    """As if an event of that visitor were being answered."""
    cookies = {"flowers_visitor": name}
    scope = {"type": "http", "headers": [], "client": (address, 1)}
    request = SimpleNamespace(
        headers={"accept-language": language}, cookies=cookies, session_hash=name, request=HTTPConnection(scope)
    )
    token = LocalContext.request.set(request)
    try:
        yield
    finally:
        LocalContext.request.reset(token)
