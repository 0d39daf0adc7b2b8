"""From an upright photo to the numbers a network sees, when nothing is left to chance."""

import os
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any

from PIL import Image

from flowers.data.decode import decode_image

if TYPE_CHECKING:
    import torch

IMAGENET_MEAN = (0.485, 0.456, 0.406)
IMAGENET_STD = (0.229, 0.224, 0.225)


@dataclass(frozen=True)
class Preprocessing:
    """What validation and every answer do to a photo. It travels in the checkpoint."""

    size: int = 224  # side of the square that the network sees, pixels
    resize: int = 256  # the photo's short side before the centre square is cut out, pixels
    mean: tuple[float, float, float] = IMAGENET_MEAN  # of red, green, blue in 0..1
    std: tuple[float, float, float] = IMAGENET_STD

    def working_copy(self, source: bytes | str | os.PathLike, name: str | None = None) -> Image.Image:
        """A photo, upright RGB, as augmentations are given it: at least twice what the network sees where the photo
        is that large, so that crops stay sharp, and not much more. Raises DecodeError as ``decode_image``.
        """
        side = 2 * self.size
        image = decode_image(source, min_side=side, name=name)
        if min(image.size) > side:
            scale = side / min(image.size)
            image = image.resize((round(image.width * scale), round(image.height * scale)), Image.Resampling.BILINEAR)
        return image

    def frame(self, image: Image.Image) -> Image.Image:
        """The centre square of the resized photo: RGB, ``size`` × ``size``."""
        # The source box of the final square, so that one resampling does both the scaling and the cut.
        side = min(image.size) * self.size / self.resize
        left, top = (image.width - side) / 2, (image.height - side) / 2
        box = (left, top, left + side, top + side)
        return image.resize((self.size, self.size), Image.Resampling.BILINEAR, box=box, reducing_gap=3)

    def normalise(self, pixels: "torch.Tensor") -> "torch.Tensor":
        """uint8 pixels of shape (N, 3, H, W) to float32, each channel about zero mean and unit deviation."""
        import torch

        mean = torch.tensor(self.mean, device=pixels.device).view(1, 3, 1, 1) * 255
        std = torch.tensor(self.std, device=pixels.device).view(1, 3, 1, 1) * 255
        return (pixels.float() - mean) / std

    def to_dict(self) -> dict[str, Any]:
        """The values by name, ready for JSON."""
        return asdict(self)

    @classmethod
    def from_dict(cls, values: dict[str, Any]) -> "Preprocessing":
        """The preprocessing of ``to_dict``'s values, also after a round trip through JSON."""
        return cls(**{**values, "mean": tuple(values["mean"]), "std": tuple(values["std"])})


def to_pixels(image: Image.Image) -> "torch.Tensor":
    """An RGB image as uint8 of shape (3, height, width)."""
    import numpy as np
    import torch

    return torch.from_numpy(np.array(image)).permute(2, 0, 1)
