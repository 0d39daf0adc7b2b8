"""What a folder of photos means: which of its files are photos of which class, and who is held back.

People lay photo sets out in many ways. Most are folders of classes; some have a folder more around them, some the parts
of a split around or inside the classes, some a table of labels beside one heap of photos. ``read_layout`` understands
these, and says in a sentence what it understood wherever that is more than folders of classes.
"""

import itertools
import json
import re
import unicodedata
from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field, replace
from pathlib import Path

from flowers.data.labels import labels_beside, tables
from flowers.data.text import MAX_BYTES, read_text
from flowers.errors import DataError

MAX_CLASSES = 1000
# In a set's folder: {folder: class name} of folders that cannot be called as the class. A folder inside a folder is
# named by its path, such as "plants/rose"; then the classes are those that the file names, and no others.
CLASS_NAMES = "class-names.json"
UNNAMED = "unnamed"  # what a class is called whose folder has no name that can be read
TRAIN, VAL, TEST = "train", "val", "test"

# What systems, network disks, telephones, Google Takeout and notebooks leave behind, in small letters. All that begins
# with a dot goes with it.
_LITTER = re.compile(
    r"\..*|~\$.*|__macosx|__pycache__|(eh)?thumbs\.db(:.*)?|desktop\.ini|picasa\.ini|zbthumbnail\.info|icon\r"
    r"|\$recycle\.bin|system volume information|found\.\d{3}|lost\+found|network trash folder"
    r"|temporary items|@eadir|@(tmp|recycle|recently-snapshot|sharebin)|#(recycle|snapshot)|.*@syno(resource|eastream)"
    r"|.*\.(aae|xmp|thm|lnk|url|ini|lrv)|metadata(\(\d+\))?\.json"
    r"|.+\.(jpe?g|png|heic|heif|webp|gif|tiff?|mp4|mov)(\.s[a-z-]*)?(\(\d+\))?\.json",
    re.DOTALL,
)
# What stands beside photos and is none.
_DOCUMENTS = frozenset(
    f".{ending}"
    for ending in re.findall(
        r"\w+",
        "txt xml json csv tsv md rst html htm pdf yaml yml toml py ipynb mat npy npz pkl pt pth h5 hdf5 tfrecord "
        "parquet arrow cfg names data log doc docx xls xlsx ods odt rtf bib sql sh bat",
    )
)
ARCHIVE = re.compile(r"\.(zip|tar|tgz|tar\.gz)$", re.IGNORECASE)  # how the name of one ends
_PARTS = {
    **dict.fromkeys(("train", "training"), TRAIN),
    **dict.fromkeys(("val", "valid", "validation", "dev", "eval", "evaluation"), VAL),
    **dict.fromkeys(("test", "testing"), TEST),
}
# Words that may stand beside: train_images, my test set.
_AFFIX = re.compile(r"data|dataset|sets?|images?|imgs?|photos?|pictures?|pics?|samples?|split|folder|part|my|the")
# What cameras, telephones and programs call all of their pictures.
_CAMERAS = re.compile(
    r"_?(img|image|imag|dsc|dscn|dscf|pxl|p|mvimg|cimg|sam|wp|photo|foto|pic|picture|frame|scan|screenshot|screen shot"
    r"|untitled|unnamed|downloads?|whatsapp image|received|signal|fb|snapchat|video|vid|vlcsnap|capture|webcam|camera"
    r"|file|jpg|new|copy|page|crop|sample|data|train|test|val)?"
)
OWN = ".album"  # in the folder of an album: what is kept beside its photos
# What no folder's name has, or leads elsewhere; of half characters only those that stand for a byte can be in one.
_NO_FOLDER = re.compile(r"[\\:\x00\ud800-\udc7f\udd00-\udfff]")
_DIRECTIONS = set("\u202a\u202b\u202c\u202d\u202e\u2066\u2067\u2068\u2069\ufeff")


@dataclass(frozen=True)
class Layout:
    """What a folder of photos means."""

    classes: dict[str, tuple[Path, ...]]  # the files of each class, sorted; classes sorted by name
    held_back: frozenset[Path] = frozenset()  # files of the classes that are to be checked on; none: draw lots
    notes: tuple[str, ...] = ()  # what was understood, a sentence each
    # Of files in folders that each hold several: what they would be of, were these the classes. The other reading.
    apart: dict[Path, str] = field(default_factory=dict)


def read_layout(root: Path) -> Layout:
    """The classes in the folder ``root``; no photo is opened. Raises DataError, and OSError as the system does.

    ``root`` may hold anything: a folder without class folders has a Layout of fewer than two classes.
    """
    given = _given_names(root)
    if any("/" in folder for folder in given) and not is_album(root):
        return _named_folders(root, given)
    folders = subfolders(root)
    if not folders or any(folder.name not in given for folder in folders):
        for read in (_parts_around, _labelled, _parts_inside, _named_files):
            if layout := read(root, folders):
                return layout
        if len(folders) == 1 and subfolders(folders[0]):
            return read_layout(folders[0])
        if len(folders) > 1 and all(_parts(folders).values()):
            raise DataError(_about_parts(root, [folder.name for folder in folders]))
    names = class_names(root, [folder.name for folder in folders])
    own = {names[folder.name] for folder in folders if folder.name in given}
    deep = _holding_several(folders)
    notes = [*_about_depth(deep), *(_about_loose(_own_photos(root)) if folders else [])]
    layout = _layout([(names[folder.name], files_in(folder)) for folder in folders], own, notes)
    inside = [path for folder in deep for path in subfolders(folder)]
    return replace(layout, apart={file: clean_name(path.name) or UNNAMED for path in inside for file in files_in(path)})


def subfolders(folder: Path) -> list[Path]:
    """The folders in ``folder`` that may be of a photo set, sorted: no litter, and not those of documents alone."""
    inside = sorted(path for path in folder.iterdir() if path.is_dir() and not is_litter(path.name))
    return [path for path in inside if not _holds_documents_alone(path)]


def is_album(root: Path) -> bool:
    """Whether a set's folder is that of an ``album.Album``, in which nobody can mend a file by hand."""
    return (root / OWN).is_dir()


def part_of(name: str, beside: Iterable[str] = ()) -> str | None:
    """Which part of a split a folder of this name is: TRAIN, VAL, TEST, or None for any other name.

    Words that all folders ``beside`` it have as well do not count, as in flowers_train and flowers_test.
    """
    words = _words(name)
    common = set.intersection(*map(set, map(_words, beside))) if beside else set()
    others = [word for word in words if not _AFFIX.fullmatch(word) and word not in common - _PARTS.keys()]
    return _PARTS.get(others[0]) if len(others) == 1 else None


def _words(name: str) -> list[str]:
    """The words of a name in small letters: trainImages2 is train, images."""
    apart = re.sub(r"(?<=[a-z])(?=[A-Z])", " ", name)
    return re.findall(r"[a-z]+", apart.lower())


def is_litter(name: str) -> bool:
    """Whether a file or folder of this name is hidden or a system's own, and so no part of a photo set."""
    return bool(_LITTER.fullmatch(name.lower())) or name in ("RECYCLER", "RECYCLED")


def is_archive(name: str) -> bool:
    """Whether a file of this name is one to unpack."""
    return bool(ARCHIVE.search(name))


def is_document(name: str) -> bool:
    """Whether a file of this name stands beside photos and is none."""
    return Path(name).suffix.lower() in _DOCUMENTS


def clean_name(name: str) -> str:
    """A class name as it is kept: composed Unicode in one line, without control and direction-changing characters.

    What emoji and scripts such as Persian are joined with stays.
    """
    kept = (c if unicodedata.category(c) not in ("Cc", "Zl", "Zp") else " " for c in name if c not in _DIRECTIONS)
    # Half characters (lone surrogates) can be written to no file.
    text = "".join(kept).encode("utf-8", "ignore").decode("utf-8")
    return unicodedata.normalize("NFC", " ".join(text.split()))


def class_names(root: Path, folders: Iterable[str]) -> dict[str, str]:
    """The class name of each of the class folders in ``root``: the folder's own name, unless CLASS_NAMES gives another.

    Raises DataError where that file cannot be read, or gives two folders one name; an album's is then as if none.
    """
    given, folders = _given_names(root), list(folders)
    names = {folder: given.get(folder) or folder for folder in folders}
    if len(set(names.values())) < len(names) and is_album(root):
        return dict(zip(folders, folders, strict=True))
    if twice := [name for name, count in Counter(names.values()).items() if count > 1]:
        raise DataError(f"{CLASS_NAMES} gives the name {min(twice)} to two folders: change or remove it.")
    return names


def files_in(folder: Path) -> list[Path]:
    """The files in a folder and the folders inside, without litter, sorted."""
    return sorted(_walk(folder))


def class_root(folder: Path) -> Path:
    """``folder``, or the one inside that holds the class folders, as in a zip of a folder of class folders."""
    inner = subfolders(folder)
    while len(inner) == 1 and (deeper := subfolders(inner[0])) and not (tables(folder) and _is_heap(deeper)):
        folder, inner = inner[0], deeper
    return folder


def _given_names(root: Path) -> dict[str, str]:
    """What CLASS_NAMES in ``root`` says; in an album nothing where it is damaged. Raises DataError elsewhere."""
    try:
        return _read_names(root)
    except DataError:
        if is_album(root):
            return {}
        raise


def _read_names(root: Path) -> dict[str, str]:
    """What CLASS_NAMES says. It may be a stranger's: no name in it leads outside."""
    try:
        with open(Path(root) / CLASS_NAMES, "rb") as file:
            given = json.loads(read_text(file.read(MAX_BYTES)))
        given = {folder: clean_name(name) for folder, name in given.items()}
    except (FileNotFoundError, IsADirectoryError):
        return {}
    except (ValueError, AttributeError, TypeError, RecursionError):
        example = '{"folder-1": "AC/DC"}'
        raise DataError(f"{CLASS_NAMES} is not as it should be, such as {example}: remove it.") from None
    for folder in given:
        if any(part in ("", ".", "..") for part in folder.split("/")) or _NO_FOLDER.search(folder):
            raise DataError(
                f"{CLASS_NAMES} names {clean_name(folder)[:80]!r}, which is no folder of the set: remove it."
            )
    return given


def _named_folders(root: Path, given: dict[str, str]) -> Layout:
    """The classes that CLASS_NAMES names by paths, and no others."""
    inside = root.resolve()
    found = {folder: (root / folder).resolve() for folder in given}
    found = {folder: path for folder, path in found.items() if path.is_dir() and path.is_relative_to(inside)}
    for one, other in itertools.permutations(found.values(), 2):
        if one.is_relative_to(other):
            raise DataError(f"{CLASS_NAMES} names a folder and one that is inside it, {one.name}: change or remove it.")
    return _layout([(given[folder], files_in(root / folder)) for folder in found], set(given.values()))


def _layout(
    found: Iterable[tuple[str, Iterable[Path]]],
    own: Iterable[str] = (),
    notes: Iterable[str] = (),
    held_back: Iterable[Path] = (),
) -> Layout:
    """Classes of one name, however it is spelled, are one; not those called by ``own`` names, which somebody chose."""
    spelled: dict[tuple[bool, str], Counter[str]] = {}
    files: dict[tuple[bool, str], list[Path]] = {}
    for name, paths in found:
        clean = name if name in own else clean_name(name) or UNNAMED
        key = (name in own, clean if name in own else clean.casefold())
        spelled.setdefault(key, Counter())[clean] += len(paths := list(paths))
        files.setdefault(key, []).extend(paths)
    names = {key: spellings.most_common(1)[0][0] for key, spellings in spelled.items()}
    told = [
        f"One class is meant by {_listed(sorted(spellings))}: it is called {names[key]}."
        for key, spellings in spelled.items()
        if len(spellings) > 1
    ]
    classes: dict[str, list[Path]] = {}
    for key in sorted(files, key=names.get):
        classes.setdefault(names[key], []).extend(files[key])
    ordered = {name: tuple(sorted(paths)) for name, paths in classes.items()}
    return Layout(ordered, frozenset(held_back), (*notes, *told))


def _listed(names: Iterable[str]) -> str:
    """Names in a row, as they stand in a sentence of any language."""
    return ", ".join(names)


def _parts(folders: Iterable[Path]) -> dict[Path, str | None]:
    """Which part of a split each of these folders, which stand beside each other, is by its name."""
    folders = list(folders)
    names = [folder.name for folder in folders]
    return {folder: part_of(folder.name, names if len(names) > 1 else ()) for folder in folders}


# The readings: each gives None where a folder is not laid out so


def _parts_around(root: Path, folders: list[Path]) -> Layout | None:
    """train/rose, val/rose: the classes are those inside."""
    inside = {folder: subfolders(class_root(folder)) for folder in folders}
    parts = _parts(folders)
    train, val, test = ([folder for folder in folders if parts[folder] == part] for part in (TRAIN, VAL, TEST))
    if not any(inside[folder] for folder in train) or not val + test:
        return None
    learned, checked = ([(path.name, files_in(path)) for f in part for path in inside[f]] for part in (train, val))
    left = [folder for folder in folders if folder not in train + test and not (folder in val and inside[folder])]
    notes = _about_test([folder for folder in test if inside[folder]], root)
    notes += [
        f"The folder {folder.name} holds no class folders and is left out."
        for folder in [*left, *test]
        if not inside[folder]
    ]
    notes += [f"The folder {folder.name} is left out." for folder in left if inside[folder]]
    return _split(learned, checked, [folder.name for folder in train], [f.name for f in val if inside[f]], notes)


def _parts_inside(root: Path, folders: list[Path]) -> Layout | None:
    """rose/train, rose/val: the classes are those outside."""
    inside = {folder: {part: path for path, part in _parts(subfolders(folder)).items()} for folder in folders}
    if len(folders) < 2 or not all(
        None not in parts and TRAIN in parts and len(parts) > 1 for parts in inside.values()
    ):
        return None
    learned, checked = (
        [(folder.name, files_in(parts[part])) for folder, parts in inside.items() if part in parts]
        for part in (TRAIN, VAL)
    )
    names = [path.name for path in inside[folders[0]].values()]
    notes = [
        f"The folder {folder.name}/{parts[TEST].name} is left out." for folder, parts in inside.items() if TEST in parts
    ]
    return _split(learned, checked, names[:1], names[1:2] if checked else [], notes)


def _split(
    learned: list[tuple[str, list[Path]]],
    checked: list[tuple[str, list[Path]]],
    train: list[str],
    val: list[str],
    notes: list[str],
) -> Layout:
    """A split that somebody made. It is kept where both sides have all classes, else lots are drawn."""
    held_back: list[Path] = []
    if not checked:
        said = f"The classes are those in {_listed(train)}, and a part of the photos is held back."
    elif _named(learned) == _named(checked):
        held_back = [path for _, paths in checked for path in paths]
        said = f"The photos in {_listed(train)} are learned from, those in {_listed(val)} are held back."
    else:
        said = f"The classes differ in {_listed([*train, *val])}: the photos are put together, and lots are drawn."
    return _layout([*learned, *checked], notes=[said, *notes], held_back=held_back)


def _named(classes: list[tuple[str, list[Path]]]) -> set[str]:
    """The names of the classes that have files."""
    return {clean_name(name).casefold() for name, files in classes if files}


def _about_test(folders: list[Path], root: Path) -> list[str]:
    return [
        f"The photos in {folder.name} are left to be evaluated on: give {root.name}/{folder.name} for that."
        for folder in folders
    ]


def _labelled(root: Path, folders: list[Path]) -> Layout | None:
    """A heap of photos, and a table beside it that says what each shows."""
    if not _is_heap(folders):
        return None
    aside = (path for path in root.iterdir() if path.is_dir() and path not in folders and not is_litter(path.name))
    beside = [root, *sorted(aside)]
    if not any(map(tables, beside)):
        return None
    photos = [path for path in files_in(root) if not is_document(path.name)]
    may_be_classes = len(folders) > 1 and not all(_parts(folders).values())
    try:
        found = [labels for folder in beside if (labels := labels_beside(folder, root, photos))]
    except DataError:
        if may_be_classes:
            return None
        raise
    if not found:
        return None
    labels = max(found, key=lambda labels: len(labels.labels))
    if may_be_classes and not labels.is_called_so:
        return None  # numbered classes, and a table of something else
    parts = {path: part_of(part) for path, part in labels.parts.items()}
    classes: dict[str, list[Path]] = {}
    for path, label in labels.labels.items():
        if parts.get(path) != TEST:
            classes.setdefault(label, []).append(path)
    count = sum(map(len, classes.values()))
    said = f"The table {clean_name(labels.table)} says in {clean_name(labels.column)[:60]} what {count:,} photos show."
    left = [f"Photos that the table does not name, or names for a test, are left out: {len(photos) - count:,}."]
    held_back = [path for path, part in parts.items() if part == VAL]
    return _layout(classes.items(), notes=[said, *(left if len(photos) > count else [])], held_back=held_back)


def _named_files(root: Path, folders: list[Path]) -> Layout | None:
    """cat.12.jpg, dog.7.jpg: a heap of photos that are called as what they show, and numbered."""
    parts = _parts(folders)
    if not _is_heap(folders) or (len(folders) > 1 and not all(parts.values())):
        return None
    tests = [folder for folder, part in parts.items() if part == TEST]
    photos = [path for path in files_in(root) if not is_document(path.name)]
    photos = [path for path in photos if not any(path.is_relative_to(folder) for folder in tests)]
    classes: dict[str, list[Path]] = {}
    for path in photos:
        word = re.sub(r"[\W_]*\d[\W\d_]*$", "", path.stem)
        if word == path.stem or _CAMERAS.fullmatch(word.lower()):
            return None
        classes.setdefault(word, []).append(path)
    if not 2 <= len(classes) <= len(photos) // 2 or min(map(len, classes.values())) < 2:
        return None
    notes = [f"The classes are what the file names begin with: {_listed(sorted(classes)[:6])}."]
    return _layout(classes.items(), notes=notes + [f"The folder {folder.name} is left out." for folder in tests])


def _is_heap(folders: list[Path]) -> bool:
    """Whether these folders are none of classes, going by their names: none at all, parts of a split, a series."""
    if len(folders) == 1:
        return _is_heap(subfolders(folders[0]))
    if all(_parts(folders).values()):
        return all(_is_heap(subfolders(folder)) for folder in folders)
    return len({re.sub(r"\d+", "", folder.name.lower()) for folder in folders}) == 1


def _about_parts(root: Path, parts: list[str]) -> str:
    example = json.dumps({name: name for name in parts}, ensure_ascii=False)
    return (
        f"The folders {_listed(parts)} in {root.name} hold no class folders: put a folder for each class into them, or "
        f"a table of file names and labels beside them; if they are the classes, write {example} into {CLASS_NAMES}."
    )


def _holding_several(folders: list[Path]) -> list[Path]:
    """Folders of folders, each of which may be a class, or hold several."""
    inside = {folder: subfolders(folder) for folder in folders}
    deep = [folder for folder, inner in inside.items() if len(inner) > 1 and not _own_photos(folder)]
    names = {re.sub(r"\d+", "", path.name.casefold()) for folder in deep for path in inside[folder]}
    return deep if len(names) > 1 else []  # not years, or sessions 1, 2 and 3


def _about_depth(deep: list[Path]) -> list[str]:
    if not deep:
        return []
    first = subfolders(deep[0])[0]
    example = json.dumps({f"{deep[0].name}/{first.name}": first.name}, ensure_ascii=False)
    return [
        f"All photos in the folders inside {deep[0].name} are taken for one class: to tell them apart, name each "
        f"folder in {CLASS_NAMES}, as in {example}."
    ]


def _about_loose(files: list[Path]) -> list[str]:
    """What stands beside the folders: photos, and archives, of which one from an archive may be a broken one."""
    packed = [path for path in files if is_archive(path.name)]
    notes = [f"{path.name} is an archive and is left out: unpack it, or make it again." for path in packed]
    if loose := len(files) - len(packed):
        notes.append(f"Photos beside the folders are left out: {loose:,}.")
    return notes


def _own_photos(folder: Path) -> list[Path]:
    return [
        path for path in folder.iterdir() if not is_document(path.name) and not is_litter(path.name) and path.is_file()
    ]


def _holds_documents_alone(folder: Path) -> bool:
    files = _walk(folder)
    first = next(files, None)
    return first is not None and all(is_document(path.name) for path in (first, *files))


def _walk(folder: Path) -> Iterator[Path]:
    for path in folder.iterdir():
        if is_litter(path.name):
            continue
        if path.is_dir() and not path.is_symlink():  # a link to a parent would never end
            yield from _walk(path)
        elif path.is_file():
            yield path
