"""Recipes: every value is checked in one sentence, and a recipe survives JSON and the command line unchanged."""

import json
import math
import shlex

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from flowers import cli
from flowers.errors import UsageError
from flowers.recipe import KNOBS, PRESET_HELP, PRESETS, Knob, Recipe, knob, preset

NUMBERS = [item for item in KNOBS.values() if item.kind is not str]
TEXTS = [item for item in KNOBS.values() if item.kind is str]


def numbers_of(item: Knob) -> st.SearchStrategy:
    if item.kind is int:
        return st.integers(int(item.low), int(item.high))
    return st.floats(item.low, item.high, allow_subnormal=False)


def texts_of(item: Knob) -> st.SearchStrategy:
    if "CHECKPOINT" not in item.choices:
        return st.sampled_from(item.choices)
    # A folder's name may hold nearly anything; one that begins with a dash would have to be written ./-name.
    names = st.text(st.characters(blacklist_categories=["Cs", "Cc"]), min_size=1).map(str.strip)
    return st.sampled_from(["imagenet", "scratch"]) | names.filter(lambda name: name and not name.startswith("-"))


RECIPES = st.builds(
    Recipe, **{item.name: texts_of(item) if item.kind is str else numbers_of(item) for item in KNOBS.values()}
)


def assert_sentence(error: UsageError, name: str) -> None:
    message = str(error)
    assert name in message
    assert message.endswith(".")
    assert len(message.splitlines()) == 1
    assert len(message) < 300


def test_the_report_preset_is_the_report():
    recipe = preset("report")
    assert (recipe.backbone, recipe.init, recipe.epochs, recipe.batch_size) == ("resnet18", "imagenet", 25, 32)
    assert (recipe.learning_rate, recipe.momentum, recipe.weight_decay) == (0.001, 0.9, 0)
    assert (recipe.lr_step, recipe.lr_gamma) == (7, 0.1)
    assert (recipe.crop_min_area, recipe.flip, recipe.rotation) == (0.08, 0.5, 30)
    assert (recipe.brightness, recipe.contrast, recipe.saturation, recipe.hue) == (0.2, 0.2, 0.2, 0.1)
    assert (recipe.shear, recipe.zoom, recipe.val_fraction) == (10, 0.2, 0.2)


def test_the_report_uses_nothing_that_the_report_did_not():
    recipe = preset("report")
    assert (recipe.frozen, recipe.norms, recipe.probe, recipe.schedule, recipe.warmup) == (0, "batch", "off", "step", 0)
    assert (recipe.stage_decay, recipe.label_smoothing, recipe.ema) == (1, 0, 0)
    assert recipe.norm_decay == "off"  # which means nothing without weight decay
    assert (recipe.first_size, recipe.last_size) == (0, 0)
    assert (recipe.optimizer, recipe.patience, recipe.mirror_answers) == ("sgd", 0, "off")
    assert (recipe.policy, recipe.erasing, recipe.mixup, recipe.cutmix) == ("none", 0, 0, 0)


@pytest.mark.parametrize("name", PRESETS)
def test_presets_are_found_by_name_and_explain_themselves(name):
    assert preset(name) is PRESETS[name]
    assert PRESET_HELP[name].endswith(".")
    assert PRESET_HELP.keys() == PRESETS.keys()


def test_an_unknown_preset_is_told_the_known_ones():
    with pytest.raises(UsageError) as caught:
        preset("reprot")
    assert_sentence(caught.value, "report")


@pytest.mark.parametrize("item", KNOBS.values(), ids=KNOBS)
def test_every_knob_explains_itself_and_takes_its_own_default_and_ends(item):
    assert item.title
    assert item.help.endswith(".")
    assert item.parse(item.default) == item.default
    if item.kind is not str:
        assert item.low < item.high
        assert item.parse(item.low) == item.low
        assert item.parse(str(item.high)) == item.high
        assert item.off is None or item.low <= item.off <= item.high
    else:
        assert item.off is None or item.off in item.choices


@settings(max_examples=400)
@given(item=st.sampled_from(NUMBERS), data=st.data())
def test_a_number_outside_its_range_is_refused(item, data):
    too_low = st.floats(max_value=math.nextafter(item.low, -math.inf)) | st.integers(max_value=math.ceil(item.low) - 1)
    too_high = st.floats(min_value=math.nextafter(item.high, math.inf)) | st.integers(math.floor(item.high) + 1)
    value = data.draw(too_low | too_high | st.just(math.nan))
    for written in (value, str(value)):
        with pytest.raises(UsageError) as caught:
            Recipe(**{item.name: written})
        assert_sentence(caught.value, item.name)


@pytest.mark.parametrize("item", NUMBERS, ids=lambda item: item.name)
@pytest.mark.parametrize(
    "value",
    [
        None,
        True,
        False,
        "",
        " ",
        "abc",
        "1,5",
        "nan",
        "inf",
        "-inf",
        "1e999",
        "99999999999\n",
        [],
        {},
        10**400,
        -(10**400),
    ],
    ids=lambda value: repr(value)[:12],
)
def test_what_is_no_number_in_range_is_refused(item, value):
    with pytest.raises(UsageError) as caught:
        Recipe(**{item.name: value})
    assert_sentence(caught.value, item.name)


@pytest.mark.parametrize("item", [item for item in NUMBERS if item.kind is int], ids=lambda item: item.name)
@pytest.mark.parametrize("value", [1.5, "1.5", "2.0001"])
def test_a_count_must_be_whole(item, value):
    with pytest.raises(UsageError, match="whole number"):
        Recipe(**{item.name: value})


@pytest.mark.parametrize("item", TEXTS, ids=lambda item: item.name)
@pytest.mark.parametrize("value", [None, True, 3, math.nan, "", "  ", ["cpu"]], ids=repr)
def test_what_is_no_word_is_refused(item, value):
    with pytest.raises(UsageError) as caught:
        Recipe(**{item.name: value})
    assert_sentence(caught.value, item.name)


@pytest.mark.parametrize("name", [item.name for item in TEXTS if "CHECKPOINT" not in item.choices])
def test_a_word_must_be_one_of_the_choices(name):
    with pytest.raises(UsageError) as caught:
        Recipe(**{name: "x" * 1000})
    assert_sentence(caught.value, name)


@settings(max_examples=400)
@given(item=st.sampled_from(NUMBERS), data=st.data())
def test_a_value_in_range_is_kept_exactly_however_it_arrives(item, data):
    value = data.draw(numbers_of(item))
    for written in (value, str(value), f" {value} "):
        kept = getattr(Recipe(**{item.name: written}), item.name)
        assert kept == value
        assert type(kept) is item.kind


@given(RECIPES)
def test_a_recipe_survives_json(recipe):
    assert Recipe.from_dict(json.loads(recipe.to_json())) == recipe


@given(RECIPES, st.sampled_from(list(PRESETS)))
def test_the_command_line_of_a_recipe_gives_that_recipe(recipe, base):
    options = cli._parser().parse_args(["train", *shlex.split(recipe.command_line(base))])
    assert cli._recipe(options) == recipe


@pytest.mark.parametrize("base", PRESETS)
def test_the_command_line_of_a_preset_names_nothing_else(base):
    assert PRESETS[base].command_line(base) == f"--preset {base}"


def test_from_a_preset_that_there_no_longer_is_the_command_line_starts_from_the_reports():
    assert Recipe(epochs=3).command_line("gone") == "--preset report --epochs 3"


def test_what_a_recipe_file_lacks_takes_its_default():
    assert Recipe.from_dict({"epochs": 3}) == Recipe(epochs=3)


@pytest.mark.parametrize(("name", "meant"), [("lerning_rate", "learning_rate"), ("epoch", "epochs"), ("hu", "hue")])
def test_an_unknown_hyperparameter_is_told_the_one_meant(name, meant):
    with pytest.raises(UsageError, match=f"did you mean {meant}"):
        knob(name)
    with pytest.raises(UsageError, match=f"did you mean {meant}"):
        Recipe().replace(**{name: 1})


def test_an_unlikely_hyperparameter_is_told_all():
    with pytest.raises(UsageError, match="epochs, batch_size"):
        knob("xyzzy")
