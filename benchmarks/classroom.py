"""A class at its first lesson: how long does everybody wait for an answer by a network of their own?

    .venv/bin/python benchmarks/classroom.py                                  # 30 visitors: some minutes
    .venv/bin/python benchmarks/classroom.py --visitors 6 --browsers 0 --preset fast --set epochs=1

Starts the studio as a process of its own, in folders of its own. Each visitor has an album of 60 photos in two or three
classes, painted by the garden, and presses Start within one minute. Two are browsers; the others speak to the studio as
a page does, its clock included, but draw nothing: on a real server the visitors' own machines do that. Who has a
network asks it about a photo. Tells everybody's seconds from pressing Start to that answer, the place in line they were
told, how long the page's clock waited for what it asks every 0.8 seconds, and the memory of all processes together
(PSS: what several share counts once). Needs tests/requirements.txt and a Chromium. Writes classroom/results.json and
classroom/README.md.
"""

import argparse
import asyncio
import contextlib
import hashlib
import shutil
import statistics
import sys
import tempfile
import time
from concurrent.futures import ProcessPoolExecutor, ThreadPoolExecutor
from dataclasses import asdict, dataclass, field
from pathlib import Path

PROJECT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(PROJECT))

from benchmarks.common import circumstances, save, table, told  # noqa: E402
from benchmarks.visiting import GIVE_UP, Page, serving, watched_memory  # noqa: E402
from flowers.data.album import Album  # noqa: E402
from flowers.data.garden import CLASSES, render_flower  # noqa: E402
from flowers.recipe import PRESETS  # noqa: E402
from flowers.studio.common import ALBUM  # noqa: E402
from flowers.studio.train import FIRST_PRESET, TICK_SECONDS  # noqa: E402
from flowers.studio.visitors import COOKIE  # noqa: E402
from flowers.training.run import Run  # noqa: E402

PHOTOS = 60  # in an album
SIDE = 256  # pixels of a photo
WITHIN = 60.0  # seconds in which all press Start
GOAL = 300  # seconds until everybody has an answer
CHROMIUMS = ("chromium-headless-shell", "chromium", "chromium-browser")


@dataclass
class Visit:
    """What somebody met."""

    number: int
    browser: bool = False
    refused: str = ""
    place: int = 0  # in line, as it was told first
    wait: float | None = None  # seconds until the turn, as they were told first
    seconds: float | None = None  # from pressing Start to the answer
    answer: str = ""
    ticks: list[float] = field(default_factory=list)  # seconds that the page's clock waited


def main(arguments: list[str] | None = None) -> int:
    """Serve, let the class in, write what it met."""
    options = _parser().parse_args(arguments)
    with tempfile.TemporaryDirectory(prefix="flowers-classroom-") as scratch:
        home = Path(scratch)
        paint(home / "photos", options.visitors)
        with serving(home) as (url, process), watched_memory(process.pid) as memory:
            visits = asyncio.run(lesson(url, home, options))
        said = (home / "app.log").read_text()
    results = {
        **circumstances(),
        "preset": options.preset,
        "settings": options.set,
        "visits": [asdict(visit) for visit in visits],
        "memory": max(memory),
        "tracebacks": said.count("Traceback"),
    }
    save(options.out / "results.json", results)
    (options.out / "README.md").write_text(text(results))
    print(text(results))
    return 0 if all(visit.seconds for visit in visits) and not results["tracebacks"] else 1


# The school


def paint(folder: Path, visitors: int) -> None:
    """Everybody's photos, by visitor and class, and one more to ask about."""
    jobs = []
    for number in range(visitors):
        kinds = [CLASSES[(number + step) % len(CLASSES)] for step in range(2 + number % 2)]
        for at in range(PHOTOS + 1):
            kind = kinds[at % len(kinds)]
            place = folder / str(number) / (kind if at < PHOTOS else "asked")
            place.mkdir(parents=True, exist_ok=True)
            jobs.append((kind, number * (PHOTOS + 1) + at, place / f"{at}.jpg"))
    with ProcessPoolExecutor() as pool:
        list(pool.map(_paint_one, jobs, chunksize=20))


def _paint_one(job: tuple[str, int, Path]) -> None:
    kind, seed, path = job
    render_flower(kind, seed, SIDE).save(path, quality=90)


# The class


async def lesson(url: str, home: Path, options: argparse.Namespace) -> list[Visit]:
    """Everybody's visit, once all have an answer."""
    pages = range(options.visitors - options.browsers, options.visitors)
    loop, now = asyncio.get_running_loop(), time.monotonic
    with ThreadPoolExecutor(options.visitors) as pool:
        seats = await asyncio.gather(*(loop.run_in_executor(pool, Seat, url, home, n) for n in range(pages.start)))
        async with browsers(url, home, pages) as opened:
            begin = now() + 1
            moments = [begin + WITHIN * number / options.visitors for number in range(options.visitors)]
            plain = [loop.run_in_executor(pool, seat.attend, options, moments[seat.number]) for seat in seats]
            drawn = [attend(page, n, options, moments[n]) for n, page in zip(pages, opened, strict=True)]
            return await asyncio.gather(*plain, *drawn)


def fill_album(home: Path, number: int, cookie: str) -> None:
    """Put a visitor's photos into the album of the browser that has this cookie."""
    name = hashlib.sha256(f"visitor {cookie}".encode()).hexdigest()[:32]
    album = Album(home / "albums" / name)
    for kind in sorted((home / "photos" / str(number)).iterdir()):
        if kind.name != "asked":
            album.add(kind.name, sorted(kind.iterdir()))


class Seat(Page):
    """A visitor who speaks to the studio as its page does, and draws nothing."""

    def __init__(self, url: str, home: Path, number: int) -> None:
        self.home, self.number = home, number
        super().__init__(url, lambda cookie: fill_album(home, number, cookie))
        ticks = [event for event in self.dependencies if "tick" in [kind for _, kind in event["targets"]]]
        self.tick = max(ticks, key=lambda event: len(event["inputs"]))

    def attend(self, options: argparse.Namespace, moment: float) -> Visit:
        """Wait for the moment, press Start, and wait for an answer."""
        visit = Visit(self.number)
        self.ask("opened")
        values = self.ask("_choose_preset", event={"name": options.preset})[1:]
        values = self._changed(values, dict(setting.split("=") for setting in options.set))
        time.sleep(max(0.0, moment - time.monotonic()))
        pressed = time.monotonic()
        message, shown = self.ask("_press_start", [None, ALBUM, *values])
        if not isinstance(shown, dict) or not shown.get("value"):
            visit.refused = str(message)
            return visit
        run = Run(self.home / "runs" / shown["value"])
        visit.place, visit.wait = run.status().place, run.status().seconds
        while run.status().active and time.monotonic() - pressed < GIVE_UP:
            visit.ticks.append(self._tick())
            time.sleep(TICK_SECONDS)
        visit.answer = self.classify(run.name) if run.has_checkpoint() else ""
        visit.seconds = time.monotonic() - pressed if visit.answer else None
        return visit

    def _tick(self) -> float:
        start = time.perf_counter()
        self.call(self.tick, ["latest", None, None, None, None, ALBUM])
        return time.perf_counter() - start

    def _changed(self, values: list, settings: dict[str, str]) -> list:
        names = [self.components[one].get("elem_id", "") for one in self.events["_press_start"]["inputs"][2:]]
        asked = [settings.get(name.removeprefix("knob-")) for name in names]
        return [value if wish is None else type(value)(wish) for value, wish in zip(values, asked, strict=True)]

    def classify(self, checkpoint: str) -> str:
        """The answer of a checkpoint to the photo that the album does not have."""
        [photo] = (self.home / "photos" / str(self.number) / "asked").iterdir()
        return self.answer(photo.name, photo.read_bytes(), checkpoint)["label"]


@contextlib.asynccontextmanager
async def browsers(url: str, home: Path, numbers: range):
    """A page in a browser of its own for each of these visitors."""
    from playwright.async_api import async_playwright

    async with async_playwright() as playwright:
        path = next(filter(None, map(shutil.which, CHROMIUMS)), None)
        browser = await playwright.chromium.launch(executable_path=path, args=["--no-sandbox", "--disable-gpu"])
        pages = []
        for number in numbers:
            context = await browser.new_context(viewport={"width": 1280, "height": 900})
            context.set_default_timeout(GIVE_UP * 1000)
            await context.add_init_script("localStorage.setItem('flowers-tour', 'seen')")  # it would stand in the way
            page = await context.new_page()
            await page.goto(url)
            [cookie] = [one["value"] for one in await context.cookies() if one["name"] == COOKIE]
            fill_album(home, number, cookie)
            await page.goto(f"{url}?tab=train")
            pages.append(page)
        yield pages
        await browser.close()


async def attend(page, number: int, options: argparse.Namespace, moment: float) -> Visit:
    """As ``Seat.attend``, by clicks."""
    visit = Visit(number, browser=True)
    await page.get_by_role("tab", name="Train", exact=True).click()
    await page.locator("#train-source input").click()
    await page.get_by_role("listbox").get_by_role("option", name="My photos").first.click()
    await page.locator(f"#train-preset input[value={options.preset}]").check(force=True)
    await asyncio.sleep(max(0.0, moment - time.monotonic()))
    pressed = time.monotonic()
    await page.locator("#train-start").click()
    await page.locator("#train-try").click()
    await page.locator("#classify .example").first.click()
    answer = page.locator("#classify-answer h2").first
    await answer.wait_for()
    visit.answer, visit.seconds = await answer.inner_text(), time.monotonic() - pressed
    return visit


# What came of it


def text(results: dict) -> str:
    """The tables and the circumstances."""
    visits = results["visits"]
    answered = sorted(visit["seconds"] for visit in visits if visit["seconds"])
    ticks = sorted(tick for visit in visits for tick in visit["ticks"]) or [0.0]
    facts = [
        ("visitors", len(visits)),
        ("refused", sum(bool(visit["refused"]) for visit in visits)),
        (f"with an answer within {GOAL} seconds", sum(seconds <= GOAL for seconds in answered)),
        ("median seconds to the answer", f"{statistics.median(answered):.0f}" if answered else "–"),
        ("longest", f"{answered[-1]:.0f}" if answered else "–"),
        ("the page's clock waited, 19 times in 20 at most, seconds", f"{ticks[int(0.95 * (len(ticks) - 1))]:.2f}"),
        ("longest", f"{ticks[-1]:.2f}"),
        ("memory at most, GB", f"{results['memory'] / 1e9:.1f}"),
        ("tracebacks in the server's log", results["tracebacks"]),
    ]
    rows = [
        [
            f"{visit['number'] + 1}{' (browser)' * visit['browser']}", visit["place"] or "–",
            "–" if visit["wait"] is None else f"{visit['wait']:.0f}",
            f"{visit['seconds']:.0f}" if visit["seconds"] else visit["refused"] or "none",
        ]
        for visit in visits
    ]  # fmt: skip
    changed = "".join(f", {setting}" for setting in results["settings"])
    return f"""# A class at its first lesson

Everybody trains a network on {PHOTOS} photos of their own, by preset `{results["preset"]}`{changed}, and asks it about
another. All press Start within {WITHIN:.0f} seconds.

{table(["", ""], facts)}

{table(["visitor", "place told", "seconds told", "seconds to the answer"], rows)}

{told(results)}
"""


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(description="How long does a class wait for its networks?")
    parser.add_argument("--visitors", type=int, default=30)
    parser.add_argument("--browsers", type=int, default=2, help="how many of them are real browsers (2)")
    parser.add_argument("--preset", default=FIRST_PRESET, choices=PRESETS, help=f"({FIRST_PRESET})")
    parser.add_argument(
        "--set", action="append", default=[], metavar="KEY=VALUE", help="a hyperparameter, for those without a browser"
    )
    parser.add_argument("--out", type=Path, default=PROJECT / "benchmarks" / "classroom", help="where the results go")
    return parser


if __name__ == "__main__":
    sys.exit(main())
