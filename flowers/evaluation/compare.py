"""Two checkpoints on the same photos: which answers more of them rightly, and whether that could be chance."""

from collections.abc import Sequence
from dataclasses import dataclass

from flowers.errors import UsageError
from flowers.evaluation.evaluate import Evaluation
from flowers.evaluation.metrics import mcnemar


@dataclass(frozen=True)
class Comparison:
    """How two evaluations of the same photos differ. Each photo is given by its place among the outcomes of both."""

    first: Evaluation
    second: Evaluation
    both: tuple[int, ...]  # photos that both answer rightly
    only_first: tuple[int, ...]  # that only the first answers rightly
    only_second: tuple[int, ...]
    neither: tuple[int, ...]

    @property
    def gain(self) -> float:
        """The accuracy of the second less that of the first, -1..1."""
        return (len(self.only_second) - len(self.only_first)) / len(self.first.outcomes)

    @property
    def p_value(self) -> float:
        """How likely chance alone makes them differ at least so much, 0..1: McNemar's exact test."""
        return mcnemar(len(self.only_first), len(self.only_second))

    @property
    def per_class(self) -> list[tuple[str, int, int, int]]:
        """(class, photos, of these answered rightly by the first, and by the second) of each class with photos."""
        rows = []
        for place, name in enumerate(self.first.classes):
            photos = [i for i, item in enumerate(self.first.outcomes) if item.label == place]
            if photos:
                rows.append((name, len(photos), _right(self.first, photos), _right(self.second, photos)))
        return rows


def compare(first: Evaluation, second: Evaluation) -> Comparison:
    """Compare two evaluations of the same photos. Raises UsageError where their photos are not the same."""
    asked = [[(item.photo, result.classes[item.label]) for item in result.outcomes] for result in (first, second)]
    if first.digest != second.digest or asked[0] != asked[1]:
        raise UsageError("The two were asked about different photos: evaluate both on the same ones.")
    groups: dict[tuple[bool, bool], list[int]] = {(a, b): [] for a in (True, False) for b in (True, False)}
    for place, (one, other) in enumerate(zip(first.outcomes, second.outcomes, strict=True)):
        groups[not one.wrong, not other.wrong].append(place)
    return Comparison(first, second, *map(tuple, groups.values()))


def _right(result: Evaluation, photos: Sequence[int]) -> int:
    return sum(not result.outcomes[place].wrong for place in photos)
