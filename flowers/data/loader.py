"""The batches: decoded once, made while the network computes.

Photos are prepared by threads, not by worker processes: Pillow and torch do their work outside the interpreter lock,
what is decoded is shared, and nothing has to be forked, pickled or squeezed through a container's small /dev/shm.
"""

import random
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from threading import Thread

import numpy as np
import torch
from PIL import Image

from flowers.data.augment import draw, photo_rng
from flowers.data.dataset import PhotoDataset
from flowers.data.download import Progress
from flowers.data.preprocess import Preprocessing, to_pixels
from flowers.data.render import CPU, SLICE, render
from flowers.data.store import MEMORY_BYTES, Copies, content_name, keep
from flowers.data.threads import ahead
from flowers.recipe import Recipe

BATCHES_AHEAD = 2
PHOTOS_AHEAD = 32  # while decoding

Batch = tuple[torch.Tensor, torch.Tensor]  # pixels: uint8 (N, 3, size, size); labels: int64 (N,)


class PhotoLoader:
    """Makes batches of a dataset's photos on ``device``, a few ahead of the network, in ``workers`` threads.

    ``memory`` is how many bytes ``prepare`` may keep decoded photos in. Batches, and ``prepare``, raise DecodeError
    when a photo has become unreadable since the dataset was indexed.
    """

    def __init__(
        self,
        dataset: PhotoDataset,
        preprocessing: Preprocessing,
        workers: int = 4,
        *,
        device: torch.device = CPU,
        memory: int = MEMORY_BYTES,
    ) -> None:
        self.dataset = dataset
        self.preprocessing = preprocessing
        # By its number: the threads' own current GPU is the first one, whichever this process works on.
        on_gpu = device.type == "cuda" and device.index is None
        self.device = torch.device("cuda", torch.cuda.current_device()) if on_gpu else device
        self.memory = memory
        self._pool = one_core_threads(workers)
        self._copies: Copies | None = None
        self._rows: dict[int, int] = {}  # photo -> its place in the copies

    def prepare(self, indices: Sequence[int], progress: Progress | None = None) -> str:
        """Decode these photos once, for all batches to come; another call's photos take the place of this one's.

        ``progress(done, total)`` counts photos, and is not called where an earlier run's cache holds them. Returns a
        sentence that says where they are kept.
        """
        preprocessing, photos = self.preprocessing, self.dataset.photos
        self._rows = {index: row for row, index in enumerate(indices)}
        self._copies = keep(
            self._decoded(indices, progress),
            len(indices),
            name=content_name(preprocessing.resize, (photos[index].sha256 for index in indices)),
            memory=self.memory,
            largest=preprocessing.largest_copy,
        )
        if self._copies is None:
            return (
                f"{len(indices):,} photos, decoded each time they are needed, which is slow: neither the memory nor "
                "the cache on disk has room for them; make room, or set FLOWERS_CACHE to a larger disk."
            )
        return f"{len(indices):,} photos, {_bytes_in_words(self._copies.nbytes)}, {self._copies.where}."

    def clean(
        self, batches: Sequence[Sequence[int]], size: int | None = None, resize: int | None = None
    ) -> Iterator[Batch]:
        """The given batches, each photo as every answer sees it: no chance involved.

        ``size`` is the side of the pictures in pixels: the network's own, or less for the same part of the photo at
        lower resolution. ``resize`` is the photo's short side before the middle is cut out: the network's own, less for
        a larger part of the photo, or more for a closer look at its middle.
        """
        wants = replace(self.preprocessing, resize=resize or self.preprocessing.resize)

        def pixels(batch: Sequence[int]) -> torch.Tensor:
            frames = (wants.frame(Image.fromarray(self._copy(index)), size) for index in batch)
            stacked = torch.stack([to_pixels(frame) for frame in frames])
            return (stacked.pin_memory() if self.device.type == "cuda" else stacked).to(self.device, non_blocking=True)

        return self._made(batches, pixels)

    def augmented(
        self, batches: Sequence[Sequence[int]], recipe: Recipe, epoch: int, size: int | None = None
    ) -> Iterator[Batch]:
        """The given batches, each photo augmented as training does in that epoch; ``size`` as in ``clean``."""

        def variants(indices: Sequence[int]) -> torch.Tensor:
            copies = [self._copy(index) for index in indices]
            drawn = [
                draw(recipe, photo_rng(recipe.seed, epoch, index), copy.shape[1], copy.shape[0])
                for index, copy in zip(indices, copies, strict=True)
            ]
            return render(copies, drawn, self.preprocessing, size, self.device)

        def pixels(batch: Sequence[int]) -> torch.Tensor:
            step = SLICE if self.device.type == "cpu" else len(batch)
            return torch.cat([variants(batch[start : start + step]) for start in range(0, len(batch), step)])

        return self._made(batches, pixels)

    def close(self) -> None:
        """Stop the threads; batches not yet begun are dropped."""
        self._pool.shutdown(wait=False, cancel_futures=True)

    def _made(
        self, batches: Sequence[Sequence[int]], pixels: Callable[[Sequence[int]], torch.Tensor]
    ) -> Iterator[Batch]:
        def made(batch: Sequence[int]) -> Batch:
            labels = torch.tensor([self.dataset.photos[index].label for index in batch])
            return pixels(batch), labels.to(self.device)

        return ahead(self._pool, made, batches, BATCHES_AHEAD)

    def _copy(self, index: int) -> np.ndarray:
        """The working copy of a photo, uint8 (height, width, 3), decoded now if it is not kept."""
        kept = self._copies[self._rows[index]] if self._copies is not None and index in self._rows else None
        return self._decode(index) if kept is None else kept

    def _decode(self, index: int) -> np.ndarray:
        return np.array(self.preprocessing.working_copy(self.dataset.path(index)))

    def _decoded(self, indices: Sequence[int], progress: Progress | None) -> Iterator[np.ndarray]:
        for done, pixels in enumerate(ahead(self._pool, self._decode, indices, PHOTOS_AHEAD), 1):
            yield pixels
            if progress:
                progress(done, len(indices))


def epoch_order(indices: Sequence[int], seed: int, epoch: int) -> list[int]:
    """The order in which an epoch shows the photos: a pure function, so that a resumed run finds its place."""
    order = list(indices)
    random.Random(f"{seed}:{epoch}").shuffle(order)
    return order


def batches_of(order: Sequence[int], batch_size: int, least: int = 2) -> list[list[int]]:
    """``order`` cut into batches; a last one of fewer than ``least`` joins the one before it.

    For batch norm cannot learn from a single photo.
    """
    batches = [list(order[start : start + batch_size]) for start in range(0, len(order), batch_size)]
    if len(batches) > 1 and len(batches[-1]) < least:
        batches[-2:] = [batches[-2] + batches[-1]]
    return batches


def one_core_threads(count: int) -> ThreadPoolExecutor:
    """Threads in each of which torch keeps to one core, as many cores as it likes elsewhere.

    With teams of their own they would take the cores from the network's team, which waits for its slowest member.
    """
    threads = torch.get_num_threads()

    def one_core() -> None:
        torch.get_num_threads()  # asked for the first time, a thread takes over the process's number: get that over
        # It counts for this thread, and it is the process's number from now on, which every thread born later takes
        # over: hence the second call, from a thread of its own.
        torch.set_num_threads(1)
        restore = Thread(target=torch.set_num_threads, args=(threads,))
        restore.start()
        restore.join()

    return ThreadPoolExecutor(count, thread_name_prefix="photos", initializer=one_core)


def _bytes_in_words(count: int) -> str:
    return f"{count / 1e9:.1f} GB" if count >= 1e8 else f"{count / 1e6:.1f} MB"
