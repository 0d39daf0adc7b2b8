"""The run folder: whatever happens to the process, what is left can be read and gone on from."""

import errno
import json
import os
import random
import shutil
import signal
import subprocess
import sys
import threading
import time
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from filelock import FileLock
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st
from hypothesis.strategies import characters, text

from flowers import cli, files
from flowers.errors import CheckpointError, FlowersError, UsageError
from flowers.models.backbones import BACKBONES
from flowers.models.checkpoint import find_checkpoint, load_model, load_weights
from flowers.paths import PROJECT, runs_dir
from flowers.recipe import Recipe
from flowers.training import run as module
from flowers.training.events import Epoch, Prediction, Probing, Samples, Started, Step, Validating
from flowers.training.process import perform
from flowers.training.run import Position, Run, list_runs, pack_state
from flowers.training.story import read_story
from flowers.training.train import train
from tests.conftest import TINY
from tests.damage import damaged
from tests.held import FROM as HELD_FROM
from tests.tiny import tiny_resnet18
from tests.waiting import DEADLINE, wait_until


@pytest.fixture
def run(tmp_path) -> Run:
    return Run.create(tmp_path / "run", TINY, "garden", "quick")


def started(epoch: int = 0, step: int = 0) -> Started:
    predicted = [1.0, 1.0, 1.0]
    return Started(epoch, step, 3, 2, 30, 10, ["daisy", "rose"], "cpu", "float32", "CPU.", 0.0, predicted=predicted)


def step(epoch: int, number: int) -> Step:
    return Step(epoch, number, 1.5, 0.25, 0.01, 1.0)


def epoch(number: int) -> Epoch:
    return Epoch(number, 0.01, 1.0, 0.5, 1.1, 0.4, True, 2.0)


def positions(events: list[dict]) -> list[tuple]:
    return [(event["kind"], event.get("epoch"), event.get("step")) for event in events]


# Creating and finding


def test_a_run_remembers_what_it_was_asked(run):
    found = Run.open(run.folder)
    assert found == run
    assert (found.recipe, found.source, found.preset, found.name) == (TINY, "garden", "quick", "run")
    assert found.status().state == "queued"
    assert found.status().active
    assert found.events() == []
    assert found.load_state() is None
    assert not found.has_checkpoint()


def test_runs_are_named_by_time_and_found_by_name():
    runs = [Run.create(None, TINY, None, "report") for _ in range(3)]
    assert len({run.folder for run in runs}) == 3
    for number, run in enumerate(runs):
        assert run.folder.parent == runs_dir()
        assert Run.open(run.name) == run
        os.utime(run.folder / "recipe.json", (number, number))
    assert list_runs() == runs[::-1]


def test_the_run_worked_on_last_comes_first():
    older, newer = (Run.create(runs_dir() / name, TINY, None) for name in ("older", "newer"))
    os.utime(newer.folder / "status.json", (1, 1))
    assert list_runs() == [older, newer]
    (older.folder / "status.json").unlink()
    assert list_runs() == [newer, older]


def test_a_stop_shows_at_once_in_the_status(run):
    run.set_status("running")
    with run.lock():
        assert run.status().state == "running"
        run.request_stop()
        assert run.status().state == "stopping"


def test_a_folder_that_is_in_use_is_refused(tmp_path, run):
    for taken in (run.folder, tmp_path):
        with pytest.raises(UsageError, match="is not empty: choose another"):
            Run.create(taken, TINY, None)
    (tmp_path / "file").touch()
    with pytest.raises(UsageError, match="is not empty"):
        Run.create(tmp_path / "file", TINY, None)
    (tmp_path / "empty").mkdir()
    assert Run.create(tmp_path / "empty", TINY, None).recipe == TINY


@pytest.mark.parametrize("name", ["absent", "", "x" * 5000, "a\0b"])
def test_a_run_that_is_not_there_is_told(name, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(UsageError, match="There is no run in"):
        Run.open(name)


@pytest.mark.parametrize("name", ["recipe.json", "data.json"])
@pytest.mark.parametrize("content", ["", "{", "[]", "null", "5", "\x00\x00", "cut"])
def test_a_damaged_file_is_told(run, name, content):
    path = run.folder / name
    path.write_text(path.read_text()[:20] if content == "cut" else content)
    with pytest.raises(FlowersError, match=rf"The run run is damaged: its {name} cannot be read.*\.$"):
        _ = run.recipe if name == "recipe.json" else run.source


def test_a_recipe_with_a_bad_value_is_told(run):
    (run.folder / "recipe.json").write_text(json.dumps({**TINY.to_dict(), "epochs": -1}))
    with pytest.raises(UsageError, match="epochs cannot be -1"):
        _ = run.recipe


@pytest.mark.parametrize("content", ["", "{", "[]", "null", '{"nonsense": 1}', '{"state": "done"'])
def test_a_damaged_status_reads_as_interrupted(run, content):
    (run.folder / "status.json").write_text(content)
    assert run.status().state == "interrupted"


# Who works on it


def test_the_status_of_a_dead_process_is_interrupted(run):
    for state in ("running", "stopping"):
        run.set_status(state)
        assert run.status().state == "interrupted"
        with run.lock():
            assert run.status().state == state
            assert run.status().pid == os.getpid()
        assert run.status().state == "interrupted"
    for state in ("done", "failed", "stopped"):
        run.set_status(state, "Why.")
        assert (run.status().state, run.status().message) == (state, "Why.")


def test_a_queued_run_whose_process_never_came_is_interrupted(run, monkeypatch):
    assert run.status().state == "queued"
    monkeypatch.setattr(module, "QUEUED_SECONDS", -1)
    assert run.status().state == "interrupted"


def test_a_queued_run_whose_process_never_came_does_not_wait_for_a_clock_that_was_put_back(run, monkeypatch):
    now = module.time.time()
    monkeypatch.setattr(module.time, "time", lambda: now - 3600)
    assert run.status().state == "interrupted"


@pytest.fixture
def impatient(monkeypatch):
    """Who finds a lock taken gives up at once, instead of after two seconds."""

    class Impatient(FileLock):
        def acquire(self, timeout: float, **options):
            return super().acquire(min(timeout, 0.01), **options)

    monkeypatch.setattr(module, "FileLock", Impatient)


@pytest.mark.usefixtures("impatient")
def test_only_one_may_train(run):
    with run.lock():
        assert run.is_locked()
        with pytest.raises(UsageError, match="already being trained by another process"):
            run.lock()
    assert not run.is_locked()
    with run.lock():
        assert run.is_locked()


def test_many_readers_never_take_a_dead_run_for_alive(run):
    """Looking whether a run is locked must not be taken for training by others who look at the same time."""
    run.set_status("running")
    with run.lock():
        pass
    seen = []

    def look():
        seen.extend(run.status().state for _ in range(500))

    readers = [threading.Thread(target=look) for _ in range(8)]
    for reader in readers:
        reader.start()
    for reader in readers:
        reader.join()
    assert set(seen) == {"interrupted"}


def test_whether_a_run_is_locked_is_seen_beside_other_readers_and_where_one_may_only_read(run):
    with run.lock():
        pass
    fcntl = pytest.importorskip("fcntl")
    with open(run.folder / "lock", "rb") as other:
        fcntl.flock(other, fcntl.LOCK_SH)
        assert not run.is_locked()
    (run.folder / "lock").chmod(0o444)
    assert not run.is_locked()
    (run.folder / "lock").chmod(0o644)
    with run.lock():
        (run.folder / "lock").chmod(0o444)
        assert run.is_locked()


@pytest.mark.parametrize(("code", "locked"), [(errno.EACCES, True), (errno.EAGAIN, True), (errno.EIO, False)])
def test_every_file_systems_way_of_saying_that_it_is_locked(run, monkeypatch, code, locked):
    def refuse(*_):
        raise OSError(code, os.strerror(code))

    fcntl = pytest.importorskip("fcntl")
    with run.lock():
        pass
    monkeypatch.setattr(fcntl, "flock", refuse)
    assert run.is_locked() == locked


def test_without_shared_locks_a_trainer_is_seen_all_the_same(run, monkeypatch):
    """As on Windows."""
    monkeypatch.setattr(module, "fcntl", None)
    assert not run.is_locked()
    with run.lock():
        assert run.is_locked()
    assert not run.is_locked()


def test_a_reader_does_not_keep_a_trainer_out(run, monkeypatch):
    """Who finds the lock taken tries again; by then the reader has let go of it."""
    reader, sleep, here = FileLock(run.folder / "lock"), time.sleep, threading.current_thread()
    reader.acquire()

    def wait(seconds: float) -> None:
        if threading.current_thread() is here:
            reader.release()
        else:  # somebody else's, of another test
            sleep(seconds)

    with monkeypatch.context() as patch:
        patch.setattr(time, "sleep", wait)
        lock = run.lock()
    with lock:
        assert not reader.is_locked
        assert run.is_locked()


def test_a_wish_to_stop_is_kept_until_forgotten(run):
    assert not run.stop_requested()
    run.request_stop()
    run.request_stop()
    assert run.stop_requested()
    run.clear_stop()
    run.clear_stop()
    assert not run.stop_requested()


# The story


def test_events_come_back(run):
    told = [started(), step(0, 1), step(0, 2), Validating(0, 10, 10, 1.5), epoch(0), Samples(0, [])]
    for event in told:
        run.append(event)
    assert run.events() == [event.to_dict() for event in told]


@pytest.mark.parametrize("cut", [1, 10, 40])
def test_a_line_cut_short_is_skipped_and_ends_where_it_was_cut(run, cut):
    for event in (started(), step(0, 1), step(0, 2)):
        run.append(event)
    path = run.folder / "events.jsonl"
    path.write_bytes(path.read_bytes()[:-cut])
    assert positions(run.events()) == [("started", 0, 0), ("step", 0, 1), *([("step", 0, 2)] if cut == 1 else [])]
    run.append(started(0, 1))
    run.append(step(0, 2))
    assert positions(run.events()) == [("started", 0, 0), ("step", 0, 1), ("started", 0, 1), ("step", 0, 2)]


@pytest.mark.parametrize("rubbish", [b"\x00" * 40, b"null", b"[1]", b"5", b"{}", b'{"kind"', b"\xff\xfe", b""])
def test_rubbish_among_the_events_is_skipped(run, rubbish):
    run.append(started())
    with open(run.folder / "events.jsonl", "ab") as file:
        file.write(rubbish + b"\n")
    run.append(step(0, 1))
    assert positions(run.events()) == [("started", 0, 0), ("step", 0, 1)]


def test_what_was_done_twice_is_told_once(run):
    """Killed in the second epoch, gone on from the end of the first; then killed while validating."""
    first = [started(), step(0, 1), step(0, 2), Validating(0, 10, 10, 1.0), epoch(0), Samples(0, []), step(1, 1)]
    second = [started(1, 0), step(1, 1), step(1, 2), Validating(1, 8, 10, 1.0)]
    third = [started(1, 1), step(1, 2), Validating(1, 10, 10, 1.0), epoch(1), Samples(1, [])]
    for event in (*first, *second, *third):
        run.append(event)
    assert positions(run.events()) == [
        ("started", 0, 0), ("step", 0, 1), ("step", 0, 2), ("validating", 0, None), ("epoch", 0, None),
        ("samples", 0, None), ("started", 1, 0), ("step", 1, 1),
        ("started", 1, 1), ("step", 1, 2), ("validating", 1, None), ("epoch", 1, None), ("samples", 1, None),
    ]  # fmt: skip


def test_probing_is_told_once_and_stays_once_its_epoch_is_over(run):
    for event in (started(), Probing(0, 20, 30, 1.0), started(), Probing(0, 30, 30, 1.0), epoch(0), started(1, 0)):
        run.append(event)
    assert positions(run.events()) == [
        ("started", 0, 0), ("started", 0, 0), ("probing", 0, None), ("epoch", 0, None), ("started", 1, 0)
    ]  # fmt: skip


def test_the_log_grows_by_lines(run):
    assert run.log() == ""
    run.append_log("Größe 1.5×")
    run.append_log("second")
    assert run.log() == "Größe 1.5×\nsecond\n"


# What it saved


MACHINE = {"device": "cpu", "precision": "float32", "memory_format": "contiguous", "threads": 1, "learning": 1 / 3}


def a_learner(ema: bool = False) -> tuple[torch.nn.Module, dict]:
    """A network after one step, and what ``Learner.state`` would say of it."""
    model = torch.nn.Linear(3, 2)
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1, momentum=0.9)
    model(torch.rand(4, 3)).sum().backward()
    optimizer.step()
    state = {"optimizer": optimizer.state_dict()}
    return model, state | ({"net": torch.nn.Linear(3, 2).state_dict(), "averaged": 7} if ema else {})


def save_last(run: Run, model: torch.nn.Module, learner: dict, position: Position = Position()) -> None:  # noqa: B008
    run.save("last", describe(), model.state_dict(), pack_state(position, "digest", MACHINE, learner))


def describe(classes=("daisy", "rose")):
    return module.Checkpoint("resnet18", classes, {})


@pytest.mark.parametrize("ema", [False, True])
def test_position_machine_and_learner_come_back_exactly(run, ema):
    model, learner = a_learner(ema)
    position = Position(3, 2, 0.1 + 0.2, 7.000000001, 16, 1, 1 / 3, 12.5)
    save_last(run, model, learner, position)
    state = run.load_state()
    assert (state.position, state.digest, state.machine) == (position, "digest", MACHINE)
    assert all(torch.equal(state.weights[name], tensor) for name, tensor in model.state_dict().items())
    assert state.learner.keys() == learner.keys()
    assert state.learner.get("averaged") == learner.get("averaged")
    for name, tensor in learner.get("net", {}).items():
        assert torch.equal(state.learner["net"][name], tensor)
    fresh = torch.optim.SGD(torch.nn.Linear(3, 2).parameters(), lr=1)
    fresh.load_state_dict(state.learner["optimizer"])
    assert fresh.state_dict()["param_groups"] == learner["optimizer"]["param_groups"]
    for key, values in learner["optimizer"]["state"].items():
        assert torch.equal(fresh.state_dict()["state"][key]["momentum_buffer"], values["momentum_buffer"])


def test_an_optimizer_that_counts_comes_back_too(run):
    """Adam's state has numbers of steps beside its tensors."""
    model = torch.nn.Linear(3, 2)
    optimizer = torch.optim.Adam(model.parameters(), lr=0.1)
    model(torch.rand(4, 3)).sum().backward()
    optimizer.step()
    save_last(run, model, {"optimizer": optimizer.state_dict()})
    fresh = torch.optim.Adam(torch.nn.Linear(3, 2).parameters())
    fresh.load_state_dict(run.load_state().learner["optimizer"])
    for key, values in optimizer.state_dict()["state"].items():
        for name, value in values.items():
            assert torch.equal(torch.as_tensor(fresh.state_dict()["state"][key][name]), torch.as_tensor(value))


def test_a_learner_that_has_not_stepped_comes_back(run):
    """As at the end of an epoch that fitted the last layer: there is no momentum yet."""
    model = torch.nn.Linear(3, 2)
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1, momentum=0.9)
    save_last(run, model, {"optimizer": optimizer.state_dict()}, Position(epoch=1))
    assert run.load_state().learner["optimizer"] == optimizer.state_dict()


def test_the_best_needs_nothing_of_the_optimizer(run):
    run.save("best", describe(), a_learner()[0].state_dict())
    assert sorted(path.name for path in (run.folder / "best").iterdir()) == ["checkpoint.json", "model.safetensors"]
    assert run.has_checkpoint()


@pytest.mark.parametrize("name", ["training.json", "training.safetensors", "model.safetensors"])
@pytest.mark.parametrize("damage", ["missing", "cut"])
def test_a_damaged_last_checkpoint_is_told(run, name, damage):
    save_last(run, *a_learner())
    path = run.folder / "last" / name
    content = path.read_bytes()
    path.unlink()
    if damage == "cut":
        path.write_bytes(content[: len(content) // 2])
    with pytest.raises(CheckpointError, match="damaged"):
        run.load_state()


@given(data=st.data())
@settings(max_examples=5 * settings.default.max_examples, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_whatever_is_said_of_a_last_checkpoint_it_is_read_or_refused(run, data):
    if not (path := run.folder / "last" / "training.json").exists():
        save_last(run, *a_learner())
    whole = path.read_bytes()
    try:
        path.write_bytes(data.draw(damaged(whole)))
        state = run.load_state()
        assert state.position.epoch >= 0 and isinstance(state.digest, str) and isinstance(state.machine, dict)
    except CheckpointError as error:
        assert "damaged, or of another version" in str(error)
    finally:
        path.write_bytes(whole)


@pytest.mark.parametrize(
    "content",
    ["[" * 100_000, "[]", '{"scalars": []}', "position.epoch", "position.step", "scalars", "param_groups", "machine"],
    ids="{:.20}".format,
)
def test_a_last_checkpoint_that_says_what_none_can_is_told(run, content):
    save_last(run, *a_learner())
    path = run.folder / "last" / "training.json"
    described = json.loads(path.read_text())
    if content.partition(".")[0] in described:
        name, _, inner = content.partition(".")
        described[name] = {**described[name], inner: "3"} if inner else "3"
        content = json.dumps(described)
    path.write_text(content)
    with pytest.raises(CheckpointError, match="damaged, or of another version"):
        run.load_state()


@pytest.mark.parametrize("lacks", ["machine", "digest", "param_groups", "scalars"])
def test_a_last_checkpoint_of_an_older_version_is_told(run, lacks):
    save_last(run, *a_learner())
    path = run.folder / "last" / "training.json"
    described = json.loads(path.read_text())
    del described[lacks]
    path.write_text(json.dumps(described))
    with pytest.raises(CheckpointError, match=r"of another version: start a new run from its best with init=\S+run\.$"):
        run.load_state()


def test_a_save_that_a_kill_cut_between_its_renames_is_recovered(run):
    save_last(run, *a_learner(), Position(epoch=4))
    (run.folder / "last").rename(run.folder / ".last.old")
    assert run.load_state().position.epoch == 4
    run.save("best", describe(), a_learner()[0].state_dict())
    (run.folder / "best").rename(run.folder / ".best.old")
    assert run.has_checkpoint()
    assert sorted(path.name for path in run.folder.iterdir() if path.is_dir()) == ["best", "last"]


def test_sums_are_added_and_forgotten_at_the_end_of_an_epoch():
    position = Position(epoch=2, best_epoch=1, best_val_accuracy=0.5, seconds=3.0)
    position.add(8.5, 5, 8)
    position.add(6.25, 4.0, 6)
    assert (position.step, position.loss_sum, position.correct, position.seen) == (2, 14.75, 9, 14)
    position.next_epoch()
    assert position == Position(epoch=3, best_epoch=1, best_val_accuracy=0.5, seconds=3.0)


# The disk is full


@pytest.mark.usefixtures("tiny_network")
def test_a_full_disk_is_told_and_costs_nothing_that_was_saved(garden, tmp_path, monkeypatch):
    run = Run.create(tmp_path / "run", TINY.replace(epochs=3), str(garden))
    work = perform(run)
    for event in work:
        if isinstance(event, Samples):
            break
    next(work)  # the first step of the second epoch: what the first left is saved by now
    before = load_weights(run.folder / "last")

    def no_room(descriptor):
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    with monkeypatch.context() as patch:
        patch.setattr(files.os, "fsync", no_room)
        with pytest.raises(CheckpointError, match=r"No space left on device.*free some disk space.*\.$"):
            list(work)
    assert run.status().state == "interrupted", "the status could not be written either"
    after = load_weights(run.folder / "last")
    assert all(torch.equal(after[name], before[name]) for name in before)
    list(perform(run))
    assert run.status().state == "done"
    assert [event["epoch"] for event in run.events() if event["kind"] == "epoch"] == [0, 1, 2]


@pytest.mark.usefixtures("tiny_network")
def test_events_that_cannot_be_written_end_the_run_with_a_sentence(garden, tmp_path, monkeypatch):
    run = Run.create(tmp_path / "run", TINY, str(garden))
    real = Run.append

    def append(self, event):
        if isinstance(event, Step):
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        real(self, event)

    monkeypatch.setattr(Run, "append", append)
    with pytest.raises(FlowersError, match=r"The run folder could not be written \(No space left on device\)"):
        list(perform(run))
    assert run.status().state == "failed"
    assert "free some disk space and resume" in run.status().message


# What a kill leaves behind


def without_the_clock(events: list[dict]) -> list[dict]:
    """What training said of its work, without when."""
    return [
        {name: value for name, value in event.items() if name != "seconds"}
        for event in events
        if event["kind"] in ("step", "epoch", "samples")
    ]


def assert_it_can_be_gone_on_from(run: Run) -> None:
    """All that a run holds whose process was killed can be read, and at most one epoch is to be done again."""
    assert run.status().state == "interrupted"
    told = [event["epoch"] for event in run.events() if event["kind"] == "epoch"]
    assert told == list(range(len(told)))
    state = run.load_state()
    assert (state.position.epoch if state else 0) >= len(told) - 1
    if run.has_checkpoint():
        load_model(find_checkpoint(run.folder))
    read_story(run).to_dict()


MOMENTS = [
    "before the first step", "within a line", "best half written", "best not yet in its place", "epoch told, not saved",
    "last half written", "last between its renames", "last in its place",
]  # fmt: skip


@pytest.fixture(scope="module")
def undisturbed(garden, tmp_path_factory) -> tuple[Run, Path]:
    """A run of three epochs that nobody disturbed, and the folder of its copies at MOMENTS."""
    run = Run.create(tmp_path_factory.mktemp("whole") / "run", TINY.replace(epochs=3), str(garden))
    copies, sync, replace = tmp_path_factory.mktemp("copies"), files._sync_files, os.replace

    def copy(moment: str) -> Path:
        """The last time that the moment comes is kept."""
        shutil.rmtree(copies / moment, ignore_errors=True)
        return shutil.copytree(run.folder, copies / moment)

    def watched_sync(folder: Path) -> None:
        name = folder.name.split(".")[1]
        for file in copy(f"{name} half written").glob(f".{name}.*.tmp/*"):
            os.truncate(file, file.stat().st_size // 2)
        sync(folder)

    def watched_replace(old, new) -> None:
        if Path(new).name == "best":
            copy("best not yet in its place")
        replace(old, new)
        if Path(new).name == ".last.old":
            copy("last between its renames")
        if Path(new).name == "last":
            copy("last in its place")

    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("FLOWERS_CACHE", str(tmp_path_factory.mktemp("cache")))
        patch.setitem(BACKBONES, "resnet18", tiny_resnet18())
        patch.setattr("flowers.training.process.HEARTBEAT_SECONDS", 3600)  # it writes while the folder is copied
        patch.setattr(files, "_sync_files", watched_sync)
        patch.setattr(os, "replace", watched_replace)
        for event in perform(run):
            if event.kind == "started":
                copy("before the first step")
            if event.kind == "step":
                lines = copy("within a line") / "events.jsonl"
                os.truncate(lines, lines.stat().st_size - 10)
            if event.kind == "epoch":
                copy("epoch told, not saved")
    return run, copies


@pytest.mark.usefixtures("tiny_network")
@pytest.mark.parametrize("moment", MOMENTS)
def test_what_a_kill_leaves_behind_at_any_moment_is_gone_on_from(undisturbed, tmp_path, moment):
    """It ends as if never killed: no photo is learned from twice, and what was half written is cleared away."""
    whole, copies = undisturbed
    run = Run(shutil.copytree(copies / moment, tmp_path / "run"))
    assert_it_can_be_gone_on_from(run)
    list(perform(run))
    assert run.status().state == "done"
    assert not list(run.folder.glob(".*.tmp"))
    assert without_the_clock(run.events()) == without_the_clock(whole.events())


# Real processes, really killed


class Child:
    """``python -m flowers ...``, and ways to wait for what it does."""

    def __init__(self, *arguments: object):
        self.process = subprocess.Popen(
            [sys.executable, "-m", "flowers", *map(str, arguments)],
            cwd=PROJECT, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
        )  # fmt: skip

    def wait_for(self, condition) -> bool:
        """Whether ``condition()`` came true while the process lived."""
        return wait_until(lambda: condition() or (self.process.poll() is not None and "ended")) != "ended"

    def end(self, number: int | None = None) -> tuple[int, str, str]:
        """Send a signal, if any; exit status and what was printed."""
        if number:
            self.process.send_signal(number)
        out, err = self.process.communicate(timeout=DEADLINE)
        return self.process.returncode, out, err


def train_child(garden: Path, folder: Path, recipe: Recipe) -> Child:
    return Child("train", "--quiet", "--data", garden, "--run", folder, *recipe.command_line("report").split())


def held_child(garden: Path, folder: Path) -> Child:
    """A child that waits after a step of its second epoch: see the fixture ``held``."""
    child = train_child(garden, folder, TINY.replace(epochs=3))
    moment = [("step", *HELD_FROM)]
    assert child.wait_for(lambda: positions(Run(folder).events())[-1:] == moment), child.end()
    return child


@pytest.mark.thorough
@pytest.mark.usefixtures("tiny_network", "held")
def test_a_process_that_was_killed_is_gone_on_from(undisturbed, garden, tmp_path):
    run = Run(tmp_path / "run")
    child = held_child(garden, run.folder)
    assert run.status().state == "running"
    assert child.end(signal.SIGKILL)[0] == -signal.SIGKILL
    assert_it_can_be_gone_on_from(run)
    list(perform(run))
    assert run.status().state == "done"
    assert without_the_clock(run.events()) == without_the_clock(undisturbed[0].events())


@pytest.mark.thorough  # test_cli.py has the signal, tests here what is left of a stop
@pytest.mark.usefixtures("tiny_network", "impatient")
def test_ctrl_c_stops_after_the_batch_and_resume_completes(garden, tmp_path, held, capsys):
    run = Run(tmp_path / "run")
    child = held_child(garden, run.folder)

    assert run.status().state == "running"
    assert cli.main(["resume", str(run.folder), "--quiet"]) == 2, "two processes on one folder"
    said = capsys.readouterr().err
    assert said.splitlines() == ["flowers: The run run is already being trained by another process: wait for it."]

    child.process.send_signal(signal.SIGINT)
    held.unlink()
    code, out, err = child.end()
    assert code == 0, err
    assert "Training stopped in" in out
    assert f"Go on with: python -m flowers resume {run.folder}" in out
    assert "Stopping after this batch" in err
    assert "Traceback" not in err
    assert run.status().state == "stopped"
    state, told = run.load_state(), run.events()
    assert told[-1]["kind"] == "finished"
    last = next(event for event in reversed(told) if event["kind"] in ("step", "samples"))
    expected = (last["epoch"], last["step"]) if last["kind"] == "step" else (last["epoch"] + 1, 0)
    assert (state.position.epoch, state.position.step) == expected

    assert cli.main(["resume", str(run.folder), "--quiet"]) == 0
    out = capsys.readouterr().out
    assert "Going on: 30 photos" in out
    assert "Training complete in" in out
    assert run.status().state == "done"
    assert [event["epoch"] for event in run.events() if event["kind"] == "epoch"] == [0, 1, 2]
    assert cli.main(["resume", str(run.folder)]) == 2
    assert "is complete" in capsys.readouterr().err


def size_of(path: Path) -> int:
    return path.stat().st_size if path.exists() else 0


@pytest.mark.thorough
@pytest.mark.timeout(1200)  # seven trainings: 110 s on a quiet machine, more than 300 on a busy one
@pytest.mark.usefixtures("small_network", "small_network_in_children")
def test_killed_again_and_again_it_ends_as_if_never_killed(garden, garden_set, tmp_path):
    """ResNet18. SIGKILL at any moment, twice of them while a checkpoint is being written."""
    rng = random.Random(0)
    recipe, folder = TINY.replace(epochs=6), tmp_path / "run"
    events, run = folder / "events.jsonl", Run(folder)

    def half_written(name: str):
        return lambda: any(folder.glob(f".{name}.*.tmp/*"))

    moments = [half_written("best"), "steps", half_written("last"), "steps"]
    for number, moment in enumerate(moments):
        child = train_child(garden, folder, recipe) if number == 0 else Child("resume", folder, "--quiet")
        if moment == "steps":
            enough = size_of(events) + rng.randrange(300, 1500)  # bytes: a few batches, anywhere in an epoch
            moment = lambda enough=enough: size_of(events) > enough  # noqa: E731
        assert child.wait_for(moment), child.end()
        time.sleep(rng.random() / 20)  # any moment will do
        assert child.end(signal.SIGKILL)[0] == -signal.SIGKILL
        assert_it_can_be_gone_on_from(run)

    assert Child("resume", folder, "--quiet").end()[0] == 0
    assert run.status().state == "done"
    assert not list(folder.glob(".*.tmp")), "what the kills left half-written is cleared away"
    undisturbed = [event.to_dict() for event in train(recipe, garden_set)]
    assert without_the_clock(run.events()) == without_the_clock(undisturbed)


# What people call it


def test_a_run_has_a_name_and_a_note_of_its_own(tmp_path):
    run = Run.create(tmp_path / "run", Recipe(), None)
    assert (run.title, run.note) == ("run", "")
    run.describe("  Roses  & <b>tulips</b> ", "Much better.\nSee it.")
    assert (Run.open(run.folder).title, run.note) == ("Roses & <b>tulips</b>", "Much better.\nSee it.")
    run.describe("", "")
    assert (run.title, run.note) == ("run", "")
    for title, note in (("x" * 81, ""), ("", "x" * 1001)):
        with pytest.raises(UsageError, match="shorten it"):
            run.describe(title, note)


@pytest.mark.parametrize(
    ("name", "classes", "title"),
    [
        ("2026-01-31-073053-fast-08ea61e4a3a2", ["daisy", "tulip"], "daisy, tulip · 07:30"),
        ("2026-01-30-073053-fast", ["daisy", "tulip"], "daisy, tulip · 01-30 07:30"),
        ("2025-12-31-235959-fast-2", ["daisy", "tulip"], "daisy, tulip · 2025-12-31 23:59"),
        ("2026-01-31-073053-auto", ["a", "b", "c", "d", "e"], "a, b, c +2 · 07:30"),
        ("2026-01-31-073053-auto", ["x" * 100, "<b>\u202e"], f"{'x' * 23}…, <b> · 07:30"),
        ("2026-01-31-073053-auto", [], "auto · 07:30"),
        ("my-roses", ["daisy", "tulip"], "my-roses"),
    ],
)
def test_what_was_given_no_name_is_called_by_its_classes_and_time(tmp_path, monkeypatch, name, classes, title):
    monkeypatch.setattr(module, "_today", lambda: "2026-01-31")
    run = Run.create(tmp_path / name, Recipe(), None, "auto")
    if classes:
        run.append(replace(started(), classes=classes))
    assert run.title == title
    (run.folder / "data.json").write_text("{")
    assert run.title == (title if classes or name == "my-roses" else name)  # a disk may damage it
    run.describe("Roses", "")
    assert run.title == "Roses"


@given(text(characters(exclude_categories=[]), max_size=40), text(characters(exclude_categories=[]), max_size=40))
@example("evil \ud800", "half \udc00\x00\u202e")
@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_whatever_it_is_called_can_be_sent_to_everybody(run, title, note):
    run.describe(title, note)
    json.dumps([run.title, run.note], ensure_ascii=False).encode()
    assert not {"\x00", "\u202e"} & set(run.title + run.note)


@pytest.mark.parametrize("content", ["", "[]", "{", '{"title": 3}', "null", '{"title": "\\ud800"}'])
def test_a_damaged_description_is_none(tmp_path, content):
    run = Run.create(tmp_path / "run", Recipe(), None)
    (run.folder / "about.json").write_text(content)
    assert (run.title, run.note) == ("run", "")


def test_a_path_that_is_not_utf_8_is_read_as_it_was_written(tmp_path):
    path = os.fsdecode(b"/data/fotos\xe9")
    run = Run.create(tmp_path / "run", Recipe(init=path), path)
    run.set_status("failed", f"There is nothing in {path}.")
    run.append(started())
    run.append(Samples(0, [Prediction(f"{path}/1.jpg", 0, 1, 0.5)]))
    assert (run.source, run.recipe.init, run.status().state) == (path, path, "failed")
    assert [event["kind"] for event in run.events()] == ["started", "samples"]


def test_a_run_is_deleted_whole_but_never_while_it_is_at_work(tmp_path):
    run = Run.create(tmp_path / "run", Recipe(), None)
    run.describe("Mine", "")
    with pytest.raises(UsageError, match=r"^The run Mine is at work or in line: stop it first.*\.$"):
        run.delete()
    run.set_status("running")
    with run.lock(), pytest.raises(UsageError, match="stop it first"):
        run.delete()
    run.delete()  # its process was killed
    assert not run.folder.exists()
    assert list_runs(tmp_path) == []


def test_who_asked_for_it_and_what_it_prolongs_are_kept(tmp_path):
    run = Run.create(tmp_path / "run", Recipe(), "garden", "fast", "a visitor", "earlier")
    assert (run.visitor, run.continues, run.preset) == ("a visitor", "earlier", "fast")
    (run.folder / "data.json").write_text('{"source": "garden", "preset": "fast"}')  # of before these were kept
    assert (run.visitor, run.continues) == ("", None)


def test_a_run_on_somebodys_own_photos_has_a_name_that_nobody_guesses():
    from flowers.paths import albums_dir

    private = Run.create(None, Recipe(), str(albums_dir() / ("0" * 32)))
    assert len(private.name) >= len(Run.create(None, Recipe(), "garden").name) + 12
