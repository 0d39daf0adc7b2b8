"""The Classify tab: the name of the flower, or kindly that it is none; and reasons, only for whoever asks."""

import re

import numpy as np
import pytest
from PIL import Image

from flowers.classifier import Answer
from flowers.data.garden import render_flower
from flowers.data.preprocess import Preprocessing
from flowers.errors import DecodeError, UsageError
from flowers.models.checkpoint import Checkpoint
from flowers.reason import Reason
from flowers.studio import classify, common
from flowers.studio.classify import answer_card

FIVE = ("daisy", "dandelion", "rose", "sunflower", "tulip")


@pytest.fixture(scope="module")
def photo(tmp_path_factory):
    path = tmp_path_factory.mktemp("photos") / "tulip.png"
    render_flower("tulip", seed=1, size=300).save(path)
    return str(path)


def reason(label: str = "rose", share: float = 1.0, exact: bool = True) -> Reason:
    image = Image.new("RGB", (256, 256), "green")
    heat = np.array([[-1, share]], np.float32)
    return Reason(label, heat, 1.0, exact, image, image, Preprocessing().square(256, 256))


@pytest.mark.parametrize(
    ("share", "said"),
    [
        (1.0, "Where the network found evidence for <b>rose</b>."),
        (0.1, "The network found hardly any evidence for <b>rose</b> in this photo."),
        (-0.1, "The network found no evidence for <b>rose</b> in this photo."),
    ],
)
def test_the_words_fit_the_picture(share, said):
    assert f"<p>{said}</p>" in classify.reason_html(reason(share=share))


def test_an_estimate_is_called_one():
    assert "estimate" in classify.reason_html(reason(exact=False))
    assert "estimate" not in classify.reason_html(reason())


def test_a_hostile_class_name_stays_text():
    html = classify.reason_html(reason('<img src=x onerror="alert(1)">'))
    assert len(re.findall("<img ", html)) == 1
    assert 'onerror="' not in html


def test_nobody_who_does_not_ask_waits_for_a_reason(monkeypatch, photo):
    monkeypatch.setattr(common, "load_classifier", lambda _: pytest.fail("nobody asked"))
    for path, opened in ((photo, False), (None, True), (None, False)):
        assert classify.show_reason(path, None, None, opened) == common.note(classify.LOOKING)


def test_the_page_shows_the_evidence_for_the_class_that_was_chosen(photo):
    for label in FIVE:
        shown = classify.show_reason(photo, None, label, True)
        assert f"<b>{label}</b>" in shown
        assert "data:image/jpeg;base64," in shown
    assert 'role="alert"' in classify.show_reason(photo, None, "orchid", True)


def test_the_answer_offers_the_reasons_for_its_classes(photo):
    _, _, why, labels = classify.show_answer(photo, None)
    assert why["visible"] is True
    assert sorted(labels["choices"]) == sorted(FIVE)
    picture, facts = classify.explain(photo)
    assert labels["value"] == facts["label"] == classify.classify(photo)["label"]
    assert picture.width == picture.height  # as of the photo
    for nothing in (None, __file__):
        assert classify.show_answer(nothing, None)[2]["visible"] == "hidden"


def test_programs_get_sentences_too(photo, tmp_path):
    with pytest.raises(UsageError, match="No photo was sent"):
        classify.explain(None)
    with pytest.raises(UsageError, match="the classes are daisy, dandelion, rose, sunflower, tulip"):
        classify.explain(photo, None, "orchid")
    with pytest.raises(DecodeError, match=r"notes\.jpg"):
        (tmp_path / "notes.jpg").write_text("no photo")
        classify.explain(str(tmp_path / "notes.jpg"))


class Answering:
    """As much of a classifier as the card asks."""

    checkpoint = Checkpoint("resnet18", ("rose", "<b>"), Preprocessing().to_dict())


@pytest.mark.parametrize(("known", "heading"), [(True, "Rose"), (False, "Probably none of the two")])
def test_what_is_none_of_the_classes_is_called_so_and_still_compared(known, heading):
    card = answer_card(Answer("rose", 0.9, {"rose": 0.9, "<b>": 0.1}, 0.02, known, 0.01), Answering)
    assert re.search(r"<h2>(.*)</h2>", card)[1] == heading
    assert ("90.0% confident" in card) is known
    assert ("it looks most like rose." in card) is not known
    assert card.count('class="share"') == 2
    assert "<b>" not in re.sub(r"by <b>[^<]*</b>", "", card)
