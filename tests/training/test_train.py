"""The training loop, on a garden of 40 photos: it learns, repeats itself bit for bit, stops and goes on."""

import dataclasses
import math
import shutil
import urllib.error
from itertools import groupby

import pytest
import torch
from torch.nn import functional

from flowers.data.dataset import scan
from flowers.data.loader import PhotoLoader
from flowers.data.preprocess import Preprocessing
from flowers.errors import CheckpointError, DataError, FlowersError, UsageError
from flowers.models.backbones import BACKBONES
from flowers.models.checkpoint import Checkpoint, find_checkpoint, load_model, load_weights, save_checkpoint
from flowers.paths import runs_dir
from flowers.recipe import Recipe
from flowers.training import train as module
from flowers.training.events import Epoch, Event, Finished, Samples, Started, Step, Validating
from flowers.training.run import Run
from flowers.training.train import starting_model, train
from tests.conftest import TINY

pytestmark = pytest.mark.usefixtures("small_network")
CLASSES = ("daisy", "dandelion", "rose", "sunflower", "tulip")
STEPS = 4  # of 8 photos in an epoch of 30
# Without augmentation the 30 photos can be learned by heart.
BY_HEART = TINY.replace(
    epochs=8, batch_size=4, learning_rate=0.001, lr_gamma=1,
    crop_min_area=1, rotation=0, brightness=0, contrast=0, saturation=0, hue=0, shear=0, zoom=0,
)  # fmt: skip


def told(events: list[Event]) -> list[dict]:
    """Events as dictionaries, without what the clock says."""
    timed = ("seconds", "predicted", "checking")
    return [{key: value for key, value in event.to_dict().items() if key not in timed} for event in events]


def of(kind: type, events: list[Event]) -> list:
    return [event for event in events if isinstance(event, kind)]


def a_run(folder, recipe: Recipe = TINY) -> Run:
    return Run.create(folder, recipe, None)


class StopAfter:
    """A ``stop`` that says yes once ``steps`` batches were learned. Feed it the events."""

    def __init__(self, steps: int):
        self.left = steps

    def __call__(self) -> bool:
        return self.left <= 0

    def watch(self, events):
        for event in events:
            self.left -= isinstance(event, Step)
            yield event


def train_until(steps: int, recipe, dataset, run) -> list[Event]:
    """The events of a training that is stopped after so many steps, as a consumer would: while it is told of one."""
    stop = StopAfter(steps)
    return list(stop.watch(train(recipe, dataset, run=run, stop=stop)))


@pytest.fixture(scope="module")
def whole(garden, tmp_path_factory):
    """A run of two epochs that nobody disturbed, and its events."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("FLOWERS_CACHE", str(tmp_path_factory.mktemp("cache")))
        patch.setitem(BACKBONES, "resnet18", dataclasses.replace(BACKBONES["resnet18"], size=64, resize=72))
        torch.set_num_threads(1)
        run = a_run(tmp_path_factory.mktemp("whole") / "run")
        return run, list(train(TINY, scan(garden), run=run))


def assert_same_weights(one: Run, other: Run) -> None:
    for which in ("last", "best"):
        a, b = (load_weights(run.folder / which) for run in (one, other))
        assert a.keys() == b.keys()
        assert all(torch.equal(a[name], b[name]) for name in a), which
    a, b = (run.load_state().learner for run in (one, other))
    assert a.keys() == b.keys()
    assert a.get("averaged") == b.get("averaged")
    assert all(torch.equal(a["net"][name], b["net"][name]) for name in b.get("net", {}))
    a, b = (learner["optimizer"]["state"] for learner in (a, b))
    assert a.keys() == b.keys()
    assert all(torch.equal(a[key]["momentum_buffer"], b[key]["momentum_buffer"]) for key in b)


# What it tells


def test_events_come_in_order(whole):
    _, events = whole
    kinds = [kind for kind, _ in groupby(event.kind for event in events)]
    assert kinds == ["started", *["step", "validating", "epoch", "samples"] * 2, "finished"]
    assert [(e.epoch, e.step) for e in of(Step, events)] == [(epoch, s + 1) for epoch in (0, 1) for s in range(STEPS)]
    assert [(e.epoch, e.done, e.total) for e in of(Validating, events)] == [(0, 10, 10), (1, 10, 10)]
    seconds = [event.seconds for event in events if not isinstance(event, Samples)]
    assert seconds == sorted(seconds)


def test_events_say_what_is_going_on(whole):
    _, events = whole
    start, end = events[0], events[-1]
    assert isinstance(start, Started)
    assert (start.epoch, start.step, start.epochs, start.steps) == (0, 0, 2, STEPS)
    assert (start.train_photos, start.val_photos, start.classes) == (30, 10, list(CLASSES))
    assert (start.device, start.precision) == ("cpu", "float32")
    epochs = of(Epoch, events)
    for epoch in epochs:
        steps = [e for e in of(Step, events) if e.epoch == epoch.epoch]
        sizes = [8, 8, 8, 6]
        assert epoch.train_loss == pytest.approx(sum(e.loss * n for e, n in zip(steps, sizes, strict=True)) / 30)
        assert epoch.train_accuracy == pytest.approx(
            sum(e.accuracy * n for e, n in zip(steps, sizes, strict=True)) / 30
        )
    best = max(epochs, key=lambda e: e.val_accuracy)
    assert epochs[0].best
    assert isinstance(end, Finished)
    assert (end.stopped, end.epochs_done) == (False, 2)
    assert (end.best_epoch, end.best_val_accuracy) == (best.epoch, best.val_accuracy)


def test_samples_are_the_same_photos_after_every_epoch(whole, garden_set):
    _, events = whole
    first, second = of(Samples, events)
    assert [p.photo for p in first.predictions] == [p.photo for p in second.predictions]
    held_back = {garden_set.photos[i].path: garden_set.photos[i].label for i in garden_set.split().val}
    for prediction in second.predictions:
        assert held_back[prediction.photo] == prediction.label
        assert 0 <= prediction.predicted < 5
        assert 0.2 <= prediction.confidence <= 1


def test_validation_is_what_the_saved_network_answers_to_clean_photos(whole, garden_set):
    run, events = whole
    checkpoint = find_checkpoint(run.folder / "last")
    preprocessing = Preprocessing.from_dict(checkpoint.preprocessing)
    loader = PhotoLoader(garden_set, preprocessing)
    ((pixels, labels),) = loader.clean([garden_set.split().val])
    loader.close()
    with torch.inference_mode():
        scores = load_model(checkpoint)(preprocessing.normalise(pixels))
    last = of(Epoch, events)[-1]
    assert last.val_loss == pytest.approx(functional.cross_entropy(scores, labels).item(), rel=1e-4)
    assert last.val_accuracy == (scores.argmax(1) == labels).float().mean().item().__round__(6)


def test_the_checkpoint_says_where_it_comes_from(whole, garden_set):
    run, events = whole
    best = find_checkpoint(run.folder)
    assert best.folder == run.folder / "best"
    assert (best.backbone, best.classes, best.preprocessing["size"]) == ("resnet18", CLASSES, 64)
    assert Recipe.from_dict(best.recipe) == TINY
    assert best.metrics["val_accuracy"] == events[-1].best_val_accuracy
    assert best.photos == {"counts": garden_set.counts, "digest": garden_set.digest}


# What it learns


def test_it_learns(garden_set):
    epochs = of(Epoch, list(train(BY_HEART, garden_set)))
    assert epochs[-1].train_loss < 0.75 * epochs[0].train_loss
    assert epochs[-1].train_accuracy > max(0.5, epochs[0].train_accuracy + 0.2)
    assert max(e.val_accuracy for e in epochs) >= 0.4, "chance is 0.2"


def test_a_learning_rate_of_almost_nothing_changes_almost_nothing(garden_set):
    recipe = TINY.replace(learning_rate=1e-7, momentum=0, epochs=1)
    torch.manual_seed(recipe.seed)
    before, _ = starting_model(recipe, CLASSES)
    run = a_run(None, recipe)
    list(train(recipe, garden_set, run=run))
    after = load_weights(run.folder / "last")
    for name, tensor in before.named_parameters():
        torch.testing.assert_close(after[name], tensor, atol=1e-4, rtol=0)


def test_the_learning_rate_is_told_and_used(garden_set):
    recipe = TINY.replace(epochs=3, lr_step=1, lr_gamma=0.5, batch_size=30)
    events = list(train(recipe, garden_set))
    assert [e.learning_rate for e in of(Step, events)] == [0.01, 0.005, 0.0025]
    assert [e.learning_rate for e in of(Epoch, events)] == [0.01, 0.005, 0.0025]


def test_validation_goes_by_its_own_batches(whole, garden_set, monkeypatch):
    """Which change nothing but the moments at which it tells how far it is."""
    monkeypatch.setattr(module, "LOOK_BATCH", 3)
    events = list(train(TINY.replace(epochs=1), garden_set))
    assert [e.done for e in of(Validating, events)] == [3, 6, 9, 10]
    ours, theirs = (of(Epoch, told_events)[0] for told_events in (events, whole[1]))
    assert ours.val_loss == pytest.approx(theirs.val_loss, rel=1e-5)
    assert ours.val_accuracy == theirs.val_accuracy


@pytest.mark.parametrize(
    ("size", "steps"),
    [(29, 1), (28, 2), (1, 29), (2, 15), (31, 1), (1024, 1)],
    ids=lambda value: str(value),
)
def test_a_batch_of_any_size_is_learned_and_each_photo_once(garden_set, size, steps):
    """A last batch of one joins the one before it: batch norm cannot learn from a single photo."""
    events = list(train(TINY.replace(batch_size=size, epochs=1, learning_rate=0.001), garden_set))
    assert of(Started, events)[0].steps == len(of(Step, events)) == steps
    assert all(math.isfinite(e.loss) for e in of(Step, events))
    assert events[-1].stopped is False


def test_pictures_too_small_for_batches_of_one_are_told(garden_set):
    """Of 32 pixels the last stage sees one: nothing that batch norm could take a mean of."""
    recipe = TINY.replace(batch_size=1, first_size=32, epochs=2)
    with pytest.raises(UsageError, match=r"batch_size=1.*\.$") as caught:
        next(train(recipe, garden_set))
    assert len(str(caught.value).splitlines()) == 1
    next(train(recipe.replace(norms="frozen"), garden_set)), "nothing is taken of the batch then"


def test_bfloat16_learns_too(garden_set):
    events = list(train(TINY.replace(precision="bfloat16", epochs=1), garden_set))
    assert events[0].precision == "bfloat16"
    assert all(math.isfinite(e.loss) for e in of(Step, events))


# The same again


def test_one_seed_tells_one_story(whole, garden_set):
    assert told(list(train(TINY, garden_set))) == told(whole[1])


def test_threads_do_not_change_the_story(whole, garden_set):
    recipe = TINY.replace(workers=5, epochs=1)
    ours = told(of(Step, list(train(recipe, garden_set))))
    assert ours == told(of(Step, whole[1]))[:STEPS]


def test_another_seed_tells_another(whole, garden_set):
    other = list(train(TINY.replace(seed=1, epochs=1), garden_set))
    assert [e.loss for e in of(Step, other)] != [e.loss for e in of(Step, whole[1])][:STEPS]


@pytest.mark.parametrize("stops", [(2,), (STEPS, 1), (1, 1, STEPS + 1)], ids=str)
def test_stopped_and_resumed_is_as_never_stopped(whole, garden_set, tmp_path, stops):
    """Weights, optimizer and story, bit for bit: float32 on the CPU."""
    run = a_run(tmp_path / "run")
    for steps in stops:
        events = train_until(steps, TINY, garden_set, run)
        for event in events:
            run.append(event)
        assert len(of(Step, events)) == steps
        assert events[-1].stopped
    for event in train(TINY, garden_set, run=run):
        run.append(event)
    assert_same_weights(run, whole[0])
    story = [
        {key: value for key, value in event.items() if key != "seconds"}
        for event in run.events()
        if event["kind"] not in ("started", "finished")
    ]
    assert story == [event for event in told(whole[1]) if event["kind"] not in ("started", "finished")]


def test_saving_within_an_epoch_changes_nothing(whole, garden_set, tmp_path, monkeypatch):
    """After every batch, and gone on from one of those without a word of stopping: a kill."""
    monkeypatch.setattr(module, "SAVE_SECONDS", -1)
    run = a_run(tmp_path / "run")
    events = train(TINY, garden_set, run=run)
    for event in events:
        if isinstance(event, Step) and (event.epoch, event.step) == (1, 3):
            break
    events.close()
    assert (run.load_state().position.epoch, run.load_state().position.step) == (1, 2)
    events = list(train(TINY, garden_set, run=run))
    assert (events[0].epoch, events[0].step) == (1, 2)
    assert_same_weights(run, whole[0])


def test_without_momentum_it_resumes_as_well(garden_set, tmp_path):
    recipe = TINY.replace(momentum=0)
    run = a_run(tmp_path / "run", recipe)
    train_until(2, recipe, garden_set, run)
    first, *_ = train(recipe, garden_set, run=run)
    assert (first.epoch, first.step) == (0, 2)


# Stopping


def test_it_stops_after_the_current_batch(garden_set, tmp_path):
    events = train_until(3, TINY, garden_set, a_run(tmp_path / "run"))
    assert [e.kind for e in events] == ["started", *["step"] * 3, "finished"]
    assert events[-1] == Finished(True, 0, None, None, events[-1].seconds)


def test_stopped_before_the_first_batch_it_learns_nothing(garden_set, tmp_path):
    run = a_run(tmp_path / "run")
    events = list(train(TINY, garden_set, run=run, stop=lambda: True))
    assert [e.kind for e in events] == ["started", "finished"]
    assert events[-1].stopped
    assert run.load_state() is None


def test_going_on_with_a_complete_run_only_says_so(whole, garden_set):
    events = list(train(TINY, garden_set, run=whole[0]))
    assert [e.kind for e in events] == ["started", "finished"]
    assert not events[-1].stopped


def test_other_photos_are_refused(whole, garden, tmp_path):
    shutil.copytree(garden, tmp_path / "set")
    (tmp_path / "set" / "rose" / "rose-0001.jpg").unlink()
    with pytest.raises(DataError, match=r"The photos are not those this run began with.*\.$"):
        list(train(TINY, scan(tmp_path / "set"), run=whole[0]))


# Starting weights


def test_a_loss_that_runs_off_ends_in_a_sentence(garden_set):
    recipe = TINY.replace(learning_rate=10, weight_decay=1, epochs=60)  # each step makes the weights nine times larger
    with pytest.raises(FlowersError, match=r"no longer a number: start again with a lower learning rate\.$"):
        list(train(recipe, garden_set))


@pytest.fixture
def offline(monkeypatch, tmp_path):
    """No ImageNet weights on this machine, and no way to them."""

    def download(*_args, **_kwargs):
        raise urllib.error.URLError("offline")

    monkeypatch.setenv("TORCH_HOME", str(tmp_path / "torch"))
    monkeypatch.setattr("torch.hub.download_url_to_file", download)


def test_missing_imagenet_weights_are_told_and_never_replaced_by_chance(garden_set, offline):
    with pytest.raises(FlowersError, match=r"init=scratch for random ones, or init=CHECKPOINT") as caught:
        next(train(TINY.replace(init="imagenet"), garden_set))
    assert len(str(caught.value).splitlines()) == 1


def test_a_run_goes_on_without_the_weights_it_began_with(garden_set, tmp_path, offline, monkeypatch):
    recipe = TINY.replace(init="imagenet", epochs=1)
    run = a_run(tmp_path / "run", recipe)
    with monkeypatch.context() as patch:
        patch.setattr(module, "build_imagenet", lambda name, classes: BACKBONES[name].build(classes))
        train_until(2, recipe, garden_set, run)
    events = list(train(recipe, garden_set, run=run))
    assert (events[0].step, events[-1].stopped) == (2, False)


def save(folder, weights, classes=CLASSES, backbone="resnet18") -> None:
    save_checkpoint(folder, weights, Checkpoint(backbone, classes, Preprocessing(64, 72).to_dict()))


@pytest.fixture
def weights():
    torch.manual_seed(5)
    return BACKBONES["resnet18"].build(5).state_dict()


def test_a_checkpoint_of_these_classes_is_taken_whole(weights, tmp_path):
    save(tmp_path / "c", weights)
    model, _ = starting_model(TINY.replace(init=str(tmp_path / "c")), CLASSES)
    assert all(torch.equal(tensor, weights[name]) for name, tensor in model.state_dict().items())


@pytest.mark.parametrize("classes", [("daisy", "rose"), ("a", "b", "c", "d", "e")], ids=len)
def test_a_checkpoint_of_other_classes_gets_a_new_last_layer(weights, tmp_path, classes):
    save(tmp_path / "c", weights)
    model, _ = starting_model(TINY.replace(init=str(tmp_path / "c")), classes)
    for name, tensor in model.state_dict().items():
        if name.startswith("fc."):
            assert len(tensor) == len(classes)
            assert tensor.shape != weights[name].shape or not torch.equal(tensor, weights[name])
        else:
            assert torch.equal(tensor, weights[name])


def test_a_run_begins_from_another_by_its_name(weights, garden_set):
    save(runs_dir() / "earlier" / "best", weights)
    recipe = TINY.replace(init="earlier", learning_rate=1e-7, epochs=1)
    run = a_run(None, recipe)
    list(train(recipe, garden_set, run=run))
    torch.testing.assert_close(load_weights(run.folder / "best")["fc.weight"], weights["fc.weight"], atol=1e-4, rtol=0)


def test_a_checkpoint_that_lacks_weights_is_not_completed_by_chance(weights, tmp_path):
    del weights["layer3.0.conv1.weight"]
    save(tmp_path / "c", weights)
    for classes in (CLASSES, ("daisy", "rose")):
        with pytest.raises(CheckpointError, match="do not fit"):
            starting_model(TINY.replace(init=str(tmp_path / "c")), classes)


def test_a_checkpoint_of_another_network_is_refused(weights, tmp_path, monkeypatch):
    monkeypatch.setitem(BACKBONES, "other", BACKBONES["resnet18"])
    save(tmp_path / "c", weights, backbone="other")
    with pytest.raises(CheckpointError, match="holds a network other, not resnet18"):
        starting_model(TINY.replace(init=str(tmp_path / "c")), CLASSES)


def test_a_checkpoint_that_is_not_there_is_told(garden_set):
    with pytest.raises(CheckpointError, match="There is no checkpoint 'absent'"):
        next(train(TINY.replace(init="absent"), garden_set))
