"""Where photo sets come from: a folder of class folders, a zip of one, or the name of a known set.

Known sets are kept in the user's cache. Those of photos are never shipped: their manifests are (see manifest.py), and
the photos are picked out of whatever collections hold them.
"""

import contextlib
import logging
import os
import re
import shutil
import subprocess
import tempfile
import unicodedata
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

from filelock import FileLock

from flowers.data import manifest
from flowers.data.archive import extract, extract_all
from flowers.data.classes import class_root
from flowers.data.download import Progress, download, file_sha256, storage_error
from flowers.errors import DataError, FlowersError, UsageError
from flowers.files import recover_folder, whole_folder
from flowers.paths import cache_dir
from flowers.processes import module

CLASSES = ("daisy", "dandelion", "rose", "sunflower", "tulip")
GARDEN_PER_CLASS = 60
GARDEN_FOLDER = f"garden-v2-{GARDEN_PER_CLASS}"  # bump v2 when the garden's flowers are painted differently

UNPACKED = "unpacked-2"  # the cache's folder of zips: bump when other names come out of them
KAGGLE_DATASET = "alxmamaev/flowers-recognition/versions/2"  # 4,317 photos; a version, so that it cannot change
TENSORFLOW_URL = "https://storage.googleapis.com/download.tensorflow.org/example_images/flower_photos.tgz"
TENSORFLOW_BYTES = 228_813_984  # this and the checksum: tensorflow/datasets, url_checksums/tf_flowers.txt
TENSORFLOW_SHA256 = "4c54ace7911aaffe13a365c34f650e71dd5bf1be0a58b464e5a7183e3e595d9c"
TIMEOUTS = (10.0, 30.0)  # seconds: to connect, and for a connection that stays silent


@dataclass(frozen=True)
class PhotoSet:
    """A photo set known by name."""

    name: str
    title: str
    description: str
    licence: str
    classes: tuple[str, ...]
    count: int  # photos


KNOWN = {
    photo_set.name: photo_set
    for photo_set in (
        PhotoSet(
            "flowers5",
            "Five flowers",
            "The report's photos of daisies, dandelions, roses, sunflowers and tulips, downloaded when first used.",
            "Photos from Flickr, collected as flowers-recognition on Kaggle, some also as TensorFlow's flower_photos. "
            "Each belongs to its photographer, and the licences of the single photos are not known to us: they are "
            "fetched when asked for and never shipped.",
            CLASSES,
            2848,
        ),
        PhotoSet(
            "flowers5-wide",
            "Five flowers, wide",
            "flowers5 without three photos of two labels, and 397 more to learn from: yellow dandelions, too. It holds "
            "back what split 0 of flowers5 does.",
            "As of Five flowers: photos from Flickr, each its photographer's, licences unknown to us, never shipped.",
            CLASSES,
            3239,
        ),
        PhotoSet(
            "flowers5-everyday",
            "Five flowers, every day",
            "To be asked about, never learned from: 220 photos, checked by hand, that repeat none of the other sets.",
            "As of Five flowers: photos from Flickr, each its photographer's, licences unknown to us, never shipped.",
            CLASSES,
            220,
        ),
        PhotoSet(
            "garden",
            "The garden",
            "Flowers of the same five classes painted by this program, for when there is no network.",
            "Made on this machine, free of any rights.",
            CLASSES,
            GARDEN_PER_CLASS * len(CLASSES),
        ),
    )
}


class Fetched(NamedTuple):
    """What a fetch brought: ``found`` of the ``expected`` photos lie in ``folder``; ``origins`` say where from."""

    folder: Path
    found: int
    expected: int
    origins: tuple[str, ...]


class Origin(NamedTuple):
    """A collection that may hold photos of known sets. ``open(progress)`` makes it a folder while it is open."""

    name: str
    open: Callable[[Progress | None], AbstractContextManager[Path]]


def default_source() -> str:
    """``FLOWERS_DATA`` if set, else ``flowers5`` if it is in the cache, else ``garden``: never a download."""
    return os.environ.get("FLOWERS_DATA") or ("flowers5" if available("flowers5") else "garden")


def resolve(source: str | Path | None = None, *, progress: Progress | None = None) -> Path:
    """The folder of class folders behind ``source``; None means ``default_source()``.

    A string that names a known set means that set, even where a folder of that name stands beside: say ``./garden``
    for the folder; a ``Path`` is always a path. A folder that holds nothing but one folder of class folders stands for
    the inner one. An archive is unpacked once, into the cache. flowers5 is used where it is, or fetched.
    ``progress(done, total)`` counts bytes, or photos for the garden.

    Raises UsageError for a name that is neither known nor a path, DataError for a path that is missing or unusable.
    """
    said = " (from FLOWERS_DATA)" if not source and os.environ.get("FLOWERS_DATA") else ""
    source = source or default_source()
    if source in KNOWN:  # no Path ever is
        return local(source) or _whole(source, fetch(source, progress=progress)).folder
    path = Path(os.path.expanduser(source))
    with _reading(path):
        if path.is_dir():
            return class_root(path.resolve())
        if path.is_file():
            return unpack(path, progress=progress)
    if len(path.parts) == 1 and not path.suffix:
        name = f"{path.name!r}{said}"
        raise UsageError(
            f"There is no photo set named {name}: give one of {', '.join(KNOWN)}, a folder of class folders, or a zip "
            "of one."
        )
    place = f"{path}{said}"
    raise DataError(f"There is no folder or zip at {place}: check the path, or use one of {', '.join(KNOWN)}.")


def _whole(name: str, fetched: Fetched) -> Fetched:
    """A part of the report's photos is better than none; a part of the sets around them would be another set."""
    if name in ("garden", manifest.REPORT) or manifest.is_enough(name, fetched.found):
        return fetched
    raise DataError(
        f"Only {fetched.found:,} of the {fetched.expected:,} photos of {name} could be found: go online and try again, "
        "or set FLOWERS_EXTRA to a folder that holds the others."
    )


def available(name: str) -> bool:
    """Whether the known set ``name`` can be used without a download. Raises UsageError for an unknown name."""
    return _known(name).name == "garden" or local(name) is not None


def fetch(name: str, *, progress: Progress | None = None) -> Fetched:
    """Bring the known set ``name`` onto this machine, unless it is there.

    Photos are looked for in ``FLOWERS_DATA`` (used in place if that folder holds the set and no other photo, else
    photos are copied from it), in ``FLOWERS_EXTRA``, in the cache, at Kaggle, at TensorFlow, until at least 95 % of the
    set is found. Fewer are kept too, and searched for again the next time. ``Fetched.found`` tells how many.

    Raises UsageError for an unknown name, DataError when not one photo could be found.
    """
    with _lock(_known(name).name):
        return _render_garden(progress) if name == "garden" else _fetch_photos(name, progress)


def unpack(archive: Path, *, progress: Progress | None = None) -> Path:
    """The folder of class folders in a zip (or tar.gz), unpacked into the cache once for each content.

    The folder is called as the archive was when it was unpacked: ``unpacked-2/<hash>/roses`` for ``roses.zip``. Raises
    DataError.
    """
    archive = Path(archive)
    with _reading(archive):
        content = file_sha256(archive)
    try:
        with _lock(UNPACKED):
            holder = _cached(f"{UNPACKED}/{content[:32]}")
            return next(holder.glob("[!.]*"), None) or _unpack(archive, holder, progress)
    except OSError as error:
        raise storage_error(error, cache_dir() / UNPACKED) from error


# Archives


def _unpack(archive: Path, holder: Path, progress: Progress | None) -> Path:
    folder = holder / _title(archive.name)
    with whole_folder(holder) as building:
        everything = extract_all(archive, building / ".unpacked", progress=progress)
        os.replace(class_root(everything), building / folder.name)
        shutil.rmtree(everything, ignore_errors=True)  # what stood around the class folders, if anything did
    return folder


def _title(name: str) -> str:
    """An archive's file name without its ending, as a short folder name that every system takes."""
    stem = re.sub(r"(\.tar)?\.\w+$", "", unicodedata.normalize("NFC", name))
    safe = "".join(c if c.isprintable() and c not in '/\\:*?"<>|' else " " for c in stem)
    return " ".join(safe.split()).strip(" .")[:40].strip(" .") or "zip"


# Local


def _known(name: str) -> PhotoSet:
    if name not in KNOWN:
        raise UsageError(f"There is no photo set named {name!r} to fetch: the known ones are {', '.join(KNOWN)}.")
    return KNOWN[name]


def local(name: str) -> Path | None:
    """Where the set ``name`` lies on this machine, judged by file names and sizes: 20 ms, where hashes cost 300 ms."""
    if name == "garden":
        folder = _cached(GARDEN_FOLDER)
        return folder if folder.is_dir() else None
    in_place = _environment_folder() if name == manifest.REPORT else None
    if in_place and _is_enough(name, in_place) and not _has_others(name, in_place):
        return in_place
    folder = _cached(name)
    return folder if _is_enough(name, folder) else None


def _is_enough(name: str, folder: Path) -> bool:
    with _reading(folder):
        return manifest.is_enough(name, len(manifest.held(name, folder)))


def _has_others(name: str, folder: Path) -> bool:
    with _reading(folder):
        return manifest.has_others(name, folder)


def _cached(name: str) -> Path:
    """The cache's folder ``name``; a replacement that a kill cut in two is mended first."""
    folder = cache_dir() / name
    recover_folder(folder)
    return folder


def _lock(name: str) -> FileLock:
    """Held while a folder of the cache is made: a second process waits and then finds it there."""
    return FileLock(cache_dir() / f"{name}.lock")


def _environment_folder() -> Path | None:
    path = os.path.expanduser(os.environ.get("FLOWERS_DATA", ""))
    return class_root(Path(path).resolve()) if path not in KNOWN and os.path.isdir(path) else None


@contextlib.contextmanager
def _reading(path: Path) -> Iterator[None]:
    """Turn what the system says about ``path`` into a sentence."""
    try:
        yield
    except OSError as error:
        raise DataError(f"{error.filename or path} cannot be read ({error.strerror}): check the path.") from error


# Fetching


def _render_garden(progress: Progress | None) -> Fetched:
    folder, count, said = _cached(GARDEN_FOLDER), KNOWN["garden"].count, ""
    if folder.is_dir():
        return Fetched(folder, count, count, ("the cache",))
    command = module("flowers.data.garden", folder, GARDEN_PER_CLASS)
    with subprocess.Popen(**command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True) as painter:
        for said in painter.stdout:
            if progress and said.strip().isdigit():
                progress(int(said), GARDEN_PER_CLASS * len(CLASSES))
    if painter.returncode:
        raise DataError(said.strip() or "The garden was not painted to the end: try again.")
    return Fetched(folder, count, count, ("painted here",))


def _fetch_photos(name: str, progress: Progress | None) -> Fetched:
    cached, expected = _cached(name), len(manifest.manifest(name))
    in_place = _environment_folder() if name == manifest.REPORT else None
    for folder, origin in ((in_place, "FLOWERS_DATA"), (cached, "the cache")):
        if folder is None or _has_others(name, folder):
            continue
        with _reading(folder):
            found = sum(_is_unchanged(entry, folder) for entry in manifest.held(name, folder))
        if manifest.is_enough(name, found):
            return Fetched(folder, found, expected, (origin,))
    try:
        return _gather(name, _origins(cached), cached, progress)
    except OSError as error:
        raise storage_error(error, cached) from error


def _is_unchanged(entry: manifest.Entry, folder: Path) -> bool:
    return not entry.sha256 or file_sha256(folder / entry.label / entry.filename) == entry.sha256


def _origins(cached: Path) -> list[Origin]:
    """Where a set's photos may be, nearest first; ``cached`` is where an earlier fetch may have left some of them."""

    def here(name: str, folder: Path) -> Origin:
        return Origin(name, lambda _: contextlib.nullcontext(folder))

    near = []
    if os.environ.get("FLOWERS_DATA") not in (None, "", *KNOWN):
        near.append(Origin("FLOWERS_DATA", lambda progress: contextlib.nullcontext(resolve(progress=progress))))
    if further := os.environ.get("FLOWERS_EXTRA"):
        near.append(here("FLOWERS_EXTRA", _folder(Path(further).expanduser())))
    near += [here("the cache", folder) for folder in dict.fromkeys((cached, _cached("flowers5"))) if folder.is_dir()]
    return [*near, *ORIGINS]


def _folder(path: Path) -> Path:
    if not path.is_dir():
        raise DataError(f"There is no folder {path} (from FLOWERS_EXTRA): check the path, or unset it.")
    return path


def _gather(name: str, origins: list[Origin], target: Path, progress: Progress | None) -> Fetched:
    """Pick a set out of ``origins``, one after the other until there is enough of it, into ``target``."""
    from flowers.data.dataset import HELD_BACK

    found, helped, failures = 0, {}, []
    with whole_folder(target) as building:
        for origin in origins:
            if manifest.is_enough(name, found):
                break
            try:
                with origin.open(progress) as folder:
                    picked = manifest.pick(name, folder, building)
            except FlowersError as error:
                failures.append(f"{origin.name}: {str(error).partition(': ')[0]}")
                continue
            found += picked
            helped |= {origin.name: None} if picked else {}
            if not picked:
                failures.append(f"{origin.name}: none of its photos is in the set")
        paths = [f"{entry.label}/{entry.filename}\n" for entry in manifest.manifest(name) if entry.held_back]
        if held_back := [path for path in paths if (building / path.strip()).exists()]:
            (building / HELD_BACK).write_text("".join(held_back))
        if not found:
            raise DataError(
                f"{name} is not on this machine and could not be downloaded ({'; '.join(failures)}): set "
                "FLOWERS_DATA to a folder that holds it, use --data garden, or give a folder or zip of your own photos."
            )
    if manifest.is_enough(name, found):  # until then it may be needed again
        shutil.rmtree(_downloads(), ignore_errors=True)
    return Fetched(target, found, len(manifest.manifest(name)), tuple(helped))


@contextlib.contextmanager
def _kaggle(_progress: Progress | None) -> Iterator[Path]:
    """Kaggle's collection through kagglehub, which keeps it in its own cache and draws its own progress bar."""
    try:
        import kagglehub
    except ImportError as error:
        raise DataError("kagglehub is not installed: install it.") from error
    logging.getLogger("kagglehub").setLevel(logging.ERROR)  # it writes to standard output
    try:
        with _requests_time_out():
            folder = Path(kagglehub.dataset_download(KAGGLE_DATASET))
    except Exception as error:  # its own, requests', zipfile's, the system's: whatever it is, the next origin is tried
        raise DataError(f"the download failed, {type(error).__name__}: check the network.") from error
    yield folder


@contextlib.contextmanager
def _requests_time_out() -> Iterator[None]:
    """kagglehub 1.0 asks its API without any timeout, and so waits for ever on a network that swallows packets."""
    import requests

    send = requests.Session.send

    def bounded(session, request, **options):
        return send(session, request, **options | {"timeout": options.get("timeout") or TIMEOUTS})

    requests.Session.send = bounded
    try:
        yield
    finally:
        requests.Session.send = send


@contextlib.contextmanager
def _tensorflow(progress: Progress | None) -> Iterator[Path]:
    """TensorFlow's flower_photos, downloaded into the cache and unpacked for as long as it is needed."""
    connect, stall = TIMEOUTS
    archive = download(
        TENSORFLOW_URL,
        _downloads() / "flower_photos.tgz",
        sha256=TENSORFLOW_SHA256,
        size=TENSORFLOW_BYTES,
        progress=progress,
        connect_timeout=connect,
        stall_timeout=stall,
    )
    with tempfile.TemporaryDirectory(dir=_downloads()) as folder:
        yield extract(archive, Path(folder) / "photos")


def _downloads() -> Path:
    return cache_dir() / "downloads"


ORIGINS = (Origin("Kaggle", _kaggle), Origin("TensorFlow", _tensorflow))
