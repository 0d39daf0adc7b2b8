"""Zips from visitors: what becomes of good ones and bad ones, and which folders of the server they open."""

import os
import shutil
import time
import zipfile
from pathlib import Path

import pytest

from flowers.data.sources import DAY, zips_dir
from flowers.errors import UsageError
from flowers.paths import cache_dir, runs_dir
from flowers.recipe import Recipe
from flowers.studio import common, train
from flowers.training.run import Run


def upload(path: Path) -> tuple[str | None, str]:
    """What the page gets: the photo set it now stands on (None: as before), and what it says."""
    update, message = train._receive_zip(str(path), lambda *_, **__: None)
    return update.get("value"), message


def trained_on(folder: str) -> Run:
    return Run.create(runs_dir() / f"run-{len(list(runs_dir().iterdir()))}", Recipe(), folder)


def unpacked() -> list[Path]:
    return list(zips_dir().glob("*"))


@pytest.fixture
def good(garden, tmp_path) -> Path:
    return Path(shutil.make_archive(str(tmp_path / "My <b>roses"), "zip", garden.parent, garden.name))


@pytest.fixture
def bad(tmp_path) -> Path:
    """One class of two photos that are none."""
    with zipfile.ZipFile(tmp_path / "Bad roses.zip", "w") as archive:
        archive.writestr("rose/1.jpg", b"")
        archive.writestr("rose/2.jpg", b"")
    return tmp_path / "Bad roses.zip"


def test_a_good_zip_is_chosen_under_its_own_name(good):
    update, message = train._receive_zip(str(good), lambda *_, **__: None)
    folder = update["value"]
    assert (f"{Path(folder).name} (40 photos)", folder) in update["choices"]
    assert Path(folder).name == "My b roses"
    assert "Your photos: 8 daisy, 8 dandelion" in message
    assert common.source_of(folder) == folder


def test_a_zip_that_a_run_has_learnt_from_stays_in_the_lists_once(good):
    folder, _ = upload(good)
    assert folder not in [value for _, value in common.source_choices()]
    trained_on(folder)
    assert ("My b roses (zip)", folder) in common.source_choices()
    update, _ = train._receive_zip(str(good), lambda *_, **__: None)
    assert [value for _, value in update["choices"]].count(folder) == 1


def test_what_was_left_out_is_told_by_class(garden, tmp_path):
    photos = shutil.copytree(garden, tmp_path / "photos")
    for name in ("rose", "tulip"):
        (photos / name / "1.jpg").write_bytes(b"")
    folder, message = upload(Path(shutil.make_archive(str(tmp_path / "mine"), "zip", photos)))
    assert folder
    assert "rose/1.jpg is empty" in message
    assert "tulip/1.jpg is empty" in message


def test_a_refused_zip_leaves_nothing(bad):
    folder, message = upload(bad)
    assert folder is None
    assert "The folder Bad roses holds 1 class folder: it needs" in message
    assert unpacked() == []
    assert [path for path in cache_dir().rglob("*") if path.is_file() and path.suffix != ".lock"] == []


def test_a_zip_that_takes_too_long_to_read_leaves_nothing(good, monkeypatch):
    monkeypatch.setattr(train, "UPLOAD_SECONDS", 0)
    folder, message = upload(good)
    assert folder is None
    assert "take longer to read" in message
    assert unpacked() == []


def test_a_zip_of_too_many_files_leaves_nothing(good, monkeypatch):
    monkeypatch.setitem(train.UPLOAD_LIMITS, "max_files", 30)
    folder, message = upload(good)
    assert folder is None
    assert "more than 30 files" in message
    assert unpacked() == []


def test_a_refusal_does_not_take_away_what_a_run_has_learnt_from(good, monkeypatch):
    folder, _ = upload(good)
    trained_on(folder)
    next(Path(folder).glob("*/*")).touch()  # so that it has to be read again
    monkeypatch.setattr(train, "UPLOAD_SECONDS", 0)
    assert upload(good)[0] is None
    assert Path(folder).is_dir()


def test_uploads_go_after_a_day_unless_a_run_has_learnt_from_them(good, bad, garden, tmp_path):
    kept, _ = upload(good)
    trained_on(kept)
    dropped, _ = upload(Path(shutil.make_archive(str(tmp_path / "other"), "zip", garden)))
    assert kept and dropped and kept != dropped
    killed = zips_dir() / ".0123.abcd.tmp"
    killed.mkdir()
    for folder in (kept, dropped):
        os.utime(Path(folder).parent, (time.time() - 1.1 * DAY,) * 2)
    upload(bad)
    assert unpacked() == [Path(kept).parent]
    assert common.source_of(kept) == kept
    with pytest.raises(UsageError, match="upload the zip again"):
        common.source_of(dropped)


def test_only_what_a_visitor_uploaded_can_be_named(good, garden):
    folder = Path(upload(good)[0])
    (zips_dir() / "a link").mkdir()
    (zips_dir() / "a link" / "out").symlink_to(garden)
    (folder.parent / "loop").symlink_to("loop")
    for choice in (
        *("/", "", ".", "..", "~", "\0", "x\0y", "\ud800", "x" * 5000, "x/" * 5000, None, 3, ["garden"]),
        *map(str, (garden, cache_dir(), zips_dir(), folder.parent, folder / "rose", folder / "../../../..")),
        *(f"{folder}/../{name}" for name in ("absent", "loop", "x" * 300, "x\0y", "\ud800")),
        str(zips_dir() / "a link" / "out"),
    ):
        with pytest.raises(UsageError, match="upload the zip again"):
            common.source_of(choice)
    assert common.source_of(str(folder))
