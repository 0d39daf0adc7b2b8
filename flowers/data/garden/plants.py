"""The flowers of the five classes, and their colours, stems and leaves."""

import numpy as np

from flowers.data.garden.brushes import GOLDEN_ANGLE, GREENS, as_image, florets, mix, petal, petal_ring, rgba, tone_of

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

# Rare ones, or commoner in other classes. What tells a class keeps its own: a daisy's dome, a sunflower's disc.
RARE = {
    "daisy": ["e0b41a fff06a f0a80a", "a01b6b e85ab0 facc33", "7a4bb0 b98af0 f5c028", "c23b10 f08a3c f7c62e"],
    "dandelion": ["c8640a f7a81e e0800a", "e0cf6a fff6a8 f2d24a"],
    "rose": ["3b0a3a 7a2a8a c88ad8", "f0d8c8 fff0e6 e8305a", "e08a10 ffc21e ff8a2a", "c8d8a8 f0f6e0 ffffff"],
    "sunflower": ["e0d0a8 fff8e0 3a1c10", "4a0c12 8a1c22 1c0a08", "8a1a10 ffcc2e 2a140a", "d08a3a ffd9a0 33180c"],
    "tulip": ["1a0618 5a2452 8a4a80", "8aae4a f2f0c8 4a8a2a", "e06a90 ffd0dc fff4f6", "d0a810 fff06a fff8b0"],
}

# Width of the stem; its leaves' places (from the top, 0, to 1), angles from upright, length, width, shape; in radii.
FOLIAGE = {
    "daisy": (0.10, (0.4, 0.9, 2), (0.1, 1.1), 0.9, 0.22, {"taper": (0.5, 0.7), "teeth": (4, 0.4)}),
    "dandelion": (0.11, (0.9, 1.0, 3), (0.1, 1.3), 1.7, 0.5, {"taper": (0.9, 0.4), "teeth": (6, 0.45)}),
    "rose": (0.13, (0.2, 0.9, 3), (1.0, 1.9), 1.15, 0.62, {"taper": (0.5, 0.7), "teeth": (9, 0.16)}),
    "sunflower": (0.16, (0.35, 0.7, 2), (1.1, 1.8), 1.4, 1.0, {"taper": (0.35, 0.8)}),
    "tulip": (0.16, (1.0, 1.0, 2), (0.1, 0.5), 2.6, 0.55, {"taper": (0.5, 0.7), "bend": 0.7}),
}


def _daisy(canvas, pose, base, tip, accent):
    """Strap petals around a yellow dome. Accent: the dome."""
    rng, habit = canvas.rng, canvas.habit
    count, size = int(13 + 13 * habit[0]), pose.radius
    width = 2 * np.pi / count * (0.62 + 0.3 * habit[1])
    shape = {"taper": (0.45, 0.13 + 0.25 * habit[2]), "streaks": 0.05, "fold": 0.1}
    sprites = [petal(rng, size, width * size, base, tip, bend=bend, **shape) for bend in (-0.25, 0, 0.3)]
    start, droop = rng.uniform(0, 1), rng.uniform(-0.3, 0.35) + canvas.closed
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
        rise = share * 1.25 - 0.1 + 0.6 * canvas.closed + rng.normal(0, 0.1, count)
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
    petal_ring(canvas, pose, sprites, count, 1.02, width, start=start, elevation=canvas.closed - 0.1, darker=0.25)
    petal_ring(canvas, pose, sprites, count, 0.94, width, start=start + np.pi / count, elevation=canvas.closed + 0.12)
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
    opening = (0.09 + 0.2 * habit[3]) * (1 - canvas.closed)
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


PAINTERS = {"daisy": _daisy, "dandelion": _dandelion, "rose": _rose, "sunflower": _sunflower, "tulip": _tulip}
