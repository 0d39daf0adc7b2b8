"""The scoreboard: how right are the presets and networks, on photos they have not learned from?

    python benchmarks/accuracy.py --data flowers5 fast                         # one preset, three seeds: 9 minutes
    python benchmarks/accuracy.py --data flowers5 fast --splits 0 1 2          # on two further splits as well
    python benchmarks/accuracy.py --data flowers5 best --backbone efficientnet_lite0 --seeds 0
    python benchmarks/accuracy.py --data flowers5 report --augmented 5         # also scored as the report's code did it
    python benchmarks/accuracy.py --data flowers5-wide best                    # checked on the same 570 photos
    python benchmarks/accuracy.py --data flowers5 best --test                  # once, at the very end
    python benchmarks/accuracy.py --data flowers5-wide --together flowers-lite0 flowers-resnet18
    python benchmarks/accuracy.py --data flowers5 --augmented 5 --checkpoints flowers-resnet18-report flowers-lite0

Every run is a `flowers train` of its own; what is there already is not run again, and a run that was cut short goes on
where it stood, so the command may be stopped and repeated. Each result is saved as JSON in ``accuracy/``; the table of
all there are is ``accuracy.md``.

Scored in float32 on clean photos held back, with the checkpoint of the epoch that did best on those same photos, as
the published numbers are, which flatters it; the last epoch's is told beside it. `--test` is the honest figure: a part
of its own, in no validation part that anything was chosen by, is kept out of the run altogether and asked about
when all is done. `--together` asks checkpoints that there are already, each alone, and all by the mean of their
confidences; `--checkpoints` scores them as it does the runs.
"""

import argparse
import hashlib
import itertools
import json
import os
import shutil
import statistics
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

PROJECT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(PROJECT))

from benchmarks.common import circumstances, save, surroundings, table, weights  # noqa: E402
from flowers.classifier import Classifier  # noqa: E402
from flowers.data.dataset import HELD_BACK, PhotoDataset, open_dataset  # noqa: E402
from flowers.evaluation.evaluate import evaluate  # noqa: E402
from flowers.models.checkpoint import find_checkpoint  # noqa: E402
from flowers.training.run import Run  # noqa: E402

OUT = PROJECT / "benchmarks" / "accuracy"
EVERYDAY = "flowers5-everyday"
TEST_SPLIT = 1000  # its validation part, but for what other splits hold back, is the test part: no trial is of it
LONGEST_NAME = 160  # bytes of checkpoints' names in a file's name, which may have 255 in all
CHOSEN_BY = (0, 1, 2)  # the splits whose validation parts the scoreboard shows, and people choose by


@dataclass(frozen=True)
class Trial:
    """One run of the scoreboard."""

    preset: str
    backbone: str
    data: str
    settings: tuple[str, ...]  # KEY=VALUE, beyond the preset
    split: int
    seed: int
    test: bool  # keep a test part out, and score on it

    @property
    def row(self) -> str:
        """What it shares with the trials of other seeds and splits."""
        return "-".join([self.preset, self.backbone, self.data, *self.settings, *(["test"] if self.test else [])])

    @property
    def name(self) -> str:
        """A file name of its own."""
        return f"{self.row}-split{self.split}-seed{self.seed}".replace("/", "_")


def main(arguments: list[str] | None = None) -> int:
    """Run what is asked for and not yet there; write the table of all there is."""
    options = _parser().parse_args(arguments)
    if not set(options.splits) <= set(CHOSEN_BY):
        _parser().error(f"the splits to choose by are {', '.join(map(str, CHOSEN_BY))}: others may be tested on")
    if options.presets and options.splits != [0] and open_dataset(options.data).held_back:
        _parser().error(f"{options.data} says itself what is held back: it has only split 0")
    for preset, split, seed in itertools.product(options.presets, options.splits, options.seeds):
        trial = Trial(preset, options.backbone, options.data, tuple(options.set), split, seed, options.test)
        file = options.out / f"{trial.name}.json"
        if _lacks(file, options.augmented):
            print(f"{trial.name}: since {time.strftime('%H:%M:%S')}", flush=True)
            save(file, {**circumstances(), **score(trial, options.runs / trial.name, options.augmented)})
        print(f"{trial.name}: {json.loads(file.read_text())['accuracy']:.2%}", flush=True)
    for name in options.checkpoints:
        checkpoint = find_checkpoint(name).name
        file = options.out / "checkpoints" / _file_name([checkpoint], options.data)
        if _lacks(file, options.augmented):
            result = asked(Classifier.load(name, "eager"), open_dataset(options.data), options.data, options.augmented)
            save(file, {**circumstances(), "checkpoint": checkpoint, "data": options.data, **result})
    if options.together:
        result = together(options.together, options.data)
        file = options.out / "together" / _file_name(list(result["alone"]), options.data)
        save(file, {**circumstances(), **result})
    options.out.with_suffix(".md").write_text(text(options.out))
    print(text(options.out))
    return 0


def _lacks(file: Path, views: int) -> bool:
    """Whether a result is still to be made, or lacks the augmented views that are asked for."""
    return not file.exists() or bool(views and "augmented" not in json.loads(file.read_text()))


def _file_name(checkpoints: Sequence[str], data: str) -> str:
    names = "+".join(checkpoints)
    if len(names.encode()) > LONGEST_NAME:
        names = f"{len(checkpoints)}-{hashlib.sha256(names.encode()).hexdigest()[:12]}"
    return f"{names}-{Path(data).name}.json"


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(description="How right are presets and networks on photos held back?")
    parser.add_argument("presets", nargs="*", default=[], metavar="PRESET", help="none: only write the table")
    parser.add_argument("--backbone", default="resnet18")
    parser.add_argument("--data", default="flowers5", metavar="SRC", help="a known set, or a path")
    parser.add_argument("--set", action="append", default=[], metavar="KEY=VALUE", help="beyond the preset")
    parser.add_argument("--splits", type=int, nargs="+", default=[0], help="split seeds (0)")
    parser.add_argument("--seeds", type=int, nargs="+", default=[0, 1, 2], help="training seeds (0 1 2)")
    parser.add_argument("--augmented", type=int, default=0, metavar="N", help="score N augmented views as well")
    parser.add_argument("--together", nargs="+", default=[], metavar="CHECKPOINT", help="ask them alone and as one")
    parser.add_argument("--checkpoints", nargs="+", default=[], metavar="CHECKPOINT", help="score them as runs are")
    parser.add_argument("--test", action="store_true", help="score on a part of the photos that is kept out of it all")
    parser.add_argument("--runs", type=Path, default=PROJECT / "runs", help="where the runs go (runs/)")
    parser.add_argument("--out", type=Path, default=OUT, help="where the results go")
    return parser


def score(trial: Trial, folder: Path, views: int) -> dict:
    """Train, or go on training, and ask about the photos held back; ready for JSON. Accuracies are in 0..1."""
    dataset = open_dataset(trial.data)
    with kept_out(dataset, folder.with_name(f"{folder.name}.photos")) if trial.test else nullcontext() as test:
        train(trial, str(test.folder) if test else trial.data, folder)
        classifier = Classifier.load(folder, "eager")
        seen = open_dataset(test.folder) if test else dataset
        epochs = [event for event in Run.open(folder).events() if event["kind"] == "epoch"]
        return {
            "preset": trial.preset,
            "backbone": trial.backbone,
            "data": trial.data,
            "settings": trial.settings,
            "split": trial.split,
            "seed": trial.seed,
            "weights": weights() if trial.backbone == "resnet18" else "ImageNet weights",
            **asked(classifier, seen, trial.data, views),
            "last_epoch": epochs[-1]["val_accuracy"],
            "best_epoch": max(epochs, key=lambda event: event["val_accuracy"])["epoch"] + 1,
            "epochs": len(epochs),
            "seconds": Run.open(folder).events()[-1]["seconds"],
            **({"test": share(classifier, dataset, test.photos), "test_photos": len(test.photos)} if test else {}),
        }


def asked(classifier: Classifier, dataset: PhotoDataset, data: str, views: int) -> dict:
    """How right a classifier is on the photos of ``data`` held back, on ``views`` augmented views of each, and on the
    everyday photos where ``data`` is one of the five flowers' sets; in 0..1."""
    clean = evaluate(classifier, dataset, "val")
    return {
        "photos": len(clean.outcomes),
        "held_back": clean.held_back,
        "accuracy": clean.accuracy,
        **({"augmented": evaluate(classifier, dataset, "val", views=views).accuracy} if views else {}),
        **(everyday(classifier) if data.startswith("flowers5") else {}),
    }


def train(trial: Trial, source: str, folder: Path) -> None:
    """The run, from where it stands."""
    program = [sys.executable, "-m", "flowers"]
    if not (folder / "recipe.json").exists():
        settings = [f"backbone={trial.backbone}", f"split_seed={trial.split}", f"seed={trial.seed}", *trial.settings]
        given = [part for setting in settings for part in ("--set", setting)]
        command = ["train", "--preset", trial.preset, "--data", source, "--run", str(folder), "--quiet", *given]
        subprocess.run([*program, *command], check=True, stdout=subprocess.DEVNULL)
    elif Run.open(folder).status().state != "done":
        subprocess.run([*program, "resume", str(folder), "--quiet"], check=True, stdout=subprocess.DEVNULL)


@dataclass(frozen=True)
class Test:
    """A test part: which photos of the whole set it is, and a folder with all others."""

    photos: tuple[int, ...]
    folder: Path


@contextmanager
def kept_out(dataset: PhotoDataset, folder: Path) -> Iterator[Test]:
    """The test part of a set, and a folder of links to all its other photos."""
    test = test_part(dataset)
    shutil.rmtree(folder, ignore_errors=True)
    for index in set(range(len(dataset))) - set(test):
        place = folder / dataset.photos[index].path
        place.parent.mkdir(parents=True, exist_ok=True)
        os.symlink(dataset.path(index), place)
    if dataset.held_back:
        (folder / HELD_BACK).write_text("".join(f"{dataset.photos[index].path}\n" for index in dataset.held_back))
    yield Test(test, folder)


def test_part(dataset: PhotoDataset) -> tuple[int, ...]:
    """Photos by whose answers no choice was ever made: about a tenth, in none of the validation parts chosen by."""
    drawn = replace(dataset, held_back=frozenset()).split(TEST_SPLIT).val
    seen = set().union(*(dataset.split(split).val for split in CHOSEN_BY))
    return tuple(index for index in drawn if index not in seen)


def share(classifier: Classifier, dataset: PhotoDataset, indices: tuple[int, ...]) -> float:
    """The share of these photos that are named rightly, 0..1."""
    answers = classifier.classify_many(dataset.path(index) for index in indices)
    right = [
        answer.label == dataset.classes[dataset.photos[index].label]
        for index, answer in zip(indices, answers, strict=True)
    ]
    return sum(right) / len(right)


def everyday(classifier: Classifier) -> dict:
    """How it does on the hand-checked photos from outside, and on the yellow dandelions among them."""
    from flowers.data.manifest import manifest

    dataset = open_dataset(EVERYDAY)
    kinds = {(entry.label, entry.filename): entry.kind for entry in manifest(EVERYDAY)}
    yellow = tuple(i for i, photo in enumerate(dataset.photos) if kinds[tuple(photo.path.split("/"))] == "yellow")
    everything = tuple(range(len(dataset)))
    return {"everyday": share(classifier, dataset, everything), "yellow": share(classifier, dataset, yellow)}


def together(checkpoints: Sequence[str], data: str) -> dict:
    """How right checkpoints are alone, and by the mean of their confidences; ready for JSON, accuracies in 0..1.

    Raises SystemExit where they do not tell the same classes apart in the same order, or do not hold back the same
    photos.
    """
    dataset = open_dataset(data)
    answers = [evaluate(Classifier.load(checkpoint, "eager"), dataset, "val") for checkpoint in checkpoints]
    if len({(one.classes, tuple(outcome.photo for outcome in one.outcomes)) for one in answers}) > 1:
        raise SystemExit("These checkpoints differ in their classes or in the photos that they hold back.")
    labels = np.array([outcome.label for outcome in answers[0].outcomes])
    right = [one.probabilities.argmax(1) == labels for one in answers]
    mean = np.mean([one.probabilities for one in answers], axis=0)
    return {
        "data": data,
        "photos": len(labels),
        "alone": {one.checkpoint: one.accuracy for one in answers},
        "together": float((mean.argmax(1) == labels).mean()),
        "all_right": float(np.all(right, axis=0).mean()),
        "any_right": float(np.any(right, axis=0).mean()),
    }


def text(folder: Path) -> str:
    """All results in ``folder`` as a Markdown page."""
    results = [json.loads(path.read_text()) for path in sorted(folder.glob("*.json"))]
    rows = {}
    for result in results:
        key = (*(result[part] for part in ("preset", "backbone", "data")), *result["settings"], "test" in result)
        rows.setdefault(key, []).append(result)
    lines = [
        _line(key, split, [one for one in group if one["split"] == split])
        for key, group in sorted(rows.items(), key=lambda item: -max(one["accuracy"] for one in item[1]))
        for split in sorted({one["split"] for one in group})
    ]
    head = [
        "preset, network, photos", "split", "seeds", "clean validation", "last epoch", "augmented", "every day",
        "yellow dandelions", "test", "minutes",
    ]  # fmt: skip
    resnets = sorted({one["weights"] for one in results if one["backbone"] == "resnet18"})
    starts = f"ResNet18 starts from {' or '.join(resnets)}." if resnets else ""
    checkpoints = [json.loads(path.read_text()) for path in sorted(folder.glob("checkpoints/*.json"))]
    ensembles = [json.loads(path.read_text()) for path in sorted(folder.glob("together/*.json"))]
    return f"""# How right: presets × networks

Mean ± standard deviation over the training seeds, in float32, on clean photos held back (570 of flowers5, so that one
standard error is about 0.8 points) by the best epoch on those photos; `last epoch` as told by the run. `every day`: 220
hand-checked photos from outside flowers5, 50 of them yellow dandelions, none of which a run has learned from. `test`:
see `accuracy.py`. Minutes are the runs' own, on machines that differ up to four times in speed, and some runs had one
core of two: they compare nothing. {starts}

{table(head, lines)}
{_checkpoints_text(checkpoints) if checkpoints else ""}{_together_text(ensembles) if ensembles else ""}
## Where and how

{_made([*results, *checkpoints, *ensembles])}
"""


def _made(results: list[dict]) -> str:
    """Where the results were made, and by which commands."""
    commands: dict[str, set[str]] = {}
    for one in results:
        commands.setdefault(surroundings(one), set()).add(one["command"])
    lines = []
    for where, made in sorted(commands.items()):
        lines += [f"{where}:", "", *(f"- `{command}`" for command in sorted(made)), ""]
    return "\n".join(lines).rstrip()


def _checkpoints_text(checkpoints: list[dict]) -> str:
    shown = ("accuracy", "augmented", "everyday", "yellow")
    rows = [
        [_which(one), *(_spread([one[name]] if name in one else []) for name in shown)]
        for one in sorted(checkpoints, key=lambda one: -one["accuracy"])
    ]
    return f"""
## Checkpoints

`augmented`: random views of each photo, changed as strongly as those that the checkpoint learned from. Of a photo that
is not known to have been held back, nobody can say whether a checkpoint learned from it.

{table(["checkpoint; photos", "clean validation", "augmented", "every day", "yellow dandelions"], rows)}
"""


def _which(one: dict) -> str:
    known = "" if one["held_back"] else " (not known to be held back)"
    return f"`{one['checkpoint']}`; {one['data']}{known}"


def _together_text(ensembles: list[dict]) -> str:
    rows = [
        [
            f"{', '.join(f'`{name}`' for name in one['alone'])}; {one['data']}",
            ", ".join(f"{100 * accuracy:.2f}" for accuracy in one["alone"].values()),
            *(f"{100 * one[name]:.2f}" for name in ("together", "all_right", "any_right")),
        ]
        for one in ensembles
    ]
    return f"""
## Several as one

By the mean of their confidences, on the same photos held back.

{table(["checkpoints; photos", "alone", "together", "all are right", "at least one is"], rows)}
"""


def _line(key: tuple, split: int, group: list[dict]) -> list[str]:
    preset, backbone, data, *settings, test = key
    what = ", ".join([f"`{preset}`", backbone, data, *settings, *(["a test part kept out"] if test else [])])
    shown = [_spread([one[name] for one in group if name in one]) for name in SCORES]
    minutes = statistics.median(one["seconds"] for one in group) / 60
    return [what, str(split), str(len(group)), *shown, f"{minutes:.1f}"]


SCORES = ("accuracy", "last_epoch", "augmented", "everyday", "yellow", "test")


def _spread(values: list[float]) -> str:
    if not values:
        return ""
    mean = f"{100 * statistics.mean(values):.2f}"
    return f"{mean} ± {100 * statistics.stdev(values):.2f}" if len(values) > 1 else mean


if __name__ == "__main__":
    sys.exit(main())
