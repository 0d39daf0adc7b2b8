"""The doctor's findings as a picture."""

import dataclasses
import shutil

import numpy as np
import pytest
from PIL import Image, ImageColor

from flowers.data.dataset import scan
from flowers.data.doctor import Suspect, check
from flowers.errors import DecodeError
from flowers.evaluation import sheet
from flowers.evaluation.figures import WRONG
from flowers.evaluation.sheet import contact_sheet, write_sheet


@pytest.fixture
def findings(garden, tmp_path):
    """Of a set whose roses are blue squares and whose other photos are flowers."""
    root = shutil.copytree(garden, tmp_path / "set")
    for number, name in enumerate(("a", "b")):
        Image.new("RGB", (100, 100), (0, 0, 250)).save(root / "rose" / f"{name}{number}.png")
    return check(scan(root))


def suspected(findings, count: int):
    """The findings, with so many suspects."""
    photos = [photo.path for photo in findings.dataset.photos[:count]]
    suspects = tuple(Suspect(path, path.split("/")[0], "tulip", 0.9, 0.1, True) for path in photos)
    return dataclasses.replace(findings, suspects=suspects)


def columns_of(picture: Image.Image, colour: tuple[int, int, int]) -> int:
    """How many separate runs of columns hold something of the colour."""
    there = (np.abs(np.asarray(picture).astype(int) - colour).sum(2) < 30).sum(0) > 20
    return int(there[0]) + int((there[1:] & ~there[:-1]).sum())


def test_copies_stand_side_by_side(findings):
    picture = contact_sheet(findings)
    assert picture.mode == "RGB"
    assert columns_of(picture, (0, 0, 250)) == 2
    blue = np.asarray(picture)[:, :, 2].astype(int) - np.asarray(picture)[:, :, 0] > 200
    assert (blue.any(1)).sum() == sheet.HEIGHT, "both in one row, whole"
    assert blue.sum() == 2 * sheet.HEIGHT**2, "in their own proportions"


@pytest.mark.parametrize(("count", "rows"), [(1, 1), (6, 1), (7, 2), (12, 2)])
def test_suspects_flow_in_rows(findings, count, rows):
    alone = dataclasses.replace(findings, duplicates=(), conflicts=())
    heights = [contact_sheet(suspected(alone, n)).height for n in (count, 1, 7)]
    assert heights[0] == heights[1] + (rows - 1) * (heights[2] - heights[1])
    drawn = np.asarray(contact_sheet(suspected(alone, count))).astype(int)
    pink = (np.abs(drawn - ImageColor.getrgb(WRONG)).sum(2) < 30).any(0)
    assert pink.any(), "each given label in the colour of what is wrong"


def test_of_very_many_the_first_are_drawn(findings, monkeypatch):
    monkeypatch.setattr(sheet, "MOST", 6)
    assert contact_sheet(suspected(findings, 6)).height == contact_sheet(suspected(findings, 30)).height


def test_no_findings_are_a_sheet_too(garden_set):
    picture = contact_sheet(check(garden_set))
    assert picture.height < 150
    assert len(picture.getcolors(10**6)) > 1


def test_photos_of_another_set_stand_beside_ours(findings, garden_set):
    with_other = check(findings.dataset, garden_set)
    assert contact_sheet(with_other).height > contact_sheet(findings).height


@pytest.mark.parametrize("name", ["sheet.jpg", "sheet.PNG", "sheet.webp"])
def test_it_is_written_in_the_form_its_name_says(findings, tmp_path, name):
    write_sheet(findings, tmp_path / name)
    with Image.open(tmp_path / name) as picture:
        assert picture.format == sheet.FORMATS[(tmp_path / name).suffix.lower()]
        assert picture.size == contact_sheet(findings).size


def test_files_and_classes_may_be_called_anything(garden, tmp_path):
    root = tmp_path / "set"
    odd = "日本 <b>$x$ " + "very " * 30
    shutil.copytree(garden / "rose", root / odd)
    shutil.copytree(garden / "tulip", root / "tulip")
    shutil.copy(root / "tulip" / "tulip-0001.jpg", root / odd / f"{'x' * 200}.jpg")
    findings = check(scan(root))
    assert len(findings.conflicts) == 1
    assert contact_sheet(findings).width == contact_sheet(check(scan(garden))).width


def test_a_photo_that_is_gone_is_a_sentence(findings):
    (findings.dataset.root / "rose" / "a0.png").unlink()
    with pytest.raises(DecodeError, match=r"a0\.png cannot be found"):
        contact_sheet(findings)
