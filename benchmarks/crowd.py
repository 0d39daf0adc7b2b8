"""Many people at once: how long does a browser wait for its answer, while a training run keeps the cores busy?

    .venv/bin/python benchmarks/crowd.py                            # 20 browsers for two minutes: about 5 in all
    .venv/bin/python benchmarks/crowd.py --browsers 4 --minutes 0.5

Starts the studio as a process of its own, a run of preset `report` on the garden in it, and one Chromium with so many
visitors, each with cookies and a page of its own. Everyone clicks an example, reads the answer for a few seconds, and
clicks the next one. The wait is measured in the page, from the click until another answer stands there. Chromium draws
its pages on the same cores, which the visitors of a real server do on their own: so the numbers err to the slow side.
Needs tests/requirements.txt and Debian's chromium. Writes crowd/results.json and crowd/README.md.
"""

import argparse
import asyncio
import os
import random
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
import urllib.error
import urllib.request
from pathlib import Path

PROJECT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(PROJECT))

from benchmarks.common import circumstances, save, table, told  # noqa: E402

READING = (3.0, 8.0)  # seconds between an answer and the next click
PATIENCE = 60_000  # milliseconds
LOADED_AT_ONCE = 2  # pages: twenty at once would all be drawn for a minute
# Resolves to the milliseconds between the click on example N and the answer that replaces the one shown.
CLICK = """number => new Promise((resolve, reject) => {
  const card = document.querySelector("#classify-answer"), before = card.innerText, start = performance.now();
  const seen = new MutationObserver(() => {
    const heading = card.querySelector("h2");
    if (heading && card.innerText !== before) { seen.disconnect(); resolve(performance.now() - start); }
  });
  seen.observe(card, {childList: true, subtree: true, characterData: true});
  const complain = () => { seen.disconnect(); reject(new Error("no answer: " + card.innerText.slice(0, 200))); };
  setTimeout(complain, 60000);
  document.querySelectorAll("#classify .example")[number].click();
})"""


def main(arguments: list[str] | None = None) -> int:
    """Serve, train, let the crowd in, write what it met."""
    options = _parser().parse_args(arguments)
    with tempfile.TemporaryDirectory(prefix="flowers-crowd-") as scratch:
        studio, url = serve(Path(scratch))
        try:
            run = train(url, options.source)
            waits, problems = asyncio.run(crowd(url, options.browsers, options.minutes * 60))
            state = status(url, run)
        finally:
            studio.terminate()
            studio.wait(60)
        said = (Path(scratch) / "app.log").read_text()
    results = {
        **circumstances(),
        "browsers": options.browsers,
        "minutes": options.minutes,
        "source": options.source,
        "waits": [round(wait, 3) for wait in waits],
        "problems": problems,
        "tracebacks": said.count("Traceback"),
        "training": state,
    }
    save(options.out / "results.json", results)
    (options.out / "README.md").write_text(text(results))
    print(text(results))
    return 1 if problems or results["tracebacks"] or state != "running" else 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(description="How long do many browsers wait for answers while one trains?")
    parser.add_argument("--browsers", type=int, default=20)
    parser.add_argument("--minutes", type=float, default=2)
    parser.add_argument("--source", default="garden", help="what is trained on (garden)")
    parser.add_argument("--out", type=Path, default=PROJECT / "benchmarks" / "crowd", help="where the results go")
    return parser


def serve(scratch: Path) -> tuple[subprocess.Popen, str]:
    """The studio on a free port, with folders of its own."""
    import socket

    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    environment = {
        **os.environ,
        "FLOWERS_RUNS": str(scratch / "runs"),
        "GRADIO_TEMP_DIR": str(scratch / "gradio"),
        "GRADIO_ANALYTICS_ENABLED": "False",
    }
    with open(scratch / "app.log", "wb") as log:
        command = [sys.executable, "app.py", "--port", str(port)]
        studio = subprocess.Popen(command, cwd=PROJECT, env=environment, stdout=log, stderr=log)
    url = f"http://127.0.0.1:{port}"
    for _ in range(240):
        try:
            urllib.request.urlopen(url, timeout=5).close()
            return studio, url
        except (urllib.error.URLError, OSError):
            time.sleep(0.5)
    studio.terminate()
    raise SystemExit("the studio did not answer: " + (scratch / "app.log").read_text())


def train(url: str, source: str) -> str:
    """Start a long run, and wait for its first steps; its name."""
    from gradio_client import Client

    client = Client(url, verbose=False)
    settings = {"init": "flowers-resnet18", "epochs": 200}
    run = client.predict("report", source, settings, api_name="/start_training")["run"]
    for _ in range(300):
        now = client.predict(run, api_name="/training_status")
        if now.get("loss"):
            return run
        time.sleep(1)
    raise SystemExit(f"the run has not begun to learn: {now['state']}, {now['message']}")


def status(url: str, run: str) -> str:
    """The state that a run is in."""
    from gradio_client import Client

    return Client(url, verbose=False).predict(run, api_name="/training_status")["state"]


async def crowd(url: str, browsers: int, seconds: float) -> tuple[list[float], list[str]]:
    """Everyone's waits in seconds, and what went wrong, once all pages are there."""
    from playwright.async_api import async_playwright

    waits: list[float] = []
    problems: list[str] = []
    path = shutil.which("chromium") or shutil.which("chromium-browser")
    async with async_playwright() as playwright:
        browser = await playwright.chromium.launch(executable_path=path, args=["--no-sandbox", "--disable-gpu"])
        gate = asyncio.Semaphore(LOADED_AT_ONCE)
        pages = await asyncio.gather(*(_open(browser, url, gate) for _ in range(browsers)))
        end = time.monotonic() + seconds
        await asyncio.gather(*(_visit(page, number, end, waits, problems) for number, page in enumerate(pages)))
        await browser.close()
    return waits, problems


async def _open(browser, url: str, gate: asyncio.Semaphore):
    async with gate:
        context = await browser.new_context(viewport={"width": 1280, "height": 900})
        context.set_default_timeout(4 * PATIENCE)
        # The tour for first visitors would stand in the way.
        await context.add_init_script("localStorage.setItem('flowers-tour', 'seen')")
        page = await context.new_page()
        await page.goto(url)
        await page.locator("#classify .example").first.wait_for()
        return page


async def _visit(page, number: int, end: float, waits: list[float], problems: list[str]) -> None:
    """Click, read, click."""
    from playwright.async_api import Error

    reader = random.Random(number)
    await asyncio.sleep(reader.uniform(0, READING[1]))
    example = number
    while time.monotonic() < end:
        example = (example + 1) % 5
        try:
            waits.append(await page.evaluate(CLICK, example) / 1000)
        except Error as error:
            problems.append(str(error).splitlines()[0])
        await asyncio.sleep(reader.uniform(*READING))


def text(results: dict) -> str:
    """A table and the circumstances."""
    waits = sorted(results["waits"])
    shown = [
        ("median", statistics.median(waits)),
        ("19 in 20 within", waits[int(0.95 * (len(waits) - 1))]),
        ("longest", waits[-1]),
    ]
    return f"""# Many people at once

{results["browsers"]} browsers ask for an answer every few seconds for {results["minutes"]:g} minutes while preset
`report` trains on `{results["source"]}`: {len(waits)} answers, {len(results["problems"])} that did not come,
{results["tracebacks"]} tracebacks in the server's log; the run was {results["training"]} at the end.

{table(["wait for an answer", "seconds"], [[name, f"{seconds:.2f}"] for name, seconds in shown])}

{told(results)}
"""


if __name__ == "__main__":
    sys.exit(main())
