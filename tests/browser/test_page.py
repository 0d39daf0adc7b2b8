"""What holds for every tab: it fits a phone, every control has a name, and it says nothing to the console.

What more is held against a tab with something in it, is in test_accessibility.py.
"""

import subprocess
import sys

import pytest
from playwright.sync_api import expect

from flowers.paths import PROJECT
from tests.browser.axe import findings
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


@pytest.fixture(scope="module", params=[390, pytest.param(1280, marks=pytest.mark.thorough)])
def page(studio, visitors, request):
    """The studio before anything is done in it, with what it complains of while its tabs are opened."""
    page = visitors.lodge(request.param)
    page.complaints = []
    page.on("pageerror", lambda error: page.complaints.append(str(error)))
    page.goto(studio.url)
    return page


@pytest.fixture(scope="module", params=TABS)
def tab(page, request) -> str:
    """One of the tabs, which is open and whole."""
    open_tab(page, request.param)
    expect(page.locator(TABS[request.param]).first).to_be_visible()
    settle(page)
    return request.param


def be(page, theme: str) -> None:
    page.evaluate("theme => document.body.classList.toggle('dark', theme === 'dark')", theme)


@pytest.mark.parametrize("theme", ["light", "dark"])
def test_every_tab_fits_the_window_by_day_and_by_night(page, tab, theme):
    be(page, theme)
    assert page.evaluate("document.documentElement.scrollWidth") <= page.viewport_size["width"]


def test_every_visible_control_has_a_name(page, tab):
    nameless = page.evaluate(
        """() => [...document.querySelectorAll('button, input, select, textarea')]
            .filter(e => e.offsetParent && e.type !== 'file' && e.type !== 'hidden')
            .filter(e => !(e.getAttribute('aria-label') || e.labels?.length || e.title || e.innerText?.trim()
                || e.closest('label') || e.getAttribute('aria-labelledby') || e.querySelector('img')))
            .map(e => e.outerHTML.slice(0, 200))"""
    )
    assert nameless == []


def test_axe_finds_nothing_serious_by_night(page, tab):
    be(page, "dark")
    assert findings(page) == []


def test_who_wants_no_motion_gets_none(page, tab):
    moving = page.evaluate(
        """() => [...document.querySelectorAll('*')].filter(one => { const style = getComputedStyle(one);
            return parseFloat(style.transitionDuration) > 0.01 || parseFloat(style.animationDuration) > 0.01 })
            .map(one => one.outerHTML.slice(0, 100))"""
    )
    assert moving == []


def test_a_tab_says_nothing_to_the_console(page, tab):
    assert page.complaints == []


def test_light_and_dark_at_a_click(page):
    be(page, "light")
    page.get_by_role("button", name="Switch between light and dark").click()
    assert page.evaluate("document.body.classList.contains('dark')")
    page.get_by_role("button", name="Switch between light and dark").click()
    assert not page.evaluate("document.body.classList.contains('dark')")


@pytest.mark.thorough
def test_light_and_dark_by_address_and_at_a_click(open_page):
    page = open_page(query="?__theme=dark")
    assert page.evaluate("document.body.classList.contains('dark')")
    page.goto(page.url.replace("dark", "light"))
    expect(page.get_by_role("tab", name="Classify")).to_be_visible()
    assert not page.evaluate("document.body.classList.contains('dark')")
    page.get_by_role("button", name="Switch between light and dark").click()
    assert page.evaluate("document.body.classList.contains('dark')")
    expect(page.get_by_role("tab", name="Classify")).to_be_visible()


@pytest.mark.thorough
def test_a_port_that_is_taken_is_told_in_a_sentence(studio):
    port = studio.url.rsplit(":", 1)[1]
    command = [sys.executable, "app.py", "--port", port]
    result = subprocess.run(command, cwd=PROJECT, capture_output=True, text=True, timeout=120, check=False)
    assert result.returncode == 1
    assert "choose another --port or --host." in result.stderr
    assert "Traceback" not in result.stderr
