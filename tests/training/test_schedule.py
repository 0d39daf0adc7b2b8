"""What changes on the way through a run: learning rate, picture size, length of the average."""

import math

import pytest
import torch
from hypothesis import assume, given
from hypothesis import strategies as st

from flowers.data.preprocess import Preprocessing
from flowers.recipe import PRESETS, Recipe
from flowers.training.schedule import (
    SIZE_STEP,
    average_decay,
    distances,
    learning_rate,
    momentum,
    picture_size,
    preprocessing_of,
    probe_epochs,
    resizes,
)

EPOCHS = st.integers(1, 60)
PROBES = st.sampled_from(["off", "on"])
RATES = st.floats(1e-6, 1)


def steps_of(recipe: Recipe, steps: int = 7) -> list[float]:
    """``done`` of every step of a run's epochs that learn, of ``steps`` steps each."""
    first = probe_epochs(recipe)
    return [epoch + step / steps for epoch in range(first, recipe.epochs) for step in range(steps)]


# The learning rate


@given(rate=st.floats(1e-7, 10), step=st.integers(1, 60), gamma=st.floats(1e-4, 1), epochs=EPOCHS)
def test_step_is_torchs_steplr(rate, step, gamma, epochs):
    recipe = Recipe(learning_rate=rate, lr_step=step, lr_gamma=gamma)
    optimizer = torch.optim.SGD([torch.zeros(1, requires_grad=True)], lr=rate)
    schedule = torch.optim.lr_scheduler.StepLR(optimizer, step_size=step, gamma=gamma)
    for epoch in range(epochs):
        expected = pytest.approx(schedule.get_last_lr()[0], rel=1e-9, abs=1e-300)
        assert learning_rate(recipe, epoch) == expected
        assert learning_rate(recipe, epoch + 0.99) == expected, "it stays within an epoch"
        optimizer.step()
        schedule.step()


@given(rate=RATES, epochs=st.integers(1, 20), steps=st.integers(1, 9))
def test_cosine_is_torchs_cosine_step_by_step(rate, epochs, steps):
    recipe = Recipe(schedule="cosine", learning_rate=rate, epochs=epochs)
    optimizer = torch.optim.SGD([torch.zeros(1, requires_grad=True)], lr=rate)
    schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, T_max=epochs * steps)
    for done in steps_of(recipe, steps):
        assert learning_rate(recipe, done) == pytest.approx(schedule.get_last_lr()[0], rel=1e-6, abs=1e-6 * rate)
        optimizer.step()
        schedule.step()


@given(rate=RATES, epochs=st.integers(1, 20), steps=st.integers(2, 30), warmup=st.floats(0.1, 0.5), probe=PROBES)
def test_onecycle_is_torchs_to_within_a_step(rate, epochs, steps, warmup, probe):
    """Rate and momentum. Torch ends the rise and the fall one step before the time; ours lie between two of its."""
    total = epochs * steps
    assume(warmup * total > 2)
    recipe = Recipe(
        schedule="onecycle", learning_rate=rate, warmup=warmup, momentum=0.95, probe=probe,
        epochs=epochs + (probe == "on"),
    )  # fmt: skip
    optimizer = torch.optim.SGD([torch.zeros(1, requires_grad=True)], lr=rate, momentum=0.9)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, rate, total, pct_start=warmup)
    theirs = []
    for _ in range(total):
        theirs.append((optimizer.param_groups[0]["lr"], optimizer.param_groups[0]["momentum"]))
        optimizer.step()
        schedule.step()
    for index, done in enumerate(steps_of(recipe, steps)):
        if -1.001 < index - warmup * total < 0.001:  # at the top, between a rise and a fall
            continue
        ours = learning_rate(recipe, done), momentum(recipe, done)
        for mine, before, now in zip(ours, theirs[max(0, index - 1)], theirs[index], strict=True):
            low, high = sorted((before, now))
            assert low * (1 - 1e-6) - 1e-12 <= mine <= high * (1 + 1e-6) + 1e-12, index


def test_onecycle_begins_at_a_25th_peaks_and_ends_at_nothing():
    recipe = Recipe(schedule="onecycle", learning_rate=1, warmup=0.25, momentum=0.95, epochs=8)
    rates = [learning_rate(recipe, done) for done in (0, 1, 2, 5, 8)]
    assert rates == pytest.approx([0.04, 0.52, 1, 0.5, 4e-6], abs=1e-5)
    assert [momentum(recipe, done) for done in (0, 1, 2, 5, 8)] == pytest.approx([0.95, 0.9, 0.85, 0.9, 0.95])
    assert learning_rate(recipe.replace(warmup=0), 0) == 1


@given(st.floats(0, 0.999), st.floats(0, 1), st.sampled_from(["step", "cosine", "onecycle"]))
def test_momentum_stays_in_its_range_and_moves_in_a_cycle_alone(value, part, schedule):
    recipe = Recipe(schedule=schedule, momentum=value, warmup=0.3, epochs=10)
    found = momentum(recipe, 10 * part)
    assert max(0, value - 0.1) - 1e-12 <= found <= value
    assert schedule == "onecycle" or found == value


SCHEDULES = st.sampled_from(["cosine", "step", "onecycle"])


@given(epochs=EPOCHS, warmup=st.floats(0, 0.5), rate=RATES, probe=PROBES, schedule=SCHEDULES)
def test_the_rate_rises_then_never_rises_again_and_never_leaves_its_range(epochs, warmup, rate, probe, schedule):
    recipe = Recipe(epochs=epochs, warmup=warmup, learning_rate=rate, probe=probe, schedule=schedule, lr_step=1000)
    done = steps_of(recipe)
    rates = [learning_rate(recipe, part) for part in done]
    assert all(0 <= one <= rate for one in rates)
    learning = recipe.epochs - probe_epochs(recipe)
    warm = [one for one, part in zip(rates, done, strict=True) if (part - probe_epochs(recipe)) >= warmup * learning]
    assert warm == sorted(warm, reverse=True)
    if schedule == "step" and warm:
        assert warm[-1] == rate


@given(epochs=EPOCHS, warmup=st.floats(0.01, 0.5))
def test_warm_up_is_linear_from_nothing(epochs, warmup):
    recipe = Recipe(epochs=epochs, warmup=warmup, learning_rate=0.1, lr_gamma=1)
    for part in (0, 0.25, 0.5, 1):
        assert learning_rate(recipe, part * warmup * epochs) == pytest.approx(0.1 * part)


@given(epochs=st.integers(2, 60), probe=PROBES)
def test_cosine_begins_at_the_full_rate_and_ends_at_nothing(epochs, probe):
    recipe = Recipe(epochs=epochs, probe=probe, schedule="cosine", learning_rate=0.1)
    assert learning_rate(recipe, epochs) == pytest.approx(0, abs=1e-9)
    assert learning_rate(recipe, probe_epochs(recipe)) == 0.1


def test_probing_takes_the_first_epoch_from_the_others():
    """The rest is as a run of one epoch less."""
    probing = Recipe(epochs=8, probe="on", schedule="cosine", warmup=0.2, lr_step=3)
    shorter = probing.replace(epochs=7, probe="off")
    assert (probe_epochs(probing), probe_epochs(shorter)) == (1, 0)
    for schedule in ("cosine", "step"):
        one, other = (recipe.replace(schedule=schedule) for recipe in (probing, shorter))
        assert [learning_rate(one, done + 1) for done in steps_of(other)] == pytest.approx(
            [learning_rate(other, done) for done in steps_of(other)]
        )
    assert [picture_size(probing.replace(first_size=128), epoch + 1, 224) for epoch in range(7)] == [
        picture_size(shorter.replace(first_size=128), epoch, 224) for epoch in range(7)
    ]


# The size of pictures


@given(
    epochs=st.integers(2, 60),
    first=st.integers(1, 7),
    last=st.integers(0, 10),
    size=st.sampled_from([32, 64, 96, 224, 256, 300]),
    probe=PROBES,
)
def test_pictures_grow_from_the_first_size_to_the_last(epochs, first, last, size, probe):
    first, last = first * SIZE_STEP, last * SIZE_STEP
    recipe = Recipe(epochs=epochs, first_size=first, last_size=last, probe=probe)
    sizes = [picture_size(recipe, epoch, size) for epoch in range(epochs)]
    assert sizes == sorted(sizes)
    assert sizes[-1] == min(last or size, size)
    assert all(one % SIZE_STEP == 0 or one == size for one in sizes)
    if epochs - probe_epochs(recipe) > 1:
        assert sizes[0] == min(first, sizes[-1])


@pytest.mark.parametrize(
    ("recipe", "expected"),
    [
        (Recipe(epochs=3), [224, 224, 224]),
        (Recipe(epochs=3, first_size=224), [224, 224, 224]),
        (Recipe(epochs=3, first_size=1024), [224, 224, 224]),
        (Recipe(epochs=4, first_size=128), [128, 160, 192, 224]),
        (Recipe(epochs=6, first_size=128), [128, 128, 160, 160, 192, 224]),  # never larger than it is time for
        (Recipe(epochs=2, first_size=128), [128, 224]),
        (Recipe(epochs=3, first_size=100), [96, 160, 224]),
        (Recipe(epochs=2, first_size=1), [32, 224]),
        (Recipe(epochs=1, first_size=128), [224]),
        (Recipe(epochs=2, first_size=128, probe="on"), [128, 224]),
        (Recipe(epochs=3, first_size=128, probe="on"), [128, 128, 224]),
        (Recipe(epochs=1, first_size=128, probe="on"), [224]),
        (Recipe(epochs=3, last_size=192), [192, 192, 192]),
        (Recipe(epochs=3, first_size=128, last_size=192), [128, 160, 192]),
        (Recipe(epochs=3, first_size=192, last_size=128), [128, 128, 128]),
        (Recipe(epochs=3, first_size=1, last_size=2), [32, 32, 32]),
    ],
    ids=lambda value: str(value) if isinstance(value, list) else "",
)
def test_some_sizes(recipe, expected):
    assert [picture_size(recipe, epoch, 224) for epoch in range(recipe.epochs)] == expected


@given(first=st.integers(0, 1024), last=st.integers(0, 1024), epoch=st.integers(0, 4))
def test_a_network_of_one_size_keeps_it(first, last, epoch):
    recipe = Recipe(backbone="vit_b_16", epochs=5, first_size=first, last_size=last)
    assert picture_size(recipe, epoch, 224) == 224


@pytest.mark.parametrize("name", PRESETS)
def test_every_preset_ends_near_full_size_and_learns(name):
    recipe = PRESETS[name]
    assert picture_size(recipe, recipe.epochs - 1, 224) >= 192
    assert max(learning_rate(recipe, done) for done in steps_of(recipe)) > 0.5 * recipe.learning_rate


# The average


@given(ema=st.floats(0.001, 0.5), step=st.integers(0, 100_000), steps=st.integers(1, 100_000))
def test_the_average_grows_longer_up_to_what_was_asked(ema, step, steps):
    recipe = Recipe(ema=ema)
    longest = 1 - 1 / max(1, round(ema * steps))
    assert 0 <= average_decay(recipe, step, steps) <= average_decay(recipe, step + 1, steps) <= longest
    assert average_decay(recipe, 10**9, steps) == longest


@given(ema=st.floats(0.05, 0.5), steps=st.integers(200, 5_000), times=st.integers(2, 20))
def test_the_average_reaches_over_the_same_part_of_every_run(ema, steps, times):
    """What is left at the end of the beginning of that part: about 1/e, however many steps a run has."""
    for count in (steps, steps * times):
        decay = average_decay(Recipe(ema=ema), 10**9, count)
        assert decay ** (ema * count) == pytest.approx(math.exp(-1), rel=0.15)


def test_fast_keeps_what_was_measured_with_it():
    """A decay of 0.98 a step, but for the first ones, on the report's photos: in four epochs of 72 steps."""
    for step in range(288):
        assert average_decay(PRESETS["fast"], step, 288) == min(0.98, (1 + step) / (10 + step))


def test_only_mirrored_answers_change_what_a_network_wants():
    assert preprocessing_of(Recipe()) == Preprocessing()
    assert preprocessing_of(Recipe(mirror_answers="on")) == Preprocessing(mirror=True)


def test_few_photos_are_looked_at_from_three_distances_and_many_from_that_of_answers():
    assert [distances(photos) for photos in (2, 50, 51, 75, 76, 100, 50_000)] == [3, 3, 2, 2, 1, 1, 1]
    recipe = Recipe(backbone="efficientnet_lite0")
    assert resizes(recipe, 10) == (256, 224, 346)
    assert resizes(recipe, 1000) == (256,)
