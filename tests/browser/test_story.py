"""The ten minutes that the page is made for: one trains on their own photos, understands a mistake, sends the link."""

import re
from pathlib import Path

import pytest
from playwright.sync_api import expect

from flowers.data.garden import render_flower
from tests.browser.conftest import open_tab

ENOUGH = 240_000  # milliseconds for a short training on a busy machine
CLASSES = ("my daisies", "your daisies")  # nobody can tell these apart: there will be mistakes
# Seconds: what is waited for adds up to more than other tests may take.
pytestmark = pytest.mark.timeout(900)


@pytest.fixture
def painted(tmp_path) -> dict[str, list[Path]]:
    """Twenty photos for each of two classes."""
    photos = {}
    for seed in range(40):
        path = tmp_path / f"{seed}.jpg"
        render_flower("daisy", seed, 80).save(path)
        photos.setdefault(CLASSES[seed % 2], []).append(path)
    return photos


@pytest.mark.thorough  # each of its steps is in the test of its tab
@pytest.mark.parametrize("width", [390, 1280])
def test_from_own_photos_to_a_link(open_page, studio, painted, width):
    page = open_page(width)
    collect(page, painted)
    train(page)
    understand_a_mistake(page)
    link = share_link(page)
    other = open_page(width, link.removeprefix(f"{studio.url}/"))  # a friend
    expect(other.locator("#train-status h2")).to_have_text("Trained")
    other.locator("#train-try").click()
    other.locator("#classify input[type=file]").first.set_input_files(str(painted[CLASSES[0]][0]))
    expect(other.locator("#classify-answer h2")).to_contain_text("daisies")


def collect(page, painted: dict[str, list[Path]]) -> None:
    open_tab(page, "Photos")
    for count, (name, paths) in enumerate(painted.items(), 1):
        into = page.locator("#photos-into input")
        into.fill(name)
        into.press("Enter")
        page.locator("#photos-files input[type=file]").set_input_files([str(path) for path in paths])
        expect(page.locator("#photos-message")).to_contain_text(f"Added {len(paths)} photos to {name}.")
        expect(page.locator("#photos-bars li")).to_have_count(count)


def train(page) -> None:
    page.locator("#photos-train").click()
    expect(page.locator("#train-source input")).to_have_value(re.compile("^My photos"))
    expect(page.locator("#train-weights")).to_be_hidden()  # nothing is to be downloaded first
    page.locator("#train-start").click()
    expect(page.locator("#train-status h2")).to_have_text("Trained", timeout=ENOUGH)
    expect(page.locator("#train-look figure").first).to_be_visible()


def understand_a_mistake(page) -> None:
    page.locator("#train-evaluate").click()
    expect(page.locator("#evaluate-source input")).to_have_value(re.compile("^My photos"))
    page.locator("#evaluate-start").click()
    wrong = page.locator("table.matrix td.wrong button")
    expect(wrong.first).to_be_visible(timeout=ENOUGH)
    wrong.first.click()
    expect(page.locator("#evaluate-photos h3")).to_contain_text(re.compile("daisies, named .* daisies"))
    page.get_by_role("button", name="Show where it looked").click()
    expect(page.get_by_role("img", name="Where the network found evidence for").first).to_be_visible()


def share_link(page) -> str:
    """The link to the run."""
    open_tab(page, "Train")
    page.locator("#train-share").click()
    page.get_by_role("button", name="A link to this studio").click()
    link = page.locator("#share-link-about code").first
    expect(link).to_contain_text("tab=train&run=")
    return link.inner_text()
