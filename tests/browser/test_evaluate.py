"""The Evaluate tab: two checkpoints measured on the garden."""

import contextlib
import json
import re
import shutil
from pathlib import Path

import pytest
from filelock import FileLock
from playwright.sync_api import expect

from flowers.data.sources import GARDEN_FOLDER
from flowers.paths import BUNDLED_CHECKPOINTS
from flowers.recipe import Recipe
from flowers.training.run import Run
from tests.browser.conftest import choose, open_tab

NAMES = ("daisy", "dandelion", "rose", "sunflower", "tulip")
# Runs with the bundled checkpoints, which err on some paintings, each on others.
FIRST, SECOND = "first", "second"
BUNDLED = {FIRST: "flowers-resnet18-report", SECOND: "flowers-resnet18"}
SIDE = 64  # pixels that they see: they answer in an instant
AT_WORK = "Loading the checkpoint"  # what an evaluation has said last that waits for its photos
pytestmark = pytest.mark.usefixtures("kept_runs")


@pytest.fixture(scope="module")
def kept_runs(studio):
    """Two runs with checkpoints, while the module's tests last."""
    runs = [Run.create(studio.runs / name, Recipe(), "garden") for name in BUNDLED]
    for run in runs:
        shutil.copytree(BUNDLED_CHECKPOINTS / BUNDLED[run.name], run.folder / "best")
        card = run.folder / "best" / "checkpoint.json"
        told = json.loads(card.read_text())
        told["preprocessing"] |= {"size": SIDE, "resize": SIDE * 9 // 8}
        card.write_text(json.dumps(told))
        run.set_status("done")
    yield tuple(BUNDLED)
    for run in runs:
        shutil.rmtree(run.folder)


@pytest.fixture(scope="module")
def measured(studio, visitors, kept_runs):
    """A page on which the two checkpoints have been compared on what is held back of the garden, which is offered at
    first; tests only look at it."""
    page = visitors.lodge(1280)
    page.goto(f"{studio.url}/?tab=evaluate&checkpoint={FIRST}")
    expect(page.locator("#evaluate-checkpoint input")).to_have_value(re.compile(FIRST))
    choose(page, "evaluate-against", SECOND)
    page.locator("#evaluate-start").click()
    expect(page.locator("#evaluate-results table.matrix")).to_be_visible()
    return page


@pytest.fixture(scope="module")
def friend(measured, studio, visitors):
    """Another visitor's page, opened by the link to a photo, and what the link's checkpoint says of that."""
    show_photos(measured)
    photos = measured.locator("#evaluate-photos")
    photos.locator("button.open").first.click()
    expect(photos.locator(".one figure")).to_have_count(3)
    answer = re.search(rf"{FIRST}: (\w+)", photos.locator("header .hint").inner_text())[1]
    link = photos.get_by_role("link", name="A link to this photo").get_attribute("href")
    page = visitors.lodge(390)
    page.goto(f"{studio.url}/{link}")
    return page, answer


@contextlib.contextmanager
def garden_away(studio):
    """Whoever wants the garden's photos waits, as for a process that is painting them, until the block's end."""
    garden, away = studio.home / "cache" / GARDEN_FOLDER, studio.home / "garden"
    with FileLock(studio.home / "cache" / "garden.lock"):
        garden.rename(away)
        try:
            yield
        finally:
            away.rename(garden)


def percent(page, what: str) -> float:
    """A share of 60 photos is told as ``54 of 60``."""
    part, _, count = page.locator(f'[data-told="{what}"]').inner_text().partition(" of ")
    return 100 * int(part) / int(count) if count else float(part.rstrip("%"))


def show_photos(page) -> None:
    """Press the first number of photos that are answered wrongly."""
    page.locator("table.matrix td.wrong button").first.click()
    expect(page.locator("#evaluate-photos h3")).to_be_focused()


def test_the_numbers(measured):
    results = measured.locator("#evaluate-results")
    expect(results).to_contain_text("95% interval")
    expect(results.locator(".stats")).to_contain_text("60")
    for name in NAMES:
        expect(results.locator(".by-class table")).to_contain_text(name)
    for chart in (".reject svg", ".reliability svg"):
        expect(measured.locator(chart)).to_be_visible()


def test_the_report_is_one_file(measured):
    with measured.expect_download() as download:
        measured.locator("#evaluate-report").click()
    assert download.value.suggested_filename == f"{FIRST}-on-garden.html"
    path = Path(download.value.path())
    assert path.read_text().endswith("</html>\n")
    opened = measured.context.new_page()
    opened.set_content(path.read_text())
    expect(opened.get_by_role("heading", level=1)).to_have_text(f"{FIRST} on garden")
    opened.close()


@pytest.mark.parametrize("most", [2, pytest.param(25, marks=pytest.mark.thorough)])
def test_a_click_on_a_number_shows_its_photos(measured, most):
    cells = measured.locator("table.matrix td.wrong button")
    assert cells.count() > 1
    for n in range(min(most, cells.count())):
        said = cells.nth(n).get_attribute("aria-label")
        truth, answer, count = re.fullmatch(r"(\w+) named (\w+): (\d+) photos, show them", said).groups()
        cells.nth(n).click()
        photos = measured.locator("#evaluate-photos")
        expect(photos.locator("h3")).to_have_text(f"{truth}, named {answer}")
        expect(photos.locator("h3")).to_be_focused()
        expect(photos.locator(".grid img")).to_have_count(int(count))
        for caption in photos.locator("figcaption").all_inner_texts():
            assert re.fullmatch(rf"{truth}, named {answer} \d+%", caption)
    measured.get_by_role("button", name="Back to its worst mistakes").click()
    expect(measured.locator("#evaluate-photos h3")).to_have_text("Its worst mistakes")


def test_maps_stand_beside_the_photos(measured):
    photos = measured.locator("#evaluate-photos")
    show_photos(measured)
    measured.get_by_role("button", name="Show where it looked").click()
    expect(photos.locator(".grid.reasons")).to_be_visible()
    maps = photos.get_by_role("img", name="Where the network found evidence for")
    assert maps.count() == photos.locator("figure").count() > 0
    assert maps.first.evaluate("image => image.naturalWidth") == SIDE


def test_the_slider_trades_answers_for_accuracy(measured):
    slider = measured.get_by_label("Answer only when at least so sure")
    slider.fill("0")
    assert (percent(measured, "answered"), percent(measured, "sure")) == (100, 0)
    every = percent(measured, "right")
    slider.fill("90")
    answered, right = percent(measured, "answered"), percent(measured, "right")
    assert 0 < answered < 100 and right > every
    assert "At least 90% sure" in slider.get_attribute("aria-valuetext")
    assert measured.locator(".reject .mark").get_attribute("transform")
    slider.focus()
    measured.keyboard.press("End")  # the keyboard moves it, too
    assert percent(measured, "sure") == 99.9 and percent(measured, "answered") < answered


def test_two_checkpoints_on_the_same_photos(measured):
    compared = measured.locator(".compare")
    expect(compared).to_contain_text(re.compile(rf"\d+ photos only {FIRST} gets right, \d+ only"))
    expect(compared).to_contain_text(re.compile(r"\(p [=<] [\d.]+\)"))
    expect(compared.locator("table tbody tr")).to_have_count(6)
    button = compared.get_by_role("button", name=f"only {SECOND} gets right")
    count = int(button.inner_text().split()[0])
    button.click()
    photos = measured.locator("#evaluate-photos")
    expect(photos.locator("h3")).to_have_text(f"Only {SECOND} gets these right")
    expect(photos.locator("figure")).to_have_count(min(12, count))
    caption = photos.locator("figcaption").first.inner_text()
    truth, first, second = re.fullmatch(r"(\w+)\n.*: (\w+) \d+%\n.*: (\w+) \d+%", caption).groups()
    assert second == truth != first


def test_arrow_keys_lead_through_the_matrix(measured):
    first = measured.locator("table.matrix button[tabindex='0']")
    first.focus()
    before = measured.evaluate("document.activeElement.getAttribute('aria-label')")
    measured.keyboard.press("End")
    measured.keyboard.press("ArrowUp")
    measured.keyboard.press("ArrowLeft")
    after = measured.evaluate("document.activeElement.getAttribute('aria-label')")
    assert after != before and "show them" in after
    expect(measured.locator("table.matrix button[tabindex='0']")).to_have_count(1)
    assert measured.evaluate("getComputedStyle(document.activeElement).outlineStyle") != "none"


def test_the_keyboard_alone_reaches_the_photos(measured):
    measured.locator("table.matrix button[tabindex='0']").focus()
    measured.keyboard.press("Enter")
    expect(measured.locator("#evaluate-photos h3")).to_be_focused()
    measured.keyboard.press("Tab")
    expect(measured.get_by_role("button", name="Show where it looked")).to_be_focused()
    for _ in range(3):
        measured.keyboard.press("Tab")
        if measured.evaluate("document.activeElement.matches('button.open')"):
            break
    measured.keyboard.press("Enter")
    expect(measured.locator("#evaluate-photos .one")).to_be_visible()
    measured.get_by_role("button", name="Back to the photos").press("Enter")
    expect(measured.locator("#evaluate-photos .grid")).to_be_visible()


@pytest.mark.thorough  # test_links.py opens a link to a photo, tests/studio/test_links.py one to a set's
@pytest.mark.parametrize("loaded", ["once", "twice"])
def test_one_photo_has_a_link_for_others(friend, loaded):
    page, answer = friend
    if loaded == "twice":
        page.reload()
    expect(page.locator("#classify-answer .bars .top .name")).to_have_text(answer)
    expect(page.locator("#classify-checkpoint input")).to_have_value(re.compile(FIRST))
    expect(page).to_have_url(re.compile("photo=garden%2F|photo=garden/"))


@pytest.mark.thorough  # tests/studio/test_evaluate.py has another visitor
def test_another_visitor_has_no_results(friend):
    page, _ = friend
    open_tab(page, "Evaluate")
    expect(page.locator("#evaluate-results")).to_contain_text("Choose a checkpoint and photos")
    expect(page.locator("table.matrix")).to_have_count(0)


def test_on_a_phone_everything_fits(measured):
    measured.set_viewport_size({"width": 390, "height": 800})
    show_photos(measured)
    expect(measured.locator("#evaluate-photos figure").first).to_be_visible()
    assert measured.evaluate("document.documentElement.scrollWidth") <= 390
    measured.set_viewport_size({"width": 1280, "height": 900})


# Last: what is measured here takes the place of what was


@pytest.mark.thorough  # the next reloads the page, too; what comes back then: tests/studio/test_evaluate.py
def test_after_a_reload_the_results_are_there(measured):
    measured.reload()
    open_tab(measured, "Evaluate")
    show_photos(measured)
    expect(measured.locator("#evaluate-photos figure").first).to_be_visible()


@pytest.mark.thorough  # tests/studio/test_evaluate.py follows one after a reload
def test_an_evaluation_goes_on_while_its_page_is_loaded_again(measured, studio):
    results, start, stop = (measured.locator(f"#evaluate-{part}") for part in ("results", "start", "stop"))
    choose(measured, "evaluate-against", "None")
    measured.locator("#evaluate-split").get_by_label("Training").check()
    with garden_away(studio):
        start.click()
        expect(results).to_contain_text(AT_WORK)
        measured.reload()
        open_tab(measured, "Evaluate")
        expect(results).to_contain_text(AT_WORK)
        expect(start).to_be_disabled()
        expect(stop).to_be_visible()
    expect(results.locator(".headline")).to_contain_text("the training part")
    expect(start).to_be_enabled()
    expect(stop).to_be_hidden()


def test_an_evaluation_can_be_cancelled(measured, studio):
    results, start, stop = (measured.locator(f"#evaluate-{part}") for part in ("results", "start", "stop"))
    open_tab(measured, "Evaluate")
    with garden_away(studio):
        start.click()
        expect(results).to_contain_text(AT_WORK)
        stop.click()
        expect(results).to_contain_text("Cancelled")
        expect(start).to_be_enabled()
        expect(stop).to_be_hidden()
