"""The picture of a reason: lightest where the evidence is strongest, and dark where the network did not look."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays
from PIL import Image

from flowers.data.preprocess import Preprocessing
from flowers.reason import SQUARE_SIDE, Reason, overlay

HEATS = arrays.arrays(np.float32, (3, 3), elements=st.floats(-100, 100, width=32))


def lightness(image: Image.Image) -> np.ndarray:
    return np.asarray(image.convert("L"), np.int32)


def reason(heat: np.ndarray, size: tuple[int, int] = (512, 512), strongest: float | None = None) -> Reason:
    photo = Image.new("RGB", size, (120, 130, 90))
    prepared = Preprocessing()
    strongest = float(heat.max()) if strongest is None else strongest
    return Reason("rose", heat, strongest, True, prepared.frame(photo), photo, prepared.square(*size))


# The overlay


@settings(max_examples=2 * settings.default.max_examples)
@given(HEATS, st.integers(0, 255))
def test_more_evidence_is_lighter_whatever_the_photo(heat, grey):
    """Read at the middle of each of the map's places, where nothing is mixed in from its neighbours."""
    picture = lightness(overlay(Image.new("RGB", (93, 93), (grey,) * 3), heat))[15::31, 15::31]
    shown = np.maximum(heat, 0)
    order = np.argsort(shown, axis=None)
    assert (np.diff(picture.flat[order]) >= -1).all()  # three colours are rounded, each for itself
    if shown.max() > 0:
        assert picture[shown == shown.max()].min() - picture[shown < 0.9 * shown.max()].max(initial=0) > 0
        assert (picture[shown == 0] == picture.min()).all()


def test_equal_steps_of_evidence_can_be_told_apart():
    heat = np.linspace(0, 1, 8, dtype=np.float32)[None]
    picture = lightness(overlay(Image.new("RGB", (80, 10), "white"), heat))[5, 5::10]
    assert np.diff(picture).min() > 5  # of 255, in grey: also for those who see no colours


@given(HEATS, st.integers(1, 60), st.integers(1, 60))
def test_it_is_as_large_as_the_frame_and_leaves_it_alone(heat, width, height):
    frame = Image.effect_noise((width, height), 80).convert("RGB")
    before = frame.tobytes()
    picture = overlay(frame, heat)
    assert (picture.size, picture.mode) == (frame.size, "RGB")
    assert frame.tobytes() == before


def test_negative_evidence_looks_like_none():
    frame = Image.effect_noise((40, 40), 80).convert("RGB")
    none = overlay(frame, np.zeros((4, 4), np.float32))
    assert overlay(frame, np.full((4, 4), -3, np.float32)).tobytes() == none.tobytes()
    heat = np.array([[-5, 1]], np.float32)
    assert overlay(frame, heat).tobytes() == overlay(frame, np.maximum(heat, 0)).tobytes()


def test_the_scale_may_come_from_elsewhere():
    frame, heat = Image.new("RGB", (40, 40), "grey"), np.array([[0, 1]], np.float32)
    assert overlay(frame, heat, 1.0).tobytes() == overlay(frame, heat).tobytes()
    faint = overlay(frame, heat, 10.0)
    assert lightness(faint).max() < lightness(overlay(frame, heat)).max() - 50
    assert overlay(frame, 3 * heat, 30.0).tobytes() == faint.tobytes()


# The whole picture


def test_the_photo_lies_behind_its_evidence_place_for_place():
    before, after = reason(np.ones((7, 7), np.float32), size=(300, 200)).pictures()
    assert before.size == after.size
    assert before.getpixel((5, 5)) == (120, 130, 90)
    assert after.getpixel((5, 5)) == pytest.approx((24, 26, 18), abs=1)  # not looked at


@pytest.mark.parametrize("size", [(512, 512), (683, 512), (512, 1024), (256, 300), (40, 30)])
def test_the_square_is_laid_over_the_photo_and_the_rest_is_dark(size):
    heat = np.array([[0, 0, 9], [0, 0, 0], [0, 0, 0]], np.float32)
    told = reason(heat, size)
    picture = told.picture()
    scale = picture.width / size[0]
    assert picture.height / picture.width == pytest.approx(size[1] / size[0], rel=0.05)
    side = round((told.box[2] - told.box[0]) * scale)
    assert side >= SQUARE_SIDE - 1
    light = lightness(picture)
    left, top, right, bottom = (round(edge * scale) for edge in told.box)
    inside, outside = light[top + 1 : bottom - 1, left + 1 : right - 1], light.copy()
    outside[top:bottom, left:right] = 0
    assert outside.max() < inside.min(), "what was not looked at is darker than anything that was"
    y, x = np.unravel_index(inside.argmax(), inside.shape)
    assert x > 0.6 * side and y < 0.4 * side, "the evidence is at the top right"


def test_the_strength_is_a_share_of_the_strongest():
    heat = np.array([[-4, 2]], np.float32)
    assert reason(heat).strength == 1
    assert reason(heat, strongest=8).strength == 0.25
    assert reason(-np.abs(heat), strongest=8).strength == 0
    assert reason(-np.abs(heat)).strength == 0
