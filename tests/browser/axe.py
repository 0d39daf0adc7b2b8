"""What axe-core finds in a page."""

from axe_playwright_python.base import AXE_SCRIPT
from playwright.sync_api import Page, expect

GRAVE = ("serious", "critical")
ORDERED = ("heading-order", "landmark-one-main", "page-has-heading-one", "region")  # of less weight, and kept as well
# Gradio makes what waits for an event pale, and takes a moment to give its colour back: axe looks at neither.
STEADY = """() => document.head.insertAdjacentHTML("beforeend", `<style>
    .pending { opacity: 1 !important }
    *, *::before, *::after { transition: none !important; animation: none !important }</style>`)"""


def findings(page: Page, within: str = "html") -> list[str]:
    """What axe-core holds against the page, or a part of it, as it is now: rule, and the elements that break it."""
    expect(page.locator("#tabs .pending:visible")).to_have_count(0)  # what an event brings is there
    if not page.evaluate("'axe' in window"):
        page.evaluate(STEADY)
        page.evaluate(AXE_SCRIPT)
    # A line under a word, drawn by ::after, would keep axe from telling the word's contrast.
    options = {"resultTypes": ["violations"], "checks": {"color-contrast": {"options": {"ignorePseudo": True}}}}
    violations = page.evaluate(
        "async ([within, options]) => (await axe.run(within, options)).violations", [within, options]
    )
    return [
        f"{found['id']}: {[node['html'][:200] for node in found['nodes'][:5]]}"
        for found in violations
        if found["impact"] in GRAVE or found["id"] in ORDERED
    ]
