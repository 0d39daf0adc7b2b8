"""The figures as SVGs: sound XML for any class name, and nothing that touches the page around them."""

import re
import threading
import warnings
import xml.etree.ElementTree as ElementTree

import matplotlib
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from flowers.evaluation.figures import (
    INK,
    RIGHT,
    SHOWN,
    WRONG,
    confusion_figure,
    confusion_summary,
    figure_svg,
    learning_rate_figure,
    most_confused,
    rejection_figure,
    rejection_scale,
    rejection_summary,
    reliability_figure,
    reliability_summary,
)
from flowers.evaluation.metrics import expected_calibration_error, rejection_curve, reliability

SVG = "{http://www.w3.org/2000/svg}"
FIVE = ("daisy", "dandelion", "rose", "sunflower", "tulip")
CONFUSION = np.array([[20, 0, 0, 3, 1], [0, 23, 1, 0, 0], [1, 0, 20, 0, 7], [0, 0, 0, 23, 1], [1, 0, 1, 0, 22]])


def draw(confusion: np.ndarray, classes) -> str:
    return figure_svg(confusion_figure(confusion, classes), confusion_summary(confusion, classes))


def texts(svg: str) -> list[str]:
    return [element.text for element in ElementTree.fromstring(svg).iter(f"{SVG}text")]


def squares(svg: str, colour: str) -> list[float]:
    """Opacities of the squares of a colour."""
    return [float(opacity) for opacity in re.findall(rf"fill: {colour}; opacity: ([\d.]+)", svg)]


@pytest.fixture(scope="module")
def five() -> str:
    return draw(CONFUSION, FIVE)


def test_it_shows_every_count_and_both_axes(five):
    shown = texts(five)
    assert sorted(text for text in shown if text.isdigit()) == sorted(str(count) for count in CONFUSION[CONFUSION > 0])
    assert all(shown.count(name) == 2 for name in FIVE)


def test_right_is_green_wrong_is_pink_and_a_larger_share_is_deeper(five):
    right, wrong = squares(five, RIGHT), squares(five, WRONG)
    shares = CONFUSION / CONFUSION.sum(1, keepdims=True)
    mistakes = [shares[i, j] for i in range(5) for j in range(5) if i != j and CONFUSION[i, j]]
    assert np.argsort(right).tolist() == np.argsort(np.diag(shares)).tolist()
    assert np.argsort(wrong, kind="stable").tolist() == np.argsort(mistakes, kind="stable").tolist()
    assert 0.1 < min(wrong) < max(wrong) < max(right) < 0.8


def test_it_takes_the_pages_colour_and_font_and_leaves_no_trace_in_the_page(five):
    root = ElementTree.fromstring(five)
    assert root.tag == f"{SVG}svg"
    assert "currentColor" in five
    assert INK not in five
    assert "font-family" not in five
    assert not [element for element in root.iter() if element.get("id")]
    assert {element.tag for element in root.iter()} == {f"{SVG}{name}" for name in ("svg", "g", "path", "text")}
    assert "url(" not in five
    painted = set(re.findall(r"fill: ([^;\"]+)", five))
    assert painted == {"none", "currentColor", RIGHT, WRONG}  # no ground of its own


def test_a_screen_reader_is_told_the_matrix_in_a_sentence(five):
    root = ElementTree.fromstring(five)
    assert root.get("role") == "img"
    assert root.get("aria-label") == (
        "Confusion matrix of 5 classes: 108 of 124 photos answered rightly; the most frequent mistake is to answer "
        "tulip for rose, 7 times."
    )
    assert confusion_summary(np.eye(2, dtype=int), "ab") == (
        "Confusion matrix of 2 classes: 2 of 2 photos answered rightly."
    )


EVIL = ["<script>alert(1)</script>", "$x^2$", "$", r"\frac", "a&b", "a -- b", 'q"', "\0", "\ud800", "日本", "a\nb"]


def test_hard_names_give_sound_xml_without_markup_of_their_own():
    names_give_sound_xml(EVIL)


@pytest.mark.thorough
@given(st.lists(st.text(max_size=40) | st.sampled_from(EVIL), min_size=2, max_size=4))
def test_any_class_name_gives_sound_xml_without_markup_of_its_own(names):
    names_give_sound_xml(names)


def names_give_sound_xml(names):
    confusion = np.arange(len(names) ** 2).reshape(len(names), -1)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        svg = draw(confusion, names)
    root = ElementTree.fromstring(svg.encode())
    assert {element.tag for element in root.iter()} == {f"{SVG}{name}" for name in ("svg", "g", "path", "text")}


def test_names_are_shown_as_they_are_or_shortened():
    shown = texts(draw(np.eye(4, dtype=int), ["<script>", "$x^2$", "日本の花", "x" * 200]))
    assert all(shown.count(name) == 2 for name in ("<script>", "$x^2$", "日本の花"))
    assert max(map(len, shown)) < 30


MANY = [f"class {i}" for i in range(SHOWN + 10)]


@pytest.fixture(scope="module")
def confused() -> np.ndarray:
    """Of MANY classes the first SHOWN are mixed up in pairs."""
    confusion = np.diag(np.full(len(MANY), 900))
    for i in range(0, SHOWN, 2):
        confusion[i, i + 1] = i + 1
    return confusion


@pytest.fixture(scope="module")
def many(confused) -> str:
    return draw(confused, MANY)


@pytest.mark.parametrize("count", [2, 9, SHOWN])
def test_its_squares_stay_large_enough_for_their_numbers(count, many):
    drawn = many if count == SHOWN else draw(np.full((count, count), 100), MANY[:count])
    width = float(ElementTree.fromstring(drawn).get("width"))
    assert width / count > 40  # CSS pixels
    assert width < 1200


def test_of_very_many_classes_the_most_confused_are_shown(confused, many):
    assert most_confused(confused, SHOWN) == list(range(SHOWN))
    assert most_confused(confused, 2) == [SHOWN - 2, SHOWN - 1]
    shown = set(texts(many))
    assert shown >= set(MANY[:SHOWN])
    assert not shown & set(MANY[SHOWN:])


def test_a_class_without_photos_is_drawn_empty():
    assert squares(draw(np.array([[3, 0], [0, 0]]), "ab"), WRONG) == []


def test_it_can_be_drawn_in_several_threads_and_leaves_matplotlibs_settings_alone(five):
    before, drawn = dict(matplotlib.rcParams), []
    threads = [threading.Thread(target=lambda: drawn.append(draw(CONFUSION, FIVE))) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert drawn == [five] * 4
    assert dict(matplotlib.rcParams) == before


def test_a_search_for_the_learning_rate_is_drawn_with_its_suggestions():
    rates = np.geomspace(1e-7, 10, 50)
    losses = (np.log10(rates) + 2) ** 2
    (axes,) = learning_rate_figure(rates, losses, 1e-3, 1e-4).axes
    curve, *marks = axes.lines
    np.testing.assert_array_equal(curve.get_xydata(), np.c_[rates, losses])
    assert [(mark.get_xdata()[0], round(mark.get_ydata()[0])) for mark in marks] == [(1e-3, 1), (1e-4, 4)]
    assert [text.get_text() for text in axes.get_legend().texts] == ["valley: 0.001", "steepest: 0.0001"]
    assert axes.get_xscale() == "log"


# Reliability and rejection


def answers(photos: int = 400, boast: float = 0.1) -> tuple[np.ndarray, np.ndarray]:
    """(confidences, right) of a classifier that is surer than it should be by ``boast``."""
    rng = np.random.default_rng(0)
    confidences = rng.uniform(0.3, 1, photos)
    return confidences, rng.uniform(size=photos) < confidences - boast


def draw_reliability(confidences, right, bins: int = 10) -> str:
    rows = reliability(confidences, right, bins)
    return figure_svg(
        reliability_figure(rows), reliability_summary(rows, expected_calibration_error(confidences, right))
    )


def test_a_figure_speaks_another_language():
    curve = rejection_curve([0.9, 0.6, 0.8], [True, False, True])
    svg = figure_svg(rejection_figure(curve), "label", lambda words: f"«{words}»")
    assert "«accuracy of these answers»" in texts(svg)
    assert 'aria-label="«label»"' in svg


def draw_rejection(confidences, right) -> str:
    curve = rejection_curve(confidences, right)
    return figure_svg(rejection_figure(curve), rejection_summary(curve))


def bars(svg: str, colour: str) -> list[tuple[float, float]]:
    """(left, height) of the bars of a colour, in points, from the left."""
    paths = re.findall(rf'<path d="([^"]+)" style="fill: {colour}', svg)
    corners = [np.array(re.findall(r"[ML] ([\d.]+) ([\d.]+)", path), dtype=float) for path in paths]
    return sorted((corner[:, 0].min(), np.ptp(corner[:, 1])) for corner in corners)


@pytest.mark.parametrize("draw_", [draw_reliability, draw_rejection])
def test_a_plot_takes_the_pages_colour_and_leaves_no_trace_in_the_page(draw_):
    for case in (answers(), answers(3), ([1.0], [True]), ([0.4], [False]), ([0.5] * 9, [True, False, True] * 3)):
        svg = draw_(*case)
        root = ElementTree.fromstring(svg)
        assert {element.tag for element in root.iter()} == {f"{SVG}{name}" for name in ("svg", "g", "path", "text")}
        assert not [element for element in root.iter() if element.get("id") or element.get("clip-path")]
        assert "currentColor" in svg
        assert INK not in svg
        assert "font-family" not in svg
        assert "url(" not in svg
        assert root.get("role") == "img"
        assert root.get("aria-label").endswith(".")


def test_each_bin_with_photos_has_a_bar_as_high_as_its_accuracy():
    confidences, right = answers()
    held = [row for row in reliability(confidences, right, 10) if row.photos]
    figure = draw_reliability(confidences, right)
    drawn = bars(figure, RIGHT)
    assert len(drawn) == len(held)
    assert [left for left, _ in drawn] == sorted(left for left, _ in drawn)
    heights = np.array([height for _, height in drawn])
    assert heights / heights.max() == pytest.approx([row.accuracy / max(r.accuracy for r in held) for row in held])
    # This one promises too much in each bin; the next one, too little in its only bin.
    gaps = np.array([gap for _, gap in bars(figure, WRONG)])
    expected = [row.confidence - row.accuracy for row in held]
    assert gaps / heights.max() == pytest.approx(np.array(expected) / max(r.accuracy for r in held), abs=1e-3)
    modest = draw_reliability([0.65] * 4, [True, True, True, False])
    assert bars(modest, WRONG) == []
    assert [height for _, height in bars(modest, RIGHT)] == pytest.approx(
        [0.1 / 0.75 * bars(modest, RIGHT)[1][1], bars(modest, RIGHT)[1][1]], abs=0.01
    )


def test_plots_are_told_in_a_sentence_too():
    svg = draw_reliability([0.9, 0.9, 0.9, 0.9], [True, True, True, False])
    assert ElementTree.fromstring(svg).get("aria-label") == (
        "Reliability diagram: on average it is 90.0% sure and right 75.0% of the time; "
        "the expected calibration error is 15.0%."
    )
    svg = draw_rejection([0.9, 0.8, 0.7, 0.6, 0.5], [True, True, True, True, False])
    assert ElementTree.fromstring(svg).get("aria-label") == (
        "Rejection curve: 80.0% of all answers are right, and 100.0% of the surest 80%, those of 60% confidence or "
        "more."
    )


def test_a_long_rejection_curve_stays_small():
    assert len(draw_rejection(*answers(20_000))) < 200_000  # bytes


def test_the_dot_of_the_rejection_curve_can_be_moved_to_any_of_its_points():
    rng = np.random.default_rng(0)
    confidences = rng.random(80)
    curve = rejection_curve(confidences, rng.random(80) < confidences)
    root = ElementTree.fromstring(figure_svg(rejection_figure(curve), "curve"))
    (mark,) = (element for element in root.iter() if element.get("class") == "mark")

    def points(element) -> np.ndarray:
        return np.array(re.findall(r"(-?[\d.]+) (-?[\d.]+)", element.find(f"{SVG}path").get("d")), dtype=float)

    dot = points(mark)
    centre = (dot.min(0) + dot.max(0)) / 2
    line = max((points(g) for g in root.iter(f"{SVG}g") if g.find(f"{SVG}path") is not None), key=len)
    across, up, _ = rejection_scale(curve)
    moved = [
        centre + np.array([across * (answered - 1), up * (curve.accuracy[-1] - accuracy)])
        for answered, accuracy in zip(curve.answered, curve.accuracy, strict=True)
    ]
    assert all(np.abs(line - place).max(1).min() < 0.01 for place in (moved[0], moved[-1]))
