"""Every way to run a network gives the same answers."""

import sys
from dataclasses import replace
from importlib.util import find_spec

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn

from flowers.data.preprocess import Preprocessing
from flowers.engines import TOLERANCE, agree, eager, make, open_made, point_alike, trial_photos
from flowers.models.backbones import BACKBONES
from flowers.models.checkpoint import find_checkpoint, load_model
from tests.networks import build_trained, random_norms, settled
from tests.tiny import tiny_resnet18

PREPARED = Preprocessing(size=64, resize=72)


def confidences(scores) -> np.ndarray:
    return torch.as_tensor(np.asarray(scores)).softmax(1).numpy()


@pytest.fixture(scope="module")
def resnet() -> nn.Module:
    return build_trained("resnet18")


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


@pytest.mark.parametrize(
    ("moved", "alike"), [(0.0, True), (0.5 * TOLERANCE, True), (3 * TOLERANCE, False), (np.nan, False)]
)
def test_features_that_point_alike_keep_their_cosines(moved, alike):
    features = np.random.default_rng(0).random((20, 64))
    shifted = features * (1 + moved * np.resize([1, -1], 64))
    assert point_alike(shifted, features) is alike
    if alike:
        cosines = [(part / np.linalg.norm(part, axis=1, keepdims=True)) for part in (features, shifted)]
        assert np.abs(cosines[0] @ cosines[0].T - cosines[1] @ cosines[0].T).max() <= 2 * TOLERANCE


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
    scores, features = eager(resnet, PREPARED, "fc")(photos)
    assert scores.dtype == features.dtype == np.float32
    np.testing.assert_allclose(scores, expected, atol=1e-4)
    np.testing.assert_allclose(features @ resnet.fc.weight.detach().numpy().T + resnet.fc.bias.detach().numpy(), scores,
                               atol=1e-4)  # fmt: skip


def test_mirrored_answers_do_not_care_which_way_round_a_photo_is(resnet):
    photos = trial_photos(64, 3)
    flipped = photos[..., ::-1].copy()
    plain, mirrored = eager(resnet, PREPARED, "fc"), eager(resnet, replace(PREPARED, mirror=True), "fc")
    for what in (0, 1):  # scores, features
        np.testing.assert_allclose(mirrored(photos)[what], mirrored(flipped)[what], atol=1e-4)
        mean = (plain(photos)[what] + plain(flipped)[what]) / 2
        np.testing.assert_allclose(mirrored(photos)[what], mean, atol=1e-4)


@pytest.fixture(scope="module", params=["tiny", pytest.param("resnet18", marks=pytest.mark.thorough)])
def trained(request) -> nn.Module:
    """A network with norms as after training."""
    torch.manual_seed(0)
    return build_trained("resnet18") if request.param == "resnet18" else random_norms(tiny_resnet18().build(5))


@pytest.mark.parametrize("mirror", [pytest.param(False, marks=pytest.mark.thorough), True])
@pytest.mark.parametrize(("engine", "needs"), [("onnxruntime", "onnxscript"), ("openvino", "openvino")])
def test_other_engines_give_the_same_answers_for_any_number_of_photos(engine, needs, mirror, trained, tmp_path):
    if not find_spec(engine) or not find_spec(needs):  # importorskip would import OpenVINO in its talkative way
        pytest.skip(f"{engine} or {needs} is not installed")
    prepared = replace(PREPARED, mirror=mirror)
    make(engine, trained, prepared, "fc", tmp_path)
    run, reference = open_made(engine, tmp_path), eager(trained, prepared, "fc")
    for count in (1, 2, 5, 1):
        photos = trial_photos(64, count)
        (scores, features), expected = run(photos), reference(photos)
        assert (scores.shape, scores.dtype) == ((count, 5), np.float32)
        assert (features.shape, features.dtype) == ((count, trained.fc.in_features), np.float32)
        assert agree(scores, expected[0])
        assert point_alike(features, expected[1])
    assert sys.modules.get("openvino_telemetry") is None, "nobody is told that we use it"


def first_stages(network: nn.Module) -> nn.Module:
    """Two of an EfficientNet-Lite's seven: every kind of layer is in them, and a fifth of the work."""
    del network.blocks[2:]
    channels = network.blocks[-1][-1].conv_pwl.out_channels
    assert network.blocks[-1][-1].has_skip
    network.conv_head = nn.Conv2d(channels, network.conv_head.out_channels, 1, bias=False)
    return network


def whole(network: nn.Module) -> nn.Module:
    return network


@pytest.mark.thorough  # the tiny network leaves it above, and tests/models has what is special about these
@pytest.mark.parametrize(
    ("name", "change"),
    [
        ("efficientnet_lite0", first_stages),
        ("efficientnet_lite0", whole),
        ("mobilenet_v3_large", whole),
    ],
)
def test_other_networks_leave_pytorch_too(name, change, tmp_path):
    """With padding worked out from the picture, activations within norms, and gates."""
    if not find_spec("onnxruntime") or not find_spec("onnxscript"):
        pytest.skip("onnxruntime or onnxscript is not installed")
    torch.manual_seed(0)
    pixels = trial_photos(64, 3)
    model = settled(change(BACKBONES[name].build(5)), PREPARED.normalise(torch.from_numpy(pixels)))
    with torch.inference_mode():
        expected = model(PREPARED.normalise(torch.from_numpy(pixels))).numpy()
    make("onnxruntime", model, PREPARED, BACKBONES[name].head, tmp_path)
    for run in (open_made("onnxruntime", tmp_path), eager(model, PREPARED, BACKBONES[name].head)):
        for count in (1, 3):
            assert agree(run(pixels[:count])[0], expected[:count])


def test_the_bundled_checkpoint_answers_real_photos_as_the_network_itself(real_photos):
    checkpoint = find_checkpoint("flowers-resnet18")
    preprocessing = Preprocessing.from_dict(checkpoint.preprocessing)
    model = load_model(checkpoint)
    paths = sorted(real_photos.rglob("*.jpg"))[::400]
    frames = [np.asarray(preprocessing.frame(preprocessing.working_copy(path))) for path in paths]
    pixels = np.stack(frames).transpose(0, 3, 1, 2)
    with torch.inference_mode():
        expected = model(preprocessing.normalise(torch.from_numpy(pixels)))
    scores, _ = eager(model, preprocessing, "fc")(pixels)
    np.testing.assert_allclose(confidences(scores), confidences(expected), atol=TOLERANCE)
