"""The untouched network is run by what is fastest here, and sees what PyTorch sees."""

from dataclasses import replace

import pytest
import torch

from flowers import inference
from flowers.data.dataset import Split, scan
from flowers.engines import point_alike, trial_photos
from flowers.errors import FlowersError
from flowers.models.backbones import BACKBONES, Backbone
from flowers.training import train as training
from flowers.training import untouched as module
from flowers.training.events import Folded
from flowers.training.forecast import epoch_seconds
from flowers.training.machine import Machine
from flowers.training.schedule import preprocessing_of
from flowers.training.train import train
from tests.conftest import TINY
from tests.tiny import SIZE

RECIPE = TINY.replace(
    epochs=1, probe="folds", init="imagenet", mirror_answers="on", precision="auto", memory_format="auto", threads=0
)
MACHINE = Machine("cpu", "float32", "channels_last", 2, learning=30.0, looking=10.0, why="")
PIXELS = SIZE**2 / 1e6  # megapixels of a photo
pytestmark = pytest.mark.usefixtures("tiny_network")


@pytest.fixture(autouse=True)
def weights(monkeypatch):
    """What stands in for ImageNet's: the same random ones, whoever asks."""

    def fill(_: Backbone, model: torch.nn.Module) -> None:
        torch.manual_seed(3)
        model.load_state_dict(BACKBONES["resnet18"].build(1000).state_dict())

    monkeypatch.setattr(Backbone, "fill", fill)


def prepare(monkeypatch, **seconds: float) -> None:
    """Have it tried, here, as if what is tried took so many seconds a photo."""
    monkeypatch.setattr(inference, "_measure", lambda *_: {name: {"one": s, "many": s} for name, s in seconds.items()})
    monkeypatch.setattr(module, "try_engines", lambda checkpoint: inference._prepare(checkpoint, compiling=False))
    module.prepare(RECIPE)


@pytest.fixture
def measured(monkeypatch, tiny_network):
    """It has been tried, and ONNX Runtime took as long as this machine would take for 4 milliseconds' work."""
    monkeypatch.setattr(module, "try_engines", lambda _: None)
    monkeypatch.setattr(module, "available_threads", lambda: MACHINE.threads)
    module.prepare(RECIPE)
    monkeypatch.setattr(module, "measured", lambda _: {"eager": {"many": 10 * PIXELS}, "onnxruntime": {"many": 0.004}})


def pace(machine: Machine = MACHINE, **changes) -> float:
    """Seconds a photo that the untouched network takes, as found; 0 where the machine's own way is not beaten."""
    return module.fastest(RECIPE.replace(**changes), machine).untouched * PIXELS


def test_before_it_was_tried_the_machine_looks():
    assert pace() == 0


@pytest.mark.usefixtures("measured")
def test_what_was_measured_faster_looks_and_is_predicted():
    assert pace() == pytest.approx(0.004)
    split, wants = Split(train=tuple(range(30)), val=tuple(range(30, 40))), preprocessing_of(RECIPE)
    before, now = (
        epoch_seconds(RECIPE, machine, split, wants)[0] for machine in (MACHINE, module.fastest(RECIPE, MACHINE))
    )
    assert before - now == pytest.approx(240 * (10 * PIXELS - 0.004)), "40 photos, mirrored, from three distances"


@pytest.mark.usefixtures("measured")
@pytest.mark.parametrize(
    "asked",
    [
        {"precision": "float32"}, {"memory_format": "contiguous"}, {"threads": 2},  # by somebody who wants that
        {"init": "scratch"},  # has other eyes
        {"probe": "on"},  # gives the same weights as ever
    ],
    ids=str,
)  # fmt: skip
def test_who_asks_for_something_else_gets_that(asked):
    assert pace(**asked) == 0


@pytest.mark.usefixtures("measured")
def test_a_gpu_and_whatever_else_is_faster_looks_itself():
    assert pace(replace(MACHINE, device="cuda")) == 0
    assert pace(replace(MACHINE, threads=MACHINE.threads + 1)) == 0
    assert pace(replace(MACHINE, precision="bfloat16", looking=0.1)) == 0


@pytest.mark.usefixtures("measured")
def test_of_a_busy_machine_both_are_slow():
    """What they took when they were tried, in turn, says how much faster one is, and not how fast it is now."""
    assert pace(replace(MACHINE, looking=30.0)) == pytest.approx(0.012)


@pytest.mark.usefixtures("measured")
def test_it_is_tried_once(monkeypatch):
    monkeypatch.setattr(module, "try_engines", lambda _: pytest.fail("known"))
    module.prepare(RECIPE)


def test_a_run_looks_with_it_and_sees_what_pytorch_sees(garden, monkeypatch):
    dataset, kept = scan(garden), []
    monkeypatch.setattr(training.Seen, "find", lambda *_: {})  # both look for themselves
    monkeypatch.setattr(training.Seen, "keep", lambda _, features: kept.append(features))
    plain = [event for event in train(RECIPE, dataset) if isinstance(event, Folded)]
    prepare(monkeypatch, eager=0.008, onnxruntime=1e-9)
    monkeypatch.setattr(module, "available_threads", torch.get_num_threads)
    monkeypatch.setattr(training.probe, "features", lambda *_: pytest.fail("PyTorch looked"))
    folded = [event for event in train(RECIPE, dataset) if isinstance(event, Folded)]
    before, now = (torch.cat(list(features.values())).numpy() for features in kept)
    assert before.shape == (240, 64)
    assert point_alike(now, before)
    assert folded[0].accuracy == pytest.approx(plain[0].accuracy, abs=0.05)


def test_what_cannot_be_opened_any_more_is_pytorchs_work(monkeypatch):
    prepare(monkeypatch, eager=0.008, onnxruntime=0.004)
    [file] = (module.cache_dir() / "engines-v2").rglob("network.onnx")
    file.write_bytes(b"damaged")
    seen = module.eyes(RECIPE)(torch.from_numpy(trial_photos(SIZE, 3)))
    assert seen.shape == (3, 64)


def test_without_its_weights_nothing_is_found(monkeypatch):
    def fill(*_) -> None:
        raise OSError("no network")

    monkeypatch.setattr(Backbone, "fill", fill)
    with pytest.raises(FlowersError):
        module.prepare(RECIPE)
    assert pace() == 0
