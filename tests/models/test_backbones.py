"""The registry of networks; and what happens when the ImageNet weights cannot be had."""

import errno
import http.client
import os
import socket
import urllib.error

import pytest
import torch

from flowers.errors import FlowersError, UsageError
from flowers.models.backbones import BACKBONES, backbone, build_imagenet


@pytest.mark.parametrize("chosen", BACKBONES.values(), ids=BACKBONES)
def test_the_facts_of_a_network_are_so(chosen):
    model = chosen.build(5)
    assert sum(parameter.numel() for parameter in model.parameters()) == chosen.parameters
    assert BACKBONES[chosen.name] is chosen
    head = model.get_submodule(chosen.head)
    assert head.out_features == 5
    assert chosen.size <= chosen.resize
    with torch.inference_mode():
        assert model.eval()(torch.zeros(2, 3, chosen.size, chosen.size)).shape == (2, 5)


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
    theirs = BACKBONES["resnet18"].build(1000).state_dict()
    torch.save(theirs, folder / BACKBONES["resnet18"].weights_file)
    model = build_imagenet("resnet18", 3)
    assert model.fc.out_features == 3
    ours = model.state_dict()
    assert all(torch.equal(ours[name], theirs[name]) for name in theirs if not name.startswith("fc."))
