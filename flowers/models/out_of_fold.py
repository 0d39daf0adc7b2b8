"""What a checkpoint that learned from all its photos keeps to be judged by: answers of layers that had not seen them.

folds.safetensors    of each photo its mark, label, fold, and the class scores by the layer fitted to the other folds;
                     of some the features, too
"""

from dataclasses import dataclass
from pathlib import Path

import numpy as np

from flowers.errors import CheckpointError

FILE = "folds.safetensors"


@dataclass(frozen=True)
class OutOfFold:
    """Answers to N photos, each by a last layer that was fitted to the photos of other folds."""

    marks: np.ndarray  # uint8 (N, 4), see ``mark``
    labels: np.ndarray  # int64 (N,), the checkpoint's class numbers
    folds: np.ndarray  # int64 (N,), the fold that each is in
    scores: np.ndarray  # float32 (N, classes)
    featured: np.ndarray  # int64 (M,), which photos' features are kept
    features: np.ndarray  # float16 (M, F)

    def to_bytes(self) -> bytes:
        """The file."""
        from safetensors.numpy import save

        return save({name: np.ascontiguousarray(value) for name, value in vars(self).items()})

    def scores_of(self, marks: np.ndarray) -> np.ndarray | None:
        """The scores, float32 (n, classes), of photos by their marks, uint8 (n, 4); None where one is not there."""
        places = {bytes(own): place for place, own in enumerate(self.marks)}
        try:
            return self.scores[[places[bytes(own)] for own in marks]]
        except KeyError:
            return None


def marks_of(sha256s: list[str]) -> np.ndarray:
    """The marks, uint8 (N, 4), of photos with these checksums: as much as tells them apart within a set."""
    return np.array([list(bytes.fromhex(sha256[:8])) for sha256 in sha256s], dtype=np.uint8).reshape(-1, 4)


def read_out_of_fold(folder: Path | None) -> OutOfFold | None:
    """What a checkpoint's folder keeps of it; None for one that held photos back.

    Raises CheckpointError when damaged.
    """
    if folder is None or not (folder / FILE).exists():
        return None
    from safetensors.numpy import load_file

    try:
        read = OutOfFold(**load_file(folder / FILE))
        count = len(read.marks)
        whole = read.scores.ndim == read.features.ndim == 2 and read.marks.shape == (count, 4)
        whole &= len(read.labels) == len(read.folds) == len(read.scores) == count > 0
        whole &= len(read.featured) == len(read.features) and bool((read.featured < count).all())
        if not whole or not np.isfinite(read.scores).all():
            raise ValueError("not the answers of folds")
        return read
    except Exception as error:  # safetensors has errors of its own, and a damaged file more
        raise CheckpointError(
            f"The answers by which the checkpoint {folder.parent.name} is judged are damaged: train it again."
        ) from error
