"""How scores become an answer, and what is familiar: kept with the checkpoint, read back, refused when damaged."""

import json

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays
from scipy.special import logsumexp, softmax
from sklearn.neighbors import NearestNeighbors

from flowers.errors import CheckpointError
from flowers.models.calibration import (
    TENSORS,
    Calibration,
    Neighbours,
    directions,
    energy,
    in_bytes,
    read_calibration,
    write_calibration,
)
from flowers.models.checkpoint import CARD, Checkpoint, load_weights, read_checkpoint, save_checkpoint

CARD_OF = Checkpoint("resnet18", ("daisy", "rose"), {"size": 64})
RNG = np.random.default_rng(0)
BANK = directions(RNG.random((50, 8), dtype=np.float32))
KNOWN = Neighbours(BANK, 3, np.linspace(0.5, 1, 101))  # as checkpoints were before the energy counted
SUM = Neighbours(BANK, 3, np.linspace(0.5, 1.5, 101), 0.125)
USUAL = RNG.normal(2, 1, 2).astype(np.float32)
SHIPPED = Neighbours(BANK, 3, np.linspace(0.2, 1.2, 101), 0.125, USUAL, 0.25)


@pytest.fixture
def checkpoint(tmp_path):
    import torch

    save_checkpoint(tmp_path / "c", {"weight": torch.ones(2, 3)}, CARD_OF)
    return read_checkpoint(tmp_path / "c")


# Confidences


@given(
    scores=arrays.arrays(np.float32, (4, 5), elements=st.floats(-50, 50, width=32)),
    temperature=st.floats(0.1, 10),
)
def test_a_temperature_changes_no_ranking(scores, temperature):
    confidences = Calibration(temperature).confidences(scores)
    assert confidences.dtype == np.float32
    np.testing.assert_allclose(confidences.sum(1), 1, atol=1e-5)
    for row, shares in zip(scores, confidences, strict=True):
        assert (np.diff(shares[np.argsort(row)]) >= 0).all()


def test_without_a_temperature_it_is_the_softmax():
    scores = RNG.normal(0, 5, (20, 5)).astype(np.float32)
    np.testing.assert_allclose(Calibration().confidences(scores), softmax(scores, axis=1), atol=1e-6)
    np.testing.assert_allclose(Calibration(2.5).confidences(scores), softmax(scores / 2.5, axis=1), atol=1e-6)


def test_a_higher_temperature_is_less_sure():
    scores = RNG.normal(0, 5, (20, 5)).astype(np.float32)
    surest = [Calibration(temperature).confidences(scores).max(1) for temperature in (0.5, 1.0, 2.0, 4.0)]
    assert (np.diff(surest, axis=0) < 0).all()


# Familiarity


def test_similarity_is_the_cosine_to_the_so_manieth_nearest():
    features = RNG.random((30, 8), dtype=np.float32) * 9
    for nearest in (1, 3, 50):
        distances, _ = NearestNeighbors(n_neighbors=nearest, metric="cosine").fit(BANK).kneighbors(features)
        found = Neighbours(BANK, nearest, KNOWN.scale).similarity(features)
        np.testing.assert_allclose(found, 1 - distances[:, -1], atol=1e-5)


def some(count: int, classes: int = 5) -> tuple[np.ndarray, np.ndarray]:
    """Features and class scores of so many photos."""
    return RNG.random((count, 8), dtype=np.float32), RNG.normal(0, 2, (count, classes)).astype(np.float32)


@given(scores=arrays.arrays(np.float32, (4, 5), elements=st.floats(-1e6, 1e6, width=32)))
def test_the_energy_is_the_log_sum_exp_however_large_the_scores(scores):
    assert energy(scores).dtype == np.float32
    np.testing.assert_allclose(energy(scores), logsumexp(scores.astype(np.float64), axis=1), rtol=1e-5, atol=1e-5)


def test_likeness_is_similarity_and_so_much_of_the_energy():
    features, scores = some(30)
    np.testing.assert_allclose(SUM.likeness(features, scores), SUM.similarity(features) + energy(scores) / 8, atol=1e-6)


def test_each_answer_is_compared_with_what_is_usual_for_it():
    features, scores = some(30, classes=2)
    sure = np.float32([[20, 0], [0, 20]])
    np.testing.assert_allclose(SHIPPED.strength(sure), 20 - USUAL, atol=1e-5)
    strength = energy(scores) - softmax(scores, axis=1) @ USUAL
    np.testing.assert_allclose(SHIPPED.strength(scores), strength, atol=1e-5)
    likeness = SHIPPED.similarity(features) + strength / 8
    np.testing.assert_allclose(SHIPPED.likeness(features, scores), likeness, atol=1e-6)
    np.testing.assert_array_equal(SUM.strength(scores), energy(scores))


def test_a_rounding_that_decides_between_two_answers_moves_nothing():
    either = np.float32([[3, 3 - 1e-6], [3 - 1e-6, 3]])
    assert np.ptp(SHIPPED.strength(either)) < 1e-5 < np.ptp(USUAL)


def test_a_power_keeps_signs_and_brings_features_closer_to_each_other():
    features = np.float32([[16, -1, 0], [0, 0, 0]])
    np.testing.assert_allclose(directions(features, 0.25)[0], np.float32([2, -1, 0]) / 5**0.5, rtol=1e-6)
    np.testing.assert_allclose(directions(features)[0], np.float32([16, -1, 0]) / 257**0.5, rtol=1e-6)
    assert (directions(features, 0.25)[1] == 0).all()


def test_a_bank_in_bytes_points_where_it_did():
    for bank in (BANK, directions(RNG.normal(size=(50, 1280)).astype("f4")), directions(np.zeros((2, 8), "f4"))):
        kept = in_bytes(bank)
        assert kept.dtype == np.int8
        np.testing.assert_allclose((directions(kept.astype(np.float32)) * bank).sum(1), (bank**2).sum(1), atol=1e-3)


@pytest.mark.parametrize("neighbours", [KNOWN, SUM, SHIPPED], ids=["neighbours alone", "sum", "shipped"])
def test_familiarity_is_a_share_and_goes_with_likeness(neighbours):
    features, scores = some(200, classes=2)
    likeness, familiarity = neighbours.likeness(features, scores), neighbours.familiarity(features, scores)
    assert familiarity.min() >= 0
    assert familiarity.max() <= 1
    assert len(np.unique(familiarity)) > 100
    assert (np.diff(familiarity[np.argsort(likeness)]) >= 0).all()
    again = neighbours.familiarity(10 * features, scores)
    np.testing.assert_allclose(again, familiarity, atol=1e-5)  # the features' length says nothing


def test_the_sum_notices_what_is_a_little_strange_in_both():
    bank, strong = np.float32([[1, 0]]), np.float32([[4, 0, 0]])
    scale = np.linspace(0.8 + 0.1 * energy(strong)[0], 1 + 0.1 * energy(strong + 2)[0], 101)
    known = Neighbours(bank, 1, scale, 0.1)
    near, aside = np.float32([[1, 0]]), np.float32([[0.81, (1 - 0.81**2) ** 0.5]])
    weak = strong - 1
    assert known.familiarity(aside, strong + 1) > 0.05
    assert known.familiarity(near, weak) > 0.05
    assert known.familiarity(aside, weak) < 0.05


def test_features_of_nothing_at_all_are_unfamiliar():
    assert KNOWN.familiarity(np.zeros((1, 8), np.float32), np.zeros((1, 5), np.float32)) == [0]


def test_features_of_another_network_are_told():
    with pytest.raises(CheckpointError, match=r"^The calibration belongs to another network .*\.$"):
        KNOWN.familiarity(np.ones((1, 9), np.float32), np.ones((1, 5), np.float32))


# Kept with the checkpoint


def test_a_checkpoint_without_one_claims_nothing(checkpoint):
    assert read_calibration(checkpoint) == Calibration(1.0, None, {})
    assert read_calibration(checkpoint).familiarity(*some(2)) is None
    card = json.loads((checkpoint.folder / CARD).read_text())
    del card["calibration"]  # as before there was such a thing
    (checkpoint.folder / CARD).write_text(json.dumps(card))
    assert read_calibration(read_checkpoint(checkpoint.folder)).temperature == 1


def test_it_comes_back_nearly_as_it_was_and_all_else_stays(checkpoint):
    before = load_weights(checkpoint.folder)
    (checkpoint.folder / "README.md").write_text("a card")
    write_calibration(checkpoint, Calibration(1.25, SHIPPED, {"accuracy": 0.9}))
    again = read_checkpoint(checkpoint.folder)
    read = read_calibration(again)
    assert (read.temperature, read.facts) == (1.25, {"accuracy": 0.9})
    assert (read.neighbours.nearest, read.neighbours.energy_weight, read.neighbours.power) == (3, 0.125, 0.25)
    np.testing.assert_allclose(read.neighbours.bank, BANK, atol=5e-3)  # kept in bytes
    np.testing.assert_allclose(read.neighbours.scale, SHIPPED.scale, atol=1e-6)
    np.testing.assert_allclose(read.neighbours.usual_energy, USUAL, atol=1e-6)
    assert again.created == checkpoint.created
    assert (checkpoint.folder / "README.md").read_text() == "a card"
    assert all((load_weights(checkpoint.folder)[name] == tensor).all() for name, tensor in before.items())


def test_a_checkpoint_of_the_time_when_neighbours_alone_counted_tells_what_it_told(checkpoint):
    from safetensors.numpy import save_file

    write_calibration(checkpoint, Calibration(1.25, KNOWN))
    card = json.loads((checkpoint.folder / CARD).read_text())
    del card["calibration"]["familiar"]["energy_weight"], card["calibration"]["familiar"]["power"]
    (checkpoint.folder / CARD).write_text(json.dumps(card))
    save_file({"bank": BANK.astype(np.float16)}, checkpoint.folder / TENSORS)
    read = read_calibration(read_checkpoint(checkpoint.folder)).neighbours
    features, scores = some(50)
    told = np.interp(read.similarity(features), read.scale, np.linspace(0, 1, 101))
    np.testing.assert_array_equal(read.familiarity(features, scores), told)
    assert len(np.unique(told)) > 20


def test_a_new_one_takes_the_place_of_the_old(checkpoint):
    write_calibration(checkpoint, Calibration(1.25, KNOWN))
    write_calibration(checkpoint, Calibration(1.5))
    read = read_calibration(read_checkpoint(checkpoint.folder))
    assert (read.temperature, read.neighbours) == (1.5, None)
    assert not (checkpoint.folder / TENSORS).exists()


def test_a_folder_that_cannot_be_written_is_a_sentence_and_stays(checkpoint, monkeypatch):
    from flowers import files

    def no_room(*_):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(files.os, "fsync", no_room)
    with pytest.raises(CheckpointError, match=r"could not be written \(No space left on device\): .*\.$"):
        write_calibration(checkpoint, Calibration(1.25, KNOWN))
    assert read_calibration(read_checkpoint(checkpoint.folder)) == Calibration()


@pytest.mark.parametrize(
    "damage",
    [
        {"temperature": "hot"},
        {"temperature": 0},
        {"temperature": float("nan")},
        {"temperature": None},
        {"familiar": 5},
        {"familiar": {"nearest": 3}},
        {"familiar": {"nearest": 0, "scale": [0, 1]}},
        {"familiar": {"nearest": 51, "scale": [0, 1]}},
        {"familiar": {"nearest": 3, "scale": [1]}},
        {"familiar": {"nearest": 3, "scale": [1, 0]}},
        {"familiar": {"nearest": 3, "scale": "wide"}},
        {"familiar": {"nearest": 3, "scale": [0, 1], "energy_weight": -0.1}},
        {"familiar": {"nearest": 3, "scale": [0, 1], "energy_weight": float("nan")}},
        {"familiar": {"nearest": 3, "scale": [0, 1], "energy_weight": float("inf")}},
        {"familiar": {"nearest": 3, "scale": [0, 1], "energy_weight": [0.1, 0.1]}},
        {"familiar": {"nearest": 3, "scale": [0, 1], "energy_weight": None}},
        {"familiar": {"nearest": 3, "scale": [0, 1], "power": 0}},
        {"familiar": {"nearest": 3, "scale": [0, 1], "power": float("nan")}},
        {"familiar": {"nearest": 3, "scale": [0, 1], "power": 2}},
        {"familiar": {"nearest": 3, "scale": [0, 1], "usual_energy": [1.0]}},
        {"familiar": {"nearest": 3, "scale": [0, 1], "usual_energy": [1.0, float("nan")]}},
        {"familiar": {"nearest": 3, "scale": [0, 1], "usual_energy": None}},
        {"facts": 5},
    ],
    ids=str,
)
def test_a_damaged_section_is_told(checkpoint, damage):
    write_calibration(checkpoint, Calibration(1.25, KNOWN))
    card = json.loads((checkpoint.folder / CARD).read_text())
    (checkpoint.folder / CARD).write_text(json.dumps({**card, "calibration": {**card["calibration"], **damage}}))
    assert_told(checkpoint)


@pytest.mark.parametrize("content", [None, b"", b"not tensors", "cut"])
def test_a_missing_or_damaged_bank_is_told(checkpoint, content):
    write_calibration(checkpoint, Calibration(1.25, KNOWN))
    path = checkpoint.folder / TENSORS
    whole = path.read_bytes()
    path.unlink()
    if content is not None:
        path.write_bytes(whole[:-20] if content == "cut" else content)
    assert_told(checkpoint)


def assert_told(checkpoint) -> None:
    with pytest.raises(CheckpointError, match=r"^The calibration of the checkpoint c is damaged: .*calibrate c`\.$"):
        read_calibration(read_checkpoint(checkpoint.folder))
