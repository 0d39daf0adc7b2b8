"""The course every contestant runs on: the same photos, the same network, the same check after each epoch.

``FOLDER/photos`` is laid out by ``race.py`` before the clock starts, as ``train/CLASS/*.jpg`` and ``val/CLASS/*.jpg``:
the layout that the documentation of every peer asks for.
"""

import json
import sys
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from functools import cached_property
from pathlib import Path

import torch
from PIL import Image
from torch import Tensor, nn
from torchvision import transforms

IMAGENET_MEAN, IMAGENET_STD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)


class Course:
    """What one contestant needs to know of the race."""

    def __init__(self, folder: str | Path, epochs: int | None = None) -> None:
        self.folder = Path(folder)
        self.photos = self.folder / "photos"
        self.classes = sorted(path.name for path in (self.photos / "train").iterdir())
        self._epochs = epochs

    @classmethod
    def from_command_line(cls) -> "Course":
        """The course named by ``FOLDER [EPOCHS]``."""
        folder, *epochs = sys.argv[1:]
        return cls(folder, *map(int, epochs))

    def epochs(self, documented: int) -> int:
        """How many epochs to run: those of the documentation, unless the command line says otherwise."""
        epochs = self._epochs or documented
        self._write({"kind": "started", "epochs": epochs})
        return epochs

    def validate(self, model: nn.Module, read: Callable = lambda scores: scores, normalise: bool = True) -> float:
        """The one check: accuracy, 0..1, in float32 on the clean validation photos; ends an epoch for race.py's clock.

        ``read`` takes the class scores (N, classes) out of what the model returns.
        """
        accuracy = self.accuracy(model, read, normalise)
        self._write({"kind": "epoch", "val_accuracy": accuracy})
        return accuracy

    @torch.inference_mode()
    def accuracy(self, model: nn.Module, read: Callable = lambda scores: scores, normalise: bool = True) -> float:
        """What ``validate`` says, without saying it."""
        was_training = model.training
        model.eval()
        pixels, labels = self._validation
        right = 0
        for batch, truth in zip(pixels.split(64), labels.split(64), strict=True):
            photos = batch.float() / 255
            if normalise:
                photos = transforms.functional.normalize(photos, IMAGENET_MEAN, IMAGENET_STD)
            right += (read(model(photos)).argmax(1) == truth).sum().item()
        model.train(was_training)
        return right / len(labels)

    @cached_property
    def _validation(self) -> tuple[Tensor, Tensor]:
        """uint8 (N, 3, 224, 224) and labels (N,). Decoded once and kept: a favour to every peer."""
        frame = transforms.Compose([transforms.Resize(256), transforms.CenterCrop(224), transforms.PILToTensor()])
        paths = sorted((self.photos / "val").glob("*/*"))
        with ThreadPoolExecutor(2) as pool:
            pixels = torch.stack(list(pool.map(lambda path: frame(Image.open(path).convert("RGB")), paths)))
        return pixels, torch.tensor([self.classes.index(path.parent.name) for path in paths])

    def _write(self, event: dict) -> None:
        with open(self.folder / "events.jsonl", "a") as file:
            file.write(json.dumps(event) + "\n")


def weights_file() -> Path:
    """torchvision's ImageNet ResNet18 on this machine."""
    return Path(torch.hub.get_dir()) / "checkpoints" / "resnet18-f37072fd.pth"
