"""A photo set that its owner makes and changes on the page: classes of any name, photos added, moved, removed, and all
of that undone.

It is a folder of class folders, so ``open_dataset`` opens it as any other. A class folder is called as its class where
every system takes that for a name; CLASS_NAMES tells the others. What the album itself needs lies in a hidden folder
inside: the bin, the steps to undo, the lock. Every change happens under that lock, for one visitor may have two tabs.
"""

import contextlib
import hashlib
import json
import os
import re
import shutil
import tempfile
import time
import zipfile
from collections.abc import Container, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass
from pathlib import Path
from types import MappingProxyType
from typing import Literal, NamedTuple

from filelock import FileLock

from flowers.data.archive import extract_all, free_name, safe_parts
from flowers.data.classes import (
    CLASS_NAMES,
    OWN,
    class_names,
    class_root,
    clean_name,
    files_in,
    is_album,
    is_litter,
    read_layout,
)
from flowers.data.dataset import HELD_BACK, NO_SPLIT, PhotoDataset, forget, named_held_back
from flowers.data.decode import MAX_BYTES, decode_image
from flowers.data.download import Progress, storage_error
from flowers.data.metadata import without_place
from flowers.data.threads import ahead
from flowers.errors import DataError, DecodeError, UsageError
from flowers.files import check, write_json, write_whole

MAX_CLASSES = 100  # more than anyone has made by hand in a browser, and a list that can still be read
MAX_PHOTOS = 5_000  # what a laptop learns from in an hour; listing them takes 20 ms
MAX_ALBUM_BYTES = 1_000_000_000  # 250 phone photos of 4 MB, or MAX_PHOTOS of 200 KB as they are found on the web
MAX_NAME = 200  # characters of a class name
MAX_STEPS = 100  # that can be undone
SPARE_BYTES = 2_000_000_000  # of the disk, left to runs and to everybody else
KEPT_SECONDS = 26 * 7 * 24 * 3600.0  # an album that nobody has opened for half a year: longer than any holidays
DAY = 86_400.0  # seconds
READ_SECONDS = 300  # for the photos of one upload: 500 MB of phone photos take one core 6 (JPEG) to 100 (AVIF)
ZIP_LIMITS = {"max_files": 2 * MAX_PHOTOS, "max_bytes": 2 * MAX_ALBUM_BYTES, "max_ratio": 100}
THREADS = min(4, os.cpu_count() or 1)  # as dataset.THREADS
INCOMING = "incoming-"
BIN = f"{OWN}/bin"  # photos that were removed, as long as that can be undone
HASH_DIGITS = 12  # of a photo's SHA-256 in its file name: 5,000 photos meet by chance once in 20 million albums
WINDOWS = {"con", "prn", "aux", "nul", *(f"{port}{i}" for port in ("com", "lpt") for i in range(10))}
RESERVED = {*WINDOWS, Path(CLASS_NAMES).stem, Path(HELD_BACK).stem}  # and what a photo set's own files are called

Source = Path | str | tuple[str, bytes]  # a file, or its name and its bytes


class Refused(NamedTuple):
    """A photo that was not added, and why in a sentence."""

    name: str
    reason: str


class Added(NamedTuple):
    """What became of photos that were to be added."""

    count: int
    refused: tuple[Refused, ...] = ()
    photos: tuple[str, ...] = ()  # the file names under which the added ones are in the album
    known: int = 0  # photos that were in the album already, byte for byte, and stay where they are
    notes: tuple[str, ...] = ()  # how a folder or a zip was understood, a sentence each; see ``Album.apart``


@dataclass(frozen=True)
class About:
    """What to tell about a change."""

    count: int = 0  # photos
    name: str = ""  # of the class, where it is about one
    new: str = ""  # the class's name from then on


@dataclass(frozen=True)
class Step:
    """One change that can be undone."""

    kind: Literal["add", "class", "move", "remove", "remove class", "rename", "apart"]
    about: About
    moved: list[tuple[str, str]]  # (from, to) of files, relative to the album; what was added came from ""
    classes: dict[str, str]  # folder -> class name, as before


class Album:
    """The photo set in ``folder``, made when something is first added.

    A photo is named by its file name, which is its own in the whole album and stays when it is moved. All methods that
    change something raise UsageError for what cannot be done and DataError where the disk refuses.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = Path(folder)
        self._own = self.folder / OWN
        self._bin = self.folder / BIN
        self._steps_file = self._own / "steps.json"
        self._held_back_file = self._own / "held-back.json"
        self._apart_file = self._own / "apart.json"

    @property
    def classes(self) -> dict[str, list[str]]:
        """The file names of every class's photos, sorted, by the class's name; classes sorted, empty ones too."""
        names = self._names()
        return {names[folder]: self._files(folder) for folder in sorted(names, key=names.get)}

    def __len__(self) -> int:
        return sum(map(len, self.classes.values()))

    @property
    def nbytes(self) -> int:
        """What the photos take on disk."""
        return _size(self._paths().values())

    @property
    def last(self) -> Step | None:
        """What ``undo`` would take back."""
        return next(iter(self._steps()[::-1]), None)

    def path(self, photo: str) -> Path:
        """Where a photo is on disk. Raises UsageError where it is not in the album any more."""
        if found := self._paths().get(photo):
            return found
        raise UsageError(f"{photo} is not among your photos any more: reload the page.")

    @property
    def apart(self) -> dict[str, str]:
        """Of photos that were added last from folders inside a class's folder: the name of that folder.

        They are of the class; were the folders inside the classes, they would be of these: see ``tell_apart``.
        """
        try:
            told = check(dict[str, str], self._apart_file.read_bytes())
        except (OSError, ValueError):  # none, as a rule, or damaged
            return {}
        return {photo: name for photo in self._paths() if (name := clean_name(told.get(photo, ""))[:MAX_NAME])}

    def touch(self) -> None:
        """Note that the album is in use: see ``drop_unused``."""
        with contextlib.suppress(OSError):
            os.utime(self.folder)

    # Changes

    def add_class(self, name: str) -> str:
        """A new empty class; returns its name as it is kept."""
        with self._locked():
            name, names = _checked(name), self._names()
            if name in names.values():
                raise UsageError(f"There is a class called {name} already: choose another name.")
            _check_room(names, [name])
            self._record("class", About(name=name), [])
            self._folder_of(name, names)
        return name

    def add(self, class_name: str, photos: Iterable[Source], *, progress: Progress | None = None) -> Added:
        """Put photos into a class, which is made if it is not there. One step to undo.

        What cannot be read is refused, with the reason; a photo that is in the album already, under whatever class,
        is not added again. Of a photo's metadata only the colour profile and the orientation are kept: not where it
        was taken. ``progress(done, total)`` counts photos.
        """
        return self._add([(_checked(class_name), photo) for photo in photos], progress)

    def add_zip(self, archive: Path, into: str = "", *, progress: Progress | None = None) -> Added:
        """Put the photos of a zip (or tar.gz) of class folders into the classes of those names. One step to undo.

        Other layouts are understood as ``classes.read_layout`` does; photos without any go into the class ``into``.
        """
        self._make()
        with self._room() as room:
            room_left = shutil.disk_usage(self.folder).free - SPARE_BYTES
            if room_left <= 0:
                raise UsageError("The disk of this machine has no room for photos now: try again later.")
            limits = {**ZIP_LIMITS, "max_bytes": min(ZIP_LIMITS["max_bytes"], room_left // 2)}  # two at a time
            root = extract_all(Path(archive), Path(room) / "zip", **limits)
            return self._add_layout(root, Path(archive).name, into, progress)

    def add_folder(
        self, files: Iterable[tuple[str, Path]], into: str = "", *, progress: Progress | None = None
    ) -> Added:
        """The same for a folder of files: each by its path in it, and where it lies now."""
        self._make()
        files, taken = list(files), {}
        with self._room() as room, self._storing():
            root = Path(room) / "folder"
            for place, file in files:
                parts = safe_parts(place.encode("utf-8", "replace").decode(), "The folder")
                target = root / free_name(parts or ("photo",), taken)
                with contextlib.suppress(FileExistsError, NotADirectoryError):  # one name for a file and for a folder
                    target.parent.mkdir(parents=True, exist_ok=True)
                    os.symlink(os.path.abspath(file), target)
            return self._add_layout(root, next(iter(files), ("",))[0].partition("/")[0], into, progress)

    def add_set(self, dataset: PhotoDataset, without: Iterable[str] = (), *, progress: Progress | None = None) -> Added:
        """Copy a photo set into the album, except the photos ``without`` (their paths in the set). One step to undo."""
        left_out = set(without)
        kept = [index for index, photo in enumerate(dataset.photos) if photo.path not in left_out]
        paths = [dataset.root / photo.path for photo in dataset.photos]
        held_back = {paths[index] for index in kept if index in dataset.held_back}
        classes = [_checked(name) for name in dataset.classes]
        photos = [(classes[dataset.photos[index].label], paths[index]) for index in kept]
        return self._add(photos, progress, held_back)

    def rename(self, old: str, new: str) -> str:
        """Give a class another name; returns it as it is kept."""
        with self._locked():
            names = self._names()
            folder, new = self._find(old, names), _checked(new)
            if new == old:
                return new
            if new in names.values():
                raise UsageError(f"There is a class called {new} already: move the photos there instead.")
            self._record("rename", About(name=old, new=new), [])
            self._write_names({**names, folder: new})
        return new

    def move(self, photos: Iterable[str], to: str) -> int:
        """Put photos into another class, which is made if it is not there; how many were not there before."""
        with self._locked():
            to, names, places = _checked(to), self._names(), self._paths()
            _check_room(names, [to])
            wanted = [places[photo] for photo in dict.fromkeys(photos) if photo in places]
            wanted = [path for path in wanted if names[path.parent.name] != to]
            if wanted:
                before = dict(names)
                folder = self._folder_of(to, names)
                moved = [(self._relative(path), f"{folder}/{path.name}") for path in wanted]
                self._record("move", About(len(moved), to), moved, before)
                self._move(moved)
            return len(wanted)

    def tell_apart(self) -> int:
        """Make the folders of ``apart`` classes; how many photos were moved. One step to undo."""
        with self._locked():
            wanted = {photo: _checked(name) for photo, name in self.apart.items()}
            if not wanted:  # done already, in another tab
                return 0
            names, places = self._names(), self._paths()
            _check_room(names, wanted.values())
            before, left = dict(names), {places[photo].parent for photo in wanted}
            targets = {photo: f"{self._folder_of(name, names)}/{photo}" for photo, name in wanted.items()}
            moved = [(source, targets[p]) for p in wanted if (source := self._relative(places[p])) != targets[p]]
            self._record("apart", About(len(moved)), moved, before)
            self._move(moved)
            for folder in left:
                if not self._files(folder.name):
                    shutil.rmtree(folder)
                    del names[folder.name]
            self._write_names(names)
            self._apart_file.unlink(missing_ok=True)
            return len(moved)

    def remove(self, photos: Iterable[str]) -> int:
        """Put photos into the bin; how many were in the album."""
        with self._locked():
            places = self._paths()
            moved = [self._to_bin(places[photo]) for photo in dict.fromkeys(photos) if photo in places]
            if moved:
                self._record("remove", About(len(moved)), moved)
                self._move(moved)
            return len(moved)

    def remove_class(self, name: str) -> int:
        """Put a class's photos into the bin, and the class with them; how many photos it had."""
        with self._locked():
            names = self._names()
            folder = self._find(name, names)
            moved = [self._to_bin(self.folder / folder / photo) for photo in self._files(folder)]
            self._record("remove class", About(len(moved), name), moved)
            self._move(moved)
            shutil.rmtree(self.folder / folder)
            self._write_names({other: names[other] for other in names if other != folder})
            return len(moved)

    def undo(self) -> Step | None:
        """Take back the last step, and tell which it was; None where there is none."""
        with self._locked():
            steps = self._steps()
            if not steps:
                return None
            step, added = steps.pop(), set()
            for folder in step.classes:
                (self.folder / folder).mkdir(exist_ok=True)
            for source, target in reversed(step.moved):
                path, back = self.folder / target, self.folder / source
                if not source:
                    path.unlink(missing_ok=True)
                    added.add(path.name)
                elif path.exists() and not back.exists():  # whatever a step says, no photo is written over
                    back.parent.mkdir(exist_ok=True)
                    os.replace(path, back)
            names = self._names()
            for folder in names.keys() - step.classes.keys():
                with contextlib.suppress(OSError):  # not empty: then it stays
                    (self.folder / folder).rmdir()
                    del names[folder]
            self._write_names(names | step.classes)
            self._write_steps(steps)
            if (came := self._held_back()) & added:
                write_json(self._held_back_file, sorted(came - added))
            return step

    # Out of the album

    def export(self, file: Path) -> Path:
        """Write the album as a zip of class folders to ``file``; returns it. It can be added to an album again."""
        classes = self.classes
        if not any(classes.values()):
            raise UsageError("There are no photos to export yet: add some first.")
        places = self._paths()
        folders: dict[str, str] = {}
        for name in classes:
            folders[_free_folder(name, folders)] = name
        with zipfile.ZipFile(file, "w", zipfile.ZIP_STORED) as archive:  # photos do not get smaller
            held_back = {place.rpartition("/")[2] for place in named_held_back(self.folder)}
            kept = []
            for folder, name in folders.items():
                for photo in classes[name]:
                    with contextlib.suppress(FileNotFoundError, KeyError):  # moved or removed meanwhile, in another tab
                        archive.write(places[photo], f"{folder}/{photo}")
                        kept += [f"{folder}/{photo}\n"] if photo in held_back else []
            if told := {folder: name for folder, name in folders.items() if folder != name}:
                archive.writestr(CLASS_NAMES, json.dumps(told, ensure_ascii=False))
            if kept:
                archive.writestr(HELD_BACK, "".join(kept))
        return Path(file)

    # Adding

    def _add_layout(self, root: Path, title: str, into: str, progress: Progress | None) -> Added:
        root = class_root(root)
        layout = read_layout(root)
        found = [(_checked(name), path) for name, paths in layout.classes.items() for path in paths]
        if not found and not into:
            raise DataError(
                f"{title} holds no class folders: put one folder for each class into it, with that class's photos "
                "inside, or type the name of the one class first."
            )
        held_back = layout.held_back or {root / path for path in named_held_back(root)}
        photos = found or [(_checked(into), path) for path in files_in(root)]
        added = self._add(photos, progress, held_back, layout.apart)
        notes = layout.notes
        if held_back and not named_held_back(self.folder):
            notes = (NO_SPLIT,)
        if layout.apart and self.apart:  # nobody has to write a file here
            around = next(iter(layout.apart)).relative_to(root).parts[0]
            said = f"All photos in the folders inside {around} are taken for one class."
            notes = (said, *(note for note in notes if CLASS_NAMES not in note))
        return added._replace(notes=notes)

    def _add(
        self,
        photos: Sequence[tuple[str, Source]],
        progress: Progress | None,
        held_back: Container[Source] = (),
        apart: Mapping[Source, str] = MappingProxyType({}),
    ) -> Added:
        """``photos``: class name and source of each. They are decoded before the lock is taken: that may last.

        Those of ``held_back`` are never learned from, as long as every class has such and others. ``apart``: as
        ``Layout`` has it.
        """
        names = list(dict.fromkeys(name for name, _ in photos))
        _check_room(self._names(), names)
        self._make()
        refused, ready, seen, room = [], [], set(), MAX_ALBUM_BYTES - self.nbytes
        room = min(room, shutil.disk_usage(self.folder).free - SPARE_BYTES)
        places, known, checked_on, inside = MAX_PHOTOS - len(self), 0, [], {}
        held = {_hash_of(photo) for photo in self._paths()}
        deadline = time.monotonic() + READ_SECONDS
        with self._storing(), self._room() as waiting, _pool() as pool:
            checked = ahead(pool, lambda item: _accept(item[1]), photos, 2 * THREADS)
            for done, ((name, source), (file_name, content, reason)) in enumerate(zip(photos, checked, strict=True), 1):
                digest = hashlib.sha256(content).hexdigest()[:HASH_DIGITS]
                if progress:
                    progress(done, len(photos))
                if reason:
                    refused.append(Refused(file_name, reason))
                elif digest in held or digest in seen:
                    known += 1
                elif len(ready) >= places:
                    refused.append(Refused(file_name, f"{file_name} is more than the {MAX_PHOTOS:,} photos allowed."))
                elif len(content) > room:
                    refused.append(Refused(file_name, f"{file_name} is more than there is room for: {_limits()}"))
                else:
                    seen.add(digest)
                    room -= len(content)
                    path = Path(waiting) / _file_name(file_name, digest, content)
                    path.write_bytes(content)
                    ready.append((name, path))
                    if source in held_back:
                        checked_on.append(path.name)
                    if source in apart:
                        inside[path.name] = apart[source]
                if time.monotonic() >= deadline:
                    pool.shutdown(wait=False, cancel_futures=True)
                    refused += [
                        Refused(_source_name(source), f"{_source_name(source)} was not read in the time allowed here.")
                        for _, source in photos[done:]
                    ]
                    break
            with self._locked():
                write_json(self._held_back_file, sorted({*self._held_back(), *checked_on}))
                write_json(self._apart_file, inside)
                return self._take_in(ready, names, refused, known)

    def _take_in(self, ready: list, names: Sequence[str], refused: list[Refused], known: int) -> Added:
        table, before = self._names(), self._names()
        _check_room(table, names)
        held = {_hash_of(photo) for photo in self._paths()}
        moved, sources = [], []
        for name, path in ready:
            if _hash_of(path.name) in held:  # added in another tab meanwhile
                known += 1
            elif len(held) + len(moved) >= MAX_PHOTOS:
                refused.append(Refused(path.name, f"{path.name} is more than the {MAX_PHOTOS:,} photos allowed."))
            else:
                folder = self._folder_of(name, table)
                moved.append(("", f"{folder}/{path.name}"))
                sources.append(path)
        if moved:
            self._record("add", About(len(moved), names[0] if len(names) == 1 else ""), moved, before)
            for path, (_, target) in zip(sources, moved, strict=True):
                os.replace(path, self.folder / target)
        return Added(len(moved), tuple(refused), tuple(Path(target).name for _, target in moved), known)

    # The folders and the files

    def _room(self) -> tempfile.TemporaryDirectory:
        return tempfile.TemporaryDirectory(prefix=INCOMING, dir=self._own)

    def _make(self) -> None:
        with self._storing():
            self._bin.mkdir(parents=True, exist_ok=True)

    @contextlib.contextmanager
    def _locked(self) -> Iterator[None]:
        self._make()
        with self._storing(), FileLock(self._own / "lock"):
            try:
                yield
            finally:
                self._write_held_back()
            self.touch()

    @contextlib.contextmanager
    def _storing(self) -> Iterator[None]:
        try:
            yield
        except OSError as error:
            raise storage_error(error, self.folder) from error

    def _names(self) -> dict[str, str]:
        """Class name by folder."""
        try:
            inside = [path.name for path in self.folder.iterdir() if path.is_dir() and not is_litter(path.name)]
        except FileNotFoundError:
            return {}
        return class_names(self.folder, inside)

    def _write_names(self, names: dict[str, str]) -> None:
        told = {folder: name for folder, name in names.items() if folder != name}
        write_json(self.folder / CLASS_NAMES, told)

    def _find(self, name: str, names: dict[str, str]) -> str:
        for folder, other in names.items():
            if other == name:
                return folder
        raise UsageError(f"There is no class called {name} any more: reload the page.")

    def _folder_of(self, name: str, names: dict[str, str]) -> str:
        """The class's folder, made if it is not there; ``names`` is kept up to date."""
        for folder, other in names.items():
            if other == name:
                return folder
        folder = _free_folder(name, names)
        names[folder] = name
        if folder != name:  # before the folder: without one its name does no harm
            self._write_names(names)
        (self.folder / folder).mkdir()
        return folder

    def _files(self, folder: str) -> list[str]:
        with contextlib.suppress(FileNotFoundError):  # removed meanwhile, in another tab
            return sorted(name for name in os.listdir(self.folder / folder) if not is_litter(name))
        return []

    def _paths(self) -> dict[str, Path]:
        return {photo: self.folder / folder / photo for folder in self._names() for photo in self._files(folder)}

    def _relative(self, path: Path) -> str:
        return path.relative_to(self.folder).as_posix()

    def _to_bin(self, path: Path) -> tuple[str, str]:
        """Where a photo is, and a free place for it in the bin: the same photo may lie there from an earlier step."""
        place, number = self._bin / path.name, 1
        while place.exists():
            number += 1
            place = self._bin / f"{number}-{path.name}"
        return self._relative(path), self._relative(place)

    def _move(self, moved: Iterable[Sequence[str]]) -> None:
        for source, target in moved:
            os.replace(self.folder / source, self.folder / target)

    # The split that photos came with

    def _held_back(self) -> set[str]:
        """File names of photos that came to be checked on, of whatever class they are now."""
        try:
            return set(check(list[str], self._held_back_file.read_bytes()))
        except (OSError, ValueError):  # none, as a rule, or damaged
            return set()

    def _write_held_back(self) -> None:
        """As a photo set says it: by paths. Not where some class would have all of its photos on one side."""
        came, sides = self._held_back(), {}
        for path in self._paths().values() if came else ():
            sides.setdefault(path.parent, ([], []))[path.name in came].append(self._relative(path))
        if sides and all(all(both) for both in sides.values()):
            write_whole(self.folder / HELD_BACK, "".join(f"{path}\n" for _, held in sides.values() for path in held))
        else:
            (self.folder / HELD_BACK).unlink(missing_ok=True)

    # The steps

    def _steps(self) -> list[Step]:
        try:
            told = check(list[Step], self._steps_file.read_bytes())
            steps = [Step(**{**step, "about": _told(**step["about"])}) for step in told]
        except (OSError, ValueError, TypeError):  # none yet, or damaged
            return []
        return steps if all(map(_is_sound, steps)) else []

    def _write_steps(self, steps: Sequence[Step]) -> None:
        write_whole(self._steps_file, json.dumps([asdict(step) for step in steps]))

    def _record(self, kind: str, about: About, moved: list, classes: dict[str, str] | None = None) -> None:
        """Write a step down before it is done: cut short, it can be undone as far as it came.

        The oldest steps are forgotten, and the bin is emptied of what only they would bring back.
        """
        steps = [*self._steps(), Step(kind, about, moved, self._names() if classes is None else classes)]
        steps = steps[-MAX_STEPS:]
        sizes = {path.name: path.stat().st_size for path in self._bin.iterdir()}
        while len(steps) > 1 and sum(sizes.get(name, 0) for name in _binned(steps)) > MAX_ALBUM_BYTES:
            steps.pop(0)
        for name in sizes.keys() - _binned(steps):
            (self._bin / name).unlink(missing_ok=True)
        self._write_steps(steps)


def drop_unused(folder: Path, seconds: float = KEPT_SECONDS) -> None:
    """Remove the albums in ``folder`` that have not been used in these ``seconds``, and what killed writers left."""
    for path in Path(folder).glob("*"):
        with contextlib.suppress(OSError):  # another process is at it
            if is_album(path) and time.time() - path.stat().st_mtime >= seconds:
                forget(path)
                shutil.rmtree(path)
            for left in (path / OWN).glob(f"{INCOMING}*"):
                if time.time() - left.stat().st_mtime >= DAY:
                    shutil.rmtree(left)


# Names


def _checked(name: str) -> str:
    """A class name as it is kept. Raises UsageError for none and for one that is too long."""
    cleaned = clean_name(name if isinstance(name, str) else "")
    if not cleaned:
        raise UsageError("The class needs a name: type one, such as daisy.")
    if len(cleaned) > MAX_NAME:
        raise UsageError(
            f"The name of a class may have {MAX_NAME} characters, this one has {len(cleaned)}: shorten it."
        )
    return cleaned


def _check_room(names: dict[str, str], new: Iterable[str]) -> None:
    if len({*names.values(), *new}) > MAX_CLASSES:
        raise UsageError(f"These would be more than the {MAX_CLASSES} classes allowed: remove some first.")


def _free_folder(name: str, taken: Iterable[str]) -> str:
    """A folder name for a class: its own where every system takes it, else one like it; never one that is taken."""
    safe = "".join(c if c.isprintable() and c not in '/\\:*?"<>|' else "_" for c in name)
    safe = safe.encode()[:100].decode("utf-8", "ignore").strip(" .") or "class"
    if safe.casefold().partition(".")[0] in RESERVED or is_litter(safe):
        safe = f"_{safe}"
    used = {folder.casefold() for folder in taken}
    free, number = safe, 1
    while free.casefold() in used:
        number += 1
        free = f"{safe} ({number})"
    return free


def _file_name(name: str, digest: str, content: bytes) -> str:
    """``<name>-<digest>.<ending>``: the name it came with, as far as every system takes it."""
    stem, dot, ending = name.rpartition(".")
    stem = re.sub(rf"-{digest}$", "", stem if dot else name)
    safe = "".join(c if c.isalnum() or c in " -_()+," else "_" for c in clean_name(stem))
    safe = safe.encode()[:80].decode("utf-8", "ignore").strip(" _-") or "photo"
    ending = "jpg" if content.startswith(b"\xff\xd8\xff") else re.sub(r"[^a-z0-9]", "", ending.lower() if dot else "")
    return f"{safe}-{digest}.{ending[:5] or 'img'}"


def _size(paths: Iterable[Path]) -> int:
    total = 0
    for path in paths:
        with contextlib.suppress(OSError):  # removed meanwhile, in another tab
            total += path.stat().st_size
    return total


def _hash_of(photo: str) -> str:
    return photo.rpartition(".")[0][-HASH_DIGITS:]


def _binned(steps: Iterable[Step]) -> set[str]:
    return {Path(to).name for step in steps for _, to in step.moved if to.startswith(f"{BIN}/")}


def _told(count: int = 0, name: str = "", new: str = "") -> About:
    return About(count, clean_name(name), clean_name(new))


def _is_sound(step: Step) -> bool:
    """Whether undoing it touches nothing but photos of the album, and removes none but what it added."""
    added = {not source for source, _ in step.moved}
    places = [place.rpartition("/") for source, target in step.moved for place in (source or target, target)]
    inside = ((folder == BIN or _is_name(folder)) and _is_name(name) for folder, _, name in places)
    return added <= {step.kind == "add"} and all(inside) and all(map(_is_name, step.classes))


def _is_name(text: str) -> bool:
    """Whether it can be the name of a class's folder, or of a photo in one."""
    plain = text.isprintable() and "/" not in text and "\\" not in text and not is_litter(text)
    return plain and 0 < len(text.encode("utf-8")) < 256  # bytes that file systems take


def _limits() -> str:
    return f"an album may hold {MAX_ALBUM_BYTES // 10**9} GB, and the disk needs some free; remove photos first."


# Photos


@contextlib.contextmanager
def _pool() -> Iterator[ThreadPoolExecutor]:
    """Threads whose remaining work is dropped when something goes wrong."""
    pool = ThreadPoolExecutor(THREADS)
    try:
        yield pool
    finally:
        pool.shutdown(wait=True, cancel_futures=True)


def _source_name(source: Source) -> str:
    return source[0] if isinstance(source, tuple) else Path(source).name


def _accept(source: Source) -> tuple[str, bytes, str]:
    """(name, bytes to keep, reason to refuse it or "") of an uploaded photo."""
    name = _source_name(source)
    try:
        if isinstance(source, tuple):
            content = source[1]
        else:
            with open(source, "rb") as file:
                content = file.read(MAX_BYTES + 1)
        decode_image(content, min_side=64, name=name)  # as dataset.scan will
        return name, without_place(content), ""
    except DecodeError as error:
        return name, b"", str(error)
    except OSError as error:
        return name, b"", f"{name} cannot be opened ({error.strerror}): choose it again."
