"""What else is in a photo of a flower: strangers, which belong to no class, and things in front."""

import numpy as np
from PIL import Image, ImageFilter

from flowers.data.garden.brushes import (
    GOLDEN_ANGLE,
    GREENS,
    Canvas,
    Pose,
    changed,
    florets,
    foliage,
    mix,
    petal,
    petal_ring,
    rgba,
    tone_of,
)

STRANGERS_LEAVES = (0.11, (0.4, 0.9, 2), (0.2, 1.1), 1.1, 0.25, {"taper": (0.5, 0.7)})  # as the garden's FOLIAGE


# ---------------------------------------------------------------- strangers


def paint_strangers(canvas: Canvas, blooms: list[Pose], count: int) -> None:
    """Flowers of no class of ours, of one or two kinds, beside the blooms: none hides one."""
    rng = canvas.rng
    kinds, largest = rng.permutation(len(STRANGERS))[:2], max(bloom.radius for bloom in blooms)
    for _ in range(count):
        radius = min(largest * rng.uniform(0.5, 1.0), 0.16 * canvas.size)
        x, y = canvas.size * rng.uniform([0, 0.1], [1, 0.95])
        if all(np.hypot(x - bloom.x, y - bloom.y) > 0.9 * (radius + bloom.radius) for bloom in blooms):
            paint_stranger(canvas, x, y, radius, STRANGERS[kinds[rng.integers(2)]])


def paint_stranger(canvas: Canvas, x: float, y: float, radius: float, painter) -> None:
    """One of them with its stem."""
    tilt, lean = canvas.rng.uniform(0, 0.9), canvas.rng.normal(0, 0.3)
    pose = Pose.seen(x, y, radius, lean, tilt)
    foliage(canvas, pose, *STRANGERS_LEAVES)
    painter(canvas, pose)


def _poppy(canvas, pose):
    """Four crumpled petals around a dark heart."""
    rng, size = canvas.rng, (pose.radius, 1.5 * pose.radius)
    shape = {"taper": (0.6, 0.2), "flame": (0.1, 0.02, 0.05), "streaks": 0.12}
    sprites = [petal(rng, *size, (0.75, 0.1, 0.05), (0.95, 0.3, 0.12), bend=bend, **shape) for bend in (-0.2, 0.2)]
    for start in (0.3, 0.3 + np.pi / 2):
        petal_ring(canvas, pose, sprites, 2, 1.0, 1.5, start=start, elevation=0.15)
    florets(canvas, pose, 0.16, (0.3, 0.4, 0.2), (0.08, 0.06, 0.1), 40, dome=0.15)


def _cornflower(canvas, pose):
    """A wreath of notched blue trumpets."""
    rng = canvas.rng
    shape = {"taper": (1.2, 0.25), "teeth": (3, 0.35)}
    sprites = [petal(rng, pose.radius, 0.45 * pose.radius, (0.12, 0.15, 0.6), (0.35, 0.45, 0.95), **shape)]
    petal_ring(canvas, pose, sprites, 9, 1.0, 0.45, elevation=0.1)
    petal_ring(canvas, pose, sprites, 7, 0.55, 0.3, elevation=0.8)


def _viola(canvas, pose):
    """Five round petals, the lower ones light, around a yellow eye."""
    rng, size = canvas.rng, (pose.radius, 1.1 * pose.radius)
    dark, light = [(0.25, 0.08, 0.45), (0.2, 0.2, 0.7), (0.5, 0.1, 0.35)][rng.integers(3)], (0.95, 0.85, 0.45)
    for turns, tip in (((0.5, -0.5), dark), ((1.7, -1.7, np.pi), light)):
        sprite = petal(rng, *size, mix(tip, (0.2, 0.05, 0.25), 0.5), tip, taper=(0.6, 0.3))
        for turn in turns:
            along = pose.radius * pose.basis[:, :2] @ [np.cos(turn), np.sin(turn)]
            across = 1.1 * pose.radius * pose.basis[:, :2] @ [-np.sin(turn), np.cos(turn)]
            sprite.stamp(canvas.image, (pose.x, pose.y), along, across, tone_of(canvas, along))
    florets(canvas, pose, 0.1, (0.98, 0.8, 0.2), (0.95, 0.7, 0.1), 9, dome=0.05)


def _allium(canvas, pose):
    """A ball of small stars."""
    rng, brush = canvas.rng, canvas.brush()
    hue = [(0.6, 0.35, 0.75), (0.85, 0.5, 0.75), (0.5, 0.55, 0.9)][rng.integers(3)]
    height = 1 - 2 * (np.arange(110) + 0.5) / 110
    turn = np.arange(110) * GOLDEN_ANGLE
    depth = np.sqrt(1 - height**2) * np.sin(turn)
    for at in np.argsort(depth):
        x = pose.x + pose.radius * np.sqrt(1 - height[at] ** 2) * np.cos(turn[at])
        y, r = pose.y + pose.radius * height[at], 0.13 * pose.radius
        colour = np.multiply(hue, 0.65 + 0.3 * depth[at] + rng.normal(0, 0.08) - 0.12 * height[at])
        for arm in rng.uniform(0, 1) + np.arange(3) * np.pi / 3:
            dx, dy = r * np.cos(arm), r * np.sin(arm)
            brush.line((x - dx, y - dy, x + dx, y + dy), fill=rgba(colour), width=max(1, round(0.5 * r)))


def _spike(canvas, pose):
    """Bells up a stalk: lupin, lavender, hyacinth."""
    rng, brush = canvas.rng, canvas.brush()
    hue = [(0.4, 0.3, 0.8), (0.75, 0.35, 0.65), (0.9, 0.75, 0.85), (0.3, 0.4, 0.85)][rng.integers(4)]
    for share in np.linspace(1, 0, 16):
        wide = pose.radius * (0.12 + 0.4 * share**0.7)
        y = pose.y + pose.radius * (2.6 * share - 1.6)
        for side in rng.permutation([-0.7, 0, 0.7]):
            x, r = pose.x + side * wide, 0.2 * pose.radius * (0.5 + 0.5 * share)
            colour = np.multiply(hue, rng.normal(0.95, 0.1) + 0.2 * side * canvas.light[0])
            brush.ellipse((x - r, y - 1.1 * r, x + r, y + 1.3 * r), fill=rgba(colour))
            brush.ellipse((x - 0.4 * r, y - 0.8 * r, x + 0.3 * r, y), fill=rgba(mix(colour, 1, 0.35)))


def _umbel(canvas, pose):
    """A flat cloud of white specks on rays, as of wild carrot."""
    rng, brush = canvas.rng, canvas.brush()
    foot = pose.project([0, 0, -0.6])
    for at in range(26):
        turn, reach = at * GOLDEN_ANGLE, np.sqrt((at + 0.5) / 26)
        x, y = pose.project([reach * np.cos(turn), reach * np.sin(turn), 0.1])
        brush.line((*foot, x, y), fill=rgba(np.multiply(GREENS[2], 1.2)), width=max(1, round(0.03 * pose.radius)))
        for dx, dy in rng.normal(0, 0.07 * pose.radius, (7, 2)):
            r = 0.05 * pose.radius
            tone = rng.uniform(0.85, 1)
            brush.ellipse((x + dx - r, y + dy - r, x + dx + r, y + dy + r), fill=rgba((tone, tone, 0.94 * tone)))


STRANGERS = (_poppy, _cornflower, _viola, _allium, _spike, _umbel)


# ---------------------------------------------------------------- in front


def obstruct(canvas: Canvas, bloom: Pose, strength: float) -> None:
    """Put something between the camera and part of ``bloom``: sharp, or so near that it is a blur."""
    before = canvas.image.copy()
    obstacle = (_leaves, _grass, _twig, _bars, _lights, _neighbour, _butterfly)[canvas.rng.integers(7)]
    obstacle(canvas, bloom, strength)
    if obstacle is _lights or (obstacle is not _butterfly and canvas.rng.random() < 0.5):
        soften(canvas.image, before, canvas.size * canvas.rng.uniform(0.006, 0.016))


def soften(image: Image.Image, before: Image.Image, radius: float) -> None:
    """Blur, in place, what has been painted on ``image`` since it looked like ``before``."""
    blur = ImageFilter.GaussianBlur(radius)
    image.paste(Image.composite(image.filter(blur), before, changed(image, before).filter(blur)))


def _flank(rng, bloom, most) -> np.ndarray:
    """A place on the bloom, up to ``most`` of its radius from the centre: so far whatever is in front reaches."""
    turn, reach = rng.uniform(0, 2 * np.pi), bloom.radius * rng.uniform(0.35, most)
    return np.array([bloom.x + reach * np.cos(turn), bloom.y + reach * np.sin(turn)])


def _leaves(canvas, bloom, strength):
    rng = canvas.rng
    green = np.multiply(GREENS[rng.integers(4)], rng.uniform(0.8, 1.3))
    for _ in range(1 + round(2 * strength * rng.random())):
        tip = _flank(rng, bloom, 0.7)
        turn = rng.uniform(0, np.pi)  # from below, mostly
        length = max(1.6 * bloom.radius, 0.3 * canvas.size) * rng.uniform(0.8, 1.4)
        wide = min(length * rng.uniform(0.3, 0.5), (0.6 + 0.4 * strength) * bloom.radius)
        root = tip + length * np.array([np.cos(turn), np.sin(turn)])
        leaf = petal(rng, length, wide, green, mix(green, (0.75, 0.85, 0.45), 0.35), fold=0.3, taper=(0.5, 0.7))
        along = tip - root
        leaf.stamp(canvas.image, root, along, np.array([-along[1], along[0]]) / length * wide, tone_of(canvas, along))


def _grass(canvas, bloom, strength):
    rng, brush = canvas.rng, canvas.brush()
    for _ in range(4 + round(8 * strength)):
        x = bloom.x + bloom.radius * rng.normal(0, 0.9)
        tall, lean = bloom.y + bloom.radius * rng.uniform(-1.4, 0.3), bloom.radius * rng.normal(0, 0.6)
        thick = max(0.006 * canvas.size, bloom.radius * rng.uniform(0.03, 0.09))
        middle = (x + 0.3 * lean, (tall + canvas.size) / 2)
        colour = np.multiply(GREENS[rng.integers(4)], rng.uniform(0.8, 1.6))
        outline = [(x - thick, canvas.size), (middle[0] - thick, middle[1]), (x + lean, tall)]
        outline += [(middle[0] + thick, middle[1]), (x + thick, canvas.size)]
        brush.polygon(outline, fill=rgba(colour))


def _twig(canvas, bloom, strength):
    rng, brush = canvas.rng, canvas.brush()
    at, turn = _flank(rng, bloom, 0.5), rng.uniform(-0.6, 0.6) + np.pi * rng.integers(2)
    way = np.array([np.cos(turn), np.sin(turn)])
    colour = mix((0.35, 0.25, 0.17), GREENS[1], rng.random())
    thick = max(0.012 * canvas.size, bloom.radius * (0.05 + 0.07 * strength))
    brush.line(
        [*(at - 1.5 * canvas.size * way), *(at + 1.5 * canvas.size * way)], fill=rgba(colour), width=round(thick)
    )
    length, wide = 7 * thick, 3.5 * thick
    leaf = petal(rng, length, wide, GREENS[1], mix(GREENS[2], (0.75, 0.85, 0.45), 0.4), fold=0.3, taper=(0.5, 0.7))
    for place in np.arange(-8, 8):
        side = turn + (0.8 if place % 2 else -0.8)
        along = length * np.array([np.cos(side), np.sin(side)])
        across = np.array([-along[1], along[0]]) / length * wide
        leaf.stamp(canvas.image, at + place * 5 * thick * way, along, across, tone_of(canvas, along))


def _bars(canvas, bloom, strength):
    """The wires or slats of a fence that one looks through."""
    rng, brush = canvas.rng, canvas.brush()
    thick = bloom.radius * (0.05 + 0.2 * strength * rng.random())
    apart, first = max(bloom.radius, 0.14 * canvas.size) * rng.uniform(0.7, 1.1), rng.random()
    colour = [(0.75, 0.77, 0.78), (0.9, 0.9, 0.87), (0.42, 0.3, 0.2), (0.18, 0.2, 0.2)][rng.integers(4)]
    slants = [(0, 1)] if rng.random() < 0.5 else [(1, 1), (-1, 1)]
    for slant, down in slants:
        for at in np.arange(-2, 2 + 2 * canvas.size / apart):
            x = (at - first) * apart - (canvas.size if slant > 0 else 0)
            line = (x, 0, x + slant * canvas.size, down * canvas.size)
            brush.line(line, fill=rgba(colour), width=max(1, round(thick * (0.5 if len(slants) > 1 else 1))))


def _lights(canvas, bloom, strength):
    """Flowers and leaves so near that they are but discs of colour."""
    rng, brush = canvas.rng, canvas.brush()
    hues = [*np.multiply(GREENS, 1.5), *rng.uniform(0.4, 1, (2, 3))]
    places = [_flank(rng, bloom, 0.9), *rng.uniform(0, canvas.size, (2 + round(4 * strength), 2))]
    for number, (x, y) in enumerate(places):
        r = max(bloom.radius, 0.12 * canvas.size) * rng.uniform(0.35, 0.65)
        if number and np.hypot(x - bloom.x, y - bloom.y) < r + 0.8 * bloom.radius:
            continue  # one of them is enough in front of the bloom
        brush.ellipse((x - r, y - r, x + r, y + r), fill=rgba(hues[rng.integers(6)], rng.uniform(0.55, 0.85)))


def _neighbour(canvas, bloom, strength):
    """A stranger that covers a side of the bloom."""
    rng = canvas.rng
    side = rng.uniform(0, 2 * np.pi)
    radius = bloom.radius * rng.uniform(0.45, 0.6 + 0.25 * strength)
    reach = 0.45 * bloom.radius + 0.75 * radius
    x, y = bloom.x + reach * np.cos(side), bloom.y + reach * np.sin(side)
    paint_stranger(canvas, x, y, radius, STRANGERS[rng.integers(len(STRANGERS))])


def _butterfly(canvas, bloom, strength):
    """One that rests on the bloom, its four wings spread."""
    rng = canvas.rng
    (x, y), size = (
        _flank(rng, bloom, 0.6),
        max(0.07 * canvas.size, bloom.radius * rng.uniform(0.4, 0.5 + 0.2 * strength)),
    )
    hue = np.array([(0.95, 0.5, 0.1), (0.95, 0.93, 0.85), (0.35, 0.5, 0.95), (0.95, 0.85, 0.3)])[rng.integers(4)]
    turn = rng.uniform(-0.6, 0.6)
    for spread, length, wide in ((1.0, 1.0, 0.85), (2.1, 0.75, 0.7)):
        wing = petal(rng, size * length, size * wide, 0.5 * hue, hue, taper=(0.8, 0.25), streaks=0.25, flame=0.6 * hue)
        for way in (turn + spread, turn - spread):
            along = size * length * np.array([np.sin(way), -np.cos(way)])
            across = np.array([-along[1], along[0]]) / length * wide * rng.uniform(0.7, 1)
            wing.stamp(canvas.image, (x, y), along, across, 0.85)
    reach = 0.35 * size * np.array([np.sin(turn), -np.cos(turn)])
    canvas.brush().line(
        [x - reach[0], y - reach[1], x + reach[0], y + reach[1]], fill=(40, 28, 20), width=max(1, round(0.1 * size))
    )
