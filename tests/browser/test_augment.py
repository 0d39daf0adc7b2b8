"""The Augment tab: variants to look at, settings to train with."""

import re

import pytest
from playwright.sync_api import expect

from tests.browser.conftest import open_tab, settle


@pytest.fixture
def page(shared_page):
    """The Augment tab with its variants; how it is set is each test's own affair."""
    shared_page.set_viewport_size({"width": 1280, "height": 900})
    open_tab(shared_page, "Augment")
    expect(shared_page.locator("#augment-pictures img").first).to_be_visible()
    return shared_page


def pictures(page) -> list[str]:
    return page.locator("#augment-pictures img").evaluate_all("images => images.map(image => image.src)")


def wait_for_others(page, before: list[str]) -> list[str]:
    page.wait_for_function(
        "before => { const now = [...document.querySelectorAll('#augment-pictures img')].map(i => i.src);"
        " return now.length && JSON.stringify(now) !== JSON.stringify(before); }",
        arg=before,
    )
    return pictures(page)


def test_variants_each_alone_and_all_together_change_with_the_seed(page):
    expect(page.get_by_role("radio", name="Report")).to_be_checked()
    first = pictures(page)
    assert len(first) >= 8 + 5  # eight together, five alone
    for name in ("Crop", "Mirror", "Rotate", "Colour", "Slant and scale"):
        expect(page.locator("#augment-pictures")).to_contain_text(name)
    page.locator("#augment-again").click()
    second = wait_for_others(page, first)
    page.locator("#augment-seed input").fill("0")
    assert wait_for_others(page, second) == first  # the same seed, the same pictures


@pytest.mark.thorough  # tests/studio/test_augment.py has the controls and words
def test_a_preset_sets_the_controls_and_its_mixing_is_shown_in_words(page):
    expect(page.locator("#augment-second")).to_be_hidden()
    before = pictures(page)
    page.get_by_role("radio", name="Best").check()
    wait_for_others(page, before)
    expect(page.get_by_role("checkbox", name="Mixup")).to_be_checked()
    expect(page.get_by_role("checkbox", name="Slant and scale")).not_to_be_checked()
    expect(page.locator("#augment-strength-rotation input[type=number]")).to_have_value("15")
    together = page.locator("#augment-pictures .together figcaption")
    expect(together).to_have_count(8)
    for caption in together.all_inner_texts():
        first, second = re.fullmatch(r"(\d+)% daisy, (\d+)% tulip", caption).groups()
        assert int(first) + int(second) == 100


@pytest.mark.thorough
def test_another_second_photo_and_settings_of_ones_own(page):
    page.get_by_role("radio", name="Best").check()
    together = page.locator("#augment-pictures .together figcaption")
    page.locator("#augment-second").get_by_role("button", name="Rose").click()
    expect(together.first).to_contain_text("% rose")
    page.get_by_role("checkbox", name="Cutmix").check()  # one's own now, no preset any more
    expect(page.get_by_role("radio", name="Best")).not_to_be_checked()


def test_settings_are_carried_to_train(page):
    before = pictures(page)
    page.get_by_role("checkbox", name="Rotate").uncheck()
    wait_for_others(page, before)
    page.locator("#augment-use").click()
    expect(page.locator("#train-start")).to_be_visible()
    page.locator("#train-more > button").click()
    page.locator("#train-more").get_by_role("button", name=re.compile("^Augmentation")).click()
    expect(page.locator("#knob-rotation input[type=number]")).to_have_value("0")
    expect(page.locator("#knob-flip input[type=number]")).to_have_value("0.5")


def test_as_taken_beside_what_the_network_sees_on_a_phone_too(page):
    page.set_viewport_size({"width": 390, "height": 900})
    seen = page.locator("#augment-pictures .seen")
    expect(seen).to_contain_text("As taken")
    expect(seen).to_contain_text("224 × 224 pixels")
    settle(page)
    sizes = seen.locator("img").evaluate_all("images => images.map(i => [i.naturalWidth, i.naturalHeight])")
    assert sizes[1] == [224, 224] and len(sizes) == 2
    assert page.evaluate("document.documentElement.scrollWidth") <= 390
