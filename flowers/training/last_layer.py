"""The last layer alone, as good as the photos make it, and an honest account of how good that is.

What the untouched network sees of each photo and of its mirror image is told apart by multinomial logistic regression.
How strongly its weights are held down is found by cross-validation; then it is fitted to all photos. What a photo is
answered by the layer that was fitted to the other folds tells how right, and how sure, the last one is.
"""

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn import functional

from flowers.data.split import held_out

FOLDS = 5
# On the squared weights of features of length 1 on average. The first is taken unless another is clearly better: of
# 0.03 to 1 all do within half a point on 2 to 200 flowers a class.
PENALTIES = (0.1, 1.0, 0.3, 0.03, 0.01)
TELLING = 25  # photos: fewer say nothing about penalties
COMPARED = 2000  # photos, at most, by which the penalties are compared
SHARES = (0.2, 0.4, 0.6, 0.8)  # of what a fold learns from: the learning curve, besides all of it
SCORES_AT_ONCE = 20_000_000  # numbers: 80 MB
WEIGHTS_AT_ONCE = 1_250_000  # numbers: 1 GB, for L-BFGS remembers two hundred times as many
ITERATIONS, GRADIENT = 200, 1e-5  # the steps end at either
TEMPERATURES = tuple(2 ** (step / 4) for step in range(-20, 9))
USUAL, SAID = 0.5, 20  # the temperature that a layer held down by PENALTIES wants as a rule; photos
KEPT = 1000  # photos, at most, whose features a checkpoint keeps: see out_of_fold.py


@dataclass(frozen=True)
class Layer:
    """Weights of a last layer."""

    weight: Tensor  # float32 (classes, F)
    bias: Tensor  # float32 (classes,)

    def cooled(self, temperature: float) -> "Layer":
        """The layer whose scores are divided by ``temperature``."""
        return Layer(self.weight / temperature, self.bias / temperature)

    def state(self) -> dict[str, Tensor]:
        """As ``nn.Linear`` loads it."""
        return {"weight": self.weight, "bias": self.bias}

    def scores(self, views: Tensor) -> Tensor:
        """Class scores, float32 (N, classes), of ``views``, float32 (N, V, F): of each photo the mean."""
        return functional.linear(views.mean(1), self.weight, self.bias)


class Views:
    """What a network sees of labelled photos: ``views`` float32 (N, V, F), ``labels`` int64 (N,).

    ``balanced``: each of the ``classes`` counts the same, however few its photos are. An answer is made of the first
    ``asked`` views; the others are there to learn from.
    """

    def __init__(
        self, views: Tensor, labels: Tensor, classes: int, balanced: bool = True, asked: int | None = None
    ) -> None:
        self.asked, self.labels, self.classes = views[:, :asked], labels, classes
        self.weights = (class_weights(labels, classes) if balanced else torch.ones(classes))[labels]
        # The middle moves the bias alone, the scale makes a penalty mean the same for every network.
        self.middle = views.mean((0, 1))
        rows = (views - self.middle).flatten(0, 1)
        self.scale = float(rows.square().sum(1).mean().sqrt()) or 1.0
        rows /= self.scale
        # With fewer rows than features the solution lies in their span, and is found there in a fraction of the time.
        self.span = torch.linalg.qr(rows.T)[0] if len(rows) < rows.shape[1] else None
        self.rows = (rows if self.span is None else rows @ self.span).view(len(labels), views.shape[1], -1)

    def fit(self, parts: Sequence[Sequence[int]], penalty: float) -> list[Layer]:
        """For each part of the photos the layer with the least summed cross-entropy of their views, and ``penalty`` / 2
        times its squares.
        """
        photos, views, features = self.rows.shape
        most = min(SCORES_AT_ONCE // (photos * views * self.classes), WEIGHTS_AT_ONCE // (features * self.classes))
        at_once = max(1, most)
        batches = (parts[start : start + at_once] for start in range(0, len(parts), at_once))
        return [layer for batch in batches for layer in self._fit(batch, penalty)]

    def _fit(self, parts: Sequence[Sequence[int]], penalty: float) -> Iterator[Layer]:
        """Convex problems that have nothing to do with each other, solved as one by L-BFGS."""
        some = sorted(set().union(*parts))
        masks = torch.stack([torch.isin(torch.tensor(some), torch.tensor(part)) for part in parts], 1)
        shares = masks * self.weights[some][:, None] / masks.sum(0)
        inputs, labels = self.rows[some].flatten(0, 1), self.labels[some]
        views = self.rows.shape[1]
        labels = labels[:, None, None].expand(-1, views, len(parts)).flatten()
        shares = (shares[:, None] / views).expand(-1, views, -1).flatten()
        held = penalty / 2 / (masks.sum(0) * views)
        weight = torch.zeros(len(parts), self.classes, inputs.shape[1], requires_grad=True)
        bias = torch.zeros(len(parts), self.classes, requires_grad=True)
        optimizer = torch.optim.LBFGS(
            [weight, bias], max_iter=ITERATIONS, tolerance_grad=GRADIENT, line_search_fn="strong_wolfe"
        )

        def cost() -> Tensor:
            optimizer.zero_grad()
            scores = functional.linear(inputs, weight.flatten(0, 1), bias.flatten()).view(-1, self.classes)
            losses = functional.cross_entropy(scores, labels, reduction="none")
            loss = (losses * shares).sum() + (held * weight.square().sum((1, 2))).sum()
            loss.backward()
            return loss

        optimizer.step(cost)
        for own, offset in zip(weight.detach(), bias.detach(), strict=True):
            own = (own if self.span is None else own @ self.span.T) / self.scale
            yield Layer(own, offset - own @ self.middle)


def class_weights(labels: Tensor, classes: int) -> Tensor:
    """What makes every class count the same, float32 (classes,): 1 for one of average size."""
    return len(labels) / (classes * torch.bincount(labels, minlength=classes))


@dataclass(frozen=True)
class Folded:
    """A last layer that was fitted to all photos, and what is known of it from layers that were not."""

    layer: Layer
    penalty: float
    temperature: float  # that its scores, and these, have been divided by
    scores: Tensor  # float32 (N, classes): of each photo by a layer that was fitted to the other folds
    curve: tuple[tuple[int, float], ...]  # (photos learned from, accuracy of the others): with a fifth of them, … all


def fit_by_folds(seen: Views, parts: Sequence[Sequence[int]]) -> Folded:
    """The last layer for all that is ``seen``; ``parts`` are the folds: positions, each in one of them."""
    penalty = choose_penalty(seen, parts)
    photos, folds = len(seen.labels), list(held_out(parts))
    shares = [[first_of_each(seen.labels, others, share) for share in SHARES] + [others] for _, others in folds]
    layers = iter(seen.fit([some for fold in shares for some in fold], penalty))
    scores, right = torch.zeros(photos, seen.classes), [0] * (len(SHARES) + 1)
    for part, _ in folds:
        for number in range(len(right)):
            answers = next(layers).scores(seen.asked[part])
            right[number] += int((answers.argmax(1) == seen.labels[part]).sum())
        scores[part] = answers
    learned = [round(sum(map(len, some)) / len(folds)) for some in zip(*shares, strict=True)]
    curve = dict(zip(learned, (good / photos for good in right), strict=True))
    [layer] = seen.fit([range(photos)], penalty)
    temperature = fit_temperature(scores, seen.labels)
    return Folded(layer.cooled(temperature), penalty, temperature, scores / temperature, tuple(curve.items()))


def choose_penalty(seen: Views, parts: Sequence[Sequence[int]]) -> float:
    """The penalty whose answers to the photos of other folds are the likeliest, once their temperature is right.

    The first of PENALTIES unless another is better by more than a standard error, or where there are fewer than TELLING
    photos. Compared by at most COMPARED photos, as many of each fold.
    """
    if len(seen.labels) < TELLING:
        return PENALTIES[0]
    most = -(-COMPARED // len(parts))
    folds = list(held_out([first_of_each(seen.labels, part, min(1.0, most / len(part))) for part in parts]))
    labels = torch.cat([seen.labels[part] for part, _ in folds])

    def losses(penalty: float) -> Tensor:
        layers = seen.fit([others for _, others in folds], penalty)
        scores = torch.cat([layer.scores(seen.asked[part]) for layer, (part, _) in zip(layers, folds, strict=True)])
        return min(_losses(scores, labels), key=lambda loss: float(loss.mean()))

    usual = losses(PENALTIES[0])
    gains = {penalty: usual - losses(penalty) for penalty in PENALTIES[1:]}
    best = max(gains, key=lambda penalty: float(gains[penalty].mean()))
    clearly = gains[best].mean() > gains[best].std() / len(labels) ** 0.5
    return best if clearly else PENALTIES[0]


def fit_temperature(scores: Tensor, labels: Tensor) -> float:
    """The temperature with the least negative log-likelihood for ``scores`` (N, classes) of photos not learned from.

    As if SAID more photos had asked for USUAL, for a few photos say little: on ten draws of two flowers a class that
    brings the expected calibration error from 18 to 11 points, of five from 6.4 to 5.5.
    """
    costs = torch.stack([loss.mean() for loss in _losses(scores, labels)])
    best, count = TEMPERATURES[int(costs.argmin())], len(labels)
    return math.exp((count * math.log(best) + SAID * math.log(USUAL)) / (count + SAID))


def _losses(scores: Tensor, labels: Tensor) -> list[Tensor]:
    """Each photo's, at each of TEMPERATURES."""
    return [functional.cross_entropy(scores / by, labels, reduction="none") for by in TEMPERATURES]


def first_of_each(labels: Tensor, positions: Sequence[int], share: float) -> list[int]:
    """The first ``share`` of every class among these positions, one of each at least, in their order."""
    own: dict[int, list[int]] = {}
    for position in positions:
        own.setdefault(int(labels[position]), []).append(position)
    kept = {position for mine in own.values() for position in mine[: max(1, round(share * len(mine)))]}
    return [position for position in positions if position in kept]
