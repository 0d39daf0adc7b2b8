"""The augmentations draw what torchvision's own classes draw, and depend on nothing but their seed."""

import random
from itertools import pairwise

import numpy as np
import pytest
import torch
from PIL import Image, ImageChops
from torchvision.transforms import v2

from flowers.data import augment as module
from flowers.data.augment import AFTER_CROP, AUGMENTATIONS, CROP, augment, only, photo_rng, variants
from flowers.data.garden import render_flower
from flowers.data.preprocess import Preprocessing
from flowers.recipe import KNOBS, PRESETS, Recipe

SMALL = Preprocessing(size=48, resize=56)
OFF = Recipe().replace(**{item.name: item.off for item in KNOBS.values() if item.off is not None})
PHOTO = render_flower("tulip", 3, 96).resize((120, 90))


def of(name: str) -> module.Augmentation:
    return next(augmentation for augmentation in AUGMENTATIONS if augmentation.name == name)


def are_equal(one: Image.Image, other: Image.Image) -> bool:
    return one.size == other.size and ImageChops.difference(one, other).getbbox() is None


def quantiles(values) -> np.ndarray:
    return np.quantile(np.asarray(values, float), np.linspace(0.05, 0.95, 19))


@pytest.mark.parametrize("min_area", [0.08, 0.5, 0.9])
@pytest.mark.parametrize(("width", "height"), [(320, 240), (240, 320), (500, 100), (60, 500), (8, 8)])
def test_crop_boxes_are_distributed_as_torchvisions(width, height, min_area):
    rng = random.Random(0)
    torch.manual_seed(0)
    transform = v2.RandomResizedCrop(1, scale=(min_area, 1))
    blank = [Image.new("RGB", (width, height))]
    ours = np.array([module._crop_box(width, height, min_area, rng) for _ in range(3000)])
    theirs = [transform.make_params(blank) for _ in range(3000)]
    theirs = np.array([[box[name] for name in ("left", "top", "width", "height")] for box in theirs])
    for column, extent in zip(range(4), (width, height, width, height), strict=True):
        # Of 3,000 draws the quantiles stray by about 1 % of the range.
        assert np.abs(quantiles(ours[:, column]) - quantiles(theirs[:, column])).max() <= 0.05 * extent + 1


@pytest.mark.parametrize(("width", "height"), [(8, 400), (400, 8), (31, 17), (8, 8)])
def test_crops_lie_within_the_photo(width, height):
    rng = random.Random(1)
    for _ in range(500):
        left, top, w, h = module._crop_box(width, height, 0.08, rng)
        assert 0 <= left < left + w <= width
        assert 0 <= top < top + h <= height


@pytest.mark.parametrize("augmentation", AUGMENTATIONS, ids=lambda item: item.name)
def test_each_changes_the_photo_and_keeps_to_its_seed(augmentation):
    recipe = only(Recipe(flip=1), augmentation)
    results = [augmentation.apply(PHOTO, recipe, random.Random(seed)) for seed in (1, 1, 2)]
    assert are_equal(results[0], results[1])
    assert not are_equal(results[0], PHOTO)
    assert all(result.mode == "RGB" for result in results)
    if augmentation is not CROP:
        assert all(result.size == PHOTO.size for result in results)
    if augmentation.name != "flip":
        assert not are_equal(results[0], results[2])


@pytest.mark.parametrize("augmentation", AFTER_CROP, ids=lambda item: item.name)
def test_each_does_nothing_when_off(augmentation):
    assert not augmentation.is_on(OFF)
    assert augmentation.is_on(Recipe())
    for seed in range(5):
        assert are_equal(augmentation.apply(PHOTO, OFF, random.Random(seed)), PHOTO)


def test_all_off_is_what_validation_sees():
    for seed in range(3):
        assert are_equal(augment(PHOTO, OFF, SMALL, random.Random(seed)), SMALL.frame(PHOTO))


@pytest.mark.parametrize("kept", AUGMENTATIONS, ids=lambda item: item.name)
def test_only_leaves_exactly_one_on(kept):
    recipe = only(Recipe(), kept)
    assert [item for item in AUGMENTATIONS if item.is_on(recipe)] == [kept]
    for name in kept.knobs:
        assert getattr(recipe, name) == getattr(Recipe(), name)
    assert recipe.epochs == Recipe().epochs


def test_every_knob_of_an_augmentation_belongs_to_exactly_one():
    listed = [name for item in AUGMENTATIONS for name in item.knobs]
    assert sorted(listed) == sorted(item.name for item in KNOBS.values() if item.group == "Augmentation")


@pytest.mark.parametrize("size", [(64, 64), (300, 20), (20, 300), (9, 8), (1000, 700)])
@pytest.mark.parametrize("recipe", [*PRESETS.values(), OFF], ids=[*PRESETS, "off"])
def test_a_variant_has_the_size_the_network_sees(size, recipe):
    for seed in range(3):
        variant = augment(PHOTO.resize(size), recipe, SMALL, random.Random(seed))
        assert (variant.size, variant.mode) == ((48, 48), "RGB")


def test_a_variant_depends_on_seed_epoch_and_photo_alone():
    torch.manual_seed(0)
    random.seed(0)
    first = augment(PHOTO, Recipe(), SMALL, photo_rng(7, 3, 5))
    random.seed(1)
    torch.manual_seed(1)
    assert are_equal(augment(PHOTO, Recipe(), SMALL, photo_rng(7, 3, 5)), first)
    for other in ((8, 3, 5), (7, 4, 5), (7, 3, 6)):
        assert not are_equal(augment(PHOTO, Recipe(), SMALL, photo_rng(*other)), first)


def test_the_draws_are_the_same_on_every_machine():
    """Runs are resumed on other machines: Python's generator, seeded by a string, is the same everywhere."""
    assert [photo_rng(0, 0, 0).randrange(10**6), photo_rng(1, 2, 3).randrange(10**6)] == [268626, 28784]


def test_variants_repeat_and_differ_from_each_other():
    first, again = (list(variants(PHOTO, Recipe(), SMALL, seed=4, count=5)) for _ in range(2))
    assert all(are_equal(a, b) for a, b in zip(first, again, strict=True))
    assert not any(are_equal(a, b) for a, b in pairwise(first))


def test_a_flip_comes_as_often_as_asked():
    for chance in (0.0, 0.3, 1.0):
        rng, recipe = random.Random(0), Recipe(flip=chance)
        flipped = sum(not are_equal(of("flip").apply(PHOTO, recipe, rng), PHOTO) for _ in range(400))
        assert abs(flipped / 400 - chance) < 0.08
    assert are_equal(of("flip").apply(PHOTO, Recipe(flip=1), random.Random(0)), PHOTO.transpose(Image.Transpose(0)))


@pytest.mark.parametrize(
    ("name", "change", "knob", "draw"),
    [
        ("rotate", "rotate", "rotation", lambda call: call.args[1]),
        ("affine", "affine", "shear", lambda call: call.kwargs["shear"][0]),
        ("affine", "affine", "zoom", lambda call: call.kwargs["scale"] - 1),
        ("colour", "adjust_brightness", "brightness", lambda call: call.args[1] - 1),
        ("colour", "adjust_contrast", "contrast", lambda call: call.args[1] - 1),
        ("colour", "adjust_saturation", "saturation", lambda call: call.args[1] - 1),
        ("colour", "adjust_hue", "hue", lambda call: call.args[1]),
    ],
)
def test_strengths_are_drawn_evenly_up_to_the_knob_either_way(mocker_of, name, change, knob, draw):
    calls = mocker_of(change)
    recipe, rng = Recipe(), random.Random(0)
    for _ in range(1000):
        of(name).apply(PHOTO, recipe, rng)
    drawn = np.array([draw(call) for call in calls]) / getattr(recipe, knob)
    assert np.abs(quantiles(drawn) - np.linspace(-0.9, 0.9, 19)).max() < 0.1
    assert np.abs(drawn).max() <= 1


def test_the_colours_are_changed_in_every_order(monkeypatch):
    orders, order = set(), []
    for change in ("brightness", "contrast", "saturation", "hue"):
        monkeypatch.setattr(
            module.functional, f"adjust_{change}", lambda image, factor, change=change: order.append(change) or image
        )
    rng = random.Random(0)
    for _ in range(500):
        order.clear()
        of("colour").apply(PHOTO, Recipe(), rng)
        orders.add(tuple(order))
    assert len(orders) == 24


class Call:
    def __init__(self, args, kwargs):
        self.args, self.kwargs = args, kwargs


@pytest.fixture
def mocker_of(monkeypatch):
    """Replace one of torchvision's functions by one that notes its arguments and changes nothing."""

    def replace(name: str) -> list[Call]:
        calls = []
        monkeypatch.setattr(
            module.functional, name, lambda image, *args, **kwargs: calls.append(Call((image, *args), kwargs)) or image
        )
        return calls

    return replace
