"""What the Photos tab answers, also to those who ask without the page."""

import base64
import contextlib
import io
import json
import os
import shutil
import zipfile
from collections.abc import Iterator
from types import SimpleNamespace

import gradio as gr
import pytest
from gradio.context import LocalContext

from flowers.data import album as albums
from flowers.data import sources
from flowers.data.album import Album
from flowers.data.dataset import scan
from flowers.errors import DataError, UsageError
from flowers.paths import albums_dir, cache_dir
from flowers.studio import app, common, photos
from flowers.studio.visitors import COOKIE
from tests.data.test_dataset import picture

PROBLEM = 'role="alert"'


def quiet(*_, **__) -> None:
    """A progress that nobody sees."""


@pytest.fixture(autouse=True)
def asking() -> Iterator[None]:
    """As in an event of a visitor with a cookie, who reads English."""
    token = LocalContext.request.set(SimpleNamespace(headers={}, cookies={COOKIE: "test"}, session_hash="test"))
    yield
    LocalContext.request.reset(token)


@pytest.fixture
def mine(garden) -> Album:
    """The visitor's photos."""
    album = common.my_album()
    album.add_set(scan(garden))
    return album


def png(seed: int) -> bytes:
    file = io.BytesIO()
    picture(seed, 120).save(file, "PNG")
    return file.getvalue()


def show(which: str, label: str = "", part: str = "all", number: int = 0) -> dict:
    """The tab's updates by name."""
    names = """facts fetching bars train owner adding apart undo edited into to label filters part acting contact pager
        back place forth doctor number waiting"""
    return dict(zip(names.split(), photos._show(which, label, part, number), strict=True))


def test_an_album_is_shown_with_its_split(mine):
    shown = show("album")
    assert "40 photos, 5 classes" in shown["facts"]
    assert shown["contact"].count('type="checkbox"') == 40
    assert shown["contact"].count('class="held"') == 10, "a fifth of 8 photos, rounded, of each of 5 classes"
    assert show("album", part="val")["contact"].count("<img") == 10
    assert show("album", label="rose", part="train")["contact"].count("<img") == 6
    assert show("album", number=99)["number"] == 0
    assert shown["train"]["visible"] and shown["undo"]["value"] == "Undo: added 40 photos"


def test_many_new_photos_are_read_where_their_progress_shows(garden, monkeypatch):
    monkeypatch.setattr(photos, "READ_AT_ONCE", 39)
    monkeypatch.setattr(common, "own_folder", lambda: str(garden))
    monkeypatch.setenv("FLOWERS_CACHE", str(cache_dir() / "fresh"))
    shown = show("FLOWERS_DATA")
    assert shown["waiting"] and 'class="held"' not in shown["contact"]
    seen = []
    photos._read("FLOWERS_DATA", "", "all", 0, True, lambda now, **_: seen.append(now))
    assert seen[-1] == (40, 40)
    assert not show("FLOWERS_DATA")["waiting"]


@pytest.mark.parametrize("which", ["/", "..", "nothing", "", None, 3, ["album"], "x" * 5000, "\0"])
def test_only_what_is_offered_is_shown(which):
    assert PROBLEM in show(which)["facts"]
    assert PROBLEM in photos._check(which, False, quiet)[1]
    assert PROBLEM in photos._leave_out(["a/b.png"], which, quiet)[0]
    with pytest.raises(UsageError):
        common.source_of(which)


def test_my_photos_are_offered_only_where_there_are_some(garden):
    assert common.ALBUM not in [value for _, value in common.source_choices()]
    with pytest.raises(UsageError):
        common.source_of(common.ALBUM)
    common.my_album().add_set(scan(garden))
    assert common.source_choices()[0][1] == common.ALBUM
    assert common.source_of(common.ALBUM) == str(common.my_album().folder)
    assert common.my_album().folder.parent == albums_dir()


def test_what_is_chosen_elsewhere_gives_way_once_it_is_removed(garden):
    common.my_album().add_set(scan(garden))
    assert "value" not in common.refresh_choices(None, common.ALBUM)[1]
    assert "value" not in app._refresh_training(common.ALBUM)
    shutil.rmtree(common.my_album().folder)
    assert common.refresh_choices(None, common.ALBUM)[1]["value"] == common.default_choice()
    assert app._refresh_training(common.ALBUM)["value"] == common.default_choice()


def test_a_burst_from_anybody_is_photos_or_a_sentence(mine):
    file = io.BytesIO()
    picture(5, 64).save(file, "JPEG")
    frame = f"data:image/jpeg;base64,{base64.b64encode(file.getvalue()).decode()}"
    before = len(mine)
    for frames in (None, [], "x", {"a": 1}, 7):
        assert PROBLEM in photos._burst("clock", SimpleNamespace(photos=frames))[0]
    assert PROBLEM in photos._burst("clock", SimpleNamespace())[0]
    assert PROBLEM in photos._burst("", SimpleNamespace(photos=[frame]))[0]
    for bad in (3, None, "/etc/passwd", "data:,%%%", "x" * (photos.MAX_FRAME + 1), "data:image/jpeg;base64,AAAA"):
        assert PROBLEM in photos._burst("clock", SimpleNamespace(photos=[bad]))[0]
    assert len(mine) == before
    photos._burst("clock", SimpleNamespace(photos=[frame, "nonsense", frame]))
    assert len(mine.classes["clock"]) == 1
    photos._burst("many", SimpleNamespace(photos=["x"] * 10_000))
    assert "many" not in mine.classes


def test_ticked_photos_are_only_those_of_the_album(mine, garden):
    outside = garden / "rose" / os.listdir(garden / "rose")[0]
    for paths in (["../../x.png", str(outside), 3, None], [], None, "rose/1.png", {"a": 1}):
        photos._remove(paths)
        photos._move(paths, "elsewhere")
    assert len(mine) == 40 and outside.exists() and "elsewhere" not in mine.classes
    assert PROBLEM in photos._remove([])[0]


def test_a_copy_of_a_set_goes_into_my_photos(garden, monkeypatch):
    monkeypatch.setattr(common, "own_folder", lambda: str(garden))
    one = scan(garden).photos[0].path
    *_, which = photos._leave_out([one, "../x"], "FLOWERS_DATA", quiet)
    assert which == "album" and len(common.my_album()) == 39
    monkeypatch.setattr(albums, "MAX_PHOTOS", 10)
    assert "data clean" in photos._leave_out([one], "FLOWERS_DATA", quiet)[0]
    assert (garden / one).exists()


def test_what_cannot_be_fetched_is_a_sentence(monkeypatch):
    @contextlib.contextmanager
    def offline(_):
        raise DataError("no network: check it.")
        yield

    monkeypatch.setattr(sources, "ORIGINS", (sources.Origin("Kaggle", offline),))
    message, sets = photos._fetch("flowers5", quiet)
    assert PROBLEM in message and "Kaggle: no network" in message and sets == gr.skip()
    assert PROBLEM in photos._fetch("/etc", quiet)[0]


def words_of(answer: tuple) -> str:
    """What a change has said."""
    return str(answer[0])


def test_what_is_sound_beside_a_broken_archive_is_not_lost(tmp_path):
    (tmp_path / "broken.zip").write_bytes(b"PK\x03\x04 not a zip")
    with zipfile.ZipFile(tmp_path / "sound.zip", "w") as archive:
        archive.writestr("rose/1.png", png(1))
    said = words_of(photos._add([str(tmp_path / name) for name in ("broken.zip", "sound.zip")], "", "", quiet))
    assert PROBLEM in said and "broken" in said and "Added 1 photo" in said
    assert {name: len(found) for name, found in common.my_album().classes.items()} == {"rose": 1}


def test_folders_inside_folders_are_offered_as_classes(tmp_path):
    places = [f"set/{place}/{seed}.png" for seed, place in enumerate(
        ("cups/red", "cups/blue", "mugs", "mugs"))]  # fmt: skip
    for seed in range(len(places)):
        (tmp_path / f"{seed}.png").write_bytes(png(seed))
    files = [str(tmp_path / f"{seed}.png") for seed in range(len(places))]
    said = words_of(photos._add(files, "", json.dumps(places), quiet))
    assert "All photos in the folders inside cups are taken for one class." in said and "class-names" not in said
    offered = show(common.ALBUM)["apart"]
    assert (offered["visible"], offered["value"]) == (True, "Make the folders inside 2 classes")
    assert "2 photos" in words_of(photos._tell_apart())
    assert {name: len(found) for name, found in common.my_album().classes.items()} == {"blue": 1, "mugs": 2, "red": 1}
    assert not show(common.ALBUM)["apart"]["visible"]


def test_the_folders_of_what_was_dropped_are_the_classes_and_a_split_is_kept(tmp_path):
    places = [f"set/{part}/{name}/{seed}.png" for seed, (part, name) in enumerate(
        (part, name) for part in ("train", "valid") for name in ("mug", "cup"))]  # fmt: skip
    files = []
    for seed in range(len(places)):
        (tmp_path / f"{seed}.png").write_bytes(png(seed))
        files.append(str(tmp_path / f"{seed}.png"))
    said = words_of(photos._add(files, "", json.dumps(places), quiet))
    assert "Added 4 photos." in said and "those in valid are held back" in said
    assert {name: len(found) for name, found in common.my_album().classes.items()} == {"mug": 2, "cup": 2}


def test_photos_without_a_class_or_folder_wait_for_its_name(tmp_path):
    (tmp_path / "1.png").write_bytes(png(1))
    assert "Type its name" in words_of(photos._add([str(tmp_path / "1.png")], " ", "[]", quiet))
    assert common.my_album().classes == {}


def test_a_copy_that_is_left_out_comes_back_when_that_is_undone(mine):
    one = scan(mine.folder).photos[0].path
    said = words_of(photos._leave_out([one], photos.ALBUM, quiet))
    assert "Left out 1 photo." in said and len(mine) == 39
    photos._undo()
    assert len(mine) == 40
