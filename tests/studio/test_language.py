"""The page's words."""

import ast
import json
import re
import string
import tomllib

import gradio as gr
import pytest

from flowers.data.decode import decode_image
from flowers.errors import UsageError
from flowers.paths import PROJECT
from flowers.recipe import KNOBS
from flowers.studio import common, language
from flowers.studio.language import FOLDER, LANGUAGES, _with_words, chosen, say, sentence, text, texts
from tests.studio.visiting import visit


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
    told = json.loads(_with_words(page.encode(), "en"))
    assert told == {"label": f'of {value} "so" <b>', "again": 'x of 1 "so" <b> y'}


def test_the_page_says_which_language_it_is_in():
    page = _with_words(f'<html lang="en"><head></head>{say("tab.train")}'.encode(), "zh-CN").decode()
    assert 'lang="zh-CN"' in page and "navigator" in page
    assert re.search(r"[\u4e00-\u9fff]|\\u", page)


def test_a_word_without_english_is_a_mistake():
    with pytest.raises(KeyError):
        say("no.such.word")


def test_recipe_words_are_there_for_the_page():
    assert text("en", "knob.learning_rate.title") == "Learning rate"


def test_what_a_stranger_writes_is_never_taken_for_a_mark():
    for words in ("~~x~~", "~~page.tagline~~", "~~link.no_tab?name=%3Cimg%20src%3Dx%3E~~", "~~a?b~~"):
        assert _with_words(words.encode(), "en").decode() == words


# What the engine says


def skeletons() -> set[str]:
    """All strings in the code, with {} in the place of values."""
    found = set()
    for path in (PROJECT / "flowers").rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.JoinedStr):
                found.add("".join(part.value if isinstance(part, ast.Constant) else "{}" for part in node.values))
            elif isinstance(node, ast.Constant) and isinstance(node.value, str):
                found.add(node.value)
    return found


@pytest.mark.parametrize("code", [code for code in LANGUAGES if code != "en"])
def test_every_translated_sentence_is_still_said_and_takes_the_same_values(code):
    said = skeletons()
    for english, words in tomllib.loads((FOLDER / f"{code}.sentences.toml").read_text(encoding="utf-8")).items():
        skeleton = re.sub(r"\{\w+\}", "{}", english)
        refusal = skeleton.removeprefix("{} ").removesuffix(".")  # decode.py puts a photo's name before it
        whole = {skeleton, refusal} & said
        assert whole or (not fields(english) and any(english in one for one in said)), english
        assert fields(words) == fields(english)


def test_long_words_that_somebody_sends_cost_no_time():
    """A regular expression would need a year for these."""
    for count in (10, 1000):
        sent = " is " * count + " × " * count + " pixels, " * count + " megapixels, and the limit is " * count
        assert language.translated(sent, "zh-CN") == sent


def test_what_visitors_call_things_stays_as_it_is():
    said = language.translated("There is a class called note already: choose another name.", "zh-CN")
    assert said == "已经有名为 note 的类别：请换一个名字。"


def test_a_sentence_of_the_engine_is_put_into_the_visitors_language_with_its_values():
    with pytest.raises(UsageError) as error:
        KNOBS["epochs"].parse("{x}")
    with visit(language="zh-CN"):
        assert sentence(str(error.value)) == "epochs 必须是数，不能是 '{x}'：请给出从 1 到 1000 的整数。"
        assert sentence("Nobody has said this.") == "Nobody has said this."
        with pytest.raises(gr.Error, match="是文本文件，不是照片"):
            common.in_words(lambda: decode_image(b"hello, this is text", name="a.jpg"))()
    with visit(language="en"):
        assert sentence(str(error.value)) == str(error.value)
