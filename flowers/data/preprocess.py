"""From an upright photo to the numbers a network sees, when nothing is left to chance."""

import math
import os
from collections.abc import Callable
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any

from PIL import Image

from flowers.data.decode import decode_image

if TYPE_CHECKING:
    import torch

IMAGENET_MEAN = (0.485, 0.456, 0.406)
IMAGENET_STD = (0.229, 0.224, 0.225)
MAX_SIDE = 4096  # pixels, more than any network takes: a wrong number must not ask for all memory there is


@dataclass(frozen=True)
class Preprocessing:
    """What validation and every answer do to a photo. It travels in the checkpoint."""

    size: int = 224  # side of the square that the network sees, pixels
    resize: int = 256  # the photo's short side before the centre square is cut out, pixels
    mean: tuple[float, float, float] = IMAGENET_MEAN  # of red, green, blue in 0..1
    std: tuple[float, float, float] = IMAGENET_STD
    mirror: bool = False  # whether an answer is the mean of what the network says of the photo and its mirror image

    def working_copy(self, source: bytes | str | os.PathLike, name: str | None = None) -> Image.Image:
        """What is kept of a photo, upright RGB, and all that training, validation and answers see of it.

        Raises DecodeError as ``decode_image``.
        """
        return self.reduce(decode_image(source, min_side=self.resize, name=name))

    def reduce(self, image: Image.Image) -> Image.Image:
        """The working copy of a decoded photo: its short side ``resize`` pixels, or as it is where that is fewer.

        Of a photo more than twice as long as wide only the middle is kept. Every answer looks at the middle square
        alone, a random crop is at most 4:3, and so a panorama costs no more memory than two squares. Reducing a
        working copy changes nothing.
        """
        short = min(image.size)
        width, height = min(image.width, 2 * short), min(image.height, 2 * short)
        left, top = (image.width - width) // 2, (image.height - height) // 2
        box = (left, top, left + width, top + height)
        if short <= self.resize:
            return image if image.size == (width, height) else image.crop(box)
        scale = self.resize / short
        size = (round(width * scale), round(height * scale))
        return image.resize(size, Image.Resampling.BILINEAR, box=box, reducing_gap=3)

    @property
    def largest_copy(self) -> int:
        """Bytes of the largest working copy there is."""
        return 3 * self.resize * 2 * self.resize

    def frame(self, image: Image.Image, size: int | None = None) -> Image.Image:
        """The centre square of a photo's working copy: RGB, ``size`` × ``size`` (default: the network's own).

        At another size it shows the same part of the photo, for training at lower resolution.
        """
        copy, size = self.reduce(image), size or self.size
        # The source box of the final square, so that one resampling does both the scaling and the cut.
        left, top, right, _ = box = self.square(*copy.size)
        if right - left == size:  # as of every photo large enough: it only has to be cut out, as by CenterCrop
            return copy.crop((int(left), int(top), int(left) + size, int(top) + size))
        return copy.resize((size, size), Image.Resampling.BILINEAR, box=box, reducing_gap=3)

    def square(self, width: int, height: int) -> tuple[float, float, float, float]:
        """Where ``frame`` lies in a photo of this many pixels: left, top, right, bottom."""
        side = min(width, height) * self.size / self.resize
        left, top = (width - side) / 2, (height - side) / 2
        return left, top, left + side, top + side

    def normalise(self, pixels: "torch.Tensor") -> "torch.Tensor":
        """uint8 pixels of shape (N, 3, H, W) to float32, each channel about zero mean and unit deviation."""
        import torch

        mean = torch.tensor(self.mean, device=pixels.device).view(1, 3, 1, 1) * 255
        std = torch.tensor(self.std, device=pixels.device).view(1, 3, 1, 1) * 255
        # In place: memory for another result would take the system longer to give than the sum to compute.
        return pixels.to(torch.float32, copy=True).sub_(mean).div_(std)

    def answer(self, network: Callable[["torch.Tensor"], Any], photos: "torch.Tensor") -> Any:
        """What ``network`` gives normalised photos (N, 3, H, W), a tensor or several; with ``mirror`` the mean of that
        and of what it gives their mirror images. For class scores, not for probabilities: so everything that is done
        with a network's scores, and with the features they are a linear function of, can be done with these.
        """
        seen = network(photos)
        if not self.mirror:
            return seen
        mirrored = network(photos.flip(-1))
        if isinstance(seen, tuple):
            return tuple((one + other) / 2 for one, other in zip(seen, mirrored, strict=True))
        return (seen + mirrored) / 2

    def to_dict(self) -> dict[str, Any]:
        """The values by name, ready for JSON."""
        return asdict(self)

    @classmethod
    def from_dict(cls, values: dict[str, Any]) -> "Preprocessing":
        """The preprocessing of ``to_dict``'s values, also after a round trip through JSON.

        Raises KeyError, TypeError or ValueError for anything else.
        """
        made = cls(**{**values, "mean": tuple(values["mean"]), "std": tuple(values["std"])})
        sides = type(made.size) is type(made.resize) is int and 1 <= made.size <= made.resize <= MAX_SIDE
        colours = len(made.mean) == len(made.std) == 3 and all(map(math.isfinite, made.mean + made.std))
        if not (sides and colours and min(made.std) > 0 and type(made.mirror) is bool):
            raise ValueError("no preprocessing")
        return made


def to_pixels(image: Image.Image) -> "torch.Tensor":
    """An RGB image as uint8 of shape (3, height, width)."""
    import numpy as np
    import torch

    return torch.from_numpy(np.array(image)).permute(2, 0, 1)
