"""The page itself, which Gradio would make anew for everybody who opens it, though it is the same: a third of a second,
in which nobody else is answered."""

import collections
from collections.abc import Awaitable, Callable

from flowers.studio.visitors import Receive, Scope, Send, path_of

KEPT = 8  # pages, of half a megabyte: one for each address that the studio is asked for by
NAMING = (b"host", b"x-forwarded-host", b"x-forwarded-proto", b"x-gradio-server")


class OncePerAddress:
    """ASGI middleware that keeps the page that Gradio makes, which names the address by which it is asked for."""

    def __init__(self, app: Callable[[Scope, Receive, Send], Awaitable[None]]) -> None:
        self.app = app
        self._kept: collections.OrderedDict[tuple, list[dict]] = collections.OrderedDict()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http" or scope["method"] != "GET" or path_of(scope) != "/" or scope["query_string"]:
            await self.app(scope, receive, send)
            return
        named = tuple(pair for pair in scope["headers"] if pair[0] in NAMING)
        asked = (scope["scheme"], scope.get("root_path", ""), scope["path"], named)
        if asked not in self._kept:
            made: list[dict] = []

            async def keep(message: dict) -> None:
                made.append(message)

            await self.app(scope, receive, keep)
            if made and made[0].get("status") == 200:
                self._kept[asked] = made
                while len(self._kept) > KEPT:
                    self._kept.popitem(last=False)
        else:
            made = self._kept[asked]
        for message in made:
            await send(dict(message))
