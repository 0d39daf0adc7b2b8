"""Who is looking: a random name in a cookie, by which a browser finds its own photos again after a reload.

It is no account: whoever clears the cookie starts anew, and nobody can take another's name by guessing.
"""

import hashlib
import ipaddress
import os
import secrets
from collections.abc import Awaitable, Callable, Mapping
from typing import Any

from starlette.requests import HTTPConnection

from flowers.studio.limits import Who

COOKIE = "flowers_visitor"
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
    """Where a request comes from: an IPv4 address, or the /64 network that a household has of IPv6.

    A proxy on this machine is believed, by uvicorn. Another, as on a Space, is with ``FLOWERS_BEHIND_PROXY``: the last
    public address that it names counts, for what stands before that one is the visitor's own word.
    """
    told = connection.client.host if connection.client else ""
    if os.environ.get("FLOWERS_BEHIND_PROXY") or os.environ.get("SPACE_ID"):
        named = connection.headers.get("x-forwarded-for", "").split(",")
        told = next((name.strip() for name in reversed(named) if _is_public(name.strip())), told)
    try:
        address = ipaddress.ip_address(told)
    except ValueError:
        return told
    return str(ipaddress.ip_network((address, 64), strict=False)) if address.version == 6 else told


def _is_public(name: str) -> bool:
    try:
        return ipaddress.ip_address(name).is_global
    except ValueError:
        return False


class Remember:
    """ASGI middleware that gives every browser its cookie with the page."""

    def __init__(self, app: Callable[[Scope, Receive, Send], Awaitable[None]]) -> None:
        self.app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http" or scope["path"] != "/" or COOKIE in HTTPConnection(scope).cookies:
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
