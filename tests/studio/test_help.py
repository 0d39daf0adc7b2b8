"""The paragraphs and pictures about the hyperparameters."""

import xml.etree.ElementTree as ElementTree

import pytest
from starlette.applications import Starlette
from starlette.testclient import TestClient

from flowers.recipe import KNOBS
from flowers.studio.help import explanation, html, routes
from flowers.studio.help_pictures import PICTURES, picture
from flowers.studio.language import LANGUAGES, text, texts


@pytest.fixture
def server() -> TestClient:
    return TestClient(Starlette(routes=routes()))


def test_every_hyperparameter_has_a_paragraph_and_a_picture_of_its_own():
    english = texts("en")
    paragraphs = [english[f"knob.{name}.more"] for name in KNOBS]
    assert len(set(paragraphs)) == len(KNOBS)
    assert {
        name: len(words.split())
        for name, words in zip(KNOBS, paragraphs, strict=True)
        if not 50 <= len(words.split()) <= 90
    } == {}
    assert PICTURES.keys() == KNOBS.keys()
    drawn = {picture(name, lambda key: key, "caption") for name in KNOBS}
    assert len(drawn) == len(KNOBS)


@pytest.mark.parametrize("name", KNOBS)
def test_a_picture_is_an_image_with_a_description_and_stays_within_its_frame(name):
    root = ElementTree.fromstring(picture(name, lambda key: f"<{key}&>", "caption"))
    assert root.get("role") == "img" and root.get("aria-labelledby") == "caption"
    _, _, width, height = map(float, root.get("viewBox").split())
    places = [
        tuple(map(float, pair.split(","))) for line in root.iter("{*}polyline") for pair in line.get("points").split()
    ]
    places += [(float(item.get("x")), float(item.get("y"))) for item in root.iter("{*}text")]
    assert [place for place in places if not (-1 <= place[0] <= width and -1 <= place[1] <= height)] == []


@pytest.mark.parametrize("language", LANGUAGES)
def test_the_dialog_is_whole_in_every_language(language):
    for name, knob in KNOBS.items():
        root = ElementTree.fromstring(f"<div>{explanation(name, language)}</div>")
        words = "".join(root.itertext())
        assert root.find("h2").get("id") == "knob-help-title"
        assert text(language, f"knob.{name}.title") in words
        assert text(language, f"knob.{name}.more") in words
        assert not isinstance(knob.default, int | str) or str(knob.default) in words
        assert {"knob-help-caption"} == {item.get("id") for item in root.iter("figcaption")}


def test_the_page_has_a_button_for_each_with_a_name():
    root = ElementTree.fromstring(f"<div>{html()}</div>")
    buttons = [item for item in root.iter("button") if item.get("data-knob")]
    assert [item.get("data-knob") for item in buttons] == list(KNOBS)
    assert all(item.get("aria-label") for item in root.iter("button"))


def test_the_server_answers_in_the_visitors_language_and_only_for_hyperparameters(server):
    english = server.get("/help/learning_rate")
    assert english.status_code == 200 and texts("en")["knob.learning_rate.help"] in english.text
    chinese = server.get("/help/learning_rate", headers={"Accept-Language": "zh-CN"})
    assert text("zh-CN", "help.default") in chinese.text
    for name in ("nothing", "__class__", "%3Cscript%3E", "../classify"):
        assert server.get(f"/help/{name}").status_code == 404
