"""Trainings that are forked: each a process of its own, that finds everything loaded and may use all threads."""

import json
import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from flowers.paths import runs_dir
from flowers.processes import module
from flowers.training import process, warm
from flowers.training.run import Run
from tests.conftest import TINY, run_first_in_children
from tests.waiting import DEADLINE, wait_until

pytestmark = [
    pytest.mark.skipif(sys.platform != "linux", reason="trainings are forked on Linux alone"),
    pytest.mark.usefixtures("nothing_left_running"),
]
# It counts what a run imports once it has begun.
COUNT_IMPORTS = """
from flowers.training import process, warm
def perform(*args, perform=process.perform):
    import sys, pathlib
    before = set(sys.modules)
    yield from perform(*args)
    pathlib.Path(args[0].folder / 'imported').write_text(' '.join(set(sys.modules) - before))
process.perform = perform
"""


@pytest.fixture(scope="module")
def server(tmp_path_factory):
    """The process that forks, which knows the tiny network: one for all tests here."""
    with pytest.MonkeyPatch.context() as patch:
        lines = [
            "from flowers.models.backbones import BACKBONES", "from tests.tiny import tiny_resnet18",
            "BACKBONES['resnet18'] = tiny_resnet18()", *COUNT_IMPORTS.strip().splitlines(),
        ]  # fmt: skip
        run_first_in_children(patch, tmp_path_factory.mktemp("site"), *lines)
        patch.setattr(warm, "is_possible", lambda: True)
        patch.setattr(warm, "_servers", [])
        warm.prepare()
        [server] = warm._servers
    yield server
    server.stdin.close()
    assert server.wait(DEADLINE) == 0
    server.stdout.close()


@pytest.fixture
def forks(server, monkeypatch):
    monkeypatch.setattr(warm, "is_possible", lambda: True)
    monkeypatch.setattr(warm, "_servers", [server])


def found(folder: Path) -> dict:
    """What tests/forked.py finds in a process that is launched now."""
    file, output = folder / "found.json", folder / "output.txt"
    file.unlink(missing_ok=True)
    warm.launch(module("tests.forked", file, "an argument"), output)
    wait_until(file.exists, lambda: output.read_text())
    return json.loads(file.read_text()) | {"output": output.read_text()}


@pytest.mark.usefixtures("forks")
def test_a_fork_is_a_process_of_its_own_with_everything_loaded_and_all_threads(server, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("FLOWERS_WISH", "of this moment")
    told = found(tmp_path)
    assert told.pop("pid") not in (os.getpid(), server.pid)
    assert told == {
        "loaded": True, "leads": True, "alone": True, "threads": 1, "product": 512, "cuda": False,
        "folder": str(tmp_path), "wish": "of this moment", "argument": "an argument", "output": "Said.\nComplained.\n",
    }  # fmt: skip
    monkeypatch.setenv("FLOWERS_WISH", "of the next")
    assert found(tmp_path)["wish"] == "of the next"


def test_who_opens_a_tab_does_not_wait_for_who_starts_a_training(monkeypatch):
    monkeypatch.setattr(warm, "is_possible", lambda: True)
    monkeypatch.setattr(warm, "_ensure_running", lambda: pytest.fail("who asks already has seen to it"))
    with warm._asking:
        warm.prepare()


def test_where_forks_are_not_possible_a_new_python_does_the_same(tmp_path):
    assert found(tmp_path) == {
        "loaded": False, "leads": True, "argument": "an argument", "output": "Said.\nComplained.\n",
    }  # fmt: skip


@pytest.mark.parametrize("program", [sys.executable, "/absent"])
def test_where_the_process_that_forks_does_not_come_a_new_python_does_the_same(program, tmp_path, monkeypatch):
    ends_at_once = {"args": [program, "-c", ""]}
    monkeypatch.setattr(warm, "module", lambda *_: ends_at_once)
    monkeypatch.setattr(warm, "is_possible", lambda: True)
    monkeypatch.setattr(warm, "_servers", [])
    assert found(tmp_path)["loaded"] is False
    for server in warm._servers:
        server.communicate()


@pytest.mark.usefixtures("forks")
def test_a_training_is_forked_and_imports_nothing_more(garden, monkeypatch):
    run = process.start(TINY.replace(epochs=1), str(garden), "quick")
    wait_until((run.folder / "imported").exists, lambda: (run.folder / "process.txt").read_text())
    assert run.status().state == "done"
    assert run.folder.parent == runs_dir()
    imported = (run.folder / "imported").read_text().split()
    assert not [name for name in imported if name.split(".")[0] in ("flowers", "torch", "torchvision", "accelerate")]


@pytest.mark.usefixtures("forks")
def test_killing_one_spoils_nobody_elses(server, garden):
    run = process.start(TINY.replace(epochs=1000), str(garden), "quick")
    wait_until(lambda: any(event["kind"] == "step" for event in run.events()), run.log)
    killed = run.status().pid
    os.kill(killed, signal.SIGKILL)
    wait_until(lambda: run.status().state == "interrupted")
    process.resume(run)
    wait_until(lambda: run.status().state == "running", lambda: (run.folder / "process.txt").read_text())
    assert run.status().pid not in (killed, server.pid)


STUDIO = """
import sys
from flowers.training import process, warm
from flowers.training.run import Run
from tests.conftest import TINY
run = process.start(TINY.replace(epochs=1000), sys.argv[1], "quick")
print(run.folder, flush=True)
input()
print(warm._servers[0].pid, flush=True)
"""


@pytest.mark.thorough
def test_a_training_outlives_the_studio_and_what_it_was_forked_from_does_not(garden, tmp_path, monkeypatch):
    run_first_in_children(
        monkeypatch, tmp_path, "from flowers.models.backbones import BACKBONES",
        "from tests.tiny import tiny_resnet18", "BACKBONES['resnet18'] = tiny_resnet18()",
    )  # fmt: skip
    pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "text": True}
    with subprocess.Popen([sys.executable, "-c", STUDIO, str(garden)], **pipes) as studio:
        run = Run(Path(studio.stdout.readline().strip()))
        wait_until(lambda: any(event["kind"] == "step" for event in run.events()), run.log)
        server, _ = studio.communicate("\n")
    wait_until(lambda: not Path(f"/proc/{server.strip()}").exists())
    steps = len(run.events())
    wait_until(lambda: len(run.events()) > steps)
    run.request_stop()
    wait_until(lambda: run.status().state == "stopped")
