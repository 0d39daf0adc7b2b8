"""Live: how many answers a second does a camera get, and how soon, alone and beside others?

    .venv/bin/python benchmarks/live.py                     # three rows of 30 seconds: about two minutes in all
    .venv/bin/python benchmarks/live.py --seconds 5

Starts the studio as a process of its own. Visitors send frames as live.js does: 256 pixels, the newest one as soon as
the last is answered, but eight a second at most. They draw nothing, so the cores are the server's. Beside the
last five, fifteen others ask about a photo every few seconds. Writes live/results.json and live/README.md.
"""

import argparse
import io
import random
import secrets
import statistics
import sys
import tempfile
import threading
import time
from pathlib import Path

import httpx
from PIL import Image

PROJECT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(PROJECT))

from benchmarks.common import circumstances, save, table, told  # noqa: E402
from benchmarks.visiting import Page, serving  # noqa: E402
from flowers.data.garden import render_flower  # noqa: E402
from flowers.studio.visitors import COOKIE, LIVE  # noqa: E402

EVERY, AGAIN = 0.12, 0.4  # seconds, as live.js has them
ROWS = ((1, 0), (5, 0), (5, 15))  # live visitors, and others who ask about photos
READING = (3.0, 8.0)  # seconds between an answer and the next photo
SMOOTH = 5  # answers a second, the goal for one
SOON = 0.3  # seconds, the goal for one


def main(arguments: list[str] | None = None) -> int:
    """Serve, look, write what was met; 0 where the goals are met."""
    options = _parser().parse_args(arguments)
    with tempfile.TemporaryDirectory(prefix="flowers-live-") as scratch, serving(Path(scratch)) as (url, _):
        settle(url, options.settle)
        rows = [measure(url, live, others, options.seconds) for live, others in ROWS]
    results = {**circumstances(), "seconds": options.seconds, "rows": rows}
    options.out.mkdir(parents=True, exist_ok=True)
    save(options.out / "results.json", results)
    (options.out / "README.md").write_text(text(results))
    print(text(results))
    met = rows[0]["a second"] >= SMOOTH and rows[0]["19 in 20"] <= SOON
    return 0 if met and not any(row["failed"] for row in rows) else 1


def settle(url: str, seconds: float) -> None:
    """Have the first answers given, and the fastest engine found, as on a server that has run for a while."""
    with Camera(url) as camera:
        until = time.monotonic() + seconds
        while time.monotonic() < until:
            camera.look(_frame(0))


def measure(url: str, live: int, others: int, seconds: float) -> dict:
    """What so many live visitors meet, each of another address' worth of cookies, and so many others."""
    over = threading.Event()
    cameras: list[list[float]] = [[] for _ in range(live)]
    waits: list[float] = []
    failed: list[str] = []
    threads = [threading.Thread(target=_watch, args=[url, one, over, failed]) for one in cameras]
    threads += [threading.Thread(target=_ask, args=[url, waits, over, failed]) for _ in range(others)]
    for thread in threads:
        thread.start()
    over.wait(seconds)
    over.set()
    for thread in threads:
        thread.join()
    all_ = sorted(wait for one in cameras for wait in one)
    return {
        "live": live, "others": others, "failed": failed, "a second": sum(map(len, cameras)) / live / seconds,
        "least": min(map(len, cameras)) / seconds, "median": statistics.median(all_) if all_ else float("inf"),
        "19 in 20": all_[int(0.95 * len(all_))] if all_ else float("inf"), "answers": len(all_),
        "waits": sorted(waits)[int(0.95 * len(waits))] if waits else None, "others answered": len(waits),
    }  # fmt: skip


class Camera:
    """A browser with a camera, as far as the studio sees it."""

    def __init__(self, url: str) -> None:
        cookies = {COOKIE: secrets.token_hex(16)}
        self.browser = httpx.Client(base_url=url, cookies=cookies, timeout=60, verify=False)
        self.state = ""

    def __enter__(self) -> "Camera":
        return self

    def __exit__(self, *_: object) -> None:
        self.browser.close()

    def look(self, frame: bytes) -> bool:
        """Ask about a frame; whether it was answered."""
        answer = self.browser.post(LIVE, content=f"{self.state}\n".encode() + frame)
        if answer.status_code == 429:
            return False
        answer.raise_for_status()
        self.state = answer.json()["state"]
        return True


def _watch(url: str, waits: list[float], over: threading.Event, failed: list[str]) -> None:
    frames = [_frame(number) for number in range(5)]
    with Camera(url) as camera:
        while not over.is_set():
            began = time.perf_counter()
            try:
                answered = camera.look(frames[len(waits) % 5])
            except httpx.HTTPError as error:
                failed.append(f"{type(error).__name__}: {error}"[:200])
                answered = False
            took = time.perf_counter() - began
            if answered:
                waits.append(took)
            over.wait(max(0.0, EVERY - took) if answered else AGAIN)


def _ask(url: str, waits: list[float], over: threading.Event, failed: list[str]) -> None:
    photo = io.BytesIO()
    render_flower("tulip", random.randrange(10**6), 1024).save(photo, "JPEG")
    page = Page(url, timeout=60)
    while not over.wait(random.uniform(*READING)):
        began = time.perf_counter()
        try:
            page.answer("a.jpg", photo.getvalue())
            waits.append(time.perf_counter() - began)
        except (httpx.HTTPError, RuntimeError) as error:
            failed.append(f"{type(error).__name__}: {error}"[:200])


def _frame(number: int) -> bytes:
    file = io.BytesIO()
    flower = render_flower(("daisy", "dandelion", "rose", "sunflower", "tulip")[number], 7, 256)
    scene = Image.new("RGB", (341, 256), "gray")
    scene.paste(flower, (42, 0))
    scene.save(file, "JPEG", quality=85)
    return file.getvalue()


def text(results: dict) -> str:
    """The table and the circumstances."""
    rows = [
        (
            str(row["live"]), str(row["others"]), f"{row['a second']:.1f}", f"{row['least']:.1f}",
            f"{1000 * row['median']:.0f}", f"{1000 * row['19 in 20']:.0f}",
            "–" if row["waits"] is None else f"{row['waits']:.2f}", str(len(row["failed"])),
        )
        for row in results["rows"]
    ]  # fmt: skip
    heads = ["live visitors", "others", "answers a second each", "whoever has least", "median, ms",
             "19 in 20 within, ms", "the others' photos: 19 in 20 within, s", "failed"]  # fmt: skip
    problems = "".join(f"- {problem}\n" for row in results["rows"] for problem in row["failed"][:5])
    return f"""# Live

Frames of a camera are answered for {results["seconds"]:g} seconds. The goals, for one: {SMOOTH} a second, each within
{1000 * SOON:.0f} ms.

{table(heads, rows)}
{problems}
{told(results)}
"""


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--seconds", type=float, default=30)
    parser.add_argument("--settle", type=float, default=30, help="seconds of frames before anything is measured")
    parser.add_argument("--out", type=Path, default=Path(__file__).resolve().parent / "live")
    return parser


if __name__ == "__main__":
    sys.exit(main())
