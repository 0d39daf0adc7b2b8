"""The first visit's tour."""

import pytest
from playwright.sync_api import expect

from tests.browser.axe import findings
from tests.browser.conftest import settle

TABS = {
    "Ask it about a flower": "classify",
    "Bring your own photos": "photos",
    "Press Start and watch it learn": "train",
    "Understand a mistake": "evaluate",
}
SEEN = "localStorage.getItem('flowers-tour') === 'seen'"


@pytest.fixture
def newcomer(open_page):
    """``newcomer(width)`` opens the studio for somebody who has never been here, unless the address says more."""

    def open_(width: int = 1280, query: str = ""):
        return open_page(width, query, newcomer=True)

    return open_


@pytest.fixture(scope="module")
def page(studio, visitors):
    """The page of somebody whom the module's first test sees come for the first time, and whom the others keep."""
    page = visitors.lodge(390, newcomer=True)
    page.goto(studio.url)
    return page


def expect_no_tour(page) -> None:
    """Once the page is drawn, which is when it would begin."""
    expect(page.locator("#tour")).to_be_attached()
    expect(page.get_by_role("tab", selected=True)).to_be_visible()
    settle(page)
    assert page.locator("#tour").is_hidden()


def test_four_steps_point_at_their_tabs_without_covering_them(page):
    walk(page, 390)


@pytest.mark.thorough
def test_so_they_do_in_a_wide_window(newcomer):
    walk(newcomer(1280), 1280)


def walk(page, width: int) -> None:
    """Go through the tour, which has begun by itself."""
    tour = page.locator("#tour")
    seen = []
    for number in range(1, 5):
        expect(tour).to_contain_text(f"Step {number} of 4")
        settle(page)
        title = tour.get_by_role("heading").inner_text()
        seen.append(title)
        box = tour.bounding_box()
        assert box["x"] >= 0 and box["x"] + box["width"] <= width
        tab = next(tab for start, tab in TABS.items() if title.startswith(start))
        target = page.locator(f"[data-tab-id={tab}]").bounding_box()
        ring = page.locator("#tour .ring").bounding_box()
        assert box["y"] >= target["y"] + target["height"]
        assert ring["x"] <= target["x"] and ring["x"] + ring["width"] >= target["x"] + target["width"]
        tour.get_by_role("button", name="Start" if number == 4 else "Next").click()
    assert len(set(seen)) == 4
    expect(tour).to_be_hidden()
    page.wait_for_function(SEEN)  # who has seen it does not see it again: below


@pytest.mark.thorough
def test_who_has_skipped_it_does_not_see_it_again(newcomer):
    page = newcomer()
    expect(page.locator("#tour")).to_be_visible()
    page.keyboard.press("Escape")
    expect(page.locator("#tour")).to_be_hidden()
    page.reload()
    expect_no_tour(page)


def test_the_header_brings_it_back_to_who_has_seen_it(page):
    expect_no_tour(page)
    page.get_by_role("button", name="Take the tour").click()
    expect(page.locator("#tour")).to_contain_text("Step 1 of 4")
    page.get_by_role("button", name="Skip the tour").click()
    expect(page.locator("#tour")).to_be_hidden()
    expect(page.get_by_role("button", name="Take the tour")).to_be_focused()


def test_the_keyboard_stays_within_it_and_escape_skips_it_for_good(page):
    page.evaluate("localStorage.removeItem('flowers-tour')")
    page.get_by_role("button", name="Take the tour").click()
    expect(page.locator("#tour")).to_be_visible()
    for _ in range(5):
        page.keyboard.press("Tab")
        assert page.evaluate("document.activeElement === document.body || !!document.activeElement.closest('#tour')")
    page.keyboard.press("Escape")
    expect(page.locator("#tour")).to_be_hidden()
    page.wait_for_function(SEEN)


def test_axe_finds_nothing_serious_in_it_by_night(page):
    page.evaluate("document.body.classList.add('dark')")
    page.get_by_role("button", name="Take the tour").click()
    expect(page.locator("#tour h2:visible")).to_be_visible()
    assert findings(page, "#tour") == []
    page.keyboard.press("Escape")


@pytest.mark.thorough  # test_scripts.py follows one
def test_who_follows_a_link_is_not_kept_from_it(newcomer):
    page = newcomer(query="?tab=train")
    expect(page.locator("#train-start")).to_be_visible()
    expect_no_tour(page)
