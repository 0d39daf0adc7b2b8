"""matplotlib figures. Each takes numbers and returns a Figure that nobody else holds: no pyplot, no global state."""

import io
import threading
import warnings
import xml.etree.ElementTree as ElementTree
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

import numpy as np

from flowers.evaluation.metrics import Bin, RejectionCurve, accuracy_interval

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

SHOWN = 20  # classes in one matrix: with more, the numbers in it can no longer be read
LONGEST = 24  # characters of a class name
REJECTION_SIDES = (4.2, 3.9)  # inches
MARK = "mark"  # the class of what a page may move
RIGHT, WRONG = "#3f8f4f", "#d9486e"
# Of the darkest square, 0..1. Below 0.8 the page's own text colour stands out from both colours, by 4.5 : 1 or about,
# on white and on near black alike.
STRONGEST = 0.78
INK = "#010203"  # stands for the text colour of whatever page the figure lands in: figure_svg makes it currentColor

_drawing = threading.Lock()  # matplotlib reads the kind of SVG text from settings that all threads share


def confusion_figure(confusion: np.ndarray, classes: Sequence[str]) -> "Figure":
    """The confusion matrix: photo counts as numbers, each row's shares as colour, green for right and pink for wrong.

    ``confusion``: (classes, classes) counts, row the true class, column the answer. A square's opacity goes with the
    root of its share, so that one mistake in a hundred is seen. Of more than ``SHOWN`` classes, only the ones with most
    mistakes are drawn. The ground is transparent, and the text in ``INK``.
    """
    from matplotlib.figure import Figure
    from matplotlib.patches import FancyBboxPatch

    shares = confusion / np.maximum(confusion.sum(1, keepdims=True), 1)
    shown = most_confused(confusion, SHOWN)
    names = [_short(classes[i]) for i in shown]
    cell = min(0.8, max(0.42, 4.2 / len(shown)))  # inches
    size = 12 if cell > 0.6 else 10
    side = cell * len(shown)
    figure = Figure(figsize=(side, side), facecolor="none")
    axes = figure.add_axes((0, 0, 1, 1), facecolor="none")  # labels hang outside: save with bbox_inches="tight"
    for (y, x), share in np.ndenumerate(shares[np.ix_(shown, shown)]):
        count = confusion[shown[y], shown[x]]
        colour = INK if not count else RIGHT if x == y else WRONG
        axes.add_patch(
            FancyBboxPatch(
                (x - 0.47, y - 0.47), 0.94, 0.94, boxstyle="round,pad=0,rounding_size=0.1", linewidth=0,
                facecolor=colour, alpha=STRONGEST * share**0.5 if count else 0.05, clip_on=False,
            )
        )  # fmt: skip
        if count:
            weight = "bold" if x == y else "normal"
            axes.text(x, y, str(count), ha="center", va="center", color=INK, fontsize=size, fontweight=weight)
    crowded = max(map(len, names)) * size * 0.53 / 72 > cell  # of the letters, a little over half as wide as high
    turned = {"rotation": 40, "ha": "right", "rotation_mode": "anchor"} if crowded else {}
    axes.set_xticks(range(len(shown)), names, color=INK, fontsize=size, parse_math=False, **turned)
    axes.set_yticks(range(len(shown)), names, color=INK, fontsize=size, parse_math=False)
    axes.set_xlabel("what it answered", color=INK, fontsize=size, labelpad=8, alpha=0.7)
    axes.set_ylabel("what the photo shows", color=INK, fontsize=size, labelpad=8, alpha=0.7)
    axes.set(xlim=(-0.5, len(shown) - 0.5), ylim=(len(shown) - 0.5, -0.5))
    axes.tick_params(length=0, pad=5)
    axes.spines[:].set_visible(False)
    return figure


def most_confused(confusion: np.ndarray, count: int) -> list[int]:
    """Indices, ascending, of the at most ``count`` classes that have most mistakes in their row and column."""
    right = np.diag(confusion)
    mistakes = confusion.sum(0) + confusion.sum(1) - 2 * right
    return sorted(np.argsort(-mistakes, kind="stable")[:count].tolist())


def confusion_summary(confusion: np.ndarray, classes: Sequence[str]) -> str:
    """The matrix in one sentence, for those who cannot see it."""
    total, right = int(confusion.sum()), int(np.trace(confusion))
    text = f"Confusion matrix of {len(classes)} classes: {right} of {total} photos answered rightly"
    wrong = confusion - np.diag(np.diag(confusion))
    if not wrong.any():
        return f"{text}."
    truth, answer = (_short(classes[i]) for i in np.unravel_index(wrong.argmax(), wrong.shape))
    times = "once" if wrong.max() == 1 else f"{wrong.max()} times"
    return f"{text}; the most frequent mistake is to answer {answer} for {truth}, {times}."


def learning_rate_figure(rates: Sequence[float], losses: Sequence[float], valley: float, steepest: float) -> "Figure":
    """What a search for the learning rate saw: the loss over the rates, and the two it suggests."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(7, 4.2), layout="constrained")
    axes = figure.add_subplot()
    axes.plot(rates, losses, color=INK, linewidth=1.6)
    for rate, name, colour in ((valley, "valley", RIGHT), (steepest, "steepest", WRONG)):
        loss = float(np.interp(np.log(rate), np.log(rates), losses))
        axes.plot([rate], [loss], "o", color=colour, markersize=9, label=f"{name}: {rate:.2g}")
    axes.set(xscale="log", xlabel="learning rate", ylabel="loss, running mean")
    axes.spines[["top", "right"]].set_visible(False)
    axes.legend(frameon=False)
    return figure


def reliability_figure(bins: Sequence[Bin]) -> "Figure":
    """The reliability diagram: a green bar as high as each bin's accuracy, up to the dashed diagonal if it is honest.

    Pink is overconfidence, from the accuracy up to the mean confidence; deep green is the contrary. A thin line is the
    95 % interval of a bin's accuracy: long where few photos stand behind it. The strip below shows where the photos
    are.
    """
    figure, axes = _plot(4.2, 3.9, "how sure it was", "how often it was right")
    strip = figure.add_axes((0, -0.3, 1, 0.13), facecolor="none")
    largest = max((row.photos for row in bins), default=0)
    for row in (row for row in bins if row.photos):
        left, width = row.low + 0.004, row.high - row.low - 0.008
        low, high = accuracy_interval(row.accuracy * row.photos, row.photos)
        bar = {"width": width, "align": "edge", "linewidth": 0, "clip_on": False}
        axes.bar(left, row.accuracy, color=RIGHT, alpha=0.5, **bar)
        bottom, distance = min(row.accuracy, row.confidence), abs(row.confidence - row.accuracy)
        axes.bar(left, distance, bottom=bottom, color=WRONG if bottom < row.confidence else RIGHT, alpha=0.6, **bar)
        middle = (row.low + row.high) / 2
        axes.plot([middle, middle], [low, high], color=INK, alpha=0.6, linewidth=1, clip_on=False)
        strip.bar(left, row.photos / largest, color=INK, alpha=0.35, **bar)
    axes.plot([0, 1], [0, 1], color=INK, alpha=0.5, linewidth=1, linestyle=(0, (4, 3)), clip_on=False)
    axes.set(xlim=(0, 1), ylim=(0, 1))
    strip.set(xlim=(0, 1), ylim=(0, 1), xticks=[], yticks=[])
    strip.set_ylabel("photos", color=INK, fontsize=10, alpha=0.7, rotation=0, ha="right", va="center", labelpad=6)
    strip.spines[:].set_visible(False)
    return figure


def reliability_summary(bins: Sequence[Bin], error: float) -> str:
    """The diagram in one sentence, for those who cannot see it; ``error`` is the expected calibration error."""
    photos = max(1, sum(row.photos for row in bins))
    sure = sum(row.photos * row.confidence for row in bins) / photos
    right = sum(row.photos * row.accuracy for row in bins) / photos
    return (
        f"Reliability diagram: on average it is {sure:.1%} sure and right {right:.1%} of the time; "
        f"the expected calibration error is {error:.1%}."
    )


def rejection_figure(curve: RejectionCurve) -> "Figure":
    """The rejection curve: the accuracy of the part of the photos that it was surest of, from a few to all of them.

    The dashed line is the accuracy on all, which withholding answers at random would leave as it is. A dot, of the
    class ``mark``, stands where all are answered: a page may move it, by ``rejection_scale``.
    """
    from matplotlib.patches import Ellipse

    figure, axes = _plot(*REJECTION_SIDES, "part of the photos answered, the surest first", "accuracy of these answers")
    axes.plot(curve.answered, curve.accuracy, color=RIGHT, linewidth=2.2, clip_on=False, solid_joinstyle="round")
    every = curve.accuracy[-1]
    axes.plot([0, 1], [every, every], color=INK, alpha=0.5, linewidth=1, linestyle=(0, (4, 3)), clip_on=False)
    axes.set(xlim=(0, 1), ylim=(_floor(curve), 1))
    across, up, _ = rejection_scale(curve)
    dot = Ellipse((1, every), 12 / across, 12 / up, color=RIGHT, clip_on=False, zorder=3, gid=MARK)  # 12 points wide
    axes.add_patch(dot)
    return figure


def rejection_scale(curve: RejectionCurve) -> tuple[float, float, float]:
    """SVG units that the whole range of shares, and an accuracy of 1, take in that figure; and the lowest accuracy
    drawn."""
    floor = _floor(curve)
    width, height = (72 * inches for inches in REJECTION_SIDES)
    return width, height / (1 - floor), floor


def _floor(curve: RejectionCurve) -> float:
    """Where the axis begins: the curve is to fill the height."""
    return float(min(0.95, 0.05 * np.floor(20 * curve.accuracy.min() + 1e-9)))


def rejection_summary(curve: RejectionCurve) -> str:
    """The curve in one sentence, for those who cannot see it."""
    answered, accuracy, threshold = curve.at(0.8)
    return (
        f"Rejection curve: {curve.accuracy[-1]:.1%} of all answers are right, and {accuracy:.1%} of the surest "
        f"{answered:.0%}, those of {threshold:.0%} confidence or more."
    )


def _plot(width: float, height: float, across: str, up: str) -> tuple["Figure", "Axes"]:
    """Empty axes of ``width`` × ``height`` inches whose labels, in ``INK``, hang outside; both axes tell shares."""
    from matplotlib.figure import Figure
    from matplotlib.ticker import PercentFormatter

    figure = Figure(figsize=(width, height), facecolor="none")
    axes = figure.add_axes((0, 0, 1, 1), facecolor="none")
    for axis, text in ((axes.xaxis, across), (axes.yaxis, up)):
        axis.set_major_formatter(PercentFormatter(1))
        axis.set_label_text(text, color=INK, fontsize=11, alpha=0.7)
        axis.labelpad = 8
    axes.tick_params(length=0, pad=6, labelsize=10, labelcolor=INK)
    axes.spines[["top", "right"]].set_visible(False)
    for side in ("left", "bottom"):
        axes.spines[side].set(color=INK, alpha=0.3, linewidth=1)
        axes.spines[side].set_clip_on(False)
    return figure, axes


def figure_svg(figure: "Figure", label: str, words: Callable[[str], str] = str) -> str:
    """The figure as an ``<svg>`` element to put into a page: transparent, in the page's own font and text colour.

    ``label`` is what a screen reader says; ``words`` may put that and the figure's texts into another language. The
    element has no ids and no style sheet of its own, so that it clashes with nothing around it; its ``width`` and
    ``height`` are CSS pixels.
    """
    from matplotlib import rc_context

    buffer = io.BytesIO()
    nothing = dict.fromkeys(("Creator", "Date", "Format", "Type"))
    # Real text instead of outlines: the browser has a glyph for every character, where matplotlib would warn.
    with _drawing, rc_context({"svg.fonttype": "none"}), warnings.catch_warnings():
        warnings.filterwarnings("ignore", "Glyph .* missing")
        figure.savefig(buffer, format="svg", bbox_inches="tight", pad_inches=0.05, transparent=True, metadata=nothing)
    root = ElementTree.fromstring(buffer.getvalue())
    for element in root.iter():
        element.tag = element.tag.rpartition("}")[2]
        if element.tag == "text" and element.text:
            element.text = words(element.text)
        if element.attrib.pop("id", None) == MARK:
            element.set("class", MARK)
        if style := element.get("style"):
            rules = [rule for rule in style.split("; ") if not rule.startswith("font-family")]
            element.set("style", "; ".join(rules).replace(INK, "currentColor"))
    for part in root.findall("defs"):  # a style sheet that would apply to the whole page
        root.remove(part)
    width, height = (float(value) * 4 / 3 for value in root.get("viewBox").split()[2:])  # points to CSS pixels
    root.attrib.pop("version", None)
    root.attrib |= {
        "xmlns": "http://www.w3.org/2000/svg",
        "width": f"{width:.0f}",
        "height": f"{height:.0f}",
        "role": "img",
        "aria-label": words(label),
    }
    return ElementTree.tostring(root, encoding="unicode")


def _short(name: str) -> str:
    """A class name on one line: a folder may be called anything, and some characters are not allowed in XML."""
    name = " ".join("".join(c if c.isprintable() else " " for c in name).split()) or "?"
    return name if len(name) <= LONGEST else f"{name[: LONGEST - 1]}…"
