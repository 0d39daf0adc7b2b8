"""What leaving doubtful labels out changes: the bookkeeping."""

import random
from pathlib import Path

import pytest
import torch

from benchmarks.conflicts import RATES, VARIANTS, measure, plant, suspected, text
from flowers.data.dataset import Photo, PhotoDataset

CLASSES = tuple("abcde")


@pytest.fixture
def clouds(monkeypatch) -> tuple[PhotoDataset, torch.Tensor]:
    """Photos of five classes far apart; one picture under two labels, one twice."""
    monkeypatch.setattr("flowers.data.doctor.image_size", lambda path: (500, 500))
    rng, generator = random.Random(0), torch.Generator().manual_seed(0)
    photos = [
        Photo(f"{name}/{n}.jpg", label, f"{label}-{n}", f"{rng.getrandbits(128):032x}")
        for label, name in enumerate(CLASSES)
        for n in range(40)
    ]
    conflict = Photo("b/conflict.jpg", 1, photos[0].sha256, photos[0].fingerprint)
    copy = Photo("c/copy.jpg", 2, photos[80].sha256, photos[80].fingerprint)
    photos += [conflict, copy]
    truth = torch.tensor([photo.label for photo in photos])
    inputs = 4 * torch.eye(5, 12)[truth] + 0.7 * torch.randn(len(photos), 12, generator=generator)
    inputs[[-2, -1]] = inputs[[0, 80]]
    return PhotoDataset(Path("nowhere"), CLASSES, tuple(photos)), inputs


def test_every_variant_is_taught_less_and_all_are_judged_alike(clouds):
    split = measure(*clouds, set(), seed=0)
    taught = [split["rows"][name]["taught"] for name in VARIANTS]
    assert taught == sorted(taught, reverse=True)
    assert taught[0] > taught[-1]
    assert split["judged"]["all"] >= split["judged"]["clean"] >= split["judged"]["agreed"]
    assert split["judged"]["all"] - split["judged"]["clean"] + taught[0] - taught[2] == 3
    assert split["rows"]["copies"]["clean"] > 0.95


@pytest.mark.parametrize("rate", RATES)
def test_planted_labels_are_found_and_validation_keeps_the_truth(clouds, rate):
    dataset, inputs = clouds
    split = dataset.split()
    result = plant(dataset, inputs, list(split.train), {"clean": list(split.val)}, rate, seed=0)
    assert result["wrong"] == round(rate * len(split.train))
    assert result["first"] > 0.8
    assert result["recall"] > 0.6
    assert result["cleaned"] > 0.95


def test_only_the_given_photos_are_asked_and_suspected(clouds):
    dataset, inputs = clouds
    part = list(range(20, 200))
    moved = inputs.clone()
    moved[:20] = 1e3  # would upset whatever saw them
    paths = {dataset.photos[index].path for index in part}
    found = suspected(dataset, inputs, part)
    assert {suspect.photo for suspect in found} <= paths
    assert suspected(dataset, moved, part) == found


def test_the_tables_tell_every_variant_and_rate(clouds):
    split = measure(*clouds, set(), seed=0)
    results = {
        "splits": [split, measure(*clouds, set(), seed=1)], "weights": "none", "date": "today", "command": "python x",
        "machine": {"cpu": "abacus", "cores": 2, "bfloat16_units": False, "memory": 2**30, "system": "none"},
        "versions": {},
    }  # fmt: skip
    told = text(results)
    assert all(title in told for title in VARIANTS.values())
    assert all(f"| {rate:.0%} |" in told for rate in RATES)
    assert "2 splits" in told
