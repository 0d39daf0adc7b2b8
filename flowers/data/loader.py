"""The cache of decoded photos, and the batches.

Photos are read by threads, not worker processes: Pillow decodes, crops and rotates outside the interpreter lock, the
cache is shared, and nothing has to be forked, pickled or squeezed through a container's small /dev/shm.
"""

import itertools
import random
import threading
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor

import torch
from PIL import Image

from flowers.data.augment import augment, photo_rng
from flowers.data.dataset import PhotoDataset
from flowers.data.preprocess import Preprocessing, to_pixels
from flowers.recipe import Recipe

CACHE_BYTES = 1_500_000_000  # the report's 2,848 photos take 0.8 GB decoded
BATCHES_AHEAD = 3

Batch = tuple[torch.Tensor, torch.Tensor]  # pixels: uint8 (N, 3, size, size); labels: int64 (N,)


class PhotoLoader:
    """Reads a dataset's photos as batches, ``workers`` threads ahead of the network.

    ``keep`` holds decoded photos in memory, up to CACHE_BYTES: for whoever reads them more than once.
    Batches raise DecodeError when a photo has become unreadable since the dataset was indexed.
    """

    def __init__(
        self, dataset: PhotoDataset, preprocessing: Preprocessing, workers: int = 4, keep: bool = True
    ) -> None:
        self.dataset = dataset
        self.preprocessing = preprocessing
        self.pool = ThreadPoolExecutor(workers, thread_name_prefix="photos")
        self._decoded: dict[int, Image.Image] = {}
        self._room = CACHE_BYTES if keep else 0
        self._lock = threading.Lock()

    def photo(self, index: int) -> Image.Image:
        """The working copy of photo ``index``."""
        if (image := self._decoded.get(index)) is not None:
            return image
        image = self.preprocessing.working_copy(self.dataset.path(index))
        with self._lock:
            cost = image.width * image.height * 3
            if cost <= self._room and index not in self._decoded:
                self._room -= cost
                self._decoded[index] = image
        return image

    def clean(self, indices: Sequence[int], batch_size: int) -> Iterator[Batch]:
        """Batches in the given order, each photo as every answer sees it: no chance involved."""
        return self._batches(indices, batch_size, lambda index: self.preprocessing.frame(self.photo(index)))

    def augmented(self, indices: Sequence[int], batch_size: int, recipe: Recipe, epoch: int) -> Iterator[Batch]:
        """Batches in the given order, each photo augmented as training does in that epoch."""

        def variant(index: int) -> Image.Image:
            return augment(self.photo(index), recipe, self.preprocessing, photo_rng(recipe.seed, epoch, index))

        return self._batches(indices, batch_size, variant)

    def close(self) -> None:
        """Stop the threads; photos not yet read are dropped."""
        self.pool.shutdown(wait=False, cancel_futures=True)

    def _batches(
        self, indices: Sequence[int], batch_size: int, picture: Callable[[int], Image.Image]
    ) -> Iterator[Batch]:
        labels = torch.tensor([self.dataset.photos[index].label for index in indices])
        pictures = _ahead(self.pool, lambda index: to_pixels(picture(index)), indices, BATCHES_AHEAD * batch_size)
        for start in range(0, len(indices), batch_size):
            yield torch.stack(list(itertools.islice(pictures, batch_size))), labels[start : start + batch_size]


def epoch_order(indices: Sequence[int], seed: int, epoch: int) -> list[int]:
    """The order in which an epoch shows the photos: a pure function, so that a resumed run finds its place."""
    order = list(indices)
    random.Random(f"{seed}:{epoch}").shuffle(order)
    return order


def _ahead(pool: ThreadPoolExecutor, function: Callable, items: Iterable, ahead: int) -> Iterator:
    """``map`` in the pool's threads, in order, with at most ``ahead`` results waiting."""
    waiting: deque = deque()
    try:
        for item in items:
            waiting.append(pool.submit(function, item))
            if len(waiting) > ahead:
                yield waiting.popleft().result()
        while waiting:
            yield waiting.popleft().result()
    finally:
        for future in waiting:
            future.cancel()
