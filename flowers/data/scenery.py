"""What is behind the flowers."""

import numpy as np
from PIL import Image, ImageFilter

from flowers.data.brushes import GREENS, as_image, blades, discs, gradient, mix, noise


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
