"""The checkpoint folder: weights as safetensors; class names, preprocessing, recipe and metrics as JSON.

    checkpoint.json                  what it is; its presence makes a folder a checkpoint
    model.safetensors                the weights, or
    model-0000i-of-0000n.safetensors and model.safetensors.index.json   the weights in shards
    calibration.safetensors          with the card's section of that name: see calibration.py

No pickle is ever loaded.
"""

import json
import os
import time
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from flowers.errors import CheckpointError
from flowers.files import recover_folder, whole_folder, write_json
from flowers.models.backbones import BACKBONES
from flowers.paths import BUNDLED_CHECKPOINTS, DEFAULT_CHECKPOINT, runs_dir

if TYPE_CHECKING:
    import torch
    from torch import nn

FORMAT = 1
CARD = "checkpoint.json"
WEIGHTS = "model.safetensors"
MAX_SHARD = "9MB"  # a Space refuses plain files over 10 MB
# What comes of a file of JSON that is not there or not as it should be.
_UNREADABLE = (OSError, ValueError, KeyError, TypeError, AttributeError, RecursionError)


@dataclass(frozen=True)
class Checkpoint:
    """What a checkpoint folder says about itself; the weights are read by ``load_model``."""

    backbone: str
    classes: tuple[str, ...]
    preprocessing: dict[str, Any]
    recipe: dict[str, Any] = field(default_factory=dict)
    metrics: dict[str, Any] = field(default_factory=dict)
    photos: dict[str, Any] = field(default_factory=dict)  # the photo set it was trained on: counts and digest
    created: str = ""
    calibration: dict[str, Any] = field(default_factory=dict)  # see calibration.py; empty where it was never calibrated
    folder: Path | None = None

    @property
    def folds(self) -> int:
        """By how many folds it was judged, having learned from all of its photos; 0 where it held some back."""
        folds = self.metrics.get("folds", 0)
        return folds if isinstance(folds, int) else 0

    @property
    def accuracy(self) -> float | None:
        """The share of photos held back that it was right on while it was trained; None where it does not say."""
        told = self.metrics.get("val_accuracy")
        return float(told) if type(told) in (int, float) and 0 <= told <= 1 else None

    @property
    def judged(self) -> int | None:
        """How many photos its accuracy is of; None where it does not say."""
        told = self.metrics.get("val_photos")
        return told if type(told) is int and told > 0 else None

    @property
    def name(self) -> str:
        """What people call it: the folder's name, or the run's for its best checkpoint."""
        if self.folder is None:
            return "unsaved"
        return self.folder.parent.name if self.folder.name in ("best", "last") else self.folder.name


def save_checkpoint(
    folder: Path,
    weights: Mapping[str, "torch.Tensor"],
    checkpoint: Checkpoint,
    *,
    half: bool = False,
    max_shard: str = "5GB",
    extra: Mapping[str, str | bytes] | None = None,
) -> None:
    """Write a checkpoint folder, whole, over the one that may be there.

    ``half`` stores matrices and filters in float16 (norm statistics stay float32: a variance may not fit; numbers of
    places, as Swin has them, stay whole);
    ``max_shard`` such as "9MB" splits the weights; ``extra`` adds files by name. Raises CheckpointError when the
    disk is full or read-only; the old folder is then still there.
    """
    import torch
    from huggingface_hub import save_torch_state_dict
    from safetensors import SafetensorError

    tensors = {name: tensor.detach().to("cpu") for name, tensor in weights.items()}
    if half:
        tensors = {
            name: t.to(torch.float16) if t.ndim > 1 and t.is_floating_point() else t for name, t in tensors.items()
        }
    card = asdict(checkpoint)
    card.pop("folder")
    card = {
        "format": FORMAT,
        **card,
        "created": checkpoint.created or time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime()),
    }
    try:
        with whole_folder(folder) as new:
            save_torch_state_dict(tensors, new, max_shard_size=max_shard)
            write_json(new / CARD, card)
            for name, content in (extra or {}).items():
                (new / name).write_bytes(content.encode() if isinstance(content, str) else content)
    except (OSError, SafetensorError) as error:  # the latter for a disk that fills up within the weights
        reason = getattr(error, "strerror", None) or error
        raise CheckpointError(
            f"The checkpoint {folder.name} could not be written ({reason}): free some disk space or "
            "choose another folder; what was there before is untouched."
        ) from error


def read_checkpoint(folder: Path) -> Checkpoint:
    """What a checkpoint folder says about itself. Raises CheckpointError when it is not one, or damaged, or newer."""
    folder = Path(folder)
    recover_folder(folder)
    try:
        content = (folder / CARD).read_bytes()
        card = json.loads(content)
        if b"\\u" in content:  # maybe half a character, which can be shown to nobody
            card = json.loads(json.dumps(card, ensure_ascii=False).encode("utf-8", "replace"))
        if card["format"] > FORMAT:
            raise CheckpointError(
                f"The checkpoint {folder.name} was written by a newer version of flowers: update flowers to use it."
            )
        checkpoint = Checkpoint(
            backbone=str(card["backbone"]),
            classes=_names(card["classes"]),
            preprocessing=_section(card["preprocessing"]),
            recipe=_section(card.get("recipe", {})),
            metrics=_section(card.get("metrics", {})),
            photos=_section(card.get("photos", {})),
            created=str(card.get("created", "")),
            calibration=_section(card.get("calibration", {})),
            folder=folder,
        )
    except FileNotFoundError:
        raise CheckpointError(f"The folder {folder} is not a checkpoint: it has no {CARD}.") from None
    except _UNREADABLE as error:
        raise damaged(folder.name) from error
    if checkpoint.backbone not in BACKBONES:
        raise CheckpointError(
            f"The checkpoint {folder.name} needs a network called {checkpoint.backbone!r}, which this version does "
            f"not know: it knows {', '.join(BACKBONES)}."
        )
    return checkpoint


def damaged(name: str) -> CheckpointError:
    """What to tell whoever meets a card that says what none can."""
    return CheckpointError(f"The checkpoint {name} is damaged: its {CARD} cannot be read.")


# Not by files.check, whose first use costs who only answers a photo a fifth of a second.


def _names(told: Any) -> tuple[str, ...]:
    names = isinstance(told, list) and all(isinstance(name, str) and name for name in told)
    if not (names and 0 < len(set(told)) == len(told)):
        raise ValueError("no classes")
    return tuple(told)


def _section(told: Any) -> dict[str, Any]:
    if not isinstance(told, dict):
        raise TypeError("no section of a card")
    return told


def load_weights(folder: Path) -> dict[str, "torch.Tensor"]:
    """The weights of a checkpoint folder by name, halves widened to float32. Raises CheckpointError."""
    import torch
    from safetensors import SafetensorError
    from safetensors.torch import load_file

    weights: dict[str, torch.Tensor] = {}
    try:
        for shard in _shards(folder):
            weights.update(load_file(folder / shard))
    except (*_UNREADABLE, SafetensorError) as error:
        raise CheckpointError(
            f"The weights of the checkpoint {folder.name} are damaged or incomplete: fetch or train it again."
        ) from error
    return {name: tensor.float() if tensor.is_floating_point() else tensor for name, tensor in weights.items()}


def load_model(checkpoint: Checkpoint) -> "nn.Module":
    """The checkpoint's network with its weights, ready to answer. Raises CheckpointError."""
    model = BACKBONES[checkpoint.backbone].build(len(checkpoint.classes))
    fill_model(model, load_weights(checkpoint.folder), checkpoint)
    return model.eval()


def fill_model(model: "nn.Module", weights: Mapping[str, "torch.Tensor"], checkpoint: Checkpoint) -> None:
    """Copy a checkpoint's weights into ``model``. Raises CheckpointError unless they fill all of it."""
    try:
        model.load_state_dict(weights)
    except RuntimeError as error:
        raise CheckpointError(
            f"The weights of the checkpoint {checkpoint.name} do not fit {checkpoint.backbone} with "
            f"{len(checkpoint.classes)} classes: fetch or train it again."
        ) from error


def find_checkpoint(name: str | Path) -> Checkpoint:
    """A checkpoint by folder, by run folder (its best), or by its name under ``checkpoints/`` or among the runs.

    Raises CheckpointError, listing the bundled names, when there is none.
    """
    given = Path(os.path.abspath(Path(name).expanduser()))  # "." has no name to be called by
    for folder in (given, BUNDLED_CHECKPOINTS / name, runs_dir() / name):
        recover_folder(folder / "best")
        for candidate in (folder, folder / "best"):
            if os.path.isfile(candidate / CARD):  # unlike Path.is_file it also takes an impossible name for absent
                return read_checkpoint(candidate)
    if os.path.isfile(given / "recipe.json"):
        raise CheckpointError(f"The run {given.name} has no checkpoint yet: let it finish its first epoch.")
    bundled = ", ".join(bundled_checkpoints()) or "none"
    raise CheckpointError(
        f"There is no checkpoint {str(name)!r}: give a checkpoint folder, a run folder, or a bundled one ({bundled})."
    )


def bundled_checkpoints() -> list[str]:
    """Names of the checkpoints that came with the project, the one that answers unless another is chosen first."""
    return sorted((path.parent.name for path in BUNDLED_CHECKPOINTS.glob(f"*/{CARD}")), key=_default_first)


def _default_first(name: str) -> tuple[bool, str]:
    return name != DEFAULT_CHECKPOINT, name


def weight_files(folder: Path) -> list[str]:
    """Names of the files that hold a checkpoint folder's weights. Raises CheckpointError for a damaged index."""
    try:
        shards = _shards(folder)
    except _UNREADABLE as error:
        raise CheckpointError(
            f"The weights of the checkpoint {folder.name} are damaged or incomplete: fetch or train it again."
        ) from error
    index = f"{WEIGHTS}.index.json"
    return [index, *shards] if (folder / index).exists() else shards


def _shards(folder: Path) -> list[str]:
    index = folder / f"{WEIGHTS}.index.json"
    if not index.exists():
        return [WEIGHTS]
    shards = sorted(set(json.loads(index.read_text())["weight_map"].values()))
    if any(Path(shard).name != shard for shard in shards):  # an index may not reach outside its folder
        raise ValueError("a shard outside the checkpoint")
    return shards
