"""A network for tests of the engine: ResNet18's names and stages, 48,000 weights, pictures of 32 pixels.

It takes ResNet18's place in the registry, so that recipes, checkpoints and commands can name it. It trains in a
hundredth of the time, through the same code: batch norm, dropout, five stages, an average, a last layer.
"""

import dataclasses
from typing import TYPE_CHECKING

from flowers.models.backbones import BACKBONES, Backbone

if TYPE_CHECKING:
    from torch import nn

SIZE, RESIZE = 32, 36  # pixels
WIDTHS = (8, 16, 32, 48, 64)  # channels of the stages


def tiny_resnet18() -> Backbone:
    """What BACKBONES may hold in place of ResNet18."""
    return dataclasses.replace(BACKBONES["resnet18"], size=SIZE, resize=RESIZE, build=build)


def build(classes: int) -> "nn.Module":
    """The network with random weights. Only the first stage halves the picture: 32 pixels are few."""
    from collections import OrderedDict

    from torch import nn

    first, *others = WIDTHS

    def stage(before: int, channels: int, stride: int) -> nn.Module:
        return nn.Sequential(
            OrderedDict(
                conv=nn.Conv2d(before, channels, 3, stride, 1, bias=False),
                bn=nn.BatchNorm2d(channels),
                relu=nn.ReLU(inplace=True),
            )
        )

    parts = OrderedDict(conv1=nn.Conv2d(3, first, 3, 2, 1, bias=False), bn1=nn.BatchNorm2d(first), relu=nn.ReLU())
    for number, (before, channels) in enumerate(zip(WIDTHS, others, strict=False), 1):
        parts[f"layer{number}"] = stage(before, channels, 2 if number % 2 else 1)
    parts |= OrderedDict(avgpool=nn.AdaptiveAvgPool2d(1), flatten=nn.Flatten(), dropout=nn.Dropout(0.1))
    parts["fc"] = nn.Linear(WIDTHS[-1], classes)
    return nn.Sequential(parts)
