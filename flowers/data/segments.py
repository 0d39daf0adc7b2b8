"""The parts that a photo file is made of: what the picture needs, and what only tells of it."""

import re
import zlib
from collections.abc import Iterable, Iterator

Segment = tuple[int, bytes]  # a JPEG's: its marker, and its bytes from the marker on
Chunk = tuple[bytes, bytes]  # a PNG's: its kind, and all its bytes

EXIF, COMMENT, SCAN, END = 0xE1, 0xFE, 0xDA, 0xD9
ADOBE = b"\xff\xee\x00\x0eAdobe"  # which says how colours are coded
MAX_CHUNKS = 100_000  # of a PNG: 50 MB in pieces of half a kilobyte
SEEN = frozenset(b"tRNS gAMA cHRM sRGB iCCP cICP mDCV cLLI sBIT bKGD pHYs hIST sPLT acTL fcTL fdAT".split())
JPEG, PNG = b"\xff\xd8", b"\x89PNG\r\n\x1a\n"
_FILLING = re.compile(rb"\xff+")
_MARKER = re.compile(rb"\xff[^\x00\xd0-\xd7\xff]")  # what ends the coded pixels of a JPEG


def jpeg_segments(content: bytes) -> list[Segment] | None:
    """A JPEG's segments between its beginning and its end; coded pixels stand with the segment that announces them.

    None where they are not laid out as they should be. What stands behind the end is another picture, or a film.
    """
    segments, at = [], 2
    while at + 4 <= len(content):
        if content[at] != 0xFF:
            return None
        kind = content[at + 1]
        if kind == 0xFF:
            at = _FILLING.match(content, at).end() - 1
            continue
        if kind == END:
            return segments
        end = at + 2 + int.from_bytes(content[at + 2 : at + 4], "big")
        if kind == SCAN:  # the coded pixels go on until the next marker
            marker = _MARKER.search(content, end)
            if marker is None:
                return None
            end = marker.start()
        segments.append((kind, content[at:end]))
        at = end
    return segments if content[at : at + 2] == bytes((0xFF, END)) else None


def scan_count(content: bytes) -> int:
    """In how many layers a JPEG comes; more than one where its decoder must keep all of it while they are laid over
    each other, and at worst what it may have, where its segments are not laid out as they should be."""
    segments = jpeg_segments(content)
    if segments is None:
        return max(2, content.count(bytes((0xFF, SCAN))))
    scans = [part for kind, part in segments if kind == SCAN]
    frame = next((part for kind, part in segments if kind in (0xC0, 0xC1)), b"")
    # One scan of all components, in a frame that is not progressive: byte 4 of a scan, byte 9 of a frame count them.
    alone = len(scans) == 1 and len(frame) > 9 and len(scans[0]) > 4 and scans[0][4] == frame[9]
    return 1 if alone else max(2, len(scans))


def jpeg_of(segments: list[Segment]) -> bytes:
    """The JPEG of these segments."""
    return JPEG + b"".join(part for _, part in segments) + bytes((0xFF, END))


def tells(segment: Segment) -> bool:
    """Whether a JPEG's segment only tells of the picture, which looks the same without it (but for its colours' shade,
    if it holds their profile, and its orientation)."""
    kind, part = segment
    return kind == COMMENT or (0xE0 <= kind <= 0xEF and not part.startswith(ADOBE))


def bared(content: bytes) -> Iterator[bytes]:
    """A JPEG or PNG without what only tells of the picture, which may be broken: first with its EXIF, then without.

    Nothing for other formats, and where the parts are not laid out as they should be.
    """
    if content.startswith(JPEG) and (segments := jpeg_segments(content)) is not None:
        yield jpeg_of([segment for segment in segments if segment[0] == EXIF or not tells(segment)])
        yield jpeg_of([segment for segment in segments if not tells(segment)])
    elif content.startswith(PNG):
        chunks = list(png_chunks(content))
        yield png_of(chunk for chunk in chunks if _is_critical(chunk) or chunk[0] in (b"tRNS", b"eXIf"))
        yield png_of(chunk for chunk in chunks if _is_critical(chunk))


def png_chunks(content: bytes) -> Iterator[Chunk]:
    """A PNG's chunks to its end, or as far as they go; the last may be cut."""
    at = len(PNG)
    for _ in range(MAX_CHUNKS):
        if at + 8 > len(content):
            return
        end = at + 12 + int.from_bytes(content[at : at + 4], "big")
        kind = content[at + 4 : at + 8]
        yield kind, content[at:end]
        if kind == b"IEND":
            return
        at = end


def png_of(chunks: Iterable[Chunk]) -> bytes:
    """The PNG of these chunks."""
    return PNG + b"".join(part for _, part in chunks)


def png_chunk(kind: bytes, data: bytes) -> Chunk:
    """A chunk that holds ``data``. PNG, third edition, 5.3."""
    return kind, len(data).to_bytes(4, "big") + kind + data + zlib.crc32(kind + data).to_bytes(4, "big")


def is_seen(chunk: Chunk) -> bool:
    """Whether a PNG looks otherwise without this chunk, or moves no more, or has another size on paper."""
    return _is_critical(chunk) or chunk[0] in SEEN


def _is_critical(chunk: Chunk) -> bool:
    return chunk[0][:1].isupper()  # PNG, third edition, 5.4
