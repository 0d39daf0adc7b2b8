"""What is wrong with a photo set: unreadable and small files, duplicates, one picture under two labels, pictures on
both sides of a split, classes of unlike size; and a copy of the set without all that.

Suspected wrong labels need a network's opinion: ``training.folds`` asks for it, ``evaluation.suspects`` judges by it,
and ``Findings`` carries the result beside the rest.
"""

import os
import shutil
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from flowers.data.classes import CLASS_NAMES
from flowers.data.dataset import HELD_BACK, Photo, PhotoDataset
from flowers.data.decode import image_size
from flowers.data.fingerprint import same_pictures
from flowers.errors import DataError, UsageError
from flowers.files import whole_folder

SMALL_SIDE = 112  # pixels: half of what the networks look at, so that every detail was made up by enlarging
IMBALANCE = 3  # times as many photos in the largest class as in the smallest: from there on it matters
FEW = 25  # photos of a class: a fifth of them, held back, are five, and each weighs 20 points of that class's recall
SERIES = 4  # pictures that look alike: fewer are copies that somebody has by mistake
SHOWN = 20  # rows of a list on a terminal


@dataclass(frozen=True)
class Group:
    """Several photos of the set that are one picture."""

    photos: tuple[str, ...]  # paths within the set
    exact: bool  # whether they are the same file, byte for byte

    def text(self) -> str:
        """One line for a terminal."""
        return f"{_kind(self.exact)}  {' = '.join(self.photos)}"


@dataclass(frozen=True)
class Series:
    """A class of which most photos look alike: a burst, the frames of a film, a camera that does not move."""

    name: str  # the class
    photos: int  # that look like others of the class

    def text(self) -> str:
        """One line for a terminal."""
        return f"{self.name}: {_photos(self.photos)} that look like others of the class"


@dataclass(frozen=True)
class Match:
    """A photo that is also elsewhere: in another set, or on the other side of a split."""

    photo: str  # its path within the set
    other: str  # the path there
    exact: bool  # whether they are the same file, byte for byte

    def text(self) -> str:
        """One line for a terminal."""
        return f"{_kind(self.exact)}  {self.photo} = {self.other}"


@dataclass(frozen=True)
class Small:
    """A photo with less detail than a network could use."""

    photo: str
    width: int  # pixels
    height: int

    def text(self) -> str:
        """One line for a terminal."""
        return f"{self.width} × {self.height}  {self.photo}"


@dataclass(frozen=True)
class Suspect:
    """A photo whose label may be wrong, in the eyes of a network that was not told that label."""

    photo: str
    label: str  # the class it stands under
    suggestion: str  # the class it looks like
    confidence: float  # in the suggestion, 0..1
    confidence_in_label: float  # 0..1
    confident: bool  # whether it looks as much like the suggestion as photos of that class do on the average

    def text(self) -> str:
        """One line for a terminal."""
        return (
            f"{'probably' if self.confident else 'perhaps '}  {self.confidence:4.0%} against "
            f"{self.confidence_in_label:3.0%}  {self.photo} → {self.suggestion}"
        )


@dataclass(frozen=True)
class Findings:
    """What the doctor found, by the photos' paths within the set."""

    dataset: PhotoDataset
    duplicates: tuple[Group, ...]  # of one class; of a series the same files alone
    conflicts: tuple[Group, ...]  # under more than one class
    series: tuple[Series, ...]
    small: tuple[Small, ...]
    balance: tuple[str, ...]  # what there is to say about the sizes of the classes, in sentences
    leaks: tuple[Match, ...] | None  # across our own split: none, or something is broken; None: it cannot be split
    against: PhotoDataset | None = None  # the other set, if there is one
    shared: tuple[Match, ...] = ()  # photos that are in the other set too
    suspects: tuple[Suspect, ...] | None = None  # the most suspicious first; None: not looked for
    basis: str = ""  # who suspects them, in a sentence

    def to_dict(self) -> dict[str, Any]:
        """All findings, ready for JSON; nothing of this machine's folders."""
        dataset = self.dataset
        lists = {
            name: getattr(self, name)
            for name in ("duplicates", "conflicts", "series", "small", "leaks", "shared", "suspects")
        }
        return {
            "source": dataset.root.name,
            "digest": dataset.digest,
            "photos": len(dataset),
            "counts": dataset.counts,
            "balance": list(self.balance),
            "unreadable": [asdict(item) for item in dataset.unreadable],
            **{name: None if rows is None else [asdict(row) for row in rows] for name, rows in lists.items()},
            "against": self.against.root.name if self.against else None,
            "basis": self.basis,
        }

    def text(self) -> str:
        """The findings for a terminal; of long lists the beginning."""
        dataset = self.dataset
        width = max(map(len, dataset.classes))
        lines = [f"{_photos(len(dataset))} in {len(dataset.classes)} classes under {dataset.root}"]
        lines += [f"  {name:<{width}}  {n:>6,}  {n / len(dataset):6.1%}" for name, n in dataset.counts.items()]
        lines += [*self.balance, ""]
        lines += _section("Unreadable files, left out", [item.reason for item in dataset.unreadable])
        lines += _section(
            f"Small photos, of less than {SMALL_SIDE} pixels a side", [item.text() for item in self.small]
        )
        lines += _section("Pictures under two labels", [group.text() for group in self.conflicts])
        lines += _section("Pictures more than once in their class", [group.text() for group in self.duplicates])
        lines += _section("Series, which are kept", [one.text() for one in self.series]) if self.series else []
        if self.leaks is None:
            lines.append("On both sides of the split: it cannot be split, for a class has too few different photos")
        else:
            lines += _section(
                f"On both sides of {'its own split' if dataset.held_back else 'the split (seed 0)'}",
                [match.text() for match in self.leaks],
            )
        if self.against:
            lines += _section(f"Also in {self.against.root.name}", [match.text() for match in self.shared])
        if self.suspects is not None:
            confident = sum(suspect.confident for suspect in self.suspects)
            rows = [suspect.text() for suspect in self.suspects]
            lines += _section(f"Suspected wrong labels, worst first, {confident} of them probable", rows)
            lines.append(self.basis)
        return "\n".join(lines)

    def left_out(self, suspects: bool = False) -> dict[str, str]:
        """Path -> reason of all that a clean copy leaves out.

        Unreadable files, all photos of a picture that has two labels, all but the first of duplicates, photos that are
        in the other set too, and with ``suspects`` those whose label is probably wrong.
        """
        reasons = {item.path: "unreadable" for item in self.dataset.unreadable}
        for suspect in self.suspects or ():
            if suspects and suspect.confident:
                reasons[suspect.photo] = f"looks like {suspect.suggestion}"
        for group in self.duplicates:
            first, *others = [photo for photo in group.photos if photo not in reasons] or group.photos[:1]
            reasons |= dict.fromkeys(others, f"a copy of {first}")
        for group in self.conflicts:
            reasons |= dict.fromkeys(group.photos, "one picture under two labels")
        return reasons | {match.photo: f"also in {self.against.root.name}" for match in self.shared}


def check(dataset: PhotoDataset, against: PhotoDataset | None = None) -> Findings:
    """Look for everything that can be found without a network: 0.2 seconds for 3,000 photos.

    ``against`` is another set that should have no photo in common with this one, such as the held-out part of a split
    that somebody else made. Raises UsageError where ``against`` is the set itself.
    """
    if against and against.root == dataset.root:
        raise UsageError(f"{dataset.root.name} has all photos in common with itself: name another set to compare with.")
    groups = [indices for indices in dataset.groups if len(indices) > 1]
    conflicts, copies = [], []
    for indices in groups:
        (conflicts if len({dataset.photos[i].label for i in indices}) > 1 else copies).append(indices)
    series = _series(dataset, copies)
    named = {one.name for one in series}
    duplicates = []
    for indices in copies:
        in_series = dataset.classes[dataset.photos[indices[0]].label] in named
        duplicates += _same_files(dataset, indices) if in_series else [indices]
    return Findings(
        dataset,
        tuple(_group(dataset, indices) for indices in duplicates),
        tuple(_group(dataset, indices) for indices in conflicts),
        series,
        small=tuple(_small(dataset)),
        balance=tuple(_balance(dataset.counts)),
        leaks=_leaks(dataset),
        against=against,
        shared=matches(dataset.photos, against.photos) if against else (),
    )


def matches(some: Sequence[Photo], others: Sequence[Photo]) -> tuple[Match, ...]:
    """Every photo of ``some`` that is one picture with a photo of ``others``, beside that photo."""
    found = ((some[i], others[j]) for i, j in same_pictures(some, others))
    return tuple(Match(photo.path, other.path, photo.sha256 == other.sha256) for photo, other in found)


def write_clean(findings: Findings, folder: Path, suspects: bool = False) -> dict[str, str]:
    """Copy the photo set to the new ``folder`` without what ``findings.left_out(suspects)`` names; that is returned.

    Raises UsageError for a folder that is not empty or inside the set, DataError when a class would have fewer than two
    photos, OSError as when the disk is full.
    """
    dataset, folder = findings.dataset, Path(os.path.abspath(folder))
    if folder.resolve().is_relative_to(dataset.root):
        raise UsageError(f"{folder.name} would be inside the photo set {dataset.root.name}: choose a folder elsewhere.")
    if folder.exists() and not (folder.is_dir() and not any(folder.iterdir())):
        raise UsageError(f"{folder.name} is there already and not empty: choose another folder.")
    reasons = findings.left_out(suspects)
    kept = [photo for photo in dataset.photos if photo.path not in reasons]
    for label, name in enumerate(dataset.classes):
        if sum(photo.label == label for photo in kept) < 2:
            raise DataError(f"The class {name} would be left with fewer than two photos: add different ones.")
    with whole_folder(folder) as building:
        for photo in kept:  # copies, not links: the originals belong to somebody else
            target = building / photo.path
            target.parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(dataset.root / photo.path, target)
        if (dataset.root / CLASS_NAMES).exists():
            shutil.copyfile(dataset.root / CLASS_NAMES, building / CLASS_NAMES)
        if dataset.held_back:
            paths = sorted({dataset.photos[index].path for index in dataset.held_back} - set(reasons))
            (building / HELD_BACK).write_text("".join(f"{path}\n" for path in paths), encoding="utf-8")
    return reasons


def _group(dataset: PhotoDataset, indices: Sequence[int]) -> Group:
    photos = [dataset.photos[i] for i in indices]
    return Group(tuple(photo.path for photo in photos), len({photo.sha256 for photo in photos}) == 1)


def _series(dataset: PhotoDataset, copies: Sequence[Sequence[int]]) -> tuple[Series, ...]:
    """The classes that would lose half of their photos or more, were of near copies all but one left out."""
    like, lost, longest = Counter(), Counter(), Counter()
    for indices in copies:
        label = dataset.photos[indices[0]].label
        pictures = len({dataset.photos[i].sha256 for i in indices})
        like[label] += len(indices)
        lost[label] += pictures - 1
        longest[label] = max(longest[label], pictures)
    return tuple(
        Series(name, like[label])
        for label, (name, count) in enumerate(dataset.counts.items())
        if 2 * lost[label] >= count and longest[label] >= SERIES
    )


def _same_files(dataset: PhotoDataset, indices: Sequence[int]) -> list[list[int]]:
    files: dict[str, list[int]] = {}
    for i in indices:
        files.setdefault(dataset.photos[i].sha256, []).append(i)
    return [copies for copies in files.values() if len(copies) > 1]


def _leaks(dataset: PhotoDataset) -> tuple[Match, ...] | None:
    """Our own split keeps what is one picture together, and says itself which series it cuts: there can be none."""
    try:
        split = dataset.split()
    except DataError:
        return None
    if not split.train:  # it is there to be asked about
        return None
    if dataset.held_back:
        return matches(*([dataset.photos[i] for i in side] for side in (split.train, split.val)))
    group = {i: number for number, indices in enumerate(dataset.groups) for i in indices}
    torn = {group[i] for i in split.train} & {group[i] for i in split.val}
    torn -= {group[i] for i in split.val if dataset.photos[i].label in split.flattering}
    return matches(*([dataset.photos[i] for i in side if group[i] in torn] for side in (split.train, split.val)))


def _small(dataset: PhotoDataset) -> Iterable[Small]:
    for index, photo in enumerate(dataset.photos):
        width, height = image_size(dataset.path(index))
        if min(width, height) < SMALL_SIDE:
            yield Small(photo.path, width, height)


def _balance(counts: dict[str, int]) -> Iterable[str]:
    smallest, largest = min(counts, key=counts.get), max(counts, key=counts.get)
    ratio = counts[largest] / counts[smallest]
    if ratio < IMBALANCE:
        yield f"The largest class has {ratio:.1f} times the photos of the smallest, which does not matter."
    else:
        yield (
            f"{largest} has {ratio:.1f} times the photos of {smallest}, which matters: always answering {largest} is "
            f"right for {counts[largest] / sum(counts.values()):.0%}, so look at each class's recall, not at accuracy, "
            f"and add photos of {smallest}."
        )
    if counts[smallest] < FEW:
        held_back = max(1, int(0.2 * counts[smallest] + 0.5))
        yield (
            f"Of {smallest}, {_photos(counts[smallest])} are few: with {held_back} held back, one mistake moves its "
            f"recall by {1 / held_back:.0%}."
        )


def _section(title: str, rows: Sequence[str]) -> list[str]:
    more = [f"  … and {len(rows) - SHOWN:,} more, which --json tells"] if len(rows) > SHOWN else []
    return [f"{title}: {len(rows) or 'none'}", *(f"  {row}" for row in rows[:SHOWN]), *more]


def _kind(exact: bool) -> str:
    return "same file" if exact else "near copy"


def _photos(count: int) -> str:
    return f"{count:,} photo{'' if count == 1 else 's'}"
