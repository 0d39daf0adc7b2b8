"""Networks to test with."""

import dataclasses
from collections.abc import Callable

import pytest
import torch
from torch import nn
from torchvision import models
from torchvision.models.convnext import CNBlockConfig

from flowers.models.backbones import BACKBONES, Backbone


def random_norms(model: nn.Module) -> nn.Module:
    """As after training: norms that do something, of which those fresh from torch do nearly nothing."""
    generator = torch.Generator().manual_seed(1)
    for module in model.modules():
        if isinstance(module, nn.BatchNorm2d):
            module.running_mean.normal_(0, 0.1, generator=generator)
            module.running_var.uniform_(0.5, 2, generator=generator)
            nn.init.uniform_(module.weight, 0.5, 1.5, generator=generator)
            nn.init.normal_(module.bias, 0, 0.1, generator=generator)
    return model.eval()


def settled(model: nn.Module, photos: torch.Tensor) -> nn.Module:
    """As after training on ``photos``: its norms know their statistics, and no feature of theirs is far from 1."""
    norms = [module for module in model.eval().modules() if isinstance(module, nn.BatchNorm2d)]
    momenta = [norm.momentum for norm in norms]
    for norm in norms:
        norm.train().momentum = 1.0
    with torch.no_grad():
        model(photos)
    for norm, momentum in zip(norms, momenta, strict=True):
        norm.momentum = momentum
    return model.eval()


def build_trained(name: str) -> nn.Module:
    """A network of torchvision's with random weights, five classes, and norms as after training."""
    torch.manual_seed(0)
    torch.set_num_threads(1)
    return random_norms(models.get_model(name, weights=None, num_classes=5))


def narrow_convnext(classes: int) -> nn.Module:
    """ConvNeXt-Tiny's code and names, with a quarter of its channels and a block where it has three."""
    widths = (24, 48, 96, 192)
    return models.ConvNeXt(
        [CNBlockConfig(*pair, 1) for pair in zip(widths, (*widths[1:], None), strict=True)],
        stochastic_depth_prob=0.1, num_classes=classes,
    )  # fmt: skip


def narrow_swin(classes: int) -> nn.Module:
    """Swin-T's code and names, with a quarter of its channels."""
    return models.SwinTransformer([4, 4], 24, [2, 2, 2, 2], [1, 2, 4, 8], [7, 7], num_classes=classes)


def narrow_vit(classes: int) -> nn.Module:
    """ViT-B/16's code and names, with an eighth of its width."""
    return models.VisionTransformer(224, 16, 12, 4, 96, 192, num_classes=classes)


NARROW: dict[str, Callable[[int], nn.Module]] = {
    "convnext_tiny": narrow_convnext, "swin_t": narrow_swin, "vit_b_16": narrow_vit,
}  # fmt: skip


def narrow(name: str) -> Backbone:
    """A network of the registry that is too large to compute with in passing, narrower; all else is as there."""
    return dataclasses.replace(BACKBONES[name], build=NARROW[name])


# What tests that compute are given: one of each kind, and all others, at their full width, in the thorough part.
SMALL_ENOUGH = ("resnet18", "efficientnet_lite0", "mobilenet_v3_large")
COMPUTED = [
    *(pytest.param(BACKBONES[name], id=name) for name in SMALL_ENOUGH),
    *(pytest.param(narrow(name), id=f"narrow {name}") for name in NARROW),
    *(
        pytest.param(chosen, id=name, marks=pytest.mark.thorough)
        for name, chosen in BACKBONES.items()
        if name not in SMALL_ENOUGH
    ),
]


class Pooled(nn.Module):
    """A tiny network with a last feature map (8 channels, a quarter of the photo's side), pooling and a head."""

    def __init__(self, between: nn.Module | None = None, classes: int = 5) -> None:
        super().__init__()
        self.features = nn.Sequential(nn.Conv2d(3, 8, 3, 2, 1), nn.SiLU(), nn.Conv2d(8, 8, 3, 2, 1), nn.Tanh())
        self.pool, self.between, self.head = nn.AdaptiveAvgPool2d(1), between or nn.Identity(), nn.Linear(8, classes)

    def forward(self, photos: torch.Tensor) -> torch.Tensor:
        return self.head(self.between(self.pool(self.features(photos)).flatten(1)))
