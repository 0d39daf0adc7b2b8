"""What the Evaluate tab shows of an evaluation: every number, in tables and in words."""

import json
import re
import xml.etree.ElementTree as ElementTree
from dataclasses import replace
from html import unescape
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
from gradio.context import LocalContext

from flowers.data.dataset import Unreadable
from flowers.evaluation.compare import compare
from flowers.evaluation.evaluate import Evaluation, Outcome
from flowers.studio import results
from flowers.studio.language import texts
from flowers.studio.results import curves_html, matrix_html, rejection_html, reliability_html, results_html, verdict
from flowers.studio.words import share_of

BROKEN = Unreadable("rose/broken.jpg", "rose/broken.jpg is damaged.")
EVIL = "<img src=x onerror=alert(1)>"


@pytest.fixture(autouse=True)
def in_an_event():
    """Somebody is being answered, in English."""
    token = LocalContext.request.set(SimpleNamespace(headers={}, cookies={}, session_hash="somebody"))
    yield
    LocalContext.request.reset(token)


def made_up(classes=("rose", "tulip"), answers=((0, 0), (0, 1), (1, 1)), sure=0.75, **changes) -> Evaluation:
    outcomes = tuple(Outcome(f"{a}/{i}.jpg", a, b, sure, 1 - sure) for i, (a, b) in enumerate(answers))
    shares = np.full((len(outcomes), len(classes)), (1 - sure) / max(1, len(classes) - 1), dtype=np.float32)
    shares[np.arange(len(outcomes)), [b for _, b in answers]] = sure
    parts = (True, True, (), "val", 0, tuple(classes), outcomes, shares)
    known = Evaluation("my run", "my set", Path("/secret/folder"), "d9c0234e", *parts)
    held_back = changes.get("split", "val") == "val" and changes.get("same_set", True)
    return replace(known, **{"held_back": held_back, **changes})


def tables(page: str) -> list[ElementTree.Element]:
    return [ElementTree.fromstring(table) for table in re.findall(r"<table.*?</table>", page, re.S)]


def test_the_results_hold_the_numbers_as_a_table_with_headers():
    html = results_html(made_up())
    assert "<h2>2 of 3</h2>" in html
    assert "of 100 others like them, 21 to 94 may be right" in html  # Wilson's, of 2 in 3
    table = tables(html)[0]
    assert [head.text for head in table.iter("th")] == [
        "Class", "Photos", "Precision", "Recall", "F1", "rose", "tulip"
    ]  # fmt: skip
    assert {head.get("scope") for head in table.iter("th")} == {"col", "row"}
    cells = [cell.text for cell in table.iter("td")]
    assert cells == ["2", "1 of 1", "1 of 2", "0.67", "1", "1 of 2", "1 of 1", "0.67"]


def test_what_was_not_measured_is_a_dash_and_not_a_nought():
    table = tables(results_html(made_up(("rose", "tulip", "orchid"), [(0, 0), (0, 1)])))[0]
    cells = [cell.text for cell in table.iter("td")]
    assert cells == ["2", "1 of 1", "1 of 2", "0.67", "0", "0 of 1", "–", "0.00", "0", "–", "–", "–"]


@pytest.mark.parametrize(
    ("changes", "sentence"),
    [
        ({"split": "val"}, "These photos were held back while it was trained."),
        ({"split": "train"}, "It has learnt from these very photos: expect less of it on new ones."),
        ({"split": "all"}, "It has learnt from most of these photos: expect less of it on new ones."),
        ({"split": "val", "same_set": False}, "This is another photo set than the one it was trained on"),
        ({"unreadable": (BROKEN,)}, "One file of the set cannot be read"),
        ({"unreadable": (BROKEN,) * 3}, "3 files of the set cannot be read"),
    ],
)
def test_it_says_how_much_the_number_is_worth(changes, sentence):
    result = made_up(**changes)
    assert sentence in results_html(result)
    assert results._worth(result) == result.worth()  # what the report says


def test_no_mistake_is_a_reason_to_be_glad():
    happy = texts("en")["evaluate.no_mistakes"]
    assert happy in results_html(made_up(answers=[(0, 0), (1, 1)]))
    assert happy not in results_html(made_up())


def test_strangers_names_stay_text():
    result = made_up((EVIL, "tulip"), checkpoint=EVIL, source=EVIL)
    pages = [results_html(result, compare(result, result)), curves_html(result)]
    asked = {"kind": "cell", "truth": 0, "answer": 0}
    pages.append(results.photos_html(result, "title", "hint", asked, [0, 1], 0, 2, second=result))
    for page in pages:
        assert "<img src=x" not in page
    assert pages[0].count("&lt;img") >= 5


# The confusion matrix


@pytest.mark.parametrize("classes", [2, 5, 100])
def test_the_matrix_is_a_table_whose_numbers_are_buttons(classes):
    rng = np.random.default_rng(classes)
    answers = [tuple(pair) for pair in rng.integers(0, classes, (300, 2)).tolist()]
    result = made_up([f"class {i}" for i in range(classes)], answers)
    (table,) = tables(matrix_html(result))
    rows = table.find("tbody").findall("tr")
    assert [row.find("th/span").text for row in rows] == list(result.classes)
    for truth, row in enumerate(rows):
        for answer, cell in enumerate(row.findall("td")):
            button, count = cell.find("button"), result.confusion[truth, answer]
            if not count:
                assert button is None and (cell.text or "0") == "0"
                continue
            assert (button.text, button.get("type")) == (str(count), "button")
            assert json.loads(unescape(button.get("data-look"))) == {"kind": "cell", "truth": truth, "answer": answer}
            label = button.get("aria-label")
            assert f"class {truth} named" in label and f"{count} photos" in label and "show them" in label
            assert cell.get("class") == ("right" if truth == answer else "wrong")
    stops = [button.get("tabindex") for button in table.iter("button")]
    assert stops.count("0") == 1 and set(stops) <= {"0", "-1"}


def test_the_larger_a_cells_share_of_its_row_the_deeper_it_is():
    page = matrix_html(made_up(answers=[(0, 0)] * 9 + [(0, 1)] + [(1, 1)] * 5))
    depths = [int(depth) for depth in re.findall(r"--depth:(\d+)%", page)]
    assert depths[2] > depths[0] > depths[1] > 15  # one in ten is well seen
    assert max(depths) <= 78  # or the number would not stand out


# What its confidence is worth


def test_the_reliability_diagram_is_shown_and_told_with_its_table():
    html = reliability_html(made_up())
    assert "On average it is 75% sure. Right: 2 of 3." in html
    assert "the expected calibration error is 8.3%." in html
    (table,) = tables(html)
    assert [cell.text for cell in table.iter("td")] == ["3", "75%", "2 of 3"]


def test_the_calibration_error_is_told_of_photos_enough():
    few, many = (results_html(made_up(answers=((0, 0), (0, 1), (1, 1)) * times)) for times in (1, 40))
    assert "calibration error" not in few
    assert '<dt>calibration error</dt><dd class="value">8%</dd>' in many
    assert "<h2>67%</h2>" in many


def test_the_slider_has_for_every_level_the_answers_given_and_the_right_ones():
    rng = np.random.default_rng(0)
    sure = rng.uniform(0.5, 1, 200)
    right = rng.random(200) < sure
    outcomes = tuple(
        Outcome("a.jpg", 0, 0 if hit else 1, float(one), float(1 - one)) for one, hit in zip(sure, right, strict=True)
    )
    shares = np.stack([np.where(right, sure, 1 - sure), np.where(right, 1 - sure, sure)], 1)
    html = rejection_html(made_up(outcomes=outcomes, probabilities=shares))
    data = json.loads(unescape(re.search(r'data-curve="([^"]*)"', html)[1]))
    assert data["total"] == 200 and data["levels"] == sorted(data["levels"])
    for level, (answered, hits) in zip(data["levels"], data["counts"], strict=True):
        assert answered == (sure >= level).sum()
        assert hits == right[sure >= level].sum()
    assert f'max="{len(data["levels"]) - 1}"' in html
    (table,) = tables(html)
    rows = [[cell.text for cell in row] for row in table.find("tbody")]
    assert rows[0] == ["0%", "100%", share_of(right.mean(), 200)]
    assert [row[0] for row in rows] == ["0%", "50%", "70%", "80%", "90%", "95%", "99%"]


def test_where_nothing_is_sure_enough_there_is_a_dash():
    (table,) = tables(rejection_html(made_up()))
    assert [cell.text for cell in table.find("tbody")[-1]] == ["99%", "0 of 3", "–"]


# Two checkpoints


def differing(one: int, other: int, both: int = 0, **changes):
    first = made_up(answers=[(0, 0)] * (one + both) + [(0, 1)] * other, checkpoint="A")
    second = made_up(
        answers=[(0, 1)] * one + [(0, 0)] * (both + other), **{"checkpoint": "B", **changes}
    )  # fmt: skip
    return compare(first, second)


def test_the_verdict_is_honest_about_chance():
    plain = [re.sub("</?b>", "", verdict(differing(*pair))) for pair in ((30, 22), (5, 30), (4, 4), (0, 0, 3))]
    assert plain[0] == "30 photos only A gets right, 22 only B: that could be chance (p = 0.33)."
    assert "more than chance (p < 0.001), so B is likely better" in plain[1]
    assert plain[2].endswith("4 only B: no difference at all (p = 1).")
    assert plain[3] == "A and B get the very same photos right."


def test_the_comparison_has_both_accuracies_and_every_class():
    page = results.comparison_html(differing(1, 2, 1))
    (table,) = tables(page)
    rows = [["".join(cell.itertext()) for cell in row] for row in table.find("tbody")]
    assert rows[0] == ["All", "4", "2 of 4 (15% – 85%)", "3 of 4 (30% – 95%)", "+25.0"]
    assert rows[1] == ["rose", "4", "2 of 4", "3 of 4", "+25.0"]
    looks = [json.loads(unescape(one))["kind"] for one in re.findall(r'data-look="([^"]*)"', page)]
    assert looks == ["first", "second"]


def test_a_network_that_has_learnt_from_the_photos_is_not_praised_for_it():
    assert "flatters B" in results.comparison_html(differing(1, 9, held_back=False))
    unknown = results.comparison_html(differing(1, 9, held_back=False, same_set=False))
    assert "whether B has learnt from some of them is not known" in unknown
    assert "flatters" not in results.comparison_html(differing(1, 9)) + unknown
