"""Checkpoints: written whole, found by name, and refused in one sentence when they are not what they say."""

import errno
import json
import os
from dataclasses import replace

import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from flowers import files
from flowers.errors import CheckpointError
from flowers.models import checkpoint as module
from flowers.models.backbones import BACKBONES
from flowers.models.checkpoint import (
    CARD,
    MAX_SHARD,
    Checkpoint,
    find_checkpoint,
    load_model,
    load_weights,
    read_checkpoint,
    save_checkpoint,
    weight_files,
)
from flowers.paths import runs_dir
from tests.damage import damaged
from tests.tiny import RESNET18

pytestmark = pytest.mark.usefixtures("tiny_networks")

CLASSES = ("daisy", "rose", "tulip")
DESCRIPTION = Checkpoint(
    backbone="resnet18",
    classes=CLASSES,
    preprocessing={"size": 64, "resize": 72, "mean": [0.1, 0.2, 0.3], "std": [0.4, 0.5, 0.6]},
    recipe={"epochs": 3},
    metrics={"val_accuracy": 0.1 + 0.2},
    photos={"digest": "0123"},
)


FEW = "50KB"  # in a shard: the tiny network's half needs several


@pytest.fixture(scope="module")
def weights(tiny_networks) -> dict[str, torch.Tensor]:
    torch.manual_seed(0)
    model = BACKBONES["resnet18"].build(len(CLASSES))
    model(torch.rand(2, 3, 64, 64))  # norm statistics of their own
    return model.to(memory_format=torch.channels_last).state_dict()


@pytest.fixture
def folder(tmp_path, weights):
    save_checkpoint(tmp_path / "mine", weights, DESCRIPTION)
    return tmp_path / "mine"


def edit_card(folder, **changes) -> None:
    card = json.loads((folder / CARD).read_text())
    (folder / CARD).write_text(json.dumps({**card, **changes}))


def assert_refused(function, *arguments, said: str) -> None:
    with pytest.raises(CheckpointError) as caught:
        function(*arguments)
    assert said in str(caught.value)
    assert len(str(caught.value).splitlines()) == 1
    assert str(caught.value).endswith(".")


def test_a_checkpoint_comes_back_bit_for_bit(folder, weights):
    read = read_checkpoint(folder)
    assert replace(read, folder=None, created="") == DESCRIPTION
    assert read.name == "mine"
    assert read.created
    loaded = load_weights(folder)
    assert loaded.keys() == weights.keys()
    assert all(
        torch.equal(loaded[name], weights[name]) and loaded[name].dtype == weights[name].dtype for name in weights
    )
    assert sorted(path.name for path in folder.iterdir()) == [CARD, "model.safetensors"]


def test_the_model_answers_as_before(folder, weights):
    model = BACKBONES["resnet18"].build(len(CLASSES))
    model.load_state_dict(weights)
    photos = torch.rand(2, 3, 64, 64)
    with torch.inference_mode():
        torch.testing.assert_close(load_model(read_checkpoint(folder))(photos), model.eval()(photos))


def test_half_precision_in_shards_is_small_and_nearly_the_same(tmp_path, monkeypatch):
    """ResNet18 itself."""
    monkeypatch.setitem(BACKBONES, "resnet18", RESNET18)
    weights = RESNET18.build(len(CLASSES)).state_dict()
    save_checkpoint(tmp_path / "half", weights, DESCRIPTION, half=True, max_shard=MAX_SHARD)
    sizes = [path.stat().st_size for path in (tmp_path / "half").iterdir()]
    assert len(sizes) > 3
    assert max(sizes) < 10_000_000
    assert sum(sizes) < 23_000_000
    loaded = load_weights(tmp_path / "half")
    for name, tensor in weights.items():
        assert loaded[name].dtype == tensor.dtype
        torch.testing.assert_close(loaded[name], tensor, rtol=1e-3, atol=1e-4)
        if tensor.ndim < 2:
            assert torch.equal(loaded[name], tensor), "norm statistics stay whole"
    load_model(read_checkpoint(tmp_path / "half"))


def test_saving_again_replaces_all_of_it(tmp_path, weights):
    save_checkpoint(tmp_path / "c", weights, DESCRIPTION, half=True, max_shard=FEW)
    assert len(list((tmp_path / "c").glob("*.safetensors"))) > 1
    save_checkpoint(tmp_path / "c", weights, DESCRIPTION, extra={"more.txt": "text", "more.bin": b"\x00"})
    assert sorted(path.name for path in (tmp_path / "c").iterdir()) == [
        CARD,
        "model.safetensors",
        "more.bin",
        "more.txt",
    ]


def test_a_full_disk_leaves_the_old_checkpoint(folder, weights, monkeypatch):
    before = {path.name: path.read_bytes() for path in folder.iterdir()}

    def no_room(*_):
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(files.os, "fsync", no_room)
    assert_refused(save_checkpoint, folder, weights, DESCRIPTION, said="No space left on device")
    assert {path.name: path.read_bytes() for path in folder.iterdir()} == before
    assert [path.name for path in folder.parent.iterdir()] == ["mine"]


def test_the_previous_version_is_found_after_a_kill_between_the_renames(folder):
    run = folder.parent / "run"
    run.mkdir()
    folder.rename(run / ".best.old")
    assert find_checkpoint(run).name == "run"
    assert (run / "best").is_dir()
    (run / "best").rename(run / ".best.old")
    assert read_checkpoint(run / "best").classes == CLASSES


# Finding


def test_it_is_found_by_folder_run_and_name(folder, tmp_path, monkeypatch):
    assert find_checkpoint(folder).folder == folder
    assert find_checkpoint(str(folder)).folder == folder
    monkeypatch.chdir(tmp_path)
    assert find_checkpoint("mine").classes == CLASSES
    assert find_checkpoint("./mine").classes == CLASSES

    run = runs_dir() / "2026-01-31-report"
    run.mkdir(parents=True)
    folder.rename(run / "best")
    assert find_checkpoint("2026-01-31-report").name == "2026-01-31-report"
    assert find_checkpoint(run).folder == run / "best"

    monkeypatch.setattr(module, "BUNDLED_CHECKPOINTS", tmp_path / "bundled")
    (tmp_path / "bundled").mkdir()
    (run / "best").rename(tmp_path / "bundled" / "shipped")
    assert find_checkpoint("shipped").name == "shipped"
    assert module.bundled_checkpoints() == ["shipped"]
    assert_refused(find_checkpoint, "shiped", said="a bundled one (shipped)")


def test_of_the_bundled_ones_the_default_comes_first(folder, monkeypatch):
    bundled = folder.parent
    monkeypatch.setattr(module, "BUNDLED_CHECKPOINTS", bundled)
    for name in ("zinnia", module.DEFAULT_CHECKPOINT, "aster"):
        (bundled / name).mkdir()
        (bundled / name / CARD).touch()
    assert module.bundled_checkpoints() == [module.DEFAULT_CHECKPOINT, "aster", "mine", "zinnia"]


@pytest.mark.parametrize("name", ["absent", "/absent", "../absent", "", ".", "a\0b", "x" * 5000, "two\nlines"])
def test_what_is_not_there_is_told(name, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert_refused(find_checkpoint, name, said="There is no checkpoint")


def test_a_run_without_a_checkpoint_is_told_so(tmp_path):
    (tmp_path / "recipe.json").write_text("{}")
    assert_refused(find_checkpoint, tmp_path, said="has no checkpoint yet")


# Refusing


@pytest.mark.parametrize(
    "content",
    [
        "",
        "{",
        "[]",
        "null",
        "5",
        "{}",
        '{"format": 1}',
        '{"format": "one"}',
        "\x00\x01",
        '{"format": 1, "backbone": 3,',
        "[" * 100_000,
        '{"format": 1, "backbone": "resnet18", "preprocessing": {}, "classes": ["a", "b"], "metrics": ' + "[" * 100_000,
        "\udcff",
    ],
)
def test_a_damaged_card_is_told(folder, content):
    (folder / CARD).write_bytes(content.encode("utf-8", "surrogateescape"))
    assert_refused(read_checkpoint, folder, said="damaged")


@given(data=st.data())
@settings(max_examples=5 * settings.default.max_examples, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_whatever_a_card_holds_it_is_read_or_refused(folder, data):
    whole = (folder / CARD).read_bytes()
    try:
        (folder / CARD).write_bytes(content := data.draw(damaged(whole)))
        checkpoint, card = read_checkpoint(folder), json.loads(content)
        assert isinstance(card["classes"], list) and all(isinstance(name, str) for name in card["classes"])
        assert all(isinstance(card.get(name, {}), dict) for name in ("preprocessing", "metrics", "photos", "recipe"))
        assert len(set(checkpoint.classes)) == len(card["classes"]) > 0
        json.dumps(vars(checkpoint), ensure_ascii=False, default=str).encode()
        assert checkpoint.accuracy is None or 0 <= checkpoint.accuracy <= 1
        assert checkpoint.folds is not None
    except CheckpointError as error:
        assert str(error).endswith(".")
    finally:
        (folder / CARD).write_bytes(whole)


def test_half_a_character_in_a_card_is_shown_as_another(folder):
    edit_card(folder, classes=["daisy", "\ud800", "🌹"], recipe={"init": "/photos/\udcff"})
    checkpoint = read_checkpoint(folder)
    assert checkpoint.classes == ("daisy", "?", "🌹") and checkpoint.recipe == {"init": "/photos/?"}


@pytest.mark.parametrize(
    "told", ["0.9", None, True, [0.9], {}, float("nan"), float("inf"), -0.5, 90, 10**400], ids="{!s:.9}".format
)
def test_an_accuracy_that_is_none_is_not_told(folder, told):
    edit_card(folder, metrics={"val_accuracy": told})
    assert read_checkpoint(folder).accuracy is None


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"format": 2}, "newer version of flowers"),
        ({"backbone": "resnet999"}, "'resnet999', which this version does not know"),
        ({"backbone": None}, "does not know"),
        ({"classes": 5}, "damaged"),
        ({"classes": "rose"}, "damaged"),
        ({"classes": []}, "damaged"),
        ({"classes": ["rose", 5]}, "damaged"),
        ({"classes": ["rose", "rose"]}, "damaged"),
        ({"classes": {"rose": 1, "tulip": 2}}, "damaged"),
        ({"metrics": [["val_accuracy", 0.9]]}, "damaged"),
        ({"photos": None}, "damaged"),
        ({"calibration": 5}, "damaged"),
        ({"preprocessing": 5}, "damaged"),
        ({"preprocessing": ["ab", "cd", 3]}, "damaged"),
    ],
)
def test_a_card_that_asks_for_too_much_is_told(folder, changes, said):
    edit_card(folder, **changes)
    assert_refused(read_checkpoint, folder, said=said)


def test_a_folder_or_file_that_is_no_checkpoint_is_told(tmp_path):
    assert_refused(read_checkpoint, tmp_path, said="is not a checkpoint")
    (tmp_path / "file").touch()
    assert_refused(find_checkpoint, tmp_path / "file", said="There is no checkpoint")


@pytest.mark.parametrize("damage", ["missing", "empty", "cut", "garbage", "folder"])
def test_damaged_weights_are_told(folder, damage):
    path = folder / "model.safetensors"
    content = path.read_bytes()
    path.unlink()
    if damage == "folder":
        path.mkdir()
    elif damage != "missing":
        path.write_bytes({"empty": b"", "cut": content[: len(content) // 2], "garbage": b"\xff" * 1000}[damage])
    assert_refused(load_model, read_checkpoint(folder), said="damaged or incomplete")


def test_weights_of_another_shape_are_told(folder):
    edit_card(folder, classes=["daisy", "rose"])
    assert_refused(load_model, read_checkpoint(folder), said="do not fit resnet18 with 2 classes")


@pytest.mark.parametrize(
    "name",
    ["efficientnet_lite0", *(pytest.param(name, marks=pytest.mark.thorough) for name in ("resnet50", "vit_b_16"))],
)
def test_weights_of_another_network_are_told(folder, name):
    edit_card(folder, backbone=name)
    assert_refused(load_model, read_checkpoint(folder), said=f"do not fit {name} with 3 classes")


def test_a_missing_or_damaged_shard_is_told(tmp_path, weights):
    folder = tmp_path / "c"
    save_checkpoint(folder, weights, DESCRIPTION, half=True, max_shard=FEW)
    shard = sorted(folder.glob("*.safetensors"))[1]
    content = shard.read_bytes()
    shard.write_bytes(content[: len(content) // 2])
    assert_refused(load_model, read_checkpoint(folder), said="damaged or incomplete")
    shard.unlink()
    assert_refused(load_model, read_checkpoint(folder), said="damaged or incomplete")
    index = folder / "model.safetensors.index.json"
    whole = json.loads(index.read_text())
    whole["weight_map"] = {k: v for k, v in whole["weight_map"].items() if v != shard.name}
    index.write_text(json.dumps(whole))
    assert_refused(load_model, read_checkpoint(folder), said="do not fit")


@pytest.mark.parametrize(
    "outside", ["../mine/model.safetensors", "..", "sub/model.safetensors", "/etc/passwd", "", 5, None, ["x"]]
)
def test_an_index_may_not_reach_outside_its_folder(folder, outside):
    (folder / "sub").mkdir()
    (folder / "sub" / "model.safetensors").write_bytes((folder / "model.safetensors").read_bytes())
    (folder / "model.safetensors.index.json").write_text(json.dumps({"weight_map": {"fc.weight": outside}}))
    assert_refused(load_weights, folder, said="damaged or incomplete")


@pytest.mark.parametrize("index", ["", "[" * 100_000, "[]", "null", "{}", '{"weight_map": []}', '{"weight_map": 5}'])
def test_a_damaged_index_is_told(folder, index):
    (folder / "model.safetensors.index.json").write_text(index)
    for asked in (load_weights, weight_files):
        assert_refused(asked, folder, said="damaged or incomplete")


@pytest.mark.parametrize(
    ("told", "accuracy"), [(0, 0.0), (0.5, 0.5), (1, 1.0), (1.5, None), (-0.1, None), ("0.5", None), (True, None)]
)
def test_an_accuracy_is_a_share_or_not_told(told, accuracy):
    """A card may say anything."""
    assert Checkpoint("resnet18", ("a", "b"), {}, metrics={"val_accuracy": told}).accuracy == accuracy


@pytest.mark.parametrize(("told", "judged"), [(60, 60), (0, None), (-1, None), (1.5, None), (True, None), (None, None)])
def test_of_how_many_photos_that_is_is_a_count_or_not_told(told, judged):
    assert Checkpoint("resnet18", ("a", "b"), {}, metrics={"val_photos": told}).judged == judged
