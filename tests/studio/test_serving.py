"""How the studio ends when it cannot be served; tests/browser/test_page.py tries it with a port that is taken."""

import os
from types import SimpleNamespace

import pytest

from flowers.studio import app


@pytest.fixture(autouse=True)
def proxies(monkeypatch):
    """What the studio sets is gone after the test."""
    monkeypatch.setenv("NO_PROXY", "example.com")
    monkeypatch.delenv("no_proxy", raising=False)


class Unserved:
    """A page of Gradio's for which there is no port."""

    _queue = SimpleNamespace(
        push=None, get_events=None
    )  # which is told how often to look for events, and in which order
    process_api = preprocess_data = None

    def queue(self, **limits) -> "Unserved":
        return self

    def launch(self, **options) -> None:
        raise OSError("Cannot find empty port in range: 7860-7860.")


def test_a_port_that_is_taken_is_told_in_a_sentence(monkeypatch):
    monkeypatch.setattr(app, "build", lambda opened: Unserved())
    with pytest.raises(SystemExit) as ended:
        app.main(["--port", "7860"])
    assert "Cannot find empty port" in ended.value.code
    assert ended.value.code.endswith("choose another --port or --host.")


def test_it_reaches_itself_whatever_proxy_the_environment_names(monkeypatch):
    """Gradio asks its own server whether it is there; with all requests sent to a proxy it would find nobody."""
    monkeypatch.setattr(app, "build", lambda opened: Unserved())
    with pytest.raises(SystemExit):
        app.main(["--host", "192.168.1.5"])
    assert os.environ["NO_PROXY"].split(",") == ["example.com", "localhost", "127.0.0.1", "0.0.0.0", "192.168.1.5"]
    assert os.environ["no_proxy"].split(",") == ["localhost", "127.0.0.1", "0.0.0.0", "192.168.1.5"]


def test_a_proxy_of_sockets_is_no_obstacle(monkeypatch):
    import httpx

    monkeypatch.setenv("ALL_PROXY", "socks5://127.0.0.1:9")
    httpx.Client().close()
