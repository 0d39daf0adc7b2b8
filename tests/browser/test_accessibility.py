"""Without good eyes or a mouse: axe-core finds nothing serious in any tab, and the keyboard does everything."""

import shutil
from collections.abc import Sequence

import pytest
from playwright.sync_api import expect

from tests.browser.axe import findings
from tests.browser.conftest import choose, open_tab, wait_for
from tests.browser.filling import FILL, album_zip, fill, unfold
from tests.scripted import finished_run

# What axe looks at, and how much of it in the quick part: width and theme change little but colours, which tabs have
# in common, and tests/browser/test_page.py looks at the tabs as they are before anything is in them.
LOOKS = ((1280, "light"), (390, "dark"), (1280, "dark"), (390, "light"))
QUICK = {"photos": LOOKS[1:2]}
THOROUGH = {tab: [look for look in LOOKS if look not in QUICK.get(tab, ())] for tab in FILL}
# The page has been told of its new width and has been drawn; its bar of tabs has found its shape.
DRAWN = "new Promise((drawn) => requestAnimationFrame(() => requestAnimationFrame(drawn)))"
TABS_FIT = """() => [...document.querySelectorAll('[role=tab]')].every(
    (tab) => tab.getBoundingClientRect().right <= innerWidth)"""
pytestmark = pytest.mark.usefixtures("kept_runs")


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


def begin_at_the_top(page) -> None:
    """Have the next Tab lead to the first control, as on a page that has just been opened."""
    page.evaluate(
        """() => { const top = document.createElement('a'); top.tabIndex = -1; document.body.prepend(top);
            top.focus(); top.remove() }"""
    )


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
    """Two finished runs, while the module's tests last; the latest can answer."""
    with pytest.MonkeyPatch.context() as patch:  # no test's own cache and runs are set yet
        patch.setenv("FLOWERS_CACHE", str(studio.home / "cache"))
        patch.setenv("FLOWERS_RUNS", str(studio.runs))
        runs = [
            finished_run(studio.runs / "two", accuracy=0.5, source=str(garden)),
            finished_run(studio.runs / "one", source=str(garden), usable=True),
        ]
    yield tuple(run.name for run in runs)
    for run in runs:
        shutil.rmtree(run.folder)


@pytest.fixture(scope="module")
def everything(studio, visitors, kept_runs, tmp_path_factory):
    """A page of somebody with an album and two finished runs, whose tabs wait to be filled."""
    page = visitors.lodge(1280)
    page.goto(f"{studio.url}/?tab=photos")
    page.locator("#photos-files input[type=file]").set_input_files(album_zip(tmp_path_factory.mktemp("mine")))
    expect(page.locator("#photos-bars li")).to_have_count(2)
    return page


# The keyboard


def test_the_keyboard_alone_answers(everything):
    page = everything
    open_tab(page, "Classify")
    expect(page.locator("#classify-checkpoint")).to_be_visible()  # the whole tab is drawn
    begin_at_the_top(page)
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


def test_the_focus_is_seen_wherever_it_is(everything):
    open_tab(everything, "Classify")
    begin_at_the_top(everything)
    faint = []
    for _ in range(40):
        everything.keyboard.press("Tab")
        outline, width, name = everything.evaluate(
            """() => { const one = document.activeElement, style = getComputedStyle(one);
                return [style.outlineStyle !== 'none', parseFloat(style.outlineWidth), one.outerHTML.slice(0, 120)] }"""
        )
        if name.startswith("<body"):
            break
        if not outline or width < 2:
            faint.append(name)
    assert faint == []


def test_tabs_without_room_in_the_bar_are_reached_by_keyboard(everything):
    page = everything
    open_tab(page, "Classify")
    set_width(page, 320)
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


@pytest.mark.thorough  # the first here goes by keyboard, too
def test_the_keyboard_alone_trains_and_stops(everything, script):
    page = everything
    set_width(page, 1280)
    open_tab(page, "Train")
    expect(page.locator("#train-start")).to_be_visible()
    choose_by_typing(page, "#train-source", "garden")
    go_to(page, "#train-knobs .label-wrap", words="More")
    page.keyboard.press("Enter")
    expect(page.locator("#knob-epochs")).to_be_visible()  # or Tab leads past it
    go_to(page, "#knob-epochs")
    page.keyboard.press("Control+A")
    page.keyboard.type("4")
    go_to(page, "#train-start", "Shift+Tab")
    expect(page.get_by_role("option")).to_have_count(0)  # the lists that Tab has passed are not left open
    told = script(lambda: page.keyboard.press("Space"))
    assert (told.run.source, told.run.recipe.epochs) == ("garden", 4)
    told.begin().step()
    expect(page.locator("#train-stop")).to_be_visible()
    go_to(page, "#train-stop")
    page.keyboard.press("Space")
    wait_for(told.run.stop_requested)
    told.stop()
    expect(page.locator("#train-status h2")).to_have_text("Stopped")


# What axe-core finds


def set_width(page, width: int) -> None:
    page.set_viewport_size({"width": width, "height": 900})
    page.evaluate(DRAWN)
    page.wait_for_function(TABS_FIT)


def set_theme(page, theme: str) -> None:
    page.evaluate("theme => document.body.classList.toggle('dark', theme === 'dark')", theme)


def look_at(page, looks: Sequence[tuple[int, str]]) -> dict[tuple[int, str], list[str]]:
    """What axe-core holds against the open tab, by width and theme."""
    found = {}
    for width, theme in looks:
        set_width(page, width)
        set_theme(page, theme)
        if problems := findings(page):
            found[width, theme] = problems
    return found


@pytest.mark.thorough
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


@pytest.mark.parametrize(
    ("tab", "looks"),
    [*QUICK.items(), *(pytest.param(*more, marks=pytest.mark.thorough) for more in THOROUGH.items())],
)
def test_axe_finds_nothing_serious_in_a_filled_tab(everything, tab, looks):
    set_width(everything, 1280)
    fill(everything, tab)
    assert look_at(everything, looks) == {}


def test_axe_finds_nothing_serious_in_a_run_that_has_ended(everything):
    set_width(everything, 1280)
    open_tab(everything, "Train")
    expect(everything.locator("#train-try")).to_be_visible()  # the latest
    expect(everything.locator("#train-look figure")).to_have_count(5)
    assert look_at(everything, LOOKS[:1]) == {}


@pytest.mark.thorough  # tests/browser/test_page.py looks at the tab as it is before
def test_axe_finds_nothing_serious_in_an_evaluation(everything):
    set_width(everything, 1280)
    open_tab(everything, "Evaluate")
    choose(everything, "evaluate-source", "My photos")
    everything.locator("#evaluate-split").get_by_label("All").check()
    everything.locator("#evaluate-start").click()
    expect(everything.locator("#evaluate-report")).to_be_visible()
    assert look_at(everything, LOOKS[1:2]) == {}


@pytest.fixture(scope="module")
def chinese(studio, visitors, kept_runs):
    """A page in Chinese and by night."""
    page = visitors.lodge(1280, locale="zh-CN")
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


@pytest.mark.thorough
@pytest.mark.parametrize("tab", FILL)
def test_axe_finds_nothing_serious_in_chinese(chinese, tab):
    chinese.locator(f"[role=tab][data-tab-id={tab}]").click()
    expect(chinese.locator(f"[role=tab][data-tab-id={tab}]")).to_have_attribute("aria-selected", "true")
    _fill_chinese(chinese, tab)
    unfold(chinese)
    assert findings(chinese) == []
