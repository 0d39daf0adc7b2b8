"""The augmentations do what torchvision's do, and depend on nothing but their seed."""

import itertools
import random

import numpy as np
import pytest
import torch
from PIL import Image, ImageChops
from torchvision.transforms import InterpolationMode
from torchvision.transforms.v2 import (
    RandAugment,
    RandomErasing,
    RandomResizedCrop,
    TrivialAugmentWide,
    functional,
)

from flowers.data import augment as module
from flowers.data.augment import AFTER_CROP, AUGMENTATIONS, Variant, draw, only, photo_rng
from flowers.data.garden import render_flower
from flowers.data.preprocess import Preprocessing, to_pixels
from flowers.data.render import render, variants
from flowers.recipe import KNOBS, Recipe

SMALL = Preprocessing(size=48, resize=56)
ON = Recipe(policy="trivial", erasing=1)  # the report's augmentations, and those it does without
OFF = Recipe().replace(**{item.name: item.off for item in KNOBS.values() if item.off is not None})
PHOTO = render_flower("tulip", 3, 96).resize((120, 90))
# For comparisons with torchvision: validation sees the whole of it, unscaled.
WHOLE = Preprocessing(size=96, resize=96)
SQUARE = render_flower("tulip", 3, 96)


def of(name: str) -> module.Augmentation:
    return next(augmentation for augmentation in AUGMENTATIONS if augmentation.name == name)


def are_equal(one: Image.Image, other: Image.Image) -> bool:
    return one.size == other.size and ImageChops.difference(one, other).getbbox() is None


def quantiles(values) -> np.ndarray:
    return np.quantile(np.asarray(values, float), np.linspace(0.05, 0.95, 19))


class Drawn:
    """A generator of chance that draws the middle of every range, but for what is given."""

    def __init__(self, *given: float):
        self.given = list(given)

    def uniform(self, low: float, high: float) -> float:
        return self.given.pop(0) if self.given else (low + high) / 2

    def random(self) -> float:
        return self.given.pop(0)

    def shuffle(self, values: list) -> None:
        pass


def changed(image: Image.Image, augmentation: module.Augmentation, *given: float) -> torch.Tensor:
    """The whole square ``image``, float (3, 96, 96), changed by what chance has given."""
    variant = Variant(*image.size)
    augmentation.apply(variant, Recipe(), Drawn(*given))
    return render([np.array(image)], [variant], WHOLE)[0].float()


def muted(image: Image.Image) -> Image.Image:
    """Colours so far from black and white that no change reaches them: torchvision clips after each one."""
    return image.point(lambda value: 70 + value * 0.4)


# Against torchvision


@pytest.mark.parametrize(
    ("width", "height", "min_area"),
    [
        pytest.param(*size, area, marks=[] if quick else pytest.mark.thorough)
        for size, area, quick in [
            ((320, 240), 0.08, True), ((320, 240), 0.9, True), ((500, 100), 0.5, True), ((60, 500), 0.08, True),
            ((8, 8), 0.5, True), ((320, 240), 0.5, False), ((240, 320), 0.08, False), ((240, 320), 0.5, False),
            ((240, 320), 0.9, False), ((500, 100), 0.08, False), ((500, 100), 0.9, False), ((60, 500), 0.5, False),
            ((60, 500), 0.9, False), ((8, 8), 0.08, False), ((8, 8), 0.9, False),
        ]
    ],
)  # fmt: skip
def test_crop_boxes_are_distributed_as_torchvisions(width, height, min_area):
    rng = random.Random(0)
    torch.manual_seed(0)
    transform = RandomResizedCrop(1, scale=(min_area, 1))
    blank = [Image.new("RGB", (width, height))]
    ours = np.array([module._crop_box(width, height, min_area, rng) for _ in range(3000)])
    theirs = [transform.make_params(blank) for _ in range(3000)]
    theirs = np.array([[box[name] for name in ("left", "top", "width", "height")] for box in theirs])
    for column, extent in zip(range(4), (width, height, width, height), strict=True):
        # Of 3,000 draws the quantiles stray by about 1 % of the range.
        assert np.abs(quantiles(ours[:, column]) - quantiles(theirs[:, column])).max() <= 0.05 * extent + 1


def test_a_mirrored_photo_is_exactly_that():
    assert torch.equal(changed(SQUARE, of("flip"), 0.0), to_pixels(functional.horizontal_flip(SQUARE)).float())
    assert torch.equal(changed(SQUARE, of("flip"), 0.9), to_pixels(SQUARE).float())


# torchvision's names for a policy's changes.
THEIRS = {
    "identity": "Identity", "shear_x": "ShearX", "shear_y": "ShearY", "translate_x": "TranslateX",
    "translate_y": "TranslateY", "rotate": "Rotate", "brightness": "Brightness", "saturation": "Color",
    "contrast": "Contrast", "sharpness": "Sharpness", "posterize": "Posterize", "solarize": "Solarize",
    "autocontrast": "AutoContrast", "equalize": "Equalize",
}  # fmt: skip


def strengths(policy: str) -> dict[str, list[float]]:
    """By our names, what torchvision's policy may do to a picture of 224 pixels: its numbers, without their signs."""
    theirs = {"trivial": TrivialAugmentWide(), "rand": RandAugment()}[policy]
    found = {}
    for name, other in THEIRS.items():
        values, _ = theirs._AUGMENTATION_SPACE[other]
        values = values(31, 224, 224)
        values = [0.0] * 31 if values is None else values.tolist()
        found[name] = values if policy == "trivial" else [values[theirs.magnitude]]
    return found


def as_theirs(name: str, strength: float) -> float:
    """One of our strengths in torchvision's numbers."""
    match name:
        case "translate_x" | "translate_y":
            return abs(strength) * 224
        case "posterize":
            return round(8 - strength)
        case "solarize":
            return 1 - strength
    return abs(strength)


@pytest.mark.parametrize("policy", ["trivial", "rand"])
def test_a_policy_draws_what_torchvisions_may_do_as_often_and_as_strongly(policy):
    assert module.CHANGES.keys() == THEIRS.keys() and len(TrivialAugmentWide._AUGMENTATION_SPACE) == len(THEIRS)
    recipe, rng, expected = OFF.replace(policy=policy), random.Random(0), strengths(policy)
    drawn = [draw(recipe, rng, 9, 9).retouches for _ in range(4000)]
    assert {len(one) for one in drawn} == {1 if policy == "trivial" else 2}
    for name in THEIRS:
        found = [strength for one in drawn for other, strength in one if other == name]
        assert len(found) / sum(map(len, drawn)) == pytest.approx(1 / len(THEIRS), rel=0.25)
        ours = sorted({round(as_theirs(name, strength), 3) for strength in found})
        assert ours == pytest.approx(sorted({round(value, 3) for value in expected[name]}), abs=2e-3), name
        if name not in module.UNSIGNED:
            assert 0.4 < sum(strength > 0 for strength in found) / sum(strength != 0 for strength in found) < 0.6


@pytest.mark.parametrize("name", THEIRS)
def test_a_policys_changes_are_torchvisions(name):
    theirs = TrivialAugmentWide(interpolation=InterpolationMode.BILINEAR)
    photo = to_pixels(SQUARE)
    for strength in {0.0, module.CHANGES[name][0] / 3, module.CHANGES[name][0]}:
        for sign in (1,) if name in module.UNSIGNED else (1, -1):
            magnitude = as_theirs(name, strength) * sign
            if name.startswith("translate"):
                magnitude *= 96 / 224  # which we take in parts of the width
            expected = theirs._apply_image_or_video_transform(
                photo, THEIRS[name], magnitude, theirs.interpolation, theirs._fill
            )
            variant = Variant(96, 96, retouches=[(name, strength * sign)])
            (ours,) = render([np.array(SQUARE)], [variant], WHOLE)
            assert torch.equal(ours, expected), (strength, sign)


def test_erased_boxes_are_distributed_as_torchvisions():
    theirs = RandomErasing(p=1)
    blank = [torch.zeros(3, 1000, 1000)]
    torch.manual_seed(0)
    theirs = [theirs.make_params(blank) for _ in range(3000)]
    theirs = np.array([[box[name] for name in "jiwh"] for box in theirs]) / 1000
    rng = random.Random(0)
    ours = np.array([module._erased_box(rng) for _ in range(3000)])
    assert np.abs(quantiles(ours[:, 2] * ours[:, 3]) - np.linspace(0.0355, 0.3145, 19)).max() < 0.02, "its area"
    for column in range(4):
        assert np.abs(quantiles(ours[:, column]) - quantiles(theirs[:, column])).max() <= 0.05


def test_what_is_erased_is_a_box_that_normalisation_makes_nothing_of():
    variant = Variant(96, 96, erased=(0.25, 0.5, 0.5, 0.25))
    (picture,) = render([np.array(SQUARE)], [variant], WHOLE)
    nothing = WHOLE.normalise(picture[None])[0, :, 48:72, 24:72]
    assert nothing.abs().max() < 0.01
    untouched = to_pixels(SQUARE)
    untouched[:, 48:72, 24:72] = picture[:, 48:72, 24:72]
    assert torch.equal(picture, untouched)


def test_the_chance_of_erasing_is_the_one_asked_for():
    rng = random.Random(0)
    erased = sum(draw(OFF.replace(erasing=0.3), rng, 9, 9).erased is not None for _ in range(1000))
    assert 250 < erased < 350


@pytest.mark.parametrize("angle", [17, -30, 5, 90])
def test_rotation_is_torchvisions(angle):
    theirs = functional.rotate(to_pixels(SQUARE), angle, InterpolationMode.BILINEAR).float()
    difference = (changed(SQUARE, of("rotate"), angle) - theirs).abs()
    assert difference[:, 20:-20, 20:-20].max() <= 1
    assert difference.mean() < 2  # at the edge theirs is hard and ours soft


@pytest.mark.parametrize(("scale", "shear"), [(1.2, 0), (1, 10), (0.9, -10), (1.1, 7)])
def test_shear_and_scale_are_torchvisions(scale, shear):
    theirs = functional.affine(to_pixels(SQUARE), 0, [0, 0], scale, [shear, 0], InterpolationMode.BILINEAR).float()
    difference = (changed(SQUARE, of("affine"), scale, shear) - theirs).abs()
    assert difference[:, 24:-24, 24:-24].max() <= 1
    assert difference.mean() < 2.5


def test_bends_follow_one_another_as_torchvisions():
    """In the table's order: mirrored, then turned, then slanted. Any other order gives another picture."""
    variant = Variant(96, 96)
    for name, given in (("flip", (0.0,)), ("rotate", (25,)), ("affine", (0.9, 10))):
        of(name).apply(variant, Recipe(), Drawn(*given))
    ours = render([np.array(SQUARE)], [variant], WHOLE)[0].float()
    theirs = functional.rotate(functional.horizontal_flip(to_pixels(SQUARE)), 25, InterpolationMode.BILINEAR)
    theirs = functional.affine(theirs, 0, [0, 0], 0.9, [10, 0], InterpolationMode.BILINEAR).float()
    assert (ours - theirs).abs()[:, 28:-28, 28:-28].mean() < 2  # theirs is resampled twice, and so softer


@pytest.mark.parametrize(
    ("change", "place"), [("adjust_brightness", 0), ("adjust_contrast", 1), ("adjust_saturation", 2)]
)
@pytest.mark.parametrize("factor", [0.6, 0.75, 1.3])
def test_colours_are_torchvisions(change, place, factor):
    photo = muted(SQUARE)
    given = [1, 1, 1, 0]
    given[place] = factor
    theirs = getattr(functional, change)(to_pixels(photo), factor).float()
    difference = (changed(photo, of("colour"), *given) - theirs).abs()
    assert difference.max() <= 1
    assert (theirs - to_pixels(photo)).abs().max() > 3


def test_colour_changes_follow_one_another_as_torchvisions():
    """Contrast about the mean of the picture as the changes before have left it."""
    photo = muted(SQUARE)
    theirs = functional.adjust_brightness(to_pixels(photo), 0.8)
    theirs = functional.adjust_saturation(functional.adjust_contrast(theirs, 1.3), 0.7).float()
    assert (changed(photo, of("colour"), 0.8, 1.3, 0.7, 0) - theirs).abs().max() <= 3  # theirs is rounded three times


@pytest.mark.parametrize("turns", [0.1, -0.1, 0.03])
def test_hue_turns_the_same_way_by_about_the_same_angle_and_keeps_the_brightness(turns):
    """Torchvision turns the HSV circle, on which yellow is brighter than blue; a turn about grey keeps brightness."""

    def hues(pixels: torch.Tensor) -> np.ndarray:
        flat = Image.fromarray(pixels.to(torch.uint8).permute(1, 2, 0).numpy())
        return np.asarray(flat.convert("HSV"))[:, :, 0].ravel() / 256

    colours = [tuple(round(255 * part) for part in _rgb(step / 12)) for step in range(12)]
    wheel = Image.new("RGB", (96, 96))
    for place, colour in enumerate(colours):
        wheel.paste(colour, (place * 8, 0, place * 8 + 8, 96))
    before, ours = to_pixels(wheel), changed(wheel, of("colour"), 1, 1, 1, turns)
    turned = (hues(ours) - hues(before) + 0.5) % 1 - 0.5
    assert (np.sign(turned) == np.sign(turns)).all()
    assert np.mean(turned) == pytest.approx(turns, rel=0.15)
    assert np.abs(turned).max() < 1.6 * abs(turns)
    luma = torch.tensor(module.LUMA).float()
    torch.testing.assert_close(
        torch.einsum("c,chw->hw", luma, ours), torch.einsum("c,chw->hw", luma, before.float()), atol=1.5, rtol=0
    )


def _rgb(hue: float) -> tuple[float, float, float]:
    import colorsys

    return colorsys.hsv_to_rgb(hue, 0.4, 0.6)


def test_greys_have_no_hue_and_no_saturation_to_change():
    grey = SQUARE.convert("L").convert("RGB")
    assert (changed(grey, of("colour"), 1, 1, 1.8, 0.3) - to_pixels(grey)).abs().max() <= 1


# The table


@pytest.mark.parametrize(("width", "height"), [(8, 400), (400, 8), (31, 17), (8, 8)])
def test_crops_lie_within_the_photo(width, height):
    rng = random.Random(1)
    for _ in range(500):
        left, top, w, h = module._crop_box(width, height, 0.08, rng)
        assert 0 <= left < left + w <= width
        assert 0 <= top < top + h <= height


@pytest.mark.parametrize("augmentation", AUGMENTATIONS, ids=lambda item: item.name)
def test_each_changes_the_photo_and_keeps_to_its_seed(augmentation):
    recipe = only(ON.replace(flip=1), augmentation)
    results = [next(variants(PHOTO, recipe, SMALL, seed, 1)) for seed in (1, 1, 2)]
    assert are_equal(results[0], results[1])
    assert not are_equal(results[0], SMALL.frame(PHOTO))
    if augmentation.name != "flip":
        assert not are_equal(results[0], results[2])


@pytest.mark.parametrize("augmentation", AFTER_CROP, ids=lambda item: item.name)
def test_each_does_nothing_when_off(augmentation):
    assert not augmentation.is_on(OFF)
    assert augmentation.is_on(ON)
    if augmentation.name == "policy":  # which has no strength of its own: what is off is not asked
        return
    for seed in range(5):
        variant = Variant(*PHOTO.size)
        augmentation.apply(variant, OFF, random.Random(seed))
        (picture,) = render([np.array(PHOTO)], [variant], SMALL)
        assert torch.equal(picture, to_pixels(SMALL.frame(PHOTO)))


@pytest.mark.parametrize("kept", AUGMENTATIONS, ids=lambda item: item.name)
def test_only_leaves_exactly_one_on(kept):
    recipe = only(ON, kept)
    assert [item for item in AUGMENTATIONS if item.is_on(recipe)] == [kept]
    for name in kept.knobs:
        assert getattr(recipe, name) == getattr(ON, name)
    assert recipe.epochs == Recipe().epochs


def test_every_strength_belongs_to_exactly_one_augmentation():
    listed = [name for item in AUGMENTATIONS for name in item.knobs]
    assert sorted(listed) == sorted(item.name for item in KNOBS.values() if item.off is not None)


def test_the_draws_are_the_same_on_every_machine():
    """Runs are resumed on other machines: Python's generator, seeded by a string, is the same everywhere."""
    assert [photo_rng(0, 0, 0).randrange(10**6), photo_rng(1, 2, 3).randrange(10**6)] == [268626, 28784]


def test_a_variant_depends_on_seed_epoch_and_photo_alone():
    def bend(*place):
        return draw(Recipe(), photo_rng(*place), 120, 90).bend.tolist()

    torch.manual_seed(0)
    random.seed(0)
    first = bend(7, 3, 5)
    random.seed(1)
    torch.manual_seed(1)
    assert bend(7, 3, 5) == first
    assert len({str(bend(*place)) for place in ((7, 3, 5), (8, 3, 5), (7, 4, 5), (7, 3, 6))}) == 4


def test_policy_and_erasing_leave_what_is_drawn_before_them_as_it_was():
    plain, more = (draw(recipe, photo_rng(0, 1, 2), 120, 90) for recipe in (Recipe(), ON))
    assert (plain.part, plain.bend.tolist(), plain.mean.tolist()) == (more.part, more.bend.tolist(), more.mean.tolist())
    assert more.retouches and more.erased and not plain.retouches and not plain.erased


def test_a_flip_comes_as_often_as_asked():
    for chance in (0.0, 0.3, 1.0):
        recipe = only(Recipe(flip=chance), of("flip"))
        rng = random.Random(0)
        flipped = sum(draw(recipe, rng, 9, 9).bend[0, 0] == -1 for _ in range(400))
        assert abs(flipped / 400 - chance) < 0.08


@pytest.mark.parametrize(
    ("knob", "drawn"),
    [
        ("rotation", lambda variant: np.degrees(np.arctan2(variant.bend[1, 0], variant.bend[0, 0]))),
        ("shear", lambda variant: np.degrees(np.arctan(variant.bend[0, 1]))),
        ("zoom", lambda variant: 1 / variant.bend[1, 1] - 1),
        ("brightness", lambda variant: variant.mean[0, 0] - 1),
        ("contrast", lambda variant: variant.difference[0, 0] - 1),
        ("saturation", lambda variant: variant.mean[0, 0] - variant.mean[1, 0] - 1),
        ("hue", lambda variant: _turned(variant.mean)),
    ],
)
def test_strengths_are_drawn_evenly_up_to_the_knob_either_way(knob, drawn):
    recipe, rng = OFF.replace(**{knob: getattr(Recipe(), knob)}), random.Random(0)
    found = np.array([drawn(draw(recipe, rng, 40, 30)) for _ in range(1000)]) / getattr(recipe, knob)
    assert np.abs(quantiles(found) - np.linspace(-0.9, 0.9, 19)).max() < 0.1
    assert np.abs(found).max() <= 1 + 1e-9


def _turned(colour: np.ndarray) -> float:
    turn = module.YIQ @ colour @ np.linalg.inv(module.YIQ)
    return -np.arctan2(turn[2, 1], turn[1, 1]) / (2 * np.pi)


def test_the_colours_are_changed_in_every_order(monkeypatch):
    order = []
    for name in ("brightness", "contrast", "saturation", "hue"):
        monkeypatch.setattr(module, f"_{name}", lambda variant, factor, name=name: order.append(name))
    rng, orders = random.Random(0), set()
    for _ in range(500):
        order.clear()
        of("colour").apply(Variant(9, 9), Recipe(), rng)
        orders.add(tuple(order))
    assert orders == set(itertools.permutations(("brightness", "contrast", "saturation", "hue")))
