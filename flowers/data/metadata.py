"""What a photo file tells besides the picture, above all where it was taken: taken out before the file is kept."""

import io

from PIL import ExifTags, Image

from flowers.data.decode import decode_image, open_header
from flowers.data.segments import EXIF, Segment, jpeg_of, jpeg_segments, tells

QUALITY = 95  # of a JPEG made from another format: nobody sees the difference


def without_place(content: bytes) -> bytes:
    """A readable photo without its metadata, in which the place that it was taken at may stand.

    A JPEG loses what is not needed to see it, nothing is compressed again, and only its orientation is written anew. A
    photo of another format is returned as it is, unless its EXIF holds a place: then it becomes a JPEG.
    """
    if content.startswith(b"\xff\xd8\xff"):
        return _bare_jpeg(content) or _as_jpeg(content)
    try:
        has_place = bool(open_header(io.BytesIO(content)).getexif().get_ifd(ExifTags.IFD.GPSInfo))
        has_place = has_place or b"GPSLatitude" in content  # XMP says it in words
    except Exception:  # as many kinds as there are ways to break EXIF: nothing can be ruled out
        has_place = True
    return _as_jpeg(content) if has_place else content


def _bare_jpeg(content: bytes) -> bytes | None:
    """The JPEG's own segments; None where they are not laid out as they should be."""
    try:
        orientation = open_header(io.BytesIO(content)).getexif().get(ExifTags.Base.Orientation, 1)
    except Exception:  # as in decode.py: a broken block costs the rotation, not the photo
        orientation = 1
    segments = jpeg_segments(content)
    if segments is None:
        return None
    kept = [segment for segment in segments if not tells(segment) or _is_needed(segment)]
    if orientation in range(2, 9):
        exif = Image.Exif()
        exif[ExifTags.Base.Orientation] = orientation
        block = exif.tobytes()
        kept.insert(0, (EXIF, b"\xff\xe1" + (len(block) + 2).to_bytes(2, "big") + block))
    return jpeg_of(kept)


def _is_needed(segment: Segment) -> bool:
    """Whether it says how colours are meant: JFIF, Adobe's, or a colour profile."""
    kind, part = segment
    return kind in (0xE0, 0xEE) or (kind == 0xE2 and part[4:16] == b"ICC_PROFILE\0")


def _as_jpeg(content: bytes) -> bytes:
    file = io.BytesIO()
    decode_image(content).save(file, "JPEG", quality=QUALITY)
    return file.getvalue()
