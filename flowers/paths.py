"""Where things live on this machine. The code folder need not be writable: on a Space it is not."""

import contextlib
import os
import tempfile
from collections.abc import Callable
from pathlib import Path

from platformdirs import user_cache_path, user_data_path

PROJECT = Path(__file__).resolve().parent.parent
BUNDLED_CHECKPOINTS = PROJECT / "checkpoints"
DEFAULT_CHECKPOINT = "flowers-lite0"  # of the bundled ones, that which answers unless another is chosen


def cache_dir() -> Path:
    """Folder for what can be made or fetched again: photo sets, indexes, downloads (``FLOWERS_CACHE``)."""
    return _writable(os.environ.get("FLOWERS_CACHE") or _of_the_user(user_cache_path, "cache"))


def runs_dir() -> Path:
    """Folder of the run folders: ``FLOWERS_RUNS``, else ``./runs``, else the user's data folder."""
    if chosen := os.environ.get("FLOWERS_RUNS"):
        return _writable(chosen)
    return (
        Path("runs").resolve() if os.access(".", os.W_OK) else _writable(_of_the_user(user_data_path, "data") / "runs")
    )


def albums_dir() -> Path:
    """Folder of the photo sets that visitors make: ``FLOWERS_ALBUMS``, else ``albums`` beside the runs folder.

    Not in the cache: nobody could make these again.
    """
    return _writable(os.environ.get("FLOWERS_ALBUMS") or runs_dir().with_name("albums"))


def _of_the_user(place: Callable[[str], Path], name: str) -> Path:
    """The user's folder of that kind; a temporary one for a user without a home, as in some containers."""
    try:
        return place("flowers")
    except RuntimeError:
        return Path(tempfile.gettempdir()) / "flowers" / name


def _writable(folder) -> Path:
    """``folder``, created; or one under the temporary directory where it cannot be (a Space without a home)."""
    folder = Path(folder).expanduser().resolve()
    with contextlib.suppress(OSError):
        folder.mkdir(parents=True, exist_ok=True)
    if not os.access(folder, os.W_OK | os.X_OK):
        folder = Path(tempfile.gettempdir()) / "flowers" / folder.name
        folder.mkdir(parents=True, exist_ok=True)
    return folder
