"""The doctor names unreadable files, duplicates and one picture under two labels."""

import shutil

from PIL import Image

from flowers.data.dataset import scan
from flowers.data.doctor import check


def test_a_sound_set_has_no_findings(garden_set):
    findings = check(garden_set)
    assert (findings.duplicates, findings.conflicts) == ((), ())
    text = findings.text()
    assert text.splitlines()[0] == f"40 photos in 5 classes under {garden_set.root}"
    for line in ("       8 daisy", "0 unreadable files, left out", "0 groups of duplicates"):
        assert line in text.splitlines()


def test_everything_wrong_is_named(garden, tmp_path):
    root = shutil.copytree(garden, tmp_path / "set")
    shutil.copy(root / "rose" / "rose-0003.jpg", root / "rose" / "same.jpg")
    shutil.copy(root / "daisy" / "daisy-0001.jpg", root / "tulip" / "not-a-tulip.jpg")
    Image.open(root / "tulip" / "tulip-0002.jpg").resize((90, 90)).save(root / "tulip" / "larger.png")
    (root / "sunflower" / "broken.jpg").write_bytes(b"\xff\xd8\xff")
    findings = check(scan(root))
    assert findings.conflicts == (("daisy/daisy-0001.jpg", "tulip/not-a-tulip.jpg"),)
    assert findings.duplicates == (
        ("rose/rose-0003.jpg", "rose/same.jpg"),
        ("tulip/larger.png", "tulip/tulip-0002.jpg"),
    )
    lines = findings.text().splitlines()
    assert "1 unreadable files, left out" in lines
    assert any(line.startswith("  sunflower/broken.jpg") for line in lines)
    assert "  daisy/daisy-0001.jpg = tulip/not-a-tulip.jpg" in lines
    assert "  rose/rose-0003.jpg = rose/same.jpg" in lines
