"""The map adds up to the score where it is said to be exact, and it is what the grad-cam package computes."""

import copy

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import nn
from torchvision import models

from flowers.models import activation
from flowers.models.activation import Explainer
from tests.networks import COMPUTED, NARROW, Pooled, random_norms

SIDE = 64


def torchvisions(name: str, **settings) -> nn.Module:
    torch.manual_seed(0)
    torch.set_num_threads(1)
    return random_norms(models.get_model(name, weights=None, num_classes=5, **settings))


def small_transformer() -> nn.Module:
    """ViT-B/16's code, only smaller."""
    torch.manual_seed(0)
    model = models.VisionTransformer(SIDE, 16, num_layers=2, num_heads=2, hidden_dim=32, mlp_dim=64, num_classes=5)
    nn.init.normal_(model.heads.head.weight)  # zeros at first
    return model.eval()


def narrowed(name: str) -> nn.Module:
    torch.manual_seed(0)
    torch.set_num_threads(1)
    return NARROW[name](5).eval()


# Network -> (how to build it, its pool, its head, the module whose output is what is looked at)
EXACT = {
    "resnet18": (lambda: torchvisions("resnet18"), "avgpool", "fc", "layer4"),
    "efficientnet_b0": (lambda: torchvisions("efficientnet_b0"), "avgpool", "classifier.1", "features"),
    "narrow swin_t": (lambda: narrowed("swin_t"), "avgpool", "head", "permute"),
    "swin_t": (lambda: torchvisions("swin_t"), "avgpool", "head", "permute"),
}
ESTIMATED = {
    "narrow convnext_tiny": (lambda: narrowed("convnext_tiny"), "avgpool", "classifier.2", "features"),
    "convnext_tiny": (lambda: torchvisions("convnext_tiny"), "avgpool", "classifier.2", "features"),
    "mobilenet_v3_large": (lambda: torchvisions("mobilenet_v3_large"), "avgpool", "classifier.3", "features"),
    "vit": (small_transformer, "", "heads.head", "encoder.layers.encoder_layer_1.ln_1"),
}


LARGE = {"swin_t", "convnext_tiny"}


def each(*names: str) -> list:
    return [pytest.param(name, marks=[pytest.mark.thorough] * (name in LARGE)) for name in names]


@pytest.fixture(scope="module")
def network():
    """A network of EXACT or ESTIMATED by name, built once."""
    built: dict[str, nn.Module] = {}

    def get(name: str) -> tuple[nn.Module, str, str, str]:
        build, *names = {**EXACT, **ESTIMATED}[name]
        if name not in built:
            built[name] = build()
        return copy.deepcopy(built[name]), *names

    return get


def photo(seed: int, side: int = SIDE) -> torch.Tensor:
    return torch.randn(1, 3, side, side, generator=torch.Generator().manual_seed(seed))


@pytest.mark.parametrize("name", each(*EXACT))
def test_an_exact_map_adds_up_to_the_score(network, name):
    model, pool, head, _ = network(name)
    explain = Explainer(model, pool, head)
    for seed in range(3):
        with torch.inference_mode():
            [expected] = model(photo(seed))
        scores, maps, exact = explain(photo(seed))
        assert exact
        assert (maps.shape, maps.dtype) == ((5, 2, 2), torch.float32)
        torch.testing.assert_close(scores, expected)
        torch.testing.assert_close(maps.mean((1, 2)) + model.get_submodule(head).bias, expected, rtol=1e-4, atol=1e-5)


@given(seed=st.integers(0, 2**31), side=st.integers(4, 40), classes=st.integers(1, 7))
def test_it_adds_up_for_any_photo_and_any_head(seed, side, classes):
    torch.manual_seed(seed)
    model = Pooled(classes=classes)
    scores, maps, exact = Explainer(model, "pool", "head")(photo(seed, side))
    assert exact
    assert maps.shape == (classes, -(-side // 4), -(-side // 4))
    torch.testing.assert_close(maps.mean((1, 2)) + model.head.bias, scores, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("name", each(*ESTIMATED))
def test_other_networks_get_an_estimate(network, name):
    model, pool, head, _ = network(name)
    with torch.inference_mode():
        [expected] = model(photo(0))
    scores, maps, exact = Explainer(model, pool, head)(photo(0))
    assert not exact
    assert maps.shape == ((5, 4, 4) if name == "vit" else (5, 2, 2))
    assert all(values.abs().max() > 0 for values in maps)
    assert not maps.requires_grad
    torch.testing.assert_close(scores, expected, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("name", each(*EXACT, *ESTIMATED))
def test_it_is_what_the_grad_cam_package_computes(network, name):
    """Of a network with an exact map, Grad-CAM is that map up to scale (Selvaraju et al. 2017, section 3.1)."""
    from pytorch_grad_cam import GradCAM
    from pytorch_grad_cam.utils.image import scale_cam_image
    from pytorch_grad_cam.utils.model_targets import ClassifierOutputTarget

    model, pool, head, layer = network(name)
    _, maps, _ = Explainer(copy.deepcopy(model), pool, head)(photo(1))
    reshape = (lambda tokens: tokens[:, 1:].transpose(1, 2).unflatten(2, (4, 4))) if name == "vit" else None
    with GradCAM(model, [model.get_submodule(layer)], reshape_transform=reshape) as theirs:
        for index, heat in enumerate(maps.numpy()):
            [expected] = theirs(photo(1), [ClassifierOutputTarget(index)])
            # They average the gradient instead of summing it, show no negative evidence, and stretch it to 0..1, twice.
            [ours] = scale_cam_image(scale_cam_image(np.maximum(heat / heat.size, 0)[None], (SIDE, SIDE)))
            np.testing.assert_allclose(ours, expected, atol=1e-3)


@pytest.mark.parametrize("name", each(*EXACT))
def test_the_estimate_of_an_exact_network_would_be_its_map(network, name, monkeypatch):
    model, pool, head, _ = network(name)
    explain = Explainer(model, pool, head)
    _, maps, _ = explain(photo(2))
    monkeypatch.setattr(activation, "_is_mean", lambda *_: False)
    _, estimate, exact = explain(photo(2))
    assert not exact
    torch.testing.assert_close(estimate, maps, rtol=1e-3, atol=1e-4 * float(maps.abs().max()))


class Double(nn.Module):
    def forward(self, summary):
        return 2 * summary


@pytest.mark.parametrize(
    ("between", "exact"),
    [(nn.Identity(), True), (nn.Dropout(0.5), True), (Double(), False), (nn.LayerNorm(8), False), (nn.ReLU(), False)],
    ids=lambda value: type(value).__name__,
)
def test_whether_it_is_exact_is_found_out_by_looking(between, exact):
    torch.manual_seed(0)
    assert Explainer(Pooled(between), "pool", "head")(photo(0))[2] is exact


def test_the_evidence_is_where_the_thing_is():
    """A network that knows red from blue, and a photo with a red corner and a blue one."""
    model = Pooled(classes=2)
    model.features = nn.Sequential(nn.AvgPool2d(8), nn.Conv2d(3, 8, 1, bias=False))
    with torch.no_grad():
        model.features[1].weight.zero_()[[0, 1], [0, 2], 0, 0] = 1.0
        model.head.weight.zero_()[[0, 0, 1, 1], [0, 1, 0, 1]] = torch.tensor([1.0, -1.0, -1.0, 1.0])
    picture = torch.zeros(1, 3, SIDE, SIDE)
    picture[0, 0, :16, -16:] = 1  # red, at the top right
    picture[0, 2, -16:, :16] = 1  # blue, at the bottom left
    _, (red, blue), _ = Explainer(model, "pool", "head")(picture)
    expected = torch.zeros(8, 8)
    expected[:2, -2:], expected[-2:, :2] = 1, -1
    torch.testing.assert_close(red, expected)
    torch.testing.assert_close(blue, -expected)


@pytest.mark.parametrize("chosen", COMPUTED)
def test_every_network_of_the_registry_is_explained(chosen):
    torch.manual_seed(0)
    explain = Explainer(chosen.build(3), chosen.pool, chosen.head)
    scores, maps, exact = explain(photo(0, chosen.size))
    assert (len(scores), len(maps)) == (3, 3)
    assert maps.isfinite().all()
    assert min(maps.shape[1:]) >= 7, "coarser than that, a map shows nothing"
    if exact:
        torch.testing.assert_close(maps.mean((1, 2)) + explain.head.bias, scores, rtol=1e-4, atol=1e-4)


def test_the_network_answers_as_before_and_keeps_no_hook():
    torch.manual_seed(0)
    model = Pooled()
    explain = Explainer(model, "pool", "head")
    before = model(photo(0))
    explain(photo(0))
    torch.testing.assert_close(model(photo(0)), before)
    with pytest.raises(RuntimeError):
        explain(torch.zeros(1, 4, SIDE, SIDE))  # one channel too many
    assert not any(module._forward_pre_hooks for module in model.modules())
