"""Every way to run a network gives the same answers."""

import copy
import sys
from importlib.util import find_spec

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn
from torchvision import models

from flowers.data.preprocess import Preprocessing
from flowers.engines import TOLERANCE, agree, eager, fold_batch_norm, make, open_made, trial_photos
from flowers.models.checkpoint import find_checkpoint, load_model

PREPARED = Preprocessing(size=64, resize=72)


def random_norms(model: nn.Module) -> nn.Module:
    """As after training: norms that do something, of which those fresh from torch do nearly nothing."""
    generator = torch.Generator().manual_seed(1)
    for module in model.modules():
        if isinstance(module, nn.BatchNorm2d):
            module.running_mean.normal_(0, 0.1, generator=generator)
            module.running_var.uniform_(0.5, 2, generator=generator)
            nn.init.uniform_(module.weight, 0.5, 1.5, generator=generator)
            nn.init.normal_(module.bias, 0, 0.1, generator=generator)
    return model.eval()


def build(name: str) -> nn.Module:
    torch.manual_seed(0)
    torch.set_num_threads(1)
    return random_norms(models.get_model(name, weights=None, num_classes=5))


def norms_in(model: nn.Module) -> int:
    return sum(isinstance(module, nn.BatchNorm2d) for module in model.modules())


def confidences(scores) -> np.ndarray:
    return torch.as_tensor(np.asarray(scores)).softmax(1).numpy()


@pytest.fixture(scope="module")
def noise() -> torch.Tensor:
    return torch.randn(4, 3, 64, 64, generator=torch.Generator().manual_seed(2))


@pytest.fixture(scope="module")
def resnet() -> nn.Module:
    return build("resnet18")


# Agreement


@settings(deadline=None)
@given(
    scores=st.lists(st.floats(-30, 30), min_size=2, max_size=6),
    errors=st.lists(st.floats(-2 * TOLERANCE, 2 * TOLERANCE), min_size=6, max_size=6),
)
def test_scores_that_agree_give_confidences_within_the_tolerance(scores, errors):
    scores = np.array([scores])
    wrong = scores + errors[: scores.shape[1]]
    if agree(wrong, scores):
        assert np.abs(confidences(wrong) - confidences(scores)).max() <= TOLERANCE


def test_sure_answers_do_not_hide_an_error():
    """Confidences of 1 and 0 would not move: the scores do."""
    scores, wrong = np.array([[40.0, 0.0]]), np.array([[40.5, 0.0]])
    assert np.allclose(confidences(scores), confidences(wrong))
    assert not agree(wrong, scores)


def test_what_is_no_number_does_not_agree():
    assert not agree(np.array([[np.nan, 0.0]]), np.array([[0.0, 0.0]]))


# Folding


@pytest.mark.parametrize("name", ["resnet18", "mobilenet_v3_small", "shufflenet_v2_x0_5"])
def test_folding_removes_the_norms_and_changes_no_answer(name, noise):
    model = build(name)
    before = copy.deepcopy(model.state_dict())
    folded = fold_batch_norm(model, noise[:1])
    assert norms_in(model) > 0
    assert norms_in(folded) == 0
    with torch.inference_mode():
        np.testing.assert_allclose(confidences(folded(noise)), confidences(model(noise)), atol=TOLERANCE)
    assert all(torch.equal(before[key], value) for key, value in model.state_dict().items())


def test_a_norm_before_its_convolution_stays(noise):
    model = build("densenet121")  # norm, ReLU, convolution; but also convolutions that are followed by a norm
    folded = fold_batch_norm(model, noise[:1])
    assert 0 < norms_in(folded) < norms_in(model)
    with torch.inference_mode():
        np.testing.assert_allclose(confidences(folded(noise)), confidences(model(noise)), atol=TOLERANCE)


class Branching(nn.Module):
    """What a tracer of graphs cannot follow: the way depends on the photo."""

    def __init__(self) -> None:
        super().__init__()
        self.conv, self.norm, self.head = nn.Conv2d(3, 8, 3), nn.BatchNorm2d(8), nn.Linear(8, 5)

    def forward(self, photos):
        features = self.norm(self.conv(photos))
        return self.head((features.relu() if features.mean() > 0 else features.abs()).mean((2, 3)))


class Sharing(Branching):
    """The convolution's output has a second reader, for whom it must not change."""

    def forward(self, photos):
        made = self.conv(photos)
        return self.head((self.norm(made) * made).mean((2, 3)))


class Twice(Branching):
    """One convolution, two norms."""

    def __init__(self) -> None:
        super().__init__()
        self.other = nn.BatchNorm2d(8)

    def forward(self, photos):
        return self.head((self.norm(self.conv(photos)) - self.other(self.conv(-photos))).mean((2, 3)))


@pytest.mark.parametrize(("kind", "left"), [(Branching, 0), (Sharing, 1), (Twice, 2)])
def test_odd_networks_are_folded_where_that_is_right_and_left_alone_elsewhere(kind, left, noise):
    torch.manual_seed(0)
    model = random_norms(kind())
    folded = fold_batch_norm(model, noise[:1])
    assert norms_in(folded) == left
    with torch.inference_mode():
        torch.testing.assert_close(folded(noise), model(noise), atol=1e-5, rtol=1e-5)


def test_the_bundled_checkpoint_answers_real_photos_as_before_folding(real_photos):
    checkpoint = find_checkpoint("flowers-resnet18")
    preprocessing = Preprocessing.from_dict(checkpoint.preprocessing)
    model = load_model(checkpoint)
    paths = sorted(real_photos.rglob("*.jpg"))[::400]
    frames = [np.asarray(preprocessing.frame(preprocessing.working_copy(path))) for path in paths]
    pixels = np.stack(frames).transpose(0, 3, 1, 2)
    with torch.inference_mode():
        expected = model(preprocessing.normalise(torch.from_numpy(pixels)))
    scores = eager(model, preprocessing)(pixels)
    np.testing.assert_allclose(confidences(scores), confidences(expected), atol=TOLERANCE)


# The engines


def test_trial_photos_are_pixels_and_always_the_same():
    photos = trial_photos(64, 3)
    assert (photos.shape, photos.dtype) == ((3, 3, 64, 64), np.uint8)
    assert photos.std() > 30
    np.testing.assert_array_equal(photos, trial_photos(64, 3))


def test_eager_is_the_model(resnet):
    photos = trial_photos(64, 3)
    with torch.inference_mode():
        expected = resnet(PREPARED.normalise(torch.from_numpy(photos)))
    scores = eager(resnet, PREPARED)(photos)
    assert scores.dtype == np.float32
    np.testing.assert_allclose(scores, expected, atol=1e-4)


@pytest.mark.parametrize(("engine", "needs"), [("onnxruntime", "onnxscript"), ("openvino", "openvino")])
def test_other_engines_give_the_same_scores_for_any_number_of_photos(engine, needs, resnet, tmp_path):
    if not find_spec(engine) or not find_spec(needs):  # importorskip would import OpenVINO in its talkative way
        pytest.skip(f"{engine} or {needs} is not installed")
    make(engine, resnet, PREPARED, tmp_path)
    run, reference = open_made(engine, tmp_path), eager(resnet, PREPARED)
    for count in (1, 2, 5, 1):
        photos = trial_photos(64, count)
        scores = run(photos)
        assert (scores.shape, scores.dtype) == ((count, 5), np.float32)
        assert agree(scores, reference(photos))
    assert sys.modules.get("openvino_telemetry") is None, "nobody is told that we use it"
