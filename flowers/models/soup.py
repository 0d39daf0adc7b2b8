"""The mean of several trained networks' weights, as one network: model soups (Wortsman et al. 2022, arXiv 2203.05482).

Fine-tuned from the same start, with other seeds or other recipes, networks end up close enough to each other for the
point between them to be as good as any, and often better, at the price of one. Networks that began at random have
nothing to do with each other, and the mean of their weights is noise.
"""

from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING

from flowers.errors import CheckpointError, UsageError
from flowers.models.checkpoint import Checkpoint

if TYPE_CHECKING:
    from torch import Tensor

Weights = Mapping[str, "Tensor"]


def average(parts: Sequence[Weights]) -> dict[str, "Tensor"]:
    """The mean of each weight, and of each statistic of the batch norms: of networks that kept those of their start
    the mean is exact, of others an approximation. What only counts is as the first part has it.
    """
    import torch

    return {
        name: torch.stack([part[name].double() for part in parts]).mean(0).to(first.dtype)
        if first.is_floating_point()
        else first.clone()
        for name, first in parts[0].items()
    }


def greedy(parts: Sequence[Weights], score: Callable[[Weights], float]) -> tuple[list[int], float]:
    """Which of the parts to average, and what that mean scores: those that do not make the mean worse.

    They are tried in the order of their own ``score``, the best first (Wortsman et al.'s recipe 1). Who scores on the
    validation photos has chosen by them, and the result flatters a little.
    """
    own = [score(part) for part in parts]
    order = sorted(range(len(parts)), key=lambda index: -own[index])
    chosen, best = order[:1], own[order[0]]
    for index in order[1:]:
        reached = score(average([parts[i] for i in (*chosen, index)]))
        if reached >= best:
            chosen, best = [*chosen, index], reached
    return chosen, best


def check_alike(checkpoints: Sequence[Checkpoint]) -> None:
    """Raises UsageError for fewer than two checkpoints, CheckpointError for those that cannot be averaged: of other
    networks, classes, preparation of photos or starting weights, or begun at random, or trained on other photos, some
    of which the rest is checked on.
    """
    if len(checkpoints) < 2:
        raise UsageError("An average needs two runs or more: name another one.")
    first = checkpoints[0]
    if judged := [part.name for part in checkpoints if part.folds]:
        raise CheckpointError(
            f"{judged[0]} learned from all of its photos, so that none is left to choose by: take runs that hold some "
            "back."
        )
    for other in checkpoints[1:]:
        names = f"{first.name} and {other.name}"
        if other.backbone != first.backbone:
            raise CheckpointError(
                f"{names} hold different networks, {first.backbone} and {other.backbone}: choose runs of one network."
            )
        if other.classes != first.classes:
            raise CheckpointError(f"{names} tell different classes apart: choose runs on one photo set.")
        starts = {part.recipe.get("init") for part in (first, other)}
        if "scratch" in starts or len(starts) > 1:
            raise CheckpointError(
                f"{names} did not begin with the same trained weights, so that their mean would be noise: choose "
                "runs with the same init, and not init=scratch."
            )
        if _prepared(other) != _prepared(first):
            raise CheckpointError(f"{names} want photos prepared differently: choose runs with the same settings.")
        if _photos(other) != _photos(first):
            raise CheckpointError(
                f"{names} learned from different photos, so that no photo is left that neither has seen: choose runs "
                "on the same photos with the same split_seed and val_fraction."
            )


def _prepared(checkpoint: Checkpoint) -> dict:
    """How it wants photos prepared; cards from before there were mirrored answers say nothing of them."""
    return {"mirror": False, **checkpoint.preprocessing}


def _photos(checkpoint: Checkpoint) -> tuple:
    """What the photos depend on that a checkpoint has learned from."""
    recipe = checkpoint.recipe
    return checkpoint.photos.get("digest"), recipe.get("split_seed"), recipe.get("val_fraction")
