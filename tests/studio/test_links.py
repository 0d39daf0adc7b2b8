"""What an address may ask for."""

from pathlib import Path

import pytest
from gradio.utils import get_upload_folder

from flowers.studio import examples, links
from flowers.studio.language import text
from flowers.studio.links import example_photos, read

TABS = ["classify", "train", "augment", "evaluate", "share"]


@pytest.fixture(autouse=True)
def bare(monkeypatch, tmp_path):
    monkeypatch.setenv("FLOWERS_RUNS", str(tmp_path / "runs"))


def asked(**address: str) -> tuple:
    return read(address, TABS)


def test_a_plain_address_changes_nothing():
    assert asked() == ("", None, {})
    assert asked(__theme="dark", utm_source="mail") == ("", None, {})


@pytest.mark.parametrize("tab", TABS)
def test_a_tab_is_opened(tab):
    assert asked(tab=tab) == ("", tab, {})


@pytest.mark.parametrize("tab", ["classify", "evaluate", "share"])
def test_a_checkpoint_is_chosen_in_its_tab_alone(tab):
    problem, opened, changes = asked(tab=tab, checkpoint="flowers-resnet18")
    assert (problem, opened) == ("", tab)
    assert {where: change["value"] for where, change in changes.items()} == {(tab, "checkpoint"): "flowers-resnet18"}


def test_the_tab_may_be_left_out_where_the_rest_tells_it():
    assert asked(photo="rose")[1] == "classify"
    assert asked(checkpoint="flowers-resnet18")[1] == "classify"


def test_examples_go_by_their_names():
    assert set(example_photos()) == set(examples.CLASSES)
    assert asked(tab="classify", photo="tulip")[2] == {("classify", "photo"): example_photos()["tulip"]}
    for own in ("rose.jpg", "painted-rose.png", "rose/1.jpg"):
        assert examples.name_of(f"/tmp/gradio/{own}") is None


def test_a_photo_of_a_known_set_goes_by_its_path_in_the_set(monkeypatch, garden):
    monkeypatch.setattr(links, "local", lambda name: garden if name == "garden" else None)
    photo = next(garden.glob("*/*.jpg")).relative_to(garden).as_posix()
    (found,) = asked(tab="classify", photo=f"garden/{photo}")[2].values()
    assert Path(found).is_relative_to(get_upload_folder()) and Path(found).name == Path(photo).name
    assert Path(found).read_bytes() == (garden / photo).read_bytes()
    for other in (
        "garden/rose/none.jpg",
        f"flowers5/{photo}",
        f"garden/../garden/{photo}",
        "garden/../../x",
        "garden/",
    ):
        assert asked(tab="classify", photo=other)[2] == {}


@pytest.mark.parametrize(
    "value", ["http://169.254.169.254/latest", "file:///etc/passwd", "../../etc/passwd", "/etc/passwd", "ROSE", "<b>"]
)
@pytest.mark.parametrize(("tab", "name"), [("classify", "photo"), ("train", "run"), ("share", "checkpoint")])
def test_anything_that_is_not_ours_ends_in_a_sentence(tab, name, value):
    problem, opened, changes = asked(tab=tab, **{name: value})
    assert opened == tab and changes == {}
    assert f"link.no_{name}" in problem  # said in the visitor's language as the page goes out
    assert text("en", f"link.no_{name}", name=value).endswith(".")


def test_an_unknown_tab_ends_in_a_sentence():
    problem, opened, changes = asked(tab="nowhere", photo="rose")
    assert "link.no_tab" in problem and opened is None and changes == {}


def test_what_does_not_belong_to_the_tab_is_left_aside():
    assert asked(tab="train", photo="rose") == ("", "train", {})
