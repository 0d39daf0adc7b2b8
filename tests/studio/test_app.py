"""How the studio starts: the page is there while torch is still being imported. And what holds for all its tabs."""

import asyncio
import subprocess
import sys

import pytest

from flowers.paths import PROJECT
from flowers.studio.app import LOOK_SECONDS, build, in_line
from flowers.studio.limits import Limits

# The app as `python app.py` starts it, in a process whose `import torch` never ends.
ENDLESS_TORCH = """
import os, socket, sys, threading, time
from importlib.machinery import PathFinder
from gradio_client import Client
import httpx

begun = threading.Event()

class EndlessTorch:
    @staticmethod
    def find_spec(name, path=None, target=None):
        if name != "torch":
            return None
        spec = PathFinder.find_spec(name, path, target)
        spec.loader.exec_module = lambda module: begun.set() or threading.Event().wait()
        return spec

sys.meta_path.insert(0, EndlessTorch)
from flowers.studio.app import main

with socket.socket() as probe:
    probe.bind(("127.0.0.1", 0))
    port = probe.getsockname()[1]
url = f"http://127.0.0.1:{port}"
threading.Thread(target=main, args=[["--port", str(port)]], daemon=True).start()
while True:
    try:
        assert httpx.get(url, timeout=30).status_code == 200
        break
    except httpx.TransportError:
        time.sleep(0.1)
assert begun.wait(60), "nobody imports torch before the first photo comes"
assert "Classify" in httpx.get(f"{url}/config", timeout=30).text
client = Client(url, verbose=False)
assert client.predict(api_name="/training_status")["state"] == "none"
print("served", flush=True)
os._exit(0)
"""


@pytest.mark.thorough
def test_the_page_and_the_api_answer_while_torch_is_being_imported():
    answer = subprocess.run(
        [sys.executable, "-c", ENDLESS_TORCH], cwd=PROJECT, capture_output=True, text=True, timeout=250, check=False
    )
    assert answer.stdout.endswith("served\n"), answer.stderr


def test_whoever_may_have_to_wait_in_a_line_is_told_the_place():
    async def page():  # inside a running loop: outside, Gradio would start one and never close it
        return build()

    events = [event for event in asyncio.run(page()).fns.values() if event.api_visibility == "private"]
    lines = {}
    for event in events:
        if event.queue and event.concurrency_id != str(id(event.fn)):
            lines.setdefault(event.concurrency_id, []).append(event)
    assert {"answers", "reasons", "several", "finder", "hub", "compute", "photos", "fetch", "augment"} <= lines.keys()
    assert [name for name, line in lines.items() if any(event.show_progress == "hidden" for event in line)] == []


def test_where_nobody_asks_anything_the_studio_rests(monkeypatch):
    slept = []

    async def wait_for_events():
        in_line(page := build(), Limits())
        queue = page._queue

        async def sleep(seconds):
            slept.append(seconds)
            queue.stopped = len(slept) == 3

        monkeypatch.setattr(asyncio, "sleep", sleep)
        await queue.start_processing()

    asyncio.run(wait_for_events())
    assert slept == [LOOK_SECONDS] * 3
