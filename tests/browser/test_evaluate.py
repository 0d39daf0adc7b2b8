"""The Evaluate tab: the bundled checkpoints measured on the garden."""

import re
from pathlib import Path

import pytest
from playwright.sync_api import expect

from tests.browser.conftest import choose, open_tab

NAMES = ("daisy", "dandelion", "rose", "sunflower", "tulip")
MEASURED = 300_000  # milliseconds: the garden may have to be painted first
pytestmark = pytest.mark.timeout(900)  # seconds: what is waited for adds up to more than other tests may take


def evaluate(page, against: str | None = None) -> None:
    """A classifier of photos errs on some painted flowers."""
    page.get_by_role("tab", name="Evaluate").click()
    choose(page, "evaluate-checkpoint", "flowers-resnet18-report")
    choose(page, "evaluate-source", "The garden")
    if against:
        choose(page, "evaluate-against", against)
    page.locator("#evaluate-start").click()
    expect(page.locator("#evaluate-results table.matrix")).to_be_visible(timeout=MEASURED)


def percent(page, what: str) -> float:
    return float(page.locator(f'[data-told="{what}"]').inner_text().rstrip("%"))


@pytest.fixture(scope="module")
def measured(studio, chromium):
    """A page on which the two bundled checkpoints have been compared; tests only look at it."""
    from playwright.sync_api import expect as waiting

    waiting.set_options(timeout=60_000)
    context = chromium.new_context(viewport={"width": 1280, "height": 900})
    context.set_default_timeout(60_000)
    page = context.new_page()
    page.goto(studio.url)
    evaluate(page, against="flowers-resnet18 (bundled)")
    yield page
    context.close()


def test_the_numbers_and_the_report(measured):
    results = measured.locator("#evaluate-results")
    expect(results).to_contain_text("95% interval")
    expect(results.locator(".stats")).to_contain_text("60")
    for name in NAMES:
        expect(results.locator(".by-class table")).to_contain_text(name)
    for chart in (".reject svg", ".reliability svg"):
        expect(measured.locator(chart)).to_be_visible()
    with measured.expect_download() as download:
        measured.locator("#evaluate-report").click()
    assert download.value.suggested_filename == "flowers-resnet18-report-on-garden.html"
    path = Path(download.value.path())
    assert path.read_text().endswith("</html>\n")
    opened = measured.context.new_page()
    opened.set_content(path.read_text())
    expect(opened.get_by_role("heading", level=1)).to_have_text("flowers-resnet18-report on garden")
    opened.close()


def test_a_click_on_a_number_shows_its_photos(measured):
    cells = measured.locator("table.matrix td.wrong button")
    for n in range(cells.count()):
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


def test_maps_stand_beside_the_photos_and_one_photo_opens_and_has_a_link_for_others(measured, open_page):
    photos = measured.locator("#evaluate-photos")
    measured.get_by_role("button", name="Show where it looked").click()
    expect(photos.locator(".grid.reasons")).to_be_visible()
    maps = photos.get_by_role("img", name="Where the network found evidence for")
    assert maps.count() == photos.locator("figure").count() > 0
    assert maps.first.evaluate("image => image.naturalWidth") >= 200
    photos.locator("button.open").first.click()
    expect(photos.locator(".one figure")).to_have_count(3)
    answer = re.search(r"report: (\w+)", photos.locator("header .hint").inner_text())[1]
    friend = open_page(query=photos.get_by_role("link", name="A link to this photo").get_attribute("href"))
    for _ in range(2):
        expect(friend.locator("#classify-answer h2")).to_contain_text(answer)
        expect(friend.locator("#classify-checkpoint input")).to_have_value(re.compile("flowers-resnet18-report"))
        expect(friend).to_have_url(re.compile("photo=garden%2F|photo=garden/"))
        friend.reload()
    measured.get_by_role("button", name="Back to the photos").click()
    expect(photos.locator(".grid")).to_be_visible()


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
    expect(compared).to_contain_text(re.compile(r"\d+ photos only flowers-resnet18-report gets right, \d+ only"))
    expect(compared).to_contain_text(re.compile(r"\(p [=<] [\d.]+\)"))
    expect(compared.locator("table tbody tr")).to_have_count(6)
    button = compared.get_by_role("button", name="only flowers-resnet18 gets right")
    count = int(button.inner_text().split()[0])
    button.click()
    photos = measured.locator("#evaluate-photos")
    expect(photos.locator("h3")).to_have_text("Only flowers-resnet18 gets these right")
    expect(photos.locator("figure")).to_have_count(min(12, count))
    caption = photos.locator("figcaption").first.inner_text()
    truth, first, second = re.fullmatch(r"(\w+)\n.*: (\w+) \d+%\n.*: (\w+) \d+%", caption).groups()
    assert second == truth != first


def test_the_keyboard_alone_reaches_the_photos(measured):
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


def test_after_a_reload_the_results_are_there_and_another_visitor_has_none(measured, open_page):
    measured.reload()
    measured.get_by_role("tab", name="Evaluate").click()
    measured.locator("table.matrix td.wrong button").first.click()
    expect(measured.locator("#evaluate-photos figure").first).to_be_visible()
    page = open_page(390)
    open_tab(page, "Evaluate")
    expect(page.locator("#evaluate-results")).to_contain_text("Choose a checkpoint and photos")
    expect(page.locator("table.matrix")).to_have_count(0)


def test_on_a_phone_everything_fits(measured):
    measured.set_viewport_size({"width": 390, "height": 800})
    measured.locator("table.matrix td.wrong button").first.click()
    expect(measured.locator("#evaluate-photos figure").first).to_be_visible()
    assert measured.evaluate("document.documentElement.scrollWidth") <= 390
    measured.set_viewport_size({"width": 1280, "height": 900})


def test_an_evaluation_goes_on_while_its_page_is_loaded_again(measured):
    measured.locator("#evaluate-split").get_by_label("Training").check()
    with measured.expect_response("**/queue/join*"):
        measured.locator("#evaluate-start").click()
    measured.wait_for_timeout(500)  # nobody else computes: it is taken up at once
    measured.reload()
    measured.get_by_role("tab", name="Evaluate").click()
    expect(measured.locator("#evaluate-results .headline")).to_contain_text("the training part", timeout=MEASURED)
    expect(measured.locator("#evaluate-start")).to_be_enabled()
    expect(measured.locator("#evaluate-stop")).to_be_hidden()


def test_an_evaluation_can_be_cancelled(measured):
    measured.locator("#evaluate-split").get_by_label("All").check()
    choose(measured, "evaluate-against", "flowers-resnet18 (bundled)")  # or it might be over sooner than it is pressed
    measured.locator("#evaluate-start").click()
    measured.locator("#evaluate-stop").click()
    expect(measured.locator("#evaluate-results")).to_contain_text("Cancelled")
    expect(measured.locator("#evaluate-start")).to_be_enabled()
    expect(measured.locator("#evaluate-stop")).to_be_hidden()
