"""Under a path of another server, as behind nginx: GRADIO_ROOT_PATH is all that it takes."""

import contextlib
import os
import threading
import time
from collections.abc import AsyncIterator, Iterator

import httpx
import pytest
import uvicorn
from playwright.sync_api import expect
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import StreamingResponse
from starlette.routing import Route

from tests.browser.conftest import free_port, open_tab, running_app

PATH = "/studio"
pytestmark = pytest.mark.thorough


@contextlib.contextmanager
def proxied(url: str, path: str) -> Iterator[str]:
    """The address under which a server shows, in ``path``, what is served at ``url``."""

    @contextlib.asynccontextmanager
    async def asking(_: Starlette) -> AsyncIterator[dict[str, httpx.AsyncClient]]:
        async with httpx.AsyncClient(base_url=url, timeout=None) as client:
            yield {"client": client}

    async def pass_on(request: Request) -> StreamingResponse:
        client = request.state.client
        wanted = httpx.URL(path=request.url.path.removeprefix(path), query=request.url.query.encode())
        asked = client.build_request(request.method, wanted, headers=request.headers.raw, content=request.stream())
        answer = await client.send(asked, stream=True)
        return StreamingResponse(answer.aiter_raw(), answer.status_code, dict(answer.headers))

    shown = Starlette(routes=[Route(f"{path}{{rest:path}}", pass_on, methods=["GET", "POST"])], lifespan=asking)
    settings = {"log_level": "warning", "timeout_graceful_shutdown": 1}
    server = uvicorn.Server(uvicorn.Config(shown, port=(port := free_port()), **settings))
    thread = threading.Thread(target=server.run)
    thread.start()
    while not server.started:
        time.sleep(0.05)
    yield f"http://127.0.0.1:{port}{path}/"
    server.should_exit = True
    thread.join()


@pytest.fixture(scope="module")
def address(tmp_path_factory) -> Iterator[str]:
    home = tmp_path_factory.mktemp("proxied")
    environment = os.environ | {
        "FLOWERS_CACHE": str(home / "cache"), "FLOWERS_RUNS": str(home / "runs"), "FLOWERS_ENGINE": "eager",
        "GRADIO_TEMP_DIR": str(home / "gradio"), "GRADIO_ROOT_PATH": PATH,
    }  # fmt: skip
    with running_app(["app.py"], environment, home) as studio, proxied(studio.url, PATH) as address:
        yield address


def test_all_that_a_page_asks_for_lies_under_its_path(address, visitors):
    page = visitors.lodge(1280)
    failed, outside = [], []
    page.on("response", lambda answer: answer.status >= 400 and failed.append(answer.url))
    page.on(
        "request", lambda asked: asked.url.startswith("http") and PATH not in asked.url and outside.append(asked.url)
    )
    page.goto(address)
    page.locator("#classify .examples button").first.click()
    expect(page.locator("#classify-answer h2")).to_contain_text("daisy")
    expect(page).to_have_url(f"{address}?tab=classify&photo=daisy")
    page.reload()
    expect(page.locator("#classify-answer h2")).to_contain_text("daisy")
    open_tab(page, "Train")
    expect(page.locator("#train-start")).to_be_visible()
    open_tab(page, "Share")
    expect(page.locator("#share-zip")).to_be_visible()
    assert (failed, outside) == ([], [])
