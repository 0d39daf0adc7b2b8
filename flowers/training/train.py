"""The loop, as a generator of events. It prints nothing, draws nothing and knows no page."""

import math
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass

import torch
from torch import nn
from torch.nn import functional

from flowers.data.dataset import PhotoDataset, summary
from flowers.data.loader import Batch, PhotoLoader, epoch_order
from flowers.data.preprocess import Preprocessing
from flowers.errors import CheckpointError, DataError, FlowersError
from flowers.models.backbones import backbone, build_imagenet
from flowers.models.checkpoint import Checkpoint, fill_model, find_checkpoint, load_weights
from flowers.recipe import Recipe
from flowers.training.events import Epoch, Event, Finished, Prediction, Samples, Started, Step, Validating
from flowers.training.machine import Machine, choose_machine
from flowers.training.run import Position, Run, TrainingState

SAMPLES = 10  # validation photos whose predictions are told after every epoch
SAVE_SECONDS = 120  # a kill costs at most this much work within an epoch; saving costs about 0.2 s


def train(
    recipe: Recipe, dataset: PhotoDataset, *, run: Run | None = None, stop: Callable[[], bool] = lambda: False
) -> Iterator[Event]:
    """Train a network on the training part of ``dataset``, check it on the rest after every epoch, tell what happens.

    With a ``run``, checkpoints go to its folder (the best by validation accuracy, and the last for resuming), and
    training goes on from where that folder says it was. ``stop()`` is asked after every batch. Raises FlowersError
    when the photos, the starting weights or the device cannot be had, or
    the loss runs off.
    """
    split = dataset.split(recipe.split_seed, recipe.val_fraction)
    state = _saved_state(run, dataset)
    torch.manual_seed(recipe.seed)
    # A run that goes on has its weights: what it began from may be gone by now, or out of reach.
    model, preprocessing = starting_model(recipe.replace(init="scratch") if state else recipe, dataset.classes)
    machine = choose_machine(recipe.device, recipe.precision, model, preprocessing.size, recipe.batch_size)
    # channels_last is the layout in which CPU and GPU convolutions are fastest; the result is the same.
    model = model.to(machine.device, memory_format=torch.channels_last)
    optimizer = torch.optim.SGD(
        model.parameters(), lr=recipe.learning_rate, momentum=recipe.momentum, weight_decay=recipe.weight_decay
    )
    if state:
        model.load_state_dict(state.weights)
        optimizer.load_state_dict(state.optimizer)
    position = state.position if state else Position()
    del state  # 90 MB
    clock = _Clock(position.seconds)
    loader = PhotoLoader(dataset, preprocessing, recipe.workers)

    def save(which: str) -> None:
        if run:
            position.seconds = clock.seconds()
            checkpoint = _describe(recipe, dataset, preprocessing, position)
            run.save(which, checkpoint, model, optimizer, position, dataset.digest)

    try:
        yield Started(
            epoch=position.epoch,
            step=position.step,
            epochs=recipe.epochs,
            steps=-(-len(split.train) // recipe.batch_size),
            train_photos=len(split.train),
            val_photos=len(split.val),
            classes=list(dataset.classes),
            device=machine.device.type,
            precision=machine.precision,
            machine=machine.why,
            left_out=[item.reason for item in dataset.unreadable],
            seconds=clock.seconds(),
        )
        saved = time.monotonic()
        while position.epoch < recipe.epochs and not stop():
            epoch, rate = position.epoch, learning_rate(recipe, position.epoch)
            for group in optimizer.param_groups:
                group["lr"] = rate
            torch.manual_seed(recipe.seed * 100_003 + epoch)  # for layers that draw lots, such as dropout
            order = epoch_order(split.train, recipe.seed, epoch)[position.step * recipe.batch_size :]
            for batch in loader.augmented(order, recipe.batch_size, recipe, epoch):
                loss, accuracy = _learn(model, optimizer, preprocessing, machine, batch)
                _check_finite(loss)
                position.add(loss, accuracy, len(batch[1]))
                yield Step(epoch, position.step, loss, accuracy, rate, clock.seconds())
                if stop():
                    break
                if time.monotonic() - saved > SAVE_SECONDS:
                    save("last")
                    saved = time.monotonic()
            if stop() and position.seen < len(split.train):
                break

            val_loss, predictions = yield from _validate(
                model, loader, split.val, recipe.batch_size, machine, epoch, clock
            )
            _check_finite(val_loss)
            val_accuracy = sum(p.predicted == p.label for p in predictions) / len(predictions)
            train_loss, train_accuracy = position.loss_sum / position.seen, position.correct / position.seen
            best = position.best_val_accuracy is None or val_accuracy > position.best_val_accuracy
            if best:
                position.best_epoch, position.best_val_accuracy = epoch, val_accuracy
                save("best")
            seconds = clock.seconds()
            yield Epoch(epoch, rate, train_loss, train_accuracy, val_loss, val_accuracy, best, seconds)
            yield Samples(epoch, predictions[:: max(1, len(predictions) // SAMPLES)][:SAMPLES])
            # Saved after being told: a kill in between repeats the epoch, and never leaves a hole in the story.
            position.next_epoch()
            save("last")
            saved = time.monotonic()
        if position.step:
            save("last")
        yield Finished(
            stopped=position.epoch < recipe.epochs,
            epochs_done=position.epoch,
            best_epoch=position.best_epoch,
            best_val_accuracy=position.best_val_accuracy,
            seconds=clock.seconds(),
        )
    finally:
        loader.close()


def learning_rate(recipe: Recipe, epoch: int) -> float:
    """The learning rate of an epoch (0-based): a drop every ``lr_step`` epochs, as torch's StepLR has it."""
    return recipe.learning_rate * recipe.lr_gamma ** (epoch // recipe.lr_step)


def starting_model(recipe: Recipe, classes: tuple[str, ...]) -> tuple[nn.Module, Preprocessing]:
    """The network before its first step, as ``recipe.init`` asks, and what it wants photos to look like.

    Raises FlowersError when the weights cannot be had, CheckpointError when the checkpoint is of another network.
    """
    chosen = backbone(recipe.backbone)
    preprocessing = Preprocessing(size=chosen.size, resize=chosen.resize)
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
    if checkpoint.classes != classes:
        weights |= {name: tensor for name, tensor in model.state_dict().items() if name.startswith(f"{head}.")}
    fill_model(model, weights, checkpoint)


def _learn(
    model: nn.Module, optimizer: torch.optim.Optimizer, preprocessing: Preprocessing, machine: Machine, batch: Batch
) -> tuple[float, float]:
    """One step on one batch; its loss and accuracy before the step."""
    model.train()
    photos, labels = _to_device(preprocessing, machine, batch)
    with machine.autocast():
        scores = model(photos)
    loss = functional.cross_entropy(scores.float(), labels)
    optimizer.zero_grad(set_to_none=True)
    loss.backward()
    optimizer.step()
    accuracy = (scores.argmax(1) == labels).float().mean()
    return loss.item(), accuracy.item()  # waits for the device; at these speeds the wait costs nothing


@torch.no_grad()
def _validate(
    model: nn.Module,
    loader: PhotoLoader,
    indices: tuple[int, ...],
    batch_size: int,
    machine: Machine,
    epoch: int,
    clock: "_Clock",
) -> Iterator[Validating]:
    """Tells its progress; returns the mean loss on clean photos and a Prediction for each."""
    model.eval()
    total, predictions = 0.0, []
    for batch in loader.clean(indices, batch_size):
        photos, labels = _to_device(loader.preprocessing, machine, batch)
        with machine.autocast():
            scores = model(photos).float()
        total += functional.cross_entropy(scores, labels, reduction="sum").item()
        confidence, predicted = scores.softmax(1).max(1)
        for label, guess, sure in zip(labels.tolist(), predicted.tolist(), confidence.tolist(), strict=True):
            path = loader.dataset.photos[indices[len(predictions)]].path
            predictions.append(Prediction(path, label, guess, sure))
        yield Validating(epoch, len(predictions), len(indices), clock.seconds())
    return total / len(indices), predictions


def _check_finite(loss: float) -> None:
    if not math.isfinite(loss):
        raise FlowersError("The loss is no longer a number: start again with a lower learning rate.")


def _to_device(preprocessing: Preprocessing, machine: Machine, batch: Batch) -> Batch:
    pixels, labels = (tensor.to(machine.device, non_blocking=True) for tensor in batch)
    return preprocessing.normalise(pixels).contiguous(memory_format=torch.channels_last), labels


def _saved_state(run: Run | None, dataset: PhotoDataset) -> TrainingState | None:
    """Where the run's last checkpoint stands; None when there is none yet. Raises DataError for other photos."""
    state = run.load_state() if run else None
    if state and state.digest != dataset.digest:
        raise DataError(
            "The photos are not those this run began with: put them back, or start a new run (it can begin from this "
            f"one with init={run.folder})."
        )
    return state


def _describe(recipe: Recipe, dataset: PhotoDataset, preprocessing: Preprocessing, position: Position) -> Checkpoint:
    return Checkpoint(
        backbone=recipe.backbone,
        classes=dataset.classes,
        preprocessing=preprocessing.to_dict(),
        recipe=recipe.to_dict(),
        metrics={
            "epoch": position.epoch,
            "best_epoch": position.best_epoch,
            "val_accuracy": position.best_val_accuracy,
            "seconds": round(position.seconds, 1),
        },
        photos={name: value for name, value in summary(dataset).items() if name in ("counts", "digest")},
    )


@dataclass
class _Clock:
    """Training time over all starts of a run, in seconds."""

    before: float

    def __post_init__(self) -> None:
        self.start = time.monotonic()

    def seconds(self) -> float:
        return self.before + time.monotonic() - self.start
