"""Who is looking: a random name in a cookie, by which a browser finds its own photos again after a reload.

It is no account: whoever clears the cookie starts anew, and nobody can take another's name by guessing.
"""

import hashlib
import secrets
from collections.abc import Awaitable, Callable, Mapping
from typing import Any

from starlette.requests import HTTPConnection

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
