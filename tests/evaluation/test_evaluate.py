"""evaluate(): every photo of the split answered once, under the checkpoint's own class numbers."""

import json
import re
import shutil
from dataclasses import replace

import numpy as np
import pytest
import torch

from flowers.classifier import Classifier
from flowers.data.dataset import scan
from flowers.data.decode import decode_image
from flowers.errors import CheckpointError, DataError, DecodeError
from flowers.evaluation.evaluate import SPLITS, evaluate, report_text
from flowers.evaluation.metrics import accuracy_interval
from flowers.models.backbones import BACKBONES
from tests.evaluation.wild import CLASSES, save_wild_checkpoint

pytestmark = pytest.mark.usefixtures("tiny_networks")


@pytest.fixture(scope="module")
def classifier(garden, tmp_path_factory):
    return save_wild_checkpoint(tmp_path_factory.mktemp("checkpoints") / "wild", scan(garden))


@pytest.fixture
def everything(classifier, garden_set):
    return evaluate(classifier, garden_set, "all")


def test_each_split_answers_exactly_its_photos_in_order(classifier, garden_set):
    parts = garden_set.split()
    expected = {"val": parts.val, "train": parts.train, "all": range(len(garden_set))}
    for split in SPLITS:
        outcomes = evaluate(classifier, garden_set, split).outcomes
        assert [item.photo for item in outcomes] == [garden_set.photos[i].path for i in expected[split]]
        assert [CLASSES[item.label] for item in outcomes] == [item.photo.split("/")[0] for item in outcomes]


def test_the_answers_are_those_that_classify_gives(everything, classifier, garden_set):
    assert len({item.predicted for item in everything.outcomes}) >= 3  # or the comparison would say little
    for item in everything.outcomes:
        answer = classifier.classify(decode_image(garden_set.root / item.photo))
        assert answer.label == CLASSES[item.predicted]
        assert item.confidence == pytest.approx(answer.confidence, abs=1e-4)
        assert item.confidence_in_label == pytest.approx(answer.confidences[CLASSES[item.label]], abs=1e-4)
        assert item.wrong == (answer.label != CLASSES[item.label])


def test_the_numbers_follow_from_the_answers(everything):
    outcomes = everything.outcomes
    assert everything.confusion.sum() == len(outcomes) == 40
    assert everything.confusion.sum(1).tolist() == [8] * 5
    assert everything.accuracy == pytest.approx(np.mean([not item.wrong for item in outcomes]))
    assert np.mean([row.recall for row in everything.per_class]) == pytest.approx(everything.accuracy)  # equal classes


def test_confidences_are_measured_as_they_were_given(everything, classifier, garden_set):
    photos = [decode_image(garden_set.path(i)) for i in range(40)]
    assert everything.probabilities.shape == (40, 5)
    assert np.allclose(everything.probabilities, classifier.confidences(photos).numpy(), atol=1e-4)
    true = everything.probabilities[np.arange(40), [item.label for item in everything.outcomes]]
    assert everything.likelihood == pytest.approx(-np.log(true).mean())
    assert 0 < everything.brier < 2
    bins, right = everything.reliability, 40 * everything.accuracy
    assert sum(row.photos for row in bins) == 40
    assert sum(row.photos * row.accuracy for row in bins) == pytest.approx(right)
    distances = [row.photos * abs(row.accuracy - row.confidence) for row in bins]
    assert everything.calibration_error == pytest.approx(sum(distances) / 40)
    assert everything.interval == accuracy_interval(right, 40)
    assert everything.rejection.accuracy[-1] == pytest.approx(everything.accuracy)


def test_the_worst_are_the_wrong_ones_the_surest_first(everything):
    wrong = [item for item in everything.outcomes if item.wrong]
    worst = everything.worst(10)
    assert len(wrong) > 10
    assert len(worst) == 10
    assert all(item.wrong for item in worst)
    assert [item.confidence for item in worst] == sorted((item.confidence for item in wrong), reverse=True)[:10]
    assert set(everything.worst(1000)) == set(wrong)


@pytest.mark.parametrize("known", [CLASSES[::-1], (*CLASSES[2:], "orchid", *CLASSES[:2])])
def test_a_checkpoint_with_its_classes_in_another_order_is_understood(known, garden_set, tmp_path):
    result = evaluate(save_wild_checkpoint(tmp_path / "other", garden_set, known), garden_set, "all")
    assert result.classes == known
    assert [known[item.label] for item in result.outcomes] == [item.photo.split("/")[0] for item in result.outcomes]
    assert {row.name: row.photos for row in result.per_class} == {name: 8 * (name != "orchid") for name in known}


def test_a_photo_set_may_lack_classes(classifier, garden, tmp_path):
    for name in ("rose", "daisy"):
        shutil.copytree(garden / name, tmp_path / "two" / name)
    result = evaluate(classifier, scan(tmp_path / "two"), "all")
    assert {row.name: row.photos for row in result.per_class if row.photos} == {"daisy": 8, "rose": 8}
    assert result.absent == ["dandelion", "sunflower", "tulip"]
    assert not result.same_set
    text = report_text(result)
    assert (
        "\nThere are no photos here of dandelion, sunflower, tulip: nothing is said of how well it knows them.\n"
        in text
    )
    assert re.search(r"^tulip +0 +– +– +–$", text, re.MULTILINE)


def test_a_class_the_checkpoint_never_heard_of_is_named_in_a_sentence(classifier, garden, tmp_path):
    shutil.copytree(garden / "rose", tmp_path / "set" / "orchid")
    shutil.copytree(garden / "daisy", tmp_path / "set" / "daisy")
    with pytest.raises(CheckpointError, match=r"^The checkpoint wild does not know the class orchid: .*\.$"):
        evaluate(classifier, scan(tmp_path / "set"))


def test_many_foreign_classes_still_make_one_sentence(classifier, garden, tmp_path):
    for number in range(13):
        shutil.copytree(garden / "rose", tmp_path / f"rose {number:02}")
    with pytest.raises(CheckpointError, match=r"the classes rose 00, rose 01, .*, rose 09 and 3 more: it knows daisy,"):
        evaluate(classifier, scan(tmp_path))


def test_weights_that_went_astray_are_told(classifier, garden_set):
    model = BACKBONES["resnet18"].build(5)
    with torch.no_grad():
        model.fc.bias[0] = torch.nan
    with pytest.raises(CheckpointError, match=r"^The checkpoint wild answers with what are no numbers: .*\.$"):
        evaluate(Classifier(classifier.checkpoint, model.eval()), garden_set, "val")


def test_a_set_too_small_to_be_split_is_measured_whole(classifier, garden, tmp_path):
    for name in ("rose", "daisy"):  # twice the same picture: both stay on one side
        for copy in ("a.jpg", "b.jpg"):
            (tmp_path / name).mkdir(exist_ok=True)
            shutil.copy(garden / name / f"{name}-0001.jpg", tmp_path / name / copy)
    twins = scan(tmp_path)
    with pytest.raises(DataError):
        evaluate(classifier, twins, "val")
    assert len(evaluate(classifier, twins, "all").outcomes) == 4


def test_a_photo_that_has_gone_is_named_in_a_sentence(classifier, garden, tmp_path):
    shutil.copytree(garden, tmp_path / "set")
    dataset = scan(tmp_path / "set")
    (tmp_path / "set" / "rose" / "rose-0003.jpg").unlink()
    with pytest.raises(DecodeError, match=r"rose-0003\.jpg cannot be found"):
        evaluate(classifier, dataset, "all")


def test_augmented_views_score_each_photo_so_often_and_do_not_sharpen_the_error(classifier, garden_set):
    seen = []
    result = evaluate(classifier, garden_set, "val", views=3, progress=lambda *state: seen.append(state))
    photos = [item.photo for item in evaluate(classifier, garden_set, "val").outcomes]
    assert [item.photo for item in result.outcomes] == photos * 3
    confidences = np.array([item.confidence for item in result.outcomes]).reshape(3, -1)
    assert (np.abs(np.diff(confidences, axis=0)) > 1e-6).any()  # the views differ
    assert seen[-1] == (3 * len(photos), 3 * len(photos))
    share = result.accuracy
    assert result.to_dict()["standard_error"] == pytest.approx((share * (1 - share) / len(photos)) ** 0.5)
    assert result.interval == accuracy_interval(share * len(photos), len(photos))
    worst = result.worst(1000)
    assert len({item.photo for item in worst}) == len(worst)
    assert {item.photo for item in worst} == {item.photo for item in result.outcomes if item.wrong}


def test_progress_rises_to_the_end(classifier, garden_set):
    seen = []
    evaluate(classifier, garden_set, "all", progress=lambda done, total: seen.append((done, total)))
    assert seen == [(32, 40), (40, 40)]


def test_to_dict_is_json_and_says_nothing_of_this_machines_folders(everything, garden):
    text = json.dumps(everything.to_dict())
    assert str(garden.parent) not in text
    numbers = json.loads(text)
    assert numbers["source"] == "garden"
    assert numbers["trained_on_this_set"] is True
    assert numbers["confusion"] == everything.confusion.tolist()
    assert numbers["accuracy"] == everything.accuracy
    assert numbers["accuracy_interval_95"] == list(everything.interval)
    assert numbers["expected_calibration_error"] == everything.calibration_error
    assert numbers["negative_log_likelihood"] == everything.likelihood
    assert numbers["brier_score"] == everything.brier
    assert sum(row["photos"] for row in numbers["reliability"]) == 40
    assert numbers["rejection"]["points"][0]["answered"] == 1
    assert numbers["rejection"]["points"][0]["accuracy"] == everything.accuracy
    assert numbers["digest"] == scan(garden).digest
    assert [row["name"] for row in numbers["per_class"]] == list(CLASSES)
    assert numbers["worst"][0]["photo"] == everything.worst(1)[0].photo


def test_the_set_may_be_called_what_people_call_it(classifier, garden_set):
    assert evaluate(classifier, garden_set, source="my roses").to_dict()["source"] == "my roses"


def test_files_left_out_are_counted(classifier, garden, tmp_path):
    shutil.copytree(garden, tmp_path / "set")
    (tmp_path / "set" / "rose" / "broken.jpg").write_bytes(b"\xff\xd8\xff not a photo")
    result = evaluate(classifier, scan(tmp_path / "set"), "all")
    assert [item.path for item in result.unreadable] == ["rose/broken.jpg"]
    assert (result.to_dict()["unreadable"], len(result.outcomes)) == (1, 40)


def test_the_terminals_table_holds_every_number(everything):
    text = report_text(everything)
    assert f"accuracy {everything.accuracy:.2%}" in text
    low, high = everything.interval
    assert f"95% interval {low:.2%} to {high:.2%}" in text
    assert f"calibration: expected error {everything.calibration_error:.2%}" in text
    assert f"negative log-likelihood {everything.likelihood:.4f}, Brier score {everything.brier:.4f}" in text
    lines = {line.split()[0]: line.split() for line in text.splitlines() if line}
    for row, counts in zip(everything.per_class, everything.confusion, strict=True):
        assert lines[row.name] == [row.name, *map(str, counts)]  # the matrix comes last
        assert f"{row.recall:.2%}" in text


def test_a_part_may_be_that_of_another_checkpoint(classifier, garden_set):
    other = replace(classifier.checkpoint, recipe={**classifier.checkpoint.recipe, "split_seed": 7})
    theirs = evaluate(classifier, garden_set, "val", split_of=other)
    assert [item.photo for item in theirs.outcomes] == [garden_set.photos[i].path for i in garden_set.split(7).val]
    assert evaluate(classifier, garden_set, "val").held_back
    assert not theirs.held_back  # this checkpoint has learnt from some of them
    assert evaluate(classifier, garden_set, "val", split_of=classifier.checkpoint).held_back
