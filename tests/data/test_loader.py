"""Batches: every photo once, with its own label, whatever the number of threads and wherever its copy is kept."""

import re
import shutil
import threading
import time

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from flowers.data import loader as module
from flowers.data import preprocess
from flowers.data.augment import draw, photo_rng
from flowers.data.dataset import scan
from flowers.data.decode import decode_image
from flowers.data.loader import PhotoLoader, batches_of, epoch_order, one_core_threads
from flowers.data.preprocess import Preprocessing, to_pixels
from flowers.data.render import render
from flowers.errors import DecodeError
from flowers.paths import cache_dir
from flowers.recipe import Recipe

SMALL = Preprocessing(size=24, resize=28)
ALL = range(40)


@pytest.fixture
def loader(garden_set):
    loader = PhotoLoader(garden_set, SMALL, workers=3)
    yield loader
    loader.close()


@pytest.fixture
def decoded(monkeypatch):
    """The photos decoded, as they are."""
    paths = []
    monkeypatch.setattr(preprocess, "decode_image", lambda path, **kw: paths.append(path) or decode_image(path, **kw))
    return paths


def joined(batches) -> tuple[torch.Tensor, torch.Tensor]:
    pixels, labels = zip(*batches, strict=True)
    return torch.cat(pixels), torch.cat(labels)


def about_equal(one: torch.Tensor, other: torch.Tensor) -> bool:
    """To within one grey level, and nearly everywhere exactly."""
    difference = (one.int() - other.int()).abs()
    return bool(difference.max() <= 1) and (difference > 0).float().mean() < 1e-3


# The order


def test_the_order_of_an_epoch_is_a_function_of_seed_and_epoch():
    orders = {tuple(epoch_order(range(100), seed, epoch)) for seed in range(3) for epoch in range(3)}
    assert len(orders) == 9
    assert all(sorted(order) == list(range(100)) for order in orders)
    assert epoch_order(range(100), 1, 1) == epoch_order(range(100), 1, 1)
    assert epoch_order(range(8), 0, 0) == [5, 0, 3, 6, 4, 7, 2, 1], "resuming on another machine relies on it"


@given(st.integers(0, 200), st.integers(1, 64), st.integers(1, 8))
def test_batches_hold_the_order_and_the_last_is_not_too_small(count, batch_size, least):
    batches = batches_of(range(count), batch_size, least)
    assert [index for batch in batches for index in batch] == list(range(count))
    assert all(len(batch) == batch_size for batch in batches[:-1])
    if len(batches) > 1:
        assert least <= len(batches[-1]) or least > batch_size
        assert len(batches[-1]) < batch_size + least


@pytest.mark.parametrize(
    ("count", "size", "sizes"), [(9, 4, [4, 5]), (10, 4, [4, 4, 2]), (1, 4, [1]), (0, 4, []), (4, 9, [4]), (2, 1, [2])]
)
def test_a_last_batch_of_one_joins_the_one_before(count, size, sizes):
    assert [len(batch) for batch in batches_of(range(count), size)] == sizes


# Batches


@pytest.mark.parametrize("batch_size", [1, 7, 8, 40, 100])
@pytest.mark.parametrize("prepared", [False, True])
def test_clean_batches_hold_every_photo_in_order(loader, batch_size, prepared):
    order = list(reversed(ALL))
    if prepared:
        loader.prepare(ALL)
    batches = batches_of(order, batch_size, least=1)
    made = list(loader.clean(batches))
    assert [len(labels) for _, labels in made] == [len(batch) for batch in batches]
    pixels, labels = joined(made)
    assert (pixels.dtype, pixels.shape, labels.dtype) == (torch.uint8, (40, 3, 24, 24), torch.int64)
    for row, index in enumerate(order):
        assert labels[row] == loader.dataset.photos[index].label
        copy = SMALL.reduce(decode_image(loader.dataset.path(index), min_side=28))
        assert torch.equal(pixels[row], to_pixels(SMALL.frame(copy)))


def test_no_batches_give_no_batch(loader):
    assert list(loader.clean([])) == list(loader.augmented([], Recipe(), 0)) == []


def test_augmented_batches_do_not_depend_on_threads_batches_or_copies(garden_set):
    recipe, order = Recipe(seed=3), epoch_order(ALL, 3, 2)
    results = []
    for workers, batch_size, memory in ((1, 8, 10**9), (4, 8, 0), (3, 5, None)):
        loader = PhotoLoader(garden_set, SMALL, workers, memory=memory or 0)
        if memory is not None:
            loader.prepare(ALL)
        results.append(joined(loader.augmented(batches_of(order, batch_size), recipe, epoch=2)))
        loader.close()
    for pixels, labels in results[1:]:
        assert about_equal(pixels, results[0][0])
        assert torch.equal(labels, results[0][1])
    assert torch.equal(results[0][0], results[1][0]), "the same batches are the same to the last bit"
    copy = np.array(SMALL.working_copy(garden_set.path(order[0])))
    variant = draw(recipe, photo_rng(3, 2, order[0]), copy.shape[1], copy.shape[0])
    assert about_equal(results[0][0][0], render([copy], [variant], SMALL)[0])


def test_a_resumed_epoch_shows_the_rest_just_as_it_would_have_been(loader):
    batches = batches_of(epoch_order(ALL, 0, 0), 8)
    whole, _ = joined(loader.augmented(batches, Recipe(), 0))
    rest, _ = joined(loader.augmented(batches[2:], Recipe(), 0))
    assert torch.equal(whole[16:], rest)


def test_another_epoch_shows_other_variants(loader):
    one, other = (joined(loader.augmented(batches_of(ALL, 8), Recipe(), epoch))[0] for epoch in (0, 1))
    assert (one != other).flatten(1).any(1).all()


@pytest.mark.parametrize("kind", ["clean", "augmented"])
def test_a_smaller_size_shows_the_same_at_lower_resolution(garden_set, kind):
    loader = PhotoLoader(garden_set, Preprocessing(size=56, resize=64))
    batches = [list(ALL)]
    given = () if kind == "clean" else (Recipe(hue=0), 0)
    ((large, _),) = getattr(loader, kind)(batches, *given)
    ((small, labels),) = getattr(loader, kind)(batches, *given, size=28)
    loader.close()
    assert small.shape == (40, 3, 28, 28)
    assert labels.tolist() == [photo.label for photo in garden_set.photos]
    halved = torch.nn.functional.avg_pool2d(large.float(), 2)
    assert (small.float() - halved).abs().mean() < 3
    assert (small.float() - halved.roll(1, 0)).abs().mean() > 20  # what another photo would make of it


# Decoding once


@pytest.mark.parametrize(("memory", "where"), [(10**9, r"kept in memory"), (0, "in a cache on disk, .*photos")])
def test_a_prepared_photo_is_decoded_once(loader, decoded, memory, where):
    loader.memory = memory
    told = []
    sentence = loader.prepare(ALL, lambda *progress: told.append(progress))
    assert re.fullmatch(rf"40 photos, 0\.1 MB, {where}\.", sentence)
    assert told == [(done, 40) for done in range(1, 41)]
    list(loader.clean(batches_of(ALL, 8)))
    list(loader.augmented(batches_of(ALL, 8), Recipe(), 0))
    assert len(decoded) == len(set(decoded)) == 40


def test_the_next_run_reads_the_cache_on_disk(garden_set, decoded):
    results = []
    for _ in range(2):
        loader = PhotoLoader(garden_set, SMALL, memory=0)
        loader.prepare(ALL)
        results.append(joined(loader.clean(batches_of(ALL, 8)))[0])
        loader.close()
    assert torch.equal(*results)
    assert len(decoded) == 40


def test_other_photos_under_the_same_names_are_not_taken_from_the_cache(garden, tmp_path):
    root = shutil.copytree(garden, tmp_path / "set")
    results = []
    for _ in range(2):
        loader = PhotoLoader(scan(root), SMALL, memory=0)
        loader.prepare(ALL)
        results.append(joined(loader.clean(batches_of(ALL, 8)))[0])
        loader.close()
        first, second = sorted((root / "rose").iterdir())[:2]
        first.write_bytes(second.read_bytes())
    changed = (results[0] != results[1]).flatten(1).any(1)
    assert changed.sum() == 1


def test_photos_are_decoded_when_they_are_needed_where_nothing_can_keep_them(loader, decoded):
    (cache_dir() / "photos").write_text("a file where the folder should be")
    loader.memory = 0
    assert "decoded each time they are needed" in loader.prepare(ALL)
    decoded.clear()
    for _ in range(2):
        assert len(joined(loader.clean(batches_of(ALL, 8)))[0]) == 40
    assert len(decoded) == 80


def test_photos_are_decoded_when_their_cache_is_removed_meanwhile(loader):
    loader.memory = 0
    loader.prepare(ALL)
    before, _ = joined(loader.clean(batches_of(ALL, 8)))
    shutil.rmtree(cache_dir() / "photos")
    after, _ = joined(loader.clean(batches_of(ALL, 8)))
    assert torch.equal(before, after)


def test_only_what_was_prepared_is_kept(loader, decoded):
    loader.prepare(range(10))
    decoded.clear()
    list(loader.clean([list(range(12))]))
    assert sorted(decoded) == [loader.dataset.path(index) for index in (10, 11)]


@pytest.mark.parametrize("prepared", [False, True])
def test_a_photo_that_became_unreadable_is_told_in_a_sentence(garden, tmp_path, prepared):
    dataset = scan(shutil.copytree(garden, tmp_path / "set"))
    dataset.path(11).write_bytes(b"gone wrong")
    loader = PhotoLoader(dataset, SMALL)
    with pytest.raises(DecodeError, match=dataset.path(11).name):
        loader.prepare(ALL) if prepared else list(loader.clean(batches_of(ALL, 8)))
    loader.close()


def test_what_goes_wrong_in_the_background_is_raised_as_it_is(loader, monkeypatch):
    def failing(*args):
        raise MemoryError("no room")

    monkeypatch.setattr(module, "render", failing)
    with pytest.raises(MemoryError, match="no room"):
        list(loader.augmented(batches_of(ALL, 8), Recipe(), 0))


# Threads


def test_the_next_batches_are_made_while_the_network_computes_and_no_more(loader, monkeypatch):
    """A big set must not be decoded into memory ahead of a slow network."""
    asked, real = set(), PhotoLoader._copy
    monkeypatch.setattr(PhotoLoader, "_copy", lambda self, index: asked.add(index) or real(self, index))
    batches = loader.clean(batches_of(ALL, 2))
    next(batches)
    for _ in range(50):
        time.sleep(0.01)  # the network computes
    assert len(asked) == 2 * (1 + module.BATCHES_AHEAD)
    batches.close()


def test_closing_ends_the_threads_also_those_of_an_abandoned_epoch(garden_set):
    loader = PhotoLoader(garden_set, SMALL, workers=2)
    next(loader.clean(batches_of(ALL, 4)))
    abandoned = loader.augmented(batches_of(ALL, 4), Recipe(), 0)
    next(abandoned)
    threads = list(loader._pool._threads)
    assert threads
    loader.close()
    for thread in threads:
        thread.join(30)
    assert not set(threads) & set(threading.enumerate())


def test_torch_keeps_to_one_core_in_the_loaders_threads_alone():
    before = torch.get_num_threads()
    torch.set_num_threads(3)
    try:
        pool = one_core_threads(2)
        assert {pool.submit(torch.get_num_threads).result() for _ in range(8)} == {1}
        found = []
        other = threading.Thread(target=lambda: found.append(torch.get_num_threads()))
        other.start()
        other.join()
        assert (torch.get_num_threads(), found) == (3, [3])
        pool.shutdown()
    finally:
        torch.set_num_threads(before)
