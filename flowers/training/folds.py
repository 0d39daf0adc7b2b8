"""What a network says of each photo without having been told that photo's label: out-of-fold predictions.

The photos are dealt into folds; the last layer is fitted to all folds but one (``probe.fit``: a convex problem, the
same answer every time) and asked about that one. What comes before the last layer stays as it is, so that the photos
go through the network only once.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional

from flowers.data.dataset import PhotoDataset
from flowers.data.download import Progress
from flowers.data.loader import PhotoLoader, batches_of
from flowers.data.preprocess import Preprocessing
from flowers.data.split import deal, held_out
from flowers.errors import DataError, FlowersError
from flowers.models.backbones import backbone
from flowers.models.checkpoint import find_checkpoint
from flowers.models.folding import fold_batch_norm
from flowers.recipe import Recipe
from flowers.training import probe
from flowers.training.machine import choose_machine, pick_device
from flowers.training.train import starting_model

FOLDS = 5
BATCH = 32
FALLBACK = "flowers-resnet18"  # whose features serve where there are no ImageNet weights


@dataclass(frozen=True)
class Opinion:
    """How likely each photo shows each class, in the eyes of a network that was not told the photo's label."""

    confidences: np.ndarray  # float32 (photos, classes); each row sums to 1
    basis: str  # who says so, in a sentence


def out_of_fold(dataset: PhotoDataset, recipe: Recipe | None = None, progress: Progress | None = None) -> Opinion:
    """The opinion on every photo of a network whose last layer was fitted to the photos of other folds.

    The network is the one that ``recipe`` would start from; by default ResNet18 with ImageNet weights, and where these
    cannot be had, the bundled checkpoint, which may know the photos: ``Opinion.basis`` then says so. Copies of a
    picture are in one fold. ``progress(done, total)`` counts photos. Takes as long as looking at every photo once.

    Raises DataError when a class has fewer than FOLDS different photos, DecodeError when a photo cannot be read any
    more, FlowersError when there are no weights at all.
    """
    parts = folds(dataset)  # which may refuse
    inputs, basis = features(dataset, recipe, progress)
    labels = torch.tensor([photo.label for photo in dataset.photos])
    return Opinion(predict(inputs, labels, parts, len(dataset.classes)), basis)


def folds(dataset: PhotoDataset, count: int = FOLDS, seed: int = 0) -> list[list[int]]:
    """Photos dealt into ``count`` parts: indices in ascending order, stratified by class, copies of a picture together.

    Like the split it depends on the photos' contents, their labels and the arguments alone. Raises DataError when a
    class has fewer than ``count`` different photos.
    """
    for label, name in enumerate(dataset.classes):
        different = sum(any(dataset.photos[i].label == label for i in group) for group in dataset.groups)
        if different < count:
            raise DataError(
                f"The class {name} has only {different} different photos, and to look for wrong labels takes {count} "
                "of each class: add some, or do not ask for wrong labels."
            )

    return deal(dataset.photos, dataset.groups, count, seed)


def features(
    dataset: PhotoDataset, recipe: Recipe | None = None, progress: Progress | None = None
) -> tuple[Tensor, str]:
    """What the last layer of the network that ``recipe`` starts from is given, float32 (photos, features), on the CPU;
    and a sentence that says which network that is.
    """
    recipe = recipe or Recipe()
    net, preprocessing, basis = _network(recipe, dataset)
    chosen, device = backbone(recipe.backbone), pick_device(recipe.device)
    machine = choose_machine(recipe, device, net, None)
    shape = (1, 3, preprocessing.size, preprocessing.size)
    net = net.to(device).eval()
    sample = torch.linspace(-2, 2, math.prod(shape), device=device).view(shape)
    net = fold_batch_norm(net, sample).to(memory_format=machine.torch_format)

    def look(pixels: Tensor) -> None:
        with machine.autocast():
            net(preprocessing.normalise(pixels).contiguous(memory_format=machine.torch_format))

    loader = PhotoLoader(dataset, preprocessing, recipe.workers, device=device)
    rows: list[Tensor] = []
    done = 0
    try:
        pictures = loader.clean(batches_of(range(len(dataset)), BATCH, least=1))
        for seen, _ in probe.features(look, net.get_submodule(chosen.head), pictures):
            rows.append(seen.cpu())
            done += len(seen)
            if progress:
                progress(done, len(dataset))
    finally:
        loader.close()
    return torch.cat(rows), basis


def predict(inputs: Tensor, labels: Tensor, parts: Sequence[Sequence[int]], classes: int) -> np.ndarray:
    """Confidences, float32 (N, classes): of each part, by a last layer that was fitted to the other parts.

    ``inputs`` are features, float32 (N, features), ``labels`` int64 (N,); photos in no part get zeros.
    """
    confidences = np.zeros((len(labels), classes), dtype=np.float32)
    for part, others in held_out(parts):
        head = nn.Linear(inputs.shape[1], classes)
        probe.fit(head, inputs[others], labels[others], smoothing=0.0)
        with torch.no_grad():
            confidences[part] = functional.softmax(head(inputs[part]), 1).numpy()
    return confidences


def _network(recipe: Recipe, dataset: PhotoDataset) -> tuple[nn.Module, Preprocessing, str]:
    """The network to look with, what it wants photos to look like, and which one that is, in a sentence."""
    title = backbone(recipe.backbone).title
    try:
        net, preprocessing = starting_model(recipe, dataset.classes)
    except FlowersError:
        if recipe.init != "imagenet":
            raise
        fallback = recipe.replace(init=FALLBACK, backbone=find_checkpoint(FALLBACK).backbone)
        net, preprocessing, basis = _network(fallback, dataset)
        return net, preprocessing, f"The ImageNet weights of {title} could not be had. {basis}"
    if recipe.init in ("imagenet", "scratch"):
        weights = "ImageNet" if recipe.init == "imagenet" else "random"
        return net, preprocessing, f"Judged by the features of {title} with {weights} weights."
    checkpoint = find_checkpoint(recipe.init)
    learnt = "has" if checkpoint.photos.get("digest") == dataset.digest else "may have"
    basis = (
        f"Judged by the features of the checkpoint {checkpoint.name}, which {learnt} learnt these very labels: wrong "
        "ones among them can look right to it."
    )
    return net, preprocessing, basis
