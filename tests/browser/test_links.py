"""Links into the studio, and the address that follows what is open."""

import contextlib
import re
import shutil

from playwright.sync_api import TimeoutError, expect

from flowers.data.garden import render_flower
from flowers.recipe import Recipe
from flowers.training.run import Run


def test_a_link_opens_a_photo_with_its_checkpoint_and_the_address_follows(open_page, tmp_path):
    page = open_page(query="?tab=classify&photo=rose&checkpoint=flowers-resnet18-report")
    facts = page.locator("#classify-answer .facts")
    expect(facts).to_contain_text("flowers-resnet18-report")
    page.get_by_role("tab", name="Evaluate").click()
    expect(page).to_have_url(re.compile(r"\?tab=evaluate$"))
    page.get_by_role("tab", name="Classify").click()
    expect(page).to_have_url(re.compile("photo=rose"))
    page.locator("#classify .examples button", has_text="tulip").click()
    expect(page).to_have_url(re.compile("photo=tulip"))
    page.locator("#classify-photo").get_by_label("Remove Image").click()
    expect(page.locator("#classify-answer .empty")).to_be_visible()
    own = tmp_path / "rose.jpg"  # nobody else could open it
    render_flower("rose", 1, 200).save(own)
    page.locator("#classify-photo input[type=file]").set_input_files(str(own))
    expect(page.locator("#classify-answer h2")).to_be_visible()
    assert "photo=" not in page.url
    page.get_by_role("tab", name="Augment").click()
    page.reload()
    expect(page.get_by_role("tab", name="Augment")).to_have_attribute("aria-selected", "true")


def test_the_same_of_a_tab_that_has_no_room_in_the_bar(open_page):
    page = open_page(320, query="?tab=train")
    share = page.locator(".overflow-dropdown button").filter(has_text="Share")
    while "tab=share" not in page.url:  # the link's tab, when it opens, closes the menu
        page.get_by_role("button", name="More tabs").click()
        with contextlib.suppress(TimeoutError):  # also of a press that was taken and only not answered in time
            share.click(timeout=1000)
            page.wait_for_url(re.compile("tab=share"), timeout=1000)
    expect(page).to_have_url(re.compile("tab=share"))
    expect(page.locator("#share-zip")).to_be_visible()


def test_who_presses_a_tab_while_a_link_is_followed_gets_that_tab(open_page):
    page = open_page(query="?tab=train")
    page.get_by_role("tab", name="Augment").click()
    expect(page).to_have_url(re.compile("tab=augment"))
    expect(page.get_by_role("tab", name="Augment")).to_have_attribute("aria-selected", "true")


def test_an_address_keeps_what_is_not_ours(open_page):
    page = open_page(query="?__theme=dark")
    page.get_by_role("tab", name="Train").click()
    expect(page).to_have_url(re.compile("__theme=dark.*tab=train"))


def test_a_link_opens_a_run(open_page, studio):
    run = Run.create(studio.runs / "a link's run", Recipe(epochs=3), "garden")
    run.set_status("stopped")
    page = open_page(query=f"?tab=train&run={run.name}")
    expect(page.get_by_role("tab", name="Train")).to_have_attribute("aria-selected", "true")
    expect(page.locator("#train-run input")).to_have_value(re.compile(run.name))
    page.reload()
    expect(page.locator("#train-run input")).to_have_value(re.compile(run.name))
    page.close()
    shutil.rmtree(run.folder)


def test_a_link_that_names_no_tab_opens_that_of_what_it_names(open_page, studio):
    run = Run.create(studio.runs / "linked", Recipe(epochs=3), "garden")
    run.set_status("stopped")
    page = open_page(query=f"?run={run.name}")
    expect(page.locator("#train-run input")).to_have_value(re.compile(run.name))
    page.locator("#train-run input").click()
    page.get_by_role("option", name="The latest").click()
    expect(page).to_have_url(re.compile(r"\?tab=train$"))
    page.close()
    shutil.rmtree(run.folder)


def test_a_link_that_leads_nowhere_says_so_as_text(open_page):
    page = open_page(query="?tab=train&run=<img src=x onerror=document.title='hacked'>")
    note = page.locator("#link-note .problem")
    expect(note).to_contain_text("<img src=x onerror=document.title='hacked'>")
    expect(page.locator("#train-start")).to_be_visible()
    assert page.title() != "hacked"
    page.get_by_role("tab", name="Classify").click()
    expect(note).to_have_count(0)
