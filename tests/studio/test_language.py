"""The page's words."""

import ast
import functools
import itertools
import json
import re
import string
import tomllib

import pytest

from flowers.data.decode import decode_image
from flowers.errors import DecodeError, UsageError
from flowers.paths import PROJECT
from flowers.recipe import KNOBS
from flowers.studio import language
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


@functools.cache
def modules() -> dict[str, list[ast.AST]]:
    """All that is written in each module, in the order of ``ast.walk``."""
    return {
        path.relative_to(PROJECT).as_posix(): list(ast.walk(ast.parse(path.read_text(encoding="utf-8"))))
        for path in sorted((PROJECT / "flowers").rglob("*.py"))
    }


@functools.cache
def skeletons() -> set[str]:
    """All strings in the code, with {} in the place of values."""
    found = set()
    for nodes in modules().values():
        for node in nodes:
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
        assert "}{" not in english  # nobody could tell where the one value ends and the other begins


# A string of one line that ends in a full stop is a sentence that a visitor may meet, and needs Chinese. But not these.
OTHERS_READ = {  # modules of which the page shows no sentence
    "flowers/cli.py": "the terminal, but for SAID_BY_THE_TERMINAL",
    "flowers/data/loader.py": "a run's log, in the report's own English",
    "flowers/evaluation/report.py": "the report, and whoever has the terminal write one",
    "flowers/models/soup.py": "the terminal: `average`",
    "flowers/share/card.py": "the card, which is written for the Hub",
    "flowers/studio/app.py": "the terminal in which the studio is started",
    "flowers/training/learning_curve.py": "the log; the page says the same by keys",
    "flowers/training/team.py": "a team, which only a terminal starts",
}
SAID_BY_THE_TERMINAL = (  # what the page shows of it: a run's last word, and the finder's
    "It could not be calibrated ({}): try `flowers calibrate` later.",
    "The file{} could not be used ({}).",
)
OTHERS_HEAR = {  # by whom, and how the sentences begin that no visitor meets
    "only a person at a terminal": (
        "There is no run in {}: give", "The folder {} is not empty: choose another, or go on", "{} processes cannot",
        "The machines hold different photos", "A process of the team", "The learning-rate finder works alone",
        "There is no network called", "Answering with ", "Checked with ONNX Runtime", "Perfectly honest confidences",
        "It takes {} of them for known", "It has learned from too few photos", "The checkpoint {} tells {} apart",
        "{} is not what {} was trained on", "{} has all photos in common", "{} would be inside the photo set",
        "{} is there already and not empty", "The class {} would be left", "The largest class has",
        "{} has {} times the photos", "Of {}, {} are few", "There is no photo set named {} to fetch",
        "There are no photos here of", "{}: compared in Chromium.", "{}: compared by ONNX Runtime in Python.",
    ),
    "who reads an exported page's HTML: page_files/words.js says the same in both languages": ("Tells {} apart.",),
    "only a program that calls the engine or the page's API": (
        "The garden does not grow", "The garden needs", "A garden needs",
        "It has learnt from", "There is no preset called", "There is no part called", "No photo was sent",
        "`settings` must be", "{} does not change the pictures", "How many variants",
    ),
    "nobody, for it is caught": (
        "The photos of {} are not here.", "The checkpoint {} has just been replaced by a newer one.",
    ),
    "those who read why a set could not be fetched: names and technical words, cut short in brackets": (
        "kagglehub is not installed", "the download failed", "What arrived as", "The download of", "{} answered",
        "{} cannot be reached", "{} offers {} bytes", "{} leads to no address", "{} is not an address",
    ),
    "those who read a report's figure, which names its most frequent mistake": ("{}; the most frequent mistake",),
}  # fmt: skip


@functools.cache
def sentences() -> dict[str, str]:
    """The sentences in the modules whose sentences the page shows, with {} in the place of values, and their places."""
    found = {}
    for module, nodes in modules().items():
        if module not in OTHERS_READ:
            documentation = {id(node.value) for node in nodes if isinstance(node, ast.Expr)}
            parts = {id(part) for node in nodes if isinstance(node, ast.JoinedStr) for part in node.values}
            for node in nodes:
                said = _string(node) if id(node) not in documentation | parts else ""
                if re.fullmatch(r"[^\n<]+ [^\n]+\.", said) and said != "{} {}.":  # that is decode.py's, put together
                    found[said] = f"{module}:{node.lineno}"
                if isinstance(node, ast.Call) and getattr(node.func, "id", "") == "_Refusal":
                    found[f"{{}} {_string(node.args[0])}."] = f"{module}:{node.lineno}"
    by_key = {value.replace("{{", "{").replace("}}", "}") for value in texts("en").values()}  # a knob's help, and such
    return {said: place for said, place in found.items() if said not in by_key}


def _string(node: ast.AST) -> str:
    if isinstance(node, ast.JoinedStr):
        return "".join(part.value if isinstance(part, ast.Constant) else "{}" for part in node.values)
    return node.value if isinstance(node, ast.Constant) and isinstance(node.value, str) else ""


@pytest.mark.parametrize("code", [code for code in LANGUAGES if code != "en"])
def test_every_sentence_that_a_visitor_may_meet_is_translated(code):
    """A new one either gets a line in texts/*.sentences.toml, or is named above with who meets it in its place."""
    beginnings = tuple(beginning for some in OTHERS_HEAR.values() for beginning in some)
    missing = {}
    for said, place in {**sentences(), **dict.fromkeys(SAID_BY_THE_TERMINAL, "flowers/cli.py")}.items():
        values = [f"‹{number}›" for number in range(said.count("{}"))]
        put = iter(values)
        whole = re.sub(r"\{\}", lambda _, put=put: next(put), said)
        words = language.translated(whole, code)
        left = re.search(r"[a-z']+ [a-z']+ [a-z']+", re.sub(r"`.*?`|pip install [a-z ]+", "", words))
        if not said.startswith(beginnings) and (left or words == whole or not all(value in words for value in values)):
            missing[said] = f"{place}: {words}"
    assert missing == {}


def test_what_others_hear_is_still_said():
    said = sentences()
    for beginning in itertools.chain.from_iterable(OTHERS_HEAR.values()):
        assert any(one.startswith(beginning) for one in said), beginning
    assert skeletons().issuperset(SAID_BY_THE_TERMINAL)
    assert all((PROJECT / module).is_file() for module in OTHERS_READ)


def test_long_words_that_somebody_sends_cost_no_time():
    """A regular expression would need a year for these."""
    for count in (10, 1000):
        sent = " is " * count + " × " * count + " pixels, " * count + " megapixels, and the limit is " * count
        assert language.translated(sent, "zh-CN") == sent


def test_what_visitors_call_things_stays_as_it_is():
    said = language.translated("There is a class called note already: choose another name.", "zh-CN")
    assert said == "已经有名为 note 的类别：请换一个名字。"


@pytest.mark.parametrize(
    ("english", "expected"),
    [
        (
            "Training on the CPU in bfloat16, channels last with 4 threads: measured 6.2× as fast as float32, plain "
            "layout with 1 thread.",
            "在 CPU 上训练，用 bfloat16、channels_last，4 个线程：实测速度是 float32、contiguous，1 个线程 的 6.2 倍。",
        ),
        (
            "The Hub has had too many requests from here: wait a few minutes and try again. It says: Slow down.",
            "从这里发往 Hub 的请求太多了：请等几分钟再试。它说：Slow down。",
        ),
        (
            "The class rose has no photo (3 of its files could not be read): add some, or remove its folder.",
            "类别 rose 没有照片（它有 3 个文件无法读取）：请添加，或移除它的文件夹。",
        ),
        (
            "rotation cannot be 999: give a number from 0 to 180 (degrees).",
            "rotation 不能是 999：请给出从 0 到 180 的数（度）。",
        ),
    ],
)
def test_the_engines_words_within_its_sentences_are_translated_too(english, expected):
    assert language.translated(english, "zh-CN") == expected


def test_a_sentence_of_the_engine_is_put_into_the_visitors_language_with_its_values():
    with pytest.raises(UsageError) as error:
        KNOBS["epochs"].parse("{x}")
    with visit(language="zh-CN"):
        assert sentence(str(error.value)) == "epochs 必须是数，不能是 '{x}'：请给出从 1 到 1000 的整数。"
        assert sentence("Nobody has said this.") == "Nobody has said this."
        with pytest.raises(DecodeError) as error_of_photo:
            decode_image(b"hello, this is text", name="a.jpg")
        assert "是文本文件，不是照片" in sentence(str(error_of_photo.value))
    with visit(language="en"):
        assert sentence(str(error.value)) == str(error.value)
