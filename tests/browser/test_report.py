"""The evaluation report in a real browser: one file, light and dark, wide and narrow."""

import shutil
from pathlib import Path

import pytest

from flowers.data.dataset import scan
from flowers.evaluation.evaluate import evaluate
from flowers.evaluation.report import write_report
from tests.evaluation.wild import save_wild_checkpoint

EVIL = "<img src=x onerror=document.title='hacked'>"


@pytest.fixture(scope="module")
def page_file(garden, tmp_path_factory) -> Path:
    """The page of a report alone, without the files that were written beside it."""
    folder = tmp_path_factory.mktemp("report")
    shutil.copytree(garden, folder / "set")
    for photo in list((folder / "set").rglob("*.jpg")):
        photo.rename(photo.with_name(f"{EVIL}{photo.name}"))
    dataset = scan(folder / "set")
    classifier = save_wild_checkpoint(folder / "wild", dataset)
    write_report(folder / "report", evaluate(classifier, dataset, "all", source=EVIL), classifier)
    (folder / "alone").mkdir()
    return shutil.copy(folder / "report" / "index.html", folder / "alone" / "page.html")


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("width", [390, 1280])
def test_it_opens_without_complaint_request_or_script_and_fits(page_file, chromium, scheme, width):
    complaints, requests = [], []
    context = chromium.new_context(viewport={"width": width, "height": 900}, color_scheme=scheme)
    page = context.new_page()
    page.on("console", lambda message: complaints.append(message.text))
    page.on("pageerror", lambda error: complaints.append(str(error)))
    page.on("request", lambda request: requests.append(request.url))
    page.goto(page_file.as_uri())
    page.wait_for_load_state("load")
    try:
        assert complaints == []
        assert [url for url in requests if not url.startswith("data:")] == [page_file.as_uri()]
        assert page.title().startswith(f"wild on {EVIL}: ")
        widths = page.evaluate("[...document.images].map((image) => image.naturalWidth)")
        assert len(widths) >= 20
        assert min(widths) > 0
        assert page.evaluate("document.documentElement.scrollWidth") <= width
        ground = page.evaluate("getComputedStyle(document.body).backgroundColor.match(/\\d+/g).map(Number)")
        assert (sum(ground) > 600) == (scheme == "light")
        assert page.locator("svg").count() == 3
        assert all(page.locator("svg").nth(i).is_visible() for i in range(3))
        # Every word stands out from its ground: of the text colours in use, none is near the ground's.
        colours = page.evaluate(
            "[...new Set([...document.querySelectorAll('p, td, th, dd, dt, h1, h2, figcaption, text')].map("
            "(e) => getComputedStyle(e).color))].map((c) => c.match(/\\d+/g).slice(0, 3).map(Number))"
        )
        assert min(abs(sum(colour) - sum(ground)) for colour in colours) > 250
    finally:
        context.close()


def test_it_can_be_printed(page_file, chromium):
    context = chromium.new_context()
    page = context.new_page()
    page.goto(page_file.as_uri())
    printed = page.pdf(format="A4", print_background=True)
    context.close()
    assert printed.startswith(b"%PDF")
    assert 2 <= printed.count(b"/Type /Page\n") <= 12
