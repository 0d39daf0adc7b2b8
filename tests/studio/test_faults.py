"""Whatever an event raises, its visitor gets a sentence, and the log a line."""

import json
import logging

import pytest
from hypothesis import given
from hypothesis import strategies as st

from flowers.studio import faults
from tests.studio.serving import served

READ = "This request could not be understood: reload the page, and try again."
FAULT = "Something went wrong here, which is not your fault: try again, or tell whoever runs this studio."
USAGE = "rotation cannot be 999: give a number from 0 to 180 (degrees)."


@pytest.fixture(scope="module")
def serving():
    with served() as serving:
        yield serving


def told(serving, word, language: str = "en") -> str:
    """What the page hears of an event that ``word`` makes fail."""
    with serving.browser(headers={"accept-language": language}) as browser:
        asked = serving.join(browser, word, "raises", session="somebody")
        assert asked.status_code == 200
        heard = serving.heard(browser, "somebody")
    done = [json.loads(line[6:]) for line in heard.splitlines() if "process_completed" in line]
    assert [one["success"] for one in done] == [False]
    return done[0]["output"]["error"]


FULL = "The server cannot write (No space left on device): tell whoever runs this studio."


@pytest.mark.parametrize(
    ("kind", "words"), [("usage", USAGE), ("ours", "Ours."), ("theirs", READ), ("other", FAULT), ("full", FULL)]
)
def test_an_error_is_a_sentence_that_tells_no_secret(serving, kind, words):
    assert told(serving, kind) == words


def test_it_is_in_the_visitors_language(serving):
    assert told(serving, "usage", "zh") == "rotation 不能是 999：请给出从 0 到 180 的数（度）。"
    assert told(serving, "other", "zh").startswith("这里出了错")


@pytest.mark.parametrize("data", [[], {}, None, "x", [[[]]]])
def test_an_input_of_the_wrong_shape_is_a_sentence(serving, data):
    number = next(key for key, event in serving.page.fns.items() if event.api_name == "raises")
    with serving.browser() as browser:
        answer = browser.post("queue/join", json={"fn_index": number, "data": data, "session_hash": "wrong"})
        if answer.status_code == 200:
            assert READ in (heard := serving.heard(browser, "wrong")) or FAULT in heard
        else:
            assert answer.status_code in (400, 422)


@pytest.mark.parametrize("name", ["nothing", "quick"])
def test_a_program_that_calls_what_there_is_not_gets_a_sentence(serving, name):
    with serving.browser() as browser:
        answer = browser.post(f"call/v2/{name}", json={"wrong": 1})
    assert answer.status_code == 400
    assert answer.json()["detail"] == READ


def test_the_log_has_a_traceback_once_and_then_few_lines(caplog):
    faults._seen.clear()
    with caplog.at_level(logging.WARNING):
        for number in range(1000):
            try:
                raise ValueError(f"evil\n\x1b[31m {number}" * 100)
            except ValueError as error:
                faults.tell(error, "somewhere")
    assert [record.args[1] for record in caplog.records] == [1, 10, 100, 1000]
    assert [bool(record.exc_info) for record in caplog.records] == [True, False, False, False]
    assert all("\n" not in record.getMessage() and "\x1b" not in record.getMessage() for record in caplog.records)
    assert all(len(record.getMessage()) < 1000 for record in caplog.records)


JSON = st.recursive(
    st.none() | st.booleans() | st.floats() | st.text(st.characters(), max_size=9),
    lambda inner: (
        st.lists(inner, max_size=4) | st.dictionaries(st.text(st.characters(), max_size=5), inner, max_size=4)
    ),
    max_leaves=12,
)


@given(JSON)
def test_whatever_comes_in_can_be_sent_again(value):
    cleaned = faults.whole(value)
    json.dumps(cleaned, ensure_ascii=False).encode()
    assert faults.whole(cleaned) == cleaned or "NaN" in json.dumps(cleaned)


def test_half_a_character_costs_nobody_an_answer(serving):
    with serving.browser() as browser:
        number = next(key for key, event in serving.page.fns.items() if event.api_name == "slow")
        serving.go_on.set()
        asked = json.dumps({"fn_index": number, "data": ["evil \ud800."], "session_hash": "half"})
        answer = browser.post("queue/join", content=asked, headers={"content-type": "application/json"})
        assert answer.status_code == 200
        assert '"evil ."' in serving.heard(browser, "half")
