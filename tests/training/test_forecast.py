"""What a run is predicted to take follows from its photos, their size and what a trial measured."""

import json

import pytest

from flowers.data.dataset import Split, scan
from flowers.data.preprocess import Preprocessing
from flowers.models.backbones import BACKBONES
from flowers.recipe import PRESETS, Recipe
from flowers.training import forecast as module
from flowers.training import machine
from flowers.training.forecast import epoch_seconds, forecast
from flowers.training.machine import Machine
from flowers.training.train import train
from tests.conftest import TINY
from tests.tiny import tiny_resnet18

MEASURED = Machine("cpu", "float32", "channels_last", 1, 100.0, 10.0, "")
SPLIT = Split(train=tuple(range(30)), val=tuple(range(30, 40)))
HUNDRED = Preprocessing(size=100, resize=110)


def test_an_epoch_is_its_steps_and_its_validation():
    assert epoch_seconds(Recipe(epochs=2), MEASURED, SPLIT, HUNDRED) == pytest.approx([30 + 1, 30 + 1])
    assert epoch_seconds(Recipe(epochs=2), MEASURED, SPLIT, HUNDRED, 2) == pytest.approx([15.5, 15.5])


def test_answers_that_look_twice_take_twice_as_long():
    mirrored = Preprocessing(size=100, resize=110, mirror=True)
    assert epoch_seconds(Recipe(epochs=1), MEASURED, SPLIT, mirrored) == pytest.approx([30 + 2])


def test_a_probe_only_looks_and_small_pictures_take_less():
    recipe = Recipe(epochs=3, probe="on", first_size=64)
    small = 0.64**2
    assert epoch_seconds(recipe, MEASURED, SPLIT, HUNDRED) == pytest.approx([3 * small + 1, 30 * small + 1, 31])


@pytest.mark.usefixtures("tiny_network")
def test_a_forecast_is_what_training_tells_at_its_start(garden, monkeypatch):
    monkeypatch.setattr(machine, "_lap", lambda work, *_: 100.0 if work is machine._step else 10.0)
    monkeypatch.setitem(BACKBONES, "resnet18", tiny_resnet18(64))  # so that there are smaller pictures
    dataset = scan(garden)
    for recipe in (TINY, TINY.replace(probe="on", first_size=32, mirror_answers="on", frozen=2)):
        assert forecast(recipe, dataset) == pytest.approx(next(train(recipe, dataset)).predicted, abs=1e-3)


def test_paces_are_measured_one_by_one_and_given_up_when_nobody_is_there_to_read_them(tmp_path, monkeypatch):
    """As the process of its own does, in which the studio has them measured."""
    measured = []
    monkeypatch.setattr(module, "seconds_a_photo", lambda recipe: measured.append(recipe.epochs) or (1.0, 2.0))
    monkeypatch.setattr(module.untouched, "prepare", lambda recipe: measured.append("prepared"))
    recipes = {"a": {"epochs": 1, "probe": "folds"}, "b": {"epochs": 2}}
    module._measure(tmp_path / "paces.json", recipes)
    assert json.loads((tmp_path / "paces.json").read_text()) == {"a": [1.0, 2.0], "b": [1.0, 2.0]}
    assert measured == ["prepared", 1, 2]
    parents = iter([1, 1, 2])  # the studio is gone after the first
    monkeypatch.setattr(module.os, "getppid", lambda: next(parents))
    module._measure(tmp_path / "never.json", recipes)
    assert measured == ["prepared", 1, 2, "prepared", 1]
    assert not (tmp_path / "never.json").exists()


def test_a_photo_of_few_is_but_looked_at_and_of_many_it_is_learned_from(monkeypatch):
    """Of few photos the preset auto learns the last layer alone."""
    monkeypatch.setattr(module, "_trial", lambda *_: MEASURED)
    few, many = module.seconds_a_photo(PRESETS["auto"])
    assert many > 2 * few > 0


@pytest.mark.usefixtures("small_network")
def test_the_presets_grow_longer(garden, monkeypatch):
    """Each is a network of its own to measure; here all are as fast, and only the work counts."""
    monkeypatch.setattr(machine, "_lap", lambda work, *_: 100.0 if work is machine._step else 30.0)
    taken = {name: sum(forecast(PRESETS[name], scan(garden))) for name in ("fast", "balanced", "best")}
    assert taken["fast"] < taken["balanced"] < taken["best"]
