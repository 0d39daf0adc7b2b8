"""Photos in, answers out."""

import json
from concurrent.futures import ThreadPoolExecutor

import pytest
import torch
from PIL import Image

from flowers.classifier import Answer, Classifier
from flowers.data.garden import render_flower
from flowers.data.preprocess import Preprocessing, to_pixels
from flowers.errors import CheckpointError
from flowers.models.backbones import BACKBONES
from flowers.models.checkpoint import Checkpoint, save_checkpoint

CLASSES = ("daisy", "rose", "tulip")
PREPARED = Preprocessing(64, 72, (0.4, 0.5, 0.6), (0.2, 0.3, 0.4))


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    torch.manual_seed(3)
    torch.set_num_threads(1)
    folder = tmp_path_factory.mktemp("checkpoint") / "c"
    weights = BACKBONES["resnet18"].build(3).state_dict()
    save_checkpoint(folder, weights, Checkpoint("resnet18", CLASSES, PREPARED.to_dict()))
    return folder


@pytest.fixture(scope="module")
def classifier(folder):
    return Classifier.load(folder)


@pytest.fixture(scope="module")
def photos() -> list[Image.Image]:
    return [render_flower("rose", seed, 100).resize((100 + seed * 20, 100)) for seed in range(6)]


def test_it_is_made_of_the_checkpoint(classifier):
    assert classifier.classes == CLASSES
    assert classifier.preprocessing == PREPARED
    assert not classifier.model.training
    assert classifier.checkpoint.name == "c"


def test_an_answer_ranks_the_classes(classifier, photos):
    answer = classifier.classify(photos[0])
    assert list(answer.confidences) == list(CLASSES)
    assert sum(answer.confidences.values()) == pytest.approx(1, abs=1e-6)
    ranked = answer.ranked()
    assert [share for _, share in ranked] == sorted(answer.confidences.values(), reverse=True)
    assert ranked[0] == (answer.label, answer.confidence)
    assert answer.seconds > 0
    assert Answer(**json.loads(json.dumps(answer.to_dict()))) == answer


def test_an_answer_is_the_networks_softmax(classifier, photos):
    pixels = to_pixels(PREPARED.frame(photos[1]))[None].float() / 255
    mean, std = (torch.tensor(values).view(1, 3, 1, 1) for values in (PREPARED.mean, PREPARED.std))
    with torch.inference_mode():
        scores = classifier.model((pixels - mean) / std)[0]
    expected = (scores.exp() / scores.exp().sum()).tolist()
    assert list(classifier.classify(photos[1]).confidences.values()) == pytest.approx(expected, abs=1e-5)


def test_one_by_one_or_together_the_answers_agree(classifier, photos):
    frames = [PREPARED.frame(photo) for photo in photos]
    together = classifier.confidences(frames)
    assert (together.shape, together.dtype) == ((6, 3), torch.float32)
    torch.testing.assert_close(classifier.confidences(torch.stack([to_pixels(frame) for frame in frames])), together)
    for row, photo in zip(together.tolist(), photos, strict=True):
        assert list(classifier.classify(photo).confidences.values()) == pytest.approx(row, abs=1e-5)


@pytest.mark.parametrize("size", [(8, 8), (1000, 30), (30, 1000)])
def test_any_size_is_taken(classifier, size):
    assert classifier.classify(Image.new("RGB", size, "green")).label in CLASSES


def test_many_threads_may_ask_at_once(classifier, photos):
    alone = [classifier.classify(photo).confidences for photo in photos]
    with ThreadPoolExecutor(4) as pool:
        for _ in range(3):
            answers = list(pool.map(classifier.classify, photos))
            assert [answer.confidences for answer in answers] == alone


@pytest.mark.parametrize("missing", ["mean", "std", None])
def test_a_checkpoint_that_does_not_say_how_to_prepare_photos_is_refused(folder, tmp_path, missing):
    card = json.loads((folder / "checkpoint.json").read_text())
    (tmp_path / "model.safetensors").symlink_to(folder / "model.safetensors")
    prepared = {name: value for name, value in card["preprocessing"].items() if name != missing}
    changed = prepared if missing else {**prepared, "unheard": 1}
    (tmp_path / "checkpoint.json").write_text(json.dumps({**card, "preprocessing": changed}))
    with pytest.raises(CheckpointError, match="does not say how to prepare photos"):
        Classifier.load(tmp_path)
