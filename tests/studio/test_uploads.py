"""Uploaded zips that runs have learnt from, and which folders of the server a visitor can name."""

import shutil
from pathlib import Path

import pytest

from flowers.data.sources import unpack, zips_dir
from flowers.errors import UsageError
from flowers.paths import cache_dir, runs_dir
from flowers.recipe import Recipe
from flowers.studio import common
from flowers.training.run import Run


@pytest.fixture
def uploaded(garden, tmp_path) -> Path:
    """The folder of a zip with an odd name."""
    return unpack(Path(shutil.make_archive(str(tmp_path / "My <b>roses"), "zip", garden.parent, garden.name)))


def test_a_zip_that_a_run_has_learnt_from_is_in_the_list(uploaded):
    folder = str(uploaded)
    assert folder not in [value for _, value in common.source_choices()]
    Run.create(runs_dir() / "run", Recipe(), folder)
    assert ("My b roses (zip)", folder) in common.source_choices()
    assert common.source_of(folder) == folder


def test_only_what_a_visitor_uploaded_can_be_named(uploaded, garden):
    (zips_dir() / "a link").mkdir()
    (zips_dir() / "a link" / "out").symlink_to(garden)
    (uploaded.parent / "loop").symlink_to("loop")
    for choice in (
        *("/", "", ".", "..", "~", "\0", "x\0y", "\ud800", "x" * 5000, "x/" * 5000, None, 3, ["garden"]),
        *map(str, (garden, cache_dir(), zips_dir(), uploaded.parent, uploaded / "rose", uploaded / "../../../..")),
        *(f"{uploaded}/../{name}" for name in ("absent", "loop", "x" * 300, "x\0y", "\ud800")),
        str(zips_dir() / "a link" / "out"),
    ):
        with pytest.raises(UsageError, match="upload the zip again"):
            common.source_of(choice)
    assert common.source_of(str(uploaded)) == str(uploaded)
