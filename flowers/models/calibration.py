"""What a checkpoint knows about its own answers: how sure it may be, and which photos are like those it learned from.

    checkpoint.json            section ``calibration``: the temperature, what "familiar" means, how it was measured
    calibration.safetensors    features of some of the photos it learned from

A checkpoint without the section claims nothing: its confidences are the network's own, and every photo is known.
"""

import json
import math
import shutil
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from flowers.errors import CheckpointError
from flowers.files import whole_folder, write_json
from flowers.models.checkpoint import CARD, Checkpoint

TENSORS = "calibration.safetensors"
UNFAMILIAR = 0.05  # of the photos held back, the share that is called none of the classes: the price of noticing others


@dataclass(frozen=True)
class Neighbours:
    """Tells photos that are like those learned from, by a sum of two parts.

    The one is how near their neighbours among these are (Sun et al. 2022, arXiv 2204.06507), features being compared by
    their direction alone: a far photo has no near neighbour, whatever its confidence. The other is the energy (Liu et
    al. 2020, arXiv 2010.03759): another flower may have a near neighbour, yet speaks for no class as strongly. Classes
    differ in how strongly their own photos speak, and each answer is compared with its like.
    """

    bank: np.ndarray  # float32 (M, F), ``directions`` of that power: features of photos that were learned from
    nearest: int  # it is the so-manieth nearest that counts, 1..M
    scale: np.ndarray  # float64 (S,), ascending: evenly spaced quantiles of ``likeness`` over the photos held back
    # What follows is as in checkpoints of the time when there was nothing of it, unless given.
    energy_weight: float = 0.0  # 0 or above
    usual_energy: np.ndarray | None = None  # float32 (classes,): of the photos held back that get this answer; None: 0
    power: float = 1.0  # 0..1, see ``directions``

    def similarity(self, features: np.ndarray) -> np.ndarray:
        """Cosine of each photo to its ``nearest``-th neighbour in the bank, float32 (N,), -1..1.

        ``features`` float32 (N, F). Raises CheckpointError for features of another length.
        """
        if features.shape[1] != self.bank.shape[1]:
            raise CheckpointError(
                "The calibration belongs to another network than this checkpoint's: calibrate it again with "
                "`python -m flowers calibrate`."
            )
        cosines = directions(features, self.power) @ self.bank.T
        return np.partition(cosines, -self.nearest, axis=1)[:, -self.nearest]

    def strength(self, scores: np.ndarray) -> np.ndarray:
        """How much more energy class ``scores``, float32 (N, classes), have than is usual for their answer, (N,).

        What is usual is the mean over all classes, with the softmax's weights: where two are as likely, rounding alone
        picks the answer, and must not move the strength.
        """
        energies = energy(scores)
        if self.usual_energy is None:
            return energies
        return energies - np.exp(scores - energies[:, None]) @ self.usual_energy

    def likeness(self, features: np.ndarray, scores: np.ndarray, similarity: np.ndarray | None = None) -> np.ndarray:
        """The sum, float32 (N,), of ``features`` float32 (N, F) and class ``scores`` float32 (N, classes).

        ``similarity``: that of the photos, where it is known already. Raises as ``similarity`` does.
        """
        near = self.similarity(features) if similarity is None else similarity
        return near + np.float32(self.energy_weight) * self.strength(scores)

    def familiarity(self, features: np.ndarray, scores: np.ndarray, similarity: np.ndarray | None = None) -> np.ndarray:
        """The share of the photos held back that are less like those learned from, float64 (N,), 0..1.

        Takes and raises what ``likeness`` does.
        """
        likeness = self.likeness(features, scores, similarity)
        return np.interp(likeness, self.scale, np.linspace(0, 1, len(self.scale)))


@dataclass(frozen=True)
class Calibration:
    """How a checkpoint's scores become an answer."""

    temperature: float = 1.0  # the scores are divided by it: above 1 for a network that is too sure of itself
    neighbours: Neighbours | None = None  # None: it cannot tell what is none of its classes
    facts: dict[str, Any] = field(default_factory=dict)  # on what, and how good: see evaluation/calibration.py
    fitted_by: frozenset[str] = frozenset()  # ``mark`` of each photo that the temperature was fitted to

    def confidences(self, scores: np.ndarray) -> np.ndarray:
        """Class probabilities, float32 (N, classes), of class scores of that shape (Guo et al. 2017, arXiv 1706.04599).

        The temperature never changes which class is the likeliest.
        """
        scores = (scores - scores.max(1, keepdims=True)) / np.float32(self.temperature)
        shares = np.exp(scores)
        return shares / shares.sum(1, keepdims=True)

    def familiarity(self, features: np.ndarray, scores: np.ndarray) -> np.ndarray | None:
        """As ``Neighbours.familiarity``; None where the checkpoint cannot tell."""
        return None if self.neighbours is None else self.neighbours.familiarity(features, scores)


def mark(sha256: str) -> str:
    """As much of a photo's sha256 as tells it from the others of a set."""
    return sha256[:8]


def energy(scores: np.ndarray) -> np.ndarray:
    """The logarithm of the summed exponentials of class scores (N, classes), of their type (N,).

    High for what the network was trained on (Liu et al. 2020, arXiv 2010.03759, who write it with the other sign).
    """
    top = scores.max(1)
    return top + np.log(np.exp(scores - top[:, None]).sum(1))


def directions(features: np.ndarray, power: float = 1.0) -> np.ndarray:
    """Each row, float32 (N, F), to that ``power``, signs kept, and then scaled to length 1; a row of zeros stays.

    Below 1, the few strong features of a photo count for less beside the many weak ones (power normalisation: Perronnin
    et al. 2010, "Improving the Fisher kernel for large-scale image classification").
    """
    raised = features if power == 1 else np.copysign(np.abs(features) ** np.float32(power), features)
    return raised / np.maximum(np.linalg.norm(raised, axis=1, keepdims=True), 1e-12)


def in_bytes(bank: np.ndarray) -> np.ndarray:
    """A bank as it is kept, int8 (M, F): its ``directions`` are the same but for a rounding in the third digit."""
    return np.rint(bank * (127 / max(np.abs(bank).max(initial=0), 1e-12))).astype(np.int8)


def read_calibration(checkpoint: Checkpoint) -> Calibration:
    """A checkpoint's calibration; one that claims nothing where it has none. Raises CheckpointError when damaged."""
    section = checkpoint.calibration
    if not section:
        return Calibration()
    try:
        temperature = float(section["temperature"])
        if not (math.isfinite(temperature) and temperature > 0):
            raise ValueError("not a temperature")
        familiar = section.get("familiar")
        neighbours = _read_neighbours(checkpoint, familiar) if familiar and checkpoint.folder else None
        return Calibration(
            temperature, neighbours, dict(section.get("facts", {})), frozenset(section["fitted_by"].split())
        )
    except Exception as error:  # safetensors has errors of its own, and a damaged file more
        raise CheckpointError(
            f"The calibration of the checkpoint {checkpoint.name} is damaged: make it again with "
            f"`python -m flowers calibrate {checkpoint.name}`."
        ) from error


def write_calibration(checkpoint: Checkpoint, calibration: Calibration) -> None:
    """Put ``calibration`` into a saved checkpoint's folder, in the place of the one that may be there.

    The folder is replaced whole. Raises CheckpointError when it cannot be written, or holds another checkpoint by now,
    as a run's best may; it is then as it was.
    """
    from safetensors.numpy import save

    folder = checkpoint.folder.resolve()  # a link stays one
    try:
        with whole_folder(folder) as new:
            card = json.loads((folder / CARD).read_text())
            if card.get("created", "") != checkpoint.created:
                raise CheckpointError(
                    f"The checkpoint {checkpoint.name} has just been replaced by a newer one: calibrate it again."
                )
            shutil.copytree(folder, new, dirs_exist_ok=True)
            write_json(new / CARD, {**card, "calibration": _section(calibration)})
            (new / TENSORS).unlink(missing_ok=True)
            if calibration.neighbours:
                # Not by save_file: a full disk would be no OSError there.
                (new / TENSORS).write_bytes(save({"bank": in_bytes(calibration.neighbours.bank)}))
    except OSError as error:
        raise CheckpointError(
            f"The checkpoint {checkpoint.name} could not be written ({error.strerror or error}): free some disk space, "
            "or copy it to a folder of your own first; it is as it was."
        ) from error


def calibration_files(checkpoint: Checkpoint) -> list[str]:
    """The names of what a saved checkpoint's calibration keeps beside the card; to be copied as they are, for the scale
    in the card fits exactly these.
    """
    return [TENSORS] if checkpoint.calibration.get("familiar") else []


def _section(calibration: Calibration) -> dict[str, Any]:
    section: dict[str, Any] = {
        "temperature": round(calibration.temperature, 4),
        "made": time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime()),
        "fitted_by": " ".join(sorted(calibration.fitted_by)),
        "facts": calibration.facts,
    }
    if known := calibration.neighbours:
        section["familiar"] = {
            "nearest": known.nearest,
            "power": known.power,
            "energy_weight": known.energy_weight,
            **({} if known.usual_energy is None else {"usual_energy": _rounded(known.usual_energy)}),
            "scale": _rounded(known.scale),
        }
    return section


def _rounded(values: np.ndarray) -> list[float]:
    return [round(float(value), 6) for value in values]


def _read_neighbours(checkpoint: Checkpoint, section: Mapping[str, Any]) -> Neighbours:
    from safetensors.numpy import load_file

    bank = load_file(checkpoint.folder / TENSORS)["bank"].astype(np.float32)  # float16 in checkpoints of old
    scale, nearest = np.array(section["scale"], dtype=np.float64), int(section["nearest"])
    weight, power = float(section.get("energy_weight", 0.0)), float(section.get("power", 1.0))
    usual = np.array(section["usual_energy"], dtype=np.float32) if "usual_energy" in section else None
    whole = bank.ndim == 2 and scale.ndim == 1 and len(scale) > 1 and 1 <= nearest <= len(bank)
    if not (whole and np.isfinite(bank).all() and np.isfinite(scale).all() and (np.diff(scale) >= 0).all()):
        raise ValueError("not a bank of features and its scale")
    if not (math.isfinite(weight) and weight >= 0 and 0 < power <= 1):
        raise ValueError("not a weight and a power")
    if usual is not None and not (usual.shape == (len(checkpoint.classes),) and np.isfinite(usual).all()):
        raise ValueError("not an energy of each class")
    return Neighbours(directions(bank), nearest, scale, weight, usual, power)
