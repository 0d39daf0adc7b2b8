"""The Evaluate tab: what it lets visitors measure, and what it shows of the answer."""

import asyncio
import json
import re
import shutil
import xml.etree.ElementTree as ElementTree
from dataclasses import replace
from pathlib import Path

import gradio as gr
import numpy as np
import pytest
from PIL import Image

from flowers.data.dataset import Unreadable, scan
from flowers.errors import CheckpointError, UsageError
from flowers.evaluation.evaluate import Evaluation, Outcome
from flowers.paths import runs_dir
from flowers.recipe import Recipe
from flowers.studio import evaluate
from flowers.studio.evaluate import build, measure, results_html
from flowers.training.run import Run
from tests.evaluation.wild import save_wild_checkpoint

BROKEN = Unreadable("rose/broken.jpg", "rose/broken.jpg is damaged.")


@pytest.fixture(scope="module")
def checkpoint(garden, tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("checkpoints") / "wild"
    save_wild_checkpoint(folder, scan(garden))
    return folder


@pytest.fixture
def photos(garden, tmp_path, monkeypatch) -> Path:
    """The garden, as FLOWERS_DATA names it."""
    folder = tmp_path / "my photos"
    shutil.copytree(garden, folder)
    monkeypatch.setenv("FLOWERS_DATA", str(folder))
    return folder


@pytest.fixture
def run(checkpoint) -> str:
    """A run with a best checkpoint."""
    made = Run.create(runs_dir() / "wild-run", Recipe(), None)
    shutil.copytree(checkpoint, made.folder / "best")
    return made.name


def made_up(classes=("rose", "tulip"), answers=((0, 0), (0, 1), (1, 1)), **changes) -> Evaluation:
    outcomes = tuple(Outcome(f"{a}/{i}.jpg", a, b, 0.75, 0.25) for i, (a, b) in enumerate(answers))
    shares = np.full((len(outcomes), len(classes)), 0.25 / max(1, len(classes) - 1), dtype=np.float32)
    shares[np.arange(len(outcomes)), [b for _, b in answers]] = 0.75
    parts = (True, True, (), "val", 0, tuple(classes), outcomes, shares)
    known = Evaluation("my run", "my set", Path("/secret/folder"), "d9c0234e", *parts)
    held_back = changes.get("split", "val") == "val" and changes.get("same_set", True)
    return replace(known, **{"held_back": held_back, **changes})


def test_measure_answers_for_what_was_offered_and_tells_how_far_it_is(run, photos):
    told = []
    result = measure(run, "FLOWERS_DATA", "all", lambda progress, **said: told.append((progress, said["desc"])))
    assert (result.checkpoint, result.source, len(result.outcomes)) == ("wild-run", "my photos", 40)
    assert told[0][1] == "Loading the checkpoint"
    assert ((40, 40), "Reading the photos") in told
    assert told[-1] == ((40, 40), "Classifying")
    assert str(photos.parent) not in json.dumps(result.to_dict())


def test_a_known_set_keeps_its_name(run, garden, monkeypatch):
    monkeypatch.setattr(evaluate, "resolve", lambda source, progress: garden)
    assert measure(run, "garden").source == "garden"


@pytest.mark.parametrize("split", ["test", "", None, 3, ["val"]])
def test_only_the_three_parts_can_be_measured(split, run, photos):
    with pytest.raises(UsageError, match=r"one of val, train, all\.$"):
        measure(run, "FLOWERS_DATA", split)


def test_folders_of_the_server_cannot_be_named(run, photos, checkpoint):
    for source in (str(photos), "/", "../garden", None, ""):
        with pytest.raises(UsageError, match="photo set"):
            measure(run, source)
    for name in (str(checkpoint), "../wild", "/"):
        with pytest.raises(UsageError, match="checkpoint"):
            measure(name, "FLOWERS_DATA")


def test_the_button_shows_results_and_a_gallery_that_browsers_can_draw(run, photos):
    for name in ("daisy", "sunflower", "tulip"):
        shutil.rmtree(photos / name)
    exif = Image.Exif()
    exif[0x0112] = 6
    for path in photos.glob("*/*.jpg"):  # large, sideways, and under a wrong name
        image = Image.open(path).resize((1200, 900))
        image.save(path, "PNG", exif=exif, compress_level=0)
    html, gallery, _ = evaluate._press_evaluate(run, "FLOWERS_DATA", "all")
    mistakes = measure(run, "FLOWERS_DATA", "all").worst()
    pictures = gallery["value"]
    assert gallery["visible"]
    assert len(pictures) == len(mistakes) > 0
    for picture, caption in pictures:
        assert picture.size == (450, 600)
        truth, answer = re.fullmatch(r"(\w+), answered (\w+) \d+%", caption).groups()
        assert truth != answer
    assert "wild-run" in html
    assert str(photos.parent) not in html


def test_a_mistake_in_the_request_is_a_sentence_on_the_page_and_hides_the_old_gallery(run, photos):
    html, gallery, report = evaluate._press_evaluate("gone", "FLOWERS_DATA", "val")
    assert 'role="alert"' in html
    assert "There is no checkpoint called &#x27;gone&#x27;" in html
    assert gallery["visible"] is report["visible"] is False
    (photos / "rose").rename(photos / "orchid")
    html, *_ = evaluate._press_evaluate(run, "FLOWERS_DATA", "val")
    assert "does not know the class orchid" in html
    with pytest.raises(CheckpointError):
        measure(run, "FLOWERS_DATA")


def test_without_any_checkpoint_it_says_where_to_get_one(photos, monkeypatch):
    monkeypatch.setattr("flowers.studio.common.bundled_checkpoints", list)
    html, *_ = evaluate._press_evaluate(None, "FLOWERS_DATA", "val")
    assert "train one in the Train tab" in html


def test_the_report_can_be_downloaded_from_where_gradio_serves_and_clears(run, photos, monkeypatch, tmp_path):
    monkeypatch.setenv("GRADIO_TEMP_DIR", str(tmp_path / "gradio"))
    _, _, report = evaluate._press_evaluate(run, "FLOWERS_DATA", "all")
    page = Path(report["value"])
    assert report["visible"]
    assert page.is_relative_to(tmp_path / "gradio")
    assert page.name == "wild-run-on-my-photos.html"
    assert "<h1><bdi>wild-run</bdi> on <bdi>my photos</bdi></h1>" in page.read_text()
    assert str(photos.parent) not in page.read_text()


def test_results_stand_where_the_report_cannot_be_made(run, photos, monkeypatch):
    def replaced(*_):
        raise CheckpointError("The checkpoint has just been replaced by a newer one: load it again.")

    monkeypatch.setattr(evaluate, "report_page", replaced)
    html, _, report = evaluate._press_evaluate(run, "FLOWERS_DATA", "all")
    assert "accuracy" in html
    assert (report["value"], report["visible"]) == (None, False)


def test_the_reliability_diagram_is_shown_and_told():
    html = results_html(made_up())
    assert "On average it is 75.0% sure, and 66.7% of its answers are right." in html
    assert "the expected calibration error is 8.3%." in html
    assert '<dt>calibration error</dt><dd class="value">8.3%</dd>' in html


def test_the_results_hold_the_numbers_as_a_table_with_headers():
    html = results_html(made_up())
    assert "66.7%" in html
    assert "95% interval 20.8% to 93.9%" in html  # Wilson's, of 2 in 3
    table = ElementTree.fromstring(re.search(r"<table.*</table>", html, re.S)[0])
    assert [head.text for head in table.iter("th")] == [
        "Class", "Photos", "Precision", "Recall", "F1", "rose", "tulip"
    ]  # fmt: skip
    assert {head.get("scope") for head in table.iter("th")} == {"col", "row"}
    cells = [cell.text for cell in table.iter("td")]
    assert cells == ["2", "100.0%", "50.0%", "66.7%", "1", "50.0%", "100.0%", "66.7%"]


def test_what_was_not_measured_is_a_dash_and_not_a_nought():
    html = results_html(made_up(("rose", "tulip", "orchid"), [(0, 0), (0, 1)]))
    cells = re.findall(r"<td>(.*?)</td>", html)
    assert cells == ["2", "100.0%", "50.0%", "66.7%", "0", "0.0%", "–", "0.0%", "0", "–", "–", "–"]


@pytest.mark.parametrize(
    ("changes", "sentence"),
    [
        ({"split": "val"}, "These photos were held back while it was trained."),
        ({"split": "train"}, "It has learnt from these very photos: expect less of it on new ones."),
        ({"split": "all"}, "It has learnt from most of these photos: expect less of it on new ones."),
        ({"split": "val", "same_set": False}, "This is another photo set than the one it was trained on"),
        ({"unreadable": (BROKEN,)}, "One file of the set cannot be read"),
        ({"unreadable": (BROKEN,) * 3}, "3 files of the set cannot be read"),
    ],
)
def test_it_says_how_much_the_number_is_worth(changes, sentence):
    assert sentence in results_html(made_up(**changes))


def test_no_mistake_is_a_reason_to_be_glad():
    html = results_html(made_up(answers=[(0, 0), (1, 1)]))
    assert evaluate.NO_MISTAKES in html
    assert "worst mistakes" not in html
    assert evaluate.NO_MISTAKES not in results_html(made_up())


def test_strangers_names_stay_text():
    evil = "<img src=x onerror=alert(1)>"
    html = results_html(made_up((evil, "tulip"), checkpoint=evil, source=evil))
    assert "<img" not in html
    assert html.count("&lt;img") >= 5


def test_every_control_is_labelled_and_nothing_is_public():
    async def page() -> gr.Blocks:  # inside a running loop: outside, Gradio would start one and never close it
        with gr.Blocks() as blocks:
            build()
        return blocks

    blocks = asyncio.run(page())
    controls = [block for block in blocks.blocks.values() if isinstance(block, gr.Dropdown | gr.Radio)]
    assert len(controls) == 3
    assert all(control.label and control.info for control in controls)
    assert [event.api_visibility for event in blocks.fns.values()] == ["private"]
