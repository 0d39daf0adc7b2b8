"""A checkpoint that comes back: as it was, or with one sentence that says why not."""

import errno
import io
import json
import re
import struct
import zipfile

import numpy as np
import pytest
import torch
from safetensors.torch import load_file, save_file

from flowers.classifier import Classifier
from flowers.data.garden import render_flower
from flowers.errors import ShareError
from flowers.models.checkpoint import CARD, find_checkpoint
from flowers.paths import DEFAULT_CHECKPOINT, runs_dir
from flowers.share import unpack as module
from flowers.share.bundle import write_zip
from flowers.share.unpack import bring_in, unpack
from flowers.training.run import list_runs

PHOTO = render_flower("tulip", 4, 256)


@pytest.fixture(scope="module")
def packed(tmp_path_factory):
    """The bundled checkpoint as a zip."""
    file = tmp_path_factory.mktemp("packed") / "mine.zip"
    write_zip(find_checkpoint(DEFAULT_CHECKPOINT), file)
    return file


@pytest.fixture
def changed(packed, tmp_path):
    """``changed(name=content)`` is that zip with other files in it: None leaves one out."""

    def change(files: dict[str, bytes | None], home: str = DEFAULT_CHECKPOINT):
        file = tmp_path / "changed.zip"
        with zipfile.ZipFile(packed) as old, zipfile.ZipFile(file, "w") as new:
            kept = {entry.filename: old.read(entry) for entry in old.infolist()}
            kept |= {f"{home}/{name}": content for name, content in files.items()}
            for name, content in kept.items():
                if content is not None:
                    new.writestr(name, content)
        return file

    return change


def card(packed, **changes) -> bytes:
    with zipfile.ZipFile(packed) as archive:
        told = json.loads(archive.read(f"{DEFAULT_CHECKPOINT}/{CARD}"))
    return json.dumps(told | changes).encode()


def weights(packed, tmp_path, change) -> bytes:
    """The checkpoint's weights after ``change(weights)``."""
    (tmp_path / "old.safetensors").write_bytes(zipfile.ZipFile(packed).read(f"{DEFAULT_CHECKPOINT}/model.safetensors"))
    tensors = load_file(tmp_path / "old.safetensors")
    change(tensors)
    save_file(tensors, tmp_path / "new.safetensors", {"format": "pt"})
    return (tmp_path / "new.safetensors").read_bytes()


# As it was


def test_what_left_comes_back_and_leaves_again_the_same(packed, tmp_path):
    run = bring_in(packed)
    before, after = find_checkpoint(DEFAULT_CHECKPOINT), find_checkpoint(run.name)
    assert (after.classes, after.created, after.metrics) == (before.classes, before.created, before.metrics)
    answers = [Classifier(one, engine="eager").classify(PHOTO) for one in (before, after)]
    assert answers[0].confidences == answers[1].confidences
    assert answers[0].familiarity == answers[1].familiarity
    write_zip(after, tmp_path / "again.zip")
    first, second = (
        {entry.filename.rsplit("/")[-1]: entry.CRC for entry in zipfile.ZipFile(file).infolist()}
        for file in (packed, tmp_path / "again.zip")
    )
    assert {name: crc for name, crc in first.items() if name != "README.md"} == {
        name: crc for name, crc in second.items() if name != "README.md"
    }


def test_it_is_a_run_that_is_done_and_private_to_its_visitor(packed):
    run = bring_in(packed, "a" * 32)
    assert run in list_runs()
    assert run.status().state == "done" and run.has_checkpoint()
    assert (run.visitor, run.preset) == ("a" * 32, "imported")
    assert run.recipe.backbone == "efficientnet_lite0"
    assert run.title.startswith("daisy, dandelion, rose +2 · ")
    assert re.fullmatch(r".*-imported-[0-9a-f]{12}", run.name)  # which nobody guesses
    run.delete()
    assert run not in list_runs()


def test_a_zip_that_was_packed_anew_with_litter_comes_in_too(changed):
    file = changed({".DS_Store": b"x", "notes.txt": b"mine", "network.onnx": b"x", "sub/other.txt": b"x"})
    assert bring_in(file).has_checkpoint()


# Why not


def refused(file) -> str:
    with pytest.raises(ShareError) as error:
        bring_in(file)
    said = str(error.value)
    assert said.startswith(file.name) or f"checkpoint in {file.name}" in said
    assert said.endswith(".") and "\n" not in said and "/tmp" not in said
    assert not list_runs()
    assert not list(runs_dir().glob(".*")) if runs_dir().exists() else True
    return said


@pytest.mark.parametrize(
    ("names", "what"),
    [
        (["rose/1.jpg", "tulip/2.jpg"], "photos"), (["index.html", "network.onnx"], "a page to take along"),
        (["model.json", "weights.bin"], "a model of another program"), (["export.pkl"], "a pickle"),
        (["model_unquant.tflite", "labels.txt"], "another program"), ([], "no checkpoint"),
        (["a.txt"], "no checkpoint"),
    ],
)  # fmt: skip
def test_another_zip_is_told_by_what_it_is(tmp_path, names, what):
    file = tmp_path / "other.zip"
    with zipfile.ZipFile(file, "w") as archive:
        for name in names:
            archive.writestr(name, b"x")
    assert what in refused(file)


def test_what_is_no_zip_or_half_of_one(packed, tmp_path):
    whole = packed.read_bytes()
    flipped = bytearray(whole)
    flipped[len(whole) // 2] ^= 1
    for content in (b"", b"no zip", whole[: len(whole) // 2], bytes(flipped)):
        file = tmp_path / "broken.zip"
        file.write_bytes(content)
        assert "is no zip, or is damaged" in refused(file)


def test_a_pickle_beside_the_weights_is_not_taken(changed):
    assert "pickle" in refused(changed({"model.pt": b"x"}))


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"classes": [f"c{n}" for n in range(2000)]}, "2,000 classes"), ({"classes": []}, "damaged"),
        ({"classes": ["a", "b\u202e"]}, "a class of a name"), ({"classes": ["a", "x" * 300]}, "a class of a name"),
        ({"backbone": "another"}, "'another'"), ({"format": 99}, "newer version"), ({"created": "<b>"}, "at no time"),
        ({"classes": ["a", "b"]}, "a calibration"), ({"classes": ["a", "b"], "calibration": {}}, "do not fit"),
        ({"backbone": "resnet18"}, "do not fit"),
        ({"preprocessing": {"size": 4096, "resize": 4096}}, "more than 1024 pixels"),
        ({"preprocessing": {"size": "large"}}, "how to prepare photos"),
        ({"preprocessing": {"size": -1}}, "how to prepare photos"),
        ({"calibration": {"temperature": 0}}, "a calibration"),
        ({"calibration": {"temperature": "hot", "fitted_by": ""}}, "a calibration"),
    ],
)  # fmt: skip
def test_a_card_that_cannot_be_true(changed, packed, change, said):
    assert said in refused(changed({CARD: card(packed, **change)}))


def test_a_recipe_that_cannot_be_costs_nothing(changed, packed):
    run = bring_in(changed({CARD: card(packed, recipe={"epochs": "many", "evil": 1})}))
    assert run.recipe.backbone == "efficientnet_lite0"


def test_weights_that_are_no_numbers(changed, packed, tmp_path):
    def spoil(tensors):
        next(one for one in tensors.values() if one.ndim > 1).view(-1)[7] = torch.nan

    assert "no numbers" in refused(changed({"model.safetensors": weights(packed, tmp_path, spoil)}))


@pytest.mark.parametrize("kind", ["missing", "cut off", "header", "pickle inside", "more"])
def test_weights_that_are_not_those(changed, packed, tmp_path, kind):
    whole = zipfile.ZipFile(packed).read(f"{DEFAULT_CHECKPOINT}/model.safetensors")
    content = {
        "missing": None, "cut off": whole[:5000], "header": struct.pack("<Q", 2**60) + whole[8:],
        "pickle inside": b"\x80\x04cposix\nsystem\n(S'true'\ntR.",
        "more": weights(packed, tmp_path, lambda tensors: tensors.update(more=torch.zeros(20_000_000))),
    }[kind]  # fmt: skip
    said = refused(changed({"model.safetensors": content}))
    assert "weights" in said


@pytest.mark.parametrize("name", [f"../{CARD}", f"/{CARD}", f"a/../../{CARD}", f"C:\\{CARD}"])
def test_no_name_leads_out_of_the_folder(packed, tmp_path, name):
    file = tmp_path / "slip.zip"
    with zipfile.ZipFile(file, "w") as archive:
        archive.writestr(name, card(packed))
    (tmp_path / "to").mkdir()
    with pytest.raises(ShareError):
        unpack(file, tmp_path / "to")
    assert {path.name for path in tmp_path.iterdir()} == {"slip.zip", "to"}


def test_two_checkpoints_twice_a_file_and_links(changed, packed, tmp_path):
    assert "2 checkpoints" in refused(changed({f"sub/{CARD}": card(packed)}))
    file = tmp_path / "twice.zip"
    with zipfile.ZipFile(file, "w") as archive:
        link = zipfile.ZipInfo(CARD)
        link.external_attr = 0o120777 << 16
        archive.writestr(link, "/etc/passwd")
    assert "a link" in refused(file)
    with pytest.warns(UserWarning), zipfile.ZipFile(file, "w") as archive:
        archive.writestr(CARD, card(packed))
        archive.writestr(CARD, b"{}")
    assert "2 checkpoints" in refused(file)


def test_a_password_too_many_files_and_too_large_ones(packed, changed, tmp_path, monkeypatch):
    locked = bytearray(packed.read_bytes())
    at = -1
    while (at := locked.find(b"PK\x01\x02", at + 1)) >= 0:
        locked[at + 8] |= 1  # the flag of an encrypted file, in the zip's list
    (tmp_path / "locked.zip").write_bytes(bytes(locked))
    assert "is encrypted" in refused(tmp_path / "locked.zip")
    with pytest.warns(UserWarning), zipfile.ZipFile(tmp_path / "twice.zip", "w") as archive:
        archive.writestr(CARD, card(packed))
        archive.writestr("model.safetensors", b"1")
        archive.writestr("model.safetensors", b"2")
    assert "a file twice" in refused(tmp_path / "twice.zip")
    monkeypatch.setattr(module, "MAX_ALL", 1000)
    assert "larger than any checkpoint" in refused(packed)
    monkeypatch.setattr(module, "MAX_ENTRIES", 1)
    assert "no checkpoint has more than 1" in refused(packed)


def test_a_disk_that_takes_nothing_is_a_sentence_and_leaves_nothing(packed, monkeypatch):
    def full(*_):
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(module.shutil, "move", full)
    assert "could not be kept (No space left on device)" in refused(packed)


def test_a_bomb_is_not_unpacked(packed, tmp_path):
    file = tmp_path / "bomb.zip"
    with zipfile.ZipFile(file, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr(CARD, card(packed))
        with archive.open("model.safetensors", "w", force_zip64=True) as entry:
            for _ in range(300):
                entry.write(bytes(1 << 20))
    assert "more weights than" in refused(file)
    crafted = io.BytesIO()
    with zipfile.ZipFile(crafted, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr(CARD, np.zeros(50_000_000, np.uint8).tobytes())
    (tmp_path / "json.zip").write_bytes(crafted.getvalue())
    assert "larger than" in refused(tmp_path / "json.zip")
