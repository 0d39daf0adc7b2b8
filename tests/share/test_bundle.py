"""A checkpoint that leaves this machine: it works elsewhere, and tells nothing of here."""

import json
import shutil
import zipfile

import numpy as np
import pytest
from PIL import Image

from flowers.classifier import Classifier
from flowers.errors import CheckpointError
from flowers.models.checkpoint import find_checkpoint, read_checkpoint
from flowers.recipe import Recipe
from flowers.share import bundle
from flowers.share.bundle import file_name, write_folder, write_zip


def test_an_unpacked_zip_answers_as_before(whole, tmp_path):
    write_zip(whole, tmp_path / "mine.zip")
    assert [path.name for path in tmp_path.iterdir()] == ["mine.zip"]
    with zipfile.ZipFile(tmp_path / "mine.zip") as archive:
        assert {name.partition("/")[0] for name in archive.namelist()} == {"2026-01-31-mine"}
        archive.extractall(tmp_path)
    found = find_checkpoint(tmp_path / "2026-01-31-mine")
    assert found.name == whole.name
    assert Recipe.from_dict(found.recipe).init == "earlier"
    photo = Image.fromarray(np.random.default_rng(0).integers(0, 256, (80, 90, 3), dtype=np.uint8))
    here, there = (Classifier(one, engine="eager").classify(photo) for one in (whole, found))
    assert there.confidences == here.confidences
    assert there.familiarity == here.familiarity


def test_it_holds_the_card_and_nothing_of_the_machine(whole, tmp_path):
    folder = tmp_path / "out"
    folder.mkdir()
    write_folder(whole, folder)
    assert {path.name for path in folder.iterdir()} == {
        "README.md", "checkpoint.json", "model.safetensors", "calibration.safetensors"
    }  # fmt: skip
    for path in folder.glob("*.[jm][sd]*"):
        assert "/home" not in path.read_text(), path.name
        assert str(tmp_path) not in path.read_text(), path.name
    card = json.loads((folder / "checkpoint.json").read_text())
    assert card["classes"] == list(whole.classes)


def test_a_bundled_checkpoint_in_shards_comes_out_whole(tmp_path):
    original = find_checkpoint("flowers-resnet18")
    write_zip(original, tmp_path / "c.zip")
    with zipfile.ZipFile(tmp_path / "c.zip") as archive:
        archive.extractall(tmp_path)
        assert archive.testzip() is None
    names = {path.name for path in original.folder.iterdir()}
    assert {path.name for path in (tmp_path / "flowers-resnet18").iterdir()} == names
    assert read_checkpoint(tmp_path / "flowers-resnet18").metrics == original.metrics


def test_files_of_resuming_stay_here(whole, tmp_path):
    folder = tmp_path / "run" / "last"
    shutil.copytree(whole.folder, folder)
    (folder / "training.json").write_text("{}")
    out = tmp_path / "out"
    out.mkdir()
    write_folder(read_checkpoint(folder), out)
    assert not (out / "training.json").exists()


def test_what_is_damaged_or_replaced_is_not_handed_on(whole, tmp_path, monkeypatch):
    folder = tmp_path / "c"
    shutil.copytree(whole.folder, folder)
    checkpoint = read_checkpoint(folder)
    (folder / "model.safetensors").rename(tmp_path / "kept")
    with pytest.raises(CheckpointError, match="damaged or incomplete"):
        write_zip(checkpoint, tmp_path / "c.zip")
    (tmp_path / "kept").rename(folder / "model.safetensors")
    card = json.loads((folder / "checkpoint.json").read_text())
    (folder / "checkpoint.json").write_text(json.dumps({**card, "created": "2027-01-01T00:00:00Z"}))
    with pytest.raises(CheckpointError, match=r"just been replaced by a newer one: try again\.$"):
        write_zip(checkpoint, tmp_path / "c.zip")
    assert {path.name for path in tmp_path.iterdir()} == {"c"}


def test_a_name_is_fit_for_files_and_for_the_hub(whole, tmp_path):
    folder = shutil.copytree(whole.folder, tmp_path / "Mein Löwenzahn: 1/2".replace("/", "∕"))
    assert file_name(read_checkpoint(folder)) == "Mein-L-wenzahn-1-2"
    assert bundle.file_name(whole) == "2026-01-31-mine"
