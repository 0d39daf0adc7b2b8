"""What networks saw of photos before, by the photos' contents: to look at a photo costs a hundred times a look here."""

import contextlib
import sqlite3
import time
from collections.abc import Iterator, Mapping, Sequence

import numpy as np
import torch
from torch import Tensor

from flowers.paths import cache_dir

KEPT_SECONDS = 7 * 24 * 3600.0  # since it was last looked up
KEPT_PHOTOS = 20_000  # 200 MB of an EfficientNet-Lite's 1,280 features, each photo's and its mirror image's
# What comes of a file that cannot be used, or is damaged: in a place of it may be a value of any type, and no text.
UNUSABLE = (sqlite3.Error, OSError, ValueError, TypeError, OverflowError)
AT_ONCE = 500  # SQLite takes a thousand names in a question, and some builds fewer


class Seen:
    """A file of the cache that several processes may use; where it cannot be used, nothing was seen before.

    ``network`` says whose eyes: anything that other features would come from makes another name.
    """

    def __init__(self, network: str) -> None:
        self.network = network

    def find(self, photos: Sequence[str]) -> dict[str, Tensor]:
        """What was seen of those of the photos, named by their sha256, that were looked at before.

        Each is what ``keep`` was given.
        """
        found: dict[str, Tensor] = {}
        with contextlib.suppress(*UNUSABLE), self._open() as table:
            for start in range(0, len(photos), AT_ONCE):
                some = photos[start : start + AT_ONCE]
                wanted = f"network = ? AND photo IN ({', '.join('?' * len(some))})"
                for photo, views, values in table.execute(
                    f"SELECT photo, views, features FROM seen WHERE {wanted}", [self.network, *some]
                ):
                    rows = np.frombuffer(values, np.float32).reshape(views, -1)
                    found[photo] = torch.from_numpy(rows.copy())
                table.execute(f"UPDATE seen SET used = ? WHERE {wanted}", [time.time(), self.network, *some])
        alike = len({rows.shape for rows in found.values()}) == 1
        whole = alike and all(rows.isfinite().all() for rows in found.values())
        return found if whole else {}

    def keep(self, features: Mapping[str, Tensor]) -> None:
        """Remember what was seen of photos, float32 (views, F) each, by their sha256."""
        rows = [
            (self.network, photo, len(views), views.numpy().astype(np.float32).tobytes(), time.time())
            for photo, views in features.items()
        ]
        with contextlib.suppress(*UNUSABLE), self._open() as table:
            table.executemany("INSERT OR REPLACE INTO seen VALUES (?, ?, ?, ?, ?)", rows)
            table.execute("DELETE FROM seen WHERE used < ?", [time.time() - KEPT_SECONDS])
            table.execute(
                "DELETE FROM seen WHERE rowid IN (SELECT rowid FROM seen ORDER BY used DESC LIMIT -1 OFFSET ?)",
                [KEPT_PHOTOS],
            )

    @contextlib.contextmanager
    def _open(self) -> Iterator[sqlite3.Connection]:
        file = cache_dir() / "seen.sqlite"
        file.parent.mkdir(parents=True, exist_ok=True)
        try:
            with contextlib.closing(sqlite3.connect(file, timeout=5)) as table, table:
                table.execute(
                    "CREATE TABLE IF NOT EXISTS seen (network TEXT, photo TEXT, views INTEGER, features BLOB, "
                    "used REAL, PRIMARY KEY (network, photo))"
                )
                yield table
        except sqlite3.DatabaseError as error:
            if type(error) is sqlite3.DatabaseError:  # no database, or no more: the next one begins a new one
                file.unlink(missing_ok=True)
            raise
