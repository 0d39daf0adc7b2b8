"""From variants to pixels: whole batches as tensors, the same code on a CPU and on a GPU."""

import math
from collections.abc import Iterator, Sequence

import numpy as np
import torch
from PIL import Image
from torch.nn import functional

from flowers.data.augment import Variant, draw, photo_rng
from flowers.data.preprocess import Preprocessing
from flowers.recipe import Recipe

CPU = torch.device("cpu")
SLICE = 4  # photos rendered at a time on a CPU: they stay in a core's cache, which 32 do not, and take half the time
# Source pixels for each pixel shown, up to which bilinear sampling hardly aliases. Beyond it the part is first shrunk
# to just this: 1.1 to 1.5 grey levels (rms) from 16-fold oversampling, nearer than 4-fold comes at several times the
# price.
MAX_SHRINK = 1.25


def render(
    copies: Sequence[np.ndarray],
    variants: Sequence[Variant],
    preprocessing: Preprocessing,
    size: int | None = None,
    device: torch.device = CPU,
) -> torch.Tensor:
    """The pictures of some variants, uint8 (N, 3, size, size) on ``device``.

    Args:
        copies: working copies, uint8 (height, width, 3).
        variants: one for each copy.
        preprocessing: what validation does to a photo, for variants without a part of their own.
        size: side of the pictures; default that of ``preprocessing``.
        device: where to do the work. A GPU is sent the parts as they are, uint8 from pinned memory.

    A picture is the same in whatever company it is rendered, and on whatever device, to within one grey level (at one
    pixel in 20,000, for rounding; a policy's changes may make more of that one).
    """
    size = size or preprocessing.size
    parts = [_part(copy, variant, preprocessing, size) for copy, variant in zip(copies, variants, strict=True)]
    canvas = _canvas(parts, pinned=device.type == "cuda")
    bends, means, differences = (
        torch.from_numpy(np.stack(matrices).astype(np.float32)).to(device, non_blocking=True)
        for matrices in (
            [_on_canvas(part, variant, canvas) for part, variant in zip(parts, variants, strict=True)],
            [variant.mean for variant in variants],
            [variant.difference for variant in variants],
        )
    )
    pictures = _colour(_sample(canvas.to(device, non_blocking=True), bends, size), means, differences)
    for picture, variant in zip(pictures, variants, strict=True):
        _retouch(picture, variant, preprocessing)
    return pictures


def variants(
    copy: Image.Image, recipe: Recipe, preprocessing: Preprocessing, seed: int, count: int
) -> Iterator[Image.Image]:
    """``count`` random variants of a working copy as training shows them, the same for the same seed."""
    pixels = np.array(copy)
    for index in range(count):
        variant = draw(recipe, photo_rng(seed, 0, index), copy.width, copy.height)
        (picture,) = render([pixels], [variant], preprocessing)
        yield Image.fromarray(picture.permute(1, 2, 0).numpy())


def _part(copy: np.ndarray, variant: Variant, preprocessing: Preprocessing, size: int) -> np.ndarray:
    """The pixels that a variant draws on, uint8 (height, width, 3), no finer than it can show."""
    if variant.part is None:
        part = np.array(preprocessing.frame(Image.fromarray(copy), size))
    else:
        left, top, width, height = variant.part
        part = copy[top : top + height, left : left + width]
    height, width, _ = part.shape
    # How many of the part's pixels, across and down, one step in the picture passes over.
    across, down = np.hypot(*variant.bend.T) * (width, height) / size
    smaller = tuple(max(1, round(n / max(1, step / MAX_SHRINK))) for n, step in ((height, down), (width, across)))
    if smaller == (height, width):
        return part
    planes = torch.from_numpy(part).permute(2, 0, 1)[None]
    shrunk = functional.interpolate(planes, smaller, mode="bilinear", antialias=True)
    return shrunk[0].permute(1, 2, 0).numpy()


def _canvas(parts: Sequence[np.ndarray], pinned: bool) -> torch.Tensor:
    """The parts as one tensor, uint8 (N, H, W, 3): each at the top left, with a rim that repeats its outermost pixels,
    and black beyond. So a part's edge does not darken, and what is asked for outside it is black.
    """
    height, width = (max(part.shape[axis] for part in parts) + 2 for axis in (0, 1))
    canvas = torch.zeros(len(parts), height, width, 3, dtype=torch.uint8, pin_memory=pinned)
    for page, part in zip(canvas.numpy(), parts, strict=True):
        framed = page[: part.shape[0] + 2, : part.shape[1] + 2]
        framed[1:-1, 1:-1] = part
        framed[0], framed[-1] = framed[1], framed[-2]
        framed[:, 0], framed[:, -1] = framed[:, 1], framed[:, -2]
    return canvas


def _on_canvas(part: np.ndarray, variant: Variant, canvas: torch.Tensor) -> np.ndarray:
    """(2, 3): for a point of the picture, where on the canvas its colour comes from; x and y from -1 to 1 in both."""
    size = np.array([part.shape[1::-1]]).T  # width, height
    whole = np.array([canvas.shape[2:0:-1]]).T
    return np.hstack([variant.bend * size / whole, (size + 2) / whole - 1])


def _sample(canvas: torch.Tensor, bends: torch.Tensor, size: int) -> torch.Tensor:
    """The pictures, float32 (N, 3, size, size), that ``bends`` (N, 2, 3) take from ``canvas`` (N, H, W, 3)."""
    step = (torch.arange(size, device=canvas.device) * 2 + 1) / size - 1
    # What affine_grid gives, in a quarter of its time; and no matrix product, which a GPU may round to ten bits.
    x, y = (bends[:, :, i, None] * step for i in (0, 1))
    grid = x[:, :, None, :] + (y + bends[:, :, 2:])[:, :, :, None]
    # Pixels stay as they lie, three colours side by side: moving them into planes would take as long as the sampling.
    planes = canvas.permute(0, 3, 1, 2).float()
    return functional.grid_sample(planes, grid.permute(0, 2, 3, 1), padding_mode="zeros", align_corners=False)


def _colour(pictures: torch.Tensor, means: torch.Tensor, differences: torch.Tensor) -> torch.Tensor:
    """``pictures`` as uint8, their colours changed by the matrices (N, 3, 3) of ``Variant``."""
    pixels = pictures.flatten(2)
    # differences @ (pixels - mean) + means @ mean, in one pass; the half makes a rounding of the cut at the end.
    offset = torch.bmm(means - differences, pixels.mean(2, keepdim=True)) + 0.5
    return torch.baddbmm(offset, differences, pixels).clamp_(0, 255).to(torch.uint8).view_as(pictures)


def _retouch(picture: torch.Tensor, variant: Variant, preprocessing: Preprocessing) -> None:
    """Do to ``picture``, uint8 (3, size, size), in place, what fits no matrix: a policy's changes, then the erasing."""
    for name, strength in variant.retouches:
        picture.copy_(_changed(picture, name, strength))
    if variant.erased:
        size = picture.shape[-1]
        left, top, width, height = (round(part * size) for part in variant.erased)
        # The mean colour, of which normalisation makes nothing.
        grey = torch.tensor(preprocessing.mean, device=picture.device)[:, None, None] * 255
        picture[:, top : top + height, left : left + width] = grey.round()


def _changed(picture: torch.Tensor, name: str, strength: float) -> torch.Tensor:
    """One of CHANGES, as torchvision makes it; what comes free is black."""
    from torchvision.transforms import InterpolationMode
    from torchvision.transforms.v2 import functional as change

    size = picture.shape[-1]
    smooth = InterpolationMode.BILINEAR
    match name:
        case "shear_x" | "shear_y":
            angle = math.degrees(math.atan(strength))
            slant = [angle, 0.0] if name == "shear_x" else [0.0, angle]
            # About the top left corner, as the policies were made.
            return change.affine(picture, 0.0, [0, 0], 1.0, slant, smooth, center=[0, 0])
        case "translate_x" | "translate_y":
            way = int(strength * size)
            return change.affine(picture, 0.0, [way, 0] if name == "translate_x" else [0, way], 1.0, [0.0, 0.0])
        case "rotate":
            return change.rotate(picture, strength, smooth)
        case "brightness":
            return change.adjust_brightness(picture, 1 + strength)
        case "saturation":
            return change.adjust_saturation(picture, 1 + strength)
        case "contrast":
            return change.adjust_contrast(picture, 1 + strength)
        case "sharpness":
            return change.adjust_sharpness(picture, 1 + strength)
        case "posterize":
            return change.posterize(picture, round(8 - strength))
        case "solarize":
            return change.solarize(picture, 255 * (1 - strength))
        case "autocontrast":
            return change.autocontrast(picture)
        case "equalize":
            return change.equalize(picture)
    return picture  # "identity"
