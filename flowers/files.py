"""Files and folders that appear whole: written beside, synced, renamed. A kill leaves the old one or the new."""

import contextlib
import dataclasses
import functools
import json
import os
import shutil
import uuid
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

if TYPE_CHECKING:
    from pydantic import TypeAdapter

T = TypeVar("T")


def write_whole(path: Path, content: str | bytes) -> None:
    """Write ``content`` to ``path`` so that a reader, or a kill, never meets half a file."""
    path = Path(path)
    beside = _beside(path)
    try:
        with open(beside, "wb") as file:
            file.write(content.encode() if isinstance(content, str) else content)
            file.flush()
            os.fsync(file.fileno())
        os.replace(beside, path)
    finally:
        beside.unlink(missing_ok=True)


def write_json(path: Path, value: Any) -> None:
    """Write ``value`` as JSON, whole."""
    write_whole(path, json.dumps(value, indent=2) + "\n")


def check(kind: Any, content: bytes) -> Any:
    """What JSON holds, once it is found to be of a ``kind``: of the fields of a dataclass, or such as dict[str, int].

    An object may hold more than the dataclass has. Raises ValueError for anything else.
    """
    try:
        told = json.loads(content)
        require(kind, told, content)
    except RecursionError as error:
        raise ValueError("nested too deeply") from error
    return told


def require(kind: Any, told: Any, content: bytes) -> None:
    """As ``check``, where what the JSON ``content`` holds is known already: ``told``. Raises ValueError likewise."""
    if b"\\u" in content:  # maybe half a character, as Python has it for a byte of a path that is not UTF-8
        content = json.dumps(told, ensure_ascii=False).encode("utf-8", "replace")
    _reader(kind).validate_json(content, strict=True)


def parse(kind: type[T], content: bytes) -> T:
    """The dataclass, of plain values, that JSON holds. Raises ValueError as ``check`` does."""
    told = check(kind, content)
    return kind(**{field.name: told[field.name] for field in dataclasses.fields(kind) if field.name in told})


@functools.cache
def _reader(kind: Any) -> "TypeAdapter":
    from pydantic import TypeAdapter  # a fifth of a second, and who only answers photos reads no such file

    return TypeAdapter(kind)


@contextlib.contextmanager
def whole_folder(folder: Path) -> Iterator[Path]:
    """A new empty folder to fill; on leaving without an error it takes the place of ``folder``.

    A folder cannot be replaced in one step everywhere, so for an instant only ``<folder>.old`` exists: readers
    call ``recover_folder`` first.
    """
    folder = Path(folder)
    beside, old = _beside(folder), _old(folder)
    beside.mkdir(parents=True)
    try:
        yield beside
        _sync_files(beside)
        _replace_folder(beside, folder)
    finally:
        shutil.rmtree(beside, ignore_errors=True)
        if folder.exists():
            shutil.rmtree(old, ignore_errors=True)


def recover_folder(folder: Path) -> None:
    """Put back the previous version of ``folder`` if a kill fell between the two renames; drop it otherwise."""
    folder = Path(folder)
    old = _old(folder)
    if not os.path.exists(old):  # unlike Path.exists it also takes an impossible name for absent
        return
    if folder.exists():
        shutil.rmtree(old, ignore_errors=True)
    else:
        with contextlib.suppress(OSError):  # the writer finished its rename meanwhile, or we may only read here
            os.replace(old, folder)


def remove_leftovers(folder: Path) -> None:
    """Remove what killed writers left half-written in ``folder``. Only for who knows that nobody writes there now."""
    for path in Path(folder).glob(".*.tmp"):
        if path.is_dir():
            shutil.rmtree(path, ignore_errors=True)
        else:
            path.unlink(missing_ok=True)


def _replace_folder(new: Path, folder: Path) -> None:
    while True:
        recover_folder(folder)
        if folder.exists():
            os.replace(folder, _old(folder))
        try:
            return os.replace(new, folder)
        except OSError:
            if not folder.exists():  # else a reader took us for killed between the renames, and put the old one back
                raise


def _beside(path: Path) -> Path:
    return path.with_name(f".{path.name}.{uuid.uuid4().hex[:8]}.tmp")


def _old(folder: Path) -> Path:
    return folder.with_name(f".{folder.name}.old")


def _sync_files(folder: Path) -> None:
    for path in folder.rglob("*"):
        if path.is_file():
            with open(path, "rb+") as file:
                os.fsync(file.fileno())
