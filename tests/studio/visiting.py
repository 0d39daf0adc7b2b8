"""Tests that speak as a visitor does: inside an event, where texts are in a language and a browser has a name."""

from collections.abc import Iterator
from contextlib import contextmanager
from types import SimpleNamespace

from gradio.context import LocalContext


@contextmanager
def visit(name: str = "somebody", language: str = "en") -> Iterator[None]:
    """As if an event of that visitor were being answered."""
    cookies = {"flowers_visitor": name}
    request = SimpleNamespace(headers={"accept-language": language}, cookies=cookies, session_hash=name)
    token = LocalContext.request.set(request)
    try:
        yield
    finally:
        LocalContext.request.reset(token)
