"""What every test gets: its own cache and runs folder; and what many share: a garden and a network small enough to
train in seconds.
"""

import dataclasses
import os
import sys
from pathlib import Path

import hypothesis
import pytest

from flowers.data.dataset import PhotoDataset, scan
from flowers.models.backbones import BACKBONES
from flowers.paths import PROJECT
from flowers.recipe import Recipe

hypothesis.settings.register_profile("shared machine", deadline=None)  # timings belong in benchmarks/
hypothesis.settings.load_profile("shared machine")


def _take_own_cores() -> None:
    """A worker of pytest-xdist keeps to its share of the cores, with all that it starts: torch's threads spin."""
    worker = os.environ.get("PYTEST_XDIST_WORKER")
    if worker and hasattr(os, "sched_setaffinity"):
        cores = sorted(os.sched_getaffinity(0))
        number, workers = int(worker.removeprefix("gw")), int(os.environ["PYTEST_XDIST_WORKER_COUNT"])
        os.sched_setaffinity(0, cores[number::workers] or cores)


_take_own_cores()
PHOTOS = os.environ.get("FLOWERS_DATA")  # read before a test may change it
SMALL = {"size": 64, "resize": 72}
# The report's training, but on the CPU alone, reproducible, and short.
TINY = Recipe(
    init="scratch", epochs=2, batch_size=8, learning_rate=0.01, rotation=5, workers=2,
    device="cpu", precision="float32", memory_format="channels_last", threads=1,
)  # fmt: skip


@pytest.fixture(autouse=True)
def isolated(monkeypatch: pytest.MonkeyPatch, tmp_path_factory: pytest.TempPathFactory) -> None:
    """No test sees this machine's photos, caches and runs, or leaves anything behind."""
    home = tmp_path_factory.mktemp("home")
    monkeypatch.setenv("FLOWERS_CACHE", str(home / "cache"))
    monkeypatch.setenv("FLOWERS_RUNS", str(home / "runs"))
    monkeypatch.delenv("FLOWERS_DATA", raising=False)
    monkeypatch.delenv("FLOWERS_EXTRA", raising=False)


@pytest.fixture(scope="session", autouse=True)
def one_thread() -> None:
    """One thread for each test process and its children: the sums come out the same everywhere."""
    os.environ["OMP_NUM_THREADS"] = "1"
    if "torch" in sys.modules:
        sys.modules["torch"].set_num_threads(1)


@pytest.fixture(scope="session")
def garden(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder of 5 × 8 painted flowers, 64 pixels a side. Shared: copy it before changing it."""
    from flowers.data.garden import render_garden

    folder = tmp_path_factory.mktemp("photos") / "garden"
    render_garden(folder, per_class=8, size=64)
    return folder


@pytest.fixture
def garden_set(garden: Path) -> PhotoDataset:
    """The index of ``garden``."""
    return scan(garden)


@pytest.fixture
def real_photos() -> Path:
    """The report's 2,848 photos, where this machine has them (FLOWERS_DATA)."""
    if not PHOTOS or not (Path(PHOTOS) / "daisy").is_dir():
        pytest.skip("FLOWERS_DATA does not name the report's photos")
    return Path(PHOTOS)


@pytest.fixture
def small_network(monkeypatch: pytest.MonkeyPatch) -> None:
    """ResNet18 on 64 instead of 224 pixels: a twelfth of the work, the same code."""
    import torch

    torch.set_num_threads(1)
    monkeypatch.setitem(BACKBONES, "resnet18", dataclasses.replace(BACKBONES["resnet18"], **SMALL))


@pytest.fixture
def small_network_in_children(monkeypatch: pytest.MonkeyPatch, tmp_path_factory: pytest.TempPathFactory) -> None:
    """``small_network`` for every ``python -m flowers`` started from here: Python runs sitecustomize.py first."""
    folder = tmp_path_factory.mktemp("site")
    (folder / "sitecustomize.py").write_text(
        "import dataclasses\n"
        "from flowers.models.backbones import BACKBONES\n"
        f"BACKBONES['resnet18'] = dataclasses.replace(BACKBONES['resnet18'], **{SMALL})\n"
    )
    monkeypatch.setenv("PYTHONPATH", os.pathsep.join([str(folder), str(PROJECT)]))
    monkeypatch.setenv("OMP_NUM_THREADS", "1")
