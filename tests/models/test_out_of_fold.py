"""What a checkpoint is judged by that learned from all its photos: kept, found again, and refused when damaged."""

import numpy as np
import pytest

from flowers.errors import CheckpointError
from flowers.models.out_of_fold import FILE, OutOfFold, marks_of, read_out_of_fold

SHA256S = [f"{number:064x}"[::-1] for number in (1, 2, 3, 4)]


def kept(**changes: np.ndarray) -> OutOfFold:
    values = {
        "marks": marks_of(SHA256S),
        "labels": np.array([0, 0, 1, 1]),
        "folds": np.array([0, 1, 0, 1]),
        "scores": np.arange(8, dtype=np.float32).reshape(4, 2),
        "featured": np.array([1, 3]),
        "features": np.ones((2, 5), np.float16),
    }
    return OutOfFold(**{**values, **changes})


def test_it_comes_back_as_it_was(tmp_path):
    (tmp_path / FILE).write_bytes(kept().to_bytes())
    read = read_out_of_fold(tmp_path)
    for name, value in vars(kept()).items():
        assert np.array_equal(getattr(read, name), value), name


def test_answers_are_found_by_the_photos_contents_in_any_order():
    assert kept().scores_of(marks_of([SHA256S[2], SHA256S[0]])).tolist() == [[4, 5], [0, 1]]
    assert kept().scores_of(marks_of([SHA256S[2], "f" * 64])) is None


def test_a_checkpoint_that_held_photos_back_has_none(tmp_path):
    assert read_out_of_fold(tmp_path) is None
    assert read_out_of_fold(None) is None


@pytest.mark.parametrize(
    "damaged",
    [
        b"",
        b"nonsense",
        kept(scores=np.full((4, 2), np.nan, np.float32)).to_bytes(),
        kept(labels=np.array([0])).to_bytes(),
        kept(featured=np.array([1, 9])).to_bytes(),
    ],
)
def test_what_is_damaged_is_told(tmp_path, damaged):
    (tmp_path / FILE).write_bytes(damaged)
    with pytest.raises(CheckpointError, match="are damaged: train it again"):
        read_out_of_fold(tmp_path)
