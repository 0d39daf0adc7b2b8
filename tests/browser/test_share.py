"""The Share tab: what is downloaded works elsewhere, what is sent is sent once, and the examples run as shown."""

import ast
import json
import re
import subprocess
import sys
import zipfile
from pathlib import Path

import numpy as np
import onnxruntime
import pytest
from playwright.sync_api import expect

from flowers.data.garden import render_flower
from flowers.models.checkpoint import find_checkpoint
from flowers.paths import DEFAULT_CHECKPOINT
from tests.browser.conftest import SLOW, open_tab
from tests.share.hub import TOKEN

SECTIONS = ("Put it on the Hugging Face Hub", "A link to this studio", "For programs")


@pytest.fixture
def share(open_page):
    def open_(width: int = 1280, section: str = ""):
        page = open_page(width)
        open_tab(page, "Share")
        expect(page.locator("#share-card-text h1")).to_have_text(DEFAULT_CHECKPOINT)
        if section:
            page.get_by_role("button", name=section).click()
        return page

    return open_


def test_the_zip_is_a_checkpoint_elsewhere(share, tmp_path):
    page = share()
    with page.expect_download() as download:
        page.get_by_role("button", name="Download zip").click()
    assert download.value.suggested_filename == f"{DEFAULT_CHECKPOINT}.zip"
    expect(page.locator("#share-taken")).to_contain_text(re.compile(rf"{DEFAULT_CHECKPOINT}\.zip, \d+\.\d MB"))
    with zipfile.ZipFile(download.value.path()) as archive:
        archive.extractall(tmp_path)
    found = find_checkpoint(tmp_path / DEFAULT_CHECKPOINT)
    assert found.classes == ("daisy", "dandelion", "rose", "sunflower", "tulip")
    with page.expect_download() as download:
        page.get_by_role("button", name="Download the card").click()
    assert download.value.suggested_filename == "README.md"
    assert Path(download.value.path()).read_text() == (found.folder / "README.md").read_text()


def test_the_onnx_file_names_flowers_and_says_how_far_it_was_checked(share):
    page = share()
    with page.expect_download(timeout=5 * SLOW) as download:
        page.get_by_role("button", name="Download ONNX").click()
    taken = page.locator("#share-taken")
    expect(taken).to_contain_text(re.compile(r"Checked with ONNX Runtime on 10 painted flowers.*0\.0000\d+ percentage"))
    expect(taken.locator("code")).to_contain_text(f"onnxruntime.InferenceSession('{DEFAULT_CHECKPOINT}.onnx')")
    session = onnxruntime.InferenceSession(download.value.path())
    classes = json.loads(session.get_modelmeta().custom_metadata_map["classes"])
    pictures = [np.asarray(render_flower(name, 5, 224)) for name in classes]
    confidences = session.run(["confidences"], {"pixels": np.stack(pictures).transpose(0, 3, 1, 2)})[0]
    assert confidences.shape == (5, 5)
    assert np.allclose(confidences.sum(1), 1, atol=1e-5)


def test_a_checkpoint_is_sent_to_the_hub_with_a_token_that_is_then_nowhere(share, hub, studio, tmp_path):
    page = share(section=SECTIONS[0])
    token, sent = page.locator("#share-token input"), page.locator("#share-sent")
    assert token.get_attribute("type") == "password"
    page.get_by_label("Name on the Hub").fill("me/from-the-page")
    token.fill("hf_notTheRightOne")
    page.locator("#share-send").click()
    expect(sent).to_contain_text("The Hub does not accept this token")
    expect(token).to_have_value("")
    token.fill(TOKEN)
    page.get_by_label("Private").check()
    page.locator("#share-send").click()
    expect(sent.get_by_role("link")).to_have_attribute("href", f"{hub.url}/me/from-the-page")
    expect(token).to_have_value("")
    files = hub.files["model me/from-the-page"]
    assert hub.repos["model me/from-the-page"]["visibility"] == "private"
    for name, content in files.items():
        (tmp_path / name).write_bytes(content)
    assert find_checkpoint(tmp_path).classes[0] == "daisy"
    kept = page.evaluate("JSON.stringify([{...localStorage}, {...sessionStorage}, document.cookie])")
    places = {"page": page.content(), "storage": kept, "requests": hub.without_authorization()}
    home = studio.log.parent
    for path in (path for path in home.rglob("*") if path.is_file() and path.stat().st_size < 1_000_000):
        places[str(path)] = path.read_bytes().decode("latin-1")
    assert str(studio.log) in places
    assert not [place for place, text in places.items() if TOKEN in text or "hf_notTheRightOne" in text]


def test_a_space_is_made_from_the_page(share, hub):
    page = share(section=SECTIONS[0])
    page.get_by_label("A Space: this studio").check()
    expect(page.get_by_label("With the ONNX file")).to_be_hidden()
    page.get_by_label("Name on the Hub").fill("me/classroom")
    page.locator("#share-token input").fill(TOKEN)
    page.locator("#share-send").click()
    expect(page.locator("#share-sent").get_by_role("link")).to_have_attribute("href", f"{hub.url}/spaces/me/classroom")
    assert "app.py" in hub.files["space me/classroom"]
    assert not any(name.startswith(("runs/", ".git/", "tests/")) for name in hub.files["space me/classroom"])


def test_the_link_is_this_page_and_can_be_scanned(share, studio):
    page = share(section=SECTIONS[1])
    expect(page.locator("#share-link-about code").first).to_have_text(
        f"{studio.url}/?tab=classify&checkpoint={DEFAULT_CHECKPOINT}"
    )
    expect(page.get_by_role("img", name="QR code")).to_be_visible()
    expect(page.locator("#share-link-about")).to_contain_text("on this computer alone")


def test_the_examples_run_as_they_are_shown(share, tmp_path):
    render_flower("tulip", 5, 256).save(tmp_path / "photo.jpg")
    page = share(section=SECTIONS[2])

    def run(call: str, language: str, by: str = "examples") -> str:
        page.locator("#share-call").get_by_label(call, exact=True).check()
        code = page.locator(f"#share-{by} figure").filter(has_text=re.compile(f"^{language}")).locator("code")
        expect(code).to_contain_text(call.removeprefix("/") if by == "mcp" else call)
        command = [sys.executable, "-c"] if language == "Python" else ["bash", "-c"]
        done = subprocess.run(
            [*command, code.text_content()], cwd=tmp_path, capture_output=True, text=True, timeout=200, check=False
        )  # fmt: skip
        assert done.returncode == 0, done.stderr
        return done.stdout

    assert "confidences" in run("/classify", "Python")
    assert "heat" in run("/explain", "Python")
    for call, words in (("/classify", "confidences"), ("/augment", "image"), ("/evaluate", "accuracy")):
        answer = run(call, "curl")
        assert "event: complete" in answer, answer
        assert words in answer
    for language in ("Python", "curl"):
        assert "confidences" in run("/classify", language, "mcp")
        assert "'state': " in run("/training_status", language, "mcp")
    assert "accuracy" in run("/evaluate", "curl", "mcp")  # its tool is called otherwise
    started = ast.literal_eval(run("/start_training", "Python").splitlines()[-1])
    assert started["state"] in ("queued", "running")
    assert f'"run": "{started["run"]}"' in run("/training_status", "curl")
    assert "event: complete" in run("/stop_training", "curl")


def test_code_is_copied(share):
    page = share(section=SECTIONS[2])
    page.context.grant_permissions(["clipboard-read", "clipboard-write"])
    copy = page.get_by_role("button", name="Copy: Python", exact=True)
    copy.click()
    expect(copy).to_have_text("Copied")
    assert "from gradio_client import" in page.evaluate("navigator.clipboard.readText()")
    expect(page.locator("#share-mcp")).to_contain_text("gradio_api/mcp/")


def test_everything_opened_fits_a_phone(share):
    page = share(390)
    for section in SECTIONS:
        page.get_by_role("button", name=section).click()
    page.wait_for_timeout(500)
    assert page.evaluate("document.documentElement.scrollWidth") <= 390
