"""Whether more photos would help: read from how accuracy rose with the number of photos that there were."""

import math
from collections.abc import Sequence

HALF = 0.5  # of the photos: what the second half of them brought, as many more may bring again
WORTH = 0.01  # of accuracy: less is not worth anybody's while


def verdict(curve: Sequence[tuple[int, float]], photos: int) -> str:
    """``helps``, ``hardly`` or ``unsure``, of ``curve``: (photos learned from, accuracy on others), rising in photos.

    Each accuracy is of answers to as many as ``photos``.
    """
    if len(curve) < 2:
        return "unsure"
    _, before = half(curve)
    after = curve[-1][1]
    # Both are of the same photos, and mostly right on the same: about half the error of two that are not.
    error = math.sqrt(max(after * (1 - after), 1 / photos) / photos)
    gain = after - before
    if gain > max(WORTH, error):
        return "helps"
    return "hardly" if gain + error < 3 * WORTH else "unsure"


def half(curve: Sequence[tuple[int, float]]) -> tuple[int, float]:
    """The point of the curve that is nearest to half of the photos."""
    return min(curve[:-1], key=lambda point: abs(point[0] - HALF * curve[-1][0]))


def in_words(curve: Sequence[tuple[int, float]], photos: int) -> str:
    """The verdict as a sentence; empty for a curve of one point."""
    if len(curve) < 2:
        return ""
    (fewer, before), (all_of_them, after) = half(curve), curve[-1]
    ends = {
        "helps": "more photos would help",
        "hardly": "more photos of the same kind would hardly help",
        "unsure": "there are too few to tell whether more would help",
    }
    seen = f"With {fewer:,} photos to learn from it was right on {before:.0%} of the others, with {all_of_them:,} on"
    return f"{seen} {after:.0%}: {ends[verdict(curve, photos)]}."
