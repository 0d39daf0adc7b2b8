"""Killed again and again: is anything lost that was acknowledged?

    .venv/bin/python benchmarks/kills.py                # 200 kills: about an hour
    .venv/bin/python benchmarks/kills.py --kills 5

Starts the studio as a process of its own. Visitors file photos, rename and remove classes, undo, export, ask about
photos and train, all by the page's own events. At a random moment the studio's process gets SIGKILL, or the trainer's,
or both; the studio is started again on the same folders. Afterwards every photo that was acknowledged and not taken
away must be there, every run must be readable, and every run that stands in line must have its turn. Writes
kills/results.json and kills/README.md.
"""

import argparse
import contextlib
import hashlib
import io
import os
import random
import secrets
import signal
import sys
import tempfile
import threading
import time
from collections.abc import Iterable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import httpx

PROJECT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(PROJECT))

from benchmarks.common import circumstances, save, table, told  # noqa: E402
from benchmarks.visiting import Page, end, family_of, start  # noqa: E402
from flowers.data.album import Album  # noqa: E402
from flowers.data.garden import CLASSES, render_flower  # noqa: E402
from flowers.studio.common import ALBUM  # noqa: E402
from flowers.training.run import list_runs  # noqa: E402
from flowers.training.story import read_story  # noqa: E402

VISITORS = 3
LIVES = (0.5, 6.0)  # seconds that the studio lives after its visitors have come
TRAINER_SECONDS = 30.0  # in which somebody trains, if anybody does; torch takes ten to come, on one core more
PATIENCE = 300.0  # seconds for the line to move on to its end
FULL = 40  # photos of a visitor, after which some are removed


@dataclass
class Visitor:
    """Somebody with a browser, and what they have been told is there."""

    number: int
    home: Path  # of the studio's folders
    cookie: str = field(default_factory=lambda: secrets.token_hex(16))
    filed: set[str] = field(default_factory=set)  # names of photos that were acknowledged
    unsure: set[str] = field(default_factory=set)  # in the middle of whose removal the studio died
    taken: int = 0
    acknowledged: int = 0
    exported: int = 0
    answers: int = 0
    wrong: list[str] = field(default_factory=list)  # answers that were no success while the studio lived

    @property
    def album(self) -> Album:
        """Their photos, which lie there under the name that they came with, a dash and their digest."""
        return Album(self.home / "albums" / hashlib.sha256(f"visitor {self.cookie}".encode()).hexdigest()[:32])

    def there(self) -> dict[str, set[str]]:
        """The names of the photos that lie in each class."""
        return {name: _names(paths) for name, paths in self.album.classes.items()}

    def added_last(self) -> set[str]:
        """The names of those that an undo would take away."""
        step = self.album.last
        return _names(target for source, target in step.moved if not source) if step else set()

    def in_class(self, name: str) -> set[str]:
        """The names of those in a class."""
        return self.there().get(name, set())


def _names(paths: Iterable[str | Path]) -> set[str]:
    return {Path(path).name.rpartition("-")[0] for path in paths}


def main(arguments: list[str] | None = None) -> int:
    """Kill so often, then look at what is left."""
    options = _parser().parse_args(arguments)
    chance = random.Random(options.seed)
    with tempfile.TemporaryDirectory(prefix="flowers-kills-", ignore_cleanup_errors=True) as scratch:
        home = Path(scratch)
        people = [Visitor(number, home) for number in range(VISITORS)]
        os.environ["FLOWERS_RUNS"] = str(home / "runs")
        lost, kinds = [], {"studio": 0, "trainer": 0, "both": 0}
        while sum(kinds.values()) < options.kills:
            kinds[live(home, people, chance)] += 1
            lost += missing(people)
        _, process = start(home)
        stuck = stands(home)
        unreadable = damaged(home)
        end(process)
        log = (home / "app.log").read_text(errors="replace")
        runs = len(list_runs(home / "runs"))
        halves = [path.name for path in (home / "runs").glob("[!.]*/") if not (path / "recipe.json").exists()]
    results = {
        **circumstances(), "kills": kinds, "runs": runs,
        "exported": sum(one.exported for one in people), "answers": sum(one.answers for one in people),
        "taken": sum(one.acknowledged for one in people), "lost": sorted(set(lost)), "unreadable": unreadable,
        "stuck": stuck, "halves": halves, "wrong": [said for one in people for said in one.wrong],
        "tracebacks": log.count("Traceback"),
    }  # fmt: skip
    save(options.out / "results.json", results)
    (options.out / "README.md").write_text(text(results))
    print(text(results))
    return 1 if lost or unreadable or stuck or halves else 0


def live(home: Path, people: list[Visitor], chance: random.Random) -> str:
    """One life of the studio: what was killed at its end."""
    url, process = start(home)
    over = threading.Event()
    with ThreadPoolExecutor() as pool:
        pages = list(pool.map(lambda one: Page(url, cookie=one.cookie, timeout=60), people))
    threads = [
        threading.Thread(target=_visit, args=[page, one, chance.random(), over])
        for page, one in zip(pages, people, strict=True)
    ]
    for thread in threads:
        thread.start()
    time.sleep(chance.uniform(*LIVES))
    kind = chance.choice(["studio", "trainer", "both"])
    trainers = _trainers(home) if kind == "studio" else _wait_for_trainers(home)
    kind = kind if trainers else "studio"
    for one in trainers if kind != "studio" else []:
        _kill(one)
    if kind == "trainer":
        time.sleep(chance.uniform(0, 1))
    over.set()
    for one in [process.pid] if kind == "trainer" else family_of(process.pid):  # who trains is not of its family
        _kill(one)
    process.wait()
    for thread in threads:
        thread.join()
    return kind


def missing(people: list[Visitor]) -> list[str]:
    """What was acknowledged and is not there."""
    lost = []
    for one in people:
        there = set().union(*one.there().values())
        lost += [f"visitor {one.number}: {name}" for name in one.filed - there - one.unsure]
        one.filed |= one.unsure & there
        one.filed &= there
        one.unsure.clear()
    return lost


def damaged(home: Path) -> list[str]:
    """The runs that cannot be read."""
    found = []
    for run in list_runs(home / "runs"):
        try:
            _ = run.status(), run.recipe, run.source, read_story(run)
        except Exception as error:
            found.append(f"{run.name}: {error}")
    return found


def stands(home: Path) -> list[str]:
    """The runs that are still at work, or in line, when there has been time enough for all."""
    deadline = time.monotonic() + PATIENCE
    while time.monotonic() < deadline:
        active = [run.name for run in list_runs(home / "runs") if run.status().active]
        if not active:
            return []
        time.sleep(1)
    return active


def _trainers(home: Path) -> list[int]:
    found = []
    for run in list_runs(home / "runs"):
        with contextlib.suppress(Exception):
            if (now := run.status()).state == "running" and now.pid:
                found.append(now.pid)
    return found


def _wait_for_trainers(home: Path) -> list[int]:
    deadline = time.monotonic() + TRAINER_SECONDS
    while not (found := _trainers(home)) and time.monotonic() < deadline:
        time.sleep(0.1)
    return found


def _kill(process: int) -> None:
    with contextlib.suppress(ProcessLookupError):
        os.kill(process, signal.SIGKILL)


# Those who are there meanwhile


def _visit(page: Page, one: Visitor, seed: float, over: threading.Event) -> None:
    chance = random.Random(seed)
    try:
        while not over.is_set():
            doing = chance.choices([file, rename, remove, undo, export, answer, train], [8, 2, 1, 2, 1, 3, 2])[0]
            doing(page, one, chance)
    except (httpx.HTTPError, RuntimeError, ValueError, OSError) as error:
        if not over.is_set() and not isinstance(error, httpx.TransportError):
            one.wrong.append(f"{type(error).__name__}: {error}"[:300])


def file(page: Page, one: Visitor, chance: random.Random) -> None:
    """File one to three photos that nobody has filed before."""
    kind = chance.choice(CLASSES)
    names = []
    files = []
    for _ in range(chance.randint(1, 3)):
        one.taken += 1
        name, photo = f"v{one.number}n{one.taken}", io.BytesIO()
        render_flower(kind, 1000 * one.number + one.taken, 128).save(photo, "JPEG")
        files.append(page.upload(f"{name}.jpg", photo.getvalue()))
        names.append(name)
    said = page.ask("_add", [files, f"{kind} {chance.randint(1, 2)}", ""])
    if "photo" not in str(said[0]):
        raise RuntimeError(f"not filed: {said[0]}")
    one.filed |= set(names)
    one.acknowledged += len(names)
    if len(one.filed) > FULL:
        remove(page, one, chance)


def _one_of_theirs(page: Page, chance: random.Random) -> str | None:
    """A class of their album, of those that the page lists once it is drawn anew."""
    drawn = page.ask("_show", [ALBUM, "", "all", 0])
    choices = next((one["choices"] for one in drawn if isinstance(one, dict) and one.get("choices")), [])
    return chance.choice(choices)[1] if choices else None


def rename(page: Page, one: Visitor, chance: random.Random) -> None:
    """Rename a class of theirs."""
    old = _one_of_theirs(page, chance)
    if old:
        page.ask("_rename", [old, f"{chance.choice(CLASSES)} {chance.randint(1, 2)}"])


def remove(page: Page, one: Visitor, chance: random.Random) -> None:
    """Remove one."""
    if gone := _one_of_theirs(page, chance):
        inside = one.in_class(gone)
        one.unsure |= inside
        page.ask("_remove_class", [gone])
        one.filed -= inside
        one.unsure -= inside


def undo(page: Page, one: Visitor, chance: random.Random) -> None:
    """Take the last change back: what that filed is no longer there, what it removed is."""
    added = one.added_last()
    one.unsure |= added
    page.ask("_undo", [])
    one.filed -= added
    one.unsure -= added


def export(page: Page, one: Visitor, chance: random.Random) -> None:
    """Pack all photos."""
    page.ask("_export", [])
    one.exported += 1


def answer(page: Page, one: Visitor, chance: random.Random) -> None:
    """Ask about a photo."""
    photo = io.BytesIO()
    render_flower(chance.choice(CLASSES), chance.randrange(10**6), 128).save(photo, "JPEG")
    page.answer("a.jpg", photo.getvalue())
    one.answers += 1


def train(page: Page, one: Visitor, chance: random.Random) -> None:
    """Start a short training, where there are photos of theirs: else the page offers none."""
    if not one.filed:
        return
    page.ask("_refresh_training", [None])  # as the tab does when it is opened: the album may be new
    values: list[Any] = page.ask("_choose_preset", event={"name": "fast"})[1:]
    page.ask("_press_start", [None, ALBUM, *values])


# What came of it


def text(results: dict) -> str:
    """The table and the circumstances."""
    kinds = results["kills"]
    facts = [
        ("kills", sum(kinds.values())),
        *((f"of {name}", count) for name, count in kinds.items()),
        ("photos filed, and acknowledged", results["taken"]),
        ("lost", len(results["lost"])),
        ("exports and answers meanwhile", results["exported"] + results["answers"]),
        ("runs", results["runs"]),
        ("that cannot be read", len(results["unreadable"])),
        ("of which only half is there", len(results["halves"])),
        ("that stand in line for ever", len(results["stuck"])),
        ("answers that were errors while the studio lived", len(results["wrong"])),
        ("tracebacks in the server's log", results["tracebacks"]),
    ]
    named = [*results["lost"], *results["unreadable"], *results["halves"], *results["stuck"], *results["wrong"]]
    listed = "".join(f"- {name}\n" for name in named[:20])
    return f"""# Killed again and again

{VISITORS} visitors file photos, rename and remove classes, undo, export, ask and train, while the studio, the trainer
or both get SIGKILL at random moments.

{table(["", ""], facts)}

{listed}
{told(results)}
"""


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(description="Is anything lost that was acknowledged?")
    parser.add_argument("--kills", type=int, default=200)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--out", type=Path, default=PROJECT / "benchmarks" / "kills", help="where the results go")
    return parser


if __name__ == "__main__":
    sys.exit(main())
