"""Uploads that must be refused with a sentence: what people drop by mistake, and what people drop on purpose.

Made in code and always the same, for the tests of the decoder, of the API and of the page alike.
"""

import bz2
import gzip
import io
import lzma
import pickle
import struct
import tarfile
import zipfile
import zlib
from collections.abc import Iterator
from functools import cache

import numpy as np
import pillow_heif
from PIL import Image

Upload = tuple[str, bytes]


def malformed_uploads() -> Iterator[Upload]:
    """Over a hundred (filename, bytes), no two alike in either; `decode_image` refuses every one."""
    yield from _not_photos()
    yield from _truncated()
    yield from _bombs()
    yield from _broken_png()
    yield from _broken_jpeg()
    yield from _broken_gif_and_bmp()
    yield from _broken_tiff()
    yield from _broken_webp()
    yield from _broken_avif_and_heif()


# ---------------------------------------------------------------- sound photos, to be broken


@cache
def photo(width: int = 64, height: int = 48) -> Image.Image:
    """RGB noise over a gradient: no codec can make it so small that a cut would miss what matters."""
    y, x = np.mgrid[:height, :width]
    gradient = np.stack([255 * x / width, 255 * y / height, 255 * (x + y) / (width + height)], axis=-1)
    noise = np.random.default_rng(0).uniform(0, 255, gradient.shape)
    return Image.fromarray(((gradient + noise) / 2).astype(np.uint8))


def encode(image: Image.Image, format: str, **options) -> bytes:
    """The bytes of `image` saved as `format`; HEIF without registering its plugin with Pillow."""
    file = io.BytesIO()
    if format == "HEIF":
        pillow_heif.from_pillow(image).save(file, **options)
    else:
        image.save(file, format, **options)
    return file.getvalue()


@cache
def sound_photos() -> dict[str, bytes]:
    """Filename to bytes, one of each way to store a photo; all of them decode."""
    return {
        "baseline.jpg": encode(photo(), "JPEG"),
        "progressive.jpg": encode(photo(), "JPEG", progressive=True),
        "truecolour.png": encode(photo(), "PNG"),
        "palette.png": encode(photo().quantize(64), "PNG"),
        "lossy.webp": encode(photo(), "WEBP"),
        "lossless.webp": encode(photo(), "WEBP", lossless=True),
        "photo.avif": encode(photo(), "AVIF"),
        "photo.heic": encode(photo(), "HEIF"),
        "photo.gif": encode(photo(), "GIF"),
        "photo.bmp": encode(photo(), "BMP"),
        "raw.tif": encode(photo(), "TIFF"),
        "lzw.tif": encode(photo(), "TIFF", compression="tiff_lzw"),
    }


def _patched(data: bytes, at: int, new: bytes) -> bytes:
    return data[:at] + new + data[at + len(new) :]


# ---------------------------------------------------------------- other files


def _not_photos() -> Iterator[Upload]:
    svg = b'<svg xmlns="http://www.w3.org/2000/svg" width="64" height="64"><circle r="9"/></svg>'
    html = b"<!DOCTYPE html><html><head><title>404</title></head><body>Not found</body></html>"
    text = "A daisy is no rose, and a rose is no tulip. "
    png = sound_photos()["truecolour.png"]
    rng = np.random.default_rng(1)

    yield "empty.jpg", b""
    yield "one byte.jpg", b"\xff"
    yield "newline.png", b"\n"
    yield "nulls.png", bytes(5000)
    yield "ones.jpg", b"\xff" * 5000
    for n in (16, 300, 70_000):
        yield f"random {n}.jpg", b"\x00\xfe" + rng.bytes(n)

    yield "text.jpg", text.encode()
    yield "long text.png", text.encode() * 2000
    yield "accents.jpg", "pâquerette, tournesol, 向日葵 ".encode() * 300
    yield "utf16.jpg", text.encode("utf-16")
    yield "bom.jpg", b"\xef\xbb\xbf" + text.encode()
    yield "starts like a bitmap.bmp", b"BM, said the file, but it was a lie."
    yield "labels.csv", b"path,label\nrose/1.jpg,rose\n"
    yield "answer.json", b'{"error": "quota exceeded"}'
    yield "script.jpg", b"#!/bin/sh\necho gotcha\n"
    yield "pointer.jpg", b"version https://git-lfs.github.com/spec/v1\noid sha256:0\nsize 1\n"
    yield "data url.txt", b"data:image/png;base64,iVBORw0KGgoAAAANSUhEUg=="
    yield "page.html", html
    yield "page.jpg", b"\n\n  " + html.lower()
    yield "drawing.svg", svg
    yield "drawing with prolog.png", b'<?xml version="1.0"?>\n<!-- flower -->\n' + svg
    yield "drawing with bom.svg", b"\xef\xbb\xbf" + svg
    yield "external entity.svg", b'<!DOCTYPE svg [<!ENTITY x SYSTEM "file:///etc/passwd">]><svg>&x;</svg>'
    yield "drawing.svgz", gzip.compress(svg, mtime=0)

    yield "paper.pdf", b"%PDF-1.7\n%\xe2\xe3\xcf\xd3\n1 0 obj<</Type/Catalog>>endobj\ntrailer<</Root 1 0 R>>\n%%EOF"
    yield "figure.eps", b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 64 64\n(%pipe%id) (r) file\n"
    yield "layers.psd", b"8BPS\0\1" + bytes(6) + struct.pack(">HIIHH", 3, 64, 64, 8, 3) + bytes(64)
    yield "icon.ico", b"\0\0\x01\0\x01\0\x10\x10" + bytes(200)
    yield "camera.cr3", b"\0\0\0\x18ftypcrx \0\0\0\x01crx isom" + bytes(200)
    yield "camera.raf", b"FUJIFILMCCD-RAW 0201" + bytes(200)
    yield "photo.jp2", b"\0\0\0\x0cjP  \r\n\x87\n\0\0\0\x14ftypjp2 " + bytes(200)
    yield "photo.jxl", b"\0\0\0\x0cJXL \r\n\x87\n" + bytes(200)
    yield "codestream.jxl", b"\xff\x0a" + bytes(200)
    yield "film.mp4", b"\0\0\0\x18ftypmp42\0\0\0\0mp42isom" + bytes(200)
    yield "film.mov", b"\0\0\0\x14ftypqt  \0\0\0\0qt  " + bytes(200)
    yield "film.webm", b"\x1a\x45\xdf\xa3\x9fB\x86\x81\x01" + bytes(200)
    yield "film.avi", b"RIFF\xf0\0\0\0AVI LIST" + bytes(200)
    yield "film.flv", b"FLV\x01\x05" + bytes(200)
    yield "film.mpg", b"\0\0\x01\xba\x44" + bytes(200)
    yield "song.mp3", b"ID3\x04\0\0" + bytes(200)
    yield "song.wav", b"RIFF\xf0\0\0\0WAVEfmt " + bytes(200)
    yield "song.ogg", b"OggS\0\x02" + bytes(200)
    yield "song.flac", b"fLaC\0\0\0\x22" + bytes(200)
    yield "program.exe", b"MZ\x90\0" + bytes(200)
    yield "program.jpg", b"\x7fELF\x02\x01\x01" + bytes(200)
    yield "weights.pkl", pickle.dumps({"weights": [1.0, 2.0]}, protocol=4)
    yield "database.jpg", b"SQLite format 3\0" + bytes(200)

    yield "photos.zip", _zip({"rose/photo.png": png})
    yield "no photos.zip", _zip({})
    yield "letter.docx", _zip({"[Content_Types].xml": b"<Types/>", "word/document.xml": b"<w/>"})
    yield "photo.png.gz", gzip.compress(png, mtime=0)
    yield "photo.png.bz2", bz2.compress(png)
    yield "photo.png.xz", lzma.compress(png)
    yield "photos.7z", b"7z\xbc\xaf\x27\x1c\0\x04" + bytes(200)
    yield "photos.rar", b"Rar!\x1a\x07\x01\0" + bytes(200)
    yield "photos.tar", _tar({"photo.png": png})
    for filename, data in sound_photos().items():
        yield f"garbage before {filename}", b"\x00\xfe\xdc\xba" + data


def _zip(files: dict[str, bytes]) -> bytes:
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w") as archive:
        for filename, data in files.items():
            archive.writestr(zipfile.ZipInfo(filename), data)
    return file.getvalue()


def _tar(files: dict[str, bytes]) -> bytes:
    file = io.BytesIO()
    with tarfile.open(fileobj=file, mode="w") as archive:
        for filename, data in files.items():
            info = tarfile.TarInfo(filename)
            info.size = len(data)
            archive.addfile(info, io.BytesIO(data))
    return file.getvalue()


# ---------------------------------------------------------------- cut short


def _truncated() -> Iterator[Upload]:
    for filename, data in sound_photos().items():
        for percent in (5, 35, 65, 95):
            yield f"first {percent} percent of {filename}", data[: len(data) * percent // 100]


# ---------------------------------------------------------------- small files that say they are huge, or tiny


def _bombs() -> Iterator[Upload]:
    side = 14_000
    rows = zlib.compressobj(9)
    pixels = b"".join(rows.compress(bytes(1 + side // 8)) for _ in range(side)) + rows.flush()
    yield "196 megapixels in 24 KB.png", png((side, side, 1, 0), pixels)
    yield "4 gigapixels.png", png((65535, 65535, 8, 6), zlib.compress(bytes(1000)))
    yield "most pixels.png", png((2**31 - 1, 2**31 - 1, 16, 6), zlib.compress(bytes(1000)))
    yield "268 megapixels.webp", _webp(b"VP8L", _vp8l(16383, 16383))
    yield "4 gigapixels.gif", _gif((65535, 65535))
    yield "small screen, big frame.gif", _gif((16, 16), frame=(65000, 65000))
    yield "900 megapixels.bmp", _bmp(30_000, 30_000)
    yield "upside down, 900 megapixels.bmp", _bmp(30_000, -30_000)
    yield "1.6 gigapixels.tif", _tiff(width=40_000, height=40_000)
    yield "4 gigapixels.jpg", _resized_jpeg(65_500, 65_500)
    yield "400 megapixels.avif", _resized_boxes("photo.avif", 20_000, 20_000)
    yield "400 megapixels.heic", _resized_boxes("photo.heic", 20_000, 20_000)
    progressive = encode(Image.new("L", (4000, 3000)), "JPEG", progressive=True)
    last_scan = progressive[progressive.rindex(b"\xff\xda") : -2]
    yield "a thousand scans.jpg", progressive[:-2] + last_scan * 1000 + progressive[-2:]

    yield "one pixel.gif", encode(Image.new("P", (1, 1)), "GIF")
    yield "one pixel.png", encode(Image.new("RGB", (1, 1)), "PNG")
    yield "seven pixels.jpg", encode(Image.new("RGB", (7, 700)), "JPEG")
    yield "a thread.png", encode(Image.new("1", (8, 100_000)), "PNG")
    yield "a thread.webp", encode(Image.new("RGB", (16_000, 8)), "WEBP")


# ---------------------------------------------------------------- broken, format by format


def png(header: tuple[int, int, int, int], pixels: bytes | None, *, before: bytes = b"") -> bytes:
    """`header` is (width, height, bit depth, colour type); `before` goes between the header and the pixels."""

    data = b"\x89PNG\r\n\x1a\n" + png_chunk(b"IHDR", struct.pack(">IIBBBBB", *header, 0, 0, 0)) + before
    if pixels is not None:
        data += png_chunk(b"IDAT", pixels)
    return data + png_chunk(b"IEND", b"")


def png_chunk(kind: bytes, body: bytes) -> bytes:
    return struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(kind + body))


def _broken_png() -> Iterator[Upload]:
    pixels = zlib.compress(bytes(64 * 200))
    yield "signature only.png", b"\x89PNG\r\n\x1a\n"
    yield "header only.png", png((64, 64, 8, 2), None)
    yield "no width.png", png((0, 64, 8, 2), pixels)
    yield "no height.png", png((64, 0, 8, 2), pixels)
    yield "colour type 5.png", png((64, 64, 8, 5), pixels)
    yield "bit depth 3.png", png((64, 64, 3, 0), pixels)
    yield "too few pixels.png", png((64, 64, 8, 2), zlib.compress(bytes(100)))
    yield "not deflated.png", png((64, 64, 8, 2), bytes(64 * 200))
    sound = sound_photos()["truecolour.png"]
    yield "bad header checksum.png", _patched(sound, 29, b"\0\0\0\0")
    yield "header of 12 bytes.png", _patched(sound, 8, b"\0\0\0\x0c")
    yield "header in lower case.png", _patched(sound, 12, b"ihdr")
    yield "zeroed middle.png", _patched(sound, 2000, bytes(1000))


def _resized_jpeg(width: int, height: int) -> bytes:
    data = sound_photos()["baseline.jpg"]
    return _patched(data, data.index(b"\xff\xc0") + 5, struct.pack(">HH", height, width))


def _broken_jpeg() -> Iterator[Upload]:
    sound = sound_photos()["baseline.jpg"]
    frame, scan = sound.index(b"\xff\xc0"), sound.index(b"\xff\xda")
    exif = b"Exif\0\0MM\0*\0\0\0\x08\0\x01\x01\x12\0\x03\0\0\0\x01\0\x06\0\0\0\0\0\0"
    yield "start.jpg", b"\xff\xd8\xff"
    yield "start and end.jpg", b"\xff\xd8\xff\xd9"
    yield "EXIF only.jpg", b"\xff\xd8\xff\xe1" + struct.pack(">H", len(exif) + 2) + exif + b"\xff\xd9"
    yield "no frame.jpg", sound[:frame] + sound[scan:]
    yield "no scan.jpg", sound[:scan] + b"\xff\xd9"
    yield "scan of nothing.jpg", sound[: scan + 14]
    yield "no width.jpg", _resized_jpeg(0, 48)
    yield "no height.jpg", _resized_jpeg(64, 0)
    yield "taller than its pixels.jpg", _resized_jpeg(64, 4800)[:-2]
    yield "12 bits.jpg", _patched(sound, frame + 4, b"\x0c")
    yield "9 components.jpg", _patched(sound, frame + 9, b"\x09")
    yield "lossless.jpg", _patched(sound, frame + 1, b"\xc3")
    yield "arithmetic, hierarchical.jpg", _patched(sound, frame + 1, b"\xcd")
    yield "no tables.jpg", sound.replace(b"\xff\xc4", b"\xff\xfe").replace(b"\xff\xdb", b"\xff\xfe")
    yield "sampling of 0.jpg", _patched(sound, frame + 11, b"\0")


def _gif(screen: tuple[int, int], frame: tuple[int, int] | None = None, code_size: int = 8) -> bytes:
    palette = b"GIF89a" + struct.pack("<HH", *screen) + b"\x80\0\0" + b"\0\0\0\xff\xff\xff"
    return palette + b"," + struct.pack("<HHHH", 0, 0, *(frame or screen)) + b"\0" + bytes([code_size]) + b"\x01\0\0;"


def _bmp(width: int, height: int, *, bits: int = 24, compression: int = 0, planes: int = 1) -> bytes:
    header = struct.pack("<IiiHHIIiiII", 40, width, height, planes, bits, compression, 0, 0, 0, 0, 0)
    return b"BM" + struct.pack("<IHHI", 54 + 600, 0, 0, 54) + header + bytes(600)


def _broken_gif_and_bmp() -> Iterator[Upload]:
    yield "signature only.gif", b"GIF89a"
    yield "screen without frames.gif", _gif((64, 64))[:19] + b";"
    yield "no width.gif", _gif((0, 64))
    yield "codes of 200 bits.gif", _gif((64, 64), code_size=200)
    yield "no pixels.gif", _gif((64, 64))
    yield "signature only.bmp", b"BM"
    yield "no width.bmp", _bmp(0, 64)
    yield "no height.bmp", _bmp(64, 0)
    yield "too few pixels.bmp", _bmp(64, 64)
    yield "3 bits.bmp", _bmp(16, 8, bits=3)
    yield "compression 9.bmp", _bmp(16, 8, compression=9)
    yield "header of 77 bytes.bmp", _patched(_bmp(16, 8), 14, b"\x4d")
    yield "pixels beyond the end.bmp", _patched(_bmp(16, 8), 10, struct.pack("<I", 1_000_000))


def _tiff(*, width=16, height=16, bits=8, compression=1, photometric=1, strip_at=200, ifd_at=8, next_ifd=0) -> bytes:
    """A little-endian grey TIFF: one strip of 256 zero bytes behind its single directory."""
    tags = {256: width, 257: height, 258: bits, 259: compression, 262: photometric, 273: strip_at, 277: 1, 278: height}
    tags[279] = 256
    entries = b"".join(struct.pack("<HHII", tag, 4, 1, value) for tag, value in tags.items())
    directory = struct.pack("<H", len(tags)) + entries + struct.pack("<I", next_ifd)
    return (b"II*\0" + struct.pack("<I", ifd_at) + directory).ljust(200, b"\0") + bytes(256)


def _broken_tiff() -> Iterator[Upload]:
    yield "signature only.tif", b"II*\0"
    yield "directory beyond the end.tif", _tiff(ifd_at=1_000_000)
    yield "directory in the signature.tif", _tiff(ifd_at=0)
    yield "no directory.tif", b"MM\0*\0\0\0\x08\0\0\0\0\0\0"
    yield "no width.tif", _tiff(width=0)
    yield "no height.tif", _tiff(height=0)
    yield "7 bits.tif", _tiff(bits=7)
    yield "compression 65000.tif", _tiff(compression=65000)
    yield "photometric 99.tif", _tiff(photometric=99)
    yield "strip beyond the end.tif", _tiff(strip_at=1_000_000)
    yield "too few pixels.tif", _tiff(width=64, height=64)
    yield "says deflate.tif", _tiff(compression=8)
    yield "says fax.tif", _tiff(compression=4, bits=8)


def _webp(kind: bytes, body: bytes) -> bytes:
    chunk = kind + struct.pack("<I", len(body)) + body + bytes(len(body) % 2)
    return b"RIFF" + struct.pack("<I", 4 + len(chunk)) + b"WEBP" + chunk


def _vp8l(width: int, height: int) -> bytes:
    """A lossless image of one colour: five codes of one symbol each, so that a pixel takes no bits at all."""
    bits = [(width - 1, 14), (height - 1, 14), (0, 1), (0, 3), (0, 3)] + [(0b0001, 4)] * 5
    packed = shift = 0
    for value, length in bits:
        packed |= value << shift
        shift += length
    return b"\x2f" + packed.to_bytes(16, "little")


def _broken_webp() -> Iterator[Upload]:
    sound = sound_photos()["lossless.webp"]
    yield "signature only.webp", b"RIFF\x04\0\0\0WEBP"
    yield "says it is empty.webp", _patched(sound, 4, bytes(4))
    yield "unknown chunk.webp", _patched(sound, 12, b"ROSE")
    yield "no start code.webp", _patched(sound, 20, b"\0")
    yield "version 7.webp", _webp(b"VP8L", _patched(_vp8l(64, 64), 4, b"\xe0"))
    yield "canvas without pixels.webp", _webp(b"VP8X", b"\0\0\0\0" + b"\x3f\0\0" + b"\x3f\0\0")
    yield "zeroed middle.webp", _patched(sound, 21, bytes(1000))
    yield "zeroed.webp", _patched(sound_photos()["lossy.webp"], 23, bytes(300))


def _resized_boxes(filename: str, width: int, height: int) -> bytes:
    """With every image spatial extents box ("ispe") saying this size."""
    data = sound_photos()[filename]
    at = -1
    while (at := data.find(b"ispe", at + 1)) >= 0:
        data = _patched(data, at + 8, struct.pack(">II", width, height))
    return data


def _broken_avif_and_heif() -> Iterator[Upload]:
    for filename, codec in (("photo.avif", b"av1C"), ("photo.heic", b"hvcC")):
        sound = sound_photos()[filename]
        first_box = int.from_bytes(sound[:4], "big")
        pixels = sound.index(b"mdat") + 4
        suffix = filename.removeprefix("photo")
        yield f"first box only{suffix}", sound[:first_box]
        yield f"brand only{suffix}", sound[:12]
        yield f"no meta box{suffix}", sound.replace(b"meta", b"rose")
        yield f"no codec{suffix}", sound.replace(codec, b"rose")
        yield f"no primary item{suffix}", sound.replace(b"pitm", b"rose")
        yield f"zeroed pixels{suffix}", sound[:pixels] + bytes(len(sound) - pixels)
        yield f"no pixels{suffix}", sound[:pixels]
        yield f"no width{suffix}", _resized_boxes(filename, 0, 48)
        yield f"endless first box{suffix}", _patched(sound, 0, b"\x7f\xff\xff\xff")
