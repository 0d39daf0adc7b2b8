"""Who is held back: a pure function of the photos, their groups and a seed."""

import hashlib
import itertools
import math
import re
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from flowers.data.fingerprint import Picture

Group = tuple[int, ...]


@dataclass(frozen=True)
class Split:
    """Indices into ``PhotoDataset.photos``, each in ascending order; together they are all of them."""

    train: tuple[int, ...]
    val: tuple[int, ...]
    # Labels whose photos are all one series, so that its last part is held back: its first is learned from, and the
    # accuracy flatters.
    flattering: tuple[int, ...] = ()


def draw(photos: Sequence[Picture], groups: Sequence[Group], seed: int, val_fraction: float) -> Split:
    """Hold back ``val_fraction`` of every class's photos, each group whole on one side.

    Where all groups of a class are larger than its share, as bursts are, the smallest is held back whole. Where there
    is but one, a series of one scene, its last part in the order of the paths is; copies of one file stay together
    even then.
    """
    counts = Counter(photo.label for photo in photos)
    share = {label: max(1, math.floor(val_fraction * count + 0.5)) for label, count in counts.items()}

    def lot(group: Group) -> str:
        # A hash instead of a shuffled list: adding or removing photos leaves the others where they were in the draw.
        content = min(photos[i].sha256 for i in group)
        return hashlib.sha256(f"{seed}:{content}".encode()).hexdigest()

    val: set[int] = set()
    room = dict(share)
    drawn = sorted(groups, key=lot)
    for group in drawn:
        needs = Counter(photos[i].label for i in group)
        if all(count <= room[label] for label, count in needs.items()):
            val.update(group)
            for label, count in needs.items():
                room[label] -= count
    flattering = []
    for label in sorted(label for label in counts if room[label] == share[label]):
        own = [group for group in drawn if {photos[i].label for i in group} == {label}]
        if sum(len(group) for group in own) < counts[label] or len(own) > 1:
            val.update(min(own, key=len, default=()))
        elif last := _last_part(own[0], photos, share[label]):
            val.update(last)
            flattering.append(label)
    train = tuple(i for i in range(len(photos)) if i not in val)
    return Split(train, tuple(sorted(val)), tuple(flattering))


def deal(photos: Sequence[Picture], groups: Sequence[Group], count: int, seed: int = 0) -> list[list[int]]:
    """Photos dealt into ``count`` parts: indices in ascending order, as many of each class, each group whole.

    Fewer parts where a class has fewer groups, down to 2. A class that is all one series is cut into stretches in the
    order of the paths, copies of one file together; where it is all one file, one part has none of it. No part is
    empty.
    """
    own: dict[int, list[Group]] = {}
    for group in groups:
        for label in {photos[i].label for i in group}:
            own.setdefault(label, []).append(group)
    series = {label for label, mine in own.items() if len(mine) == 1}
    count = min([count, *(len(mine) for mine in own.values() if len(mine) > 1)])
    pieces = [tuple(i for i in group if photos[i].label not in series) for group in groups]
    for label in sorted(series):
        pieces += _stretches([i for i in own[label][0] if photos[i].label == label], photos, count)

    def lot(group: Group) -> str:
        content = min(photos[i].sha256 for i in group)
        return hashlib.sha256(f"folds:{seed}:{content}".encode()).hexdigest()

    parts: list[list[int]] = [[] for _ in range(count)]
    held = [Counter() for _ in range(count)]
    for group in sorted(filter(None, pieces), key=lot):
        label = photos[group[0]].label
        part = min(range(count), key=lambda part: (held[part][label], held[part].total()))
        parts[part].extend(group)
        held[part].update(photos[i].label for i in group)
    return [sorted(part) for part in parts if part]


def held_out(parts: Sequence[Sequence[int]]) -> Iterator[tuple[list[int], list[int]]]:
    """Each part, and all the others together."""
    for held in range(len(parts)):
        yield list(parts[held]), [i for part, indices in enumerate(parts) if part != held for i in indices]


def _stretches(series: Sequence[int], photos: Sequence[Picture], count: int) -> list[Group]:
    files = list(_files(series, photos).values())
    cuts = [round(number * len(files) / count) for number in range(count + 1)]
    return [tuple(i for file in files[start:end] for i in file) for start, end in itertools.pairwise(cuts)]


def _files(series: Sequence[int], photos: Sequence[Picture]) -> dict[str, list[int]]:
    """The photos of a series in the order of their paths, copies of one file together."""
    files: dict[str, list[int]] = {}
    for i in sorted(series, key=lambda i: natural(photos[i].path)):
        files.setdefault(photos[i].sha256, []).append(i)
    return files


def _last_part(series: Group, photos: Sequence[Picture], count: int) -> list[int]:
    """The last ``count`` photos, or somewhat more where the last of them has copies; none where all are one file."""
    last: list[int] = []
    for copies in list(_files(series, photos).values())[:0:-1]:
        if len(last) >= count:
            break
        last += copies
    return last


def natural(path: str) -> list:
    """A key that sorts frame 2 before frame 10."""
    return [(int(part), "") if part.isdecimal() else (-1, part) for part in re.split(r"(\d+)", path)]
