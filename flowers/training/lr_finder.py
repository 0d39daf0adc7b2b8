"""The learning-rate finder: a few dozen steps at rates that rise from nothing to far too much, and what became of the
loss (Smith 2015, arXiv 1506.01186).
"""

import contextlib
import itertools
import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
import torch

from flowers.data.dataset import PhotoDataset, Progress
from flowers.errors import FlowersError, UsageError
from flowers.recipe import Recipe
from flowers.training.machine import pick_device
from flowers.training.process import in_team
from flowers.training.schedule import probe_epochs
from flowers.training.team import Team
from flowers.training.train import Clock, prepare

LOWEST, HIGHEST = 1e-7, 10.0  # where nothing moves, and where every network runs off
STEPS = 100  # eight decades in steps of a fifth
RUN_OFF = 4.0  # times the lowest loss: from there on it only grows
MEMORY = 0.9  # of the loss's running mean: over ten steps, four fifths of a decade
SETTLED = 10  # steps after which the mean is no longer that of single batches: earlier ones are not judged by


@dataclass(frozen=True)
class Search:
    """What a search saw, and what it suggests."""

    rates: tuple[float, ...]  # rising, one for each step that was taken
    losses: tuple[float, ...]  # their running mean, from before each step
    ran_off: bool  # whether the loss ran off, which ended the search

    @property
    def valley(self) -> float:
        """The rate in the middle of the longest fall of the loss: a careful choice."""
        first, last = longest_fall(self.losses[SETTLED:])
        return math.sqrt(self.rates[SETTLED + first] * self.rates[SETTLED + last])

    @property
    def steepest(self) -> float:
        """The rate at which the loss falls fastest: a bold choice."""
        slopes = np.gradient(self.losses, np.log(self.rates))
        return self.rates[SETTLED + int(np.argmin(slopes[SETTLED:]))]


def longest_fall(losses: Sequence[float]) -> tuple[int, int]:
    """(first, last) of the longest series of losses, each lower than the one before it in the series.

    Others may lie between them: a loss that falls does so in zigzags.
    """
    length, start = [1] * len(losses), list(range(len(losses)))
    for before, now in itertools.combinations(range(len(losses)), 2):
        if losses[now] < losses[before] and length[before] + 1 > length[now]:
            length[now], start[now] = length[before] + 1, start[before]
    last = max(range(len(losses)), key=lambda index: length[index])
    return start[last], last


def find_learning_rate(
    recipe: Recipe,
    dataset: PhotoDataset,
    *,
    steps: int = STEPS,
    progress: Progress | None = None,
    told: Callable[[Search], None] | None = None,
) -> Search:
    """Let the recipe's network learn from LOWEST to HIGHEST, each step at a rate so many times the one before.

    The search ends where the loss has run off. The network is one of its own, in memory alone: no run's weights are
    read or changed. Where the recipe probes, the last layer is fitted first, for that is the network that then learns.
    ``progress(done, total)`` counts steps; ``told`` gets the search so far after each of them.

    Raises FlowersError as ``train``, and when there were too few steps to tell.
    """
    if in_team():
        raise UsageError("The learning-rate finder works alone: start it without torchrun or accelerate.")
    recipe = recipe.replace(compile="off")  # a minute of compiling for a minute of steps
    training = prepare(recipe, dataset, None, lambda: False, Clock(), Team(pick_device(recipe.device)))
    first = probe_epochs(recipe)
    rates, losses, mean = [], [], 0.0
    with contextlib.closing(training.loader):
        training.loader.prepare(training.split.train)
        if first:
            for _ in training.fit_last_layer():
                pass
        epochs = (training.pictures(training.batches(epoch), epoch) for epoch in itertools.count(first))
        training.learner.begin_epoch()
        for step, (photos, targets, count) in enumerate(itertools.islice(itertools.chain.from_iterable(epochs), steps)):
            rate = LOWEST * (HIGHEST / LOWEST) ** (step / (steps - 1))
            torch.manual_seed(recipe.seed + step)
            loss = training.learner.learn(photos, targets, rate, count)[0] / count
            mean = MEMORY * mean + (1 - MEMORY) * loss
            now = mean / (1 - MEMORY ** (step + 1))
            if progress:
                progress(step + 1, steps)
            if not math.isfinite(loss) or now > RUN_OFF * min(losses[SETTLED:], default=math.inf):
                break
            rates.append(rate)
            losses.append(now)
            if told:
                told(Search(tuple(rates), tuple(losses), ran_off=False))
    if len(rates) <= SETTLED:
        raise FlowersError("The loss ran off at once, and no learning rate can be told: choose other starting weights.")
    return Search(tuple(rates), tuple(losses), ran_off=len(rates) < steps)
