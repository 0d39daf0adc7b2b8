"""Answers in words."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from flowers.classifier import Answer
from flowers.studio.language import texts
from flowers.studio.words import called, grade, in_words, number, share_of
from tests.studio.visiting import visit

SURENESS = ("either", "perhaps", "probably_or", "probably", "sure", "certain")
shares = st.floats(0, 1)


@pytest.fixture(autouse=True)
def visiting():
    with visit():
        yield


@pytest.mark.parametrize(
    ("confidences", "said"),
    [
        ({"tulip": 0.995, "rose": 0.005}, "I’m almost certain this is a tulip"),
        ({"tulip": 0.93, "rose": 0.07}, "I’m quite sure this is a tulip"),
        ({"tulip": 0.7, "rose": 0.3}, "Probably a tulip, perhaps a rose"),
        ({"tulip": 0.85, "rose": 0.05, "daisy": 0.05, "ivy": 0.05}, "Probably a tulip"),
        ({"tulip": 0.52, "rose": 0.48}, "Hard to say: a tulip or a rose"),
        ({"tulip": 0.4, **{str(i): 0.1 for i in range(6)}}, "Perhaps a tulip, but it is hard to say"),
        ({"tulip": 1.0}, "I’m almost certain this is a tulip"),
    ],
)
def test_the_sentence_is_as_sure_as_the_network(confidences, said):
    label = next(iter(confidences))
    assert in_words(Answer(label, confidences[label], confidences, 0.0)) == said


def test_what_is_none_of_the_classes_is_called_so_however_confident():
    shares = dict(zip("abcde", (0.99, 0.01, 0, 0, 0), strict=True))
    assert in_words(Answer("a", 0.99, shares, 0.0, known=False)) == "Probably none of these five"
    assert number(13) == "13"


@given(shares, shares, shares)
def test_more_confidence_never_sounds_less_sure(first, more, second):
    """With the same runner-up, up to which of the two there must be room for both."""
    less, more = sorted((first, more))
    second = min(second, less, 1 - more)
    ranks = [SURENESS.index(grade(first, second)) for first in (less, more)]
    assert ranks == sorted(ranks) or set(ranks) == {0, 1}


@given(shares, shares, st.booleans())
def test_every_grade_has_its_sentence(first, second, known):
    assert f"classify.words.{grade(first, second, known)}" in texts("en")


@pytest.mark.parametrize(
    ("name", "as_said"),
    [
        ("daisy", "a daisy"),
        ("red rose", "a red rose"),
        ("orange tulip", "an orange tulip"),
        ("healthy", "“healthy”"),
        ("roses", "“roses”"),
        ("Tom", "“Tom”"),
        ("薔薇", "“薔薇”"),
        (" ", "“ ”"),
    ],
)
def test_an_article_only_where_it_reads_right(name, as_said):
    assert called(name) == as_said


@pytest.mark.parametrize(
    ("share", "count", "said"),
    [
        (1.0, 9, "9 of 9"), (2 / 3, 99, "66 of 99"), (0.0, 5, "0 of 5"),
        (0.956, 100, "96%"), (569 / 570, 570, "99%"), (1 / 570, 570, "1%"), (1.0, 570, "100%"), (0.0, 570, "0%"),
        (0.9564, 1000, "95.6%"), (0.99999, 100_000, "99.9%"), (1.0, 2000, "100.0%"), (0.0, 2000, "0.0%"),
        (0.999, None, "99%"), (0.5, 0, "50%"),
    ],
)  # fmt: skip
def test_a_share_is_told_as_finely_as_so_many_photos_can(share, count, said):
    assert share_of(share, count) == said
