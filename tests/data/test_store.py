"""Decoded photos: the same pixels wherever they are kept, and no cache that can stop a run."""

import multiprocessing
import os
import re
import shutil
import threading
import time
import tracemalloc
from pathlib import Path

import numpy as np
import pytest
from filelock import FileLock
from hypothesis import given
from hypothesis import strategies as st

from flowers.data import store as module
from flowers.data.store import content_name, free_memory, keep
from flowers.errors import DecodeError
from flowers.paths import cache_dir
from tests.damage import damaged

LARGEST = 3 * 28 * 56


def made(count: int, seed: int = 0) -> list[np.ndarray]:
    """Working copies of many shapes, all different."""
    rng = np.random.default_rng(seed)
    return [rng.integers(0, 256, (*rng.integers(8, 28, 2), 3), np.uint8) for _ in range(count)]


def kept(photos: list[np.ndarray], memory: int = 10**6, name: str = "set"):
    return keep(iter(photos), len(photos), name=name, memory=memory, largest=LARGEST)


def refused():
    """Photos that must not be decoded."""
    raise AssertionError("decoded again")
    yield


def again(count: int, name: str = "set"):
    return keep(refused(), count, name=name, memory=0, largest=LARGEST)


def same(copies, photos) -> bool:
    return len(copies) == len(photos) and all(np.array_equal(copies[row], photos[row]) for row in range(len(photos)))


def caches() -> list[str]:
    return sorted(path.name for path in (cache_dir() / "photos").iterdir() if path.is_dir())


@pytest.mark.parametrize("count", [0, 1, 5, 300])
@pytest.mark.parametrize("memory", [0, 5_000, 20_000, 10**7])
def test_every_photo_comes_back_whatever_the_memory(count, memory):
    photos = made(count)
    size = sum(photo.nbytes for photo in photos)
    copies = kept(photos, memory)
    assert same(copies, photos)
    assert copies.nbytes == size
    assert (copies.where == "kept in memory") == (size <= memory)
    assert (cache_dir() / "photos").exists() == (size > memory)


def test_a_cache_on_disk_serves_the_next_run_without_decoding():
    photos = made(50)
    first = kept(photos, memory=0)
    assert first.where == f"in a cache on disk, {cache_dir() / 'photos'}"
    assert same(again(50), photos)


def test_a_third_of_the_free_memory_at_most(monkeypatch):
    monkeypatch.setattr(module, "free_memory", lambda: 3000.0)
    one = [np.zeros((18, 18, 3), np.uint8)]
    two = [np.zeros((18, 19, 3), np.uint8)]
    assert kept(one, 10**9, "one").where == "kept in memory"
    assert "disk" in kept(two, 10**9, "two").where


def test_free_memory_is_part_of_the_machines():
    free = free_memory()
    assert free > 10_000_000
    if hasattr(os, "sysconf") and os.path.exists("/proc/meminfo"):
        assert free < os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")


def test_a_name_stands_for_photos_order_and_size():
    hashes = [f"{n:064x}" for n in range(3)]
    names = {
        content_name(256, hashes),
        content_name(224, hashes),
        content_name(256, hashes[::-1]),
        content_name(256, hashes[:2]),
    }
    assert len(names) == 4
    assert content_name(256, iter(hashes)) in names
    assert all(re.fullmatch("[0-9a-f]{32}", name) for name in names)


def test_another_version_is_another_name(monkeypatch):
    before = content_name(256, ["00"])
    monkeypatch.setattr(module, "_VERSION", 0)
    assert content_name(256, ["00"]) != before


# Damage


def cut(path: Path) -> None:
    os.truncate(path, path.stat().st_size // 2)


def lengthen(path: Path) -> None:
    with open(path, "ab") as file:
        file.write(b"more")


DAMAGE = {
    "copies cut short": lambda folder: cut(folder / "copies"),
    "copies too long": lambda folder: lengthen(folder / "copies"),
    "copies gone": lambda folder: (folder / "copies").unlink(),
    "shapes cut short": lambda folder: cut(folder / "shapes.npy"),
    "shapes empty": lambda folder: os.truncate(folder / "shapes.npy", 0),
    "shapes gone": lambda folder: (folder / "shapes.npy").unlink(),
    "shapes of other photos": lambda folder: np.save(folder / "shapes.npy", np.full((20, 2), 9, np.int32)),
    "fewer shapes": lambda folder: np.save(folder / "shapes.npy", np.load(folder / "shapes.npy")[:-1]),
    "negative shapes": lambda folder: np.save(folder / "shapes.npy", -np.load(folder / "shapes.npy")),
    "shapes of another type": lambda folder: np.save(folder / "shapes.npy", np.load(folder / "shapes.npy") / 1.0),
    "no array": lambda folder: (folder / "shapes.npy").write_text("hello"),
    "a pickle": lambda folder: np.save(folder / "shapes.npy", np.array([{}] * 20), allow_pickle=True),
}


@pytest.mark.parametrize("damage", DAMAGE.values(), ids=DAMAGE)
def test_a_damaged_cache_is_thrown_away_and_made_anew(damage):
    photos = made(20)
    kept(photos, memory=0)
    (folder,) = (path for path in (cache_dir() / "photos").iterdir() if path.is_dir())
    damage(folder)
    assert same(kept(photos, memory=0), photos)
    assert same(again(20), photos)


@given(data=st.data())
def test_whatever_is_in_the_shapes_the_copies_are_the_photos(data):
    shutil.rmtree(cache_dir(), ignore_errors=True)
    photos = made(20)
    kept(photos, memory=0)
    (folder,) = (path for path in (cache_dir() / "photos").iterdir() if path.is_dir())
    shapes = (folder / "shapes.npy").read_bytes()
    (folder / "shapes.npy").write_bytes(data.draw(damaged(shapes, values=False)))
    assert same(kept(photos, memory=0), photos)


@pytest.mark.parametrize("damage", [lambda folder: cut(folder / "copies"), shutil.rmtree], ids=["cut", "removed"])
def test_a_cache_that_goes_while_it_is_read_says_so(damage):
    photos = made(20)
    copies = kept(photos, memory=0)
    damage(cache_dir() / "photos" / "set")
    assert copies[19] is None


def test_a_photo_that_cannot_be_decoded_leaves_nothing_behind():
    def failing():
        yield from made(5)
        raise DecodeError("rose.jpg is empty.")

    for memory in (0, 10**6):
        with pytest.raises(DecodeError, match=r"rose\.jpg is empty"):
            keep(failing(), 6, name="set", memory=memory, largest=LARGEST)
    assert caches() == []


# A disk that will not have it


def test_a_full_disk_means_no_cache(monkeypatch):
    monkeypatch.setattr(module.shutil, "disk_usage", lambda path: shutil._ntuple_diskusage(100, 100, 0))
    decoded = iter(made(200))
    assert keep(decoded, 200, name="set", memory=0, largest=LARGEST) is None
    assert len(list(decoded)) > 150, "what cannot be kept is not decoded to the end"


def test_a_disk_that_fills_up_half_way_means_no_cache_and_no_rest():
    def filling():
        yield from made(30)
        raise OSError(28, "No space left on device")

    assert keep(filling(), 40, name="set", memory=0, largest=LARGEST) is None
    assert caches() == []


def test_a_cache_that_may_not_be_written_means_no_cache():
    (cache_dir() / "photos").write_text("a file where the folder should be")
    assert kept(made(5), memory=0) is None
    assert kept(made(5)).where == "kept in memory"


def test_old_caches_do_not_pile_up(monkeypatch):
    photos = [photo[:8, :8].copy() for photo in made(30)]
    size = sum(photo.nbytes for photo in photos)
    monkeypatch.setattr(module, "DISK_BYTES", 3.5 * (size + 1000))  # 1000: more than the shapes take
    for number, name in enumerate("abc"):
        kept(photos, 0, name)
        os.utime(cache_dir() / "photos" / name, (number, number))
    again(30, "a")  # used just now
    kept(photos, 0, "d")
    assert caches() == ["a", "c", "d"]
    assert same(again(30, "a"), photos)


def test_a_cache_in_the_making_is_not_dropped_and_what_a_kill_left_is(monkeypatch):
    monkeypatch.setattr(module, "DISK_BYTES", 1)
    folder = cache_dir() / "photos"
    for name in (".gone.1234.tmp", ".busy.1234.tmp", ".set.1234.tmp"):
        (folder / name).mkdir(parents=True)
        (folder / name / "copies").write_bytes(b"half")
    with FileLock(folder / "busy.lock"):
        kept(made(5), memory=0)
    assert caches() == [".busy.1234.tmp", "set"]


# Several at once


def _build(counted, start, answers, home) -> None:
    os.environ["FLOWERS_CACHE"] = home

    def decoding():
        with counted.get_lock():
            counted.value += 1
        for photo in made(120):
            time.sleep(0.002)
            yield photo

    start.wait()
    answers.put(same(keep(decoding(), 120, name="set", memory=0, largest=LARGEST), made(120)))


def test_processes_that_want_the_same_cache_make_it_once():
    context = multiprocessing.get_context("spawn")
    counted, start, answers = context.Value("i", 0), context.Barrier(3), context.Queue()
    processes = [
        context.Process(target=_build, args=(counted, start, answers, str(cache_dir())), daemon=True) for _ in range(3)
    ]
    for process in processes:
        process.start()
    assert [answers.get(timeout=60) for _ in processes] == [True] * 3
    for process in processes:
        process.join(30)
    assert caches() == ["set"]
    assert same(again(120), made(120))


def test_threads_read_at_once():
    photos = made(200)
    copies = kept(photos, memory=0)
    wrong = []

    def read(offset: int) -> None:
        for row in range(200):
            if not np.array_equal(copies[(row + offset) % 200], photos[(row + offset) % 200]):
                wrong.append(row)

    threads = [threading.Thread(target=read, args=(offset,)) for offset in (0, 50, 100, 150)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert wrong == []


def test_a_cache_larger_than_the_memory_is_never_in_memory_whole():
    photo = np.zeros((28, 56, 3), np.uint8)
    count = 4000  # 19 MB
    tracemalloc.start()
    copies = keep((photo.copy() for _ in range(count)), count, name="set", memory=1_000_000, largest=LARGEST)
    for row in range(count):
        copies[row]
    _, most = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert copies.nbytes == 4000 * LARGEST
    assert most < 4_000_000
