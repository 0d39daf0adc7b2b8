"""Links into the studio, and the address that follows what is open."""

import re
import threading

import pytest
from playwright.sync_api import expect

from flowers.data.garden import render_flower
from flowers.recipe import Recipe
from flowers.training.run import Run
from tests.browser.conftest import choose, open_tab, settle, wait_for


@pytest.fixture
def stopped(studio):
    """``stopped(name)`` makes a run that has ended."""

    def create(name: str) -> Run:
        run = Run.create(studio.runs / name, Recipe(epochs=3), "garden")
        run.set_status("stopped")
        return run

    return create


@pytest.fixture(scope="module")
def linked(studio, visitors):
    """The page of a link to a photo and a checkpoint, by night."""
    page = visitors.lodge(1280)
    page.goto(f"{studio.url}/?__theme=dark&tab=classify&photo=rose&checkpoint=flowers-resnet18-report")
    expect(page.locator("#classify-answer .facts")).to_be_visible()
    return page


def test_a_link_opens_a_photo_with_its_checkpoint_and_the_address_follows(linked):
    expect(linked.locator("#classify-answer .facts")).to_contain_text("flowers-resnet18-report")
    open_tab(linked, "Evaluate")
    expect(linked).to_have_url(re.compile(r"\?__theme=dark&tab=evaluate$"))
    open_tab(linked, "Classify")
    expect(linked).to_have_url(re.compile("photo=rose"))
    linked.locator("#classify .examples button", has_text="tulip").click()
    expect(linked).to_have_url(re.compile("photo=tulip"))


def test_a_photo_that_nobody_else_could_open_is_not_in_the_address(linked, tmp_path):
    open_tab(linked, "Classify")
    linked.locator("#classify-photo").get_by_label("Remove Image").click()
    expect(linked.locator("#classify-answer .empty")).to_be_visible()
    expect(linked).not_to_have_url(re.compile("photo="))
    own = tmp_path / "rose.jpg"
    render_flower("rose", 1, 200).save(own)
    linked.locator("#classify-photo input[type=file]").set_input_files(str(own))
    expect(linked.locator("#classify-answer h2")).to_be_visible()
    assert "photo=" not in linked.url


def test_an_address_keeps_what_is_not_ours(linked):
    open_tab(linked, "Augment")
    expect(linked).to_have_url(re.compile("__theme=dark.*tab=augment"))
    assert linked.evaluate("document.body.classList.contains('dark')")


def test_a_link_opens_a_run(linked, studio, stopped):
    run = stopped("a link's run")
    linked.goto(f"{studio.url}/?tab=train&run={run.name}")
    expect(linked.get_by_role("tab", name="Train")).to_have_attribute("aria-selected", "true")
    expect(linked.locator("#train-run input")).to_have_value(re.compile(run.name))


@pytest.mark.thorough
def test_a_reload_opens_the_same_tab_and_run(open_page, stopped):
    run = stopped("a reload's run")
    page = open_page()
    open_tab(page, "Train")
    choose(page, "train-run", run.name)
    expect(page).to_have_url(re.compile(r"\?tab=train&run=."))
    page.reload()
    expect(page.get_by_role("tab", name="Train")).to_have_attribute("aria-selected", "true")
    expect(page.locator("#train-run input")).to_have_value(re.compile(run.name))


@pytest.mark.thorough
def test_the_same_of_a_tab_that_has_no_room_in_the_bar(open_page):
    page = open_page(320, query="?tab=train")
    expect(page.locator("#link-tab :is(input, textarea)")).to_have_value("train")  # the link has been followed, and its
    expect(page.locator("#train-start")).to_be_visible()  # tab, when it opens, closes the menu
    settle(page)
    page.get_by_role("button", name="More tabs").click()
    page.locator(".overflow-dropdown button").filter(has_text="Share").click()
    expect(page).to_have_url(re.compile("tab=share"))
    expect(page.locator("#share-zip")).to_be_visible()


@pytest.mark.thorough  # test_scripts.py presses one
def test_who_presses_a_tab_while_a_link_is_followed_gets_that_tab(linked, studio):
    page, held, answered = linked, [], threading.Event()
    # What the page asks for when it is loaded, before the link is followed.
    page.route(
        "**/gradio_api/run/**",
        lambda request: request.continue_() if answered.is_set() else held.append(request),
    )
    page.goto(f"{studio.url}/?tab=train")
    open_tab(page, "Augment")
    wait_for(lambda: page.title() and held)  # requests are held while Playwright is asked something
    answered.set()
    for request in held:
        request.continue_()
    expect(page.locator("#link-tab :is(input, textarea)")).to_have_value("train")  # it has been followed
    expect(page).to_have_url(re.compile("tab=augment"))
    expect(page.get_by_role("tab", name="Augment")).to_have_attribute("aria-selected", "true")
    page.unroute_all()


@pytest.mark.thorough
def test_a_link_that_names_no_tab_opens_that_of_what_it_names(open_page, stopped):
    run = stopped("linked")
    page = open_page(query=f"?run={run.name}")
    expect(page.locator("#train-run input")).to_have_value(re.compile(run.name))
    page.locator("#train-run input").click()
    page.get_by_role("option", name="The latest").click()
    expect(page).to_have_url(re.compile(r"\?tab=train$"))


@pytest.mark.thorough  # tests/studio/test_links.py has the sentence
def test_a_link_that_leads_nowhere_says_so_as_text(linked, studio):
    page = linked
    page.goto(f"{studio.url}/?tab=train&run=<img src=x onerror=document.title='hacked'>")
    note = page.locator("#link-note .problem")
    expect(note).to_contain_text("<img src=x onerror=document.title='hacked'>")
    expect(page.locator("#train-start")).to_be_visible()
    assert page.title() != "hacked"
    open_tab(page, "Classify")
    expect(note).to_have_count(0)
