"""The last layer alone: what reaches it, and the best it can be."""

import numpy as np
import pytest
import torch
from sklearn.linear_model import LogisticRegression
from sklearn.preprocessing import StandardScaler
from torch import nn
from torch.nn import functional

from flowers.training import probe

CLASSES, WIDTH, PHOTOS = 5, 12, 150


@pytest.fixture
def features() -> tuple[torch.Tensor, torch.Tensor]:
    """Overlapping clouds of points, each axis with a mean and a spread of its own; and their classes."""
    rng = torch.Generator().manual_seed(0)
    labels = torch.randint(0, CLASSES, (PHOTOS,), generator=rng)
    centres = torch.randn(CLASSES, WIDTH, generator=rng)
    points = centres[labels] + 1.5 * torch.randn(PHOTOS, WIDTH, generator=rng)
    spread = torch.logspace(-0.5, 0.5, WIDTH)
    return points * spread + 3 * torch.randn(WIDTH, generator=rng), labels


def fitted(inputs: torch.Tensor, labels: torch.Tensor, smoothing: float = 0.0) -> tuple[nn.Linear, float, float]:
    head = nn.Linear(inputs.shape[1], CLASSES)
    return head, *probe.fit(head, inputs, labels, smoothing)


# The fit


def test_it_is_scikit_learns_logistic_regression(features):
    """Whose C weighs the sum of losses, where ours weighs the squares against their mean."""
    inputs, labels = features
    head, loss, accuracy = fitted(inputs, labels)
    scaled = StandardScaler().fit_transform(inputs.double().numpy())
    oracle = LogisticRegression(C=1 / (probe.PENALTY * PHOTOS), tol=1e-10, max_iter=10_000).fit(scaled, labels)
    expected = oracle.predict_proba(scaled)
    ours = head(inputs).softmax(1).detach().numpy()
    assert np.abs(ours - expected).max() < 2e-3
    assert accuracy == pytest.approx((ours.argmax(1) == labels.numpy()).mean())
    assert loss == pytest.approx(-np.log(ours[np.arange(PHOTOS), labels]).mean(), rel=1e-4)


def test_a_feature_that_hardly_changes_gets_no_huge_weight(features):
    """On a few photos such a feature may tell the classes apart by chance; on others it blows the scores up."""
    inputs, labels = features
    by_chance = 1e-5 * (labels + torch.rand(PHOTOS, generator=torch.Generator().manual_seed(1)))
    head, _, _ = fitted(torch.cat([inputs, by_chance[:, None]], 1), labels)
    assert head.weight[:, -1].abs().max() < head.weight.abs().max()


@pytest.mark.parametrize("smoothing", [0.0, 0.1])
def test_no_better_layer_is_near(features, smoothing):
    """The gradient of what it minimises is nothing there."""
    inputs, labels = features
    head, loss, _ = fitted(inputs, labels, smoothing)
    deviation = inputs.std(0, correction=0)
    cost = functional.cross_entropy(head(inputs), labels, label_smoothing=smoothing)
    assert cost.item() == pytest.approx(loss, rel=1e-5)
    (cost + probe.PENALTY / 2 * (head.weight * deviation).square().sum()).backward()
    assert (head.weight.grad / deviation).abs().max() < 2e-3
    assert head.bias.grad.abs().max() < 2e-3


def test_smoothing_makes_it_less_sure(features):
    sure, unsure = (fitted(*features, smoothing)[0](features[0]).softmax(1).max(1)[0] for smoothing in (0, 0.3))
    assert unsure.mean() < sure.mean() - 0.05


def test_what_was_there_before_does_not_matter(features):
    inputs, labels = features
    heads = [nn.Linear(WIDTH, CLASSES) for _ in range(2)]
    with torch.no_grad():
        heads[1].weight.fill_(1e6)
    for head in heads:
        probe.fit(head, inputs, labels, 0.0)
    assert torch.equal(heads[0].weight, heads[1].weight)
    assert torch.equal(heads[0].bias, heads[1].bias)


@pytest.mark.parametrize("factor", [1e-3, 1e3])
def test_the_scale_and_offset_of_features_do_not_matter(features, factor):
    inputs, labels = features
    moved = factor * inputs + 5 * factor
    one, other = fitted(inputs, labels), fitted(moved, labels)
    assert one[1:] == pytest.approx(other[1:], abs=2e-3)
    torch.testing.assert_close(one[0](inputs).softmax(1), other[0](moved).softmax(1), atol=5e-3, rtol=0)


def test_features_that_say_nothing_do_no_harm(features):
    """As those of units that are never active: no spread to divide by."""
    inputs, labels = features
    head, loss, accuracy = fitted(torch.cat([inputs, torch.zeros(PHOTOS, 1), torch.ones(PHOTOS, 1)], 1), labels)
    assert all(parameter.isfinite().all() for parameter in head.parameters())
    assert (loss, accuracy) == pytest.approx(fitted(inputs, labels)[1:], abs=1e-3)


def test_classes_without_overlap_are_told_apart_and_the_weights_stay_finite():
    inputs = torch.eye(CLASSES).repeat(4, 1)
    head, loss, accuracy = fitted(inputs, torch.arange(CLASSES).repeat(4))
    assert accuracy == 1
    assert 0 < loss < 1
    assert head.weight.abs().max() < 100


# What reaches the last layer


class Net(nn.Module):
    """Something with a last layer and a layer of chance, which is off unless it trains."""

    def __init__(self) -> None:
        super().__init__()
        self.body, self.chance, self.head = nn.Linear(6, 4), nn.Dropout(0.5), nn.Linear(4, CLASSES)

    def forward(self, photos: torch.Tensor) -> torch.Tensor:
        return self.head(self.chance(self.body(photos)))


def test_features_are_what_the_last_layer_is_given():
    net = Net().eval()
    batches = [(torch.rand(n, 6), torch.arange(n)) for n in (3, 1, 4)]
    seen = list(probe.features(net, net.head, batches))
    assert len(seen) == len(batches)
    for (features, labels), (photos, truth) in zip(seen, batches, strict=True):
        assert torch.equal(labels, truth)
        assert torch.equal(features, net.body(photos))
        assert not features.requires_grad


def test_features_come_in_full_precision():
    net = Net().eval()

    def look(photos: torch.Tensor) -> None:
        with torch.autocast("cpu", torch.bfloat16):
            net(photos)

    ((features, _),) = probe.features(look, net.head, [(torch.rand(3, 6), torch.arange(3))])
    assert features.dtype == torch.float32


def test_nothing_is_left_on_the_network_or_in_force_between_batches():
    """Also when the reader leaves early."""
    net = Net().eval()
    reading = probe.features(net, net.head, [(torch.rand(2, 6), torch.arange(2))] * 3)
    next(reading)
    assert torch.is_grad_enabled()
    assert not torch.is_inference_mode_enabled()
    assert net.head._forward_pre_hooks
    reading.close()
    assert not net.head._forward_pre_hooks
