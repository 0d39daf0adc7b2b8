"""A siege: what do honest visitors feel while one visitor sends everything at once?

    .venv/bin/python benchmarks/siege.py                                # 20 honest visitors, two minutes
    .venv/bin/python benchmarks/siege.py --visitors 4 --seconds 15

Starts the studio as a process of its own, in folders of its own. The honest visitors upload a photo and ask about it
every few seconds; two more train on albums of theirs, as in classroom.py. The besieger is another process, at one
address, with a new cookie for every request: evaluations, uploads of 20 MB, photos that are bombs, trainings,
connections that stay open, cancellations and sessions with long names, and values of the wrong type to every event.
Everybody runs on the same cores as the server. Tells how long answers took, what was refused, and what memory (PSS of
all processes), threads, open files and the temporary folder came to: before, at most, and half a minute after.
Writes siege/results.json and siege/README.md.
"""

import argparse
import asyncio
import collections
import contextlib
import io
import json
import multiprocessing
import random
import secrets
import sys
import tempfile
import threading
import time
from collections.abc import Awaitable, Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import httpx
from PIL import Image

PROJECT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(PROJECT))

from benchmarks.classroom import Seat, paint  # noqa: E402
from benchmarks.common import circumstances, save, table, told  # noqa: E402
from benchmarks.visiting import held_by, serving  # noqa: E402
from flowers.data.garden import CLASSES, render_flower  # noqa: E402
from flowers.inference import CHOICE  # noqa: E402

READING = (2.0, 5.0)  # seconds between an answer and the next question
GOAL = 3.0  # seconds, for 19 answers in 20
TRAINERS = 2
LOOK_SECONDS = 1.0
AFTER = 30.0  # seconds from the end of the siege to the last look
ENEMY = "203.0.113.66"  # an address that is nobody's: RFC 5737, as are those of the honest
PATIENCE = 120.0
AT_ONCE = 6  # of each kind of attack

Wait = tuple[float, float]  # seconds until an answer, and of these until its photo was uploaded


def main(arguments: list[str] | None = None) -> int:
    """Serve, let everybody in, write what they met."""
    options = _parser().parse_args(arguments)
    with tempfile.TemporaryDirectory(prefix="flowers-siege-", ignore_cleanup_errors=True) as scratch:
        home = Path(scratch)
        paint(home / "photos", TRAINERS)
        with serving(home) as (url, process):
            results = besiege(url, home, process.pid, options)
        results["log"] = (home / "app.log").stat().st_size
        results["tracebacks"] = (home / "app.log").read_text(errors="replace").count("Traceback")
        if options.log:
            options.log.write_bytes((home / "app.log").read_bytes())
    results = {**circumstances(), **results, "visitors": options.visitors, "seconds": options.seconds}
    save(options.out / "results.json", results)
    (options.out / "README.md").write_text(text(results))
    print(text(results))
    return 0 if not results["problems"] and share([whole for whole, _ in results["waits"]], 0.95) <= GOAL else 1


def besiege(url: str, home: Path, server: int, options: argparse.Namespace) -> dict[str, Any]:
    """What happened, from before the siege until all is quiet again."""
    asyncio.run(honest(url, 2, 10.0, home))  # all is loaded
    _wait_for_engine(home)
    looks = [held_by(server, home)]
    over = threading.Event()
    watcher = threading.Thread(target=lambda: _watch(server, home, looks, over))
    runs: list[dict[str, Any]] = []
    seats = [Seat(url, home, number) for number in range(TRAINERS)]
    trainers = [threading.Thread(target=_train, args=[seat, runs], daemon=True) for seat in seats]
    watcher.start()
    with multiprocessing.get_context("spawn").Pool(1) as pool:
        enemy = pool.apply_async(attack, [url, options.seconds])
        for trainer in trainers:
            trainer.start()
        waits, problems = asyncio.run(honest(url, options.visitors, options.seconds, home))
        sent = enemy.get(options.seconds + PATIENCE)
    for trainer in trainers:
        trainer.join(PATIENCE)
    time.sleep(AFTER)
    over.set()
    watcher.join()
    most = {key: max(one[key] for one in looks) for key in looks[0]}
    return {"waits": waits, "problems": problems, "trained": runs, "sent": sent, "before": looks[0], "most": most,
            "after": held_by(server, home)}  # fmt: skip


def _wait_for_engine(home: Path) -> None:
    """Until the studio has found out what answers fastest here, as one that has run for a minute has."""
    end = time.monotonic() + PATIENCE
    while not any((home / "cache").rglob(CHOICE)):
        if time.monotonic() > end:
            raise RuntimeError(f"The studio did not settle on an engine within {PATIENCE:.0f} seconds.")
        time.sleep(0.5)


def _watch(server: int, home: Path, looks: list, over: threading.Event) -> None:
    while not over.wait(LOOK_SECONDS):
        with contextlib.suppress(OSError):
            looks.append(held_by(server, home))


# Those who are honest


async def honest(url: str, visitors: int, seconds: float, home: Path) -> tuple[list[Wait], list[str]]:
    """How long each answer took, and what went wrong."""
    waits, problems, end = [], [], time.monotonic() + seconds
    await asyncio.gather(*(_ask(url, number, end, waits, problems) for number in range(visitors)))
    return waits, problems


async def _ask(url: str, number: int, end: float, waits: list[Wait], problems: list[str]) -> None:
    chance = random.Random(number)
    kind = CLASSES[number % len(CLASSES)]
    photo = io.BytesIO()
    render_flower(kind, number, 480).save(photo, "JPEG", quality=90)
    headers = {"x-forwarded-for": f"198.51.100.{number + 1}"}
    # The server closes a connection that was silent for 5 seconds, which browsers ask again about.
    limits = httpx.Limits(keepalive_expiry=3)
    async with httpx.AsyncClient(base_url=url, headers=headers, timeout=PATIENCE, limits=limits) as http:
        try:
            await http.get("/")
            while time.monotonic() < end:
                await asyncio.sleep(chance.uniform(*READING))
                begun = time.monotonic()
                path = await upload(http, photo.getvalue())
                uploaded = time.monotonic()
                await classify(http, path)
                waits.append((time.monotonic() - begun, uploaded - begun))
        except Exception as error:
            problems.append(f"{type(error).__name__}: {error}"[:300])


async def upload(http: httpx.AsyncClient, photo: bytes) -> str:
    """Where the server keeps a photo that it is sent."""
    answer = await http.post("/gradio_api/upload", files={"files": ("a.jpg", photo)})
    [path] = answer.raise_for_status().json()
    return path


async def classify(http: httpx.AsyncClient, path: str) -> dict[str, Any]:
    """The answer to a photo that the server has. Raises RuntimeError where there is none."""
    data = [{"path": path, "meta": {"_type": "gradio.FileData"}}, None]
    asked = await http.post("/gradio_api/call/classify", json={"data": data})
    said = await http.get(f"/gradio_api/call/classify/{asked.raise_for_status().json()['event_id']}")
    lines = [line[6:] for line in said.text.splitlines() if line.startswith("data: ")]
    answers = [json.loads(line) for line in lines if line != "null"]
    if "event: complete" not in said.text or not answers:
        raise RuntimeError(f"no answer: {said.text[:200]}")
    return answers[-1][0]


def _train(seat: Seat, runs: list) -> None:
    visit = seat.attend(SimpleNamespace(preset="fast", set=["epochs=1"]), time.monotonic() + 5)
    runs.append({"seconds": visit.seconds, "refused": visit.refused, "answer": visit.answer})


# The besieger


def attack(url: str, seconds: float) -> dict[str, dict[str, int]]:
    """Send everything at once for so long; how often each kind of request was answered with which status."""
    return asyncio.run(_attack(url, time.monotonic() + seconds))


async def _attack(url: str, end: float) -> dict[str, dict[str, int]]:
    sent: dict[str, collections.Counter] = collections.defaultdict(collections.Counter)
    limits = httpx.Limits(max_connections=400)
    headers = {"x-forwarded-for": ENEMY}
    async with httpx.AsyncClient(base_url=url, headers=headers, timeout=30, limits=limits) as http:
        events = [event["id"] for event in (await http.get("/config")).json()["dependencies"]]

        def call(name: str, *data: Any) -> Callable[[httpx.AsyncClient], Awaitable[httpx.Response]]:
            return lambda http: _post(http, f"call/{name}", {"data": list(data)})

        def event(path: str, garbage: Callable[[], Any]) -> Callable[[httpx.AsyncClient], Awaitable[httpx.Response]]:
            return lambda http: _post(http, path, {
                "fn_index": random.choice(events), "data": garbage(), "event_data": garbage(),
                "session_hash": secrets.token_hex(8),
            })  # fmt: skip

        kinds = {
            "evaluations": call("evaluate", "flowers-lite0", "garden", "val"),
            "answers": call("classify", None, None),
            "trainings": call("start_training", "fast", "garden", {"epochs": 1000}),
            "uploads": lambda http: http.post("/gradio_api/upload", files={"files": ("big.zip", bytes(20_000_000))}),
            "bombs": _bomb,
            "open connections": _stay,
            "sessions": event("queue/join", list),
            "garbage": event("queue/join", _garbage),
            "direct calls": event("run/predict", _garbage),
            "long names": lambda http: _post(http, "cancel", {
                "session_hash": "x" * 2_000_000, "fn_index": 0, "event_id": "y"}),
        }  # fmt: skip

        async def again(name: str, send: Callable) -> None:
            while time.monotonic() < end:
                http.cookies.clear()
                http.headers["cookie"] = f"flowers_visitor={secrets.token_hex(16)}"
                try:
                    sent[name][str((await send(http)).status_code)] += 1
                except Exception as error:
                    sent[name][type(error).__name__] += 1
                    await asyncio.sleep(0.01)

        attacks = [again(name, send) for name, send in kinds.items() for _ in range(AT_ONCE)]
        with contextlib.suppress(asyncio.TimeoutError):
            await asyncio.wait_for(asyncio.gather(*attacks), max(0.0, end - time.monotonic()) + 5)
    return {name: dict(counts) for name, counts in sent.items()}


async def _post(http: httpx.AsyncClient, path: str, told: Any) -> httpx.Response:
    """Half a character is no UTF-8, but JSON has a way to write it."""
    content = json.dumps(told).encode()
    return await http.post(f"/gradio_api/{path}", content=content, headers={"content-type": "application/json"})


async def _bomb(http: httpx.AsyncClient) -> httpx.Response:
    answer = await http.post("/gradio_api/upload", files={"files": ("bomb", random.choice(_bombs()))})
    if answer.status_code != 200:
        return answer
    data = [{"path": answer.json()[0], "meta": {"_type": "gradio.FileData"}}, None]
    return await http.post("/gradio_api/call/classify", json={"data": data})


async def _stay(http: httpx.AsyncClient) -> httpx.Response:
    async with http.stream("GET", f"/gradio_api/heartbeat/{secrets.token_hex(8)}") as beating:
        if beating.status_code == 200:
            with contextlib.suppress(asyncio.TimeoutError):
                await asyncio.wait_for(beating.aread(), 20)
        return beating


def _garbage() -> Any:
    values = [None, True, -1, 1e308, "", "x" * 1000, "\ud800", [], {}, [[[[]]]], {"path": "/etc/passwd"}, {"value": {}}]
    return [random.choice(values) for _ in range(random.randrange(12))]


def _bombs(found: list[bytes] = []) -> list[bytes]:  # noqa: B006 - made once
    """Photos of few bytes and much work, as large as is read of WebP and PNG, and a JPEG of hundreds of layers."""
    if not found:
        for format, side, options in (
            ("WEBP", 7_700, {"lossless": True, "method": 0}), ("PNG", 10_900, {"compress_level": 1}),
        ):  # fmt: skip
            file = io.BytesIO()
            Image.new("L", (side, side)).save(file, format, **options)
            found.append(file.getvalue())
        file = io.BytesIO()
        Image.new("L", (4000, 3000)).save(file, "JPEG", progressive=True)
        jpeg = file.getvalue()
        layer = jpeg[jpeg.rindex(b"\xff\xda") : -2]
        found += [jpeg[:-2] + layer * 380 + jpeg[-2:], jpeg[:-2] + layer * 5000 + jpeg[-2:]]
    return found


# What came of it


def share(waits: list[float], part: float) -> float:
    """The seconds within which such a part of the answers came; infinite where there were none."""
    return sorted(waits)[max(0, int(part * len(waits) + 0.999) - 1)] if waits else float("inf")


def text(results: dict) -> str:
    """The tables and the circumstances."""
    waits, uploads = [[wait[part] for wait in results["waits"]] for part in (0, 1)]
    held = [results["before"], results["most"], results["after"]]
    trained = [one["seconds"] for one in results["trained"]]
    facts = [
        ("honest visitors", results["visitors"]),
        ("their answers", len(waits)),
        ("that failed", len(results["problems"])),
        ("median seconds", f"{share(waits, 0.5):.2f}"),
        (f"19 in 20 within, seconds (goal: {GOAL:.0f})", f"{share(waits, 0.95):.2f}"),
        ("longest", f"{max(waits, default=float('inf')):.2f}"),
        ("of these, until the photo was uploaded: median seconds", f"{share(uploads, 0.5):.2f}"),
        ("trainings of theirs, seconds until the answer of their network",
         ", ".join("none" if one is None else f"{one:.0f}" for one in trained) or "none"),
        ("the server's log, KB", f"{results['log'] / 1000:.0f}"),
        ("tracebacks in it", results["tracebacks"]),
    ]  # fmt: skip
    rows = [
        ["memory, GB", *(f"{one['memory'] / 1e9:.2f}" for one in held)],
        ["of this the studio's own process, GB", *(f"{one['own memory'] / 1e9:.2f}" for one in held)],
        ["temporary files, GB", *(f"{one['temporary'] / 1e9:.2f}" for one in held)],
        *([name, *(one[name] for one in held)] for name in ("processes", "threads", "open files")),
    ]
    sent = [
        [name, sum(counts.values()), ", ".join(f"{status}: {count}" for status, count in sorted(counts.items()))]
        for name, counts in results["sent"].items()
    ]
    failed = "".join(f"- {problem}\n" for problem in results["problems"][:5])
    return f"""# A siege

{results["visitors"]} honest visitors ask about a photo every few seconds and {TRAINERS} more train, while one visitor
sends everything at once for {results["seconds"]:.0f} seconds, on the same cores as the server.

{table(["", ""], facts)}

{failed}
{table(["the server holds", "before", "at most", f"{AFTER:.0f} seconds after"], rows)}

{table(["the besieger sent", "times", "by the status of the answer"], sent)}

{told(results)}
"""


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(description="What do honest visitors feel while one sends everything at once?")
    parser.add_argument("--visitors", type=int, default=20)
    parser.add_argument("--seconds", type=float, default=120)
    parser.add_argument("--out", type=Path, default=PROJECT / "benchmarks" / "siege", help="where the results go")
    parser.add_argument("--log", type=Path, help="where to keep the server's log")
    return parser


if __name__ == "__main__":
    sys.exit(main())
