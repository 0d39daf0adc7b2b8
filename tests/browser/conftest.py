"""The real app as a subprocess on a free port, and a real Chromium to drive it.

Whoever opens a page is a visitor of their own, whom the studio has never seen. No test leaves a run behind.
"""

import asyncio
import contextlib
import hashlib
import os
import shutil
import socket
import subprocess
import sys
import tempfile
import time
import urllib.request
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
from filelock import FileLock

from flowers.data.sources import GARDEN_FOLDER, GARDEN_PER_CLASS
from flowers.training.run import Run
from tests.scripted import ScriptedRun
from tests.share.hub import Hub, running_hub

ROOT = Path(__file__).resolve().parents[2]
# Any will do; the first, Chromium without windows, starts and draws for a third of the work.
CHROMIUMS = ("chromium-headless-shell", "chromium", "chromium-browser", "google-chrome")
CHROMIUM = next(filter(None, map(shutil.which, CHROMIUMS)), None)
GARDEN_SIDE = 96  # pixels
PATIENCE = 60_000  # milliseconds: two cores may be busy, and an expectation that waits costs nothing when they are not
# Without these Chromium asks the network for updates and suggestions, and rests pages that no screen shows.
SWITCHES = [
    "--no-sandbox", "--disable-gpu", "--disable-background-networking", "--disable-component-update", "--disable-sync",
    "--no-first-run", "--disable-backgrounding-occluded-windows", "--disable-renderer-backgrounding",
    "--use-fake-device-for-media-stream", "--use-fake-ui-for-media-stream",
]  # fmt: skip


@dataclass(frozen=True)
class Studio:
    """A running app."""

    url: str
    home: Path
    process: subprocess.Popen

    @property
    def runs(self) -> Path:
        return self.home / "runs"

    @property
    def scripted(self) -> Path:
        """While this file is there, a run that is started waits for its test to tell its story."""
        return self.home / "scripted"

    @property
    def held(self) -> Path:
        """While this file is there, real work comes as far as tests/trainer.py says."""
        return self.home / "held"


@pytest.fixture(scope="session")
def hub() -> Iterator[Hub]:
    """The Hugging Face Hub that the studio knows."""
    with running_hub() as hub:
        yield hub


@pytest.fixture(scope="session")
def painted_garden(pytestconfig: pytest.Config) -> Path:
    """The garden's photos, painted once by whichever worker comes first, and kept for the next time.

    They are smaller than in the garden that is painted elsewhere, which takes a third of the time, now and to read.
    """
    from flowers.data import garden

    painters = sorted(Path(garden.__file__).parent.glob("*.py"))
    version = f"{GARDEN_SIDE}-{hashlib.sha256(b''.join(path.read_bytes() for path in painters)).hexdigest()[:16]}"
    kept = pytestconfig.cache.mkdir("gardens")
    with FileLock(kept / "lock"):
        if not (kept / version).exists():
            with tempfile.TemporaryDirectory(dir=kept) as painting:
                garden.render_garden(Path(painting) / "garden", per_class=GARDEN_PER_CLASS, size=GARDEN_SIDE)
                (Path(painting) / "garden").rename(kept / version)
    return kept / version


@pytest.fixture(scope="session")
def studio(tmp_path_factory, hub, painted_garden) -> Iterator[Studio]:
    """The app, as on a machine without photos and ImageNet weights, but for the garden, which is painted already."""
    home = tmp_path_factory.mktemp("studio")
    (home / "tmp").mkdir()
    shutil.copytree(painted_garden, home / "cache" / GARDEN_FOLDER, copy_function=os.link)
    environment = {name: value for name, value in os.environ.items() if not name.startswith("FLOWERS_")}
    environment |= {
        "FLOWERS_CACHE": str(home / "cache"),
        "FLOWERS_RUNS": str(home / "runs"),
        "FLOWERS_ENGINE": "eager",  # nobody need find out what is faster
        "FLOWERS_SCRIPTED": str(home / "scripted"),
        "FLOWERS_HELD": str(home / "held"),
        "FLOWERS_ORT_WEB": str(home / "ort"),  # which is empty, but for the test that fills it
        "OMP_NUM_THREADS": "1",
        "TORCH_HOME": str(home / "torch"),
        "GRADIO_TEMP_DIR": str(home / "gradio"),
        "TMPDIR": str(home / "tmp"),  # Gradio serves what lies in the temporary folder: the cache must not
        "GRADIO_ANALYTICS_ENABLED": "False",
        "HF_ENDPOINT": hub.url,
        "HF_HUB_DISABLE_XET": "1",  # its storage is not played
    }
    with running_app(["-m", "tests.browser.app"], environment, home) as studio:
        yield studio


@contextlib.contextmanager
def running_app(command: list[str], environment: dict[str, str], home: Path) -> Iterator[Studio]:
    """The app, started by this command of Python's, on a free port; what it prints is in ``home/app.log``."""
    port = free_port()
    with open(home / "app.log", "wb") as output:
        process = subprocess.Popen(
            [sys.executable, *command, "--port", str(port), "--mcp"],
            cwd=ROOT, env=environment, stdout=output, stderr=output,
        )  # fmt: skip
    studio = Studio(f"http://127.0.0.1:{port}", home, process)
    try:
        _wait_until_served(studio)
        yield studio
    finally:
        process.terminate()
        process.wait(30)


@pytest.fixture
def script(studio, monkeypatch) -> Iterator[Callable[..., ScriptedRun]]:
    """``script(press)`` is the run that ``press()`` asks for, whose story the test is to tell from its ``begin`` on.

    ``script(press, run)``: it is that one, which has been told as stopped, and which ``press()`` resumes.
    """
    monkeypatch.setenv("FLOWERS_CACHE", str(studio.home / "cache"))  # where the turn is
    monkeypatch.setenv("FLOWERS_RUNS", str(studio.runs))
    scripts = []

    def asked_for(press: Callable[[], Any], stopped: ScriptedRun | None = None) -> ScriptedRun:
        if stopped:
            (stopped.run.folder / "process.txt").unlink()
        before = set(studio.runs.glob("*/process.txt"))
        press()
        [started] = wait_for(lambda: set(studio.runs.glob("*/process.txt")) - before)  # the last thing that is written
        scripts.append(stopped or ScriptedRun(Run(started.parent)))
        return scripts[-1].arrive()

    studio.scripted.touch()
    yield asked_for
    studio.scripted.unlink(missing_ok=True)  # a test may have started a real one among the scripted
    for one in scripts:
        one.leave()


@pytest.fixture
def held(studio) -> Iterator[Path]:
    """The file by which real work is held until the test deletes it."""
    studio.held.touch()
    yield studio.held
    studio.held.unlink(missing_ok=True)


@pytest.fixture(autouse=True)
def no_run_is_left(request) -> Iterator[None]:
    """A test's runs are gone after it, also those still at work."""
    yield
    if "studio" not in request.fixturenames:
        return
    studio = request.getfixturevalue("studio")
    kept = request.getfixturevalue("kept_runs") if "kept_runs" in request.fixturenames else ()
    for run in [Run(path.parent) for path in studio.runs.glob("*/recipe.json")]:
        if run.name in kept:
            continue
        run.request_stop()
        wait_for(lambda run=run: not run.is_locked())
        shutil.rmtree(run.folder)


def wait_for(condition: Callable[[], Any], seconds: float = PATIENCE / 1000) -> Any:
    """The first true answer of ``condition()``."""
    deadline = time.monotonic() + seconds
    while not (answer := condition()):
        assert time.monotonic() < deadline, "it did not come about"
        time.sleep(0.02)
    return answer


@pytest.fixture(scope="session")
def browser():
    """A headless Chromium with a pretended camera, and Playwright's event loop, which rests until ``chromium``."""
    from playwright.sync_api import expect, sync_playwright

    expect.set_options(timeout=PATIENCE)
    with sync_playwright() as playwright:
        loop = asyncio.get_running_loop()
        # executable_path None: the one that `playwright install chromium` brought
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=SWITCHES)
        asyncio._set_running_loop(None)
        yield browser, loop
        asyncio._set_running_loop(loop)
        browser.close()


@pytest.fixture(scope="module")  # not longer: while Playwright's loop counts as running, no other test may run one
def chromium(browser):
    """That Chromium, for a module's tests."""
    chromium, loop = browser
    asyncio._set_running_loop(loop)
    yield chromium
    asyncio._set_running_loop(None)


@dataclass
class Visitors:
    """Browsers' profiles, which are emptied and used again: so Chromium keeps the page's scripts in its caches."""

    chromium: Any
    origin: str
    free: dict[tuple, list[Any]] = field(default_factory=dict)
    here: list[tuple[tuple, Any]] = field(default_factory=list)  # those of the present test
    lodging: list[tuple[tuple, Any]] = field(default_factory=list)  # those of the present module

    def welcome(self, width: int, **options: Any) -> Any:
        """An empty page of somebody new, who has seen the tour, so that it does not stand before what is tested.

        ``newcomer=True``: who has never been here.
        """
        return self._receive(self.here, width, options)

    def lodge(self, width: int, **options: Any) -> Any:
        """As ``welcome``, but until the module's end: for a page at which several tests look."""
        return self._receive(self.lodging, width, options)

    def _receive(self, guests: list[tuple[tuple, Any]], width: int, options: dict[str, Any]) -> Any:
        key = tuple(sorted(options.items()))
        known = self.free.setdefault(key, [])
        context = known.pop() if known else self._introduce(options)
        guests.append((key, context))
        page = context.new_page()
        page.set_viewport_size({"width": width, "height": 900})
        return page

    def _introduce(self, options: dict[str, Any]) -> Any:
        # Nothing moves unless a test asks for it: that is less to draw, and no colour is on its way.
        options = {"reduced_motion": "reduce"} | options
        newcomer = options.pop("newcomer", False)
        context = self.chromium.new_context(permissions=["camera"], **options)
        context.set_default_timeout(PATIENCE)
        if not newcomer:
            context.add_init_script("localStorage.setItem('flowers-tour', 'seen')")
        return context

    def pages(self) -> list[Any]:
        """What is open now."""
        return [page for _, context in (*self.here, *self.lodging) for page in context.pages]

    def see_off(self, lodgers: bool = False) -> None:
        """Close all pages, but not those of lodgers unless so said, and forget who they belonged to."""
        for key, context in (*self.here, *(self.lodging if lodgers else ())):
            context.unroute_all()
            blank = context.new_page()
            for page in context.pages:  # first: what is still on its way to them would be kept
                if page != blank:
                    page.close()
            context.clear_cookies()
            everything = {"origin": self.origin, "storageTypes": "all"}
            context.new_cdp_session(blank).send("Storage.clearDataForOrigin", everything)
            blank.close()
            self.free[key].append(context)
        self.here.clear()
        if lodgers:
            self.lodging.clear()


VISITING: list[Visitors] = []


@pytest.fixture(scope="session")
def known_visitors(studio, browser) -> Visitors:
    """All whose profiles are used again."""
    return Visitors(browser[0], studio.url)


@pytest.fixture(scope="module")
def visitors(known_visitors, chromium) -> Iterator[Visitors]:
    """Who opens pages in this module's tests; pictures of all pages are kept when one fails."""
    VISITING.append(known_visitors)
    yield known_visitors
    VISITING.pop()
    known_visitors.see_off(lodgers=True)


@pytest.fixture
def open_page(studio, visitors):
    """``open_page(width=1280)`` opens the studio as another visitor.

    ``prepare(page)`` is called before anything is on it.
    """

    def open_(width: int = 1280, query: str = "", prepare: Callable[[Any], None] = lambda page: None, **options):
        page = visitors.welcome(width, **options)
        prepare(page)
        page.goto(f"{studio.url}/{query}")
        page.locator("[role=tab][data-tab-id=classify]").wait_for()  # whatever the language
        return page

    yield open_
    visitors.see_off()


@pytest.fixture(scope="module")
def shared_page(studio, visitors):
    """A page for those of the module's tests that do not mind how the one before has left it."""
    page = visitors.lodge(1280)
    page.goto(studio.url)
    page.locator("[role=tab][data-tab-id=classify]").wait_for()
    return page


# Who is asked for the camera says nothing before the test has them say yes.
WATCH_CAMERAS = """() => {
    const media = navigator.mediaDevices, ask = media.getUserMedia.bind(media);
    window.cameras = [];
    window.asked = [];
    media.getUserMedia = async (wish) => {
        await new Promise((yes) => asked.push(yes));
        const stream = await ask(wish);
        cameras.push(...stream.getTracks());
        return stream;
    };
}"""
CAMERAS_ON = "cameras.filter((one) => one.readyState === 'live').length"


def say_yes(page) -> None:
    """Allow the camera, once the page has asked for it, and just once: see WATCH_CAMERAS."""
    page.wait_for_function("asked.length")
    assert page.evaluate("asked.splice(0).map((yes) => yes()).length") == 1


def open_tab(page, name: str) -> None:
    """Press a tab of the bar, by its name, and wait until it is the open one."""
    from playwright.sync_api import expect

    tab = page.get_by_role("tab", name=name, exact=True)
    tab.click()
    expect(tab).to_have_attribute("aria-selected", "true")


def at_rest(page) -> None:
    """Wait until all that a page does when it is opened is over: only then does its clock begin to tick."""
    page.wait_for_event("requestfinished", lambda request: '"data":["latest"' in (request.post_data or ""))


def settle(page) -> None:
    """Wait until the page has its shape: nothing waits for an event, fonts are here, and what they move has moved."""
    from playwright.sync_api import expect

    expect(page.locator("#tabs .pending:visible")).to_have_count(0)
    page.wait_for_function("[...document.images].every((image) => image.complete || image.loading === 'lazy')")
    page.evaluate(
        """() => document.fonts.ready.then(() => new Promise((done) =>
            requestAnimationFrame(() => requestAnimationFrame(() => requestAnimationFrame(done)))))"""
    )


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
    if outcome.get_result().failed:
        folder = ROOT / "test-results"
        folder.mkdir(exist_ok=True)
        for number, page in enumerate(page for visitors in VISITING for page in visitors.pages()):
            with contextlib.suppress(Exception):  # the page may have crashed: that must not cost other tests
                path = folder / f"{item.name}-{number}.png".replace("/", "-")
                page.screenshot(path=path, full_page=True, timeout=5_000)


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


def _wait_until_served(studio: Studio) -> None:
    log = studio.home / "app.log"
    for _ in range(600):
        assert studio.process.poll() is None, log.read_text()
        try:
            urllib.request.urlopen(studio.url, timeout=5).close()
            return
        except OSError:
            time.sleep(0.2)
    raise AssertionError(f"the app did not answer: {log.read_text()}")
