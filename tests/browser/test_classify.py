"""The Classify tab, as a visitor uses it."""

import io

import pytest
from playwright.sync_api import expect

from flowers.data.garden import render_flower


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
    assert page.locator("#classify-answer h2").inner_text().lower() == next(iter(shares))
    expect(page.locator("#classify-answer .facts")).to_contain_text("flowers-resnet18")
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
    upload(page, {"name": "flower.heic", "mimeType": "image/heic", "buffer": buffer.getvalue()})
    expect(page.locator("#classify-answer h2")).to_be_visible()

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
    image = page.locator("#classify-reason img")
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
    answered = page.locator("#classify-answer h2").inner_text().lower()
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
    expect(page.locator("#classify-reason img")).not_to_have_attribute("src", second)
    answered = page.locator("#classify-answer h2").inner_text().lower()
    expect(said).to_contain_text(f"evidence for {answered}")
    expect(why.get_by_role("radio", name=answered)).to_be_checked()

    page.locator("#classify-photo").get_by_label("Remove Image").click()
    expect(why).to_be_hidden()
    page.get_by_role("button", name="rose").first.click()
    expect(page.locator("#classify-reason img")).to_be_visible()


def test_what_cannot_be_read_has_no_reason(open_page):
    page = open_page()
    upload(page, {"name": "note.jpg", "mimeType": "image/jpeg", "buffer": b"this is only text, not a photo"})
    expect(page.locator("#classify-answer .problem")).to_be_visible()
    expect(page.locator("#classify-why")).to_be_hidden()


def test_the_camera_takes_a_photo_that_is_answered(open_page):
    page = open_page()
    page.locator("#classify-photo").get_by_label("Capture from camera").click()
    page.locator("#classify-photo").get_by_text("Click to Access Webcam").click()
    # Nobody takes a picture of themselves before they see it; on a busy machine the first frame takes its time.
    page.wait_for_function("document.querySelector('#classify-photo video')?.videoWidth > 0")
    page.locator("#classify-photo").get_by_label("capture photo").click()
    expect(page.locator("#classify-answer h2")).to_be_visible()


def test_a_hostile_name_stays_text(open_page):
    page = open_page()
    upload(page, {"name": "<img src=x onerror=alert(1)>.jpg", "mimeType": "image/jpeg", "buffer": b"nothing"})
    expect(page.locator("#classify-answer .problem")).to_be_visible()
    assert page.locator("#classify-answer img").count() == 0
