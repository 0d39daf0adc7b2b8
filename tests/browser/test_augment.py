"""The Augment tab: variants to look at, settings to train with."""

from playwright.sync_api import expect


def open_augment(page) -> None:
    page.get_by_role("tab", name="Augment").click()
    expect(page.locator("#augment-pictures img").first).to_be_visible()


def pictures(page) -> list[str]:
    return page.locator("#augment-pictures img").evaluate_all("images => images.map(image => image.src)")


def wait_for_others(page, before: list[str]) -> list[str]:
    page.wait_for_function(
        "before => { const now = [...document.querySelectorAll('#augment-pictures img')].map(i => i.src);"
        " return now.length && JSON.stringify(now) !== JSON.stringify(before); }",
        arg=before,
    )
    return pictures(page)


def test_variants_each_alone_and_all_together_change_with_the_seed(open_page):
    page = open_page()
    open_augment(page)
    first = pictures(page)
    assert len(first) >= 8 + 5  # eight together, five alone
    for name in ("Crop", "Mirror", "Rotate", "Colour", "Slant and scale"):
        expect(page.locator("#augment-pictures")).to_contain_text(name)
    page.locator("#augment-again").click()
    second = wait_for_others(page, first)
    page.locator("#augment-seed input").fill("0")
    assert wait_for_others(page, second) == first  # the same seed, the same pictures


def test_settings_are_carried_to_train(open_page):
    page = open_page()
    open_augment(page)
    before = pictures(page)
    page.get_by_role("checkbox", name="Rotate").uncheck()
    wait_for_others(page, before)
    page.locator("#augment-use").click()
    expect(page.locator("#train-start")).to_be_visible()
    page.get_by_role("button", name="Augmentation").click()
    expect(page.locator("#knob-rotation input[type=number]")).to_have_value("0")
    expect(page.locator("#knob-flip input[type=number]")).to_have_value("0.5")
