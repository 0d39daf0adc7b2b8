"""Fit the last layer alone, on what the untouched network sees: seconds of work that many epochs would spend on it.

Linear probing, then fine-tuning: Kumar et al. 2022, arXiv 2202.10054. A last layer that already answers well sends
no noise back through the network when the rest begins to move.
"""

from collections.abc import Callable, Iterable, Iterator

import torch
from torch import Tensor, nn
from torch.nn import functional

from flowers.data.loader import Batch

PENALTY = 0.03  # on the squared weights of standardised features: of 0.001 to 0.1 all do within half a point here
FLOOR = 0.2  # of the median deviation: features that change less are not standardised all the way
ITERATIONS = 100


@torch.inference_mode()
def features(
    look: Callable[[Tensor], object], head: nn.Linear, batches: Iterable[Batch]
) -> Iterator[tuple[Tensor, Tensor]]:
    """What reaches ``head``: float32 (N, head.in_features) and the labels, batch by batch.

    ``look(pixels)`` shows a batch to the network that ``head`` is the last layer of.
    """
    seen: list[Tensor] = []
    handle = head.register_forward_pre_hook(lambda _, inputs: seen.append(inputs[0].float()))
    try:
        for pixels, labels in batches:
            look(pixels)
            yield seen.pop(), labels
    finally:
        handle.remove()


def fit(
    head: nn.Linear, inputs: Tensor, labels: Tensor, smoothing: float, class_weights: Tensor | None = None
) -> tuple[float, float]:
    """Set ``head`` to the best for these features (N, head.in_features), float32; the loss and accuracy it reaches.

    ``class_weights``, float32 (classes,), are of each class's loss.

    Multinomial logistic regression by L-BFGS: a convex problem with one solution, whatever was there before.
    """
    mean, deviation = inputs.mean(0), inputs.std(0, correction=0)
    # A feature that is nearly constant on a few photos is no good guide, and its weight would grow without bounds.
    alive = deviation[deviation > 0]
    deviation = deviation.clamp(min=FLOOR * alive.median().item() if len(alive) else 1e-6)
    standard = (inputs - mean) / deviation
    weight = torch.zeros(head.out_features, head.in_features, device=inputs.device, requires_grad=True)
    bias = torch.zeros(head.out_features, device=inputs.device, requires_grad=True)
    optimizer = torch.optim.LBFGS([weight, bias], max_iter=ITERATIONS, line_search_fn="strong_wolfe")

    def cost() -> Tensor:
        optimizer.zero_grad()
        scores = functional.linear(standard, weight, bias)
        loss = functional.cross_entropy(scores, labels, class_weights, label_smoothing=smoothing)
        loss = loss + PENALTY / 2 * weight.square().sum()
        loss.backward()
        return loss

    optimizer.step(cost)
    with torch.no_grad():
        # The same function of the features as they come.
        head.weight.copy_(weight / deviation)
        head.bias.copy_(bias - (weight * mean / deviation).sum(1))
        scores = functional.linear(inputs, head.weight, head.bias)
        loss = functional.cross_entropy(scores, labels, class_weights, label_smoothing=smoothing).item()
        return loss, (scores.argmax(1) == labels).float().mean().item()
