"""A real checkpoint that answers wildly: random weights, but each class about as often as the others."""

from pathlib import Path

import torch

from flowers.classifier import Classifier
from flowers.data.dataset import PhotoDataset
from flowers.data.decode import decode_image
from flowers.data.preprocess import Preprocessing
from flowers.models.backbones import BACKBONES
from flowers.models.checkpoint import Checkpoint, save_checkpoint
from flowers.recipe import Recipe

CLASSES = ("daisy", "dandelion", "rose", "sunflower", "tulip")


def save_wild_checkpoint(
    folder: Path, dataset: PhotoDataset, classes: tuple[str, ...] = CLASSES, seed: int = 0, **recipe: int
) -> Classifier:
    """Write it to ``folder``, as one trained on ``dataset`` by the report's recipe but for ``recipe``, and load it."""
    torch.set_num_threads(1)
    torch.manual_seed(seed)
    model = BACKBONES["resnet18"].build(len(classes)).eval()
    preprocessing = Preprocessing(size=64, resize=64)
    checkpoint = Checkpoint(
        "resnet18", classes, preprocessing.to_dict(), Recipe(**recipe).to_dict(), photos={"digest": dataset.digest}
    )
    photos = [decode_image(dataset.path(i)) for i in range(len(dataset))]
    scores = Classifier(checkpoint, model).confidences(photos).log()
    with torch.no_grad():  # from small differences about one common answer to large ones about none
        spread = 2 / scores.std(0).mean()
        model.fc.weight *= spread
        model.fc.bias.copy_(spread * (model.fc.bias - scores.mean(0)))
    save_checkpoint(folder, model.state_dict(), checkpoint)
    return Classifier.load(folder)
