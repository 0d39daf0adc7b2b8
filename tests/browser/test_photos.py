"""The Photos tab: an album made, changed, checked and taken home in the browser, and seen by nobody else."""

import io
import itertools
import re
import shutil
import zipfile
from pathlib import Path

import pytest
from playwright.sync_api import Page, expect

from flowers.data.album import Album
from flowers.data.sources import GARDEN_FOLDER
from flowers.studio.common import my_album
from flowers.studio.visitors import COOKIE
from tests.browser.conftest import CAMERAS_ON, WATCH_CAMERAS, choose, open_tab, say_yes
from tests.data.test_dataset import picture
from tests.studio.visiting import visit

PAINTED = 240_000  # milliseconds for the garden on a busy machine
STRANGE = "💐 <b>{{x}} ${y} {n}</b>/../Löwenzahn"


@pytest.fixture
def page(shared_page) -> Page:
    """The page of one visitor who looks at their own photos, whichever there are."""
    open_tab(shared_page, "Photos")
    look_at(shared_page, "My photos")
    return shared_page


@pytest.fixture
def album(shared_page, studio, monkeypatch) -> Album:
    """That visitor's photos, where the studio keeps them: as if another tab of theirs changed them."""
    monkeypatch.setenv("FLOWERS_RUNS", str(studio.runs))
    [cookie] = [cookie["value"] for cookie in shared_page.context.cookies() if cookie["name"] == COOKIE]
    with visit(cookie):
        return my_album()


@pytest.fixture
def empty(page, album) -> Page:
    """That page, where there are no photos."""
    if album.classes:
        shutil.rmtree(album.folder)
        look_anew(page)
    has_classes(page)
    return page


@pytest.fixture
def filled(page, album) -> Page:
    """That page with five photos of three classes: a test leaves them as they are."""
    if {name: len(photos) for name, photos in album.classes.items()} != FILLED:
        shutil.rmtree(album.folder, ignore_errors=True)
        seeds = itertools.count(1)
        for name, count in FILLED.items():
            album.add(name, [(f"{seed}.png", png(seed)) for seed in itertools.islice(seeds, count)])
        look_anew(page)
    has_classes(page, **FILLED)
    return page


def look_anew(page: Page) -> None:
    """Have the tab show what it has not heard of."""
    open_tab(page, "Classify")
    open_tab(page, "Photos")


def look_at(page: Page, title: str) -> None:
    page.locator("#photos-which").get_by_text(title).click()
    expect(page.locator("#photos-facts h2")).to_have_text(title)


def show_photos(page: Page) -> None:
    open_tab(page, "Photos")
    expect(page.locator("#photos-facts h2")).to_have_text("My photos")


def png(seed: int) -> bytes:
    file = io.BytesIO()
    picture(seed, 120).save(file, "PNG")
    return file.getvalue()


FILLED = {"rose": 2, "tulip": 1, STRANGE: 2}


def zipped(path: Path, files: dict[str, bytes]) -> Path:
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, content in files.items():
            archive.writestr(name, content)
    return path


def give(page: Page, *paths: Path) -> None:
    page.locator("#photos-files input[type=file]").set_input_files([str(path) for path in paths])


def type_into(page: Page, dropdown: str, text: str) -> None:
    field = page.locator(f"#{dropdown} input")
    field.fill(text)
    field.press("Enter")


def name_no_class(page: Page) -> None:
    """Empty the field where the class of photos is typed, which an earlier test may have filled."""
    field = page.locator("#photos-into input")
    field.fill("")
    field.blur()


def said(page: Page):
    return page.locator("#photos-message")


def has_classes(page: Page, **counts: int) -> None:
    """The bars show just these classes with these numbers of photos."""
    expect(page.locator("#photos-bars li")).to_have_count(len(counts))
    has_among_others(page, **counts)


def has_among_others(page: Page, **counts: int) -> None:
    """The bars show these classes with these numbers of photos."""
    for name, count in counts.items():
        name = page.locator(".name", has_text=re.compile(f"^{re.escape(name)}$"))
        expect(page.locator("#photos-bars li").filter(has=name).locator(".share")).to_have_text(str(count))


def boxes(page: Page, of: str = "photos-sheet"):
    return page.locator(f"#{of} input[type=checkbox]:visible")


# Made, changed, taken home


def test_a_zip_is_added_and_what_is_no_photo_in_it_is_told(empty, tmp_path):
    page = empty
    expect(page.locator("#photos-sheet")).to_contain_text("No photos yet")
    photos = {f"mine/{name}/{seed}.png": png(seed) for name, seed in (("rose", 1), ("rose", 2), ("tulip", 3))}
    give(page, zipped(tmp_path / "mine.zip", {**photos, "mine/tulip/notes.txt": b"hello"}))
    expect(said(page)).to_contain_text("Added 3 photos. Not added: 1 photo. notes.txt is a text file")
    has_classes(page, rose=2, tulip=1)
    expect(page.locator("#photos-facts")).to_contain_text("The class tulip has only one photo")


def test_photos_wait_for_their_classs_name_which_stays_text_whatever_it_is(page, tmp_path):
    name_no_class(page)
    for seed in (4, 5):
        (tmp_path / f"{seed}.png").write_bytes(png(seed))
    give(page, tmp_path / "4.png", tmp_path / "5.png")
    expect(said(page)).to_contain_text("Type its name")
    type_into(page, "photos-into", STRANGE)
    page.locator("#photos-add").click()
    expect(said(page)).to_contain_text(f"Added 2 photos to {STRANGE}.")
    has_among_others(page, **{STRANGE: 2})
    assert page.locator("#photos-bars b, #photos-sheet b, #photos-message b").count() == 0


def test_a_photo_is_moved_by_keyboard_and_that_is_undone(filled):
    page = filled
    boxes(page).first.focus()
    page.keyboard.press("Space")
    type_into(page, "photos-to", "tulip")
    page.locator("#photos-move").click()
    has_classes(page, rose=1, tulip=2, **{STRANGE: 2})
    expect(page.locator("#photos-undo")).to_have_text("Undo: moved 1 photo to tulip")
    page.locator("#photos-undo").click()
    has_classes(page, **FILLED)


@pytest.mark.thorough  # what each of them does: tests/data/test_album.py
def test_photos_are_moved_by_keyboard_renamed_and_removed_and_all_of_it_undone(filled):
    page = filled
    boxes(page).first.focus()
    page.keyboard.press("Space")
    expect(page.locator(".ticks output")).to_have_text("1 ticked")
    type_into(page, "photos-to", "tulip")
    page.locator("#photos-move").click()
    expect(said(page)).to_contain_text("Moved 1 photo to tulip")
    has_classes(page, rose=1, tulip=2, **{STRANGE: 2})
    page.locator("#photos-edit button").first.click()
    choose(page, "photos-edited", "tulip")
    page.locator("#photos-new-name :is(input, textarea)").fill("Tulpe")
    page.locator("#photos-rename").click()
    expect(said(page)).to_contain_text("tulip is now called Tulpe.")
    has_classes(page, rose=1, Tulpe=2, **{STRANGE: 2})
    page.get_by_role("button", name="Tick all shown").click()
    expect(page.locator(".ticks output")).to_have_text("5 ticked")
    page.locator("#photos-remove").click()
    expect(said(page)).to_contain_text("Removed 5 photos")
    for step in ("removed 5 photos", "renamed tulip to Tulpe", "moved 1 photo to tulip"):
        expect(page.locator("#photos-undo")).to_have_text(f"Undo: {step}")
        page.locator("#photos-undo").click()
    has_classes(page, **FILLED)


@pytest.mark.thorough  # tests/browser/test_evaluate.py reloads a page, and it stays its visitor's
def test_an_album_is_there_after_a_reload(filled):
    filled.reload()
    show_photos(filled)
    has_classes(filled, **FILLED)


@pytest.mark.thorough  # tests/studio/test_classify.py has another visitor, too
def test_an_album_is_nobody_elses(filled, open_page):
    other = open_page(390)
    show_photos(other)
    expect(other.locator("#photos-sheet")).to_contain_text("No photos yet")
    assert not other.evaluate("document.documentElement.scrollWidth > innerWidth")


def test_what_is_packed_is_what_was_put_in(filled, tmp_path):
    filled.locator("#photos-export").click()
    with filled.expect_download() as download:
        filled.locator("#photos-download").click()
    again = Album(tmp_path / "again")
    assert again.add_zip(download.value.path()).count == 5
    assert {name: len(found) for name, found in again.classes.items()} == FILLED


# The doctor


@pytest.mark.thorough  # test_accessibility.py has the findings on the page, tests/studio what is left out
def test_the_doctor_finds_a_copy_and_leaves_it_out(empty, tmp_path):
    page = empty
    copy = io.BytesIO()
    picture(1, 120).save(copy, "JPEG", quality=70)
    files = {f"{name}/{seed}.png": png(seed) for name, seeds in (("a", (1, 2, 3)), ("b", (4, 5))) for seed in seeds}
    give(page, zipped(tmp_path / "mine.zip", {**files, "a/copy.jpg": copy.getvalue()}))
    has_classes(page, a=4, b=2)
    expect(page.locator("#photos-sheet .held").first).to_have_text("◇ held back")
    page.locator("#photos-check").click()
    found = page.locator("#photos-findings")
    expect(found).to_contain_text("More than once in its class: 1")
    expect(found).to_contain_text("No picture stands on both sides of the split.")
    expect(found.locator(".group li")).to_have_count(2)
    assert [box.is_checked() for box in boxes(page, "photos-findings").all()] == [False, True]
    page.locator("#photos-leave-out").click()
    expect(said(page)).to_contain_text("Left out 1 photo.")
    has_classes(page, a=3, b=2)
    page.locator("#photos-undo").click()
    has_classes(page, a=4, b=2)


# The camera


@pytest.mark.thorough  # test_scripts.py takes a burst, tests/studio/test_photos.py keeps one
def test_the_camera_fills_a_class(page):
    name_no_class(page)
    page.get_by_role("button", name="Use the camera").click()
    take = page.get_by_role("button", name="Take 10 photos")
    take.click()
    expect(page.get_by_text("Type the class's name first.")).to_be_visible()
    type_into(page, "photos-into", "clock")
    take.click()
    expect(said(page)).to_contain_text("Added 10 photos to clock.")
    has_among_others(page, clock=10)
    page.get_by_role("button", name="Close the camera").click()
    expect(page.locator("#photos-camera video")).to_be_hidden()


@pytest.mark.thorough  # test_scripts.py has the camera without the studio
def test_the_camera_is_not_left_on(page):
    page.evaluate(WATCH_CAMERAS)
    use, close = (page.get_by_role("button", name=name) for name in ("Use the camera", "Close the camera"))
    use.dblclick()  # two streams, and the first would be lost
    say_yes(page)
    expect(close).to_be_visible()
    assert page.evaluate(CAMERAS_ON) == 1
    close.click()
    assert page.evaluate(CAMERAS_ON) == 0
    use.click()
    say_yes(page)
    expect(close).to_be_visible()
    open_tab(page, "Classify")
    page.wait_for_function(f"{CAMERAS_ON} === 0")
    show_photos(page)
    use.click()
    open_tab(page, "Classify")
    say_yes(page)  # after having gone
    page.wait_for_function(f"cameras.length === 3 && {CAMERAS_ON} === 0")
    show_photos(page)
    expect(use).to_be_visible()


# Hostile files


@pytest.mark.thorough  # tests/data/test_archive.py has them all
def test_hostile_zips_end_in_a_sentence(empty, tmp_path):
    page = empty
    name_no_class(page)
    for number, (files, sentence) in enumerate(
        [
            ({"1.png": b"x"}, "holds no class folders"),
            ({"../rose/1.png": b"x"}, "not a path to unpack safely"),
            ({"rose/1.png": bytes(30_000_000)}, "bomb"),
            (None, "broken"),
        ]
    ):
        path = tmp_path / f"hostile {number}.zip"
        path.write_bytes(b"PK\x03\x04 not a zip") if files is None else zipped(path, files)
        give(page, path)
        expect(said(page).get_by_role("alert")).to_contain_text(sentence)
        expect(page.locator("#photos-bars li")).to_have_count(0)


@pytest.mark.thorough  # tests/studio/test_photos.py adds them
def test_what_is_sound_beside_a_broken_zip_is_not_lost(page, tmp_path):
    broken = tmp_path / "broken.zip"
    broken.write_bytes(b"PK\x03\x04 not a zip")
    give(page, broken, zipped(tmp_path / "sound.zip", {"sound/1.png": png(21)}))
    expect(said(page).get_by_role("alert")).to_contain_text("broken")
    has_among_others(page, sound=1)


# Known sets, from here on beside other tabs: last, for a page works more for every tab that has been opened


@pytest.fixture
def sets(shared_page) -> Page:
    """The page that looks at one set after another."""
    open_tab(shared_page, "Photos")
    return shared_page


def test_what_a_known_set_is_is_told_before_it_is_fetched(sets):
    page = sets
    look_at(page, "Five flowers, every day")
    expect(page.locator("#photos-facts")).to_contain_text("Not on this machine yet.")
    expect(page.locator("#photos-facts")).to_contain_text("licences unknown to us")
    expect(page.locator("#photos-fetch")).to_have_text("Fetch these photos")


@pytest.mark.timeout(300)
@pytest.mark.parametrize("painted", ["by somebody else meanwhile", pytest.param("here", marks=pytest.mark.thorough)])
def test_a_known_set_is_fetched(sets, studio, painted):
    page = sets
    garden, aside = studio.home / "cache" / GARDEN_FOLDER, studio.home / "garden aside"
    look_at(page, "Five flowers, every day")
    garden.rename(aside)
    try:
        look_at(page, "The garden")
        expect(page.locator("#photos-fetch")).to_have_text("Paint these flowers")
        if painted != "here":
            aside.rename(garden)
        page.locator("#photos-fetch").click()
        expect(said(page)).to_contain_text("300 of 300 photos are here", timeout=PAINTED)
        expect(page.locator("#photos-place")).to_have_text("Photos 1 to 60 of 300")
    finally:
        if aside.exists():
            shutil.rmtree(garden, ignore_errors=True)
            aside.rename(garden)


def test_a_known_set_is_looked_through_and_trained_on(sets):
    page = sets
    look_at(page, "The garden")
    expect(page.locator("#photos-facts")).to_contain_text("free of any rights")
    expect(page.locator("#photos-place")).to_have_text("Photos 1 to 60 of 300")
    expect(page.locator("#photos-facts")).to_contain_text("is tested on 60 photos")
    page.locator("#photos-next").click()
    expect(page.locator("#photos-place")).to_have_text("Photos 61 to 120 of 300")
    choose(page, "photos-part", "Held back")
    expect(page.locator("#photos-sheet .held")).to_have_count(60)
    assert boxes(page).count() == 0, "a known set is not changed"
    page.get_by_role("button", name="Train on these photos").click()
    expect(page.locator("#train-source input")).to_have_value(re.compile("The garden"))


@pytest.mark.thorough  # tests/studio/test_photos.py refreshes the choices
def test_what_is_chosen_elsewhere_may_be_removed(shared_page, album):
    page = shared_page
    album.add("rose", [(f"{seed}.png", png(seed)) for seed in (1, 2)])
    for tab in ("Evaluate", "Train"):
        open_tab(page, tab)
        choose(page, f"{tab.lower()}-source", "My photos")
    shutil.rmtree(album.folder)
    for tab in ("Evaluate", "Train"):
        open_tab(page, tab)
        expect(page.locator(f"#{tab.lower()}-source input")).to_have_value(re.compile("The garden"))
    with page.expect_response(tells_the_garden) as answer:  # at the page's clock
        pass
    assert answer.value.ok
    expect(page.locator(".toast-body")).to_have_count(0)


def tells_the_garden(answer) -> bool:
    """Whether it answers the page that asks how the run is doing, and tells what is chosen."""
    asked = answer.request.post_data or ""
    return "/gradio_api/run/" in answer.url and "garden" in asked
