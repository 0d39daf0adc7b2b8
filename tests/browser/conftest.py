"""The real app as a subprocess on a free port, and a real Chromium to drive it."""

import os
import shutil
import socket
import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.share.hub import Hub, running_hub

ROOT = Path(__file__).resolve().parents[2]
CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
SLOW = 60_000  # milliseconds: the machine may be busy, and an assertion that waits costs nothing when it is not


@dataclass(frozen=True)
class Studio:
    """A running app."""

    url: str
    runs: Path
    process: subprocess.Popen
    log: Path


@pytest.fixture(scope="session")
def hub() -> Iterator[Hub]:
    """The Hugging Face Hub that the studio knows."""
    with running_hub() as hub:
        yield hub


@pytest.fixture(scope="session")
def studio(tmp_path_factory, hub) -> Studio:
    """The app, as on a bare machine: no photos, no ImageNet weights, an empty cache."""
    home = tmp_path_factory.mktemp("studio")
    (home / "tmp").mkdir()
    port = _free_port()
    log = home / "app.log"
    # Tests share the machine with what they test: an unset FLOWERS_DATA and an empty TORCH_HOME make it a bare one.
    bare = {"FLOWERS_DATA", "FLOWERS_EXTRA", "OMP_NUM_THREADS"}
    environment = {name: value for name, value in os.environ.items() if name not in bare}
    environment |= {
        "FLOWERS_CACHE": str(home / "cache"),
        "FLOWERS_RUNS": str(home / "runs"),
        "TORCH_HOME": str(home / "torch"),
        "GRADIO_TEMP_DIR": str(home / "gradio"),
        "TMPDIR": str(home / "tmp"),  # Gradio serves what lies in the temporary folder: the cache must not
        "GRADIO_ANALYTICS_ENABLED": "False",
        "HF_ENDPOINT": hub.url,
        "HF_HUB_DISABLE_XET": "1",  # its storage is not played
    }
    with open(log, "wb") as output:
        process = subprocess.Popen(
            [sys.executable, "app.py", "--port", str(port), "--mcp"],
            cwd=ROOT,
            env=environment,
            stdout=output,
            stderr=output,
        )
    url = f"http://127.0.0.1:{port}"
    try:
        _wait_until_served(url, process, log)
        yield Studio(url, home / "runs", process, log)
    finally:
        process.terminate()
        process.wait(30)


@pytest.fixture(scope="module")  # not longer: while Playwright runs, no other test may run an event loop
def chromium():
    """A headless Chromium with a pretended camera."""
    from playwright.sync_api import sync_playwright

    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(
            executable_path=CHROMIUM,  # None: the one that `playwright install chromium` brought
            args=[
                "--no-sandbox", "--disable-gpu", "--disable-background-networking", "--no-first-run",
                "--use-fake-device-for-media-stream", "--use-fake-ui-for-media-stream",
            ],
        )  # fmt: skip
        _make_at_home(browser)
        yield browser
        browser.close()


def _make_at_home(browser) -> None:
    """Whoever opens a page has been here before, so that no tour stands before what is tested."""
    make = browser.new_context

    def new_context(**options):
        context = make(**options)
        context.add_init_script("localStorage.setItem('flowers-tour', 'seen')")
        return context

    browser.new_context = new_context
    browser.new_page = lambda **options: new_context(**options).new_page()


@pytest.fixture
def open_page(studio, chromium, request, tmp_path_factory):
    """``open_page(width=1280)`` opens the studio as another visitor; pictures of the pages are kept on failure."""
    from playwright.sync_api import expect

    expect.set_options(timeout=SLOW)
    contexts = []

    def open_(width: int = 1280, query: str = "", **options):
        context = chromium.new_context(viewport={"width": width, "height": 900}, permissions=["camera"], **options)
        context.set_default_timeout(SLOW)
        contexts.append(context)
        page = context.new_page()
        page.goto(f"{studio.url}/{query}")
        page.locator("[role=tab][data-tab-id=classify]").wait_for()  # whatever the language
        return page

    yield open_
    failed = getattr(request.node, "failed", False)
    for number, context in enumerate(contexts):
        for page in context.pages if failed else []:
            folder = ROOT / "test-results"
            folder.mkdir(exist_ok=True)
            page.screenshot(path=folder / f"{request.node.name}-{number}.png", full_page=True)
        context.close()


WATCH_CAMERAS = """() => {
    const media = navigator.mediaDevices, ask = media.getUserMedia.bind(media);
    window.cameras = [];
    media.getUserMedia = async (wish) => {
        await new Promise((asked) => setTimeout(asked, 500)); // as long as somebody takes to say yes
        const stream = await ask(wish);
        cameras.push(...stream.getTracks());
        return stream;
    };
}"""
CAMERAS_ON = "cameras.filter((one) => one.readyState === 'live').length"


def open_tab(page, name: str) -> None:
    """Press a tab, also one that found no room in the bar and stands behind "More tabs"."""
    page.wait_for_timeout(500)  # until the bar has found its shape
    tab = page.get_by_role("tab", name=name)
    if tab.count():
        tab.click()
    else:
        page.get_by_role("button", name="More tabs").click()
        page.locator(".overflow-dropdown button").filter(has_text=name).click()


def choose(page, dropdown: str, option: str) -> None:
    """Choose the first option of these words in the dropdown of that id."""
    from playwright.sync_api import expect

    page.locator(f"#{dropdown} input").click()
    shown = page.get_by_role("listbox")
    shown.get_by_role("option", name=option).first.click()
    expect(shown).to_have_count(0)


@pytest.hookimpl(hookwrapper=True)
def pytest_runtest_makereport(item):
    outcome = yield
    item.failed = getattr(item, "failed", False) or outcome.get_result().failed


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


def _wait_until_served(url: str, process: subprocess.Popen, log: Path) -> None:
    for _ in range(600):
        assert process.poll() is None, log.read_text()
        try:
            urllib.request.urlopen(url, timeout=5).close()
            return
        except OSError:
            time.sleep(0.5)
    raise AssertionError(f"the app did not answer: {log.read_text()}")
