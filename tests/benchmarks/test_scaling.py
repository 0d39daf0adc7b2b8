"""The photos of the scaling measurement: as many as asked for, and no two alike."""

from pathlib import Path

from benchmarks.scaling import make_photo
from flowers.data.dataset import scan


def test_no_two_photos_are_alike(garden: Path, tmp_path: Path) -> None:
    pieces = [path.read_bytes() for path in sorted(garden.glob("*/*"))[:3]]  # few, so that many have the same ground
    for name in range(5):
        (tmp_path / f"class-{name}").mkdir()
    for number in range(100):
        make_photo(tmp_path, pieces, number)
    dataset = scan(tmp_path)
    assert len(dataset) == 100 == len(dataset.groups)
    assert set(dataset.counts.values()) == {20}
