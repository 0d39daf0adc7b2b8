"""Line charts as SVG. A redrawn chart has the same elements as before, so that the browser changes their shapes alone
and nothing flickers; colours come from studio.css, so that it follows the switch to dark.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass

from flowers.studio.common import escape

WIDTH, HEIGHT = 380, 215  # of the drawing, which is scaled to the space there is
LEFT, RIGHT, TOP, BOTTOM = 42, 10, 8, 24  # margins, for the axes' numbers
TICKS = 6  # at most, on an axis


@dataclass(frozen=True)
class Line:
    """A curve: what it is called, its class in studio.css, and its points from left to right."""

    name: str
    kind: str
    points: Sequence[tuple[float, float]]


@dataclass(frozen=True)
class Mark:
    """A vertical line at ``x`` with a word beside it."""

    x: float
    text: str


def line_chart(
    title: str,
    lines: Sequence[Line],
    x: tuple[float, float],
    y: tuple[float, float],
    *,
    percent: bool = False,
    logarithmic: bool = False,
    marks: Sequence[Mark] = (),
) -> str:
    """A figure with its title, its legend and one SVG: ``lines`` within the ranges ``x`` and ``y``, low before high.

    ``percent`` writes the numbers of ``y`` so; ``logarithmic`` spreads ``x`` by its powers of ten. The picture's
    description for who cannot see it names the last value of every line: a table with all belongs beside it.
    """
    across = _Axis(*x, LEFT, WIDTH - RIGHT, logarithmic)
    up = _Axis(*y, HEIGHT - BOTTOM, TOP)
    legend = "".join(f'<span class="{line.kind}">{_sample()}{escape(line.name)}</span>' for line in lines)
    last = [f"{line.name} {_number(line.points[-1][1], percent)}" for line in lines if line.points]
    return (
        f'<figure class="chart"><figcaption><b>{escape(title)}</b><span class="legend">{legend}</span></figcaption>'
        f'<svg viewBox="0 0 {WIDTH} {HEIGHT}" role="img" aria-label="{escape(". ".join([title, *last]))}">'
        f"{_grid(across, up, percent)}{_marks(marks, across)}"
        f"{''.join(_curve(line, across, up) for line in lines)}</svg></figure>"
    )


def number_table(name: str, head: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """The numbers of a chart as a ``plain_table`` called ``name`` that scrolls, for who cannot see it; all is text."""
    table = plain_table([escape(title) for title in head], [[escape(cell) for cell in row] for row in rows])
    return scrolling(name, table)


def scrolling(name: str, content: str) -> str:
    """``content``, which is HTML, in a region that scrolls, by the keyboard too, and is called ``name``."""
    return f'<div class="scroll" tabindex="0" role="region" aria-label="{escape(name)}">{content}</div>'


def plain_table(head: Sequence[str], rows: Sequence[Sequence[str]], label: str = "") -> str:
    """A table whose first column names the rows; everything is HTML. ``label`` is the id of what names the table."""
    labelled = f' aria-labelledby="{label}"' if label else ""
    titles = "".join(f'<th scope="col">{title}</th>' for title in head)
    lines = "".join(
        f'<tr><th scope="row">{name}</th>{"".join(f"<td>{cell}</td>" for cell in cells)}</tr>' for name, *cells in rows
    )
    return f'<table class="plain"{labelled}><thead><tr>{titles}</tr></thead><tbody>{lines}</tbody></table>'


def folded(name: str, content: str) -> str:
    """``content`` behind a line to press."""
    return f"<details><summary>{escape(name)}</summary>{content}</details>"


def round_up(value: float) -> float:
    """The next of 1, 1.5, 2, 3, 4, 5, 6, 8, 10 times a power of ten: an axis that ends there rarely has to change."""
    if value <= 0 or not math.isfinite(value):
        return 1.0
    power = 10 ** math.floor(math.log10(value))
    steps = (step * power for step in (1, 1.5, 2, 3, 4, 5, 6, 8, 10))
    return next((end for end in steps if end >= value * (1 - 1e-9)), 1.0)  # none: next to nothing


@dataclass(frozen=True)
class _Axis:
    """From values to places in the drawing."""

    low: float
    high: float
    start: float
    end: float
    logarithmic: bool = False

    def at(self, value: float) -> float:
        low, high = self.low, self.high
        if self.logarithmic:
            low, high, value = math.log10(low), math.log10(high), math.log10(value)
        part = (value - low) / ((high - low) or 1)
        return self.start + min(1.0, max(0.0, part)) * (self.end - self.start)

    def ticks(self, whole: bool = False) -> list[float]:
        if self.logarithmic:
            return [10.0**power for power in range(math.ceil(math.log10(self.low)), int(math.log10(self.high)) + 1)]
        step = round_up((self.high - self.low) / (TICKS - 1)) if not whole else _whole_step(self.high - self.low)
        count = int((self.high - self.low) / step + 1e-9)
        return [self.low + step * number for number in range(count + 1)]


def _whole_step(span: float) -> int:
    power = 1
    while True:
        for step in (1, 2, 5):
            if span / (step * power) <= TICKS:
                return step * power
        power *= 10


def _grid(across: _Axis, up: _Axis, percent: bool) -> str:
    parts = []
    for value in up.ticks():
        y = up.at(value)
        parts.append(f'<path class="grid" d="M{LEFT} {y:.1f}H{WIDTH - RIGHT}"/>')
        parts.append(f'<text x="{LEFT - 7}" y="{y + 4:.1f}" text-anchor="end">{_number(value, percent)}</text>')
    for value in across.ticks(whole=True):
        x = across.at(value)
        text = f"{value:.0e}".replace("e-0", "e-").replace("e+00", "") if across.logarithmic else f"{value:g}"
        parts.append(f'<text x="{x:.1f}" y="{HEIGHT - 6}" text-anchor="middle">{text}</text>')
    return f'<g aria-hidden="true">{"".join(parts)}</g>'


def _marks(marks: Sequence[Mark], across: _Axis) -> str:
    parts = []
    for mark in marks:
        x = across.at(mark.x)
        side = "end" if x > WIDTH / 2 else "start"
        parts.append(f'<path class="mark" d="M{x:.1f} {TOP}V{HEIGHT - BOTTOM}"/>')
        shift = -6 if side == "end" else 6
        parts.append(f'<text x="{x + shift:.1f}" y="{TOP + 12}" text-anchor="{side}">{escape(mark.text)}</text>')
    return f"<g>{''.join(parts)}</g>"


def _curve(line: Line, across: _Axis, up: _Axis) -> str:
    places = [(across.at(x), up.at(y)) for x, y in line.points if math.isfinite(y)]
    path = "".join(f"{'L' if number else 'M'}{x:.1f} {y:.1f}" for number, (x, y) in enumerate(places))
    dots = "".join(f"M{x:.1f} {y:.1f}h0" for x, y in places)
    return f'<g class="curve {line.kind}"><path class="line" d="{path}"/><path class="dots" d="{dots}"/></g>'


def _sample() -> str:
    return (
        '<svg viewBox="0 0 30 8" aria-hidden="true"><g class="curve"><path class="line" d="M1 4H29"/>'
        '<path class="dots" d="M15 4h0"/></g></svg>'
    )


def _number(value: float, percent: bool) -> str:
    return (
        f"{value:.0%}"
        if percent and abs(value * 100 - round(value * 100)) < 0.005
        else (f"{value:.1%}" if percent else f"{value:.3g}")
    )
