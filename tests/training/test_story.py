"""What a run's events amount to, and what a page may ask at any moment of a run."""

import json
import os
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from flowers.recipe import Recipe
from flowers.training import story as module
from flowers.training.events import Epoch, Finished, Prediction, Probing, Samples, Started, Step, Validating
from flowers.training.run import Run
from flowers.training.story import MAX_STEP_POINTS, Story, read_story, tell

START = Started(
    0, 0, 3, 4, 30, 10, ["daisy", "rose"], "cpu", "float32", "On the CPU.", 0.0, "In memory.", predicted=[6.0, 6.0, 6.0]
)


def a_training(epochs: int = 3, steps: int = 4) -> list:
    """The events of an undisturbed training, one second a step and two for each validation."""
    clock, events = 0.0, [replace(START, epochs=epochs, steps=steps, predicted=[steps + 2.0] * epochs, checking=2.0)]
    for epoch in range(epochs):
        for step in range(1, steps + 1):
            clock += 1
            events.append(Step(epoch, step, 2.0 - epoch - step / 10, 0.5, 0.01 / (epoch + 1), clock))
        events += [Validating(epoch, 5, 10, clock + 1), Validating(epoch, 10, 10, clock + 2)]
        clock += 2
        accuracy = [0.5, 0.8, 0.6][epoch % 3]
        best = epoch in (0, 1)
        events.append(Epoch(epoch, 0.01, 1.5 - epoch / 2, 0.4, 1.6 - epoch / 2, accuracy, best, clock))
        events.append(Samples(epoch, [Prediction("daisy/1.jpg", 0, epoch % 2, 0.9)]))
    return [*events, Finished(False, epochs, 1, 0.8, clock)]


def as_lines(events) -> list[dict]:
    return [event.to_dict() for event in events]


def points(story: Story, name: str, series: str) -> list[tuple[float, float]]:
    return [(p.x, p.y) for p in getattr(story, name) if p.series == series]


def test_nothing_told_is_an_empty_story():
    assert tell([]) == Story()
    assert Story().progress == 0


def test_a_complete_training():
    story = tell(as_lines(a_training()))
    assert story.finished
    assert (story.epoch, story.step, story.progress) == (3, 0, 1)
    assert (story.best_epoch, story.best_val_accuracy) == (1, 0.8)
    assert (story.seconds, story.seconds_left) == (18, 0)
    assert story.validating is None
    assert story.machine == "On the CPU."
    assert story.classes == ["daisy", "rose"]
    assert story.samples == [{"photo": "daisy/1.jpg", "label": 0, "predicted": 0, "confidence": 0.9}]
    assert points(story, "loss", "training") == [(1, 1.5), (2, 1.0), (3, 0.5)]
    assert points(story, "loss", "validation") == [(1, 1.6), (2, 1.1), (3, pytest.approx(0.6))]
    assert points(story, "accuracy", "validation") == [(1, 0.5), (2, 0.8), (3, 0.6)]
    assert [x for x, _ in points(story, "loss", "batches")] == [i / 4 for i in range(1, 13)]


def test_every_moment_of_a_training_can_be_told():
    events = a_training()
    progress, left = [], []
    for end in range(1, len(events) + 1):
        story = tell(as_lines(events[:end]))
        assert json.loads(json.dumps(story.to_dict()))["progress"] == story.progress
        assert 0 <= story.progress <= 1
        assert story.finished == (end == len(events))
        progress.append(story.progress)
        assert story.predicted_seconds == 18
        left.append((story.seconds_left, 18 - story.seconds))
    assert progress == sorted(progress)
    assert all(told == pytest.approx(true) for told, true in left)


def test_while_it_validates_it_says_so():
    story = tell(as_lines(a_training()[:6]))
    assert story.validating == (5, 10)
    assert (story.epoch, story.step) == (0, 4)
    assert story.learning_rate == 0.01


def a_training_that_probes() -> list:
    """One epoch that only looks, then two, the second of four times the first's pixels. Twice as slow as predicted."""
    events = [replace(START, train_photos=40, predicted=[1.0, 2.0, 8.0])]
    events += [Probing(0, done, 40, done / 20) for done in (10, 20, 30, 40)]
    clock = 2.0
    events += [Validating(0, 10, 10, clock), Epoch(0, 0.0, 1.0, 0.8, 0.9, 0.8, True, clock), Samples(0, [])]
    for epoch, pace in ((1, 1.0), (2, 4.0)):
        for step in range(1, 5):
            clock += pace
            events.append(Step(epoch, step, 1.0, 0.5, 0.01, clock))
        events += [Validating(epoch, 10, 10, clock), Epoch(epoch, 0.01, 1.0, 0.5, 0.9, 0.7, False, clock)]
    return [*events, Finished(False, 3, 0, 0.8, clock)]


def test_while_it_probes_it_says_so():
    story = tell(as_lines(a_training_that_probes()[:3]))
    assert story.probing == (20, 40)
    assert (story.epoch, story.step) == (0, 2)
    assert story.learning_rate is None
    story = tell(as_lines(a_training_that_probes()[:7]))
    assert story.probing is None
    assert (story.epoch, story.step, story.learning_rate) == (1, 0, 0.0)


def test_epochs_of_unequal_length_are_told_apart():
    """What is left follows from the prediction's proportions and this machine's own pace."""
    events = a_training_that_probes()
    assert tell(as_lines(events[:1])).seconds_left == 11, "what was predicted, before anything is done"
    for end in range(2, len(events) + 1):
        story = tell(as_lines(events[:end]))
        assert story.predicted_seconds == 11
        assert story.seconds_left == pytest.approx(22 - story.seconds, abs=0.5)


def test_progress_never_goes_back_while_it_probes():
    events = as_lines(a_training_that_probes())
    progress = [tell(events[:end]).progress for end in range(1, len(events) + 1)]
    assert progress == sorted(progress)
    assert progress[-1] == 1


def test_getting_ready_does_not_count_as_slowness():
    """Half a minute of decoding before the first step says nothing of the pace of steps."""
    start = replace(START, seconds=30.0)
    story = tell(as_lines([start, *(Step(0, n, 1.0, 0.5, 0.01, 30.0 + 1.5 * n) for n in range(1, 5))]))
    assert story.seconds == 36
    assert story.seconds_left == pytest.approx(12)


def test_a_resumed_run_is_one_story_and_its_rate_is_that_of_now():
    """Ten seconds a step before, one and a half since, as predicted: what is left is told by the latter."""
    slow = [START, *(Step(0, n, 1.0, 0.5, 0.01, 10.0 * n) for n in range(1, 4))]
    again = replace(START, step=3, seconds=30.0)
    story = tell(as_lines([*slow, again]))
    assert (story.epoch, story.step, story.seconds) == (0, 3, 30)
    assert story.seconds_left == 13.5, "nothing done since: as predicted for the rest"
    fast = [Step(0, 4, 1.0, 0.5, 0.01, 33.0), Step(1, 1, 1.0, 0.5, 0.01, 36.0)]
    story = tell(as_lines([*slow, again, *fast]))
    assert (story.epoch, story.step, story.seconds) == (1, 1, 36)
    assert story.seconds_left == pytest.approx(2 * 10.5), "since the start each step took twice what was predicted"


def test_a_run_of_an_older_version_told_no_prediction():
    events = as_lines(a_training())
    del events[0]["predicted"], events[0]["store"]
    assert tell(events[:1]).predicted_seconds is None
    assert tell(events[:1]).seconds_left is None
    story = tell(events[:8])
    assert story.predicted_seconds is None
    assert story.seconds_left == pytest.approx(12)


def test_a_start_in_the_midst_of_probing_tells_it_once(tmp_path):
    """Killed while it probed: the features are computed again, from the first photo."""
    run = Run.create(tmp_path / "run", Recipe(), None)
    for event in (*a_training_that_probes()[:3], START, Probing(0, 10, 40, 0.5)):
        run.append(event)
    assert [event["kind"] for event in run.events()] == ["started", "started", "probing"]
    assert read_story(run).probing == (10, 40)


def test_a_stopped_run_is_not_finished():
    story = tell(as_lines([*a_training()[:4], Finished(True, 0, None, None, 3.0)]))
    assert not story.finished
    assert story.best_epoch is None
    assert (story.epoch, story.step) == (0, 3)


def test_how_a_run_ended_is_told():
    assert tell(as_lines(a_training())).ending == "All 3 epochs are done"
    *events, _ = a_training(epochs=9)
    end = next(i for i, event in enumerate(events) if isinstance(event, Samples) and event.epoch == 3)
    story = tell(as_lines([*events[: end + 1], Finished(False, 4, 1, 0.8, 24.0)]))
    assert story.finished
    assert (story.progress, story.seconds_left) == (1, 0)
    assert story.ending == "Stopped early at epoch 4 of 9: no improvement for 2 epochs"


@given(st.integers(1, 3000), st.integers(1, 100))
def test_the_curve_of_batches_is_bounded_and_keeps_its_mean(count, steps):
    events = [{"epoch": n // steps, "step": n % steps + 1, "loss": float(n % 7)} for n in range(count)]
    curve = module._step_points(events, steps)
    assert len(curve) <= min(count, MAX_STEP_POINTS)
    assert [p.x for p in curve] == sorted({p.x for p in curve})
    assert curve[-1].x == pytest.approx(count / steps)
    assert 0 <= min(p.y for p in curve) <= max(p.y for p in curve) <= 6
    if count <= MAX_STEP_POINTS:
        assert [p.y for p in curve] == [e["loss"] for e in events]


def test_a_run_is_read_again_only_when_it_has_grown(tmp_path, monkeypatch):
    run = Run.create(tmp_path / "run", Recipe(), None)
    assert read_story(run) == Story()
    run.append(START)
    first = read_story(run)
    assert first.epochs == 3
    with monkeypatch.context() as patch:
        patch.setattr(Run, "events", lambda self: pytest.fail("read again"))
        assert read_story(run) == first
    run.append(Step(0, 1, 1.0, 0.5, 0.01, 1.0))
    assert read_story(run).step == 1
    os.remove(run.folder / "events.jsonl")
    assert read_story(run) == Story()


def test_what_was_seen_of_the_photos_is_kept_for_every_epoch():
    events = a_training()
    events = [replace(e, confusion=[[3, e.epoch], [0, 4]]) if isinstance(e, Epoch) else e for e in events]
    story = tell(as_lines(events))
    assert [(look.epoch, look.accuracy, look.confusion) for look in story.past] == [
        (0, 0.5, [[3, 0], [0, 4]]), (1, 0.8, [[3, 1], [0, 4]]), (2, 0.6, [[3, 2], [0, 4]]),
    ]  # fmt: skip
    assert [look.samples[0]["predicted"] for look in story.past] == [0, 1, 0]
    assert story.confusion == [[3, 2], [0, 4]]
    assert story.photos == 40
    assert "past" not in story.to_dict()


def test_runs_of_before_confusion_was_told_are_still_read():
    lines = as_lines(a_training())
    for line in lines:
        line.pop("confusion", None)
    story = tell(lines)
    assert story.confusion == []
    assert len(story.past) == 3
