"""The race's harness: that it times, watches, stops and reports; and that every contestant installed here runs."""

import importlib.util
import json
import os
import sys
import time
from pathlib import Path

import pytest

psutil = pytest.importorskip("psutil")

from benchmarks import race, race_table  # noqa: E402
from flowers.data.dataset import PhotoDataset  # noqa: E402

NEEDS = {
    "tutorial": "torchvision",
    "timm": "timm",
    "fastai": "fastai",
    "huggingface": "datasets",
    "ultralytics": "ultralytics",
}


# Holds 30 million bytes, says so, and stays.
BIG = "import time; held = b'1' * 30_000_000; print(len(held), flush=True); time.sleep(600)"


class Pretender(race.Contestant):
    """A process with a large child, which says goodbye and waits to be told how to end. Its story is told by Clock."""

    def command(self, folder: Path, source: Path, epochs: int | None, seed: int) -> list[str]:
        self.stage.begin(self.events(folder), epochs, seed)
        code = f"""
import os, subprocess, sys
child = subprocess.Popen([sys.executable, "-S", "-c", {BIG!r}], stdout=subprocess.PIPE)
child.stdout.readline()
print("Goodbye", flush=True)
open({str(self.stage.ready)!r}, "w").write(f"{{os.getpid()}} {{child.pid}}")
sys.exit(int(open({str(self.stage.end)!r}).read()))
"""
        return [sys.executable, "-S", "-c", code]

    @property
    def stage(self) -> "Clock":
        return STAGES[self.title]


STAGES: dict[str, "Clock"] = {}


class Clock:
    """In place of ``time``: it goes on when the race sleeps, and then the Pretender tells what is due by then.

    It learns at once, an epoch a second: accuracies 0, 0.1, 0.2 …; and ends after them with ``seed`` as its status.
    """

    def __init__(self, folder: Path) -> None:
        self.ready, self.end = folder / "ready", folder / "end"
        for pipe in (self.ready, self.end):
            os.mkfifo(pipe)
        self.ticks, self.told, self.strftime = 0, 0, time.strftime
        self.process = self.child = None

    def begin(self, file: Path, epochs: int, status: int) -> None:
        self.file, self.epochs, self.status = file, epochs, status

    def perf_counter(self) -> float:
        return self.ticks * race.POLL_SECONDS

    def sleep(self, seconds: float) -> None:
        assert seconds == race.POLL_SECONDS
        if self.process is None:
            self.process, self.child = map(int, self.ready.read_text().split())
            self.tell(kind="started", epochs=self.epochs)
        self.ticks += 1
        if self.told == self.epochs:
            self.end.write_text(str(self.status))
            os.waitid(os.P_PID, self.process, os.WEXITED | os.WNOWAIT)
        elif self.ticks % round(1 / race.POLL_SECONDS) == 0:
            self.tell(kind="epoch", val_accuracy=self.told / 10)
            self.told += 1

    def tell(self, **event) -> None:
        with open(self.file, "a") as file:
            file.write(json.dumps(event) + "\n")


def is_gone(process: int) -> bool:
    try:
        return psutil.Process(process).status() == psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return True


@pytest.fixture
def clock(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Clock:
    """The race's clock, and with it the contestant ``quick``, who only pretends."""
    folder = tmp_path / "stage"
    folder.mkdir()
    clock = Clock(folder)
    monkeypatch.setitem(STAGES, "pretender", clock)
    monkeypatch.setitem(race.CONTESTANTS, "quick", Pretender("quick", "pretender"))
    monkeypatch.setattr(race, "time", clock)
    return clock


@pytest.fixture
def pretend(clock: Clock, garden_set: PhotoDataset):
    """Run a Pretender; whatever became of it, its child is gone afterwards."""

    def run(**changed) -> dict:
        rules = {"target": 0.2, "cap": 60, "epochs": 4, "seed": 0, **changed}
        result = race.race(race.CONTESTANTS["quick"], garden_set, **rules)
        deadline = time.monotonic() + 30  # a signal takes a moment to arrive
        while not is_gone(clock.child) and time.monotonic() < deadline:
            time.sleep(0.01)
        assert is_gone(clock.child)
        return result

    return run


@pytest.fixture
def starting_weights(monkeypatch: pytest.MonkeyPatch, tmp_path_factory: pytest.TempPathFactory) -> None:
    """A random ResNet18 where torchvision looks for the ImageNet one."""
    import torch
    from torchvision.models import resnet18

    folder = tmp_path_factory.mktemp("torch")
    (folder / "hub" / "checkpoints").mkdir(parents=True)
    torch.save(resnet18().state_dict(), folder / "hub" / "checkpoints" / "resnet18-f37072fd.pth")
    monkeypatch.setenv("TORCH_HOME", str(folder))


def test_the_clock_and_the_target(pretend) -> None:
    result = pretend()
    assert result["curve"] == [[1, 0], [2, 0.1], [3, 0.2], [4, 0.3]]
    assert result["seconds_to_target"] == 3
    assert result["seconds_an_epoch"] == 1
    assert (result["seconds"], result["outcome"]) == (4.05, "all 4 epochs")  # it ended between two looks
    assert (result["best_accuracy"], result["last_accuracy"]) == (0.3, 0.3)
    assert 30e6 < result["peak_memory"] < 90e6  # its child's counts, once


def test_who_has_passed_is_stopped_at_the_cap(pretend) -> None:
    result = pretend(epochs=1000, cap=5.5)
    assert result["outcome"] == "stopped after epoch 5 of 1000"
    assert (result["seconds_to_target"], result["seconds"]) == (3, None)


def test_who_passes_after_the_cap_is_stopped_then(pretend) -> None:
    result = pretend(epochs=1000, cap=1.5)
    assert result["outcome"] == "stopped after epoch 3 of 1000"
    assert result["seconds_to_target"] == 3


def test_who_never_passes_is_stopped_too(pretend) -> None:
    result = pretend(epochs=1000, cap=1.2, target=0.99)
    assert result["outcome"] == "stopped after epoch 4 of 1000"  # at four times the cap
    assert result["seconds_to_target"] is None


def test_a_failure_is_told_with_its_last_words(pretend) -> None:
    result = pretend(epochs=1, seed=3)
    assert result["outcome"] == "failed in epoch 2" and "Goodbye" in result["last_words"]
    assert result["seconds"] is None


def test_from_the_command_line_to_the_table(tmp_path: Path, garden: Path, clock: Clock) -> None:
    command = ["quick", "--smoke", "--data", str(garden), "--out", str(tmp_path / "out")]
    assert race.main(command) == 0
    result = json.loads((tmp_path / "out" / "quick-1.json").read_text())
    assert (result["outcome"], result["curve"]) == ("all 2 epochs", [[1, 0], [2, 0.1]])
    assert (result["checked_when_passed"], result["checked_best"]) == (None, None)  # it left no checkpoint
    assert "pretender" in (tmp_path / "out" / "README.md").read_text()
    assert race.main(command) == 0  # what is there is not measured again: the clock could not begin anew
    assert json.loads((tmp_path / "out" / "quick-1.json").read_text()) == result


@pytest.mark.thorough
def test_ours_from_the_command_line_to_the_table(
    tmp_path: Path, garden: Path, starting_weights: None, small_network_in_children: None
) -> None:
    command = ["quick", "--smoke", "--data", str(garden), "--out", str(tmp_path)]
    assert race.main(command) == 0
    result = json.loads((tmp_path / "quick-1.json").read_text())
    assert result["outcome"] == "all 2 epochs", result["last_words"]
    assert 0 < result["seconds_to_target"] == result["curve"][0][0] < result["curve"][1][0] < result["seconds"]
    assert result["checked_when_passed"] is not None and 0 <= result["checked_best"] <= 1
    assert "preset `quick`" in (tmp_path / "README.md").read_text()
    written = (tmp_path / "quick-1.json").stat().st_mtime_ns
    assert race.main(command) == 0  # what is there is not measured again
    assert (tmp_path / "quick-1.json").stat().st_mtime_ns == written


@pytest.mark.thorough
@pytest.mark.parametrize("name", NEEDS)
def test_a_peer_learns_an_epoch(name: str, garden_set: PhotoDataset, starting_weights: None) -> None:
    if not importlib.util.find_spec(NEEDS[name]):
        pytest.skip(f"{NEEDS[name]} is not installed")
    result = race.race(race.CONTESTANTS[name], garden_set, target=0.0, cap=120, epochs=1, seed=0)
    assert result["outcome"].startswith("all "), result["last_words"]
    assert result["curve"] and result["photos"]["val"] < result["photos"]["train"]


def told(name: str, *seconds: float | None, an_epoch: float = 1, ours: bool = False) -> list[dict]:
    """Results of several runs, as far as the goals look at them."""
    return [
        {
            "ours": ours,
            "seconds_to_target": value,
            "seconds_an_epoch": an_epoch,
            "seconds": 170,
            "checked_best": 0.96,
            "curve": [[100, 0.8], [250, 0.9]],
        }
        for value in seconds
    ]


def test_goals_are_judged_by_medians() -> None:
    runs = {
        "fast": told("fast", 20, 30, 90, ours=True),
        "report": told("report", None, an_epoch=40, ours=True),
        "tutorial": told("tutorial", 300, an_epoch=90),
        "fastai": told("fastai", 29),
        "timm": told("timm", None),
    }
    soon, ends, tenth, before, epoch = race_table.goals(runs)
    assert "30.0, met" in soon and "170 seconds, 96.00% on average, met" in ends
    assert "10.0× as fast, met" in tenth
    assert "fastai is next" in before and "**not met**" in before
    assert "2.2× as fast, **not met**: 2.5× was wanted" in epoch


def test_a_tutorial_that_was_stopped_before_it_passed_took_at_least_so_long() -> None:
    runs = {"fast": told("fast", 25, ours=True), "tutorial": told("tutorial", None), "timm": told("timm", 50)}
    _, _, tenth, before = race_table.goals({name: runs[name] for name in ("fast", "tutorial", "timm")})
    assert "at least 10.0× as fast, met" in tenth
    assert "timm is next): 2.0× as fast, met" in before


def test_the_table_tells_who_never_reached_the_target() -> None:
    assert race_table.reached(told("timm", None)) == "not reached"
    assert race_table.reached(told("timm", None, 10, 12)) == "11.0 (1 of 3 never)"
