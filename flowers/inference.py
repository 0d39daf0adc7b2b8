"""Which engine answers: PyTorch as it is, at once; then the fastest that this machine has, found by measuring.

``prepare`` tries what is installed, once for a checkpoint: it refuses an engine that does not give PyTorch's answers,
measures the others, and remembers. ``open_network`` opens what won. Unless that is PyTorch, torch is not even
imported, and a program that names one photo is done in a fraction of the time.

On two cores with AVX-512, ONNX Runtime takes two thirds of PyTorch's time for one photo, which is close to what the
vector units can do, and a third or less while other programs want the cores too. Compiled PyTorch takes most of a
minute to prepare and was no faster than PyTorch as it is: it is tried only when asked for.
"""

import contextlib
import hashlib
import importlib.metadata
import importlib.util
import json
import math
import os
import platform
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from flowers.cores import available_threads
from flowers.data.preprocess import Preprocessing
from flowers.engines import TITLES, Engine, agree, eager, make, open_made, point_alike, trial_photos
from flowers.errors import CheckpointError, UsageError
from flowers.files import recover_folder, whole_folder, write_json
from flowers.models.backbones import BACKBONES
from flowers.models.checkpoint import Checkpoint, load_model, read_checkpoint
from flowers.paths import cache_dir
from flowers.processes import give_way, module

if TYPE_CHECKING:
    from torch import nn

BATCH = 16  # photos; larger batches were no faster on two cores
CLEARLY = 1.1  # times faster: less is no reason to hold a second engine in memory
KEPT = 4  # prepared checkpoints on disk; 90 MB each for a ResNet18
PREPARE_SECONDS = 600  # then preparing is given up; ten are usual, and a minute where it compiles
TRIALS = 4  # photos to measure batches with, which tell of larger ones
LAPS = {"one": 5, "many": 3}
CHOICE = "choice.json"

Seconds = Mapping[str, Mapping[str, float]]  # engine -> {"one": of a single photo, "many": of a photo in a batch}


@dataclass(frozen=True)
class Network:
    """A checkpoint's network, ready to answer from any thread."""

    one: Engine  # answers a single photo
    many: Engine  # answers a batch
    why: str  # which engines these are and why: one sentence
    settled: bool  # False: ``prepare`` may find something faster

    def look(self, pixels: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Class scores, float32 (N, classes), and features, float32 (N, F), of uint8 pixels (N, 3, size, size)."""
        return (self.one if len(pixels) == 1 else self.many)(pixels)


# Opening


def preparation(checkpoint: Checkpoint) -> Preprocessing:
    """What a checkpoint's network wants done to a photo. Raises CheckpointError where it does not say."""
    try:
        return Preprocessing.from_dict(checkpoint.preprocessing)
    except (KeyError, TypeError, ValueError) as error:
        raise CheckpointError(
            f"The checkpoint {checkpoint.name} does not say how to prepare photos for it: fetch or train it again."
        ) from error


def eager_network(checkpoint: Checkpoint, preprocessing: Preprocessing, model: "nn.Module | None" = None) -> Network:
    """A checkpoint's network as PyTorch runs it; ``model`` where that is in memory already, and it stays as it is."""
    engine = _eager(checkpoint, preprocessing, model)
    return Network(engine, engine, "Answering with PyTorch: nothing else has been tried yet.", settled=False)


def open_network(checkpoint: Checkpoint, preprocessing: Preprocessing) -> Network:
    """The network of a saved checkpoint, run by what ``prepare`` found to be fastest, or else as PyTorch runs it.

    That never takes long, and never fails for want of a package. Raises CheckpointError as ``load_model``.
    """
    kept = _kept(checkpoint)
    remembered = _remembered(kept)
    if not remembered:
        return eager_network(checkpoint, preprocessing)
    seconds = remembered["seconds"]
    try:
        return _open(checkpoint, preprocessing, kept, *choose(seconds), explain(seconds))
    except CheckpointError:
        raise
    except Exception as error:  # a package may break, or what it reads be damaged, in any way
        why = f"Answering with PyTorch: what was measured faster could not be opened ({_in_short(error)})."
        return _open(checkpoint, preprocessing, kept, "eager", "eager", why)


def open_engine(checkpoint: Checkpoint, preprocessing: Preprocessing, engine: str) -> Network:
    """The network of a saved checkpoint, run by one of TITLES, which is prepared now where it has not been.

    Raises CheckpointError as ``load_model``, UsageError for an engine that cannot be used here.
    """
    if engine not in TITLES:
        raise UsageError(f"There is no engine called {engine!r}: choose auto, {', '.join(TITLES)}.")
    kept = _kept(checkpoint)
    known = _remembered(kept)
    if engine not in ("eager", *known.get("seconds", {}), *known.get("refused", {})):
        prepare(checkpoint, compiling=engine == "compiled")
        known = _remembered(kept)
    many = "eager" if engine == "compiled" else engine
    try:
        if refusal := known.get("refused", {}).get(engine):
            raise ValueError(refusal)
        return _open(checkpoint, preprocessing, kept, engine, many, f"Answering with {TITLES[engine]}, as asked.")
    except CheckpointError:
        raise
    except Exception as error:
        raise UsageError(f"The engine {engine} cannot be used here ({_in_short(error)}): choose auto.") from error


def measured(checkpoint: Checkpoint) -> Seconds:
    """What ``prepare`` measured for a saved checkpoint, with these packages on this machine; {} before it has."""
    return _remembered(_kept(checkpoint)).get("seconds", {})


def _open(checkpoint: Checkpoint, preprocessing: Preprocessing, kept: Path, one: str, many: str, why: str) -> Network:
    def opened(name: str) -> Engine:
        return _eager(checkpoint, preprocessing) if name == "eager" else open_made(name, kept / name)

    first = opened(one)
    return Network(first, first if many == one else opened(many), why, settled=True)


def _eager(checkpoint: Checkpoint, preprocessing: Preprocessing, model: "nn.Module | None" = None) -> Engine:
    return eager(model or load_model(checkpoint), preprocessing, BACKBONES[checkpoint.backbone].head)


def choose(seconds: Seconds) -> tuple[str, str]:
    """(engine for one photo, engine for batches): the fastest, and the same for both unless another clearly gains."""
    one, many = (
        min(seconds, key=lambda name: seconds[name].get(use, math.inf)) for use in ("one", "many")
    )  # fmt: skip
    same = seconds[one].get("many", math.inf) < CLEARLY * seconds[many]["many"]
    return one, one if same else many


def explain(seconds: Seconds) -> str:
    """What ``choose`` makes of these measurements, and why, in one sentence."""
    one, many = choose(seconds)
    if one == many == "eager":
        others = " and ".join(TITLES[name] for name in seconds if name != "eager")
        return f"Answering with PyTorch: {f'measured faster than {others}' if others else 'nothing else is there'}."
    gain, gain_many = (seconds["eager"][use] / seconds[name][use] for name, use in ((one, "one"), (many, "many")))
    who = TITLES[one] if one == many else f"{TITLES[one]}, batches with {TITLES[many]}"
    return (
        f"Answering with {who}: measured {gain:.1f}× as fast as PyTorch as it is for one photo, {gain_many:.1f}× for "
        "batches."
    )


# Preparing


def prepare(checkpoint: Checkpoint, *, compiling: bool = False) -> None:
    """Find out, for ``open_network``, which engine answers a saved checkpoint's photos fastest on this machine.

    Takes about ten seconds, and most of a minute with ``compiling``; if it fails, nothing is remembered. In a process
    of its own, and politely: while PyTorch exports a network, calling a module means something else in all threads,
    and others here may be answering. What the exporter takes of memory is soon given back, too.
    """
    preparing = module("flowers.inference", checkpoint.folder, *(["compile"] if compiling else []))
    silent = dict.fromkeys(("stdout", "stderr"), subprocess.DEVNULL)
    with contextlib.suppress(OSError, subprocess.TimeoutExpired):
        subprocess.run(**preparing, **silent, timeout=PREPARE_SECONDS)


def main(arguments: Sequence[str]) -> None:
    """The process of ``prepare``: the checkpoint's folder, and perhaps "compile"."""
    give_way(19, to_all=True)
    with tempfile.TemporaryDirectory() as scratch:
        os.environ["TORCHINDUCTOR_CACHE_DIR"] = scratch
        _prepare(read_checkpoint(Path(arguments[0])), compiling="compile" in arguments)


def _prepare(checkpoint: Checkpoint, compiling: bool) -> None:
    folder = _kept(checkpoint)
    preprocessing = preparation(checkpoint)
    model = load_model(checkpoint)
    if _kept(checkpoint) != folder:
        raise CheckpointError(f"The checkpoint {checkpoint.name} has just been replaced by a newer one.")
    photos = trial_photos(preprocessing.size, TRIALS)
    engines: dict[str, Engine] = {"eager": _eager(checkpoint, preprocessing, model)}
    expected = engines["eager"](photos)
    refused: dict[str, str] = {}

    def write(name: str, where: Path) -> None:
        make(name, model, preprocessing, BACKBONES[checkpoint.backbone].head, where)

    with whole_folder(folder) as new:
        for name in ("onnxruntime", "openvino", *(["compiled"] if compiling else [])):
            try:
                engines[name] = _made(name, write, new / name, photos, expected)
            except Exception as error:  # optional packages break in as many ways as they have versions
                refused[name] = _in_short(error)
                shutil.rmtree(new / name, ignore_errors=True)
        write_json(new / CHOICE, {"of": _circumstances(), "seconds": _measure(engines, photos), "refused": refused})
    _drop_unused(folder.parent)


def _made(
    name: str,
    write: Callable[[str, Path], None],
    folder: Path,
    photos: np.ndarray,
    expected: tuple[np.ndarray, np.ndarray],
) -> Engine:
    """An engine, as ``write`` makes it, that gives the expected answers. Raises whatever keeps it from that."""
    if name != "compiled" and not importlib.util.find_spec(name):
        raise ImportError("it is not installed")
    folder.mkdir()
    write(name, folder)
    engine = open_made(name, folder)
    for count in (1,) if name == "compiled" else (1, len(photos)):
        scores, features = engine(photos[:count])
        if not (agree(scores, expected[0][:count]) and point_alike(features, expected[1][:count])):
            raise ValueError("its answers differ from PyTorch's")
    return engine


def _measure(engines: Mapping[str, Engine], photos: np.ndarray) -> Seconds:
    """They take turns, and each one's fastest lap counts: what else the computer does then disturbs all alike."""
    seconds: dict[str, dict[str, float]] = {name: {} for name in engines}
    for use, batch in (("one", photos[:1]), ("many", photos)):
        for _ in range(LAPS[use]):
            for name, engine in engines.items():
                if name == "compiled" and use == "many":
                    continue
                engine(batch)  # after another's lap, whose threads may still be spinning
                start = time.perf_counter()
                engine(batch)
                lap = (time.perf_counter() - start) / len(batch)
                seconds[name][use] = min(lap, seconds[name].get(use, lap))
    return seconds


# What is remembered


def _kept(checkpoint: Checkpoint) -> Path:
    """Where a checkpoint's engines are kept: by its content, for a run's best changes under one name."""
    digest = hashlib.sha256(json.dumps([checkpoint.backbone, checkpoint.classes, checkpoint.preprocessing]).encode())
    for path in sorted(checkpoint.folder.glob("model*.safetensors*")):
        digest.update(path.name.encode() + path.read_bytes())
    return cache_dir() / "engines-v2" / digest.hexdigest()[:32]


def _remembered(kept: Path) -> dict[str, Any]:
    """What ``prepare`` wrote there with these packages on this machine; {} if nothing."""
    recover_folder(kept)
    try:
        written = json.loads((kept / CHOICE).read_bytes())
        if written["of"] != _circumstances() or not _is_sound(written["seconds"], written["refused"]):
            return {}
    except (OSError, ValueError, KeyError, TypeError, AttributeError, RecursionError):  # none yet, or damaged
        return {}
    with contextlib.suppress(OSError):  # we may only read here
        os.utime(kept)  # what has not been used for longest is dropped first
    return written


def _is_sound(seconds: Seconds, refused: Mapping[str, str]) -> bool:
    """Whether that can have been measured; raises TypeError or AttributeError for what is nothing like it."""
    laps = [lap for found in seconds.values() for lap in found.values()]
    names = seconds.keys() | refused.keys() <= TITLES.keys() and {"one", "many"} <= seconds["eager"].keys()
    told = all(isinstance(why, str) for why in refused.values())
    return names and told and all(0 < lap < math.inf for lap in laps)


def _circumstances() -> dict[str, Any]:
    """What the fastest engine depends on, besides the network."""
    versions = {}
    for name in ("torch", "onnxruntime", "openvino"):
        with contextlib.suppress(importlib.metadata.PackageNotFoundError):
            versions[name] = importlib.metadata.version(name)
    return {"cpu": _cpu(), "threads": available_threads(), **versions}


def _cpu() -> str:
    with contextlib.suppress(OSError, StopIteration):  # platform does not know its name on Linux
        lines = Path("/proc/cpuinfo").read_text().splitlines()
        return next(line.partition(":")[2].strip() for line in lines if line.startswith(("model name", "CPU part")))
    return platform.processor() or platform.machine()


def _drop_unused(folder: Path) -> None:
    prepared = [path for path in folder.iterdir() if not path.name.startswith(".")]
    for path in sorted(prepared, key=lambda path: -path.stat().st_mtime)[KEPT:]:
        shutil.rmtree(path, ignore_errors=True)


def _in_short(error: Exception) -> str:
    """The first line of what went wrong: makers of compilers tell whole stories."""
    return (str(error).strip() or type(error).__name__).splitlines()[0].rstrip(".")[:200]


if __name__ == "__main__":
    main(sys.argv[1:])
