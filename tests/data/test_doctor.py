"""The doctor names what is wrong with a photo set, and copies the rest."""

import dataclasses
import json
import random
import shutil
from pathlib import Path

import pytest
from PIL import Image

from flowers.data.dataset import Photo, PhotoDataset, Split, scan
from flowers.data.doctor import FEW, SHOWN, SMALL_SIDE, Suspect, check, matches, write_clean
from flowers.errors import DataError, UsageError
from tests.data.test_fingerprint import frame


@pytest.fixture
def ill(garden, tmp_path) -> Path:
    """A set with one of everything."""
    root = shutil.copytree(garden, tmp_path / "set")
    shutil.copy(root / "rose" / "rose-0003.jpg", root / "rose" / "same.jpg")
    shutil.copy(root / "daisy" / "daisy-0001.jpg", root / "tulip" / "not-a-tulip.jpg")
    Image.open(root / "tulip" / "tulip-0002.jpg").resize((90, 90)).save(root / "tulip" / "larger.png")
    (root / "sunflower" / "broken.jpg").write_bytes(b"\xff\xd8\xff")
    Image.new("RGB", (5, 5)).save(root / "daisy" / "tiny.png")
    return root


def sections(text: str) -> dict[str, list[str]]:
    """The rows under each heading of a report."""
    found: dict[str, list[str]] = {}
    heading = ""
    for line in text.splitlines():
        if line.startswith("  "):
            found[heading].append(line.strip())
        else:
            heading = line
            found[heading] = []
    return found


# What it finds


def test_a_sound_set_has_no_findings(garden_set):
    findings = check(garden_set)
    assert (findings.duplicates, findings.conflicts, findings.leaks, findings.shared) == ((), (), (), ())
    assert findings.left_out() == {}
    told = sections(findings.text())
    assert told[f"40 photos in 5 classes under {garden_set.root}"][0].split() == ["daisy", "8", "20.0%"]
    for heading in (
        "Unreadable files, left out",
        "Pictures under two labels",
        "Pictures more than once in their class",
    ):
        assert told[f"{heading}: none"] == []
    assert told["On both sides of the split (seed 0): none"] == []
    assert not any("Suspected" in heading for heading in told)


def test_everything_wrong_is_named(ill):
    findings = check(scan(ill))
    (conflict,) = findings.conflicts
    assert (conflict.photos, conflict.exact) == (("daisy/daisy-0001.jpg", "tulip/not-a-tulip.jpg"), True)
    assert [(group.photos, group.exact) for group in findings.duplicates] == [
        (("rose/rose-0003.jpg", "rose/same.jpg"), True),
        (("tulip/larger.png", "tulip/tulip-0002.jpg"), False),
    ]
    told = sections(findings.text())
    unreadable = told["Unreadable files, left out: 2"]
    assert [line.split()[0] for line in unreadable] == ["daisy/tiny.png", "sunflower/broken.jpg"]
    assert "only 5 × 5 pixels" in unreadable[0]
    assert told["Pictures under two labels: 1"] == ["same file  daisy/daisy-0001.jpg = tulip/not-a-tulip.jpg"]
    assert told["Pictures more than once in their class: 2"] == [
        "same file  rose/rose-0003.jpg = rose/same.jpg",
        "near copy  tulip/larger.png = tulip/tulip-0002.jpg",
    ]


def test_small_photos_are_those_enlarging_cannot_help(garden, tmp_path):
    root = shutil.copytree(garden, tmp_path / "set")
    shutil.rmtree(root / "rose")
    for photo in root.rglob("*.jpg"):
        Image.open(photo).resize((SMALL_SIDE, 3 * SMALL_SIDE)).save(photo)
    Image.new("RGB", (400, SMALL_SIDE - 1)).save(root / "tulip" / "flat.png")
    (small,) = check(scan(root)).small
    assert (small.photo, small.width, small.height) == ("tulip/flat.png", 400, SMALL_SIDE - 1)


def test_the_split_is_checked_photo_by_photo(ill, monkeypatch):
    """Were it to part two copies, the doctor would say so."""
    dataset = scan(ill)
    assert check(dataset).leaks == ()
    place = {photo.path: index for index, photo in enumerate(dataset.photos)}
    torn = {place["rose/same.jpg"], place["tulip/not-a-tulip.jpg"]}
    parted = Split(tuple(i for i in range(len(dataset)) if i not in torn), tuple(sorted(torn)))
    monkeypatch.setattr(PhotoDataset, "split", lambda self: parted)
    leaks = check(dataset).leaks
    assert [(leak.photo, leak.other, leak.exact) for leak in leaks] == [
        ("daisy/daisy-0001.jpg", "tulip/not-a-tulip.jpg", True),
        ("rose/rose-0003.jpg", "rose/same.jpg", True),
    ]


def test_photos_in_another_set_are_told(garden, ill, tmp_path):
    other = tmp_path / "held-out"
    for name, photo in (("a", "tulip/tulip-0002.jpg"), ("b", "rose/rose-0003.jpg")):
        (other / name).mkdir(parents=True)
        shutil.copy(garden / photo, other / name / "1.jpg")
        for n in (2, 3):
            Image.effect_noise((80, 80), 50).save(other / name / f"{n}.png")
    findings = check(scan(ill), scan(other))
    assert {(match.photo, match.other, match.exact) for match in findings.shared} == {
        ("rose/rose-0003.jpg", "b/1.jpg", True),
        ("rose/same.jpg", "b/1.jpg", True),
        ("tulip/larger.png", "a/1.jpg", False),
        ("tulip/tulip-0002.jpg", "a/1.jpg", True),
    }
    assert "same file  rose/same.jpg = b/1.jpg" in sections(findings.text())["Also in held-out: 4"]
    assert findings.left_out()["tulip/tulip-0002.jpg"] == "also in held-out"
    assert check(scan(other), scan(garden)).left_out().keys() == {"a/1.jpg", "b/1.jpg"}


def test_matches_are_all_pairs_across_and_none_within():
    rng = random.Random(0)
    photos = [Photo(f"{n}.jpg", 0, f"{n}", f"{rng.getrandbits(128):032x}") for n in range(30)]
    near = dataclasses.replace(photos[3], path="near.jpg", sha256="x", fingerprint=bits_flipped(photos[3], 20))
    far = dataclasses.replace(photos[4], path="far.jpg", sha256="y", fingerprint=bits_flipped(photos[4], 21))
    found = matches([photos[5], *photos], [near, far, photos[5]])
    assert [(match.photo, match.other, match.exact) for match in found] == [
        ("5.jpg", "5.jpg", True), ("3.jpg", "near.jpg", False), ("5.jpg", "5.jpg", True),
    ]  # fmt: skip


def bits_flipped(photo: Photo, count: int) -> str:
    return f"{int(photo.fingerprint, 16) ^ (2**count - 1):032x}"


def test_a_set_is_not_compared_with_itself(garden_set):
    with pytest.raises(UsageError, match="in common with itself"):
        check(garden_set, garden_set)


def test_three_copies_are_no_series(tmp_path):
    for n in range(3):
        for name, seed in (("few", 1), ("other", 2 + n)):
            (tmp_path / "set" / name).mkdir(parents=True, exist_ok=True)
            frame(seed, n / 5).save(tmp_path / "set" / name / f"{n}.png")
    findings = check(scan(tmp_path / "set"))
    assert findings.series == () and [len(group.photos) for group in findings.duplicates] == [3]


def test_a_series_is_kept_and_said(tmp_path):
    """Frames of a burst are no copies that somebody should leave out; the same file twice is one."""
    for n in range(8):
        for name, seed in (("burst", 1), ("other", 2)):
            (tmp_path / "set" / name).mkdir(parents=True, exist_ok=True)
            frame(seed, n / 5).save(tmp_path / "set" / name / f"{n}.png")
    shutil.copy(tmp_path / "set" / "burst" / "3.png", tmp_path / "set" / "burst" / "again.png")
    findings = check(scan(tmp_path / "set"))
    assert [(one.name, one.photos) for one in findings.series] == [("burst", 9), ("other", 8)]
    assert findings.left_out() == {"burst/again.png": "a copy of burst/3.png"}
    assert findings.conflicts == () and findings.leaks == ()
    assert "burst: 9 photos that look like others of the class" in findings.text()


@pytest.mark.parametrize(
    ("counts", "said"),
    [
        ((90, 30), ["a has 3.0 times the photos of b, which matters: always answering a is right for 75%"]),
        ((89, 30), ["The largest class has 3.0 times the photos of the smallest, which does not matter."]),
        ((FEW, FEW), ["The largest class has 1.0 times"]),
        ((30, FEW - 1), ["The largest class has 1.2 times", "Of b, 24 photos are few: with 5 held back"]),
        ((2, 3), ["The largest class has 1.5 times", "Of a, 2 photos are few: with 1 held back, one mistake moves"]),
    ],
)
def test_it_says_when_the_sizes_of_the_classes_matter(counts, said, tmp_path, monkeypatch):
    monkeypatch.setattr("flowers.data.doctor.image_size", lambda path: (500, 500))
    rng = random.Random(0)
    photos = [
        Photo(f"{'ab'[label]}/{n}.jpg", label, f"{label}{n}", f"{rng.getrandbits(128):032x}")
        for label, count in enumerate(counts)
        for n in range(count)
    ]
    findings = check(PhotoDataset(tmp_path, ("a", "b"), tuple(photos)))
    assert len(findings.balance) == len(said)
    for sentence, beginning in zip(findings.balance, said, strict=True):
        assert sentence.startswith(beginning)


def test_five_photos_in_all_are_enough_to_look_at(garden, tmp_path):
    for flower, count in (("rose", 2), ("tulip", 3)):
        (tmp_path / "set" / flower).mkdir(parents=True)
        for photo in sorted((garden / flower).iterdir())[:count]:
            shutil.copy(photo, tmp_path / "set" / flower)
    findings = check(scan(tmp_path / "set"))
    assert (findings.leaks, len(findings.balance)) == ((), 2)


def test_a_class_of_copies_cannot_be_split_and_the_doctor_says_so(garden, tmp_path):
    root = tmp_path / "set"
    shutil.copytree(garden / "rose", root / "rose")
    (root / "tulip").mkdir()
    for name in "ab":
        shutil.copy(garden / "tulip" / "tulip-0001.jpg", root / "tulip" / f"{name}.jpg")
    findings = check(scan(root))
    assert findings.leaks is None
    assert findings.to_dict()["leaks"] is None
    assert "it cannot be split" in findings.text()


# What it tells


def suspect(photo: str, confident: bool = True) -> Suspect:
    return Suspect(photo, photo.partition("/")[0], "lily", 0.75, 0.25, confident)


def test_all_of_it_goes_through_json_and_names_no_folder_of_this_machine(ill, garden_set):
    findings = dataclasses.replace(
        check(scan(ill), garden_set), suspects=(suspect("rose/same.jpg"),), basis="Judged by chance."
    )
    told = json.loads(json.dumps(findings.to_dict()))
    assert str(ill.parent) not in json.dumps(told)
    assert (told["source"], told["photos"], told["against"]) == ("set", 43, "garden")
    assert told["counts"]["tulip"] == 10
    assert [item["path"] for item in told["unreadable"]] == ["daisy/tiny.png", "sunflower/broken.jpg"]
    assert told["conflicts"] == [{"photos": ["daisy/daisy-0001.jpg", "tulip/not-a-tulip.jpg"], "exact": True}]
    assert [group["photos"][0] for group in told["duplicates"]] == ["rose/rose-0003.jpg", "tulip/larger.png"]
    assert len(told["small"]) == 43
    assert len(told["shared"]) == 43
    assert told["suspects"] == [
        {"photo": "rose/same.jpg", "label": "rose", "suggestion": "lily", "confidence": 0.75,
         "confidence_in_label": 0.25, "confident": True}
    ]  # fmt: skip
    assert told["basis"] == "Judged by chance."
    assert check(scan(ill)).to_dict()["suspects"] is None  # not looked for, which is not the same as none


def test_of_long_lists_a_terminal_gets_the_beginning(garden_set):
    many = tuple(suspect(f"rose/{n}.jpg", n < 2) for n in range(SHOWN + 3))
    told = sections(dataclasses.replace(check(garden_set), suspects=many).text())
    rows = told[f"Suspected wrong labels, worst first, 2 of them probable: {SHOWN + 3}"]
    assert rows[1:3] == [
        "probably   75% against 25%  rose/1.jpg → lily",
        "perhaps    75% against 25%  rose/2.jpg → lily",
    ]
    assert rows[-1] == "… and 3 more, which --json tells"
    assert len(rows) == SHOWN + 1


# The clean copy


def names(root: Path) -> set[str]:
    return {path.relative_to(root).as_posix() for path in root.rglob("*") if path.is_file()}


def test_a_clean_copy_has_every_picture_once_and_nothing_doubtful(ill, tmp_path):
    before = names(ill)
    left_out = write_clean(check(scan(ill)), tmp_path / "clean")
    assert left_out == {
        "daisy/tiny.png": "unreadable",
        "sunflower/broken.jpg": "unreadable",
        "rose/same.jpg": "a copy of rose/rose-0003.jpg",
        "tulip/tulip-0002.jpg": "a copy of tulip/larger.png",
        "daisy/daisy-0001.jpg": "one picture under two labels",
        "tulip/not-a-tulip.jpg": "one picture under two labels",
    }
    assert names(tmp_path / "clean") == before - left_out.keys()
    assert names(ill) == before
    for name in names(tmp_path / "clean"):
        assert (tmp_path / "clean" / name).read_bytes() == (ill / name).read_bytes()
    assert check(scan(tmp_path / "clean")).left_out() == {}


def test_only_probable_suspects_go_and_only_when_asked(ill):
    suspects = (suspect("rose/rose-0003.jpg"), suspect("tulip/tulip-0001.jpg", confident=False))
    findings = dataclasses.replace(check(scan(ill)), suspects=suspects)
    assert not findings.left_out().keys() & {"rose/rose-0003.jpg", "tulip/tulip-0001.jpg"}
    left_out = findings.left_out(suspects=True)
    assert left_out["rose/rose-0003.jpg"] == "looks like lily"
    assert "rose/same.jpg" not in left_out  # the only one left of its kind
    assert "tulip/tulip-0001.jpg" not in left_out


@pytest.mark.parametrize("where", ["set/rose/clean", "set", "full", "full/file"])
def test_a_clean_copy_replaces_nothing_and_goes_into_no_class(ill, tmp_path, where):
    (tmp_path / "full").mkdir()
    (tmp_path / "full" / "file").touch()
    before = names(tmp_path)
    with pytest.raises(UsageError, match="choose"):
        write_clean(check(scan(ill)), tmp_path / where)
    assert names(tmp_path) == before


def test_a_class_of_which_nothing_would_be_left_is_told(garden, tmp_path):
    root = tmp_path / "set"
    shutil.copytree(garden / "rose", root / "rose")
    shutil.copytree(garden / "rose", root / "pink")
    with pytest.raises(DataError, match="class pink would be left with fewer than two photos"):
        write_clean(check(scan(root)), tmp_path / "clean")
    assert not (tmp_path / "clean").exists()


# The report's photos


@pytest.mark.thorough  # the same photos' copies and conflicts are counted in test_dataset.py
def test_the_reports_conflicts_are_three_files_each_in_rose_and_in_tulip(real_photos):
    findings = check(scan(real_photos))
    assert [group.exact for group in findings.conflicts] == [True] * 3
    for group, number in zip(findings.conflicts, ("17104364030", "17291451621", "17291930305"), strict=True):
        assert [(path.split("/")[0], number in path) for path in group.photos] == [("rose", True), ("tulip", True)]
    assert len(findings.duplicates) == 13
    assert findings.leaks == ()
    assert len(findings.balance) == 1
    assert "does not matter" in findings.balance[0]
