"""A checkpoint as one ONNX file that answers as the studio does, in any program and language that reads ONNX.

    pixels       uint8 (N, 3, size, size)    in: RGB squares, as ``Preprocessing.frame`` cuts them; any number of them
    confidences  float32 (N, classes)        out: class probabilities, calibrated; they sum to 1
    familiarity  float32 (N,)                out, where the checkpoint can tell: below ``unfamiliar_below`` a photo is
                                             probably none of the classes

Normalisation, mirror images and temperature are inside. Class names and the rest are in the file's metadata, as JSON.
"""

import errno
import json
import os
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from decimal import Decimal
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from flowers.classifier import Classifier
from flowers.data.garden import render_flower
from flowers.data.preprocess import Preprocessing
from flowers.data.sources import CLASSES, default_source, resolve
from flowers.engines import TOLERANCE, from_pixels, program, save_onnx
from flowers.errors import DecodeError, FlowersError, ShareError
from flowers.files import write_whole
from flowers.inference import preparation
from flowers.models.backbones import BACKBONES
from flowers.models.calibration import UNFAMILIAR, Calibration
from flowers.models.checkpoint import Checkpoint, load_model, read_checkpoint
from flowers.processes import give_way, module

if TYPE_CHECKING:
    from torch import nn

PHOTOS = 10  # that both are asked about
# Quantiles lie so close together that what moves a cosine by rounding moves this by more.
FAMILIARITY_TOLERANCE = 0.02
EXPORT_SECONDS = 900  # then exporting is given up; ten are usual for a ResNet18, and a minute for a ViT


@dataclass(frozen=True)
class Parity:
    """How far the file's answers, by ONNX Runtime, are from PyTorch's, on the same photos."""

    photos: int
    painted: bool  # whether they are the garden's: no real ones were at hand
    difference: float  # the largest of any confidence, 0..1
    familiarity_difference: float | None  # the largest, 0..1; None where the checkpoint cannot tell

    def sentence(self) -> str:
        """The result in words."""
        photos = f"{self.photos} {'painted flowers' if self.painted else 'photos'}"
        return (
            f"Checked with ONNX Runtime on {photos}: no confidence differs from PyTorch's by more than "
            f"{self.points} percentage points."
        )

    @property
    def points(self) -> str:
        """The difference in percentage points, such as ``0.00006``."""
        return format(Decimal(f"{100 * self.difference:.1g}"), "f")


def export_onnx(checkpoint: Checkpoint, file: Path) -> Parity:
    """Write a saved checkpoint to ``file``, whole, once its answers have been found to be PyTorch's.

    Not while other threads here use modules: see ``engines.make``. ``export_apart`` may be called at any time.

    Raises ShareError when the answers differ by more than TOLERANCE, when a package is missing, or the exporter fails;
    CheckpointError for a damaged checkpoint; OSError when the file cannot be written.
    """
    import tempfile

    if not (folder := Path(file).absolute().parent).is_dir():  # told before the work is done
        raise FileNotFoundError(errno.ENOENT, os.strerror(errno.ENOENT), str(folder))
    classifier = Classifier(checkpoint, engine="eager")
    model = load_model(checkpoint)
    with tempfile.TemporaryDirectory() as scratch:
        made = Path(scratch) / "network.onnx"
        try:
            network = _answering(model, classifier)
            outputs = ["confidences"] + ["familiarity"] * (classifier.calibration.neighbours is not None)
            save_onnx(program(network, classifier.preprocessing.size), made, outputs, facts(classifier))
            parity = check(made, classifier)
        except FlowersError:
            raise
        except ImportError as error:
            raise ShareError(
                f"Writing ONNX needs the package {error.name}: pip install onnxruntime onnxscript."
            ) from error
        except Exception as error:  # the exporter has as many errors as there are operators
            reason = (str(error).strip() or type(error).__name__).splitlines()[0][:200]
            raise ShareError(
                f"{checkpoint.name} could not be written as ONNX ({reason}): try another version of onnxscript."
            ) from error
        write_whole(file, made.read_bytes())
    return parity


def check(file: Path, classifier: Classifier) -> Parity:
    """Compare the file's answers with the classifier's, on real pixels. Raises ShareError where they differ."""
    import onnxruntime

    frames, painted = parity_frames(classifier.preprocessing)
    session = onnxruntime.InferenceSession(file, providers=["CPUExecutionProvider"])
    scores, features = classifier.network.look(frames)
    expected = [classifier.calibration.confidences(scores), classifier.calibration.familiarity(features, scores)]
    together = session.run(None, {"pixels": frames})
    alone = [session.run(None, {"pixels": frame[None]}) for frame in frames]
    given = zip(together, map(np.concatenate, zip(*alone, strict=True)), expected, strict=False)
    gaps = [float(np.max([np.abs(answer - right).max() for answer in answers])) for *answers, right in given]
    if not (gaps[0] <= TOLERANCE and (len(gaps) == 1 or gaps[1] <= FAMILIARITY_TOLERANCE)):
        raise ShareError(
            f"The ONNX file of {classifier.checkpoint.name} was thrown away: its answers differ from PyTorch's by "
            f"up to {gaps[0]:.2g}; try other versions of onnxscript and onnxruntime."
        )
    return Parity(len(frames), painted, gaps[0], gaps[1] if len(gaps) > 1 else None)


def export_apart(checkpoint: Checkpoint, file: Path) -> Parity:
    """As ``export_onnx``, politely and in a process of its own: others here may be answering meanwhile."""
    exporting = module("flowers.share.onnx", checkpoint.folder, file)
    try:
        done = subprocess.run(**exporting, timeout=EXPORT_SECONDS, capture_output=True, text=True, check=False)
        said = json.loads(done.stdout.splitlines()[-1])
    except subprocess.TimeoutExpired:
        raise ShareError(f"Writing {checkpoint.name} as ONNX took too long: try again when less is going on.") from None
    except (OSError, ValueError, IndexError):
        raise ShareError(f"{checkpoint.name} could not be written as ONNX: the process that writes it ended.") from None
    if "problem" in said:
        raise ShareError(said["problem"])
    return Parity(**said)


def facts(classifier: Classifier) -> dict[str, str]:
    """What a program has to know to use the file, each as JSON."""
    checkpoint, calibration = classifier.checkpoint, classifier.calibration
    told = {
        "name": checkpoint.name,
        "classes": list(checkpoint.classes),
        "preprocessing": checkpoint.preprocessing,
        "temperature": calibration.temperature,
        "backbone": checkpoint.backbone,
        "created": checkpoint.created,
        **({"unfamiliar_below": UNFAMILIAR} if calibration.neighbours else {}),
    }
    return {name: json.dumps(value) for name, value in told.items()}


def snippet(checkpoint: Checkpoint, file: str) -> str:
    """A short Python program that names the flower in ``photo.jpg`` with the file, and nothing of flowers."""
    made = preparation(checkpoint)
    edge, end = (made.resize - made.size) // 2, (made.resize - made.size) // 2 + made.size
    crop = f".crop(({edge}, {edge}, {end}, {end}))" if edge else ""
    return f"""import json

import numpy as np
import onnxruntime
from PIL import Image, ImageOps

session = onnxruntime.InferenceSession({file!r})
classes = json.loads(session.get_modelmeta().custom_metadata_map["classes"])

photo = ImageOps.exif_transpose(Image.open("photo.jpg")).convert("RGB")
photo = ImageOps.fit(photo, ({made.resize}, {made.resize}), Image.Resampling.BILINEAR){crop}
pixels = np.asarray(photo).transpose(2, 0, 1)[None]  # uint8: 1 photo, 3 colours, {made.size} x {made.size}

[confidences] = session.run(["confidences"], {{"pixels": pixels}})[0]
for share, name in sorted(zip(confidences, classes), reverse=True):
    print(f"{{share:6.1%}}  {{name}}")
"""


def parity_frames(preprocessing: Preprocessing) -> tuple[np.ndarray, bool]:
    """uint8 (N, 3, size, size) of real photos where some are here, else painted flowers; and whether these are."""
    images = _photos_here(preprocessing)
    painted = not images
    if painted:
        images = [render_flower(CLASSES[n % len(CLASSES)], n, preprocessing.resize) for n in range(PHOTOS)]
    frames = [np.asarray(preprocessing.frame(image)) for image in images]
    return np.stack(frames).transpose(0, 3, 1, 2), painted


def _photos_here(preprocessing: Preprocessing) -> list:
    """Working copies of the first photos of every class of the default photo set; none where that is the garden."""
    if default_source() == "garden":
        return []
    try:
        folders = sorted(path for path in resolve(default_source()).iterdir() if path.is_dir())
    except (FlowersError, OSError):
        return []
    files = [sorted(folder.iterdir())[: PHOTOS // max(1, min(len(folders), PHOTOS))] for folder in folders[:PHOTOS]]
    images = []
    for path in (path for some in files for path in some if path.is_file()):
        try:
            images.append(preprocessing.working_copy(path))
        except DecodeError:
            continue
    return images


def _answering(model: "nn.Module", classifier: Classifier) -> "nn.Module":
    """From pixels to confidences, and to familiarity where the checkpoint knows what that is."""
    import torch
    from torch import nn

    calibration: Calibration = classifier.calibration
    known = calibration.neighbours

    class Answering(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            head = BACKBONES[classifier.checkpoint.backbone].head
            self.network = from_pixels(model, classifier.preprocessing, head)
            if known:
                scale = torch.tensor(known.scale, dtype=torch.float32)
                usual = np.zeros(len(classifier.classes)) if known.usual_energy is None else known.usual_energy
                self.register_buffer("bank", torch.from_numpy(known.bank.T.copy()))
                self.register_buffer("usual", torch.tensor(usual, dtype=torch.float32)[:, None])
                self.register_buffer("start", scale[:-1])
                self.register_buffer("width", (scale[1:] - scale[:-1]).clamp_min(1e-9))

        def forward(self, pixels: torch.Tensor) -> tuple[torch.Tensor, ...]:
            scores, features = self.network(pixels)
            confidences = torch.softmax(scores / calibration.temperature, 1)
            if not known:
                return (confidences,)
            raised = features if known.power == 1 else features.sign() * features.abs() ** known.power
            cosines = torch.nn.functional.normalize(raised, dim=1) @ self.bank
            similarity = cosines.topk(known.nearest, dim=1).values[:, -1:]
            strength = torch.logsumexp(scores, 1, keepdim=True) - torch.softmax(scores, 1) @ self.usual
            likeness = similarity + known.energy_weight * strength
            # The quantiles are evenly spaced, so their linear interpolation is the mean of how far each step is taken.
            return confidences, ((likeness - self.start) / self.width).clamp(0, 1).mean(1)

    return Answering().eval()


def main(arguments: Sequence[str]) -> None:
    """The process of ``export_apart``: the checkpoint's folder and the file; prints the parity or the problem."""
    give_way(10)
    try:
        said = asdict(export_onnx(read_checkpoint(Path(arguments[0])), Path(arguments[1])))
    except FlowersError as error:
        said = {"problem": str(error)}
    except OSError as error:
        said = {"problem": f"The ONNX file could not be written ({error.strerror or error}): free some disk space."}
    print(json.dumps(said))


if __name__ == "__main__":
    main(sys.argv[1:])
