"""A photo set is an index: a folder of class folders becomes a list of (path, label), and the split is a pure
function of that list and a seed. Nothing is copied, nothing is shuffled in secret.
"""

import contextlib
import functools
import hashlib
import json
import math
import os
import unicodedata
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass, replace
from pathlib import Path

import numpy as np
from PIL import Image

from flowers.data.archive import is_litter
from flowers.data.decode import MAX_BYTES, decode_image
from flowers.data.download import Progress
from flowers.data.threads import ahead
from flowers.errors import DataError, DecodeError
from flowers.files import write_whole
from flowers.paths import cache_dir

MAX_CLASSES = 1000
HELD_BACK = "held-back.txt"  # in a set's folder: the paths of the photos to check on, one a line, if not drawn by lot
CLASS_NAMES = (
    "class-names.json"  # in a set's folder: {folder: class name} of folders that cannot be called as the class
)
# Of the 128 fingerprint bits. On the report's 2,848 photos each of the 16 pairs up to 20 is one picture (4 are the same
# file, the farthest pair stands at 19); those at 21 and 22 are unlike. One true pair, of a series, is missed: at 25.
NEAR_DUPLICATE_BITS = 20
THREADS = min(4, os.cpu_count() or 1)  # each may hold a photo of 120 megapixels: 0.5 GB, lossless WebP up to 1.9 GB
FACTS_AHEAD = 64
_INDEX_VERSION = 2  # part of the index cache's name: bump when fingerprint() or the reasons change


@dataclass(frozen=True)
class Photo:
    """One readable photo: where it is, what it shows, and what it takes to recognise it again."""

    path: str  # relative to the dataset's root, with forward slashes
    label: int  # index into the dataset's classes
    sha256: str
    fingerprint: str  # 32 hexadecimal digits, see fingerprint()


@dataclass(frozen=True)
class Unreadable:
    """A file that was left out, and why in a sentence."""

    path: str
    reason: str


@dataclass(frozen=True)
class Split:
    """Indices into ``PhotoDataset.photos``, each in ascending order; together they are all of them."""

    train: tuple[int, ...]
    val: tuple[int, ...]


@dataclass(frozen=True)
class PhotoDataset:
    """The photos of a folder of class folders, sorted by class and path; classes sorted by name."""

    root: Path
    classes: tuple[str, ...]
    photos: tuple[Photo, ...]
    unreadable: tuple[Unreadable, ...] = ()
    held_back: frozenset[int] = frozenset()  # photos that the set itself wants to be checked on; see HELD_BACK

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
        return tuple(_group([photo.sha256 for photo in self.photos], [photo.fingerprint for photo in self.photos]))

    def split(self, seed: int = 0, val_fraction: float = 0.2) -> Split:
        """Training and validation parts, stratified by class, each group of duplicates whole on one side.

        Depends only on the photos' contents, their labels and the arguments: not on the machine, the file names or
        the order of the file system. Raises DataError when a class would have no photo on one of the sides.

        Where the set says itself which photos are held back, that is the split, whatever the arguments and the
        duplicates are; where these are all of its photos, the training part is empty.
        """
        split = _own_split(self) if self.held_back else _split(self, seed, val_fraction)
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
            name: [path.relative_to(root).as_posix() for path in sorted(_files(folder))]
            for name, folder in _class_folders(root).items()
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


def _class_folders(root: Path) -> dict[str, Path]:
    """The class folders in ``root`` by the class's name, sorted."""
    folders = {path.name: path for path in root.iterdir() if path.is_dir() and not is_litter(path.name)}
    names = class_names(root, folders)
    return {names[folder]: folders[folder] for folder in sorted(names, key=names.get)}


def _scan(root: Path, progress: Progress | None, most: float = math.inf) -> PhotoDataset:
    folders = _class_folders(root)
    if not 2 <= len(folders) <= MAX_CLASSES:
        held = "1 class folder" if len(folders) == 1 else f"{len(folders)} class folders"
        raise DataError(
            f"The folder {root.name} holds {held}: it needs 2 to {MAX_CLASSES}, one for each class, with that class's "
            "photos inside."
        )
    files = [(label, path) for label, folder in enumerate(folders.values()) for path in sorted(_files(folder))]
    names = [path.relative_to(root).as_posix() for _, path in files]
    facts = _facts(root, [path for _, path in files], names, progress, most)
    photos, unreadable = [], []
    for (label, _), name, (sha256, fingerprint, reason) in zip(files, names, facts, strict=True):
        if reason:
            unreadable.append(Unreadable(name, reason))
        else:
            photos.append(Photo(name, label, sha256, fingerprint))
    dataset = PhotoDataset(root, tuple(folders), tuple(photos), tuple(unreadable))
    _check_counts(dataset, [folder.name for folder in folders.values()])
    return replace(dataset, held_back=_held_back(dataset))


def class_names(root: Path, folders: Iterable[str]) -> dict[str, str]:
    """The class name of each of the class folders in ``root``: the folder's own name, unless CLASS_NAMES gives another.

    Raises DataError where that file cannot be read, or gives two folders one name.
    """
    try:
        with open(Path(root) / CLASS_NAMES, "rb") as file:
            given = json.loads(file.read(MAX_BYTES))
        given = {folder: clean_name(name) for folder, name in given.items()}
    except FileNotFoundError:
        given = {}
    except (ValueError, AttributeError, TypeError, RecursionError):
        example = '{"folder-1": "AC/DC"}'
        raise DataError(f"{CLASS_NAMES} is not as it should be, such as {example}: remove it.") from None
    names = {folder: given.get(folder) or folder for folder in folders}
    if twice := [name for name, count in Counter(names.values()).items() if count > 1]:
        raise DataError(f"{CLASS_NAMES} gives the name {min(twice)} to two folders: change or remove it.")
    return names


def clean_name(name: str) -> str:
    """A class name as it is kept: composed Unicode in one line, without control and direction-changing characters.

    What emoji and scripts such as Persian are joined with stays.
    """
    kept = (c if unicodedata.category(c) not in ("Cc", "Zl", "Zp") else " " for c in name if c not in _DIRECTIONS)
    # Half characters (lone surrogates) can be written to no file.
    text = "".join(kept).encode("utf-8", "ignore").decode("utf-8")
    return unicodedata.normalize("NFC", " ".join(text.split()))


_DIRECTIONS = set("\u202a\u202b\u202c\u202d\u202e\u2066\u2067\u2068\u2069\ufeff")


def fingerprint(image: Image.Image) -> str:
    """128 bits that survive recompression and rescaling, as 32 hexadecimal digits; compare them by counting bits.

    Half is a difference hash (is a pixel brighter than its right neighbour, 8×8), half the signs of the lowest 8×8
    cosine frequencies (pHash, Zauner 2010): each alone takes unlike photos for alike, both together do not.
    """
    grey = image.convert("L")
    small = np.asarray(grey.resize((9, 8), Image.Resampling.BOX), dtype=np.int16)
    difference = small[:, 1:] > small[:, :-1]
    pixels = np.asarray(grey.resize((32, 32), Image.Resampling.BOX), dtype=np.float64)
    frequencies = (_COSINES @ pixels @ _COSINES.T).ravel()
    signs = frequencies > np.median(frequencies[1:])  # without the mean brightness
    return np.packbits(np.concatenate([difference.ravel(), signs])).tobytes().hex()


# The first 8 rows of the 32-point discrete cosine transform.
_COSINES = np.cos(np.pi / 32 * np.outer(np.arange(8), np.arange(32) + 0.5))


def _held_back(dataset: PhotoDataset) -> frozenset[int]:
    """The photos that the file HELD_BACK names; none where there is no such file."""
    places = {photo.path: index for index, photo in enumerate(dataset.photos)}
    example = f"write the path of one photo in each line, such as {dataset.photos[0].path}."
    try:
        with open(dataset.root / HELD_BACK, "rb") as file:
            text = file.read(MAX_BYTES).decode("utf-8-sig")
    except FileNotFoundError:
        return frozenset()
    except UnicodeDecodeError:
        raise DataError(f"{HELD_BACK} is not a text file: {example}") from None
    named = {line.strip() for line in text.splitlines()} - {""}
    if unknown := named - places.keys() - {item.path for item in dataset.unreadable}:
        raise DataError(f"{HELD_BACK} names {min(unknown)}, which is no photo of the set: {example}")
    return frozenset(places[path] for path in named & places.keys())


def _check_counts(dataset: PhotoDataset, folders: Sequence[str]) -> None:
    for folder, (name, count) in zip(folders, dataset.counts.items(), strict=True):
        lost = sum(item.path.startswith(f"{folder}/") for item in dataset.unreadable)
        unreadable = f" ({lost} of its files could not be read)" if lost else ""
        if count == 0:
            raise DataError(f"The class {name} has no photo{unreadable}: add some, or remove its folder.")
        if count == 1:
            raise DataError(f"The class {name} has only one photo{unreadable}: it needs two, one to check on.")


def _files(folder: Path) -> Iterator[Path]:
    for path in folder.iterdir():
        if is_litter(path.name):
            continue
        if path.is_dir() and not path.is_symlink():  # a link to a parent would never end
            yield from _files(path)
        elif path.is_file():
            yield path


Fact = tuple[str, str, str]  # sha256, fingerprint, reason it cannot be read ("" when it can)


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
        rows = json.loads(path.read_text())
        return {key: (str(sha256), str(code), str(reason)) for key, (sha256, code, reason) in rows.items()}
    except (OSError, ValueError, TypeError, AttributeError):  # none yet, or damaged: it is only a cache
        return {}


def _write_cache(path: Path, facts: dict[str, Fact]) -> None:
    # Without a hash a file could not even be opened: the next time it may, and its size and time will not tell.
    kept = {key: fact for key, fact in facts.items() if fact[0]}
    with contextlib.suppress(OSError):  # a full disk, a read-only cache: then it is read again the next time
        path.parent.mkdir(parents=True, exist_ok=True)
        write_whole(path, json.dumps(kept))


def _key(name: str, path: Path) -> str:
    status = path.stat()
    return f"{name}|{status.st_size}|{status.st_mtime_ns}"


def _fact(path: Path, name: str) -> Fact:
    try:
        with open(path, "rb") as file:
            content = file.read(MAX_BYTES + 1)  # what is longer is refused; it may be a film of many gigabytes
    except OSError as error:
        return "", "", f"{name} cannot be opened: {error.strerror}."
    sha256 = hashlib.sha256(content).hexdigest()
    try:
        return sha256, fingerprint(decode_image(content, min_side=64, name=name)), ""
    except DecodeError as error:
        return sha256, "", str(error)


def _group(hashes: Sequence[str], fingerprints: Sequence[str]) -> Iterator[tuple[int, ...]]:
    """Connected components of "identical or nearly so", by union-find; groups in the order of their first photo."""
    parent = list(range(len(hashes)))

    def root(i: int) -> int:
        while parent[i] != i:
            parent[i] = i = parent[parent[i]]
        return i

    for i, j in [*_identical(hashes), *_near(fingerprints)]:
        parent[max(root(i), root(j))] = min(root(i), root(j))
    members: dict[int, list[int]] = {}
    for i in range(len(hashes)):
        members.setdefault(root(i), []).append(i)
    return (tuple(group) for group in members.values())


def _identical(hashes: Sequence[str]) -> Iterator[tuple[int, int]]:
    first: dict[str, int] = {}
    for i, sha256 in enumerate(hashes):
        if first.setdefault(sha256, i) != i:
            yield first[sha256], i


def near_pairs(some: Sequence[str], others: Sequence[str]) -> Iterator[tuple[int, int]]:
    """(i, j) wherever the fingerprints ``some[i]`` and ``others[j]`` are within NEAR_DUPLICATE_BITS."""
    rows, columns = _codes(some), _codes(others)
    for start in range(0, len(some), ROWS):
        i, j = _close(rows[:, start : start + ROWS], columns)
        yield from zip((start + i).tolist(), j.tolist(), strict=True)


def _near(fingerprints: Sequence[str]) -> Iterator[tuple[int, int]]:
    """``near_pairs`` of a list with itself, each pair once: 0.02 s for 3,000 photos, 15 s and 10 MB for 100,000."""
    codes = _codes(fingerprints)
    for start in range(0, len(fingerprints), ROWS):
        i, j = _close(codes[:, start : start + ROWS], codes[:, start:])
        i, j = i[i < j], j[i < j]
        yield from zip((start + i).tolist(), (start + j).tolist(), strict=True)


ROWS = 8  # compared with all others at a time: all at once would take too much memory


def _codes(fingerprints: Sequence[str]) -> np.ndarray:
    """uint64 (2, N): the halves of the fingerprints."""
    codes = np.frombuffer(bytes.fromhex("".join(fingerprints)), dtype=np.uint64).reshape(-1, 2)
    return np.ascontiguousarray(codes.T)


def _close(rows: np.ndarray, columns: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Indices (i, j) wherever ``rows[:, i]`` and ``columns[:, j]`` are within NEAR_DUPLICATE_BITS."""
    # Photos far apart in half of the bits already, which nearly all are, need no look at the others.
    distance = np.bitwise_count(rows[0][:, None] ^ columns[0])
    i, j = np.nonzero(distance <= NEAR_DUPLICATE_BITS)
    near = distance[i, j] + np.bitwise_count(rows[1, i] ^ columns[1, j]) <= NEAR_DUPLICATE_BITS
    return i[near], j[near]


def _split(dataset: PhotoDataset, seed: int, val_fraction: float) -> Split:
    room = {
        label: max(1, math.floor(val_fraction * count + 0.5)) for label, count in enumerate(dataset.counts.values())
    }

    def draw(group: tuple[int, ...]) -> str:
        # A hash instead of a shuffled list: adding or removing photos leaves the others where they were in the draw.
        content = min(dataset.photos[i].sha256 for i in group)
        return hashlib.sha256(f"{seed}:{content}".encode()).hexdigest()

    train, val = [], []
    for group in sorted(dataset.groups, key=draw):
        needs = Counter(dataset.photos[i].label for i in group)
        if all(count <= room[label] for label, count in needs.items()):
            val.extend(group)
            for label, count in needs.items():
                room[label] -= count
        else:
            train.extend(group)
    return Split(tuple(sorted(train)), tuple(sorted(val)))


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


def summary(dataset: PhotoDataset) -> dict:
    """What a run folder keeps of its photo set: folder, classes, counts and digest, ready for JSON."""
    return {
        "root": str(dataset.root),
        "classes": list(dataset.classes),
        "counts": dataset.counts,
        "digest": dataset.digest,
        "unreadable": [asdict(item) for item in dataset.unreadable],
    }
