"""The README's front matter and commands, checked against what they speak of."""

import re
import shlex
import subprocess

import pytest

from flowers.cli import _parser
from flowers.paths import PROJECT

README = (PROJECT / "README.md").read_text()
FRONT = dict(re.findall(r"^(\w+): *\"?([^\"\n]*)\"?$", README.split("---")[1], re.MULTILINE))
COMMANDS = re.findall(r"^\.venv/bin/python -m flowers (.*)$", README, re.MULTILINE)


def test_the_space_gets_the_gradio_that_is_pinned():
    pinned = re.search(r"^gradio==(\S+)$", (PROJECT / "requirements.txt").read_text(), re.MULTILINE)
    assert pinned
    assert FRONT["sdk_version"] == pinned[1]


def test_the_front_matter_is_what_a_space_asks_for():
    assert FRONT["sdk"] == "gradio"
    assert (PROJECT / FRONT["app_file"]).is_file()
    assert len(FRONT["short_description"]) <= 60
    colours = {"red", "yellow", "green", "blue", "indigo", "purple", "pink", "gray"}
    assert {FRONT["colorFrom"], FRONT["colorTo"]} <= colours


@pytest.mark.parametrize("command", COMMANDS)
def test_every_command_in_the_readme_is_understood(command):
    assert _parser().parse_args(shlex.split(command)).command


def test_there_are_commands_and_the_first_two_blocks_set_everything_up():
    assert len(COMMANDS) >= 8
    blocks = re.findall(r"```sh\n(.*?)```", README, re.DOTALL)
    assert "pip install -r requirements.txt" in blocks[0]
    assert "app.py" in blocks[0]
    assert blocks[1].strip() == "bash tests/run.sh"
    assert (PROJECT / "tests/run.sh").is_file()


def test_nothing_was_left_to_be_filled_in():
    cards = [path.read_text() for path in (PROJECT / "checkpoints").glob("*/README.md")]
    assert cards
    assert not any(re.search(r"^[A-Z]{4,}$", text, re.MULTILINE) for text in (README, *cards))


def test_pictures_in_the_readme_exist():
    pictures = re.findall(r"!\[[^\]]*\]\(([^)]+)\)", README)
    assert pictures
    assert all((PROJECT / picture).is_file() for picture in pictures)


def test_no_committed_file_is_too_large_for_a_space():
    listed = subprocess.run(["git", "ls-files", "-z"], cwd=PROJECT, capture_output=True, text=True, check=False)
    files = [PROJECT / name for name in listed.stdout.split("\0") if name] or list((PROJECT / "checkpoints").rglob("*"))
    assert files
    assert all(path.stat().st_size < 10_000_000 for path in files if path.is_file())
