"""The Share tab's own part: files, links and examples for programs."""

import ast
import json
import re
import shutil
import subprocess
import zipfile
from pathlib import Path

import pytest

from flowers.errors import ShareError
from flowers.models.checkpoint import find_checkpoint, read_checkpoint
from flowers.paths import cache_dir, runs_dir
from flowers.share.bundle import write_zip
from flowers.share.page import Made
from flowers.studio import common, pages, share
from tests.studio.visiting import visit

ADDRESS = "http://flowers.example:7860/studio/"


@pytest.fixture
def bundled():
    return find_checkpoint("flowers-resnet18")


@pytest.fixture
def run(bundled):
    """A run's checkpoint whose name is full of what shells, URLs and HTML read as something else."""
    folder = runs_dir() / "it's & <b>$HOME" / "best"
    shutil.copytree(bundled.folder, folder)
    (folder.parent / "recipe.json").write_text("{}")
    return read_checkpoint(folder)


@pytest.mark.parametrize("endpoint", share.EXAMPLES)
def test_examples_say_what_is_meant_whatever_the_names(endpoint, run):
    arguments = share.EXAMPLES[endpoint](run)
    python = ast.parse(share.python_example(ADDRESS, endpoint, arguments))
    [call] = [
        node for node in ast.walk(python) if isinstance(node, ast.Call) and getattr(node.func, "attr", "") == "predict"
    ]
    given = {word.arg: word.value for word in call.keywords}
    assert given.keys() == {*arguments, "api_name"}
    for name, value in arguments.items():
        if value is not share.PHOTO:
            assert ast.literal_eval(given[name]) == value
    shown = sent_by(share.curl_example(ADDRESS, endpoint, arguments))
    data = json.loads(next(line for line in shown.splitlines() if line.startswith('{"data"')))["data"]
    assert [value for value in data if not isinstance(value, dict) or "path" not in value] == [
        value for value in arguments.values() if value is not share.PHOTO
    ]
    if share.PHOTO in arguments.values():
        assert data[0] == {"path": "/tmp/a.jpg", "meta": {"_type": "gradio.FileData"}}
    assert f"{ADDRESS}gradio_api/call/{endpoint}" in shown


@pytest.mark.parametrize("endpoint", share.EXAMPLES)
def test_examples_for_mcp_say_the_same(endpoint, run):
    arguments = share.EXAMPLES[endpoint](run)
    python = ast.parse(share.mcp_python_example(ADDRESS, endpoint, arguments))
    [call] = [node for node in ast.walk(python) if getattr(getattr(node, "func", None), "attr", "") == "call_tool"]
    tool, given = call.args
    assert tool.value == endpoint
    assert {name.value for name in given.keys} == arguments.keys()
    for name, value in zip(given.keys, given.values, strict=True):
        expected = arguments[name.value]
        assert value.id == "photo" if expected is share.PHOTO else ast.literal_eval(value) == expected
    shown = sent_by(share.mcp_curl_example(ADDRESS, endpoint, arguments))
    asked = json.loads(next(line for line in shown.splitlines() if line.startswith('{"jsonrpc"')))["params"]
    photo = "data:image/jpeg;base64,cGhvdG8="
    assert asked == {
        "name": endpoint,
        "arguments": {name: photo if value is share.PHOTO else value for name, value in arguments.items()},
    }
    assert f"{ADDRESS}gradio_api/mcp/" in shown


def sent_by(script: str) -> str:
    """What a shell script gives to curl, as arguments and by its standard input; curl itself sends nothing."""
    told = """curl() { printf '%s\\n' "$@" >&2; [ ! -p /dev/stdin ] || cat >&2; echo '["/tmp/a.jpg"]'; }
    base64() { echo cGhvdG8=; }"""
    command = ["bash", "-c", f"{told}\n{script.replace('< photo.jpg', '')}"]
    return subprocess.run(command, capture_output=True, text=True, check=True, stdin=subprocess.DEVNULL).stderr


def test_a_run_has_a_link_of_its_own_and_a_bundled_checkpoint_the_studios(bundled, run):
    assert share.link_to(ADDRESS, bundled) == f"{ADDRESS}?tab=classify&checkpoint=flowers-resnet18"
    assert share.link_to(ADDRESS, run) == f"{ADDRESS}?tab=train&run=it%27s%20%26%20%3Cb%3E%24HOME"


def test_what_is_shown_of_a_checkpoint(run):
    card, link, examples, mcp = share._show(ADDRESS, run.name, "/classify")
    assert card.startswith("# flowers-resnet18")
    assert common.escape(share.link_to(ADDRESS, run)) in link
    assert "<svg" in link
    assert "<b>$HOME" not in examples
    assert "mcp_off" in mcp, "no page is being served"


def test_addresses_of_this_computer_alone_are_told_to_be_so():
    assert "link_local" in share._link("http://127.0.0.1:7860/?tab=train")
    assert "link_local" not in share._link("https://me-flowers.hf.space/?tab=train")


def test_only_what_was_offered_can_be_taken(bundled, tmp_path):
    for take in (share._take_zip, share._take_onnx, share._take_page):
        for name in (str(bundled.folder), "../checkpoints/flowers-resnet18", "nothing"):
            said, file = take(name)
            assert file is None
            assert "no checkpoint called" in said


@pytest.fixture
def written(monkeypatch):
    """A page is written at once, and compared on ten photos with one mistake."""

    def write(checkpoint, folder):
        (folder / "ort").mkdir(parents=True)
        for name in ("index.html", "ort/x.wasm"):
            (folder / name).write_text(name)
        return Made(1, True, 10, False, True, 9, 0.004)

    monkeypatch.setattr(pages, "write_page_apart", write)


def test_a_page_comes_with_how_it_was_compared_and_how_to_look_at_it(bundled, written):
    with visit():
        said, file = share._take_page(bundled.name)
    assert Path(file).name == "flowers-resnet18-page.zip"
    with zipfile.ZipFile(file) as archive:
        assert archive.namelist() == ["flowers-resnet18/index.html", "flowers-resnet18/ort/x.wasm"]
    assert "In Chromium it was asked about 10 photos and gave Python’s label 9 times in 10" in said
    assert "no confidence differs by more than 0.4 percentage points" in said
    assert "python -m http.server --directory flowers-resnet18" in said


@pytest.mark.parametrize(
    ("address", "words"),
    [
        ("http://127.0.0.1:7860/", "This address works on this computer alone"),
        ("http://192.168.0.7:7860/", "At an address without https browsers give no page the live camera"),
        ("https://me-flowers.hf.space/studio/", "keeps itself on the phone"),
    ],
)
def test_a_phone_is_told_the_way_to_a_page_and_what_it_can_do_there(bundled, written, address, words):
    with visit():
        said = share._open_page(address, bundled.name)
    link = f"{address}page/{pages.key(bundled)}/"
    assert f'href="{link}"' in said
    assert "<svg" in said
    assert words in said
    assert "9 times in 10" in said


def test_why_there_is_no_page_is_said(bundled, monkeypatch):
    def refuse(*_):
        raise ShareError("FLOWERS_ORT_WEB has no x: unpack onnxruntime-web 1 and name the folder with its `dist`.")

    monkeypatch.setattr(pages, "write_page_apart", refuse)
    with visit(language="zh-CN"):
        said, file = share._take_page(bundled.name)
        assert share._open_page(ADDRESS, bundled.name) == said
    assert file is None
    assert "FLOWERS_ORT_WEB 里没有 x" in said
    assert not list((cache_dir() / "pages").iterdir())


def test_a_token_is_emptied_from_its_field_at_once_and_never_said(monkeypatch):
    from flowers.share import hub

    token = "hf_" + "x" * 30

    def fails(*_, **__):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(hub, "push_model", fails)
    steps = list(share._press_send("flowers-resnet18", "me/mine", "model", False, False, token))
    assert [field for field, _ in steps] == ["", ""]
    assert not any(token in said for _, said in steps)
    [(field, said)] = share._press_send("flowers-resnet18", "mine", "model", False, False, token)
    assert field == ""
    assert "write OWNER/NAME" in said


def test_code_is_shown_as_it_is():
    shown = share._code("a<b", "if a < b & c:\n    pass\n")
    code = re.search(r"<code>(.*)</code>", shown, re.DOTALL)[1]
    assert code == "if a &lt; b &amp; c:\n    pass"
    assert common.escape("a<b") in shown


# What comes back


def test_a_zip_comes_back_as_a_checkpoint_of_its_visitor_alone(bundled, tmp_path, monkeypatch):
    def bring() -> tuple:
        write_zip(bundled, file := tmp_path / "mine.zip")
        return share._bring(str(file))

    with visit("one"):
        said, chosen = bring()
        assert "It is here again as daisy, dandelion, rose +2" in said
        name = chosen["value"]
        assert name in dict(map(reversed, chosen["choices"]))
        assert name in [run.name for run in common.visible_runs()]
        assert common.offered_checkpoint(name).classes == bundled.classes
        monkeypatch.setattr(share, "MAX_BROUGHT", 1)
        said, chosen = bring()
        assert "You have 1 of these already" in said and "value" not in chosen
    with visit("two"):
        assert name not in [run.name for run in common.visible_runs()]
        assert "value" in bring()[1]
    assert not list(tmp_path.iterdir())  # the upload itself is not kept


def test_what_cannot_be_brought_is_a_sentence(tmp_path):
    (tmp_path / "a.zip").write_bytes(b"no zip")
    with visit():
        said, chosen = share._bring(str(tmp_path / "a.zip"))
        assert "a.zip is no zip, or is damaged" in said and "value" not in chosen
        assert "Choose a zip first." in share._bring(None)[0]
