"""The augmentations: one table, from which both training and the Augment tab work.

Each draws its chance from a ``random.Random`` handed to it, not from torch's global generator, so that threads can
augment at once and a photo's variant depends on the seed alone. The draws follow torchvision's own classes
(RandomResizedCrop, RandomHorizontalFlip, RandomRotation, ColorJitter, RandomAffine), the pixels are its functions.
"""

import math
import random
from collections.abc import Callable, Iterator
from dataclasses import dataclass

from PIL import Image
from torchvision.transforms import InterpolationMode
from torchvision.transforms.v2 import functional

from flowers.data.preprocess import Preprocessing
from flowers.recipe import KNOBS, Recipe


@dataclass(frozen=True)
class Augmentation:
    """One random change. ``apply(image, recipe, rng)`` maps an RGB image to one of the same size."""

    name: str
    title: str
    help: str
    knobs: tuple[str, ...]  # the recipe's fields that set its strength
    apply: Callable[[Image.Image, Recipe, random.Random], Image.Image]

    def is_on(self, recipe: Recipe) -> bool:
        """Whether any of its knobs differs from the value at which nothing happens."""
        return any(getattr(recipe, name) != KNOBS[name].off for name in self.knobs)

    def switched_off(self, recipe: Recipe) -> Recipe:
        """``recipe`` without this augmentation."""
        return recipe.replace(**{name: KNOBS[name].off for name in self.knobs})


def crop(image: Image.Image, recipe: Recipe, rng: random.Random) -> Image.Image:
    """A random part of the photo; the part covers ``crop_min_area``..1 of it, 3:4 to 4:3 (Szegedy et al. 2014)."""
    left, top, width, height = _crop_box(image.width, image.height, recipe.crop_min_area, rng)
    return image.crop((left, top, left + width, top + height))


def flip(image: Image.Image, recipe: Recipe, rng: random.Random) -> Image.Image:
    """Mirrored left to right with probability ``flip``."""
    return functional.horizontal_flip(image) if rng.random() < recipe.flip else image


def rotate(image: Image.Image, recipe: Recipe, rng: random.Random) -> Image.Image:
    """Turned by ±``rotation`` degrees about the centre; the corners that come free are black, as in the report."""
    return functional.rotate(image, rng.uniform(-recipe.rotation, recipe.rotation), InterpolationMode.NEAREST)


def jitter(image: Image.Image, recipe: Recipe, rng: random.Random) -> Image.Image:
    """Brightness, contrast, saturation and hue, each by its own random factor, in a random order."""
    changes = [
        (functional.adjust_brightness, 1, recipe.brightness),
        (functional.adjust_contrast, 1, recipe.contrast),
        (functional.adjust_saturation, 1, recipe.saturation),
        (functional.adjust_hue, 0, recipe.hue),
    ]
    rng.shuffle(changes)
    for change, centre, strength in changes:
        factor = rng.uniform(centre - strength, centre + strength)
        if strength:
            image = change(image, factor)
    return image


def affine(image: Image.Image, recipe: Recipe, rng: random.Random) -> Image.Image:
    """Slanted by ±``shear`` degrees and scaled by a factor of 1 ± ``zoom``."""
    scale = rng.uniform(1 - recipe.zoom, 1 + recipe.zoom)
    shear = rng.uniform(-recipe.shear, recipe.shear)
    return functional.affine(
        image, angle=0, translate=[0, 0], scale=scale, shear=[shear, 0], interpolation=InterpolationMode.NEAREST
    )


CROP = Augmentation(
    "crop", "Crop", "A random part of the photo, stretched to fill the frame.", ("crop_min_area",), crop
)
AFTER_CROP = (
    Augmentation("flip", "Mirror", "Left becomes right.", ("flip",), flip),
    Augmentation("rotate", "Rotate", "Turned by a random angle.", ("rotation",), rotate),
    Augmentation(
        "colour",
        "Colour",
        "Darker, paler, warmer: another hour, another camera.",
        ("brightness", "contrast", "saturation", "hue"),
        jitter,
    ),
    Augmentation("affine", "Slant and scale", "Slanted, shrunk or enlarged.", ("shear", "zoom"), affine),
)
AUGMENTATIONS = (CROP, *AFTER_CROP)


def augment(image: Image.Image, recipe: Recipe, preprocessing: Preprocessing, rng: random.Random) -> Image.Image:
    """A random variant of an upright RGB photo: the square of ``preprocessing.size`` that training shows the network.

    Without the crop it is the square that validation sees, with the other augmentations on top.
    """
    if CROP.is_on(recipe):
        square = (preprocessing.size, preprocessing.size)
        image = CROP.apply(image, recipe, rng).resize(square, Image.Resampling.BILINEAR)
    else:
        image = preprocessing.frame(image)
    for augmentation in AFTER_CROP:
        if augmentation.is_on(recipe):
            image = augmentation.apply(image, recipe, rng)
    return image


def only(recipe: Recipe, kept: Augmentation) -> Recipe:
    """``recipe`` with every augmentation off but one: what the Augment tab shows beside all together."""
    for augmentation in AUGMENTATIONS:
        if augmentation is not kept:
            recipe = augmentation.switched_off(recipe)
    return recipe


def photo_rng(seed: int, epoch: int, index: int) -> random.Random:
    """The chance of one photo in one epoch: the same on every machine, thread and resumed run."""
    return random.Random(f"{seed}:{epoch}:{index}")


def variants(
    image: Image.Image, recipe: Recipe, preprocessing: Preprocessing, seed: int, count: int
) -> Iterator[Image.Image]:
    """``count`` random variants of a photo, the same for the same seed."""
    return (augment(image, recipe, preprocessing, photo_rng(seed, 0, index)) for index in range(count))


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
