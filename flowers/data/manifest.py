"""The photo sets that are never shipped: what is, is a manifest for each, by which its photos are told from all others.

The report's photos are known by their sha256. Further photos, which circulate in several sizes, are known by their name
and by what they look like.
"""

import csv
import functools
import hashlib
import lzma
import os
from collections import defaultdict
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

from flowers.data.classes import is_litter
from flowers.errors import DecodeError

MANIFESTS = Path(__file__).with_name("manifests")
ENOUGH = 0.95  # of a set, to be taken for it: Kaggle itself lacks one of the report's 2,848 photos
REPORT = "flowers5"


class Entry(NamedTuple):
    """One row of a manifest.

    In flowers5 four sha256 stand twice: it holds identical files, three of them under two labels.
    """

    label: str
    filename: str
    bytes: int = 0  # 0: any number
    sha256: str = ""  # "": any file of that name that looks like
    fingerprint: str = ""  # this one (see fingerprint.fingerprint)
    kind: str = ""  # of dandelions outside the report's: "yellow" or "seed head"
    held_back: bool = False  # whether the set has it to check on, not to learn from


@functools.cache
def manifest(name: str) -> tuple[Entry, ...]:
    """The set ``name``, photo by photo. The same file's bytes may stand in several rows."""
    with lzma.open(MANIFESTS / f"{name}.csv.xz", "rt", encoding="utf-8", newline="") as file:
        rows = list(csv.DictReader(file))
    if name == REPORT:
        return tuple(Entry(row["label"], row["filename"], int(row["bytes"]), row["sha256"]) for row in rows)
    reports = {(entry.label, entry.filename): entry for entry in manifest(REPORT)}

    def entry(row: dict[str, str]) -> Entry:
        held_back = row["held_back"] == "yes"
        if row["fingerprint"]:
            return Entry(row["label"], row["filename"], 0, "", row["fingerprint"], row["kind"], held_back)
        return reports[row["label"], row["filename"]]._replace(held_back=held_back)

    return tuple(entry(row) for row in rows)


def is_enough(name: str, found: int) -> bool:
    """Whether so many photos can stand for the set ``name``."""
    return found >= ENOUGH * len(manifest(name))


def held(name: str, folder: Path) -> list[Entry]:
    """The rows that ``folder`` holds as label/filename, in the right size. May raise OSError."""
    sizes = _sizes(folder)

    def fits(entry: Entry) -> bool:
        size = sizes.get((entry.label, entry.filename))
        return size is not None and entry.bytes in (0, size)

    return [entry for entry in manifest(name) if fits(entry)]


def has_others(name: str, folder: Path) -> bool:
    """Whether ``folder`` holds files that are not the manifest's, and so is another photo set. May raise OSError."""
    return not _sizes(folder).keys() <= {(entry.label, entry.filename) for entry in manifest(name)}


def pick(name: str, folder: Path, target: Path) -> int:
    """Copy the photos of ``name`` that are in ``folder``, under whatever labels, to ``target``/label/filename.

    Returns how many rows of the manifest were filled that were not before. A copy, not a link: the originals belong to
    somebody else, who may write to them or forbid it. May raise OSError.
    """
    missing = [entry for entry in manifest(name) if not (target / entry.label / entry.filename).exists()]
    by_content = defaultdict(list)
    for entry in missing:
        if entry.sha256:
            by_content[entry.sha256].append(entry)
    sizes = {entry.bytes for entry in missing if entry.sha256}
    by_name = {entry.filename: entry for entry in missing if not entry.sha256}
    picked = 0
    for path in _files(folder):
        named = by_name.get(path.name)
        if not named and path.stat().st_size not in sizes:  # spares the reading of most photos of another set
            continue
        content = path.read_bytes()
        entries = by_content.pop(hashlib.sha256(content).hexdigest(), [])
        if named and _looks_like(content, named.fingerprint):
            entries.append(by_name.pop(path.name))
        for entry in entries:
            (target / entry.label).mkdir(exist_ok=True)
            (target / entry.label / entry.filename).write_bytes(content)
        picked += len(entries)
    return picked


def _looks_like(content: bytes, fingerprint: str) -> bool:
    from flowers.data import fingerprint as fingerprints
    from flowers.data.decode import decode_image

    try:
        found = fingerprints.fingerprint(decode_image(content, min_side=64))
    except DecodeError:
        return False
    return any(fingerprints.near_pairs([found], [fingerprint]))


def _sizes(folder: Path) -> dict[tuple[str, str], int]:
    """Bytes of every file in the folders in ``folder``, by the names of folder and file."""
    sizes = {}
    for inner in folder.iterdir() if folder.is_dir() else ():
        if is_litter(inner.name) or not inner.is_dir():
            continue
        with os.scandir(inner) as files:
            for file in files:
                if file.is_file() and not is_litter(file.name):
                    sizes[inner.name, file.name] = file.stat().st_size
    return sizes


def _files(folder: Path) -> Iterator[Path]:
    for parent, _, names in os.walk(folder):  # follows no links
        yield from (path for name in names if (path := Path(parent, name)).is_file())
