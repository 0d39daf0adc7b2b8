"""What flowers and what is around them are painted with, by Pillow: a canvas, petals, florets, grass, discs of light.

Petals and leaves are sprites: shaded once with numpy, then stamped many times through an affine map, which turns and
foreshortens them. Every length is a fraction of the canvas, so one seed gives one scene at whatever size.
"""

import copy
from dataclasses import dataclass
from math import ceil, floor

import numpy as np
from PIL import Image, ImageChops, ImageDraw, ImageFilter

GOLDEN_ANGLE = np.pi * (3 - np.sqrt(5))  # Vogel's phyllotaxis: seed k sits at angle k times this, radius sqrt(k)
GREENS = [(0.16, 0.34, 0.10), (0.24, 0.44, 0.14), (0.34, 0.52, 0.20), (0.22, 0.40, 0.26)]


@dataclass
class Canvas:
    """The picture while it is painted: RGB ``image`` of ``size`` pixels, its random stream, the light, the habit."""

    image: Image.Image
    rng: np.random.Generator

    def __post_init__(self):
        self.size = self.image.width
        angle = self.rng.uniform(-np.pi, 0)
        self.light = np.array([np.cos(angle), np.sin(angle) - 0.3], np.float32)  # towards the light; y points down
        self.habit = self.rng.random(4)  # what the blooms of one picture have in common, as plants of one bed do
        self.closed = 0.0  # how far they are from open: above 0 towards buds, below 0 with petals bent back

    def under(self, rng: np.random.Generator) -> "Canvas":
        """The same picture and light, for what another random stream paints: neither changes the other."""
        other = copy.copy(self)
        other.rng = rng
        return other

    def brush(self) -> ImageDraw.ImageDraw:
        return ImageDraw.Draw(self.image, "RGBA")


@dataclass
class Pose:
    """A bloom in the scene: centre and radius in pixels, ``lean`` from upright in radians, and a 2 by 3 ``basis``.

    The columns of ``basis`` are where two axes of the flower's plane and its normal fall in the picture.
    """

    x: float
    y: float
    radius: float
    lean: float
    basis: np.ndarray

    @classmethod
    def seen(cls, x: float, y: float, radius: float, lean: float, tilt: float) -> "Pose":
        """A bloom that faces the camera at a ``tilt`` of 0 and the sky at pi / 2."""
        up, right = np.array([np.sin(lean), -np.cos(lean)]), np.array([np.cos(lean), np.sin(lean)])
        return cls(x, y, radius, lean, np.column_stack([up * np.cos(tilt), right, up * np.sin(tilt)]))

    def project(self, points) -> np.ndarray:
        """(..., 3) points of the flower, in radii, to (..., 2) pixels."""
        return np.array([self.x, self.y]) + self.radius * np.asarray(points) @ self.basis.T


@dataclass
class Sprite:
    """A petal or leaf, base at the top and tip at the bottom: RGBA, with its sizes in pixels."""

    image: Image.Image
    length: float
    width: float
    margin: int

    def stamp(self, image, base, along, across, tone=0.7):
        """Paint it on ``image``: ``along`` is the pixel vector from base to tip, ``across`` its full width."""
        (along_x, along_y), (across_x, across_y) = along, across
        a, b, c, d = across_x / self.width, along_x / self.length, across_y / self.width, along_y / self.length
        determinant = a * d - b * c
        if abs(determinant) < 0.03:  # seen edge-on
            return
        w, h = self.image.size
        u, v = w / 2, self.margin  # where the base is in the sprite
        xs = [base[0] + a * x + b * y for x in (-u, w - u) for y in (-v, h - v)]
        ys = [base[1] + c * x + d * y for x in (-u, w - u) for y in (-v, h - v)]
        left, top = max(floor(min(xs)), 0), max(floor(min(ys)), 0)
        right, bottom = min(ceil(max(xs)), image.width), min(ceil(max(ys)), image.height)
        if left >= right or top >= bottom:
            return
        dx, dy = left - base[0], top - base[1]
        a, b, c, d = d / determinant, -b / determinant, -c / determinant, a / determinant
        inverse = (a, b, a * dx + b * dy + u, c, d, c * dx + d * dy + v)
        tone = min(max(tone, 0), 1)
        shade = rgba([0.6 + 0.4 * tone**power for power in (0.8, 1, 1.2)])  # shadows turn warm, not grey
        source = ImageChops.multiply(self.image, Image.new("RGBA", self.image.size, shade))
        turned = source.transform((right - left, bottom - top), Image.AFFINE, inverse, Image.BILINEAR)
        image.paste(turned, (left, top), turned)


def petal(rng, length, width, base, tip, *, taper, flame=None, streaks=0.06, rim=0.0, fold=0.08, bend=0.0, teeth=None):
    """A shaded petal. ``taper`` holds the exponents of its outline at base and tip: the smaller, the blunter.

    ``flame`` colours the middle; ``rim`` lightens a curled edge; ``fold`` darkens the midrib; ``bend`` moves the tip
    sideways, in half widths; ``teeth`` (count, depth) notches the outline.
    """
    detail = min(1.0, 120 / max(length, width))  # large petals are smooth: painting them coarsely halves the time
    length, width = max(length * detail, 4.0), max(width * detail, 3.0)
    margin = 2 + int(0.03 * width)
    h, w = int(length) + 2 * margin, int(width * (1 + abs(bend))) + 2 * margin
    t = np.clip((np.arange(h, dtype=np.float32)[:, None] + 0.5 - margin) / length, 0, 1)
    peak = taper[0] / sum(taper)
    half = (t / peak) ** taper[0] * ((1 - t) / (1 - peak)) ** taper[1]
    if teeth:
        half = half * (1 - teeth[1] * (t * teeth[0] % 1))
    s = (np.arange(w, dtype=np.float32)[None, :] + 0.5 - w / 2) / (width / 2) - bend * t**2
    v = s / np.maximum(half, 0.03)
    slope = np.gradient(half, axis=0) * width / 2  # pixels from the outline, measured square to it and not sideways
    inside = (half - np.abs(s)) * width / 2 / np.sqrt(1 + slope**2)
    mask = np.clip(inside + 0.5, 0, 1) * (half > 0)

    grain = np.interp(v, np.linspace(-1, 1, 23), rng.standard_normal(23)).astype(np.float32)
    shade = 1 + streaks * grain * (1 - 0.5 * t) - fold * np.exp(-((v / 0.13) ** 2)) - 0.14 * v**2
    colour = mix(base, tip, t[..., None] ** 0.8)
    if flame is not None:
        colour = mix(colour, flame, (0.75 * np.exp(-((v / 0.42) ** 2)) * (1 - t) ** 0.6)[..., None])
    colour = colour * (1.1 * shade[..., None])
    if rim:
        colour = mix(colour, 1.0, (rim * np.clip(1 - inside / (0.1 * width), 0, 1) * t**2)[..., None])
    # Around the petal a soft dark halo: the shadow it casts on what lies below, without which layers run together.
    halo = Image.fromarray((mask * 255).astype(np.uint8)).filter(ImageFilter.GaussianBlur(0.5 * margin))
    alpha = np.maximum(mask, 0.35 * np.asarray(halo, np.float32) / 255)
    colour *= 0.35 + 0.65 * mask[..., None]
    return Sprite(as_image(np.dstack([colour, alpha])), length, width, margin)


def mix(a, b, share):
    return np.asarray(a, np.float32) * (1 - share) + np.asarray(b, np.float32) * share


def rgba(colour, alpha=1.0) -> tuple[int, ...]:
    red, green, blue = (int(255 * min(max(channel, 0), 1)) for channel in colour)
    return red, green, blue, int(255 * alpha)


def as_image(values) -> Image.Image:
    return Image.fromarray((np.clip(values, 0, 1) * 255).astype(np.uint8))


def changed(image: Image.Image, before: Image.Image) -> Image.Image:
    """Where a picture is no longer what it was: white there, black elsewhere."""
    return ImageChops.difference(image, before).convert("L").point(lambda level: 255 * (level > 3))


def tone_of(canvas, along) -> float:
    """Which tone a petal pointing along ``along`` has under the canvas's light."""
    return 0.62 + 0.26 * float(along @ canvas.light) / (np.hypot(*along) + 1e-6) + canvas.rng.normal(0, 0.06)


def petal_ring(canvas, pose, sprites, count, length, width, *, start=0.0, elevation=0.0, darker=0.0):
    """``count`` petals around the centre; ``length``, ``width`` in radii, ``elevation`` over the plane in radians."""
    rng, centre = canvas.rng, np.array([pose.x, pose.y])
    for turn in start + 2 * np.pi * np.arange(count) / count + rng.normal(0, 0.3 / count, count):
        rise, reach = elevation + rng.normal(0, 0.1), pose.radius * length * rng.normal(1, 0.05)
        cos, sin, flat = np.cos(turn), np.sin(turn), np.cos(rise)
        along = reach * pose.basis @ [flat * cos, flat * sin, np.sin(rise)]
        across = pose.radius * width * pose.basis @ [-sin, cos, 0]
        sprite = sprites[rng.integers(len(sprites))]
        sprite.stamp(canvas.image, centre, along, across, tone_of(canvas, along) - darker)


def florets(canvas, pose, radius, inner, outer, count, dome, height=0.0, contrast=0.45):
    """A domed disc of florets in Vogel's phyllotaxis; ``radius``, ``dome`` and ``height`` in radii of the flower."""
    rng, brush = canvas.rng, canvas.brush()
    count = int(count * min(1, 0.25 + 3 * pose.radius / canvas.size))  # the small ones show less
    rim = np.linspace(0, 2 * np.pi, 40)
    edge = pose.project(np.column_stack([np.cos(rim), np.sin(rim), 0 * rim]) * radius * 1.06 + [0, 0, height])
    brush.polygon([*map(tuple, edge)], fill=rgba(mix(outer, 0, contrast)))
    share = np.sqrt((np.arange(count, 0, -1) - 0.5) / count)  # from the rim inwards: the dome hides its far side
    angle = np.arange(count, 0, -1) * GOLDEN_ANGLE
    points = np.column_stack([share * np.cos(angle), share * np.sin(angle), 0 * share]) * radius
    slope = (points[:, :2] / radius) @ pose.basis[:, :2].T @ canvas.light  # how much the dome's surface faces the light
    points[:, 2] = height + dome * (1 - share**2)
    light = (0.86 + 0.3 * slope + rng.normal(0, 0.07, count))[:, None]
    colours = (mix(inner, outer, share[:, None] ** 2) * light * 255).clip(0, 225)
    darks, brights = ((colours * tone).astype(int).tolist() for tone in (1 - contrast, 1.12))
    grain = pose.radius * radius * 1.25 / np.sqrt(count)
    for (x, y), dark, bright in zip(pose.project(points).tolist(), darks, brights, strict=True):
        brush.ellipse((x - grain, y - grain, x + grain, y + grain), fill=tuple(dark))
        x, y, dot = x + 0.25 * grain * canvas.light[0], y + 0.25 * grain * canvas.light[1], 0.62 * grain
        brush.ellipse((x - dot, y - dot, x + dot, y + dot), fill=tuple(bright))


def noise(rng, cells, size) -> np.ndarray:
    """Smooth noise, (size, size, 1), about -1..1, with ``cells`` bumps a side."""
    coarse = Image.fromarray(rng.uniform(-1, 1, (cells, cells)).astype(np.float32))
    return np.asarray(coarse.resize((size, size), Image.BICUBIC))[..., None]


def gradient(rng, top, bottom, size, rough=0.15) -> np.ndarray:
    t = np.linspace(0, 1, size, dtype=np.float32)[:, None, None] + rough * noise(rng, 5, size)
    return mix(top, bottom, np.clip(t, 0, 1))


def discs(rng, image, count, colours, radius, alpha):
    """Out-of-focus highlights; ``radius`` a (least, most) share of the image, ``alpha`` the most opaque."""
    brush, size = ImageDraw.Draw(image, "RGBA"), image.width
    for _ in range(count):
        (x, y), r = rng.uniform(0, size, 2), size * rng.uniform(*radius)
        colour = np.add(colours[rng.integers(len(colours))], rng.normal(0, 0.06, 3))
        brush.ellipse((x - r, y - r, x + r, y + r), fill=rgba(colour, alpha * rng.uniform(0.3, 1)))


def blades(rng, image, count, top):
    """Blades of grass rooted from ``top`` (a share of the height) down to below the edge, the near ones the tallest."""
    brush, size = ImageDraw.Draw(image, "RGBA"), image.width
    for depth in np.sort(rng.random(count)):
        x, y, tall = rng.uniform(0, size), size * (top + (1.15 - top) * depth), size * (0.08 + 0.3 * depth)
        lean, thick = rng.normal(0, 0.35) * tall, size * (0.003 + 0.008 * depth)
        colour = np.multiply(GREENS[rng.integers(len(GREENS))], rng.uniform(0.7, 1.5))
        brush.polygon([(x - thick, y), (x + lean, y - tall), (x + thick, y)], fill=rgba(colour))


def foliage(canvas, pose, thickness, places, angles, length, width, shape):
    """A stem from the bloom's back out of the picture, and its leaves to either side; see the garden's ``FOLIAGE``."""
    rng, centre = canvas.rng, np.array([pose.x, pose.y])
    green = np.clip(GREENS[int(canvas.habit[3] * len(GREENS))] + rng.normal(0, 0.03, 3), 0, 1)
    end = np.array([pose.x + rng.normal(0, 0.12) * canvas.size, canvas.size * 1.05])
    bend = centre + pose.radius * np.array([-np.sin(pose.lean), np.cos(pose.lean)]) + 0.4 * (end - centre) * [0, 1]
    t = np.linspace(0, 1, 24)[:, None]
    middle = (1 - t) ** 2 * centre + 2 * t * (1 - t) * bend + t**2 * end
    run = np.gradient(middle, axis=0)
    normal = np.column_stack([-run[:, 1], run[:, 0]]) / (np.hypot(*run.T)[:, None] + 1e-6)
    normal *= (1 if normal.mean(0) @ canvas.light > 0 else -1) * thickness * pose.radius / 2
    for near, far, tone in ((-1, 1, 0.62), (-0.5, 0.95, 0.95), (0.1, 0.75, 1.2)):  # from the shaded side to the lit one
        outline = np.concatenate([middle + near * normal, (middle + far * normal)[::-1]])
        canvas.brush().polygon([*map(tuple, outline.tolist())], fill=rgba(np.multiply(green, tone)))
    for number, place in enumerate(np.linspace(*places)):
        turn = rng.uniform(*angles) * (-1) ** (number + int(2 * canvas.habit[2]))
        along = np.array([np.sin(turn), -np.cos(turn)])
        size = pose.radius * rng.uniform(0.8, 1.2)
        light = mix(green, (0.75, 0.85, 0.45), 0.35)
        leaf = petal(rng, size * length, size * width, green, light, fold=0.3, **shape)
        root = middle[int(23 * np.clip(place + rng.normal(0, 0.05), 0, 1))]
        across = np.array([-along[1], along[0]]) * size * width * np.sign(turn)
        leaf.stamp(canvas.image, root, along * size * length, across, tone_of(canvas, along))
