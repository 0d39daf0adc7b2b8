"""The augmentations: one table, from which both training and the Augment tab work.

Here chance is drawn; ``render.py`` makes pixels of it. Each row of the table adds to a ``Variant``: which part of the
photo is shown, how it is bent, how it is coloured. All bends compose into one matrix and all colours into another, so
that a batch takes one resampling and one matrix product, whatever is switched on. What fits no matrix, a policy's
changes and the erasing, is done to each finished picture alone.

The chance is drawn from a ``random.Random`` of each photo's own, not from torch's global generator: a variant depends
on the seed, the epoch and the photo, not on batch, thread, process or device. The draws follow torchvision's own
classes (RandomResizedCrop, RandomHorizontalFlip, RandomRotation, ColorJitter, RandomAffine, TrivialAugmentWide,
RandAugment, RandomErasing).
"""

import math
import random
from collections.abc import Callable
from dataclasses import dataclass, field

import numpy as np

from flowers.recipe import KNOBS, Recipe

LUMA = np.array([0.299, 0.587, 0.114])  # how bright red, green and blue look (ITU-R BT.601), as in torchvision
GREY = np.tile(LUMA, (3, 1))  # a colour to the grey that is as bright
# To luma and two axes of colour about it, in which a turn is a change of hue (as NVIDIA DALI's ColorTwist does it).
YIQ = np.array([LUMA, [0.5959, -0.2746, -0.3213], [0.2115, -0.5227, 0.3112]])
RGB = np.linalg.inv(YIQ)

# A policy's changes: the strongest that trivial makes, and rand at its highest level; turns in degrees, slants and
# moves in parts of the width, brightness and its like in parts added or taken, posterize in bits dropped, solarize in
# parts of the range that are inverted. All but UNSIGNED go either way.
CHANGES: dict[str, tuple[float, float]] = {
    "identity": (0, 0),
    "shear_x": (0.99, 0.3),
    "shear_y": (0.99, 0.3),
    "translate_x": (32 / 224, 150 / 331),
    "translate_y": (32 / 224, 150 / 331),
    "rotate": (135, 30),
    "brightness": (0.99, 0.9),
    "saturation": (0.99, 0.9),
    "contrast": (0.99, 0.9),
    "sharpness": (0.99, 0.9),
    "posterize": (6, 4),
    "solarize": (1, 1),
    "autocontrast": (0, 0),
    "equalize": (0, 0),
}
UNSIGNED = ("identity", "posterize", "solarize", "autocontrast", "equalize")
LEVELS = 30  # of strength, above none
RAND_CHANGES, RAND_LEVEL = 2, 9  # what torchvision and its recipes take
ERASED_AREA, ERASED_RATIO = (0.02, 0.33), (0.3, 3.3)  # of a box: part of the picture, height to width


@dataclass
class Variant:
    """What chance makes of one photo of ``width`` × ``height`` pixels."""

    width: int
    height: int
    part: tuple[int, int, int, int] | None = None  # left, top, width, height in pixels; None: what validation sees
    # (2, 2): for a point of the picture, where in the part its colour comes from; both have x and y from -1 to 1.
    bend: np.ndarray = field(default_factory=lambda: np.eye(2))
    # (3, 3) each: what happens to the picture's mean colour, and to every pixel's difference from it.
    mean: np.ndarray = field(default_factory=lambda: np.eye(3))
    difference: np.ndarray = field(default_factory=lambda: np.eye(3))
    # What is done to the finished picture, in this order: a name of CHANGES and how strong.
    retouches: list[tuple[str, float]] = field(default_factory=list)
    erased: tuple[float, float, float, float] | None = None  # left, top, width, height of a box, 0..1

    def recolour(self, colour: np.ndarray) -> None:
        """Apply a matrix (3, 3) to the red, green and blue of every pixel."""
        self.mean, self.difference = colour @ self.mean, colour @ self.difference


@dataclass(frozen=True)
class Augmentation:
    """One random change. ``apply(variant, recipe, rng)`` adds it to those the variant has already."""

    name: str
    knobs: tuple[str, ...]  # the recipe's fields that set its strength
    apply: Callable[[Variant, Recipe, random.Random], None]

    def is_on(self, recipe: Recipe) -> bool:
        """Whether any of its knobs differs from the value at which nothing happens."""
        return any(getattr(recipe, name) != KNOBS[name].off for name in self.knobs)

    def switched_off(self, recipe: Recipe) -> Recipe:
        """``recipe`` without this augmentation."""
        return recipe.replace(**{name: KNOBS[name].off for name in self.knobs})


def crop(variant: Variant, recipe: Recipe, rng: random.Random) -> None:
    """A random part of the photo; the part covers ``crop_min_area``..1 of it, 3:4 to 4:3 (Szegedy et al. 2014)."""
    variant.part = _crop_box(variant.width, variant.height, recipe.crop_min_area, rng)


def flip(variant: Variant, recipe: Recipe, rng: random.Random) -> None:
    """Mirrored left to right with probability ``flip``."""
    if rng.random() < recipe.flip:
        variant.bend = variant.bend @ [[-1, 0], [0, 1]]


def rotate(variant: Variant, recipe: Recipe, rng: random.Random) -> None:
    """Turned by ±``rotation`` degrees about the centre; the corners that come free are black, as in the report."""
    variant.bend = variant.bend @ _turn(rng.uniform(-recipe.rotation, recipe.rotation) / 360)


def jitter(variant: Variant, recipe: Recipe, rng: random.Random) -> None:
    """Brightness, contrast, saturation and hue, each by its own random factor, in a random order."""
    changes = [
        (_brightness, 1, recipe.brightness),
        (_contrast, 1, recipe.contrast),
        (_saturation, 1, recipe.saturation),
        (_hue, 0, recipe.hue),
    ]
    rng.shuffle(changes)
    for change, centre, strength in changes:
        factor = rng.uniform(centre - strength, centre + strength)
        if strength:
            change(variant, factor)


def affine(variant: Variant, recipe: Recipe, rng: random.Random) -> None:
    """Slanted by ±``shear`` degrees and scaled by a factor of 1 ± ``zoom``."""
    scale = rng.uniform(1 - recipe.zoom, 1 + recipe.zoom)
    slant = math.tan(math.radians(rng.uniform(-recipe.shear, recipe.shear)))
    variant.bend = variant.bend @ (np.array([[1, slant], [0, 1]]) / scale)


def retouch(variant: Variant, recipe: Recipe, rng: random.Random) -> None:
    """One change at any level (TrivialAugment, Müller and Hutter 2021, arXiv 2103.10158), or two at level 9 of 30
    (RandAugment, Cubuk et al. 2019, arXiv 1909.13719).
    """
    trivial = recipe.policy == "trivial"
    for _ in range(1 if trivial else RAND_CHANGES):
        name = rng.choice(list(CHANGES))
        level = rng.randint(0, LEVELS) if trivial else RAND_LEVEL
        strength = CHANGES[name][0 if trivial else 1] * level / LEVELS
        if name not in UNSIGNED and rng.random() < 0.5:
            strength = -strength
        variant.retouches.append((name, strength))


def erase(variant: Variant, recipe: Recipe, rng: random.Random) -> None:
    """With probability ``erasing`` a box of 2 to 33 % of the picture is painted over (Zhong et al. 2017)."""
    if rng.random() < recipe.erasing:
        variant.erased = _erased_box(rng)


CROP = Augmentation("crop", ("crop_min_area",), crop)
AFTER_CROP = (
    Augmentation("flip", ("flip",), flip),
    Augmentation("rotate", ("rotation",), rotate),
    Augmentation("colour", ("brightness", "contrast", "saturation", "hue"), jitter),
    Augmentation("affine", ("shear", "zoom"), affine),
    Augmentation("policy", ("policy",), retouch),
    Augmentation("erase", ("erasing",), erase),
)
AUGMENTATIONS = (CROP, *AFTER_CROP)


def draw(recipe: Recipe, rng: random.Random, width: int, height: int) -> Variant:
    """A random variant of a working copy of ``width`` × ``height`` pixels."""
    variant = Variant(width, height)
    for augmentation in AUGMENTATIONS:
        if augmentation.is_on(recipe):
            augmentation.apply(variant, recipe, rng)
    return variant


def only(recipe: Recipe, kept: Augmentation) -> Recipe:
    """``recipe`` with every augmentation off but one: what the Augment tab shows beside all together."""
    for augmentation in AUGMENTATIONS:
        if augmentation is not kept:
            recipe = augmentation.switched_off(recipe)
    return recipe


def photo_rng(seed: int, epoch: int, index: int) -> random.Random:
    """The chance of one photo in one epoch: the same on every machine, thread and resumed run."""
    return random.Random(f"{seed}:{epoch}:{index}")


# The steps of ``jitter``, as torchvision defines them but for the clipping after each


def _brightness(variant: Variant, factor: float) -> None:
    variant.recolour(factor * np.eye(3))


def _contrast(variant: Variant, factor: float) -> None:
    """Away from, or towards, the grey that is as bright as the whole picture."""
    variant.mean = _blend(factor) @ variant.mean
    variant.difference = factor * variant.difference


def _saturation(variant: Variant, factor: float) -> None:
    """Away from, or towards, the grey that is as bright as each pixel."""
    variant.recolour(_blend(factor))


def _hue(variant: Variant, turns: float) -> None:
    turn = np.eye(3)
    turn[1:, 1:] = _turn(-turns)  # the axes of YIQ run against the colour wheel
    variant.recolour(RGB @ turn @ YIQ)


def _blend(factor: float) -> np.ndarray:
    return factor * np.eye(3) + (1 - factor) * GREY


def _turn(turns: float) -> np.ndarray:
    cosine, sine = math.cos(2 * math.pi * turns), math.sin(2 * math.pi * turns)
    return np.array([[cosine, -sine], [sine, cosine]])


def _crop_box(width: int, height: int, min_area: float, rng: random.Random) -> tuple[int, int, int, int]:
    """(left, top, width, height), as torchvision draws it: ten tries, then the largest allowed centre box."""
    low, high = 3 / 4, 4 / 3
    for _ in range(10):
        area = width * height * rng.uniform(min_area, 1)
        ratio = math.exp(rng.uniform(math.log(low), math.log(high)))
        w, h = round(math.sqrt(area * ratio)), round(math.sqrt(area / ratio))
        if 0 < w <= width and 0 < h <= height:
            return rng.randint(0, width - w), rng.randint(0, height - h), w, h
    w, h = min(width, round(height * high)), min(height, round(width / low))
    return (width - w) // 2, (height - h) // 2, w, h


def _erased_box(rng: random.Random) -> tuple[float, float, float, float] | None:
    """(left, top, width, height) in parts of the picture, as torchvision draws it; None after ten that did not fit."""
    for _ in range(10):
        area = rng.uniform(*ERASED_AREA)
        ratio = math.exp(rng.uniform(*map(math.log, ERASED_RATIO)))
        width, height = math.sqrt(area / ratio), math.sqrt(area * ratio)
        if width < 1 and height < 1:
            return rng.uniform(0, 1 - width), rng.uniform(0, 1 - height), width, height
    return None
