"""The Augment tab shows and hands out what training's own transform makes, and says in a sentence what it cannot do."""

import asyncio
import re
from pathlib import Path

import gradio as gr
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from flowers.data.augment import AUGMENTATIONS
from flowers.data.dataset import Photo, PhotoDataset
from flowers.data.garden import render_flower
from flowers.data.loader import PhotoLoader
from flowers.data.preprocess import Preprocessing, to_pixels
from flowers.errors import DecodeError, FlowersError, UsageError
from flowers.recipe import KNOBS, Knob, Recipe
from flowers.studio import augment
from flowers.studio.augment import FIELDS, augment_file, chosen, pictures_html

ALL_ON = {augmentation.name: True for augmentation in AUGMENTATIONS}
REPORT = {name: KNOBS[name].default for name in FIELDS}
BY_NAME = {augmentation.name: augmentation for augmentation in AUGMENTATIONS}
PAGE_DEFAULTS = [*ALL_ON.values(), *REPORT.values()]


@pytest.fixture(scope="module")
def image():
    return render_flower("sunflower", seed=1, size=640).crop((0, 40, 640, 560))


@pytest.fixture(scope="module")
def photo(image, tmp_path_factory):
    path = tmp_path_factory.mktemp("photos") / "sunflower.png"
    image.save(path)
    return str(path)


def same(first, second):
    return [one.tobytes() for one in first] == [one.tobytes() for one in second]


def sentence(error):
    text = str(error.value)
    assert re.fullmatch(r"\S[^\n]*[^.\n][.?]", text), text
    return text


# From the controls to a recipe


def strengths_of(knob: Knob) -> st.SearchStrategy:
    return st.sampled_from(knob.choices) if knob.kind is str else st.floats(knob.low, knob.high)


@given(st.fixed_dictionaries({name: strengths_of(KNOBS[name]) for name in FIELDS}), st.data())
def test_a_switch_decides_and_a_strength_counts_only_when_it_is_on(strengths, data):
    switches = data.draw(st.fixed_dictionaries({name: st.booleans() for name in ALL_ON}))
    recipe = chosen(switches, strengths)
    for augmentation in AUGMENTATIONS:
        on = switches[augmentation.name]
        for name in augmentation.knobs:
            assert getattr(recipe, name) == (strengths[name] if on else KNOBS[name].off)
    others = set(KNOBS) - set(FIELDS)
    assert all(getattr(recipe, name) == getattr(Recipe(), name) for name in others)


def test_the_controls_start_as_the_report_and_cover_every_augmentation_field():
    assert chosen(ALL_ON, REPORT) == Recipe()
    assert set(FIELDS) == {knob.name for knob in KNOBS.values() if knob.off is not None}


@pytest.mark.parametrize("value", [float("nan"), None, "much", 181, -1])
def test_a_bad_strength_is_refused_in_a_sentence(value):
    with pytest.raises(UsageError) as error:
        chosen(ALL_ON, {**REPORT, "rotation": value})
    assert "rotation" in sentence(error)


# The endpoint


def test_the_variants_are_those_of_training(photo):
    """A set of five times this photo, read by training's loader with this seed, in the first epoch."""
    path = Path(photo)
    photos = tuple(Photo(path.name, 0, "", "") for _ in range(5))
    loader = PhotoLoader(PhotoDataset(path.parent, ("sunflower",), photos), Preprocessing(), workers=1)
    ((pixels, _),) = loader.augmented([range(5)], Recipe(rotation=90, hue=0, seed=3), epoch=0)
    loader.close()
    found = augment_file(photo, {"rotation": 90, "hue": 0}, 5, seed=3)
    shown = torch.stack([to_pixels(picture) for picture in found])
    assert shown.shape == (5, 3, 224, 224)
    difference = (pixels.int() - shown.int()).abs()
    assert difference.max() <= 1 and (difference > 0).float().mean() < 1e-3  # but for rounding


def test_a_seed_gives_the_same_variants_and_another_gives_others(photo):
    first = augment_file(photo, None, 4, 7)
    assert same(first, augment_file(photo, {}, 4, 7))
    assert same(first[:2], augment_file(photo, {}, 2, 7))  # asking for fewer does not change them
    assert not any(same([one], [two]) for one, two in zip(first, augment_file(photo, {}, 4, 8), strict=True))


def test_everything_off_is_the_photo_as_the_network_sees_it(photo, image):
    found = augment_file(photo, {name: KNOBS[name].off for name in FIELDS}, 3)
    assert same(found, [Preprocessing().frame(Preprocessing().reduce(image))] * 3)


def test_eight_variants_unless_told(photo):
    assert len(augment_file(photo)) == 8


@pytest.mark.parametrize("count", [1, 24])
def test_any_count_up_to_24(photo, count):
    assert len(augment_file(photo, {}, count)) == count


@pytest.mark.parametrize("count", [0, 25, -1, 2.5, None, "many", True, float("nan"), 10**9])
def test_any_other_count_is_refused_in_a_sentence(photo, count):
    with pytest.raises(UsageError) as error:
        augment_file(photo, {}, count)
    assert "count" in sentence(error) and "from 1 to 24" in sentence(error)


@pytest.mark.parametrize("seed", [-1, 0.5, None, "lucky", float("inf"), 2**31])
def test_a_bad_seed_is_refused_in_a_sentence(photo, seed):
    with pytest.raises(UsageError) as error:
        augment_file(photo, {}, 1, seed)
    assert "seed" in sentence(error)


@pytest.mark.parametrize(
    ("settings", "said"),
    [
        ({"rotatoin": 10}, "did you mean rotation?"),
        ({"rotation": 999}, "rotation cannot be 999"),
        ({"hue": "red"}, "hue must be a number"),
        ({"policy": "auto"}, "policy cannot be 'auto': give one of none, trivial, rand"),
        ({"epochs": 3}, "epochs does not change the pictures"),
        ({"epochs": 0}, "epochs does not change the pictures"),
        ([1, 2], "`settings` must be an object"),
        ("rotation", "`settings` must be an object"),
    ],
)
def test_bad_settings_are_refused_in_a_sentence(photo, settings, said):
    with pytest.raises(UsageError) as error:
        augment_file(photo, settings)
    assert said in sentence(error)


@pytest.mark.parametrize("missing", [None, ""])
def test_no_photo_is_refused_in_a_sentence(missing):
    with pytest.raises(UsageError) as error:
        augment_file(missing, {})
    assert "No photo" in sentence(error)


def test_what_is_no_photo_is_refused_in_a_sentence(tmp_path):
    path = tmp_path / "notes.jpg"
    path.write_text("not a photo")
    for bad in (path, tmp_path / "gone.jpg"):
        with pytest.raises(DecodeError) as error:
            augment_file(str(bad), {})
        assert bad.name in sentence(error)


def test_a_photo_that_changed_under_its_name_is_read_again(tmp_path):
    path = tmp_path / "photo.png"
    found = []
    for seed in (1, 2):
        render_flower("rose", seed=seed, size=240).save(path)
        found.append(augment_file(str(path), {}, 1))
    assert not same(*found)


# The page


def test_what_the_report_does_without_starts_off_and_does_something_once_it_is_on():
    async def laid_out() -> tuple:  # inside a running loop: outside, Gradio would start one and never close it
        with gr.Blocks():
            return augment._controls()

    switches, strengths = asyncio.run(laid_out())
    off = {name for name, switch in switches.items() if not switch.value}
    assert off == {"policy", "erase"}
    values = {name: control.value for name, control in strengths.items()}
    assert chosen({name: switch.value for name, switch in switches.items()}, values) == Recipe()
    everything = chosen(ALL_ON, values)
    assert all(item.is_on(everything) for item in AUGMENTATIONS)


def test_every_picture_has_its_own_alt_text_and_each_augmentation_its_name(image):
    page = pictures_html(image, Recipe(), 0)
    texts = re.findall(r'alt="([^"]+)"', page)
    assert len(texts) == len(set(texts)) == page.count("<img ") == 8 + 1 + len(AUGMENTATIONS)
    assert all(f"<b>{augmentation.title}</b>" in page for augmentation in AUGMENTATIONS)


def test_what_has_no_effect_is_said(image):
    off = chosen({**ALL_ON, "rotate": False}, {**REPORT, "shear": 0, "zoom": 0})
    page = pictures_html(image, off, 0)
    assert [title for title in BY_NAME if f"<b>{BY_NAME[title].title}</b> no effect" in page] == [
        "rotate", "affine", "policy", "erase"
    ]  # fmt: skip
    assert "<b>Mirror</b> not this time" in pictures_html(image, Recipe(flip=1e-9), 0)
    assert "not this time" not in pictures_html(image, Recipe(flip=1), 0)


def test_the_page_shows_a_problem_as_a_sentence_in_place_of_the_pictures(photo, tmp_path):
    bad = tmp_path / "<b>.jpg"
    bad.write_text("not a photo")
    for path, seed in [(str(bad), 0), (photo, -1), (photo, 2**40)]:
        shown, _ = augment._show(path, seed, *PAGE_DEFAULTS)
        assert 'class="card problem" role="alert"' in shown and "<img" not in shown and "<b>" not in shown
    empty, _ = augment._show(None, 0, *PAGE_DEFAULTS)
    assert augment.EMPTY in empty


def test_use_these_in_training_carries_the_settings_and_opens_train(monkeypatch):
    monkeypatch.setattr(gr, "Info", lambda *args, **kwargs: None)
    off = [name != "colour" for name in ALL_ON]
    *values, tabs = augment._use(*off, *{**REPORT, "rotation": 12}.values())
    carried = dict(zip(FIELDS, values, strict=True))
    assert carried == {**REPORT, "rotation": 12, "brightness": 0, "contrast": 0, "saturation": 0, "hue": 0}
    assert tabs.selected == "train"
    with pytest.raises(FlowersError):
        augment._use(*ALL_ON.values(), *{**REPORT, "hue": float("nan")}.values())
