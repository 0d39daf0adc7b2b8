"""The Share tab: what is downloaded works elsewhere, what is sent is sent once, and the examples run as shown."""

import ast
import io
import json
import re
import shutil
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
from tests.browser.conftest import choose
from tests.share.hub import TOKEN

HUB, LINK, PROGRAMS = "Put it on the Hugging Face Hub", "A link to this studio", "For programs"
PHONE = 390
EXPORTED = 240_000  # milliseconds for an export to ONNX on a busy machine
WRONG_TOKEN = "hf_notTheRightOne"


@pytest.fixture(scope="module")
def lodged(studio, visitors):
    """The open tab, on a phone, with all its sections open."""
    page = visitors.lodge(PHONE)
    page.goto(f"{studio.url}/?tab=share")
    expect(page.locator("#share-card-text h1")).to_have_text(DEFAULT_CHECKPOINT)
    for section in (HUB, LINK, PROGRAMS):
        page.get_by_role("button", name=section).click()
    return page


@pytest.fixture
def page(lodged):
    """That page, with the default checkpoint chosen."""
    choose_checkpoint(lodged, DEFAULT_CHECKPOINT)
    return lodged


def choose_checkpoint(page, name: str) -> None:
    if page.locator("#share-checkpoint input").input_value() != f"{name} (built-in)":
        choose(page, "share-checkpoint", f"{name} (built-in)")
        expect(page.locator("#share-taken")).to_contain_text("The zip is for this program")  # as before any is taken
    expect(page.locator("#share-link-about code").first).to_contain_text(re.compile(f"checkpoint={name}$"))


# Taken along


@pytest.fixture
def unpacked(page, tmp_path) -> Path:
    """The zip that was downloaded, unpacked."""
    folder = tmp_path / "unpacked"
    with page.expect_download() as download:
        page.get_by_role("button", name="Download zip").click()
    assert download.value.suggested_filename == f"{DEFAULT_CHECKPOINT}.zip"
    expect(page.locator("#share-taken")).to_contain_text(re.compile(rf"{DEFAULT_CHECKPOINT}\.zip, \d+\.\d MB"))
    with zipfile.ZipFile(download.value.path()) as archive:
        archive.extractall(folder)
    return folder / DEFAULT_CHECKPOINT


def test_the_zip_is_a_checkpoint_elsewhere_and_the_card_is_that_in_it(page, unpacked):
    found = find_checkpoint(unpacked)
    assert found.folder == unpacked
    assert found.classes == ("daisy", "dandelion", "rose", "sunflower", "tulip")
    with page.expect_download() as download:
        page.get_by_role("button", name="Download the card").click()
    assert download.value.suggested_filename == "README.md"
    assert Path(download.value.path()).read_text() == (unpacked / "README.md").read_text()


@pytest.mark.thorough  # the export itself, some 15 s, is proved in tests/share/test_onnx.py
@pytest.mark.timeout(300)
@pytest.mark.parametrize("checkpoint", ["flowers-resnet18", DEFAULT_CHECKPOINT])
def test_the_onnx_file_names_flowers_and_says_how_far_it_was_checked(page, checkpoint):
    choose_checkpoint(page, checkpoint)
    with page.expect_download(timeout=EXPORTED) as download:
        page.get_by_role("button", name="Download ONNX").click()
    taken = page.locator("#share-taken")
    expect(taken).to_contain_text(re.compile(r"Checked with ONNX Runtime on 10 painted flowers.*0\.0000\d+ percentage"))
    expect(taken.locator("code")).to_contain_text(f"onnxruntime.InferenceSession('{checkpoint}.onnx')")
    session = onnxruntime.InferenceSession(download.value.path())
    classes = json.loads(session.get_modelmeta().custom_metadata_map["classes"])
    pictures = [np.asarray(render_flower(name, 5, 224)) for name in classes]
    confidences = session.run(["confidences"], {"pixels": np.stack(pictures).transpose(0, 3, 1, 2)})[0]
    assert confidences.shape == (5, 5)
    assert np.allclose(confidences.sum(1), 1, atol=1e-5)


def test_a_zip_that_was_downloaded_comes_back_and_answers(page):
    with page.expect_download() as download:
        page.get_by_role("button", name="Download zip").click()
    page.get_by_test_id("Bring a zip back-upload-button").set_input_files(download.value.path())
    expect(page.locator("#share-taken")).to_contain_text("It is here again as daisy, dandelion, rose +2")
    expect(page.locator("#share-checkpoint input")).to_have_value(re.compile("^daisy, dandelion, rose"))
    expect(page.locator("#share-card-text")).to_contain_text("How good it is")


def test_a_page_that_cannot_be_made_here_is_told(page):
    page.get_by_role("button", name="Open on a phone").click()
    expect(page.locator("#share-taken")).to_contain_text("FLOWERS_ORT_WEB has no ort.wasm-core.min.js")


@pytest.mark.thorough
@pytest.mark.timeout(300)
def test_a_phone_opens_the_page_of_a_checkpoint_and_it_can_be_downloaded(page, studio, ort_web, visitors):
    shutil.copytree(ort_web, studio.home / "ort")
    page.get_by_role("button", name="Open on a phone").click()
    taken = page.locator("#share-taken")
    link = taken.get_by_role("link")
    expect(link).to_have_attribute(
        "href", re.compile(rf"^{studio.url}/page/{DEFAULT_CHECKPOINT}-\w+/$"), timeout=EXPORTED
    )
    expect(taken.get_by_role("img", name="QR code")).to_be_visible()
    expect(taken).to_contain_text("10 times in 10")
    assert page.evaluate("document.documentElement.scrollWidth") <= PHONE
    phone = visitors.welcome(PHONE)
    phone.goto(link.get_attribute("href"))
    expect(phone.locator("#kept")).to_contain_text("works offline", timeout=EXPORTED)
    picture = io.BytesIO()
    render_flower("sunflower", 5, 256).save(picture, "JPEG")
    phone.set_input_files("#file", {"name": "a.jpg", "mimeType": "image/jpeg", "buffer": picture.getvalue()})
    expect(phone.locator("#words")).to_contain_text("sunflower")
    with page.expect_download() as download:
        page.get_by_role("button", name="Download page").click()
    with zipfile.ZipFile(download.value.path()) as archive:
        assert f"{DEFAULT_CHECKPOINT}/index.html" in archive.namelist()
    expect(taken).to_contain_text("python -m http.server")


# The Hub


def send(page, kind: str, repo: str, token: str) -> None:
    page.get_by_role("radio", name=kind).check()
    page.get_by_label("Name on the Hub").fill(repo)
    page.locator("#share-token input").fill(token)
    page.locator("#share-send").click()


def test_a_checkpoint_is_sent_to_the_hub_with_a_token_that_is_then_nowhere(page, hub, studio, tmp_path):
    token, sent = page.locator("#share-token input"), page.locator("#share-sent")
    assert token.get_attribute("type") == "password"
    send(page, "A model, to download", "me/from-the-page", WRONG_TOKEN)
    expect(sent).to_contain_text("The Hub does not accept this token")
    expect(token).to_have_value("")
    page.get_by_label("Private").check()
    send(page, "A model, to download", "me/from-the-page", TOKEN)
    expect(sent.get_by_role("link")).to_have_attribute("href", f"{hub.url}/me/from-the-page")
    expect(token).to_have_value("")
    assert hub.repos["model me/from-the-page"]["visibility"] == "private"
    for name, content in hub.files["model me/from-the-page"].items():
        (tmp_path / name).write_bytes(content)
    assert find_checkpoint(tmp_path).classes[0] == "daisy"
    kept = page.evaluate("JSON.stringify([{...localStorage}, {...sessionStorage}, document.cookie])")
    places = {"page": page.content(), "storage": kept, "requests": hub.without_authorization()}
    for path in (path for path in studio.home.rglob("*") if path.is_file() and path.stat().st_size < 1_000_000):
        places[str(path)] = path.read_bytes().decode("latin-1")
    assert str(studio.home / "app.log") in places
    assert not [place for place, text in places.items() if TOKEN in text or WRONG_TOKEN in text]


def test_a_space_is_made_from_the_page(page, hub):
    send(page, "A Space: this studio", "me/classroom", TOKEN)
    expect(page.get_by_label("With the ONNX file")).to_be_hidden()
    expect(page.locator("#share-sent").get_by_role("link")).to_have_attribute("href", f"{hub.url}/spaces/me/classroom")
    assert "app.py" in hub.files["space me/classroom"]
    assert not any(name.startswith(("runs/", ".git/", "tests/")) for name in hub.files["space me/classroom"])


# The link


def test_the_link_is_this_page_and_can_be_scanned(page, studio):
    expect(page.locator("#share-link-about code").first).to_have_text(
        f"{studio.url}/?tab=classify&checkpoint={DEFAULT_CHECKPOINT}"
    )
    expect(page.get_by_role("img", name="QR code")).to_be_visible()
    expect(page.locator("#share-link-about")).to_contain_text("on this computer alone")


# For programs


@pytest.fixture
def run(page, tmp_path):
    """``run(call, language, by)`` is what the example that is shown for a call prints; ``photo.jpg`` is there."""
    render_flower("tulip", 5, 256).save(tmp_path / "photo.jpg")

    def run_example(call: str, language: str, by: str = "examples") -> str:
        page.locator("#share-call").get_by_label(call, exact=True).check()
        code = page.locator(f"#share-{by} figure").filter(has_text=re.compile(f"^{language}")).locator("code")
        expect(code).to_contain_text(call.removeprefix("/") if by == "mcp" else call)
        command = [sys.executable, "-c"] if language == "Python" else ["bash", "-c"]
        done = subprocess.run(
            [*command, code.text_content()], cwd=tmp_path, capture_output=True, text=True, timeout=200, check=False
        )  # fmt: skip
        assert done.returncode == 0, done.stderr
        return done.stdout

    return run_example


@pytest.mark.timeout(300)
@pytest.mark.parametrize(
    ("call", "language", "by", "words"),
    [
        ("/classify", "Python", "examples", "confidences"),
        ("/classify", "curl", "examples", "confidences"),
        pytest.param("/classify", "Python", "mcp", "confidences", marks=pytest.mark.thorough),
        ("/classify", "curl", "mcp", "confidences"),
        pytest.param("/evaluate", "curl", "mcp", "accuracy", marks=pytest.mark.thorough),
        pytest.param("/explain", "Python", "examples", "heat", marks=pytest.mark.thorough),
        pytest.param("/augment", "curl", "examples", "image", marks=pytest.mark.thorough),
        pytest.param("/evaluate", "curl", "examples", "accuracy", marks=pytest.mark.thorough),
    ],
)
def test_an_example_runs_as_it_is_shown(run, call, language, by, words):
    answer = run(call, language, by)
    assert words in answer
    if (language, by) == ("curl", "examples"):
        assert "event: complete" in answer, answer


def test_a_tool_goes_by_its_own_name(page):
    page.locator("#share-call").get_by_label("/evaluate", exact=True).check()
    expect(page.locator("#share-mcp")).to_contain_text('"name": "evaluate_checkpoint"')


def test_a_training_is_started_and_stopped_as_it_is_shown(run, script):
    answers = []
    training = script(lambda: answers.append(run("/start_training", "curl"))).begin()
    assert f'"run": "{training.run.name}"' in answers[0]
    assert "event: complete" in run("/stop_training", "curl")
    assert training.run.stop_requested()


@pytest.mark.thorough
def test_a_training_is_started_watched_and_stopped_by_all_that_is_shown(run, script):
    answers = []
    training = script(lambda: answers.append(run("/start_training", "Python"))).begin()
    started = ast.literal_eval(answers[0].splitlines()[-1])
    assert started["state"] in ("queued", "running")
    assert started["run"] == training.run.name
    assert f'"run": "{training.run.name}"' in run("/training_status", "curl")
    for language in ("Python", "curl"):
        assert "'state': " in run("/training_status", language, "mcp")
    assert "event: complete" in run("/stop_training", "curl")
    assert training.run.stop_requested()


def test_code_is_copied(page):
    page.context.grant_permissions(["clipboard-read", "clipboard-write"])
    page.locator("#share-call").get_by_label("/classify", exact=True).check()
    copy = page.get_by_role("button", name="Copy: Python", exact=True)
    copy.evaluate(
        """(it) => {
            it.said = [];
            new MutationObserver(() => it.said.push(it.textContent)).observe(it, { childList: true });
        }"""
    )
    copy.click()
    copied = page.wait_for_function("(it) => it.said[0]", arg=copy.element_handle())  # it says so for two seconds
    assert copied.json_value() == "Copied"
    assert "from gradio_client import" in page.evaluate("navigator.clipboard.readText()")
    expect(page.locator("#share-mcp")).to_contain_text("gradio_api/mcp/")


def test_everything_opened_fits_a_phone(page):
    for opened in ("#share-token", "#share-link-about svg", "#share-examples code", "#share-mcp code"):
        expect(page.locator(opened).first).to_be_visible()
    assert page.evaluate("document.documentElement.scrollWidth") <= PHONE
