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
from urllib.parse import SplitResult, parse_qs, urlsplit

from gradio.utils import get_upload_folder
from starlette.requests import HTTPConnection
from starlette.responses import JSONResponse, PlainTextResponse

from flowers.studio import faults
from flowers.studio.language import TRANSLATED, chosen, translated
from flowers.studio.limits import Limits, Shares, Who
from flowers.studio.sessions import Sessions
from flowers.studio.visitors import API, LIVE, UPLOAD, Receive, Scope, Send, path_of, who

TOLD = re.compile(rf"{API}(queue/join|call/|run/|cancel|reset|component_server)")  # what may be posted, besides uploads
TOOLS = f"{API}mcp"  # which posts by itself what it is told: it holds no turn that it then would wait for
READ = {"GET", "HEAD", "OPTIONS"}
UNUSED = re.compile(
    r"/(monitoring|login|logout|gradio_api/(stream/|proxy=|file=https?:|file/|runs|run-history|dev/|profiling|vibe"
    r"|deep_link|token|custom_component|process_recording))"
)
WITH_SESSION = re.compile(rf"{API}(?:heartbeat|call/(?:v2/)?[^/]+)/([^/]+)$")
NAMING = {b"x-forwarded-host", b"x-gradio-server"}  # headers by which Gradio finds out what it is called
MAX_TOLD = 8_000_000  # bytes: ten pictures of a camera, as text, are 1.5 MB
HELD = (4 * MAX_TOLD, 32 * MAX_TOLD)  # bytes told by one visitor, and by all, that are in memory
FRAMES = 12  # of a camera, that may wait from one address, each of another visitor
UPLOADS_LAST = 3600  # seconds for which an upload counts
MIN_FREE = 1_000_000_000  # bytes of the disk that uploads leave free, for runs and albums
IDLE_SECONDS = 60.0  # in which something of a body has to come
FULL_DISK = "The server's disk is nearly full: tell whoever runs this studio."
TOO_MANY = "You have too many requests open: wait until some are answered."
TOO_LARGE = f"This request is larger than {MAX_TOLD // 10**6} MB: send photos as uploads."


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
        own: this machine's names. Another port of theirs is another site.
        more: names that others serve it under, whose pages may send requests: ``flowers.example``, ``*.example.org``,
            or ``*`` for any.
    """

    def __init__(self, own: Iterable[str], more: Iterable[str] = ()) -> None:
        self.own, self.more = (sorted({name.strip().lower() for name in names} - {""}) for names in (own, more))

    @classmethod
    def of(cls, host: str | None, share: bool = False) -> "Hosts":
        """Those of a server that listens as ``host``, by the environment: ``FLOWERS_HOSTS`` names more."""
        machine = socket.gethostname()
        listens = host or os.environ.get("GRADIO_SERVER_NAME", "")
        more = ",".join([os.environ.get("FLOWERS_HOSTS", ""), os.environ.get("SPACE_HOST", "")]).split(",")
        more.append(urlsplit(os.environ.get("GRADIO_ROOT_PATH", "")).hostname or "")
        more += ["*.gradio.live"] if share else []
        return cls(["localhost", "*.localhost", machine, f"{machine}.local", listens], more)

    def check(self, connection: HTTPConnection) -> None:
        """Raises Refused for a request to another name, or from another site."""
        asked = _place("//" + connection.headers.get("host", ""))
        if not self._is_ours(name := _name(asked)):
            named = name[:100] or "*"
            raise Refused(421, f"This studio is not served as {named}: start it with FLOWERS_HOSTS={named}.")
        origin = connection.headers.get("origin")
        if origin is None or _among(_name(sender := _place(origin)), self.more):
            return
        if (_name(sender), _port(sender)) != (name, _port(asked)):
            raise Refused(
                403, "This request was sent by a page of another site: use the studio's own page, or name that site in "
                "FLOWERS_HOSTS."
            )  # fmt: skip

    def _is_ours(self, name: str) -> bool:
        if os.environ.get("SPACE_ID"):  # it is public anyway, and asked for by the names of others
            return True
        return _is_address(name) or _among(name, self.own) or _among(name, self.more)

    def without_strangers(self, headers: Iterable[tuple[bytes, bytes]]) -> list[tuple[bytes, bytes]]:
        """The headers but those that call this studio by a name that it does not have: pages would be told of it."""
        return [
            (key, value) for key, value in headers
            if key not in NAMING or self._is_ours(_name(_place("//" + value.decode("latin-1").split("//")[-1])))
        ]  # fmt: skip


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
        self.frames = Turns(Shares(1, 1))  # one core's worth: who asks for single answers does not notice
        self.uploaded = Shares(*(10**6 * limit for limit in limits.pair("upload_mb")))
        self.held = Shares(*HELD)
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
            asking = who(connection)
            scope = {**scope, "headers": self.hosts.without_strangers(scope["headers"])}
            async with self._let_in(connection, asking, receive) as reading:
                await self.app(scope, reading, answer)
            return
        except Refused as error:
            refused = error
        except Exception as error:  # Gradio's routes read what they are sent as if it were a page's
            faults.tell(error, f"{scope['method']} {scope['path'][:200]}", "line")
            refused = Refused(400, faults.UNREADABLE)
        with contextlib.suppress(OSError):
            if begun:
                await send({"type": "http.response.body", "body": b""})
            else:
                await _say(refused, connection)(scope, receive, send)

    @contextlib.asynccontextmanager
    async def _let_in(self, connection: HTTPConnection, asking: Who, receive: Receive) -> AsyncIterator[Receive]:
        """While a request is worked on; gives what its body is to be read by. Raises Refused."""
        path, method = path_of(connection.scope), connection.scope["method"]
        told = method not in READ and (path.startswith(TOOLS) or (method == "POST" and TOLD.match(path)))
        uploads = method == "POST" and path == UPLOAD
        frame = method == "POST" and path == LIVE
        if UNUSED.match(path) or not (method in READ or told or uploads or frame):
            raise Refused(404, "There is nothing here.")
        if not self.open.take(asking):
            raise Refused(429, TOO_MANY)
        try:
            if uploads:
                async with self.uploads.turn(asking), self._arrives(connection, asking, receive) as reading:
                    yield reading
            elif frame:
                if self.frames.waiting(asking) or self.frames.waiting(asking.address) >= FRAMES:
                    raise Refused(429, TOO_MANY)
                async with self._told(connection, asking, receive) as reading, self.frames.turn(asking):
                    yield reading
            elif told:
                async with self._told(connection, asking, receive) as reading:
                    if path.startswith(TOOLS):
                        yield reading
                        return
                    async with self.calls.turn(asking):
                        self.sessions.tidy()
                        yield reading
            elif path in TRANSLATED:  # a third of a second of work each
                async with self.calls.turn(asking):
                    yield receive
            else:
                with self.sessions.watched(_session(connection), asking):
                    yield receive
        finally:
            self.open.give_back(asking)

    @contextlib.asynccontextmanager
    async def _told(self, connection: HTTPConnection, asking: Who, receive: Receive) -> AsyncIterator[Receive]:
        """What somebody tells, read before it waits for a turn: who tells it slowly keeps nobody waiting."""
        if (_size(connection) or 0) > MAX_TOLD:
            raise Refused(413, TOO_LARGE)
        body, had = [], 0
        try:
            while True:
                message = await _next(receive)
                if message["type"] != "http.request":  # gone
                    raise Refused(400, faults.UNREADABLE)
                part = message.get("body", b"")
                if had + len(part) > MAX_TOLD:
                    raise Refused(413, TOO_LARGE)
                if not self.held.take(asking, len(part)):
                    raise Refused(429, TOO_MANY)
                had += len(part)
                body.append(part)
                if not message.get("more_body"):
                    break
            yield _again(b"".join(body), receive)
        finally:
            self.held.give_back(asking, had)

    @contextlib.asynccontextmanager
    async def _arrives(self, connection: HTTPConnection, asking: Who, receive: Receive) -> AsyncIterator[Receive]:
        """While an upload arrives, of which no more comes than was told. Raises Refused where there is no room."""
        size = _size(connection)
        if size is None or "transfer-encoding" in connection.headers:
            raise Refused(411, "The size of this upload was not told: choose the file again.")
        if not self.uploaded.has_room(asking, size):
            raise Refused(429, "So much has been uploaded in the last hour that this is too much: try again later.")
        if shutil.disk_usage(_existing(Path(get_upload_folder()))).free - self.arriving - size < MIN_FREE:
            raise Refused(507, FULL_DISK)
        self.uploaded.take(asking, size)
        self.arriving += size
        came = 0

        async def reading() -> dict[str, Any]:
            nonlocal came
            message = await (_next(receive) if came < size else receive())
            came += len(message.get("body", b""))
            return message

        try:
            yield reading
        finally:
            self.arriving -= size
            self.uploaded.give_back(asking, size - min(came, size))
            asyncio.get_running_loop().call_later(UPLOADS_LAST, self.uploaded.give_back, asking, min(came, size))


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

    def waiting(self, key: Who | str) -> int:
        """How often somebody waits, or all who call from an address."""
        return sum(key in (who, who.address) for who in self._waiting.values())

    def _give_back(self, asking: Who) -> None:
        self.shares.give_back(asking)
        for called, waiting in list(self._waiting.items()):
            if not called.done() and self.shares.take(waiting):
                called.set_result(None)


async def _next(receive: Receive) -> dict[str, Any]:
    """The next part of a body. Raises Refused where none comes."""
    try:
        return await asyncio.wait_for(receive(), IDLE_SECONDS)
    except TimeoutError:
        raise Refused(408, "Nothing more of this request came: check the network, and try again.") from None


def _again(body: bytes, receive: Receive) -> Receive:
    """What has been read, to be read once more; and then whatever comes."""
    read = False

    async def reading() -> dict[str, Any]:
        nonlocal read
        if read:
            return await receive()
        read = True
        return {"type": "http.request", "body": body, "more_body": False}

    return reading


def _size(connection: HTTPConnection) -> int | None:
    told = connection.headers.get("content-length", "")
    return int(told) if re.fullmatch("[0-9]{1,18}", told) else None


def _session(connection: HTTPConnection) -> str | None:
    """The page's session, or the event, that a request stays open to hear of."""
    if found := WITH_SESSION.match(path_of(connection.scope)):
        return found.group(1)
    asked = parse_qs(connection.scope.get("query_string", b"").decode("latin-1"))
    return asked.get("session_hash", [None])[0]


def _say(refused: Refused, connection: HTTPConnection) -> JSONResponse | PlainTextResponse:
    """The answer in the visitor's language. Gradio's page shows an upload's as it is, and of others the detail."""
    words = translated(str(refused), chosen(connection.headers))
    if path_of(connection.scope) == UPLOAD:
        return PlainTextResponse(words, refused.status)
    return JSONResponse({"detail": words, "error": words}, refused.status)


def _place(url: str) -> SplitResult:
    try:
        return urlsplit(url)
    except ValueError:
        return urlsplit("")


def _name(place: SplitResult) -> str:
    return (place.hostname or "").rstrip(".")


def _port(place: SplitResult) -> int | None:
    """The port, where another than the usual one is named."""
    try:
        return None if place.port in (80, 443) else place.port
    except ValueError:
        return -1


def _among(name: str, allowed: Iterable[str]) -> bool:
    return bool(name) and any(fnmatch.fnmatchcase(name, one) for one in allowed)


def _is_address(name: str) -> bool:
    with contextlib.suppress(ValueError):
        return bool(ipaddress.ip_address(name))
    return False


def _existing(folder: Path) -> Path:
    """The folder, or the nearest above it that is there."""
    return next(place for place in (folder, *folder.parents) if place.exists())
