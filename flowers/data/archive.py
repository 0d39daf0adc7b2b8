"""Unpacking archives from strangers. Nothing is believed: names must stay inside, only plain files are written, and the
limits count the bytes that really come out, whatever the headers say.
"""

import errno
import functools
import gzip
import itertools
import os
import re
import stat
import struct
import tarfile
import unicodedata
import zipfile
import zlib
from collections.abc import Callable, Iterable, Iterator, Sequence
from pathlib import Path
from typing import IO, NamedTuple

from flowers.data.classes import ARCHIVE, is_archive, is_document, is_litter
from flowers.data.download import Progress, storage_error
from flowers.data.text import OEM, likeliest
from flowers.errors import DataError
from flowers.files import whole_folder

CHUNK = 1 << 20  # bytes read at a time; also the longest tar header we accept, so that none fills the memory
SLACK = 1 << 20  # bytes any member may unpack to whatever its ratio: small empty-ish files compress very well
MAX_FILES = 200_000
MAX_BYTES = 20 * 1024**3
MAX_RATIO = 200.0
MAX_DEPTH = 32  # folders within folders
MAX_NAME = 240  # bytes of one component; file systems take 255, and a number may have to fit behind
# What zipfile, tarfile and gzip raise on damaged input besides OSError, found by flipping bytes.
BROKEN = (
    zipfile.BadZipFile,
    tarfile.TarError,
    gzip.BadGzipFile,
    zlib.error,
    struct.error,
    EOFError,
    IndexError,
    NotImplementedError,
    ValueError,
)


class _Unsound(DataError):
    """The archive itself is at fault, not a limit and not the disk: another one beside it may be sound."""


class Member(NamedTuple):
    """One entry of an archive."""

    name: str
    packed: int | None  # its compressed size in bytes; None where only the archive as a whole has one
    open: Callable[[], IO[bytes]] | None  # None: a folder
    position: Callable[[], int]  # bytes of the archive used up once this entry is read


def extract(
    archive: Path,
    folder: Path,
    *,
    max_files: int = MAX_FILES,
    max_bytes: int = MAX_BYTES,
    max_ratio: float = MAX_RATIO,
    progress: Progress | None = None,
) -> Path:
    """Unpack a zip, tar or tar.gz into ``folder``, which appears whole or not at all; returns ``folder``.

    ``max_files`` counts entries (folders too), ``max_bytes`` what they unpack to, ``max_ratio`` is how many times its
    compressed size a member, and the whole, may reach. ``progress(done, total)`` counts bytes of the archive.
    Names become NFC Unicode that every system takes: odd characters turn into _, and what is too long is cut. Where a
    zip does not say how its names are written, that is guessed. A name that is taken gets a number; what ``is_litter``
    is left out.

    Raises DataError, and leaves nothing behind, for anything that is not a sound archive of plain files within those
    limits: paths that lead outside, links, devices, encryption, bombs, truncation.
    """
    archive, folder = Path(archive), Path(folder)
    try:
        with open(archive, "rb") as file:
            size = os.fstat(file.fileno()).st_size
            budget = min(max_bytes, max_ratio * size + SLACK)
            if _is_zip(file):
                members = _zip_members(file, archive.name, max_files)
            else:
                members = _tar_members(file, archive.name, budget)
            with whole_folder(folder) as building:
                _write_all(members, building, archive.name, size, (max_files, budget, max_ratio), progress)
    except FileNotFoundError as error:
        raise DataError(f"There is no archive at {archive}: check the path.") from error
    except BROKEN as error:
        raise _broken(archive.name) from error
    except OSError as error:
        if error.errno == errno.EINVAL:  # a seek to where a damaged header points
            raise _broken(archive.name) from error
        if Path(error.filename or "") == archive:
            raise DataError(f"{archive.name} cannot be read ({error.strerror}): check the file.") from error
        raise storage_error(error, folder) from error
    return folder


def extract_all(
    archive: Path,
    folder: Path,
    *,
    max_files: int = MAX_FILES,
    max_bytes: int = MAX_BYTES,
    max_ratio: float = MAX_RATIO,
    progress: Progress | None = None,
) -> Path:
    """As ``extract``, and each archive inside is unpacked, too: into a folder of its name, in its place.

    What lies in those in turn stays packed, and so does one that cannot be unpacked, as long as there is anything else:
    a file among the others, that is no photo. All together keep within ``max_files`` and ``max_bytes``.
    """
    extract(archive, folder, max_files=max_files, max_bytes=max_bytes, max_ratio=max_ratio, progress=progress)
    files, written = _count(folder)
    broken: _Unsound | None = None
    for inner in sorted(path for path in folder.rglob("*") if path.is_file() and is_archive(path.name)):
        place = _free_folder(inner)
        limits = {"max_files": max_files - files, "max_bytes": max_bytes - written, "max_ratio": max_ratio}
        try:
            more, larger = _count(extract(inner, place, **limits))
        except _Unsound as error:
            broken = error
            continue
        inner.unlink()
        files, written = files + more, written + larger
    if broken and all(is_archive(path.name) or is_document(path.name) for path in folder.rglob("*") if path.is_file()):
        raise broken
    return folder


def _count(folder: Path) -> tuple[int, int]:
    """Entries in a folder, and their bytes."""
    sizes = [path.stat().st_size for path in folder.rglob("*")]
    return len(sizes), sum(sizes)


def _free_folder(archive: Path) -> Path:
    """Where an archive inside another is unpacked; what webcam trainers call rose-samples.zip are roses."""
    name = ARCHIVE.sub("", archive.name).removesuffix("-samples") or archive.name
    places = (archive.with_name(name if number == 1 else f"{name} ({number})") for number in itertools.count(1))
    return next(place for place in places if not place.exists())


def _write_all(members: Iterator[Member], folder: Path, archive: str, size: int, limits, progress) -> None:
    max_files, budget, max_ratio = limits
    taken: dict[str, int] = {}
    entries = files = written = 0
    for member in members:
        entries += 1
        if entries > max_files:
            raise _too_many(archive, max_files)
        parts = safe_parts(member.name, archive)
        if member.open is None or not parts or any(is_litter(part) for part in parts):
            continue
        room = budget - written
        if member.packed is not None:
            room = min(room, max_ratio * member.packed + SLACK)
        written += _write(member, folder / free_name(parts, taken), room, archive)
        files += 1
        if progress:
            progress(member.position(), size)
    if files == 0:
        raise _Unsound(f"{archive} holds no files: put the class folders with their photos into it.")


def _write(member: Member, path: Path, room: float, archive: str) -> int:
    """Copy one member out, at most ``room`` bytes; returns how many it had."""
    written = 0
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        target = open(path, "xb")  # x: whatever is there already stays  # noqa: SIM115
    except (FileExistsError, NotADirectoryError) as error:  # one name for a file and for a folder
        raise _Unsound(f"{archive} uses the name {member.name!r} twice: make the archive again.") from error
    with target, member.open() as source:
        while chunk := source.read(CHUNK):
            written += len(chunk)
            if written > room:
                raise _too_large(archive, member.name)
            target.write(chunk)
    return written


# Names


def safe_parts(name: str, archive: str) -> tuple[str, ...]:
    """The path's components, such as every system takes them. Raises DataError for a path that leads outside."""
    parts = tuple(part for part in name.split("/") if part not in ("", "."))
    outside = name.startswith(("/", "\\")) or ".." in re.split(r"[/\\]", name) or re.match(r"[A-Za-z]:([/\\]|$)", name)
    if outside or len(parts) > MAX_DEPTH:
        raise _Unsound(f"{archive} holds {name[:80]!r}, which is not a path to unpack safely: make the archive again.")
    return tuple(map(_safe_name, parts))


def _safe_name(name: str) -> str:
    """A name that every system takes: odd characters become _, and what is too long is cut before its ending."""
    name = re.sub(r'[\x00-\x1f\x7f\\:*?"<>|]', "_", name)
    if len(name.encode()) <= MAX_NAME:
        return name
    stem, ending = os.path.splitext(name)
    ending = ending if len(ending.encode()) <= 12 else ""
    return stem.encode()[: MAX_NAME - len(ending.encode())].decode("utf-8", "ignore").rstrip() + ending


def free_name(parts: tuple[str, ...], taken: dict[str, int]) -> Path:
    """The path, numbered if it is taken; case does not tell names apart, as it does not on Windows and macOS.

    ``taken`` maps each name to the last number given to it, so that many equal names take no longer than others.
    """
    path = Path(*parts)
    candidate, key = path, str(path).casefold()
    number = taken.get(key, 1)
    while str(candidate).casefold() in taken:
        number += 1
        candidate = path.with_stem(f"{path.stem} ({number})")
    taken[key] = number
    taken.setdefault(str(candidate).casefold(), 1)
    return candidate


def _clean(name: str) -> str:
    """NFC, as typed: macOS archives spell é as e and an accent. Bytes that are no UTF-8 become U+FFFD."""
    return unicodedata.normalize("NFC", name.encode("utf-8", "surrogateescape").decode("utf-8", "replace"))


# Zip


def _is_zip(file: IO[bytes]) -> bool:
    file.seek(0)
    magic = file.read(4)
    file.seek(0)
    return magic in (b"PK\x03\x04", b"PK\x05\x06")


def _zip_members(file: IO[bytes], archive: str, max_files: int) -> Iterator[Member]:
    # zipfile reads the whole directory into memory, about ten times its size: refuse a giant one unread.
    if _zip_directory_size(file) > 512 * max_files:
        raise _too_many(archive, max_files)
    with zipfile.ZipFile(file) as source:
        infos = sorted(source.infolist(), key=lambda info: info.header_offset)
        _check_overlap(infos)
        names = _zip_names(infos)
        for info, name in zip(infos, names, strict=True):
            kind = stat.S_IFMT(info.external_attr >> 16)
            if kind not in (0, stat.S_IFREG, stat.S_IFDIR):
                raise _not_plain(archive, info.filename)
            if info.flag_bits & 0x41:  # encrypted, strongly encrypted
                raise _Unsound(f"{archive} is protected by a password: make it again without one.")
            if info.compress_type not in (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED):
                raise _Unsound(f"{archive} is packed with an unusual method: make it again as an ordinary zip.")
            opener = None if name.endswith("/") else functools.partial(source.open, info)
            end = info.header_offset + info.compress_size
            yield Member(name, info.compress_size, opener, lambda end=end: end)


def _zip_directory_size(file: IO[bytes]) -> int:
    """Bytes the central directory claims in its end record, or in the zip64 one, whichever is more."""
    file.seek(-min(file.seek(0, os.SEEK_END), 66_000), os.SEEK_END)
    tail = file.read()
    sizes = [0]
    for signature, offset, width in ((b"PK\x05\x06", 12, "<L"), (b"PK\x06\x06", 40, "<Q")):
        at = tail.rfind(signature)
        field = tail[at + offset : at + offset + struct.calcsize(width)] if at >= 0 else b""
        if len(field) == struct.calcsize(width):
            sizes += [size for size in struct.unpack(width, field) if size != 0xFFFFFFFF]
    return max(sizes)


def _check_overlap(infos: list[zipfile.ZipInfo]) -> None:
    """Members that share their bytes are how a small zip unpacks to petabytes (Fifield, WOOT 2019)."""
    for info, following in itertools.pairwise(infos):
        if info.header_offset + 30 + info.compress_size > following.header_offset:  # 30: a local header without a name
            raise zipfile.BadZipFile("overlapping members")


def _zip_names(infos: Sequence[zipfile.ZipInfo]) -> list[str]:
    """The entries' paths. Where the zip does not say how they are written, it is guessed from all of them together."""
    told = [_told_name(info) for info in infos]
    unknown = [_raw_name(info) for info, name in zip(infos, told, strict=True) if name is None]
    encoding = likeliest(b"\n".join(dict.fromkeys(_words(unknown))), OEM) if unknown else ""
    names = [
        _raw_name(info).decode(encoding, "replace") if name is None else name
        for info, name in zip(infos, told, strict=True)
    ]
    # Some programs of Windows separate folders by backslashes.
    backslashes = not any("/" in name for name in names)
    return [_clean(name.replace("\\", "/") if backslashes else name) for name in names]


def _told_name(info: zipfile.ZipInfo) -> str | None:
    """The entry's path, if the zip says how it is written or it can be UTF-8 only; else None."""
    if info.flag_bits & 0x800:
        return info.filename
    raw = _raw_name(info)
    if field := _extra_field(info.extra, 0x7075):  # Info-ZIP's Unicode path: version, CRC-32 of the other name, UTF-8
        version, checksum, name = field[:1], field[1:5], field[5:]
        if version == b"\1" and checksum == struct.pack("<L", zlib.crc32(raw)):
            return name.decode("utf-8", "replace")
    try:
        return raw.decode("utf-8")
    except UnicodeDecodeError:
        return None


def _raw_name(info: zipfile.ZipInfo) -> bytes:
    """The bytes of a name without the UTF-8 flag, which zipfile takes for cp437."""
    try:
        return info.filename.encode("cp437")
    except UnicodeEncodeError:  # a later zipfile read the Unicode path
        return info.filename.encode()


def _extra_field(extra: bytes, wanted: int) -> bytes:
    """The content of an entry's extra field of that number; empty where there is none."""
    while len(extra) >= 4:
        number, size = struct.unpack_from("<HH", extra)
        if number == wanted:
            return extra[4 : 4 + size]
        extra = extra[4 + size :]
    return b""


def _words(names: Iterable[bytes]) -> Iterator[bytes]:
    """The parts of paths that are not ASCII, for those that are say nothing of the encoding."""
    return (part for name in names for part in re.split(rb"[/\\]", name) if not part.isascii())


# Tar


class _Bounded:
    """A stream that refuses to be read in big pieces: tarfile reads extended headers whole, however long they claim
    to be."""

    def __init__(self, stream: IO[bytes]):
        self._stream = stream
        self.seek, self.tell = stream.seek, stream.tell

    def read(self, size: int = -1) -> bytes:
        if not 0 <= size <= CHUNK:
            raise tarfile.ReadError("a header of more than a megabyte")
        return self._stream.read(size)


def _tar_members(file: IO[bytes], archive: str, budget: float) -> Iterator[Member]:
    magic = file.read(2)
    file.seek(0)
    # bzip2 and xz are left out: xz lets an archive claim gigabytes of memory for its dictionary.
    stream = gzip.GzipFile(fileobj=file) if magic == b"\x1f\x8b" else file
    claimed = 0
    with tarfile.open(fileobj=_Bounded(stream), mode="r:") as source:
        for info in source:
            if not (info.isreg() or info.isdir()) or info.issparse():
                raise _not_plain(archive, info.name)
            claimed += info.size  # even a member that is skipped has to be decompressed
            if claimed > budget:
                raise _too_large(archive, info.name)
            opener = functools.partial(source.extractfile, info) if info.isreg() else None
            yield Member(_clean(info.name), None, opener, file.tell)


# The sentences that are needed twice


def _broken(archive: str) -> DataError:
    return _Unsound(f"{archive} is broken or not a zip or tar archive: make or download it again.")


def _too_many(archive: str, max_files: int) -> DataError:
    return DataError(f"{archive} holds more than {max_files:,} files: split it, or use a folder.")


def _too_large(archive: str, name: str) -> DataError:
    return DataError(
        f"{archive} unpacks to more than its size or our limits allow, at {name[:80]!r}: it looks like an archive "
        "bomb; leave that file out, or use a folder."
    )


def _not_plain(archive: str, name: str) -> DataError:
    return _Unsound(
        f"{archive} holds {name[:80]!r}, a link or a device and not a plain file: make it again without it."
    )
