"""Scores and features at once, for the price of one look."""

import pytest
import torch

from flowers.models.features import WithFeatures
from tests.networks import build_trained


@pytest.mark.parametrize(
    ("name", "head", "size"), [("resnet18", "fc", 512), ("mobilenet_v3_small", "classifier.3", 1024)]
)
def test_it_gives_the_models_scores_and_what_its_last_layer_is_given(name, head, size):
    model = build_trained(name)
    photos = torch.randn(3, 3, 64, 64, generator=torch.Generator().manual_seed(0))
    with torch.inference_mode():
        expected = model(photos)
        scores, features = WithFeatures(model, head)(photos)
        assert features.shape == (3, size)
        torch.testing.assert_close(scores, expected)
        torch.testing.assert_close(model.get_submodule(head)(features), expected)
        torch.testing.assert_close(model(photos), expected)  # which is as it was


def test_the_weights_are_not_copied():
    model = build_trained("resnet18")
    ours = {tensor.data_ptr() for tensor in WithFeatures(model, "fc").parameters()}
    assert ours == {tensor.data_ptr() for tensor in model.parameters()}
