"""Where things live on this machine. The code folder is never written to: on a Space it is read-only."""

import os
import tempfile
from pathlib import Path

from platformdirs import user_cache_path, user_data_path

PROJECT = Path(__file__).resolve().parent.parent
BUNDLED_CHECKPOINTS = PROJECT / "checkpoints"


def cache_dir() -> Path:
    """Folder for what can be made or fetched again: photo sets, indexes, downloads (``FLOWERS_CACHE``)."""
    return _writable(os.environ.get("FLOWERS_CACHE") or user_cache_path("flowers"))


def runs_dir() -> Path:
    """Folder of the run folders: ``FLOWERS_RUNS``, else ``./runs``, else the user's data folder."""
    if chosen := os.environ.get("FLOWERS_RUNS"):
        return _writable(chosen)
    return Path("runs").resolve() if os.access(".", os.W_OK) else _writable(user_data_path("flowers") / "runs")


def _writable(folder) -> Path:
    """``folder``, created; or one under the temporary directory where it cannot be (a Space without a home)."""
    folder = Path(folder).expanduser().resolve()
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError:
        folder = Path(tempfile.gettempdir()) / "flowers" / folder.name
        folder.mkdir(parents=True, exist_ok=True)
    return folder
