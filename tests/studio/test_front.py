"""The page is made once for each address that the studio is asked for by."""

import asyncio

from flowers.studio.front import KEPT, OncePerAddress


class Making:
    """An app that makes a page each time, and says for whom."""

    def __init__(self, status: int = 200) -> None:
        self.made, self.status = [], status
        self.kept = OncePerAddress(self)

    async def __call__(self, scope, receive, send) -> None:
        self.made.append(dict(scope["headers"]).get(b"host"))
        await send({"type": "http.response.start", "status": self.status, "headers": []})
        await send({"type": "http.response.body", "body": b"page %d" % len(self.made)})

    def get(
        self, host: str = "localhost", cookie: str = "", path: str = "/", query: str = "", method: str = "GET"
    ) -> str:
        sent = []

        async def send(message) -> None:
            sent.append(message)

        scope = {"type": "http", "method": method, "path": path, "scheme": "http", "query_string": query.encode(),
                 "headers": [(b"host", host.encode()), (b"cookie", cookie.encode())]}  # fmt: skip
        asyncio.run(self.kept(scope, None, send))
        return b"".join(message.get("body", b"") for message in sent).decode()


def test_it_is_made_once_whoever_asks():
    making = Making()
    assert {making.get(cookie=f"visitor={number}") for number in range(5)} == {"page 1"}


def test_another_address_has_its_own_and_few_are_kept():
    making = Making()
    assert making.get("a") != making.get("b") and making.get("a") == "page 1"
    for number in range(3 * KEPT):
        making.get(f"10.0.0.{number}")
    assert len(making.kept._kept) == KEPT


def test_only_the_page_itself_is_kept_and_no_failure():
    making = Making()
    for asked in ({"path": "/config"}, {"query": "view=api"}, {"method": "HEAD"}):
        assert making.get(**asked) != making.get(**asked)
    failing = Making(500)
    assert failing.get() != failing.get()
