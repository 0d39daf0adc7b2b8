"""Photos -> answers."""

import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from PIL import Image

from flowers.data.preprocess import Preprocessing, to_pixels
from flowers.errors import CheckpointError
from flowers.models.checkpoint import Checkpoint, find_checkpoint, load_model

if TYPE_CHECKING:
    from torch import Tensor, nn


@dataclass(frozen=True)
class Answer:
    """What a checkpoint says of one photo."""

    label: str
    confidence: float  # 0..1, of the label
    confidences: dict[str, float]  # by class name; they sum to 1
    seconds: float  # from the upright photo to the answer

    def ranked(self) -> list[tuple[str, float]]:
        """(class, confidence), the most likely first."""
        return sorted(self.confidences.items(), key=lambda item: -item[1])

    def to_dict(self) -> dict[str, Any]:
        """The values by name, ready for JSON."""
        return asdict(self)


class Classifier:
    """A checkpoint, loaded and ready to answer. May be used from several threads at once."""

    def __init__(self, checkpoint: Checkpoint, model: "nn.Module") -> None:
        self.checkpoint = checkpoint
        try:
            self.preprocessing = Preprocessing.from_dict(checkpoint.preprocessing)
        except (KeyError, TypeError, ValueError) as error:
            raise CheckpointError(
                f"The checkpoint {checkpoint.name} does not say how to prepare photos for it: fetch or train it again."
            ) from error
        self.model = model

    @classmethod
    def load(cls, name: str | Path) -> "Classifier":
        """Load a checkpoint folder, a run's best, or a checkpoint by name. Raises CheckpointError."""
        import torch

        checkpoint = find_checkpoint(name)
        return cls(checkpoint, load_model(checkpoint).to(memory_format=torch.channels_last))

    @property
    def classes(self) -> tuple[str, ...]:
        """The class names, in the order of the network's outputs."""
        return self.checkpoint.classes

    def classify(self, image: Image.Image) -> Answer:
        """The answer to one upright RGB photo of any size."""
        start = time.perf_counter()
        confidences = self.confidences([self.preprocessing.frame(image)])[0].tolist()
        named = dict(zip(self.classes, confidences, strict=True))
        label = max(named, key=named.get)
        return Answer(label, named[label], named, time.perf_counter() - start)

    def confidences(self, frames: "Sequence[Image.Image] | Tensor") -> "Tensor":
        """Class probabilities, float32 (N, classes), of frames: RGB squares of the network's size, or their uint8
        pixels (N, 3, size, size)."""
        import torch

        pixels = frames if isinstance(frames, torch.Tensor) else torch.stack([to_pixels(frame) for frame in frames])
        photos = self.preprocessing.normalise(pixels).contiguous(memory_format=torch.channels_last)
        with torch.inference_mode():
            return self.model(photos).softmax(1)
