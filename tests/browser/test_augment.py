"""The Augment tab: variants to look at, settings to train with."""

from playwright.sync_api import expect


def pictures(page) -> list[str]:
    return page.locator("#augment-together img").evaluate_all("images => images.map(image => image.src)")


def open_augment(page) -> None:
    page.get_by_role("tab", name="Augment").click()
    expect(page.locator("#augment-together img").first).to_be_visible()
