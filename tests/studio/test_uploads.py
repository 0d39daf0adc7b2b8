"""What an upload still tells, whose it is, and how long it lies there."""

import io
from pathlib import Path

import pytest
from gradio import route_utils
from gradio.utils import get_upload_folder
from PIL import ExifTags, Image

from flowers.studio import photos, uploads
from tests.data.test_metadata import with_place
from tests.studio.serving import served
from tests.studio.visiting import visit


@pytest.fixture(scope="module")
def serving(tmp_path_factory):
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("GRADIO_TEMP_DIR", str(tmp_path_factory.mktemp("uploads")))
        patch.setattr(route_utils, "GradioUploadFile", route_utils.GradioUploadFile)
        uploads.keep_apart()
        with served() as serving:
            yield serving


def sent(serving, *contents: bytes, name: str = "a.jpg") -> list[Path]:
    """Where uploads lie."""
    with serving.browser() as browser:
        answer = browser.post("upload", files=[("files", (name, content)) for content in contents])
    assert answer.status_code == 200
    return [Path(path) for path in answer.json()]


@pytest.mark.parametrize("format", ["JPEG", "WEBP", "AVIF", "TIFF"])
def test_no_upload_tells_where_it_was_taken(serving, format):
    [path] = sent(serving, with_place(format), name=f"a.{format.lower()}")
    lies = path.read_bytes()
    assert not Image.open(io.BytesIO(lies)).getexif().get_ifd(ExifTags.IFD.GPSInfo)
    assert b"Secret" not in lies
    assert not any(b"Secret" in other.read_bytes() for other in Path(get_upload_folder()).rglob("*") if other.is_file())


@pytest.mark.parametrize("content", [b"", b"no photo", b"\xff\xd8\xff cut short", b"PK\x03\x04" + bytes(100)])
def test_what_is_no_photo_stays_as_it_came(serving, content):
    broken, sound = sent(serving, content, with_place("JPEG"))
    assert broken.read_bytes() == content
    assert b"Secret" not in sound.read_bytes()


def test_who_files_an_upload_takes_it_away_from_nobody_who_sent_the_same(serving):
    photo = with_place("JPEG")
    [mine], [yours] = sent(serving, photo), sent(serving, photo)
    uploads.forget([str(mine)])
    assert not mine.parent.exists() and yours.exists()


def test_what_is_no_upload_stays(serving, tmp_path):
    (tmp_path / "mine.jpg").write_bytes(b"x")
    uploads.forget([str(tmp_path / "mine.jpg"), str(Path(get_upload_folder()) / "gone" / "a.jpg")])
    assert (tmp_path / "mine.jpg").exists()


def test_photos_that_were_filed_lie_there_no_more(serving, tmp_path, monkeypatch):
    monkeypatch.setenv("FLOWERS_ALBUMS", str(tmp_path / "albums"))
    paths = sent(serving, with_place("JPEG"), b"no photo")
    with visit():
        photos._add([str(path) for path in paths], "rose", "", lambda *_, **__: None)
        assert len(photos.my_album()) == 1
    assert not any(path.exists() for path in paths)


def test_photos_that_have_no_name_yet_wait(serving, tmp_path, monkeypatch):
    monkeypatch.setenv("FLOWERS_ALBUMS", str(tmp_path / "albums"))
    [path] = sent(serving, with_place("JPEG"))
    with visit():
        photos._add([str(path)], "", "", lambda *_, **__: None)
    assert path.exists()
