"""matplotlib figures. Each takes numbers and returns a Figure that nobody else holds: no pyplot, no global state."""

import io
import threading
import warnings
import xml.etree.ElementTree as ElementTree
from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from matplotlib.figure import Figure

SHOWN = 20  # classes in one matrix: with more, the numbers in it can no longer be read
LONGEST = 24  # characters of a class name
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


def figure_svg(figure: "Figure", label: str) -> str:
    """The figure as an ``<svg>`` element to put into a page: transparent, in the page's own font and text colour.

    ``label`` is what a screen reader says. The element has no ids and no style sheet of its own, so that it clashes
    with nothing around it; its ``width`` and ``height`` are CSS pixels.
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
        element.attrib.pop("id", None)
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
        "aria-label": label,
    }
    return ElementTree.tostring(root, encoding="unicode")


def _short(name: str) -> str:
    """A class name on one line: a folder may be called anything, and some characters are not allowed in XML."""
    name = " ".join("".join(c if c.isprintable() else " " for c in name).split()) or "?"
    return name if len(name) <= LONGEST else f"{name[: LONGEST - 1]}…"
