"""How long a recipe's training will take here, from what a trial step takes.

``python -m flowers.training.forecast FILE RECIPES`` measures recipes in a process of its own; ``RECIPES`` is JSON, the
fields of each by its name.
"""

import contextlib
import json
import os
import sys
from pathlib import Path

from flowers.data.dataset import PhotoDataset, Split
from flowers.data.preprocess import Preprocessing
from flowers.errors import FlowersError
from flowers.files import write_json
from flowers.models.backbones import backbone
from flowers.processes import give_way
from flowers.recipe import Recipe
from flowers.training import untouched
from flowers.training.learner import freeze
from flowers.training.machine import Machine, choose_machine, pick_device
from flowers.training.schedule import TELLING, distances, enough, picture_size, preprocessing_of, probe_epochs

FITTING = 0.008  # seconds a photo that folds take beside looking: 0.8 for 100, 2.2 for 250 photos of five classes


def forecast(recipe: Recipe, dataset: PhotoDataset) -> list[float]:
    """Seconds that each epoch of ``recipe`` on ``dataset`` should take here, by a trial of a second or two.

    Without starting the program, reading the photos and getting the starting weights. Raises UsageError for a device
    that is not here, DataError for too few photos.
    """
    split = dataset.split(recipe.split_seed, recipe.val_fraction)
    recipe = enough(recipe, len(dataset))
    return epoch_seconds(recipe, _trial(recipe, len(dataset.classes)), split, preprocessing_of(recipe))


def seconds_a_photo(recipe: Recipe, classes: int = 5) -> tuple[float, float]:
    """Seconds that a whole run should take here for each photo, those held back included, of a set of fewer than
    TELLING photos, and of a larger one; as ``forecast``.
    """
    machine, preprocessing = _trial(recipe, classes), preprocessing_of(recipe)

    def pace(photos: int) -> float:
        held_back = round(photos * recipe.val_fraction)
        split = Split(train=tuple(range(photos - held_back)), val=tuple(range(held_back)))
        return sum(epoch_seconds(enough(recipe, photos), machine, split, preprocessing)) / photos

    return pace(TELLING - 1), pace(2 * TELLING)


def _trial(recipe: Recipe, classes: int) -> Machine:
    chosen = backbone(recipe.backbone)
    net = chosen.build(classes)  # of random weights: others take as long
    freeze(net, chosen, recipe)
    return untouched.fastest(recipe, choose_machine(recipe, pick_device(recipe.device), net, None))


def epoch_seconds(
    recipe: Recipe, machine: Machine, split: Split, preprocessing: Preprocessing, processes: int = 1
) -> list[float]:
    """Seconds that each epoch should take on so many processes like this ``machine``, its validation included."""

    def learning(epoch: int) -> float:
        if recipe.probe == "folds" and epoch == 0:  # all photos and their mirror images, and then sums of features
            photos = len(split.train) + len(split.val)
            looks = 2 * photos * distances(photos)
            return machine.seconds_untouched(looks, preprocessing.size) / processes + FITTING * looks / 2
        size = picture_size(recipe, epoch, preprocessing.size)
        return machine.seconds(len(split.train), size, epoch >= probe_epochs(recipe)) / processes

    checking = checking_seconds(machine, split, preprocessing, processes)
    return [learning(epoch) + checking * (epoch > 0 or recipe.probe != "folds") for epoch in range(recipe.epochs)]


def checking_seconds(machine: Machine, split: Split, preprocessing: Preprocessing, processes: int = 1) -> float:
    """Seconds that a validation should take."""
    looks = len(split.val) * (2 if preprocessing.mirror else 1)
    return machine.seconds(looks, preprocessing.size, learning=False) / processes


def _measure(file: Path, recipes: dict[str, dict]) -> None:
    """``seconds_a_photo`` by recipe, as JSON. Given up when the studio that asked is gone: nobody would stop it."""
    asked_by, paces = os.getppid(), {}
    for name, fields in recipes.items():
        if os.getppid() != asked_by:
            return
        recipe = Recipe(**fields)
        if recipe.probe == "folds":
            with contextlib.suppress(FlowersError):  # it is PyTorch that looks, then
                untouched.prepare(recipe)
        paces[name] = seconds_a_photo(recipe)
    write_json(file, paces)


if __name__ == "__main__":
    give_way(10, to_all=True)
    _measure(Path(sys.argv[1]), json.loads(sys.argv[2]))
