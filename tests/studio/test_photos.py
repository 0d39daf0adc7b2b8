"""What the Photos tab answers, also to those who ask without the page."""

import base64
import contextlib
import io
import os
from types import SimpleNamespace

import gradio as gr
import pytest
from PIL import Image

from flowers.data import album as albums
from flowers.data import sources
from flowers.data.album import Album
from flowers.data.dataset import scan
from flowers.data.doctor import check
from flowers.errors import DataError, UsageError
from flowers.paths import albums_dir, cache_dir
from flowers.studio import common, photos, sheet
from flowers.studio.thumbnails import SIDE, thumbnails
from tests.data.test_dataset import picture

PROBLEM = 'role="alert"'


def quiet(*_, **__) -> None:
    """A progress that nobody sees."""


@pytest.fixture
def mine(garden) -> Album:
    """The photos of whoever asks outside the page."""
    album = common.my_album()
    album.add_set(scan(garden))
    return album


def show(which: str, label: str = "", part: str = "all", number: int = 0) -> dict:
    """The tab's updates by name."""
    names = [
        "facts",
        "fetching",
        "bars",
        "train",
        "owner",
        "adding",
        "undo",
        "edited",
        "into",
        "to",
        "label",
        "filters",
        "part",
        "acting",
        "contact",
        "pager",
        "back",
        "place",
        "forth",
        "doctor",
        "number",
        "waiting",
    ]
    return dict(zip(names, photos._show(which, label, part, number), strict=True))


def test_an_album_is_shown_with_its_split(mine):
    shown = show("album")
    assert "40 photos, 5 classes" in shown["facts"]
    assert shown["contact"].count('type="checkbox"') == 40
    assert shown["contact"].count('class="held"') == 10, "a fifth of 8 photos, rounded, of each of 5 classes"
    assert show("album", part="val")["contact"].count("<img") == 10
    assert show("album", label="rose", part="train")["contact"].count("<img") == 6
    assert show("album", number=99)["number"] == 0
    assert (
        shown["train"]["visible"]
        and shown["undo"]["value"] == "~~photos.undo_add?photos=%7E%7Ephotos.photos%3Fcount%3D40%7E%7E~~"
    )


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
    assert (
        "data clean" in photos._leave_out([one], "FLOWERS_DATA", quiet)[0]
        or PROBLEM in photos._leave_out([one], "FLOWERS_DATA", quiet)[0]
    )
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


def test_names_stay_text(tmp_path):
    album, name = Album(tmp_path / "album"), '<img src=x onerror="alert(1)">'
    file = io.BytesIO()
    picture(1).save(file, "PNG")
    other = io.BytesIO()
    picture(1).save(other, "JPEG", quality=80)
    album.add(name, [(f"{name}.png", file.getvalue()), ("copy.jpg", other.getvalue())])
    for seed, kind in ((2, name), (3, "other"), (4, "other")):
        content = io.BytesIO()
        picture(seed).save(content, "PNG")
        album.add(kind, [(f"{seed}.png", content.getvalue())])
    dataset = scan(album.folder)
    rows = [(dataset.class_of(photo.path), photo.path) for photo in dataset.photos]
    html = sheet.sheet_html(sheet.cut(rows, 0), album.folder, frozenset(), True)
    html += sheet.bars_html({name: ["a"]}, frozenset()) + sheet.findings_html(check(dataset))
    assert "&lt;img src=x" in html and "<img src=x" not in html and 'onerror="alert' not in html


def test_pages_hold_every_photo_once():
    rows = [("a", f"a/{number}.png") for number in range(3 * sheet.PER_PAGE + 1)]
    pages = [sheet.cut(rows, number) for number in range(4)]
    assert [path for page in pages for path in page.photos] == rows
    assert [page.first for page in pages] == [1, 61, 121, 181] and pages[0].pages == 4
    assert sheet.cut(rows, 99) == pages[3] and sheet.cut(rows, -1) == pages[0]
    assert sheet.cut([], 5).pages == 1


def test_thumbnails_are_small_squares_and_nothing_for_what_is_no_photo(tmp_path):
    picture(1, 300).resize((900, 300)).save(tmp_path / "wide.png")
    (tmp_path / "no.png").write_bytes(b"x")
    wide, *others = thumbnails([tmp_path / "wide.png", tmp_path / "no.png", tmp_path / "gone.png"])
    assert others == ["", ""]
    assert Image.open(io.BytesIO(base64.b64decode(wide.partition(",")[2]))).size == (SIDE, SIDE)
