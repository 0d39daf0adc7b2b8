"""Answers as HTML and CSV: whole, and harmless whatever the names."""

import base64
import csv
import io
import re

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from flowers.classifier import Answer
from flowers.models.checkpoint import Checkpoint
from flowers.studio.answers import FORMULA, Row, answer_card, as_csv, corrected, correction, facts, table
from tests.studio.visiting import visit

HOSTILE = '<img src=x onerror="alert(1)">'
names = st.text(min_size=1, max_size=20).filter(lambda name: "/" not in name and "\0" not in name)


@pytest.fixture(autouse=True)
def visiting():
    with visit():
        yield


def answer(classes=("rose", "tulip"), known: bool = True, familiarity: float | None = 0.25) -> Answer:
    rest = 0.25 / (len(classes) - 1)
    shares = {name: 0.75 if name == classes[0] else rest for name in classes}
    return Answer(classes[0], 0.75, shares, 0.02, known, familiarity)


def lines(rows, classes=("rose", "tulip")) -> list[list[str]]:
    return list(csv.reader(io.StringIO(as_csv(rows, classes), newline="")))


def test_the_csv_file_has_a_line_for_every_photo():
    rows = [Row("/x/a.jpg", answer()), Row("/x/b.jpg", None, "is empty"), Row("/x/c.jpg", answer(known=False))]
    assert lines([*rows, Row("d.jpg", answer(familiarity=None))]) == [
        ["file", "label", "confidence", "known", "familiarity", "rose", "tulip"],
        ["a.jpg", "rose", "0.750000", "yes", "0.250000", "0.750000", "0.250000"],
        ["b.jpg"],
        ["c.jpg", "rose", "0.750000", "no", "0.250000", "0.750000", "0.250000"],
        ["d.jpg", "rose", "0.750000", "yes", "", "0.750000", "0.250000"],
    ]


@settings(max_examples=2 * settings.default.max_examples)
@given(names, names)
def test_no_name_is_a_formula_in_a_spreadsheet(file, label):
    classes = (f"={label}", file)
    for cell in (cell for line in lines([Row(f"/x/{file}", answer(classes))], classes) for cell in line):
        assert not cell.startswith(FORMULA)
    assert lines([Row("/x/=1+1.jpg", answer())])[1][0] == "'=1+1.jpg"


def test_the_table_carries_the_file_and_marks_what_is_seen_at_first():
    rows = [Row("/x/a.jpg", None, "a.jpg is empty."), Row("/x/b.jpg", answer()), Row("/x/c.jpg", answer(known=False))]
    html = table(rows, ("rose", "tulip"))
    link = re.search(r'href="data:text/csv;charset=utf-8;base64,([^"]*)"', html)[1]
    assert base64.b64decode(link).decode("utf-8-sig") == as_csv(rows, ("rose", "tulip"))
    assert re.findall(r'data-row="(\d)" class="(\w*)"', html) == [("1", "chosen"), ("2", "")]
    assert "a.jpg is empty." in html


@pytest.mark.parametrize("told", ["0.9", [], {}, float("nan"), 10**400, True], ids="{!s:.9}".format)
def test_an_accuracy_that_is_none_costs_no_answer(told):
    checkpoint = Checkpoint("resnet18", ("rose", "tulip"), {}, metrics={"val_accuracy": told})
    assert facts(answer(), checkpoint) == facts(answer(), Checkpoint("resnet18", ("rose", "tulip"), {}))


def test_a_hostile_name_stays_text():
    classes = (HOSTILE, "b")
    rows = [Row(f"/x/{HOSTILE}", None, HOSTILE), Row(f"/x/{HOSTILE}", answer(classes))]
    html = table(rows, classes) + answer_card(answer(classes), "") + correction([HOSTILE] * 20) + corrected(HOSTILE)
    assert "<img src=x" not in html
    assert 'onerror="' not in html
