"""The network that nobody has trained yet, run by what is fastest here.

A run by folds looks at each photo with it, and does little else: what answers photos in half the time (inference.py)
halves the run. So the untouched network is kept as a checkpoint of its own, in the cache, and tried once for a machine.
"""

import contextlib
from collections.abc import Callable
from dataclasses import replace

import torch
from torch import Tensor

from flowers.cores import available_threads
from flowers.errors import CheckpointError
from flowers.inference import Seconds, measured, open_network, preparation
from flowers.inference import prepare as try_engines
from flowers.models.backbones import backbone, build_imagenet
from flowers.models.checkpoint import Checkpoint, read_checkpoint, save_checkpoint
from flowers.paths import cache_dir
from flowers.recipe import Recipe
from flowers.training.machine import Machine
from flowers.training.schedule import preprocessing_of

CLASSES = ("one", "another")  # of a last layer that says nothing yet


def prepare(recipe: Recipe) -> None:
    """Find out what runs the untouched network of ``recipe`` fastest here, unless that is known.

    Takes about twenty seconds, politely, and where it fails, nothing is found. Raises FlowersError when the network's
    weights cannot be had, CheckpointError where the cache cannot be written.
    """
    checkpoint = _checkpoint(recipe)
    if not _is_kept(checkpoint):
        torch.manual_seed(0)
        save_checkpoint(checkpoint.folder, build_imagenet(recipe.backbone, len(CLASSES)).state_dict(), checkpoint)
    if not _measured(checkpoint):
        try_engines(checkpoint)


def fastest(recipe: Recipe, machine: Machine) -> Machine:
    """``machine``, told how long the untouched network takes where something else runs it faster than the machine.

    That is sought where a run of ``recipe`` looks with it and leaves the choice to the machine, once it was prepared.
    """
    free = (recipe.precision, recipe.memory_format, recipe.threads) == ("auto", "auto", 0)
    free &= machine.threads == available_threads()  # as many as the engines take
    if not (free and recipe.probe == "folds" and recipe.init == "imagenet" and machine.device == "cpu"):
        return replace(machine, untouched=0.0)
    checkpoint = _checkpoint(recipe)
    seconds = _measured(checkpoint) if _is_kept(checkpoint) else {}
    if not seconds:
        return replace(machine, untouched=0.0)
    best, plain = min(found["many"] for found in seconds.values() if "many" in found), seconds["eager"]["many"]
    if machine.precision == "float32":  # both have taken turns; how long they took then says little of now
        pace = machine.looking * best / plain
    else:
        pace = best * 1e6 / checkpoint.preprocessing["size"] ** 2
    return replace(machine, untouched=pace if best < plain and pace < machine.looking else 0.0)


def eyes(recipe: Recipe) -> Callable[[Tensor], Tensor]:
    """What the untouched network sees, float32 (N, F), of uint8 pixels (N, 3, size, size), by what is fastest.

    Raises CheckpointError when it was never prepared.
    """
    checkpoint = read_checkpoint(_checkpoint(recipe).folder)
    look = open_network(checkpoint, preparation(checkpoint)).many
    return lambda pixels: torch.from_numpy(look(pixels.numpy())[1])


def _is_kept(checkpoint: Checkpoint) -> bool:
    """Whether the cache has it, as it would be written now."""
    with contextlib.suppress(CheckpointError, OSError):
        return preparation(read_checkpoint(checkpoint.folder)) == preparation(checkpoint)
    return False


def _measured(checkpoint: Checkpoint) -> Seconds:
    try:
        return measured(checkpoint)
    except OSError:  # another process has just cleared it away
        return {}


def _checkpoint(recipe: Recipe) -> Checkpoint:
    chosen = backbone(recipe.backbone)
    return Checkpoint(
        backbone=chosen.name,
        classes=CLASSES,
        preprocessing=replace(preprocessing_of(recipe), mirror=False).to_dict(),
        folder=cache_dir() / "untouched" / f"{chosen.name}-{chosen.weights_file}",
    )
