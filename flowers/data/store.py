"""Decoded photos, each decoded once: uint8 working copies, one behind the other in memory or in a file of the cache.

The file is read, not mapped. Both take as long (29 and 32 µs a photo that the system has in its own cache), but the
pages of a mapping count as this process's memory until they are given back, and a mapped file that somebody cuts short
ends the process, where a read just comes up short.
"""

import contextlib
import hashlib
import itertools
import math
import os
import shutil
from collections.abc import Callable, Iterable, Iterator, Sequence
from pathlib import Path

import numpy as np
from filelock import FileLock, Timeout

from flowers.files import recover_folder, whole_folder
from flowers.paths import cache_dir

MEMORY_BYTES = 1_500_000_000  # the report's 2,848 photos take 0.6 GB
DISK_BYTES = 60_000_000_000  # for the caches of all sets, or the longest unused go; 100,000 photos take 26 GB
SPARE_BYTES = 2_000_000_000  # of the disk, left to checkpoints and to everybody else
SAMPLE = 100  # photos after which it is clear enough what all of them will take
_VERSION = 1  # part of a cache's name: bump when the files or the pixels of working copies change


class Copies:
    """The working copies of some photos, by their place in the order they were given in.

    ``copies[row]`` is uint8 (height, width, 3), not to be changed; None when the cache on disk has gone meanwhile.
    May be read from several threads at once.
    """

    def __init__(self, shapes: np.ndarray, read: Callable[[int, int], np.ndarray | None], where: str) -> None:
        self.where = where  # "kept in memory"
        self._shapes = shapes  # int (N, 2): height, width
        self._ends = _ends(shapes)
        self._read = read

    def __len__(self) -> int:
        return len(self._shapes)

    def __iter__(self) -> Iterator[np.ndarray]:
        return (self[row] for row in range(len(self)))

    def __getitem__(self, row: int) -> np.ndarray | None:
        height, width = self._shapes[row]
        end = int(self._ends[row])
        pixels = self._read(end - 3 * int(height) * int(width), end)
        return None if pixels is None else pixels.reshape(height, width, 3)

    @property
    def nbytes(self) -> int:
        """What all of them take."""
        return int(self._ends[-1]) if len(self) else 0


def keep(photos: Iterator[np.ndarray], count: int, *, name: str, memory: int, largest: int) -> Copies | None:
    """Keep ``count`` working copies: in memory where they fit, else in the cache on disk, else not at all (None).

    Args:
        photos: decodes them, one after the other; not asked for any whose cache is there already, and of the others
            never held all at once unless they are to stay in memory.
        name: what the cache is called, see ``content_name``.
        memory: how many bytes they may take there; never more than a third of what is free.
        largest: bytes of the largest working copy there can be.

    Processes that want the same cache at the same time wait for the first of them to make it.
    """
    folder = cache_dir() / "photos" / name
    if found := _open(folder, count):
        return found
    room = int(min(memory, max(0, free_memory() / 3)))
    buffer, shapes, used = np.empty(min(room, count * largest), np.uint8), [], 0
    for pixels in photos:
        expected = (used + pixels.nbytes) / (len(shapes) + 1) * count
        if used + pixels.nbytes > len(buffer) or (len(shapes) >= SAMPLE and expected > 1.5 * room):
            held = _in_memory(buffer, shapes)
            return _on_disk(folder, itertools.chain(held, [pixels], photos), count, expected)
        buffer[used : used + pixels.nbytes] = pixels.ravel()
        shapes.append(pixels.shape[:2])
        used += pixels.nbytes
    return _in_memory(buffer, shapes)


def content_name(resize: int, hashes: Iterable[str]) -> str:
    """A name for the working copies of just these photos (their SHA-256) in this order, at this size."""
    digest = hashlib.sha256(f"{_VERSION} {resize}".encode())
    for sha256 in hashes:
        digest.update(bytes.fromhex(sha256))
    return digest.hexdigest()[:32]


def free_memory() -> float:
    """Bytes that this process may still take, of the machine or of its container; infinite where neither tells."""
    free = math.inf
    with contextlib.suppress(OSError, ValueError):
        free = 1024 * _kernel_number("/proc/meminfo", "MemAvailable:")
    with contextlib.suppress(OSError, ValueError):  # no container, or one whose limit is "max"
        limit, taken = (int(Path(f"/sys/fs/cgroup/memory.{name}").read_text()) for name in ("max", "current"))
        # What the system has cached of files counts as taken, but goes when the room is needed.
        free = min(free, limit - taken + _kernel_number("/sys/fs/cgroup/memory.stat", "inactive_file"))
    return free


def _kernel_number(path: str, name: str) -> int:
    lines = (line.split() for line in Path(path).read_text().splitlines())
    for word, number, *_ in lines:
        if word == name:
            return int(number)
    raise ValueError(f"{path} has no {name}")


def _in_memory(buffer: np.ndarray, shapes: Sequence[tuple[int, int]]) -> Copies:
    shapes = np.array(shapes, np.int32).reshape(-1, 2)
    return Copies(shapes, lambda start, end: buffer[start:end], "kept in memory")


# On disk: a folder with the copies in one file, and their shapes in another


def _open(folder: Path, count: int) -> Copies | None:
    """What the cache ``folder`` holds; None unless that is whole."""
    file = folder / "copies"
    try:
        shapes = np.load(folder / "shapes.npy", allow_pickle=False)
        whole = shapes.shape == (count, 2) and shapes.dtype == np.int32 and (shapes > 0).all()
        if not whole or file.stat().st_size != _ends(shapes)[-1]:
            return None
    except Exception:  # none yet, or damaged: numpy parses a header that may say anything
        return None
    with contextlib.suppress(OSError):
        os.utime(folder)  # it is in use: see _make_room
    return Copies(shapes, lambda start, end: _read(file, start, end), f"in a cache on disk, {folder.parent}")


def _ends(shapes: np.ndarray) -> np.ndarray:
    return np.cumsum(3 * shapes.astype(np.int64).prod(1))


def _read(file: Path, start: int, end: int) -> np.ndarray | None:
    pixels = np.empty(end - start, np.uint8)
    try:
        with open(file, "rb", buffering=0) as stream:
            stream.seek(start)
            return pixels if stream.readinto(pixels) == len(pixels) else None
    except OSError:
        return None


def _on_disk(folder: Path, photos: Iterable[np.ndarray], count: int, size: float) -> Copies | None:
    """Write the cache ``folder``, of about ``size`` bytes, unless another process did so meanwhile."""
    try:
        folder.parent.mkdir(parents=True, exist_ok=True)
        with FileLock(_lock(folder)):
            recover_folder(folder)
            if found := _open(folder, count):
                return found
            if not _make_room(folder, size):
                return None
            with whole_folder(folder) as building:
                shapes = []
                with open(building / "copies", "wb") as file:
                    for pixels in photos:
                        file.write(pixels)
                        shapes.append(pixels.shape[:2])
                np.save(building / "shapes.npy", np.array(shapes, np.int32))
            return _open(folder, count)
    except OSError:  # a full disk, a cache that may not be written
        return None


def _lock(folder: Path) -> Path:
    return folder.parent / f"{folder.name}.lock"


def _make_room(wanted: Path, size: float) -> bool:
    """Drop caches, the longest unused first, until ``size`` bytes more fit; False, and none dropped, if they never do.

    What killed processes left half-made goes in any case.
    """
    sizes = {path: _size(path) for path in wanted.parent.iterdir() if path.is_dir()}
    free = shutil.disk_usage(wanted.parent).free - SPARE_BYTES
    if size > free + sum(sizes.values()):
        return False
    for path in sorted(sizes, key=_last_used):
        full = size > free or size + sum(sizes.values()) > DISK_BYTES
        if (full or path.name.startswith(".")) and _drop(path, wanted):
            free += sizes.pop(path)
    return size <= free


def _size(folder: Path) -> int:
    with contextlib.suppress(OSError):  # it has just been dropped by another process
        return sum(file.stat().st_size for file in folder.iterdir())
    return 0


def _last_used(folder: Path) -> float:
    with contextlib.suppress(OSError):
        return folder.stat().st_mtime
    return 0.0


def _drop(folder: Path, wanted: Path) -> bool:
    """Remove a cache, whole or half-made, unless some process is just making it; ``wanted`` is locked by this one."""
    maker = wanted.with_name(folder.name.strip(".").partition(".")[0])
    try:
        with contextlib.nullcontext() if maker == wanted else FileLock(_lock(maker), timeout=0):
            shutil.rmtree(folder)
    except (Timeout, OSError):  # it is being made, or not ours to remove
        return False
    return True
