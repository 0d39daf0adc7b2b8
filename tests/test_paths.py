"""Where things live, also for users without a home and in folders that are not theirs."""

import os

import pytest

from flowers import paths
from flowers.errors import FlowersError


@pytest.fixture
def homeless(monkeypatch, tmp_path):
    """A user without a home, who may write nothing beside the code."""

    def no_home(name: str):
        raise RuntimeError("could not determine the home directory")

    for variable in ("FLOWERS_CACHE", "FLOWERS_RUNS", "FLOWERS_ALBUMS"):
        monkeypatch.delenv(variable, raising=False)
    for place in ("user_cache_path", "user_data_path"):
        monkeypatch.setattr(paths, place, no_home)
    monkeypatch.setattr(paths.tempfile, "gettempdir", lambda: str(tmp_path))
    monkeypatch.setattr(paths.os, "access", lambda path, mode: str(path).startswith(str(tmp_path)))


def test_a_user_without_a_home_works_in_the_temporary_folder(homeless, tmp_path):
    for folder in (paths.cache_dir(), paths.runs_dir(), paths.albums_dir()):
        assert folder.is_dir() and folder.is_relative_to(tmp_path)
    assert len({paths.cache_dir(), paths.runs_dir(), paths.albums_dir()}) == 3


def test_what_lies_in_the_temporary_folder_is_for_nobody_else(homeless, tmp_path):
    for folder in (paths.cache_dir(), paths.runs_dir(), paths.albums_dir()):
        [base] = [parent for parent in folder.parents if parent.parent == tmp_path]
        assert base.stat().st_mode & 0o777 == 0o700


@pytest.mark.parametrize("prepared", ["open", "link"])
def test_a_folder_that_somebody_else_has_prepared_there_is_refused(homeless, tmp_path, prepared):
    base = tmp_path / f"flowers-{os.getuid()}"
    if prepared == "link":
        (tmp_path / "theirs").mkdir(mode=0o700)
        base.symlink_to(tmp_path / "theirs")
    else:
        base.mkdir()
        base.chmod(0o777)
    with pytest.raises(FlowersError, match=r"is not ours alone: remove it, or set FLOWERS_CACHE.*\.$"):
        paths.albums_dir()


def test_albums_are_for_this_user_alone(monkeypatch, tmp_path):
    monkeypatch.setenv("FLOWERS_ALBUMS", str(tmp_path / "some" / "albums"))
    assert paths.albums_dir().stat().st_mode & 0o777 == 0o700
