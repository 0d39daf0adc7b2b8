"""From untrusted bytes to an upright RGB image, or to one sentence that a person understands.

Every upload and every file of a photo set comes through `decode_image`. The format is decided by the first bytes,
never by the file's name, and only the photo formats listed in `_PHOTOS` reach a decoder: Pillow's other plugins (one
of which starts Ghostscript) never see these bytes. Pillow's global settings and registries are not touched.
"""

import codecs
import collections
import contextlib
import functools
import io
import math
import os
import re
import stat
import struct
import threading
from collections.abc import Callable, Iterator
from functools import lru_cache
from typing import Any, BinaryIO

import numpy as np
from PIL import (
    AvifImagePlugin,
    BmpImagePlugin,
    ExifTags,
    GifImagePlugin,
    Image,
    ImageChops,
    ImageCms,
    JpegImagePlugin,
    PngImagePlugin,
    TiffImagePlugin,
    WebPImagePlugin,
)

from flowers.data.segments import bared, scan_count
from flowers.errors import DecodeError

MAX_BYTES = 50_000_000  # a 108-megapixel phone JPEG is about 30 MB; the file is held in memory whole while it decodes
# Decoded; admits 108-megapixel phones whole.
MAX_PIXELS = 120_000_000
# Of WebP and AVIF, whose decoders let no other thread of Python's work meanwhile: half a second, all the same.
MAX_PIXELS_ALONE = 60_000_000
MAX_STORED = 1_000_000_000  # of a JPEG that is decoded at an eighth of its size: a second
MIN_SIDE = 8  # pixels; below this there is no flower to see
MAX_ASPECT = 50  # long side / short side; resizing the short side to 224 px must not make the long one enormous
# Of a progressive JPEG, its scans times its pixels. There are normally 10 scans; each takes 0.06 s per 100 megapixels,
# and may be 140 bytes long. So no photo is decoded for longer than five seconds.
MAX_SCANNED = 5_000_000_000
# Decoded in this process at once. A photo waits until there is room for it: four of the largest took 7.5 GB. What most
# cameras take has room of its own, or it would wait for seconds behind somebody's largest.
MAX_AT_ONCE = 120_000_000
MAX_SMALL, SMALL_AT_ONCE = 15_000_000, 40_000_000
MAX_PROFILE_BYTES = 4_000_000  # of colour profile: a printer's takes 0.5 to 2 MB, a camera's 3 KB; 16 are remembered


def decode_image(
    source: bytes | str | os.PathLike, *, min_side: int | None = None, name: str | None = None
) -> Image.Image:
    """Decode one photo: mode "RGB", 8 bits a channel, upright, in sRGB, on white where it was transparent.

    Of an animation, the first frame. The image carries no metadata, so nothing can be applied to it twice.

    Args:
        source: the file's bytes, or the path of a file.
        min_side: in pixels. A JPEG may come at 1/2, 1/4 or 1/8 of its size as long as its short side stays at least
            this long, which is many times faster for a large photo. None: full size. Other formats: always full size.
        name: what messages call the photo. Default: the file's name, or "This photo".

    Raises:
        DecodeError: whatever is wrong, from a missing file to a bomb of pixels; the message is one sentence.

    Safe to call from several threads.
    """
    with _refusing(_display_name(source, name)):
        data = _read(source)
        return _whatever_its_metadata(data, lambda data: _decode(data, min_side))


def image_size(path: str | os.PathLike) -> tuple[int, int]:
    """(width, height) in pixels of a photo file as it is stored, from its first bytes. Raises DecodeError."""
    with _refusing(_display_name(path, None)):
        with contextlib.suppress(Exception), open(path, "rb") as file:
            return open_header(file).size
        return _whatever_its_metadata(_read(path), lambda data: open_header(io.BytesIO(data)).size)


def is_drawn_by_browsers(path: str | os.PathLike) -> bool:
    """Whether browsers draw the photo file as well, by its first bytes. Raises OSError where it cannot be read."""
    with open(path, "rb") as file:
        plugin = _plugin(file.read(64))
    return plugin not in (None, _open_heif, TiffImagePlugin.TiffImageFile)


class _Refusal(Exception):
    """Why not, as said after the photo's name and without the full stop: "is empty: choose another file"."""


@contextlib.contextmanager
def _refusing(name: str) -> Iterator[None]:
    """Turn whatever goes wrong with the photo of that name into one sentence."""
    try:
        yield
    except _Refusal as refusal:
        raise DecodeError(f"{name} {refusal}.") from None
    except MemoryError as error:
        raise DecodeError(f"{name} needs more memory than is free here: make it smaller and try again.") from error
    except Exception as error:  # decoders raise nearly anything on hostile bytes: OSError, SyntaxError, struct.error...
        raise DecodeError(f"{name} {_diagnose(error)}.") from error


def _whatever_its_metadata(data: bytes, read: Callable[[bytes], Any]) -> Any:
    """``read(data)``; where that fails, of the photo without metadata, which decoders stumble over."""
    try:
        return read(data)
    except (_Refusal, MemoryError):
        raise
    except Exception:
        for bare in bared(data):
            with contextlib.suppress(Exception):
                return read(bare)
        raise


def _decode(data: bytes, min_side: int | None) -> Image.Image:
    image = open_header(io.BytesIO(data))
    _check_shape(*image.size)
    stored, sizes, scans = image.size, _coded_sizes(data), 1
    most = MAX_PIXELS_ALONE if image.format in ("WEBP", "AVIF") else MAX_PIXELS
    if isinstance(image, JpegImagePlugin.JpegImageFile):
        scans = _check_layers(data, math.prod(stored))
        if min_side:
            image.draft("RGB", (min_side, min_side))
    # A JPEG may come smaller for nothing, unless it comes in layers, which are kept at the stored size all the same.
    if math.prod(stored) > most:
        is_small = image.size != stored and scans == 1
        _check_pixels(*stored, MAX_STORED if is_small else most)
    sizes.append(stored if "progressive" in image.info or scans > 1 else image.size)
    for size in sizes:
        _check_pixels(*size, most)
    pixels = max(map(math.prod, sizes))
    with (_SMALL if pixels <= MAX_SMALL else _LARGE).spent(pixels):
        return _upright(image)


def _upright(image: Image.Image) -> Image.Image:
    """The pixels of an image whose header has been read, as ``decode_image`` gives them."""
    image.load()
    orientation = _orientation(image)
    rgb = _to_rgb(image)
    if orientation in _UPRIGHT:
        rgb = rgb.transpose(_UPRIGHT[orientation])
    # A plain image around the same pixels: .copy() would add a fifth to the time of a small JPEG.
    plain = rgb._new(rgb.im)
    plain.info = {}
    return plain


class _Budget:
    """So much of something at once, for all threads of a process, first come, first served. Who needs more than there
    is has all of it alone."""

    def __init__(self, most: int) -> None:
        self.most, self.now = most, 0
        self.line: collections.deque[object] = collections.deque()
        self.changed = threading.Condition()

    @contextlib.contextmanager
    def spent(self, amount: int) -> Iterator[None]:
        with self.changed:
            self.line.append(mine := object())
            self.changed.wait_for(lambda: self.line[0] is mine and (not self.now or self.now + amount <= self.most))
            self.line.popleft()
            self.now += amount
            self.changed.notify_all()
        try:
            yield
        finally:
            with self.changed:
                self.now -= amount
                self.changed.notify_all()


_SMALL, _LARGE = _Budget(SMALL_AT_ONCE), _Budget(MAX_AT_ONCE)
if hasattr(os, "register_at_fork"):  # what another thread was decoding then is nothing to the child
    for _budget in (_SMALL, _LARGE):
        os.register_at_fork(after_in_child=functools.partial(_budget.__init__, _budget.most))


# ---------------------------------------------------------------- the file


def _display_name(source, name: str | None) -> str:
    """One short printable line, whatever the file is called."""
    if name is None and not isinstance(source, bytes | bytearray | memoryview):
        name = os.path.basename(os.fsdecode(source).rstrip("/\\"))
    name = " ".join("".join(c if c.isprintable() else " " for c in name or "").split())
    if len(name) > 60:
        name = f"{name[:29]}…{name[-30:]}"  # the end holds the extension
    return name or "This photo"


def _read(source) -> bytes:
    if isinstance(source, bytes | bytearray | memoryview):
        data = bytes(source)
    else:
        data = _read_file(source)
    if not data:
        raise _Refusal("is empty: choose the file again, or download it again")
    if len(data) > MAX_BYTES:
        raise _Refusal(f"is larger than {MAX_BYTES // 10**6} MB: save it smaller and try again")
    return data


def _read_file(path) -> bytes:
    """At most MAX_BYTES + 1 bytes of a regular file: a pipe would wait for ever, a device never end."""
    try:
        if stat.S_ISDIR(mode := os.stat(path).st_mode):
            raise _Refusal("is a folder, not a photo: choose a file inside it")
        if not stat.S_ISREG(mode):
            raise _Refusal("is not a regular file: choose a photo")
        with open(path, "rb") as file:
            return file.read(MAX_BYTES + 1)
    except (FileNotFoundError, NotADirectoryError, ValueError):  # ValueError: a null byte in the path
        raise _Refusal("cannot be found: check the path and try again") from None
    except PermissionError:
        raise _Refusal("may not be read by this program: change the file's permissions and try again") from None
    except OSError:
        raise _Refusal("cannot be read from the disk: copy it elsewhere and try again") from None


# ---------------------------------------------------------------- what the first bytes say


def _open_heif(file):
    try:
        from pillow_heif import HeifImageFile  # loads libheif: only for those who meet a HEIC
    except ImportError:
        raise _Refusal("is a HEIC photo, which needs the pillow-heif package: install it, or save as JPEG") from None
    return HeifImageFile(file)


def _signature(pattern: bytes) -> re.Pattern:
    return re.compile(pattern, re.DOTALL)


# The plugin's class is called, not Image.open: that one would warn from 89 megapixels on, and consult every plugin.
_PHOTOS = [
    (_signature(rb"\xff\xd8\xff"), JpegImagePlugin.JpegImageFile),  # also MPO: the first picture
    (_signature(rb"\x89PNG\r\n\x1a\n"), PngImagePlugin.PngImageFile),
    (_signature(rb"RIFF....WEBP"), WebPImagePlugin.WebPImageFile),
    (_signature(rb"....ftyp(avi[fs]|(mif1|msf1)....(....)*?avi[fs])"), AvifImagePlugin.AvifImageFile),
    (_signature(rb"....ftyp(hei[cmsx]|hev[cmsx]|mif1|msf1)"), _open_heif),
    (_signature(rb"GIF8[79]a"), GifImagePlugin.GifImageFile),
    (_signature(rb"BM.{12}[\x0c-\x7c]\0\0\0"), BmpImagePlugin.BmpImageFile),
    (_signature(rb"II[*+]\0|MM\0[*+]"), TiffImagePlugin.TiffImageFile),
]

_EXPORT = "save the picture as JPEG or PNG and try again"
_UNPACK = "unpack it and choose the photos inside"
_CHOOSE = "choose a JPEG, PNG, WebP or HEIC photo instead"

_OTHERS = [
    (_signature(rb"%PDF-"), "a PDF document", _EXPORT),
    (_signature(rb"%!PS|\xc5\xd0\xd3\xc6"), "a PostScript drawing", _EXPORT),
    (_signature(rb"8BPS"), "a Photoshop document", _EXPORT),
    (_signature(rb"\0\0\0\x0cjP  |\xff\x4f\xff\x51"), "a JPEG 2000 picture", _EXPORT),
    (_signature(rb"\0\0\0\x0cJXL |\xff\x0a"), "a JPEG XL picture", _EXPORT),
    (_signature(rb"....ftypcrx |FUJIFILMCCD-RAW|IIU\0|IIR[OS]"), "a camera's raw file", _EXPORT),
    (_signature(rb"\0\0\x01\0"), "an icon", _CHOOSE),
    (_signature(rb"PK\x03\x04|PK\x05\x06"), "a ZIP archive or an Office document", _UNPACK),
    (_signature(rb"Rar!|7z\xbc\xaf|\x1f\x8b|BZh|\xfd7zXZ"), "a compressed archive", _UNPACK),
    (_signature(rb"....ftyp|\x1a\x45\xdf\xa3|RIFF....AVI |\0\0\x01[\xb3\xba]|FLV\x01"), "a video", _CHOOSE),
    (_signature(rb"ID3|\xff[\xf2\xf3\xfb]|OggS|fLaC|RIFF....WAVE"), "a sound recording", _CHOOSE),
    (_signature(rb"MZ|\x7fELF"), "a program", _CHOOSE),
]


def open_header(file: BinaryIO) -> Image.Image:
    """Parse the header, no pixels yet. Raises nearly anything on hostile bytes."""
    begin = file.read(4096)
    file.seek(0)
    head = begin[:64]
    if plugin := _plugin(head):
        return plugin(file)
    for signature, kind, advice in _OTHERS:
        if signature.match(head):
            raise _Refusal(f"is {kind}, not a photo: {advice}")
    if text := _text(begin):
        if "<svg" in text:
            raise _Refusal(f"is an SVG drawing, not a photo: {_EXPORT}")
        if "<html" in text or "<!doctype html" in text:
            raise _Refusal("is a web page, not a photo: download the picture itself and try again")
        raise _Refusal(f"is a text file, not a photo: {_CHOOSE}")
    raise _Refusal("is not a photo in a format read here: use JPEG, PNG, WebP, AVIF, HEIC, GIF, BMP or TIFF")


def _plugin(head: bytes) -> Callable[[BinaryIO], Image.Image] | None:
    """What opens a photo that begins so; None for what is no photo."""
    return next((plugin for signature, plugin in _PHOTOS if signature.match(head)), None)


def _text(head: bytes) -> str:
    """The head in lower case if it reads as text, else ""."""
    encoding = "utf-16" if head.startswith((b"\xff\xfe", b"\xfe\xff")) else "utf-8-sig"
    try:
        text = codecs.getincrementaldecoder(encoding)().decode(head)  # allows for a character cut at the end
    except UnicodeError:
        return ""
    return text.lower() if all(c.isprintable() or c.isspace() for c in text) else ""


def _coded_sizes(data: bytes) -> list[tuple[int, int]]:
    """(width, height) of all that is coded in an AVIF or HEIC, whose visible size may be a small crop of it."""
    if data[4:8] != b"ftyp":
        return []
    extents = re.findall(rb"\0\0\0\x14ispe\0\0\0\0(.{8})", data, re.DOTALL)  # ISO/IEC 23008-12, 6.5.3
    return [struct.unpack(">II", extent) for extent in extents]


def _check_layers(data: bytes, pixels: int) -> int:
    """In how many layers a JPEG comes. Raises _Refusal for too many."""
    marks = data.count(b"\xff\xda")  # also met by chance, once in 64 KB, in a video appended to the JPEG
    scans = scan_count(data) if marks > 1 or pixels > MAX_PIXELS else 1  # it takes longer to count them well
    if marks > 1 and scans > 1 and scans * pixels > MAX_SCANNED:
        raise _Refusal("is a JPEG built of too many layers: save it again as JPEG or PNG and try that")
    return scans


def _check_pixels(width: int, height: int, most: int) -> None:
    if width * height > most:
        raise _Refusal(
            f"is {width:,} × {height:,} pixels, {width * height / 1e6:,.0f} megapixels, and the limit is "
            f"{most / 1e6:.0f}: make it smaller and try again"
        )


def _check_shape(width: int, height: int) -> None:
    size = f"{width:,} × {height:,} pixels"
    if min(width, height) < MIN_SIDE:
        raise _Refusal(f"is only {size}: choose a photo of at least {MIN_SIDE} pixels a side")
    if max(width, height) > MAX_ASPECT * min(width, height):
        raise _Refusal(f"is a strip of {size}: crop it to the flower and try again")


def _diagnose(error: Exception) -> str:
    if isinstance(error, Image.DecompressionBombError):  # a GIF frame larger than its screen, a TIFF tile
        return f"has more than {MAX_PIXELS / 1e6:.0f} megapixels: make it smaller and try again"
    if isinstance(error, EOFError) or re.search(r"truncat|end of file|not enough|incomplete", str(error), re.I):
        return "is cut short, its last part is missing: copy or download it again"
    return "is damaged, incomplete or unusual: open it in a photo viewer, save it again as JPEG or PNG, and try that"


# ---------------------------------------------------------------- the pixels

_UPRIGHT = {  # EXIF orientation -> what undoes it (CIPA DC-008 4.6.4; 1 is upright, anything else is nonsense)
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_270,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_90,
}


def _orientation(image: Image.Image) -> int:
    """1 to 8; a broken EXIF block costs the rotation, not the photo. (HEIF and TIFF plugins rotate by themselves.)"""
    try:
        return image.getexif().get(ExifTags.Base.Orientation, 1)
    except Exception:  # as many kinds as there are ways to break EXIF
        return 1


def _to_rgb(image: Image.Image) -> Image.Image:
    """Any Pillow mode to "RGB"; one that is "RGB" already comes back as it is, uncopied."""
    profile = image.info.get("icc_profile")
    if image.mode == "F" or image.mode.startswith("I"):  # I, I;16, I;16B: grey deeper than 8 bits
        image = _to_8bit(image)
    if image.has_transparency_data:
        image = image if image.mode == "RGBA" else image.convert("RGBA")
        rgb = _to_srgb(image.convert("RGB"), profile)
        rgb.paste("white", mask=ImageChops.invert(image.getchannel("A")))
        return rgb
    if image.mode == "LAB":
        return ImageCms.applyTransform(image, _transform(None, "LAB"))  # the one mode Pillow cannot convert
    if image.mode not in ("RGB", "CMYK"):
        image = image.convert("RGB")
    image = _to_srgb(image, profile)
    return image if image.mode == "RGB" else image.convert("RGB")


def _to_8bit(image: Image.Image) -> Image.Image:
    """Modes I;16, I and F to L: black stays 0 and full scale becomes 255, where Pillow's convert would clip at 255.

    Full scale is 65535 in I;16. The other two do not say: it is the first of 1 (F), 255 and 65535 that no pixel
    exceeds, else the brightest pixel.
    """
    values = np.nan_to_num(np.array(image, dtype=np.float32), copy=False, nan=0, posinf=0, neginf=0)
    scales = {"I": (255, 65535), "F": (1, 255, 65535)}.get(image.mode, (65535,))
    brightest = values.max()
    values *= 255 / next((scale for scale in scales if brightest <= scale), brightest)
    return Image.fromarray(np.rint(values, out=values).clip(0, 255, out=values).astype(np.uint8))


def _to_srgb(image: Image.Image, profile: bytes | None) -> Image.Image:
    """Colours as the embedded ICC profile means them: Adobe RGB or Display P3 read as sRGB look pale.

    Wherever the profile is missing, broken, of other channels than the image's, or sRGB already: the image as it is.
    """
    if not profile or len(profile) > MAX_PROFILE_BYTES:
        return image
    transform = _transform(profile, image.mode)
    return ImageCms.applyTransform(image, transform) if transform else image


@lru_cache(maxsize=16)  # building one takes 1 to 50 ms, and the photos of a set share a few
def _transform(profile: bytes | None, mode: str) -> ImageCms.ImageCmsTransform | None:
    """From the profile's colours (None: CIE Lab) to sRGB; None where there is nothing to do or nothing to go by."""
    try:
        source = ImageCms.ImageCmsProfile(io.BytesIO(profile)) if profile else ImageCms.createProfile("LAB")
        if profile and "srgb" in ImageCms.getProfileDescription(source).lower():
            return None
        return ImageCms.buildTransform(source, ImageCms.createProfile("sRGB"), mode, "RGB")
    except (ImageCms.PyCMSError, OSError, ValueError, TypeError):
        return None
