"""Folding batch norms away changes no answer."""

import copy

import pytest
import torch
from torch import nn

from flowers.models.folding import fold_batch_norm
from tests.networks import build_trained, random_norms


def norms_in(model: nn.Module) -> int:
    return sum(isinstance(module, nn.BatchNorm2d) for module in model.modules())


@pytest.fixture(scope="module")
def noise() -> torch.Tensor:
    return torch.randn(4, 3, 64, 64, generator=torch.Generator().manual_seed(2))


@pytest.mark.parametrize("name", ["resnet18", "mobilenet_v3_small", "shufflenet_v2_x0_5"])
def test_folding_removes_the_norms_and_changes_no_answer(name, noise):
    model = build_trained(name)
    before = copy.deepcopy(model.state_dict())
    folded = fold_batch_norm(model, noise[:1])
    assert norms_in(model) > 0
    assert norms_in(folded) == 0
    with torch.inference_mode():
        torch.testing.assert_close(folded(noise).softmax(1), model(noise).softmax(1), atol=1e-4, rtol=0)
    assert all(torch.equal(before[key], value) for key, value in model.state_dict().items())


def test_a_norm_before_its_convolution_stays(noise):
    model = build_trained("densenet121")  # norm, ReLU, convolution; but also convolutions that are followed by a norm
    folded = fold_batch_norm(model, noise[:1])
    assert 0 < norms_in(folded) < norms_in(model)
    with torch.inference_mode():
        torch.testing.assert_close(folded(noise).softmax(1), model(noise).softmax(1), atol=1e-4, rtol=0)


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
