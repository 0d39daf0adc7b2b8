"""Photos -> answers, and the reasons for them."""

import contextlib
import copy
import dataclasses
import itertools
import os
import threading
import time
from collections.abc import Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from PIL import Image

from flowers.cores import available_threads
from flowers.data.decode import decode_image
from flowers.data.preprocess import to_pixels
from flowers.data.threads import ahead
from flowers.errors import CheckpointError, DecodeError, UsageError
from flowers.inference import BATCH, eager_network, open_engine, open_network, preparation, prepare
from flowers.models.backbones import backbone
from flowers.models.calibration import UNFAMILIAR, read_calibration
from flowers.models.checkpoint import Checkpoint, find_checkpoint, load_model, read_checkpoint
from flowers.reason import PHOTO_SIDE, Reason

if TYPE_CHECKING:
    from torch import Tensor, nn

    from flowers.models.activation import Explainer

NUMBERS = ("zero", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine", "ten", "eleven", "twelve")

Source = bytes | str | os.PathLike  # a photo file's bytes, or its path


@dataclass(frozen=True)
class Answer:
    """What a checkpoint says of one photo."""

    label: str
    confidence: float  # 0..1, of the label
    confidences: dict[str, float]  # by class name; they sum to 1
    seconds: float  # from the upright photo to the answer; in a batch, its share of the computing
    known: bool = True  # False: probably none of the classes; a checkpoint that cannot tell takes every photo for known
    familiarity: float | None = None  # 0..1, the share of the photos held back that look less familiar; None: see known

    def ranked(self) -> list[tuple[str, float]]:
        """(class, confidence), the most likely first."""
        return sorted(self.confidences.items(), key=lambda item: -item[1])

    @property
    def none(self) -> str:
        """What to call a photo that is not known: ``none of the five``."""
        count = len(self.confidences)
        return f"none of the {NUMBERS[count] if count < len(NUMBERS) else count}"

    def to_dict(self) -> dict[str, Any]:
        """The values by name, ready for JSON."""
        return asdict(self)


class Classifier:
    """A checkpoint, loaded and ready to answer. May be used from several threads at once."""

    def __init__(self, checkpoint: Checkpoint, model: "nn.Module | None" = None, engine: str = "auto") -> None:
        """``load`` finds the checkpoint by name. ``model`` is its network, where that is in memory already."""
        self.checkpoint = checkpoint
        self.preprocessing = preparation(checkpoint)
        self.calibration = read_calibration(checkpoint)
        if model is not None:
            self.network = eager_network(checkpoint, self.preprocessing, model)
        elif engine == "auto":
            self.network = open_network(checkpoint, self.preprocessing)
        else:
            self.network = open_engine(checkpoint, self.preprocessing, engine)
        self._model = model
        self._explainer: Explainer | None = None
        self._explaining = threading.Lock()

    @classmethod
    def load(cls, name: str | Path, engine: str | None = None) -> "Classifier":
        """Load a checkpoint folder, a run's best, or a checkpoint by name.

        ``engine`` runs the network: "eager" (PyTorch as it is), "compiled", "onnxruntime" or "openvino". "auto" is
        what ``choose_engine`` once found to be fastest for this checkpoint on this machine; before that, "eager".
        Default: FLOWERS_ENGINE, else "auto".

        Raises CheckpointError, UsageError for an engine that cannot be used here.
        """
        return cls(find_checkpoint(name), engine=engine or os.environ.get("FLOWERS_ENGINE") or "auto")

    @property
    def classes(self) -> tuple[str, ...]:
        """The class names, in the order of the network's outputs."""
        return self.checkpoint.classes

    def index(self, label: str) -> int:
        """The place of a class among the network's outputs. Raises UsageError, listing the classes, for another."""
        if label not in self.classes:
            raise UsageError(f"There is no class called {label!r}: the classes are {', '.join(self.classes)}.")
        return self.classes.index(label)

    def choose_engine(self) -> None:
        """Measure which engine is fastest here, and answer with it from now on; meanwhile others are answered as ever.

        Takes about ten seconds, but only the first time for this checkpoint on this machine; nothing where ``load``
        has settled it.
        """
        if not self.network.settled and self.checkpoint.folder:
            prepare(self.checkpoint)
            self.network = open_network(self.checkpoint, self.preprocessing)

    def classify(self, image: Image.Image) -> Answer:
        """The answer to one upright RGB photo of any size."""
        start = time.perf_counter()
        [seen] = self._look(_pixels([self.preprocessing.frame(image)]))
        return self._answer(*seen, time.perf_counter() - start)

    def classify_many(self, sources: Iterable[Source]) -> Iterator[Answer | DecodeError]:
        """The answers to any number of photo files, in order; for one that cannot be read, the error that says why.

        Photos are decoded in threads while the network computes, and a few batches of them are all that is in memory.
        """
        with (
            ThreadPoolExecutor(available_threads(), thread_name_prefix="photos") as pool,
            contextlib.closing(ahead(pool, self._read, sources, 2 * BATCH)) as frames,
        ):
            while batch := list(itertools.islice(frames, BATCH)):
                yield from self._answers(batch)

    def explain(self, source: Source, label: str | None = None) -> Reason:
        """Where in a photo the network finds evidence for a class; by default for the one that it answers.

        The first time, it loads the network a second time, as PyTorch runs it: engines show nothing of what goes on
        in them. Reasons wait for each other, answers do not wait for them.

        Raises DecodeError, UsageError for a class that the checkpoint does not know, CheckpointError when its folder
        has been replaced since it was loaded.
        """
        index = None if label is None else self.index(label)
        image = decode_image(source, min_side=self.preprocessing.resize)  # the very pixels that answers are made of
        frame = self.preprocessing.frame(image)
        photo = dataclasses.replace(self.preprocessing, resize=PHOTO_SIDE).reduce(image)
        with self._explaining:
            self._explainer = self._explainer or self._load_explainer()
            scores, heat, exact = self._evidence(self.preprocessing.normalise(to_pixels(frame)[None]))
        chosen = int(scores.argmax()) if index is None else index
        return Reason(
            label=self.classes[chosen],
            heat=heat[chosen].numpy(),
            strongest=float(heat.max()),
            exact=exact,
            frame=frame,
            photo=photo,
            box=self.preprocessing.square(*photo.size),
        )

    def confidences(self, frames: "Sequence[Image.Image] | Tensor") -> "Tensor":
        """Class probabilities, calibrated, float32 (N, classes), of frames: RGB squares of the network's size, or their
        uint8 pixels (N, 3, size, size)."""
        import torch

        pixels = frames.cpu().numpy() if isinstance(frames, torch.Tensor) else _pixels(frames)
        scores, _ = self.network.look(pixels)
        return torch.from_numpy(self.calibration.confidences(scores))

    def _evidence(self, photo: "Tensor") -> tuple["Tensor", "Tensor", bool]:
        """As the explainer's; where answers are means over a photo and its mirror image, so is the evidence."""
        scores, heat, exact = self._explainer(photo)
        if self.preprocessing.mirror:
            others, there, _ = self._explainer(photo.flip(-1))
            scores, heat = (scores + others) / 2, (heat + there.flip(-1)) / 2
        return scores, heat, exact

    def _load_explainer(self) -> "Explainer":
        import torch

        from flowers.models.activation import Explainer

        torch.set_num_threads(min(torch.get_num_threads(), available_threads()))  # it may be the first use of torch
        chosen = backbone(self.checkpoint.backbone)
        if self._model is not None:
            return Explainer(copy.deepcopy(self._model), chosen.pool, chosen.head)
        model = load_model(self.checkpoint)
        if read_checkpoint(self.checkpoint.folder).created != self.checkpoint.created:
            raise CheckpointError(
                f"The checkpoint {self.checkpoint.name} has just been replaced by a newer one: load it again."
            )
        return Explainer(model, chosen.pool, chosen.head)

    def _read(self, source: Source) -> Image.Image | DecodeError:
        try:
            return self.preprocessing.frame(self.preprocessing.working_copy(source))
        except DecodeError as error:
            return error

    def _answers(self, batch: list[Image.Image | DecodeError]) -> Iterator[Answer | DecodeError]:
        frames = [item for item in batch if not isinstance(item, DecodeError)]
        start = time.perf_counter()
        rows = iter(self._look(_pixels(frames)) if frames else ())
        seconds = (time.perf_counter() - start) / max(1, len(frames))
        for item in batch:
            yield item if isinstance(item, DecodeError) else self._answer(*next(rows), seconds)

    def _look(self, pixels: np.ndarray) -> list[tuple[np.ndarray, float | None]]:
        """(class probabilities, familiarity) of each photo."""
        scores, features = self.network.look(pixels)
        familiarity = self.calibration.familiarity(features, scores)
        told = itertools.repeat(None) if familiarity is None else familiarity.tolist()
        return list(zip(self.calibration.confidences(scores), told, strict=False))

    def _answer(self, confidences: np.ndarray, familiarity: float | None, seconds: float) -> Answer:
        named = dict(zip(self.classes, confidences.tolist(), strict=True))
        label = max(named, key=named.get)
        known = familiarity is None or familiarity >= UNFAMILIAR
        return Answer(label, named[label], named, seconds, known, familiarity)


def _pixels(frames: Sequence[Image.Image]) -> np.ndarray:
    """RGB squares of one size as uint8 (N, 3, size, size)."""
    return np.stack([np.asarray(frame) for frame in frames]).transpose(0, 3, 1, 2)
