"""One ONNX file that answers as PyTorch does, without anything of flowers."""

import contextlib
import dataclasses
import io
import json
import re
import shutil
import subprocess
import sys
from types import SimpleNamespace

import numpy as np
import onnxruntime
import pytest

from flowers.classifier import Classifier
from flowers.data.garden import render_flower
from flowers.engines import trial_photos
from flowers.errors import ShareError
from flowers.models.calibration import UNFAMILIAR
from flowers.share import onnx


@pytest.fixture(scope="module")
def classifier(whole):
    return Classifier(whole, engine="eager")


def run_here(args, **_):
    """What the process that exports would do and say, done here."""
    assert args[:3] == [sys.executable, "-m", "flowers.share.onnx"]
    with contextlib.redirect_stdout(io.StringIO()) as said:
        onnx.main(args[3:])
    return SimpleNamespace(stdout=said.getvalue())


@pytest.fixture(scope="module")
def exported(whole, tmp_path_factory):
    file = tmp_path_factory.mktemp("onnx") / "mine.onnx"
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(onnx, "subprocess", SimpleNamespace(run=run_here, TimeoutExpired=subprocess.TimeoutExpired))
        patch.setattr(onnx, "give_way", lambda niceness: None)  # this process could not take it back
        return file, onnx.export_apart(whole, file)


def ask(file, pixels):
    return onnxruntime.InferenceSession(file).run(None, {"pixels": pixels})


def test_it_answers_as_pytorch_for_any_number_of_photos(exported, classifier):
    file, parity = exported
    assert parity.photos == onnx.PHOTOS
    assert 0 <= parity.difference <= 1e-3
    assert classifier.calibration.neighbours.energy_weight > 0
    for count in (1, 2, 7):
        pixels = trial_photos(64, 50)[-count:]  # others than it learned from
        confidences, familiarity = ask(file, pixels)
        scores, features = classifier.network.look(pixels)
        np.testing.assert_allclose(confidences, classifier.calibration.confidences(scores), atol=1e-4)
        np.testing.assert_allclose(confidences.sum(1), 1, atol=1e-5)
        np.testing.assert_allclose(familiarity, classifier.calibration.familiarity(features, scores), atol=1e-2)


@pytest.mark.thorough
@pytest.mark.usefixtures("tiny_network_in_children")
def test_a_process_of_its_own_writes_it(whole, classifier, tmp_path):
    parity = onnx.export_apart(whole, tmp_path / "mine.onnx")
    assert parity == onnx.check(tmp_path / "mine.onnx", classifier)


def test_the_parity_is_told_in_plain_digits():
    assert "by more than 0.00006 percentage points" in onnx.Parity(10, False, 6.1e-7, None).sentence()
    assert "10 photos" in onnx.Parity(10, False, 0, None).sentence()
    assert onnx.Parity(10, True, 0.0, None).points == "0"


def test_it_says_what_a_program_must_know_and_nothing_of_this_machine(exported, whole):
    file, _ = exported
    told = {
        name: json.loads(value)
        for name, value in onnxruntime.InferenceSession(file).get_modelmeta().custom_metadata_map.items()
    }
    assert told["classes"] == list(whole.classes)
    assert told["temperature"] == 0.7
    assert told["preprocessing"] == whole.preprocessing
    assert told["unfamiliar_below"] == UNFAMILIAR
    content = file.read_bytes()
    assert not re.search(rb"/home/|site-packages|share/onnx\.py", content)


def test_a_file_with_other_answers_is_refused_and_not_left_behind(exported, whole, classifier, monkeypatch, tmp_path):
    file, _ = exported
    other = Classifier(whole, engine="eager")
    other.calibration = dataclasses.replace(classifier.calibration, temperature=0.71)
    with pytest.raises(ShareError, match=r"answers differ from PyTorch's by up to 0\.0"):
        onnx.check(file, other)
    monkeypatch.setattr(onnx, "program", lambda *_: None)
    monkeypatch.setattr(onnx, "save_onnx", lambda _program, made, *_: shutil.copy(file, made))
    monkeypatch.setattr(onnx, "Classifier", lambda *_, **__: other)
    with pytest.raises(ShareError, match="was thrown away"):
        onnx.export_onnx(whole, tmp_path / "new.onnx")
    assert not list(tmp_path.iterdir())


def test_the_snippet_runs_as_shown_and_answers_as_the_classifier(exported, whole, classifier):
    file, _ = exported
    render_flower("rose", 3, 300).crop((0, 0, 300, 200)).save(file.parent / "photo.jpg", quality=95)
    command = [sys.executable, "-c", onnx.snippet(whole, file.name)]
    done = subprocess.run(command, cwd=file.parent, capture_output=True, text=True, check=True)
    shown = dict(reversed(line.strip().split("%  ")) for line in done.stdout.splitlines())
    [answer] = classifier.classify_many([file.parent / "photo.jpg"])
    assert shown.keys() == set(whole.classes)
    for name, share in shown.items():
        assert float(share) / 100 == pytest.approx(answer.confidences[name], abs=0.03)


def test_what_cannot_be_written_is_told_in_a_sentence(whole, tmp_path, monkeypatch):
    with pytest.raises(
        ShareError, match=r"could not be written \(No such file or directory\): free some disk space\.$"
    ):
        onnx.export_apart(whole, tmp_path / "nowhere" / "x.onnx")
    monkeypatch.setattr(onnx.sys, "executable", str(tmp_path / "no-python"))
    with pytest.raises(ShareError, match=r"the process that writes it ended\.$"):
        onnx.export_apart(whole, tmp_path / "x.onnx")


def test_real_photos_are_looked_at_where_there_are_some(whole, real_photos, monkeypatch):
    monkeypatch.setenv("FLOWERS_DATA", str(real_photos))
    frames, painted = onnx.parity_frames(Classifier(whole, engine="eager").preprocessing)
    assert not painted
    assert frames.shape == (onnx.PHOTOS, 3, 64, 64)
    assert frames.dtype == np.uint8


def test_a_damaged_photo_set_is_no_reason_not_to_export(classifier, monkeypatch, tmp_path):
    monkeypatch.setenv("FLOWERS_DATA", str(tmp_path / "gone"))
    assert onnx.parity_frames(classifier.preprocessing)[1]
    (tmp_path / "set" / "rose").mkdir(parents=True)
    (tmp_path / "set" / "rose" / "broken.jpg").write_bytes(b"no photo")
    monkeypatch.setenv("FLOWERS_DATA", str(tmp_path / "set"))
    assert onnx.parity_frames(classifier.preprocessing)[1]
