"""The networks that can be trained: name -> how to build it, where its ImageNet weights come from, what it costs."""

import contextlib
import socket
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING

from flowers.errors import FlowersError, UsageError

if TYPE_CHECKING:
    from torch import nn

DOWNLOAD_TIMEOUT = 20  # seconds without an answer before the weights' server counts as out of reach


@dataclass(frozen=True)
class Backbone:
    """A network and the facts people choose it by."""

    name: str
    title: str
    size: int  # side of its input, pixels
    resize: int  # short side of a photo before the centre square is cut out, pixels
    parameters: int  # with five classes
    download: int  # bytes of its ImageNet weights
    build: Callable[[int], "nn.Module"]  # number of classes -> a network with random weights
    build_imagenet: Callable[[int], "nn.Module"]  # the same with ImageNet weights and a new last layer
    head: str  # name of the last linear layer, which maps features to class scores
    pool: str  # name of the module that averages the last feature map, (N, channels, h, w); "" where there is none
    stages: tuple[tuple[str, ...], ...]  # names of the modules before it, from the input on, in steps of depth
    weights_file: str  # name of the weights in torch's hub cache

    def has_local_weights(self) -> bool:
        """Whether the ImageNet weights are on this machine already."""
        import os
        from pathlib import Path

        home = os.environ.get("TORCH_HOME") or Path(os.environ.get("XDG_CACHE_HOME", "~/.cache")) / "torch"
        return (Path(home).expanduser() / "hub" / "checkpoints" / self.weights_file).exists()


def _resnet18(classes: int) -> "nn.Module":
    from torchvision.models import resnet18

    return resnet18(weights=None, num_classes=classes)


def _resnet18_imagenet(classes: int) -> "nn.Module":
    from torch import nn
    from torchvision.models import ResNet18_Weights, resnet18

    model = resnet18()
    # What resnet18(weights="DEFAULT") does, except that nothing in the file is executed: weights_only.
    model.load_state_dict(ResNet18_Weights.DEFAULT.get_state_dict(check_hash=True, weights_only=True))
    model.fc = nn.Linear(model.fc.in_features, classes)
    return model


BACKBONES: dict[str, Backbone] = {
    "resnet18": Backbone(
        name="resnet18",
        title="ResNet18",
        size=224,
        resize=256,
        parameters=11_179_077,
        download=46_830_571,
        build=_resnet18,
        build_imagenet=_resnet18_imagenet,
        head="fc",
        pool="avgpool",
        stages=(("conv1", "bn1"), ("layer1",), ("layer2",), ("layer3",), ("layer4",)),
        weights_file="resnet18-f37072fd.pth",
    )
}


def backbone(name: str) -> Backbone:
    """The backbone of that name. Raises UsageError, listing the names, when there is none."""
    if name not in BACKBONES:
        raise UsageError(f"There is no network called {name!r}: the networks are {', '.join(BACKBONES)}.")
    return BACKBONES[name]


def build_imagenet(name: str, classes: int) -> "nn.Module":
    """The network with ImageNet weights, downloaded on first use, and a new random last layer of ``classes`` outputs.

    Raises FlowersError when the weights can neither be found nor downloaded.
    """
    chosen = backbone(name)
    try:
        with _bounded_waiting():
            return chosen.build_imagenet(classes)
    # urllib raises OSErrors, torch RuntimeError for a wrong hash or a file cut short, its unpickler the rest.
    except Exception as error:
        raise FlowersError(
            f"The ImageNet weights of {chosen.title} could not be had ({_reason(error)}): go online and try again, or "
            "choose other starting weights: init=scratch for random ones, or init=CHECKPOINT, such as "
            "init=flowers-resnet18."
        ) from error


@contextlib.contextmanager
def _bounded_waiting() -> Iterator[None]:
    # torch's downloader sets no timeout: behind a silent firewall it would wait for ever.
    before = socket.getdefaulttimeout()
    socket.setdefaulttimeout(DOWNLOAD_TIMEOUT)
    try:
        yield
    finally:
        socket.setdefaulttimeout(before)


def _reason(error: Exception) -> str:
    import http.client
    import urllib.error

    if isinstance(error, urllib.error.URLError | TimeoutError | ConnectionError | http.client.HTTPException):
        return "their server cannot be reached"
    if isinstance(error, OSError):  # a full disk, a folder that may not be written
        return f"{error.filename or 'the file'} cannot be used: {error.strerror or error}"
    return "the file on this machine is damaged: delete it from torch's cache"
