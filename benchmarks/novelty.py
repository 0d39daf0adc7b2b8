"""None of these: how well a checkpoint notices pictures of something else, by each of eight scores.

    race-venv/bin/python benchmarks/novelty.py --data flowers5       # two to three minutes on two quiet cores

Known are the photos held back from training. Far are photos of animals, objects, places and people that installed
packages carry, and rendered pictures: text, noise, blank ones, and what is left of photos when they are blurred beyond
recognition. Near are other flowers and plants: the few that the packages carry, and, with nothing fine-tuned, each of
the five classes in turn, left out of a last layer that is fitted to the other four.

No score is fitted to anything but photos that the checkpoint learned from, and no choice was made by these numbers but
which score ships. Writes novelty.json and novelty.md.
"""

import argparse
import importlib.util
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image, ImageDraw, ImageFilter, ImageFont

PROJECT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(PROJECT))

from benchmarks.common import circumstances, save, table, told, weights  # noqa: E402
from flowers.classifier import Classifier  # noqa: E402
from flowers.data.dataset import PhotoDataset, Split, open_dataset  # noqa: E402
from flowers.data.preprocess import Preprocessing  # noqa: E402
from flowers.evaluation.calibration import BANK_BYTES, BATCH, LEARNED, Seen, fit_neighbours, look, spread  # noqa: E402
from flowers.models.backbones import backbone  # noqa: E402
from flowers.models.calibration import UNFAMILIAR, Calibration  # noqa: E402
from flowers.models.checkpoint import Checkpoint, load_weights  # noqa: E402
from flowers.paths import DEFAULT_CHECKPOINT  # noqa: E402
from flowers.recipe import Recipe  # noqa: E402

RENDERED = 40  # pictures of each rendered kind
SIDE = 256  # of them, pixels
FAR_PHOTOS = ("animals", "objects", "places", "people")
FAR_RENDERED = ("drawings", "text", "noise", "blank", "blurred")

# package -> folder in it -> what its photos show -> their names. Pictures that are hard to name are left out.
PHOTOS: dict[str, dict[str, dict[str, str]]] = {
    "caer": {
        "data": {
            "animals": "bear.jpg black_cat.jpg blue_tang.jpg fighter_fish.jpg gold_fish.jpg green_fish.jpg "
            "jellyfish.jpg puppies.jpg puppy.jpg red_fish.jpg sea_turtle.jpg",
            "objects": "audio_mixer.jpg beverages.jpg camera.jpg controller.jpg green_controller.jpg guitar.jpg "
            "laptop.jpg rotary_phone.jpg",
            "places": "dusk.jpg island.jpg mountain.jpg night.jpg snow.jpg sunrise.jpg tent.jpg",
            "people": "drone.jpg",
        }
    },
    "foolbox": {
        "data": {
            "animals": "imagenet_00_243.jpg imagenet_14_129.jpg imagenet_15_99.jpg imagenet_16_251.jpg "
            "imagenet_17_22.jpg imagenet_18_317.jpg imagenet_19_305.jpg",
            "objects": "imagenet_01_559.jpg imagenet_02_438.jpg imagenet_06_609.jpg imagenet_07_609.jpg "
            "imagenet_09_455.jpg imagenet_10_541.jpg imagenet_11_630.jpg imagenet_12_741.jpg imagenet_13_471.jpg",
            "places": "imagenet_05_853.jpg imagenet_08_915.jpg",
            "plants": "imagenet_03_990.jpg imagenet_04_949.jpg",  # a horse chestnut, strawberries
        }
    },
    "gradio": {
        "media_assets/images": {
            "animals": "cheetah.jpg cheetah1.jpg lion.jpg",
            "places": "tower.jpg",
            "drawings": "bus.png hf-logo_transpng.png logo.png",
        }
    },
    "skimage": {
        "data": {
            "animals": "chelsea.png",
            "objects": "coffee.png coins.png motorcycle_left.png",
            "places": "brick.png gravel.png hubble_deep_field.jpg moon.png rocket.jpg",
            "people": "astronaut.png camera.png",
            "drawings": "chessboard_RGB.png color.png horse.png logo.png page.png text.png",
            "plants": "grass.png",
        }
    },
    "sklearn": {"datasets/images": {"places": "china.jpg", "plants": "flower.jpg"}},  # a dahlia
    "ultralytics": {"assets": {"people": "bus.jpg zidane.jpg"}},
}


# The scores: higher for what is known


@dataclass(frozen=True)
class Learned:
    """What there is to fit a score to: photos learned from, and the last layer."""

    seen: Seen
    weight: np.ndarray  # float32 (classes, F)
    bias: np.ndarray  # float32 (classes,)


Score = Callable[[Seen], np.ndarray]  # float (N,)


def maximum_softmax(learned: Learned) -> Score:
    """The confidence itself (Hendrycks and Gimpel 2017, arXiv 1610.02136)."""
    return lambda photos: Calibration().confidences(photos.scores).max(1)


def energy(learned: Learned) -> Score:
    """The logarithm of the summed exponentials of the class scores (Liu et al. 2020, arXiv 2010.03759)."""
    return lambda photos: log_sum_exp(photos.scores)


def nearest(number: int) -> Callable[[Learned], Score]:
    """Cosine to the so-manieth nearest of all photos learned from (Sun et al. 2022, arXiv 2204.06507)."""

    def fitted(learned: Learned) -> Score:
        neighbours = fit_neighbours(learned.seen.features, learned.seen.features[:1], number)
        return lambda photos: neighbours.similarity(photos.features)

    return fitted


def shipped(learned: Learned) -> Score:
    """What ``calibrate`` puts into a checkpoint: the same with a bank of less than a megabyte."""
    features = learned.seen.features
    order = np.argsort(learned.seen.labels, kind="stable")
    most = min(LEARNED, BANK_BYTES // (2 * features.shape[1]), len(order))
    few = order[np.linspace(0, len(order) - 1, most).round().astype(int)]
    neighbours = fit_neighbours(features[few], features[:1])
    return lambda photos: neighbours.similarity(photos.features)


def vim(learned: Learned) -> Score:
    """Energy less what of the features lies outside their principal space (Wang et al. 2022, arXiv 2203.10807)."""
    origin = -np.linalg.pinv(learned.weight) @ learned.bias
    features = learned.seen.features - origin
    size = features.shape[1]
    principal = 1000 if size >= 2048 else 512 if size >= 768 else size // 2  # as its authors have it
    _, directions = np.linalg.eigh(features.T @ features / len(features))  # ascending
    outside = directions[:, : size - principal]
    scale = learned.seen.scores.max(1).mean() / np.linalg.norm(features @ outside, axis=1).mean()
    return lambda photos: (
        log_sum_exp(photos.scores) - scale * np.linalg.norm((photos.features - origin) @ outside, axis=1)
    )


def mahalanobis(learned: Learned) -> Score:
    """Distance to the nearest class's mean, all classes of one covariance (Lee et al. 2018, arXiv 1807.03888)."""
    means, inverse = gaussians(learned.seen.features, learned.seen.labels)
    return lambda photos: -distances(photos.features, means, inverse).min(1)


def relative_mahalanobis(learned: Learned) -> Score:
    """The same less the distance to the mean of all (Ren et al. 2021, arXiv 2106.09022)."""
    means, inverse = gaussians(learned.seen.features, learned.seen.labels)
    mean, spread_out = gaussians(learned.seen.features, np.zeros_like(learned.seen.labels))
    return lambda photos: (
        distances(photos.features, mean, spread_out)[:, 0] - distances(photos.features, means, inverse).min(1)
    )


def gaussians(features: np.ndarray, labels: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Means by class, (classes, F), and the inverse of the covariance about them, (F, F)."""
    means = np.stack([features[labels == label].mean(0) for label in np.unique(labels)])
    about = features - means[np.searchsorted(np.unique(labels), labels)]
    return means, np.linalg.pinv(about.T @ about / len(features), hermitian=True)


def distances(features: np.ndarray, means: np.ndarray, inverse: np.ndarray) -> np.ndarray:
    """Squared Mahalanobis distances, (N, classes)."""
    apart = features[:, None] - means
    return np.einsum("ncf,fg,ncg->nc", apart, inverse, apart, optimize=True)


def log_sum_exp(scores: np.ndarray) -> np.ndarray:
    """Over classes, (N,)."""
    top = scores.max(1, keepdims=True)
    return np.log(np.exp(scores - top).sum(1)) + top[:, 0]


SCORES: dict[str, tuple[str, Callable[[Learned], Score]]] = {
    "softmax": ("maximum softmax", maximum_softmax),
    "energy": ("energy", energy),
    "knn1": ("kNN, nearest", nearest(1)),
    "knn10": ("kNN, 10th", nearest(10)),
    "knn50": ("kNN, 50th", nearest(50)),
    "vim": ("ViM", vim),
    "mahalanobis": ("Mahalanobis", mahalanobis),
    "relative": ("relative Mahalanobis", relative_mahalanobis),
    "shipped": ("**shipped**", shipped),
}


# The pictures


def photos(kind: str) -> list[Image.Image]:
    """The packages' photos of that kind, upright RGB. Raises SystemExit where a package is missing."""
    from flowers.data.decode import decode_image

    return [decode_image(path) for path in sorted(photo_files(kind))]


def photo_files(kind: str) -> Iterator[Path]:
    """Their files."""
    for package, folders in PHOTOS.items():
        spec = importlib.util.find_spec(package)
        if spec is None:
            raise SystemExit(f"The photos of {package} are missing: see benchmarks/photos.txt.")
        for folder, kinds in folders.items():
            for name in kinds.get(kind, "").split():
                yield Path(spec.submodule_search_locations[0]) / folder / name


def text(rng: np.random.Generator) -> Image.Image:
    """A page of letters, dark on light or light on dark."""
    colours = [tuple(rng.integers(low, high, 3).tolist()) for low, high in ((0, 90), (170, 256))]
    ink, paper = colours if rng.random() < 0.7 else colours[::-1]
    page, size = Image.new("RGB", (SIDE, SIDE), paper), int(rng.integers(10, 40))
    draw, font = ImageDraw.Draw(page), ImageFont.load_default(size)
    for line in range(SIDE // size):
        words = ("".join(rng.choice(list("abcdefghijklmnopqrstuvwxyz"), rng.integers(2, 9))) for _ in range(12))
        draw.text((6, 4 + line * int(1.2 * size)), " ".join(words), ink, font)
    return page


def noise(rng: np.random.Generator) -> Image.Image:
    """Grains of one to thirty-two pixels, grey or coloured."""
    grain = int(2 ** rng.integers(0, 6))
    channels = 3 if rng.random() < 0.5 else 1
    grains = np.broadcast_to(
        rng.integers(0, 256, (SIDE // grain, SIDE // grain, channels), np.uint8), (SIDE // grain, SIDE // grain, 3)
    )
    return Image.fromarray(np.ascontiguousarray(grains)).resize((SIDE, SIDE), Image.Resampling.BICUBIC)


def blank(rng: np.random.Generator) -> Image.Image:
    """One colour, or one that runs into another."""
    colours = rng.integers(0, 256, (2, 3))
    if rng.random() < 0.5:
        colours[1] = colours[0]
    run = np.linspace(0, 1, SIDE)[:, None, None] * np.ones((1, SIDE, 1))
    return Image.fromarray((colours[0] * (1 - run) + colours[1] * run).astype(np.uint8)).rotate(90 * rng.integers(4))


def blurred(image: Image.Image) -> Image.Image:
    """What is left when nobody can tell any more what it was."""
    small = image.resize((SIDE, SIDE))
    return small.filter(ImageFilter.GaussianBlur(SIDE / 6))


def pictures(flowers: Sequence[Path]) -> dict[str, list[Image.Image]]:
    """All pictures of something else by kind; ``flowers`` are blurred."""
    from flowers.data.decode import decode_image

    rng = np.random.default_rng(0)
    kinds = {kind: photos(kind) for kind in (*FAR_PHOTOS, "drawings", "plants")}
    kinds |= {draw.__name__: [draw(rng) for _ in range(RENDERED)] for draw in (text, noise, blank)}
    return kinds | {"blurred": [blurred(decode_image(path)) for path in flowers]}


# Measuring


def main(arguments: list[str] | None = None) -> int:
    """Look at everything, compare, write."""
    options = _parser().parse_args(arguments)
    dataset, classifier = open_dataset(options.data), Classifier.load(options.checkpoint)
    classifier.choose_engine()
    checkpoint, preprocessing = classifier.checkpoint, classifier.preprocessing
    recipe = Recipe.from_dict(checkpoint.recipe)
    split = dataset.split(recipe.split_seed, recipe.val_fraction)
    relabel = [checkpoint.classes.index(name) for name in dataset.classes]
    known, seen = look(classifier.network, preprocessing, dataset, [split.val, split.train], relabel)
    head, kept = backbone(checkpoint.backbone).head, load_weights(checkpoint.folder)
    learned = Learned(seen, kept[f"{head}.weight"].numpy(), kept[f"{head}.bias"].numpy())
    others = {
        kind: look_at(classifier, images)
        for kind, images in pictures([dataset.path(i) for i in spread(dataset, split.val, RENDERED)]).items()
    }
    results = {
        **circumstances(),
        "checkpoint": checkpoint.name,
        "network": backbone(checkpoint.backbone).title,
        "weights": weights() if checkpoint.backbone == "resnet18" else "ImageNet weights",
        "photos": {"known": len(known.labels), "learned_from": len(seen.labels)}
        | {kind: len(part.labels) for kind, part in others.items()},
        "scores": {name: compare(fitted(learned), known, others) for name, (_, fitted) in SCORES.items()},
        "left_out": left_out(dataset, split, checkpoint.backbone) if options.left_out else {},
        "photos_left_out": (LEARNED + len(split.val)) // len(dataset.classes),
    }
    save(options.out / "novelty.json", results)
    (options.out / "novelty.md").write_text(text_of(results))
    print(text_of(results))
    return 0


def look_at(classifier: Classifier, images: Sequence[Image.Image]) -> Seen:
    """What the network makes of pictures; their labels mean nothing."""
    frames = np.stack([np.asarray(classifier.preprocessing.frame(image)) for image in images]).transpose(0, 3, 1, 2)
    parts = [classifier.network.look(frames[start : start + BATCH]) for start in range(0, len(frames), BATCH)]
    return Seen(*(np.concatenate(column) for column in zip(*parts, strict=True)), np.full(len(frames), -1))


def compare(score: Score, known: Seen, others: Mapping[str, Seen]) -> dict[str, Any]:
    """For every kind, the area under the ROC curve and the share noticed where 19 in 20 known photos are accepted."""
    of_known = score(known)
    limit = np.quantile(of_known, UNFAMILIAR)
    groups = {kind: score(part) for kind, part in others.items()}
    for name, kinds in (("far photos", FAR_PHOTOS), ("far", (*FAR_PHOTOS, *FAR_RENDERED))):
        groups[name] = np.concatenate([groups[kind] for kind in kinds])
    return {
        "auroc": {kind: auroc(of_known, found) for kind, found in groups.items()},
        "noticed": {kind: float((found < limit).mean()) for kind, found in groups.items()},
        "accuracy_of_known": float(known.right[of_known >= limit].mean()),
        "accuracy": float(known.right.mean()),
    }


def auroc(known: np.ndarray, others: np.ndarray) -> float:
    """How often a known photo scores higher than another picture, 0..1; chance is 0.5."""
    from sklearn.metrics import roc_auc_score

    return float(roc_auc_score(np.repeat([1, 0], [len(known), len(others)]), np.concatenate([known, others])))


def left_out(dataset: PhotoDataset, split: Split, name: str) -> dict[str, dict[str, float]]:
    """AUROC by score and class left out: the last layer of ImageNet network ``name`` is fitted to the other four."""
    import torch

    from flowers.inference import eager_network
    from flowers.models.backbones import build_imagenet
    from flowers.training import probe

    chosen = backbone(name)
    preprocessing = Preprocessing(chosen.size, chosen.resize, chosen.mean, chosen.std)
    network = eager_network(
        Checkpoint(name, dataset.classes, preprocessing.to_dict()), preprocessing,
        build_imagenet(name, len(dataset.classes)),
    )  # fmt: skip
    parts = [spread(dataset, split.train, LEARNED), split.val]
    train, val = look(network, preprocessing, dataset, parts, range(len(dataset.classes)))
    found: dict[str, dict[str, float]] = {key: {} for key in SCORES}
    for out, title in enumerate(dataset.classes):
        mine = train.labels != out
        labels = np.searchsorted(np.delete(np.arange(len(dataset.classes)), out), train.labels[mine])
        head = torch.nn.Linear(train.features.shape[1], len(dataset.classes) - 1)
        probe.fit(head, torch.from_numpy(train.features[mine]), torch.from_numpy(labels), smoothing=0.0)
        weight, bias = head.weight.detach().numpy(), head.bias.detach().numpy()

        def of(features: np.ndarray, labels: np.ndarray, weight: np.ndarray = weight, bias: np.ndarray = bias) -> Seen:
            return Seen(features @ weight.T + bias, features, labels)

        learned = Learned(of(train.features[mine], labels), weight, bias)
        known = of(val.features[val.labels != out], val.labels[val.labels != out])
        both = np.concatenate([part.features[part.labels == out] for part in (train, val)])
        for key, (_, fitted) in SCORES.items():
            score = fitted(learned)
            found[key][title] = auroc(score(known), score(of(both, np.full(len(both), -1))))
    return found


def text_of(results: dict) -> str:
    """Tables and circumstances."""
    counts, kinds = results["photos"], [*FAR_PHOTOS, *FAR_RENDERED]
    columns = ["far", "far photos", *kinds, "plants"]
    rows, noticed = [], []
    for name, (title, _) in SCORES.items():
        found = results["scores"][name]
        rows.append([title, *(f"{found['auroc'][kind]:.1%}" for kind in columns)])
        noticed.append(
            [title, *(f"{found['noticed'][kind]:.0%}" for kind in columns), f"{found['accuracy_of_known']:.2%}"]
        )
    numbers = ", ".join(f"{counts[kind]} {kind}" for kind in (*kinds, "plants"))
    parts = [
        "# None of these",
        f"How well `{results['checkpoint']}` ({results['network']}, {results['weights']}) tells the {counts['known']} "
        f"photos held back from pictures of something else: {numbers}. The photos come with packages, the rest is "
        f"rendered; none was used to fit anything. Scores are fitted to {counts['learned_from']:,} photos "
        "learned from.",
        "## Area under the ROC curve",
        table(["", *columns], rows),
        "How often a known photo scores higher than another picture; chance is 50 %.",
        "## Noticed, where 19 in 20 known photos are accepted",
        table(["", *columns, "accuracy of the accepted"], noticed),
        f"Of all known photos {results['scores']['shipped']['accuracy']:.2%} are named rightly.",
    ]
    if results["left_out"]:
        classes = list(results["left_out"]["shipped"])
        rows = [
            [SCORES[name][0], *(f"{found[title]:.1%}" for title in classes), f"{np.mean(list(found.values())):.1%}"]
            for name, found in results["left_out"].items()
        ]
        parts += [
            "## Another flower: each class left out in turn",
            "The area under the ROC curve of the other classes' photos held back, against about "
            f"{results['photos_left_out']} photos of the class left out. Nothing is fine-tuned: the last layer of an "
            f"untouched {results['network']} ({results['weights']}) is fitted to the others.",
            table(["", *classes, "mean"], rows),
        ]
    return "\n\n".join([*parts, told(results)]) + "\n"


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(description="How well a checkpoint notices pictures of something else.")
    parser.add_argument("--data", metavar="SRC", help="as `flowers train --data` (default: its default)")
    parser.add_argument("--checkpoint", default=DEFAULT_CHECKPOINT, metavar="C", help=f"({DEFAULT_CHECKPOINT})")
    parser.add_argument("--out", type=Path, default=PROJECT / "benchmarks", help="where the results go")
    parser.add_argument("--no-left-out", dest="left_out", action="store_false", help="skip the classes left out")
    return parser


if __name__ == "__main__":
    sys.exit(main())
