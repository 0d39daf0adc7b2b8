"""What holds for every tab: it fits a phone, every control has a name, and it says nothing to the console."""

import subprocess
import sys

import pytest
from playwright.sync_api import expect

from flowers.paths import PROJECT
from tests.browser.conftest import open_tab, settle

# The tabs, and what shows that one is drawn.
TABS = {
    "Classify": "#classify-photo",
    "Photos": "#photos-files",
    "Train": "#train-start",
    "Augment": "#augment-pictures img",
    "Evaluate": "#evaluate-start",
    "Share": "#share-zip",
}


def open_whole(page, tab: str) -> None:
    open_tab(page, tab)
    expect(page.locator(TABS[tab]).first).to_be_visible()
    settle(page)


@pytest.mark.parametrize("width", [pytest.param(1280, marks=pytest.mark.thorough), 390])
def test_every_tab_fits_the_window_by_day_and_by_night(open_page, shared_page, width):
    page = shared_page if width == 1280 else open_page(width)
    for tab in TABS:
        open_whole(page, tab)
        for theme in ("light", "dark"):
            page.evaluate("theme => document.body.classList.toggle('dark', theme === 'dark')", theme)
            settle(page)
            assert page.evaluate("document.documentElement.scrollWidth") <= width, (tab, theme)


@pytest.mark.parametrize("tab", TABS)
def test_every_visible_control_has_a_name(shared_page, tab):
    open_whole(shared_page, tab)
    nameless = shared_page.evaluate(
        """() => [...document.querySelectorAll('button, input, select, textarea')]
            .filter(e => e.offsetParent && e.type !== 'file' && e.type !== 'hidden')
            .filter(e => !(e.getAttribute('aria-label') || e.labels?.length || e.title || e.innerText?.trim()
                || e.closest('label') || e.getAttribute('aria-labelledby') || e.querySelector('img')))
            .map(e => e.outerHTML.slice(0, 200))"""
    )
    assert nameless == []


def test_the_page_says_nothing_to_the_console(open_page):
    complaints = []
    page = open_page(prepare=lambda page: page.on("pageerror", lambda error: complaints.append(str(error))))
    for tab in TABS:
        open_whole(page, tab)
    assert complaints == []


def test_light_and_dark_by_address_and_at_a_click(open_page):
    page = open_page(query="?__theme=dark")
    assert page.evaluate("document.body.classList.contains('dark')")
    page.goto(page.url.replace("dark", "light"))
    expect(page.get_by_role("tab", name="Classify")).to_be_visible()
    assert not page.evaluate("document.body.classList.contains('dark')")
    page.get_by_role("button", name="Switch between light and dark").click()
    assert page.evaluate("document.body.classList.contains('dark')")
    expect(page.get_by_role("tab", name="Classify")).to_be_visible()


def test_a_port_that_is_taken_is_told_in_a_sentence(studio):
    port = studio.url.rsplit(":", 1)[1]
    command = [sys.executable, "app.py", "--port", port]
    result = subprocess.run(command, cwd=PROJECT, capture_output=True, text=True, timeout=120, check=False)
    assert result.returncode == 1
    assert "choose another --port or --host." in result.stderr
    assert "Traceback" not in result.stderr
