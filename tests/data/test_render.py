"""Pictures: what chance has drawn and nothing else, whatever company a photo is in."""

import itertools
import random
from itertools import pairwise

import numpy as np
import pytest
import torch
from torchvision.transforms.v2 import functional

from flowers.data.augment import Variant, draw
from flowers.data.garden import render_flower
from flowers.data.preprocess import Preprocessing, to_pixels
from flowers.data.render import render, variants
from flowers.recipe import KNOBS, PRESETS, Recipe

SMALL = Preprocessing(size=48, resize=56)
OFF = Recipe().replace(**{item.name: item.off for item in KNOBS.values() if item.off is not None})
PHOTO = render_flower("tulip", 3, 96).resize((120, 90))
SQUARE = render_flower("tulip", 3, 96)


@pytest.mark.parametrize("box", [(10, 20, 40, 30), (0, 0, 96, 96), (5, 5, 86, 90), (50, 3, 46, 60)])
@pytest.mark.parametrize("size", [96, 64, 40])
def test_a_crop_is_torchvisions_antialiased_one(box, size):
    left, top, width, height = box
    ours = render([np.array(SQUARE)], [Variant(96, 96, part=box)], Preprocessing(96, 96), size)[0].float()
    theirs = functional.resized_crop(to_pixels(SQUARE), top, left, height, width, [size, size], antialias=True).float()
    difference = (ours - theirs).abs()
    assert difference.mean() < (0.6 if max(width, height) <= size else 2.5)
    # A picture that only takes every other pixel, or none of the rim, would differ by far more.
    assert difference[:, 0].mean() < 8
    assert difference[:, :, -1].mean() < 8


@pytest.mark.parametrize("size", [(120, 90), (48, 48), (31, 200), (700, 500), (8, 9)])
@pytest.mark.parametrize("side", [None, 24, 40])
def test_all_off_is_what_validation_sees(size, side):
    photo = PHOTO.resize(size)
    variant = draw(OFF, random.Random(0), *size)
    (picture,) = render([np.array(photo)], [variant], SMALL, side)
    assert torch.equal(picture, to_pixels(SMALL.frame(photo, side)))


def test_variants_repeat_and_differ_from_each_other():
    first, again = (list(variants(PHOTO, Recipe(), SMALL, seed=4, count=5)) for _ in range(2))
    assert all(a.tobytes() == b.tobytes() for a, b in zip(first, again, strict=True))
    assert not any(a.tobytes() == b.tobytes() for a, b in pairwise(first))


@pytest.mark.parametrize("size", [(64, 64), (300, 20), (20, 300), (9, 8), (256, 341)])
@pytest.mark.parametrize("recipe", [*PRESETS.values(), OFF], ids=[*PRESETS, "off"])
def test_a_variant_has_the_size_asked_for(size, recipe):
    photo = np.array(PHOTO.resize(size))
    for side, seed in itertools.product((None, 32), range(3)):
        pictures = render([photo], [draw(recipe, random.Random(seed), *size)], SMALL, side)
        assert (pictures.shape, pictures.dtype) == ((1, 3, side or 48, side or 48), torch.uint8)


def test_a_variant_does_not_depend_on_its_company():
    sizes = [(120, 90), (40, 56), (56, 112), (30, 30), (300, 40), (90, 120)]
    photos = [np.array(render_flower("rose", n, 90).resize(size)) for n, size in enumerate(sizes)]
    recipe = Recipe(erasing=0.5)
    drawn = [draw(recipe, random.Random(n), *size) for n, size in enumerate(sizes)]
    together = render(photos, drawn, SMALL)
    alone = torch.cat([render([photo], [variant], SMALL) for photo, variant in zip(photos, drawn, strict=True)])
    difference = (together.int() - alone.int()).abs()
    assert difference.max() <= 1
    assert (difference > 0).float().mean() < 1e-3


def test_what_lies_outside_the_photo_is_black_and_its_edge_is_not():
    white = np.full((60, 60, 3), 255, np.uint8)
    drawn = [Variant(60, 60, bend=np.eye(2) / 0.5), Variant(60, 60, part=(7, 9, 20, 11))]
    half, whole = render([white, white], drawn, SMALL)
    assert whole.min() == 255
    assert half[:, 14:34, 14:34].min() == 255
    assert half[:, :10].max() == half[:, :, -10:].max() == 0


@pytest.mark.parametrize("scale", [0.3, 1.0])
@pytest.mark.parametrize("side", [60, 100])
def test_fine_patterns_are_averaged_and_make_no_waves(scale, side):
    """Stripes of one pixel, shrunk to fewer pixels than stripes: grey. Taken point by point they would be moiré."""
    stripes = np.zeros((256, 256, 3), np.uint8)
    stripes[:, ::2] = 255
    variant = Variant(256, 256, part=(0, 0, 256, 256), bend=np.eye(2) / scale)
    (picture,) = render([stripes], [variant], SMALL, side)
    middle = slice(round(side * (0.5 - scale * 0.4)), round(side * (0.5 + scale * 0.4)))
    shown = picture[:, middle, middle].float()
    assert (shown - 127.5).abs().max() < 25
