"""The first visit's tour."""

import pytest
from playwright.sync_api import expect

TABS = {
    "Ask it about a flower": "classify",
    "Bring your own photos": "photos",
    "Press Start and watch it learn": "train",
    "Understand a mistake": "evaluate",
}


@pytest.fixture
def newcomer(open_page):
    """``newcomer(width)`` opens the studio for somebody who has never been here, unless the address says more."""

    def open_(width: int = 1280, query: str = ""):
        page = open_page(width)
        page.add_init_script(
            "if (!sessionStorage.length) { localStorage.clear(); sessionStorage.setItem('been', 'here') }"
        )
        page.goto(page.url.split("?")[0] + query)
        page.get_by_role("tab", name="Classify").wait_for()
        return page

    return open_


@pytest.mark.parametrize("width", [1280, 390])
def test_four_steps_point_at_their_tabs_without_covering_them(newcomer, width):
    page = newcomer(width)
    tour = page.locator("#tour")
    seen = []
    for number in range(1, 5):
        expect(tour).to_contain_text(f"Step {number} of 4")
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
    page.reload()
    page.get_by_role("tab", name="Classify").wait_for()
    page.wait_for_timeout(500)
    expect(tour).to_be_hidden()


def test_escape_skips_it_for_good_and_the_header_brings_it_back(newcomer):
    page = newcomer()
    expect(page.locator("#tour")).to_be_visible()
    for _ in range(5):
        page.keyboard.press("Tab")
        assert page.evaluate("document.activeElement === document.body || !!document.activeElement.closest('#tour')")
    page.keyboard.press("Escape")
    expect(page.locator("#tour")).to_be_hidden()
    page.wait_for_function("localStorage.getItem('flowers-tour')")
    page.get_by_role("button", name="Take the tour").click()
    expect(page.locator("#tour")).to_contain_text("Step 1 of 4")
    page.get_by_role("button", name="Skip the tour").click()
    expect(page.locator("#tour")).to_be_hidden()
    expect(page.get_by_role("button", name="Take the tour")).to_be_focused()


def test_who_follows_a_link_is_not_kept_from_it(newcomer):
    page = newcomer(query="?tab=train")
    expect(page.locator("#train-start")).to_be_visible()
    expect(page.locator("#tour")).to_be_hidden()
