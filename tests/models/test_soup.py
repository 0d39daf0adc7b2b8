"""Averages of networks: the mean of each weight, of those that may be averaged, and of those that help."""

import dataclasses

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from flowers.errors import CheckpointError, FlowersError, UsageError
from flowers.models.checkpoint import Checkpoint
from flowers.models.soup import average, check_alike, greedy

CARD = Checkpoint(
    "resnet18", ("daisy", "rose"), {"size": 64}, {"init": "imagenet", "split_seed": 0, "val_fraction": 0.2},
    photos={"digest": "abc"},
)  # fmt: skip


def weights(value: float, counted: int = 3) -> dict[str, torch.Tensor]:
    return {"fc.weight": torch.full((2, 3), value), "bn1.num_batches_tracked": torch.tensor(counted)}


@given(st.lists(st.floats(-100, 100, width=32), min_size=1, max_size=6))
def test_each_weight_is_the_mean_and_counts_are_the_firsts(values):
    made = average([weights(value, counted=index) for index, value in enumerate(values)])
    torch.testing.assert_close(made["fc.weight"], torch.full((2, 3), sum(values) / len(values)), atol=1e-5, rtol=1e-5)
    assert made["fc.weight"].dtype == torch.float32
    assert made["bn1.num_batches_tracked"] == 0
    assert made["bn1.num_batches_tracked"].dtype == torch.int64


def test_an_average_of_one_is_a_copy():
    part = weights(1.5)
    made = average([part])
    part["fc.weight"].zero_()
    part["bn1.num_batches_tracked"].zero_()
    assert made["fc.weight"].eq(1.5).all()
    assert made["bn1.num_batches_tracked"] == 3


def near(goal: float):
    """A score that is best for weights of just that value."""
    return lambda part: 1 - abs(part["fc.weight"][0, 0].item() - goal)


@pytest.mark.parametrize(
    ("values", "chosen"),
    [
        ([0.0, 2.0], [0, 1]),  # on either side of the goal: the mean hits it
        ([1.1, 5.0, 0.9], [0, 2]),  # the far one would spoil it
        ([1.0, 3.0], [0]),
        ([4.0, 1.2, 0.9], [1, 2]),
        ([1.0, 1.0], [0, 1]),  # what does no harm is taken
    ],
)
def test_only_what_helps_is_taken_the_best_first(values, chosen):
    parts = [weights(value) for value in values]
    found, reached = greedy(parts, near(1))
    assert sorted(found) == sorted(chosen)
    assert reached == pytest.approx(near(1)(average([parts[index] for index in found])))
    assert reached >= max(map(near(1), parts)) - 1e-6


@given(st.lists(st.floats(-5, 5), min_size=2, max_size=6))
def test_it_is_never_worse_than_the_best_alone(values):
    parts = [weights(value) for value in values]
    found, reached = greedy(parts, near(1))
    assert len(set(found)) == len(found) >= 1
    assert reached >= max(map(near(1), parts))


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"backbone": "resnet50"}, "different networks, resnet18 and resnet50"),
        ({"classes": ("rose", "daisy")}, "different classes"),
        ({"preprocessing": {"size": 96}}, "prepared differently"),
        ({"recipe": {**CARD.recipe, "init": "flowers-resnet18"}}, "same trained weights"),
        ({"photos": {"digest": "other"}}, "different photos"),
        ({"recipe": {**CARD.recipe, "split_seed": 1}}, "different photos"),
        ({"recipe": {**CARD.recipe, "val_fraction": 0.3}}, "different photos"),
    ],
    ids=str,
)
def test_what_cannot_be_averaged_is_refused_in_a_sentence(change, said):
    check_alike([CARD, CARD])
    with pytest.raises(CheckpointError) as caught:
        check_alike([CARD, CARD, dataclasses.replace(CARD, **change)])
    assert said in str(caught.value)
    assert str(caught.value).endswith(".")
    assert len(str(caught.value).splitlines()) == 1


def test_networks_that_began_at_random_have_no_mean():
    random = dataclasses.replace(CARD, recipe={**CARD.recipe, "init": "scratch"})
    with pytest.raises(CheckpointError, match=r"noise.*\.$"):
        check_alike([random, random])


@pytest.mark.parametrize("few", [[], [CARD]], ids=len)
def test_fewer_than_two_are_refused_in_a_sentence(few):
    with pytest.raises(UsageError, match=r"two runs or more.*\.$") as caught:
        check_alike(few)
    assert isinstance(caught.value, FlowersError)
