"""What is wrong with a photo set: unreadable files, duplicates, and one picture under two labels."""

from dataclasses import dataclass

from flowers.data.dataset import PhotoDataset


@dataclass(frozen=True)
class Findings:
    """What the doctor found, by photo path."""

    dataset: PhotoDataset
    duplicates: tuple[tuple[str, ...], ...]  # groups of identical or near-identical photos of one class
    conflicts: tuple[tuple[str, ...], ...]  # groups that stand under more than one class

    def text(self) -> str:
        """The findings for a terminal."""
        dataset = self.dataset
        lines = [f"{len(dataset)} photos in {len(dataset.classes)} classes under {dataset.root}"]
        lines += [f"  {count:>6} {name}" for name, count in dataset.counts.items()]
        lines += _section("unreadable files, left out", [item.reason for item in dataset.unreadable])
        lines += _section("groups of one picture under two labels", [" = ".join(group) for group in self.conflicts])
        lines += _section("groups of duplicates", [" = ".join(group) for group in self.duplicates])
        return "\n".join(lines)


def check(dataset: PhotoDataset) -> Findings:
    """Look for duplicates and label conflicts; the split keeps each such group on one side."""
    duplicates, conflicts = [], []
    for group in dataset.groups:
        if len(group) > 1:
            labels = {dataset.photos[index].label for index in group}
            paths = tuple(dataset.photos[index].path for index in group)
            (conflicts if len(labels) > 1 else duplicates).append(paths)
    return Findings(dataset, tuple(duplicates), tuple(conflicts))


def _section(title: str, rows: list[str]) -> list[str]:
    return [f"{len(rows)} {title}", *(f"  {row}" for row in rows)]
