"""The garden: flowers of the five classes, painted by Pillow, so that no network is needed to have photos to train on.

A picture is painted from far to near on a somewhat larger canvas: background, far blooms, blur, near blooms, light.
"""

import tempfile
from collections.abc import Callable
from pathlib import Path

import numpy as np
from PIL import Image, ImageChops, ImageFilter

from flowers.data.brushes import (
    GOLDEN_ANGLE,
    GREENS,
    Canvas,
    Pose,
    as_image,
    florets,
    mix,
    petal,
    petal_ring,
    rgba,
    tone_of,
)
from flowers.data.scenery import background
from flowers.errors import DataError, UsageError

CLASSES = ("daisy", "dandelion", "rose", "sunflower", "tulip")

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
    canvas = Canvas(background(rng, round(size * SUPERSAMPLING)), rng)
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


# ---------------------------------------------------------------- the five flowers


def _daisy(canvas, pose, base, tip, accent):
    """Strap petals around a yellow dome. Accent: the dome."""
    rng, habit = canvas.rng, canvas.habit
    count, size = int(13 + 13 * habit[0]), pose.radius
    width = 2 * np.pi / count * (0.62 + 0.3 * habit[1])
    shape = {"taper": (0.45, 0.13 + 0.25 * habit[2]), "streaks": 0.05, "fold": 0.1}
    sprites = [petal(rng, size, width * size, base, tip, bend=bend, **shape) for bend in (-0.25, 0, 0.3)]
    start, droop = rng.uniform(0, 1), rng.uniform(-0.3, 0.35)
    petal_ring(canvas, pose, sprites, count, 1.0, width, start=start, elevation=droop - 0.1, darker=0.22)
    petal_ring(canvas, pose, sprites, count, 0.95, width, start=start + np.pi / count, elevation=droop)
    disc = 0.24 + 0.1 * habit[1]
    florets(canvas, pose, disc, mix(accent, (0.75, 0.8, 0.2), 0.35), accent, 150, dome=0.5 * disc)


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
        colours = mix(mix(base, tip, 0.3 + 0.7 * rng.random((count, 1))), accent, 0.7 * share**3) * lit[:, None]
        for polygon, colour in zip(pixels, colours.tolist(), strict=True):
            edge = rgba([0.82 * channel for channel in colour])
            brush.polygon([*map(tuple, polygon)], fill=rgba(colour), outline=edge)
    # At the heart, florets yet to open.
    florets(canvas, pose, 0.15, accent, mix(tip, base, 0.4), 45, dome=0.16, height=0.4, contrast=0.2)


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
    glow = as_image(np.clip(1 - far**3, 0, 1) * rng.uniform(0.2, 0.4)).resize((int(2 * radius),) * 2)
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
        brush.line([*foot, *crown], fill=rgba((0.80 * bright, 0.76 * bright, 0.66 * bright), alpha), width=hair)
        for x, y in tips[number]:
            brush.line([*crown, x, y], fill=rgba((bright, bright, bright), alpha), width=hair)
        brush.line([*(centre + 0.1 * radius * seed[:2]), *foot], fill=rgba((0.42, 0.30, 0.18)), width=3 * hair)
        if number == len(seeds) // 2:
            core = 0.13 * radius
            brush.ellipse((*(centre - core), *(centre + core)), fill=rgba((0.50, 0.42, 0.28)))


def _rose(canvas, pose, base, tip, accent):
    """Broad petals spiralling inwards, each with a lit, curled edge over the shade of the next. Accent: the edge."""
    rng, count = canvas.rng, int(20 + 11 * canvas.habit[0])
    sepal = petal(rng, pose.radius, 0.3 * pose.radius, GREENS[0], GREENS[1], taper=(0.4, 0.9))
    petal_ring(canvas, pose, [sepal], 5, 1.08, 0.3, start=rng.uniform(0, 6), elevation=-0.2)
    curl, spiral, edge = 0.35 + 0.35 * canvas.habit[1], rng.uniform(0, 6), mix(tip, accent, 0.25)
    for k in range(count):
        share = 1 - k / count  # 1 outermost, towards 0 at the heart
        reach = pose.radius * (0.1 + 0.88 * share**0.95)
        if k % 10 == 0:
            inner = mix(base, 0, 0.35 * (1 - share))
            shape = {"taper": (0.5, 0.2 + 0.1 * rng.random()), "streaks": 0.035, "fold": 0.0, "rim": curl}
            size = (1.4 * reach, 1.75 * reach)
            sprites = [petal(rng, *size, inner, edge, bend=bend, **shape) for bend in (-0.12, 0.12)]
        turn = spiral + k * GOLDEN_ANGLE + rng.normal(0, 0.12)
        out = np.array([np.cos(turn), np.sin(turn), 0.0])
        across = reach * 1.75 * pose.basis @ [-out[1], out[0], 0]
        along = reach * 1.4 * rng.normal(1, 0.04) * pose.basis @ out
        heart = pose.project([0, 0, 0.5 * (1 - share)])
        tone = tone_of(canvas, along) + 0.1 * share
        sprites[k % 2].stamp(canvas.image, heart - 0.3 * along, along, across, tone)


def _sunflower(canvas, pose, base, tip, accent):
    """Two layers of pointed petals around a broad dark disc. Accent: the disc."""
    rng, habit = canvas.rng, canvas.habit
    count, disc = int(17 + 8 * habit[0]), 0.40 + 0.14 * habit[1]
    width = 2 * np.pi / count * (0.72 + 0.25 * habit[2])
    shape = {"taper": (0.6, 0.75), "streaks": 0.1, "fold": 0.14}
    start, size = rng.uniform(0, 1), (pose.radius, width * pose.radius)
    sprites = [petal(rng, *size, base, tip, bend=bend, **shape) for bend in (-0.3, 0.1, 0.4)]
    bracts = petal(rng, pose.radius, 0.25 * pose.radius, GREENS[0], GREENS[1], taper=(0.5, 0.8))
    petal_ring(canvas, pose, [bracts], 11, 0.86, 0.25, start=start)
    petal_ring(canvas, pose, sprites, count, 1.02, width, start=start, elevation=-0.1, darker=0.25)
    petal_ring(canvas, pose, sprites, count, 0.94, width, start=start + np.pi / count, elevation=0.12)
    ring = mix(accent, (0.62, 0.36, 0.08), 0.35 + 0.5 * habit[3])
    florets(canvas, pose, disc, accent, ring, 330, dome=0.22 * disc)
    florets(canvas, pose, disc * 0.5, mix(accent, (0.45, 0.50, 0.16), 0.6 * habit[0]), accent, 110, dome=0.2 * disc)


def _tulip(canvas, pose, base, tip, accent):
    """A cup of six petals seen from the side, or at times from above. Accent: the flame on the petals."""
    rng, habit, radius = canvas.rng, canvas.habit, pose.radius
    flame = accent if habit[0] < 0.55 else None
    shape = {"taper": (0.42, 0.4 + 0.5 * habit[2]), "streaks": 0.045, "fold": 0.06, "flame": flame}
    if habit[1] < 0.2:
        heart = (0.95, 0.82, 0.25) if habit[2] < 0.5 else (0.12, 0.06, 0.14)
        sprites = [petal(rng, radius, 0.95 * radius, mix(base, heart, 0.8), tip, **(shape | {"flame": heart}))]
        start = rng.uniform(0, 2)
        petal_ring(canvas, pose, sprites, 3, 1.0, 0.95, start=start, elevation=0.15, darker=0.2)
        petal_ring(canvas, pose, sprites, 3, 0.92, 0.92, start=start + np.pi / 3, elevation=0.35)
        anther = petal(rng, 0.3 * radius, 0.09 * radius, (0.5, 0.6, 0.2), (0.15, 0.08, 0.12), taper=(0.2, 0.3))
        petal_ring(canvas, pose, [anther], 6, 0.3, 0.09, start=start, elevation=0.5)
        florets(canvas, pose, 0.08, (0.7, 0.8, 0.4), (0.55, 0.7, 0.3), 7, dome=0.1)
        return
    opening = 0.09 + 0.2 * habit[3]
    length, width = 1.95 * radius, (1.1 + 0.2 * habit[2]) * radius
    shade = mix(base, 0, 0.25)
    inside = petal(rng, length, width, shade, mix(base, tip, 0.5), **(shape | {"flame": None}))
    outside = [petal(rng, length, width, base, tip, bend=bend, **shape) for bend in (-0.25, 0.25, 0.0)]
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
    pixels = mix(pixels.mean(2, keepdims=True), pixels, rng.uniform(0.8, 1.12))
    grain = rng.standard_normal((*pixels.shape[:2], 1), np.float32)
    return as_image(pixels + rng.uniform(0.004, 0.02) * grain)


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
