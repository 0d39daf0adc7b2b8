"""What holds for every tab: it fits a phone, every control has a name, and it says nothing to the console."""

import subprocess
import sys

import pytest
from playwright.sync_api import expect

from flowers.paths import PROJECT
from tests.browser.conftest import open_tab

TABS = ("Classify", "Photos", "Train", "Augment", "Evaluate", "Share")


@pytest.mark.parametrize("width", [1280, 390])
@pytest.mark.parametrize("theme", ["light", "dark"])
def test_every_tab_fits_the_window(open_page, width, theme):
    page = open_page(width, f"?__theme={theme}")
    for tab in TABS:
        open_tab(page, tab)
        page.wait_for_timeout(500)
        assert page.evaluate("document.documentElement.scrollWidth") <= width, tab


def test_every_visible_control_has_a_name(open_page):
    page = open_page()
    for tab in TABS:
        open_tab(page, tab)
        nameless = page.evaluate(
            """() => [...document.querySelectorAll('button, input, select, textarea')]
                .filter(e => e.offsetParent && e.type !== 'file' && e.type !== 'hidden')
                .filter(e => !(e.getAttribute('aria-label') || e.labels?.length || e.title || e.innerText?.trim()
                    || e.closest('label') || e.getAttribute('aria-labelledby') || e.querySelector('img')))
                .map(e => e.outerHTML.slice(0, 200))"""
        )
        assert nameless == [], tab


def test_the_page_says_nothing_to_the_console(studio, chromium):
    page = chromium.new_page()
    complaints = []
    page.on("pageerror", lambda error: complaints.append(str(error)))
    page.goto(studio.url)
    for tab in TABS:
        page.get_by_role("tab", name=tab).click()
        page.wait_for_timeout(500)
    assert complaints == []
    page.close()


def test_light_and_dark_at_a_click(open_page):
    page = open_page(query="?__theme=light")
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
