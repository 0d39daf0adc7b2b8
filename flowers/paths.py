"""Where things live on this machine. The code folder need not be writable: on a Space it is not."""

import contextlib
import os
import stat
import tempfile
from collections.abc import Callable
from pathlib import Path

from platformdirs import user_cache_path, user_data_path

from flowers.errors import FlowersError

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

    Not in the cache: nobody could make these again. Made here, it is for this user alone.
    """
    folder = Path(os.environ.get("FLOWERS_ALBUMS") or runs_dir().with_name("albums")).expanduser()
    with contextlib.suppress(OSError):
        folder.parent.mkdir(parents=True, exist_ok=True)
        folder.mkdir(mode=0o700)
    return _writable(folder)


def _of_the_user(place: Callable[[str], Path], name: str) -> Path:
    """The user's folder of that kind; a temporary one for a user without a home, as in some containers."""
    try:
        return place("flowers")
    except RuntimeError:
        return _temporary(name)


def _writable(folder: str | Path) -> Path:
    """``folder``, created; or a temporary one where it cannot be (a Space without a home)."""
    folder = Path(folder).expanduser().resolve()
    with contextlib.suppress(OSError):
        folder.mkdir(parents=True, exist_ok=True)
    return folder if os.access(folder, os.W_OK | os.X_OK) else _temporary(folder.name)


def _temporary(name: str) -> Path:
    """A folder of the temporary one that no other user of this machine may look into, or has put there for us."""
    user = os.getuid() if hasattr(os, "getuid") else "user"
    base = Path(tempfile.gettempdir()) / f"flowers-{user}"
    try:
        base.mkdir(mode=0o700, exist_ok=True)
        kept = base.lstat()
        if hasattr(os, "getuid") and (
            not stat.S_ISDIR(kept.st_mode) or kept.st_uid != os.getuid() or kept.st_mode & 0o077
        ):
            raise FlowersError(
                f"The folder {base} is not ours alone: remove it, or set FLOWERS_CACHE, FLOWERS_RUNS "
                "and FLOWERS_ALBUMS to folders that can be written."
            )
        (base / name).mkdir(exist_ok=True)
    except OSError as error:
        raise FlowersError(
            f"The folder {base} cannot be written ({error.strerror}): set FLOWERS_CACHE, FLOWERS_RUNS "
            "and FLOWERS_ALBUMS to folders that can be."
        ) from error
    return base / name
