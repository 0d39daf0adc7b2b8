"""Batches: every photo once, with its own label, whatever the number of threads; and a cache that keeps to its room."""

import shutil
import threading
import time

import pytest
import torch
from PIL import Image

from flowers.data import loader as module
from flowers.data import preprocess
from flowers.data.augment import augment, photo_rng
from flowers.data.dataset import scan
from flowers.data.decode import decode_image
from flowers.data.loader import PhotoLoader, epoch_order
from flowers.data.preprocess import Preprocessing, to_pixels
from flowers.errors import DecodeError
from flowers.recipe import Recipe

SMALL = Preprocessing(size=24, resize=28)


@pytest.fixture
def loader(garden_set):
    loader = PhotoLoader(garden_set, SMALL, workers=3)
    yield loader
    loader.close()


def joined(batches) -> tuple[torch.Tensor, torch.Tensor]:
    pixels, labels = zip(*batches, strict=True)
    return torch.cat(pixels), torch.cat(labels)


@pytest.mark.parametrize("batch_size", [1, 7, 8, 40, 100])
def test_clean_batches_hold_every_photo_in_order(loader, batch_size):
    order = list(reversed(range(40)))
    batches = list(loader.clean(order, batch_size))
    sizes = [len(labels) for _, labels in batches]
    assert sizes == [min(batch_size, 40 - start) for start in range(0, 40, batch_size)]
    pixels, labels = joined(batches)
    assert (pixels.dtype, pixels.shape, labels.dtype) == (torch.uint8, (40, 3, 24, 24), torch.int64)
    for row, index in enumerate(order):
        assert labels[row] == loader.dataset.photos[index].label
        image = decode_image(loader.dataset.path(index), min_side=48)
        image = image.resize((48, 48), Image.Resampling.BILINEAR)
        assert torch.equal(pixels[row], to_pixels(SMALL.frame(image)))


def test_an_empty_order_gives_no_batch(loader):
    assert list(loader.clean([], 8)) == []


def test_augmented_batches_do_not_depend_on_threads_or_batches(garden_set):
    recipe, order = Recipe(seed=3), epoch_order(range(40), 3, 2)
    results = []
    for workers, batch_size in ((1, 8), (4, 8), (3, 5)):
        loader = PhotoLoader(garden_set, SMALL, workers)
        results.append(joined(loader.augmented(order, batch_size, recipe, epoch=2)))
        # A resumed epoch shows the rest of the photos just as they would have been.
        results.append(
            joined([*loader.augmented(order[:16], 8, recipe, 2), *loader.augmented(order[16:], 8, recipe, 2)])
        )
        loader.close()
    for pixels, labels in results[1:]:
        assert torch.equal(pixels, results[0][0])
        assert torch.equal(labels, results[0][1])
    first = augment(loader.photo(order[0]), recipe, SMALL, photo_rng(3, 2, order[0]))
    assert torch.equal(results[0][0][0], to_pixels(first))


def test_another_epoch_shows_other_variants(loader):
    one, other = (joined(loader.augmented(range(40), 8, Recipe(), epoch))[0] for epoch in (0, 1))
    assert (one != other).flatten(1).any(1).all()


def test_the_order_of_an_epoch_is_a_function_of_seed_and_epoch():
    orders = {tuple(epoch_order(range(100), seed, epoch)) for seed in range(3) for epoch in range(3)}
    assert len(orders) == 9
    assert all(sorted(order) == list(range(100)) for order in orders)
    assert epoch_order(range(100), 1, 1) == epoch_order(range(100), 1, 1)
    assert epoch_order(range(8), 0, 0) == [5, 0, 3, 6, 4, 7, 2, 1], "resuming on another machine relies on it"


def test_a_photo_is_decoded_once(loader, monkeypatch):
    decoded = []
    monkeypatch.setattr(preprocess, "decode_image", lambda path, **kw: decoded.append(path) or decode_image(path, **kw))
    first = joined(loader.clean(range(40), 8))
    second = joined(loader.clean(range(40), 8))
    assert torch.equal(first[0], second[0])
    assert len(decoded) == len(set(decoded)) == 40


def test_the_cache_keeps_to_its_room(garden_set, monkeypatch):
    monkeypatch.setattr(module, "CACHE_BYTES", 10 * 48 * 48 * 3)
    loader = PhotoLoader(garden_set, SMALL, workers=4)
    first, second = (joined(loader.clean(range(40), 8)) for _ in range(2))
    loader.close()
    assert len(loader._decoded) == 10
    assert loader._room == 0
    assert torch.equal(first[0], second[0])


def test_photos_are_kept_at_twice_what_the_network_sees(garden_set):
    loader = PhotoLoader(garden_set, Preprocessing(size=16, resize=18))
    assert {min(loader.photo(i).size) for i in range(5)} == {32}
    loader.close()
    loader = PhotoLoader(garden_set, Preprocessing(size=224, resize=256))
    assert loader.photo(0).size == (64, 64), "small photos are not blown up"
    loader.close()


def test_a_photo_that_became_unreadable_is_told_in_a_sentence(garden, tmp_path):
    dataset = scan(shutil.copytree(garden, tmp_path / "set"))
    dataset.path(11).write_bytes(b"gone wrong")
    loader = PhotoLoader(dataset, SMALL)
    with pytest.raises(DecodeError, match=dataset.path(11).name):
        list(loader.clean(range(40), 8))
    loader.close()


def test_no_more_photos_are_read_than_will_soon_be_needed(loader, monkeypatch):
    """A big set must not be decoded into memory ahead of a slow network."""
    asked, real = set(), PhotoLoader.photo
    monkeypatch.setattr(PhotoLoader, "photo", lambda self, index: asked.add(index) or real(self, index))
    batches = loader.clean(range(40), 2)
    next(batches)
    for _ in range(50):
        time.sleep(0.01)
    assert len(asked) <= 2 + module.BATCHES_AHEAD * 2 + 1
    batches.close()


def test_closing_ends_the_threads(garden_set):
    loader = PhotoLoader(garden_set, SMALL, workers=2)
    next(loader.clean(range(40), 4))
    threads = list(loader.pool._threads)
    loader.close()
    for thread in threads:
        thread.join(30)
    assert not set(threads) & set(threading.enumerate())
