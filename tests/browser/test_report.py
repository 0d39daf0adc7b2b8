"""The evaluation report in a real browser: one file, light and dark, wide and narrow."""

import shutil
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from flowers.data.dataset import scan
from flowers.evaluation.evaluate import evaluate
from flowers.evaluation.report import write_report
from flowers.models.backbones import BACKBONES
from tests.evaluation.wild import save_wild_checkpoint
from tests.tiny import tiny_resnet18

EVIL = "<img src=x onerror=document.title='hacked'>"


@pytest.fixture(scope="module")
def page_file(garden, tmp_path_factory) -> Path:
    """The page of a report alone, without the files that were written beside it."""
    folder = tmp_path_factory.mktemp("report")
    shutil.copytree(garden, folder / "set")
    for photo in list((folder / "set").rglob("*.jpg")):
        photo.rename(photo.with_name(f"{EVIL}{photo.name}"))
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("FLOWERS_CACHE", str(folder / "cache"))
        patch.setitem(BACKBONES, "resnet18", tiny_resnet18())
        dataset = scan(folder / "set")
        classifier = save_wild_checkpoint(folder / "wild", dataset)
        write_report(folder / "report", evaluate(classifier, dataset, "all", source=EVIL), classifier)
    (folder / "alone").mkdir()
    return shutil.copy(folder / "report" / "index.html", folder / "alone" / "page.html")


@dataclass
class Opened:
    """The report in a browser, and what happened while it was loaded."""

    page: Any
    width: int
    scheme: str
    complaints: list[str] = field(default_factory=list)
    requests: list[str] = field(default_factory=list)

    def ground(self) -> list[int]:
        """The colour behind everything: red, green, blue."""
        return self.page.evaluate("getComputedStyle(document.body).backgroundColor.match(/\\d+/g).map(Number)")


@pytest.fixture(scope="module")
def context(chromium):
    context = chromium.new_context()
    yield context
    context.close()


@pytest.fixture(
    scope="module",
    params=[(w, s) for w in (390, 1280) for s in ("light", "dark")],
    ids=lambda look: "-".join(map(str, look)),
)
def opened(page_file, context, request) -> Opened:
    width, scheme = request.param
    page = context.new_page()
    page.set_viewport_size({"width": width, "height": 900})
    page.emulate_media(color_scheme=scheme)
    opened = Opened(page, width, scheme)
    page.on("console", lambda message: opened.complaints.append(message.text))
    page.on("pageerror", lambda error: opened.complaints.append(str(error)))
    page.on("request", lambda request: opened.requests.append(request.url))
    page.goto(page_file.as_uri())
    page.wait_for_load_state("load")
    yield opened
    page.close()


def test_it_opens_without_complaint_request_or_script(opened, page_file):
    assert opened.complaints == []
    assert [url for url in opened.requests if not url.startswith("data:")] == [page_file.as_uri()]
    assert opened.page.title().startswith(f"wild on {EVIL}: ")


def test_its_pictures_are_shown(opened):
    widths = opened.page.evaluate("[...document.images].map((image) => image.naturalWidth)")
    assert len(widths) >= 20
    assert min(widths) > 0
    assert opened.page.locator("svg").count() == 3
    assert all(opened.page.locator("svg").nth(i).is_visible() for i in range(3))


def test_it_fits(opened):
    assert opened.page.evaluate("document.documentElement.scrollWidth") <= opened.width


def test_it_is_as_light_or_dark_as_the_system(opened):
    assert (sum(opened.ground()) > 600) == (opened.scheme == "light")


def test_every_word_stands_out_from_its_ground(opened):
    # Of the text colours in use, none is near the ground's.
    colours = opened.page.evaluate(
        "[...new Set([...document.querySelectorAll('p, td, th, dd, dt, h1, h2, figcaption, text')].map("
        "(e) => getComputedStyle(e).color))].map((c) => c.match(/\\d+/g).slice(0, 3).map(Number))"
    )
    assert min(abs(sum(colour) - sum(opened.ground())) for colour in colours) > 250


def test_it_can_be_printed(page_file, context):
    page = context.new_page()
    page.goto(page_file.as_uri())
    printed = page.pdf(format="A4", print_background=True)
    assert printed.startswith(b"%PDF")
    assert 2 <= printed.count(b"/Type /Page\n") <= 12
