"""Start, watch and stop a training process. The page that started it may close, reload or crash: the run goes on."""

import contextlib
import logging
import os
import shutil
import threading
import time
import traceback
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Any

from filelock import FileLock, Timeout

from flowers.data.dataset import PhotoDataset, Progress, open_dataset
from flowers.errors import DataError, FlowersError, UsageError
from flowers.paths import runs_dir
from flowers.processes import module
from flowers.recipe import Recipe
from flowers.training import queue, warm
from flowers.training.events import Event
from flowers.training.log import log_lines
from flowers.training.run import IMPORTED, Run
from flowers.training.story import PLACES, read_story, seconds_left

HEARTBEAT_SECONDS = 5
LEAVE_SECONDS = 3.0  # for runs without a process to leave the line when the studio ends
MAKES_WAY = "Short trainings go first: this one goes on by itself after them."
CONCLUDING = "All epochs are done; finding out how sure its answers may be, and what it does not know."
# Torch asks Linux for memory in large pages then, which makes a step 5 to 9 % shorter for a tenth more memory. It looks
# once, before its first tensor.
HUGE_PAGES = "THP_MEM_ALLOC_ENABLE"

logger = logging.getLogger(__name__)


# What is done with a run whose epochs are all done: gets the run, its photos and progress(done, total); returns a
# sentence for the status, or nothing.
Conclude = Callable[[Run, PhotoDataset, Progress], str]


def perform(
    run: Run,
    stop: Callable[[], bool] = lambda: False,
    progress: Progress | None = None,
    conclude: Conclude = lambda *_: "",
    in_line: bool = False,
) -> Iterator[Event]:
    """Train (or go on training) ``run`` in this process: the events pass through, the folder is kept up to date.

    ``in_line``: once the runs that were asked for earlier have ended; else at once.

    ``progress(done, total)`` is called while the photos are fetched, read and decoded, before the first event.
    ``conclude`` is called after the last event, unless the run was stopped; a stop asked for meanwhile ends it, and
    resuming the run calls it again.

    Raises FlowersError when the work cannot be done, after having written why into the run's status.
    """
    os.environ.setdefault(HUGE_PAGES, "1")
    with run.lock():
        run.tidy()
        if run.status().state != "queued":  # to stop a queued run is to stop this very start
            run.clear_stop()

        def stopping() -> bool:
            return stop() or run.stop_requested()

        try:
            with queue.turn(run, stopping) if in_line else queue.at_once() as turn, _Heartbeat(run) as heartbeat:

                def reading(done: int, total: int | None) -> None:
                    if stopping():
                        raise KeyboardInterrupt
                    heartbeat.tell_progress(done, total)
                    if progress:
                        progress(done, total)

                dataset = _open_photos(run.recipe, run.source, reading)
                _check_continuation(run, dataset)
                finished = yield from _record(run, dataset, stopping, reading, heartbeat, turn)

                def concluding(_done: int, _total: int | None) -> None:
                    if stopping():
                        raise KeyboardInterrupt

                heartbeat.tell(CONCLUDING if finished else "")
                message = conclude(run, dataset, concluding) if finished else ""
        except BaseException as error:
            state, message = _explain(error, run)
            with contextlib.suppress(OSError):  # on a full disk the status cannot be told either
                run.set_status(state, message)
            if isinstance(error, FlowersError) or not isinstance(error, Exception):
                raise
            raise FlowersError(message) from error
        run.set_status("done" if finished else "stopped", message)


def join(recipe: Recipe) -> None:
    """Meet the other processes of the team: wait until all are there. Raises UsageError for an absent device."""
    os.environ.setdefault(HUGE_PAGES, "1")
    from flowers.training.machine import pick_device
    from flowers.training.team import Team

    Team(pick_device(recipe.device))


def assist(recipe: Recipe, source: str | None, stop: Callable[[], bool] = lambda: False) -> None:
    """Train as one of a team whose main process is in ``perform``: that one tells and writes everything.

    Raises FlowersError when the work cannot be done, or another process of the team has ended.
    """
    from flowers.training.train import train

    try:
        for _ in train(recipe, _open_photos(recipe, source), stop=stop):
            pass
    except FlowersError:
        raise
    except Exception as error:
        reason = next(iter(str(error).splitlines()), type(error).__name__)
        raise FlowersError(f"A process of the team cannot go on ({reason}): see what the main one says.") from error


def start(
    recipe: Recipe,
    source: str | None,
    preset: str,
    visitor: str = "",
    continues: str | None = None,
    seconds: float | None = None,
) -> Run:
    """Create a run, and start a process that trains it when its turn has come; the arguments as ``Run.create``.

    Raises UsageError when too many are in line.
    """
    with _one_at_a_time():
        queue.check_room(visitor)
        run = Run.create(None, recipe, source, preset, visitor, continues, seconds)
        try:
            queue.join(run, seconds)
        except OSError:  # a full disk: nothing would ever start it
            shutil.rmtree(run.folder, ignore_errors=True)
            raise
        _spawn(run)
        return run


def resume(run: Run) -> None:
    """Start a process that goes on with ``run`` when its turn has come.

    Raises UsageError when it is complete, at work or in line, and when too many are in line.
    """
    with _one_at_a_time():
        now = run.status()
        if now.active:
            raise UsageError(f"The run {run.title} is at work or in line already: watch it, or stop it first.")
        if now.state == "done":
            raise UsageError(f"The run {run.title} is complete: train more epochs, which makes a new run from it.")
        queue.check_room(run.visitor)
        run.clear_stop()
        run.set_status("queued")
        left = read_story(run).seconds_left
        queue.join(run, run.expected_seconds if left is None else left)
        _spawn(run)


def prolong(run: Run, epochs: int, visitor: str = "") -> Run:
    """Start a new run of so many ``epochs`` from the best weights of ``run``, on the same photos.

    It is the recipe once more, so that its learning rate begins high again, with the last layer as it is and pictures
    of the last size. Not the same run resumed with more epochs: its schedule would have been another from the first
    epoch on, and its recipe would no longer tell how its weights came about.

    Raises UsageError when ``run`` has no checkpoint, or one that learned from all its photos, for epochs out of range,
    and as ``start``.
    """
    from flowers.models.checkpoint import read_checkpoint

    if not run.has_checkpoint():
        raise UsageError(f"The run {run.title} has no checkpoint yet to go on from: resume it, or start a new one.")
    if run.preset == IMPORTED:
        raise UsageError(f"{run.title} came without its photos: start a new run with it as the starting weights.")
    if read_checkpoint(run.folder / "best").folds:
        raise UsageError(
            f"The run {run.title} has learned all that its last layer can from these photos: add some, or start a new "
            "run with another preset."
        )
    recipe = run.recipe
    more = recipe.replace(init=run.name, epochs=epochs, probe="off", first_size=recipe.last_size)
    story = read_story(run)
    seconds = story.seconds / story.epoch * epochs if story.epoch else None
    return start(more, run.source, run.preset, visitor, continues=run.name, seconds=seconds)


def stop_all_started_here() -> None:
    """Ask the processes that this one started to stop after their current batch; their runs can be resumed.

    Those that have no process yet leave the line now, while there is somebody to hear of it.
    """
    active = [run for run in _started if run.status().active]
    for run in active:
        run.request_stop()
    until = time.monotonic() + LEAVE_SECONDS
    while time.monotonic() < until and any(run.is_queued() and not run.is_locked() for run in active):
        time.sleep(0.05)


def stand_in_line_again() -> None:
    """Wait for runs whose studio ended, however that was, while they stood in line without a process."""
    with contextlib.suppress(UsageError, OSError), _one_at_a_time():
        for run in queue.abandoned():
            run.set_status("queued")
            _spawn(run)


_started: list[Run] = []


def _spawn(run: Run) -> None:
    _started.append(run)
    command, output = module("flowers", "resume", run.folder, "--background"), run.folder / "process.txt"
    output.touch()
    waiting = contextlib.ExitStack()
    waiting.enter_context(queue.waited_for(run))
    # Not here: what it is forked from may still be loading, and what is not forked has to be waited for.
    threading.Thread(target=_launch, args=[run, command, output, waiting], daemon=True).start()


def _launch(run: Run, command: dict[str, Any], output: Path, waiting: AbstractContextManager) -> None:
    try:
        with waiting:
            if queue.come_near(run):
                warm.launch(command, output)
    except OSError as error:
        run.set_status("failed", f"Its process could not be started ({error.strerror or error}): resume it later.")


@contextlib.contextmanager
def _one_at_a_time() -> Iterator[None]:
    """Two people may press Start in the same instant: one of them is the first in line."""
    folder = runs_dir()
    folder.mkdir(parents=True, exist_ok=True)
    try:
        with FileLock(folder / ".start.lock", timeout=10):
            yield
    except Timeout:
        raise UsageError("Somebody else is starting a training right now: wait a moment and try again.") from None


def _check_continuation(run: Run, dataset: PhotoDataset) -> None:
    """Raises DataError where a run that prolongs another would be checked on photos which that one has learnt from."""
    from flowers.models.checkpoint import find_checkpoint

    if run.continues and not run.has_checkpoint():
        before = find_checkpoint(run.recipe.init).photos.get("digest")
        if before != dataset.digest:
            raise DataError(
                f"The photos are no longer those of the run {run.continues}, so what is held back is not either: "
                "start a new run."
            )


def _open_photos(recipe: Recipe, source: str | None, progress: Progress | None = None) -> PhotoDataset:
    """The photo set; in a team the main process goes first, and the others find what it fetched."""
    if not in_team():
        return open_dataset(source, progress)
    from flowers.training.machine import pick_device
    from flowers.training.team import Team

    with Team(pick_device(recipe.device)).main_first():
        return open_dataset(source, progress)


def _record(
    run: Run,
    dataset: PhotoDataset,
    stop: Callable[[], bool],
    progress: Progress,
    heartbeat: "_Heartbeat",
    turn: queue.Kept,
) -> Iterator[Event]:
    """Train, writing every event into the run's files; returns whether all epochs were done.

    After every event it may make way for others. The time until it goes on is none of the training's.
    """
    from flowers.training.train import Clock, train

    recipe, clock = run.recipe, Clock()
    epochs, finished = recipe.epochs, False
    for event in train(recipe, dataset, run=run, stop=stop, progress=progress, clock=clock):
        heartbeat.tell_event(event)
        if event.kind == "started":
            turn.expect(heartbeat.seconds)
            epochs = event.epochs
        run.append(event)
        if lines := log_lines(event, epochs):
            run.append_log(lines)
        if event.kind == "finished":
            finished = not event.stopped
        yield event
        with clock.stopped():
            turn.make_way(heartbeat.tell_place, heartbeat.seconds)
    return finished


def _explain(error: BaseException, run: Run) -> tuple[str, str]:
    """State and message of a run that an error ended."""
    if not isinstance(error, Exception):  # Ctrl-C, or whoever read the events went away
        return "stopped", ""
    if isinstance(error, FlowersError):
        return "failed", str(error)
    if isinstance(error, MemoryError) or "out of memory" in str(error):
        return "failed", "This machine ran out of memory: choose a smaller batch size and resume."
    if isinstance(error, OSError):
        return (
            "failed",
            f"The run folder could not be written ({error.strerror or error}): free some disk space and resume.",
        )
    with contextlib.suppress(OSError), open(run.folder / "process.txt", "a", encoding="utf-8") as file:
        traceback.print_exception(error, file=file)
    return (
        "failed",
        f"Training failed unexpectedly: the details are in {run.folder / 'process.txt'}; resume to try again.",
    )


def in_team() -> bool:
    """Whether ``torchrun`` or ``accelerate launch`` started several processes to train together."""
    return int(os.environ.get("WORLD_SIZE", 1)) > 1


def is_main() -> bool:
    """Whether this process is alone, or the one of its team that writes the run folder and talks."""
    return not in_team() or os.environ.get("RANK", "0") == "0"


class _Heartbeat:
    """Rewrites the status every few seconds, so that a reader knows that the process lives, and what it waits for."""

    def __init__(self, run: Run) -> None:
        self.run = run
        self.message = ""
        self.place = 0
        self.seconds: float | None = None
        self.started: dict[str, Any] | None = None
        self.told = 0.0
        self.over = threading.Event()
        self.thread = threading.Thread(target=self._beat_until_over, daemon=True)

    def __enter__(self) -> "_Heartbeat":
        self.run.set_status("running")
        self.thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.over.set()
        self.thread.join()

    def tell(self, message: str) -> None:
        """Change what the status says, at once."""
        if (message, 0) != (self.message, self.place):
            self.message, self.place = message, 0
            self._beat()

    def tell_event(self, event: Event) -> None:
        """Know how long the run still takes. Its photos are ready, and it waits for nobody."""
        if event.kind == "started":
            self.started = event.to_dict()
        if event.kind in PLACES:
            self.seconds = seconds_left(self.started, event.to_dict())
        self.tell("")

    def tell_place(self, place: int, seconds: float | None) -> None:
        """Say that the run stands in line again, and for how long."""
        self.message, self.place, self.seconds = MAKES_WAY, place, seconds
        self._beat()

    def tell_progress(self, done: int, total: int | None) -> None:
        """Say how far the photos are, at most once a second."""
        self.message = f"Getting the photos ready: {done / total:.0%}." if total else "Getting the photos ready."
        if time.monotonic() - self.told > 1:
            self.told = time.monotonic()
            self._beat()

    def _beat_until_over(self) -> None:
        while not self.over.wait(HEARTBEAT_SECONDS):
            self._beat()

    def _beat(self) -> None:
        try:
            self.run.set_status("running", self.message, self.place, self.seconds)
        except OSError:  # a full disk: training itself will say so
            logger.warning("the heartbeat of %s could not be written", self.run.name)
