"""Two photos in one picture, and a target that names both: mixup (Zhang et al. 2017, arXiv 1710.09412) and cutmix
(Yun et al. 2019, arXiv 1905.04899).

As torchvision's MixUp and CutMix, each photo of a batch is mixed with the one before it. Those two draw from torch's
global generator and see only what one process holds; here chance depends on the seed, the epoch and the step alone, and
partners are those of the whole batch, so that a resumed run and a team of processes mix the same pictures.
"""

import math
import random
from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn import functional

from flowers.recipe import Recipe


@dataclass(frozen=True)
class Mix:
    """How the photos of one batch are mixed."""

    kept: float  # what a photo keeps of itself, 0..1; of a box, before the picture's edge cuts it
    centre: tuple[float, float] | None = None  # of the box that is pasted, x and y in 0..1; None: laid over each other

    def box(self, side: int) -> tuple[int, int, int, int]:
        """Left, top, right and bottom of what is pasted into pictures of ``side`` × ``side`` pixels."""
        half = int(0.5 * math.sqrt(1 - self.kept) * side)
        x, y = (int(part * side) for part in self.centre)
        return max(0, x - half), max(0, y - half), min(side, x + half), min(side, y + half)

    def share(self, side: int) -> float:
        """What a photo keeps of itself in pictures of that size."""
        if not self.centre:
            return self.kept
        left, top, right, bottom = self.box(side)
        return 1 - (right - left) * (bottom - top) / side**2


class Mixer:
    """Mixes the batches of a recipe that asks for it; leaves those of any other as they are."""

    def __init__(self, recipe: Recipe, classes: int) -> None:
        self.recipe, self.classes = recipe, classes
        self.kinds = [name for name in ("mixup", "cutmix") if getattr(recipe, name)]

    def company(self, share: Sequence[int], batch: Sequence[int]) -> list[int]:
        """The photos that a process needs for its ``share`` of a ``batch``: these, then partners not among them.

        Only in a team are there any: each process then makes up to twice as many pictures.
        """
        if not self.kinds:
            return list(share)
        before = _partners(batch)
        return list(dict.fromkeys([*share, *(before[photo] for photo in share)]))

    def mix(
        self, photos: Tensor, labels: Tensor, share: Sequence[int], batch: Sequence[int], epoch: int, step: int
    ) -> tuple[Tensor, Tensor]:
        """The pictures to learn from, and their targets.

        Args:
            photos: of ``company(share, batch)``, normalised float32 (N, 3, side, side).
            labels: theirs, int64 (N,).
            share: this process's part of ``batch``.
            batch: the photos' numbers in the set.
            epoch: 0-based.
            step: of the epoch, 0-based.

        Returns:
            ``photos`` and ``labels`` as they are where the recipe does not mix; else those of the share, and how much
            of each class is in them, float32 (len(share), classes).
        """
        if not self.kinds:
            return photos, labels
        mix, side = self._draw(epoch, step), photos.shape[-1]
        before, rows = _partners(batch), {photo: row for row, photo in enumerate(self.company(share, batch))}
        partners = torch.tensor([rows[before[photo]] for photo in share], device=photos.device)
        own, others = photos[: len(share)], photos[partners]
        if mix.centre:
            left, top, right, bottom = mix.box(side)
            own = own.clone()
            own[..., top:bottom, left:right] = others[..., top:bottom, left:right]
        else:
            own = torch.lerp(others, own, mix.kept)
        named = functional.one_hot(labels, self.classes).float()
        return own, torch.lerp(named[partners], named[: len(share)], mix.share(side))

    def _draw(self, epoch: int, step: int) -> Mix:
        """By lot, where both kinds are on. How much is kept follows Beta(a, a), a being the recipe's field."""
        rng = random.Random(f"{self.recipe.seed}:{epoch}:{step}:mix")
        kind = rng.choice(self.kinds)
        strength = getattr(self.recipe, kind)
        kept = rng.betavariate(strength, strength)
        return Mix(kept, (rng.random(), rng.random()) if kind == "cutmix" else None)


def _partners(batch: Sequence[int]) -> dict[int, int]:
    """Each photo's partner: the one before it, and the last one for the first."""
    return {photo: batch[place - 1] for place, photo in enumerate(batch)}
