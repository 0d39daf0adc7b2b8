"""One picture: painted from far to near on a somewhat larger canvas, then developed as a photo is."""

import numpy as np
from PIL import Image, ImageChops, ImageFilter

from flowers.data.garden.brushes import Canvas, Pose, as_image, foliage, mix
from flowers.data.garden.hardships import Hardships
from flowers.data.garden.plants import FOLIAGE, PAINTERS, VARIETIES
from flowers.data.garden.scenery import background
from flowers.errors import UsageError

CLASSES = tuple(PAINTERS)
SUPERSAMPLING = 1.5  # 2 takes 1.4 times as long and hardly shows: sprites are smooth already


def render_flower(kind: str, seed: int, size: int = 256, difficulty: float = 0.0) -> Image.Image:
    """One picture of ``kind`` (see ``CLASSES``): RGB, ``size`` by ``size`` pixels, a pure function of its arguments.

    ``seed`` is 0 or more, ``size`` 16 or more. ``difficulty`` is from 0, a clear portrait, to 1, as hard as photos get:
    see ``Hardships``. Raises UsageError for an unknown kind or numbers out of range.
    """
    if kind not in CLASSES:
        raise UsageError(f"The garden does not grow {kind!r}; choose one of {', '.join(CLASSES)}.")
    if seed < 0 or size < 16:
        raise UsageError(f"The garden needs a seed of 0 or more and a size of 16 or more, not {seed} and {size}.")
    if not 0 <= difficulty <= 1:
        raise UsageError(f"The garden needs a difficulty from 0 to 1, not {difficulty}.")
    rng = np.random.default_rng([seed, CLASSES.index(kind)])
    # From a stream of their own, so that the plants stay the same, however hard they are to see.
    hardships = Hardships(np.random.default_rng([seed, CLASSES.index(kind), 1]), difficulty)
    canvas = Canvas(hardships.background(background(rng, round(size * SUPERSAMPLING))), rng)
    hardships.age(canvas)
    colours = hardships.variety(kind, VARIETIES[kind][rng.integers(len(VARIETIES[kind]))])
    blooms = hardships.arrange(_arrange(rng, canvas.size), canvas.size)
    hardships.company(canvas, blooms)
    before = canvas.image.copy()
    _paint(canvas, kind, colours, blooms)
    hardships.focus(canvas, before, blooms[-1])
    hardships.obstruct(canvas, blooms[-1])
    return hardships.light(_develop(rng, canvas.image.resize((size, size), Image.HAMMING), canvas.light))


def _paint(canvas: Canvas, kind: str, colours: str, blooms: list[Pose]) -> None:
    """The blooms with their stems and leaves: the far ones a little out of focus, then the near ones."""
    variety = np.frombuffer(bytes.fromhex(colours), np.uint8).reshape(3, 3) / 255
    near = [bloom for bloom in blooms if bloom.radius > 0.72 * blooms[-1].radius]
    for group in (blooms[: -len(near)], near):
        for bloom in group:
            foliage(canvas, bloom, *FOLIAGE[kind])
        for bloom in group:
            PAINTERS[kind](canvas, bloom, *variety)
        if group is not near and group:
            blur = canvas.size * canvas.rng.uniform(0.003, 0.012)
            canvas.image.paste(canvas.image.filter(ImageFilter.GaussianBlur(blur)))


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
        blooms.append(Pose.seen(x, y, radius, lean, tilt))
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
