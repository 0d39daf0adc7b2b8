"""The Evaluate tab: the bundled checkpoint measured on the garden."""

import re
from pathlib import Path

from playwright.sync_api import expect


def test_a_checkpoint_on_the_garden(open_page):
    page = open_page()
    page.get_by_role("tab", name="Evaluate").click()
    page.locator("#evaluate-checkpoint input").click()
    page.get_by_role("option", name="flowers-resnet18-report").click()
    page.locator("#evaluate-source input").click()
    page.get_by_role("option", name="The garden").click()
    page.locator("#evaluate-start").click()
    results = page.locator("#evaluate-results")
    expect(results).to_contain_text(re.compile(r"\d+(\.\d+)? ?%"), timeout=300_000)
    expect(results).to_contain_text("60 photos")
    for name in ("daisy", "dandelion", "rose", "sunflower", "tulip"):
        expect(results.locator("table")).to_contain_text(name)
    expect(results.locator("svg").first).to_be_visible()
    # A classifier of photos errs on some painted flowers; each mistake is shown with both names.
    expect(page.locator("#evaluate-mistakes img").first).to_be_visible()
    expect(page.locator("#evaluate-mistakes")).to_contain_text("answered")
    expect(results).to_contain_text("95% interval")
    expect(results.locator(".reliability svg")).to_be_visible()
    with page.expect_download() as download:
        page.locator("#evaluate-report").click()
    assert download.value.suggested_filename == "flowers-resnet18-report-on-garden.html"
    written = Path(download.value.path()).read_text()
    assert "<bdi>flowers-resnet18-report</bdi> on <bdi>garden</bdi>" in written
    assert written.endswith("</html>\n")
