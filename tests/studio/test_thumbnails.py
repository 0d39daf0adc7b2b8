"""Small pictures for the page."""

import base64
import io

from PIL import Image

from flowers.studio.thumbnails import SIDE, thumbnails
from tests.data.test_dataset import picture


def test_thumbnails_are_small_squares_and_nothing_for_what_is_no_photo(tmp_path):
    picture(1, 300).resize((900, 300)).save(tmp_path / "wide.png")
    (tmp_path / "no.png").write_bytes(b"x")
    wide, *others = thumbnails([tmp_path / "wide.png", tmp_path / "no.png", tmp_path / "gone.png"])
    assert others == ["", ""]
    assert Image.open(io.BytesIO(base64.b64decode(wide.partition(",")[2]))).size == (SIDE, SIDE)
