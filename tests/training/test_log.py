"""The report's log format."""

from dataclasses import replace

import pytest

from flowers.training.events import Epoch, Finished, Probing, Samples, Started, Step, Validating
from flowers.training.log import duration, log_lines

PREDICTED = [30.0, *[48.0] * 24]  # seconds an epoch: 19m 42s in all
STARTED = Started(
    0, 0, 25, 72, 2278, 570, ["daisy", "rose"], "cpu", "float32", "Training on the CPU.", 0.0, "Kept in memory.",
    predicted=PREDICTED,
)  # fmt: skip


def test_an_epoch_reads_as_in_the_report():
    event = Epoch(22, 1.0000000000000002e-06, 0.45678, 0.83333, 0.25, 0.91234, True, 100.0)
    assert log_lines(event, 25) == (
        "Epoch 22/24\n----------\nLearning Rate: 1e-06\ntrain Loss: 0.4568 Acc: 0.8333\nval Loss: 0.2500 Acc: 0.9123\n"
    )


@pytest.mark.parametrize(("stopped", "word"), [(False, "complete"), (True, "stopped")])
def test_the_end_reads_as_in_the_report(stopped, word):
    lines = log_lines(Finished(stopped, 25, 24, 0.92456, 1218.4), 25)
    assert lines == f"Training {word} in 20m 18s\nBest val Acc: 0.9246"


def test_an_early_end_says_why():
    lines = log_lines(Finished(False, 9, 5, 0.92456, 1218.4), 25)
    assert lines == ("Training stopped early, with no improvement for 3 epochs, in 20m 18s\nBest val Acc: 0.9246")


def test_without_an_epoch_there_is_no_best():
    assert log_lines(Finished(True, 0, None, None, 3), 25).endswith("Best val Acc: none yet")


def test_the_start_says_what_begins_and_how_long_it_should_take():
    assert log_lines(STARTED, 25) == (
        "Training: 2278 photos to learn from, 570 held back, 2 classes. Training on the CPU. Kept in memory.\n"
        "This should take 19m 42s.\n"
    )


def test_going_on_counts_only_the_time_to_come():
    lines = log_lines(replace(STARTED, epoch=1, seconds=30.0), 25).splitlines()
    assert lines[0].startswith("Going on: ")
    assert lines[1] == "This should take 19m 12s."
    # In the midst of an epoch: that epoch counts for the part that is left.
    lines = log_lines(replace(STARTED, epoch=24, step=36), 25).splitlines()
    assert lines[0].startswith("Going on: ")
    assert lines[1] == "This should take 0m 24s."


def test_photos_that_were_left_out_are_listed():
    lines = log_lines(replace(STARTED, left_out=["rose/a.jpg is empty.", "rose/b.jpg is no photo."]), 25).splitlines()
    assert lines[2:] == ["Left out: rose/a.jpg is empty.", "Left out: rose/b.jpg is no photo."]


@pytest.mark.parametrize("event", [Step(0, 1, 1, 1, 1, 1), Probing(0, 1, 2, 1), Validating(0, 1, 2, 1), Samples(0, [])])
def test_the_rest_only_moves_the_bar(event):
    assert log_lines(event, 25) is None


@pytest.mark.parametrize(
    ("seconds", "said"),
    [(0, "0m 0s"), (59.4, "0m 59s"), (59.6, "1m 0s"), (1218, "20m 18s"), (3599.7, "1h 0m 0s"), (90061, "25h 1m 1s")],
)
def test_durations(seconds, said):
    assert duration(seconds) == said
