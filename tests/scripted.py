"""Runs whose story a test tells. A run folder is all that a page knows of a training, so nothing needs to be trained.

``ScriptedRun`` tells the story event by event, when the test says so; ``finished_run`` tells a whole one at once.
"""

import contextlib
import os
import shutil
from pathlib import Path

from flowers.data.sources import CLASSES
from flowers.paths import BUNDLED_CHECKPOINTS
from flowers.recipe import Recipe
from flowers.training import queue
from flowers.training.events import Epoch, Event, Finished, Prediction, Samples, Started, Step, Validating
from flowers.training.log import log_lines
from flowers.training.run import Run

STEPS = 8  # in an epoch
LEARNED, HELD_BACK = 240, 60  # photos, as of the garden
EPOCH_SECONDS = 60.0
SAMPLES = [f"{name}/{name}-0001.jpg" for name in CLASSES]  # photos of the garden


class ScriptedRun:
    """A run at work, without work: it holds what a training process holds, and writes what that writes."""

    def __init__(self, run: Run) -> None:
        self.run = run
        self.epochs = run.recipe.epochs
        self.epoch_now = self.step_now = 0
        self.seconds = 0.0
        self.best: tuple[int, float] | None = None  # epoch, accuracy
        self._held = contextlib.ExitStack()
        self._arrived = False

    def arrive(self) -> "ScriptedRun":
        """Be there, as a process that waits for its turn: or the run would read as interrupted after a minute."""
        self._held.enter_context(self.run.lock())
        self._arrived = True
        return self

    def begin(self) -> "ScriptedRun":
        """Take the turn, once the run before has let go of it, and start or go on; returns itself."""
        if not self._arrived:
            self.arrive()
        self._held.enter_context(queue.turn(self.run, self._give_up))
        self.run.set_status("running")
        predicted = [EPOCH_SECONDS] * self.epochs
        self._tell(
            Started(
                self.epoch_now, self.step_now, self.epochs, STEPS, LEARNED, HELD_BACK, list(CLASSES), "cpu", "float32",
                "On the CPU.", self.seconds, predicted=predicted, checking=10.0,
            )
        )  # fmt: skip
        return self

    def _give_up(self) -> bool:
        assert not self.run.stop_requested(), "it was asked to stop before it began"
        return False

    def say(self, message: str) -> None:
        """Say what it waits for, such as the photos."""
        self.run.set_status("running", message)

    def step(self, count: int = 1) -> None:
        """Learn some batches of the present epoch."""
        for _ in range(count):
            self.step_now += 1
            self.seconds += (EPOCH_SECONDS - 10) / STEPS
            loss = 1.5 - (self.epoch_now + self.step_now / STEPS) / self.epochs
            self._tell(Step(self.epoch_now, self.step_now, loss, 0.5, 0.01, self.seconds))

    def validate(self, done: int) -> None:
        """Look at so many of the photos held back."""
        self._tell(Validating(self.epoch_now, done, HELD_BACK, self.seconds))

    def epoch(self, accuracy: float) -> None:
        """End the present epoch with this accuracy on the photos held back, 0..1."""
        number = self.epoch_now
        best = self.best is None or accuracy > self.best[1]
        if best:
            self.best = number, accuracy
        self.epoch_now, self.step_now, self.seconds = number + 1, 0, EPOCH_SECONDS * (number + 1)
        self._tell(
            Epoch(
                number, 0.01, 1.5 - accuracy, accuracy / 2, 1.2 - accuracy, accuracy, best, self.seconds,
                _confusion(accuracy),
            )
        )  # fmt: skip
        self._tell(Samples(number, _answers(number)))

    def save(self) -> None:
        """Keep a checkpoint: the bundled ResNet18, which answers as the classes say."""
        best = self.run.folder / "best"
        if not best.exists():
            shutil.copytree(BUNDLED_CHECKPOINTS / "flowers-resnet18", best, copy_function=_link)

    def finish(self) -> None:
        """End as complete."""
        self._end("done", stopped=False)

    def stop(self) -> None:
        """End as a process does that was asked to stop."""
        self._end("stopped", stopped=True)

    def fail(self, message: str) -> None:
        """End with a sentence that says what was wrong."""
        self.run.set_status("failed", message)
        self.leave()

    def leave(self) -> None:
        """Let go of everything, whatever the state: for the end of a test."""
        self._held.close()
        self._arrived = False

    def _end(self, state: str, *, stopped: bool) -> None:
        best_epoch, accuracy = self.best or (None, None)
        self._tell(Finished(stopped, self.epoch_now, best_epoch, accuracy, self.seconds))
        self.run.set_status(state)
        self.leave()

    def _tell(self, event: Event) -> None:
        self.run.append(event)
        if lines := log_lines(event, self.epochs):
            self.run.append_log(lines)


def finished_run(
    folder: Path, *, accuracy: float = 0.75, epochs: int = 3, source: str = "garden", usable: bool = False, **asked
) -> Run:
    """A finished run whose accuracy rose to ``accuracy``; ``usable`` gives it the bundled checkpoint."""
    recipe = asked.pop("recipe", Recipe(epochs=epochs))
    script = ScriptedRun(Run.create(folder, recipe, source, asked.pop("preset", "quick"), **asked)).begin()
    for epoch in range(epochs):
        script.epoch(accuracy * (epoch + 1) / epochs)
    if usable:
        script.save()
    script.finish()
    return script.run


def _confusion(accuracy: float) -> list[list[int]]:
    """Twelve photos a class; those that are wrong are taken for the next class."""
    right = round(12 * accuracy)
    return [[right if a == b else 12 - right if b == (a + 1) % 5 else 0 for b in range(5)] for a in range(5)]


def _answers(epoch: int) -> list[Prediction]:
    """One photo more is right after every epoch."""
    confidence = min(0.99, 0.4 + 0.1 * epoch)
    return [Prediction(photo, n, n if n <= epoch else (n + 1) % 5, confidence) for n, photo in enumerate(SAMPLES)]


def _link(source: str, target: str) -> None:
    try:
        os.link(source, target)
    except OSError:  # another file system
        shutil.copy2(source, target)
