"""A photo is kept without what it tells besides the picture."""

import contextlib
import io

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import ExifTags, Image, ImageFile, PngImagePlugin

from flowers.data.decode import decode_image
from flowers.data.metadata import without_place
from flowers.data.segments import png_chunks, png_of
from flowers.errors import DecodeError


def with_place(format: str, orientation: int = 1) -> bytes:
    exif = Image.Exif()
    exif[ExifTags.Base.Orientation] = orientation
    exif[ExifTags.Base.Make] = "SecretCamera"
    exif.get_ifd(ExifTags.IFD.GPSInfo).update({1: "N", 2: (52.0, 31.0, 12.0), 3: "E", 4: (13.0, 24.0, 18.0)})
    file = io.BytesIO()
    picture = Image.radial_gradient("L").resize((60, 40)).convert("RGB")
    picture.putpixel((0, 0), (255, 0, 0))
    picture.save(file, format, exif=exif.tobytes(), **({"comment": b"SecretNote"} if format == "JPEG" else {}))
    return file.getvalue()


@pytest.mark.parametrize("format", ["JPEG", "PNG", "WEBP", "TIFF", "AVIF"])
@pytest.mark.parametrize("orientation", [1, 6])
def test_a_photo_does_not_tell_where_it_was_taken(format, orientation):
    taken = with_place(format, orientation)
    assert Image.open(io.BytesIO(taken)).getexif().get_ifd(ExifTags.IFD.GPSInfo)
    kept = without_place(taken)
    assert not Image.open(io.BytesIO(kept)).getexif().get_ifd(ExifTags.IFD.GPSInfo)
    assert b"Secret" not in kept
    before, after = decode_image(taken), decode_image(kept)
    assert before.size == after.size
    assert without_place(kept) == kept
    if format in ("JPEG", "PNG"):
        assert before.tobytes() == after.tobytes(), "nothing is compressed again"


@pytest.mark.parametrize("format", ["PNG", "WEBP", "TIFF", "GIF", "BMP"])
def test_a_photo_that_tells_no_place_is_kept_byte_for_byte(format):
    file = io.BytesIO()
    Image.radial_gradient("L").resize((60, 40)).save(file, format)
    assert without_place(file.getvalue()) == file.getvalue()


def test_what_stands_behind_a_jpeg_goes_and_progressive_ones_stay_whole():
    file = io.BytesIO()
    picture = Image.radial_gradient("L").resize((200, 160)).convert("RGB")
    picture.save(file, "JPEG", progressive=True, icc_profile=b"\0" * 200)
    kept = without_place(file.getvalue() + b"a film" * 1000)
    assert b"a film" not in kept and b"ICC_PROFILE" in kept
    assert decode_image(kept).tobytes() == decode_image(file.getvalue()).tobytes()


def test_a_png_keeps_its_transparency_and_nothing_that_is_said():
    file = io.BytesIO()
    said = PngImagePlugin.PngInfo()
    said.add_itxt("XML:com.adobe.xmp", "<exif:GPSLatitude>52,31N</exif:GPSLatitude>", zip=True)
    said.add_text("Comment", "SecretNote")
    picture = Image.radial_gradient("L").resize((60, 40)).convert("RGBA")
    picture.putpixel((0, 0), (255, 0, 0, 10))
    picture.save(file, "PNG", pnginfo=said, gamma=0.45)
    kept = without_place(file.getvalue() + b"SecretFilm")
    assert b"Secret" not in kept and b"iTXt" not in kept
    assert Image.open(io.BytesIO(kept)).tobytes() == picture.tobytes()


def test_a_png_that_says_behind_its_pixels_how_it_is_turned_stays_turned():
    head, *rest, end = png_chunks(with_place("PNG", orientation=6))
    rest.sort(key=lambda chunk: chunk[0] == b"eXIf")
    kept = without_place(png_of([head, *rest, end]))
    assert decode_image(kept).size == (40, 60) and b"Secret" not in kept


def test_the_pixels_of_a_png_are_not_looked_at(monkeypatch):
    """They may be a hundred million."""
    content = with_place("PNG")
    monkeypatch.setattr(ImageFile.ImageFile, "load", lambda image: pytest.fail("all of it was decoded"))
    assert b"Secret" not in without_place(content)


@settings(max_examples=3 * settings.default.max_examples)
@given(st.sampled_from(["JPEG", "PNG"]), st.integers(0, 10_000), st.integers(0, 255))
def test_whatever_byte_is_changed_what_can_be_read_stays_as_it_looks(format, at, value):
    data = bytearray(with_place(format))
    data[at % len(data)] = value
    with contextlib.suppress(DecodeError):
        before = decode_image(bytes(data))
        after = decode_image(without_place(bytes(data)))
        assert before.size == after.size
