"""A page's answers, as a real Chromium gives them: asked for by the package playwright, where both are here."""

import base64
import contextlib
import functools
import importlib.util
import shutil
import threading
from collections.abc import Iterator, Sequence
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

from flowers.errors import ShareError

# Any will do; the first, Chromium without windows, starts for a third of the work.
CHROMIUMS = ("chromium-headless-shell", "chromium", "chromium-browser", "google-chrome")
SECONDS = 120  # for the page to be ready, and for each answer; two are usual on a busy machine
# By name, for the system's own table may be anything: a browser runs no module that comes as text.
TYPES = {
    ".html": "text/html; charset=utf-8", ".css": "text/css", ".js": "text/javascript", ".wasm": "application/wasm",
    ".onnx": "application/octet-stream", ".webmanifest": "application/manifest+json", ".svg": "image/svg+xml",
    ".png": "image/png",
}  # fmt: skip
ASK = """async (photo) => {
    const bytes = Uint8Array.from(atob(photo), (letter) => letter.charCodeAt(0));
    const { classifyFile } = await import("./network.js");
    return (await classifyFile(new Blob([bytes]))).confidences;
}"""


def ask_in_chromium(folder: Path, photos: Sequence[bytes]) -> list[list[float]] | None:
    """The confidences that the page in ``folder`` gives these photo files; None where no Chromium can be asked.

    Raises ShareError where the page does not answer.
    """
    if importlib.util.find_spec("playwright") is None:
        return None
    from playwright.sync_api import Error, sync_playwright

    with sync_playwright() as playwright, serving(folder) as address:
        executable = next(filter(None, map(shutil.which, CHROMIUMS)), None)
        if executable is None and not Path(playwright.chromium.executable_path).exists():
            return None
        try:
            browser = playwright.chromium.launch(executable_path=executable, args=["--no-sandbox", "--disable-gpu"])
        except Error:  # of another system, without its libraries: there is none, as far as we can tell
            return None
        try:
            return ask(browser.new_context(service_workers="block").new_page(), f"{address}/", photos)
        except Error as error:
            reason = str(error).strip().splitlines()[0][:200]
            raise ShareError(f"The page was thrown away, for Chromium could not answer by it ({reason}).") from error
        finally:
            browser.close()


def ask(page: Any, address: str, photos: Sequence[bytes]) -> list[list[float]]:
    """The confidences that the page at ``address`` gives these photo files, in ``page``, a tab of Playwright's.

    Raises ShareError where it says that it cannot answer, and Playwright's own errors.
    """
    page.set_default_timeout(1000 * SECONDS)
    page.goto(address)
    page.wait_for_selector("html[data-ready]", state="attached")
    if page.get_attribute("html", "data-ready") != "true":
        raise ShareError(f"The page was thrown away, for in Chromium it says: {page.inner_text('#problem')}")
    return [page.evaluate(ASK, base64.b64encode(photo).decode()) for photo in photos]


@contextlib.contextmanager
def serving(folder: Path) -> Iterator[str]:
    """``with serving(folder) as address:`` serves a folder to this machine alone, as any static host would."""
    server = ThreadingHTTPServer(("127.0.0.1", 0), functools.partial(_Quiet, directory=str(folder)))
    threading.Thread(target=server.serve_forever, args=[0.02], daemon=True).start()  # seconds until it sees the end
    try:
        yield f"http://127.0.0.1:{server.server_port}"
    finally:
        server.shutdown()
        server.server_close()


class _Quiet(SimpleHTTPRequestHandler):
    extensions_map = SimpleHTTPRequestHandler.extensions_map | TYPES

    def log_message(self, *_: Any) -> None:
        pass
