"""The garden: flowers of the five classes, painted by Pillow, so that no network is needed to have photos to train on.

A picture is painted from far to near on a somewhat larger canvas: background, far blooms, blur, near blooms, light.
Petals and leaves are sprites: shaded once with numpy, then stamped many times through an affine map, which turns and
foreshortens them. Every length is a fraction of the canvas, so one seed gives one scene at whatever size.
"""

import tempfile
from collections.abc import Callable
from dataclasses import dataclass
from math import ceil, floor
from pathlib import Path

import numpy as np
from PIL import Image, ImageChops, ImageDraw, ImageFilter

from flowers.errors import DataError, UsageError

CLASSES = ("daisy", "dandelion", "rose", "sunflower", "tulip")

GOLDEN_ANGLE = np.pi * (3 - np.sqrt(5))  # Vogel's phyllotaxis: seed k sits at angle k times this, radius sqrt(k)
SUPERSAMPLING = 1.5  # 2 takes 1.4 times as long and hardly shows: sprites are smooth already

# Colours of petals: base, tip and an accent, which each flower puts to its own use.
VARIETIES = {
    "daisy": ["dbe0e6 fffffa fac71a", "edebd6 fffcf2 f5b214", "ccdbbd f5f7ff fcd638", "fff7f5 f5a8c7 facc33"],
    "dandelion": ["e69405 ffdb1a fab805", "edad0a ffeb38 f5a80d"],
    "rose": [
        "5c030d db1724 fa5c5c",
        "9e2447 f2859e ffd1db",
        "b8a17a f7f0e0 fffffa",
        "cc750f fcd14c fff2a8",
        "c2471f fa9e66 ffdbb2",
        "6b0a42 cc388a f594cc",
    ],
    "sunflower": ["e07505 ffcc14 381c0a", "f09905 ffe033 4c2b0d", "9e2908 f79e14 29120a", "edc747 fff294 42260d"],
    "tulip": [
        "99080f e61f1f fa8029",
        "eb9e0f ffdb29 eb5c1a",
        "cc4c80 faa3c2 ffe6eb",
        "4c145c 8f389e c785d1",
        "ccd6b2 fcfaf0 e66685",
        "db5714 ff992e ffd657",
    ],
}
GREENS = [(0.16, 0.34, 0.10), (0.24, 0.44, 0.14), (0.34, 0.52, 0.20), (0.22, 0.40, 0.26)]

# Width of the stem; its leaves' places (from the top, 0, to 1), angles from upright, length, width, shape; in radii.
FOLIAGE = {
    "daisy": (0.10, (0.4, 0.9, 2), (0.1, 1.1), 0.9, 0.22, {"taper": (0.5, 0.7), "teeth": (4, 0.4)}),
    "dandelion": (0.11, (0.9, 1.0, 3), (0.1, 1.3), 1.7, 0.5, {"taper": (0.9, 0.4), "teeth": (6, 0.45)}),
    "rose": (0.13, (0.2, 0.9, 3), (1.0, 1.9), 1.15, 0.62, {"taper": (0.5, 0.7), "teeth": (9, 0.16)}),
    "sunflower": (0.16, (0.35, 0.7, 2), (1.1, 1.8), 1.4, 1.0, {"taper": (0.35, 0.8)}),
    "tulip": (0.16, (1.0, 1.0, 2), (0.1, 0.5), 2.6, 0.55, {"taper": (0.5, 0.7), "bend": 0.7}),
}


def render_flower(kind: str, seed: int, size: int = 256) -> Image.Image:
    """One picture of ``kind`` (see ``CLASSES``): RGB, ``size`` by ``size`` pixels, a pure function of its arguments.

    ``seed`` is 0 or more, ``size`` 16 or more. Raises UsageError for an unknown kind or numbers out of range.
    """
    if kind not in CLASSES:
        raise UsageError(f"The garden does not grow {kind!r}; choose one of {', '.join(CLASSES)}.")
    if seed < 0 or size < 16:
        raise UsageError(f"The garden needs a seed of 0 or more and a size of 16 or more, not {seed} and {size}.")
    rng = np.random.default_rng([seed, CLASSES.index(kind)])
    canvas = Canvas(_background(rng, round(size * SUPERSAMPLING)), rng)
    colours = VARIETIES[kind][rng.integers(len(VARIETIES[kind]))]
    variety = np.frombuffer(bytes.fromhex(colours), np.uint8).reshape(3, 3) / 255
    blooms = _arrange(rng, canvas.size)
    near = [bloom for bloom in blooms if bloom.radius > 0.72 * blooms[-1].radius]
    for group in (blooms[: -len(near)], near):
        for bloom in group:
            _foliage(canvas, bloom, *FOLIAGE[kind])
        for bloom in group:
            _PAINTERS[kind](canvas, bloom, *variety)
        if group is not near and group:
            canvas.image = canvas.image.filter(ImageFilter.GaussianBlur(canvas.size * rng.uniform(0.003, 0.012)))
    return _develop(rng, canvas.image.resize((size, size), Image.HAMMING), canvas.light)


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
        shade = _rgba([0.6 + 0.4 * tone**power for power in (0.8, 1, 1.2)])  # shadows turn warm, not grey
        source = ImageChops.multiply(self.image, Image.new("RGBA", self.image.size, shade))
        turned = source.transform((right - left, bottom - top), Image.AFFINE, inverse, Image.BILINEAR)
        image.paste(turned, (left, top), turned)


def _sprite(
    rng, length, width, base, tip, *, taper, flame=None, streaks=0.06, rim=0.0, fold=0.08, bend=0.0, teeth=None
):
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
    colour = _mix(base, tip, t[..., None] ** 0.8)
    if flame is not None:
        colour = _mix(colour, flame, (0.75 * np.exp(-((v / 0.42) ** 2)) * (1 - t) ** 0.6)[..., None])
    colour = colour * (1.1 * shade[..., None])
    if rim:
        colour = _mix(colour, 1.0, (rim * np.clip(1 - inside / (0.1 * width), 0, 1) * t**2)[..., None])
    # Around the petal a soft dark halo: the shadow it casts on what lies below, without which layers run together.
    halo = Image.fromarray((mask * 255).astype(np.uint8)).filter(ImageFilter.GaussianBlur(0.5 * margin))
    alpha = np.maximum(mask, 0.35 * np.asarray(halo, np.float32) / 255)
    colour *= 0.35 + 0.65 * mask[..., None]
    return Sprite(_image(np.dstack([colour, alpha])), length, width, margin)


def _mix(a, b, share):
    return np.asarray(a, np.float32) * (1 - share) + np.asarray(b, np.float32) * share


def _rgba(colour, alpha=1.0) -> tuple[int, ...]:
    red, green, blue = (int(255 * min(max(channel, 0), 1)) for channel in colour)
    return red, green, blue, int(255 * alpha)


def _image(values) -> Image.Image:
    return Image.fromarray((np.clip(values, 0, 1) * 255).astype(np.uint8))


# ---------------------------------------------------------------- parts of flowers


def _tone(canvas, along) -> float:
    """Which tone a petal pointing along ``along`` has under the canvas's light."""
    return 0.62 + 0.26 * float(along @ canvas.light) / (np.hypot(*along) + 1e-6) + canvas.rng.normal(0, 0.06)


def _ring(canvas, pose, sprites, count, length, width, *, start=0.0, elevation=0.0, darker=0.0):
    """``count`` petals around the centre; ``length``, ``width`` in radii, ``elevation`` over the plane in radians."""
    rng, centre = canvas.rng, np.array([pose.x, pose.y])
    for turn in start + 2 * np.pi * np.arange(count) / count + rng.normal(0, 0.3 / count, count):
        rise, reach = elevation + rng.normal(0, 0.1), pose.radius * length * rng.normal(1, 0.05)
        cos, sin, flat = np.cos(turn), np.sin(turn), np.cos(rise)
        along = reach * pose.basis @ [flat * cos, flat * sin, np.sin(rise)]
        across = pose.radius * width * pose.basis @ [-sin, cos, 0]
        sprite = sprites[rng.integers(len(sprites))]
        sprite.stamp(canvas.image, centre, along, across, _tone(canvas, along) - darker)


def _disc(canvas, pose, radius, inner, outer, count, dome, height=0.0, contrast=0.45):
    """A domed disc of florets in Vogel's phyllotaxis; ``radius``, ``dome`` and ``height`` in radii of the flower."""
    rng, brush = canvas.rng, canvas.brush()
    count = int(count * min(1, 0.25 + 3 * pose.radius / canvas.size))  # the small ones show less
    rim = np.linspace(0, 2 * np.pi, 40)
    edge = pose.project(np.column_stack([np.cos(rim), np.sin(rim), 0 * rim]) * radius * 1.06 + [0, 0, height])
    brush.polygon([*map(tuple, edge)], fill=_rgba(_mix(outer, 0, contrast)))
    share = np.sqrt((np.arange(count, 0, -1) - 0.5) / count)  # from the rim inwards: the dome hides its far side
    angle = np.arange(count, 0, -1) * GOLDEN_ANGLE
    points = np.column_stack([share * np.cos(angle), share * np.sin(angle), 0 * share]) * radius
    slope = (points[:, :2] / radius) @ pose.basis[:, :2].T @ canvas.light  # how much the dome's surface faces the light
    points[:, 2] = height + dome * (1 - share**2)
    light = (0.86 + 0.3 * slope + rng.normal(0, 0.07, count))[:, None]
    colours = (_mix(inner, outer, share[:, None] ** 2) * light * 255).clip(0, 225)
    darks, brights = ((colours * tone).astype(int).tolist() for tone in (1 - contrast, 1.12))
    grain = pose.radius * radius * 1.25 / np.sqrt(count)
    for (x, y), dark, bright in zip(pose.project(points).tolist(), darks, brights, strict=True):
        brush.ellipse((x - grain, y - grain, x + grain, y + grain), fill=tuple(dark))
        x, y, dot = x + 0.25 * grain * canvas.light[0], y + 0.25 * grain * canvas.light[1], 0.62 * grain
        brush.ellipse((x - dot, y - dot, x + dot, y + dot), fill=tuple(bright))


def _foliage(canvas, pose, thickness, places, angles, length, width, shape):
    """A stem from the bloom's back out of the picture, and its leaves to either side; see ``FOLIAGE``."""
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
        canvas.brush().polygon([*map(tuple, outline.tolist())], fill=_rgba(np.multiply(green, tone)))
    for number, place in enumerate(np.linspace(*places)):
        turn = rng.uniform(*angles) * (-1) ** (number + int(2 * canvas.habit[2]))
        along = np.array([np.sin(turn), -np.cos(turn)])
        size = pose.radius * rng.uniform(0.8, 1.2)
        light = _mix(green, (0.75, 0.85, 0.45), 0.35)
        leaf = _sprite(rng, size * length, size * width, green, light, fold=0.3, **shape)
        root = middle[int(23 * np.clip(place + rng.normal(0, 0.05), 0, 1))]
        across = np.array([-along[1], along[0]]) * size * width * np.sign(turn)
        leaf.stamp(canvas.image, root, along * size * length, across, _tone(canvas, along))


# ---------------------------------------------------------------- the five flowers


def _daisy(canvas, pose, base, tip, accent):
    """Strap petals around a yellow dome. Accent: the dome."""
    rng, habit = canvas.rng, canvas.habit
    count, size = int(13 + 13 * habit[0]), pose.radius
    width = 2 * np.pi / count * (0.62 + 0.3 * habit[1])
    shape = {"taper": (0.45, 0.13 + 0.25 * habit[2]), "streaks": 0.05, "fold": 0.1}
    sprites = [_sprite(rng, size, width * size, base, tip, bend=bend, **shape) for bend in (-0.25, 0, 0.3)]
    start, droop = rng.uniform(0, 1), rng.uniform(-0.3, 0.35)
    _ring(canvas, pose, sprites, count, 1.0, width, start=start, elevation=droop - 0.1, darker=0.22)
    _ring(canvas, pose, sprites, count, 0.95, width, start=start + np.pi / count, elevation=droop)
    disc = 0.24 + 0.1 * habit[1]
    _disc(canvas, pose, disc, _mix(accent, (0.75, 0.8, 0.2), 0.35), accent, 150, dome=0.5 * disc)


def _dandelion(canvas, pose, base, tip, accent):
    """A dome of strap florets, or, as often, the white clock it turns into. Accent: the florets' heart."""
    if (canvas.habit[0] < 0.5) != (canvas.rng.random() < 0.12):
        _clock(canvas, pose)
        return
    rng, brush = canvas.rng, canvas.brush()
    many = min(1, 0.4 + 3 * pose.radius / canvas.size)
    for share in np.linspace(0, 1, 13):  # 0 the outermost ring, 1 the heart
        count, length = int((56 - 36 * share) * many), 1 - 0.42 * share
        turn = rng.uniform(0, 2 * np.pi, count)
        rise = share * 1.25 - 0.1 + rng.normal(0, 0.1, count)
        out = np.column_stack([np.cos(turn), np.sin(turn), 0 * turn])
        tips = out * np.cos(rise)[:, None] + np.sin(rise)[:, None] * [0, 0, 0.8]
        tips *= length * rng.normal(1, 0.05, (count, 1))
        side = np.column_stack([-np.sin(turn), np.cos(turn), 0 * turn]) * 0.032 / many
        roots = [0, 0, 0.3 * share]
        outline = [roots - side * 0.6, tips * 0.97 - side, tips, tips * 0.97 + side, roots + side * 0.6]
        pixels = pose.project(np.stack(outline, axis=1)).tolist()
        lit = 0.94 + 0.2 * (out[:, :2] @ pose.basis[:, :2].T @ canvas.light) + rng.normal(0, 0.07, count)
        colours = _mix(_mix(base, tip, 0.3 + 0.7 * rng.random((count, 1))), accent, 0.7 * share**3) * lit[:, None]
        for polygon, colour in zip(pixels, colours.tolist(), strict=True):
            edge = _rgba([0.82 * channel for channel in colour])
            brush.polygon([*map(tuple, polygon)], fill=_rgba(colour), outline=edge)
    # At the heart, florets yet to open.
    _disc(canvas, pose, 0.15, accent, _mix(tip, base, 0.4), 45, dome=0.16, height=0.4, contrast=0.2)


def _clock(canvas, pose):
    """A dandelion's seed head: seeds evenly over a sphere, each under a parachute of hairs; some may be blown away."""
    rng, radius, centre = canvas.rng, pose.radius * 0.95, np.array([pose.x, pose.y])
    count, hairs = 130, 8 + 4 * (radius > 0.2 * canvas.size)
    height = 1 - 2 * (np.arange(count) + 0.5) / count
    angle = np.arange(count) * GOLDEN_ANGLE + rng.uniform(0, 6)
    seeds = np.column_stack([np.sqrt(1 - height**2) * np.cos(angle), height, np.sqrt(1 - height**2) * np.sin(angle)])
    if rng.random() < 0.3:  # the wind has been here
        wind = rng.standard_normal(3)
        seeds = seeds[seeds @ wind / np.linalg.norm(wind) < rng.uniform(0.1, 0.7)]
    seeds = seeds[np.argsort(seeds[:, 2])]
    far = np.hypot(*np.mgrid[-1:1:48j, -1:1:48j])
    glow = _image(np.clip(1 - far**3, 0, 1) * rng.uniform(0.2, 0.4)).resize((int(2 * radius),) * 2)
    canvas.image.paste((236, 238, 232), tuple((centre - radius).astype(int)), glow)
    brush, hair = canvas.brush(), max(1, round(canvas.size / 400))
    turn = np.linspace(0, 2 * np.pi, hairs, endpoint=False)
    sides = np.cross(seeds, (0.3, 0.9, 0.2))
    sides /= np.linalg.norm(sides, axis=1, keepdims=True)
    around = np.cos(turn)[:, None, None] * sides + np.sin(turn)[:, None, None] * np.cross(seeds, sides)
    tips = (centre + radius * (0.98 * seeds + 0.21 * around)[..., :2]).swapaxes(0, 1).tolist()
    for number, seed in enumerate(seeds):
        alpha = 0.22 + 0.3 * (seed[2] + 1) / 2
        bright = np.clip(0.9 + 0.14 * (seed[:2] @ canvas.light), 0, 1)
        foot, crown = centre + 0.2 * radius * seed[:2], centre + 0.8 * radius * seed[:2]
        brush.line([*foot, *crown], fill=_rgba((0.80 * bright, 0.76 * bright, 0.66 * bright), alpha), width=hair)
        for x, y in tips[number]:
            brush.line([*crown, x, y], fill=_rgba((bright, bright, bright), alpha), width=hair)
        brush.line([*(centre + 0.1 * radius * seed[:2]), *foot], fill=_rgba((0.42, 0.30, 0.18)), width=3 * hair)
        if number == len(seeds) // 2:
            core = 0.13 * radius
            brush.ellipse((*(centre - core), *(centre + core)), fill=_rgba((0.50, 0.42, 0.28)))


def _rose(canvas, pose, base, tip, accent):
    """Broad petals spiralling inwards, each with a lit, curled edge over the shade of the next. Accent: the edge."""
    rng, count = canvas.rng, int(20 + 11 * canvas.habit[0])
    sepal = _sprite(rng, pose.radius, 0.3 * pose.radius, GREENS[0], GREENS[1], taper=(0.4, 0.9))
    _ring(canvas, pose, [sepal], 5, 1.08, 0.3, start=rng.uniform(0, 6), elevation=-0.2)
    curl, spiral, edge = 0.35 + 0.35 * canvas.habit[1], rng.uniform(0, 6), _mix(tip, accent, 0.25)
    for k in range(count):
        share = 1 - k / count  # 1 outermost, towards 0 at the heart
        reach = pose.radius * (0.1 + 0.88 * share**0.95)
        if k % 10 == 0:
            inner = _mix(base, 0, 0.35 * (1 - share))
            shape = {"taper": (0.5, 0.2 + 0.1 * rng.random()), "streaks": 0.035, "fold": 0.0, "rim": curl}
            size = (1.4 * reach, 1.75 * reach)
            sprites = [_sprite(rng, *size, inner, edge, bend=bend, **shape) for bend in (-0.12, 0.12)]
        turn = spiral + k * GOLDEN_ANGLE + rng.normal(0, 0.12)
        out = np.array([np.cos(turn), np.sin(turn), 0.0])
        across = reach * 1.75 * pose.basis @ [-out[1], out[0], 0]
        along = reach * 1.4 * rng.normal(1, 0.04) * pose.basis @ out
        heart = pose.project([0, 0, 0.5 * (1 - share)])
        tone = _tone(canvas, along) + 0.1 * share
        sprites[k % 2].stamp(canvas.image, heart - 0.3 * along, along, across, tone)


def _sunflower(canvas, pose, base, tip, accent):
    """Two layers of pointed petals around a broad dark disc. Accent: the disc."""
    rng, habit = canvas.rng, canvas.habit
    count, disc = int(17 + 8 * habit[0]), 0.40 + 0.14 * habit[1]
    width = 2 * np.pi / count * (0.72 + 0.25 * habit[2])
    shape = {"taper": (0.6, 0.75), "streaks": 0.1, "fold": 0.14}
    start, size = rng.uniform(0, 1), (pose.radius, width * pose.radius)
    sprites = [_sprite(rng, *size, base, tip, bend=bend, **shape) for bend in (-0.3, 0.1, 0.4)]
    bracts = _sprite(rng, pose.radius, 0.25 * pose.radius, GREENS[0], GREENS[1], taper=(0.5, 0.8))
    _ring(canvas, pose, [bracts], 11, 0.86, 0.25, start=start)
    _ring(canvas, pose, sprites, count, 1.02, width, start=start, elevation=-0.1, darker=0.25)
    _ring(canvas, pose, sprites, count, 0.94, width, start=start + np.pi / count, elevation=0.12)
    ring = _mix(accent, (0.62, 0.36, 0.08), 0.35 + 0.5 * habit[3])
    _disc(canvas, pose, disc, accent, ring, 330, dome=0.22 * disc)
    _disc(canvas, pose, disc * 0.5, _mix(accent, (0.45, 0.50, 0.16), 0.6 * habit[0]), accent, 110, dome=0.2 * disc)


def _tulip(canvas, pose, base, tip, accent):
    """A cup of six petals seen from the side, or at times from above. Accent: the flame on the petals."""
    rng, habit, radius = canvas.rng, canvas.habit, pose.radius
    flame = accent if habit[0] < 0.55 else None
    shape = {"taper": (0.42, 0.4 + 0.5 * habit[2]), "streaks": 0.045, "fold": 0.06, "flame": flame}
    if habit[1] < 0.2:
        heart = (0.95, 0.82, 0.25) if habit[2] < 0.5 else (0.12, 0.06, 0.14)
        sprites = [_sprite(rng, radius, 0.95 * radius, _mix(base, heart, 0.8), tip, **(shape | {"flame": heart}))]
        start = rng.uniform(0, 2)
        _ring(canvas, pose, sprites, 3, 1.0, 0.95, start=start, elevation=0.15, darker=0.2)
        _ring(canvas, pose, sprites, 3, 0.92, 0.92, start=start + np.pi / 3, elevation=0.35)
        anther = _sprite(rng, 0.3 * radius, 0.09 * radius, (0.5, 0.6, 0.2), (0.15, 0.08, 0.12), taper=(0.2, 0.3))
        _ring(canvas, pose, [anther], 6, 0.3, 0.09, start=start, elevation=0.5)
        _disc(canvas, pose, 0.08, (0.7, 0.8, 0.4), (0.55, 0.7, 0.3), 7, dome=0.1)
        return
    opening = 0.09 + 0.2 * habit[3]
    length, width = 1.95 * radius, (1.1 + 0.2 * habit[2]) * radius
    shade = _mix(base, 0, 0.25)
    inside = _sprite(rng, length, width, shade, _mix(base, tip, 0.5), **(shape | {"flame": None}))
    outside = [_sprite(rng, length, width, base, tip, bend=bend, **shape) for bend in (-0.25, 0.25, 0.0)]
    foot = [pose.x - 0.95 * radius * np.sin(pose.lean), pose.y + 0.95 * radius * np.cos(pose.lean)]
    cup = [(inside, -1.0, 0.96, 0.3), (inside, 1.0, 0.96, 0.3), (inside, 0.1, 1.0, 0.25)]
    cup += [(outside[1], -1.5, 0.93, 0.1), (outside[0], 1.5, 0.93, 0.1), (outside[2], rng.normal(0, 0.2), 0.88, 0.0)]
    for sprite, spread, reach, darker in cup:
        turn = pose.lean + spread * opening * rng.normal(1, 0.1)
        along = np.array([np.sin(turn), -np.cos(turn)])
        side = np.array([-along[1], along[0]])
        tone = 0.72 - darker + 0.25 * np.sign(spread) * canvas.light[0] * (abs(spread) > 0.5)
        sprite.stamp(canvas.image, foot, along * length * reach, side * width, tone)


_PAINTERS = {"daisy": _daisy, "dandelion": _dandelion, "rose": _rose, "sunflower": _sunflower, "tulip": _tulip}


# ---------------------------------------------------------------- backgrounds


def _noise(rng, cells, size) -> np.ndarray:
    """Smooth noise, (size, size, 1), about -1..1, with ``cells`` bumps a side."""
    coarse = Image.fromarray(rng.uniform(-1, 1, (cells, cells)).astype(np.float32))
    return np.asarray(coarse.resize((size, size), Image.BICUBIC))[..., None]


def _gradient(rng, top, bottom, size, rough=0.15) -> np.ndarray:
    t = np.linspace(0, 1, size, dtype=np.float32)[:, None, None] + rough * _noise(rng, 5, size)
    return _mix(top, bottom, np.clip(t, 0, 1))


def _discs(rng, image, count, colours, radius, alpha):
    """Out-of-focus highlights; ``radius`` a (least, most) share of the image, ``alpha`` the most opaque."""
    brush, size = ImageDraw.Draw(image, "RGBA"), image.width
    for _ in range(count):
        (x, y), r = rng.uniform(0, size, 2), size * rng.uniform(*radius)
        colour = np.add(colours[rng.integers(len(colours))], rng.normal(0, 0.06, 3))
        brush.ellipse((x - r, y - r, x + r, y + r), fill=_rgba(colour, alpha * rng.uniform(0.3, 1)))


def _blades(rng, image, count, top):
    """Blades of grass rooted from ``top`` (a share of the height) down to below the edge, the near ones the tallest."""
    brush, size = ImageDraw.Draw(image, "RGBA"), image.width
    for depth in np.sort(rng.random(count)):
        x, y, tall = rng.uniform(0, size), size * (top + (1.15 - top) * depth), size * (0.08 + 0.3 * depth)
        lean, thick = rng.normal(0, 0.35) * tall, size * (0.003 + 0.008 * depth)
        colour = np.multiply(GREENS[rng.integers(len(GREENS))], rng.uniform(0.7, 1.5))
        brush.polygon([(x - thick, y), (x + lean, y - tall), (x + thick, y)], fill=_rgba(colour))


def _bokeh(rng, size):
    far = _mix(GREENS[rng.integers(4)], rng.random(3), rng.uniform(0, 0.5)) * rng.uniform(0.6, 1.3)
    image = _image(_gradient(rng, far * 1.2, far * 0.6, size, 0.5))
    blossom = rng.uniform(0.5, 1, 3)
    _discs(rng, image, rng.integers(15, 45), [*np.multiply(GREENS, 1.7), (1, 0.95, 0.7), blossom], (0.02, 0.11), 0.5)
    return image.filter(ImageFilter.GaussianBlur(size * rng.uniform(0.004, 0.03)))


def _meadow(rng, size):
    image = _image(_gradient(rng, np.multiply(GREENS[2], 1.5), np.multiply(GREENS[0], 0.7), size))
    _discs(rng, image, rng.integers(0, 40), rng.uniform(0.5, 1, (3, 3)), (0.006, 0.02), 0.9)
    _blades(rng, image, 220, rng.uniform(0, 0.4))
    return image.filter(ImageFilter.GaussianBlur(size * rng.uniform(0.003, 0.018)))


def _sky(rng, size):
    blue = np.array([0.20, 0.45, 0.82]) + rng.normal(0, 0.05, 3)
    pale = [(0.80, 0.90, 0.98), (1.0, 0.85, 0.70), (0.95, 0.96, 0.98)][rng.integers(3)]
    clouds = np.clip(_noise(rng, 5, size) + 0.5 * _noise(rng, 11, size) + rng.uniform(-0.4, 0.3), 0, 1) * 0.8
    image = _image(_mix(_gradient(rng, blue, pale, size), 1.0, clouds))
    if rng.random() < 0.6:
        _blades(rng, image, 90, rng.uniform(0.75, 1.0))
    return image.filter(ImageFilter.GaussianBlur(size * 0.012))


def _dark(rng, size):
    tint = rng.uniform(0.02, 0.16, 3)
    image = _image(_gradient(rng, tint * 1.6, tint * 0.5, size, 0.6))
    _discs(rng, image, rng.integers(0, 14), [tint * 3, np.multiply(GREENS[0], 0.9)], (0.03, 0.12), 0.4)
    return image.filter(ImageFilter.GaussianBlur(size * 0.03))


def _soil(rng, size):
    earth = np.array([0.34, 0.24, 0.16]) * rng.uniform(0.6, 1.3) + rng.normal(0, 0.02, 3)
    rough = 0.5 * _noise(rng, 9, size) + 0.4 * _noise(rng, 30, size) + 0.4 * _noise(rng, 80, size)
    image = _image(_gradient(rng, earth * 1.2, earth * 0.8, size) * (1 + 0.5 * rough))
    _discs(rng, image, 60, [earth * 1.5, earth * 0.5, (0.5, 0.47, 0.42)], (0.004, 0.02), 0.8)
    _blades(rng, image, rng.integers(0, 25), 0.2)
    return image.filter(ImageFilter.GaussianBlur(size * rng.uniform(0.003, 0.012)))


def _wall(rng, size):
    paint = rng.uniform(0.45, 0.95, 3)
    return _image(_gradient(rng, paint * 1.1, paint * 0.8, size, 0.3) * (1 + 0.03 * _noise(rng, 60, size)))


def _background(rng, size) -> Image.Image:
    """Painted at half size: it is out of focus anyway, and costs a quarter."""
    scene = (_bokeh, _bokeh, _meadow, _meadow, _sky, _dark, _soil, _wall)[rng.integers(8)]
    return scene(rng, size // 2).resize((size, size), Image.BICUBIC)


# ---------------------------------------------------------------- scene and light


def _arrange(rng, size) -> list[Pose]:
    """One to five blooms, the farthest (smallest) first, kept apart so that none hides another."""
    count = rng.choice([1, 2, 3, 4, 5], p=[0.4, 0.2, 0.18, 0.12, 0.1])
    main = size * (rng.uniform(0.26, 0.44) if count == 1 else rng.uniform(0.16, 0.28))
    placed = [(*(size * rng.uniform([0.36, 0.34], [0.64, 0.56])), main)]
    for _ in range(40 * count):
        if len(placed) == count:
            break
        x, y, radius = *(size * rng.uniform([0.05, 0.1], [0.95, 0.75])), main * rng.uniform(0.4, 0.95)
        if all(np.hypot(x - u, y - v) > 0.85 * (radius + r) for u, v, r in placed):
            placed.append((x, y, radius))
    common = rng.uniform(0, 0.8)
    blooms = []
    for x, y, radius in sorted(placed, key=lambda place: place[2]):
        tilt, lean = np.clip(common + rng.normal(0, 0.12), 0, 1), rng.normal(0, 0.3)
        up, right = np.array([np.sin(lean), -np.cos(lean)]), np.array([np.cos(lean), np.sin(lean)])
        blooms.append(Pose(x, y, radius, lean, np.column_stack([up * np.cos(tilt), right, up * np.sin(tilt)])))
    return blooms


def _develop(rng, image, light) -> Image.Image:
    """The light on the whole picture: its direction and warmth, glow, exposure, vignette, grain."""
    if rng.random() < 0.5:
        glow = image.filter(ImageFilter.GaussianBlur(0.03 * image.width))
        image = Image.blend(image, ImageChops.lighter(image, glow), rng.uniform(0.2, 0.6))
    pixels = np.asarray(image, np.float32) / 255
    across = np.linspace(-1, 1, image.width, dtype=np.float32)
    x, y = across[None, :, None], across[:, None, None]
    falloff = 1 + rng.uniform(0.05, 0.28) * (x * light[0] + y * light[1]) - rng.uniform(0, 0.14) * (x * x + y * y)
    warmth = rng.normal(0, 0.07)
    tint = np.array([1 + warmth, 1, 1 - warmth], np.float32) * rng.uniform(0.85, 1.15)
    pixels = (pixels * falloff * tint).clip(0, 1) ** rng.uniform(0.85, 1.2)
    pixels = _mix(pixels.mean(2, keepdims=True), pixels, rng.uniform(0.8, 1.12))
    grain = rng.standard_normal((*pixels.shape[:2], 1), np.float32)
    return _image(pixels + rng.uniform(0.004, 0.02) * grain)


# ---------------------------------------------------------------- the photo set


def render_garden(
    folder: Path,
    per_class: int = 60,
    seed: int = 0,
    size: int = 256,
    progress: Callable[[int, int], None] | None = None,
) -> None:
    """Write ``folder/<class>/<class>-0001.jpg`` and so on: ``per_class`` photos of each class, ``size`` pixels a side.

    The folder appears whole: it is made beside and renamed. Where it already exists nothing is done. ``progress`` gets
    (photos done, photos in all). Raises UsageError for numbers out of range, DataError where it cannot be written.
    """
    folder = Path(folder)
    if folder.exists():
        return
    if per_class < 1 or seed < 0:
        raise UsageError(
            f"A garden needs 1 photo or more of each class and a seed of 0 or more, not {per_class} and {seed}."
        )
    total, done = per_class * len(CLASSES), 0
    try:
        folder.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(dir=folder.parent, prefix=f".{folder.name}-") as beside:
            growing = Path(beside) / folder.name
            for kind in CLASSES:
                (growing / kind).mkdir(parents=True)
                for number in range(1, per_class + 1):
                    # Two gardens share no photo, below 100,000 of a class.
                    photo = render_flower(kind, seed * 100_000 + number, size)
                    photo.save(growing / kind / f"{kind}-{number:04d}.jpg", quality=90)
                    done += 1
                    if progress:
                        progress(done, total)
            growing.rename(folder)
    except OSError as error:
        if not folder.is_dir():  # else another process was first, with the same garden
            raise DataError(f"The garden cannot be written to {folder} ({error}); choose another folder.") from error
