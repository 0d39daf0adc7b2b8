"""The race's harness: that it times, watches, stops and reports; and that every contestant installed here runs."""

import importlib.util
import json
import sys
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


class Pretender(race.Contestant):
    """Says at once that it learns: accuracies 0, 0.1, 0.2 …; ends with ``seed`` as its status. Has a child."""

    def command(self, folder: Path, source: Path, epochs: int | None, seed: int) -> list[str]:
        code = f"""
import json, subprocess, sys, time
child = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(60)"])
open({self.title!r}, "w").write(str(child.pid))
def tell(**event):
    with open({str(folder / "events.jsonl")!r}, "a") as file:
        file.write(json.dumps(event) + "\\n")
tell(kind="started", epochs={epochs})
for epoch in range({epochs}):
    time.sleep(0.3)
    tell(kind="epoch", val_accuracy=epoch / 10)
print("Goodbye")
sys.exit({seed})
"""
        return [sys.executable, "-c", code]


@pytest.fixture
def pretend(garden_set: PhotoDataset, tmp_path: Path):
    """Run a Pretender; whatever became of it, its child is gone afterwards."""

    def run(**changed) -> dict:
        rules = {"target": 0.2, "cap": 60, "epochs": 4, "seed": 0, **changed}
        result = race.race(Pretender("pretender", str(tmp_path / "child")), garden_set, **rules)
        child = int((tmp_path / "child").read_text())
        assert not psutil.pid_exists(child) or psutil.Process(child).status() == psutil.STATUS_ZOMBIE
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
    times, accuracies = zip(*result["curve"], strict=True)
    assert accuracies == (0, 0.1, 0.2, 0.3)
    assert list(times) == sorted(times) and times[0] >= 0.3
    assert result["seconds_to_target"] == times[2]
    assert result["seconds_an_epoch"] == pytest.approx((times[3] - times[0]) / 3, abs=0.15)
    assert result["seconds"] >= times[3] and result["outcome"] == "all 4 epochs"
    assert (result["best_accuracy"], result["last_accuracy"]) == (0.3, 0.3)
    assert result["peak_memory"] > 5e6  # two interpreters


def test_who_has_passed_is_stopped_at_the_cap(pretend) -> None:
    result = pretend(epochs=1000, cap=1.5)
    assert result["outcome"] == f"stopped after epoch {len(result['curve'])} of 1000"
    assert result["seconds_to_target"] is not None and result["seconds"] is None


def test_who_never_passes_is_stopped_too(pretend) -> None:
    result = pretend(epochs=1000, cap=0.3, target=0.99)
    assert result["outcome"].startswith("stopped after epoch") and result["seconds_to_target"] is None


def test_a_failure_is_told_with_its_last_words(pretend) -> None:
    result = pretend(epochs=1, seed=3)
    assert result["outcome"] == "failed in epoch 2" and "Goodbye" in result["last_words"]


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
