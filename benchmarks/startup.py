"""How soon the studio is there: seconds from ``python app.py`` to its page, and to the first answer to a photo.

    race-venv/bin/python benchmarks/startup.py                # seven fresh starts: two minutes

A program asks for the page every 20 ms until it is served, and then sends a photo to ``/classify``, as somebody would
who is quick. Files are in the system's memory: a start just before, that does not count, has read them. Writes
startup/results.json and startup/README.md.
"""

import argparse
import contextlib
import os
import signal
import socket
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import httpx
from gradio_client import Client, handle_file

PROJECT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(PROJECT))

from benchmarks.common import circumstances, save, table, told  # noqa: E402

GIVE_UP = 120  # seconds


def main(arguments: list[str] | None = None) -> int:
    """Start it again and again, write the medians."""
    options = _parser().parse_args(arguments)
    with tempfile.TemporaryDirectory(prefix="flowers-startup-") as scratch:
        photo = Path(scratch) / "photo.jpg"
        paint(photo)
        starts = [start_once(photo, Path(scratch)) for _ in range(options.starts + 1)][1:]
    results = {**circumstances(), "starts": starts}
    save(options.out / "results.json", results)
    (options.out / "README.md").write_text(text(results))
    print(text(results))
    return 0


def paint(photo: Path) -> None:
    """A flower to ask about."""
    from flowers.data.garden import render_flower

    render_flower("rose", seed=0, size=500).save(photo, quality=90)


def start_once(photo: Path, scratch: Path) -> dict[str, float]:
    """Seconds from the start of the process to its page and to its first answer."""
    port = free_port()
    url = f"http://127.0.0.1:{port}/"
    environment = {**os.environ, "FLOWERS_RUNS": str(scratch / "runs"), "GRADIO_ANALYTICS_ENABLED": "False"}
    start = time.perf_counter()
    process = subprocess.Popen(
        [sys.executable, "app.py", "--port", str(port)], cwd=PROJECT, env=environment, start_new_session=True,
        stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
    )  # fmt: skip
    try:
        wait_for_page(url, process)
        page = time.perf_counter() - start
        answer = Client(url, verbose=False).predict(handle_file(photo), None, api_name="/classify")
        assert answer, "no answer"
        return {"page": page, "answer": time.perf_counter() - start}
    finally:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
        process.wait()


def wait_for_page(url: str, process: subprocess.Popen) -> None:
    """Return when the page is served whole."""
    give_up = time.monotonic() + GIVE_UP
    while time.monotonic() < give_up and process.poll() is None:
        with contextlib.suppress(httpx.TransportError):
            if httpx.get(url, timeout=GIVE_UP).status_code == 200:
                return
        time.sleep(0.02)
    raise SystemExit(f"The studio did not serve its page within {GIVE_UP} seconds.")


def free_port() -> int:
    """A port that nobody listens on."""
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        return listener.getsockname()[1]


def text(results: dict) -> str:
    """Table and circumstances."""
    starts = results["starts"]
    rows = [
        [title, *(f"{of([start[key] for start in starts]):.2f}" for of in (statistics.median, min, max))]
        for key, title in (("page", "the page is served"), ("answer", "a photo is answered"))
    ]
    return (
        f"# Start-up\n\nSeconds from `python app.py`, {len(starts)} fresh starts.\n\n"
        + table(["", "median", "shortest", "longest"], rows)
        + f"\n\n{told(results)}\n"
    )


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(description="How soon the studio serves its page and answers a photo.")
    parser.add_argument("--starts", type=int, default=7, help="fresh starts (7)")
    parser.add_argument("--out", type=Path, default=PROJECT / "benchmarks" / "startup", help="where the results go")
    return parser


if __name__ == "__main__":
    sys.exit(main())
