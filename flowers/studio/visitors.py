"""Who is looking: a random name in a cookie, by which a browser finds its own photos again after a reload.

It is no account: whoever clears the cookie starts anew, and nobody can take another's name by guessing.
"""

import functools
import hashlib
import ipaddress
import os
import re
import secrets
from collections.abc import Awaitable, Callable, Mapping
from typing import Any

from starlette.requests import HTTPConnection

from flowers.studio.limits import Who

COOKIE = "flowers_visitor"
API = "/gradio_api/"  # where Gradio serves all but the page
UPLOAD = f"{API}upload"
LIVE = "/live"  # where a camera's frames are sent
KEPT_SECONDS = 365 * 24 * 3600

Scope = Mapping[str, Any]
Receive = Callable[[], Awaitable[dict]]
Send = Callable[[dict], Awaitable[None]]


def visitor() -> str:
    """A name for the visitor whose event is being answered, 32 hex digits; "nobody" outside events.

    It is made from the cookie, or where a browser keeps none from the page's session; the cookie cannot be told from
    it, so it may appear in paths and logs.
    """
    from gradio.context import LocalContext

    request = LocalContext.request.get(None)
    if request is None:
        return "nobody"
    secret = request.cookies.get(COOKIE) or request.session_hash or ""
    return hashlib.sha256(f"visitor {secret}".encode()).hexdigest()[:32] if secret else "nobody"


def who(connection: HTTPConnection) -> Who:
    """Whoever asks, as limits know them: by the cookie, or a program that keeps none by its address alone."""
    address = address_of(connection)
    return Who(connection.cookies.get(COOKIE) or address, address)


def here() -> str:
    """Where the event that is being answered comes from, as ``address_of`` has it; "" outside events."""
    from gradio.context import LocalContext

    request = LocalContext.request.get(None)
    return address_of(request.request) if request is not None and request.request is not None else ""


def address_of(connection: HTTPConnection) -> str:
    """Where a request comes from: an IPv4 address, or the /48 network that a place has of IPv6.

    A proxy on this machine is believed, by uvicorn. Others are with ``FLOWERS_BEHIND_PROXY``, which says how many there
    are: each adds who spoke to it, at the end, and what stands before is the visitor's own word. Of a Space's nobody
    says how many there are; the last public address counts.
    """
    told = connection.client.host if connection.client else ""
    lines = ",".join(connection.headers.getlist("x-forwarded-for"))
    named = [_address(name.strip()) for name in lines.split(",")] if lines else []
    count = os.environ.get("FLOWERS_BEHIND_PROXY", "")
    if count.isdecimal() and int(count) and named:
        told = named[-min(int(count), len(named))] or told
    elif os.environ.get("SPACE_ID"):
        public = [name for name in named if name and ipaddress.ip_address(name).is_global]
        told = public[-1] if public else told
    return _network(_address(told) or told)


@functools.lru_cache(1000)
def _network(address: str) -> str:
    try:
        return str(ipaddress.IPv6Network((address, 48), strict=False))
    except ValueError:
        return address


@functools.lru_cache(1000)
def _address(name: str) -> str:
    """The IP address that stands there, maybe with a port or as IPv6 writes those of IPv4; empty where none does."""
    bare = re.sub(r"^\[(.*)\](:\d+)?$|^([\d.]+):\d+$", r"\1\3", name)
    try:
        address = ipaddress.ip_address(bare)
    except ValueError:
        return ""
    return str(getattr(address, "ipv4_mapped", None) or address)


def path_of(scope: Scope) -> str:
    """The path that is asked for, within what is served: without the ``root_path`` before it."""
    path, root = scope["path"], scope.get("root_path", "").rstrip("/")
    return path[len(root) :] or "/" if root and (path == root or path.startswith(f"{root}/")) else path


class Remember:
    """ASGI middleware that gives every browser its cookie with the page."""

    def __init__(self, app: Callable[[Scope, Receive, Send], Awaitable[None]]) -> None:
        self.app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http" or path_of(scope) != "/" or COOKIE in HTTPConnection(scope).cookies:
            await self.app(scope, receive, send)
            return

        async def with_cookie(message: dict) -> None:
            if message["type"] == "http.response.start":
                cookie = f"{COOKIE}={secrets.token_hex(16)}; Path=/; Max-Age={KEPT_SECONDS}; HttpOnly; {_reach(scope)}"
                message = {**message, "headers": [*message["headers"], (b"set-cookie", cookie.encode())]}
            await send(message)

        await self.app(scope, receive, with_cookie)


def _reach(scope: Scope) -> str:
    """Within a Space's frame a cookie is kept only if it says so, and only over https."""
    headers = dict(scope["headers"])
    secure = scope["scheme"] == "https" or headers.get(b"x-forwarded-proto", b"").startswith(b"https")
    return "SameSite=None; Secure; Partitioned" if secure else "SameSite=Lax"
