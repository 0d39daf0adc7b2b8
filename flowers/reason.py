"""The reason for an answer, and the picture that shows it: where in the photo the network found its evidence."""

from dataclasses import dataclass

import numpy as np
from PIL import Image, ImageDraw

COLOURS = "inferno"  # matplotlib's: ever lighter from black, so that it also reads without colour
MIX = 0.6  # share of the colour in the mixture with the grey photo
OUTSIDE = 0.2  # brightness left to what the network did not look at
PHOTO_SIDE = 512  # short side of the photo that is kept for the picture, pixels
SQUARE_SIDE = 448  # side at least of the square in a picture, pixels: a small photo is enlarged for it


@dataclass(frozen=True)
class Reason:
    """Where a network found evidence for one class."""

    label: str
    heat: np.ndarray  # float32 (h, w): evidence in units of the class's score, negative where it speaks against it
    strongest: float  # the most evidence for any class at any place: what pictures show as strongest
    exact: bool  # True: mean(heat) + the head's bias is the class's score; False: an estimate (Grad-CAM)
    frame: Image.Image  # the square that the network saw, RGB
    photo: Image.Image  # the whole photo, upright, RGB; the middle of one more than twice as long as wide
    box: tuple[float, float, float, float]  # left, top, right, bottom of ``frame`` in ``photo``, pixels

    @property
    def strength(self) -> float:
        """The most evidence for this class, as a share of the most for any: 0 (none at all) to 1."""
        most = float(self.heat.max())
        return most / self.strongest if most > 0 else 0.0

    def picture(self) -> Image.Image:
        """The whole photo with the evidence laid over the square that the network saw; all else is nearly black."""
        return self.pictures()[1]

    def pictures(self) -> tuple[Image.Image, Image.Image]:
        """The whole photo as it is and as ``picture``, of the same size, so that one can lie behind the other."""
        scale = max(1.0, SQUARE_SIDE / (self.box[2] - self.box[0]))
        size = tuple(round(side * scale) for side in self.photo.size)
        whole = self.photo.resize(size, Image.Resampling.BICUBIC)
        left, top, right, bottom = (round(edge * scale) for edge in self.box)
        picture = whole.point(lambda value: round(value * OUTSIDE))
        picture.paste(overlay(whole.crop((left, top, right, bottom)), self.heat, self.strongest), (left, top))
        ImageDraw.Draw(picture).rectangle((left, top, right - 1, bottom - 1), outline="white")
        return whole, picture


def overlay(frame: Image.Image, heat: np.ndarray, strongest: float | None = None) -> Image.Image:
    """``frame`` in grey with evidence as colour: black and purple for hardly any, then orange, yellow for the most.

    The more evidence, the lighter: of two places that look alike, the one with more is lighter in the picture, also
    for those who see no colours. Evidence against the class looks like none.

    Args:
        frame: RGB, of any size.
        heat: float32 (h, w), any numbers; drawn out to the frame's size, bilinearly.
        strongest: the evidence that is shown as strongest. Default: the most in ``heat``.
    """
    from matplotlib import colormaps

    most = float(heat.max()) if strongest is None else strongest
    shares = np.clip(heat / most, 0, 1) if most > 0 else np.zeros_like(heat)
    shares = Image.fromarray(shares.astype(np.float32)).resize(frame.size, Image.Resampling.BILINEAR)
    colours = colormaps[COLOURS](np.asarray(shares))[..., :3] * 255
    grey = np.asarray(frame.convert("L"), np.float32)[..., None]
    return Image.fromarray(np.rint(MIX * colours + (1 - MIX) * grey).astype(np.uint8))
