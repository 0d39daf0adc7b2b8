"""The "?" beside every hyperparameter, by mouse and by keyboard."""

import pytest
from playwright.sync_api import expect

from flowers.recipe import KNOBS
from flowers.studio.language import texts
from tests.browser.axe import findings
from tests.browser.conftest import open_tab

DIALOG = "#knob-help"


def show_knobs(page) -> None:
    open_tab(page, "Train")
    expect(page.locator("#train-start")).to_be_visible()
    if not page.locator("#knob-epochs").is_visible():
        page.locator("#train-more > button").click()
    expect(page.locator("#knob-epochs .knob-more")).to_be_visible()


@pytest.fixture
def page(shared_page):
    """The Train tab with the hyperparameters of its first group."""
    shared_page.set_viewport_size({"width": 1280, "height": 900})
    show_knobs(shared_page)
    return shared_page


@pytest.mark.parametrize("width", [pytest.param(1280, marks=pytest.mark.thorough), 390])
def test_a_question_mark_opens_a_paragraph_with_a_picture(page, width):
    page.set_viewport_size({"width": width, "height": 900})
    page.get_by_role("button", name="More about Learning rate").click()
    dialog = page.get_by_role("dialog", name="Learning rate")
    expect(dialog).to_contain_text(" ".join(texts("en")["knob.learning_rate.more"].split()[-8:]))
    expect(dialog.get_by_role("img")).to_be_visible()
    expect(dialog).to_contain_text("a number from 0.0000001 to 10")
    box = dialog.bounding_box()
    assert box["x"] >= 0 and box["x"] + box["width"] <= width
    page.get_by_role("button", name="Close").click()
    expect(dialog).to_be_hidden()


def test_the_keyboard_opens_and_closes_it_and_the_focus_returns(page):
    button = page.get_by_role("button", name="More about Epochs", exact=True)
    button.focus()
    page.keyboard.press("Enter")
    expect(page.get_by_role("dialog", name="Epochs")).to_be_visible()
    for _ in range(6):  # the page behind cannot be reached
        page.keyboard.press("Tab")
        assert page.evaluate(
            f"document.activeElement === document.body || !!document.activeElement.closest('{DIALOG}')"
        )
    page.keyboard.press("Escape")
    expect(page.locator(DIALOG)).to_be_hidden()
    expect(button).to_be_focused()


def test_axe_finds_nothing_serious_in_it_by_night(page):
    page.evaluate("document.body.classList.add('dark')")
    page.get_by_role("button", name="More about Epochs", exact=True).click()
    expect(page.locator(DIALOG).get_by_role("img")).to_be_visible()
    assert findings(page, DIALOG) == []
    page.keyboard.press("Escape")


def test_every_control_of_a_hyperparameter_has_one_button(page):
    counts = {name: page.locator(f"#knob-{name} .knob-more").count() for name in KNOBS}
    drawn = {name for name in KNOBS if page.locator(f"#knob-{name}").count()}
    assert "epochs" in drawn
    assert {name: count for name, count in counts.items() if count != (name in drawn)} == {}


def test_so_has_a_strength_in_augment_and_nothing_else_there(page):
    open_tab(page, "Augment")
    expect(page.locator("#augment-strength-rotation .knob-more")).to_be_visible()
    assert page.locator(".switch .knob-more, #augment-seed .knob-more").count() == 0


def test_without_an_answer_it_says_so(page):
    page.route("**/help/*", lambda route: route.abort())
    page.get_by_role("button", name="More about Momentum").click()
    expect(page.locator(DIALOG).get_by_role("alert")).to_contain_text("try again")
    page.unroute("**/help/*")
    page.keyboard.press("Escape")
