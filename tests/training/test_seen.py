"""What was seen of photos before is found again by their contents, and never costs a run."""

import contextlib
import shutil
import sqlite3

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from flowers.data.dataset import scan
from flowers.paths import cache_dir
from flowers.training import seen as module
from flowers.training import train as training
from flowers.training.events import Epoch, Probing
from flowers.training.seen import Seen
from flowers.training.train import train
from tests.conftest import TINY
from tests.damage import damaged

FEATURES = {name * 64: torch.rand(2, 7) for name in "abc"}


def same(found: dict, wanted: dict) -> bool:
    return found.keys() == wanted.keys() and all(torch.equal(found[name], wanted[name]) for name in wanted)


def test_what_was_kept_is_found_by_whoever_looks_with_the_same_network():
    Seen("lite0").keep(FEATURES)
    assert same(Seen("lite0").find([*FEATURES, "d" * 64]), FEATURES)
    assert Seen("lite1").find([*FEATURES]) == {}


def test_thousands_are_asked_for_at_once():
    many = {f"{number:064x}": torch.rand(1, 2) for number in range(1200)}
    Seen("lite0").keep(many)
    assert same(Seen("lite0").find([*many]), many)


def test_what_nobody_asked_for_in_a_week_is_forgotten(monkeypatch):
    clock = iter([0.0, 0.0, *[module.KEPT_SECONDS + 1.0] * 4])
    monkeypatch.setattr(module.time, "time", lambda: next(clock))
    one = Seen("lite0")
    one.keep({name: FEATURES[name] for name in ("a" * 64,)})
    one.keep({name: FEATURES[name] for name in ("b" * 64,)})
    assert one.find(["a" * 64]) == {}


def test_only_the_latest_are_kept(monkeypatch):
    monkeypatch.setattr(module, "KEPT_PHOTOS", 2)
    for name, features in FEATURES.items():
        Seen("lite0").keep({name: features})
    assert Seen("lite0").find([*FEATURES]).keys() == {"b" * 64, "c" * 64}


@pytest.mark.parametrize("damage", [b"no database at all" * 100, b""])
def test_a_damaged_file_is_as_none(damage):
    cache_dir().mkdir(parents=True, exist_ok=True)
    (cache_dir() / "seen.sqlite").write_bytes(damage)
    Seen("lite0").keep(FEATURES)
    assert Seen("lite0").find([*FEATURES]).keys() <= FEATURES.keys()


@pytest.mark.parametrize(
    "wrong",
    [
        "views = 'two'",
        "views = NULL",
        "views = 3",
        "views = 1e300",
        "features = 'text'",
        "features = 5",
        "features = x'00'",
        "features = NULL",
    ],
)
def test_what_was_never_kept_is_not_found(wrong):
    Seen("lite0").keep(FEATURES)
    with contextlib.closing(sqlite3.connect(cache_dir() / "seen.sqlite")) as table, table:
        table.execute(f"UPDATE seen SET {wrong} WHERE photo = ?", ["b" * 64])
    found = Seen("lite0").find([*FEATURES])
    assert same(found, {name: FEATURES[name] for name in found}) and "b" * 64 not in found


@given(data=st.data())
@settings(max_examples=5 * settings.default.max_examples)
def test_whatever_is_in_the_file_it_costs_no_run(data):
    shutil.rmtree(cache_dir(), ignore_errors=True)
    Seen("lite0").keep(FEATURES)
    file = cache_dir() / "seen.sqlite"
    file.write_bytes(data.draw(damaged(file.read_bytes(), values=False)))
    found = Seen("lite0").find([*FEATURES])
    assert found.keys() <= FEATURES.keys() and len({rows.shape for rows in found.values()}) <= 1
    Seen("lite0").keep(FEATURES)


def test_a_file_that_is_no_database_gives_way_to_one():
    cache_dir().mkdir(parents=True, exist_ok=True)
    (cache_dir() / "seen.sqlite").write_bytes(b"no database at all" * 100)
    for _ in range(2):
        Seen("lite0").keep(FEATURES)
    assert same(Seen("lite0").find([*FEATURES]), FEATURES)


def test_a_cache_that_cannot_be_written_is_as_none():
    (cache_dir() / "seen.sqlite").mkdir(parents=True)
    Seen("lite0").keep(FEATURES)
    assert Seen("lite0").find([*FEATURES]) == {}


def test_a_file_that_somebody_else_holds_is_not_waited_for_for_ever(monkeypatch):
    Seen("lite0").keep(FEATURES)
    real = sqlite3.connect
    monkeypatch.setattr(module.sqlite3, "connect", lambda file, timeout: real(file, timeout=0))
    with real(cache_dir() / "seen.sqlite") as other:
        other.execute("BEGIN EXCLUSIVE")
        assert Seen("lite0").find([*FEATURES]) == {}
        other.rollback()
    other.close()


@pytest.mark.usefixtures("tiny_network")
def test_a_second_run_looks_only_at_what_is_new(garden, monkeypatch):
    net = training.starting_model
    monkeypatch.setattr(
        training, "starting_model", lambda recipe, classes: net(recipe.replace(init="scratch"), classes)
    )
    recipe = TINY.replace(probe="folds", init="imagenet", mirror_answers="on")
    dataset = scan(garden)
    first = list(train(recipe, dataset))
    monkeypatch.setattr(training.probe, "features", lambda *_: pytest.fail("it was looked at before"))
    second = list(train(recipe, dataset))
    told = [[event.val_loss for event in events if isinstance(event, Epoch)] for events in (first, second)]
    assert told[0] == pytest.approx(told[1])
    assert [(e.done, e.total) for e in second if isinstance(e, Probing)] == [(40, 40)]
