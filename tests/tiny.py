"""A network for tests of the engine: ResNet18's names and stages, 48,000 weights, pictures of 32 pixels.

It is for tests of what is done with a network – training, resuming, averaging, asking – not of what the network can do.
It takes ResNet18's place in the registry, so that recipes, checkpoints and commands name it as they name ResNet18; it
trains in a twentieth of the time, through the same code: batch norm, dropout, five stages that can be frozen, an
average over places, a last layer. What rests on ResNet18's own weights, or on what they know, takes ``small_network``.

Tests get it by the fixtures ``tiny_network`` and ``tiny_network_in_children``; starting weights that know the flowers
of ``garden`` by ``taught``, a checkpoint.
"""

import dataclasses
import functools
from collections import OrderedDict
from pathlib import Path
from typing import TYPE_CHECKING

from flowers.models.backbones import BACKBONES, Backbone

if TYPE_CHECKING:
    from torch import Tensor, nn

SIZE = 32  # pixels
MARGIN = 1 / 8  # of the size, that is cut off
WIDTHS = (8, 16, 32, 48, 64)  # channels of the stages
RESNET18 = BACKBONES["resnet18"]


def tiny_resnet18(size: int = SIZE, sums: bool = False) -> Backbone:
    """What BACKBONES may hold in place of ResNet18. It sees pictures of any size; this is the one it asks for."""
    made = functools.partial(build, sums=sums)
    return dataclasses.replace(RESNET18, size=size, resize=round(size * (1 + MARGIN)), build=made)


def build(classes: int, sums: bool = False) -> "nn.Module":
    """The network with random weights. Of 32 pixels a side its last feature map has 4.

    With ``sums`` the stages that keep the map's size add what came in, as ResNet's do. The weights are the same ones.
    """
    from torch import nn

    first, *others = WIDTHS

    class Block(nn.Module):
        def __init__(self, before: int, channels: int, stride: int) -> None:
            super().__init__()
            self.conv1 = nn.Conv2d(before, channels, 3, stride, 1, bias=False)
            self.bn1, self.relu = nn.BatchNorm2d(channels), nn.ReLU(inplace=True)
            self.added = channels - before if sums and stride == 1 else None  # channels, for which zeros come in

        def forward(self, photos: "Tensor") -> "Tensor":
            made = self.bn1(self.conv1(photos))
            if self.added is not None:
                made = made + nn.functional.pad(photos, (0, 0, 0, 0, 0, self.added))
            return self.relu(made)

    parts = OrderedDict(conv1=nn.Conv2d(3, first, 3, 2, 1, bias=False), bn1=nn.BatchNorm2d(first), relu=nn.ReLU())
    for number, (before, channels) in enumerate(zip(WIDTHS, others, strict=False), 1):
        parts[f"layer{number}"] = nn.Sequential(Block(before, channels, 2 if number % 2 else 1))
    parts |= OrderedDict(avgpool=nn.AdaptiveAvgPool2d(1), flatten=nn.Flatten(), dropout=nn.Dropout(0.1))
    parts["fc"] = nn.Linear(WIDTHS[-1], classes)
    return nn.Sequential(parts)


def teach(folder: Path, photos: Path, size: int = 64, steps: int = 40, sums: bool = False) -> None:
    """Write a checkpoint that knows the flowers in ``photos``: in a second it has learned them all by heart."""
    import torch
    from torch.nn import functional

    from flowers.data.dataset import scan
    from flowers.data.loader import PhotoLoader
    from flowers.data.preprocess import Preprocessing
    from flowers.models.checkpoint import Checkpoint, save_checkpoint

    torch.manual_seed(0)
    dataset, preprocessing = scan(photos), Preprocessing(size, round(size * (1 + MARGIN)))
    loader = PhotoLoader(dataset, preprocessing)
    ((pixels, labels),) = loader.clean([range(len(dataset))])
    loader.close()
    inputs, net = preprocessing.normalise(pixels), build(len(dataset.classes), sums)
    optimizer = torch.optim.Adam(net.parameters(), lr=0.01)
    for _ in range(steps):
        optimizer.zero_grad()
        functional.cross_entropy(net(inputs), labels).backward()
        optimizer.step()
    save_checkpoint(folder, net.state_dict(), Checkpoint("resnet18", dataset.classes, preprocessing.to_dict()))
