"""The fastest engine is found, remembered, and never missed when it is gone."""

import importlib.util
import json
import os
import re
import shutil
import subprocess
import sys
import time
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from flowers import inference
from flowers.data.preprocess import Preprocessing
from flowers.engines import eager, trial_photos
from flowers.errors import UsageError
from flowers.inference import CHOICE, choose, explain, open_engine, open_network, prepare
from flowers.models.backbones import BACKBONES
from flowers.models.calibration import Calibration, Neighbours, write_calibration
from flowers.models.checkpoint import Checkpoint, load_model, read_checkpoint, save_checkpoint
from flowers.paths import PROJECT, cache_dir
from tests.damage import damaged
from tests.tiny import SIZE, WIDTHS, tiny_resnet18

PREPARED = Preprocessing(size=SIZE, resize=36)
PHOTOS = trial_photos(SIZE, 3)

pytestmark = pytest.mark.usefixtures("tiny_network")


def save(folder, seed: int = 0):
    torch.manual_seed(seed)
    torch.set_num_threads(1)
    weights = tiny_resnet18().build(3).state_dict()
    save_checkpoint(folder, weights, Checkpoint("resnet18", ("a", "b", "c"), PREPARED.to_dict()))
    return read_checkpoint(folder)


@pytest.fixture(scope="module")
def checkpoint(tmp_path_factory):
    return save(tmp_path_factory.mktemp("checkpoints") / "c")


class Clock:
    """In the place of the module ``time``: it goes on only by what the engines say that they take."""

    now = 0.0

    def perf_counter(self) -> float:
        return self.now


@pytest.fixture
def engines(monkeypatch, checkpoint):
    """Stand-ins for packages: {name: (seconds a call takes, error of its scores and features)}, or what to raise.

    PyTorch takes 0.02 seconds; and every call a thousandth, or the gain would be infinite.
    """
    right = eager(load_model(checkpoint), PREPARED, "fc")
    kinds: dict = {}
    clock = Clock()
    monkeypatch.setattr(inference, "time", clock)
    monkeypatch.setattr(inference.importlib.util, "find_spec", lambda name: name in kinds or None)
    monkeypatch.setattr(inference, "prepare", lambda *_, **__: pytest.fail("that was known already"))
    monkeypatch.setattr(inference, "make", lambda *args: (args[-1] / "made").touch())

    def open_made(name, folder):
        assert (folder / "made").exists()
        if isinstance(kinds[name], Exception):
            raise kinds[name]
        seconds, error, *blur = kinds[name]

        def run(pixels):
            assert len(pixels) == 1 or name != "compiled"
            clock.now += 0.001 + seconds
            scores, features = right(pixels)
            return scores + error * np.arange(3), features * (1 + np.resize([*blur, 0], features.shape[1]))

        return run

    def slow(pixels):
        clock.now += 0.021
        return right(pixels)

    monkeypatch.setattr(inference, "open_made", open_made)
    monkeypatch.setattr(inference, "eager", lambda *_: slow)
    return kinds


def prepared_folder():
    [folder] = (cache_dir() / "engines-v2").iterdir()
    return folder


def expected(checkpoint) -> np.ndarray:
    with torch.inference_mode():
        return load_model(checkpoint)(PREPARED.normalise(torch.from_numpy(PHOTOS))).numpy()


def scores(network, photos=PHOTOS) -> np.ndarray:
    return network.look(photos)[0]


# The choice


@pytest.mark.parametrize(
    ("seconds", "one", "many"),  # {engine: (of one photo, of a photo in a batch)}
    [
        ({"eager": (2, 2), "onnxruntime": (1, 1), "openvino": (3, 3)}, "onnxruntime", "onnxruntime"),
        ({"eager": (1, 1), "onnxruntime": (2, 2)}, "eager", "eager"),
        ({"eager": (1, 1)}, "eager", "eager"),
        # A little faster with batches is not worth a second engine; a lot is.
        ({"eager": (9, 9), "onnxruntime": (1, 1.05), "openvino": (2, 1)}, "onnxruntime", "onnxruntime"),
        ({"eager": (9, 9), "onnxruntime": (1, 3), "openvino": (2, 1)}, "onnxruntime", "openvino"),
        # Compiled for one photo at a time.
        ({"eager": (3, 3), "compiled": (1,)}, "compiled", "eager"),
    ],
)
def test_the_fastest_is_chosen(seconds, one, many):
    seconds = {name: dict(zip(("one", "many"), taken, strict=False)) for name, taken in seconds.items()}
    assert choose(seconds) == (one, many)
    why = explain(seconds)
    assert re.fullmatch(r"Answering with [^.]+: .*[^.]\.", why)


def test_the_reason_gives_the_gains():
    why = explain({"eager": {"one": 3.0, "many": 1.5}, "openvino": {"one": 1.5, "many": 1.0}})
    assert "OpenVINO" in why
    assert "2.0× as fast as PyTorch as it is for one photo" in why
    assert "1.5× for batches" in why


# Preparing


def test_before_anything_is_prepared_pytorch_answers(checkpoint):
    network = open_network(checkpoint, PREPARED)
    assert not network.settled
    assert "PyTorch" in network.why
    np.testing.assert_allclose(scores(network), expected(checkpoint), atol=1e-5)
    np.testing.assert_allclose(scores(network, PHOTOS[:1]), expected(checkpoint)[:1], atol=1e-5)
    weight, bias = (parameter.detach().numpy() for parameter in load_model(checkpoint).fc.parameters())
    np.testing.assert_allclose(network.look(PHOTOS)[1] @ weight.T + bias, expected(checkpoint), atol=1e-4)


def test_the_faster_of_those_with_the_right_answers_wins(checkpoint, engines):
    engines |= {"onnxruntime": (0, 0), "openvino": (0, 0.01)}  # the other one is as fast, and a hundredth off
    inference._prepare(checkpoint, compiling=False)
    network = open_network(checkpoint, PREPARED)
    assert network.settled
    assert network.one is network.many
    assert "ONNX Runtime" in network.why
    np.testing.assert_allclose(scores(network), expected(checkpoint), atol=1e-5)
    with pytest.raises(UsageError, match=r"openvino cannot be used here \(its answers differ from PyTorch's\)"):
        open_engine(checkpoint, PREPARED, "openvino")


def test_an_engine_whose_features_are_off_is_refused_however_right_its_scores(checkpoint, engines):
    engines |= {"onnxruntime": (0, 0, 0.01)}
    inference._prepare(checkpoint, compiling=False)
    assert "PyTorch" in open_network(checkpoint, PREPARED).why
    with pytest.raises(UsageError, match="its answers differ from PyTorch's"):
        open_engine(checkpoint, PREPARED, "onnxruntime")


def test_what_was_prepared_stays_when_only_the_calibration_changes(checkpoint, engines, tmp_path):
    engines |= {"onnxruntime": (0, 0)}
    saved = save(tmp_path / "run")
    inference._prepare(saved, compiling=False)
    write_calibration(
        saved, Calibration(1.5, Neighbours(np.ones((2, WIDTHS[-1]), np.float32), 1, np.array([0.0, 1.0])))
    )
    assert open_network(read_checkpoint(tmp_path / "run"), PREPARED).settled


@pytest.mark.parametrize(
    "error", [ImportError("no such library\n and a long story"), ValueError(), OSError(28, "full")]
)
def test_a_broken_package_is_passed_over(checkpoint, engines, error):
    engines |= {"onnxruntime": error, "openvino": (0, 0)}
    inference._prepare(checkpoint, compiling=False)
    assert "OpenVINO" in open_network(checkpoint, PREPARED).why
    assert not (prepared_folder() / "onnxruntime").exists()
    with pytest.raises(UsageError) as caught:
        open_engine(checkpoint, PREPARED, "onnxruntime")
    assert len(str(caught.value).splitlines()) == 1


def test_without_packages_pytorch_stays_and_that_is_settled(checkpoint, engines):
    inference._prepare(checkpoint, compiling=False)
    network = open_network(checkpoint, PREPARED)
    assert network.settled
    assert "PyTorch" in network.why
    with pytest.raises(UsageError, match=r"openvino cannot be used here \(it is not installed\)"):
        open_engine(checkpoint, PREPARED, "openvino")


def test_compiling_is_tried_only_on_request_and_for_one_photo_at_a_time(checkpoint, engines):
    engines |= {"onnxruntime": (0.01, 0), "compiled": (0, 0)}
    inference._prepare(checkpoint, compiling=False)
    assert "ONNX Runtime" in open_network(checkpoint, PREPARED).why
    assert not (prepared_folder() / "compiled").exists()
    inference._prepare(checkpoint, compiling=True)
    for network in (open_network(checkpoint, PREPARED), open_engine(checkpoint, PREPARED, "compiled")):
        assert "compiled PyTorch" in network.why
        assert network.one is not network.many
        np.testing.assert_allclose(scores(network), expected(checkpoint), atol=1e-5)
        np.testing.assert_allclose(scores(network, PHOTOS[:1]), expected(checkpoint)[:1], atol=1e-5)


def test_what_breaks_later_is_passed_over_too(checkpoint, engines):
    engines |= {"onnxruntime": (0, 0)}
    inference._prepare(checkpoint, compiling=False)
    engines |= {"onnxruntime": ImportError("an update broke it")}
    network = open_network(checkpoint, PREPARED)
    assert network.settled
    assert "an update broke it" in network.why
    np.testing.assert_allclose(scores(network), expected(checkpoint), atol=1e-5)


def test_a_damaged_note_counts_as_none(checkpoint, engines):
    engines |= {"onnxruntime": (0, 0)}
    inference._prepare(checkpoint, compiling=False)
    for content in ("", "{", "[]", "[" * 100_000, '{"of": {}, "seconds": {}}', "null"):
        (prepared_folder() / CHOICE).write_text(content)
        assert not open_network(checkpoint, PREPARED).settled


@given(data=st.data())
@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_whatever_a_note_says_an_engine_answers(checkpoint, engines, data):
    engines |= {"onnxruntime": (0, 0)}
    if not (cache_dir() / "engines-v2").exists():
        inference._prepare(checkpoint, compiling=False)
    note = prepared_folder() / CHOICE
    whole = note.read_bytes()
    try:
        note.write_bytes(data.draw(damaged(whole)))
        assert open_network(checkpoint, PREPARED).why.endswith(".")
        for name, found in inference.measured(checkpoint).items():
            assert name in inference.TITLES and all(lap > 0 for lap in found.values())
    finally:
        note.write_bytes(whole)


@pytest.mark.parametrize(
    "wrong",
    [
        {"seconds": {"eager": {"one": "1", "many": 1}}},
        {"seconds": {"eager": {"many": 1}}},
        {"seconds": {"eager": {"one": 1, "many": 1}, "abacus": {"one": 0.1, "many": 0.1}}},
        {"seconds": {"eager": {"one": 1, "many": float("nan")}}},
        {"seconds": {"eager": {"one": 1, "many": 1}, "onnxruntime": 5}},
        {"seconds": [["eager"]]},
        {"refused": ["openvino"]},
        {"refused": {"openvino": 5}},
    ],
)
def test_a_note_of_what_nobody_measured_counts_as_none(checkpoint, engines, wrong):
    engines |= {"onnxruntime": (0, 0)}
    inference._prepare(checkpoint, compiling=False)
    note = prepared_folder() / CHOICE
    note.write_text(json.dumps({**json.loads(note.read_text()), **wrong}))
    assert inference.measured(checkpoint) == {}
    assert not open_network(checkpoint, PREPARED).settled


def test_other_packages_or_another_machine_are_measured_anew(checkpoint, engines, monkeypatch):
    engines |= {"onnxruntime": (0, 0)}
    inference._prepare(checkpoint, compiling=False)
    now = inference._circumstances()
    for changed in ({**now, "torch": "9.9"}, {**now, "cpu": "an abacus"}, {**now, "threads": 99}):
        monkeypatch.setattr(inference, "_circumstances", lambda changed=changed: changed)
        assert not open_network(checkpoint, PREPARED).settled


def test_other_weights_under_the_same_name_are_measured_anew(engines, tmp_path):
    engines |= {"onnxruntime": (0, 0)}
    inference._prepare(save(tmp_path / "run"), compiling=False)
    assert open_network(read_checkpoint(tmp_path / "run"), PREPARED).settled
    assert not open_network(save(tmp_path / "run", seed=1), PREPARED).settled


def test_only_the_checkpoints_used_last_are_kept(engines, tmp_path, monkeypatch):
    monkeypatch.setattr(inference, "KEPT", 2)
    engines |= {"onnxruntime": (0, 0)}
    checkpoints = [save(tmp_path / str(seed), seed) for seed in range(3)]
    for age, checkpoint in ((200, checkpoints[0]), (100, checkpoints[1])):
        inference._prepare(checkpoint, compiling=False)
        os.utime(inference._kept(checkpoint), (time.time() - age,) * 2)
    assert open_network(checkpoints[0], PREPARED).settled  # and so used after the second
    inference._prepare(checkpoints[2], compiling=False)
    assert [open_network(checkpoint, PREPARED).settled for checkpoint in checkpoints] == [True, False, True]


def test_an_unknown_engine_is_a_sentence(checkpoint):
    with pytest.raises(UsageError, match="There is no engine called 'abacus': choose auto, eager,"):
        open_engine(checkpoint, PREPARED, "abacus")


def test_eager_as_asked_needs_no_preparation(checkpoint):
    network = open_engine(checkpoint, PREPARED, "eager")
    assert network.settled
    assert not (cache_dir() / "engines-v2").exists()


def test_preparing_that_fails_leaves_nothing(tmp_path):
    prepare(Checkpoint("resnet18", ("a", "b"), PREPARED.to_dict(), folder=tmp_path / "gone"))
    assert not (cache_dir() / "engines-v2").exists()


# For real


def run_here(args, **_) -> None:
    """What the process that prepares would do, done here."""
    assert args[:3] == [sys.executable, "-m", "flowers.inference"]
    inference.main(args[3:])


@pytest.fixture(scope="module")
def prepared(tmp_path_factory):
    """A checkpoint, and the cache in which ``prepare`` has written what this machine's own packages can do with it."""
    if not all(map(importlib.util.find_spec, ("onnxruntime", "onnxscript"))):
        pytest.skip("onnxruntime or onnxscript is not installed")
    checkpoint = save(tmp_path_factory.mktemp("checkpoints") / "real")
    cache = tmp_path_factory.mktemp("cache")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("FLOWERS_CACHE", str(cache))
        patch.setenv("TORCHINDUCTOR_CACHE_DIR", "")  # what becomes of it is forgotten
        patch.setitem(BACKBONES, "resnet18", tiny_resnet18())
        patch.setattr(inference, "give_way", lambda *_, **__: None)  # this process could not take it back
        patch.setattr(inference, "subprocess", SimpleNamespace(**vars(subprocess) | {"run": run_here}))
        prepare(checkpoint)
    return checkpoint, cache


@pytest.fixture
def note(prepared, monkeypatch):
    """What was written of it."""
    monkeypatch.setenv("FLOWERS_CACHE", str(prepared[1]))
    return prepared_folder() / CHOICE


def test_what_is_installed_is_measured_and_answers_as_pytorch(prepared, note):
    checkpoint, _ = prepared
    assert {"eager", "onnxruntime"} <= json.loads(note.read_text())["seconds"].keys()
    network = open_engine(checkpoint, PREPARED, "onnxruntime")
    np.testing.assert_allclose(scores(network), expected(checkpoint), atol=1e-5)


@pytest.mark.thorough
@pytest.mark.usefixtures("tiny_network_in_children")
def test_a_process_of_its_own_prepares_it(checkpoint):
    prepare(checkpoint)
    assert open_network(checkpoint, PREPARED).settled


def measured_fastest(note, monkeypatch, tmp_path) -> None:
    """From here on a copy of the cache counts, in which ONNX Runtime is fastest, whatever is fastest here."""
    monkeypatch.setenv("FLOWERS_CACHE", str(shutil.copytree(cache_dir(), tmp_path / "cache")))
    told = json.loads(note.read_text())
    told["seconds"] = {"eager": {"one": 2, "many": 2}, "onnxruntime": {"one": 1, "many": 1}}
    (prepared_folder() / CHOICE).write_text(json.dumps(told))


def test_a_prepared_checkpoint_answers_without_torch(prepared, note, monkeypatch, tmp_path):
    checkpoint, _ = prepared
    measured_fastest(note, monkeypatch, tmp_path)
    script = (  # torch stays out, so it matters not that the child knows ResNet18 itself
        "import sys; from PIL import Image; from flowers.classifier import Classifier\n"
        "answer = Classifier.load(sys.argv[1]).classify(Image.new('RGB', (99, 99)))\n"
        "print(answer.label in 'abc', 'torch' in sys.modules)"
    )
    told = subprocess.run(
        [sys.executable, "-c", script, checkpoint.folder], cwd=PROJECT, capture_output=True, text=True, check=True
    )
    assert told.stdout.split() == ["True", "False"]


def test_where_the_fastest_engines_file_is_damaged_pytorch_answers(prepared, note, monkeypatch, tmp_path):
    checkpoint, _ = prepared
    measured_fastest(note, monkeypatch, tmp_path)
    assert "ONNX Runtime" in open_network(checkpoint, PREPARED).why
    (prepared_folder() / "onnxruntime" / "network.onnx").write_bytes(b"cut short")
    network = open_network(checkpoint, PREPARED)
    assert "could not be opened" in network.why
    np.testing.assert_allclose(scores(network), expected(checkpoint), atol=1e-5)
