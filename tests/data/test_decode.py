"""Whatever the bytes: an upright RGB image, or one sentence."""

import contextlib
import io
import os
import re
import struct
import subprocess
import sys
import threading
import zlib
from concurrent.futures import ThreadPoolExecutor
from unittest import mock

import numpy as np
import pillow_heif
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from PIL import AvifImagePlugin, Image, ImageCms, ImageFile, ImageFilter, ImageOps, WebPImagePlugin

from flowers.data import decode
from flowers.data import decode as module
from flowers.data.decode import decode_image, image_size
from flowers.data.segments import SCAN, jpeg_of, jpeg_segments
from flowers.errors import DecodeError
from tests.data.malformed import encode, malformed_uploads, photo, png, png_chunk, sound_photos
from tests.waiting import wait_until

MALFORMED = dict(malformed_uploads())
EXIF_ORIENTATION = 0x0112
WHITE, BLACK, RED, GREEN, BLUE = (255, 255, 255), (0, 0, 0), (255, 0, 0), (0, 255, 0), (0, 0, 255)

pytestmark = pytest.mark.filterwarnings("ignore::UserWarning:PIL")  # the TIFF plugin's remarks on broken files


def is_close(image: Image.Image, expected: Image.Image, tolerance: float) -> bool:
    """Same size, and on average at most `tolerance` of 255 away."""
    difference = np.asarray(image, float) - np.asarray(expected, float)  # raises where the sizes differ
    return np.abs(difference).mean() <= tolerance


def assert_sentence(message: str, name: str) -> None:
    assert message.startswith(name)
    said = message.removeprefix(name)
    assert len(message) < 250 and message.isprintable()
    assert said.endswith(".") and said.count(".") == 1
    assert not re.search(r"[A-Za-z]Error|Exception|Traceback|errno|plugin|\bPIL\b|None|<|0x", said, re.IGNORECASE)


def solid(colour, mode="RGB", size=(32, 24)) -> Image.Image:
    return Image.new(mode, size, colour)


# ---------------------------------------------------------------- refusals


def test_there_are_over_a_hundred_malformed_uploads_and_no_two_alike():
    uploads = list(malformed_uploads())
    assert len(uploads) > 100
    assert len(dict(uploads)) == len({data for _, data in uploads}) == len(uploads)
    assert uploads == list(malformed_uploads())


@pytest.mark.parametrize("name", MALFORMED)
def test_refuses_with_one_sentence(name):
    with pytest.raises(DecodeError) as refusal:
        decode_image(MALFORMED[name], name=name)
    assert_sentence(str(refusal.value), name)


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("empty.jpg", "empty"),
        ("text.jpg", "a text file"),
        ("utf16.jpg", "a text file"),
        ("page.jpg", "a web page"),
        ("drawing.svg", "an SVG drawing"),
        ("paper.pdf", "a PDF document"),
        ("photos.zip", "a ZIP archive"),
        ("film.mp4", "a video"),
        ("random 300.jpg", "not a photo in a format read here"),
        ("first 65 percent of baseline.jpg", "cut short"),
        ("first 65 percent of truecolour.png", "cut short"),
        ("zeroed middle.png", "damaged"),
        ("196 megapixels in 24 KB.png", "14,000 × 14,000 pixels, 196 megapixels, and the limit is 120"),
        ("268 megapixels.webp", "16,383 × 16,383 pixels, 268 megapixels, and the limit is 60"),
        ("small screen, big frame.gif", "more than 120 megapixels"),
        ("seven pixels.jpg", "only 7 × 700 pixels"),
        ("a thread.png", "a strip of 8 × 100,000 pixels"),
    ],
)
def test_says_what_is_wrong(name, words):
    with pytest.raises(DecodeError, match=re.escape(words)):
        decode_image(MALFORMED[name])


BOMBS = [name for name in MALFORMED if re.search(r"\d (mega|giga)pixels|most pixels|big frame|thousand scans", name)]


@pytest.mark.parametrize("name", BOMBS)
def test_a_bomb_is_refused_from_its_header(name):
    plugins = (ImageFile.ImageFile, WebPImagePlugin.WebPImageFile, AvifImagePlugin.AvifImageFile)
    with (
        mock.patch.object(plugins[0], "load") as load,
        mock.patch.object(plugins[1], "load", load),
        mock.patch.object(plugins[2], "load", load),
        mock.patch.object(pillow_heif.HeifImageFile, "load", load),
        pytest.raises(DecodeError),
    ):
        decode_image(MALFORMED[name])
    load.assert_not_called()


def test_the_bomb_is_as_small_as_people_say():
    assert len(MALFORMED["196 megapixels in 24 KB.png"]) < 25_000


def test_too_many_bytes_as_bytes_and_as_a_file(tmp_path):
    data = sound_photos()["photo.bmp"]
    (tmp_path / "big.bmp").write_bytes(data)
    with mock.patch.object(decode, "MAX_BYTES", len(data)):
        decode_image(data)
        decode_image(tmp_path / "big.bmp")
    with mock.patch.object(decode, "MAX_BYTES", len(data) - 1):
        for source in (data, tmp_path / "big.bmp"):
            with pytest.raises(DecodeError, match="is larger than"):
                decode_image(source)


def test_memory_running_out_is_a_sentence():
    full = mock.patch.object(ImageFile.ImageFile, "load", side_effect=MemoryError)
    with full, pytest.raises(DecodeError, match="needs more memory") as refusal:
        decode_image(sound_photos()["photo.bmp"])
    assert_sentence(str(refusal.value), "This photo")


@settings(max_examples=5 * settings.default.max_examples, suppress_health_check=list(HealthCheck))
@given(data=st.data())
def test_mutated_photos_decode_or_are_refused(data):
    photo_bytes = bytearray(data.draw(st.sampled_from(list(sound_photos().values()))))
    near_the_header = st.integers(0, 200) | st.integers(0, len(photo_bytes) - 1)
    for at, byte in data.draw(st.lists(st.tuples(near_the_header, st.integers(0, 255)), max_size=12)):
        photo_bytes[at] = byte
    cut = data.draw(st.none() | st.integers(0, len(photo_bytes)))
    decodes_or_refuses(bytes(photo_bytes[:cut]))


@settings(max_examples=5 * settings.default.max_examples)
@given(start=st.sampled_from([b"", *(photo[:12] for photo in sound_photos().values())]), rest=st.binary(max_size=200))
def test_random_bytes_decode_or_are_refused(start, rest):
    decodes_or_refuses(start + rest)


def decodes_or_refuses(data: bytes) -> None:
    try:
        with mock.patch.object(decode, "MAX_PIXELS", 10**6):  # a mutated size may be large, honest and slow
            image = decode_image(data)
    except DecodeError as refusal:
        assert_sentence(str(refusal), "This photo")
    else:
        assert image.mode == "RGB" and min(image.size) >= decode.MIN_SIDE


# ---------------------------------------------------------------- files and names


def test_a_path_and_its_bytes_give_the_same_image(tmp_path):
    path = tmp_path / "rose.jpg"
    path.write_bytes(sound_photos()["baseline.jpg"])
    expected = decode_image(path.read_bytes())
    assert decode_image(path) == decode_image(str(path)) == expected


def test_the_name_of_a_file_plays_no_part(tmp_path):
    path = tmp_path / "really a webp.png"
    path.write_bytes(sound_photos()["lossless.webp"])
    assert decode_image(path) == photo()


def test_paths_that_are_no_photo(tmp_path):
    os.mkfifo(tmp_path / "pipe.jpg")
    (tmp_path / "loop.jpg").symlink_to(tmp_path / "loop.jpg")
    (tmp_path / "empty.jpg").touch()
    (tmp_path / "folder").mkdir()
    for path, name, words in [
        (tmp_path / "missing.jpg", "missing.jpg", "cannot be found"),
        (tmp_path / "empty.jpg" / "inside.jpg", "inside.jpg", "cannot be found"),
        ("null\0byte.jpg", "null byte.jpg", "cannot be found"),
        ("", "This photo", "cannot be found"),
        (tmp_path / "folder", "folder", "is a folder"),
        (f"{tmp_path}/folder/", "folder", "is a folder"),
        (tmp_path / "pipe.jpg", "pipe.jpg", "not a regular file"),
        (tmp_path / "loop.jpg", "loop.jpg", "cannot be read from the disk"),
        (tmp_path / "empty.jpg", "empty.jpg", "is empty"),
    ]:
        with pytest.raises(DecodeError, match=words) as refusal:
            decode_image(path)
        assert_sentence(str(refusal.value), name)


def test_a_file_without_read_permission(tmp_path):
    path = tmp_path / "locked.jpg"
    path.write_bytes(sound_photos()["baseline.jpg"])
    denied = PermissionError(13, "Permission denied", str(path))  # raised by hand: root may read anything
    with (
        mock.patch("builtins.open", side_effect=denied),
        pytest.raises(DecodeError, match="may not be read") as refusal,
    ):
        decode_image(path)
    assert_sentence(str(refusal.value), "locked.jpg")


@given(name=st.text(max_size=400))
def test_any_name_makes_one_line(name):
    with pytest.raises(DecodeError) as refusal:
        decode_image(b"", name=name)
    message = str(refusal.value)
    assert len(message) < 250 and message.isprintable()
    assert message.endswith(" is empty: choose the file again, or download it again.")
    message.encode()


def test_a_long_name_keeps_its_extension():
    with pytest.raises(DecodeError, match=r"^a+….*b\.jpg is empty"):
        decode_image(b"", name="a" * 200 + "b.jpg")


# ---------------------------------------------------------------- formats


@pytest.mark.parametrize(
    ("format", "options"),
    [
        ("PNG", {}),
        ("BMP", {}),
        ("TIFF", {}),
        ("TIFF", {"compression": "tiff_lzw"}),
        ("TIFF", {"compression": "tiff_deflate"}),
        ("TIFF", {"big_tiff": True}),
        ("WEBP", {"lossless": True}),
        ("JPEG", {"quality": 100}),
        ("JPEG", {"quality": 100, "progressive": True}),
        ("MPO", {"quality": 100, "save_all": True, "append_images": [photo().rotate(180)]}),
        ("WEBP", {"quality": 100}),
        ("AVIF", {"quality": 95}),
        ("HEIF", {"quality": 95}),
    ],
)
def test_round_trip(format, options):
    smooth = photo().filter(ImageFilter.GaussianBlur(4))
    lossless = format in ("PNG", "BMP", "TIFF") or "lossless" in options
    image = decode_image(encode(smooth, format, **options))
    assert type(image) is Image.Image and image.mode == "RGB"
    assert is_close(image, smooth, tolerance=0 if lossless else 4)


@pytest.mark.parametrize("filename", sound_photos())
def test_every_sound_photo_decodes(filename):
    assert decode_image(sound_photos()[filename]).size == photo().size


@pytest.mark.parametrize("filename", sound_photos())
def test_the_size_is_known_from_the_header(filename, tmp_path):
    (tmp_path / filename).write_bytes(sound_photos()[filename])
    assert sorted(image_size(tmp_path / filename)) == sorted(photo().size)


@pytest.mark.parametrize("content", [b"", b"no photo", b"\xff\xd8\xff"])
def test_what_has_no_size_is_refused_with_one_sentence(content, tmp_path):
    (tmp_path / "x.jpg").write_bytes(content)
    with pytest.raises(DecodeError) as caught:
        image_size(tmp_path / "x.jpg")
    assert_sentence(str(caught.value), "x.jpg")


@pytest.mark.parametrize("format", ["GIF", "PNG", "WEBP", "AVIF", "TIFF", "HEIF"])
def test_first_frame_of_an_animation(format):
    if format == "HEIF":
        frames = pillow_heif.from_pillow(solid(RED))
        frames.add_from_pillow(solid(BLUE))
        file = io.BytesIO()
        frames.save(file)
        data = file.getvalue()
    else:
        data = encode(solid(RED), format, save_all=True, append_images=[solid(BLUE), solid(GREEN)])
    assert is_close(decode_image(data), solid(RED), tolerance=3)


def test_the_plain_jpeg_is_never_copied():
    with mock.patch.object(Image.Image, "copy") as copy, mock.patch.object(Image.Image, "convert") as convert:
        decode_image(sound_photos()["baseline.jpg"])
    copy.assert_not_called()
    convert.assert_not_called()


def test_pillow_is_left_as_it_was():
    before = (Image.MAX_IMAGE_PIXELS, ImageFile.LOAD_TRUNCATED_IMAGES, dict(Image.OPEN), list(Image.ID))
    for data in sound_photos().values():
        decode_image(data)
    assert before == (Image.MAX_IMAGE_PIXELS, ImageFile.LOAD_TRUNCATED_IMAGES, dict(Image.OPEN), list(Image.ID))


def test_only_a_heic_needs_pillow_heif():
    with mock.patch.dict(sys.modules, {"pillow_heif": None}):
        decode_image(sound_photos()["photo.avif"])
        with pytest.raises(DecodeError, match="needs the pillow-heif package") as refusal:
            decode_image(sound_photos()["photo.heic"])
    assert_sentence(str(refusal.value), "This photo")


def test_importing_it_is_cheap():
    heavy = "{'torch', 'gradio', 'pillow_heif'}"
    code = f"import sys, flowers.data.decode; sys.exit(str({heavy} & set(sys.modules) or ''))"
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, text=True).stderr.strip() == ""


def test_threads_do_not_disturb_one_another():
    sources = [*sound_photos().values(), rgb_with_profile(swapped_profile()), *list(MALFORMED.values())[-20:]] * 8

    def outcome(data):
        try:
            return decode_image(data).tobytes()
        except DecodeError as refusal:
            return str(refusal)

    alone = [outcome(data) for data in sources]
    with ThreadPoolExecutor(8) as pool:
        assert list(pool.map(outcome, sources)) == alone


# ---------------------------------------------------------------- reduced scale


@given(width=st.integers(40, 900), height=st.integers(40, 900), min_side=st.integers(1, 1000))
def test_a_jpeg_shrinks_as_far_as_min_side_allows(width, height, min_side):
    small = decode_image(encode(solid(RED, size=(width, height)), "JPEG"), min_side=min_side)
    scale = max(s for s in (1, 2, 4, 8) if s == 1 or min(width, height) // s >= min_side)
    assert small.size == (-(-width // scale), -(-height // scale))
    assert min(small.size) >= min(min_side, width, height)


def test_a_shrunk_jpeg_is_the_same_picture():
    full = photo(1600, 1200).reduce(8).resize((1600, 1200))
    small = decode_image(encode(full, "JPEG", quality=95), min_side=224)
    assert small.size == (400, 300)
    assert is_close(small, full.resize(small.size, Image.Resampling.BOX), tolerance=3)


def jpeg_part(marker: int, content: bytes) -> bytes:
    return bytes((0xFF, marker)) + (len(content) + 2).to_bytes(2, "big") + content


BROKEN_PARTS = {
    "EXIF": (0xE1, b"Exif\0\0" + b"\xff" * 500),
    "EXIF that points outside": (0xE1, b"Exif\0\0MM\0*\xff\xff\xff\xff"),
    "XMP": (0xE1, b"http://ns.adobe.com/xap/1.0/\0<x:xmpmeta"),
    "profile": (0xE2, b"ICC_PROFILE\0\1\1" + b"abc" * 100),
    "profile of nothing": (0xE2, b"ICC_PROFILE\0"),
    "more pictures": (0xE2, b"MPF\0" + b"\xff" * 80),
    "Photoshop's": (0xED, b"Photoshop 3.0\x008BIM\x04\x04\0\0\xff\xff\xff\xff"),
    "Adobe's": (0xEE, b"Adobe\0"),
    "JFIF": (0xE0, b"JFIF\0"),
    "comment": (0xFE, b"\xe9\xff"),
}


@pytest.mark.parametrize("kind", BROKEN_PARTS)
def test_a_sound_jpeg_is_read_whatever_its_metadata(kind, tmp_path):
    sound = encode(solid(RED, size=(96, 64)), "JPEG", exif=exif(6))
    broken = sound[:2] + jpeg_part(*BROKEN_PARTS[kind]) + sound[2:]
    image = decode_image(broken)
    assert sorted(image.size) == [64, 96] and is_close(image, solid(RED, size=image.size), tolerance=3)
    if "EXIF" not in kind:
        assert image.size == (64, 96), "it still stands upright"
    (tmp_path / "photo.jpg").write_bytes(broken)
    assert image_size(tmp_path / "photo.jpg") == (96, 64)


@pytest.mark.parametrize(
    ("kind", "content", "checksum"),
    [
        (b"tEXt", b"a\0b", b"\0\0\0\0"), (b"iTXt", b"\xff" * 30, None), (b"iCCP", b"x\0\7" + zlib.compress(b"a"), None),
        (b"pHYs", b"ab", None), (b"gAMA", b"a", None), (b"cHRM", b"abc", None), (b"sRGB", b"", None),
        (b"eXIf", b"\xff" * 20, None), (b"acTL", b"ab", None), (b"fcTL", b"abc", None), (b"tRNS", b"a", None),
        (b"zTXt", b"a\0\0" + zlib.compress(bytes(9_000_000)), None), (b"prVt", b"abc", None),
    ],
)  # fmt: skip
def test_a_sound_png_is_read_whatever_its_metadata(kind, content, checksum):
    sound = encode(solid(RED), "PNG")
    checksum = checksum or zlib.crc32(kind + content).to_bytes(4, "big")
    chunk = len(content).to_bytes(4, "big") + kind + content + checksum
    assert decode_image(sound[:33] + chunk + sound[33:]).tobytes() == solid(RED).tobytes()


def test_the_limit_counts_what_is_decoded(monkeypatch):
    """A telephone's 200 megapixels are no more work than 3, where no more are wanted."""
    monkeypatch.setattr(module, "MAX_PIXELS", 20_000)
    large = encode(photo(1600, 1200).reduce(2), "JPEG")
    assert decode_image(large, min_side=64).size == (100, 75)
    for refused, min_side in ((large, None), (encode(photo(1600, 1200).reduce(2), "JPEG", progressive=True), 64)):
        with pytest.raises(DecodeError, match=r"800 × 600 pixels, .* and the limit is 0"):
            decode_image(refused, min_side=min_side)
    monkeypatch.setattr("flowers.data.decode.scan_count", lambda data: 2)
    with pytest.raises(DecodeError, match="800 × 600 pixels"):
        decode_image(large, min_side=64)
    monkeypatch.undo()
    monkeypatch.setattr(module, "MAX_PIXELS", 20_000)
    monkeypatch.setattr(module, "MAX_STORED", 400_000)
    with pytest.raises(DecodeError, match="800 × 600 pixels"):
        decode_image(large, min_side=64)


def test_min_side_counts_after_turning():
    image = decode_image(encode(solid(RED, size=(900, 600)), "JPEG", exif=exif(6)), min_side=224)
    assert image.size == (300, 450)


@pytest.mark.parametrize("filename", ["truecolour.png", "lossless.webp", "photo.avif", "photo.heic", "raw.tif"])
def test_min_side_leaves_other_formats_whole(filename):
    assert decode_image(sound_photos()[filename], min_side=8).size == photo().size


# ---------------------------------------------------------------- upright


def exif(orientation: int) -> bytes:
    block = Image.Exif()
    block[EXIF_ORIENTATION] = orientation
    return block.tobytes()


@pytest.fixture(scope="module")
def quadrants() -> Image.Image:
    """No two of its eight orientations look alike."""
    image = solid(WHITE, size=(96, 64))
    for colour, corner in ((RED, (0, 0)), (GREEN, (48, 0)), (BLUE, (0, 32))):
        image.paste(colour, (*corner, corner[0] + 48, corner[1] + 32))
    return image


STORED = {  # EXIF orientation -> how an upright picture lies in the file (the reverse of what puts it upright)
    1: lambda image: image,
    2: ImageOps.mirror,
    3: lambda image: image.rotate(180),
    4: ImageOps.flip,
    5: lambda image: ImageOps.flip(image.rotate(90, expand=True)),
    6: lambda image: image.rotate(90, expand=True),
    7: lambda image: ImageOps.mirror(image.rotate(90, expand=True)),
    8: lambda image: image.rotate(-90, expand=True),
}


@pytest.mark.parametrize("orientation", STORED)
@pytest.mark.parametrize("format", ["JPEG", "PNG", "WEBP", "TIFF", "AVIF", "HEIF"])
def test_every_orientation_comes_upright(format, orientation, quadrants):
    stored = STORED[orientation](quadrants)
    image = decode_image(encode(stored, format, quality=95, exif=exif(orientation)))
    assert image.size == quadrants.size
    assert is_close(image, quadrants, tolerance=6)


@pytest.mark.parametrize("orientation", [0, 9, 65535])
def test_nonsense_orientations_are_ignored(orientation, quadrants):
    assert is_close(decode_image(encode(quadrants, "JPEG", exif=exif(orientation))), quadrants, tolerance=6)


@pytest.mark.parametrize("block", [b"Exif\0\0", b"Exif\0\0MM\0*\xff\xff\xff\xff", b"Exif\0\0rubbish" * 9, exif(6)[:-9]])
@pytest.mark.parametrize("format", ["JPEG", "PNG", "WEBP"])
def test_broken_exif_costs_only_the_rotation(format, block, quadrants):
    assert is_close(decode_image(encode(quadrants, format, exif=block)), quadrants, tolerance=6)


def test_nothing_is_left_to_apply_twice(quadrants):
    image = decode_image(encode(quadrants, "JPEG", exif=exif(6), icc_profile=swapped_profile()))
    assert image.info == {} and not image.getexif()
    assert ImageOps.exif_transpose(image) == image


# ---------------------------------------------------------------- transparency


def half_transparent(mode: str) -> Image.Image:
    """Left red (or grey) and opaque, right transparent over hidden black."""
    image = Image.new("RGBA", (64, 32), (0, 0, 0, 0))
    image.paste((255, 0, 0, 255), (0, 0, 32, 32))
    return image.convert(mode)


@pytest.mark.parametrize(
    ("format", "mode"),
    [
        ("PNG", "RGBA"),
        ("PNG", "LA"),
        ("PNG", "P"),
        ("GIF", "RGBA"),
        ("TIFF", "RGBA"),
        ("TIFF", "LA"),
        ("WEBP", "RGBA"),
        ("AVIF", "RGBA"),
        ("HEIF", "RGBA"),
    ],
)
def test_transparent_becomes_white(format, mode):
    image = decode_image(encode(half_transparent(mode), format))
    assert is_close(image.crop((36, 0, 64, 32)), solid(WHITE, size=(28, 32)), tolerance=2)
    red = half_transparent("LA").convert("RGB").getpixel((8, 8)) if mode == "LA" else RED
    assert is_close(image.crop((0, 0, 28, 32)), solid(red, size=(28, 32)), tolerance=3)


def test_half_transparent_is_blended():
    assert decode_image(encode(solid((0, 0, 0, 51), "RGBA"), "PNG")).getpixel((0, 0)) == (204, 204, 204)


@pytest.mark.parametrize(
    ("colour_type", "pixels", "key"),
    [
        (0, [b"\x07", b"\x50"], b"\0\x07"),  # grey
        (2, [b"\1\2\3", b"\x50\x50\x50"], b"\0\1\0\2\0\3"),  # RGB
        (3, [b"\0", b"\1"], b"\0"),  # palette: the alpha of its first entry
    ],
)
def test_png_colour_keys_become_white(colour_type, pixels, key):
    rows = zlib.compress((b"\0" + pixels[0] * 8 + pixels[1] * 8) * 16)
    palette = png_chunk(b"PLTE", b"\0\0\0\x50\x50\x50") if colour_type == 3 else b""
    image = decode_image(png((16, 16, 8, colour_type), rows, before=palette + png_chunk(b"tRNS", key)))
    assert image.getpixel((0, 0)) == WHITE
    assert image.getpixel((15, 0)) == (80, 80, 80)


# ---------------------------------------------------------------- depth and colour

RAMP = np.linspace(0, 1, 256)[None].repeat(16, axis=0)  # (16, 256), black to white


@pytest.mark.parametrize(
    ("format", "values"),
    [
        ("PNG", (RAMP * 65535).round().astype("uint16")),
        ("TIFF", (RAMP * 65535).round().astype("<u2")),
        ("TIFF", (RAMP * 65535).round().astype("int32")),
        ("TIFF", (RAMP * 255).round().astype("int32")),
        ("TIFF", (RAMP * 2**30).round().astype("int32")),
        ("TIFF", RAMP.astype("float32")),
        ("TIFF", (RAMP * 255).astype("float32")),
        ("TIFF", (RAMP * 12_345).astype("float32") * 10),
    ],
)
def test_deep_grey_keeps_its_range(format, values):
    image = decode_image(encode(Image.fromarray(values), format))
    expected = np.rint(RAMP * 255)[..., None].repeat(3, axis=-1)
    assert np.abs(np.asarray(image) - expected).max() <= 1


def test_a_dark_16_bit_photo_stays_dark():
    values = np.full((16, 16), 200, "uint16")
    assert decode_image(encode(Image.fromarray(values), "PNG")).getpixel((0, 0)) == (1, 1, 1)


def test_big_endian_16_bit_tiff():
    tags = [(256, 256), (257, 16), (258, 16), (259, 1), (262, 1), (273, 200), (277, 1), (278, 16), (279, 8192)]
    directory = b"".join(struct.pack(">HHII", tag, 4, 1, value) for tag, value in tags)
    header = b"MM\0*" + struct.pack(">IH", 8, len(tags)) + directory + bytes(4)
    image = decode_image(header.ljust(200, b"\0") + (RAMP * 65535).round().astype(">u2").tobytes())
    assert np.abs(np.asarray(image)[0, :, 0] - np.arange(256.0)).max() <= 1


def test_floats_that_are_no_numbers():
    values = RAMP.astype("float32").copy()
    values[0, :3] = np.nan, np.inf, -np.inf
    image = np.asarray(decode_image(encode(Image.fromarray(values), "TIFF")))
    assert image[0, :3].max() == 0 and image[1, 255].min() == 255


def test_16_bit_rgb_png():
    rows = b"".join(b"\0" + struct.pack(">HHH", 60000, 30000, 100) * 16 for _ in range(16))
    image = decode_image(png((16, 16, 16, 2), zlib.compress(rows)))
    assert is_close(image, solid((234, 117, 0), size=(16, 16)), tolerance=1)


@pytest.mark.parametrize("format", ["JPEG", "TIFF"])
@pytest.mark.parametrize(
    ("cmyk", "rgb"),
    [((0, 255, 255, 0), RED), ((255, 0, 255, 0), GREEN), ((0, 0, 0, 0), WHITE), ((0, 0, 0, 255), BLACK)],
)
def test_cmyk(format, cmyk, rgb):
    """Pillow, as Photoshop, writes CMYK JPEGs inverted, with an Adobe marker."""
    assert is_close(decode_image(encode(solid(cmyk, "CMYK"), format)), solid(rgb), tolerance=2)


def test_ycck_jpeg():
    """The Adobe marker's last byte turned from CMYK to YCCK: what was stored as CMY 200, 128, 128 is now YCbCr, grey.

    Grey 200 is CMY 55 to libjpeg, which Adobe's inversion makes 200: ink that leaves 55 of the light.
    """
    data = encode(solid((55, 127, 127, 0), "CMYK"), "JPEG", quality=100)
    transform = data.index(b"Adobe") + 11
    image = decode_image(data[:transform] + b"\2" + data[transform + 1 :])
    assert is_close(image, solid((55, 55, 55)), tolerance=2)


@pytest.mark.parametrize(
    ("format", "mode"),
    [("PNG", "1"), ("PNG", "L"), ("PNG", "P"), ("GIF", "P"), ("JPEG", "L"), ("TIFF", "LAB"), ("JPEG", "YCbCr")],
)
def test_other_modes_keep_their_colour(format, mode):
    colour = (180, 180, 180) if mode == "L" else WHITE if mode == "1" else (200, 80, 40)
    image = solid(colour)
    if mode == "LAB":
        image = ImageCms.profileToProfile(
            image, ImageCms.createProfile("sRGB"), ImageCms.createProfile("LAB"), outputMode="LAB"
        )
    elif mode == "P":
        image = image.quantize(8)
    else:
        image = image.convert(mode)
    assert is_close(decode_image(encode(image, format)), solid(colour), tolerance=3)


def swapped_profile() -> bytes:
    """sRGB with red and green changed over, under another name: "red" in it means green."""
    profile = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()
    swap = {b"rXYZ": b"gXYZ", b"gXYZ": b"rXYZ"}
    profile = re.sub(rb"[rg]XYZ", lambda tag: swap[tag[0]], profile)
    return profile.replace("sRGB".encode("utf-16-be"), "sGRB".encode("utf-16-be"))


def rgb_with_profile(profile: bytes, format="PNG", image=None) -> bytes:
    return encode(image or solid(RED), format, icc_profile=profile)


@pytest.mark.parametrize("format", ["PNG", "JPEG", "WEBP", "AVIF", "HEIF", "TIFF"])
def test_the_embedded_profile_is_applied(format):
    assert is_close(decode_image(rgb_with_profile(swapped_profile(), format)), solid(GREEN), tolerance=3)


def test_the_embedded_profile_is_applied_under_transparency_and_to_palettes():
    for image in (solid((*RED, 255), "RGBA"), solid(RED).quantize(4)):
        assert is_close(decode_image(rgb_with_profile(swapped_profile(), image=image)), solid(GREEN), tolerance=3)


@pytest.mark.parametrize("profile", [b"", b"rubbish", b"\0" * 500, swapped_profile()[:300]])
def test_broken_profiles_are_ignored(profile):
    assert decode_image(rgb_with_profile(profile)) == solid(RED)


def test_a_profile_of_other_channels_is_ignored():
    assert is_close(
        decode_image(rgb_with_profile(swapped_profile(), "JPEG", solid((0, 255, 255, 0), "CMYK"))),
        solid(RED),
        tolerance=2,
    )


def test_what_is_decoded_at_once_has_a_limit_and_everybody_gets_on(monkeypatch):
    """Eight large photos are decoded by turns, a small one beside them."""
    large, small = encode(solid(RED).resize((300, 200)), "PNG"), encode(solid(RED).resize((20, 20)), "PNG")
    budget = module._Budget(100_000)
    monkeypatch.setattr(module, "_SMALL", budget)
    had, upright = [], module._upright
    monkeypatch.setattr(module, "_upright", lambda image: had.append(budget.now) or upright(image))
    with ThreadPoolExecutor(9) as pool:
        decoded = [pool.submit(decode_image, content) for content in [large] * 4 + [small] + [large] * 4]
        assert {one.result().size for one in decoded} == {(300, 200), (20, 20)}
    assert max(had) <= 100_000 and budget.now == 0


def test_a_photo_of_a_camera_does_not_wait_behind_the_largest(monkeypatch):
    monkeypatch.setattr(module, "MAX_SMALL", 20 * 20)
    small, large = (encode(solid(RED).resize(size), "PNG") for size in ((20, 20), (30, 20)))
    with ThreadPoolExecutor(1) as pool, contextlib.ExitStack() as others:
        others.enter_context(module._LARGE.spent(module._LARGE.most))
        waiting = pool.submit(decode_image, large)
        wait_until(lambda: module._LARGE.line)
        assert decode_image(small).size == (20, 20)
        assert not waiting.done()
        others.close()
        assert waiting.result().size == (30, 20)


@pytest.mark.parametrize(("format", "is_read"), [("WEBP", False), ("AVIF", False), ("PNG", True), ("HEIF", True)])
def test_what_lets_nobody_else_work_is_smaller(monkeypatch, format, is_read):
    monkeypatch.setattr(module, "MAX_PIXELS_ALONE", 60 * 40 - 1)
    with contextlib.nullcontext() if is_read else pytest.raises(DecodeError, match="make it smaller"):
        assert decode_image(encode(photo(60, 40), format)).size == (60, 40)


def test_who_needs_more_than_there_is_has_it_alone():
    budget = module._Budget(10)
    with budget.spent(50):
        assert budget.now == 50
    assert budget.now == 0


def test_layers_count_by_their_pixels_and_not_what_lies_behind_the_picture():
    """A film behind a photo holds what looks like layers; a small photo may have as many as it likes."""
    large = encode(Image.new("L", (4000, 3000)), "JPEG")
    assert decode_image(large + b"\xff\xda" * 2000, min_side=64).size == (500, 375)
    progressive = encode(Image.new("L", (40, 30)), "JPEG", progressive=True)
    scan = progressive[progressive.rindex(b"\xff\xda") : -2]
    assert decode_image(progressive[:-2] + scan * 1000 + progressive[-2:]).size == (40, 30)
    with pytest.raises(DecodeError, match="is a JPEG built of too many layers: save it again"):
        decode_image(MALFORMED["a thousand scans.jpg"])


def test_a_jpeg_in_layers_counts_as_large_as_it_is_stored(monkeypatch):
    spent = []
    monkeypatch.setattr(module._SMALL, "spent", lambda amount: spent.append(amount) or contextlib.nullcontext())
    plain = encode(photo(1600, 1200), "JPEG")
    segments = [
        (kind, part[:4] + b"\1" + part[5:]) if kind == SCAN else (kind, part) for kind, part in jpeg_segments(plain)
    ]
    apart = jpeg_of([*segments, segments[-1]])  # a scan for each colour, or for one of them twice
    for content in (plain, encode(photo(1600, 1200), "JPEG", progressive=True), apart):
        with contextlib.suppress(DecodeError):
            decode_image(content, min_side=100)
    assert spent[:2] == [200 * 150, 1600 * 1200] and spent[2] == 1600 * 1200


def test_a_large_photo_does_not_wait_for_ever_behind_small_ones():
    budget = module._Budget(10)
    order, small = [], contextlib.ExitStack()
    small.enter_context(budget.spent(6))

    def spend(amount: int) -> None:
        with budget.spent(amount):
            order.append(amount)

    threads = [threading.Thread(target=spend, args=[amount]) for amount in (9, 2, 3)]
    for number, thread in enumerate(threads, 1):
        thread.start()
        wait_until(lambda number=number: len(budget.line) == number)
    assert order == [], "two small ones would fit beside, and come later"
    small.close()
    for thread in threads:
        thread.join()
    assert order[0] == 9 and budget.now == 0
