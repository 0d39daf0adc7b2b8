"""Few photos: what is drawn, what the table says. What it measures takes half an hour."""

from pathlib import Path

import numpy as np
from PIL import Image

from benchmarks.common import circumstances
from benchmarks.few import Photos, Result, _evenly, _row, make_drawings, regression, report, teachable


def photos_of(a_class: int = 20) -> Photos:
    """Two classes whose features lie apart."""
    rng = np.random.default_rng(0)
    labels = np.arange(2 * a_class) % 2
    views = (rng.normal(size=(len(labels), 2, 6)) + 4 * labels[:, None, None]).astype(np.float32)
    held_back = _evenly(labels, 10)
    learn = sorted(set(range(len(labels))) - set(held_back))
    return Photos(
        "made", [Path(f"{i}.png") for i in range(len(labels))], labels, ["a", "b"], learn, held_back, views, 0.1
    )


def test_a_draw_has_as_many_of_each_class_and_none_that_is_held_back():
    photos = photos_of()
    drawn = photos.drawn(3, 0)
    assert np.bincount(photos.labels[drawn]).tolist() == [3, 3]
    assert not set(drawn) & set(photos.held_back)
    assert drawn == photos.drawn(3, 0) != photos.drawn(3, 1)
    assert photos.drawn(0, 0) == photos.learn


def test_others_learn_what_lies_apart_and_looking_is_added_to_their_seconds():
    photos = photos_of()
    for contestant in (regression, teachable):
        result = contestant(photos, photos.drawn(5, 0), Path("none"))
        assert result.accuracy == 1.0
        assert result.seconds > 0.1 / 2 * 10


def test_the_table_has_a_row_for_each_size_and_a_column_for_each_contestant():
    results = [Result(0.9, 0.05, 2.0, 1e9), Result(0.92, 0.03, 4.0, 2e9)]
    rows = [_row("flowers", 5, "auto", results), _row("flowers", 0, "auto", results[:1])]
    page = report(rows, circumstances())
    assert "## flowers: 570 photos held back" in page
    assert "| 5 | 91.0 ± 1.0 (4.0) | 3.0 |" in page
    assert "| all | 90.0 (5.0) | 2.0 |" in page


def test_drawings_are_black_on_white_and_differ(tmp_path):
    make_drawings(tmp_path, 6)
    drawings = [Image.open(path) for path in sorted(tmp_path.glob("*/*.png"))]
    assert {path.name for path in tmp_path.iterdir()} == {"circle", "cross", "square"}
    assert len({drawing.tobytes() for drawing in drawings}) == 6
    assert all(0 < np.mean(np.asarray(drawing) < 128) < 0.3 for drawing in drawings)
