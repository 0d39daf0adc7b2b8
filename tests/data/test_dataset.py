"""The index and the split: the same photos are divided the same way everywhere, and copies never meet across it."""

import functools
import hashlib
import json
import os
import random
import shutil
import threading
from collections import Counter
from pathlib import Path

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from PIL import Image

from flowers.data import dataset as module
from flowers.data.classes import CLASS_NAMES, OWN
from flowers.data.dataset import (
    HELD_BACK,
    Photo,
    PhotoDataset,
    Split,
    listing,
    open_dataset,
    scan,
    scan_if_read,
)
from flowers.data.doctor import check, write_clean
from flowers.errors import DataError
from flowers.paths import cache_dir
from tests.damage import damaged

# Of the report's 2,848 photos: what is held back, by label and content. It must be this on every machine, for ever.
REPORT_COUNTS = {"daisy": 588, "dandelion": 556, "rose": 583, "sunflower": 536, "tulip": 585}
REPORT_DIGEST = "d9c0234e107949d0"
REPORT_VALIDATION = "4a70bf436790315b"


def picture(seed: int, side: int = 96) -> Image.Image:
    """Coloured clouds; two seeds look nothing alike."""
    noise = np.random.default_rng(seed).integers(0, 256, (6, 6, 3), dtype=np.uint8)
    return Image.fromarray(noise).resize((side, side), Image.Resampling.BICUBIC)


def fill(root: Path, classes: dict[str, list]) -> Path:
    """``classes``: by name, the photos as pictures, as bytes, or as numbers for ``picture``."""
    for name, photos in classes.items():
        (root / name).mkdir(parents=True)
        for i, photo in enumerate(photos):
            if isinstance(photo, bytes):
                (root / name / f"{i:03}.jpg").write_bytes(photo)
            else:
                (photo if isinstance(photo, Image.Image) else picture(photo)).save(root / name / f"{i:03}.png")
    return root


def side_of(dataset: PhotoDataset, path: str, seed: int = 0) -> str:
    split = dataset.split(seed)
    index = next(i for i, photo in enumerate(dataset.photos) if photo.path == path)
    return "val" if index in split.val else "train"


def contents(dataset: PhotoDataset, indices) -> list[str]:
    return sorted(f"{dataset.classes[dataset.photos[i].label]}/{dataset.photos[i].sha256}" for i in indices)


def digest(rows: list[str]) -> str:
    return hashlib.sha256("\n".join(rows).encode()).hexdigest()[:16]


def made_up(groups: list[list[int]], classes: int) -> PhotoDataset:
    """A dataset without files: each group is one picture's copies, given by their labels."""
    rng = random.Random(repr(groups))
    photos = []
    for number, labels in enumerate(groups):
        sha256, code = f"{number:064x}", f"{rng.getrandbits(128):032x}"
        photos += [Photo(f"{label}/{number}-{i}.jpg", label, sha256, code) for i, label in enumerate(labels)]
    return PhotoDataset(Path("nowhere"), tuple(f"class{i}" for i in range(classes)), tuple(photos))


# The index


def test_photos_are_found_with_their_labels(garden):
    dataset = scan(garden)
    assert dataset.classes == ("daisy", "dandelion", "rose", "sunflower", "tulip")
    assert dataset.counts == dict.fromkeys(dataset.classes, 8)
    assert len(dataset) == 40
    assert not dataset.unreadable
    for i, photo in enumerate(dataset.photos):
        assert photo.path.split("/")[0] == dataset.classes[photo.label]
        assert hashlib.sha256(dataset.path(i).read_bytes()).hexdigest() == photo.sha256


def test_nested_folders_count_and_hidden_files_do_not(tmp_path):
    fill(tmp_path / "a", {"rose": [1, 2], "tulip": [3, 4]})
    shutil.copytree(tmp_path / "a" / "rose", tmp_path / "b" / "rose" / "deep" / "er")
    shutil.copytree(tmp_path / "a" / "tulip", tmp_path / "b" / "tulip")
    for litter in (".hidden.jpg", ".git/x.jpg", "rose/.DS_Store", "rose/Thumbs.db", "tulip/__MACOSX/x.jpg", "top.jpg"):
        (tmp_path / "b" / litter).parent.mkdir(exist_ok=True)
        (tmp_path / "b" / litter).write_text("litter")
    one, other = scan(tmp_path / "a"), scan(tmp_path / "b")
    assert [photo.path for photo in other.photos][:2] == ["rose/deep/er/000.png", "rose/deep/er/001.png"]
    assert other.counts == {"rose": 2, "tulip": 2}
    assert other.unreadable == ()
    assert other.digest == one.digest


def test_a_link_to_a_parent_is_not_followed(tmp_path):
    fill(tmp_path, {"rose": [1, 2], "tulip": [3, 4]})
    (tmp_path / "rose" / "loop").symlink_to(tmp_path)
    assert scan(tmp_path).counts == {"rose": 2, "tulip": 2}


def test_unreadable_files_are_named_and_left_out(tmp_path):
    fill(tmp_path, {"rose": [1, 2, b""], "tulip": [3, 4, b"not a photo", b"\xff\xd8\xff cut short"]})
    dataset = scan(tmp_path)
    assert dataset.counts == {"rose": 2, "tulip": 2}
    assert [item.path for item in dataset.unreadable] == ["rose/002.jpg", "tulip/002.jpg", "tulip/003.jpg"]
    for item in dataset.unreadable:
        assert item.reason.startswith(f"{item.path} ")
        assert item.reason.endswith(".")


def test_a_film_among_the_photos_is_not_read_into_memory(tmp_path):
    fill(tmp_path, {"rose": [1, 2], "tulip": [3, 4]})
    (tmp_path / "rose" / "film.mov").touch()
    try:
        os.truncate(tmp_path / "rose" / "film.mov", 10**12)  # a hole: it takes no room on the disk
    except OSError:
        pytest.skip("this file system has no files with holes")
    assert [item.reason for item in scan(tmp_path).unreadable] == [
        "rose/film.mov is larger than 50 MB: save it smaller and try again."
    ]


@pytest.mark.parametrize(
    ("classes", "said"),
    [
        ({}, "holds 0 class folders"),
        ({"rose": [1, 2]}, "holds 1 class folder: it needs 2 to 1000"),
        ({"rose": [1, 2], "tulip": []}, "class tulip has no photo: add some"),
        ({"rose": [1, 2], "tulip": [b"x", b"y"]}, "class tulip has no photo (2 of its files could not be read)"),
        ({"rose": [1, 2], "tulip": [3]}, "class tulip has only one photo: it needs two"),
        ({"rose": [1, 2], "tulip": [3, b"x"]}, "only one photo (1 of its files could not be read)"),
    ],
)
def test_too_few_classes_or_photos_are_told_in_a_sentence(tmp_path, classes, said):
    tmp_path.joinpath("set").mkdir()
    with pytest.raises(DataError) as caught:
        scan(fill(tmp_path / "set", classes))
    assert said in str(caught.value)
    assert len(str(caught.value).splitlines()) == 1


def test_a_set_read_before_is_not_read_again(tmp_path, decoded):
    fill(tmp_path, {"rose": [1, 2], "tulip": [3, 4]})
    first = scan(tmp_path)
    assert len(decoded) == 4
    assert scan(tmp_path) == first and len(decoded) == 4


def test_no_more_than_four_photos_are_held_in_memory_at_a_time(tmp_path, monkeypatch):
    fill(tmp_path, {"rose": range(20), "tulip": range(20, 40)})
    lock, now, most, real = threading.Lock(), 0, 0, module.decode_image

    def decode(*args, **kwargs):
        nonlocal now, most
        with lock:
            now += 1
            most = max(most, now)
        image = real(*args, **kwargs)
        with lock:
            now -= 1
        return image

    monkeypatch.setattr(module, "decode_image", decode)
    assert len(scan(tmp_path)) == 40
    assert 1 <= most <= min(4, os.cpu_count() or 1)


def test_files_are_not_all_queued_at_once(tmp_path, decoded, monkeypatch):
    """What waits for the threads is bounded: a task for each of 100,000 photos would take 200 MB."""
    fill(tmp_path, {"rose": range(15), "tulip": range(15, 30)})
    monkeypatch.setattr(module, "FACTS_AHEAD", 4)
    ahead = []
    scan(tmp_path, lambda done, total: ahead.append(len(decoded) - done))
    assert max(ahead) <= 4 + 1


@pytest.mark.parametrize("copies", [2, 3, 10])
def test_a_class_of_copies_cannot_be_divided(tmp_path, copies):
    fill(tmp_path, {"rose": [1, 2, 3, 4], "tulip": [5] * copies})
    with pytest.raises(DataError, match=r"class tulip has too few different photos.*\.$"):
        scan(tmp_path).split()


def test_a_folder_that_cannot_be_listed_is_told_in_a_sentence(tmp_path):
    with pytest.raises(DataError, match=r"cannot be read \(No such file or directory\)"):
        scan(tmp_path / "absent")


def test_names_that_are_not_text_are_no_obstacle(tmp_path):
    root = os.fsencode(fill(tmp_path / "set", {"rose": [1, 2], "tulip": [3, 4]}))
    try:
        os.rename(root + b"/rose", root + b"/ros\xe9")
    except OSError:
        pytest.skip("this file system takes only names that are text")
    os.rename(root + b"/tulip/000.png", root + b"/tulip/\xff.png")
    os.rename(root, root + b"\xfe")
    dataset = scan(Path(os.fsdecode(root + b"\xfe")))
    assert list(dataset.counts.values()) == [2, 2]
    assert len(dataset.digest) == 16
    assert json.loads(json.dumps(module.summary(dataset)))["digest"] == dataset.digest


# The cache of the index


@pytest.fixture
def decoded(monkeypatch):
    """The names of the photos decoded, as they are."""
    names, real = [], module.decode_image

    def decode(*args, name, **kwargs):
        names.append(name)
        return real(*args, name=name, **kwargs)

    monkeypatch.setattr(module, "decode_image", decode)
    return names


def cache_file() -> Path:
    (found,) = (cache_dir() / "index").iterdir()
    return found


def test_a_second_scan_decodes_nothing_and_finds_the_same(tmp_path, decoded):
    fill(tmp_path, {"rose": [1, 2, b"broken"], "tulip": [3, 4]})
    first = scan(tmp_path)
    assert len(decoded) == 5
    assert scan(tmp_path) == first
    assert len(decoded) == 5


def test_only_what_changed_is_decoded_again(tmp_path, decoded):
    fill(tmp_path, {"rose": [1, 2, 7], "tulip": [3, 4]})
    first = scan(tmp_path)
    decoded.clear()
    picture(9).save(tmp_path / "rose" / "001.png")
    picture(10).save(tmp_path / "tulip" / "new.png")
    (tmp_path / "rose" / "002.png").unlink()
    second = scan(tmp_path)
    assert sorted(decoded) == ["rose/001.png", "tulip/new.png"]
    assert second.counts == {"rose": 2, "tulip": 3}
    assert second.photos[0] == first.photos[0]
    assert second.photos[1].sha256 == hashlib.sha256((tmp_path / "rose" / "001.png").read_bytes()).hexdigest()


@pytest.mark.parametrize(
    "damage",
    [
        "",
        "{",
        "[]",
        "null",
        "5",
        '"text"',
        "{}",
        '{"a": 5}',
        '{"a": ["b"]}',
        '["a", {"a": ["b"]}]',
        "[" * 100_000,
        "\x00" * 50,
        "cut",
        "wrong",
        "digit",
    ],
)
def test_a_damaged_cache_is_not_used(tmp_path, decoded, damage):
    fill(tmp_path, {"rose": [1, 2], "tulip": [3, 4]})
    first = scan(tmp_path)
    text = cache_file().read_text()
    values = {"cut": text[: len(text) // 2], "wrong": json.dumps([*json.loads(text)[:1], {}])}
    values["digit"] = text.replace(first.photos[0].sha256, "0" * 64)  # as if that photo were another
    cache_file().write_text(values.get(damage, damage))
    decoded.clear()
    assert scan(tmp_path) == first
    assert len(decoded) == 4
    assert scan(tmp_path) == first
    assert len(decoded) == 4


@given(data=st.data())
@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_whatever_is_in_a_cache_the_photos_are_what_they_are(tmp_path, data):
    if not any(tmp_path.iterdir()):
        fill(tmp_path, {"rose": [1, 2, b"broken"], "tulip": [3, 4]})
    module.forget(tmp_path)
    first = scan(tmp_path)
    cache_file().write_bytes(data.draw(damaged(cache_file().read_bytes())))
    assert scan(tmp_path) == scan(tmp_path) == first


@pytest.mark.parametrize(
    "written",
    ["a/b", "daisy/1.jpg", "\x00", "\n" * 50, "", "{}", "IMG"],
)
def test_an_album_of_which_held_back_says_nothing_sensible_is_divided_by_lot(tmp_path, written):
    fill(tmp_path, {"rose": [1, 2, 5], "tulip": [3, 4, 6]})
    (tmp_path / OWN).mkdir()
    for named in (written, "rose/000.png", "rose/000.png\n" + written, "rose/000.png\nrose/001.png\nrose/002.png"):
        (tmp_path / HELD_BACK).write_text(named)
        dataset = scan(tmp_path)
        assert not dataset.held_back and dataset.split().val


def test_a_cache_that_cannot_be_written_does_no_harm(tmp_path, monkeypatch):
    fill(tmp_path / "set", {"rose": [1, 2], "tulip": [3, 4]})
    (tmp_path / "cache").mkdir()
    (tmp_path / "cache" / "index").write_text("a file where the folder should be")
    monkeypatch.setenv("FLOWERS_CACHE", str(tmp_path / "cache"))
    assert len(scan(tmp_path / "set")) == 4


def test_a_file_that_could_not_be_opened_is_tried_again(tmp_path, monkeypatch):
    fill(tmp_path, {"rose": [1, 2, 5], "tulip": [3, 4]})

    def refusing(path, *args):
        if path.name == "002.png":
            raise PermissionError(13, "Permission denied")
        return open(path, *args)

    with monkeypatch.context() as patch:
        patch.setattr(module, "open", refusing, raising=False)
        assert [item.reason for item in scan(tmp_path).unreadable] == [
            "rose/002.png cannot be opened: Permission denied."
        ]
    assert scan(tmp_path).unreadable == ()


def test_a_forgotten_folder_is_read_anew(tmp_path, decoded):
    fill(tmp_path, {"rose": [1, 2], "tulip": [3, 4]})
    module.forget(tmp_path)
    scan(tmp_path)
    module.forget(tmp_path)
    assert not list((cache_dir() / "index").iterdir())
    scan(tmp_path)
    assert len(decoded) == 8


def test_progress_counts_up_to_the_photos_read(tmp_path):
    fill(tmp_path, {"rose": [1, 2], "tulip": [3, 4]})
    told = []
    open_dataset(tmp_path, lambda *progress: told.append(progress))
    assert told == [(1, 4), (2, 4), (3, 4), (4, 4)]


# Fingerprints


def recompressed(image: Image.Image, folder: Path, quality: int) -> Image.Image:
    image.save(folder / "again.jpg", quality=quality)
    return Image.open(folder / "again.jpg").convert("RGB")


# The split


def test_the_split_is_stratified_and_whole(garden_set):
    split = garden_set.split()
    assert sorted(split.train + split.val) == list(range(40))
    assert Counter(garden_set.photos[i].label for i in split.val) == dict.fromkeys(range(5), 2)


def hold_back(folder, *lines: str, encoding: str = "utf-8"):
    (folder / "held-back.txt").write_bytes("\n".join(lines).encode(encoding))
    return scan(folder)


def test_a_set_may_say_itself_what_is_held_back(garden, tmp_path):
    folder = shutil.copytree(garden, tmp_path / "mine")
    drawn = scan(folder)
    named = sorted(photo.path for photo in drawn.photos[::8])
    dataset = hold_back(folder, *named, "")
    for seed, fraction in ((0, 0.2), (7, 0.5)):
        split = dataset.split(seed, fraction)
        assert [dataset.photos[i].path for i in split.val] == named
        assert sorted((*split.train, *split.val)) == list(range(len(dataset)))
    assert dataset.digest != drawn.digest, "a run does not go on with other photos held back"


def test_a_given_split_without_some_class_gives_way_to_lots(tmp_path):
    fill(tmp_path / "train", {"rose": [1, 2, 3, 4], "tulip": [5, 6, 7, 8]})
    fill(tmp_path / "val", {"rose": [11], "tulip": [b"broken"]})
    dataset = scan(tmp_path)
    assert not dataset.held_back and len(dataset.split().val) == 2
    assert dataset.notes[-1].startswith("The split of these photos lacks some class")


def test_a_set_that_holds_everything_back_is_there_to_be_asked_about(garden, tmp_path):
    folder = shutil.copytree(garden, tmp_path / "mine")
    dataset = hold_back(folder, *(photo.path for photo in scan(folder).photos))
    assert dataset.split() == Split((), tuple(range(len(dataset))))


@pytest.mark.parametrize(
    ("lines", "encoding", "said"),
    [
        (["daisy/{}", "no/such.jpg"], "utf-8", "names no/such.jpg, which is no photo of the set"),
        (["daisy/{}"], "utf-8", "Of the class dandelion, held-back.txt must hold back some photos"),
    ],
)
def test_a_list_that_holds_nothing_right_back_is_a_sentence(garden, tmp_path, lines, encoding, said):
    folder = shutil.copytree(garden, tmp_path / "mine")
    first = min(path.name for path in (folder / "daisy").iterdir())
    with pytest.raises(DataError) as caught:
        hold_back(folder, *(line.format(first) for line in lines), encoding=encoding).split()
    assert said in str(caught.value)
    assert str(caught.value).endswith(".")


def test_the_seed_alone_decides_which_photos_are_held_back(garden_set):
    assert garden_set.split() == garden_set.split(seed=0, val_fraction=0.2)
    assert garden_set.split(seed=1) != garden_set.split(seed=0)
    assert garden_set.split(seed=1) == garden_set.split(seed=1)


@settings(deadline=None)
@given(
    counts=st.lists(st.integers(2, 60), min_size=2, max_size=5),
    seed=st.integers(0, 2**31),
    fraction=st.floats(0.05, 0.5),
)
def test_each_class_gives_its_share_rounded_half_up_and_at_least_one(counts, seed, fraction):
    dataset = made_up([[label] for label, count in enumerate(counts) for _ in range(count)], len(counts))
    split = dataset.split(seed, fraction)
    held_back = Counter(dataset.photos[i].label for i in split.val)
    for label, count in enumerate(counts):
        assert held_back[label] == max(1, int(fraction * count + 0.5))
        assert 0 < held_back[label] < count
    assert sorted(split.train + split.val) == list(range(sum(counts)))


@settings(deadline=None)
@given(
    groups=st.lists(st.lists(st.integers(0, 2), min_size=1, max_size=4), min_size=1, max_size=30),
    seed=st.integers(0, 1000),
    order=st.randoms(use_true_random=False),
)
def test_copies_stay_together_whatever_their_order(groups, seed, order):
    groups += [[label] for label in range(3) for _ in range(4)]
    dataset = made_up(groups, 3)
    split = dataset.split(seed)
    for group in dataset.groups:
        assert set(group) <= set(split.val) or set(group) <= set(split.train)
    for label, count in enumerate(dataset.counts.values()):
        held_back = sum(dataset.photos[i].label == label for i in split.val)
        assert 1 <= held_back <= max(1, int(0.2 * count + 0.5))

    photos = list(dataset.photos)
    order.shuffle(photos)
    shuffled = PhotoDataset(Path("elsewhere"), dataset.classes, tuple(photos))
    assert contents(shuffled, shuffled.split(seed).val) == contents(dataset, split.val)
    assert shuffled.digest == dataset.digest


def test_names_folders_and_order_do_not_matter(garden, garden_set, tmp_path):
    """Every file renamed at random, some in folders of their own, under another root: the same photos held back."""
    rng = random.Random(1)
    for photo in rng.sample(garden_set.photos, len(garden_set)):
        folder = tmp_path / "other root" / photo.path.split("/")[0] / rng.choice(["", "a", "b/c"])
        folder.mkdir(parents=True, exist_ok=True)
        shutil.copy(garden / photo.path, folder / f"{rng.getrandbits(40):x}.bin")
    other = scan(tmp_path / "other root")
    assert other.digest == garden_set.digest
    assert [p.sha256 for p in other.photos] != [p.sha256 for p in garden_set.photos]
    for seed in range(3):
        assert contents(other, other.split(seed).val) == contents(garden_set, garden_set.split(seed).val)


def test_the_digest_names_photos_and_labels(garden, garden_set, tmp_path):
    shutil.copytree(garden, tmp_path / "set")
    (tmp_path / "set" / "rose").rename(tmp_path / "set" / "rosa")
    assert scan(tmp_path / "set").digest != garden_set.digest
    (tmp_path / "set" / "rosa").rename(tmp_path / "set" / "rose")
    (tmp_path / "set" / "rose" / "rose-0001.jpg").unlink()
    assert scan(tmp_path / "set").digest != garden_set.digest


def test_a_new_photo_leaves_most_of_the_others_where_they_were(garden, garden_set, tmp_path):
    shutil.copytree(garden, tmp_path / "set")
    picture(1).save(tmp_path / "set" / "rose" / "zzz.png")
    grown = scan(tmp_path / "set")
    before, after = contents(garden_set, garden_set.split().val), contents(grown, grown.split().val)
    assert len(set(before) - set(after)) <= 1


def test_copies_of_a_photo_fall_on_the_same_side(garden, tmp_path):
    """Identical, recompressed, rescaled; in one class and, a label conflict, in two."""
    root = shutil.copytree(garden, tmp_path / "set")
    for name in ("daisy-0001", "daisy-0002"):
        image = Image.open(root / "daisy" / f"{name}.jpg").convert("RGB")
        image.save(root / "daisy" / f"{name}-low.jpg", quality=50)
        image.resize((120, 120)).save(root / "daisy" / f"{name}-large.png")
    shutil.copy(root / "rose" / "rose-0003.jpg", root / "rose" / "copy.jpg")
    shutil.copy(root / "rose" / "rose-0004.jpg", root / "tulip" / "conflict.jpg")
    dataset = scan(root)
    sides = set()
    for seed in range(20):
        for copies in (
            ["daisy/daisy-0001.jpg", "daisy/daisy-0001-low.jpg", "daisy/daisy-0001-large.png"],
            ["daisy/daisy-0002.jpg", "daisy/daisy-0002-low.jpg", "daisy/daisy-0002-large.png"],
            ["rose/rose-0003.jpg", "rose/copy.jpg"],
            ["rose/rose-0004.jpg", "tulip/conflict.jpg"],
        ):
            (side,) = {side_of(dataset, path, seed) for path in copies}
            sides.add((copies[0], side))
    assert ("rose/rose-0003.jpg", "val") in sides, "whole groups are held back too"
    assert ("rose/rose-0004.jpg", "val") in sides


# The report's own photos


@pytest.fixture
def report_set(real_photos):
    return _scan_once(real_photos)


@functools.cache
def _scan_once(folder: Path) -> PhotoDataset:
    return scan(folder)


@pytest.mark.thorough  # reading them takes long; tests/data/test_manifest.py has their list
def test_the_reports_photos_are_all_there(report_set):
    assert report_set.counts == REPORT_COUNTS
    assert report_set.unreadable == ()
    assert report_set.digest == REPORT_DIGEST


@pytest.mark.thorough  # tests/data/test_split.py has a split that is the same everywhere
def test_the_reports_split_is_the_same_on_every_machine(report_set):
    split = report_set.split()
    assert (len(split.train), len(split.val)) == (2278, 570)
    held_back = Counter(report_set.photos[i].label for i in split.val)
    assert [held_back[label] for label in range(5)] == [int(0.2 * n + 0.5) for n in REPORT_COUNTS.values()]
    assert digest(contents(report_set, split.val)) == REPORT_VALIDATION


@pytest.mark.thorough  # tests/data/test_doctor.py has copies and conflicts
def test_the_reports_copies_and_conflicts_are_known(report_set):
    findings, split = check(report_set), report_set.split()
    assert (len(findings.conflicts), len(findings.duplicates)) == (3, 13)
    for group in report_set.groups:
        assert len({i in split.val for i in group}) == 1


# Class names that no folder can carry


def test_a_file_gives_folders_the_names_of_their_classes(tmp_path):
    root = fill(tmp_path / "set", {"a": [1, 2], "b": [3, 4], "c": [5, 6]})
    (root / CLASS_NAMES).write_text('{"a": "z/..", "c": "AC/DC", "gone": "x"}')
    dataset = scan(root)
    assert dataset.classes == ("AC/DC", "b", "z/..")
    assert [dataset.class_of(photo.path) for photo in dataset.photos] == ["AC/DC"] * 2 + ["b"] * 2 + ["z/.."] * 2
    assert listing(root) == {
        "AC/DC": ["c/000.png", "c/001.png"], "b": ["b/000.png", "b/001.png"], "z/..": ["a/000.png", "a/001.png"],
    }  # fmt: skip
    (root / "a" / "000.png").write_bytes(b"")
    with pytest.raises(DataError, match=r"class z/.. has only one photo \(1 of its files"):
        scan(root)


def test_a_clean_copy_keeps_the_names(tmp_path):
    root = fill(tmp_path / "set", {"a": [1, 2, 1], "b": [3, 4]})
    (root / CLASS_NAMES).write_text('{"a": "one/two"}')
    write_clean(check(scan(root)), tmp_path / "copy")
    assert scan(tmp_path / "copy").counts == {"b": 2, "one/two": 2}


@pytest.mark.parametrize("text", ["", "[]", "{", '{"a": 3}', '{"a": "b"}', "[" * 100_000, "\xff", '{"a": null}'])
def test_names_that_make_no_sense_are_a_sentence(tmp_path, text):
    root = fill(tmp_path / "set", {"a": [1, 2], "b": [3, 4]})
    (root / CLASS_NAMES).write_text(text, encoding="latin-1")
    with pytest.raises(DataError, match=CLASS_NAMES):
        scan(root)


def test_what_has_been_read_is_known_without_reading(tmp_path):
    root = fill(tmp_path / "set", {"a": [1, 2], "b": [3, 4]})
    assert scan_if_read(root, most=3) is None
    dataset = scan_if_read(root, most=4)
    assert dataset == scan(root) == scan_if_read(root)
    picture(9).save(root / "a" / "new.png")
    assert scan_if_read(root) is None and len(scan_if_read(root, most=1)) == 5
