"""Predictions for photos by a last layer that never saw them."""

import random
from collections import Counter
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import nn

from flowers.data.dataset import Photo, PhotoDataset, scan
from flowers.data.loader import PhotoLoader
from flowers.data.preprocess import Preprocessing
from flowers.errors import CheckpointError, DataError
from flowers.models.backbones import Backbone
from flowers.models.checkpoint import load_model, read_checkpoint
from flowers.recipe import Recipe
from flowers.training import folds
from tests.conftest import TINY


def photo_set(pictures: list[int], labels: list[int], classes: int) -> PhotoDataset:
    """A photo of ``pictures[i]``, a number, under ``labels[i]``."""
    codes = {n: f"{random.Random(n).getrandbits(128):032x}" for n in pictures}
    photos = [
        Photo(f"{label}/{i}.jpg", label, f"{picture:064x}", codes[picture])
        for i, (picture, label) in enumerate(zip(pictures, labels, strict=True))
    ]
    return PhotoDataset(Path("nowhere"), tuple(map(str, range(classes))), tuple(photos))


# The folds


@given(st.lists(st.tuples(st.integers(0, 40), st.integers(0, 1)), max_size=60), st.integers(2, 6), st.integers(0, 9))
def test_folds_never_split_a_picture_and_hold_every_photo_once(rows, count, seed):
    rows = rows + [(100 + n, n % 2) for n in range(2 * count)]  # enough different ones of each class
    dataset = photo_set([picture for picture, _ in rows], [label for _, label in rows], 2)
    parts = folds.folds(dataset, count, seed)
    assert len(parts) == count
    assert sorted(i for part in parts for i in part) == list(range(len(dataset)))
    assert all(part == sorted(part) for part in parts)
    homes = [{rows[i][0] for i in part} for part in parts]
    assert sum(map(len, homes)) == len(set.union(*homes))


@pytest.mark.parametrize("sizes", [(50, 50), (103, 17), (5, 400)])
def test_every_fold_gets_its_share_of_each_class(sizes):
    labels = [label for label, size in enumerate(sizes) for _ in range(size)]
    dataset = photo_set(list(range(len(labels))), labels, 2)
    parts = [Counter(labels[i] for i in part) for part in folds.folds(dataset)]
    for label, size in enumerate(sizes):
        assert {part[label] for part in parts} <= {size // folds.FOLDS, -(-size // folds.FOLDS)}


def test_they_depend_on_the_photos_and_the_seed_alone():
    pictures, labels = list(range(60)), [n % 3 for n in range(60)]
    order = random.Random(1).sample(range(60), 60)
    one = folds.folds(photo_set(pictures, labels, 3))
    mixed = folds.folds(photo_set([pictures[i] for i in order], [labels[i] for i in order], 3))
    assert [sorted(order[i] for i in part) for part in mixed] == one
    assert folds.folds(photo_set(pictures, labels, 3), seed=1) != one


def test_copies_do_not_make_a_class_large_enough():
    dataset = photo_set([*range(10), *[99] * 10], [0] * 10 + [1] * 10, 2)
    with pytest.raises(DataError, match=r"The class 1 has only 1 different photos, and to look .* takes 5 of each"):
        folds.folds(dataset)


# The predictions


def test_nobody_is_asked_about_a_photo_whose_label_it_has_seen():
    """Labels without any connection to the photos can be learnt by heart, but not guessed."""
    rng = torch.Generator().manual_seed(0)
    inputs, labels = torch.randn(200, 300, generator=rng), torch.randint(0, 4, (200,), generator=rng)
    parts = [list(range(first, 200, 5)) for first in range(5)]
    confidences = folds.predict(inputs, labels, parts, 4)
    assert confidences.shape == (200, 4)
    np.testing.assert_allclose(confidences.sum(1), 1, atol=1e-5)
    assert (confidences.argmax(1) == labels.numpy()).mean() < 0.4
    head = nn.Linear(300, 4)
    assert folds.probe.fit(head, inputs, labels, 0.0)[1] > 0.9
    moved = labels.clone()
    moved[parts[2]] = (moved[parts[2]] + 1) % 4
    again = folds.predict(inputs, moved, parts, 4)
    np.testing.assert_array_equal(again[parts[2]], confidences[parts[2]])
    assert not np.array_equal(again, confidences)


# The network


@pytest.mark.usefixtures("tiny_network")
def test_features_are_the_networks_own_photo_by_photo(garden, taught):
    dataset = scan(garden)
    counted = []
    recipe = TINY.replace(init=str(taught))
    inputs, basis = folds.features(dataset, recipe, lambda done, total: counted.append((done, total)))
    assert inputs.shape == (40, 64)
    assert counted == [(32, 40), (40, 40)]
    assert "checkpoint taught, which may have learnt these very labels" in basis
    net = load_model(read_checkpoint(taught))
    net.fc = nn.Identity()
    preprocessing = Preprocessing(32, 36)
    loader = PhotoLoader(dataset, preprocessing, 1)
    ((pixels, _),) = loader.clean([[7, 30]])
    loader.close()
    with torch.no_grad():
        expected = net.eval()(preprocessing.normalise(pixels))
    torch.testing.assert_close(inputs[[7, 30]], expected, atol=2e-3, rtol=1e-3)


@pytest.mark.thorough  # test_cli.py has a tiny one in its place
@pytest.mark.usefixtures("small_network")
def test_without_imagenet_weights_the_bundled_checkpoint_serves_and_it_says_so(garden, tmp_path, monkeypatch):
    def offline(*_args, **_kwargs):
        raise OSError(101, "Network is unreachable")

    monkeypatch.setenv("TORCH_HOME", str(tmp_path))
    monkeypatch.setattr("torch.hub.download_url_to_file", offline)
    opinion = folds.out_of_fold(scan(garden), TINY.replace(init="imagenet"))
    assert opinion.basis.startswith("The ImageNet weights of ResNet18 could not be had. Judged by the features of the ")
    assert opinion.confidences.shape == (40, 5)
    # Painted flowers are easily told apart, even on 64 pixels, even by a network made for photos.
    labels = [photo.label for photo in scan(garden).photos]
    assert (opinion.confidences.argmax(1) == labels).mean() > 0.5


@pytest.mark.usefixtures("tiny_network")
def test_any_classes_will_do(garden, taught, tmp_path):
    """The last layer of the checkpoint, which knows five classes, plays no part."""
    for name in ("rose", "tulip"):
        (tmp_path / f"my {name}").symlink_to(garden / name, target_is_directory=True)
    opinion = folds.out_of_fold(scan(tmp_path), TINY.replace(init=str(taught)))
    assert opinion.confidences.shape == (16, 2)


@pytest.mark.usefixtures("tiny_network")
def test_imagenet_weights_come_first(garden, monkeypatch):
    monkeypatch.setattr(Backbone, "fill", lambda *_: torch.manual_seed(0))  # random weights pass for ImageNet's
    opinion = folds.out_of_fold(scan(garden), TINY.replace(init="imagenet"))
    assert opinion.basis == "Judged by the features of ResNet18 with ImageNet weights."


def test_a_checkpoint_asked_for_by_name_must_be_there(garden):
    with pytest.raises(CheckpointError, match="There is no checkpoint 'absent'"):
        folds.out_of_fold(scan(garden), Recipe(init="absent"))
