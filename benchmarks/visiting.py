"""The studio as a process of its own, and visitors who speak to it as its page does, but draw nothing."""

import contextlib
import json
import os
import secrets
import signal
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import httpx

from benchmarks.startup import free_port, wait_for_page
from flowers.studio.visitors import COOKIE

PROJECT = Path(__file__).resolve().parent.parent
GIVE_UP = 3600  # seconds
MEMORY_SECONDS = 2.0  # between two looks at the memory


@contextlib.contextmanager
def serving(home: Path) -> Iterator[tuple[str, subprocess.Popen]]:
    """The studio, until the block ends: its address and process."""
    url, process = start(home)
    try:
        yield url, process
    finally:
        end(process)


def start(home: Path) -> tuple[str, subprocess.Popen]:
    """Start the studio, which keeps all that it keeps in ``home``; its address and process, once it answers."""
    (home / "tmp").mkdir(exist_ok=True)
    environment = {
        **os.environ,
        "FLOWERS_RUNS": str(home / "runs"),
        "FLOWERS_ALBUMS": str(home / "albums"),
        "FLOWERS_CACHE": str(home / "cache"),
        "GRADIO_TEMP_DIR": str(home / "gradio"),
        "TMPDIR": str(home / "tmp"),
        "GRADIO_ANALYTICS_ENABLED": "False",
    }
    if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:  # a script's background job: its children would never end
        signal.signal(signal.SIGINT, signal.default_int_handler)
    port = free_port()
    with open(home / "app.log", "ab") as log:
        command = [sys.executable, "app.py", "--port", str(port)]
        process = subprocess.Popen(command, cwd=PROJECT, env=environment, stdout=log, stderr=log)
    url = f"http://127.0.0.1:{port}/"
    wait_for_page(url, process)
    return url, process


def end(process: subprocess.Popen) -> None:
    """End the studio, and all that came from it."""
    family = family_of(process.pid)
    process.send_signal(signal.SIGINT)
    process.wait(60)
    for one in family:  # who measures something in a session of its own has not heard of it
        with contextlib.suppress(ProcessLookupError):
            os.kill(one, signal.SIGKILL)


@contextlib.contextmanager
def watched_memory(process: int) -> Iterator[list[int]]:
    """The bytes that a process and all that come from it hold together, looked at again and again."""
    found, over = [0], threading.Event()

    def watch() -> None:
        while not over.wait(MEMORY_SECONDS):
            found.append(sum(map(pss, family_of(process))))

    watcher = threading.Thread(target=watch)
    watcher.start()
    try:
        yield found
    finally:
        over.set()
        watcher.join()


def family_of(process: int) -> list[int]:
    """A process, and all that come from it."""
    found = [process]
    for one in found:
        with contextlib.suppress(OSError):
            for task in Path(f"/proc/{one}/task").iterdir():
                found += map(int, (task / "children").read_text().split())
    return found


def pss(process: int) -> int:
    """The bytes that a process holds; what several share counts in parts."""
    with contextlib.suppress(OSError):
        lines = Path(f"/proc/{process}/smaps_rollup").read_text().splitlines()
        return next(1024 * int(line.split()[1]) for line in lines if line.startswith("Pss:"))
    return 0


def size_of(folder: Path) -> int:
    """The bytes that lie in a folder, in which others write and remove meanwhile."""
    total = 0
    for place, _, names in os.walk(folder):
        for name in names:
            with contextlib.suppress(OSError):
                total += os.stat(os.path.join(place, name)).st_size
    return total


def held_by(server: int, home: Path) -> dict[str, float]:
    """What a studio that keeps all in ``home`` holds at this moment; memory and files in bytes."""
    family = family_of(server)
    return {
        "memory": sum(map(pss, family)),
        "own memory": pss(server),
        "processes": len(family),
        "threads": len(list(Path(f"/proc/{server}/task").iterdir())),
        "open files": len(list(Path(f"/proc/{server}/fd").iterdir())),
        "temporary": size_of(home / "gradio") + size_of(home / "tmp"),
        "albums": size_of(home / "albums"),
    }


class Page:
    """A page of the studio in somebody's browser. ``known`` is called with the cookie before the page is opened."""

    def __init__(
        self, url: str, known: Callable[[str], None] = lambda cookie: None, cookie: str = "", timeout: float = GIVE_UP
    ) -> None:
        self.http = httpx.Client(base_url=url, timeout=timeout, cookies={COOKIE: cookie} if cookie else None)
        self.http.get("/").raise_for_status()
        known(cookie or self.http.cookies[COOKIE])
        config = self.http.get("/config").json()
        self.session = secrets.token_hex(8)
        self.dependencies = config["dependencies"]
        self.events = {event["api_name"].rstrip("0123456789_"): event for event in self.dependencies}
        self.components = {one["id"]: one["props"] for one in config["components"]}
        self.ask("_refresh")  # a page that is opened learns what may be chosen

    def ask(self, name: str, data: list | None = None, event: Any = None) -> list:
        """What one of the page's own events gives."""
        return self.call(self.events[name], data or [], event)

    def call(self, event: dict, data: list, told: Any = None) -> list:
        """What an event gives. Raises RuntimeError where it fails."""
        asked = {"fn_index": event["id"], "data": data, "event_data": told, "session_hash": self.session}
        if not event["queue"]:
            return self.http.post("/gradio_api/run/predict", json=asked).raise_for_status().json()["data"]
        number = self.http.post("/gradio_api/queue/join", json=asked).raise_for_status().json()["event_id"]
        with self.http.stream("GET", f"/gradio_api/queue/data?session_hash={self.session}") as lines:
            for line in lines.iter_lines():
                said = json.loads(line.removeprefix("data: ")) if line else {}
                if said.get("msg") == "process_completed" and said["event_id"] == number:
                    if not said["success"]:
                        raise RuntimeError(f"{event['api_name']}: {said['output']}")
                    return said["output"]["data"]
        raise RuntimeError("The studio did not answer.")

    def upload(self, name: str, content: bytes) -> dict[str, Any]:
        """Upload a file; what the page's inputs say of it."""
        [path] = self.http.post("/gradio_api/upload", files={"files": (name, content)}).raise_for_status().json()
        return {"path": path, "orig_name": name, "meta": {"_type": "gradio.FileData"}}

    def answer(self, name: str, content: bytes, checkpoint: str | None = None) -> dict[str, Any]:
        """What a checkpoint answers to a photo. Raises RuntimeError where it does not."""
        return self.program("classify", self.upload(name, content), checkpoint)

    def program(self, name: str, *data: Any) -> Any:
        """What a program gets from the API's function of that name. Raises RuntimeError where that fails."""
        asked = self.http.post(f"/gradio_api/call/{name}", json={"data": data}).raise_for_status()
        said = self.http.get(f"/gradio_api/call/{name}/{asked.json()['event_id']}").text
        answers = [line[6:] for line in said.splitlines() if line.startswith("data: ") and line != "data: null"]
        if "event: complete" not in said or not answers:
            raise RuntimeError(f"no answer: {said[:200]}")
        return json.loads(answers[-1])[0]
