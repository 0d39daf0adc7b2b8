"""The Augment tab shows and hands out what training's own transform makes, and says in a sentence what it cannot do."""

import asyncio
import re
from pathlib import Path
from types import SimpleNamespace

import gradio as gr
import pytest
import torch
from gradio.context import LocalContext
from hypothesis import given
from hypothesis import strategies as st

from flowers.data.augment import AUGMENTATIONS
from flowers.data.dataset import Photo, PhotoDataset
from flowers.data.garden import render_flower
from flowers.data.loader import PhotoLoader
from flowers.data.preprocess import Preprocessing, to_pixels
from flowers.errors import DecodeError, FlowersError, UsageError
from flowers.recipe import KNOBS, PRESETS, Knob, Recipe
from flowers.studio import augment, examples
from flowers.studio.augment import (
    FIELDS,
    MIXES,
    SINGLE,
    SWITCHES,
    Loaded,
    augment_file,
    chosen,
    mixed,
    pictures_html,
    settings_of,
)
from flowers.studio.language import texts
from flowers.training.mixing import Mixer

ALL_ON = dict.fromkeys(SWITCHES, True)
REPORT = {name: KNOBS[name].default for name in FIELDS}
PAGE_DEFAULTS = settings_of("report")
NAMES = ("daisy", "the <second>")


@pytest.fixture(autouse=True)
def in_an_event():
    """Somebody is being answered, in English."""
    token = LocalContext.request.set(SimpleNamespace(headers={}, cookies={}, session_hash="somebody"))
    yield
    LocalContext.request.reset(token)


@pytest.fixture(scope="module")
def image():
    return render_flower("sunflower", seed=1, size=640).crop((0, 40, 640, 560))


@pytest.fixture(scope="module")
def photo(image, tmp_path_factory):
    path = tmp_path_factory.mktemp("photos") / "sunflower.png"
    image.save(path)
    return str(path)


@pytest.fixture(scope="module")
def loaded(image) -> Loaded:
    preprocessing = Preprocessing()
    return Loaded(preprocessing.reduce(image), image, preprocessing.square(*image.size))


@pytest.fixture(scope="module")
def other() -> Loaded:
    image = render_flower("tulip", seed=1, size=300)
    return Loaded(Preprocessing().reduce(image), image, Preprocessing().square(*image.size))


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
    switches = data.draw(st.fixed_dictionaries({name: st.booleans() for name in SWITCHES}))
    recipe = chosen(switches, strengths)
    for name in MIXES:
        assert getattr(recipe, name) == (strengths[name] if switches[name] else 0)
    for augmentation in AUGMENTATIONS:
        on = switches[augmentation.name]
        for name in augmentation.knobs:
            assert getattr(recipe, name) == (strengths[name] if on else KNOBS[name].off)
    others = set(KNOBS) - set(FIELDS)
    assert all(getattr(recipe, name) == getattr(Recipe(), name) for name in others)


def test_every_knob_of_the_group_augmentation_has_a_control():
    assert set(FIELDS) == {knob.name for knob in KNOBS.values() if knob.group == "Augmentation"}
    controls = dict(zip(FIELDS, laid_out()[1].values(), strict=True))
    for name, control in controls.items():
        assert control.label.startswith(texts("en")[f"knob.{name}.title"])
        assert control.info


@pytest.mark.parametrize("name", PRESETS)
def test_a_preset_sets_every_control_so_that_its_own_augmentations_come_out(name):
    values = settings_of(name)
    recipe = augment._recipe(values)
    assert {field: getattr(recipe, field) for field in FIELDS} == {
        field: getattr(PRESETS[name], field) for field in FIELDS
    }
    assert settings_of(augment._preset_of(recipe)) == values
    strengths = dict(zip(FIELDS, values[len(SWITCHES) :], strict=True))
    everything = chosen(ALL_ON, strengths)  # whatever is switched on then does something
    assert all(item.is_on(everything) for item in AUGMENTATIONS)
    assert all(getattr(everything, mix) > 0 for mix in MIXES)


def test_settings_of_ones_own_are_no_preset():
    assert augment._preset_of(PRESETS["best"].replace(rotation=16)) is None


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
    found = augment_file(photo, {name: KNOBS[name].off for name in SINGLE}, 3)
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
        ({"mixup": 0.2}, "mixup does not change the pictures"),
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


def laid_out() -> tuple[dict, dict]:
    async def page() -> tuple:  # inside a running loop: outside, Gradio would start one and never close it
        with gr.Blocks():
            return augment._controls()

    return asyncio.run(page())


def test_the_controls_start_as_the_report():
    switches, strengths = laid_out()
    assert {name for name, switch in switches.items() if not switch.value} == {"policy", "erase", "mixup", "cutmix"}
    values = {name: control.value for name, control in strengths.items()}
    assert chosen({name: switch.value for name, switch in switches.items()}, values) == Recipe()


def test_every_picture_has_its_own_alt_text_and_each_augmentation_its_name(loaded, other):
    for recipe in (Recipe(), Recipe(mixup=1, cutmix=1)):
        page = pictures_html(loaded, other, NAMES, recipe, 0)
        alts = re.findall(r'alt="([^"]+)"', page)
        assert len(alts) == len(set(alts)) == page.count("<img ") == 2 + 8 + 1 + len(SWITCHES)
        assert all(f"<b>{texts('en')[f'augment.title.{name}']}</b>" in page for name in SWITCHES)


def test_what_has_no_effect_is_said(loaded, other):
    off = chosen({**ALL_ON, "rotate": False, "mixup": False}, {**REPORT, "shear": 0, "zoom": 0, "cutmix": 1.0})
    page = pictures_html(loaded, other, NAMES, off, 0)
    idle = [name for name in SWITCHES if f"<b>{texts('en')[f'augment.title.{name}']}</b> no effect" in page]
    assert idle == ["rotate", "affine", "policy", "erase", "mixup"]
    assert "<b>Mirror</b> not this time" in pictures_html(loaded, other, NAMES, Recipe(flip=1e-9), 0)
    assert "not this time" not in pictures_html(loaded, other, NAMES, Recipe(flip=1), 0)


def test_the_square_that_the_network_sees_is_outlined_in_the_photo_as_taken(loaded):
    left, top, right, bottom = loaded.box
    assert 0 <= left < right <= loaded.taken.width and 0 <= top < bottom <= loaded.taken.height
    shown = loaded.taken.crop(tuple(map(round, loaded.box))).resize((224, 224))
    seen = Preprocessing().frame(loaded.copy)
    difference = (to_pixels(shown).int() - to_pixels(seen).int()).abs().float()
    assert difference.mean() < 8  # the same part, resampled another way


# Mixing


@pytest.mark.parametrize("recipe", [Recipe(mixup=1), Recipe(cutmix=1), Recipe(mixup=0.4, cutmix=0.4)], ids=str)
def test_mixed_pictures_are_those_of_training(recipe, loaded, other):
    """A batch of these two photos, normalised as training does it, at the first steps of a run with this seed."""
    preprocessing = Preprocessing()
    pair = [preprocessing.frame(one.copy) for one in (loaded, other)]
    normal = preprocessing.normalise(torch.stack([to_pixels(one) for one in pair]))
    mean, std = (torch.tensor(values).view(3, 1, 1) for values in (preprocessing.mean, preprocessing.std))
    kept = set()
    for step in range(6):
        mixer = Mixer(recipe.replace(seed=5), 2)
        pictures, targets = mixer.mix(normal, torch.tensor([0, 1]), [0, 1], [0, 1], 0, step)
        found = mixed(*pair, recipe, 5, step)
        expected = ((pictures[0] * std + mean) * 255).clamp(0, 255)
        assert (to_pixels(found.picture).float() - expected).abs().max() < 1
        assert found.kept == pytest.approx(float(targets[0, 0]))
        kept.add(found.kept)
    assert len(kept) == 6 and all(0 <= share <= 1 for share in kept)


def test_a_mixed_picture_says_its_parts_in_words():
    assert augment._in_words(0.62, ("rose", "tulip")) == "62% rose, 38% tulip"
    assert augment._in_words(0.62, ("rose", "rose")) == "100% rose"
    assert augment._in_words(0.005, NAMES) == "0% daisy, 100% the &lt;second&gt;"


def test_all_together_is_mixed_where_training_mixes(loaded, other):
    plain = pictures_html(loaded, other, NAMES, Recipe(), 0)
    page = pictures_html(loaded, other, NAMES, Recipe(mixup=1), 0)
    assert "% daisy, " not in plain
    assert len(re.findall(r"<figcaption>\d+% daisy, \d+% the &lt;second&gt;", page)) == 8


def test_an_example_is_called_by_its_name_and_a_strangers_photo_is_not(photo):
    assert [examples.name_of(path) for path in examples.photos()] == [
        "daisy", "dandelion", "rose", "sunflower", "tulip"
    ]  # fmt: skip
    shown, *_ = augment._show(photo.replace("sunflower", "gone"), None, 0, *PAGE_DEFAULTS)
    assert 'role="alert"' in shown
    values = [True if i == SWITCHES.index("mixup") else value for i, value in enumerate(PAGE_DEFAULTS)]
    shown, *_ = augment._show(examples.photos()[0], examples.photos()[2], 0, *values)
    assert "% daisy, " in shown and "% rose" in shown


def test_the_page_shows_a_problem_as_a_sentence_in_place_of_the_pictures(photo, tmp_path):
    bad = tmp_path / "<b>.jpg"
    bad.write_text("not a photo")
    for path, second, seed in [(str(bad), None, 0), (photo, str(bad), 0), (photo, None, -1), (photo, None, 2**40)]:
        shown, *_ = augment._show(path, second, seed, *PAGE_DEFAULTS)
        assert 'class="card problem" role="alert"' in shown and "<img" not in shown and "<b>" not in shown
    empty, *_ = augment._show(None, None, 0, *PAGE_DEFAULTS)
    assert texts("en")["augment.empty"] in empty


def test_use_these_in_training_carries_the_settings_and_opens_train(monkeypatch):
    monkeypatch.setattr(gr, "Info", lambda *args, **kwargs: None)
    on = [name not in ("colour", "mixup") for name in SWITCHES]
    *values, tabs = augment._use(*on, *{**REPORT, "rotation": 12, "cutmix": 0.5}.values())
    carried = dict(zip(FIELDS, values, strict=True))
    grey = {"brightness": 0, "contrast": 0, "saturation": 0, "hue": 0}
    assert carried == {**REPORT, "rotation": 12, "cutmix": 0.5, **grey}
    assert tabs.selected == "train"
    with pytest.raises(FlowersError):
        augment._use(*ALL_ON.values(), *{**REPORT, "hue": float("nan")}.values())
