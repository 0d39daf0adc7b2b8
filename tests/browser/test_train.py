"""The Train tab: a whole training in the browser, watched by two visitors."""

import re

import pytest
from playwright.sync_api import Page, expect

from flowers.recipe import PRESET_HELP, PRESETS
from flowers.training.run import Run, list_runs


@pytest.fixture
def train_page(open_page):
    """``train_page()`` opens the studio at its Train tab, as another visitor."""

    def open_() -> Page:
        page = open_page()
        show_train(page)
        return page

    return open_


def show_train(page) -> None:
    page.get_by_role("tab", name="Train").click()
    expect(page.locator("#train-start")).to_be_visible()


def set_knob(page, knob: str, value: float) -> None:
    field = page.locator(f"#knob-{knob} input").first
    field.fill(str(value))
    field.blur()


def choose(page, dropdown: str, option: str) -> None:
    page.locator(f"#{dropdown} input").click()
    page.get_by_role("option", name=option).first.click()


def headline(page):
    return page.locator("#train-status h2")


def message(page):
    return page.locator("#train-message")


def press_start(page) -> None:
    expect(page.locator("#train-start")).to_be_enabled()
    page.locator("#train-start").click()


def start_on_the_garden(page, **knobs: float) -> None:
    """Start a run that needs no network and little time: painted flowers, the bundled weights, few that learn."""
    choose(page, "train-source", "The garden")
    page.get_by_role("button", name="Model").click()
    choose(page, "knob-init", "flowers-resnet18")
    for knob, value in {"frozen": 4, **knobs}.items():
        set_knob(page, knob, value)
    press_start(page)


def trained_epochs(run: Run) -> list[dict]:
    return [event for event in run.events() if event["kind"] == "epoch"]


def test_a_training_on_the_garden_from_start_to_end(train_page, studio):
    first = train_page()
    start_on_the_garden(first, epochs=3, batch_size=16)
    expect(headline(first)).to_have_text(re.compile("Starting|Getting ready|Epoch"))
    expect(headline(first)).to_have_text(re.compile("Epoch . of 3"))
    expect(first.locator("#train-stop")).to_be_enabled()
    # The curve moves within the first epoch, and how long it will take is told.
    expect(first.locator("#train-loss svg, #train-loss canvas").first).to_be_visible()
    expect(first.locator("#train-status .sub")).to_contain_text(re.compile("about .* left of"))

    # A second visitor sees the same run, is told why another cannot start, and the first may leave.
    second = train_page()
    expect(headline(second)).to_have_text(re.compile("Epoch . of 3"))
    expect(second.locator("#train-start")).to_be_disabled()
    first.close()

    # Meanwhile photos are still answered.
    second.get_by_role("tab", name="Classify").click()
    second.get_by_role("button", name="daisy").first.click()
    expect(second.locator("#classify-answer h2")).to_be_visible()

    second.reload()
    show_train(second)
    expect(headline(second)).to_have_text("Trained", timeout=300_000)
    expect(second.locator("#train-status")).to_contain_text("Best accuracy")
    expect(second.locator("#train-start")).to_be_enabled()

    run = list_runs(studio.runs)[0]
    epochs = trained_epochs(run)
    assert [event["epoch"] for event in epochs] == [0, 1, 2]
    assert epochs[-1]["train_accuracy"] > epochs[0]["train_accuracy"]
    assert run.status().state == "done"
    assert "Training complete in" in run.log()

    # The new checkpoint answers at once.
    second.reload()
    choose(second, "classify-checkpoint", run.name)
    second.get_by_role("button", name="daisy").first.click()
    expect(second.locator("#classify-answer .facts")).to_contain_text(run.name)


def test_stop_then_resume(train_page, studio):
    page = train_page()
    start_on_the_garden(page, epochs=2)
    expect(headline(page)).to_have_text(re.compile("Epoch 1 of 2"))
    expect(page.locator("#train-status .sub")).to_contain_text(re.compile("Batch [1-9]"))
    page.locator("#train-stop").click()
    expect(headline(page)).to_have_text("Stopped")
    expect(page.locator("#train-resume")).to_be_enabled()
    page.locator("#train-resume").click()
    expect(headline(page)).to_have_text("Trained", timeout=300_000)
    assert [event["epoch"] for event in trained_epochs(list_runs(studio.runs)[0])] == [0, 1]


def test_bad_values_are_told_in_a_sentence_and_nothing_starts(train_page, studio):
    page = train_page()
    expect(page.locator("#train-start")).to_be_enabled()
    before = len(list_runs(studio.runs))
    set_knob(page, "epochs", 0)
    press_start(page)
    expect(message(page)).to_contain_text("epochs cannot be 0: give a whole number from 1 to 1000.")
    set_knob(page, "epochs", 1.5)
    press_start(page)
    expect(message(page)).to_contain_text("epochs must be a whole number, not 1.5")
    assert len(list_runs(studio.runs)) == before


def test_without_imagenet_weights_the_run_says_what_to_choose(train_page):
    page = train_page()
    choose(page, "train-source", "The garden")
    press_start(page)
    expect(headline(page)).to_have_text("That did not work", timeout=300_000)  # a slow network says no slowly
    expect(page.locator("#train-status")).to_contain_text("init=scratch")


def test_a_preset_sets_every_control(train_page):
    page = train_page()
    for name, recipe in PRESETS.items():
        page.locator(f"#train-preset input[value={name}]").check()
        expect(page.locator("#knob-epochs input")).to_have_value(str(recipe.epochs))
    expect(page.locator("#train-preset")).to_contain_text(PRESET_HELP["quick"])
