"""What is behind the flowers."""

import numpy as np
from PIL import Image, ImageDraw, ImageFilter

from flowers.data.garden.brushes import GREENS, as_image, blades, discs, gradient, mix, noise, petal, rgba


def _bokeh(rng, size):
    far = mix(GREENS[rng.integers(4)], rng.random(3), rng.uniform(0, 0.5)) * rng.uniform(0.6, 1.3)
    image = as_image(gradient(rng, far * 1.2, far * 0.6, size, 0.5))
    blossom = rng.uniform(0.5, 1, 3)
    discs(rng, image, rng.integers(15, 45), [*np.multiply(GREENS, 1.7), (1, 0.95, 0.7), blossom], (0.02, 0.11), 0.5)
    return image.filter(ImageFilter.GaussianBlur(size * rng.uniform(0.004, 0.03)))


def _meadow(rng, size):
    image = as_image(gradient(rng, np.multiply(GREENS[2], 1.5), np.multiply(GREENS[0], 0.7), size))
    discs(rng, image, rng.integers(0, 40), rng.uniform(0.5, 1, (3, 3)), (0.006, 0.02), 0.9)
    blades(rng, image, 220, rng.uniform(0, 0.4))
    return image.filter(ImageFilter.GaussianBlur(size * rng.uniform(0.003, 0.018)))


def _sky(rng, size):
    blue = np.array([0.20, 0.45, 0.82]) + rng.normal(0, 0.05, 3)
    pale = [(0.80, 0.90, 0.98), (1.0, 0.85, 0.70), (0.95, 0.96, 0.98)][rng.integers(3)]
    clouds = np.clip(noise(rng, 5, size) + 0.5 * noise(rng, 11, size) + rng.uniform(-0.4, 0.3), 0, 1) * 0.8
    image = as_image(mix(gradient(rng, blue, pale, size), 1.0, clouds))
    if rng.random() < 0.6:
        blades(rng, image, 90, rng.uniform(0.75, 1.0))
    return image.filter(ImageFilter.GaussianBlur(size * 0.012))


def _dark(rng, size):
    tint = rng.uniform(0.02, 0.16, 3)
    image = as_image(gradient(rng, tint * 1.6, tint * 0.5, size, 0.6))
    discs(rng, image, rng.integers(0, 14), [tint * 3, np.multiply(GREENS[0], 0.9)], (0.03, 0.12), 0.4)
    return image.filter(ImageFilter.GaussianBlur(size * 0.03))


def _soil(rng, size):
    earth = np.array([0.34, 0.24, 0.16]) * rng.uniform(0.6, 1.3) + rng.normal(0, 0.02, 3)
    rough = 0.5 * noise(rng, 9, size) + 0.4 * noise(rng, 30, size) + 0.4 * noise(rng, 80, size)
    image = as_image(gradient(rng, earth * 1.2, earth * 0.8, size) * (1 + 0.5 * rough))
    discs(rng, image, 60, [earth * 1.5, earth * 0.5, (0.5, 0.47, 0.42)], (0.004, 0.02), 0.8)
    blades(rng, image, rng.integers(0, 25), 0.2)
    return image.filter(ImageFilter.GaussianBlur(size * rng.uniform(0.003, 0.012)))


def _wall(rng, size):
    paint = rng.uniform(0.45, 0.95, 3)
    return as_image(gradient(rng, paint * 1.1, paint * 0.8, size, 0.3) * (1 + 0.03 * noise(rng, 60, size)))


def background(rng, size) -> Image.Image:
    """Painted at half size: it is out of focus anyway, and costs a quarter."""
    scene = (_bokeh, _bokeh, _meadow, _meadow, _sky, _dark, _soil, _wall)[rng.integers(8)]
    return scene(rng, size // 2).resize((size, size), Image.BICUBIC)


# ---------------------------------------------------------------- where there is more to see than flowers


def busy_background(rng, size) -> Image.Image:
    """A background with things of its own, which may be as sharp as the flowers."""
    scene = (_fence, _bricks, _hedge, _park, _sunset, _table, _pond)[rng.integers(7)]
    return scene(rng, size // 2).resize((size, size), Image.BICUBIC)


def _soft(rng, image, most) -> Image.Image:
    return image.filter(ImageFilter.GaussianBlur(image.width * rng.uniform(0.001, most)))


def _fence(rng, size):
    image = _meadow(rng, size)
    brush, paint = ImageDraw.Draw(image), np.array([(0.9, 0.9, 0.86), (0.5, 0.36, 0.24), (0.45, 0.55, 0.58)])
    paint, wide, top = paint[rng.integers(3)], size * rng.uniform(0.08, 0.15), size * rng.uniform(0.05, 0.4)
    for rail in (0.15, 0.5):
        y = top + rail * size
        brush.rectangle((0, y, size, y + 0.5 * wide), fill=rgba(0.7 * paint))
    for x in np.arange(-rng.uniform(0, wide), size, wide * rng.uniform(1.2, 1.7)):
        tone = paint * rng.normal(0.95, 0.05)
        for left, right, shade in ((0, 1, 1), (0.85, 1, 0.75)):
            a, b = x + left * wide, x + right * wide
            peak = (x + 0.5 * wide, top - 0.5 * wide) if left == 0 else (b, top)
            brush.polygon([(a, size), (a, top), peak, (b, top), (b, size)], fill=rgba(shade * tone))
    blades(rng, image, 60, 0.85)
    return _soft(rng, image, 0.012)


def _bricks(rng, size):
    clay = np.array([(0.58, 0.26, 0.18), (0.66, 0.6, 0.52), (0.42, 0.3, 0.27)])[rng.integers(3)]
    image = Image.new("RGB", (size, size), rgba(mix(clay, 0.75, 0.6))[:3])
    brush, high = ImageDraw.Draw(image), size * rng.uniform(0.06, 0.13)
    for row in range(int(size / high) + 1):
        for x in np.arange(-2.4 * high * (0.2 + 0.5 * (row % 2)), size, 2.4 * high):
            tone = clay * rng.normal(1, 0.12)
            brush.rectangle((x, row * high, x + 2.25 * high, (row + 0.87) * high), fill=rgba(tone))
    return _soft(rng, as_image(np.asarray(image) / 255 * (1 + 0.12 * noise(rng, 60, size))), 0.012)


def _hedge(rng, size):
    image = as_image(gradient(rng, np.multiply(GREENS[0], 0.7), np.multiply(GREENS[0], 0.3), size))
    wide = size * rng.uniform(0.05, 0.11)
    shape = {"taper": (0.5, 0.7), "fold": 0.3}
    leaves = [petal(rng, 2 * wide, wide, green, mix(green, (0.7, 0.8, 0.4), 0.3), **shape) for green in GREENS]
    for depth in np.linspace(0.25, 0.85, 90):
        turn = rng.uniform(0, 2 * np.pi)
        along = np.array([np.cos(turn), np.sin(turn)]) * 2 * wide
        across = np.array([-along[1], along[0]]) / 2 * rng.uniform(0.5, 1)
        leaves[rng.integers(4)].stamp(image, rng.uniform(0, size, 2), along, across, depth)
    return _soft(rng, image, 0.015)


def _park(rng, size):
    """A lawn up to a row of trees, and perhaps a house before them."""
    image, skyline = _sky(rng, size), rng.uniform(0.25, 0.55)
    brush = ImageDraw.Draw(image)
    for _ in range(30):
        x, r = rng.uniform(0, size), size * rng.uniform(0.05, 0.14)
        green = np.multiply(GREENS[rng.integers(4)], rng.uniform(0.6, 1.2))
        brush.ellipse((x - r, skyline * size - 1.4 * r, x + r, skyline * size + r), fill=rgba(green))
    if rng.random() < 0.5:
        x, wide, foot = size * rng.uniform(0, 0.7), size * rng.uniform(0.2, 0.35), size * (skyline + 0.04)
        brush.rectangle((x, foot - 0.6 * wide, x + wide, foot), fill=rgba(rng.uniform(0.6, 0.95, 3)))
        roof = [(x - 0.08 * wide, foot - 0.6 * wide), (x + wide / 2, foot - wide), (x + 1.08 * wide, foot - 0.6 * wide)]
        brush.polygon(roof, fill=rgba((0.55, 0.25, 0.18)))
        for pane in (0.15, 0.6):
            left = x + pane * wide
            brush.rectangle((left, foot - 0.45 * wide, left + 0.22 * wide, foot - 0.2 * wide), fill=(40, 48, 60))
    brush.rectangle((0, size * (skyline + 0.03), size, size), fill=rgba(np.multiply(GREENS[2], 1.1)))
    blades(rng, image, 160, skyline + 0.05)
    return _soft(rng, image, 0.02)


def _sunset(rng, size):
    glow = np.array([(1.0, 0.62, 0.3), (1.0, 0.5, 0.45), (0.98, 0.78, 0.5)])[rng.integers(3)]
    pixels = gradient(rng, (0.28, 0.26, 0.45), glow, size, 0.1)
    down, across = np.mgrid[0 : 1 : 1j * size, 0 : 1 : 1j * size]
    sun = rng.uniform([0.1, 0.3], [0.9, 0.7])
    far = np.hypot(across - sun[0], down - sun[1])[..., None]
    pixels = mix(pixels, (1, 0.93, 0.75), np.clip(1.15 - far / 0.06, 0, 1) + 0.5 * np.exp(-far / 0.2))
    image = as_image(pixels)
    for height, tone in ((0.72, 0.5), (0.85, 0.28)):
        ridge = size * (height + 0.06 * np.interp(np.linspace(0, 7, 30), range(8), rng.uniform(-1, 1, 8)))
        outline = [*zip(np.linspace(0, size, 30), ridge, strict=True), (size, size), (0, size)]
        ImageDraw.Draw(image).polygon(outline, fill=rgba(np.multiply((0.5, 0.36, 0.42), tone)))
    return _soft(rng, image, 0.01)


def _table(rng, size):
    """A chequered cloth."""
    cloth = np.array([(0.8, 0.2, 0.2), (0.2, 0.4, 0.7), (0.3, 0.6, 0.4), (0.9, 0.7, 0.2)])[rng.integers(4)]
    check, turn = size * rng.uniform(0.05, 0.12), rng.uniform(0, np.pi)
    down, across = np.mgrid[:size, :size]
    u, v = across * np.cos(turn) - down * np.sin(turn), across * np.sin(turn) + down * np.cos(turn)
    share = ((u // check % 2) + (v // check % 2))[..., None] / 2
    return _soft(rng, as_image(mix((0.95, 0.94, 0.9), cloth, share) * (1 + 0.1 * noise(rng, 6, size))), 0.012)


def _pond(rng, size):
    water = np.array([0.12, 0.26, 0.3]) * rng.uniform(0.8, 1.8) + rng.normal(0, 0.03, 3)
    ripples = np.sin(np.arange(size)[:, None, None] * 2 * np.pi * 26 / size + 5 * noise(rng, 6, size))
    image = as_image(gradient(rng, 1.6 * water, 0.7 * water, size) * (1 + 0.22 * ripples))
    brush = ImageDraw.Draw(image)
    for _ in range(rng.integers(3, 9)):
        (x, y), r = rng.uniform(0, size, 2), size * rng.uniform(0.05, 0.13)
        notch = rng.uniform(0, 360)
        green = np.multiply(GREENS[rng.integers(4)], rng.uniform(0.9, 1.4))
        brush.pieslice((x - r, y - 0.5 * r, x + r, y + 0.5 * r), notch, notch + 335, fill=rgba(green))
    return _soft(rng, image, 0.012)
