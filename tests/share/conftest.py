"""A tiny checkpoint that has everything: a run's best, begun from a local folder, calibrated; and a Hub."""

from dataclasses import replace

import numpy as np
import pytest
import torch

from flowers.classifier import Classifier
from flowers.data.preprocess import Preprocessing
from flowers.engines import trial_photos
from flowers.models.backbones import BACKBONES
from flowers.models.calibration import Calibration, Neighbours, directions, energy, write_calibration
from flowers.models.checkpoint import Checkpoint, read_checkpoint, save_checkpoint
from flowers.training.run import Run
from tests.conftest import TINY
from tests.networks import random_norms, settled
from tests.share.hub import running_hub

CLASSES = ("red|rose", "tulip", "<b>daisy</b>")
PREPARED = Preprocessing(64, 72, mirror=True)
WEIGHT = 0.01
POWER = 0.25


@pytest.fixture(scope="module", autouse=True)
def in_every_module(tiny_networks) -> None:
    """The tiny network stands in ResNet18's place."""


@pytest.fixture(scope="module")
def whole(tmp_path_factory) -> Checkpoint:
    """The checkpoint; not to be changed."""
    torch.manual_seed(0)
    torch.set_num_threads(1)
    run = Run.create(tmp_path_factory.mktemp("runs") / "2026-01-31-mine", TINY, "/home/somebody/photos", "report")
    recipe = {**TINY.to_dict(), "init": "/home/somebody/runs/earlier/best"}
    metrics = {"epoch": 2, "best_epoch": 1, "val_accuracy": 0.75, "val_photos": 12, "seconds": 3.0}
    taught = {"counts": dict.fromkeys(CLASSES, 20), "digest": "0123456789abcdef"}
    # So that photos do not look alike to it, as they do before anything was learned.
    photos = PREPARED.normalise(torch.from_numpy(trial_photos(64, 20)))
    model = settled(random_norms(BACKBONES["resnet18"].build(3)), photos)
    model.fc.bias.data += 100  # whose exponential no float32 holds: the sum of them must not be taken as it is written
    checkpoint = Checkpoint("resnet18", CLASSES, PREPARED.to_dict(), recipe, metrics, taught)
    save_checkpoint(run.folder / "best", model.state_dict(), checkpoint)
    checkpoint = read_checkpoint(run.folder / "best")
    scores, features = Classifier(checkpoint, engine="eager").network.look(trial_photos(64, 40))
    facts = {
        "photos_held_back": 12, "accuracy": 0.75, "known": 0.9, "accuracy_of_known": 0.8, "photos_learned_from": 20,
        "honest_calibration_error": 0.1,
        "uncalibrated": {"expected_calibration_error": 0.2, "negative_log_likelihood": 1.0, "brier_score": 0.5},
        "calibrated": {"expected_calibration_error": 0.1, "negative_log_likelihood": 0.9, "brier_score": 0.4},
    }  # fmt: skip
    usual = energy(scores[20:]).mean() + np.float32([-5, 0, 5])  # far apart, so that it matters which is meant
    known = Neighbours(directions(features[:20], POWER), 3, np.zeros(0), WEIGHT, usual, POWER)
    likeness = known.likeness(features[20:], scores[20:]).astype(float)
    known = replace(known, scale=np.quantile(likeness, np.linspace(0, 1, 11)))
    write_calibration(checkpoint, Calibration(0.7, known, facts))
    return read_checkpoint(run.folder / "best")


@pytest.fixture
def hub(monkeypatch):
    """A Hub of our own; large files go there by plain LFS, for Xet's storage is not played."""
    import huggingface_hub.constants

    monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_DISABLE_XET", True)
    with running_hub() as hub:
        yield hub
