"""What a photo file is made of. That it still looks the same is proved in test_decode.py and test_metadata.py."""

import io

import pytest
from PIL import Image

from flowers.data.segments import JPEG, PNG, SCAN, bared, jpeg_of, jpeg_segments, scan_count, tells


def jpeg(**options) -> bytes:
    file = io.BytesIO()
    Image.effect_noise((80, 60), 80).save(file, "JPEG", **options)
    return file.getvalue()


@pytest.mark.parametrize("options", [{}, {"progressive": True}, {"comment": b"hello"}, {"restart_marker_rows": 1}])
def test_a_jpeg_is_all_of_its_segments(options):
    content = jpeg(**options)
    assert jpeg_of(jpeg_segments(content)) == content
    assert jpeg_of(jpeg_segments(content + b"a film")) == content


def test_coded_pixels_stand_with_their_scan():
    scans = [part for kind, part in jpeg_segments(jpeg(progressive=True)) if kind == SCAN]
    assert len(scans) > 3 and all(len(part) > 12 for part in scans)


def test_a_jpeg_in_layers_is_decoded_whole():
    """Also one that is not progressive, but has a scan for each colour."""
    assert scan_count(jpeg()) == 1 and scan_count(jpeg(progressive=True)) > 3 and scan_count(jpeg()[:300]) > 1
    file = io.BytesIO()
    Image.effect_noise((80, 60), 80).convert("RGB").save(file, "JPEG")
    segments = jpeg_segments(file.getvalue())
    assert scan_count(file.getvalue()) == 1
    apart = [(kind, part[:4] + b"\1" + part[5:]) if kind == SCAN else (kind, part) for kind, part in segments]
    assert scan_count(jpeg_of(apart)) == 2 and scan_count(jpeg_of([*segments, segments[-1]])) == 2


def test_filling_takes_no_time():
    content = jpeg()
    assert jpeg_of(jpeg_segments(content[:2] + b"\xff" * 5_000_000 + content[2:])) == content


@pytest.mark.parametrize("cut", [2, 3, 20, 300, -2, -1])
def test_what_is_cut_has_no_segments(cut):
    assert jpeg_segments(jpeg()[:cut]) is None
    assert list(bared(jpeg()[:cut])) == []


def test_what_only_tells_of_the_picture():
    content = jpeg(comment=b"hello", exif=Image.Exif().tobytes() or b"Exif\0\0")
    told = {kind for kind, part in jpeg_segments(content) if tells((kind, part))}
    assert told <= {0xE0, 0xE1, 0xFE} and 0xFE in told


def test_a_png_keeps_what_it_needs():
    file = io.BytesIO()
    info = Image.new("P", (9, 9))
    info.save(file, "PNG", transparency=0, dpi=(72, 72))
    with_exif, without = bared(file.getvalue())
    assert b"pHYs" not in with_exif and b"tRNS" in with_exif and b"tRNS" not in without and b"PLTE" in without
    assert with_exif.startswith(PNG) and Image.open(io.BytesIO(without)).size == (9, 9)


@pytest.mark.parametrize("content", [b"", b"GIF89a", JPEG, PNG])
def test_other_files_have_nothing_to_be_taken_away(content):
    assert all(bare in (content, b"\xff\xd8\xff\xd9") for bare in bared(content))
