"""Without good eyes or a mouse: axe-core finds nothing serious in any tab, and the keyboard does everything."""

import shutil

import pytest
from axe_playwright_python.base import AXE_SCRIPT
from playwright.sync_api import expect

from tests.browser.conftest import at_rest, open_tab, wait_for
from tests.browser.filling import FILL, album_zip, fill, unfold
from tests.scripted import finished_run

GRAVE = ("serious", "critical")
ORDERED = ("heading-order", "landmark-one-main", "page-has-heading-one", "region")  # of less weight, and kept as well
CALM = {"reduced_motion": "reduce"}  # no colour is on its way
# What axe looks at. Width and theme change little but colours: the other two combinations are for the thorough part.
LOOKS = ((1280, "light"), (390, "dark"))
MORE_LOOKS = ((1280, "dark"), (390, "light"))
MORE_CHINESE = [tab for tab in FILL if tab != "classify"]
# The page has been told of its new width and has been drawn; its bar of tabs has found its shape.
DRAWN = "new Promise((drawn) => requestAnimationFrame(() => requestAnimationFrame(drawn)))"
TABS_FIT = """() => [...document.querySelectorAll('[role=tab]')].every(
    (tab) => tab.getBoundingClientRect().right <= innerWidth)"""
pytestmark = pytest.mark.usefixtures("kept_runs")


def findings(page) -> list[str]:
    """What axe-core holds against the page as it is now: rule, and the elements that break it."""
    expect(page.locator("#tabs .pending:visible")).to_have_count(0)  # Gradio makes pale what waits for an event
    if not page.evaluate("'axe' in window"):
        page.evaluate(AXE_SCRIPT)
    # A line under a word, drawn by ::after, would keep axe from telling the word's contrast.
    options = {"resultTypes": ["violations"], "checks": {"color-contrast": {"options": {"ignorePseudo": True}}}}
    violations = page.evaluate("async (options) => (await axe.run(options)).violations", options)
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


@pytest.fixture(scope="module")
def kept_runs(studio, garden):
    """Two finished runs, while the module's tests last; the first can answer."""
    with pytest.MonkeyPatch.context() as patch:  # no test's own cache and runs are set yet
        patch.setenv("FLOWERS_CACHE", str(studio.home / "cache"))
        patch.setenv("FLOWERS_RUNS", str(studio.runs))
        runs = [
            finished_run(studio.runs / "one", source=str(garden), usable=True),
            finished_run(studio.runs / "two", accuracy=0.5, source=str(garden)),
        ]
    yield tuple(run.name for run in runs)
    for run in runs:
        shutil.rmtree(run.folder)


# The keyboard


def test_the_keyboard_alone_answers(open_page):
    page = open_page(**CALM)
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


def test_the_keyboard_alone_trains_and_stops(open_page, script):
    page = open_page(query="?tab=train", **CALM)
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
    told = script(lambda: page.keyboard.press("Space"))
    assert (told.run.recipe.init, told.run.recipe.frozen) == ("flowers-resnet18", 4)
    told.begin().step()
    expect(page.locator("#train-stop")).to_be_visible()
    go_to(page, "#train-stop")
    page.keyboard.press("Space")
    wait_for(told.run.stop_requested)
    told.stop()
    expect(page.locator("#train-status h2")).to_have_text("Stopped")


def test_tabs_without_room_in_the_bar_are_reached_by_keyboard(open_page):
    page = open_page(320, **CALM)
    at_rest(page)  # a link that is followed closes the menu
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


def test_the_focus_is_seen_wherever_it_is(open_page):
    page = open_page(**CALM)
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


# What axe-core finds


@pytest.fixture(scope="module")
def everything(studio, visitors, kept_runs, tmp_path_factory):
    """A page of somebody with an album and two finished runs, whose tabs wait to be filled."""
    page = visitors.lodge(1280, **CALM)
    page.goto(f"{studio.url}/?tab=photos")
    page.locator("#photos-files input[type=file]").set_input_files(album_zip(tmp_path_factory.mktemp("mine")))
    expect(page.locator("#photos-bars li")).to_have_count(2)
    return page


def look_at(page, looks: tuple[tuple[int, str], ...]) -> dict[tuple[int, str], list[str]]:
    """What axe-core holds against the open tab, by width and theme."""
    found = {}
    for width, theme in looks:
        page.set_viewport_size({"width": width, "height": 900})
        page.evaluate(DRAWN)
        page.wait_for_function(TABS_FIT)
        page.evaluate("theme => document.body.classList.toggle('dark', theme === 'dark')", theme)
        if problems := findings(page):
            found[width, theme] = problems
    return found


def test_axe_finds_nothing_serious_while_a_run_trains(everything, script):
    open_tab(everything, "Train")
    told = script(everything.locator("#train-start").click).begin()
    told.step(2)
    told.epoch(0.5)
    told.step()
    expect(everything.locator("#train-status h2")).to_contain_text("Epoch 2 of ")
    expect(everything.locator("#train-look figure")).to_have_count(5)
    expect(everything.locator("#train-curves svg").first).to_be_visible()
    assert findings(everything) == []


@pytest.mark.parametrize("looks", [LOOKS, pytest.param(MORE_LOOKS, marks=pytest.mark.thorough)])
@pytest.mark.parametrize("tab", FILL)
def test_axe_finds_nothing_serious_in_a_filled_tab(everything, tab, looks):
    everything.set_viewport_size({"width": 1280, "height": 900})
    fill(everything, tab)
    assert look_at(everything, looks) == {}


@pytest.fixture(scope="module")
def chinese(studio, visitors, kept_runs):
    """A page in Chinese and by night."""
    page = visitors.lodge(1280, locale="zh-CN", **CALM)
    page.goto(f"{studio.url}/?__theme=dark")
    assert page.evaluate("document.documentElement.lang") == "zh-CN"
    return page


def _fill_chinese(page, tab: str) -> None:
    """Of what ``fill`` puts into a tab, what needs no English word to be found."""
    if tab == "classify":
        page.locator("#classify .examples button").first.click()
        expect(page.locator("#classify-answer h2")).to_be_visible()
    if tab == "evaluate":
        page.locator("#evaluate-start").click()
        expect(page.locator("#evaluate-results table").first).to_be_visible()


@pytest.mark.parametrize("tab", ["classify", *(pytest.param(tab, marks=pytest.mark.thorough) for tab in MORE_CHINESE)])
def test_axe_finds_nothing_serious_in_chinese(chinese, tab):
    chinese.locator(f"[role=tab][data-tab-id={tab}]").click()
    expect(chinese.locator(f"[role=tab][data-tab-id={tab}]")).to_have_attribute("aria-selected", "true")
    _fill_chinese(chinese, tab)
    unfold(chinese)
    assert findings(chinese) == []


def test_axe_finds_nothing_serious_in_the_tour(everything):
    everything.set_viewport_size({"width": 1280, "height": 900})
    open_tab(everything, "Train")
    everything.locator("#tour-start").click()
    try:
        assert look_at_dialog(everything) == []
    finally:
        everything.keyboard.press("Escape")


def test_axe_finds_nothing_serious_in_the_help_for_a_setting(chinese):
    chinese.locator("[role=tab][data-tab-id=train]").click()
    chinese.locator("#train-more > button").click()
    chinese.locator(".knob-more:visible").first.click()
    try:
        assert look_at_dialog(chinese) == []
    finally:
        chinese.keyboard.press("Escape")


def look_at_dialog(page) -> list[str]:
    """What axe-core holds against the dialog that has just been opened, by night."""
    page.evaluate("document.body.classList.add('dark')")
    expect(page.locator("dialog[open] h2:visible")).to_be_visible()
    return findings(page)


def test_who_wants_no_motion_gets_none(everything):
    open_tab(everything, "Train")
    moving = everything.evaluate(
        """() => [...document.querySelectorAll('*')].filter(one => { const style = getComputedStyle(one);
            return parseFloat(style.transitionDuration) > 0.01 || parseFloat(style.animationDuration) > 0.01 })
            .map(one => one.outerHTML.slice(0, 100))"""
    )
    assert moving == []
