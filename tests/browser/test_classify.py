"""The Classify tab, as a visitor uses it."""

import base64
import csv
import io
import re

import pytest
from PIL import Image
from playwright.sync_api import expect

from flowers.data.garden import render_flower
from tests.browser.conftest import CAMERAS_ON, WATCH_CAMERAS


def as_file(image, name: str, format: str, mime: str) -> dict:
    buffer = io.BytesIO()
    image.save(buffer, format)
    return {"name": name, "mimeType": mime, "buffer": buffer.getvalue()}


def upload(page, file: dict) -> None:
    """Choose a file, after taking away the last one and its answer."""
    remove = page.locator("#classify-photo").get_by_label("Remove Image")
    if remove.count():
        remove.click()
        expect(page.locator("#classify-answer .empty")).to_be_visible()
    page.locator("#classify-photo input[type=file]").set_input_files(file)


def bars(page) -> dict[str, float]:
    rows = page.locator("#classify-answer .bars li")
    return {
        row.locator(".name").inner_text(): float(row.locator(".share").inner_text().rstrip("%")) for row in rows.all()
    }


def test_an_example_is_answered_with_all_confidences(open_page):
    page = open_page()
    page.get_by_role("button", name="daisy").first.click()
    expect(page.locator("#classify-answer h2")).to_be_visible()
    shares = bars(page)
    assert set(shares) == {"daisy", "dandelion", "rose", "sunflower", "tulip"}
    assert sum(shares.values()) == pytest.approx(100, abs=0.5)
    assert list(shares.values()) == sorted(shares.values(), reverse=True)
    assert f" {next(iter(shares))}" in page.locator("#classify-answer h2").inner_text()
    expect(page.locator("#classify-answer .facts")).to_contain_text("flowers-lite0")
    expect(page.locator("#classify-answer .facts")).to_contain_text("Answered in")


def test_photos_of_every_format_are_answered_and_others_get_a_sentence(open_page):
    import pillow_heif

    page = open_page()
    flower = render_flower("sunflower", 3, 300)
    for format, mime in (("PNG", "image/png"), ("JPEG", "image/jpeg"), ("WEBP", "image/webp"), ("AVIF", "image/avif")):
        upload(page, as_file(flower, f"flower.{format.lower()}", format, mime))
        expect(page.locator("#classify-answer h2")).to_be_visible()

    buffer = io.BytesIO()
    pillow_heif.from_pillow(flower).save(buffer)
    for name, mime in (("flower.heic", "image/heic"), ("flower.jpg", "image/jpeg")):
        upload(page, {"name": name, "mimeType": mime, "buffer": buffer.getvalue()})
        expect(page.locator("#classify-answer h2")).to_be_visible()
        drawn = page.locator("#classify-photo img").first
        expect(drawn).to_have_js_property("naturalWidth", 300)  # no browser here draws a HEIC

    upload(page, {"name": "note.jpg", "mimeType": "image/jpeg", "buffer": b"this is only text, not a photo"})
    problem = page.locator("#classify-answer .problem")
    expect(problem).to_be_visible()
    sentence = problem.inner_text()
    assert "note.jpg" in sentence
    assert sentence.endswith(".")
    assert "Error" not in sentence

    upload(page, as_file(flower, "again.png", "PNG", "image/png"))
    expect(page.locator("#classify-answer h2")).to_be_visible()


def picture(page) -> str:
    image = page.locator("#classify-reason .after")
    expect(image).to_be_visible()
    return image.get_attribute("src")


@pytest.mark.parametrize("width", [1280, 390])
def test_the_reason_is_told_when_asked_for_any_class_and_any_photo(open_page, width):
    page = open_page(width)
    why = page.locator("#classify-why")
    expect(why).to_be_hidden()  # no answer yet
    page.get_by_role("button", name="daisy").first.click()
    expect(page.locator("#classify-answer h2")).to_be_visible()
    expect(why).to_be_visible()
    assert page.locator("#classify-reason img").count() == 0

    why.get_by_role("button", name="Why?").click()
    answered = next(iter(bars(page)))
    said = page.locator("#classify-reason figcaption")
    expect(said).to_contain_text(f"evidence for {answered}")
    first = picture(page)
    assert page.evaluate("document.documentElement.scrollWidth") <= width
    assert [choice.inner_text() for choice in why.locator("label:has(input[type=radio])").all()] == list(bars(page))

    other = list(bars(page))[1]
    why.get_by_role("radio", name=other).check()
    expect(said).to_contain_text(f"evidence for {other}")
    second = picture(page)
    assert second != first

    # It stays open: the next photo is explained too, for what is answered then.
    page.get_by_role("button", name="tulip").first.click()
    expect(page.locator("#classify-reason .after")).not_to_have_attribute("src", second)
    answered = next(iter(bars(page)))
    expect(said).to_contain_text(f"evidence for {answered}")
    expect(why.get_by_role("radio", name=answered)).to_be_checked()

    page.locator("#classify-photo").get_by_label("Remove Image").click()
    expect(why).to_be_hidden()
    page.get_by_role("button", name="rose").first.click()
    expect(page.locator("#classify-reason .after")).to_be_visible()


def test_what_cannot_be_read_has_no_reason(open_page):
    page = open_page()
    upload(page, {"name": "note.jpg", "mimeType": "image/jpeg", "buffer": b"this is only text, not a photo"})
    expect(page.locator("#classify-answer .problem")).to_be_visible()
    expect(page.locator("#classify-why")).to_be_hidden()


def test_the_camera_takes_a_photo_that_is_answered(open_page):
    page = open_page()
    page.evaluate(WATCH_CAMERAS)
    open_camera(page)
    # Nobody takes a picture of themselves before they see it; on a busy machine the first frame takes its time.
    page.wait_for_function("document.querySelector('#classify-photo video')?.videoWidth > 0")
    page.locator("#classify-photo").get_by_label("capture photo").click()
    expect(page.locator("#classify-answer h2")).to_be_visible()
    page.wait_for_function(f"{CAMERAS_ON} === 0")


def test_the_camera_is_not_left_on(open_page):
    page = open_page()
    page.evaluate(WATCH_CAMERAS)
    share, classify = (page.get_by_role("tab", name=name) for name in ("Share", "Classify"))
    open_camera(page)
    page.wait_for_function("document.querySelector('#classify-photo video')?.videoWidth > 0")
    assert page.evaluate(CAMERAS_ON) == 1
    share.click()
    page.wait_for_function(f"{CAMERAS_ON} === 0")
    classify.click()
    open_camera(page)  # who is asked may have gone before the answer
    share.click()
    page.wait_for_function(f"cameras.length === 2 && {CAMERAS_ON} === 0")


def open_camera(page) -> None:
    page.locator("#classify-photo").get_by_label("Capture from camera").click()
    page.locator("#classify-photo").get_by_text("Click to Access Webcam").click()


def test_a_hostile_name_stays_text(open_page):
    page = open_page()
    upload(page, {"name": "<img src=x onerror=alert(1)>.jpg", "mimeType": "image/jpeg", "buffer": b"nothing"})
    expect(page.locator("#classify-answer .problem")).to_be_visible()
    assert page.locator("#classify-answer img").count() == 0


def test_a_photo_of_something_else_is_probably_none_of_these(open_page):
    page = open_page()
    upload(page, as_file(Image.effect_noise((300, 300), 90).convert("RGB"), "noise.png", "PNG", "image/png"))
    expect(page.locator("#classify-answer h2")).to_have_text("Probably none of these five")
    expect(page.locator("#classify-answer .sub")).to_contain_text("looks most like a ")


# Many photos

DROP = """(files) => {
    const box = new DataTransfer();
    for (const [name, type, content] of files)
        box.items.add(new File([Uint8Array.from(atob(content), c => c.charCodeAt(0))], name, {type}));
    const event = {bubbles: true, cancelable: true, dataTransfer: box, clipboardData: box};
    return event;
}"""
DROPPED = f"""(files) => document.querySelector("#classify-photo [data-testid=image]")
    .dispatchEvent(new DragEvent("drop", ({DROP})(files)))"""
PASTED = f"(files) => document.body.dispatchEvent(new ClipboardEvent('paste', ({DROP})(files)))"


def flowers(*names: str) -> list[dict]:
    return [as_file(render_flower(name, 5, 250), f"{name}.png", "PNG", "image/png") for name in names]


def in_script(files: list[dict]) -> list[tuple[str, str, str]]:
    return [(file["name"], file["mimeType"], base64.b64encode(file["buffer"]).decode()) for file in files]


DAMAGED = {"name": "-damaged.jpg", "mimeType": "image/jpeg", "buffer": b"this is only text, not a photo"}


@pytest.mark.parametrize("width", [1280, 390])
def test_many_photos_come_in_a_table_whatever_one_of_them_is(open_page, width):
    page = open_page(width)
    with page.expect_file_chooser() as choosing:
        page.locator("#classify-photo").get_by_text("or click to choose").click()
    choosing.value.set_files([*flowers("daisy", "tulip"), DAMAGED])
    rows = page.locator("#classify-many tbody tr")
    expect(rows).to_have_count(3)
    expect(rows.nth(2)).to_contain_text("is a text file, not a photo")
    expect(page.locator("#classify-many h2")).to_have_text("3 photos")
    expect(page.locator("#classify-sending")).to_be_empty()

    # The first is seen at once, another when it is chosen, here by keyboard.
    expect(page.locator("#classify-answer h2")).to_have_text(rows.nth(0).locator("td").nth(1).inner_text())
    rows.nth(1).get_by_role("button", name="tulip.png").focus()
    page.keyboard.press("Enter")
    expect(page.locator("#classify-answer h2")).to_have_text(rows.nth(1).locator("td").nth(1).inner_text())
    seen = bars(page)
    assert page.evaluate("document.documentElement.scrollWidth") <= width

    with page.expect_download() as downloading:
        page.get_by_role("link", name="Download as CSV").click()
    content = downloading.value.path().read_text(encoding="utf-8-sig")
    first, second, damaged = csv.DictReader(io.StringIO(content))
    assert [first["file"], second["file"], damaged["file"]] == ["daisy.png", "tulip.png", "'-damaged.jpg"]
    assert list(first)[:5] == ["file", "label", "confidence", "known", "familiarity"]
    for name, share in seen.items():
        assert float(second[name]) * 100 == pytest.approx(share, abs=0.06)
    assert second["label"] == next(iter(seen)) and not damaged["label"]

    page.get_by_role("button", name="Close the table").click()
    expect(page.locator("#classify-many")).to_be_hidden()


def test_many_are_dropped_and_one_is_pasted_onto_the_last(open_page):
    page = open_page()
    page.evaluate(DROPPED, in_script(flowers("rose", "daisy")))
    expect(page.locator("#classify-many tbody tr")).to_have_count(2)
    expect(page.locator("#classify-recent li")).to_have_count(1)
    page.evaluate(PASTED, in_script(flowers("sunflower")))
    expect(page.locator("#classify-recent li")).to_have_count(2)
    page.evaluate(DROPPED, in_script(flowers("dandelion")))
    expect(page.locator("#classify-recent li")).to_have_count(3)


def test_what_is_dropped_while_others_are_answered_is_answered_after_them(open_page):
    page = open_page()
    for names in (["rose", "daisy"] * 10, ["tulip", "sunflower", "dandelion"]):
        page.evaluate(DROPPED, in_script(flowers(*names)))
        expect(page.locator("#classify-many")).to_contain_text(re.compile("20 photos|of 20|3 photos"))
    expect(page.locator("#classify-many h2")).to_have_text("3 photos")
    expect(page.locator("#classify-many tbody tr")).to_have_count(3)


# The border between the photo and its evidence


def test_the_border_moves_by_keyboard_and_stays_for_the_next_class(open_page):
    page = open_page()
    page.get_by_role("button", name="daisy").first.click()
    page.locator("#classify-why").get_by_role("button", name="Why?").click()
    map_, border = page.locator("#classify-reason .after"), page.get_by_role("slider", name="Border between")
    expect(map_).to_have_css("clip-path", "inset(0px 0px 0px 50%)")
    border.focus()
    page.keyboard.press("ArrowRight")
    expect(map_).to_have_css("clip-path", "inset(0px 0px 0px 51%)")
    page.keyboard.press("Home")
    expect(map_).to_have_css("clip-path", "inset(0px 0px 0px 0%)")
    before = picture(page)
    page.locator("#classify-why").get_by_role("radio", name=list(bars(page))[1]).check()
    expect(map_).not_to_have_attribute("src", before)
    expect(map_).to_have_css("clip-path", "inset(0px 0px 0px 0%)")
    assert border.input_value() == "0"


# Corrections


def own_photos(page) -> list[str]:
    """What is offered of My photos where a photo set is chosen."""
    page.get_by_role("tab", name="Evaluate").click()
    page.wait_for_timeout(500)
    page.locator("#evaluate-source input").click()
    options = page.get_by_role("option").all_inner_texts()
    page.keyboard.press("Escape")
    page.get_by_role("tab", name="Classify").click()
    return [option for option in options if "My photos" in option]


def test_a_correction_lands_in_my_photos_and_can_be_taken_back(open_page):
    page = open_page()
    page.get_by_role("button", name="daisy").first.click()
    actually = page.locator("#classify-correct")
    actually.get_by_text("It was actually").click()
    actually.get_by_role("button", name="rose").click()
    said = actually.get_by_role("status").locator("p")
    expect(said).to_have_text("It is now in My photos, as rose. Train on them in Train.")
    assert len(own_photos(page)) == 1
    actually.get_by_role("button", name="Undo").click()
    expect(said).to_contain_text("Taken back")
    assert own_photos(page) == []

    actually.get_by_text("It was actually").click()
    actually.get_by_label("Another name").fill("<b>ox-eye")
    page.keyboard.press("Enter")
    expect(said).to_contain_text("as <b>ox-eye.")

    # Of a photo that is there already, every name says so, and the next can be pressed.
    expect(page).to_have_url(re.compile("photo=daisy"))
    page.reload()
    for name in ("rose", "tulip"):
        actually.get_by_text("It was actually").click()
        actually.get_by_role("button", name=name).click()
        expect(said).to_contain_text("in My photos already")
    expect(actually.get_by_role("button", name="rose")).to_be_enabled()


# Recent answers


def test_recent_answers_survive_a_reload_in_this_browser_alone(open_page, studio):
    page = open_page(390)
    page.get_by_role("button", name="daisy").first.click()
    expect(page.locator("#classify-recent li")).to_have_count(1)
    upload(page, flowers("tulip")[0])
    expect(page.locator("#classify-recent li")).to_have_count(2)
    words = page.locator("#classify-recent li span").all_inner_texts()
    page.reload()
    expect(page.locator("#classify-recent li")).to_have_count(2)
    assert page.locator("#classify-recent li span").all_inner_texts() == words
    assert page.evaluate("document.documentElement.scrollWidth") <= 390

    other = open_page()
    expect(other.locator("#classify-recent")).to_be_attached()
    other.wait_for_timeout(500)
    assert other.locator("#classify-recent li").count() == 0

    page.locator("#classify-recent li button").nth(1).click()
    expect(page.locator("#classify-answer h2")).to_have_text(words[1])
    expect(page.locator("#classify-photo img")).to_be_visible()
    for path in (studio.runs.parent / "gradio").rglob("tulip.png"):
        path.unlink()
    page.get_by_role("button", name=words[0]).click()
    expect(page.locator("#classify-answer h2")).to_have_text(words[0])
    expect(page.locator("#classify-answer .facts")).to_contain_text("no longer on the server")
    expect(page.locator("#classify-answer > * img, #classify-answer .answer > img")).to_be_visible()
    expect(page.locator("#classify-why")).to_be_hidden()

    # A newer answer takes its place for good: it is not what is left when that one's photo is taken away.
    page.get_by_role("button", name="rose").first.click()
    expect(page.locator("#classify-why")).to_be_visible()
    page.locator("#classify-photo").get_by_label("Remove Image").click()
    expect(page.locator("#classify-answer .empty")).to_be_visible()

    page.locator("#classify-recent").get_by_role("button", name="Clear").click()
    expect(page.locator("#classify-recent section")).to_be_hidden()
    page.reload()
    expect(page.get_by_role("tab", name="Classify")).to_be_visible()
    assert page.locator("#classify-recent li").count() == 0
