"""What every test gets: its own cache and runs folder; and what many share: a garden and a network small enough to
train in seconds.
"""

import dataclasses
import itertools
import os
import signal
import sys
from collections.abc import Iterator
from pathlib import Path

import hypothesis
import pytest

from flowers.data.dataset import PhotoDataset, scan
from flowers.models.backbones import BACKBONES
from flowers.paths import PROJECT
from flowers.recipe import Recipe
from flowers.training.run import Run
from tests.share.runtime import npm_package
from tests.tiny import RESNET18, teach, tiny_resnet18
from tests.waiting import wait_until

# Timings belong in benchmarks/, and what is tried is the same at every run: none is red by chance.
SAME = {"deadline": None, "derandomize": True, "database": None}
hypothesis.settings.register_profile("quick", max_examples=20, **SAME)
hypothesis.settings.register_profile("thorough", max_examples=300, **SAME)


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption(
        "--thorough", action="store_true",
        help="run what is marked thorough, and hundreds of examples of every property, instead of the quick suite",
    )  # fmt: skip


def pytest_configure(config: pytest.Config) -> None:
    hypothesis.settings.load_profile("thorough" if config.getoption("thorough") else "quick")


@pytest.hookimpl(trylast=True)  # hypothesis has marked its tests by then
def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """The quick suite, or all that it leaves out."""
    if config.getoption("thorough"):
        chosen = [item for item in items if {"thorough", "hypothesis"} & {mark.name for mark in item.iter_markers()}]
    else:
        chosen = [item for item in items if not item.get_closest_marker("thorough")]
    kept = set(chosen)
    config.hook.pytest_deselected(items=[item for item in items if item not in kept])
    items[:] = chosen


PHOTOS = os.environ.get("FLOWERS_DATA")  # read before a test may change it
SMALL = {"size": 64, "resize": 72}
# The report's training, but on the CPU alone, reproducible, and short.
TINY = Recipe(
    init="scratch", epochs=2, batch_size=8, learning_rate=0.01, rotation=5, workers=2,
    device="cpu", precision="float32", memory_format="channels_last", threads=1,
)  # fmt: skip


_homes = itertools.count()


@pytest.fixture(autouse=True)
def isolated(monkeypatch: pytest.MonkeyPatch, tmp_path_factory: pytest.TempPathFactory) -> None:
    """No test sees this machine's photos, caches and runs, or leaves anything behind."""
    home = tmp_path_factory.getbasetemp() / f"home-{next(_homes)}"  # made once somebody writes: few do
    monkeypatch.setenv("FLOWERS_CACHE", str(home / "cache"))
    monkeypatch.setenv("FLOWERS_RUNS", str(home / "runs"))
    monkeypatch.delenv("FLOWERS_DATA", raising=False)
    monkeypatch.delenv("FLOWERS_EXTRA", raising=False)


@pytest.fixture(autouse=True)
def no_forks(monkeypatch: pytest.MonkeyPatch) -> None:
    """Trainings are started as on a system that cannot fork: what they are to find there, a test sets up for each."""
    monkeypatch.setattr("flowers.training.warm.is_possible", lambda: False)


@pytest.fixture
def nothing_left_running(isolated: None, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """What a test starts is gone after it."""
    started: list[Run] = []
    monkeypatch.setattr("flowers.training.process._started", started)
    yield
    for run in started:
        run.request_stop()  # for a process that has yet to come
        if run.is_locked() and (process := run.status().pid) != os.getpid():
            os.kill(process, signal.SIGKILL)
        wait_until(lambda run=run: not run.is_locked())


@pytest.fixture(scope="session", autouse=True)
def isolated_between_tests(tmp_path_factory: pytest.TempPathFactory) -> None:
    """Fixtures that several tests share are as isolated as each test is."""
    home = tmp_path_factory.mktemp("shared")
    os.environ |= {"FLOWERS_CACHE": str(home / "cache"), "FLOWERS_RUNS": str(home / "runs")}


@pytest.fixture(scope="session", autouse=True)
def one_thread() -> None:
    """One thread for each test process and its children: the sums come out the same everywhere."""
    os.environ["OMP_NUM_THREADS"] = "1"
    if "torch" in sys.modules:
        sys.modules["torch"].set_num_threads(1)


@pytest.fixture(scope="session")
def garden(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder of 5 × 8 painted flowers, clear ones, 64 pixels a side. Shared: copy it before changing it."""
    from flowers.data.garden import render_garden

    folder = tmp_path_factory.mktemp("photos") / "garden"
    render_garden(folder, per_class=8, size=64, hard=False)
    return folder


@pytest.fixture
def garden_set(garden: Path) -> PhotoDataset:
    """The index of ``garden``."""
    return scan(garden)


@pytest.fixture(scope="session")
def ort_web(pytestconfig: pytest.Config) -> Path:
    """The files of onnxruntime-web, from npm, in a folder; the test is skipped where npm is missing."""
    return npm_package(pytestconfig.cache.mkdir("onnxruntime-web"))


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
    monkeypatch.setitem(BACKBONES, "resnet18", dataclasses.replace(RESNET18, **SMALL))


@pytest.fixture
def tiny_network(monkeypatch: pytest.MonkeyPatch) -> None:
    """In ResNet18's place a network that trains in an instant: see tests/tiny.py."""
    import torch

    torch.set_num_threads(1)
    monkeypatch.setitem(BACKBONES, "resnet18", tiny_resnet18())
    monkeypatch.setattr("flowers.training.machine.SIDE", 32)


@pytest.fixture(scope="session")
def taught(garden: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A checkpoint of the tiny network that knows the flowers of ``garden``: starting weights, by their folder."""
    folder = tmp_path_factory.mktemp("checkpoints") / "taught"
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("FLOWERS_CACHE", str(tmp_path_factory.mktemp("cache")))
        teach(folder, garden)
    return folder


@pytest.fixture(scope="module")
def tiny_networks() -> Iterator[None]:
    """``tiny_network`` for what a whole module shares."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setitem(BACKBONES, "resnet18", tiny_resnet18())
        yield


def run_first_in_children(monkeypatch: pytest.MonkeyPatch, folder: Path, *lines: str) -> None:
    """Have every ``python -m flowers`` started from here begin with these lines: Python runs sitecustomize.py first."""
    (folder / "sitecustomize.py").write_text("".join(f"{line}\n" for line in lines))
    monkeypatch.setenv("PYTHONPATH", os.pathsep.join([str(folder), str(PROJECT)]))
    monkeypatch.setenv("OMP_NUM_THREADS", "1")


@pytest.fixture
def tiny_network_in_children(monkeypatch: pytest.MonkeyPatch, tmp_path_factory: pytest.TempPathFactory) -> None:
    """``tiny_network`` for every ``python -m flowers`` started from here."""
    run_first_in_children(
        monkeypatch,
        tmp_path_factory.mktemp("site"),
        "from flowers import processes",
        "from flowers.models.backbones import BACKBONES",
        "from tests.tiny import tiny_resnet18",
        "processes.give_way = lambda *_, **__: None",  # somebody waits: on a busy machine it would starve
        "BACKBONES['resnet18'] = tiny_resnet18()",
    )


@pytest.fixture
def held(tiny_network_in_children: None) -> Iterator[Path]:
    """Training processes started from here wait in their second epoch until this file is gone: see tests/held.py."""
    folder = Path(os.environ["PYTHONPATH"].split(os.pathsep)[0])
    mark = folder / "held"
    mark.touch()
    with open(folder / "sitecustomize.py", "a") as file:
        file.write(f"from pathlib import Path\nfrom tests import held\nheld.wait_after_steps(Path({str(mark)!r}))\n")
    yield mark
    mark.unlink(missing_ok=True)  # nobody waits for ever


@pytest.fixture
def small_network_in_children(monkeypatch: pytest.MonkeyPatch, tmp_path_factory: pytest.TempPathFactory) -> None:
    """``small_network`` for every ``python -m flowers`` started from here."""
    run_first_in_children(
        monkeypatch,
        tmp_path_factory.mktemp("site"),
        "import dataclasses",
        "from flowers.models.backbones import BACKBONES",
        f"BACKBONES['resnet18'] = dataclasses.replace(BACKBONES['resnet18'], **{SMALL})",
    )
