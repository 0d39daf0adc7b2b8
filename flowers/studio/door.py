"""The door: every request passes it, and none goes on that is not meant for this studio or would take too much of it.

What Gradio serves and this page does not use stays closed.
"""

import asyncio
import collections
import contextlib
import fnmatch
import ipaddress
import os
import re
import shutil
import socket
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlsplit

from gradio.utils import get_upload_folder
from starlette.requests import HTTPConnection
from starlette.responses import JSONResponse, PlainTextResponse

from flowers.studio import faults
from flowers.studio.language import chosen, translated
from flowers.studio.limits import Limits, Shares, Who
from flowers.studio.sessions import Sessions
from flowers.studio.visitors import Receive, Scope, Send, who

API = "/gradio_api/"
TOLD = re.compile(r"(queue/join|call/|run/|cancel|reset|mcp)")  # what may be posted, besides uploads
UNUSED = re.compile(
    r"(monitoring|gradio_api/(stream/|proxy=|file=https?:|file/|runs|run-history|dev/|profiling|vibe|deep_link|token"
    r"|custom_component|component_server|process_recording|openapi))"
)
WITH_SESSION = re.compile(rf"{API}(?:heartbeat|call/(?:v2/)?[^/]+)/([^/]+)$")
MAX_TOLD = 8_000_000  # bytes: ten pictures of a camera, as text, are 1.5 MB
UPLOADS_LAST = 3600  # seconds for which an upload counts
TOO_LARGE = f"This request is larger than {MAX_TOLD // 10**6} MB: send photos as uploads."
MIN_FREE = 1_000_000_000  # bytes of the disk that uploads leave free, for runs and albums


class Refused(Exception):
    """A request that does not go on: the status of the answer, and the sentence that says why."""

    def __init__(self, status: int, sentence: str) -> None:
        super().__init__(sentence)
        self.status = status


class Hosts:
    """The names under which this studio is served.

    A page elsewhere whose name was made to lead to this machine (DNS rebinding) has another name, and one that sends
    requests here from a visitor's browser has another origin. Addresses are no names: whoever asks for an address means
    this machine.

    Args:
        names: as in ``localhost`` or ``*.example.org``; ``*`` is any.
    """

    def __init__(self, names: Iterable[str]) -> None:
        self.names = sorted({name.strip().lower() for name in names if name.strip()})

    @classmethod
    def of(cls, host: str | None, share: bool = False) -> "Hosts":
        """Those of a server that listens as ``host``, by the environment: ``FLOWERS_HOSTS`` names more."""
        own = socket.gethostname()
        names = ["localhost", "*.localhost", own, f"{own}.local", host or os.environ.get("GRADIO_SERVER_NAME", "")]
        names += [os.environ.get("FLOWERS_HOSTS", ""), os.environ.get("SPACE_HOST", "")]
        names.append(urlsplit(os.environ.get("GRADIO_ROOT_PATH", "")).hostname or "")
        names += ["*.gradio.live"] if share else []
        return cls(name for listed in names for name in listed.split(","))

    def check(self, connection: HTTPConnection) -> None:
        """Raises Refused for a request to another name, or from another site."""
        asked = _hostname("//" + connection.headers.get("host", ""))
        if not (self._has(asked) or _is_address(asked) or os.environ.get("SPACE_ID")):  # a Space is public anyway
            raise Refused(
                421, f"This studio is not served as {asked[:100]}: start it with FLOWERS_HOSTS={asked[:100]}."
            )
        origin = connection.headers.get("origin")
        if origin is not None and (sender := _hostname(origin)) != asked and not self._has(sender):
            raise Refused(
                403, "This request was sent by a page of another site: use the studio's own page, or name that site in "
                "FLOWERS_HOSTS."
            )  # fmt: skip

    def _has(self, name: str) -> bool:
        return bool(name) and any(fnmatch.fnmatchcase(name, allowed) for allowed in self.names)


class Door:
    """ASGI middleware that holds every request to the hosts and the limits."""

    def __init__(
        self, app: Callable[[Scope, Receive, Send], Awaitable[None]], hosts: Hosts, limits: Limits, sessions: Sessions
    ) -> None:
        self.app = app
        self.hosts = hosts
        self.sessions = sessions
        self.open = Shares(*limits.pair("open"))
        self.calls, self.uploads = Turns(Shares(*limits.pair("calls"))), Turns(Shares(*limits.pair("calls")))
        self.uploaded = Shares(*(10**6 * limit for limit in limits.pair("upload_mb")))
        self.arriving = 0  # bytes

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "lifespan":
            await self.app(scope, receive, send)
            return
        if scope["type"] != "http":  # Gradio has no other
            await send({"type": "websocket.close"})
            return
        connection = HTTPConnection(scope)
        begun = False

        async def answer(message: dict) -> None:
            nonlocal begun
            begun = True
            await send(message)

        try:
            self.hosts.check(connection)
            async with self._let_in(connection, receive) as reading:
                await self.app(scope, reading, answer)
        except Refused as refused:
            if not begun:
                await _say(refused, connection)(scope, receive, send)
        except Exception as error:  # Gradio's routes read what they are sent as if it were a page's
            faults.tell(error, f"{scope['method']} {scope['path'][:200]}", "line")
            if not begun:
                await _say(Refused(400, faults.UNREADABLE), connection)(scope, receive, send)

    @contextlib.asynccontextmanager
    async def _let_in(self, connection: HTTPConnection, receive: Receive) -> AsyncIterator[Receive]:
        """While a request is worked on; gives what its body is to be read by. Raises Refused."""
        path, method, asking = connection.scope["path"], connection.scope["method"], who(connection)
        if UNUSED.match(path.lstrip("/")):
            raise Refused(404, "There is nothing here.")
        if not path.startswith(API):
            yield receive
            return
        if not self.open.take(asking):
            raise Refused(429, "You have too many requests open: wait until some are answered.")
        try:
            if method != "POST":
                with self.sessions.watched(_session(connection), asking):
                    yield receive
            elif path == f"{API}upload":
                async with self.uploads.turn(asking), self._arrives(connection, asking):
                    yield receive
            elif TOLD.match(path.removeprefix(API)):
                if (_size(connection) or 0) > MAX_TOLD:
                    raise Refused(413, TOO_LARGE)
                async with self.calls.turn(asking):
                    self.sessions.tidy()
                    yield at_most(receive, MAX_TOLD)
            else:
                raise Refused(404, "There is nothing here.")
        finally:
            self.open.give_back(asking)

    @contextlib.asynccontextmanager
    async def _arrives(self, connection: HTTPConnection, asking: Who) -> AsyncIterator[None]:
        """While an upload arrives. Raises Refused where there is no room for it."""
        size = _size(connection)
        if size is None:
            raise Refused(411, "The size of this upload was not told: choose the file again.")
        if not self.uploaded.has_room(asking, size):
            raise Refused(429, "So much has been uploaded in the last hour that this is too much: try again later.")
        if shutil.disk_usage(_existing(Path(get_upload_folder()))).free - self.arriving - size < MIN_FREE:
            raise Refused(507, "The server's disk is nearly full: tell whoever runs this studio.")
        self.uploaded.take(asking, size)
        asyncio.get_running_loop().call_later(UPLOADS_LAST, self.uploaded.give_back, asking, size)
        self.arriving += size
        try:
            yield
        finally:
            self.arriving -= size


class Turns:
    """Of those who want a share, each waits until there is one."""

    def __init__(self, shares: Shares) -> None:
        self.shares = shares
        self._waiting: collections.OrderedDict[asyncio.Future, Who] = collections.OrderedDict()

    @contextlib.asynccontextmanager
    async def turn(self, asking: Who) -> AsyncIterator[None]:
        """Wait for a share, and have it while the block lasts. Who came first goes first, where it may."""
        if not self.shares.take(asking):
            called = asyncio.get_running_loop().create_future()
            self._waiting[called] = asking
            try:
                await called
            except asyncio.CancelledError:
                if called.done() and not called.cancelled():  # called, and gone at the same moment
                    self._give_back(asking)
                raise
            finally:
                self._waiting.pop(called, None)
        try:
            yield
        finally:
            self._give_back(asking)

    def _give_back(self, asking: Who) -> None:
        self.shares.give_back(asking)
        for called, waiting in list(self._waiting.items()):
            if not called.done() and self.shares.take(waiting):
                called.set_result(None)


def at_most(receive: Receive, size: int) -> Receive:
    """``receive`` for a body of at most so many bytes; it raises Refused beyond."""
    had = 0

    async def reading() -> dict[str, Any]:
        nonlocal had
        message = await receive()
        had += len(message.get("body", b""))
        if had > size:
            raise Refused(413, TOO_LARGE)
        return message

    return reading


def _size(connection: HTTPConnection) -> int | None:
    told = connection.headers.get("content-length", "")
    return int(told) if told.isascii() and told.isdigit() and len(told) < 20 else None


def _session(connection: HTTPConnection) -> str | None:
    """The page, or the call, whose answers a request stays open for."""
    if found := WITH_SESSION.match(connection.scope["path"]):
        return found.group(1)
    asked = parse_qs(connection.scope.get("query_string", b"").decode("latin-1"))
    return asked.get("session_hash", [None])[0]


def _say(refused: Refused, connection: HTTPConnection) -> JSONResponse | PlainTextResponse:
    """The answer in the visitor's language. Gradio's page shows an upload's as it is, and of others the detail."""
    words = translated(str(refused), chosen(connection.headers))
    if connection.scope["path"] == f"{API}upload":
        return PlainTextResponse(words, refused.status)
    return JSONResponse({"detail": words, "error": words}, refused.status)


def _hostname(url: str) -> str:
    with contextlib.suppress(ValueError):
        return (urlsplit(url).hostname or "").rstrip(".")
    return ""


def _is_address(name: str) -> bool:
    with contextlib.suppress(ValueError):
        return bool(ipaddress.ip_address(name))
    return False


def _existing(folder: Path) -> Path:
    """The folder, or the nearest above it that is there."""
    return next(place for place in (folder, *folder.parents) if place.exists())
