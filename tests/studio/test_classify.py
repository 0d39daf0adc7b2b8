"""The Classify tab's card: the name of the flower, or kindly that it is none."""

import re

import pytest

from flowers.classifier import Answer
from flowers.data.preprocess import Preprocessing
from flowers.models.checkpoint import Checkpoint
from flowers.studio.classify import answer_card


class Answering:
    """As much of a classifier as the card asks."""

    checkpoint = Checkpoint("resnet18", ("rose", "<b>"), Preprocessing().to_dict())


@pytest.mark.parametrize(("known", "heading"), [(True, "Rose"), (False, "Probably none of the two")])
def test_what_is_none_of_the_classes_is_called_so_and_still_compared(known, heading):
    card = answer_card(Answer("rose", 0.9, {"rose": 0.9, "<b>": 0.1}, 0.02, known, 0.01), Answering)
    assert re.search(r"<h2>(.*)</h2>", card)[1] == heading
    assert ("90.0% confident" in card) is known
    assert ("it looks most like rose." in card) is not known
    assert card.count('class="share"') == 2
    assert "<b>" not in re.sub(r"by <b>[^<]*</b>", "", card)
