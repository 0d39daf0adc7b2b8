"""Hours of mixed use: does anything grow that should not?

    .venv/bin/python benchmarks/lasting.py                 # two hours
    .venv/bin/python benchmarks/lasting.py --minutes 10

Starts the studio as a process of its own. Visitors file photos, remove and export them, ask about photos, train for one
epoch, evaluate, and open their pages anew; four times the studio is ended and started again. Every ten seconds it is
looked at what the studio's process holds (PSS), how many threads and open files it has, and what lies in the temporary
folder and in the albums. Writes lasting/results.json, lasting/README.md and the figure lasting/lasting.png.
"""

import argparse
import collections
import random
import sys
import tempfile
import threading
import time
from collections.abc import Callable
from pathlib import Path

import httpx

PROJECT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(PROJECT))

from benchmarks import kills  # noqa: E402
from benchmarks.common import circumstances, save, table, told  # noqa: E402
from benchmarks.kills import Visitor  # noqa: E402
from benchmarks.visiting import Page, end, held_by, start  # noqa: E402

VISITORS = 4
LIVES = 4  # of the studio
LOOK_SECONDS = 10.0
RELOAD = 20  # deeds after which a page is opened anew
PAUSE = (0.5, 4.0)  # seconds between two deeds
LIMIT = 1.5  # as much as the studio may hold at the end of a life, beside what it held a quarter into it


def main(arguments: list[str] | None = None) -> int:
    """Live through it, then tell."""
    options = _parser().parse_args(arguments)
    seconds, looks, deeds, problems = 60 * options.minutes, [], collections.Counter(), []
    with tempfile.TemporaryDirectory(prefix="flowers-lasting-", ignore_cleanup_errors=True) as scratch:
        home, begun = Path(scratch), time.monotonic()
        people = [Visitor(number, home) for number in range(VISITORS)]
        for number in range(LIVES):
            url, process = start(home)
            over = threading.Event()
            threads = [threading.Thread(target=_use, args=[url, one, over, deeds, problems]) for one in people]
            for thread in threads:
                thread.start()
            until = begun + seconds * (number + 1) / LIVES
            while time.monotonic() < until:
                time.sleep(min(LOOK_SECONDS, max(0.1, until - time.monotonic())))
                looks.append({"life": number, "minutes": (time.monotonic() - begun) / 60, **held_by(process.pid, home)})
            over.set()
            for thread in threads:
                thread.join()
            end(process)
        tracebacks = (home / "app.log").read_text(errors="replace").count("Traceback")
    results = {**circumstances(), "minutes": options.minutes, "looks": looks, "deeds": dict(deeds),
               "problems": problems, "tracebacks": tracebacks}  # fmt: skip
    options.out.mkdir(parents=True, exist_ok=True)
    save(options.out / "results.json", results)
    draw(looks, options.out / "lasting.png")
    (options.out / "README.md").write_text(text(results))
    print(text(results))
    return 0 if not problems and max(growth(looks)) <= LIMIT else 1


def growth(looks: list[dict[str, float]]) -> list[float]:
    """For each life of the studio, its memory in the last quarter beside the second one: medians."""
    found = []
    for life in sorted({one["life"] for one in looks}):
        held = [one["own memory"] for one in looks if one["life"] == life]
        second, last = held[len(held) // 4 : len(held) // 2], held[-max(1, len(held) // 4) :]
        found.append(_median(last) / _median(second) if second else 1.0)
    return found


def _median(values: list[float]) -> float:
    return sorted(values)[len(values) // 2]


# Those who use it


def _use(url: str, one: Visitor, over: threading.Event, deeds: collections.Counter, problems: list[str]) -> None:
    chance = random.Random(one.number + 100 * one.taken)
    doing: dict[Callable[[Page, Visitor, random.Random], None], int] = {
        kills.file: 8, kills.rename: 1, kills.remove: 2, kills.undo: 1, kills.export: 1, kills.answer: 8,
        kills.train: 1, _evaluate: 1,
    }  # fmt: skip
    page = None
    while not over.wait(chance.uniform(*PAUSE)):
        deed = chance.choices(list(doing), list(doing.values()))[0]
        try:
            if page is None or chance.random() < 1 / RELOAD:
                page = Page(url, cookie=one.cookie, timeout=300)
            deed(page, one, chance)
            deeds[deed.__name__.strip("_")] += 1
        except (httpx.HTTPError, RuntimeError, ValueError) as error:
            if not over.is_set():
                problems.append(f"{deed.__name__}: {error}"[:300])


def _evaluate(page: Page, one: Visitor, chance: random.Random) -> None:
    page.program("evaluate", "flowers-lite0", "garden", "val")


# What came of it


def draw(looks: list[dict[str, float]], file: Path) -> None:
    """Four curves over the minutes."""
    from matplotlib.figure import Figure

    figure = Figure((8, 8), layout="constrained")
    kinds = [("own memory", "the studio's memory, GB", 1e9), ("threads", "threads", 1), ("open files", "open files", 1),
             ("temporary", "temporary files, GB", 1e9)]  # fmt: skip
    for axes, (key, label, unit) in zip(figure.subplots(len(kinds), sharex=True), kinds, strict=True):
        axes.plot([one["minutes"] for one in looks], [one[key] / unit for one in looks])
        axes.set_ylabel(label)
        axes.set_ylim(bottom=0)
    axes.set_xlabel("minutes")
    figure.savefig(file, dpi=100)


def text(results: dict) -> str:
    """The tables and the circumstances."""
    looks = results["looks"]
    facts = [
        ("minutes", f"{results['minutes']:.0f}"),
        *((f"times that somebody did: {name}", count) for name, count in sorted(results["deeds"].items())),
        ("deeds that failed", len(results["problems"])),
        ("tracebacks in the server's log", results["tracebacks"]),
        ("memory in the last quarter of each life, beside the second", ", ".join(f"{g:.2f}" for g in growth(looks))),
    ]
    kinds = (
        ("the studio's memory, GB", "own memory", 1e9, ".2f"), ("that of all processes, GB", "memory", 1e9, ".2f"),
        ("threads", "threads", 1, ".0f"), ("open files", "open files", 1, ".0f"),
        ("temporary files, GB", "temporary", 1e9, ".3f"), ("albums, GB", "albums", 1e9, ".3f"),
    )  # fmt: skip
    rows = []
    for name, key, unit, form in kinds:
        lives = [_median([one[key] for one in looks if one["life"] == life]) for life in range(LIVES)]
        rows.append([name, *(f"{value / unit:{form}}" for value in [*lives, max(one[key] for one in looks)])])
    failed = "".join(f"- {problem}\n" for problem in results["problems"][:5])
    return f"""# Hours of mixed use

{VISITORS} visitors file, remove and export photos, ask, train, evaluate and open their pages anew.

![What the studio holds over time](lasting.png)

{table(["", ""], facts)}

{failed}
{table(["median of each life", *map(str, range(1, LIVES + 1)), "at most"], rows)}

{told(results)}
"""


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(description="Does anything grow that should not?")
    parser.add_argument("--minutes", type=float, default=120)
    parser.add_argument("--out", type=Path, default=PROJECT / "benchmarks" / "lasting", help="where the results go")
    return parser


if __name__ == "__main__":
    sys.exit(main())
