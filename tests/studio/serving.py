"""A small page, served as the studio is: at its door, in turn, and with errors as sentences."""

import asyncio
import errno
import os
import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import gradio as gr
import httpx
import uvicorn
from fastapi import FastAPI
from starlette.middleware import Middleware

from flowers.errors import UsageError
from flowers.studio.app import in_line
from flowers.studio.door import Door, Hosts
from flowers.studio.limits import Limits
from flowers.studio.sessions import Sessions
from flowers.studio.uploads import WithoutPlace
from tests.waiting import wait_until

API = "gradio_api"


class Served:
    """What a test knows of the page: its address, and what its events wait for."""

    url: str
    server: uvicorn.Server
    sessions: Sessions
    loop: asyncio.AbstractEventLoop
    door: Door

    def __init__(self) -> None:
        self.go_on = threading.Event()
        self.begun: list[str] = []
        self.done: list[str] = []
        with gr.Blocks(analytics_enabled=False) as self.page:
            box, said, kept = gr.Textbox(), gr.Textbox(), gr.State()
            box.submit(self.slow, box, said, api_name="slow", concurrency_limit=1)
            box.input(self.slow, box, said, api_name="double", concurrency_limit=2)
            box.change(self.raises, box, said, api_name="raises")
            box.blur(lambda word: word, box, kept, api_name="quick", queue=False)

    def slow(self, word: str) -> str:
        """Wait until it may go on."""
        self.begun.append(word)
        self.go_on.wait(30)
        self.done.append(word)
        return word

    def raises(self, kind: str) -> str:
        """Raise an error of that kind."""
        usage = UsageError("rotation cannot be 999: give a number from 0 to 180 (degrees).")
        kinds = {"usage": usage, "ours": gr.Error("Ours.", print_exception=False), "theirs": gr.Error("Theirs.")}
        kinds["full"] = OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        raise kinds.get(kind, ValueError("a secret"))

    def browser(self, cookie: str = "", **options) -> httpx.Client:
        """Somebody's, who has a cookie, or none."""
        options |= {"cookies": {"flowers_visitor": cookie} if cookie else {}, "trust_env": False}
        # It is plain http: to load certificates would take longer than most calls.
        return httpx.Client(base_url=f"{self.url}{API}/", timeout=30, verify=False, **options)

    def join(self, browser: httpx.Client, word: str, name: str = "slow", session: str | None = None) -> httpx.Response:
        """Ask for an event that waits."""
        number = next(key for key, event in self.page.fns.items() if event.api_name == name)
        asked = {"fn_index": number, "data": [word], "session_hash": session or word}
        return browser.post("queue/join", json=asked)

    def forget_old(self) -> set[str]:
        """Have old sessions forgotten by the thread that answers; those that are left."""

        async def forget() -> set[str]:
            self.sessions.forget_old()
            return set(self.page.state_holder.session_data)

        return asyncio.run_coroutine_threadsafe(forget(), self.loop).result()

    def heard(self, browser: httpx.Client, session: str) -> str:
        """All that is told of a session's events, until they are done."""
        with browser.stream("GET", "queue/data", params={"session_hash": session}) as told:
            return "".join(told.iter_text())


@contextmanager
def served(limits: Limits | None = None, path: str = "") -> Iterator[Served]:
    """Such a page, with the events ``slow`` and ``double``, ``raises`` and ``quick``; until the block ends."""
    found: list[Served] = []
    thread = threading.Thread(target=lambda: asyncio.run(_serve(limits or Limits(), path, found)))
    thread.start()
    wait_until(lambda: found and found[0].server.started)
    httpx.get(f"{found[0].url}{API}/app_id", trust_env=False)  # with the first request, Starlette makes the door
    try:
        yield found[0]
    finally:
        found[0].go_on.set()
        found[0].server.should_exit = True
        thread.join()


async def _serve(limits: Limits, path: str, found: list[Served]) -> None:
    """Gradio makes locks of its own: in a running loop, or it would leave others behind."""
    serving = Served()
    serving.loop = asyncio.get_running_loop()
    serving.sessions = sessions = in_line(serving.page, limits)

    def door(app: Any) -> Door:
        serving.door = Door(app, Hosts(["localhost"]), limits, sessions)
        return serving.door

    middleware = [Middleware(door), Middleware(WithoutPlace)]
    app = gr.mount_gradio_app(FastAPI(), serving.page, "/", app_kwargs={"middleware": middleware}, root_path=path)
    with socket.create_server(("127.0.0.1", 0)) as listening:
        serving.url = f"http://127.0.0.1:{listening.getsockname()[1]}/"
        serving.server = uvicorn.Server(uvicorn.Config(app, log_level="warning", timeout_graceful_shutdown=1))
        found.append(serving)
        await serving.server.serve(sockets=[listening])
