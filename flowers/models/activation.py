"""Where in a photo a network finds evidence for a class: class activation maps."""

import math

import torch
from torch import Tensor, nn

TOLERANCE = 1e-4  # of the head's largest input: float32 sums in another order differ by a hundredth of that


class Explainer:
    """A network that tells its reasons. For one thread at a time: hooks look into it while it answers."""

    def __init__(self, model: nn.Module, pool: str, head: str) -> None:
        """``model`` from now on only answers: none of its parameters asks for a gradient any more.

        ``pool`` names the module that averages the last feature map, of shape (N, channels, h, w), ``head`` the last
        linear layer. Where ``pool`` is "", the network must have ``nn.MultiheadAttention`` on a grid of tokens.
        """
        self.model = model.eval().requires_grad_(False)
        self.head: nn.Linear = model.get_submodule(head)
        self.pool = model.get_submodule(pool) if pool else _last_attention(model)

    def __call__(self, photo: Tensor) -> tuple[Tensor, Tensor, bool]:
        """Class scores, float32 (classes,); the evidence for each place by place, float32 (classes, h, w); is it exact?

        ``photo``: float32 (1, 3, size, size), normalised.

        Exact where all that the head sees is the mean of the feature map, which is found out by looking. A class's
        score is then the mean of its map plus the head's bias, and nothing else: the class activation map of Zhou et
        al. 2016 (arXiv 1512.04150).

        Other networks do something between the map and the score that cannot be split into places. Their evidence is
        an estimate, Grad-CAM (Selvaraju et al. 2017, arXiv 1610.02391), of the last feature map or, without one, of
        what the last attention reads. It takes the gradient of the score where the exact map takes the head's weights,
        summed over the places instead of averaged: so both are in the unit of scores, and of a network that has an
        exact map, Grad-CAM is that map.
        """
        seen: dict[str, Tensor] = {}

        def enter_pool(_: nn.Module, inputs: tuple) -> tuple:
            # Gradients are wanted from here on only: the backbone before this, most of the work, builds no graph.
            features = seen["features"] = inputs[0].detach().requires_grad_()
            return tuple(features if value is inputs[0] else value for value in inputs)

        def enter_head(_: nn.Module, inputs: tuple) -> None:
            seen["summary"] = inputs[0].detach()

        hooks = [self.pool.register_forward_pre_hook(enter_pool), self.head.register_forward_pre_hook(enter_head)]
        try:
            with torch.enable_grad():
                [scores] = self.model(photo)
        finally:
            for hook in hooks:
                hook.remove()
        features, summary = seen["features"], seen["summary"]
        if _is_mean(summary, features):
            maps = torch.einsum("kc,chw->khw", self.head.weight, features.detach()[0])
            return scores.detach(), maps, True
        grid = _grid(features.detach())
        maps = [
            (_grid(gradient).sum((1, 2), keepdim=True) * grid).sum(0)
            for score in scores
            for gradient in torch.autograd.grad(score, features, retain_graph=True)
        ]
        return scores.detach(), torch.stack(maps), False


def _is_mean(summary: Tensor, features: Tensor) -> bool:
    """Whether ``summary``, (1, channels), is the mean over all places of ``features``, (1, channels, h, w)."""
    if features.ndim != 4 or summary.shape != features.shape[:2]:
        return False
    difference = (summary - features.detach().mean((2, 3))).abs().max()
    return bool(difference <= TOLERANCE * summary.abs().max())


def _grid(features: Tensor) -> Tensor:
    """(1, channels, h, w), or tokens (1, n, channels) of which the last are a square grid, as (channels, h, w)."""
    if features.ndim == 4:
        return features[0]
    side = math.isqrt(features.shape[1])  # the few tokens before the grid, as of the class, are no places
    return features[0, -side * side :].T.unflatten(1, (side, side))


def _last_attention(model: nn.Module) -> nn.Module:
    return [module for module in model.modules() if isinstance(module, nn.MultiheadAttention)][-1]
