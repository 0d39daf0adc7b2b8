"""The garden: flowers of five classes, painted by Pillow, so that no network is needed to have photos to train on."""

import itertools
import tempfile
from collections.abc import Callable
from contextlib import nullcontext
from functools import partial
from multiprocessing import Pool
from pathlib import Path

from flowers.data.garden.picture import CLASSES, render_flower
from flowers.errors import DataError, UsageError

GOLDEN_RATIO = (5**0.5 - 1) / 2  # its multiples fill 0..1 the most evenly

__all__ = ["CLASSES", "difficulty_of", "render_flower", "render_garden"]


def render_garden(
    folder: Path,
    per_class: int = 60,
    seed: int = 0,
    size: int = 256,
    progress: Callable[[int, int], None] | None = None,
    hard: bool = True,
    workers: int = 1,
) -> None:
    """Write ``folder/<class>/<class>-0001.jpg`` and so on: ``per_class`` photos of each class, ``size`` pixels a side.

    They go from clear portraits to hard ones, as photos do; without ``hard`` all are clear, and soon learned. Several
    ``workers`` are processes, and the same photos come out.
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
    photos = list(itertools.product(CLASSES, range(1, per_class + 1)))
    try:
        folder.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(dir=folder.parent, prefix=f".{folder.name}-") as beside:
            growing = Path(beside) / folder.name
            for kind in CLASSES:
                (growing / kind).mkdir(parents=True)
            paint = partial(_paint, growing, seed, size, hard)
            with Pool(workers) if workers > 1 else nullcontext() as pool:
                for done, _ in enumerate(pool.imap_unordered(paint, photos) if pool else map(paint, photos), 1):
                    if progress:
                        progress(done, len(photos))
            growing.rename(folder)
    except OSError as error:
        if not folder.is_dir():  # else another process was first, with the same garden
            raise DataError(f"The garden cannot be written to {folder} ({error}); choose another folder.") from error


def _paint(garden: Path, seed: int, size: int, hard: bool, photo: tuple[str, int]) -> None:
    kind, number = photo
    difficulty = difficulty_of(number) if hard else 0.0
    # Two gardens share no photo, below 100,000 of a class.
    picture = render_flower(kind, seed * 100_000 + number, size, difficulty)
    picture.save(garden / kind / f"{kind}-{number:04d}.jpg", quality=90)


def difficulty_of(number: int) -> float:
    """The difficulty of a garden's picture: in each class, and in any run of its numbers, from 0 to 1 evenly."""
    return number * GOLDEN_RATIO % 1
