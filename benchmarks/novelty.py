"""None of these: how well a checkpoint notices pictures of something else, by each of the scores of novelty_scores.py.

    race-venv/bin/python benchmarks/novelty.py --data flowers5-wide      # two to three minutes on two quiet cores
    race-venv/bin/python benchmarks/novelty.py --data flowers5-wide --fine-tune fast --set learning_rate=0.01

Known are the photos held back from training. Far are photos of animals, objects, places and people that installed
packages carry, and rendered pictures: text, noise, blank ones, and what is left of photos when they are blurred beyond
recognition. Near are other flowers and plants: the few that the packages carry, and each of the five classes in turn,
left out of a last layer that is fitted to the other four with nothing fine-tuned; with --fine-tune, also left out of
networks that a preset trains on the other four. Those runs are kept: what is there is not trained anew, and what was
broken off goes on; five take half an hour on one core.

Scores are fitted to photos that the checkpoint learned from; the sums also to how much their parts vary among those
held back. No choice was made by these numbers but which score ships, and its constants: that the nearest neighbour
counts in it, of which power of the features, and how much beside the energy. What is best here is a little flattered.
Writes novelty.json and novelty.md.
"""

import argparse
import importlib.util
import sys
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image, ImageDraw, ImageFilter, ImageFont

PROJECT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(PROJECT))

from benchmarks.common import circumstances, save, table, told, weights  # noqa: E402
from benchmarks.novelty_scores import SCORES, Learned, Score  # noqa: E402
from flowers.classifier import Classifier  # noqa: E402
from flowers.data.dataset import PhotoDataset, Split, open_dataset  # noqa: E402
from flowers.data.preprocess import Preprocessing  # noqa: E402
from flowers.evaluation.calibration import BATCH, Seen, look, spread  # noqa: E402
from flowers.models.backbones import backbone  # noqa: E402
from flowers.models.calibration import UNFAMILIAR  # noqa: E402
from flowers.models.checkpoint import Checkpoint, load_weights  # noqa: E402
from flowers.paths import DEFAULT_CHECKPOINT  # noqa: E402
from flowers.recipe import Recipe, knob, preset  # noqa: E402
from flowers.training.run import Run  # noqa: E402

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
    checkpoint = classifier.checkpoint
    split, recipe = _split(checkpoint, dataset), _recipe(options, checkpoint.backbone)
    fine_tuning = [options.fine_tune, *options.set] if recipe else []
    runs = options.runs / "-".join(["without", checkpoint.backbone, *fine_tuning])
    learned = learned_by(classifier, dataset)
    others = {
        kind: look_at(classifier, images)
        for kind, images in pictures([dataset.path(i) for i in spread(dataset, split.val, RENDERED)]).items()
    }
    results = {
        **circumstances(),
        "checkpoint": checkpoint.name,
        "network": backbone(checkpoint.backbone).title,
        "weights": weights() if checkpoint.backbone == "resnet18" else "ImageNet weights",
        "photos": {"known": len(learned.held_back.labels), "learned_from": len(learned.seen.labels)}
        | {kind: len(part.labels) for kind, part in others.items()},
        "scores": {name: compare(fitted(learned), learned.held_back, others) for name, (_, fitted) in SCORES.items()},
        "left_out": left_out(frozen(dataset, split, checkpoint.backbone)) if options.left_out else {},
        "photos_left_out": len(dataset) // len(dataset.classes),
        "fine_tuning": fine_tuning,
        "left_out_of_fine_tuning": left_out(fine_tuned(dataset, recipe, runs)) if recipe else {},
    }
    save(options.out / "novelty.json", results)
    (options.out / "novelty.md").write_text(text_of(results))
    print(text_of(results))
    return 0


def learned_by(classifier: Classifier, dataset: PhotoDataset) -> Learned:
    """What a checkpoint makes of the photos that it was trained with, and its last layer."""
    checkpoint, split = classifier.checkpoint, _split(classifier.checkpoint, dataset)
    relabel = [checkpoint.classes.index(name) for name in dataset.classes]
    seen, held_back = look(classifier.network, classifier.preprocessing, dataset, [split.train, split.val], relabel)
    head, kept = backbone(checkpoint.backbone).head, load_weights(checkpoint.folder)
    return Learned(seen, held_back, kept[f"{head}.weight"].numpy(), kept[f"{head}.bias"].numpy())


def _recipe(options: argparse.Namespace, name: str) -> Recipe | None:
    if not options.fine_tune:
        return None
    settings = dict(item.split("=", 1) for item in options.set)
    return preset(options.fine_tune).replace(backbone=name, **{key: knob(key).parse(settings[key]) for key in settings})


def _split(checkpoint: Checkpoint, dataset: PhotoDataset) -> Split:
    recipe = Recipe.from_dict(checkpoint.recipe)
    return dataset.split(recipe.split_seed, recipe.val_fraction)


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


def left_out(cases: Iterable[tuple[str, Learned, Seen]]) -> dict[str, dict[str, float]]:
    """AUROC by score and class left out, of (the class, what the others taught, photos of the class)."""
    found: dict[str, dict[str, float]] = {key: {} for key in SCORES}
    for title, learned, others in cases:
        for key, (_, fitted) in SCORES.items():
            score = fitted(learned)
            found[key][title] = auroc(score(learned.held_back), score(others))
    return found


def frozen(dataset: PhotoDataset, split: Split, name: str) -> Iterator[tuple[str, Learned, Seen]]:
    """The cases of a last layer that is fitted to the other four classes, on what ImageNet network ``name`` sees."""
    import torch

    from flowers.inference import eager_network
    from flowers.models.backbones import build_imagenet
    from flowers.training import probe

    chosen, count = backbone(name), len(dataset.classes)
    preprocessing = Preprocessing(chosen.size, chosen.resize, chosen.mean, chosen.std)
    network = eager_network(
        Checkpoint(name, dataset.classes, preprocessing.to_dict()), preprocessing, build_imagenet(name, count)
    )
    train, val = look(network, preprocessing, dataset, [split.train, split.val], range(count))
    for out, title in enumerate(dataset.classes):
        mine = train.part(train.labels != out)
        labels = mine.labels - (mine.labels > out)
        head = torch.nn.Linear(train.features.shape[1], count - 1)
        probe.fit(head, torch.from_numpy(mine.features), torch.from_numpy(labels), smoothing=0.0)
        weight, bias = head.weight.detach().numpy(), head.bias.detach().numpy()
        answered = [replace(part, scores=part.features @ weight.T + bias) for part in (train, val)]
        seen, held_back = (part.part(part.labels != out) for part in answered)
        strange = joined([part.part(part.labels == out) for part in answered])
        yield title, Learned(seen, held_back, weight, bias), strange


def joined(parts: Sequence[Seen]) -> Seen:
    """One after the other."""
    return Seen(*(np.concatenate([getattr(part, name) for part in parts]) for name in ("scores", "features", "labels")))


def fine_tuned(dataset: PhotoDataset, recipe: Recipe, runs: Path) -> Iterator[tuple[str, Learned, Seen]]:
    """The cases of networks that are trained on the other four classes, each in the folder of ``runs`` called so.

    A run that is there goes on, which costs little once it is done.
    """
    from flowers.training.train import train

    for out, title in enumerate(dataset.classes):
        four, folder = without(dataset, out), runs / title
        run = Run.open(folder) if folder.exists() else Run.create(folder, recipe, str(dataset.root))
        for _ in train(recipe, four, run=run):
            pass
        classifier = Classifier.load(folder / "best")
        shown = [index for index, photo in enumerate(dataset.photos) if photo.label == out]
        [strange] = look(classifier.network, classifier.preprocessing, dataset, [shown], range(len(dataset.classes)))
        yield title, learned_by(classifier, four), strange


def without(dataset: PhotoDataset, out: int) -> PhotoDataset:
    """The set as if it had no photo of class number ``out``; what is held back of the others stays so."""
    kept = [index for index, photo in enumerate(dataset.photos) if photo.label != out]
    photos = [dataset.photos[index] for index in kept]
    return replace(
        dataset,
        classes=tuple(name for name in dataset.classes if name != dataset.classes[out]),
        photos=tuple(replace(photo, label=photo.label - (photo.label > out)) for photo in photos),
        unreadable=(),
        held_back=frozenset(place for place, index in enumerate(kept) if index in dataset.held_back),
    )


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
        "learned from, the sums also to how much their parts vary among the photos held back. Which score ships, and "
        "its constants, were chosen by the table of `flowers-lite0`, whose numbers are flattered a little.",
        "## Area under the ROC curve",
        table(["", *columns], rows),
        "How often a known photo scores higher than another picture; chance is 50 %.",
        "## Noticed, where 19 in 20 known photos are accepted",
        table(["", *columns, "accuracy of the accepted"], noticed),
        f"Of all known photos {results['scores']['shipped']['accuracy']:.2%} are named rightly.",
    ]
    if results["left_out"]:
        parts += [
            "## Another flower: each class left out in turn",
            "The area under the ROC curve of the other classes' photos held back, against about "
            f"{results['photos_left_out']} photos of the class left out. Nothing is fine-tuned: the last layer of an "
            f"untouched {results['network']} ({results['weights']}) is fitted to the others.",
            _by_class(results["left_out"]),
        ]
    if results["left_out_of_fine_tuning"]:
        name, *settings = results["fine_tuning"]
        parts += [
            "## Another flower: each class left out of fine-tuning",
            f"The same where preset `{name}`{' with ' * bool(settings)}{', '.join(settings)} trains the "
            f"{results['network']} ({results['weights']}) on the other classes, by one seed.",
            _by_class(results["left_out_of_fine_tuning"]),
        ]
    return "\n\n".join([*parts, told(results)]) + "\n"


def _by_class(found: Mapping[str, Mapping[str, float]]) -> str:
    classes = list(found["shipped"])
    rows = [
        [SCORES[name][0], *(f"{areas[title]:.1%}" for title in classes), f"{np.mean(list(areas.values())):.1%}"]
        for name, areas in found.items()
    ]
    return table(["", *classes, "mean"], rows)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(description="How well a checkpoint notices pictures of something else.")
    parser.add_argument("--data", metavar="SRC", help="as `flowers train --data` (default: its default)")
    parser.add_argument("--checkpoint", default=DEFAULT_CHECKPOINT, metavar="C", help=f"({DEFAULT_CHECKPOINT})")
    parser.add_argument("--out", type=Path, default=PROJECT / "benchmarks", help="where the results go")
    parser.add_argument("--no-left-out", dest="left_out", action="store_false", help="skip the classes left out")
    parser.add_argument("--fine-tune", metavar="PRESET", help="leave each class out of a fine-tuning, too")
    parser.add_argument("--set", action="append", default=[], metavar="KEY=VALUE", help="beyond that preset")
    parser.add_argument("--runs", type=Path, default=PROJECT / "runs", help="where those runs are kept (runs/)")
    return parser


if __name__ == "__main__":
    sys.exit(main())
