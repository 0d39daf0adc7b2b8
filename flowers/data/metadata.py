"""What a photo file tells besides the picture, above all where it was taken: taken out before the file is kept."""

import io
import re

from PIL import ExifTags, Image

from flowers.data.decode import decode_image, open_header

QUALITY = 95  # of a JPEG made from another format: nobody sees the difference
_MARKER = re.compile(rb"\xff[^\x00\xd0-\xd7\xff]")  # what ends the coded pixels of a JPEG


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
    kept, at = [b"\xff\xd8"], 2
    if orientation in range(2, 9):
        exif = Image.Exif()
        exif[ExifTags.Base.Orientation] = orientation
        block = exif.tobytes()
        kept.append(b"\xff\xe1" + (len(block) + 2).to_bytes(2, "big") + block)
    while at + 4 <= len(content):
        if content[at] != 0xFF:
            return None
        kind = content[at + 1]
        if kind == 0xFF:  # filling
            at += 1
            continue
        if kind == 0xD9:
            return b"".join([*kept, b"\xff\xd9"])  # what stands behind is another picture, or a film
        end = at + 2 + int.from_bytes(content[at + 2 : at + 4], "big")
        segment = content[at:end]
        profile = segment[4:16] == b"ICC_PROFILE\0"
        if kind in (0xE0, 0xEE) or (kind == 0xE2 and profile) or not (0xE0 <= kind <= 0xEF or kind == 0xFE):
            kept.append(segment)
        if kind == 0xDA:  # the coded pixels go on until the next marker
            marker = _MARKER.search(content, end)
            if marker is None:
                return None
            kept.append(content[end : marker.start()])
            end = marker.start()
        at = end
    return b"".join([*kept, b"\xff\xd9"]) if content[at : at + 2] == b"\xff\xd9" else None


def _as_jpeg(content: bytes) -> bytes:
    file = io.BytesIO()
    decode_image(content).save(file, "JPEG", quality=QUALITY)
    return file.getvalue()
