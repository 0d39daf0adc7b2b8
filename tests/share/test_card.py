"""The model card: what the Hub can read, what a person can, and nothing that nobody knows."""

import contextlib
import shutil
import tempfile
from dataclasses import replace
from pathlib import Path

import pytest
from huggingface_hub import ModelCard
from hypothesis import given
from hypothesis import strategies as st

from flowers.errors import CheckpointError
from flowers.inference import preparation
from flowers.models.checkpoint import CARD, Checkpoint, bundled_checkpoints, find_checkpoint, read_checkpoint
from flowers.paths import BUNDLED_CHECKPOINTS
from flowers.share.bundle import write_folder
from flowers.share.card import README, body, last_part, listed, model_card, plain
from tests.damage import damaged


def test_the_hub_can_read_the_front_matter(whole):
    data = ModelCard(model_card(whole)).data.to_dict()
    assert data["pipeline_tag"] == "image-classification"
    assert data["library_name"] == "pytorch"
    [result] = data["model-index"][0]["results"]
    assert result["metrics"][0] == {"type": "accuracy", "value": 0.75, "name": "accuracy, n = 12"}
    assert "license" not in data, "nobody has chosen one"


def test_it_tells_what_is_known_with_its_n(whole):
    card = model_card(whole)
    for words in (
        "# 2026\\-01\\-31\\-mine", "A ResNet18", "60 photos", "75.00% right on the 12 photos held back",
        "95 % interval", "temperature of 0.700", "20.00% | 10.00%", "probably none of its classes", "--set epochs=2",
        "another checkpoint, `earlier`", "Licence.",
    ):  # fmt: skip
        assert words in card, words
    assert "somebody" not in card


def test_what_is_not_known_is_said_to_be_so():
    card = model_card(
        Checkpoint("resnet18", ("a", "b"), {"size": 64, "resize": 72, "mean": [0.5] * 3, "std": [0.5] * 3})
    )
    for words in ("Not recorded", "Nobody has measured it", "is not calibrated", "cannot tell what is none"):
        assert words in card, words
    assert "model-index" not in card
    assert ModelCard(card).data.pipeline_tag == "image-classification"


def test_an_accuracy_without_its_n_is_not_given_an_interval(whole):
    metrics = {name: value for name, value in whole.metrics.items() if name != "val_photos"}
    card = model_card(replace(whole, metrics=metrics))
    assert "how many these were is not recorded" in card
    assert "interval" not in card


def test_names_mean_nothing_to_markdown(whole):
    card = body(model_card(whole))
    rows = [line for line in card.splitlines() if line.startswith("| red")]
    assert rows == ["| red\\|rose | 20 |"]
    assert "<b>" not in card
    assert plain("[x](y)\n# z") == "\\[x\\]\\(y\\) \\# z"


def test_a_card_that_somebody_wrote_is_the_card():
    for name in ("flowers-resnet18", "flowers-resnet18-report"):
        written = (BUNDLED_CHECKPOINTS / name / README).read_text()
        assert model_card(find_checkpoint(name)) == written
        assert ModelCard(written).data.license == "apache-2.0"


@pytest.mark.parametrize("name", bundled_checkpoints())
def test_a_card_can_be_made_of_every_checkpoint_that_came_along(name):
    assert "right on" in model_card(replace(find_checkpoint(name), folder=None))


@given(data=st.data())
def test_whatever_a_checkpoint_says_its_card_is_made_or_refused(whole, data):
    with tempfile.TemporaryDirectory() as scratch:
        folder, out = Path(scratch) / "c", Path(scratch) / "out"
        shutil.copytree(whole.folder, folder)
        out.mkdir()
        (folder / CARD).write_bytes(data.draw(damaged((whole.folder / CARD).read_bytes())))
        for told in (lambda c: write_folder(c, out), lambda c: model_card(c).encode(), preparation):
            with contextlib.suppress(CheckpointError):
                told(read_checkpoint(folder))


@pytest.mark.parametrize(
    ("section", "values"),
    [
        ("metrics", {"val_accuracy": "0.9"}),
        ("metrics", {"val_photos": -1}),
        ("metrics", {"average_of": 5}),
        ("photos", {"counts": ["rose"]}),
        ("photos", {"counts": {"rose": "many"}}),
        ("recipe", {"init": ["imagenet"]}),
        ("calibration", {"temperature": "hot"}),
        ("calibration", {"temperature": 1.0, "facts": {"calibrated": {}, "uncalibrated": {}}}),
        ("calibration", {"temperature": 1.0, "facts": {"accuracy": [1]}}),
    ],
)
def test_a_checkpoint_that_says_what_none_can_has_no_card(whole, section, values):
    with pytest.raises(CheckpointError, match=r"^The checkpoint c is damaged: its checkpoint\.json cannot be read\.$"):
        model_card(replace(whole, folder=Path("c"), **{section: values}))


@pytest.mark.parametrize(
    "facts",
    [{}, {"accuracy": 0.5}, {"accuracy_of_known": 0.5}, {"photos_held_back": 12}, {"honest_calibration_error": 0.1}],
)
def test_what_a_calibration_leaves_out_is_not_told(whole, facts):
    calibration = {"familiar": {"nearest": 1}, "facts": facts}
    assert "How sure it is" in model_card(replace(whole, folder=None, metrics={}, calibration=calibration))


def test_a_damaged_card_of_somebodys_is_shown_as_far_as_it_goes(whole, tmp_path):
    (tmp_path / README).write_bytes(b"# Mine\n\xff flowers\n")
    assert "flowers" in model_card(replace(whole, folder=tmp_path))


def test_the_body_has_no_front_matter():
    assert body("---\na: 1\n---\n\n# Title\n\n---\nend\n") == "# Title\n\n---\nend"
    assert body("# Title\n") == "# Title"


@pytest.mark.parametrize(
    ("path", "name"),
    [
        ("/home/me/runs/mine/best", "mine"), ("runs/mine", "mine"), ("C:\\runs\\mine\\last", "mine"), ("imagenet",) * 2,
        ("best", "best"), ("", ""),
    ],
)  # fmt: skip
def test_a_path_is_called_by_its_last_part(path, name):
    assert last_part(path) == name


def test_lists_read_well():
    assert listed(["a"]) == "a"
    assert listed(["a", "b", "c"]) == "a, b and c"
    assert listed(map(str, range(15))).endswith("11 and 3 more")
