"""A small picture for every hyperparameter: drawn by code as SVG, in the page's own colours, light or dark.

Where that is cheap a picture is computed and not invented: the schedules by training's own functions, descents by
descending, averages by averaging. The others are sketches. Lines differ by their dashes too, not by colour alone.
"""

import colorsys
import functools
import html
import math
import random
from collections.abc import Callable, Iterable, Sequence

from flowers.recipe import Recipe

WIDTH, HEIGHT = 320, 150
LEFT, TOP, RIGHT, BOTTOM = 12, 12, 214, 128  # of a chart's axes; the names of its lines stand to the right
STAGES = 5

Word = Callable[[str], str]  # a key of [help.word] to the visitor's word
Points = Iterable[tuple[float, float]]


def picture(name: str, word: Word, caption: str) -> str:
    """The picture of the hyperparameter ``name`` as an ``<svg>``; ``caption`` is the id of the text that describes it.

    ``word`` gives the words that stand in it, by their keys in ``[help.word]``. Raises KeyError for an unknown name.
    """
    drawn = PICTURES[name](lambda key: html.escape(word(key)))
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {HEIGHT}" role="img" '
        f'aria-labelledby="{html.escape(caption)}">{drawn}</svg>'
    )


# Parts


def text(x: float, y: float, words: str, anchor: str = "start", kind: str = "") -> str:
    return f'<text x="{x:.4g}" y="{y:.4g}" text-anchor="{anchor}" class="{kind}">{words}</text>'


def box(x: float, y: float, width: float, height: float, kind: str, radius: float = 3) -> str:
    return f'<rect x="{x:.4g}" y="{y:.4g}" width="{width:.4g}" height="{height:.4g}" rx="{radius:.4g}" class="{kind}"/>'


def line(points: Points, kind: str) -> str:
    return f'<polyline class="{kind}" points="{" ".join(f"{x:.4g},{y:.4g}" for x, y in points)}"/>'


def dot(x: float, y: float, radius: float, kind: str) -> str:
    return f'<circle cx="{x:.4g}" cy="{y:.4g}" r="{radius:.3g}" class="{kind}"/>'


def arrow(x: float, y: float, length: float = 16) -> str:
    tip = x + length
    return f'<path class="axis" d="M{x:.4g} {y:.4g}H{tip:.4g}m-5 -4 5 4 -5 4"/>'


def chart(lines: Sequence[tuple[str, Points]], x: str, y: str, extra: str = "") -> str:
    """Named lines with both coordinates in 0..1 above two named axes; ``extra`` is drawn on top."""
    parts = [f'<path class="axis" d="M{LEFT} {TOP - 6}V{BOTTOM}H{RIGHT + 6}"/>']
    parts += [text(RIGHT, BOTTOM + 16, x, "end", "faint"), text(LEFT + 6, TOP + 2, y, kind="faint")]
    shown = [(name, [at(px, py) for px, py in points], f"line line{k}") for k, (name, points) in enumerate(lines)]
    parts += [line(places, kind) for _, places, kind in shown]
    named = sorted((item for item in shown if item[0]), key=lambda item: -item[1][-1][1])
    lowest = BOTTOM + 4.0
    for name, places, kind in named:  # from the lowest end up, so that no name covers another
        height = min(lowest, places[-1][1] + 4)
        parts.append(line([(RIGHT + 8, height - 4), (RIGHT + 26, height - 4)], kind))
        parts.append(text(RIGHT + 31, height, name))
        lowest = height - 16
    return "".join(parts) + extra


def at(x: float, y: float) -> tuple[float, float]:
    """A place in a chart, from 0..1 to the picture's units."""
    return LEFT + x * (RIGHT - LEFT), BOTTOM - min(1.0, max(0.0, y)) * (BOTTOM - TOP - 8)


def samples(function: Callable[[float], float], count: int = 60) -> list[tuple[float, float]]:
    return [(k / count, function(k / count)) for k in range(count + 1)]


# A photo with a flower in it

Colour = tuple[float, float, float]  # red, green, blue, 0..1
SKY, PETAL, HEART, STEM = (0.80, 0.90, 0.96), (0.85, 0.28, 0.43), (0.95, 0.74, 0.23), (0.26, 0.53, 0.29)
YELLOW = (0.96, 0.78, 0.16)


def flower(change: Callable[[Colour], Colour] = lambda colour: colour, petal: Colour = PETAL, petals: int = 6) -> str:
    """A leaning flower on its ground, 100 × 100; ``change`` recolours it."""
    sky, leaf, petal, heart = (_hex(change(colour)) for colour in (SKY, STEM, petal, HEART))
    leaves = "".join(
        f'<ellipse cy="-19" rx="10" ry="15" fill="{petal}" transform="rotate({turn * 360 / petals:.0f})"/>'
        for turn in range(petals)
    )
    return (
        f'<rect width="100" height="100" fill="{sky}"/>'
        f'<path d="M36 100Q38 70 58 42" stroke="{leaf}" stroke-width="5" fill="none"/>'
        f'<path d="M40 84Q16 84 12 62Q34 62 40 84" fill="{leaf}"/>'
        f'<g transform="translate(58 42)">{leaves}<circle r="10" fill="{heart}"/></g>'
    )


def photo(x: float, y: float, side: float, content: str, transform: str = "") -> str:
    """``content``, of 100 × 100, in a frame; ``transform`` moves it within, and black shows where it leaves."""
    return (
        f'<svg x="{x:.4g}" y="{y:.4g}" width="{side:.4g}" height="{side:.4g}" viewBox="0 0 100 100">'
        f'<rect width="100" height="100" fill="#101010"/><g transform="{transform}">{content}</g></svg>'
        + box(x, y, side, side, "frame", 0)
    )


def photos(*shown: tuple[str, str, str]) -> str:
    """Photos side by side, each ``(name below it, content, transform)``."""
    side = 92
    gap = (WIDTH - side * len(shown)) / (len(shown) + 1)
    return "".join(
        photo(gap + k * (side + gap), 16, side, content, transform)
        + text(gap + k * (side + gap) + side / 2, 127, name, "middle")
        for k, (name, content, transform) in enumerate(shown)
    )


def recoloured(change: Callable[[Colour, float], Colour], low: float, high: float, middle: float) -> str:
    """The photo with the least, no, and the most of a change of colours."""
    shown = [
        (f"{amount:g}", flower(lambda colour, by=amount: change(colour, by)), "") for amount in (low, middle, high)
    ]
    return photos(*shown)


def _hex(colour: Colour) -> str:
    return "#" + "".join(f"{round(255 * min(1.0, max(0.0, part))):02x}" for part in colour)


def _grey(colour: Colour) -> float:
    return 0.299 * colour[0] + 0.587 * colour[1] + 0.114 * colour[2]


def _brighter(colour: Colour, by: float) -> Colour:
    return tuple(part * by for part in colour)


def _contrasted(colour: Colour, by: float) -> Colour:
    return tuple(by * part + (1 - by) * _grey(SKY) for part in colour)


def _saturated(colour: Colour, by: float) -> Colour:
    return tuple(by * part + (1 - by) * _grey(colour) for part in colour)


def _turned(colour: Colour, by: float) -> Colour:
    hue, light, strength = colorsys.rgb_to_hls(*colour)
    return colorsys.hls_to_rgb((hue + by) % 1, light, strength)


# Stages and cells


def stages(row: Sequence[str], y: float = 40, heights: Sequence[float] | None = None, side: float = 44) -> str:
    """A network as a chain of blocks, each of a kind: ``still``, ``learns`` or ``idle``."""
    step = side + 14
    start = (WIDTH - step * len(row) + 14) / 2
    parts = []
    for k, kind in enumerate(row):
        height = side if heights is None else max(3.0, side * 1.8 * heights[k])
        x, top = start + k * step, y + side - height
        parts.append(box(x, top, side, height, kind))
        if kind == "still" and side > 30:  # a lock, for who sees no colours
            middle = x + side / 2
            parts.append(f'<path class="axis" d="M{middle - 5:.4g} {top + 20:.4g}v-4a5 5 0 0 1 10 0v4"/>')
            parts.append(box(middle - 8, top + 20, 16, 12, "ink", 2))
        if k:
            parts.append(f'<path class="axis" d="M{x - 12:.4g} {y + side - 8:.4g}h10"/>')
    return "".join(parts)


def cells(rows: Sequence[str], kinds: dict[str, str], y: float, size: float, letters: bool = False) -> str:
    """Rows of small squares; each letter of a row has a kind of ``kinds``, and is written where ``letters``."""
    parts = []
    for r, row in enumerate(rows):
        start = (WIDTH - len(row) * size) / 2
        for c, letter in enumerate(row):
            x, top = start + c * size, y + r * size
            parts.append(box(x, top, size - 2, size - 2, kinds[letter], 2))
            if letters:
                parts.append(text(x + size / 2 - 1, top + size / 2 + 3, letter, "middle"))
    return "".join(parts)


def lanes(rows: Sequence[tuple[str, Sequence[tuple[float, float, str]]]]) -> str:
    """What happens when: rows of ``(name, [(start, length, kind), ...])``, time from left to right in 0..1."""
    height = 96 / len(rows)
    parts = []
    for r, (name, work) in enumerate(rows):
        top = 14 + r * height
        parts.append(text(12, top + min(11, height / 2 + 3), name, kind="faint"))
        parts += [
            box(104 + start * 204, top, length * 204 - 1.5, min(15, height - 4), kind, 2)
            for start, length, kind in work
        ]
    return "".join(parts) + '<path class="axis" d="M104 122H308m-5 -4 5 4 -5 4"/>'


def bars(rows: Sequence[tuple[str, float]], x: float, width: float, kind: str) -> str:
    """Horizontal bars of 0..1, with their names and values."""
    parts = []
    for k, (name, value) in enumerate(rows):
        y = 36 + k * 19
        parts.append(text(x, y, name))
        parts.append(box(x + 52, y - 9, max(1.5, value * (width - 90)), 10, kind, 2))
        parts.append(text(x + width - 34, y, f"{value:.0%}"))
    return "".join(parts)


# Descents: loss = (x² + SLOPE · y²) / 2, a long valley

SLOPE = 12.0
VALLEY = "".join(
    f'<ellipse cx="228" cy="70" rx="{200 * scale:.4g}" ry="{200 * scale / math.sqrt(SLOPE):.4g}" class="contour"/>'
    for scale in (0.2, 0.45, 0.7, 0.95)
)
Step = Callable[[tuple[float, float], int], tuple[float, float]]


def descent(step: Step, count: int) -> list[tuple[float, float]]:
    """The places that ``step(place, number)`` visits from the left end of the valley, in the picture's units."""
    place, places = (-1.0, 0.24), []
    for number in range(count + 1):
        places.append((228 + 190 * place[0], 70 - 190 * place[1]))
        place = step(place, number)
    return places


def sgd(rate: float, momentum: float = 0.0, nesterov: bool = False, noise: float = 0.0) -> Step:
    rng, speed = random.Random(2), [0.0, 0.0]

    def step(place: tuple[float, float], number: int) -> tuple[float, float]:
        slope = (place[0] + noise * rng.gauss(0, 1), SLOPE * (place[1] + noise * rng.gauss(0, 1) / 4))
        for axis in range(2):
            speed[axis] = momentum * speed[axis] + slope[axis]
        moved = [momentum * speed[axis] + slope[axis] if nesterov else speed[axis] for axis in range(2)]
        return place[0] - rate * moved[0], place[1] - rate * moved[1]

    return step


def adam(rate: float) -> Step:
    first, second = [0.0, 0.0], [0.0, 0.0]

    def step(place: tuple[float, float], number: int) -> tuple[float, float]:
        slope, moved = (place[0], SLOPE * place[1]), []
        for axis in range(2):
            first[axis] = 0.9 * first[axis] + 0.1 * slope[axis]
            second[axis] = 0.999 * second[axis] + 0.001 * slope[axis] ** 2
            mean, size = first[axis] / (1 - 0.9 ** (number + 1)), second[axis] / (1 - 0.999 ** (number + 1))
            moved.append(rate * mean / (math.sqrt(size) + 1e-8))
        return place[0] - moved[0], place[1] - moved[1]

    return step


def descents(paths: Sequence[tuple[str, list[tuple[float, float]]]]) -> str:
    drawn = VALLEY
    for k, (name, places) in enumerate(paths):
        drawn += line(places, f"line line{k}") + "".join(dot(x, y, 2, f"name{k}") for x, y in places)
        x = 14 + k * 102
        drawn += line([(x, 142), (x + 22, 142)], f"line line{k}") + text(x + 27, 146, name)
    return drawn


# Charts


def rates(variants: Sequence[tuple[str, dict]], word: Word) -> str:
    """Learning rates over a run of 25 epochs, as training itself computes them."""
    from flowers.training.schedule import learning_rate

    lines = []
    for name, changes in variants:
        recipe = Recipe(learning_rate=1, **changes)
        lines.append((name, samples(lambda part, recipe=recipe: learning_rate(recipe, part * 24.999), 250)))
    return chart(lines, word("epochs"), word("rate"))


def slopes(word: Word) -> str:
    """Gradient descent on x² / (1 + x²), with slope 2x / (1 + x²)²: steps too small, right and too large."""

    def losses(rate: float) -> list[tuple[float, float]]:
        x, found = 1.0, []
        for step in range(21):
            found.append((step / 20, 1.7 * x * x / (1 + x * x)))
            x -= rate * 2 * x / (1 + x * x) ** 2
        return found

    names = {word("large"): 5.2, word("small"): 0.02, word("right"): 0.35}
    return chart([(name, losses(rate)) for name, rate in names.items()], word("steps"), word("loss"))


def growing(word: Word) -> str:
    """Training and validation accuracy: one goes on, the other has seen its best."""
    val = samples(lambda part: 0.78 * (1 - math.exp(-6 * part)) - 0.14 * max(0.0, part - 0.45))
    best = max(val, key=lambda point: point[1])
    x, y = at(*best)
    marker = dot(x, y, 4.5, "mark") + text(x, y + 18, word("best"), "middle")
    train = samples(lambda part: 0.98 * (1 - math.exp(-4 * part)))
    return chart([(word("training"), train), (word("validation"), val)], word("epochs"), word("accuracy"), marker)


def waiting(word: Word) -> str:
    val = [(k / 20, 0.86 * (1 - math.exp(-k / 3)) - 0.015 * max(0, k - 9) + 0.02 * (-1) ** k) for k in range(15)]
    best = max(val, key=lambda point: point[1])
    (bx, by), (ex, _) = at(*best), at(*val[-1])
    extra = dot(bx, by, 4.5, "mark") + text(bx, by - 9, word("best"), "middle")
    extra += f'<path class="axis dashed" d="M{ex:.4g} {TOP + 6}V{BOTTOM}"/>' + text(ex + 6, TOP + 20, word("end"))
    extra += f'<path class="axis" d="M{bx:.4g} 96H{ex:.4g}m-5 -4 5 4 -5 4"/>'
    extra += text((bx + ex) / 2, 112, word("patience"), "middle", "faint")
    return chart([("", val)], word("epochs"), word("accuracy"), extra)


def starts(word: Word) -> str:
    lines = [
        ("imagenet", samples(lambda part: 0.96 - 0.4 * math.exp(-9 * part))),
        ("scratch", samples(lambda part: 0.62 - 0.42 * math.exp(-2.2 * part))),
    ]
    return chart(lines, word("epochs"), word("accuracy"))


def statistics(word: Word) -> str:
    """The mean of eight random numbers, batch after batch, beside that of a great many."""
    rng = random.Random(4)
    means = [(k / 24, 0.5 + sum(rng.gauss(0, 0.32) for _ in range(8)) / 8) for k in range(25)]
    return chart([("batch", means), ("frozen", [(0, 0.5), (1, 0.5)])], word("batches"), word("mean"))


def averaged(word: Word) -> str:
    """A jumping line and its running average."""
    rng, mean, raw, smooth = random.Random(9), None, [], []
    for k in range(61):
        value = 0.88 * (1 - math.exp(-k / 12)) + rng.gauss(0, 0.06)
        mean = value if mean is None else 0.85 * mean + 0.15 * value
        raw.append((k / 60, value))
        smooth.append((k / 60, mean))
    return chart([(word("network"), raw), (word("average"), smooth)], word("steps"), word("accuracy"))


def between(word: Word) -> str:
    """Accuracy on the way from what the network began with to what it learned: a hill."""
    line = [(k / 40, 0.55 + 0.06 * k / 40 + 1.2 * k / 40 * (1 - k / 40)) for k in range(41)]
    return chart([(word("network"), line)], word("learned"), word("accuracy"))


def chance(word: Word) -> str:
    def run(seed: int) -> list[tuple[float, float]]:
        rng = random.Random(seed)
        return [(k / 24, 0.86 * (1 - math.exp(-k / 4)) + rng.gauss(0, 0.025)) for k in range(25)]

    lines = [(f"{word('seed')} {seed}", run(seed)) for seed in range(3)]
    return chart(lines, word("epochs"), word("accuracy"))


def fits(word: Word) -> str:
    """A polynomial of degree nine through ten points: free, and with its coefficients held small."""
    import numpy as np

    rng = np.random.default_rng(5)
    x = np.linspace(-1, 1, 10)
    y = 0.5 + 0.3 * np.sin(2.4 * x) + rng.normal(0, 0.09, 10)
    basis, fine = np.vander(x, 10), np.linspace(-1, 1, 121)

    def fit(decay: float) -> list[tuple[float, float]]:
        weights = np.linalg.solve(basis.T @ basis + decay * np.eye(10), basis.T @ y)
        return [((a + 1) / 2, b) for a, b in zip(fine, np.vander(fine, 10) @ weights, strict=True)]

    dots = "".join(dot(*at((a + 1) / 2, b), 3.5, "ink") for a, b in zip(x, y, strict=True))
    return chart([(word("without"), fit(1e-9)), (word("with"), fit(0.05))], "", "", dots)


def shrunk(word: Word) -> str:
    """What decay leaves of a weight, a norm's scale and a bias: of the weight alone, and of all three."""
    names = [word(name) for name in ("weight", "norm", "bias")]
    spared = zip(names, (0.6, 1, 1), strict=True)
    pulled = zip(names, (0.6, 0.6, 0.6), strict=True)
    titles = text(10, 16, "off") + text(172, 16, "on")
    both = titles + bars(list(spared), 10, 150, "learns") + bars(list(pulled), 172, 150, "learns")
    return f'<g transform="translate(0 28)">{both}</g>'  # three rows, where five would fit


def sizes(word: Word) -> str:
    """The pictures' sides over eleven epochs, as training itself computes them."""
    from flowers.training.schedule import picture_size

    lines = []
    for last in (0, 192):
        recipe = Recipe(epochs=11, first_size=128, last_size=last)
        side = [picture_size(recipe, min(10, k // 10), 224) for k in range(110)]
        lines.append((f"{side[-1]}", [(k / 109, value / 240) for k, value in enumerate(side)]))
    return chart(lines, word("epochs"), word("side"))


def spread(word: Word) -> str:
    """What a label says of five classes, without and with a tenth spread over all."""
    names = [word(name) for name in ("rose", "tulip", "daisy")] + ["…", "…"]
    sharp = [(name, float(k == 0)) for k, name in enumerate(names)]
    soft = [(name, 0.9 * share + 0.1 / len(names)) for name, share in sharp]
    titles = text(10, 16, "0") + text(172, 16, "0.1")
    return titles + bars(sharp, 10, 150, "learns") + bars(soft, 172, 150, "learns")


def weighed(word: Word) -> str:
    """What two classes of nine and three photos count: as many as they have, and the same."""
    names = [word("rose"), word("tulip")]
    titles = text(10, 16, "off") + text(172, 16, "on")
    unequal, equal = ([*zip(names, shares, strict=True)] for shares in ((0.75, 0.25), (0.5, 0.5)))
    return titles + bars(unequal, 10, 150, "learns") + bars(equal, 172, 150, "learns")


# Photos


def crops(word: Word) -> str:
    """Crops of two sizes, and what the network is shown of them."""
    frame = photo(20, 16, 110, flower())
    frame += box(20 + 110 * 0.22, 16 + 110 * 0.12, 110 * 0.71, 110 * 0.71, "cut cut0", 0)
    frame += box(20 + 110 * 0.02, 16 + 110 * 0.64, 110 * 0.28, 110 * 0.28, "cut cut1", 0)
    half, part = 100 / 71, 100 / 28
    frame += photo(158, 16, 66, flower(), f"scale({half:.3f}) translate(-22 -12)") + text(191, 100, "0.5", "middle")
    frame += photo(240, 16, 66, flower(), f"scale({part:.3f}) translate(-2 -64)") + text(273, 100, "0.08", "middle")
    return frame


def mirrored(word: Word) -> str:
    return photos((word("photo"), flower(), ""), (word("mirror"), flower(), "translate(100 0) scale(-1 1)"))


def answered(word: Word) -> str:
    side = 84
    parts = photo(14, 16, side, flower()) + photo(112, 16, side, flower(), "translate(100 0) scale(-1 1)")
    parts += text(56, 118, "90 %", "middle") + text(154, 118, "96 %", "middle") + arrow(212, 58, 22)
    return parts + text(242, 48, word("mean")) + text(242, 74, f"{(90 + 96) / 2:.0f} %", kind="large")


def tilted(word: Word) -> str:
    turns = (("−30°", "rotate(-30 50 50)"), ("0°", ""), ("+30°", "rotate(30 50 50)"))
    return photos(*((name, flower(), transform) for name, transform in turns))


def slanted(word: Word) -> str:
    turns = (("−20°", "translate(18 0) skewX(-20)"), ("0°", ""), ("+20°", "translate(-18 0) skewX(20)"))
    return photos(*((name, flower(), transform) for name, transform in turns))


def scaled(word: Word) -> str:
    factors = (0.7, 1, 1.3)
    return photos(*((f"× {by:g}", flower(), f"translate(50 50) scale({by:g}) translate(-50 -50)") for by in factors))


def lottery(word: Word) -> str:
    changed = (
        ("", flower(lambda colour: tuple(1 - part for part in colour)), ""),
        ("", flower(), "translate(36 0) skewX(-36)"),
        ("", flower(lambda colour: tuple(round(part) * 1.0 for part in colour)), ""),
    )
    return photos(*changed)


def erased(word: Word) -> str:
    cover = '<rect x="46" y="24" width="38" height="30" fill="#7f7f7f"/>'
    return photos((word("photo"), flower(), ""), (word("erased"), flower() + cover, ""))


def mixed(content: str, share: float, word: Word) -> str:
    rose, daisy = flower(), flower(petal=YELLOW, petals=11)
    parts = photo(8, 24, 62, rose) + text(77, 59, "+") + photo(90, 24, 62, daisy) + arrow(158, 55)
    parts += photo(182, 12, 86, content)
    return parts + text(225, 116, f"{word('rose')} {share:.0%}, {word('sunflower')} {1 - share:.0%}", "middle")


def laid(word: Word) -> str:
    return mixed(flower() + f'<g opacity="0.3">{flower(petal=YELLOW, petals=11)}</g>', 0.7, word)


def pasted(word: Word) -> str:
    other = f'<svg x="0" y="0" width="50" height="60" viewBox="30 14 50 60">{flower(petal=YELLOW, petals=11)}</svg>'
    return mixed(flower() + other, 0.7, word)


def sharpening(word: Word) -> str:
    parts, x = [], 16.0
    for side in (128, 160, 192, 224):
        size = side * 0.4
        parts.append(photo(x, 110 - size, size, flower()) + text(x + size / 2, 128, str(side), "middle"))
        x += size + 10
    return "".join(parts)


# Machine


def chains(word: Word) -> str:
    parts = [text(12, 26, "ResNet18"), text(12, 92, "ResNet50")]
    for y, count, height in ((34, 9, 26), (100, 17, 38)):
        step = 296 / 17
        parts += [box(12 + k * step, y, step - 4, height, "learns", 2) for k in range(count)]
    return "".join(parts)


def cores(word: Word) -> str:
    few = "".join(box(24 + 38 * (k % 2), 34 + 38 * (k // 2), 34, 34, "learns") for k in range(4))
    many = "".join(box(140 + 10 * (k % 16), 18 + 10 * (k // 16), 8, 8, "second", 1) for k in range(160))
    return few + many + text(61, 132, "cpu", "middle") + text(219, 132, "cuda, mps", "middle")


def bits(word: Word) -> str:
    kinds = {"s": "ink", "e": "second", "f": "learns"}
    parts = text(12, 22, "float32") + cells(["s" + "e" * 8 + "f" * 23], kinds, 28, 9.2)
    short = "".join(
        box(12.8 + k * 9.2, 80, 7.2, 7.2, kinds[letter], 2) for k, letter in enumerate("s" + "e" * 8 + "f" * 7)
    )
    legend = box(12.8, 112, 9, 9, "second", 2) + text(27, 121, word("range"))
    legend += box(140, 112, 9, 9, "learns", 2) + text(154, 121, word("digits"))
    return parts + text(12, 74, "bfloat16") + short + legend


def layouts(word: Word) -> str:
    kinds = {"R": "red", "G": "green", "B": "blue"}
    parts = text(34, 30, "contiguous") + cells(["R" * 6 + "G" * 6 + "B" * 6], kinds, 36, 14, letters=True)
    return parts + text(34, 92, "channels_last") + cells(["RGB" * 6], kinds, 98, 14, letters=True)


def sharing(word: Word) -> str:
    one = [(word("one"), [(0, 0.96, "learns")])]
    four = [(word("four") if k == 0 else "", [(0, 0.26, "learns"), (0.26, 0.1, "idle")]) for k in range(4)]
    return lanes([*one, *four])


def built(word: Word) -> str:
    plain = [(k * 0.1, 0.075, "learns") for k in range(10)]
    joined = [(0, 0.3, "idle"), *((0.3 + k * 0.058, 0.055, "learns") for k in range(10))]
    return lanes([("off", plain), ("on", joined)])


def feeding(word: Word) -> str:
    readers = [
        (f"{word('loader')} {k + 1}", [(0.02 + 0.12 * k + 0.36 * n, 0.3, "second") for n in range(2)]) for k in range(3)
    ]
    network = [(word("network"), [(0.34 + 0.12 * n, 0.1, "learns") for n in range(5)])]
    return lanes([*readers, *network])


def split(seeds: Sequence[int], word: Word) -> str:
    """Forty photos, of which a fifth is held back by lot."""
    rows = []
    for seed in seeds:
        held = set(random.Random(seed).sample(range(40), 8)) if len(seeds) > 1 else set(range(32, 40))
        photos_ = "".join("h" if k in held else "t" for k in range(40))
        rows.append([photos_[:20], photos_[20:]])
    parts, y = "", 20.0
    for seed, row in zip(seeds, rows, strict=True):
        if len(seeds) > 1:
            parts += text(20, y + 4, f"{word('seed')} {seed}", kind="faint")
            y += 9
        parts += cells(row, {"t": "learns", "h": "held"}, y, 14)
        y += 46 if len(seeds) > 1 else 40
    y = 138 if len(seeds) > 1 else 92
    legend = box(21, y - 9, 10, 10, "learns", 2) + text(37, y, word("training"))
    return parts + legend + box(150, y - 9, 10, 10, "held", 2) + text(166, y, word("validation"))


PICTURES: dict[str, Callable[[Word], str]] = {
    "backbone": chains,
    "init": starts,
    "frozen": lambda word: (
        stages(["still"] * 2 + ["learns"] * 3) + text(62, 108, word("still")) + text(178, 108, word("learns"))
    ),
    "norms": statistics,
    "epochs": growing,
    "batch_size": lambda word: descents(
        [("4", descent(sgd(0.1, noise=0.35), 26)), ("64", descent(sgd(0.1, noise=0.02), 26))]
    ),
    "optimizer": lambda word: descents(
        [
            ("sgd", descent(sgd(0.04, 0.8), 22)),
            ("nesterov", descent(sgd(0.04, 0.8, nesterov=True), 22)),
            ("adamw", descent(adam(0.09), 14)),
        ]
    ),
    "learning_rate": slopes,
    "schedule": lambda word: rates(
        [(name, {"schedule": name, "warmup": 0.3 * (name == "onecycle")}) for name in ("step", "cosine", "onecycle")],
        word,
    ),
    "warmup": lambda word: rates(
        [(f"{part:g}", {"schedule": "cosine", "warmup": part}) for part in (0.0, 0.1, 0.3)], word
    ),
    "momentum": lambda word: descents([("0", descent(sgd(0.03), 16)), ("0.8", descent(sgd(0.03, 0.8), 16))]),
    "weight_decay": fits,
    "norm_decay": shrunk,
    "lr_step": lambda word: rates([(f"{epochs}", {"lr_step": epochs, "lr_gamma": 0.4}) for epochs in (7, 3)], word),
    "lr_gamma": lambda word: rates([(f"{gamma:g}", {"lr_gamma": gamma}) for gamma in (1, 0.5, 0.1)], word),
    "probe": lambda word: (
        text(12, 24, word("first"))
        + stages(["still"] * 4 + ["learns"], 32, side=32)
        + text(12, 92, word("then"))
        + stages(["learns"] * STAGES, 98, side=32)
    ),
    "stage_decay": lambda word: (
        stages(["learns"] * STAGES, 66, [0.5 ** (STAGES - 1 - k) for k in range(STAGES)])
        + "".join(
            text(37 + 58 * k, 128, "1" if k == STAGES - 1 else f"1/{2 ** (STAGES - 1 - k)}", "middle")
            for k in range(STAGES)
        )
    ),
    "balance": weighed,
    "label_smoothing": spread,
    "ema": averaged,
    "start_share": between,
    "patience": waiting,
    "mirror_answers": answered,
    "first_size": sharpening,
    "last_size": sizes,
    "crop_min_area": crops,
    "flip": mirrored,
    "rotation": tilted,
    "brightness": lambda word: recoloured(_brighter, 0.6, 1.4, 1),
    "contrast": lambda word: recoloured(_contrasted, 0.4, 1.6, 1),
    "saturation": lambda word: recoloured(_saturated, 0.2, 1.8, 1),
    "hue": lambda word: recoloured(_turned, -0.1, 0.1, 0),
    "shear": slanted,
    "zoom": scaled,
    "policy": lottery,
    "erasing": erased,
    "mixup": laid,
    "cutmix": pasted,
    "val_fraction": functools.partial(split, [0]),
    "split_seed": functools.partial(split, [0, 1]),
    "seed": chance,
    "device": cores,
    "precision": bits,
    "memory_format": layouts,
    "threads": sharing,
    "compile": built,
    "workers": feeding,
}
