"""onnxruntime-web, which computes networks in browsers: one version, known by its sums, fetched once or brought along.

It is 1.18.0, the last that comes without threads. Later ones ask for memory that several threads may share, four
gigabytes of it, which iPhones refuse (onnxruntime issue 22086); and threads need headers that most hosts do not send.
"""

import os
import shutil
from dataclasses import dataclass
from pathlib import Path

from flowers.data.download import Progress, download, file_sha256
from flowers.errors import DataError, ShareError
from flowers.paths import cache_dir

VERSION = "1.18.0"
PLACE = f"https://cdn.jsdelivr.net/npm/onnxruntime-web@{VERSION}/dist/"


@dataclass(frozen=True)
class RuntimeFile:
    """One of the package's files."""

    sha256: str
    size: int  # bytes


FILES = {
    # The runtime without training, threads and graphics cards; and what it computes with, four numbers at a time.
    "ort.wasm-core.min.js": RuntimeFile("9f26054b7e08ff6e04a4320232c846c7900a93ecd50ada560281b00bfc4d730c", 57_460),
    "ort-wasm-simd.wasm": RuntimeFile("f533b5f21790563d7556c611c3835ac65848ee326da2689aac54ed7d9cc8c6a4", 10_595_041),
}
SIZE = sum(file.size for file in FILES.values())


def fetch_runtime(folder: Path, progress: Progress | None = None) -> None:
    """Put the runtime's files into ``folder``: from FLOWERS_ORT_WEB, or from the cache, or from the network into both.

    Raises ShareError where it can be had nowhere, or where what FLOWERS_ORT_WEB names is something else.
    """
    given = os.environ.get("FLOWERS_ORT_WEB")
    for name, wanted in FILES.items():
        shutil.copyfile(_given(Path(given).expanduser(), name) if given else _fetched(name, wanted, progress),
                        folder / name)  # fmt: skip


def _given(folder: Path, name: str) -> Path:
    """The file in the folder that FLOWERS_ORT_WEB names: the package as it is unpacked, or its ``dist``."""
    found = next((path for path in (folder / name, folder / "dist" / name, folder / "package" / "dist" / name)
                  if path.is_file()), None)  # fmt: skip
    if found is None:
        raise ShareError(
            f"FLOWERS_ORT_WEB has no {name}: unpack onnxruntime-web {VERSION} and name the folder with its `dist`."
        )
    if file_sha256(found) != FILES[name].sha256:
        raise ShareError(
            f"{name} in FLOWERS_ORT_WEB is not that of onnxruntime-web {VERSION}: unpack that version there."
        )
    return found


def _fetched(name: str, wanted: RuntimeFile, progress: Progress | None) -> Path:
    from filelock import FileLock

    kept = cache_dir() / f"onnxruntime-web-{VERSION}"
    try:
        kept.mkdir(parents=True, exist_ok=True)
        with FileLock(kept / "lock"):  # two exports may begin at once
            return download(PLACE + name, kept / name, sha256=wanted.sha256, size=wanted.size, progress=progress)
    except DataError as error:
        reason = str(error).rstrip(".")
        raise ShareError(
            f"A page needs onnxruntime-web {VERSION}, which could not be fetched ({reason}): go online once, or set "
            f"FLOWERS_ORT_WEB to the folder of that npm package, unpacked."
        ) from error
    except OSError as error:
        raise ShareError(
            f"A page needs onnxruntime-web {VERSION}, which could not be kept ({error.strerror or error}): free some "
            f"disk space, or set FLOWERS_CACHE to another folder."
        ) from error
