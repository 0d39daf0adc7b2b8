"""The race to the answer: from a JPEG's bytes to the flower's name, one photo at a time and a folder of 1,000.

    race-venv/bin/python benchmarks/inference.py --data flowers5     # about ten minutes on two quiet cores
    race-venv/bin/python benchmarks/inference.py --smoke             # painted flowers, a minute

The same network, our bundled checkpoint, in four hands: ours, torchvision (eager, with its weights' transforms), timm
(eager, with its ``create_transform``) and a transformers pipeline. Each sits in a process of its own, as it would in an
application, and they take turns of five photos, so that a slow minute of the machine strikes all of them alike. The
first turn, in which libraries compile and choose, does not count. For a folder each works in batches of 32, with as
many reading workers as there are cores where it has any.

Writes race/inference.json and makes the table of the race anew.
"""

import argparse
import io
import multiprocessing
import os
import random
import statistics
import sys
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

PROJECT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(PROJECT))

from benchmarks.common import circumstances, save  # noqa: E402
from benchmarks.race_table import write_table  # noqa: E402

CHECKPOINT = "flowers-resnet18"
BATCH = 32
TURN = 5  # photos
REST = 0.3  # seconds between turns: threads of the one before spin for a while before they sleep


@dataclass(frozen=True)
class Answerer:
    """A loaded network: ``one(bytes) -> name`` and ``many(paths) -> names``."""

    one: Callable[[bytes], str]
    many: Callable[[list[Path]], list[str]]


def ours() -> Answerer:
    """flowers.classifier, as the command line uses it."""
    from flowers.classifier import Classifier
    from flowers.data.decode import decode_image

    classifier = Classifier.load(CHECKPOINT)
    classifier.choose_engine()  # as the studio and a large folder do; ten seconds, once for a checkpoint and machine

    def one(data: bytes) -> str:
        return classifier.classify(decode_image(data, min_side=classifier.preprocessing.resize)).label

    return Answerer(one, lambda paths: [answer.label for answer in classifier.classify_many(paths)])


def torchvision() -> Answerer:
    """https://pytorch.org/vision/stable/models.html#using-the-pre-trained-models"""
    import torch
    from torchvision.io import ImageReadMode, decode_image
    from torchvision.models import ResNet18_Weights, resnet18

    classes, weights = checkpoint()
    model = resnet18(num_classes=len(classes)).eval()
    model.load_state_dict(weights)
    preprocess = ResNet18_Weights.DEFAULT.transforms()

    @torch.inference_mode()
    def one(data: bytes) -> str:
        image = decode_image(torch.frombuffer(bytearray(data), dtype=torch.uint8), ImageReadMode.RGB)
        prediction = model(preprocess(image).unsqueeze(0)).squeeze(0).softmax(0)
        return classes[prediction.argmax().item()]

    def frame(path: Path) -> torch.Tensor:
        return preprocess(decode_image(str(path), ImageReadMode.RGB))

    return Answerer(one, lambda paths: in_batches(model, frame, paths, classes))


def timm() -> Answerer:
    """https://huggingface.co/docs/timm/quickstart#image-augmentation"""
    import torch
    from PIL import Image

    classes, _ = checkpoint()
    model, preprocess = timm_model()

    @torch.inference_mode()
    def one(data: bytes) -> str:
        image = Image.open(io.BytesIO(data)).convert("RGB")
        return classes[model(preprocess(image).unsqueeze(0)).softmax(dim=1).argmax(1).item()]

    def frame(path: Path) -> torch.Tensor:
        return preprocess(Image.open(path).convert("RGB"))

    return Answerer(one, lambda paths: in_batches(model, frame, paths, classes))


def transformers() -> Answerer:
    """https://huggingface.co/docs/transformers/pipeline_tutorial: the pipeline, and for folders its batches."""
    from PIL import Image
    from transformers import TimmWrapperConfig, TimmWrapperForImageClassification, TimmWrapperImageProcessor, pipeline

    classes, weights = checkpoint()
    names = dict(enumerate(classes))
    config = TimmWrapperConfig(architecture="resnet18", id2label=names, label2id={v: k for k, v in names.items()})
    network = TimmWrapperForImageClassification(config).eval()
    network.timm_model.load_state_dict(weights)
    processor = TimmWrapperImageProcessor(timm_model()[0].pretrained_cfg, architecture="resnet18")
    classify = pipeline("image-classification", model=network, image_processor=processor)

    def many(paths: list[Path]) -> list[str]:
        answers = classify((str(path) for path in paths), batch_size=BATCH)
        return [answer[0]["label"] for answer in answers]

    return Answerer(lambda data: classify(Image.open(io.BytesIO(data)))[0]["label"], many)


CONTESTANTS = {
    "ours": (ours, "**flowers** `Classifier`"),
    "torchvision": (torchvision, "torchvision, eager"),
    "timm": (timm, "timm, eager"),
    "transformers": (transformers, "transformers pipeline"),
}


def checkpoint() -> tuple[tuple[str, ...], dict[str, Any]]:
    """Class names and float32 weights of the network that everybody answers with."""
    from flowers.models.checkpoint import find_checkpoint, load_weights

    found = find_checkpoint(CHECKPOINT)
    return found.classes, {name: tensor.float() for name, tensor in load_weights(found.folder).items()}


def timm_model() -> tuple[Any, Callable]:
    """timm's network with those weights, and what it does to a photo before: torchvision's 256 and 224."""
    import timm

    classes, weights = checkpoint()
    model = timm.create_model("resnet18.tv_in1k", num_classes=len(classes)).eval()
    model.load_state_dict(weights)
    config = timm.data.resolve_model_data_config(model)
    return model, timm.data.create_transform(**config, is_training=False)


def in_batches(model: Any, frame: Callable, paths: list[Path], classes: tuple[str, ...]) -> list[str]:
    """A DataLoader over files, as everybody writes it."""
    import torch

    class Photos(torch.utils.data.Dataset):
        def __len__(self) -> int:
            return len(paths)

        def __getitem__(self, index: int) -> torch.Tensor:
            return frame(paths[index])

    loader = torch.utils.data.DataLoader(
        Photos(), batch_size=BATCH, num_workers=os.cpu_count() or 1, multiprocessing_context="fork"
    )
    with torch.inference_mode():
        return [classes[best] for batch in loader for best in model(batch).argmax(1).tolist()]


# The turns


class Seat:
    """One contestant in a process of its own, asked through a pipe."""

    def __init__(self, name: str) -> None:
        context = multiprocessing.get_context("spawn")
        self.pipe, theirs = context.Pipe()
        self.process = context.Process(target=serve, args=(name, theirs))  # not a daemon: it has workers
        self.process.start()
        theirs.close()

    def ask(self, kind: str, work: list) -> tuple[list[float], list[str]]:
        """(seconds, names) for photos ("one") or for a whole folder ("many")."""
        self.pipe.send((kind, work))
        reply = self.pipe.recv()
        time.sleep(REST)
        return reply

    def leave(self) -> None:
        """The closed pipe ends it."""
        self.pipe.close()
        self.process.join(10)
        self.process.kill()


def serve(name: str, pipe: Connection) -> None:
    """Load the contestant and answer until nobody asks any more."""
    answerer = CONTESTANTS[name][0]()
    while True:
        try:
            kind, work = pipe.recv()
        except EOFError:
            return
        seconds, names = [], []
        for item in work:
            start = time.perf_counter()
            answer = answerer.one(item) if kind == "one" else answerer.many(item)
            seconds.append(time.perf_counter() - start)
            names += [answer] if kind == "one" else answer
        pipe.send((seconds, names))


def turns(seats: dict[str, Seat], photos: list[bytes]) -> dict[str, tuple[list[float], list[str]]]:
    """Everybody answers all photos, five at a time, in an order drawn anew for each turn; after a turn to warm up."""
    told = {name: ([], []) for name in seats}
    rng = random.Random(0)
    for seat in seats.values():
        seat.ask("one", photos[:TURN])
    for start in range(0, len(photos), TURN):
        for name in rng.sample(list(seats), len(seats)):
            seconds, names = seats[name].ask("one", photos[start : start + TURN])
            told[name][0].extend(seconds)
            told[name][1].extend(names)
    return told


def main(arguments: list[str] | None = None) -> int:
    """Race, save, write the table."""
    options = _parser().parse_args(arguments)
    with tempfile.TemporaryDirectory(prefix="flowers-inference-") as scratch:
        paths = _photos(options, Path(scratch))
        small = [path.read_bytes() for path in paths[: options.small]]
        large = [enlarged(path) for path in paths[: options.large]]
        seats = {name: Seat(name) for name in CONTESTANTS}
        try:
            result = measure(seats, small, large, paths[: options.folder], options.folder_rounds)
        finally:
            for seat in seats.values():
                seat.leave()
    save(options.out / "inference.json", {**circumstances(), "checkpoint": CHECKPOINT, **result})
    print(write_table(options.out))
    return 0


def measure(seats: dict[str, Seat], small: list[bytes], large: list[bytes], folder: list[Path], rounds: int) -> dict:
    """The numbers, ready for JSON: milliseconds a photo, photos a second, and how many names are torchvision's."""
    few, many = turns(seats, small), turns(seats, large)
    folders: dict[str, list[float]] = {name: [] for name in seats}
    names: dict[str, list[str]] = {}
    for _ in range(rounds):
        for name, seat in seats.items():
            seconds, names[name] = seat.ask("many", [folder])
            folders[name] += seconds
    said = {name: [*few[name][1], *many[name][1], *names[name]] for name in seats}
    return {
        "small_rounds": len(small),
        "large_rounds": len(large),
        "folder_rounds": rounds,
        "folder_photos": len(folder),
        "photos_compared": len(said["torchvision"]),
        "contestants": [
            {
                "name": name,
                "title": CONTESTANTS[name][1],
                "small_ms": 1000 * statistics.median(few[name][0]),
                "large_ms": 1000 * statistics.median(many[name][0]),
                "folder_per_second": len(folder) / statistics.median(folders[name]),
                "agreement": statistics.mean(a == b for a, b in zip(said[name], said["torchvision"], strict=True)),
            }
            for name in seats
        ],
    }


def enlarged(path: Path) -> bytes:
    """A JPEG of 12 megapixels as a phone makes it: the photo, scaled up, with some grain to fill the file."""
    import numpy as np
    from PIL import Image

    with Image.open(path) as photo:
        big = np.asarray(photo.convert("RGB").resize((4000, 3000), Image.Resampling.BICUBIC), dtype=np.int16)
    grain = np.random.default_rng(0).integers(-8, 9, big.shape, dtype=np.int16)
    file = io.BytesIO()
    Image.fromarray((big + grain).clip(0, 255).astype(np.uint8)).save(file, "JPEG", quality=90)
    return file.getvalue()


def _photos(options: argparse.Namespace, scratch: Path) -> list[Path]:
    """Photos in an order drawn once, each once: as many as the folder needs, or all there are."""
    from flowers.data.dataset import open_dataset

    if options.smoke:
        from flowers.data.garden import render_garden

        options.small, options.large, options.folder, options.folder_rounds = 10, 5, 40, 1
        render_garden(scratch / "garden", per_class=8, size=96)
    dataset = open_dataset(options.data or (scratch / "garden" if options.smoke else None))
    order = random.Random(0).sample(range(len(dataset)), len(dataset))
    return [dataset.path(index) for index in order]


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(description="From a JPEG's bytes to the flower's name, against three peers.")
    parser.add_argument("--data", metavar="SRC", help="as `flowers train --data` (default: its default)")
    parser.add_argument("--out", type=Path, default=PROJECT / "benchmarks" / "race", help="where the results go")
    parser.add_argument("--small", type=int, default=200, help="photos answered one at a time (200)")
    parser.add_argument("--large", type=int, default=40, help="photos of 12 megapixels (40)")
    parser.add_argument("--folder", type=int, default=1000, help="photos in the folder (1000)")
    parser.add_argument("--folder-rounds", type=int, default=3, help="how often each does the folder (3)")
    parser.add_argument("--smoke", action="store_true", help="few painted flowers, to see that it works")
    return parser


if __name__ == "__main__":
    sys.exit(main())
