"""What this machine trains this network fastest with: measured in a second or two, not assumed."""

import contextlib
import hashlib
import importlib.util
import math
import os
import platform
import time
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Annotated, Any, Literal

import torch
from annotated_types import Ge, Gt, Le
from torch import nn

from flowers.cores import available_cores
from flowers.errors import UsageError
from flowers.files import parse, write_json
from flowers.models.backbones import backbone
from flowers.paths import cache_dir
from flowers.recipe import Recipe
from flowers.training.process import in_team

SIDE = 128  # pixels of a photo in the trials
TRIAL_PHOTOS = 8  # in a step: few enough for a second in all, enough to keep every core busy
TIMED_PHOTOS = 16  # in a step to predict from: what it costs however few they are would weigh too much with fewer
LAPS = 2  # of every kind, after one that sets it up
X86 = ("x86_64", "AMD64")
BUSY = 1.5  # processes a core; what has just ended, a training here, still counts as one
LEARNING = 3  # times as long as a look: forward, and back for inputs and weights
REMEMBERED_SECONDS = 24 * 3600.0  # then it is measured anew, for the machine may have been busy
COMPILE_SECONDS = 600  # a GPU run that is predicted to be longer than this gets its minute of compiling back


# What is read again is held to these: a page and a forecast count with it.
Pace = Annotated[float, Gt(0), Le(1e6)]  # seconds a photo of a megapixel


@dataclass(frozen=True)
class Machine:
    """What to compute with, why, and how fast that was."""

    device: Literal["cpu", "cuda", "mps"]
    precision: Literal["float32", "bfloat16"]
    memory_format: Literal["channels_last", "contiguous"]
    threads: Annotated[int, Ge(1)]  # of the CPU
    learning: Pace  # measured seconds a photo of a megapixel, forward and back
    looking: Pace  # the same, forward only
    why: str  # one sentence
    # As ``looking``, by what runs the network before its first step; 0: it is as any other look.
    untouched: Annotated[float, Ge(0), Le(1e6)] = 0.0

    def autocast(self) -> torch.autocast:
        """Context of the forward pass: convolutions in ``precision``, sums and norms in float32."""
        return torch.autocast(self.device, torch.bfloat16, enabled=self.precision == "bfloat16")

    @property
    def torch_format(self) -> torch.memory_format:
        """The memory format as torch calls it."""
        return torch.channels_last if self.memory_format == "channels_last" else torch.contiguous_format

    def seconds(self, photos: int, size: int, learning: bool) -> float:
        """How long so many pictures of ``size`` × ``size`` pixels should take."""
        return photos * size**2 / 1e6 * (self.learning if learning else self.looking)

    def seconds_untouched(self, photos: int, size: int) -> float:
        """The same for looks of the network before its first step."""
        return photos * size**2 / 1e6 * (self.untouched or self.looking)

    def to_dict(self) -> dict[str, Any]:
        """The values by name, ready for JSON."""
        return asdict(self)


def pick_device(wanted: str) -> torch.device:
    """The device asked for, or the best there is for ``auto``. Raises UsageError when it is not on this machine."""
    there = {"cpu": True, "cuda": torch.cuda.is_available(), "mps": torch.backends.mps.is_available()}
    if wanted == "auto":
        there["mps"] &= not in_team()  # Apple's GPU knows no teams
        wanted = next(name for name in ("cuda", "mps", "cpu") if there[name])
    if not there[wanted]:
        raise UsageError(f"This machine has no {wanted} device: choose device=auto or device=cpu.")
    return torch.device(wanted)


def choose_machine(
    recipe: Recipe, device: torch.device, net: nn.Module, before: Machine | None, neighbours: int = 1
) -> Machine:
    """The fastest way to train ``net`` on ``device`` that ``recipe`` allows; ``net`` itself is left as it was.

    ``before`` is what the run has trained with so far: kept, so that it ends as if it had never been interrupted.
    ``neighbours`` processes, this one included, share the machine's threads.
    """
    counts = _thread_counts(recipe, device, neighbours)
    if before and before.device == device.type:
        there = max(1, available_cores() // neighbours)
        machine = replace(before, threads=min(recipe.threads or before.threads, there))
        return replace(machine, why=f"{_shown(machine)}, as before.")
    kinds = [
        Machine(device.type, precision, memory_format, counts[0], math.inf, math.inf, "")
        for precision, memory_format in _kinds(recipe, device)
    ]
    chosen = backbone(recipe.backbone)
    side = chosen.size if chosen.one_size else SIDE
    with _left_as_it_was(net):
        trials = _compared(kinds, device, net, side)
        best = min(trials, key=lambda machine: machine.learning)
        if more := [replace(best, threads=count) for count in counts[1:]]:
            trials += _compared(more, device, net, side)
            best = min(trials, key=lambda machine: machine.learning)
        machine = replace(_timed(best, device, net, side), why=_reason(best, trials))
    if neighbours == 1:
        _remember(recipe, machine)
    return machine


def assume_machine(recipe: Recipe, device: torch.device, net: nn.Module) -> Machine:
    """What to look at photos with where that takes seconds, so that trials would take longer than they save.

    As ``choose_machine`` last found here within a day, else what is fastest on most; timed by one look. One thread
    where others are at work, as a class is: several would wait for each other all the time.
    """
    busy = device.type == "cpu" and not recipe.threads and is_busy()
    if not busy and (known := _remembered(recipe, device)):
        return replace(known, why=f"{_shown(known)}, as measured here before.")
    kinds = _kinds(recipe, device)
    precision, memory_format = next((kind for kind in kinds if kind == (kinds[0][0], "channels_last")), kinds[0])
    threads = 1 if busy else _thread_counts(recipe, device, 1)[0]
    plain = Machine(device.type, precision, memory_format, threads, math.inf, math.inf, "")
    chosen = backbone(recipe.backbone)
    shape = _shape(TRIAL_PHOTOS, chosen.size if chosen.one_size else SIDE)
    with _left_as_it_was(net):
        looking = min(_lap(_look, plain, device, net.eval(), shape) for _ in range(2))  # the first sets the kernels up
    return replace(plain, looking=looking, learning=LEARNING * looking, why=f"{_shown(plain)}.")


def is_busy() -> bool:
    """Whether more has been wanting to compute in the last minute than there are cores."""
    return hasattr(os, "getloadavg") and os.getloadavg()[0] > BUSY * available_cores()


def should_compile(recipe: Recipe, device: torch.device, predicted: float) -> bool:
    """Whether compiling pays within a run of ``predicted`` seconds."""
    return recipe.compile == "on" or (
        recipe.compile == "auto"
        and device.type == "cuda"
        and predicted > COMPILE_SECONDS
        and importlib.util.find_spec("triton") is not None  # which Windows lacks
    )


def _remembered(recipe: Recipe, device: torch.device) -> Machine | None:
    file = _file(recipe, device.type)
    try:
        if time.time() - file.stat().st_mtime > REMEMBERED_SECONDS:
            return None
        machine = parse(Machine, file.read_bytes())
    except (OSError, ValueError):  # never measured, or damaged
        return None
    here = machine.device == device.type and machine.threads <= max(_thread_counts(recipe, device, 1))
    return machine if here else None


def _remember(recipe: Recipe, machine: Machine) -> None:
    file = _file(recipe, machine.device)
    with contextlib.suppress(OSError):  # a full disk: it is measured anew
        file.parent.mkdir(parents=True, exist_ok=True)
        write_json(file, machine.to_dict())


def _file(recipe: Recipe, device: str) -> Path:
    """One for each machine, network and wish: a cache may be shared by several."""
    wishes = (recipe.backbone, recipe.precision, recipe.memory_format, recipe.threads, recipe.frozen, recipe.norms)
    told = repr(
        (platform.node(), available_cores(), os.environ.get("OMP_NUM_THREADS"), device, torch.__version__, wishes)
    )
    return cache_dir() / "machines" / f"{hashlib.sha256(told.encode()).hexdigest()[:16]}.json"


def _kinds(recipe: Recipe, device: torch.device) -> list[tuple[str, str]]:
    """(precision, memory format) worth a trial: all that is allowed, but for what is known to be slow."""
    precisions = ["float32", "bfloat16"] if recipe.precision == "auto" else [recipe.precision]
    formats = ["contiguous", "channels_last"] if recipe.memory_format == "auto" else [recipe.memory_format]
    if recipe.precision == "auto" and (device.type == "mps" or (device.type == "cpu" and _has_slow_bfloat16())):
        precisions = ["float32"]
    kinds = [(precision, layout) for precision in precisions for layout in formats]
    if len(formats) == 1:
        return kinds
    # The fast kernels of bfloat16, and of NVIDIA's GPUs, want channels_last.
    plain = None if device.type == "cuda" else "float32"
    return [(precision, layout) for precision, layout in kinds if layout == "channels_last" or precision == plain]


def _has_slow_bfloat16() -> bool:
    """Whether this CPU only imitates bfloat16: a single trial of what takes ten times as long would take a minute."""
    return torch.backends.cpu.get_cpu_capability() in ("DEFAULT", "NO AVX", "AVX2") and platform.machine() in X86


def _thread_counts(recipe: Recipe, device: torch.device, neighbours: int) -> list[int]:
    """Numbers of threads worth a trial: torch's own choice, and what the system says is there, where they differ."""
    now, there = torch.get_num_threads(), max(1, available_cores() // neighbours)
    if neighbours > 1:  # torchrun has set OMP_NUM_THREADS to 1, whatever the machine has
        return [min(recipe.threads or there, there)]
    if recipe.threads:
        return [min(recipe.threads, there)]
    # OMP_NUM_THREADS is somebody's wish: other processes want the rest.
    if device.type != "cpu" or "OMP_NUM_THREADS" in os.environ or now == there:
        return [min(now, there)]
    return [min(now, there), there] if now < there else [there]


@contextlib.contextmanager
def _left_as_it_was(net: nn.Module) -> Iterator[None]:
    """Within it ``net`` may learn: weights, norm statistics and mode are put back."""
    state, training = {name: tensor.clone() for name, tensor in net.state_dict().items()}, net.training
    yield
    net.zero_grad(set_to_none=True)
    net.load_state_dict(state)
    net.train(training)


def _compared(machines: list[Machine], device: torch.device, net: nn.Module, side: int) -> list[Machine]:
    """The machines with the time they take to learn, from small steps.

    They take turns, and each one's fastest lap counts: what else the computer does then disturbs all alike.
    """
    for lap in range(LAPS + 1):
        laps = [_lap(_step, machine, device, net.train(), _shape(TRIAL_PHOTOS, side)) for machine in machines]
        if lap:  # the first sets the kernels up
            machines = [
                replace(machine, learning=min(machine.learning, seconds))
                for machine, seconds in zip(machines, laps, strict=True)
            ]
    return machines


def _timed(machine: Machine, device: torch.device, net: nn.Module, side: int) -> Machine:
    """The machine with its speeds, to predict from."""
    shape = _shape(TIMED_PHOTOS, side)
    learning = min(_lap(_step, machine, device, net.train(), shape) for _ in range(LAPS))
    looking = min(_lap(_look, machine, device, net.eval(), shape) for _ in range(LAPS))
    return replace(machine, learning=learning, looking=looking)


def _shape(photos: int, side: int) -> tuple[int, int]:
    """(photos, side of each): about as many pixels as so many photos of SIDE have."""
    return max(2, photos * SIDE**2 // side**2), side


def _lap(work: Callable, machine: Machine, device: torch.device, net: nn.Module, shape: tuple[int, int]) -> float:
    """Seconds that ``work`` takes for each photo of a megapixel; it is done with (photos, side of each)."""
    torch.set_num_threads(machine.threads)
    net.to(device, memory_format=machine.torch_format)
    photos, side = shape
    pixels = torch.rand(photos, 3, side, side, device=device).to(memory_format=machine.torch_format)
    return _seconds(lambda: work(machine, net, pixels), device) / (photos * side**2 / 1e6)


def _seconds(work: Callable[[], None], device: torch.device) -> float:
    start = time.perf_counter()
    work()
    if device.type != "cpu":
        getattr(torch, device.type).synchronize()
    return time.perf_counter() - start


def _step(machine: Machine, net: nn.Module, photos: torch.Tensor) -> None:
    with machine.autocast():
        loss = net(photos).float().square().mean()
    loss.backward()


def _look(machine: Machine, net: nn.Module, photos: torch.Tensor) -> None:
    with torch.inference_mode(), machine.autocast():
        net(photos)


def _reason(best: Machine, trials: list[Machine]) -> str:
    others = [trial for trial in trials if trial is not best]
    if not others:
        return f"{_shown(best)}."
    slowest = max(others, key=lambda trial: trial.learning)
    return f"{_shown(best)}: measured {slowest.learning / best.learning:.1f}× as fast as {_kind(slowest)}."


def _shown(machine: Machine) -> str:
    if machine.device == "cuda":
        name = torch.cuda.get_device_name()
    else:
        name = "the CPU" if machine.device == "cpu" else "Apple's GPU"
    return f"Training on {name} in {_kind(machine)}"


def _kind(machine: Machine) -> str:
    channels_last = machine.memory_format == "channels_last"
    kind = f"{machine.precision}, channels last" if channels_last else f"{machine.precision}, plain layout"
    if machine.device != "cpu":
        return kind
    return f"{kind} with 1 thread" if machine.threads == 1 else f"{kind} with {machine.threads} threads"
