"""The shipped manifests: which photos the known sets are made of."""

from collections import Counter
from pathlib import Path

import pytest

from flowers.data.manifest import manifest
from flowers.data.sources import KNOWN

NAMES = ["flowers5", "flowers5-wide", "flowers5-everyday"]


@pytest.mark.parametrize("name", NAMES)
def test_a_manifest_holds_what_its_set_promises(name):
    entries = manifest(name)
    assert len(entries) == KNOWN[name].count == len({(entry.label, entry.filename) for entry in entries})
    assert tuple(sorted({entry.label for entry in entries})) == KNOWN[name].classes
    assert all(entry.filename == Path(entry.filename).name for entry in entries)
    for entry in entries:
        if entry.fingerprint:
            assert len(bytes.fromhex(entry.fingerprint)) == 16 and not entry.sha256
        else:
            assert len(bytes.fromhex(entry.sha256)) == 32 and entry.bytes > 1000


def test_flowers5_is_the_reports_set():
    entries = manifest("flowers5")
    assert Counter(entry.label for entry in entries) == {
        "daisy": 588, "dandelion": 556, "rose": 583, "sunflower": 536, "tulip": 585,
    }  # fmt: skip
    twice = {sha256 for sha256, count in Counter(entry.sha256 for entry in entries).items() if count > 1}
    labels = sorted(tuple(entry.label for entry in entries if entry.sha256 == sha256) for sha256 in twice)
    assert labels == [("rose", "tulip")] * 3 + [("sunflower", "sunflower")]


def test_no_photo_is_both_learned_from_and_asked_about():
    wide, everyday, report = (manifest(name) for name in ("flowers5-wide", "flowers5-everyday", "flowers5"))
    asked = {entry.filename for entry in everyday}
    assert not asked & {entry.filename for entry in (*wide, *report)}


def test_wide_is_the_report_and_more_without_what_has_two_labels():
    wide = manifest("flowers5-wide")
    reports = [entry._replace(held_back=False) for entry in wide if entry.sha256]
    assert len(reports) == 2848 - 6 and set(reports) <= set(manifest("flowers5"))
    assert sum(entry.held_back for entry in wide) == 570
    assert all(entry.sha256 for entry in wide if entry.held_back)
    labels = {entry.sha256: entry.label for entry in reports}
    assert all(labels[entry.sha256] == entry.label for entry in reports), "none under two labels"


def test_dandelions_of_both_kinds_are_learned_from_and_asked_about():
    for name in ("flowers5-wide", "flowers5-everyday"):
        kinds = Counter(entry.kind for entry in manifest(name) if entry.kind)
        assert set(kinds) == {"yellow", "seed head"} and min(kinds.values()) >= 28
        assert all(entry.label == "dandelion" for entry in manifest(name) if entry.kind)
