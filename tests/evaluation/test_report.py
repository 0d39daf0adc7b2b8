"""The report: every number on one page that needs nothing else, others' words as text, a folder that appears whole."""

import base64
import copy
import dataclasses
import errno
import io
import json
import os
import re
import shutil
import xml.etree.ElementTree as ElementTree
from html.parser import HTMLParser
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from flowers.classifier import Classifier
from flowers.data.dataset import scan
from flowers.errors import FlowersError, UsageError
from flowers.evaluation import report
from flowers.evaluation.evaluate import Evaluation, evaluate
from flowers.evaluation.report import FILES, check_report_folder, report_page, write_report
from flowers.models.checkpoint import load_model
from flowers.paths import PROJECT
from flowers.reason import overlay
from flowers.recipe import preset
from tests.evaluation.wild import CLASSES, save_wild_checkpoint

EVIL = "<img src=x onerror=alert(1)>"

pytestmark = pytest.mark.usefixtures("tiny_networks")


@pytest.fixture(scope="module", autouse=True)
def figures():
    """Drawn once for each result: they take most of the time."""
    drawn, draw = [], report._figures

    def found(result: Evaluation) -> dict[str, str]:
        for one, svgs in drawn:
            if one is result:
                return svgs
        drawn.append((result, draw(result)))
        return drawn[-1][1]

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(report, "_figures", found)
        yield


INLINE = {"b", "bdi", "code", "span"}


class Page(HTMLParser):
    """What a browser would make of a page: its tags with their attributes, and its text."""

    def __init__(self, html: str) -> None:
        super().__init__()
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.pieces: list[str] = []
        self.feed(html)

    def handle_starttag(self, tag, attributes):
        self.tags.append((tag, dict(attributes)))
        self.handle_endtag(tag)

    def handle_endtag(self, tag):
        if tag not in INLINE:
            self.pieces.append(" ")

    def handle_data(self, data):
        self.pieces.append(data)

    @property
    def text(self) -> str:
        return " ".join("".join(self.pieces).split())

    def attributes(self, tag: str) -> list[dict[str, str | None]]:
        return [attributes for name, attributes in self.tags if name == tag]


@pytest.fixture(scope="module")
def classifier(garden, tmp_path_factory):
    return save_wild_checkpoint(tmp_path_factory.mktemp("checkpoints") / "wild", scan(garden))


def with_card(classifier: Classifier, **changes) -> Classifier:
    """The same network, whose checkpoint says something else of itself."""
    return Classifier(dataclasses.replace(classifier.checkpoint, **changes), load_model(classifier.checkpoint))


@pytest.fixture(scope="module")
def result(classifier, garden) -> Evaluation:
    return evaluate(classifier, scan(garden), "all")


@pytest.fixture(scope="module")
def page(classifier, result) -> str:
    return report_page(result, classifier)


def test_the_page_tells_every_number(page, result):
    text = Page(page).text
    low, high = result.interval
    assert f"{result.accuracy:.1%} accuracy, 95% interval {low:.1%} to {high:.1%}" in text
    for row in result.per_class:
        shares = " ".join(f"{share:.1%}" for share in (row.precision, row.recall, row.f1))
        assert f"{row.name} {row.photos} {shares}" in text
    assert f"Expected calibration error {result.calibration_error:.1%}" in text
    assert f"Negative log-likelihood {result.likelihood:.3f}" in text
    assert f"Brier score {result.brier:.3f}" in text
    for point in result.rejection_points:
        assert " ".join(f"{point[name]:.1%}" for name in ("answered", "accuracy", "confidence")) in text
    assert f"Mean over all parts: {result.rejection.area:.4f}" in text


def test_the_page_says_what_was_asked_and_who_answered(page, result, classifier):
    text = Page(page).text
    assert result.digest in text
    assert "python -m flowers evaluate wild --data garden --split all" in text
    assert "ResNet18 (resnet18), 11.2 million parameters" in text
    assert "5: daisy, dandelion, rose, sunflower, tulip" in text
    assert "size 64, resize 64, mean 0.485 / 0.456 / 0.406" in text
    assert "preset report, unchanged" in text
    assert "It has learnt from most of these photos" in text
    assert classifier.checkpoint.created[:10] in text
    assert re.search(r"Measured \d{4}-\d\d-\d\d \d\d:\d\d UTC, by flowers \d", text)


@pytest.mark.parametrize(
    ("recipe", "said", "changed"),
    [
        ({}, "Recipe not recorded", []),
        (preset("fast").to_dict(), "preset fast, unchanged", []),
        (preset("fast").replace(epochs=7).to_dict(), "nearest to preset fast, with these changes", [("fast", "7 5")]),
        ({"epochs": 24}, "nearest to preset report, with these changes", [("report", "24 25")]),
    ],
)
def test_a_recipe_is_told_by_its_distance_from_a_preset(classifier, result, recipe, said, changed):
    page = Page(report_page(result, with_card(classifier, recipe=recipe)))
    assert said in page.text
    rows = re.findall(r"Hyperparameter Here In (\w+) Epochs (\d+ \d+)", page.text)
    assert rows == changed


def test_the_worst_mistakes_are_shown_as_small_pictures(page, result):
    pictures = Page(page).attributes("img")
    mistakes = result.worst()
    assert len(mistakes) >= 20
    shown = [picture for picture in pictures if picture["alt"].startswith("A photo of")]
    assert [picture["alt"] for picture in shown] == [
        f"A photo of {CLASSES[item.label]}, taken for {CLASSES[item.predicted]}" for item in mistakes
    ]
    assert len(pictures) == 2 * len(mistakes)
    for picture in pictures:
        kind, _, content = picture["src"].partition(",")
        assert kind == "data:image/jpeg;base64"
        image = Image.open(io.BytesIO(base64.b64decode(content)))
        assert max(image.size) <= 224
    text = Page(page).text
    for item in mistakes:
        told = f"{CLASSES[item.label]} {item.confidence_in_label:.1%}, answered {CLASSES[item.predicted]}"
        assert f"{told} {item.confidence:.1%} {item.photo}" in text


def test_beside_each_mistake_stands_the_evidence_for_the_answer(page, result, classifier):
    """JPEG changes a pixel by a few levels; another photo, or another class, by many."""
    pictures = Page(page).attributes("img")
    for item, plain, mapped in zip(result.worst(), pictures[::2], pictures[1::2], strict=True):
        answer = CLASSES[item.predicted]
        reason = classifier.explain(result.root / item.photo, answer)
        assert mapped["alt"] == f"Where in it the network found evidence for {answer}"
        expected = (reason.frame, overlay(reason.frame, reason.heat, reason.strongest))
        for picture, image in zip((plain, mapped), expected, strict=True):
            shown = Image.open(io.BytesIO(base64.b64decode(picture["src"].partition(",")[2])))
            assert shown.size == image.size
            difference = np.asarray(shown, dtype=np.int16) - np.asarray(image, dtype=np.int16)
            assert np.abs(difference).mean() < 6
    assert "by estimate (Grad-CAM)" not in Page(page).text


def test_a_temperature_is_told(classifier, result):
    section = {"temperature": 1.25, "fitted_by": "", "facts": {"photos_held_back": 10}}
    told = Page(report_page(result, with_card(classifier, calibration=section))).text
    assert "Calibration temperature 1.250, fitted" in told
    assert "Calibration none: the confidences are the network's own" in Page(report_page(result, classifier)).text


def test_the_page_is_whole_without_network_and_script(page):
    tags = Page(page).tags
    assert {tag for tag, _ in tags} & {"script", "link", "iframe", "object", "embed", "base", "a", "form"} == set()
    for _, attributes in tags:
        assert not [name for name in attributes if name.startswith("on")]
        assert not {"href", "srcset", "xlink:href", "action", "data", "poster"} & set(attributes)
        assert attributes.get("src", "data:").startswith("data:")
        assert "url(" not in (attributes.get("style") or "")
    without_namespaces = page.replace('xmlns="http://www.w3.org/2000/svg"', "")
    assert "://" not in without_namespaces
    assert "url(" not in page
    assert "@import" not in page
    policy = [tag["content"] for tag in Page(page).attributes("meta") if "http-equiv" in tag]
    assert len(policy) == 1
    assert "default-src 'none'" in policy[0]


def test_it_follows_the_readers_light_and_fits_a_phone_and_paper(page):
    assert "@media screen and (prefers-color-scheme: dark)" in page
    assert "@media print" in page
    assert [tag["content"] for tag in Page(page).attributes("meta") if tag.get("name") == "viewport"]


def test_strangers_words_stay_text(garden, tmp_path):
    """Of files, of classes, and of the checkpoint."""
    classes = (f"a{EVIL}", "b&amp;{{ 7 * 7 }}", "c\"'</title></style>")
    for name, shape in zip(classes, ("daisy", "rose", "tulip"), strict=True):
        (tmp_path / "set" / name.replace("/", "")).mkdir(parents=True)
        for number, photo in enumerate(sorted((garden / shape).iterdir())):
            shutil.copy(photo, tmp_path / "set" / name.replace("/", "") / f"{number}{EVIL}\u202egpj.\n\x1b[1m.jpg")
    (tmp_path / "set" / classes[0] / f"broken{EVIL}.jpg").write_bytes(b"\xff\xd8\xff")
    dataset = scan(tmp_path / "set")
    classifier = save_wild_checkpoint(tmp_path / "wild", dataset, dataset.classes)
    boasting = with_card(
        classifier, metrics={EVIL: EVIL, "list": [EVIL, {"deep": 0.123456}]}, created=EVIL,
        photos={"counts": {EVIL: 3}, "digest": EVIL},
    )  # fmt: skip
    html = report_page(evaluate(classifier, dataset, "all", source=EVIL), boasting, f"evaluate {EVIL}")
    page = Page(html)
    assert {tag["src"][:11] for tag in page.attributes("img")} == {"data:image/"}
    assert not [name for _, attributes in page.tags for name in attributes if name.startswith("on")]
    assert page.text.count(EVIL) > 20
    assert "{{ 7 * 7 }}" in page.text
    assert [tag for tag, _ in page.tags].count("style") == 1
    assert "\u202e" not in html
    assert "\x1b" not in html
    assert "deep 0.1235" in page.text


def test_a_name_that_is_not_text_can_be_told(classifier, result, tmp_path):
    strange = dataclasses.replace(result, source="ros\udce9")
    write_report(tmp_path / "report", strange, classifier)
    assert "ros�" in (tmp_path / "report" / "index.html").read_text(encoding="utf-8")
    assert json.loads((tmp_path / "report" / "results.json").read_text())["source"] == "ros\udce9"


@pytest.mark.parametrize("photos", [{"counts": ["x"]}, {"counts": {"rose": "many"}}, {"digest": None}, {}])
def test_a_checkpoint_that_says_little_or_nonsense_of_its_photos_has_a_report(classifier, result, photos):
    text = Page(report_page(result, with_card(classifier, photos=photos))).text
    assert "Name wild" in text
    assert "Photo set it was trained with" not in text


def test_what_was_left_out_is_listed(classifier, garden, tmp_path):
    shutil.copytree(garden, tmp_path / "set")
    for number in range(3):
        (tmp_path / "set" / "rose" / f"broken-{number}.jpg").write_bytes(b"\xff\xd8\xff not a photo")
    result = evaluate(classifier, scan(tmp_path / "set"), "val")
    write_report(tmp_path / "report", result, classifier)
    text = Page((tmp_path / "report" / "index.html").read_text()).text
    assert "3 unreadable files of the set, listed below" in text
    numbers = json.loads((tmp_path / "report" / "results.json").read_text())
    assert [item["path"] for item in numbers["left_out"]] == [f"rose/broken-{number}.jpg" for number in range(3)]
    for item in numbers["left_out"]:
        assert f"{item['path']} {' '.join(item['reason'].split())}" in text


def test_classes_without_photos_are_told_and_show_dashes(classifier, garden, tmp_path):
    for name in ("rose", "daisy"):
        shutil.copytree(garden / name, tmp_path / "two" / name)
    text = Page(report_page(evaluate(classifier, scan(tmp_path / "two"), "all"), classifier)).text
    assert "There are no photos here of dandelion, sunflower, tulip: nothing is said of how well" in text
    assert "This is another photo set than the one it was trained on, unless the two share photos." in text
    assert re.search(r"tulip 0 (–|0\.0%) – ", text)


def test_without_a_mistake_there_is_no_gallery(classifier, result):
    right = [dataclasses.replace(item, predicted=item.label) for item in result.outcomes]
    perfect = dataclasses.replace(result, outcomes=tuple(right), probabilities=np.eye(5)[[i.label for i in right]])
    page = Page(report_page(perfect, classifier))
    assert "Not one mistake" in page.text
    assert not page.attributes("img")
    assert "100.0% accuracy, 95% interval 91.2% to 100.0%" in page.text


def test_augmented_views_are_told(classifier, garden_set):
    result = evaluate(classifier, garden_set, "val", views=2)
    text = Page(report_page(result, classifier)).text
    assert "Scored on 2 randomly augmented views of each photo, not on the photos themselves." in text
    assert "10 photos, 2 augmented views of each" in text
    assert "--augmented 2" in text


@pytest.mark.parametrize("views", [0, 2])
def test_it_says_by_which_temperature_the_photos_are_judged(classifier, garden_set, views):
    fitted = dataclasses.replace(classifier.calibration, temperature=0.5, facts={"photos_held_back": 10})
    calibrated = copy.copy(classifier)
    calibrated.calibration = fitted
    text = Page(report_page(evaluate(calibrated, garden_set, "val", views=views), calibrated)).text
    assert "temperature 0.500, fitted to the photos held back; " in text
    assert ("by a temperature that it did not help to fit" in text) == (not views)
    assert ("by that very temperature, which flatters" in text) == bool(views)


# The folder


@pytest.fixture
def folder(tmp_path, classifier, result) -> Path:
    write_report(tmp_path / "new" / "report", result, classifier, "python -m flowers evaluate wild")
    return tmp_path / "new" / "report"


def test_it_holds_page_numbers_and_figures(folder, result, classifier):
    assert {path.name for path in folder.iterdir()} == FILES
    numbers = json.loads((folder / "results.json").read_text())
    assert numbers.items() >= json.loads(json.dumps(result.to_dict())).items()
    assert [item["photo"] for item in numbers["answers"]] == [item.photo for item in result.outcomes]
    assert numbers["checkpoint_card"]["backbone"] == "resnet18"
    assert numbers["command"] == "python -m flowers evaluate wild"
    for path in folder.glob("*.svg"):
        root = ElementTree.parse(path).getroot()
        assert root.tag == "{http://www.w3.org/2000/svg}svg"
        assert "font-family" in root.get("style")


def test_it_says_nothing_of_this_machines_folders(folder, result, classifier):
    for path in folder.iterdir():
        text = path.read_text()
        assert str(result.root.parent) not in text
        assert str(classifier.checkpoint.folder.parent) not in text


def test_an_earlier_report_is_replaced_and_nothing_else(folder, result, classifier, tmp_path):
    (folder / "index.html").write_text((folder / "index.html").read_text() + "<!-- earlier -->")
    write_report(folder, result, classifier)
    assert "earlier" not in (folder / "index.html").read_text()
    (tmp_path / "empty").mkdir()
    write_report(tmp_path / "empty", result, classifier)
    (folder / "thesis.txt").write_text("precious")
    (tmp_path / "site").mkdir()
    (tmp_path / "site" / "index.html").write_text("<h1>my home page</h1>")
    (tmp_path / "dump").mkdir()
    (tmp_path / "dump" / "results.json").write_text("{}")
    for precious in (folder, tmp_path / "site", tmp_path / "dump", tmp_path):
        before = sorted(path.name for path in precious.iterdir())
        with pytest.raises(UsageError, match=r"holds other things than an earlier report: choose .*\.$"):
            write_report(precious, result, classifier)
        assert sorted(path.name for path in precious.iterdir()) == before
    assert (folder / "thesis.txt").read_text() == "precious"
    assert (tmp_path / "site" / "index.html").read_text() == "<h1>my home page</h1>"


def test_a_full_disk_leaves_the_earlier_report(folder, result, classifier, monkeypatch):
    before = (folder / "results.json").read_text()

    def no_room(*_):
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(os, "fsync", no_room)
    with pytest.raises(FlowersError, match=r"could not be written to .*No space left on device.*untouched\.$"):
        write_report(folder, result, classifier)
    assert (folder / "results.json").read_text() == before
    assert [path.name for path in folder.parent.iterdir()] == ["report"]


def test_a_place_where_no_folder_can_be_is_told(tmp_path, monkeypatch):
    (tmp_path / "file").touch()
    for where in (tmp_path / "file", tmp_path / "file" / "a" / "b", tmp_path / ("x" * 300)):
        with pytest.raises(UsageError, match=r"choose another .*\.$"):
            check_report_folder(where)
    monkeypatch.setattr(report.os, "access", lambda *_: False)  # root may write anywhere
    with pytest.raises(UsageError, match=f"No folder can be made in {re.escape(str(tmp_path))}: "):
        check_report_folder(tmp_path / "a" / "b")
    assert [path.name for path in tmp_path.iterdir()] == ["file"]


def test_the_template_is_where_the_code_looks_for_it():
    assert (PROJECT / "flowers" / "evaluation" / report.TEMPLATE).is_file()
