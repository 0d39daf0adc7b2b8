"""Without good eyes or a mouse: axe-core finds nothing serious in any tab, and the keyboard does everything."""

import shutil

import pytest
from axe_playwright_python.sync_playwright import Axe
from playwright.sync_api import expect

from tests.browser.conftest import SLOW
from tests.browser.filling import FILL, album_zip, fill, unfold
from tests.scripted import finished_run

AXE = Axe()
GRAVE = ("serious", "critical")
ORDERED = ("heading-order", "landmark-one-main", "page-has-heading-one", "region")  # of less weight, and kept as well


def findings(page) -> list[str]:
    """What axe-core holds against the page as it is now: rule, and the elements that break it."""
    expect(page.locator("#tabs .pending:visible")).to_have_count(0)  # Gradio makes pale what waits for an event
    # A line under a word, drawn by ::after, would keep axe from telling the word's contrast.
    options = {"resultTypes": ["violations"], "checks": {"color-contrast": {"options": {"ignorePseudo": True}}}}
    violations = AXE.run(page, options=options).response["violations"]
    return [
        f"{found['id']}: {[node['html'][:200] for node in found['nodes'][:5]]}"
        for found in violations
        if found["impact"] in GRAVE or found["id"] in ORDERED
    ]


def focused(page, selector: str, words: str = "") -> bool:
    """Whether the focus is on, or in, what ``selector`` finds and says ``words``."""
    return page.evaluate(
        "([selector, words]) => !!document.activeElement.closest(selector)?.textContent.includes(words)",
        [selector, words],
    )


def go_to(page, selector: str, key: str = "Tab", words: str = "") -> None:
    """Press ``key`` until the focus is there."""
    for _ in range(160):
        page.keyboard.press(key)
        if focused(page, selector, words):
            return
    raise AssertionError(f"the keyboard does not reach {selector} {words}")


def choose_by_typing(page, selector: str, words: str) -> None:
    """Choose in a dropdown by typing a part of what is wanted."""
    go_to(page, selector)
    page.keyboard.press("Control+A")
    page.keyboard.type(words)
    option = page.get_by_role("option", name=words)
    expect(option).to_have_count(1)
    wanted = option.get_attribute("aria-label")
    page.keyboard.press("ArrowDown")
    page.keyboard.press("Enter")
    expect(option).to_have_count(0)
    expect(page.locator(f"{selector} input")).to_have_value(wanted)


def test_the_keyboard_alone_answers_trains_and_stops(open_page):
    page = open_page()
    expect(page.locator("#classify-checkpoint")).to_be_visible()  # the whole tab is drawn
    page.keyboard.press("Tab")
    assert focused(page, "#skip")
    expect(page.locator("#skip")).to_be_in_viewport()
    page.keyboard.press("Enter")
    assert focused(page, "[role=tabpanel]")
    go_to(page, "#classify .examples button")
    page.keyboard.press("Enter")
    expect(page.locator("#classify-answer h2")).to_be_visible()

    go_to(page, "[role=tab][data-tab-id=train]", "Shift+Tab")
    page.keyboard.press("Enter")
    expect(page.locator("#train-start")).to_be_visible()
    choose_by_typing(page, "#train-source", "garden")
    for folded, inside in (("More", "#train-finder"), ("Model", "#knob-init")):
        go_to(page, "#train-knobs .label-wrap", words=folded)
        page.keyboard.press("Enter")
        expect(page.locator(inside)).to_be_visible()  # or Tab leads past it
    choose_by_typing(page, "#knob-init", "flowers-resnet18 (bundled)")
    go_to(page, "#knob-frozen")
    page.keyboard.press("Control+A")
    page.keyboard.type("4")
    go_to(page, "#train-start", "Shift+Tab")
    expect(page.get_by_role("option")).to_have_count(0)  # the lists that Tab has passed are not left open
    page.keyboard.press("Space")
    expect(page.locator("#train-stop")).to_be_visible()
    assert findings(page) == []
    go_to(page, "#train-stop")
    page.keyboard.press("Space")
    expect(page.locator("#train-status h2")).to_have_text("Stopped", timeout=200_000)


def test_tabs_without_room_in_the_bar_are_reached_by_keyboard(open_page):
    page = open_page(320)
    more = page.get_by_role("button", name="More tabs")
    expect(more).to_have_attribute("aria-expanded", "false")
    go_to(page, ".overflow-menu")
    page.keyboard.press("Enter")
    expect(more).to_have_attribute("aria-expanded", "true")
    assert findings(page) == []
    page.keyboard.press("Tab")
    page.keyboard.press("Escape")
    expect(more).to_have_attribute("aria-expanded", "false")
    expect(more).to_be_focused()
    page.keyboard.press("Enter")
    page.keyboard.press("Tab")
    page.keyboard.press("Enter")
    expect(page.locator("[role=tab][data-tab-id=evaluate]")).to_be_focused()
    expect(page.locator("#evaluate-start")).to_be_visible()


@pytest.fixture(scope="module")
def everything(studio, chromium, garden, tmp_path_factory):
    """A page of somebody with an album and two finished runs, whose tabs wait to be filled."""
    expect.set_options(timeout=SLOW)
    runs = [
        finished_run(studio.runs / "one", source=str(garden), usable=True),
        finished_run(studio.runs / "two", accuracy=0.5, source=str(garden)),
    ]
    context = chromium.new_context(reduced_motion="reduce", permissions=["camera"])  # no colour is on its way
    context.set_default_timeout(SLOW)
    page = context.new_page()
    page.goto(f"{studio.url}/?tab=photos")
    page.locator("#photos-files input[type=file]").set_input_files(album_zip(tmp_path_factory.mktemp("mine")))
    expect(page.locator("#photos-bars li")).to_have_count(2)
    yield page
    context.close()
    for run in runs:
        shutil.rmtree(run.folder)


@pytest.mark.parametrize("tab", FILL)
def test_axe_finds_nothing_serious_in_a_filled_tab(everything, tab):
    page, found = everything, {}
    page.set_viewport_size({"width": 1280, "height": 900})
    fill(page, tab)
    for width in (1280, 390):
        page.set_viewport_size({"width": width, "height": 900})
        page.wait_for_timeout(300)  # until the bar of tabs has found its shape
        for theme in ("light", "dark"):
            page.evaluate("theme => document.body.classList.toggle('dark', theme === 'dark')", theme)
            if problems := findings(page):
                found[width, theme] = problems
    assert found == {}


def test_axe_finds_nothing_serious_in_chinese(open_page):
    # With reduced motion, no colour is on its way.
    page, found = open_page(query="?__theme=dark", locale="zh-CN", reduced_motion="reduce"), {}
    assert page.evaluate("document.documentElement.lang") == "zh-CN"
    for tab in FILL:
        page.locator(f"[role=tab][data-tab-id={tab}]").click()
        page.wait_for_timeout(800)
        if tab == "classify":
            page.locator("#classify .examples button").first.click()
            expect(page.locator("#classify-answer h2")).to_be_visible()
        if tab == "evaluate":
            page.locator("#evaluate-start").click()
            expect(page.locator("#evaluate-results table").first).to_be_visible(timeout=200_000)
        unfold(page)
        page.wait_for_timeout(800)
        if problems := findings(page):
            found[tab] = problems
    assert found == {}


@pytest.mark.parametrize(("opener", "locale"), [(".knob-more", "zh-CN"), ("#tour-start", "en")])
def test_axe_finds_nothing_serious_in_the_dialogs(open_page, opener, locale):
    page = open_page(query="?__theme=dark&tab=train", locale=locale)
    assert page.evaluate("document.documentElement.lang") == locale
    if opener == ".knob-more":
        page.locator("#train-more > button").click()
    page.locator(f"{opener}:visible").first.click()
    expect(page.locator("dialog[open] h2:visible")).to_be_visible()
    assert findings(page) == []


def test_the_focus_is_seen_wherever_it_is(open_page):
    page = open_page()
    faint = []
    for _ in range(40):
        page.keyboard.press("Tab")
        outline, width, name = page.evaluate(
            """() => { const one = document.activeElement, style = getComputedStyle(one);
                return [style.outlineStyle !== 'none', parseFloat(style.outlineWidth), one.outerHTML.slice(0, 120)] }"""
        )
        if name.startswith("<body"):
            break
        if not outline or width < 2:
            faint.append(name)
    assert faint == []


def test_who_wants_no_motion_gets_none(studio, chromium):
    context = chromium.new_context(reduced_motion="reduce")
    page = context.new_page()
    page.goto(studio.url)
    page.get_by_role("tab", name="Train").click()
    moving = page.evaluate(
        """() => [...document.querySelectorAll('*')].filter(one => { const style = getComputedStyle(one);
            return parseFloat(style.transitionDuration) > 0.01 || parseFloat(style.animationDuration) > 0.01 })
            .map(one => one.outerHTML.slice(0, 100))"""
    )
    context.close()
    assert moving == []
