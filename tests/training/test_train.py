"""The training loop, on a garden of 40 photos: it learns, repeats itself bit for bit, stops and goes on."""

import dataclasses
import itertools
import json
import math
import shutil
import time
import urllib.error
from itertools import groupby

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch.nn import functional
from torchvision.models import ConvNeXt, VisionTransformer
from torchvision.models.convnext import CNBlockConfig

from flowers.data.dataset import PhotoDataset, scan
from flowers.data.loader import PhotoLoader
from flowers.data.preprocess import Preprocessing
from flowers.errors import CheckpointError, DataError, FlowersError, UsageError
from flowers.models.backbones import BACKBONES
from flowers.models.checkpoint import Checkpoint, find_checkpoint, load_model, load_weights, save_checkpoint
from flowers.paths import runs_dir
from flowers.recipe import Recipe
from flowers.training import machine
from flowers.training import train as module
from flowers.training.events import Epoch, Event, Finished, Probing, Samples, Started, Step, Validating
from flowers.training.learner import Learner
from flowers.training.run import Run
from flowers.training.story import tell
from flowers.training.train import starting_model, train
from tests.conftest import SMALL, TINY
from tests.tiny import RESNET18, teach, tiny_resnet18

CLASSES = ("daisy", "dandelion", "rose", "sunflower", "tulip")
STEPS = 4  # of 8 photos in an epoch of 30
# All that a run can be made of, but for its starting weights: see ``everything``.
EVERYTHING = TINY.replace(
    epochs=3, probe="on", frozen=2, learning_rate=0.001, schedule="cosine", warmup=0.3,
    weight_decay=1e-3, stage_decay=0.5, label_smoothing=0.1, ema=0.3, start_share=0.4, first_size=32,
    policy="trivial", erasing=0.5, mixup=0.4, cutmix=1,
)  # fmt: skip
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


@pytest.fixture(scope="module", autouse=True, params=["tiny", pytest.param("resnet18", marks=pytest.mark.thorough)])
def network(request):
    """The network that recipes call resnet18: for pictures of 64 pixels, so that there are smaller ones.

    All is shown with the tiny network, and in the thorough part with ResNet18 as well.
    """
    networks = {"tiny": tiny_resnet18(64, sums=True), "resnet18": dataclasses.replace(RESNET18, **SMALL)}
    torch.set_num_threads(1)
    with pytest.MonkeyPatch.context() as patch:
        patch.setitem(BACKBONES, "resnet18", networks[request.param])
        patch.setattr(machine, "SIDE", 32)  # of trial steps, which say little of the machine then: not tested here
        yield request.param


@pytest.fixture(scope="module")
def everything(network, garden, tmp_path_factory):
    """A recipe that uses everything there is, from weights that know flowers."""
    if network == "resnet18":
        return EVERYTHING.replace(init="flowers-resnet18")
    taught = tmp_path_factory.mktemp("checkpoints") / "taught"
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("FLOWERS_CACHE", str(tmp_path_factory.mktemp("cache")))
        teach(taught, garden, sums=True)
    return EVERYTHING.replace(init=str(taught))


@pytest.fixture(scope="module")
def otherwise(everything):
    """The same with the other optimizers and schedules, and answers that look twice."""
    return everything.replace(
        optimizer="adamw", norm_decay="on", schedule="onecycle", policy="rand", mirror_answers="on", norms="frozen"
    )


def undisturbed(recipe: Recipe, garden, tmp_path_factory) -> tuple[Run, list[Event]]:
    """A run that nobody disturbed, and its events."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("FLOWERS_CACHE", str(tmp_path_factory.mktemp("cache")))
        run = a_run(tmp_path_factory.mktemp("whole") / "run", recipe)
        return run, list(train(recipe, scan(garden), run=run))


@pytest.fixture(scope="module")
def whole(network, garden, tmp_path_factory):
    """Two epochs."""
    return undisturbed(TINY, garden, tmp_path_factory)


@pytest.fixture(scope="module")
def whole_otherwise(otherwise, garden, tmp_path_factory):
    return undisturbed(otherwise, garden, tmp_path_factory)


@pytest.fixture(scope="module")
def whole_of_everything(everything, garden, tmp_path_factory):
    """One epoch that probes and two that learn."""
    return undisturbed(everything, garden, tmp_path_factory)


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
    for key in b:
        assert a[key].keys() == b[key].keys()
        assert all(torch.equal(a[key][name], b[key][name]) for name in b[key])


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


def test_an_epoch_tells_what_was_taken_for_what(whole, garden_set):
    _, events = whole
    held_back = [garden_set.photos[i].label for i in garden_set.split().val]
    for epoch in of(Epoch, events):
        assert [sum(row) for row in epoch.confusion] == [held_back.count(label) for label in range(5)]
        right = sum(epoch.confusion[label][label] for label in range(5))
        assert right / len(held_back) == epoch.val_accuracy


@given(st.lists(st.integers(0, 30), min_size=1, max_size=200), st.integers(1, 20))
def test_samples_are_spread_over_the_classes(labels, count):
    chosen = module.spread(labels, count)
    assert chosen == sorted(set(chosen))
    assert 1 <= len(chosen) <= count
    held = [labels[position] for position in chosen]
    assert len(set(held)) == min(count, len(set(labels)))
    shares = [held.count(label) for label in set(held) if labels.count(label) >= count]  # of classes with plenty
    assert not shares or max(shares) - min(shares) <= 1


def test_samples_come_from_all_over_a_class():
    assert module.spread([0] * 9 + [1] * 9, 6) == [0, 3, 6, 9, 12, 15]


def test_samples_are_the_same_photos_after_every_epoch(whole, garden_set):
    _, events = whole
    first, second = of(Samples, events)
    assert [p.photo for p in first.predictions] == [p.photo for p in second.predictions]
    held_back = {garden_set.photos[i].path: garden_set.photos[i].label for i in garden_set.split().val}
    for prediction in second.predictions:
        assert held_back[prediction.photo] == prediction.label
        assert 0 <= prediction.predicted < 5
        assert 0.2 <= prediction.confidence <= 1


def asked_of(checkpoint: Checkpoint, dataset: PhotoDataset) -> tuple[float, float]:
    """Loss and accuracy of a checkpoint's answers to the clean photos held back."""
    preprocessing = Preprocessing.from_dict(checkpoint.preprocessing)
    loader = PhotoLoader(dataset, preprocessing)
    ((pixels, labels),) = loader.clean([dataset.split().val])
    loader.close()
    with torch.inference_mode():
        scores = load_model(checkpoint)(preprocessing.normalise(pixels))
    return functional.cross_entropy(scores, labels).item(), (scores.argmax(1) == labels).float().mean().item()


def test_validation_is_what_the_saved_network_answers_to_clean_photos(whole, garden_set):
    run, events = whole
    loss, accuracy = asked_of(find_checkpoint(run.folder / "last"), garden_set)
    last = of(Epoch, events)[-1]
    assert last.val_loss == pytest.approx(loss, rel=1e-4)
    assert last.val_accuracy == pytest.approx(accuracy)


def test_the_checkpoint_says_where_it_comes_from(whole, garden_set):
    run, events = whole
    best = find_checkpoint(run.folder)
    assert best.folder == run.folder / "best"
    assert (best.backbone, best.classes, best.preprocessing["size"]) == ("resnet18", CLASSES, 64)
    assert Recipe.from_dict(best.recipe) == TINY
    assert best.metrics["val_accuracy"] == events[-1].best_val_accuracy
    assert best.photos == {"counts": garden_set.counts, "digest": garden_set.digest}


def test_getting_ready_counts_as_time_before_the_first_step(garden_set, monkeypatch):
    """Or the first steps would seem slow, and the rest be told to take as long."""
    clock = itertools.count()
    monkeypatch.setattr(time, "monotonic", lambda: float(next(clock)))
    first, second, *_ = train(TINY.replace(epochs=1), garden_set)
    assert 0 < first.seconds < second.seconds


def test_nothing_of_torchs_state_leaks_to_who_reads_the_events(everything, garden_set):
    """Such as autocast, in which the readers' own sums would come out rounded."""
    for _ in train(everything.replace(precision="bfloat16"), garden_set):
        assert not torch.is_autocast_enabled("cpu")
        assert not torch.is_inference_mode_enabled()
        assert torch.is_grad_enabled()


def test_what_it_predicts_follows_from_photos_and_pixels(everything, garden_set, monkeypatch):
    """A hundred seconds a photo of a megapixel to learn from, ten to look at; 30 photos to learn from, 10 held back."""
    monkeypatch.setattr(machine, "_lap", lambda work, *_: 100.0 if work is machine._step else 10.0)
    small, full = 32**2 / 1e6, 64**2 / 1e6
    started = next(train(everything, garden_set))
    assert started.checking == pytest.approx(10 * 10 * full, abs=1e-3)
    assert started.predicted == pytest.approx(
        [started.checking + 10 * 30 * small, started.checking + 100 * 30 * small, started.checking + 100 * 30 * full],
        abs=2e-3,
    )
    started = next(train(TINY, garden_set))
    assert started.predicted == pytest.approx([started.checking + 100 * 30 * full] * 2, abs=2e-3)


# The last layer first


def test_probing_answers_well_at_once(whole_of_everything):
    _, events = whole_of_everything
    kinds = [kind for kind, _ in groupby(event.kind for event in events)]
    later = ["step", "validating", "epoch", "samples"] * 2
    assert kinds == ["started", "probing", "validating", "epoch", "samples", *later, "finished"]
    (probing,) = of(Probing, events)
    assert (probing.epoch, probing.done, probing.total) == (0, 30, 30)
    assert {event.epoch for event in of(Step, events)} == {1, 2}
    first = of(Epoch, events)[0]
    assert (first.epoch, first.learning_rate) == (0, 0)
    assert first.train_accuracy == 1, "30 photos are few for a last layer of 64 weights a class, or of 512"
    story = tell([event.to_dict() for event in events[:2]])
    assert (story.epoch, story.step, story.probing) == (0, STEPS, (30, 30))


def test_probing_goes_by_its_own_batches(everything, garden_set, monkeypatch):
    theirs = list(train(everything.replace(epochs=1), garden_set))
    monkeypatch.setattr(module, "LOOK_BATCH", 8)
    events = list(train(everything.replace(epochs=1), garden_set))
    assert [event.done for event in of(Probing, events)] == [8, 16, 24, 30]
    ours, theirs = (of(Epoch, told_events)[0] for told_events in (events, theirs))
    assert ours.train_loss == pytest.approx(theirs.train_loss, rel=1e-2)
    assert ours.val_loss == pytest.approx(theirs.val_loss, rel=1e-2)


def test_a_run_that_only_probes(everything, garden_set, tmp_path):
    """It is complete, can be asked, and has moved nothing but the last layer."""
    recipe = everything.replace(epochs=1)
    run = a_run(tmp_path / "run", recipe)
    events = list(train(recipe, garden_set, run=run))
    assert [event.kind for event in events] == ["started", "probing", "validating", "epoch", "samples", "finished"]
    assert (events[-1].stopped, events[-1].epochs_done, events[-1].best_epoch) == (False, 1, 0)
    assert events[-1].best_val_accuracy >= 0.6, "chance is 0.2; it looked at pictures of the size it is asked with"
    before = load_weights(find_checkpoint(everything.init).folder)
    for which in ("best", "last"):
        after = load_weights(run.folder / which)
        moved = {name for name, tensor in before.items() if not torch.equal(after[name], tensor.to(after[name].dtype))}
        assert moved == {"fc.weight", "fc.bias"}
    again = list(train(recipe, garden_set, run=run))
    assert [event.kind for event in again] == ["started", "finished"]
    assert tell([event.to_dict() for event in events]).progress == 1


def test_stopped_while_it_probes_it_begins_anew(everything, whole_of_everything, garden_set, tmp_path, monkeypatch):
    run = a_run(tmp_path / "run", everything)
    asked, events = [], []
    with monkeypatch.context() as patch:
        patch.setattr(module, "LOOK_BATCH", 8)
        for event in train(everything, garden_set, run=run, stop=lambda: bool(asked)):
            events.append(event)
            if isinstance(event, Probing) and event.done == 16:
                asked.append(True)
    assert [event.kind for event in events] == ["started", "probing", "probing", "finished"]
    assert (events[-1].stopped, events[-1].epochs_done) == (True, 0)
    assert run.load_state() is None
    list(train(everything, garden_set, run=run))
    assert_same_weights(run, whole_of_everything[0])


def test_stopped_once_it_has_looked_at_all_it_keeps_what_it_saw(everything, garden_set, tmp_path):
    run, asked, events = a_run(tmp_path / "run", everything), [], []
    for event in train(everything, garden_set, run=run, stop=lambda: bool(asked)):
        events.append(event)
        if isinstance(event, Probing) and event.done == event.total:
            asked.append(True)
    assert [event.kind for event in events] == ["started", "probing", "validating", "epoch", "samples", "finished"]
    assert (events[-1].stopped, events[-1].epochs_done) == (True, 1)
    assert run.load_state().position.epoch == 1


# What else a recipe can ask for


@pytest.fixture
def sizes(monkeypatch):
    """What is done with photos of which size, in order, each said once: ("learn", 32)."""
    done = []
    learn, ask = Learner.learn, Learner.ask

    def watched_learn(self, photos, *rest):
        done.append(("learn", photos.shape[-1]))
        return learn(self, photos, *rest)

    def watched_ask(self, net, photos):
        done.append(("ask", photos.shape[-1]))
        return ask(self, net, photos)

    monkeypatch.setattr(Learner, "learn", watched_learn)
    monkeypatch.setattr(Learner, "ask", watched_ask)
    return done


def test_pictures_grow_and_are_checked_at_full_size(garden_set, sizes):
    list(train(TINY.replace(epochs=3, first_size=32, batch_size=15), garden_set))
    learned = [size for name, size in sizes if name == "learn"]
    assert learned == [32, 32, 32, 32, 64, 64]
    assert {size for name, size in sizes if name == "ask"} == {64}


def test_the_probe_looks_at_small_pictures_and_the_end_may_be_small_too(garden_set, sizes):
    list(train(TINY.replace(epochs=2, probe="on", first_size=32, last_size=32), garden_set))
    order = [one for one, _ in groupby(sizes)]
    assert order == [("ask", 32), ("ask", 64), ("learn", 32), ("ask", 64)]


def test_a_network_of_one_size_keeps_it_whatever_the_recipe_says(garden_set, sizes, monkeypatch):
    def build(classes: int) -> torch.nn.Module:
        return VisionTransformer(
            image_size=48, patch_size=16, num_layers=12, num_heads=2, hidden_dim=8, mlp_dim=8, num_classes=classes
        )

    chosen = BACKBONES["vit_b_16"]
    assert chosen.one_size
    monkeypatch.setitem(BACKBONES, "vit_b_16", dataclasses.replace(chosen, size=48, resize=56, build=build))
    recipe = TINY.replace(backbone="vit_b_16", epochs=3, probe="on", frozen=2, first_size=32, last_size=32)
    events = list(train(recipe, garden_set))
    assert {size for _, size in sizes} == {48}
    assert events[-1].epochs_done == 3


def test_what_is_frozen_is_in_the_checkpoint_as_it_was(everything, whole_of_everything):
    run, _ = whole_of_everything
    before = load_weights(find_checkpoint(everything.init).folder)
    after = load_weights(run.folder / "last")
    still = {name for name, tensor in before.items() if torch.equal(after[name], tensor.to(after[name].dtype))}
    assert still == {name for name in before if name.startswith(("conv1.", "bn1.", "layer1."))}


def test_the_average_answers_and_is_what_is_kept(garden_set, tmp_path):
    recipe = TINY.replace(ema=0.5, epochs=1, learning_rate=0.1)
    run = a_run(tmp_path / "run", recipe)
    events = list(train(recipe, garden_set, run=run))
    kept, learning = load_weights(run.folder / "last"), run.load_state().learner["net"]
    assert not torch.equal(kept["fc.weight"], learning["fc.weight"])
    checkpoint = find_checkpoint(run.folder / "last")
    loss, _ = asked_of(checkpoint, garden_set)
    assert of(Epoch, events)[0].val_loss == pytest.approx(loss, rel=1e-4)


def test_smoothing_is_for_learning_not_for_checking(garden_set):
    """The first batch's loss is another; a network that hardly moves is checked as it was."""
    recipe = TINY.replace(label_smoothing=0.5, learning_rate=1e-7, epochs=1)
    smooth, plain = (list(train(r, garden_set)) for r in (recipe, recipe.replace(label_smoothing=0)))
    assert of(Step, smooth)[0].loss != pytest.approx(of(Step, plain)[0].loss, rel=1e-3)
    assert of(Epoch, smooth)[0].val_loss == pytest.approx(of(Epoch, plain)[0].val_loss, rel=1e-3)


def test_mixed_photos_are_learned_and_clean_ones_checked(garden_set, monkeypatch):
    targets = []
    learn = Learner.learn

    def watched(self, photos, target, *rest):
        targets.append(target)
        return learn(self, photos, target, *rest)

    monkeypatch.setattr(Learner, "learn", watched)
    recipe = TINY.replace(mixup=1, cutmix=1, learning_rate=1e-7, epochs=1)
    mixed, plain = (list(train(r, garden_set)) for r in (recipe, recipe.replace(mixup=0, cutmix=0)))
    for target in targets[:STEPS]:
        assert target.shape[1] == 5
        torch.testing.assert_close(target.sum(1), torch.ones(len(target)))
    assert all(target.dtype == torch.int64 for target in targets[STEPS:])
    assert all(0 <= event.accuracy <= 1 for event in of(Step, mixed))
    assert of(Epoch, mixed)[0].val_loss == pytest.approx(of(Epoch, plain)[0].val_loss, rel=1e-2)


def test_mirrored_answers_are_the_mean_over_photo_and_mirror_image(garden_set, tmp_path):
    """In training's own checks, and of the checkpoint, which says so."""
    recipe = TINY.replace(epochs=1, mirror_answers="on")
    run = a_run(tmp_path / "run", recipe)
    events = list(train(recipe, garden_set, run=run))
    checkpoint = find_checkpoint(run.folder / "last")
    preprocessing = Preprocessing.from_dict(checkpoint.preprocessing)
    assert preprocessing.mirror
    loader = PhotoLoader(garden_set, preprocessing)
    ((pixels, labels),) = loader.clean([garden_set.split().val])
    loader.close()
    net = load_model(checkpoint)
    with torch.inference_mode():
        photos = preprocessing.normalise(pixels)
        scores = (net(photos) + net(photos.flip(-1))) / 2
    assert of(Epoch, events)[0].val_loss == pytest.approx(functional.cross_entropy(scores, labels).item(), rel=1e-4)
    plain, _ = asked_of(dataclasses.replace(checkpoint, preprocessing=Preprocessing(64, 72).to_dict()), garden_set)
    assert plain != pytest.approx(of(Epoch, events)[0].val_loss, rel=1e-6)


# Enough


@pytest.fixture
def accuracies(monkeypatch):
    """Validation accuracies, one an epoch, instead of what the network answers."""

    validate = module.Training._validate

    def give(*values: float) -> None:
        left = iter(values)

        def given(self):
            loss, predictions = yield from validate(self)
            right = round(next(left) * len(predictions))
            predictions = [
                dataclasses.replace(p, predicted=p.label if index < right else (p.label + 1) % 5)
                for index, p in enumerate(predictions)
            ]
            return loss, predictions

        monkeypatch.setattr(module.Training, "_validate", given)

    return give


PATIENT = TINY.replace(epochs=6, patience=2, batch_size=30)


def test_a_run_ends_when_its_patience_does(garden_set, accuracies):
    accuracies(0.3, 0.5, 0.5, 0.4, 1)
    events = list(train(PATIENT, garden_set))
    end = events[-1]
    assert (end.stopped, end.epochs_done, end.best_epoch, end.best_val_accuracy) == (False, 4, 1, 0.5)
    story = tell([event.to_dict() for event in events])
    assert story.finished
    assert (story.progress, story.seconds_left) == (1, 0)


@pytest.mark.parametrize("patience", [0, 6])
def test_a_run_with_patience_enough_goes_to_its_end(garden_set, accuracies, patience):
    accuracies(0.5, 0.3, 0.3, 0.3, 0.3, 0.3)
    assert list(train(PATIENT.replace(patience=patience), garden_set))[-1].epochs_done == 6


def test_patience_is_the_same_for_a_run_that_goes_on(garden_set, accuracies, tmp_path):
    run = a_run(tmp_path / "run", PATIENT)
    accuracies(0.5, 0.3)
    train_until(2, PATIENT, garden_set, run)
    accuracies(0.3)
    end = list(train(PATIENT, garden_set, run=run))[-1]
    assert (end.stopped, end.epochs_done, end.best_epoch) == (False, 3, 0)
    again = list(train(PATIENT, garden_set, run=run))
    assert [event.kind for event in again] == ["started", "finished"]
    assert not again[-1].stopped


# What it learns


def test_it_learns(network, garden_set):
    other_steps = {"epochs": 12, "batch_size": 8, "learning_rate": 0.03, "seed": 1}  # as the tiny network likes them
    recipe = BY_HEART.replace(**other_steps) if network == "tiny" else BY_HEART
    epochs = of(Epoch, list(train(recipe, garden_set)))
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


def thin_convnext(classes: int) -> torch.nn.Module:
    """ConvNeXt's layers, eight channels each."""
    stages = [CNBlockConfig(8, 8, 1), CNBlockConfig(8, 8, 1), CNBlockConfig(8, 8, 1), CNBlockConfig(8, None, 1)]
    return ConvNeXt(stages, num_classes=classes)


def test_pictures_too_small_for_batches_of_one_are_told(garden_set, monkeypatch):
    """Of 32 pixels the last stage sees one: nothing that batch norm could take a mean of."""
    recipe = TINY.replace(batch_size=1, first_size=32, epochs=2)
    with pytest.raises(UsageError, match=r"batch_size=1.*\.$") as caught:
        next(train(recipe, garden_set))
    assert len(str(caught.value).splitlines()) == 1
    assert next(train(recipe.replace(norms="frozen"), garden_set)), "nothing is taken of the batch then"
    thin = dataclasses.replace(BACKBONES["convnext_tiny"], build=thin_convnext)
    monkeypatch.setitem(BACKBONES, "convnext_tiny", thin)
    assert next(train(recipe.replace(backbone="convnext_tiny"), garden_set)), "it has layer norm"


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


# (kind, its number): the step of a step, the epoch of anything else.
MOMENTS = [
    ("probing", 0), ("epoch", 0), ("samples", 0), ("step", 1), ("step", 2), ("step", 4), ("validating", 1),
    ("epoch", 1), ("samples", 1), ("step", 3), ("step", 4), ("samples", 2),
]  # fmt: skip


@pytest.mark.parametrize("moments", [MOMENTS, MOMENTS[::3]], ids=["saved at every step", "saved after epochs"])
def test_killed_at_any_moment_it_ends_as_if_never_killed(
    everything, whole_of_everything, garden_set, tmp_path, monkeypatch, moments
):
    """Bit for bit, averaged weights included, with a recipe that uses everything."""
    if moments is MOMENTS:
        monkeypatch.setattr(module, "SAVE_SECONDS", -1)
    run = a_run(tmp_path / "run", everything)
    for moment in moments:
        work = train(everything, garden_set, run=run)
        for event in work:
            run.append(event)
            if (event.kind, getattr(event, "step", event.epoch)) == moment:
                break
        work.close()  # as a kill would: nothing more is saved, no end is told
        assert (event.kind, getattr(event, "step", event.epoch)) == moment
    for event in train(everything, garden_set, run=run):
        run.append(event)
    assert_same_weights(run, whole_of_everything[0])
    ends = ("started", "finished")
    story = [
        {key: value for key, value in event.items() if key != "seconds"}
        for event in run.events()
        if event["kind"] not in ends
    ]
    assert story == [event for event in told(whole_of_everything[1]) if event["kind"] not in ends]


def test_stopped_once_the_pictures_have_grown_it_goes_on(everything, whole_of_everything, garden_set, tmp_path):
    """In the last epoch, with a recipe that uses everything: bit for bit, averaged weights included."""
    run = a_run(tmp_path / "run", everything)
    train_until(STEPS + 2, everything, garden_set, run)
    assert (run.load_state().position.epoch, run.load_state().position.step) == (2, 2)
    list(train(everything, garden_set, run=run))
    assert_same_weights(run, whole_of_everything[0])


@pytest.mark.parametrize("steps", [6, *(pytest.param(steps, marks=pytest.mark.thorough) for steps in (1, 4))])
def test_with_other_optimizers_and_schedules_it_goes_on_as_well(
    otherwise, whole_otherwise, garden_set, tmp_path, steps
):
    run = a_run(tmp_path / "run", otherwise)
    train_until(steps, otherwise, garden_set, run)
    list(train(otherwise, garden_set, run=run))
    assert_same_weights(run, whole_otherwise[0])


def test_what_was_measured_at_the_beginning_is_kept(garden_set, tmp_path, monkeypatch):
    """Though another precision would win today: the run ends as if it had never been interrupted."""

    def prefer(precision: str) -> None:
        def lap(work, kind, *_):
            return 1.0 + (kind.precision != precision)

        monkeypatch.setattr(machine, "_lap", lap)

    monkeypatch.setattr(machine, "_has_slow_bfloat16", lambda: False)
    auto = TINY.replace(precision="auto", memory_format="auto", threads=0, epochs=1)
    prefer("bfloat16")
    through, stopped = (a_run(tmp_path / name, auto) for name in ("through", "stopped"))
    list(train(auto, garden_set, run=through))
    train_until(2, auto, garden_set, stopped)
    prefer("float32")
    started, *_ = list(train(auto, garden_set, run=stopped))
    assert (started.precision, started.step) == ("bfloat16", 2)
    assert started.machine.endswith(", as before.")
    assert_same_weights(stopped, through)
    assert next(train(auto, garden_set)).precision == "float32", "a new run takes what is faster now"


def test_without_momentum_it_resumes_as_well(garden_set, tmp_path):
    recipe = TINY.replace(momentum=0)
    run = a_run(tmp_path / "run", recipe)
    train_until(2, recipe, garden_set, run)
    first, *_ = train(recipe, garden_set, run=run)
    assert (first.epoch, first.step) == (0, 2)


@pytest.mark.thorough
@pytest.mark.parametrize("name", ["efficientnet_lite0", "mobilenet_v3_large"])
def test_other_networks_resume_as_well(garden_set, tmp_path, monkeypatch, name):
    """Though their layers draw lots: dropout, and blocks that photos skip."""
    recipe = TINY.replace(backbone=name, epochs=1, ema=0.3, frozen=1, memory_format="contiguous")
    monkeypatch.setitem(BACKBONES, name, dataclasses.replace(BACKBONES[name], size=32, resize=36))
    through, stopped = (a_run(tmp_path / run, recipe) for run in ("through", "stopped"))
    list(train(recipe, garden_set, run=through))
    train_until(2, recipe, garden_set, stopped)
    events = list(train(recipe, garden_set, run=stopped))
    assert (events[0].step, events[-1].stopped) == (2, False)
    assert_same_weights(stopped, through)
    assert find_checkpoint(stopped.folder).backbone == name


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


@pytest.mark.parametrize("last", [Validating, Epoch, Samples], ids=lambda kind: kind.kind)
def test_a_stop_at_the_end_of_an_epoch_learns_no_further_batch(garden_set, tmp_path, last):
    asked, events = [], []
    for event in train(TINY, garden_set, run=a_run(tmp_path / "run"), stop=lambda: bool(asked)):
        events.append(event)
        if isinstance(event, last):
            asked.append(True)
    assert [event.kind for event in events] == [
        "started", *["step"] * STEPS, "validating", "epoch", "samples", "finished"
    ]  # fmt: skip
    assert (events[-1].stopped, events[-1].epochs_done) == (True, 1)


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


@pytest.mark.parametrize("name", BACKBONES)
def test_photos_are_prepared_as_the_network_was_trained_with(name):
    chosen = BACKBONES[name]
    with torch.device("meta"):  # the layers without their weights
        _, preprocessing = starting_model(TINY.replace(backbone=name), CLASSES)
    expected = (chosen.size, chosen.resize, chosen.mean, chosen.std)
    assert (preprocessing.size, preprocessing.resize, preprocessing.mean, preprocessing.std) == expected


def test_a_checkpoint_of_another_network_is_refused(weights, tmp_path, monkeypatch):
    monkeypatch.setitem(BACKBONES, "other", BACKBONES["resnet18"])
    save(tmp_path / "c", weights, backbone="other")
    with pytest.raises(CheckpointError, match="holds a network other, not resnet18"):
        starting_model(TINY.replace(init=str(tmp_path / "c")), CLASSES)


def test_a_checkpoint_that_is_not_there_is_told(garden_set):
    with pytest.raises(CheckpointError, match="There is no checkpoint 'absent'"):
        next(train(TINY.replace(init="absent"), garden_set))


# What cannot be


def test_a_device_that_is_not_here_is_told(garden_set):
    absent = "mps" if torch.cuda.is_available() else "cuda"
    with pytest.raises(UsageError, match=rf"no {absent} device: choose device=auto or device=cpu\.$"):
        next(train(TINY.replace(device=absent), garden_set))


def described_otherwise(run: Run, folder, change) -> Run:
    """A copy of a run, after ``change`` of its last checkpoint's ``training.json``."""
    run = Run(shutil.copytree(run.folder, folder))
    path = run.folder / "last" / "training.json"
    described = json.loads(path.read_text())
    change(described)
    path.write_text(json.dumps(described))
    return run


def test_a_run_of_an_older_version_is_told_what_to_do(whole, garden_set, tmp_path):
    """Its last checkpoint says nothing of the machine it was trained with."""
    run = described_otherwise(whole[0], tmp_path / "run", lambda described: described.pop("machine"))
    with pytest.raises(
        CheckpointError, match=r"another version: start a new run from its best with init=\S+\.$"
    ) as caught:
        next(train(TINY, garden_set, run=run))
    assert len(str(caught.value).splitlines()) == 1
    next(train(TINY.replace(init=str(run.folder)), garden_set))  # and that can be done


@pytest.mark.parametrize(
    "change",
    [
        lambda machine: machine.update(speed=1),
        lambda machine: machine.update(threads="4"),
        lambda machine: machine.pop("device"),
        dict.clear,
    ],
    ids=["more", "wrong", "less", "empty"],
)
def test_a_machine_described_by_another_version_is_told(whole, garden_set, tmp_path, change):
    run = described_otherwise(whole[0], tmp_path / "run", lambda described: change(described["machine"]))
    with pytest.raises(CheckpointError, match=r"another version of flowers: start a new run from its best\.$"):
        next(train(TINY, garden_set, run=run))
