"""What a camera's frames are answered with, and what a stranger may send in their place."""

import io
import json
from types import SimpleNamespace

import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image
from starlette.applications import Starlette
from starlette.testclient import TestClient

from flowers.classifier import Answer
from flowers.data.garden import render_flower
from flowers.models.calibration import UNFAMILIAR
from flowers.studio import live
from flowers.studio.live import NEW, state, steadied
from flowers.studio.visitors import LIVE

TWO = SimpleNamespace(classes=("rose", "tulip"))


def answer(rose: float, familiarity: float | None = None) -> Answer:
    shares = {"rose": rose, "tulip": 1 - rose}
    label = max(shares, key=shares.get)
    return Answer(label, shares[label], shares, 0.01, familiarity is None or familiarity >= UNFAMILIAR, familiarity)


def jpeg(image: Image.Image, format: str = "JPEG") -> bytes:
    file = io.BytesIO()
    image.save(file, format)
    return file.getvalue()


FRAME = jpeg(render_flower("sunflower", 3, 256))


@pytest.fixture(scope="module")
def client():
    return TestClient(Starlette(routes=live.routes()))


def ask(client, frame: bytes = FRAME, before: str = "", **asked):
    return client.post(LIVE, params=asked, content=before.encode() + b"\n" + frame)


# Over HTTP


def test_a_frame_gets_the_card_of_an_answer(client):
    told = ask(client).json()
    assert "sunflower" in told["card"] and 'class="bars"' in told["card"]
    shares, _ = json.loads(told["state"])
    assert len(shares) == 5 and sum(shares) == pytest.approx(1, abs=0.001)


def test_in_the_visitors_language(client):
    said = client.post(LIVE, content=b"\n" + FRAME, headers={"accept-language": "zh-CN"}).json()
    assert "sunflower" in said["card"] and "This is" not in said["card"] and "sure" not in said["card"]


def test_who_asks_why_gets_the_square_and_its_evidence(client):
    told = ask(client, why="1").json()
    assert told["heat"].startswith("data:image/jpeg;base64,")
    left, top, right, bottom = told["box"]
    assert 0 <= left < right <= 1 and 0 <= top < bottom <= 1
    assert "heat" not in ask(client).json()


@pytest.mark.parametrize(
    "frame",
    [
        b"", b"no picture", FRAME[:500], b"\xff\xd8\xff" * 100, jpeg(Image.new("RGB", (1400, 20))),
        jpeg(Image.new("L", (5000, 5000)), "PNG"), b"\xff\xd8" + bytes(400_000), jpeg(Image.new("RGB", (2, 2))),
    ],
)  # fmt: skip
def test_what_is_no_picture_of_a_camera_gets_a_sentence(client, frame):
    told = ask(client, frame)
    assert (told.status_code, told.json()) == (400, {"problem": live.NO_FRAME})


def test_a_checkpoint_that_is_not_offered_gets_a_sentence(client):
    told = ask(client, checkpoint="../../etc")
    assert told.status_code == 400
    assert told.json()["problem"].endswith(".")


# What was told before


def test_a_change_is_told_by_and_by():
    told, frames = answer(0.0), 0
    while told.label == "tulip":
        told = steadied(answer(1.0), state(told), TWO)
        frames += 1
    assert frames == 2  # one odd frame changes no word
    assert steadied(answer(1.0), state(answer(0.0)), TWO).confidences["rose"] == pytest.approx(NEW)


def test_whether_it_is_known_does_not_flicker_either():
    known, odd = answer(0.9, 0.9), answer(0.9, 0.0)
    assert not odd.known
    assert steadied(odd, state(known), TWO).known


@pytest.mark.parametrize(
    "before",
    [
        "", "{", "[]", "[[1,0]]", "[[0.5,0.25,0.25],null]", "[[2,-1],null]", '[["a","b"],null]', "[[NaN,NaN],null]",
        "[[1e999,0],null]", "[[0,0],null]", "[" * 100_000, '[{"rose":1},0]', "[[1,0],null,3]", '[[1,0],"x"]',
        b"\xff\xfe",
    ],
)  # fmt: skip
def test_another_state_is_left_out(before):
    assert steadied(answer(0.7, 0.5), before, TWO) == answer(0.7, 0.5)


@given(st.floats(0, 1), st.floats(0, 1), st.floats(0, 1), st.floats(0, 1))
def test_what_is_told_is_an_answer_between_both(rose, before, familiarity, familiar_before):
    told = steadied(answer(rose, familiarity), state(answer(before, familiar_before)), TWO)
    assert sum(told.confidences.values()) == pytest.approx(1)
    assert min(rose, before) - 0.001 <= told.confidences["rose"] <= max(rose, before) + 0.001
    assert told.confidence == max(told.confidences.values()) == told.confidences[told.label]
