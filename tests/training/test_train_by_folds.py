"""Training whose last layer is fitted to all photos and judged by folds; and what comes after it, where that pays."""

import shutil

import numpy as np
import pytest
import torch

from flowers.classifier import Classifier
from flowers.data.dataset import HELD_BACK, scan
from flowers.errors import CheckpointError, UsageError
from flowers.evaluation.calibration import calibrate
from flowers.evaluation.evaluate import evaluate
from flowers.models.checkpoint import Checkpoint, read_checkpoint
from flowers.models.out_of_fold import FILE, read_out_of_fold
from flowers.models.soup import check_alike
from flowers.recipe import Recipe
from flowers.training import process, schedule
from flowers.training import train as module
from flowers.training.events import Epoch, Folded, Samples, Started
from flowers.training.run import Run
from flowers.training.story import tell
from flowers.training.train import starting_model, train
from tests.conftest import TINY

BY_FOLDS = TINY.replace(probe="folds", epochs=3, mirror_answers="on", balance="on")
pytestmark = pytest.mark.usefixtures("tiny_network")


def performed(recipe: Recipe, dataset, run: Run | None = None, stop=lambda: False) -> dict[type, list]:
    """What training told, by kind."""
    events: dict[type, list] = {}
    for event in train(recipe, dataset, run=run, stop=stop):
        events.setdefault(type(event), []).append(event)
    return events


@pytest.fixture(scope="module")
def recipe(taught) -> Recipe:
    """From weights that know something of the flowers."""
    return BY_FOLDS.replace(init=str(taught))


@pytest.fixture
def run(recipe, tmp_path, garden) -> Run:
    return Run.create(tmp_path / "run", recipe, str(garden))


@pytest.fixture
def enough(monkeypatch) -> None:
    """40 photos are enough to tell whether more than the last layer pays."""
    monkeypatch.setattr(schedule, "TELLING", 40)


def test_a_few_photos_are_all_learned_from_and_judged_by_folds(recipe, run, garden_set):
    events = performed(recipe, garden_set, run)
    [started], [folded], [epoch] = events[Started], events[Folded], events[Epoch]
    assert (started.epochs, started.train_photos, started.val_photos) == (1, 40, 0)
    assert (folded.folds, folded.photos) == (5, 40)
    assert folded.accuracy == epoch.val_accuracy == pytest.approx(np.trace(epoch.confusion) / 40)
    assert np.sum(epoch.confusion) == 40
    assert [photos for photos, _ in folded.curve][-1] == 32
    assert len(events[Samples][0].predictions) > 5
    assert read_checkpoint(run.folder / "best").folds == 5


def test_what_is_kept_to_be_judged_by_is_what_was_told(recipe, run, garden_set):
    [epoch] = performed(recipe, garden_set, run)[Epoch]
    kept = read_out_of_fold(run.folder / "best")
    assert np.mean(kept.scores.argmax(1) == kept.labels) == pytest.approx(epoch.val_accuracy)
    assert sorted(np.bincount(kept.folds)) == [8] * 5
    assert kept.features.shape[0] == len(kept.featured) == 40


def test_the_last_checkpoint_of_a_layer_alone_says_that_folds_judge_it(recipe, run, garden_set):
    performed(recipe, garden_set, run)
    best, last = (read_checkpoint(run.folder / which) for which in ("best", "last"))
    assert last.folds == best.folds == 5
    assert np.array_equal(read_out_of_fold(last.folder).scores, read_out_of_fold(best.folder).scores)


def test_the_story_says_that_folds_judged(recipe, garden_set):
    events = [event.to_dict() for event in train(recipe, garden_set)]
    story = tell(events)
    assert (story.folds, story.epochs, story.judged, story.photos) == (5, 1, 40, 40)
    assert story.all_by_folds and story.curve[-1][0] == 32
    assert story.ending == "The last layer has learned from all 40 photos"


def test_evaluated_on_its_own_photos_it_answers_as_if_they_were_new(recipe, run, garden_set):
    [epoch] = performed(recipe, garden_set, run)[Epoch]
    classifier = Classifier.load(run.folder)
    honest, flattered = (evaluate(classifier, garden_set, split) for split in ("val", "all"))
    assert honest.by_folds and honest.held_back and len(honest.outcomes) == 40
    assert honest.confusion.tolist() == epoch.confusion
    assert honest.worth() == "Each photo was answered by a last layer that had not learned from it."
    assert not flattered.held_back and flattered.accuracy >= honest.accuracy
    (run.folder / "best" / FILE).unlink()  # as in what is exported
    assert not evaluate(Classifier.load(run.folder), garden_set, "val").held_back


def test_it_is_calibrated_by_its_folds_without_looking_again(recipe, run, garden_set, monkeypatch):
    performed(recipe, garden_set, run)
    monkeypatch.delattr("flowers.evaluation.calibration.look")
    calibration = calibrate(read_checkpoint(run.folder / "best"), garden_set)
    assert calibration.temperature == 1
    assert calibration.facts["folds"] == 5 and calibration.facts["photos_held_back"] == 40
    answer = Classifier.load(run.folder).classify_many([garden_set.path(0)])
    assert 0 <= next(answer).familiarity <= 1
    (run.folder / "best" / FILE).unlink()
    with pytest.raises(UsageError, match="learned from all of its photos, and was calibrated by folds"):
        calibrate(read_checkpoint(run.folder / "best"), garden_set)


def test_a_stop_while_it_looks_begins_anew_and_ends_alike(recipe, run, garden_set):
    performed(recipe, garden_set, run, stop=lambda: True)
    assert not run.has_checkpoint()
    [epoch] = performed(recipe, garden_set, run)[Epoch]
    [whole] = performed(recipe, garden_set)[Epoch]
    assert (epoch.val_accuracy, epoch.val_loss) == (whole.val_accuracy, pytest.approx(whole.val_loss, rel=1e-3))


def test_photos_that_the_set_holds_back_stay_held_back(recipe, tmp_path, garden):
    shutil.copytree(garden, tmp_path / "own")
    held = sorted(path.relative_to(tmp_path / "own").as_posix() for path in (tmp_path / "own").glob("*/*"))[::4]
    (tmp_path / "own" / HELD_BACK).write_text("\n".join(held))
    run = Run.create(tmp_path / "run", recipe, str(tmp_path / "own"))
    events = performed(recipe, scan(tmp_path / "own"), run)
    assert (events[Started][0].train_photos, events[Started][0].val_photos) == (30, 10)
    assert events[Folded][0].photos == 30
    assert np.sum(events[Epoch][0].confusion) == 10
    story = tell([event.to_dict() for kind in (Started, Folded, Epoch) for event in events[kind]])
    assert (story.folds, story.judged, story.all_by_folds) == (0, 10, False)
    assert read_checkpoint(run.folder / "best").folds == 0


@pytest.mark.usefixtures("enough")
def test_later_epochs_that_are_no_better_are_not_kept(recipe, run, garden_set):
    still = recipe.replace(learning_rate=1e-7)
    first, *others = performed(still, garden_set, run)[Epoch]
    assert [epoch.best for epoch in (first, *others)] == [True, False, False]
    assert [np.sum(epoch.confusion) for epoch in (first, *others)] == [40, 10, 10]
    assert read_checkpoint(run.folder / "best").folds == 5
    assert first.val_accuracy == run_best(run)


@pytest.mark.usefixtures("enough")
def test_later_epochs_that_are_better_are_kept_and_were_checked_on_photos_held_back(
    recipe, run, garden_set, monkeypatch
):
    real = module.Training._hand_over
    monkeypatch.setattr(module.Training, "_hand_over", lambda *args: (real(*args)[0], -1.0))
    epochs = performed(recipe, garden_set, run)[Epoch]
    assert epochs[1].best
    best = read_checkpoint(run.folder / "best")
    assert best.folds == 0 and not (run.folder / "best" / FILE).exists()
    assert run_best(run) == max(epoch.val_accuracy for epoch in epochs[1:])
    result = evaluate(Classifier.load(run.folder), garden_set, "val")
    assert result.held_back and not result.by_folds and len(result.outcomes) == 10


def run_best(run: Run) -> float:
    return read_checkpoint(run.folder / "best").metrics["val_accuracy"]


@pytest.mark.usefixtures("enough")
def test_later_epochs_begin_with_a_layer_that_the_photos_held_back_had_no_part_in(recipe, garden_set, monkeypatch):
    begun = {}
    monkeypatch.setattr(
        module.Training, "learn", lambda self: begun.update(head=self.learner.head.weight.detach().clone()) or iter(())
    )
    trained = {}
    real = module.Training._hand_over

    def hand_over(self, seen, folded):
        trained["seen"], trained["layer"] = seen.fit([self.split.train], folded.penalty)[0], folded.layer
        return real(self, seen, folded)

    monkeypatch.setattr(module.Training, "_hand_over", hand_over)
    with pytest.raises(ZeroDivisionError):  # an epoch in which nothing was learned
        performed(recipe, garden_set)
    directions = [torch.nn.functional.normalize(w.flatten(), dim=0) for w in (begun["head"], trained["seen"].weight)]
    assert float(directions[0] @ directions[1]) == pytest.approx(1, abs=1e-5)
    assert float(directions[0] @ torch.nn.functional.normalize(trained["layer"].weight.flatten(), dim=0)) < 0.9999


def test_unequal_classes_are_told_when_they_are_made_to_count_the_same(recipe, tmp_path, garden):
    shutil.copytree(garden, tmp_path / "own")
    for path in sorted((tmp_path / "own" / "rose").iterdir())[4:]:
        path.unlink()
    dataset = scan(tmp_path / "own")
    said = "The classes have 4 to 8 photos: each class counts the same."
    assert said in performed(recipe, dataset)[Started][0].notes
    assert said not in performed(recipe.replace(balance="off"), dataset)[Started][0].notes


def test_two_photos_a_class_are_enough(recipe, tmp_path, garden):
    for folder in garden.iterdir():
        (tmp_path / "own" / folder.name).mkdir(parents=True)
        for path in sorted(folder.iterdir())[:2]:
            shutil.copy(path, tmp_path / "own" / folder.name)
    run = Run.create(tmp_path / "run", recipe, str(tmp_path / "own"))
    dataset = scan(tmp_path / "own")
    [folded] = performed(recipe, dataset, run)[Folded]
    assert (folded.folds, folded.photos) == (2, 10)
    assert calibrate(read_checkpoint(run.folder / "best"), dataset).neighbours is not None


def test_what_learned_from_all_photos_is_not_prolonged_averaged_or_begun_with(recipe, run, garden_set):
    performed(recipe, garden_set, run)
    with pytest.raises(UsageError, match="has learned all that its last layer can"):
        process.prolong(run, 5)
    best = read_checkpoint(run.folder / "best")
    with pytest.raises(CheckpointError, match="learned from all of its photos, so that none is left"):
        check_alike([best, best])
    body, _ = starting_model(recipe.replace(init=str(run.folder)), best.classes)
    other, _ = starting_model(recipe, best.classes)
    assert torch.equal(body.conv1.weight, other.conv1.weight)
    assert not torch.equal(body.fc.weight, Classifier.load(run.folder)._load_explainer().model.fc.weight)


def test_a_checkpoint_of_before_says_nothing_of_folds():
    assert Checkpoint("resnet18", ("a", "b"), {}).folds == 0
    assert Checkpoint("resnet18", ("a", "b"), {}, metrics={"folds": "many"}).folds == 0
