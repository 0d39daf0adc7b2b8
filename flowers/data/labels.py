"""Labels in a table beside the photos: a CSV, TSV or JSON file that gives each photo's name and what it shows."""

import csv
import io
import json
import re
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Any

from flowers.data.text import MAX_BYTES, read_text, with_slashes
from flowers.errors import DataError

TABLES = (".csv", ".tsv", ".json")
MAX_LABELS = 1000
MAX_TABLES = 20  # in one folder: more are something of each photo's own
# What people call the column of labels, the best first; a name in words before its number.
LABELS = (
    "label", "class", "class_name", "classname", "label_name", "category", "category_name", "species", "breed",
    "variety", "diagnosis", "dx", "target", "labels", "classes", "type", "y", "class_id", "label_id", "category_id",
)  # fmt: skip
PARTS = ("split", "set", "subset", "part", "partition", "phase", "usage", "data set")

Row = dict[str, str]


@dataclass(frozen=True)
class Labels:
    """What a table says of photos."""

    table: str  # its file's name
    column: str  # the one that holds the labels
    labels: dict[Path, str]  # of the photos that it names
    parts: dict[Path, str]  # of those, to which part of a split they belong, in the table's words; may be empty
    is_called_so: bool  # whether the column's name says that it holds labels


def labels_beside(folder: Path, root: Path, photos: Sequence[Path]) -> Labels | None:
    """The labels that the tables in ``folder`` give to ``photos`` in ``root``; None where none of them does.

    A table counts if half of its rows or more name a photo, and of several the one that names most. Raises DataError
    for one that has several columns which may hold the labels.
    """
    places = _Places(root, photos)
    found = [labels for file in tables(folder)[:MAX_TABLES] if (labels := _read(file, places))]
    return max(found, key=lambda labels: len(labels.labels), default=None)


def tables(root: Path) -> list[Path]:
    """The files in ``root`` that may be a table of labels, sorted."""
    return sorted(
        path
        for path in root.iterdir()
        if path.suffix.lower() in TABLES and path.is_file() and path.stat().st_size <= MAX_BYTES
    )


def _read(file: Path, places: "_Places") -> Labels | None:
    rows = _rows_of_json(file) if file.suffix.lower() == ".json" else _rows_of_csv(file)
    if rows and any(map(places.find, rows[0])):  # the first row names a photo: there is no header
        rows = [dict(_numbered(row)) for row in [list(rows[0]), *map(dict.values, rows)]]
    columns = list(rows[0]) if rows else []
    named = {column: [places.find(row[column]) for row in rows] for column in columns}
    files = max(columns, key=lambda column: _names_files(column, named[column], rows), default=None)
    if files is None or 2 * sum(map(bool, named[files])) < min(len(rows), places.count):
        return None
    known = [(path, row) for path, row in zip(named[files], rows, strict=True) if path]
    others = [column for column in columns if column != files]
    column, said = _labels(file.name, others, [row for _, row in known])
    if not column:
        return None
    part = next((name for name in others if name.strip().lower() in PARTS and name != column), None)
    return Labels(
        file.name,
        column,
        {path: label for (path, _), label in zip(known, said, strict=True) if label},
        {path: row[part] for path, row in known if part and row[part]},
        is_called_so=_plain(column) in LABELS,
    )


def _names_files(column: str, found: Sequence[Path | None], rows: Sequence[Row]) -> tuple[int, int, bool]:
    """How much speaks for it that this column holds the photos' names: bare numbers may be anything."""
    whole = sum(
        bool(path) and row[column].lower().endswith(path.suffix.lower()) for path, row in zip(found, rows, strict=True)
    )
    return (
        sum(map(bool, found)) + whole,
        len({*found} - {None}),
        bool(re.search("file|image|img|path|photo|id", column.lower())),
    )


def _numbered(values: Iterable[str]) -> Iterator[tuple[str, str]]:
    """Values under names made up for their columns."""
    return ((f"column {number}", value) for number, value in enumerate(values, 1))


def _plain(column: str) -> str:
    return column.strip().lower().replace(" ", "_")


class _Places:
    """Photos by all that a table may call them: the path, its end, the file's name, that without its ending."""

    def __init__(self, root: Path, photos: Iterable[Path]) -> None:
        self._places: dict[str, set[Path]] = {}
        self.count = 0
        for path in photos:
            self.count += 1
            inside = path.relative_to(root).as_posix().casefold()
            for name in {inside, path.name.casefold(), path.stem.casefold()}:
                self._places.setdefault(name, set()).add(path)

    def find(self, name: str) -> Path | None:
        """The one photo that ``name`` means; None for none, and where it may mean several."""
        whole = PurePosixPath(with_slashes(name).casefold())
        for ending in (whole, PurePosixPath(*whole.parts[1:]), PurePosixPath(whole.name)):
            found = self._places.get(str(ending), ())
            if len(found) == 1:
                return next(iter(found))
        return None


def _labels(table: str, columns: Sequence[str], rows: Sequence[Row]) -> tuple[str | None, list[str]]:
    """The column of labels, and each row's label; no column where none can be it."""
    sizes = {column: len({row[column] for row in rows} - {""}) for column in columns}
    fit = [column for column in columns if 2 <= sizes[column] <= MAX_LABELS and sizes[column] < len(rows)]
    by_name = {_plain(column): column for column in reversed(fit)}
    named = next((by_name[name] for name in LABELS if name in by_name), None)
    if named is None and (hot := _one_hot(columns, rows)):
        return " / ".join(hot[:3]), [next(column for column in hot if float(row[column]) == 1) for row in rows]
    if named is None and len(fit) > 1:
        names = ", ".join(fit[:3])
        raise DataError(f"{table} has several columns that may hold the labels ({names}): call the right one label.")
    column = named or next(iter(fit), None)
    if column and all(row[column].strip().isdecimal() for row in rows):
        column = next((name for name in fit if _renames(rows, column, name)), column)
    return column, [row[column].strip() for row in rows] if column else []


def _renames(rows: Sequence[Row], number: str, name: str) -> bool:
    """Whether the column ``name`` holds words, one for each number in the column ``number``."""
    pairs = {(row[number], row[name]) for row in rows}
    distinct = {value for _, value in pairs}
    return len(pairs) == len(distinct) == len({value for value, _ in pairs}) and not all(
        v.isdecimal() for v in distinct
    )


def _one_hot(columns: Sequence[str], rows: Sequence[Row]) -> list[str]:
    """The columns, one a class, of which each row marks just one with a 1; none where they are no such columns."""

    def is_mark(value: str) -> bool:
        return value.strip() in ("0", "1", "0.0", "1.0")

    hot = [
        column
        for column in columns
        if all(is_mark(row[column]) for row in rows) and not re.search("train|valid|test", column.lower())
    ]
    whole = len(hot) >= 2 and all(sum(float(row[column]) for column in hot) == 1 for row in rows)
    return hot if whole else []


def _rows_of_csv(file: Path) -> list[Row]:
    text = read_text(file.read_bytes())
    begin = text[:10_000]
    try:
        dialect = csv.Sniffer().sniff(begin, ",;\t|")
    except csv.Error:
        dialect = csv.excel
    try:
        reader = csv.DictReader(io.StringIO(text), dialect=dialect, restval="")
        return [{key: value for key, value in row.items() if key is not None} for row in reader]
    except csv.Error:  # not a table
        return []


def _rows_of_json(file: Path) -> list[Row]:
    """From {file: label}, {label: [file, ...]}, [{"file": ..., "label": ...}, ...], or COCO's lists."""
    try:
        value = json.loads(read_text(file.read_bytes()))
    except (ValueError, RecursionError):
        return []
    if isinstance(value, dict) and {"images", "annotations", "categories"} <= value.keys():
        return _rows_of_coco(value)
    if isinstance(value, dict):
        return [
            {"file": str(name), "label": str(label)}
            if not isinstance(label, list)
            else {"file": str(one), "label": name}
            for name, label in value.items()
            for one in (label if isinstance(label, list) else [label])
            if isinstance(one, str | int | bool)
        ]
    if not isinstance(value, list) or not all(isinstance(item, dict) for item in value):
        return []
    columns = list(dict.fromkeys(key for item in value for key in item))
    return [{column: _text(item.get(column)) for column in columns} for item in value]


def _rows_of_coco(value: dict[str, Any]) -> list[Row]:
    """Photos of which the annotations name just one category (COCO's data format, object detection)."""
    try:
        names = {category["id"]: str(category["name"]) for category in value["categories"]}
        files = {image["id"]: str(image["file_name"]) for image in value["images"]}
        pairs = {(item["image_id"], names[item["category_id"]]) for item in value["annotations"]}
    except (KeyError, TypeError):
        return []
    alone = Counter(image for image, _ in pairs)
    return [
        {"file": files[image], "label": name} for image, name in sorted(pairs) if alone[image] == 1 and image in files
    ]


def _text(value: Any) -> str:
    return "" if value is None or isinstance(value, list | dict) else str(value)
