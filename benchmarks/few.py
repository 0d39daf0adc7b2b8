"""Few photos: how right, how honest and how soon, from 2 photos a class to all, against what others would do with them.

    python benchmarks/few.py                        # flowers, digits and drawings: half an hour on two cores
    python benchmarks/few.py --sets flowers --sizes 5 20 --draws 2                                # two minutes
    race-venv/bin/python benchmarks/few.py --sets flowers --contestants fastai --draws 1          # hours

Of each set a part is held back for good; of the rest so many photos a class are drawn, five times. Everybody gets the
same draws, and EfficientNet-Lite0 with its ImageNet weights (fastai: ResNet18):

    auto        ``python -m flowers train --preset auto``, through the same code
    regression  scikit-learn's LogisticRegression(C=0.1) on the untouched network's features, not standardised, of each
                photo and its mirror image; answers are means over both
    teachable   Teachable Machine's recipe on the same features of the photo alone: a hidden layer of 100, 50 epochs of
                Adam (learning rate 0.001, batches of 16); its own network is a MobileNet, which is not to be had here
    fastai      ``vision_learner(…).fine_tune(4)``, as its tutorial has it

Features come from the cache (``flowers/training/seen.py``; FLOWERS_CACHE keeps it for the next time), so that draws
cost seconds; to the seconds that are told the looking is added, at the pace of 50 photos that nobody saw before.
Writes few/results.json and few.md.
"""

import argparse
import contextlib
import json
import os
import resource
import shutil
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

PROJECT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(PROJECT))

from benchmarks.common import circumstances, save, table, told  # noqa: E402

SIZES = (2, 5, 10, 20, 50, 100, 0)  # photos a class; 0: all
DRAWS = 5
HELD_BACK = {"digits": 1397, "drawings": 600}  # the rest is drawn from: 400 digits, 300 drawings
BACKBONE = "efficientnet_lite0"
FOLDER = Path(__file__).with_name("few")
Drawn = list[int]


@dataclass(frozen=True)
class Photos:
    """A set of photos with what the untouched network sees of them."""

    name: str
    paths: list[Path]
    labels: np.ndarray  # int64 (N,)
    classes: list[str]
    learn: list[int]  # to draw from
    held_back: list[int]
    views: np.ndarray  # float32 (N, 2, F): of the photo and its mirror image
    pace: float  # seconds a photo that looking took

    def drawn(self, a_class: int, draw: int) -> Drawn:
        """So many photos of each class; 0: all."""
        rng = np.random.default_rng(draw)
        own = [[i for i in self.learn if self.labels[i] == label] for label in range(len(self.classes))]
        return sorted(i for mine in own for i in rng.permutation(mine)[: a_class or len(mine)].tolist())


@dataclass(frozen=True)
class Result:
    """What one contestant made of one draw."""

    accuracy: float
    calibration_error: float
    seconds: float  # of learning, from photos never seen to the last weight
    memory: float  # bytes, the most that this process has held so far


def main(arguments: list[str] | None = None) -> int:
    """Measure, and write the results."""
    options = _parser().parse_args(arguments)
    before = json.loads((options.out / "results.json").read_text())["rows"] if options.more else []
    rows = {(row["set"], row["photos"], row["who"]): row for row in before}
    with tempfile.TemporaryDirectory(prefix="flowers-few-") as scratch:
        os.environ.setdefault("FLOWERS_CACHE", f"{scratch}/cache")
        os.environ["FLOWERS_RUNS"] = f"{scratch}/runs"
        for name in options.sets:
            photos = _photos(name, Path(scratch))
            for size in options.sizes:
                if size and size > min(np.bincount(photos.labels[photos.learn])):
                    continue
                for who in options.contestants:
                    results = [
                        CONTESTANTS[who](photos, photos.drawn(size, draw), Path(scratch) / "run")
                        for draw in range(options.draws if size else 1)
                    ]
                    rows[name, size, who] = _row(name, size, who, results)
                    print(rows[name, size, who], flush=True)
    save(options.out / "results.json", {"rows": list(rows.values()), **circumstances()})
    options.out.with_suffix(".md").write_text(report(list(rows.values()), circumstances()), encoding="utf-8")
    return 0


def report(rows: list[dict], facts: dict) -> str:
    """The results as Markdown."""
    lines = [
        "# Few photos",
        "",
        "Accuracy on photos held back, mean ± standard deviation over the draws; in brackets the expected calibration "
        "error, in points. See `few.py` for who does what. From which distances `auto` looks at few photos was "
        "chosen by these flowers.",
    ]
    for name in dict.fromkeys(row["set"] for row in rows):
        mine = [row for row in rows if row["set"] == name]
        who = list(dict.fromkeys(row["who"] for row in mine))
        lines += ["", f"## {name}: {mine[0]['held_back']:,} photos held back", ""]
        cells = {(row["photos"], row["who"]): row for row in mine}
        timed = who if any(row["seconds"] for row in mine) else []  # not where other work went on beside
        sizes = sorted({row["photos"] for row in mine}, key=lambda size: size or 1e9)
        lines.append(
            table(
                ["photos a class", *who, *(f"{one}, s" for one in timed)],
                [
                    [size or "all", *(_right(cells.get((size, one))) for one in who)]
                    + [_seconds(cells.get((size, one))) for one in timed]
                    for size in sizes
                ],
            )
        )
    return "\n".join([*lines, "", told(facts), ""])


def _row(name: str, size: int, who: str, results: list[Result]) -> dict:
    accuracies = [100 * result.accuracy for result in results]
    return {
        "set": name,
        "photos": size,
        "who": who,
        "draws": len(results),
        "held_back": held_back_of(name),
        "accuracy": float(np.mean(accuracies)),
        "spread": float(np.std(accuracies)),
        "calibration_error": float(np.mean([100 * result.calibration_error for result in results])),
        "seconds": float(np.median([result.seconds for result in results])),
        "memory": max(result.memory for result in results),
    }


def _right(row: dict | None) -> str:
    if not row:
        return ""
    spread = f" ± {row['spread']:.1f}" if row["draws"] > 1 else ""
    return f"{row['accuracy']:.1f}{spread} ({row['calibration_error']:.1f})"


def _seconds(row: dict | None) -> str:
    return f"{row['seconds']:.1f}" if row and row["seconds"] else ""


# The sets


def held_back_of(name: str) -> int:
    """How many photos of a set nobody learns from."""
    return HELD_BACK.get(name, 570)


def _photos(name: str, scratch: Path) -> Photos:
    """A set, with its features, for which the network looks at every photo once."""
    from flowers.data.dataset import open_dataset
    from flowers.recipe import preset
    from flowers.training.train import train

    makers = {"digits": make_digits, "drawings": make_drawings}
    if name in makers:
        makers[name](scratch / name)
    dataset = open_dataset("flowers5" if name == "flowers" else scratch / name)
    labels = np.array([photo.label for photo in dataset.photos])
    if name == "flowers":
        held_back = list(dataset.split().val)
    else:
        held_back = _evenly(labels, held_back_of(name))
    learn = sorted(set(range(len(dataset))) - set(held_back))
    for event in train(preset("auto").replace(backbone=BACKBONE, epochs=1), dataset):
        if event.kind == "folded":
            break
    paths = [dataset.path(index) for index in range(len(dataset))]
    views = _views([photo.sha256 for photo in dataset.photos])
    photos = Photos(name, paths, labels, list(dataset.classes), learn, held_back, views, pace=0.0)
    return replace(photos, pace=_pace(photos))


def _pace(photos: Photos) -> float:
    """Seconds that it takes to look at a photo and its mirror image, decoding included."""
    from flowers.data.dataset import scan
    from flowers.recipe import preset
    from flowers.training.train import train

    kept = os.environ["FLOWERS_CACHE"]
    drawn = photos.drawn(50 // len(photos.classes), 0)
    with _as_folder(photos, drawn) as folder, tempfile.TemporaryDirectory(prefix="flowers-cache-") as cache:
        for name in ("untouched", "engines-v2"):  # what the studio finds out once for a machine
            if (Path(kept) / name).is_dir():
                shutil.copytree(Path(kept) / name, Path(cache) / name, copy_function=shutil.copy2)
        os.environ["FLOWERS_CACHE"] = cache
        dataset, moments = scan(folder), {}
        for event in train(preset("auto").replace(backbone=BACKBONE), dataset):
            if event.kind == "probing":
                moments[event.done] = time.monotonic()
            if event.kind == "folded":
                break
    os.environ["FLOWERS_CACHE"] = kept
    first, *_, last = sorted(moments)
    return (moments[last] - moments[first]) / (last - first)


def _views(sha256s: list[str]) -> np.ndarray:
    """What was seen of these photos, float32 (N, 2, F)."""
    import sqlite3

    from flowers.paths import cache_dir

    with contextlib.closing(sqlite3.connect(cache_dir() / "seen.sqlite")) as file:
        seen = dict(file.execute("SELECT photo, features FROM seen WHERE views = 2"))
    return np.stack([np.frombuffer(seen[name], np.float32).reshape(2, -1) for name in sha256s])


def _evenly(labels: np.ndarray, count: int) -> list[int]:
    """So many photos, of each class its share, by lot."""
    order = np.random.default_rng(0).permutation(len(labels))
    by_class = sorted(order.tolist(), key=lambda index: int(labels[index]))
    places = np.linspace(0, len(by_class) - 1, count).round().astype(int)
    return sorted(by_class[place] for place in places)


def make_digits(folder: Path) -> None:
    """scikit-learn's 1,797 handwritten digits, 8 × 8 pixels, as PNGs of 96 × 96."""
    from PIL import Image
    from sklearn.datasets import load_digits

    digits = load_digits()
    for number, (pixels, digit) in enumerate(zip(digits.images, digits.target, strict=True)):
        (folder / str(digit)).mkdir(parents=True, exist_ok=True)
        grey = Image.fromarray((255 - pixels * 255 / 16).astype(np.uint8))
        grey.resize((96, 96), Image.Resampling.BICUBIC).save(folder / str(digit) / f"{number:04d}.png")


def make_drawings(folder: Path, count: int = 900) -> None:
    """Circles, crosses and squares drawn by an unsteady hand: black lines on white, 160 × 160 pixels."""
    from PIL import Image, ImageDraw

    rng = np.random.default_rng(0)
    corners = np.array([(-1, -1), (1, -1), (1, 1), (-1, 1), (-1, -1)])
    angles = np.linspace(0, 2 * np.pi, 40)
    strokes = {
        "circle": [np.stack([np.cos(angles), np.sin(angles)], 1)],
        "cross": [corners[[0, 2]], corners[[1, 3]]],
        "square": [corners],
    }
    for number in range(count):
        name = list(strokes)[number % len(strokes)]
        image = Image.new("RGB", (160, 160), "white")
        draw, turn = ImageDraw.Draw(image), rng.normal(0, 0.12)
        size, middle, width = rng.uniform(18, 60), rng.uniform(65, 95, 2), int(rng.integers(2, 7))
        spun = np.array([[np.cos(turn), -np.sin(turn)], [np.sin(turn), np.cos(turn)]])
        for stroke in strokes[name]:
            points = middle + (stroke * rng.uniform(0.85, 1.15, 2)) @ spun * size + rng.normal(0, 1.2, stroke.shape)
            draw.line([tuple(point) for point in points], fill="black", width=width, joint="curve")
        (folder / name).mkdir(parents=True, exist_ok=True)
        image.save(folder / name / f"{number:03d}.png")


# The contestants


def auto(photos: Photos, drawn: Drawn, run_folder: Path) -> Result:
    """Preset auto. Where its network is the untouched one, its last layer is given what that one saw before."""
    import torch

    from flowers.data.dataset import scan
    from flowers.evaluation.calibration import calibrate
    from flowers.models.backbones import backbone
    from flowers.models.calibration import read_calibration
    from flowers.models.checkpoint import load_model, read_checkpoint
    from flowers.recipe import preset
    from flowers.training.run import Run
    from flowers.training.schedule import distances
    from flowers.training.train import train

    shutil.rmtree(run_folder, ignore_errors=True)
    with _as_folder(photos, drawn) as folder:
        dataset = scan(folder)
        far = distances(len(dataset))
        if far > 1:  # what is seen from other distances comes from the cache, too
            for _ in train(preset("auto").replace(backbone=BACKBONE), dataset):
                pass
        start = time.monotonic()
        run = Run.create(run_folder, preset("auto").replace(backbone=BACKBONE), str(folder), "auto")
        for _ in train(run.recipe, dataset, run=run):
            pass
        calibrate(read_checkpoint(run.folder / "best"), dataset)
    seconds = time.monotonic() - start + photos.pace * len(drawn) * far
    checkpoint = read_checkpoint(run.folder / "best")
    if checkpoint.folds:
        head = load_model(checkpoint).get_submodule(backbone(BACKBONE).head)
        with torch.inference_mode():
            scores = head(torch.from_numpy(photos.views[photos.held_back].mean(1))).numpy()
    else:
        scores = _asked(checkpoint, photos)
    return _result(photos, read_calibration(checkpoint).confidences(scores), seconds)


def regression(photos: Photos, drawn: Drawn, _: Path) -> Result:
    """scikit-learn's, on both views."""
    from sklearn.linear_model import LogisticRegression

    start = time.monotonic()
    fitted = LogisticRegression(C=0.1, max_iter=2000).fit(
        photos.views[drawn].reshape(2 * len(drawn), -1), photos.labels[drawn].repeat(2)
    )
    seconds = time.monotonic() - start + photos.pace * len(drawn)
    return _result(photos, fitted.predict_proba(photos.views[photos.held_back].mean(1)), seconds)


def teachable(photos: Photos, drawn: Drawn, _: Path) -> Result:
    """Teachable Machine's: a hidden layer on the frozen features."""
    import torch
    from torch import nn

    torch.manual_seed(0)
    start = time.monotonic()
    inputs, labels = torch.from_numpy(photos.views[drawn][:, 0].copy()), torch.from_numpy(photos.labels[drawn])
    net = nn.Sequential(nn.Linear(inputs.shape[1], 100), nn.ReLU(), nn.Linear(100, len(photos.classes)))
    optimizer = torch.optim.Adam(net.parameters(), lr=0.001)
    for _epoch in range(50):
        for batch in torch.randperm(len(drawn)).split(16):
            optimizer.zero_grad()
            nn.functional.cross_entropy(net(inputs[batch]), labels[batch]).backward()
            optimizer.step()
    seconds = time.monotonic() - start + photos.pace / 2 * len(drawn)
    with torch.inference_mode():
        answers = net(torch.from_numpy(photos.views[photos.held_back][:, 0].copy())).softmax(1).numpy()
    return _result(photos, answers, seconds)


def fastai(photos: Photos, drawn: Drawn, _: Path) -> Result:
    """fastai's ``fine_tune(4)`` of a ResNet18."""
    from fastai.vision.all import ImageDataLoaders, Resize, aug_transforms, resnet18, vision_learner

    start = time.monotonic()
    names = [photos.classes[label] for label in photos.labels]
    loaders = ImageDataLoaders.from_lists(
        "/", [photos.paths[i] for i in drawn], [names[i] for i in drawn], valid_pct=0.2, seed=0,
        item_tfms=Resize(460), batch_tfms=aug_transforms(size=224), bs=min(64, max(2, len(drawn) // 2)), num_workers=0,
    )  # fmt: skip
    learner = vision_learner(loaders, resnet18)
    learner.fine_tune(4)
    seconds = time.monotonic() - start
    answers, _ = learner.get_preds(dl=loaders.test_dl([photos.paths[i] for i in photos.held_back]))
    order = [list(loaders.vocab).index(name) for name in photos.classes]
    return _result(photos, answers.numpy()[:, order], seconds)


CONTESTANTS: dict[str, Callable[[Photos, Drawn, Path], Result]] = {
    "auto": auto, "regression": regression, "teachable": teachable, "fastai": fastai,
}  # fmt: skip


def _asked(checkpoint, photos: Photos) -> np.ndarray:
    """Class scores, float32 (N, classes), by the whole network."""
    from flowers.data.preprocess import Preprocessing
    from flowers.inference import open_network

    preprocessing = Preprocessing.from_dict(checkpoint.preprocessing)
    network, rows = open_network(checkpoint, preprocessing), []
    for index in photos.held_back:
        frame = preprocessing.frame(preprocessing.working_copy(photos.paths[index]))
        rows.append(network.look(np.asarray(frame).transpose(2, 0, 1)[None])[0])
    return np.concatenate(rows)


def _result(photos: Photos, probabilities: np.ndarray, seconds: float) -> Result:
    from flowers.evaluation.metrics import expected_calibration_error

    right = probabilities.argmax(1) == photos.labels[photos.held_back]
    memory = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024.0
    return Result(float(right.mean()), expected_calibration_error(probabilities.max(1), right), seconds, memory)


@contextlib.contextmanager
def _as_folder(photos: Photos, drawn: Drawn) -> Iterator[Path]:
    """A folder of class folders with just these photos."""
    with tempfile.TemporaryDirectory(prefix="flowers-drawn-") as folder:
        for index in drawn:
            place = Path(folder) / photos.classes[photos.labels[index]]
            place.mkdir(exist_ok=True)
            shutil.copy(photos.paths[index], place / f"{index}{photos.paths[index].suffix}")
        yield Path(folder)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--sets", nargs="+", default=["flowers", "digits", "drawings"], metavar="SET")
    parser.add_argument("--sizes", nargs="+", type=int, default=SIZES, help="photos a class; 0: all")
    parser.add_argument("--draws", type=int, default=DRAWS)
    parser.add_argument("--contestants", nargs="+", default=["auto", "regression", "teachable"], choices=CONTESTANTS)
    parser.add_argument("--more", action="store_true", help="keep the other results that are there")
    parser.add_argument("--out", type=Path, default=FOLDER, help="results.json in it, and FOLDER.md beside it")
    return parser


if __name__ == "__main__":
    sys.exit(main())
