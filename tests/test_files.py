"""Files and folders appear whole: whatever goes wrong, the old one or the new one is there."""

import errno
import json
import os
import subprocess
import sys
import threading

import pytest

from flowers.files import recover_folder, remove_leftovers, whole_folder, write_json, write_whole
from flowers.paths import PROJECT


def no_room(*_args, **_kwargs):
    raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))


def listing(folder) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


@pytest.mark.parametrize("content", ["größer 🌷", b"\x00\xff", ""])
def test_a_file_holds_what_was_written_and_nothing_lies_beside(tmp_path, content):
    write_whole(tmp_path / "a", "before")
    write_whole(tmp_path / "a", content)
    assert (tmp_path / "a").read_bytes() == (content.encode() if isinstance(content, str) else content)
    assert listing(tmp_path) == ["a"]


def test_json_comes_back(tmp_path):
    value = {"classes": ["daisy", "Gänseblümchen"], "accuracy": 0.1 + 0.2, "none": None}
    write_json(tmp_path / "a.json", value)
    assert json.loads((tmp_path / "a.json").read_text()) == value


@pytest.mark.parametrize("fails", ["fsync", "replace"])
def test_a_full_disk_leaves_the_old_file(tmp_path, monkeypatch, fails):
    write_whole(tmp_path / "a", "old")
    monkeypatch.setattr(os, fails, no_room)
    with pytest.raises(OSError, match="No space"):
        write_whole(tmp_path / "a", "new")
    assert (tmp_path / "a").read_text() == "old"
    assert listing(tmp_path) == ["a"]


def fill(folder, text: str) -> None:
    with whole_folder(folder) as new:
        (new / "inner").mkdir()
        (new / "inner" / "file").write_text(text)


def test_a_folder_is_replaced_with_all_that_was_in_it(tmp_path):
    folder = tmp_path / "deep" / "folder"
    fill(folder, "old")
    (folder / "more").touch()
    fill(folder, "new")
    assert listing(folder) == ["inner"]
    assert (folder / "inner" / "file").read_text() == "new"
    assert listing(folder.parent) == ["folder"]


def test_a_full_disk_leaves_the_old_folder(tmp_path, monkeypatch):
    fill(tmp_path / "folder", "old")
    monkeypatch.setattr(os, "fsync", no_room)
    with pytest.raises(OSError, match="No space"):
        fill(tmp_path / "folder", "new")
    assert (tmp_path / "folder" / "inner" / "file").read_text() == "old"
    assert listing(tmp_path) == ["folder"]


def test_an_error_while_it_is_filled_leaves_the_old_folder(tmp_path):
    fill(tmp_path / "folder", "old")
    with pytest.raises(RuntimeError), whole_folder(tmp_path / "folder") as new:
        (new / "file").write_text("new")
        raise RuntimeError
    assert (tmp_path / "folder" / "inner" / "file").read_text() == "old"
    assert listing(tmp_path) == ["folder"]


@pytest.mark.parametrize("nth", [1, 2])
def test_a_kill_at_either_rename_leaves_one_whole_version(tmp_path, nth):
    """The process ends, without any clean-up, right before its nth rename."""
    fill(tmp_path / "folder", "old")
    script = f"""
import os, sys
from flowers.files import whole_folder
real, calls = os.replace, []
def replace(*args):
    calls.append(args)
    if len(calls) == {nth}:
        os._exit(9)
    return real(*args)
os.replace = replace
with whole_folder(sys.argv[1]) as new:
    (new / "inner").mkdir()
    (new / "inner" / "file").write_text("new")
"""
    killed = subprocess.run([sys.executable, "-c", script, str(tmp_path / "folder")], cwd=PROJECT)
    assert killed.returncode == 9
    recover_folder(tmp_path / "folder")
    assert (tmp_path / "folder" / "inner" / "file").read_text() == "old"
    remove_leftovers(tmp_path)
    assert listing(tmp_path) == ["folder"]
    fill(tmp_path / "folder", "newer")
    assert (tmp_path / "folder" / "inner" / "file").read_text() == "newer"
    assert listing(tmp_path) == ["folder"]


def test_recovering_drops_an_old_version_that_was_replaced(tmp_path):
    fill(tmp_path / "folder", "new")
    (tmp_path / ".folder.old").mkdir()
    recover_folder(tmp_path / "folder")
    assert listing(tmp_path) == ["folder"]
    recover_folder(tmp_path / "absent")
    assert not (tmp_path / "absent").exists()


def test_a_reader_that_recovers_between_the_renames_does_not_stop_the_writer(tmp_path, monkeypatch):
    """The worst moment: the old folder is away, the new one not yet there, and a reader puts the old one back."""
    folder, real, calls = tmp_path / "folder", os.replace, []
    fill(folder, "old")

    def replace(source, target):
        calls.append(target)
        if len(calls) == 2:
            monkeypatch.setattr(os, "replace", real)
            recover_folder(folder)
        real(source, target)

    monkeypatch.setattr(os, "replace", replace)
    fill(folder, "new")
    assert (folder / "inner" / "file").read_text() == "new"
    assert listing(tmp_path) == ["folder"]


def test_readers_never_disturb_a_writer(tmp_path):
    folder, over, problems = tmp_path / "folder", threading.Event(), []
    fill(folder, "0")

    def read():
        while not over.is_set():
            try:
                recover_folder(folder)
            except OSError as error:
                problems.append(error)

    readers = [threading.Thread(target=read) for _ in range(2)]
    for reader in readers:
        reader.start()
    try:
        for n in range(100):
            fill(folder, str(n))
    finally:
        over.set()
        for reader in readers:
            reader.join()
    assert not problems
    assert (folder / "inner" / "file").read_text() == "99"
    assert listing(tmp_path) == ["folder"]


def test_leftovers_are_removed_and_nothing_else(tmp_path):
    (tmp_path / ".last.0123abcd.tmp").mkdir()
    (tmp_path / ".last.0123abcd.tmp" / "model.safetensors").touch()
    (tmp_path / ".status.json.0123abcd.tmp").touch()
    (tmp_path / "notes.tmp").touch()
    (tmp_path / ".hidden").touch()
    remove_leftovers(tmp_path)
    assert listing(tmp_path) == [".hidden", "notes.tmp"]
