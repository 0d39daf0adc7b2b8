"""The page's own scripts by themselves: on a blank page, with the markup they are made for, without a studio.

That Gradio runs them where they belong, is seen in the tests of the tabs.
"""

import itertools
import json
import re
from pathlib import Path

import pytest
from playwright.sync_api import Page, expect

from flowers.studio import classify, live, photos, theme, tour
from flowers.studio.language import say
from tests.browser.axe import findings
from tests.browser.conftest import CAMERAS_ON, PATIENCE, WATCH_CAMERAS, say_yes
from tests.browser.dropped import drop

STUDIO = Path(classify.__file__).parent
TABS = ("classify", "photos", "train", "augment", "evaluate", "share")
BAR = "".join(f'<button role="tab" data-tab-id="{name}">{name}</button>' for name in TABS)
addresses = itertools.count()  # each test has its own: so nothing is kept from the one before

# What Gradio gives to the script of a gr.HTML; what that tells the server is kept in ``told``.
GRADIO = """
window.told = [];
window.play = (selector, script, props = {}, answers = {}) => {
    const element = document.querySelector(selector), watched = [], server = {};
    for (const [name, answer] of Object.entries(answers))
        server[name] = async (...given) => (told.push([name, given]), answer);
    element.brought = (value) => { props.value = value; watched.forEach((call) => call()); };
    new Function("element", "props", "trigger", "watch", "server", script)(
        element, props, (name, data) => told.push([name, data]), (_, call) => watched.push(call), server);
};
"""


@pytest.fixture(scope="module")
def context(chromium):
    context = chromium.new_context(permissions=["camera"], reduced_motion="reduce")
    context.set_default_timeout(PATIENCE)
    yield context
    context.close()


@pytest.fixture
def blank(context):
    """``blank(markup, head)`` is a page with that markup alone."""
    page = context.new_page()
    address = f"http://{next(addresses)}.localhost/"  # a camera is for safe addresses only

    def open_(markup: str, head: str = "", query: str = "") -> Page:
        html = f"<!DOCTYPE html><html lang=en><head><script>{GRADIO}</script>{head}</head><body>{markup}</body></html>"
        page.route("**/*", lambda route: route.fulfill(body=html, content_type="text/html; charset=utf-8"))
        page.goto(address + query)
        return page

    yield open_
    page.close()


def script(name: str) -> str:
    return (STUDIO / name).read_text(encoding="utf-8")


def play(page: Page, selector: str, name: str, *given: dict) -> None:
    """Run a script as Gradio does that of the element which ``selector`` selects."""
    page.evaluate("(given) => play(...given)", [selector, script(name), *given])


def told(page: Page) -> list:
    return page.evaluate("told")


# As Gradio draws a message.
TOAST = (
    '<div class="toast-body" role="status"><div class="toast-header" role="button" tabindex="0"><span>Error</span>'
    '<button type="button" aria-label="Close">×</button></div><div>No.</div></div>'
)


# Classify: what is put where, and the last answers

ZONE = """<div id="classify-see" style="height: 200px">
    <div id="classify-photo"><input type="file" accept="image/*"></div>
    <p id="classify-sending"></p><input data-testid="x-upload-button" type="file" multiple></div>"""
COUNT, LIMIT = 3, 4  # answers that are kept, photos at once
STRIP = re.sub(r"\$\{(\w+)\}", r"\1", classify.STRIP)  # Gradio fills it in
# Where files went: what each of the two fields was given.
FIELDS = """() => document.querySelectorAll("input").forEach((field) => field.addEventListener("change", () => {
    const to = field.dataset.testid ? "many" : "one", files = [...field.files].map((file) => [file.name, file.type]);
    if (files.length) told.push([to, files]);
}))"""
PASTE = """(names) => { const box = new DataTransfer();
    for (const name of names) box.items.add(new File(["x"], name, {type: "image/png"}));
    document.body.dispatchEvent(new ClipboardEvent("paste", {bubbles: true, clipboardData: box})); }"""


@pytest.fixture
def strip(blank) -> Page:
    """The drop zone of Classify and the strip of recent answers."""
    page = blank(ZONE + f'<div id="strip">{STRIP}</div>', theme.HEAD)
    play_strip(page)
    page.evaluate(FIELDS)
    return page


def play_strip(page: Page) -> None:
    play(page, "#strip", "classify.js", {"sending": "{count} on their way", "limit": LIMIT, "count": COUNT})


def answered(page: Page, *words: str) -> None:
    for one in words:
        answer = json.dumps({"path": f"/{one}.png", "words": one, "thumb": ""})
        page.evaluate("(value) => document.querySelector('#strip').brought(value)", answer)


def test_a_photo_goes_to_the_field_for_one_and_several_to_that_for_many(strip, tmp_path):
    for name in "abcdefg":
        (tmp_path / f"{name}.png").write_bytes(b"x")
    (tmp_path / "deep").mkdir()
    (tmp_path / "deep" / "h.png").write_bytes(b"x")
    drop(strip, "#classify-see", tmp_path / "a.png")
    drop(strip, "#classify-see", tmp_path / "a.png", tmp_path / "b.png")
    expect(strip.locator("#classify-sending")).to_have_text("2 on their way")
    drop(strip, "#classify-see", tmp_path / "deep")  # a folder with one photo
    strip.wait_for_function("told.length === 3")
    went = [(field, [name for name, _ in files]) for field, files in told(strip)]
    assert went == [("one", ["a.png"]), ("many", ["a.png", "b.png"]), ("one", ["h.png"])]


def test_what_a_browser_knows_no_type_of_is_sent_as_a_photo(strip, tmp_path):
    (tmp_path / "SUN.HEIC").write_bytes(b"x")
    strip.locator("#classify-photo input").set_input_files(tmp_path / "SUN.HEIC")
    assert told(strip) == [["one", [["SUN.HEIC", "image/jpeg"]]]]


def test_of_too_many_photos_one_more_than_allowed_is_sent_so_that_it_can_be_told(strip):
    strip.evaluate(PASTE, [f"{number}.png" for number in range(9)])
    [[field, files]] = told(strip)
    assert (field, len(files)) == ("many", LIMIT + 1)
    expect(strip.locator("#classify-sending")).to_have_text(f"{LIMIT} on their way")


def test_what_is_pasted_while_another_tab_is_open_is_not_for_classify(strip):
    strip.evaluate("document.querySelector('#classify-see').hidden = true")
    strip.evaluate(PASTE, ["a.png"])
    assert told(strip) == []


def test_the_last_answers_are_listed_newest_first_each_photo_once_and_as_text(strip):
    assert strip.locator(".recent").is_hidden()
    answered(strip, "one", "two", "<b>three", "four", "<b>three")
    assert strip.locator("li span").all_inner_texts() == ["<b>three", "four", "two"]
    strip.locator("li button").nth(2).click()
    [[name, chosen]] = told(strip)
    assert (name, chosen["path"]) == ("select", "/two.png")


def test_the_last_answers_survive_a_reload_and_what_was_cleared_does_not_come_back(strip):
    answered(strip, "one", "two")
    strip.reload()
    play_strip(strip)
    assert strip.locator("li span").all_inner_texts() == ["two", "one"]
    strip.locator(".clear").click()
    assert strip.locator(".recent").is_hidden()
    strip.reload()
    play_strip(strip)
    assert strip.locator("li").count() == 0


@pytest.mark.parametrize("kept", ["{", '{"a": 1}', '[null, 3, {"words": 3}]'])
def test_what_another_has_left_in_the_browser_does_no_harm(strip, kept):
    strip.evaluate("(kept) => localStorage.setItem('flowers_recent', kept)", kept)
    strip.reload()
    play_strip(strip)
    assert strip.locator("li").count() == 0
    answered(strip, "one")
    assert strip.locator("li").count() == 1


def test_the_border_lies_where_the_slider_is_also_after_another_picture_came(blank):
    page = blank('<div id="reason"><input type="range" value="50"></div>')
    page.evaluate("(given) => play(...given)", ["#reason", classify.SLIDE])
    seen = "getComputedStyle(document.querySelector('#reason')).getPropertyValue('--seen')"
    page.locator("input").press("ArrowRight")
    assert page.evaluate(seen) == "51%"
    page.locator("input").press("Home")
    assert page.evaluate(seen) == "0%"
    page.evaluate("document.querySelector('#reason').style.removeProperty('--seen')")
    page.evaluate("document.querySelector('#reason').brought()")
    assert page.evaluate(seen) == "0%"


# Classify: the camera, live


# The studio, which says how many frames there were; it answers with ``status_``.
STUDIO_ASKED = """
window.frames_ = [];
window.status_ = 200;
window.fetch = async (url, { body }) => {
    const state = (await body.text()).split("\\n", 1)[0];
    const [first, second] = new Uint8Array(await body.slice(state.length + 1).arrayBuffer());
    frames_.push({ url, state, jpeg: first === 0xff && second === 0xd8 });
    const card = `<section class="answer">${frames_.length}</section>`;
    const told = { card, state: `s${frames_.length}` };
    if (url.includes("why=1")) Object.assign(told, { heat: "data:,", box: [0.1, 0, 0.9, 1] });
    return new Response(JSON.stringify(status_ === 200 ? told : { problem: "No." }), { status: status_ });
};
"""


@pytest.fixture
def seen(blank) -> Page:
    """The live camera, and who answers its frames."""
    view = f'<div id="live">{live.MARKUP}</div><div id="classify-live-card"></div>'
    page = blank(f'<div id="classify">{ZONE}{view}</div>', theme.HEAD)
    page.evaluate(f"() => {{{STUDIO_ASKED}}}")
    play(page, "#live", "live.js", {"value": "flowers-lite0"})
    page.evaluate(WATCH_CAMERAS)
    page.evaluate(FIELDS)
    return page


def look(page: Page, button: str = "open") -> None:
    page.locator(f"[data-live={button}]").click()


def frames(page: Page, count: int) -> list[dict]:
    """What the studio was asked, once there are so many frames."""
    page.wait_for_function("(count) => frames_.length >= count", arg=count)
    return page.evaluate("frames_")


def test_one_frame_after_the_other_is_asked_about_and_brings_what_was_told_before(seen):
    look(seen)
    say_yes(seen)
    asked = frames(seen, 3)
    assert all("checkpoint=flowers-lite0" in one["url"] and one["jpeg"] for one in asked)
    assert [one["state"] for one in asked[:3]] == ["", "s1", "s2"]
    expect(seen.locator("#classify-live-card .answer")).not_to_be_empty()
    seen.evaluate("document.querySelector('#live').brought('mine')")  # another checkpoint
    asked = frames(seen, len(asked) + 3)
    assert any("checkpoint=mine" in one["url"] and not one["state"] for one in asked[1:])


def test_who_asks_why_sees_where_the_evidence_is(seen):
    look(seen)
    say_yes(seen)
    frames(seen, 1)
    expect(seen.locator("[data-live=heat]")).to_be_hidden()
    seen.locator("[data-live=why]").check()
    expect(seen.locator("[data-live=heat]")).to_have_attribute("src", "data:,")
    assert any("why=1" in one["url"] for one in seen.evaluate("frames_"))
    assert seen.locator("[data-live=heat]").evaluate("(image) => image.style.left") == "10%"


def test_a_kept_frame_becomes_the_photo_and_the_camera_goes_off(seen):
    look(seen)
    say_yes(seen)
    frames(seen, 1)
    look(seen, "shoot")
    seen.wait_for_function("told.length")
    [[field, [[name, kind]]]] = told(seen)
    assert (field, kind) == ("one", "image/jpeg")
    assert re.fullmatch(r"camera [-0-9T]+\.jpg", name)
    assert seen.evaluate(CAMERAS_ON) == 0
    expect(seen.locator("#classify-live-card")).to_be_empty()


def test_the_live_camera_is_not_left_on(seen):
    seen.locator("[data-live=open]").dblclick()  # two streams, and the first would be lost
    say_yes(seen)
    seen.wait_for_function(f"{CAMERAS_ON} === 1")
    look(seen, "close")
    assert seen.evaluate(CAMERAS_ON) == 0
    look(seen)
    say_yes(seen)
    seen.wait_for_function(f"{CAMERAS_ON} === 1")
    seen.evaluate("document.querySelector('#live').hidden = true")  # another tab is opened
    seen.wait_for_function(f"{CAMERAS_ON} === 0")
    seen.evaluate("document.querySelector('#live').hidden = false")
    look(seen)
    seen.evaluate("document.querySelector('#live').hidden = true")
    say_yes(seen)  # after having gone
    seen.wait_for_function(f"cameras.length === 3 && {CAMERAS_ON} === 0")


@pytest.mark.parametrize(
    ("error", "said"), [("NotFoundError", "none"), ("NotAllowedError", "refused"), ("NotReadableError", "busy")]
)
def test_a_camera_that_is_not_to_be_had_is_a_sentence(seen, error, said):
    seen.evaluate(
        "(name) => navigator.mediaDevices.getUserMedia = async () => { throw new DOMException('', name); }", error
    )
    look(seen)
    expect(seen.locator("[data-live=said]")).to_have_text(say(f"live.{said}"))
    expect(seen.locator("[data-live=view]")).to_be_hidden()


def test_a_camera_that_is_unplugged_is_a_sentence(seen):
    look(seen)
    say_yes(seen)
    frames(seen, 1)
    seen.evaluate("cameras[0].dispatchEvent(new Event('ended'))")
    expect(seen.locator("[data-live=said]")).to_have_text(say("live.unplugged"))
    expect(seen.locator("[data-live=view]")).to_be_hidden()


def test_a_studio_that_is_busy_is_asked_again_and_one_that_refuses_says_why(seen):
    seen.evaluate("window.status_ = 429")
    look(seen)
    say_yes(seen)
    frames(seen, 2)
    expect(seen.locator("[data-live=said]")).to_be_empty()
    seen.evaluate("window.status_ = 400")
    expect(seen.locator("[data-live=said]")).to_have_text("No.")
    seen.evaluate("window.status_ = 200")
    expect(seen.locator("[data-live=said]")).to_be_empty()


# Photos: the camera's bursts, the boxes, what is dropped


@pytest.fixture
def camera(blank) -> Page:
    page = blank(f'<div id="photos-into"><input></div><div id="camera">{photos.CAMERA}</div>')
    play(page, "#camera", "camera.js")
    page.evaluate(WATCH_CAMERAS)
    return page


def press(page: Page, button: str) -> None:
    page.locator(f"[data-camera={button}]").click()


def test_a_burst_of_ten_photos_is_sent_once_there_is_a_name_for_them(camera):
    press(camera, "open")
    say_yes(camera)
    camera.wait_for_function("document.querySelector('video').videoWidth > 0")
    press(camera, "take")
    expect(camera.locator("[data-camera=said]")).to_have_text(say("photos.camera_name"))
    expect(camera.locator("#photos-into input")).to_be_focused()
    camera.locator("#photos-into input").fill("clock")
    press(camera, "take")
    camera.wait_for_function("told.length")
    [[name, sent]] = told(camera)
    assert (name, len(sent["photos"])) == ("burst", 10)
    assert all(photo.startswith("data:image/jpeg;base64,") for photo in sent["photos"])
    expect(camera.locator("[data-camera=take]")).to_have_text(say("photos.camera_take"))


def test_the_camera_of_photos_is_not_left_on(camera):
    camera.locator("[data-camera=open]").dblclick()  # two streams, and the first would be lost
    say_yes(camera)
    camera.wait_for_function(f"{CAMERAS_ON} === 1")
    press(camera, "close")
    assert camera.evaluate(CAMERAS_ON) == 0
    press(camera, "open")
    say_yes(camera)
    camera.wait_for_function(f"{CAMERAS_ON} === 1")
    camera.evaluate("document.querySelector('#camera').hidden = true")  # another tab is opened
    camera.wait_for_function(f"{CAMERAS_ON} === 0")
    camera.evaluate("document.querySelector('#camera').hidden = false")
    press(camera, "open")
    camera.evaluate("document.querySelector('#camera').hidden = true")
    say_yes(camera)  # after having gone
    camera.wait_for_function(f"cameras.length === 3 && {CAMERAS_ON} === 0")


def test_boxes_are_ticked_all_at_once_or_in_a_row_and_counted(blank):
    words = '<output data-words="{count} ticked"></output>'
    buttons = "".join(f'<button type="button" data-tick="{which}">{which}</button>' for which in ("all", "none"))
    boxes = "".join(f'<input type="checkbox" value="{number}">' for number in range(6))
    page = blank(f'<div id="sheet">{buttons}{words}{boxes}</div>')
    play(page, "#sheet", "sheet.js")
    counted, box = page.locator("output"), page.locator("input")
    expect(counted).to_have_text("0 ticked")
    box.nth(4).click()
    box.nth(1).click(modifiers=["Shift"])
    expect(counted).to_have_text("4 ticked")
    page.locator("[data-tick=all]").click()
    expect(counted).to_have_text("6 ticked")
    page.locator("[data-tick=none]").click()
    expect(counted).to_have_text("0 ticked")
    page.evaluate("document.querySelector('input').remove()")  # the server draws anew
    page.locator("[data-tick=all]").click()
    expect(counted).to_have_text("5 ticked")


def test_the_files_of_dropped_folders_go_with_their_paths_in_their_order(blank, tmp_path):
    page = blank(
        '<div id="photos-adding" style="height: 200px"><div id="photos-places"><textarea></textarea></div>'
        '<div id="photos-files"><input type="file" multiple></div></div>',
        theme.HEAD,
    )
    page.evaluate(FIELDS)
    page.evaluate("addEventListener('dragover', (event) => event.preventDefault())")  # as Gradio's zone does
    for path in ("oak/1.png", "oak/deep/2.png", "oak/.hidden/3.png", "fir/4.png"):
        (tmp_path / path).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / path).write_bytes(b"x")
    drop(page, "#photos-adding", tmp_path / "oak", tmp_path / "fir")
    page.wait_for_function("told.length")
    [[_, files]] = told(page)
    places = json.loads(page.locator("textarea").input_value())
    assert [Path(place).name for place in places] == [name for name, _ in files]
    assert sorted(places) == ["fir/4.png", "oak/1.png", "oak/deep/2.png"]


# Train: cards, the title, the answers of any epoch


def test_a_card_is_told_once_however_it_is_chosen_and_of_several_at_once_the_last(blank):
    cards = "".join(f'<input type="radio" name="card" value="{name}">' for name in ("report", "quick", "best"))
    page = blank(f'<div id="cards">{cards}</div>')
    play(page, "#cards", "scripts/presets.js")
    page.evaluate("for (const name of ['quick', 'best']) document.querySelector(`[value=${name}]`).click()")
    page.wait_for_function("told.length == 1")
    page.locator("[value=best]").press("ArrowUp")
    page.wait_for_function("told.length == 2")
    page.locator("[value=quick]").dispatch_event("change")  # as where the cards are drawn anew
    page.evaluate("new Promise((later) => setTimeout(later))")
    assert told(page) == [["choose", {"name": name}] for name in ("best", "quick")]


def test_the_title_is_asked_for_while_nobody_sees_the_page(blank):
    page = blank('<div id="title">Epoch 1<span data-run="mine"></span></div>')
    page.clock.install()
    play(page, "#title", "scripts/title.js", {}, {"hidden_title": "In the queue: 2 · flowers"})
    page.evaluate("document.querySelector('#title').brought()")
    assert page.title() == "Epoch 1"
    page.clock.run_for(5000)
    assert told(page) == []  # Gradio's clock ticks
    page.evaluate("Object.defineProperty(document, 'visibilityState', {value: 'hidden', configurable: true})")
    page.clock.run_for(2000)
    expect(page).to_have_title("In the queue: 2 · flowers")
    assert told(page) == [["hidden_title", ["mine"]]]


# Evaluate: the matrix by keyboard


def test_arrow_keys_lead_to_the_next_number_in_their_direction(blank):
    """Past cells without one; a single number is in the page's tab order."""
    filled = {(0, 0), (0, 2), (1, 1), (2, 0), (2, 2)}
    cells = [[f"<td>{f'<button tabindex=-1>{y}{x}</button>' * ((y, x) in filled)}" for x in range(3)] for y in range(3)]
    rows = "".join(f"<tr>{''.join(row)}" for row in cells)
    page = blank(f'<div id="results"><table class="matrix"><tbody>{rows}</tbody></table></div>')
    play(page, "#results", "results.js")
    page.locator("button").first.focus()
    ways = {"ArrowRight": "02", "ArrowDown": "22", "ArrowLeft": "20", "ArrowUp": "00", "End": "22", "Home": "00"}
    for key, expected in ways.items():
        page.keyboard.press(key)
        assert page.evaluate("document.activeElement.textContent") == expected
        assert page.locator("button[tabindex='0']").all_inner_texts() == [expected]
    page.keyboard.press("ArrowUp")  # there is none
    assert page.evaluate("document.activeElement.textContent") == "00"


# The address


@pytest.fixture
def linked(blank):
    """``linked(query)`` opens a page whose address says that."""

    def open_(query: str) -> Page:
        return blank(f'<div id="tabs">{BAR}</div>', f"<script>{script('scripts/links.js')}</script>", query)

    return open_


def asks(page: Page) -> str:
    return page.evaluate("location.search")


def test_the_address_follows_what_is_open_and_chosen_and_keeps_what_is_not_ours(linked):
    page = linked("?__theme=dark")
    page.evaluate("linked.chose('evaluate', 'checkpoint', 'mine')")  # in a tab that is not open
    assert asks(page) == "?__theme=dark"
    page.evaluate("linked.opened('evaluate')")
    assert asks(page) == "?__theme=dark&tab=evaluate&checkpoint=mine"
    page.evaluate("linked.chose('evaluate', 'checkpoint', '')")
    page.evaluate("linked.opened('train')")
    assert asks(page) == "?__theme=dark&tab=train"


def test_who_is_taken_to_another_tab_is_at_its_top_with_the_keyboard_too(linked):
    page = linked("")
    page.evaluate(
        """() => { document.querySelector("[data-tab-id=train]").setAttribute("aria-selected", "true");
            document.body.insertAdjacentHTML("beforeend", "<p style='height: 3000px'></p><button>Try it</button>"); }"""
    )
    page.get_by_role("button", name="Try it").click()
    assert page.evaluate("scrollY") > 0
    page.evaluate("linked.opened('train')")
    expect(page.locator("[data-tab-id=train]")).to_be_focused()
    assert page.evaluate("scrollY") == 0
    page.locator("[data-tab-id=share]").focus()  # who presses a tab stays there
    page.evaluate("linked.opened('share')")
    expect(page.locator("[data-tab-id=share]")).to_be_focused()


def test_an_example_and_the_links_own_photo_are_in_the_address_and_no_other_photo(linked):
    page = linked("?tab=classify&photo=garden/rose/rose-0001.jpg")
    page.evaluate("linked.showed('/tmp/1/rose-0001.jpg', {})")
    page.evaluate("linked.settle('classify')")
    page.evaluate("linked.showed('/tmp/1/rose-0001.jpg', {})")
    assert asks(page) == "?tab=classify&photo=garden%2Frose%2Frose-0001.jpg"
    page.evaluate("linked.showed('/tmp/2/rose-0001.jpg', {})")  # one's own that is called the same
    assert asks(page) == "?tab=classify"
    page.evaluate("linked.showed('/tmp/3/tulip.png', {'tulip.png': 'tulip'})")
    assert asks(page) == "?tab=classify&photo=tulip"


def test_a_link_without_a_tab_gets_that_of_what_it_names(linked):
    page = linked("?run=mine")
    page.evaluate("linked.settle('train')")
    page.evaluate("linked.chose('train', 'run', '')")
    assert asks(page) == "?tab=train"
    page.evaluate("linked.opened('classify')")
    assert asks(page) == "?tab=classify"  # of the run nothing is left there


def test_a_tab_that_is_pressed_while_a_link_is_followed_stays_the_open_one(linked):
    page = linked("?tab=train")
    page.locator("[data-tab-id=augment]").click()
    page.evaluate("linked.opened('train')")  # by the link
    page.evaluate(
        """document.querySelectorAll("[role=tab]").forEach(
            (tab) => { tab.onclick = () => told.push(tab.dataset.tabId); })"""
    )
    page.evaluate("linked.settle('train')")
    assert told(page) == ["augment"]
    assert asks(page) == "?tab=augment"


# The tour


@pytest.fixture
def toured(blank):
    """``toured(query)`` is a page with the tour for somebody new."""

    def open_(query: str = "") -> Page:
        head = f"{theme.HEAD}<style>{theme.CSS.read_text()}</style>"
        return blank(f'<div id="tabs">{BAR}</div>{tour.button()}{tour.html()}', head, query)

    return open_


def test_the_tour_leads_through_its_tabs_forth_and_back_once(toured):
    page = toured()
    steps, tabs = page.locator("#tour section"), list(tour.STEPS.values())
    expect(page.locator("#tour")).to_be_visible()
    for number, tab in enumerate(tabs):
        assert [step.is_visible() for step in steps.all()] == [one == number for one in range(len(tabs))]
        page.wait_for_function(
            """(tab) => { const [ring, box] = ["#tour .ring", `[data-tab-id=${tab}]`].map(
                (one) => document.querySelector(one).getBoundingClientRect());
                return Math.abs(ring.left + 4 - box.left) < 1 && Math.abs(ring.width - 8 - box.width) < 1; }""",
            arg=tab,
        )
        page.locator("#tour .next").click()
        if number == 1:
            page.locator("#tour .back").click()
            page.locator("#tour .next").click()
    expect(page.locator("#tour")).to_be_hidden()
    page.reload()
    page.evaluate("new Promise(requestAnimationFrame)")
    expect(page.locator("#tour")).to_be_hidden()
    page.locator("#tour-start").click()
    expect(steps.first).to_be_visible()


def test_who_follows_a_link_sees_no_tour_and_who_skips_it_has_seen_it(toured):
    page = toured("?tab=train")
    page.evaluate("new Promise(requestAnimationFrame)")
    expect(page.locator("#tour")).to_be_hidden()
    page.goto(page.url.split("?")[0])
    expect(page.locator("#tour")).to_be_visible()
    page.keyboard.press("Escape")
    expect(page.locator("#tour")).to_be_hidden()
    page.wait_for_function("localStorage.getItem('flowers-tour') === 'seen'")


# Accessibility


def test_a_message_is_no_button_with_a_button_in_it(blank):
    page = blank('<main id="tabs"><h1>Train</h1></main>', theme.HEAD)
    page.evaluate("(toast) => document.querySelector('main').insertAdjacentHTML('beforeend', toast)", TOAST)
    expect(page.locator(".toast-header")).to_have_attribute("role", "group")
    assert findings(page, ".toast-body") == []
