"""How time and memory grow from 500 to 50,000 photos: indexing, decoding into the cache, a training step.

    race-venv/bin/python benchmarks/scaling.py                     # 35 minutes on two cores, and 20 GB of disk
    race-venv/bin/python benchmarks/scaling.py --sizes 100 300 --steps 3        # a minute

The photos are made: pieces of real ones under large patches of random colour, no two alike in the sense of
``flowers.data.dataset.fingerprint``, each a JPEG of 500 × 375 pixels. A set holds the smaller ones. Each size is
measured in a process of its own, as preset ``report`` trains: the index, the split with its search for duplicates, the
cache, and the steps after it. The files have been written a moment before, so the system has them in its memory.

Writes scaling/results.json, scaling/scaling.png and scaling/README.md.
"""

import argparse
import io
import itertools
import json
import os
import random
import statistics
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor
from functools import partial
from pathlib import Path

PROJECT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(PROJECT))

from benchmarks.common import circumstances, save, table, told  # noqa: E402

SIZES = (500, 2_000, 8_000, 20_000, 50_000)
SHAPE = (500, 375)  # width, height: as the report's photos, most of them
COLUMNS = {
    "index_seconds": "index, s",
    "split_seconds": "split, s",
    "decode_seconds": "decode and cache, s",
    "step_seconds": "a step of 32, s",
    "anonymous": "memory, GB",
    "file_backed": "mapped files, GB",
    "cache_bytes": "cache on disk, GB",
}


def main(arguments: list[str] | None = None) -> int:
    """Make the photos, measure each size, write the results."""
    options = _parser().parse_args(arguments)
    if options.measure:
        print(json.dumps(measure(options.measure, options.steps)))
        return 0
    with tempfile.TemporaryDirectory(prefix="flowers-scaling-") as scratch:
        photos, rows = Path(scratch) / "photos", []
        for before, size in itertools.pairwise([0, *options.sizes]):
            make_photos(photos, before, size, _pieces())
            rows.append(measured_apart(photos, Path(scratch) / f"cache-{size}", options.steps))
            print(rows[-1], flush=True)
    results = {**circumstances(), "steps": options.steps, "sizes": rows}
    save(options.out / "results.json", results)
    plot(rows, options.out / "scaling.png")
    (options.out / "README.md").write_text(text(results))
    print(text(results))
    return 0


# The photos


def make_photos(folder: Path, first: int, last: int, pieces: list[bytes]) -> None:
    """Photos ``first`` to ``last``, in five class folders."""
    for number in range(5):
        (folder / f"class-{number}").mkdir(parents=True, exist_ok=True)
    with ProcessPoolExecutor() as pool:
        list(pool.map(partial(make_photo, folder, pieces), range(first, last), chunksize=100))


def make_photo(folder: Path, pieces: list[bytes], number: int) -> None:
    """One JPEG, unlike all others: the patches decide its coarse look, which is what a fingerprint holds."""
    import numpy as np
    from PIL import Image

    rng = np.random.default_rng(number)
    piece = Image.open(io.BytesIO(pieces[number % len(pieces)])).convert("RGB")
    left, top = (int(rng.integers(0, max(1, side // 3))) for side in piece.size)
    piece = piece.crop((left, top, piece.width - left // 2, piece.height - top // 2)).resize(SHAPE)
    patches = Image.fromarray(rng.integers(0, 256, (8, 10, 3), dtype=np.uint8)).resize(SHAPE, Image.Resampling.BICUBIC)
    Image.blend(piece, patches, 0.6).save(folder / f"class-{number % 5}" / f"{number:06d}.jpg", quality=85)


def _pieces(count: int = 200) -> list[bytes]:
    """Photos to make others of: of the set at hand."""
    from flowers.data.dataset import open_dataset

    dataset = open_dataset()
    chosen = random.Random(0).sample(range(len(dataset)), min(count, len(dataset)))
    return [dataset.path(index).read_bytes() for index in chosen]


# One size, in a fresh process


def measured_apart(photos: Path, cache: Path, steps: int) -> dict:
    """``measure`` in a process and a cache of its own."""
    command = [sys.executable, __file__, "--measure", str(photos), "--steps", str(steps)]
    environment = {**os.environ, "FLOWERS_CACHE": str(cache)}
    done = subprocess.run(command, env=environment, check=True, stdout=subprocess.PIPE, text=True)
    cached = sum(file.stat().st_size for file in cache.rglob("*") if file.is_file())
    subprocess.run(["rm", "-rf", cache], check=True)
    measured = json.loads(done.stdout.splitlines()[-1])
    return {**measured, "store": measured["store"].replace(str(cache), "FLOWERS_CACHE"), "cache_bytes": cached}


def measure(folder: Path, steps: int) -> dict:
    """Seconds and bytes of each part of the work, ready for JSON."""
    memory = Memory()
    dataset, index_seconds = timed(partial(_open, folder))
    _, split_seconds = timed(dataset.split)
    after_index = memory.peak()
    decoding: list[float] = []
    arrivals = []
    from flowers.recipe import preset
    from flowers.training.train import train

    # Random weights: as much work, and nothing to download.
    recipe = preset("report").replace(init="scratch")
    events = train(recipe, dataset, progress=lambda done, total: decoding.append(time.perf_counter()))
    store = ""
    for event in events:
        if event.kind == "started":
            store = event.store
        elif event.kind == "step":
            arrivals.append(time.perf_counter())
            if len(arrivals) > steps:
                break
    events.close()
    anonymous, file_backed = memory.peak()
    return {
        "photos": len(dataset),
        "groups_of_duplicates": sum(len(group) > 1 for group in dataset.groups),
        "index_seconds": index_seconds,
        "split_seconds": split_seconds,
        "decode_seconds": decoding[-1] - decoding[0],
        "step_seconds": statistics.median(after - before for before, after in itertools.pairwise(arrivals)),
        "anonymous_after_index": after_index[0],
        "anonymous": anonymous,
        "file_backed": file_backed,
        "store": store,
    }


def _open(folder: Path):
    from flowers.data.dataset import scan

    return scan(folder)


def timed(work: Callable) -> tuple:
    """(what it returns, seconds)."""
    start = time.perf_counter()
    return work(), time.perf_counter() - start


class Memory:
    """The most memory that this process has held, in bytes, looked at ten times a second."""

    def __init__(self) -> None:
        self.most = (0, 0)
        threading.Thread(target=self._watch, daemon=True).start()

    def peak(self) -> tuple[int, int]:
        """(anonymous, of mapped files) since the start; each at its own worst moment."""
        self.most = tuple(max(pair) for pair in zip(self.most, resident(), strict=True))
        return self.most

    def _watch(self) -> None:
        while True:
            self.peak()
            time.sleep(0.1)


def resident(process: int | str = "self") -> tuple[int, int]:
    """(anonymous, of mapped files) memory of a process, in bytes. Linux tells."""
    lines = Path(f"/proc/{process}/status").read_text().splitlines()
    sizes = {line.split()[0]: int(line.split()[1]) * 1024 for line in lines if line.startswith("Rss")}
    return sizes["RssAnon:"], sizes["RssFile:"]


# The results


def text(results: dict) -> str:
    """Table and circumstances."""
    rows = results["sizes"]
    lines = [[f"{row['photos']:,}", *(shown(row, name) for name in COLUMNS)] for row in rows]
    return (
        "# From few photos to many\n\n"
        f"Preset `report`, batches of 32 at 224 pixels; a step is the median of {results['steps']}. Memory is the most "
        "that the process held at any time.\n\n"
        + table(["photos", *COLUMNS.values()], lines)
        + "\n\n![Time and memory against the number of photos](scaling.png)\n\n"
        + "\n".join(f"- {row['store']}" for row in rows)
        + f"\n\n{told(results)}\n"
    )


def shown(row: dict, name: str) -> str:
    """A number for the table: seconds, or bytes as GB."""
    return f"{row[name]:.2f}" if name.endswith("seconds") else f"{row[name] / 2**30:.2f}"


def plot(rows: list[dict], file: Path) -> None:
    """Time on the left, memory on the right, both against the number of photos."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(9, 3.6), layout="constrained")
    times, memory = figure.subplots(1, 2)
    photos = [row["photos"] for row in rows]
    for name in ("index_seconds", "split_seconds", "decode_seconds", "step_seconds"):
        times.loglog(photos, [max(row[name], 1e-3) for row in rows], "o-", label=COLUMNS[name].removesuffix(", s"))
    for name in ("anonymous", "file_backed", "cache_bytes"):
        memory.loglog(
            photos, [max(row[name], 1) / 2**30 for row in rows], "o-", label=COLUMNS[name].removesuffix(", GB")
        )
    memory.axhline(2, color="grey", linestyle=":", label="2 GB")
    for axes, title in ((times, "seconds"), (memory, "GB")):
        axes.set(xlabel="photos", ylabel=title)
        axes.grid(alpha=0.3)
        axes.legend(fontsize=8)
    file.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(file, dpi=110)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(description="How time and memory grow with the number of photos.")
    parser.add_argument("--sizes", type=int, nargs="+", default=SIZES, help="numbers of photos, growing")
    parser.add_argument("--steps", type=int, default=30, help="training steps to time (30)")
    parser.add_argument("--out", type=Path, default=PROJECT / "benchmarks" / "scaling", help="where the results go")
    parser.add_argument("--measure", type=Path, metavar="FOLDER", help=argparse.SUPPRESS)
    return parser


if __name__ == "__main__":
    sys.exit(main())
