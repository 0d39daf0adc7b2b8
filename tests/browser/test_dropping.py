"""What is dropped from the desktop: folders, and single photos of types that a browser does not know.

Files are handed over by the browser's own protocol, as a desktop does it: whatever their names say, no test makes up a
type.
"""

from pathlib import Path

import pillow_heif
import pytest
from PIL import Image
from playwright.sync_api import Page, expect

from flowers.data.garden import render_flower
from tests.browser.conftest import open_tab, settle
from tests.browser.dropped import drop
from tests.data.test_dataset import fill


def saved(path: Path, image: Image.Image, format: str) -> Path:
    image.save(path, format)
    return path


@pytest.fixture
def page(shared_page) -> Page:
    open_tab(shared_page, "Classify")
    settle(shared_page)  # a photo that browsers cannot draw comes back as one that they can
    return shared_page


@pytest.fixture
def photos_page(shared_page) -> Page:
    open_tab(shared_page, "Photos")
    expect(shared_page.locator("#photos-facts h2")).to_have_text("My photos")
    shared_page.locator("#photos-files").scroll_into_view_if_needed()
    return shared_page


def said(page: Page):
    return page.locator("#photos-message")


@pytest.mark.parametrize(
    ("name", "format", "flower"),
    [
        ("SUN.HEIC", "HEIF", "sunflower"),
        pytest.param("rose", "JPEG", "rose", marks=pytest.mark.thorough),  # by its first bytes: tests/data
        pytest.param("daisy.jpg_large", "JPEG", "daisy", marks=pytest.mark.thorough),
        pytest.param("tulip.mpo", "MPO", "tulip", marks=pytest.mark.thorough),
    ],
)
def test_one_photo_is_answered_whatever_it_is_called(page, tmp_path, name, format, flower):
    pillow_heif.register_heif_opener()
    drop(page, "#classify-see", saved(tmp_path / name, render_flower(flower, 5, 250), format))
    expect(page.locator("#classify-answer h2")).to_contain_text(flower)


@pytest.mark.thorough  # test_classify.py has the sentence, test_scripts.py what is dropped
def test_one_file_that_is_no_photo_gets_a_sentence(page, tmp_path):
    (tmp_path / "notes").write_text("this is only text")
    drop(page, "#classify-see", tmp_path / "notes")
    expect(page.locator("#classify-answer")).to_contain_text("is a text file, not a photo")


def test_a_folder_dropped_on_classify_comes_in_a_table(page, tmp_path):
    for n, flower in enumerate(("rose", "daisy", "tulip")):
        (tmp_path / "mine" / "deep").mkdir(parents=True, exist_ok=True)
        saved(tmp_path / "mine" / ("deep" if n else ".") / f"{flower}.jpg", render_flower(flower, 5, 250), "JPEG")
    drop(page, "#classify-see", tmp_path / "mine")
    expect(page.locator("#classify-many [data-row]")).to_have_count(3)


def test_the_folders_in_a_dropped_folder_are_the_classes(photos_page, tmp_path):
    fill(tmp_path / "pets", {"cat": [1, 2, 3], "dog": [4, 5]})
    (tmp_path / "pets" / "cat" / "Thumbs.db").write_text("litter")
    drop(photos_page, "#photos-files", tmp_path / "pets")
    expect(said(photos_page)).to_contain_text("Added 5 photos.")
    rows = photos_page.locator("#photos-bars li")
    expect(rows.filter(has_text="cat").locator(".share")).to_have_text("3")
    expect(rows.filter(has_text="dog").locator(".share")).to_have_text("2")


@pytest.mark.thorough  # test_scripts.py has the paths that come of it
def test_folders_dropped_side_by_side_are_the_classes(photos_page, tmp_path):
    fill(tmp_path, {"oak": [11, 12], "fir": [13, 14, 15]})
    drop(photos_page, "#photos-files", tmp_path / "oak", tmp_path / "fir")
    expect(said(photos_page)).to_contain_text("Added 5 photos.")
    expect(photos_page.locator("#photos-bars li").filter(has_text="fir").locator(".share")).to_have_text("3")


@pytest.mark.thorough  # tests/studio/test_photos.py asks, too
def test_folders_inside_folders_become_classes_at_a_click(photos_page, tmp_path):
    fill(tmp_path / "set" / "cup", {"red": [31, 32], "blue": [33, 34]})
    fill(tmp_path / "set", {"jug": [35, 36]})
    drop(photos_page, "#photos-files", tmp_path / "set")
    expect(photos_page.locator("#photos-bars li").filter(has_text="cup").locator(".share")).to_have_text("4")
    photos_page.get_by_role("button", name="Make the folders inside 2 classes").click()
    expect(said(photos_page)).to_contain_text("4 photos moved to the classes of their folders.")
    expect(photos_page.locator("#photos-bars li").filter(has_text="red").locator(".share")).to_have_text("2")
    expect(photos_page.locator("#photos-apart")).to_have_count(0)


@pytest.mark.thorough  # tests/studio/test_photos.py puts one together
def test_a_dropped_split_is_understood_and_said(open_page, tmp_path):
    photos_page = open_page(query="?tab=photos")  # of somebody without photos, whose classes the split would lack
    fill(tmp_path / "set" / "train", {"mug": [21, 22], "cup": [23, 24]})
    fill(tmp_path / "set" / "valid", {"mug": [25], "cup": [26]})
    drop(photos_page, "#photos-files", tmp_path / "set")
    expect(said(photos_page)).to_contain_text("Added 6 photos.")
    expect(said(photos_page)).to_contain_text("those in valid are held back")
    expect(photos_page.locator("#photos-bars li").filter(has_text="mug").locator(".share")).to_have_text("3")


def test_what_the_paths_travel_in_is_not_seen(photos_page):
    expect(photos_page.locator("#photos-places textarea")).to_be_attached()
    expect(photos_page.locator("#photos-places")).to_be_hidden()


@pytest.mark.thorough  # test_photos.py has photos that wait
def test_photos_without_a_class_wait_for_its_name(photos_page, tmp_path):
    fill(tmp_path, {"loose": [31, 32]})
    drop(photos_page, "#photos-files", *sorted((tmp_path / "loose").iterdir()))
    expect(said(photos_page)).to_contain_text("Type its name")
