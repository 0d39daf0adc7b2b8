"""The registry of networks: what it says of each is so, and each goes through the same code; and what happens when the
ImageNet weights cannot be had.
"""

import copy
import errno
import http.client
import math
import os
import socket
import urllib.error

import pytest
import torch
from torch import nn
from torchvision.models import get_model_weights

from flowers.errors import FlowersError, UsageError
from flowers.models.backbones import BACKBONES, Backbone, backbone, build_imagenet
from flowers.models.checkpoint import Checkpoint, load_model, read_checkpoint, save_checkpoint
from flowers.models.folding import TOLERANCE, fold_batch_norm
from flowers.recipe import KNOBS
from flowers.training import probe
from flowers.training.learner import Learner, freeze, parameter_groups
from flowers.training.machine import Machine
from flowers.training.team import Team
from tests.conftest import TINY
from tests.networks import COMPUTED, settled

SIDE = 64  # of the photos that the networks look at, where they can
FROM_TORCHVISION = [chosen for chosen in BACKBONES.values() if not chosen.package]
# What they do between the average of the last map and the last layer: a norm, and another layer.
NOT_ONLY_AVERAGED = {"convnext_tiny", "mobilenet_v3_large"}
CPU = torch.device("cpu")


def photos_for(chosen: Backbone) -> torch.Tensor:
    """Always the same, for which the network is ``settled``: what is new to it, so deep a random one blows up."""
    shape = (2, 3, chosen.size, chosen.size) if chosen.one_size else (4, 3, SIDE, SIDE)
    return torch.randn(shape, generator=torch.Generator().manual_seed(0))


@pytest.fixture(scope="module", params=BACKBONES.values(), ids=BACKBONES)
def outlined(request) -> tuple[Backbone, nn.Module]:
    """A network of five classes without numbers: its modules, and the shapes of its weights. Not to be changed."""
    with torch.device("meta"):
        return request.param, request.param.build(5).eval()


@pytest.fixture(scope="module", params=COMPUTED)
def built(request) -> tuple[Backbone, nn.Module]:
    """A network of five classes with random weights, which answers photos of noise differently. Not to be changed."""
    torch.manual_seed(0)
    torch.set_num_threads(1)
    chosen = request.param
    net = chosen.build(5)
    nn.init.normal_(net.get_submodule(chosen.head).weight, std=0.02)  # ViT's is nothing at first
    return chosen, settled(net, photos_for(chosen))


# The facts


def test_a_recipe_can_name_just_these():
    assert KNOBS["backbone"].choices == tuple(BACKBONES)
    assert KNOBS["backbone"].default == next(iter(BACKBONES))
    assert all(backbone(name).name == name for name in BACKBONES)


def test_the_facts_of_a_network_are_so(outlined):
    chosen, net = outlined
    assert sum(parameter.numel() for parameter in net.parameters()) == chosen.parameters
    head = net.get_submodule(chosen.head)
    assert isinstance(head, nn.Linear)
    assert head.out_features == 5
    assert chosen.size <= chosen.resize


@pytest.mark.parametrize("chosen", FROM_TORCHVISION, ids=lambda chosen: chosen.name)
def test_it_says_what_torchvision_says(chosen):
    weights = get_model_weights(chosen.name).DEFAULT
    preset = weights.transforms()
    assert (chosen.size, chosen.resize) == (preset.crop_size[0], preset.resize_size[0])
    assert (chosen.mean, chosen.std) == (tuple(preset.mean), tuple(preset.std))
    assert chosen.weights_file == weights.url.rpartition("/")[2]
    assert chosen.download / 2**20 == pytest.approx(weights.meta["_file_size"], abs=0.00051)


def test_every_weight_is_in_one_stage_or_the_last_layer(outlined):
    chosen, net = outlined
    parts = [*chosen.stages, (chosen.head,)]
    named = dict(net.named_parameters())
    for name in named:
        holding = [part for stage in parts for part in stage if name == part or name.startswith(f"{part}.")]
        assert len(holding) == 1, name
    assert {chosen.stage_of(name) for name in named} == set(range(len(parts)))
    assert len(chosen.stages) == 5, "so that a recipe freezes, and slows down, about as much of each"
    assert {name for stage in parts for name in stage} <= {*named, *dict(net.named_modules())}
    with pytest.raises(ValueError, match="in no stage"):
        chosen.stage_of("features.999")


def test_stages_are_in_the_order_that_a_photo_passes_them(outlined):
    chosen, net = outlined
    seen = []
    hooks = [
        module.register_forward_hook(lambda *_, name=name: seen.append(chosen.stage_of(name)))
        for name, module in net.named_modules()
        if any(name == part or name.startswith(f"{part}.") for stage in chosen.stages for part in stage)
    ]
    with torch.inference_mode():
        net(photos_for(chosen)[:1].to("meta"))
    for hook in hooks:
        hook.remove()
    assert seen == sorted(seen)
    assert set(seen) == set(range(len(chosen.stages)))


def test_what_reaches_the_last_layer_is_the_average_of_the_last_map(built):
    chosen, net = built
    maps, features = [], []
    hooks = [net.get_submodule(chosen.head).register_forward_pre_hook(lambda _, inputs: features.append(inputs[0]))]
    if chosen.pool:
        hooks.append(net.get_submodule(chosen.pool).register_forward_pre_hook(lambda _, inputs: maps.append(inputs[0])))
    photos = photos_for(chosen)
    head = net.get_submodule(chosen.head)
    with torch.inference_mode():
        scores = net(photos)
        for hook in hooks:
            hook.remove()
        assert features[0].shape == (len(photos), head.in_features)
        torch.testing.assert_close(scores, head(features[0]))
    assert scores.std(0).min() > 1e-4, "or all that is compared here would be alike anyway"
    assert bool(chosen.pool) == (chosen.name != "vit_b_16"), "which reads a token of its own"
    if chosen.pool:
        assert maps[0].shape[::2] == (len(photos), SIDE // 32)
        average = maps[0].mean((2, 3))
        alike = average.shape == features[0].shape and torch.allclose(average, features[0], atol=1e-5)
        assert alike == (chosen.name not in NOT_ONLY_AVERAGED)


# The same code for all


def test_its_weights_are_grouped_once_each_and_only_matrices_decay(outlined):
    chosen, net = outlined[0], copy.deepcopy(outlined[1])
    recipe = TINY.replace(frozen=2, stage_decay=0.5, weight_decay=0.1)
    freeze(net, chosen, recipe)
    groups = parameter_groups(net, chosen, recipe)
    grouped = [id(parameter) for group in groups for parameter in group["params"]]
    learning = {name: p for name, p in net.named_parameters() if chosen.stage_of(name) >= 2}
    assert sorted(grouped) == sorted(id(parameter) for parameter in learning.values())
    assert {name for name, p in net.named_parameters() if p.requires_grad} == set(learning)
    decaying = {id(p) for group in groups if group["weight_decay"] for p in group["params"]}
    multiplying = {
        id(p)
        for module in net.modules()
        for name, p in module.named_parameters(recurse=False)
        if isinstance(module, nn.Linear | nn.Conv2d | nn.MultiheadAttention) and name.endswith("weight")
    }
    assert decaying == multiplying & set(grouped)
    assert [group["scale"] for group in groups if group["weight_decay"]] == [0.25, 0.5, 1, 1]


def test_it_learns_what_is_not_frozen(built):
    chosen, net = built[0], copy.deepcopy(built[1])
    recipe = TINY.replace(frozen=2, norms="frozen", ema=0.5, weight_decay=0.1)
    freeze(net, chosen, recipe)
    before = {name: tensor.clone() for name, tensor in net.state_dict().items()}
    learner = Learner(
        net, chosen, recipe, Machine("cpu", "float32", "channels_last", 1, 1.0, 1.0, ""), Team(CPU), steps=20
    )
    learner.begin()
    learner.begin_epoch()
    torch.manual_seed(1)
    photos = learner.ready(photos_for(chosen))
    for _ in range(2):
        loss, right = learner.learn(photos, torch.arange(len(photos)), 1e-4, len(photos))
        assert math.isfinite(loss)
        assert 0 <= right <= len(photos)
        learner.average.n_averaged.fill_(1000)  # later on it keeps 0.9, of which 45 of Swin's 169 places came out wrong
    moved = {name for name, tensor in net.state_dict().items() if not torch.equal(tensor, before[name])}
    assert moved <= set(dict(net.named_parameters())), "no statistics"
    assert {chosen.stage_of(name) for name in moved} == set(range(2, len(chosen.stages) + 1))
    for name, tensor in learner.weights().items():
        if not tensor.is_floating_point():
            assert torch.equal(tensor, before[name]), f"{name} is a number of places, of which there is no average"


def test_it_is_folded_and_answers_as_before(built):
    chosen, net = built
    folded = fold_batch_norm(net, photos_for(chosen)[:1])
    assert not any(isinstance(module, nn.modules.batchnorm._BatchNorm) for module in folded.modules())
    photos = photos_for(chosen)
    with torch.inference_mode():
        torch.testing.assert_close(folded(photos), net(photos), atol=TOLERANCE, rtol=0)


def test_the_probe_is_shown_what_reaches_the_last_layer(built):
    chosen, net = built
    photos = photos_for(chosen)
    folded = fold_batch_norm(net, photos[:1])
    head = folded.get_submodule(chosen.head)
    labels = torch.arange(len(photos))
    ((features, _),) = probe.features(folded, head, [(photos, labels)])
    assert features.shape == (len(photos), head.in_features)
    _, accuracy = probe.fit(copy.deepcopy(head), features.clone(), labels, 0.0)
    assert accuracy == 1


def test_a_checkpoint_of_it_comes_back_in_half_precision(built, tmp_path, monkeypatch):
    chosen, net = built
    monkeypatch.setitem(BACKBONES, chosen.name, chosen)
    save_checkpoint(tmp_path / "c", net.state_dict(), Checkpoint(chosen.name, tuple("abcde"), {}), half=True)
    loaded = load_model(read_checkpoint(tmp_path / "c"))
    assert not loaded.training
    weights = loaded.state_dict()
    for name, tensor in net.state_dict().items():
        kept = weights[name]
        assert kept.dtype == tensor.dtype
        if tensor.ndim > 1 and tensor.is_floating_point():
            torch.testing.assert_close(kept, tensor, rtol=1e-3, atol=1e-5)
        else:
            assert torch.equal(kept, tensor), name


def test_an_unknown_network_is_told_the_known_ones():
    with pytest.raises(UsageError, match="resnet18"):
        backbone("resnet19")


@pytest.fixture
def nothing_cached(monkeypatch, tmp_path):
    monkeypatch.setenv("TORCH_HOME", str(tmp_path))
    return tmp_path


def download_raises(monkeypatch, error: Exception) -> None:
    def download(*_args, **_kwargs):
        assert socket.getdefaulttimeout() is not None, "a silent server would be waited for for ever"
        raise error

    monkeypatch.setattr("torch.hub.download_url_to_file", download)


@pytest.mark.parametrize(
    ("error", "said"),
    [
        (urllib.error.URLError("no route"), "server cannot be reached"),
        (urllib.error.HTTPError("u", 403, "Forbidden", None, None), "server cannot be reached"),
        (TimeoutError(), "server cannot be reached"),
        (ConnectionResetError(), "server cannot be reached"),
        (http.client.IncompleteRead(b""), "server cannot be reached"),
        (OSError(errno.ENOSPC, "No space left on device"), "No space left on device"),
        (RuntimeError("invalid hash value"), "damaged"),
    ],
    ids=lambda value: type(value).__name__,
)
def test_missing_weights_are_told_with_the_alternatives(nothing_cached, monkeypatch, error, said):
    download_raises(monkeypatch, error)
    assert not BACKBONES["resnet18"].has_local_weights()
    with pytest.raises(FlowersError) as caught:
        build_imagenet("resnet18", 5)
    message = str(caught.value)
    for part in (said, "ImageNet weights of ResNet18", "init=scratch", "init=CHECKPOINT"):
        assert part in message
    assert len(message.splitlines()) == 1
    assert socket.getdefaulttimeout() is None


def test_networks_whose_weights_are_here_are_a_way_on(nothing_cached, monkeypatch):
    download_raises(monkeypatch, urllib.error.URLError("no route"))
    folder = nothing_cached / "hub" / "checkpoints"
    folder.mkdir(parents=True)
    for name in ("resnet18", "vit_b_16"):
        (folder / BACKBONES[name].weights_file).touch()
    with pytest.raises(FlowersError, match=r"a network whose weights are here \(backbone=resnet18 or .*vit_b_16\)"):
        build_imagenet("mobilenet_v3_large", 5)


def test_the_weights_of_another_network_are_told(nothing_cached):
    """Under the right name: a file put there by hand."""
    folder = nothing_cached / "hub" / "checkpoints"
    folder.mkdir(parents=True)
    torch.save(BACKBONES["mobilenet_v3_large"].build(1000).state_dict(), folder / BACKBONES["resnet18"].weights_file)
    with pytest.raises(FlowersError, match="is damaged\\): delete it from torch's cache") as caught:
        build_imagenet("resnet18", 5)
    assert len(str(caught.value).splitlines()) == 1


def test_a_damaged_file_of_weights_is_told(nothing_cached):
    folder = nothing_cached / "hub" / "checkpoints"
    folder.mkdir(parents=True)
    (folder / BACKBONES["resnet18"].weights_file).write_bytes(b"half of it")
    assert BACKBONES["resnet18"].has_local_weights()
    with pytest.raises(FlowersError, match="damaged"):
        build_imagenet("resnet18", 5)


def test_nothing_in_a_file_of_weights_is_executed(nothing_cached, tmp_path):
    class Mischief:
        def __reduce__(self):
            return os.mkdir, (str(tmp_path / "executed"),)

    folder = nothing_cached / "hub" / "checkpoints"
    folder.mkdir(parents=True)
    torch.save(Mischief(), folder / BACKBONES["resnet18"].weights_file)
    with pytest.raises(FlowersError, match="damaged"):
        build_imagenet("resnet18", 5)
    assert not (tmp_path / "executed").exists()


def test_weights_that_are_there_are_used_with_a_new_head(nothing_cached):
    folder = nothing_cached / "hub" / "checkpoints"
    folder.mkdir(parents=True)
    for name, head in (("resnet18", "fc."), ("mobilenet_v3_large", "classifier.3.")):
        theirs = BACKBONES[name].build(1000).state_dict()
        torch.save(theirs, folder / BACKBONES[name].weights_file)
        model = build_imagenet(name, 3)
        ours = model.state_dict()
        assert ours.keys() == theirs.keys()
        assert all(torch.equal(ours[key], theirs[key]) for key in theirs if not key.startswith(head))
        assert len(ours[f"{head}weight"]) == len(ours[f"{head}bias"]) == 3
