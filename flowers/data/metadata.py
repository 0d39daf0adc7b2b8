"""What a photo file tells besides the picture, above all where it was taken: taken out before the file is kept."""

import io

from PIL import ExifTags, Image

from flowers.data.decode import decode_image, open_header
from flowers.data.segments import (
    EXIF,
    PNG,
    Segment,
    is_seen,
    jpeg_of,
    jpeg_segments,
    png_chunk,
    png_chunks,
    png_of,
    tells,
)

EXIF_BEGINNING = b"Exif\0\0"
QUALITY = 95  # of a JPEG made from another format: nobody sees the difference


def without_place(content: bytes) -> bytes:
    """A readable photo without its metadata, in which the place that it was taken at may stand.

    A JPEG or PNG loses what is not needed to see it, nothing is compressed again, and only its orientation is written
    anew. A photo of another format is returned as it is, unless its EXIF holds a place: then it becomes a JPEG.
    """
    for beginning, bare in ((b"\xff\xd8\xff", _bare_jpeg), (PNG, _bare_png)):
        if content.startswith(beginning):
            return bare(content) or _as_jpeg(content)
    try:
        has_place = bool(open_header(io.BytesIO(content)).getexif().get_ifd(ExifTags.IFD.GPSInfo))
        has_place = has_place or b"GPSLatitude" in content  # XMP says it in words
    except Exception:  # as many kinds as there are ways to break EXIF: nothing can be ruled out
        has_place = True
    return _as_jpeg(content) if has_place else content


def _bare_jpeg(content: bytes) -> bytes | None:
    """The JPEG's own segments; None where they are not laid out as they should be."""
    segments = jpeg_segments(content)
    if segments is None:
        return None
    kept = [segment for segment in segments if not tells(segment) or _is_needed(segment)]
    if block := _turned(content):
        kept.insert(0, (EXIF, b"\xff\xe1" + (len(block) + 2).to_bytes(2, "big") + block))
    return jpeg_of(kept)


def _bare_png(content: bytes) -> bytes | None:
    """The PNG's own chunks; None where they do not end as they should."""
    chunks = list(png_chunks(content))
    if not chunks or chunks[-1] != png_chunk(b"IEND", b""):
        return None
    kept = [chunk for chunk in chunks if is_seen(chunk)]
    if block := _turned(content, next((part[8:-4] for kind, part in chunks if kind == b"eXIf"), None)):
        kept.insert(1, png_chunk(b"eXIf", block.removeprefix(EXIF_BEGINNING)))
    return png_of(kept)


def _turned(content: bytes, exif: bytes | None = None) -> bytes:
    """EXIF that says how a photo is turned, and nothing else; empty for one that stands upright.

    ``exif`` is the photo's own, where that may stand behind its pixels.
    """
    try:
        image = open_header(io.BytesIO(content))
        if exif:
            image.info["exif"] = EXIF_BEGINNING + exif
        # Not the format's own: of a PNG, that would decode all pixels.
        orientation = Image.Image.getexif(image).get(ExifTags.Base.Orientation, 1)
    except Exception:  # as in decode.py: a broken block costs the rotation, not the photo
        return b""
    if orientation not in range(2, 9):
        return b""
    said = Image.Exif()
    said[ExifTags.Base.Orientation] = orientation
    return said.tobytes()


def _is_needed(segment: Segment) -> bool:
    """Whether it says how colours are meant: JFIF, Adobe's, or a colour profile."""
    kind, part = segment
    return kind in (0xE0, 0xEE) or (kind == 0xE2 and part[4:16] == b"ICC_PROFILE\0")


def _as_jpeg(content: bytes) -> bytes:
    file = io.BytesIO()
    decode_image(content).save(file, "JPEG", quality=QUALITY)
    return file.getvalue()
