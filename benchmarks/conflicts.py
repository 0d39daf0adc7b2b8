"""What wrong labels cost, and what leaving them out gives back: a linear probe on the report's photos.

    python benchmarks/conflicts.py --data flowers5            # three splits: two or three minutes on two cores

The photos go through the untouched network once. Then, for each split, a last layer is fitted to the training part as
it is and to what the doctor leaves of it, and all are scored on the same validation photos. Suspects are found within
the training part, so that no validation label has a say in it. In a second part some training labels are made wrong by
chance, and the doctor has to find them. Writes conflicts/results.json and conflicts/README.md.
"""

import argparse
import dataclasses
import statistics
import sys
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch
from torch import Tensor, nn

PROJECT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(PROJECT))

from benchmarks.common import circumstances, save, table, told, weights  # noqa: E402
from flowers.data.dataset import PhotoDataset, open_dataset  # noqa: E402
from flowers.data.doctor import check  # noqa: E402
from flowers.evaluation.suspects import find_suspects  # noqa: E402
from flowers.training import folds, probe  # noqa: E402

RATES = (0.05, 0.2)  # of the training labels made wrong
VARIANTS = {
    "found": "as found",
    "conflicts": "without pictures under two labels",
    "copies": "and without copies (`data clean`)",
    "probable": "and without labels that are probably wrong (`data clean --suspects`)",
    "suspects": "and without all suspects",
}
JUDGES = {
    "all": "all validation photos",
    "clean": "without conflicts and copies",
    "agreed": "without suspects as well",
}


def main(arguments: list[str] | None = None) -> int:
    """Fit, score, write what came out."""
    options = _parser().parse_args(arguments)
    dataset = open_dataset(options.data)
    inputs, basis = folds.features(dataset)
    odd = {suspect.photo for suspect in suspected(dataset, inputs, list(range(len(dataset))))}
    splits = [measure(dataset, inputs, odd, seed) for seed in range(options.splits)]
    results = {**circumstances(), "weights": weights(), "basis": basis, "photos": len(dataset), "splits": splits}
    save(options.out / "results.json", results)
    (options.out / "README.md").write_text(text(results))
    print(text(results))
    return 0


def measure(dataset: PhotoDataset, inputs: Tensor, odd: set[str], seed: int) -> dict:
    """Accuracies on one split, ready for JSON: by what was left out of training and who is judged; and with planted
    wrong labels. ``odd``: the suspects of the whole set."""
    labels = torch.tensor([photo.label for photo in dataset.photos])
    split = dataset.split(seed)
    train, val = list(split.train), list(split.val)
    findings = check(dataset)
    conflicts = {photo for group in findings.conflicts for photo in group.photos}
    unsound = set(findings.left_out())
    suspects = {suspect.photo: suspect.confident for suspect in suspected(dataset, inputs, train)}
    without = {
        "found": set(),
        "conflicts": conflicts,
        "copies": unsound,
        "probable": unsound | {photo for photo, confident in suspects.items() if confident},
        "suspects": unsound | set(suspects),
    }
    judges = {
        "all": val,
        "clean": _without(dataset, val, unsound),
        "agreed": _without(dataset, val, unsound | odd),
    }
    rows = {}
    for name, paths in without.items():
        taught = _without(dataset, train, paths)
        rows[name] = {"taught": len(taught), **score(inputs, labels, taught, judges)}
    planted = [plant(dataset, inputs, train, {"clean": judges["clean"]}, rate, seed) for rate in RATES]
    return {
        "seed": seed,
        "judged": {name: len(indices) for name, indices in judges.items()},
        "suspects": len(suspects),
        "rows": rows,
        "planted": planted,
    }


def plant(
    dataset: PhotoDataset, inputs: Tensor, train: list[int], judges: dict[str, list[int]], rate: float, seed: int
) -> dict:
    """Make training labels wrong by chance, let the doctor look for them, and fit with and without what it suspects."""
    rng, classes = np.random.default_rng(seed), len(dataset.classes)
    wrong = set(rng.choice(train, round(rate * len(train)), replace=False).tolist())
    photos = list(dataset.photos)
    for index in sorted(wrong):
        label = int((photos[index].label + rng.integers(1, classes)) % classes)
        photos[index] = dataclasses.replace(photos[index], label=label)
    spoilt = dataclasses.replace(dataset, photos=tuple(photos))
    place = {photo.path: index for index, photo in enumerate(photos)}
    suspects = suspected(spoilt, inputs, train)
    ranked = [place[suspect.photo] for suspect in suspects]
    found = {place[suspect.photo] for suspect in suspects if suspect.confident}
    truth, labels = (torch.tensor([photo.label for photo in each.photos]) for each in (dataset, spoilt))
    kept = [index for index in train if index not in found]
    return {
        "rate": rate,
        "wrong": len(wrong),
        "suspects": len(found),
        "recall": len(found & wrong) / len(wrong),
        "precision": len(found & wrong) / max(1, len(found)),
        "first": len(set(ranked[: len(wrong)]) & wrong) / len(wrong),  # of as many as there are wrong ones
        "spoilt": score(inputs, labels, train, judges, truth)["clean"],
        "cleaned": score(inputs, labels, kept, judges, truth)["clean"],
    }


def suspected(dataset: PhotoDataset, inputs: Tensor, indices: list[int]) -> Sequence:
    """The suspects among these photos, in the eyes of a network that saw only the others of them."""
    part = dataclasses.replace(dataset, photos=tuple(dataset.photos[index] for index in indices))
    labels = torch.tensor([photo.label for photo in part.photos])
    confidences = folds.predict(inputs[indices], labels, folds.folds(part), len(part.classes))
    return find_suspects(part, confidences)


def score(
    inputs: Tensor, labels: Tensor, taught: list[int], judges: dict[str, list[int]], truth: Tensor | None = None
) -> dict[str, float]:
    """Accuracy on each of ``judges`` of a last layer fitted to the photos ``taught`` under ``labels``."""
    truth = labels if truth is None else truth
    head = nn.Linear(inputs.shape[1], int(labels.max()) + 1)
    probe.fit(head, inputs[taught], labels[taught], smoothing=0.0)
    with torch.no_grad():
        right = head(inputs).argmax(1) == truth
    return {name: right[indices].float().mean().item() for name, indices in judges.items()}


def _without(dataset: PhotoDataset, indices: list[int], paths: set[str]) -> list[int]:
    return [index for index in indices if dataset.photos[index].path not in paths]


def text(results: dict) -> str:
    """Tables and circumstances."""
    splits = results["splits"]
    judged = {name: _range([split["judged"][name] for split in splits]) for name in JUDGES}
    head = ["training photos", "photos", *(f"{title} ({judged[name]})" for name, title in JUDGES.items()), "difference"]
    rows = []
    for name, title in VARIANTS.items():
        row = [split["rows"][name] for split in splits]
        gain = [split["rows"][name]["clean"] - split["rows"]["found"]["clean"] for split in splits]
        accuracies = [_mean([each[judge] for each in row]) for judge in JUDGES]
        taught = _range([each["taught"] for each in row])
        rows.append([title, taught, *accuracies, "" if name == "found" else _points(gain)])
    planted = []
    for number, rate in enumerate(RATES):
        cases = [split["planted"][number] for split in splits]
        sound = [split["rows"]["found"]["clean"] for split in splits]
        first, recall, precision, spoilt, cleaned = (
            _mean([case[key] for case in cases]) for key in ("first", "recall", "precision", "spoilt", "cleaned")
        )
        wrong = _range([case["wrong"] for case in cases])
        planted.append([f"{rate:.0%}", wrong, first, recall, precision, _mean(sound), spoilt, cleaned])
    return (
        "# What leaving doubtful labels out changes\n\n"
        f"A last layer fitted to the features of an untouched network, {len(splits)} splits, mean ± standard deviation "
        f"in per cent, {results['weights']}. The difference is the second accuracy's to that of the first row, split "
        "by split, in points, ± its standard error. The third accuracy flatters all alike: it leaves out photos that "
        "this same network finds odd.\n\n"
        + table(head, rows)
        + "\n\nWrong labels made by chance, in the training part only; accuracy on the validation photos without "
        "conflicts and copies. *Found first*: of as many suspects, worst first, as there are wrong labels, the share "
        "that is wrong. The next two columns are of the probable ones; their precision counts what was wrong before as "
        "false alarms.\n\n"
        + table(
            ["made wrong", "labels", "found first", "found at all", "precision", "fitted to the right ones",
             "to the wrong ones too", "without the probably wrong"],
            planted,
        )
        + f"\n\n{told(results)}\n"
    )  # fmt: skip


def _mean(values: list[float]) -> str:
    spread = statistics.stdev(values) if len(values) > 1 else 0.0
    return f"{100 * statistics.mean(values):.2f} ± {100 * spread:.2f}"


def _points(values: list[float]) -> str:
    error = statistics.stdev(values) / len(values) ** 0.5 if len(values) > 1 else 0.0
    return f"{100 * statistics.mean(values):+.2f} ± {100 * error:.2f}"


def _range(values: list[int]) -> str:
    low, high = min(values), max(values)
    return f"{low:,}" if low == high else f"{low:,} to {high:,}"


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(description="What leaving doubtful labels out changes.")
    parser.add_argument("--data", help="the photo set (default: FLOWERS_DATA, else what is here)")
    parser.add_argument("--splits", type=int, default=3, help="splits (3)")
    parser.add_argument("--out", type=Path, default=PROJECT / "benchmarks" / "conflicts", help="where the results go")
    return parser


if __name__ == "__main__":
    sys.exit(main())
