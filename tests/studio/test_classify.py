"""The Classify tab: the name of the flower, or kindly that it is none; and reasons, only for whoever asks."""

import json
import re

import gradio as gr
import numpy as np
import pytest
from PIL import Image

from flowers.classifier import Answer
from flowers.data.garden import render_flower
from flowers.data.preprocess import Preprocessing
from flowers.errors import DecodeError, FlowersError, UsageError
from flowers.models.checkpoint import Checkpoint
from flowers.reason import Reason
from flowers.studio import classify, common
from flowers.studio.answers import answer_card, facts
from flowers.studio.language import say
from tests.data.malformed import malformed_uploads
from tests.studio.visiting import visit

MALFORMED = dict(malformed_uploads())
FIVE = ("daisy", "dandelion", "rose", "sunflower", "tulip")


@pytest.fixture(autouse=True)
def visiting():
    with visit():
        yield


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
        (1.0, "why.much"),
        (0.1, "why.little"),
        (-0.1, "why.nothing"),
    ],
)
def test_the_words_fit_the_picture(share, said):
    assert say(f"classify.{said}", name="<b>rose</b>") in classify.reason_html(reason(share=share))


def test_an_estimate_is_called_one():
    assert "estimate" in classify.reason_html(reason(exact=False))
    assert "estimate" not in classify.reason_html(reason())


def test_a_hostile_class_name_stays_text():
    html = classify.reason_html(reason('<img src=x onerror="alert(1)">'))
    assert len(re.findall("<img ", html)) == 2  # the photo and its evidence
    assert 'onerror="' not in html


def test_nobody_who_does_not_ask_waits_for_a_reason(monkeypatch, photo):
    monkeypatch.setattr(common, "load_classifier", lambda _: pytest.fail("nobody asked"))
    for path, opened in ((photo, False), (None, True), (None, False)):
        assert classify.show_reason(path, None, None, opened) == common.note(say("classify.why.looking"))


def test_the_page_shows_the_evidence_for_the_class_that_was_chosen(photo):
    for label in FIVE:
        shown = classify.show_reason(photo, None, label, True)
        assert f"<b>{label}</b>" in shown
        assert "data:image/jpeg;base64," in shown
    assert 'role="alert"' in classify.show_reason(photo, None, "orchid", True)


def test_the_answer_offers_the_reasons_for_its_classes(photo):
    _, _, why, labels, correction, kept, _ = classify.show_answer(photo, None)
    assert why["visible"] is True
    assert sorted(labels["choices"]) == sorted(FIVE)
    assert all(f'data-name="{name}"' in correction["value"] for name in FIVE)
    picture, told = classify.explain(photo)
    assert labels["value"] == told["label"] == json.loads(kept)["label"] == classify.classify(photo)["label"]
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


@pytest.mark.filterwarnings("ignore::UserWarning:PIL")  # the TIFF plugin's remarks on broken files
@pytest.mark.parametrize("name", MALFORMED)
def test_a_program_that_sends_what_is_no_photo_gets_one_sentence(name, tmp_path):
    """What the API calls for /classify; tests/browser sends some of them to the running app."""
    (tmp_path / name).write_bytes(MALFORMED[name])
    with pytest.raises(FlowersError) as problem:
        classify.classify(str(tmp_path / name), "flowers-resnet18")
    sentence = str(problem.value)
    assert sentence.startswith(name) and sentence.endswith(".")
    assert "\n" not in sentence and "Traceback" not in sentence


@pytest.mark.parametrize(
    ("known", "heading"), [(True, "I’m quite sure this is a rose"), (False, "Probably none of these two")]
)
def test_what_is_none_of_the_classes_is_called_so_and_still_compared(known, heading):
    answer = Answer("rose", 0.9, {"rose": 0.9, "<b>": 0.1}, 0.02, known, 0.01)
    card = answer_card(answer, facts(answer, Checkpoint("resnet18", ("rose", "<b>"), Preprocessing().to_dict())))
    assert re.search(r"<h2>(.*)</h2>", card)[1] == heading
    assert ("90.0% confident" in card) is known
    assert ("The closest is a rose." in card) is not known
    assert card.count('class="share"') == 2
    assert "<b>" not in re.sub(r"by <b>[^<]*</b>", "", card)


# Many photos


def sent(**data) -> gr.EventData:
    return gr.EventData(None, data)


def test_a_damaged_photo_is_a_row_with_the_reason_and_stops_no_other(photo, tmp_path):
    damaged = tmp_path / "notes.jpg"
    damaged.write_text("no photo")
    *_, (shown, paths, first) = classify.show_many([str(damaged), photo, photo], None)
    assert shown["value"].count("data-row=") == 2
    assert "notes.jpg is a text file" in shown["value"]
    assert (paths, first) == ([str(damaged), photo, photo], photo)
    assert classify.show_row(paths, sent(row=1)) == photo


def test_only_so_many_are_answered_at_once_and_it_is_said(photo, monkeypatch):
    monkeypatch.setattr(classify, "AT_ONCE", 2)
    *_, (shown, paths, _) = classify.show_many([photo] * 3, None)
    assert len(paths) == shown["value"].count("data-row=") == 2
    assert say("classify.many.left_out", limit=2) in shown["value"]


def test_a_table_takes_no_longer_than_others_can_wait(photo, monkeypatch):
    monkeypatch.setattr(classify, "READ_SECONDS", -1)
    *_, (shown, paths, first) = classify.show_many([photo] * 3, None)
    assert (len(paths), first) == (3, photo)
    assert shown["value"].count("was not read in the time allowed here.") == 2


@pytest.mark.parametrize("row", [-1, 1, "0", 0.0, None, [0], "/etc/passwd"])
def test_a_row_that_is_not_there_opens_nothing(photo, row):
    with pytest.raises(gr.Error):
        classify.show_row([photo], sent(row=row))


# Corrections


def test_a_corrected_photo_is_in_my_photos_until_that_is_taken_back(photo):
    said, filed = classify.file_under(photo, None, sent(name="ox-eye daisy"))
    assert say("classify.correct.filed", name="ox-eye daisy") in said
    assert common.my_album().classes == {"ox-eye daisy": filed}
    assert 'data-name="ox-eye daisy"' in classify.show_answer(photo, None)[4]["value"]
    with visit("another"):
        assert common.my_album().classes == {}
    assert classify.file_under(photo, None, sent(name="rose"))[1] == []  # it is there already
    said, left = classify.take_back(filed, None)
    assert left == [] and common.my_album().classes == {}
    assert say("classify.correct.undone") in said and 'data-name="rose"' in said


def test_taking_back_a_correction_leaves_what_was_done_since(photo, tmp_path):
    _, filed = classify.file_under(photo, None, sent(name="rose"))
    other = tmp_path / "other.png"
    render_flower("daisy", seed=2, size=100).save(other)
    added = common.my_album().add("daisy", [other])
    classify.take_back(filed, None)
    assert common.my_album().classes == {"daisy": list(added.photos), "rose": []}


@pytest.mark.parametrize("data", [{}, {"name": ""}, {"name": None}, {"name": "x" * 5000}])
def test_a_name_that_is_none_is_refused_in_a_sentence(photo, data):
    said, filed = classify.file_under(photo, None, sent(**data))
    assert filed == []
    assert 'role="status"' in said


# Recent answers


def test_an_old_answer_is_given_again_or_shown_as_it_was(photo, tmp_path, monkeypatch):
    monkeypatch.setenv("GRADIO_TEMP_DIR", str(tmp_path / "uploads"))
    (tmp_path / "uploads").mkdir()
    path = tmp_path / "uploads" / "rose.png"
    render_flower("rose", seed=1, size=300).save(path)
    kept = json.loads(classify.show_answer(str(path), None)[5])
    assert classify.recall(sent(**kept))[0] == str(path)
    path.unlink()
    again, card, recalled, *_ = classify.recall(sent(**kept))
    assert again is None and recalled == kept
    assert kept["words"] in card and kept["thumb"] in card
    assert classify.show_answer(None, None, recalled)[0] == card
    assert classify.show_answer(photo, None, recalled)[-1] is None  # a newer answer takes its place for good


def test_what_a_browser_sends_back_opens_no_other_file_and_stays_text(monkeypatch, tmp_path):
    monkeypatch.setenv("GRADIO_TEMP_DIR", str(tmp_path))
    hostile = {"words": "<img src=x>", "label": "<b>", "confidences": {"<b>": 1}, "known": True, "checkpoint": "<i>"}
    for path in (__file__, "/etc/passwd", f"{tmp_path}/../x", "\0", "x" * 5000, None, 3, ["x"]):
        photo, card, *_ = classify.recall(sent(path=path, thumb='x" onerror="alert(1)', **hostile))
        assert photo is None
        assert not re.search(r"<img|<i>|<b><|onerror=\"", card)
    for nonsense in ({}, {"confidences": 3}, {**hostile, "thumb": None}, {**hostile, "thumb": "", "label": "x"}):
        assert 'role="alert"' in classify.recall(sent(**nonsense))[1]
