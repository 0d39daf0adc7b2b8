"""Albums: classes of any name, nothing twice, every step undone, nobody's whereabouts kept."""

import io
import json
import os
import random
import re
import shutil
import threading
import time
import zipfile
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from PIL import Image

from flowers.data import album as module
from flowers.data import dataset as dataset_module
from flowers.data.album import About, Album, drop_unused
from flowers.data.archive import extract
from flowers.data.classes import CLASS_NAMES, OWN
from flowers.data.dataset import HELD_BACK, open_dataset, scan
from flowers.errors import DataError, FlowersError, UsageError
from flowers.paths import albums_dir
from tests.damage import damaged

STRANGE = [
    "class-names.json", "held-back.txt",
    "Löwenzahn", "蒲公英", "AC/DC", "..", "...", ".hidden", "a\\b", "CON", "nul.txt", "rose", "Rose", "ROSE ", "🌻👩‍🌾",
    "x" * 200, "花" * 200, '<img src=x onerror="alert(1)">', "a\nb", "%2e%2e%2f", "-rf", "__MACOSX", "Thumbs.db", "a:b",
    "zu\u0308rich", " padded ", "?*|", "\u202egpj", "~", "$HOME", "{names}", "tab\tbed",
]  # fmt: skip


def photo(seed: int, size: int = 24, format: str = "PNG") -> bytes:
    """Coloured noise: two seeds look nothing alike."""
    pixels = random.Random(seed).randbytes(3 * size * size)
    file = io.BytesIO()
    Image.frombytes("RGB", (size, size), pixels).save(file, format)
    return file.getvalue()


def photos(*seeds: int) -> list[tuple[str, bytes]]:
    return [(f"IMG_{seed}.png", photo(seed)) for seed in seeds]


def content(album: Album) -> dict[str, list[str]]:
    """What is in the album, by class."""
    return {name: sorted(files) for name, files in album.classes.items()}


@pytest.fixture
def album(tmp_path) -> Album:
    return Album(tmp_path / "album")


@pytest.fixture
def filled(album) -> Album:
    album.add("daisy", photos(1, 2, 3))
    album.add("rose", photos(4, 5))
    return album


def test_photos_are_kept_under_their_classes_and_open_as_a_set(filled):
    assert {name: len(files) for name, files in filled.classes.items()} == {"daisy": 3, "rose": 2}
    dataset = open_dataset(filled.folder)
    assert dataset.counts == {"daisy": 3, "rose": 2}
    assert filled.path(filled.classes["daisy"][0]).read_bytes() in [data for _, data in photos(1, 2, 3)]
    assert len(filled) == 5 and filled.nbytes == sum(len(data) for _, data in photos(1, 2, 3, 4, 5))


def test_classes_of_any_name_are_classes_of_that_name(album):
    names = []
    for number, name in enumerate(STRANGE):
        added = album.add(name, photos(2 * number, 2 * number + 1))
        assert added.count == 2
        names.append(" ".join(name.replace("\u202e", "").replace("zu\u0308", "zü").split()))
    expected = sorted(dict.fromkeys(names) | {"ROSE": None})
    assert sorted(album.classes) == expected
    assert list(open_dataset(album.folder).classes) == sorted(expected)
    inside = [path for path in album.folder.parent.rglob("*") if path.is_file()]
    assert all(path.resolve().is_relative_to(album.folder) for path in inside), "nothing gets out"
    folders = [path.name for path in album.folder.iterdir() if path.is_dir()]
    assert len({folder.casefold() for folder in folders}) == len(folders), "systems that ignore case keep them apart"


@pytest.mark.thorough  # the test before has names of many kinds
@given(st.lists(st.text(max_size=250), max_size=5))
def test_whatever_is_typed_is_a_class_or_a_sentence(tmp_path_factory, names):
    album = Album(tmp_path_factory.mktemp("any") / "album")
    for name in names:
        try:
            kept = album.add_class(name)
        except UsageError as error:
            assert str(error).endswith(".")
        else:
            assert kept in album.classes
            assert album.rename(kept, kept) == kept
    while album.undo():
        pass
    assert album.classes == {}
    assert [path.name for path in album.folder.parent.iterdir()] in ([], ["album"])


@pytest.mark.parametrize("name", ["", "  ", "\n", "x" * 201, None, 3])
def test_what_is_no_name_is_refused(album, name):
    with pytest.raises(UsageError, match="name"):
        album.add(name, photos(1))


def test_the_same_file_is_not_added_twice_under_any_class(filled):
    before = content(filled)
    again = filled.add("daisy", [*photos(1), ("another name.png", photo(2))])
    assert (again.count, again.known, again.refused) == (0, 2, ())
    assert filled.add("tulip", photos(1)).known == 1
    assert content(filled) == before
    both = filled.add("tulip", [("a.png", photo(9)), ("b.png", photo(9))])
    assert (both.count, both.known) == (1, 1)


def test_what_is_no_photo_is_refused_with_its_reason_and_the_others_are_added(album, tmp_path):
    (tmp_path / "fine.png").write_bytes(photo(1))
    added = album.add("daisy", [("note.txt", b"hello"), tmp_path / "fine.png", tmp_path / "gone.png", ("x.jpg", b"")])
    assert added.count == 1
    assert [item.name for item in added.refused] == ["note.txt", "gone.png", "x.jpg"]
    assert all(item.name in item.reason and item.reason.endswith(".") for item in added.refused)


def test_photos_keep_their_names_wherever_they_move(filled):
    one, *_ = filled.classes["daisy"]
    assert one.startswith("IMG_")
    filled.rename("daisy", "Gänse/blümchen")
    assert filled.move([one, "gone.png"], "rose") == 1
    assert one in filled.classes["rose"] and len(filled.classes["Gänse/blümchen"]) == 2
    assert filled.move([one], "rose") == 0
    assert filled.remove([one, one, "gone.png"]) == 1
    with pytest.raises(UsageError, match="not among your photos"):
        filled.path(one)


def test_classes_that_are_not_there_and_names_that_are_taken(filled):
    for change in (lambda: filled.rename("tulip", "x"), lambda: filled.remove_class("tulip")):
        with pytest.raises(UsageError, match="no class called tulip"):
            change()
    with pytest.raises(UsageError, match="already"):
        filled.rename("daisy", "rose")
    with pytest.raises(UsageError, match="already"):
        filled.add_class("rose")


def test_every_step_is_undone(filled):
    one, two, _ = filled.classes["daisy"]
    changes = [
        lambda: filled.rename("daisy", "../daisy"),
        lambda: filled.add_class("empty"),
        lambda: filled.move([one], "brand / new"),
        lambda: filled.remove([two, one]),
        lambda: filled.add("🌷", photos(7, 8)),
        lambda: filled.remove_class("../daisy"),
        lambda: filled.rename("rose", "daisy"),
        lambda: filled.add("daisy", photos(1)),  # the one that was removed
        lambda: filled.remove(filled.classes["daisy"]),  # and is again: it is in the bin twice
    ]
    states = []
    for change in changes:
        states.append((content(filled), {path.name: path.read_bytes() for path in filled._paths().values()}))
        change()
    kinds = []
    for before, files in reversed(states):
        kinds.append(filled.last.kind)
        assert filled.undo().kind == kinds[-1]
        assert content(filled) == before
        assert {path.name: path.read_bytes() for path in filled._paths().values()} == files
    assert kinds == ["remove", "add", "rename", "remove class", "add", "remove", "move", "class", "rename"]
    assert filled.undo().about == About(2, "rose") and filled.undo() and filled.undo() is None


def test_a_change_that_was_cut_short_can_be_undone(filled, monkeypatch):
    before, replace, calls = content(filled), os.replace, []

    def killed(source, target):
        if ".album/bin" in str(target):
            calls.append(source)
            if len(calls) == 2:
                raise KeyboardInterrupt
        replace(source, target)

    monkeypatch.setattr(module.os, "replace", killed)
    with pytest.raises(KeyboardInterrupt):
        filled.remove_class("daisy")
    monkeypatch.undo()
    assert len(filled.classes["daisy"]) == 2
    filled.undo()
    assert content(filled) == before


def test_the_bin_holds_what_steps_can_bring_back_and_no_more(filled, monkeypatch):
    monkeypatch.setattr(module, "MAX_STEPS", 3)
    filled.remove(filled.classes["daisy"][:1])
    filled.remove(filled.classes["daisy"][:1])
    filled.add_class("a")
    filled.add_class("b")
    assert len(list((filled.folder / ".album" / "bin").iterdir())) == 1
    monkeypatch.setattr(module, "MAX_ALBUM_BYTES", 0)
    filled.add_class("c")
    assert not list((filled.folder / ".album" / "bin").iterdir())
    assert [step and step.kind for step in (filled.undo() for _ in range(4))] == ["class"] * 3 + [None]


def test_limits_are_told(filled, monkeypatch):
    monkeypatch.setattr(module, "MAX_PHOTOS", 6)
    added = filled.add("daisy", photos(11, 12))
    assert added.count == 1 and "more than the 6 photos" in added.refused[0].reason
    monkeypatch.setattr(module, "MAX_CLASSES", 2)
    for change in (
        lambda: filled.add("tulip", photos(13)),
        lambda: filled.add_class("tulip"),
        lambda: filled.move(filled.classes["rose"], "tulip"),
    ):
        with pytest.raises(UsageError, match="2 classes"):
            change()
    monkeypatch.undo()
    monkeypatch.setattr(module, "MAX_ALBUM_BYTES", filled.nbytes + 10)
    added = filled.add("daisy", photos(14))
    assert added.count == 0 and "room" in added.refused[0].reason
    monkeypatch.undo()
    monkeypatch.setattr(module, "READ_SECONDS", 0)
    added = filled.add("daisy", photos(15, 16, 17))
    assert (added.count, len(added.refused)) == (1, 2) and "time" in added.refused[0].reason


def test_two_tabs_at_once_lose_nothing(album):
    def fill(start: int) -> None:
        for seed in range(start, start + 8):
            Album(album.folder).add("both", photos(seed, 99))
            Album(album.folder).add(f"class {seed}", photos(100 + seed))

    threads = [threading.Thread(target=fill, args=[start]) for start in (0, 20)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(album) == 2 * 16 + 1
    while album.undo():
        pass
    assert len(album) == 0


def test_an_exported_album_is_the_same_when_it_is_added_again(filled, tmp_path):
    for number, name in enumerate(STRANGE[:12]):
        filled.add(name, photos(50 + number))
    filled.rename("daisy", "a / b")
    file = filled.export(tmp_path / "album.zip")
    again = Album(tmp_path / "again")
    assert again.add_zip(file).count == len(filled)
    assert content(again) == content(filled)
    assert again.undo().kind == "add" and again.classes == {}
    with pytest.raises(UsageError, match="no photos to export"):
        again.export(tmp_path / "empty.zip")


def zipped(path: Path, files: dict[str, bytes]) -> Path:
    with zipfile.ZipFile(path, "w") as archive:
        for name, data in files.items():
            archive.writestr(name, data)
    return path


def test_a_zip_of_class_folders_in_a_folder_or_of_a_split_is_understood(album, tmp_path):
    files = {f"mine/{name}/{seed}.png": photo(seed) for name, seed in (("rose", 1), ("rose", 2), ("tulip", 3))}
    album.add_zip(zipped(tmp_path / "a.zip", files))
    assert {name: len(found) for name, found in album.classes.items()} == {"rose": 2, "tulip": 1}
    album.add_zip(zipped(tmp_path / "b.zip", {"train/rose/1.png": photo(5), "val/rose/2.png": photo(6)}))
    assert {name: len(found) for name, found in album.classes.items()} == {"rose": 4, "tulip": 1}


def test_a_zip_of_one_heap_goes_into_the_class_that_is_named(album, tmp_path):
    archive = zipped(tmp_path / "rose-samples.zip", {"1.png": photo(1), "2.png": photo(2), "notes.txt": b"no photo"})
    added = album.add_zip(archive, " rose ")
    assert {name: len(found) for name, found in album.classes.items()} == {"rose": 2}
    assert [item.name for item in added.refused] == ["notes.txt"]


def test_zips_in_a_zip_are_the_classes(album, tmp_path):
    for name, seeds in (("rose", (1, 2)), ("tulip", (3,))):
        zipped(tmp_path / f"{name}-samples.zip", {f"{seed}.png": photo(seed) for seed in seeds})
    inner = {path.name: path.read_bytes() for path in tmp_path.glob("*.zip")}
    album.add_zip(zipped(tmp_path / "all.zip", inner))
    assert {name: len(found) for name, found in album.classes.items()} == {"rose": 2, "tulip": 1}


def test_what_a_zip_was_taken_for_is_told(album, tmp_path):
    split = {f"{part}/{name}/{part}.png": photo(seed) for seed, (part, name) in enumerate(
        [("train", "rose"), ("train", "tulip"), ("valid", "rose"), ("valid", "tulip")])}  # fmt: skip
    added = album.add_zip(zipped(tmp_path / "split.zip", split))
    assert added.count == 4
    assert added.notes == ("The photos in train are learned from, those in valid are held back.",)
    table = {"photos/a.png": photo(5), "photos/b.png": photo(6), "labels.csv": b"file,label\na.png,fir\nb.png,oak"}
    added = album.add_zip(zipped(tmp_path / "table.zip", table))
    assert added.notes == () and added.count == 2, "a label a photo is no table of labels"
    assert album.classes.keys() == {"photos", "rose", "tulip"}


def splitted(tmp_path, *classes: str) -> Path:
    """A zip of two photos of each class to learn from, and one that is held back."""
    parts = [("train", 0), ("train", 1), ("valid", 2)]
    files = {
        f"{part}/{name}/{number}.png": photo(10 * at + number)
        for at, name in enumerate(classes)
        for part, number in parts
    }
    return zipped(tmp_path / f"{'-'.join(classes)}.zip", files)


def held_back(album) -> list[str]:
    """Of the set that the album is: class and number of each photo held back."""
    dataset = scan(album.folder)
    names = [dataset.photos[index].path for index in sorted(dataset.held_back)]
    return [re.sub(r"-\w+\.png", "", name) for name in names]


def test_a_split_that_photos_come_with_is_kept_whatever_is_done_with_them(album, tmp_path):
    album.add_zip(splitted(tmp_path, "rose", "tulip"))
    assert held_back(album) == ["rose/2", "tulip/2"]
    album.rename("rose", "rosa")
    album.add("tulip", [("new.png", photo(50))])
    album.move([next(name for name in album.classes["tulip"] if name.startswith("2-"))], "rosa")
    assert held_back(album) == [], "of the tulips none is left"
    album.undo()
    assert held_back(album) == ["rose/2", "tulip/2"]
    album.add_class("daisy")
    assert (album.folder / HELD_BACK).exists(), "an empty class is none yet"
    album.add("daisy", [("1.png", photo(51))])
    assert not (album.folder / HELD_BACK).exists()
    album.remove_class("daisy")
    assert held_back(album) == ["rose/2", "tulip/2"]


def test_a_split_that_lacks_a_class_of_the_album_is_told_to_be_none(album, tmp_path):
    album.add("daisy", [("1.png", photo(51)), ("2.png", photo(52))])
    added = album.add_zip(splitted(tmp_path, "rose", "tulip"))
    assert added.notes == ("The split of these photos lacks some class on one side: lots are drawn instead.",)
    assert held_back(album) == []


def test_a_split_leaves_with_the_album_and_comes_back(album, tmp_path):
    album.add_zip(splitted(tmp_path, "rose", "tulip"))
    album.rename("rose", "rosa")
    other = Album(tmp_path / "other")
    other.add_zip(album.export(tmp_path / "exported.zip"))
    assert held_back(other) == ["rosa/2", "tulip/2"]
    third = Album(tmp_path / "third")
    third.add_set(scan(album.folder))
    assert held_back(third) == ["rosa/2", "tulip/2"]


def test_what_was_taken_back_is_like_any_other_when_it_comes_again(album, tmp_path):
    archive = splitted(tmp_path, "rose", "tulip")
    album.add_zip(archive)
    album.undo()
    unpacked = extract(archive, tmp_path / "unpacked")
    for name in ("rose", "tulip"):
        album.add(name, sorted(unpacked.rglob(f"{name}/*.png")))
    assert held_back(album) == []


def test_a_photo_that_moves_while_the_set_is_read_is_no_error(album, tmp_path, monkeypatch):
    album.add_zip(splitted(tmp_path, "rose", "tulip"))
    read = dataset_module._facts

    def then_moved(*given):
        facts = read(*given)
        album.move([next(name for name in album.classes["tulip"] if name.startswith("1-"))], "rose")
        album.add("tulip", [("3.png", photo(60))])
        album.rename("rose", "rosa")
        album.move([next(name for name in album.classes["tulip"] if name.startswith("2-"))], "rosa")
        album.undo()
        return facts

    monkeypatch.setattr(dataset_module, "_facts", then_moved)
    assert len(scan(album.folder)) == 6


def test_folders_inside_folders_may_be_told_apart_afterwards(album, tmp_path):
    places = ["cups/red/1.png", "cups/red/2.png", "cups/blue/3.png", "cups/blue/4.png", "mugs/5.png", "mugs/6.png"]
    added = album.add_zip(zipped(tmp_path / "set.zip", {place: photo(n) for n, place in enumerate(places)}))
    assert added.notes == ("All photos in the folders inside cups are taken for one class.",)
    assert sizes(album) == {"cups": 4, "mugs": 2}
    assert sorted(album.apart.values()) == ["blue", "blue", "red", "red"]
    assert album.tell_apart() == 4
    assert sizes(album) == {"blue": 2, "mugs": 2, "red": 2}
    assert album.apart == {}
    assert album.undo().kind == "apart"
    assert sizes(album) == {"cups": 4, "mugs": 2}


def test_what_was_removed_or_moved_meanwhile_is_no_obstacle_to_telling_apart(album, tmp_path):
    places = ["cups/red/1.png", "cups/red/2.png", "cups/blue/3.png", "cups/green/4.png", "mugs/5.png", "mugs/6.png"]
    album.add_zip(zipped(tmp_path / "set.zip", {place: photo(n) for n, place in enumerate(places)}))
    at = {name: place for place in album.classes["cups"] for name in [place[0]]}
    album.remove([at["3"]])
    album.move([at["1"]], "red")
    album.add_class("green")
    assert album.tell_apart() == 2
    assert sizes(album) == {"green": 1, "mugs": 2, "red": 2}
    album.add("mugs", [("7.png", photo(70))])
    assert album.apart == {}
    before = album.last
    assert album.tell_apart() == 0 and album.last == before


def sizes(album) -> dict[str, int]:
    return {name: len(photos) for name, photos in album.classes.items()}


@pytest.mark.parametrize(
    ("places", "classes"),
    [
        (["pets/cat/1.png", "pets/cat/2.png", "pets/dog/1.png"], {"cat": 2, "dog": 1}),
        (["cat/1.png", "cat/Thumbs.db", "dog/1.png"], {"cat": 1, "dog": 1}),
        (["cat/a:b.png", "cat/" + "x" * 300 + ".png", "dog/1.png"], {"cat": 2, "dog": 1}),
    ],
)
def test_a_dropped_folder_is_read_as_a_zip_of_it_would_be(album, tmp_path, places, classes):
    files = {}
    for number, place in enumerate(places):
        files[place] = tmp_path / f"upload-{number}"
        files[place].write_bytes(photo(number))
    album.add_folder(files.items())
    assert {name: len(found) for name, found in album.classes.items()} == classes


def test_nothing_in_a_dropped_folder_costs_another_file(album, tmp_path):
    places = ["cat/a:b.png", "cat/a?b.png", "cat/1.png", "cat/1.png", "cat/\ud800.png", "dog", "dog/2.png", ""]
    files = []
    for number, place in enumerate(places):
        (tmp_path / f"upload-{number}").write_bytes(photo(number))
        files.append((place, tmp_path / f"upload-{number}"))
    added = album.add_folder(files)
    assert len(album.classes["cat"]) == 5
    assert added.notes == ("Photos beside the folders are left out: 2.",)


@pytest.mark.parametrize(
    "folder", ["/{}", "../../../../../../../../../../..{}", "rose/../../{}", "a\\b/c", "C:/x", "rose/."]
)
def test_what_a_stranger_names_lies_in_what_was_sent(album, tmp_path, folder):
    """Names of class folders are a stranger's words: none may lead to the server's own photos."""
    (tmp_path / "private" / "deep").mkdir(parents=True)
    (tmp_path / "private" / "deep" / "1.png").write_bytes(photo(9))
    names = json.dumps({folder.format(tmp_path / "private"): "stolen", "rose/x": "x"}).encode()
    archive = zipped(tmp_path / "z.zip", {"rose/1.png": photo(1), CLASS_NAMES: names})
    with pytest.raises(DataError, match="which is no folder of the set"):
        album.add_zip(archive)
    assert album.classes == {}


def test_a_dropped_folder_leads_nowhere_else(album, tmp_path):
    (tmp_path / "1.png").write_bytes(photo(1))
    with pytest.raises(DataError, match="not a path to unpack safely"):
        album.add_folder([("cat/../../../../evil/1.png", tmp_path / "1.png")])
    assert album.classes == {} and not any((album.folder / ".album").glob("incoming*"))


@pytest.mark.parametrize(
    ("files", "said"),
    [
        ({"1.png": photo(1)}, "no class folders"),
        ({"../rose/1.png": photo(1)}, "not a path to unpack"),
        ({"rose/1.png": bytes(30_000_000)}, "bomb"),
        ({"rose/1.png": photo(1), CLASS_NAMES: b"[" * 100_000}, "not as it should be"),
        ({"a/1.png": photo(1), "b/1.png": photo(2), CLASS_NAMES: b'{"a": "b"}'}, "two folders"),
    ],
)
def test_hostile_zips_end_in_a_sentence_and_leave_nothing(album, tmp_path, files, said):
    with zipfile.ZipFile(tmp_path / "z.zip", "w", zipfile.ZIP_DEFLATED) as archive:
        for name, data in files.items():
            archive.writestr(name, data)
    with pytest.raises(FlowersError, match=said):
        album.add_zip(tmp_path / "z.zip")
    assert album.classes == {} and album.last is None
    assert [path.name for path in (album.folder / ".album").iterdir()] == ["bin"]


def test_a_set_is_copied_without_what_is_left_out(filled, tmp_path):
    dataset = open_dataset(filled.folder)
    copy = Album(tmp_path / "copy")
    added = copy.add_set(dataset, without=[dataset.photos[0].path])
    assert added.count == 4 and {name: len(found) for name, found in copy.classes.items()} == {"daisy": 2, "rose": 2}
    assert copy.undo().about.count == 4 and copy.classes == {}


def test_the_disk_being_full_is_a_sentence(filled, monkeypatch):
    def full(*_):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(module.os, "replace", full)
    with pytest.raises(DataError, match="space"):
        filled.remove(filled.classes["daisy"])


def test_albums_that_nobody_opens_are_dropped_after_weeks(filled, tmp_path):
    other = Album(filled.folder.with_name("other"))
    other.add("daisy", photos(1))
    (tmp_path / "no album").mkdir()
    (other.folder / ".album" / "incoming-x").mkdir()
    for path in (filled.folder, tmp_path / "no album", other.folder / ".album" / "incoming-x"):
        os.utime(path, (time.time() - module.KEPT_SECONDS - 60,) * 2)
    drop_unused(tmp_path)
    assert not filled.folder.exists()
    assert len(other) == 1 and (tmp_path / "no album").is_dir()
    assert not (other.folder / ".album" / "incoming-x").exists()


# Whatever is in an album's files

FILES = {
    CLASS_NAMES: "photos stay, under the names of their folders",
    ".album/steps.json": "nothing to undo",
    ".album/apart.json": "one reading of the folders",
    ".album/held-back.json": "lots are drawn",
    HELD_BACK: "lots are drawn",
}


@pytest.fixture(scope="module")
def told_album(tmp_path_factory) -> Path:
    """The folder of an album with something of everything in it."""
    album, source = Album(tmp_path_factory.mktemp("told") / "album"), tmp_path_factory.mktemp("set")
    for name, seeds in {"AC/DC": (1, 2, 3), "rose": (4, 5, 6)}.items():
        for part in ("train", "val"):
            folder = source / part / name.replace("/", "_")
            folder.mkdir(parents=True)
            for seed in seeds[: 2 if part == "train" else 3]:
                (folder / f"{seed}-{part}.png").write_bytes(photo(seed + 10 * (part == "val")))
    album.add_folder([(f"set/{path.relative_to(source)}", path) for path in sorted(source.rglob("*.png"))])
    album.rename("AC_DC", "AC/DC")
    album.add_class("a:b")
    album.move(album.classes["rose"][:1], "a:b")
    album.move(album.classes["AC/DC"][:1], "a:b")
    album.remove(album.classes["rose"][:1])
    album.remove_class("a:b")
    kept = [photo for photos in album.classes.values() for photo in photos]
    (album.folder / OWN / "apart.json").write_text(json.dumps({kept[0]: "inside", kept[-1]: "outside"}))
    for name in FILES:
        assert (album.folder / name).stat().st_size > 4, name
    return album.folder


def check_whole(folder: Path) -> None:
    """The photos are all there, and the album can be used and changed, whatever its files say."""
    album = Album(folder)
    before = {path.name: path.read_bytes() for path in folder.glob("*/*.png")}
    shown = [photo for photos in album.classes.values() for photo in photos]
    assert sorted(shown) == sorted(before) and len(before) == len(list(folder.glob("[!.]*/*")))
    assert all(album.path(photo).is_file() for photo in shown)
    json.dumps([album.classes, album.apart], ensure_ascii=False).encode()  # as the page is sent
    assert set(album.apart) <= set(before)
    open_dataset(folder).split()
    while (last := album.last) is not None:
        json.dumps(vars(last.about), ensure_ascii=False).encode()
        assert album.undo() == last
    after = {path.name for path in folder.glob("*/*.png")}
    assert {path.read_bytes() for path in folder.glob("*/*.png")} >= {before[name] for name in after & before.keys()}
    album.add("new", photos(90, 91))
    album.remove(album.classes["new"][:1])
    album.tell_apart()
    assert album.undo().kind in ("remove", "apart") and "new" in album.classes
    assert album.export(folder.with_suffix(".zip")).is_file()


@pytest.mark.parametrize("name", FILES)
@given(data=st.data())
@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_whatever_is_in_a_file_of_an_album_no_photo_is_lost(told_album, tmp_path, name, data):
    folder = tmp_path / "album"
    shutil.rmtree(folder, ignore_errors=True)
    shutil.copytree(told_album, folder)
    outside = folder.with_name("outside.png")
    outside.write_bytes(photo(99))
    content = (folder / name).read_bytes()
    (folder / name).write_bytes(data.draw(damaged(content, values=not name.endswith(".txt"))))
    check_whole(folder)
    assert outside.read_bytes() == photo(99)


@pytest.mark.parametrize(
    ("name", "content"),
    [
        (CLASS_NAMES, "{"),
        (CLASS_NAMES, "[1]"),
        (CLASS_NAMES, '{"AC_DC": "rose"}'),
        (CLASS_NAMES, '{"AC_DC/x": "rose"}'),
        (CLASS_NAMES, '{"../album": "rose"}'),
        (CLASS_NAMES, "[" * 100_000),
        (".album/apart.json", "[1]"),
        (".album/apart.json", "5"),
        (".album/held-back.json", "[[]]"),
        (".album/held-back.json", '"text"'),
        (".album/held-back.json", "[1, 2]"),
        (".album/steps.json", "[1]"),
        (".album/steps.json", '[{"kind": "add"}]'),
        (".album/steps.json", "[" * 100_000),
    ],
)
def test_a_file_of_an_album_that_says_nothing_sensible_is_as_none(told_album, tmp_path, name, content):
    shutil.copytree(told_album, tmp_path / "album")
    (tmp_path / "album" / name).write_text(content)
    check_whole(tmp_path / "album")


@pytest.mark.parametrize(
    ("source", "target"),
    [
        ("", "../outside.png"),
        ("", "/outside.png"),
        ("", "rose/.."),
        ("", ".album/steps.json"),
        ("", "rose"),
        ("", ""),
        ("../outside.png", "rose/{photo}"),
        ("rose/{other}", "rose/{photo}"),
        ("", "rose/{photo}"),
        ("rose/a\0b", "rose/{photo}"),
        ("x/\ud800", "rose/{photo}"),
        ("r" * 300 + "/a.png", "rose/{photo}"),
        (5, "rose/{photo}"),
    ],
)
def test_a_step_that_was_never_made_takes_no_photo_away(filled, tmp_path, source, target):
    (tmp_path / "outside.png").write_bytes(photo(99))
    filled.remove(filled.classes["rose"][:1])
    filled.move(filled.classes["daisy"][:2], "rose")
    names = dict(zip(("photo", "other"), filled.classes["rose"], strict=False))
    place = filled.folder / OWN / "steps.json"
    steps = json.loads(place.read_text())
    moved = [part.format(**names) if isinstance(part, str) else part for part in (source, target)]
    place.write_text(json.dumps([*steps[:-1], {**steps[-1], "moved": [moved]}]))
    before = content(filled)
    filled.undo()
    assert content(filled) == before and (tmp_path / "outside.png").exists()


def test_a_photo_is_brought_back_though_its_class_is_gone(filled):
    [taken] = filled.classes["rose"][:1]
    filled.remove([taken])
    place = filled.folder / OWN / "steps.json"
    place.write_text(place.read_text().replace(f"rose/{taken}", f"rosf/{taken}"))
    filled.undo()
    assert filled.classes["rosf"] == [taken] and len(filled.classes["rose"]) == 1


def test_albums_survive_a_clean_cache(monkeypatch, tmp_path):
    monkeypatch.setenv("FLOWERS_RUNS", str(tmp_path / "runs"))
    assert albums_dir() == tmp_path / "albums"
    monkeypatch.setenv("FLOWERS_ALBUMS", str(tmp_path / "mine"))
    assert albums_dir() == tmp_path / "mine"
