"""The run folder: training writes it, everything else only reads it.

recipe.json    every hyperparameter
data.json      the photo set as it was asked for, the preset it was started from, by whom, the run it goes on from, and
               how long it should take
about.json     the name and the note that somebody gave it
events.jsonl   what training said, one JSON object a line
status.json    queued, running, stopping, stopped, done or failed; process id; heartbeat; message; place in line; time
log.txt        the same story in the report's format
best/  last/   checkpoint folders; last/ adds what resuming needs
stop           there when somebody asked the run to stop
ticket         there from when the run is asked for until its turn is over (see queue.py)
lock           held by the training process for as long as it lives
"""

import contextlib
import errno
import json
import os
import re
import secrets
import shutil
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager
from dataclasses import asdict, dataclass, replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, BinaryIO, Literal, TypeVar, get_args

from filelock import FileLock, Timeout

from flowers.data.classes import clean_name
from flowers.errors import FlowersError, UsageError
from flowers.files import check, parse, recover_folder, remove_leftovers, whole_folder, write_json, write_whole
from flowers.models.checkpoint import Checkpoint, load_weights, read_checkpoint, save_checkpoint
from flowers.paths import albums_dir, runs_dir
from flowers.recipe import Recipe
from flowers.training.events import Count, Epochs, Event, Seconds, Share, fits, read_event

try:
    import fcntl
except ImportError:  # Windows
    fcntl = None

if TYPE_CHECKING:
    import torch

State = Literal["queued", "running", "stopping", "stopped", "done", "failed", "interrupted"]
ACTIVE = ("queued", "running", "stopping")
ENDED = "Its process was ended from outside, or the disk was full: resume it."
QUEUED_SECONDS = 60  # a queued run of which nobody has said anything for so long will never begin by itself
T = TypeVar("T")
MAX_TITLE, MAX_NOTE = 80, 1_000  # characters
IMPORTED = "imported"  # in place of a preset: a checkpoint that was brought here, and not trained here
CALLED_BY, CALLED = 3, 24  # so many of its classes name a run that has no other name, each by so many characters
BEGINNING = 256 * 1024  # bytes of its events, among which its start is: some thousand classes are told there
_NAMED_BY_ITSELF = re.compile(r"(\d{4}-\d{2}-\d{2}-\d{6})-")  # see _new_folder


@dataclass
class Position:
    """Where in its work a run is. Sums are over the photos of the current epoch."""

    epoch: Epochs = 0
    step: Count = 0
    loss_sum: float = 0.0
    correct: float = 0.0
    seen: Count = 0
    best_epoch: Epochs | None = None
    best_val_accuracy: Share | None = None
    bar: float | None = None  # what a later epoch must exceed to be the best, where that is another number
    seconds: Seconds = 0.0

    def add(self, loss: float, right: float, photos: int) -> None:
        """Count one batch of ``photos`` with these sums."""
        self.step += 1
        self.loss_sum += loss
        self.correct += right
        self.seen += photos

    def next_epoch(self) -> None:
        """Stand at the beginning of the next epoch."""
        self.epoch += 1
        self.step, self.loss_sum, self.correct, self.seen = 0, 0.0, 0.0, 0


@dataclass(frozen=True)
class TrainingState:
    """All that resuming needs."""

    position: Position
    digest: str  # of the photo set
    machine: dict[str, Any]  # what it was trained with so far: see training/machine.py
    weights: dict[str, "torch.Tensor"]  # of the checkpoint
    learner: dict[str, Any]  # what else Learner.load takes


@dataclass(frozen=True)
class Saved:
    """What ``training.json`` holds: see ``pack_state``."""

    position: Position
    digest: str
    machine: dict[str, Any]
    param_groups: list[dict[str, Any]]
    scalars: dict[str, float]
    averaged: Count | None = None


@dataclass(frozen=True)
class Wish:
    """How a run was asked for: what ``data.json`` holds. Older runs lack what came later."""

    source: str | None = None
    preset: str = "report"
    visitor: str = ""
    continues: str | None = None
    seconds: float | None = None


@dataclass(frozen=True)
class About:
    """What people call a run: what ``about.json`` holds."""

    title: str = ""
    note: str = ""


@dataclass(frozen=True)
class Status:
    """How a run is doing; ``message`` is a sentence when there is something to say."""

    state: State
    pid: int | None = None
    heartbeat: float = 0.0  # seconds since 1970
    message: str = ""
    # In line, also of a run that made way: 2 when one is to end before it; 0 when it is about to begin.
    place: Count = 0
    seconds: Seconds | None = None  # until its turn while it is in line, else until its end; None where unknown

    @property
    def active(self) -> bool:
        """Whether a process is, or is about to be, working on the run."""
        return self.state in ACTIVE


@dataclass(frozen=True)
class Run:
    """A run folder."""

    folder: Path

    @property
    def name(self) -> str:
        """The folder's name, which people call the run by."""
        return self.folder.name

    @classmethod
    def create(
        cls,
        folder: Path | None,
        recipe: Recipe,
        source: str | None,
        preset: str = "report",
        visitor: str = "",
        continues: str | None = None,
        seconds: float | None = None,
        private: bool = False,
    ) -> "Run":
        """A new, queued run, asked for by a ``visitor`` of the studio; ``continues`` names the run that it prolongs.

        It should take so many ``seconds``, where that is known. A ``private`` one gets a name that nobody guesses, as
        one on a visitor's own photos does. Raises UsageError when the folder already holds something.
        """
        folder = Path(folder).expanduser().resolve() if folder else _new_folder(preset, private or _is_private(source))
        if folder.exists() and (not folder.is_dir() or any(folder.iterdir())):
            raise UsageError(
                f"The folder {folder} is not empty: choose another, or go on with the run in it by "
                f"`python -m flowers resume {folder}`."
            )
        try:
            # Half a run would be nobody's to delete. A folder that is there may be a disk of its own.
            with contextlib.nullcontext(folder) if folder.exists() else whole_folder(folder) as place:
                cls(place).set_status("queued")
                write_json(place / "data.json", asdict(Wish(source, preset, visitor, continues, seconds)))
                write_whole(place / "recipe.json", recipe.to_json())
        except OSError as error:
            raise FlowersError(
                f"The run folder {folder} cannot be written ({error.strerror}): choose another with --run or "
                "FLOWERS_RUNS."
            ) from error
        return cls(folder)

    @classmethod
    def open(cls, folder: str | Path) -> "Run":
        """An existing run, by folder or by name among the runs. Raises UsageError when there is none."""
        for candidate in (Path(folder).expanduser(), runs_dir() / folder):
            if os.path.isfile(candidate / "recipe.json"):
                return cls(candidate.resolve())
        raise UsageError(f"There is no run in {folder}: give a run's folder, such as runs/2026-01-31-120000-report.")

    # What it was asked to do

    @property
    def recipe(self) -> Recipe:
        """The run's recipe. Raises FlowersError when the file is damaged."""
        return Recipe.from_dict(self._read("recipe.json", partial(check, dict[str, Any])))

    @property
    def source(self) -> str | None:
        """The photo set, as it was asked for."""
        return self._wish().source

    @property
    def preset(self) -> str:
        """The preset the recipe was made from."""
        return self._wish().preset

    @property
    def visitor(self) -> str:
        """Who asked for it, as the studio calls its visitors; empty for the command line."""
        return self._wish().visitor

    @property
    def continues(self) -> str | None:
        """The name of the run whose best weights it began from to prolong it."""
        return self._wish().continues

    @property
    def expected_seconds(self) -> float | None:
        """How long it should take, as it was known when it was asked for."""
        return self._wish().seconds

    # What people call it

    @property
    def title(self) -> str:
        """The name that somebody gave it; else, where the folder was named by ``create``, what it tells apart and when
        it was begun, ``daisy, tulip · 07:30``; else the folder's."""
        return self._about().title or self._called() or self.name

    def _called(self) -> str:
        if named := _NAMED_BY_ITSELF.match(self.name):
            with contextlib.suppress(FlowersError):  # it is damaged
                return f"{_listed(self._classes()) or self.preset} · {_at(named[1])}"
        return ""

    def _classes(self) -> list[str]:
        """The classes that it tells apart, as far as its events, or the checkpoint that was brought here, know."""
        with contextlib.suppress(FlowersError):
            if self.preset == IMPORTED:
                return list(read_checkpoint(self.folder / "best").classes)
        return next((event["classes"] for event in self._lines(BEGINNING) if event["kind"] == "started"), [])

    @property
    def note(self) -> str:
        """What somebody wrote about it; empty when nobody did."""
        return self._about().note

    def describe(self, title: str, note: str) -> None:
        """Give it a name (empty: the folder's) and a note; each of their lines is cleaned as a class name is.

        Raises UsageError when one is too long.
        """
        title, note = clean_name(title), _clean_lines(note)
        for text, most, what in ((title, MAX_TITLE, "name"), (note, MAX_NOTE, "note")):
            if len(text) > most:
                raise UsageError(f"The {what} has {len(text)} characters: shorten it to {most} or fewer.")
        write_json(self.folder / "about.json", asdict(About(title, note)))

    def _about(self) -> About:
        try:
            about = parse(About, (self.folder / "about.json").read_bytes())
        except (OSError, ValueError):  # nobody described it yet, or the file is damaged
            return About()
        return About(clean_name(about.title), _clean_lines(about.note))

    def delete(self) -> None:
        """Remove the folder with all it holds. Raises UsageError while it is at work or waits for its turn."""
        if self.status().active:
            raise UsageError(f"The run {self.title} is at work or in line: stop it first, then delete it.")
        with self.lock():
            (self.folder / "recipe.json").unlink(missing_ok=True)  # from here on nobody takes it for a run
        shutil.rmtree(self.folder, ignore_errors=True)

    # How it is doing

    @property
    def last_worked_on(self) -> float:
        """When the status was last written, seconds since 1970; 0 for a folder deleted meanwhile."""
        try:
            return (self.folder / "status.json").stat().st_mtime
        except OSError:
            return 0.0

    def status(self) -> Status:
        """The state now. A process that was killed cannot say so: its run reads as interrupted."""
        try:
            status = parse(Status, (self.folder / "status.json").read_bytes())
        except (OSError, ValueError):
            return Status("interrupted", message="The run's status cannot be read: resume it.")
        if not status.active:
            return status
        if self.is_locked():
            # At once, not at the process's next heartbeat.
            stopping = status.state == "running" and self.stop_requested()
            return replace(status, state="stopping") if stopping else status
        if status.state == "queued" and abs(time.time() - status.heartbeat) < QUEUED_SECONDS:  # clocks jump
            return status
        return Status("interrupted", status.pid, status.heartbeat, ENDED)

    def is_queued(self) -> bool:
        """Whether it was last said to stand in line, however long ago."""
        with contextlib.suppress(OSError, ValueError):
            return parse(Status, (self.folder / "status.json").read_bytes()).state == "queued"
        return False

    def set_status(self, state: State, message: str = "", place: int = 0, seconds: float | None = None) -> None:
        """Write ``status.json`` with this process's id and the time."""
        assert state in get_args(State)
        status = Status(state, os.getpid(), time.time(), message, place, seconds)
        write_json(self.folder / "status.json", asdict(status))

    def request_stop(self) -> None:
        """Ask the training process to stop after its current batch."""
        (self.folder / "stop").touch()

    def stop_requested(self) -> bool:
        """Whether somebody asked for a stop."""
        return (self.folder / "stop").exists()

    def clear_stop(self) -> None:
        """Forget an earlier wish to stop."""
        (self.folder / "stop").unlink(missing_ok=True)

    def lock(self) -> AbstractContextManager:
        """Enter it to train: ``with run.lock():``. The operating system lets go of it however the process ends.

        Raises UsageError when another process trains in this folder.
        """
        try:
            return FileLock(self.folder / "lock").acquire(timeout=2)  # is_locked() of a reader shares it for an instant
        except Timeout:
            raise UsageError(f"The run {self.name} is already being trained by another process: wait for it.") from None

    def is_locked(self) -> bool:
        """Whether a living process trains in this folder."""
        return is_held(self.folder / "lock")

    def tidy(self) -> None:
        """Remove what a killed process left half-written; only for who holds the lock."""
        remove_leftovers(self.folder)

    # What it said

    def append(self, event: Event) -> None:
        """Add a line to ``events.jsonl``. A line that a kill cut short stays alone on its line and is skipped."""
        with open(self.folder / "events.jsonl", "ab+") as file:
            if file.tell():
                file.seek(-1, os.SEEK_END)
                if file.read(1) != b"\n":
                    file.write(b"\n")
            file.write(json.dumps(event.to_dict()).encode() + b"\n")

    def append_log(self, text: str) -> None:
        """Add lines to ``log.txt``."""
        with open(self.folder / "log.txt", "a", encoding="utf-8") as file:
            file.write(text + "\n")

    def log(self) -> str:
        """The text of ``log.txt``."""
        try:
            return (self.folder / "log.txt").read_text(encoding="utf-8", errors="replace")
        except OSError:
            return ""

    def events(self) -> list[dict[str, Any]]:
        """What training said, as one story: what a kill made it say twice is told once."""
        story: list[dict[str, Any]] = []
        classes = 0
        for event in self._lines():
            if not fits(event, classes):  # it is damaged
                continue
            if event["kind"] == "started":
                classes = len(event["classes"])
                here = (event["epoch"], event["step"])
                story = [e for e in story if e["kind"] != "finished" and _when(e) <= here]
            story.append(event)
        return story

    # What it saved

    def save(
        self,
        which: str,
        checkpoint: Checkpoint,
        weights: "Mapping[str, torch.Tensor]",
        resuming: Mapping[str, str | bytes] | None = None,
    ) -> None:
        """Write ``best/``, or ``last/`` with what ``pack_state`` made for resuming. Raises CheckpointError."""
        save_checkpoint(self.folder / which, weights, checkpoint, extra=resuming)

    def load_state(self) -> TrainingState | None:
        """What ``last/`` holds; None when no checkpoint was written yet. Raises CheckpointError when damaged."""
        folder = self.folder / "last"
        recover_folder(folder)
        if not folder.exists():
            return None
        return _unpack_state(folder)

    def has_checkpoint(self) -> bool:
        """Whether there is a best checkpoint to answer with."""
        recover_folder(self.folder / "best")
        return (self.folder / "best").exists()

    def _wish(self) -> Wish:
        return self._read("data.json", partial(parse, Wish))

    def _read(self, name: str, understand: Callable[[bytes], T]) -> T:
        try:
            return understand((self.folder / name).read_bytes())
        except (OSError, ValueError) as error:
            raise self.damaged(name) from error

    def damaged(self, name: str) -> FlowersError:
        """What to tell whoever meets a file of the run that holds what it cannot."""
        return FlowersError(f"The run {self.name} is damaged: its {name} cannot be read; start a new run.")

    def _lines(self, size: int = -1) -> Iterator[dict[str, Any]]:
        """The events among so many bytes of the file; among all of them where ``size`` is negative."""
        try:
            with open(self.folder / "events.jsonl", "rb") as file:
                lines = file.read(size).splitlines()
        except OSError:
            return
        yield from filter(None, map(read_event, lines))  # a line may be being written this instant


def _clean_lines(text: str) -> str:
    return "\n".join(map(clean_name, text.splitlines())).strip()


def list_runs(folder: Path | None = None) -> list[Run]:
    """The runs in a folder (default: the user's), the one worked on last first."""
    found = [Run(path.parent) for path in (folder or runs_dir()).glob("[!.]*/recipe.json")]
    return sorted(found, key=lambda run: run.last_worked_on, reverse=True)


def is_held(lock: Path) -> bool:
    """Whether a living process holds the FileLock of that file."""
    try:
        with open(lock, "rb") as file:
            return not _can_share(file)
    except OSError:  # nobody has ever held it, or we may not read it
        return False


def _can_share(file: BinaryIO) -> bool:
    """Whether nobody holds a lock on the file for himself alone, as FileLock does.

    Looked at through a shared lock, of which there may be many: readers never take each other for the trainer.
    """
    if fcntl:
        try:
            fcntl.flock(file, fcntl.LOCK_SH | fcntl.LOCK_NB)  # let go of when the file is closed
            return True
        except OSError as error:
            if error.errno in (errno.EAGAIN, errno.EACCES):  # network file systems say the latter
                return False
            if error.errno != errno.ENOSYS:  # a file system without such locks: FileLock has a way of its own there
                raise
    try:  # nor has Windows shared locks for Python: wait for longer than another reader holds it
        with FileLock(file.name).acquire(timeout=0.05, poll_interval=0.01):
            return True
    except Timeout:
        return False


def _is_private(source: str | None) -> bool:
    """Whether the photos are a visitor's own."""
    return source is not None and Path(source).is_relative_to(albums_dir())


def is_private_name(name: str) -> bool:
    """Whether a run of this name was made on a visitor's own photos; for where its files cannot be read."""
    return bool(re.search(r"-[0-9a-f]{12}(-\d+)?$", name))


def _listed(classes: list[str]) -> str:
    """``daisy, dandelion, rose +2``."""
    shown = [name if len(name) <= CALLED else f"{name[: CALLED - 1]}…" for name in map(clean_name, classes[:CALLED_BY])]
    more = len(classes) - len(shown)
    return ", ".join(shown) + (f" +{more}" if more else "")


def _at(moment: str) -> str:
    """``07:30`` of today, ``01-31 07:30`` of another day of the year, for ``2026-01-31-073053``."""
    begun, today = moment[:10], _today()
    clock = f"{moment[11:13]}:{moment[13:15]}"
    if begun == today:
        return clock
    return f"{begun[5:] if begun[:4] == today[:4] else begun} {clock}"


def _today() -> str:
    return time.strftime("%Y-%m-%d")


def _new_folder(preset: str, private: bool) -> Path:
    stem = f"{time.strftime('%Y-%m-%d-%H%M%S')}-{re.sub(r'[^A-Za-z0-9-]+', '-', preset)}"
    if private:  # whoever has its name may open it: nobody shall guess that
        stem += f"-{secrets.token_hex(6)}"
    for suffix in ("", *(f"-{n}" for n in range(2, 100))):
        if not (folder := runs_dir() / (stem + suffix)).exists():
            return folder
    raise FlowersError("A hundred runs were started in one second: wait a moment and try again.")


def _when(event: Mapping[str, Any]) -> tuple[int, int]:
    """(epochs, steps) done when the event was told."""
    if event["kind"] in ("epoch", "samples"):
        return event["epoch"] + 1, 0
    if event["kind"] in ("validating", "probing", "folded"):
        return event["epoch"] + 1, -1  # told only on the way to the epoch's end
    return event["epoch"], event["step"]


# Of ``Learner.state``, by name, besides an optimizer's: what learns, what it began with, and its average.
WEIGHTS = ("net", "start", "learned")


def pack_state(
    position: Position, digest: str, machine: dict[str, Any], learner: dict[str, Any]
) -> dict[str, str | bytes]:
    """``training.json`` and ``training.safetensors``: what resuming needs beyond the weights, without a pickle.

    ``learner`` is what ``Learner.state`` gives: an optimizer's state, and other weights by name.
    """
    import torch
    from safetensors.torch import save

    state = learner["optimizer"]
    tensors, scalars = {}, {}
    for parameter, values in state["state"].items():
        for name, value in values.items():
            if isinstance(value, torch.Tensor):
                tensors[f"optimizer.{parameter}.{name}"] = value
            elif value is not None:
                scalars[f"{parameter}.{name}"] = value
    for kind in WEIGHTS:
        tensors |= {f"{kind}.{name}": value for name, value in learner.get(kind, {}).items()}
    described = {
        "position": asdict(position),
        "digest": digest,
        "machine": machine,
        "averaged": learner.get("averaged"),
        "param_groups": state["param_groups"],
        "scalars": scalars,
    }
    on_cpu = {name: value.detach().cpu().contiguous() for name, value in tensors.items()}
    return {"training.json": json.dumps(described), "training.safetensors": save(on_cpu)}


def _unpack_state(folder: Path) -> TrainingState:
    from safetensors import SafetensorError
    from safetensors.torch import load_file

    from flowers.errors import CheckpointError

    try:
        described = check(Saved, (folder / "training.json").read_bytes())
        optimizer: dict[int, dict[str, Any]] = {}
        for key, value in described["scalars"].items():
            parameter, name = key.split(".", 1)
            optimizer.setdefault(int(parameter), {})[name] = value
        weights: dict[str, dict[str, Any]] = {}
        for key, value in load_file(folder / "training.safetensors").items():
            kind, name = key.split(".", 1)
            if kind in WEIGHTS:
                weights.setdefault(kind, {})[name] = value
            else:
                parameter, name = name.split(".", 1)
                optimizer.setdefault(int(parameter), {})[name] = value
        learner = {"optimizer": {"state": optimizer, "param_groups": described["param_groups"]}}
        return TrainingState(
            position=Position(**described["position"]),
            digest=described["digest"],
            machine=described["machine"],
            weights=load_weights(folder),
            learner=learner | weights | ({"averaged": described["averaged"]} if "net" in weights else {}),
        )
    except (OSError, ValueError, KeyError, TypeError, SafetensorError) as error:
        raise CheckpointError(
            f"The last checkpoint of the run {folder.parent.name} is damaged, or of another version: start a new run "
            f"from its best with init={folder.parent}."
        ) from error
