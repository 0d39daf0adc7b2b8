"""The checkpoints that ship: their cards say what was measured, and the default is right, and knows when it is not."""

import json
from pathlib import Path

import pytest

from flowers.classifier import Classifier
from flowers.data.dataset import open_dataset
from flowers.data.sources import CLASSES
from flowers.models.calibration import read_calibration
from flowers.models.checkpoint import read_checkpoint
from flowers.paths import DEFAULT_CHECKPOINT, PROJECT

FOLDERS = sorted(path.parent for path in (PROJECT / "checkpoints").glob("*/checkpoint.json"))


@pytest.mark.parametrize("folder", FOLDERS, ids=lambda folder: folder.name)
def test_the_card_says_what_calibrating_measured(folder):
    card = " ".join((folder / "README.md").read_text().split())
    calibration = read_calibration(read_checkpoint(folder))
    facts = calibration.facts
    assert f"a temperature of {calibration.temperature:.3f}, fitted to the {facts['photos_held_back']} photos" in card
    before, after = facts["uncalibrated"], facts["calibrated"]
    for title, name, form in (
        ("expected calibration error, 15 bins", "expected_calibration_error", "{:.2%}"),
        ("negative log-likelihood", "negative_log_likelihood", "{:.4f}"),
        ("Brier score", "brier_score", "{:.4f}"),
    ):
        shown = [form.format(values[name]).replace("%", " %") for values in (before, after)]
        assert f"| {title} | {shown[0]} | {shown[1]} |" in card
    assert f"would show an error of {100 * facts['honest_calibration_error']:.2f} %" in card
    right, known = 100 * facts["accuracy_of_known"], 100 * facts["known"]
    assert f"names {right:.2f} % rightly, of all {100 * facts['accuracy']:.2f} %" in card
    assert f"four fifths, {known:.1f} % accepted)" in card


@pytest.mark.parametrize("folder", FOLDERS, ids=lambda folder: folder.name)
def test_the_card_says_what_was_noticed_of_other_things(folder):
    card = " ".join((folder / "README.md").read_text().split())
    results = PROJECT / "benchmarks" / ("" if folder.name == DEFAULT_CHECKPOINT else f"novelty/{folder.name}")
    measured = json.loads((results / "novelty.json").read_text())
    assert measured["checkpoint"] == folder.name
    far, real = (measured["scores"]["shipped"]["noticed"][kind] for kind in ("far", "far photos"))
    assert f"it notices {far:.0%}".replace("%", " %") in card
    assert f"63 real photos among them {round(63 * real)}" in card


@pytest.fixture(scope="module")
def default() -> Classifier:
    return Classifier.load(DEFAULT_CHECKPOINT)


@pytest.mark.parametrize("name", ["chelsea.png", "coffee.png", "gravel.png", "rocket.jpg", "text.png"])
def test_the_default_says_of_other_things_that_they_are_none_of_the_five(default, name):
    photos = Path(pytest.importorskip("skimage").__file__).parent / "data"
    (answer,) = default.classify_many([photos / name])
    assert not answer.known


def test_the_default_names_photos_and_knows_them(default, real_photos):
    """A few that are quickly found: it may have learnt from some of them."""
    photos = {path: path.parent.name for label in CLASSES for path in sorted((real_photos / label).iterdir())[:4]}
    answers = list(default.classify_many(photos))
    assert sum(answer.label == label for answer, label in zip(answers, photos.values(), strict=True)) >= 18
    assert sum(answer.known for answer in answers) >= 17


@pytest.mark.thorough
def test_the_default_names_the_reports_photos_and_knows_them(default, real_photos):
    dataset = open_dataset(real_photos)
    indices = dataset.split().val[::8]
    answers = list(default.classify_many(dataset.path(index) for index in indices))
    labels = [dataset.classes[dataset.photos[index].label] for index in indices]
    assert sum(answer.label == label for answer, label in zip(answers, labels, strict=True)) >= 0.9 * len(labels)
    assert sum(answer.known for answer in answers) >= 0.85 * len(labels)
