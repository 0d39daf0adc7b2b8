"""Training in a process of its own: started, watched and stopped through nothing but the run folder."""

import contextlib
import json
import os
import re
import subprocess
import sys
import time

import pytest
import torch
from filelock import FileLock

from flowers.data.garden import CLASSES
from flowers.data.preprocess import Preprocessing
from flowers.errors import DataError, FlowersError, UsageError
from flowers.models.backbones import BACKBONES
from flowers.models.checkpoint import Checkpoint, save_checkpoint
from flowers.paths import runs_dir
from flowers.training import process, queue
from flowers.training.learner import Learner
from flowers.training.process import perform, resume, start
from flowers.training.run import Run, is_held, list_runs
from flowers.training.story import read_story
from tests.conftest import TINY
from tests.held import FROM as HELD_FROM
from tests.waiting import DEADLINE, wait_until

pytestmark = pytest.mark.usefixtures("nothing_left_running")


def wait_for_state(run: Run, state: str) -> None:
    wait_until(lambda: run.status().state == state, lambda: said_by(run))


def said_by(run: Run) -> str:
    said = run.folder / "process.txt"
    return said.read_text() if said.exists() else "nothing was said"


@pytest.fixture
def an_earlier_run(monkeypatch, tmp_path):
    """Runs are kept in a relative folder, as a person would set it: it means the same to the process that trains."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("FLOWERS_RUNS", "my-runs")
    weights = BACKBONES["resnet18"].build(5).state_dict()
    save_checkpoint(
        runs_dir() / "earlier" / "best", weights, Checkpoint("resnet18", CLASSES, Preprocessing().to_dict())
    )


@pytest.mark.thorough  # tests/training/test_queue.py has the line
@pytest.mark.usefixtures("tiny_network", "tiny_network_in_children", "an_earlier_run")
def test_a_run_that_is_stopped_while_it_waits_begins_once_it_is_resumed(garden, tmp_path):
    recipe = TINY.replace(init="earlier")
    with queue.at_once():
        run = start(recipe, str(garden), "quick")
        assert run.folder.parent == tmp_path / "my-runs"
        with pytest.raises(UsageError, match=rf"^The run {re.escape(run.title)} is at work or in line already.*\.$"):
            resume(run)
        wait_until(lambda: run.is_locked() and run.status().pid != os.getpid(), lambda: said_by(run))
        first = run.status()
        assert (first.state, first.place) == ("queued", 2)
        run.request_stop()
        wait_for_state(run, "stopped")
        wait_until(lambda: said_by(run).strip().endswith("Interrupted."), lambda: said_by(run))
        assert run.events() == []
    resume(run)
    wait_for_state(run, "done")
    story = read_story(run)
    assert story.finished
    assert story.progress == 1
    assert [event["epoch"] for event in run.events() if event["kind"] == "epoch"] == [0, 1]
    assert "Training complete in" in run.log()
    assert run.status().pid not in (os.getpid(), first.pid)
    with pytest.raises(UsageError, match="is complete: train more epochs"):
        resume(run)


@pytest.mark.thorough
@pytest.mark.usefixtures("tiny_network", "an_earlier_run")
def test_a_run_is_started_watched_stopped_and_resumed(garden, held):
    run = start(TINY.replace(epochs=3, init="earlier"), str(garden), "quick")
    wait_until(lambda: (read_story(run).epoch, read_story(run).step) == HELD_FROM, lambda: said_by(run))
    assert run.status().state == "running"
    assert run.status().pid != os.getpid()
    run.request_stop()
    assert run.status().state == "stopping"
    held.unlink()
    wait_for_state(run, "stopped")
    assert not read_story(run).finished
    assert "Training stopped in" in run.log()

    resume(run)
    wait_for_state(run, "done")
    assert read_story(run).finished
    assert [event["epoch"] for event in run.events() if event["kind"] == "epoch"] == [0, 1, 2]
    assert "Going on: 30 photos" in run.log()
    assert "Training complete in" in run.log()


def test_a_start_that_fails_says_why_in_the_status(tmp_path):
    run = start(TINY, str(tmp_path / "absent"), "quick")
    wait_for_state(run, "failed")
    assert "There is no folder or zip at" in run.status().message
    said = (run.folder / "process.txt").read_text()
    assert "Traceback" not in said


def test_a_process_that_cannot_be_started_at_all_is_told_in_the_status(garden, monkeypatch):
    def fails(*_args):
        raise OSError(11, "Resource temporarily unavailable")

    monkeypatch.setattr("flowers.training.warm.launch", fails)
    run = start(TINY, str(garden), "quick")
    wait_for_state(run, "failed")
    assert run.status().message.startswith("Its process could not be started (Resource temporarily unavailable)")


def test_whose_studio_is_gone_is_waited_for_again(garden, monkeypatch):
    """Of six in line, two have a process, whose turn it is soon. A new studio finds the others."""
    launched, processes = [], contextlib.ExitStack()

    def launch(command, output):
        processes.enter_context(FileLock(output.parent / "lock", thread_local=False))
        launched.append(output.parent.name)

    monkeypatch.setattr("flowers.training.warm.launch", launch)
    monkeypatch.setattr(queue, "LOOK_SECONDS", 0.01)
    monkeypatch.setattr(process, "LEAVE_SECONDS", DEADLINE)
    with processes, queue.at_once():
        runs = [Run.create(None, TINY, str(garden), visitor=name) for name in ("a", "b", "c")]
        for run in runs:
            queue.join(run)  # and the studio is killed
        runs += [start(TINY, str(garden), "quick", name) for name in ("d", "e")]
        process.stand_in_line_again()
        wait_until(lambda: len(launched) == 2)
        wait_until(lambda: all(is_held(run.folder / queue.ROW) for run in runs[2:]))
        assert set(launched) == {run.name for run in runs[:2]}
        process.stand_in_line_again()
        assert [run.status().state for run in runs] == ["queued"] * 5
        process.stop_all_started_here()
        assert [run.status().state for run in runs[2:]] == ["stopped"] * 3


STUDIO = """
import sys, time
from flowers.training import process
from tests.conftest import TINY
for name in "abcd":
    process.start(TINY.replace(epochs=1), sys.argv[1], "quick", name)
print("started", flush=True)
time.sleep(1000)
"""


@pytest.mark.thorough
@pytest.mark.usefixtures("tiny_network_in_children")
def test_a_killed_studios_line_has_its_turns_once_there_is_another(garden):
    with queue.at_once():
        with subprocess.Popen([sys.executable, "-c", STUDIO, str(garden)], stdout=subprocess.PIPE) as studio:
            assert studio.stdout.readline() == b"started\n"
            studio.kill()
        assert len(queue.waiting()) == 4
        process.stand_in_line_again()
    runs = list_runs()
    wait_until(lambda: all(run.status().state == "done" for run in runs), lambda: [run.status() for run in runs])


def test_all_that_was_started_here_is_asked_to_stop(tmp_path, monkeypatch):
    monkeypatch.setattr(process, "LEAVE_SECONDS", 0)  # for these nobody waits
    alive, ended = (Run.create(tmp_path / name, TINY, None) for name in ("alive", "ended"))
    ended.set_status("done")
    process._started += [alive, ended]
    process.stop_all_started_here()
    assert (alive.stop_requested(), ended.stop_requested()) == (True, False)


# perform, in this process


@pytest.fixture
def run(garden, tmp_path, tiny_network) -> Run:
    return Run.create(tmp_path / "run", TINY, str(garden))


def test_the_folder_tells_what_the_events_told(run):
    events = list(perform(run))
    assert run.status().state == "done"
    assert run.events() == [event.to_dict() for event in events]
    assert "Epoch 1/1" in run.log()
    assert not run.is_locked()


def test_what_concludes_a_run_comes_last_and_may_say_something(run):
    seen = []

    def conclude(concluded, dataset, progress):
        seen.append((concluded.status().state, [event["kind"] for event in concluded.events()][-1], len(dataset)))
        progress(1, 2)
        return "Something to say."

    list(perform(run, conclude=conclude))
    assert seen == [("running", "finished", 40)]
    assert (run.status().state, run.status().message) == ("done", "Something to say.")


def test_a_stop_before_the_end_concludes_nothing_and_one_at_the_end_is_made_up_for(run):
    concluded = []

    def conclude(_, __, progress):
        concluded.append(1)
        run.request_stop()
        progress(1, 2)

    for event in perform(run, conclude=lambda *_: pytest.fail("it has not finished")):
        if event.kind == "step":
            run.request_stop()
    assert run.status().state == "stopped"
    with pytest.raises(KeyboardInterrupt):
        list(perform(run, conclude=conclude))
    assert run.status().state == "stopped"
    events = list(perform(run, conclude=lambda *_: concluded.append(2) or ""))
    assert [event.kind for event in events] == ["started", "finished"]
    assert run.status().state == "done"
    assert concluded == [1, 2]


def test_a_wish_to_stop_also_ends_the_reading_of_photos(run):
    with pytest.raises(KeyboardInterrupt):
        list(process.perform(run, lambda: True))
    assert run.status().state == "stopped"


def test_a_wish_to_stop_ends_it_after_the_batch(run):
    events = []
    for event in perform(run):
        events.append(event)
        if event.kind == "step":
            run.request_stop()
    assert [event.kind for event in events] == ["started", "step", "finished"]
    assert run.status().state == "stopped"
    assert not read_story(run).finished
    assert "Training stopped in" in run.log()
    # Going on means that the earlier wish is over.
    assert [event.kind for event in perform(run)].count("step") == 7
    assert run.status().state == "done"
    assert "Going on: 30 photos" in run.log()
    assert "Training complete in" in run.log()


@pytest.mark.parametrize("taken", [False, True])
def test_a_run_that_was_stopped_before_its_process_came_never_begins(run, taken):
    run.request_stop()
    with queue.at_once() if taken else contextlib.nullcontext(), pytest.raises(KeyboardInterrupt):
        list(perform(run, in_line=True))
    assert run.status().state == "stopped"
    assert run.events() == []


def test_a_run_that_makes_way_says_so_and_its_clock_stands_still(run, monkeypatch):
    monotonic, passed, said = time.monotonic, [0.0], []
    monkeypatch.setattr(time, "monotonic", lambda: monotonic() + passed[0])

    def make_way(_turn, tell, left):
        assert left == run.status().seconds
        tell(2, 40.0)
        said.append(run.status())
        passed[0] += 100_000

    monkeypatch.setattr(queue.Turn, "make_way", make_way)
    queue.join(run, 3600)
    events = list(perform(run, in_line=True))
    assert {(now.state, now.message, now.place, now.seconds) for now in said} == {
        ("running", process.MAKES_WAY, 2, 40.0)
    }
    assert len(said) == len(events)
    assert events[-1].seconds < 100_000
    assert run.status().state == "done"


def test_while_it_is_at_work_a_run_says_how_long_it_still_takes(run):
    said = {}
    for event in perform(run):
        said[event.kind] = run.status()
    assert said["epoch"].state == "running"
    assert said["epoch"].seconds is not None
    assert said["epoch"].place == 0


def test_what_is_known_of_its_length_goes_to_the_line_with_a_run(garden, monkeypatch):
    monkeypatch.setattr("flowers.training.warm.launch", lambda *_: None)
    run = start(TINY, str(garden), "quick", seconds=12.5)
    ticket = json.loads((run.folder / "ticket").read_text())
    assert (ticket["seconds"], run.expected_seconds) == (12.5, 12.5)
    run.set_status("stopped")
    (run.folder / "ticket").unlink()
    resume(run)
    assert json.loads((run.folder / "ticket").read_text())["seconds"] == 12.5


def test_a_reader_who_leaves_stops_the_run(run):
    work = perform(run)
    for event in work:
        if event.kind == "step":
            break
    work.close()
    assert run.status().state == "stopped"
    assert not run.is_locked()


def test_a_failure_is_told_in_the_status(run, tmp_path):
    gone = Run.create(tmp_path / "other", TINY, str(tmp_path / "absent"))
    with pytest.raises(DataError, match="There is no folder or zip") as caught:
        list(perform(gone))
    assert (gone.status().state, gone.status().message) == ("failed", str(caught.value))


@pytest.mark.parametrize(
    ("error", "said"),
    [
        (MemoryError(), "ran out of memory: choose a smaller batch size"),
        (torch.OutOfMemoryError("CUDA out of memory. Tried to allocate"), "ran out of memory"),
        (OSError(30, "Read-only file system"), r"could not be written \(Read-only file system\)"),
        (ZeroDivisionError("a mistake of ours"), "Training failed unexpectedly: the details are in"),
    ],
    ids=lambda value: type(value).__name__,
)
def test_whatever_goes_wrong_is_a_sentence(run, monkeypatch, error, said):
    def fails(*_args, **_kwargs):
        raise error

    monkeypatch.setattr("flowers.training.learner.Learner.learn", fails)
    with pytest.raises(FlowersError, match=said) as caught:
        list(perform(run))
    assert (run.status().state, run.status().message) == ("failed", str(caught.value))
    assert len(str(caught.value).splitlines()) == 1
    details = run.folder / "process.txt"
    assert details.exists() == isinstance(error, ZeroDivisionError)
    if details.exists():
        assert "a mistake of ours" in details.read_text()


def test_who_assists_writes_nothing(garden, tmp_path, tiny_network, monkeypatch):
    """The photos are looked up as the main process does; what happens is the main one's to tell."""
    before = sorted(tmp_path.rglob("*"))
    process.join(TINY)
    process.assist(TINY.replace(epochs=1), str(garden))
    assert sorted(tmp_path.rglob("*")) == before


def test_who_assists_stops_when_asked(garden, tiny_network, monkeypatch):
    steps = []
    learn = Learner.learn
    monkeypatch.setattr(Learner, "learn", lambda *args: steps.append(1) or learn(*args))
    process.assist(TINY, str(garden), stop=lambda: bool(steps))
    assert len(steps) == 1


@pytest.mark.parametrize(
    ("error", "said"),
    [
        (DataError("The machines hold different photos."), "The machines hold different photos."),
        (RuntimeError("Connection closed by peer\nat 127.0.0.1"), "A process of the team cannot go on (Connection clo"),
        (ZeroDivisionError(), "A process of the team cannot go on (ZeroDivisionError): see what the main one says."),
    ],
    ids=lambda value: type(value).__name__,
)
def test_whatever_ends_who_assists_is_a_sentence(garden, tiny_network, monkeypatch, error, said):
    def fails(*_args, **_kwargs):
        raise error

    monkeypatch.setattr(Learner, "learn", fails)
    with pytest.raises(FlowersError) as caught:
        process.assist(TINY, str(garden))
    assert str(caught.value).startswith(said)
    assert len(str(caught.value).splitlines()) == 1


def test_an_absent_device_is_told_before_anybody_waits():
    absent = "mps" if torch.cuda.is_available() else "cuda"
    with pytest.raises(UsageError, match=f"no {absent} device"):
        process.join(TINY.replace(device=absent))


def test_the_heartbeat_goes_on_between_events(run, monkeypatch):
    monkeypatch.setattr(process, "HEARTBEAT_SECONDS", 0.01)
    work = perform(run)
    next(work)
    first = run.status().heartbeat
    wait_until(lambda: run.status().heartbeat > first)
    run.request_stop()
    wait_until(lambda: run.status().state == "stopping")
    assert run.status().pid == os.getpid()
    list(work)
    assert run.status().state == "stopped"


def test_what_a_kill_left_half_written_is_cleared_away(run):
    (run.folder / ".last.0123abcd.tmp").mkdir()
    (run.folder / ".last.0123abcd.tmp" / "model.safetensors").touch()
    next(perform(run))
    assert not (run.folder / ".last.0123abcd.tmp").exists()
