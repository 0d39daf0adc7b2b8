"""What makes a photo of a flower hard to tell: distance, angle, rare colours, strangers, obstacles, focus and light."""

import numpy as np
from PIL import Image, ImageDraw, ImageFilter

from flowers.data.garden.brushes import Canvas, Pose, as_image, mix, noise
from flowers.data.garden.clutter import obstruct, paint_strangers, soften
from flowers.data.garden.plants import RARE
from flowers.data.garden.scenery import busy_background

# What may befall a picture, and how often it does the hardest ones. The latter hide: only a few come together.
PLAIN = {"colour": 0.8, "age": 0.7, "angle": 0.7, "setting": 0.9, "company": 0.7}
HIDING = ("distance", "obstacle", "focus", "light")
HIDING_SHARE, HIDING_MOST = 0.9, 2


class Hardships:
    """What befalls one picture, drawn from ``rng``, and the more the nearer ``difficulty`` is to 1; nothing at 0.

    Each method changes a step of the painting, if its hardship is among those drawn.
    """

    def __init__(self, rng: np.random.Generator, difficulty: float):
        self.rng, self.difficulty = rng, difficulty
        self.drawn = {name for name, chance in PLAIN.items() if rng.random() < chance * difficulty}
        hiding = min(rng.binomial(len(HIDING), HIDING_SHARE * difficulty), HIDING_MOST)
        self.drawn |= set(rng.permutation(HIDING)[:hiding])

    def background(self, image: Image.Image) -> Image.Image:
        return busy_background(self.rng, image.width) if "setting" in self.drawn else image

    def variety(self, kind: str, usual: str) -> str:
        return RARE[kind][self.rng.integers(len(RARE[kind]))] if "colour" in self.drawn else usual

    def age(self, canvas: Canvas) -> None:
        if "age" in self.drawn:
            canvas.closed = self.rng.uniform(0.35, 0.85) if self.rng.random() < 0.7 else self.rng.uniform(-0.6, -0.3)

    def arrange(self, blooms: list[Pose], size: int) -> list[Pose]:
        """The same blooms, smallest first, from elsewhere."""
        if "angle" in self.drawn:
            blooms = self._turn(blooms)
        if "distance" in self.drawn:
            ways = (self._far, self._far, self._near, self._bed)
            blooms = ways[self.rng.integers(4)](blooms, size)
        return sorted(blooms, key=lambda bloom: bloom.radius)

    def _turn(self, blooms):
        """From the side, or hanging."""
        tilt, hang = self.rng.uniform(0.85, 1.2), self.rng.normal(0, 0.45)
        return [Pose.seen(b.x, b.y, b.radius, b.lean + hang, tilt + self.rng.normal(0, 0.05)) for b in blooms]

    def _far(self, blooms, size):
        """Small, anywhere in the picture."""
        scale = self.rng.uniform(0.08, 0.125) * size / blooms[-1].radius
        middle, shift = size * np.array([0.5, 0.5]), size * self.rng.uniform(-0.28, 0.28, 2)
        return [_moved(b, (np.array([b.x, b.y]) - middle) * max(scale, 0.5) + middle + shift, scale) for b in blooms]

    def _near(self, blooms, size):
        """So large that the frame cuts the flower."""
        main, scale = blooms[-1], self.rng.uniform(0.42, 0.6) * size / blooms[-1].radius
        turn = self.rng.uniform(0, 2 * np.pi)
        place = size * (0.5 + self.rng.uniform(0.1, 0.3) * np.array([np.cos(turn), np.sin(turn)]))
        return [_moved(main, place, scale)]

    def _bed(self, blooms, size):
        """Many, in rows that become smaller with the distance."""
        rows = []
        for share in np.linspace(0, 1, self.rng.integers(3, 5)):
            radius, y = size * (0.05 + 0.08 * share), size * (0.3 + 0.42 * share)
            for x in np.arange(self.rng.uniform(-1, 1) * radius, size + radius, 2.7 * radius):
                place = np.array([x, y]) + self.rng.normal(0, 0.35 * radius, 2)
                rows.append(_moved(blooms[-1], place, radius / blooms[-1].radius * self.rng.uniform(0.85, 1.1)))
        return rows

    def company(self, canvas: Canvas, blooms: list[Pose]) -> None:
        if "company" in self.drawn:
            paint_strangers(canvas.under(self.rng), blooms, self.rng.integers(2, 7))

    def focus(self, canvas: Canvas, before: Image.Image, bloom: Pose) -> None:
        """Blur what has been painted since ``before``, as if the camera had caught what is behind; or shake it all."""
        if "focus" not in self.drawn:
            return
        blur = min(canvas.size * self.rng.uniform(0.008, 0.02), 0.13 * float(bloom.radius))  # more leaves nothing
        if len(self.drawn.intersection(HIDING)) > 1:
            blur /= 1.5
        if self.rng.random() < 0.7:
            soften(canvas.image, before, blur)
        else:
            canvas.image.paste(_shaken(self.rng, canvas.image, 1.5 * blur))

    def obstruct(self, canvas: Canvas, bloom: Pose) -> None:
        if "obstacle" in self.drawn:
            obstruct(canvas.under(self.rng), bloom, self.difficulty)

    def light(self, image: Image.Image) -> Image.Image:
        if "light" not in self.drawn:
            return image
        lights = (_dusk, _against_the_sun, _overexposed, _cast, _shadow, _dapples, _haze, _monochrome, _flash)
        pixels = np.asarray(image, np.float32) / 255
        pixels = pixels * max(1, 0.7 / np.percentile(pixels, 95))  # a camera would have seen to that before
        return as_image(lights[self.rng.integers(len(lights))](self.rng, pixels))


def _moved(bloom: Pose, place, scale: float) -> Pose:
    return Pose(*place, bloom.radius * scale, bloom.lean, bloom.basis)


def _shaken(rng, image, length):
    """The mean of the picture on its way along a short line."""
    turn, steps = rng.uniform(0, np.pi), 8
    moved = np.zeros((image.width, image.width, 3), np.float32)
    for way in np.linspace(-length, length, steps):
        dx, dy = way * np.cos(turn), way * np.sin(turn)
        moved += np.asarray(image.transform(image.size, Image.AFFINE, (1, 0, dx, 0, 1, dy), Image.BILINEAR))
    edge = 1 + int(length)  # where the shifted pictures end
    return (
        Image.fromarray((moved / steps).astype(np.uint8))
        .crop((edge, edge, image.width - edge, image.width - edge))
        .resize(image.size)
    )


# ---------------------------------------------------------------- bad light, on pixels in 0..1


def _radius(pixels, place) -> np.ndarray:
    """Distance of each pixel from a place, in sides of the picture."""
    side = np.linspace(0, 1, len(pixels), dtype=np.float32)
    return np.hypot(side[None, :] - place[0], side[:, None] - place[1])[..., None]


def _dusk(rng, pixels):
    grey = pixels.mean(2, keepdims=True)
    blue = np.array([0.6, 0.72, 1.0], np.float32)
    return mix(grey, pixels, rng.uniform(0.4, 0.7)) * blue * rng.uniform(0.5, 0.65) + 0.03


def _against_the_sun(rng, pixels):
    """The side that one sees is dark; the sun lies over a part of it."""
    far = _radius(pixels, rng.uniform([0, -0.1], [1, 0.35]))
    glow = np.exp(-((far / rng.uniform(0.3, 0.55)) ** 2))
    dark = pixels**1.15 * rng.uniform(0.5, 0.7)
    return dark + glow * np.array([1.0, 0.88, 0.6]) * rng.uniform(0.55, 0.8) * (1 - 0.5 * dark)


def _overexposed(rng, pixels):
    bright = pixels * rng.uniform(1.5, 1.9) + 0.06
    return bright / (1 + 0.12 * bright)


def _cast(rng, pixels):
    casts = [(1.25, 0.85, 0.45), (0.65, 0.95, 1.3), (0.7, 1.15, 0.6), (1.2, 0.7, 1.1)]
    return pixels * np.array(casts[rng.integers(4)], np.float32)


def _shadow(rng, pixels):
    """The edge of a hard shadow, of a wall or of bars, runs across."""
    size = len(pixels)
    mask, turn = Image.new("L", (size, size), 0), rng.uniform(0, np.pi)
    way, square = np.array([np.cos(turn), np.sin(turn)]), np.array([-np.sin(turn), np.cos(turn)])
    wide = rng.uniform(0.08, 0.2) if rng.random() < 0.5 else 2.0
    for start in np.arange(-1.2, 1.2, 2.2 * wide) + rng.uniform(0, 0.1) if wide < 1 else [rng.uniform(-0.15, 0.15)]:
        a, b = 0.5 + start * square, 0.5 + (start + wide) * square
        corners = [a - 3 * way, a + 3 * way, b + 3 * way, b - 3 * way]
        ImageDraw.Draw(mask).polygon([tuple(size * corner) for corner in corners], fill=255)
    return _shaded(pixels, mask.filter(ImageFilter.GaussianBlur(0.015 * size)), rng.uniform(0.5, 0.7))


def _dapples(rng, pixels):
    """The sun through leaves."""
    size = len(pixels)
    spots = Image.fromarray((255 * (noise(rng, 13, size)[..., 0] < rng.uniform(-0.05, 0.2))).astype(np.uint8))
    return _shaded(1.25 * pixels, spots.filter(ImageFilter.GaussianBlur(0.02 * size)), rng.uniform(0.5, 0.7))


def _shaded(pixels, mask, depth):
    shade = np.asarray(mask, np.float32)[..., None] / 255 * depth
    return pixels * (1 - shade * np.array([1.0, 0.97, 0.85], np.float32))


def _haze(rng, pixels):
    share = rng.uniform(0.42, 0.58) + 0.1 * noise(rng, 4, len(pixels))
    return mix(pixels, rng.uniform(0.7, 0.9) * np.array([0.97, 0.99, 1.0]), share)


def _monochrome(rng, pixels):
    grey = pixels @ np.array([0.35, 0.5, 0.15], np.float32)
    return grey[..., None] * ((1, 1, 1) if rng.random() < 0.5 else (1.08, 0.97, 0.8))


def _flash(rng, pixels):
    """Night: only what is near the middle is lit, and too much."""
    far = _radius(pixels, rng.uniform(0.4, 0.6, 2))
    return pixels * (0.15 + 1.3 * np.exp(-((far / rng.uniform(0.32, 0.45)) ** 2)))
