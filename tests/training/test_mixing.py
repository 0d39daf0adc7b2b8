"""Mixed photos: what torchvision makes of a batch, whoever holds which part of it, and the same again."""

import random

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torchvision.transforms import v2

from flowers.recipe import Recipe
from flowers.training.mixing import Mix, Mixer

SIDE, CLASSES = 12, 5
BATCH = [7, 3, 11, 2, 5]
MIXES = [Recipe(mixup=0.4), Recipe(cutmix=1), Recipe(mixup=0.4, cutmix=1)]
KINDS = ["mixup", "cutmix", "both"]


def batch_of(numbers: list[int]) -> tuple[torch.Tensor, torch.Tensor]:
    """Photos and labels that depend on their numbers alone."""
    photos = [torch.randn(3, SIDE, SIDE, generator=torch.Generator().manual_seed(number)) for number in numbers]
    return torch.stack(photos), torch.tensor([number % CLASSES for number in numbers])


def mixed(recipe: Recipe, share: list[int], batch: list[int], step: int = 0) -> tuple[torch.Tensor, torch.Tensor]:
    """What the process that holds ``share`` of ``batch`` learns from."""
    mixer = Mixer(recipe, CLASSES)
    return mixer.mix(*batch_of(mixer.company(share, batch)), share, batch, 0, step)


def test_a_recipe_that_does_not_mix_leaves_all_as_it_is():
    photos, labels = batch_of(BATCH)
    mixer = Mixer(Recipe(), CLASSES)
    assert mixer.company(BATCH[::2], BATCH) == BATCH[::2]
    same = mixer.mix(photos, labels, BATCH, BATCH, 0, 0)
    assert same[0] is photos
    assert same[1] is labels


@pytest.mark.parametrize("kept", [0.0, 0.3, 0.85, 1.0])
def test_mixup_is_torchvisions(monkeypatch, kept):
    monkeypatch.setattr(Mixer, "_draw", lambda *_: Mix(kept))
    theirs = v2.MixUp(num_classes=CLASSES)
    monkeypatch.setattr(theirs, "make_params", lambda _: {"lam": kept})
    for ours, expected in zip(mixed(MIXES[0], BATCH, BATCH), theirs(*batch_of(BATCH)), strict=True):
        torch.testing.assert_close(ours, expected)


@pytest.mark.parametrize("kept", [0.0, 0.3, 0.85, 1.0])
@pytest.mark.parametrize("centre", [(0.5, 0.5), (0.0, 0.99), (0.9, 0.2)])
def test_cutmix_is_torchvisions(monkeypatch, kept, centre):
    monkeypatch.setattr(Mixer, "_draw", lambda *_: Mix(kept, centre))
    theirs = v2.CutMix(num_classes=CLASSES)
    monkeypatch.setattr(theirs, "_dist", type("Drawn", (), {"sample": lambda *_: torch.tensor([kept])})())
    places = [torch.tensor([int(part * SIDE)]) for part in centre]
    with monkeypatch.context() as patch:
        patch.setattr(torch, "randint", lambda *_, **__: places.pop(0))
        expected = theirs(*batch_of(BATCH))
    for ours, other in zip(mixed(MIXES[1], BATCH, BATCH), expected, strict=True):
        torch.testing.assert_close(ours, other)


@pytest.mark.parametrize("recipe", MIXES, ids=KINDS)
def test_targets_are_parts_that_add_up_to_one_photo(recipe):
    for step in range(20):
        _, targets = mixed(recipe, BATCH, BATCH, step)
        assert targets.min() >= 0
        torch.testing.assert_close(targets.sum(1), torch.ones(len(BATCH)))


@given(
    count=st.integers(2, 40), size=st.integers(1, 8), recipe=st.sampled_from(MIXES), step=st.integers(0, 1000),
    seed=st.integers(0, 10),
)  # fmt: skip
def test_a_team_mixes_what_one_process_would(count, size, recipe, step, seed):
    batch = random.Random(seed).sample(range(1000), count)
    recipe = recipe.replace(seed=seed)
    photos, targets = mixed(recipe, batch, batch, step)
    for rank in range(min(size, count)):
        share = batch[rank::size]
        for ours, expected in zip(mixed(recipe, share, batch, step), (photos, targets), strict=True):
            assert torch.equal(ours, expected[rank::size])


@given(count=st.integers(1, 40), size=st.integers(1, 8))
def test_no_photo_is_made_twice_and_only_a_team_makes_more_than_its_share(count, size):
    batch = list(range(count))
    for rank in range(min(size, count)):
        share = batch[rank::size]
        company = Mixer(MIXES[0], CLASSES).company(share, batch)
        assert company[: len(share)] == share
        assert len(set(company)) == len(company) <= 2 * len(share)
        assert size > 1 or company == batch


def test_chance_is_of_seed_epoch_and_step_alone():
    def draw(seed: int, epoch: int, step: int) -> Mix:
        return Mixer(Recipe(mixup=0.4, cutmix=1, seed=seed), CLASSES)._draw(epoch, step)

    torch.manual_seed(0)
    random.seed(0)
    first = draw(1, 2, 3)
    torch.manual_seed(1)
    random.seed(1)
    assert draw(1, 2, 3) == first
    assert len({draw(*place) for place in ((1, 2, 3), (2, 2, 3), (1, 3, 3), (1, 2, 4))}) == 4


@pytest.mark.parametrize("strength", [0.2, 1.0])
def test_what_is_kept_is_beta_distributed_as_torchs(strength):
    mixer = Mixer(Recipe(mixup=strength), CLASSES)
    ours = [mixer._draw(0, step).kept for step in range(3000)]
    torch.manual_seed(0)
    theirs = torch.distributions.Beta(strength, strength).sample((3000,)).numpy()
    for limit in np.linspace(0.01, 0.99, 21):  # of 3,000 draws the shares below it stray by about 1 %
        assert np.mean(np.array(ours) < limit) == pytest.approx(np.mean(theirs < limit), abs=0.04)


def test_where_both_are_on_each_comes_about_half_the_time():
    mixer = Mixer(Recipe(mixup=0.2, cutmix=1), CLASSES)
    boxes = sum(mixer._draw(0, step).centre is not None for step in range(1000))
    assert 400 < boxes < 600
    for strength in (1e-300, 1e-9):
        faint = Mixer(Recipe(mixup=strength), CLASSES)
        assert all(0 <= faint._draw(0, step).kept <= 1 for step in range(50))
