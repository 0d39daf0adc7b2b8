"""Photos in, answers out."""

import io
import itertools
import json
import shutil
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace

import numpy as np
import pytest
import torch
from PIL import Image

from flowers import classifier as module
from flowers.classifier import Answer, Classifier
from flowers.data.garden import render_flower
from flowers.data.preprocess import Preprocessing, to_pixels
from flowers.engines import trial_photos
from flowers.errors import CheckpointError, DecodeError, UsageError
from flowers.inference import BATCH, Network
from flowers.models.backbones import BACKBONES
from flowers.models.calibration import Calibration, Neighbours, directions, energy, write_calibration
from flowers.models.checkpoint import Checkpoint, find_checkpoint, load_model, read_checkpoint, save_checkpoint
from tests.networks import settled

CLASSES = ("daisy", "rose", "tulip")
PREPARED = Preprocessing(64, 72, (0.4, 0.5, 0.6), (0.2, 0.3, 0.4))


pytestmark = pytest.mark.usefixtures("tiny_networks")


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    torch.manual_seed(3)
    torch.set_num_threads(1)
    folder = tmp_path_factory.mktemp("checkpoint") / "c"
    # So that photos do not look alike to it, as they do before anything was learned.
    model = settled(BACKBONES["resnet18"].build(3), PREPARED.normalise(torch.from_numpy(trial_photos(64, 16))))
    save_checkpoint(folder, model.state_dict(), Checkpoint("resnet18", CLASSES, PREPARED.to_dict()))
    return folder


@pytest.fixture(scope="module")
def classifier(folder):
    return Classifier.load(folder)


@pytest.fixture(scope="module")
def photos() -> list[Image.Image]:
    return [render_flower("rose", seed, 100).resize((100 + seed * 20, 100)) for seed in range(6)]


def test_it_is_made_of_the_checkpoint(classifier):
    assert classifier.classes == CLASSES
    assert classifier.preprocessing == PREPARED
    assert classifier.checkpoint.name == "c"


def test_a_checkpoint_with_mirrored_answers_gives_them(folder, photos):
    """One photo at a time and in batches; the same to a photo and to its mirror image."""
    card = find_checkpoint(folder)
    mirrored = Classifier(replace(card, preprocessing={**card.preprocessing, "mirror": True}), load_model(card))
    frames = [PREPARED.frame(photo) for photo in photos]
    flipped = [frame.transpose(Image.Transpose.FLIP_LEFT_RIGHT) for frame in frames]
    plain = Classifier(card, load_model(card))
    torch.testing.assert_close(mirrored.confidences(frames), mirrored.confidences(flipped), atol=1e-5, rtol=0)
    assert (plain.confidences(frames) - plain.confidences(flipped)).abs().max() > 1e-4
    (single,) = mirrored.confidences(flipped[:1])
    assert list(mirrored.classify(photos[0]).confidences.values()) == pytest.approx(single.tolist(), abs=1e-5)


def test_an_answer_ranks_the_classes(classifier, photos):
    answer = classifier.classify(photos[0])
    assert list(answer.confidences) == list(CLASSES)
    assert sum(answer.confidences.values()) == pytest.approx(1, abs=1e-6)
    ranked = answer.ranked()
    assert [share for _, share in ranked] == sorted(answer.confidences.values(), reverse=True)
    assert ranked[0] == (answer.label, answer.confidence)
    assert answer.seconds > 0
    assert Answer(**json.loads(json.dumps(answer.to_dict()))) == answer


def test_an_answer_is_the_networks_softmax(classifier, photos):
    pixels = to_pixels(PREPARED.frame(photos[1]))[None].float() / 255
    mean, std = (torch.tensor(values).view(1, 3, 1, 1) for values in (PREPARED.mean, PREPARED.std))
    with torch.inference_mode():
        scores = load_model(classifier.checkpoint)((pixels - mean) / std)[0]
    expected = (scores.exp() / scores.exp().sum()).tolist()
    assert list(classifier.classify(photos[1]).confidences.values()) == pytest.approx(expected, abs=1e-5)


def test_one_by_one_or_together_the_answers_agree(classifier, photos):
    frames = [PREPARED.frame(photo) for photo in photos]
    together = classifier.confidences(frames)
    assert (together.shape, together.dtype) == ((6, 3), torch.float32)
    torch.testing.assert_close(classifier.confidences(torch.stack([to_pixels(frame) for frame in frames])), together)
    for row, photo in zip(together.tolist(), photos, strict=True):
        assert list(classifier.classify(photo).confidences.values()) == pytest.approx(row, abs=1e-5)


@pytest.mark.parametrize("size", [(8, 8), (1000, 30), (30, 1000)])
def test_any_size_is_taken(classifier, size):
    assert classifier.classify(Image.new("RGB", size, "green")).label in CLASSES


def test_many_threads_may_ask_at_once(classifier, photos):
    alone = [classifier.classify(photo).confidences for photo in photos]
    with ThreadPoolExecutor(4) as pool:
        for _ in range(3):
            answers = list(pool.map(classifier.classify, photos))
            assert [answer.confidences for answer in answers] == alone


@pytest.mark.parametrize("missing", ["mean", "std", None])
def test_a_checkpoint_that_does_not_say_how_to_prepare_photos_is_refused(folder, tmp_path, missing):
    card = json.loads((folder / "checkpoint.json").read_text())
    (tmp_path / "model.safetensors").symlink_to(folder / "model.safetensors")
    prepared = {name: value for name, value in card["preprocessing"].items() if name != missing}
    changed = prepared if missing else {**prepared, "unheard": 1}
    (tmp_path / "checkpoint.json").write_text(json.dumps({**card, "preprocessing": changed}))
    with pytest.raises(CheckpointError, match="does not say how to prepare photos"):
        Classifier.load(tmp_path)


def test_a_network_in_memory_answers_as_the_saved_one_does(classifier, photos):
    model = load_model(classifier.checkpoint)
    assert Classifier(classifier.checkpoint, model).classify(photos[0]).confidences == pytest.approx(
        classifier.classify(photos[0]).confidences, abs=1e-5
    )


# Calibrated


@pytest.fixture
def calibrate(folder, tmp_path):
    """``calibrate(calibration)`` gives the classifier of a copy of the checkpoint, calibrated so."""

    def calibrate(calibration: Calibration) -> Classifier:
        copy = shutil.copytree(folder, tmp_path / "c")
        write_calibration(read_checkpoint(copy), calibration)
        return Classifier.load(copy)

    return calibrate


def test_an_answer_goes_by_the_temperature_one_by_one_or_together(classifier, calibrate, photos):
    cooler = calibrate(Calibration(0.25))
    for photo, answer in zip(photos, cooler.classify_many(map(as_bytes, photos)), strict=True):
        shares = np.array(list(classifier.classify(photo).confidences.values())) ** 4
        expected = pytest.approx((shares / shares.sum()).tolist(), abs=1e-4)
        assert list(cooler.classify(photo).confidences.values()) == expected
        assert list(answer.confidences.values()) == expected
        assert cooler.confidences([PREPARED.frame(photo)])[0].tolist() == expected


def test_a_photo_unlike_those_learned_from_is_not_known(classifier, calibrate, photos):
    frames = np.stack([np.asarray(PREPARED.frame(photo)) for photo in photos]).transpose(0, 3, 1, 2)
    features = classifier.network.look(frames)[1]
    bank = features[:1] / np.linalg.norm(features[0])
    taught = calibrate(Calibration(neighbours=Neighbours(bank, 1, np.array([0.9999, 1.0]))))
    learned, other = taught.classify(photos[0]), taught.classify(Image.effect_noise((99, 99), 80).convert("RGB"))
    assert (learned.known, other.known) == (True, False)
    assert learned.familiarity > 0.05 > other.familiarity >= 0
    assert other.label in CLASSES  # what it looks most like
    assert json.loads(json.dumps(other.to_dict()))["known"] is False


def test_a_photo_that_speaks_for_no_class_is_not_known(classifier, calibrate, photos):
    frames = np.stack([np.asarray(PREPARED.frame(photo)) for photo in photos]).transpose(0, 3, 1, 2)
    scores, features = classifier.network.look(frames)
    energies, order = energy(scores), np.argsort(energy(scores))
    # Every photo is its own neighbour, and the energy alone tells them apart.
    likeness = 1 + 0.5 * np.sort(energies).astype(float)
    taught = calibrate(Calibration(neighbours=Neighbours(directions(features), 1, likeness, 0.5)))
    answers = [taught.classify(photos[index]) for index in order]
    assert [answer.familiarity for answer in answers] == pytest.approx(np.linspace(0, 1, len(photos)), abs=0.02)
    assert not answers[0].known
    assert answers[-1].known


def test_without_a_calibration_nothing_is_claimed(classifier, photos):
    answer = classifier.classify(photos[0])
    assert (answer.known, answer.familiarity) == (True, None)


@pytest.mark.parametrize(("classes", "words"), [(2, "two"), (5, "five"), (12, "twelve"), (13, "13"), (1000, "1000")])
def test_none_of_so_many_classes_in_words(classes, words):
    shares = {str(index): 1 / classes for index in range(classes)}
    assert Answer("0", 1 / classes, shares, 0.1, known=False).none == f"none of the {words}"


# Many photos


def as_bytes(image: Image.Image) -> bytes:
    file = io.BytesIO()
    image.save(file, "PNG")
    return file.getvalue()


def test_many_are_answered_in_order_and_as_each_alone(classifier, photos):
    sources = [as_bytes(photo) for photo in photos] * (BATCH // 2)  # several batches, the last one short
    answers = list(classifier.classify_many(sources))
    assert len(answers) == len(sources)
    for photo, answer in zip(itertools.cycle(photos), answers, strict=False):
        assert answer.confidences == pytest.approx(classifier.classify(photo).confidences, abs=1e-5)
        assert answer.seconds > 0


def test_one_that_cannot_be_read_keeps_its_place(classifier, photos, tmp_path):
    good = as_bytes(photos[0])
    answers = list(classifier.classify_many([b"", good, tmp_path / "absent.jpg", good, b"text"]))
    assert [type(answer) for answer in answers] == [DecodeError, Answer, DecodeError, Answer, DecodeError]
    assert str(answers[2]).startswith("absent.jpg cannot be found")


def test_nothing_but_unreadable_photos_and_nothing_at_all(classifier):
    assert [type(answer) for answer in classifier.classify_many([b""] * (BATCH + 1))] == [DecodeError] * (BATCH + 1)
    assert list(classifier.classify_many([])) == []


def test_any_number_of_photos_is_read_only_a_little_ahead(classifier, photos):
    asked = 0

    def endless():
        nonlocal asked
        while True:
            asked += 1
            yield photo

    photo = as_bytes(photos[0])
    answers = classifier.classify_many(endless())
    for count in range(1, 3 * BATCH, BATCH):
        list(itertools.islice(answers, BATCH))
        assert asked <= (count // BATCH + 4) * BATCH
    answers.close()
    assert asked < 7 * BATCH


def test_what_is_wrong_with_the_list_itself_is_raised(classifier, photos):
    def listing():
        yield as_bytes(photos[0])
        raise PermissionError("the folder has gone")

    with pytest.raises(PermissionError):
        list(classifier.classify_many(listing()))


# Reasons


def test_a_reason_is_for_the_answer_or_for_any_class_and_adds_up_to_its_score(classifier, photos):
    model = load_model(classifier.checkpoint)
    for image in photos[:3]:
        source = as_bytes(image)
        with torch.inference_mode():
            [scores] = model(PREPARED.normalise(to_pixels(PREPARED.frame(image))[None]))
        assert classifier.explain(source).label == classifier.classify(image).label
        for name, score, bias in zip(CLASSES, scores, model.fc.bias, strict=True):
            reason = classifier.explain(source, name)
            assert reason.label == name
            assert reason.exact
            assert (reason.heat.shape, reason.heat.dtype) == ((8, 8), "float32")
            assert reason.heat.mean() + bias.item() == pytest.approx(score.item(), rel=1e-4, abs=1e-5)
            assert reason.heat.max() <= reason.strongest


def test_a_reason_shows_what_the_network_saw(classifier, photos):
    image = photos[5].resize((1200, 700))
    reason = classifier.explain(as_bytes(image), "rose")
    assert reason.frame.tobytes() == PREPARED.frame(image).tobytes()
    shown = reason.photo.resize(reason.frame.size, Image.Resampling.BILINEAR, box=reason.box)
    difference = to_pixels(shown).int() - to_pixels(reason.frame).int()
    assert difference.abs().float().mean() < 4  # of 255: the same part of the photo


@pytest.mark.parametrize("size", [(3000, 100), (100, 3000), (40, 40), (4000, 3000)])
def test_pictures_of_reasons_stay_small(classifier, size):
    picture = classifier.explain(as_bytes(Image.new("RGB", size, "green"))).picture()
    assert max(picture.size) <= 1100
    assert min(picture.size) >= 400


def test_a_class_that_is_not_there_or_no_photo_is_a_sentence(classifier):
    with pytest.raises(UsageError, match="no class called 'orchid': the classes are daisy, rose, tulip\\."):
        classifier.explain(b"", "orchid")
    with pytest.raises(DecodeError, match=r"absent\.jpg cannot be found"):
        classifier.explain("absent.jpg", "rose")


def test_threads_may_ask_for_reasons_and_answers_at_once_and_the_network_is_loaded_once(folder, photos, monkeypatch):
    classifier, loaded, source = Classifier.load(folder), [], [as_bytes(photo) for photo in photos]
    alone = [classifier.classify(photo).confidences for photo in photos]
    monkeypatch.setattr(module, "load_model", lambda checkpoint: loaded.append(1) or load_model(checkpoint))
    with ThreadPoolExecutor(4) as pool:
        reasons = [pool.submit(classifier.explain, photo, "rose") for photo in source]
        answers = list(pool.map(classifier.classify, photos))
    assert [answer.confidences for answer in answers] == alone
    assert len(loaded) == 1
    for photo, reason in zip(source, reasons, strict=True):
        assert (reason.result().heat == classifier.explain(photo, "rose").heat).all()


def test_a_network_in_memory_gives_the_saved_ones_reason_and_stays_as_it_is(classifier, photos):
    model = load_model(classifier.checkpoint).train()
    heat = Classifier(classifier.checkpoint, model).explain(as_bytes(photos[0]), "rose").heat
    assert heat == pytest.approx(classifier.explain(as_bytes(photos[0]), "rose").heat, abs=1e-5)
    assert model.training
    assert all(parameter.requires_grad for parameter in model.parameters())


def test_the_reason_of_another_network_is_not_told(tmp_path, photos):
    """A run's best is replaced while it trains."""
    for seed, created in ((0, "2026-01-01T00:00:00Z"), (1, "2026-01-01T00:01:00Z")):
        torch.manual_seed(seed)
        weights = BACKBONES["resnet18"].build(3).state_dict()
        save_checkpoint(tmp_path / "c", weights, Checkpoint("resnet18", CLASSES, PREPARED.to_dict(), created=created))
        if seed == 0:
            classifier = Classifier.load(tmp_path / "c")
    with pytest.raises(CheckpointError, match="has just been replaced by a newer one"):
        classifier.explain(as_bytes(photos[0]))
    assert Classifier.load(tmp_path / "c").explain(as_bytes(photos[0])).label in CLASSES


# Engines


def test_answers_go_on_while_the_engine_is_chosen_and_come_from_it_afterwards(folder, photos, monkeypatch):
    classifier = Classifier.load(folder)
    before, during = classifier.network, []
    faster = Network(before.one, before.many, "Answering with something faster.", settled=True)
    calls = []

    def prepare(checkpoint):
        calls.append(checkpoint)
        during.append(classifier.classify(photos[0]))
        assert classifier.network is before

    monkeypatch.setattr(module, "prepare", prepare)
    monkeypatch.setattr(module, "open_network", lambda *_: faster)
    for _ in range(2):
        classifier.choose_engine()
        assert classifier.network is faster
    assert calls == [classifier.checkpoint]
    assert classifier.classify(photos[0]).confidences == during[0].confidences


def test_an_engine_may_be_asked_for(folder, monkeypatch):
    assert Classifier.load(folder, engine="eager").network.why == "Answering with PyTorch, as asked."
    monkeypatch.setenv("FLOWERS_ENGINE", "eager")
    assert Classifier.load(folder).network.why == "Answering with PyTorch, as asked."
    with pytest.raises(UsageError, match="no engine called 'abacus'"):
        Classifier.load(folder, engine="abacus")


def test_a_network_that_is_not_saved_answers_and_has_nothing_to_choose(photos, monkeypatch):
    checkpoint = Checkpoint("resnet18", CLASSES, PREPARED.to_dict())
    classifier = Classifier(checkpoint, BACKBONES["resnet18"].build(3))
    monkeypatch.setattr(module, "prepare", lambda _: pytest.fail("there is nothing to prepare"))
    classifier.choose_engine()
    assert classifier.classify(photos[0]).label in CLASSES
