"""A photo set is an index: a folder of class folders becomes a list of (path, label), and the split is a pure
function of that list and a seed. Nothing is copied, nothing is shuffled in secret.
"""

import contextlib
import functools
import hashlib
import json
import math
import os
from collections import Counter
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass, replace
from pathlib import Path

from flowers.data.classes import MAX_CLASSES, is_album, read_layout
from flowers.data.decode import MAX_BYTES, decode_image
from flowers.data.download import Progress
from flowers.data.fingerprint import fingerprint, groups, pixels_of
from flowers.data.split import Split, draw
from flowers.data.text import read_text, with_slashes
from flowers.data.threads import ahead
from flowers.errors import DataError, DecodeError
from flowers.files import write_whole
from flowers.paths import cache_dir

HELD_BACK = "held-back.txt"  # in a set's folder: the paths of the photos to check on, one a line, if not drawn by lot
NO_SPLIT = "The split of these photos lacks some class on one side: lots are drawn instead."
THREADS = min(4, os.cpu_count() or 1)  # each may hold a photo of 120 megapixels: 0.5 GB, lossless WebP up to 1.9 GB
FACTS_AHEAD = 64
_INDEX_VERSION = 3  # part of the index cache's name: bump when what fingerprint.py computes or the reasons change


@dataclass(frozen=True)
class Photo:
    """One readable photo: where it is, what it shows, and what it takes to recognise it again."""

    path: str  # relative to the dataset's root, with forward slashes
    label: int  # index into the dataset's classes
    sha256: str
    fingerprint: str  # 32 hexadecimal digits, see fingerprint.fingerprint
    pixels: str = ""  # for a closer look, see fingerprint.pixels_of; "" where unknown


@dataclass(frozen=True)
class Unreadable:
    """A file that was left out, and why in a sentence."""

    path: str
    reason: str


@dataclass(frozen=True)
class PhotoDataset:
    """The photos of a folder of class folders, sorted by class and path; classes sorted by name."""

    root: Path
    classes: tuple[str, ...]
    photos: tuple[Photo, ...]
    unreadable: tuple[Unreadable, ...] = ()
    held_back: frozenset[int] = frozenset()  # photos that the set itself wants to be checked on; see HELD_BACK
    notes: tuple[str, ...] = ()  # how the folder was understood, a sentence each; none for plain class folders

    def __len__(self) -> int:
        return len(self.photos)

    def path(self, index: int) -> Path:
        """Where photo ``index`` is on disk."""
        return self.root / self.photos[index].path

    def class_of(self, path: str) -> str:
        """The class name of the photo at ``path``, relative to the root. Raises KeyError for one that is not there."""
        return self._classes_by_path[path]

    @functools.cached_property
    def _classes_by_path(self) -> dict[str, str]:
        return {photo.path: self.classes[photo.label] for photo in self.photos}

    @functools.cached_property
    def counts(self) -> dict[str, int]:
        """Readable photos by class name."""
        counted = Counter(photo.label for photo in self.photos)
        return {name: counted[label] for label, name in enumerate(self.classes)}

    @functools.cached_property
    def digest(self) -> str:
        """A name for exactly these photos under these labels, whatever the folder and the file names are."""
        rows = sorted(
            f"{self.classes[photo.label]}/{photo.sha256}{' held back' * (index in self.held_back)}"
            for index, photo in enumerate(self.photos)
        )
        return hashlib.sha256(os.fsencode("\n".join(rows))).hexdigest()[:16]

    @functools.cached_property
    def groups(self) -> tuple[tuple[int, ...], ...]:
        """Photos that are identical or near-identical, as groups of indices; a photo alone is a group of one."""
        return tuple(groups(self.photos))

    def split(self, seed: int = 0, val_fraction: float = 0.2) -> Split:
        """Training and validation parts, stratified by class, each group of duplicates whole on one side.

        Depends only on the photos' contents, their labels and the arguments: not on the machine or the order of the
        file system. Raises DataError when a class would have no photo on one of the sides.

        Where the set says itself which photos are held back, that is the split, whatever the arguments and the
        duplicates are; where these are all of its photos, the training part is empty. A class that is all one series,
        as a burst is, gives the last part of it by the photos' names, and is named in ``Split.flattering``.
        """
        split = _own_split(self) if self.held_back else draw(self.photos, self.groups, seed, val_fraction)
        for part in (split.train, split.val) if split.train else ():
            missing = set(range(len(self.classes))) - {self.photos[i].label for i in part}
            if missing:
                raise DataError(_too_few(self, self.classes[min(missing)]))
        return split


def open_dataset(source: str | Path | None = None, progress: Progress | None = None) -> PhotoDataset:
    """The photo set behind ``source``: a folder of class folders, a zip of one, a known name, or None for the default.

    ``progress(done, total)`` is called while photos are read. Raises DataError or UsageError.
    """
    from flowers.data.sources import resolve

    return scan(resolve(source, progress=progress), progress)


def scan(root: str | Path, progress: Progress | None = None) -> PhotoDataset:
    """Index the class folders under ``root``. Every photo is decoded once; the facts are cached by size and time.

    Raises DataError for fewer than two classes, and for a class with fewer than two readable photos.
    """
    root = Path(root).resolve()
    with _reading(root):
        return _scan(root, progress)


def listing(root: str | Path) -> dict[str, list[str]]:
    """The paths of every class's files, relative to ``root``, without opening a single one: 20 ms for 3,000 photos.

    Raises DataError.
    """
    root = Path(root).resolve()
    with _reading(root):
        return {
            name: [path.relative_to(root).as_posix() for path in paths]
            for name, paths in read_layout(root).classes.items()
        }


def scan_if_read(root: str | Path, most: int = 0) -> PhotoDataset | None:
    """What ``scan`` gives; None where it would have to read more than ``most`` photos, never seen before, for that."""
    root = Path(root).resolve()
    try:
        with _reading(root):
            return _scan(root, None, most)
    except _Unread:
        return None


class _Unread(Exception):
    """More photos are unread than may be read now."""


def forget(root: str | Path) -> None:
    """Drop what ``scan`` has cached about ``root``, which may be gone."""
    with contextlib.suppress(OSError):
        _index_file(Path(root).resolve()).unlink()


@contextlib.contextmanager
def _reading(root: Path) -> Iterator[None]:
    """Turn what the system says about the files under ``root`` into a sentence."""
    try:
        yield
    except OSError as error:
        raise DataError(
            f"{error.filename or root} cannot be read ({error.strerror or error}): check it and its permissions."
        ) from error


def _scan(root: Path, progress: Progress | None, most: float = math.inf) -> PhotoDataset:
    layout = read_layout(root)
    if not 2 <= len(layout.classes) <= MAX_CLASSES:
        held = "1 class folder" if len(layout.classes) == 1 else f"{len(layout.classes)} class folders"
        raise DataError(
            f"The folder {root.name} holds {held}: it needs 2 to {MAX_CLASSES}, one for each class, with that class's "
            "photos inside."
        )
    files = [(label, path) for label, paths in enumerate(layout.classes.values()) for path in paths]
    names = [path.relative_to(root).as_posix() for _, path in files]
    facts = _facts(root, [path for _, path in files], names, progress, most)
    photos, unreadable = [], []
    for (label, _), name, (sha256, bits, pixels, reason) in zip(files, names, facts, strict=True):
        if reason:
            unreadable.append(Unreadable(name, reason))
        else:
            photos.append(Photo(name, label, sha256, bits, pixels))
    dataset = PhotoDataset(root, tuple(layout.classes), tuple(photos), tuple(unreadable), notes=layout.notes)
    _check_counts(dataset, [len(paths) for paths in layout.classes.values()])
    held_back = {path.relative_to(root).as_posix() for path in layout.held_back}
    given = frozenset(index for index, photo in enumerate(photos) if photo.path in held_back)
    if given and not _is_split(dataset, given):
        given, dataset = frozenset(), replace(dataset, notes=(*dataset.notes, NO_SPLIT))
    return replace(dataset, held_back=_held_back(dataset) or given)


def named_held_back(root: Path) -> set[str]:
    """The paths of photos that the file HELD_BACK in a set's folder names; none where there is no such file."""
    try:
        with open(root / HELD_BACK, "rb") as file:
            text = read_text(file.read(MAX_BYTES))
    except (FileNotFoundError, IsADirectoryError):
        return set()
    return {with_slashes(line.strip().strip('"')) for line in text.splitlines()} - {""}


def _is_split(dataset: PhotoDataset, held_back: frozenset[int]) -> bool:
    """Whether every class has photos on both sides."""
    sides = ({photo.label for i, photo in enumerate(dataset.photos) if (i in held_back) == side} for side in (1, 0))
    return all(len(side) == len(dataset.classes) for side in sides)


def _held_back(dataset: PhotoDataset) -> frozenset[int]:
    """The photos that the file HELD_BACK names; none where there is no such file."""
    places = {photo.path: index for index, photo in enumerate(dataset.photos)}
    example = f"write the path of one photo in each line, such as {dataset.photos[0].path}."
    named = named_held_back(dataset.root)
    if is_album(dataset.root):  # whose photos somebody may be moving, and who mends no file there
        held_back = frozenset(places[path] for path in named & places.keys())
        return held_back if _is_split(dataset, held_back) else frozenset()
    if unknown := named - places.keys() - {item.path for item in dataset.unreadable}:
        raise DataError(f"{HELD_BACK} names {min(unknown)}, which is no photo of the set: {example}")
    return frozenset(places[path] for path in named & places.keys())


def _check_counts(dataset: PhotoDataset, files: Sequence[int]) -> None:
    for (name, count), found in zip(dataset.counts.items(), files, strict=True):
        lost = found - count
        unreadable = f" ({lost} of its files could not be read)" if lost else ""
        if count == 0:
            raise DataError(f"The class {name} has no photo{unreadable}: add some, or remove its folder.")
        if count == 1:
            raise DataError(f"The class {name} has only one photo{unreadable}: it needs two, one to check on.")


Fact = tuple[str, str, str, str]  # sha256, fingerprint, pixels, reason it cannot be read ("" when it can)


def _facts(root: Path, paths: list[Path], names: list[str], progress: Progress | None, most: float) -> list[Fact]:
    """The facts of every file, from the cache where size and modification time are unchanged."""
    cache = _index_file(root)
    known = _read_cache(cache)
    keys = [_key(name, path) for name, path in zip(names, paths, strict=True)]
    todo = [index for index, key in enumerate(keys) if key not in known]
    if len(todo) > most:
        raise _Unread
    if todo:
        # Pillow decodes outside the interpreter lock, so threads are enough.
        with ThreadPoolExecutor(THREADS) as pool:
            facts = ahead(pool, lambda index: _fact(paths[index], names[index]), todo, FACTS_AHEAD)
            for done, (index, fact) in enumerate(zip(todo, facts, strict=True), 1):
                known[keys[index]] = fact
                if progress:
                    progress(done, len(todo))
        _write_cache(cache, {key: known[key] for key in keys})
    return [known[key] for key in keys]


def _index_file(root: Path) -> Path:
    name = hashlib.sha256(os.fsencode(root)).hexdigest()[:16]
    return cache_dir() / "index" / f"v{_INDEX_VERSION}-{name}.json"


def _read_cache(path: Path) -> dict[str, Fact]:
    try:
        seal, rows = json.loads(path.read_bytes())
        return {key: tuple(fact) for key, fact in rows.items()} if seal == _seal(rows) else {}
    except (OSError, ValueError, TypeError, AttributeError, RecursionError):  # none yet, or damaged: it is only a cache
        return {}


def _seal(rows: dict[str, Fact]) -> str:
    """What the rows are known to be whole by: with one wrong digit a photo would be another, and its split too."""
    return hashlib.sha256(json.dumps(rows).encode()).hexdigest()


def _write_cache(path: Path, facts: dict[str, Fact]) -> None:
    # Without a hash a file could not even be opened: the next time it may, and its size and time will not tell.
    kept = {key: fact for key, fact in facts.items() if fact[0]}
    with contextlib.suppress(OSError):  # a full disk, a read-only cache: then it is read again the next time
        path.parent.mkdir(parents=True, exist_ok=True)
        write_whole(path, json.dumps([_seal(kept), kept]))


def _key(name: str, path: Path) -> str:
    status = path.stat()
    return f"{name}|{status.st_size}|{status.st_mtime_ns}"


def _fact(path: Path, name: str) -> Fact:
    try:
        with open(path, "rb") as file:
            content = file.read(MAX_BYTES + 1)  # what is longer is refused; it may be a film of many gigabytes
    except OSError as error:
        return "", "", "", f"{name} cannot be opened: {error.strerror}."
    sha256 = hashlib.sha256(content).hexdigest()
    try:
        image = decode_image(content, min_side=64, name=name)
    except DecodeError as error:
        return sha256, "", "", str(error)
    return sha256, fingerprint(image), pixels_of(image), ""


def _own_split(dataset: PhotoDataset) -> Split:
    indices = range(len(dataset))
    return Split(tuple(index for index in indices if index not in dataset.held_back), tuple(sorted(dataset.held_back)))


def _too_few(dataset: PhotoDataset, name: str) -> str:
    if dataset.held_back:
        return f"Of the class {name}, {HELD_BACK} must hold back some photos and leave some: change it, or remove it."
    return (
        f"The class {name} has too few different photos, for copies of one picture are either all learned from or all "
        "checked on: add different photos."
    )


def flattery(dataset: PhotoDataset, split: Split, by_folds: bool = False) -> list[str]:
    """A sentence where the accuracy that is told, ``by_folds`` or else, will be better than on others; else none."""
    names = [dataset.classes[label] for label in split.flattering]
    if not names:
        return []
    some = ", ".join(names[:3]) + (" …" if len(names) > 3 else "")
    if by_folds:
        return [
            f"The photos of {some} look like one series each: the accuracy flatters until there are photos of another "
            "place or day."
        ]
    return [
        f"The photos of {some} look like one series each, and the last of each are held back: the accuracy flatters "
        "until there are photos of another place or day."
    ]


def summary(dataset: PhotoDataset) -> dict:
    """What a run folder keeps of its photo set: folder, classes, counts and digest, ready for JSON."""
    return {
        "root": str(dataset.root),
        "classes": list(dataset.classes),
        "counts": dataset.counts,
        "digest": dataset.digest,
        "unreadable": [asdict(item) for item in dataset.unreadable],
    }
