"""Small pictures of a set's photos, made when a page of them is looked at."""

import base64
import functools
import io
import os
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from PIL import Image, ImageOps

from flowers.data.decode import decode_image
from flowers.errors import DecodeError

SIDE = 168  # pixels, square: sharp in the sheet's columns of about 120
QUALITY = 78
KEPT = 4000  # about 8 KB each: the photos of a whole set that somebody leafs through
THREADS = min(2, os.cpu_count() or 1)


def thumbnails(paths: Sequence[Path]) -> list[str]:
    """The ``src`` of an ``<img>`` for each photo, "" for one that cannot be read: 3 ms a photo, 30 for a phone's."""
    with ThreadPoolExecutor(THREADS) as pool:  # Pillow decodes outside the interpreter lock
        return list(pool.map(_thumbnail, paths))


def _thumbnail(path: Path) -> str:
    try:
        status = os.stat(path)
    except OSError:  # removed meanwhile
        return ""
    return _made(str(path), status.st_size, status.st_mtime_ns)


@functools.lru_cache(maxsize=KEPT)
def _made(path: str, _size: int, _modified: int) -> str:
    try:
        image = decode_image(path, min_side=SIDE)
    except DecodeError:
        return ""
    file = io.BytesIO()
    ImageOps.fit(image, (SIDE, SIDE), Image.Resampling.BILINEAR).save(file, "JPEG", quality=QUALITY)
    return f"data:image/jpeg;base64,{base64.b64encode(file.getvalue()).decode()}"
