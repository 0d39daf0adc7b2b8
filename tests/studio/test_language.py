"""The page's words."""

import json
import re
import string

import pytest

from flowers.studio import language
from flowers.studio.language import LANGUAGES, _translated, chosen, say, text, texts


def fields(template: str) -> set[str]:
    return {name for _, name, _, _ in string.Formatter().parse(template) if name is not None}


@pytest.mark.parametrize("code", set(LANGUAGES) - {"en"})
def test_every_text_is_translated_and_takes_the_same_values(code):
    english, other = texts("en"), texts(code)
    assert set(english) == set(other)
    assert [key for key in english if fields(english[key]) != fields(other[key])] == []


@pytest.mark.parametrize(
    ("headers", "expected"),
    [
        ({}, "en"),
        ({"accept-language": "de-DE,de;q=0.9,zh;q=0.8"}, "zh-CN"),
        ({"accept-language": "zh-TW"}, "zh-CN"),
        ({"accept-language": "de"}, "en"),
        ({"accept-language": "zh-CN", "cookie": "flowers_language=en"}, "en"),
        ({"accept-language": "en", "cookie": "a=b; flowers_language=zh-CN"}, "zh-CN"),
        ({"accept-language": "en", "cookie": "flowers_language=xx"}, "en"),
        ({"accept-language": "en", "cookie": "\x00;=;;flowers_language"}, "en"),
    ],
)
def test_the_visitors_language(headers, expected):
    assert chosen(headers) == expected


def test_a_mark_becomes_the_text_however_strange_its_values(monkeypatch):
    monkeypatch.setattr(language, "texts", lambda _: {"a.b": 'of {what} "so" <b>'})
    value = "a~~b ;=%&\"'<日>"
    page = json.dumps({"label": say("a.b", what=value), "again": f"x {say('a.b', what='1')} y"})
    told = json.loads(_translated(page.encode(), "en"))
    assert told == {"label": f'of {value} "so" <b>', "again": 'x of 1 "so" <b> y'}


def test_the_page_says_which_language_it_is_in():
    page = _translated(f'<html lang="en"><head></head>{say("tab.train")}'.encode(), "zh-CN").decode()
    assert 'lang="zh-CN"' in page and "navigator" in page
    assert re.search(r"[\u4e00-\u9fff]|\\u", page)


def test_a_word_without_english_is_a_mistake():
    with pytest.raises(KeyError):
        say("no.such.word")


def test_recipe_words_are_there_for_the_page():
    assert text("en", "knob.learning_rate.title") == "Learning rate"


def test_what_a_stranger_writes_is_never_taken_for_a_mark():
    for words in ("~~x~~", "~~page.tagline~~", "~~link.no_tab?name=%3Cimg%20src%3Dx%3E~~", "~~a?b~~"):
        assert _translated(words.encode(), "en").decode() == words
