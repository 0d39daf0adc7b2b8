"""The loop, as a generator of events. It prints nothing, draws nothing and knows no page."""

import contextlib
import itertools
import json
import math
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial

import torch
from torch import nn
from torch.nn import functional

from flowers.cores import available_cores
from flowers.data.dataset import PhotoDataset, Progress, Split, flattery, summary
from flowers.data.loader import Batch, PhotoLoader, batches_of, epoch_order
from flowers.data.preprocess import Preprocessing
from flowers.data.split import deal
from flowers.data.store import MEMORY_BYTES
from flowers.errors import CheckpointError, DataError, FlowersError, UsageError
from flowers.files import check
from flowers.models.backbones import Backbone, backbone, build_imagenet
from flowers.models.checkpoint import Checkpoint, fill_model, find_checkpoint, load_weights
from flowers.models.out_of_fold import FILE, OutOfFold, marks_of
from flowers.recipe import Recipe
from flowers.training import last_layer, probe, untouched
from flowers.training.events import (
    Epoch,
    Event,
    Finished,
    Folded,
    Prediction,
    Probing,
    Samples,
    Started,
    Step,
    Validating,
)
from flowers.training.forecast import checking_seconds, epoch_seconds
from flowers.training.learner import Learner, freeze
from flowers.training.machine import Machine, assume_machine, choose_machine, pick_device, should_compile
from flowers.training.mixing import Mixer
from flowers.training.run import Position, Run, TrainingState, pack_state
from flowers.training.schedule import (
    SIZE_STEP,
    enough,
    folds_alone,
    learning_rate,
    momentum,
    picture_size,
    preprocessing_of,
    probe_epochs,
    resizes,
)
from flowers.training.seen import Seen
from flowers.training.team import Team, share_norms

LOOK_BATCH = 32  # photos at once where nothing is learned; 64 take a tenth longer each on two cores
# On a CPU what lies between the layers of four photos stays in its cache: on two cores EfficientNet-Lite0 takes 18 ms
# for each, and 32 for each of thirty-two. What is fitted on the way to later epochs keeps LOOK_BATCH, and its bits.
FOLDS_BATCH = 4
OTHER_VERSION = "The run's last checkpoint was written by another version of flowers: start a new run from its best."
SAMPLES = 12  # validation photos, at most, whose predictions are told after every epoch
SMALL = 3_000_000  # numbers: a thousand photos, seen twice
UNEQUAL = 1.5  # the largest class has so many times the photos of the smallest: then it is told that they are balanced
SAVE_SECONDS = 120  # a kill costs at most this much work within an epoch; saving costs about 0.2 s


def train(
    recipe: Recipe,
    dataset: PhotoDataset,
    *,
    run: Run | None = None,
    stop: Callable[[], bool] = lambda: False,
    progress: Progress | None = None,
    clock: "Clock | None" = None,
) -> Iterator[Event]:
    """Train a network on the training part of ``dataset``, check it on the rest after every epoch, tell what happens.

    With a ``run``, checkpoints go to its folder (the best by validation accuracy, and the last for resuming), and
    training goes on from where that folder says it was. ``stop()`` is asked after every batch; ``progress(done,
    total)`` is told while the photos are decoded, before the first event. Whoever reads the events and takes long over
    one may stop the ``clock`` meanwhile. Of several processes that train together
    (see team.py) only the main one needs the ``run``.

    Raises FlowersError when the photos, the starting weights or the device cannot be had, the batches are too small,
    or the loss runs off.
    """
    clock = clock or Clock()
    team = Team(pick_device(recipe.device))
    try:
        training = prepare(recipe, dataset, run, stop, clock, team)
        yield from _epochs(training, progress)
    finally:
        team.leave()


def _epochs(training: "Training", progress: Progress | None) -> Iterator[Event]:
    position, recipe = training.position, training.recipe
    try:
        yield training.started(training.loader.prepare([*training.split.train, *training.split.val], progress))
        while not training.over and not training.halts():
            if position.epoch >= probe_epochs(recipe):
                yield from training.learn()
            elif recipe.probe == "folds":
                yield from training.fit_by_folds()
            else:
                yield from training.fit_last_layer()
            if training.halted and position.seen < len(training.split.train):
                break
            yield from training.check()
            # Saved after being told: a kill in between repeats the epoch, and never leaves a hole in the story.
            position.next_epoch()
            training.save("last")
        if position.step:
            training.save("last")
        yield Finished(
            stopped=not training.over,
            epochs_done=position.epoch,
            best_epoch=position.best_epoch,
            best_val_accuracy=position.best_val_accuracy,
            seconds=training.clock.seconds(),
        )
    finally:
        training.loader.close()


def prepare(
    recipe: Recipe,
    dataset: PhotoDataset,
    run: Run | None,
    stop: Callable[[], bool],
    clock: "Clock",
    team: Team,
) -> "Training":
    """Everything that training needs, standing where the run stands."""
    if team.any(team.same(dataset.digest) != dataset.digest):
        raise DataError("The machines hold different photos: give every one of them the same.")
    split = dataset.split(recipe.split_seed, recipe.val_fraction)
    if not split.train:
        raise DataError(f"{dataset.root.name} is there to be asked about, not to learn from: choose another photo set.")
    recipe = enough(recipe, len(dataset))
    _check_batches(recipe, split, team)
    state = team.same(_saved_state(run, dataset) if run and team.main else None)
    chosen = backbone(recipe.backbone)
    torch.manual_seed(recipe.seed)
    with team.main_first():  # who downloads what the others then find
        # A run that goes on has its weights: what it began from may be gone by now, or out of reach.
        net, preprocessing = starting_model(recipe.replace(init="scratch") if state else recipe, dataset.classes)
    freeze(net, chosen, recipe)
    machine = team.same(_machine(recipe, team, net, state) if team.main else None)
    torch.set_num_threads(machine.threads)
    # More only get in each other's way: on two cores four threads take a tenth longer to decode than two.
    workers = min(recipe.workers, max(1, available_cores() // team.neighbours))
    training = Training(
        recipe=recipe,
        dataset=dataset,
        split=split,
        run=run if team.main else None,
        stop=stop,
        clock=clock,
        team=team,
        machine=machine,
        learner=Learner(share_norms(net, team), chosen, recipe, machine, team, _steps(recipe, split, team)),
        loader=PhotoLoader(dataset, preprocessing, workers, device=team.device, memory=MEMORY_BYTES // team.neighbours),
        position=state.position if state else Position(),
    )
    if state:
        _restore(training.learner, state)
        clock.before = state.position.seconds
    if recipe.balance == "on":
        labels = torch.tensor([dataset.photos[index].label for index in split.train])
        training.learner.class_weights = last_layer.class_weights(labels, len(dataset.classes)).to(team.device)
    training.learner.begin(compiled=should_compile(recipe, team.device, sum(training.predicted())))
    return training


@dataclass
class Training:
    """A training under way: what it works with, where it stands, and the parts of an epoch."""

    recipe: Recipe
    dataset: PhotoDataset
    split: Split
    run: Run | None
    stop: Callable[[], bool]
    clock: "Clock"
    team: Team
    machine: Machine
    learner: Learner
    loader: PhotoLoader
    position: Position
    halted: bool = False  # see ``halts``
    judged: OutOfFold | None = None  # in place of a validation, where this epoch was judged by folds
    handover: tuple[last_layer.Layer, float] | None = None  # see ``_hand_over``
    saved: float = 0.0

    @property
    def over(self) -> bool:
        """Whether all epochs are done, or so many brought nothing better that the recipe gives up."""
        position, recipe = self.position, self.recipe
        if recipe.patience and position.best_epoch is not None:
            return position.epoch >= min(recipe.epochs, position.best_epoch + 1 + recipe.patience)
        return position.epoch >= recipe.epochs

    def halts(self) -> bool:
        """Whether somebody, at any of the team's processes, asked for a stop: all then act alike."""
        self.halted = self.halted or self.team.any(self.stop())
        return self.halted

    def started(self, store: str) -> Started:
        """What can be told before the first step."""
        self.saved = time.monotonic()
        return Started(
            epoch=self.position.epoch,
            step=self.position.step,
            epochs=self.recipe.epochs,
            steps=len(batches_of(self.split.train, self.recipe.batch_size, _least(self.team))),
            train_photos=len(self.dataset) if self.all_learned else len(self.split.train),
            val_photos=0 if self.all_learned else len(self.split.val),
            classes=list(self.dataset.classes),
            device=self.machine.device,
            precision=self.machine.precision,
            machine=self.machine.why,
            store=store,
            left_out=[item.reason for item in self.dataset.unreadable],
            notes=[*self.dataset.notes, *flattery(self.dataset, self.split, self.all_learned), *self._balance()],
            predicted=[round(seconds, 3) for seconds in self.predicted()],
            seconds=self.clock.seconds(),
            checking=0.0 if folds_alone(self.recipe) else round(self._checking(), 3),
        )

    @property
    def all_learned(self) -> bool:
        """Whether no photo is held back for good: folds judge, and nothing comes after them."""
        return folds_alone(self.recipe) and not self.dataset.held_back

    def _balance(self) -> list[str]:
        """A sentence where classes of different sizes are made to count the same."""
        few, many = min(self.dataset.counts.values()), max(self.dataset.counts.values())
        if self.recipe.balance == "off" or many < UNEQUAL * few:
            return []
        return [f"The classes have {few:,} to {many:,} photos: each class counts the same."]

    def predicted(self) -> list[float]:
        """Seconds that each epoch should take on this machine, from what a trial step took; its validation included."""
        return epoch_seconds(self.recipe, self.machine, self.split, self.loader.preprocessing, self.team.size)

    def _checking(self) -> float:
        return checking_seconds(self.machine, self.split, self.loader.preprocessing, self.team.size)

    def _size(self, epoch: int) -> int:
        return picture_size(self.recipe, epoch, self.loader.preprocessing.size)

    def fit_last_layer(self) -> Iterator[Event]:
        """The first epoch of a recipe that probes: the last layer, fitted to what the untouched network sees."""
        position, learner = self.position, self.learner
        found = yield from self._features(self.split.train)
        if found is None:
            return
        seen, labels = found[0][:, 0].to(self.team.device), found[1].to(self.team.device)
        smoothing = self.recipe.label_smoothing
        loss, accuracy = probe.fit(learner.head, seen, labels, smoothing, learner.class_weights)
        self._set_head(learner.head.state_dict())
        position.loss_sum, position.correct = loss * len(labels), accuracy * len(labels)

    def fit_by_folds(self) -> Iterator[Event]:
        """The same for a recipe that wants the best of it: fitted to all photos, unless the set says which are held
        back, and judged by folds.
        """
        position, dataset = self.position, self.dataset
        everyone = self.split.train if dataset.held_back else range(len(dataset))
        found = yield from self._features(everyone, resizes(self.recipe, len(everyone)))
        if found is None:
            return
        views, labels = found
        parts = self._folds(everyone)
        asked = 2  # the photo as it is, and its mirror image
        seen = last_layer.Views(views, labels, len(dataset.classes), self.recipe.balance == "on", asked)
        with _one_thread(views.numel() < SMALL):
            folded = last_layer.fit_by_folds(seen, parts)
        self._set_head(folded.layer.state())
        answers = folded.layer.scores(seen.asked)
        position.loss_sum = float(functional.cross_entropy(answers, labels, reduction="sum"))
        position.correct = int((answers.argmax(1) == labels).sum())
        yield Folded(
            position.epoch, len(parts), len(labels), folded.curve[-1][1], folded.penalty, list(folded.curve),
            self.clock.seconds(),
        )  # fmt: skip
        if not dataset.held_back:
            self.judged = self._out_of_fold(seen.asked, labels, folded.scores, parts)
            if self.recipe.epochs > 1:
                self.handover = self._hand_over(seen, folded)

    def _folds(self, everyone: Sequence[int]) -> list[list[int]]:
        """Positions in ``everyone`` by folds, in no order, so that the first of them are like the others."""
        places = {index: position for position, index in enumerate(everyone)}
        groups = [kept for group in self.dataset.groups if (kept := tuple(index for index in group if index in places))]
        parts = deal(self.dataset.photos, groups, last_layer.FOLDS)
        return [[places[index] for index in epoch_order(part, 0, number)] for number, part in enumerate(parts)]

    def _out_of_fold(
        self, views: torch.Tensor, labels: torch.Tensor, scores: torch.Tensor, parts: list[list[int]]
    ) -> OutOfFold:
        folds = torch.zeros_like(labels)
        for number, part in enumerate(parts):
            folds[part] = number
        featured = torch.tensor(spread(labels.tolist(), last_layer.KEPT))
        return OutOfFold(
            marks=marks_of([photo.sha256 for photo in self.dataset.photos]),
            labels=labels.numpy(),
            folds=folds.numpy(),
            scores=scores.numpy(),
            featured=featured.numpy(),
            features=views[featured].mean(1).half().numpy(),
        )

    def _hand_over(self, seen: last_layer.Views, folded: last_layer.Folded) -> tuple[last_layer.Layer, float]:
        """What the later epochs begin with, the layer that the photos held back had no part in; and its accuracy on
        these, which they must exceed to be kept.
        """
        train, val = list(self.split.train), list(self.split.val)
        layer = seen.fit([train], folded.penalty)[0].cooled(folded.temperature)
        accuracy = float((layer.scores(seen.asked[val]).argmax(1) == seen.labels[val]).float().mean())
        return layer, accuracy

    def _features(self, indices: Sequence[int], sides: Sequence[int] = ()) -> Iterator[Probing]:
        """Tells its progress; returns what reaches the last layer, float32 (N, views, F), and the labels, int64 (N,).

        On the CPU; None where it was halted. A photo has one view, or two for each of ``sides``: as
        ``PhotoLoader.clean`` shows it with that ``resize``, and mirrored.
        """
        position, photos = self.position, self.dataset.photos
        before = self._seen_before(sides)
        known = before.find([photos[index].sha256 for index in indices]) if before else {}
        rows = {index: known[photos[index].sha256] for index in indices if photos[index].sha256 in known}
        position.seen = len(rows)
        if rows:
            yield Probing(position.epoch, position.seen, len(indices), self.clock.seconds())
        for looked in self._look([index for index in indices if index not in rows], sides):
            rows |= looked
            position.seen += int(self.team.sum(len(looked))[0])
            yield Probing(position.epoch, position.seen, len(indices), self.clock.seconds())
            if self.halts() and position.seen < len(indices):
                position.seen = 0
                return None
        if before:
            before.keep({name: seen for i, seen in rows.items() if (name := photos[i].sha256) not in known})
        rows = dict(self.team.gather(list(rows.items())))
        return torch.stack([rows[i] for i in indices]), torch.tensor([photos[i].label for i in indices])

    def _look(self, indices: Sequence[int], sides: Sequence[int]) -> Iterator[dict[int, torch.Tensor]]:
        """What reaches the last layer, float32 (views, F), of this process's part of the photos, batch by batch."""
        if not indices:
            return
        at_once = FOLDS_BATCH if sides and self.machine.device == "cpu" else LOOK_BATCH
        shares = self.team.share(batches_of(indices, at_once * self.team.size, _least(self.team)))
        size = self._size(self.position.epoch)
        shown = (self.loader.clean(shares, size, side) for side in sides or (None,))
        pictures = itertools.chain.from_iterable(zip(*shown, strict=True))  # of each batch, one after the other
        looked = self._looked(_with_mirrored(pictures) if sides else pictures)
        views = zip(*[looked] * max(1, 2 * len(sides)), strict=True)  # of each batch, those that follow each other
        for share, batch in zip(shares, views, strict=True):
            yield dict(zip(share, torch.stack([inputs.cpu() for inputs, _ in batch], 1), strict=True))

    def _looked(self, pictures: Iterator[Batch]) -> Iterator[Batch]:
        """What reaches the last layer, float32 (N, F), and the labels."""
        if self.machine.untouched:
            with contextlib.suppress(CheckpointError, OSError):  # the cache is cleared or damaged: PyTorch looks
                look = untouched.eyes(self.recipe)
                return ((look(pixels), labels) for pixels, labels in pictures)
        learner = self.learner
        net = learner.copy_to_ask(learner.net)
        return probe.features(partial(self._ask, net), net.get_submodule(learner.chosen.head), pictures)

    def _seen_before(self, sides: Sequence[int]) -> Seen | None:
        """Where features of these weights are kept; None for weights that few runs begin with."""
        recipe, wants = self.recipe, self.loader.preprocessing
        if recipe.init != "imagenet" or not sides or self.team.size > 1:
            return None
        file = self.learner.chosen.weights_file
        precision = "float32" if self.machine.untouched else self.machine.precision
        return Seen(f"{recipe.backbone} {file} {wants.size} {' '.join(map(str, sides))} {precision}")

    def _set_head(self, weights: dict[str, torch.Tensor]) -> None:
        # Not every machine rounds alike, and from here on the team's weights must be the same.
        self.learner.head.load_state_dict(self.team.same(weights))
        self.learner.start_averaging()

    def learn(self) -> Iterator[Event]:
        """The rest of an epoch, step by step."""
        recipe, position = self.recipe, self.position
        batches = self.batches(position.epoch)
        self.learner.begin_epoch()
        for photos, targets, count in self.pictures(batches, position.epoch, position.step):
            done = position.epoch + position.step / len(batches)
            rate = learning_rate(recipe, done)
            # For layers that draw lots, such as dropout: from here alone, so that a resumed run draws the same.
            torch.manual_seed(hash((recipe.seed, position.epoch, position.step, self.team.rank)))
            loss, right = self.learner.learn(photos, targets, rate, count, momentum(recipe, done))
            loss, right = self.team.sum(loss, right)
            _check_finite(loss)
            position.add(loss, right, count)
            yield Step(position.epoch, position.step, loss / count, right / count, rate, self.clock.seconds())
            if self.halts():
                return
            if time.monotonic() - self.saved > SAVE_SECONDS:
                self.save("last")

    def batches(self, epoch: int) -> list[list[int]]:
        """The numbers of the photos that an epoch shows, step by step."""
        order = epoch_order(self.split.train, self.recipe.seed, epoch)
        return batches_of(order, self.recipe.batch_size, _least(self.team))

    def pictures(
        self, batches: list[list[int]], epoch: int, step: int = 0
    ) -> Iterator[tuple[torch.Tensor, torch.Tensor, int]]:
        """What this process learns from in an epoch's steps from ``step`` on: photos, targets, and the batch's size."""
        batches, mixer = batches[step:], Mixer(self.recipe, len(self.dataset.classes))
        shares = self.team.share(batches)
        company = [mixer.company(share, batch) for share, batch in zip(shares, batches, strict=True)]
        made = self.loader.augmented(company, self.recipe, epoch, self._size(epoch))
        for now, ((pixels, labels), share, batch) in enumerate(zip(made, shares, batches, strict=True), step):
            photos = self.loader.preprocessing.normalise(pixels)
            photos, targets = mixer.mix(photos, labels, share, batch, epoch, now)
            yield self.learner.ready(photos), targets, len(batch)

    def check(self) -> Iterator[Event]:
        """The end of an epoch: the photos held back, and what the epoch came to."""
        position = self.position
        val_loss, predictions = self._told_by_folds() if self.judged else (yield from self._validate())
        _check_finite(val_loss)
        accuracy = sum(p.predicted == p.label for p in predictions) / len(predictions)
        bar = position.best_val_accuracy if position.bar is None else position.bar
        best = bar is None or accuracy > bar
        if best:
            position.best_epoch, position.best_val_accuracy = position.epoch, accuracy
            position.bar = None if position.bar is None else accuracy
            self.save("best")
        probed = position.epoch < probe_epochs(self.recipe)
        yield Epoch(
            epoch=position.epoch,
            learning_rate=0.0 if probed else learning_rate(self.recipe, position.epoch),
            train_loss=position.loss_sum / position.seen,
            train_accuracy=position.correct / position.seen,
            val_loss=val_loss,
            val_accuracy=accuracy,
            best=best,
            seconds=self.clock.seconds(),
            confusion=_confusion(predictions, len(self.dataset.classes)),
        )
        yield Samples(position.epoch, [predictions[at] for at in spread([p.label for p in predictions], SAMPLES)])
        if not folds_alone(self.recipe):  # else nothing comes after it, and the last checkpoint is judged so, too
            self.judged = None
        if self.handover:
            layer, position.bar = self.handover
            self._set_head(layer.state())
            self.handover = None

    def _told_by_folds(self) -> tuple[float, list[Prediction]]:
        """As ``_validate``: the answers of layers that had not seen the photo."""
        scores, labels = torch.from_numpy(self.judged.scores), torch.from_numpy(self.judged.labels)
        confidence, predicted = scores.softmax(1).max(1)
        values = zip(self.dataset.photos, labels.tolist(), predicted.tolist(), confidence.tolist(), strict=True)
        predictions = [Prediction(photo.path, label, guess, sure) for photo, label, guess, sure in values]
        return float(functional.cross_entropy(scores, labels)), predictions

    def _validate(self) -> Iterator[Validating]:
        """Tells its progress; returns the mean loss on clean photos and a Prediction for each, in the split's order."""
        net = self.learner.copy_to_ask(self.learner.answering)
        batches = batches_of(self.split.val, LOOK_BATCH * self.team.size, self.team.size)
        shares = self.team.share(batches)
        answers, done = [], 0
        for (pixels, labels), mine, batch in zip(self.loader.clean(shares), shares, batches, strict=True):
            scores = self.loader.preprocessing.answer(partial(self.learner.ask, net), self._ready(pixels))
            losses = functional.cross_entropy(scores, labels, reduction="none")
            confidence, predicted = scores.softmax(1).max(1)
            values = (part.tolist() for part in (labels, predicted, confidence, losses))
            answers += zip(mine, *values, strict=True)
            done += len(batch)
            yield Validating(self.position.epoch, done, len(self.split.val), self.clock.seconds())
        answers = sorted(self.team.gather(answers))
        photos = self.dataset.photos
        predictions = [Prediction(photos[i].path, label, guess, sure) for i, label, guess, sure, _ in answers]
        return math.fsum(answer[-1] for answer in answers) / len(answers), predictions

    def save(self, which: str) -> None:
        """Write a checkpoint, if there is a run to write it to."""
        self.saved = time.monotonic()
        if not self.run:
            return
        self.position.seconds = self.clock.seconds()
        files = {FILE: self.judged.to_bytes()} if self.judged else {}
        if which == "last":
            files |= pack_state(self.position, self.dataset.digest, self.machine.to_dict(), self.learner.state())
        self.run.save(which, self._describe(), self.learner.weights(), files)

    def _describe(self) -> Checkpoint:
        return Checkpoint(
            backbone=self.recipe.backbone,
            classes=self.dataset.classes,
            preprocessing=self.loader.preprocessing.to_dict(),
            recipe=self.recipe.to_dict(),
            metrics={
                "epoch": self.position.epoch,
                "best_epoch": self.position.best_epoch,
                "val_accuracy": self.position.best_val_accuracy,
                "val_photos": len(self.judged.labels if self.judged else self.split.val),
                **({"folds": int(self.judged.folds.max()) + 1} if self.judged else {}),
                "seconds": round(self.position.seconds, 1),
            },
            photos={name: value for name, value in summary(self.dataset).items() if name in ("counts", "digest")},
        )

    def _ask(self, net: nn.Module, pixels: torch.Tensor) -> torch.Tensor:
        return self.learner.ask(net, self._ready(pixels))

    def _ready(self, pixels: torch.Tensor) -> torch.Tensor:
        return self.learner.ready(self.loader.preprocessing.normalise(pixels))


def starting_model(recipe: Recipe, classes: tuple[str, ...]) -> tuple[nn.Module, Preprocessing]:
    """The network before its first step, as ``recipe.init`` asks, and what it wants photos to look like.

    Raises FlowersError when the weights cannot be had, CheckpointError when the checkpoint is of another network.
    """
    chosen = backbone(recipe.backbone)
    preprocessing = preprocessing_of(recipe)
    if recipe.init == "imagenet":
        return build_imagenet(recipe.backbone, len(classes)), preprocessing
    model = chosen.build(len(classes))
    if recipe.init != "scratch":
        _load_start(model, find_checkpoint(recipe.init), recipe.backbone, chosen.head, classes)
    return model, preprocessing


def _load_start(
    model: nn.Module, checkpoint: Checkpoint, backbone_name: str, head: str, classes: tuple[str, ...]
) -> None:
    """Copy a checkpoint's weights; its last layer only where it tells the same classes apart."""
    if checkpoint.backbone != backbone_name:
        raise CheckpointError(
            f"The checkpoint {checkpoint.name} holds a network {checkpoint.backbone}, not {backbone_name}: choose "
            "that network, or other starting weights."
        )
    weights = load_weights(checkpoint.folder)
    # One that learned from all photos knows those that are held back now.
    if checkpoint.classes != classes or checkpoint.folds:
        weights |= {name: tensor for name, tensor in model.state_dict().items() if name.startswith(f"{head}.")}
    fill_model(model, weights, checkpoint)


@contextlib.contextmanager
def _one_thread(wanted: bool) -> Iterator[None]:
    """Within it torch keeps to one thread: several wait for each other longer than small sums take."""
    before = torch.get_num_threads()
    torch.set_num_threads(1 if wanted else before)
    yield
    torch.set_num_threads(before)


def _with_mirrored(batches: Iterator[Batch]) -> Iterator[Batch]:
    """Each batch, and its photos' mirror images."""
    for pixels, labels in batches:
        yield pixels, labels
        yield pixels.flip(-1), labels


def spread(labels: Sequence[int], count: int) -> list[int]:
    """Positions of up to ``count`` labels, rising: as many of each class as of any other, from all over its list.

    Where there are more classes than that, of some one each.
    """
    own: dict[int, list[int]] = {}
    for position, label in enumerate(labels):
        own.setdefault(label, []).append(position)
    classes = _evenly(sorted(own), count)
    share = -(-count // len(classes))
    rounds = itertools.zip_longest(*(_evenly(own[label], share) for label in classes))
    return sorted([position for position in itertools.chain.from_iterable(rounds) if position is not None][:count])


def _evenly(items: list[int], count: int) -> list[int]:
    return items[:: max(1, len(items) // count)][:count]


def _confusion(predictions: list[Prediction], classes: int) -> list[list[int]]:
    """How many photos of each class (rows) were given each label (columns)."""
    counts = [[0] * classes for _ in range(classes)]
    for prediction in predictions:
        counts[prediction.label][prediction.predicted] += 1
    return counts


def _least(team: Team) -> int:
    """Photos in the smallest batch: batch norm cannot learn from one, and nobody in the team goes without."""
    return max(2, team.size)


def _steps(recipe: Recipe, split: Split, team: Team) -> int:
    """How many a whole run takes."""
    return len(batches_of(split.train, recipe.batch_size, _least(team))) * (recipe.epochs - probe_epochs(recipe))


def _check_batches(recipe: Recipe, split: Split, team: Team) -> None:
    """Raises UsageError when a process would get no photo, or batch norm but a single pixel."""
    least = min(recipe.batch_size, len(split.train), len(split.val))
    if least < team.size:
        raise UsageError(
            f"{team.size} processes cannot share {least} photos: choose batch_size={team.size} or more, or start fewer."
        )
    chosen = backbone(recipe.backbone)
    smallest = picture_size(recipe, probe_epochs(recipe), chosen.size)
    single = recipe.batch_size == 1 and recipe.norms == "batch" and smallest <= SIZE_STEP
    if single and _has_batch_norm(chosen):
        raise UsageError(
            f"Batch norm cannot learn from batch_size=1 at {smallest} pixels: choose a larger batch_size, first_size "
            "or last_size, or norms=frozen."
        )


def _has_batch_norm(chosen: Backbone) -> bool:
    with torch.device("meta"):  # the modules without their weights
        net = chosen.build(2)
    return any(isinstance(module, nn.modules.batchnorm._BatchNorm) for module in net.modules())


def _saved_state(run: Run, dataset: PhotoDataset) -> TrainingState | None:
    """Where the run's last checkpoint stands; None when there is none yet. Raises DataError for other photos."""
    state = run.load_state()
    if state and state.digest != dataset.digest:
        raise DataError(
            "The photos are not those this run began with: put them back, or start a new run (it can begin from this "
            f"one with init={run.folder})."
        )
    return state


def _machine(recipe: Recipe, team: Team, net: nn.Module, state: TrainingState | None) -> Machine:
    if folds_alone(recipe) and team.size == 1:
        machine = assume_machine(recipe, team.device, net)
    else:
        machine = choose_machine(recipe, team.device, net, _machine_before(state), team.neighbours)
    return untouched.fastest(recipe, machine) if team.size == 1 else machine


def _machine_before(state: TrainingState | None) -> Machine | None:
    try:
        if not state:
            return None
        check(Machine, json.dumps(state.machine).encode())
        return Machine(**state.machine)
    except (ValueError, TypeError) as error:
        raise CheckpointError(OTHER_VERSION) from error


def _restore(learner: Learner, state: TrainingState) -> None:
    try:
        learner.load(state.weights, state.learner)
    except (KeyError, ValueError, TypeError, AttributeError, RuntimeError) as error:
        raise CheckpointError(OTHER_VERSION) from error


def _check_finite(loss: float) -> None:
    if not math.isfinite(loss):
        raise FlowersError("The loss is no longer a number: start again with a lower learning rate.")


class Clock:
    """Training time over all starts of a run, in seconds."""

    def __init__(self) -> None:
        self.before = 0.0
        self.start = time.monotonic()

    def seconds(self) -> float:
        return self.before + time.monotonic() - self.start

    @contextlib.contextmanager
    def stopped(self) -> Iterator[None]:
        """The time that passes within the block does not count."""
        since = time.monotonic()
        try:
            yield
        finally:
            self.start += time.monotonic() - since
