"""Answers in words: how sure the network is, in a sentence rather than a number."""

from flowers.classifier import Answer
from flowers.data.sources import CLASSES
from flowers.studio.language import say

CERTAIN, SURE, PROBABLE = 0.98, 0.9, 0.6  # calibrated confidence from which a sentence says so
MENTIONED = 0.1  # share from which the second class is named beside a probable one
COUNTED_OUT, FINE = 100, 1000  # photos: below, no share of them is a percentage; from here on, one has a decimal
COUNTED = 12  # numbers up to here have a word of their own


def grade(first: float, second: float, known: bool = True) -> str:
    """How sure an answer is, as the last part of the key of its sentence ``classify.words``.

    Args:
        first: the calibrated confidence of the likeliest class, 0 to 1.
        second: that of the next one, 0 to 1; 0 where there is none.
        known: False where the photo is probably none of the classes, whatever they share among them.
    """
    if not known:
        return "none"
    if first >= CERTAIN:
        return "certain"
    if first >= SURE:
        return "sure"
    if first >= PROBABLE:
        return "probably_or" if second >= MENTIONED else "probably"
    return "either" if second >= first / 2 else "perhaps"


def in_words(answer: Answer) -> str:
    """The answer as a sentence without its full stop, in the visitor's language; not escaped."""
    (name, first), (other, second) = (*answer.ranked()[:2], ("", 0.0))[:2]
    how = grade(first, second, answer.known)
    if how == "none":
        return say("classify.words.none", count=number(len(answer.confidences)))
    return say(f"classify.words.{how}", name=called(name), other=called(other) if other else "")


def share_of(share: float, count: int | None) -> str:
    """A share of ``count`` photos, 0 to 1, as finely as so many can tell.

    ``9 of 9``; from 100 photos on ``96%``; from 1,000 on ``95.6%``. Where ``count`` is None or 0 nobody knows of how
    many: ``96%``. Only all of them are 100%, and only none are 0%.
    """
    if count and count < COUNTED_OUT:
        return say("page.of", part=round(share * count), count=count)
    decimals = 1 if count and count >= FINE else 0
    finest = 10.0**-decimals
    percent = round(100 * share, decimals)
    if 0 < share < 1:
        percent = min(max(percent, finest), 100 - finest)
    return f"{percent:.{decimals}f}%"


def called(name: str) -> str:
    """A class name as it stands in a sentence: ``a red tulip``; in quotes where an article may read wrong.

    Classes are called anything: "healthy", "roses", "Tom". Only what ends in one of our own flowers surely takes one.
    """
    if name.split(" ")[-1] not in CLASSES:
        return say("classify.words.quoted", name=name)
    return say("classify.words.an" if name[0].lower() in "aeiou" else "classify.words.a", name=name)


def number(count: int) -> str:
    """``five``; ``13`` from where nobody writes them out."""
    return say(f"classify.number.{count}") if 1 <= count <= COUNTED else str(count)
