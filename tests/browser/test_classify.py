"""The Classify tab, as a visitor uses it."""

import base64
import csv
import io

import pillow_heif
import pytest
from PIL import Image
from playwright.sync_api import expect

from flowers.data.garden import render_flower
from tests.browser.axe import findings
from tests.browser.conftest import CAMERAS_ON, WATCH_CAMERAS, open_tab, say_yes, wait_for

WIDTHS = [390, pytest.param(1280, marks=pytest.mark.thorough)]


@pytest.fixture
def same_page(shared_page):
    """The page of one visitor, who has one photo after another answered: what the last ones left there is gone."""
    resize(shared_page, 1280)
    open_tab(shared_page, "Classify")
    close = shared_page.get_by_role("button", name="Close the table")
    if close.is_visible():
        close.click()
    for opened in why(shared_page).locator("> button.open").all():
        opened.dispatch_event("click")  # it cannot be seen where the photo is gone
    take_away(shared_page)
    expect(shared_page.locator("#classify-reason img")).to_have_count(0)
    yield shared_page
    shared_page.unroute_all()


def resize(page, width: int) -> None:
    page.set_viewport_size({"width": width, "height": 900})


def take_away(page) -> None:
    remove = page.locator("#classify-photo").get_by_label("Remove Image")
    if remove.count():
        remove.click()
    expect(page.locator("#classify-answer .empty")).to_be_visible()


def as_file(image, name: str, format: str = "PNG", mime: str = "image/png") -> dict:
    buffer = io.BytesIO()
    image.save(buffer, format)
    return {"name": name, "mimeType": mime, "buffer": buffer.getvalue()}


def flowers(*names: str) -> list[dict]:
    return [as_file(render_flower(name, 5, 250), f"{name}.png") for name in names]


def no_photo(name: str) -> dict:
    return {"name": name, "mimeType": "image/jpeg", "buffer": b"this is only text, not a photo"}


def upload(page, file: dict) -> None:
    page.locator("#classify-photo input[type=file]").set_input_files(file)


def example(page, name: str) -> None:
    page.locator("#classify .examples").get_by_role("button", name=name).click()


def answer(page):
    return page.locator("#classify-answer h2")


def bars(page) -> dict[str, float]:
    """The classes that are shown with the answer, and their confidences in percent."""
    expect(answer(page)).to_be_visible()
    rows = page.locator("#classify-answer .bars li")
    return {
        row.locator(".name").inner_text(): float(row.locator(".share").inner_text().rstrip("%")) for row in rows.all()
    }


# One photo


def test_an_example_is_answered_with_all_confidences(same_page):
    example(same_page, "daisy")
    shares = bars(same_page)
    assert set(shares) == {"daisy", "dandelion", "rose", "sunflower", "tulip"}
    assert sum(shares.values()) == pytest.approx(100, abs=0.5)
    assert list(shares.values()) == sorted(shares.values(), reverse=True)
    assert f" {next(iter(shares))}" in answer(same_page).inner_text()
    expect(same_page.locator("#classify-answer .facts")).to_contain_text("flowers-lite0")
    expect(same_page.locator("#classify-answer .facts")).to_contain_text("Answered in")


@pytest.mark.thorough  # tests/data/test_decode.py has them all
@pytest.mark.parametrize("format", ["AVIF", "PNG", "JPEG", "WEBP"])
def test_a_photo_of_every_format_is_answered(same_page, format):
    flower = render_flower("sunflower", 3, 300)
    upload(same_page, as_file(flower, f"flower.{format.lower()}", format, f"image/{format.lower()}"))
    expect(answer(same_page)).to_be_visible()


@pytest.mark.parametrize(
    ("name", "mime"),
    [pytest.param("flower.heic", "image/heic", marks=pytest.mark.thorough), ("flower.jpg", "image/jpeg")],
)
def test_a_heic_is_answered_and_drawn_whatever_it_is_called(same_page, name, mime):
    buffer = io.BytesIO()
    pillow_heif.from_pillow(render_flower("sunflower", 3, 300)).save(buffer)
    upload(same_page, {"name": name, "mimeType": mime, "buffer": buffer.getvalue()})
    expect(answer(same_page)).to_be_visible()
    drawn = same_page.locator("#classify-photo img").first
    expect(drawn).to_have_js_property("naturalWidth", 300)  # no browser here draws a HEIC


def test_what_is_no_photo_gets_a_sentence_and_no_reason_and_the_next_photo_an_answer(same_page):
    upload(same_page, no_photo("note.jpg"))
    problem = same_page.locator("#classify-answer .problem")
    expect(problem).to_be_visible()
    sentence = problem.inner_text()
    assert "note.jpg" in sentence
    assert sentence.endswith(".")
    assert "Error" not in sentence
    expect(same_page.locator("#classify-why")).to_be_hidden()
    take_away(same_page)
    upload(same_page, as_file(render_flower("sunflower", 3, 300), "again.png"))
    expect(answer(same_page)).to_be_visible()


@pytest.mark.thorough  # tests/studio/test_answers.py and test_classify.py read the markup
def test_a_hostile_name_stays_text(same_page):
    upload(same_page, no_photo("<img src=x onerror=alert(1)>.jpg"))
    expect(same_page.locator("#classify-answer .problem")).to_contain_text("onerror=alert(1)")
    assert same_page.locator("#classify-answer img").count() == 0


@pytest.mark.thorough  # tests/studio/test_classify.py has its words
def test_a_photo_of_something_else_is_probably_none_of_these(same_page):
    upload(same_page, as_file(Image.effect_noise((300, 300), 90).convert("RGB"), "noise.png"))
    expect(answer(same_page)).to_have_text("Probably none of these five")
    expect(same_page.locator("#classify-answer .sub")).to_contain_text("The closest is ")


# The camera


@pytest.fixture
def watched(same_page):
    """That page, where the test sees which cameras are on."""
    same_page.evaluate("() => delete navigator.mediaDevices.getUserMedia")  # by which the test before has seen them
    same_page.evaluate(WATCH_CAMERAS)
    yield same_page
    open_tab(same_page, "Classify")
    take_away(same_page)


def test_answers_follow_the_camera_and_a_frame_that_is_kept_becomes_the_photo(watched):
    page = watched
    page.get_by_role("button", name="Use the camera").click()
    say_yes(page)
    live = page.locator("#classify-live-card")
    expect(live.locator("h2")).to_be_visible()
    expect(live.locator(".bars li")).to_have_count(5)
    expect(page.locator("#classify-photo")).to_be_hidden()
    page.get_by_label("Why?").check()
    expect(page.get_by_alt_text("Where the model finds evidence")).to_be_visible()
    assert not findings(page, "#classify")
    page.get_by_role("button", name="Keep this one").click()
    expect(answer(page)).to_be_visible()
    expect(page.locator("#classify-photo img")).to_be_visible()
    expect(live).to_be_empty()
    page.wait_for_function(f"cameras.length === 1 && {CAMERAS_ON} === 0")


@pytest.mark.thorough  # test_scripts.py has the camera without the studio
def test_the_camera_is_not_left_on(watched):
    page = watched
    page.get_by_role("button", name="Use the camera").click()
    say_yes(page)
    expect(page.locator("#classify-live-card h2")).to_be_visible()
    assert page.evaluate(CAMERAS_ON) == 1
    open_tab(page, "Share")
    page.wait_for_function(f"{CAMERAS_ON} === 0")


# Where in the photo the evidence is


def why(page):
    return page.locator("#classify-why")


def told_why(page, name: str) -> str:
    """The picture of the evidence for that class, once it is there."""
    expect(page.locator("#classify-reason figcaption")).to_contain_text(f"evidence for {name}")
    image = page.locator("#classify-reason .after")
    expect(image).to_be_visible()
    return image.get_attribute("src")


@pytest.mark.parametrize("width", WIDTHS)
def test_the_reason_is_told_when_asked_and_for_any_class(same_page, width):
    page = same_page
    resize(page, width)
    expect(why(page)).to_be_hidden()  # no answer yet
    example(page, "daisy")
    classes = list(bars(page))
    expect(why(page)).to_be_visible()
    assert page.locator("#classify-reason img").count() == 0
    why(page).get_by_role("button", name="Why?").click()
    first = told_why(page, classes[0])
    assert page.evaluate("document.documentElement.scrollWidth") <= width
    assert [choice.inner_text() for choice in why(page).locator("label:has(input[type=radio])").all()] == classes
    why(page).get_by_role("radio", name=classes[1]).check()
    assert told_why(page, classes[1]) != first


@pytest.mark.thorough  # tests/studio/test_classify.py has the reasons of an answer
@pytest.mark.parametrize("width", WIDTHS)
def test_once_asked_for_the_reason_is_told_of_the_next_photos_too(same_page, width):
    page = same_page
    resize(page, width)
    example(page, "daisy")
    before = next(iter(bars(page)))
    why(page).get_by_role("button", name="Why?").click()
    first = told_why(page, before)
    example(page, "tulip")
    expect(page.locator("#classify-reason .after")).not_to_have_attribute("src", first)
    answered = next(iter(bars(page)))
    assert answered != before
    told_why(page, answered)
    expect(why(page).get_by_role("radio", name=answered)).to_be_checked()
    page.locator("#classify-photo").get_by_label("Remove Image").click()
    expect(why(page)).to_be_hidden()
    example(page, "rose")
    expect(page.locator("#classify-reason .after")).to_be_visible()


@pytest.mark.thorough  # test_scripts.py moves the border
def test_the_border_moves_by_keyboard_and_stays_for_the_next_class(same_page):
    page = same_page
    example(page, "daisy")
    first, second, *_ = bars(page)
    why(page).get_by_role("button", name="Why?").click()
    before = told_why(page, first)
    map_, border = page.locator("#classify-reason .after"), page.get_by_role("slider", name="Border between")
    expect(map_).to_have_css("clip-path", "inset(0px 0px 0px 50%)")
    border.focus()
    page.keyboard.press("ArrowRight")
    expect(map_).to_have_css("clip-path", "inset(0px 0px 0px 51%)")
    page.keyboard.press("Home")
    expect(map_).to_have_css("clip-path", "inset(0px 0px 0px 0%)")
    why(page).get_by_role("radio", name=second).check()
    assert told_why(page, second) != before
    expect(map_).to_have_css("clip-path", "inset(0px 0px 0px 0%)")
    assert border.input_value() == "0"


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


def in_script(*names: str) -> list[tuple[str, str, str]]:
    return [(file["name"], file["mimeType"], base64.b64encode(file["buffer"]).decode()) for file in flowers(*names)]


@pytest.mark.parametrize("width", WIDTHS)
def test_many_photos_come_in_a_table_whatever_one_of_them_is(same_page, width):
    page = same_page
    resize(page, width)
    with page.expect_file_chooser() as choosing:
        page.locator("#classify-photo").get_by_text("or click to choose").click()
    choosing.value.set_files([*flowers("daisy", "tulip"), no_photo("-damaged.jpg")])
    rows = page.locator("#classify-many tbody tr")
    expect(rows).to_have_count(3)
    expect(rows.nth(2)).to_contain_text("is a text file, not a photo")
    expect(page.locator("#classify-many h2")).to_have_text("3 photos")
    expect(page.locator("#classify-sending")).to_be_empty()

    # The first is seen at once, another when it is chosen, here by keyboard.
    expect(answer(page)).to_have_text(rows.nth(0).locator("td").nth(1).inner_text())
    rows.nth(1).get_by_role("button", name="tulip.png").focus()
    page.keyboard.press("Enter")
    expect(answer(page)).to_have_text(rows.nth(1).locator("td").nth(1).inner_text())
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


@pytest.mark.thorough  # test_scripts.py says which files go where
def test_many_are_dropped_and_one_is_pasted_onto_the_last(same_page):
    page = same_page
    forget(page)
    page.evaluate(DROPPED, in_script("rose", "daisy"))
    expect(page.locator("#classify-many tbody tr")).to_have_count(2)
    expect(page.locator("#classify-recent li")).to_have_count(1)
    page.evaluate(PASTED, in_script("sunflower"))
    expect(page.locator("#classify-recent li")).to_have_count(2)
    page.evaluate(DROPPED, in_script("dandelion"))
    expect(page.locator("#classify-recent li")).to_have_count(3)


@pytest.mark.thorough  # test_scripts.py says which files go where
def test_what_is_dropped_while_others_are_answered_is_answered_after_them(same_page):
    page = same_page
    held = []  # the two questions about many photos, on their way to the server

    def hold(route) -> None:
        many = len(held) < 2 and ".png" in (route.request.post_data or "")
        held.append(route) if many else route.continue_()

    def drop(*names: str) -> None:
        before = len(held)
        page.evaluate(DROPPED, in_script(*names))
        wait_for(lambda: page.title() and len(held) > before)  # whoever only sleeps hears of no question

    page.route(lambda url: "/queue/join" in url, hold)
    drop("rose", "daisy")
    drop("tulip", "sunflower", "dandelion")
    for question, count in zip(held, (2, 3), strict=True):
        question.continue_()
        expect(page.locator("#classify-many h2")).to_have_text(f"{count} photos")
        expect(page.locator("#classify-many tbody tr")).to_have_count(count)


# Corrections


def offers_own_photos(page, count: int) -> None:
    """Where a photo set is chosen, so often My photos are among what is offered: once or not at all."""
    open_tab(page, "Evaluate")
    page.locator("#evaluate-source input").click()
    expect(page.get_by_role("option", name="The garden").first).to_be_visible()  # twice for a moment, when one goes
    expect(page.get_by_role("option", name="My photos")).to_have_count(count)
    page.keyboard.press("Escape")
    open_tab(page, "Classify")


def correct(page, name: str):
    """Say that it was actually something else; returns what is said to that."""
    offers = page.locator("#classify-correct")
    offers.get_by_text("It was actually").click()
    offers.get_by_role("button", name=name).click()
    return offers.get_by_role("status").locator("p")


@pytest.mark.thorough  # the next has the page's part, tests/studio/test_classify.py the rest
def test_a_correction_lands_in_my_photos_and_can_be_taken_back(same_page):
    page = same_page
    example(page, "daisy")
    said = correct(page, "rose")
    expect(said).to_have_text("Saved to My photos as rose. Train again to teach it.")
    offers_own_photos(page, 1)
    page.locator("#classify-correct").get_by_role("button", name="Undo").click()
    expect(said).to_contain_text("Taken back")
    offers_own_photos(page, 0)


def test_a_correction_may_have_another_name_which_stays_text(same_page):
    example(same_page, "daisy")
    offers = same_page.locator("#classify-correct")
    offers.get_by_text("It was actually").click()
    offers.get_by_label("Another name").fill("<b>ox-eye")
    same_page.keyboard.press("Enter")
    said = offers.get_by_role("status").locator("p")
    expect(said).to_contain_text("as <b>ox-eye.")
    offers.get_by_role("button", name="Undo").click()
    expect(said).to_contain_text("Taken back")


@pytest.mark.thorough  # tests/data/test_album.py: a photo is there once
def test_of_a_photo_that_is_there_already_every_name_says_so(same_page):
    page = same_page
    example(page, "daisy")
    expect(correct(page, "sunflower")).to_contain_text("Saved to My photos")  # and stays there
    words = answer(page).inner_text()
    example(page, "rose")
    expect(answer(page)).not_to_have_text(words)
    example(page, "daisy")
    expect(answer(page)).to_have_text(words)
    for name in ("rose", "tulip"):
        expect(correct(page, name)).to_contain_text("in My photos already")
    expect(page.locator("#classify-correct").get_by_role("button", name="rose")).to_be_enabled()


def test_why_an_upload_was_refused_is_a_sentence(same_page):
    """The server says it in the visitor's words; Gradio puts the status of the answer before them."""
    said = "The server's disk is nearly full: tell whoever runs this studio."
    same_page.route("**/gradio_api/upload*", lambda route: route.fulfill(status=507, body=said))
    upload(same_page, flowers("tulip")[0])
    message = same_page.locator(".toast-message-text")
    expect(message).to_have_text(said)
    same_page.locator(".toast-close").click()
    expect(message).to_have_count(0)


# Recent answers


def recent(page):
    return page.locator("#classify-recent li")


def forget(page) -> None:
    """Clear the recent answers, if there are any."""
    clear = page.locator("#classify-recent").get_by_role("button", name="Clear")
    if clear.is_visible():
        clear.click()
    expect(page.locator("#classify-recent section")).to_be_hidden()


def answer_two(page) -> list[str]:
    """Have an uploaded photo and then an example answered; the words of these, which alone are recent then."""
    forget(page)
    upload(page, flowers("tulip")[0])
    expect(recent(page)).to_have_count(1)
    example(page, "daisy")
    expect(recent(page)).to_have_count(2)
    return recent(page).locator("span").all_inner_texts()


@pytest.mark.thorough  # test_scripts.py loads the strip again
def test_recent_answers_survive_a_reload_and_what_was_cleared_does_not_come_back(same_page):
    resize(same_page, 390)
    forget(same_page)
    example(same_page, "rose")
    expect(recent(same_page)).to_have_count(1)  # this answer's, and none that came before
    take_away(same_page)
    words = answer_two(same_page)
    same_page.reload()
    expect(recent(same_page).locator("span")).to_have_text(words)
    assert same_page.evaluate("document.documentElement.scrollWidth") <= 390
    expect(answer(same_page)).to_have_text(words[0])  # by the link in the address


@pytest.mark.thorough
def test_recent_answers_are_in_this_browser_alone(same_page, open_page):
    answer_two(same_page)
    other = open_page()
    example(other, "rose")
    expect(recent(other)).to_have_count(1)


def test_a_recent_answer_is_given_again(same_page):
    words = answer_two(same_page)
    assert words[0] != words[1]
    photo = same_page.locator("#classify-photo img")
    before = photo.get_attribute("src")
    recent(same_page).nth(1).get_by_role("button").click()
    expect(answer(same_page)).to_have_text(words[1])
    expect(photo).to_be_visible()
    expect(photo).not_to_have_attribute("src", before)


@pytest.fixture
def gone(same_page, studio):
    """The page with a recent answer whose photo is no longer there, and what that answer said."""
    words = answer_two(same_page)
    for path in (studio.home / "gradio").rglob("tulip.png"):
        path.unlink()
    recent(same_page).nth(1).get_by_role("button").click()
    expect(same_page.locator("#classify-answer .facts")).to_contain_text("no longer on the server")
    yield same_page, words[1]
    example(same_page, "rose")  # or there would be no photo to be taken away
    expect(why(same_page)).to_be_visible()


@pytest.mark.thorough  # tests/studio/test_classify.py has the card
def test_a_recent_answer_is_shown_as_it_was_where_its_photo_is_gone(gone):
    page, words = gone
    expect(answer(page)).to_have_text(words)
    expect(page.locator("#classify-answer > * img, #classify-answer .answer > img")).to_be_visible()
    expect(why(page)).to_be_hidden()


@pytest.mark.thorough  # what it rests on: tests/studio/test_classify.py
def test_a_newer_answer_takes_the_place_of_a_recent_one_for_good(gone):
    page, _ = gone
    example(page, "rose")
    expect(why(page)).to_be_visible()
    page.locator("#classify-photo").get_by_label("Remove Image").click()
    expect(page.locator("#classify-answer .empty")).to_be_visible()
