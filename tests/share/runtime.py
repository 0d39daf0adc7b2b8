"""onnxruntime-web as npm has it, for tests: unpacked once, and kept for the next time."""

import shutil
import subprocess
import tarfile
import tempfile
from pathlib import Path

import pytest
from filelock import FileLock

from flowers.share.runtime import FILES, VERSION


def npm_package(kept: Path) -> Path:
    """The folder ``dist`` of the package, with the files that are used; skips the test where npm cannot bring it."""
    if (npm := shutil.which("npm")) is None:
        pytest.skip(f"npm is not here, so onnxruntime-web {VERSION} cannot be had")
    folder = kept / VERSION
    with FileLock(kept / "lock"):
        if not folder.exists():
            with tempfile.TemporaryDirectory(dir=kept) as scratch:
                command = [npm, "pack", "--silent", f"onnxruntime-web@{VERSION}"]
                done = subprocess.run(command, cwd=scratch, capture_output=True, text=True, timeout=300, check=False)
                if done.returncode:
                    pytest.skip(f"npm could not bring onnxruntime-web {VERSION}: {done.stderr.strip()[:200]}")
                made = Path(scratch) / "dist"
                made.mkdir()
                with tarfile.open(next(Path(scratch).glob("*.tgz"))) as archive:
                    for name in FILES:
                        (made / name).write_bytes(archive.extractfile(f"package/dist/{name}").read())
                made.rename(folder)
    return folder
