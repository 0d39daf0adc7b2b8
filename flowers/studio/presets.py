"""The presets as cards: what each is for, how long it takes on this machine, how right it got where it was measured."""

import atexit
import functools
import hashlib
import json
import subprocess
import threading
import time
from dataclasses import dataclass
from pathlib import Path

from flowers.cores import available_cores
from flowers.data.sources import KNOWN
from flowers.errors import FlowersError
from flowers.files import check
from flowers.models.backbones import BACKBONES
from flowers.paths import cache_dir
from flowers.processes import module
from flowers.recipe import PRESETS, Recipe, preset
from flowers.studio import common
from flowers.studio.language import say
from flowers.studio.words import share_of
from flowers.training import queue
from flowers.training.events import Seconds
from flowers.training.schedule import TELLING, distances

BEGINNING = 2.0  # seconds of a run beside looking and learning: a process, the photos' copies, the first weights
MEASURED_SECONDS = 24 * 3600.0  # then it is measured anew, for the machine may have been busy
GUESSED_SECONDS = 0.05  # for each photo and epoch, as a ResNet18 takes on two cores: where nothing was measured
MEASURED_ON = 570  # photos held back
FIVE_FLOWERS = ("flowers5", "flowers5-wide")  # they hold back the same 570 photos, but for labels that contradict


@dataclass(frozen=True)
class Measured:
    """The share of right answers on the 570 photos held back, clean, by the best epoch, from the stand-in weights."""

    accuracy: float  # 0..1
    photos: str  # the set that it learnt from


# From README.md, benchmarks/accuracy.md and few.md: three training seeds each, but one of ``auto`` and of ``report``.
MEASURED = {
    "auto": Measured(0.954, "flowers5"),
    "report": Measured(0.9246, "flowers5"),
    "fast": Measured(0.953, "flowers5"),
    "balanced": Measured(0.9591, "flowers5-wide"),
    "best": Measured(0.9608, "flowers5-wide"),
}


@functools.cache  # what is downloaded meanwhile is begun with after the next start of the studio
def for_here(name: str) -> Recipe:
    """A preset as the page begins with it: with a network whose ImageNet weights are on this machine, where one is.

    So the first Start needs no download. ``report`` stays what the report did. Raises UsageError for another name.
    """
    recipe = preset(name)
    here = [chosen for chosen in BACKBONES.values() if chosen.has_local_weights()]
    if name == "report" or not here or BACKBONES[recipe.backbone] in here:
        return recipe
    return recipe.replace(backbone=min(here, key=lambda chosen: chosen.parameters).name)


def cards(chosen: str, source: str | None) -> str:
    """The cards, with ``chosen`` chosen, for the photos of that choice."""
    return (
        f'<fieldset><legend>{say("train.preset")}</legend><p class="hint">{say("train.preset_info")}</p>'
        f'<div class="presets">{"".join(_card(name, name == chosen, source) for name in PRESETS)}</div></fieldset>'
    )


def _card(name: str, chosen: bool, source: str | None) -> str:
    facts = [say("train.takes", time=in_words(seconds)) if (seconds := seconds_of(name, source)) else ""]
    if source in FIVE_FLOWERS and name in MEASURED and for_here(name) == PRESETS[name]:
        measured = MEASURED[name]
        facts.append(say("train.measured", accuracy=share_of(measured.accuracy, MEASURED_ON), photos=measured.photos))
    return (
        f'<label><input type="radio" name="preset" value="{name}"{" checked" * chosen}>'
        f"<b>{say(f'preset.{name}.title')}</b><span>{say(f'preset.{name}.help')}</span>"
        f'<span class="facts">{"<br>".join(filter(None, facts))}</span></label>'
    )


def in_words(seconds: float) -> str:
    """``40 seconds``, ``2 minutes`` or ``1.5 hours``: no finer than anybody can tell beforehand."""
    if seconds < 90:
        return say("train.seconds", n=max(5, 5 * round(seconds / 5)))
    return (
        say("train.minutes", n=round(seconds / 60)) if seconds < 5400 else say("train.hours", n=f"{seconds / 3600:.1f}")
    )


# How long they take: measured once for each machine, in a process of its own


def seconds_of(name: str, source: str | None) -> float | None:
    """Seconds that a preset should take on the photos of a choice; None until it has been measured."""
    paces = _read(_file(), _changed(_file()))
    count = _count(source)
    if name not in paces or not count:
        return None
    few, many = paces[name]
    return BEGINNING + count * (few * distances(count) if count < TELLING else many)


def expected(recipe: Recipe, name: str, source: str | None) -> float:
    """About the seconds that a recipe, made from a preset, should take: so the line knows short ones from long ones."""
    usual = for_here(name)
    seconds = seconds_of(name, source)
    if seconds is not None and recipe.replace(epochs=usual.epochs) == usual:
        return seconds * recipe.epochs / usual.epochs
    return _count(source) * recipe.epochs * GUESSED_SECONDS


def known() -> float:
    """Changes when the times become known."""
    return _changed(_file())


def measure() -> None:
    """Find out how long the presets take here, unless that is known, under way, or a training is at work."""
    with _measuring:
        if _process or time.time() - _changed(_file()) < MEASURED_SECONDS or queue.is_taken():
            return
        _file().parent.mkdir(parents=True, exist_ok=True)
        measuring = module("flowers.training.forecast", _file(), _recipes())
        _process.append(subprocess.Popen(**measuring, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL))
        threading.Thread(target=_wait, args=[_process[0]], daemon=True).start()


def stop_measuring() -> None:
    """A training is about to start: it measures, too, and both would be told too long a time."""
    for process in list(_process):
        process.kill()


_process: list[subprocess.Popen] = []
_measuring = threading.Lock()
atexit.register(stop_measuring)


def _wait(process: subprocess.Popen) -> None:
    process.wait()
    with _measuring:
        _process.remove(process)


def _file() -> Path:
    """One for each machine and version of the presets: a cache may be shared by several."""
    told = f"2 {_recipes()} {_cpu()} {available_cores()}"  # a number for what is in the file
    return cache_dir() / "paces" / f"{hashlib.sha256(told.encode()).hexdigest()[:16]}.json"


def _recipes() -> str:
    return json.dumps({name: for_here(name).to_dict() for name in PRESETS})


@functools.cache
def _cpu() -> str:
    import platform

    return f"{platform.node()} {platform.processor() or platform.machine()}"


def _changed(file: Path) -> float:
    try:
        return file.stat().st_mtime
    except OSError:
        return 0.0


@functools.lru_cache(maxsize=4)
def _read(file: Path, changed: float) -> dict[str, tuple[float, float]]:
    """As ``forecast.seconds_a_photo`` by preset; nothing where it is not known, or the file is damaged."""
    try:
        return check(dict[str, tuple[Seconds, Seconds]], file.read_bytes()) if changed else {}
    except (OSError, ValueError):
        return {}


def _count(source: str | None) -> int:
    """About how many photos a choice stands for."""
    if source in KNOWN:
        return KNOWN[source].count
    try:
        folder = Path(common.source_of(source))
        return sum(1 for _ in folder.glob("*/[!.]*")) if folder.is_dir() else 0
    except FlowersError:
        return 0
