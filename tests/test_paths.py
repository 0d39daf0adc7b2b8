"""Where things live, also for users without a home and in folders that are not theirs."""

import pytest

from flowers import paths


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
