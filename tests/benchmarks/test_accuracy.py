"""The scoreboard: its test part is asked about once, and is in nothing that anybody chooses by."""

import json
import shutil

import numpy as np
import pytest

from benchmarks import accuracy
from flowers.classifier import Classifier
from flowers.data.dataset import scan
from flowers.data.garden import render_garden
from flowers.evaluation.evaluate import evaluate
from tests.evaluation.wild import save_wild_checkpoint

pytestmark = pytest.mark.usefixtures("tiny_networks")


@pytest.fixture(scope="module")
def photos(tmp_path_factory):
    folder = tmp_path_factory.mktemp("photos") / "garden"
    render_garden(folder, per_class=15, size=32, hard=False)
    return folder


@pytest.mark.parametrize("own", [False, True])
def test_the_test_part_is_in_no_validation_part_and_not_in_the_runs_folder(photos, tmp_path, own):
    folder = shutil.copytree(photos, tmp_path / "photos")
    if own:
        held = [photo.path for photo in scan(folder).photos][::5]
        (folder / "held-back.txt").write_text("\n".join(held))
    dataset = scan(folder)
    with accuracy.kept_out(dataset, tmp_path / "kept") as test:
        assert test.photos
        assert not set(test.photos) & {i for split in accuracy.CHOSEN_BY for i in dataset.split(split).val}
        rest = scan(test.folder)
        assert {photo.path for photo in rest.photos} == {
            photo.path for index, photo in enumerate(dataset.photos) if index not in test.photos
        }
        if own:
            assert sorted(rest.photos[i].path for i in rest.split().val) == sorted(held)


@pytest.mark.parametrize("arguments", [["fast", "--splits", "3"], ["fast", "--splits", "1", "--data", "own"]])
def test_splits_that_would_mislead_are_refused(photos, tmp_path, monkeypatch, capsys, arguments):
    own = shutil.copytree(photos, tmp_path / "own")
    (own / "held-back.txt").write_text("\n".join(photo.path for photo in scan(own).photos[::5]))
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(accuracy, "score", lambda *_: pytest.fail("it should not have begun"))
    with pytest.raises(SystemExit):
        accuracy.main([argument.replace("own", "./own") for argument in arguments])
    assert "split" in capsys.readouterr().err


def test_several_together_are_right_where_all_of_them_are(photos, tmp_path, capsys):
    for number, seed in enumerate((0, 8)):  # both right about some photos, and no answer of theirs is a near thing
        save_wild_checkpoint(tmp_path / f"wild{number}", scan(photos), seed=seed)
    names = [str(tmp_path / f"wild{number}") for number in range(2)]
    assert accuracy.main(["--data", str(photos), "--together", *names, "--out", str(tmp_path / "out")]) == 0
    (file,) = (tmp_path / "out" / "together").iterdir()
    told = json.loads(file.read_text())
    answers = [evaluate(Classifier.load(name), scan(photos), "val") for name in names]
    labels = np.array([outcome.label for outcome in answers[0].outcomes])
    mean = (answers[0].probabilities + answers[1].probabilities) / 2
    assert told["together"] == pytest.approx((mean.argmax(1) == labels).mean())
    assert told["together"] not in told["alone"].values()  # or the mean was not tested
    assert 0 < told["all_right"] <= told["together"] < 1
    assert told["all_right"] <= min(told["alone"].values()) <= max(told["alone"].values()) <= told["any_right"]
    assert told["alone"] == {f"wild{number}": answers[number].accuracy for number in range(2)}
    page = (tmp_path / "out.md").read_text()
    assert f"| {100 * told['together']:.2f} |" in page
    assert page == capsys.readouterr().out.rstrip("\n") + "\n"


def test_a_checkpoint_is_scored_on_clean_and_augmented_photos(photos, tmp_path):
    save_wild_checkpoint(tmp_path / "wild", scan(photos))
    asked = ["--data", str(photos), "--augmented", "2", "--checkpoints", str(tmp_path / "wild")]
    accuracy.main([*asked, "--out", str(tmp_path / "out")])
    told = json.loads((tmp_path / "out" / "checkpoints" / "wild-garden.json").read_text())
    classifier = Classifier.load(str(tmp_path / "wild"))
    assert told["accuracy"] == evaluate(classifier, scan(photos), "val").accuracy
    assert told["augmented"] == evaluate(classifier, scan(photos), "val", views=2).accuracy
    row = f"| `wild`; {photos} | {100 * told['accuracy']:.2f} | {100 * told['augmented']:.2f} |"
    assert row in (tmp_path / "out.md").read_text()


def test_many_together_find_a_file_name(photos, tmp_path):
    names = [tmp_path / f"{'a-long-name-' * 8}{number}" for number in range(3)]
    for name in names:
        save_wild_checkpoint(name, scan(photos))
    accuracy.main(["--data", str(photos), "--together", *map(str, names), "--out", str(tmp_path / "out")])
    (file,) = (tmp_path / "out" / "together").iterdir()
    assert file.name.startswith("3-")
    assert file.name.endswith("-garden.json")
    assert set(json.loads(file.read_text())["alone"]) == {name.name for name in names}


def test_checkpoints_that_hold_back_other_photos_are_not_asked_together(photos, tmp_path):
    for number in range(2):
        save_wild_checkpoint(tmp_path / f"wild{number}", scan(photos), split_seed=number)
    with pytest.raises(SystemExit, match="in the photos that they hold back"):
        accuracy.together([str(tmp_path / f"wild{number}") for number in range(2)], str(photos))
